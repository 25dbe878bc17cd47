"""Laws of when CUDA graphs are used, with a stand-in for them; what they compute is looked at on a GPU (test_cuda.py)."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from labkit.data.batching import Batcher
from labkit.data.tokens import tokenize
from labkit.training import cuda_graphs
from labkit.training.cuda_graphs import GraphedGradients, shapes_of
from labkit.training.gradients import gradient_difference, gradients_of
from labkit.training.loop import accumulate_gradients
from labkit.training.precision import make_precision

PRECISION = make_precision("fp32", torch.device("cpu"))
SHORT, LONG = [0, 1, 2], [3, 4]


class StandIn:
    """Computes the plain way, counts, and fails when it is told to."""

    steps = 0
    failure: Exception | None = None

    def __init__(self, model: Any, parameters: Any, precision: Any) -> None:
        self.model, self.parameters, self.precision = model, parameters, precision

    def gradients_of(self, batches: Any) -> torch.Tensor:
        type(self).steps += 1
        torch.rand(1)  # as dropout does
        if self.failure:
            raise self.failure
        return torch.tensor(accumulate_gradients(self.model, batches, self.precision))


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> type[StandIn]:
    stand_in = type("Fresh", (StandIn,), {})
    monkeypatch.setattr(cuda_graphs, "_Graphs", stand_in)
    return stand_in


@pytest.fixture
def batch_of(tiny_world: Any) -> Callable[[list[int]], Any]:
    return Batcher(tokenize(tiny_world.texts, tiny_world.tokenizer), tiny_world.labels, "fixed", max_length=48).batch


def test_a_shape_is_recorded_when_it_comes_for_the_second_time(graphs, batch_of, tiny_world):
    gradients, model = GraphedGradients(accumulate_gradients), tiny_world.model()
    used = []
    for places in (SHORT, LONG, SHORT, SHORT, LONG, [5]):
        before = graphs.steps
        gradients(model, [batch_of(places)], PRECISION)
        used.append(graphs.steps > before)
    assert used == [False, False, True, True, True, False]


def test_a_step_is_replayed_where_all_its_shapes_are_known(graphs, batch_of, tiny_world):
    gradients, model = GraphedGradients(accumulate_gradients), tiny_world.model()
    gradients(model, [batch_of(SHORT)], PRECISION)
    gradients(model, [batch_of(SHORT), batch_of(LONG)], PRECISION)
    assert graphs.steps == 0
    gradients(model, [batch_of(LONG), batch_of(SHORT)], PRECISION)
    assert graphs.steps == 1


def test_parameters_that_the_loss_does_not_depend_on_stay_without_a_gradient(graphs, batch_of, tiny_world):
    gradients, model = GraphedGradients(accumulate_gradients), tiny_world.model()
    model.unused = torch.nn.Parameter(torch.zeros(3))
    model.bert.embeddings.requires_grad_(False)
    for _ in range(2):
        gradients(model, [batch_of(SHORT)], PRECISION)
    assert gradients._graphs is not None
    wanted = [
        parameter for parameter in model.parameters() if parameter.requires_grad and parameter is not model.unused
    ]
    assert list(map(id, gradients._graphs.parameters)) == list(map(id, wanted))


def test_a_step_that_failed_makes_no_shape_known(graphs, batch_of, tiny_world):
    failures = [torch.OutOfMemoryError("CUDA out of memory")]

    def accumulate(*arguments: Any) -> float:
        if failures:
            raise failures.pop()
        return accumulate_gradients(*arguments)

    gradients, model = GraphedGradients(accumulate), tiny_world.model()
    with pytest.raises(torch.OutOfMemoryError):
        gradients(model, [batch_of(SHORT), batch_of(LONG)], PRECISION)
    gradients(model, [batch_of(LONG)], PRECISION)
    assert graphs.steps == 0 and gradients_of(model)


@pytest.mark.parametrize("change", ["another model", "frozen", "elsewhere", "evaluation"])
def test_what_is_not_as_it_was_when_it_was_recorded_is_recorded_anew(change, graphs, batch_of, tiny_world):
    gradients, model = GraphedGradients(accumulate_gradients), tiny_world.model()
    for _ in range(2):
        gradients(model, [batch_of(SHORT)], PRECISION)
    assert graphs.steps == 1
    if change == "another model":
        model = tiny_world.model(seed=1)
    elif change == "frozen":
        model.bert.embeddings.requires_grad_(False)
    elif change == "elsewhere":
        weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.load_state_dict(weights, assign=True)
    else:
        model.eval()
    loss = gradients(model, [batch_of(SHORT)], PRECISION)
    found = gradients_of(model)
    assert graphs.steps == 1 and gradients._graphs is None
    assert loss == accumulate_gradients(model, [batch_of(SHORT)], PRECISION)
    assert gradient_difference(found, gradients_of(model)) == 0


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory. Tried\nmuch"), RuntimeError("no capture"), RuntimeError()],
    ids=["memory", "capture", "nameless"],
)
def test_after_a_failure_the_step_is_computed_again_without_graphs_and_so_are_all_others(
    error, graphs, batch_of, tiny_world
):
    told: list[str] = []
    gradients, model = GraphedGradients(accumulate_gradients, told.append), tiny_world.model()
    gradients(model, [batch_of(SHORT)], PRECISION)
    graphs.failure = error
    torch.manual_seed(5)
    loss = gradients(model, [batch_of(SHORT)], PRECISION)
    drawn = torch.rand(1)
    found = gradients_of(model)
    torch.manual_seed(5)
    assert loss == accumulate_gradients(model, [batch_of(SHORT)], PRECISION)
    assert gradient_difference(found, gradients_of(model)) == 0
    assert torch.equal(drawn, torch.rand(1))
    gradients(model, [batch_of(SHORT)], PRECISION)
    assert graphs.steps == 1
    (said,) = told
    assert (str(error) or "RuntimeError").splitlines()[0] in said and "\n" not in said


def test_a_plain_step_that_fails_for_want_of_memory_is_tried_once_more_without_the_graphs(graphs, batch_of, tiny_world):
    failures = [torch.OutOfMemoryError("CUDA out of memory")]

    def accumulate(*arguments: Any) -> float:
        if gradients._graphs is not None and failures:
            raise failures.pop()
        return accumulate_gradients(*arguments)

    gradients, model = GraphedGradients(accumulate), tiny_world.model()
    for _ in range(2):
        gradients(model, [batch_of(SHORT)], PRECISION)
    assert gradients(model, [batch_of(LONG)], PRECISION) == accumulate_gradients(model, [batch_of(LONG)], PRECISION)
    assert not failures and gradients._graphs is None


def test_an_error_with_no_graph_in_the_way_is_raised(graphs, batch_of, tiny_world):
    def accumulate(*arguments: Any) -> float:
        raise RuntimeError("not of graphs")

    with pytest.raises(RuntimeError, match="not of graphs"):
        GraphedGradients(accumulate)(tiny_world.model(), [batch_of(SHORT)], PRECISION)


def test_batches_share_a_graph_where_all_their_tensors_have_the_same_shape(batch_of):
    assert shapes_of(batch_of([0, 1])) == shapes_of(batch_of([7, 9]))
    assert shapes_of(batch_of([0, 1])) != shapes_of(batch_of([0, 1, 2]))

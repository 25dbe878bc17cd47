"""Laws of the GPU: the model's own logits and gradients, in every precision; runs that stop, go on, or run out of memory there.

Skipped where there is no GPU. The other modules' laws use it too where they name no device.
"""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
import torch

from labkit.data.batching import Batcher
from labkit.data.tokens import tokenize
from labkit.models.dropout import DropoutMasks
from labkit.models.unpadded import Unpadded
from labkit.serving.classifier import Classifier
from labkit.training.checkpoints import CheckpointFolder
from labkit.training.config import Config
from labkit.training.cuda_graphs import GraphedGradients
from labkit.training.fit import TrainingStopped, fit
from labkit.training.gradients import gradient_difference, gradients_of
from labkit.training.loop import EpochRecord, accumulate_gradients
from labkit.training.precision import make_precision

if TYPE_CHECKING:
    from conftest import TinyWorld

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
CUDA = torch.device("cuda")
RATE = 3e-3  # high enough for so small a model
PRECISIONS = ("fp32", "bf16", "fp16")


@pytest.fixture(scope="module")
def batcher_of(tiny_world: "TinyWorld") -> Callable[[str], Batcher]:
    tokenized = tokenize(tiny_world.texts, tiny_world.tokenizer)
    return lambda batching: Batcher(tokenized, tiny_world.labels, batching)


def run(model: Any, reviews: Batcher, config: Config, **named: Any) -> Iterator[EpochRecord]:
    return fit(model, reviews, reviews, config, progress=False, **named)


def config_of(**changed: Any) -> Config:
    settings = {"epochs": 2, "batch_size": 16, "learning_rate": RATE, "device": "cuda", "precision": "bf16"}
    return Config(**(settings | {"patience": 2} | changed))


def flat_gradients(network: torch.nn.Module, batch: Any, precision: str, dtype: torch.dtype = torch.float32) -> Any:
    """Of a network moved to the GPU, as one row of float64 numbers."""
    network.to(CUDA, dtype)
    chosen = make_precision(precision, CUDA)
    accumulate_gradients(network, [batch], chosen)
    scale = chosen.scaler.get_scale()
    return torch.cat([gradient.double().flatten() / scale for gradient in gradients_of(network).values()])


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("batching", ["buckets", "packed"])
def test_the_error_of_its_gradients_is_that_of_the_models_own_forward_pass(batching, precision, batcher_of, tiny_world):
    places = range(24)
    batch, padded = batcher_of(batching).batch(places), batcher_of("dynamic").batch(places)
    exact = flat_gradients(tiny_world.model().eval(), padded, "fp32", torch.float64)
    plain = flat_gradients(tiny_world.model().eval(), padded, precision)
    fast = flat_gradients(Unpadded(tiny_world.model().eval()), batch, precision)
    errors = [float((found - exact).norm() / exact.norm()) for found in (plain, fast)]
    assert errors[1] < 1.5 * errors[0] + 1e-5


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_graphs_have_the_gradients_of_the_plain_way_whatever_the_micro_batches(
    precision, dropout, batcher_of, tiny_world
):
    network = Unpadded(tiny_world.model(dropout=dropout).to(CUDA))
    chosen, graphed = make_precision(precision, CUDA), GraphedGradients(accumulate_gradients)
    # With more than 3,072 tokens torch takes another way to the embedding's gradient.
    batches = [batcher_of("fixed").batch(places) for places in (range(25), range(25, 50), range(50, 64))]
    for step in range(3):
        torch.manual_seed(step)
        loss, found = float(graphed(network, batches, chosen)), gradients_of(network)
        found = {name: gradient.clone() for name, gradient in found.items()}
        torch.manual_seed(step)
        assert loss == pytest.approx(accumulate_gradients(network, batches, chosen), rel=1e-5)
        assert gradient_difference(found, gradients_of(network)) < (1e-4 if precision == "fp32" else 1e-2)
    assert graphed._graphs is not None and len(graphed._graphs.graphs) == 2


@pytest.mark.parametrize("batching", ["buckets", "packed"])
def test_with_dropout_the_mean_over_many_passes_is_that_of_the_models_own(batching, batcher_of, tiny_world):
    model = tiny_world.model(dropout=0.3).to(CUDA)
    places = [0, 1, 2]
    batch, padded = (
        {name: tensor.to(CUDA) for name, tensor in batcher_of(kind).batch(places).items()}
        for kind in (batching, "dynamic")
    )

    def logits(network: torch.nn.Module, batch: Any) -> torch.Tensor:
        torch.manual_seed(0)
        with torch.no_grad():
            return torch.stack([network(**batch).logits for _ in range(600)]).double()

    plain, fast = logits(model, padded), logits(Unpadded(model), batch)
    noise = (plain.var(dim=0) / 600 + fast.var(dim=0) / 600).sqrt()
    assert float(((plain.mean(dim=0) - fast.mean(dim=0)) / noise).abs().max()) < 4.5
    assert float((fast.std(dim=0) / plain.std(dim=0)).log().abs().max()) < 0.2


def test_masks_are_drawn_there_and_drop_with_their_probability():
    mask = DropoutMasks().draw((1000, 1000), 0.1, torch.empty(0, device=CUDA))
    assert mask.kept is not None and mask.kept.device.type == "cuda"
    assert float((mask.kept == 0).double().mean()) == pytest.approx(0.1, abs=0.002)
    assert mask.scale == pytest.approx(1 / 0.9)


@pytest.mark.parametrize("batching", ["buckets", "packed"])
def test_without_dropout_ten_steps_have_the_losses_of_the_models_own_forward_pass(batching, batcher_of, tiny_world):
    def losses(fast_path: str, batching: str) -> list[float]:
        seen: list[float] = []
        config = config_of(precision="fp32", fast_path=fast_path, batching=batching, epochs=3)
        list(run(tiny_world.model(), batcher_of(batching), config, after_step=lambda record: seen.append(record.loss)))
        return seen[:10]

    plain = losses("off", "dynamic") if batching == "packed" else losses("off", "buckets")
    assert losses("full", batching) == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_training_learns_and_the_same_seed_gives_the_same_history(precision, batcher_of, tiny_world):
    config = config_of(precision=precision, epochs=12, patience=12)

    def histories() -> list[EpochRecord]:
        return list(run(tiny_world.model(dropout=0.1), batcher_of("buckets"), config))

    one, other = histories(), histories()
    assert one[-1].train_loss < 0.7 * one[0].train_loss
    assert [record.train_loss for record in one] == pytest.approx([record.train_loss for record in other], rel=1e-3)


@pytest.mark.parametrize("batching", ["buckets", "packed"])
def test_a_run_that_was_stopped_goes_on_to_the_same_losses(batching, batcher_of, tiny_world, tmp_path):
    config, reviews = config_of(batching=batching), batcher_of(batching)
    whole = list(run(tiny_world.model(dropout=0.1), reviews, config))
    steps = iter(range(100))
    with pytest.raises(TrainingStopped):
        list(
            run(
                tiny_world.model(dropout=0.1),
                reviews,
                config,
                checkpoints=CheckpointFolder(tmp_path),
                should_stop=lambda: next(steps) == 5,
            )
        )
    resumed = list(run(tiny_world.model(dropout=0.1), reviews, config, checkpoints=CheckpointFolder(tmp_path)))
    for found, wanted in zip(resumed, whole, strict=True):
        assert found.train_loss == pytest.approx(wanted.train_loss, rel=1e-3)
        assert found.validation_loss == pytest.approx(wanted.validation_loss, rel=1e-3)


def test_a_batch_that_does_not_fit_is_halved_until_it_does(batcher_of, tiny_world):
    config, told = (
        config_of(batch_size=64, epochs=1, precision="fp32", batching="fixed", eval_batch_size=2),
        list[str](),
    )
    (whole,) = run(tiny_world.model(), batcher_of("fixed"), config)
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(CUDA).total_memory
    try:
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 24 * 2**20) / total)
        (record,) = run(tiny_world.model(), batcher_of("fixed"), config, tell=told.append)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert record.micro_batch_size < 64 and any("out of memory with 64 reviews at once" in said for said in told)
    assert record.train_loss == pytest.approx(whole.train_loss, rel=1e-4)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_classifier_says_there_what_it_says_on_the_cpu(precision, tiny_world):
    texts = tiny_world.texts[:20]

    def probabilities(device: str, precision: str) -> Any:
        config = Config(precision=precision, device=device)
        return Classifier(tiny_world.model().eval(), tiny_world.tokenizer, config, "tiny").probabilities(texts)

    assert probabilities("cuda", precision) == pytest.approx(probabilities("cpu", "fp32"), abs=0.05)
    explained = Classifier(tiny_world.model().eval(), tiny_world.tokenizer, Config(device="cuda"), "tiny").explain(
        texts[:2]
    )
    assert len(explained) == 2

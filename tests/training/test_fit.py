"""Laws of the loop: however a step is divided it is the same step, and nothing but the settings decides what is learned."""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import ElectraConfig, ElectraForSequenceClassification, get_linear_schedule_with_warmup

from labkit.data.batching import BATCHINGS, Batcher
from labkit.data.tokens import tokenize
from labkit.models.encoders import load_encoder
from labkit.training import fit as training
from labkit.training.checkpoints import CheckpointFolder
from labkit.training.config import Config
from labkit.training.fit import (
    EarlyStopping,
    EpochRecord,
    Evaluation,
    StepRecord,
    TrainingError,
    TrainingStopped,
    accumulate_gradients,
    eval_epoch,
    evaluate,
    fit,
    fit_with_early_stopping,
    linear_schedule,
    make_optimizer,
    train_epoch,
    warmup_linear,
)
from labkit.training.precision import make_precision

if TYPE_CHECKING:
    from conftest import TinyWorld

law = settings(max_examples=20, deadline=None)
CPU = torch.device("cpu")
UNEVEN = [16, 8, 5]
TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}


@pytest.fixture(scope="module")
def reviews(tiny_world: "TinyWorld") -> Batcher:
    return Batcher(tokenize(tiny_world.texts, tiny_world.tokenizer, 24), tiny_world.labels, "dynamic")


@pytest.fixture(scope="module")
def batch_of(reviews: Batcher) -> Callable[..., dict[str, torch.Tensor]]:
    """The reviews from one place to another as a plain mapping, padded to their own longest or to a width."""

    def make(start: int, stop: int, width: int | None = None) -> dict[str, torch.Tensor]:
        batch = dict(reviews.batch(range(start, stop)))
        more = (width or batch["input_ids"].shape[1]) - batch["input_ids"].shape[1]
        padded = {name: nn.functional.pad(batch[name], (0, more)) for name in ("input_ids", "attention_mask")}
        return padded | {"labels": batch["labels"]}

    return make


def divided(batch_of: Callable[..., Any], sizes: Sequence[int], widths: Sequence[int | None] = (None,)) -> list[Any]:
    """Consecutive reviews in batches of these sizes."""
    ends = np.cumsum(sizes)
    return [
        batch_of(int(end - size), int(end), widths[index % len(widths)])
        for index, (end, size) in enumerate(zip(ends, sizes, strict=True))
    ]


def gradients_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters() if parameter.grad is not None}


def weights_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def assert_equal_gradients(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], tolerance: float) -> None:
    """Relative to the largest magnitude in each tensor; a tensor below 1e-6 of the whole norm counts as zero."""
    floor = 1e-6 * float(torch.stack([gradient.norm() for gradient in wanted.values()]).norm())
    assert found.keys() == wanted.keys()
    for name, gradient in wanted.items():
        largest = float(gradient.abs().max())
        allowed = tolerance * largest if largest > floor else floor
        assert float((found[name] - gradient).abs().max()) <= allowed, name


def steps_of(
    model: nn.Module, batches: Iterable[Any], accumulation_steps: int, optimizer: torch.optim.Optimizer, **named: Any
) -> list[StepRecord]:
    """One record for each optimizer step of an epoch at a constant learning rate."""
    records: list[StepRecord] = []
    constant = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    train_epoch(model, batches, optimizer, constant, accumulation_steps, after_step=records.append, **named)
    return records


# --- accumulation (the contract of exercise 3.3) ------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("widths", [(None,), (24, 40, None)])
@pytest.mark.parametrize("micro", [32, *UNEVEN])
def test_uneven_micro_batches_have_the_gradient_of_one_big_batch(micro, widths, dtype, tiny_world, batch_of):
    model = tiny_world.model().to(dtype)
    output = model(**batch_of(0, 32))
    output.loss.backward()
    wanted, loss = gradients_of(model), output.loss.item()
    sizes = [micro] * (32 // micro) + [32 % micro] * (32 % micro > 0)
    found = accumulate_gradients(model, divided(batch_of, sizes, widths))
    assert found == pytest.approx(loss, rel=TOLERANCE[dtype])
    assert_equal_gradients(gradients_of(model), wanted, TOLERANCE[dtype])


def test_a_step_divided_as_16_8_5_and_the_rest_has_the_gradient_of_one_big_batch(tiny_world, batch_of):
    model = tiny_world.model().double()
    loss = accumulate_gradients(model, [batch_of(0, 32)])
    wanted = gradients_of(model)
    assert accumulate_gradients(model, divided(batch_of, [16, 8, 5, 3])) == pytest.approx(loss, rel=1e-10)
    assert_equal_gradients(gradients_of(model), wanted, 1e-10)


@pytest.mark.parametrize("batching", BATCHINGS)
def test_every_way_of_batching_has_the_gradient_of_the_same_reviews(batching, tiny_world, reviews, batch_of):
    from labkit.models.unpadded import Unpadded

    model = tiny_world.model().double()
    loss = accumulate_gradients(model, [batch_of(0, 32)])
    wanted = gradients_of(model)
    network = Unpadded(model) if batching == "packed" else model
    pieces = dataclasses.replace(reviews, batching=batching, max_length=40).batch(range(32)).split(5)
    assert accumulate_gradients(network, pieces) == pytest.approx(loss, rel=1e-10)
    assert_equal_gradients(gradients_of(model), wanted, 1e-10)


def test_gradients_that_stood_before_are_discarded_and_no_step_is_taken(tiny_world, batch_of):
    model = tiny_world.model()
    before = weights_of(model)
    accumulate_gradients(model, [batch_of(0, 8)])
    fresh = gradients_of(model)
    accumulate_gradients(model, [batch_of(8, 16)])
    accumulate_gradients(model, [batch_of(0, 8)])
    assert same(gradients_of(model), fresh)
    assert same(weights_of(model), before)


def test_micro_batches_may_come_from_a_generator_and_are_not_changed(tiny_world, batch_of):
    model, batches = tiny_world.model(), divided(batch_of, [5, 3])
    kept = copy.deepcopy(batches)
    accumulate_gradients(model, batches)
    wanted = gradients_of(model)
    accumulate_gradients(model, (batch for batch in batches))
    assert same(gradients_of(model), wanted)
    assert all(same(*pair) for pair in zip(batches, kept, strict=True))


# --- training (the contract of exercise 3.4) ----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("micro", UNEVEN)
def test_three_sgd_steps_of_micro_batches_end_with_the_weights_of_three_big_ones(micro, dtype, tiny_world, reviews):
    ends = []
    for size in (20, micro):
        model = tiny_world.model().to(dtype)
        batches = list(reviews.epoch(20, size, seed=4))[: 3 * -(-20 // size)]
        steps = steps_of(model, batches, -(-20 // size), torch.optim.SGD(model.parameters(), lr=0.01))
        assert [step.examples for step in steps] == [20, 20, 20]
        ends.append(weights_of(model))
    for name, wanted in ends[0].items():
        assert (ends[1][name] - wanted).abs().max() <= 1e-6 * wanted.abs().max(), name


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("micro", UNEVEN)
def test_three_adamw_steps_of_micro_batches_have_the_losses_of_three_big_ones(micro, dtype, tiny_world, reviews):
    losses = []
    for size in (20, micro):
        model = tiny_world.model().to(dtype)
        batches = list(reviews.epoch(20, size, seed=4))[: 3 * -(-20 // size)]
        steps = steps_of(model, batches, -(-20 // size), make_optimizer(model, 1e-3, 0.01))
        losses.append([step.loss for step in steps])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert losses[0][0] != losses[0][2]


@law
@given(st.lists(st.integers(1, 6), min_size=1, max_size=7), st.integers(1, 4))
def test_one_step_of_optimizer_and_scheduler_follows_each_group_of_batches(tiny_world, batch_of, sizes, group):
    model = tiny_world.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 / (1 + step))
    order = watched(optimizer, scheduler)
    batches, records = divided(batch_of, sizes), list[StepRecord]()
    mean = train_epoch(model, iter(batches), optimizer, scheduler, group, after_step=records.append)
    groups = [sizes[start : start + group] for start in range(0, len(sizes), group)]
    assert order == ["optimizer", "scheduler"] * len(groups)
    assert [record.examples for record in records] == [sum(members) for members in groups]
    assert [record.learning_rate for record in records] == pytest.approx([0.1 / (1 + k) for k in range(len(groups))])
    assert mean == pytest.approx(sum(record.loss * record.examples for record in records) / sum(sizes))


def watched(optimizer: torch.optim.Optimizer, scheduler: torch.optim.lr_scheduler.LRScheduler) -> list[str]:
    """The order in which the two are asked to step."""
    order: list[str] = []
    optimizer.register_step_pre_hook(lambda *_: order.append("optimizer"))
    plain = scheduler.step

    def step(*arguments: Any) -> None:
        order.append("scheduler")
        plain(*arguments)

    scheduler.step = step  # type: ignore[method-assign]
    return order


@law
@given(st.lists(st.integers(1, 6), min_size=2, max_size=6), st.integers(1, 3))
def test_an_epoch_ends_with_the_weights_of_the_textbook_loop(tiny_world, batch_of, sizes, group):
    models = [tiny_world.model().double() for _ in range(2)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.05) for model in models]
    batches = divided(batch_of, sizes)
    steps_of(models[0], batches, group, optimizers[0], max_grad_norm=0.5)
    for start in range(0, len(batches), group):  # one big batch in place of each group, in plain PyTorch
        members = sizes[start : start + group]
        first = sum(sizes[:start])
        optimizers[1].zero_grad()
        models[1](**batch_of(first, first + sum(members))).loss.backward()
        nn.utils.clip_grad_norm_(models[1].parameters(), 0.5)
        optimizers[1].step()
    for name, wanted in weights_of(models[1]).items():
        assert (models[0].state_dict()[name] - wanted).abs().max() <= 1e-10 * wanted.abs().max(), name


@pytest.mark.parametrize("name", ["fp32", "bf16", "fp16"])
def test_gradients_are_clipped_at_their_true_size_before_the_step(name, tiny_world, batch_of):
    precision = make_precision(name, CPU)
    model = tiny_world.model()
    accumulate_gradients(model, [batch_of(0, 16)])
    norm = float(torch.stack([gradient.norm() for gradient in gradients_of(model).values()]).norm())
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    before = weights_of(model)
    record = steps_of(model, [batch_of(0, 16)], 1, optimizer, max_grad_norm=norm / 4, precision=precision)[0]
    assert record.gradient_norm == pytest.approx(norm, rel=1e-5 if name == "fp32" else 0.05)
    moved = torch.stack([(tensor - before[key]).norm() for key, tensor in weights_of(model).items()]).norm()
    assert float(moved) == pytest.approx(norm / 4, rel=1e-3)


def test_small_gradients_are_not_blown_up_to_the_norm(tiny_world, batch_of):
    models = [tiny_world.model() for _ in range(2)]
    for model, norm in zip(models, (1e6, 1e9), strict=True):
        steps_of(model, [batch_of(0, 8)], 1, torch.optim.SGD(model.parameters(), lr=0.1), max_grad_norm=norm)
    assert same(weights_of(models[0]), weights_of(models[1]))


def test_a_step_that_overflows_in_fp16_is_left_out_and_the_scale_is_lowered(tiny_world, batch_of):
    model, precision = tiny_world.model(), make_precision("fp16", CPU)
    optimizer = make_optimizer(model, 0.1, 0.0)
    before, scale = weights_of(model), precision.scaler.get_scale()
    model.classifier.weight.register_hook(lambda gradient: gradient * math.inf)
    steps_of(model, [batch_of(0, 8)], 1, optimizer, precision=precision)
    assert same(weights_of(model), before)
    assert precision.scaler.get_scale() == scale / 2


def test_training_is_in_training_mode_and_leaves_no_gradient_behind(tiny_world, batch_of):
    model = tiny_world.model(dropout=0.5).eval()
    modes: list[bool] = []
    model.register_forward_pre_hook(lambda *_: modes.append(all(module.training for module in model.modules())))
    steps_of(model, divided(batch_of, [4, 4]), 1, torch.optim.SGD(model.parameters(), lr=0.1))
    assert modes == [True, True]
    assert gradients_of(model) == {}


def test_no_gradient_of_an_earlier_group_or_of_the_user_leaks_in(tiny_world, batch_of):
    models = [tiny_world.model() for _ in range(2)]
    accumulate_gradients(models[0], [batch_of(30, 40)])
    for model in models:
        steps_of(model, divided(batch_of, [4, 4, 4]), 2, torch.optim.SGD(model.parameters(), lr=0.1))
    assert same(weights_of(models[0]), weights_of(models[1]))


def test_an_epoch_of_no_batches_changes_nothing(tiny_world):
    model = tiny_world.model()
    before = weights_of(model)
    assert steps_of(model, [], 2, torch.optim.SGD(model.parameters(), lr=0.1)) == []
    assert same(weights_of(model), before)


# --- evaluation (the contract of exercise 3.5) --------------------------------------------------------------------


@law
@given(st.lists(st.integers(1, 7), min_size=1, max_size=7))
def test_evaluation_is_in_order_and_its_loss_is_the_mean_over_examples(tiny_world, batch_of, sizes):
    model = tiny_world.model().double()
    loss, logits, labels = eval_epoch(model, iter(divided(batch_of, sizes)))
    whole = batch_of(0, sum(sizes))
    wanted = model(**whole)
    assert loss == pytest.approx(wanted.loss.item(), rel=1e-10)
    assert (logits - wanted.logits).abs().max() < 1e-6
    assert labels.tolist() == whole["labels"].tolist()
    assert logits.shape == (sum(sizes), 2)


class _HalfPrecise(nn.Module):
    """Every example's loss is 1/3 as far as fp16 knows it, in a tensor of one element."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, input_ids: torch.Tensor, labels: torch.Tensor) -> Any:
        loss = torch.full((1,), 1 / 3, dtype=torch.float16)
        return SimpleNamespace(loss=loss, logits=self.weight.expand(len(labels), 2))


def test_a_loss_in_half_precision_or_in_a_tensor_of_one_element_is_summed_in_fp32():
    batch = {"input_ids": torch.zeros(2000, 1), "labels": torch.zeros(2000, dtype=torch.int64)}
    evaluation = eval_epoch(_HalfPrecise(), [batch] * 3)
    assert evaluation.loss == pytest.approx(float(torch.tensor(1 / 3, dtype=torch.float16)), rel=1e-6)


def test_evaluation_leaves_modes_gradients_and_grad_mode_as_they_were(tiny_world, batch_of):
    model = tiny_world.model(dropout=0.5)
    accumulate_gradients(model, [batch_of(0, 4)])
    model.bert.encoder.eval()
    model.bert.embeddings.requires_grad_(False)
    gradients, weights = gradients_of(model), weights_of(model)
    modes = {name: module.training for name, module in model.named_modules()}
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    torch.manual_seed(0)
    rng_state = torch.get_rng_state()
    results = [eval_epoch(model, divided(batch_of, [5, 3])) for _ in range(2)]
    assert torch.equal(results[0].logits, results[1].logits)  # dropout was off
    assert not results[0].logits.requires_grad
    assert torch.is_grad_enabled()
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert len(set(modes.values())) == 2
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == wanted
    assert same(gradients_of(model), gradients)
    assert same(weights_of(model), weights)
    assert torch.equal(torch.get_rng_state(), rng_state)


def test_grad_mode_that_was_off_stays_off(tiny_world, batch_of):
    with torch.no_grad():
        eval_epoch(tiny_world.model(), [batch_of(0, 3)])
        assert not torch.is_grad_enabled()


def test_modes_are_put_back_also_after_an_error(tiny_world, batch_of):
    model = tiny_world.model()
    with pytest.raises(IndexError):
        eval_epoch(model, [batch_of(0, 3), {**batch_of(0, 3), "input_ids": torch.full((3, 24), 999)}])
    assert all(module.training for module in model.modules())
    assert torch.is_grad_enabled()


def test_evaluate_gives_logits_and_labels_in_the_order_of_the_reviews(tiny_world, reviews, batch_of):
    model = tiny_world.model().double()
    found = evaluate(model, reviews, Config(eval_batch_size=9))
    wanted = eval_epoch(model, [batch_of(0, 64)])
    assert isinstance(found, Evaluation)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-10)
    assert (found.logits - wanted.logits).abs().max() < 1e-6
    assert torch.equal(found.labels, wanted.labels)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()], ids=["cuda", "python"])
def test_where_memory_runs_out_evaluation_goes_on_with_half_as_many_reviews_at_once(
    error, tiny_world, reviews, monkeypatch
):
    model, sizes = tiny_world.model(), list[int]()

    def eval_epoch_in_a_small_room(network: Any, batches: Any, precision: Any) -> Evaluation:
        sizes.append(len(batches[0].indices))
        if sizes[-1] > 5:
            raise error
        return eval_epoch(network, batches, precision)

    wanted = evaluate(model, reviews, Config())
    monkeypatch.setattr(training, "eval_epoch", eval_epoch_in_a_small_room)
    found = evaluate(model, reviews, Config(eval_batch_size=18))
    assert sizes == [18, 9, 5]
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5)
    assert torch.allclose(found.logits, wanted.logits, atol=1e-5)


@pytest.mark.parametrize("errors", [[RuntimeError("the shapes")], [MemoryError("the last"), MemoryError("the first")]])
def test_an_evaluation_that_fails_otherwise_or_with_one_review_at_once_raises(errors, tiny_world, reviews, monkeypatch):
    left = list(errors)

    def failing(network: Any, batches: Any, precision: Any) -> Evaluation:
        raise left.pop()

    monkeypatch.setattr(training, "eval_epoch", failing)
    with pytest.raises(type(errors[0]), match=str(errors[0])):
        evaluate(tiny_world.model(), reviews, Config(eval_batch_size=2))


# --- the schedule (the contract of exercise 3.1) and the optimizer ------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 50), st.integers(1, 100), st.data())
def test_warmup_and_decay_are_those_of_transformers(warmup_steps, decay_steps, data):
    total_steps = warmup_steps + decay_steps
    step = data.draw(st.integers(0, total_steps + 20))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    oracle = get_linear_schedule_with_warmup(optimizer, warmup_steps, total_steps).lr_lambdas[0]
    assert warmup_linear(step, warmup_steps, total_steps) == pytest.approx(oracle(step), abs=1e-12)


@pytest.mark.parametrize(("ratio", "total", "warmup"), [(0.1, 100, 10), (0.0, 5, 0), (0.1, 9, 0), (0.5, 7, 3)])
def test_the_schedule_of_a_run_warms_up_over_its_share_of_the_steps(ratio, total, warmup):
    parameters = [nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizers = [torch.optim.SGD([parameter], lr=2.0) for parameter in parameters]
    schedules = [linear_schedule(optimizers[0], ratio, total)]
    schedules.append(get_linear_schedule_with_warmup(optimizers[1], warmup, total))
    for _ in range(total + 2):
        assert schedules[0].get_last_lr() == pytest.approx(schedules[1].get_last_lr())
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            schedule.step()


def test_the_optimizer_is_adamw_with_decay_on_matrices_alone(tiny_world):
    model = tiny_world.model()
    optimizer = make_optimizer(model, 3e-4, 0.25)
    decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {group["lr"] for group in optimizer.param_groups} == {3e-4}
    for name, parameter in model.named_parameters():
        assert decay_of[id(parameter)] == (0.0 if "bias" in name or "LayerNorm" in name else 0.25), name


def test_the_fused_optimizer_takes_the_steps_of_the_plain_one(tiny_world, batch_of):
    ends = []
    for fused in (True, False):
        model = tiny_world.model().double()
        optimizer = make_optimizer(model, 1e-3, 0.1)
        if not fused:
            optimizer = torch.optim.AdamW([dict(group, fused=None) for group in optimizer.param_groups], lr=1e-3)
        steps_of(model, divided(batch_of, [8]), 1, optimizer)
        ends.append(weights_of(model))
    difference = max(float((ends[0][name] - ends[1][name]).abs().max()) for name in ends[0])
    assert difference < 1e-9


# --- early stopping (the contract of exercise 5.1) ----------------------------------------------------------------

losses_of_epochs = st.lists(st.one_of(st.floats(0, 4), st.sampled_from([0.5, 1.0, math.nan, math.inf])), max_size=12)


@settings(max_examples=200, deadline=None)
@given(losses_of_epochs, st.integers(1, 4), st.sampled_from([0.0, 0.25, 0.5]))
def test_early_stopping_is_what_its_definition_says_of_the_whole_list(losses, patience, min_delta):
    stopping = EarlyStopping(patience, min_delta)
    assert (stopping.best_loss, stopping.best_epoch) == (math.inf, None)
    best, improved = math.inf, list[bool]()
    for epoch, loss in enumerate(losses):
        improved.append(loss < best - min_delta)
        best = loss if improved[-1] else best
        failing = len(improved) >= patience and not any(improved[-patience:])
        assert stopping.step(loss) == failing
        assert stopping.best_loss == best
        epochs = [number for number, better in enumerate(improved) if better]
        assert stopping.best_epoch == (epochs[-1] if epochs else None)
        assert epoch + 1 == len(improved)


def test_patience_below_one_is_refused():
    with pytest.raises(ValueError, match="patience is 0; wanted at least 1"):
        EarlyStopping(patience=0)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, math.nan]), min_size=1, max_size=8), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_the_bare_loop_saves_each_new_best_and_restores_the_last_of_them_once_at_the_end(losses, patience):
    said: list[str] = []
    coming = iter(losses)

    def evaluate() -> float:
        said.append("evaluate")
        return next(coming)

    def run() -> list[float]:
        return fit_with_early_stopping(
            lambda: said.append("train"),
            evaluate,
            lambda: said.append("save"),
            lambda: said.append("restore"),
            len(losses),
            patience,
        )

    expected: list[str] = []
    best, failures, epochs = math.inf, 0, 0
    for loss in losses:
        expected += ["train", "evaluate"]
        epochs += 1
        if loss < best:
            best, failures = loss, 0
            expected.append("save")
        else:
            failures += 1
        if failures == patience:
            break
    if best == math.inf:
        with pytest.raises(TrainingError, match="no loss was a finite number"):
            run()
        assert said == expected
        return
    np.testing.assert_array_equal(run(), losses[:epochs])
    assert said == [*expected, "restore"]


def test_the_bare_loop_wants_at_least_one_epoch():
    with pytest.raises(ValueError, match="max_epochs is 0"):
        fit_with_early_stopping(list, float, list, list, 0)


# --- fit ----------------------------------------------------------------------------------------------------------

SMALL = Config(epochs=3, batch_size=16, micro_batch_size=6, precision="fp32", device="cpu", eval_batch_size=20)
RATE = 3e-3


@pytest.fixture(scope="module")
def parts(reviews: Batcher) -> tuple[Batcher, Batcher]:
    """44 reviews to train on and 20 to validate on."""

    def part(places: slice) -> Batcher:
        tokenized = dataclasses.replace(
            reviews.tokenized,
            input_ids=reviews.tokenized.input_ids[places],
            truncated=reviews.tokenized.truncated[places],
        )
        return Batcher(tokenized, reviews.labels[places], "buckets")

    return part(slice(0, 44)), part(slice(44, 64))


@pytest.fixture
def run(tiny_world: "TinyWorld", parts: tuple[Batcher, Batcher]) -> Callable[..., Iterator[EpochRecord]]:
    """`fit` on the tiny world, with dropout on."""

    def start(model: Any = None, config: Config = SMALL, **named: Any) -> Iterator[EpochRecord]:
        train, validation = (dataclasses.replace(part, batching=config.batching) for part in parts)
        model = model or tiny_world.model(dropout=0.2)
        named = {"progress": False, "tell": lambda notice: None} | named
        return fit(model, train, validation, config, RATE, **named)

    return start


@pytest.mark.parametrize("batching", BATCHINGS)
def test_the_same_seed_gives_the_same_history_and_weights_to_the_last_bit(batching, run, tiny_world):
    config = dataclasses.replace(SMALL, batching=batching, epochs=2)
    models = [tiny_world.model(dropout=0.2) for _ in range(2)]
    histories = [list(run(model, config)) for model in models]
    assert histories[0] == histories[1]
    assert same(weights_of(models[0]), weights_of(models[1]))


def test_another_seed_gives_another_history(run):
    histories = [list(run(config=dataclasses.replace(SMALL, seed=seed, epochs=1))) for seed in (0, 1)]
    assert histories[0] != histories[1]


def test_dice_that_the_user_throws_before_and_between_epochs_change_nothing(run):
    torch.manual_seed(17)
    history = []
    for record in run():
        history.append(record)
        torch.rand(3)
        np.random.default_rng().random()
    assert history == list(run())


def test_records_are_equal_when_they_learned_the_same_however_long_it_took():
    record = EpochRecord(0, 0.5, 0.6, 0.7, 1e-4, True, 32, seconds=1.0, reviews_per_second=30.0)
    assert record == dataclasses.replace(record, seconds=2.0, reviews_per_second=15.0)
    assert record != dataclasses.replace(record, train_loss=math.nextafter(0.5, 1))
    assert "epoch 0: training loss 0.5000" in str(record)
    assert "(best so far)" in str(record)


def test_the_records_are_what_evaluation_says_of_the_model_at_that_moment(run, tiny_world, parts):
    model = tiny_world.model(dropout=0.2)
    for record in run(model):
        loss, logits, labels = evaluate(model, parts[1], SMALL)
        assert record.validation_loss == loss
        assert record.validation_accuracy == float((logits.argmax(dim=1) == labels).double().mean())


@pytest.mark.parametrize("ending", ["to the end", "break", "an error"])
def test_the_best_weights_are_restored_however_the_loop_ends(ending, run, tiny_world):
    model = tiny_world.model(dropout=0.2)
    states: dict[int, Any] = {}
    best = -1

    def train() -> None:
        nonlocal best
        for record in run(model, dataclasses.replace(SMALL, epochs=6, patience=6, seed=SEED_THAT_TURNS)):
            states[record.epoch] = weights_of(model)
            best = record.epoch if record.is_best else best
            if ending == "break" and record.epoch > best:
                break
            if ending == "an error" and record.epoch > best:
                raise KeyError

    if ending == "an error":
        with pytest.raises(KeyError):
            train()
    else:
        train()
    assert max(states) > best  # else this would prove nothing
    assert not same(states[max(states)], states[best])
    assert same(weights_of(model), states[best])


SEED_THAT_TURNS = 0  # a seed whose validation loss rises again


def test_training_stops_when_validation_loss_has_not_fallen_for_the_patience(run):
    notices: list[str] = []
    history = list(run(config=dataclasses.replace(SMALL, epochs=40, patience=2), tell=notices.append))
    losses = [record.validation_loss for record in history]
    best = int(np.argmin(losses))
    assert len(history) < 40
    assert len(history) - 1 - best == 2
    assert notices == [f"validation loss has not fallen for 2 epochs: stopped after epoch {len(history) - 1}"]
    assert [record.is_best for record in history] == [
        loss < min([math.inf, *losses[:i]]) for i, loss in enumerate(losses)
    ]


def test_fine_tuning_learns_the_words_that_decide(run, tiny_world):
    history = list(run(tiny_world.model(), dataclasses.replace(SMALL, epochs=12, patience=12)))
    assert history[-1].train_loss < 0.5 * history[0].train_loss
    assert history[-1].train_loss < math.log(2) / 2


def test_the_learning_rate_rises_over_a_tenth_of_the_steps_and_falls_to_nothing(run):
    rates: list[float] = []
    list(
        run(
            config=dataclasses.replace(SMALL, epochs=10, patience=10),
            after_step=lambda r: rates.append(r.learning_rate),
        )
    )
    steps = 10 * 3
    assert rates == pytest.approx([RATE * warmup_linear(step, 3, steps) for step in range(steps)])


def test_a_loss_that_is_no_number_ends_the_run_with_what_to_try(run, tiny_world):
    model = tiny_world.model()

    def spoil(record: StepRecord) -> None:
        if len(steps) == 4:
            with torch.no_grad():
                model.classifier.bias += math.nan
        steps.append(record)

    steps: list[StepRecord] = []
    records = run(model, after_step=spoil)
    next(records)
    before = weights_of(model)
    with pytest.raises(
        TrainingError, match="the loss became nan in epoch 1, step 2; try a lower learning_rate"
    ) as raised:
        next(records)
    assert raised.value.exit_code == 1
    assert same(weights_of(model), before)  # those of the best epoch, not the ones that are NaN


def test_a_validation_loss_that_is_no_number_ends_the_run_and_is_in_no_record(run, tiny_world):
    model, steps = tiny_world.model(), list[StepRecord]()

    def spoil(record: StepRecord) -> None:
        steps.append(record)
        if len(steps) == 3:  # the last of the epoch: no later loss tells
            with torch.no_grad():
                model.classifier.bias += math.nan

    with pytest.raises(TrainingError, match="the validation loss became nan in epoch 0; try a lower learning_rate"):
        next(run(model, after_step=spoil))


# --- the fast path ------------------------------------------------------------------------------------------------


def losses_of(run: Callable[..., Iterator[EpochRecord]], model: Any, config: Config) -> list[float]:
    """The loss of every step."""
    records: list[StepRecord] = []
    list(run(model, config, after_step=records.append))
    return [record.loss for record in records]


@pytest.mark.parametrize("batching", ["buckets", "packed"])
@pytest.mark.parametrize("fast_path", ["full", "exact"])
def test_without_dropout_the_fast_path_has_the_losses_of_the_models_own_forward_pass(
    fast_path, batching, run, tiny_world
):
    config = dataclasses.replace(SMALL, epochs=4, patience=4, batching=batching, precision="fp32")
    plain = dataclasses.replace(config, fast_path="off", batching="buckets" if batching == "buckets" else "dynamic")
    wanted = losses_of(run, tiny_world.model(dropout=0.0), plain)
    found = losses_of(run, tiny_world.model(dropout=0.0), dataclasses.replace(config, fast_path=fast_path))
    assert len(wanted) >= 10
    assert found[:10] == pytest.approx(wanted[:10], abs=1e-4)


def test_the_fast_path_leaves_an_ordinary_model_behind(run, tiny_world, reviews):
    model = tiny_world.model(dropout=0.2)
    list(run(model))
    embedding = model.get_input_embeddings()
    assert not embedding.sparse and not embedding._forward_pre_hooks
    accumulate_gradients(model, [reviews.batch(range(8))])
    assert embedding.weight.grad is not None and not embedding.weight.grad.is_sparse


@pytest.mark.parametrize("fast_path", ["full", "exact", "off"])
def test_only_the_full_fast_path_gives_the_embedding_a_sparse_gradient(fast_path, run, tiny_world):
    model, sparse = tiny_world.model(), []

    def note(record: StepRecord) -> None:
        sparse.append(model.get_input_embeddings().weight.grad.is_sparse)

    list(run(model, dataclasses.replace(SMALL, fast_path=fast_path, epochs=1), after_step=note))
    assert set(sparse) == {fast_path == "full"}


def test_an_embedding_that_something_else_reads_does_not_wait(run, tiny_world):
    model = tiny_world.model()
    model.reader = nn.Linear(1, 1)
    model.reader.weight = model.get_input_embeddings().weight
    list(run(model, dataclasses.replace(SMALL, epochs=1), after_step=lambda record: None))
    config, device = dataclasses.replace(SMALL), torch.device("cpu")
    assert training._embedding_that_can_wait(model, config, device) is None
    assert training._embedding_that_can_wait(tiny_world.model(), config, device) is not None


def test_a_family_without_a_fast_path_trains_with_its_own_forward_pass_and_it_is_said(run, tiny_world):
    config = ElectraConfig(vocab_size=tiny_world.tokenizer.vocab_size, embedding_size=16, hidden_size=16,
                           num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)  # fmt: skip
    notices: list[str] = []
    history = list(run(ElectraForSequenceClassification(config), tell=notices.append))
    assert history
    assert notices[0] == "no fast path for electra: its own forward pass, in length buckets"


# --- going on -----------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


@pytest.mark.parametrize("batching", ["buckets", "packed"])
def test_a_run_killed_after_any_step_goes_on_to_the_same_bits(batching, run, tiny_world, tmp_path):
    config = dataclasses.replace(SMALL, batching=batching, checkpoint_seconds=0.0, epochs=2)
    whole_model = tiny_world.model(dropout=0.2)
    whole = list(run(whole_model, config))
    for killed_after in range(1, 2 * 3 + 1):
        checkpoints = CheckpointFolder(tmp_path / f"{batching}-{killed_after}")
        counted: list[StepRecord] = []

        def kill(record: StepRecord, counted: list[StepRecord] = counted, last: int = killed_after) -> None:
            counted.append(record)
            if len(counted) == last:
                raise Killed

        with pytest.raises(Killed):
            list(run(config=config, checkpoints=checkpoints, after_step=kill))
        torch.rand(5)
        # after the first step nothing is saved yet; from the second on the weights come from the checkpoint
        model = tiny_world.model(dropout=0.2, seed=0 if killed_after == 1 else 9)
        assert list(run(model, config, checkpoints=checkpoints)) == whole
        assert same(weights_of(model), weights_of(whole_model))


def test_a_run_that_is_asked_to_stop_saves_and_goes_on_to_the_same_bits(run, tiny_world, tmp_path):
    whole_model = tiny_world.model(dropout=0.2)
    whole = list(run(whole_model))
    checkpoints = CheckpointFolder(tmp_path)
    model, seen = None, list[EpochRecord]()
    for _ in range(20):
        model = tiny_world.model(dropout=0.2)
        asked = iter([False, True])
        try:
            seen = list(run(model, checkpoints=checkpoints, should_stop=lambda asked=asked: next(asked)))
            break
        except TrainingStopped:
            continue
    assert seen == whole
    assert same(weights_of(model), weights_of(whole_model))


def test_finished_epochs_come_again_when_a_run_goes_on(run, tiny_world, tmp_path):
    first = run(checkpoints=CheckpointFolder(tmp_path))
    records = [next(first), next(first)]
    del first
    steps: list[StepRecord] = []
    again = list(run(checkpoints=CheckpointFolder(tmp_path), after_step=steps.append))
    assert again[:2] == records
    assert len(steps) == 3  # of the third epoch alone


def test_a_micro_batch_that_was_halved_stays_halved_when_the_run_goes_on(run, tmp_path, monkeypatch):
    from labkit.training import fit as training

    def cramped(model: Any, pieces: Any, precision: Any) -> float:
        if max(len(piece.indices) for piece in pieces) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return accumulate_gradients(model, pieces, precision)

    monkeypatch.setattr(training, "accumulate_gradients", cramped)
    notices: list[str] = []
    next(run(checkpoints=CheckpointFolder(tmp_path), tell=notices.append))
    history = list(run(checkpoints=CheckpointFolder(tmp_path), tell=notices.append))
    assert [notice for notice in notices if "memory" in notice] == [
        "out of memory with 6 reviews at once: going on with 3, accumulated as before"
    ]
    assert [record.micro_batch_size for record in history] == [3, 3, 3]


@pytest.mark.slow
@pytest.mark.parametrize("micro", UNEVEN)
def test_a_step_of_minilm_is_the_same_however_it_is_divided(micro, users_cache, movie_reviews):
    model, tokenizer = load_encoder("minilm", dropout=0.0)
    chosen = movie_reviews.select(range(32))
    batch = Batcher(tokenize(chosen.texts, tokenizer), chosen.labels).batch(range(32))
    loss = accumulate_gradients(model, [batch])
    wanted = gradients_of(model)
    assert accumulate_gradients(model, batch.split(micro)) == pytest.approx(loss, rel=1e-5)
    assert_equal_gradients(gradients_of(model), wanted, 1e-5)

"""Laws of the loop: however a step is divided it is the same step, and evaluation leaves no trace."""

import copy
import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from transformers import get_linear_schedule_with_warmup
from weights import same, weights_of

from labkit.data.batching import BATCHINGS, Batcher
from labkit.data.tokens import tokenize
from labkit.models.encoders import load_encoder
from labkit.training.loop import (
    StepRecord,
    accumulate_gradients,
    eval_epoch,
    linear_schedule,
    train_epoch,
    warmup_linear,
)
from labkit.training.optimizer import make_optimizer
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
    random_state = torch.get_rng_state()
    results = [eval_epoch(model, divided(batch_of, [5, 3])) for _ in range(2)]
    assert torch.equal(results[0].logits, results[1].logits)  # dropout was off
    assert not results[0].logits.requires_grad
    assert torch.is_grad_enabled()
    assert {name: module.training for name, module in model.named_modules()} == modes
    assert len(set(modes.values())) == 2
    assert {name: parameter.requires_grad for name, parameter in model.named_parameters()} == wanted
    assert same(gradients_of(model), gradients)
    assert same(weights_of(model), weights)
    assert torch.equal(torch.get_rng_state(), random_state)


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

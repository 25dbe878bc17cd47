"""The checks of lesson 03: right answers in many styles pass, wrong ones get the hint that fits."""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pytest
import torch
from checking import (
    ExerciseLaws,
    verdicts,
)
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn.functional import cross_entropy, pad
from transformers import get_linear_schedule_with_warmup

import labkit
from labkit.checks import Exercise, exercise, exercises_in
from labkit.checks.exercise import OTHER_FORM
from labkit.lessons.exercises import fine_tuning
from labkit.lessons.exercises.fine_tuning.accumulate_gradients import accumulate_gradients_reference
from labkit.lessons.exercises.fine_tuning.batching import loss_and_gradients, one_big_batch
from labkit.lessons.exercises.fine_tuning.train_epoch import NO_LIMIT, train_epoch_reference
from labkit.lessons.exercises.fine_tuning.warmup_linear import warmup_linear_reference
from labkit.lessons.observers.fine_tuning import small_classifier, tensors

EXERCISES = exercises_in(fine_tuning)

Batch = Mapping[str, torch.Tensor]

# Right answers


def warmup_by_interpolation(step: int, warmup_steps: int, total_steps: int) -> Any:
    if warmup_steps == 0:
        return np.interp(step, [0, total_steps], [1.0, 0.0])
    return np.interp(step, [0, warmup_steps, total_steps], [0.0, 1.0, 0.0])


def warmup_by_torch(step: int, warmup_steps: int, total_steps: int) -> Any:
    falling = torch.tensor((total_steps - step) / (total_steps - warmup_steps)).clamp(min=0)
    return torch.minimum(torch.tensor(step / max(1, warmup_steps)), falling) if warmup_steps else falling


def warmup_by_cases(step: int, warmup_steps: int, total_steps: int) -> float:
    if step >= total_steps:
        return 0
    if step >= warmup_steps:
        return 1 - (step - warmup_steps) / (total_steps - warmup_steps)
    return step / warmup_steps


def warmup_by_transformers(step: int, warmup_steps: int, total_steps: int) -> float:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    (multiplier,) = get_linear_schedule_with_warmup(optimizer, warmup_steps, total_steps).lr_lambdas
    return multiplier(step)


def groups_by_dimension(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    decayed, spared = [], []
    for parameter in model.parameters():
        if parameter.requires_grad:
            (decayed if parameter.ndim >= 2 else spared).append(parameter)
    return [{"params": spared, "weight_decay": 0}, {"params": decayed, "weight_decay": weight_decay}]


def groups_of_one(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [{"params": [each], "weight_decay": weight_decay if each.dim() > 1 else 0.0} for each in trainable]


def groups_by_module(model: nn.Module, weight_decay: float) -> Any:
    """Layer by layer, what was seen before left out; named pairs, and an empty group in front."""
    seen: set[int] = set()
    decays: dict[float, list[Any]] = {weight_decay: [], 0.0: []}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                decays[weight_decay if len(parameter.shape) > 1 else 0.0].append((name, parameter))
    empty: dict[str, Any] = {"params": [], "weight_decay": 0.0}
    return [empty, *({"params": params, "weight_decay": decay, "lr": 1.0} for decay, params in decays.items())]


def accumulate_sums(model: nn.Module, micro_batches: Iterable[Batch]) -> float:
    """Gradients of sums, divided by the number of examples once it is known."""
    for parameter in model.parameters():
        parameter.grad = None
    total, count = 0.0, 0
    for batch in micro_batches:
        size = batch["input_ids"].shape[0]
        loss = model(**batch).loss * size
        loss.backward()
        total, count = total + float(loss), count + size
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.grad /= count
    return total / count


def accumulate_one_big_batch(model: nn.Module, micro_batches: Iterable[Batch]) -> Any:
    batches = list(micro_batches)
    width = max(batch["input_ids"].shape[1] for batch in batches)
    ids, mask = (
        torch.cat([pad(batch[name], (0, width - batch[name].shape[1])) for batch in batches])
        for name in ("input_ids", "attention_mask")
    )
    model.zero_grad()
    loss = model(input_ids=ids, attention_mask=mask, labels=torch.cat([batch["labels"] for batch in batches])).loss
    loss.backward()
    return loss.detach()


def accumulate_example_by_example(model: nn.Module, micro_batches: Iterable[Batch]) -> Any:
    """Every review alone, its loss from the logits, gradients by autograd.grad."""
    rows = [
        {name: value[place : place + 1] for name, value in batch.items()}
        for batch in micro_batches
        for place in range(len(batch["labels"]))
    ]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    sums: list[Any] = [0.0] * len(trainable)
    losses = []
    for row in rows:
        output = model(input_ids=row["input_ids"], attention_mask=row["attention_mask"])
        loss = cross_entropy(output.logits, row["labels"])
        gradients = torch.autograd.grad(loss, trainable, materialize_grads=True)
        sums = [one + other for one, other in zip(sums, gradients, strict=True)]
        losses.append(loss.item())
    for parameter, gradient in zip(trainable, sums, strict=True):
        parameter.grad = gradient / len(rows)
    return np.mean(losses)


def train_by_hand(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: Any,
    scheduler: Any,
    accumulation_steps: int = 1,
    max_grad_norm: float = 1.0,
) -> float:
    """Group by group, every line of it written out, clipping too."""
    model.train()
    losses: list[float] = []
    for _, numbered in itertools.groupby(enumerate(batches), lambda pair: pair[0] // accumulation_steps):
        group = [batch for _, batch in numbered]
        optimizer.zero_grad(set_to_none=True)
        count = sum(len(batch["labels"]) for batch in group)
        for batch in group:
            each = cross_entropy(model(**batch).logits, batch["labels"], reduction="none")
            (each.sum() / count).backward()
            losses += each.tolist()
        gradients = [parameter.grad for parameter in model.parameters() if parameter.grad is not None]
        norm = math.sqrt(sum(float((gradient**2).sum()) for gradient in gradients))
        for gradient in gradients:
            gradient.mul_(min(1.0, max_grad_norm / norm))
        optimizer.step()
        scheduler.step()
    return math.fsum(losses) / len(losses)


def train_with_a_counter(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: Any,
    scheduler: Any,
    accumulation_steps: int = 1,
    max_grad_norm: float = 1.0,
) -> Any:
    """Batch by batch: gradients of sums, divided when the group is full or the last batch has come."""
    model.train()
    model.zero_grad()
    batches = list(batches)
    total, seen, in_group = torch.tensor(0.0, dtype=torch.float64), 0, 0
    for number, batch in enumerate(batches, start=1):
        size = len(batch["labels"])
        loss = model(**batch)["loss"] * size
        loss.backward()
        total, seen, in_group = total + loss.detach(), seen + size, in_group + size
        if number % accumulation_steps == 0 or number == len(batches):
            for parameter in model.parameters():
                if parameter.grad is not None:
                    parameter.grad.div_(in_group)
            nn.utils.clip_grad_norm_(model.parameters(), max_grad_norm, foreach=False)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            in_group = 0
    return total / seen


def train_on_big_batches(
    model: nn.Module,
    batches: Iterable[Batch],
    optimizer: Any,
    scheduler: Any,
    accumulation_steps: int = 1,
    max_grad_norm: float = 1.0,
) -> float:
    """A closure for the optimizer, and each group as one big batch."""
    training = model.training
    model.train()
    iterator = iter(batches)
    losses, counts = [], []
    while group := list(itertools.islice(iterator, accumulation_steps)):

        def closure(group: list[Batch] = group) -> Any:
            loss = accumulate_one_big_batch(model, group)
            nn.utils.clip_grad_norm_(list(model.parameters()), max_norm=max_grad_norm)
            return loss

        losses.append(float(optimizer.step(closure)))
        scheduler.step()
        counts.append(sum(len(batch["labels"]) for batch in group))
    model.train(training)
    return float(np.average(losses, weights=counts))


def eval_in_inference_mode(model: nn.Module, batches: Iterable[Batch]) -> Any:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    total, logits, labels = 0.0, [], []
    with torch.inference_mode():
        for batch in batches:
            output = model(**batch)
            total += output.loss.item() * len(batch["labels"])
            logits.append(output.logits)
            labels.append(batch["labels"])
    for module, training in modes.items():
        module.train(training) if not list(module.children()) else setattr(module, "training", training)
    return total / sum(map(len, labels)), torch.cat(logits), torch.cat(labels)


@torch.no_grad()
def eval_from_logits(model: nn.Module, batches: Iterable[Batch]) -> Any:
    evaluating = [module for module in model.modules() if not module.training]
    whole = model.training
    model.eval()
    rows = [(model(batch["input_ids"], batch["attention_mask"]).logits, batch["labels"]) for batch in batches]
    model.train()
    for module in evaluating:
        module.training = False
    model.training = whole
    logits, labels = (torch.vstack, torch.hstack)[0]([row for row, _ in rows]), torch.hstack([row for _, row in rows])
    return cross_entropy(logits, labels), logits, labels


def eval_review_by_review(model: nn.Module, batches: Iterable[Batch]) -> Any:
    modes = [module.training for module in model.modules()]
    losses, logits, labels = [], [], []
    try:
        model.train(False)
        with torch.set_grad_enabled(False):
            for batch in batches:
                for place in range(batch["labels"].numel()):
                    output = model(**{name: value[place : place + 1] for name, value in batch.items()})
                    losses.append(float(output[0]))
                    logits.append(output[1][0].tolist())
                    labels.append(int(batch["labels"][place]))
    finally:
        for module, training in zip(model.modules(), modes, strict=True):
            module.training = training
    return np.mean(losses), torch.tensor(logits), torch.tensor(labels)


RIGHT: dict[str, list[Callable[..., Any]]] = {
    "3.1": [
        labkit.warmup_linear,
        warmup_by_interpolation,
        warmup_by_torch,
        warmup_by_cases,
        warmup_by_transformers,
    ],
    "3.2": [labkit.parameter_groups, groups_by_dimension, groups_of_one, groups_by_module],
    "3.3": [
        labkit.accumulate_gradients,
        accumulate_sums,
        accumulate_one_big_batch,
        accumulate_example_by_example,
    ],
    "3.4": [labkit.train_epoch, train_by_hand, train_with_a_counter, train_on_big_batches],
    "3.5": [labkit.eval_epoch, eval_in_inference_mode, eval_from_logits, eval_review_by_review],
}

# Wrong answers beside the known ones, each with words that its hint must have


def warmup_in_per_cent(step: int, warmup_steps: int, total_steps: int) -> float:
    return 100 * warmup_linear_reference(step, warmup_steps, total_steps)


def warmup_as_text(step: int, warmup_steps: int, total_steps: int) -> Any:
    return str(warmup_linear_reference(step, warmup_steps, total_steps))


def warmup_with_noise(step: int, warmup_steps: int, total_steps: int) -> float:
    return warmup_linear_reference(step, warmup_steps, total_steps) + 0 * float(np.random.rand())


def groups_as_tuple(model: nn.Module, weight_decay: float) -> Any:
    return tuple(groups_by_dimension(model, weight_decay))


def groups_that_freeze(model: nn.Module, weight_decay: float) -> Any:
    groups = groups_by_dimension(model, weight_decay)
    model.requires_grad_(False)
    return groups


def groups_of_matrices_alone(model: nn.Module, weight_decay: float) -> Any:
    return groups_by_dimension(model, weight_decay)[1:]


def groups_of_copies(model: nn.Module, weight_decay: float) -> Any:
    groups = groups_by_dimension(model, weight_decay)
    return [{**group, "params": [each.detach().clone() for each in group["params"]]} for group in groups]


def accumulate_and_evaluate(model: nn.Module, micro_batches: Iterable[Batch]) -> float:
    model.eval()
    return accumulate_sums(model, micro_batches)


def accumulate_and_train(model: nn.Module, micro_batches: Iterable[Batch]) -> float:
    model.train()
    return accumulate_sums(model, micro_batches)


def accumulate_into_the_batches(model: nn.Module, micro_batches: Iterable[Batch]) -> float:
    batches = list(micro_batches)
    loss = accumulate_sums(model, batches)
    for batch in batches:
        batch["labels"].zero_()
    return loss


def accumulate_nothing(model: nn.Module, micro_batches: Iterable[Batch]) -> float:
    before = [each.grad for each in model.parameters()]
    loss = accumulate_sums(model, micro_batches)
    for each, gradient in zip(model.parameters(), before, strict=True):
        each.grad = gradient
    return loss


def accumulate_tensors(model: nn.Module, micro_batches: Iterable[Batch]) -> Any:
    return torch.full((1,), accumulate_sums(model, micro_batches))


def accumulate_only_dicts(model: nn.Module, micro_batches: Iterable[Batch]) -> float:
    return accumulate_sums(model, [{**batch} if isinstance(batch, dict) else batch.copy(1) for batch in micro_batches])


def accumulate_without_zeroing_the_unused(model: nn.Module, micro_batches: Iterable[Batch]) -> float:
    old = {each: each.grad for each in model.parameters()}
    loss = accumulate_sums(model, micro_batches)
    for each, gradient in old.items():
        each.grad = gradient if each.grad is None else each.grad
    return loss


def training(change: Callable[..., Any] = lambda *arguments: None, **defaults: Any) -> Callable[..., Any]:
    """Labkit's own train_epoch, with other defaults, and something more done at the end."""
    settings = {"accumulation_steps": 1, "max_grad_norm": 1.0} | defaults

    def answer(model: nn.Module, batches: Any, optimizer: Any, scheduler: Any, **named: Any) -> Any:
        given = list(batches)
        loss = labkit.train_epoch(model, given, optimizer, scheduler, **settings | named)
        changed = change(model, given, optimizer, scheduler)
        return loss if changed is None else changed

    return answer


def one_step_too_many(model: nn.Module, batches: Any, optimizer: Any, scheduler: Any) -> None:
    labkit.accumulate_gradients(model, batches)
    optimizer.step()


def one_scheduler_step_too_many(model: nn.Module, batches: Any, optimizer: Any, scheduler: Any) -> None:
    scheduler.step()


def batches_changed(model: nn.Module, batches: Any, optimizer: Any, scheduler: Any) -> None:
    for batch in batches:
        batch["labels"] += 1


def as_a_list(model: nn.Module, batches: Any, optimizer: Any, scheduler: Any) -> Any:
    return [0.5]


def seeding(model: nn.Module, batches: Any, optimizer: Any, scheduler: Any) -> None:
    torch.manual_seed(0)


def train_nothing(model: nn.Module, batches: Any, optimizer: Any, scheduler: Any, **named: Any) -> Any:
    loss, _, _ = labkit.eval_epoch(model, batches)
    return loss


def train_with_positional_defaults_only(
    model: nn.Module, batches: Any, optimizer: Any, scheduler: Any, accumulation_steps: int, max_grad_norm: float
) -> Any:
    return labkit.train_epoch(model, batches, optimizer, scheduler, accumulation_steps, max_grad_norm)


def evaluating(change: Callable[..., Any]) -> Callable[..., Any]:
    """Labkit's own eval_epoch, with something done to what it gives."""
    return lambda model, batches: change(model, *labkit.eval_epoch(model, batches))


def eval_of_columns(model: nn.Module, loss: float, logits: torch.Tensor, labels: torch.Tensor) -> Any:
    return loss, logits.T, labels


def eval_as_arrays(model: nn.Module, loss: float, logits: torch.Tensor, labels: torch.Tensor) -> Any:
    return loss, logits.numpy(), labels.numpy()


def eval_as_list(model: nn.Module, loss: float, logits: torch.Tensor, labels: torch.Tensor) -> Any:
    return [loss, logits, labels]


def eval_of_predictions(model: nn.Module, loss: float, logits: torch.Tensor, labels: torch.Tensor) -> Any:
    return loss, logits, logits.argmax(dim=1)


def eval_that_zeroes(model: nn.Module, loss: float, logits: torch.Tensor, labels: torch.Tensor) -> Any:
    model.zero_grad()
    return loss, logits, labels


def eval_that_trains(model: nn.Module, loss: float, logits: torch.Tensor, labels: torch.Tensor) -> Any:
    with torch.no_grad():
        next(model.parameters()).mul_(0.99)
    return loss, logits, labels


def eval_that_seeds(model: nn.Module, loss: float, logits: torch.Tensor, labels: torch.Tensor) -> Any:
    np.random.seed(0)
    return loss, logits, labels


def eval_with_two_things(model: nn.Module, loss: float, logits: torch.Tensor, labels: torch.Tensor) -> Any:
    return loss, logits


def eval_that_pops(model: nn.Module, batches: Any) -> Any:
    given = list(batches)
    found = labkit.eval_epoch(model, given)
    for batch in given:
        batch.pop("labels")
    return found


OTHER_WRONG: list[tuple[str, Any, str]] = [
    ("3.1", warmup_in_per_cent, "Draw the first steps"),
    ("3.1", warmup_as_text, OTHER_FORM),
    ("3.1", warmup_with_noise, "global random state"),
    ("3.2", groups_as_tuple, "a list of dicts"),
    ("3.2", groups_that_freeze, "Work on a copy"),
    ("3.2", groups_of_matrices_alone, "Which should not shrink"),
    ("3.2", groups_of_copies, "Print name, shape and decay"),
    ("3.3", accumulate_and_evaluate, "switches between training and evaluation mode"),
    ("3.3", accumulate_and_train, "switches between training and evaluation mode"),
    ("3.3", accumulate_into_the_batches, "Work on a copy"),
    ("3.3", accumulate_nothing, "With one micro-batch there is nothing to accumulate"),
    ("3.3", accumulate_tensors, OTHER_FORM),
    ("3.3", accumulate_only_dicts, "raised TypeError"),
    ("3.3", accumulate_without_zeroing_the_unused, "Gradients of an earlier call"),
    ("3.4", training(one_step_too_many), "Write down what has to happen once a batch"),
    ("3.4", training(one_scheduler_step_too_many), "Note the learning rate"),
    ("3.4", training(batches_changed), "Work on a copy"),
    ("3.4", training(as_a_list), OTHER_FORM),
    ("3.4", training(seeding), "global random state"),
    ("3.4", training(accumulation_steps=2), "Called without the last two arguments"),
    ("3.4", training(max_grad_norm=5.0), "Called without the last two arguments"),
    ("3.4", train_nothing, "Write down what has to happen once a batch"),
    ("3.4", train_with_positional_defaults_only, "raised TypeError"),
    ("3.5", evaluating(eval_of_columns), "Print the shape of your logits"),
    ("3.5", evaluating(eval_as_arrays), "asks for a tuple"),
    ("3.5", evaluating(eval_as_list), "asks for a tuple"),
    ("3.5", evaluating(eval_of_predictions), "one number a review, as the batches have them"),
    ("3.5", evaluating(eval_that_zeroes), "Work on a copy"),
    ("3.5", evaluating(eval_that_trains), "Work on a copy"),
    ("3.5", evaluating(eval_that_seeds), "global random state"),
    ("3.5", evaluating(eval_with_two_things), "but no labels"),
    ("3.5", eval_that_pops, "Work on a copy"),
]

of_each = pytest.mark.parametrize("one", EXERCISES, ids=lambda one: one.id)


@of_each
def test_six_or_more_wrong_answers_are_known(one: Exercise) -> None:
    assert len(one.misconceptions) >= 6


# Lazy answers


def zero_gradients(model: nn.Module, micro_batches: Any) -> float:
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    return 0.0


def zero_logits(model: nn.Module, batches: Any) -> Any:
    labels = torch.cat([batch["labels"] for batch in batches])
    return 0.0, torch.zeros(len(labels), 3), torch.zeros_like(labels)


def steps_without_a_forward(
    model: nn.Module, batches: Any, optimizer: Any, scheduler: Any, accumulation_steps: int = 1, max_grad_norm: Any = 1
) -> float:
    for _ in range(-(-len(list(batches)) // accumulation_steps)):
        optimizer.step()
        scheduler.step()
    return 0.0


TRIVIAL: list[tuple[str, Any]] = [
    ("3.1", lambda step, warmup_steps, total_steps: step),
    ("3.1", lambda step, warmup_steps, total_steps: 0.5),
    ("3.1", lambda step, warmup_steps, total_steps: float(step >= warmup_steps)),
    ("3.2", lambda model, weight_decay: [{"params": [], "weight_decay": weight_decay}]),
    ("3.2", lambda model, weight_decay: [{"params": model.parameters()}]),
    ("3.3", zero_gradients),
    ("3.3", lambda model, micro_batches: model),
    ("3.3", lambda model, micro_batches: labkit.eval_epoch(model, micro_batches).loss),
    ("3.4", steps_without_a_forward),
    ("3.4", train_nothing),
    ("3.5", zero_logits),
    ("3.5", lambda model, batches: (0.0, *next(iter(batches)).values())),
]


SLOWEST = {name: answers[-1] for name, answers in RIGHT.items()}


class TestExercises(ExerciseLaws):
    exercises = EXERCISES
    right = RIGHT
    wrong = OTHER_WRONG
    trivial = TRIVIAL
    slowest = SLOWEST


@pytest.mark.parametrize("one", EXERCISES[2:], ids=lambda one: one.id)
def test_one_mistake_does_not_cost_everything(one: Exercise) -> None:
    """Most known wrong answers keep the points of what they have right."""
    points = [points for known in one.misconceptions[::3] for _, points in verdicts(one, known.answer, seeds=1)]
    assert sum(each > 0 for each in points) > len(points) / 2


# The references stand on other people's code


@given(st.integers(0, 300), st.integers(0, 99), st.integers(100, 200))
def test_the_reference_of_warmup_linear_is_transformers_schedule(
    step: int, warmup_steps: int, total_steps: int
) -> None:
    wanted = warmup_by_transformers(step, warmup_steps, total_steps)
    assert warmup_linear_reference(step, warmup_steps, total_steps) == pytest.approx(wanted, abs=1e-12)


def cases_of(name: str) -> list[Any]:
    return list(exercise(name).cases(np.random.default_rng(0)))


def test_the_gradient_of_one_big_batch_is_the_mean_of_the_gradients_of_single_reviews() -> None:
    for case in cases_of("3.3"):
        loss, gradients = accumulate_gradients_reference(case)
        model = small_classifier(case.inputs["_model"])
        assert accumulate_example_by_example(model, tensors(case.inputs["_batches"])) == pytest.approx(loss, abs=1e-12)
        for name, parameter in model.named_parameters():
            found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            if name in dict(gradients) and "unused" not in name:
                np.testing.assert_allclose(found.detach().numpy(), gradients[name].values, atol=1e-10)


def test_the_reference_of_train_epoch_is_plain_sgd_of_torch() -> None:
    for case in cases_of("3.4"):
        given = case.inputs
        model = small_classifier(given["_model"]).train()
        model.zero_grad()
        batches, size = tensors(given["_batches"]), given.get("accumulation_steps", 1)
        rates = train_epoch_reference(case).rates
        optimizer = torch.optim.SGD([each for each in model.parameters() if each.requires_grad])
        for number, rate in enumerate(rates):
            optimizer.param_groups[0]["lr"] = rate
            optimizer.zero_grad()
            model(**one_big_batch(batches[number * size : (number + 1) * size])).loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), given.get("max_grad_norm", 1.0))
            optimizer.step()
        for name, parameter in model.named_parameters():
            wanted = train_epoch_reference(case).weights[name].values
            np.testing.assert_allclose(parameter.detach().numpy(), wanted, atol=1e-5)


def test_clipping_shows_where_it_is_asked_for_and_nowhere_else() -> None:
    """However the model and the batches are drawn: else a wrong limit would cost points by luck."""
    for seed in range(200):
        for case in exercise("3.4").cases(np.random.default_rng(seed)):
            given = case.inputs
            model, size = small_classifier(given["_model"]).train(), given.get("accumulation_steps", 1)
            group = one_big_batch(tensors(given["_batches"])[:size])
            _, gradients = loss_and_gradients(model, group)
            norm = float(torch.cat([each.flatten() for each in gradients.values()]).norm())
            limit = given.get("max_grad_norm", 1.0)
            assert norm > 1.2 * limit if case.label in ("clipped", "default") else norm < 0.8 < NO_LIMIT
            if seed and case.label != "uneven":
                break

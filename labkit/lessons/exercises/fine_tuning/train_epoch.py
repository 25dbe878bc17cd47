"""Exercise 3.4, train_epoch: what happens once a group, and in which order."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache, partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Array, close, is_number, plain, shown
from labkit.lessons.exercises.fine_tuning import batching
from labkit.lessons.exercises.fine_tuning.batching import Batch, Batches
from labkit.lessons.observers import fine_tuning as observers

NO_LIMIT = 1000.0
# Logits so small that no gradient comes near the default limit: clipping shows in the cases that are about it, and only there.
SMALL_GAIN = 0.1
DECAY = (1.0, 0.8, 0.5, 0.2, 0.1)
FIXED = np.random.default_rng(34)  # draws the fixed cases, one after the other
DROPOUT: dict[str, Any] = {"model": "a small classifier with dropout, in evaluation mode", "dropout": True}


def _inputs(
    generator: np.random.Generator,
    sizes: Sequence[int],
    accumulation_steps: int | None = 1,
    max_grad_norm: float = NO_LIMIT,
    multipliers: Sequence[float] = (1.0,),
    learning_rate: float = 4.0,
    **more: Any,
) -> Inputs:
    """The inputs of a case; without accumulation_steps both limits are the defaults."""
    named = {"accumulation_steps": accumulation_steps, "max_grad_norm": max_grad_norm} if accumulation_steps else {}
    given = batching.inputs_with_batches(generator, sizes, named=named, **{"gain": SMALL_GAIN} | more)
    return {**given, "_learning_rate": learning_rate, "_multipliers": list(multipliers)}


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    torch.optim.SGD([torch.zeros(1)], lr=0.1)  # torch loads much for the first one: here once, not in every child
    sizes = batching.uneven_sizes(generator, most=3)
    yield "uneven", _inputs(generator, sizes, accumulation_steps=len(sizes))


class Epoch(NamedTuple):
    """The weights at its end, each step's learning rate, the mean loss per example."""

    weights: Mapping[str, Array]
    rates: Sequence[float]
    loss: float


@lru_cache(512)  # each property asks for it
def train_epoch_reference(case: Case) -> Epoch:
    """The contract: each group one big batch, clipping and steps written out."""
    given = case.inputs
    model = observers.small_classifier(given["_model"]).train()
    batches, size = observers.tensors(given["_batches"]), given.get("accumulation_steps", 1)
    limit, multipliers = given.get("max_grad_norm", 1.0), given["_multipliers"]
    rates: list[float] = []
    total = 0.0
    for start in range(0, len(batches), size):
        group = batching.one_big_batch(batches[start : start + size])
        loss, gradients = batching.loss_and_gradients(model, group)
        norm = float(torch.cat([each.flatten() for each in gradients.values()]).norm())
        rates.append(given["_learning_rate"] * multipliers[min(len(rates), len(multipliers) - 1)])
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.sub_(gradients[name], alpha=rates[-1] * min(1.0, limit / norm))
        total += loss * batching.examples(group)
    return Epoch(plain(dict(model.named_parameters())), rates, total / sum(map(batching.examples, batches)))


def _steps_agree(case: Case, observation: Observation) -> Failure | None:
    wanted = train_epoch_reference(case).rates
    rates, steps = observation.value["rates"], observation.value["scheduler_steps"]
    if close(rates, wanted) and steps == len(wanted):
        return None
    return Failure(
        f"optimizer steps at {shown(wanted)}, {len(wanted)} scheduler steps",
        f"optimizer steps at {shown(rates)}, {shown(steps)} scheduler steps",
    )


def _in_groups(batches: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(batches)
    while group := list(islice(iterator, size)):
        yield group


def _clip(model: nn.Module, limit: float) -> Any:
    return nn.utils.clip_grad_norm_(model.parameters(), limit)


def _training(
    groups: Callable[[Any, int], Iterable[list[Any]]] = _in_groups,
    part: Callable[[Batch, Batches, int], float] = lambda batch, group, size: batching.share(batch, group),
    clip: Callable[[nn.Module, float], Any] = _clip,
    group_start: str = "zero",
    before_batch: str = "",
    after_batch: str = "",
    group_end: str = "clip optimizer scheduler",
    trains: bool = True,
    returned: Callable[[list[float], Batches], float] = batching.mean_loss,
) -> Any:
    """A wrong answer, right but for what is given."""

    def answer(
        model: Any,
        batches: Any,
        optimizer: Any,
        scheduler: Any,
        accumulation_steps: int = 1,
        max_grad_norm: float = 1.0,
    ) -> float:
        steps = {"zero": optimizer.zero_grad, "optimizer": optimizer.step, "scheduler": scheduler.step}
        steps["clip"] = partial(clip, model, max_grad_norm)

        def take(names: str) -> None:
            for name in names.split():
                steps[name]()

        model.train(trains)
        losses: list[float] = []
        seen: list[Batch] = []
        for group in groups(batches, accumulation_steps):
            take(group_start)
            for batch in group:
                take(before_batch)
                loss = model(**batch).loss
                (loss * part(batch, group, accumulation_steps)).backward()
                losses.append(loss.item())
                seen.append(batch)
                take(after_batch)
            take(group_end)
        return returned(losses, seen)

    return answer


def _whole_groups_only(batches: Iterable[Any], size: int) -> Iterator[list[Any]]:
    return (group for group in _in_groups(batches, size) if len(group) == size)


def _at_multiples(batches: Iterable[Any], size: int) -> Iterator[list[Any]]:
    """A step after the first batch, then after every `size` more, none for the rest."""
    iterator = iter(batches)
    yield list(islice(iterator, 1))
    yield from _whole_groups_only(iterator, size)


EXERCISE = Exercise(
    "3.4",
    "train_epoch",
    observers.train_epoch,
    nudge=(
        "Write down in which order it happens: forward, backward, clip, step, schedule, forget. Which of these happen"
        " once a batch, and which once a group?"
    ),
    in_words=(
        "Gather batches into groups. Of each group take the gradient of its mean loss over all its examples, as in "
        "the exercise before; then clip it, let the optimizer step, then the scheduler, and begin the next group with"
        " no gradient. The last group may be shorter: its mean is over what it has."
    ),
    drawn=_drawn,
    test=lambda case, observation: batching.unlike(
        "after the epoch", observation.value["weights"], train_epoch_reference(case).weights
    ),
    same=close,
    keeps_arguments="the batches, requires_grad or the grad mode",
    properties=(
        Property(
            "every batch is a step where accumulation_steps is 1",
            "Write down what has to happen once a batch, from forward to the scheduler, and compare it with your loop.",
            on="plain",
            fixed=[_inputs(FIXED, [3]), _inputs(FIXED, [2, 2, 2])],
            core=True,
        ),
        Property(
            "a group of batches moves the weights like one big batch",
            "What has to happen once a batch, and what once a group? And to what do the parts of a group add up?",
            fixed=[_inputs(FIXED, [2, 2], 2), _inputs(FIXED, [2] * 6, 3)],
            core=True,
            idea=True,
        ),
        Property(
            "a last, shorter group is a group too",
            "Give your answer fewer batches than make a whole number of groups. What becomes of the last ones?",
            fixed=[_inputs(FIXED, [2, 2, 2], 2), _inputs(FIXED, [3, 3], 4), _inputs(FIXED, [2] * 6, 4)],
        ),
        Property(
            "batches of different sizes count by their examples",
            "Within a group every example is to count the same, whatever the size of its batch: that was exercise 3.3.",
            on="uneven",
            fixed=[_inputs(FIXED, [4, 1], 2), _inputs(FIXED, [1, 5, 2, 3], 2)],
            core=True,
        ),
        Property(
            "gradients are clipped to max_grad_norm before the step",
            "How large may the gradient of all parameters together be when the optimizer steps, and where do you see to that?",
            on="clipped",
            fixed=[_inputs(FIXED, [3, 3], max_grad_norm=0.01), _inputs(FIXED, [2] * 4, 2, max_grad_norm=0.02)],
        ),
        Property(
            "by default every batch is a step, clipped to a norm of 1",
            "Called without the last two arguments, your answer does something else. Which defaults does the exercise name?",
            on="default",
            fixed=[_inputs(FIXED, [2] * 4, None, learning_rate=0.1, gain=2.0)],
        ),
        Property(
            "the scheduler steps once after each step of the optimizer",
            "Note the learning rate of each optimizer step: is it the one that the schedule has for this step?",
            fixed=[_inputs(FIXED, [2, 2, 2], multipliers=DECAY), _inputs(FIXED, [2] * 4, 2, multipliers=DECAY)],
            test=_steps_agree,
        ),
        Property(
            "the model trains in training mode",
            "The model may come in evaluation mode, as after an eval_epoch. Which mode does training need?",
            fixed=[
                _inputs(FIXED, [2, 2, 2], **DROPOUT, evaluating=[""]),
                _inputs(FIXED, [2, 2], 2, **DROPOUT, evaluating=["dropout", "mix"]),
            ],
        ),
        Property(
            "no gradient that stood before leaks in",
            "Gradients that stood before your call end up in the first step. When do you put them away?",
            fixed=[_inputs(FIXED, [2, 2], old_gradients=True)],
        ),
        Property(
            "any iterable of mappings will do",
            "The batches need be no list, and none of them a dict. What does your answer ask of them beyond a loop?",
            fixed=[_inputs(FIXED, [2] * 4, 2, form="mappings"), _inputs(FIXED, [2] * 4, 2, form="generator")],
        ),
        Property(
            "returns the mean loss per example",
            "The mean is over all examples of the epoch, each with the loss that it had when its batch came by.",
            on=("returned", "plain"),
            fixed=[_inputs(FIXED, [4, 1, 2]), _inputs(FIXED, [2, 2, 3, 3], 2)],
            test=lambda case, observation: batching.other_loss(observation, train_epoch_reference(case).loss),
        ),
        returns("a number", lambda value: is_number(value["returned"])),
    ),
    wrong={
        "steps at multiples, from the first batch on": (
            "Your first step comes after a single batch: counting from 0, the first number is already a multiple.",
            _training(_at_multiples, lambda batch, group, size: 1 / size),
        ),
        "drops the last, shorter group": (
            "The last batches are forgotten: your step comes only when a group is full.",
            _training(_whole_groups_only),
        ),
        "drops the last, shorter group, each batch with an equal share": (
            "The last batches get no step, since their group never fills up. Each group must come to one, also a short one.",
            _training(_whole_groups_only, lambda batch, group, size: 1 / size),
        ),
        "divides the last group as if it were full": (
            "The last group is shorter, but you divide its losses as if it were full. Its gradient comes out too small.",
            _training(part=lambda batch, group, size: 1 / size),
        ),
        "each batch of a group with an equal share": (
            "The batches of a group count the same in your gradient, however many examples each has.",
            _training(part=lambda batch, group, size: 1 / len(group)),
        ),
        "not divided at all": (
            "The batches of a group are added up and never divided: a larger group takes a larger step.",
            _training(part=lambda batch, group, size: 1.0),
        ),
        "weighted by tokens": (
            "You weigh batches by their tokens. The mean is over reviews: a long one counts as much as a short one.",
            _training(part=lambda batch, group, size: batching.share(batch, group, batching.tokens)),
        ),
        "a step for every batch": (
            "You step after every batch. With accumulation, gradients gather first, and a whole group moves the weights once.",
            _training(lambda batches, size: ([batch] for batch in batches)),
        ),
        "a single step": (
            "Your whole epoch comes to a single step. When is a group full?",
            _training(lambda batches, size: [list(batches)]),
        ),
        "no clipping": (
            "Your gradients are never clipped. One odd batch may then throw the weights far off.",
            _training(group_end="optimizer scheduler"),
        ),
        "clips after each batch": (
            "You clip after each batch of a group. What is to be limited is the gradient of the whole group, before the step.",
            _training(after_batch="clip", group_end="optimizer scheduler"),
        ),
        "clips to 1, whatever the caller says": (
            "You clip, but to a limit of your own: max_grad_norm is an argument.",
            _training(clip=lambda model, limit: _clip(model, 1.0)),
        ),
        "clips single values": (
            "You limit each number of the gradient on its own, which bends its direction. The norm of all is to be limited.",
            _training(clip=lambda model, limit: nn.utils.clip_grad_value_(model.parameters(), limit)),
        ),
        "clips each parameter on its own": (
            "You limit the gradient of each parameter on its own. The norm is that of all of them together.",
            _training(clip=lambda model, limit: [nn.utils.clip_grad_norm_(each, limit) for each in model.parameters()]),
        ),
        "scheduler before the optimizer": (
            "Your scheduler is one step ahead: each step is taken with the learning rate of the next one.",
            _training(group_end="clip scheduler optimizer"),
        ),
        "scheduler stepped for every batch": (
            "Your scheduler steps with every batch. It counts optimizer steps, so in a group it steps once.",
            _training(after_batch="scheduler", group_end="clip optimizer"),
        ),
        "scheduler never stepped": (
            "The learning rate stays what it was. Who tells the scheduler that a step was taken?",
            _training(group_end="clip optimizer"),
        ),
        "gradients never zeroed": (
            "The gradients of all earlier groups are still in each of your steps. Backward only ever adds.",
            _training(group_start=""),
        ),
        "gradients zeroed after the step only": (
            "You put gradients away after each step, but what stood there before the first one goes into it.",
            _training(group_start="", group_end="clip optimizer scheduler zero"),
        ),
        "gradients zeroed before each batch": (
            "You put the gradients to zero before each batch, so of a group only the last one is left.",
            _training(group_start="", before_batch="zero"),
        ),
        "in evaluation mode": (
            "Your model trains in evaluation mode, without dropout.",
            _training(trains=False),
        ),
        "returns the mean of the batches' means": (
            "The weights are right. In the loss that you return, batches of different sizes count the same.",
            _training(returned=lambda losses, batches: sum(losses) / len(losses)),
        ),
        "returns the last loss": (
            "The weights are right. What you return is the loss of the last batch only.",
            _training(returned=lambda losses, batches: losses[-1]),
        ),
        "returns the sum of the losses": (
            "The weights are right. What you return is a sum of losses, where a mean is asked for.",
            _training(returned=lambda losses, batches: sum(losses)),
        ),
        "asks for the number of batches": (
            "You ask how many batches there are. A generator cannot say.",
            _training(lambda batches, size: (batches[start : start + size] for start in range(0, len(batches), size))),
        ),
    },
)

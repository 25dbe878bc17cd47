"""Exercise 3.3, accumulate_gradients: many micro-batches, the gradient of one big batch."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch import nn

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Array, as_number, close, is_number, shown
from labkit.lessons.exercises.fine_tuning.batches import (
    arrays,
    batches_of,
    described,
    examples,
    loss_and_gradients,
    one_big_batch,
    unlike,
)
from labkit.lessons.observers import fine_tuning as observers


def _case(label: str, dice: np.random.Generator, sizes: Sequence[int], form: str = "list", **model: Any) -> Case:
    batches = batches_of(dice, sizes)
    inputs = {
        "model": "a small classifier",
        "micro_batches": described(batches, form),
        "_model": {"seed": int(dice.integers(1000)), **model},
        "_batches": batches,
        "_form": form,
    }
    return Case(inputs, label)


@cache
def _fixed() -> tuple[Case, ...]:
    dice = np.random.default_rng(33)
    return (
        _case("one", dice, [3]),
        _case("even", dice, [2, 2]),
        _case("even", dice, [4, 4, 4], frozen=["embedding.weight"]),
        _case("uneven", dice, [4, 1]),
        _case("uneven", dice, [1, 5, 2]),
        _case("uneven", dice, [4, 4, 4, 2]),
        _case("old", dice, [3], old_gradients=True),
        _case("old", dice, [2, 2], old_gradients=True, extras=["unused"]),
        _case("iterable", dice, [2, 2, 2], "mappings"),
        _case("iterable", dice, [3, 3], "generator"),
        _case("modes", dice, [2, 2], evaluating=["", "head"]),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    uneven = [1, *generator.integers(2, 6, size=generator.integers(1, 4)).tolist()]
    return [*_fixed(), _case("uneven", generator, uneven)]


@lru_cache(512)  # each property asks for it
def accumulate_gradients_reference(case: Case) -> tuple[float, dict[str, Array]]:
    """The contract: mean loss and gradients of all micro-batches as one batch."""
    batch = one_big_batch(observers.tensors(case.inputs["_batches"]))
    loss, gradients = loss_and_gradients(observers.small_classifier(case.inputs["_model"]), batch)
    return loss, arrays(gradients)


def _gradients_agree(case: Case, observation: Observation) -> Failure | None:
    return unlike("gradient", observation.value["gradients"], accumulate_gradients_reference(case)[1])


def _returns_mean_loss(case: Case, observation: Observation) -> Failure | None:
    wanted, found = accumulate_gradients_reference(case)[0], as_number(observation.value["returned"])
    return None if close(found, wanted) else Failure(f"returned {shown(wanted)}", f"returned {shown(found)}")


def _leaves(fact: str, what: str) -> Callable[[Case, Observation], Failure | None]:
    def test(case: Case, observation: Observation) -> Failure | None:
        kept = observation.value[fact] is True
        return None if kept else Failure(f"{what} as they were", f"{what} were changed")

    return test


# Wrong answers

Batches = Sequence[Mapping[str, torch.Tensor]]


def _accumulating(
    share: Callable[[Mapping[str, torch.Tensor], Batches], float] = lambda batch, batches: (
        examples(batch) / sum(map(examples, batches))
    ),
    returned: Callable[[list[float], Batches], float] = lambda losses, batches: float(
        np.average(losses, weights=[*map(examples, batches)])
    ),
    zero: str = "before",
    before: Callable[[nn.Module, Any], Any] = lambda model, micro_batches: list(micro_batches),
    after: Callable[[nn.Module], Any] = lambda model: None,
) -> Callable[[nn.Module, Any], float]:
    """Right but for what is given: a micro-batch's share, what is returned, when gradients are zeroed, what else is done."""

    def answer(model: nn.Module, micro_batches: Any) -> float:
        batches = before(model, micro_batches)
        if zero == "before":
            model.zero_grad()
        losses = []
        for batch in batches:
            if zero == "each":
                model.zero_grad()
            loss = model(**batch).loss
            (loss * share(batch, batches)).backward()
            losses.append(loss.item())
        after(model)
        return returned(losses, batches)

    return answer


def _equal_share(batch: Mapping[str, torch.Tensor], batches: Batches) -> float:
    return 1 / len(batches)


def _whole(batch: Mapping[str, torch.Tensor], batches: Batches) -> float:
    return 1.0


def _mean(losses: list[float], batches: Batches) -> float:
    return sum(losses) / len(losses)


def _token_share(batch: Mapping[str, torch.Tensor], batches: Batches) -> float:
    return float(batch["attention_mask"].sum()) / sum(float(each["attention_mask"].sum()) for each in batches)


def _counts_first(model: nn.Module, micro_batches: Any) -> float:
    """Goes through the micro-batches twice, as nothing but a list allows."""
    model.zero_grad()
    total = sum(examples(batch) for batch in micro_batches)
    mean_loss = 0.0
    for batch in micro_batches:
        loss = model(**batch).loss * examples(batch) / total
        loss.backward()
        mean_loss += loss.item()
    return mean_loss


def _takes_a_step(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter.sub_(parameter.grad, alpha=0.01)


EXERCISE = Exercise(
    "3.3",
    "accumulate_gradients",
    observers.accumulate_gradients,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "a single micro-batch gives its own gradient",
            "With one micro-batch there is nothing to accumulate: forward, loss, backward. What does your answer do besides?",
            on="one",
            test=_gradients_agree,
            core=True,
        ),
        Property(
            "micro-batches of one size give the gradient of one big batch",
            "Every backward adds to the gradients that are there. What must each part be multiplied by to add up to a mean?",
            on="even",
            test=_gradients_agree,
            core=True,
        ),
        Property(
            "micro-batches of different sizes do so too",
            "Every example is to count the same. How much of the whole is a micro-batch of one review beside one of four?",
            on="uneven",
            test=_gradients_agree,
            core=True,
        ),
        Property(
            "gradients that stood before are discarded",
            "Gradients of an earlier call are still in yours. When are they put away, and of which parameters?",
            on="old",
            test=_gradients_agree,
        ),
        Property(
            "any iterable of mappings will do",
            "The micro-batches need be no list, and none of them a dict. What does your answer ask of them beyond a loop?",
            on="iterable",
            test=_gradients_agree,
        ),
        Property(
            "returns the mean loss over all examples",
            "Compare what you return with the loss of one big batch of the same reviews.",
            on=("one", "even", "uneven"),
            test=_returns_mean_loss,
        ),
        Property(
            "takes no step",
            "The weights have moved. Here gradients are only gathered: the step is for whoever called.",
            test=_leaves("weights_kept", "weights"),
            witnessed=True,
        ),
        Property(
            "leaves every module in its mode",
            "Your answer switches between training and evaluation mode. That is for whoever called to decide.",
            test=_leaves("modes_kept", "modes of modules"),
            witnessed=True,
        ),
        returns("a number", lambda value: is_number(value["returned"])),
    ),
    wrong={
        "mean of the micro-batches' means": (
            "Each of your micro-batches counts the same, so the reviews of a small one count for more than those of a large.",
            _accumulating(_equal_share, _mean),
        ),
        "mean of means in the gradients alone": (
            "Your loss is right, but in the gradients a small micro-batch has as much weight as a large one.",
            _accumulating(_equal_share),
        ),
        "sum of the means": (
            "Your gradients are a sum of means, larger with every micro-batch. One big batch has one mean.",
            _accumulating(_whole, lambda losses, batches: sum(losses)),
        ),
        "sum of the means, mean loss returned": (
            "The loss that you return is a mean, but the gradients are added up in full, so they grow with every micro-batch.",
            _accumulating(_whole),
        ),
        "sum over examples": (
            "Your gradients are those of a sum over all reviews. What turns a sum into a mean?",
            _accumulating(lambda batch, batches: examples(batch)),
        ),
        "old gradients kept": (
            "Gradients that stood before your call are added to. Backward never discards anything by itself.",
            _accumulating(zero="never"),
        ),
        "gradients zeroed between micro-batches": (
            "You put the gradients to zero inside the loop, so only the last micro-batch is left of them.",
            _accumulating(zero="each"),
        ),
        "the last micro-batch alone": (
            "Your gradients are those of the last micro-batch alone, in full. What happened to those before it?",
            _accumulating(_whole, zero="each"),
        ),
        "weighted by tokens": (
            "You weigh micro-batches by their tokens. The mean is over reviews: a long one counts as much as a short one.",
            _accumulating(_token_share),
        ),
        "returns the sum of the losses": (
            "The gradients are right. What you return is a sum of losses, where a mean is asked for.",
            _accumulating(returned=lambda losses, batches: sum(losses)),
        ),
        "returns the last loss": (
            "The gradients are right. What you return is the loss of the last micro-batch only.",
            _accumulating(returned=lambda losses, batches: losses[-1]),
        ),
        "returns the mean of the means": (
            "The gradients are right. In the loss that you return, micro-batches of different sizes count the same.",
            _accumulating(returned=_mean),
        ),
        "goes through the micro-batches twice": (
            "You go through the micro-batches twice. A generator is empty the second time.",
            _counts_first,
        ),
        "asks for their number": (
            "You ask how many micro-batches there are before you have seen them. A generator cannot say.",
            _accumulating(before=lambda model, micro_batches: len(micro_batches) and list(micro_batches)),
        ),
        "takes a step": (
            "Your answer also moves the weights. The optimizer's step is not part of it.",
            _accumulating(after=_takes_a_step),
        ),
    },
    same=close,
    keeps_arguments="the micro-batches, requires_grad or the grad mode",
)

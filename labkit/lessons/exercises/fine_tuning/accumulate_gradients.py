"""Exercise 3.3, accumulate_gradients: many micro-batches, the gradient of one big batch."""

from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Array, close, is_number
from labkit.lessons.exercises.fine_tuning.batches import (
    Batch,
    Batches,
    arrays,
    examples,
    inputs_with_batches,
    loss_and_gradients,
    mean_loss,
    one_big_batch,
    other_loss,
    plain_mean,
    share,
    tokens,
    uneven_sizes,
    unlike,
    witnessed,
)
from labkit.lessons.observers import fine_tuning as observers

_inputs = partial(inputs_with_batches, batches="micro_batches")


def _fixed() -> Iterator[tuple[str, Inputs]]:
    generator = np.random.default_rng(33)
    yield "one", _inputs(generator, [3])
    yield "even", _inputs(generator, [2, 2])
    yield "even", _inputs(generator, [4, 4, 4], frozen=["embedding.weight"])
    yield "uneven", _inputs(generator, [4, 1])
    yield "uneven", _inputs(generator, [1, 5, 2])
    yield "uneven", _inputs(generator, [4, 4, 4, 2])
    yield "old", _inputs(generator, [3], old_gradients=True)
    yield "old", _inputs(generator, [2, 2], old_gradients=True, extras=["unused"])
    yield "iterable", _inputs(generator, [2, 2, 2], "mappings")
    yield "iterable", _inputs(generator, [3, 3], "generator")
    yield "modes", _inputs(generator, [2, 2], evaluating=["", "head"])


@lru_cache(512)  # each property asks for it
def accumulate_gradients_reference(case: Case) -> tuple[float, dict[str, Array]]:
    """The contract: mean loss and gradients of all micro-batches as one batch."""
    batch = one_big_batch(observers.tensors(case.inputs["_batches"]))
    loss, gradients = loss_and_gradients(observers.small_classifier(case.inputs["_model"]), batch)
    return loss, arrays(gradients)


def _gradients_agree(case: Case, observation: Observation) -> Failure | None:
    return unlike("gradient", observation.value["gradients"], accumulate_gradients_reference(case)[1])


# Wrong answers


def _accumulating(
    part: Callable[[Batch, Batches], float] = share,
    returned: Callable[[list[float], Batches], float] = mean_loss,
    zero: str = "before",
    before: Callable[[nn.Module, Any], Any] = lambda model, micro_batches: list(micro_batches),
    after: Callable[[nn.Module], Any] = lambda model: None,
) -> Callable[[nn.Module, Any], float]:
    """Right but for what is given: a micro-batch's part, what is returned, when gradients are zeroed, what else is done."""

    def answer(model: nn.Module, micro_batches: Any) -> float:
        batches = before(model, micro_batches)
        if zero == "before":
            model.zero_grad()
        losses = []
        for batch in batches:
            if zero == "each":
                model.zero_grad()
            loss = model(**batch).loss
            (loss * part(batch, batches)).backward()
            losses.append(loss.item())
        after(model)
        return returned(losses, batches)

    return answer


def _equally(batch: Batch, batches: Batches) -> float:
    return 1 / len(batches)


def _in_full(batch: Batch, batches: Batches) -> float:
    return 1.0


def _twice_through(model: nn.Module, micro_batches: Any) -> float:
    """As nothing but a list allows."""
    model.zero_grad()
    total = sum(examples(batch) for batch in micro_batches)
    mean = 0.0
    for batch in micro_batches:
        loss = model(**batch).loss * examples(batch) / total
        loss.backward()
        mean += loss.item()
    return mean


@torch.no_grad()
def _take_a_step(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.sub_(parameter.grad, alpha=0.01)


EXERCISE = Exercise(
    "3.3",
    "accumulate_gradients",
    observers.accumulate_gradients,
    fixed=_fixed,
    drawn=lambda generator: [("uneven", _inputs(generator, uneven_sizes(generator)))],
    test=_gradients_agree,
    same=close,
    keeps_arguments="the micro-batches, requires_grad or the grad mode",
    properties=(
        Property(
            "a single micro-batch gives its own gradient",
            "With one micro-batch there is nothing to accumulate: forward, loss, backward. What does your answer do besides?",
            on="one",
            core=True,
        ),
        Property(
            "micro-batches of one size give the gradient of one big batch",
            "Every backward adds to the gradients that are there. What must each part be multiplied by to add up to a mean?",
            on="even",
            core=True,
        ),
        Property(
            "micro-batches of different sizes do so too",
            "Every example is to count the same. How much of the whole is a micro-batch of one review beside one of four?",
            on="uneven",
            core=True,
        ),
        Property(
            "gradients that stood before are discarded",
            "Gradients of an earlier call are still in yours. When are they put away, and of which parameters?",
            on="old",
        ),
        Property(
            "any iterable of mappings will do",
            "The micro-batches need be no list, and none of them a dict. What does your answer ask of them beyond a loop?",
            on="iterable",
        ),
        Property(
            "returns the mean loss over all examples",
            "Compare what you return with the loss of one big batch of the same reviews.",
            on=("one", "even", "uneven"),
            test=lambda case, observation: other_loss(observation, accumulate_gradients_reference(case)[0]),
        ),
        Property(
            "takes no step",
            "The weights have moved. Here gradients are only gathered: the step is for whoever called.",
            test=witnessed("weights_kept", "weights as they were", "weights were changed"),
            witnessed=True,
        ),
        Property(
            "leaves every module in its mode",
            "Your answer switches between training and evaluation mode. That is for whoever called to decide.",
            test=witnessed("modes_kept", "modes of modules as they were", "modes of modules were changed"),
            witnessed=True,
        ),
        returns("a number", lambda value: is_number(value["returned"])),
    ),
    wrong={
        "mean of the micro-batches' means": (
            "Each of your micro-batches counts the same, so the reviews of a small one count for more than those of a large.",
            _accumulating(_equally, plain_mean),
        ),
        "mean of means in the gradients alone": (
            "Your loss is right, but in the gradients a small micro-batch has as much weight as a large one.",
            _accumulating(_equally),
        ),
        "sum of the means": (
            "Your gradients are a sum of means, larger with every micro-batch. One big batch has one mean.",
            _accumulating(_in_full, lambda losses, batches: sum(losses)),
        ),
        "sum of the means, mean loss returned": (
            "The loss that you return is a mean, but the gradients are added up in full, so they grow with every micro-batch.",
            _accumulating(_in_full),
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
            _accumulating(_in_full, zero="each"),
        ),
        "weighted by tokens": (
            "You weigh micro-batches by their tokens. The mean is over reviews: a long one counts as much as a short one.",
            _accumulating(partial(share, weight=tokens)),
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
            _accumulating(returned=plain_mean),
        ),
        "goes through the micro-batches twice": (
            "You go through the micro-batches twice. A generator is empty the second time.",
            _twice_through,
        ),
        "asks for their number": (
            "You ask how many micro-batches there are before you have seen them. A generator cannot say.",
            _accumulating(before=lambda model, micro_batches: len(micro_batches) and list(micro_batches)),
        ),
        "takes a step": (
            "Your answer also moves the weights. The optimizer's step is not part of it.",
            _accumulating(after=_take_a_step),
        ),
    },
)

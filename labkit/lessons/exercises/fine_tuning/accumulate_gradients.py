"""Exercise 3.3, accumulate_gradients: the gradient of one big batch, in parts."""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from labkit.checks.exercise import Case, Exercise, Property, left_alone
from labkit.checks.properties import returns
from labkit.checks.wire import Array, close, is_number, plain
from labkit.lessons.exercises.fine_tuning import batching
from labkit.lessons.exercises.fine_tuning.batching import Batch, Batches
from labkit.lessons.observers import fine_tuning as observers

FIXED = np.random.default_rng(33)  # draws the fixed cases, one after the other
_inputs = partial(batching.inputs_with_batches, batches="micro_batches")


@lru_cache(512)  # each property asks for it
def accumulate_gradients_reference(case: Case) -> tuple[float, dict[str, Array]]:
    """The contract: mean loss and gradients of all micro-batches as one batch."""
    batch = batching.one_big_batch(observers.tensors(case.inputs["_batches"]))
    loss, gradients = batching.loss_and_gradients(observers.small_classifier(case.inputs["_model"]), batch)
    return loss, plain(gradients)


def _accumulating(
    part: Callable[[Batch, Batches], float] = batching.share,
    returned: Callable[[list[float], Batches], float] = batching.mean_loss,
    zero: str = "before",
    after: Callable[[nn.Module], Any] = lambda model: None,
) -> Callable[[nn.Module, Any], float]:
    """A wrong answer, right but for what is given."""

    def answer(model: nn.Module, micro_batches: Any) -> float:
        batches = list(micro_batches)
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


def _twice_through(model: nn.Module, micro_batches: Any) -> float:
    """As nothing but a list allows."""
    model.zero_grad()
    total = sum(map(batching.examples, micro_batches))
    losses = []
    for batch in micro_batches:
        losses.append(model(**batch).loss * batching.examples(batch) / total)
        losses[-1].backward()
    return float(sum(losses))


@torch.no_grad()
def _take_a_step(model: nn.Module) -> None:
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.sub_(parameter.grad, alpha=0.01)


EXERCISE = Exercise(
    "3.3",
    "accumulate_gradients",
    observers.accumulate_gradients,
    nudge=(
        "Each micro-batch has the mean of its own examples. For which share of all examples does it stand, and when "
        "do you know how many there are in all?"
    ),
    in_words=(
        "A mean over all is one sum, divided once by how many there are. A micro-batch's mean times its number of "
        "examples is its part of that sum. Gradients add up on their own: begin with none, scale each loss to its "
        "part of the whole, and go backward."
    ),
    drawn=lambda generator: [("uneven", _inputs(generator, batching.uneven_sizes(generator)))],
    test=lambda case, observation: batching.unlike(
        "gradient", observation.value["gradients"], accumulate_gradients_reference(case)[1]
    ),
    same=close,
    keeps_arguments="the micro-batches, requires_grad or the grad mode",
    properties=(
        Property(
            "a single micro-batch gives its own gradient",
            "With one micro-batch there is nothing to accumulate: forward, loss, backward. What does your answer do besides?",
            on="one",
            fixed=[_inputs(FIXED, [3])],
            core=True,
        ),
        Property(
            "micro-batches of one size give the gradient of one big batch",
            "Every backward adds to the gradients that are there. What must each part be multiplied by to add up to a mean?",
            on="even",
            fixed=[_inputs(FIXED, [2, 2]), _inputs(FIXED, [4, 4, 4], frozen=["embedding.weight"])],
            core=True,
        ),
        Property(
            "micro-batches of different sizes do so too",
            "Every example is to count the same. How much of the whole is a micro-batch of one review beside one of four?",
            on="uneven",
            fixed=[_inputs(FIXED, sizes) for sizes in ([4, 1], [1, 5, 2], [4, 4, 4, 2])],
            core=True,
            idea=True,
        ),
        Property(
            "gradients that stood before are discarded",
            "Gradients of an earlier call are still in yours. When are they put away, and of which parameters?",
            on="old",
            fixed=[
                _inputs(FIXED, [3], old_gradients=True),
                _inputs(FIXED, [2, 2], old_gradients=True, extras=["unused"]),
            ],
        ),
        Property(
            "any iterable of mappings will do",
            "The micro-batches need be no list, and none of them a dict. What does your answer ask of them beyond a loop?",
            on="iterable",
            fixed=[_inputs(FIXED, [2, 2, 2], "mappings"), _inputs(FIXED, [3, 3], "generator")],
        ),
        Property(
            "returns the mean loss over all examples",
            "Compare what you return with the loss of one big batch of the same reviews.",
            on=("one", "even", "uneven"),
            test=lambda case, observation: batching.other_loss(observation, accumulate_gradients_reference(case)[0]),
        ),
        Property(
            "takes no step",
            "The weights have moved. Here gradients are only gathered: the step is for whoever called.",
            test=left_alone(observers.accumulate_gradients, "weights", "weights as they were", "weights were changed"),
            witnessed=True,
        ),
        Property(
            "leaves every module in its mode",
            "Your answer switches between training and evaluation mode. That is for whoever called to decide.",
            on=("modes", "one", "even", "uneven", "old", "iterable"),
            fixed=[_inputs(FIXED, [2, 2], evaluating=["", "head"])],
            test=left_alone(
                observers.accumulate_gradients,
                "modes",
                "modes of modules as they were",
                "modes of modules were changed",
            ),
            witnessed=True,
        ),
        returns("a number", lambda value: is_number(value["returned"])),
    ),
    wrong={
        "mean of the micro-batches' means": (
            "Each of your micro-batches counts the same, so the reviews of a small one count for more than those of a large.",
            _accumulating(lambda batch, batches: 1 / len(batches), lambda losses, batches: sum(losses) / len(losses)),
        ),
        "mean of means in the gradients alone": (
            "Your loss is right, but in the gradients a small micro-batch has as much weight as a large one.",
            _accumulating(lambda batch, batches: 1 / len(batches)),
        ),
        "sum of the means": (
            "Your gradients are a sum of means, larger with every micro-batch. One big batch has one mean.",
            _accumulating(lambda batch, batches: 1.0, lambda losses, batches: sum(losses)),
        ),
        "sum of the means, mean loss returned": (
            "The loss that you return is a mean, but the gradients are added up in full, so they grow with every micro-batch.",
            _accumulating(lambda batch, batches: 1.0),
        ),
        "sum over examples": (
            "Your gradients are those of a sum over all reviews. What turns a sum into a mean?",
            _accumulating(lambda batch, batches: batching.examples(batch)),
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
            _accumulating(lambda batch, batches: 1.0, zero="each"),
        ),
        "weighted by tokens": (
            "You weigh micro-batches by their tokens. The mean is over reviews: a long one counts as much as a short one.",
            _accumulating(partial(batching.share, weight=batching.tokens)),
        ),
        "weighted by tokens, in the loss too": (
            "Gradients and loss are means over tokens in yours. The mean is over reviews, each with one label, long or short.",
            _accumulating(
                partial(batching.share, weight=batching.tokens), partial(batching.mean_loss, weight=batching.tokens)
            ),
        ),
        "weighted by places, padding included": (
            "You weigh micro-batches by the size of their tensors. That counts tokens, and padding too, where reviews count.",
            _accumulating(
                partial(batching.share, weight=batching.places), partial(batching.mean_loss, weight=batching.places)
            ),
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
            _accumulating(returned=lambda losses, batches: sum(losses) / len(losses)),
        ),
        "goes through the micro-batches twice": (
            "You go through the micro-batches twice. A generator is empty the second time.",
            _twice_through,
        ),
        "asks for their number": (
            "You ask how many micro-batches there are before you have seen them. A generator cannot say.",
            lambda model, micro_batches: len(micro_batches) and _accumulating()(model, micro_batches),
        ),
        "takes a step": (
            "Your answer also moves the weights. The optimizer's step is not part of it.",
            _accumulating(after=_take_a_step),
        ),
    },
)

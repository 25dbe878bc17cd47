"""Exercise 4.5, expected_calibration_error: how far confidence and accuracy lie apart.

Confidences of cases lie well within a bin, or on an edge that is exact in binary.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from labkit.checks.exercise import Exercise, Inputs, Property
from labkit.checks.properties import returns
from labkit.checks.wire import close, is_number
from labkit.lessons.observers import metrics as observers


def expected_calibration_error_reference(confidences: Sequence[float], correct: Sequence[int], bins: int = 10) -> float:
    """The contract bin by bin: count times gap, over all."""
    pairs = list(zip(confidences, correct, strict=True))
    total = 0.0
    for number in range(1, bins + 1):
        low, high = (-1.0 if number == 1 else (number - 1) / bins), number / bins
        total += abs(sum(confidence - right for confidence, right in pairs if low < confidence <= high))
    return total / len(pairs)


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    for bins, label in ((1, "one"), (2, "several"), (10, "usual"), (7, "several")):
        count = int(generator.integers(12, 60))
        place = np.concatenate([np.arange(bins), generator.integers(bins, size=count)])
        confidences = (place + generator.uniform(0.1, 0.9, size=len(place))) / bins  # well within
        correct = (generator.random(len(place)) < 0.7).astype(int)
        yield label, (confidences.tolist(), correct.tolist(), *([] if label == "usual" else [bins]))


def _per_bin(
    combine: Callable[[np.ndarray, np.ndarray], float] = lambda weights, gaps: np.nansum(weights * gaps),
    place: Callable[[np.ndarray, int], np.ndarray] = lambda sure, bins: np.maximum(np.ceil(sure * bins) - 1, 0),
    gap: Callable[[float, float, float], float] = lambda confidence, accuracy, middle: abs(confidence - accuracy),
    only: int | None = None,
) -> Any:
    """A wrong answer, right but for what is asked for.

    combine: the weights and the gaps of all bins, NaN where empty. place: in which bin each confidence is. gap: of a bin's mean
    confidence, accuracy and middle. only: the number of bins that it always has.
    """

    def answer(confidences: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
        bins = only or bins
        chosen = [place(confidences, bins) == number for number in range(bins)]
        gaps = [
            gap(confidences[one].mean(), correct[one].mean(), (number + 0.5) / bins) if one.any() else math.nan
            for number, one in enumerate(chosen)
        ]
        return combine(np.mean(chosen, axis=1), np.array(gaps))

    return answer


def _empty_bins_count(weights: np.ndarray, gaps: np.ndarray) -> float:
    """Weighs by the bin's width an empty bin's own confidence, as if nothing in it were correct."""
    middles = (np.arange(len(gaps)) + 0.5) / len(gaps)
    return float(np.where(np.isnan(gaps), middles / len(gaps), weights * gaps).sum())


EXERCISE = Exercise(
    "4.5",
    "expected_calibration_error",
    observers.expected_calibration_error,
    nudge=(
        "Sort the example into its bins by hand. In one of them: how sure was the model on average, and how often was"
        " it right?"
    ),
    in_words=(
        "A model is calibrated if it is right in 80 of 100 cases of which it is 80 % sure. So put predictions of like"
        " confidence into one bin, take the gap between the bin's mean confidence and its share of right ones, and "
        "average the gaps, each weighed by how many predictions are in its bin."
    ),
    reference=expected_calibration_error_reference,
    takes="confidences correct bins",
    properties=(
        Property(
            "in a single bin it is the gap between mean confidence and accuracy",
            "With one bin there is one gap: mean confidence on one side, the share of correct ones on the other.",
            on="one",
            fixed=[([0.9, 0.6], [1, 0], 1), ([0.9, 0.8, 0.7, 0.95], [0, 1, 0, 0], 1), ([0.55, 0.6, 0.7], [1, 1, 1], 1)],
            core=True,
        ),
        Property(
            "several bins weigh as much as they hold",
            "Sort the example into its bins by hand: which gap has each, and how many of all examples does it hold?",
            on="several",
            fixed=[
                ([0.3, 0.4, 0.9], [1, 0, 0], 2),
                ([0.2, 0.1, 0.9, 0.8, 0.7, 0.95, 0.6], [0, 1, 1, 0, 1, 1, 1], 2),
                ([0.1, 0.35, 0.3, 0.6, 0.55, 0.7, 0.9, 0.8, 0.95], [1, 0, 0, 0, 1, 0, 1, 1, 0], 4),
                ([0.9, 0.3, 0.1, 0.6, 0.4, 0.2, 0.8, 0.85], [1, 1, 0, 0, 0, 0, 1, 0], 4),
                ([*300 * [0.9], *40 * [0.3]], [*(299 * [1] + [0]), *40 * [1]], 2),
            ],
            core=True,
            idea=True,
        ),
        Property(
            "a confidence on an edge belongs to the bin below, 0 to the first",
            "Where does your answer put a confidence that lies exactly on an edge, and where 0 and 1?",
            fixed=[
                ([0.25, 0.2, 0.4], [0, 1, 0], 4),
                ([0.5, 0.75, 0.7, 0.6, 0.3], [1, 0, 1, 1, 0], 4),
                ([0.0, 0.1, 0.6], [1, 0, 1], 4),
                ([1.0, 0.9, 0.3], [0, 1, 0], 4),
                ([0.125, 0.625, 0.0, 1.0, 0.1, 0.7, 0.55], [1, 0, 1, 0, 0, 1, 0], 8),
            ],
        ),
        Property(
            "empty bins contribute nothing",
            "What is the mean of nothing? See what your answer makes of a bin without examples.",
            fixed=[([0.9, 0.8, 0.1], [0, 1, 1], 4), ([0.97], [0], 16), ([0.62, 0.7, 0.65, 0.95], [1, 0, 1, 0], 5)],
        ),
        Property(
            "ten bins, where the caller does not say otherwise",
            "How many bins does your answer make, and where do their edges lie?",
            on="usual",
            fixed=[
                ([0.95, 0.55, 0.97, 0.72, 0.75, 0.58], [1, 0, 0, 1, 1, 1]),
                ([0.05, 0.15, 0.45, 0.85, 0.88, 0.86, 0.83, 0.31], [0, 1, 1, 0, 1, 1, 1, 0]),
            ],
        ),
        returns("a number", is_number),
    ),
    wrong={
        "unweighted mean of the bins that hold something": (
            "All your bins weigh the same. A bin with a single example should not count as much as one with a hundred.",
            _per_bin(lambda weights, gaps: np.nanmean(gaps)),
        ),
        "unweighted mean of all bins": (
            "You divide the sum of the gaps by the number of bins. Every bin should weigh as much as it holds.",
            _per_bin(lambda weights, gaps: np.nansum(gaps) / len(gaps)),
        ),
        "left-closed bins": (
            "A confidence on an edge is in your upper bin. The bins are closed on the right.",
            _per_bin(place=lambda sure, bins: np.minimum(np.floor(sure * bins), bins - 1)),
        ),
        "0 in no bin": (
            "A confidence of 0 is in none of your bins. Nothing lies below it, so the first bin takes it too.",
            _per_bin(place=lambda sure, bins: np.ceil(sure * bins) - 1),
        ),
        "left-closed bins, 1 in none": (
            "A confidence on an edge is in your upper bin, so that 1 is in none at all. The bins are closed on the right.",
            _per_bin(place=lambda sure, bins: np.floor(sure * bins)),
        ),
        "bins of equal counts": (
            "Your bins hold equally many examples. Those of this exercise are equally wide.",
            _per_bin(place=lambda sure, bins: np.argsort(np.argsort(sure, kind="stable")) * bins // len(sure)),
        ),
        "gaps that cancel": (
            "Too much confidence in one bin cancels too little in another. What keeps gaps from having a sign?",
            lambda confidences, correct, bins=10: abs(np.mean(confidences) - np.mean(correct)),
        ),
        "gaps with a sign": (
            "Your result can be negative. An error of calibration counts in both directions.",
            _per_bin(gap=lambda confidence, accuracy, middle: confidence - accuracy),
        ),
        "gaps of single examples": (
            "You compare each example's confidence with 0 or 1. Calibration is about groups: how often is a bin right?",
            lambda confidences, correct, bins=10: np.mean(np.abs(confidences - correct)),
        ),
        "the largest gap": (
            "You give the largest gap of all bins. The exercise asks for the expected one, a mean.",
            _per_bin(lambda weights, gaps: np.nanmax(gaps)),
        ),
        "squared gaps": (
            "Your gaps are squared, as in a Brier score. Here they count as they are.",
            _per_bin(gap=lambda confidence, accuracy, middle: (confidence - accuracy) ** 2),
        ),
        "the middle of the bin for its mean confidence": (
            "You take the middle of a bin for its confidence. Its examples may be anywhere in it: what is their mean?",
            _per_bin(gap=lambda confidence, accuracy, middle: abs(middle - accuracy)),
        ),
        "NaN from an empty bin": (
            "An empty bin has no mean, and its NaN has spread into your sum.",
            _per_bin(lambda weights, gaps: np.sum(weights * gaps)),
        ),
        "empty bins as if they were wrong": (
            "Your empty bins have a gap, as if something in them were wrong. A bin without examples says nothing.",
            _per_bin(_empty_bins_count),
        ),
        "ten bins written into the code": (
            "You make ten bins whatever the caller says: bins is an argument.",
            _per_bin(only=10),
        ),
    },
    drawn=_drawn,
    same=close,
    keeps_arguments="confidences and correct",
)

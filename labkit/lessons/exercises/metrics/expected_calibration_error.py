"""Exercise 4.5, expected_calibration_error: how far confidence and accuracy lie apart.

Confidences of cases lie well within a bin, or on an edge that is exact in binary.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, close, is_number, shown
from labkit.lessons.observers import metrics as observers


def expected_calibration_error_reference(confidences: Sequence[float], correct: Sequence[int], bins: int = 10) -> float:
    """The contract bin by bin: count times gap, over all."""
    pairs = list(zip(confidences, correct, strict=True))
    total = 0.0
    for number in range(1, bins + 1):
        low, high = (-1.0 if number == 1 else (number - 1) / bins), number / bins
        total += abs(sum(confidence - right for confidence, right in pairs if low < confidence <= high))
    return total / len(pairs)


def _case(label: str, confidences: Sequence[float], correct: Sequence[int], **named: Plain) -> Case:
    return Case({"confidences": list(confidences), "correct": list(correct), **named}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    return (
        _case("one", [0.9, 0.6], [1, 0], bins=1),
        _case("one", [0.9, 0.8, 0.7, 0.95], [0, 1, 0, 0], bins=1),
        _case("one", [0.55, 0.6, 0.7], [1, 1, 1], bins=1),
        _case("several", [0.3, 0.4, 0.9], [1, 0, 0], bins=2),
        _case("several", [0.2, 0.1, 0.9, 0.8, 0.7, 0.95, 0.6], [0, 1, 1, 0, 1, 1, 1], bins=2),
        _case("several", [0.1, 0.35, 0.3, 0.6, 0.55, 0.7, 0.9, 0.8, 0.95], [1, 0, 0, 0, 1, 0, 1, 1, 0], bins=4),
        _case("several", [0.9, 0.3, 0.1, 0.6, 0.4, 0.2, 0.8, 0.85], [1, 1, 0, 0, 0, 0, 1, 0], bins=4),
        _case("edge", [0.25, 0.2, 0.4], [0, 1, 0], bins=4),
        _case("edge", [0.5, 0.75, 0.7, 0.6, 0.3], [1, 0, 1, 1, 0], bins=4),
        _case("edge", [0.0, 0.1, 0.6], [1, 0, 1], bins=4),
        _case("edge", [1.0, 0.9, 0.3], [0, 1, 0], bins=4),
        _case("edge", [0.125, 0.625, 0.0, 1.0, 0.1, 0.7, 0.55], [1, 0, 1, 0, 0, 1, 0], bins=8),
        _case("empty", [0.9, 0.8, 0.1], [0, 1, 1], bins=4),
        _case("empty", [0.97], [0], bins=16),
        _case("empty", [0.62, 0.7, 0.65, 0.95], [1, 0, 1, 0], bins=5),
        _case("usual", [0.95, 0.55, 0.97, 0.72, 0.75, 0.58], [1, 0, 0, 1, 1, 1]),
        _case("usual", [0.05, 0.15, 0.45, 0.85, 0.88, 0.86, 0.83, 0.31], [0, 1, 1, 0, 1, 1, 1, 0]),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator, bins) for bins in (1, 2, 10, 7))]


def _drawn(generator: np.random.Generator, bins: int) -> Case:
    count = int(generator.integers(12, 60))
    place = np.concatenate([np.arange(bins), generator.integers(bins, size=count)])
    confidences = (place + generator.uniform(0.1, 0.9, size=len(place))) / bins  # well within
    correct = (generator.random(len(place)) < 0.7).astype(int)
    label = {1: "one", 10: "usual"}.get(bins, "several")
    named = {} if bins == 10 else {"bins": bins}
    return _case(label, confidences.tolist(), correct.tolist(), **named)


def _equals(case: Case, observation: Observation) -> Failure | None:
    wanted = expected_calibration_error_reference(**case.inputs)
    return None if close(observation.value, wanted) else Failure(shown(wanted))


Gaps = Callable[[np.ndarray, np.ndarray, np.ndarray], float]


def _upper(confidences: np.ndarray, bins: int) -> np.ndarray:
    """The right bins."""
    return np.asarray(np.clip(np.ceil(confidences * bins) - 1, 0, None).astype(int))


def _lower(confidences: np.ndarray, bins: int) -> np.ndarray:
    return np.asarray(np.minimum(np.floor(confidences * bins), bins - 1).astype(int))


def _equal_masses(confidences: np.ndarray, bins: int) -> np.ndarray:
    ranks = np.argsort(np.argsort(confidences, kind="stable"), kind="stable")
    return np.asarray(ranks * bins // len(confidences))


def _per_bin(
    combine: Callable[[np.ndarray, np.ndarray], float],
    member: Callable[[np.ndarray, int], np.ndarray] = _upper,
    gap: Callable[[np.ndarray, np.ndarray, float], float] = lambda confidences, correct, middle: abs(
        float(np.mean(confidences)) - float(np.mean(correct))
    ),
    only: int | None = None,
) -> Any:
    """A wrong answer. combine: of the weights and the gaps of all bins, NaN where empty; only: the bins it always has."""

    def answer(confidences: np.ndarray, correct: np.ndarray, bins: int = 10) -> float:
        bins = only or bins
        place, weights, gaps = member(confidences, bins), np.zeros(bins), np.full(bins, math.nan)
        for number in range(bins):
            chosen = place == number
            weights[number] = chosen.mean()
            if chosen.any():
                gaps[number] = gap(confidences[chosen], correct[chosen], (number + 0.5) / bins)
        return float(combine(weights, gaps))

    return answer


def _weighted(weights: np.ndarray, gaps: np.ndarray) -> float:
    return float(np.nansum(weights * gaps))


def _signed(confidences: np.ndarray, correct: np.ndarray, middle: float) -> float:
    return float(np.mean(confidences) - np.mean(correct))


def _empty_bins_count(weights: np.ndarray, gaps: np.ndarray) -> float:
    """Weighs by the bin's width an empty bin's own confidence, as if nothing in it were correct."""
    middles = (np.arange(len(gaps)) + 0.5) / len(gaps)
    return float(np.where(np.isnan(gaps), middles / len(gaps), weights * np.nan_to_num(gaps)).sum())


EXERCISE = Exercise(
    "4.5",
    "expected_calibration_error",
    observers.expected_calibration_error,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "in a single bin it is the gap between mean confidence and accuracy",
            "With one bin there is one gap: mean confidence on one side, the share of correct ones on the other.",
            on="one",
            test=_equals,
            core=True,
        ),
        Property(
            "several bins weigh as much as they hold",
            "Sort the example into its bins by hand: which gap has each, and how many of all examples does it hold?",
            on="several",
            test=_equals,
            core=True,
        ),
        Property(
            "a confidence on an edge belongs to the bin below, 0 to the first",
            "Where does your answer put a confidence that lies exactly on an edge, and where 0 and 1?",
            on="edge",
            test=_equals,
        ),
        Property(
            "empty bins contribute nothing",
            "What is the mean of nothing? See what your answer makes of a bin without examples.",
            on="empty",
            test=_equals,
        ),
        Property(
            "ten bins, where the caller does not say otherwise",
            "How many bins does your answer make, and where do their edges lie?",
            on="usual",
            test=_equals,
        ),
        returns("a number", is_number),
    ),
    wrong={
        "unweighted mean of the bins that hold something": (
            "All your bins weigh the same. A bin with a single example should not count as much as one with a hundred.",
            _per_bin(lambda weights, gaps: float(np.nanmean(gaps))),
        ),
        "unweighted mean of all bins": (
            "You divide the sum of the gaps by the number of bins. Every bin should weigh as much as it holds.",
            _per_bin(lambda weights, gaps: float(np.nansum(gaps) / len(gaps))),
        ),
        "left-closed bins": (
            "A confidence on an edge is in your upper bin. The bins are closed on the right.",
            _per_bin(_weighted, _lower),
        ),
        "0 in no bin": (
            "A confidence of 0 is in none of your bins. Nothing lies below it, so the first bin takes it too.",
            _per_bin(_weighted, lambda confidences, bins: np.ceil(confidences * bins).astype(int) - 1),
        ),
        "left-closed bins, 1 in none": (
            "A confidence on an edge is in your upper bin, so that 1 is in none at all. The bins are closed on the right.",
            _per_bin(_weighted, lambda confidences, bins: np.floor(confidences * bins).astype(int)),
        ),
        "bins of equal counts": (
            "Your bins hold equally many examples. Those of this exercise are equally wide.",
            _per_bin(_weighted, _equal_masses),
        ),
        "gaps that cancel": (
            "Too much confidence in one bin cancels too little in another. What keeps gaps from having a sign?",
            lambda confidences, correct, bins=10: abs(float(np.mean(confidences) - np.mean(correct))),
        ),
        "gaps with a sign": (
            "Your result can be negative. An error of calibration counts in both directions.",
            _per_bin(_weighted, gap=_signed),
        ),
        "gaps of single examples": (
            "You compare each example's confidence with 0 or 1. Calibration is about groups: how often is a bin right?",
            lambda confidences, correct, bins=10: float(np.mean(np.abs(confidences - correct))),
        ),
        "the largest gap": (
            "You give the largest gap of all bins. The exercise asks for the expected one, a mean.",
            _per_bin(lambda weights, gaps: float(np.nanmax(gaps))),
        ),
        "squared gaps": (
            "Your gaps are squared, as in a Brier score. Here they count as they are.",
            _per_bin(_weighted, gap=lambda confidences, correct, middle: _signed(confidences, correct, middle) ** 2),
        ),
        "the middle of the bin for its mean confidence": (
            "You take the middle of a bin for its confidence. Its examples may be anywhere in it: what is their mean?",
            _per_bin(_weighted, gap=lambda confidences, correct, middle: abs(middle - float(np.mean(correct)))),
        ),
        "NaN from an empty bin": (
            "An empty bin has no mean, and its NaN has spread into your sum.",
            _per_bin(lambda weights, gaps: float(np.sum(weights * gaps))),
        ),
        "empty bins as if they were wrong": (
            "Your empty bins have a gap, as if something in them were wrong. A bin without examples says nothing.",
            _per_bin(_empty_bins_count),
        ),
        "ten bins written into the code": (
            "You make ten bins whatever the caller says: bins is an argument.",
            _per_bin(_weighted, only=10),
        ),
    },
    same=close,
    keeps_arguments="confidences and correct",
)

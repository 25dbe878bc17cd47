"""Exercise 4.4, best_f1_threshold: where to cut scores so that F1 is best.

Any threshold that reaches it will do, so a threshold is judged by what it reaches. Scores are exact in float32, where `>=` must
not depend on the precision.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.values import numbers
from labkit.checks.wire import Plain, as_number, close, is_number
from labkit.lessons.observers import metrics as observers

STRICT = "Your threshold misses the example that sits on it: positive is what has a score of at least the threshold."


def f1_at(labels: Sequence[int], scores: Sequence[float], threshold: float) -> float:
    """F1 where everything with `score >= threshold` is called positive; 0 without a hit."""
    said = [score >= threshold for score in scores]
    hits = sum(label for label, positive in zip(labels, said, strict=True) if positive)
    return 2 * hits / (sum(said) + sum(labels)) if hits else 0.0


def best_f1_reference(labels: Sequence[int], scores: Sequence[float]) -> float:
    """The contract by trying every threshold that makes a difference."""
    return max(f1_at(labels, scores, threshold) for threshold in scores)


def _case(label: str, labels: Sequence[int], scores: Iterable[float]) -> Case:
    return Case({"labels": list(labels), "scores": [float(score) for score in scores]}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    near = [0.5 + place / 2**14 for place in (3, 1, 2, 0, 5, 4)]
    return (
        _case("ordinary", [0, 1], [0.25, 0.75]),
        _case("ordinary", [0, 1, 0, 1, 0], [0.125, 0.375, 0.5, 0.875, 0.25]),
        _case("ordinary", [1, 1, 0, 1, 0, 0, 0, 0], [0.96875, 0.875, 0.8125, 0.75, 0.625, 0.375, 0.25, 0.125]),
        _case("ordinary", [0, 0, 1, 0, 0, 0, 0, 1, 0], [0.5, 0.25, 0.875, 0.75, 0.125, 0.375, 0.0625, 0.625, 0.6875]),
        _case("ordinary", [1, 1, 0, 0, 1, 0, 0], [0.3125, 0.25, 0.125, 0.1875, 0.375, 0.0625, 0.03125]),
        _case("ordinary", [1, 0, 1, 0, 0, 1, 0], [place / 64 for place in (46, 45, 51, 32, 18, 50, 40)]),
        _case("ordinary", [1] + 20 * [0, 0, 1], [0.9375] + [(place + 3) / 64 for place in range(60)]),
        _case("ties", [1, 0, 0, 1, 0], [0.75, 0.75, 0.75, 0.5, 0.25]),
        _case("ties", [1, 1, 0, 1, 0, 0, 0, 0], [0.875, *6 * [0.4375], 0.25]),
        _case("low", [1], [0.25]),
        _case("low", [1, 1, 1], [0.5, 0.25, 0.75]),
        _case("low", [1, 0, 1, 1], [0.5, 0.75, 0.125, 0.875]),
        _case("low", [0, 1, 1], [0.5, 0.5, 0.5]),
        _case("scale", [0, 1, 0, 1, 0], [-3.0, 2.5, 0.5, 4.0, -1.25]),
        _case("scale", [1, 1, 0, 0, 0], [-1.5, -2.25, -3.0, -4.5, -8.0]),
        _case("scale", [1, 0, 1, 0, 1, 0], [130.0, 70.0, 250.0, 90.0, 120.0, 60.0]),
        _case("scale", [1, 0, 0, 0, 1, 1], near),
        _case("scale", [1, 0, 0, 0, 1, 1, 1, 0], [*near, 500.0, -500.0]),
        _case("none", [0], [0.5]),
        _case("none", [0, 0, 0], [0.25, 0.75, 0.5]),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator, label) for label in ("ordinary", "ties", "scale", "ordinary"))]


def _drawn(generator: np.random.Generator, label: str) -> Case:
    """Scores 1/64 apart, so that a fine grid meets them all; the lowest is a negative's, so that all positive is never best."""
    count = int(generator.integers(10, 40))
    places = np.sort(generator.choice(np.arange(1, 63), size=count, replace=False))
    places = places // 4 if label == "ties" else places
    labels = (generator.random(count) < np.linspace(0.0, 0.9, count)).astype(int)
    labels[places == places[0]], labels[-1] = 0, 1
    order = generator.permutation(count)
    scores = places[order] / (16 if label == "ties" else 64)
    return _case(label, labels[order].tolist(), 64 * scores - 32 if label == "scale" else scores)


def _says_the_best(case: Case, observation: Observation) -> Failure | None:
    best, (_, said) = best_f1_reference(**case.inputs), _pair(observation.value)
    return None if close(said, best) else Failure(f"F1 {best:.4g}")


def _reaches_the_best(case: Case, observation: Observation) -> Failure | None:
    best, (threshold, _) = best_f1_reference(**case.inputs), _pair(observation.value)
    reached = f1_at(threshold=threshold, **case.inputs)
    if close(reached, best):
        return None
    strict = close(f1_at(threshold=math.nextafter(threshold, math.inf), **case.inputs), best)
    got = f"threshold {threshold:.6g}, which reaches F1 {reached:.4g}"
    return Failure(f"a threshold that reaches F1 {best:.4g}", got, STRICT if strict else "")


def _both(case: Case, observation: Observation) -> Failure | None:
    return _says_the_best(case, observation) or _reaches_the_best(case, observation)


def _says_zero(case: Case, observation: Observation) -> Failure | None:
    return None if close(_pair(observation.value)[1], 0.0) else Failure("F1 0")


def _pair(value: Plain) -> tuple[float, float]:
    threshold, said = numbers(value).tolist()
    return as_number(threshold), as_number(said)


def _same(one: Plain, other: Plain) -> bool:
    return close(list(_pair(one)), list(_pair(other)))


Rate = Callable[[Sequence[int], Sequence[float], float], float]


def _best_of(
    thresholds: Callable[[list[float]], Iterable[float]], rate: Rate = f1_at, say: Rate | None = None
) -> Callable[[Any, Any], tuple[float, float]]:
    """A wrong answer that takes the best of these thresholds by `rate` and says what `say` makes of it, or the same."""

    def answer(labels: Any, scores: Any) -> tuple[float, float]:
        true, values = labels.tolist(), scores.tolist()
        best = max(thresholds(sorted(set(values))), key=lambda threshold: rate(true, values, threshold))
        return best, (say or rate)(true, values, best)

    return answer


def _f1_above(labels: Sequence[int], scores: Sequence[float], threshold: float) -> float:
    return f1_at(labels, [float(score > threshold) for score in scores], 1.0)


def _f1_of_class_0(labels: Sequence[int], scores: Sequence[float], threshold: float) -> float:
    return f1_at([1 - label for label in labels], [float(score < threshold) for score in scores], 1.0)


def _accuracy(labels: Sequence[int], scores: Sequence[float], threshold: float) -> float:
    return sum(label == (score >= threshold) for label, score in zip(labels, scores, strict=True)) / len(labels)


def _informedness(labels: Sequence[int], scores: Sequence[float], threshold: float) -> float:
    said = np.array(scores) >= threshold
    return sum(
        sign * float(said[np.array(labels) == label].mean()) if label in labels else 0.0
        for label, sign in ((1, 1), (0, -1))
    )


def _precision(labels: Sequence[int], scores: Sequence[float], threshold: float) -> float:
    said = [label for label, score in zip(labels, scores, strict=True) if score >= threshold]
    return sum(said) / len(said) if said else 0.0


def _same_ones(scores: list[float]) -> list[float]:
    return scores


def _middles(scores: list[float]) -> list[float]:
    return [(low + high) / 2 for low, high in pairwise(scores)] or scores


def _grid(scores: list[float]) -> list[float]:
    return np.linspace(0, 1, 101).tolist()


def _cut_by_rank(labels: Any, scores: Any) -> tuple[float, float]:
    order = np.argsort(-scores, kind="stable")
    hits, total = np.cumsum(labels[order]), int(labels.sum())
    f1 = 2 * hits / (np.arange(1, len(hits) + 1) + total)
    best = int(np.argmax(f1))
    return float(scores[order[best]]), float(f1[best])


def _swapped(labels: Any, scores: Any) -> tuple[float, float]:
    threshold, f1 = _best_of(_same_ones)(labels, scores)
    return f1, threshold


def _place_for_threshold(labels: Any, scores: Any) -> tuple[float, float]:
    threshold, f1 = _best_of(_same_ones)(labels, scores)
    return float(np.flatnonzero(np.unique(scores) == threshold)[0]), f1


def _divides_by_zero(labels: Any, scores: Any) -> tuple[float, float]:
    if not labels.any():
        return float(scores[0]), math.nan
    return _best_of(_same_ones)(labels, scores)


EXERCISE = Exercise(
    "4.4",
    "best_f1_threshold",
    observers.best_f1_threshold,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "the F1 is the best that any threshold reaches",
            "Write the example down by falling score. What is F1 if you cut after the first, after the second, and so on?",
            on="ordinary",
            test=_says_the_best,
            core=True,
        ),
        Property(
            "the threshold reaches that F1",
            "Call positive whatever has at least your threshold, and compute F1 of that. Is it the F1 that you give?",
            on="ordinary",
            test=_reaches_the_best,
            core=True,
        ),
        Property(
            "equal scores stay together",
            "Two examples with the same score fall on the same side of every threshold. Can your cut stand between them?",
            on="ties",
            test=_both,
        ),
        Property(
            "all may be called positive",
            "Sometimes the best is to call every example positive. Is a threshold that low among those you try?",
            on="low",
            test=_both,
        ),
        Property(
            "scores have any scale and may be crowded",
            "Scores need not be probabilities, nor far apart. Between which thresholds does a prediction change at all?",
            on="scale",
            test=_both,
        ),
        Property(
            "without positives the F1 is 0",
            "What does your answer say where no label is positive, so that there is nothing to find?",
            on="none",
            test=_says_zero,
        ),
        returns(
            "a tuple of two floats",
            lambda value: isinstance(value, tuple) and len(value) == 2 and all(map(is_number, value)),
        ),
    ),
    wrong={
        "above in place of at least": (
            STRICT,
            _best_of(lambda scores: [-math.inf, *scores], _f1_above),
        ),
        "a fixed grid": (
            "You try the same thresholds whatever the scores. The best one may lie between two of them, or beyond them all.",
            _best_of(_grid),
        ),
        "one half": (
            "Your threshold is always the same one. The exercise asks for the one that is best on these scores.",
            _best_of(lambda scores: [0.5]),
        ),
        "F1 of the wrong class": (
            "Your F1 is that of class 0. The positive class is 1, and high scores speak for it.",
            _best_of(lambda scores: [*scores, math.inf], _f1_of_class_0),
        ),
        "accuracy made best": (
            "You choose the threshold with the best accuracy. Where positives are rare, that is not the one with the best F1.",
            _best_of(lambda scores: [*scores, math.inf], _accuracy, f1_at),
        ),
        "accuracy made best and given": (
            "That is the best accuracy. The exercise asks for F1, which does not count the negatives that were left alone.",
            _best_of(lambda scores: [*scores, math.inf], _accuracy),
        ),
        "precision made best": (
            "You choose the threshold with the best precision. F1 asks for recall as well.",
            _best_of(_same_ones, _precision, f1_at),
        ),
        "the ROC curve's corner": (
            "You choose by the true and false positive rates. F1 has a best threshold of its own.",
            _best_of(_same_ones, _informedness, f1_at),
        ),
        "cuts between equal scores": (
            "Your best cut stands between examples of equal score, where no threshold can stand.",
            _cut_by_rank,
        ),
        "the two swapped": (
            "First the threshold, then its F1: yours come the other way round.",
            _swapped,
        ),
        "a place in place of a threshold": (
            "Your threshold is a place in a list. What stands at that place?",
            _place_for_threshold,
        ),
        "only between two scores": (
            "All your thresholds lie between two scores, so the lowest example is never called positive.",
            _best_of(_middles),
        ),
        "NaN without positives": (
            "Without positives your F1 is NaN: 0 divided by 0. The exercise says what should stand there.",
            _divides_by_zero,
        ),
    },
    same=_same,
    keeps_arguments="labels and scores",
)

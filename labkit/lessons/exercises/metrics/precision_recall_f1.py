"""Exercise 4.2, precision_recall_f1: what is found, how much of it is right, and the mean that punishes the lower one."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.values import numbers
from labkit.checks.wire import Plain, close, is_number
from labkit.lessons.observers import metrics as observers

NAMES = ("precision", "recall", "F1")


def precision_recall_f1_reference(
    labels: Sequence[int], predictions: Sequence[int], positive: int = 1
) -> tuple[float, float, float]:
    """The contract by counting pairs."""
    pairs = list(zip(labels, predictions, strict=True))
    hits = pairs.count((positive, positive))
    said = sum(found == positive for _, found in pairs)
    meant = sum(label == positive for label, _ in pairs)
    return _over(hits, said), _over(hits, meant), _over(2 * hits, said + meant)


def _over(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def _case(label: str, labels: Sequence[int], predictions: Sequence[int], **named: Plain) -> Case:
    return Case({"labels": list(labels), "predictions": list(predictions), **named}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    return (
        _case("ordinary", [1, 1, 0], [1, 0, 0]),
        _case("ordinary", [1, 0, 0, 1], [1, 1, 1, 0]),
        _case("ordinary", [1, 1, 1, 1, 0, 0, 1], [1, 0, 1, 1, 1, 0, 0]),
        _case("ordinary", [0, 0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1, 0]),
        _case("other", [1, 1, 0], [1, 0, 0], positive=0),
        _case("other", [0, 0, 1, 1, 0, 1, 1], [0, 1, 0, 1, 0, 1, 1], positive=0),
        _case("none", [1, 0, 1], [0, 0, 0]),
        _case("none", [0, 0], [1, 0]),
        _case("none", [0, 0], [0, 0]),
        _case("none", [1, 1, 1], [1, 1, 1], positive=0),
        _case("none", [1, 0], [0, 1]),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator) for _ in range(5))]


def _drawn(generator: np.random.Generator) -> Case:
    labels = generator.permutation(np.arange(generator.integers(8, 40)) % 3 == 0).astype(int)
    right = generator.random(len(labels)) < 0.7
    predictions = np.where(right, labels, 1 - labels)
    predictions[:2], labels[:2] = [1, 0], [1, 0]  # one of each is found
    positive = int(generator.integers(2))
    named = {} if positive else {"positive": 0}
    return _case("ordinary" if positive else "other", labels.tolist(), predictions.tolist(), **named)


def _equals(*places: int) -> Callable[[Case, Observation], Failure | None]:
    """The test of the numbers at these places."""

    def test(case: Case, observation: Observation) -> Failure | None:
        wanted, found = precision_recall_f1_reference(**case.inputs), numbers(observation.value)
        if found.shape == (3,) and all(close(float(found[place]), wanted[place]) for place in places):
            return None
        return Failure(", ".join(f"{NAMES[place]} {wanted[place]:.4g}" for place in places))

    return test


def _same(one: Plain, other: Plain) -> bool:
    return close(numbers(one).tolist(), numbers(other).tolist())


def _mean_over(weigh: Callable[[np.ndarray, int], float]) -> Any:
    """The wrong answer that takes a mean over the two classes."""

    def answer(labels: np.ndarray, predictions: np.ndarray, positive: int = 1) -> Any:
        each = [precision_recall_f1_reference(labels.tolist(), predictions.tolist(), label) for label in (0, 1)]
        return tuple(np.average(each, axis=0, weights=[weigh(labels, label) for label in (0, 1)]).tolist())

    return answer


def _counts(labels: np.ndarray, predictions: np.ndarray, positive: int) -> tuple[int, int, int, int]:
    meant, said = labels == positive, predictions == positive
    return int((meant & said).sum()), int(said.sum()), int(meant.sum()), len(labels)


def _from_counts(change: Callable[[int, int, int, int], tuple[float, float, float]]) -> Any:
    """A wrong answer that counts rightly. change: of hits, positive predictions, positive labels and all."""

    def answer(labels: np.ndarray, predictions: np.ndarray, positive: int = 1) -> Any:
        return change(*_counts(labels, predictions, positive))

    return answer


def _without_a_guard(hits: float, said: float, meant: float, whole: int) -> tuple[float, float, float]:
    precision, recall = hits / said, hits / meant
    return precision, recall, 2 * precision * recall / (precision + recall)


def _with_the_plain_mean(hits: int, said: int, meant: int, whole: int) -> tuple[float, float, float]:
    precision, recall = _over(hits, said), _over(hits, meant)
    return precision, recall, (precision + recall) / 2


def _with_one_for_nothing(hits: int, said: int, meant: int, whole: int) -> tuple[float, float, float]:
    precision, recall = hits / said if said else 1.0, hits / meant if meant else 1.0
    return precision, recall, _over(2 * precision * recall, precision + recall)


def _as_nan(labels: np.ndarray, predictions: np.ndarray, positive: int = 1) -> Any:
    hits, said, meant, whole = _counts(labels, predictions, positive)
    return _without_a_guard(np.float64(hits), np.float64(said), np.float64(meant), whole)


def _accuracy(labels: np.ndarray, predictions: np.ndarray, positive: int = 1) -> Any:
    return (float((labels == predictions).mean()),) * 3


def _specificity(labels: np.ndarray, predictions: np.ndarray, positive: int = 1) -> Any:
    hits, said, meant, whole = _counts(labels, predictions, positive)
    others = whole - meant
    precision, recall = _over(hits, said), _over(others - (said - hits), others)
    return precision, recall, _over(2 * precision * recall, precision + recall)


EXERCISE = Exercise(
    "4.2",
    "precision_recall_f1",
    observers.precision_recall_f1,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "precision is the share of right ones among what was called positive",
            "How many were called positive, and how many of those are positive? Count both on the example.",
            on="ordinary",
            test=_equals(0),
            core=True,
        ),
        Property(
            "recall is the share of the positives that were found",
            "How many positives are there in the labels, and how many of those were found? Count both on the example.",
            on="ordinary",
            test=_equals(1),
            core=True,
        ),
        Property(
            "F1 is their harmonic mean",
            "F1 stays near the lower of the two. Which mean does that?",
            on="ordinary",
            test=_equals(2),
            core=True,
        ),
        Property(
            "positive is the caller's",
            "Which class is meant is an argument. Is it used in every count?",
            on="other",
            test=_equals(0, 1, 2),
        ),
        Property(
            "0 where a denominator is 0",
            "What does each of your three divisions do where nothing was called positive, and where nothing is?",
            on="none",
            test=_equals(0, 1, 2),
        ),
        returns(
            "a tuple of three floats",
            lambda value: isinstance(value, tuple) and len(value) == 3 and all(map(is_number, value)),
        ),
    ),
    wrong={
        "precision and recall swapped": (
            "Your precision and recall are swapped. Which of the two asks about the predictions, and which about the labels?",
            _from_counts(
                lambda hits, said, meant, whole: (_over(hits, meant), _over(hits, said), _over(2 * hits, said + meant))
            ),
        ),
        "macro average": (
            "Yours are means over both classes. This exercise asks about one class, the positive one.",
            _mean_over(lambda labels, label: 1.0),
        ),
        "weighted average": (
            "Yours are means over both classes, weighted by how many each has. Only the positive class is asked about.",
            _mean_over(lambda labels, label: float((labels == label).sum())),
        ),
        "the positive class written into the code": (
            "Your answer is always about class 1. Which class counts as positive is an argument.",
            lambda labels, predictions, positive=1: precision_recall_f1_reference(
                labels.tolist(), predictions.tolist()
            ),
        ),
        "NaN where a denominator is 0": (
            "Where nothing was called positive you get NaN: 0 divided by 0. The exercise says what should stand there.",
            _as_nan,
        ),
        "an error where a denominator is 0": (
            "A model may never say positive. Your answer then divides by 0: ask for that before you divide.",
            _from_counts(_without_a_guard),
        ),
        "1 where a denominator is 0": (
            "Where nothing was called positive you give full marks. The exercise wants the opposite.",
            _from_counts(_with_one_for_nothing),
        ),
        "accuracy": (
            "That is accuracy: it counts what is right of both classes. Precision and recall look at the positive one.",
            _accuracy,
        ),
        "F1 as the plain mean": (
            "Your F1 is the plain mean of precision and recall. The harmonic one is nearer to the lower of them.",
            _from_counts(_with_the_plain_mean),
        ),
        "specificity in place of recall": (
            "Your recall counts the negatives that were recognised. It should count the positives that were.",
            _specificity,
        ),
        "a share of all examples": (
            "You divide the hits by the number of all examples. Each of the two has a smaller whole of its own.",
            _from_counts(lambda hits, said, meant, whole: (hits / whole, hits / whole, hits / whole)),
        ),
    },
    same=_same,
    keeps_arguments="labels and predictions",
)

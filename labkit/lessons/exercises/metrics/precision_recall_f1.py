"""Exercise 4.2, precision_recall_f1: what is found, how much of it is right, and the mean that punishes the lower one."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from operator import truediv
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property, Test
from labkit.checks.properties import returns, tuple_of
from labkit.checks.values import numbers, same_numbers
from labkit.checks.wire import close, is_number
from labkit.lessons.observers import metrics as observers

NAMES = ("precision", "recall", "F1")
Ratio = Callable[[float, float], float]


def _over(part: float, whole: float) -> float:
    return part / whole if whole else 0.0


def precision_recall_f1_reference(
    labels: Sequence[int], predictions: Sequence[int], positive: int = 1, over: Ratio = _over, over_sum: Ratio = _over
) -> tuple[float, float, float]:
    """The contract by counting pairs. over, over_sum: how a wrong answer divides."""
    true_positives = list(zip(labels, predictions, strict=True)).count((positive, positive))
    predicted_positives, actual_positives = list(predictions).count(positive), list(labels).count(positive)
    precision, recall = over(true_positives, predicted_positives), over(true_positives, actual_positives)
    return precision, recall, over_sum(2 * precision * recall, precision + recall)


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    for _ in range(5):
        labels = generator.permutation(np.arange(generator.integers(8, 40)) % 3 == 0).astype(int)
        right = generator.random(len(labels)) < 0.7
        predictions = np.where(right, labels, 1 - labels)
        predictions[:2], labels[:2] = [1, 0], [1, 0]  # one of each is found
        columns = labels.tolist(), predictions.tolist()
        yield ("ordinary", columns) if generator.integers(2) else ("other", (*columns, 0))


def _equals(*places: int) -> Test:
    """The test of the numbers at these places."""

    def test(case: Case, observation: Observation) -> Failure | None:
        wanted, found = precision_recall_f1_reference(**case.inputs), numbers(observation.value)
        if found.shape == (3,) and all(close(float(found[place]), wanted[place]) for place in places):
            return None
        return Failure(", ".join(f"{NAMES[place]} {wanted[place]:.4g}" for place in places))

    return test


def _changed(change: Callable[[float, float, float], tuple[float, float, float]]) -> Any:
    """A wrong answer that makes something else of the right precision, recall and F1."""
    return lambda *given, **named: change(*precision_recall_f1_reference(*given, **named))


def _mean_over_classes(weights: Callable[[Any], Any]) -> Any:
    def answer(labels: Any, predictions: Any, positive: int = 1) -> Any:
        each = [precision_recall_f1_reference(labels, predictions, label) for label in (0, 1)]
        return tuple(np.average(each, axis=0, weights=weights(labels)).tolist())

    return answer


def _specificity(labels: Any, predictions: Any, positive: int = 1) -> Any:
    precision = precision_recall_f1_reference(labels, predictions, positive)[0]
    recall = precision_recall_f1_reference(labels, predictions, 1 - positive)[1]
    return precision, recall, _over(2 * precision * recall, precision + recall)


EXERCISE = Exercise(
    "4.2",
    "precision_recall_f1",
    observers.precision_recall_f1,
    nudge=(
        "Count four things for the positive class: called positive and is, called positive and is not, missed, "
        "rightly left alone. Which of them does each score need?"
    ),
    in_words=(
        "Precision asks what was called positive how much of it is right; recall asks what is positive how much of it"
        " was found. Both have the hits on top and differ in the whole below. F1 is twice their product over their "
        "sum. Before every division ask whether there is anything to divide by."
    ),
    takes="labels predictions positive",
    properties=(
        Property(
            "precision is the share of right ones among what was called positive",
            "How many were called positive, and how many of those are positive? Count both on the example.",
            on="ordinary",
            fixed=[
                ([1, 1, 0], [1, 0, 0]),
                ([1, 0, 0, 1], [1, 1, 1, 0]),
                ([1, 1, 1, 1, 0, 0, 1], [1, 0, 1, 1, 1, 0, 0]),
                ([0, 0, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 0, 1, 1, 0]),
                (600 * [1] + 40 * [0], [*290 * [1], *310 * [0], *40 * [1]]),
            ],
            test=_equals(0),
            core=True,
            idea=True,
        ),
        Property(
            "recall is the share of the positives that were found",
            "How many positives are there in the labels, and how many of those were found? Count both on the example.",
            on="ordinary",
            test=_equals(1),
            core=True,
            idea=True,
        ),
        Property(
            "F1 is their harmonic mean",
            "F1 stays near the lower of the two. Which mean does that?",
            on="ordinary",
            test=_equals(2),
            core=True,
            idea=True,
        ),
        Property(
            "positive is the caller's",
            "Which class is meant is an argument. Is it used in every count?",
            on="other",
            fixed=[([1, 1, 0], [1, 0, 0], 0), ([0, 0, 1, 1, 0, 1, 1], [0, 1, 0, 1, 0, 1, 1], 0)],
        ),
        Property(
            "0 where a denominator is 0",
            "What does each of your three divisions do where nothing was called positive, and where nothing is?",
            fixed=[([1, 0, 1], 3 * [0]), ([0, 0], [1, 0]), ([0, 0], [0, 0]), (3 * [1], 3 * [1], 0), ([1, 0], [0, 1])],
        ),
        returns("a tuple of three floats", tuple_of(is_number, is_number, is_number)),
    ),
    wrong={
        "precision and recall swapped": (
            "Your precision and recall are swapped. Which of the two asks about the predictions, and which about the labels?",
            _changed(lambda precision, recall, f1: (recall, precision, f1)),
        ),
        "macro average": (
            "Yours are means over both classes. This exercise asks about one class, the positive one.",
            _mean_over_classes(lambda labels: [1, 1]),
        ),
        "weighted average": (
            "Yours are means over both classes, weighted by how many each has. Only the positive class is asked about.",
            _mean_over_classes(lambda labels: np.bincount(labels, minlength=2)),
        ),
        "the positive class written into the code": (
            "Your answer is always about class 1. Which class counts as positive is an argument.",
            lambda labels, predictions, positive=1: precision_recall_f1_reference(labels, predictions),
        ),
        "NaN where a denominator is 0": (
            "Where nothing was called positive you get NaN: 0 divided by 0. The exercise says what should stand there.",
            partial(precision_recall_f1_reference, over=np.true_divide, over_sum=np.true_divide),
        ),
        "an error where a denominator is 0": (
            "A model may never say positive. Your answer then divides by 0: ask for that before you divide.",
            partial(precision_recall_f1_reference, over=truediv, over_sum=truediv),
        ),
        "1 where a denominator is 0": (
            "Where nothing was called positive you give full marks. The exercise wants the opposite.",
            partial(precision_recall_f1_reference, over=lambda part, whole: part / whole if whole else 1.0),
        ),
        "accuracy": (
            "That is accuracy: it counts what is right of both classes. Precision and recall look at the positive one.",
            lambda labels, predictions, positive=1: 3 * (np.mean(labels == predictions),),
        ),
        "F1 as the plain mean": (
            "Your F1 is the plain mean of precision and recall. The harmonic one is nearer to the lower of them.",
            _changed(lambda precision, recall, f1: (precision, recall, (precision + recall) / 2)),
        ),
        "specificity in place of recall": (
            "Your recall counts the negatives that were recognised. It should count the positives that were.",
            _specificity,
        ),
        "a share of all examples": (
            "You divide the hits by the number of all examples. Each of the two has a smaller whole of its own.",
            lambda labels, predictions, positive=1: 3 * (np.mean((labels == positive) & (predictions == positive)),),
        ),
    },
    drawn=_drawn,
    test=_equals(0, 1, 2),
    same=same_numbers,
    keeps_arguments="labels and predictions",
)

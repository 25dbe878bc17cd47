"""Warm-up 0.1, accuracy: the share of the predictions that are right."""

from collections.abc import Iterator, Sequence

import numpy as np

from labkit.checks.exercise import Exercise, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, close, is_number
from labkit.lessons.observers import warm_up as observers

MANY = [0, 1, 1] * 200  # more right ones than 8 bits count


def accuracy_reference(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """The contract, word for word."""
    return sum(label == found for label, found in zip(labels, predictions, strict=True)) / len(labels)


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, tuple[Plain, ...]]]:
    for _ in range(8):
        labels, predictions = generator.integers(2, size=(2, int(generator.integers(3, 40)))).tolist()
        share = accuracy_reference(labels, predictions)
        yield "some" if 0 < share < 1 else "all or none", (labels, predictions)


EXERCISE = Exercise(
    "0.1",
    "accuracy",
    observers.accuracy,
    nudge="Go along both lists together, place by place. At how many places do label and prediction agree?",
    in_words=(
        "Accuracy is a share: at how many places label and prediction are the same, out of all places. Each "
        "comparison gives a yes or a no, and the mean of yes and no, taken as 1 and 0, is that share."
    ),
    reference=accuracy_reference,
    takes="labels predictions",
    drawn=_drawn,
    same=close,
    keeps_random_state=False,
    max_points=0.0,
    properties=(
        Property(
            "the share of the places where label and prediction agree",
            "Take a short example by hand: in how many places do the two lists agree, and out of how many?",
            on="some",
            fixed=[([1, 0], [1, 1]), ([1, 0, 1, 1], [1, 0, 0, 1]), ([0, 0, 0, 1], [1, 1, 1, 1]), (MANY, [1] * 600)],
            core=True,
            idea=True,
        ),
        Property(
            "1 where all are right, 0 where none is",
            "What should come out where every prediction is right, and what where none is?",
            on="all or none",
            fixed=[([1, 1, 0], [1, 1, 0]), ([1, 0, 1], [0, 1, 0]), ([0], [0]), ([1], [0])],
        ),
        returns("a number", is_number),
    ),
    wrong={
        "compares the lists as a whole": (
            "Two lists compared as a whole give one yes or no. Accuracy compares them place by place.",
            lambda labels, predictions: labels == predictions,
        ),
        "all or nothing": (
            "Your answer knows only 0 and 1. Does it compare the lists as a whole, or drop what is behind the point?",
            lambda labels, predictions: float(labels == predictions),
        ),
        "a count": (
            "You count the right predictions. Accuracy is their share: out of how many?",
            lambda labels, predictions: sum(map(int.__eq__, labels, predictions)),
        ),
        "per cent": (
            "Your numbers go up to 100. A share goes from 0 to 1.",
            lambda labels, predictions: 100 * accuracy_reference(labels, predictions),
        ),
        "the share of the wrong ones": (
            "You have the share of the wrong predictions. Which places should count?",
            lambda labels, predictions: 1 - accuracy_reference(labels, predictions),
        ),
        "the share of positive predictions": (
            "You count how often the model says 1, whether that is right or not. Compare with the labels.",
            lambda labels, predictions: sum(predictions) / len(predictions),
        ),
    },
)

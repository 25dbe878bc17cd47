"""Warm-up 0.1, accuracy: the share of the predictions that are right."""

from collections.abc import Sequence

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Misconception, Observation, Property
from labkit.checks.properties import keeps_arguments, returns
from labkit.checks.wire import close, is_number, shown
from labkit.lessons.observers import warm_up as observers


def accuracy_reference(labels: Sequence[int], predictions: Sequence[int]) -> float:
    """The contract, word for word."""
    return sum(label == found for label, found in zip(labels, predictions, strict=True)) / len(labels)


def _cases(generator: np.random.Generator) -> list[Case]:
    pairs = [
        ([1, 0], [1, 1]),
        ([1, 0, 1, 1], [1, 0, 0, 1]),
        ([0, 0, 0, 1], [1, 1, 1, 1]),
        ([1, 1, 0], [1, 1, 0]),
        ([1, 0, 1], [0, 1, 0]),
        ([0], [0]),
        ([1], [0]),
    ]
    for _ in range(8):
        length = int(generator.integers(3, 40))
        labels, predictions = generator.integers(2, size=(2, length)).tolist()
        pairs.append((labels, predictions))
    return [Case({"labels": labels, "predictions": found}, _label(labels, found)) for labels, found in pairs]


def _label(labels: Sequence[int], predictions: Sequence[int]) -> str:
    share = accuracy_reference(labels, predictions)
    return "some" if 0 < share < 1 else "all or none"


def _equals(case: Case, observation: Observation) -> Failure | None:
    wanted = accuracy_reference(case.inputs["labels"], case.inputs["predictions"])
    right = is_number(observation.value) and close(observation.value, wanted)
    return None if right else Failure(shown(wanted))


ACCURACY = Exercise(
    id="0.1",
    name="accuracy",
    max_points=0.0,
    cases=_cases,
    observe=observers.accuracy,
    properties=(
        Property(
            "the share of the places where label and prediction agree",
            _equals,
            "Take a short example by hand: in how many places do the two lists agree, and out of how many?",
            core=True,
            applies=lambda case: case.label == "some",
        ),
        Property(
            "1 where all are right, 0 where none is",
            _equals,
            "What should come out where every prediction is right, and what where none is?",
            applies=lambda case: case.label == "all or none",
        ),
        returns("a number", is_number),
        keeps_arguments(),
    ),
    misconceptions=(
        Misconception(
            "compares the lists as a whole",
            "Two lists compared as a whole give one yes or no. Accuracy compares them place by place.",
            lambda labels, predictions: labels == predictions,
        ),
        Misconception(
            "all or nothing",
            "Your answer knows only 0 and 1. Does it compare the lists as a whole, or drop what is behind the point?",
            lambda labels, predictions: float(labels == predictions),
        ),
        Misconception(
            "a count",
            "You count the right predictions. Accuracy is their share: out of how many?",
            lambda labels, predictions: sum(map(int.__eq__, labels, predictions)),
        ),
        Misconception(
            "per cent",
            "Your numbers go up to 100. A share goes from 0 to 1.",
            lambda labels, predictions: 100 * accuracy_reference(labels, predictions),
        ),
        Misconception(
            "the share of the wrong ones",
            "You have the share of the wrong predictions. Which places should count?",
            lambda labels, predictions: 1 - accuracy_reference(labels, predictions),
        ),
        Misconception(
            "the share of positive predictions",
            "You count how often the model says 1, whether that is right or not. Compare with the labels.",
            lambda labels, predictions: sum(predictions) / len(predictions),
        ),
    ),
    same=close,
)

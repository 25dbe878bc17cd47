"""Exercise 4.3, confusion_matrix: which class is taken for which."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from labkit.checks.exercise import Exercise, Inputs, Property
from labkit.checks.properties import returns
from labkit.checks.values import array_of, same_numbers
from labkit.checks.wire import Plain
from labkit.lessons.observers import metrics as observers


def confusion_matrix_reference(labels: Sequence[int], predictions: Sequence[int], num_classes: int) -> Plain:
    """The contract cell by cell."""
    counts = Counter(zip(labels, predictions, strict=True))
    return [[counts[row, column] for column in range(num_classes)] for row in range(num_classes)]


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    for num_classes in (2, 3, 4, 6):
        labels, predictions = generator.integers(num_classes, size=(2, generator.integers(12, 40)))
        labels[:num_classes] = predictions[:num_classes] = np.arange(num_classes)  # none is absent
        yield "two" if num_classes == 2 else "more", (labels.tolist(), predictions.tolist(), num_classes)


def _changed(change: Any) -> Any:
    """A wrong answer that makes something else of the right matrix."""
    return lambda *given: change(np.array(confusion_matrix_reference(*given)))


def _only_those_that_occur(matrix: np.ndarray) -> np.ndarray:
    occur = matrix.any(axis=0) | matrix.any(axis=1)
    return matrix[np.ix_(occur, occur)]


def _one_against_the_rest(matrix: np.ndarray) -> np.ndarray:
    right = np.diag(matrix)
    missed, false = matrix.sum(axis=1) - right, matrix.sum(axis=0) - right
    rest = matrix.sum() - right - missed - false
    return np.stack([rest, false, missed, right], axis=1).reshape(-1, 2, 2)


EXERCISE = Exercise(
    "4.3",
    "confusion_matrix",
    observers.confusion_matrix,
    nudge=(
        "Take the first pair of the example: its true class and its predicted one. Which cell of the matrix is that, "
        "and what should happen to the number in it?"
    ),
    in_words=(
        "Begin with a square of zeros, as many rows and columns as there are classes, whether they occur or not. Go "
        "through the pairs, and each time add one in the row of the true class and the column of the predicted one. "
        "What is right then stands on the diagonal."
    ),
    reference=confusion_matrix_reference,
    takes="labels predictions num_classes",
    properties=(
        Property(
            "two classes: each pair of true and predicted class is counted in its cell",
            "Go through the example pair by pair: to which row and column does each belong, and how often is it there?",
            on="two",
            fixed=[([0, 1, 1], [0, 1, 0], 2), ([0, 0, 1, 1, 0, 0, 1], [0, 1, 1, 1, 1, 1, 0], 2)],
            core=True,
            idea=True,
        ),
        Property(
            "more than two classes",
            "With three classes there are nine cells. Does your answer know others than right and wrong?",
            on="more",
            fixed=[([0, 1, 2, 2], [0, 2, 2, 1], 3), ([3, 0, 1, 2, 3, 3, 1, 0, 1], [3, 0, 1, 0, 1, 1, 2, 0, 1], 4)],
            core=True,
            idea=True,
        ),
        Property(
            "a class that does not occur keeps its row and column",
            "How large should the matrix be where the caller names more classes than occur?",
            fixed=[
                ([0, 1, 1], [0, 1, 0], 3),
                ([0, 2, 2], [0, 2, 0], 3),
                ([0, 0], [0, 0], 2),
                ([1, 1, 1], [1, 1, 1], 2),
                ([1, 2, 2, 1], [1, 1, 2, 2], 5),
            ],
        ),
        Property(
            "a pair that comes often is counted to the end",
            "Which is the largest number that your cells can hold? A data set may have a hundred thousand of one pair.",
            fixed=[
                (200 * [0, 1], 200 * [0, 0], 2),
                (300 * [0, 1], 300 * [0, 0], 2),
                (70_000 * [1] + [0], 70_000 * [1] + [1], 2),
            ],
        ),
        returns(
            "an array of ints",
            array_of(np.integer),
            "The numbers may be right, but counts are ints, and they should stand in an array. What is your dtype?",
        ),
    ),
    wrong={
        "transposed": (
            "Rows and columns are swapped: the true class says which row, the predicted one which column.",
            _changed(np.transpose),
        ),
        "only the classes that occur": (
            "Classes that do not occur have lost their row and column. The caller says how many classes there are.",
            _changed(_only_those_that_occur),
        ),
        "as large as the largest class that occurs": (
            "Your matrix ends at the largest class that occurs. The caller says how many classes there are.",
            lambda labels, predictions, num_classes: np.array(
                confusion_matrix_reference(labels, predictions, max(*labels, *predictions) + 1)
            ),
        ),
        "rows as shares": (
            "Your rows hold shares. The exercise asks for counts.",
            _changed(lambda matrix: matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)),
        ),
        "shares of all": (
            "Your cells hold shares of all examples. The exercise asks for counts.",
            _changed(lambda matrix: matrix / max(1, matrix.sum())),
        ),
        "columns as shares": (
            "Your columns hold shares. The exercise asks for counts.",
            _changed(lambda matrix: matrix / np.maximum(matrix.sum(axis=0, keepdims=True), 1)),
        ),
        "each pair counted once": (
            "Each of your cells knows only whether a pair occurs. Adding by an array of places counts repeated places once.",
            _changed(lambda matrix: np.minimum(matrix, 1)),
        ),
        "counts of eight bits": (
            "Your cells are numbers of eight bits: after 255 comes 0. Which dtype holds as many as a data set can have?",
            _changed(lambda matrix: matrix.astype(np.uint8)),
        ),
        "counts of eight bits with a sign": (
            "Your cells are numbers of eight bits with a sign: after 127 they turn negative. Which dtype has more room?",
            _changed(lambda matrix: matrix.astype(np.int8)),
        ),
        "counts of sixteen bits": (
            "Your cells are numbers of sixteen bits, and a large data set has more of one pair than those can count.",
            _changed(lambda matrix: matrix.astype(np.int16)),
        ),
        "only what is right": (
            "You count only where label and prediction agree. What is off the diagonal is the interesting part.",
            _changed(lambda matrix: np.diag(np.diag(matrix))),
        ),
        "classes from last to first": (
            "Your classes come from last to first. Row and column 0 are those of class 0.",
            _changed(lambda matrix: matrix[::-1, ::-1]),
        ),
        "a matrix for each class": (
            "You have a small matrix for each class against the rest. The exercise asks for one with all classes.",
            _changed(_one_against_the_rest),
        ),
    },
    drawn=_drawn,
    same=same_numbers,
    keeps_arguments="labels and predictions",
)

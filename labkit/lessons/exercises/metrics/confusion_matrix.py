"""Exercise 4.3, confusion_matrix: which class is taken for which."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Misconception, Observation, Property
from labkit.checks.properties import keeps_arguments, keeps_random_state, labelled, returns
from labkit.checks.values import numbers
from labkit.checks.wire import Array, Plain, close, shown
from labkit.lessons.observers import metrics as observers


def confusion_matrix_reference(labels: Sequence[int], predictions: Sequence[int], num_classes: int) -> np.ndarray:
    """The contract cell by cell."""
    pairs = list(zip(labels, predictions, strict=True))
    return np.array([[pairs.count((row, column)) for column in range(num_classes)] for row in range(num_classes)])


def _case(label: str, labels: Sequence[int], predictions: Sequence[int], num_classes: int) -> Case:
    return Case({"labels": list(labels), "predictions": list(predictions), "num_classes": num_classes}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    return (
        _case("two", [0, 1, 1], [0, 1, 0], 2),
        _case("two", [0, 0, 1, 1, 0, 0, 1], [0, 1, 1, 1, 1, 1, 0], 2),
        _case("more", [0, 1, 2, 2], [0, 2, 2, 1], 3),
        _case("more", [3, 0, 1, 2, 3, 3, 1, 0, 1], [3, 0, 1, 0, 1, 1, 2, 0, 1], 4),
        _case("absent", [0, 1, 1], [0, 1, 0], 3),
        _case("absent", [0, 2, 2], [0, 2, 0], 3),
        _case("absent", [0, 0], [0, 0], 2),
        _case("absent", [1, 1, 1], [1, 1, 1], 2),
        _case("absent", [1, 2, 2, 1], [1, 1, 2, 2], 5),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator, num_classes) for num_classes in (2, 3, 4, 6))]


def _drawn(generator: np.random.Generator, num_classes: int) -> Case:
    labels, predictions = generator.integers(num_classes, size=(2, generator.integers(12, 40)))
    labels[:num_classes] = predictions[:num_classes] = np.arange(num_classes)  # none is absent
    return _case("two" if num_classes == 2 else "more", labels.tolist(), predictions.tolist(), num_classes)


def _equals(case: Case, observation: Observation) -> Failure | None:
    wanted = confusion_matrix_reference(**case.inputs).tolist()
    return None if close(numbers(observation.value).tolist(), wanted) else Failure(shown(wanted))


def _same(one: Plain, other: Plain) -> bool:
    return close(numbers(one).tolist(), numbers(other).tolist())


def _changed(change: Any) -> Any:
    """A wrong answer that makes something else of the right matrix."""

    def answer(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> Any:
        return change(confusion_matrix_reference(labels.tolist(), predictions.tolist(), num_classes))

    return answer


def _rows_as_shares(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1))


def _only_those_that_occur(matrix: np.ndarray) -> np.ndarray:
    kept = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))
    return matrix[np.ix_(kept, kept)]


def _up_to_the_largest(matrix: np.ndarray) -> np.ndarray:
    size = int(np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1))[-1]) + 1
    return matrix[:size, :size]


def _one_against_the_rest(matrix: np.ndarray) -> np.ndarray:
    right = np.diag(matrix)
    missed, false = matrix.sum(axis=1) - right, matrix.sum(axis=0) - right
    rest = matrix.sum() - right - missed - false
    return np.stack([rest, false, missed, right], axis=1).reshape(-1, 2, 2)


CONFUSION_MATRIX = Exercise(
    id="4.3",
    name="confusion_matrix",
    cases=_cases,
    observe=observers.confusion_matrix,
    properties=(
        Property(
            "two classes: each pair of true and predicted class is counted in its cell",
            _equals,
            "Go through the example pair by pair: to which row and column does each belong, and how often is it there?",
            core=True,
            applies=labelled("two"),
        ),
        Property(
            "more than two classes",
            _equals,
            "With three classes there are nine cells. Does your answer know others than right and wrong?",
            core=True,
            applies=labelled("more"),
        ),
        Property(
            "a class that does not occur keeps its row and column",
            _equals,
            "How large should the matrix be where the caller names more classes than occur?",
            applies=labelled("absent"),
        ),
        returns(
            "an array of ints",
            lambda value: isinstance(value, Array) and np.issubdtype(value.values.dtype, np.integer),
            "The numbers may be right, but counts are ints, and they should stand in an array. What is your dtype?",
        ),
        keeps_arguments("labels and predictions"),
        keeps_random_state(),
    ),
    misconceptions=(
        Misconception(
            "transposed",
            "Rows and columns are swapped: the true class says which row, the predicted one which column.",
            _changed(np.transpose),
        ),
        Misconception(
            "only the classes that occur",
            "Classes that do not occur have lost their row and column. The caller says how many classes there are.",
            _changed(_only_those_that_occur),
        ),
        Misconception(
            "as large as the largest class that occurs",
            "Your matrix ends at the largest class that occurs. The caller says how many classes there are.",
            _changed(_up_to_the_largest),
        ),
        Misconception(
            "rows as shares",
            "Your rows hold shares. The exercise asks for counts.",
            _changed(_rows_as_shares),
        ),
        Misconception(
            "shares of all",
            "Your cells hold shares of all examples. The exercise asks for counts.",
            _changed(lambda matrix: matrix / max(1, matrix.sum())),
        ),
        Misconception(
            "columns as shares",
            "Your columns hold shares. The exercise asks for counts.",
            _changed(lambda matrix: _rows_as_shares(matrix.T).T),
        ),
        Misconception(
            "each pair counted once",
            "Each of your cells knows only whether a pair occurs. Adding by an array of places counts repeated places once.",
            _changed(lambda matrix: np.minimum(matrix, 1)),
        ),
        Misconception(
            "only what is right",
            "You count only where label and prediction agree. What is off the diagonal is the interesting part.",
            _changed(lambda matrix: np.diag(np.diag(matrix))),
        ),
        Misconception(
            "classes from last to first",
            "Your classes come from last to first. Row and column 0 are those of class 0.",
            _changed(lambda matrix: matrix[::-1, ::-1]),
        ),
        Misconception(
            "a matrix for each class",
            "You have a small matrix for each class against the rest. The exercise asks for one with all classes.",
            _changed(_one_against_the_rest),
        ),
    ),
    same=_same,
)

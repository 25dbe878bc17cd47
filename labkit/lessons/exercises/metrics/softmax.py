"""Exercise 4.1, softmax: from logits to probabilities, along the last axis and without overflow."""

from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.values import numbers
from labkit.checks.wire import Array, Plain, close, shown
from labkit.lessons.observers import metrics as observers

FINE, COARSE = 1e-5, 2e-3  # the second for logits of 10,000: of their logarithms float32 keeps no more


def softmax_reference(logits: Plain) -> np.ndarray:
    """The contract by scipy."""
    from scipy.special import softmax

    return np.asarray(softmax(np.array(logits, dtype=np.float64), axis=-1))


def _case(label: str, logits: Plain, dtype: str = "float64") -> Case:
    return Case({"logits": logits, "_dtype": dtype}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    return (
        _case("row", [1.0, 0.0]),
        _case("row", [0.0, 0.0]),
        _case("row", [5.0]),
        _case("row", [-3.0, -1.0]),
        _case("row", [2.0, -1.0, 0.5, 0.0], "float32"),
        _case("rows", [[1.0, 0.0], [0.0, 2.0]]),
        _case("rows", [[2.0, -1.0, 0.5], [0.0, 0.0, 3.0]]),
        _case("rows", [[1.0, 1.0], [3.0, -2.0], [-1.0, 0.0], [0.5, 4.0]], "float32"),
        _case("axes", [[[1.0, 0.0], [0.0, 2.0]], [[3.0, 0.5], [-1.0, 1.0]]]),
        _case("axes", [[[1.0, 0.0, 2.0], [0.0, 2.0, -1.0]]]),
        _case("large", [1000.0, 999.0]),
        _case("large", [-1000.0, -999.0]),
        _case("large", [10000.0, 0.0, 9999.5], "float32"),
        _case("large", [[10000.0, 9998.0], [0.0, 1.0]]),
        _case("large", [[-10000.0, -9990.0], [3.0, 10000.0], [-2.0, 0.0]]),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator, number) for number in range(6))]


def _drawn(generator: np.random.Generator, number: int) -> Case:
    label = ("rows", "axes", "large")[number % 3]
    shape = generator.integers(2, 6, size=3 if label == "axes" else 2)
    logits = generator.normal(size=shape, scale=3.0)
    if label == "large":  # quarters, which float32 has exactly
        logits = np.round(4 * logits) / 4 + generator.choice([-9000.0, 0.0, 9000.0], size=(shape[0], 1))
    return _case(label, logits.tolist())


def _equals(case: Case, observation: Observation) -> Failure | None:
    wanted = Array(softmax_reference(case.inputs["logits"]), False, "float64")
    right = _same(observation.value, wanted, COARSE if case.label == "large" else FINE)
    return None if right else Failure(shown(wanted))


def _same(one: Plain, other: Plain, tolerance: float = FINE) -> bool:
    found, wanted = (Array(numbers(value), False, "float64") for value in (one, other))
    return close(found, wanted, tolerance)


def _shares(values: np.ndarray, axis: int | None = -1, keepdims: bool = True) -> np.ndarray:
    return np.asarray(values / values.sum(axis=axis, keepdims=keepdims))


def _from_the_largest_of_all(logits: Any) -> np.ndarray:
    return _shares(np.exp(logits - logits.max()))


def _from_the_mean(logits: Any) -> np.ndarray:
    return _shares(np.exp(logits - logits.mean(axis=-1, keepdims=True)))


def _along(axis: int | None) -> Any:
    return lambda logits: _shares(np.exp(logits - logits.max(axis=axis, keepdims=True)), axis)


EXERCISE = Exercise(
    "4.1",
    "softmax",
    observers.softmax,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "a row of logits becomes its probabilities",
            "Take two logits by hand: what is each turned into, and what is that divided by?",
            on="row",
            test=_equals,
            core=True,
        ),
        Property(
            "every row of a matrix stands for itself",
            "Add up each row of your result. Along which axis should the sum be 1?",
            on="rows",
            test=_equals,
            core=True,
        ),
        Property(
            "the last axis counts, however many there are",
            "With three axes the classes still stand along the last one. How does numpy name the last axis?",
            on="axes",
            test=_equals,
            core=True,
        ),
        Property(
            "large logits neither overflow nor vanish",
            "The exponential of a large logit is infinite. Which number can each row lose without changing the result?",
            on="large",
            test=_equals,
        ),
        returns(
            "an array of floats",
            lambda value: isinstance(value, Array) and np.issubdtype(value.values.dtype, np.floating),
        ),
    ),
    wrong={
        "no maximum subtracted": (
            "Your formula is right on paper, but the exponential of a large logit is infinite. Shift each row before it.",
            lambda logits: _shares(np.exp(logits)),
        ),
        "the largest of the whole array subtracted": (
            "You shift all rows by one number. A row far below it vanishes altogether: each needs a shift of its own.",
            _from_the_largest_of_all,
        ),
        "the mean subtracted": (
            "You shift each row by its mean, and its largest logit can still overflow. Which shift makes that impossible?",
            _from_the_mean,
        ),
        "along the first axis": (
            "Your columns sum to 1 where the rows should: reviews compete with one another, and not classes.",
            _along(0),
        ),
        "along the second axis": (
            "You take the second axis. That is the last one of a matrix, but not of a single row, nor where there are three.",
            _along(1),
        ),
        "over the whole array": (
            "All your numbers together sum to 1. Every row is a distribution of its own.",
            _along(None),
        ),
        "sigmoid": (
            "Your numbers come out of a sigmoid, each logit for itself. In a softmax the classes of a row share one sum.",
            lambda logits: 1 / (1 + np.exp(-logits)),
        ),
        "log-softmax": (
            "These are the logarithms of the probabilities. One step is missing at the end.",
            lambda logits: np.log(softmax_reference(logits)),
        ),
        "not divided by the sum": (
            "Your numbers are exponentials that nothing was divided by. What makes probabilities of them?",
            np.exp,
        ),
        "logits divided by their sum": (
            "You divide logits by their sum. Logits may be negative, so something has to make them positive first.",
            lambda logits: _shares(logits),
        ),
        "the row's axis lost in the sum": (
            "Your sum has lost an axis, so rows are divided by the wrong sums, or not at all. How can numpy keep it?",
            lambda logits: _shares(np.exp(logits - logits.max(axis=-1, keepdims=True)), -1, keepdims=False),
        ),
    },
    same=_same,
    keeps_arguments="the logits",
)

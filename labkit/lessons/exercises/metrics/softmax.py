"""Exercise 4.1, softmax: from logits to probabilities, along the last axis and without overflow."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.values import array_of, same_numbers
from labkit.checks.wire import Plain, plain, shown
from labkit.lessons.observers import metrics as observers

COARSE = 2e-3  # for logits of 10,000: of their logarithms float32 keeps no more


def softmax_reference(logits: Plain) -> np.ndarray:
    """The contract by scipy."""
    from scipy.special import softmax

    return np.asarray(softmax(np.array(logits, dtype=np.float64), axis=-1))


def _of(logits: Any, dtype: str = "float64") -> tuple[Plain, ...]:
    return np.array(logits, dtype=np.float64).tolist(), dtype


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    for label in 2 * ("rows", "axes", "large"):
        shape = generator.integers(2, 6, size=3 if label == "axes" else 2)
        logits = generator.normal(size=shape, scale=3.0)
        if label == "large":  # quarters, which float32 has exactly
            logits = np.round(4 * logits) / 4 + generator.choice([-9000.0, 0.0, 9000.0], size=(shape[0], 1))
        yield label, _of(logits)


def _nearly_the_reference(case: Case, observation: Observation) -> Failure | None:
    wanted = plain(softmax_reference(case.inputs["logits"]))
    return None if same_numbers(observation.value, wanted, COARSE) else Failure(shown(wanted))


def _softmax(shift: Callable[..., Any] = np.max, axis: int | None = -1, keepdims: bool = True) -> Any:
    """A wrong answer: a wrong shift of each row, axis, or shape of the sum."""

    def answer(logits: np.ndarray) -> np.ndarray:
        exponentials = np.exp(logits - shift(logits, axis=axis, keepdims=True))
        return np.asarray(exponentials / exponentials.sum(axis=axis, keepdims=keepdims))

    return answer


EXERCISE = Exercise(
    "4.1",
    "softmax",
    observers.softmax,
    nudge=(
        "The same number added to all logits of a row changes no probability. Which number would you add so that no "
        "exponential can become infinite?"
    ),
    in_words=(
        "The exponential makes every logit positive, and dividing by the sum of its row makes the row sum to 1. Only "
        "the differences within a row matter, so first take the largest logit of the row away from all of them: then "
        "the largest exponential is 1."
    ),
    reference=lambda logits: plain(softmax_reference(logits)),
    takes="logits _dtype",
    properties=(
        Property(
            "a row of logits becomes its probabilities",
            "Take two logits by hand: what is each turned into, and what is that divided by?",
            fixed=[_of([1, 0]), _of([0, 0]), _of([5]), _of([-3, -1]), _of([2, -1, 0.5, 0], "float32")],
            core=True,
        ),
        Property(
            "every row of a matrix stands for itself",
            "Add up each row of your result. Along which axis should the sum be 1?",
            on="rows",
            fixed=[
                _of([[1, 0], [0, 2]]),
                _of([[2, -1, 0.5], [0, 0, 3]]),
                _of([[1, 1], [3, -2], [-1, 0], [0.5, 4]], "float32"),
            ],
            core=True,
            idea=True,
        ),
        Property(
            "the last axis counts, however many there are",
            "With three axes the classes still stand along the last one. How does numpy name the last axis?",
            on="axes",
            fixed=[_of([[[1, 0], [0, 2]], [[3, 0.5], [-1, 1]]]), _of([[[1, 0, 2], [0, 2, -1]]])],
            core=True,
        ),
        Property(
            "large logits neither overflow nor vanish",
            "The exponential of a large logit is infinite. Which number can each row lose without changing the result?",
            on="large",
            fixed=[
                _of([1000, 999]),
                _of([-1000, -999]),
                _of([10000, 0, 9999.5], "float32"),
                _of([[10000, 9998], [0, 1]]),
                _of([[-10000, -9990], [3, 10000], [-2, 0]]),
            ],
            test=_nearly_the_reference,
            idea=True,
        ),
        returns("an array of floats", array_of(np.floating)),
    ),
    wrong={
        "no maximum subtracted": (
            "Your formula is right on paper, but the exponential of a large logit is infinite. Shift each row before it.",
            _softmax(lambda logits, **how: 0),
        ),
        "the largest of the whole array subtracted": (
            "You shift all rows by one number. A row far below it vanishes altogether: each needs a shift of its own.",
            _softmax(lambda logits, **how: logits.max()),
        ),
        "the mean subtracted": (
            "You shift each row by its mean, and its largest logit can still overflow. Which shift makes that impossible?",
            _softmax(np.mean),
        ),
        "along the first axis": (
            "Your columns sum to 1 where the rows should: reviews compete with one another, and not classes.",
            _softmax(axis=0),
        ),
        "along the second axis": (
            "You take the second axis. That is the last one of a matrix, but not of a single row, nor where there are three.",
            _softmax(axis=1),
        ),
        "over the whole array": (
            "All your numbers together sum to 1. Every row is a distribution of its own.",
            _softmax(axis=None),
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
            lambda logits: logits / logits.sum(axis=-1, keepdims=True),
        ),
        "the row's axis lost in the sum": (
            "Your sum has lost an axis, so rows are divided by the wrong sums, or not at all. How can numpy keep it?",
            _softmax(keepdims=False),
        ),
    },
    drawn=_drawn,
    same=same_numbers,
    keeps_arguments="the logits",
)

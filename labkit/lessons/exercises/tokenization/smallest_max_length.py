"""Exercise 1.3, smallest_max_length: how long the rows must be for a share of the reviews."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import as_number, close, is_integer, shown
from labkit.lessons.observers import tokenization as observers


def smallest_max_length_reference(lengths: Sequence[int], coverage: float) -> int:
    """The contract by trying every length, in whole numbers where a share like 0.55 is meant exactly."""
    enough = math.ceil(round(coverage * len(lengths), 9))
    return next(length for length in sorted(lengths) if sum(one <= length for one in lengths) >= enough)


def _case(lengths: Sequence[int], coverage: float, label: str) -> Case:
    return Case({"lengths": [int(length) for length in lengths], "coverage": coverage}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    hundred = list(range(1, 101))
    dice = np.random.default_rng(13)
    drawn = [_drawn(dice) for _ in range(30)]
    return (
        _case([7], 1.0, "all"),
        _case([7], 0.1, "one"),
        _case([3, 9], 0.5, "share"),
        _case([9, 3], 0.51, "share"),
        _case([10, 20, 30, 40], 0.6, "share"),
        _case([30, 10, 40, 20], 0.75, "share"),
        _case([5, 5, 5, 100], 0.75, "share"),
        _case([12, 4, 8, 4, 30], 1.0, "all"),
        _case([2, 400], 1.0, "all"),
        _case(hundred, 0.55, "noise"),
        _case(hundred, 0.07, "noise"),
        _case(hundred, 0.29, "noise"),
        _case(hundred[::-1], 0.57, "noise"),
        _case([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.7, "noise"),
        _case([3, 1, 2], 0.01, "one"),
        *sorted(drawn, key=lambda case: len(case.inputs["lengths"])),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator) for _ in range(5))]


def _drawn(dice: np.random.Generator) -> Case:
    lengths = dice.integers(3, 200, size=dice.integers(1, 60))
    return _case(lengths.tolist(), float(dice.uniform(0.01, 1)), "share")


def _equals(case: Case, observation: Observation) -> Failure | None:
    wanted = smallest_max_length_reference(case.inputs["lengths"], case.inputs["coverage"])
    return None if as_number(observation.value) == wanted else Failure(shown(wanted))


EXERCISE = Exercise(
    "1.3",
    "smallest_max_length",
    observers.smallest_max_length,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "the share of reviews that fit is at least the coverage, and no smaller length would do",
            "Sort the lengths on paper: which place in that list is the first by which enough reviews fit?",
            on="share",
            test=_equals,
            core=True,
        ),
        Property(
            "a coverage of 1 fits every review",
            "With a coverage of 1, which review decides?",
            on="all",
            test=_equals,
        ),
        Property(
            "the smallest share still needs one review",
            "However small the coverage, it is above 0: how many reviews must fit at least?",
            on="one",
            test=_equals,
        ),
        Property(
            "floating-point noise does not decide",
            "Some products that should be whole numbers come out a hair above them. What does rounding up make of that?",
            on="noise",
            test=_equals,
        ),
        returns("an int", is_integer),
    ),
    wrong={
        "interpolated quantile": (
            "A quantile that interpolates gives lengths that no review has. Which of its methods gives an observed value?",
            lambda lengths, coverage: float(np.quantile(lengths, coverage)),
        ),
        "interpolated quantile, rounded up": (
            "Rounding an interpolated quantile up is not the same as counting reviews: it can end between two of them.",
            lambda lengths, coverage: math.ceil(np.quantile(lengths, coverage)),
        ),
        "interpolated quantile, cut": (
            "Cutting an interpolated quantile to a whole number leaves fewer reviews covered than were asked for.",
            lambda lengths, coverage: int(np.quantile(lengths, coverage)),
        ),
        "share of the longest": (
            "You take a share of the longest length. The coverage is a share of the reviews, whatever their lengths.",
            lambda lengths, coverage: math.ceil(coverage * max(lengths)),
        ),
        "one place too far": (
            "Your place in the sorted list is one too far: lists count from 0.",
            lambda lengths, coverage: sorted(lengths)[min(len(lengths) - 1, int(coverage * len(lengths)))],
        ),
        "rounds the number of reviews down": (
            "You round the number of reviews down, so that fewer fit than were asked for.",
            lambda lengths, coverage: sorted(lengths)[max(0, int(coverage * len(lengths)) - 1)],
        ),
        "floating-point noise": (
            "The product of coverage and count came out a hair above a whole number, and you rounded it up.",
            lambda lengths, coverage: sorted(lengths)[math.ceil(coverage * len(lengths)) - 1],
        ),
        "not sorted": (
            "You count off places in the order in which the lengths came. Which order makes the place mean something?",
            lambda lengths, coverage: list(lengths)[math.ceil(round(coverage * len(lengths), 9)) - 1],
        ),
    },
    same=close,
    keeps_arguments="lengths",
)

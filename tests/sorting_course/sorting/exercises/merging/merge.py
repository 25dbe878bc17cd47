"""Exercise 2.1, merge: two sorted lists become one."""

from collections.abc import Iterator, Sequence

import numpy as np

from labkit.checks.exercise import Exercise, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain
from sorting.observers import merging as observers


def merge_reference(left: Sequence[int], right: Sequence[int]) -> list[int]:
    """The contract, as Python's own sorting has it."""
    return sorted([*left, *right])


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, tuple[Plain, ...]]]:
    for size in (2, 5, 20):
        left, right = np.sort(generator.choice(1000, size=(2, size), replace=False), axis=1).tolist()
        yield "woven", (left, right)


def _zipped(left: Sequence[int], right: Sequence[int]) -> list[int]:
    pairs = [number for pair in zip(left, right, strict=False) for number in pair]
    shorter = min(len(left), len(right))
    return [*pairs, *left[shorter:], *right[shorter:]]


def _without_the_rest(left: Sequence[int], right: Sequence[int]) -> list[int]:
    merged, first, second = [], 0, 0
    while first < len(left) and second < len(right):
        if left[first] <= right[second]:
            merged.append(left[first])
            first += 1
        else:
            merged.append(right[second])
            second += 1
    return merged


EXERCISE = Exercise(
    "2.1",
    "merge",
    observers.merge,
    reference=merge_reference,
    takes="left right",
    drawn=_drawn,
    keeps_arguments="the two lists",
    properties=(
        Property(
            "all numbers of both lists, the smallest first",
            "Lay both lists side by side and take the smaller of the two first numbers, again and again: what comes out?",
            on="woven",
            fixed=[([1, 4], [2, 9]), ([5, 6, 30], [1, 7, 20]), ([2, 8], [1, 3, 9])],
            core=True,
            idea=True,
        ),
        Property(
            "a number that is in both lists comes twice",
            "How often should a number come out that stands in both lists?",
            on="twice",
            fixed=[([1, 3], [3, 5]), ([2, 2], [2])],
        ),
        Property(
            "an empty list adds nothing",
            "What is left to do when one of the lists has nothing in it, or nothing any more?",
            on="empty",
            fixed=[([], []), ([3], []), ([], [1, 2])],
        ),
        returns("a list", lambda value: isinstance(value, list)),
    ),
    wrong={
        "one list after the other": (
            "You put one list behind the other. The result is to be sorted as a whole.",
            lambda left, right: [*left, *right],
        ),
        "each number once": (
            "Numbers that come twice are lost. A set keeps each of them once.",
            lambda left, right: sorted({*left, *right}),
        ),
        "turn by turn": (
            "You take from both lists in turn. Which of them is next should hang on the numbers.",
            _zipped,
        ),
        "without the rest": (
            "When one list is used up, the rest of the other is lost.",
            _without_the_rest,
        ),
        "the largest first": (
            "Your numbers fall. They should rise.",
            lambda left, right: sorted([*left, *right], reverse=True),
        ),
    },
)

"""Exercise 2.2, insertion_sort: each number is put where it belongs among those before it."""

from collections.abc import Iterator, Sequence

import numpy as np

from labkit.checks.exercise import Exercise, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain
from sorting.observers import merging as observers


def insertion_sort_reference(numbers: Sequence[int]) -> list[int]:
    """The contract: what comes out, whatever the way."""
    return sorted(numbers)


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, tuple[Plain, ...]]]:
    for size in (3, 8, 25):
        numbers = generator.permutation(np.arange(1, size + 1)).tolist()
        yield "mixed", ([size + 2, *numbers, -1],)


def _one_round(numbers: Sequence[int]) -> list[int]:
    """Swaps neighbours once through the list."""
    once = list(numbers)
    for place in range(len(once) - 1):
        if once[place] > once[place + 1]:
            once[place], once[place + 1] = once[place + 1], once[place]
    return once


EXERCISE = Exercise(
    "2.2",
    "insertion_sort",
    observers.insertion_sort,
    reference=insertion_sort_reference,
    takes="numbers",
    drawn=_drawn,
    keeps_arguments="the list",
    properties=(
        Property(
            "the same numbers, the smallest first",
            "Sort four cards in your hand, and say aloud where each goes: does your answer do the same?",
            on="mixed",
            fixed=[([3, 1, 2],), ([5, -2, 9, 0],), ([4, 3, 2, 1],)],
            core=True,
            idea=True,
        ),
        Property(
            "a number that is there twice stays there twice",
            "What happens to a number that equals one that is placed already?",
            on="twice",
            fixed=[([2, 1, 2],), ([0, 0],)],
        ),
        Property(
            "nothing, and one number alone",
            "What should come out where there is nothing to compare?",
            on="short",
            fixed=[([],), ([7],)],
        ),
        returns("a list", lambda value: isinstance(value, list)),
    ),
    wrong={
        "each number once": ("Numbers that come twice are lost on the way.", lambda numbers: sorted(set(numbers))),
        "the largest first": ("Your numbers fall. They should rise.", lambda numbers: sorted(numbers, reverse=True)),
        "one round of swaps": (
            "Swapping neighbours once brings the largest to its end. The others may have further to go.",
            _one_round,
        ),
        "turned round": ("You turn the list round, whatever is in it.", lambda numbers: list(numbers)[::-1]),
        "as text": (
            "You compare the numbers as text, in which 10 comes before 9.",
            lambda numbers: sorted(numbers, key=str),
        ),
    },
)

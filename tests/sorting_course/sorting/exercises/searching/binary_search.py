"""Exercise 1.1, binary_search: the place of a number in a sorted list, found by halving."""

from collections.abc import Iterator, Sequence

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, is_integer
from sorting.observers import searching as observers


def binary_search_reference(numbers: Sequence[int], wanted: int) -> int:
    """The contract, without a thought of speed."""
    return list(numbers).index(wanted) if wanted in numbers else -1


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, tuple[Plain, ...]]]:
    for size in (3, 10, 60):
        numbers = np.sort(generator.choice(200, size=size, replace=False)).tolist()
        yield "there", (numbers, numbers[int(generator.integers(size))])
        yield "absent", (numbers, int(next(number for number in range(201) if number not in numbers)))


def _halves(case: Case, observation: Observation) -> Failure | None:
    most = 2 * len(case.inputs["numbers"]).bit_length() + 2
    looks = sum(observation.seen["looks"])
    return None if looks <= most else Failure(f"at most {most} places looked at", f"{looks} places looked at")


def _last_half_only(numbers: Sequence[int], wanted: int) -> int:
    """Forgets that the half on the left may hold it."""
    low, high = 0, len(numbers)
    while low < high:
        middle = (low + high) // 2
        if numbers[middle] == wanted:
            return middle
        low = middle + 1
    return -1


def _insertion_place(numbers: Sequence[int], wanted: int) -> int:
    low, high = 0, len(numbers)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if numbers[middle] < wanted else (low, middle)
    return low


def _without_the_ends(numbers: Sequence[int], wanted: int) -> int:
    low, high = 0, len(numbers) - 1
    while low < high:
        middle = (low + high) // 2
        if numbers[middle] == wanted:
            return middle
        low, high = (middle + 1, high) if numbers[middle] < wanted else (low, middle - 1)
    return -1


EXERCISE = Exercise(
    "1.1",
    "binary_search",
    observers.binary_search,
    reference=binary_search_reference,
    takes="numbers wanted",
    drawn=_drawn,
    keeps_arguments=None,
    properties=(
        Property(
            "the place of a number that is there",
            "Take three numbers and search for each of them by hand: which one does your answer miss?",
            on="there",
            fixed=[([4], 4), ([2, 7], 2), ([2, 7], 7), ([1, 5, 8, 9, 12], 1), (list(range(0, 40, 2)), 38)],
            core=True,
            idea=True,
        ),
        Property(
            "-1 for a number that is not there",
            "What is left to look at when the number is not there, and what does your answer say then?",
            on="absent",
            fixed=[([], 3), ([4], 5), ([2, 7], 1), ([1, 5, 8], 6)],
        ),
        Property(
            "looks at few places of a long list",
            "Your answer looks at nearly every place. Each look can rule out half of those that are left.",
            on="long",
            fixed=[(list(range(500)), 499), (list(range(500)), 250), (list(range(1, 1000, 2)), 1)],
            test=_halves,
            witnessed=True,
            idea=True,
        ),
        returns("an int", is_integer),
    ),
    wrong={
        "one after another": (
            "You go through the numbers one after another. They are sorted: one look at the middle rules out half of them.",
            lambda numbers, wanted: next((place for place, one in enumerate(numbers) if one == wanted), -1),
        ),
        "only to the right": (
            "You always go on in the right half. Which half can still hold the number says the comparison.",
            _last_half_only,
        ),
        "where it would be inserted": (
            "You give the place where the number would have to stand, also where it does not stand there.",
            _insertion_place,
        ),
        "gives up one too early": (
            "Your search ends when one number is left, without a look at it.",
            _without_the_ends,
        ),
        "whether it is there": (
            "You say whether the number is there. The exercise asks for its place.",
            lambda numbers, wanted: (
                _insertion_place(numbers, wanted) < len(numbers)
                and numbers[_insertion_place(numbers, wanted)] == wanted
            ),
        ),
    },
)

"""Exercise 1.3, smallest_max_length: how long the rows must be for a share of the reviews."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from labkit.checks.exercise import Exercise, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, as_number, close, is_integer
from labkit.lessons.observers import tokenization as observers


def smallest_max_length_reference(lengths: Sequence[int], coverage: float) -> int:
    """The contract by trying every length. No case may hang on the last bit of the product."""
    enough = math.ceil(coverage * len(lengths))
    return next(length for length in sorted(lengths) if sum(one <= length for one in lengths) >= enough)


def _drawn(generator: np.random.Generator, count: int = 5) -> Iterator[tuple[str, tuple[Plain, ...]]]:
    for _ in range(count):
        lengths = generator.integers(3, 200, size=generator.integers(1, 60))
        yield "share", (lengths.tolist(), float(generator.uniform(0.01, 1)))


EXERCISE = Exercise(
    "1.3",
    "smallest_max_length",
    observers.smallest_max_length,
    nudge=(
        "Sort the lengths. How many reviews fit if the limit is the shortest of them, the next one, the one after that?"
    ),
    in_words=(
        "Only a length that occurs can be the answer: between two of them no further review fits. Go through the "
        "lengths from the shortest on, and stop at the first at which the share of reviews that fit has reached the "
        "coverage."
    ),
    reference=smallest_max_length_reference,
    takes="lengths coverage",
    properties=(
        Property(
            "the share of reviews that fit is at least the coverage, and no smaller length would do",
            "Sort the lengths on paper: which place in that list is the first by which enough reviews fit?",
            on="share",
            core=True,
            idea=True,
        ),
        Property(
            "a coverage of 1 fits every review",
            "With a coverage of 1, which review decides?",
            on="all",
        ),
        Property(
            "the smallest share still needs one review",
            "However small the coverage, it is above 0: how many reviews must fit at least?",
            on="one",
        ),
        Property(
            "many reviews, and very long ones",
            "Is there a number in your answer that cannot grow: a count kept in few bits, or a longest length of your own?",
            on="large",
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
        "counts kept in 8 bits": (
            "Your counts are kept in so few bits that they start again from 0. Which type holds the number of all reviews?",
            lambda lengths, coverage: next(
                (
                    length
                    for length in sorted({*lengths})
                    if sum(one <= length for one in lengths) % 256 >= coverage * len(lengths)
                ),
                max(lengths),
            ),
        ),
        "not sorted": (
            "You count off places in the order in which the lengths came. Which order makes the place mean something?",
            lambda lengths, coverage: list(lengths)[math.ceil(coverage * len(lengths)) - 1],
        ),
    },
    drawn=_drawn,
    fixed=lambda: [
        ("all", ([7], 1.0)),
        ("one", ([7], 0.1)),
        ("share", ([3, 9], 0.5)),
        ("share", ([9, 3], 0.51)),
        ("share", ([10, 20, 30, 40], 0.6)),
        ("share", ([30, 10, 40, 20], 0.75)),
        ("share", ([5, 5, 5, 100], 0.75)),
        ("all", ([12, 4, 8, 4, 30], 1.0)),
        ("all", ([2, 400], 1.0)),
        ("large", ([5] * 300 + [9] * 100, 0.7421)),
        ("large", ([70_000, 3, 40_000], 0.6)),
        ("one", ([3, 1, 2], 0.01)),
        *sorted(_drawn(np.random.default_rng(13), 30), key=lambda case: len(case[1][0])),
    ],
    same=lambda found, wanted: close(as_number(found), wanted),
    keeps_arguments="lengths",
)

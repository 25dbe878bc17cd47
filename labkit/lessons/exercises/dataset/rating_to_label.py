"""Exercise 2.1, rating_to_label: what people meant, with a neutral band left out."""

import math
from collections.abc import Iterator

import numpy as np

from labkit.checks.exercise import Exercise, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, is_integer
from labkit.lessons.observers import dataset as observers


def rating_to_label_reference(rating: float, neutral_band: float = 0.5) -> int | None:
    """The contract as two comparisons that NaN fails as well."""
    if rating >= neutral_band:
        return 1
    return 0 if rating <= -neutral_band else None


def _drawn(generator: np.random.Generator, count: int = 5) -> Iterator[tuple[str, tuple[Plain, ...]]]:
    for _ in range(count):
        band = float(generator.uniform(0.1, 2.0))
        off = float(generator.choice([-1, 1]) * generator.uniform(0.05, 1))  # of the edge: float32 is precise enough
        yield "band", (float(generator.choice([-1, 1])) * band * (1 + off), band)


EXERCISE = Exercise(
    "2.1",
    "rating_to_label",
    observers.rating_to_label,
    nudge=(
        "Draw the band around 0 on a line. Put a rating on either side of it, one on its edge, and ask where NaN "
        "would go."
    ),
    in_words=(
        "Ask first whether there is a label at all: a rating inside the band has none, and neither has NaN, with "
        "which every comparison is false. Only then the sign decides between 1 and 0."
    ),
    reference=rating_to_label_reference,
    takes="rating neutral_band",
    properties=(
        Property(
            "clear ratings get 1 or 0",
            "Which label should a clearly positive rating get, and which a clearly negative one?",
            on="clear",
            fixed=[(2.0,), (-1.5,), (0.75,), (-0.75,), *({"rating": each, "_as_numpy": True} for each in (3.8, -4.0))],
            core=True,
            idea=True,
        ),
        Property(
            "neutral ratings get None",
            "A review that people found neither good nor bad is to be left out: it gets None, not a label of its own.",
            on="neutral",
            fixed=[(0.0,), (0.25,), (-0.25,)],
            idea=True,
        ),
        Property(
            "a rating on the edge of the band keeps its label",
            "Is a rating as large as the band neutral? Read the comparison in the exercise once more.",
            on="edge",
            fixed=[(0.5,), (-0.5,)],
        ),
        Property(
            "NaN gets None",
            "NaN is what a missing rating looks like. How does one ask whether a number is NaN?",
            on="nan",
            fixed=[(math.nan,), {"rating": math.nan, "_as_numpy": True}, (math.nan, 1.0)],
        ),
        Property(
            "neutral_band is the caller's, on both sides of 0",
            "Is the argument neutral_band used, for negative ratings too?",
            on="band",
            fixed=[(0.8, 1.0), (-0.8, 1.0), (0.3, 0.25), (-0.3, 0.25), (-2.5, 3.0)],
        ),
        returns(
            "an int or None",
            lambda value: value is None or is_integer(value),
            "The label is to be an int or None. A truth value or a float may look equal, but torch makes another dtype of it.",
        ),
    ),
    wrong={
        "the edge counts as neutral": (
            "A rating exactly on the edge of the band is lost. Neutral is only what lies inside.",
            lambda rating, neutral_band=0.5: int(rating > 0) if abs(rating) > neutral_band else None,
        ),
        "NaN as a negative rating": (
            "A missing rating became a negative review: every comparison with NaN is false, also the one you rely on.",
            lambda rating, neutral_band=0.5: None if abs(rating) < neutral_band else int(rating > 0),
        ),
        "no neutral band": (
            "Every rating gets a label from its sign. What about reviews on which people found no clear verdict?",
            lambda rating, neutral_band=0.5: None if math.isnan(rating) else int(rating > 0),
        ),
        "no neutral band, NaN as a negative rating": (
            "Your answer looks at nothing but the sign. Which ratings should have no label at all?",
            lambda rating, neutral_band=0.5: int(rating > 0),
        ),
        "the usual band written into the code": (
            "The width of the band is an argument: your answer uses the usual one whatever the caller says.",
            lambda rating, neutral_band=0.5: rating_to_label_reference(rating),
        ),
        "negative ratings taken for neutral": (
            "Clearly negative ratings come out as neutral. How far a rating lies from 0 counts, on either side.",
            lambda rating, neutral_band=0.5: 1 if rating >= neutral_band else None,
        ),
        "neutral ratings as negative": (
            "What is not clearly positive became negative. There is a third case between the two.",
            lambda rating, neutral_band=0.5: int(rating >= neutral_band),
        ),
        "minus one for negative": (
            "Negative reviews are class 0, not -1: the loss counts classes from 0.",
            lambda rating, neutral_band=0.5: {1: 1, 0: -1, None: None}[rating_to_label_reference(rating, neutral_band)],
        ),
        "minus one for negative, 0 for neutral": (
            "You give the sign of the rating: -1, 0 or +1. Class 0 means negative here, and a neutral review has no class.",
            lambda rating, neutral_band=0.5: {1: 1, 0: -1, None: 0}[rating_to_label_reference(rating, neutral_band)],
        ),
        "minus one for negative, no neutral band": (
            "Your labels are -1 and +1, and every rating gets one. Which numbers do two classes have, and what is left out?",
            lambda rating, neutral_band=0.5: 1 if rating > 0 else -1,
        ),
        "the classes swapped": (
            "Your two classes are the wrong way round: which number stands for positive?",
            lambda rating, neutral_band=0.5: {1: 0, 0: 1, None: None}[rating_to_label_reference(rating, neutral_band)],
        ),
    },
    drawn=_drawn,
    fixed=lambda: _drawn(np.random.default_rng(21), 30),
    keeps_arguments=None,
)

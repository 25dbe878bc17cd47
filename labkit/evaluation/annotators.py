"""How far the people agree who rated a corpus: the spread of single ratings, and how many stand behind a label.

What a mean rating is worth, and so the ceiling for any model that is measured by it. Makes no labels (reviews.py).
"""

from typing import TYPE_CHECKING

import numpy as np

from labkit.errors import UsageError

if TYPE_CHECKING:
    from labkit.data.reviews import Corpus


def rater_spread(corpus: "Corpus") -> np.ndarray:
    """How far people differ on each text: the standard deviation of its single ratings, (n,) float64, 0 where all agree.

    Raises UsageError where a corpus has mean ratings alone.
    """
    _refuse_without_single_ratings(corpus)
    return np.array([np.std(ratings) for ratings in corpus.rater_ratings])


def rater_agreement(corpus: "Corpus") -> np.ndarray:
    """The share of each text's raters whose own rating lies on the same side of 0 as the mean rating, (n,) in [0, 1].

    A rating of 0 is a side of its own. Raises UsageError where a corpus has mean ratings alone.
    """
    _refuse_without_single_ratings(corpus)
    sides = np.sign(corpus.ratings)
    return np.array(
        [np.mean(np.sign(ratings) == side) for ratings, side in zip(corpus.rater_ratings, sides, strict=True)]
    )


def _refuse_without_single_ratings(corpus: "Corpus") -> None:
    if len(corpus.rater_ratings) != len(corpus) or not all(map(len, corpus.rater_ratings)):
        raise UsageError(f"{corpus.name}: a mean rating of each text and no single ones; wanted those of every rater")

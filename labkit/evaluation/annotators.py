"""The people who rated a corpus: their single ratings, and how far they agree.

Each real review was rated by 15 to 29 people on a scale from -4 to 4. A rating above 0 takes the positive side, one below 0 the
negative, and 0 takes none. Which rating is whose is not known, so nothing here follows a single person. The sample written for
the project has no single ratings: `ratings_of` says so. Makes no labels (reviews.py), and holds no model against people
(human_ceiling.py).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from labkit.data.reviews import CORPORA, Corpus, Reviews, load_corpus
from labkit.errors import UsageError
from labkit.evaluation.arrays import FloatArray, IntArray, check_level, integers, ratio
from labkit.evaluation.intervals import Score, percentile_score, resample_weights

MEASURES = ("nominal", "ordinal", "interval")
RESAMPLES = 2000


# --- single ratings -----------------------------------------------------------------------------------------------


class NoRatings(UsageError):
    """Reviews without known single ratings, and so without a human ceiling."""


def ratings_of(reviews: Reviews) -> list[IntArray]:
    """Find the single ratings of each review, in the order of the reviews.

    Each is (raters,) int64 of -4 to 4, in no order of people. Raises NoRatings for reviews that are of none of the four
    corpora, such as the sample written for the project or your own.
    """
    if reviews.name not in CORPORA:
        raise NoRatings(
            f"the reviews of {reviews.name} come without single ratings, so they have no human ceiling; "
            f"wanted those of {', '.join(CORPORA)}, which `labkit fetch reviews` brings"
        )
    corpus = load_corpus(reviews.name)
    known = dict(zip(corpus.ids, corpus.rater_ratings, strict=True))
    missing = [name for name in reviews.ids if name not in known]
    if missing:
        raise NoRatings(f"{reviews.name}: no ratings for id {missing[0]}; wanted ids of the corpus")
    return [np.asarray(known[name], dtype=np.int64) for name in reviews.ids]


def rater_spread(corpus: Corpus) -> np.ndarray:
    """Measure how far people differ on each text, (n,) float64.

    It is the standard deviation of the text's single ratings, 0 where all agree. Raises UsageError where a corpus has mean
    ratings alone.
    """
    _refuse_without_single_ratings(corpus)
    return np.array([np.std(ratings) for ratings in corpus.rater_ratings])


def _refuse_without_single_ratings(corpus: Corpus) -> None:
    if len(corpus.rater_ratings) != len(corpus) or not all(map(len, corpus.rater_ratings)):
        raise UsageError(f"{corpus.name}: a mean rating of each text and no single ones; wanted those of every rater")


# --- agreement ----------------------------------------------------------------------------------------------------


def rater_agreement(corpus: Corpus) -> np.ndarray:
    """Measure the share of each text's raters who side with its mean rating.

    Of each text, (n,) in [0, 1]: whose own rating lies on the same side of 0 as the mean. A rating of 0 is a side of its
    own. Raises UsageError where a corpus has mean ratings alone.
    """
    _refuse_without_single_ratings(corpus)
    sides = np.sign(corpus.ratings)
    return np.array(
        [np.mean(np.sign(ratings) == side) for ratings, side in zip(corpus.rater_ratings, sides, strict=True)]
    )


def agreement_shares(ratings: Sequence[ArrayLike]) -> FloatArray:
    """Measure the share of people on the larger side of each review, (reviews,).

    Of those who take a side: 0.5 is a draw, 1 is all; NaN where nobody takes one.

    >>> agreement_shares([[3, 2, 0, -1], [1, 1]]).round(3).tolist()
    [0.667, 1.0]
    """
    shares = []
    for row in ratings:
        sides = np.sign(integers(row, "ratings"))
        decided = int((sides != 0).sum())
        shares.append((decided + abs(int(sides.sum()))) / (2 * decided) if decided else math.nan)
    return np.array(shares, dtype=np.float64)


def krippendorffs_alpha(
    ratings: Sequence[ArrayLike],
    measure: str = "ordinal",
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Score:
    """Compute Krippendorff's alpha: 1 is perfect agreement, 0 is chance.

    It is 1 minus the disagreement observed over the disagreement expected by chance. ratings: of each review those of
    however many people; a review with fewer than two counts nothing. measure: how far two ratings are apart: `nominal`
    (different or not), `ordinal` (by how many ratings lie between) or `interval` (squared distance). Chosen over Fleiss'
    kappa because numbers of raters may differ and the scale has an order; neither needs to know who rated what
    (Krippendorff 2011, "Computing Krippendorff's alpha-reliability"). The interval resamples the reviews. NaN where every
    rating is the same. Raises ValueError for another measure.

    >>> str(krippendorffs_alpha([[1, 1, 1], [2, 2, 3], [3, 3, 3]], "nominal", resamples=200))[:5]
    '0.692'
    """
    check_level(level)
    if measure not in MEASURES:
        raise ValueError(f"measure {measure!r} is none of {', '.join(MEASURES)}")
    rows = [integers(row, "ratings") for row in ratings]
    rows = [row for row in rows if len(row) >= 2]
    if not rows:
        return Score(math.nan, math.nan, math.nan, "no review was rated twice")
    values = np.unique(np.concatenate(rows))
    counts = np.stack([(row[:, None] == values).sum(axis=0) for row in rows]).astype(np.float64)
    pairs = _pairs(counts)
    whole = _alpha(np.ones((1, len(rows))), counts, pairs, values, measure)[0]
    drawn = [
        _alpha(weights, counts, pairs, values, measure) for weights in resample_weights(len(rows), resamples, seed)
    ]
    note = "" if len(values) > 1 else "every rating is the same"
    return percentile_score(float(whole), np.concatenate(drawn), level, note)


def _pairs(counts: FloatArray) -> FloatArray:
    """Count the pairs of ratings in each review, (reviews, values x values).

    Pairs of different people, over the number of raters minus one.
    """
    values = counts.shape[1]
    together = counts[:, :, None] * counts[:, None, :] - np.eye(values) * counts[:, :, None]
    return (together / (counts.sum(axis=1) - 1)[:, None, None]).reshape(len(counts), values**2)


def _alpha(weights: FloatArray, counts: FloatArray, pairs: FloatArray, values: IntArray, measure: str) -> FloatArray:
    """Compute alpha for each row of `weights` (resamples, reviews).

    NaN where only one value occurs.
    """
    totals = weights @ counts  # ratings of each value
    seen = (weights @ pairs).reshape(len(weights), len(values), len(values))
    by_chance = totals[:, :, None] * totals[:, None, :]
    apart = _distances(totals, values, measure)
    observed, expected = ((matrix * apart).sum(axis=(1, 2)) for matrix in (seen, by_chance))
    return 1 - ratio(observed * (totals.sum(axis=1) - 1), expected, otherwise=math.nan)


def _distances(totals: FloatArray, values: IntArray, measure: str) -> FloatArray:
    """How far each two values are apart, (resamples or 1, values, values)."""
    if measure == "nominal":
        return 1.0 - np.eye(len(values))[None]
    if measure == "interval":
        return np.asarray((values[:, None] - values[None, :]).astype(np.float64) ** 2)[None]
    middles = np.cumsum(totals, axis=1) - totals / 2  # where a value stands among all ratings in their order
    return np.asarray((middles[:, :, None] - middles[:, None, :]) ** 2)

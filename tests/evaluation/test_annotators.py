"""Laws of the people who rated: how far they differ, with a published example and plain loops as the oracles."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data.reviews import Corpus, Reviews, label_corpus, load_corpus, sample_corpus, sample_reviews
from labkit.errors import UsageError
from labkit.evaluation.annotators import (
    NoRatings,
    agreement_shares,
    krippendorffs_alpha,
    rater_agreement,
    rater_spread,
    ratings_of,
)

law = settings(max_examples=25, deadline=None)
sheets = st.lists(st.lists(st.integers(-2, 2), min_size=1, max_size=6), min_size=2, max_size=8)


def corpus_of(*votes: list[int]) -> Corpus:
    means = np.array([statistics.mean(ratings) for ratings in votes])
    names = [f"text {number}" for number in range(len(votes))]
    return Corpus("made", names, names, means, votes)


def test_the_spread_is_the_standard_deviation_of_the_single_ratings() -> None:
    votes = np.random.default_rng(0).integers(-4, 5, (6, 20)).tolist()
    assert rater_spread(corpus_of(*votes)) == pytest.approx([statistics.pstdev(row) for row in votes])
    assert rater_spread(corpus_of([2, 2, 2])).tolist() == [0]


def test_those_agree_whose_own_rating_lies_on_the_side_of_the_mean() -> None:
    corpus = corpus_of([3, 1, -1, 0], [-4, 1, 1], [-2, -1, -3], [-1, 0, 1])
    assert rater_agreement(corpus) == pytest.approx([0.5, 1 / 3, 1.0, 1 / 3])


def test_turning_every_rating_round_changes_neither() -> None:
    votes = np.random.default_rng(1).integers(-4, 5, (50, 15))
    one, other = corpus_of(*votes.tolist()), corpus_of(*(-votes).tolist())
    assert rater_spread(one) == pytest.approx(rater_spread(other))
    assert rater_agreement(one) == pytest.approx(rater_agreement(other))


def test_a_corpus_with_mean_ratings_alone_says_so() -> None:
    for measure in (rater_spread, rater_agreement):
        with pytest.raises(UsageError, match="written sample: a mean rating of each text and no single ones"):
            measure(sample_corpus())


def test_the_written_sample_has_no_ratings_and_says_what_has():
    with pytest.raises(NoRatings, match=r"written sample come without single ratings.*labkit fetch reviews"):
        ratings_of(sample_reviews())


def test_the_ratings_of_reviews_are_those_that_give_their_mean(users_cache):
    corpus = load_corpus("movies")
    reviews = label_corpus(corpus).select(range(50, 0, -1))
    mean = dict(zip(corpus.ids, corpus.ratings, strict=True))
    found = ratings_of(reviews)
    assert [row.mean() for row in found] == pytest.approx([mean[name] for name in reviews.ids], abs=1e-9)
    stranger = Reviews("movies", ["none"], ["text"], np.array([1]))
    with pytest.raises(NoRatings, match="no ratings for id none"):
        ratings_of(stranger)


def test_agreement_is_the_share_of_the_larger_side_and_unknown_where_nobody_takes_one():
    shares = agreement_shares([[1, 1, -1, 0], [0, 0], [-3], [2, -2]])
    assert shares.tolist()[:1] + shares.tolist()[2:] == pytest.approx([2 / 3, 1.0, 0.5])
    assert math.isnan(shares[1])


# Four observers and twelve units, some of them not rated: the example in Krippendorff 2011, with the values that he gives.
OBSERVERS = """
    1 2 3 3 2 1 4 1 2 . . .
    1 2 3 3 2 2 4 1 2 5 . 3
    . 3 3 3 2 3 4 2 2 5 1 .
    1 2 3 3 2 4 4 1 2 5 1 .
"""


def published() -> list[list[int]]:
    rows = [line.split() for line in OBSERVERS.strip().splitlines()]
    return [[int(value) for value in column if value != "."] for column in zip(*rows, strict=True)]


@pytest.mark.parametrize(("measure", "value"), [("nominal", 0.743), ("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_is_that_of_the_published_example(measure, value):
    assert krippendorffs_alpha(published(), measure, resamples=50).value == pytest.approx(value, abs=0.0006)


def alpha_in_loops(rows: list[list[int]], interval: bool) -> float:
    """Alpha by its definition: the mean disagreement within units over that between any two ratings."""
    rows = [row for row in rows if len(row) >= 2]
    everything = [value for row in rows for value in row]
    apart = (lambda a, b: (a - b) ** 2) if interval else (lambda a, b: a != b)
    within = sum(
        sum(apart(a, b) for i, a in enumerate(row) for j, b in enumerate(row) if i != j) / (len(row) - 1)
        for row in rows
    ) / max(len(everything), 1)
    pairs = [apart(a, b) for i, a in enumerate(everything) for j, b in enumerate(everything) if i != j]
    return 1 - within / np.mean(pairs) if pairs and any(pairs) else math.nan


@law
@given(sheets, st.booleans())
def test_alpha_is_one_less_disagreement_within_reviews_over_that_between_any_ratings(rows, interval):
    found = krippendorffs_alpha(rows, "interval" if interval else "nominal", resamples=5)
    assert found.value == pytest.approx(alpha_in_loops(rows, interval), abs=1e-9, nan_ok=True)
    assert not math.isnan(found.value) or found.note


def test_alpha_is_one_where_all_agree_and_about_zero_where_ratings_are_dice():
    assert krippendorffs_alpha([[1, 1], [2, 2], [3, 3]], resamples=20).value == 1
    dice = np.random.default_rng(0).integers(1, 6, size=(400, 8))
    found = krippendorffs_alpha(list(dice), resamples=200)
    assert found.low < 0.01 < 0.05
    assert abs(found.value) < 0.02
    with pytest.raises(ValueError, match="measure 'ratio' is none of"):
        krippendorffs_alpha([[1, 2]], "ratio")

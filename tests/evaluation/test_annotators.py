"""Laws of the raters: how far they differ, and how many stand behind the mean."""

import statistics

import numpy as np
import pytest

from labkit.data.reviews import Corpus, sample_corpus
from labkit.errors import UsageError
from labkit.evaluation.annotators import rater_agreement, rater_spread


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

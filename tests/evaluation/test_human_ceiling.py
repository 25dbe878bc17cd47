"""Laws of the human ceiling, with a published example and plain loops over people as the oracles."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data.reviews import Reviews, label_corpus, load_corpus, sample_reviews
from labkit.evaluation.human_ceiling import (
    HumanCeiling,
    NoCeiling,
    NoRatings,
    agreement_shares,
    error_by_agreement,
    human_ceiling,
    human_ceiling_or_notice,
    krippendorffs_alpha,
    ratings_of,
)
from labkit.evaluation.metrics import EvalResult, roc_auc

law = settings(max_examples=25, deadline=None)
sheets = st.lists(st.lists(st.integers(-2, 2), min_size=1, max_size=6), min_size=2, max_size=8)

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


def test_alpha_is_one_where_all_agree_and_about_zero_where_ratings_are_random():
    assert krippendorffs_alpha([[1, 1], [2, 2], [3, 3]], resamples=20).value == 1
    ratings = np.random.default_rng(0).integers(1, 6, size=(400, 8))
    found = krippendorffs_alpha(list(ratings), resamples=200)
    assert found.low < 0.01 < 0.05
    assert abs(found.value) < 0.02
    with pytest.raises(ValueError, match="measure 'ratio' is none of"):
        krippendorffs_alpha([[1, 2]], "ratio")


def ceiling_in_loops(rows: list[list[int]], predictions: list[int]) -> dict[str, float]:
    """Every rating against the majority of the others, one by one."""
    person, forced, model, model_sided = [], [], [], []
    for row, prediction in zip(rows, predictions, strict=True):
        for place, rating in enumerate(row):
            others = row[:place] + row[place + 1 :]
            up, down = sum(r > 0 for r in others), sum(r < 0 for r in others)
            if up == down:
                continue
            majority = 1 if up > down else -1
            with_majority = float((1 if prediction else -1) == majority)
            model.append(with_majority)
            forced.append(0.5 if rating == 0 else float(np.sign(rating) == majority))
            if rating:
                person.append(forced[-1])
                model_sided.append(with_majority)
    mean = {
        name: float(np.mean(v)) if v else math.nan
        for name, v in (("person", person), ("forced", forced), ("model", model))
    }
    less = float(np.mean(model_sided)) - mean["person"] if model_sided else math.nan
    return mean | {"less": less, "less_forced": mean["model"] - mean["forced"]}


@law
@given(sheets.filter(lambda rows: any(len(row) > 1 for row in rows)), st.integers(0, 99))
def test_the_ceiling_is_what_a_loop_over_people_finds(rows, seed):
    predictions = np.random.default_rng(seed).integers(2, size=len(rows))
    result = EvalResult.from_logits(np.zeros(len(rows)), np.eye(2)[predictions])
    found, expected = human_ceiling(rows, result, resamples=10), ceiling_in_loops(rows, predictions.tolist())
    assert found.less_person is not None
    assert found.less_person_forced is not None
    assert found.model is not None
    values = {
        "person": found.person.value,
        "forced": found.person_forced.value,
        "model": found.model.value,
        "less": found.less_person.value,
        "less_forced": found.less_person_forced.value,
    }
    assert values == pytest.approx(expected, abs=1e-12, nan_ok=True)
    assert found.undecided.value == pytest.approx(np.mean([rating == 0 for row in rows for rating in row]))


def simulated(n: int = 300, seed: int = 0) -> tuple[list[np.ndarray], EvalResult]:
    """People who mostly see what is there, some reviews that are unclear, and a model that errs on those."""
    generator = np.random.default_rng(seed)
    truth = generator.normal(size=n) * 2
    ratings = [np.clip(np.rint(value + generator.normal(size=15)), -4, 4).astype(int) for value in truth]
    evidence = truth + 0.6 * generator.normal(size=n)
    return ratings, EvalResult.from_logits(truth > 0, np.stack([-evidence, evidence], 1), "<m>")


def test_a_model_that_errs_where_people_disagree_is_seen_to_do_so():
    ratings, result = simulated()
    found = human_ceiling(ratings, result)
    assert found.disputed is not None
    assert found.disputed.low > 0.5
    shares = agreement_shares(ratings)
    assert found.disputed.value == pytest.approx(roc_auc(~result.correct, -shares), abs=1e-12)
    rates = [each.error_rate.value for each in found.bins]
    assert rates[0] > rates[-1]
    assert sum(each.count for each in found.bins) == 300
    assert sum(each.errors for each in found.bins) == (~result.correct).sum()


def test_the_ceiling_shows_itself_escaped_with_and_without_a_model():
    ratings, result = simulated(60)
    alone, beside = human_ceiling(ratings, resamples=50), human_ceiling(ratings, result, resamples=50)
    assert alone.model is None
    assert "error rate" not in alone._repr_html_()
    shown = beside._repr_html_()
    assert "<m>" not in shown
    assert "&lt;m&gt; with the same majorities" in shown
    for words in ("Krippendorff", "model less person", "60 reviews, 900 ratings"):
        assert words in shown
        assert words in str(beside)
    assert beside.as_json()["person"]["value"] == beside.person.value
    assert "model" not in alone.as_json()


def test_the_interval_resamples_whole_reviews_so_copies_of_a_rater_add_no_certainty():
    ratings, _ = simulated(80)
    once, thrice = (human_ceiling([np.repeat(row, k) for row in ratings], resamples=400).undecided for k in (1, 3))
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=1e-9)


def test_agreement_is_the_share_of_the_larger_side_and_nobody_taking_one_is_in_no_bin():
    shares = agreement_shares([[1, 1, -1, 0], [0, 0], [-3], [2, -2]])
    assert shares.tolist()[:1] + shares.tolist()[2:] == pytest.approx([2 / 3, 1.0, 0.5])
    assert math.isnan(shares[1])
    result = EvalResult.from_logits([1, 1, 1, 1], [[0, 1], [0, 1], [1, 0], [1, 0]])
    rows = error_by_agreement(result, shares, edges=(0, 0.7, 1))
    assert [(row.errors, row.count) for row in rows] == [(1, 2), (1, 1)]


def test_what_cannot_be_held_together_is_refused():
    ratings, result = simulated(10)
    with pytest.raises(ValueError, match="equally long; found 9 and 10"):
        human_ceiling(ratings[:9], result)
    with pytest.raises(ValueError, match="at least two people rated"):
        human_ceiling([[1], [2]])
    with pytest.raises(ValueError, match="equally long"):
        error_by_agreement(result, [0.5])


def test_the_written_sample_has_no_ratings_and_says_what_has():
    sample = sample_reviews()
    with pytest.raises(NoRatings, match=r"written sample come without single ratings.*labkit fetch reviews"):
        ratings_of(sample)
    notice = human_ceiling_or_notice(sample)
    assert isinstance(notice, NoCeiling)
    assert "No human ceiling here" in str(notice)
    assert "written sample" in notice._repr_html_()


def test_the_ratings_of_reviews_are_those_that_give_their_mean(users_cache):
    corpus = load_corpus("movies")
    reviews = label_corpus(corpus).select(range(50, 0, -1))
    mean = dict(zip(corpus.ids, corpus.ratings, strict=True))
    found = ratings_of(reviews)
    assert [row.mean() for row in found] == pytest.approx([mean[name] for name in reviews.ids], abs=1e-9)
    stranger = Reviews("movies", ["none"], ["text"], np.array([1]))
    with pytest.raises(NoRatings, match="no ratings for id none"):
        ratings_of(stranger)
    ceiling = human_ceiling_or_notice(reviews)
    assert isinstance(ceiling, HumanCeiling) and ceiling.n == 50

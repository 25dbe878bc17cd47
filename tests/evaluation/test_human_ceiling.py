"""Laws of the human ceiling, with plain loops over people as the oracle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data.reviews import label_corpus, load_corpus, sample_reviews
from labkit.evaluation.annotators import agreement_shares
from labkit.evaluation.human_ceiling import (
    HumanCeiling,
    NoCeiling,
    error_by_agreement,
    human_ceiling,
    human_ceiling_or_notice,
)
from labkit.evaluation.metrics import EvalResult, roc_auc

law = settings(max_examples=25, deadline=None)
sheets = st.lists(st.lists(st.integers(-2, 2), min_size=1, max_size=6), min_size=2, max_size=8)


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
    assert found.minus_person is not None
    assert found.minus_person_forced is not None
    assert found.model is not None
    values = {
        "person": found.person.value,
        "forced": found.person_forced.value,
        "model": found.model.value,
        "less": found.minus_person.value,
        "less_forced": found.minus_person_forced.value,
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
    for words in ("Krippendorff", "model minus person", "60 reviews, 900 ratings"):
        assert words in shown
        assert words in str(beside)
    assert beside.as_json()["person"]["value"] == beside.person.value
    assert "model" not in alone.as_json()


def test_the_interval_resamples_whole_reviews_so_copies_of_a_rater_add_no_certainty():
    ratings, _ = simulated(80)
    once, thrice = (human_ceiling([np.repeat(row, k) for row in ratings], resamples=400).undecided for k in (1, 3))
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=1e-9)


def test_reviews_on_which_nobody_takes_a_side_are_in_no_bin():
    result = EvalResult.from_logits([1, 1, 1, 1], [[0, 1], [0, 1], [1, 0], [1, 0]])
    rows = error_by_agreement(result, [2 / 3, math.nan, 1.0, 0.5], edges=(0, 0.7, 1))
    assert [(row.errors, row.count) for row in rows] == [(1, 2), (1, 1)]


def test_what_cannot_be_held_together_is_refused():
    ratings, result = simulated(10)
    with pytest.raises(ValueError, match="equally long; found 9 and 10"):
        human_ceiling(ratings[:9], result)
    with pytest.raises(ValueError, match="at least two people rated"):
        human_ceiling([[1], [2]])
    with pytest.raises(ValueError, match="equally long"):
        error_by_agreement(result, [0.5])


def test_reviews_without_ratings_have_a_notice_in_place_of_a_ceiling():
    notice = human_ceiling_or_notice(sample_reviews())
    assert isinstance(notice, NoCeiling)
    assert "No human ceiling here" in str(notice)
    assert "written sample" in notice._repr_html_()


def test_reviews_of_a_corpus_have_a_ceiling(users_cache):
    reviews = label_corpus(load_corpus("movies")).select(range(50, 0, -1))
    ceiling = human_ceiling_or_notice(reviews)
    assert isinstance(ceiling, HumanCeiling) and ceiling.n == 50

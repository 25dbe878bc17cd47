"""Laws of the comparisons, with the tossing of coins, scipy and resampling in a loop as the oracles."""

import dataclasses
import itertools
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.evaluation.comparison import (
    McNemar,
    bootstrap_p,
    compare_models,
    fold_p_values,
    fold_test,
    mcnemar,
)
from labkit.evaluation.intervals import ALL_METRICS, Score, score_table
from labkit.evaluation.metrics import EvalResult

law = settings(max_examples=30, deadline=None)
triples = st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=40)


def by_tossing_coins(only_a: int, only_b: int) -> float:
    """The share of all outcomes of fair coins, one a disagreement, that are at least as uneven as the one seen."""
    tosses = itertools.product((-1, 1), repeat=only_a + only_b)
    uneven = [abs(sum(toss)) >= abs(only_a - only_b) for toss in tosses]
    return sum(uneven) / len(uneven)


@pytest.mark.parametrize("only_a", range(6))
@pytest.mark.parametrize("only_b", range(6))
def test_p_is_the_share_of_coin_tosses_at_least_as_uneven(only_a, only_b):
    labels = np.ones(only_a + only_b + 3, dtype=int)
    a, b = labels.copy(), labels.copy()
    b[:only_a] = 0
    a[only_a : only_a + only_b] = 0
    found = mcnemar(labels, a, b)
    assert found.p_value == pytest.approx(by_tossing_coins(only_a, only_b), abs=1e-12)
    assert (found.only_a_right, found.only_b_right, found.n) == (only_a, only_b, only_a + only_b + 3)


@law
@given(triples)
def test_the_counts_and_the_difference_are_those_of_a_plain_loop(rows):
    labels, a, b = ([row[k] for row in rows] for k in range(3))
    found = mcnemar(labels, a, b)
    assert found.only_a_right == sum(label == x != y for label, x, y in rows)
    assert found.only_b_right == sum(label == y != x for label, x, y in rows)
    right_a, right_b = ([label == said for label, said in zip(labels, model, strict=True)] for model in (a, b))
    expected = (sum(right_a) - sum(right_b)) / max(len(rows), 1)
    assert found.difference == pytest.approx(expected, abs=1e-12)


@law
@given(triples)
def test_swapping_the_models_swaps_the_counts_and_keeps_p(rows):
    labels, a, b = ([row[k] for row in rows] for k in range(3))
    forth, back = mcnemar(labels, a, b), mcnemar(labels, b, a)
    assert (forth.only_a_right, forth.only_b_right) == (back.only_b_right, back.only_a_right)
    assert forth.p_value == pytest.approx(back.p_value, abs=1e-12)
    assert forth.difference == -back.difference


@law
@given(triples, st.integers(1, 20))
def test_examples_on_which_both_agree_never_change_p(rows, more):
    labels, a, b = ([row[k] for row in rows] for k in range(3))
    longer = mcnemar(labels + [1, 0] * more, a + [1, 1] * more, b + [1, 1] * more)
    assert longer.p_value == mcnemar(labels, a, b).p_value


def test_two_equal_models_are_no_evidence():
    found = mcnemar([0, 1, 1], [0, 0, 1], [0, 0, 1])
    assert (found.p_value, found.difference) == (1.0, 0.0)
    assert str(found).startswith("A and B are equally accurate")
    assert mcnemar([], [], []).p_value == 1.0


@pytest.mark.parametrize(
    ("counts", "words"),
    [((9, 2), "A is 7.0 points of accuracy above B"), ((2, 9), "A is 7.0 points of accuracy below B")],
)
def test_the_line_says_which_model_is_better_and_by_how_much(counts, words):
    line = str(McNemar(100, *counts, p_value=0.0654))
    assert line == f"{words} (only A right: {counts[0]}, only B right: {counts[1]}, n = 100, exact McNemar p = 0.065)"
    assert "p &lt; 0.001" in McNemar(100, 20, 0, p_value=1.9e-6)._repr_html_()


def test_tensors_and_lists_are_taken_alike():
    rows = [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]
    assert mcnemar(*rows) == mcnemar(*(torch.tensor(row) for row in rows)) == McNemar(4, 3, 0, 0.25)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (([1, 0], [1, 0], [1]), r"same shape \(n,\); found \(2,\), \(2,\), \(1,\)"),
        (([[1]], [[1]], [[1]]), r"same shape \(n,\)"),
        (([1, 0], [1, math.nan], [1, 0]), "predictions_a must be class indices; found NaN"),
    ],
)
def test_predictions_that_cannot_be_paired_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        mcnemar(*rows)


# --- the paired bootstrap -----------------------------------------------------------------------------------------


def pair(n: int = 80, seed: int = 0, gap: float = 0.8) -> tuple[EvalResult, EvalResult]:
    """Two models on the same examples, the first better by `gap` in its evidence."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=n)
    shared = generator.normal(size=n)
    results = []
    for name, better in (("A", gap), ("B", 0.0)):
        evidence = (0.7 + better) * (2 * labels - 1) + shared + 0.5 * generator.normal(size=n)
        results.append(EvalResult.from_logits(labels, np.stack([-evidence, evidence], 1), name))
    return results[0], results[1]


def test_the_paired_bootstraps_p_is_that_of_a_loop_with_scikit_learn():
    a, b = pair(n=40)
    found = compare_models(a, b, level=0.9, resamples=60, seed=3, metrics=("accuracy", "roc_auc", "mcc"))
    drawn = np.random.default_rng(3).integers(40, size=(60, 40))

    def by_sklearn(result: EvalResult, rows: np.ndarray) -> list[float]:
        labels, predictions, scores = result.labels[rows], result.predictions[rows], result.probabilities[rows, 1]
        return [
            sklearn.metrics.accuracy_score(labels, predictions),
            sklearn.metrics.roc_auc_score(labels, scores),
            sklearn.metrics.matthews_corrcoef(labels, predictions),
        ]

    loop = np.array([np.subtract(by_sklearn(a, rows), by_sklearn(b, rows)) for rows in drawn])
    values = [by_sklearn(result, np.arange(40)) for result in (a, b)]
    for column, (metric, (of_a, of_b, difference)) in enumerate(found.scores.items()):
        assert (of_a, of_b) == pytest.approx((values[0][column], values[1][column]), abs=1e-12)
        assert difference.value == pytest.approx(values[0][column] - values[1][column], abs=1e-12)
        assert found.p_values[metric] == pytest.approx(bootstrap_p(loop[:, column]), abs=1e-12)


def test_a_resample_of_one_class_is_left_out_of_the_difference_of_areas_and_counted():
    labels = [1] + [0] * 7
    a, b = (EvalResult.from_logits(labels, [[0, first]] + [[1, 0]] * 6 + [[0, 1]]) for first in (2, 0.5))
    area = compare_models(a, b, resamples=300).scores["roc_auc"][2]
    drawn = np.random.default_rng(0).integers(8, size=(300, 8))
    one_class = int(((drawn == 0).sum(axis=1) % 8 == 0).sum())
    assert area.left_out == one_class > 0
    assert f"{one_class} of 300 resamples" in area.note
    assert any(note.startswith("roc_auc: ") for note in compare_models(a, b, resamples=300).notes)


def test_a_model_compared_with_itself_shows_no_difference_of_any_kind():
    a = pair()[0]
    found = compare_models(a, a, resamples=50, metrics=ALL_METRICS)
    assert {difference.value for _, _, difference in found.scores.values()} == {0.0}
    assert set(found.p_values.values()) == {1.0}
    assert found.mcnemar.p_value == 1.0


def test_swapping_the_models_turns_every_difference_round():
    a, b = pair()
    forth, back = compare_models(a, b, resamples=200), compare_models(b, a, resamples=200)
    for metric in forth.scores:
        assert forth.scores[metric][2].value == -back.scores[metric][2].value
        assert forth.scores[metric][2].low == pytest.approx(-back.scores[metric][2].high, abs=1e-12)
        assert forth.p_values[metric] == back.p_values[metric]


def test_pairing_makes_the_interval_of_the_difference_narrower_than_two_samples_would():
    a, b = pair(n=400)
    paired = compare_models(a, b).scores["accuracy"][2]
    apart = [score_table(result).accuracy for result in (a, b)]
    unpaired = math.hypot(*(score.high - score.low for score in apart))
    assert paired.high - paired.low < 0.9 * unpaired


def test_a_clear_difference_is_found_and_never_with_p_zero():
    a, b = pair(n=400, gap=2.0)
    found = compare_models(a, b, resamples=500)
    assert found.scores["accuracy"][2].low > 0
    assert 0 < found.p_values["accuracy"] <= 2 / 502 + 1e-12


def test_the_p_value_of_the_bootstrap_counts_the_smaller_side_twice():
    assert bootstrap_p(np.array([0.1] * 7 + [-0.1] * 3)) == pytest.approx(2 * 4 / 12)
    assert bootstrap_p(np.array([0.0] * 10)) == 1.0
    assert math.isnan(bootstrap_p(np.array([math.nan])))


def test_results_on_other_examples_are_refused_and_none_at_all_undefined():
    a, b = pair()
    other = EvalResult(1 - b.labels, b.probabilities, b.loss)
    with pytest.raises(ValueError, match="their labels differ"):
        compare_models(a, other)
    with pytest.raises(ValueError, match="equally long; found 80 and 60"):
        compare_models(a, pair(n=60)[0])
    with pytest.raises(ValueError, match=r"acuracy is none of .*; did you mean accuracy\?"):
        compare_models(a, b, metrics=("acuracy",))
    nothing = EvalResult.from_logits([], np.zeros((0, 2)))
    assert math.isnan(compare_models(nothing, nothing).scores["f1"][2].value)


def test_a_comparison_shows_both_models_escaped_and_says_what_it_asks():
    a, b = pair()
    a = EvalResult(a.labels, a.probabilities, a.loss, "<i>")
    found = compare_models(a, b, resamples=50)
    shown = found._repr_html_()
    assert "<i>" not in shown
    assert "&lt;i&gt;" in shown
    for words in ("A minus B", "two trained models", "ece (less is better)"):
        assert words in shown
        assert words in str(found)
    assert found.as_json()["metrics"]["accuracy"]["difference"]["value"] == found.scores["accuracy"][2].value


@pytest.mark.parametrize("p_value", [0.01, 0.2])
@pytest.mark.parametrize("interval", [(-0.1, 0.2), (0.02, 0.2), (-0.2, -0.02), (math.nan, math.nan)])
def test_where_interval_and_p_of_a_difference_disagree_it_is_said(p_value, interval):
    found = compare_models(*pair(), resamples=50, metrics=["f1"])
    score = Score(0.0, *interval)
    found = dataclasses.replace(found, scores={"f1": (0.5, 0.5, score)}, p_values={"f1": p_value})
    disagree = not math.isnan(interval[0]) and (p_value < 0.05) != (interval[0] * interval[1] > 0)
    said = "f1: interval and p come of two methods"
    assert (said in str(found)) == (said in found._repr_html_()) == disagree


# --- folds --------------------------------------------------------------------------------------------------------


@law
@given(st.lists(st.integers(-20, 20), min_size=2, max_size=12), st.sampled_from([0.9, 0.95]))
def test_without_the_correction_the_fold_test_is_scipys_t_test(scores, level):
    values = np.array(scores) / 20
    found = fold_test(values, test_to_train=0.0, level=level)
    if values.std() == 0:
        assert found.naive_low == found.naive_high == pytest.approx(values[0])
        return
    expected = scipy.stats.ttest_1samp(values, 0.0)
    interval = expected.confidence_interval(level)
    assert (found.naive_low, found.naive_high) == pytest.approx((interval.low, interval.high), abs=1e-12)
    assert (found.mean.low, found.mean.high) == (found.naive_low, found.naive_high)
    assert found.naive_p_value == found.p_value == pytest.approx(expected.pvalue, abs=1e-9)


def test_the_correction_widens_by_the_factor_of_nadeau_and_bengio():
    scores = [0.85, 0.86, 0.84, 0.87, 0.85]
    found = fold_test(scores, test_to_train=1 / 4)
    assert found.mean.high - found.mean.value == pytest.approx(
        (found.naive_high - found.mean.value) * 1.5
    )  # sqrt(1 + 5/4)
    assert found.p_value > found.naive_p_value
    assert "Nadeau" in str(found)


@law
@given(st.lists(st.integers(0, 20), min_size=2, max_size=6), st.sampled_from([0.0, 0.25, 1.0]))
def test_the_interval_of_a_share_over_folds_stays_a_share(scores, test_to_train):
    values = np.array(scores) / 20
    found = fold_test(values, test_to_train, bounds=(0.0, 1.0))
    for low, high in ((found.mean.low, found.mean.high), (found.naive_low, found.naive_high)):
        assert 0 <= low <= found.mean.value <= high <= 1
    unbounded = fold_test(values, test_to_train)
    assert (found.p_value, found.spread) == (unbounded.p_value, unbounded.spread)
    turned = fold_test(1 - values, test_to_train, bounds=(0.0, 1.0)).mean
    assert (1 - turned.high, 1 - turned.low) == pytest.approx((found.mean.low, found.mean.high), abs=1e-9)


def test_far_from_its_bounds_the_interval_over_folds_is_the_t_interval():
    scores = [0.501, 0.499, 0.502, 0.500, 0.498]
    free, bound = fold_test(scores, 0.25).mean, fold_test(scores, 0.25, bounds=(0.0, 1.0)).mean
    assert (bound.low, bound.high) == pytest.approx((free.low, free.high), abs=1e-6)
    assert fold_test([0.1, 0.9], 0.25, bounds=(0.0, math.inf)).mean.low == 0.0
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\]; found 0.5 to 1.2"):
        fold_test([0.5, 1.2], 0.25, bounds=(0.0, 1.0))


def test_fold_scores_that_have_no_spread_are_refused():
    with pytest.raises(ValueError, match="at least 2 scores; found 1"):
        fold_test([0.5], 0.25)
    with pytest.raises(ValueError, match="finite"):
        fold_test([0.5, math.nan], 0.25)
    with pytest.raises(ValueError, match="test_to_train"):
        fold_test([0.5, 0.6], -1)


def test_equal_scores_are_no_evidence_where_they_are_zero_and_all_of_it_where_not():
    assert fold_p_values(np.zeros((1, 5)), 0.25)[0] == 1.0
    assert fold_p_values(np.full((1, 5), 0.1), 0.25)[0] < 1e-6

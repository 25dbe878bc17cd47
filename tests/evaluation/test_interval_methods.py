"""Laws of the interval of each metric: formulas against plain loops and scipy, and coverage by a small simulation."""

import math
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.evaluation.comparison import compare_models
from labkit.evaluation.interval_methods import (
    area_interval,
    calibration_error_interval,
    combined_interval,
    correlations_of,
    f1_interval,
    matthews_interval,
    mean_loss_interval,
    wilson,
)
from labkit.evaluation.intervals import ALL_METRICS, resample_weights, score_table
from labkit.evaluation.metrics import EvalResult, roc_auc

sys.path.append(str(Path(__file__).resolve().parents[2] / "benchmarks"))

from interval_coverage import WORLDS, coverage

law = settings(max_examples=30, deadline=None)


@law
@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.5, 0.95]))
def test_the_interval_of_a_share_is_scipys_wilson(counts, level):
    expected = scipy.stats.binomtest(*counts).proportion_ci(level, method="wilson")
    assert wilson(*counts, level) == pytest.approx((expected.low, expected.high), abs=1e-12)


@law
@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_the_interval_of_f1_is_that_of_the_share_of_right_ones_among_all_named(both, predicted_only, actual_only):
    low, high = f1_interval(both, both + predicted_only, both + actual_only, 0.95)
    shares = wilson(both, both + predicted_only + actual_only, 0.95)
    assert [f1 / (2 - f1) for f1 in (low, high)] == pytest.approx(shares, abs=1e-12)


def test_the_interval_of_an_area_has_delongs_variance():
    generator = np.random.default_rng(2)
    positive, scores = generator.random(30) < 0.4, generator.integers(6, size=30).astype(float)
    pairs = np.array([[(p > q) + (p == q) / 2 for q in scores[~positive]] for p in scores[positive]])
    m, n = pairs.shape
    error = math.sqrt(pairs.mean(axis=1).var(ddof=1) / m + pairs.mean(axis=0).var(ddof=1) / n)
    area = roc_auc(positive, scores)
    middle, half = math.log(area / (1 - area)), 1.959963985 * error / (area * (1 - area))
    expected = [1 / (1 + math.exp(-bound)) for bound in (middle - half, middle + half)]
    assert area_interval(positive, scores, area, 0.95) == pytest.approx(expected, abs=1e-9)


def test_two_shares_combine_to_newcombes_interval_of_a_paired_difference():
    both, only_a, only_b, neither = 36, 12, 2, 0  # of 50 examples
    n, phi = 50, (36 * 0 - 12 * 2) / math.sqrt(48 * 2 * 38 * 12)
    values = np.array([(both + only_a) / n, (both + only_b) / n])
    lows, highs = np.array([wilson(value * n, n, 0.95) for value in values]).T
    found = combined_interval(values, lows, highs, np.array([1.0, -1.0]), np.array([[1, phi], [phi, 1]]))
    (l1, l2), (u1, u2), (a, b) = lows, highs, values
    low = a - b - math.sqrt((a - l1) ** 2 - 2 * phi * (a - l1) * (u2 - b) + (u2 - b) ** 2)
    high = a - b + math.sqrt((u1 - a) ** 2 - 2 * phi * (u1 - a) * (b - l2) + (b - l2) ** 2)
    assert found == pytest.approx((low, high), abs=1e-12)
    assert neither == 0 and found[0] > 0


def test_correlations_are_numpys_and_0_with_what_never_moves():
    drawn = np.random.default_rng(0).normal(size=(3, 50))
    drawn[2] = 0.5
    found = correlations_of(drawn)
    np.testing.assert_allclose(found[:2, :2], np.corrcoef(drawn[:2]))
    assert found[2].tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("n", [1, 2, 10, 50, 1000])
def test_all_right_of_n_is_no_certainty_in_any_metric(n):
    labels = np.arange(2 * n) % 2
    table = score_table(EvalResult.from_logits(labels, 9.0 * np.eye(2)[labels]), resamples=50, metrics=ALL_METRICS)
    for metric in ("accuracy", "precision", "recall", "f1", "roc_auc", "f1_macro", "mcc", "average_precision"):
        score = table.scores[metric]
        assert score.low < 0.9995 and score.high == 1.0, metric


def test_the_error_of_a_calibrated_model_is_not_told_from_0_and_a_large_one_is():
    counts = np.array([0.0, 40, 60])
    low, high, chance = calibration_error_interval(counts, counts * 0.7, np.array([0.0, 30, 41]), 0.95, 1000, seed=0)
    assert low == 0 < chance < high < 0.3
    low, high, _ = calibration_error_interval(counts, counts * 0.99, counts * 0.6, 0.95, 1000, seed=0)
    assert 0.25 < low < 0.39 < high < 0.55


def test_a_mean_loss_has_the_interval_of_a_plain_studentised_bootstrap():
    losses = np.random.default_rng(1).exponential(size=40)
    found = mean_loss_interval(losses, resample_weights(40, 3000, seed=2), 0.9)
    rows = losses[np.random.default_rng(2).integers(40, size=(3000, 40))]
    mean, spread = losses.mean(), losses.std()
    studentised = np.log(rows.mean(axis=1) / mean) * rows.mean(axis=1) / rows.std(axis=1)
    expected = [mean * math.exp(-quantile * spread / mean) for quantile in np.quantile(studentised, [0.95, 0.05])]
    assert found == pytest.approx(expected, rel=1e-9)
    assert np.isnan(mean_loss_interval(np.eye(40)[0], resample_weights(40, 300, seed=2), 0.95)).all()


def test_matthews_interval_lies_inside_minus_1_to_1_and_narrows_with_n():
    few, many = (np.array(matthews_interval(size * np.array([[8.0, 2], [1, 9]]), 0.95)) for size in (1, 100))
    assert (np.abs(few) <= 1).all() and few[0] < many[0] < 0.704 < many[1] < few[1]
    assert matthews_interval(np.array([[5.0, 0], [0, 5]]), 0.95)[0] < 0.8


# --- coverage -----------------------------------------------------------------------------------------------------

SAMPLES = 60  # a method that covers 95 % is below 48 of them once in a million times; the bootstrap of ece covers none


@pytest.mark.parametrize("world", ["calibrated", "too sure"])
def test_every_interval_holds_the_truth_about_as_often_as_it_says(world):
    for metric, found in coverage(WORLDS[world], 50, SAMPLES, seed=3).items():
        assert found["of the model"] >= 0.8, metric
        assert found["of the difference"] >= 0.8, metric


def test_a_model_compared_with_its_equal_is_seldom_called_different_at_small_n():
    generator, apart = np.random.default_rng(0), 0
    for _ in range(SAMPLES):
        labels = generator.integers(2, size=50)
        a, b = (
            EvalResult.from_logits(labels, np.stack([-z, z], 1) * 2)
            for z in generator.normal(size=(2, 50)) + 2.0 * labels - 1
        )
        ece = compare_models(a, b, resamples=100, metrics=("ece",)).scores["ece"][2]
        apart += not ece.low <= 0 <= ece.high
    assert apart <= 6

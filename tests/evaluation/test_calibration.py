"""Laws of calibration, temperature and abstention, with plain loops, scipy and the definition as oracles."""

import dataclasses
import math
import pickle
from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.optimize
import scipy.special
from hypothesis import given, settings
from hypothesis import strategies as st
from predicting import calibration_by_hand, make_confident, make_result

from labkit.evaluation.baselines import majority, nearest_neighbour
from labkit.evaluation.calibration import (
    abstention_curve,
    at_temperature,
    expected_calibration_error,
    fit_temperature,
    reliability_bins,
)
from labkit.evaluation.intervals import score_table
from labkit.evaluation.metrics import EvalResult, softmax

law = settings(max_examples=30, deadline=None)

confidence_rows = st.lists(
    st.tuples(st.one_of(st.integers(0, 8).map(lambda k: k / 8), st.floats(0, 1)), st.booleans()), max_size=30
)


# --- bins ---------------------------------------------------------------------------------------------------------


@law
@given(confidence_rows, st.sampled_from([1, 2, 8, 10]))
def test_calibration_error_and_bins_follow_the_definition(rows, bins):
    confidences, correct = [c for c, _ in rows], [right for _, right in rows]
    counts, error = calibration_by_hand(rows, bins)
    found = reliability_bins(confidences, correct, bins)
    assert [row.count for row in found] == counts
    assert expected_calibration_error(confidences, correct, bins) == pytest.approx(error, abs=1e-12)
    from_bins = sum(row.count * abs(row.accuracy - row.confidence) for row in found if row.count) / max(len(rows), 1)
    assert from_bins == pytest.approx(error, abs=1e-12)


def test_a_confidence_on_an_edge_lies_in_the_bin_below():
    on_edges = [k / 10 for k in range(11)]
    assert [row.count for row in reliability_bins(on_edges, [True] * 11)] == [2] + [1] * 9


def test_a_bin_without_examples_says_so_and_counts_nothing():
    first, second = reliability_bins([0.9], [True], bins=2)
    assert first.count == 0
    assert math.isnan(first.accuracy)
    assert math.isnan(first.confidence)
    assert (second.count, second.accuracy, second.low, second.high) == (1, 1.0, 0.5, 1.0)


@pytest.mark.parametrize(
    ("confidences", "correct", "bins", "message"),
    [
        ([1.2], [True], 10, r"confidences must lie in \[0, 1\]"),
        ([-0.1], [True], 10, r"confidences must lie in \[0, 1\]"),
        ([math.nan], [True], 10, "confidences must be no NaN"),
        ([0.5], [True, False], 10, "equally long"),
        ([0.5], [2], 10, "correct must be 0 or 1; found 2"),
        ([0.5], [True], 0, "bins must be at least 1"),
    ],
)
def test_confidences_that_are_none_are_refused(confidences, correct, bins, message):
    with pytest.raises(ValueError, match=message):
        expected_calibration_error(confidences, correct, bins)


# --- temperature --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_a_temperature_divides_the_logits_and_changes_no_prediction(temperature):
    logits, labels = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 3
    plain = EvalResult.from_logits(labels, logits, "m")
    scaled = at_temperature(plain, temperature)
    np.testing.assert_allclose(scaled.probabilities, softmax(logits / temperature), rtol=1e-10)
    assert scaled.loss == pytest.approx(EvalResult.from_logits(labels, logits / temperature).loss, rel=1e-10)
    assert scaled.name == "m"
    np.testing.assert_array_equal(scaled.predictions, plain.predictions)


@law
@given(st.integers(0, 10_000), st.sampled_from([0.4, 1.0, 3.0]))
def test_the_fitted_temperature_has_the_lowest_loss_that_a_search_finds(seed, sharpness):
    validation = make_confident(200, sharpness, seed)
    fitted = fit_temperature(validation=validation)
    search = scipy.optimize.minimize_scalar(
        lambda t: at_temperature(validation, t).loss, bounds=(0.05, 20), method="bounded", options={"xatol": 1e-6}
    )
    assert fitted.loss_after == pytest.approx(at_temperature(validation, fitted.value).loss, abs=1e-12)
    assert fitted.loss_after <= search.fun + 1e-9
    assert fitted.loss_after <= fitted.loss_before == pytest.approx(validation.loss, rel=1e-10)
    assert fitted.n == 200


def test_a_model_that_is_too_sure_gets_the_temperature_that_undoes_it():
    assert fit_temperature(validation=make_confident(20_000, 3.0)).value == pytest.approx(3.0, rel=0.06)
    assert fit_temperature(validation=make_confident(20_000, 0.5)).value == pytest.approx(0.5, rel=0.06)


def test_a_temperature_from_validation_lowers_the_loss_on_test_and_leaves_the_predictions():
    validation, test = make_confident(2000, 3.0, seed=1), make_confident(2000, 3.0, seed=2)
    after = fit_temperature(validation=validation).apply(test)
    assert after.loss < test.loss - 0.1
    np.testing.assert_array_equal(after.predictions, test.predictions)


def with_ids(result: EvalResult, ids: Sequence[object], rows: Sequence[int] | None = None) -> EvalResult:
    """Make a result anew from some rows of another, its examples marked."""
    rows = range(len(result)) if rows is None else rows
    labels, probabilities = result.labels[list(rows)], result.probabilities[list(rows)]
    return EvalResult(labels, probabilities, result.loss, ids=[f"review {ids[row]}" for row in rows])


def test_a_temperature_refuses_the_examples_it_was_fitted_on_in_any_order():
    validation = with_ids(make_confident(100, 3.0, seed=1), range(100))
    test = with_ids(make_confident(100, 3.0, seed=2), range(100, 200))
    fitted = fit_temperature(validation=validation)
    backwards = with_ids(validation, range(100), range(99, -1, -1))
    for same in (validation, backwards, pickle.loads(pickle.dumps(validation)), at_temperature(validation, 2.0)):
        with pytest.raises(ValueError, match="100% of these 100 examples are those that the temperature was fitted on"):
            fitted.apply(same)
    mixed = with_ids(test, [*range(60), *range(160, 200)])
    with pytest.raises(ValueError, match="60% of these 100 examples"):
        fitted.apply(mixed)
    fitted.apply(test)


def test_a_result_without_ids_is_known_again_itself_and_by_nothing_that_the_model_said():
    validation = make_confident(100, 3.0, seed=1)
    fitted = fit_temperature(validation=validation)
    for same in (validation, pickle.loads(pickle.dumps(validation)), dataclasses.replace(validation, name="other")):
        with pytest.raises(ValueError, match="100% of these 100 examples"):
            fitted.apply(same)
    fitted.apply(EvalResult(validation.labels, validation.probabilities, validation.loss))


def test_new_examples_that_the_model_answers_alike_are_new():
    train, validation, test = (
        SimpleNamespace(texts=texts, labels=[1, 0, 1])
        for texts in (["good film", "bad film", "fine plot"], ["good", "bad", "fine"], ["film", "dull", "plot"])
    )
    for model in (majority, nearest_neighbour):
        fitted = fit_temperature(validation=model(train, validation))
        assert len(fitted.apply(model(train, test))) == 3
        with pytest.raises(ValueError, match="100% of these 3 examples"):
            fitted.apply(model(train, validation))


@law
@given(st.integers(0, 10_000), st.sampled_from([1.0, 300.0, 1e6, 1e30]), st.sampled_from([2, 3]))
def test_losses_and_temperatures_are_those_of_the_logits_however_far_apart_they_lie(seed, scale, classes):
    generator = np.random.default_rng(seed)
    labels, logits = generator.integers(classes, size=30), scale * generator.normal(size=(30, classes))
    result = EvalResult.from_logits(labels, logits)
    for temperature in (0.5, 1.0, 7.0):
        truth = -scipy.special.log_softmax(logits / temperature, axis=1)[np.arange(30), labels].mean()
        scaled = at_temperature(result, temperature)
        assert scaled.loss == pytest.approx(truth, rel=1e-9)
        assert score_table(scaled, resamples=5, metrics=("nll",)).nll.value == pytest.approx(truth, rel=1e-9)
    fitted = fit_temperature(validation=result)
    assert fitted.loss_before == pytest.approx(result.loss, rel=1e-9)
    assert fitted.loss_after <= fitted.loss_before + 1e-9


def test_what_the_validation_split_is_has_to_be_said():
    with pytest.raises(TypeError, match="positional"):
        fit_temperature(make_confident(10, 1.0))


def test_where_no_temperature_is_best_the_fit_says_so():
    right = EvalResult.from_logits([0, 1], [[3.0, 0.0], [0.0, 3.0]])
    wrong = EvalResult.from_logits([1, 0], [[3.0, 0.0], [0.0, 3.0]])
    assert "coldest" in fit_temperature(validation=right).note
    assert "hottest" in fit_temperature(validation=wrong).note
    assert "coldest" in str(fit_temperature(validation=right))
    assert "(" not in str(fit_temperature(validation=make_confident(100, 2.0)))
    with pytest.raises(ValueError, match="found none"):
        fit_temperature(validation=EvalResult.from_logits([], np.zeros((0, 2))))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan])
def test_a_temperature_that_is_none_is_refused(temperature):
    with pytest.raises(ValueError, match="above 0 and finite"):
        at_temperature(make_result(), temperature)


# --- abstention ---------------------------------------------------------------------------------------------------


@law
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_the_abstention_curve_is_what_a_plain_loop_over_thresholds_finds(seed, n):
    result = make_result(n=n, seed=seed)
    curve = abstention_curve(result)
    assert curve.thresholds.tolist() == sorted({float(c) for c in result.confidences}, reverse=True)
    for threshold, coverage, accuracy in zip(curve.thresholds, curve.coverage, curve.accuracy, strict=True):
        answered = result.confidences >= threshold
        assert coverage == pytest.approx(answered.mean())
        assert accuracy == pytest.approx(result.correct[answered].mean())
    assert (curve.coverage[-1], curve.accuracy[-1]) == pytest.approx((1.0, result.correct.mean()))


def test_the_accuracy_at_a_coverage_is_that_of_the_surest_examples_that_reach_it():
    logits = [[0, 4.0], [0, 3.0], [0, 2.0], [0, 1.0]]
    curve = abstention_curve(EvalResult.from_logits([1, 1, 0, 1], logits))
    assert [curve.accuracy_at(share) for share in (0.25, 0.3, 0.5, 0.75, 1)] == pytest.approx([1, 1, 1, 2 / 3, 0.75])
    assert curve.area == pytest.approx((0 + 0 + 1 / 3 + 1 / 4) / 4)
    with pytest.raises(ValueError, match="above 0 and at most at 1"):
        curve.accuracy_at(0)


def test_a_model_that_knows_when_it_is_wrong_has_the_smaller_area():
    labels = np.array([1] * 6 + [0] * 4)
    sure = np.array([5.0] * 6 + [1.0] * 4)
    knows, boasts = (EvalResult.from_logits(labels, np.stack([np.zeros(10), s], 1)) for s in (sure, sure[::-1]))
    assert knows.correct.mean() == boasts.correct.mean()
    assert abstention_curve(knows).area < abstention_curve(boasts).area


def test_without_examples_there_is_no_curve_but_no_error_either():
    curve = abstention_curve(EvalResult.from_logits([], np.zeros((0, 2))))
    assert len(curve.coverage) == 0
    assert math.isnan(curve.area)
    assert math.isnan(curve.accuracy_at(0.5))

"""Laws of the intervals, with scikit-learn, scipy and resampling in plain loops as oracles."""

import math
import time

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from predicting import calibration_by_hand, make_result

from labkit.evaluation import intervals
from labkit.evaluation.calibration import expected_calibration_error
from labkit.evaluation.intervals import (
    ALL_METRICS,
    METRICS,
    Score,
    bootstrap_interval,
    mean_interval,
    proportion_interval,
    score_table,
)
from labkit.evaluation.metrics import EvalResult, precision_recall_f1, roc_auc

law = settings(max_examples=30, deadline=None)


def plain_metrics(labels: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """Every metric by scikit-learn, areas NaN when undefined; classes averaged when there are more than two."""
    classes, predictions = probabilities.shape[1], probabilities.argmax(axis=1)
    wanted = [1] if classes == 2 else range(classes)
    triple = sklearn.metrics.precision_recall_fscore_support(
        labels, predictions, labels=list(wanted), average="macro", zero_division=0.0
    )[:3]
    areas, average_precisions = (
        [area(labels == k, probabilities[:, k]) if defined(labels == k) else math.nan for k in wanted]
        for area, defined in (
            (sklearn.metrics.roc_auc_score, lambda positive: 0 < positive.sum() < len(labels)),
            (sklearn.metrics.average_precision_score, lambda positive: positive.any()),
        )
    )
    rows = list(zip(probabilities.max(axis=1), predictions == labels, strict=True))
    return [
        float(np.mean(predictions == labels)),
        *triple,
        float(np.mean(areas)),
        calibration_by_hand(rows, 10)[1],
        sklearn.metrics.f1_score(labels, predictions, labels=range(classes), average="macro", zero_division=0.0),
        sklearn.metrics.matthews_corrcoef(labels, predictions),
        float(np.mean(average_precisions)),
        sklearn.metrics.brier_score_loss(labels, probabilities, labels=range(classes)),
        sklearn.metrics.log_loss(labels, probabilities, labels=range(classes)),
    ]


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.filterwarnings("ignore:A single label was found")  # scikit-learn says it, and then gives what we want
def test_the_table_agrees_with_resampling_in_a_loop_with_scikit_learn(classes):
    result, resamples = make_result(n=14, classes=classes, seed=3), 40
    table = score_table(result, level=0.9, resamples=resamples, seed=5, metrics=ALL_METRICS)
    drawn = np.random.default_rng(5).integers(14, size=(resamples, 14))
    loop = np.array([plain_metrics(result.labels[rows], result.probabilities[rows]) for rows in drawn])
    assert np.isnan(loop).any() == (classes == 3)  # a class is missing from some resamples
    for (_, score), column, value in zip(
        table.items(), loop.T, plain_metrics(result.labels, result.probabilities), strict=True
    ):
        low, high = np.nanquantile(column, [0.05, 0.95])
        assert (score.value, score.low, score.high) == pytest.approx((value, low, high), abs=1e-12)
        assert score.left_out == np.isnan(column).sum()


def test_the_values_of_the_table_are_those_of_the_plain_functions():
    result = make_result()
    table = score_table(result, resamples=10)
    precision, recall, f1 = precision_recall_f1(result.labels, result.predictions)
    area = roc_auc(result.labels, result.probabilities[:, 1])
    error = expected_calibration_error(result.confidences, result.correct)
    expected = [result.correct.mean(), precision, recall, f1, area, error]
    assert [score.value for _, score in table.items()] == pytest.approx(expected, abs=1e-12)


def test_the_same_seed_gives_the_same_table_and_another_seed_another():
    result = make_result()
    assert score_table(result, seed=1, resamples=200) == score_table(result, seed=1, resamples=200)
    assert score_table(result, seed=1, resamples=200) != score_table(result, seed=2, resamples=200)


def test_the_table_leaves_the_global_random_state_alone():
    before = np.random.get_state()[1].copy()
    score_table(make_result(), resamples=20)
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_how_many_resamples_are_held_at_once_changes_nothing(monkeypatch):
    whole = score_table(make_result(), resamples=100)
    monkeypatch.setattr(intervals, "WEIGHTS_AT_ONCE", 7 * 60)
    pieces = score_table(make_result(), resamples=100)
    for (_, one), (_, other) in zip(whole.items(), pieces.items(), strict=True):
        assert (one.low, one.high) == pytest.approx((other.low, other.high), abs=1e-12)


def test_a_higher_level_gives_a_wider_interval():
    narrow, wide = (score_table(make_result(), level=level, resamples=500).accuracy for level in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_the_interval_holds_the_true_accuracy_about_as_often_as_it_says():
    generator = np.random.default_rng(11)
    held = 0
    for _ in range(100):
        right = generator.random(150) < 0.8
        accuracy = score_table(
            EvalResult.from_logits(np.ones(150), np.stack([~right, right], 1)), resamples=300
        ).accuracy
        held += accuracy.low <= 0.8 <= accuracy.high
    assert 0.88 <= held / 100 <= 0.995


def test_a_table_of_a_thousand_reviews_takes_under_two_seconds():
    result = make_result(n=1000)
    start = time.process_time()
    score_table(result)
    assert time.process_time() - start < 2


def test_a_resample_of_one_class_is_left_out_of_roc_auc_and_counted():
    result = EvalResult.from_logits([1] + [0] * 7, [[0, 2]] + [[1, 0]] * 7)
    table = score_table(result, resamples=300)
    drawn = np.random.default_rng(0).integers(8, size=(300, 8))
    one_class = int(((drawn == 0).sum(axis=1) % 8 == 0).sum())
    assert table.roc_auc.left_out == one_class > 0
    assert f"{one_class} of 300 resamples" in table.roc_auc.note
    assert table.accuracy.left_out == 0
    assert any(note.startswith("roc_auc: ") for note in table.notes)


def test_an_undefined_metric_is_nan_and_says_why():
    table = score_table(EvalResult.from_logits([0, 0, 0], [[1, 0], [2, 0], [3, 0]]), resamples=50)
    assert math.isnan(table.roc_auc.value)
    assert math.isnan(table.roc_auc.low)
    assert str(table.roc_auc) == "nan (undefined: no example of class 1)"
    assert table.precision.value == table.recall.value == 0
    assert "never predicted" in table.precision.note
    assert "does not occur" in table.recall.note
    for note in table.notes:
        assert note in str(table)


def test_a_table_without_examples_is_undefined_throughout():
    table = score_table(EvalResult.from_logits([], np.zeros((0, 2)), "empty"))
    assert [str(score) for _, score in table.items()] == ["nan (no examples)"] * len(METRICS)


def test_an_interval_that_misses_its_value_says_so():
    calibrated = EvalResult.from_logits([0] * 75 + [1] * 25, np.log([[0.75, 0.25]] * 100))
    other = EvalResult.from_logits([0] * 60 + [1] * 40, np.log([[0.75, 0.25]] * 100))
    missed = score_table(calibrated, level=0.1).ece  # its error is 0, which few resamples are
    assert abs(missed.value) < 1e-12
    assert missed.low > 0
    assert "misses the value" in missed.note
    assert score_table(other).ece.note == ""


@pytest.mark.parametrize("options", [{"level": 0}, {"level": 1}, {"level": 95}, {"resamples": 0}])
def test_a_level_or_number_of_resamples_that_makes_no_interval_is_refused(options):
    with pytest.raises(ValueError, match="must"):
        score_table(make_result(), **options)


def test_a_table_shows_its_name_escaped_with_n_and_a_row_for_each_metric():
    table = score_table(make_result(name="<i>"), resamples=20)
    shown = table._repr_html_()
    assert "<i>" not in shown
    assert "&lt;i&gt;, n = 60" in shown
    assert all(metric in shown and metric in str(table) for metric in METRICS)
    assert "\n" not in repr(table)


def test_a_score_shows_its_note_escaped():
    assert Score(0.5, 0.4, 0.6, "a < b")._repr_html_() == "0.500 [0.400, 0.600] <small>a &lt; b</small>"


@law
@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.5, 0.95]))
def test_the_interval_of_a_proportion_is_wilsons_as_scipy_has_it(counts, level):
    expected = scipy.stats.binomtest(*counts).proportion_ci(level, method="wilson")
    score = proportion_interval(*counts, level)
    assert (score.low, score.high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert score.low <= score.value <= score.high


def test_a_proportion_of_nothing_is_undefined_and_of_more_than_all_refused():
    assert str(proportion_interval(0, 0)) == "nan (no examples)"
    with pytest.raises(ValueError, match=r"0\.\.n; found 3 of 2"):
        proportion_interval(3, 2)


def test_the_table_holds_the_metrics_that_were_asked_for_and_no_others():
    table = score_table(make_result(), resamples=20, metrics=("nll", "accuracy"))
    assert [metric for metric, _ in table.items()] == ["nll", "accuracy"]
    assert table.nll.value == pytest.approx(make_result().loss)
    with pytest.raises(AttributeError, match="no mcc; name it in score_table"):
        _ = table.mcc
    with pytest.raises(AttributeError, match=r"no acuracy; did you mean accuracy\?"):
        _ = table.acuracy
    with pytest.raises(ValueError, match=r"acuracy is none of .*; did you mean accuracy\?"):
        score_table(make_result(), metrics=("acuracy",))


def test_what_is_set_to_zero_or_undefined_among_the_other_metrics_says_so():
    one_sided = score_table(EvalResult.from_logits([0, 1], [[1, 0], [1, 0]]), resamples=20, metrics=ALL_METRICS)
    assert one_sided.mcc.value == 0
    assert "every prediction is the same class" in one_sided.mcc.note
    no_positives = score_table(EvalResult.from_logits([0, 0], [[1, 0], [0, 1]]), resamples=20, metrics=ALL_METRICS)
    assert str(no_positives.average_precision) == "nan (undefined: no example of class 1)"
    no_negatives = score_table(EvalResult.from_logits([1, 1], [[1, 0], [0, 1]]), resamples=20, metrics=ALL_METRICS)
    assert no_negatives.average_precision.value == 1
    assert no_negatives.average_precision.note == ""
    assert math.isnan(no_negatives.roc_auc.value)


def test_a_score_as_json_has_null_for_what_is_undefined():
    undefined = {"value": None, "low": None, "high": None, "note": "why"}
    assert Score(math.nan, math.nan, math.nan, "why").as_json() == undefined
    assert Score(0.5, 0.4, 0.6).as_json() == {"value": 0.5, "low": 0.4, "high": 0.6, "note": ""}


# --- the bootstrap ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("right", "n", "level"), [(80, 100, 0.95), (3, 10, 0.8), (450, 500, 0.5)])
def test_the_bootstrap_interval_of_a_fraction_is_the_binomials_quantiles(right, n, level):
    low, high = bootstrap_interval([1] * right + [0] * (n - right), level, resamples=20_000)
    expected = scipy.stats.binom.ppf([(1 - level) / 2, (1 + level) / 2], n, right / n) / n
    assert (low, high) == pytest.approx(expected, abs=1.01 / n)  # one example: the error that 20,000 resamples leave


def test_the_bootstrap_interval_is_that_of_the_table_and_of_its_seed():
    correct = make_result().correct
    accuracy = score_table(make_result(), level=0.9, resamples=300, seed=4).accuracy
    assert bootstrap_interval(correct, 0.9, 300, seed=4) == pytest.approx((accuracy.low, accuracy.high), abs=1e-12)
    assert bootstrap_interval(correct, seed=1) == bootstrap_interval(correct, seed=1)
    assert bootstrap_interval(correct, 0.77, 101, seed=1) != bootstrap_interval(correct, 0.77, 101, seed=2)


@pytest.mark.parametrize(
    ("correct", "options", "message"),
    [
        ([1], {}, "at least 2 values; found 1"),
        ([0, 2], {}, "correct must be 0 or 1; found 2"),
        ([0, 1], {"level": 95}, "level must lie between 0 and 1"),
        ([0, 1], {"resamples": 0}, "resamples must be at least 1"),
    ],
)
def test_values_that_have_no_bootstrap_interval_are_refused(correct, options, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(correct, **options)


def test_the_interval_of_a_mean_is_scipys():
    values = np.random.default_rng(5).exponential(size=150)
    ours = mean_interval(values, seed=1)
    oracle = scipy.stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=0
    ).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((oracle.low, oracle.high), abs=0.02)
    assert mean_interval(values, seed=1) == ours
    assert mean_interval([1.0, math.nan, 3.0]).value == 2 and "1 left out" in mean_interval([1.0, math.nan]).note
    assert "1 left out" in str(mean_interval([math.nan])) and "nothing to average" in str(mean_interval([]))

"""Laws of the metrics, with scikit-learn, scipy, torch and plain loops as oracles."""

import math
import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from labkit import metrics
from labkit.metrics import (
    METRICS,
    EvalResult,
    Score,
    best_f1_threshold,
    confidently_wrong,
    confusion_matrix,
    expected_calibration_error,
    precision_recall_f1,
    proportion_interval,
    reliability_bins,
    roc_auc,
    score_table,
    softmax,
)

law = settings(max_examples=30, deadline=None)

two_label_lists = st.integers(1, 3).flatmap(
    lambda top: st.lists(st.tuples(st.integers(0, top), st.integers(0, top)), max_size=30)
)
scored_labels = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), max_size=25)  # few scores: many ties
confidence_rows = st.lists(
    st.tuples(st.one_of(st.integers(0, 8).map(lambda k: k / 8), st.floats(0, 1)), st.booleans()), max_size=30
)


def make_result(n: int = 60, classes: int = 2, seed: int = 1, name: str = "a model") -> EvalResult:
    """A model that is often right and whose scores hold many ties."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=n)
    logits = generator.integers(-2, 3, size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    return EvalResult.from_logits(labels, logits, name)


# --- softmax and EvalResult ---------------------------------------------------------------------------------------


@law
@given(npst.arrays(np.float64, npst.array_shapes(max_dims=3, max_side=5), elements=st.floats(-1e4, 1e4)))
def test_softmax_agrees_with_scipy_along_the_last_axis(logits):
    before = logits.copy()
    np.testing.assert_allclose(softmax(logits), scipy.special.softmax(logits, axis=-1), rtol=1e-10, atol=1e-300)
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize("shape", [(0,), (0, 2), (3, 0)])
def test_softmax_keeps_an_empty_shape(shape):
    assert softmax(np.zeros(shape)).shape == shape


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_softmax_refuses_what_is_no_number_and_says_where(bad):
    with pytest.raises(ValueError, match=r"logits must be finite; found .* at index \[1, 0\]"):
        softmax([[0.0, 1.0], [bad, 0.0]])


def test_softmax_refuses_a_single_number():
    with pytest.raises(ValueError, match="at least one axis"):
        softmax(1.0)


def test_the_loss_of_a_result_is_the_cross_entropy_of_torch():
    labels, logits = torch.tensor([0, 2, 1]), torch.randn(3, 3, generator=torch.Generator().manual_seed(0)) * 50
    expected = torch.nn.functional.cross_entropy(logits.double(), labels).item()
    assert EvalResult.from_logits(labels, logits).loss == pytest.approx(expected, rel=1e-12)


def test_the_loss_is_finite_where_the_true_class_has_probability_zero():
    assert EvalResult.from_logits([1], [[1e4, -1e4]]).loss == pytest.approx(2e4)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_logits_may_be_torch_tensors_of_any_precision_and_part_of_a_graph(dtype):
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0]], dtype=dtype, requires_grad=True)
    result = EvalResult.from_logits(torch.tensor([0, 0]), logits)
    assert result.predictions.tolist() == [0, 1]
    assert result.correct.tolist() == [True, False]
    assert result.probabilities.dtype == np.float64
    assert result.labels.dtype == np.int64
    assert len(result) == 2
    assert logits.requires_grad


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([0, 1], [[0.5, 0.5]], "labels and probabilities must be equally long; found 2 and 1"),
        ([[0]], [[0.5, 0.5]], r"labels must have one dimension, \(n,\); found shape \(1, 1\)"),
        ([0], [0.5, 0.5], r"probabilities must have shape \(n, classes\); found \(2,\)"),
        ([0], [[1.0]], r"at least 2 classes; found shape \(1, 1\)"),
        ([0, 2], [[0.5, 0.5]] * 2, r"labels must lie in 0..1; found 2 at index 1"),
        ([-1], [[0.5, 0.5]], r"labels must lie in 0..1; found -1 at index 0"),
        ([0.5], [[0.5, 0.5]], "labels must be whole numbers; found 0.5 at index 0"),
        ([math.nan], [[0.5, 0.5]], "labels must be whole numbers; found nan at index 0"),
        (["pos"], [[0.5, 0.5]], "labels must be whole numbers"),
        ([0], [[math.nan, 0.5]], r"probabilities must be finite; found nan at index \[0, 0\]"),
        ([0], [[2.0, -1.0]], "give logits to from_logits"),
        ([0], [[0.5, 0.4]], "each row must sum to 1"),
    ],
)
def test_a_result_that_does_not_fit_is_refused_in_words(labels, probabilities, message):
    with pytest.raises(ValueError, match=message):
        EvalResult(labels, probabilities, loss=0.0)


def test_a_result_without_examples_stands_but_has_no_loss():
    result = EvalResult.from_logits([], np.zeros((0, 2)))
    assert len(result) == 0
    assert math.isnan(result.loss)
    assert "accuracy undefined" in repr(result)


def test_a_result_shows_its_name_escaped_and_in_one_line():
    shown = make_result(name="<b>&")._repr_html_()
    assert "&lt;b&gt;&amp;" in shown
    assert "<b>" not in shown
    assert "\n" not in repr(make_result())


# --- precision, recall, F1, confusion -----------------------------------------------------------------------------


@law
@given(two_label_lists, st.integers(0, 3))
def test_precision_recall_and_f1_agree_with_scikit_learn(pairs, positive):
    labels, predictions = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assume(positive in labels + predictions)
    expected = sklearn.metrics.precision_recall_fscore_support(
        labels, predictions, labels=[positive], average=None, zero_division=0.0
    )[:3]
    assert precision_recall_f1(labels, predictions, positive) == pytest.approx([column[0] for column in expected])


def test_precision_recall_and_f1_are_zero_where_a_denominator_is():
    assert precision_recall_f1([], []) == (0.0, 0.0, 0.0)
    assert precision_recall_f1([0, 0], [0, 0]) == (0.0, 0.0, 0.0)
    assert all(type(value) is float for value in precision_recall_f1([1], [1]))


@law
@given(two_label_lists)
def test_the_confusion_matrix_agrees_with_scikit_learn(pairs):
    assume(pairs)
    labels, predictions = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    expected = sklearn.metrics.confusion_matrix(labels, predictions, labels=range(4))
    found = confusion_matrix(labels, predictions, 4)
    np.testing.assert_array_equal(found, expected)
    assert found.dtype.kind == "i"


def test_a_confusion_matrix_of_nothing_is_all_zero():
    assert confusion_matrix([], [], 3).tolist() == [[0] * 3] * 3


def test_a_class_outside_the_confusion_matrix_is_refused():
    with pytest.raises(ValueError, match=r"predictions must lie in 0..1; found 2 at index 1"):
        confusion_matrix([0, 1], [0, 2], 2)
    with pytest.raises(ValueError, match="equally long"):
        confusion_matrix([0, 1], [0], 2)


# --- ranking ------------------------------------------------------------------------------------------------------


@law
@given(scored_labels)
def test_roc_auc_is_the_share_of_pairs_in_order_with_ties_as_half(rows):
    positives, negatives = [s for label, s in rows if label], [s for label, s in rows if not label]
    found = roc_auc([label for label, _ in rows], [s for _, s in rows])
    if not positives or not negatives:
        assert math.isnan(found)
        return
    pairs = [(p > n) + (p == n) / 2 for p in positives for n in negatives]
    assert found == pytest.approx(sum(pairs) / len(pairs), abs=1e-12)
    assert found == pytest.approx(sklearn.metrics.roc_auc_score(*zip(*rows, strict=True)), abs=1e-12)


@law
@given(scored_labels)
def test_reversing_the_scores_mirrors_roc_auc_and_stretching_leaves_it(rows):
    labels, scores = np.array([label for label, _ in rows]), np.array([float(s) for _, s in rows])
    area = roc_auc(labels, scores)
    assert roc_auc(labels, -scores) == pytest.approx(1 - area, abs=1e-12, nan_ok=True)
    assert roc_auc(labels, np.exp(scores)) == pytest.approx(area, abs=1e-12, nan_ok=True)


def test_infinite_scores_are_ranked_like_any_other():
    assert roc_auc([0, 1, 1], [-math.inf, math.inf, math.inf]) == 1.0


@law
@given(scored_labels)
def test_no_threshold_has_a_better_f1_than_the_best(rows):
    labels, scores = [label for label, _ in rows], [s for _, s in rows]
    threshold, f1 = best_f1_threshold(labels, scores)
    reached = {t: precision_recall_f1(labels, [s >= t for s in scores]).f1 for t in [*scores, -9, 9, threshold]}
    assert f1 == pytest.approx(max(reached.values()), abs=1e-12)
    assert reached[threshold] == pytest.approx(f1, abs=1e-12)


def test_without_positives_no_threshold_helps():
    assert best_f1_threshold([0, 0], [0.2, 0.9]) == (math.inf, 0.0)
    assert best_f1_threshold([], []) == (math.inf, 0.0)


@pytest.mark.parametrize("function", [roc_auc, best_f1_threshold])
@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([0, 1], [0.1, math.nan], r"scores must be no NaN; found nan at index \[1\]"),
        ([0, 2], [0.1, 0.2], "labels must be 0 or 1; found 2"),
        ([0, 1], [0.1], "equally long"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(function, labels, scores, message):
    with pytest.raises(ValueError, match=message):
        function(labels, scores)


# --- the confidently wrong ----------------------------------------------------------------------------------------


@law
@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.7, 0.9, 0.99]))
def test_the_confidently_wrong_are_those_a_plain_loop_finds(seed, threshold):
    generator = np.random.default_rng(seed)
    logits, labels = generator.normal(size=(20, 3)) * 4, generator.integers(3, size=20)
    expected = []
    for index, (row, label) in enumerate(zip(logits, labels, strict=True)):
        probabilities = scipy.special.softmax(row)
        if probabilities.argmax() != label and probabilities.max() >= threshold:
            expected.append((-probabilities.max(), index))
    assert confidently_wrong(logits, labels, threshold) == [index for _, index in sorted(expected)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_confidence_at_the_threshold_counts_in_either_precision(dtype):
    logits = torch.log(torch.tensor([[0.9, 0.1], [0.1, 0.9], [0.89, 0.11]], dtype=dtype))
    found = confidently_wrong(logits, torch.tensor([1, 1, 1]), threshold=0.9)
    assert found == [0]
    assert type(found[0]) is int


# --- calibration --------------------------------------------------------------------------------------------------


def calibration_by_hand(rows: list[tuple[float, bool]], bins: int) -> tuple[list[int], float]:
    """Counts and error from the definition: bin k holds k / bins < confidence <= (k + 1) / bins, the first 0 too."""
    counts, error = [], 0.0
    for k in range(bins):
        members = [row for row in rows if k / bins < row[0] <= (k + 1) / bins or (k == 0 and row[0] == 0)]
        counts.append(len(members))
        error += abs(sum(c for c, _ in members) - sum(right for _, right in members)) / max(len(rows), 1)
    return counts, error


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


# --- intervals ----------------------------------------------------------------------------------------------------


def plain_metrics(labels: np.ndarray, probabilities: np.ndarray) -> list[float]:
    """The six metrics by scikit-learn, AUC NaN when undefined; classes averaged when there are more than two."""
    classes, predictions = probabilities.shape[1], probabilities.argmax(axis=1)
    wanted = [1] if classes == 2 else range(classes)
    triple = sklearn.metrics.precision_recall_fscore_support(
        labels, predictions, labels=list(wanted), average="macro", zero_division=0.0
    )[:3]
    areas = [
        sklearn.metrics.roc_auc_score(labels == k, probabilities[:, k])
        if 0 < (labels == k).sum() < len(labels)
        else math.nan
        for k in wanted
    ]
    rows = list(zip(probabilities.max(axis=1), predictions == labels, strict=True))
    return [float(np.mean(predictions == labels)), *triple, float(np.mean(areas)), calibration_by_hand(rows, 10)[1]]


@pytest.mark.parametrize("classes", [2, 3])
def test_the_table_agrees_with_resampling_in_a_loop_with_scikit_learn(classes):
    result, resamples = make_result(n=14, classes=classes, seed=3), 40
    table = score_table(result, level=0.9, resamples=resamples, seed=5)
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
    monkeypatch.setattr(metrics, "WEIGHTS_AT_ONCE", 7 * 60)
    assert score_table(make_result(), resamples=100) == whole


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


def test_importing_the_metrics_loads_no_heavy_library():
    code = "import sys, labkit.metrics; print({'torch', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules))"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_arguments_are_never_modified():
    given_ = SimpleNamespace(labels=np.array([0, 1, 1, 0]), scores=np.array([0.9, 0.2, 0.8, 0.1]))
    before = given_.labels.copy(), given_.scores.copy()
    logits = np.stack([1 - given_.scores, given_.scores], 1)
    copy = logits.copy()
    roc_auc(given_.labels, given_.scores)
    best_f1_threshold(given_.labels, given_.scores)
    expected_calibration_error(given_.scores, given_.labels)
    confidently_wrong(logits, given_.labels, 0.1)
    score_table(EvalResult.from_logits(given_.labels, logits), resamples=5)
    np.testing.assert_array_equal(given_.labels, before[0])
    np.testing.assert_array_equal(given_.scores, before[1])
    np.testing.assert_array_equal(logits, copy)

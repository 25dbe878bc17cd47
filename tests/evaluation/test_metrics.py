"""Laws of the metrics, with scikit-learn, scipy, torch and plain loops as oracles."""

import math
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from predicting import make_result

from labkit.evaluation.metrics import (
    EvalResult,
    average_precision,
    best_f1_threshold,
    confidently_wrong,
    confusion_matrix,
    precision_recall_f1,
    roc_auc,
    softmax,
)

law = settings(max_examples=30, deadline=None)

two_label_lists = st.integers(1, 3).flatmap(
    lambda top: st.lists(st.tuples(st.integers(0, top), st.integers(0, top)), max_size=30)
)
scored_labels = st.lists(st.tuples(st.integers(0, 1), st.integers(-3, 3)), max_size=25)  # few scores: many ties


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
def test_average_precision_agrees_with_scikit_learn(rows):
    labels, scores = [label for label, _ in rows], [s for _, s in rows]
    found = average_precision(labels, scores)
    if not any(labels):
        assert math.isnan(found)
        return
    assert found == pytest.approx(sklearn.metrics.average_precision_score(labels, scores), abs=1e-12)


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


@pytest.mark.parametrize("function", [roc_auc, average_precision, best_f1_threshold])
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


def test_importing_the_metrics_loads_no_heavy_library():
    code = (
        "import sys, labkit.evaluation.intervals; print({'torch', 'sklearn', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
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
    average_precision(given_.labels, given_.scores)
    confidently_wrong(logits, given_.labels, 0.1)
    np.testing.assert_array_equal(given_.labels, before[0])
    np.testing.assert_array_equal(given_.scores, before[1])
    np.testing.assert_array_equal(logits, copy)

"""Laws of the threshold explorer: matrix, scores and both curves are scikit-learn's at the threshold that is shown."""

import html
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
from predicting import make_result

from labkit.evaluation.metrics import EvalResult
from labkit.figures import alt_text
from labkit.widgets import threshold_explorer
from labkit.widgets.explorers.threshold import at_threshold, curves_of, threshold_panels
from labkit.widgets.interactive import WIDGET_MIME

THRESHOLDS = [0.0, 0.3, 0.5, 0.77, 1.0]


def tied_result() -> EvalResult:
    """Scores in tenths, so that many examples share one and thresholds sit on them."""
    scores = np.random.default_rng(1).integers(0, 11, size=80) / 10
    labels = (np.random.default_rng(2).random(80) < scores).astype(int)
    return EvalResult(labels, np.column_stack([1 - scores, scores]), loss=0.5, name="tiny")


def panels(result: EvalResult, threshold: float) -> Any:
    return threshold_panels(at_threshold(result, threshold), at_threshold(result, 0.5), curves_of(result))


@pytest.mark.parametrize("threshold", THRESHOLDS)
@pytest.mark.parametrize("result", [make_result(name="MiniLM"), tied_result()], ids=["ordinary", "tied"])
def test_matrix_and_scores_are_scikit_learns_for_what_reaches_the_threshold(
    result: EvalResult, threshold: float
) -> None:
    now = at_threshold(result, threshold)
    called = (result.probabilities[:, 1] >= threshold).astype(int)
    matrix = sklearn.metrics.confusion_matrix(result.labels, called, labels=[0, 1])
    assert now.counts.tolist() == matrix.tolist()
    scores = sklearn.metrics.precision_recall_fscore_support(result.labels, called, average="binary", zero_division=0)
    assert now.scores == pytest.approx(scores[:3])
    assert now.accuracy == pytest.approx((called == result.labels).mean())
    assert now.false_positive_rate == pytest.approx(called[result.labels == 0].mean())


@pytest.mark.parametrize("result", [make_result(name="MiniLM"), tied_result()], ids=["ordinary", "tied"])
def test_the_curves_are_scikit_learns(result: EvalResult) -> None:
    curves, scores = curves_of(result), result.probabilities[:, 1]
    precision, recall, _ = sklearn.metrics.precision_recall_curve(result.labels, scores)
    false_positives, true_positives, _ = sklearn.metrics.roc_curve(result.labels, scores, drop_intermediate=False)
    np.testing.assert_allclose(curves.precision, precision[-2::-1])
    np.testing.assert_allclose(curves.recall, recall[-2::-1])
    np.testing.assert_allclose(curves.false_positive_rate, false_positives[1:])
    np.testing.assert_allclose(curves.recall, true_positives[1:])


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.77])
def test_the_dot_lies_on_each_curve_at_the_rates_of_the_threshold_and_the_ring_at_a_half(threshold: float) -> None:
    result = make_result(name="MiniLM")
    now, usual = at_threshold(result, threshold), at_threshold(result, 0.5)
    _, of_positives, of_classes = panels(result, threshold).get_figure().axes
    points = {
        of_positives: [(each.scores.recall, each.scores.precision) for each in (usual, now)],
        of_classes: [(each.false_positive_rate, each.scores.recall) for each in (usual, now)],
    }
    for ax, expected in points.items():
        curve, ring, dot, *_ = ax.lines
        assert [(mark.get_xdata()[0], mark.get_ydata()[0]) for mark in (ring, dot)] == expected
        on_curve = set(zip(curve.get_xdata(), curve.get_ydata(), strict=True))
        assert set(expected) <= on_curve
        assert dot.get_markerfacecolor() != ring.get_markerfacecolor()


def test_the_drawn_areas_are_average_precision_and_roc_auc() -> None:
    result = make_result(name="MiniLM")
    _, of_positives, of_classes = panels(result, 0.5).get_figure().axes
    steps, line = of_positives.lines[0], of_classes.lines[0]
    assert steps.get_drawstyle() == "steps-pre"
    area = (np.diff(steps.get_xdata()) * steps.get_ydata()[1:]).sum()
    expected = sklearn.metrics.average_precision_score(result.labels, result.probabilities[:, 1])
    assert area == pytest.approx(expected)
    expected = sklearn.metrics.roc_auc_score(result.labels, result.probabilities[:, 1])
    assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(expected)


def test_the_words_count_what_the_matrix_counts() -> None:
    result = EvalResult([0, 0, 0, 1, 1], [[0.9, 0.1], [0.6, 0.4], [0.2, 0.8], [0.3, 0.7], [0.55, 0.45]], 0.5, "tiny")
    words = alt_text(panels(result, 0.4))
    assert words.startswith(
        "tiny, threshold 0.40: of 2 positive examples 2 are called positive, of 3 negative ones 2. "
        "Precision 0.500, recall 1.000, F1 0.667, accuracy 0.600."
    )
    cells = [text.get_text().split("\n")[0] for text in panels(result, 0.4).texts]
    assert cells == ["1", "2", "0", "2"]


def test_moving_the_threshold_changes_picture_words_and_still() -> None:
    explorer = threshold_explorer(make_result(name="MiniLM"))
    shown, box = explorer.view.children[-1], explorer.controls["threshold"]
    before = shown.value, explorer.picture.words
    box.value = 0.8
    assert shown.value == explorer.picture.html != before[0]
    assert explorer.picture.words != before[1] and "threshold 0.80" in explorer.picture.words
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", WIDGET_MIME}
    assert html.escape(bundle["text/plain"]) in bundle["text/html"]
    assert box.description.strip() and (box.min, box.max) == (0.0, 1.0)


def test_a_name_of_markup_is_escaped() -> None:
    assert "<b>" not in threshold_explorer(make_result(name="<b>")).picture.html


@pytest.mark.parametrize("labels", [[0, 0, 0], [1, 1, 1]], ids=["no positives", "no negatives"])
def test_a_result_of_one_class_is_drawn_all_the_same(labels: list[int]) -> None:
    result = EvalResult(labels, [[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]], loss=0.5)
    assert "of 0 " in threshold_explorer(result).picture.words


@pytest.mark.parametrize("probabilities", [[[0.2, 0.3, 0.5]], np.empty((0, 2))], ids=["three classes", "no examples"])
def test_without_examples_of_two_classes_there_is_no_threshold(probabilities: Any) -> None:
    with pytest.raises(ValueError, match="examples of two classes"):
        threshold_explorer(EvalResult([1] * len(probabilities), probabilities, loss=0.5))

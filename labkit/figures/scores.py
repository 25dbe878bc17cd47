"""Figures of results: confusion, curves, calibration, thresholds, abstention.

Of one result, or of several side by side.
"""

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes

from labkit.evaluation.arrays import IntArray
from labkit.evaluation.calibration import (
    CALIBRATION_BINS,
    ReliabilityBin,
    abstention_curve,
    expected_calibration_error,
    reliability_bins,
)
from labkit.evaluation.intervals import proportion_interval, score_table
from labkit.evaluation.metrics import EvalResult, confusion_matrix, precision_recall_f1, precision_recall_f1_of

if TYPE_CHECKING:
    pass

from labkit.figures.drawing import CUT, GREY, axes_or_new, finished, ink_on, model_colours, name_of, plain_text


def confusion_matrix_figure(
    result: EvalResult, ax: Axes | None = None, *, class_names: Sequence[str] = ("negative", "positive")
) -> Axes:
    """Draw counts of true classes (rows) by predicted classes (columns).

    They are shaded by the share of the row. Raises ValueError when there is not one name for each class.
    """
    if len(class_names) != result.num_classes:
        raise ValueError(f"{result.num_classes} classes need as many names; found {len(class_names)}: {class_names}")
    ax = axes_or_new(ax, (6.0, 5.0))
    counts = confusion_matrix(result.labels, result.predictions, result.num_classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    mesh = ax.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white")
    ax.invert_yaxis()
    for row, column in np.ndindex(counts.shape):
        ink = ink_on(mesh.to_rgba(shares[row, column]))
        cell = f"{counts[row, column]:,}\n{shares[row, column]:.1%}"
        ax.text(column + 0.5, row + 0.5, cell, ha="center", va="center", color=ink, fontsize=12)
    shown_names = [plain_text(name) for name in class_names]
    ax.set_xticks(np.arange(len(class_names)) + 0.5, shown_names)
    ax.set_yticks(np.arange(len(class_names)) + 0.5, shown_names, rotation=90, va="center")
    accuracy = score_table(result, metrics=("accuracy",)).accuracy
    caption = f"{name_of(result)}: accuracy {accuracy} (95%), n = {len(result):,}"
    words = f"Confusion matrix. {caption}: {_rows_in_words(counts, class_names)}."
    return finished(ax, caption, "predicted class", "true class (shares of its row)", words)


def _rows_in_words(counts: IntArray, class_names: Sequence[str]) -> str:
    rows = []
    for true_name, row in zip(class_names, counts, strict=True):
        predicted = ", ".join(f"{count:,} as {name}" for name, count in zip(class_names, row, strict=True))
        rows.append(f"of {row.sum():,} {true_name} examples {predicted}")
    return "; ".join(rows)


def softmax_curve(result: EvalResult, ax: Axes | None = None) -> Axes:
    """Draw each example of a result on softmax's curve.

    The difference of its two logits goes across, the probability of class 1 up. Wrong predictions are crosses. Raises
    ValueError for more than two classes or no examples.
    """
    _check_two_classes([result])
    if len(result) == 0:
        raise ValueError("wanted a result with examples")
    ax = axes_or_new(ax)
    negative, positive = result.log_probabilities.T
    difference, probability, wrong = positive - negative, result.probabilities[:, 1], ~result.correct
    reach = max(3.0, float(np.abs(difference).max()) * 1.1)
    across = np.linspace(-reach, reach, 201)
    ax.plot(across, 1 / (1 + np.exp(-across)), color=GREY, linewidth=1, zorder=1, label="softmax of two logits")
    for members, mark, colour, what in (
        (~wrong, "o", model_colours([result.name])[0], "right"),
        (wrong, "x", CUT, "wrong"),
    ):
        label = f"{what}: {members.sum():,}"
        ax.plot(difference[members], probability[members], mark, color=colour, alpha=0.6, markersize=7, label=label)
    ax.set_ylim(-0.03, 1.03)
    ax.legend(loc="upper left", frameon=False)
    surest = result.confidences[wrong].max(initial=0.0)
    caption = f"{name_of(result)}: {len(result):,} predictions, {wrong.sum():,} of them wrong"
    error = f" The surest error is {surest:.1%} sure." if wrong.any() else ""
    words = (
        f"{caption}. The probability of class 1 rises along an S with the difference of the logits, 0.5 at 0.{error}"
    )
    return finished(ax, caption, "logit of class 1 minus logit of class 0", "probability of class 1", words)


def score_intervals(
    results: Sequence[EvalResult],
    metrics: Sequence[str] = ("accuracy", "precision", "recall", "f1", "mcc"),
    ax: Axes | None = None,
) -> Axes:
    """Draw several metrics of several results, each with its 95% interval.

    The intervals are those of `score_table`; a metric that was set to 0 is one at 0. Raises ValueError without results,
    and for a metric that is none.
    """
    if not results:
        raise ValueError("wanted at least one result")
    tables = [score_table(result, metrics=metrics) for result in results]
    ax = axes_or_new(ax, (6.8, 1.6 + 0.26 * len(metrics) * (len(results) + 1)))
    rows = []
    for place, (table, colour) in enumerate(zip(tables, model_colours(table.name for table in tables), strict=True)):
        scores = [score for _, score in table.items()]
        heights = np.arange(len(metrics)) + 0.8 * ((place + 0.5) / len(results) - 0.5)
        values = np.array([score.value for score in scores])
        bounds = np.abs([[s.value - s.low for s in scores], [s.high - s.value for s in scores]])
        label = plain_text(f"{name_of(results[place])}, n = {table.n:,}")
        ax.errorbar(values, heights, xerr=bounds, fmt="o", color=colour, markersize=5, capsize=3, label=label)
        said = ", ".join(f"{metric} {score}" for metric, score in table.items())
        rows.append(f"{name_of(results[place])} (n = {table.n:,}): {said}")
    ax.set_yticks(range(len(metrics)), metrics)
    ax.set_ylim(len(metrics) - 0.5, -0.5)
    ax.axvline(0, color=GREY, linestyle=":", linewidth=1)
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(0, -0.1))
    title = "Scores with 95% intervals"
    return finished(ax, title, "value", "", f"{title}. {'; '.join(rows)}.")


def reliability_diagram(result: EvalResult, ax: Axes | None = None, *, bins: int = CALIBRATION_BINS) -> Axes:
    """Draw accuracy by confidence in equal-width bins.

    Each has Wilson's 95% interval and its number of examples. A bar below the diagonal is overconfidence. The caption gives
    the expected calibration error over these bins, and for the ten bins of `score_table` its interval.
    """
    ax = axes_or_new(ax)
    rows = reliability_bins(result.confidences, result.correct, bins)
    filled = [row for row in rows if row.count]
    lowest = min((row.low for row in filled), default=0.0)
    for row in filled:
        _reliability_bar(ax, row, model_colours([result.name])[0])
    ax.plot([lowest, 1], [lowest, 1], linestyle=":", color=GREY, label="perfectly calibrated")
    ax.plot([], [], "o", color="black", label="mean confidence of the bin, its accuracy and 95% interval")
    ax.set_xlim(lowest, 1)
    ax.set_ylim(0, 1.22)
    ax.set_yticks(np.linspace(0, 1, 6))
    ax.legend(loc="upper left", frameon=False, fontsize=8)
    caption = _calibration_caption(result, bins)
    bars = (
        f"at confidence {row.confidence:.2f} accuracy {row.accuracy:.2f} ({row.count:,} examples)" for row in filled
    )
    words = f"Reliability diagram. {caption}. {'; '.join(bars) or 'No examples'}."
    return finished(ax, caption, "confidence (examples in each bin at its foot)", "accuracy", words)


def _reliability_bar(ax: Axes, row: ReliabilityBin, colour: str) -> None:
    middle, width = (row.low + row.high) / 2, row.high - row.low
    ax.bar(middle, row.accuracy, width=width * 0.94, color=colour, alpha=0.35)
    accuracy = proportion_interval(round(row.accuracy * row.count), row.count)
    bounds = [[accuracy.value - accuracy.low], [accuracy.high - accuracy.value]]
    ax.errorbar(row.confidence, row.accuracy, yerr=bounds, fmt="o", color="black", markersize=4, capsize=3)
    ax.text(middle, 0.02, f"{row.count:,}", ha="center", va="bottom", fontsize=9)


def _calibration_caption(result: EvalResult, bins: int) -> str:
    if bins == CALIBRATION_BINS:
        error = f"{score_table(result, metrics=('ece',)).ece} (95%)"
    else:
        error = f"{expected_calibration_error(result.confidences, result.correct, bins):.3f} ({bins} bins)"
    return f"{name_of(result)}: calibration error {error}, n = {len(result):,}"


def roc_curve_figure(results: Sequence[EvalResult], ax: Axes | None = None) -> Axes:
    """Draw ROC curves, one line a model, each AUC with its interval.

    True-positive rate by false-positive rate over all thresholds. A model whose curve is undefined (test labels of one
    class) is named with the reason and has no line. Raises ValueError without results and for more than two classes.
    """
    from sklearn.metrics import roc_curve

    if not results or any(result.num_classes != 2 for result in results):
        raise ValueError(f"wanted results of two classes; found {[result.num_classes for result in results]}")
    ax = axes_or_new(ax, (6.0, 5.6))
    labels = []
    for result, colour in zip(results, model_colours(result.name for result in results), strict=True):
        area = score_table(result, metrics=("roc_auc",)).roc_auc
        labels.append(f"{name_of(result)}: AUC {area}")
        rates = [[], []] if math.isnan(area.value) else roc_curve(result.labels, result.probabilities[:, 1])[:2]
        ax.plot(*rates, color=colour, linewidth=2, label=textwrap.fill(plain_text(labels[-1]), 40))
    ax.plot([0, 1], [0, 1], linestyle=":", color=GREY, zorder=1, label="chance: AUC 0.5")
    ax.legend(loc="lower right", frameon=False, fontsize=9)
    sizes = ", ".join(f"{size:,}" for size in sorted({len(result) for result in results}))
    caption = f"ROC curves, n = {sizes}, 95% intervals"
    words = f"{caption}. {'; '.join(labels)}. Chance is the diagonal with AUC 0.5."
    return finished(ax, caption, "false-positive rate", "true-positive rate", words)


def precision_recall_figure(results: Sequence[EvalResult], ax: Axes | None = None) -> Axes:
    """Draw precision by recall, one line of steps a model.

    Over all thresholds; each area (average precision) has its interval. A model whose curve is undefined (no positives
    among the labels) is named with the reason and has no line. Raises ValueError without results and for more than two
    classes.
    """
    from sklearn.metrics import precision_recall_curve

    _check_two_classes(results)
    ax = axes_or_new(ax, (6.0, 5.6))
    labels = []
    for result, colour in zip(results, model_colours(result.name for result in results), strict=True):
        area = score_table(result, metrics=("average_precision",)).average_precision
        labels.append(f"{name_of(result)}: average precision {area}")
        precision, recall = ([], [])
        if not math.isnan(area.value):
            precision, recall, _ = precision_recall_curve(result.labels, result.probabilities[:, 1])
        ax.step(
            recall, precision, where="post", color=colour, linewidth=2, label=textwrap.fill(plain_text(labels[-1]), 44)
        )
    shares = list(dict.fromkeys(float(result.labels.mean()) if len(result) else math.nan for result in results))
    share = " and ".join(f"{each:.2f}" for each in shares)
    for each in shares:
        ax.axhline(each, linestyle=":", color=GREY, zorder=1)
    ax.plot([], [], linestyle=":", color=GREY, label=f"chance: the share of positives, {share}")
    ax.set_ylim(0, 1.04)
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.13), frameon=False, fontsize=9)
    caption = f"Precision-recall curves, n = {_sizes(results)}, 95% intervals"
    words = f"{caption}. {'; '.join(labels)}. Chance is the share of positives, {share}."
    return finished(ax, caption, "recall", "precision", words)


def threshold_figure(result: EvalResult, threshold: float = 0.5, ax: Axes | None = None) -> Axes:
    """Draw precision, recall and F1 of class 1 by threshold, the chosen one marked.

    Everything with `probability >= threshold` is called positive. The caption gives the three at the threshold. Raises
    ValueError for more than two classes or no examples.
    """
    _check_two_classes([result])
    if len(result) == 0:
        raise ValueError("a threshold needs examples; found none")
    ax = axes_or_new(ax)
    scores = result.probabilities[:, 1]
    tried = np.unique(np.concatenate([np.linspace(0, 1, 101), scores]))
    predicted_positives, true_positives = (
        np.array([values.sum(where=scores >= t) for t in tried]) for values in (np.ones(len(scores)), result.labels)
    )
    actual_positives = np.full(len(tried), float(result.labels.sum()))
    precision, recall, f1 = precision_recall_f1_of(true_positives.astype(float), predicted_positives, actual_positives)
    lines = {"precision": (precision, "--"), "recall": (recall, ":"), "F1": (f1, "-")}
    for name, (values, line) in lines.items():
        ax.plot(tried, values, linestyle=line, color=model_colours([result.name])[0], label=name)
    ax.axvline(threshold, color="black", linewidth=1)
    ax.set_ylim(-0.02, 1.02)
    ax.legend(frameon=False, loc="lower left")
    chosen = precision_recall_f1(result.labels, scores >= threshold)
    found = f"precision {chosen.precision:.3f}, recall {chosen.recall:.3f}, F1 {chosen.f1:.3f}"
    caption = f"{name_of(result)}: at threshold {threshold:.2f} {found}, n = {len(result):,}"
    best = int(f1.argmax())
    words = f"{caption}. The best F1 is {f1[best]:.3f}, at threshold {tried[best]:.3f}."
    return finished(ax, caption, "threshold on the probability of class 1", "score", words)


def abstention_figure(results: Sequence[EvalResult], ax: Axes | None = None) -> Axes:
    """Draw accuracy on the surest examples, by the share that is answered.

    With Wilson's 95% band. Raises ValueError without results or examples.
    """
    if not results or not all(len(result) for result in results):
        raise ValueError("wanted results with examples")
    ax = axes_or_new(ax)
    labels = []
    for result, colour in zip(results, model_colours(result.name for result in results), strict=True):
        curve = abstention_curve(result)
        answered = np.rint(curve.coverage * curve.n).astype(int)
        right = np.rint(curve.accuracy * answered).astype(int)
        bands = [proportion_interval(int(r), int(n)) for r, n in zip(right, answered, strict=True)]
        half, whole = curve.accuracy_at(0.5), curve.accuracy_at(1.0)
        labels.append(f"{name_of(result)}: {whole:.3f} on all, {half:.3f} on the surer half")
        ax.fill_between(
            curve.coverage, [b.low for b in bands], [b.high for b in bands], color=colour, alpha=0.15, linewidth=0
        )
        ax.plot(curve.coverage, curve.accuracy, color=colour, label=plain_text(labels[-1]))
    ax.set_xlim(0, 1)
    ax.legend(loc="lower left", frameon=False, fontsize=9)
    caption = f"Accuracy where the model is surest, n = {_sizes(results)}, 95% intervals"
    words = f"{caption}. {'; '.join(labels)}."
    return finished(ax, caption, "share of the examples that it answers", "accuracy on them", words)


def _check_two_classes(results: Sequence[EvalResult]) -> None:
    if not results or any(result.num_classes != 2 for result in results):
        raise ValueError(f"wanted results of two classes; found {[result.num_classes for result in results]}")


def _sizes(results: Sequence[EvalResult]) -> str:
    return ", ".join(f"{size:,}" for size in sorted({len(result) for result in results}))

"""The threshold explorer: what it moves in confusion matrix and curves.

Counts with metrics.py and draws; has no metric of its own and chooses no threshold.
"""

from dataclasses import dataclass

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.display import html_table
from labkit.evaluation.arrays import FloatArray, IntArray, ratio
from labkit.evaluation.metrics import EvalResult, PrecisionRecallF1, confusion_matrix, precision_recall_f1
from labkit.figures import ALT_TEXT, GREY, ShownAxes, model_colours, to_html
from labkit.figures.drawing import ink_on
from labkit.widgets.interactive import Interactive, Picture, explorer, labelled

ROC_LABELS = ("false-positive rate", "true-positive rate (recall)")
CELLS = (("true negatives", "false positives"), ("false negatives", "true positives"))


@dataclass(frozen=True, eq=False, repr=False)
class AtThreshold:
    """A result with class 1 called where its probability reaches the threshold.

    counts: (2, 2), rows are true classes, columns what they are called. scores: precision, recall and F1 of class 1.
    """

    name: str
    threshold: float
    counts: IntArray
    scores: PrecisionRecallF1

    @property
    def false_positive_rate(self) -> float:
        """The share of the negative examples that are called positive.

        0.0 where there are none.
        """
        return float(self.counts[0, 1] / max(self.counts[0].sum(), 1))

    @property
    def accuracy(self) -> float:
        """The share of all examples that are called what they are."""
        return float(np.trace(self.counts) / self.counts.sum())

    def __str__(self) -> str:
        (_, false_alarms), (_, hits) = self.counts
        negatives, positives = self.counts.sum(axis=1)
        start = f"{self.name}, threshold" if self.name else "Threshold"
        return (
            f"{start} {self.threshold:.2f}: of {positives:,} positive examples {hits:,} are called positive, "
            f"of {negatives:,} negative ones {false_alarms:,}. Precision {self.scores.precision:.3f}, "
            f"recall {self.scores.recall:.3f}, F1 {self.scores.f1:.3f}, accuracy {self.accuracy:.3f}."
        )

    __repr__ = __str__


def at_threshold(result: EvalResult, threshold: float) -> AtThreshold:
    """Apply a threshold to a result.

    Raises ValueError for more than two classes, and without examples.

    >>> print(at_threshold(EvalResult([0, 1, 1], [[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]], loss=0.5), threshold=0.4))
    Threshold 0.40: of 2 positive examples 2 are called positive, of 1 negative ones 1.
    Precision 0.667, recall 1.000, F1 0.800, accuracy 0.667.
    """
    if result.num_classes != 2 or len(result) == 0:
        raise ValueError(f"wanted examples of two classes; found {len(result)} examples, {result.num_classes} classes")
    called = (result.probabilities[:, 1] >= threshold).astype(np.int64)
    counts = confusion_matrix(result.labels, called, 2)
    return AtThreshold(result.name, float(threshold), counts, precision_recall_f1(result.labels, called))


@dataclass(frozen=True, eq=False)
class Curves:
    """Both curves of a result: its rates at each threshold that makes a difference.

    (m,), from the highest threshold down.
    """

    precision: FloatArray
    recall: FloatArray
    false_positive_rate: FloatArray
    share_of_positives: float


def curves_of(result: EvalResult) -> Curves:
    """Compute precision, recall and false-positive rate at every score that occurs.

    A rate without its class is 0.
    """
    order = np.argsort(-result.probabilities[:, 1], kind="stable")
    scores = result.probabilities[order, 1]
    ends = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    true_positives = np.cumsum(result.labels[order])[ends].astype(np.float64)
    predicted_positives = (ends + 1).astype(np.float64)
    actual_positives = np.full(len(ends), result.labels.sum(), dtype=np.float64)
    return Curves(
        ratio(true_positives, predicted_positives),
        ratio(true_positives, actual_positives),
        ratio(predicted_positives - true_positives, len(result) - actual_positives),
        float(result.labels.mean()),
    )


def threshold_panels(now: AtThreshold, usual: AtThreshold, curves: Curves) -> Axes:
    """Draw the confusion matrix and both curves, with a dot for the threshold.

    The curves are precision-recall and ROC. usual: the same at 0.5, as a ring on each curve to start from.
    """
    whole = Figure(figsize=(10.4, 3.7), layout="constrained")
    grid = whole.add_gridspec(1, 3)
    matrix = whole.add_subplot(grid[0], axes_class=ShownAxes)
    _draw_matrix(matrix, now)
    colour = model_colours([now.name])[0]
    first = np.append(curves.precision[0], curves.precision)
    from_zero = np.append(0.0, curves.recall)
    dots = [(each.scores.recall, each.scores.precision) for each in (usual, now)]
    of_positives = (from_zero, first, "recall", "precision", "steps-pre", dots)
    dots = [(each.false_positive_rate, each.scores.recall) for each in (usual, now)]
    of_classes = (np.append(0.0, curves.false_positive_rate), from_zero, *ROC_LABELS, "default", dots)
    for place, (horizontal, vertical, across, up, style, points) in enumerate((of_positives, of_classes), start=1):
        ax = whole.add_subplot(grid[place])
        ax.plot(horizontal, vertical, color=colour, linewidth=2, zorder=2, drawstyle=style)
        for point, face, size in zip(points, ("white", "black"), (8, 9), strict=True):
            ax.plot(*point, "o", color="black", markerfacecolor=face, markersize=size, zorder=3, clip_on=False)
        ax.set_xlim(0, 1)
        ax.set_ylim(0, 1.03)
        ax.set_xlabel(across)
        ax.set_ylabel(up)
        ax.spines[["top", "right"]].set_visible(False)
    precision_recall, roc = whole.axes[1:]
    precision_recall.axhline(curves.share_of_positives, linestyle=":", color=GREY, zorder=1)
    roc.plot([0, 1], [0, 1], linestyle=":", color=GREY, zorder=1)
    precision_recall.set_title("Precision and recall", fontsize=11, loc="left")
    roc.set_title("ROC", fontsize=11, loc="left")
    setattr(matrix, ALT_TEXT, f"{now} Dots mark it on the precision-recall curve and on the ROC curve; rings mark 0.5.")
    return matrix


def _draw_matrix(ax: Axes, now: AtThreshold) -> None:
    shares = now.counts / np.maximum(now.counts.sum(axis=1, keepdims=True), 1)
    mesh = ax.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white")
    ax.invert_yaxis()
    for row, column in np.ndindex(now.counts.shape):
        ink = ink_on(mesh.to_rgba(shares[row, column]))
        cell = f"{now.counts[row, column]:,}\n{CELLS[row][column]}"
        ax.text(column + 0.5, row + 0.5, cell, ha="center", va="center", color=ink, fontsize=10)
    ax.set_xticks([0.5, 1.5], ["negative", "positive"])
    ax.set_yticks([0.5, 1.5], ["negative", "positive"], rotation=90, va="center")
    ax.set_xlabel("called")
    ax.set_ylabel("true class")
    ax.set_title(f"Threshold {now.threshold:.2f}", fontsize=11, loc="left")


def threshold_explorer(result: EvalResult, threshold: float = 0.5) -> Interactive:
    """Explore thresholds: confusion matrix, precision, recall, F1 and both curves.

    By a slider.
    """
    usual, curves = at_threshold(result, 0.5), curves_of(result)
    box = labelled(ipywidgets.BoundedFloatText, "threshold:", value=threshold, min=0.0, max=1.0, step=0.01)

    def show(threshold: float) -> Picture:
        now = at_threshold(result, threshold)
        ax = threshold_panels(now, usual, curves)
        words = str(getattr(ax, ALT_TEXT))
        precision, recall, f1 = now.scores
        scores = {"precision": precision, "recall": recall, "F1": f1, "accuracy": now.accuracy}
        rows = [("threshold", *scores), (f"{threshold:.2f}", *(f"{score:.3f}" for score in scores.values()))]
        return Picture(html_table("Scores at this threshold", rows) + to_html(ax), words)

    return explorer({"threshold": box}, show, sliders=("threshold",))

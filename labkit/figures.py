"""Figures: one function a figure, from a record to Axes, each with its content said in words.

`f(record, ax=None) -> Axes`. Without `ax` a figure of its own is made, which shows itself as the last line of a
notebook cell, with its text alternative beside it; with `ax` it is drawn there. Nothing is shown, no style is set and
pyplot knows of nothing. `alt_text(ax)` gives the words, `to_html(ax)`, `to_svg(ax)` and `to_png_bytes(ax)` what a page
embeds, the same bytes for the same record. Training is dashed and validation solid; a model has one colour throughout
the course.
"""

import base64
import html
import io
import itertools
import math
import re
import textwrap
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from labkit.metrics import (
    CALIBRATION_BINS,
    EvalResult,
    FloatArray,
    IntArray,
    ReliabilityBin,
    confusion_matrix,
    expected_calibration_error,
    proportion_interval,
    reliability_bins,
    score_table,
)

# Okabe & Ito's palette, which colour-blind readers tell apart. The first of these words in a model's name decides.
MODEL_COLOURS = {
    "majority": "#7f7f7f",
    "tf-idf": "#e69f00",
    "gru": "#cc79a7",
    "tiny": "#56b4e9",
    "minilm": "#0072b2",
    "distilbert": "#009e73",
    "albert": "#882255",
    "modernbert": "#000000",
    "bert": "#d55e00",
}
OTHER_COLOURS = ("#332288", "#117733", "#aa4499", "#999933", "#661100")
UNNAMED = "#333333"
GREY = "#666666"
WHOLE, CUT = "#8fa8c4", "#b2182b"
SIZE = (6.4, 4.4)  # inches
ALT_TEXT = "labkit_alt_text"


class Epoch(Protocol):
    """What `learning_curves` reads of an epoch's record; is_best: it was the best so far."""

    @property
    def epoch(self) -> int: ...

    @property
    def train_loss(self) -> float: ...

    @property
    def validation_loss(self) -> float: ...

    @property
    def validation_accuracy(self) -> float: ...

    @property
    def is_best(self) -> bool: ...


# --- a figure's words, bytes and colours --------------------------------------------------------------------------


class ShownAxes(Axes):
    """Axes that show themselves, with their text alternative, where a notebook cell ends with them."""

    def _repr_html_(self) -> str:
        return to_html(self)


def alt_text(ax: Axes) -> str:
    """The figure's content in words, with its numbers.

    Raises ValueError for Axes that no function of this module drew.

    >>> alt_text(review_lengths([3, 5, 200], max_length=128))
    'Histogram of 3 review lengths in tokens: median 5, longest 200. 1 of 3 (33.3%) are longer than 128 and are cut.'
    """
    text = getattr(ax, ALT_TEXT, "")
    if not text:
        raise ValueError("these Axes have no text alternative; it is attached by the functions of labkit.figures")
    return str(text)


def to_svg(ax: Axes) -> str:
    """The whole figure as an SVG element for a page: no date, fixed ids, the text alternative as its title."""
    with matplotlib.rc_context({"svg.hashsalt": "labkit", "svg.fonttype": "path"}):
        document = _saved(ax, "svg", {"Date": None, "Title": alt_text(ax)}).decode("utf-8")
    return document[document.index("<svg") :].replace("<svg ", '<svg role="img" ', 1)


def to_png_bytes(ax: Axes, dpi: int = 144) -> bytes:
    """The whole figure as a PNG file; it says its text alternative in its description."""
    return _saved(ax, "png", {"Software": None, "Description": alt_text(ax)}, dpi=dpi)


def to_html(ax: Axes) -> str:
    """The whole figure as an HTML element that needs nothing else: the picture, and its text alternative to unfold."""
    picture = base64.b64encode(to_svg(ax).encode()).decode()
    words = html.escape(alt_text(ax))
    return (
        f'<figure style="margin:0"><img alt="{words}" src="data:image/svg+xml;base64,{picture}" style="max-width:100%">'
        f"<figcaption><details><summary>This figure in words</summary>{words}</details></figcaption></figure>"
    )


def _saved(ax: Axes, file_format: str, metadata: dict[str, str | None], **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.savefig(buffer, format=file_format, metadata=metadata, facecolor="white", **options)
    return buffer.getvalue()


def _axes(ax: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """The given Axes, or new ones that fill a figure of their own."""
    if ax is None:
        ax = Figure(figsize=size, layout="constrained").add_subplot(axes_class=ShownAxes)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def _finished(ax: Axes, title: str, xlabel: str, ylabel: str, words: str) -> Axes:
    unbroken = re.sub(r"\[.*?\]| = ", lambda whole: whole[0].replace(" ", "\u00a0"), _plain(title))
    ax.set_title(textwrap.fill(unbroken, 64), fontsize=11, loc="left")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    setattr(ax, ALT_TEXT, words)
    figure = ax.get_figure(root=True)
    if isinstance(ax, ShownAxes) and figure is not None:
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # another layout would start from this one and end a little elsewhere
    return ax


def model_colours(names: Iterable[str]) -> list[str]:
    """A colour for each model, the same in every figure; names that are no model of the course share the rest.

    >>> model_colours(["MiniLM", "TF-IDF"])
    ['#0072b2', '#e69f00']
    """
    chosen: list[str] = []
    for name in names:
        known = [colour for word, colour in MODEL_COLOURS.items() if word in name.lower()][:1]
        start = zlib.crc32(name.encode()) % len(OTHER_COLOURS)
        others = [*OTHER_COLOURS[start:], *OTHER_COLOURS[:start]]
        free = [colour for colour in [*known, *others] if colour not in chosen]
        chosen.append((free or others)[0])
    return chosen


def _plain(text: str) -> str:
    """The text as matplotlib shows it literally: a pair of dollar signs would be read as a formula."""
    return text.replace("$", r"\$")


def _named(result: EvalResult) -> str:
    return result.name or "model"


# --- figures ------------------------------------------------------------------------------------------------------


def learning_curves(
    history: Sequence[Epoch], ax: Axes | None = None, *, name: str = "", validation_size: int | None = None
) -> Axes:
    """Training loss (dashed) and validation loss (solid) by epoch, the best epoch marked, accuracies below the axis.

    history: one record an epoch. The best epoch is the last that was the best so far. name: the model's, for the
    caption and the colour. validation_size: how many validation reviews; with it the caption gives n and Wilson's 95%
    interval of the best epoch's accuracy. Raises ValueError for an empty history.
    """
    if not history:
        raise ValueError("the history is empty: no epoch has ended yet")
    ax = _axes(ax)
    epochs = [record.epoch for record in history]
    train, validation = ([record.train_loss for record in history], [record.validation_loss for record in history])
    colour = model_colours([name])[0] if name else UNNAMED
    for losses, line, split in ((train, "--", "training"), (validation, "-", "validation")):
        ax.plot(epochs, losses, linestyle=line, marker="o", markersize=4, color=colour, label=split)
    best = _best(history)
    if best is not None:
        ax.plot(best.epoch, best.validation_loss, "*", markersize=15, color="black", label=f"best epoch: {best.epoch}")
    _label_epochs(ax, history)
    ax.legend(frameon=False)
    caption = f"{name or 'model'}: {_learning_caption(best, validation_size)}"
    words = f"Validation loss {_course(epochs, validation)}; training loss {_course(epochs, train)}. {caption}."
    return _finished(ax, caption, "epoch, and validation accuracy after it", "loss per example", words)


def _best(history: Sequence[Epoch]) -> Epoch | None:
    """The last record that was the best so far; None where no epoch was (every validation loss NaN)."""
    return next((record for record in reversed(history) if record.is_best), None)


def _label_epochs(ax: Axes, history: Sequence[Epoch]) -> None:
    """Ticks at whole epochs, at most eight, with the validation accuracy under each."""
    shown = history[:: math.ceil(len(history) / 8)]
    ax.set_xticks(
        [record.epoch for record in shown], [f"{record.epoch}\n{record.validation_accuracy:.3f}" for record in shown]
    )


def _learning_caption(best: Epoch | None, validation_size: int | None) -> str:
    if best is None:
        return "no epoch was best, no validation loss is a number"
    accuracy = f"{best.validation_accuracy:.3f}"
    if validation_size and math.isfinite(best.validation_accuracy):
        correct = round(best.validation_accuracy * validation_size)
        accuracy = f"{proportion_interval(correct, validation_size)}, n = {validation_size:,}"
    return f"best epoch {best.epoch}, validation loss {best.validation_loss:.3f}, accuracy {accuracy}"


def _course(epochs: Sequence[int], losses: Sequence[float]) -> str:
    """A curve in words: from where to where, and where it turns.

    >>> _course([0, 1, 2], [0.41, 0.35, 0.48])
    'falls from 0.410 to 0.350 at epoch 1, then rises to 0.480 at epoch 2'
    """
    points = [(epoch, loss) for epoch, loss in zip(epochs, losses, strict=True) if math.isfinite(loss)]
    missing = [str(epoch) for epoch, loss in zip(epochs, losses, strict=True) if not math.isfinite(loss)]
    gap = f" (not a number at epoch {', '.join(missing)})" if missing else ""
    if not points:
        return "is never a number"
    (first, start), (last, end) = points[0], points[-1]
    turn, least = min(points, key=lambda point: point[1])
    if len(points) == 1:
        return f"is {start:.3f} at epoch {first}{gap}"
    if turn == first:
        return f"{'rises' if end > start else 'goes'} from {start:.3f} to {end:.3f} at epoch {last}{gap}"
    falls = f"falls from {start:.3f} to {least:.3f} at epoch {turn}"
    if turn != last:
        return f"{falls}, then rises to {end:.3f} at epoch {last}{gap}"
    throughout = all(later[1] < earlier[1] for earlier, later in itertools.pairwise(points))
    return f"{falls}, {'lower every epoch' if throughout else 'with ups and downs'}{gap}"


def confusion_matrix_figure(
    result: EvalResult, ax: Axes | None = None, *, class_names: Sequence[str] = ("negative", "positive")
) -> Axes:
    """Counts of true classes (rows) by predicted classes (columns), shaded by the share of the row.

    Raises ValueError when there is not one name for each class.
    """
    if len(class_names) != result.num_classes:
        raise ValueError(f"{result.num_classes} classes need as many names; found {len(class_names)}: {class_names}")
    ax = _axes(ax, (6.0, 5.0))
    counts = confusion_matrix(result.labels, result.predictions, result.num_classes)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolors="white")
    ax.invert_yaxis()
    for row, column in np.ndindex(counts.shape):
        ink = "white" if shares[row, column] > 0.5 else "black"
        cell = f"{counts[row, column]:,}\n{shares[row, column]:.1%}"
        ax.text(column + 0.5, row + 0.5, cell, ha="center", va="center", color=ink, fontsize=12)
    shown_names = [_plain(name) for name in class_names]
    ax.set_xticks(np.arange(len(class_names)) + 0.5, shown_names)
    ax.set_yticks(np.arange(len(class_names)) + 0.5, shown_names, rotation=90, va="center")
    caption = f"{_named(result)}: accuracy {score_table(result).accuracy} (95%), n = {len(result):,}"
    words = f"Confusion matrix. {caption}: {_rows_in_words(counts, class_names)}."
    return _finished(ax, caption, "predicted class", "true class (shares of its row)", words)


def _rows_in_words(counts: IntArray, class_names: Sequence[str]) -> str:
    rows = []
    for true_name, row in zip(class_names, counts, strict=True):
        predicted = ", ".join(f"{count:,} as {name}" for name, count in zip(class_names, row, strict=True))
        rows.append(f"of {row.sum():,} {true_name} examples {predicted}")
    return "; ".join(rows)


def reliability_diagram(result: EvalResult, ax: Axes | None = None, *, bins: int = CALIBRATION_BINS) -> Axes:
    """Accuracy by confidence in equal-width bins, each with Wilson's 95% interval and its number of examples.

    A bar below the diagonal is overconfidence. The caption gives the expected calibration error over these bins, and
    for the ten bins of `score_table` its bootstrap interval.
    """
    ax = _axes(ax)
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
    return _finished(ax, caption, "confidence (examples in each bin at its foot)", "accuracy", words)


def _reliability_bar(ax: Axes, row: ReliabilityBin, colour: str) -> None:
    middle, width = (row.low + row.high) / 2, row.high - row.low
    ax.bar(middle, row.accuracy, width=width * 0.94, color=colour, alpha=0.35)
    accuracy = proportion_interval(round(row.accuracy * row.count), row.count)
    bounds = [[accuracy.value - accuracy.low], [accuracy.high - accuracy.value]]
    ax.errorbar(row.confidence, row.accuracy, yerr=bounds, fmt="o", color="black", markersize=4, capsize=3)
    ax.text(middle, 0.02, f"{row.count:,}", ha="center", va="bottom", fontsize=9)


def _calibration_caption(result: EvalResult, bins: int) -> str:
    if bins == CALIBRATION_BINS:
        error = f"{score_table(result).ece} (95%)"
    else:
        error = f"{expected_calibration_error(result.confidences, result.correct, bins):.3f} ({bins} bins)"
    return f"{_named(result)}: calibration error {error}, n = {len(result):,}"


def review_lengths(lengths: ArrayLike, max_length: int, ax: Axes | None = None) -> Axes:
    """How long the reviews are in tokens, and what share of them `max_length` cuts, with Wilson's 95% interval.

    lengths: (n,) tokens of each review before truncation. Raises ValueError when there are none.
    """
    tokens = np.asarray(lengths)
    if tokens.ndim != 1 or len(tokens) == 0:
        raise ValueError(f"lengths must be (n,) with n >= 1; found shape {tokens.shape}")
    ax = _axes(ax)
    edges = _length_edges(int(tokens.max()), max_length)
    whole, cut = tokens[tokens <= max_length], tokens[tokens > max_length]
    for part, colour, label in ((whole, WHOLE, "whole"), (cut, CUT, "cut")):
        ax.stairs(np.histogram(part, edges)[0], edges, fill=True, color=colour, label=label)
    ax.set_xlim(left=0)
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.axvline(max_length + 0.5, linestyle="--", color="black", label=f"max_length = {max_length}")
    ax.legend(frameon=False)
    share = proportion_interval(len(cut), len(tokens))
    caption = f"{share:.1%} (95%) of n = {len(tokens):,} reviews are longer than {max_length}"
    words = (
        f"Histogram of {len(tokens):,} review lengths in tokens: median {np.median(tokens):g}, "
        f"longest {tokens.max():,}. {len(cut):,} of {len(tokens):,} ({share.value:.1%}) are longer than {max_length} "
        f"and are cut."
    )
    return _finished(ax, caption, "tokens of the review, special ones included", "reviews", words)


def _length_edges(longest: int, max_length: int) -> FloatArray:
    """At most about 50 equal bins, one edge between max_length and max_length + 1, so that no bin is both."""
    width = max(1, math.ceil(max(longest, max_length) / 50))
    start = (max_length % width) - width + 0.5
    return np.arange(start, max(longest, max_length) + width + 0.5, width)


def roc_curve_figure(results: Sequence[EvalResult], ax: Axes | None = None) -> Axes:
    """True-positive rate by false-positive rate over all thresholds, one line a model, AUC with its interval.

    A model whose curve is undefined (test labels of one class) is named with the reason and has no line. Raises
    ValueError without results and for more than two classes.
    """
    from sklearn.metrics import roc_curve

    if not results or any(result.num_classes != 2 for result in results):
        raise ValueError(f"wanted results of two classes; found {[result.num_classes for result in results]}")
    ax = _axes(ax, (6.0, 5.6))
    labels = []
    for result, colour in zip(results, model_colours(result.name for result in results), strict=True):
        area = score_table(result).roc_auc
        labels.append(f"{_named(result)}: AUC {area}")
        rates = [[], []] if math.isnan(area.value) else roc_curve(result.labels, result.probabilities[:, 1])[:2]
        ax.plot(*rates, color=colour, linewidth=2, label=textwrap.fill(_plain(labels[-1]), 40))
    ax.plot([0, 1], [0, 1], linestyle=":", color=GREY, zorder=1, label="chance: AUC 0.5")
    ax.legend(loc="lower right", frameon=False, fontsize=9)
    sizes = ", ".join(f"{size:,}" for size in sorted({len(result) for result in results}))
    caption = f"ROC curves, n = {sizes}, 95% intervals"
    words = f"{caption}. {'; '.join(labels)}. Chance is the diagonal with AUC 0.5."
    return _finished(ax, caption, "false-positive rate", "true-positive rate", words)

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
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from labkit.arrays import FloatArray, IntArray
from labkit.calibration import (
    CALIBRATION_BINS,
    ReliabilityBin,
    abstention_curve,
    expected_calibration_error,
    reliability_bins,
)
from labkit.intervals import Score, proportion_interval, score_table
from labkit.metrics import EvalResult, confusion_matrix, precision_recall_f1, precision_recall_f1_of

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

    from labkit.agreement import Agreement
    from labkit.attention import AttentionWeights
    from labkit.behaviour import BehaviourReport
    from labkit.ceiling import HumanCeiling, NoCeiling
    from labkit.explanations import Attribution
    from labkit.faithfulness import Faithfulness
    from labkit.false_alarms import FalseAlarms
    from labkit.folds import CrossValidation, SeedSpread
    from labkit.randomisation import Randomisation

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
# One colour a method of explaining, throughout the course; the controls are grey.
METHOD_COLOURS = {
    "attention": "#cc79a7",
    "rollout": "#882255",
    "gradient-x-input": "#56b4e9",
    "integrated-gradients": "#0072b2",
    "occlusion": "#009e73",
    "random": "#7f7f7f",
}
OTHER_COLOURS = ("#332288", "#117733", "#aa4499", "#999933", "#661100")
UNNAMED = "#333333"
GREY = "#666666"
WHOLE, CUT = "#8fa8c4", "#b2182b"
NEGATIVE, NEUTRAL, POSITIVE = "#b2182b", "#bdbdbd", "#2166ac"  # of ratings
WORD_FOR, WORD_AGAINST = "#2166ac", "#b2182b"  # what a word does for the verdict
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


class Effects(Protocol):
    """What `word_effects` reads: a verdict, and how far its probability falls without each word, (words,) in [-1, 1]."""

    @property
    def label(self) -> str: ...

    @property
    def probability(self) -> float: ...

    @property
    def words(self) -> Sequence[str]: ...

    @property
    def effects(self) -> FloatArray: ...


class Costs(Protocol):
    """What `length_costs_figure` reads: shares in [0, 1] by max_length."""

    @property
    def max_lengths(self) -> Sequence[int]: ...

    @property
    def cut_texts(self) -> FloatArray: ...

    @property
    def cut_tokens(self) -> FloatArray: ...

    @property
    def padding(self) -> FloatArray: ...


class Sizes(Protocol):
    """What `gradient_sizes_figure` reads: magnitudes (n,), and the share that fp16 rounds to 0 once they are scaled."""

    @property
    def sizes(self) -> FloatArray: ...

    def lost_in_fp16(self, scale: float = 1.0) -> float: ...


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


def rating_histogram(ratings: ArrayLike, ax: Axes | None = None, *, neutral_band: float) -> Axes:
    """How texts were rated in the mean: those that get the label negative, those in the neutral band, those that get positive.

    ratings: (n,) in [-4, 4]. Raises ValueError when there are none.
    """
    means = np.asarray(ratings, dtype=np.float64)
    if means.ndim != 1 or len(means) == 0:
        raise ValueError(f"ratings must be (n,) with n >= 1; found shape {means.shape}")
    ax = _axes(ax, (6.4, 3.8))
    neutral = np.abs(means) < neutral_band
    edges = np.linspace(-4, 4, 33)
    away_from_0 = np.clip(means * (1 + 1e-9), -4, 4)  # a rating on an edge belongs to the bar beyond it, on either side
    counts: dict[str, int] = {}
    below = np.zeros(len(edges) - 1)
    parts = {"negative": ~neutral & (means < 0), "neutral": neutral, "positive": ~neutral & (means > 0)}
    for (name, part), colour in zip(parts.items(), (NEGATIVE, NEUTRAL, POSITIVE), strict=True):
        heights = np.histogram(away_from_0[part], edges)[0]
        ax.stairs(below + heights, edges, baseline=below, fill=True, color=colour, label=name)
        below, counts[name] = below + heights, int(part.sum())
    ax.legend(frameon=False)
    shares = ", ".join(f"{count:,} {name} ({count / len(means):.1%})" for name, count in counts.items())
    title = f"{len(means):,} mean ratings, neutral band {neutral_band:g}: {counts['neutral']:,} neutral"
    words = f"Histogram of {len(means):,} mean ratings from -4 to 4, neutral band {neutral_band:g}: {shares}. {_hills(below)}"
    return _finished(ax, title, "mean rating", "texts", words)


def _hills(heights: FloatArray) -> str:
    """A histogram over [-4, 4] in words: its highest bar on either side of 0, and the lowest between those two."""
    middles = np.linspace(-4, 4, 2 * len(heights) + 1)[1::2]
    half = len(heights) // 2
    left, right = int(np.argmax(heights[:half])), half + int(np.argmax(heights[half:]))
    valley = left + int(np.argmin(heights[left : right + 1]))
    return (
        f"The highest bars are at {middles[left]:+.1f} ({heights[left]:,.0f} texts) and {middles[right]:+.1f} "
        f"({heights[right]:,.0f}); between them the lowest is at {middles[valley]:+.1f} ({heights[valley]:,.0f})."
    )


def rater_votes(ratings: Sequence[int], ax: Axes | None = None, *, text: str) -> Axes:
    """How the people voted who rated one text: single ratings, whole numbers from -4 to 4, and their mean."""
    if len(ratings) == 0:
        raise ValueError("nobody rated this text; wanted at least one rating")
    ax = _axes(ax, (6.4, 2.6))
    votes = np.arange(-4, 5)
    people = np.bincount(np.asarray(ratings) + 4, minlength=9)
    colours = [NEGATIVE if vote < 0 else POSITIVE if vote > 0 else NEUTRAL for vote in votes]
    ax.bar(votes, people, color=colours)
    mean = float(np.mean(ratings))
    ax.axvline(mean, linestyle="--", color="black", label=f"mean {mean:+.2f}")
    ax.set_xticks(votes, [f"{vote:+d}" if vote else "0" for vote in votes])
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    said = ", ".join(f"{count} gave {vote:+d}" for vote, count in zip(votes, people, strict=True) if count)
    words = f"Of {len(ratings)} people {said}; mean {mean:+.2f}. The text: {text}"
    return _finished(ax, textwrap.shorten(text, 150, placeholder=" …"), "rating", "people", words)


def rater_agreement_figure(
    ratings: ArrayLike, agreement: ArrayLike, ax: Axes | None = None, *, neutral_band: float
) -> Axes:
    """What share of the people stand on the side of the mean, by the mean: texts grouped by mean rating, half a point each.

    ratings: (n,) in [-4, 4]. agreement: (n,) in [0, 1]. The dashed lines are the edges of the neutral band.
    """
    means, shares = np.asarray(ratings, dtype=np.float64), np.asarray(agreement, dtype=np.float64)
    ax = _axes(ax, (6.4, 3.6))
    groups = np.clip(np.floor(means * 2).astype(int), -8, 7)
    points = [(group / 2 + 0.25, float(shares[groups == group].mean())) for group in np.unique(groups)]
    ax.axvspan(-neutral_band, neutral_band, color=NEUTRAL, alpha=0.35, label=f"neutral band {neutral_band:g}")
    ax.plot(*zip(*points, strict=True), "-o", color=MODEL_COLOURS["minilm"], label="people on the side of the mean")
    ax.set_xlim(-4, 4)
    ax.set_ylim(0, 1.05)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(frameon=False, loc="lower left")
    inside = np.abs(means) < neutral_band
    said = [
        f"{part} {shares[chosen].mean():.0%}"
        for part, chosen in (("inside the band", inside), ("outside", ~inside))
        if chosen.any()
    ]
    title = f"On the side of the mean: {', '.join(said)}"
    rows = ", ".join(f"{share:.0%} near {middle:+.2f}" for middle, share in points)
    return _finished(ax, title, "mean rating", "share of the people", f"{title}. By mean rating: {rows}.")


def padding_waste_figure(waste: Mapping[str, float], ax: Axes | None = None) -> Axes:
    """Of the places that a model computes, which hold tokens and which padding. waste: share in [0, 1] by way of batching."""
    ax = _axes(ax, (6.4, 1.5 + 0.4 * len(waste)))
    ways, shares = list(waste), np.array(list(waste.values()))
    padding: dict[str, Any] = {"facecolor": "white", "edgecolor": GREY, "hatch": "////", "linewidth": 0.4}
    ax.barh(ways, 1 - shares, color=WHOLE, label="tokens")
    bars = ax.barh(ways, shares, left=1 - shares, label="padding", **padding)
    ax.bar_label(bars, [f"{share:.1%}" for share in shares], padding=4)
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(0, 1.14)
    ax.set_xticks(np.linspace(0, 1, 5))
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(1, 0))
    rows = ", ".join(f"{way} {share:.1%}" for way, share in waste.items())
    words = f"Share of all places that padding fills: {rows}."
    return _finished(ax, "What padding fills, by way of batching", "share of all places", "", words)


def batching_costs_figure(
    places: Mapping[str, int], seconds: Mapping[str, float], ax: Axes | None = None, *, name: str
) -> Axes:
    """Places computed and seconds taken for the same reviews, by way of batching; each as a share of the first way's.

    name: of the model. Raises ValueError where places and seconds name different ways.
    """
    if list(places) != list(seconds):
        raise ValueError(f"places of {', '.join(places)} and seconds of {', '.join(seconds)}; wanted the same ways")
    ax = _axes(ax, (6.4, 1.3 + 0.7 * len(places)))
    ways = list(places)
    counted, timed = [f"{many:,} places" for many in places.values()], [f"{long:.2f} s" for long in seconds.values()]
    for offset, costs, said, colour in ((-0.2, places, counted, WHOLE), (0.2, seconds, timed, MODEL_COLOURS["bert"])):
        shares = np.array(list(costs.values())) / costs[ways[0]]
        ax.bar_label(ax.barh(np.arange(len(ways)) + offset, shares, 0.38, color=colour), said, padding=3, fontsize=9)
    ax.set_yticks(np.arange(len(ways)), ways)
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.margins(x=0.25)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    fewer, faster = (costs[ways[0]] / costs[ways[-1]] for costs in (places, seconds))
    title = (
        f"{name}: {ways[0]} computes {fewer:.1f} times the places of {ways[-1]} and takes {faster:.1f} times as long"
    )
    rows = "; ".join(f"{way} {many}, {long}" for way, many, long in zip(ways, counted, timed, strict=True))
    return _finished(ax, title, f"share of what {ways[0]} costs", "", f"{title}. {rows}.")


def length_costs_figure(costs: Costs, ax: Axes | None = None, *, name: str = "reviews") -> Axes:
    """What a `max_length` costs, for a range of them: the tokens that it cuts away, and the places that padding fills."""
    ax = _axes(ax, (6.4, 3.6))
    ax.plot(costs.max_lengths, costs.padding, "-s", color=WHOLE, label="places that are padding")
    ax.plot(costs.max_lengths, costs.cut_tokens, "-o", color=CUT, label="tokens that are cut away")
    ax.set_xscale("log", base=2)
    ax.set_xticks(costs.max_lengths, [f"{length}" for length in costs.max_lengths])
    ax.set_ylim(-0.03, 1.03)
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(frameon=False)
    rows = (
        f"at {length} {cut:.1%} of the tokens are cut and {padding:.1%} of the places are padding"
        for length, cut, padding in zip(costs.max_lengths, costs.cut_tokens, costs.padding, strict=True)
    )
    words = f"What max_length costs on {name}: {'; '.join(rows)}."
    return _finished(ax, f"What max_length costs on {name}", "max_length", "share", words)


def reading_time_figure(seconds: Mapping[int, float], ax: Axes | None = None, *, texts: int) -> Axes:
    """How long the model takes to read the same texts padded to each `max_length`. seconds: by max_length."""
    ax = _axes(ax, (6.4, 3.2))
    bars = ax.bar([f"{length}" for length in seconds], list(seconds.values()), color=WHOLE)
    ax.bar_label(bars, [f"{value:.2g} s" for value in seconds.values()], padding=2)
    ax.margins(y=0.15)
    first, last = min(seconds), max(seconds)
    title = f"{texts} texts: {seconds[last] / seconds[first]:.1f} times as long at {last} as at {first}"
    rows = ", ".join(f"{value:.2g} seconds at {length}" for length, value in seconds.items())
    return _finished(ax, title, "max_length", "seconds to read them all", f"{title}. {rows}.")


def new_words_figure(reviews_read: Sequence[int], new_words: ArrayLike, ax: Axes | None = None) -> Axes:
    """The share of the words in new reviews that were in none of the reviews read so far, (n,) by how many were read."""
    shares = np.asarray(new_words, dtype=np.float64)
    ax = _axes(ax, (6.4, 3.4))
    ax.plot(reviews_read, shares, "-o", color=CUT, markersize=4)
    ax.set_ylim(0, max(0.05, float(shares.max()) * 1.1))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    title = f"After {reviews_read[-1]:,} reviews {shares[-1]:.1%} of the words are still new"
    rows = "; ".join(f"{share:.1%} after {count:,}" for count, share in zip(reviews_read, shares, strict=True))
    words = f"{title}. Share of new words in new reviews: {rows}."
    return _finished(ax, title, "reviews read", "new words in new reviews", words)


def word_effects(effects: Effects, ax: Axes | None = None, *, most: int = 30) -> Axes:
    """Each word as a bar: how far the verdict's probability falls when it is left out; to the left, how far it rises.

    The scale is the same for every text. most: words drawn; of more the strongest, in their order.
    """
    values = np.asarray(effects.effects, dtype=np.float64)
    shown = np.sort(np.argsort(-np.abs(values), kind="stable")[:most])
    ax = _axes(ax, (6.4, 1.3 + 0.27 * len(shown)))
    colours = [WORD_FOR if value >= 0 else WORD_AGAINST for value in values[shown]]
    bars = ax.barh(np.arange(len(shown)), values[shown], color=colours, height=0.75)
    ax.bar_label(bars, [f"{value:+.2f}" for value in values[shown]], padding=3, fontsize=9)
    ax.set_yticks(np.arange(len(shown)), [_plain(_cut_word(effects.words[place])) for place in shown])
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlim(-1.12, 1.12)
    left_out = f" (the strongest {most} of {len(values)} words)" if len(shown) < len(values) else ""
    title = f"{effects.label}, probability {effects.probability:.2f}{left_out}"
    rows = ", ".join(f"{effects.words[place]} {values[place]:+.2f}" for place in shown)
    said = f"{title}. How far the probability falls when a word is left out: {rows}."
    return _finished(ax, title, "left out, the verdict loses (right) or gains (left)", "word", said)


def journey_figure(stations: Sequence[tuple[str, str, str]], ax: Axes | None = None) -> Axes:
    """The stations of a review's way, one below the other: of each its name, what was seen there, and where it is taught."""
    ax = _axes(ax, (6.8, 0.5 + 0.62 * len(stations)))
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_xlim(0, 10)
    ax.set_ylim(len(stations) - 0.45, -0.5)
    ax.set_xticks([])
    ax.set_yticks([])
    box = {"boxstyle": "round,pad=0.35", "facecolor": WHOLE, "edgecolor": "none"}
    for place, (name, seen, lesson) in enumerate(stations):
        ax.text(0.95, place, _plain(name), ha="center", va="center", fontweight="bold", bbox=box)
        ax.text(2.15, place, _plain(_cut_word(seen, 62)), va="center", fontsize=9)
        ax.text(10, place, _plain(lesson), ha="right", va="center", fontsize=9, color=GREY)
    for place in range(len(stations) - 1):
        ax.annotate("", (0.95, place + 0.74), (0.95, place + 0.26), arrowprops={"arrowstyle": "->", "color": GREY})
    rows = (f"{number}. {name}: {seen} ({lesson})" for number, (name, seen, lesson) in enumerate(stations, start=1))
    return _finished(
        ax, "From a review to an explained prediction", "", "", f"The stations of a review. {'; '.join(rows)}."
    )


def _cut_word(word: str, longest: int = 24) -> str:
    return word if len(word) <= longest else f"{word[: longest - 1]}…"


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


# --- thresholds and abstention ------------------------------------------------------------------------------------


def precision_recall_figure(results: Sequence[EvalResult], ax: Axes | None = None) -> Axes:
    """Precision by recall over all thresholds, one line of steps a model, its area (average precision) with its interval.

    A model whose curve is undefined (no positives among the labels) is named with the reason and has no line. Raises
    ValueError without results and for more than two classes.
    """
    from sklearn.metrics import precision_recall_curve

    _check_two_classes(results)
    ax = _axes(ax, (6.0, 5.6))
    labels = []
    for result, colour in zip(results, model_colours(result.name for result in results), strict=True):
        area = score_table(result, metrics=("average_precision",)).average_precision
        labels.append(f"{_named(result)}: average precision {area}")
        precision, recall = ([], [])
        if not math.isnan(area.value):
            precision, recall, _ = precision_recall_curve(result.labels, result.probabilities[:, 1])
        ax.step(recall, precision, where="pre", color=colour, linewidth=2, label=textwrap.fill(_plain(labels[-1]), 44))
    share = float(np.mean(np.concatenate([result.labels for result in results]))) if len(results[0]) else math.nan
    ax.axhline(share, linestyle=":", color=GREY, zorder=1, label=f"chance: the share of positives, {share:.2f}")
    ax.set_ylim(0, 1.04)
    ax.legend(loc="lower left", frameon=False, fontsize=9)
    caption = f"Precision-recall curves, n = {_sizes(results)}, 95% intervals"
    words = f"{caption}. {'; '.join(labels)}. Chance is the share of positives, {share:.2f}."
    return _finished(ax, caption, "recall", "precision", words)


def threshold_figure(result: EvalResult, threshold: float = 0.5, ax: Axes | None = None) -> Axes:
    """Precision, recall and F1 of class 1 when `probability >= t` is called positive, for every t; the chosen one marked.

    The caption gives the three at the threshold. Raises ValueError for more than two classes or no examples.
    """
    _check_two_classes([result])
    if len(result) == 0:
        raise ValueError("a threshold needs examples; found none")
    ax = _axes(ax)
    scores = result.probabilities[:, 1]
    tried = np.unique(np.concatenate([np.linspace(0, 1, 101), scores]))
    said, hits = (
        np.array([values.sum(where=scores >= t) for t in tried]) for values in (np.ones(len(scores)), result.labels)
    )
    positives = float(result.labels.sum())
    precision, recall, f1 = precision_recall_f1_of(hits.astype(float), said, np.full(len(tried), positives))
    lines = {"precision": (precision, "--"), "recall": (recall, ":"), "F1": (f1, "-")}
    for name, (values, line) in lines.items():
        ax.plot(tried, values, linestyle=line, color=model_colours([result.name])[0], label=name)
    ax.axvline(threshold, color="black", linewidth=1)
    ax.set_ylim(-0.02, 1.02)
    ax.legend(frameon=False, loc="lower left")
    chosen = precision_recall_f1(result.labels, scores >= threshold)
    found = f"precision {chosen.precision:.3f}, recall {chosen.recall:.3f}, F1 {chosen.f1:.3f}"
    caption = f"{_named(result)}: at threshold {threshold:.2f} {found}, n = {len(result):,}"
    best = int(f1.argmax())
    words = f"{caption}. The best F1 is {f1[best]:.3f}, at threshold {tried[best]:.3f}."
    return _finished(ax, caption, "threshold on the probability of class 1", "score", words)


def abstention_figure(results: Sequence[EvalResult], ax: Axes | None = None) -> Axes:
    """Accuracy on the examples that a model is surest of, by the share that it answers; Wilson's 95% band.

    Raises ValueError without results or examples.
    """
    if not results or not all(len(result) for result in results):
        raise ValueError("wanted results with examples")
    ax = _axes(ax)
    labels = []
    for result, colour in zip(results, model_colours(result.name for result in results), strict=True):
        curve = abstention_curve(result)
        answered = np.rint(curve.coverage * curve.n).astype(int)
        right = np.rint(curve.accuracy * answered).astype(int)
        bands = [proportion_interval(int(r), int(n)) for r, n in zip(right, answered, strict=True)]
        half, whole = curve.accuracy_at(0.5), curve.accuracy_at(1.0)
        labels.append(f"{_named(result)}: {whole:.3f} on all, {half:.3f} on the surer half")
        ax.fill_between(
            curve.coverage, [b.low for b in bands], [b.high for b in bands], color=colour, alpha=0.15, linewidth=0
        )
        ax.plot(curve.coverage, curve.accuracy, color=colour, label=_plain(labels[-1]))
    ax.set_xlim(0, 1)
    ax.legend(loc="lower left", frameon=False, fontsize=9)
    caption = f"Accuracy where the model is surest, n = {_sizes(results)}, 95% intervals"
    words = f"{caption}. {'; '.join(labels)}."
    return _finished(ax, caption, "share of the examples that it answers", "accuracy on them", words)


def _check_two_classes(results: Sequence[EvalResult]) -> None:
    if not results or any(result.num_classes != 2 for result in results):
        raise ValueError(f"wanted results of two classes; found {[result.num_classes for result in results]}")


def _sizes(results: Sequence[EvalResult]) -> str:
    return ", ".join(f"{size:,}" for size in sorted({len(result) for result in results}))


# --- several runs, several tests, people, behaviour ---------------------------------------------------------------


def repeated_scores(runs: "CrossValidation | SeedSpread", metric: str = "accuracy", ax: Axes | None = None) -> Axes:
    """A metric of each fold or seed with its own interval, and the mean of all; of folds with the corrected interval.

    A run's own interval is the bootstrap's over its test reviews; the band is the corrected one of the mean.
    """
    scores = [getattr(score_table(each.test, metrics=(metric,)), metric) for each in runs.repetitions]
    ax = _axes(ax, (6.4, 1.6 + 0.4 * len(scores)))
    colour = model_colours([runs.name])[0]
    names = [each.label for each in runs.repetitions]
    mean = float(np.mean([score.value for score in scores]))
    caption = f"{runs.name}: {metric} {mean:.3f} in the mean of {len(scores)} runs"
    corrected = getattr(runs, "test", None)
    if corrected is not None:
        test = corrected(metric)
        ax.axvspan(test.mean.low, test.mean.high, color=colour, alpha=0.15, linewidth=0, label="95%, corrected")
        caption = f"{runs.name}: {metric} {test.mean} (95%, corrected), spread {test.spread:.3f} over {test.k} folds"
    ax.axvline(mean, color=colour, linestyle="--", linewidth=1, label="mean")
    _intervals(ax, scores, colour)
    ax.set_yticks(range(len(names)), [_plain(name) for name in names])
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=9, loc="best")
    rows = "; ".join(f"{name} {score}" for name, score in zip(names, scores, strict=True))
    return _finished(ax, caption, f"{metric}, each run with its own 95% interval", "run", f"{caption}. {rows}.")


def false_alarms_figure(alarms: "FalseAlarms", ax: Axes | None = None) -> Axes:
    """How often each test cried wolf, with Wilson's 95% interval, beside the level that it promises."""
    ax = _axes(ax, (6.8, 1.4 + 0.45 * len(alarms.rates)))
    names, rates = list(alarms.rates), list(alarms.rates.values())
    _intervals(ax, rates, "black")
    ax.axvline(alarms.level, color=CUT, linestyle="--", linewidth=1, label=f"promised: {alarms.level:.0%}")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.legend(frameon=False, fontsize=9)
    rows = "; ".join(f"{name} {rate}" for name, rate in alarms.rates.items())
    title = f"False alarms where nothing is better, {alarms.repetitions:,} comparisons each"
    return _finished(ax, title, "share that the test calls significant", "test", f"{title}. {alarms.caption}. {rows}.")


def error_by_agreement_figure(ceiling: "HumanCeiling | NoCeiling", ax: Axes | None = None) -> Axes:
    """The model's error rate by how far people agree, each with Wilson's 95% interval and its number of reviews.

    Where there are no ratings the figure says why, so that a notebook goes on.
    """
    ax = _axes(ax, (6.4, 3.6))
    rows = [row for row in getattr(ceiling, "bins", ()) if row.count]
    if not rows:
        why = str(getattr(ceiling, "why", "no model was given"))
        ax.text(0.5, 0.5, textwrap.fill(_plain(why), 50), ha="center", va="center", transform=ax.transAxes)
        ax.set_xticks([])
        ax.set_yticks([])
        return _finished(ax, "No error by agreement here", "", "", f"No error by agreement here: {why}.")
    name = getattr(ceiling, "name", "") or "model"
    scores = [row.error_rate for row in rows]
    colour = model_colours([name])[0]
    ax.bar(range(len(rows)), [score.value for score in scores], color=colour, alpha=0.35)
    bounds = [[s.value - s.low for s in scores], [s.high - s.value for s in scores]]
    ax.errorbar(
        range(len(rows)), [s.value for s in scores], yerr=bounds, fmt="o", color="black", markersize=4, capsize=3
    )
    ax.set_xticks(range(len(rows)), [f"{row.low:.0%} to {row.high:.0%}\nn = {row.count:,}" for row in rows])
    ax.set_ylim(0, max(0.05, *(min(1.0, score.high * 1.1) for score in scores)))
    caption = f"{name}: error rate by how far people agree, 95% intervals"
    said = "; ".join(
        f"{row.low:.0%} to {row.high:.0%} agreeing: {score} of {row.count:,} reviews"
        for row, score in zip(rows, scores, strict=True)
    )
    return _finished(ax, caption, "people on the majority's side", "error rate", f"{caption}. {said}.")


def behaviour_figure(report: "BehaviourReport", ax: Axes | None = None) -> Axes:
    """The failure rate of each behavioural test, with Wilson's 95% interval and the number of cases."""
    ax = _axes(ax, (6.8, 1.2 + 0.42 * len(report.rows)))
    scores = [row.failure_rate for row in report.rows]
    _intervals(ax, scores, model_colours([report.name])[0])
    names = [f"{row.capability}: {row.name} (n = {row.n})" for row in report.rows]
    ax.set_yticks(range(len(names)), [_plain(name) for name in names])
    ax.invert_yaxis()
    ax.set_xlim(-0.02, 1.02)
    caption = f"{report.name or 'model'}: failure rates by capability, 95% intervals"
    said = "; ".join(
        f"{name}, {row.kind}, {score}" for name, row, score in zip(names, report.rows, scores, strict=True)
    )
    return _finished(ax, caption, "share of the cases that fail", "test", f"{caption}. {said}.")


def _intervals(ax: Axes, scores: Sequence[Score], colour: str) -> None:
    """One row a score: its value as a dot, its interval as a line."""
    values = np.array([score.value for score in scores])
    bounds = np.abs([[s.value - s.low for s in scores], [s.high - s.value for s in scores]])
    ax.errorbar(values, range(len(scores)), xerr=bounds, fmt="o", color=colour, markersize=5, capsize=3)


# --- explanations -------------------------------------------------------------------------------------------------

SHOWN_WORDS = 24  # of a review, in a figure; the strongest are shown


def attribution_bars(attribution: "Attribution", ax: Axes | None = None, *, scale: float | None = None) -> Axes:
    """The words of a review from top to bottom, each with its score as a bar: orange below 0, blue above, 0 in the middle.

    Of a long review the words of the largest magnitude, in their order. scale: the end of the axis on both sides, so that
    several figures share one; the largest magnitude where None.
    """
    from labkit.explanations import METHODS

    scores, places = attribution.word_scores, _strongest(attribution.word_scores)
    ax = _axes(ax, (6.4, 1.3 + 0.26 * max(1, len(places))))
    end = scale or float(np.abs(scores).max(initial=0.0)) or 1.0
    colours = _explaining_colours()
    ax.barh(range(len(places)), scores[places], color=[colours(0.5 + scores[i] / end / 2) for i in places])
    ax.barh(range(len(places)), scores[places], facecolor="none", edgecolor=GREY, linewidth=0.6)
    ax.set_yticks(range(len(places)), [_word(attribution.words[i].text) for i in places])
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlim(-1.05 * end if attribution.is_signed else 0, 1.05 * end)
    left_out = f", {len(scores) - len(places)} weaker words not shown" if len(places) < len(scores) else ""
    caption = f"{attribution.caption}: {attribution.decision}"
    words = f"{caption}. The strongest words: {attribution.in_words(8)}{left_out}."
    unit = METHODS[attribution.method].unit
    xlabel = f"{unit}: orange for negative, blue for positive" if attribution.is_signed else unit
    return _finished(ax, caption, xlabel, "words in their order", words)


def _strongest(scores: FloatArray) -> list[int]:
    """The places of the scores of the largest magnitude, in the order of the text."""
    return sorted(np.argsort(-np.abs(scores), kind="stable")[:SHOWN_WORDS].tolist())


def _word(text: str) -> str:
    """A word as a label: whole, unless it is long, with a box for what the font cannot draw."""
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    shown = text if len(text) <= 20 else text[:19] + "…"
    return _plain("".join(character if font.get_char_index(ord(character)) else "□" for character in shown))


def _explaining_colours() -> "Colormap":
    """From the colour for negative over white at 0 to the colour for positive, the same as where the text is coloured."""
    from matplotlib.colors import LinearSegmentedColormap

    from labkit.explanations import COLOURS

    below, above = ([channel / 255 for channel in COLOURS[sign]] for sign in (-1, 1))
    return LinearSegmentedColormap.from_list("explaining", [below, (1.0, 1.0, 1.0), above])


def attribution_grid(attributions: Sequence["Attribution"], ax: Axes | None = None) -> Axes:
    """One review by several methods: a row a word, a column a method, each as a share of the method's largest score.

    So all columns share the scale from -1 to 1, with 0 white. Raises ValueError without methods, or for more than one text.
    """
    if not attributions or len({one.text for one in attributions}) != 1:
        raise ValueError(
            f"wanted one text by one method or more; found {len({one.text for one in attributions})} texts"
        )
    largest = [float(np.abs(one.word_scores).max(initial=0.0)) or 1.0 for one in attributions]
    shares = np.stack([one.word_scores / end for one, end in zip(attributions, largest, strict=True)], axis=1)
    places = _strongest(np.asarray(np.abs(shares).sum(axis=1)))
    ax = _axes(ax, (1.8 + 0.95 * len(attributions), 2.0 + 0.26 * max(1, len(places))))
    if places:
        ax.pcolormesh(shares[places], cmap=_explaining_colours(), vmin=-1, vmax=1, edgecolors="white")
    ax.invert_yaxis()
    for row, column in np.ndindex(len(places), len(attributions)):
        share = shares[places[row], column]
        ax.text(column + 0.5, row + 0.5, f"{share:+.2f}", ha="center", va="center", fontsize=8)
    first = attributions[0]
    ax.set_yticks(np.arange(len(places)) + 0.5, [_word(first.words[i].text) for i in places])
    names = [one.method for one in attributions]
    ax.set_xticks(np.arange(len(names)) + 0.5, names, rotation=30, ha="right", fontsize=9)
    caption = f"{first.decision}: share of each method's largest score"
    said = "; ".join(f"{one.method}: {one.in_words(3)}" for one in attributions)
    return _finished(ax, caption, "method", "words in their order", f"{caption}. The strongest words of {said}.")


def attention_heatmap(
    attention: "AttentionWeights", layer: int = -1, head: int | None = None, ax: Axes | None = None
) -> Axes:
    """Who looks at whom in one layer: a row is a token that looks, a column one that is looked at; each row sums to 1.

    head: one of them, or None for the mean over all. Raises AttributionError for a layer or head that is not there.
    """
    weights, tokens = attention.of(layer, head), attention.reading.tokens
    side = 1.8 + 0.24 * len(tokens)
    ax = _axes(ax, (min(side + 0.8, 12.0), min(side, 11.2)))
    largest = float(weights.max(initial=0.0))
    ax.pcolormesh(weights, cmap="Blues", vmin=0, vmax=max(largest, 1e-9))
    ax.invert_yaxis()
    shown = [_word(token) for token in tokens]
    ax.set_xticks(np.arange(len(tokens)) + 0.5, shown, rotation=90, fontsize=8)
    ax.set_yticks(np.arange(len(tokens)) + 0.5, shown, fontsize=8)
    special = float(weights[:, attention.reading.is_special].sum(axis=1).mean())
    caption = f"attention, {attention.name(layer, head)}: {special:.0%} goes to special tokens"
    strongest = np.argsort(-weights[0], kind="stable")[:5]
    said = ", ".join(f"{tokens[place]} {weights[0, place]:.2f}" for place in strongest)
    words = f"Heat map of {caption}, in the mean over the tokens. {tokens[0]} looks most at {said}."
    return _finished(ax, caption, f"is looked at (white 0, darkest {largest:.2f})", "looks", words)


def attention_to_special_tokens(attention: "AttentionWeights", ax: Axes | None = None) -> Axes:
    """How much of the attention of the words goes to `[CLS]` and `[SEP]`, by layer (row) and head (column)."""
    special = attention.reading.is_special
    shares = attention.weights[:, :, ~special][..., special].sum(axis=-1)
    shares = shares.mean(axis=-1) if shares.shape[-1] else np.zeros(shares.shape[:2])
    ax = _axes(ax, (1.6 + 0.55 * attention.heads, 1.6 + 0.42 * attention.layers))
    ax.pcolormesh(shares, cmap="Greys", vmin=0, vmax=1, edgecolors="white")
    ax.invert_yaxis()
    for layer, head in np.ndindex(shares.shape):
        ink = "white" if shares[layer, head] > 0.55 else "black"
        ax.text(head + 0.5, layer + 0.5, f"{shares[layer, head]:.0%}", ha="center", va="center", color=ink, fontsize=8)
    ax.set_xticks(np.arange(attention.heads) + 0.5, [str(head) for head in range(attention.heads)])
    ax.set_yticks(np.arange(attention.layers) + 0.5, [str(layer) for layer in range(attention.layers)])
    caption = f"{shares.mean():.0%} of the words' attention goes to special tokens"
    said = "; ".join(f"layer {layer} {row.mean():.0%}" for layer, row in enumerate(shares))
    words = f"Heat map by layer and head: {caption}; in the mean over the heads, {said}."
    return _finished(ax, caption, "head", "layer", words)


def faithfulness_curves(
    found: "Faithfulness", measure: str = "comprehensiveness", replacement: str = "mask", ax: Axes | None = None
) -> Axes:
    """How far the probability falls by the share of the words taken: each method solid, reversed dotted, random grey.

    Raises ValueError where nothing was measured under these names.
    """
    chosen = [row for row in found.rows if (row.measure, row.replacement) == (measure, replacement)]
    if not chosen:
        raise ValueError(f"no {measure} with {replacement} here")
    ax = _axes(ax)
    rows = {method: [row for row in chosen if row.method == method and row.fraction] for method in found.methods}
    fractions = [row.fraction or 0.0 for row in next(iter(rows.values()))]
    for method, line in rows.items():
        colour = METHOD_COLOURS[method]
        ax.plot(fractions, [row.value for row in line], color=colour, marker="o", markersize=4, label=method)
        ax.plot(fractions, [row.reversed for row in line], color=colour, linestyle=":", label=f"{method}, reversed")
    control = [row.random for row in next(iter(rows.values()))]
    ax.plot(fractions, control, color=GREY, linestyle="--", label="random order")
    ax.legend(frameon=False, fontsize=8)
    better = "more" if measure == "comprehensiveness" else "less"
    caption = f"{measure} ({replacement}; {better} is better), n = {found.n:,}"
    means = [row for row in chosen if row.fraction is None]
    said = "; ".join(
        f"{row.method} {row.value:.3f}, random order {row.random:.3f}, difference {row.over_random:+.3f}, reversed "
        f"{row.reversed:.3f}"
        for row in means
    )
    words = f"{caption}. Means over the shares, with 95% intervals: {said}."
    return _finished(ax, caption, "share of the words", "fall of the probability of the predicted class", words)


def randomisation_curves(found: "Randomisation", ax: Axes | None = None) -> Axes:
    """How like the explanations stay to those of the trained model as its weights are shuffled from the head down."""
    ax = _axes(ax)
    stages = list(found.stages)
    for place, method in enumerate(found.methods):
        scores = [row.similarity for row in found.rows if row.method == method]
        values = np.array([score.value for score in scores])
        bounds = np.abs([[s.value - s.low for s in scores], [s.high - s.value for s in scores]])
        shift = 0.06 * (place - (len(found.methods) - 1) / 2)  # so that intervals do not hide one another
        at = np.arange(len(stages)) + shift
        ax.errorbar(at, values, yerr=bounds, color=METHOD_COLOURS[method], marker="o", markersize=4, label=method)
    ax.axhline(0, color=GREY, linestyle=":", linewidth=1)
    ax.set_ylim(top=1.05)
    ax.set_xticks(range(len(stages)), stages, rotation=30, ha="right")
    ax.legend(frameon=False, fontsize=9)
    caption = f"what remains of the explanations when weights are shuffled, n = {found.n:,}, 95% intervals"
    said = "; ".join(f"{row.method}, {row.stage}: {row.similarity}" for row in found.rows)
    return _finished(ax, caption, "shuffled from the head down to", "rank correlation", f"{caption}. {said}.")


def agreement_figure(found: "Agreement", ax: Axes | None = None) -> Axes:
    """The rank correlation of each pair of methods, from -1 (orange) over 0 (white) to 1 (blue)."""
    count = len(found.methods)
    values = np.eye(count)
    for a, b in itertools.combinations(range(count), 2):
        values[a, b] = values[b, a] = found.row(found.methods[a], found.methods[b]).correlation.value
    ax = _axes(ax, (2.4 + 0.85 * count, 1.9 + 0.6 * count))
    ax.pcolormesh(values, cmap=_explaining_colours(), vmin=-1, vmax=1, edgecolors="white")
    ax.invert_yaxis()
    for row, column in np.ndindex(values.shape):
        ax.text(column + 0.5, row + 0.5, f"{values[row, column]:.2f}", ha="center", va="center")
    ax.set_xticks(np.arange(count) + 0.5, found.methods, rotation=30, ha="right")
    ax.set_yticks(np.arange(count) + 0.5, found.methods)
    caption = f"rank correlation of the words between methods, n = {found.n:,}"
    said = "; ".join(
        f"{row.first} and {row.second} {row.correlation}, top {found.top} in common {row.overlap:.2f} "
        f"(by chance {row.chance:.2f})"
        for row in found.rows
    )
    return _finished(ax, caption, "method", "method", f"{caption}, with 95% intervals: {said}.")


# --- training, step by step ---------------------------------------------------------------------------------------


def part_sizes(sizes: Mapping[str, int], ax: Axes | None = None, *, name: str) -> Axes:
    """How many parameters each part of a model has, in the order in which a review passes them. name: the model's."""
    ax = _axes(ax, (6.4, 1.2 + 0.42 * len(sizes)))
    total = sum(sizes.values())
    bars = ax.barh(list(sizes), list(sizes.values()), color=model_colours([name])[0], alpha=0.75)
    said = [f"{size:,} ({size / total:.1%})" for size in sizes.values()]
    ax.bar_label(bars, said, padding=4)
    _rows_from_top(ax)
    ax.margins(x=0.32)
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count / 1e6:g} M" if count else "0"))
    rows = ", ".join(f"{part} {size}" for part, size in zip(sizes, said, strict=True))
    title = f"{name}: {total:,} parameters"
    return _finished(ax, title, "parameters", "", f"{title}, by part: {rows}.")


def _rows_from_top(ax: Axes) -> None:
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)


def loss_by_step(losses: Mapping[str, Sequence[float]], ax: Axes | None = None, *, window: int = 10) -> Axes:
    """Training loss by optimizer step, one line a run: at each step the mean of the last `window`. losses: by the run's name.

    Raises ValueError for a run without a step.
    """
    if not losses or not all(map(len, losses.values())):
        raise ValueError(f"wanted at least one step of each run; found {[len(run) for run in losses.values()]}")
    ax = _axes(ax, (6.4, 3.6))
    rows = []
    for (name, run), colour in zip(losses.items(), model_colours(losses), strict=True):
        means = [math.fsum(run[max(0, end - window) : end]) / min(window, end) for end in range(1, len(run) + 1)]
        ax.plot(np.arange(1, len(run) + 1), means, "--", color=colour, label=_plain(name))
        rows.append(f"{name} goes from {means[0]:.3f} to {means[-1]:.3f} in {len(run)} steps")
    ax.legend(frameon=False)
    title = f"Training loss, mean of the last {window} steps"
    return _finished(ax, title, "optimizer step", "loss per example", f"{title}: {'; '.join(rows)}.")


def gradient_differences(
    differences: Mapping[str, float], ax: Axes | None = None, *, rounding: float = 1e-5, against: str
) -> Axes:
    """How far gradients computed in other ways lie from those of `against`, on a logarithmic scale.

    differences: as `gradient_difference` measures them, by way. rounding: what lies below counts as rounding. A difference
    of 0 is drawn at the left edge.
    """
    ax = _axes(ax, (6.4, 1.2 + 0.42 * len(differences)))
    values = np.array(list(differences.values()))
    left = min(1e-8, *(value / 10 for value in values[values > 0]))
    colours = [CUT if value > rounding else WHOLE for value in values]
    bars = ax.barh(list(differences), np.maximum(values, left), color=colours)
    ax.bar_label(bars, [f"{value:.1e}" for value in values], padding=4)
    ax.axvline(rounding, linestyle="--", color="black", label="below this line it is rounding")
    ax.set_xscale("log")
    ax.set_xlim(left, max(10.0, float(values.max()) * 30))
    _rows_from_top(ax)
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.28))
    rows = ", ".join(f"{way} {value:.1e}" for way, value in differences.items())
    title = f"How far the gradients lie from those of {against}"
    words = f"{title}: {rows}. Below {rounding:.0e} it is rounding."
    return _finished(ax, title, "largest difference, relative to the tensor's largest number", "", words)


def gradient_sizes_figure(gradients: Sizes, ax: Axes | None = None, *, scale: float = 2.0**16) -> Axes:
    """How large the numbers are that flow back through a model, as they are and times `scale`, over what fp16 can hold.

    Raises ValueError when there are none.
    """
    if not len(gradients.sizes):
        raise ValueError("nothing flows back: wanted at least one number that is not zero")
    ax = _axes(ax, (6.4, 3.8))
    exponents = np.log2(gradients.sizes)
    low, high = math.floor(exponents.min()), math.ceil(exponents.max() + math.log2(scale)) + 1
    edges = np.arange(low, high + 1)
    ax.axvspan(-25, 16, color=WHOLE, alpha=0.3, label="what fp16 can hold")
    rows = []
    for factor, name, line in ((1.0, "as they are", "--"), (scale, f"times {scale:,.0f}", "-")):
        counts = np.histogram(exponents + math.log2(factor), edges)[0] / len(exponents)
        lost = gradients.lost_in_fp16(factor)
        rows.append(f"{name}, {lost:.2%} of them become 0 in fp16")
        ax.stairs(counts, edges, color=UNNAMED, linestyle=line, label=f"{name}: {lost:.2%} become 0")
    ax.set_xlim(max(low, -60), max(high, 20))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda exponent, _: f"$2^{{{exponent:.0f}}}$"))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.18))
    middle = 2.0 ** float(np.median(exponents))
    title = f"{len(exponents):,} numbers that flow back, the middle one {middle:.0e}"
    words = f"Histogram of {title}, over the range of fp16, 2^-25 to 2^16: {'; '.join(rows)}."
    return _finished(ax, title, "magnitude", "share of the numbers", words)


def accuracy_intervals(results: Sequence[EvalResult], ax: Axes | None = None, *, chance: float | None = None) -> Axes:
    """Accuracy of several models on the same examples, each with Wilson's 95% interval. chance: of the majority class.

    Raises ValueError without results, and where they are of different examples.
    """
    if not results or any(not np.array_equal(result.labels, results[0].labels) for result in results):
        raise ValueError("wanted at least one result, all of the same examples")
    ax = _axes(ax, (6.4, 1.4 + 0.5 * len(results)))
    rows = []
    for place, (result, colour) in enumerate(
        zip(results, model_colours(result.name for result in results), strict=True)
    ):
        accuracy = proportion_interval(int(result.correct.sum()), len(result))
        bounds = [[accuracy.value - accuracy.low], [accuracy.high - accuracy.value]]
        ax.errorbar(accuracy.value, place, xerr=bounds, fmt="o", color=colour, markersize=7, capsize=4)
        ax.annotate(f"{accuracy.value:.3f}", (accuracy.value, place), (0, 8), textcoords="offset points", ha="center")
        rows.append(f"{result.name} {accuracy}")
    if chance is not None:
        ax.axvline(chance, linestyle=":", color=GREY, label=f"always the same label: {chance:.3f}")
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.25))
    ax.set_yticks(np.arange(len(results)), [_plain(result.name) for result in results])
    ax.set_ylim(-0.6, len(results) - 0.4)
    _rows_from_top(ax)
    title = f"Accuracy with 95% intervals, n = {len(results[0]):,}"
    above = "" if chance is None else f" Always the same label gives {chance:.3f}."
    return _finished(ax, title, "accuracy", "", f"{title}: {'; '.join(rows)}.{above}")

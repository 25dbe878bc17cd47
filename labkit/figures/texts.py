"""Figures of texts before any training: lengths, ratings, words, batches."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike

from labkit.evaluation.arrays import FloatArray
from labkit.evaluation.intervals import proportion_interval

if TYPE_CHECKING:
    pass

from labkit.figures.drawing import CUT, GREY, MODEL_COLOURS, WHOLE, axes_or_new, cut_word, finished, plain_text

NEGATIVE, NEUTRAL, POSITIVE = "#b2182b", "#bdbdbd", "#2166ac"  # of ratings


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


def review_lengths(lengths: ArrayLike, max_length: int, ax: Axes | None = None) -> Axes:
    """Draw how long the reviews are in tokens, and what `max_length` cuts.

    The share that is cut has Wilson's 95% interval. lengths: (n,) tokens of each review before truncation. Raises
    ValueError when there are none.
    """
    tokens = np.asarray(lengths)
    if tokens.ndim != 1 or len(tokens) == 0:
        raise ValueError(f"lengths must be (n,) with n >= 1; found shape {tokens.shape}")
    ax = axes_or_new(ax)
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
    return finished(ax, caption, "tokens of the review, special ones included", "reviews", words)


def rating_histogram(ratings: ArrayLike, ax: Axes | None = None, *, neutral_band: float) -> Axes:
    """Draw the mean ratings of texts: negative, in the neutral band, positive.

    These are the labels that they get. ratings: (n,) in [-4, 4]. Raises ValueError when there are none.
    """
    means = np.asarray(ratings, dtype=np.float64)
    if means.ndim != 1 or len(means) == 0:
        raise ValueError(f"ratings must be (n,) with n >= 1; found shape {means.shape}")
    ax = axes_or_new(ax, (6.4, 3.8))
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
    return finished(ax, title, "mean rating", "texts", words)


def _hills(heights: FloatArray) -> str:
    """Say where a histogram over [-4, 4] is highest and lowest.

    Its highest bar on either side of 0, and the lowest between those two.
    """
    middles = np.linspace(-4, 4, 2 * len(heights) + 1)[1::2]
    half = len(heights) // 2
    left, right = int(np.argmax(heights[:half])), half + int(np.argmax(heights[half:]))
    valley = left + int(np.argmin(heights[left : right + 1]))
    return (
        f"The highest bars are at {middles[left]:+.1f} ({heights[left]:,.0f} texts) and {middles[right]:+.1f} "
        f"({heights[right]:,.0f}); between them the lowest is at {middles[valley]:+.1f} ({heights[valley]:,.0f})."
    )


def rater_votes(ratings: Sequence[int], ax: Axes | None = None, *, text: str) -> Axes:
    """Draw how the people voted who rated one text, and their mean.

    The single ratings are whole numbers from -4 to 4.
    """
    if len(ratings) == 0:
        raise ValueError("nobody rated this text; wanted at least one rating")
    ax = axes_or_new(ax, (6.4, 2.6))
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
    return finished(ax, textwrap.shorten(text, 150, placeholder=" …"), "rating", "people", words)


def rater_agreement_figure(
    ratings: ArrayLike, agreement: ArrayLike, ax: Axes | None = None, *, neutral_band: float
) -> Axes:
    """Draw what share of the people side with the mean, by the mean.

    Texts are grouped by mean rating, half a point each. ratings: (n,) in [-4, 4]. agreement: (n,) in [0, 1]. The dashed
    lines are the edges of the neutral band.
    """
    means, shares = np.asarray(ratings, dtype=np.float64), np.asarray(agreement, dtype=np.float64)
    ax = axes_or_new(ax, (6.4, 3.6))
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
    return finished(ax, title, "mean rating", "share of the people", f"{title}. By mean rating: {rows}.")


def padding_waste_figure(waste: Mapping[str, float], ax: Axes | None = None) -> Axes:
    """Draw which of the places that a model computes hold tokens, and which padding.

    waste: the share in [0, 1] by way of batching.
    """
    ax = axes_or_new(ax, (6.4, 1.5 + 0.4 * len(waste)))
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
    return finished(ax, "What padding fills, by way of batching", "share of all places", "", words)


def batching_costs_figure(
    places: Mapping[str, int], seconds: Mapping[str, float], ax: Axes | None = None, *, name: str
) -> Axes:
    """Draw places computed and seconds taken for the same reviews, by batching.

    Each is a share of the first way's. name: of the model. Raises ValueError where places and seconds name different ways.
    """
    if list(places) != list(seconds):
        raise ValueError(f"places of {', '.join(places)} and seconds of {', '.join(seconds)}; wanted the same ways")
    ax = axes_or_new(ax, (6.4, 1.3 + 0.7 * len(places)))
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
    return finished(ax, title, f"share of what {ways[0]} costs", "", f"{title}. {rows}.")


def length_costs_figure(costs: Costs, ax: Axes | None = None, *, name: str = "reviews") -> Axes:
    """Draw what each `max_length` costs: tokens cut, and places padded."""
    ax = axes_or_new(ax, (6.4, 3.6))
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
    return finished(ax, f"What max_length costs on {name}", "max_length", "share", words)


def reading_time_figure(seconds: Mapping[int, float], ax: Axes | None = None, *, texts: int) -> Axes:
    """Draw how long the model reads the same texts padded to each `max_length`.

    seconds: by max_length.
    """
    ax = axes_or_new(ax, (6.4, 3.2))
    bars = ax.bar([f"{length}" for length in seconds], list(seconds.values()), color=WHOLE)
    ax.bar_label(bars, [f"{value:.2g} s" for value in seconds.values()], padding=2)
    ax.margins(y=0.15)
    first, last = min(seconds), max(seconds)
    title = f"{texts} texts: {seconds[last] / seconds[first]:.1f} times as long at {last} as at {first}"
    rows = ", ".join(f"{value:.2g} seconds at {length}" for length, value in seconds.items())
    return finished(ax, title, "max_length", "seconds to read them all", f"{title}. {rows}.")


def new_words_figure(reviews_read: Sequence[int], new_words: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw the share of new words in new reviews, by how many were read.

    (n,): the words that were in none of the reviews read so far.
    """
    shares = np.asarray(new_words, dtype=np.float64)
    ax = axes_or_new(ax, (6.4, 3.4))
    ax.plot(reviews_read, shares, "-o", color=CUT, markersize=4)
    ax.set_ylim(0, max(0.05, float(shares.max()) * 1.1))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    title = f"After {reviews_read[-1]:,} reviews {shares[-1]:.1%} of the words are still new"
    rows = "; ".join(f"{share:.1%} after {count:,}" for count, share in zip(reviews_read, shares, strict=True))
    words = f"{title}. Share of new words in new reviews: {rows}."
    return finished(ax, title, "reviews read", "new words in new reviews", words)


def journey_figure(stations: Sequence[tuple[str, str, str]], ax: Axes | None = None) -> Axes:
    """Draw the stations of a review's way, one below the other.

    Of each its name, what was seen there, and where it is taught.
    """
    ax = axes_or_new(ax, (6.8, 0.5 + 0.62 * len(stations)))
    ax.spines[["left", "bottom"]].set_visible(False)
    ax.set_xlim(0, 10)
    ax.set_ylim(len(stations) - 0.45, -0.5)
    ax.set_xticks([])
    ax.set_yticks([])
    box = {"boxstyle": "round,pad=0.35", "facecolor": WHOLE, "edgecolor": "none"}
    for place, (name, seen, lesson) in enumerate(stations):
        ax.text(0.95, place, plain_text(name), ha="center", va="center", fontweight="bold", bbox=box)
        ax.text(2.15, place, plain_text(cut_word(seen, 62)), va="center", fontsize=9)
        ax.text(10, place, plain_text(lesson), ha="right", va="center", fontsize=9, color=GREY)
    for place in range(len(stations) - 1):
        ax.annotate("", (0.95, place + 0.74), (0.95, place + 0.26), arrowprops={"arrowstyle": "->", "color": GREY})
    rows = (f"{number}. {name}: {seen} ({lesson})" for number, (name, seen, lesson) in enumerate(stations, start=1))
    return finished(
        ax, "From a review to an explained prediction", "", "", f"The stations of a review. {'; '.join(rows)}."
    )


def _length_edges(longest: int, max_length: int) -> FloatArray:
    """Make at most about 50 equal bins with an edge just above max_length.

    So no bin holds both what is cut and what is not.
    """
    width = max(1, math.ceil(max(longest, max_length) / 50))
    start = (max_length % width) - width + 0.5
    return np.arange(start, max(longest, max_length) + width + 0.5, width)

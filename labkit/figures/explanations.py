"""Figures of explanations: which words count, attention, and faithfulness."""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from labkit.evaluation.arrays import FloatArray
from labkit.explanation.registry import METHODS

if TYPE_CHECKING:
    from matplotlib.colors import Colormap

    from labkit.explanation.agreement import Agreement
    from labkit.explanation.attention import AttentionWeights
    from labkit.explanation.attribution import Attribution
    from labkit.explanation.faithfulness import Faithfulness
    from labkit.explanation.randomisation import Randomisation

from labkit.figures.drawing import GREY, axes_or_new, cut_word, finished, ink_on, plain_text

METHOD_COLOURS = {name: method.colour for name, method in METHODS.items()}
WORD_FOR, WORD_AGAINST = "#2166ac", "#b2182b"  # what a word does for the verdict


class Effects(Protocol):
    """What `word_effects` reads: a verdict, and what each word does for it.

    effects: the drop in its probability without each word, (words,) in [-1, 1].
    """

    @property
    def label(self) -> str: ...

    @property
    def probability(self) -> float: ...

    @property
    def words(self) -> Sequence[str]: ...

    @property
    def effects(self) -> FloatArray: ...


def word_effects(effects: Effects, ax: Axes | None = None, *, most: int = 30) -> Axes:
    """Draw each word as a bar: the drop in the verdict's probability without it.

    Bars to the left are words without which it rises. The scale is the same for every text. most: words drawn; of more the
    strongest, in their order.
    """
    values = np.asarray(effects.effects, dtype=np.float64)
    shown = np.sort(np.argsort(-np.abs(values), kind="stable")[:most])
    ax = axes_or_new(ax, (6.4, 1.3 + 0.27 * len(shown)))
    colours = [WORD_FOR if value >= 0 else WORD_AGAINST for value in values[shown]]
    bars = ax.barh(np.arange(len(shown)), values[shown], color=colours, height=0.75)
    ax.bar_label(bars, [f"{value:+.2f}" for value in values[shown]], padding=3, fontsize=9)
    ax.set_yticks(np.arange(len(shown)), [plain_text(cut_word(effects.words[place])) for place in shown])
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_xlim(-1.12, 1.12)
    left_out = f" (the strongest {most} of {len(values)} words)" if len(shown) < len(values) else ""
    title = f"{effects.label}, probability {effects.probability:.2f}{left_out}"
    rows = ", ".join(f"{effects.words[place]} {values[place]:+.2f}" for place in shown)
    said = f"{title}. How far the probability falls when a word is left out: {rows}."
    return finished(ax, title, "left out, the verdict loses (right) or gains (left)", "word", said)


SHOWN_WORDS = 24  # of a review, in a figure; the strongest are shown


def attribution_bars(attribution: "Attribution", ax: Axes | None = None, *, scale: float | None = None) -> Axes:
    """Draw the words of a review from top to bottom, each score as a bar.

    Orange is below 0, blue above, 0 in the middle. Of a long review the words of the largest magnitude, in their order.
    scale: the end of the axis on both sides, so that several figures share one; the largest magnitude where None.
    """
    scores, places = attribution.word_scores, _strongest(attribution.word_scores)
    ax = axes_or_new(ax, (6.4, 1.3 + 0.26 * max(1, len(places))))
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
    xlabel = attribution.unit + ": orange for negative, blue for positive" * attribution.is_signed
    return finished(ax, caption, xlabel, "words in their order", words)


def _strongest(scores: FloatArray) -> list[int]:
    """Find the places of the strongest scores, in the order of the text.

    The strongest are of the largest magnitude.
    """
    return sorted(np.argsort(-np.abs(scores), kind="stable")[:SHOWN_WORDS].tolist())


def _word(text: str) -> str:
    """Label a word: whole, unless it is long.

    What the font cannot draw is a box.
    """
    from matplotlib.font_manager import findfont, get_font

    font = get_font(findfont("DejaVu Sans"))
    shown = text if len(text) <= 20 else text[:19] + "…"
    return plain_text("".join(character if font.get_char_index(ord(character)) else "□" for character in shown))


def _explaining_colours() -> "Colormap":
    """Make the colour map from negative over white at 0 to positive.

    The colours are those of a coloured text.
    """
    from matplotlib.colors import LinearSegmentedColormap

    from labkit.explanation.attribution import COLOURS

    below, above = ([channel / 255 for channel in COLOURS[sign]] for sign in (-1, 1))
    return LinearSegmentedColormap.from_list("explaining", [below, (1.0, 1.0, 1.0), above])


def attribution_grid(attributions: Sequence["Attribution"], ax: Axes | None = None) -> Axes:
    """Draw one review by several methods: a row a word, a column a method.

    Each score is a share of its method's largest. So all columns share the scale from -1 to 1, with 0 white; methods
    without a sign are grey. Raises ValueError without methods, or for more than one text.
    """
    if not attributions or len({one.text for one in attributions}) != 1:
        raise ValueError(
            f"wanted one text by one method or more; found {len({one.text for one in attributions})} texts"
        )
    largest = [float(np.abs(one.word_scores).max(initial=0.0)) or 1.0 for one in attributions]
    shares = np.stack([one.word_scores / end for one, end in zip(attributions, largest, strict=True)], axis=1)
    places = _strongest(np.asarray(np.abs(shares).sum(axis=1)))
    ax = axes_or_new(ax, (1.8 + 0.95 * len(attributions), 2.0 + 0.26 * max(1, len(places))))
    is_signed = np.array([one.is_signed for one in attributions])
    looks = (True, _explaining_colours(), -1.0, 1.0), (False, "Greys", 0.0, 1.6)
    meshes = {}
    for signed, colours, low, high in looks:
        columns = is_signed == signed
        if places and columns.any():
            shown = np.ma.masked_array(shares[places], mask=np.tile(~columns, (len(places), 1)))
            meshes[signed] = ax.pcolormesh(shown, cmap=colours, vmin=low, vmax=high, edgecolors="white")
    ax.invert_yaxis()
    for row, column in np.ndindex(len(places), len(attributions)):
        share = shares[places[row], column]
        number = f"{share:+.2f}" if is_signed[column] else f"{share:.2f}"
        ink = ink_on(meshes[bool(is_signed[column])].to_rgba(share))
        ax.text(column + 0.5, row + 0.5, number, ha="center", va="center", color=ink, fontsize=8)
    first = attributions[0]
    ax.set_yticks(np.arange(len(places)) + 0.5, [_word(first.words[i].text) for i in places])
    names = [one.method for one in attributions]
    ax.set_xticks(np.arange(len(names)) + 0.5, names, rotation=30, ha="right", fontsize=9)
    caption = f"{first.decision}: share of each method's largest score"
    said = "; ".join(f"{one.method}: {one.in_words(3)}" for one in attributions)
    xlabel = "method" if is_signed.all() else "method (grey: without a sign)"
    return finished(ax, caption, xlabel, "words in their order", f"{caption}. The strongest words of {said}.")


def margin_along_path(shares: ArrayLike, margins: ArrayLike, ax: Axes | None = None) -> Axes:
    """Draw the margin on the straight line from baseline (0) to review (1).

    With two slopes. The mean slope is what integrated gradients use, the slope at the end what one gradient at the review
    sees. shares, margins: (points,), shares rising from 0 to 1. Raises ValueError for others.
    """
    way, values = (np.asarray(each, dtype=np.float64) for each in (shares, margins))
    if way.shape != values.shape or way.ndim != 1 or len(way) < 2 or way[0] != 0 or way[-1] != 1:
        raise ValueError(f"wanted one margin a share, shares from 0 to 1; found shapes {way.shape} and {values.shape}")
    mean, last = values[-1] - values[0], (values[-1] - values[-2]) / (way[-1] - way[-2])
    ax = axes_or_new(ax)
    ax.plot(way, values, color="black", label="the margin")
    names = (("integrated-gradients", mean, 0.0, "mean slope"), ("gradient-x-input", last, 0.6, "slope at the review"))
    for method, slope, start, name in names:
        part = np.array([start, 1.0])
        line = values[-1] + slope * (part - 1)
        ax.plot(part, line, color=METHODS[method].colour, linestyle="--", label=f"{name}: {slope:+.2f}")
    ax.axhline(0, color=GREY, linestyle=":", linewidth=1)
    ax.legend(frameon=False, fontsize=9)
    caption = f"From nothing ({values[0]:+.2f}) to the review ({values[-1]:+.2f})"
    quarters = ", ".join(f"{np.interp(at, way, values):+.2f} at {at}" for at in (0.25, 0.5, 0.75))
    words = f"{caption}: the margin is {quarters} of the way. Mean slope {mean:+.2f}, slope at the review {last:+.2f}."
    return finished(ax, caption, "share of the way from [PAD] to the review's embeddings", "margin (logits)", words)


def attention_heatmap(
    attention: "AttentionWeights", layer: int = -1, head: int | None = None, ax: Axes | None = None
) -> Axes:
    """Draw who looks at whom in one layer.

    A row is a token that looks, a column one that is looked at; each row sums to 1. head: one of them, or None for the mean
    over all. Raises AttributionError for a layer or head that is not there.
    """
    weights, tokens = attention.of(layer, head), attention.reading.tokens
    side = 1.8 + 0.24 * len(tokens)
    ax = axes_or_new(ax, (min(side + 0.8, 12.0), min(side, 11.2)))
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
    return finished(ax, caption, f"is looked at (white 0, darkest {largest:.2f})", "looks", words)


def attention_to_special_tokens(attention: "AttentionWeights", ax: Axes | None = None) -> Axes:
    """Draw how much of the words' attention goes to `[CLS]` and `[SEP]`.

    By layer (row) and head (column).
    """
    special = attention.reading.is_special
    shares = attention.weights[:, :, ~special][..., special].sum(axis=-1)
    shares = shares.mean(axis=-1) if shares.shape[-1] else np.zeros(shares.shape[:2])
    ax = axes_or_new(ax, (1.6 + 0.55 * attention.heads, 1.6 + 0.42 * attention.layers))
    mesh = ax.pcolormesh(shares, cmap="Greys", vmin=0, vmax=1, edgecolors="white")
    ax.invert_yaxis()
    for layer, head in np.ndindex(shares.shape):
        ink = ink_on(mesh.to_rgba(shares[layer, head]))
        ax.text(head + 0.5, layer + 0.5, f"{shares[layer, head]:.0%}", ha="center", va="center", color=ink, fontsize=8)
    ax.set_xticks(np.arange(attention.heads) + 0.5, [str(head) for head in range(attention.heads)])
    ax.set_yticks(np.arange(attention.layers) + 0.5, [str(layer) for layer in range(attention.layers)])
    caption = f"{shares.mean():.0%} of the words' attention goes to special tokens"
    said = "; ".join(f"layer {layer} {row.mean():.0%}" for layer, row in enumerate(shares))
    words = f"Heat map by layer and head: {caption}; in the mean over the heads, {said}."
    return finished(ax, caption, "head", "layer", words)


def faithfulness_curves(
    found: "Faithfulness", measure: str = "comprehensiveness", replacement: str = "mask", ax: Axes | None = None
) -> Axes:
    """Draw the drop in probability by the share of the words taken.

    Each method is solid, its reversed order dotted, the random order grey. Raises ValueError where nothing was measured
    under these names.
    """
    chosen = [row for row in found.rows if (row.measure, row.replacement) == (measure, replacement)]
    if not chosen:
        raise ValueError(f"no {measure} with {replacement} here")
    ax = axes_or_new(ax, (7.6, 4.4))
    rows = {method: [row for row in chosen if row.method == method and row.fraction] for method in found.methods}
    fractions = [row.fraction or 0.0 for row in next(iter(rows.values()))]
    for method, line in rows.items():
        colour = METHODS[method].colour
        ax.plot(fractions, [row.value for row in line], color=colour, marker="o", markersize=4, label=method)
        backwards = [row.reversed for row in line]
        ax.plot(fractions, backwards, color=colour, linestyle=":", label=f"_{method}, reversed")  # not in the legend
    control = [row.random for row in next(iter(rows.values()))]
    ax.plot(fractions, control, color=GREY, linestyle="--", label="random order")
    ax.plot([], [], color="black", linestyle=":", label="the least important first")
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    better = "more" if measure == "comprehensiveness" else "less"
    caption = f"{measure} ({replacement}; {better} is better), n = {found.n:,}"
    means = [row for row in chosen if row.fraction is None]
    said = "; ".join(
        f"{row.method} {row.value:.3f}, random order {row.random:.3f}, difference {row.drop_vs_random:+.3f}, reversed "
        f"{row.reversed:.3f}"
        for row in means
    )
    words = f"{caption}. Means over the shares, with 95% intervals: {said}."
    return finished(ax, caption, "share of the words", "drop in the probability of the predicted class", words)


def randomisation_curves(found: "Randomisation", ax: Axes | None = None) -> Axes:
    """Draw how alike explanations stay as weights are shuffled from the head down.

    They are compared with those of the trained model.
    """
    ax = axes_or_new(ax)
    stages = list(found.stages)
    for place, method in enumerate(found.methods):
        scores = [row.similarity for row in found.rows if row.method == method]
        values = np.array([score.value for score in scores])
        bounds = np.abs([[s.value - s.low for s in scores], [s.high - s.value for s in scores]])
        shift = 0.06 * (place - (len(found.methods) - 1) / 2)  # so that intervals do not hide one another
        at = np.arange(len(stages)) + shift
        ax.errorbar(at, values, yerr=bounds, color=METHODS[method].colour, marker="o", markersize=4, label=method)
    ax.axhline(0, color=GREY, linestyle=":", linewidth=1)
    ax.set_ylim(top=1.05)
    ax.set_xticks(range(len(stages)), stages, rotation=30, ha="right")
    ax.legend(frameon=False, fontsize=9)
    caption = f"what remains of the explanations when weights are shuffled, n = {found.n:,}, 95% intervals"
    said = "; ".join(f"{row.method}, {row.stage}: {row.similarity}" for row in found.rows)
    return finished(ax, caption, "shuffled from the head down to", "rank correlation", f"{caption}. {said}.")


def agreement_figure(found: "Agreement", ax: Axes | None = None) -> Axes:
    """Draw the rank correlation of each pair of methods.

    From -1 (orange) over 0 (white) to 1 (blue).
    """
    count = len(found.methods)
    values = np.eye(count)
    for a, b in itertools.combinations(range(count), 2):
        values[a, b] = values[b, a] = found.row(found.methods[a], found.methods[b]).correlation.value
    ax = axes_or_new(ax, (2.4 + 0.85 * count, 1.9 + 0.6 * count))
    mesh = ax.pcolormesh(values, cmap=_explaining_colours(), vmin=-1, vmax=1, edgecolors="white")
    ax.invert_yaxis()
    for row, column in np.ndindex(values.shape):
        ink = ink_on(mesh.to_rgba(values[row, column]))
        ax.text(column + 0.5, row + 0.5, f"{values[row, column]:.2f}", ha="center", va="center", color=ink)
    ax.set_xticks(np.arange(count) + 0.5, found.methods, rotation=30, ha="right")
    ax.set_yticks(np.arange(count) + 0.5, found.methods)
    caption = f"rank correlation of the words between methods, n = {found.n:,}"
    said = "; ".join(
        f"{row.first} and {row.second} {row.correlation}, top {found.top} in common {row.overlap:.2f} "
        f"(by chance {row.chance:.2f})"
        for row in found.rows
    )
    return finished(ax, caption, "method", "method", f"{caption}, with 95% intervals: {said}.")

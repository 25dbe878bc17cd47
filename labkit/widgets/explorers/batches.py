"""The batch explorer: reviews as bars in their batches, and what padding wastes.

In each of the four ways of batching. Plans and measures with batching.py; draws only.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from labkit.data.batching import BATCHINGS, padding_waste, plan_epoch
from labkit.errors import UsageError
from labkit.figures import ALT_TEXT, GREY, WHOLE, ShownAxes, to_html
from labkit.widgets.interactive import Interactive, Picture, choice_buttons, explorer, labelled

SHOWN_BARS = 40  # reviews drawn; the waste is measured on all
ABOUT = {
    "fixed": "every review is padded to max_length",
    "dynamic": "each batch is padded to its longest review",
    "buckets": "reviews of nearly one length share a batch, padded to its longest",
    "packed": "the reviews of a batch lie end to end, nothing is padded",
}


@dataclass(frozen=True)
class BatchBars:
    """Batches to draw: the lengths of their reviews in tokens, and their widths.

    A batch's rows are padded to its width. batches: the first few. total: how many batches there are. waste: by way of
    batching, over all of them.
    """

    batching: str
    batches: Sequence[tuple[Sequence[int], int]]
    total: int
    waste: Mapping[str, float]
    max_length: int

    def __str__(self) -> str:
        others = ", ".join(f"{name} {share:.1%}" for name, share in self.waste.items())
        lengths, width = self.batches[0]
        first = (
            f"The first of {self.total} batches holds {len(lengths)} reviews of {min(lengths)} to {max(lengths)} tokens"
        )
        where = "end to end" if self.batching == "packed" else f"each padded to {width}"
        return (
            f"{self.batching}: {ABOUT[self.batching]}. {first}, {where}. "
            f"Padding wastes {self.waste[self.batching]:.1%} of all places ({others})."
        )


def batch_bars(lengths: ArrayLike, batching: str, batch_size: int, max_length: int = 128, seed: int = 0) -> BatchBars:
    """Plan the batches of one epoch as bars, with the padding waste of all four ways.

    lengths: (n,) tokens of each review; longer ones are cut to max_length. Raises UsageError without reviews.
    """
    known = np.minimum(np.asarray(lengths, dtype=np.int64), max_length)
    if known.ndim != 1 or len(known) == 0:
        raise UsageError(f"wanted the lengths of at least one review; found an array of shape {known.shape}")
    plans = {name: plan_epoch(known, batch_size, name, seed) for name in BATCHINGS}
    plan = plans[batching]
    shown = plan[: max(1, SHOWN_BARS // batch_size)]
    rows = [known[batch].tolist() for batch in shown]
    return BatchBars(
        batching,
        [(row, max_length if batching == "fixed" else max(row)) for row in rows],
        len(plan),
        {name: padding_waste(known, plans[name], name, max_length) for name in BATCHINGS},
        max_length,
    )


def batch_figure(record: BatchBars, ax: Axes | None = None) -> Axes:
    """Draw reviews as bars, tokens filled and padding hatched, batches apart.

    Packed batches are one row each.
    """
    if ax is None:
        ax = Figure(figsize=(6.4, 4.4), layout="constrained").add_subplot(axes_class=ShownAxes)
    ax.spines[["top", "right"]].set_visible(False)
    draw = _draw_packed if record.batching == "packed" else _draw_padded
    places = draw(ax, record)
    ax.set_yticks(places, [f"batch {number}" for number in range(1, len(places) + 1)])
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.set_xlabel("tokens")
    waste = f"{record.waste[record.batching]:.1%}"
    ax.set_title(f"{record.batching}: padding wastes {waste} of all places", fontsize=11, loc="left")
    setattr(ax, ALT_TEXT, f"Bars of {sum(len(row) for row, _ in record.batches)} reviews. {record}")
    return ax


def _draw_padded(ax: Axes, record: BatchBars) -> list[float]:
    """Draw one bar a review; returns the middle of each batch."""
    top, middles = 0.0, []
    ax.set_xlim(0, record.max_length)
    for lengths, width in record.batches:
        rows = top + np.arange(len(lengths))
        ax.barh(rows, lengths, height=0.9, color=WHOLE, label="tokens" if top == 0 else None)
        padding = width - np.asarray(lengths)
        label = "padding" if top == 0 else None
        ax.barh(
            rows, padding, 0.9, lengths, facecolor="white", edgecolor=GREY, hatch="////", linewidth=0.4, label=label
        )
        middles.append(float(rows.mean()))
        top += len(lengths) + 1
    ax.legend(frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 1.08), fontsize=9)
    return middles


def _draw_packed(ax: Axes, record: BatchBars) -> list[float]:
    """Draw one bar a batch, its reviews in it end to end; returns the bars' places.

    A white line stands between two reviews.
    """
    for place, (lengths, _) in enumerate(record.batches):
        starts = np.cumsum([0, *lengths[:-1]])
        ax.barh(place, lengths, 0.7, starts, color=WHOLE, edgecolor="white", linewidth=1.2)
    return [float(place) for place in range(len(record.batches))]


def batch_explorer(lengths: ArrayLike, batch_size: int = 8, max_length: int = 128) -> Interactive:
    """Explore batches by way of batching, batch size and order of reviews.

    Reviews are bars in their batches, and the waste is seen. lengths: (n,) tokens of each review before truncation.
    """
    ways = [(f"{name}: {ABOUT[name]}", name) for name in BATCHINGS]
    box, longest = ipywidgets.BoundedIntText, max(max_length, 512)
    controls = {
        "batching": choice_buttons("Batching:", options=ways, value="fixed"),
        "batch_size": labelled(box, "batch_size:", value=batch_size, min=1, max=SHOWN_BARS),
        "max_length": labelled(box, "max_length:", value=max_length, min=3, max=longest),
        "seed": labelled(box, "order (seed):", value=0, min=0, max=999),
    }
    known = np.asarray(lengths)

    def show(batching: str, batch_size: int, max_length: int, seed: int) -> Picture:
        record = batch_bars(known, batching, batch_size, max_length, seed)
        return Picture(f"{to_html(batch_figure(record))}<p>{html.escape(str(record))}</p>", str(record))

    return explorer(controls, show, sliders=("batch_size", "max_length"))

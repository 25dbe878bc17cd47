"""The early-stopping explorer: where a patience would have stopped a run.

The run is over; seen is also which epoch would have been kept. Replays the losses through early_stopping.py's
`EarlyStopping`; trains nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from labkit.figures import ALT_TEXT, CUT, GREY, UNNAMED, ShownAxes, to_html
from labkit.training.early_stopping import EarlyStopping
from labkit.widgets.interactive import Interactive, Picture, explorer, labelled


@dataclass(frozen=True)
class Stopping:
    """A run's validation losses, and what early stopping makes of them.

    last_epoch: the one after which it ends. best_epoch: the one whose weights come back; None where no loss is a number.
    stopped: whether patience ran out there, which it may in the very last epoch too.
    """

    losses: Sequence[float]
    patience: int
    min_delta: float
    last_epoch: int
    best_epoch: int | None
    stopped: bool

    @property
    def spared(self) -> int:
        """Epochs that were not trained."""
        return len(self.losses) - 1 - self.last_epoch

    def __str__(self) -> str:
        settings = f"patience {self.patience}, min_delta {self.min_delta:g}"
        end = (
            f"it stops after epoch {self.last_epoch}"
            if self.stopped
            else f"it runs to the end, epoch {self.last_epoch}"
        )
        if self.best_epoch is None:
            return f"With {settings} {end}, and no loss was a number."
        kept = f"the weights of epoch {self.best_epoch} come back, validation loss {self.losses[self.best_epoch]:.3f}"
        lost = min(loss for loss in self.losses if loss == loss)
        missed = f"; the lowest of all epochs is {lost:.3f}" if lost < self.losses[self.best_epoch] else ""
        return f"With {settings} {end}, {self.spared} of {len(self.losses)} epochs spared; {kept}{missed}."


def stopping(losses: Sequence[float], patience: int = 2, min_delta: float = 0.0) -> Stopping:
    """Apply early stopping to a run with these losses, one an epoch.

    Raises ValueError without losses.

    >>> record = stopping([0.6, 0.5, 0.55, 0.7, 0.9], patience=2)
    >>> record.last_epoch, record.best_epoch, record.spared
    (3, 1, 1)
    """
    if not losses:
        raise ValueError("wanted the validation loss of at least one epoch; found none")
    rule = EarlyStopping(patience, min_delta)
    for epoch, loss in enumerate(losses):
        if rule.step(loss):
            return Stopping(tuple(losses), patience, min_delta, epoch, rule.best_epoch, True)
    return Stopping(tuple(losses), patience, min_delta, len(losses) - 1, rule.best_epoch, False)


def stopping_figure(record: Stopping, ax: Axes | None = None) -> Axes:
    """Draw the validation losses by epoch, the epoch that is kept starred.

    What is trained is solid, what is spared dotted.
    """
    if ax is None:
        ax = Figure(figsize=(6.4, 3.2), layout="constrained").add_subplot(axes_class=ShownAxes)
    ax.spines[["top", "right"]].set_visible(False)
    end = record.last_epoch
    ax.plot(range(end, len(record.losses)), record.losses[end:], ":o", color=GREY, markersize=4, label="spared")
    ax.plot(range(end + 1), record.losses[: end + 1], "-o", color=UNNAMED, markersize=4, label="trained")
    if record.stopped:
        ax.axvline(end, color=CUT, linestyle="--", linewidth=1, label=f"stops after epoch {end}")
    if record.best_epoch is not None:
        kept = record.losses[record.best_epoch]
        ax.plot(record.best_epoch, kept, "*", markersize=15, color="black", label=f"kept: epoch {record.best_epoch}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("epoch")
    ax.set_ylabel("validation loss")
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    setattr(ax, ALT_TEXT, str(record))
    return ax


def stopping_explorer(losses: Sequence[float], patience: int = 2, min_delta: float = 0.0) -> Interactive:
    """Explore early stopping on the losses of a run: patience and min_delta."""
    controls = {
        "patience": labelled(ipywidgets.BoundedIntText, "patience:", value=patience, min=1, max=max(2, len(losses))),
        "min_delta": labelled(ipywidgets.BoundedFloatText, "min_delta:", value=min_delta, min=0.0, max=1.0, step=0.01),
    }

    def show(patience: int, min_delta: float) -> Picture:
        record = stopping(losses, patience, min_delta)
        return Picture(f"{to_html(stopping_figure(record))}<p>{record}</p>", str(record))

    return explorer(controls, show, sliders=("patience",))

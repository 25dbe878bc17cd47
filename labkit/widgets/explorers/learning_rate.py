"""The learning-rate explorer: warmup and decay over the steps of a run.

Draws what loop.py's `warmup_linear` gives; has no schedule of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from labkit.figures import ALT_TEXT, GREY, UNNAMED, WHOLE, ShownAxes, to_html
from labkit.training.loop import warmup_linear
from labkit.widgets.interactive import Interactive, Picture, explorer, labelled

PEAKS = (1e-6, 5e-6, 1e-5, 2e-5, 5e-5, 1e-4, 3e-4, 1e-3)


@dataclass(frozen=True)
class Schedule:
    """The learning rate of each step of a run.

    From step 0 to total_steps, the last being the end, where it is 0.
    """

    peak: float
    warmup_steps: int
    learning_rates: Sequence[float]

    @property
    def total_steps(self) -> int:
        """Optimizer steps of the run."""
        return len(self.learning_rates) - 1

    def __str__(self) -> str:
        start = (
            f"rises from 0 to {self.peak:.1e} in {self.warmup_steps} steps"
            if self.warmup_steps
            else (f"starts at {self.peak:.1e} without warmup")
        )
        half = self.total_steps // 2
        return (
            f"The learning rate {start}, then falls in a line to 0 at step {self.total_steps}; "
            f"at step {half} it is {self.learning_rates[half]:.1e}, in the mean {self.mean:.1e}."
        )

    @property
    def mean(self) -> float:
        """The mean learning rate over the steps that are taken."""
        return sum(self.learning_rates[:-1]) / self.total_steps


def schedule(total_steps: int, warmup_ratio: float, peak: float) -> Schedule:
    """Compute the learning rate of each step of a run.

    Raises ValueError unless 0 <= warmup_ratio < 1 and total_steps >= 1.

    >>> print(schedule(total_steps=10, warmup_ratio=0.2, peak=1e-4).learning_rates[:4])
    [0.0, 5e-05, 0.0001, 8.75e-05]
    """
    if total_steps < 1 or not 0 <= warmup_ratio < 1:
        raise ValueError(
            f"wanted total_steps >= 1 and 0 <= warmup_ratio < 1; found {total_steps} steps, ratio {warmup_ratio}"
        )
    warmup_steps = int(warmup_ratio * total_steps)
    steps = range(total_steps + 1)
    return Schedule(peak, warmup_steps, [peak * warmup_linear(step, warmup_steps, total_steps) for step in steps])


def schedule_figure(record: Schedule, ax: Axes | None = None) -> Axes:
    """Draw the learning rate by step, its warmup shaded."""
    if ax is None:
        ax = Figure(figsize=(6.4, 3.2), layout="constrained").add_subplot(axes_class=ShownAxes)
    ax.spines[["top", "right"]].set_visible(False)
    if record.warmup_steps:
        ax.axvspan(0, record.warmup_steps, color=WHOLE, alpha=0.35, label=f"warmup: {record.warmup_steps} steps")
    ax.plot(range(record.total_steps + 1), record.learning_rates, color=UNNAMED, label="learning rate")
    ax.axhline(record.mean, color=GREY, linestyle=":", label=f"its mean: {record.mean:.1e}")
    ax.set_ylim(0, record.peak * 1.08)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    ax.set_xlabel("optimizer step")
    ax.set_ylabel("learning rate")
    ax.legend(frameon=False, fontsize=9)
    setattr(ax, ALT_TEXT, str(record))
    return ax


def learning_rate_explorer(total_steps: int = 200, warmup_ratio: float = 0.1, peak: float = 2e-5) -> Interactive:
    """Explore warmup and decay: the peak, the share of warmup, the number of steps."""
    peaks = [(f"{rate:g}", rate) for rate in sorted({*PEAKS, peak})]
    most = max(1000, 2 * total_steps)
    controls = {
        "peak": labelled(ipywidgets.Dropdown, "peak learning rate:", options=peaks, value=peak),
        "warmup_ratio": labelled(
            ipywidgets.BoundedFloatText, "warmup_ratio:", value=warmup_ratio, min=0.0, max=0.95, step=0.05
        ),
        "total_steps": labelled(
            ipywidgets.BoundedIntText, "optimizer steps:", value=total_steps, min=10, max=most, step=10
        ),
    }

    def show(peak: float, warmup_ratio: float, total_steps: int) -> Picture:
        record = schedule(total_steps, warmup_ratio, peak)
        return Picture(f"{to_html(schedule_figure(record))}<p>{record}</p>", str(record))

    return explorer(controls, show, sliders=("warmup_ratio", "total_steps"))

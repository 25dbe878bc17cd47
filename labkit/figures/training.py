"""Figures of training: losses, gradients, parameters, and the trained models."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter

from labkit.evaluation.arrays import FloatArray
from labkit.evaluation.intervals import proportion_interval
from labkit.evaluation.metrics import EvalResult

if TYPE_CHECKING:
    pass

from labkit.figures.drawing import CUT, GREY, UNNAMED, WHOLE, axes_or_new, finished, model_colours, plain_text


class Epoch(Protocol):
    """What `learning_curves` reads of an epoch's record.

    is_best: it was the best so far.
    """

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


class Sizes(Protocol):
    """What `gradient_sizes_figure` reads of gradients.

    magnitudes (n,), and the share that fp16 rounds to 0 once they are scaled.
    """

    @property
    def sizes(self) -> FloatArray: ...

    def lost_in_fp16(self, scale: float = 1.0) -> float: ...


def learning_curves(
    history: Sequence[Epoch], ax: Axes | None = None, *, name: str = "", validation_size: int | None = None
) -> Axes:
    """Draw training loss (dashed) and validation loss (solid) by epoch.

    The best epoch is marked, and accuracies stand below the axis. history: one record an epoch. The best epoch is the last
    that was the best so far. name: the model's, for the caption and the colour. validation_size: how many validation
    reviews; with it the caption gives n and Wilson's 95% interval of the best epoch's accuracy. Raises ValueError for an
    empty history.
    """
    if not history:
        raise ValueError("the history is empty: no epoch has ended yet")
    ax = axes_or_new(ax)
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
    return finished(ax, caption, "epoch, and validation accuracy after it", "loss per example", words)


def losses_of_runs(histories: Mapping[str, Sequence[Epoch]], ax: Axes | None = None) -> Axes:
    """Draw training loss (dashed) and validation loss (solid) of several runs.

    By epoch, with a star at the best epoch of each. histories: one record an epoch, by the run's name. Raises ValueError
    without runs and for a run without an epoch.
    """
    if not histories or not all(histories.values()):
        raise ValueError("wanted at least one run, and at least one epoch of each")
    ax = axes_or_new(ax, (7.4, 4.4))
    rows = []
    for place, ((name, history), colour) in enumerate(zip(histories.items(), model_colours(histories), strict=True)):
        width = 1.5 + 0.7 * (len(histories) - 1 - place)  # a run that a later one covers shows beside it
        epochs = [record.epoch for record in history]
        train, validation = ([record.train_loss for record in history], [record.validation_loss for record in history])
        ax.plot(epochs, train, "--", marker=".", linewidth=width, color=colour)
        ax.plot(
            epochs, validation, "-", marker="o", markersize=4, linewidth=width, color=colour, label=plain_text(name)
        )
        best = _best(history)
        if best is not None:
            ax.plot(best.epoch, best.validation_loss, "*", markersize=14, color=colour)
        rows.append(f"{name}: validation loss {_course(epochs, validation)}, training loss {_course(epochs, train)}")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    title = "Loss by epoch: training dashed, validation solid, best epoch starred"
    return finished(ax, title, "epoch", "loss per example", f"{title}. {'; '.join(rows)}.")


def _best(history: Sequence[Epoch]) -> Epoch | None:
    """Find the last record that was the best so far.

    None where no epoch was (every validation loss NaN).
    """
    return next((record for record in reversed(history) if record.is_best), None)


def _label_epochs(ax: Axes, history: Sequence[Epoch]) -> None:
    """Set ticks at whole epochs, at most eight, with the accuracy under each."""
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
    """Say how a curve runs: from where to where, and where it turns.

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


def part_sizes(sizes: Mapping[str, int], ax: Axes | None = None, *, name: str) -> Axes:
    """Draw how many parameters each part of a model has, in a review's order.

    name: the model's.
    """
    ax = axes_or_new(ax, (6.4, 1.2 + 0.42 * len(sizes)))
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
    return finished(ax, title, "parameters", "", f"{title}, by part: {rows}.")


def _rows_from_top(ax: Axes) -> None:
    ax.invert_yaxis()
    ax.tick_params(axis="y", length=0)


def loss_by_step(losses: Mapping[str, Sequence[float]], ax: Axes | None = None, *, window: int = 10) -> Axes:
    """Draw training loss by optimizer step, one line a run.

    At each step the mean of the last `window`. losses: by the run's name. Raises ValueError for a run without a step.
    """
    if not losses or not all(map(len, losses.values())):
        raise ValueError(f"wanted at least one step of each run; found {[len(run) for run in losses.values()]}")
    ax = axes_or_new(ax, (6.4, 3.6))
    rows = []
    for (name, run), colour in zip(losses.items(), model_colours(losses), strict=True):
        means = [math.fsum(run[max(0, end - window) : end]) / min(window, end) for end in range(1, len(run) + 1)]
        ax.plot(np.arange(1, len(run) + 1), means, "--", color=colour, label=plain_text(name))
        rows.append(f"{name} goes from {means[0]:.3f} to {means[-1]:.3f} in {len(run)} steps")
    ax.legend(frameon=False)
    title = f"Training loss, mean of the last {window} steps"
    return finished(ax, title, "optimizer step", "loss per example", f"{title}: {'; '.join(rows)}.")


def gradient_differences(
    differences: Mapping[str, float], ax: Axes | None = None, *, rounding: float = 1e-5, against: str
) -> Axes:
    """Draw how far gradients computed in other ways lie from those of `against`.

    On a logarithmic scale. differences: as `gradient_difference` measures them, by way. rounding: what lies below counts as
    rounding. A difference of 0 is drawn at the left edge.
    """
    ax = axes_or_new(ax, (6.4, 1.2 + 0.42 * len(differences)))
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
    return finished(ax, title, "largest difference, relative to the tensor's largest number", "", words)


def gradient_sizes_figure(gradients: Sizes, ax: Axes | None = None, *, scale: float = 2.0**16) -> Axes:
    """Draw how large gradients are, over what fp16 can hold.

    As they are, and times `scale`. Raises ValueError when there are none.
    """
    if not len(gradients.sizes):
        raise ValueError("nothing flows back: wanted at least one number that is not zero")
    ax = axes_or_new(ax, (6.4, 3.8))
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
    return finished(ax, title, "magnitude", "share of the numbers", words)


def accuracy_intervals(results: Sequence[EvalResult], ax: Axes | None = None, *, chance: float | None = None) -> Axes:
    """Draw the accuracy of several models on the same examples.

    Each has Wilson's 95% interval. chance: of the majority class. Raises ValueError without results, and where they are of
    different examples.
    """
    if not results or any(not np.array_equal(result.labels, results[0].labels) for result in results):
        raise ValueError("wanted at least one result, all of the same examples")
    ax = axes_or_new(ax, (6.4, 1.4 + 0.5 * len(results)))
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
    ax.set_yticks(np.arange(len(results)), [plain_text(result.name) for result in results])
    ax.set_ylim(-0.6, len(results) - 0.4)
    _rows_from_top(ax)
    title = f"Accuracy with 95% intervals, n = {len(results[0]):,}"
    above = "" if chance is None else f" Always the same label gives {chance:.3f}."
    return finished(ax, title, "accuracy", "", f"{title}: {'; '.join(rows)}.{above}")

"""Figures of what is behind a score: runs, tests, people and behaviour."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from labkit.evaluation.arrays import BoolArray
from labkit.evaluation.intervals import Score, bootstrap_interval, resample_weights, score_table

if TYPE_CHECKING:
    from labkit.evaluation.behaviour import BehaviourReport
    from labkit.evaluation.comparison import Comparison
    from labkit.evaluation.false_alarms import FalseAlarms
    from labkit.evaluation.human_ceiling import HumanCeiling, NoCeiling
    from labkit.experiments.folds import CrossValidation, SeedSpread

from labkit.figures.drawing import CUT, UNNAMED, WHOLE, axes_or_new, finished, model_colours, plain_text


def repeated_scores(runs: "CrossValidation | SeedSpread", metric: str = "accuracy", ax: Axes | None = None) -> Axes:
    """Draw a metric of each fold or seed with its interval, and the mean of all.

    Folds have the corrected interval. A run's own interval is the bootstrap's over its test reviews; the band is the
    corrected one of the mean.
    """
    scores = [getattr(score_table(each.test, metrics=(metric,)), metric) for each in runs.repetitions]
    ax = axes_or_new(ax, (6.4, 1.6 + 0.4 * len(scores)))
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
    ax.set_yticks(range(len(names)), [plain_text(name) for name in names])
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=9, loc="best")
    rows = "; ".join(f"{name} {score}" for name, score in zip(names, scores, strict=True))
    return finished(ax, caption, f"{metric}, each run with its own 95% interval", "run", f"{caption}. {rows}.")


def resampled_means(
    correct: Sequence[bool] | BoolArray,
    ax: Axes | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Axes:
    """Draw a histogram of bootstrapped accuracies, with the interval they give.

    It is the interval of `bootstrap_interval`. correct: (n,) 0/1 values, n >= 2. The same seed gives the same picture and
    the same interval. Raises what `bootstrap_interval` raises.
    """
    low, high = bootstrap_interval(correct, level, resamples, seed)
    values = np.asarray(correct, dtype=np.float64)
    n = len(values)
    ax = axes_or_new(ax, (6.4, 3.4))
    rights = np.concatenate([weights @ values for weights in resample_weights(n, resamples, seed)])
    width = max(1, round((rights.max() - rights.min()) / 40))  # in reviews: no bar spans more counts than its neighbour
    edges = np.arange(rights.min() - 0.5, rights.max() + width, width)
    ax.hist(rights / n, (edges / n).tolist(), color=WHOLE)
    ax.axvspan(low, high, color=UNNAMED, alpha=0.12, linewidth=0, label=f"{level:.0%} of them")
    ax.axvline(values.mean(), color=UNNAMED, linestyle="--", label="what was measured")
    ax.legend(frameon=False, fontsize=9, loc="upper left")
    score = Score(float(values.mean()), low, high)
    title = f"Accuracy {score} ({level:.0%}), n = {n:,}"
    words = f"Histogram of the accuracies of {resamples:,} resamples. {title}."
    return finished(ax, title, "accuracy of a resample", "resamples", words)


def differences_figure(comparisons: Sequence["Comparison"], metric: str = "accuracy", ax: Axes | None = None) -> Axes:
    """Draw how a metric of several models differs from that of one model, B.

    Each difference has its paired interval. Raises ValueError without comparisons, where they are not with the same B, or
    of another level.
    """
    from labkit.evaluation.comparison import LESS_IS_BETTER  # here, because it brings torch with it

    if len({(each.name_b, each.n, each.level) for each in comparisons}) != 1:
        raise ValueError("wanted at least one comparison, all with the same B on the same examples at the same level")
    ax = axes_or_new(ax, (6.6, 1.5 + 0.42 * len(comparisons)))
    names = [each.name_a for each in comparisons]
    scores = [each.scores[metric][2] for each in comparisons]
    against, level = comparisons[0].name_b, comparisons[0].level
    colours = model_colours([against, *names])[1:]  # those of `losses_of_runs`, where B comes first
    for place, (score, colour) in enumerate(zip(scores, colours, strict=True)):
        _intervals(ax, [score], colour, place)
    ax.axvline(0, color="black", linestyle=":", linewidth=1, label="no difference")
    ax.set_yticks(range(len(names)), [plain_text(name) for name in names])
    ax.set_ylim(-0.6, len(names) - 0.4)
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.invert_yaxis()
    ax.legend(frameon=False, fontsize=9, loc="upper left", bbox_to_anchor=(1, 1))
    rows = "; ".join(f"{name} {score:+.3f}" for name, score in zip(names, scores, strict=True))
    less = ", less is better" if metric in LESS_IS_BETTER else ""
    title = f"{metric}{less}: difference from “{against}”, {100 * level:.4g}% intervals, n = {comparisons[0].n:,}"
    return finished(ax, title, f"{metric} minus that of “{plain_text(against)}”", "", f"{title}: {rows}.")


def false_alarms_figure(alarms: "FalseAlarms", ax: Axes | None = None) -> Axes:
    """Draw each test's type I error rate beside the level that it promises.

    Each rate has Wilson's 95% interval.
    """
    ax = axes_or_new(ax, (6.8, 1.4 + 0.45 * len(alarms.rates)))
    names, rates = list(alarms.rates), list(alarms.rates.values())
    _intervals(ax, rates, "black")
    ax.axvline(alarms.level, color=CUT, linestyle="--", linewidth=1, label=f"promised: {alarms.level:.0%}")
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    ax.set_xlim(left=0)
    ax.legend(frameon=False, fontsize=9)
    rows = "; ".join(f"{name} {rate}" for name, rate in alarms.rates.items())
    title = f"False alarms where nothing is better, {alarms.repetitions:,} comparisons each"
    return finished(ax, title, "share that the test calls significant", "test", f"{title}. {alarms.caption}. {rows}.")


def error_by_agreement_figure(ceiling: "HumanCeiling | NoCeiling", ax: Axes | None = None) -> Axes:
    """Draw the model's error rate by how far people agree.

    Each has Wilson's 95% interval and its number of reviews. Where there are no ratings the figure says why, so that a
    notebook goes on.
    """
    ax = axes_or_new(ax, (6.4, 3.6))
    rows = [row for row in getattr(ceiling, "bins", ()) if row.count]
    if not rows:
        why = str(getattr(ceiling, "why", "no model was given"))
        ax.text(0.5, 0.5, textwrap.fill(plain_text(why), 50), ha="center", va="center", transform=ax.transAxes)
        ax.set_xticks([])
        ax.set_yticks([])
        return finished(ax, "No error by agreement here", "", "", f"No error by agreement here: {why}.")
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
    return finished(ax, caption, "people on the majority's side", "error rate", f"{caption}. {said}.")


def behaviour_figure(report: "BehaviourReport", ax: Axes | None = None) -> Axes:
    """Draw the failure rate of each behavioural test.

    Each has Wilson's 95% interval and the number of cases.
    """
    ax = axes_or_new(ax, (6.8, 1.2 + 0.42 * len(report.rows)))
    scores = [row.failure_rate for row in report.rows]
    _intervals(ax, scores, model_colours([report.name])[0])
    names = [f"{row.capability}: {row.name} (n = {row.n})" for row in report.rows]
    ax.set_yticks(range(len(names)), [plain_text(name) for name in names])
    ax.invert_yaxis()
    ax.set_xlim(-0.02, 1.02)
    caption = f"{report.name or 'model'}: failure rates by capability, 95% intervals"
    said = "; ".join(
        f"{name}, {row.kind}, {score}" for name, row, score in zip(names, report.rows, scores, strict=True)
    )
    return finished(ax, caption, "share of the cases that fail", "test", f"{caption}. {said}.")


def _intervals(ax: Axes, scores: Sequence[Score], colour: str, first: int = 0) -> None:
    """Draw one row a score: its value as a dot, its interval as a line.

    The rows begin at row `first`.
    """
    values = np.array([score.value for score in scores])
    bounds = np.abs([[s.value - s.low for s in scores], [s.high - s.value for s in scores]])
    ax.errorbar(values, range(first, first + len(scores)), xerr=bounds, fmt="o", color=colour, markersize=5, capsize=3)

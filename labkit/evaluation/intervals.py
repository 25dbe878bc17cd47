"""How sure a score is: Wilson's interval, the bootstrap, and the table of scores.

A score is one draw: other test examples would have given another. A 95 % interval is made by a method that holds the
score on endlessly many examples 95 times in 100; of the scores of further samples of the same size it holds fewer, about
84 in 100. Does not compare two models (comparison.py), and its intervals say nothing of other training seeds (folds.py).
"""

import html
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from labkit.display import Markup, html_table, text_table
from labkit.errors import did_you_mean
from labkit.evaluation.arrays import FloatArray, as_array, binary, check_level, ratio
from labkit.evaluation.calibration import CALIBRATION_BINS, bin_of
from labkit.evaluation.interval_methods import (
    NO_INTERVAL,
    area_interval,
    calibration_error_interval,
    combined_interval,
    correlations_of,
    f1_interval,
    matthews_interval,
    mean_loss_interval,
    wilson,
)
from labkit.evaluation.metrics import (
    EvalResult,
    confusion_matrix,
    precision_recall_f1_of,
    weighted_average_precision,
    weighted_roc_auc,
)

METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc", "ece")
ALL_METRICS = (*METRICS, "f1_macro", "mcc", "average_precision", "brier", "nll")
LOSSES = ("brier", "nll")  # means over the examples
BOUNDS = dict.fromkeys(ALL_METRICS, (0.0, 1.0)) | {
    "mcc": (-1.0, 1.0),
    "nll": (0.0, math.inf),
    "brier": (0.0, math.inf),
}
WEIGHTS_AT_ONCE = 4_000_000  # resampling weights held in memory together: 32 MB


# --- one score ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """A metric with its interval; undefined is NaN with the reason in `note`.

    Where only the interval can't be had, low and high are NaN. left_out counts the resamples in which the metric was
    undefined.

    >>> str(Score(0.8631, 0.842, 0.884)), f"{Score(0.8631, 0.842, 0.884):.2f}"
    ('0.863 [0.842, 0.884]', '0.86 [0.84, 0.88]')
    >>> str(Score(math.nan, math.nan, math.nan, note="only one class")), str(Score(0.8631, math.nan, math.nan))
    ('nan (only one class)', '0.863 (no interval)')
    """

    value: float
    low: float
    high: float
    note: str = ""
    left_out: int = 0

    def __format__(self, spec: str) -> str:
        if math.isnan(self.value):
            return f"nan ({self.note})" if self.note else "nan"
        value, low, high = (format(number, spec or ".3f") for number in (self.value, self.low, self.high))
        return f"{value} (no interval)" if math.isnan(self.low) else f"{value} [{low}, {high}]"

    def __str__(self) -> str:
        return format(self)

    def _repr_html_(self) -> str:
        note = f" <small>{html.escape(self.note)}</small>" if self.note and not math.isnan(self.value) else ""
        return html.escape(str(self)) + note

    def as_json(self) -> dict[str, Any]:
        """Return plain data; an undefined number is null."""
        numbers = {"value": self.value, "low": self.low, "high": self.high}
        return {name: None if math.isnan(number) else number for name, number in numbers.items()} | {"note": self.note}


def undefined(why: str) -> Score:
    """Make a score that could not be computed, with the reason."""
    return Score(math.nan, math.nan, math.nan, why)


def proportion_interval(count: int, n: int, level: float = 0.95) -> Score:
    """Compute count / n with Wilson's score interval (Wilson 1927).

    It is exact enough for small n and for 0 or n, and it is what `score_table` gives for an accuracy. n = 0 is undefined.

    >>> str(proportion_interval(86, 100))
    '0.860 [0.779, 0.915]'
    """
    check_level(level)
    if not 0 <= count <= n:
        raise ValueError(f"count must lie in 0..n; found {count} of {n}")
    if n == 0:
        return undefined("no examples")
    return Score(count / n, *wilson(count, n, level))


# --- the bootstrap ------------------------------------------------------------------------------------------------


def bootstrap_interval(
    correct: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Compute the percentile interval of the mean of 0/1 values, such as an accuracy.

    After Efron & Tibshirani 1993, chapter 13. correct: (n,) with n >= 2. The n values are drawn with replacement
    `resamples` times; the interval reaches between the quantiles (1 - level) / 2 and (1 + level) / 2 of the means. It is
    a guess at the accuracy on all examples of the kind, of which these n are a sample: at 95 % it holds the accuracy of
    another sample of n in about 84 % of cases, because that one is off by luck too. At n = 50 it is a little narrow, and
    with all n right it is [1, 1]: for use, `proportion_interval`. The same seed gives the same interval. Raises
    ValueError for fewer than 2 values, other values, a level outside (0, 1) or resamples < 1.

    >>> low, high = bootstrap_interval([1] * 80 + [0] * 20)
    >>> 0.7 < low < 0.8 < high < 0.9
    True
    """
    values = binary(correct, "correct").astype(np.float64)
    if len(values) < 2:
        raise ValueError(f"correct must hold at least 2 values; found {len(values)}")
    check_level(level)
    means = np.concatenate([weights @ values for weights in resample_weights(len(values), resamples, seed)]) / len(
        values
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def mean_interval(values: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Score:
    """Average with a percentile bootstrap interval; NaN is left out and noted.

    For paired differences, for example.

    >>> str(mean_interval([1.0, 1.0, 1.0]))
    '1.000 [1.000, 1.000]'
    """
    known = as_array(values).astype(np.float64)
    defined = known[~np.isnan(known)]
    left_out = f"{len(known) - len(defined)} left out" if len(defined) < len(known) else ""
    if len(defined) == 0:
        return undefined(left_out or "nothing to average")
    check_level(level)
    drawn = [weights @ defined for weights in resample_weights(len(defined), resamples, seed)]
    low, high = np.quantile(np.concatenate(drawn) / len(defined), [(1 - level) / 2, (1 + level) / 2])
    return Score(float(defined.mean()), float(low), float(high), left_out)


def resample_weights(n: int, resamples: int, seed: int) -> Iterator[FloatArray]:
    """Draw how often each example counts, (resamples, n), each row summing to n.

    They come in pieces that fit the memory. A metric of a resample is the metric with these weights, so nothing has to be
    copied. Raises ValueError for resamples < 1.
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1; found {resamples}")
    generator = np.random.default_rng(seed)
    rows = max(1, WEIGHTS_AT_ONCE // n)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = generator.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        yield (np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64))


def percentile_score(value: float, drawn: FloatArray, level: float, note: str = "") -> Score:
    """Score a value by the quantiles of its resamples, NaN left out.

    The note says what a reader has to know about it.
    """
    defined = drawn[~np.isnan(drawn)]
    left_out = len(drawn) - len(defined)
    if math.isnan(value) or len(defined) == 0:
        return Score(value, math.nan, math.nan, note, left_out)
    low, high = (float(bound) for bound in np.quantile(defined, [(1 - level) / 2, (1 + level) / 2]))
    notes = [note] if note else []
    if left_out:
        notes.append(f"{left_out} of {len(drawn)} resamples lacked a class and were left out")
    if not low - 1e-12 <= value <= high + 1e-12:
        notes.append("the interval misses the value: resampling adds noise of its own")
    return Score(value, low, high, "; ".join(notes), left_out)


# --- the table ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, repr=False)
class Scores:
    """The scores of one model on one set, each with its interval.

    The intervals are at `level`, over n examples; a metric is read as `table.accuracy`. With two classes precision, recall,
    f1, roc_auc and average_precision are those of class 1, with more the plain mean over the classes (macro average, one
    against the rest). ece is the expected calibration error over ten bins; f1_macro the mean of the classes' F1; mcc
    Matthews' correlation; brier the mean squared error of the probabilities (of two classes half of the sum over both); nll
    the negative log-likelihood in nats. Of ece, brier and nll less is better.
    """

    name: str
    n: int
    level: float
    resamples: int
    scores: Mapping[str, Score]

    def __getattr__(self, metric: str) -> Score:
        scores = self.__dict__.get("scores", {})
        if metric not in scores:
            hint = f"; name it in score_table(..., metrics={(metric,)})" if metric in ALL_METRICS else ""
            raise AttributeError(f"the table has no {metric}{hint or did_you_mean(metric, scores)}")
        return scores[metric]

    def items(self) -> list[tuple[str, Score]]:
        """List (metric, score) in the order of the table."""
        return list(self.scores.items())

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know.

        One line for each metric that is undefined or out of the ordinary.
        """
        return [f"{metric}: {score.note}" for metric, score in self.items() if score.note]

    @property
    def caption(self) -> str:
        """Model, n and level of the intervals, as stands above the table."""
        start = f"{self.name}, " if self.name else ""
        return f"{start}n = {self.n}, {self.level:.0%} intervals"

    def __repr__(self) -> str:
        start = f"{self.name}, " if self.name else ""
        notes = f" ({len(self.notes)} notes)" if self.notes else ""
        shown = ", ".join(
            f"{metric} {self.scores[metric]}" for metric in ("accuracy", "f1", "roc_auc") if metric in self.scores
        )
        return f"Scores({start}n = {self.n}: {shown}{notes})"

    def __str__(self) -> str:
        table = text_table([(metric, str(score)) for metric, score in self.items()])
        return "\n".join([self.caption, table, *(f"* {note}" for note in self.notes)])

    def _repr_html_(self) -> str:
        rows = [(metric, Markup(score._repr_html_())) for metric, score in self.items()]
        return html_table(self.caption, [("metric", f"value [{self.level:.0%} interval]"), *rows])


def score_table(
    result: EvalResult,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
    metrics: Sequence[str] = METRICS,
) -> Scores:
    """Score a result, each metric with an interval.

    `metrics=ALL_METRICS` gives the long table. Each metric has the method that is known to hold for it
    (interval_methods.py): accuracy, precision, recall, f1 and average_precision Wilson's, of which the last takes the
    positives for so many coin tosses (Boyd et al. 2013); roc_auc DeLong's on the logit scale; mcc Wilson's with an
    effective n; ece an inverted test, because it lies above the truth at any n; brier and nll the studentised
    bootstrap; f1_macro, and the others with more than two classes, the classes' own intervals combined by MOVER.
    `resamples` and `seed` matter for the last three kinds alone; the same seed gives the same intervals, and the global
    random state is not touched. An interval always holds the value. Where there is none, a note says why. Raises
    ValueError for a level outside (0, 1), resamples < 1 or a metric that is none.

    How often the 95 % intervals held the truth was simulated (benchmarks/interval_coverage.py: six kinds of model,
    calibrated, too sure, not sure enough, a class of one in five, 98 % right, three classes; 200 samples each, so ±
    0.03). From the worst to the best kind, at n = 50, 200 and 1,000:

        accuracy           0.95 to 0.98   0.92 to 0.98   0.95 to 0.97
        precision          0.94 to 0.97   0.92 to 0.98   0.93 to 0.97
        recall             0.95 to 0.97   0.92 to 0.98   0.94 to 0.96
        f1                 0.95 to 0.97   0.92 to 0.98   0.93 to 0.96
        roc_auc            0.94 to 0.99   0.95 to 0.97   0.93 to 0.96
        ece                0.93 to 0.99   0.94 to 0.98   0.95 to 0.99
        f1_macro           0.95 to 0.96   0.91 to 0.96   0.93 to 0.97
        mcc                0.95 to 0.98   0.91 to 0.98   0.93 to 0.97
        average_precision  0.97 to 1.00   0.97 to 1.00   0.98 to 1.00
        brier              0.96 to 0.98   0.92 to 0.96   0.93 to 0.96
        nll                0.96 to 0.97   0.91 to 0.96   0.93 to 0.96

    With 98 % right brier and nll have no interval in half of the samples of 50, in which no prediction is wrong.

    >>> result = EvalResult.from_logits([0, 1, 1, 0] * 50, [[1, 0], [0, 1], [0, 2], [0, 1]] * 50, name="MiniLM")
    >>> accuracy = score_table(result).accuracy
    >>> accuracy.low < accuracy.value == 0.75 < accuracy.high
    True
    """
    check_level(level)
    check_metrics(metrics)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1; found {resamples}")
    if len(result) == 0:
        return Scores(result.name, 0, level, resamples, dict.fromkeys(metrics, undefined("no examples")))
    intervals = MetricIntervals(result, level, resamples, seed)
    return Scores(result.name, len(result), level, resamples, {metric: intervals.score(metric) for metric in metrics})


def check_metrics(metrics: Sequence[str]) -> None:
    """Raise ValueError for a name that is no metric, with the nearest."""
    for metric in metrics:
        if metric not in ALL_METRICS:
            raise ValueError(f"{metric} is none of {', '.join(ALL_METRICS)}{did_you_mean(metric, ALL_METRICS)}")


def point_metrics(result: EvalResult, metrics: Sequence[str]) -> FloatArray:
    """Compute the values themselves, (metrics,); n >= 1."""
    return _Weighted(result).metrics(np.ones((1, len(result))), metrics)[:, 0]


def resampled_metrics(
    results: Sequence[EvalResult], metrics: Sequence[str], resamples: int, seed: int
) -> Iterator[FloatArray]:
    """Compute metrics on resamples, (results, metrics, resamples), in pieces; n >= 1.

    Every result is scored on the same resamples of the same examples.
    """
    weighted = [_Weighted(result) for result in results]
    for weights in resample_weights(len(results[0]), resamples, seed):
        yield np.stack([each.metrics(weights, metrics) for each in weighted])


class _Weighted:
    """A result whose metrics are wanted for many weightings of its examples.

    All but the two areas come from sums over the examples of (n, columns): for each class the true positives, the
    predictions and the labels, for each bin confidence minus accuracy, and the two losses of the probabilities.
    """

    def __init__(self, result: EvalResult) -> None:
        self.result = result
        n, classes = len(result), range(result.num_classes)
        predicted = np.stack([result.predictions == k for k in classes])
        actual = np.stack([result.labels == k for k in classes])
        gaps = np.zeros((CALIBRATION_BINS, n))
        gaps[bin_of(result.confidences, CALIBRATION_BINS), np.arange(n)] = result.confidences - result.correct
        losses = [losses_of(result, metric) for metric in LOSSES]
        self.columns = np.vstack([predicted & actual, predicted, actual, gaps, *losses]).T.astype(np.float64)

    def metrics(self, weights: FloatArray, names: Sequence[str]) -> FloatArray:
        """Compute metrics, (names, resamples), under weights of the examples.

        Example i counts weights[resample, i] times.
        """
        k, sums = self.result.num_classes, (weights @ self.columns).T
        true_positives, predicted_positives, actual_positives = sums[: 3 * k].reshape(3, k, -1)
        n = len(self.result)
        simple: dict[str, Callable[[], FloatArray]] = {
            "accuracy": lambda: true_positives.sum(axis=0) / n,
            "ece": lambda: np.abs(sums[3 * k : -2]).sum(axis=0) / n,
            "mcc": lambda: _matthews(true_positives, predicted_positives, actual_positives),
            "brier": lambda: sums[-2] / n,
            "nll": lambda: sums[-1] / n,
        }
        return np.stack(
            [simple[name]() if name in simple else self.by_class(weights, name).mean(axis=0) for name in names]
        )

    def by_class(self, weights: FloatArray, name: str) -> FloatArray:
        """Compute what a metric averages, (classes, resamples): of class 1 alone where there are two."""
        k, classes = self.result.num_classes, classes_of(self.result, name)
        if name in ("roc_auc", "average_precision"):
            area = weighted_roc_auc if name == "roc_auc" else weighted_average_precision
            labels, probabilities = self.result.labels, self.result.probabilities
            return np.stack([area(weights, labels == each, probabilities[:, each]) for each in classes])
        counts = (weights @ self.columns[:, : 3 * k]).T.reshape(3, k, -1)
        return precision_recall_f1_of(*counts)[("precision", "recall", "f1").index(name.removesuffix("_macro"))][
            classes
        ]


def classes_of(result: EvalResult, metric: str) -> list[int]:
    """List the classes over which a metric averages: class 1 of two, else all."""
    return [1] if result.num_classes == 2 and metric != "f1_macro" else list(range(result.num_classes))


def losses_of(result: EvalResult, metric: str) -> FloatArray:
    """Compute the loss of each example, (n,), whose mean is brier or nll."""
    if metric == "nll":
        return -result.log_probabilities[np.arange(len(result)), result.labels]
    errors = (result.probabilities - np.eye(result.num_classes)[result.labels]) ** 2
    return np.asarray(errors.sum(axis=1) / (2 if result.num_classes == 2 else 1))


class MetricIntervals:
    """The metrics of one result, n >= 1, each with its interval and note."""

    def __init__(self, result: EvalResult, level: float, resamples: int, seed: int) -> None:
        self.result, self.level, self.resamples, self.seed = result, level, resamples, seed
        self.weighted = _Weighted(result)
        self.notes = _notes(result)

    def score(self, metric: str) -> Score:
        """Score a metric: the value, an interval that holds it, and what a reader must know."""
        value, note = float(point_metrics(self.result, [metric])[0]), self.notes[metric]
        if math.isnan(value):
            return undefined(note)
        low, high, said = self._interval(metric)
        return Score(value, min(low, value), max(high, value), "; ".join(filter(None, (note, said))))

    def _interval(self, metric: str) -> tuple[float, float, str]:
        result, level = self.result, self.level
        if metric == "accuracy":
            return *wilson(int(result.correct.sum()), len(result), level), ""
        if metric == "ece":
            return self._of_calibration_error()
        if metric == "mcc":
            return *matthews_interval(self._confusion, level), ""
        if metric in LOSSES:
            return self._of_loss(metric)
        return *self._of_classes(metric), ""

    @cached_property
    def _confusion(self) -> FloatArray:
        k = self.result.num_classes
        return confusion_matrix(self.result.labels, self.result.predictions, k).astype(np.float64)

    def _of_classes(self, metric: str) -> tuple[float, float]:
        """Combine the intervals of the classes that a metric averages."""
        classes = classes_of(self.result, metric)
        values = self.weighted.by_class(np.ones((1, len(self.result))), metric)[:, 0]
        bounds = [self._of_class(metric, each, value) for each, value in zip(classes, values.tolist(), strict=True)]
        if len(classes) == 1:
            return bounds[0]
        correlations = np.eye(len(classes))  # different examples stand behind each class's precision, and recall
        if metric not in ("precision", "recall"):
            draws = resample_weights(len(self.result), self.resamples, self.seed)
            correlations = correlations_of(
                np.concatenate([self.weighted.by_class(weights, metric) for weights in draws], axis=1)
            )
        lows, highs = np.array(bounds).T
        return combined_interval(values, lows, highs, np.full(len(classes), 1 / len(classes)), correlations)

    def _of_class(self, metric: str, each: int, value: float) -> tuple[float, float]:
        right, predicted, actual = (
            float(counts[each])
            for counts in (self._confusion.diagonal(), self._confusion.sum(axis=0), self._confusion.sum(axis=1))
        )
        if metric == "roc_auc":
            return area_interval(self.result.labels == each, self.result.probabilities[:, each], value, self.level)
        if metric == "average_precision":
            return wilson(value * actual, actual, self.level)
        if metric == "precision":
            return wilson(right, predicted, self.level)
        return (
            wilson(right, actual, self.level)
            if metric == "recall"
            else f1_interval(right, predicted, actual, self.level)
        )

    def _of_loss(self, metric: str) -> tuple[float, float, str]:
        """Find the interval of a mean loss: most of it comes from wrong predictions, so there must be one."""
        if self.result.correct.all():
            return *NO_INTERVAL, "no interval: no prediction was wrong, and the wrong ones carry most of a loss"
        draws = resample_weights(len(self.result), self.resamples, self.seed)
        low, high = mean_loss_interval(losses_of(self.result, metric), draws, self.level)
        if math.isnan(low):
            return low, high, "no interval: a handful of examples carries nearly all of the loss"
        return low, min(high, min(self.result.num_classes - 1, 2) if metric == "brier" else math.inf), ""

    def _of_calibration_error(self) -> tuple[float, float, str]:
        result, bins = self.result, bin_of(self.result.confidences, CALIBRATION_BINS)
        counts, confidence, right = (
            np.bincount(bins, weights=column, minlength=CALIBRATION_BINS).astype(np.float64)
            for column in (np.ones(len(result)), result.confidences, result.correct)
        )
        low, high, chance = calibration_error_interval(counts, confidence, right, self.level, self.resamples, self.seed)
        note = f"a calibrated model, of a true error of 0, shows about {chance:.3f} with n = {len(result)}"
        return low, high, note if low == 0 else ""


def _matthews(true_positives: FloatArray, predicted_positives: FloatArray, actual_positives: FloatArray) -> FloatArray:
    """Compute Matthews' correlation, (resamples,), for any number of classes.

    Of predictions and labels, after Gorodkin 2004. 0 where one class takes all predictions or all labels. Each argument is
    (classes, resamples).
    """
    n = actual_positives.sum(axis=0)
    covariance = true_positives.sum(axis=0) * n - (predicted_positives * actual_positives).sum(axis=0)
    spread = (n**2 - (predicted_positives**2).sum(axis=0)) * (n**2 - (actual_positives**2).sum(axis=0))
    return ratio(covariance, np.sqrt(np.maximum(spread, 0.0)))


def _notes(result: EvalResult) -> dict[str, str]:
    """Say for each metric what makes it undefined, set to 0 or an average.

    Empty for the ordinary.
    """
    notes = dict.fromkeys(ALL_METRICS, "")
    predicted, actual = set(result.predictions.tolist()), set(result.labels.tolist())
    absent = ", ".join(str(k) for k in range(result.num_classes) if k not in actual)
    if result.num_classes > 2:
        of_each = ("precision", "recall", "f1", "roc_auc", "average_precision")
        notes.update(dict.fromkeys(of_each, f"mean over {result.num_classes} classes"))
    elif 1 not in predicted:
        notes["precision"] = "class 1 was never predicted, so its precision is set to 0"
    if result.num_classes == 2 and 1 not in actual:
        notes["recall"] = "class 1 does not occur, so its recall is set to 0"
    if len(predicted) == 1 or len(actual) == 1:
        constant = "every prediction" if len(predicted) == 1 else "every label"
        notes["mcc"] = f"{constant} is the same class, so it is set to 0"
    if absent:
        notes["roc_auc"] = f"undefined: no example of class {absent}"
        if result.num_classes > 2 or 1 not in actual:
            notes["average_precision"] = f"undefined: no example of class {absent}"
    return notes

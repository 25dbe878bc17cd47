"""How sure a score is: Wilson's interval, the bootstrap, and the table of scores.

Wilson's is for a fraction, the bootstrap for everything else. A score is one draw: other test examples would have given
another. Needs numpy only. Does not compare two models (comparison.py), and its intervals say nothing of other training
seeds (folds.py).
"""

import html
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from labkit.display import Markup, html_table, text_table
from labkit.errors import did_you_mean
from labkit.evaluation.arrays import FloatArray, as_array, binary, check_level, ratio
from labkit.evaluation.calibration import CALIBRATION_BINS, bin_of, log_probabilities
from labkit.evaluation.metrics import EvalResult, precision_recall_f1_of, weighted_average_precision, weighted_roc_auc

METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc", "ece")
ALL_METRICS = (*METRICS, "f1_macro", "mcc", "average_precision", "brier", "nll")
WEIGHTS_AT_ONCE = 4_000_000  # resampling weights held in memory together: 32 MB


# --- one score ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Score:
    """A metric with its interval; undefined is NaN with the reason in `note`.

    left_out counts the resamples in which the metric was undefined.

    >>> str(Score(0.8631, 0.842, 0.884)), f"{Score(0.8631, 0.842, 0.884):.2f}"
    ('0.863 [0.842, 0.884]', '0.86 [0.84, 0.88]')
    >>> str(Score(math.nan, math.nan, math.nan, note="only one class"))
    'nan (only one class)'
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
        return f"{value} [{low}, {high}]"

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

    It is exact enough for small n and for 0 or n. For where only the numbers are known; with the examples at hand
    `score_table` resamples them. n = 0 is undefined.

    >>> str(proportion_interval(86, 100))
    '0.860 [0.779, 0.915]'
    """
    check_level(level)
    if not 0 <= count <= n:
        raise ValueError(f"count must lie in 0..n; found {count} of {n}")
    if n == 0:
        return undefined("no examples")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = count / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Score(share, min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share))


# --- the bootstrap ------------------------------------------------------------------------------------------------


def bootstrap_interval(
    correct: ArrayLike, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    """Compute the percentile interval of the mean of 0/1 values, such as an accuracy.

    After Efron & Tibshirani 1993, chapter 13. correct: (n,) with n >= 2. The n values are drawn with replacement
    `resamples` times; the interval reaches between the quantiles (1 - level) / 2 and (1 + level) / 2 of the means. The same
    seed gives the same interval. Raises ValueError for fewer than 2 values, other values, a level outside (0, 1) or
    resamples < 1.

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
        """Model, n and kind of interval, as stands above the table."""
        start = f"{self.name}, " if self.name else ""
        return f"{start}n = {self.n}, {self.level:.0%} bootstrap intervals ({self.resamples} resamples)"

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
    """Score a result, each metric with a percentile bootstrap interval.

    `metrics=ALL_METRICS` gives the long table. The examples are drawn with replacement `resamples` times; the interval
    reaches between the quantiles (1 - level) / 2 and (1 + level) / 2 of the metric over the resamples (Efron & Tibshirani
    1993, chapter 13). A resample in which a metric is undefined (one class only) is left out for that metric, counted and
    noted. Resampling adds noise of its own to a calibration error, which is never negative, so that interval sits high; a
    note says when it misses the value. The same seed gives the same intervals; the global random state is not touched.
    Raises ValueError for a level outside (0, 1), resamples < 1 or a metric that is none.

    >>> result = EvalResult.from_logits([0, 1, 1, 0] * 50, [[1, 0], [0, 1], [0, 2], [0, 1]] * 50, name="MiniLM")
    >>> accuracy = score_table(result).accuracy
    >>> accuracy.low < accuracy.value == 0.75 < accuracy.high
    True
    """
    check_level(level)
    check_metrics(metrics)
    if len(result) == 0:
        return Scores(result.name, 0, level, resamples, dict.fromkeys(metrics, undefined("no examples")))
    values = point_metrics(result, metrics)
    drawn = np.concatenate(list(resampled_metrics([result], metrics, resamples, seed)), axis=2)[0]
    notes = _notes(result)
    scores = {
        metric: percentile_score(float(values[row]), drawn[row], level, notes[metric])
        for row, metric in enumerate(metrics)
    }
    return Scores(result.name, len(result), level, resamples, scores)


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

    All but the two areas come from sums over the examples of (n, columns): for each class the true positives, the predictions
    and the labels, for each bin confidence minus accuracy, and the two losses of the probabilities.
    """

    def __init__(self, result: EvalResult) -> None:
        self.result = result
        n, classes = len(result), range(result.num_classes)
        predicted = np.stack([result.predictions == k for k in classes])
        actual = np.stack([result.labels == k for k in classes])
        gaps = np.zeros((CALIBRATION_BINS, n))
        gaps[bin_of(result.confidences, CALIBRATION_BINS), np.arange(n)] = result.confidences - result.correct
        errors = ((result.probabilities - actual.T) ** 2).sum(axis=1) / (2 if len(classes) == 2 else 1)
        surprise = -log_probabilities(result)[np.arange(n), result.labels]
        self.columns = np.vstack([predicted & actual, predicted, actual, gaps, errors, surprise]).T.astype(np.float64)

    def metrics(self, weights: FloatArray, names: Sequence[str]) -> FloatArray:
        """Compute metrics, (names, resamples), under weights of the examples.

        Example i counts weights[resample, i] times.
        """
        k, sums = self.result.num_classes, (weights @ self.columns).T
        true_positives, predicted_positives, actual_positives = sums[: 3 * k].reshape(3, k, -1)
        gaps = sums[3 * k : -2]
        n, averaged = len(self.result), slice(1, 2) if k == 2 else slice(None)
        precision, recall, f1 = precision_recall_f1_of(true_positives, predicted_positives, actual_positives)
        simple: dict[str, Callable[[], FloatArray]] = {
            "accuracy": lambda: true_positives.sum(axis=0) / n,
            "precision": lambda: precision[averaged].mean(axis=0),
            "recall": lambda: recall[averaged].mean(axis=0),
            "f1": lambda: f1[averaged].mean(axis=0),
            "roc_auc": lambda: self._areas(weighted_roc_auc, weights),
            "ece": lambda: np.abs(gaps).sum(axis=0) / n,
            "f1_macro": lambda: f1.mean(axis=0),
            "mcc": lambda: _matthews(true_positives, predicted_positives, actual_positives),
            "average_precision": lambda: self._areas(weighted_average_precision, weights),
            "brier": lambda: sums[-2] / n,
            "nll": lambda: sums[-1] / n,
        }
        return np.stack([simple[name]() for name in names])

    def _areas(self, area: Callable[..., FloatArray], weights: FloatArray) -> FloatArray:
        """Compute the area of class 1 of two, or the mean over all of more, (resamples,)."""
        result = self.result
        classes = [1] if result.num_classes == 2 else range(result.num_classes)
        return np.mean([area(weights, result.labels == k, result.probabilities[:, k]) for k in classes], axis=0)


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

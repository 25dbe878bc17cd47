"""Classification metrics and their intervals: from logits to accuracy, F1, ROC AUC and calibration.

Needs numpy only, so that importing it is cheap. Does not run a model (training.py), compare two (comparison.py) or draw
(figures.py). Labels are class indices from 0; every array argument may be a list, a numpy array or a torch tensor.
"""

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]

METRICS = ("accuracy", "precision", "recall", "f1", "roc_auc", "ece")
CALIBRATION_BINS = 10
WEIGHTS_AT_ONCE = 4_000_000  # resampling weights held in memory together: 32 MB


# --- arguments ----------------------------------------------------------------------------------------------------


def _array(values: Any) -> NDArray[Any]:
    """The values as a numpy array; a torch tensor may be on a GPU, in bfloat16 or part of a graph."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    return np.asarray(values)


def _integers(values: ArrayLike, what: str) -> IntArray:
    """The values as (n,) int64; ValueError names the first that is no whole number."""
    array = _array(values)
    if array.ndim != 1:
        raise ValueError(f"{what} must have one dimension, (n,); found shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what} must be whole numbers; found {array.dtype}")
    whole = np.isfinite(array) & (array == np.floor(array))
    if not whole.all():
        first = int(np.argmin(whole))
        raise ValueError(f"{what} must be whole numbers; found {array[first]} at index {first}")
    return array.astype(np.int64)


def _floats(values: ArrayLike, what: str, dimensions: int = 1, finite: bool = False) -> FloatArray:
    """The values as float64; ValueError for the wrong number of dimensions, for NaN and, on wish, for infinity."""
    array = _array(values).astype(np.float64)
    if array.ndim != dimensions:
        wanted = "(n,)" if dimensions == 1 else "(n, classes)"
        raise ValueError(f"{what} must have shape {wanted}; found {array.shape}")
    return _refuse_nan(array, what, finite)


def _refuse_nan(array: FloatArray, what: str, finite: bool = False) -> FloatArray:
    bad = ~np.isfinite(array) if finite else np.isnan(array)
    if bad.any():
        first = np.unravel_index(np.argmax(bad), array.shape)
        place = ", ".join(str(int(index)) for index in first)
        raise ValueError(f"{what} must be {'finite' if finite else 'no NaN'}; found {array[first]} at index [{place}]")
    return array


def _same_length(first: NDArray[Any], what: str, second: NDArray[Any], other: str) -> None:
    if len(first) != len(second):
        raise ValueError(f"{what} and {other} must be equally long; found {len(first)} and {len(second)}")


def _binary(values: ArrayLike, what: str) -> BoolArray:
    labels = _integers(values, what)
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"{what} must be 0 or 1; found {sorted(set(labels.tolist()) - {0, 1})[0]}")
    return labels.astype(bool)


# --- probabilities ------------------------------------------------------------------------------------------------


def softmax(logits: ArrayLike) -> FloatArray:
    """Probabilities from logits along the last axis: exp(logit) over the sum of exp(logits).

    logits: any shape with at least one axis, finite. Returns float64 of the same shape. The largest logit of each row
    is subtracted first, which changes nothing but keeps exp from overflowing. Raises ValueError for NaN or infinity.

    >>> softmax([0.0, 0.0]).tolist(), softmax([10000.0, 0.0]).tolist()
    ([0.5, 0.5], [1.0, 0.0])
    """
    values = _refuse_nan(_array(logits).astype(np.float64), "logits", finite=True)
    if values.ndim == 0:
        raise ValueError("logits must have at least one axis; found a single number")
    return np.asarray(np.exp(_log_softmax(values)))


def _log_softmax(logits: FloatArray) -> FloatArray:
    if logits.size == 0:
        return logits
    shifted: FloatArray = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


@dataclass(frozen=True, eq=False, repr=False)
class EvalResult:
    """What a model said about a labelled set: the one thing that every metric and figure is computed from.

    labels: (n,) int64; probabilities: (n, classes) float64, each row summing to 1; loss: mean negative log-likelihood
    per example in nats, NaN for n = 0; name: the model's, as tables and figures show it. Raises ValueError when shapes,
    labels or probabilities do not fit.

    >>> EvalResult([0, 1], [[0.8, 0.2], [0.6, 0.4]], loss=0.57, name="MiniLM")
    EvalResult(MiniLM, n = 2, 2 classes, loss 0.570, accuracy 0.500)
    """

    labels: IntArray
    probabilities: FloatArray
    loss: float
    name: str = ""

    def __post_init__(self) -> None:
        labels, probabilities = _checked_predictions(self.labels, self.probabilities, "probabilities")
        if (probabilities < 0).any() or (np.abs(probabilities.sum(axis=1) - 1) > 1e-3).any():
            raise ValueError("probabilities must lie in [0, 1] and each row must sum to 1; give logits to from_logits")
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "probabilities", np.minimum(probabilities, 1.0))
        object.__setattr__(self, "loss", float(self.loss))

    @classmethod
    def from_logits(cls, labels: ArrayLike, logits: ArrayLike, name: str = "") -> "EvalResult":
        """The result of a model that returned `logits` (n, classes) for `labels` (n,); loss is the cross-entropy.

        >>> EvalResult.from_logits([1], [[0.0, 0.0]]).probabilities.tolist()
        [[0.5, 0.5]]
        """
        true, raw = _checked_predictions(labels, logits, "logits")
        log_probabilities = _log_softmax(raw)
        likelihoods = log_probabilities[np.arange(len(true)), true]
        return cls(true, np.exp(log_probabilities), -float(likelihoods.mean()) if len(true) else math.nan, name)

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predictions(self) -> IntArray:
        """(n,) the most probable class; the first of equals."""
        return np.asarray(self.probabilities.argmax(axis=1), dtype=np.int64)

    @property
    def confidences(self) -> FloatArray:
        """(n,) the probability of the predicted class."""
        return np.asarray(self.probabilities.max(axis=1), dtype=np.float64)

    @property
    def correct(self) -> BoolArray:
        """(n,) whether the predicted class is the true one."""
        return np.equal(self.predictions, self.labels)

    @property
    def num_classes(self) -> int:
        """How many classes the model chose among."""
        return int(self.probabilities.shape[1])

    def __repr__(self) -> str:
        accuracy = f"{self.correct.mean():.3f}" if len(self) else "undefined"
        start = f"{self.name}, " if self.name else ""
        return (
            f"EvalResult({start}n = {len(self)}, {self.num_classes} classes, loss {self.loss:.3f}, accuracy {accuracy})"
        )

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


def _checked_predictions(labels: ArrayLike, outputs: ArrayLike, what: str) -> tuple[IntArray, FloatArray]:
    """Labels (n,) and a model's outputs (n, classes) that fit each other."""
    true, values = (_integers(labels, "labels"), _floats(outputs, what, dimensions=2, finite=True))
    _same_length(true, "labels", values, what)
    if values.shape[1] < 2:
        raise ValueError(f"{what} must have at least 2 classes; found shape {values.shape}")
    _check_range(true, "labels", values.shape[1])
    return true, values


def _check_range(values: IntArray, what: str, num_classes: int) -> None:
    outside = (values < 0) | (values >= num_classes)
    if outside.any():
        first = int(np.argmax(outside))
        raise ValueError(f"{what} must lie in 0..{num_classes - 1}; found {values[first]} at index {first}")


# --- metrics ------------------------------------------------------------------------------------------------------


class PrecisionRecallF1(NamedTuple):
    """Three fractions in [0, 1] that unpack as a tuple."""

    precision: float
    recall: float
    f1: float


def precision_recall_f1(labels: ArrayLike, predictions: ArrayLike, positive: int = 1) -> PrecisionRecallF1:
    """Precision, recall and their harmonic mean for the class `positive`.

    labels, predictions: (n,) class indices. A metric whose denominator is 0 is 0.0. Raises ValueError when the lengths
    differ or a value is no whole number.

    >>> precision, recall, f1 = precision_recall_f1([1, 1, 0, 0], [1, 0, 1, 1])
    >>> round(precision, 3), recall, f1
    (0.333, 0.5, 0.4)
    """
    true, predicted = _integers(labels, "labels"), _integers(predictions, "predictions")
    _same_length(true, "labels", predicted, "predictions")
    counts = ((true == positive) & (predicted == positive), predicted == positive, true == positive)
    hits, said, meant = (np.array([count.sum()], dtype=np.float64) for count in counts)
    return PrecisionRecallF1(*(float(value[0]) for value in _precision_recall_f1(hits, said, meant)))


def _precision_recall_f1(hits: FloatArray, said: FloatArray, meant: FloatArray) -> tuple[FloatArray, ...]:
    """From the numbers of true positives, of positive predictions and of positive labels, each (resamples,)."""
    return _ratio(hits, said), _ratio(hits, meant), _ratio(2 * hits, said + meant)


def _ratio(numerator: FloatArray, denominator: FloatArray, otherwise: float = 0.0) -> FloatArray:
    quotient: FloatArray = np.full(numerator.shape, otherwise)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> IntArray:
    """How often each true class (row) was predicted as each class (column).

    labels, predictions: (n,) in 0..num_classes - 1. Returns (num_classes, num_classes) int64 that sums to n. Raises
    ValueError when the lengths differ or a class lies outside.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], num_classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    true, predicted = _integers(labels, "labels"), _integers(predictions, "predictions")
    _same_length(true, "labels", predicted, "predictions")
    for values, what in ((true, "labels"), (predicted, "predictions")):
        _check_range(values, what, num_classes)
    cells = np.bincount(true * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """The probability that a random positive has a higher score than a random negative; ties count half.

    labels: (n,) 0 or 1; scores: (n,) on any scale, higher meaning more positive. Returns a fraction in [0, 1], or NaN
    when the labels hold only one class: then there is no pair to compare (`score_table` says so in a note). Raises
    ValueError for NaN scores or other labels. Source: Fawcett 2006, section 7.

    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    positive, values = _binary(labels, "labels"), _floats(scores, "scores")
    _same_length(positive, "labels", values, "scores")
    return float(_roc_auc(np.ones((1, len(values))), positive, values)[0])


def _roc_auc(weights: FloatArray, positive: BoolArray, scores: FloatArray) -> FloatArray:
    """ROC AUC of each row of `weights` (resamples, n); NaN where a row has positives only or negatives only."""
    if len(scores) == 0:
        return np.full(len(weights), math.nan)
    order = np.argsort(scores, kind="stable")
    ranked, ascending = weights[:, order], scores[order]
    tie_starts = np.flatnonzero(np.concatenate([[True], ascending[1:] != ascending[:-1]]))
    positives = np.add.reduceat(ranked * positive[order], tie_starts, axis=1)
    negatives = np.add.reduceat(ranked, tie_starts, axis=1) - positives
    negatives_below = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    return _ratio((positives * negatives_below).sum(axis=1), pairs, otherwise=math.nan)


def best_f1_threshold(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """The threshold t with the best F1 when everything with `score >= t` is called positive, and that F1.

    labels: (n,) 0 or 1; scores: (n,) on any scale. Of thresholds that are equally good the highest. Without positives
    no threshold helps: (inf, 0.0). Choose on validation data, never on the test split. Raises ValueError for NaN.

    >>> best_f1_threshold([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.9])
    (0.4, 0.8)
    """
    positive, values = _binary(labels, "labels"), _floats(scores, "scores")
    _same_length(positive, "labels", values, "scores")
    if not positive.any():
        return math.inf, 0.0
    order = np.argsort(-values, kind="stable")
    descending = values[order]
    last_of_tie = np.flatnonzero(np.concatenate([descending[1:] != descending[:-1], [True]]))
    hits = np.cumsum(positive[order])[last_of_tie]
    f1 = 2 * hits / (last_of_tie + 1 + positive.sum())
    best = int(np.argmax(f1))
    return float(descending[last_of_tie[best]]), float(f1[best])


def confidently_wrong(logits: ArrayLike, labels: ArrayLike, threshold: float = 0.9) -> list[int]:
    """Indices of the wrong predictions whose softmax confidence is at least `threshold`, most confident first.

    logits: (n, classes); labels: (n,). A confidence within 1e-7 of the threshold counts, so that float32 noise decides
    nothing. These are the examples to read: a wrong label, irony, or something the model never saw.

    >>> confidently_wrong([[0.0, 3.0], [0.0, 5.0], [5.0, 0.0]], labels=[0, 0, 0])
    [1, 0]
    """
    result = EvalResult.from_logits(labels, logits)
    wrong = np.flatnonzero(~result.correct & (result.confidences >= threshold - 1e-7))
    return [int(index) for index in wrong[np.argsort(-result.confidences[wrong], kind="stable")]]


# --- calibration --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReliabilityBin:
    """The examples whose confidence lies in (low, high]; mean confidence and accuracy are NaN when there are none."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability_bins(confidences: ArrayLike, correct: ArrayLike, bins: int = CALIBRATION_BINS) -> list[ReliabilityBin]:
    """Confidence and accuracy in equal-width bins with edges k / bins, right-closed, 0 in the first.

    confidences: (n,) in [0, 1]; correct: (n,) bool or 0/1. Returns `bins` rows, empty ones included. Raises ValueError
    when the lengths differ, a confidence lies outside [0, 1] or bins < 1.

    >>> reliability_bins([0.5, 0.9], [True, False], bins=2)[0]
    ReliabilityBin(low=0.0, high=0.5, count=1, confidence=0.5, accuracy=1.0)
    """
    values, right = _checked_confidences(confidences, correct)
    member = _bin_of(values, bins)
    counts, confidence, accuracy = (_sums(member, column, bins) for column in (np.ones(len(values)), values, right))
    confidence, accuracy = (_ratio(column, counts, otherwise=math.nan) for column in (confidence, accuracy))
    return [
        ReliabilityBin(k / bins, (k + 1) / bins, int(counts[k]), float(confidence[k]), float(accuracy[k]))
        for k in range(bins)
    ]


def expected_calibration_error(confidences: ArrayLike, correct: ArrayLike, bins: int = CALIBRATION_BINS) -> float:
    """How far confidence and accuracy lie apart, averaged over equal-width bins (Guo et al. 2017, eq. 3).

    confidences: (n,) in [0, 1]; correct: (n,) bool or 0/1. Bins as in `reliability_bins`, each weighing as much as it
    holds examples. Returns a fraction in [0, 1]; 0.0 for n = 0. Raises ValueError as `reliability_bins` does.

    >>> round(expected_calibration_error([0.9, 0.6], [True, False]), 6)
    0.35
    """
    values, right = _checked_confidences(confidences, correct)
    gaps = _sums(_bin_of(values, bins), values - right, bins)
    return float(np.abs(gaps).sum() / max(len(values), 1))


def _checked_confidences(confidences: ArrayLike, correct: ArrayLike) -> tuple[FloatArray, FloatArray]:
    values, right = _floats(confidences, "confidences"), _binary(correct, "correct")
    _same_length(values, "confidences", right, "correct")
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"confidences must lie in [0, 1]; found {values.min()} to {values.max()}")
    return values, right.astype(np.float64)


def _sums(member: IntArray, values: FloatArray, bins: int) -> FloatArray:
    """(bins,) the sum of the values in each bin."""
    return np.asarray(np.bincount(member, weights=values, minlength=bins), dtype=np.float64)


def _bin_of(confidences: FloatArray, bins: int) -> IntArray:
    """(n,) the bin of each confidence; the inner edges are k / bins exactly as division gives them."""
    if bins < 1:
        raise ValueError(f"bins must be at least 1; found {bins}")
    return np.searchsorted(np.arange(1, bins) / bins, confidences, side="left").astype(np.int64)


# --- intervals ----------------------------------------------------------------------------------------------------


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


def proportion_interval(count: int, n: int, level: float = 0.95) -> Score:
    """The fraction count / n with Wilson's score interval (Wilson 1927): exact enough for small n and for 0 or n.

    For where only the numbers are known; with the examples at hand `score_table` resamples them. n = 0 is undefined.

    >>> str(proportion_interval(86, 100))
    '0.860 [0.779, 0.915]'
    """
    _check_level(level)
    if not 0 <= count <= n:
        raise ValueError(f"count must lie in 0..n; found {count} of {n}")
    if n == 0:
        return Score(math.nan, math.nan, math.nan, "no examples")
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = count / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return Score(share, min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, such as 0.95; found {level}")


@dataclass(frozen=True, repr=False)
class Scores:
    """The table of one model on one set: six metrics, each with its interval at `level` over n examples.

    With two classes precision, recall, f1 and roc_auc are those of class 1, with more the plain mean over the classes
    (macro average, one against the rest). ece is the expected calibration error over ten bins.
    """

    name: str
    n: int
    level: float
    resamples: int
    accuracy: Score
    precision: Score
    recall: Score
    f1: Score
    roc_auc: Score
    ece: Score

    def items(self) -> list[tuple[str, Score]]:
        """(metric, score) in the order of `METRICS`."""
        return [(metric, getattr(self, metric)) for metric in METRICS]

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know: one line for each metric that is undefined or out of the ordinary."""
        return [f"{metric}: {score.note}" for metric, score in self.items() if score.note]

    @property
    def caption(self) -> str:
        """Model, n and kind of interval, as stands above the table."""
        start = f"{self.name}, " if self.name else ""
        return f"{start}n = {self.n}, {self.level:.0%} bootstrap intervals ({self.resamples} resamples)"

    def __repr__(self) -> str:
        start = f"{self.name}, " if self.name else ""
        notes = f" ({len(self.notes)} notes)" if self.notes else ""
        return f"Scores({start}n = {self.n}: accuracy {self.accuracy}, f1 {self.f1}, roc_auc {self.roc_auc}{notes})"

    def __str__(self) -> str:
        rows = [f"{metric:<10} {score}" for metric, score in self.items()]
        notes = [f"* {note}" for note in self.notes]
        return "\n".join([self.caption, *rows, *notes])

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th scope='row'>{metric}</th><td>{score._repr_html_()}</td></tr>" for metric, score in self.items()
        )
        head = f"<tr><th scope='col'>metric</th><th scope='col'>value [{self.level:.0%} interval]</th></tr>"
        return f"<table><caption>{html.escape(self.caption)}</caption>{head}{rows}</table>"


def score_table(result: EvalResult, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Scores:
    """Accuracy, precision, recall, F1, ROC AUC and calibration error, each with a percentile bootstrap interval.

    The examples are drawn with replacement `resamples` times; the interval reaches between the quantiles
    (1 - level) / 2 and (1 + level) / 2 of the metric over the resamples (Efron & Tibshirani 1993, chapter 13). A
    resample in which a metric is undefined (one class only) is left out for that metric, counted and noted. Resampling
    adds noise of its own to a calibration error, which is never negative, so that interval sits high; a note says when
    it misses the value. The same seed gives the same intervals; the global random state is not touched. Raises
    ValueError for a level outside (0, 1) or resamples < 1.

    >>> result = EvalResult.from_logits([0, 1, 1, 0] * 50, [[1, 0], [0, 1], [0, 2], [0, 1]] * 50, name="MiniLM")
    >>> accuracy = score_table(result).accuracy
    >>> accuracy.low < accuracy.value == 0.75 < accuracy.high
    True
    """
    _check_level(level)
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1; found {resamples}")
    if len(result) == 0:
        nothing = Score(math.nan, math.nan, math.nan, "no examples")
        return Scores(result.name, 0, level, resamples, *[nothing] * len(METRICS))
    statistics = _statistics(result)
    values = _metrics(result, statistics, np.ones((1, len(result))))[:, 0]
    drawn = [_metrics(result, statistics, weights) for weights in _resample_weights(len(result), resamples, seed)]
    notes = _notes(result)
    scores = (
        _score(float(value), row, level, notes[metric])
        for metric, value, row in zip(METRICS, values, np.concatenate(drawn, axis=1), strict=True)
    )
    return Scores(result.name, len(result), level, resamples, *scores)


def _resample_weights(n: int, resamples: int, seed: int) -> Iterator[FloatArray]:
    """How often each example was drawn, (resamples, n) in pieces that fit the memory; each row sums to n."""
    generator = np.random.default_rng(seed)
    rows = max(1, WEIGHTS_AT_ONCE // n)
    for start in range(0, resamples, rows):
        count = min(rows, resamples - start)
        drawn = generator.integers(n, size=(count, n)) + n * np.arange(count)[:, None]
        yield (np.bincount(drawn.ravel(), minlength=count * n).reshape(count, n).astype(np.float64))


def _positives(result: EvalResult) -> list[int]:
    """The classes whose precision, recall, F1 and AUC are averaged: class 1 of two, all of more."""
    return [1] if result.num_classes == 2 else list(range(result.num_classes))


def _statistics(result: EvalResult) -> FloatArray:
    """(n, columns): what has to be summed over the examples of a resample for every metric but ROC AUC."""
    predictions, correct, confidences = (result.predictions, result.correct, result.confidences)
    gaps = np.zeros((len(result), CALIBRATION_BINS))
    gaps[np.arange(len(result)), _bin_of(confidences, CALIBRATION_BINS)] = confidences - correct
    columns = [correct]
    for positive in _positives(result):
        said, meant = predictions == positive, result.labels == positive
        columns += [said & meant, said, meant]
    return np.column_stack([*columns, gaps]).astype(np.float64)


def _metrics(result: EvalResult, statistics: FloatArray, weights: FloatArray) -> FloatArray:
    """(6, resamples): every metric of `METRICS` when example i counts weights[resample, i] times."""
    sums = (weights @ statistics).T
    classes = _positives(result)
    counts = sums[1:-CALIBRATION_BINS].reshape(len(classes), 3, -1)
    per_class = [
        [*_precision_recall_f1(*counts[row]), _roc_auc(weights, result.labels == k, result.probabilities[:, k])]
        for row, k in enumerate(classes)
    ]
    error = np.abs(sums[-CALIBRATION_BINS:]).sum(axis=0)
    return np.vstack([sums[:1] / len(result), np.mean(per_class, axis=0), error / len(result)])


def _score(value: float, drawn: FloatArray, level: float, note: str) -> Score:
    """The value with the quantiles of what the resamples gave, NaN left out, and what has to be said about it."""
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


def _notes(result: EvalResult) -> dict[str, str]:
    """For each metric what makes it undefined, set to 0 or an average; empty for the ordinary."""
    notes = dict.fromkeys(METRICS, "")
    if result.num_classes > 2:
        notes.update(dict.fromkeys(METRICS[1:5], f"mean over {result.num_classes} classes"))
    elif not (result.predictions == 1).any():
        notes["precision"] = "class 1 was never predicted, so its precision is set to 0"
    if result.num_classes == 2 and not (result.labels == 1).any():
        notes["recall"] = "class 1 does not occur, so its recall is set to 0"
    absent = sorted(set(range(result.num_classes)) - set(result.labels.tolist()))
    if absent:
        notes["roc_auc"] = f"undefined: no example of class {', '.join(map(str, absent))}"
    return notes

"""Classification metrics: probabilities, accuracy, F1 and areas under curves.

All of them start from a model's logits. Needs numpy only, so that importing it is cheap. Does not calibrate
(calibration.py), say how sure a score is (intervals.py), run a model (fit.py), compare two (comparison.py) or draw
(figures.py). Labels are class indices from 0; every array argument may be a list, a numpy array or a torch tensor.
Accuracy, balanced accuracy and the rest are a line of scikit-learn each; here stands what the course writes by hand, and
what the tables resample.
"""

import html
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from labkit.evaluation.arrays import (
    BoolArray,
    FloatArray,
    IntArray,
    as_array,
    binary,
    check_range,
    floats,
    integers,
    ratio,
    refuse_nan,
    same_length,
)

# --- probabilities ------------------------------------------------------------------------------------------------


def softmax(logits: ArrayLike) -> FloatArray:
    """Turn logits into probabilities along the last axis.

    Each is exp(logit) over the sum of exp(logits). logits: any shape with at least one axis, finite. Returns float64 of the
    same shape. The largest logit of each row is subtracted first, which changes nothing but keeps exp from overflowing.
    Raises ValueError for NaN or infinity.

    >>> softmax([0.0, 0.0]).tolist(), softmax([10000.0, 0.0]).tolist()
    ([0.5, 0.5], [1.0, 0.0])
    """
    values = refuse_nan(as_array(logits).astype(np.float64), "logits", finite=True)
    if values.ndim == 0:
        raise ValueError("logits must have at least one axis; found a single number")
    return np.asarray(np.exp(log_softmax(values)))


def log_softmax(logits: FloatArray) -> FloatArray:
    """Take the logarithms of `softmax`.

    They are exact also where a probability is too small for a float.
    """
    if logits.size == 0:
        return logits
    shifted: FloatArray = logits - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))


@dataclass(frozen=True, eq=False, repr=False)
class EvalResult:
    """What a model predicted on a labelled set: what every score is computed from.

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
        """Make the result of a model that returned `logits` (n, classes).

        labels: (n,). The loss is the cross-entropy.

        >>> EvalResult.from_logits([1], [[0.0, 0.0]]).probabilities.tolist()
        [[0.5, 0.5]]
        """
        true, raw = _checked_predictions(labels, logits, "logits")
        log_probabilities = log_softmax(raw)
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
    """Check that labels (n,) and a model's outputs (n, classes) fit each other."""
    true, values = (integers(labels, "labels"), floats(outputs, what, dimensions=2, finite=True))
    same_length(true, "labels", values, what)
    if values.shape[1] < 2:
        raise ValueError(f"{what} must have at least 2 classes; found shape {values.shape}")
    check_range(true, "labels", values.shape[1])
    return true, values


# --- metrics ------------------------------------------------------------------------------------------------------


class PrecisionRecallF1(NamedTuple):
    """Three fractions in [0, 1] that unpack as a tuple."""

    precision: float
    recall: float
    f1: float


def precision_recall_f1(labels: ArrayLike, predictions: ArrayLike, positive: int = 1) -> PrecisionRecallF1:
    """Compute precision, recall and their harmonic mean for class `positive`.

    labels, predictions: (n,) class indices. A metric whose denominator is 0 is 0.0. Raises ValueError when the lengths
    differ or a value is no whole number.

    >>> precision, recall, f1 = precision_recall_f1([1, 1, 0, 0], [1, 0, 1, 1])
    >>> round(precision, 3), recall, f1
    (0.333, 0.5, 0.4)
    """
    true, predicted = integers(labels, "labels"), integers(predictions, "predictions")
    same_length(true, "labels", predicted, "predictions")
    counts = ((true == positive) & (predicted == positive), predicted == positive, true == positive)
    values = precision_recall_f1_of(*(np.array([count.sum()], dtype=np.float64) for count in counts))
    return PrecisionRecallF1(*(float(value[0]) for value in values))


def precision_recall_f1_of(
    true_positives: FloatArray, predicted_positives: FloatArray, actual_positives: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Compute precision, recall and F1 from these counts, each (resamples,)."""
    precision, recall = ratio(true_positives, predicted_positives), ratio(true_positives, actual_positives)
    return precision, recall, ratio(2 * true_positives, predicted_positives + actual_positives)


def confusion_matrix(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> IntArray:
    """Count how often each true class (row) was predicted as each class (column).

    labels, predictions: (n,) in 0..num_classes - 1. Returns (num_classes, num_classes) int64 that sums to n. Raises
    ValueError when the lengths differ or a class lies outside.

    >>> confusion_matrix([0, 0, 1], [0, 1, 1], num_classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    true, predicted = integers(labels, "labels"), integers(predictions, "predictions")
    same_length(true, "labels", predicted, "predictions")
    for values, what in ((true, "labels"), (predicted, "predictions")):
        check_range(values, what, num_classes)
    cells = np.bincount(true * num_classes + predicted, minlength=num_classes**2)
    return cells.reshape(num_classes, num_classes).astype(np.int64)


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Compute the area under the ROC curve.

    It is the probability that a random positive has a higher score than a random negative; ties count half. labels: (n,) 0
    or 1; scores: (n,) on any scale, higher meaning more positive. Returns a fraction in [0, 1], or NaN when the labels hold
    only one class: then there is no pair to compare (`score_table` says so in a note). Raises ValueError for NaN scores or
    other labels. Source: Fawcett 2006, section 7.

    >>> roc_auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.75
    """
    positive, values = binary(labels, "labels"), floats(scores, "scores")
    same_length(positive, "labels", values, "scores")
    return float(weighted_roc_auc(np.ones((1, len(values))), positive, values)[0])


def weighted_roc_auc(weights: FloatArray, positive: BoolArray, scores: FloatArray) -> FloatArray:
    """Compute ROC AUC for each row of `weights` (resamples, n).

    NaN where a row has positives only or negatives only.
    """
    positives, everything = _by_score(weights, positive, scores)
    negatives = everything - positives
    negatives_above = np.cumsum(negatives, axis=1) - negatives / 2
    pairs = positives.sum(axis=1) * negatives.sum(axis=1)
    in_order = pairs - (positives * negatives_above).sum(axis=1)
    return ratio(in_order, pairs, otherwise=math.nan)


def average_precision(labels: ArrayLike, scores: ArrayLike) -> float:
    """Compute the area under the precision-recall curve.

    It is the precision at every threshold, averaged over the recall gained there. labels: (n,) 0 or 1; scores: (n,) on any
    scale, higher meaning more positive. Steps, no straight lines between the points, which would flatter (Davis & Goadrich
    2006). Returns a fraction in [0, 1], or NaN without positives. A model that guesses gets the share of positives. Raises
    ValueError for NaN scores or other labels.

    >>> round(average_precision([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]), 3)
    0.833
    """
    positive, values = binary(labels, "labels"), floats(scores, "scores")
    same_length(positive, "labels", values, "scores")
    return float(weighted_average_precision(np.ones((1, len(values))), positive, values)[0])


def weighted_average_precision(weights: FloatArray, positive: BoolArray, scores: FloatArray) -> FloatArray:
    """Compute average precision for each row of `weights` (resamples, n).

    NaN where a row has no positives.
    """
    positives, everything = _by_score(weights, positive, scores)
    precision = ratio(np.cumsum(positives, axis=1), np.cumsum(everything, axis=1))
    return ratio((positives * precision).sum(axis=1), positives.sum(axis=1), otherwise=math.nan)


def _by_score(weights: FloatArray, positive: BoolArray, scores: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Sum the weights at each distinct score, the highest first.

    Of the positives and of all examples, each (resamples, distinct).
    """
    if len(scores) == 0:
        return weights, weights
    order = np.argsort(-scores, kind="stable")
    ranked, descending = weights[:, order], scores[order]
    starts = np.flatnonzero(np.concatenate([[True], descending[1:] != descending[:-1]]))
    return np.add.reduceat(ranked * positive[order], starts, axis=1), np.add.reduceat(ranked, starts, axis=1)


def best_f1_threshold(labels: ArrayLike, scores: ArrayLike) -> tuple[float, float]:
    """Find the threshold with the best F1, and that F1.

    Everything with `score >= threshold` is called positive. labels: (n,) 0 or 1; scores: (n,) on any scale. Of thresholds
    that are equally good the highest. Without positives no threshold helps: (inf, 0.0). Choose on validation data, never on
    the test split. Raises ValueError for NaN.

    >>> best_f1_threshold([0, 1, 0, 1], [0.1, 0.4, 0.5, 0.9])
    (0.4, 0.8)
    """
    positive, values = binary(labels, "labels"), floats(scores, "scores")
    same_length(positive, "labels", values, "scores")
    if not positive.any():
        return math.inf, 0.0
    order = np.argsort(-values, kind="stable")
    descending = values[order]
    last_of_tie = np.flatnonzero(np.concatenate([descending[1:] != descending[:-1], [True]]))
    true_positives = np.cumsum(positive[order])[last_of_tie]
    f1 = 2 * true_positives / (last_of_tie + 1 + positive.sum())
    best = int(np.argmax(f1))
    return float(descending[last_of_tie[best]]), float(f1[best])


def confidently_wrong(logits: ArrayLike, labels: ArrayLike, threshold: float = 0.9) -> list[int]:
    """Find the wrong predictions with confidence >= `threshold`, the surest first.

    Returned are their indices; the confidence is softmax's. logits: (n, classes); labels: (n,). A confidence within 1e-7 of
    the threshold counts, so that float32 noise decides nothing. These are the examples to read: a wrong label, irony, or
    something the model never saw.

    >>> confidently_wrong([[0.0, 3.0], [0.0, 5.0], [5.0, 0.0]], labels=[0, 0, 0])
    [1, 0]
    """
    result = EvalResult.from_logits(labels, logits)
    wrong = np.flatnonzero(~result.correct & (result.confidences >= threshold - 1e-7))
    return [int(index) for index in wrong[np.argsort(-result.confidences[wrong], kind="stable")]]

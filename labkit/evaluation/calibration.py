"""Calibration: does a model that says 90 % have 9 of 10 right? And if it has not?

Reliability bins and the calibration error, temperature scaling, and the abstention curve: how right a model is on what it is
surest of. Does not resample (intervals.py) or draw (figures.py).
"""

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from labkit.display import text_table
from labkit.evaluation.arrays import FloatArray, IntArray, binary, floats, ratio, same_length
from labkit.evaluation.metrics import EvalResult, log_softmax

CALIBRATION_BINS = 10
TEMPERATURES = (0.05, 20.0)  # beyond them a fit says nothing but that there was nothing to fit
MOST_IN_COMMON = 0.5  # share of examples that a set may have in common with the one a temperature was fitted on


# --- bins ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ReliabilityBin:
    """The examples whose confidence lies in (low, high].

    Mean confidence and accuracy are NaN when there are none.
    """

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


def reliability_bins(confidences: ArrayLike, correct: ArrayLike, bins: int = CALIBRATION_BINS) -> list[ReliabilityBin]:
    """Group confidence and accuracy into equal-width bins.

    The edges are k / bins; a bin holds its right edge, the first also 0. confidences: (n,) in [0, 1]; correct: (n,) bool or
    0/1. Returns `bins` rows, empty ones included. Raises ValueError when the lengths differ, a confidence lies outside
    [0, 1] or bins < 1.

    >>> reliability_bins([0.5, 0.9], [True, False], bins=2)[0]
    ReliabilityBin(low=0.0, high=0.5, count=1, confidence=0.5, accuracy=1.0)
    """
    values, right = _checked_confidences(confidences, correct)
    member = bin_of(values, bins)
    counts, confidence, accuracy = (_sums(member, column, bins) for column in (np.ones(len(values)), values, right))
    confidence, accuracy = (ratio(column, counts, otherwise=math.nan) for column in (confidence, accuracy))
    return [
        ReliabilityBin(k / bins, (k + 1) / bins, int(counts[k]), float(confidence[k]), float(accuracy[k]))
        for k in range(bins)
    ]


def expected_calibration_error(confidences: ArrayLike, correct: ArrayLike, bins: int = CALIBRATION_BINS) -> float:
    """Average how far confidence and accuracy lie apart (Guo et al. 2017, eq. 3).

    The average is over equal-width bins. confidences: (n,) in [0, 1]; correct: (n,) bool or 0/1. Bins as in
    `reliability_bins`, each weighing as much as it holds examples. Returns a fraction in [0, 1]; 0.0 for n = 0. Raises
    ValueError as `reliability_bins` does.

    >>> round(expected_calibration_error([0.9, 0.6], [True, False]), 6)
    0.35
    """
    values, right = _checked_confidences(confidences, correct)
    gaps = _sums(bin_of(values, bins), values - right, bins)
    return float(np.abs(gaps).sum() / max(len(values), 1))


def bins_as_text(bins: Sequence[ReliabilityBin]) -> str:
    """Format the bins that hold examples for a terminal, a line each."""
    rows = [
        (f"{row.low:.2f} to {row.high:.2f}", f"{row.count:,}", f"{row.confidence:.3f}", f"{row.accuracy:.3f}")
        for row in bins
        if row.count
    ]
    heads = ("confidence", "examples", "mean confidence", "accuracy")
    return text_table([heads, *rows], ("<14", ">8", ">18", ">10"), gap="")


def bin_of(confidences: FloatArray, bins: int) -> IntArray:
    """Find the bin of each confidence, (n,).

    The inner edges are k / bins exactly as division gives them.
    """
    if bins < 1:
        raise ValueError(f"bins must be at least 1; found {bins}")
    return np.searchsorted(np.arange(1, bins) / bins, confidences, side="left").astype(np.int64)


def _checked_confidences(confidences: ArrayLike, correct: ArrayLike) -> tuple[FloatArray, FloatArray]:
    values, right = floats(confidences, "confidences"), binary(correct, "correct")
    same_length(values, "confidences", right, "correct")
    if ((values < 0) | (values > 1)).any():
        raise ValueError(f"confidences must lie in [0, 1]; found {values.min()} to {values.max()}")
    return values, right.astype(np.float64)


def _sums(member: IntArray, values: FloatArray, bins: int) -> FloatArray:
    """Sum the values in each bin, (bins,)."""
    return np.asarray(np.bincount(member, weights=values, minlength=bins), dtype=np.float64)


# --- temperature --------------------------------------------------------------------------------------------------


def at_temperature(result: EvalResult, temperature: float) -> EvalResult:
    """Divide every logit by `temperature`: above 1 makes the model less sure.

    The largest logit stays the largest, so no prediction changes. A probability below 1e-308 counts as that. Raises
    ValueError for a temperature that is not above 0 and finite.

    >>> at_temperature(EvalResult.from_logits([1], [[0.0, 4.0]]), 2.0).probabilities.round(3).tolist()
    [[0.119, 0.881]]
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"temperature must be above 0 and finite; found {temperature}")
    return EvalResult.from_logits(result.labels, log_probabilities(result) / temperature, result.name)


def log_probabilities(result: EvalResult) -> FloatArray:
    """Take logarithms of the probabilities, (n, classes).

    They are the logits minus a number of each row's own, which softmax ignores.
    """
    return np.log(np.maximum(result.probabilities, np.finfo(np.float64).tiny))


@dataclass(frozen=True)
class Temperature:
    """A temperature fitted on validation examples, which refuses those same examples.

    value: the temperature; n: how many examples it was fitted on; loss_before, loss_after: their negative log-likelihood
    at temperature 1 and at this one. note: what is odd about the fit, or nothing.
    """

    value: float
    n: int
    loss_before: float
    loss_after: float
    note: str = ""
    examples: frozenset[bytes] = field(default=frozenset(), repr=False)

    def apply(self, result: EvalResult) -> EvalResult:
        """The result at this temperature.

        Raises ValueError where more than half of the examples are those it was fitted on: a score on them is better than
        the truth, and it is the score on new examples that is asked for. What the fit did there is in `loss_after`.
        """
        asked = _fingerprints(result)
        share = len(asked & self.examples) / max(len(asked), 1)
        if share > MOST_IN_COMMON:
            raise ValueError(
                f"{share:.0%} of these {len(result)} examples are those that the temperature was fitted on; "
                "fit on the validation split, then apply to the test split"
            )
        return at_temperature(result, self.value)

    def __str__(self) -> str:
        change = f"its negative log-likelihood there goes from {self.loss_before:.3f} to {self.loss_after:.3f}"
        note = f" ({self.note})" if self.note else ""
        return f"temperature {self.value:.3f}, fitted on {self.n:,} validation examples: {change}{note}"

    def _repr_html_(self) -> str:
        return html.escape(str(self))


def fit_temperature(*, validation: EvalResult) -> Temperature:
    """Fit the temperature on validation examples (Guo et al. 2017, 4.2).

    It minimises the negative log-likelihood. That is convex in 1 / temperature, and at its lowest point the log-probability
    of the true class is, in the mean, what the probabilities themselves lead one to expect. Only the result of the
    validation split may go in, and so its name must be said. Raises ValueError without examples.
    """
    from scipy.optimize import brentq

    if len(validation) == 0:
        raise ValueError("a temperature needs validation examples; found none")
    logits = log_probabilities(validation)
    true = logits[np.arange(len(logits)), validation.labels]

    def slope(inverse: float) -> float:
        """Of the negative log-likelihood, by 1 / temperature: it rises with it."""
        expected = (np.exp(log_softmax(logits * inverse)) * logits).sum(axis=1)
        return float((expected - true).mean())

    coldest, hottest = TEMPERATURES
    note = ""
    if slope(1 / hottest) >= 0:
        value, note = hottest, f"the hottest that is tried: what the model says of these {len(logits)} is no guide"
    elif slope(1 / coldest) <= 0:
        value, note = coldest, f"the coldest that is tried: {len(logits)} examples do not show where to stop"
    else:
        value = 1 / brentq(slope, 1 / hottest, 1 / coldest, xtol=1e-12)
    before, after = at_temperature(validation, 1.0).loss, at_temperature(validation, value).loss
    return Temperature(float(value), len(validation), before, after, note, _fingerprints(validation))


def _fingerprints(result: EvalResult) -> frozenset[bytes]:
    """Tell examples apart by their label and what the model said of them."""
    rows = np.column_stack([result.labels, result.probabilities])
    return frozenset(row.tobytes() for row in rows)


# --- abstention ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class AbstentionCurve:
    """How right a model is when it answers only where it is surest.

    For every share of the examples that it may answer. thresholds: (m,) falling confidences; coverage: (m,) the share of
    examples at least that sure, up to 1; accuracy: (m,) on those. n: all examples.
    """

    thresholds: FloatArray
    coverage: FloatArray
    accuracy: FloatArray
    n: int
    name: str = ""

    @property
    def area(self) -> float:
        """The mean error rate over all coverages (Geifman & El-Yaniv 2017).

        Less is better; NaN without examples.
        """
        steps = np.diff(self.coverage, prepend=0.0)
        return float((steps * (1 - self.accuracy)).sum()) if self.n else math.nan

    def accuracy_at(self, coverage: float) -> float:
        """Return the accuracy on the surest examples that make up this coverage.

        At least this share of the examples is answered; NaN without examples. Raises ValueError for a coverage outside
        (0, 1].
        """
        if not 0 < coverage <= 1:
            raise ValueError(f"coverage must lie above 0 and at most at 1; found {coverage}")
        if self.n == 0:
            return math.nan
        return float(self.accuracy[np.searchsorted(self.coverage, coverage - 1e-9)])


def abstention_curve(result: EvalResult) -> AbstentionCurve:
    """Compute the accuracy on the surest examples by their share.

    Equally sure ones come in together.

    >>> surest_first = abstention_curve(EvalResult.from_logits([1, 1], [[0.0, 3.0], [1.0, 0.0]]))
    >>> surest_first.coverage.tolist(), surest_first.accuracy.tolist()
    ([0.5, 1.0], [1.0, 0.5])
    """
    order = np.argsort(-result.confidences, kind="stable")
    confidences = result.confidences[order]
    ends = np.flatnonzero(np.concatenate([confidences[1:] != confidences[:-1], [True] * bool(len(order))]))
    answered = ends + 1
    right = np.cumsum(result.correct[order])[ends]
    return AbstentionCurve(confidences[ends], answered / max(len(order), 1), right / answered, len(result), result.name)

"""The interval of each metric, by the method that is known to hold for it at small n.

Wilson's for shares, DeLong's for an area under a curve, the studentised bootstrap for a mean loss, an inverted test for
the calibration error, MOVER for means over classes and for differences. Each is a pair (low, high), NaN where there is
none. How often they hold the truth was simulated: the figures stand at `score_table`. Does not compute metrics (metrics.py)
or make the table (intervals.py).
"""

import math
from collections.abc import Callable, Iterable
from statistics import NormalDist

import numpy as np

from labkit.evaluation.arrays import BoolArray, FloatArray

NO_INTERVAL = (math.nan, math.nan)
BISECTIONS = 12  # of [0, 1]: to 0.0003


def wilson(count: float, n: float, level: float) -> tuple[float, float]:
    """Compute Wilson's score interval of a share (Wilson 1927); [0, 1] for n = 0.

    It stays in [0, 1], and its width is not 0 where none or all of n were counted.
    """
    if n == 0:
        return 0.0, 1.0
    z, share = _z(level), count / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return min(max(middle - half, 0.0), share), max(min(middle + half, 1.0), share)


def f1_interval(true_positives: float, predicted: float, actual: float, level: float) -> tuple[float, float]:
    """Compute an interval of F1 from the counts of its class.

    TP / (TP + FP + FN) is a share, with Wilson's interval, and F1 = 2 share / (1 + share) (Lam & Lai 2023, "Wilson
    indirect").
    """
    low, high = (
        2 * share / (1 + share) for share in wilson(true_positives, predicted + actual - true_positives, level)
    )
    return low, high


def area_interval(positive: BoolArray, scores: FloatArray, area: float, level: float) -> tuple[float, float]:
    """Compute an interval of ROC AUC.

    The variance is DeLong's (DeLong et al. 1988), the interval symmetric on the logit scale, so that it stays in [0, 1].
    Where that variance is 0 (an area of 0 or 1) or unknown (a single example of a class), Newcombe's method 5 (2006),
    which inverts a test with the variance of Hanley & McNeil (1982).
    """
    positives, negatives = np.sort(scores[positive]), np.sort(scores[~positive])
    m, n = len(positives), len(negatives)
    if m == 0 or n == 0:
        return NO_INTERVAL
    if m > 1 and n > 1:
        # Of each positive the share of negatives below it, of each negative that of positives; ties count half.
        above, below = (
            sum(np.searchsorted(others, own, side) for side in ("left", "right")) / (2 * len(others))
            for own, others in ((positives, negatives), (negatives, positives))
        )
        error = math.sqrt(np.var(above, ddof=1) / m + np.var(below, ddof=1) / n)
        if error > 0 and 0 < area < 1:
            odds, factor = area / (1 - area), math.exp(min(_z(level) * error / (area * (1 - area)), 700.0))
            return odds / (odds + factor), odds * factor / (odds * factor + 1)
    areas = np.linspace(0, 1, 20_001)
    shape = (1 - areas) / (2 - areas) + areas / (1 + areas)
    errors = np.sqrt(areas * (1 - areas) * (1 + ((m + n) / 2 - 1) * shape) / (m * n))
    plausible = areas[np.abs(areas - area) <= _z(level) * errors]
    return float(min(plausible.min(), area)), float(max(plausible.max(), area))


def matthews_interval(confusion: FloatArray, level: float) -> tuple[float, float]:
    """Compute an interval of Matthews' correlation from the counts (classes, classes).

    (1 + correlation) / 2 is taken for a share of as many examples as would give it the variance that the delta method
    finds, and gets Wilson's interval. For the variance an example is spread evenly over the cells, so that an empty one
    is no certainty.
    """
    value, _ = _correlation_and_error(confusion)
    _, error = _correlation_and_error(confusion + 1 / confusion.size)
    share = (1 + value) / 2
    effective = max(4 * share * (1 - share) / error**2, 1.0) if 0 < share < 1 else confusion.sum()
    low, high = wilson(share * effective, effective, level)
    return 2 * low - 1, 2 * high - 1


def _correlation_and_error(cells: FloatArray) -> tuple[float, float]:
    """Compute Matthews' correlation of the counts, 0 where it has none, and its standard error by the delta method."""

    def correlation(counts: FloatArray) -> float:
        actual, predicted, n = counts.sum(axis=1), counts.sum(axis=0), counts.sum()
        spread = (n**2 - (actual**2).sum()) * (n**2 - (predicted**2).sum())
        return float((np.trace(counts) * n - actual @ predicted) / math.sqrt(spread)) if spread > 0 else 0.0

    step, weights = 1e-4, cells.ravel()
    bumps = step * np.eye(cells.size).reshape(-1, *cells.shape)
    slopes = np.array([correlation(cells + bump) - correlation(cells - bump) for bump in bumps]) / (2 * step)
    variance = (slopes**2 * weights).sum() - (slopes * weights).sum() ** 2 / cells.sum()
    return correlation(cells), math.sqrt(max(variance, 0.0))


def calibration_error_interval(
    counts: FloatArray, confidence: FloatArray, right: FloatArray, level: float, resamples: int, seed: int
) -> tuple[float, float, float]:
    """Compute an interval of the calibration error, and what n examples of a calibrated model show.

    counts, confidence, right: (bins,) examples, the sum of their confidences, and how many were right. The error of a
    sample is never negative, so it lies above the truth, by more the smaller n is; resampling the examples adds that
    noise once more, and the bootstrap's interval misses the truth. Here a test is inverted: the interval holds each error
    t under which the error that was found lies between the quantiles (1 - level) / 2 and (1 + level) / 2 of simulated
    ones. The t is spread over the bins as the gaps were found, and evenly; the interval holds what either allows, and the
    value itself.
    """
    filled = counts > 0
    counts, confidence, right = counts[filled], confidence[filled], right[filled]
    n = counts.sum()
    found = float(np.abs(confidence - right).sum() / n)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(int(n), counts / n, size=resamples).astype(np.float64)
    accuracy = (right + 4 * confidence / counts) / (
        counts + 4
    )  # so that a bin of three right ones is not without noise
    noise = np.sqrt(drawn * accuracy * (1 - accuracy)) * generator.normal(size=drawn.shape)
    tail = (1 - level) / 2

    def quantile(gaps: FloatArray, share: float) -> float:
        return float(np.quantile(np.abs(drawn * gaps + noise).sum(axis=1) / n, share))

    low, high = found, found
    for shape in (confidence / counts - right / counts, np.where(confidence > right, 1.0, -1.0)):
        size = np.abs(counts * shape).sum() / n
        gaps = shape / size if size > 0 else np.ones(len(counts))
        low = min(low, _first_where(lambda t: quantile(t * gaps, 1 - tail) >= found))  # noqa: B023
        high = max(high, _first_where(lambda t: quantile(t * gaps, tail) > found))  # noqa: B023
    return low, high, float(np.abs(noise).sum(axis=1).mean() / n)


def mean_loss_interval(losses: FloatArray, draws: Iterable[FloatArray], level: float) -> tuple[float, float]:
    """Compute an interval of the mean of losses (n,), none negative, by the studentised bootstrap.

    After Efron & Tibshirani 1993, chapter 12, on the logarithmic scale: the quantiles are those of (log mean of a
    resample - log mean) / its own standard error. draws: weights (resamples, n) in pieces, how often each loss counts.
    NaN where so many resamples are without a spread that a bound would lie among them, as when one loss is the whole sum.
    """
    n, mean, spread = len(losses), float(losses.mean()), float(losses.std())
    if spread <= 1e-12 * mean:
        return mean, mean
    powers = np.stack([losses, (losses - mean) ** 2], axis=1)
    means, squares = (np.concatenate([weights @ powers for weights in draws]) / n).T
    spreads = np.sqrt(np.maximum(squares - (means - mean) ** 2, 0.0))
    has_spread, tail = (spreads > 1e-9 * spread) & (means > 0), (1 - level) / 2
    if has_spread.mean() < 1 - tail:
        return NO_INTERVAL
    means, spreads = means[has_spread], spreads[has_spread]
    furthest, nearest = np.quantile(np.log(means / mean) * means / spreads, [1 - tail, tail]) * spread / mean
    return mean * math.exp(-furthest), mean * math.exp(min(-nearest, 700.0))


def combined_interval(
    values: FloatArray, lows: FloatArray, highs: FloatArray, coefficients: FloatArray, correlations: FloatArray
) -> tuple[float, float]:
    """Combine the intervals of several metrics into that of their weighted sum.

    Each argument but the last is (metrics,); correlations: (metrics, metrics), of the metrics over samples. MOVER, the
    method of variance estimates recovery (Zou & Donner 2008): each distance from value to bound stands for the spread in
    its direction. With two shares and the coefficients 1 and -1 it is Newcombe's interval of a paired difference (1998,
    method 10).
    """
    below, above = coefficients * (values - lows), coefficients * (highs - values)
    down, up = np.where(coefficients > 0, below, above), np.where(coefficients > 0, above, below)
    value = float(coefficients @ values)
    low, high = (math.sqrt(max(float(each @ correlations @ each), 0.0)) for each in (down, up))
    return value - low, value + high


def correlations_of(drawn: FloatArray) -> FloatArray:
    """Compute the correlations of metrics (metrics, resamples); 0 with one that never moves."""
    defined = drawn[:, ~np.isnan(drawn).any(axis=0)]
    found = np.eye(len(drawn))
    if defined.shape[1] > 1:
        moving = defined.std(axis=1) > 1e-12
        found[np.ix_(moving, moving)] = np.corrcoef(defined[moving]) if moving.any() else 0.0
    return found


def _first_where(holds: Callable[[float], bool]) -> float:
    """Find the least t in [0, 1] for which `holds`, by bisection; 0 if it does there."""
    if holds(0.0):
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)

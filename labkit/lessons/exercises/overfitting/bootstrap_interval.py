"""Exercise 5.4, bootstrap_interval: how far an accuracy may be from what another sample would give.

The number of hits in a resample is binomial, so it is known where the ends of the interval lie: between the quantiles that the
error left by `resamples` allows. In most fixed cases these are one number.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.values import numbers
from labkit.checks.wire import Plain, close, is_number, shown
from labkit.lessons.observers import overfitting as observers

STANDARD_ERRORS = 6  # of a quantile: no right answer lies farther off by chance
NOISE = 1e-6
SEEDS = 16  # that the narrow intervals of two resamples are averaged over
Bounds = tuple[float, float]


def bounds_reference(n: int, hits: int, level: float = 0.95, resamples: int = 2000) -> tuple[Bounds, Bounds]:
    """Between which values the lower and the upper end may lie."""
    tail = (1 - level) / 2
    return _quantile_bounds(n, hits, tail, resamples), _quantile_bounds(n, hits, 1 - tail, resamples)


@cache
def _quantile_bounds(n: int, hits: int, share: float, resamples: int) -> Bounds:
    from scipy.stats import binom

    error = (
        STANDARD_ERRORS * math.sqrt(share * (1 - share) / resamples) + 3 / resamples
    )  # conventions differ by a place
    shares = np.clip([share - error, share + error], 1e-12, 1 - 1e-12)
    low, high = binom.ppf(shares, n, hits / n) / n
    return float(low), float(high)


def _case(label: str, correct: Sequence[int], **named: Plain) -> Case:
    return Case({"correct": list(correct), **named}, label)


def _with_hits(n: int, hits: int) -> list[int]:
    """Hits spread evenly."""
    return [(place + 1) * hits // n - place * hits // n for place in range(n)]


@cache
def _fixed() -> tuple[Case, ...]:
    return (
        _case("two", [0, 1]),
        _case("two", [1, 0], level=0.4, resamples=4000, seed=2),
        _case("usual", _with_hits(8, 4), resamples=20000),
        _case("few", _with_hits(400, 200), resamples=2, _seeds=SEEDS),
        _case("usual", _with_hits(9, 5), resamples=4000, seed=5),
        _case("usual", _with_hits(5, 4), resamples=4000, seed=8),
        _case("usual", _with_hits(20, 17), seed=1),
        _case("usual", _with_hits(15, 8), resamples=20000, seed=3),
        _case("level", _with_hits(8, 5), level=0.8, resamples=4000),
        _case("level", _with_hits(12, 11), level=0.9, resamples=4000, seed=4),
        _case("level", _with_hits(8, 4), level=0.5, resamples=4000, seed=1),
        _case("alike", [1, 1, 1, 1, 1, 1]),
        _case("alike", [0, 0, 0]),
        _case("seed", _with_hits(400, 211), resamples=40, _again=True),
        _case("seed", _with_hits(500, 322), resamples=40, seed=6, _again=True),
        _case("seed", _with_hits(450, 280), resamples=80, seed=7, _again=True),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator, label) for label in ("usual", "level"))]


def _drawn(generator: np.random.Generator, label: str) -> Case:
    n = int(generator.integers(10, 40))
    correct = generator.permutation(_with_hits(n, int(generator.integers(1, n)))).tolist()
    level = {"level": float(generator.choice([0.5, 0.8, 0.9]))} if label == "level" else {}
    return _case(label, correct, seed=int(generator.integers(1000)), **level)


def _bounds(case: Case) -> tuple[Bounds, Bounds]:
    correct = case.inputs["correct"]
    named = {name: case.inputs[name] for name in ("level", "resamples") if name in case.inputs}
    return bounds_reference(len(correct), sum(correct), **named)


def _lies_within(case: Case, observation: Observation) -> Failure | None:
    low, high = numbers(observation.value).tolist()
    bounds = _bounds(case)
    ends = zip((low, high), bounds, strict=True)
    if low <= high and all(least - NOISE <= end <= most + NOISE for end, (least, most) in ends):
        return None
    return Failure(" and ".join(f"a {name} end {_between(*bound)}" for name, bound in zip(_ENDS, bounds, strict=True)))


_ENDS = ("lower", "upper")


def _between(low: float, high: float) -> str:
    return f"of {low:.4g}" if close(low, high) else f"from {low:.4g} to {high:.4g}"


def _same_again(case: Case, observation: Observation) -> Failure | None:
    first, again = observation.value, observation.seen["again"]
    same = numbers(first).tolist() == numbers(again).tolist()
    return None if same else Failure("the same interval again", f"first {shown(first)}, then {shown(again)}")


def _is_narrow(case: Case, observation: Observation) -> Failure | None:
    """Two means are 1.1 standard deviations apart on average, the interval of many is 3.9 wide. Raising says neither."""
    intervals = [numbers(one) for one in observation.value if one is not None]
    mean = np.mean(case.inputs["correct"])
    deviation = math.sqrt(mean * (1 - mean) / len(case.inputs["correct"]))
    width = np.mean([high - low for low, high in intervals]) if intervals else 0.0
    if width < 2.6 * deviation:
        return None
    return Failure(f"a width of about {1.1 * deviation:.3f}, over {SEEDS} seeds", f"{width:.3f}")


def _same(one: Plain, other: Plain) -> bool:
    """Whether two intervals are the same but for the noise of resampling, which is finer than the steps of a small mean."""
    return bool(np.allclose(numbers(one), numbers(other), rtol=0, atol=0.02))


Means = np.ndarray


def _resampled(correct: Any, resamples: int, seed: int, size: int = 0) -> Means:
    """(resamples,) means of resamples with replacement, of `size` or as many as there are."""
    generator, values = np.random.default_rng(seed), np.asarray(correct, dtype=np.float64)
    return np.asarray(generator.choice(values, size=(resamples, size or len(values))).mean(axis=1))


def _interval(
    ends: Callable[[Means, float], Sequence[float]],
    means: Callable[[Any, int, int], Means] = _resampled,
    only: float | None = None,
    always: int | None = None,
) -> Any:
    """A wrong answer. ends: of the resampled means and the level; only, always: the level and the resamples that it has."""

    def answer(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
        low, high = ends(means(correct, always or resamples, seed), only or level)
        return float(low), float(high)

    return answer


def _percentiles(means: Means, level: float) -> Sequence[float]:
    return list(np.quantile(means, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf"))


def _one_tail_each(means: Means, level: float) -> Sequence[float]:
    return list(np.quantile(means, [1 - level, level], method="inverted_cdf"))


def _level_as_alpha(means: Means, level: float) -> Sequence[float]:
    return list(np.quantile(means, [level / 2, 1 - level / 2], method="inverted_cdf"))


def _normal(means: Means, level: float) -> Sequence[float]:
    from scipy.stats import norm

    half = norm.ppf((1 + level) / 2) * means.std()
    return [means.mean() - half, means.mean() + half]


def _one_deviation(means: Means, level: float) -> Sequence[float]:
    return [means.mean() - means.std(), means.mean() + means.std()]


def _around_the_mean(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    """The reverse percentile interval, which is bent the wrong way round for a percentile one."""
    low, high = _percentiles(_resampled(correct, resamples, seed), level)
    twice = 2 * float(np.mean(correct))
    return twice - high, twice - low


def _without_replacement(correct: Any, resamples: int, seed: int) -> Means:
    return np.full(resamples, np.mean(correct))


def _half_as_many(correct: Any, resamples: int, seed: int) -> Means:
    return _resampled(correct, resamples, seed, max(1, len(correct) // 2))


def _one_at_a_time(correct: Any, resamples: int, seed: int) -> Means:
    return _resampled(correct, resamples, seed, 1)


def _the_same_each_time(correct: Any, resamples: int, seed: int) -> Means:
    return np.repeat(_resampled(correct, 1, seed), resamples)


def _counts(correct: Any, resamples: int, seed: int) -> Means:
    return _resampled(correct, resamples, seed) * len(correct)


_RETURNS = dataclasses.replace(
    returns(
        "a tuple of two floats",
        lambda value: isinstance(value, tuple) and len(value) == 2 and all(map(is_number, value)),
    ),
    applies=lambda case: case.label != "few",
)

EXERCISE = Exercise(
    "5.4",
    "bootstrap_interval",
    observers.bootstrap_interval,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "the smallest arrays have an interval too",
            "Of two examples, one right and one wrong: which means can a resample have, and how often does each come up?",
            on="two",
            test=_lies_within,
        ),
        Property(
            "the interval lies between the percentiles of the resampled means",
            "Draw a histogram of your resampled means. Which share of them should lie below your interval, and which above it?",
            on="usual",
            test=_lies_within,
            core=True,
        ),
        Property(
            "the level is the caller's",
            "A level of one half leaves a quarter on either side. Which shares are left by the level of the example?",
            on="level",
            test=_lies_within,
            core=True,
        ),
        Property(
            "where all are alike it is a single point",
            "Which means can a resample have where every example is right?",
            on="alike",
            test=_lies_within,
        ),
        Property(
            "the same seed gives the same interval",
            "Called again with the same seed, your answer gives another interval. Where does its randomness come from?",
            on="seed",
            test=_same_again,
        ),
        Property(
            "few resamples of many examples stay within the error that they leave",
            "Few resamples leave a coarse interval, but not any. How many examples has each of yours, and what of it is kept?",
            on="seed",
            test=_lies_within,
        ),
        Property(
            "resamples is the caller's",
            "Between the means of only two resamples there is little room. How many does your answer draw?",
            on="few",
            test=_is_narrow,
        ),
        _RETURNS,
    ),
    wrong={
        "normal interval": (
            "Yours is the mean with a multiple of the standard deviation on both sides. Percentiles assume no bell.",
            _interval(_normal),
        ),
        "one standard deviation": (
            "Yours reaches one standard deviation to either side, whatever the level. The exercise asks for percentiles.",
            _interval(_one_deviation),
        ),
        "without replacement": (
            "Your interval is a single point. Drawn without replacement, every resample is the same array in another order.",
            _interval(_percentiles, _without_replacement),
        ),
        "the same resample each time": (
            "All your resamples are the same one. Does a generator start anew inside the loop?",
            _interval(_percentiles, _the_same_each_time),
        ),
        "level read as alpha": (
            "Your interval is as narrow as a level near 0 would make it. What is left outside is the rest, half on each side.",
            _interval(_level_as_alpha),
        ),
        "the whole rest on each side": (
            "You leave on each side what both sides together should leave. Your interval is too narrow for its level.",
            _interval(_one_tail_each),
        ),
        "the usual level written into the code": (
            "The level is an argument: your answer uses the usual one whatever the caller says.",
            _interval(_percentiles, only=0.95),
        ),
        "the usual number of resamples written into the code": (
            "The number of resamples is an argument: yours is always the usual one.",
            _interval(_percentiles, always=2000),
        ),
        "percentiles of the single answers": (
            "Your percentiles are those of single answers, which are 0 or 1. What should be computed of each resample first?",
            _interval(_percentiles, _one_at_a_time),
        ),
        "resamples of half the size": (
            "Your resamples are smaller than the array, so their means scatter too far. How many should be drawn?",
            _interval(_percentiles, _half_as_many),
        ),
        "lowest and highest": (
            "You take the lowest and the highest of all resampled means. They move outwards with every resample more.",
            _interval(lambda means, level: [means.min(), means.max()]),
        ),
        "counts in place of means": (
            "Your interval is one of counts. The exercise asks about the mean.",
            _interval(_percentiles, _counts),
        ),
        "the reverse interval": (
            "Your interval is mirrored at the mean, as the reverse percentile one is. Here percentiles are taken as they are.",
            _around_the_mean,
        ),
    },
    same=_same,
    keeps_arguments="the array",
)

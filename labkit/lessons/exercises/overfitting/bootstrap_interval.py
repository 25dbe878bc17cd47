"""Exercise 5.4, bootstrap_interval: how far an accuracy may be from what another sample would give.

The number of successes in a resample is binomial, so it is known where the ends of the interval lie: between the quantiles that
the error left by `resamples` allows. In most fixed cases these are one number.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
from labkit.checks.forms import named
from labkit.checks.properties import returns, tuple_of
from labkit.checks.values import numbers
from labkit.checks.wire import Plain, close, is_number, shown
from labkit.lessons.observers import overfitting as observers

STANDARD_ERRORS = 6  # of a quantile: no right answer lies farther off by chance
NOISE = 1e-6
SEEDS = 16  # that the narrow intervals of two resamples are averaged over


@cache
def bounds_reference(n: int, successes: int, level: float = 0.95, resamples: int = 2000) -> list[tuple[float, float]]:
    """Between which values the lower and the upper end may lie."""
    from scipy.stats import binom

    shares = np.array([(1 - level) / 2, 1 - (1 - level) / 2])
    # The last part is for conventions, which differ by a place.
    errors = STANDARD_ERRORS * np.sqrt(shares * (1 - shares) / resamples) + 3 / resamples
    bounds = np.clip([shares - errors, shares + errors], 1e-12, 1 - 1e-12)
    return list(zip(*(binom.ppf(bounds, n, successes / n) / n).tolist(), strict=True))


def _of(n: int, successes: int, **more: Plain) -> dict[str, Plain]:
    """Successes spread evenly."""
    return {"correct": [(place + 1) * successes // n - place * successes // n for place in range(n)], **more}


def _fixed() -> list[tuple[str, Inputs]]:
    return [
        ("two", {"correct": [0, 1]}),
        ("two", {"correct": [1, 0], "level": 0.4, "resamples": 4000, "seed": 2}),
        ("usual", _of(8, 4, resamples=20000)),
        ("few", _of(400, 200, resamples=2, _seeds=SEEDS)),
        ("usual", _of(9, 5, resamples=4000, seed=5)),
        ("usual", _of(5, 4, resamples=4000, seed=8)),
        ("usual", _of(20, 17, seed=1)),
        ("usual", _of(15, 8, resamples=20000, seed=3)),
        ("level", _of(8, 5, level=0.8, resamples=4000)),
        ("level", _of(12, 11, level=0.9, resamples=4000, seed=4)),
        ("level", _of(8, 4, level=0.5, resamples=4000, seed=1)),
        ("alike", _of(6, 6)),
        ("alike", _of(3, 0)),
        ("seed", _of(400, 211, resamples=40, _again=True)),
        ("seed", _of(500, 322, resamples=40, seed=6, _again=True)),
        ("seed", _of(450, 280, resamples=80, seed=7, _again=True)),
    ]


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    for label in ("usual", "level"):
        n = int(generator.integers(10, 40))
        correct = generator.permutation(_of(n, int(generator.integers(1, n)))["correct"]).tolist()
        level = {"level": float(generator.choice([0.5, 0.8, 0.9]))} if label == "level" else {}
        yield label, {"correct": correct, "seed": int(generator.integers(1000)), **level}


def _lies_within(case: Case, observation: Observation) -> Failure | None:
    correct, ends = case.inputs["correct"], numbers(observation.value).tolist()
    bounds = bounds_reference(len(correct), sum(correct), **named(case.inputs, "level", "resamples"))
    within = [least - NOISE <= end <= most + NOISE for end, (least, most) in zip(ends, bounds, strict=True)]
    if ends == sorted(ends) and all(within):
        return None
    wanted = [f"of {low:.4g}" if close(low, high) else f"from {low:.4g} to {high:.4g}" for low, high in bounds]
    return Failure(f"a lower end {wanted[0]} and a upper end {wanted[1]}")


def _same_again(case: Case, observation: Observation) -> Failure | None:
    first, again = observation.value, observation.seen["again"]
    same = numbers(first).tolist() == numbers(again).tolist()
    return None if same else Failure("the same interval again", f"first {shown(first)}, then {shown(again)}")


def _is_narrow(case: Case, observation: Observation) -> Failure | None:
    """Two means are 1.1 standard deviations apart on average, the interval of many is 3.9 wide. Raising says neither."""
    widths = [np.diff(numbers(one)).item() for one in observation.value if one is not None]
    width, deviation = np.mean(widths or 0), np.std(case.inputs["correct"]) / math.sqrt(len(case.inputs["correct"]))
    if width < 2.6 * deviation:
        return None
    return Failure(f"a width of about {1.1 * deviation:.3f}, over {SEEDS} seeds", f"{width:.3f}")


def _resampled(correct: Any, resamples: int, seed: int, size: Callable[[Any], int] = len) -> np.ndarray:
    """(resamples,) means of resamples with replacement, each of `size(values)`."""
    generator, values = np.random.default_rng(seed), np.asarray(correct, dtype=np.float64)
    return np.asarray(generator.choice(values, size=(resamples, size(values))).mean(axis=1))


def _quantiles(means: np.ndarray, level: float) -> Any:
    return np.quantile(means, [(1 - level) / 2, (1 + level) / 2], method="inverted_cdf")


def _interval(
    ends: Callable[[np.ndarray, float], Any] = _quantiles,
    means: Callable[[Any, int, int], np.ndarray] = _resampled,
    only: float | None = None,
    always: int | None = None,
) -> Any:
    """A wrong answer. only, always: the level and the resamples that it has."""

    def answer(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
        low, high = ends(means(correct, always or resamples, seed), only or level)
        return float(low), float(high)

    return answer


def _normal(means: np.ndarray, level: float) -> Any:
    from scipy.stats import norm

    half = norm.ppf((1 + level) / 2) * means.std()
    return means.mean() - half, means.mean() + half


EXERCISE = Exercise(
    "5.4",
    "bootstrap_interval",
    observers.bootstrap_interval,
    nudge=(
        "What might another test set of this size have given? Make one out of yours: how many examples do you draw, "
        "and may the same one be drawn twice?"
    ),
    in_words=(
        "Draw as many examples as there are, with replacement, take their mean, and do so many times. The means "
        "scatter as the score would over other samples. Of what the level leaves out, half is cut off at either end: "
        "the interval lies between those two percentiles. One generator, made of the seed, draws all."
    ),
    fixed=_fixed,
    properties=(
        Property(
            "the smallest arrays have an interval too",
            "Of two examples, one right and one wrong: which means can a resample have, and how often does each come up?",
            on="two",
        ),
        Property(
            "the interval lies between the percentiles of the resampled means",
            "Draw a histogram of your resampled means. Which share of them should lie below your interval, and which above it?",
            on="usual",
            core=True,
            idea=True,
        ),
        Property(
            "the level is the caller's",
            "A level of one half leaves a quarter on either side. Which shares are left by the level of the example?",
            on="level",
            core=True,
        ),
        Property(
            "where all are alike it is a single point",
            "Which means can a resample have where every example is right?",
            on="alike",
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
        ),
        Property(
            "resamples is the caller's",
            "Between the means of only two resamples there is little room. How many does your answer draw?",
            on="few",
            test=_is_narrow,
        ),
        replace(
            returns("a tuple of two floats", tuple_of(is_number, is_number)), applies=lambda case: case.label != "few"
        ),
    ),
    wrong={
        "normal interval": (
            "Yours is the mean with a multiple of the standard deviation on both sides. Percentiles assume no bell.",
            _interval(_normal),
        ),
        "one standard deviation": (
            "Yours reaches one standard deviation to either side, whatever the level. The exercise asks for percentiles.",
            _interval(lambda means, level: (means.mean() - means.std(), means.mean() + means.std())),
        ),
        "without replacement": (
            "Your interval is a single point. Drawn without replacement, every resample is the same array in another order.",
            _interval(means=lambda correct, resamples, seed: np.full(resamples, np.mean(correct))),
        ),
        "the same resample each time": (
            "All your resamples are the same one. Does a generator start anew inside the loop?",
            _interval(means=lambda correct, resamples, seed: np.repeat(_resampled(correct, 1, seed), resamples)),
        ),
        "level read as alpha": (
            "Your interval is as narrow as a level near 0 would make it. What is left outside is the rest, half on each side.",
            _interval(lambda means, level: _quantiles(means, 1 - level)),
        ),
        "the whole rest on each side": (
            "You leave on each side what both sides together should leave. Your interval is too narrow for its level.",
            _interval(lambda means, level: _quantiles(means, 2 * level - 1)),
        ),
        "the usual level written into the code": (
            "The level is an argument: your answer uses the usual one whatever the caller says.",
            _interval(only=0.95),
        ),
        "the usual number of resamples written into the code": (
            "The number of resamples is an argument: yours is always the usual one.",
            _interval(always=2000),
        ),
        "percentiles of the single answers": (
            "Your percentiles are those of single answers, which are 0 or 1. What should be computed of each resample first?",
            _interval(means=partial(_resampled, size=lambda values: 1)),
        ),
        "resamples of half the size": (
            "Your resamples are smaller than the array, so their means scatter too far. How many should be drawn?",
            _interval(means=partial(_resampled, size=lambda values: max(1, len(values) // 2))),
        ),
        "lowest and highest": (
            "You take the lowest and the highest of all resampled means. They move outwards with every resample more.",
            _interval(lambda means, level: [means.min(), means.max()]),
        ),
        "counts in place of means": (
            "Your interval is one of counts. The exercise asks about the mean.",
            _interval(means=lambda correct, *asked: _resampled(correct, *asked) * len(correct)),
        ),
        "the reverse interval": (
            "Your interval is mirrored at the mean, as the reverse percentile one is. Here percentiles are taken as they are.",
            _interval(means=lambda correct, *asked: 2 * np.mean(correct) - _resampled(correct, *asked)),
        ),
    },
    drawn=_drawn,
    test=_lies_within,
    # But for the noise of resampling, which is finer than the steps of a small mean.
    same=lambda one, other: bool(np.allclose(numbers(one), numbers(other), rtol=0, atol=0.02)),
    keeps_arguments="the array",
)

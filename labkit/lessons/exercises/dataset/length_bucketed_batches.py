"""Exercise 2.5, length_bucketed_batches: little padding, and yet no order.

A plan of batches has no single right value, so its wrong answers are told by what is wrong with them (BUCKET_HINTS).
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, as_list, is_integer, shown
from labkit.lessons.exercises.dataset.places import counted, fault_of, has_other_seed, other_differs, same_again
from labkit.lessons.observers import dataset as observers

MANY_BATCHES = 20
NOISE = 1e-9
SORTED_RANK_CORRELATION = 0.9  # of 20 shuffled batches no one sees it
BUCKET_HINTS = {
    "no place": "Your batches hold something other than places. You sort by lengths, but what you sort are places.",
    "twice": "Some reviews are in two batches, so that an epoch trains on them twice.",
    "missing": "Some reviews are in no batch. What becomes of those that remain when the last full batch is made?",
    "too large": "Some of your batches are larger than batch_size.",
    "too small": "Several batches are smaller than batch_size: each bucket leaves a remainder. Only one in all may be smaller.",
    "random": "Your batches waste as much padding as a random order: long and short ones still meet. Where is the order lost?",
}


def _case(label: str, lengths: Sequence[int] | np.ndarray, batch_size: int, **named: Plain) -> Case:
    return Case({"lengths": [int(length) for length in lengths], "batch_size": batch_size, **named}, label)


def _skewed(count: int, generator: np.random.Generator) -> np.ndarray:
    """Lengths as those of reviews: most are short, few are long."""
    return np.minimum(generator.lognormal(3.0, 0.7, count).astype(int) + 3, 128)


@cache
def _fixed() -> tuple[Case, ...]:
    dice = np.random.default_rng(25)
    return (
        _case("small", [7], 4),
        _case("small", [9, 4, 6], 4),
        _case("small", [9, 4, 12, 6], 4, seed=1),
        _case("", [5, 3, 8, 3], 1),
        _case("", [5] * 10, 3),
        _case("skewed", _skewed(80, dice), 8),
        _case("skewed", _skewed(83, dice), 8, seed=2),
        _case("many", _skewed(160, dice), 8, seed=3, _other_seed=4),
        _case("many", np.sort(_skewed(245, dice)), 12, _other_seed=1),
        _case("many", _skewed(403, dice), 16, seed=9),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    batch_size = int(generator.integers(4, 9))
    count = batch_size * int(generator.integers(28, 40)) + int(generator.integers(batch_size))
    lengths, seed = _skewed(count, generator), int(generator.integers(1000))
    return [*_fixed(), _case("skewed", lengths, batch_size, seed=seed)]


def _batches(value: Plain) -> list[list[Any]]:
    return [as_list(batch) for batch in as_list(value)]


def _all_places(value: Plain) -> list[Any]:
    return [place for batch in _batches(value) for place in batch]


def _batches_hold_each_once(case: Case, observation: Observation) -> Failure | None:
    places, count = _all_places(observation.value), len(case.inputs["lengths"])
    fault = fault_of(places, count)
    expected = f"the places 0 to {count - 1}, each once"
    return Failure(expected, counted(places, count), BUCKET_HINTS[fault]) if fault else None


def _sizes_fit(case: Case, observation: Observation) -> Failure | None:
    count, size = len(case.inputs["lengths"]), case.inputs["batch_size"]
    sizes = [len(batch) for batch in _batches(observation.value)]
    smaller = sum(one < size for one in sizes)
    different = len(set(_all_places(observation.value)))
    if max(sizes) <= size and smaller <= 1 and different == count:
        return None
    hint = BUCKET_HINTS["too large"] if max(sizes) > size else BUCKET_HINTS["too small"] if smaller > 1 else ""
    return Failure(
        f"batches of {size}, at most one smaller, {count} places", f"sizes {shown(sizes)}, {different} places", hint
    )


def _small_ones_fit(case: Case, observation: Observation) -> Failure | None:
    return _batches_hold_each_once(case, observation) or _sizes_fit(case, observation)


def _waste(lengths: np.ndarray, batches: Sequence[Sequence[int]]) -> float:
    return 1 - float(lengths.sum()) / sum(int(lengths[batch].max()) * len(batch) for batch in batches if batch)


def _random_waste(lengths: np.ndarray, batch_size: int) -> float:
    """The mean of 20 random orders, always the same ones."""
    dice = np.random.default_rng(0)
    orders = dice.permuted(np.tile(lengths, (20, 1)), axis=1)
    starts = np.arange(0, len(lengths), batch_size)
    longest = np.maximum.reduceat(orders, starts, axis=1)
    places = longest @ np.diff([*starts, len(lengths)])
    return float(np.mean(1 - lengths.sum() / places))


def _wastes_little(case: Case, observation: Observation) -> Failure | None:
    lengths = np.array(case.inputs["lengths"])
    if fault := fault_of(_all_places(observation.value), len(lengths)):
        return Failure("every place once", "no plan of all reviews", BUCKET_HINTS[fault])
    found = _waste(lengths, _batches(observation.value))
    at_random = _random_waste(lengths, case.inputs["batch_size"])
    if found <= at_random / 2 + NOISE:
        return None
    hint = BUCKET_HINTS["random"] if found > 0.8 * at_random else ""
    return Failure(f"at most {at_random / 2:.1%} of all places padding", f"{found:.1%} padding", hint)


def _is_not_in_order(case: Case, observation: Observation) -> Failure | None:
    lengths = np.array(case.inputs["lengths"])
    means = [float(lengths[batch].mean()) for batch in _batches(observation.value) if batch]
    if len(means) < MANY_BATCHES:
        return Failure(f"at least {MANY_BATCHES} batches", f"{len(means)} batches")
    ranks = np.argsort(np.argsort(means, kind="stable"), kind="stable")
    correlation = float(np.corrcoef(ranks, np.arange(len(means)))[0, 1])
    in_order = abs(correlation) > SORTED_RANK_CORRELATION
    got = f"mean lengths {shown([round(mean, 1) for mean in means], 120)}"
    return Failure("batches of changing lengths", got) if in_order else None


EXERCISE = Exercise(
    "2.5",
    "length_bucketed_batches",
    observers.length_bucketed_batches,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "few reviews make one batch",
            "What does your answer make of fewer reviews than fit into one batch, and of exactly as many?",
            on="small",
            test=_small_ones_fit,
        ),
        Property(
            "every review is in exactly one batch",
            "The result should be a list of lists that hold every place once. Which are missing, and which stand twice?",
            on=("", "skewed", "many"),
            test=_batches_hold_each_once,
        ),
        Property(
            "batches have batch_size reviews, one may have fewer",
            "Count the reviews of each of your batches, and the batches that are not full.",
            on=("", "skewed", "many"),
            test=_sizes_fit,
            core=True,
        ),
        Property(
            "padding wastes at most half of what a random order wastes",
            "Padding goes down when reviews of nearly one length meet. Yours are still mixed: what do you sort, and how far?",
            on=("skewed", "many"),
            test=_wastes_little,
            core=True,
        ),
        Property(
            "batches do not come in order of length",
            "Your batches come in order of length, so an epoch ends with only long or only short ones. Shuffle whole batches.",
            on="many",
            test=_is_not_in_order,
        ),
        Property(
            "the same seed gives the same list",
            "Called again with the same seed, your answer gives another list. Where does its randomness come from?",
            applies=has_other_seed,
            test=same_again(lambda value: value),
        ),
        Property(
            "another seed gives another list",
            "Your list is the same for every seed. What does the seed decide in your answer?",
            applies=has_other_seed,
            test=other_differs,
        ),
        returns(
            "a list of lists of ints",
            lambda value: (
                isinstance(value, list)
                and all(isinstance(batch, list) and all(map(is_integer, batch)) for batch in value)
            ),
        ),
    ),
    keeps_arguments="lengths",
)

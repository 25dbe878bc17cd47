"""Exercise 2.5, length_bucketed_batches: little padding, and yet no order.

A plan of batches has no single right value, so its wrong answers are told by what is wrong with them (BUCKET_HINTS).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
from labkit.checks.properties import list_of, returns
from labkit.checks.wire import Plain, as_list, is_integer, shown
from labkit.lessons.exercises.dataset.places import decided_by_seed, each_once, fault_of
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


def _skewed(count: int, generator: np.random.Generator) -> list[int]:
    """Lengths as those of reviews: most are short, few are long."""
    return np.minimum(generator.lognormal(3.0, 0.7, count).astype(int) + 3, 128).tolist()


def _fixed() -> Iterator[tuple[str, Inputs]]:
    generator = np.random.default_rng(25)
    yield "skewed", (_skewed(80, generator), 8)
    yield "skewed", (_skewed(83, generator), 8, 2)
    yield "many", (_skewed(160, generator), 8, 3, 4)
    yield "many", {"lengths": sorted(_skewed(245, generator)), "batch_size": 12, "_other_seed": 1}
    yield "many", (_skewed(403, generator), 16, 9)


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    batch_size = int(generator.integers(4, 9))
    count = batch_size * int(generator.integers(28, 40)) + int(generator.integers(batch_size))
    yield "skewed", (_skewed(count, generator), batch_size, int(generator.integers(1000)))


def _batches(value: Plain) -> list[list[Any]]:
    return [as_list(batch) for batch in as_list(value)]


def _all_places(value: Plain) -> list[Any]:
    return [place for batch in _batches(value) for place in batch]


_holds_each_once = each_once(_batches, "lengths", BUCKET_HINTS)


def _sizes_fit(case: Case, observation: Observation) -> Failure | None:
    count, size = len(case.inputs["lengths"]), case.inputs["batch_size"]
    sizes = [len(batch) for batch in _batches(observation.value)]
    smaller = sum(one < size for one in sizes)
    different = len(set(_all_places(observation.value)))
    if max(sizes) <= size and smaller <= 1 and different == count:
        return None
    hint = BUCKET_HINTS["too large"] if max(sizes) > size else BUCKET_HINTS["too small"] if smaller > 1 else ""
    wanted = f"batches of {size}, at most one smaller, {count} places"
    return Failure(wanted, f"sizes {shown(sizes)}, {different} places", hint)


def _random_waste(lengths: np.ndarray, batch_size: int) -> float:
    """The mean of 20 random orders, always the same ones."""
    orders = np.random.default_rng(0).permuted(np.tile(lengths, (20, 1)), axis=1)
    starts = np.arange(0, len(lengths), batch_size)
    longest = np.maximum.reduceat(orders, starts, axis=1)
    places = longest @ np.diff([*starts, len(lengths)])
    return float(np.mean(1 - lengths.sum() / places))


def _wastes_little(case: Case, observation: Observation) -> Failure | None:
    lengths = np.array(case.inputs["lengths"])
    if fault := fault_of(_all_places(observation.value), len(lengths)):
        return Failure("every place once", "no plan of all reviews", BUCKET_HINTS[fault])
    found = 1 - lengths.sum() / sum(lengths[batch].max() * len(batch) for batch in _batches(observation.value) if batch)
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
    in_order = abs(np.corrcoef(ranks, np.arange(len(means)))[0, 1]) > SORTED_RANK_CORRELATION
    got = f"mean lengths {shown([round(mean, 1) for mean in means], 120)}"
    return Failure("batches of changing lengths", got) if in_order else None


EXERCISE = Exercise(
    "2.5",
    "length_bucketed_batches",
    observers.length_bucketed_batches,
    nudge=(
        "Padding is wasted where short and long reviews share a batch. Which reviews should be together, and what may"
        " still be left to chance then?"
    ),
    in_words=(
        "Shuffle first, so that reviews of equal length stand in an order of chance. Sort by length, cut the sorted "
        "reviews into batches, and shuffle the batches as wholes. Like lengths meet, and training still does not walk"
        " from short to long."
    ),
    takes="lengths batch_size seed _other_seed",
    properties=(
        Property(
            "few reviews make one batch",
            "What does your answer make of fewer reviews than fit into one batch, and of exactly as many?",
            on="small",
            fixed=[([7], 4), ([9, 4, 6], 4), ([9, 4, 12, 6], 4, 1)],
            test=lambda case, observation: _holds_each_once(case, observation) or _sizes_fit(case, observation),
        ),
        Property(
            "every review is in exactly one batch",
            "The result should be a list of lists that hold every place once. Which are missing, and which stand twice?",
            on=("any", "skewed", "many"),
            fixed=[([5, 3, 8, 3], 1), ([5] * 10, 3)],
            test=_holds_each_once,
        ),
        Property(
            "batches have batch_size reviews, one may have fewer",
            "Count the reviews of each of your batches, and the batches that are not full.",
            on=("any", "skewed", "many"),
            test=_sizes_fit,
            core=True,
        ),
        Property(
            "padding wastes at most half of what a random order wastes",
            "Padding goes down when reviews of nearly one length meet. Yours are still mixed: what do you sort, and how far?",
            on=("skewed", "many"),
            test=_wastes_little,
            core=True,
            idea=True,
        ),
        Property(
            "batches do not come in order of length",
            "Your batches come in order of length, so an epoch ends with only long or only short ones. Shuffle whole batches.",
            on="many",
            test=_is_not_in_order,
        ),
        *decided_by_seed("list"),
        returns("a list of lists of ints", list_of(list_of(is_integer))),
    ),
    drawn=_drawn,
    fixed=_fixed,
    keeps_arguments="lengths",
)

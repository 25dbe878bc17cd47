"""Exercise 5.3, stratified_kfold: every example is validated once, every fold has the classes of the whole.

Folds have no single right value, so wrong answers are told by what is wrong with them (FOLD_HINTS).
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
from labkit.checks.properties import list_of, returns, tuple_of
from labkit.checks.wire import Plain, as_list, is_integer, shown
from labkit.lessons.observers import overfitting as observers

FOLD_HINTS = {
    "no pair": "A fold is a pair of two lists: what to train on, then what to validate on. What stands in your list?",
    "no place": "Your lists hold something other than places: they should say where in labels each example stands.",
    "swapped": "The large part comes second in your pairs. First the examples to train on, then those to validate on.",
    "overlap": "Some examples are validated in more than one fold. Each belongs into exactly one validation part.",
    "missing": "Some examples are validated in no fold. What becomes of the remainder when a class does not divide by k?",
    "in order": "Your folds are cut out in the order of the labels. What does a fold hold where they come sorted?",
    "by chance": "Your folds are equally large, but which classes they have is left to chance. Deal out each class for itself.",
    "large": "What is left of a class goes into one of your folds, all of it. Deal its examples out one at a time.",
    "leak": "Your training parts hold examples of their own validation part. What was trained on can no longer validate.",
    "short": "Your training parts lack examples. Whatever is not validated in a fold is trained on in it.",
}


def _of(labels: Any, k: int, **named: Plain) -> tuple[str, Inputs]:
    return "two seeds" if "_other_seed" in named else "", {"labels": np.asarray(labels).tolist(), "k": k, **named}


def _fixed() -> list[tuple[str, Inputs]]:
    generator = np.random.default_rng(53)
    shuffled = [generator.permutation(np.repeat(range(len(sizes)), sizes)) for sizes in ((9, 5), (40, 12), (20, 11, 7))]
    return [
        _of([0, 1, 0, 1], 2),
        _of([1, 0, 0, 1, 0, 1], 3, seed=1),
        _of([0, 0, 0, 0, 1, 1], 2, seed=2),
        _of(np.repeat([0, 1], [10, 5]), 5),
        _of(shuffled[0], 4, seed=3),
        _of(shuffled[1], 5, seed=7, _other_seed=8),
        _of(np.repeat([0, 1, 2], [12, 13, 7]), 3, _other_seed=1),
        _of(shuffled[2], 7, seed=5),
        _of(generator.permutation(np.arange(103) % 2), 10, seed=4, _other_seed=3),
        _of(generator.permutation(np.repeat([0, 1, 2], [151, 100, 70])), 8, seed=6),
    ]


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    for classes in (2, 3, 2):
        k = int(generator.integers(2, 7))
        labels = generator.permutation(np.repeat(range(classes), generator.integers(k, 40, size=classes)))
        yield _of(labels, k, seed=int(generator.integers(1000)))


def _pairs(value: Plain) -> list[tuple[list[Any], list[Any]]]:
    """The folds. Raises TypeError or ValueError where they are no pairs of lists."""
    return [(as_list(train), as_list(validation)) for train, validation in as_list(value)]


def _places(part: Sequence[Plain], count: int) -> list[int]:
    """What of a part are places in an array of so many."""
    return [place for place in part if is_integer(place) and 0 <= place < count]


def _has_k_folds(case: Case, observation: Observation) -> Failure | None:
    found, wanted = len(as_list(observation.value)), case.inputs["k"]
    if found != wanted:
        return Failure(f"{wanted} folds", f"{found} folds")
    try:
        _pairs(observation.value)
    except (TypeError, ValueError):
        return Failure(f"{wanted} pairs of two lists", shown(observation.value), FOLD_HINTS["no pair"])
    return None


def _validates_each_once(case: Case, observation: Observation) -> Failure | None:
    count, pairs = len(case.inputs["labels"]), _pairs(observation.value)
    trained, validated = ([place for pair in pairs for place in pair[part]] for part in (0, 1))
    places = _places(validated, count)
    different = len(set(places))
    if different == len(validated) == count:
        return None
    turned = case.inputs["k"] > 2 and sorted(trained, key=repr) == sorted(range(count), key=repr)
    repeated = "swapped" if turned else "overlap"
    fault = "no place" if len(places) < len(validated) else "missing" if len(places) == different else repeated
    got = f"{different} different places, {len(validated) - different} more"
    return Failure(f"the places 0 to {count - 1}, each validated once", got, FOLD_HINTS[fault])


def _folds_are_as_large(case: Case, observation: Observation) -> Failure | None:
    """Each fold may have the floor or the ceiling of each class; what an earlier one validates is not counted again."""
    counts, k = np.bincount(case.inputs["labels"]), case.inputs["k"]
    parts = [set(_places(validation, counts.sum())) for _, validation in _pairs(observation.value)]
    sizes = [len(part.difference(*parts[:number])) for number, part in enumerate(parts)]
    low, high = int((counts // k).sum()), int((-(-counts // k)).sum())
    if len(sizes) == k and all(low <= size <= high for size in sizes):
        return None
    return Failure(f"{k} folds of {low} to {high}" if low < high else f"{k} folds of {low}", f"folds of {shown(sizes)}")


def _folds_have_the_classes(case: Case, observation: Observation) -> Failure | None:
    labels, k = np.array(case.inputs["labels"]), case.inputs["k"]
    parts = [sorted(set(_places(validation, len(labels)))) for _, validation in _pairs(observation.value)]
    in_order = all(part and part[-1] - part[0] + 1 == len(part) for part in parts)
    for label, count in enumerate(np.bincount(labels).tolist()):
        found = [int((labels[part] == label).sum()) for part in parts]
        low, high = count // k, -(-count // k)
        if found and all(low <= one <= high for one in found):
            continue
        one_large = sorted(found)[:-1] == [low] * (k - 1) and sum(found) == count
        by_chance = _folds_are_as_large(case, observation) is None
        fault = "in order" if in_order else "large" if one_large else "by chance" if by_chance else ""
        wanted = f"{low} or {high}" if low < high else f"{low}"
        return Failure(
            f"class {label}: {wanted} in each fold", f"class {label}: {shown(found)}", FOLD_HINTS.get(fault, "")
        )
    return None


def _trains_on_the_rest(case: Case, observation: Observation) -> Failure | None:
    count = len(case.inputs["labels"])
    for number, (train, validation) in enumerate(_pairs(observation.value)):
        known, rest = set(_places(train, count)), set(range(count)) - set(_places(validation, count))
        if known == rest and len(train) == len(rest):
            continue
        hint = FOLD_HINTS["leak"] if known - rest else FOLD_HINTS["short"] if known < rest else ""
        got = f"fold {number} trains on {len(train)}, {len(known - rest)} of them validated in it"
        return Failure(f"fold {number} trains on the {len(rest)} others", got, hint)
    return None


def _same_again(case: Case, observation: Observation) -> Failure | None:
    both = observation.value, observation.seen["again"]
    first, again = ([[sorted(part) for part in pair] for pair in _pairs(folds)] for folds in both)
    got = "first {}, then {}".format(*(shown(folds, 70) for folds in both))
    return None if first == again else Failure("the same folds again", got)


def _other_differs(case: Case, observation: Observation) -> Failure | None:
    differs = observation.seen["other"] != observation.value
    return None if differs else Failure("other folds from another seed", f"twice {shown(observation.value, 120)}")


EXERCISE = Exercise(
    "5.3",
    "stratified_kfold",
    observers.stratified_kfold,
    nudge=(
        "Deal cards to k players so that everybody gets equally many of each suit. How would you do that with the "
        "places of one class?"
    ),
    in_words=(
        "Take one class at a time: shuffle its places by the seed, and deal them out, one to each fold in turn. Then "
        "no fold has more than one above another of any class. What a fold was dealt it validates on, and all the "
        "rest it trains on."
    ),
    fixed=_fixed,
    properties=(
        Property(
            "there are k folds",
            "How many pairs does your list hold, and how many folds are asked for?",
            test=_has_k_folds,
        ),
        Property(
            "every example is validated in exactly one fold",
            "Put the validation parts of all folds together: they should hold every place once.",
            test=_validates_each_once,
        ),
        Property(
            "the folds are as large as one another",
            "Count the examples of each validation part. How much may they differ, if each class is dealt out evenly?",
            test=_folds_are_as_large,
            core=True,
        ),
        Property(
            "each fold has its share of each class",
            "Count the classes of each validation part. Folds drawn without a look at the labels differ by chance.",
            test=_folds_have_the_classes,
            core=True,
            idea=True,
        ),
        Property(
            "each fold trains on all that it does not validate on",
            "In every fold the two lists together should be all examples. Which stand in both, and which in neither?",
            test=_trains_on_the_rest,
        ),
        Property(
            "the same seed gives the same folds",
            "Called again with the same seed, your answer gives other folds. Where does its randomness come from?",
            on="two seeds",
            test=_same_again,
        ),
        Property(
            "another seed gives other folds",
            "Your folds are the same for every seed. What does the seed decide in your answer?",
            on="two seeds",
            test=_other_differs,
        ),
        returns(
            "a list of tuples, each of two lists of ints", list_of(tuple_of(list_of(is_integer), list_of(is_integer)))
        ),
    ),
    drawn=_drawn,
    keeps_arguments="labels",
)

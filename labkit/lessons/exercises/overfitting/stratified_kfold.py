"""Exercise 5.3, stratified_kfold: every example is validated once, every fold has the classes of the whole.

Folds have no single right value, so wrong answers are told by what is wrong with them (FOLD_HINTS).
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, as_list, is_integer, shown
from labkit.lessons.observers import overfitting as observers

FOLD_HINTS = {
    "no pair": "A fold is a pair of two lists: what to train on, then what to validate on. What stands in your list?",
    "no place": "Your lists hold something other than places: they should say where in labels each example stands.",
    "swapped": "The large part comes second in your pairs. First the examples to train on, then those to validate on.",
    "overlap": "Some examples are validated in more than one fold. Each belongs into exactly one validation part.",
    "missing": "Some examples are validated in no fold. What becomes of the remainder when a class does not divide by k?",
    "in order": "Your folds are cut out in the order of the labels. What does a fold hold where they come sorted?",
    "large": "What is left of a class goes into one of your folds, all of it. Deal its examples out one at a time.",
    "leak": "Your training parts hold examples of their own validation part. What was trained on can no longer validate.",
    "short": "Your training parts lack examples. Whatever is not validated in a fold is trained on in it.",
}
Pairs = list[tuple[list[Any], list[Any]]]


def _case(labels: Sequence[int] | np.ndarray, k: int, **named: Plain) -> Case:
    return Case({"labels": [int(label) for label in labels], "k": k, **named})


@cache
def _fixed() -> tuple[Case, ...]:
    dice = np.random.default_rng(53)
    shuffled = [dice.permutation(np.repeat(range(len(counts)), counts)) for counts in ((9, 5), (40, 12), (20, 11, 7))]
    return (
        _case([0, 1, 0, 1], 2),
        _case([1, 0, 0, 1, 0, 1], 3, seed=1),
        _case([0, 0, 0, 0, 1, 1], 2, seed=2),
        _case(np.repeat([0, 1], [10, 5]), 5),
        _case(shuffled[0], 4, seed=3),
        _case(shuffled[1], 5, seed=7, _other_seed=8),
        _case(np.repeat([0, 1, 2], [12, 13, 7]), 3, _other_seed=1),
        _case(shuffled[2], 7, seed=5),
        _case(dice.permutation(np.arange(103) % 2), 10, seed=4, _other_seed=3),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    cases = list(_fixed())
    for classes in (2, 3, 2):
        k = int(generator.integers(2, 7))
        counts = generator.integers(k, 40, size=classes)
        labels = generator.permutation(np.repeat(range(classes), counts))
        cases.append(_case(labels, k, seed=int(generator.integers(1000))))
    return cases


def _pairs(value: Plain) -> Pairs:
    """The folds. Raises TypeError or ValueError where they are no pairs of lists."""
    pairs = []
    for fold in as_list(value):
        train, validation = fold
        pairs.append((as_list(train), as_list(validation)))
    return pairs


def _known(part: Sequence[Plain], count: int) -> set[int]:
    return {place for place in part if is_integer(place) and 0 <= place < count}


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
    places = [place for _, validation in pairs for place in validation]
    known = _known(places, count)
    if len(known) == len(places) == count:
        return None
    fault = "no place" if not all(is_integer(place) and 0 <= place < count for place in places) else "missing"
    if len(places) > len(known):
        trained = [place for train, _ in pairs for place in train]
        turned = case.inputs["k"] > 2 and sorted(trained, key=repr) == sorted(range(count), key=repr)
        fault = fault if fault == "no place" else "swapped" if turned else "overlap"
    got = f"{len(known)} different places, {len(places) - len(known)} more"
    return Failure(f"the places 0 to {count - 1}, each validated once", got, FOLD_HINTS[fault])


def _folds_are_as_large(case: Case, observation: Observation) -> Failure | None:
    """Each fold may have the floor or the ceiling of each class; what an earlier one validates is not counted again."""
    labels, k = np.array(case.inputs["labels"]), case.inputs["k"]
    counts = np.bincount(labels)
    sizes, seen = [], set[int]()
    for _, validation in _pairs(observation.value):
        new = _known(validation, len(labels)) - seen
        sizes.append(len(new))
        seen |= new
    low, high = int((counts // k).sum()), int((-(-counts // k)).sum())
    if len(sizes) == k and all(low <= size <= high for size in sizes):
        return None
    return Failure(f"{k} folds of {low} to {high}" if low < high else f"{k} folds of {low}", f"folds of {shown(sizes)}")


def _folds_have_the_classes(case: Case, observation: Observation) -> Failure | None:
    labels, k = np.array(case.inputs["labels"]), case.inputs["k"]
    parts = [sorted(_known(validation, len(labels))) for _, validation in _pairs(observation.value)]
    for label, count in enumerate(np.bincount(labels).tolist()):
        found = [int((labels[part] == label).sum()) for part in parts]
        low, high = count // k, -(-count // k)
        if found and all(low <= one <= high for one in found):
            continue
        hint = FOLD_HINTS["in order"] if all(map(_is_a_run, parts)) else ""
        hint = hint or (FOLD_HINTS["large"] if sorted(found)[:-1] == [low] * (k - 1) and sum(found) == count else "")
        wanted = f"{low} or {high}" if low < high else f"{low}"
        return Failure(f"class {label}: {wanted} in each fold", f"class {label}: {shown(found)}", hint)
    return None


def _is_a_run(part: Sequence[int]) -> bool:
    return bool(part) and part[-1] - part[0] + 1 == len(part)


def _trains_on_the_rest(case: Case, observation: Observation) -> Failure | None:
    count = len(case.inputs["labels"])
    for number, (train, validation) in enumerate(_pairs(observation.value)):
        known = _known(train, count)
        rest = set(range(count)) - _known(validation, count)
        if known == rest and len(train) == len(rest):
            continue
        fault = "leak" if known - rest else "short" if known < rest else ""
        got = f"fold {number} trains on {len(train)}, {len(known - rest)} of them validated in it"
        return Failure(f"fold {number} trains on the {len(rest)} others", got, FOLD_HINTS.get(fault, ""))
    return None


def _folds(value: Plain) -> list[list[list[Any]]]:
    return [[sorted(part) for part in pair] for pair in _pairs(value)]


def _same_again(case: Case, observation: Observation) -> Failure | None:
    again = observation.seen["again"]
    got = f"first {shown(observation.value, 70)}, then {shown(again, 70)}"
    return None if _folds(observation.value) == _folds(again) else Failure("the same folds again", got)


def _other_differs(case: Case, observation: Observation) -> Failure | None:
    differs = observation.seen["other"] != observation.value
    return None if differs else Failure("other folds from another seed", f"twice {shown(observation.value, 120)}")


def _has_other_seed(case: Case) -> bool:
    return "_other_seed" in case.inputs


def _is_list_of_pairs(value: Plain) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, tuple)
        and len(pair) == 2
        and all(isinstance(part, list) and all(map(is_integer, part)) for part in pair)
        for pair in value
    )


def _property(
    name: str, test: Callable[[Case, Observation], Failure | None], hint: str, core: bool = False
) -> Property:
    return Property(
        name,
        hint,
        test=test,
        core=core,
    )


EXERCISE = Exercise(
    "5.3",
    "stratified_kfold",
    observers.stratified_kfold,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        _property(
            "there are k folds", _has_k_folds, "How many pairs does your list hold, and how many folds are asked for?"
        ),
        _property(
            "every example is validated in exactly one fold",
            _validates_each_once,
            "Put the validation parts of all folds together: they should hold every place once.",
        ),
        _property(
            "the folds are as large as one another",
            _folds_are_as_large,
            "Count the examples of each validation part. How much may they differ, if each class is dealt out evenly?",
            core=True,
        ),
        _property(
            "each fold has its share of each class",
            _folds_have_the_classes,
            "Count the classes of each validation part. Folds drawn without a look at the labels differ by chance.",
            core=True,
        ),
        _property(
            "each fold trains on all that it does not validate on",
            _trains_on_the_rest,
            "In every fold the two lists together should be all examples. Which stand in both, and which in neither?",
        ),
        Property(
            "the same seed gives the same folds",
            "Called again with the same seed, your answer gives other folds. Where does its randomness come from?",
            applies=_has_other_seed,
            test=_same_again,
        ),
        Property(
            "another seed gives other folds",
            "Your folds are the same for every seed. What does the seed decide in your answer?",
            applies=_has_other_seed,
            test=_other_differs,
        ),
        returns("a list of tuples, each of two lists of ints", _is_list_of_pairs),
    ),
    keeps_arguments="labels",
)

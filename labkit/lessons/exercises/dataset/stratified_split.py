"""Exercise 2.2, stratified_split: sizes, class shares, and copies that stay together.

A split has no single right value, so its wrong answers are told by what is wrong with them (SPLIT_HINTS).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, as_list, is_integer
from labkit.lessons.exercises.dataset.places import counted, fault_of, has_other_seed, other_differs, same_again
from labkit.lessons.observers import dataset as observers
from labkit.lessons.observers.tokenization import WORDS

SPLITS = ("train", "validation", "test")
SIZE_TOLERANCE, SHARE_TOLERANCE = 0.02, 0.03
NOISE = 1e-9
USUAL_FRACTIONS = (0.8, 0.1, 0.1)
SPLIT_HINTS = {
    "no place": "Your lists hold something other than places: they should say where in texts each review stands.",
    "twice": "Some reviews stand twice. What the model has trained on can no longer test it.",
    "missing": "Some reviews are in no split. Copies should stay together, not be thrown away, and nothing may fall between.",
    "usual fractions": "Your splits have the usual sizes, whatever the caller asks for: fractions is an argument.",
    "swapped": "The sizes asked for are there, but at other splits. In which order do the fractions come?",
    "in order": "Your splits are cut out in the order of the file. What does the last tenth of a file sorted by label hold?",
    "identical": "Identical texts stand in different splits, so the test asks what was in the lesson. Divide groups of copies.",
    "case": "Texts that differ in upper and lower case only stand in different splits: to the model they are copies.",
    "space": "Texts that differ only in the white space around them stand in different splits: they are copies too.",
    "case and space": "Your copies are found by their exact spelling. Case and outer white space make no text new.",
}


def _case(texts: Sequence[str], labels: Sequence[int] | np.ndarray, label: str = "", **named: Plain) -> Case:
    return Case({"texts": list(texts), "labels": [int(one) for one in labels], **named}, label)


def _texts(count: int, generator: np.random.Generator) -> list[str]:
    """Texts of which no two are equal."""
    words = generator.choice(WORDS, size=(count, 2))
    return [f"{one} {other} film {number}" for number, (one, other) in enumerate(words.tolist())]


def _with_copies(
    texts: Sequence[str], labels: np.ndarray, spell: Sequence[Callable[[str], str]], generator: np.random.Generator
) -> list[str]:
    """Texts of which some are overwritten with copies of others of their class, one pair for each way to spell them."""
    changed = list(texts)
    places = generator.permutation(len(texts)).tolist()
    for spelling in spell:
        first = places.pop()
        second = next(place for place in places if labels[place] == labels[first])
        places.remove(second)
        changed[second] = spelling(changed[first])
    return changed


@cache
def _fixed() -> tuple[Case, ...]:
    dice = np.random.default_rng(22)
    halves, sorted_labels = np.arange(300) % 2, np.repeat([0, 1], [150, 150])
    mostly_negative = dice.permutation(np.repeat([0, 1], [280, 120]))
    cases = [
        _case(_texts(300, dice), sorted_labels, _other_seed=1),
        _case(_texts(300, dice), dice.permutation(halves), seed=3),
        _case(_texts(400, dice), mostly_negative, fractions=(0.6, 0.2, 0.2), seed=1),
        _case(
            _texts(500, dice), dice.permutation(np.arange(500) % 2), fractions=(0.7, 0.2, 0.1), seed=5, _other_seed=6
        ),
    ]
    labels = dice.permutation(np.arange(700) % 2)
    texts = _with_copies(_texts(700, dice), labels, [str] * 20, dice)
    cases.append(_case(texts, labels, "identical", fractions=(0.6, 0.2, 0.2), seed=2))
    labels = dice.permutation(np.repeat([0, 1], [350, 250]))
    texts, of_one_class = _texts(600, dice), np.flatnonzero(labels)
    for place in of_one_class[:9]:
        texts[place] = texts[of_one_class[0]]
    cases.append(_case(texts, labels, "identical", fractions=(0.4, 0.3, 0.3), seed=4))
    labels = dice.permutation(np.arange(800) % 2)
    spellings = [str.upper, str.title, "  {}".format, "{}\n".format] * 8
    texts = _with_copies(_texts(800, dice), labels, spellings, dice)
    cases.append(_case(texts, labels, "spelled", fractions=(0.6, 0.2, 0.2), seed=7))
    return tuple(cases)


def _cases(generator: np.random.Generator) -> list[Case]:
    count = int(generator.integers(320, 400))
    labels = np.zeros(count, dtype=int)
    labels[: int(count * generator.uniform(0.35, 0.65))] = 1
    generator.shuffle(labels)
    texts = _with_copies(_texts(count, generator), labels, [str, str.upper, " {} ".format], generator)
    fractions = [(0.6, 0.2, 0.2), (0.5, 0.25, 0.25)][int(generator.integers(2))]
    return [*_fixed(), _case(texts, labels, fractions=fractions, seed=int(generator.integers(1000)))]


def _parts(value: Plain) -> dict[str, list[Any]]:
    return {name: as_list(value[name]) for name in SPLITS}


def _known_places(part: Sequence[Plain], count: int) -> set[int]:
    return {place for place in part if is_integer(place) and 0 <= place < count}


def _each_review_once(case: Case, observation: Observation) -> Failure | None:
    count = len(case.inputs["texts"])
    places = [place for part in _parts(observation.value).values() for place in part]
    fault = fault_of(places, count)
    expected = f"the places 0 to {count - 1}, each once"
    return Failure(expected, counted(places, count), SPLIT_HINTS[fault]) if fault else None


def _sizes_follow(case: Case, observation: Observation) -> Failure | None:
    count = len(case.inputs["texts"])
    wanted = case.inputs.get("fractions", USUAL_FRACTIONS)
    sizes = [len(_known_places(part, count)) / count for part in _parts(observation.value).values()]

    def follows(fractions: Sequence[float]) -> bool:
        return all(abs(one - other) <= SIZE_TOLERANCE + NOISE for one, other in zip(sizes, fractions, strict=True))

    if follows(wanted):
        return None
    train, validation, test = wanted
    turned = (
        (train, test, validation),
        (test, validation, train),
        (test, train, validation),
        (validation, test, train),
    )
    fault = "usual fractions" if follows(USUAL_FRACTIONS) else "swapped" if any(map(follows, turned)) else ""
    return Failure(f"sizes near {_percent(wanted)}", f"sizes {_percent(sizes)}", SPLIT_HINTS.get(fault, ""))


def _percent(shares: Sequence[float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in zip(SPLITS, shares, strict=True))


def _has_usual_fractions(case: Case) -> bool:
    """With others an answer that keeps to the usual ones has small splits, in which a few copies decide its shares."""
    return tuple(case.inputs.get("fractions", USUAL_FRACTIONS)) == USUAL_FRACTIONS


def _shares_follow(case: Case, observation: Observation) -> Failure | None:
    labels = np.array(case.inputs["labels"])
    parts = [sorted(_known_places(part, len(labels))) for part in _parts(observation.value).values()]
    whole = float(labels.mean())
    shares = [float(labels[part].mean()) if part else math.nan for part in parts]
    if all(abs(share - whole) <= SHARE_TOLERANCE + NOISE for share in shares):  # NaN is never near
        return None
    in_order = all(part and part[-1] - part[0] + 1 == len(part) for part in parts)
    got = f"class 1 has of {_percent(shares)}"
    return Failure(f"class 1 has {whole:.1%} of each split", got, SPLIT_HINTS["in order"] if in_order else "")


def _copies_stay(case: Case, observation: Observation) -> Failure | None:
    texts = case.inputs["texts"]
    split_of = {
        place: name for name, part in _parts(observation.value).items() for place in _known_places(part, len(texts))
    }
    first: dict[str, int] = {}
    kinds, examples = set(), []
    for place, text in enumerate(texts):
        other = first.setdefault(text.strip().lower(), place)
        if split_of.get(other) != split_of.get(place) or place not in split_of:
            kinds.add(_difference(texts[other], text))
            examples.append(f"{texts[other]!r} in {split_of.get(other)}, {text!r} in {split_of.get(place)}")
    if not kinds:
        return None
    kind = "identical" if "identical" in kinds else " and ".join(sorted(kinds))
    return Failure("copies in one split", examples[0], SPLIT_HINTS[kind])


def _difference(one: str, other: str) -> str:
    if one == other:
        return "identical"
    return "space" if one.strip() == other.strip() else "case"


def _as_sets(value: Plain) -> Plain:
    return {name: sorted(part) for name, part in _parts(value).items()}


EXERCISE = Exercise(
    "2.2",
    "stratified_split",
    observers.stratified_split,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "every review is in exactly one split",
            "The result should have a list for each of train, validation and test, and hold every place in one of them.",
            test=_each_review_once,
        ),
        Property(
            "the splits have the sizes asked for",
            "Add up your sizes: which share of all reviews has each split, and which should it have?",
            test=_sizes_follow,
            core=True,
        ),
        Property(
            "each split has the class shares of the whole",
            "In a small split drawn without a look at the labels, chance moves the class shares. Divide each class on its own.",
            applies=_has_usual_fractions,
            test=_shares_follow,
            core=True,
        ),
        Property(
            "identical texts share a split",
            SPLIT_HINTS["identical"],
            on="identical",
            test=_copies_stay,
        ),
        Property(
            "texts that differ in case or outer white space share a split",
            SPLIT_HINTS["case and space"],
            on="spelled",
            test=_copies_stay,
        ),
        Property(
            "the same seed gives the same split",
            "Called again with the same seed, your answer gives another split. Where does its randomness come from?",
            applies=has_other_seed,
            test=same_again(_as_sets),
        ),
        Property(
            "another seed gives another split",
            "Your split is the same for every seed. What does the seed decide in your answer?",
            applies=has_other_seed,
            test=other_differs,
        ),
        returns(
            "a dict of three lists of ints",
            lambda value: (
                isinstance(value, Mapping)
                and set(value) == set(SPLITS)
                and all(isinstance(part, list) and all(map(is_integer, part)) for part in value.values())
            ),
        ),
    ),
    keeps_arguments="texts and labels",
)

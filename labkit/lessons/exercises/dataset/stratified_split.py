"""Exercise 2.2, stratified_split: sizes, class shares, and copies that stay together.

A split has no single right value, so its wrong answers are told by what is wrong with them (SPLIT_HINTS).
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
from labkit.checks.properties import list_of, returns
from labkit.checks.wire import Plain, as_list, is_integer
from labkit.lessons.exercises.dataset.places import decided_by_seed, each_once, known_places
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


def _texts(count: int, generator: np.random.Generator) -> list[str]:
    """Texts of which no two are equal."""
    words = generator.choice(WORDS, size=(count, 2))
    return [f"{one} {other} film {number}" for number, (one, other) in enumerate(words.tolist())]


def _with_copies(labels: list[int], spell: Sequence[Callable[[str], str]], generator: np.random.Generator) -> list[str]:
    """Texts of which some are copies of others of their class, one pair for each way to spell them."""
    texts = _texts(len(labels), generator)
    places = generator.permutation(len(texts)).tolist()
    for spelling in spell:
        first = places.pop()
        second = next(place for place in places if labels[place] == labels[first])
        places.remove(second)
        texts[second] = spelling(texts[first])
    return texts


def _fixed() -> Iterator[tuple[str, Inputs]]:
    generator = np.random.default_rng(22)
    mostly_negative = generator.permutation(np.repeat([0, 1], [280, 120])).tolist()
    yield "", {"texts": _texts(300, generator), "labels": [0] * 150 + [1] * 150, "_other_seed": 1}
    yield "", {"texts": _texts(300, generator), "labels": generator.permutation(np.arange(300) % 2).tolist(), "seed": 3}
    yield "", (_texts(400, generator), mostly_negative, (0.6, 0.2, 0.2), 1)
    yield "", (_texts(500, generator), generator.permutation(np.arange(500) % 2).tolist(), (0.7, 0.2, 0.1), 5, 6)
    labels = generator.permutation(np.arange(700) % 2).tolist()
    yield "identical", (_with_copies(labels, [str] * 20, generator), labels, (0.6, 0.2, 0.2), 2)
    labels = generator.permutation(np.repeat([0, 1], [350, 250])).tolist()
    texts, of_one_class = _texts(600, generator), np.flatnonzero(labels)
    for place in of_one_class[:9]:
        texts[place] = texts[of_one_class[0]]
    yield "identical", (texts, labels, (0.4, 0.3, 0.3), 4)
    labels = generator.permutation(np.arange(800) % 2).tolist()
    spellings = [str.upper, str.title, "  {}".format, "{}\n".format] * 8
    yield "spelled", (_with_copies(labels, spellings, generator), labels, (0.6, 0.2, 0.2), 7)


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    count = int(generator.integers(320, 400))
    positive = int(count * generator.uniform(0.35, 0.65))
    labels = [1] * positive + [0] * (count - positive)
    generator.shuffle(labels)
    texts = _with_copies(labels, [str, str.upper, " {} ".format], generator)
    fractions = [(0.6, 0.2, 0.2), (0.5, 0.25, 0.25)][int(generator.integers(2))]
    yield "", (texts, labels, fractions, int(generator.integers(1000)))


def _parts(value: Plain) -> dict[str, list[Any]]:
    return {name: as_list(value[name]) for name in SPLITS}


def _sizes_follow(case: Case, observation: Observation) -> Failure | None:
    count = len(case.inputs["texts"])
    wanted = case.inputs.get("fractions", USUAL_FRACTIONS)
    sizes = [len(known_places(part, count)) / count for part in _parts(observation.value).values()]

    def follows(fractions: Sequence[float]) -> bool:
        return all(abs(one - other) <= SIZE_TOLERANCE + NOISE for one, other in zip(sizes, fractions, strict=True))

    if follows(wanted):
        return None
    turned = any(map(follows, permutations(wanted)))
    fault = "usual fractions" if follows(USUAL_FRACTIONS) else "swapped" if turned else ""
    return Failure(f"sizes near {_percent(wanted)}", f"sizes {_percent(sizes)}", SPLIT_HINTS.get(fault, ""))


def _percent(shares: Sequence[float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in zip(SPLITS, shares, strict=True))


def _shares_follow(case: Case, observation: Observation) -> Failure | None:
    labels = np.array(case.inputs["labels"])
    parts = [sorted(known_places(part, len(labels))) for part in _parts(observation.value).values()]
    whole = float(labels.mean())
    shares = [float(labels[part].mean()) if part else math.nan for part in parts]
    if all(abs(share - whole) <= SHARE_TOLERANCE + NOISE for share in shares):  # NaN is never near
        return None
    in_order = all(part and part[-1] - part[0] + 1 == len(part) for part in parts)
    got = f"class 1 has of {_percent(shares)}"
    return Failure(f"class 1 has {whole:.1%} of each split", got, SPLIT_HINTS["in order"] if in_order else "")


def _copies_stay(case: Case, observation: Observation) -> Failure | None:
    texts, parts = case.inputs["texts"], _parts(observation.value)
    split_of = {place: name for name, part in parts.items() for place in known_places(part, len(texts))}
    first: dict[str, int] = {}
    examples: dict[str, str] = {}
    for place, text in enumerate(texts):
        other = first.setdefault(text.strip().lower(), place)
        if split_of.get(other) != split_of.get(place) or place not in split_of:
            kind = "identical" if text == texts[other] else "space" if text.strip() == texts[other].strip() else "case"
            got = f"{texts[other]!r} in {split_of.get(other)}, {text!r} in {split_of.get(place)}"
            examples.setdefault(kind, got)
    if not examples:
        return None
    kind = "identical" if "identical" in examples else " and ".join(sorted(examples))
    return Failure("copies in one split", next(iter(examples.values())), SPLIT_HINTS[kind])


EXERCISE = Exercise(
    "2.2",
    "stratified_split",
    observers.stratified_split,
    nudge=(
        "Three things are asked at once: sizes, class shares, copies. Which of them fails in yours, and what do you "
        "deal out: single reviews, or texts with all their copies?"
    ),
    in_words=(
        "Deal out groups: a group is a text with all its copies, which share one label. For each class on its own, "
        "shuffle its groups by the seed and fill one split after the other up to its fraction of that class. Then "
        "every split has the classes of the whole, and no copy is parted."
    ),
    takes="texts labels fractions seed _other_seed",
    properties=(
        Property(
            "every review is in exactly one split",
            "The result should have a list for each of train, validation and test, and hold every place in one of them.",
            test=each_once(lambda value: _parts(value).values(), "texts", SPLIT_HINTS),
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
            # With others an answer that keeps to the usual ones has small splits, in which a few copies decide its shares.
            applies=lambda case: case.inputs.get("fractions", USUAL_FRACTIONS) == USUAL_FRACTIONS,
            test=_shares_follow,
            core=True,
            idea=True,
        ),
        Property(
            "identical texts share a split",
            SPLIT_HINTS["identical"],
            on="identical",
            test=_copies_stay,
            idea=True,
        ),
        Property(
            "texts that differ in case or outer white space share a split",
            SPLIT_HINTS["case and space"],
            on="spelled",
            test=_copies_stay,
        ),
        *decided_by_seed("split", lambda value: {name: sorted(part) for name, part in _parts(value).items()}),
        returns(
            "a dict of three lists of ints",
            lambda value: (
                isinstance(value, Mapping) and {*value} == {*SPLITS} and all(map(list_of(is_integer), value.values()))
            ),
        ),
    ),
    drawn=_drawn,
    fixed=_fixed,
    keeps_arguments="texts and labels",
)

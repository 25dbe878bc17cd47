"""The checks of lesson 02: rating_to_label, stratified_split, ReviewDataset, pad_batch, length_bucketed_batches.

A split and a plan of batches have no single right value, so their wrong answers are told by what is wrong with them
(SPLIT_HINTS, BUCKET_HINTS); those of the other exercises by what they give.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Misconception, Observation, Property
from labkit.checks.observers import dataset as observers
from labkit.checks.observers.tokenization import WORDS, small_tokenizer
from labkit.checks.properties import keeps_arguments, keeps_random_state, returns
from labkit.checks.wire import Array, Plain, close, shown


def _labelled(*labels: str) -> Callable[[Case], bool]:
    return lambda case: case.label in labels


def _is_int(value: Plain) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


# 2.1 rating_to_label


def rating_to_label_reference(rating: float, neutral_band: float = 0.5) -> int | None:
    """The contract as two comparisons that NaN fails as well."""
    if rating >= neutral_band:
        return 1
    return 0 if rating <= -neutral_band else None


def _case_2_1(label: str, rating: float, neutral_band: float | None = None, **more: Plain) -> Case:
    band = {} if neutral_band is None else {"neutral_band": neutral_band}
    return Case({"rating": rating, **band, **more}, label)


def _cases_2_1(generator: np.random.Generator) -> list[Case]:
    cases = [
        _case_2_1("clear", 2.0),
        _case_2_1("clear", -1.5),
        _case_2_1("clear", 0.75),
        _case_2_1("clear", -0.75),
        _case_2_1("clear", 3.8, _as_numpy=True),
        _case_2_1("clear", -4.0, _as_numpy=True),
        _case_2_1("neutral", 0.0),
        _case_2_1("neutral", 0.25),
        _case_2_1("neutral", -0.25),
        _case_2_1("edge", 0.5),
        _case_2_1("edge", -0.5),
        _case_2_1("nan", float("nan")),
        _case_2_1("nan", float("nan"), _as_numpy=True),
        _case_2_1("nan", float("nan"), 1.0),
        _case_2_1("band", 0.8, 1.0),
        _case_2_1("band", -0.8, 1.0),
        _case_2_1("band", 0.3, 0.25),
        _case_2_1("band", -0.3, 0.25),
        _case_2_1("band", -2.5, 3.0),
    ]
    for _ in range(12):
        band = float(generator.uniform(0.1, 2.0))
        # Well away from the band's edge: float32 is precise enough.
        rating = float(
            generator.choice([-1, 1]) * (band + generator.choice([-1, 1]) * generator.uniform(0.05, 1) * band)
        )
        cases.append(_case_2_1("band", rating, band))
    return cases


def _equals_2_1(case: Case, observation: Observation) -> Failure | None:
    given = {name: value for name, value in case.inputs.items() if not name.startswith("_")}
    wanted = rating_to_label_reference(**given)
    right = observation.value is None if wanted is None else observation.value == wanted
    return None if right else Failure(shown(wanted))


RATING_TO_LABEL = Exercise(
    id="2.1",
    name="rating_to_label",
    cases=_cases_2_1,
    observe=observers.rating_to_label,
    properties=(
        Property(
            "clear ratings get 1 or 0",
            _equals_2_1,
            "Which label should a clearly positive rating get, and which a clearly negative one?",
            core=True,
            applies=_labelled("clear"),
        ),
        Property(
            "neutral ratings get None",
            _equals_2_1,
            "A review that people found neither good nor bad is to be left out: it gets None, not a label of its own.",
            applies=_labelled("neutral"),
        ),
        Property(
            "a rating on the edge of the band keeps its label",
            _equals_2_1,
            "Is a rating as large as the band neutral? Read the comparison in the exercise once more.",
            applies=_labelled("edge"),
        ),
        Property(
            "NaN gets None",
            _equals_2_1,
            "NaN is what a missing rating looks like. How does one ask whether a number is NaN?",
            applies=_labelled("nan"),
        ),
        Property(
            "neutral_band is the caller's, on both sides of 0",
            _equals_2_1,
            "Is the argument neutral_band used, for negative ratings too?",
            applies=_labelled("band"),
        ),
        returns(
            "an int or None",
            lambda value: value is None or _is_int(value),
            "The label is to be an int or None. A truth value or a float may look equal, but torch makes another dtype of it.",
        ),
        keeps_random_state(),
    ),
    misconceptions=(
        Misconception(
            "the edge counts as neutral",
            "A rating exactly on the edge of the band is lost. Neutral is only what lies inside.",
            lambda rating, neutral_band=0.5: int(rating > 0) if abs(rating) > neutral_band else None,
        ),
        Misconception(
            "NaN as a negative rating",
            "A missing rating became a negative review: every comparison with NaN is false, also the one you rely on.",
            lambda rating, neutral_band=0.5: None if abs(rating) < neutral_band else int(rating > 0),
        ),
        Misconception(
            "no neutral band",
            "Every rating gets a label from its sign. What about reviews on which people found no clear verdict?",
            lambda rating, neutral_band=0.5: None if math.isnan(rating) else int(rating > 0),
        ),
        Misconception(
            "no neutral band, NaN as a negative rating",
            "Your answer looks at nothing but the sign. Which ratings should have no label at all?",
            lambda rating, neutral_band=0.5: int(rating > 0),
        ),
        Misconception(
            "the usual band written into the code",
            "The width of the band is an argument: your answer uses the usual one whatever the caller says.",
            lambda rating, neutral_band=0.5: rating_to_label_reference(rating),
        ),
        Misconception(
            "negative ratings taken for neutral",
            "Clearly negative ratings come out as neutral. How far a rating lies from 0 counts, on either side.",
            lambda rating, neutral_band=0.5: 1 if rating >= neutral_band else None,
        ),
        Misconception(
            "neutral ratings as negative",
            "What is not clearly positive became negative. There is a third case between the two.",
            lambda rating, neutral_band=0.5: int(rating >= neutral_band),
        ),
        Misconception(
            "minus one for negative",
            "Negative reviews are class 0, not -1: the loss counts classes from 0.",
            lambda rating, neutral_band=0.5: {1: 1, 0: -1, None: None}[rating_to_label_reference(rating, neutral_band)],
        ),
        Misconception(
            "the classes swapped",
            "Your two classes are the wrong way round: which number stands for positive?",
            lambda rating, neutral_band=0.5: {1: 0, 0: 1, None: None}[rating_to_label_reference(rating, neutral_band)],
        ),
    ),
    # True is not 1 here, nor 1.0: those have hints of their own.
    same=lambda one, other: type(one) is type(other) and one == other,
)

# What splits and plans of batches share: places, each of which is wanted once


def _as_list(value: Plain) -> list[Any]:
    """A list, tuple or array as a list. Raises TypeError for anything else."""
    if isinstance(value, Array):
        value = value.values.tolist()
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"no list: {shown(value)}")
    return list(value)


def _fault(places: Sequence[Plain], count: int) -> str:
    """Why these are not 0 to count - 1, each once: "no place", "twice", "missing"; empty where they are."""
    if not all(_is_int(place) and 0 <= place < count for place in places):
        return "no place"
    if len(set(places)) < len(places):
        return "twice"
    return "missing" if len(places) < count else ""


def _counted(places: Sequence[Plain], count: int) -> str:
    """The same for the example, in numbers."""
    known = {place for place in places if _is_int(place) and 0 <= place < count}
    return f"{len(known):,} different ones, {len(places) - len(known):,} more"


def _same_again(canonical: Callable[[Plain], Plain]) -> Callable[[Case, Observation], Failure | None]:
    def test(case: Case, observation: Observation) -> Failure | None:
        again = observation.seen.get("again")
        same = canonical(observation.value) == canonical(again)
        return (
            None
            if same
            else Failure("the same result again", f"first {shown(observation.value, 70)}, then {shown(again, 70)}")
        )

    return test


def _other_differs(case: Case, observation: Observation) -> Failure | None:
    differs = observation.seen.get("other") != observation.value
    return None if differs else Failure("another result from another seed", f"twice {shown(observation.value, 120)}")


def _has_other_seed(case: Case) -> bool:
    return "_other_seed" in case.inputs


# 2.2 stratified_split

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


def _case_2_2(texts: Sequence[str], labels: Sequence[int] | np.ndarray, label: str = "", **named: Plain) -> Case:
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
def _fixed_2_2() -> tuple[Case, ...]:
    dice = np.random.default_rng(22)
    halves, sorted_labels = np.arange(300) % 2, np.repeat([0, 1], [150, 150])
    mostly_negative = dice.permutation(np.repeat([0, 1], [280, 120]))
    cases = [
        _case_2_2(_texts(300, dice), sorted_labels, _other_seed=1),
        _case_2_2(_texts(300, dice), dice.permutation(halves), seed=3),
        _case_2_2(_texts(400, dice), mostly_negative, fractions=(0.6, 0.2, 0.2), seed=1),
        _case_2_2(
            _texts(500, dice), dice.permutation(np.arange(500) % 2), fractions=(0.7, 0.2, 0.1), seed=5, _other_seed=6
        ),
    ]
    labels = dice.permutation(np.arange(700) % 2)
    texts = _with_copies(_texts(700, dice), labels, [str] * 20, dice)
    cases.append(_case_2_2(texts, labels, "identical", fractions=(0.6, 0.2, 0.2), seed=2))
    labels = dice.permutation(np.repeat([0, 1], [350, 250]))
    texts, of_one_class = _texts(600, dice), np.flatnonzero(labels)
    for place in of_one_class[:9]:
        texts[place] = texts[of_one_class[0]]
    cases.append(_case_2_2(texts, labels, "identical", fractions=(0.4, 0.3, 0.3), seed=4))
    labels = dice.permutation(np.arange(800) % 2)
    spellings = [str.upper, str.title, "  {}".format, "{}\n".format] * 8
    texts = _with_copies(_texts(800, dice), labels, spellings, dice)
    cases.append(_case_2_2(texts, labels, "spelled", fractions=(0.6, 0.2, 0.2), seed=7))
    return tuple(cases)


def _cases_2_2(generator: np.random.Generator) -> list[Case]:
    cases = list(_fixed_2_2())
    for _ in range(2):
        count = int(generator.integers(500, 600))
        labels = np.zeros(count, dtype=int)
        labels[: int(count * generator.uniform(0.35, 0.65))] = 1
        generator.shuffle(labels)
        texts = _with_copies(_texts(count, generator), labels, [str, str.upper, " {} ".format], generator)
        fractions = [(0.6, 0.2, 0.2), (0.5, 0.25, 0.25)][int(generator.integers(2))]
        cases.append(_case_2_2(texts, labels, fractions=fractions, seed=int(generator.integers(1000))))
    return cases


def _parts(value: Plain) -> dict[str, list[Any]]:
    return {name: _as_list(value[name]) for name in SPLITS}


def _known_places(part: Sequence[Plain], count: int) -> set[int]:
    return {place for place in part if _is_int(place) and 0 <= place < count}


def _each_review_once(case: Case, observation: Observation) -> Failure | None:
    count = len(case.inputs["texts"])
    places = [place for part in _parts(observation.value).values() for place in part]
    fault = _fault(places, count)
    expected = f"the places 0 to {count - 1}, each once"
    return Failure(expected, _counted(places, count), SPLIT_HINTS[fault]) if fault else None


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


STRATIFIED_SPLIT = Exercise(
    id="2.2",
    name="stratified_split",
    cases=_cases_2_2,
    observe=observers.stratified_split,
    properties=(
        Property(
            "every review is in exactly one split",
            _each_review_once,
            "The result should have a list for each of train, validation and test, and hold every place in one of them.",
        ),
        Property(
            "the splits have the sizes asked for",
            _sizes_follow,
            "Add up your sizes: which share of all reviews has each split, and which should it have?",
            core=True,
        ),
        Property(
            "each split has the class shares of the whole",
            _shares_follow,
            "In a small split drawn without a look at the labels, chance moves the class shares. Divide each class on its own.",
            core=True,
        ),
        Property(
            "identical texts share a split",
            _copies_stay,
            SPLIT_HINTS["identical"],
            applies=_labelled("identical"),
        ),
        Property(
            "texts that differ in case or outer white space share a split",
            _copies_stay,
            SPLIT_HINTS["case and space"],
            applies=_labelled("spelled"),
        ),
        Property(
            "the same seed gives the same split",
            _same_again(_as_sets),
            "Called again with the same seed, your answer gives another split. Where does its randomness come from?",
            applies=_has_other_seed,
        ),
        Property(
            "another seed gives another split",
            _other_differs,
            "Your split is the same for every seed. What does the seed decide in your answer?",
            applies=_has_other_seed,
        ),
        returns(
            "a dict of three lists of ints",
            lambda value: (
                isinstance(value, Mapping)
                and set(value) == set(SPLITS)
                and all(isinstance(part, list) and all(map(_is_int, part)) for part in value.values())
            ),
        ),
        keeps_arguments("texts and labels"),
        keeps_random_state(),
    ),
)

# 2.3 ReviewDataset

_LONG = "the film is a slow film about a man who made a movie about a film that is not so good and then some more of it"
_NAMES = ("input_ids", "attention_mask", "labels")
LABEL_FORMS = ("tensor int64 0-D", "array int64 0-D")


def _case_2_3(label: str, max_length: int, *texts: str, pad_last: bool = False) -> Case:
    labels = [(place + 1) % 2 for place in range(len(texts))]
    return Case({"texts": list(texts), "labels": labels, "max_length": max_length, "_pad_last": pad_last}, label)


def _cases_2_3(generator: np.random.Generator) -> list[Case]:
    small_tokenizer()  # made here once, not in every child
    small_tokenizer(pad_last=True)
    cases = [
        _case_2_3("short", 12, "good film"),
        _case_2_3("short", 12, "good film", "a plot of love and of music !", "bad"),
        _case_2_3("short", 20, "bad", "dull", "a slow film", "great !", "the end", pad_last=True),
        _case_2_3("empty", 12, "", "fine"),
        _case_2_3("long", 8, _LONG),
        _case_2_3("long", 5, "a b c d", "good", _LONG),
        _case_2_3("long", 16, "fine", _LONG, "", f"{_LONG} and {_LONG}", pad_last=True),
        _case_2_3("long", 6, "unwatchably overacted", "a film about a man who is not there"),
    ]
    for _ in range(2):
        counts = generator.integers(1, 25, size=generator.integers(2, 7))
        texts = [" ".join(generator.choice(WORDS, size=count)) for count in counts]
        max_length = int(generator.integers(5, 30))
        cases.append(_case_2_3("long" if max(counts) + 2 > max_length else "short", max_length, *texts))
    return cases


def review_dataset_reference(
    texts: Sequence[str], labels: Sequence[int], pad_last: bool, max_length: int
) -> list[dict[str, Plain]]:
    """The items by the tokenizers library's own truncation."""
    rows = _truncated(tuple(texts), pad_last, max_length)
    return [
        {"input_ids": np.array(row), "attention_mask": np.ones(len(row), dtype=int), "labels": label}
        for row, label in zip(rows, labels, strict=True)
    ]


@lru_cache(64)  # each property asks for them
def _truncated(texts: tuple[str, ...], pad_last: bool, max_length: int) -> list[list[int]]:
    return list(small_tokenizer(pad_last)(list(texts), truncation=True, max_length=max_length)["input_ids"])


def _items_have(name: str) -> Callable[[Case, Observation], Failure | None]:
    def test(case: Case, observation: Observation) -> Failure | None:
        given = case.inputs
        wanted = review_dataset_reference(given["texts"], given["labels"], given["_pad_last"], given["max_length"])
        for place, (item, right) in enumerate(zip(observation.value["items"], wanted, strict=True)):
            value = right[name] if name == "labels" else Array(right[name], True, "int64")
            if not close(item.get(name), value):
                where = f"item {place}: {name} ="
                return Failure(f"{where} {shown(value)}", f"{where} {shown(item.get(name))}")
        return None

    return test


def _has_length(case: Case, observation: Observation) -> Failure | None:
    found, wanted = observation.value["length"], len(case.inputs["texts"])
    return None if found == wanted else Failure(f"length {wanted}", f"length {shown(found)}")


def _items_are_int64(case: Case, observation: Observation) -> Failure | None:
    for item, form in zip(observation.value["items"], observation.seen["label_forms"], strict=True):
        rows = [item.get(name) for name in ("input_ids", "attention_mask")]
        if not all(isinstance(row, Array) and row.dtype == "int64" and row.values.ndim == 1 for row in rows):
            return Failure("input_ids and attention_mask of one dimension, int64", shown(rows))
        if form not in LABEL_FORMS:
            return Failure("labels: tensor int64 0-D", f"labels: {form}")
    return None


def _is_a_dataset(case: Case, observation: Observation) -> Failure | None:
    kept = observation.seen["is_dataset"] is True
    return None if kept else Failure("a torch.utils.data.Dataset", "a class of its own")


def _same_items(one: Plain, other: Plain) -> bool:
    return len(one["items"]) == len(other["items"]) and all(
        close({name: item[name] for name in _NAMES}, {name: known[name] for name in _NAMES})
        for item, known in zip(one["items"], other["items"], strict=True)
    )


def _as_dataset(items_of: Callable[..., list[dict[str, Any]]]) -> Any:
    def answer(texts: list[str], labels: list[int], tokenizer: Any, max_length: int) -> Any:
        from torch.utils.data import Subset

        items: Any = items_of(texts, labels, tokenizer, max_length)
        return Subset(items, range(len(items)))

    return answer


def _items(prepare: Callable[[str, int], str] = lambda text, max_length: text, **change: Any) -> Any:
    """All items at once. prepare, change: what a wrong answer does differently."""

    def answer(texts: list[str], labels: list[int], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
        asked = {"truncation": True, "max_length": max_length} | change
        rows = [tokenizer(prepare(text, max_length), **asked) for text in texts]
        return [_item(row["input_ids"], row["attention_mask"], label) for row, label in zip(rows, labels, strict=True)]

    return answer


def _item(input_ids: Sequence[int], attention_mask: Sequence[int], label: Any) -> dict[str, Any]:
    import torch

    return {
        "input_ids": torch.tensor(input_ids),
        "attention_mask": torch.tensor(attention_mask),
        "labels": torch.tensor(label),
    }


def _items_padded_to_longest(
    texts: list[str], labels: list[int], tokenizer: Any, max_length: int
) -> list[dict[str, Any]]:
    rows = tokenizer(texts, truncation=True, max_length=max_length, padding=True)
    return list(map(_item, rows["input_ids"], rows["attention_mask"], labels))


def _items_cut_by_hand(texts: list[str], labels: list[int], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
    rows = [tokenizer(text)["input_ids"][:max_length] for text in texts]
    return [_item(row, [1] * len(row), label) for row, label in zip(rows, labels, strict=True)]


def _items_with_batch_axis(
    texts: list[str], labels: list[int], tokenizer: Any, max_length: int
) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = _items()(texts, labels, tokenizer, max_length)
    return [{name: value[None] if value.ndim else value for name, value in item.items()} for item in items]


def _items_with_label_lists(
    texts: list[str], labels: list[int], tokenizer: Any, max_length: int
) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = _items()(texts, labels, tokenizer, max_length)
    return [{**item, "labels": item["labels"][None]} for item in items]


REVIEW_DATASET = Exercise(
    id="2.3",
    name="ReviewDataset",
    cases=_cases_2_3,
    observe=observers.review_dataset,
    properties=(
        Property(
            "short reviews keep all their ids, and get no padding",
            _items_have("input_ids"),
            "Turn the ids of one item back into tokens: does it begin and end as BERT wants it, with nothing behind the end?",
            core=True,
            applies=_labelled("short"),
        ),
        Property(
            "long reviews are cut to max_length, [SEP] kept at the end",
            _items_have("input_ids"),
            "Take an item whose text is too long: how many ids has it, and which token is the last?",
            core=True,
            applies=_labelled("long"),
        ),
        Property(
            "a review without words is only its special tokens",
            _items_have("input_ids"),
            "What is left of a text without words is what the tokenizer puts around every text.",
            applies=_labelled("empty"),
        ),
        Property(
            "the mask is 1 on every id of the item",
            _items_have("attention_mask"),
            "The mask says which ids are real, one number an id. Which of an item without padding are not?",
        ),
        Property(
            "every item has its own label",
            _items_have("labels"),
            "Compare the labels of your items with those that went in, one by one, with their shape.",
        ),
        Property(
            "len is the number of reviews",
            _has_length,
            "How many items has your Dataset, and how many reviews went in?",
        ),
        Property(
            "items are mappings of int64 values",
            _items_are_int64,
            "Look at dtype and shape of each value of an item: whole numbers of 64 bits, and a label without any dimension.",
        ),
        Property(
            "it is a torch Dataset",
            _is_a_dataset,
            "The class works alone, but it should be a Dataset of torch: which class does yours inherit from?",
            witnessed=True,
        ),
        keeps_arguments("texts and labels"),
        keeps_random_state(),
    ),
    misconceptions=(
        Misconception(
            "padded to max_length",
            "Every item is padded to max_length. Leave padding to the batch, which knows how long its longest review is.",
            _as_dataset(_items(padding="max_length")),
        ),
        Misconception(
            "padded to the longest of all",
            "Your items are padded to the longest review of the whole Dataset. How wide need a batch of short ones be?",
            _as_dataset(_items_padded_to_longest),
        ),
        Misconception(
            "no truncation",
            "Long reviews keep all their tokens. The model has places for only so many.",
            _as_dataset(_items(truncation=False, max_length=None)),
        ),
        Misconception(
            "cut by hand, so that [SEP] is lost",
            "You cut the finished row, and the closing [SEP] went with it. Leave room for it before you cut.",
            _as_dataset(_items_cut_by_hand),
        ),
        Misconception(
            "characters counted as tokens",
            "You cut the text after so many characters. max_length counts tokens.",
            _as_dataset(_items(lambda text, max_length: text[:max_length])),
        ),
        Misconception(
            "words counted as tokens",
            "You cut the text after so many words. max_length counts tokens, special ones too.",
            _as_dataset(
                _items(
                    lambda text, max_length: " ".join(text.split()[: max_length - 2]), truncation=False, max_length=None
                )
            ),
        ),
        Misconception(
            "no special tokens",
            "[CLS] and [SEP] are not there. The model reads its verdict at the first of them.",
            _as_dataset(_items(add_special_tokens=False)),
        ),
        Misconception(
            "a batch of one as an item",
            "Your items have two dimensions, as batches of one review. An item is one review, so one dimension is too many.",
            _as_dataset(_items_with_batch_axis),
        ),
        Misconception(
            "labels with a dimension",
            "Your label is a list of one number. Stacked into a batch it would become a column.",
            _as_dataset(_items_with_label_lists),
        ),
    ),
    same=_same_items,
)

# 2.4 pad_batch


def pad_batch_reference(features: Sequence[Mapping[str, Any]], pad_token_id: int) -> dict[str, np.ndarray]:
    """The contract row by row."""
    width = max(len(feature["input_ids"]) for feature in features)
    fill = {"input_ids": pad_token_id, "attention_mask": 0}
    batch = {
        name: np.array([[*feature[name], *[pad] * (width - len(feature[name]))] for feature in features])
        for name, pad in fill.items()
    }
    return batch | {"labels": np.array([feature["labels"] for feature in features])}


def _case_2_4(label: str, pad_token_id: int, *rows: Sequence[int]) -> Case:
    features = [
        {"input_ids": list(row), "attention_mask": [1] * len(row), "labels": (place + 1) % 2}
        for place, row in enumerate(rows)
    ]
    return Case({"features": features, "pad_token_id": pad_token_id}, label)


def _cases_2_4(generator: np.random.Generator) -> list[Case]:
    cases = [
        _case_2_4("even", 0, [2, 7, 3]),
        _case_2_4("even", 0, [2, 7, 3], [2, 9, 3]),
        _case_2_4("uneven", 0, [2, 7, 3], [2, 8, 9, 3]),
        _case_2_4("uneven", 0, [2, 5, 6, 8, 9, 3], [2, 3], [2, 7, 6, 3]),
        _case_2_4("uneven", 0, [2, 3], [2, 5, 6, 8, 9, 11, 12, 3], [2, 7, 3], [2, 7, 6, 3], [2, 9, 3]),
        # As the tokenizer's vocabulary has it where [PAD] is the last piece: 0 is a piece like any other.
        _case_2_4("other pad", 99, [1, 7, 2], [1, 0, 8, 0, 2], [1, 2]),
        _case_2_4("other pad", 7, [4, 0, 5], [4, 8, 0, 6, 5]),
        _case_2_4("other pad", 31, [1, *range(3, 30), 2], [1, 0, 2]),
    ]
    for number in range(4):
        lengths = generator.choice(np.arange(3, 24), size=generator.integers(2, 9), replace=False)
        rows = [[2, *generator.integers(5, 60, size=length - 2).tolist(), 3] for length in lengths.tolist()]
        cases.append(_case_2_4("uneven" if number % 2 else "other pad", 0 if number % 2 else 99, *rows))
    return cases


def _batch_has(name: str) -> Callable[[Case, Observation], Failure | None]:
    def test(case: Case, observation: Observation) -> Failure | None:
        wanted = Array(pad_batch_reference(**case.inputs)[name], True, "int64")
        found = observation.value.get(name)
        return None if close(found, wanted) else Failure(f"{name} = {shown(wanted)}", f"{name} = {shown(found)}")

    return test


TOO_WIDE = "Your rows are wider than the longest review of this batch needs. Every place more is computed for nothing."


def _is_as_wide_as_its_longest(case: Case, observation: Observation) -> Failure | None:
    features = case.inputs["features"]
    wanted = (len(features), max(len(feature["input_ids"]) for feature in features))
    found = observation.value["input_ids"].values.shape
    too_wide = len(found) == 2 and found[1] > wanted[1]
    return None if found == wanted else Failure(f"shape {wanted}", f"shape {found}", TOO_WIDE if too_wide else "")


def _is_batch_of_int64(value: Plain) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(value.get(name), Array) and value[name].tensor and value[name].dtype == "int64" for name in _NAMES
    )


def _padded(
    fill_ids: Callable[[int], int] = lambda pad_token_id: pad_token_id,
    fill_mask: Callable[[int], int] = lambda pad_token_id: 0,
    left: bool = False,
    order: Callable[[list[int]], list[int]] = lambda lengths: list(range(len(lengths))),
    mask_of_ids: Callable[[int], int] | None = None,
    width: Callable[[list[int]], int] = max,
) -> Any:
    """A batch padded by hand, with the right choices where no wrong ones are given."""

    def answer(features: list[dict[str, Any]], pad_token_id: int) -> dict[str, Any]:
        import torch

        lengths = [len(feature["input_ids"]) for feature in features]
        rows = [features[place] for place in order(lengths)]
        wide = width(lengths)

        def filled(name: str, fill: int) -> Any:
            padded = []
            for row in rows:
                padding = [fill] * (wide - len(row[name]))
                values = row[name].tolist()[:wide]
                padded.append([*padding, *values] if left else [*values, *padding])
            return torch.tensor(padded)

        input_ids, mask = filled("input_ids", fill_ids(pad_token_id)), filled("attention_mask", fill_mask(pad_token_id))
        if mask_of_ids:
            mask = (input_ids != mask_of_ids(pad_token_id)).long()
        return {
            "input_ids": input_ids,
            "attention_mask": mask,
            "labels": torch.tensor([int(row["labels"]) for row in rows]),
        }

    return answer


def _labels_as_column(features: list[dict[str, Any]], pad_token_id: int) -> dict[str, Any]:
    batch: dict[str, Any] = _padded()(features, pad_token_id)
    return {**batch, "labels": batch["labels"][:, None]}


PAD_BATCH = Exercise(
    id="2.4",
    name="pad_batch",
    cases=_cases_2_4,
    observe=observers.pad_batch,
    properties=(
        Property(
            "the batch is as wide as its longest row",
            _is_as_wide_as_its_longest,
            "How many rows has your batch, and how many places has each? Print the shape beside the lengths that went in.",
        ),
        Property(
            "rows of different lengths are padded on the right",
            _batch_has("input_ids"),
            "Print a short and a long row under each other: where does the text stand, and what fills the rest?",
            core=True,
            applies=_labelled("uneven"),
        ),
        Property(
            "padding has the caller's id",
            _batch_has("input_ids"),
            "Which id does your padding have, and which did the caller name?",
            applies=_labelled("other pad"),
        ),
        Property(
            "rows of one length, and a single one, need no padding",
            _batch_has("input_ids"),
            "What happens to a batch in which nothing has to be padded?",
            applies=_labelled("even"),
        ),
        Property(
            "the mask is 1 on tokens and 0 on padding",
            _batch_has("attention_mask"),
            "The mask says which places are real. Sum a row of yours and count its tokens.",
            core=True,
            applies=_labelled("uneven", "other pad"),
        ),
        Property(
            "labels come one a row, in the order of the rows",
            _batch_has("labels"),
            "Your labels should be one number a row, in a tensor of one dimension. Which shape have they?",
        ),
        returns("a mapping of int64 tensors", _is_batch_of_int64),
        keeps_arguments("the features"),
        keeps_random_state(),
    ),
    misconceptions=(
        Misconception(
            "pads on the left",
            "The padding stands before the text. BERT counts positions from the left, so it belongs behind.",
            _padded(left=True),
        ),
        Misconception(
            "pads with 0",
            "You fill up with 0. That is the padding id of many tokenizers, but not of all: the caller names it.",
            _padded(fill_ids=lambda pad_token_id: 0),
        ),
        Misconception(
            "mask all ones",
            "Your mask says that padding is to be read like words.",
            _padded(fill_mask=lambda pad_token_id: 1),
        ),
        Misconception(
            "the mask padded with pad_token_id",
            "You fill up the mask with the padding id as well. In the mask, what is not there is 0.",
            _padded(fill_mask=lambda pad_token_id: pad_token_id),
        ),
        Misconception(
            "the mask from ids that are not 0",
            "Your mask takes every id but 0 for a token. Another tokenizer's 0 may be a word, and its padding another number.",
            _padded(mask_of_ids=lambda pad_token_id: 0),
        ),
        Misconception(
            "rows sorted by length",
            "Your rows come sorted by length. A batch keeps the order in which its features came.",
            _padded(order=lambda lengths: sorted(range(len(lengths)), key=lambda place: -lengths[place])),
        ),
        Misconception(
            "cut to the shortest",
            "You cut every row to the shortest one, and lose what the others say.",
            _padded(width=min),
        ),
        Misconception(
            "cut or padded to the first",
            "Your rows are as wide as the first one. Another row may be longer.",
            _padded(width=lambda lengths: lengths[0]),
        ),
        Misconception(
            "labels as a column",
            "Your labels have a second dimension. The loss wants one class number a row.",
            _labels_as_column,
        ),
    ),
    same=lambda one, other: close({name: one[name] for name in _NAMES}, other),
)

# 2.5 length_bucketed_batches

MANY_BATCHES = 20
SORTED_RANK_CORRELATION = 0.9  # of 20 shuffled batches no one sees it
BUCKET_HINTS = {
    "no place": "Your batches hold something other than places. You sort by lengths, but what you sort are places.",
    "twice": "Some reviews are in two batches, so that an epoch trains on them twice.",
    "missing": "Some reviews are in no batch. What becomes of those that remain when the last full batch is made?",
    "too large": "Some of your batches are larger than batch_size.",
    "too small": "Several batches are smaller than batch_size: each bucket leaves a remainder. Only one in all may be smaller.",
    "random": "Your batches waste as much padding as a random order: long and short ones still meet. Where is the order lost?",
}


def _case_2_5(label: str, lengths: Sequence[int] | np.ndarray, batch_size: int, **named: Plain) -> Case:
    return Case({"lengths": [int(length) for length in lengths], "batch_size": batch_size, **named}, label)


def _skewed(count: int, generator: np.random.Generator) -> np.ndarray:
    """Lengths as those of reviews: most are short, few are long."""
    return np.minimum(generator.lognormal(3.0, 0.7, count).astype(int) + 3, 128)


@cache
def _fixed_2_5() -> tuple[Case, ...]:
    dice = np.random.default_rng(25)
    return (
        _case_2_5("small", [7], 4),
        _case_2_5("small", [9, 4, 6], 4),
        _case_2_5("small", [9, 4, 12, 6], 4, seed=1),
        _case_2_5("", [5, 3, 8, 3], 1),
        _case_2_5("", [5] * 10, 3),
        _case_2_5("skewed", _skewed(80, dice), 8),
        _case_2_5("skewed", _skewed(83, dice), 8, seed=2),
        _case_2_5("many", _skewed(160, dice), 8, seed=3, _other_seed=4),
        _case_2_5("many", np.sort(_skewed(245, dice)), 12, _other_seed=1),
        _case_2_5("many", _skewed(403, dice), 16, seed=9),
    )


def _cases_2_5(generator: np.random.Generator) -> list[Case]:
    cases = list(_fixed_2_5())
    for _ in range(2):
        batch_size = int(generator.integers(4, 9))
        count = batch_size * int(generator.integers(28, 40)) + int(generator.integers(batch_size))
        seed = int(generator.integers(1000))
        cases.append(_case_2_5("skewed", _skewed(count, generator), batch_size, seed=seed))
    return cases


def _batches(value: Plain) -> list[list[Any]]:
    return [_as_list(batch) for batch in _as_list(value)]


def _all_places(value: Plain) -> list[Any]:
    return [place for batch in _batches(value) for place in batch]


def _batches_hold_each_once(case: Case, observation: Observation) -> Failure | None:
    places, count = _all_places(observation.value), len(case.inputs["lengths"])
    fault = _fault(places, count)
    expected = f"the places 0 to {count - 1}, each once"
    return Failure(expected, _counted(places, count), BUCKET_HINTS[fault]) if fault else None


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
    if fault := _fault(_all_places(observation.value), len(lengths)):
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


LENGTH_BUCKETED_BATCHES = Exercise(
    id="2.5",
    name="length_bucketed_batches",
    cases=_cases_2_5,
    observe=observers.length_bucketed_batches,
    properties=(
        Property(
            "few reviews make one batch",
            _small_ones_fit,
            "What does your answer make of fewer reviews than fit into one batch, and of exactly as many?",
            applies=_labelled("small"),
        ),
        Property(
            "every review is in exactly one batch",
            _batches_hold_each_once,
            "The result should be a list of lists that hold every place once. Which are missing, and which stand twice?",
            applies=_labelled("", "skewed", "many"),
        ),
        Property(
            "batches have batch_size reviews, one may have fewer",
            _sizes_fit,
            "Count the reviews of each of your batches, and the batches that are not full.",
            core=True,
            applies=_labelled("", "skewed", "many"),
        ),
        Property(
            "padding wastes at most half of what a random order wastes",
            _wastes_little,
            "Padding goes down when reviews of nearly one length meet. Yours are still mixed: what do you sort, and how far?",
            core=True,
            applies=_labelled("skewed", "many"),
        ),
        Property(
            "batches do not come in order of length",
            _is_not_in_order,
            "Your batches come in order of length, so an epoch ends with only long or only short ones. Shuffle whole batches.",
            applies=_labelled("many"),
        ),
        Property(
            "the same seed gives the same list",
            _same_again(lambda value: value),
            "Called again with the same seed, your answer gives another list. Where does its randomness come from?",
            applies=_has_other_seed,
        ),
        Property(
            "another seed gives another list",
            _other_differs,
            "Your list is the same for every seed. What does the seed decide in your answer?",
            applies=_has_other_seed,
        ),
        returns(
            "a list of lists of ints",
            lambda value: (
                isinstance(value, list) and all(isinstance(batch, list) and all(map(_is_int, batch)) for batch in value)
            ),
        ),
        keeps_arguments("lengths"),
        keeps_random_state(),
    ),
)

EXERCISES = (RATING_TO_LABEL, STRATIFIED_SPLIT, REVIEW_DATASET, PAD_BATCH, LENGTH_BUCKETED_BATCHES)

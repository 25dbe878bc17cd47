"""Exercise 2.3, ReviewDataset: one item a review, cut and not padded."""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.wire import Array, Plain, as_array, close, shown
from labkit.lessons.observers import dataset as observers
from labkit.lessons.observers.tokenization import WORDS, small_tokenizer

_LONG = "the film is a slow film about a man who made a movie about a film that is not so good and then some more of it"
_NAMES = ("input_ids", "attention_mask", "labels")
LABEL_FORMS = ("tensor int64 0-D", "array int64 0-D")


def _case(label: str, max_length: int, *texts: str, pad_last: bool = False) -> Case:
    labels = [(place + 1) % 2 for place in range(len(texts))]
    return Case({"texts": list(texts), "labels": labels, "max_length": max_length, "_pad_last": pad_last}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    dice = np.random.default_rng(23)
    return (
        _case("short", 12, "good film"),
        _case("short", 12, "good film", "a plot of love and of music !", "bad"),
        _case("short", 20, "bad", "dull", "a slow film", "great !", "the end", pad_last=True),
        _case("empty", 12, "", "fine"),
        _case("long", 8, _LONG),
        _case("long", 5, "a b c d", "good", _LONG),
        _case("long", 16, "fine", _LONG, "", f"{_LONG} and {_LONG}", pad_last=True),
        _case("long", 6, "unwatchably overacted", "a film about a man who is not there"),
        *(_drawn(dice) for _ in range(4)),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    small_tokenizer()  # made here once, not in every child
    small_tokenizer(pad_last=True)
    return [*_fixed(), _drawn(generator)]


def _drawn(dice: np.random.Generator) -> Case:
    counts = dice.integers(1, 25, size=dice.integers(2, 7))
    texts = [" ".join(dice.choice(WORDS, size=count)) for count in counts]
    max_length = int(dice.integers(5, 30))
    return _case("long" if max(counts) + 2 > max_length else "short", max_length, *texts)


def review_dataset_reference(
    texts: Sequence[str], labels: Sequence[int], pad_last: bool, max_length: int
) -> list[dict[str, Plain]]:
    """The items by the tokenizers library's own truncation."""
    rows = small_tokenizer(pad_last)(list(texts), truncation=True, max_length=max_length)["input_ids"]
    return [
        {"input_ids": np.array(row), "attention_mask": np.ones(len(row), dtype=int), "labels": label}
        for row, label in zip(rows, labels, strict=True)
    ]


@lru_cache(512)  # each property asks for them
def _wanted(case: Case) -> list[dict[str, Plain]]:
    given = case.inputs
    return review_dataset_reference(given["texts"], given["labels"], given["_pad_last"], given["max_length"])


def _items_have(name: str) -> Callable[[Case, Observation], Failure | None]:
    def test(case: Case, observation: Observation) -> Failure | None:
        for place, (item, right) in enumerate(zip(observation.value["items"], _wanted(case), strict=True)):
            value = right[name] if name == "labels" else Array(right[name], True, "int64")
            if not close(item.get(name) if name == "labels" else as_array(item[name]), value):
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


EXERCISE = Exercise(
    "2.3",
    "ReviewDataset",
    observers.review_dataset,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "short reviews keep all their ids, and get no padding",
            "Turn the ids of one item back into tokens: does it begin and end as BERT wants it, with nothing behind the end?",
            on="short",
            test=_items_have("input_ids"),
            core=True,
        ),
        Property(
            "long reviews are cut to max_length, [SEP] kept at the end",
            "Take an item whose text is too long: how many ids has it, and which token is the last?",
            on="long",
            test=_items_have("input_ids"),
            core=True,
        ),
        Property(
            "a review without words is only its special tokens",
            "What is left of a text without words is what the tokenizer puts around every text.",
            on="empty",
            test=_items_have("input_ids"),
        ),
        Property(
            "the mask is 1 on every id of the item",
            "The mask says which ids are real, one number an id. Which of an item without padding are not?",
            test=_items_have("attention_mask"),
        ),
        Property(
            "every item has its own label",
            "Compare the labels of your items with those that went in, one by one, with their shape.",
            test=_items_have("labels"),
        ),
        Property(
            "len is the number of reviews",
            "How many items has your Dataset, and how many reviews went in?",
            test=_has_length,
        ),
        Property(
            "items are mappings of int64 values",
            "Look at dtype and shape of each value of an item: whole numbers of 64 bits, and a label without any dimension.",
            test=_items_are_int64,
        ),
        Property(
            "it is a torch Dataset",
            "The class works alone, but it should be a Dataset of torch: which class does yours inherit from?",
            test=_is_a_dataset,
            witnessed=True,
        ),
    ),
    wrong={
        "padded to max_length": (
            "Every item is padded to max_length. Leave padding to the batch, which knows how long its longest review is.",
            _as_dataset(_items(padding="max_length")),
        ),
        "padded to the longest of all": (
            "Your items are padded to the longest review of the whole Dataset. How wide need a batch of short ones be?",
            _as_dataset(_items_padded_to_longest),
        ),
        "no truncation": (
            "Long reviews keep all their tokens. The model has places for only so many.",
            _as_dataset(_items(truncation=False, max_length=None)),
        ),
        "cut by hand, so that [SEP] is lost": (
            "You cut the finished row, and the closing [SEP] went with it. Leave room for it before you cut.",
            _as_dataset(_items_cut_by_hand),
        ),
        "characters counted as tokens": (
            "You cut the text after so many characters. max_length counts tokens.",
            _as_dataset(_items(lambda text, max_length: text[:max_length])),
        ),
        "words counted as tokens": (
            "You cut the text after so many words. max_length counts tokens, special ones too.",
            _as_dataset(
                _items(
                    lambda text, max_length: " ".join(text.split()[: max_length - 2]), truncation=False, max_length=None
                )
            ),
        ),
        "no special tokens": (
            "[CLS] and [SEP] are not there. The model reads its verdict at the first of them.",
            _as_dataset(_items(add_special_tokens=False)),
        ),
        "a batch of one as an item": (
            "Your items have two dimensions, as batches of one review. An item is one review, so one dimension is too many.",
            _as_dataset(_items_with_batch_axis),
        ),
        "labels with a dimension": (
            "Your label is a list of one number. Stacked into a batch it would become a column.",
            _as_dataset(_items_with_label_lists),
        ),
    },
    same=_same_items,
    keeps_arguments="texts and labels",
)

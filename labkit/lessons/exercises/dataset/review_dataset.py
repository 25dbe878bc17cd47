"""Exercise 2.3, ReviewDataset: one item a review, cut and not padded."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Subset

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property, Test
from labkit.checks.properties import from_reference
from labkit.checks.wire import Array, Plain, as_array, close, plain, shown
from labkit.lessons.exercises.tokenization.encode import LONG
from labkit.lessons.observers import dataset as observers
from labkit.lessons.observers.tokenization import WORDS, small_tokenizer

NAMES = ("input_ids", "attention_mask", "labels")
NO_DATASET = Failure("a torch.utils.data.Dataset", "a class of its own")


def _dataset(
    change: Callable[[dict[str, torch.Tensor], int], dict[str, torch.Tensor]] = lambda item, max_length: {},
    prepare: Callable[[str, int], str] = lambda text, max_length: text,
    **named: Any,
) -> Any:
    """All items at once; change, prepare and named make it a wrong answer."""

    def answer(texts: list[str], labels: list[int], tokenizer: Any, max_length: int) -> Any:
        usual = {"truncation": True, "max_length": max_length}
        columns = {**tokenizer([prepare(text, max_length) for text in texts], **usual | named), "labels": labels}
        items = [{name: torch.tensor(columns[name][place]) for name in NAMES} for place in range(len(texts))]
        changed: Any = [item | change(item, max_length) for item in items]
        return Subset(changed, range(len(texts)))

    return answer


def review_dataset_reference(texts: list[str], labels: list[int], max_length: int, pad_last: bool = False) -> Plain:
    """The items by the tokenizers library's own truncation."""
    return plain(list(_dataset()(texts, labels, small_tokenizer(pad_last), max_length)))


def _inputs(max_length: int, *texts: str, pad_last: bool = False) -> tuple[Plain, ...]:
    return list(texts), [(place + 1) % 2 for place in range(len(texts))], max_length, pad_last


def _drawn(generator: np.random.Generator, count: int = 1) -> Iterator[tuple[str, Inputs]]:
    for pad_last in (False, True):
        small_tokenizer(pad_last)  # made here once, not in every child
    for _ in range(count):
        words = generator.integers(1, 25, size=generator.integers(2, 7))
        texts = [" ".join(generator.choice(WORDS, size=size)) for size in words]
        max_length = int(generator.integers(5, 30))
        yield "long" if max(words) + 2 > max_length else "short", _inputs(max_length, *texts)


def _items_have(name: str) -> Test:
    def test(case: Case, observation: Observation) -> Failure | None:
        wanted = from_reference(review_dataset_reference, case)
        for place, (item, right) in enumerate(zip(observation.value["items"], wanted, strict=True)):
            where = f"item {place}: {name} ="
            if name not in item:
                hint = f"Your items have no {name}. Compare their names with those that the exercise asks for."
                return Failure(f"{where} {shown(right[name])}", f"item {place}: {', '.join(item)}", hint)
            if not close(item[name] if name == "labels" else as_array(item[name]), right[name]):
                return Failure(f"{where} {shown(right[name])}", f"{where} {shown(item.get(name))}")
        return None

    return test


def _named(items: Sequence[Mapping[str, Plain]]) -> list[dict[str, Plain]]:
    """What items have under the names that are asked for, and under the one that is often taken for one of them."""
    return [{name: item.get(name) for name in (*NAMES, "label")} for item in items]


def _has_length(case: Case, observation: Observation) -> Failure | None:
    found, wanted = observation.value["length"], len(case.inputs["texts"])
    return None if found == wanted else Failure(f"length {wanted}", f"length {shown(found)}")


def _items_are_int64(case: Case, observation: Observation) -> Failure | None:
    for item, form in zip(observation.value["items"], observation.seen["label_forms"], strict=True):
        rows = [item.get(name) for name in ("input_ids", "attention_mask")]
        if not all(isinstance(row, Array) and row.dtype == "int64" and row.values.ndim == 1 for row in rows):
            return Failure("input_ids and attention_mask of one dimension, int64", shown(rows))
        if form not in ("tensor int64 0-D", "array int64 0-D"):
            return Failure("labels: tensor int64 0-D", f"labels: {form}")
    return None


EXERCISE = Exercise(
    "2.3",
    "ReviewDataset",
    observers.review_dataset,
    nudge=(
        "A DataLoader asks two things of a dataset: how many there are, and which one is number i. Look at the shape "
        "and the type of everything you give for one review."
    ),
    in_words=(
        "Keep what you were given, and tokenize a review when it is asked for. One item is one review: ids and mask "
        "in one dimension, cut by the tokenizer so that [SEP] stays, and not padded, since nobody knows yet with whom"
        " it will share a batch. The label is a number without a dimension."
    ),
    takes="texts labels max_length _pad_last",
    properties=(
        Property(
            "short reviews keep all their ids, and get no padding",
            "Turn the ids of one item back into tokens: does it begin and end as BERT wants it, with nothing behind the end?",
            on="short",
            test=_items_have("input_ids"),
            core=True,
            idea=True,
        ),
        Property(
            "long reviews are cut to max_length, [SEP] kept at the end",
            "Take an item whose text is too long: how many ids has it, and which token is the last?",
            on="long",
            test=_items_have("input_ids"),
            core=True,
            idea=True,
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
            test=lambda case, observation: None if observation.seen["is_dataset"] is True else NO_DATASET,
            witnessed=True,
        ),
    ),
    wrong={
        "padded to max_length": (
            "Every item is padded to max_length. Leave padding to the batch, which knows how long its longest review is.",
            _dataset(padding="max_length"),
        ),
        "padded to the longest of all": (
            "Your items are padded to the longest review of the whole Dataset. How wide need a batch of short ones be?",
            _dataset(padding=True),
        ),
        "no truncation": (
            "Long reviews keep all their tokens. The model has places for only so many.",
            _dataset(truncation=False),
        ),
        "cut by hand, so that [SEP] is lost": (
            "You cut the finished row, and the closing [SEP] went with it. Leave room for it before you cut.",
            _dataset(lambda item, max_length: {name: item[name][:max_length] for name in NAMES[:2]}, truncation=False),
        ),
        "characters counted as tokens": (
            "You cut the text after so many characters. max_length counts tokens.",
            _dataset(prepare=lambda text, max_length: text[:max_length]),
        ),
        "words counted as tokens": (
            "You cut the text after so many words. max_length counts tokens, special ones too.",
            _dataset(prepare=lambda text, max_length: " ".join(text.split()[: max_length - 2]), truncation=False),
        ),
        "no special tokens": (
            "[CLS] and [SEP] are not there. The model reads its verdict at the first of them.",
            _dataset(add_special_tokens=False),
        ),
        "a batch of one as an item": (
            "Your items have two dimensions, as batches of one review. An item is one review, so one dimension is too many.",
            _dataset(lambda item, max_length: {name: item[name][None] for name in NAMES[:2]}),
        ),
        "the key label": (
            "You call it label. The model takes its arguments by name, and looks for labels.",
            _dataset(lambda item, max_length: {"label": item.pop("labels")}),
        ),
        "labels with a dimension": (
            "Your label is a list of one number. Stacked into a batch it would become a column.",
            _dataset(lambda item, max_length: {"labels": item["labels"][None]}),
        ),
    },
    drawn=_drawn,
    fixed=lambda: [
        ("short", _inputs(12, "good film")),
        ("short", _inputs(12, "good film", "a plot of love and of music !", "bad")),
        ("short", _inputs(20, "bad", "dull", "a slow film", "great !", "the end", pad_last=True)),
        ("empty", _inputs(12, "", "fine")),
        ("long", _inputs(8, LONG)),
        ("long", _inputs(5, "a b c d", "good", LONG)),
        ("long", _inputs(16, "fine", LONG, "", f"{LONG} and {LONG}", pad_last=True)),
        ("long", _inputs(6, "unwatchably overacted", "a film about a man who is not there")),
        *_drawn(np.random.default_rng(23), 4),
    ],
    same=lambda one, other: close(_named(one["items"]), _named(other["items"])),
    keeps_arguments="texts and labels",
)

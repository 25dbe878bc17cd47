"""Exercise 1.2, encode: truncation and padding to one length."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from labkit.checks.exercise import Exercise, Property
from labkit.checks.properties import has_tensor, returns_int64_tensors
from labkit.checks.wire import Plain, close
from labkit.lessons.observers import tokenization as observers

NAMES = ("input_ids", "attention_mask", "token_type_ids")
LONG = "the film is a slow film about a man who made a movie about a film that is not so good and then some more of it"
TEXTS = ["good film", LONG, "", "a plot of love , and of music !", "xqzzy movie", "bad"]


def _encoding(change: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda found: {}, **named: Any) -> Any:
    """The right answer, or a wrong one by another call or a changed result."""

    def answer(texts: list[str], tokenizer: Any, max_length: int) -> dict[str, Any]:
        usual = {"padding": "max_length", "truncation": True, "max_length": max_length, "return_tensors": "pt"}
        found = tokenizer(texts, **usual | named)
        return {**found, **change(found)}

    return answer


def encode_reference(texts: list[str], max_length: int, pad_last: bool = False) -> dict[str, Any]:
    """The contract by the tokenizers library's own truncation and padding."""
    return _encoding()(texts, observers.small_tokenizer(pad_last), max_length)


def _drawn(generator: np.random.Generator, count: int = 2) -> Iterator[tuple[str, tuple[Plain, ...]]]:
    for pad_last in (False, True):
        observers.small_tokenizer(pad_last)  # made here once, not in every child
    for _ in range(count):
        words = generator.integers(0, 30, size=generator.integers(1, 6))
        texts = [" ".join(generator.choice(observers.WORDS, size=size)) for size in words]
        max_length = int(generator.integers(3, 24))
        yield "long" if max(words) + 2 > max_length else "short", (texts, max_length, False)


EXERCISE = Exercise(
    "1.2",
    "encode",
    observers.encode,
    nudge=(
        "Look at one long and one short text. How many ids has each, what stands at its end, and what should fill the"
        " room that is left?"
    ),
    in_words=(
        "The tokenizer does all of it when it is told to: cut what is too long, fill up what is too short, give "
        "tensors. It knows that [SEP] closes a text and cuts before it, which slicing a finished list of ids does "
        "not."
    ),
    takes="texts max_length _pad_last",
    properties=(
        Property(
            "short and long texts have the right input ids, [SEP] kept at the end",
            "Print the tokens of one short and one long row: where is [SEP], how many ids are there, and what fills the rest?",
            on=("short", "long"),
            test=has_tensor("input_ids", encode_reference),
            core=True,
            idea=True,
        ),
        Property(
            "the empty text and another tokenizer's padding are right too",
            "Not every tokenizer pads with the same id: ask this one for its own.",
            on=("empty", "other pad"),
            test=has_tensor("input_ids", encode_reference),
        ),
        Property(
            "the mask is 1 on tokens and 0 on padding",
            "The mask says which places are real. Sum a row of yours and count its tokens.",
            test=has_tensor("attention_mask", encode_reference),
        ),
        Property(
            "token types are all 0",
            "A single text is one segment, so its token types are all the same: which number has the first segment?",
            test=has_tensor("token_type_ids", encode_reference),
        ),
        returns_int64_tensors(*NAMES),
    ),
    wrong={
        "no truncation": (
            "Long texts come out longer than max_length. What should happen to the tokens beyond it?",
            _encoding(truncation=False),
        ),
        "cut by hand, so that [SEP] is lost": (
            "You cut the finished row, and the closing [SEP] went with it. Leave room for it before you cut.",
            lambda texts, tokenizer, max_length: {
                name: rows[:, :max_length]
                for name, rows in _encoding(truncation=False, max_length=99)(texts, tokenizer, max_length).items()
            },
        ),
        "cut by hand, and padded to the longest text": (
            "You cut finished rows, so long ones lose their [SEP], and short ones end where the longest of this call does.",
            lambda texts, tokenizer, max_length: {
                name: rows[:, :max_length]
                for name, rows in _encoding(truncation=False, padding="longest")(texts, tokenizer, max_length).items()
            },
        ),
        "[SEP] sliced off": (
            "None of your rows has its [SEP], short ones neither. Does a slice of yours take the last id of every text away?",
            lambda texts, tokenizer, max_length: {
                **(found := _encoding()(texts, tokenizer, max_length)),
                "attention_mask": (kept := found["attention_mask"] * (found["input_ids"] != tokenizer.sep_token_id)),
                "input_ids": found["input_ids"].where(kept == 1, tokenizer.pad_token_id),
            },
        ),
        "padded to the longest text": (
            "The rows are as long as the longest text of this call. This exercise pads every row to max_length.",
            _encoding(padding="longest"),
        ),
        "no special tokens": (
            "[CLS] and [SEP] are not there. The model reads its verdict at the first of them.",
            _encoding(add_special_tokens=False),
        ),
        "pads with 0": (
            "You fill up with 0. That is the padding id of many tokenizers, but not of all: ask this one.",
            _encoding(lambda found: {"input_ids": found["input_ids"] * found["attention_mask"]}),
        ),
        "mask all ones": (
            "Your mask says that padding is to be read like words.",
            _encoding(lambda found: {"attention_mask": found["attention_mask"] * 0 + 1}),
        ),
        "the mask from ids that are not 0": (
            "Your mask takes every id but 0 for a token. With another tokenizer 0 may be a word, and padding another number.",
            _encoding(lambda found: {"attention_mask": (found["input_ids"] != 0).long()}),
        ),
        "pads on the left": (
            "The padding stands before the text. BERT counts positions from the left, so it belongs behind.",
            _encoding(padding_side="left"),
        ),
    },
    drawn=_drawn,
    fixed=lambda: [
        ("short", (["good film"], 8, False)),
        ("short", (["good film", "a plot of love"], 8, False)),
        ("other pad", (["good film", "a plot of love"], 8, True)),
        ("other pad", (TEXTS[2:], 24, True)),
        ("long", ([LONG, "bad"], 8, False)),
        ("long", ([LONG], 3, False)),
        ("long", (["a b c"], 3, False)),
        ("long", (TEXTS, 12, False)),
        ("long", (TEXTS, 16, True)),
        ("empty", ([""], 5, False)),
        *_drawn(np.random.default_rng(12), 6),
    ],
    same=lambda one, other: close({name: one.get(name) for name in NAMES}, {name: other[name] for name in NAMES}),
    keeps_arguments="texts and tokenizer",
)

"""Exercise 1.2, encode: truncation and padding to one length."""

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import torch

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns_int64_tensors
from labkit.checks.wire import Array, as_array, close, shown
from labkit.lessons.observers import tokenization as observers

NAMES = ("input_ids", "attention_mask", "token_type_ids")
_LONG = "the film is a slow film about a man who made a movie about a film that is not so good and then some more of it"
_TEXTS = ["good film", _LONG, "", "a plot of love , and of music !", "xqzzy movie", "bad"]


def encode_reference(texts: Sequence[str], pad_last: bool, max_length: int, **change: Any) -> dict[str, np.ndarray]:
    """The contract by the tokenizers library's own truncation and padding. change: what a wrong answer asks of it instead."""
    asked = {"padding": "max_length", "truncation": True, "max_length": max_length, "return_tensors": "np"} | change
    tokenizer = observers.small_tokenizer(pad_last)
    return {name: np.asarray(values) for name, values in tokenizer(list(texts), **asked).items()}


def _case(texts: Sequence[str], max_length: int, pad_last: bool = False, label: str = "") -> Case:
    return Case({"texts": list(texts), "max_length": max_length, "_pad_last": pad_last}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    dice = np.random.default_rng(12)
    return (
        _case(["good film"], 8, label="short"),
        _case(["good film", "a plot of love"], 8, label="short"),
        _case(["good film", "a plot of love"], 8, pad_last=True, label="other pad"),
        _case(_TEXTS[2:], 24, pad_last=True, label="other pad"),
        _case([_LONG, "bad"], 8, label="long"),
        _case([_LONG], 3, label="long"),
        _case(["a b c"], 3, label="long"),
        _case(_TEXTS, 12, label="long"),
        _case(_TEXTS, 16, pad_last=True, label="long"),
        _case([""], 5, label="empty"),
        *(_drawn(dice) for _ in range(6)),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    observers.small_tokenizer()  # made here once, not in every child
    observers.small_tokenizer(pad_last=True)
    return [*_fixed(), *(_drawn(generator) for _ in range(2))]


def _drawn(dice: np.random.Generator) -> Case:
    counts = dice.integers(0, 30, size=dice.integers(1, 6))
    texts = [" ".join(dice.choice(observers.WORDS, size=count)) for count in counts]
    max_length = int(dice.integers(3, 24))
    return _case(texts, max_length, label="long" if max(counts) + 2 > max_length else "short")


@lru_cache(512)  # each property asks for it
def _wanted(case: Case) -> dict[str, np.ndarray]:
    return encode_reference(case.inputs["texts"], case.inputs["_pad_last"], case.inputs["max_length"])


def _has_key(name: str) -> Any:
    def test(case: Case, observation: Observation) -> Failure | None:
        wanted = Array(_wanted(case)[name], True, "int64")
        if name not in observation.value:
            return Failure(f"{name} = {shown(wanted)}", f"no {name}")
        found = as_array(observation.value[name])
        return None if close(found, wanted) else Failure(f"{name} = {shown(wanted)}", f"{name} = {shown(found)}")

    return test


def _encoding(**change: Any) -> Any:
    def answer(texts: list[str], tokenizer: Any, max_length: int) -> Any:
        asked = {"padding": "max_length", "truncation": True, "max_length": max_length, "return_tensors": "pt"} | change
        return tokenizer(texts, **asked)

    return answer


def _cut_by_hand(texts: list[str], tokenizer: Any, max_length: int) -> Any:

    rows = tokenizer(texts)["input_ids"]
    ids = [(row + [tokenizer.pad_token_id] * max_length)[:max_length] for row in rows]
    mask = [[int(place < len(row)) for place in range(max_length)] for row in rows]
    return _as_encoding(torch.tensor(ids), torch.tensor(mask))


def _pads_with_zero(texts: list[str], tokenizer: Any, max_length: int) -> Any:
    found = _encoding()(texts, tokenizer, max_length)
    return {**found, "input_ids": found["input_ids"] * found["attention_mask"]}


def _mask_all_ones(texts: list[str], tokenizer: Any, max_length: int) -> Any:
    found = _encoding()(texts, tokenizer, max_length)
    return {**found, "attention_mask": found["attention_mask"] * 0 + 1}


def _mask_from_ids(texts: list[str], tokenizer: Any, max_length: int) -> Any:
    found = _encoding()(texts, tokenizer, max_length)
    return {**found, "attention_mask": (found["input_ids"] != 0).long()}


def _pads_left(texts: list[str], tokenizer: Any, max_length: int) -> Any:

    found = _encoding()(texts, tokenizer, max_length)
    shifts = max_length - found["attention_mask"].sum(dim=1)
    turned = {
        name: torch.stack([row.roll(int(by)) for row, by in zip(rows, shifts, strict=True)])
        for name, rows in found.items()
    }
    return turned


def _as_encoding(input_ids: Any, attention_mask: Any) -> dict[str, Any]:
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": input_ids * 0}


EXERCISE = Exercise(
    "1.2",
    "encode",
    observers.encode,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "short and long texts have the right input ids, [SEP] kept at the end",
            "Print the tokens of one short and one long row: where is [SEP], how many ids are there, and what fills the rest?",
            on=("short", "long"),
            test=_has_key("input_ids"),
            core=True,
        ),
        Property(
            "the empty text and another tokenizer's padding are right too",
            "Not every tokenizer pads with the same id: ask this one for its own.",
            on=("empty", "other pad"),
            test=_has_key("input_ids"),
        ),
        Property(
            "the mask is 1 on tokens and 0 on padding",
            "The mask says which places are real. Sum a row of yours and count its tokens.",
            test=_has_key("attention_mask"),
        ),
        Property(
            "token types are all 0",
            "A single text is one segment, so its token types are all the same: which number has the first segment?",
            test=_has_key("token_type_ids"),
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
            _cut_by_hand,
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
            _pads_with_zero,
        ),
        "mask all ones": (
            "Your mask says that padding is to be read like words.",
            _mask_all_ones,
        ),
        "the mask from ids that are not 0": (
            "Your mask takes every id but 0 for a token. With another tokenizer 0 may be a word, and padding another number.",
            _mask_from_ids,
        ),
        "pads on the left": (
            "The padding stands before the text. BERT counts positions from the left, so it belongs behind.",
            _pads_left,
        ),
    },
    same=lambda one, other: close({name: one[name] for name in NAMES}, {name: other[name] for name in NAMES}),
    keeps_arguments="texts and tokenizer",
)

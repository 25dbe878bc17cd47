"""Exercise 2.4, pad_batch: as wide as the longest row of this batch."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns_int64_tensors
from labkit.checks.wire import Array, as_array, close, shown
from labkit.lessons.observers import dataset as observers

NAMES = ("input_ids", "attention_mask", "labels")


def pad_batch_reference(features: Sequence[Mapping[str, Any]], pad_token_id: int) -> dict[str, np.ndarray]:
    """The contract row by row."""
    width = max(len(feature["input_ids"]) for feature in features)
    fill = {"input_ids": pad_token_id, "attention_mask": 0}
    batch = {
        name: np.array([[*feature[name], *[pad] * (width - len(feature[name]))] for feature in features])
        for name, pad in fill.items()
    }
    return batch | {"labels": np.array([feature["labels"] for feature in features])}


def _case(label: str, pad_token_id: int, *rows: Sequence[int]) -> Case:
    features = [
        {"input_ids": list(row), "attention_mask": [1] * len(row), "labels": (place + 1) % 2}
        for place, row in enumerate(rows)
    ]
    return Case({"features": features, "pad_token_id": pad_token_id}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    dice = np.random.default_rng(24)
    return (
        _case("even", 0, [2, 7, 3]),
        _case("even", 0, [2, 7, 3], [2, 9, 3]),
        _case("uneven", 0, [2, 7, 3], [2, 8, 9, 3]),
        _case("uneven", 0, [2, 5, 6, 8, 9, 3], [2, 3], [2, 7, 6, 3]),
        _case("uneven", 0, [2, 3], [2, 5, 6, 8, 9, 11, 12, 3], [2, 7, 3], [2, 7, 6, 3], [2, 9, 3]),
        # As the tokenizer's vocabulary has it where [PAD] is the last piece: 0 is a piece like any other.
        _case("other pad", 99, [1, 7, 2], [1, 0, 8, 0, 2], [1, 2]),
        _case("other pad", 7, [4, 0, 5], [4, 8, 0, 6, 5]),
        _case("other pad", 31, [1, *range(3, 30), 2], [1, 0, 2]),
        *(_drawn(dice, pad_token_id) for pad_token_id in (0, 99, 0, 99, 0)),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator, pad_token_id) for pad_token_id in (0, 99))]


def _drawn(dice: np.random.Generator, pad_token_id: int) -> Case:
    lengths = dice.choice(np.arange(3, 24), size=dice.integers(2, 9), replace=False)
    rows = [[2, *dice.integers(5, 60, size=length - 2).tolist(), 3] for length in lengths.tolist()]
    return _case("other pad" if pad_token_id else "uneven", pad_token_id, *rows)


def _batch_has(name: str) -> Callable[[Case, Observation], Failure | None]:
    def test(case: Case, observation: Observation) -> Failure | None:
        wanted = Array(pad_batch_reference(**case.inputs)[name], True, "int64")
        if name not in observation.value:
            return Failure(f"{name} = {shown(wanted)}", f"no {name}")
        found = as_array(observation.value[name])
        return None if close(found, wanted) else Failure(f"{name} = {shown(wanted)}", f"{name} = {shown(found)}")

    return test


TOO_WIDE = "Your rows are wider than the longest review of this batch needs. Every place more is computed for nothing."


def _is_as_wide_as_its_longest(case: Case, observation: Observation) -> Failure | None:
    features = case.inputs["features"]
    wanted = (len(features), max(len(feature["input_ids"]) for feature in features))
    found = observation.value["input_ids"].values.shape
    too_wide = len(found) == 2 and found[1] > wanted[1]
    return None if found == wanted else Failure(f"shape {wanted}", f"shape {found}", TOO_WIDE if too_wide else "")


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


EXERCISE = Exercise(
    "2.4",
    "pad_batch",
    observers.pad_batch,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "the batch is as wide as its longest row",
            "How many rows has your batch, and how many places has each? Print the shape beside the lengths that went in.",
            test=_is_as_wide_as_its_longest,
        ),
        Property(
            "rows of different lengths are padded on the right",
            "Print a short and a long row under each other: where does the text stand, and what fills the rest?",
            on="uneven",
            test=_batch_has("input_ids"),
            core=True,
        ),
        Property(
            "padding has the caller's id",
            "Which id does your padding have, and which did the caller name?",
            on="other pad",
            test=_batch_has("input_ids"),
        ),
        Property(
            "rows of one length, and a single one, need no padding",
            "What happens to a batch in which nothing has to be padded?",
            on="even",
            test=_batch_has("input_ids"),
        ),
        Property(
            "the mask is 1 on tokens and 0 on padding",
            "The mask says which places are real. Sum a row of yours and count its tokens.",
            on=("uneven", "other pad"),
            test=_batch_has("attention_mask"),
            core=True,
        ),
        Property(
            "labels come one a row, in the order of the rows",
            "Your labels should be one number a row, in a tensor of one dimension. Which shape have they?",
            test=_batch_has("labels"),
        ),
        returns_int64_tensors(*NAMES),
    ),
    wrong={
        "pads on the left": (
            "The padding stands before the text. BERT counts positions from the left, so it belongs behind.",
            _padded(left=True),
        ),
        "pads with 0": (
            "You fill up with 0. That is the padding id of many tokenizers, but not of all: the caller names it.",
            _padded(fill_ids=lambda pad_token_id: 0),
        ),
        "mask all ones": (
            "Your mask says that padding is to be read like words.",
            _padded(fill_mask=lambda pad_token_id: 1),
        ),
        "the mask padded with pad_token_id": (
            "You fill up the mask with the padding id as well. In the mask, what is not there is 0.",
            _padded(fill_mask=lambda pad_token_id: pad_token_id),
        ),
        "the mask from ids that are not 0": (
            "Your mask takes every id but 0 for a token. Another tokenizer's 0 may be a word, and its padding another number.",
            _padded(mask_of_ids=lambda pad_token_id: 0),
        ),
        "rows sorted by length": (
            "Your rows come sorted by length. A batch keeps the order in which its features came.",
            _padded(order=lambda lengths: sorted(range(len(lengths)), key=lambda place: -lengths[place])),
        ),
        "cut to the shortest": (
            "You cut every row to the shortest one, and lose what the others say.",
            _padded(width=min),
        ),
        "cut or padded to the first": (
            "Your rows are as wide as the first one. Another row may be longer.",
            _padded(width=lambda lengths: lengths[0]),
        ),
        "labels as a column": (
            "Your labels have a second dimension. The loss wants one class number a row.",
            _labels_as_column,
        ),
    },
    same=lambda one, other: close({name: one[name] for name in NAMES}, other),
    keeps_arguments="the features",
)

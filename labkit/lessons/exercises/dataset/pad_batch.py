"""Exercise 2.4, pad_batch: as wide as the longest row of this batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, as_tensor, tensor
from torch.nn.utils.rnn import pad_sequence

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
from labkit.checks.properties import has_tensor, returns_int64_tensors
from labkit.checks.wire import Plain, close
from labkit.lessons.observers import dataset as observers

NAMES = ("input_ids", "attention_mask", "labels")
TOO_WIDE = "Your rows are wider than the longest review of this batch needs. Every place more is computed for nothing."


def pad_batch_reference(
    features: Sequence[Mapping[str, Any]], pad_token_id: int, mask_padding: int = 0, padding_side: str = "right"
) -> dict[str, Tensor]:
    """The contract by torch's own padding, or with a wrong answer's arguments."""
    batch = {
        name: pad_sequence([as_tensor(one[name]) for one in features], True, pad, padding_side)
        for name, pad in (("input_ids", pad_token_id), ("attention_mask", mask_padding))
    }
    return batch | {"labels": tensor([int(one["labels"]) for one in features])}


def _features(*rows: Sequence[int]) -> list[dict[str, Plain]]:
    return [
        {"input_ids": list(row), "attention_mask": [1] * len(row), "labels": (place + 1) % 2}
        for place, row in enumerate(rows)
    ]


def _drawn(generator: np.random.Generator, padding: Sequence[int] = (0, 99)) -> Iterator[tuple[str, Inputs]]:
    for pad_token_id in padding:
        lengths = generator.choice(np.arange(3, 24), size=generator.integers(2, 9), replace=False)
        rows = [[2, *generator.integers(5, 60, size=length - 2).tolist(), 3] for length in lengths.tolist()]
        yield "other pad" if pad_token_id else "uneven", (_features(*rows), pad_token_id)


def _is_as_wide_as_its_longest(case: Case, observation: Observation) -> Failure | None:
    features = case.inputs["features"]
    wanted = (len(features), max(len(feature["input_ids"]) for feature in features))
    found = observation.value["input_ids"].values.shape
    too_wide = len(found) == 2 and found[1] > wanted[1]
    return None if found == wanted else Failure(f"shape {wanted}", f"shape {found}", TOO_WIDE if too_wide else "")


def _changed(change: Callable[[dict[str, Tensor], list[int]], dict[str, Tensor]]) -> Any:
    """A wrong answer that makes something else of the right batch."""

    def answer(features: list[dict[str, Tensor]], pad_token_id: int) -> dict[str, Tensor]:
        batch = pad_batch_reference(features, pad_token_id)
        return batch | change(batch, [len(one["input_ids"]) for one in features])

    return answer


EXERCISE = Exercise(
    "2.4",
    "pad_batch",
    observers.pad_batch,
    nudge="Which review of the batch is the longest, and how many places does each of the others lack?",
    in_words=(
        "The longest review of this batch gives the width. Begin with a table full of the padding id and a mask full "
        "of zeros, one row for each review, and write every review's ids and ones into the beginning of its row. The "
        "labels only have to be put together."
    ),
    takes="features pad_token_id",
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
            test=has_tensor("input_ids", pad_batch_reference),
            core=True,
            idea=True,
        ),
        Property(
            "padding has the caller's id",
            "Which id does your padding have, and which did the caller name?",
            on="other pad",
            test=has_tensor("input_ids", pad_batch_reference),
        ),
        Property(
            "the ids of a large vocabulary stay what they are",
            "Your ids are others than those that went in. How large can a number be in the type that your batch is made of?",
            on="large",
            test=has_tensor("input_ids", pad_batch_reference),
        ),
        Property(
            "rows of one length, and a single one, need no padding",
            "What happens to a batch in which nothing has to be padded?",
            on="even",
            test=has_tensor("input_ids", pad_batch_reference),
        ),
        Property(
            "the mask is 1 on tokens and 0 on padding",
            "The mask says which places are real. Sum a row of yours and count its tokens.",
            on=("uneven", "other pad"),
            test=has_tensor("attention_mask", pad_batch_reference),
            core=True,
        ),
        Property(
            "labels come one a row, in the order of the rows",
            "Your labels should be one number a row, in a tensor of one dimension. Which shape have they?",
            test=has_tensor("labels", pad_batch_reference),
        ),
        returns_int64_tensors(*NAMES),
    ),
    wrong={
        "pads on the left": (
            "The padding stands before the text. BERT counts positions from the left, so it belongs behind.",
            lambda features, pad_token_id: pad_batch_reference(features, pad_token_id, padding_side="left"),
        ),
        "pads with 0": (
            "You fill up with 0. That is the padding id of many tokenizers, but not of all: the caller names it.",
            lambda features, pad_token_id: pad_batch_reference(features, 0),
        ),
        "mask all ones": (
            "Your mask says that padding is to be read like words.",
            lambda features, pad_token_id: pad_batch_reference(features, pad_token_id, mask_padding=1),
        ),
        "the mask padded with pad_token_id": (
            "You fill up the mask with the padding id as well. In the mask, what is not there is 0.",
            lambda features, pad_token_id: pad_batch_reference(features, pad_token_id, mask_padding=pad_token_id),
        ),
        "the mask from ids that are not 0": (
            "Your mask takes every id but 0 for a token. Another tokenizer's 0 may be a word, and its padding another number.",
            _changed(lambda batch, lengths: {"attention_mask": (batch["input_ids"] != 0).long()}),
        ),
        "rows sorted by length": (
            "Your rows come sorted by length. A batch keeps the order in which its features came.",
            lambda features, pad_token_id: pad_batch_reference(
                sorted(features, key=lambda one: -len(one["input_ids"])), pad_token_id
            ),
        ),
        "cut to the shortest": (
            "You cut every row to the shortest one, and lose what the others say.",
            _changed(lambda batch, lengths: {name: batch[name][:, : min(lengths)] for name in NAMES[:2]}),
        ),
        "cut or padded to the first": (
            "Your rows are as wide as the first one. Another row may be longer.",
            _changed(lambda batch, lengths: {name: batch[name][:, : lengths[0]] for name in NAMES[:2]}),
        ),
        "labels as a column": (
            "Your labels have a second dimension. The loss wants one class number a row.",
            _changed(lambda batch, lengths: {"labels": batch["labels"][:, None]}),
        ),
    },
    drawn=_drawn,
    fixed=lambda: [
        ("even", (_features([2, 7, 3]), 0)),
        ("even", (_features([2, 7, 3], [2, 9, 3]), 0)),
        ("uneven", (_features([2, 7, 3], [2, 8, 9, 3]), 0)),
        ("uneven", (_features([2, 5, 6, 8, 9, 3], [2, 3], [2, 7, 6, 3]), 0)),
        ("uneven", (_features([2, 3], [2, 5, 6, 8, 9, 11, 12, 3], [2, 7, 3], [2, 7, 6, 3], [2, 9, 3]), 0)),
        # As the tokenizer's vocabulary has it where [PAD] is the last piece: 0 is a piece like any other.
        ("other pad", (_features([1, 7, 2], [1, 0, 8, 0, 2], [1, 2]), 99)),
        ("other pad", (_features([4, 0, 5], [4, 8, 0, 6, 5]), 7)),
        ("other pad", (_features([1, *range(3, 30), 2], [1, 0, 2]), 31)),
        ("large", (_features([101, 30_521, 250_001, 102], [101, 102]), 128_000)),
        *_drawn(np.random.default_rng(24), (0, 99, 0, 99, 0)),
    ],
    same=lambda one, other: close({name: one[name] for name in NAMES}, other),
    keeps_arguments="the features",
)

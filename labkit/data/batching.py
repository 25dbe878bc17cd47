"""Batches of tokenized reviews: padding, length buckets, packing.

A plan says which reviews share an optimizer step; a batch holds their tensors. Does not tokenize (tokens.py) and does not
move anything to a device (fit.py).
"""

from __future__ import annotations  # numpy is imported where it is used: the command line starts without it

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from labkit.data.tokens import Tokenized, pad

if TYPE_CHECKING:
    import numpy as np
    import torch

BATCHINGS = ("fixed", "dynamic", "buckets", "packed")
IGNORED_LABEL = -100  # torch's cross entropy leaves such labels out of the loss


@dataclass(frozen=True)
class Batcher:
    """Makes batches out of tokenized reviews, always in the same manner.

    labels: (n,) int64. batching: `fixed` pads every row to `max_length`; `dynamic` and `buckets` to the longest row of the
    batch, rounded up to a multiple of `pad_to_multiple_of`; `packed` lays the rows end to end and pads nothing.
    """

    tokenized: Tokenized
    labels: np.ndarray
    batching: str = "buckets"
    max_length: int = 128
    pad_to_multiple_of: int = 1

    def __post_init__(self) -> None:
        if self.batching not in BATCHINGS:
            raise ValueError(f"batching {self.batching!r} is none of {', '.join(BATCHINGS)}")
        if len(self.labels) != len(self.tokenized):
            raise ValueError(
                f"{len(self.tokenized)} tokenized reviews and {len(self.labels)} labels; wanted as many of each"
            )

    def __len__(self) -> int:
        return len(self.tokenized)

    def batch(self, indices: Sequence[int] | np.ndarray) -> Batch:
        """Put the reviews at these places into one batch, in this order."""
        import numpy as np
        import torch

        rows = [self.tokenized.input_ids[index] for index in indices]
        if self.batching == "packed":
            tensors = _packed(rows)
        else:
            width = _width(max(map(len, rows)), self.batching, self.max_length, self.pad_to_multiple_of)
            input_ids, attention_mask = pad(rows, self.tokenized.pad_token_id, width)
            tensors = {"input_ids": input_ids, "attention_mask": attention_mask}
        tensors["labels"] = torch.from_numpy(self.labels[np.asarray(indices)])
        return Batch(tensors, np.asarray(indices), self)

    def epoch(self, batch_size: int, micro_batch_size: int, seed: int, skip_steps: int = 0) -> Iterator[Batch]:
        """Yield the micro-batches of one epoch.

        Each optimizer step has ceil(batch_size / micro_batch_size) of them. skip_steps: steps at the beginning that a
        resumed run has done already.
        """
        for step in plan_epoch(self.tokenized.lengths, batch_size, self.batching, seed)[skip_steps:]:
            for indices in chunks(step, micro_batch_size):
                yield self.batch(indices)

    def in_order_of_length(self, batch_size: int) -> Iterator[Batch]:
        """Yield every review once, the longest first, for evaluation.

        `Batch.indices` says which is which.
        """
        import numpy as np

        for indices in chunks(np.argsort(-self.tokenized.lengths, kind="stable"), batch_size):
            yield self.batch(indices)


@dataclass(frozen=True)
class Batch(Mapping[str, "torch.Tensor"]):
    """Tensors by the names of the model's arguments: `model(**batch)` runs it.

    Padded: `input_ids` and `attention_mask`, int64 (reviews, width). Packed: `input_ids` and `position_ids`, int64 (1, tokens),
    `sequence_ids` (1, tokens), which review a token is of, and `sequence_starts` (reviews,), where its `[CLS]` stands. Both:
    `labels`, int64 (reviews,). indices: (reviews,), the places in the whole.
    """

    tensors: Mapping[str, torch.Tensor]
    indices: np.ndarray
    batcher: Batcher = field(repr=False)

    def __getitem__(self, name: str) -> torch.Tensor:
        return self.tensors[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.tensors)

    def __len__(self) -> int:
        return len(self.tensors)

    def split(self, size: int) -> list[Batch]:
        """Split into batches of at most `size` reviews, each padded to its own longest."""
        if len(self.indices) <= size:
            return [self]
        return [self.batcher.batch(indices) for indices in chunks(self.indices, size)]


def loss_terms(batch: Mapping[str, Any]) -> int:
    """Count the labels that enter the batch's mean loss: all that are not -100.

    For classification they are its examples.
    """
    return int((batch["labels"] != IGNORED_LABEL).sum())


def chunks(indices: np.ndarray, size: int) -> list[np.ndarray]:
    """Cut the indices into consecutive runs of `size`; the last may be shorter."""
    return [indices[start : start + size] for start in range(0, len(indices), size)]


def plan_epoch(lengths: np.ndarray, batch_size: int, batching: str, seed: int) -> list[np.ndarray]:
    """Plan which reviews share each optimizer step of an epoch.

    In length buckets, or at random for every other way of batching.
    """
    import numpy as np

    if batching == "buckets":
        return [np.array(bucket) for bucket in length_bucketed_batches(lengths, batch_size, seed)]
    return chunks(np.random.default_rng(seed).permutation(len(lengths)), batch_size)


def length_bucketed_batches(lengths: Sequence[int] | np.ndarray, batch_size: int, seed: int = 0) -> list[list[int]]:
    """Group reviews of nearly one length into batches, in random order.

    Only the last batch may be smaller. Which of the reviews of one length meet is drawn anew by each seed. Which
    reviews make up the smaller batch is random, so that no length is always trained last.
    """
    import numpy as np

    known = np.asarray(lengths)
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(known))
    left_over = len(known) % batch_size
    start = int(generator.integers(len(known) - left_over + 1))
    by_length = order[np.argsort(known[order], kind="stable")]
    smaller = by_length[start : start + left_over]
    full = chunks(np.delete(by_length, np.s_[start : start + left_over]), batch_size)
    batches = [full[position].tolist() for position in generator.permutation(len(full))]
    return batches + ([smaller.tolist()] if left_over else [])


def padding_waste(
    lengths: np.ndarray,
    plan: Sequence[np.ndarray],
    batching: str,
    max_length: int = 128,
    pad_to_multiple_of: int = 1,
) -> float:
    """Measure the share of padding among all places of the batches of `plan`.

    0 when packed.

    >>> import numpy as np
    >>> padding_waste(np.array([4, 2]), [np.array([0, 1])], "dynamic")
    0.25
    """
    if batching == "packed":
        return 0.0
    widths = [_width(int(lengths[batch].max()), batching, max_length, pad_to_multiple_of) for batch in plan]
    places = sum(rows * len(batch) for rows, batch in zip(widths, plan, strict=True))
    return 1 - float(sum(int(lengths[batch].sum()) for batch in plan)) / places


def _width(longest: int, batching: str, max_length: int, pad_to_multiple_of: int) -> int:
    """Return how wide a batch is padded whose longest row has `longest` tokens."""
    return max_length if batching == "fixed" else -(-longest // pad_to_multiple_of) * pad_to_multiple_of


def _packed(rows: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
    import numpy as np
    import torch

    lengths = np.array([len(row) for row in rows])
    starts = np.concatenate(([0], np.cumsum(lengths)[:-1]))
    arrays = {
        "input_ids": np.concatenate(rows).astype(np.int64)[None],
        "position_ids": (np.arange(lengths.sum()) - np.repeat(starts, lengths))[None],
        "sequence_ids": np.repeat(np.arange(len(rows)), lengths)[None],
        "sequence_starts": starts,
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items()}

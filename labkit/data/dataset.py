"""Reviews as a PyTorch Dataset and its batches, as lesson 02 builds them.

One item is one review, tokenized and not padded. Does not choose which reviews share a batch (batching.py), from where
labkit's own loop takes its batches.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

from labkit.data.tokens import pad, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class ReviewDataset(Dataset[dict[str, torch.Tensor]]):
    """Tokenized reviews as a Dataset.

    An item has `input_ids` and `attention_mask`, int64 (tokens,), and `labels`, int64 (). Texts are cut to `max_length`
    tokens, the final `[SEP]` kept. Raises ValueError where labels are missing or left over.
    """

    def __init__(
        self,
        texts: Sequence[str],
        labels: Sequence[int] | np.ndarray,
        tokenizer: "PreTrainedTokenizerBase",
        max_length: int,
    ) -> None:
        if len(texts) != len(labels):
            raise ValueError(f"{len(texts)} texts and {len(labels)} labels; wanted as many of each")
        self.tokenized = tokenize(texts, tokenizer, max_length)
        self.labels = torch.tensor(np.asarray(labels), dtype=torch.int64)

    def __len__(self) -> int:
        return len(self.tokenized)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        input_ids = torch.from_numpy(self.tokenized.input_ids[index].astype(np.int64))
        return {
            "input_ids": input_ids,
            "attention_mask": torch.ones_like(input_ids),
            "labels": self.labels[index].clone(),
        }


def pad_batch(features: Sequence[Mapping[str, torch.Tensor]], pad_token_id: int) -> dict[str, torch.Tensor]:
    """Pad items of a `ReviewDataset` on the right to the longest: a `collate_fn`.

    Returns `input_ids` and `attention_mask`, int64 (items, longest), and `labels`, int64 (items,).
    """
    input_ids, _ = pad([feature["input_ids"].numpy() for feature in features], pad_token_id)
    attention_mask, _ = pad([feature["attention_mask"].numpy() for feature in features], 0)
    labels = torch.stack([feature["labels"] for feature in features])
    return {"input_ids": input_ids, "attention_mask": attention_mask, "labels": labels}

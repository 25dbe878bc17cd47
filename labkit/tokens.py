"""Tokens: from texts to input ids, and what is cut when a text is too long for the model.

Does not choose which texts share a batch (batching.py). Special tokens are put on here, so that all three ways of
truncation share one path: `[CLS]`, then the kept pieces, then `[SEP]`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from labkit.errors import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

TRUNCATIONS = ("head", "tail", "head+tail")


class TokenizerError(UsageError):
    """A model folder whose tokenizer is missing or cannot be read."""


@dataclass(frozen=True)
class Tokenized:
    """Texts as input ids of their own lengths, special tokens included, nothing padded.

    input_ids: one int32 array a text. truncated: (n,) bool, which texts were cut to `max_length`.
    """

    input_ids: Sequence[np.ndarray]
    truncated: np.ndarray
    pad_token_id: int

    def __len__(self) -> int:
        return len(self.input_ids)

    @cached_property
    def lengths(self) -> np.ndarray:
        """(n,) int64, tokens in each text, special tokens counted."""
        return np.array([len(ids) for ids in self.input_ids], dtype=np.int64)


def load_tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    """The tokenizer of a model's folder, without the truncation and padding that its file may have baked in."""
    from transformers import AutoTokenizer

    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise TokenizerError(f"{folder}: no tokenizer there (wanted tokenizer.json or vocab.txt beside the weights)")
    try:
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as why:  # the Rust parser raises plain Exception
        raise TokenizerError(f"{folder}: the tokenizer cannot be read ({str(why).splitlines()[0]})") from None


def tokenize(
    texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase", max_length: int = 128, truncation: str = "head"
) -> Tokenized:
    """Input ids of each text, at most `max_length` of them with the special tokens; the final `[SEP]` is always kept.

    truncation: which part of a text that is too long is kept: its head, its tail, or half from each (Sun et al. 2019).
    """
    prefix, suffix = special_ids(tokenizer)
    room = max_length - len(prefix) - len(suffix)
    if room < 1:
        raise UsageError(
            f"max_length {max_length} leaves no room for text beside the special tokens; wanted at least 3"
        )
    if truncation not in TRUNCATIONS:
        raise UsageError(f"truncation {truncation!r} is none of {', '.join(TRUNCATIONS)}")
    plain = {"add_special_tokens": False, "return_attention_mask": False, "return_token_type_ids": False}
    pieces = tokenizer(list(texts), **plain, verbose=False)["input_ids"] if len(texts) else []
    kept = [prefix + _cut(ids, room, truncation) + suffix for ids in pieces]
    return Tokenized(
        input_ids=[np.array(ids, dtype=np.int32) for ids in kept],
        truncated=np.array([len(ids) > room for ids in pieces], dtype=bool),
        pad_token_id=int(tokenizer.pad_token_id),
    )


def special_ids(tokenizer: "PreTrainedTokenizerBase") -> tuple[list[int], list[int]]:
    """The ids that this tokenizer puts before and after a text: `[CLS]` and `[SEP]` for the BERT family."""
    alone = list(tokenizer("", return_attention_mask=False)["input_ids"])
    return alone[:1], alone[1:]


def _cut(ids: list[int], room: int, truncation: str) -> list[int]:
    if len(ids) <= room:
        return ids
    tail = {"head": 0, "tail": room, "head+tail": room // 2}[truncation]
    return ids[: room - tail] + ids[len(ids) - tail :]


def pad(
    rows: Sequence[np.ndarray], pad_token_id: int, width: int | None = None
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Rows of their own lengths as one rectangle, filled up on the right, with the mask that says what is real.

    width: of the rectangle; the longest row's where None. Returns input ids and attention mask, int64 (rows, width).
    """
    import torch

    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    mask = np.arange(width or lengths.max()) < lengths[:, None]
    input_ids = np.full(mask.shape, pad_token_id, dtype=np.int64)
    input_ids[mask] = np.concatenate(rows)
    return torch.from_numpy(input_ids), torch.from_numpy(mask.astype(np.int64))


def encode(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> dict[str, "torch.Tensor"]:
    """Texts as the original lab fed them: every row padded to `max_length`, whatever its length.

    Returns `input_ids`, `attention_mask` and `token_type_ids`, each int64 of shape (len(texts), max_length).
    """
    tokenized = tokenize(texts, tokenizer, max_length)
    input_ids, attention_mask = pad(tokenized.input_ids, tokenized.pad_token_id, width=max_length)
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "token_type_ids": input_ids.new_zeros(input_ids.shape),
    }

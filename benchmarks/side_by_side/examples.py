"""The reviews that every row gets, chosen and tokenized once.

They are written, and read again in each process. Puts nothing into batches beyond what a peer's own loader wants.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from labkit.data.batching import Batcher
    from labkit.data.reviews import Reviews


@dataclass(frozen=True)
class Examples:
    """Labelled reviews as text and as input ids, special tokens included.

    Each has its own length.
    """

    texts: Sequence[str]
    input_ids: Sequence[np.ndarray]
    labels: np.ndarray
    pad_token_id: int

    def __len__(self) -> int:
        return len(self.labels)

    def first(self, count: int) -> "Examples":
        """Take the first so many, the same for every row that asks for that number.

        Raises ValueError for more than there are.
        """
        if count > len(self):
            raise ValueError(f"{count} reviews are wanted and there are {len(self)}")
        return Examples(self.texts[:count], self.input_ids[:count], self.labels[:count], self.pad_token_id)

    def share(self, share: float) -> "Examples":
        """The first of them, at least one; all for a share of 1 and more."""
        return self.first(max(1, round(min(1.0, share) * len(self))))

    def tokenized_by(self, tokenizer: "PreTrainedTokenizerBase") -> "Examples":
        """The same texts in another vocabulary."""
        from labkit.data.tokens import tokenize

        tokenized = tokenize(self.texts, tokenizer)
        return Examples(self.texts, tokenized.input_ids, self.labels, tokenized.pad_token_id)

    def of_length(self, length: int) -> "Examples":
        """Make as many reviews of exactly so many tokens each.

        They are cut from the pieces of all reviews laid end to end.
        """
        pieces, room = np.concatenate([ids[1:-1] for ids in self.input_ids]), length - 2
        first, last = self.input_ids[0][:1], self.input_ids[0][-1:]
        spans = (np.arange(start, start + room) for start in range(0, len(self) * room, room))
        filled = [np.concatenate((first, pieces.take(span, mode="wrap"), last)) for span in spans]
        return Examples(self.texts, filled, self.labels, self.pad_token_id)

    @property
    def tokens(self) -> int:
        """Real tokens in all of them, no padding."""
        return sum(map(len, self.input_ids))

    def batcher(self, batching: str, multiple: int = 1) -> "Batcher":
        """As labkit's loop takes them."""
        from labkit.data.batching import Batcher
        from labkit.data.tokens import Tokenized

        tokenized = Tokenized(self.input_ids, np.zeros(len(self), dtype=bool), self.pad_token_id)
        return Batcher(tokenized, self.labels, batching, pad_to_multiple_of=multiple)

    def features(self) -> list[dict[str, Any]]:
        """As a loader of transformers takes them: one dictionary a review."""
        pairs = zip(self.input_ids, self.labels, strict=True)
        return [
            {"input_ids": ids.tolist(), "attention_mask": [1] * len(ids), "labels": int(label)} for ids, label in pairs
        ]


def write_examples(
    path: Path, model: str, train: int | None, held_out: int | None, seed: int, part: str
) -> dict[str, int]:
    """Choose reviews, tokenize and write them; return how many of each kind.

    The kinds are training reviews and the first of a split held out; None is all. seed: of the split and of the choice.
    part: `validation` or `test`. Raises ValueError where there are fewer training reviews than wanted.
    """
    from labkit.data.reviews import movie_reviews
    from labkit.data.splits import split_reviews
    from labkit.data.tokens import load_tokenizer, tokenize
    from labkit.models.encoders import encoder_folder

    splits = split_reviews(movie_reviews(), seed)
    if train and train > len(splits.train):
        raise ValueError(f"{train} training reviews are wanted and there are {len(splits.train)}")
    chosen = np.random.default_rng(seed).permutation(len(splits.train))[:train]
    rest: Reviews = getattr(splits, part)
    tokenizer = load_tokenizer(encoder_folder(model))
    arrays: dict[str, Any] = {"pad_token_id": np.array(tokenizer.pad_token_id)}
    parts = {
        "train": splits.train.select(chosen),
        "held_out": rest.select(range(min(held_out or len(rest), len(rest)))),
    }
    for name, reviews in parts.items():
        tokenized = tokenize(reviews.texts, tokenizer)
        arrays[f"{name}_ids"], arrays[f"{name}_lengths"] = np.concatenate(tokenized.input_ids), tokenized.lengths
        arrays[f"{name}_labels"], arrays[f"{name}_texts"] = reviews.labels, np.array(reviews.texts)
    np.savez(path, **arrays)
    return {name: len(reviews) for name, reviews in parts.items()}


def read_examples(path: Path, name: str) -> Examples:
    """What was written under `train` or `held_out`."""
    with np.load(path) as arrays:
        ids = np.split(arrays[f"{name}_ids"], np.cumsum(arrays[f"{name}_lengths"])[:-1])
        return Examples(arrays[f"{name}_texts"].tolist(), ids, arrays[f"{name}_labels"], int(arrays["pad_token_id"]))

"""Tokens: from words to pieces, from texts to input ids.

Does not choose which texts share a batch (batching.py). Special tokens are put on here, so that all three ways of
truncation share one path: `[CLS]`, then the kept pieces, then `[SEP]`. The way back to words is in words.py.
"""

from __future__ import annotations  # numpy is imported where it is used: the command line starts without it

import json
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.errors import UsageError
from labkit.importing import quick_imports

if TYPE_CHECKING:
    import numpy as np
    import torch
    from transformers import PreTrainedTokenizerBase

TRUNCATIONS = ("head", "tail", "head+tail")


class TokenizerError(UsageError):
    """A model folder whose tokenizer is missing or cannot be read."""


@dataclass(frozen=True)
class Tokenized:
    """Texts as input ids of their own lengths, with special tokens, without padding.

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
        import numpy as np

        return np.array([len(ids) for ids in self.input_ids], dtype=np.int64)

    def select(self, indices: Sequence[int] | np.ndarray) -> Tokenized:
        """Select the texts at these places, in this order."""
        import numpy as np

        rows = [self.input_ids[index] for index in indices]
        return Tokenized(rows, self.truncated[np.asarray(indices, dtype=np.int64)], self.pad_token_id)


def wordpiece(word: str, vocab: Container[str], unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    """Split a word into pieces, the longest that fits first (Wu et al. 2016).

    From the left; `[unk]` where a remainder fits nothing. vocab: the pieces; those that go on inside a word carry the
    prefix. What the tokenizers library does, spelled out.

    >>> wordpiece("playing", {"play", "p", "##ing", "##in", "##g"})
    ['play', '##ing']
    >>> wordpiece("played", {"play", "##ing"})
    ['[UNK]']
    """
    pieces: list[str] = []
    start = 0
    while start < len(word):
        mark = prefix if start else ""
        ends = range(len(word), start, -1)
        end = next((end for end in ends if mark + word[start:end] in vocab), None)
        if end is None:
            return [unk]
        pieces.append(mark + word[start:end])
        start = end
    return pieces


def words_of(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """List the words that WordPiece gets, of all texts in order.

    Lower-cased, without accents, split at spaces and punctuation.
    """
    backend: Any = getattr(tokenizer, "backend_tokenizer")  # noqa: B009 (a tokenizer in plain Python has none)
    normalized = map(backend.normalizer.normalize_str, texts)
    return [word for text in normalized for word, _ in backend.pre_tokenizer.pre_tokenize_str(text)]


def new_word_shares(
    read: Sequence[str], new: Sequence[str], counts: Sequence[int], tokenizer: PreTrainedTokenizerBase
) -> list[float]:
    """Measure the share of words in `new` that the first texts of `read` lack.

    counts: how many first texts; there is one share for each.
    """
    met = words_of(new, tokenizer)
    shares = []
    for count in counts:
        known = set(words_of(read[:count], tokenizer))
        shares.append(sum(word not in known for word in met) / len(met))
    return shares


def load_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer of a model's folder.

    Without the truncation and padding that its file may have baked in.
    """
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.txt")):
        raise TokenizerError(f"{folder}: no tokenizer there (wanted tokenizer.json or vocab.txt beside the weights)")
    tokenizer_class = _tokenizer_class(folder)
    try:
        return tokenizer_class.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as why:  # the Rust parser raises plain Exception
        raise TokenizerError(f"{folder}: the tokenizer cannot be read ({str(why).splitlines()[0]})") from None


def _tokenizer_class(folder: Path) -> Any:
    """Choose BERT's own class for a folder that wants it, else AutoTokenizer.

    The latter asks every model's config, for which it imports torch.
    """
    model, own = (_settings_in(folder / name) for name in ("config.json", "tokenizer_config.json"))
    named = own.get("tokenizer_class") or model.get("tokenizer_class") or "BertTokenizer"
    is_berts = model.get("model_type") == "bert" and named in ("BertTokenizer", "BertTokenizerFast")
    with quick_imports():
        if is_berts and "auto_map" not in own:
            from transformers import BertTokenizer

            return BertTokenizer
        from transformers import AutoTokenizer

        return AutoTokenizer


def _settings_in(file: Path) -> dict[str, Any]:
    """Read a JSON file's settings.

    Nothing where there is nothing to be read; the class complains about that.
    """
    try:
        found = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def tokenize(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int = 128, truncation: str = "head"
) -> Tokenized:
    """Turn each text into at most `max_length` input ids, special tokens included.

    The final `[SEP]` is always kept. truncation: which part of a text that is too long is kept: its head, its tail, or
    half from each (Sun et al. 2019).
    """
    import numpy as np

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
    kept = [prefix + cut(ids, room, truncation) + suffix for ids in pieces]
    return Tokenized(
        input_ids=[np.array(ids, dtype=np.int32) for ids in kept],
        truncated=np.array([len(ids) > room for ids in pieces], dtype=bool),
        pad_token_id=int(tokenizer.pad_token_id),
    )


def tokenize_parts(
    parts: Mapping[str, Sequence[str]],
    tokenizer: PreTrainedTokenizerBase,
    max_length: int = 128,
    truncation: str = "head",
) -> dict[str, Tokenized]:
    """Tokenize each of several parts, such as the splits of one run."""
    return {name: tokenize(texts, tokenizer, max_length, truncation) for name, texts in parts.items()}


def special_ids(tokenizer: PreTrainedTokenizerBase) -> tuple[list[int], list[int]]:
    """Return the ids that this tokenizer puts before and after a text.

    `[CLS]` and `[SEP]` for the BERT family; others have none before, or none at all.
    """
    whole, bare = (
        list(tokenizer("a", add_special_tokens=added, return_attention_mask=False, verbose=False)["input_ids"])
        for added in (True, False)
    )
    start = next(place for place in range(len(whole)) if whole[place : place + len(bare)] == bare)
    return whole[:start], whole[start + len(bare) :]


def cut(ids: list[Any], room: int, truncation: str) -> list[Any]:
    """Cut a text's pieces to the `room` that there is.

    ids: the pieces, or anything else of which each piece has one.
    """
    if len(ids) <= room:
        return ids
    tail = {"head": 0, "tail": room, "head+tail": room // 2}[truncation]
    return ids[: room - tail] + ids[len(ids) - tail :]


def pad(rows: Sequence[np.ndarray], pad_token_id: int, width: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad rows of different lengths on the right into one rectangle, with its mask.

    width: of the rectangle; the longest row's where None. Returns input ids and attention mask, int64 (rows, width).
    """
    import numpy as np
    import torch

    lengths = np.array([len(row) for row in rows], dtype=np.int64)
    mask = np.arange(width or lengths.max()) < lengths[:, None]
    input_ids = np.full(mask.shape, pad_token_id, dtype=np.int64)
    input_ids[mask] = np.concatenate(rows)
    return torch.from_numpy(input_ids), torch.from_numpy(mask.astype(np.int64))


def encode(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> dict[str, torch.Tensor]:
    """Encode texts as the original lab fed them: every row padded to `max_length`.

    Returns `input_ids`, `attention_mask` and `token_type_ids`, each int64 of shape (len(texts), max_length).
    """
    tokenized = tokenize(texts, tokenizer, max_length)
    input_ids, attention_mask = pad(tokenized.input_ids, tokenized.pad_token_id, width=max_length)
    return {
        "input_ids": input_ids,
        "attention_mask": attention_mask,
        "token_type_ids": input_ids.new_zeros(input_ids.shape),
    }


def smallest_max_length(lengths: Sequence[int] | np.ndarray, coverage: float) -> int:
    """Find the smallest `max_length` that leaves enough of the texts whole.

    coverage: the share of the texts that keep all of their tokens, at least. lengths: tokens in each text. Raises
    ValueError without lengths, or for a coverage outside (0, 1].

    >>> smallest_max_length([12, 30, 8, 100], coverage=0.75)
    30
    """
    import numpy as np

    if not len(lengths) or not 0 < coverage <= 1:
        raise ValueError(
            f"{len(lengths)} lengths and a coverage of {coverage}; wanted some, and one above 0 and up to 1"
        )
    enough = math.ceil(round(coverage * len(lengths), 9))  # 0.55 * 100 is a hair above 55
    return int(np.sort(lengths)[max(enough, 1) - 1])


@dataclass(frozen=True)
class LengthCosts:
    """What each of several `max_length` costs on the same texts; shares in [0, 1].

    Every row is padded to it. cut_texts: of the texts that are cut. cut_tokens: of the tokens that are lost. padding:
    of the places that are empty.
    """

    max_lengths: Sequence[int]
    cut_texts: np.ndarray
    cut_tokens: np.ndarray
    padding: np.ndarray


def length_costs(
    lengths: Sequence[int] | np.ndarray, max_lengths: Sequence[int] = (8, 16, 32, 64, 128, 256, 512)
) -> LengthCosts:
    """Measure what each `max_length` cuts away, and how much it pads.

    lengths: (n,) tokens in each text before it is cut.

    >>> length_costs([10, 30], [20]).cut_tokens.tolist(), length_costs([10, 30], [20]).padding.tolist()
    ([0.25], [0.25])
    """
    import numpy as np

    tokens, limits = np.asarray(lengths)[:, None], np.asarray(max_lengths)
    kept = np.minimum(tokens, limits)
    return LengthCosts(
        max_lengths,
        cut_texts=(tokens > limits).mean(axis=0),
        cut_tokens=1 - kept.sum(axis=0) / tokens.sum(),
        padding=1 - kept.mean(axis=0) / limits,
    )

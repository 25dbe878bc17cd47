"""Tokens aligned with the words of their text, by characters.

Where each token stands, and which tokens spell a word. Does not cut words into pieces (tokens.py), and gives none of them a
score (methods.py).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from labkit.data.tokens import cut, special_ids, tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Word:
    """A word as it stands in its text, `text[start:end]`, with its tokens' places."""

    text: str
    start: int
    end: int
    tokens: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class AlignedText:
    """A text as a model reads it: its tokens aligned with its words.

    input_ids: (tokens,) int32. spans: (tokens, 2) int64, where each token stands in the text, in characters; special
    tokens (0, 0). is_special: (tokens,) bool. words: in order, each token that is not special in exactly one of them.
    """

    text: str
    tokens: tuple[str, ...]
    input_ids: np.ndarray
    spans: np.ndarray
    is_special: np.ndarray
    words: tuple[Word, ...]
    truncated: bool

    def __len__(self) -> int:
        return len(self.tokens)

    def with_tokens(self, places: Sequence[int], token_id: int) -> np.ndarray:
        """Copy the input ids with another id at these places."""
        row = self.input_ids.copy()
        row[list(places)] = token_id
        return row


def align(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int = 128, truncation: str = "head"
) -> list[AlignedText]:
    """Align each text's tokens, those of `tokenize`, with its words.

    Raises UsageError as `tokenize` does.
    """
    tokenized = tokenize(texts, tokenizer, max_length, truncation)
    prefix, suffix = special_ids(tokenizer)
    all_spans = _spans(texts, tokenizer, max_length, truncation)
    aligned = []
    for text, ids, spans, truncated in zip(texts, tokenized.input_ids, all_spans, tokenized.truncated, strict=True):
        places = np.arange(len(ids))
        is_special = (places < len(prefix)) | (places >= len(ids) - len(suffix))
        tokens = tuple(tokenizer.convert_ids_to_tokens(ids.tolist()))
        words = _words(text, spans, is_special)
        aligned.append(AlignedText(text, tokens, ids, spans, is_special, words, bool(truncated)))
    return aligned


def _spans(
    texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int, truncation: str
) -> list[np.ndarray]:
    """Find where each token of `tokenize` stands in its text, in characters.

    Start and end, (0, 0) for special tokens.
    """
    prefix, suffix = special_ids(tokenizer)
    room = max_length - len(prefix) - len(suffix)
    plain = {"add_special_tokens": False, "return_attention_mask": False, "return_offsets_mapping": True}
    offsets = tokenizer(list(texts), **plain, verbose=False)["offset_mapping"] if len(texts) else []
    kept = [[(0, 0)] * len(prefix) + cut(rows, room, truncation) + [(0, 0)] * len(suffix) for rows in offsets]
    return [np.array(rows, dtype=np.int64) for rows in kept]


def word_spans(text: str) -> list[tuple[int, int]]:
    """Find the words of a text, as (start, end) in characters.

    A word is a run of letters and digits, with an apostrophe, hyphen or full stop inside it. A run of other signs is a word
    of its own; white space is in none.

    >>> text = "A well-made film (if slow)...don't miss it"
    >>> [text[start:end] for start, end in word_spans(text)]
    ['A', 'well-made', 'film', '(', 'if', 'slow', ')...', "don't", 'miss', 'it']
    """
    return [match.span() for match in re.finditer(r"w+(?:jw+)*|[^w ]+", _kinds(text))]


def _kinds(text: str) -> str:
    """Classify each character: part of a word (w), joint (j), space or sign (s).

    A joint may stand between two parts of a word.
    """
    kinds = "s"
    for character in text:
        if character.isspace():
            kinds += " "
        elif character.isalnum():
            kinds += "w"
        elif unicodedata.category(character)[0] == "M" or unicodedata.category(character) == "Cf":
            kinds += kinds[-1].replace(" ", "s")  # accents and joiners go with what they follow
        else:
            kinds += "j" if character in "'’-." else "s"
    return kinds[1:]


def _words(text: str, spans: np.ndarray, is_special: np.ndarray) -> tuple[Word, ...]:
    """Group the tokens into the words that they spell.

    Words that one token spans are one, and those without a token are left out.
    """
    edges = word_spans(text)
    if not edges:
        return ()
    starts, ends = (np.array(side, dtype=np.int64) for side in zip(*edges, strict=True))
    groups: list[tuple[int, int, list[int]]] = []  # first word, last word, tokens
    for token in np.flatnonzero(~is_special).tolist():
        start, end = spans[token].tolist()
        first = min(int(np.searchsorted(ends, start, side="right")), len(edges) - 1)
        last = max(first, int(np.searchsorted(starts, end, side="left")) - 1)  # white space goes with the next word
        if groups and first <= groups[-1][1]:
            start_of_group, end_of_group, tokens = groups.pop()
            groups.append((start_of_group, max(last, end_of_group), [*tokens, token]))
        else:
            groups.append((first, last, [token]))
    words = ((edges[first][0], edges[last][1], tokens) for first, last, tokens in groups)
    return tuple(Word(text[start:end], start, end, tuple(tokens)) for start, end, tokens in words)

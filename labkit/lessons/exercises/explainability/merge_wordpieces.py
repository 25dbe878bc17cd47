"""Exercise 6.3, merge_wordpieces: from scored pieces back to scored words."""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from labkit.checks.exercise import Exercise, Inputs, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, as_list, close, is_number
from labkit.lessons.observers import explainability as observers

SPECIAL = ("[CLS]", "[SEP]", "[PAD]")
Words = list[tuple[str, float]]


def merge_wordpieces_reference(tokens: Sequence[str], scores: Sequence[float], prefix: str = "##") -> Words:
    """The contract from where words begin to where the next one does."""
    kept = [(token, score) for token, score in zip(tokens, scores, strict=True) if token not in SPECIAL]
    starts = [place for place, (token, _) in enumerate(kept) if not token.startswith(prefix)] + [len(kept)]
    words = [kept[start:end] for start, end in pairwise(starts)]
    return [
        ("".join(token.removeprefix(prefix) for token, _ in word), float(sum(score for _, score in word)))
        for word in words
    ]


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    """No word comes twice, so that it is not left to luck whether one does."""
    for label in ("split", "special", "split", "special"):
        letters = generator.permutation(list("defghijklmnopqrstuvwxyz"))[:12]
        pieces = [f"{'##' if generator.random() < 0.5 else ''}{letter}" for letter in letters]
        pieces = ["a", "##b", "##c", *pieces] if label == "split" else ["[CLS]", "a", *pieces, "[SEP]", *["[PAD]"] * 2]
        yield label, (pieces, np.round(generator.normal(size=len(pieces)), 3).tolist())


def _pairs(words: Plain) -> list[list[Plain]]:
    return [list(pair) for pair in as_list(words)]


def _merging(
    joined: Callable[[list[float]], float] = sum,
    special: Callable[[str], bool] = lambda token: token in SPECIAL,
    stripped: Callable[[str, str], str] = str.removeprefix,
    glue: str = "",
    special_lends_score: bool = False,  # to the word before it
    finished: Callable[[Words], Words] = lambda words: words,
) -> Any:
    """A wrong answer, right but for what is given."""

    def answer(tokens: Sequence[str], scores: Sequence[float], prefix: str = "##") -> Any:
        words: list[tuple[list[str], list[float]]] = []
        for token, score in zip(tokens, scores, strict=True):
            if special(token):
                if special_lends_score and words:
                    words[-1][1].append(float(score))
            elif token.startswith(prefix) and words:
                words[-1][0].append(stripped(token, prefix))
                words[-1][1].append(float(score))
            else:
                words.append(([token], [float(score)]))
        return finished([(glue.join(pieces), joined(parts)) for pieces, parts in words])

    return answer


EXERCISE = Exercise(
    "6.3",
    "merge_wordpieces",
    observers.merge_wordpieces,
    nudge=(
        "Go along the tokens with a finger. Which begins a new word, which goes on with the word before it, and which"
        " did nobody write?"
    ),
    in_words=(
        "Keep a list of words with their scores. A special token is passed over, together with its score. A piece "
        "with the mark belongs to the last word: its letters without the mark are put behind it, its score is added. "
        "Everything else begins a new word."
    ),
    reference=merge_wordpieces_reference,
    takes="tokens scores prefix",
    drawn=_drawn,
    same=lambda one, other: close(_pairs(one), _pairs(other)),
    keeps_arguments="tokens and scores",
    properties=(
        Property(
            "the pieces of a word are joined and their scores summed",
            "Go through the example piece by piece: which begins a word, which goes on with one, and what is the word's sum?",
            on="split",
            fixed=[
                (["un", "##seen"], [0.5, 0.25]),
                (["a", "film", "un", "##watch", "##able", "today"], [0.125, -0.5, 0.25, 1.0, -0.75, 0.5]),
                (["play", "##ing", "play", "##ed", "play"], [1.0, 0.5, -0.25, 0.125, 2.0]),
            ],
            core=True,
            idea=True,
        ),
        Property(
            "whole words stay as they are, also when they come twice",
            "A word of a single piece needs no joining. And does a word that comes twice stay two words?",
            fixed=[(["good", "film"], [0.75, -0.25]), (["not", "good", "not", "good"], [0.75, -0.25, 0.5, 1.0])],
        ),
        Property(
            "[CLS], [SEP] and [PAD] are left out, with their scores",
            "Which tokens did the tokenizer add that nobody wrote? Neither they nor their scores belong to a word.",
            on="special",
            fixed=[
                (["[CLS]", "good", "[SEP]"], [0.5, 1.0, -0.25]),
                (
                    ["[CLS]", "un", "##seen", "film", "[SEP]", "[PAD]", "[PAD]"],
                    [0.5, 1.0, 0.25, 2.0, -0.25, 0.125, 0.0625],
                ),
                (["[CLS]", "a", "[SEP]", "good", "film", "##s", "[SEP]"], [0.5, 1.0, 0.25, 2.0, -0.25, 0.125, 0.75]),
            ],
        ),
        Property(
            "without a word the list is empty",
            "What does your answer do where there is no token at all, or none but special ones?",
            fixed=[([], []), (["[CLS]", "[SEP]", "[PAD]"], [0.5, 0.25, 1.0])],
        ),
        Property(
            "[UNK] and [MASK] are words",
            "Somebody wrote the word behind an unknown mark. It has a score, and so it stays.",
            fixed=[
                (["[UNK]", "film"], [0.5, -0.25]),
                (["[CLS]", "the", "[MASK]", "was", "[UNK]", "good", "[SEP]"], [0.5, 0.25, 1.0, -0.5, 2.0, 0.75, 0.125]),
            ],
        ),
        Property(
            "the prefix is the caller's",
            "Is the argument prefix used, both to know a piece and to take the mark off?",
            fixed=[
                (["un", "@@seen", "film"], [0.5, 0.25, 1.0], "@@"),
                (["play", "~ing", "is", "good"], [0.5, 0.25, 1.0, -0.5], "~"),
            ],
        ),
        Property(
            "only the mark itself is taken off a piece",
            "A piece may hold the mark's character, or begin like a special token. Is more taken off than the mark?",
            fixed=[
                (["c", "###", "is", "#", "1"], [0.5, 0.25, 1.0, -0.5, 0.125]),
                (["a", "##b", "##a", "##b", "c"], [0.5, 0.25, 1.0, -0.5, 0.125]),
                (["[", "cl", "##s", "]", "sep"], [0.5, 0.25, 1.0, -0.5, 0.125]),
            ],
        ),
        returns(
            "a list of tuples of a string and a float",
            lambda value: (
                isinstance(value, list)
                and all(isinstance(pair, tuple) and len(pair) == 2 for pair in value)
                and all(isinstance(word, str) and is_number(score) for word, score in value)
            ),
        ),
    ),
    wrong={
        "special tokens kept": (
            "Special tokens stand among your words. Nobody wrote them, so they are left out.",
            _merging(special=lambda token: False),
        ),
        "scores averaged": (
            "You average the scores of a word's pieces. Attributions add up to the whole, so those of a word are summed.",
            _merging(lambda parts: sum(parts) / len(parts)),
        ),
        "the last score wins": (
            "A word has the score of its last piece in yours. What about those before it?",
            _merging(lambda parts: parts[-1]),
        ),
        "the first score wins": (
            "A word has the score of its first piece in yours. What about those after it?",
            _merging(lambda parts: parts[0]),
        ),
        "the largest score wins": (
            "A word has the largest score of its pieces in yours. They are to be summed, with their signs.",
            _merging(max),
        ),
        "absolute scores": (
            "Your scores have lost their signs: a word that speaks against the prediction looks as if it spoke for it.",
            _merging(lambda parts: sum(map(abs, parts))),
        ),
        "prefix kept": (
            "The marks of the pieces are still in your words.",
            _merging(stripped=lambda token, mark: token),
        ),
        "everything in brackets dropped": (
            "You drop whatever stands in square brackets. Two of those marks stand for a word that somebody wrote.",
            _merging(special=lambda token: token.startswith("[") and token.endswith("]")),
        ),
        "[UNK] dropped": (
            "You drop unknown words. They were in the text, and their scores belong to it.",
            _merging(special=lambda token: token in (*SPECIAL, "[UNK]")),
        ),
        "[MASK] dropped": (
            "You drop masked words. They were in the text, and their scores belong to it.",
            _merging(special=lambda token: token in (*SPECIAL, "[MASK]")),
        ),
        "padding kept": (
            "Padding stands among your words. It is a special token like the two others.",
            _merging(special=lambda token: token in SPECIAL[:2]),
        ),
        "scores of special tokens added to words": (
            "The special tokens are gone, but their scores went to the words before them.",
            _merging(special_lends_score=True),
        ),
        "repeated words merged": (
            "A word that comes twice is one word in yours. A review says which of the two it was.",
            _merging(
                finished=lambda words: [
                    (one, sum(score for word, score in words if word == one)) for one in dict(words)
                ]
            ),
        ),
        "pieces stay apart": (
            "Your pieces have lost their marks, but they are still apart. What does the mark say about a piece?",
            lambda tokens, scores, prefix="##": [
                (token.removeprefix(prefix), score)
                for token, score in zip(tokens, scores, strict=True)
                if token not in SPECIAL
            ],
        ),
        "joined with spaces": (
            "There are spaces within your words. Pieces are joined without one.",
            _merging(glue=" "),
        ),
        "the last word lost": (
            "Your last word is missing: it is finished by the end of the list, and not by the next word.",
            _merging(finished=lambda words: words[:-1]),
        ),
        "the usual prefix written into the code": (
            "The prefix is an argument: other tokenizers mark their pieces in other ways.",
            lambda tokens, scores, prefix="##": _merging()(tokens, scores),
        ),
        "the mark's characters stripped": (
            "You strip every character of the mark from a piece, also those that belong to the word.",
            _merging(stripped=str.lstrip),
        ),
    },
)

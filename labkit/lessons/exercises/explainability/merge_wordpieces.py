"""Exercise 6.3, merge_wordpieces: from scored pieces back to scored words."""

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, as_list, close, is_number, shown
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


def _case(label: str, text: str, *scores: float, **named: Plain) -> Case:
    return Case({"tokens": text.split(), "scores": list(scores), **named}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    return (
        _case("split", "un ##seen", 0.5, 0.25),
        _case("split", "a film un ##watch ##able today", 0.125, -0.5, 0.25, 1.0, -0.75, 0.5),
        _case("split", "play ##ing play ##ed play", 1.0, 0.5, -0.25, 0.125, 2.0),
        _case("whole", "good film", 0.75, -0.25),
        _case("whole", "not good not good", 0.75, -0.25, 0.5, 1.0),
        _case("special", "[CLS] good [SEP]", 0.5, 1.0, -0.25),
        _case("special", "[CLS] un ##seen film [SEP] [PAD] [PAD]", 0.5, 1.0, 0.25, 2.0, -0.25, 0.125, 0.0625),
        _case("special", "[CLS] a [SEP] good film ##s [SEP]", 0.5, 1.0, 0.25, 2.0, -0.25, 0.125, 0.75),
        _case("empty", ""),
        _case("empty", "[CLS] [SEP] [PAD]", 0.5, 0.25, 1.0),
        _case("unknown", "[UNK] film", 0.5, -0.25),
        _case("unknown", "[CLS] the [MASK] was [UNK] good [SEP]", 0.5, 0.25, 1.0, -0.5, 2.0, 0.75, 0.125),
        _case("prefix", "un @@seen film", 0.5, 0.25, 1.0, prefix="@@"),
        _case("prefix", "play ~ing is good", 0.5, 0.25, 1.0, -0.5, prefix="~"),
        _case("odd", "c ### is # 1", 0.5, 0.25, 1.0, -0.5, 0.125),
        _case("odd", "a ##b ##a ##b c", 0.5, 0.25, 1.0, -0.5, 0.125),
        _case("odd", "[ cl ##s ] sep", 0.5, 0.25, 1.0, -0.5, 0.125),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator, label) for label in ("split", "special", "split", "special"))]


def _drawn(generator: np.random.Generator, label: str) -> Case:
    """No word comes twice, so that it is not left to luck whether one does."""
    letters = generator.permutation(list("defghijklmnopqrstuvwxyz"))[:12]
    pieces = [f"{'##' if generator.random() < 0.5 else ''}{letter}" for letter in letters]
    pieces = ["a", "##b", "##c", *pieces] if label == "split" else ["[CLS]", "a", *pieces, "[SEP]", "[PAD]", "[PAD]"]
    scores = np.round(generator.normal(size=len(pieces)), 3).tolist()
    return _case(label, " ".join(pieces), *scores)


def _equals(case: Case, observation: Observation) -> Failure | None:
    wanted = merge_wordpieces_reference(**case.inputs)
    return None if _same(observation.value, wanted) else Failure(shown(wanted))


def _same(one: Plain, other: Plain) -> bool:
    found, wanted = ([list(pair) for pair in as_list(words)] for words in (one, other))
    return close(found, wanted)


def _is_list_of_pairs(value: Plain) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str) and is_number(pair[1]) for pair in value
    )


def _merging(
    join: Callable[[list[float]], float] = sum,
    special: Callable[[str], bool] = lambda token: token in SPECIAL,
    strip: Callable[[str, str], str] = lambda token, prefix: token.removeprefix(prefix),
    glue: str = "",
    marks: Callable[[str], str] = lambda prefix: prefix,
) -> Any:
    """A wrong answer, right but for what is asked for."""

    def answer(tokens: Sequence[str], scores: Sequence[float], prefix: str = "##") -> Any:
        mark = marks(prefix)
        words: list[tuple[list[str], list[float]]] = []
        for token, score in zip(tokens, scores, strict=True):
            if special(token):
                continue
            if token.startswith(mark) and words:
                words[-1][0].append(strip(token, mark))
                words[-1][1].append(float(score))
            else:
                words.append(([token], [float(score)]))
        return [(glue.join(pieces), join(parts)) for pieces, parts in words]

    return answer


def _specials_lend_their_score(tokens: Sequence[str], scores: Sequence[float], prefix: str = "##") -> Words:
    words: list[tuple[str, float]] = []
    for token, score in zip(tokens, scores, strict=True):
        if words and (token in SPECIAL or token.startswith(prefix)):
            piece = "" if token in SPECIAL else token.removeprefix(prefix)
            words[-1] = (words[-1][0] + piece, words[-1][1] + score)
        elif token not in SPECIAL:
            words.append((token, score))
    return words


def _repeats_merged(tokens: Sequence[str], scores: Sequence[float], prefix: str = "##") -> Words:
    words: dict[str, float] = {}
    for word, score in merge_wordpieces_reference(tokens, scores, prefix):
        words[word] = words.get(word, 0.0) + score
    return list(words.items())


def _pieces_alone(tokens: Sequence[str], scores: Sequence[float], prefix: str = "##") -> Words:
    return [
        (token.removeprefix(prefix), score) for token, score in zip(tokens, scores, strict=True) if token not in SPECIAL
    ]


def _last_word_lost(tokens: Sequence[str], scores: Sequence[float], prefix: str = "##") -> Words:
    return merge_wordpieces_reference(tokens, scores, prefix)[:-1]


EXERCISE = Exercise(
    "6.3",
    "merge_wordpieces",
    observers.merge_wordpieces,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "the pieces of a word are joined and their scores summed",
            "Go through the example piece by piece: which begins a word, which goes on with one, and what is the word's sum?",
            on="split",
            test=_equals,
            core=True,
        ),
        Property(
            "whole words stay as they are, also when they come twice",
            "A word of a single piece needs no joining. And does a word that comes twice stay two words?",
            on="whole",
            test=_equals,
        ),
        Property(
            "[CLS], [SEP] and [PAD] are left out, with their scores",
            "Which tokens did the tokenizer add that nobody wrote? Neither they nor their scores belong to a word.",
            on="special",
            test=_equals,
        ),
        Property(
            "without a word the list is empty",
            "What does your answer do where there is no token at all, or none but special ones?",
            on="empty",
            test=_equals,
        ),
        Property(
            "[UNK] and [MASK] are words",
            "Somebody wrote the word behind an unknown mark. It has a score, and so it stays.",
            on="unknown",
            test=_equals,
        ),
        Property(
            "the prefix is the caller's",
            "Is the argument prefix used, both to know a piece and to take the mark off?",
            on="prefix",
            test=_equals,
        ),
        Property(
            "only the mark itself is taken off a piece",
            "A piece may hold the mark's character, or begin like a special token. Is more taken off than the mark?",
            on="odd",
            test=_equals,
        ),
        returns("a list of tuples of a string and a float", _is_list_of_pairs),
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
            _merging(strip=lambda token, prefix: token),
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
            _specials_lend_their_score,
        ),
        "repeated words merged": (
            "A word that comes twice is one word in yours. A review says which of the two it was.",
            _repeats_merged,
        ),
        "pieces stay apart": (
            "Your pieces have lost their marks, but they are still apart. What does the mark say about a piece?",
            _pieces_alone,
        ),
        "joined with spaces": (
            "There are spaces within your words. Pieces are joined without one.",
            _merging(glue=" "),
        ),
        "the last word lost": (
            "Your last word is missing: it is finished by the end of the list, and not by the next word.",
            _last_word_lost,
        ),
        "the usual prefix written into the code": (
            "The prefix is an argument: other tokenizers mark their pieces in other ways.",
            _merging(marks=lambda prefix: "##"),
        ),
        "the mark's characters stripped": (
            "You strip every character of the mark from a piece, also those that belong to the word.",
            _merging(strip=lambda token, prefix: token.lstrip(prefix)),
        ),
    },
    same=_same,
    keeps_arguments="tokens and scores",
)

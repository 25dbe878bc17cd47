"""Exercise 1.1, wordpiece: greedy longest match first."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, as_list, shown
from labkit.lessons.observers import tokenization as observers


def wordpiece_reference(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    """The contract, in the order of its words: independent of tokens.py, held to the tokenizers library by a test."""
    pieces: list[str] = []
    while (
        done := sum(len(piece.removeprefix(prefix) if place else piece) for place, piece in enumerate(pieces))
    ) < len(word):
        ends = range(len(word), done, -1)
        match = next((end for end in ends if (prefix if done else "") + word[done:end] in vocab), None)
        if match is None:
            return [unk]
        pieces.append((prefix if done else "") + word[done:match])
    return pieces


def _case(word: str, vocab: Sequence[str], label: str = "", **more: Plain) -> Case:
    return Case({"word": word, "vocab": list(vocab), **more}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    play = ["play", "##ing", "##ed", "p", "##l", "##a", "##y", "##i", "##n", "##g"]
    dice = np.random.default_rng(11)
    drawn = [_drawn(dice) for _ in range(40)]
    return (
        _case("", play, "empty"),
        _case("play", play, "whole"),
        _case("playing", play, "split"),
        _case("unaffable", ["un", "una", "##aff", "##ffable", "##able", "##a"], "split"),
        _case("abcd", ["a", "ab", "abc", "##d", "##cd", "##bcd"], "split"),
        _case("playplay", [*play, "##play"], "split"),
        _case("inging", [*play, "i", "##nging", "ing"], "split"),
        _case("playing", ["ing", "play", "##i", "##ng"], "split"),
        _case("playzed", play, "unknown"),
        _case("xylo", play, "unknown"),
        _case("playx", play, "unknown"),
        # Only a search that goes back could spell it: greedy takes "ab" and is stuck.
        _case("abc", ["a", "ab", "##bc"], "unknown"),
        _case("ed", ["##ed", "e"], "unknown"),
        _case("playing", ["play", "ing"], "unknown"),
        _case("playing", ["play", "@@ing"], "named", unk="<unk>", prefix="@@"),
        _case("zzz", play, "named", unk="<unk>"),
        _case("playing", ["play", "~ing", "##ing"], "named", prefix="~"),
        _case("playing", play, "split", _as_dict=True),
        *sorted(drawn, key=lambda case: len(case.inputs["word"])),
        _case("a" * 100, ["a", "##a"], "split"),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator) for _ in range(5))]


def _drawn(dice: np.random.Generator) -> Case:
    vocab = {"abc"[dice.integers(3)]} | {
        ("##" if dice.random() < 0.6 else "") + _letters(dice, int(dice.integers(1, 5))) for _ in range(12)
    }
    word = _letters(dice, int(dice.integers(2, 12)))
    unknown = wordpiece_reference(word, vocab) == ["[UNK]"]
    return _case(word, sorted(vocab), "unknown" if unknown else "split")


def _letters(dice: np.random.Generator, length: int) -> str:
    return "".join("abc"[place] for place in dice.integers(3, size=length))


def _equals(case: Case, observation: Observation) -> Failure | None:
    given = {name: value for name, value in case.inputs.items() if not name.startswith("_")}
    wanted = wordpiece_reference(**given)
    return None if as_list(observation.value) == wanted else Failure(shown(wanted))


def _wordpiece_shortest(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    pieces, start = [], 0
    while start < len(word):
        for end in range(start + 1, len(word) + 1):
            piece = (prefix if start else "") + word[start:end]
            if piece in vocab:
                break
        else:
            return [unk]
        pieces.append(piece)
        start = end
    return pieces


def _wordpiece_from_the_right(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    pieces: list[str] = []
    end = len(word)
    while end:
        start = next((start for start in range(end) if (prefix if start else "") + word[start:end] in vocab), None)
        if start is None:
            return [unk]
        pieces.insert(0, (prefix if start else "") + word[start:end])
        end = start
    return pieces


def _wordpiece_without_prefix(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    return wordpiece_reference(word, {piece for piece in vocab if not piece.startswith(prefix)}, unk, "")


def _wordpiece_with_or_without_prefix(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    pieces: list[str] = []
    start = 0
    while start < len(word):
        marks = [prefix, ""] if start else [""]
        candidates = [(end, mark + word[start:end]) for end in range(len(word), start, -1) for mark in marks]
        end, piece = next((pair for pair in candidates if pair[1] in vocab), (0, unk))
        if not end:
            return [unk]
        pieces.append(piece)
        start = end
    return pieces


def _wordpiece_prefix_stripped(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    return [piece.removeprefix(prefix) for piece in wordpiece_reference(word, vocab, unk, prefix)]


def _wordpiece_keeps_what_it_found(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    for end in range(len(word), 0, -1):
        found = wordpiece_reference(word[:end], vocab, unk, prefix)
        if found != [unk]:
            return found if end == len(word) else [*found, unk]
    return [unk] if word else []


def _wordpiece_skips(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    pieces, start = [], 0
    while start < len(word):
        ends = range(len(word), start, -1)
        end = next((end for end in ends if (prefix if start else "") + word[start:end] in vocab), None)
        pieces.append(unk if end is None else (prefix if start else "") + word[start:end])
        start = start + 1 if end is None else end
    return pieces


def _wordpiece_backtracks(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    def rest(start: int) -> list[str] | None:
        if start == len(word):
            return []
        for end in range(len(word), start, -1):
            piece = (prefix if start else "") + word[start:end]
            if piece in vocab and (tail := rest(end)) is not None:
                return [piece, *tail]
        return None

    found = rest(0) if len(word) <= 20 else wordpiece_reference(word, vocab, unk, prefix)
    return [unk] if found is None else found


def _wordpiece_empty_unknown(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    return wordpiece_reference(word, vocab, unk, prefix) if word else [unk]


def _wordpiece_fixed_marks(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    return wordpiece_reference(word, vocab)


EXERCISE = Exercise(
    "1.1",
    "wordpiece",
    observers.wordpiece,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "words are split into the longest pieces, from the left",
            "Which piece does your loop take when several fit at one place, and where does it go on afterwards?",
            on=("whole", "split"),
            test=_equals,
            core=True,
        ),
        Property(
            "a remainder without a match makes the whole word unknown",
            "What happens to the pieces that were found before the place where nothing fits?",
            on="unknown",
            test=_equals,
        ),
        Property(
            "the empty word has no pieces",
            "How often should the loop run for a word without letters?",
            on="empty",
            test=_equals,
        ),
        Property(
            "unk and prefix are the caller's",
            "Are the arguments unk and prefix used, or the usual marks written into the code?",
            on="named",
            test=_equals,
        ),
        returns(
            "a list of strings",
            lambda value: isinstance(value, list) and all(isinstance(piece, str) for piece in value),
        ),
    ),
    wrong={
        "shortest match first": (
            "Your pieces are the shortest that fit. WordPiece is greedy: it tries the longest candidate first.",
            _wordpiece_shortest,
        ),
        "longest match first, from the right": (
            "You begin at the end of the word. WordPiece goes from left to right: what stands first takes what it can.",
            _wordpiece_from_the_right,
        ),
        "pieces without their prefix in the vocabulary": (
            "Inside a word a piece is looked up with the prefix in front: beginnings and continuations differ.",
            _wordpiece_without_prefix,
        ),
        "pieces with or without their prefix": (
            "Inside a word you also take pieces without the prefix. Those can only stand at the beginning of a word.",
            _wordpiece_with_or_without_prefix,
        ),
        "prefix stripped from the result": (
            "The pieces are the right ones, but those inside the word have lost their prefix on the way out.",
            _wordpiece_prefix_stripped,
        ),
        "keeps what it found before it got stuck": (
            "When a remainder fits nothing, the pieces before it do not stay: what should the model see of such a word?",
            _wordpiece_keeps_what_it_found,
        ),
        "unknown letter by letter": (
            "An unknown mark stands for the whole word, not for one letter of it.",
            _wordpiece_skips,
        ),
        "goes back to try shorter pieces": (
            "Your answer goes back and tries a shorter piece where it got stuck. Greedy never takes a decision back.",
            _wordpiece_backtracks,
        ),
        "the empty word as unknown": (
            "A word without letters is not an unknown word: nothing of it is left unmatched.",
            _wordpiece_empty_unknown,
        ),
        "the usual marks written into the code": (
            "unk and prefix are arguments: other tokenizers mark the same things in other ways.",
            _wordpiece_fixed_marks,
        ),
    },
    keeps_random_state=False,
)

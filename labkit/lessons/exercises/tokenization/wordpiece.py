"""Exercise 1.1, wordpiece: greedy longest match first."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from labkit.checks.exercise import Exercise, Property
from labkit.checks.properties import list_of, returns
from labkit.checks.wire import Plain, as_list
from labkit.lessons.observers import tokenization as observers

PLAY = ["play", "##ing", "##ed", "p", "##l", "##a", "##y", "##i", "##n", "##g"]


def wordpiece_reference(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##", step: int = -1) -> list[str]:
    """The contract; step 1 tries the shortest piece first, as a wrong answer does."""
    pieces: list[str] = []
    start = 0
    while start < len(word):
        mark = prefix if start else ""
        ends = range(start + 1, len(word) + 1)[::step]
        end = next((end for end in ends if mark + word[start:end] in vocab), None)
        if end is None:
            return [unk]
        pieces.append(mark + word[start:end])
        start = end
    return pieces


def _drawn(generator: np.random.Generator, count: int = 5) -> Iterator[tuple[str, tuple[Plain, ...]]]:
    def letters(low: int, high: int) -> str:
        return "".join("abc"[place] for place in generator.integers(3, size=generator.integers(low, high)))

    for _ in range(count):
        first = "abc"[generator.integers(3)]
        vocab = {first, *[("##" if generator.random() < 0.6 else "") + letters(1, 5) for _ in range(12)]}
        word = letters(2, 12)
        yield "unknown" if wordpiece_reference(word, vocab) == ["[UNK]"] else "split", (word, sorted(vocab))


def _from_the_right(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    pieces: list[str] = []
    end = len(word)
    while end:
        start = next((start for start in range(end) if (prefix if start else "") + word[start:end] in vocab), None)
        if start is None:
            return [unk]
        pieces.insert(0, (prefix if start else "") + word[start:end])
        end = start
    return pieces


def _letter_by_letter(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    # Where every letter is a piece the search is never stuck.
    with_letters = {*vocab, *word, *(prefix + letter for letter in word)}
    return [piece if piece in vocab else unk for piece in wordpiece_reference(word, with_letters, unk, prefix)]


def _spellings(word: str, vocab: Any, prefix: str, mark: str = "") -> Iterator[list[str]]:
    """All ways to spell a word with the vocabulary, those with long pieces first."""
    if not word:
        yield []
    for end in range(len(word), 0, -1):
        if mark + word[:end] in vocab:
            yield from ([mark + word[:end], *rest] for rest in _spellings(word[end:], vocab, prefix, prefix))


EXERCISE = Exercise(
    "1.1",
    "wordpiece",
    observers.wordpiece,
    nudge=(
        "Take a word and a small vocabulary on paper. Which is the longest piece that the word begins with, and what "
        "is left when you take it away?"
    ),
    in_words=(
        "Remember where the next piece begins. From there try all that is left of the word, and shorten it letter by "
        "letter until the vocabulary has it; behind the first piece look it up with the prefix. Go on where the piece"
        " ended. Where not even one letter is found, the whole word is unknown."
    ),
    reference=wordpiece_reference,
    takes="word vocab unk prefix",
    properties=(
        Property(
            "words are split into the longest pieces, from the left",
            "Which piece does your loop take when several fit at one place, and where does it go on afterwards?",
            on=("whole", "split"),
            core=True,
            idea=True,
        ),
        Property(
            "a remainder without a match makes the whole word unknown",
            "What happens to the pieces that were found before the place where nothing fits?",
            on="unknown",
        ),
        Property(
            "the empty word has no pieces",
            "How often should the loop run for a word without letters?",
            on="empty",
        ),
        Property(
            "unk and prefix are the caller's",
            "Are the arguments unk and prefix used, or the usual marks written into the code?",
            on="named",
        ),
        returns("a list of strings", list_of(lambda piece: isinstance(piece, str))),
    ),
    wrong={
        "shortest match first": (
            "Your pieces are the shortest that fit. WordPiece is greedy: it tries the longest candidate first.",
            partial(wordpiece_reference, step=1),
        ),
        "longest match first, from the right": (
            "You begin at the end of the word. WordPiece goes from left to right: what stands first takes what it can.",
            _from_the_right,
        ),
        "pieces without their prefix in the vocabulary": (
            "Inside a word a piece is looked up with the prefix in front: beginnings and continuations differ.",
            lambda word, vocab, unk="[UNK]", prefix="##": wordpiece_reference(
                word, {piece for piece in vocab if not piece.startswith(prefix)}, unk, prefix=""
            ),
        ),
        "pieces with or without their prefix": (
            "Inside a word you also take pieces without the prefix. Those can only stand at the beginning of a word.",
            lambda word, vocab, unk="[UNK]", prefix="##": [
                piece if piece in vocab else piece.removeprefix(prefix)
                for piece in wordpiece_reference(word, {*vocab, *(prefix + bare for bare in vocab)}, unk, prefix)
            ],
        ),
        "prefix stripped from the result": (
            "The pieces are the right ones, but those inside the word have lost their prefix on the way out.",
            lambda word, vocab, unk="[UNK]", prefix="##": [
                piece.removeprefix(prefix) for piece in wordpiece_reference(word, vocab, unk, prefix)
            ],
        ),
        "keeps what it found before it got stuck": (
            "When a remainder fits nothing, the pieces before it do not stay: what should the model see of such a word?",
            lambda word, vocab, unk="[UNK]", prefix="##": (pieces := _letter_by_letter(word, vocab, unk, prefix))[
                : [*pieces, unk].index(unk) + 1
            ],
        ),
        "unknown letter by letter": (
            "An unknown mark stands for the whole word, not for one letter of it.",
            _letter_by_letter,
        ),
        "goes back to try shorter pieces": (
            "Your answer goes back and tries a shorter piece where it got stuck. Greedy never takes a decision back.",
            lambda word, vocab, unk="[UNK]", prefix="##": next(_spellings(word, vocab, prefix), [unk]),
        ),
        "the empty word as unknown": (
            "A word without letters is not an unknown word: nothing of it is left unmatched.",
            lambda word, vocab, **marks: wordpiece_reference(word, vocab, **marks) if word else ["[UNK]"],
        ),
        "the usual marks written into the code": (
            "unk and prefix are arguments: other tokenizers mark the same things in other ways.",
            lambda word, vocab, **marks: wordpiece_reference(word, vocab),
        ),
    },
    drawn=_drawn,
    fixed=lambda: [
        ("empty", ("", PLAY)),
        ("whole", ("play", PLAY)),
        ("split", ("playing", PLAY)),
        ("split", ("unaffable", ["un", "una", "##aff", "##ffable", "##able", "##a"])),
        ("split", ("abcd", ["a", "ab", "abc", "##d", "##cd", "##bcd"])),
        ("split", ("playplay", [*PLAY, "##play"])),
        ("split", ("inging", [*PLAY, "i", "##nging", "ing"])),
        ("split", ("playing", ["ing", "play", "##i", "##ng"])),
        ("unknown", ("playzed", PLAY)),
        ("unknown", ("xylo", PLAY)),
        ("unknown", ("playx", PLAY)),
        # Only a search that goes back could spell it: greedy takes "ab" and is stuck.
        ("unknown", ("abc", ["a", "ab", "##bc"])),
        ("unknown", ("ed", ["##ed", "e"])),
        ("unknown", ("playing", ["play", "ing"])),
        ("named", ("playing", ["play", "@@ing"], "<unk>", "@@")),
        ("named", ("zzz", PLAY, "<unk>")),
        ("named", {"word": "playing", "vocab": ["play", "~ing", "##ing"], "prefix": "~"}),
        ("split", {"word": "playing", "vocab": PLAY, "_as_dict": True}),
        *sorted(_drawn(np.random.default_rng(11), 40), key=lambda case: len(case[1][0])),
        ("split", ("a" * 100, ["a", "##a"])),
    ],
    same=lambda found, wanted: as_list(found) == wanted,
    keeps_random_state=False,
)

"""Explanations as records: a score for every word, and how they show themselves.

A score above 0 speaks for positive, one below for negative; attention has no sign, it says how much was looked at. Makes no
explanations (methods.py); charts are in figures.py.
"""

import html
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, overload

import numpy as np

from labkit.data.reviews import CLASS_NAMES, clean, is_blank
from labkit.errors import UsageError
from labkit.evaluation.arrays import FloatArray
from labkit.explanation.margins import TARGET
from labkit.explanation.registry import METHODS
from labkit.explanation.words import AlignedText, Word

TOLERANCE = 0.01  # how far the scores of integrated gradients may miss their sum, as a share of the change they explain
TOP_WORDS = 5  # named in a line
# Blue for positive, orange for negative: colour-blind readers tell them apart.
COLOURS = {1: (0, 114, 178), -1: (213, 94, 0)}
STRONGEST = 0.7  # share of the full colour at the end of the scale: black letters stay readable on it


class AttributionError(UsageError):
    """A model, method or text that cannot be explained as asked."""


# --- the records --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """One explanation of one decision: a score for every token and every word.

    A word's score is the sum over its tokens. scores: (tokens,), special tokens included. margin: what is explained, the
    logit of positive minus that of negative. detail: which layer and head, for attention. Of integrated gradients alone:
    steps, the points on the path, and completeness_error, by how much the scores miss f(text) - f(baseline), as a share of
    max(|that|, 0.1).
    """

    method: str
    reading: AlignedText
    scores: FloatArray
    margin: float
    detail: str = ""
    steps: int | None = None
    completeness_error: float | None = None

    @property
    def text(self) -> str:
        """The text, as the model was given it."""
        return self.reading.text

    @property
    def tokens(self) -> tuple[str, ...]:
        """Its tokens, special ones included."""
        return self.reading.tokens

    @property
    def words(self) -> tuple[Word, ...]:
        """Its words with their character spans; special tokens are in none."""
        return self.reading.words

    @cached_property
    def word_scores(self) -> FloatArray:
        """(words,) the sum over the tokens of each word."""
        return np.array([self.scores[list(word.tokens)].sum() for word in self.words], dtype=np.float64)

    @property
    def importance(self) -> FloatArray:
        """How much each word speaks for what was predicted, (words,).

        Methods without a sign say how much it was looked at.
        """
        return self.word_scores * (self.sign if self.is_signed else 1)

    @property
    def sign(self) -> int:
        """1 where the model chose positive, -1 where it chose negative.

        The margin times this speaks for the choice.
        """
        return 1 if self.margin > 0 else -1

    @property
    def is_signed(self) -> bool:
        """Whether a score says for which class its word speaks."""
        return METHODS[self.method].is_signed

    @property
    def unit(self) -> str:
        """What the scores are measured in."""
        return METHODS[self.method].unit

    @property
    def prediction(self) -> str:
        """The class that the model chose."""
        return CLASS_NAMES[int(self.sign > 0)]

    @property
    def probability(self) -> float:
        """The probability of the class that the model chose.

        The softmax of two logits depends on their difference alone.
        """
        return 1 / (1 + math.exp(-abs(self.margin)))

    @property
    def is_flagged(self) -> bool:
        """Whether the scores miss their sum by more than one percent, despite all steps."""
        return self.completeness_error is not None and not self.completeness_error <= TOLERANCE

    def top(self, count: int = TOP_WORDS) -> list[tuple[str, float]]:
        """List the words that matter most with their scores, the largest magnitude first.

        Words of score 0 are not named.
        """
        order = np.argsort(-np.abs(self.word_scores), kind="stable")[:count]
        return [(self.words[i].text, float(self.word_scores[i])) for i in order if self.word_scores[i]]

    def as_dict(self) -> dict[str, Any]:
        """Return everything in it as plain data, for JSON."""
        spans = self.reading.spans.tolist()
        return {
            "text": self.text,
            "truncated": self.reading.truncated,
            "prediction": self.prediction,
            "probability": self.probability,
            "target": TARGET,
            "margin": self.margin,
            "method": self.method,
            "detail": self.detail,
            "unit": self.unit,
            "steps": self.steps,
            "completeness_error": self.completeness_error,
            "flagged": self.is_flagged,
            "words": [
                {"word": word.text, "start": word.start, "end": word.end, "score": score}
                for word, score in zip(self.words, self.word_scores.tolist(), strict=True)
            ],
            "tokens": [
                {"token": token, "start": start, "end": end, "score": score}
                for token, (start, end), score in zip(self.tokens, spans, self.scores.tolist(), strict=True)
            ],
        }

    @property
    def decision(self) -> str:
        """What the model decided, in words."""
        cut = ", the text was cut" if self.reading.truncated else ""
        return f"{self.prediction}, probability {self.probability:.3f}, margin {self.margin:+.2f}{cut}"

    @property
    def caption(self) -> str:
        """The method, and how far its scores can be trusted to add up."""
        if self.completeness_error is None:
            return f"{self.method} ({self.detail})" if self.detail else self.method
        error = f"error {self.completeness_error:.2%} at {self.steps} steps"
        return f"{self.method} ({'FLAGGED, does not add up: ' if self.is_flagged else ''}{error})"

    def in_words(self, count: int = TOP_WORDS) -> str:
        """Name the words that matter most and their scores, as a sentence would."""
        number = "+.2f" if self.is_signed else ".3f"
        return ", ".join(f"{word} {score:{number}}" for word, score in self.top(count)) or "no word has a score"

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= 100 else self.text[:99] + "…"
        return f"{shown}\n  {self.decision}\n  {self.caption}: {self.in_words()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _shown(self, _scale([self]))


@dataclass(frozen=True, eq=False, repr=False)
class Explanations(Sequence[Attribution]):
    """Explanations of several texts, text by text, by one method or more.

    Shown, they share one scale of colours. Scores of one unit share the scale: those in logits one, those in shares of
    attention another.
    """

    attributions: tuple[Attribution, ...]

    def __len__(self) -> int:
        return len(self.attributions)

    @overload
    def __getitem__(self, place: int) -> Attribution: ...

    @overload
    def __getitem__(self, place: slice) -> "Explanations": ...

    def __getitem__(self, place: int | slice) -> "Attribution | Explanations":
        found = self.attributions[place]
        return found if isinstance(found, Attribution) else Explanations(found)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order in which they were asked for."""
        return tuple(dict.fromkeys(one.method for one in self))

    def of(self, method: str) -> "Explanations":
        """Return those by one method, a text each.

        Raises AttributionError for a method that is not among them.
        """
        if method not in self.methods:
            raise AttributionError(f"no explanation by {method} here; there are {', '.join(self.methods) or 'none'}")
        return Explanations(tuple(one for one in self if one.method == method))

    def to_page(self) -> str:
        """Write one HTML page that needs nothing else."""
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        head = (
            '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>Explanations</title>'
            "<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}</style>"
        )
        body = f"<main><h1>Explanations</h1>{self._repr_html_()}</main>"
        return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'

    def _by_text(self) -> Iterator[list[Attribution]]:
        by_reading: dict[int, list[Attribution]] = {}
        for one in self:
            by_reading.setdefault(id(one.reading), []).append(one)
        yield from by_reading.values()

    def __str__(self) -> str:
        lines = []
        for first, *rest in self._by_text():
            lines += [str(first), *(f"  {one.caption}: {one.in_words()}" for one in rest)]
        return "\n".join(lines) or "no explanations"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        scales = {unit: _scale([one for one in self if one.unit == unit]) for unit in {one.unit for one in self}}
        return "".join(_shown(one, scales[one.unit]) for one in self) or "<p>no explanations</p>"


def cleaned(texts: Sequence[str]) -> list[str]:
    """Clean texts as for training; AttributionError for one that is empty."""
    kept = [clean(text) for text in texts]
    for number, text in enumerate(kept, start=1):
        if is_blank(text):
            raise AttributionError(f"text {number} of {len(kept)} is empty; wanted something to read")
    return kept


def aligned(explanations: Sequence[Attribution]) -> dict[str, list[Attribution]]:
    """Group explanations by method, all of the same texts in the same order.

    Raises AttributionError where they are not.
    """
    by_method: dict[str, list[Attribution]] = {}
    for one in explanations:
        by_method.setdefault(one.method, []).append(one)
    if not by_method:
        raise AttributionError("no explanations; wanted at least one")
    texts = {method: [one.text for one in ones] for method, ones in by_method.items()}
    first = next(iter(texts))
    for method, found in texts.items():
        if found != texts[first]:
            raise AttributionError(f"{method} explains other texts than {first}; wanted the same by each method")
    return by_method


# --- how they show themselves -------------------------------------------------------------------------------------


def _scale(attributions: Sequence[Attribution]) -> float:
    """Find the magnitude that gets the full colour: the largest score of any word."""
    return max((float(np.abs(one.word_scores).max(initial=0)) for one in attributions), default=0.0)


def _shown(one: Attribution, scale: float) -> str:
    """Show a text with its words in colour, and the same said in words.

    Every part of the text is escaped.
    """
    pieces, done = [], 0
    number = "+.3f" if one.is_signed else ".3f"
    for word, score in zip(one.words, one.word_scores.tolist(), strict=True):
        pieces.append(html.escape(one.text[done : word.start]))
        style = f"background:{_colour(score, scale)};border-radius:0.2em;padding:0.1em 0"
        pieces.append(f'<span style="{style}" title="{score:{number}}">{html.escape(word.text)}</span>')
        done = word.end
    pieces.append(html.escape(one.text[done:]))
    paper = "background:#fff;color:#111;padding:0.5em;margin:0.2em 0;line-height:1.7;overflow-wrap:anywhere"
    words = f"In words: {html.escape(one.in_words(2 * TOP_WORDS))}"
    return (
        f'<figure style="margin:0.6em 0"><figcaption><strong>{html.escape(one.caption)}</strong>: '
        f"{html.escape(one.decision)}</figcaption>"
        f'<p dir="auto" style="{paper}">{"".join(pieces)}</p>{_legend(one, scale)}'
        f'<details><summary>The scores in words</summary><span dir="auto">{words}</span></details></figure>'
    )


def _legend(one: Attribution, scale: float) -> str:
    """Say what the two ends of the scale mean; 0 is always white."""
    ends = [(-scale, f"{CLASS_NAMES[0]} {-scale:+.2f}"), (0.0, "0"), (scale, f"{CLASS_NAMES[1]} {scale:+.2f}")]
    if not one.is_signed:
        ends = [(0.0, "0"), (scale, f"{scale:.3f}")]
    boxes = "".join(
        f'<span style="background:{_colour(value, scale)};color:#111;padding:0 0.5em">{text}</span>'
        for value, text in ends
    )
    return f"<small>{boxes} {one.unit}</small>"


def _colour(score: float, scale: float) -> str:
    """Mix white (at 0) with the colour of the score's sign, by its magnitude."""
    strength = STRONGEST * min(1.0, abs(score) / scale) if scale else 0.0
    mixed = (round(255 + strength * (channel - 255)) for channel in COLOURS[1 if score >= 0 else -1])
    return "#" + "".join(f"{channel:02x}" for channel in mixed)

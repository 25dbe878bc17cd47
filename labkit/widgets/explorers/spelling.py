"""WordPiece at work: for each word the pieces tried, and the one that was found.

The longest is tried first. Follows tokens.py's wordpiece step by step; the pieces come out the same.
"""

import html
from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ipywidgets

from labkit.data.tokens import wordpiece, words_of
from labkit.display import LEFT, MARK, PLATE, Markup, html_table
from labkit.widgets.interactive import Interactive, Picture, explorer, labelled

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHOWN_WORDS = 8
SHOWN_TRIES = 3  # at each end of a long list of tries


@dataclass(frozen=True)
class Step:
    """One search: from which letter, what was tried, whether the last was found."""

    start: int
    tried: Sequence[str]
    found: bool

    @property
    def missed(self) -> Sequence[str]:
        """The candidates that the vocabulary does not have."""
        return self.tried[:-1] if self.found else self.tried

    def __str__(self) -> str:
        tries = f"{len(self.tried)} {'try' if len(self.tried) == 1 else 'tries'}"
        return f"{self.tried[-1]} found after {tries}" if self.found else f"nothing found in {tries}"


@dataclass(frozen=True)
class Spelling:
    """A word, the searches that spell it, and the pieces that come out.

    One unknown mark where a search found nothing.
    """

    word: str
    steps: Sequence[Step]
    pieces: Sequence[str]

    def __str__(self) -> str:
        tries = sum(len(step.tried) for step in self.steps)
        return f"{self.word}: {' '.join(self.pieces)}, after {tries} tries ({'; '.join(map(str, self.steps))})."

    def _repr_html_(self) -> str:
        rows = [("step", "the word", "tried", "taken")]
        for place, step in enumerate(self.steps):
            taken = (
                f"<code>{html.escape(step.tried[-1])}</code>" if step.found else "nothing: the whole word is unknown"
            )
            rows.append((f"step {place + 1}", Markup(self._letters(place)), Markup(_tries(step)), Markup(taken)))
        result = f"{html.escape(self.word)} → <code>{html.escape(' '.join(self.pieces))}</code>"
        caption = Markup(f'<div style="{LEFT}"><strong>{result}</strong></div>')
        return html_table(caption, rows, styles=[f"{LEFT};padding:2px 10px 2px 0"] * 4)

    def _letters(self, place: int) -> str:
        """Mark what a step takes of the word in a box, what earlier ones took in grey."""
        step = self.steps[place]
        ends = [later.start for later in self.steps[place + 1 :]] or [len(self.word)]
        end = ends[0] if step.found else step.start
        parts = self.word[: step.start], self.word[step.start : end], self.word[end:]
        done, here, rest = map(html.escape, parts)
        box = f'<span style="border:2px solid {MARK};font-weight:bold">{here}</span>' if here else ""
        return f'<code style="{PLATE};padding:0 4px"><span style="color:#666">{done}</span>{box}{rest}</code>'


def spelling(word: str, vocab: Container[str], unk: str = "[UNK]", prefix: str = "##") -> Spelling:
    """Spell a word by greedy longest-match-first, keeping every search.

    The pieces are those of a vocabulary.
    """
    steps: list[Step] = []
    start, found = 0, True
    while start < len(word) and found:
        tried = []
        for end in range(len(word), start, -1):
            tried.append(prefix * bool(start) + word[start:end])
            if tried[-1] in vocab:
                break
        found = tried[-1] in vocab
        steps.append(Step(start, tried, found))
        start = end
    return Spelling(word, steps, wordpiece(word, vocab, unk, prefix))


def wordpiece_explorer(tokenizer: "PreTrainedTokenizerBase", text: str) -> Interactive:
    """Explore WordPiece: type words and see every search until they are spelled.

    The longest piece is tried first.
    """
    vocab = frozenset(tokenizer.get_vocab())
    box = labelled(ipywidgets.Text, "Words:", value=text, layout={"width": "95%"})

    def show(text: str) -> Picture:
        words = words_of([text], tokenizer)
        spelled = [spelling(word, vocab, str(tokenizer.unk_token)) for word in words[:SHOWN_WORDS]]
        more = f"{len(words) - SHOWN_WORDS} more words are not shown." if len(words) > SHOWN_WORDS else ""
        if not spelled:
            more = "There is no word here."
        pages = "".join(each._repr_html_() for each in spelled)
        return Picture(f"{pages}<p>{more}</p>", " ".join([*map(str, spelled), more]).strip())

    return explorer({"text": box}, show)


def _tries(step: Step) -> str:
    """List the candidates that failed, struck through.

    Of many the first and the last.
    """
    missed = list(step.missed)
    if not missed:
        return "found at once"
    shown = [f"<s>{html.escape(piece)}</s>" for piece in missed]
    if len(shown) > 2 * SHOWN_TRIES:
        between = len(shown) - 2 * SHOWN_TRIES
        shown[SHOWN_TRIES:-SHOWN_TRIES] = [f"… {between} more …"]
    return " ".join(shown)

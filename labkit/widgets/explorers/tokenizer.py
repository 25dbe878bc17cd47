"""The tokenizer explorer: a review as pieces, and what a max_length cuts or pads.

Of each piece the id, mask and type are shown. Shows what tokens.py makes of a text; tokenizes nothing in its own way.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import ipywidgets

from labkit.data.tokens import special_ids, tokenize
from labkit.display import BAD, MARK
from labkit.widgets.interactive import Interactive, Picture, explorer, labelled

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LONGEST = 512  # the most positions that a BERT has
SHOWN_PADDING, SHOWN_CUT = 3, 60  # more of them teach nothing more
KINDS = {  # what a piece is: its background, its border, and how it is called
    "special": ("#e3e8ef", "2px solid #5b6b7f", "special"),
    "word": ("#ffffff", f"2px solid {MARK}", "word"),
    "continuation": ("#fdf0d5", "2px dashed #a86800", "continues"),
    "unknown": ("#fbe3d6", f"3px double {BAD}", "unknown"),
    "padding": ("#f5f5f5", "2px dotted #767676", "padding"),
    "cut": ("#ffffff", f"2px dotted {BAD}", "cut"),
}


@dataclass(frozen=True)
class Piece:
    """One token: its text, id, attention mask, token type and kind.

    Mask and type are None where it was cut.
    """

    text: str
    id: int
    mask: int | None
    token_type: int | None
    kind: str


@dataclass(frozen=True)
class TokenizedText:
    """A text as the model sees it at one max_length, padded to it.

    cut: the pieces that were left out.
    """

    pieces: Sequence[Piece]
    cut: Sequence[Piece]
    max_length: int

    def count(self, kind: str) -> int:
        """Count the pieces of this kind that the model sees."""
        return sum(piece.kind == kind for piece in self.pieces)

    def __str__(self) -> str:
        tokens = self.max_length - self.count("padding") + len(self.cut)
        parts = [f"{self.count(kind)} {name}" for kind, name in _COUNTED.items() if self.count(kind)]
        fate = f"{len(self.cut)} cut" if self.cut else f"none cut, {self.count('padding')} places of padding"
        return f"{tokens} tokens. At max_length {self.max_length} the model sees {', '.join(parts)}; {fate}."

    def _repr_html_(self) -> str:
        padding = [piece for piece in self.pieces if piece.kind == "padding"]
        seen = [piece for piece in self.pieces if piece.kind != "padding"]
        cards = "".join(map(_card, [*seen, *padding[:SHOWN_PADDING]])) + _more(padding[SHOWN_PADDING:], "padding")
        page = f"<p>{html.escape(str(self))}</p>{_list('what the model sees', cards)}"
        if self.cut:
            cut = "".join(map(_card, self.cut[:SHOWN_CUT])) + _more(self.cut[SHOWN_CUT:], "cut")
            page += f"<p>Cut, the model never sees these:</p>{_list('what was cut', cut)}"
        return page


_COUNTED = {
    "special": "special",
    "word": "words or first pieces",
    "continuation": "continuing pieces",
    "unknown": "unknown",
}


def tokenized_text(tokenizer: "PreTrainedTokenizerBase", text: str, max_length: int) -> TokenizedText:
    """Tokenize a text to max_length, keeping the pieces that did not fit.

    The pieces have ids, attention mask and token types. Raises UsageError for a max_length that leaves no room for text.
    """
    kept = tokenize([text], tokenizer, max_length).input_ids[0].tolist()
    whole = tokenize([text], tokenizer, max(len(text), 1) * 4 + max_length).input_ids[0].tolist()
    prefix, suffix = special_ids(tokenizer)
    inside = len(kept) - len(prefix) - len(suffix)
    cut = whole[len(prefix) + inside : len(whole) - len(suffix)]
    padding = max_length - len(kept)
    return TokenizedText(
        pieces=[_piece(tokenizer, id_, 1) for id_ in kept]
        + [_piece(tokenizer, int(tokenizer.pad_token_id), 0) for _ in range(padding)],
        cut=[Piece(str(tokenizer.convert_ids_to_tokens(id_)), id_, None, None, "cut") for id_ in cut],
        max_length=max_length,
    )


def _piece(tokenizer: "PreTrainedTokenizerBase", id_: int, mask: int) -> Piece:
    text = str(tokenizer.convert_ids_to_tokens(id_))
    return Piece(text, id_, mask, 0, _kind(tokenizer, id_, text, mask))


def _kind(tokenizer: "PreTrainedTokenizerBase", id_: int, text: str, mask: int) -> str:
    if mask == 0:
        return "padding"
    if id_ == tokenizer.unk_token_id:
        return "unknown"
    if id_ in tokenizer.all_special_ids:
        return "special"
    return "continuation" if text.startswith("##") else "word"


def tokenizer_explorer(tokenizer: "PreTrainedTokenizerBase", text: str, max_length: int = 32) -> Interactive:
    """Explore a tokenizer: type a review and see its pieces, ids, mask and types.

    A slider for max_length shows what is cut or padded.
    """
    longest = max(max_length, min(LONGEST, int(tokenizer.model_max_length)))
    controls = {
        "text": labelled(ipywidgets.Textarea, "Review:", value=text, rows=3, layout={"width": "95%"}),
        "max_length": labelled(ipywidgets.BoundedIntText, "max_length:", value=max_length, min=3, max=longest),
    }

    def show(text: str, max_length: int) -> Picture:
        record = tokenized_text(tokenizer, text, max_length)
        return Picture(record._repr_html_(), str(record))

    return explorer(controls, show, sliders=("max_length",))


def _card(piece: Piece) -> str:
    background, border, name = KINDS[piece.kind]
    box = f"background:{background};color:#111;border:{border};border-radius:4px;padding:2px 6px;text-align:center"
    struck = ";text-decoration:line-through" * (piece.kind == "cut")
    seen = "" if piece.mask is None else f"<br>mask {piece.mask}<br>type {piece.token_type}"
    return (
        f'<li style="{box}"><code style="font-weight:bold;color:#111;background:none{struck}">{html.escape(piece.text)}</code>'
        f'<div style="font-size:0.8em;line-height:1.3">{name}<br>id {piece.id}{seen}</div></li>'
    )


def _list(label: str, cards: str) -> str:
    style = "display:flex;flex-wrap:wrap;gap:4px;list-style:none;padding:0;margin:0"
    return f'<ol aria-label="{label}" style="{style}">{cards}</ol>'


def _more(pieces: Sequence[Piece], kind: str) -> str:
    if not pieces:
        return ""
    background, border, name = KINDS[kind]
    box = f"background:{background};color:#111;border:{border};border-radius:4px;padding:2px 6px;align-self:center"
    return f'<li style="{box}">and {len(pieces)} more: {name}</li>'

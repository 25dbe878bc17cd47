"""What a tokenizer gives, as a table: each token with its id, mask and type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.display import LEFT, html_table
from labkit.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS = {"input_ids": "input id", "attention_mask": "mask", "token_type_ids": "type"}
STRIP = 8  # tokens side by side, as many as a window of 640 pixels holds
_STRIPS = "display:flex;flex-wrap:wrap;gap:0 1.5em;overflow-x:auto;margin:0 0 0.8em"
_CELL, _PADDING = "text-align:center;padding:2px 5px", "background:#eeeeee;color:#5f6368"


@dataclass(frozen=True)
class TokenTable:
    """The tokens of texts with their numbers.

    tokens: of each text; numbers: by name as in ROWS, of each text, one a token.
    """

    tokens: Sequence[Sequence[str]]
    numbers: Mapping[str, Sequence[Sequence[int]]]

    def __str__(self) -> str:
        lines = []
        for text, tokens in enumerate(self.tokens):
            numbers = (f"; {ROWS[name]} {' '.join(map(str, rows[text]))}" for name, rows in self.numbers.items())
            lines.append(f"text {text + 1}: {' '.join(tokens)}{''.join(numbers)}")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        page = ""
        for text, tokens in enumerate(self.tokens):
            strips = (self._strip(text, start) for start in range(0, max(1, len(tokens)), STRIP))
            page += f'<div style="{_STRIPS}">{"".join(strips)}</div>'
        return page

    def _strip(self, text: int, start: int) -> str:
        """Make the table of a part of a text that fits the width of a page."""
        part = slice(start, start + STRIP)
        tokens = self.tokens[text][part]
        mask = self.numbers.get("attention_mask")
        real = [bool(one) for one in mask[text][part]] if mask else [True] * len(tokens)
        rows = [("token", *tokens)]
        rows += [(ROWS[name], *map(str, each[text][part])) for name, each in self.numbers.items()]
        styles = [f"{LEFT};white-space:nowrap", *(_CELL if one else f"{_CELL};{_PADDING}" for one in real)]
        return html_table(f"Text {text + 1}, tokens {start} to {start + max(0, len(tokens) - 1)}", rows, styles=styles)


def token_table(encoded: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase") -> TokenTable:
    """Make the table of what a tokenizer or `encode` gave, of one text or many.

    Raises UsageError without input ids.
    """
    if "input_ids" not in encoded:
        raise UsageError(f"wanted what a tokenizer gives, with input_ids; found {', '.join(encoded) or 'nothing'}")
    numbers = {}
    for name in filter(encoded.__contains__, ROWS):
        rows = encoded[name].tolist() if hasattr(encoded[name], "tolist") else list(encoded[name])
        numbers[name] = rows if rows and isinstance(rows[0], list) else [rows]  # one text alone is a row of numbers
    tokens = [tokenizer.convert_ids_to_tokens(list(ids)) for ids in numbers["input_ids"]]
    return TokenTable(tokens, numbers)

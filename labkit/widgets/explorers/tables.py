"""What a tokenizer gives, as a table: the tokens of each text, and under each its id, its mask and its type."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labkit.display import LEFT, html_table
from labkit.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROWS = {"input_ids": "input id", "attention_mask": "mask", "token_type_ids": "type"}
STRIP = 12  # tokens side by side
_CELL, _PADDING = "text-align:center;padding:2px 5px", "background:#eeeeee;color:#5f6368"


@dataclass(frozen=True)
class TokenTable:
    """Texts by place. tokens: of each text; numbers: by name as in ROWS, of each text, one a token."""

    tokens: Sequence[Sequence[str]]
    numbers: Mapping[str, Sequence[Sequence[int]]]

    def __str__(self) -> str:
        return "\n".join(self._in_words(text) for text in range(len(self.tokens)))

    __repr__ = __str__

    def _in_words(self, text: int) -> str:
        parts = [" ".join(self.tokens[text])]
        parts += [f"{ROWS[name]} {' '.join(map(str, rows[text]))}" for name, rows in self.numbers.items()]
        return f"text {text + 1}: {'; '.join(parts)}"

    def _repr_html_(self) -> str:
        return "".join(self._block(text) for text in range(len(self.tokens)))

    def _block(self, text: int) -> str:
        """One text, in strips that fit a page."""
        strips = range(0, max(1, len(self.tokens[text])), STRIP)
        return f'<div style="margin:0 0 0.8em">{"".join(self._strip(text, start) for start in strips)}</div>'

    def _strip(self, text: int, start: int) -> str:
        part = slice(start, start + STRIP)
        tokens = self.tokens[text][part]
        mask = self.numbers.get("attention_mask")
        real = [bool(one) for one in mask[text][part]] if mask else [True] * len(tokens)
        rows = [("token", *tokens)]
        rows += [(ROWS[name], *map(str, each[text][part])) for name, each in self.numbers.items()]
        styles = [f"{LEFT};white-space:nowrap", *(_CELL if one else f"{_CELL};{_PADDING}" for one in real)]
        return html_table(f"Text {text + 1}, tokens {start} to {start + max(0, len(tokens) - 1)}", rows, styles=styles)


def token_table(encoded: Mapping[str, Any], tokenizer: "PreTrainedTokenizerBase") -> TokenTable:
    """The table of what a tokenizer or `encode` gave, of one text or of many. Raises UsageError without input ids."""
    if "input_ids" not in encoded:
        raise UsageError(f"wanted what a tokenizer gives, with input_ids; found {', '.join(encoded) or 'nothing'}")
    numbers = {name: _as_rows(encoded[name]) for name in ROWS if name in encoded}
    tokens = [tokenizer.convert_ids_to_tokens(list(ids)) for ids in numbers["input_ids"]]
    return TokenTable(tokens, numbers)


def _as_rows(values: Any) -> list[list[int]]:
    rows = values.tolist() if hasattr(values, "tolist") else list(values)
    return rows if rows and isinstance(rows[0], list) else [rows]

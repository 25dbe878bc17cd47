"""Observers of lesson 01: a word with its vocabulary, texts with a small tokenizer, lengths with a coverage."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from labkit.checks.forms import named
from labkit.checks.observing import Watched, call
from labkit.checks.wire import Plain

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WORDS = """
    a about acting an and as at bad be but by cast comedy dull end ever every far film fine for from funny good great had has
    he her his i in is it its long love made make man more most movie music no not of off old on one or out over plot scene
    script see she slow so some story than that the their there they this time to too up very was way we well were what when
    who will with you
""".split()  # noqa: SIM905 (a word a line would be longer than it is clear)
ENDINGS = [
    "##s",
    "##ed",
    "##ing",
    "##ly",
    "##er",
    "##est",
    "##ness",
    *(f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"),
]


@cache
def small_tokenizer(pad_last: bool = False) -> "PreTrainedTokenizerBase":
    """A BERT tokenizer of some 150 pieces, made here without a file. pad_last: `[PAD]` is not id 0 but the last one."""
    from transformers import BertTokenizer

    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    letters = list("abcdefghijklmnopqrstuvwxyz.,!?'-")
    pieces = [*special, *WORDS, *(letter for letter in letters if letter not in WORDS), *ENDINGS]
    pieces = [*pieces, "[PAD]"] if pad_last else ["[PAD]", *pieces]
    return BertTokenizer(vocab={piece: place for place, piece in enumerate(pieces)})


def watched_tokenizer(pad_last: bool = False) -> Watched:
    """The same for `call`: what an answer might set in it."""
    names = ("padding_side", "truncation_side", "model_max_length", "special_tokens_map", "pad_token_id")
    return Watched(small_tokenizer(pad_last), lambda one: (len(one), *(getattr(one, name, None) for name in names)))


def wordpiece(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """1.1. The vocabulary goes in as a set, or as a dict where the case says so."""
    vocab: Any = inputs["vocab"]
    vocab = dict.fromkeys(vocab, 0) if inputs.get("_as_dict") else set(vocab)
    return call(answer, inputs["word"], vocab, **named(inputs, "unk", "prefix"))


def encode(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """1.2."""
    return call(answer, list(inputs["texts"]), watched_tokenizer(bool(inputs["_pad_last"])), inputs["max_length"])


def smallest_max_length(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """1.3."""
    return call(answer, list(inputs["lengths"]), inputs["coverage"])

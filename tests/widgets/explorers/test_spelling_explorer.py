"""Laws of what lesson 00 and 01 look at: the picture is what the library does, in HTML, in words and in the still."""

import html
import re
from typing import Any

import numpy as np
import pytest
import torch

from labkit.data.tokens import encode, length_costs, wordpiece
from labkit.errors import UsageError
from labkit.serving.classifier import Classifier
from labkit.training.config import Config
from labkit.widgets import max_length_explorer, token_table, word_explorer, wordpiece_explorer
from labkit.widgets.explorers.spelling import spelling
from labkit.widgets.interactive import WIDGET_MIME

VOCAB = frozenset(["play", "un", "a", "ab", "##ing", "##able", "##a", "##b", "##c", "##y"])
LENGTHS = [3, 9, 4, 40, 12, 5, 7, 200, 6, 8, 31]


@pytest.fixture
def classifier(tiny_world: Any) -> Classifier:
    config = Config(model="tiny", max_length=32, precision="fp32", device="cpu")
    return Classifier(tiny_world.model(), tiny_world.tokenizer, config, "tiny")


# WordPiece, step by step


@pytest.mark.parametrize("word", ["playing", "play", "unplayable", "ab", "abcab", "x", "playx", "aaaa", ""])
def test_the_steps_spell_what_wordpiece_spells(word: str) -> None:
    record = spelling(word, VOCAB)
    found = [step.tried[-1] for step in record.steps if step.found]
    assert record.pieces == wordpiece(word, VOCAB)
    assert record.pieces == (found if all(step.found for step in record.steps) else ["[UNK]"])


def test_each_step_tries_every_longer_piece_first_and_stops_at_the_first_that_is_there() -> None:
    first, second = spelling("playing", VOCAB).steps
    assert first.tried == ["playing", "playin", "playi", "play"] and first.missed == first.tried[:3]
    assert second.tried == ["##ing"] and second.missed == []
    stuck = spelling("playx", VOCAB).steps[-1]
    assert not stuck.found and stuck.missed == ["##x"]


def test_a_spelling_is_shown_with_its_tries_and_its_letters_escaped() -> None:
    page = spelling("play<b>ing", VOCAB)._repr_html_()
    assert "<b>" not in page and "&lt;b&gt;" in page and "the whole word is unknown" in page
    text = html.unescape(re.sub(r"<[^>]+>", " ", spelling("playing", VOCAB)._repr_html_()))
    assert re.search(r"playing → +play ##ing .*step 1 .* play +ing .* playing +playin +playi .*step 2", text)


def test_of_many_tries_the_first_and_the_last_are_shown() -> None:
    page = spelling("p" + "y" * 20, {"p", "##" + "y" * 20})._repr_html_()
    assert "… 14 more …" in page and page.count("<s>") == 6


def test_the_wordpiece_explorer_shows_every_word_as_the_tokenizer_sees_it(tiny_world: Any) -> None:
    asked = wordpiece_explorer(tiny_world.tokenizer, "Slow FILMS!")
    assert [part.split(":")[0] for part in asked.picture.words.split("). ")] == ["slow", "films", "!"]
    asked.controls["text"].value = "  "
    assert asked.picture.words == "There is no word here."
    asked.controls["text"].value = "a " * 11
    assert asked.picture.words.endswith("3 more words are not shown.")


# The table of tokens


def test_the_table_holds_what_encode_gave(tiny_world: Any) -> None:
    encoded = encode(["a slow film", "good"], tiny_world.tokenizer, 7)
    table = token_table(encoded, tiny_world.tokenizer)
    assert list(table.tokens[1]) == ["[CLS]", "good", "[SEP]", "[PAD]", "[PAD]", "[PAD]", "[PAD]"]
    assert {name: torch.tensor(rows).equal(encoded[name]) for name, rows in table.numbers.items()} == dict.fromkeys(
        ("input_ids", "attention_mask", "token_type_ids"), True
    )
    assert str(table).splitlines()[1].startswith("text 2: [CLS] good [SEP] [PAD]")
    assert table._repr_html_().count("<table") == 2


def test_a_long_text_is_shown_in_strips_and_whole(tiny_world: Any) -> None:
    encoded = encode(["film " * 28], tiny_world.tokenizer, 30)
    page = token_table(encoded, tiny_world.tokenizer)._repr_html_()
    assert page.count("<table") == 4 and page.count(">film</th>") == 28


def test_one_text_alone_is_a_table_too_and_its_text_is_escaped(tiny_world: Any) -> None:
    pair = tiny_world.tokenizer("good", "film")
    assert token_table(pair, tiny_world.tokenizer).numbers["token_type_ids"] == [[0, 0, 0, 1, 1]]

    class Odd:
        def convert_ids_to_tokens(self, ids: list[int]) -> list[str]:
            return ["<b>"] * len(ids)

    odd: Any = Odd()
    assert "<td" in (page := token_table(pair, odd)._repr_html_()) and "<b>" not in page


def test_what_has_no_input_ids_is_refused(tiny_world: Any) -> None:
    with pytest.raises(UsageError, match="found labels"):
        token_table({"labels": [1]}, tiny_world.tokenizer)


# Words that are left out, and lengths


def test_the_word_explorer_shows_the_effects_that_the_classifier_measures(classifier: Classifier) -> None:
    asked = word_explorer(classifier, "a good film")
    effects = classifier.leave_one_out("a good film")
    assert f"good {effects.effects[1]:+.2f}" in asked.picture.words
    asked.controls["text"].value = "film"
    assert "wanted two" in asked.picture.words
    assert not asked.controls["text"].continuous_update  # the model runs at Enter, not at each letter


def test_the_max_length_explorer_says_what_the_costs_are() -> None:
    asked = max_length_explorer(LENGTHS, 12)
    costs = length_costs(LENGTHS, [12])
    assert f"{costs.cut_tokens[0]:.1%} of all tokens are cut away" in asked.picture.words
    assert asked.controls["max_length"].max == max(LENGTHS)


@pytest.mark.parametrize("name", ["wordpiece", "words", "lengths"])
def test_every_control_changes_the_picture_and_has_a_label_and_a_still(
    tiny_world: Any, classifier: Classifier, name: str
) -> None:
    asked, control, value = {
        "wordpiece": lambda: (wordpiece_explorer(tiny_world.tokenizer, "film"), "text", "films"),
        "words": lambda: (word_explorer(classifier, "a good film"), "text", "a bad film"),
        "lengths": lambda: (max_length_explorer(np.array(LENGTHS), 12), "max_length", 20),
    }[name]()
    shown = asked.view.children[-1]
    before = shown.value, asked.picture.words
    asked.controls[control].value = value
    assert shown.value == asked.picture.html != before[0] and asked.picture.words != before[1]
    assert asked.controls[control].description.strip()
    assert set(asked._repr_mimebundle_()) == {"text/plain", "text/html", WIDGET_MIME}

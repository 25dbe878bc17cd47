"""Laws of the review explorer: what it shows is what the library finds, and a word that is out is out for the model."""

import copy
import dataclasses
import html
import re
from typing import Any

import numpy as np
import pytest
from explaining import SumOfWords, of_family

from labkit.errors import UsageError
from labkit.explanation.attribution import AttributionError, Explanations
from labkit.explanation.methods import explain
from labkit.serving.classifier import Classifier
from labkit.training.config import Config
from labkit.widgets import review_explorer
from labkit.widgets.explorers.review import SHOWN_METHODS, without_words
from labkit.widgets.interactive import WIDGET_MIME, Interactive

WEIGHTS = {"superb": 2.0, "good": 1.0, "dull": -2.5, "bad": -1.0, "not": -0.5}
REVIEWS = ["a superb film and not dull", "good cast , good music , dull script", "the film is superb"]
SIGNED = ("gradient-x-input", "occlusion")  # of the model that is a sum


@pytest.fixture
def sums(tiny_world: Any) -> Classifier:
    """A model whose margin is the sum of what its words weigh."""
    model: Any = SumOfWords(WEIGHTS)
    return Classifier(model, tiny_world.tokenizer, Config(max_length=32, device="cpu", precision="fp32"), "sums")


def asked(sums: Classifier, **changes: Any) -> Interactive:
    return review_explorer(sums, REVIEWS, SIGNED, **changes)


def press(explorer: Interactive, *places: int) -> None:
    for place in places:
        button = explorer.controls["words"].children[place]
        button.value = not button.value


def margin_said(explorer: Interactive) -> float:
    """The margin of what is left, as the words say it."""
    first_sentences = explorer.picture.words.split(": share of each")[0]
    return float(re.findall(r"margin ([+-]\d+\.\d+)\.", first_sentences)[-1])


# What is left of a review


@pytest.mark.parametrize("gone", [(), (1,), (4, 5), (5, 1, 1), tuple(range(6))])
@pytest.mark.parametrize("replacement", ["delete", "mask"])
def test_the_margin_of_what_is_left_is_that_of_the_words_that_are_left(
    sums: Classifier, gone: tuple[int, ...], replacement: str
) -> None:
    words = REVIEWS[0].split()
    record = without_words(sums, sums.explain(REVIEWS[0], SIGNED), gone, replacement)
    left = [word for place, word in enumerate(words) if place not in gone]
    assert record.margin == pytest.approx(sum(WEIGHTS.get(word, 0.0) for word in left))
    assert record.gone == tuple(sorted(set(gone)))


def test_a_review_without_deleted_words_is_read_as_the_shorter_review(tiny_world: Any) -> None:
    model = of_family("bert", "eager")
    classifier = Classifier(model, tiny_world.tokenizer, Config(max_length=32, device="cpu", precision="fp32"), "bert")
    whole = classifier.explain("a superb film and not dull", "attention")
    (shorter,) = explain(model, tiny_world.tokenizer, "a film not dull", "random")
    assert without_words(classifier, whole, (1, 3)).margin == pytest.approx(shorter.margin, abs=1e-6)


def test_mask_and_delete_are_two_questions(tiny_world: Any) -> None:
    model = of_family("bert", "eager")
    classifier = Classifier(model, tiny_world.tokenizer, Config(max_length=32, device="cpu", precision="fp32"), "bert")
    whole = classifier.explain(REVIEWS[0], "attention")
    deleted, masked = (without_words(classifier, whole, (1,), way).margin for way in ("delete", "mask"))
    assert deleted != pytest.approx(masked, abs=1e-6)


def test_words_cannot_be_masked_without_a_mask(sums: Classifier) -> None:
    tokenizer = copy.deepcopy(sums.tokenizer)
    tokenizer.mask_token = None
    with pytest.raises(AttributionError, match="by delete"):
        without_words(dataclasses.replace(sums, tokenizer=tokenizer), sums.explain(REVIEWS[0], "random"), (0,), "mask")


def test_the_record_says_both_verdicts_and_what_is_out(sums: Classifier) -> None:
    record = without_words(sums, sums.explain(REVIEWS[0], SIGNED), (1,))
    assert (
        "negative, probability 0.731, margin -1.00. Without superb: negative, probability 0.953, margin -3.00."
        in str(record)
    )
    assert "<s>superb</s>" in record._repr_html_()
    assert "positive: 26.9%" in record._repr_html_() and "positive: 4.7%" in record._repr_html_()
    whole = without_words(sums, sums.explain(REVIEWS[0], SIGNED), ())
    assert "Without" not in str(whole) and "<s>" not in whole._repr_html_()


def test_a_review_of_markup_is_escaped_everywhere(sums: Classifier) -> None:
    text = "good <script>alert(1)</script> film"
    explorer = review_explorer(sums, text, SIGNED)
    places = range(len(explorer.controls["words"].children))
    press(explorer, *places)
    assert "<script" not in explorer.picture.html
    struck = re.findall(r"<s>(.*?)</s>", explorer.picture.html)
    words = [word.text for word in sums.explain(text, "random")[0].words]
    assert struck == [html.escape(word) for word in words] and "&lt;" in struck


# The explorer


def test_each_word_of_the_review_has_a_button_that_takes_it_out_and_puts_it_back(sums: Classifier) -> None:
    explorer = asked(sums)
    buttons = explorer.controls["words"].children
    assert [button.description for button in buttons] == REVIEWS[0].split()
    assert margin_said(explorer) == -1.0
    press(explorer, 5)
    assert margin_said(explorer) == 1.5 and buttons[5].description == "dull ✗ out"
    press(explorer, 1)
    assert margin_said(explorer) == -0.5
    press(explorer, 5)
    assert margin_said(explorer) == -3.0 and buttons[5].description == "dull"


def test_the_explanations_are_those_of_the_whole_review_whatever_is_out(sums: Classifier) -> None:
    explorer = asked(sums)
    before = explorer.picture.words.split("share of each")[1]
    press(explorer, 1, 5)
    assert explorer.picture.words.split("share of each")[1] == before
    assert "occlusion: dull -2.50, superb +2.00, not -0.50" in before


def test_the_model_is_explained_once_a_review_and_not_once_a_word(
    sums: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    explained: list[str] = []
    real = Classifier.explain

    def counted(self: Classifier, text: Any, *rest: Any, **options: Any) -> Explanations:
        explained.append(text)
        return real(self, text, *rest, **options)

    monkeypatch.setattr(Classifier, "explain", counted)
    explorer = asked(sums)
    press(explorer, 0, 1, 2)
    explorer.controls["text"].value = REVIEWS[2]
    assert explained == [REVIEWS[0], REVIEWS[2]]


def test_picking_or_typing_a_review_lays_out_its_words_anew(sums: Classifier) -> None:
    explorer = asked(sums)
    press(explorer, 1)
    explorer.controls["pick"].value = REVIEWS[2]
    assert [button.description for button in explorer.controls["words"].children] == REVIEWS[2].split()
    assert margin_said(explorer) == 2.0
    explorer.controls["text"].value = "a bad film"
    assert margin_said(explorer) == -1.0
    assert not explorer.controls["text"].continuous_update  # the model runs at Enter, not at each letter


def test_all_words_come_back_at_once(sums: Classifier) -> None:
    explorer = asked(sums)
    press(explorer, 0, 1, 2)
    explorer.controls["back"].click()
    assert margin_said(explorer) == -1.0
    assert not any(button.value for button in explorer.controls["words"].children)


def test_a_word_can_be_replaced_by_mask_or_by_nothing(tiny_world: Any) -> None:
    model = of_family("bert", "eager")
    config = Config(max_length=32, device="cpu", precision="fp32")
    explorer = review_explorer(
        Classifier(model, tiny_world.tokenizer, config, "bert"), REVIEWS, SHOWN_METHODS, steps=(4,)
    )
    press(explorer, 1)
    deleted = explorer.picture.words
    explorer.controls["in_the_place"].value = "mask"
    assert explorer.picture.words != deleted
    assert all(method in deleted for method in SHOWN_METHODS)


def test_what_cannot_be_explained_is_said_and_the_next_review_goes_on(sums: Classifier) -> None:
    explorer = asked(sums)
    explorer.controls["text"].value = "  "
    assert "is empty" in explorer.picture.words and explorer.controls["words"].children == ()
    explorer.controls["text"].value = REVIEWS[1]
    assert margin_said(explorer) == -0.5
    with_attention = review_explorer(sums, REVIEWS[0], "attention")
    assert "set_attn_implementation" in with_attention.picture.words
    with pytest.raises(UsageError, match="at least one"):
        review_explorer(sums, [])


def test_the_explorer_shows_its_still_and_every_control_has_a_name(sums: Classifier) -> None:
    explorer = asked(sums)
    press(explorer, 1)
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", WIDGET_MIME}
    assert explorer.view.children[-1].value == bundle["text/html"] == explorer.picture.html
    grid = bundle["text/plain"].split(". ", 2)[2]
    assert html.escape(grid) in bundle["text/html"]
    buttons = explorer.controls["words"].children
    named = [control for name, control in explorer.controls.items() if name != "words"]
    assert all(control.description.strip() for control in [*named, *buttons])
    assert np.all([button.tooltip for button in buttons])

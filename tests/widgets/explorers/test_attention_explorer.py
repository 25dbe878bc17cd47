"""Laws of the attention explorer: what it shows is the attention of the layer and head that were chosen."""

import html
from typing import Any

import numpy as np
import pytest
from explaining import FAMILIES, of_family

from labkit.explanation import attention
from labkit.explanation.attention import attention_weights
from labkit.figures import alt_text, attention_heatmap
from labkit.serving.classifier import Classifier
from labkit.training.config import Config
from labkit.widgets import attention_explorer
from labkit.widgets.interactive import WIDGET_MIME

REVIEW = "a superb film and not dull"
CONFIG = Config(max_length=32, device="cpu", precision="fp32")


def classifier(tiny_world: Any, family: str = "bert", kind: str = "eager") -> Classifier:
    return Classifier(of_family(family, kind), tiny_world.tokenizer, CONFIG, family)


@pytest.mark.parametrize(("layer", "head"), [(0, None), (0, 0), (0, 1), (1, None), (1, 1)])
def test_the_picture_is_that_of_the_layer_and_head(tiny_world: Any, layer: int, head: int | None) -> None:
    asked = classifier(tiny_world)
    explorer = attention_explorer(asked, REVIEW)
    explorer.controls["layer"].value = layer
    explorer.controls["head"].value = head
    weights = attention_weights(asked.model, asked.tokenizer, REVIEW, max_length=32)
    assert explorer.picture.words == alt_text(attention_heatmap(weights, layer, head))
    assert np.allclose(weights.weights.sum(axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_s_layers_and_heads_can_be_chosen_and_no_others(tiny_world: Any, family: str) -> None:
    explorer = attention_explorer(classifier(tiny_world, family), REVIEW)
    layer, head = explorer.controls["layer"], explorer.controls["head"]
    assert (layer.min, layer.max, layer.value) == (0, 1, 1)
    assert [value for _, value in head.options] == [None, 0, 1]
    layer.value, head.value = 0, 1
    assert explorer.picture.words.startswith("Heat map of attention, layer 0, head 1:")


def test_the_model_reads_a_review_once_for_all_its_layers_and_heads(
    tiny_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    real = attention.attentions_of

    def counted(model: Any, readings: Any, *rest: Any) -> Any:
        read.append(len(readings))
        return real(model, readings, *rest)

    monkeypatch.setattr(attention, "attentions_of", counted)
    explorer = attention_explorer(classifier(tiny_world), REVIEW)
    explorer.controls["layer"].value = 0
    explorer.controls["head"].value = 1
    assert read == [1]
    explorer.controls["text"].value = "the film is bad"
    assert read == [1, 1] and "bad" in explorer.picture.words


def test_a_model_that_returns_no_weights_says_the_remedy_and_shows_them_once_it_is_taken(tiny_world: Any) -> None:
    asked = classifier(tiny_world, kind="sdpa")
    explorer = attention_explorer(asked, REVIEW)
    assert 'set_attn_implementation("eager")' in explorer.picture.words
    asked.model.set_attn_implementation("eager")
    assert explorer.picture.words.startswith("Heat map")


def test_an_empty_review_and_one_of_markup_do_no_harm(tiny_world: Any) -> None:
    explorer = attention_explorer(classifier(tiny_world), "  ")
    assert "is empty" in explorer.picture.words
    explorer.controls["text"].value = "<b>superb</b>"
    assert "<b>" not in explorer.picture.html


def test_the_explorer_shows_its_still_and_every_control_has_a_name(tiny_world: Any) -> None:
    explorer = attention_explorer(classifier(tiny_world), REVIEW)
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", WIDGET_MIME}
    assert html.escape(bundle["text/plain"]) in bundle["text/html"]
    assert all(control.description.strip() for control in explorer.controls.values())
    shown = explorer.view.children[-1]
    before = shown.value
    explorer.controls["layer"].value = 0
    assert shown.value == explorer.picture.html != before

"""Laws of a model's two classes: its own names decide, whoever reads its logits."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from explaining import TEXTS
from transformers import AutoModelForSequenceClassification, PreTrainedConfig

from labkit.data.reviews import CLASS_NAMES
from labkit.explanation.methods import explain
from labkit.explanation.registry import METHODS
from labkit.models.classes import OUR_NAMES, class_places
from labkit.models.encoders import ModelError, load_encoder
from labkit.serving.classifier import Classifier

ORDERS = {
    "as here": ({0: "negative", 1: "positive"}, [0, 1]),
    "by default": ({0: "LABEL_0", 1: "LABEL_1"}, [0, 1]),
    "short": ({0: "Pos", 1: "nEG"}, [1, 0]),
    "shouted": ({0: "POSITIVE", 1: "NEGATIVE"}, [1, 0]),
    "digits": ({0: "1", 1: "0"}, [1, 0]),
    "defaults turned round": ({0: "label_1", 1: "label_0"}, [1, 0]),
    "mixed": ({1: "NEG", 0: "LABEL_1"}, [1, 0]),
}


def test_labkits_own_names_are_those_of_its_reviews():
    assert list(OUR_NAMES.items()) == list(enumerate(CLASS_NAMES))


@pytest.mark.parametrize("order", ORDERS)
def test_known_names_say_which_logit_is_whose_in_any_case(order):
    names, places = ORDERS[order]
    assert class_places(PreTrainedConfig(id2label=names)) == places


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({0: "toxic", 1: "fine"}, "{0: toxic, 1: fine}; wanted id2label with one of negative/positive, neg/pos, 0/1"),
        ({0: "positive", 1: "pos"}, "{0: positive, 1: pos}"),
        ({0: "negative", 1: "neutral"}, "{0: negative, 1: neutral}"),
        ({1: "negative", 2: "positive"}, "{1: negative, 2: positive}"),
        ({0: "a", 1: "b", 2: "c"}, "has 3 classes; wanted 2"),
        ({0: "positive"}, "has 1 classes; wanted 2"),
    ],
)
def test_other_names_are_refused_with_those_that_were_found(names, message):
    with pytest.raises(ModelError) as refused:
        class_places(SimpleNamespace(id2label=names), "x: the model")
    assert message in str(refused.value) and str(refused.value).startswith("x: the model")
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("names", [..., {0: "LABEL_0", 1: "LABEL_1"}])
@pytest.mark.parametrize("places", [(0, 1), (1, 0), ("1", "0")])
def test_names_in_label2id_alone_are_refused_unless_they_say_the_order_that_is_read(
    names, places, tiny_folder, tmp_path
):
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": names, "label2id": dict(zip(("NEGATIVE", "POSITIVE"), places, strict=True))}
    kept = {name: value for name, value in config.items() if value is not ...}
    (folder / "config.json").write_text(json.dumps(kept))
    if places == (0, 1):
        assert Classifier.load(folder, device="cpu")
    else:
        with pytest.raises(ModelError, match=f"calls class {places[0]} NEGATIVE in label2id alone"):
            Classifier.load(folder, device="cpu")


def test_classes_that_do_not_exclude_each_other_are_refused():
    with pytest.raises(ModelError, match="made for multi_label_classification"):
        class_places(PreTrainedConfig(problem_type="multi_label_classification"))


@pytest.fixture(params=ORDERS)
def renamed(request: pytest.FixtureRequest, tiny_world: Any, tmp_path: Path) -> Path:
    """The tiny world's model with other names and the head's rows in their order: the same answers in other words."""
    names, places = ORDERS[request.param]
    model = tiny_world.model()
    model.config.id2label = names
    with torch.no_grad():
        for weights in model.classifier.parameters():
            weights.copy_(weights[places].clone())
    model.save_pretrained(tmp_path)
    tiny_world.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_the_same_model_under_other_names_answers_the_same(renamed, tiny_folder, tiny_world):
    ours, theirs = (Classifier.load(folder, device="cpu", attention="eager") for folder in (tiny_folder, renamed))
    assert np.allclose(ours.probabilities(TEXTS), theirs.probabilities(TEXTS), atol=1e-6)
    results = [each.evaluate(tiny_world.reviews) for each in (ours, theirs)]
    assert results[0].loss == pytest.approx(results[1].loss, abs=1e-6)
    for one, other in zip(ours.explain(TEXTS, list(METHODS)), theirs.explain(TEXTS, list(METHODS)), strict=True):
        assert one.prediction == other.prediction and one.margin == pytest.approx(other.margin, abs=1e-5)
        assert np.allclose(one.scores, other.scores, atol=1e-4), one.method


def test_a_model_that_was_loaded_by_others_is_explained_by_its_own_names_too(renamed, tiny_world):
    model = AutoModelForSequenceClassification.from_pretrained(renamed)
    with torch.no_grad():
        logits = model(**tiny_world.tokenizer(TEXTS[0], return_tensors="pt")).logits[0]
    negative, positive = class_places(model.config)
    (one,) = explain(model, tiny_world.tokenizer, TEXTS[0], "random")
    assert one.margin == pytest.approx(float(logits[positive] - logits[negative]), abs=1e-5)


def test_training_that_goes_on_from_a_head_starts_with_its_answers_whatever_its_order(renamed, tiny_world):
    model, tokenizer = load_encoder(str(renamed), head="kept")
    assert model.config.id2label == {0: "negative", 1: "positive"}
    inputs = tokenizer(TEXTS, padding=True, return_tensors="pt")
    with torch.no_grad():
        assert torch.allclose(model.eval()(**inputs).logits, tiny_world.model().eval()(**inputs).logits, atol=1e-5)


def test_training_that_goes_on_from_a_head_of_other_classes_is_refused_by_folder(renamed):
    config = json.loads((renamed / "config.json").read_text()) | {"id2label": {"0": "spam", "1": "ham"}}
    (renamed / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match=r"calls its classes \{0: spam, 1: ham\}") as refused:
        load_encoder(str(renamed), head="kept")
    assert str(renamed) in str(refused.value)
    load_encoder(str(renamed))  # a fresh head asks nobody

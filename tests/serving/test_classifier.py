"""Laws of a classifier that is asked which words its verdict needs."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.errors import UsageError
from labkit.models.encoders import ModelError
from labkit.serving.classifier import Classifier
from labkit.training.config import Config


@pytest.fixture
def classifier(tiny_world: Any) -> Classifier:
    config = Config(model="tiny", max_length=32, precision="fp32", device="cpu")
    return Classifier(tiny_world.model(), tiny_world.tokenizer, config, "tiny")


def test_a_word_s_effect_is_what_the_verdict_loses_without_it(classifier: Classifier) -> None:
    effects = classifier.leave_one_out("a  good film , slow and\tdull")
    whole, without = classifier.predict(["a good film , slow and dull", "a film , slow and dull"])
    assert list(effects.words) == ["a", "good", "film", ",", "slow", "and", "dull"]
    assert (effects.label, effects.probability) == (whole.label, pytest.approx(whole.probability, abs=1e-6))
    assert effects.effects.shape == (7,)
    assert effects.effects[1] == pytest.approx(whole.probability - without.probabilities[whole.label], abs=1e-6)
    assert effects.strongest == effects.words[int(np.argmax(effects.effects))]


def test_the_words_of_the_effects_name_each_word_with_its_sign(classifier: Classifier) -> None:
    said = str(classifier.leave_one_out("good film"))
    assert said.startswith(("negative with probability 0.", "positive with probability 0."))
    assert re.search(r": good [+-]0\.\d\d, film [+-]0\.\d\d$", said)


@pytest.mark.parametrize("text", ["film", " ", ""])
def test_a_text_without_two_words_has_none_to_leave_out(classifier: Classifier, text: str) -> None:
    with pytest.raises(UsageError, match="wanted two"):
        classifier.leave_one_out(text)


DAMAGED = {
    "": "not readable as JSON",
    '{"max_length": 12': "not readable as JSON",
    "\x00": "not readable as JSON",
    "[" * 100_000: "not readable as JSON",
    "[]": "holds no settings by name",
    "null": "holds no settings by name",
    "128": "holds no settings by name",
    '{"max_length": 128, "truncation": "head", "stride": 3}': "stride is none of its settings",
    '{"max_lenght": 128}': "max_lenght is none of its settings; did you mean max_length?",
    '{"device": "cpu"}': "device is none of its settings",
    '{"max_length": "128"}': "max_length = '128' is str; wanted int",
    '{"max_length": null}': "max_length = None",
    '{"max_length": NaN}': "max_length = nan",
    '{"max_length": -1}': "max_length = -1 is out of range",
    '{"max_length": 129}': "max_length = 129 is more than the 128 positions",
    '{"max_length": 128, "max_length": 4}': "max_length stands there twice",
    '{"truncation": "middle"}': "truncation = 'middle' is none of head",
    '{"truncation": ["head"]}': "truncation = ['head'] is list",
}


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_a_damaged_file_beside_the_weights_is_named_in_one_line(
    content: str, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    (folder / "labkit.json").write_text(content)
    with pytest.raises(ModelError) as refused:
        Classifier.load(folder, device="cpu")
    said = str(refused.value)
    assert DAMAGED[content] in said and str(folder / "labkit.json") in said and "\n" not in said
    assert "positions" in said or "wanted {" in said  # the way out
    assert refused.value.exit_code == 2


@pytest.mark.parametrize("kept", [{"max_length": 16, "truncation": "tail"}, {"max_length": 16}, {}])
def test_what_the_file_beside_the_weights_leaves_out_is_as_by_default(
    kept: dict[str, Any], tiny_folder: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    (folder / "labkit.json").write_text(json.dumps(kept))
    config = Classifier.load(folder, device="cpu").config
    wanted = {"max_length": 128, "truncation": "head"} | kept
    assert {"max_length": config.max_length, "truncation": config.truncation} == wanted

"""Laws of a classifier that is asked which words its verdict needs."""

import re
from typing import Any

import numpy as np
import pytest

from labkit.errors import UsageError
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

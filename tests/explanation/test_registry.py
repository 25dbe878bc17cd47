"""Laws of the registry of methods: a method is one entry and its function, and naming the methods costs nothing."""

import os
import subprocess
import sys

import numpy as np
import pytest
from explaining import add_method

from labkit.explanation.agreement import measure_agreement
from labkit.explanation.faithfulness import measure_faithfulness
from labkit.explanation.methods import AttributionInputs, TokenScores, explain
from labkit.explanation.randomisation import randomisation_check
from labkit.explanation.registry import DEFAULT, METHODS
from labkit.figures import (
    agreement_figure,
    attribution_bars,
    attribution_grid,
    faithfulness_curves,
    randomisation_curves,
)


@pytest.mark.parametrize("name", METHODS)
def test_the_function_of_every_method_is_there(name: str) -> None:
    assert callable(METHODS[name].compute)


def test_the_default_is_a_method() -> None:
    assert DEFAULT in METHODS


def test_every_method_has_a_colour_of_its_own() -> None:
    assert len({method.colour for method in METHODS.values()}) == len(METHODS)


def test_a_new_method_is_one_entry_and_its_function(monkeypatch, tiny_world) -> None:
    def lengths(inputs: AttributionInputs) -> list[TokenScores]:
        return [TokenScores(np.array([len(token) for token in one.tokens], dtype=float)) for one in inputs.texts]

    add_method(monkeypatch, "length", lengths, is_signed=False, unit="letters", colour="#123456")
    model, tokenizer = tiny_world.model(), tiny_world.tokenizer
    texts = [text for text in tiny_world.texts if len(text.split()) > 5][:3]
    found = explain(model, tokenizer, texts, ["length", DEFAULT], steps=(1,))
    assert "length: " in str(found) and "letters" in found.to_page() and found[0].as_dict()["unit"] == "letters"
    assert attribution_bars(found[0]).get_xlabel() == "letters"
    attribution_grid(found[:2])
    agreement_figure(measure_agreement(found))
    curves = faithfulness_curves(measure_faithfulness(model, tokenizer, found, fractions=(0.5,)))
    assert "#123456" in {line.get_color() for line in curves.lines}
    randomisation_curves(randomisation_check(model, tokenizer, texts, "length", cascading=False))


def test_the_methods_are_named_without_torch_or_numpy() -> None:
    code = "import sys, labkit.explanation.registry; print({'torch', 'numpy', 'matplotlib'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, check=True)
    assert shown.stdout.strip() == "set()"

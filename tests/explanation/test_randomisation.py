"""Laws of shuffled weights: an explanation that does not look at them stays."""

import copy

import numpy as np
import pytest
import torch
from explaining import (
    FAMILIES,
    add_method,
    of_family,
)
from torch import nn

from labkit.explanation import randomisation
from labkit.explanation.methods import (
    AttributionInputs,
    TokenScores,
)
from labkit.explanation.randomisation import randomisation_check


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stages_hold_every_parameter_once_from_the_head_to_the_embeddings(family):
    model = of_family(family)
    stages = list(randomisation.stages_of(model))
    found = [id(parameter) for _, parameters in stages for parameter in parameters]
    assert sorted(found) == sorted(id(parameter) for parameter in model.parameters())
    names = [name for name, _ in stages]
    assert names[0] == "head" and names[-1] == "embeddings" and names[1:-1] == sorted(names[1:-1], reverse=True)
    assert id(model.classifier.weight) in {id(parameter) for parameter in stages[0][1]}
    assert id(model.get_input_embeddings().weight) in {id(parameter) for parameter in stages[-1][1]}


def test_shuffling_keeps_a_tensor_s_values_and_moves_them():
    weights = nn.Parameter(torch.arange(60.0).view(6, 10))
    randomisation.shuffle([weights], torch.Generator().manual_seed(0))
    assert not torch.equal(weights, torch.arange(60.0).view(6, 10))
    assert torch.equal(weights.detach().flatten().sort().values, torch.arange(60.0))


def test_an_explanation_that_does_not_look_at_the_weights_stays_when_they_are_shuffled(tiny_world, monkeypatch):
    def longest(inputs: AttributionInputs) -> list[TokenScores]:
        return [TokenScores(np.array([len(token) for token in one.tokens], dtype=float)) for one in inputs.texts]

    add_method(monkeypatch, "longest", longest, is_signed=False)
    model, texts = tiny_world.model(), [text for text in tiny_world.texts if len(text.split()) > 5][:12]
    before = copy.deepcopy(model.state_dict())
    methods = ["longest", "gradient-x-input", "random"]
    found = randomisation_check(model, tiny_world.tokenizer, texts, methods)
    assert found.stages == ("head", "layer 1", "layer 0", "embeddings") and found.n == 12
    last = {row.method: row.similarity.value for row in found.rows if row.stage == "embeddings"}
    assert last["longest"] == pytest.approx(1)
    assert last["gradient-x-input"] < 0.6
    assert abs(last["random"]) < 0.35
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert len(str(found).splitlines()) == 2 + 4 and found._repr_html_().count("<tr>") == 1 + 4


def test_shuffled_all_at_once_there_is_one_stage_and_the_seed_decides(tiny_world):
    model, texts = tiny_world.model(), [text for text in tiny_world.texts if len(text.split()) > 5][:4]
    options = {"methods": "gradient-x-input", "cascading": False}
    rows = [randomisation_check(model, tiny_world.tokenizer, texts, seed=seed, **options).rows for seed in (0, 0, 1)]
    assert [row.stage for row in rows[0]] == ["all weights"]
    assert rows[0] == rows[1] != rows[2]

"""Laws of attention and of rollout, with the Hugging Face model as the oracle."""

import numpy as np
import pytest
import torch
from explaining import FAMILIES, TEXT, encoded, of_family

from labkit.explanation.attention import attention_rollout, attention_weights
from labkit.explanation.attribution import AttributionError
from labkit.explanation.methods import explain


def test_attention_weights_are_those_of_every_layer_and_head(tiny_world):
    eager = tiny_world.model(attention="eager")
    found = attention_weights(eager, tiny_world.tokenizer, TEXT)
    layers = eager.eval()(**encoded(tiny_world.tokenizer, TEXT), output_attentions=True).attentions
    assert (found.layers, found.heads) == (2, 2)
    for layer in range(2):
        assert np.abs(found.of(layer, 1) - layers[layer][0, 1].detach().numpy()).max() < 1e-6
        assert np.abs(found.of(layer) - layers[layer][0].mean(dim=0).detach().numpy()).max() < 1e-6
    assert found.name(-1) == "layer 1, mean of 2 heads"
    with pytest.raises(AttributionError, match="layer 2 is not there"):
        found.of(2)


def test_rollout_multiplies_each_later_layer_from_the_left():
    first = torch.tensor([[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]], dtype=torch.float64)
    second = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]], dtype=torch.float64)
    assert attention_rollout([first, second]).tolist() == [0.5, 0.5, 0.0]
    assert attention_rollout([second, first]).tolist() == [0.5, 0.5, 0.0]
    assert attention_rollout([first, first]).tolist() == [0.25, 0.5, 0.25]


@pytest.mark.parametrize("attentions", [[], [torch.ones(1, 2, 3, 3)], [torch.ones(2, 3, 3), torch.ones(2, 4, 4)]])
def test_rollout_refuses_what_is_no_attention_of_one_text(attentions):
    with pytest.raises(ValueError, match="heads, tokens, tokens"):
        attention_rollout(attentions)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("method", ["attention", "rollout"])
def test_an_encoder_that_returns_no_attention_is_refused_and_the_remedy_works(method, family, tiny_world, capfd):
    model = of_family(family, "sdpa")
    with pytest.raises(AttributionError, match=r'attention="eager".*set_attn_implementation\("eager"\)'):
        explain(model, tiny_world.tokenizer, TEXT, method)
    with pytest.raises(AttributionError, match="sdpa"):
        attention_weights(model, tiny_world.tokenizer, TEXT)
    model.set_attn_implementation("eager")
    assert len(explain(model, tiny_world.tokenizer, TEXT, method)) == 1
    assert capfd.readouterr() == ("", "")

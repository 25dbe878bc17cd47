"""Laws of gradients: how far two sets differ hangs on no unit, and looking at their sizes leaves no trace."""

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from traces import assert_no_trace, trace_of

from labkit.data.batching import Batch, Batcher
from labkit.data.tokens import tokenize
from labkit.models.encoders import freeze
from labkit.training.gradients import GradientSizes, gradient_difference, gradient_sizes, gradients_of
from labkit.training.loop import accumulate_gradients

if TYPE_CHECKING:
    from conftest import TinyWorld

law = settings(max_examples=40, deadline=None)


@pytest.fixture(scope="module")
def batch(tiny_world: "TinyWorld") -> Batch:
    batcher = Batcher(tokenize(tiny_world.texts, tiny_world.tokenizer, 24), tiny_world.labels, "dynamic")
    return batcher.batch(range(32))


# --- how far two ways differ --------------------------------------------------------------------------------------


def test_gradients_are_copies_and_only_those_that_are_there(tiny_world, batch):
    model = tiny_world.model()
    freeze(model, "embeddings")
    model(**batch).loss.backward()
    found = gradients_of(model)
    assert set(found) == {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    model.zero_grad(set_to_none=False)
    assert all(float(gradient.abs().max()) > 0 for name, gradient in found.items() if "key.bias" not in name)


@pytest.mark.parametrize(("dtype", "rounding"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_it_tells_the_right_accumulation_from_the_mean_of_the_means(dtype, rounding, tiny_world, batch):
    model = tiny_world.model().to(dtype)
    model(**batch).loss.backward()
    whole = gradients_of(model)
    pieces = [batch.batcher.batch(range(*ends)) for ends in ((0, 16), (16, 24), (24, 29), (29, 32))]
    accumulate_gradients(model, pieces)
    assert 0 < gradient_difference(whole, gradients_of(model)) < rounding
    model.zero_grad()
    for piece in pieces:
        (model(**piece).loss / len(pieces)).backward()
    assert gradient_difference(whole, gradients_of(model)) > 1e-2


@law
@given(st.lists(st.floats(-10, 10), min_size=1, max_size=5), st.floats(1e-3, 1e3), st.floats(-0.5, 0.5))
def test_the_difference_is_a_share_so_no_unit_matters(values, unit, share):
    one = {"a": torch.tensor(values, dtype=torch.float64), "b": torch.ones(2, dtype=torch.float64)}
    other = {"a": one["a"] * (1 + share), "b": one["b"]}
    assert gradient_difference(one, one) == 0
    wanted = abs(share) if float(one["a"].abs().max()) > 1e-3 else None
    found = gradient_difference(one, other)
    assert wanted is None or found == pytest.approx(wanted, abs=1e-12)
    scaled = [{name: unit * gradient for name, gradient in each.items()} for each in (one, other)]
    assert gradient_difference(*scaled) == pytest.approx(found, rel=1e-6, abs=1e-12)


def test_the_rounding_of_a_gradient_that_is_truly_zero_is_no_difference():
    one = {"weight": torch.tensor([3.0]), "key.bias": torch.tensor([1e-12])}
    other = {"weight": torch.tensor([3.0]), "key.bias": torch.tensor([-1e-12])}
    assert gradient_difference(one, other) < 1e-5


def test_what_overflowed_is_infinitely_far():
    one = {"weight": torch.tensor([3.0])}
    for odd in (math.inf, math.nan):
        assert gradient_difference(one, {"weight": torch.tensor([odd])}) == math.inf


def test_gradients_of_different_models_are_refused_by_name():
    assert gradient_difference({}, {}) == 0
    with pytest.raises(ValueError, match="only one of the two has head"):
        gradient_difference({"head": torch.ones(1)}, {})


# --- how large gradients are --------------------------------------------------------------------------------------


@law
@given(st.lists(st.floats(2.0**-40, 2.0**10), min_size=1, max_size=20), st.integers(0, 20))
def test_what_is_lost_in_fp16_is_what_torch_rounds_to_zero(values, exponent):
    scale = 2.0**exponent
    wanted = float((torch.tensor(values, dtype=torch.float64).mul(scale).half() == 0).double().mean())
    assert GradientSizes(np.array(values)).lost_in_fp16(scale) == wanted


@pytest.mark.parametrize("value", [2.0**-24, 2.0**-25, 2.0**-25 * 1.001, 2.0**-26])
def test_the_edge_of_fp16_is_torchs(value):
    assert GradientSizes(np.array([value])).lost_in_fp16() == float(
        torch.tensor(value, dtype=torch.float64).half() == 0
    )


def test_the_sizes_are_those_of_what_flows_back_through_each_linear_layer(tiny_world, batch):
    model = tiny_world.model()
    outputs = []
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            layer.register_forward_hook(lambda layer, inputs, output: outputs.append(output))
    loss = model(**batch).loss
    wanted = torch.cat([gradient.flatten() for gradient in torch.autograd.grad(loss, outputs)]).abs()
    found = np.sort(gradient_sizes(model, batch).sizes)
    np.testing.assert_allclose(found, np.sort(wanted[wanted != 0].double().numpy()), rtol=1e-4, atol=1e-12)


def test_looking_at_the_sizes_leaves_no_trace(tiny_world, batch):
    model = tiny_world.model(dropout=0.5)
    model.bert.eval()
    before = trace_of(model)
    gradient_sizes(model, batch)
    assert_no_trace(model, before)


def test_a_model_through_which_nothing_flows_has_no_sizes(tiny_world, batch):
    found = gradient_sizes(nn_without_linear(), batch)
    assert (len(found.sizes), found.lost_in_fp16(), str(found)) == (0, 0.0, "no number that is not zero")


def nn_without_linear() -> nn.Module:
    """A model whose loss hangs on one number and no linear layer."""

    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(2.0))

        def forward(self, **batch: torch.Tensor) -> Any:
            return type("Output", (), {"loss": self.weight**2, "logits": self.weight})

    return Bare()

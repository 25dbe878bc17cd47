"""Laws of looking at a model without training it."""

from typing import Any

import pytest
import torch
from torch import nn

from labkit.models.evaluation_mode import evaluation_mode


@pytest.fixture
def model() -> Any:
    """A network with dropout whose modules stand in different modes and of whose weights some are frozen."""
    network = nn.Sequential(nn.Linear(8, 8), nn.Dropout(0.5), nn.Linear(8, 1), nn.Dropout(0.5)).train()
    network[1].eval()
    network[0].weight.requires_grad_(False)
    return network


def state(model: nn.Module) -> list[bool]:
    return [*(module.training for module in model.modules()), *(weight.requires_grad for weight in model.parameters())]


@pytest.mark.parametrize("input_gradients", [False, True])
def test_every_module_and_weight_is_as_it_was_afterwards_also_where_the_block_fails(model, input_gradients):
    before = state(model)
    with evaluation_mode(model, input_gradients=input_gradients):
        assert not any(module.training for module in model.modules())
    assert state(model) == before and torch.is_grad_enabled()
    with pytest.raises(KeyError), evaluation_mode(model, input_gradients=input_gradients):
        raise KeyError
    assert state(model) == before and torch.is_grad_enabled()


def test_nothing_is_dropped_and_no_gradient_is_recorded(model):
    inputs = torch.ones(4, 8, requires_grad=True)
    with evaluation_mode(model):
        first, second = model(inputs), model(inputs)
        assert model[2].weight.requires_grad, "autocast keeps its copy of such a weight only"
    assert torch.equal(first, second) and not first.requires_grad


def test_with_input_gradients_they_flow_to_the_inputs_and_to_no_weight(model):
    inputs = torch.ones(4, 8, requires_grad=True)
    with evaluation_mode(model, input_gradients=True):
        model(inputs).sum().backward()
    assert inputs.grad is not None and inputs.grad.any()
    assert all(weight.grad is None for weight in model.parameters())
    with torch.no_grad(), evaluation_mode(model, input_gradients=True):
        assert not model(inputs).requires_grad, "the caller wanted none"


def test_a_look_inside_a_look_leaves_the_outer_one_as_it_was(model):
    inputs, before = torch.ones(4, 8, requires_grad=True), state(model)
    with evaluation_mode(model, input_gradients=True):
        with evaluation_mode(model):
            assert not model(inputs).requires_grad
        assert model(inputs).requires_grad and not model.training and not model[2].weight.requires_grad
    assert state(model) == before

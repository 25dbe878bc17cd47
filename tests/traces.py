"""What looking at a model must leave as it was."""

from typing import Any

import torch
from torch import nn


def trace_of(model: nn.Module) -> dict[str, Any]:
    """All that a measurement must leave alone."""
    return {
        "weights": [parameter.detach().clone() for parameter in model.parameters()],
        "gradients": [parameter.grad for parameter in model.parameters()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(module._backward_hooks) for module in model.modules()],
        "random state": torch.get_rng_state(),
    }


def assert_no_trace(model: nn.Module, before: dict[str, Any]) -> None:
    after = trace_of(model)
    assert all(torch.equal(*pair) for pair in zip(before.pop("weights"), after.pop("weights"), strict=True))
    assert torch.equal(before.pop("random state"), after.pop("random state"))
    assert after == before | {"gradients": [None] * len(after["gradients"])}

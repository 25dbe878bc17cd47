"""A model's gradients: copies, how far two sets differ, how large they are.

Computes them with loop.py. Does not measure what a step costs (step_costs.py).
"""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from labkit.training.loop import accumulate_gradients

if TYPE_CHECKING:
    from labkit.data.batching import Batch

FP16_SMALLEST = 2.0**-24  # above 0; half of it and less becomes 0


def gradients_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every gradient that is there, by the name of its parameter."""
    named = model.named_parameters()
    return {name: parameter.grad.detach().clone() for name, parameter in named if parameter.grad is not None}


def gradient_difference(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """Return the largest difference, relative to the largest number of its tensor.

    A tensor whose numbers are all below 1e-6 of the norm of all gradients is measured by that norm: some gradients are
    truly zero, and of those only rounding is left. Raises ValueError where the two are not of the same parameters.

    >>> gradient_difference({"weight": torch.tensor([1.0, 4.0])}, {"weight": torch.tensor([1.0, 3.0])})
    0.25
    """
    if one.keys() != other.keys():
        odd = ", ".join(sorted(one.keys() ^ other.keys()))
        raise ValueError(f"wanted gradients of the same parameters; only one of the two has {odd}")
    if not one:
        return 0.0
    norm = float(torch.stack([_exact(gradient).norm() for gradient in one.values()]).norm())
    worst = 0.0
    for name, gradient in one.items():
        exact = _exact(gradient)
        difference, largest = float((exact - _exact(other[name])).abs().max()), float(exact.abs().max())
        if not math.isfinite(difference):  # fp16 can overflow
            return math.inf
        if difference:
            worst = max(worst, difference / (largest if largest > 1e-6 * norm else norm))
    return worst


def _exact(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.cpu().double()  # in this order: Apple's GPUs have no float64


@dataclass(frozen=True, eq=False)
class GradientSizes:
    """How large the numbers are that flow back through a model.

    sizes: (n,) float64, magnitudes without the zeros.
    """

    sizes: NDArray[np.float64]

    def lost_in_fp16(self, scale: float = 1.0) -> float:
        """Return the share that fp16 rounds to 0 after multiplication by `scale`.

        It is 0.0 where there are no numbers.

        >>> GradientSizes(np.array([1e-9, 1e-3])).lost_in_fp16(), GradientSizes(np.array([1e-9, 1e-3])).lost_in_fp16(1024)
        (0.5, 0.0)
        """
        return float((self.sizes * scale <= FP16_SMALLEST / 2).mean()) if len(self.sizes) else 0.0

    def __str__(self) -> str:
        if not len(self.sizes):
            return "no number that is not zero"
        low, middle, high = (float(value) for value in np.quantile(self.sizes, (0, 0.5, 1)))
        return (
            f"{len(self.sizes):,} numbers that are not zero, from {low:.1e} to {high:.1e}, the middle one {middle:.1e}"
        )

    __repr__ = __str__


def gradient_sizes(model: nn.Module, batch: "Batch") -> GradientSizes:
    """Return the magnitudes of the loss's gradients at the linear layers' outputs.

    They are computed in fp32. These are what flows back through the layers, and what half precision has to hold. The
    model's own gradients are dropped.
    """
    seen: list[torch.Tensor] = []

    def keep(layer: nn.Module, inputs: Any, outputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(outputs[0][outputs[0] != 0].detach().abs().cpu())

    hooks = [layer.register_full_backward_hook(keep) for layer in model.modules() if isinstance(layer, nn.Linear)]
    try:
        with fixed_dropout(next(model.parameters()).device):
            accumulate_gradients(model, [batch])
    finally:
        for hook in hooks:
            hook.remove()
        model.zero_grad(set_to_none=True)
    return GradientSizes(torch.cat(seen).double().numpy() if seen else np.empty(0))


@contextmanager
def fixed_dropout(device: torch.device) -> Iterator[None]:
    """Within the block dropout draws the same masks each time.

    Afterwards the random state is what it was before.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        yield

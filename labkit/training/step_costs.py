"""What a training step costs in time and memory, how far two ways to compute one differ, and how large its gradients are.

Measures the device at hand; estimates nothing (memory.py) and runs nothing out of memory (limited_memory.py).
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from labkit.display import html_table
from labkit.training.fit import accumulate_gradients
from labkit.training.precision import PRECISIONS, Precision, make_precision

if TYPE_CHECKING:
    from labkit.data.batching import Batch

FP16_SMALLEST = 2.0**-24  # above 0; half of it and less becomes 0
MILLION = 10**6


# --- how far two ways differ --------------------------------------------------------------------------------------


def gradients_of(model: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every gradient that is there, by the name of its parameter."""
    named = model.named_parameters()
    return {name: parameter.grad.detach().clone() for name, parameter in named if parameter.grad is not None}


def gradient_difference(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """How far two sets of gradients lie apart: the largest difference, relative to the largest number of its tensor.

    A tensor whose numbers are all below 1e-6 of the norm of all gradients is measured by that norm: some gradients are truly
    zero, and of those only rounding is left. Raises ValueError where the two are not of the same parameters.

    >>> gradient_difference({"weight": torch.tensor([1.0, 4.0])}, {"weight": torch.tensor([1.0, 3.0])})
    0.25
    """
    if one.keys() != other.keys():
        odd = ", ".join(sorted(one.keys() ^ other.keys()))
        raise ValueError(f"wanted gradients of the same parameters; only one of the two has {odd}")
    if not one:
        return 0.0
    norm = float(torch.stack([_exact(gradient).norm() for gradient in one.values()]).norm())
    return max(_relative(_exact(gradient), _exact(other[name]), norm) for name, gradient in one.items())


def _exact(gradient: torch.Tensor) -> torch.Tensor:
    return gradient.cpu().double()  # in this order: Apple's GPUs have no float64


def _relative(one: torch.Tensor, other: torch.Tensor, norm: float) -> float:
    difference, largest = float((one - other).abs().max()), float(one.abs().max())
    if not math.isfinite(difference):  # fp16 can overflow
        return math.inf
    return difference / (largest if largest > 1e-6 * norm else norm) if difference else 0.0


# --- how large gradients are --------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class GradientSizes:
    """How large the numbers are that flow back through a model. sizes: (n,) float64, magnitudes, those of 0 left out."""

    sizes: NDArray[np.float64]

    def lost_in_fp16(self, scale: float = 1.0) -> float:
        """The share that fp16 rounds to 0 when they are multiplied by `scale` first; 0.0 where there are none.

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
    """The magnitudes of the loss's gradients with respect to what each linear layer gives, in fp32.

    These are what flows back through the layers, and what half precision has to hold. The model's own gradients are dropped.
    """
    seen: list[torch.Tensor] = []

    def keep(layer: nn.Module, inputs: Any, outputs: tuple[torch.Tensor, ...]) -> None:
        seen.append(outputs[0][outputs[0] != 0].detach().abs().cpu())

    hooks = [layer.register_full_backward_hook(keep) for layer in model.modules() if isinstance(layer, nn.Linear)]
    try:
        with _fixed_dropout(next(model.parameters()).device):
            accumulate_gradients(model, [batch])
    finally:
        for hook in hooks:
            hook.remove()
        model.zero_grad(set_to_none=True)
    return GradientSizes(torch.cat(seen).double().numpy() if seen else np.empty(0))


# --- what a step costs --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StepCost:
    """One way to compute the gradients of a batch.

    seconds: of a forward and a backward pass, the median. kept_bytes: what the forward pass keeps for the backward pass.
    difference: of its gradients from those of the first way, as a share of their length.
    """

    name: str
    reviews: int
    seconds: float
    kept_bytes: int
    difference: float = 0.0

    @property
    def reviews_per_second(self) -> float:
        """Of the forward and the backward pass together."""
        return self.reviews / self.seconds


@dataclass(frozen=True)
class StepCosts(Sequence[StepCost]):
    """The same batch computed in several ways, on one device."""

    costs: tuple[StepCost, ...]
    device: str
    shape: tuple[int, ...]

    def __getitem__(self, place: Any) -> Any:
        return self.costs[place]

    def __len__(self) -> int:
        return len(self.costs)

    def named(self, name: str) -> StepCost:
        """The way of that name. Raises KeyError where it was not measured."""
        found = [cost for cost in self.costs if cost.name == name]
        if not found:
            raise KeyError(name)
        return found[0]

    @property
    def caption(self) -> str:
        """What was measured, and where."""
        return f"Forward and backward pass of {self.shape[0]} reviews, {self.shape[1]} tokens wide, on {self.device}"

    def __str__(self) -> str:
        return "\n".join([self.caption, *(", ".join(row) for row in self._rows())])

    __repr__ = __str__

    def _rows(self) -> list[list[str]]:
        return [
            [
                cost.name,
                f"{cost.seconds:.3f} s",
                f"{cost.reviews_per_second:,.0f} reviews/s",
                f"{cost.kept_bytes / MILLION:,.1f} MB kept",
                f"{cost.difference:.2%} off" if cost is not self.costs[0] else "the reference",
            ]
            for cost in self.costs
        ]

    def _repr_html_(self) -> str:
        heads = ("precision", "time", "speed", "memory for the backward pass", "gradients")
        return html_table(self.caption, [heads, *self._rows()])


def step_costs(
    model: nn.Module,
    batch: "Batch",
    precisions: Sequence[str] = ("fp32", "bf16"),
    repeats: int = 3,
    patience: float = 5.0,
) -> StepCosts:
    """Time and memory of the batch's forward and backward pass in each precision, where the model is, as it is.

    The gradients are dropped afterwards and nothing is trained; the dropout of each pass is the same. patience: seconds
    after which a precision is not repeated again. Raises ValueError for a name that is no precision.
    """
    device = next(model.parameters()).device
    for name in precisions:
        if name not in PRECISIONS[1:]:
            raise ValueError(f"precision {name!r} is none of {', '.join(PRECISIONS[1:])}")
    costs: list[StepCost] = []
    reference: Mapping[str, torch.Tensor] | None = None
    for name in precisions:
        precision = make_precision(name, device)
        kept = _KeptForBackward(model)
        with _fixed_dropout(device), kept:
            accumulate_gradients(model, [batch], precision)  # the first pass, which also warms up
        gradients = _unscaled(model, precision)
        reference = gradients if reference is None else reference
        seconds = _median_seconds(partial(_step, model, batch, precision), repeats, patience)
        costs.append(
            StepCost(name, len(batch["labels"]), seconds, kept.bytes, _relative_difference(reference, gradients))
        )
    model.zero_grad(set_to_none=True)
    return StepCosts(tuple(costs), str(device), tuple(batch["input_ids"].shape))


def _relative_difference(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """The length of the difference of two sets of gradients, each taken as one long vector, over the length of the first."""
    apart = torch.stack([(gradient - other[name]).double().norm() for name, gradient in one.items()]).norm()
    length = torch.stack([gradient.double().norm() for gradient in one.values()]).norm()
    return float(apart / length)


def _step(model: nn.Module, batch: "Batch", precision: Precision) -> None:
    with _fixed_dropout(precision.device):
        accumulate_gradients(model, [batch], precision)
    if precision.device.type == "cuda":
        torch.cuda.synchronize(precision.device)


def _median_seconds(run: Callable[[], None], repeats: int, patience: float) -> float:
    """The median of at most so many runs, and at least one."""
    begun = time.perf_counter()
    seconds: list[float] = []
    while not seconds or (len(seconds) < repeats and time.perf_counter() - begun < patience):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return median(seconds)


def _unscaled(model: nn.Module, precision: Precision) -> dict[str, torch.Tensor]:
    """Copies of the gradients in their true size."""
    scale = precision.scaler.get_scale() if precision.scaler.is_enabled() else 1.0
    return {name: gradient / scale for name, gradient in gradients_of(model).items()}


@contextmanager
def _fixed_dropout(device: torch.device) -> Iterator[None]:
    """Dropout falls the same way each time, and whoever comes after draws as if nothing had been drawn."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(0)
        yield


class _KeptForBackward(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes that a forward pass keeps for its backward pass: each piece of memory once, weights left out."""

    def __init__(self, model: nn.Module) -> None:
        self.bytes = 0
        self._seen = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        super().__init__(self._count, lambda tensor: tensor)

    def _count(self, tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._seen:
            self._seen.add(storage.data_ptr())
            self.bytes += storage.nbytes()
        return tensor.detach()  # a graph that held its own output would never be let go

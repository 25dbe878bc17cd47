"""What a training step costs in each precision: time, memory, exactness.

Measures the device at hand; estimates nothing (memory.py) and runs nothing out of memory (limited_memory.py).
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from labkit.display import html_table
from labkit.training.gradients import fixed_dropout, gradients_of
from labkit.training.loop import accumulate_gradients
from labkit.training.precision import PRECISIONS, Precision, make_precision

if TYPE_CHECKING:
    from labkit.data.batching import Batch

MILLION = 10**6


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
    """Measure a batch's forward and backward pass in each precision.

    It runs where the model is. The gradients are dropped afterwards and nothing is trained; the dropout of each pass is
    the same. patience: seconds after which a precision is not repeated again. Raises ValueError for a name that is no
    precision.
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
        with fixed_dropout(device), kept:
            accumulate_gradients(model, [batch], precision)  # the first pass, which also warms up
        scale = precision.scaler.get_scale() if precision.scaler.is_enabled() else 1.0
        gradients = {name: gradient / scale for name, gradient in gradients_of(model).items()}  # in their true size
        reference = gradients if reference is None else reference
        seconds = _median_seconds(partial(_step, model, batch, precision), repeats, patience)
        costs.append(
            StepCost(name, len(batch["labels"]), seconds, kept.bytes, _relative_difference(reference, gradients))
        )
    model.zero_grad(set_to_none=True)
    return StepCosts(tuple(costs), str(device), tuple(batch["input_ids"].shape))


def _relative_difference(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> float:
    """Return the norm of the difference of two sets over the norm of the first."""
    apart = torch.stack([(gradient - other[name]).double().norm() for name, gradient in one.items()]).norm()
    length = torch.stack([gradient.double().norm() for gradient in one.values()]).norm()
    return float(apart / length)


def _step(model: nn.Module, batch: "Batch", precision: Precision) -> None:
    with fixed_dropout(precision.device):
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


class _KeptForBackward(torch.autograd.graph.saved_tensors_hooks):
    """Counts the bytes that a forward pass keeps for its backward pass.

    Each piece of memory counts once, and weights do not.
    """

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

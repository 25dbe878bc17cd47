"""Gradients from CUDA graphs: one launch for a whole forward and backward pass.

A small encoder's pass is about a thousand short kernels, and the host takes longer to launch them one by one than the GPU
takes to run them. A graph is recorded for a shape of micro-batch that comes again, and replayed whenever it does; length
buckets keep the shapes few. What is computed stays the same. Does not train (fit.py).
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from labkit.data.batching import loss_terms
from labkit.training.memory import put_back, random_state

if TYPE_CHECKING:
    from labkit.training.precision import Precision

MicroBatch = Mapping[str, torch.Tensor]
Shapes = tuple[tuple[str, torch.Size], ...]


class GraphedGradients:
    """Computes the gradients of one optimizer step from CUDA graphs where it can.

    It has the signature and the effect of the `accumulate` that it wraps, the plain way; a loss out of a graph is a
    tensor, unread. A step with a new shape goes the plain way, for a shape that never comes again is not worth recording.
    So do all steps after one in which a graph failed, mostly for want of memory: its own comes on top of the plain way's.
    Another model, or one whose parameters lie elsewhere or are frozen since, begins anew; probabilities of dropout must
    stay.
    """

    def __init__(self, accumulate: Callable[..., float], tell: Callable[[str], None] = lambda notice: None) -> None:
        self.accumulate = accumulate
        self.tell = tell
        self._given_up = False
        self._asked: tuple[object, ...] = ()
        self._known: set[Shapes] = set()
        self._used: list[nn.Parameter] = []  # those that got a gradient: the others must stay without one
        self._graphs: _Graphs | None = None

    def __call__(
        self, model: nn.Module, micro_batches: Iterable[MicroBatch], precision: "Precision"
    ) -> float | torch.Tensor:
        """Return the mean loss over all examples; every gradient is that of this mean."""
        batches = list(micro_batches)
        if self._given_up:
            return self.accumulate(model, batches, precision)
        # What a graph takes for granted: where the weights lie, and which of them learn.
        weights = ((parameter.data_ptr(), parameter.requires_grad) for parameter in model.parameters())
        if (asked := (precision.name, model.training, *weights)) != self._asked:
            self._asked, self._known, self._graphs = asked, set(), None
        before = random_state(precision.device)
        try:
            return self._gradients_of(model, batches, precision)
        except RuntimeError as error:
            if self._graphs is None:
                raise
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
        # outside the handler, since the traceback holds on to the tensors that filled the memory
        self._give_up(model, why)
        put_back(before, precision.device)
        return self.accumulate(model, batches, precision)

    def _gradients_of(
        self, model: nn.Module, batches: list[MicroBatch], precision: "Precision"
    ) -> float | torch.Tensor:
        shapes = {shapes_of(batch) for batch in batches}
        if shapes <= self._known:
            self._graphs = self._graphs or _Graphs(model, self._used, precision)
            return self._graphs.gradients_of(batches)
        loss = self.accumulate(model, batches, precision)
        self._known |= shapes  # now that the step is done: had it failed, nobody would know what is used
        self._used = [parameter for parameter in model.parameters() if parameter.grad is not None]
        return loss

    def _give_up(self, model: nn.Module, why: str) -> None:
        self._given_up, self._graphs = True, None
        model.zero_grad(set_to_none=True)
        torch.cuda.empty_cache()
        self.tell(f"CUDA graphs are off for the rest of this run ({why}); training goes on without them, more slowly")


@dataclass(frozen=True)
class _Graph:
    graph: torch.cuda.CUDAGraph
    inputs: MicroBatch  # on the device, where the graph reads them


class _Graphs:
    """The graphs of one model, one for each shape.

    All add to the same gradients and the same loss.
    """

    def __init__(self, model: nn.Module, parameters: list[nn.Parameter], precision: "Precision") -> None:
        self.model, self.precision = model, precision
        self.gradients = {parameter: torch.zeros_like(parameter) for parameter in parameters}
        self.share, self.loss = torch.zeros(2, device=precision.device).unbind()
        self.pool = torch.cuda.graph_pool_handle()  # replayed one after the other, they can share their memory
        self.graphs: dict[Shapes, _Graph] = {}

    def gradients_of(self, batches: list[MicroBatch]) -> torch.Tensor:
        """The mean loss over all examples, on the device."""
        total = sum(map(loss_terms, batches))
        for parameter, gradient in self.gradients.items():
            parameter.grad = gradient
        torch._foreach_zero_([self.loss, *self.gradients.values()])
        for batch in batches:
            graph = self.graphs.get(shapes_of(batch)) or self._record(batch)
            for name, tensor in batch.items():
                graph.inputs[name].copy_(tensor.pin_memory(), non_blocking=True)
            self.share.fill_(loss_terms(batch) / total)
            graph.graph.replay()
        return self.loss.clone()

    def _record(self, batch: MicroBatch) -> _Graph:
        """Recording runs nothing, so it changes neither gradients nor loss."""
        made = _Graph(
            torch.cuda.CUDAGraph(), {name: tensor.to(self.precision.device) for name, tensor in batch.items()}
        )
        # The outer context brings the stream back where recording fails, which the inner one does not.
        with (
            torch.cuda.stream(torch.cuda.current_stream()),
            torch.cuda.graph(made.graph, pool=self.pool, capture_error_mode="thread_local"),
        ):
            with self.precision.autocast():
                loss = self.model(**made.inputs).loss * self.share
            self.precision.scaler.scale(loss).backward()
            self.loss += loss.detach()
        self.graphs[shapes_of(batch)] = made
        return made


def shapes_of(batch: MicroBatch) -> Shapes:
    """What two batches must have in common to share a graph."""
    return tuple((name, tensor.shape) for name, tensor in batch.items())

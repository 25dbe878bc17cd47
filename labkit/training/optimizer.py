"""AdamW that leaves embedding rows alone until a step reads them.

A batch of reviews uses a few hundred of the 30,522 rows of BERT's word embedding, and AdamW sweeps them all: a row
without a gradient still decays, and still moves by what is left of its moments. Both are known beforehand, so they can
wait until the row is read. Nothing else about AdamW is changed (loop.py has the loop).
"""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def make_optimizer(model: nn.Module, learning_rate: float, weight_decay: float) -> "LazyAdamW":
    """Make AdamW, in its fused form where the device has it.

    That is one sweep over each parameter in place of a dozen.
    """
    devices = {parameter.device.type for parameter in model.parameters()}
    groups = parameter_groups(model, weight_decay)
    return LazyAdamW(groups, lr=learning_rate, fused=devices <= {"cpu", "cuda"})


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Two groups for AdamW: matrices decay, biases and LayerNorm weights (at most one dimension) do not.

    Each trainable parameter stands in exactly one group, frozen ones in none.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [parameter for parameter in trainable if parameter.dim() > 1], "weight_decay": weight_decay},
        {"params": [parameter for parameter in trainable if parameter.dim() <= 1], "weight_decay": 0.0},
    ]


def clip_gradients(parameters: Iterable[nn.Parameter], max_norm: float) -> torch.Tensor:
    """Scale all gradients to a norm of at most `max_norm`; return their norm before.

    What `nn.utils.clip_grad_norm_` does, for sparse gradients too, which that does not read.
    """
    values = [_values(parameter) for parameter in parameters if parameter.grad is not None]
    norm = nn.utils.get_total_norm(values)
    scale = torch.clamp(max_norm / (norm + 1e-6), max=1.0)
    # A norm of NaN makes every gradient NaN. On a GPU to ask would mean to wait for it.
    if values and (norm.device.type != "cpu" or float(scale) != 1.0):
        torch._foreach_mul_(values, scale)
    return norm


def _values(parameter: nn.Parameter) -> torch.Tensor:
    """The gradient, or of a sparse one the rows that are there, each once."""
    assert parameter.grad is not None
    if not parameter.grad.is_sparse:
        return parameter.grad
    parameter.grad = parameter.grad.coalesce()
    return parameter.grad._values()  # values() would be a copy that no longer belongs to the gradient


# The step that last moved each row; and of each step, what the rows that it moved last wait for.
_WAITING = ("row_steps", "waits")
_ROWS_AT_ONCE = 1024  # small enough to stay in the cache
_NO_WAIT = (1.0, 0.0, 0.0)  # decay, moved, and moved x spread


class LazyAdamW(torch.optim.AdamW):
    """AdamW to which an embedding may give sparse gradients (see `lazy`).

    Without that it is torch's AdamW. Of an embedding's rows that wait, step `s` being the last that moved them, steps s+1
    to t would have made ``p * decay - moved * m / (sqrt(v) + eps * spread)``, with three numbers that are the same for
    all rows of equal `s`; they are kept up to date for each `s` (Kingma & Ba 2015, alg. 1, summed over the steps;
    Loshchilov & Hutter 2019 for the decay). Only `spread` is an approximation, a mean over these steps. It counts where
    the gradients of a row are as small as eps (1e-8), and then for less than a tenth of one step; otherwise the weights
    are AdamW's but for rounding.
    """

    @contextmanager
    def lazy(self, embedding: nn.Embedding) -> Iterator[None]:
        """While the block runs, this embedding's rows wait until they are read.

        Its gradients are sparse. Reading is to call the module, in training or evaluation; who reads the weights
        themselves calls `catch_up` before. At the end every row is caught up.
        """
        weight = embedding.weight
        if not weight.requires_grad:
            yield
            return
        hook = embedding.register_forward_pre_hook(lambda module, inputs: self._catch_up(weight, inputs[0].unique()))
        embedding.sparse = True
        try:
            yield
        finally:
            hook.remove()
            embedding.sparse = False
            self.catch_up()
            for name in _WAITING:
                self.state.get(weight, {}).pop(name, None)

    @torch.no_grad()
    def catch_up(self) -> None:
        """Give every waiting row the weights that plain AdamW would have given it by now."""
        for parameter, state in self.state.items():
            if "row_steps" in state:
                late = (state["row_steps"] < int(state["step"])).nonzero()[:, 0]
                for rows in late.split(_ROWS_AT_ONCE):
                    self._catch_up(parameter, rows)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]  # torch has overloads
        """One step; of parameters with sparse gradients only the rows that have one move."""
        sparse = [
            (parameter, group)
            for group in self.param_groups
            for parameter in group["params"]
            if "row_steps" in self.state.get(parameter, ()) or (parameter.grad is not None and parameter.grad.is_sparse)
        ]
        gradients = [parameter.grad for parameter, _ in sparse]
        for parameter, _ in sparse:
            parameter.grad = None
        loss: float | None = super().step(closure)
        for (parameter, group), gradient in zip(sparse, gradients, strict=True):
            parameter.grad = gradient
            if gradient is not None:
                self._step_rows(parameter, gradient, group)
        return loss

    def _step_rows(self, parameter: torch.Tensor, gradient: torch.Tensor, group: dict[str, Any]) -> None:
        state = self.state[parameter]
        if "row_steps" not in state:
            self._begin(parameter, state)
        gradient = gradient.coalesce() if gradient.is_sparse else gradient.to_sparse(1)
        rows, values = gradient.indices()[0], gradient.values()
        self._catch_up(parameter, rows)
        step, (beta1, beta2) = int(state["step"]) + 1, group["betas"]
        rate, decay = float(group["lr"]), group["weight_decay"]
        mean = torch.lerp(state["exp_avg"][rows], values, 1 - beta1)
        square = (state["exp_avg_sq"][rows] * beta2).addcmul_(values, values, value=1 - beta2)
        size = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        moved = (parameter[rows] * (1 - rate * decay)).addcdiv_(mean, size, value=-rate / (1 - beta1**step))
        for whole, part in ((parameter, moved), (state["exp_avg"], mean), (state["exp_avg_sq"], square)):
            whole.index_copy_(0, rows, part)
        state["row_steps"].index_fill_(0, rows, step)
        state["step"] += 1
        state["waits"] = _one_more_step(state["waits"], step, rate, decay, beta1, beta2)

    def _begin(self, parameter: torch.Tensor, state: dict[str, Any]) -> None:
        for name in ("exp_avg", "exp_avg_sq"):
            state.setdefault(name, torch.zeros_like(parameter))
        state.setdefault("step", torch.tensor(0.0))
        steps = int(state["step"])
        # In the parameter's own dtype, to which Optimizer.load_state_dict would change them.
        state["row_steps"] = torch.full((len(parameter),), steps, dtype=parameter.dtype)
        state["waits"] = torch.tensor([_NO_WAIT], dtype=parameter.dtype).repeat(steps + 1, 1)

    @torch.no_grad()
    def _catch_up(self, parameter: torch.Tensor, rows: torch.Tensor) -> None:
        state = self.state.get(parameter, {})
        if "row_steps" not in state:
            return
        steps = state["row_steps"][rows]
        step = int(state["step"])
        late = steps < step
        rows, steps = rows[late], steps[late]
        if not len(rows):
            return
        (group,) = [group for group in self.param_groups if any(parameter is other for other in group["params"])]
        beta1, beta2 = group["betas"]
        decay, moved, spread = state["waits"][steps.long()][:, :, None].unbind(1)
        spread = torch.where(moved > 0, spread / moved, 1.0)
        mean, square = state["exp_avg"][rows], state["exp_avg_sq"][rows]
        size = square.sqrt().add_(spread * group["eps"])
        parameter.index_copy_(0, rows, parameter[rows] * decay - moved * mean / size)
        passed = (step - steps)[:, None]
        state["exp_avg"].index_copy_(0, rows, mean * beta1**passed)
        state["exp_avg_sq"].index_copy_(0, rows, square * beta2**passed)
        state["row_steps"].index_fill_(0, rows, step)


def _one_more_step(
    waits: torch.Tensor, step: int, rate: float, decay: float, beta1: float, beta2: float
) -> torch.Tensor:
    """Return what rows wait for after one more step that did not move them.

    waits: one row for each step that may have moved a row last.
    """
    passed = step - torch.arange(step, dtype=waits.dtype)
    spread = math.sqrt(1 - beta2**step) * beta2 ** (-passed / 2)
    moved = rate * beta1**passed / (1 - beta1**step) * spread
    waits = waits * (1 - rate * decay)
    waits[:, 1] += moved
    waits[:, 2] += moved * spread
    return torch.cat([waits, waits.new_tensor([_NO_WAIT])])

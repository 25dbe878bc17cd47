"""Memory: what a batch needs, what is free, and what to do when it does not fit.

The remedy is the one that the course teaches: halve the micro-batch, accumulate twice as many. Does not compute gradients
itself (loop.py); it is handed the function that does.
"""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.data.batching import Batch
from labkit.errors import LabkitError, UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from labkit.training.precision import Precision

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}
_CGROUPS = (  # limit and use of the memory of this process's control group, version 2 and version 1
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


class OutOfMemory(LabkitError):
    """Not even one review fits; the text says what would make it fit."""


def parse_bytes(text: str) -> int:
    """A size such as `800M` or `2G` in bytes. Raises UsageError for anything else.

    >>> parse_bytes("2G")
    2147483648
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", text, re.IGNORECASE)
    if not match:
        raise UsageError(f"LABKIT_MEMORY_LIMIT {text!r} is no size; wanted a number with K, M or G, such as 2G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def free_memory() -> int:
    """Return the bytes that this process may still take.

    That is the least of free memory and what its control group and LABKIT_MEMORY_LIMIT leave.
    """
    import psutil

    rests = [psutil.virtual_memory().available]
    rests += [rest for limit, used in _CGROUPS if (rest := _cgroup_rest(Path(limit), Path(used))) is not None]
    if limit := os.environ.get("LABKIT_MEMORY_LIMIT"):
        rests.append(parse_bytes(limit) - psutil.Process().memory_info().rss)
    return max(0, min(rests))


def _cgroup_rest(limit: Path, used: Path) -> int | None:
    """Return what a control group leaves, the memory of cached files included.

    They count as used, though the kernel drops them before it kills anybody.
    """
    stat = limit.parent / "memory.stat"
    try:
        rows = dict(line.split() for line in stat.read_text().splitlines()) if stat.is_file() else {}
        reclaimable = int(rows.get("total_inactive_file", rows.get("inactive_file", 0)))
        return int(limit.read_text()) - int(used.read_text()) + reclaimable
    except (OSError, ValueError):  # no such control group, or its limit is the word "max"
        return None


def state_bytes(model: "torch.nn.Module") -> int:
    """Return the bytes of gradients and of AdamW's two moments.

    They are 12 for each trainable fp32 parameter; the weights are there already.
    """
    return 12 * sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def activation_bytes(model: "PreTrainedModel", reviews: int, length: int) -> int:
    """Bytes that the backward pass of one micro-batch keeps, in fp32.

    Twice the half-precision count of Korthikanti et al. (2022, eq. 1): per layer 68 values of the hidden width a token, and
    10 for each pair of tokens and each head.
    """
    config = model.config.get_text_config()
    tokens = reviews * length
    per_layer = tokens * (68 * config.hidden_size + 10 * config.num_attention_heads * length)
    return int(config.num_hidden_layers * per_layer)


def micro_batch_that_fits(model: "PreTrainedModel", micro_batch_size: int, length: int, free: int) -> int:
    """Halve `micro_batch_size` until a batch is estimated to fit into `free` bytes.

    length: tokens of each review. Raises OutOfMemory, with the remedies, where not even one review fits.
    """
    needed = state_bytes(model)
    while True:
        if needed + activation_bytes(model, micro_batch_size, length) <= free:
            return micro_batch_size
        if micro_batch_size == 1:
            total = (needed + activation_bytes(model, 1, length)) / 2**20
            raise OutOfMemory(
                f"training this model takes about {total:,.0f} MiB even with one review at once, and {free / 2**20:,.0f} MiB "
                "are free; use a smaller model (--model tiny), a shorter max_length, or freeze = encoder"
            )
        micro_batch_size = -(-micro_batch_size // 2)


def is_out_of_memory(error: BaseException) -> bool:
    """Say whether an error means that memory ran out.

    It is CUDA's error, the CPU allocator's (a plain RuntimeError), or Python's.
    """
    import torch

    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


class AutomaticMicroBatch:
    """Computes the gradients of one step in micro-batches that fit.

    It has the signature of the function it wraps, so the loop does not know. When memory runs out, the step's gradients
    are dropped, the random state is put back, the micro-batch is halved and the whole step is computed again.
    """

    def __init__(
        self,
        accumulate: "Callable[..., float | torch.Tensor]",
        micro_batch_size: int,
        tell: Callable[[str], None] = lambda notice: None,
    ) -> None:
        self.accumulate = accumulate
        self.micro_batch_size = micro_batch_size
        self.tell = tell

    def __call__(
        self, model: "torch.nn.Module", micro_batches: Sequence[Batch], precision: "Precision"
    ) -> "float | torch.Tensor":
        """Return the mean loss over the step; every gradient is that of this mean."""
        while True:
            before = random_state(precision.device)
            pieces = [piece for batch in micro_batches for piece in batch.split(self.micro_batch_size)]
            try:
                return self.accumulate(model, pieces, precision)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                largest = max(len(piece.indices) for piece in pieces)
            # outside the handler, since the traceback holds on to the tensors that filled the memory
            self._give_way(model, largest, precision.device)
            put_back(before, precision.device)

    def _give_way(self, model: "torch.nn.Module", largest: int, device: "torch.device") -> None:
        import torch

        model.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.empty_cache()
        if largest == 1:
            raise OutOfMemory("out of memory with one review at once; use a smaller model or a shorter max_length")
        self.micro_batch_size = -(-largest // 2)
        self.tell(
            f"out of memory with {largest} reviews at once: going on with {self.micro_batch_size}, accumulated as before"
        )


def random_state(device: "torch.device") -> tuple[Any, Any]:
    """Return torch's global random state on the CPU and, for a GPU, on that device."""
    import torch

    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if device.type == "cuda" else None


def put_back(state: tuple[Any, Any], device: "torch.device") -> None:
    """Make a state that `random_state` gave the present one."""
    import torch

    torch.set_rng_state(state[0])
    if state[1] is not None:
        torch.cuda.set_rng_state(state[1], device)

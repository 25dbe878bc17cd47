"""In which precision this device computes: fp32, bf16 or fp16, and why.

Autocast keeps the weights in fp32 and runs matrix products in half precision; fp16 has a narrow range, so its loss is
scaled up before the backward pass and its gradients down again before they are clipped (Micikevicius et al. 2018).
"""

import functools
import time
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from labkit.display import Tell
from labkit.errors import UsageError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
WORTH_IT = 1.3  # bf16 is chosen only where it multiplies matrices this much faster than fp32


@dataclass(frozen=True)
class Precision:
    """How one run computes: its arithmetic, its device, its loss scaling.

    `autocast` goes around the forward pass, `scaler` around the backward pass and the step; the scaler does nothing
    unless the precision is fp16. notice: what its user must know, or nothing.
    """

    name: str
    device: "torch.device"
    scaler: "torch.amp.GradScaler"
    notice: str = ""

    def autocast(self) -> AbstractContextManager[object]:
        """The block in which the forward pass runs; in fp32 it changes nothing."""
        import torch

        dtype = torch.float16 if self.name == "fp16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype=dtype, enabled=self.name != "fp32")


def choose_device(name: str = "auto") -> "torch.device":
    """Return the device of that name; `auto` is CUDA, then Apple's MPS, then the CPU.

    Raises UsageError for a device that is not here.
    """
    import torch

    here = ["cpu"] + ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if "cuda" in here else "mps" if "mps" in here else "cpu")
    if name.partition(":")[0] not in here:
        raise UsageError(f"device {name} is not here; this machine has {', '.join(here)}")
    return torch.device(name)


def choose_precision(name: str, device: "torch.device") -> Precision:
    """Return the precision of that name; `auto` is the fastest that trains well.

    Raises UsageError for fp16 where the device does not compute in it. bf16 where it is slower than fp32 is granted, with
    a notice that says how much slower.
    """
    if name not in PRECISIONS:
        raise UsageError(f"precision {name!r} is none of {', '.join(PRECISIONS)}")
    if name == "auto":
        name = _fastest(device)
    if name == "fp16" and device.type == "cpu":
        raise UsageError("precision fp16: this CPU does not compute in fp16; use auto, fp32 or bf16")
    notice = ""
    if name == "bf16" and device.type == "cpu" and (speedup := bf16_speedup()) < WORTH_IT:
        notice = f"bf16 multiplies matrices {speedup:.2f} times as fast as fp32 here; precision auto would take fp32"
    return make_precision(name, device, notice)


def suitable_precision(model: "PreTrainedModel", precision: Precision, asked: str, tell: Tell) -> Precision:
    """Keep the precision, or take fp32 where `auto` chose one in which the model's own code does not compute.

    asked: the name that was given. Raises UsageError where it is that precision's own.
    """
    from labkit.models.soundness import computes
    from labkit.models.unpadded import can_unpad

    if precision.name == "fp32" or can_unpad(model) or computes(model.to(precision.device), precision.autocast()):
        return precision
    notice = f"the family {model.config.model_type} does not compute in {precision.name}"
    if asked != "auto":
        raise UsageError(f"{notice}; use precision fp32")
    tell(f"{notice}: it computes in fp32")
    return make_precision("fp32", precision.device)


def make_precision(name: str, device: "torch.device", notice: str = "") -> Precision:
    """A precision without asking whether the device is good at it."""
    import torch

    scaler = torch.amp.GradScaler(device.type if device.type != "mps" else "cpu", enabled=name == "fp16")
    return Precision(name, device, scaler, notice)


def suitable_multiple(precision: Precision) -> int:
    """Return of how many tokens a batch's width should be a multiple.

    It is 8 for matrix units, and on a GPU so that there are few widths (cuda_graphs.py).
    """
    return 1 if precision.name == "fp32" and precision.device.type == "cpu" else 8


def _fastest(device: "torch.device") -> str:
    import torch

    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if device.type == "cpu" and bf16_speedup() >= WORTH_IT else "fp32"


@functools.cache
def bf16_speedup() -> float:
    """Measure how many times as fast as fp32 this processor multiplies in bf16.

    It is measured once: 8 with AMX, 0.02 without any unit for it. On one thread, because several wait for each other on a
    busy machine and would hide the difference.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _seconds_of_product(torch.float32) / _seconds_of_product(torch.bfloat16)
    finally:
        torch.set_num_threads(threads)


def _seconds_of_product(dtype: "torch.dtype") -> float:
    """The shortest of several matrix products of the shape of a small encoder's."""
    import torch

    left, right = torch.ones(64, 384, dtype=dtype), torch.ones(384, 384, dtype=dtype)
    seconds = []
    for _ in range(5):
        started = time.perf_counter()
        torch.mm(left, right)
        seconds.append(time.perf_counter() - started)
    return min(seconds)

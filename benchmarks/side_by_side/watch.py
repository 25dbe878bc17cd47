"""The clock, and what else is seen while it runs: energy, memory, others' share.

Says nothing about models. On CUDA the clock waits for the device before it is read.
"""

import ctypes
import sys
import time
from pathlib import Path
from typing import Any

import psutil

POWERCAP = Path("/sys/class/powercap")


def busy_seconds() -> float:
    """Return the processor seconds that everything on this machine has used so far.

    Those that a hypervisor gave to others count as well.
    """
    times = psutil.cpu_times()
    names = ("user", "nice", "system", "irq", "softirq", "steal", "interrupt", "dpc")  # as far as the system tells them
    return sum(getattr(times, name, 0.0) for name in names)


def share_of_others(busy: float, own: float, wall: float, cores: int) -> float:
    """The share of the machine that others used while `wall` seconds went by.

    >>> share_of_others(busy=15.0, own=14.0, wall=10.0, cores=2)
    0.05
    """
    return max(0.0, busy - own) / (wall * cores) if wall > 0 else 0.0


def wait_until_quiet(limit: float, patience: float = 60.0) -> None:
    """Wait until others use less than the share `limit` of the machine for a second.

    It returns when patience is at its end, too.
    """
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        started, busy, own = time.perf_counter(), busy_seconds(), time.process_time()
        time.sleep(1.0)
        used = busy_seconds() - busy, time.process_time() - own, time.perf_counter() - started
        if share_of_others(*used, cores=psutil.cpu_count() or 1) < limit:
            return


class Watch:
    """Started and stopped once, around what is measured in this process."""

    def __init__(self, cuda: bool) -> None:
        self.cuda = cuda
        self._seen: dict[str, float | None] = {}
        self._from: tuple[float, float, float, float | None] = (0.0, 0.0, 0.0, None)

    def start(self) -> None:
        """From here on time counts."""
        self._from = self._now()

    def stop(self) -> None:
        """Until here."""
        (wall, busy, own, before), (wall_0, busy_0, own_0, before_0) = self._now(), self._from
        seconds = wall - wall_0
        joules = None
        if before is not None and before_0 is not None and before >= before_0:  # a counter may begin again at 0
            joules = before - before_0
        self._seen = {
            "seconds": seconds,
            "others": share_of_others(busy - busy_0, own - own_0, seconds, psutil.cpu_count() or 1),
            "joules": joules,
        }

    @property
    def seen(self) -> dict[str, float | None]:
        """seconds; others: the share of the machine that they used; joules, or None."""
        return dict(self._seen)

    def _now(self) -> tuple[float, float, float, float | None]:
        if self.cuda:
            import torch

            torch.cuda.synchronize()
        joules = gpu_joules() if self.cuda else processor_joules(POWERCAP)
        return time.perf_counter(), busy_seconds(), time.process_time(), joules


def processor_joules(powercap: Path) -> float | None:
    """Return what all processor packages have used since some moment.

    Linux's powercap tells it; None where it does not.
    """
    packages = [zone / "energy_uj" for zone in powercap.glob("intel-rapl:*") if zone.name.count(":") == 1]
    try:
        return sum(int(file.read_text()) for file in packages) / 1e6 if packages else None
    except (OSError, ValueError):  # mostly readable by the administrator alone
        return None


def gpu_joules() -> float | None:
    """Return what the first NVIDIA GPU has used since its driver was loaded.

    NVML tells it; None where it does not.
    """
    try:
        nvml: Any = ctypes.CDLL("nvml.dll" if sys.platform == "win32" else "libnvidia-ml.so.1")
    except OSError:
        return None
    device, millijoules = ctypes.c_void_p(), ctypes.c_ulonglong()
    if nvml.nvmlInit_v2() or nvml.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(device)):
        return None
    if nvml.nvmlDeviceGetTotalEnergyConsumption(device, ctypes.byref(millijoules)):
        return None
    return millijoules.value / 1e3


def peak_memory_mib(cuda: bool) -> float | None:
    """Return the most memory so far; None where the system does not say.

    On CUDA it is that of tensors on the device, else that of this process.
    """
    if cuda:
        import torch

        return torch.cuda.max_memory_allocated() / 2**20
    status = Path("/proc/self/status")  # getrusage counts what the parent held before it started this process
    if status.is_file():
        sizes = [line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
        return int(sizes[0]) / 2**10 if sizes else None
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)

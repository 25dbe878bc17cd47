"""What is settled before the large imports: how torch's threads wait, and that Python looks for no garbage meanwhile.

torch and transformers make some 600,000 objects when they are imported, and the collector goes through those that are there
again and again (benchmarks/STARTUP.md says what that costs). Imports nothing itself.
"""

import gc
import math
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

LARGE = 200  # modules; a smaller import is no matter
# How threads wait, as OpenMP itself, its GNU form and its LLVM or Intel form call it.
HOW_TO_WAIT = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")
SLEEPING = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0"}  # LLVM's form heeds its milliseconds alone
SPINNING = {"GOMP_SPINCOUNT": "50000", "KMP_BLOCKTIME": "1"}


@contextmanager
def quick_imports() -> Iterator[None]:
    """Switch the garbage collector off while the block imports.

    What is there at the end of the block is left out of later collections too. For imports alone: cyclic garbage that
    the block leaves behind would never be freed, and neither would anything that exists now and becomes such garbage
    later. Where nothing large was imported, all stays as it was.
    """
    was_on, known = gc.isenabled(), len(sys.modules)
    gc.disable()
    try:
        yield
    finally:
        if len(sys.modules) - known >= LARGE:
            gc.freeze()
        if was_on:
            gc.enable()


def choose_how_threads_wait() -> None:
    """Let the threads of OpenMP sleep while they wait if the machine is busy, and else look for work a while first.

    Thread by thread, to wake up takes longer than a small model's operation: on an idle machine training takes up to twice as
    long with threads that sleep. But where other programs want the same cores, threads that look for work take them from the
    very thread that they wait for, and training takes many times as long (benchmarks/busy_machine.py). OpenMP's own default
    looks for work six times as long as SPINNING.

    Each process decides when it starts: one that was started by another decides anew. Whoever set one of the variables to
    something else has chosen, and all stay as they are. Without effect on a torch that is there already.
    """
    here = {name: os.environ[name] for name in HOW_TO_WAIT if name in os.environ}
    if here and here not in (SLEEPING, SPINNING):
        return
    for name in here:
        del os.environ[name]
    os.environ.update(SLEEPING if others_running() >= (os.cpu_count() or 1) / 2 else SPINNING)


def others_running() -> float:
    """How many processes and threads of others compute at this moment; where no system says so, the mean of the last minute.

    Where neither is told, as under Windows, as many as there could be.
    """
    try:
        looks = []
        for _ in range(5):  # the least of a few, since something small runs in most moments
            with open("/proc/loadavg", encoding="ascii") as file:
                running = int(file.read().split()[3].partition("/")[0])
            looks.append(max(0, running - _own_running()))
            time.sleep(0.002)
        return min(looks)
    except (OSError, ValueError, IndexError):
        return os.getloadavg()[0] if hasattr(os, "getloadavg") else math.inf


def _own_running() -> int:
    """This process's own threads that run: numpy's, if it was imported first, look for work a while too."""
    count = 0
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/stat", encoding="utf-8", errors="replace") as file:
            count += file.read().rpartition(")")[2].split()[0] == "R"
    return count

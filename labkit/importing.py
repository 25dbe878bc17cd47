"""What is settled before the large imports: how torch's threads wait, and that Python looks for no garbage meanwhile.

torch and transformers make some 600,000 objects when they are imported, and the collector goes through those that are there
again and again (benchmarks/STARTUP.md says what that costs). Imports nothing itself.
"""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LARGE = 200  # modules; a smaller import is no matter
# How threads wait, as OpenMP itself, its GNU form and its LLVM or Intel form call it.
HOW_TO_WAIT = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME", "KMP_LIBRARY")


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


def wait_without_spinning() -> None:
    """Let the threads of OpenMP sleep while they wait, here and in what is started from here.

    By default they go round in a circle until more work comes, and where other programs want the same cores they take them from
    the thread that they wait for: training then takes many times as long (benchmarks/busy_machine.py).

    LLVM's form heeds KMP_BLOCKTIME (milliseconds until a thread sleeps) alone. Whoever set one of the variables has chosen, and
    all stay as they are. Without effect on a torch that is there already.
    """
    if not any(name in os.environ for name in HOW_TO_WAIT):
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
        os.environ["KMP_BLOCKTIME"] = "0"

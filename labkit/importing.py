"""Large imports made quicker: Python looks for no garbage among what they bring.

torch and transformers make some 600,000 objects when they are imported, and the collector goes through those that are there
again and again (benchmarks/STARTUP.md says what that costs). Imports nothing itself.
"""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

LARGE = 200  # modules; a smaller import is no matter


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

"""labkit: the tested helpers of a course lab for learning to fine-tune BERT.

Its public names stand in `__init__.pyi`, in the order in which a review travels. Each is imported when it is first used, so
`import labkit` costs next to nothing and no torch.
"""

from typing import Any

import lazy_loader

from labkit.importing import choose_how_threads_wait, quick_imports

choose_how_threads_wait()  # here, because whatever of labkit is used comes before its torch
__version__ = "0.1.0"

_resolve, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    with quick_imports():
        return _resolve(name)

"""What students use in JupyterLab: questions, explorers and live training.

Each is a thin layer over a function from values to a record, a figure or HTML, which runs without a browser. Every one
says its content in words and carries a still picture for where widgets cannot run. The names in `__init__.pyi` are imported
when they are first used; they need ipywidgets, which comes with the extra `lab`.
"""

from typing import Any

import lazy_loader

from labkit.errors import missing_extra

_LAB = ("IPython", "ipywidgets", "pygments")
_resolve, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    try:
        return _resolve(name)
    except ModuleNotFoundError as why:
        if why.name not in _LAB:
            raise
        raise missing_extra(name, why.name, "lab") from None

"""What a student plays with in JupyterLab: questions, explorers, and training seen live.

Each is a thin layer over a function from values to a record, a figure or HTML, which runs without a browser. Every one
says its content in words and carries a still picture for where widgets cannot run. The names below are imported when
they are first used; they need ipywidgets, which comes with `labkit[lab]`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from labkit.errors import UsageError

if TYPE_CHECKING:
    from labkit.widgets.asking import outcome, predict, reflection
    from labkit.widgets.attention import attention_explorer
    from labkit.widgets.batches import batch_explorer
    from labkit.widgets.calibration import calibration_explorer
    from labkit.widgets.failing import expect_error
    from labkit.widgets.learning_rate import learning_rate_explorer
    from labkit.widgets.lengths import max_length_explorer
    from labkit.widgets.live import live_training
    from labkit.widgets.profile import choose_profile
    from labkit.widgets.review import review_explorer
    from labkit.widgets.showing import figure, show_source
    from labkit.widgets.spelling import wordpiece_explorer
    from labkit.widgets.stopping import stopping_explorer
    from labkit.widgets.tables import token_table
    from labkit.widgets.threshold import threshold_explorer
    from labkit.widgets.tokenizer import tokenizer_explorer
    from labkit.widgets.words import word_explorer

_MODULES = {
    "asking": ["predict", "outcome", "reflection"],
    "failing": ["expect_error"],
    "showing": ["figure", "show_source"],
    "profile": ["choose_profile"],
    "spelling": ["wordpiece_explorer"],
    "tokenizer": ["tokenizer_explorer"],
    "tables": ["token_table"],
    "lengths": ["max_length_explorer"],
    "batches": ["batch_explorer"],
    "learning_rate": ["learning_rate_explorer"],
    "live": ["live_training"],
    "stopping": ["stopping_explorer"],
    "words": ["word_explorer"],
    "threshold": ["threshold_explorer"],
    "calibration": ["calibration_explorer"],
    "attention": ["attention_explorer"],
    "review": ["review_explorer"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
_LAB = ("IPython", "ipywidgets", "pygments")

__all__ = [
    "attention_explorer",
    "batch_explorer",
    "calibration_explorer",
    "choose_profile",
    "expect_error",
    "figure",
    "learning_rate_explorer",
    "live_training",
    "max_length_explorer",
    "outcome",
    "predict",
    "reflection",
    "review_explorer",
    "show_source",
    "stopping_explorer",
    "threshold_explorer",
    "token_table",
    "tokenizer_explorer",
    "word_explorer",
    "wordpiece_explorer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'labkit.widgets' has no attribute {name!r}")
    try:
        value = getattr(import_module(f"labkit.widgets.{_HOME[name]}"), name)
    except ModuleNotFoundError as why:
        if why.name not in _LAB:
            raise
        raise UsageError(f"{name} needs {why.name}, which is not installed: pip install 'labkit[lab]'") from None
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)

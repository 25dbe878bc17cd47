"""What runs beside the student's code: calls of an answer, and what is witnessed of them, as plain data.

Nothing here knows what is right, and nothing here compares: an answer in the same process could rewrite either. What is
witnessed is told to the judge at the moment it happens, in another process where there is one (child.py), and compared there
with what an answer leaves that does nothing. One module of observers a lesson; this one has what they share.
"""

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.wire import Plain, plain, spelled

Listener = Callable[[str, Plain], None]
_LISTENER: ContextVar[Listener] = ContextVar("listener")
_SEED = 1_618_033_988  # that nobody has, so that an answer that only seeds shows too


class NothingDone(Exception):
    """Raised by the answer that does nothing, with which the judge learns what an observer's arguments are."""


@dataclass(frozen=True)
class Watched:
    """An argument that is no value to spell: that an answer left it alone is told by its settings."""

    thing: Any
    settings: Callable[[Any], Any]


def tell(name: str, note: Plain) -> None:
    """Tell the judge something at once: what was told, no answer can take back. note: what JSON has.

    What was told of a name stands, in order, under that name in the observed value if that is a dict, else beside it as all of
    `left` does. Every note of `left` should be one that an answer which does nothing gives too (exercise.py).
    """
    listener = _LISTENER.get(None)
    if listener is not None:
        listener(name, note)


@contextlib.contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Whoever tells something inside tells this listener."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def call(answer: Callable[..., Any], *arguments: Any, **named: Any) -> dict[str, Plain]:
    """Call an answer once: its value and its own type. How it left its arguments and the global random state is told."""
    given = [each for each in (*arguments, *named.values()) if not isinstance(each, (int, float, str, type(None)))]
    arguments = tuple(each.thing if isinstance(each, Watched) else each for each in arguments)

    def left() -> dict[str, Plain]:
        watched = [each.settings(each.thing) if isinstance(each, Watched) else each for each in given]
        return {"arguments": spelled(watched), "random state": next_draws()}

    loaded = len(sys.modules)
    seed_anew()
    try:
        value = answer(*arguments, **named)
    except NothingDone:
        tell("left", left())
        raise
    found = left()
    if found["random state"] != _first_draws() and len(sys.modules) > loaded:
        # Importing scikit-learn draws too: ask again, now that it is there.
        seed_anew()
        with contextlib.suppress(Exception), heard_by(lambda name, note: None):
            answer(*arguments, **named)
        found["random state"] = next_draws()
    tell("left", found)
    return {"value": plain(value), "type": type(value).__name__}


def seed_anew() -> None:
    """Give the global random generators a seed that no answer gives them."""
    import torch

    random.seed(_SEED)
    np.random.seed(_SEED)  # noqa: NPY002 (the global one is meant)
    torch.default_generator.manual_seed(_SEED)


def next_draws() -> list[float]:
    """What each global random generator draws next. Draws it."""
    import torch

    return [random.random(), np.random.random_sample(), torch.rand(()).item()]  # noqa: NPY002 (the global one is meant)


@cache
def _first_draws() -> list[float]:
    seed_anew()
    return next_draws()

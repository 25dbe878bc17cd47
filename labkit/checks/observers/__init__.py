"""What runs beside the student's code: calls of an answer, and what is witnessed of them, as plain data.

Nothing here knows what is right, so all of it may be had where the answer runs. One module a lesson; this one has what
they share.
"""

import copy
import random
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from labkit.checks.wire import Plain, plain


def call(answer: Callable[..., Any], *arguments: Any, **named: Any) -> dict[str, Plain]:
    """Call an answer once: its value, its own type, and whether it touched its arguments or the global random state."""
    given = copy.deepcopy((arguments, named))
    before, loaded = random_state(), len(sys.modules)
    value = answer(*arguments, **named)
    same_state = random_state() == before
    if (
        not same_state and len(sys.modules) > loaded
    ):  # importing scikit-learn draws too: ask again, now that it is there
        same_state = _keeps_random_state(answer, given)
    return {
        "value": plain(value),
        "type": type(value).__name__,
        "arguments_kept": bool(_alike((arguments, named), given)),
        "random_state_kept": same_state,
    }


def _keeps_random_state(answer: Callable[..., Any], given: tuple[tuple[Any, ...], dict[str, Any]]) -> bool:
    arguments, named = copy.deepcopy(given)
    before = random_state()
    answer(*arguments, **named)
    return random_state() == before


def random_state() -> tuple[Any, ...]:
    """The global random states of Python, numpy and torch, to be compared."""
    import torch

    numpy_state = np.random.get_state()  # noqa: NPY002 (to see whether an answer used the global one)
    return random.getstate(), _frozen(numpy_state), torch.get_rng_state().numpy().tobytes()


def _frozen(state: Any) -> tuple[Any, ...]:
    return tuple(part.tobytes() if isinstance(part, np.ndarray) else part for part in state)


def _alike(one: Any, other: Any) -> bool:
    """Whether two arguments are still equal; things that cannot be compared by value are not looked into."""
    import torch

    if isinstance(one, torch.Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(_alike(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other) if isinstance(one, (int, float, str, bytes, set, frozenset, type(None))) else True

"""What runs beside the student's code: calls of an answer, and what is witnessed of them, as plain data.

Nothing here knows what is right, so all of it may be had where the answer runs. One module a lesson; this one has what
they share.
"""

import copy
import itertools
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.wire import Plain, plain


@dataclass(frozen=True)
class Watched:
    """An argument that is no value to copy: that an answer left it alone is told by its settings, before and after."""

    thing: Any
    settings: Callable[[Any], Any]


def call(answer: Callable[..., Any], *arguments: Any, **named: Any) -> dict[str, Plain]:
    """Call an answer once: its value, its own type, and whether it touched its arguments or the global random state."""
    watched = [one for one in arguments if isinstance(one, Watched)]
    arguments = tuple(one.thing if isinstance(one, Watched) else one for one in arguments)
    given = copy.deepcopy((arguments, named), {id(one.thing): one.thing for one in watched})
    settings = [one.settings(one.thing) for one in watched]
    loaded, number = len(sys.modules), seed_anew()
    value = answer(*arguments, **named)
    same_state = untouched_since(number)
    if (
        not same_state and len(sys.modules) > loaded
    ):  # importing scikit-learn draws too: ask again, now that it is there
        again, named_again = copy.deepcopy(given)
        number = seed_anew()
        answer(*again, **named_again)
        same_state = untouched_since(number)
    return {
        "value": plain(value),
        "type": type(value).__name__,
        "arguments_kept": _alike((arguments, named), given)
        and settings == [one.settings(one.thing) for one in watched],
        "random_state_kept": same_state,
    }


_NUMBERS = itertools.count(1_618_033_988)  # seeds that nobody has


def seed_anew() -> int:
    """Give the global random generators a seed that no answer gives them, so that one that only seeds them shows too."""
    import torch

    number = next(_NUMBERS)
    random.seed(number)
    np.random.seed(number)  # noqa: NPY002 (the global one is meant)
    torch.default_generator.manual_seed(number)
    return number


def untouched_since(number: int) -> bool:
    """Whether each global random generator draws next what one of its own kind draws first from this seed. Draws it."""
    import torch

    python, numpy, torchs = _twins()
    python.seed(number)
    numpy.seed(number)
    torchs.manual_seed(number)
    return (
        random.random() == python.random()
        and np.random.random_sample() == numpy.random_sample()  # noqa: NPY002
        and torch.rand(()).item() == torch.rand((), generator=torchs).item()
    )


@cache
def _twins() -> tuple[random.Random, Any, Any]:
    """A generator of each kind, beside the global one."""
    import torch

    return random.Random(), np.random.RandomState(), torch.Generator()


def _alike(one: Any, other: Any) -> bool:
    """Whether two arguments are still equal; things that cannot be compared by value are not looked into."""
    import torch

    if type(one) is not type(other):
        return False
    if isinstance(one, torch.Tensor):
        return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return one.dtype == other.dtype and np.array_equal(one, other, equal_nan=one.dtype.kind == "f")
    if isinstance(one, Mapping):
        return list(one) == list(other) and all(_alike(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        if one and isinstance(one[0], (str, int)) and one == other:  # the quick way for long lists
            return True
        return len(one) == len(other) and all(_alike(*pair) for pair in zip(one, other, strict=True))
    return bool(one == other) if isinstance(one, (int, float, str, bytes, set, frozenset, type(None))) else True

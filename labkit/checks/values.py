"""Numbers that came back, whatever holds them: value properties compare them, those of manners ask for the form."""

from collections.abc import Callable
from typing import Any

import numpy as np

from labkit.checks.wire import Array, Plain, as_number, close


def numbers(value: Plain) -> np.ndarray:
    """An array, or numbers in lists within lists, as float64. Raises TypeError for others, ValueError for uneven rows."""
    if isinstance(value, Array):
        return value.values.astype(np.float64)
    if isinstance(value, (list, tuple)):
        return np.array([numbers(item) for item in value], dtype=np.float64)
    return np.array(as_number(value), dtype=np.float64)


def same_numbers(found: Plain, wanted: Plain, tolerance: float = 1e-5) -> bool:
    """Whether two values hold the same numbers in the same places, whatever holds them."""
    return close(numbers(found).tolist(), numbers(wanted).tolist(), tolerance)


def array_of(kind: Any) -> Callable[[Plain], bool]:
    """Whether a value is an array or tensor of numbers of this numpy class."""
    return lambda value: isinstance(value, Array) and np.issubdtype(value.values.dtype, kind)

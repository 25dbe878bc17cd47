"""Numbers that came back, whatever holds them: value properties compare them, those of manners ask for the form."""

import numpy as np

from labkit.checks.wire import Array, Plain, as_number, close


def numbers(value: Plain) -> np.ndarray:
    """An array, or numbers in lists within lists, as float64. Raises TypeError for others, ValueError for uneven rows."""
    if isinstance(value, Array):
        return value.values.astype(np.float64)
    if isinstance(value, (list, tuple)):
        return np.array([numbers(item) for item in value], dtype=np.float64)
    return np.array(as_number(value), dtype=np.float64)


def same_numbers(found: Plain, wanted: Plain) -> bool:
    """Whether two values hold the same numbers in the same places, whatever holds them."""
    return close(numbers(found).tolist(), numbers(wanted).tolist())

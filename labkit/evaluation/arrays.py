"""Labels, scores and predictions as checked numpy arrays.

Every score is computed from these. An argument may be a list, a numpy array or a torch tensor. Each function names its
argument in the error. Computes nothing.
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray: TypeAlias = NDArray[np.float64]
IntArray: TypeAlias = NDArray[np.int64]
BoolArray: TypeAlias = NDArray[np.bool_]


def as_array(values: Any) -> NDArray[Any]:
    """Convert the values to a numpy array.

    A torch tensor may be on a GPU, in bfloat16 or part of a graph.
    """
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.double() if values.is_floating_point() else values
    return np.asarray(values)


def integers(values: ArrayLike, what: str) -> IntArray:
    """Convert the values to (n,) int64; ValueError names the first that isn't whole."""
    array = as_array(values)
    if array.ndim != 1:
        raise ValueError(f"{what} must have one dimension, (n,); found shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{what} must be whole numbers; found {array.dtype}")
    whole = np.isfinite(array) & (array == np.floor(array))
    if not whole.all():
        first = int(np.argmin(whole))
        raise ValueError(f"{what} must be whole numbers; found {array[first]} at index {first}")
    return array.astype(np.int64)


def floats(values: ArrayLike, what: str, dimensions: int = 1, finite: bool = False) -> FloatArray:
    """Convert the values to float64.

    Raises ValueError for the wrong number of dimensions, for NaN and, optionally, for infinity.
    """
    array = as_array(values).astype(np.float64)
    if array.ndim != dimensions:
        wanted = "(n,)" if dimensions == 1 else "(n, classes)"
        raise ValueError(f"{what} must have shape {wanted}; found {array.shape}")
    return refuse_nan(array, what, finite)


def refuse_nan(array: FloatArray, what: str, finite: bool = False) -> FloatArray:
    """Return the array unless it holds a NaN or, optionally, an infinity.

    Raises ValueError with the place of the first.
    """
    bad = ~np.isfinite(array) if finite else np.isnan(array)
    if bad.any():
        first = np.unravel_index(np.argmax(bad), array.shape)
        place = ", ".join(str(int(index)) for index in first)
        raise ValueError(f"{what} must be {'finite' if finite else 'no NaN'}; found {array[first]} at index [{place}]")
    return array


def same_length(first: NDArray[Any], what: str, second: NDArray[Any], other: str) -> None:
    """Raise ValueError where the two are not equally long."""
    if len(first) != len(second):
        raise ValueError(f"{what} and {other} must be equally long; found {len(first)} and {len(second)}")


def binary(values: ArrayLike, what: str) -> BoolArray:
    """Convert values that are 0 or 1 to bool; ValueError for any other."""
    labels = integers(values, what)
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"{what} must be 0 or 1; found {sorted(set(labels.tolist()) - {0, 1})[0]}")
    return labels.astype(bool)


def check_range(values: IntArray, what: str, num_classes: int) -> None:
    """Raise ValueError for a class outside 0..num_classes - 1."""
    outside = (values < 0) | (values >= num_classes)
    if outside.any():
        first = int(np.argmax(outside))
        raise ValueError(f"{what} must lie in 0..{num_classes - 1}; found {values[first]} at index {first}")


def check_level(level: float) -> None:
    """Raise ValueError for a level of confidence outside (0, 1)."""
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, such as 0.95; found {level}")


def ratio(numerator: FloatArray, denominator: FloatArray, otherwise: float = 0.0) -> FloatArray:
    """Divide, with `otherwise` where a denominator is not above 0."""
    quotient: FloatArray = np.full(numerator.shape, otherwise)
    np.divide(numerator, denominator, out=quotient, where=denominator > 0)
    return quotient

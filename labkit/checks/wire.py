"""Plain data: what an observation is made of, and how it crosses from one process to another as JSON and npz, never pickle.

Plain data is None, bool, int, float, str, lists, tuples, dicts with text keys, `Array`, and `Other` for whatever is
none of these. Does not decide what is right (exercise.py).
"""

import io
import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

# A recursive union that a type checker can follow costs more words than it is worth here.
Plain = Any
LARGEST = 2_000_000  # things in one observation; a check's right answers have a few thousand
DEEPEST = 12


@dataclass(frozen=True, eq=False)
class Array:
    """The values of an array or tensor; `tensor` says which it was, `dtype` is torch's or numpy's own name."""

    values: np.ndarray
    tensor: bool
    dtype: str

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Array) and np.array_equal(self.values, other.values)

    __hash__ = None  # type: ignore[assignment]  # equal by its values, which may change; object's own would say otherwise

    def __repr__(self) -> str:
        body = np.array2string(self.values, precision=4, threshold=24, edgeitems=3, max_line_width=100)
        return f"{'tensor' if self.tensor else 'array'}({' '.join(body.split())}, {self.dtype})"


@dataclass(frozen=True)
class Other:
    """Something that is no plain data, by the name of its class."""

    kind: str

    def __repr__(self) -> str:
        return f"<{self.kind}>"


def plain(value: Any) -> Plain:
    """A copy of a value as plain data; numpy's numbers and 0-D tensors become Python's. Raises ValueError when too large."""
    return _Copy().of(value)


class _Copy:
    """One copy of a value, which counts what is in it: a list of the same list over and over is soon too large."""

    def __init__(self) -> None:
        self.left = LARGEST

    def of(self, value: Any, depth: int = 0) -> Plain:
        self.count(1)
        if depth > DEEPEST:
            raise ValueError("the result is nested too deeply")
        if value is None or type(value) in (bool, int, float, str):
            return self.scalar(value)
        if isinstance(value, (np.ndarray, np.generic)) or _is_tensor(value):
            return self.array(value)
        if isinstance(value, (list, tuple)):
            items = [self.of(item, depth + 1) for item in value]
            return items if isinstance(value, list) else tuple(items)
        if isinstance(value, Mapping):
            return {self.key(key): self.of(value[key], depth + 1) for key in value}
        for kind in (bool, int, float, str):  # subclasses, with their own ideas of equality
            if isinstance(value, kind):
                return self.scalar(kind(value))
        return Other(type(value).__name__)

    def count(self, things: int) -> None:
        self.left -= things
        if self.left < 0:
            raise ValueError(f"the result holds more than {LARGEST:,} things")

    def scalar(self, value: Plain) -> Plain:
        if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4096:
            return Other("int of thousands of digits")
        if isinstance(value, str):
            self.count(len(value))
        return value

    def key(self, key: Any) -> str:
        return key if type(key) is str else str(self.scalar(str(key)))

    def array(self, value: Any) -> Plain:
        tensor = _is_tensor(value)
        self.count(value.numel() if tensor else value.size)
        name = str(value.dtype).removeprefix("torch.")
        if tensor:  # wherever and however it holds its values
            dense = value.detach().cpu().to_dense().resolve_conj().resolve_neg()
            values = (dense.float() if name in ("bfloat16", "float16") else dense).numpy().copy()
        else:
            values = np.array(value, copy=True, subok=False)
        if values.dtype.kind == "U" and values.ndim == 0:
            return self.scalar(values.item())
        if values.dtype.kind not in "biuf":
            return Other(f"{'tensor' if tensor else 'array'} of {name}")
        return values.item() if values.ndim == 0 else Array(values, tensor, name)


def spelled(value: Any) -> Plain:
    """An argument as lists, texts and numbers that tell all of it, types, dtypes and shapes too; equal where `repr` is.

    What is too large or nested too deeply is told as that; of a thing without a value, its class alone.
    """
    try:
        return _Spelling().of(value)
    except ValueError as why:
        return str(why)


class _Spelling(_Copy):
    """A copy that keeps what a value leaves out: a list of floats is no list of ints, a 0-D tensor no number."""

    def of(self, value: Any, depth: int = 0) -> Plain:
        if value is None or type(value) in (bool, int, float, str):
            return super().of(value)
        self.count(1)
        if depth > DEEPEST:
            raise ValueError("nested too deeply")
        kind = type(value).__name__
        if isinstance(value, (np.ndarray, np.generic)) or _is_tensor(value):
            array = self.array(value.reshape(-1))
            return [
                kind,
                str(value.dtype),
                list(value.shape),
                array.values.tobytes().hex() if isinstance(array, Array) else "",
            ]
        if isinstance(value, Mapping):
            return [kind, *([self.of(key, depth + 1), self.of(value[key], depth + 1)] for key in value)]
        if isinstance(value, (list, tuple)):
            return [kind, *(self.of(item, depth + 1) for item in value)]
        if isinstance(value, (set, frozenset)):
            return [kind, *sorted((self.of(item, depth + 1) for item in value), key=repr)]
        return [kind]


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def dumps(data: Plain) -> bytes:
    """Plain data as bytes: an npz archive with the arrays and a JSON skeleton that refers to them."""
    arrays: dict[str, np.ndarray] = {}
    skeleton = json.dumps(_packed(data, arrays), allow_nan=True)
    buffer = io.BytesIO()
    arrays["skeleton"] = np.frombuffer(skeleton.encode("utf-8", "surrogatepass"), np.uint8)
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def loads(data: bytes) -> Plain:
    """What `dumps` was given. Raises ValueError for bytes that it did not make."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as container:
            if any(part.compress_type != zipfile.ZIP_STORED for part in container.infolist()):
                raise ValueError("a part is compressed, and who knows how large it is")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return _unpacked(json.loads(arrays["skeleton"].tobytes().decode("utf-8", "surrogatepass")), arrays)
    except Exception as why:  # numpy's and zipfile's readers raise many kinds for bytes of strangers
        raise ValueError(f"not plain data: {why}") from None


def _packed(data: Plain, arrays: dict[str, np.ndarray]) -> Any:
    if isinstance(data, Array):
        name = f"a{len(arrays)}"
        arrays[name] = data.values
        return {"array": name, "tensor": data.tensor, "dtype": data.dtype}
    if isinstance(data, Other):
        return {"other": data.kind}
    if isinstance(data, (list, tuple)):
        return {type(data).__name__: [_packed(item, arrays) for item in data]}
    if isinstance(data, Mapping):
        return {"dict": [[key, _packed(item, arrays)] for key, item in data.items()]}
    return data


def _unpacked(data: Any, arrays: Mapping[str, np.ndarray]) -> Plain:
    if not isinstance(data, dict):
        return data
    if "array" in data:
        return Array(arrays[data["array"]], bool(data["tensor"]), str(data["dtype"]))
    if "other" in data:
        return Other(str(data["other"]))
    if "dict" in data:
        return {str(key): _unpacked(item, arrays) for key, item in data["dict"]}
    if "tuple" in data:
        return tuple(_unpacked(item, arrays) for item in data["tuple"])
    return [_unpacked(item, arrays) for item in data["list"]]


def close(found: Plain, wanted: Plain, tolerance: float = 1e-5) -> bool:
    """Whether numbers, arrays, and lists and dicts of them agree: relative or absolute, NaN equal to NaN.

    Arrays must have the same shape; a tensor and an array of the same values agree; lists and arrays do not.
    """
    if isinstance(wanted, Array):
        return isinstance(found, Array) and _close_arrays(found.values, wanted.values, tolerance)
    if isinstance(wanted, (list, tuple)):
        alike = isinstance(found, (list, tuple)) and len(found) == len(wanted)
        return alike and all(close(one, other, tolerance) for one, other in zip(found, wanted, strict=True))
    if isinstance(wanted, Mapping):
        alike = isinstance(found, Mapping) and found.keys() == wanted.keys()
        return alike and all(close(found[key], wanted[key], tolerance) for key in wanted)
    if isinstance(wanted, (int, float)) and not isinstance(wanted, bool):
        if not is_number(found) or math.isnan(wanted) or math.isnan(found):
            return is_number(found) and math.isnan(wanted) and math.isnan(found)
        return found == wanted or (math.isfinite(wanted) and abs(found - wanted) <= tolerance * max(1.0, abs(wanted)))
    return type(found) is type(wanted) and bool(found == wanted)


def is_number(value: Plain) -> bool:
    """Whether a value is an int or float (bools are neither)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def is_integer(value: Plain) -> bool:
    """Whether a value is an int (a bool is none)."""
    return isinstance(value, int) and not isinstance(value, bool)


def as_list(value: Plain) -> list[Any]:
    """A list, tuple or array as a list. Raises TypeError for anything else."""
    if isinstance(value, Array):
        value = value.values.tolist()
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"no list: {shown(value)}")
    return list(value)


def as_number(value: Plain) -> float:
    """A number. Raises TypeError for anything else."""
    if not is_number(value):
        raise TypeError(f"no number: {shown(value)}")
    return value


def as_array(value: Plain) -> Array:
    """An array or tensor. Raises TypeError for anything else."""
    if not isinstance(value, Array):
        raise TypeError(f"no array: {shown(value)}")
    return value


def _close_arrays(found: np.ndarray, wanted: np.ndarray, tolerance: float) -> bool:
    if found.shape != wanted.shape:
        return False
    one, other = found.astype(np.float64), wanted.astype(np.float64)
    size = np.abs(other).max(initial=0.0, where=np.isfinite(other))
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        near = np.abs(one - other) <= tolerance * max(1.0, size)
    return bool(np.all(near | (one == other) | (np.isnan(one) & np.isnan(other))))


def shown(value: Plain, longest: int = 160) -> str:
    """A value in at most `longest` characters, on one line."""
    text = " ".join(repr(value[:200] if isinstance(value, (str, list, tuple)) else value).split())
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."

"""A sequence that counts how many of its places were looked at. Lessons call it, and so do the observers."""

from collections.abc import Iterable, Sequence
from typing import Any


class Counted(Sequence[Any]):
    """Values that can be looked at by place; `looks` says how often that was done. A slice looks at all that is in it."""

    def __init__(self, values: Iterable[Any]) -> None:
        self._values = list(values)
        self.looks = 0

    def __len__(self) -> int:
        return len(self._values)

    def __getitem__(self, place: Any) -> Any:
        found = self._values[place]
        self.looks += len(found) if isinstance(place, slice) else 1
        return found

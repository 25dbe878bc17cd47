"""The observer of lesson 01: a sorted sequence that tells how often it was looked at."""

from collections.abc import Callable, Mapping
from typing import Any

from labkit.checks.observing import call, tell
from labkit.checks.wire import Plain
from sorting.counting import Counted


class Told(Counted):
    """Values of which each look is told at once, so that no answer can take it back."""

    def __getitem__(self, place: Any) -> Any:
        before = self.looks
        found = super().__getitem__(place)
        tell("looks", self.looks - before)
        return found


def binary_search(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """1.1. How many places were looked at is witnessed."""
    return {"looks": []} | call(answer, Told(inputs["numbers"]), inputs["wanted"])

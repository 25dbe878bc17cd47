"""The observer of lesson 01: a sorted sequence that counts how often it was looked at."""

from collections.abc import Callable, Mapping
from typing import Any

from labkit.checks.observing import call
from labkit.checks.wire import Plain
from sorting.counting import Counted


def binary_search(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """1.1. How many places were looked at is witnessed."""
    numbers = Counted(inputs["numbers"])
    value = answer(numbers, inputs["wanted"])
    looks = numbers.looks
    return call(lambda: value) | {"looks": looks}

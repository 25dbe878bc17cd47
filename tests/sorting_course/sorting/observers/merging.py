"""Observers of lesson 02: lists of numbers."""

from collections.abc import Callable, Mapping
from typing import Any

from labkit.checks.observing import call
from labkit.checks.wire import Plain


def merge(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """2.1."""
    return call(answer, list(inputs["left"]), list(inputs["right"]))


def insertion_sort(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """2.2."""
    return call(answer, list(inputs["numbers"]))

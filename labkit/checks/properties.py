"""What many exercises share: which cases a property is for, and the properties of manners.

Manners are what a result is made of and that nothing else was touched. They earn points only where a value property holds
too (verdict.py).
"""

from collections.abc import Callable, Mapping

from labkit.checks.exercise import Case, Failure, Observation, Property
from labkit.checks.wire import Array, Plain, shown


def returns(what: str, holds: Callable[[Plain], bool], hint: str = "") -> Property:
    """The result is made of the right things: `what`, in words, and the test of it."""

    def test(case: Case, observation: Observation) -> Failure | None:
        return None if holds(observation.value) else Failure(what, shown(observation.value))

    asked = f"The values may be right, but the exercise asks for {what}."
    return Property(f"returns {what}", hint or asked, test=test, manners=True)


def returns_int64_tensors(*names: str) -> Property:
    """The result is a mapping in which each of these names has an int64 tensor; further names are allowed."""

    def holds(value: Plain) -> bool:
        found = [value.get(name) for name in names] if isinstance(value, Mapping) else [None]
        return all(isinstance(one, Array) and one.tensor and one.dtype == "int64" for one in found)

    return returns("a mapping of int64 tensors", holds)

"""What many exercises share: which cases a property is for, and the properties of manners.

Manners are what a result is made of and that nothing else was touched. They earn points only where a value property holds
too (verdict.py).
"""

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from labkit.checks.exercise import Case, Failure, Observation, Property, Test
from labkit.checks.wire import Array, Plain, as_array, close, plain, shown


def all_of(*tests: Test) -> Test:
    """The test that all of these hold; the first that does not says why."""
    return lambda case, observation: next(filter(None, (test(case, observation) for test in tests)), None)


def part_is(what: str, holds: Callable[[Plain], bool], part: Callable[[Plain], Plain]) -> Test:
    """The test that a part of the value is what it should be: `what`, in words."""

    def test(case: Case, observation: Observation) -> Failure | None:
        found = part(observation.value)
        return None if holds(found) else Failure(what, shown(found))

    return test


def tuple_of(*kinds: Callable[[Plain], bool]) -> Callable[[Plain], bool]:
    """Whether a value is a tuple of as many items, each of its kind."""

    def holds(value: Plain) -> bool:
        right_size = isinstance(value, tuple) and len(value) == len(kinds)
        return right_size and all(kind(item) for kind, item in zip(kinds, value, strict=True))

    return holds


def returns(what: str, holds: Callable[[Plain], bool], hint: str = "") -> Property:
    """The result is made of the right things: `what`, in words, and the test of it."""

    def test(case: Case, observation: Observation) -> Failure | None:
        return None if holds(observation.value) else Failure(what, shown(observation.value))

    asked = f"The values may be right, but the exercise asks for {what}."
    return Property(f"returns {what}", hint or asked, test=test, manners=True)


def list_of(kind: Callable[[Plain], bool]) -> Callable[[Plain], bool]:
    """Whether a value is a list whose items are all of this kind."""
    return lambda value: isinstance(value, list) and all(map(kind, value))


def returns_int64_tensors(*names: str) -> Property:
    """The result is a mapping in which each of these names has an int64 tensor; further names are allowed."""

    def holds(value: Plain) -> bool:
        found = [value.get(name) for name in names] if isinstance(value, Mapping) else [None]
        return all(isinstance(one, Array) and one.tensor and one.dtype == "int64" for one in found)

    return returns("a mapping of int64 tensors", holds)


@lru_cache(512)  # each property of an exercise asks for the same
def from_reference(reference: Callable[..., Plain], case: Case) -> Plain:
    """What the reference makes of all inputs of a case, in their order."""
    return reference(*case.inputs.values())


def has_tensor(name: str, reference: Callable[..., Mapping[str, Any]]) -> Test:
    """The test that the result has the reference's tensor under this name."""

    def test(case: Case, observation: Observation) -> Failure | None:
        wanted = plain(from_reference(reference, case)[name])
        if name not in observation.value:
            hint = f"Your result has no {name}. Compare the names in it with those that the exercise asks for."
            return Failure(f"{name} = {shown(wanted)}", f"no {name}", hint)
        found = as_array(observation.value[name])
        return None if close(found, wanted) else Failure(f"{name} = {shown(wanted)}", f"{name} = {shown(found)}")

    return test

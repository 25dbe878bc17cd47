"""What many exercises share: which cases a property is for, and the properties of manners.

Manners are what a result is made of and that nothing else was touched. They earn points only where a value property holds
too (verdict.py).
"""

from collections.abc import Callable, Mapping

from labkit.checks.exercise import Case, Failure, Observation, Property
from labkit.checks.wire import Array, Plain, shown


def labelled(*labels: str) -> Callable[[Case], bool]:
    """For the cases with one of these labels."""
    return lambda case: case.label in labels


def returns(what: str, holds: Callable[[Plain], bool], hint: str = "") -> Property:
    """The result is made of the right things: `what`, in words, and the test of it."""

    def test(case: Case, observation: Observation) -> Failure | None:
        return None if holds(observation.value) else Failure(what, shown(observation.value))

    asked = f"The values may be right, but the exercise asks for {what}."
    return Property(f"returns {what}", test, hint or asked, manners=True)


def returns_int64_tensors(*names: str) -> Property:
    """The result is a mapping in which each of these names has an int64 tensor; further names are allowed."""

    def holds(value: Plain) -> bool:
        found = [value.get(name) for name in names] if isinstance(value, Mapping) else [None]
        return all(isinstance(one, Array) and one.tensor and one.dtype == "int64" for one in found)

    return returns("a mapping of int64 tensors", holds)


def keeps_arguments(what: str = "its arguments") -> Property:
    """The answer left its arguments as they were."""

    def test(case: Case, observation: Observation) -> Failure | None:
        kept = observation.seen.get("arguments_kept") is True
        return None if kept else Failure("arguments left as they were", "an argument was changed")

    hint = "Your answer changes what it was given. Work on a copy: whoever called it may still need the original."
    return Property(f"does not change {what}", test, hint, witnessed=True)


def keeps_random_state() -> Property:
    """The answer left the global random states as they were."""

    def test(case: Case, observation: Observation) -> Failure | None:
        kept = observation.seen.get("random_state_kept") is True
        return None if kept else Failure("the global random state left as it was", "it was used or set")

    hint = "Your answer uses or seeds the global random state, and so changes what others draw. Use a generator of your own."
    return Property("leaves the global random state as it was", test, hint, witnessed=True)

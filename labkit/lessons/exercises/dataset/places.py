"""What splits and plans of batches share: places of reviews, each of which is wanted once, and what a seed decides."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from labkit.checks.exercise import Case, Failure, Observation, Property, Test
from labkit.checks.wire import Plain, is_integer, shown


def known_places(places: Sequence[Plain], count: int) -> set[int]:
    """Those that are places of `count` reviews."""
    return {place for place in places if is_integer(place) and 0 <= place < count}


def fault_of(places: Sequence[Plain], count: int) -> str:
    """Why these are not 0 to count - 1, each once: "no place", "twice", "missing"; empty where they are."""
    if not all(is_integer(place) and 0 <= place < count for place in places):
        return "no place"
    if len(set(places)) < len(places):
        return "twice"
    return "missing" if len(places) < count else ""


def each_once(lists_of: Callable[[Plain], Iterable[list[Any]]], reviews: str, hints: Mapping[str, str]) -> Test:
    """The test that the lists hold each place once. hints: by the kind of fault."""

    def test(case: Case, observation: Observation) -> Failure | None:
        places = [place for part in lists_of(observation.value) for place in part]
        count = len(case.inputs[reviews])
        fault, known = fault_of(places, count), len(known_places(places, count))
        got = f"{known:,} different ones, {len(places) - known:,} more"
        return Failure(f"the places 0 to {count - 1}, each once", got, hints[fault]) if fault else None

    return test


def decided_by_seed(what: str, canonical: Callable[[Plain], Plain] = lambda value: value) -> tuple[Property, Property]:
    """One seed gives one result, in its canonical form; another seed another."""

    def same_again(case: Case, observation: Observation) -> Failure | None:
        value, again = observation.value, observation.seen.get("again")
        got = f"first {shown(value, 70)}, then {shown(again, 70)}"
        return None if canonical(value) == canonical(again) else Failure("the same result again", got)

    def other_differs(case: Case, observation: Observation) -> Failure | None:
        differs = observation.seen.get("other") != observation.value
        got = f"twice {shown(observation.value, 120)}"
        return None if differs else Failure("another result from another seed", got)

    return (
        Property(
            f"the same seed gives the same {what}",
            f"Called again with the same seed, your answer gives another {what}. Where does its randomness come from?",
            applies=lambda case: "_other_seed" in case.inputs,
            test=same_again,
        ),
        Property(
            f"another seed gives another {what}",
            f"Your {what} is the same for every seed. What does the seed decide in your answer?",
            applies=lambda case: "_other_seed" in case.inputs,
            test=other_differs,
        ),
    )

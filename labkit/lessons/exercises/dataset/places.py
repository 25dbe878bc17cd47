"""What splits and plans of batches share: places of reviews, each of which is wanted once, and what a seed decides."""

from collections.abc import Callable, Sequence

from labkit.checks.exercise import Case, Failure, Observation
from labkit.checks.wire import Plain, is_integer, shown


def fault_of(places: Sequence[Plain], count: int) -> str:
    """Why these are not 0 to count - 1, each once: "no place", "twice", "missing"; empty where they are."""
    if not all(is_integer(place) and 0 <= place < count for place in places):
        return "no place"
    if len(set(places)) < len(places):
        return "twice"
    return "missing" if len(places) < count else ""


def counted(places: Sequence[Plain], count: int) -> str:
    """The same for the example, in numbers."""
    known = {place for place in places if is_integer(place) and 0 <= place < count}
    return f"{len(known):,} different ones, {len(places) - len(known):,} more"


def same_again(canonical: Callable[[Plain], Plain]) -> Callable[[Case, Observation], Failure | None]:
    """The test that the answer, asked again with the same seed, gave the same, compared in its canonical form."""

    def test(case: Case, observation: Observation) -> Failure | None:
        again = observation.seen.get("again")
        same = canonical(observation.value) == canonical(again)
        got = f"first {shown(observation.value, 70)}, then {shown(again, 70)}"
        return None if same else Failure("the same result again", got)

    return test


def other_differs(case: Case, observation: Observation) -> Failure | None:
    """The test that another seed gave another result, if only in its order."""
    differs = observation.seen.get("other") != observation.value
    return None if differs else Failure("another result from another seed", f"twice {shown(observation.value, 120)}")


def has_other_seed(case: Case) -> bool:
    """Whether the answer was asked again on this case, with the same seed and with another."""
    return "_other_seed" in case.inputs

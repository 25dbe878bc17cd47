"""What the tests of all lessons' checks share: an answer judged in this process, and the laws that hold for every exercise."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from labkit.checks import CheckResult, Exercise
from labkit.checks.child import Observations, observe_one
from labkit.checks.verdict import judge_all

SEEDS = 200


def judged(exercise: Exercise, answer: Any, seed: int = 0) -> CheckResult:
    """The result without a child: quick, and only for answers that come back."""
    cases = list(exercise.cases(np.random.default_rng(seed)))
    return judge_all(
        exercise, cases, Observations([observe_one(exercise.observe, answer, case.inputs) for case in cases])
    )


def verdicts(exercise: Exercise, answer: Any, seeds: int = SEEDS) -> set[tuple[str, float]]:
    """Status and points over many seeds; a check that does not depend on luck gives one of each."""
    return {(result.status, result.points) for seed in range(seeds) for result in [judged(exercise, answer, seed)]}


def hints(exercise: Exercise) -> Iterator[str]:
    """Every hint that the exercise's own module can give."""
    for each in exercise.properties:
        yield each.hint
    for known in exercise.misconceptions:
        yield known.hint


def hint_of(exercise: Exercise, misconception: str) -> str:
    """The hint of a known misconception, by its name."""
    (found,) = [known.hint for known in exercise.misconceptions if known.name == misconception]
    return found


def lazy_answers() -> dict[str, Callable[..., Any]]:
    """Answers that are none: each gets 0 points in every exercise."""

    def nothing(*arguments: Any, **named: Any) -> None:
        return None

    def itself(first: Any = None, *arguments: Any, **named: Any) -> Any:
        return first

    def raises(*arguments: Any, **named: Any) -> Any:
        raise ValueError("no idea")

    def exits(*arguments: Any, **named: Any) -> Any:
        raise SystemExit(0)

    constants = {f"always {value!r}": value for value in (0, 1, True, 0.0, "", [], {}, [0], (0.0, 0.0))}
    return {"nothing": nothing, "itself": itself, "raises": raises, "exits": exits} | {
        name: lambda *arguments, value=value, **named: value for name, value in constants.items()
    }


def unfinished(*arguments: Any, **named: Any) -> Any:
    """What a student's notebook has before it was touched."""
    raise NotImplementedError()


def assert_hints_are_hints(exercise: Exercise) -> None:
    """One or two sentences each, no code, different misconceptions in different words."""
    for hint in hints(exercise):
        assert 1 <= len(re.findall(r"[.?!:](?=\s|$)", hint)) <= 4 and len(hint) < 200, hint
        assert not re.search(r"\w\(\w*\)|==|\breturn\b|\bdef\b|\blambda\b|\[-?\d", hint), f"code in a hint: {hint}"
    own = [known.hint for known in exercise.misconceptions]
    assert len(set(own)) == len(own)

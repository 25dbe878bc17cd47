"""What the tests of all lessons' checks share: an answer judged in this process, and the laws that hold for every exercise."""

import dataclasses
import inspect
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from labkit.checks import Case, CheckResult, Exercise, Failure, Observation, check_only, exercise
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
    """Status and points over many seeds; a check that does not depend on luck gives one of each.

    Quicker than to judge seed by seed: a case that comes again, as the fixed ones do, is observed and judged once.
    """
    one = _Remembering(**{each.name: getattr(exercise, each.name) for each in dataclasses.fields(exercise)})
    seen: dict[int, Observation] = {}
    found = set()
    for seed in range(seeds):
        cases = _cases_of(exercise, seed)
        for case in cases:
            if id(case) not in seen:
                seen[id(case)] = observe_one(exercise.observe, answer, case.inputs)
        result = judge_all(one, cases, Observations([seen[id(case)] for case in cases]))
        found.add((result.status, result.points))
    return found


class _Remembering(Exercise):
    """The same exercise, which judges a case once and gives no hints."""

    def __init__(self, **facts: Any) -> None:
        super().__init__(**facts | {"wrong": {}})
        object.__setattr__(self, "judged", {})

    def judge(self, case: Case, observation: Observation) -> dict[str, Failure | None]:
        judged: dict[int, dict[str, Failure | None]] = vars(self)["judged"]
        if id(case) not in judged:
            judged[id(case)] = super().judge(case, observation)
        return judged[id(case)]


_CASES: dict[tuple[str, int], list[Case]] = {}


def _cases_of(exercise: Exercise, seed: int) -> list[Case]:
    """The cases of a seed, made once; those that are as with seed 0 are the same objects."""
    if (exercise.id, seed) not in _CASES:
        made = list(exercise.cases(np.random.default_rng(seed)))
        first = _CASES.get((exercise.id, 0), made)
        _CASES[exercise.id, seed] = [
            old if old.inputs == new.inputs else new for old, new in zip(first, made, strict=True)
        ]
    return _CASES[exercise.id, seed]


def seconds(exercise: Exercise, answer: Any) -> float:
    """What a check computes, here and in its child, once all is imported and made: whatever else the machine does meanwhile."""
    check_only(exercise, answer)
    before = os.times()
    check_only(exercise, answer)
    return sum(os.times()[:4]) - sum(before[:4])  # the fifth is the time on the wall


def hints(exercise: Exercise) -> Iterator[str]:
    """Every hint that the exercise's own module can give."""
    for each in exercise.all_properties:
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


def assert_hints_are_hints(exercise: Exercise, answers: Iterable[Any] = (), *more: str) -> None:
    """One or two sentences each, no code, no line of these answers, different misconceptions in different words.

    more: hints that the exercise gives besides those of its properties and misconceptions.
    """
    solutions = {line for answer in answers for line in _lines(answer)}
    for hint in [*hints(exercise), *more]:
        assert 1 <= len(re.findall(r"[.?!:](?=\s|$)", hint)) <= 4 and len(hint) < 200, hint
        assert not re.search(r"\w\(\w*\)|==|(?<!you )\breturn\b|\bdef\b|\blambda\b|\[-?\d", hint), (
            f"code in a hint: {hint}"
        )
        assert not [line for line in solutions if line in hint], f"a solution in a hint: {hint}"
    own = [*(known.hint for known in exercise.misconceptions), *more]
    assert len(set(own)) == len(own)


def _lines(answer: Any) -> Iterator[str]:
    """The lines of an answer that are long enough to give something away."""
    return (line.strip() for line in inspect.getsource(answer).splitlines() if len(line.strip()) > 12)


class ExerciseLaws:
    """The laws that hold for the checks of every lesson, whose tests name its answers and inherit them.

    right: by exercise, answers that pass. wrong: exercise, answer, and words that its hint must have, besides the known
    misconceptions. trivial: exercise and an answer that earns nothing. slowest: by exercise, the right answer that takes
    longest. seeds: of the answers that are too slow for as many as the others. more_hints: by exercise, those that neither a
    property nor a misconception gives.
    """

    exercises: ClassVar[Sequence[Exercise]]
    right: ClassVar[Mapping[str, Sequence[Any]]]
    wrong: ClassVar[Sequence[tuple[str, Any, str]]]
    trivial: ClassVar[Sequence[tuple[str, Any]]]
    slowest: ClassVar[Mapping[str, Any]]
    seeds: ClassVar[Mapping[Any, int]] = {}
    more_hints: ClassVar[Mapping[str, Iterable[str]]] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """One test for each answer of each exercise."""
        known = [(one, each) for one in self.exercises for each in one.misconceptions]
        sets: dict[str, tuple[Sequence[Any], Callable[[Any], str]]] = {
            "one": (self.exercises, lambda one: one.id),
            "right_answer": ([(name, each) for name, answers in self.right.items() for each in answers], _named),
            "misconception": (known, lambda pair: f"{pair[0].id} {pair[1].name}"),
            "wrong_answer": (self.wrong, lambda row: f"{_named(row)} {row[2][:24]}"),
            "trivial_answer": (self.trivial, _named),
            "lazy": (list(lazy_answers()), str),
            "slow_answer": (list(self.slowest.items()), _named),
        }
        for name, (values, named) in sets.items():
            if name in metafunc.fixturenames:
                metafunc.parametrize(name, values, ids=[named(value) for value in values])

    def seeds_of(self, answer: Any) -> int:
        return self.seeds.get(answer, SEEDS)

    def test_a_right_answer_in_any_style_passes_whatever_the_seed(self, right_answer: tuple[str, Any]) -> None:
        name, answer = right_answer
        assert judged(exercise(name), answer).hint == ""
        assert verdicts(exercise(name), answer, self.seeds_of(answer)) == {("passed", 10.0)}

    def test_a_known_wrong_answer_gets_its_own_hint_and_the_same_points_whatever_the_seed(
        self, misconception: tuple[Exercise, Any]
    ) -> None:
        one, known = misconception
        assert judged(one, known.answer).hint == hint_of(one, known.name)
        ((status, points),) = verdicts(one, known.answer)
        assert status == "failed" and points < 10

    def test_a_wrong_answer_gets_a_fitting_hint_and_the_same_points_whatever_the_seed(
        self, wrong_answer: tuple[str, Any, str]
    ) -> None:
        name, answer, words = wrong_answer
        assert words in judged(exercise(name), answer).hint
        ((status, points),) = verdicts(exercise(name), answer, self.seeds_of(answer))
        assert status == "failed" and points < 10

    def test_six_or_more_wrong_answers_have_hints_of_their_own(self, one: Exercise) -> None:
        wrong = [judged(one, answer).hint for name, answer, _ in self.wrong if name == one.id]
        assert len({known.hint for known in one.misconceptions}.union(wrong)) >= 6

    def test_hints_are_sentences_without_a_line_of_a_solution(self, one: Exercise) -> None:
        assert_hints_are_hints(one, self.right[one.id], *self.more_hints.get(one.id, ()))

    def test_a_lazy_answer_gets_no_points(self, one: Exercise, lazy: str) -> None:
        assert_earns_nothing(one, lazy_answers()[lazy])

    def test_zeros_of_the_right_shape_and_other_trivial_answers_get_no_points(
        self, trivial_answer: tuple[str, Any]
    ) -> None:
        name, answer = trivial_answer
        assert_earns_nothing(exercise(name), answer)

    def test_an_untouched_answer_is_not_attempted(self, one: Exercise) -> None:
        assert (judged(one, unfinished).status, judged(one, unfinished).points) == ("not attempted", 0.0)

    def test_a_check_takes_under_two_seconds(self, slow_answer: tuple[str, Any]) -> None:
        name, answer = slow_answer
        assert check_only(exercise(name), answer).passed
        assert seconds(exercise(name), answer) < 2


def assert_earns_nothing(one: Exercise, answer: Any) -> None:
    """Failed, no points, and a word on why."""
    result = judged(one, answer)
    assert (result.status, result.points) == ("failed", 0.0)
    assert result.hint


def _named(row: Sequence[Any]) -> str:
    """An exercise and an answer, as the name of a test."""
    return f"{row[0]} {getattr(row[1], '__name__', type(row[1]).__name__)}"

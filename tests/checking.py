"""What the tests of all lessons' checks share: an answer judged in this process, and the laws that hold for every exercise."""

import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import pytest

from labkit.checks import CheckResult, Exercise, check_only, exercise
from labkit.checks.child import Observations, observe_one
from labkit.checks.trial import SEEDS, lazy_answers, misses_idea, odd_hints, try_answer, unfinished
from labkit.checks.verdict import judge_all


def judged(exercise: Exercise, answer: Any, seed: int = 0) -> CheckResult:
    """The result without a child: quick, and only for answers that come back."""
    known = _JUDGED.get((id(exercise), id(answer), seed))
    if known is None:
        cases = list(exercise.cases(np.random.default_rng(seed)))
        observed = [observe_one(exercise.observe, answer, case.inputs) for case in cases]
        known = _JUDGED[id(exercise), id(answer), seed] = (
            exercise,
            answer,
            judge_all(exercise, cases, Observations(observed)),
        )
    return known[2]


_JUDGED: dict[tuple[int, int, int], tuple[Exercise, Any, CheckResult]] = {}  # several laws ask for the same


def verdicts(exercise: Exercise, answer: Any, seeds: int = SEEDS) -> set[tuple[str, float]]:
    """Status and points over many seeds; a check that does not depend on luck gives one of each."""
    return set(try_answer(exercise, answer, seeds, hinted=0).verdicts)


def seconds(exercise: Exercise, answer: Any) -> float:
    """What a check computes, here and in its child, once all is imported and made: whatever else the machine does meanwhile."""
    check_only(exercise, answer)
    before = os.times()
    check_only(exercise, answer)
    return sum(os.times()[:4]) - sum(before[:4])  # the fifth is the time on the wall


def hint_of(exercise: Exercise, misconception: str) -> str:
    """The hint of a known misconception, by its name."""
    (found,) = [known.hint for known in exercise.misconceptions if known.name == misconception]
    return found


def assert_hints_are_hints(exercise: Exercise, answers: Iterable[Any] = (), *more: str) -> None:
    """One or two sentences each, no code, no line of these answers, different misconceptions in different words.

    more: hints that the exercise gives besides those of its properties and misconceptions.
    """
    solutions = [line for answer in answers for line in inspect.getsource(answer).splitlines()]
    assert list(odd_hints(exercise, solutions, more)) == []


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

    @pytest.fixture(params=[40, pytest.param(SEEDS, marks=pytest.mark.slow)], ids="{} seeds".format)
    def seeds_of_wrong(self, request: pytest.FixtureRequest) -> int:
        """A right answer that is refused is the worse mistake, so that wrong ones are tried with fewer seeds every day."""
        return int(request.param)

    def test_a_right_answer_in_any_style_passes_whatever_the_seed(self, right_answer: tuple[str, Any]) -> None:
        name, answer = right_answer
        assert judged(exercise(name), answer).hint == ""
        assert verdicts(exercise(name), answer, self.seeds.get(answer, SEEDS)) == {("passed", 10.0)}

    def test_a_known_wrong_answer_gets_its_own_hint_and_the_same_points_whatever_the_seed(
        self, misconception: tuple[Exercise, Any], seeds_of_wrong: int
    ) -> None:
        one, known = misconception
        assert judged(one, known.answer).hint == hint_of(one, known.name)
        ((status, points),) = verdicts(one, known.answer, seeds_of_wrong)
        assert status == "failed" and points < 10

    def test_a_wrong_answer_gets_a_fitting_hint_and_the_same_points_whatever_the_seed(
        self, wrong_answer: tuple[str, Any, str], seeds_of_wrong: int
    ) -> None:
        name, answer, words = wrong_answer
        assert words in judged(exercise(name), answer).hint
        ((status, points),) = verdicts(exercise(name), answer, self.seeds.get(answer, seeds_of_wrong))
        assert status == "failed" and points < 10

    def test_six_or_more_wrong_answers_have_hints_of_their_own(self, one: Exercise) -> None:
        wrong = [judged(one, answer).hint for name, answer, _ in self.wrong if name == one.id]
        assert len({known.hint for known in one.misconceptions}.union(wrong)) >= 6

    def test_a_wrong_answer_that_misses_the_idea_gets_at_most_half_of_the_points(self, one: Exercise) -> None:
        wrong = [known.answer for known in one.misconceptions] + [row[1] for row in self.wrong if row[0] == one.id]
        missed = [judged(one, answer) for answer in wrong if misses_idea(judged(one, answer))]
        assert missed, "some wrong answer misses the idea"
        assert all(result.points <= result.max_points / 2 for result in missed)

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

"""Laws of trying a check: over all seeds, with the seed that shows the fault; and every law of a check can be broken."""

import dataclasses
import os
import random
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.checks import Exercise, Property
from labkit.checks.child import CAN_FORK
from labkit.checks.courses import checkout, read_course
from labkit.checks.observing import call
from labkit.checks.properties import returns
from labkit.checks.trial import answers_in, broken_laws, lazy_answers, odd_hints, try_answer, unfinished
from labkit.checks.wire import is_integer
from labkit.errors import UsageError

HINT = "Take a short list and add it up by hand: what comes out?"


def observe(answer: Callable[..., Any], inputs: Any) -> dict[str, Any]:
    return call(answer, list(inputs["numbers"]))


def draw(generator: np.random.Generator) -> Iterator[tuple[str, tuple[list[int]]]]:
    for size in (3, 6):
        yield "some", (generator.integers(1, 100, size=size).tolist(),)


SUM = Exercise(
    "7.1",
    "total",
    observe,
    reference=sum,
    takes="numbers",
    drawn=draw,
    properties=(
        Property("the sum", HINT, on="some", fixed=[([1, 2],), ([5, 1, 9],)], core=True, idea=True),
        Property("0 of nothing", "What comes out where there is nothing?", on="none", fixed=[([],)]),
        returns("an int", is_integer),
    ),
    wrong={"the largest": ("You take the largest. All of them count.", lambda numbers: max(numbers, default=0))},
)


def sum_of(numbers: Sequence[int]) -> int:
    """`sum` itself, under which the reference takes inputs by name."""
    return sum(numbers)


SUM = dataclasses.replace(SUM, reference=sum_of)


def fails_sometimes(numbers: Sequence[int]) -> int:
    return -1 if len(numbers) == 6 and numbers[0] % 20 == 8 else sum(numbers)


# One answer, many seeds


def test_a_right_answer_passes_with_every_seed() -> None:
    trial = try_answer(SUM, sum, 50)
    assert trial.verdicts == {("passed", 10.0): list(range(50))} and trial.fault(is_right=True) == ""
    assert trial.fault(is_right=False) == "passed with 50 seeds, such as 0"


def test_the_first_seed_with_which_a_right_answer_fails_is_shown() -> None:
    trial = try_answer(SUM, fails_sometimes, 100, hinted=0)
    seeds = trial.verdicts["failed", 0.0]
    assert 0 < len(seeds) < 50 and seeds[0] > 0
    assert trial.fault(is_right=True) == f"failed with {len(seeds)} seeds, such as {seeds[0]}: 0 points"
    shown = trial.telling(is_right=True)
    assert shown == trial.results[seeds[0]] and shown.example is not None and shown.example.got == "-1"


def test_a_wrong_answer_that_some_seed_lets_pass_is_told() -> None:
    trial = try_answer(SUM, fails_sometimes, 100)
    assert trial.fault(is_right=False).startswith("passed with ") and trial.telling(is_right=False).passed


def test_points_that_hang_on_the_seed_are_told() -> None:
    def untidy(numbers: Sequence[int]) -> float:
        total = sum(numbers) if numbers else 1
        return float(total) if len(numbers) == 6 and numbers[0] % 20 == 8 else total

    assert re.fullmatch(
        r"its points hang on the seed: 8\.8 with \d+ seeds, such as 0; 7\.5 with \d+ seeds, such as \d+",
        try_answer(SUM, untidy, 100).fault(is_right=False),
    )


def test_a_hint_that_hangs_on_the_seed_is_told() -> None:
    bare = dataclasses.replace(SUM.properties[0], fixed=())
    first = {"the first": ("You take the first. All of them count.", lambda numbers: [*numbers, 0][0])}
    drawn_alone = dataclasses.replace(SUM, properties=[bare, *SUM.properties[1:]], wrong=dict(SUM.wrong) | first)

    def either(numbers: Sequence[int]) -> int:
        return max(numbers, default=0) if sum(numbers) % 2 else [*numbers, 0][0]

    said = try_answer(drawn_alone, either, 50, hinted=50).fault(is_right=False)
    assert said.startswith("its hint hangs on the seed: ") and "You take the first." in said and "the largest" in said


@pytest.mark.skipif(not CAN_FORK, reason="where there is no fork a hanging answer stays behind")
def test_an_answer_that_does_not_come_back_is_tried_once() -> None:
    def loops(numbers: Sequence[int]) -> int:
        while True:
            pass

    begun = time.monotonic()
    trial = try_answer(SUM, loops, 200, timeout=0.3)
    assert time.monotonic() - begun < 20 and trial.verdicts == {("failed", 0.0): [0]}
    assert "too long" in trial.first.hint
    assert "ended before" in try_answer(SUM, lambda numbers: os._exit(1), 9, timeout=5).first.hint


def test_a_process_of_its_own_says_the_same_and_leaves_this_one_alone() -> None:
    def draws(numbers: Sequence[int]) -> int:
        return sum(numbers) + 0 * int(10 * random.random())

    state = random.getstate()
    here, apart = try_answer(SUM, draws, 20), try_answer(SUM, draws, 20, timeout=10)
    assert here.verdicts == apart.verdicts and here.hints == apart.hints and len(here.verdicts) == 1
    assert random.getstate() == state


def test_what_cannot_be_called_is_a_wrong_answer() -> None:
    assert try_answer(SUM, 3, 5).verdicts == {("failed", 0.0): [0, 1, 2, 3, 4]}


def test_another_exercise_of_the_same_id_has_cases_of_its_own() -> None:
    try_answer(SUM, sum, 5)
    other = dataclasses.replace(SUM, drawn=lambda generator: [("some", ([1000],))])
    assert not try_answer(other, lambda numbers: min(sum(numbers), 999), 5).first.passed


# The laws


def test_a_good_exercise_breaks_no_law() -> None:
    assert broken_laws(SUM) == []


@pytest.mark.parametrize("exercise_id", read_course(checkout()).modules())
def test_every_exercise_of_labkits_own_course_keeps_the_laws(exercise_id: str) -> None:
    """With few seeds here; the tests of its lessons ask for points with many."""
    assert broken_laws(read_course(checkout()).exercise(exercise_id), 2) == []


def only(**changes: Any) -> Exercise:
    return dataclasses.replace(SUM, **changes)


def with_property(place: int, **changes: Any) -> Exercise:
    properties = list(SUM.properties)
    properties[place] = dataclasses.replace(properties[place], **changes)
    return only(properties=properties)


BROKEN = {
    "a name that is none": (only(name="the total"), "'the total' is no name for a function or a class"),
    "points of its own": (only(max_points=5.0), "max_points is 5; wanted 10, as for every exercise"),
    "a warm-up with points": (only(id="0.1"), "max_points is 10; wanted 0, as for every warm-up"),
    "nothing core": (with_property(0, core=False), "no property is core"),
    "an idea that nobody named": (with_property(0, idea=False), "no property carries its idea"),
    "an idea that a trivial answer may have": (
        with_property(0, core=False),
        "no property that carries its idea is core",
    ),
    "an idea that is a matter of manners": (with_property(2, idea=True), "what carries its idea is nothing of manners"),
    "an idea that every wrong answer has": (
        only(wrong={"always a float": ("It is one of the right number.", lambda numbers: float(sum(numbers)))}),
        "every wrong answer that it knows has its idea; wanted one that misses it",
    ),
    "no wrong answer": (only(wrong={}), "it knows no wrong answer"),
    "no reference": (only(reference=None), "a property without a test needs a reference"),
    "a property without a case": (with_property(1, on="never", fixed=()), "'0 of nothing' has no case with 200 seeds"),
    "a property that some seed leaves out": (
        only(
            properties=(*SUM.properties, Property("many", HINT, on="many")),
            drawn=lambda generator: [("many" if generator.random() < 0.9 else "some", ([1, 2, 3],))],
        ),
        r"the property 'many' has no case with \d+ seeds, such as \d",
    ),
    "a long hint": (with_property(0, hint="Look. " * 40), "a hint is one or two sentences in under 200 letters"),
    "a hint that is no sentence": (with_property(0, hint="look"), "a hint is one or two sentences"),
    "code in a hint": (with_property(0, hint="Try sum(numbers) here."), "a hint has no code: 'Try sum"),
    "one hint for two": (
        only(wrong=dict(SUM.wrong) | {"the first": (SUM.wrong["the largest"][0], lambda numbers: [*numbers, 0][0])}),
        "two wrong answers have the same hint",
    ),
    "a wrong answer that is right": (
        only(wrong={"it": ("It is off.", sum)}),
        "the wrong answer 'it': passed with 200 seeds",
    ),
    "a wrong answer that is right now and then": (
        only(wrong={"it": ("It is off.", fails_sometimes)}),
        r"the wrong answer 'it': passed with \d+ seeds",
    ),
    "a hint that nobody gets": (
        only(wrong={"a": ("You see it.", max_or_0 := lambda n: max(n, default=0)), "b": ("You do not.", max_or_0)}),
        "the wrong answer 'b' gets another hint than its own: 'You see it.'",
    ),
    "points for nothing": (
        with_property(1, core=True),
        r"an answer that is none \(always 0\): failed, 5 points; wanted failed, 0 points",
    ),
    "an untouched answer that is attempted": (
        only(observe=lambda answer, inputs: {"value": 0} if answer is unfinished else observe(answer, inputs)),
        "was not taken for an answer that nobody has begun",
    ),
}


@pytest.mark.parametrize("law", BROKEN)
def test_every_law_can_be_broken_and_is_said(law: str) -> None:
    exercise, said = BROKEN[law]
    found = broken_laws(exercise)
    assert any(re.search(said, one) for one in found), found


def points(of: Exercise, answer: Any) -> float:
    return try_answer(of, answer, 1).first.points


def test_the_idea_has_at_least_half_of_the_points() -> None:
    assert SUM.share_of_idea == 0.5
    assert points(SUM, lambda numbers: sum(numbers) if numbers else 1) == 8.8
    assert points(with_property(1, core=True), lambda numbers: max(numbers, default=0)) == 5
    row = next(row for row in try_answer(SUM, fails_sometimes, 1).first.properties if row.idea)
    assert str(row) == "the sum (the idea: what is marked so earns half of the points, together)"


def test_an_idea_of_several_properties_is_had_or_not() -> None:
    two = with_property(1, idea=True)
    assert two.share_of_idea == 0.5
    assert points(two, lambda numbers: sum(numbers) if numbers else 1) == points(two, len) + 5 == 5
    assert dataclasses.replace(two, keeps_arguments=None, keeps_random_state=False).share_of_idea == 2 / 3


def test_an_exercise_whose_idea_nobody_named_gives_the_share_of_its_properties() -> None:
    assert points(with_property(0, idea=False), lambda numbers: sum(numbers) if numbers else 1) == 8


def test_a_line_of_a_solution_in_a_hint_is_found() -> None:
    told = with_property(0, hint="You need total += number, again and again.")
    assert list(odd_hints(told, ["        total += number"])) == [
        "a hint has no line of a solution: 'You need total += number, again and again.'"
    ]
    assert list(odd_hints(SUM, ["    return x"], ["Look at sum(x) again."])) == [
        "a hint has no code: 'Look at sum(x) again.'"
    ]


def test_the_answers_that_are_none_are_what_their_names_say() -> None:
    lazy = lazy_answers()
    assert lazy["nothing"](1) is None and lazy["itself"]([1]) == [1] and lazy["always [0]"](3) == [0]
    with pytest.raises(SystemExit):
        lazy["exits"]()


# Files with answers


def test_the_answer_is_what_goes_by_the_exercises_name_else_all_that_is_public(tmp_path: Path) -> None:
    path = tmp_path / "answers.py"
    path.write_text(
        "from math import sqrt\nfrom collections import Counter\nLIMIT = 3\n_kept = lambda n: 1\nquick = lambda n: 2\n"
        "def _helper(): ...\ndef slow(n): ...\nclass Total: ...\n"
    )
    assert list(answers_in(path, "total")) == ["quick", "slow", "Total"]
    path.write_text("def total(n): return 1\ndef other(n): return 2\n")
    assert [answer(0) for answer in answers_in(path, "total").values()] == [1]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("absent.py", None, r"absent\.py: no such file; wanted a Python file that defines total"),
        ("notes.txt", "x", r"notes\.txt: no such file"),
        ("bad.py", "def f(:", r"bad\.py cannot be run: SyntaxError"),
        ("bad.py", "import nothing_of_that_name", r"bad\.py cannot be run: ModuleNotFoundError"),
        ("empty.py", "from math import sqrt\n_a = len", r"empty\.py defines neither total nor any other function"),
    ],
)
def test_a_file_without_an_answer_is_one_sentence(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match=said) as refused:
        answers_in(tmp_path / name, "total")
    assert "\n" not in str(refused.value)

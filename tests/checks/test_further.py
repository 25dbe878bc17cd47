"""What a check has for who is stuck, and for who has passed: further hints, and the course's own source beside one's own."""

import inspect
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from IPython.core.interactiveshell import InteractiveShell

import labkit
import labkit.widgets
from labkit.checks import CheckResult, another_hint, check, exercise, progress
from labkit.checks.beside import beside, source_of
from labkit.checks.courses import served
from labkit.checks.further import NAMES, asked_in, hints_so_far
from labkit.checks.trial import odd_hints
from labkit.errors import UsageError
from labkit.student_work import Work

ALL = list(served().modules())


def right(logits: Any) -> Any:
    return labkit.softmax(logits)


def wrong(logits: Any) -> Any:
    return logits


@pytest.fixture(autouse=True)
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A student's folder, in which the tests work."""
    (tmp_path / ".labkit").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def failed(exercise_id: str) -> None:
    Work().save("checks", exercise_id, {"status": "failed", "points": 0.0})


# Further hints


@pytest.mark.parametrize("exercise_id", ALL)
def test_every_exercise_of_the_course_has_a_nudge_and_the_idea_in_words_that_give_no_line_away(
    exercise_id: str,
) -> None:
    one = exercise(exercise_id)
    assert one.nudge and one.in_words and one.nudge != one.in_words
    own = beside(served(), one, None)
    assert own
    assert list(odd_hints(one, own.own.splitlines())) == []


def test_further_hints_come_one_at_a_time_and_each_is_counted_once() -> None:
    failed("4.1")
    nudge, in_words = exercise("4.1").nudge, exercise("4.1").in_words
    assert nudge not in str(hints_so_far("4.1")) and hints_so_far("4.1").following == NAMES[0]
    first = another_hint("4.1")
    assert nudge in str(first) and in_words not in str(first) and first.following == NAMES[1]
    second = another_hint("4.1")
    assert nudge in str(second) and in_words in str(second) and not second.following
    assert another_hint("4.1") == second and Work().hints["4.1"]["asked"] == 2


def test_before_a_check_there_is_no_further_hint_and_after_it_was_passed_none_is_counted() -> None:
    for status in ("", "not attempted"):
        if status:
            Work().save("checks", "4.1", {"status": status})
        assert exercise("4.1").nudge not in str(another_hint("4.1")) and "checked first" in str(another_hint("4.1"))
    Work().save("checks", "4.1", {"status": "passed"})
    assert exercise("4.1").in_words in str(another_hint("4.1")) and not Work().hints


def test_an_id_that_is_none_is_refused_and_an_exercise_without_further_hints_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match=r"no exercise '4\.9'"):
        another_hint("4.9")
    monkeypatch.setattr(type(exercise("4.1")), "nudge", "")
    for name in ("nudge", "in_words"):
        monkeypatch.setitem(exercise("4.1").__dict__, name, "")
    assert "no further hints" in str(another_hint("4.1")) and not check("4.1", wrong).further_hints


def test_the_count_of_further_hints_survives_the_next_check_and_is_shown_wherever_results_are() -> None:
    offered = check("4.1", wrong)
    assert offered.further_hints == 0 and 'another_hint("4.1")' in str(offered) and "a nudge" in offered._repr_html_()
    another_hint("4.1")
    for answer in (wrong, right):
        result = check("4.1", answer)
        assert result.further_hints == result.as_json()["further_hints"] == 1
        assert "Further hints asked for: 1." in str(result) and "Further hints asked for: 1." in result._repr_html_()
    assert "another_hint" not in str(result), "passed"
    assert re.search(r"4\.1 +passed +10 +1 further hint\n", str(progress()))
    assert '<th scope="col">further hints</th>' in progress()._repr_html_()


@pytest.mark.parametrize("asked", [None, True, "2", -1, 1.5, [], 10**400])
def test_a_count_that_is_none_takes_no_view_away(mine: Path, asked: object) -> None:
    failed("4.1")
    (mine / ".labkit" / "hints.json").write_text(json.dumps({"4.1": {"asked": asked}}))
    assert asked_in({"asked": asked}) in (0, len(NAMES)) and str(progress()) and str(hints_so_far("4.1"))


def test_without_a_students_folder_a_check_offers_nothing_that_it_could_not_count(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert "another_hint" not in str(check("4.1", wrong)) and not list(Path.cwd().iterdir())


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> InteractiveShell:
    """What runs the cells of a notebook, as far as results and buttons know."""
    shell = InteractiveShell()
    monkeypatch.setattr("labkit.checks.in_notebook", lambda: True)
    monkeypatch.setattr("labkit.widgets.hinting.get_ipython", lambda: shell)
    shell.user_ns.update(check=check, wrong=wrong, right=right)
    return shell


def test_a_failed_check_is_its_cells_result_and_has_its_button_below(
    shell: InteractiveShell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[Any] = []
    monkeypatch.setattr("labkit.widgets.hinting.display", shown.append)
    result = shell.run_cell('check("4.1", wrong)').result
    assert isinstance(result, CheckResult) and not hasattr(result, "_ipython_display_")
    assert shell.display_formatter.format(result)[0]["text/html"], "shown as the result, in which nbgrader reads points"
    (button,) = shown
    assert "Show a nudge" in button.controls["ask"].description
    for cell in ("1", 'check("4.1", right)'):
        shell.run_cell(cell)
    monkeypatch.delitem(sys.modules, "labkit.widgets")
    shell.run_cell('check("4.1", wrong)')
    assert shown == [button], "once, and only where there is a further hint and a page with widgets"


def test_the_button_gives_one_further_hint_at_a_time_until_there_is_none() -> None:
    failed("5.1")
    shown = labkit.widgets.further_hints("5.1")
    ask, words = shown.controls["ask"], exercise("5.1")
    ask.click()
    assert words.nudge in str(shown) and words.in_words not in str(shown) and "idea" in ask.description
    ask.click()
    assert words.in_words in str(shown) and ask.layout.display == "none" and Work().hints["5.1"]["asked"] == 2


# The course's own source


def test_the_courses_own_source_stands_beside_an_answer_that_has_passed_and_beside_no_other() -> None:
    passed, not_passed = check("4.1", right), check("4.1", wrong)
    assert passed.beside and passed.beside.name == "labkit.softmax" and passed.beside.yours == inspect.getsource(right)
    assert passed.beside.own == inspect.getsource(labkit.softmax)
    page = passed._repr_html_()
    assert "labkit.softmax, beside yours</summary>" in page and "<details open>" not in page
    assert not_passed.beside is None and "beside" not in not_passed._repr_html_()
    assert "beside" not in passed.as_json() and "def softmax" not in str(passed), "for who asks: result.beside"


@pytest.mark.parametrize("exercise_id", ALL)
def test_every_exercise_has_a_source_to_stand_beside(exercise_id: str) -> None:
    own = beside(served(), exercise(exercise_id), None)
    assert own and re.match(r"(@\w|def |class )", own.own) and not own.yours


def test_where_the_course_has_no_function_of_that_name_its_reference_stands_beside() -> None:
    own = beside(served(), exercise("0.1"), None)
    assert own and own.name == "the reference" and own.own.startswith("def accuracy_reference")


def test_a_class_that_a_cell_defines_has_its_source_too() -> None:
    import linecache

    text = """import functools

@functools.total_ordering
class Rule:
    def step(self, loss):
        return loss > 0
    def __lt__(self, other):
        return False
"""
    linecache.cache["<cell 7>"] = len(text), None, text.splitlines(keepends=True), "<cell 7>"
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, "<cell 7>", "exec"), space)
    assert source_of(space["Rule"]) == text.partition("\n\n")[2].rstrip("\n")


@pytest.mark.parametrize("thing", [len, 3, type("Odd", (), {}), object()])
def test_what_has_no_source_has_an_empty_one(thing: Any) -> None:
    assert source_of(thing) == ""

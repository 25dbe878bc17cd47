"""The map says truly how far one is, and leads to the lesson that comes next."""

from pathlib import Path
from typing import Any

import pytest

from labkit.course.notebooks import notebook_bytes
from labkit.lessons import course_map
from labkit.student_work import Work

LESSONS: dict[str, dict[str, Any]] = {
    "00_map": {"lesson": "00", "title": "Map", "minutes": 30, "exercises": []},
    "01_first": {"lesson": "01", "title": "First <b>", "minutes": 50, "further": 20, "exercises": ["1.1", "1.2"]},
    "10_last": {"lesson": "10", "title": "Last", "minutes": 45, "exercises": ["10.1"]},
}


@pytest.fixture(autouse=True)
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name, about in LESSONS.items():
        notebook = {"cells": [], "metadata": {"labkit": about}, "nbformat": 4, "nbformat_minor": 5}
        (tmp_path / f"{name}.ipynb").write_bytes(notebook_bytes(notebook))
    (tmp_path / "07_torn.ipynb").write_text("{")
    (tmp_path / "08_own.ipynb").write_bytes(notebook_bytes(notebook | {"metadata": {}}))
    return tmp_path


def keep(kind: str, key: str, day: int, **entry: Any) -> None:
    Work().save(kind, key, entry | {"at": f"2026-01-{day:02}T12:00:00+0000"})


def passed(exercise: str, day: int) -> None:
    keep("checks", exercise, day, status="passed", points=10)


def test_who_has_done_nothing_begins_at_the_beginning() -> None:
    assert [one.name for one in course_map().lessons] == ["00 Map", "01 First <b>", "10 Last"]
    assert course_map().here == course_map().lessons[0]
    assert str(course_map()).endswith("Continue here: 00 Map (not begun yet).")


def test_one_goes_on_where_one_was_last_and_then_with_what_is_not_done() -> None:
    keep("predictions", "00-word", 1, choice="not")
    keep("predictions", "01-time", 2, choice=None)
    passed("1.2", 3)
    first = course_map().here
    assert first is not None and (first.lesson, first.passed, first.predictions) == ("01", ["1.2"], 0)
    assert first.next_step == "still to pass: 1.1"
    passed("1.1", 4)
    assert course_map().here.lesson == "10"  # the next one, not the map that was left open
    passed("10.1", 5)
    assert course_map().here.lesson == "00"
    keep("reflections", "00-map", 6, text="  ")
    assert course_map().here.next_step == "its reflection is still to be written"
    keep("reflections", "00-map", 6, text="I see.")
    assert course_map().here is None and "Every lesson is done." in str(course_map())


def test_the_page_links_to_the_lesson_and_tells_both_times() -> None:
    passed("1.2", 3)
    page = course_map()._repr_html_()
    assert 'Continue here: <a href="01_first.ipynb">01 First &lt;b&gt;</a></strong> (still to pass: 1.1)' in page
    assert "<td>50 min</td><td>70 min</td><td>1 of 2</td>" in page


@pytest.mark.parametrize("entry", [{}, {"status": 3}, {"at": None}, {"status": "passed", "at": []}])
def test_what_was_edited_by_hand_breaks_nothing(entry: dict[str, Any]) -> None:
    for kind, key in (("checks", "1.1"), ("predictions", "01-time"), ("reflections", "01-first"), ("checks", "x")):
        Work().save(kind, key, entry)
    assert len(course_map().lessons) == 3 and str(course_map())


def test_a_folder_without_lessons_shows_those_of_the_course(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (copy / "empty").mkdir()
    monkeypatch.chdir(copy / "empty")
    assert [one.lesson for one in course_map().lessons[:2]] == ["00", "01"]

"""Laws of the student's page of a lesson: all that was kept, nobody else's file, and no text becomes markup."""

import html
import json
import re
from pathlib import Path

import pytest

from labkit.errors import UsageError
from labkit.student_work import Work
from labkit.widgets import lesson_page, outcome, predict, reflection

HOSTILE = "<script>alert('x')</script> & \"quoted\" {{ 7 * 7 }}"


@pytest.fixture(autouse=True)
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A student's copy with the notebook of one lesson, as the current folder."""
    (tmp_path / ".labkit").mkdir()
    facts = {"labkit": {"lesson": "04", "title": "Metrics"}}
    notebook = {"nbformat": 4, "nbformat_minor": 5, "metadata": facts, "cells": []}
    (tmp_path / "04_metrics.ipynb").write_text(json.dumps(notebook))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def text_of(page: Path) -> str:
    return html.unescape(re.sub(r"<[^>]+>", " ", page.read_text("utf-8")))


def test_the_page_has_all_that_was_kept_of_its_lesson_and_nothing_of_another(copy: Path) -> None:
    for key in ("04-softmax", "05-epochs"):
        predict(key, f"What of {key}?", ["more", "less"]).controls["choice"].value = "less"
        outcome(key, "more")
        reflection(key, "What now?").controls["text"].value = f"Thoughts on {key}"
    Work().save("checks", "4.1", {"status": "passed", "points": 10.0})
    Work().save("checks", "5.1", {"status": "failed", "points": 2.5})
    shown = lesson_page("04")
    assert shown.path == copy / "04_metrics-page.html"
    text = text_of(shown.path)
    assert "Lesson 04: Metrics" in text
    for said in (
        "What of 04-softmax?",
        "less",
        "more",
        "Not as predicted.",
        "Thoughts on 04-softmax",
        "10 of 60 points",
    ):
        assert said in text
    assert re.search(r"4\.1\s+softmax\s+passed\s+10 of 10", text) and re.search(
        r"4\.6\s+\w+\s+not checked\s+0 of 10", text
    )
    assert "05-epochs" not in text and "5.1" not in text
    assert "1 of 6 exercises passed" in str(shown) and 'href="04_metrics-page.html"' in shown._repr_html_()


def test_what_is_kept_later_comes_onto_the_page_by_itself() -> None:
    path = lesson_page("04").path
    assert path and "Nothing has been written yet" in text_of(path)
    reflection("04-end", "What now?").controls["text"].value = "Later thoughts"
    predict("04-k", "More?", ["yes", "no"]).controls["choice"].value = "yes"
    outcome("04-k", "yes")
    assert all(said in text_of(path) for said in ("Later thoughts", "More?", "As predicted."))


def test_nothing_kept_writes_no_page_that_nobody_asked_for(copy: Path) -> None:
    reflection("04-end", "What now?").controls["text"].value = "Thoughts"
    reflection("odd key", "What now?").controls["text"].value = "Thoughts"
    assert list(copy.glob("*.html")) == []


def test_the_page_of_an_untouched_lesson_says_what_there_is_not() -> None:
    path = lesson_page("04").path
    assert path
    text = text_of(path)
    assert "No prediction has been made" in text and "0 of 60 points" in text


def test_without_a_students_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setattr("labkit.student_work.course_folder", lambda: folder)
    shown = lesson_page("04")
    assert shown.path is None and list(folder.iterdir()) == [] and "no reflection yet" in str(shown)


def test_a_file_of_somebody_elses_stays_and_is_named(copy: Path) -> None:
    (copy / "04_metrics-page.html").write_text("mine")
    shown = lesson_page("04")
    reflection("04-end", "What now?").controls["text"].value = "Thoughts"
    assert (copy / "04_metrics-page.html").read_text() == "mine"
    assert shown.path is None and "04_metrics-page.html is there already" in str(shown)


def test_every_text_stands_on_the_page_as_it_is() -> None:
    predict("04-k", HOSTILE, [HOSTILE, "b"]).controls["choice"].value = HOSTILE
    outcome("04-k", HOSTILE)
    reflection("04-end", HOSTILE).controls["text"].value = HOSTILE + "\udc80"
    shown = lesson_page("04")
    assert shown.path
    page = shown.path.read_text("utf-8")
    assert (
        "<script>" not in page and "49" not in page.partition("<body>")[2] and text_of(shown.path).count(HOSTILE) >= 4
    )


def test_the_same_work_gives_the_same_page_which_needs_nothing_beside_itself() -> None:
    first, second = (lesson_page("04").path.read_bytes() for _ in range(2))  # type: ignore[union-attr]
    assert first == second and b"http" not in first.replace(b"http-equiv", b"") and b"src=" not in first


@pytest.mark.parametrize("entry", [{}, {"choice": 3}, {"choice": "a", "outcome": ["b"]}, {"choice": "a", "choices": 1}])
def test_an_odd_entry_in_the_students_file_stops_nothing(copy: Path, entry: object) -> None:
    for kind in ("predictions", "reflections"):
        (copy / ".labkit" / f"{kind}.json").write_text(json.dumps({"04-k": entry}))
    (copy / ".labkit" / "checks.json").write_text(
        json.dumps({"4.1": entry, "4.2": {"status": "passed", "points": "x"}})
    )
    (copy / "04_metrics.ipynb").write_text("{")
    assert lesson_page("04").title == "Lesson 04"


@pytest.mark.parametrize("lesson", ["4", "metrics", "", "٠٤"])
def test_what_is_no_lesson_is_refused(lesson: str) -> None:
    with pytest.raises(UsageError, match="such as '04'"):
        lesson_page(lesson)

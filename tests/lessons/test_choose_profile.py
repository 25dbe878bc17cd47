"""Laws of the profile choice: what is chosen is kept for every lesson, and what is in force is said as it is."""

import html
from pathlib import Path

import pytest

from labkit.lessons import choose_profile, open_lesson
from labkit.lessons.profiles import ABOUT, PROFILES, current_profile
from labkit.student_work import Work
from labkit.widgets.interactive import WIDGET_MIME


@pytest.fixture(autouse=True)
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course folder as the current one, and no profile set from outside."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LABKIT_PROFILE", raising=False)
    return tmp_path


def test_asking_alone_keeps_nothing_and_shows_the_default(course: Path) -> None:
    asked = choose_profile()
    assert asked.controls["profile"].value == "laptop" and "In force: laptop" in asked.picture.words
    assert list(course.iterdir()) == []


def test_a_choice_is_kept_at_once_for_every_lesson_and_shown_again() -> None:
    asked = choose_profile()
    asked.controls["profile"].value = "tiny"
    assert (Work().settings["profile"]["choice"], current_profile(), open_lesson().profile) == ("tiny",) * 3
    assert asked.view.children[-1].value.startswith("Kept: tiny. In force: tiny")
    assert choose_profile().controls["profile"].value == "tiny"


def test_the_variable_is_in_force_whatever_is_chosen_and_the_choice_is_kept_for_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LABKIT_PROFILE", "tiny")
    asked = choose_profile()
    asked.controls["profile"].value = "gpu"
    for said in (asked.view.children[-1].value, asked.picture.words):
        assert "In force: tiny, because LABKIT_PROFILE is set" in said
    assert current_profile() == "tiny"
    monkeypatch.delenv("LABKIT_PROFILE")
    assert current_profile() == "gpu"


def test_a_variable_that_names_no_profile_is_said_and_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABKIT_PROFILE", "<tinny>")
    asked = choose_profile()
    assert "LABKIT_PROFILE <tinny> is none of" in asked.picture.words and "no lesson opens" in asked.picture.words
    assert "&lt;tinny&gt;" in asked.picture.html and "<tinny>" not in asked.picture.html
    assert "<tinny>" not in asked.view.children[-1].value


def test_every_profile_is_offered_with_what_it_means() -> None:
    asked = choose_profile()
    assert [value for _, value in asked.controls["profile"].options] == list(PROFILES)
    for name, about in ABOUT.items():
        assert f"{name}: {about}" in asked.picture.words
        assert html.escape(about) in asked.picture.html
    assert asked.controls["profile"].description.strip()


def test_a_folder_that_cannot_be_written_to_costs_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read-only <folder>")

    monkeypatch.setattr(Work, "save", refuse)
    asked = choose_profile()
    asked.controls["profile"].value = "tiny"
    assert asked.view.children[-1].value == "This could not be kept: read-only &lt;folder&gt;"


def test_where_widgets_cannot_run_there_is_a_still_in_words() -> None:
    bundle = choose_profile()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", WIDGET_MIME}
    assert "◉ laptop" in bundle["text/plain"] and "<table>" in bundle["text/html"]

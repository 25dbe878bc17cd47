"""Laws of the student's folder: what was kept stays kept, whatever else happens."""

import json
import threading
from pathlib import Path

import pytest
from filelock import FileLock

from labkit.student_work import Work, course_folder


def test_the_course_folder_is_the_nearest_above_that_holds_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "course" / "notebooks"
    inner.mkdir(parents=True)
    (tmp_path / "course" / ".labkit").mkdir()
    monkeypatch.chdir(inner)
    assert course_folder() == tmp_path / "course"


def test_without_any_work_the_course_folder_is_the_current_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert course_folder() == tmp_path


def test_reading_leaves_no_trace(tmp_path: Path) -> None:
    work = Work(tmp_path)
    assert not work.exists
    assert (work.predictions, work.reflections, work.checks) == ({}, {}, {})
    assert list(tmp_path.iterdir()) == []


def test_what_is_saved_is_read_again_and_other_entries_stay(tmp_path: Path) -> None:
    Work(tmp_path).save("predictions", "01-a", {"choice": "naïve \ud800"})
    Work(tmp_path).save("predictions", "01-b", {"choice": "yes"})
    Work(tmp_path).save("checks", "1.1", {"status": "passed"})
    work = Work(tmp_path)
    assert work.exists
    assert work.predictions == {"01-a": {"choice": "naïve \ud800"}, "01-b": {"choice": "yes"}}
    assert work.checks == {"1.1": {"status": "passed"}}


def test_entries_written_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    def write(number: int) -> None:
        Work(tmp_path).save("reflections", f"key-{number}", {"text": str(number)})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(Work(tmp_path).reflections) == {f"key-{number}" for number in range(16)}


@pytest.mark.parametrize("damage", [b'{"a": {"choice": ', b"[1]", b'{"a": 1}', b"\xff\xfe", b"", b"[" * 100_000])
def test_a_damaged_file_is_set_aside_whole_and_said(tmp_path: Path, damage: bytes) -> None:
    folder = tmp_path / ".labkit"
    folder.mkdir()
    (folder / "predictions.json").write_bytes(damage)
    (folder / "predictions.damaged-1.json").write_text("an earlier one")
    said: list[str] = []
    Work(tmp_path, said.append).save("predictions", "new", {"choice": "b"})
    assert (folder / "predictions.damaged-1.json").read_text() == "an earlier one"
    assert (folder / "predictions.damaged-2.json").read_bytes() == damage
    assert len(said) == 1 and "predictions.damaged-2.json" in said[0]
    assert Work(tmp_path).predictions == {"new": {"choice": "b"}}


def test_reading_a_damaged_file_sets_it_aside_too(tmp_path: Path) -> None:
    (tmp_path / ".labkit").mkdir()
    (tmp_path / ".labkit" / "checks.json").write_text("no json")
    said: list[str] = []
    assert Work(tmp_path, said.append).checks == {}
    assert (tmp_path / ".labkit" / "checks.damaged-1.json").read_text() == "no json"
    assert said


@pytest.mark.parametrize("value", [{"points": float("nan")}, {"points": object()}])
def test_a_value_that_json_cannot_hold_changes_nothing(tmp_path: Path, value: dict[str, object]) -> None:
    Work(tmp_path).save("checks", "1.1", {"points": 10.0})
    with pytest.raises((TypeError, ValueError)):
        Work(tmp_path).save("checks", "1.1", value)
    assert json.loads((tmp_path / ".labkit" / "checks.json").read_text()) == {"1.1": {"points": 10.0}}


def test_an_unknown_kind_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="did you mean checks"):
        Work(tmp_path).save("check", "1.1", {})


def test_the_folder_shows_how_much_is_kept_in_each_file(tmp_path: Path) -> None:
    Work(tmp_path).save("predictions", "a", {"choice": "<b>"})
    Work(tmp_path).save("predictions", "b", {"choice": "c"})
    rows = [line.split()[:2] for line in str(Work(tmp_path)).splitlines()]
    assert rows == [
        ["predictions.json", "2"],
        ["reflections.json", "0"],
        ["checks.json", "0"],
        ["hints.json", "0"],
        ["settings.json", "0"],
    ]
    page = Work(tmp_path)._repr_html_()
    assert "predictions.json</th><td>2</td>" in page and "<b>" not in page


def test_a_lock_that_another_holds_for_too_long_names_the_folder_and_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Work(tmp_path).save("checks", "1.1", {"points": 1.0})
    monkeypatch.setattr("labkit.student_work.LOCK_SECONDS", 0.0)
    with (
        FileLock(tmp_path / ".labkit" / ".lock"),
        pytest.raises(TimeoutError, match="close the other notebooks") as held,
    ):
        Work(tmp_path).save("checks", "1.1", {"points": 2.0})
    assert str(tmp_path / ".labkit") in str(held.value)

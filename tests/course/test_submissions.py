"""Laws of `labkit course collect`: what was handed in lies where nbgrader looks for it, and what cannot be taken is named."""

import os
import shutil
from pathlib import Path

import pytest
from courses import LABELS, LENGTHS, answer, cell_of, work_in, write_course

from labkit.checks.courses import Course
from labkit.cli import main
from labkit.course.build import build
from labkit.course.hand_in import hand_in
from labkit.course.notebooks import exercises_of, read_notebook
from labkit.course.submissions import collect, mended
from labkit.errors import UsageError
from labkit.files import sha256

MAP = LABELS.replace("2.1", "0.1").replace("# Labels", "# Map")
ANSWER = "    return 1  # mine"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """Read it only."""
    masters = {"00_map": MAP, "01_lengths": LENGTHS, "02_labels": LABELS}
    course = write_course(tmp_path_factory.mktemp("course") / "course", masters)
    build(course)
    return course


@pytest.fixture
def hand_ins(built: Course, tmp_path: Path) -> Path:
    """Two students: one with the zip of a copy under another name, one with a notebook."""
    work = Path(shutil.copytree(built.notebooks, tmp_path / "work"))
    work_in(work / "02_labels.ipynb", answer("2.1", ANSWER))
    for student in ("ada", "ben b"):
        (tmp_path / "hand-ins" / student).mkdir(parents=True)
    (work / "02_labels.ipynb").rename(work / "02_labels-Copy1.ipynb")
    hand_in(work, "02_labels-Copy1.ipynb", tmp_path / "hand-ins" / "ada" / "late.zip")
    shutil.copy(work / "01_lengths.ipynb", tmp_path / "hand-ins" / "ben b")
    return tmp_path / "hand-ins"


def files(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): sha256(path) for path in folder.rglob("*") if path.is_file()}


def test_every_hand_in_lies_under_its_student_and_its_lesson(built: Course, hand_ins: Path, tmp_path: Path) -> None:
    os.utime(hand_ins / "ada" / "late.zip", (0, 0.25))
    said = collect(built, hand_ins, tmp_path / "grading")
    assert set(files(tmp_path / "grading")) == {
        "nbgrader_config.py",
        "source/01_lengths/01_lengths.ipynb",
        "source/02_labels/02_labels.ipynb",
        "submitted/ada/02_labels/02_labels.ipynb",
        "submitted/ada/02_labels/timestamp.txt",
        "submitted/ben b/01_lengths/01_lengths.ipynb",
        "submitted/ben b/01_lengths/timestamp.txt",
    }
    assert str(said) == "assignments: 01_lengths, 02_labels\nada, 02_labels\nben b, 01_lengths"
    ada = tmp_path / "grading" / "submitted" / "ada" / "02_labels"
    assert (ada / "timestamp.txt").read_text() == "1970-01-01 00:00:00.250000 UTC\n"
    assert ANSWER in cell_of(read_notebook(ada / "02_labels.ipynb"), "exercise-2-1")["source"]


def test_collecting_again_changes_what_was_handed_in_anew_and_nothing_else(
    built: Course, hand_ins: Path, tmp_path: Path
) -> None:
    grading = tmp_path / "grading"
    collect(built, hand_ins, grading)
    (grading / "nbgrader_config.py").write_text("mine")
    before = files(grading)
    collect(built, hand_ins, grading)
    assert files(grading) == before
    work_in(hand_ins / "ben b" / "01_lengths.ipynb", answer("1.3", ANSWER))
    collect(built, hand_ins, grading)
    changed = {name for name, content in files(grading).items() if before[name] != content}
    assert changed == {f"submitted/ben b/01_lengths/{name}" for name in ("01_lengths.ipynb", "timestamp.txt")}


def test_what_cannot_be_taken_is_named_and_the_rest_is_taken(
    built: Course, hand_ins: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (hand_ins / "ada" / "bad.zip").write_bytes(b"no zip")
    shutil.copy(hand_ins / "ada" / "late.zip", hand_ins / "ada" / "again.zip")
    shutil.copy(hand_ins / "ada" / "late.zip", hand_ins / "nobody.zip")
    shutil.copy(built.notebooks / "00_map.ipynb", hand_ins / "ben b")
    (hand_ins / "eve\nada, 01_lengths").mkdir()
    shutil.copy(built.notebooks / "01_lengths.ipynb", hand_ins / "eve\nada, 01_lengths")
    with pytest.raises(SystemExit) as ended:
        main(["course", "collect", str(hand_ins), str(tmp_path / "grading"), "--root", str(built.root)])
    lines = capsys.readouterr().out.replace(str(hand_ins) + os.sep, "").splitlines()
    assert ended.value.code == 1
    assert lines[1:3] == ["ben b, 01_lengths", "eve\N{REPLACEMENT CHARACTER}ada, 01_lengths, 01_lengths"]
    assert [line[:60] for line in lines[3:]] == [
        "left out: ada/bad.zip: ada/bad.zip is no zip that can be rea",
        "left out: ben b/00_map.ipynb: it is of no lesson with exerci",
        "left out: nobody.zip lies in no student's folder; wanted NAM",
        "left out: ada has more than one hand-in of lesson 02: ada/ag",
    ]


def test_what_would_go_wrong_is_refused_before_anything_is_written(
    built: Course, hand_ins: Path, tmp_path: Path
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    bare = Course(tmp_path / "bare")
    for arguments, said in (
        ((built, tmp_path / "none", tmp_path / "new"), "none: no such folder"),
        ((built, hand_ins, tmp_path / "full"), "full holds something else"),
        ((bare, hand_ins, tmp_path / "new"), "labkit course build makes them"),
    ):
        with pytest.raises(UsageError, match=said):
            collect(*arguments)
    assert not (tmp_path / "new").exists() and os.listdir(tmp_path / "full") == ["mine.txt"]


def test_an_honest_notebook_is_left_as_it_is_and_marks_of_any_kind_are_mended(built: Course) -> None:
    lesson = read_notebook(built.notebooks / "02_labels.ipynb")
    exercises = exercises_of(lesson)
    fixed, odd = mended(lesson, exercises)
    assert odd == [] and {cell["id"] for cell in fixed["cells"] if "nbgrader" in cell["metadata"]} == {
        "exercise-2-1",
        "check-2-1",
    }
    for marks in ({}, {"grade_id": ["check-2-1"]}, {"grade_id": "check-2-1", "grade": "yes"}, {"grade_id": 5}):
        cell_of(lesson, "check-2-1")["metadata"]["nbgrader"] = marks
        again, odd = mended(lesson, exercises)
        mine = cell_of(again, "check-2-1")["metadata"]["nbgrader"]
        assert odd == ["other marks than in the lesson: cell 4"] and (mine["points"], mine["schema_version"]) == (10, 3)

"""The life of a course that is not labkit's own, by the documented commands, from its masters to a hand-in."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from courses import answer, cell_of, run_nbgrader, work_in, write_course
from second_course import copy_course, fresh_imports

from labkit.checks import exercise, exercises
from labkit.checks.courses import IN_A_COPY, SETTING, Course
from labkit.checks.trial import broken_laws
from labkit.cli import main
from labkit.course import running
from labkit.course.build import build
from labkit.course.copies import is_behind, start, update
from labkit.course.notebooks import read_notebook
from labkit.errors import UsageError

WHEEL = "labkit-0.1.0-py3-none-any.whl"
MERGE = "    return sorted(left + right)  # my own"
OTHER_HINT = "Your numbers fall, and they should rise."


@pytest.fixture(autouse=True)
def nobody_chose_a_course(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(SETTING, raising=False)
    with fresh_imports():
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """The course with its notebooks; read it only."""
    course = copy_course(tmp_path_factory.mktemp("second") / "sorting-course")
    build(course)
    return course


@pytest.fixture
def course(built: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """The course to change, in whose folder one stands."""
    root = Path(shutil.copytree(built.root, tmp_path / "sorting-course"))
    monkeypatch.chdir(root)
    return Course(root, built.title, built.package)


@pytest.fixture
def released(course: Course, capsys: pytest.CaptureFixture[str]) -> Path:
    """The release of the course, under a file that has a wheel's name."""
    folder = course.root.parent / "released"
    (course.root.parent / WHEEL).write_bytes(b"a wheel")
    assert command("course", "release", "../released", "--wheel", f"../{WHEEL}") == 0
    capsys.readouterr()
    return folder


@pytest.fixture
def mine(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A copy in which somebody has worked, and stands."""
    monkeypatch.chdir(released)
    assert command("course", "start", "../mine") == 0
    capsys.readouterr()
    work_in(tmp_path / "mine" / "02_merging.ipynb", answer("2.1", MERGE))
    monkeypatch.chdir(tmp_path / "mine")
    return tmp_path / "mine"


def command(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def apart(folder: Path, code: str) -> str:
    """What this code prints in a process of its own that stands in this folder."""
    environment = {name: value for name, value in os.environ.items() if name != SETTING}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# Written


def test_its_notebooks_are_what_its_masters_give_and_name_the_course(
    course: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("course", "build", "--check") == 0
    assert command("course", "build") == 0
    assert capsys.readouterr().out.splitlines()[-1] == "every notebook was up to date"
    about = read_notebook(course.notebooks / "02_merging.ipynb")["metadata"]["labkit"]
    assert (about["course"], about["exercises"]) == ("sorting", ["2.1", "2.2"])


def test_nothing_is_found_in_it(course: Course, capsys: pytest.CaptureFixture[str]) -> None:
    assert command("course", "lint") == 0
    assert capsys.readouterr().out == "nothing to mend\n"


def test_every_exercise_keeps_the_laws_of_every_check(course: Course) -> None:
    assert len(exercises()) == 3
    for one in exercises().values():
        assert broken_laws(one) == [], one.id


def test_its_lessons_run_untouched_and_solved(course: Course, capsys: pytest.CaptureFixture[str]) -> None:
    """One lesson, with a helper of the course's own package."""
    assert command("course", "run", "1") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("notebooks/01_searching.ipynb: ") and first.endswith(" s; 1.1 not attempted")
    assert second.startswith("solutions/01_searching.ipynb: ") and second.endswith(" s; 1.1 passed")


def test_nbgrader_takes_its_notebooks_and_its_checks(
    course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "hand-ins" / "ada"
    folder.mkdir(parents=True)
    notebook = Path(shutil.copy(course.notebooks / "02_merging.ipynb", folder))
    work_in(notebook, answer("2.1", MERGE))
    assert command("course", "collect", "../hand-ins", "../grading") == 0
    assert capsys.readouterr().out == "assignments: 01_searching, 02_merging\nada, 02_merging\n"
    monkeypatch.setenv(SETTING, str(course.root))
    for step in (("generate_assignment", "02_merging", "--create"), ("autograde", "02_merging"), ("export",)):
        run_nbgrader(tmp_path / "grading", *step)
    assert ",ada,,,,10.0,0.0,10.0,20.0\n" in (tmp_path / "grading" / "grades.csv").read_text()


# Released


def test_a_release_carries_the_package_and_neither_masters_nor_solutions(course: Course, released: Path) -> None:
    names = {path.relative_to(released).as_posix() for path in released.rglob("*") if path.is_file()}
    package = {
        f"sorting/{path.relative_to(course.package_folder).as_posix()}" for path in course.package_folder.rglob("*.py")
    }
    notebooks = {f"notebooks/{name}" for name in ("01_searching.ipynb", "02_merging.ipynb", "README.md")}
    for_pip = {"constraints.txt", "environment.yml", "requirements.txt", WHEEL}
    assert names == package | notebooks | for_pip | {"course.toml", "README.md", "release.json"}
    assert not [name for name in names if b"SOLUTION" in (released / name).read_bytes()]
    listed = json.loads((released / "release.json").read_bytes())["files"]
    assert set(listed) == names - {"release.json"}


def test_its_page_is_its_own_and_speaks_of_nothing_else(course: Course, released: Path) -> None:
    page = (released / "README.md").read_text("utf-8")
    assert page.startswith("# Sorting\n") and "| 02 | Merging | 25 minutes |" in page and "`sorting`" in page
    assert "BERT" not in page and "review" not in page and "labkit fetch" not in page
    (course.root / "release.md").write_text("$title for $$5: $lessons")
    (course.root / "requirements.txt").write_text("# for the pictures\nnetworkx>=3\n")
    assert command("course", "release", "../other", "--wheel", f"../{WHEEL}") == 0
    assert (
        (course.root.parent / "other" / "README.md").read_text("utf-8").startswith("Sorting for $5: | 01 | Searching")
    )
    lines = (course.root.parent / "other" / "requirements.txt").read_text("utf-8").splitlines()
    assert lines == ["-c constraints.txt", f"./{WHEEL}[lab]", "networkx>=3"]


@pytest.mark.parametrize("page", ["$titel", "costs $ 5"])
def test_a_page_that_cannot_be_filled_in_is_one_sentence(
    course: Course, page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (course.root / "release.md").write_text(page)
    (course.root.parent / WHEEL).write_bytes(b"")
    assert command("course", "release", "../released", "--wheel", f"../{WHEEL}") == 2
    said = capsys.readouterr().err
    assert (
        "release.md" in said and "there are $lessons, $title" in said and not (course.root.parent / "released").exists()
    )


# Worked in


def test_a_copy_checks_by_the_courses_own_checks(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert exercise("2.1").name == "merge"
    assert command("check", "02_merging.ipynb") == 0
    said = capsys.readouterr().out
    assert "2.1   passed          10 of 10" in said and "2.2   not attempted" in said
    assert json.loads((mine / ".labkit" / "checks.json").read_bytes())["2.1"]["status"] == "passed"


def test_a_copy_can_be_moved_away_from_all_that_it_came_from(mine: Path, released: Path, course: Course) -> None:
    elsewhere = mine.parent.parent / f"{mine.parent.name}-elsewhere"
    mine.rename(elsewhere)
    for folder in (released, course.root):
        shutil.rmtree(folder)
    code = "from labkit.checks import check, progress; print(check('1.1', len).status, 'of 30' in str(progress()))"
    assert apart(elsewhere, code) == "failed True\n"


def test_jupyterlab_finds_the_courses_package(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[str] = []

    def popen(command: list[str], env: dict[str, str]) -> Any:
        found.append(env["PYTHONPATH"].split(os.pathsep)[0])
        raise SystemExit(0)

    monkeypatch.setattr(running.subprocess, "Popen", popen)
    assert command("course", "open", ".") == 0
    assert [Path(path).resolve() for path in found] == [mine / IN_A_COPY]


def test_a_newer_release_brings_newer_checks_and_keeps_every_answer(
    course: Course, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (course.package_folder / "exercises" / "merging").glob("*.py"):
        path.write_text(path.read_text("utf-8").replace("Your numbers fall. They should rise.", OTHER_HINT), "utf-8")
    assert is_behind(mine, course.root)
    assert command("course", "update", "--from", str(course.root)) == 0
    assert capsys.readouterr().out == "updated: the checks\n"
    assert MERGE in cell_of(read_notebook(mine / "02_merging.ipynb"), "exercise-2-1")["source"]
    code = "from labkit.checks import check; print(check('2.2', lambda numbers: sorted(numbers)[::-1]).hint)"
    assert apart(mine, code) == OTHER_HINT + "\n"
    assert not is_behind(mine, course.root) and update(mine, course.root).changed == ()


@pytest.mark.parametrize("damage", ["title = ", None])
def test_what_a_copy_lost_of_its_course_comes_back_with_an_update(
    mine: Path, released: Path, damage: str | None
) -> None:
    if damage is None:
        shutil.rmtree(mine / IN_A_COPY)
    else:
        (mine / IN_A_COPY / "course.toml").write_text(damage)
    assert update(mine, released).changed == ("the checks",)
    assert exercise("2.1").name == "merge"


def test_a_release_whose_checks_were_changed_is_refused(mine: Path, released: Path) -> None:
    with (released / "sorting" / "counting.py").open("a") as file:
        file.write("# changed\n")
    with pytest.raises(UsageError, match=r"sorting/counting\.py is not as it was released"):
        update(mine, released)


def test_no_update_brings_one_course_into_a_copy_of_another(
    mine: Path, released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_course(tmp_path / "other")
    build(other)
    with pytest.raises(
        UsageError, match=r"mine is a copy of the course sorting, .* one of labkit\.lessons; wanted --from"
    ):
        update(mine, other.root)
    start(tmp_path / "theirs", other.root)
    with pytest.raises(UsageError, match=r"theirs is a copy of the course labkit\.lessons, .* one of sorting"):
        update(tmp_path / "theirs", released)
    monkeypatch.chdir(released)
    assert not is_behind(tmp_path / "theirs")


# Handed in


def test_a_hand_in_is_checked_by_the_course_in_whose_folder_one_stands(
    course: Course, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("course", "hand-in", "2", "--output", str(tmp_path / "ada.zip")) == 0
    shutil.unpack_archive(tmp_path / "ada.zip", tmp_path / "hand-ins" / "ada")
    notebook = str(tmp_path / "hand-ins" / "ada" / "02_merging.ipynb")
    monkeypatch.chdir(course.root)
    assert command("check", "--trust", notebook) == 0
    assert "2.1   passed" in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    assert command("check", "--trust", notebook) == 1
    assert "it is of the course sorting, and labkit.lessons is served here; go to" in capsys.readouterr().out


# Pages


def test_its_pages_bear_its_title_and_speak_of_no_profile(course: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    monkeypatch.setattr("labkit.course.pages._executed", lambda *_: empty)
    assert command("course", "pages", "../pages") == 0
    index = (course.root.parent / "pages" / "index.html").read_text("utf-8")
    assert "<title>Sorting: the lessons</title>" in index and "with its solutions. To do" in index

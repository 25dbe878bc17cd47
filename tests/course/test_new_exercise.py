"""Laws of the skeletons: they run as they are written, say what is left to write, and take nobody's place."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from second_course import copy_course, fresh_imports

from labkit.checks import exercise
from labkit.checks.courses import SETTING, Course, read_course
from labkit.checks.trial import broken_laws, try_answer
from labkit.cli import main
from labkit.course.build import build
from labkit.course.findings import findings
from labkit.course.masters import read_master
from labkit.course.new_exercise import new_exercise
from labkit.errors import UsageError


@pytest.fixture(autouse=True)
def nobody_chose_a_course(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(SETTING, raising=False)
    with fresh_imports():
        yield


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """A course of which there is course.toml alone, in whose folder one stands."""
    (tmp_path / "course.toml").write_text('title = "Sorting"\npackage = "sorting"\n')
    monkeypatch.chdir(tmp_path)
    return read_course(tmp_path)


@pytest.fixture
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Course:
    """The second course, in whose folder one stands."""
    found = copy_course(tmp_path / "sorting-course")
    monkeypatch.chdir(found.root)
    return found


def everything(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_the_first_exercise_of_a_course_makes_all_that_is_missing(empty: Course) -> None:
    written = new_exercise(empty, "1.1", "merge", "merging")
    assert sorted(path.relative_to(empty.root).as_posix() for path in written) == [
        "solutions/01_merging.py",
        "sorting/__init__.py",
        "sorting/exercises/__init__.py",
        "sorting/exercises/merging/__init__.py",
        "sorting/exercises/merging/merge.py",
        "sorting/observers/__init__.py",
        "sorting/observers/merging.py",
        "tests/test_merge.py",
    ]


def test_skeletons_run_and_all_that_is_found_in_them_is_left_to_write(empty: Course) -> None:
    new_exercise(empty, "0.1", "count", "warming_up")
    new_exercise(empty, "1.1", "merge", "merging")
    new_exercise(empty, "1.2", "sort")
    build(empty)
    found = findings(empty)
    assert found and [line for line in found if "still has a TODO" not in line] == []
    for name in ("0.1", "1.1", "1.2"):
        assert broken_laws(exercise(name)) == []
        assert try_answer(exercise(name), sum, 20).fault(is_right=True) == ""
    assert (exercise("0.1").max_points, exercise("1.1").max_points) == (0.0, 10.0)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "tests"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and "9 passed" in done.stdout, done.stdout


def test_what_is_left_to_write_is_named_in_all_four_files(empty: Course) -> None:
    new_exercise(empty, "1.1", "merge", "merging")
    new_exercise(empty, "2.1", "count", "counting")
    build(empty)
    named = {line.partition(":")[0] for line in findings(empty, "01")}
    assert "tests/test_count.py" not in named
    assert {
        "exercises/merging/merge.py",
        "observers/merging.py",
        "solutions/01_merging.py",
        "tests/test_merge.py",
    } <= named


def test_skeletons_are_written_as_labkit_is(empty: Course) -> None:
    new_exercise(empty, "1.1", "merge", "merging")
    new_exercise(empty, "1.2", "insertion_sort")
    settings = ["--isolated", "--no-cache", "--line-length", "120"]
    for check in (["format", "--check"], ["check", "--select", "E,F,I,UP,RUF"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *check, *settings, "."], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


def test_an_exercise_of_a_lesson_that_is_there_stands_behind_the_last_of_it(course: Course) -> None:
    before = {path.name: path.read_text("utf-8") for path in course.solutions.glob("*.py")}
    observers = (course.package_folder / "observers" / "searching.py").read_text("utf-8")
    written = new_exercise(course, "1.2", "first_place")
    assert course.solutions / "01_searching.py" in written
    master = read_master(course.solutions / "01_searching.py", course.modules())
    places = {cell.id: place for place, cell in enumerate(master.cells)}
    assert places["check-1-1"] < places["exercise-1-2"] < places["check-1-2"] < len(master.cells) - 3
    assert (course.solutions / "02_merging.py").read_text("utf-8") == before["02_merging.py"]
    opening, _, closing = before["01_searching.py"].partition("\n# %% [markdown]\n# ## Take with you")
    now = (course.solutions / "01_searching.py").read_text("utf-8")
    assert now.startswith(opening.rstrip()) and now.endswith(closing)
    assert (course.package_folder / "observers" / "searching.py").read_text("utf-8").startswith(observers)
    assert broken_laws(exercise("1.2"), 5) == broken_laws(exercise("1.1"), 5) == []


def test_an_observer_gets_the_imports_that_it_lacks(course: Course) -> None:
    path = course.package_folder / "observers" / "merging.py"
    path.write_text('"""Observers."""\n\nimport math\nfrom typing import Any\n\n\ndef merge(answer, inputs): ...\n')
    new_exercise(course, "2.3", "heap_sort")
    assert (
        "from typing import Any\nfrom collections.abc import Callable, Mapping\nfrom labkit.checks" in path.read_text()
    )
    assert broken_laws(exercise("2.3"), 2) == []


def test_a_lesson_whose_master_alone_is_there_gives_its_name(empty: Course) -> None:
    empty.solutions.mkdir()
    (empty.solutions / "03_heaps.py").write_text("# ---\n# title: Heaps\n# minutes: 5\n# ---\n\n# %%\nheap = []\n")
    written = new_exercise(empty, "3.1", "push")
    assert empty.package_folder / "exercises" / "heaps" / "push.py" in written
    master = read_master(empty.solutions / "03_heaps.py", empty.modules())
    assert [cell.id for cell in master.cells][-2:] == ["exercise-3-1", "check-3-1"]


def test_where_lessons_have_profiles_the_skeleton_says_so(empty: Course) -> None:
    text = 'title = "Sorting"\npackage = "sorting"\nenvironment = { LABKIT_PROFILE = "tiny" }\n'
    (empty.root / "course.toml").write_text(text)
    course = read_course(empty.root)
    new_exercise(course, "1.1", "merge", "merging")
    build(course)
    assert [line for line in findings(course) if "TODO" not in line] == []
    assert "which profile is on" in (course.solutions / "01_merging.py").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("2.x", "heap"), "'2.x' is no id of an exercise; wanted LESSON.NUMBER"),
        (("2", "heap"), "'2' is no id"),
        (("2.3", "heap sort"), "'heap sort' is no name for Python"),
        (("2.3", "class"), "'class' is no name for Python"),
        (("2.1", "heap"), "exercise 2.1 is there already: "),
        (("2.3", "merge"), "merge.py is there already; wanted another name than merge"),
        (("3.1", "heap"), "there is no lesson 03 yet; wanted its name with --lesson"),
        (("3.1", "heap", "--lesson", "a heap"), "'a heap' is no name for Python"),
        (("2.3", "heap", "--lesson", "heaps"), "lesson 02 is merging already"),
        (("2.3", "counting"), "has an observer counting already"),
        (("2.4", "heap"), "has cells of exercise 2.4 already"),
        (("2.3", "tested"), "test_tested.py is there already"),
    ],
)
def test_what_is_odd_or_there_already_is_refused_and_nothing_is_written(
    course: Course, arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (course.package_folder / "observers" / "merging.py").open("a") as file:
        file.write("\n\ndef counting(answer, inputs): ...\n")
    with (course.solutions / "02_merging.py").open("a") as file:
        file.write('\n# %% exercise="2.4"\nheap = 1\n')
    (course.root / "tests").mkdir()
    (course.root / "tests" / "test_tested.py").touch()
    before = everything(course.root)
    with pytest.raises(SystemExit) as ended:
        main(["course", "new-exercise", *arguments])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "") and said in printed.err and len(printed.err.splitlines()) == 1
    assert everything(course.root) == before


def test_the_command_names_what_it_wrote_and_what_to_do_next(
    course: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["course", "new-exercise", "2.3", "heap_sort", "--root", str(course.root)])
    said = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0 and str(course.root / "tests" / "test_heap_sort.py") in said
    assert said[-1] == (
        "Fill in what says TODO. Then: labkit course build, labkit course lint 02, labkit course run 02, "
        "labkit course try 2.3"
    )


def test_two_lessons_of_one_number_are_refused_by_what_is_there(course: Course) -> None:
    with pytest.raises(UsageError, match="lesson 01 is searching already"):
        new_exercise(course, "1.2", "heap", "heaps")

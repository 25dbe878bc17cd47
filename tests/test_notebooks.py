"""The lessons themselves: built from their masters, thin, and giving nothing away. What they do is CI's notebook run."""

import pkgutil
import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from courses import run_nbgrader
from reading_cells import core_of, names_of, not_made, shared_names

import labkit
from labkit import lessons, widgets
from labkit.checks.courses import read_course
from labkit.course.build import drift
from labkit.course.build import masters as read_masters
from labkit.course.findings import drawing
from labkit.course.lint import deep_names, leaks, lint, not_public
from labkit.course.masters import Master
from labkit.course.notebooks import read_notebook
from labkit.course.release import not_for_students

ROOT = Path(__file__).resolve().parent.parent
COURSE = read_course(ROOT)
MASTERS = sorted(COURSE.solutions.glob("*.py"))
STUDENTS = sorted(COURSE.notebooks.glob("*.ipynb"))
SOLUTIONS = sorted(COURSE.solutions.glob("*.ipynb"))
LESSONS = read_masters(COURSE)
CORE_MINUTES = range(45, 61)  # of every lesson but the map
DRAWING = drawing(COURSE)
LINKED = {path.name for path in COURSE.notebooks.iterdir()}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_every_notebook_is_what_its_master_gives() -> None:
    assert (
        [path.name for path in STUDENTS]
        == [path.name for path in SOLUTIONS]
        == [f"{path.stem}.ipynb" for path in MASTERS]
    )
    found = drift(COURSE) if MASTERS else []
    assert not found, "labkit course build makes them anew"


@pytest.mark.parametrize("path", [*STUDENTS, *SOLUTIONS], ids=named)
def test_a_notebook_is_thin_and_complete(path: Path) -> None:
    assert lint(read_notebook(path), LINKED, DRAWING) == []


@pytest.mark.parametrize("path", [*STUDENTS, *SOLUTIONS], ids=named)
def test_a_notebook_takes_from_labkit_only_what_is_public(path: Path) -> None:
    assert not_public(read_notebook(path)) == []


def test_the_packages_from_which_a_lesson_may_import() -> None:
    names = ["labkit", *(f"labkit.{module.name}" for module in pkgutil.iter_modules(labkit.__path__))]
    public = {name for name in names if not deep_names(f"import {name}")}
    assert public == {"labkit", "labkit.figures", "labkit.widgets", "labkit.checks", "labkit.lessons"}


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from labkit.data.reviews import normalise", {"labkit.data.reviews"}),
        ("import labkit.data", {"labkit.data"}),
        ("import labkit\nlabkit.data.reviews.CLASS_NAMES", {"labkit.data"}),
        ("from labkit import no_such_name", {"labkit.no_such_name"}),
        ("import labkit\nfrom labkit import Config\nlabkit.fit", set()),
    ],
)
def test_what_is_not_public_is_seen_however_it_is_reached(source: str, found: set[str]) -> None:
    assert found <= deep_names(source)
    assert bool(found) == bool(deep_names(source))


@pytest.mark.parametrize("package", [labkit, lessons, widgets], ids=lambda package: package.__name__)
def test_every_public_name_is_there(package: ModuleType) -> None:
    assert package.__all__
    assert [name for name in package.__all__ if not hasattr(package, name)] == []


@pytest.mark.parametrize("path", STUDENTS, ids=named)
def test_a_students_notebook_gives_nothing_away(path: Path) -> None:
    student = read_notebook(path)
    assert not_for_students(student) == []
    assert leaks(read_notebook(COURSE.solutions / path.name), student) == []


@pytest.mark.skipif(not SOLUTIONS, reason="there are no lessons yet")
def test_nbgrader_makes_the_students_notebooks_of_the_solutions(tmp_path: Path) -> None:
    (tmp_path / "source" / "lessons").mkdir(parents=True)
    for path in SOLUTIONS:
        shutil.copy(path, tmp_path / "source" / "lessons")
    run_nbgrader(tmp_path, "generate_assignment", "lessons", "--no-db")
    for path in STUDENTS:
        released = read_notebook(tmp_path / "release" / "lessons" / path.name)
        assert released["cells"] == read_notebook(path)["cells"], path.name


def test_a_figure_of_labkits_is_known_to_the_lint() -> None:
    assert "learning_curves" in DRAWING and "alt_text" not in DRAWING


# --- cells, as one who works with them runs them: twice, out of turn, the core path alone ---------------------------

each_lesson = pytest.mark.parametrize("lesson", LESSONS, ids=lambda lesson: lesson.path.stem)


@each_lesson
def test_a_cell_may_be_run_twice_in_a_row(lesson: Master) -> None:
    changed = {cell.line: names_of(cell.source).broken_by_a_second_run for cell in lesson.cells if cell.type == "code"}
    assert not {line: names for line, names in changed.items() if names}, "taken from another cell and changed"


@each_lesson
def test_a_cell_may_be_run_alone_after_the_end(lesson: Master) -> None:
    several = {name for name, makers in shared_names(lesson.cells).items() if makers > 1}
    assert not several, (
        "taken by a cell from another, and made by two: the later one decides what the earlier one shows"
    )


@each_lesson
def test_the_core_path_stands_alone(lesson: Master) -> None:
    assert not_made(core_of(lesson.cells)) == set()


@each_lesson
def test_the_exercises_stand_in_the_order_of_their_numbers(lesson: Master) -> None:
    ids = [cell.exercise for cell in lesson.cells if cell.exercise]
    assert ids == sorted(ids, key=lambda exercise_id: [int(part) for part in exercise_id.split(".")])


@each_lesson
def test_a_core_path_fits_into_an_hour_and_the_opening_says_its_minutes(lesson: Master) -> None:
    assert lesson.lesson == "00" or lesson.minutes in CORE_MINUTES
    assert bool(lesson.further) == (len(list(core_of(lesson.cells))) < len(lesson.cells))
    (said,) = (cell.source for cell in lesson.cells[:6] if "**Time**" in cell.source)
    wanted = [lesson.minutes] + ([lesson.minutes + lesson.further] if lesson.further else [])
    assert [int(number) for number in re.findall(r"\d+(?= minutes)", " ".join(said.split()))] == wanted

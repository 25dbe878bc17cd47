"""The lessons themselves: built from their masters, thin, and giving nothing away. What they do is CI's notebook run."""

import pkgutil
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from courses import run_nbgrader

import labkit
from labkit import lessons, widgets
from labkit.checks.courses import read_course
from labkit.course.build import drift
from labkit.course.findings import drawing
from labkit.course.lint import deep_names, leaks, lint, not_public
from labkit.course.notebooks import read_notebook
from labkit.course.release import not_for_students

ROOT = Path(__file__).resolve().parent.parent
COURSE = read_course(ROOT)
MASTERS = sorted(COURSE.solutions.glob("*.py"))
STUDENTS = sorted(COURSE.notebooks.glob("*.ipynb"))
SOLUTIONS = sorted(COURSE.solutions.glob("*.ipynb"))
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

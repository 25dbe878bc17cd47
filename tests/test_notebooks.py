"""The lessons themselves: built from their masters, thin, and giving nothing away. What they do is CI's notebook run."""

import shutil
from pathlib import Path

import pytest
from courses import run_nbgrader
from matplotlib.axes import Axes

from labkit import figures
from labkit.course.build import Course, drift
from labkit.course.lint import leaks, lint
from labkit.course.notebooks import read_notebook
from labkit.course.release import not_for_students

ROOT = Path(__file__).resolve().parent.parent
COURSE = Course(ROOT)
MASTERS = sorted(COURSE.solutions.glob("*.py"))
STUDENTS = sorted(COURSE.notebooks.glob("*.ipynb"))
SOLUTIONS = sorted(COURSE.solutions.glob("*.ipynb"))
DRAWING = [name for name, value in vars(figures).items() if getattr(value, "__annotations__", {}).get("return") is Axes]
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

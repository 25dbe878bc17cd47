"""Notebooks from masters: solutions/NN_name.ipynb with every mark, notebooks/NN_name.ipynb as students get it.

What a student must not see is taken out by nbgrader's own preprocessors, so that `nbgrader generate_assignment` over the
solution notebooks gives the very same cells. Reads no answer and runs nothing.
"""

import copy
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.course.masters import Master, MasterCell, read_master
from labkit.course.notebooks import (
    FORMAT,
    Cell,
    Notebook,
    NotebookError,
    notebook_bytes,
    parse_notebook,
    read_notebook,
)
from labkit.errors import UsageError, missing_extra
from labkit.files import write_atomically

POINTS = 10
_LANGUAGE = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


@dataclass(frozen=True)
class Course:
    """The folder in which a course is written: masters under solutions/, the students' notebooks under notebooks/.

    known: the ids of the exercises that may be asked for; those of labkit.checks where None.
    """

    root: Path
    known: Collection[str] | None = None

    @property
    def solutions(self) -> Path:
        """Where masters and solution notebooks lie."""
        return self.root / "solutions"

    @property
    def notebooks(self) -> Path:
        """Where the students' notebooks lie."""
        return self.root / "notebooks"

    def masters(self) -> list[Master]:
        """Every lesson's master, in order. Raises UsageError where there is none, MasterError where one is odd."""
        paths = sorted(self.solutions.glob("*.py"))
        if not paths:
            raise UsageError(
                f"{self.solutions} has no masters (NN_name.py); wanted --root FOLDER of a checkout of labkit"
            )
        known = _known_exercises() if self.known is None else self.known
        return [read_master(path, known) for path in paths]


def checkout() -> Path:
    """The folder from which labkit runs, which is a checkout's where labkit was not installed from a wheel."""
    return Path(__file__).resolve().parent.parent.parent


def _known_exercises() -> Collection[str]:
    from labkit.checks import exercises

    return exercises().keys()


def build(course: Course) -> list[Path]:
    """Write both notebooks of every lesson, those that stand so already left alone; the paths that were written."""
    written = []
    for path, content in _built(course):
        if not path.is_file() or path.read_bytes() != content:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
            written.append(path)
    return written


def drift(course: Course) -> list[str]:
    """Where the notebooks on disk are not what their masters give: a line each, with notebook and cell."""
    wanted = dict(_built(course))
    strays = [path for folder in (course.solutions, course.notebooks) for path in sorted(folder.glob("*.ipynb"))]
    found = [f"{_shown(course, path)}: no master gives it" for path in strays if path not in wanted]
    for path, content in wanted.items():
        if not path.is_file() or path.read_bytes() != content:
            found.append(f"{_shown(course, path)}: {_difference(path, content)}")
    return found


def _shown(course: Course, path: Path) -> str:
    return path.relative_to(course.root).as_posix()


def _difference(path: Path, content: bytes) -> str:
    """The first cell in which a notebook differs from what it should be."""
    if not path.is_file():
        return "is not there"
    try:
        found = read_notebook(path)["cells"]
    except NotebookError as why:
        return str(why)
    wanted = parse_notebook(content, path)["cells"]
    for number, cell in enumerate(wanted, start=1):
        if number > len(found):
            return f"cell {number} ({cell['id']}) is missing"
        if found[number - 1] != cell:
            return f"cell {number} ({cell['id']}) differs from the master"
    return (
        f"cell {len(wanted) + 1} is not in the master" if len(found) > len(wanted) else "its metadata or layout differ"
    )


def _built(course: Course) -> Iterator[tuple[Path, bytes]]:
    """Every notebook of the course with what it should hold."""
    for master in course.masters():
        solution = solution_notebook(master)
        yield course.solutions / master.notebook_name, notebook_bytes(solution)
        yield course.notebooks / master.notebook_name, notebook_bytes(student_notebook(solution))


def solution_notebook(master: Master) -> Notebook:
    """The lesson with its solutions and hidden tests between their marks, ready for `nbgrader generate_assignment`."""
    earning = [cell.check for cell in master.cells if cell.check and master.lesson != "00"]
    about = {"exercises": earning, "lesson": master.lesson, "minutes": master.minutes, "title": master.title}
    metadata = {"kernelspec": dict(_LANGUAGE), "labkit": about, "language_info": {"name": "python"}}
    cells = [_cell(cell, master.lesson) for cell in master.cells]
    return {"cells": cells, "metadata": metadata, "nbformat": FORMAT[0], "nbformat_minor": FORMAT[1]}


def _cell(cell: MasterCell, lesson: str) -> Cell:
    metadata: dict[str, Any] = {"tags": list(cell.tags)} if cell.tags else {}
    graded = bool(cell.check) and lesson != "00"
    if cell.exercise or graded:
        metadata["nbgrader"] = _grader(cell.id, graded)
    built: Cell = {"cell_type": cell.type, "id": cell.id, "metadata": metadata, "source": cell.source}
    return built | {"execution_count": None, "outputs": []} if cell.type == "code" else built


def _grader(cell_id: str, graded: bool) -> dict[str, Any]:
    """Nbgrader's metadata of an exercise, or of the locked cell that earns its points."""
    facts = {
        "grade": graded,
        "grade_id": cell_id,
        "locked": graded,
        "schema_version": 3,
        "solution": not graded,
        "task": False,
    }
    return facts | {"points": POINTS} if graded else facts


def student_notebook(solution: Notebook) -> Notebook:
    """The solution notebook without solutions, hidden tests and outputs, as nbgrader's own steps leave it.

    Raises UsageError where nbgrader is absent.
    """
    import nbformat

    notebook = nbformat.from_dict(copy.deepcopy(solution))
    resources: dict[str, Any] = {}
    for step in _release_steps():
        notebook, resources = step.preprocess(notebook, resources)
    return parse_notebook(nbformat.writes(notebook).encode(), "notebook")


def _release_steps() -> list[Any]:
    """What generate_assignment does to a notebook, in its order, but for its gradebook."""
    try:
        from nbgrader import preprocessors as steps
    except ImportError:
        raise missing_extra("building notebooks", "nbgrader", "instructor") from None
    first = [steps.LockCells, steps.ClearSolutions, steps.ClearOutput, steps.CheckCellMetadata]
    return [step() for step in [*first, steps.ClearHiddenTests, steps.ComputeChecksums, steps.CheckCellMetadata]]

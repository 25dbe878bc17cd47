"""Notebooks from masters: solutions/NN_name.ipynb with every mark, notebooks/NN_name.ipynb as students get it, and their list.

What a student must not see is taken out by nbgrader's own preprocessors, so that `nbgrader generate_assignment` over the
solution notebooks gives the very same cells. Reads no answer and runs nothing.
"""

import copy
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from labkit.checks.courses import OWN_PACKAGE, Course
from labkit.course.masters import Master, read_master
from labkit.course.notebooks import (
    FORMAT,
    PAGE,
    Cell,
    Notebook,
    NotebookError,
    marks_of,
    notebook_bytes,
    parse_notebook,
    read_notebook,
    without_hidden_tests,
)
from labkit.errors import UsageError, did_you_mean, missing_extra
from labkit.files import write_atomically

LESSONS = "lessons.md"  # beside course.toml: what the list of lessons says, around the lessons themselves
OWN_CHECK = "from labkit.checks import check"
_BUILT = f"<!-- labkit course build makes this page from the masters, and its words from {LESSONS} beside course.toml -->\n\n"
_LANGUAGE = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def masters(course: Course) -> list[Master]:
    """Every lesson's master, in order. Raises UsageError where there is none, MasterError where one is odd."""
    paths = sorted(course.solutions.glob("*.py"))
    if not paths:
        raise UsageError(f"{course.solutions} has no masters (NN_name.py); wanted --root FOLDER of a course")
    known = course.modules()
    return [read_master(path, known) for path in paths]


def lesson_name(course: Course, asked: str) -> str:
    """The name of a lesson's master, such as 01_tokenization, by its number or its name. Raises UsageError with the nearest."""
    names = [path.stem for path in sorted(course.solutions.glob("*.py"))]
    asked = Path(asked).stem
    found = [name for name in names if name == asked or (asked.isdecimal() and name.startswith(f"{asked.zfill(2)}_"))]
    if not found:
        there = ", ".join(names) or f"none in {course.solutions}"
        raise UsageError(f"{course.title} has no lesson {asked!r}; there are {there}{did_you_mean(asked, names)}")
    return found[0]


def build(course: Course) -> list[Path]:
    """Write both notebooks of every lesson and the list of lessons; the paths that were written.

    What stands so already is left alone, and so is a list that was written by hand.
    """
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
    """Where a file differs from what it should be: a notebook's first such cell."""
    if not path.is_file():
        return "is not there"
    if path.name == PAGE:
        return f"is not what the masters and {LESSONS} give"
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
    """Every notebook of the course with what it should hold, and the list of lessons unless it was written by hand."""
    every = masters(course)
    for master in every:
        solution = solution_notebook(master, course.package)
        yield course.solutions / master.notebook_name, notebook_bytes(solution)
        yield course.notebooks / master.notebook_name, notebook_bytes(student_notebook(solution))
    page = course.notebooks / PAGE
    if (course.root / LESSONS).is_file() or not page.is_file() or page.read_bytes().startswith(_BUILT.encode()):
        yield page, _list_of_lessons(course, every).encode()


def _list_of_lessons(course: Course, every: Sequence[Master]) -> str:
    """The page of lessons: the course's own lessons.md filled in, or the one that serves any course."""
    rows = [
        f"| {one.lesson} | [{one.title.replace('|', '&#124;')}]({one.notebook_name}) "
        f"| {one.minutes} | {one.minutes + one.further} |"
        for one in every
    ]
    facts = {"lessons": "\n".join(rows), "title": course.title}
    return _BUILT + filled_in(course.root / LESSONS, Path(__file__).with_name(LESSONS), facts)


def filled_in(own: Path, usual: Path, facts: Mapping[str, str]) -> str:
    """A page from its template, the course's own or else the usual one. Raises UsageError where it cannot be filled in."""
    try:
        return Template((own if own.is_file() else usual).read_text("utf-8")).substitute(facts)
    except (KeyError, ValueError) as why:  # a name that is none, a lonely $, no UTF-8
        raise UsageError(f"{own}: {why}; there are ${', $'.join(facts)}, and $$ for the sign itself") from None


def solution_notebook(master: Master, package: str = OWN_PACKAGE) -> Notebook:
    """The lesson with its solutions between their marks, ready for `nbgrader generate_assignment`.

    A check that earns points imports `check` itself: it takes no name that another cell can rebind. package: of the course,
    which the notebook names unless it is labkit's own.
    """
    earning = [cell.check for cell in master.cells if cell.check and master.lesson != "00"]
    about = {"exercises": earning, "lesson": master.lesson, "minutes": master.minutes, "title": master.title}
    about |= {"further": master.further} if master.further else {}
    about |= {} if package == OWN_PACKAGE else {"course": package}
    metadata = {"kernelspec": dict(_LANGUAGE), "labkit": about, "language_info": {"name": "python"}}
    cells: list[Cell] = []
    for cell in master.cells:
        facts: dict[str, Any] = {"tags": list(cell.tags)} if cell.tags else {}
        graded = bool(cell.check) and master.lesson != "00"
        if cell.exercise or graded:
            facts["nbgrader"] = dict(marks_of(cell.exercise or cell.check))[cell.id]
        source = cell.source
        if graded:
            shown = without_hidden_tests(source)
            source = shown if shown.startswith(OWN_CHECK) else f"{OWN_CHECK}\n\n{shown}"
        built = {"cell_type": cell.type, "id": cell.id, "metadata": facts, "source": source}
        cells.append(built | ({"execution_count": None, "outputs": []} if cell.type == "code" else {}))
    return {"cells": cells, "metadata": metadata, "nbformat": FORMAT[0], "nbformat_minor": FORMAT[1]}


def student_notebook(solution: Notebook) -> Notebook:
    """The solution notebook without solutions, hidden tests and outputs, as nbgrader's own steps leave it.

    They are what generate_assignment does to a notebook, in its order, but for its gradebook. Raises UsageError where nbgrader
    is absent.
    """
    import nbformat

    try:
        from nbgrader import preprocessors as steps
    except ImportError:
        raise missing_extra("building notebooks", "nbgrader", "instructor") from None
    notebook = nbformat.from_dict(copy.deepcopy(solution))
    resources: dict[str, Any] = {}
    first = [steps.LockCells, steps.ClearSolutions, steps.ClearOutput, steps.CheckCellMetadata]
    for step in [*first, steps.ClearHiddenTests, steps.ComputeChecksums, steps.CheckCellMetadata]:
        notebook, resources = step().preprocess(notebook, resources)
    return parse_notebook(nbformat.writes(notebook).encode(), "notebook")

"""A notebook as a file: read with a clear error, written as the same bytes on every machine.

Plain dictionaries and the standard library, so that a student's copy can be mended and merged where Jupyter itself is
broken. Knows cells, not what they teach.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError

Cell = dict[str, Any]
Notebook = dict[str, Any]

LESSON_NAME = re.compile(r"(\d\d)_\w+")
PAGE = "README.md"  # the list of lessons beside the notebooks, to which they link
POINTS = 10  # of every exercise
FORMAT = (4, 5)  # of every notebook that is built: the first whose cells have ids
_CELL_TYPES = ("code", "markdown", "raw")


class NotebookError(LabkitError):
    """A notebook that cannot be read; the text names the file and what is odd in it."""


def read_notebook(path: Path) -> Notebook:
    """The notebook in a file. Raises NotebookError where it holds none, OSError as the file system does."""
    return parse_notebook(path.read_bytes(), path)


def parse_notebook(content: bytes, name: Path | str) -> Notebook:
    """The same from bytes; each cell's source becomes one string. name: for the error."""
    try:
        notebook = json.loads(content)
    except (ValueError, RecursionError) as why:
        raise NotebookError(f"{name} is no notebook: {why}") from None
    odd = _oddity(notebook)
    if odd:
        raise NotebookError(f"{name} is no notebook: {odd}")
    for cell in notebook["cells"]:
        cell["source"] = _joined(cell["source"])
    return notebook


def _oddity(notebook: Any) -> str:
    """What keeps a JSON value from being a notebook; nothing where it is one."""
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        return "it has no list of cells"
    if notebook.get("nbformat") != FORMAT[0] or not isinstance(notebook.get("metadata"), dict):
        return f"nbformat is {notebook.get('nbformat')!r}; wanted {FORMAT[0]}, with metadata"
    if not isinstance(notebook.get("nbformat_minor", 0), int):
        return f"nbformat_minor is {notebook['nbformat_minor']!r}; wanted a whole number"
    for number, cell in enumerate(notebook["cells"], start=1):
        if not isinstance(cell, dict) or cell.get("cell_type") not in _CELL_TYPES:
            return f"cell {number} is none of {', '.join(_CELL_TYPES)}"
        if not isinstance(cell.get("metadata"), dict) or not isinstance(cell["metadata"].get("nbgrader", {}), dict):
            return f"cell {number} has no metadata, or odd ones"
        if not isinstance(_joined(cell.get("source")), str):
            return f"cell {number} has no source"
    return ""


def _joined(source: Any) -> Any:
    """The source as one string; notebooks on disk have a list of lines."""
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        return "".join(source)
    return source


def time_needed(about: Mapping[str, Any]) -> str:
    """How long a lesson takes, in words: its core path and, where there is more, all of it.

    about: what a built notebook says of itself.

    >>> time_needed({"minutes": 50, "further": 45})
    '50 minutes, 95 with what is further'
    """
    minutes, further = about.get("minutes", "?"), about.get("further", 0)
    return f"{minutes} minutes" + (f", {minutes + further} with what is further" if further else "")


def notebook_bytes(notebook: Notebook) -> bytes:
    """As Jupyter writes it (keys sorted, one source line a line), LF, with a newline at the end."""
    cells = [cell | {"source": cell["source"].splitlines(keepends=True)} for cell in notebook["cells"]]
    text = json.dumps(notebook | {"cells": cells}, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    try:
        return text.encode()
    except UnicodeEncodeError:  # half of an emoji, which only an escape can hold
        return (json.dumps(json.loads(text), indent=1, sort_keys=True) + "\n").encode()


def cell_hash(cell: Cell) -> str:
    r"""What tells whether a cell was changed: its type and source, white space at its end aside.

    >>> cell_hash({"cell_type": "code", "source": "1"}) == cell_hash({"cell_type": "code", "source": "1\n"})
    True
    """
    content = f"{cell['cell_type']}\0{cell['source'].rstrip()}"
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def grader(cell: Cell) -> dict[str, Any]:
    """Nbgrader's metadata of a cell; empty where it has none."""
    return cell["metadata"].get("nbgrader", {})


def marks_of(exercise: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """By cell id nbgrader's marks of an exercise's two cells: that of the answer, and the locked one that earns its points."""
    for name, graded in ((exercise_cell_id(exercise), False), (check_cell_id(exercise), True)):
        kind = {"grade": graded, "locked": graded, "solution": not graded, "task": False}
        yield name, {"grade_id": name, "schema_version": 3} | kind | ({"points": POINTS} if graded else {})


def is_solution(cell: Cell) -> bool:
    """Whether a student writes an answer into this cell."""
    return bool(grader(cell).get("solution"))


def is_check(cell: Cell) -> bool:
    """Whether this cell earns points."""
    return bool(grader(cell).get("grade")) and not is_solution(cell)


def exercise_cell_id(exercise: str) -> str:
    """The id of the cell in which an exercise is answered.

    >>> exercise_cell_id("1.1")
    'exercise-1-1'
    """
    return f"exercise-{exercise.replace('.', '-')}"


def check_cell_id(exercise: str) -> str:
    """The id of the cell that checks an exercise."""
    return f"check-{exercise.replace('.', '-')}"


def exercise_of(cell: Cell) -> str:
    """The exercise that a check cell checks; empty where it checks none.

    >>> exercise_of({"metadata": {"nbgrader": {"grade": True, "grade_id": "check-1-1"}}})
    '1.1'
    """
    grade_id = str(grader(cell).get("grade_id", ""))
    return grade_id.removeprefix("check-").replace("-", ".") if is_check(cell) else ""


def answered_in(cell: Cell) -> str:
    """The exercise that is answered in a cell; empty where none is, and for the warm-ups of lesson 00, which earn nothing.

    >>> answered_in({"metadata": {"nbgrader": {"solution": True, "grade_id": "exercise-1-1"}}})
    '1.1'
    """
    grade_id = str(grader(cell).get("grade_id", ""))
    exercise = grade_id.removeprefix("exercise-").replace("-", ".") if is_solution(cell) else ""
    return "" if exercise.startswith("0.") else exercise


def about_of(notebook: Notebook) -> dict[str, Any]:
    """What a built notebook says of itself: lesson, title, minutes, exercises; nothing in a notebook of another origin.

    >>> about_of({"metadata": {"labkit": {"lesson": "01"}}}), about_of({"metadata": {"labkit": 1}}), about_of({})
    ({'lesson': '01'}, {}, {})
    """
    about = notebook.get("metadata", {}).get("labkit")
    return about if isinstance(about, dict) else {}


def lesson_of(name: str, notebook: Notebook) -> str:
    """The two digits of a notebook's lesson, by its file's name or else by its own word; empty where neither tells.

    >>> lesson_of("01_lengths-Copy1.ipynb", {}), lesson_of("mine.ipynb", {"metadata": {"labkit": {"lesson": "02"}}})
    ('01', '02')
    """
    named = re.match(r"\d\d(?=_)", name, re.ASCII) or re.fullmatch(
        r"\d\d", str(about_of(notebook).get("lesson")), re.ASCII
    )
    return named[0] if named else ""


def exercises_of(notebook: Notebook) -> list[str]:
    """The exercises that a built notebook came with, whatever was removed since; none in a notebook of another origin.

    >>> exercises_of({"metadata": {"labkit": {"exercises": ["1.1", "1.2"]}}})
    ['1.1', '1.2']
    """
    named = about_of(notebook).get("exercises")
    return [each for each in named if isinstance(each, str)] if isinstance(named, list) else []


def region(source: str, kind: str) -> tuple[str, str, str]:
    r"""A source before, within and after its first region between `### BEGIN kind` and `### END kind`, marks left out.

    >>> region("a\n### BEGIN HIDDEN TESTS\nb\n### END HIDDEN TESTS", "HIDDEN TESTS")
    ('a\n', 'b\n', '')
    """
    pattern = rf"^[ \t]*### BEGIN {kind}[^\n]*\n(.*?)^[ \t]*### END {kind}[^\n]*(?:\n|\Z)"
    found = re.search(pattern, source, re.MULTILINE | re.DOTALL)
    return (source[: found.start()], found[1], source[found.end() :]) if found else (source, "", "")


def without_hidden_tests(source: str) -> str:
    r"""The source of a check as it is built: it ends in its result.

    >>> without_hidden_tests("result\n### BEGIN HIDDEN TESTS\nfloat(result.points)\n### END HIDDEN TESTS")
    'result'
    """
    before, within, after = region(source, "HIDDEN TESTS")
    return (before + after).rstrip("\n") if within else source

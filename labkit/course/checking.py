"""`labkit check` and `labkit course run`: run notebooks and gather what their checks say, exercise by exercise.

A student's own look before handing in, and an instructor's first one. It believes what the notebook's own kernel says, so
it is no grading: a notebook may claim any points.
"""

import dataclasses
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.checks.courses import EXERCISE_ID, OWN_PACKAGE, SETTING, Course, served
from labkit.checks.further import asked_in
from labkit.course.build import POINTS, lesson_name
from labkit.course.copies import is_own_copy
from labkit.course.lint import pictures_without_alt
from labkit.course.notebooks import (
    Notebook,
    NotebookError,
    answered_in,
    exercise_of,
    exercises_of,
    read_notebook,
    without_hidden_tests,
)
from labkit.course.running import CELL_SECONDS, run_notebook
from labkit.errors import UsageError
from labkit.student_work import FOLDER, course_folder

MIME = "application/vnd.labkit.check+json"  # under which a result of labkit.checks shows itself as data
NOT_SHOWN = "no result"


@dataclass(frozen=True)
class Row:
    """What the last check of an exercise said. status: as of labkit.checks, or "no result" where its cell showed none."""

    exercise: str
    status: str = NOT_SHOWN
    points: float = 0.0
    max_points: float = 0.0
    hint: str = ""
    properties: tuple[dict[str, Any], ...] = ()
    further_hints: int = 0


@dataclass(frozen=True)
class Checked:
    """One notebook's results. trouble: the first thing that went wrong while it ran, empty where nothing did."""

    notebook: str
    rows: tuple[Row, ...]
    seconds: float
    trouble: str = ""

    @property
    def points(self) -> float:
        """All points together."""
        return round(sum(row.points for row in self.rows), 1)

    @property
    def max_points(self) -> float:
        """What all right would give."""
        return sum(row.max_points for row in self.rows)

    def as_json(self) -> dict[str, Any]:
        """For scripts: the fields, the sums, and whether the notebook ran."""
        facts = dataclasses.asdict(self)
        rows = facts.pop("rows")
        sums = {"points": self.points, "max_points": self.max_points, "ran": not self.trouble}
        return facts | sums | {"exercises": rows}

    def __str__(self) -> str:
        lines = [f"{self.notebook}: {self.points:g} of {self.max_points:g} points, {self.seconds:.0f} s"]
        for row in self.rows:
            lines.append(f"  {row.exercise:<5} {_printable(row.status):<13} {row.points:>4g} of {row.max_points:g}")
            lines += [f"        {_printable(row.hint)}"] if row.hint else []
            lines += [f"        further hints asked for: {row.further_hints}"] if row.further_hints else []
        if not self.rows:
            lines.append("  no checks in it")
        return "\n".join([*lines, f"  trouble: {_printable(self.trouble)}"] if self.trouble else lines)


def refuse_strangers(paths: Sequence[Path], trust: bool) -> None:
    """Raise UsageError for a path that is no notebook, or lies outside one's own course folder unless it is trusted."""
    if not paths:
        raise UsageError("nothing to check; wanted one notebook or more")
    own = course_folder().resolve()
    is_own_folder = is_own_copy(own)  # a .labkit alone may be what somebody's notebook left
    for path in paths:
        if not path.is_file() or path.suffix != ".ipynb":
            raise UsageError(f"{path}: no such notebook; wanted a file NAME.ipynb")
        if not trust and not (is_own_folder and path.resolve().is_relative_to(own)):
            raise UsageError(
                f"{path} is not in the copy of the course in which you are, and checking it runs its code with all your "
                "rights: go into your own copy first; or, for somebody else's, read it and add --trust"
            )


def check_notebook(path: Path, cell_seconds: int = CELL_SECONDS) -> Checked:
    """Run one notebook in its folder and gather its results; a notebook that cannot be read is a result too.

    Its checks are those of the course that is served where the command was called, not where the notebook lies.
    """
    try:
        notebook = read_notebook(path)
    except NotebookError as why:
        return Checked(str(path), (), 0.0, str(why))
    course = served()
    if course_of(notebook) not in ("", course.package):
        other = f"it is of the course {course_of(notebook)}, and {course.package} is served here"
        return Checked(str(path), (), 0.0, f"{other}; go to that course's folder, or name it in {SETTING}")
    return _checked(str(path), notebook, path.resolve().parent, cell_seconds, course.surroundings())[0]


def course_of(notebook: Notebook) -> str:
    """The package of the course that a built notebook is of; empty for a notebook of another origin.

    >>> course_of({"metadata": {"labkit": {"lesson": "01", "course": "sorting"}}})
    'sorting'
    >>> course_of({"metadata": {"labkit": {"lesson": "01"}}}), course_of({"metadata": {}})
    ('labkit.lessons', '')
    """
    about = notebook["metadata"].get("labkit")
    return str(about.get("course", OWN_PACKAGE)) if isinstance(about, dict) and "lesson" in about else ""


def _checked(
    name: str, notebook: Notebook, folder: Path, cell_seconds: int, environment: Mapping[str, str]
) -> tuple[Checked, Notebook]:
    """The results of a notebook that is run now, and the notebook with its outputs."""
    begun = time.monotonic()
    for cell in notebook["cells"]:
        cell["source"] = without_hidden_tests(cell["source"])
    run = run_notebook(notebook, folder, cell_seconds, environment)
    seconds = round(time.monotonic() - begun, 1)
    return Checked(name, tuple(results(run.notebook)), seconds, run.trouble), run.notebook


def rehearse(course: Course, lesson: str, cell_seconds: int = CELL_SECONDS) -> Iterator[tuple[Checked, list[str]]]:
    """Run a lesson's notebooks as CI does, the student's untouched and then the solution; with each what is odd.

    Each in an empty folder and in the course's environment. Odd is trouble, an exercise that has passed or failed before
    anybody answered it, one that the solution does not pass, and a picture without words. Raises UsageError for a lesson that
    is none.
    """
    environment = {**course.surroundings(), **course.environment}
    for folder, wanted in ((course.notebooks, "not attempted"), (course.solutions, "passed")):
        path = folder / f"{lesson_name(course, lesson)}.ipynb"
        if not path.is_file():
            raise UsageError(f"{path} is not there; labkit course build makes it")
        notebook, name = read_notebook(path), f"{folder.name}/{path.name}"
        with tempfile.TemporaryDirectory() as empty:
            (Path(empty) / FOLDER).mkdir()
            checked, executed = _checked(name, notebook, Path(empty), cell_seconds, environment)
        rows = [row for row in checked.rows if row.exercise in exercises_of(notebook) and row.status != wanted]
        odd = [f"exercise {row.exercise} is {row.status}; wanted {wanted}. {row.hint}".strip() for row in rows]
        yield checked, [*filter(None, [checked.trouble]), *odd, *pictures_without_alt(executed)]


def results(notebook: Notebook) -> Iterable[Row]:
    """The results that an executed notebook shows, by exercise; the last of each counts.

    An exercise without one is named too, also where its check or all of its cells were removed.
    """
    rows = {exercise: Row(exercise, max_points=POINTS) for exercise in exercises_of(notebook)}
    for cell in notebook["cells"]:
        asked = exercise_of(cell) or answered_in(cell)
        if asked:
            rows.setdefault(asked, Row(asked, max_points=POINTS))
        for output in cell.get("outputs", ()) if cell["cell_type"] == "code" else ():
            shown = output.get("data", {}).get(MIME)
            row = _row(shown)
            if row:
                rows[row.exercise] = row
    return rows.values()


def _row(shown: Any) -> Row | None:
    """A result as a check shows it; none for anything else, since a notebook may show what it likes."""
    try:
        facts = {field.name: shown[field.name] for field in dataclasses.fields(Row) if field.name != "further_hints"}
        points, most = float(facts["points"]), float(facts["max_points"])
        text: dict[str, Any] = {name: str(facts[name]) for name in ("exercise", "status", "hint")}
        text["further_hints"] = asked_in({"asked": shown.get("further_hints")})
        rows = tuple({"name": str(each["name"]), "held": bool(each["held"])} for each in facts["properties"])
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    sane = 0 <= points <= most <= POINTS and EXERCISE_ID.fullmatch(text["exercise"])
    return Row(points=points, max_points=most, properties=rows, **text) if sane else None


def _printable(text: str) -> str:
    """A notebook's own words for a terminal, which must not take them for commands."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)

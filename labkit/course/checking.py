"""`labkit check` and `labkit course run`: run notebooks and gather what their checks say, exercise by exercise.

A student's own look before handing in, and an instructor's first one. It believes what the notebook's own kernel says, so
it is no grading: a notebook may claim any points. Which exercises a lesson has, and what they are worth, the course says.
"""

import dataclasses
import glob
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.checks.courses import EXERCISE_ID, Course, served
from labkit.checks.further import asked_in
from labkit.course.build import lesson_name
from labkit.course.copies import is_own_copy
from labkit.course.lint import pictures_without_alt
from labkit.course.notebooks import POINTS, Notebook, exercises_of, read_notebook
from labkit.course.running import CELL_SECONDS, run_notebook
from labkit.course.submissions import Submission, claimed, exercises_asked, mended, read_submission
from labkit.display import printable
from labkit.errors import UsageError
from labkit.student_work import FOLDER, KINDS, Work, course_folder

MIME = "application/vnd.labkit.check+json"  # under which a result of labkit.checks shows itself as data
NOT_SHOWN = "no result"
STATUSES = ("passed", "failed", "not attempted")


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
    """One notebook's results.

    trouble: the first thing that went wrong while it ran, empty where nothing did. notes: what else is odd in it.
    """

    notebook: str
    rows: tuple[Row, ...]
    seconds: float
    trouble: str = ""
    notes: tuple[str, ...] = ()

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
        lines = [f"{printable(self.notebook)}: {self.points:g} of {self.max_points:g} points, {self.seconds:.0f} s"]
        for row in self.rows:
            lines.append(f"  {row.exercise:<5} {printable(row.status):<13} {row.points:>4g} of {row.max_points:g}")
            lines += [f"        {printable(row.hint)}"] if row.hint else []
            lines += [f"        further hints asked for: {row.further_hints}"] if row.further_hints else []
        if not self.rows:
            lines.append("  no checks in it")
        lines += [f"  note: {printable(note)}" for note in self.notes]
        return "\n".join([*lines, f"  trouble: {printable(self.trouble)}"] if self.trouble else lines)


def matching(paths: Sequence[Path]) -> list[Path]:
    """The paths, in place of a pattern those that it matches: not every shell does that.

    A file whose name looks like a pattern is itself. Raises UsageError for a pattern that nothing matches.
    """
    found: list[Path] = []
    for path in paths:
        is_pattern = glob.has_magic(str(path)) and not path.exists()
        matches = sorted(map(Path, glob.glob(str(path), recursive=True))) if is_pattern else [path]
        if not matches:
            raise UsageError(f"{printable(str(path))}: nothing matches it; wanted notebooks, or zips of hand-ins")
        found += matches
    return found


def refuse_strangers(paths: Sequence[Path], trust: bool) -> None:
    """Raise UsageError for a path that is nothing to check, or lies outside one's own course folder unless it is trusted."""
    if not paths:
        raise UsageError("nothing to check; wanted one notebook or more")
    for path in paths:
        name = printable(str(path))
        if not path.is_file() or path.suffix.lower() not in (".ipynb", ".zip"):
            raise UsageError(f"{name}: no such notebook; wanted a file NAME.ipynb, or the zip of a hand-in")
        if not trust and not _is_own(path):
            raise UsageError(
                f"{name} is not in the copy of the course in which you are, and checking it runs its code with all your "
                "rights: go into your own copy first; or, for somebody else's, read it and add --trust"
            )


def _is_own(path: Path) -> bool:
    """Whether a file lies in the copy of the course in which one is; a .labkit alone may be what somebody's notebook left."""
    own = course_folder().resolve()
    return is_own_copy(own) and path.resolve().is_relative_to(own)


def check_notebooks(paths: Sequence[Path], cell_seconds: int = CELL_SECONDS) -> Iterator[Checked]:
    """Run notebooks, or those in zips of hand-ins, and gather their results; one that cannot be read is a result too.

    All are read before the first is run, so that none can change another. Checks and exercises are those of the course that is
    served where the command was called, not where a notebook lies. What one's own notebook earns is kept in one's own folder.
    """
    course, own, surroundings = served(), Work(tell=lambda _: None), served().surroundings()
    read: list[tuple[Submission, list[str] | None, Work | None]] = []
    for path in paths:
        submission = read_submission(path, course)
        is_own = _is_own(path) and path.suffix.lower() == ".ipynb"
        if is_own:
            kept = {name: own.folder / name for name in (f"{kind}.json" for kind in KINDS)}
            mine = {f"{FOLDER}/{name}": file.read_bytes() for name, file in kept.items() if file.is_file()}
            submission = dataclasses.replace(submission, files={**submission.files, **mine})
        exercises = None if submission.trouble else exercises_asked(course, submission, is_own)
        read.append((submission, exercises, own if is_own else None))
    return (_check(submission, exercises, work, cell_seconds, surroundings) for submission, exercises, work in read)


def _check(
    submission: Submission,
    exercises: list[str] | None,
    work: Work | None,
    cell_seconds: int,
    environment: Mapping[str, str],
) -> Checked:
    """Run a submission in a new folder that holds its files and nothing else. work: where its results are kept."""
    if submission.trouble:
        return Checked(str(submission.path), (), 0.0, submission.trouble)
    notebook = submission.notebook
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        (Path(folder) / FOLDER).mkdir()
        for name, content in submission.files.items():
            (Path(folder) / name).write_bytes(content)
        checked = _checked(str(submission.path), notebook, Path(folder), cell_seconds, environment, exercises)[0]
    notes = [*submission.notes, *checked.notes]
    notes += [f"for nbgrader: {odd}" for odd in (mended(notebook, exercises)[1] if exercises else ())]
    for row in [row for row in checked.rows if row.status in STATUSES]:
        if work is None:
            break
        facts = {name: getattr(row, name) for name in ("status", "points", "max_points", "hint")}
        try:
            work.save("checks", row.exercise, facts | {"at": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
        except OSError as why:  # a folder that cannot be written to costs a sentence, not the result
            notes.append(f"the result of {row.exercise} could not be kept: {why}")
    return dataclasses.replace(checked, notes=tuple(notes))


def _checked(
    name: str,
    notebook: Notebook,
    folder: Path,
    cell_seconds: int,
    environment: Mapping[str, str],
    exercises: list[str] | None,
) -> tuple[Checked, Notebook]:
    """The results of a notebook that is run now, and the notebook with its outputs. exercises: of its lesson; None for any."""
    begun = time.monotonic()
    run = run_notebook(notebook, folder, cell_seconds, environment)
    seconds = round(time.monotonic() - begun, 1)
    rows = results(run.notebook, claimed(notebook) if exercises is None else exercises)
    counted = [row for row in rows if exercises is None or row.exercise in exercises or not row.max_points]
    others = ", ".join(row.exercise for row in rows if row not in counted)
    notes = (f"it shows results of exercises that its lesson has not, which are not counted: {others}",) * bool(others)
    return Checked(name, tuple(counted), seconds, run.trouble, notes), run.notebook


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
            exercises = exercises_of(notebook)
            checked, executed = _checked(name, notebook, Path(empty), cell_seconds, environment, exercises)
        rows = [row for row in checked.rows if row.exercise in exercises and row.status != wanted]
        odd = [f"exercise {row.exercise} is {row.status}; wanted {wanted}. {row.hint}".strip() for row in rows]
        yield checked, [*filter(None, [checked.trouble]), *odd, *pictures_without_alt(executed)]


def results(notebook: Notebook, exercises: Sequence[str]) -> list[Row]:
    """The results that an executed notebook shows, by exercise; the last of each counts.

    exercises: that are named even where there is no result, as where the check or all cells of one were removed.
    """
    rows = {exercise: Row(exercise, max_points=POINTS) for exercise in exercises}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()) if cell["cell_type"] == "code" else ():
            row = _row(output.get("data", {}).get(MIME))
            if row:
                rows[row.exercise] = row
    return list(rows.values())


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
    known = EXERCISE_ID.fullmatch(text["exercise"]) and text["status"] in STATUSES
    sane = 0 <= points <= most == (0 if text["exercise"].startswith("0.") else POINTS)
    return Row(points=points, max_points=most, properties=rows, **text) if known and sane else None

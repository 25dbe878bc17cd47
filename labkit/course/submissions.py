"""What students hand in, read as it is: a notebook, or the zip of `labkit course hand-in`, which is never unpacked on the disk.

Puts hand-ins where nbgrader looks for them, and mends the marks at which it would stop. Runs nothing and judges nothing
(checking.py).
"""

import copy
import hashlib
import json
import zipfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from labkit.checks.courses import OWN_PACKAGE, SETTING, Course
from labkit.course.hand_in import KEPT, MANIFEST
from labkit.course.notebooks import (
    LESSON_NAME,
    Notebook,
    NotebookError,
    about_of,
    answered_in,
    exercise_of,
    exercises_of,
    grader,
    is_check,
    lesson_of,
    marks_of,
    notebook_bytes,
    parse_notebook,
    read_notebook,
)
from labkit.display import printable
from labkit.errors import UsageError
from labkit.files import write_atomically
from labkit.student_work import FOLDER

TABLES = (".csv", ".tsv", ".jsonl", ".parquet")  # what a lesson may read, and Python never imports
CONFIG = """c = get_config()
c.Execute.timeout = 600
c.OverwriteCells.add_missing_cells = True
"""
LARGEST = 256 * 2**20  # bytes that a zip may hold, all files together


@dataclass(frozen=True)
class Submission:
    """A notebook as it was handed in.

    name: its file's. files: by path what else it is run with: the tables beside a notebook, or the predictions and reflections
    in the same zip. trouble: why there is no notebook, empty where there is one. notes: what else is odd, a sentence each.
    """

    path: Path
    name: str = ""
    notebook: Notebook = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    trouble: str = ""
    notes: tuple[str, ...] = ()

    @property
    def lesson(self) -> str:
        """The two digits of its lesson, by its file's name or else by its own word; empty where neither tells."""
        return lesson_of(self.name, self.notebook)


def read_submission(path: Path, course: Course) -> Submission:
    """The submission in a file; whatever is wrong with it is its trouble, and never raised."""
    try:
        if path.suffix.lower() != ".zip":
            tables = [one for one in path.parent.iterdir() if one.suffix.lower() in TABLES and one.is_file()]
            found = Submission(path, path.name, read_notebook(path), {one.name: one.read_bytes() for one in tables})
        else:
            found = _unzipped(path)
    except (NotebookError, OSError) as why:
        return Submission(path, path.name, trouble=str(why))
    package = course_of(found.notebook)
    if package not in ("", course.package):
        other = f"it is of the course {package}, and {course.package} is served here"
        return Submission(path, found.name, trouble=f"{other}; go to that course's folder, or name it in {SETTING}")
    return found


def _unzipped(path: Path) -> Submission:
    """The notebook in a zip: the one that its manifest names, or the only one. Raises NotebookError."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            if sum(entry.file_size for entry in entries) > LARGEST:
                raise NotebookError(f"{path} would fill more than {LARGEST >> 20} MiB; it was not read")
            files = {PurePosixPath(entry.filename).name: archive.read(entry) for entry in reversed(entries)}
    except NotebookError:
        raise
    except Exception as why:  # a foreign or damaged archive fails in many ways
        raise NotebookError(f"{path} is no zip that can be read: {why}") from None
    try:
        manifest: Any = json.loads(files.get(MANIFEST, b"{}"))
        named, listed = str(manifest.get("notebook", "")), dict(manifest.get("files", {}))
        odd = [name for name, facts in listed.items() if facts["sha256"] != hashlib.sha256(files[name]).hexdigest()]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        named, odd = "", [MANIFEST]
    notebooks = sorted(name for name in files if name.endswith(".ipynb") and not name.startswith("."))
    name = named if named in notebooks else notebooks[0] if len(notebooks) == 1 else ""
    if not name:
        raise NotebookError(
            f"{path} holds {', '.join(notebooks) or 'no notebook'}; wanted a zip of labkit course hand-in"
        )
    kept = {f"{FOLDER}/{kind}.json": files[f"{kind}.json"] for kind in KEPT if f"{kind}.json" in files}
    notes = tuple(f"{each} is not what was packed into the zip by labkit course hand-in" for each in odd)
    return Submission(path, name, parse_notebook(files[name], f"{path}: {name}"), kept, notes=notes)


def course_of(notebook: Notebook) -> str:
    """The package of the course that a built notebook is of; empty for a notebook of another origin.

    >>> course_of({"metadata": {"labkit": {"lesson": "01", "course": "sorting"}}})
    'sorting'
    >>> course_of({"metadata": {"labkit": {"lesson": "01"}}}), course_of({"metadata": {}})
    ('labkit.lessons', '')
    """
    about = about_of(notebook)
    return str(about.get("course", OWN_PACKAGE)) if "lesson" in about else ""


def built_notebook(course: Course, lesson: str) -> Path | None:
    """The students' notebook of a lesson as its master gave it; None where the course's folder has none."""
    paths = sorted(course.notebooks.glob(f"{lesson}_*.ipynb")) if lesson else []
    return next((path for path in paths if LESSON_NAME.fullmatch(path.stem)), None)


def exercises_asked(course: Course, submission: Submission, is_own: bool = False) -> list[str] | None:
    """The exercises of the lesson that a submission is of, as the course has them, whatever the submission says of itself.

    is_own: it lies in one's own copy, which may be of another release. There, and where the course's folder has no notebooks,
    it has those of its lesson that it says it came with, or all of them where it names none. None for a notebook of no lesson.
    """
    built = None if is_own else built_notebook(course, submission.lesson)
    if built is not None:
        return exercises_of(read_notebook(built))
    if not submission.lesson:
        return None
    known = [one for one in course.earning() if int(one.partition(".")[0]) == int(submission.lesson)]
    return [one for one in known if one in claimed(submission.notebook)] or known


def claimed(notebook: Notebook) -> list[str]:
    """The exercises that a notebook says it has, by its own metadata or the marks of its cells."""
    by_cells = [exercise_of(cell) or answered_in(cell) for cell in notebook["cells"]]
    return list(dict.fromkeys([*exercises_of(notebook), *filter(None, by_cells)]))


def mended(notebook: Notebook, exercises: Iterable[str]) -> tuple[Notebook, list[str]]:
    """A copy whose marks are those of the lesson, so that nbgrader does not stop at it, and what was odd, a sentence each.

    exercises: of the lesson. Of a cell that is there more than once the last keeps the marks, since it sees all answers above.
    A check that is gone is named, and not brought back.
    """
    wanted = {name: marks for exercise in exercises for name, marks in marks_of(exercise)}
    fixed, found, odd = copy.deepcopy(notebook), [], []
    marked = {str(grader(cell).get("grade_id")) for cell in fixed["cells"]}
    places: dict[str, list[int]] = {name: [] for name in wanted}
    for number, cell in enumerate(fixed["cells"], start=1):
        said = cell["metadata"].pop("nbgrader", {})
        name = next((one for one in (str(said.get("grade_id")), str(cell.get("id"))) if one in wanted), "")
        if name and (said or name not in marked):
            places[name].append(number)
            odd += [number] * ({key: said.get(key) for key in wanted[name]} != wanted[name])
            cell["metadata"]["nbgrader"] = {"checksum": said.get("checksum", ""), **wanted[name]}
        elif said:
            found.append(f"cell {number} has marks of no exercise of this lesson")
    if odd:
        found.append(f"other marks than in the lesson: cell {', '.join(map(str, odd))}")
    for name, numbers in places.items():
        if len(numbers) > 1:
            found.append(f"the cell {name} is there {len(numbers)} times (cells {', '.join(map(str, numbers))})")
        elif not numbers:
            found.append(f"the cell {name} is gone")
        for number in numbers[:-1]:
            del fixed["cells"][number - 1]["metadata"]["nbgrader"]
    return fixed, found


@dataclass(frozen=True)
class Collected:
    """What was put into nbgrader's folder. lessons: its assignments; taken: a line each, with what was odd; left: with why."""

    lessons: tuple[str, ...]
    taken: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"assignments: {', '.join(self.lessons)}", *self.taken, *(f"left out: {why}" for why in self.left)]
        return "\n".join(map(printable, lines))


def collect(course: Course, hand_ins: Path, grading: Path) -> Collected:
    """Lay out nbgrader's folder, made if need be: an assignment a lesson, and every hand-in under the student's name.

    hand_ins: a folder that has one for each student, named after them, with their zips or notebooks in it. A hand-in that
    cannot be taken is named, and the others are taken. Raises UsageError, before anything is written, where there is no such
    folder, where `grading` holds something else, or where the course has no notebooks with exercises.
    """
    sources = [path for path in sorted(course.solutions.glob("*.ipynb")) if LESSON_NAME.fullmatch(path.stem)]
    lessons = {path.name[:2]: path for path in sources if exercises_of(read_notebook(path))}
    if not lessons:
        raise UsageError(f"{course.solutions} has no notebooks with exercises; labkit course build makes them")
    if not hand_ins.is_dir():
        raise UsageError(f"{hand_ins}: no such folder; wanted one with a folder for each student, and their zips in it")
    config = grading / "nbgrader_config.py"
    if grading.exists() and not (grading.is_dir() and (config.is_file() or not any(grading.iterdir()))):
        raise UsageError(f"{grading} holds something else; wanted a new folder, or nbgrader's with {config.name} in it")
    found, left = _by_student(course, hand_ins, lessons)
    if not config.exists():
        _write(config, CONFIG.encode())
    for path in lessons.values():
        _write(grading / "source" / path.stem / path.name, path.read_bytes())
    taken = []
    for (student, lesson), submission in found.items():
        name = lessons[lesson].stem
        built = read_notebook(course.notebooks / f"{name}.ipynb")
        notebook, odd = mended(submission.notebook, exercises_of(built))
        # A check that is gone comes back at the end.
        there = {grader(cell).get("grade_id") for cell in notebook["cells"]}
        notebook["cells"] += [cell for cell in built["cells"] if is_check(cell) and cell["id"] not in there]
        folder = grading / "submitted" / student / name
        if _write(folder / f"{name}.ipynb", notebook_bytes(notebook)):  # nbgrader grades again what has a newer time
            when = datetime.fromtimestamp(submission.path.stat().st_mtime, UTC)
            _write(folder / "timestamp.txt", f"{when:%Y-%m-%d %H:%M:%S.%f} UTC\n".encode())
        taken.append(": ".join([f"{student}, {name}", *filter(None, ["; ".join([*submission.notes, *odd])])]))
    return Collected(tuple(path.stem for path in lessons.values()), tuple(taken), tuple(left))


def _by_student(
    course: Course, hand_ins: Path, lessons: Collection[str]
) -> tuple[dict[tuple[str, str], Submission], list[str]]:
    """By student and lesson what was handed in, a zip before a notebook; and what was not taken, with why."""
    found: dict[tuple[str, str], list[Submission]] = {}
    left = []
    for path in sorted(hand_ins.rglob("*")):
        parts = path.relative_to(hand_ins).parts
        if path.suffix.lower() not in (".zip", ".ipynb") or not path.is_file() or any(part[0] == "." for part in parts):
            continue
        submission = read_submission(path, course)
        if len(parts) == 1:
            left.append(f"{path} lies in no student's folder; wanted {hand_ins / 'NAME' / path.name}")
        elif submission.trouble:
            left.append(f"{path}: {submission.trouble}")
        elif submission.lesson not in lessons:
            left.append(f"{path}: it is of no lesson with exercises that earn points; there are {', '.join(lessons)}")
        else:
            found.setdefault((parts[0], submission.lesson), []).append(submission)
    chosen = {}
    for (student, lesson), several in found.items():
        zips = [one for one in several if one.path.suffix.lower() == ".zip"] or several
        if len(zips) == 1:
            chosen[student, lesson] = zips[0]
        else:
            names = ", ".join(str(one.path.relative_to(hand_ins)) for one in zips)
            left.append(f"{student} has more than one hand-in of lesson {lesson}: {names}; wanted one")
    return chosen, left


def _write(path: Path, content: bytes) -> bool:
    """Write a file unless it holds that already; whether it was written."""
    if path.is_file() and path.read_bytes() == content:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, content)
    return True

"""A lesson's text master, solutions/NN_name.py: read, and refused with file and line where its exercises are odd.

Makes no notebook (build.py). Needs jupytext, which the extra `instructor` brings.
"""

import ast
import hashlib
import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from labkit.course.notebooks import LESSON_NAME, check_cell_id, exercise_cell_id, region, without_hidden_tests
from labkit.errors import UsageError, did_you_mean, missing_extra

OPTIONS = ("exercise", "check", "name", "tags")
FACTS = ("title", "minutes", "further")
REQUIRED = FACTS[:2]
SOLUTION, HIDDEN = "SOLUTION", "HIDDEN TESTS"
_MARK = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS)")  # as loosely as nbgrader looks for them


class MasterError(UsageError):
    """A master that gives no notebook; the text names file and line."""


@dataclass(frozen=True)
class MasterCell:
    """One cell of a master. line: of its `# %%`, from 1; exercise, check: ids, empty where it is none."""

    id: str
    type: str
    source: str
    line: int
    exercise: str = ""
    check: str = ""
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Master:
    """A lesson as it was written.

    lesson: two digits, such as "01". minutes: of its core path. further: those that the sections beyond it add.
    """

    path: Path
    lesson: str
    title: str
    minutes: int
    cells: tuple[MasterCell, ...]
    further: int = 0

    @property
    def notebook_name(self) -> str:
        """The file name of the lesson's notebooks."""
        return self.path.with_suffix(".ipynb").name


def read_master(path: Path, known: Collection[str]) -> Master:
    """The master in a file, its exercises and checks held against the ids that the course has.

    Raises MasterError for anything that would give no good notebook, UsageError where jupytext is absent.
    """
    named = LESSON_NAME.fullmatch(path.stem)
    if not named:
        raise MasterError(f"{path}: a master is named NN_name.py, such as 01_tokenization.py")
    try:
        text = path.read_text("utf-8")
    except UnicodeDecodeError as why:
        raise MasterError(f"{path}: not UTF-8 ({why.reason} at byte {why.start})") from None
    facts = _facts(path, text)
    cells = tuple(_cells(path, text, named[1]))
    first: dict[str, int] = {}
    for cell in cells:
        if cell.id in first:
            _refuse(path, cell.line, f"the cell {cell.id!r} is there already, on line {first[cell.id]}")
        first[cell.id] = cell.line
    for cell in cells:
        _check_regions(path, cell)
    _check_exercises(path, cells, named[1], known)
    return Master(path, named[1], facts["title"], int(facts["minutes"]), cells, int(facts.get("further", 0)))


def _refuse(path: Path, line: int, why: str) -> NoReturn:
    raise MasterError(f"{path} line {line}: {why}")


def _facts(path: Path, text: str) -> dict[str, str]:
    """The head of a master: `# key: value` lines between two `# ---`."""
    lines = text.splitlines()
    if not lines or lines[0] != "# ---" or "# ---" not in lines[1:]:
        _refuse(path, 1, "a master opens with # ---, # title: ..., # minutes: ..., # ---")
    facts = {}
    for number, line in enumerate(lines[1 : lines.index("# ---", 1)], start=2):
        key, _, value = line.removeprefix("#").partition(":")
        if key.strip() not in FACTS:
            _refuse(path, number, f"{line!r} is none of {', '.join(FACTS)}{did_you_mean(key.strip(), FACTS)}")
        facts[key.strip()] = value.strip()
    missing = [name for name in REQUIRED if not facts.get(name)]
    odd = [name for name in FACTS[1:] if name in facts and not facts[name].isdecimal()]
    if missing or odd:
        said = ", ".join(missing or odd)
        _refuse(path, 1, f"wanted a title and minutes as a whole number; missing or odd: {said}")
    return facts


def _cells(path: Path, text: str, lesson: str) -> Iterator[MasterCell]:
    """The cells, each with the id that its author gave by exercise, check or name, else one that hangs on its content alone.

    So a cell keeps its id wherever it moves in its lesson.
    """
    seen: Counter[str] = Counter()
    for cell, line in _parsed(path, text):
        options = {key: value for key, value in cell["metadata"].items() if key != "lines_to_next_cell"}
        for key in options:
            if key not in OPTIONS:
                nearest = did_you_mean(key, OPTIONS)
                _refuse(path, line, f"{key!r} is no option of a cell; there are {', '.join(OPTIONS)}{nearest}")
        exercise, check = str(options.get("exercise", "")), str(options.get("check", ""))
        kind, source = cell["cell_type"], cell["source"].rstrip()
        if (exercise or check) and kind != "code":
            _refuse(path, line, "an exercise or a check is a code cell")
        cell_id = re.sub(r"[^a-z0-9]+", "-", str(options.get("name", "")).lower()).strip("-")[:64]
        if exercise or check:
            cell_id = exercise_cell_id(exercise) if exercise else check_cell_id(check)
        elif not cell_id:
            seen[kind + source] += 1
            content = f"{lesson}\0{kind}\0{source}\0{seen[kind + source]}"
            cell_id = hashlib.sha256(content.encode()).hexdigest()[:12]
        yield MasterCell(cell_id, kind, source, line, exercise, check, tuple(options.get("tags", ())))


def _parsed(path: Path, text: str) -> Iterator[tuple[Any, int]]:
    """Jupytext's cells, each with the line of its `# %%`."""
    try:
        import jupytext
        from nbformat import ValidationError
    except ImportError:
        raise missing_extra("building notebooks", "jupytext", "instructor") from None
    lines = text.split("\n")
    head = lines.index("# ---", 1)
    starts = [number for number, line in enumerate(lines, start=1) if re.match(r"#\s*%%", line)]
    for number, line in enumerate(lines[head + 1 : starts[0] - 1 if starts else None], start=head + 2):
        if line.strip():
            _refuse(path, number, "wanted # %% or # %% [markdown], which begin a cell")
    for start, end in itertools.pairwise([*starts, len(lines) + 1]):
        try:
            cells = jupytext.reads("\n".join(lines[start - 1 : end - 1]), fmt="py:percent").cells
        except ValidationError as why:  # metadata that no cell may have
            _refuse(path, start, f"{lines[start - 1]!r}: {why.message}")
        if len(cells) != 1 or not lines[start - 1].startswith("# %%"):
            _refuse(path, start, f"{lines[start - 1]!r}: wanted # %% and, after a space, what the cell is")
        yield cells[0], start


def _check_regions(path: Path, cell: MasterCell) -> None:
    """Every mark has its partner, in a cell that is meant for it."""
    opened: tuple[str, int] | None = None
    for number, line in enumerate(cell.source.splitlines(), start=cell.line + 1):
        mark = _MARK.search(line)
        if mark is None:
            continue
        if line.strip() != f"### {mark[0]}":
            _refuse(path, number, f"{line.strip()!r}: wanted ### {mark[0]} and nothing else on the line")
        if not (cell.exercise if mark[2] == SOLUTION else cell.check):
            _refuse(
                path, number, f"{mark[0]} stands in a cell that is no {'exercise' if mark[2] == SOLUTION else 'check'}"
            )
        if mark[1] == "BEGIN" and opened:
            _refuse(path, number, f"{mark[0]} within the region that began on line {opened[1]}")
        if mark[1] == "END" and (not opened or opened[0] != mark[2]):
            _refuse(path, number, f"{mark[0]} without its BEGIN")
        if mark[1] == "BEGIN" and mark[2] == SOLUTION and not line.startswith((" ", "\t")):
            _refuse(path, number, "the solution is not within a function: an untouched notebook would stop at its stub")
        opened = (mark[2], number) if mark[1] == "BEGIN" else None
    if opened:
        _refuse(path, opened[1], f"### BEGIN {opened[0]} without its END")


def _check_exercises(path: Path, cells: Iterable[MasterCell], lesson: str, known: Collection[str]) -> None:
    """Exercises and checks belong to one another, to this lesson and to the course; lesson 00's warm-ups earn nothing."""
    answered: set[str] = set()
    waiting: dict[str, int] = {}
    for cell in cells:
        exercise = cell.exercise or cell.check
        if not exercise:
            continue
        if exercise.partition(".")[0] != str(int(lesson)):
            _refuse(path, cell.line, f"exercise {exercise!r} does not belong to lesson {lesson}")
        if exercise not in known:
            _refuse(path, cell.line, f"the course has no exercise {exercise!r}{did_you_mean(exercise, known)}")
        if cell.exercise:
            if not region(cell.source, SOLUTION)[1]:
                _refuse(path, cell.line, f"exercise {exercise!r} has no ### BEGIN SOLUTION with lines below it")
            answered.add(exercise)
            waiting[exercise] = cell.line
        elif exercise not in answered:
            _refuse(path, cell.line, f"a check of exercise {exercise!r}, which no cell above has")
        else:
            waiting.pop(exercise)
            _check_what_earns(path, cell, lesson)
    for exercise, line in waiting.items():
        if lesson != "00":
            _refuse(path, line, f"exercise {exercise!r} has no check below it")


def _check_what_earns(path: Path, cell: MasterCell, lesson: str) -> None:
    """A check ends in its result, from which nbgrader reads the points; hidden tests would count in nbgrader alone.

    One is taken, and left out of what is built: float(...), in which every check had to end before.
    """
    _, hidden, after = region(cell.source, HIDDEN)
    if lesson == "00":
        if hidden:
            _refuse(path, cell.line, "the warm-up of lesson 00 earns no points, so it has no hidden tests")
        return
    if hidden and (after.strip() or not re.fullmatch(r"float\(.+\)", hidden.strip())):
        _refuse(
            path,
            cell.line,
            f"the check of {cell.check!r} has hidden tests; wanted none: what must hold is said by its exercise's properties",
        )
    try:
        body = ast.parse(without_hidden_tests(cell.source)).body
    except SyntaxError:
        body = []
    calls = [node for one in body for node in ast.walk(one) if isinstance(node, ast.Call) and node.args]
    others = [
        node for node in calls if ast.unparse(node.func) == "check" and ast.unparse(node.args[0]) != repr(cell.check)
    ]
    last = body[-1] if body else None
    if others or not (isinstance(last, ast.Expr) and isinstance(last.value, (ast.Name, ast.Call))):
        _refuse(
            path,
            cell.line,
            f"the check of {cell.check!r} must end in its result: result = check({cell.check!r}, NAME) and, below it, result",
        )

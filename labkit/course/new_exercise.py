"""Skeletons of a new exercise: its check, its observer, its cells in the lesson's master, and a test.

All of it runs as it is written, on a contract that stands in for the author's: every place to fill in says TODO, and
`labkit course lint` finds those that are left.
"""

import ast
import keyword
import re
from pathlib import Path
from string import Template

from labkit.checks.courses import EXERCISE_ID, PROFILE, Course
from labkit.errors import UsageError
from labkit.files import write_atomically

_SKELETONS = Path(__file__).with_name("skeletons")


def new_exercise(course: Course, exercise_id: str, name: str, lesson: str | None = None) -> list[Path]:
    """Write the skeletons of an exercise into a course; the paths of the files that are new or have more in them.

    lesson: the name of its lesson, such as searching, where there is none of that number yet. Raises UsageError, before
    anything is written, for an id or a name that is none and for whatever is there already.
    """
    if not EXERCISE_ID.fullmatch(exercise_id):
        raise UsageError(f"{exercise_id!r} is no id of an exercise; wanted LESSON.NUMBER, such as 1.3")
    for what in (name, lesson or name):
        if not what.isidentifier() or keyword.iskeyword(what):
            raise UsageError(f"{what!r} is no name for Python; wanted one such as binary_search")
    modules = course.modules()
    if exercise_id in modules:
        raise UsageError(f"exercise {exercise_id} is there already: {modules[exercise_id]}")
    number = f"{int(exercise_id.partition('.')[0]):02d}"
    lesson = _lesson(course, number, lesson, modules)
    facts = {"id": exercise_id, "name": name, "number": number, "lesson": lesson, "package": course.package}
    facts |= {"title": lesson.replace("_", " ").capitalize()}
    facts |= (
        {"kind": "Exercise", "facts": ""} if number != "00" else {"kind": "Warm-up", "facts": "\n    max_points=0.0,"}
    )
    facts |= {"profile": "\n#\n# TODO say which profile is on." if PROFILE in course.environment else ""}
    package, test = course.package_folder, course.root / "tests" / f"test_{name}.py"
    exercise = package / "exercises" / lesson / f"{name}.py"
    folders = {
        package: "A course's checks: exercises/ has what is right, observers/ what runs beside a student's code.",
        package / "exercises": "What is right: one folder a lesson, one module an exercise.",
        exercise.parent: f"The checks of lesson {number}, one module an exercise.",
        package
        / "observers": "What runs beside a student's code, one module a lesson; nothing here knows what is right.",
    }
    openings = {folder / "__init__.py": f'"""{about}"""\n' for folder, about in folders.items()}
    written = {path: text for path, text in openings.items() if not path.exists()}
    for path, skeleton in ((exercise, "exercise"), (test, "test")):
        if path.exists():
            raise UsageError(f"{path} is there already; wanted another name than {name}")
        written[path] = _filled(skeleton, facts)
    observers = package / "observers" / f"{lesson}.py"
    written[observers] = _with_observer(observers, facts)
    master = course.solutions / f"{number}_{lesson}.py"
    master = next(iter(sorted(course.solutions.glob(f"{number}_*.py"))), master)
    written[master] = _with_cells(master, facts)
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text)
    return list(written)


def _lesson(course: Course, number: str, given: str | None, modules: dict[str, Path]) -> str:
    """The name of a lesson's folder of exercises: of the one that is there, else of its master, else as given."""
    there = {path.parent.name for one, path in modules.items() if one.partition(".")[0] == str(int(number))}
    there = there or {path.stem.partition("_")[2] for path in course.solutions.glob(f"{number}_*.py")}
    name = next(iter(sorted(there)), given)
    if name is None:
        raise UsageError(f"there is no lesson {number} yet; wanted its name with --lesson, such as --lesson searching")
    if given not in (None, name):
        raise UsageError(f"lesson {number} is {name} already; wanted it without --lesson, or another number")
    return name


def _filled(skeleton: str, facts: dict[str, str]) -> str:
    return Template((_SKELETONS / f"{skeleton}.txt").read_text("utf-8")).substitute(facts)


def _with_observer(path: Path, facts: dict[str, str]) -> str:
    """A lesson's observers and one more, with the imports that it needs below those that are there."""
    text = path.read_text("utf-8") if path.is_file() else _filled("observers", facts)
    tree = ast.parse(text)
    if any(isinstance(node, ast.FunctionDef) and node.name == facts["name"] for node in tree.body):
        raise UsageError(f"{path} has an observer {facts['name']} already")
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    known = {alias.asname or alias.name for node in imports for alias in node.names}
    wanted = [node for node in ast.parse(_filled("observers", facts)).body if isinstance(node, ast.ImportFrom)]
    missing = [
        f"from {node.module} import {', '.join(lacking)}"
        for node in wanted
        if (lacking := [alias.name for alias in node.names if alias.name not in known])
    ]
    lines = text.rstrip().splitlines()
    place = max((node.end_lineno or 0 for node in imports), default=tree.body[0].end_lineno or 0)
    return "\n".join([*lines[:place], *missing, *lines[place:]]) + "\n" + _filled("observer", facts)


def _with_cells(path: Path, facts: dict[str, str]) -> str:
    """A lesson's master with the exercise's cells behind its last check, or a new master around them."""
    cells = _filled("cells", facts)
    if not path.is_file():
        return _filled("opening", facts) + cells + _filled("closing", facts)
    text = path.read_text("utf-8")
    if re.search(rf'^# %%.*(exercise|check)="{re.escape(facts["id"])}"', text, re.MULTILINE):
        raise UsageError(f"{path} has cells of exercise {facts['id']} already")
    checks = [*re.finditer(r'^# %%.*\bcheck="', text, re.MULTILINE)]
    following = re.compile(r"^# %%", re.MULTILINE).search(text, checks[-1].end()) if checks else None
    place = following.start() if following else len(text)
    return f"{text[:place].rstrip()}\n{cells}" + (f"\n{text[place:]}" if following else "")

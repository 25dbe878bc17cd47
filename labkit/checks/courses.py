"""Which course is served: a folder with a course.toml, and the package of exercises that lies beside it.

One setting for `check`, `exercises` and `labkit course ...`: the folder that LABKIT_COURSE names, else the nearest course from
the current folder upwards (a student's copy carries its own), else the one that comes with labkit. An exercise is imported
only when it is asked for: which there are is read from the text of their modules.
"""

import ast
import importlib
import keyword
import os
import re
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from labkit.checks.exercise import Exercise
from labkit.errors import UsageError, did_you_mean
from labkit.student_work import FOLDER

FILE = "course.toml"
SETTING = "LABKIT_COURSE"
RECORD = "course.json"  # under .labkit/: this folder is a student's copy, and what it began as
IN_A_COPY = Path(FOLDER) / "course"  # where a student's copy carries its course, unless that comes with labkit
OWN_PACKAGE = "labkit.lessons"
PROFILE = "LABKIT_PROFILE"  # in the environment of a course whose lessons have profiles: how much they compute
EXERCISE_ID = re.compile(r"\d{1,2}\.\d{1,2}")

_importable: set[str] = set()  # the folders of courses that stand on the path of imports, or did


@dataclass(frozen=True)
class Course:
    """A folder with masters under solutions/ and built notebooks under notebooks/, and what its course.toml says.

    package: has exercises/LESSON/EXERCISE.py and observers/LESSON.py. environment: of its lessons where `labkit course run` and
    `pages` run them. figures: a module whose functions draw, for the lint.
    """

    root: Path
    title: str = "labkit's own course"
    package: str = OWN_PACKAGE
    environment: Mapping[str, str] = field(default_factory=dict)
    figures: str = ""

    @property
    def solutions(self) -> Path:
        """Where masters and solution notebooks lie."""
        return self.root / "solutions"

    @property
    def notebooks(self) -> Path:
        """Where the students' notebooks lie."""
        return self.root / "notebooks"

    @property
    def comes_with_labkit(self) -> bool:
        """Whether whoever has labkit has the course's package too."""
        return self.package.partition(".")[0] == "labkit"

    @property
    def package_folder(self) -> Path:
        """Where the package lies: beside course.toml, or in labkit."""
        beside = self.root.joinpath(*self.package.split("."))
        return (
            beside if beside.is_dir() or not self.comes_with_labkit else checkout().joinpath(*self.package.split("."))
        )

    def modules(self) -> dict[str, Path]:
        """By id, in their order, the module of each exercise, warm-ups (0.x) among them. Imports none of them.

        Raises UsageError for a module that is no Python, that does not say its id in plain text, or whose id another has too.
        """
        found: dict[str, Path] = {}
        for path in sorted((self.package_folder / "exercises").glob("*/*.py")):
            exercise_id = _id_in(path, path.stat().st_mtime_ns)
            if exercise_id in found:
                raise UsageError(
                    f"{path}: exercise {exercise_id} is {found[exercise_id]} already; wanted an id of its own"
                )
            if exercise_id:
                found[exercise_id] = path
        return dict(sorted(found.items(), key=lambda item: [int(part) for part in item[0].split(".")]))

    def earning(self) -> list[str]:
        """The ids of the exercises that earn points: all but the warm-ups."""
        return [exercise_id for exercise_id in self.modules() if not exercise_id.startswith("0.")]

    def exercise(self, exercise_id: str) -> Exercise:
        """The exercise of that id. Raises UsageError with the nearest id, and where its module cannot be imported."""
        modules = self.modules()
        if exercise_id not in modules:
            lesson = exercise_id.partition(".")[0]
            near = [one for one in modules if one.partition(".")[0] == lesson] or self.earning()
            there = f"there are {', '.join(near)}" if near else f"there is none in {self.package_folder / 'exercises'}"
            raise UsageError(f"{self.title} has no exercise {exercise_id!r}; {there}{did_you_mean(exercise_id, near)}")
        path = modules[exercise_id]
        self.make_importable()
        try:
            module = importlib.import_module(f"{self.package}.exercises.{path.parent.name}.{path.stem}")
        except Exception as why:  # whatever is wrong in it
            raise UsageError(f"{path} cannot be imported: {type(why).__name__}: {why}") from why
        if not self.comes_with_labkit and Path(str(module.__file__)).resolve() != path.resolve():
            raise UsageError(
                f"{path}: the package {self.package} was imported from {module.__file__} instead; "
                f"wanted a name in {self.root / FILE} that no other package has, and a new process"
            )
        found: Exercise = module.EXERCISE
        return found

    def make_importable(self) -> None:
        """Let this process import the package from the course's folder, behind all that is installed.

        The folder of another course, which may have a package of the same name, leaves the path.
        """
        if not self.comes_with_labkit:
            own = str(self.root)
            sys.path[:] = [path for path in sys.path if path == own or path not in _importable]
            sys.path += [] if own in sys.path else [own]
            _importable.add(own)
            importlib.invalidate_caches()

    def surroundings(self) -> dict[str, str]:
        """What a kernel is to find in its environment, so that it is served this course wherever it works."""
        return {SETTING: str(self.root), **self.import_path()} if (self.root / FILE).is_file() else {}

    def import_path(self) -> dict[str, str]:
        """PYTHONPATH with which other processes import the package; nothing where it comes with labkit."""
        paths = [str(self.root), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {} if self.comes_with_labkit else {"PYTHONPATH": os.pathsep.join(paths)}

    def files(self) -> dict[str, Path]:
        """By path below its folder what the checks need: course.toml and the package; nothing where both come with labkit."""
        if self.comes_with_labkit:
            return {}
        package = self.root / self.package.partition(".")[0]
        paths = [self.root / FILE, *(path for path in sorted(package.rglob("*")) if path.is_file())]
        names = {path.relative_to(self.root): path for path in paths}
        left_out = ("__pycache__", ".")
        return {
            name.as_posix(): path
            for name, path in names.items()
            if not any(part.startswith(left_out) for part in name.parts)
        }


def served() -> Course:
    """The course that LABKIT_COURSE names, else the nearest from the current folder upwards, else labkit's own.

    Raises UsageError where the variable names no course, or where a course.toml is odd.
    """
    if os.environ.get(SETTING):
        try:
            return read_course(Path(os.environ[SETTING]))
        except UsageError as why:
            raise UsageError(f"{SETTING}: {why}") from None
    here = Path.cwd()
    for folder in (here, *here.parents):
        if any((folder / place / FILE).is_file() for place in (".", IN_A_COPY)):
            return read_course(folder)
        if (folder / FOLDER / RECORD).is_file():  # a copy that carries no course is one of labkit's own
            break
    return read_course(checkout()) if (checkout() / FILE).is_file() else Course(checkout())


def checkout() -> Path:
    """The folder from which labkit runs, which is a checkout's where labkit was not installed from a wheel."""
    return Path(__file__).resolve().parent.parent.parent


def read_course(folder: Path) -> Course:
    """The course of a folder or of a student's copy. Raises UsageError for a course.toml that is absent or odd."""
    root = next((place for place in (folder, folder / IN_A_COPY) if (place / FILE).is_file()), None)
    if root is None:
        raise UsageError(f"{folder} has no {FILE}; wanted the folder of a course")
    path = root / FILE
    try:
        facts = tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as why:
        raise UsageError(f"{path}: {why}") from None
    keys = [one.name for one in fields(Course) if one.name != "root"]
    for key in facts:
        if key not in keys:
            raise UsageError(
                f"{path}: {key} is no setting of a course; there are {', '.join(keys)}{did_you_mean(key, keys)}"
            )
    _refuse_odd(path, facts)
    return Course(root.absolute(), **facts)


def _refuse_odd(path: Path, facts: Mapping[str, Any]) -> None:
    """Raise UsageError for a setting that is missing or is none, with what is wanted."""
    wanted = {
        "title": "a text",
        "package": 'the name of a Python package beside it that is none of Python\'s own, such as "sorting"',
        "environment": 'a table of texts, such as { LABKIT_PROFILE = "tiny" }',
        "figures": "the name of a module",
    }
    for key in ("title", "package"):
        if key not in facts:
            raise UsageError(f"{path}: {key} is missing; wanted {wanted[key]}")
    for key, value in facts.items():
        if key == "environment":
            is_good = isinstance(value, dict) and all(isinstance(each, str) for each in value.values())
        else:
            is_good = isinstance(value, str) and bool(value.strip())
        if key == "package" and is_good:
            parts = value.split(".")
            named = all(part.isidentifier() and not keyword.iskeyword(part) for part in parts)
            is_good = named and parts[0] not in sys.stdlib_module_names
        if not is_good:
            raise UsageError(f"{path}: {key} = {value!r}; wanted {wanted[key]}")


@lru_cache(1024)
def _id_in(path: Path, changed: int) -> str:
    """The id of the exercise in a module, empty where it has none. changed: so that one that was edited is read again."""
    try:
        tree = ast.parse(path.read_text("utf-8"))
    except (SyntaxError, ValueError) as why:
        raise UsageError(f"{path} line {getattr(why, 'lineno', None) or 1}: {getattr(why, 'msg', why)}") from None
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "EXERCISE" for target in targets):
            call = getattr(node, "value", None)
            given = []
            if isinstance(call, ast.Call):
                given = [*call.args[:1], *(one.value for one in call.keywords if one.arg == "id")]
            said = str(given[0].value) if given and isinstance(given[0], ast.Constant) else ""
            if not EXERCISE_ID.fullmatch(said):
                raise UsageError(
                    f'{path} line {node.lineno}: wanted EXERCISE = Exercise("1.1", ...), its id in plain text'
                )
            return said
    return ""

"""What is to be said against a course before it goes to students: `labkit course lint`.

Of its notebooks: drift, what lint.py finds, and what they give away. Of its exercises: laws that their checks break
(labkit.checks.trial), and whether a lesson asks for them. Runs no notebook (checking.py).
"""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from labkit.checks.courses import PROFILE, Course
from labkit.checks.trial import broken_laws
from labkit.course.build import drift, lesson_name, masters
from labkit.course.lint import leaks, lint, not_public
from labkit.course.masters import Master
from labkit.course.notebooks import NotebookError, read_notebook
from labkit.course.release import not_for_students
from labkit.errors import UsageError

SEEDS = 3  # for each wrong answer; `labkit course try` takes more
UNFINISHED = "TODO"  # what new-exercise leaves where its author has to write


def findings(course: Course, lesson: str | None = None) -> list[str]:
    """Every finding in a course, or in one of its lessons. Raises UsageError for an unknown lesson or an odd master."""
    name = lesson_name(course, lesson) if lesson else ""
    asked = [master for master in masters(course) if name in ("", master.path.stem)]
    found = [line for line in drift(course) if not name or f"/{name}.ipynb: " in line]
    files = {path.name for path in course.notebooks.iterdir()}
    for notebook in [master.notebook_name for master in asked]:
        try:
            student, solution = (read_notebook(folder / notebook) for folder in (course.notebooks, course.solutions))
        except (NotebookError, OSError):
            continue  # it has drifted, and that is said already
        for folder, one in (("notebooks", student), ("solutions", solution)):
            said = [*lint(one, files, drawing(course), PROFILE in course.environment), *not_public(one)]
            found += [f"{folder}/{notebook}: {why}" for why in said]
        given_away = [f"gives a solution away, {lines}" for lines in leaks(solution, student)]
        found += [f"notebooks/{notebook}: {why}" for why in [*not_for_students(student), *given_away]]
    return [*found, *_of_exercises(course, asked)]


def drawing(course: Course) -> list[str]:
    """The names of the functions that draw: those of the course's figures that return Axes."""
    functions = vars(import_module(course.figures)).items() if course.figures else ()
    made = {name: getattr(value, "__annotations__", {}).get("return") for name, value in functions}
    return [name for name, kind in made.items() if getattr(kind, "__name__", kind) == "Axes"]


def _of_exercises(course: Course, asked: list[Master]) -> Iterator[str]:
    """The exercises of these lessons: asked for in one, written to the end, and with a check that keeps the laws."""
    numbers = {str(int(master.lesson)) for master in asked}
    wanted = {cell.exercise for master in asked for cell in master.cells if cell.exercise}
    folders: dict[str, Path] = {}
    written = [*(master.path for master in asked), *(course.package_folder / "observers").glob("*.py")]
    for exercise_id, path in course.modules().items():
        number = exercise_id.partition(".")[0]
        shown = path.relative_to(course.package_folder).as_posix()
        if folders.setdefault(number, path.parent) != path.parent:
            yield f"{shown}: exercise {exercise_id} lies apart from those of its lesson, in {folders[number].name}/"
        if number in numbers:
            said = [] if exercise_id in wanted else ["no lesson asks for it"]
            said += _unfinished(path)
            written += [test for test in [course.root / "tests" / f"test_{path.stem}.py"] if test.is_file()]
            try:
                said += broken_laws(course.exercise(exercise_id), SEEDS)
            except UsageError as why:
                said.append(str(why))
            yield from (f"{shown}: exercise {exercise_id}: {one}" for one in said)
    for path in written:
        yield from (f"{path.parent.name}/{path.name}: {one}" for one in _unfinished(path))


def _unfinished(path: Path) -> list[str]:
    lines = path.read_text("utf-8").splitlines()
    left = [str(number) for number, line in enumerate(lines, start=1) if UNFINISHED in line]
    return [f"still has a {UNFINISHED} on line {', '.join(left)}"] if left else []

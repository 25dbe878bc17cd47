"""The map of the course: every lesson with its time and what a student has done of it, and where to go on.

Read from the notebooks that lie beside, or that the course has, and from the student's folder. Judges nothing and runs
nothing.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.checks.courses import served
from labkit.course.notebooks import LESSON_NAME, NotebookError, about_of, exercises_of, read_notebook
from labkit.display import LEFT, Markup, html_table, text_table
from labkit.student_work import Entries, Work, course_folder, of_lesson

_HEADS = ("lesson", "core", "all of it", "exercises passed", "predictions", "reflection")


@dataclass(frozen=True)
class LessonSoFar:
    """One lesson, and what is kept of a student's work in it.

    core, whole: minutes. passed: the ids of exercises that passed. last: when something was last kept; empty where nothing
    was.
    """

    lesson: str
    title: str
    file: str
    core: int
    whole: int
    exercises: Sequence[str]
    passed: Sequence[str]
    predictions: int
    reflected: bool
    last: str

    @property
    def name(self) -> str:
        """Number and title."""
        return f"{self.lesson} {self.title}"

    @property
    def is_done(self) -> bool:
        """Whether its exercises have all passed, or its closing reflection is written."""
        return self.reflected or (bool(self.exercises) and len(self.passed) == len(self.exercises))

    @property
    def next_step(self) -> str:
        """What comes next in it, in words."""
        left = [one for one in self.exercises if one not in self.passed]
        if not self.last:
            return "not begun yet"
        return f"still to pass: {', '.join(left)}" if left else "its reflection is still to be written"

    @property
    def cells(self) -> tuple[str, ...]:
        """Its row but for the name."""
        passed = f"{len(self.passed)} of {len(self.exercises)}" if self.exercises else "none to pass"
        written = "written" if self.reflected else "not yet"
        return (f"{self.core} min", f"{self.whole} min", passed, f"{self.predictions} made", written)


@dataclass(frozen=True)
class CourseMap:
    """The lessons in their order."""

    lessons: Sequence[LessonSoFar]

    @property
    def here(self) -> LessonSoFar | None:
        """The lesson to go on with: the last one worked on, or after it the next that is not done. None where all are done."""
        begun = [one for one in self.lessons if one.last]
        place = self.lessons.index(max(begun, key=lambda one: one.last)) if begun else 0
        in_turn = [*self.lessons[place:], *self.lessons[:place]]
        return next((one for one in in_turn if not one.is_done), None)

    def _said(self) -> tuple[str, str]:
        """Where to go on, before the lesson's name and after it."""
        if not self.lessons:
            return "No lessons lie here: open your copy of the course with labkit course open.", ""
        if self.here is None:
            return "Every lesson is done.", ""
        return "Continue here: ", f" ({self.here.next_step})."

    def __str__(self) -> str:
        before, after = self._said()
        rows = [_HEADS, *((one.name, *one.cells) for one in self.lessons)] if self.lessons else []
        name = self.here.name if self.here else ""
        return "\n".join([*([text_table(rows)] if rows else []), f"{before}{name}{after}"])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        before, after = map(html.escape, self._said())
        rows = [(_link(one), *one.cells) for one in self.lessons]
        table = html_table("The lessons, and how far you are", [_HEADS, *rows], styles=(LEFT,)) if rows else ""
        return f"{table}<p><strong>{before}{_link(self.here) if self.here else ''}</strong>{after}</p>"


def _link(lesson: LessonSoFar) -> Markup:
    return Markup(f'<a href="{html.escape(lesson.file)}">{html.escape(lesson.name)}</a>')


def course_map() -> CourseMap:
    """The lessons that lie here, each with its minutes and what is kept of your work in it, and where to go on.

    They are those beside this notebook or in the course folder, or else those of the course that is served.
    """
    work = Work()
    kept = (work.checks, work.predictions, work.reflections)
    for folder in (Path.cwd(), course_folder(), served().notebooks):
        paths = [path for path in sorted(folder.glob("*.ipynb")) if LESSON_NAME.fullmatch(path.stem)]
        lessons = [one for one in (_lesson(path, *kept) for path in paths) if one]
        if lessons:
            return CourseMap(lessons)
    return CourseMap(())


def _lesson(path: Path, checks: Entries, predictions: Entries, reflections: Entries) -> LessonSoFar | None:
    """The lesson in a notebook; None where it is none, or cannot be read."""
    try:
        notebook = read_notebook(path)
    except (NotebookError, OSError):
        return None
    about = about_of(notebook)
    if not {"lesson", "title", "minutes"} <= set(about) or not isinstance(about["minutes"], int):
        return None
    number = str(about["lesson"])
    made, written = of_lesson(predictions, number), of_lesson(reflections, number)
    checked = {key: entry for key, entry in checks.items() if key.partition(".")[0].zfill(2) == number}
    exercises = exercises_of(notebook)
    return LessonSoFar(
        number,
        str(about["title"]),
        path.name,
        core=about["minutes"],
        whole=about["minutes"] + about.get("further", 0),
        exercises=exercises,
        passed=[one for one in exercises if checked.get(one, {}).get("status") == "passed"],
        predictions=sum(entry.get("choice") is not None for entry in made.values()),
        reflected=any(str(entry.get("text", "")).strip() for entry in written.values()),
        last=max(
            (str(entry.get("at", "")) for each in (made, written, checked) for entry in each.values()), default=""
        ),
    )

"""A student's own page of a lesson: predictions beside their outcomes, exercises, the reflection; one HTML file in the copy.

Gathers what is kept in the student's folder (student_work.py); asks and checks nothing. The same work gives the same bytes.
"""

import contextlib
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from labkit.checks.courses import served
from labkit.checks.exercise import POINTS
from labkit.checks.progress import kept_result
from labkit.course.notebooks import NotebookError, about_of, read_notebook
from labkit.display import page_template
from labkit.errors import UsageError
from labkit.files import write_atomically
from labkit.student_work import Work, of_lesson
from labkit.widgets.asking import Outcome, Prediction, kept_entries, read_prediction

GENERATOR = "labkit lesson_page"


@dataclass(frozen=True)
class Asked:
    """A prediction and its outcome, empty while that is not known."""

    key: str
    prediction: Prediction
    outcome: str

    @property
    def verdict(self) -> str:
        """Whether it came as predicted, as far as that can be said."""
        return Outcome(self.outcome, self.prediction).verdict if self.outcome else ""


@dataclass(frozen=True)
class CheckedExercise:
    """An exercise with the last result of its check."""

    id: str
    name: str
    status: str
    points: float
    most: float = POINTS


@dataclass(frozen=True)
class LessonPage:
    """What a student has done in a lesson.

    path: where the page stands; None where it was not written, and `trouble` says why where somebody would miss it.
    """

    title: str
    predictions: tuple[Asked, ...]
    exercises: tuple[CheckedExercise, ...]
    reflections: tuple[tuple[str, str], ...]
    path: Path | None = None
    trouble: str = ""

    @property
    def points_in_words(self) -> str:
        """The points of all exercises of the lesson."""
        return f"{sum(row.points for row in self.exercises):g} of {sum(row.most for row in self.exercises):g} points"

    @property
    def summary(self) -> str:
        """What there is, in a sentence."""
        as_predicted = sum(asked.verdict == "As predicted." for asked in self.predictions)
        made = len(self.predictions)
        words = sum(len(text.split()) for _, text in self.reflections)
        parts = [f"{made} prediction{'s' * (made != 1)}, {as_predicted} came as predicted"]
        if self.exercises:
            passed = sum(row.status == "passed" for row in self.exercises)
            parts.append(f"{passed} of {len(self.exercises)} exercises passed, {self.points_in_words}")
        parts.append(f"a reflection of {words} word{'s' * (words != 1)}" if words else "no reflection yet")
        return f"{'; '.join(parts)}."

    def __str__(self) -> str:
        place = f"Your page of this lesson: {self.path.name}" if self.path else self.trouble
        return "\n".join(line for line in (f"{self.title}: {self.summary}", place) if line)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        place = f"<p>{html.escape(self.trouble)}</p>" * bool(self.trouble)
        if self.path:
            name = html.escape(self.path.name)
            place = f'<p>Your page of this lesson: <a href="{name}">{name}</a></p>'
        return f"<p><strong>{html.escape(self.title)}</strong>: {html.escape(self.summary)}</p>{place}"


def lesson_page(lesson: str) -> LessonPage:
    """Write your own page of a lesson beside its notebook, and show what stands in it.

    It is written in a student's own folder alone. lesson: its number, such as "04", with which the keys of its predictions and
    reflections begin. What is kept later comes onto the page by itself, but for checks: they do when this runs again. Raises
    UsageError for what is no number of a lesson.
    """
    if not re.fullmatch(r"[0-9]{2}", str(lesson)):
        raise UsageError(f"lesson_page: wanted the number of a lesson, such as '04'; found {lesson!r}")
    work = Work()
    notebook = _notebook(work, lesson)
    page = _gathered(work, lesson, notebook)
    if not work.exists:
        return page
    path = _place(work, lesson, notebook)
    if path.exists() and not _is_ours(path):
        return replace(page, trouble=f"{path.name} is there already and is no page of labkit's; it was left as it is.")
    text = page_template("lesson_page.html").render(page=page, generator=GENERATOR)
    try:
        write_atomically(path, text.encode("utf-8", "replace"))
    except OSError as why:
        return replace(page, trouble=f"{path.name} could not be written: {why}")
    return replace(page, path=path)


def bring_up_to_date(key: str) -> None:
    """Write the page of a key's lesson anew, where there is one."""
    work, lesson = Work(), key[:2]
    if re.fullmatch(r"[0-9]{2}-", key[:3]) and _is_ours(_place(work, lesson, _notebook(work, lesson))):
        lesson_page(lesson)


def _notebook(work: Work, lesson: str) -> Path | None:
    """The lesson's notebook in the student's folder; None where there is none, or more than one."""
    found = list(work.folder.parent.glob(f"{lesson}_*.ipynb"))
    return found[0] if len(found) == 1 else None


def _place(work: Work, lesson: str, notebook: Path | None) -> Path:
    return work.folder.parent / f"{notebook.stem if notebook else lesson}-page.html"


def _is_ours(path: Path) -> bool:
    try:
        return GENERATOR in path.read_text("utf-8", "replace")
    except OSError:
        return False


def _gathered(work: Work, lesson: str, notebook: Path | None) -> LessonPage:
    """What the student's folder has of a lesson. What cannot be read is left out and said, as asking.py does."""
    predictions, reflections = (of_lesson(kept_entries(kind), lesson) for kind in ("predictions", "reflections"))
    made = {key: (read_prediction(entry), entry.get("outcome", "")) for key, entry in predictions.items()}
    written = [(str(entry.get("question", "")), str(entry.get("text", ""))) for entry in reflections.values()]
    return LessonPage(
        _title(lesson, notebook),
        tuple(Asked(key, prediction, str(outcome)) for key, (prediction, outcome) in made.items() if prediction),
        tuple(_exercises(lesson)),
        tuple((question, text) for question, text in written if text.strip()),
    )


def _title(lesson: str, notebook: Path | None) -> str:
    title = ""
    if notebook:
        with contextlib.suppress(NotebookError, OSError):  # a page with a plainer title is a page
            title = str(about_of(read_notebook(notebook)).get("title", ""))
    return f"Lesson {lesson}: {title}" if title else f"Lesson {lesson}"


def _exercises(lesson: str) -> Iterator[CheckedExercise]:
    course, kept = served(), kept_entries("checks")
    for exercise_id in course.earning():
        if int(exercise_id.partition(".")[0]) == int(lesson):
            status, points = kept_result(kept.get(exercise_id, {})) or ("not checked", 0.0)
            yield CheckedExercise(exercise_id, course.modules()[exercise_id].stem, status, points)

"""Questions to the student: predictions, their outcomes and reflections.

A prediction comes before an experiment, its outcome after it, a reflection at the end of a lesson. Answers are kept at
once in the student's folder (student_work.py). A question that nobody answers stops nothing.
"""

import html
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ipywidgets
from IPython.display import display

from labkit.display import LEFT, MARK, html_table
from labkit.errors import UsageError
from labkit.student_work import Work
from labkit.widgets.interactive import Interactive, Picture, choice_buttons, labelled

_BOX = f'style="border-left:4px solid {MARK};padding:0.2em 0 0.2em 0.8em;margin:0.4em 0;line-height:1.5"'
_shown: set[tuple[Path, str]] = set()  # outcomes that this kernel showed to somebody who had predicted nothing


@dataclass(frozen=True)
class Prediction:
    """A question with its choices, and what was chosen; None where nothing was.

    before: what was chosen when the outcome was shown, empty where nothing was; None where no outcome has been shown.
    """

    question: str
    choices: Sequence[str]
    choice: str | None = None
    before: str | None = None

    @property
    def note(self) -> str:
        """That the outcome was known when this was chosen; empty where it was not."""
        if self.choice is None or self.before in (None, self.choice):
            return ""
        if not self.before:
            return "Made after the outcome was shown."
        return f"Changed after the outcome was shown; before it: {self.before}"

    def __str__(self) -> str:
        lines = [self.question, *(f"{_mark(self, choice)} {choice}" for choice in self.choices)]
        return "\n".join([*lines, self.note] if self.note else lines)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<li>{_mark(self, choice)} {html.escape(choice)}{' (your prediction)' * (choice == self.choice)}</li>"
            for choice in self.choices
        )
        question, note = html.escape(self.question), f"<p>{html.escape(self.note)}</p>" * bool(self.note)
        return f'<div {_BOX}><strong>Predict.</strong> {question}<ul style="list-style:none">{rows}</ul>{note}</div>'


def _mark(prediction: Prediction, choice: str) -> str:
    return "◉" if choice == prediction.choice else "○"


@dataclass(frozen=True)
class Outcome:
    """A prediction and what came of it. prediction: None where none was made."""

    actual: str
    prediction: Prediction | None = None
    explanation: str = ""

    @property
    def choice(self) -> str | None:
        """What was predicted."""
        return self.prediction.choice if self.prediction else None

    @property
    def question(self) -> str:
        """What was asked."""
        return self.prediction.question if self.prediction else ""

    @property
    def verdict(self) -> str:
        """Whether it came as predicted before it was shown, where the outcome is one of the choices."""
        if self.prediction is None:
            return "No prediction was made."
        if self.prediction.note:
            return self.prediction.note.rstrip(".") + "."
        if self.actual not in self.prediction.choices:
            return ""
        return "As predicted." if self.prediction.choice == self.actual else "Not as predicted."

    def __str__(self) -> str:
        prediction = f"prediction: {self.choice}" * (self.choice is not None)
        lines = (self.question, prediction, f"outcome: {self.actual}", self.verdict, self.explanation)
        return "\n".join(line for line in lines if line)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [("your prediction", self.choice or "none was made"), ("outcome", self.actual)]
        table = html_table(
            self.question or "Prediction and outcome", rows, head=False, styles=(LEFT, f"{LEFT};overflow-wrap:anywhere")
        )
        words = " ".join(html.escape(text) for text in (self.verdict, self.explanation) if text)
        return f"<div {_BOX}>{table}<p>{words}</p></div>"


@dataclass(frozen=True)
class Reflection:
    """A question and the student's free text."""

    question: str
    text: str = ""

    def __str__(self) -> str:
        return f"{self.question}\n{self.text or '(nothing written yet)'}"

    def _repr_html_(self) -> str:
        text = html.escape(self.text) or "<em>Nothing written yet.</em>"
        question = html.escape(self.question)
        return f'<div {_BOX}><strong>Reflect.</strong> {question}<p style="white-space:pre-wrap">{text}</p></div>'


def predict(key: str, question: str, choices: Sequence[str]) -> Interactive:
    """Ask for a prediction by a button for each choice and keep it at once.

    An earlier choice is shown as chosen. key: under which `outcome` finds it. Raises UsageError for fewer than two
    choices, or two that are the same.
    """
    if isinstance(choices, str) or len(set(choices)) != len(choices) or len(choices) < 2:
        raise UsageError(f"prediction {key}: wanted at least two different choices; found {choices!r}")
    earlier = kept_prediction(key)
    chosen = earlier.choice if earlier and earlier.choice in choices else None
    buttons = choice_buttons("Your prediction:", options=list(choices), value=chosen)
    question_shown = ipywidgets.HTML(f"<strong>Predict.</strong> {html.escape(question)}")
    said = ipywidgets.HTML(html.escape(_kept_words(earlier if chosen else None)))

    def present() -> Prediction:
        kept = kept_prediction(key) if buttons.value is not None else None
        return Prediction(question, tuple(choices), buttons.value, kept.before if kept else None)

    asked = Interactive(
        ipywidgets.VBox([question_shown, buttons, said]), {"choice": buttons}, lambda: _picture(present())
    )

    def keep(change: Any) -> None:
        problem = _problem(key, lambda: keep_prediction(key, Prediction(question, tuple(choices), buttons.value)))
        said.value = html.escape(problem or _kept_words(present()))
        asked.redraw()

    buttons.observe(keep, names="value")
    return asked


def outcome(key: str, actual: object, explanation: str = "") -> None:
    """Show an experiment's outcome beside the prediction, and keep both together.

    key: that of the prediction. actual: one of the choices, or whatever came out. Without a prediction it says so and
    goes on.
    """
    prediction, found = kept_prediction(key), str(actual)
    if prediction is None:
        _shown.add((Work().folder, key))
        display(Outcome(found, explanation=explanation))
        return
    problem = _problem(key, lambda: keep_outcome(key, found))
    display(Outcome(found, prediction, f"{explanation} {problem}".strip()))


def reflection(key: str, question: str) -> Interactive:
    """Ask for free text and keep it as it is typed.

    Earlier text is shown and can be continued.
    """
    text = str(kept_entries("reflections").get(key, {}).get("text", ""))
    area = labelled(ipywidgets.Textarea, "Your reflection:", value=text, rows=5, layout={"width": "95%"})
    said = ipywidgets.HTML(html.escape(_words_kept(text)))
    question_shown = ipywidgets.HTML(f"<strong>Reflect.</strong> {html.escape(question)}")
    view = ipywidgets.VBox([question_shown, area, said])
    asked = Interactive(view, {"text": area}, lambda: _picture(Reflection(question, area.value)))

    def keep(change: Any) -> None:
        entry = {"question": question, "text": area.value, "at": _now()}
        said.value = html.escape(
            _problem(key, lambda: Work().save("reflections", key, entry)) or _words_kept(area.value)
        )
        asked.redraw()

    area.observe(keep, names="value")
    return asked


def kept_prediction(key: str) -> Prediction | None:
    """The prediction that was made under this key, if one was."""
    return read_prediction(kept_entries("predictions").get(key, {}))


def read_prediction(entry: Mapping[str, Any]) -> Prediction | None:
    """The prediction that an entry of the student's file holds; None where it holds none."""
    choice, choices, before = (entry.get(name) for name in ("choice", "choices", "before_outcome"))
    if not isinstance(choice, str):
        return None
    known = tuple(map(str, choices)) if isinstance(choices, list) else ()
    return Prediction(str(entry.get("question", "")), known, choice, before if isinstance(before, str) else None)


def keep_prediction(key: str, prediction: Prediction) -> None:
    """Keep a prediction in the student's folder.

    The outcome of an earlier run stays with it, and with it what had been chosen when that was shown.
    """
    entry = {"question": prediction.question, "choice": prediction.choice, "choices": list(prediction.choices)}
    work = Work()
    earlier = kept_entries("predictions").get(key, {})
    if "before_outcome" not in earlier and "outcome" in earlier:
        entry["before_outcome"] = earlier.get("choice")
    elif not earlier and (work.folder, key) in _shown:
        entry["before_outcome"] = ""
    work.save("predictions", key, earlier | entry | {"at": _now()})


def keep_outcome(key: str, actual: str) -> None:
    """Keep an outcome with the prediction that was made under this key."""
    Work().save("predictions", key, kept_entries("predictions")[key] | {"outcome": actual})


def kept_entries(kind: str) -> dict[str, dict[str, Any]]:
    """What was kept earlier; nothing where the folder cannot be read."""
    try:
        return dict(getattr(Work(), kind))
    except OSError as why:
        print(f"Your earlier {kind} could not be read: {why}")
        return {}


def _problem(key: str, keep: Callable[[], None]) -> str:
    """Call `keep`, and bring the student's page of the lesson up to date; why it could not be kept, or nothing.

    A folder that cannot be written to costs a sentence, not the cell.
    """
    from labkit.widgets.lesson_page import bring_up_to_date

    try:
        keep()
        bring_up_to_date(key)
    except OSError as why:
        return f"This could not be kept: {why}"
    return ""


def _kept_words(kept: Prediction | None) -> str:
    if kept is None or kept.choice is None:
        return "No prediction yet."
    return f"Kept: {kept.choice}" + (f". {kept.note}" if kept.note else "")


def _words_kept(text: str) -> str:
    count = len(text.split())
    return f"Kept: {count} word{'s' * (count != 1)}." if count else "Nothing written yet."


def _picture(record: Prediction | Reflection) -> Picture:
    return Picture(record._repr_html_(), str(record))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")

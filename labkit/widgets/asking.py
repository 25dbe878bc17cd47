"""Questions to the student: predictions, their outcomes and reflections.

A prediction comes before an experiment, its outcome after it, a reflection at the end of a lesson. Answers are kept at
once in the student's folder (student_work.py). A question that nobody answers stops nothing.
"""

import html
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
from IPython.display import display

from labkit.display import LEFT, html_table
from labkit.errors import UsageError
from labkit.student_work import Work
from labkit.widgets.interactive import Interactive, Picture, choice_buttons, labelled

_BOX = 'style="border-left:4px solid #0072b2;padding:0.2em 0 0.2em 0.8em;margin:0.4em 0;line-height:1.5"'


@dataclass(frozen=True)
class Prediction:
    """A question with its choices, and what was chosen; None where nothing was."""

    question: str
    choices: Sequence[str]
    choice: str | None = None

    def __str__(self) -> str:
        return f"{self.question}\n" + "\n".join(f"{_mark(self, choice)} {choice}" for choice in self.choices)

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<li>{_mark(self, choice)} {html.escape(choice)}{' (your prediction)' * (choice == self.choice)}</li>"
            for choice in self.choices
        )
        question = html.escape(self.question)
        return f'<div {_BOX}><strong>Predict.</strong> {question}<ul style="list-style:none">{rows}</ul></div>'


def _mark(prediction: Prediction, choice: str) -> str:
    return "◉" if choice == prediction.choice else "○"


@dataclass(frozen=True)
class Outcome:
    """A prediction and what came of it; choice is None where no prediction was made."""

    actual: str
    choice: str | None = None
    question: str = ""
    explanation: str = ""
    comparable: bool = False

    @property
    def verdict(self) -> str:
        """Whether it came as predicted, where the outcome is one of the choices."""
        if self.choice is None:
            return "No prediction was made."
        if not self.comparable:
            return ""
        return "As predicted." if self.choice == self.actual else "Not as predicted."

    def __str__(self) -> str:
        prediction = "" if self.choice is None else f"prediction: {self.choice}"
        lines = (self.question, prediction, f"outcome: {self.actual}", self.verdict, self.explanation)
        return "\n".join(line for line in lines if line)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        chosen = "none was made" if self.choice is None else self.choice
        rows = [("your prediction", chosen), ("outcome", self.actual)]
        table = html_table(self.question or "Prediction and outcome", rows, head=False, styles=(LEFT, LEFT))
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
    said = ipywidgets.HTML(html.escape(_kept_words(chosen)))

    def present() -> Prediction:
        return Prediction(question, tuple(choices), buttons.value)

    def keep(change: Any) -> None:
        said.value = html.escape(_said(lambda: keep_prediction(key, present()), _kept_words(buttons.value)))

    buttons.observe(keep, names="value")
    asked = ipywidgets.HTML(f"<strong>Predict.</strong> {html.escape(question)}")
    return Interactive(ipywidgets.VBox([asked, buttons, said]), {"choice": buttons}, lambda: _picture(present()))


def outcome(key: str, actual: object, explanation: str = "") -> None:
    """Show an experiment's outcome beside the prediction, and keep both together.

    key: that of the prediction. actual: one of the choices, or whatever came out. Without a prediction it says so and
    goes on.
    """
    prediction, found = kept_prediction(key), str(actual)
    if prediction is None:
        display(Outcome(found, explanation=explanation))
        return
    problem = _said(lambda: keep_outcome(key, found), "")
    comparable = found in prediction.choices
    display(Outcome(found, prediction.choice, prediction.question, f"{explanation} {problem}".strip(), comparable))


def reflection(key: str, question: str) -> Interactive:
    """Ask for free text and keep it as it is typed.

    Earlier text is shown and can be continued.
    """
    text = str(_entries("reflections").get(key, {}).get("text", ""))
    area = labelled(ipywidgets.Textarea, "Your reflection:", value=text, rows=5, layout={"width": "95%"})
    said = ipywidgets.HTML(html.escape(_words_kept(text)))

    def keep(change: Any) -> None:
        entry = {"question": question, "text": area.value, "at": _now()}
        said.value = html.escape(_said(lambda: Work().save("reflections", key, entry), _words_kept(area.value)))

    area.observe(keep, names="value")
    asked = ipywidgets.HTML(f"<strong>Reflect.</strong> {html.escape(question)}")
    view = ipywidgets.VBox([asked, area, said])
    return Interactive(view, {"text": area}, lambda: _picture(Reflection(question, area.value)))


def kept_prediction(key: str) -> Prediction | None:
    """The prediction that was made under this key, if one was."""
    entry = _entries("predictions").get(key)
    if entry is None or not isinstance(entry.get("choice"), str):
        return None
    choices = entry.get("choices")
    known = tuple(map(str, choices)) if isinstance(choices, list) else ()
    return Prediction(str(entry.get("question", "")), known, entry["choice"])


def keep_prediction(key: str, prediction: Prediction) -> None:
    """Keep a prediction in the student's folder.

    The outcome of an earlier run stays with it.
    """
    entry = {"question": prediction.question, "choice": prediction.choice, "choices": list(prediction.choices)}
    Work().save("predictions", key, _entries("predictions").get(key, {}) | entry | {"at": _now()})


def keep_outcome(key: str, actual: str) -> None:
    """Keep an outcome with the prediction that was made under this key."""
    Work().save("predictions", key, _entries("predictions")[key] | {"outcome": actual})


def _entries(kind: str) -> dict[str, dict[str, Any]]:
    """What was kept earlier; nothing where the folder cannot be read."""
    try:
        return dict(getattr(Work(), kind))
    except OSError as why:
        print(f"Your earlier {kind} could not be read: {why}")
        return {}


def _said(keep: Any, words: str) -> str:
    """Call `keep` and return the words, or why it could not be kept.

    A folder that cannot be written to costs a sentence, not the cell.
    """
    try:
        keep()
    except OSError as why:
        return f"This could not be kept: {why}"
    return words


def _kept_words(choice: str | None) -> str:
    return "No prediction yet." if choice is None else f"Kept: {choice}"


def _words_kept(text: str) -> str:
    count = len(text.split())
    return f"Kept: {count} word{'s' * (count != 1)}." if count else "Nothing written yet."


def _picture(record: Prediction | Reflection) -> Picture:
    return Picture(record._repr_html_(), str(record))


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")

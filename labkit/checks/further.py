"""Further hints, for who is still stuck after the hint of a check: a nudge, then the idea in words; never the code.

They are the exercise's own (exercise.py) and come one at a time. How many were asked for is kept in the student's folder, so
that student and teacher can see it; it takes no points.
"""

import html
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from labkit.checks.courses import served
from labkit.student_work import Work

NAMES = ("a nudge", "the idea in words")


@dataclass(frozen=True)
class FurtherHints:
    """The further hints of an exercise that are to be seen; each a name and a text.

    asked: how many the student has asked for. following: what the next one is, empty where there is none. why_not: why there
    is none yet.
    """

    exercise: str
    hints: tuple[tuple[str, str], ...] = ()
    asked: int = 0
    following: str = ""
    why_not: str = ""

    @property
    def invitation(self) -> str:
        """How to get the next one, in a sentence; empty where there is none."""
        call = f'another_hint("{self.exercise}") of labkit.checks'
        return f"Still stuck? {call} gives {self.following}." if self.following else ""

    def __str__(self) -> str:
        lines = [f"{name.capitalize()}: {text}" for name, text in self.hints]
        return "\n".join([*lines, *filter(None, [self.invitation, self.why_not])])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        said = [f"<strong>{name.capitalize()}.</strong> {html.escape(text)}" for name, text in self.hints]
        said += [html.escape(line) for line in (self.invitation, self.why_not) if line]
        return "".join(f"<p>{each}</p>" for each in said)


def another_hint(exercise_id: str) -> FurtherHints:
    """One further hint more of an exercise that was checked and has not passed, below those given before; it is counted.

    Once the exercise has passed, all are there and none is counted. Raises UsageError for an id that is none, and OSError
    where the count cannot be kept.
    """
    hints = hints_so_far(exercise_id)
    if not hints.following:
        return hints
    Work().save("hints", hints.exercise, {"asked": hints.asked + 1, "at": time.strftime("%Y-%m-%dT%H:%M:%S%z")})
    return hints_so_far(exercise_id)


def hints_so_far(exercise_id: str) -> FurtherHints:
    """The further hints of an exercise that were asked for, and what would come next. Counts nothing."""
    asked_of, work = served().exercise(str(exercise_id)), Work()
    name, status = asked_of.id, work.checks.get(asked_of.id, {}).get("status")
    there = [hint for hint in zip(NAMES, (asked_of.nudge, asked_of.in_words), strict=True) if hint[1]]
    asked = asked_in(work.hints.get(name, {}))
    if not there:
        return FurtherHints(name, why_not=f"Exercise {name} has no further hints.")
    if status == "passed":
        return FurtherHints(name, tuple(there), asked)
    if status != "failed":
        first = (
            f"Have an answer to exercise {name} checked first: its result has a hint, and further ones come after that."
        )
        return FurtherHints(name, asked=asked, why_not=first)
    return FurtherHints(name, tuple(there[:asked]), asked, "".join(name for name, _ in there[asked : asked + 1]))


def asked_in(kept: Mapping[str, Any]) -> int:
    """How many further hints were asked for, of what is kept for an exercise; the file may have been edited by hand."""
    asked = kept.get("asked")
    return min(asked, len(NAMES)) if type(asked) is int and asked > 0 else 0

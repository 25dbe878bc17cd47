"""From what was observed to a result: the points, the hint that fits best, the smallest case that failed.

Knows nothing of single exercises (one module each) and runs no answer (child.py).
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from labkit.checks.child import NOTHING_TO_CALL, Observations, observe_one
from labkit.checks.exercise import POINTS, Case, Exercise, Failure, Misconception, Observation, Observe, visible
from labkit.checks.wire import shown
from labkit.display import BAD, GOOD, LEFT, OPEN, Markup, html_table

MIME = "application/vnd.labkit.check+json"


@dataclass(frozen=True)
class Example:
    """The smallest case that failed: what went in, what came out, what was expected; shortened text."""

    inputs: str
    got: str
    expected: str


@dataclass(frozen=True)
class PropertyRow:
    """One property that was checked, and whether it held."""

    name: str
    held: bool


@dataclass(frozen=True)
class CheckResult:
    """What a check says of an answer; it shows itself in a notebook and in a terminal.

    status: "passed", "failed" or "not attempted". hint: empty when passed. example: None when passed or graded.
    """

    exercise: str
    status: str
    points: float
    hint: str = ""
    example: Example | None = None
    properties: Sequence[PropertyRow] = ()
    max_points: float = POINTS

    @property
    def passed(self) -> bool:
        """Whether every property held."""
        return self.status == "passed"

    def __str__(self) -> str:
        lines = [self._head()]
        lines += [f"  {'holds' if row.held else 'FAILS'}  {row.name}" for row in self.properties]
        if self.hint:
            lines.append(f"  Hint: {self.hint}")
        if self.example:
            lines += [f"  Input:    {self.example.inputs}", f"  Got:      {self.example.got}"]
            lines.append(f"  Expected: {self.example.expected}")
        return "\n".join(lines)

    __repr__ = __str__

    def _head(self) -> str:
        earned = f"{self.points:g} of {self.max_points:g} points" if self.max_points else "a warm-up without points"
        return f"Exercise {self.exercise}: {self.status}, {earned}"

    def as_json(self) -> dict[str, Any]:
        """The result as plain data for scripts, without the example."""
        rows = [{"name": row.name, "held": row.held} for row in self.properties]
        facts = {name: getattr(self, name) for name in ("exercise", "status", "points", "max_points", "hint")}
        return facts | {"properties": rows}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        return {"text/plain": str(self), "text/html": self._repr_html_(), MIME: self.as_json()}

    def _repr_html_(self) -> str:
        mark, colour = {"passed": ("✓", GOOD), "failed": ("✗", BAD)}.get(self.status, ("…", OPEN))
        rows = "".join(
            f"<li>{'✓ holds' if row.held else '✗ fails'}: {html.escape(row.name)}</li>" for row in self.properties
        )
        plate = f"background:{colour};color:#fff;border-radius:3px;padding:0 .4em"
        parts = [f'<span aria-hidden="true" style="{plate}">{mark}</span> <strong>{html.escape(self._head())}</strong>']
        if self.hint:
            parts.append(f"<p><strong>Hint.</strong> {html.escape(self.hint)}</p>")
        if self.example:
            parts.append(_example_as_html(self.example))
        opened = " open" if self.status == "failed" else ""
        if rows:
            parts.append(f"<details{opened}><summary>What was checked</summary><ul>{rows}</ul></details>")
        style = f"border-left:4px solid {colour};padding:.4em 1em;margin:.4em 0;overflow-wrap:break-word"
        return f'<div role="status" style="{style}">{"".join(parts)}</div>'


def _example_as_html(example: Example) -> str:
    facts = (("Input", example.inputs), ("Got", example.got), ("Expected", example.expected))
    rows = [(name, Markup(f"<code>{html.escape(text)}</code>")) for name, text in facts]
    return html_table("Example", rows, head=False, styles=(LEFT, f"{LEFT};overflow-wrap:anywhere"))


def judge_all(exercise: Exercise, cases: Sequence[Case], observed: Observations, graded: bool = False) -> CheckResult:
    """The result of an exercise from what was observed on each case, in the same order."""
    failures = [exercise.judge(case, one) for case, one in zip(cases, observed.each, strict=True)]
    status, points, rows = score(exercise, observed.each, failures)
    if status == "not attempted":
        hint = "Write your answer in place of raise NotImplementedError, then run the check again."
        return CheckResult(exercise.id, status, points, hint, max_points=exercise.max_points)
    if status == "passed":
        return CheckResult(exercise.id, status, points, properties=rows, max_points=exercise.max_points)
    first = _first_failure(exercise, failures)
    case, observation = cases[first.case], observed.each[first.case]
    hint = (
        _misconception_hint(exercise, cases, observed, failures, first) or _trouble(observed, observation) or first.hint
    )
    got = first.failure.got or (
        shown(observation.value) if observation.ok else observation.raised or "nothing within the time"
    )
    inputs = ", ".join(f"{name}={shown(value, 120)}" for name, value in visible(case.inputs).items())
    example = None if graded else Example(inputs, got, first.failure.expected)
    return CheckResult(exercise.id, status, points, hint, example, rows, exercise.max_points)


Failures = Mapping[str, Failure | None]  # of one case: by the name of a property that says something about it


def score(
    exercise: Exercise, observed: Sequence[Observation], failures: Sequence[Failures]
) -> tuple[str, float, list[PropertyRow]]:
    """Status, points and what holds: the share of the properties, and nothing where no value property holds.

    A property holds that was put to the test at all, and held wherever it was.
    """
    if all(one.unfinished for one in observed):
        return "not attempted", 0.0, []
    tested = {
        each.name: [case[each.name] for case in failures if each.name in case] for each in exercise.all_properties
    }
    rows = [PropertyRow(name, bool(found) and not any(found)) for name, found in tested.items()]
    held = {row.name for row in rows if row.held}
    if len(held) == len(rows):
        return "passed", exercise.max_points, rows
    if not any(each.core and each.name in held for each in exercise.all_properties):
        return "failed", 0.0, rows
    most = exercise.max_points
    return "failed", max(0.0, min(round(most * len(held) / len(rows), 1), most - 0.1)), rows


@dataclass(frozen=True)
class _First:
    case: int
    name: str
    failure: Failure
    hint: str


def _first_failure(exercise: Exercise, failures: Sequence[Failures]) -> _First:
    """The first failing case, and on it the first property that fails."""
    for place, case in enumerate(failures):
        for each in exercise.all_properties:
            failure = case.get(each.name)
            if failure:
                return _First(place, each.name, failure, failure.hint or each.hint)
    raise ValueError("nothing failed")


def _trouble(observed: Observations, observation: Observation) -> str:
    """The hint for an answer that did not come back; none where it did."""
    if observation.unfinished:
        return "On some cases your answer still comes to raise NotImplementedError: what is left to write there?"
    if observation.raised == NOTHING_TO_CALL:
        return (
            "What came to the check is neither function nor class. Hand over the function itself, without calling it."
        )
    if observation.raised:
        kind = _kind_of_error(observation)
        return f"Your answer raised {kind}. Run it on such an input yourself and read the last lines of the traceback."
    if not observation.missing:
        return ""
    if observed.died:
        return (
            "The process that ran your answer ended before it gave a result. Does it call exit, or use up the memory?"
        )
    again = "" if observed.killed else " It is still running: restart the kernel."
    return f"Your answer took too long and was stopped. Does every loop come nearer to its end with each step?{again}"


def _misconception_hint(
    exercise: Exercise,
    cases: Sequence[Case],
    observed: Observations,
    failures: Sequence[Failures],
    first: _First,
) -> str:
    """The hint of the misconception that gives what the answer gave on more cases than any other."""
    failed = [place for place, case in enumerate(failures) if any(case.values())]
    best, hint = 0, ""
    for known in exercise.misconceptions:
        agreed = _agreement(exercise, known, cases, observed.each, failed, first)
        if agreed > best:
            best, hint = agreed, known.hint
    return hint


def _agreement(
    exercise: Exercise,
    known: Misconception,
    cases: Sequence[Case],
    observed: Sequence[Observation],
    failed: Sequence[int],
    first: _First,
) -> int:
    """On how many cases a misconception gives what the answer gave; 0 unless on the case shown and most that failed."""

    def agrees(place: int) -> bool:
        return _alike(exercise, observed[place], _known_to_give(exercise.observe, known.answer, cases[place]))

    if observed[first.case].missing or observed[first.case].unfinished:
        return 0
    shown_case = cases[first.case]
    other = _known_to_give(exercise.observe, known.answer, shown_case)
    if not _alike(exercise, observed[first.case], other):
        return 0
    if not exercise.judge(shown_case, other).get(first.name):
        return 0  # the value is the same, and it is not the value that is wrong
    of_failed = sum(map(agrees, failed))
    if 2 * of_failed <= len(failed):
        return 0
    return of_failed + sum(agrees(place) for place in range(len(cases)) if place not in failed)


@lru_cache(2048)  # fixed cases come again with each check
def _known_to_give(observe: Observe, answer: Any, case: Case) -> Observation:
    return observe_one(observe, answer, case.inputs)


def _alike(exercise: Exercise, one: Observation, other: Observation) -> bool:
    """Whether two observations have the same value, or failed with the same kind of error."""
    if one.missing or one.unfinished:
        return False
    if one.raised or other.raised:
        return _kind_of_error(one) == _kind_of_error(other)
    try:
        return bool(exercise.same(one.value, other.value))
    except Exception:
        return False  # what the answer gave has not even the form of an answer


def _kind_of_error(observation: Observation) -> str:
    return observation.raised.partition(":")[0]

"""From what was observed to a result: the points, the hint that fits best, the smallest case that failed.

Knows nothing of single exercises (one module each) and runs no answer (child.py).
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from labkit.checks.beside import Beside
from labkit.checks.child import NOTHING_TO_CALL, Observations, observe_one
from labkit.checks.exercise import POINTS, Case, Exercise, Failure, Misconception, Observation, Observe, visible
from labkit.checks.further import FurtherHints
from labkit.checks.wire import shown
from labkit.display import BAD, GOOD, LEFT, OPEN, Markup, html_table, in_notebook

MIME = "application/vnd.labkit.check+json"
MOST_LINES, MOST_LETTERS = 10, 120  # of what an answer printed
PRINTED_ONLY = (
    "Your answer prints what it found and gives back None. What is printed can be read, but nobody can go on with it: "
    "give it back instead."
)


@dataclass(frozen=True)
class Example:
    """The smallest case that failed: what went in, what came out, what was expected; shortened text."""

    inputs: str
    got: str
    expected: str


@dataclass(frozen=True)
class PropertyRow:
    """One property that was checked, whether it held, and whether it carries the idea of the exercise."""

    name: str
    held: bool
    idea: bool = False

    def __str__(self) -> str:
        return (
            f"{self.name} (the idea: what is marked so earns half of the points, together)" if self.idea else self.name
        )


@dataclass(frozen=True)
class CheckResult:
    """What a check says of an answer; it shows itself in a notebook and in a terminal.

    status: "passed", "failed" or "not attempted". hint: empty when passed. example: None when passed or graded. printed: the
    first lines that the answer printed, on the example or else on the first case on which it did; empty when graded. further:
    the further hints, where it is the student's own check. beside: when passed, the course's own source beside the answer's.
    """

    exercise: str
    status: str
    points: float
    hint: str = ""
    example: Example | None = None
    properties: Sequence[PropertyRow] = ()
    max_points: float = POINTS
    printed: str = ""
    further: FurtherHints | None = None
    beside: Beside | None = None

    @property
    def passed(self) -> bool:
        """Whether every property held."""
        return self.status == "passed"

    def __str__(self) -> str:
        lines = [self._head()]
        lines += [f"  {'holds' if row.held else 'FAILS'}  {row}" for row in self.properties]
        if self.hint:
            lines.append(f"  Hint: {self.hint}")
        if self.example:
            lines += [f"  Input:    {self.example.inputs}", f"  Got:      {self.example.got}"]
            lines.append(f"  Expected: {self.example.expected}")
        if self.printed:
            lines += ["  Printed:", *(f"    {line}" for line in self.printed.splitlines())]
        lines += [f"  {line}" for line in self._about_further_hints()]
        return "\n".join(lines)

    __repr__ = __str__

    @property
    def further_hints(self) -> int:
        """How many further hints the student has asked for."""
        return self.further.asked if self.further else 0

    def _about_further_hints(self) -> list[str]:
        counted = f"Further hints asked for: {self.further_hints}." if self.further_hints else ""
        return [*filter(None, [counted, self.further.invitation if self.further else ""])]

    def _head(self) -> str:
        earned = f"{self.points:g} of {self.max_points:g} points" if self.max_points else "a warm-up without points"
        return f"Exercise {self.exercise}: {self.status}, {earned}"

    def as_json(self) -> dict[str, Any]:
        """The result as plain data for scripts, without the example."""
        rows = [{"name": row.name, "held": row.held} for row in self.properties]
        facts = {name: getattr(self, name) for name in ("exercise", "status", "points", "max_points", "hint")}
        facts["further_hints"] = self.further_hints
        return facts | {"properties": rows}

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        # Nbgrader reads a cell's points from this text, and gives full marks where it is no number; a page shows the other.
        text = f"{self.points}" if in_notebook() else str(self)
        return {"text/plain": text, "text/html": self._repr_html_(), MIME: self.as_json()}

    def _repr_html_(self) -> str:
        mark, colour = {"passed": ("✓", GOOD), "failed": ("✗", BAD)}.get(self.status, ("…", OPEN))
        rows = "".join(
            f"<li>{'✓ holds' if row.held else '✗ fails'}: {html.escape(str(row))}</li>" for row in self.properties
        )
        plate = f"background:{colour};color:#fff;border-radius:3px;padding:0 .4em"
        parts = [f'<span aria-hidden="true" style="{plate}">{mark}</span> <strong>{html.escape(self._head())}</strong>']
        if self.hint:
            parts.append(f"<p><strong>Hint.</strong> {html.escape(self.hint)}</p>")
        if self.example:
            parts.append(_example_as_html(self.example))
        if self.printed:
            parts.append(f"<p><strong>Printed.</strong></p><pre>{html.escape(self.printed)}</pre>")
        parts += [f"<p>{html.escape(line)}</p>" for line in self._about_further_hints()]
        opened = " open" if self.status == "failed" else ""
        if rows:
            parts.append(f"<details{opened}><summary>What was checked</summary><ul>{rows}</ul></details>")
        if self.beside:
            parts.append(self.beside._repr_html_())
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
        printed = "" if graded else _first_lines(cases, observed.each)
        return CheckResult(exercise.id, status, points, "", None, rows, exercise.max_points, printed)
    first = _first_failure(exercise, failures)
    case, observation = cases[first.case], observed.each[first.case]
    hint = (
        (PRINTED_ONLY if _printed_only(observed.each) else "")
        or _misconception_hint(exercise, cases, observed, failures, first)
        or _trouble(observed, observation)
        or first.hint
    )
    got = first.failure.got or (
        shown(observation.returned) if observation.ok else observation.raised or "nothing within the time"
    )
    example = None if graded else Example(_told(case), got, first.failure.expected)
    printed = "" if graded else _first_lines(cases, observed.each, first.case)
    return CheckResult(exercise.id, status, points, hint, example, rows, exercise.max_points, printed)


def _told(case: Case) -> str:
    """The inputs of a case in words."""
    return ", ".join(f"{name}={shown(value, 120)}" for name, value in visible(case.inputs).items())


def _printed_only(observed: Sequence[Observation]) -> bool:
    """Whether an answer gave None wherever it came back, and printed there."""
    came_back = [one for one in observed if one.ok]
    return bool(came_back) and all(one.returned is None and one.printed.strip() for one in came_back)


def _first_lines(cases: Sequence[Case], observed: Sequence[Observation], example: int = -1) -> str:
    """What was printed on the example, else on the first case on which anything was, which is then named."""
    if example >= 0 and observed[example].printed.strip():
        return _shortened(observed[example].printed)
    for case, one in zip(cases, observed, strict=True):
        if one.printed.strip():
            return f"(on {_told(case)})\n{_shortened(one.printed)}"
    return ""


def _shortened(printed: str) -> str:
    """The first lines, without what a terminal would take for commands."""
    lines = printed.strip("\n").split("\n")
    kept = [line if len(line) <= MOST_LETTERS else f"{line[: MOST_LETTERS - 4]} ..." for line in lines[:MOST_LINES]]
    kept += ["..."] if len(lines) > MOST_LINES else []
    return "\n".join("".join(one if one.isprintable() else " " for one in line) for line in kept)


Failures = Mapping[str, Failure | None]  # of one case: by the name of a property that says something about it


def score(
    exercise: Exercise, observed: Sequence[Observation], failures: Sequence[Failures]
) -> tuple[str, float, list[PropertyRow]]:
    """Status, points and what holds: for the idea its share, for the rest the share of the other properties that hold.

    Nothing where no core property holds. A property holds that was put to the test at all, and held wherever it was.
    """
    if all(one.unfinished for one in observed):
        return "not attempted", 0.0, []
    tested = {
        each.name: [case[each.name] for case in failures if each.name in case] for each in exercise.all_properties
    }
    ideas = {each.name for each in exercise.all_properties if each.idea}
    rows = [PropertyRow(name, bool(found) and not any(found), name in ideas) for name, found in tested.items()]
    held = {row.name for row in rows if row.held}
    if len(held) == len(rows):
        return "passed", exercise.max_points, rows
    if not any(each.core and each.name in held for each in exercise.all_properties):
        return "failed", 0.0, rows
    most, share = exercise.max_points, exercise.share_of_idea
    others = [row.held for row in rows if not row.idea]
    earned = (share if ideas and ideas <= held else 0.0) + (1 - share) * sum(others) / max(1, len(others))
    return "failed", max(0.0, min(round(most * earned, 1), most - 0.1)), rows


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
        if "timeout" in kind.lower():
            return f"A library that your answer calls gave up waiting and raised {kind}: it was too slow, not wrong."
        return f"Your answer raised {kind}. Run it on such an input yourself and read the last lines of the traceback."
    if not observation.missing:
        return ""
    if observed.died:
        return (
            "The process that ran your answer ended before it gave a result. Does it call exit, or use up the memory?"
        )
    again = "" if observed.killed else " It is still running: restart the kernel."
    late = "Your answer took too long and was stopped"
    if observed.loading:
        return (
            f"{late} while {observed.within} was being loaded. Import it in a cell of its own, then check again.{again}"
        )
    if observed.within:
        return f"{late} inside {observed.within}. Either your loop does not end, or this library is too slow for it.{again}"
    return f"{late}. Does every loop come nearer to its end with each step?{again}"


def _misconception_hint(
    exercise: Exercise,
    cases: Sequence[Case],
    observed: Observations,
    failures: Sequence[Failures],
    first: _First,
) -> str:
    """The hint of the misconception that gives what the answer gave, and left what it left, on more cases than any other."""
    failed = [place for place, case in enumerate(failures) if any(case.values())]
    best, hint = (0, 0), ""
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
) -> tuple[int, int]:
    """On how many cases a misconception gives what the answer gave; 0 unless on the case shown and most that failed.

    And on how many of all cases it leaves what the answer left, for those that are told apart by nothing else.
    """

    def agrees(place: int) -> bool:
        return _alike(exercise, observed[place], _known_to_give(exercise.observe, known.answer, cases[place]))

    if observed[first.case].missing or observed[first.case].unfinished:
        return 0, 0
    shown_case = cases[first.case]
    other = _known_to_give(exercise.observe, known.answer, shown_case)
    if not _alike(exercise, observed[first.case], other):
        return 0, 0
    if not exercise.judge(shown_case, other).get(first.name):
        return 0, 0  # the value is the same, and it is not the value that is wrong
    of_failed = sum(map(agrees, failed))
    if 2 * of_failed <= len(failed):
        return 0, 0
    left = sum(
        repr(one.seen.get("left")) == repr(_known_to_give(exercise.observe, known.answer, case).seen.get("left"))
        for case, one in zip(cases, observed, strict=True)
    )
    return of_failed + sum(agrees(place) for place in range(len(cases)) if place not in failed), left


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

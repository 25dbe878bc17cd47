"""The progress view: every exercise of the course with the last result that is kept in the student's folder."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from labkit.checks.exercise import POINTS
from labkit.checks.further import asked_in
from labkit.display import html_table, text_table

_MARKS = {"passed": "✓", "failed": "✗"}


@dataclass(frozen=True)
class Progress:
    """checks, hints: by exercise the last result's status and points, and how many further hints were asked for."""

    exercises: Sequence[str]
    checks: Mapping[str, Mapping[str, Any]]
    hints: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def points(self) -> float:
        """The points of all exercises together."""
        return sum(points for _, _, points, _ in self._rows())

    def __str__(self) -> str:
        rows = [
            (
                _MARKS.get(status, "·"),
                name,
                status,
                f"{points:g}",
                f" {asked} further hint{'s' * (asked > 1)}" * (asked > 0),
            )
            for name, status, points, asked in self._rows()
        ]
        return f"{text_table(rows, ('', '<5', '<14', '>4', ''), gap=' ')}\n{self._sum()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            (name, f"{_MARKS.get(status, '·')} {status}", f"{points:g} of {POINTS:g}", str(asked))
            for name, status, points, asked in self._rows()
        ]
        return html_table(self._sum(), [("exercise", "last check", "points", "further hints"), *rows])

    def _rows(self) -> Iterator[tuple[str, str, float, int]]:
        for name in self.exercises:
            status, points = kept_result(self.checks.get(name, {})) or ("not checked", 0.0)
            yield name, status, points, asked_in(self.hints.get(name, {}))

    def _sum(self) -> str:
        return f"{self.points:g} of {POINTS * len(self.exercises):g} points"


def kept_result(kept: Mapping[str, Any]) -> tuple[str, float] | None:
    """Status and points of a kept result; none where it is not what a check writes, since the file may be edited by hand."""
    status, points = kept.get("status"), kept.get("points")
    if not isinstance(status, str) or isinstance(points, bool) or not isinstance(points, int | float):
        return None
    return (status, float(points)) if 0 <= points <= POINTS else None

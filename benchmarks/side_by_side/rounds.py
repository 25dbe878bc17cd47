"""Which row is measured when, and which rounds count.

In a round every row is measured once, with the round's number as the seed of all. A round in which something else used more
than a small share of the machine while a row was measured is disturbed: it is broken off, left out and counted, and one more is
run in its place, up to as many as were wanted.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from side_by_side.journal import Journal
from side_by_side.rows import LIMIT, SLOW, Row, Setting

DISTURBED = 0.05  # of the machine, in the mean over the time in which a row was measured
Result = dict[str, Any]
Measure = Callable[[Row, int, int], Result]  # of a row, with the round as seed, on so many reviews


@dataclass(frozen=True)
class Round:
    """The results of one round by the names of its rows."""

    number: int
    results: dict[str, Result] = field(default_factory=dict)

    @property
    def disturbed(self) -> bool:
        """Whether something else used the machine while one of its rows was measured."""
        return any(result["others"] > DISTURBED for result in self.results.values())

    def holds(self, names: Iterable[str]) -> bool:
        """Whether all these rows were measured."""
        return all(name in self.results for name in names)


@dataclass(frozen=True)
class Rounds:
    """Everything measured so far. allow_disturbed: disturbed rounds count too."""

    all: tuple[Round, ...]
    names: tuple[str, ...]
    allow_disturbed: bool = False

    @property
    def counted(self) -> list[Round]:
        """The rounds that the figures are made of: whole, and not disturbed."""
        return [each for each in self.all if each.holds(self.names) and (self.allow_disturbed or not each.disturbed)]

    @property
    def disturbed(self) -> list[Round]:
        """Those that something else used the machine in."""
        return [each for each in self.all if each.disturbed]


def rounds_of(entries: Iterable[Result], names: Sequence[str], allow_disturbed: bool = False) -> Rounds:
    """Order results by round; each says its `round` and `row`.

    Of two results of one row the later counts.
    """
    rounds: dict[int, Round] = {}
    for entry in entries:
        rounds.setdefault(entry["round"], Round(entry["round"])).results[entry["row"]] = entry
    return Rounds(tuple(rounds[number] for number in sorted(rounds)), tuple(names), allow_disturbed)


def order_of(rows: Sequence[Row], number: int) -> list[Row]:
    """The rows of a round in an order of its own, the same each time it is asked for."""
    return random.Random(number).sample(list(rows), len(rows))


def examples_for(row: Row, setting: Setting, rounds: Rounds, number: int) -> int:
    """Return how many reviews the row gets in this round.

    They are the few where it is so named, or where its first undisturbed result was slow.
    """
    if row.examples:
        return row.examples
    known = [each.results[row.name] for each in rounds.all if each.number < number and row.name in each.results]
    first = next((result for result in known if result["others"] <= DISTURBED), None)
    slow = row.does != LIMIT and first is not None and first["reviews_per_second"] < SLOW
    return min(setting.few, setting.examples) if row.few or slow else setting.examples


def measure_rounds(
    rows: Sequence[Row],
    setting: Setting,
    wanted: int,
    journal: Journal,
    measure: Measure,
    *,
    allow_disturbed: bool = False,
    tell: Callable[[str], None] = print,
) -> Rounds:
    """Measure until so many rounds count, or twice as many were begun.

    It goes on where the journal ends.
    """
    names = [row.name for row in rows]
    for number in range(2 * wanted):
        so_far = rounds_of(journal.entries, names, allow_disturbed)
        if len(so_far.counted) >= wanted:
            break
        for row in order_of(rows, number):
            this = next((each for each in so_far.all if each.number == number), Round(number))
            if this.disturbed and not allow_disturbed:
                tell(f"round {number}: something else used the machine; left out")
                break
            if row.name not in this.results:
                journal.append(_measured(row, number, examples_for(row, setting, so_far, number), measure, tell))
                so_far = rounds_of(journal.entries, names, allow_disturbed)
    return rounds_of(journal.entries, names, allow_disturbed)


def _measured(row: Row, number: int, examples: int, measure: Measure, tell: Callable[[str], None]) -> Result:
    result = {"round": number, "row": row.name, **measure(row, number, examples)}
    speed = f"{result['reviews_per_second']:8.1f} reviews/s" if "reviews_per_second" in result else " " * 18
    tell(f"round {number}  {row.name:32}{speed}  others {result['others']:.1%}")
    return result

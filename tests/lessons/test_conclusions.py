"""What lessons 05 and 06 conclude follows what was measured, whatever that is: their own cells, given other measurements."""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from labkit import SHIPPED, EpochRecord
from labkit.checks.courses import read_course
from labkit.course.masters import read_master
from labkit.evaluation.behaviour import MINIMUM, BehaviourReport, BehaviourRow
from labkit.evaluation.intervals import Score

COURSE = read_course(Path(__file__).resolve().parents[2])


@functools.cache
def cells_of(lesson: str) -> dict[str, str]:
    """The sources of a lesson's cells, by their ids."""
    (page,) = COURSE.solutions.glob(f"{lesson}_*.py")
    return {cell.id: cell.source for cell in read_master(page, COURSE.modules()).cells}


def conclusion(lesson: str, cells: Sequence[str], **names: Any) -> str:
    """What the named cells of a lesson give as outcome."""
    said: list[str] = []
    names |= {"np": np, "outcome": lambda key, found, why: said.append(found)}
    for cell in cells:
        exec(compile(cells_of(lesson)[cell], cell, "exec"), names)
    return said[-1]


def change(value: float, margin: float) -> SimpleNamespace:
    return SimpleNamespace(scores={"nll": (0.0, 0.0, Score(value, value - margin, value + margin))})


@pytest.mark.parametrize(
    ("by_seed", "helped"),
    [
        ([(-0.05, 0.01)] * 3, True),
        ([(-0.0002, 0.0001)] * 3, False),  # beyond doubt, and too small for anybody
        ([(-0.30, 0.01), (-0.05, 0.06), (-0.05, 0.01)], False),  # one seed's luck
        ([(-0.30, 0.01), (0.02, 0.01), (-0.05, 0.01)], False),
        ([(0.05, 0.01)] * 3, False),
    ],
)
def test_a_remedy_has_helped_only_by_enough_and_beyond_the_noise_with_every_seed(
    by_seed: list[tuple[float, float]], helped: bool
) -> None:
    cells = ["remedies-that-helped", "remedies-outcome"]
    compared = {"dropout": [change(*each) for each in by_seed], "decay": [change(0.0, 0.01)] * 3}
    assert conclusion("05", cells, compared=compared, smallest=0.02) == ("dropout" if helped else "none")
    both = compared | {"decay": [change(-0.03, 0.01)] * 3}
    assert conclusion("05", cells, compared=both, smallest=0.02) == ("several" if helped else "decay")


def test_the_starred_epoch_is_said_to_have_the_lowest_test_accuracy_as_it_was_measured() -> None:
    measured = json.loads((SHIPPED / "overfitting.json").read_text("utf-8"))
    history = [EpochRecord(**record) for record in measured["history"]]
    ranks = ["highest", "neither", "lowest"]
    given = {"measured": measured, "history": history, "ranks": ranks}
    assert conclusion("05", ["starred-test", "starred-outcome"], **given) == "lowest"


def test_the_behaviour_that_fails_most_is_that_of_the_worst_row_in_the_picture() -> None:
    failures = [("negation", "praise, negated", 1), ("negation", "blame, negated", 10), ("contrast", "last word", 7)]
    report = BehaviourReport("m", [BehaviourRow(*names, MINIMUM, failed, 10) for *names, failed in failures])
    assert report.by_capability()["contrast"].value > report.by_capability()["negation"].value
    assert conclusion("06", ["behaviour-outcome"], report=report) == "negation"

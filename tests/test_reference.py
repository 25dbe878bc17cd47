"""Laws of the reference experiments: what the lessons show comes from a script that is there and can be read again."""
# ruff: noqa: E402 (the scripts' folder must be on the path before they are imported)

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "reference"
sys.path.append(str(REFERENCE))

import overfitting

from labkit.data.assets import SHIPPED

SCRIPTS = sorted(path.name for path in REFERENCE.glob("*.py"))


@pytest.mark.parametrize("place", [REFERENCE / "README.md", ROOT / "Makefile"], ids=lambda path: path.name)
def test_every_script_and_no_other_is_named_with_its_command(place: Path) -> None:
    assert sorted(set(re.findall(r"reference/(\w+\.py)", place.read_text("utf-8")))) == SCRIPTS


def test_a_script_that_a_lesson_names_is_there() -> None:
    masters = [path.read_text("utf-8") for path in (ROOT / "solutions").glob("*.py")]
    named = {name for text in masters for name in re.findall(r"`((?:reference|benchmarks)/\w+\.py)`", text)}
    assert named and all((ROOT / name).is_file() for name in named)


def test_the_table_of_overfitting_can_be_made_from_what_ships() -> None:
    report = json.loads((SHIPPED / "overfitting.json").read_text("utf-8"))
    table = overfitting.as_table(report)
    assert table.count("\n| ") == 1 + len(report["epochs"])
    assert f"those of epoch {report['early_stopping']['best_epoch']}:" in table.replace("\n", " ")


def test_early_stopping_would_stop_where_what_ships_says() -> None:
    report = json.loads((SHIPPED / "overfitting.json").read_text("utf-8"))
    losses = [record["validation_loss"] for record in report["history"]]
    assert overfitting._stops_after(losses) == report["early_stopping"]["stops_after_epoch"]

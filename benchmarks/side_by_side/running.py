"""What the scripts share: options, a run of rounds with its journal, the report."""

import argparse
import dataclasses
import json
import tempfile
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Any

from side_by_side.journal import Journal, digest_of_files
from side_by_side.processes import BENCHMARKS, measured, prepared
from side_by_side.rounds import DISTURBED, Result, measure_rounds
from side_by_side.rows import Row, Setting
from side_by_side.watch import wait_until_quiet

ROOT = BENCHMARKS.parent
WORK = ROOT / "build" / "benchmark"
# What decides a result; the pages that are made of results may change without measuring again.
MEASURING = ("rows", "examples", "models", "watch", "ours", "peers", "limit", "measure", "processes")
Report = dict[str, Any]  # date, wanted, allow_disturbed, names, header, entries


def add_options(parser: argparse.ArgumentParser, rounds: int, output: Path = BENCHMARKS) -> None:
    """The options of every script."""
    parser.add_argument("--rounds", type=int, default=rounds, help="rounds that must count")
    parser.add_argument("--fresh", action="store_true", help="drop what was measured with these settings")
    parser.add_argument("--table", action="store_true", help="measure nothing, write the page again")
    parser.add_argument("--allow-disturbed", action="store_true", help="count disturbed rounds too, for a trial")
    parser.add_argument("--output", type=Path, default=output, help="folder of the page and the raw numbers")


def header_of(setting: Setting, rows: Sequence[Row], facts: dict[str, Any]) -> dict[str, Any]:
    """Everything that a result depends on; another header is another journal."""
    return {
        "setting": dataclasses.asdict(setting),
        "rows": [dataclasses.asdict(row) for row in rows],
        "machine": facts["machine"],
        "half": facts["half"],
        "code": digest_of_files(measuring_files()),
    }


def measuring_files(*scripts: Path) -> list[Path]:
    """List all code that a figure hangs on.

    It is the whole of labkit, what measures, and the scripts that are named.
    """
    shared = [BENCHMARKS / "side_by_side" / f"{name}.py" for name in MEASURING]
    return [*sorted((ROOT / "labkit").rglob("*.py")), *shared, *scripts]


def run_rounds(
    name: str, setting: Setting, rows: Sequence[Row], chosen: Sequence[str], arguments: argparse.Namespace
) -> Report:
    """Measure what is not yet in the journal of that name.

    chosen: the names of those rows that are wanted.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "reviews.npz"
        facts = prepared(data, setting.model, setting.examples, setting.held_out)
        half = facts["half"]
        wanted = [row for row in rows if row.name in chosen and (half or row.precision != "half")]
        if not half:
            print("no half precision is worth it on this machine: its rows are left out")
        journal = Journal.begun(WORK, name, header_of(setting, rows, facts), fresh=arguments.fresh)

        def measure_row(row: Row, seed: int, examples: int) -> Result:
            if not arguments.allow_disturbed:
                wait_until_quiet(DISTURBED)
            return measured(row, setting, seed, examples, data, half)

        allow = arguments.allow_disturbed
        measure_rounds(wanted, setting, arguments.rounds, journal, measure_row, allow_disturbed=allow)
    return report_of(journal, [row.name for row in wanted], arguments)


def report_of(journal: Journal, names: Sequence[str], arguments: argparse.Namespace) -> Report:
    """What a page is made of, and nothing else."""
    return {
        "date": date.today().isoformat(),
        "wanted": arguments.rounds,
        "allow_disturbed": arguments.allow_disturbed,
        "names": list(names),
        "header": journal.header,
        "entries": journal.entries,
    }


def saved_report(name: str, written: Path, arguments: argparse.Namespace) -> Report:
    """Read the report of the newest journal of that name.

    Without one it is the report that was written last.
    """
    journal = Journal.newest(WORK, name)
    if journal is not None:
        print(f"from {journal.path.name}")
        there = {entry["row"] for entry in journal.entries}
        return report_of(journal, [row["name"] for row in journal.header["rows"] if row["name"] in there], arguments)
    if not written.is_file():
        raise SystemExit("nothing was measured yet: run this without --table")
    report: Report = json.loads(written.read_text("utf-8"))
    return report


def write(output: Path, page_name: str, page: str, numbers_name: str, numbers: object) -> None:
    """The page and its raw numbers."""
    output.mkdir(parents=True, exist_ok=True)
    (output / page_name).write_text(page, "utf-8")
    (output / numbers_name).write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")
    print(page)

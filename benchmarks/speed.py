"""Training and evaluation speed of labkit beside its peers, in one run.

    python benchmarks/speed.py                      5 rounds; the same command goes on after an interruption
    python benchmarks/speed.py --table              the page again, from what was measured
    python benchmarks/speed.py --model tiny --examples 128 --few 64 --rounds 1 --allow-disturbed --output /tmp/trial

Writes `RESULTS.md` and `results.json` beside itself, or into --output. Every result is saved at once in build/benchmark, under
a digest of settings, code, versions and machine. Accelerate is needed: python scripts/setup.py benchmark.
"""

import argparse
import dataclasses
import json
from pathlib import Path

from side_by_side.rows import ROWS, Setting
from side_by_side.running import add_options, run_rounds, saved_report, write
from side_by_side.table import as_markdown

NUMBERS = "results.json"


def main() -> None:
    arguments = _parser().parse_args()
    setting = Setting(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Setting)})
    if arguments.table:
        report = saved_report("speed", arguments.output / NUMBERS, arguments)
    else:
        report = run_rounds("speed", setting, ROWS, arguments.rows, arguments)
    page = as_markdown(report, accuracy_line(arguments.output))
    write(arguments.output, "RESULTS.md", page, NUMBERS, report)


def accuracy_line(folder: Path) -> str:
    """What `make benchmark-accuracy` found, in one line; empty where it was not run."""
    file = folder / "accuracy.json"
    return str(json.loads(file.read_text("utf-8"))["line"]) if file.is_file() else ""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for field in dataclasses.fields(Setting):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    names = [row.name for row in ROWS]
    parser.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW", help=", ".join(names))
    add_options(parser, rounds=5)
    return parser


if __name__ == "__main__":
    main()

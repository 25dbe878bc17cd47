"""Starts each task in its own process: no row finds another's warm caches."""

import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from side_by_side.rows import Row, Setting

BENCHMARKS = Path(__file__).resolve().parent.parent
LAST_LINES = 12  # of what a process that failed has said


def prepared(
    data: Path, model: str, train: int | None, held_out: int | None, seed: int = 0, part: str = "validation"
) -> dict[str, Any]:
    """Write the reviews to `data`; returns `machine`, `half` (or None) and `sizes`."""
    task = {"data": str(data), "model": model, "train": train, "held_out": held_out, "seed": seed, "part": part}
    return _result_of({"task": "prepare", **task}, "preparing the reviews")


def measured(row: Row, setting: Setting, seed: int, examples: int, data: Path, half: str | None) -> dict[str, Any]:
    """Measure one row in its own process, on the first so many reviews of `data`."""
    task = {
        "row": asdict(row),
        "setting": asdict(setting),
        "seed": seed,
        "examples": examples,
        "data": str(data),
        "half": half,
    }
    return _result_of({"task": "row", **task}, row.name)


def _result_of(task: dict[str, Any], name: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "side_by_side.measure", json.dumps(task)]
    environment = {"HF_HUB_OFFLINE": "1", **os.environ}
    done = subprocess.run(
        command, cwd=BENCHMARKS, env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode != 0:
        said = "\n".join(done.stderr.splitlines()[-LAST_LINES:])
        raise SystemExit(f"{said}\n{name}: its process ended with exit code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result

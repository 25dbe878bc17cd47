"""A run's folder: what was trained, with which settings, on which data and machine, and the model that came of it.

    FOLDER/run.json        settings, data, environment, history, notices; `status` is running or finished
    FOLDER/config.toml     the settings, as a file that gives them again
    FOLDER/checkpoints/    while it runs
    FOLDER/model/          the finished model, a plain Hugging Face folder
    FOLDER/model_card.md   its card
    FOLDER/test.json       labels and probabilities of the test split, with the texts' ids

The same command in the same folder goes on with an unfinished run. Does not train
(fine_tuning.py) or compare models (comparison.py).
"""

import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from labkit.data.reviews import Reviews
from labkit.display import Tell
from labkit.errors import UsageError
from labkit.evaluation.comparison import Comparison, compare_models
from labkit.evaluation.intervals import METRICS
from labkit.evaluation.metrics import EvalResult
from labkit.files import remove_leftovers, write_atomically
from labkit.training.config import NEVER_CHANGE_THE_RESULT, Config

RUN_FILE, CONFIG_FILE, TEST_FILE, CARD_FILE = ("run.json", "config.toml", "test.json", "model_card.md")
# Removed in this order when a run is begun again: a folder from which only a part is gone still says whose it is.
OURS = ("checkpoints", "model", CONFIG_FILE, TEST_FILE, CARD_FILE, "results.json", "report.html", RUN_FILE)


class RunError(UsageError):
    """A run's folder that cannot be used as asked: finished, begun with other settings, in use, or not writable."""


class RunFolder:
    """The record of one run, written whole after every change."""

    def __init__(self, folder: Path, record: dict[str, Any], tell: Tell) -> None:
        self.folder, self.record, self.tell = folder, record, tell

    def write(self, **changes: Any) -> None:
        """Change the record and put it on the disk."""
        self.record |= changes
        write_atomically(self.folder / RUN_FILE, json.dumps(self.record, indent=1, ensure_ascii=False) + "\n")

    def note(self, notice: str) -> None:
        """Tell what the reader of the run must know and keep it in the record, once."""
        self.tell(notice)
        if notice not in self.record["notices"]:
            self.write(notices=[*self.record["notices"], notice])


def read_record(folder: Path) -> dict[str, Any] | None:
    """What `run.json` of a folder says; None where there is none. Raises RunError where it cannot be read."""
    file = folder / RUN_FILE
    if not file.is_file():
        return None
    try:
        record: Any = json.loads(file.read_text("utf-8"))
    except ValueError as why:
        raise RunError(f"{file}: not readable as JSON ({why})") from None
    if not isinstance(record, dict) or not {"settings", "data", "status"} <= record.keys():
        raise RunError(f"{file}: not the record of a run of labkit; name a new folder")
    return record


def check_folder(folder: Path, config: Config, reviews: Reviews, overwrite: bool) -> dict[str, Any] | None:
    """The record of the unfinished run that goes on in `folder`; None where a new one begins.

    Raises RunError, without a trace left, where this run may not be written to or continued there.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; wanted a folder for the run")
    _check_writable(folder)
    record = read_record(folder) if folder.is_dir() else None
    if record is None:
        foreign = (
            sorted(entry.name for entry in folder.iterdir() if not entry.name.startswith("."))
            if folder.is_dir()
            else []
        )
        if foreign:
            raise RunError(f"{folder} is not empty ({foreign[0]} is there) and holds no run; name a new folder")
    if record is None or overwrite:
        return None
    found = differences(record, config, reviews)
    if found:
        raise RunError(f"{folder} was begun with other settings ({'; '.join(found)}); name a new folder or --overwrite")
    if record["status"] == "finished":
        raise RunError(f"{folder} holds a finished run; name a new folder or --overwrite")
    return record


def _check_writable(folder: Path) -> None:
    existing = folder
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as why:
        raise RunError(f"{folder} is not writable ({why.strerror})") from None


def differences(record: Mapping[str, Any], config: Config, reviews: Reviews) -> list[str]:
    """What the run in the folder was begun with and is asked for differently now."""
    wanted = {name: value for name, value in dataclasses.asdict(config).items() if name not in NEVER_CHANGE_THE_RESULT}
    there = record["settings"]
    found = [
        f"{name}: {there.get(name)} there, {value} now" for name, value in wanted.items() if there.get(name) != value
    ]
    if record["data"]["hash"] != reviews.hash:
        found.append(f"data: {record['data']['name']} there, {reviews.name} now, and their contents differ")
    return found


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process at a time in a run's folder. Raises RunError where another is at work."""
    import filelock

    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise RunError(f"{folder} cannot be made ({why.strerror})") from None
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunError(f"{folder}: another process is training there") from None
    try:
        for name in OURS:
            remove_leftovers(folder, f".{name}")
        yield
    finally:
        lock.release()
        if os.name != "nt":
            (folder / ".lock").unlink(missing_ok=True)


def run_result(folder: Path) -> tuple[list[str], EvalResult]:
    """The ids of a finished run's test reviews and its result on them. Raises UsageError where the folder holds none."""
    record = read_record(folder)
    file = folder / TEST_FILE
    if record is None or record["status"] != "finished" or not file.is_file():
        raise UsageError(f"{folder} holds no finished run; wanted the folder that `labkit train --output` was given")
    rows = json.loads(file.read_text("utf-8"))
    loss = record["test"]["loss"]
    return rows["ids"], EvalResult(rows["labels"], rows["probabilities"], loss, str(folder), ids=rows["ids"])


def compare_runs(folder_a: Path, folder_b: Path, metrics: Sequence[str] = METRICS, seed: int = 0) -> Comparison:
    """Two finished runs, compared on their test reviews. Raises UsageError where those are not the same."""
    (ids_a, a), (ids_b, b) = run_result(folder_a), run_result(folder_b)
    if ids_a != ids_b or (a.labels != b.labels).any():
        common = len(set(ids_a) & set(ids_b))
        raise UsageError(
            f"{folder_a} was tested on {len(ids_a)} reviews and {folder_b} on {len(ids_b)}, {common} of them in common; "
            "two models can be compared on the same reviews only"
        )
    return compare_models(a, b, metrics=metrics, seed=seed)

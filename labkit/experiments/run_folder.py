"""A run's folder: its record, its finished model, and how both are read again.

    FOLDER/run.json        settings, data, environment, history, notices; `status` is running or finished
    FOLDER/config.toml     the settings, as a file that gives them again
    FOLDER/checkpoints/    while it runs
    FOLDER/model/          the finished model, a plain Hugging Face folder
    FOLDER/model_card.md   its card
    FOLDER/test.json       labels, probabilities and their logarithms of the test split, with the texts' ids

In run.json `settings` are those that were given, `resolved` the same with every choice made. The same command in the same
folder goes on with an unfinished run. Does not train (fine_tuning.py) or compare models (comparison.py).
"""

import contextlib
import dataclasses
import json
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from labkit.data.reviews import CLASS_NAMES, Reviews
from labkit.data.splits import Splits
from labkit.display import SURROGATES, Tell, quoted
from labkit.errors import UsageError
from labkit.evaluation.comparison import Comparison, compare_models
from labkit.evaluation.intervals import METRICS
from labkit.evaluation.metrics import EvalResult
from labkit.files import remove_leftovers, target_of, write_atomically
from labkit.training.checkpoints import CheckpointFolder
from labkit.training.config import NEVER_CHANGE_THE_RESULT, SETTINGS, Config

FORMAT = 1  # of run.json and results.json
RUN_FILE, CONFIG_FILE, TEST_FILE, CARD_FILE = ("run.json", "config.toml", "test.json", "model_card.md")
RESULTS_FILE, REPORT_FILE, CHECKPOINTS = "results.json", "report.html", "checkpoints"
SPLITS = tuple(field.name for field in dataclasses.fields(Splits))
# Removed in this order, after the checkpoints, when a run is begun again: a folder from which only a part is gone still says
# whose it is.
OURS = ("model", CONFIG_FILE, TEST_FILE, CARD_FILE, RESULTS_FILE, REPORT_FILE, RUN_FILE)


class RunError(UsageError):
    """A run's folder that cannot be used as asked.

    It is finished, begun with other settings, in use, not writable, or a file in it is broken.
    """


class RunFolder:
    """The record of one run, written whole after every change."""

    def __init__(self, folder: Path, record: dict[str, Any], tell: Tell) -> None:
        self.folder, self.record, self.tell = folder, record, tell

    def write(self, **changes: Any) -> None:
        """Change the record and put it on the disk."""
        self.record |= changes
        content = json.dumps(self.record, indent=1, ensure_ascii=False) + "\n"
        # A byte of a file's name that is no UTF-8 by its number, as JSON writes it too.
        write_atomically(self.folder / RUN_FILE, content.encode("utf-8", "backslashreplace"))

    def note(self, notice: str) -> None:
        """Tell what the reader of the run must know and keep it in the record, once."""
        self.tell(notice)
        if notice not in self.record["notices"]:
            self.write(notices=[*self.record["notices"], notice])


# --- reading ------------------------------------------------------------------------------------------------------


def read_record(folder: Path) -> dict[str, Any] | None:
    """Read a folder's `run.json`; None where there is none.

    Raises RunError where it is no run's record.
    """
    file = folder / RUN_FILE
    if not file.is_file():
        return None
    record = read_json(file)
    with making_sense_of(file):
        _check_parts(record, settings=dict, data=dict, status=str)
        _check_parts(record["data"], name=str, hash=str)
    return record


def _check_parts(record: Mapping[str, Any], **kinds: type) -> None:
    """Raise KeyError or TypeError where a part is missing or of another kind than it is read as."""
    for part, kind in kinds.items():
        if not isinstance(record[part], kind):
            raise TypeError(f"{part} is a {type(record[part]).__name__}, wanted a {kind.__name__}")


def finished_record(folder: Path) -> dict[str, Any]:
    """Read the record of a finished run.

    Raises RunError where the folder holds none, with what is missing and the way out.
    """
    wanted = "wanted the folder that labkit train --output was given"
    if not folder.is_dir():
        raise RunError(f"{folder}: no such folder; {wanted}")
    record = read_record(folder)
    if record is None:
        above = folder.resolve().parent / RUN_FILE
        hint = "did you mean the folder above it?" if above.is_file() else wanted
        raise RunError(f"{folder} holds no finished run ({RUN_FILE} is missing); {hint}")
    with making_sense_of(folder / RUN_FILE):
        if record["status"] != "finished":
            done, planned = len(record["history"]), record["settings"]["epochs"]
            raise RunError(
                f"{folder / RUN_FILE} holds no finished run: {done} of at most {planned} epochs are done, the test split is "
                "not scored; the command that began it, given again, goes on with it"
            )
    return record


def read_test(folder: Path, record: Mapping[str, Any], name: str) -> tuple[list[str], EvalResult]:
    """Read the ids of a finished run's test reviews and its result on them.

    name: the result's. Raises RunError as the others do.
    """
    with making_sense_of(folder / RUN_FILE):
        loss = float(record["test"]["loss"])
    rows = read_json(folder / TEST_FILE)
    with making_sense_of(folder / TEST_FILE):
        logarithms = np.array(rows.get("log_probabilities", np.empty((0, 0))), dtype=np.float64)  # older runs have none
        result = EvalResult(rows["labels"], rows["probabilities"], loss, name, logarithms, ids=rows["ids"])
        if not np.allclose(np.exp(result.log_probabilities), result.probabilities, atol=1e-6):
            raise ValueError("log_probabilities are not the logarithms of probabilities")
        if result.num_classes != len(CLASS_NAMES) or len(rows["ids"]) != len(result):
            raise ValueError(f"{len(rows['ids'])} ids for {len(result)} reviews of {result.num_classes} classes")
        return [str(review) for review in rows["ids"]], result


def read_json(file: Path) -> dict[str, Any]:
    """Read a JSON file of a run's folder.

    Raises RunError where it is missing, broken or of another format.
    """
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise RunError(f"{file} is missing, though the run is finished; {_way_out(file)}") from None
    except (OSError, ValueError) as why:
        raise RunError(f"{file}: not readable as JSON ({why}); {_way_out(file)}") from None
    with making_sense_of(file):
        if not isinstance(content, dict) or content.get("format", FORMAT) != FORMAT:
            found = f"format {content['format']}" if isinstance(content, dict) else f"a {type(content).__name__}"
            raise ValueError(f"found {found}, wanted format {FORMAT}")
    return content


@contextmanager
def making_sense_of(file: Path) -> Iterator[None]:
    """Within the block, what is wrong in the content of `file` becomes a RunError.

    The error names the file, what is missing or out of place, and the way out.
    """
    try:
        yield
    except KeyError as why:
        raise RunError(f"{file}: {why} is missing; {_way_out(file)}") from None
    except (AttributeError, IndexError, OverflowError, TypeError, ValueError) as why:
        raise RunError(f"{file}: not as labkit writes it ({why}); {_way_out(file)}") from None


def _way_out(file: Path) -> str:
    if file.name == RESULTS_FILE:
        return f"labkit lab --output {quoted(file.parent)} writes it again"
    if file.name == TEST_FILE:
        return "the command that made the run makes it anew with --overwrite"
    return "name a new folder; where this is still a run's record, --overwrite begins it again"


# --- beginning and going on ---------------------------------------------------------------------------------------


def check_folder(folder: Path, config: Config, reviews: Reviews, overwrite: bool) -> dict[str, Any] | None:
    """Return the record of the unfinished run in `folder`; None for a new run.

    Raises RunError, without a trace left, where this run may not be written to or continued there.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; wanted a folder for the run")
    _check_writable(folder)
    if SURROGATES.search(str(folder)):
        raise RunError(
            f"{folder}: a name that is not UTF-8, which the writer of weights does not take; name another folder"
        )
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
        done = "; the checkpoints that its end had left there are removed" * remove_checkpoints_of_finished(folder)
        raise RunError(f"{folder} holds a finished run{done}; name a new folder or --overwrite")
    with making_sense_of(folder / RUN_FILE):
        _check_parts(record, resolved=dict, history=list, notices=list)
    return record


def remove_checkpoints_of_finished(folder: Path) -> bool:
    """Remove what a run that was killed at its very end left behind; say whether there was anything.

    Nothing happens where the folder may only be read or another process is at work there.
    """
    checkpoints = folder / CHECKPOINTS
    if not checkpoints.is_dir():
        return False
    with contextlib.suppress(OSError, RunError), locked(folder):
        return CheckpointFolder(checkpoints).remove()
    return False


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
        f"{name}: {begun} there, {value} now"
        for name, value in wanted.items()
        if (begun := there.get(name, SETTINGS[name].default)) != value  # an older run lacks what came after it
    ]
    if record["data"]["hash"] != reviews.hash:
        found.append(f"data: {record['data']['name']} there, {reviews.name} now, and their contents differ")
    return found


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other processes out of a run's folder while the block runs.

    Raises RunError where another is at work.
    """
    import filelock

    try:
        target_of(folder).mkdir(parents=True, exist_ok=True)
    except OSError as why:
        raise RunError(f"{folder} cannot be made ({why.strerror})") from None
    lock = filelock.FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise RunError(
            f"{folder}: another process is training there; wait until it ends, or name another folder"
        ) from None
    except (OSError, NotImplementedError) as why:  # a shared drive may give none
        raise RunError(
            f"{folder}: no lock to be had there, which keeps two processes apart ({why}); name a folder on another drive"
        ) from None
    try:
        for name in OURS:
            remove_leftovers(folder, f".{name}")
        yield
    finally:
        lock.release()
        if os.name != "nt":
            (folder / ".lock").unlink(missing_ok=True)


# --- comparing ----------------------------------------------------------------------------------------------------


def compare_runs(folder_a: Path, folder_b: Path, metrics: Sequence[str] = METRICS, seed: int = 0) -> Comparison:
    """Compare two finished runs on their test reviews.

    Raises UsageError where those are not the same.
    """
    (ids_a, a), (ids_b, b) = (
        read_test(folder, finished_record(folder), str(folder)) for folder in (folder_a, folder_b)
    )
    if ids_a != ids_b or (a.labels != b.labels).any():
        common = len(set(ids_a) & set(ids_b))
        raise UsageError(
            f"{folder_a} was tested on {len(ids_a)} reviews and {folder_b} on {len(ids_b)}, {common} of them in common; "
            "two models can be compared on the same reviews only"
        )
    return compare_models(a, b, metrics=metrics, seed=seed)

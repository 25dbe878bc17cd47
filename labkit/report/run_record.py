"""A finished run as the page tells of it, out of the files of its folder.

The files are read by run_folder.py. Has no words and no pictures (page.py).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from labkit.data.reviews import CLASS_NAMES
from labkit.evaluation.intervals import METRICS, Score, score_table
from labkit.evaluation.metrics import EvalResult
from labkit.experiments.main_job import WRONG_SHOWN
from labkit.experiments.run_folder import (
    RESULTS_FILE,
    RUN_FILE,
    SPLITS,
    finished_record,
    making_sense_of,
    read_json,
    read_test,
)
from labkit.training.loop import EpochRecord, best_epoch

LONGEST_SHOWN = 600  # characters of a review


@dataclass(frozen=True)
class ScoredModel:
    """One column of the table: a model's scores on the test split, by metric."""

    name: str
    n: int
    seed: int
    seconds: float
    scores: Mapping[str, Score]

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "ScoredModel":
        """A row of results.json; an undefined number is null there and NaN here."""
        scores = {}
        for metric in METRICS:
            written = row["metrics"][metric]
            numbers = (written[part] for part in ("value", "low", "high"))
            value, low, high = (math.nan if number is None else float(number) for number in numbers)
            scores[metric] = Score(value, low, high, str(written["note"]))
        return cls(str(row["name"]), _count(row["n"]), int(row["seed"]), float(row["seconds"]), scores)

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know."""
        return [f"{self.name}, {metric}: {score.note}" for metric, score in self.scores.items() if score.note]


@dataclass(frozen=True)
class Comparison:
    """Two models on the same reviews, by McNemar's exact test.

    The counts are of the reviews that only one of them has right.
    """

    first: str
    second: str
    only_first_right: int
    only_second_right: int
    difference: float
    p_value: float
    text: str

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "Comparison":
        """The comparison of results.json."""
        first, second, text = (str(written[name]) for name in ("first", "second", "text"))
        only_first, only_second = (_count(written[name]) for name in ("only_first_right", "only_second_right"))
        difference, p_value = (float(written[name]) for name in ("difference", "p_value"))
        return cls(first, second, only_first, only_second, difference, p_value, text)


@dataclass(frozen=True)
class Mistake:
    """A review that the model was sure about and got wrong.

    text: None where the folder does not hold it.
    """

    id: str
    label: str
    prediction: str
    confidence: float
    text: str | None

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "Mistake":
        """One of the mistakes in results.json."""
        id_, label, prediction, text = (str(written[name]) for name in ("id", "label", "prediction", "text"))
        return cls(id_, label, prediction, float(written["confidence"]), text)

    @property
    def excerpt(self) -> str:
        """The text, or its beginning and how much is left out."""
        text = self.text or ""
        left_out = len(text) - LONGEST_SHOWN
        return text if left_out <= 0 else f"{text[:LONGEST_SHOWN]} … ({left_out:,} more characters)"


@dataclass(frozen=True)
class Table:
    """The tested models side by side.

    comparison: None where nothing stands beside the model.
    """

    models: Sequence[ScoredModel]
    comparison: Comparison | None
    mistakes: Sequence[Mistake]
    level: float
    resamples: int

    @classmethod
    def read(cls, file: Path) -> "Table":
        """The main job's results. Raises RunError as `read_run` does."""
        results = read_json(file)
        with making_sense_of(file):
            comparison = Comparison.from_json(results["comparison"]) if results["comparison"] else None
            models = [ScoredModel.from_json(row) for row in results["rows"]]
            mistakes = [Mistake.from_json(wrong) for wrong in results["confidently_wrong"]]
            if not models:
                raise ValueError("no rows")
            return cls(models, comparison, mistakes, float(results["level"]), _count(results["resamples"]))

    @classmethod
    def of_one(cls, test: EvalResult, ids: Sequence[str], seed: int, seconds: float) -> "Table":
        """Make the table of a run without the main job.

        It has the run's own scores, and its mistakes by their ids.
        """
        scores = score_table(test)
        wrong = [int(index) for index in (-test.confidences).argsort(kind="stable") if not test.correct[index]]
        mistakes = []
        for index in wrong[:WRONG_SHOWN]:
            label, prediction = (CLASS_NAMES[known[index]] for known in (test.labels, test.predictions))
            mistakes.append(Mistake(ids[index], label, prediction, float(test.confidences[index]), text=None))
        model = ScoredModel(test.name, scores.n, seed, seconds, dict(scores.items()))
        return cls([model], None, mistakes, scores.level, scores.resamples)


@dataclass(frozen=True)
class Run:
    """A finished run as its folder tells it.

    examples, class_counts: by split. lengths: tokens of each training review. settings: as they were given; resolved:
    what the run chose where they left it open.
    """

    model: str
    parameters: int
    seed: int
    max_length: int
    device: str
    precision: str
    data_name: str
    data_hash: str
    examples: Mapping[str, int]
    class_counts: Mapping[str, Sequence[int]]
    lengths: Sequence[int]
    settings: Mapping[str, Any]
    resolved: Mapping[str, Any]
    environment: Mapping[str, Any]
    packages: Mapping[str, str]
    history: Sequence[EpochRecord]
    notices: Sequence[str]
    test: EvalResult
    table: Table

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights were kept; None where no validation loss was a number."""
        return best_epoch(self.history)

    @property
    def seconds(self) -> float:
        """Seconds of training alone."""
        return sum(record.seconds for record in self.history)


def read_run(folder: Path) -> Run:
    """Read and check a finished run's folder.

    Raises RunError, with the file, what is wrong there and the way out.
    """
    record = finished_record(folder)
    with making_sense_of(folder / RUN_FILE):
        model, data, environment = record["model"], record["data"], dict(record["environment"])
        settings, resolved = dict(record["settings"]), dict(record["resolved"])
        packages = {package: str(version) for package, version in environment.pop("packages").items()}
        history = [EpochRecord(**written) for written in record["history"]]
        lengths = [_count(length) for length in data["lengths"]["train"]]
        if not history or not lengths:
            raise ValueError(f"{len(history)} epochs and {len(lengths)} training reviews")
        if not all(isinstance(value, int | float) for epoch in history for value in astuple(epoch)):
            raise TypeError(f"an epoch's record must be numbers; found {history}")
        ids, test = read_test(folder, record, str(model["name"]))
        if (folder / RESULTS_FILE).is_file():
            table = Table.read(folder / RESULTS_FILE)
        else:
            table = Table.of_one(test, ids, int(settings["seed"]), sum(epoch.seconds for epoch in history))
        return Run(
            model=str(model["name"]),
            parameters=_count(model["parameters"]),
            seed=int(settings["seed"]),
            max_length=_count(settings["max_length"]),
            device=str(environment["device"]),
            precision=str(resolved["precision"]),
            data_name=str(data["name"]),
            data_hash=str(data["hash"]),
            examples={split: _count(data["examples"][split]) for split in SPLITS},
            class_counts={split: [_count(count) for count in data["class_counts"][split]] for split in SPLITS},
            lengths=lengths,
            settings=settings,
            resolved=resolved,
            environment=environment,
            packages=packages,
            history=history,
            notices=[str(notice) for notice in record["notices"]],
            test=test,
            table=table,
        )


def _count(written: Any) -> int:
    number = int(written)
    if not 0 <= number < 2**53:
        raise ValueError(f"{written} is no count")
    return number

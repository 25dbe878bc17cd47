"""Laws of a run's folder: it is read in one way, whoever asks, and what cannot be read is named with the way out."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from predicting import make_result

from labkit.data.reviews import Reviews
from labkit.data.splits import Splits
from labkit.errors import UsageError
from labkit.evaluation.comparison import compare_models
from labkit.evaluation.metrics import EvalResult
from labkit.experiments.fine_tuning import finished_run
from labkit.experiments.run_folder import (
    RUN_FILE,
    TEST_FILE,
    RunError,
    RunFolder,
    check_folder,
    compare_runs,
    finished_record,
    read_record,
    read_test,
)
from labkit.report.page import write_report
from labkit.training.config import Config

REVIEWS = Reviews("words", ["0", "1"], ["good film", "bad film"], np.array([1, 0]))


def pair(n: int = 80) -> tuple[EvalResult, EvalResult]:
    """Two models on the same examples, which err on others."""
    one = make_result(n, name="A")
    logits = np.random.default_rng(2).normal(size=(n, 2)) + np.eye(2)[one.labels]
    return one, EvalResult.from_logits(one.labels, logits, "B")


def write_run(folder: Path, result: EvalResult, ids: list[str], status: str = "finished") -> Path:
    folder.mkdir()
    data = {"name": REVIEWS.name, "hash": REVIEWS.hash}
    record = {"settings": dataclasses.asdict(Config()), "data": data, "status": status, "history": []}
    (folder / RUN_FILE).write_text(json.dumps(record | {"test": {"loss": result.loss}}), "utf-8")
    rows = {"ids": ids, "labels": result.labels.tolist(), "probabilities": result.probabilities.tolist()}
    (folder / TEST_FILE).write_text(json.dumps(rows), "utf-8")
    return folder


def test_two_finished_runs_are_compared_on_their_test_reviews(tmp_path):
    a, b = pair()
    ids = [str(i) for i in range(80)]
    found = compare_runs(write_run(tmp_path / "a", a, ids), write_run(tmp_path / "b", b, ids))
    assert found.mcnemar == compare_models(a, b).mcnemar
    assert found.name_a.endswith("a")


def test_runs_on_other_reviews_or_unfinished_ones_are_refused(tmp_path):
    a, b = pair()
    one = write_run(tmp_path / "a", a, [str(i) for i in range(80)])
    other = write_run(tmp_path / "b", b, [str(i) for i in range(40, 120)])
    with pytest.raises(UsageError, match="40 of them in common"):
        compare_runs(one, other)
    running = write_run(tmp_path / "c", b, [str(i) for i in range(80)], status="running")
    for folder in (running, tmp_path):
        with pytest.raises(UsageError, match="holds no finished run"):
            compare_runs(one, folder)


def test_what_was_written_is_what_is_read(tmp_path):
    result, ids = pair()[0], [str(i) for i in range(80)]
    folder = write_run(tmp_path / "run", result, ids)
    found_ids, found = read_test(folder, finished_record(folder), "A")
    assert (found_ids, found.name, found.loss) == (ids, "A", result.loss)
    np.testing.assert_array_equal(found.probabilities, result.probabilities)


@pytest.mark.parametrize("kept", [True, False], ids=["with logarithms", "of an older run"])
def test_a_run_that_is_read_again_has_the_losses_it_had_when_it_was_tested(kept, tmp_path):
    result = EvalResult.from_logits([1, 0, 1], [[1500.0, 0.0], [3.0, 0.0], [0.0, 2.0]], "A")
    folder = write_run(tmp_path / "run", result, ["a", "b", "c"])
    rows = json.loads((folder / TEST_FILE).read_text("utf-8"))
    if kept:
        rows["log_probabilities"] = result.log_probabilities.tolist()
        (folder / TEST_FILE).write_text(json.dumps(rows), "utf-8")
    _, found = read_test(folder, finished_record(folder), "A")
    nll = compare_runs(folder, folder, ["nll"]).scores["nll"][0]
    assert nll == pytest.approx(result.loss if kept else (708.4 + 0.0486 + 0.1269) / 3, rel=1e-4)
    assert (found.log_probabilities == result.log_probabilities).all() == kept


@pytest.mark.parametrize("logarithms", [None, [], "ab", [[0.0]], [[-0.1, -2.0]] * 80, [[0.0, None]] * 80])
def test_logarithms_that_are_not_those_of_the_probabilities_are_refused(logarithms, tmp_path):
    folder = write_run(tmp_path / "run", pair()[0], [str(i) for i in range(80)])
    rows = json.loads((folder / TEST_FILE).read_text("utf-8")) | {"log_probabilities": logarithms}
    (folder / TEST_FILE).write_text(json.dumps(rows), "utf-8")
    with pytest.raises(RunError, match="not as labkit writes it"):
        read_test(folder, finished_record(folder), "A")


READERS: dict[str, Callable[[Path], Any]] = {
    "compare": lambda folder: compare_runs(folder, folder),
    "report": write_report,
    "finished_run": lambda folder: finished_run(folder, Config(), REVIEWS),
}


@pytest.mark.parametrize("name", [RUN_FILE, TEST_FILE])
@pytest.mark.parametrize("content", [b"", b"[1]", b"null", b"\xff", b'{"format": 2}', b"{}"])
def test_a_broken_file_gives_whoever_reads_it_the_same_error_with_the_way_out(name, content, tmp_path):
    folder = write_run(tmp_path / "run", pair()[0], [str(i) for i in range(80)])
    record = json.loads((folder / RUN_FILE).read_text("utf-8"))
    epoch = {"epoch": 0, "train_loss": 0.5, "validation_loss": 0.5, "validation_accuracy": 0.8, "learning_rate": 0.0}
    epoch |= {"is_best": True, "micro_batch_size": 8, "seconds": 1.0, "reviews_per_second": 9.0}
    record |= {"history": [epoch], "model": {"name": "minilm", "parameters": 9}, "resolved": {}}
    record |= {"environment": {"packages": {}}, "notices": []}
    record["data"]["lengths"] = {"train": [5]}
    (folder / RUN_FILE).write_text(json.dumps(record), "utf-8")
    (folder / name).write_bytes(content)
    said = set()
    for read in READERS.values():
        with pytest.raises(RunError) as refused:
            read(folder)
        assert refused.value.exit_code == 2
        said.add(str(refused.value))
    (text,) = said
    assert str(folder / name) in text and "--overwrite" in text


def test_a_finished_run_whose_test_file_is_missing_is_refused_with_the_way_out(tmp_path):
    folder = write_run(tmp_path / "run", pair()[0], [str(i) for i in range(80)])
    (folder / TEST_FILE).unlink()
    for read in (READERS["compare"], READERS["finished_run"]):
        with pytest.raises(RunError, match=r"test\.json is missing, though the run is finished; .*--overwrite"):
            read(folder)


def test_a_folder_whose_name_is_not_utf_8_is_refused_before_anything_is_there(tmp_path):
    with pytest.raises(RunError, match="not UTF-8"):
        check_folder(tmp_path / "caf\udce9", Config(), REVIEWS, overwrite=False)
    assert not list(tmp_path.iterdir())


def test_the_record_keeps_a_name_that_is_not_utf_8(tmp_path):
    run = RunFolder(tmp_path, {}, lambda notice: None)
    run.write(settings={}, data={"name": "caf\udce9.csv", "hash": ""}, status="running")
    assert read_record(tmp_path) == run.record


ODD: list[Any] = [None, 3, "odd", [1], {"odd": 1}]


@pytest.mark.parametrize("status", ["running", "finished"])
@pytest.mark.parametrize(
    "part", ["settings", "data", "data.hash", "data.name", "status", "history", "resolved", "notices"]
)
@pytest.mark.parametrize("odd", ["missing", *ODD])
def test_whatever_stands_in_a_record_a_command_that_would_go_on_there_works_or_is_refused_in_a_line(
    part, odd, status, tmp_path
):
    folder = write_run(tmp_path / "run", pair()[0], [str(i) for i in range(80)], status)
    record = json.loads((folder / RUN_FILE).read_text("utf-8")) | {"resolved": {}, "notices": []}
    *above, name = part.split(".")
    holder = record[above[0]] if above else record
    holder[name] = odd
    if odd == "missing":
        del holder[name]
    (folder / RUN_FILE).write_text(json.dumps(record), "utf-8")
    asks = [
        lambda: check_folder(folder, Config(), REVIEWS, overwrite=False),
        lambda: finished_run(folder, Config(), REVIEWS, Splits(REVIEWS, REVIEWS, REVIEWS)),
    ]
    for ask in asks:
        said = str(folder)
        try:
            ask()
        except RunError as refused:
            said = str(refused)
        assert str(folder) in said and "\n" not in said

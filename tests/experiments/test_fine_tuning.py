"""Laws of a run's folder: interrupted anywhere it ends with the same bits, and what is refused leaves no trace."""

import copy
import dataclasses
import errno
import json
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import filelock
import kill_and_resume
import numpy as np
import pytest
import safetensors.torch
import torch
from conftest import BLAME, FILLER, PRAISE, VOCABULARY
from transformers import AutoModelForSequenceClassification, AutoTokenizer, LlamaConfig

from labkit.data.reviews import Reviews
from labkit.data.splits import Splits, split_reviews
from labkit.data.tokens import TokenizerError, tokenize
from labkit.errors import LabkitError, UsageError
from labkit.experiments import fine_tuning as runs
from labkit.experiments import run_folder
from labkit.experiments.fine_tuning import FineTuned, Interrupted, fine_tune, finished_run
from labkit.experiments.run_folder import RunError, compare_runs
from labkit.models import soundness
from labkit.models.encoders import ModelError, quiet_transformers
from labkit.report.page import write_report
from labkit.serving.classifier import Classifier
from labkit.training import fit as training
from labkit.training import memory, precision
from labkit.training.checkpoints import CheckpointError, CheckpointFolder
from labkit.training.config import Config, ConfigError, read_config_file
from labkit.training.early_stopping import TrainingError
from labkit.training.memory import OutOfMemory

STEPS = 6  # of the run below: two epochs of three


def make_reviews(count: int, seed: int = 0) -> Reviews:
    """Reviews of two to six words whose last word is their label."""
    generator = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    words = [list(generator.choice(FILLER, generator.integers(1, 6))) for _ in range(count)]
    texts = [
        " ".join([*some, str(generator.choice(PRAISE if label else BLAME))])
        for some, label in zip(words, labels, strict=True)
    ]
    return Reviews("words", [str(number) for number in range(count)], texts, labels.astype(np.int64))


REVIEWS = make_reviews(300)


@pytest.fixture(scope="module")
def config(tiny_folder: Path) -> Config:
    return Config(
        model=str(tiny_folder),
        epochs=2,
        batch_size=16,
        micro_batch_size=6,
        max_length=16,
        learning_rate=3e-3,
        dropout=0.2,
        precision="fp32",
        device="cpu",
        train_examples=44,
        validation_examples=20,
        checkpoint_seconds=0.0,
    )


@pytest.fixture
def tune(config: Config, tmp_path: Path) -> Callable[..., FineTuned]:
    """fine_tune in the folder `run` below this test's own, without a word."""

    def start(folder: Path | None = None, reviews: Reviews = REVIEWS, **changes: Any) -> FineTuned:
        named = {"progress": False, "tell": lambda notice: None}
        named |= {name: changes.pop(name) for name in ("overwrite", "tell") if name in changes}
        return fine_tune(config.replaced(changes), reviews, folder or tmp_path / "run", **named)

    return start


@pytest.fixture(scope="module")
def whole(config: Config, tmp_path_factory: pytest.TempPathFactory) -> FineTuned:
    """A run that nothing interrupted. Read it, do not write to it."""
    return fine_tune(
        config, REVIEWS, tmp_path_factory.mktemp("whole") / "run", progress=False, tell=lambda notice: None
    )


@pytest.fixture
def finished(whole: FineTuned, tmp_path: Path) -> Path:
    """A copy of the finished run."""
    return Path(shutil.copytree(whole.folder, tmp_path / "run"))


def weights(folder: Path) -> bytes:
    return (folder / "model" / "model.safetensors").read_bytes()


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below a folder, with its bytes and when it was written."""
    return {
        str(file.relative_to(folder)): (file.read_bytes(), file.stat().st_mtime_ns)
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text("utf-8"))  # type: ignore[no-any-return]


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


def kill_after(steps: int, tune: Callable[..., Any], *arguments: Any, **changes: Any) -> None:
    """A run that dies in the optimizer step after so many."""
    done: list[Any] = []
    count = training._FineTuning._count

    def die(self: Any, record: Any) -> None:
        count(self, record)
        done.append(record)
        if len(done) > steps:
            raise Killed

    kill_where(training._FineTuning, "_count", die, tune, *arguments, **changes)


def kill_where(
    owner: Any, name: str, die: Callable[..., Any], tune: Callable[..., Any], *arguments: Any, **changes: Any
) -> None:
    """A run that dies because `die` stands in the place of `owner.name`."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(owner, name, die)
        with pytest.raises(Killed):
            tune(*arguments, **changes)


# --- what a finished run leaves -----------------------------------------------------------------------------------


def test_a_finished_run_leaves_its_record_its_model_and_its_card_and_nothing_else(whole):
    assert {entry.name for entry in whole.folder.iterdir()} == {
        "run.json",
        "config.toml",
        "model",
        "model_card.md",
        "test.json",
    }
    record = record_of(whole.folder)
    assert record == json.loads(json.dumps(whole.record))
    assert record["status"] == "finished"
    assert record["data"]["hash"] == REVIEWS.hash
    assert record["environment"]["packages"]["torch"] == metadata.version("torch")
    assert len(whole.history) == 2
    assert [epoch.epoch for epoch in whole.history] == [0, 1]


def test_a_runs_batchers_have_the_tokens_and_labels_of_its_splits(tiny_world):
    splits = Splits(*(tiny_world.reviews.select(range(start, start + 20)) for start in (0, 20, 40)))
    batchers = runs.make_batchers(splits, tiny_world.tokenizer, Config(max_length=16))
    for name, part in vars(splits).items():
        oracle = tokenize(part.texts, tiny_world.tokenizer, 16)
        tokenized = batchers[name].tokenized
        assert [ids.tolist() for ids in tokenized.input_ids] == [ids.tolist() for ids in oracle.input_ids]
        assert tokenized.truncated.tolist() == oracle.truncated.tolist()
        assert batchers[name].labels.tolist() == part.labels.tolist()


def test_the_config_file_of_a_run_gives_its_settings_again(whole, config):
    assert Config(**read_config_file(whole.folder / "config.toml")) == config


def test_the_saved_model_loads_with_plain_transformers_and_gives_the_same_logits(whole, config):
    model = AutoModelForSequenceClassification.from_pretrained(whole.folder / "model")
    tokenizer = AutoTokenizer.from_pretrained(whole.folder / "model")
    assert not model.training
    assert model.config.id2label == {0: "negative", 1: "positive"}
    encoded = tokenizer(
        list(whole.splits.test.texts), truncation=True, max_length=16, padding=True, return_tensors="pt"
    )
    with torch.no_grad():
        probabilities = model(**encoded).logits.double().softmax(dim=1).numpy()
    np.testing.assert_allclose(probabilities, whole.test.probabilities, atol=1e-5)
    rows = json.loads((whole.folder / "test.json").read_text())
    np.testing.assert_allclose(rows["probabilities"], whole.test.probabilities)
    np.testing.assert_array_equal(rows["log_probabilities"], whole.test.log_probabilities)
    assert rows["ids"] == list(whole.splits.test.ids)
    assert rows["labels"] == whole.splits.test.labels.tolist()


def test_the_saved_weights_are_those_of_the_best_epoch(tune, tmp_path):
    guesses = np.random.default_rng(0).permutation(REVIEWS.labels)  # nothing to learn, but much to learn by heart
    run = tune(reviews=dataclasses.replace(REVIEWS, labels=guesses), epochs=8, patience=8, dropout=0.0)
    best = min(run.history, key=lambda epoch: epoch.validation_loss)
    assert best.epoch < 7  # else this would prove nothing
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "run" / "model")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    encoded = tokenizer(list(run.splits.validation.texts), padding=True, return_tensors="pt")
    with torch.no_grad():
        loss = model(**encoded, labels=torch.from_numpy(run.splits.validation.labels)).loss
    assert float(loss) == pytest.approx(best.validation_loss, rel=1e-5)


def test_the_same_command_elsewhere_gives_the_same_bits_and_another_seed_others(whole, tune, tmp_path):
    torch.manual_seed(99)
    again, other = tune(tmp_path / "again"), tune(tmp_path / "other", seed=1)
    assert again.history == whole.history
    assert weights(tmp_path / "again") == weights(whole.folder)
    assert other.history != whole.history
    assert weights(tmp_path / "other") != weights(whole.folder)


def test_what_was_done_to_the_reviews_is_told_and_kept(tune):
    told: list[str] = []
    noted = dataclasses.replace(REVIEWS, notes=("3 empty texts left out",))
    run = tune(reviews=noted, max_length=4, tell=told.append)
    assert "3 empty texts left out" in told
    assert any("longer than max_length and were truncated to 4 tokens" in notice for notice in told)
    assert set(run.record["notices"]) < set(told)
    card = (run.folder / "model_card.md").read_text("utf-8")
    assert all(f"* {notice}" in card for notice in run.record["notices"])


def test_a_run_from_another_thread_is_a_run_too(tune, whole, tmp_path):
    """There signals cannot be handled, and need not be."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            tune()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert raised == []
    assert weights(tmp_path / "run") == weights(whole.folder)


# --- going on -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", range(STEPS))
def test_a_run_killed_after_any_step_and_begun_again_ends_with_the_same_bits(steps, tune, whole, tmp_path):
    kill_after(steps, tune)
    assert record_of(tmp_path / "run")["status"] == "running"
    told: list[str] = []
    assert tune(tell=told.append).history == whole.history
    assert told[0] == f"going on with the run in {tmp_path / 'run'}"
    assert weights(tmp_path / "run") == weights(whole.folder)
    assert {entry.name for entry in (tmp_path / "run").iterdir()} == {entry.name for entry in whole.folder.iterdir()}


def test_a_run_killed_before_its_config_file_was_written_has_one_in_the_end(tune, config, tmp_path):
    plain = runs.write_atomically

    def die(path: Path, content: str) -> None:
        if path.name == "config.toml":
            raise Killed
        plain(path, content)

    kill_where(runs, "write_atomically", die, tune)
    tune()
    assert Config(**read_config_file(tmp_path / "run" / "config.toml")) == config


LAST_THINGS = ["save_model", "model_card", "evaluate", "write_atomically"]


@pytest.mark.parametrize("thing", LAST_THINGS)
def test_a_run_killed_while_it_finishes_ends_with_the_same_bits(thing, tune, whole, tmp_path):
    plain = getattr(runs, thing)

    def die(*arguments: Any, **named: Any) -> Any:
        if thing != "write_atomically" or arguments[0].name == "test.json":
            raise Killed
        return plain(*arguments, **named)

    kill_where(runs, thing, die, tune)
    assert tune().history == whole.history
    assert weights(tmp_path / "run") == weights(whole.folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_at_a_checkpoint_and_the_same_command_goes_on(
    number, tune, whole, monkeypatch, tmp_path
):
    count = training._FineTuning._count

    def interrupt(self: Any, record: Any) -> None:
        count(self, record)
        if self.steps_done == 2 and self.epoch == 0:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with monkeypatch.context() as once:
        once.setattr(training._FineTuning, "_count", interrupt)
        with pytest.raises(Interrupted, match=f"stopped by {number.name}; a checkpoint") as why:
            tune(checkpoint_seconds=1000.0)
    assert why.value.exit_code == 128 + number
    assert signal.getsignal(number) == before
    assert [entry.name for entry in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-00000002"]
    assert tune().history == whole.history
    assert weights(tmp_path / "run") == weights(whole.folder)


def test_a_signal_between_two_epochs_stops_the_run_too(tune, whole, tmp_path):
    def interrupt(notice: str) -> None:
        if notice.startswith("epoch 0"):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        tune(tell=interrupt)
    assert len(record_of(tmp_path / "run")["history"]) == 1
    assert tune().history == whole.history


def test_a_second_ctrl_c_ends_the_program_at_once():
    with runs.StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.signal == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)


def test_where_precision_is_auto_a_run_goes_on_in_the_one_it_was_begun_in(tune, monkeypatch, tmp_path):
    for name, speedups in (("steady", (0.5, 0.5)), ("moody", (0.5, 8.0))):
        monkeypatch.setattr(precision, "bf16_speedup", lambda speedups=speedups: speedups[0])
        kill_after(4, tune, tmp_path / name, precision="auto")
        monkeypatch.setattr(precision, "bf16_speedup", lambda speedups=speedups: speedups[1])
        tune(tmp_path / name, precision="auto")
    assert weights(tmp_path / "steady") == weights(tmp_path / "moody")


def test_the_record_holds_every_choice_that_the_run_made(whole, config):
    assert whole.record["settings"] == dataclasses.asdict(config)
    assert whole.record["resolved"] == dataclasses.asdict(config.resolved())


SAVED_BEFORE = ("learning_rate", "precision", "micro_batch_size")  # all that was once kept of the choices


def as_saved_before(folder: Path) -> None:
    """The record as it was written when only a part of the choices was kept."""
    record = record_of(folder)
    record["resolved"] = {name: record["resolved"][name] for name in SAVED_BEFORE}
    (folder / "run.json").write_text(json.dumps(record))


def test_a_run_saved_before_all_choices_were_kept_goes_on_to_the_same_bits(tune, whole, tmp_path):
    kill_after(4, tune)
    as_saved_before(tmp_path / "run")
    assert tune().history == whole.history
    assert weights(tmp_path / "run") == weights(whole.folder)
    assert record_of(tmp_path / "run")["resolved"] == whole.record["resolved"]


def test_a_finished_run_saved_before_all_choices_were_kept_is_read_reported_and_compared(finished, whole, config):
    as_saved_before(finished)
    found = runs.finished_run(finished, config, REVIEWS)
    assert found is not None and found.history == whole.history
    assert write_report(finished).is_file()
    difference = compare_runs(finished, whole.folder, ["accuracy"]).scores["accuracy"][2]
    assert difference.value == 0 and difference.low <= 0 <= difference.high


@pytest.mark.parametrize("part", ["resolved", "history", "notices"])
def test_an_unfinished_record_without_what_going_on_needs_is_refused(part, tune, tmp_path):
    kill_after(2, tune)
    record = record_of(tmp_path / "run")
    del record[part]
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    refused(tune, RunError, f"run.json: '{part}' is missing; .*--overwrite begins it again", tmp_path)
    assert tune(overwrite=True).record["status"] == "finished"


def test_a_run_goes_on_on_another_device_than_it_was_begun_on(tune, whole, tmp_path):
    kill_after(4, tune, device="auto")
    record = record_of(tmp_path / "run")
    record["resolved"]["device"] = "a device of another machine"
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    assert tune(device="auto").record["resolved"]["device"] == str(precision.choose_device())


@pytest.mark.parametrize("damage", ["cut short", "a bit flipped"])
def test_a_damaged_last_checkpoint_is_said_and_the_one_before_it_gives_the_same_bits(damage, tune, whole, tmp_path):
    kill_after(4, tune)
    newest = sorted((tmp_path / "run" / "checkpoints").glob("step-*"))[-1] / "state.safetensors"
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content if damage == "a bit flipped" else content[:-7])
    told: list[str] = []
    assert tune(tell=told.append).history == whole.history
    assert f"{newest.parent} is damaged (its hash does not match); the checkpoint before it is used" in told
    assert weights(tmp_path / "run") == weights(whole.folder)
    assert any("is damaged" in notice for notice in record_of(tmp_path / "run")["notices"])


def test_a_disk_that_runs_full_in_a_checkpoint_fails_the_run_and_leaves_the_state_before_it_good(
    tune, whole, monkeypatch, tmp_path
):
    written: list[Path] = []
    save_file = safetensors.torch.save_file

    def full(tensors: Any, path: Path) -> None:
        written.append(path)
        if len(written) == 5:
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save_file(tensors, path)

    with monkeypatch.context() as once:
        once.setattr(safetensors.torch, "save_file", full)
        with pytest.raises(CheckpointError, match="No space left") as why:
            tune()
    assert why.value.exit_code == 1
    assert not list(tmp_path.rglob(".*.????????"))
    assert tune().history == whole.history
    assert weights(tmp_path / "run") == weights(whole.folder)


def test_a_disk_that_is_full_when_the_model_is_saved_fails_the_run_and_the_same_command_saves_it(
    tune, whole, monkeypatch, tmp_path
):
    def full(*arguments: Any, **named: Any) -> None:
        raise safetensors.SafetensorError("Error while serializing: I/O error: No space left on device")

    with monkeypatch.context() as once:
        once.setattr("transformers.modeling_utils.safe_save_file", full)
        with pytest.raises(LabkitError, match=r"could not be saved .*run the same command again"):
            tune()
    assert not (tmp_path / "run" / "model").exists()
    tune()
    assert weights(tmp_path / "run") == weights(whole.folder)


def test_a_loss_that_is_no_number_fails_the_run_and_the_last_checkpoint_stands(tune, monkeypatch, tmp_path):
    losses = iter([0.7, 0.6, 0.5, math.nan])
    monkeypatch.setattr(training, "accumulate_gradients", lambda model, pieces, precision: next(losses))
    with pytest.raises(TrainingError, match="the loss became nan in epoch 1, step 0; try a lower learning_rate") as why:
        tune()
    assert why.value.exit_code == 1
    assert record_of(tmp_path / "run")["status"] == "running"
    assert (tmp_path / "run" / "checkpoints" / "step-00000003").is_dir()


def test_early_stopping_ends_the_run_and_says_so(tune):
    run = tune(epochs=30, patience=1)
    assert len(run.history) < 30
    assert any("validation loss has not fallen for 1 epochs" in notice for notice in run.record["notices"])


# --- what is refused ----------------------------------------------------------------------------------------------


def refused(tune: Callable[..., Any], error: type[LabkitError], match: str, around: Path, **changes: Any) -> None:
    """Refused with exit code 2, and not a file or folder below `around` was made or changed."""
    entries, before = sorted(around.rglob("*")), contents(around)
    with pytest.raises(error, match=match) as why:
        tune(**changes)
    assert why.value.exit_code == 2
    assert sorted(around.rglob("*")) == entries
    assert contents(around) == before


def test_a_finished_folder_is_refused(finished, tune, tmp_path):
    refused(tune, RunError, "holds a finished run; name a new folder or --overwrite", tmp_path)


@pytest.mark.parametrize("foreign", [False, True])
@pytest.mark.parametrize("again", ["train", "lab"])
def test_a_run_killed_after_it_had_finished_leaves_no_checkpoints_once_it_is_asked_for(
    again, foreign, finished, tune, config
):
    before = contents(finished)
    CheckpointFolder(finished / "checkpoints").save(9, {"weights": torch.zeros(3)}, {})
    (finished / ".lock").touch()
    if foreign:
        (finished / "checkpoints" / "notes.txt").write_text("mine")
    if again == "lab":
        assert finished_run(finished, config, REVIEWS) is not None
    else:
        with pytest.raises(
            RunError, match="finished run; the checkpoints that its end had left there are removed; name"
        ):
            tune()
    left = contents(finished)
    assert (left.pop("checkpoints/notes.txt", (b"",))[0] == b"mine") == foreign
    assert left == before and (finished / "checkpoints").exists() == foreign


def test_a_folder_begun_with_other_settings_is_refused_and_they_are_named(tune, tmp_path):
    kill_after(2, tune)
    refused(
        tune,
        RunError,
        r"other settings \(batch_size: 16 there, 8 now; seed: 0 there, 3 now\)",
        tmp_path,
        batch_size=8,
        seed=3,
    )
    refused(
        tune,
        RunError,
        "data: words there, words now, and their contents differ",
        tmp_path,
        reviews=make_reviews(300, 1),
    )
    tune(checkpoint_seconds=33.0)  # this setting never changes a result


def test_a_foreign_folder_is_refused(tune, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    refused(tune, RunError, r"is not empty \(thesis.tex is there\) and holds no run; name a new folder", tmp_path)
    refused(tune, RunError, "is not empty", tmp_path, overwrite=True)


@pytest.mark.parametrize("text", ['{"jobs": []}', "[1, 2]", '"hello"', "{"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_run_file_that_is_not_ours_is_refused_and_what_lies_beside_it_kept(text, overwrite, tune, tmp_path):
    (tmp_path / "run" / "model").mkdir(parents=True)
    (tmp_path / "run" / "run.json").write_text(text)
    (tmp_path / "run" / "model" / "weights").write_text("somebody's")
    refused(tune, RunError, "run.json", tmp_path, overwrite=overwrite)


def test_a_folder_with_nothing_but_hidden_files_is_taken_and_they_are_kept(tune, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".env.template").write_text("mine")  # an ending as long as those of temporary names
    (tmp_path / "run" / ".run.json.abcd1234").write_text("{")  # which are removed
    assert tune().record["status"] == "finished"
    assert [entry.name for entry in (tmp_path / "run").glob(".*")] == [".env.template"]


def test_a_file_is_no_folder(tune, tmp_path):
    (tmp_path / "run").write_text("a file")
    refused(tune, RunError, "is a file; wanted a folder for the run", tmp_path)
    refused(tune, RunError, "is not writable", tmp_path, folder=tmp_path / "run" / "below")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="has no folder in which even root cannot write")
def test_a_folder_that_cannot_be_written_to_is_refused(tune, tmp_path):
    refused(tune, RunError, "/proc/run is not writable", tmp_path, folder=Path("/proc/run"))


def test_a_folder_without_permission_is_refused(tune, tmp_path, monkeypatch):
    def denied(*arguments: Any, **named: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(run_folder.tempfile, "TemporaryFile", denied)
    refused(tune, RunError, r"run is not writable \(Permission denied\)", tmp_path)


def test_a_max_length_beyond_the_positions_of_the_model_is_refused(tune, tmp_path):
    refused(tune, ConfigError, "max_length = 129 is more than the 128 positions", tmp_path, max_length=129)


def test_a_model_that_cannot_work_is_refused_before_anything_is_written(tune, tiny_folder, tiny_world, tmp_path):
    model = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    config = json.loads((model / "config.json").read_text())
    for change, message in (({"model_type": "newbert9"}, "newbert9"), ({"hidden_size": "big"}, "hidden_size")):
        (model / "config.json").write_text(json.dumps(config | change))
        refused(tune, ModelError, message, tmp_path, model=str(model))
    (model / "config.json").write_text(json.dumps(config))
    tokenizer = copy.deepcopy(tiny_world.tokenizer)
    tokenizer.add_tokens(["moviestar"])
    tokenizer.save_pretrained(model)
    reviews = dataclasses.replace(REVIEWS, texts=[f"moviestar {text}" for text in REVIEWS.texts])
    refused(tune, ModelError, "gives moviestar the number", tmp_path, model=str(model), reviews=reviews)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batching": "packed"}, "padding can be left out for bert"),
        ({"freeze": "embeddings"}, "the family llama has no part of that name"),
        ({"precision": "bf16"}, "the family llama does not compute in bf16"),
    ],
)
def test_a_setting_that_a_family_cannot_take_is_refused_before_anything_is_written(
    settings, message, tune, tiny_world, monkeypatch, tmp_path
):
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
    with quiet_transformers():
        config = LlamaConfig(vocab_size=len(VOCABULARY), pad_token_id=0, **sizes)
        AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "llama")
    tiny_world.tokenizer.save_pretrained(tmp_path / "llama")
    monkeypatch.setattr(soundness, "computes", lambda model, block: False)
    with pytest.raises(UsageError, match=message):
        tune(tmp_path / "run", model=str(tmp_path / "llama"), **settings)
    assert not (tmp_path / "run").exists()


def test_a_run_that_was_begun_before_a_setting_was_there_goes_on_and_is_the_same_run(tune, whole, tmp_path):
    kill_after(2, tune)
    record = record_of(tmp_path / "run")
    del record["settings"]["head"]
    (tmp_path / "run" / "run.json").write_text(json.dumps(record))
    refused(tune, RunError, "head: fresh there, kept now", tmp_path, head="kept")
    tune()
    assert weights(tmp_path / "run") == weights(whole.folder)


@pytest.mark.parametrize("truncation", ["head", "tail"])
def test_a_plain_pipeline_that_truncates_answers_as_the_classifier_that_was_saved(truncation, tune):
    from transformers import pipeline

    folder = tune(truncation=truncation, max_length=12).folder / "model"
    texts = ["good " * 30 + "bad " * 30, "bad " * 30 + "good " * 30, "a good film", *REVIEWS.texts[:20]]
    with quiet_transformers():
        answers = pipeline("text-classification", model=str(folder), device="cpu")(texts, truncation=True, batch_size=5)
    for ours, theirs in zip(Classifier.load(folder, "fp32", "cpu").predict(texts), answers, strict=True):
        assert ours.label == theirs["label"] and ours.probability == pytest.approx(theirs["score"], abs=1e-5)
    assert "cuts them in the same place" in (folder / "README.md").read_text("utf-8")


def test_the_card_says_where_a_plain_pipeline_cannot_cut_as_in_training(tune):
    card = (tune(truncation="head+tail").folder / "model" / "README.md").read_text("utf-8")
    assert "A plain pipeline cannot cut so" in card and "keeps the head alone" in card


def test_a_broken_model_folder_is_refused(tune, tiny_folder, tmp_path):
    model = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    (model / "model.safetensors").rename(model / "pytorch_model.bin")
    refused(tune, ModelError, "only pytorch_model.bin, which is a pickle", tmp_path, model=str(model))
    (model / "pytorch_model.bin").rename(model / "model.safetensors")
    (model / "tokenizer.json").unlink()
    refused(tune, TokenizerError, "no tokenizer there", tmp_path, model=str(model))


def test_reviews_too_few_to_split_are_refused(tune, tmp_path):
    refused(tune, UsageError, "wanted at least 2 of each class in each split", tmp_path, reviews=make_reviews(12))


def test_a_precision_that_the_device_lacks_is_refused(tune, tmp_path):
    refused(tune, UsageError, "this CPU does not compute in fp16", tmp_path, precision="fp16")


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_memory_limit_that_is_no_size_is_refused_before_anything_is_overwritten(
    overwrite, finished, tune, monkeypatch, tmp_path
):
    monkeypatch.setenv("LABKIT_MEMORY_LIMIT", "plenty")
    folder = finished if overwrite else tmp_path / "new"
    refused(tune, UsageError, "'plenty' is no size", tmp_path, folder=folder, overwrite=overwrite)


def test_a_model_that_does_not_fit_fails_before_anything_is_overwritten(finished, tune, monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "free_memory", lambda: 1000)
    before = contents(tmp_path)
    with pytest.raises(OutOfMemory, match="MiB even with one review at once") as why:
        tune(overwrite=True)
    assert why.value.exit_code == 1
    assert contents(tmp_path) == before


# --- overwriting and locking --------------------------------------------------------------------------------------


def test_overwrite_begins_again_and_leaves_nothing_of_the_run_before(finished, tune, whole):
    (finished / "results.json").write_text("{}")
    run = tune(overwrite=True, seed=1)
    assert run.record["settings"]["seed"] == 1
    assert {entry.name for entry in finished.iterdir()} == {entry.name for entry in whole.folder.iterdir()}
    assert weights(finished) != weights(whole.folder)


def test_a_run_whose_folder_and_parts_are_links_to_a_larger_disk_is_overwritten_there(tune, whole, tmp_path):
    disk, run = tmp_path / "disk", tmp_path / "run"
    run.symlink_to(disk / "run")  # which is not there yet
    tune()
    for name in ("model", "run.json"):
        (run / name).rename(disk / name)
        (run / name).symlink_to(disk / name)
    assert tune(overwrite=True, seed=1).record["settings"]["seed"] == 1
    assert run.is_symlink() and (run / "model").is_symlink() and (run / "run.json").is_symlink()
    assert weights(disk) == weights(run) != weights(whole.folder)
    assert {entry.name for entry in run.iterdir()} == {entry.name for entry in whole.folder.iterdir()}


@pytest.mark.parametrize("files", range(5))
def test_killed_while_overwriting_the_same_command_overwrites(files, finished, tune, whole, monkeypatch):
    for name in ("results.json", "report.html"):
        (finished / name).write_text("{}")
    removed: list[Any] = []

    def until_killed(plain: Callable[..., Any]) -> Callable[..., Any]:
        def remove(*arguments: Any, **named: Any) -> Any:
            removed.append(arguments)
            if len(removed) > files:
                raise Killed
            return plain(*arguments, **named)

        return remove

    with monkeypatch.context() as once:
        once.setattr(shutil, "rmtree", until_killed(shutil.rmtree))
        once.setattr(Path, "unlink", until_killed(Path.unlink))
        with pytest.raises(Killed):
            tune(overwrite=True)
    tune(overwrite=True)
    assert weights(finished) == weights(whole.folder)


def test_a_folder_in_which_another_process_trains_is_refused(tune, tmp_path):
    (tmp_path / "run").mkdir()
    holds = (
        "import sys, filelock; lock = filelock.FileLock(sys.argv[1]); lock.acquire(); "
        "print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", holds, str(tmp_path / "run" / ".lock")]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    try:
        other.stdout.readline()
        with pytest.raises(RunError, match="another process is training there"):
            tune()
        assert not (tmp_path / "run" / "run.json").exists()
    finally:
        other.kill()
        other.communicate()
    assert tune().record["status"] == "finished"  # what a killed process held is free


@pytest.mark.parametrize(
    "why", [OSError(errno.ENOLCK, "No locks available"), NotImplementedError("FileSystem does not support flock")]
)
def test_a_folder_on_a_drive_without_locks_is_refused_with_the_way_out(why, tune, monkeypatch):
    def none_to_be_had(lock: Any, **options: Any) -> None:
        raise why

    monkeypatch.setattr(filelock.FileLock, "acquire", none_to_be_had)
    with pytest.raises(RunError, match=r"run: no lock to be had there, .* name a folder on another drive"):
        tune()


@pytest.mark.parametrize("meanwhile", ["finished", "begun with other settings"])
def test_what_another_process_did_while_the_model_was_loading_is_not_trained_over(
    meanwhile, tune, whole, monkeypatch, tmp_path
):
    load = runs.load_encoder

    def load_slowly(*arguments: Any, **named: Any) -> Any:
        folder = Path(shutil.copytree(whole.folder, tmp_path / "run"))
        record = record_of(folder)
        if meanwhile != "finished":
            record["status"] = "running"
            record["settings"]["seed"] = 7
        (folder / "run.json").write_text(json.dumps(record))
        return load(*arguments, **named)

    monkeypatch.setattr(runs, "load_encoder", load_slowly)
    with pytest.raises(RunError):
        tune()
    assert weights(tmp_path / "run") == weights(whole.folder)


def test_the_lock_is_given_back_however_the_run_ends(tune, tmp_path):
    kill_after(1, tune)
    with filelock.FileLock(tmp_path / "run" / ".lock", timeout=0):
        pass


# --- memory -------------------------------------------------------------------------------------------------------


def test_a_run_with_little_memory_begins_with_smaller_micro_batches_and_says_so(tune, whole, monkeypatch):
    told: list[str] = []
    model = AutoModelForSequenceClassification.from_pretrained(whole.record["settings"]["model"])
    room = memory.state_bytes(model) + memory.activation_bytes(model, 3, 10)
    monkeypatch.setattr(runs, "free_memory", lambda: room)
    run = tune(tell=told.append)
    assert run.record["resolved"]["micro_batch_size"] in (2, 3)
    assert any("reviews at once in place of 6, accumulated to 16" in notice for notice in told)
    for little, plenty in zip(run.history, whole.history, strict=True):
        assert little.micro_batch_size == run.record["resolved"]["micro_batch_size"]
        assert math.isclose(little.learning_rate, plenty.learning_rate)


# --- real processes -----------------------------------------------------------------------------------------------


@pytest.fixture
def training_process(config: Config, tiny_file: Path, tmp_path: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a run without end in a process of its own, and comes back when it has written a checkpoint."""
    data, started = tmp_path / "reviews.csv", list[subprocess.Popen[str]]()
    rows = [f'{label},"{text}"' for text, label in zip(REVIEWS.texts, REVIEWS.labels, strict=True)]
    data.write_text("\n".join(["label,text", *rows]) + "\n")
    settings = [
        f"--set={name}={getattr(config, name)}" for name in ("model", "device", "precision", "checkpoint_seconds")
    ]
    command = [
        sys.executable,
        "-m",
        "labkit",
        "train",
        "--data",
        str(data),
        "--output",
        str(tmp_path / "run"),
        *settings,
    ]

    def start() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*command, "--set=epochs=100000", "--set=patience=100000"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        while not list((tmp_path / "run").glob("checkpoints/step-*")) and process.poll() is None:
            time.sleep(0.02)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(
    ("number", "code"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_a_signal_to_the_program_is_a_checkpoint_one_line_and_its_exit_code(number, code, training_process, tmp_path):
    process = training_process()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert errors.splitlines()[-1] == (
        f"labkit: stopped by {number.name}; a checkpoint is written, and the same command goes on from there"
    )
    assert "Traceback" not in errors
    assert len(list((tmp_path / "run" / "checkpoints").glob("step-*"))) in (1, 2)


@pytest.mark.slow
def test_kill_9_at_random_moments_ends_with_the_weights_of_an_uninterrupted_run(tmp_path):
    moments = kill_and_resume.try_moments(tmp_path, kills=3, generator=random.Random(0))
    assert [moment.same for moment in moments] == [True] * 3


def test_splits_of_the_words_are_large_enough():
    assert min(split_reviews(REVIEWS).test.class_counts) >= 2

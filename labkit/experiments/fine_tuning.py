"""Fine-tune an encoder into a run's folder, or go on with the run that was begun there.

What the folder holds is run_folder.py's. Does not compare models (comparison.py).
"""

import dataclasses
import json
import platform
import shutil
import signal
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from labkit.data.batching import Batcher
from labkit.data.reviews import CLASS_NAMES, Reviews
from labkit.data.splits import Splits, split_reviews
from labkit.data.tokens import tokenize_parts
from labkit.display import Tell
from labkit.errors import LabkitError
from labkit.evaluation.metrics import EvalResult
from labkit.experiments.run_folder import (
    CARD_FILE,
    CONFIG_FILE,
    OURS,
    TEST_FILE,
    RunError,
    RunFolder,
    check_folder,
    differences,
    locked,
    read_record,
)
from labkit.files import atomic_folder, write_atomically
from labkit.models.encoders import freeze, load_encoder, quiet_transformers, registry_entry
from labkit.training.checkpoints import CheckpointFolder
from labkit.training.config import Config, ConfigError
from labkit.training.fit import EpochRecord, TrainingStopped, evaluate, fit
from labkit.training.memory import free_memory, micro_batch_that_fits
from labkit.training.precision import choose_device, choose_precision, suitable_multiple

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PACKAGES = ("labkit", "torch", "transformers", "tokenizers", "safetensors", "numpy", "scikit-learn")


class Interrupted(LabkitError):
    """Ctrl-C or SIGTERM; a checkpoint was written where there was something to keep."""

    def __init__(self, signal_number: int, text: str) -> None:
        super().__init__(text)
        self.exit_code = 128 + signal_number

    def __reduce__(self) -> tuple[type, tuple[int, str]]:  # so that it comes whole out of a process of joblib's
        return Interrupted, (self.exit_code - 128, str(self))


@dataclass(frozen=True)
class FineTuned:
    """A finished run: its folder and record, and its result on the test split."""

    folder: Path
    record: Mapping[str, Any]
    test: EvalResult
    splits: Splits

    @property
    def history(self) -> list[EpochRecord]:
        """One record an epoch."""
        return [EpochRecord(**epoch) for epoch in self.record["history"]]


class StopRequest:
    """Ctrl-C and SIGTERM as a request that training honours between two steps, while the block runs.

    A second Ctrl-C ends the program at once. In another thread than the main one signals stay with whoever has them.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopRequest":
        in_main_thread = threading.current_thread() is threading.main_thread()
        for number in (signal.SIGINT, signal.SIGTERM) if in_main_thread else ():
            self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _take(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            raise KeyboardInterrupt
        self.signal = number


def fine_tune(
    config: Config,
    reviews: Reviews,
    folder: Path,
    *,
    splits: Splits | None = None,
    overwrite: bool = False,
    progress: bool = True,
    tell: Tell = print,
) -> FineTuned:
    """Fine-tune an encoder on labelled reviews in a run's folder, or go on with the run that was begun there.

    splits: in place of those that `split_reviews` makes; `reviews` are then all of theirs, in an order that tells these splits
    from others. Raises, before anything is written: UsageError and its kin for settings, reviews or a folder that cannot be
    used. Raises Interrupted after Ctrl-C or SIGTERM, LabkitError where training fails; the last checkpoint then stands.
    """
    splits = splits or _splits_of(reviews, config)
    there = check_folder(folder, config, reviews, overwrite)
    precision = choose_precision(
        there["resolved"]["precision"] if there else config.precision, choose_device(config.device)
    )
    model, tokenizer = load_encoder(config.model, config.seed, pretrained=config.pretrained, dropout=config.dropout)
    check_max_length(model, config)
    freeze(model, config.freeze)

    multiple = config.pad_to_multiple_of or suitable_multiple(precision)
    batchers = make_batchers(splits, tokenizer, config, multiple)
    micro_batch_size = 0 if there else _micro_batch(model, config, batchers["train"], tell)
    with locked(folder), StopRequest() as stop:
        if check_folder(folder, config, reviews, overwrite) != there:
            raise RunError(f"{folder}: another process was at work there meanwhile; run the same command again")
        if there:
            tell(f"going on with the run in {folder}")
            run = RunFolder(folder, there, tell)
        else:
            run = _begin(folder, config, reviews, splits, batchers, model, precision.name, micro_batch_size, tell)
        write_atomically(folder / CONFIG_FILE, config.to_toml())
        for notice in (*reviews.notes, *_truncation_notes(batchers), *([precision.notice] if precision.notice else [])):
            run.note(notice)
        _train(run, model, batchers, config, stop, progress)
        result = _finish(run, model, tokenizer, batchers["test"], splits.test, config)
    return FineTuned(folder, run.record, result, splits)


def _splits_of(reviews: Reviews, config: Config) -> Splits:
    sizes = config.validation_fraction, config.train_examples, config.validation_examples
    return split_reviews(reviews, config.seed, *sizes)


def finished_run(folder: Path, config: Config, reviews: Reviews, splits: Splits | None = None) -> FineTuned | None:
    """The run in a folder if it is finished and was begun with these settings and reviews; None otherwise."""
    record = read_record(folder) if folder.is_dir() else None
    if record is None or record["status"] != "finished" or differences(record, config, reviews):
        return None
    rows = json.loads((folder / TEST_FILE).read_text("utf-8"))
    loss, name = record["test"]["loss"], config.model_name
    test = EvalResult(rows["labels"], rows["probabilities"], loss, name, ids=rows["ids"])
    return FineTuned(folder, record, test, splits or _splits_of(reviews, config))


def make_batchers(
    splits: Splits, tokenizer: "PreTrainedTokenizerBase", config: Config, multiple: int = 1
) -> dict[str, Batcher]:
    """The tokenized reviews of each split, ready to be put into batches as the settings say."""
    texts = {name: part.texts for name, part in vars(splits).items()}
    tokenized = tokenize_parts(texts, tokenizer, config.max_length, config.truncation)
    return {
        name: Batcher(tokenized[name], part.labels, config.batching, config.max_length, multiple)
        for name, part in vars(splits).items()
    }


def check_max_length(model: "PreTrainedModel", config: Config) -> None:
    """Raises ConfigError where `max_length` asks for more positions than the model has."""
    positions = getattr(model.config, "max_position_embeddings", config.max_length)
    if config.max_length > positions:
        raise ConfigError(f"max_length = {config.max_length} is more than the {positions} positions of {config.model}")


def _begin(
    folder: Path,
    config: Config,
    reviews: Reviews,
    splits: Splits,
    batchers: Mapping[str, Batcher],
    model: "PreTrainedModel",
    precision: str,
    micro_batch_size: int,
    tell: Tell,
) -> RunFolder:
    """The record of a new run, in place of whatever run was there."""
    for name in OURS:
        old = folder / name
        shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)
    run = RunFolder(folder, {"format": 1, "status": "running", "history": [], "notices": []}, tell)
    run.write(
        settings=dataclasses.asdict(config),
        resolved={
            "learning_rate": config.learning_rate or registry_entry(config.model).learning_rate,
            "precision": precision,
            "micro_batch_size": micro_batch_size,
        },
        data={
            "name": reviews.name,
            "hash": reviews.hash,
            "examples": {name: len(part) for name, part in vars(splits).items()},
            "class_counts": {name: part.class_counts for name, part in vars(splits).items()},
            "lengths": {name: batcher.tokenized.lengths.tolist() for name, batcher in batchers.items()},
        },
        model={"name": config.model, "parameters": sum(parameter.numel() for parameter in model.parameters())},
        environment=environment(precision),
    )
    return run


def _micro_batch(model: "PreTrainedModel", config: Config, train: Batcher, tell: Tell) -> int:
    """On the CPU an allocation that is too large may get the process killed, so the memory is estimated beforehand."""
    if choose_device(config.device).type != "cpu":
        return config.largest_micro_batch
    length = config.max_length if config.batching == "fixed" else int(train.tokenized.lengths.max())
    free = free_memory()
    size = micro_batch_that_fits(model, config.largest_micro_batch, length, free)
    if size < config.largest_micro_batch:
        tell(
            f"{free / 2**20:,.0f} MiB are free: {size} reviews at once in place of {config.largest_micro_batch}, "
            f"accumulated to {config.batch_size}"
        )
    return size


def _train(
    run: RunFolder,
    model: "PreTrainedModel",
    batchers: Mapping[str, Batcher],
    config: Config,
    stop: StopRequest,
    progress: bool,
) -> None:
    resolved = run.record["resolved"]
    try:
        for record in fit(
            model,
            batchers["train"],
            batchers["validation"],
            dataclasses.replace(config, micro_batch_size=resolved["micro_batch_size"], precision=resolved["precision"]),
            resolved["learning_rate"],
            checkpoints=CheckpointFolder(run.folder / "checkpoints", run.note),
            progress=progress,
            tell=run.note,
            should_stop=lambda: stop.signal is not None,
        ):
            history = run.record["history"][: record.epoch]
            if len(run.record["history"]) <= record.epoch:
                run.tell(str(record))
            run.write(history=[*history, dataclasses.asdict(record)])
            if stop.signal is not None:
                raise TrainingStopped
    except TrainingStopped:
        name = signal.Signals(stop.signal or signal.SIGINT).name
        text = f"stopped by {name}; a checkpoint is written, and the same command goes on from there"
        raise Interrupted(stop.signal or signal.SIGINT, text) from None


def _finish(
    run: RunFolder,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    test: Batcher,
    reviews: Reviews,
    config: Config,
) -> EvalResult:
    """Test the best weights, save them as a plain model with its card, and close the run."""
    precision = choose_precision(run.record["resolved"]["precision"], choose_device(config.device))
    evaluation = evaluate(model, test, config, precision)
    labels, logits = evaluation.labels.numpy(), evaluation.logits.numpy()
    result = EvalResult.from_logits(labels, logits, config.model_name, ids=reviews.ids)
    card = model_card(run.record, result)
    save_model(run.folder / "model", model, tokenizer, config, card)
    write_atomically(run.folder / CARD_FILE, card)
    rows = {"ids": list(reviews.ids), "labels": result.labels.tolist(), "probabilities": result.probabilities.tolist()}
    write_atomically(run.folder / TEST_FILE, json.dumps(rows) + "\n")
    run.write(
        status="finished", test={"examples": len(result), "loss": result.loss, "accuracy": float(result.correct.mean())}
    )
    shutil.rmtree(run.folder / "checkpoints", ignore_errors=True)
    return result


def save_model(
    folder: Path, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", config: Config, card: str
) -> None:
    """Save a classifier so that plain transformers loads it; `labkit.json` beside it keeps how texts were cut.

    The card goes with it, since a model's folder is what people pass on.
    """
    from safetensors import SafetensorError

    try:
        with quiet_transformers(), atomic_folder(folder) as unfinished:
            model.save_pretrained(unfinished, safe_serialization=True)
            tokenizer.save_pretrained(unfinished)
            kept = {"max_length": config.max_length, "truncation": config.truncation}
            (unfinished / "labkit.json").write_text(json.dumps(kept) + "\n")
            (unfinished / "README.md").write_text(card, "utf-8")
    except (OSError, SafetensorError) as why:
        raise LabkitError(f"{folder}: the model could not be saved ({why}); run the same command again") from None


def model_card(record: Mapping[str, Any], result: EvalResult) -> str:
    """The model's card: what it is, on what it was trained, what it scores and what it must not be trusted with."""
    import jinja2

    loader = jinja2.PackageLoader("labkit", "templates")
    template = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True).get_template(
        "model_card.md"
    )
    return template.render(record=record, result=result, classes=CLASS_NAMES, accuracy=float(result.correct.mean()))


def environment(precision: str) -> dict[str, Any]:
    """Versions, device and processor: what a number needs beside it to be had again."""
    import torch

    device = choose_device()
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: _version(name) for name in PACKAGES},
        "device": torch.cuda.get_device_name() if device.type == "cuda" else device.type,
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "precision": precision,
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed as a package"


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        names = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        if names:
            return names[0]
    return platform.processor() or platform.machine()


def _truncation_notes(batchers: Mapping[str, Batcher]) -> list[str]:
    cut = sum(int(batcher.tokenized.truncated.sum()) for batcher in batchers.values())
    width = max(int(batcher.tokenized.lengths.max()) for batcher in batchers.values())
    return [f"{cut:,} reviews are longer than max_length and were truncated to {width} tokens"] if cut else []

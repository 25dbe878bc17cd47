"""Fine-tuning into a run's folder: beginning a run there, or going on with it.

What the folder holds is run_folder.py's. Does not compare models (comparison.py).
"""

import contextlib
import copy
import dataclasses
import json
import platform
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
from labkit.display import SURROGATES, Tell
from labkit.errors import LabkitError
from labkit.evaluation.metrics import EvalResult
from labkit.experiments.run_folder import (
    CARD_FILE,
    CHECKPOINTS,
    CONFIG_FILE,
    FORMAT,
    OURS,
    RUN_FILE,
    TEST_FILE,
    RunError,
    RunFolder,
    check_folder,
    differences,
    locked,
    making_sense_of,
    read_record,
    read_test,
    remove_checkpoints_of_finished,
)
from labkit.files import atomic_folder, remove, write_atomically
from labkit.models.encoders import freeze, load_encoder, quiet_transformers
from labkit.models.soundness import check_vocabulary, positions_of
from labkit.models.unpadded import Unpadded
from labkit.training.checkpoints import CheckpointFolder
from labkit.training.config import NEVER_CHANGE_THE_RESULT, Config, ConfigError
from labkit.training.fit import TrainingStopped, evaluate, fit
from labkit.training.loop import EpochRecord
from labkit.training.memory import free_memory, micro_batch_that_fits
from labkit.training.precision import choose_device, suitable_precision

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
    """Within the block, Ctrl-C and SIGTERM ask training to stop between two steps.

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
    """Fine-tune an encoder on labelled reviews in a run's folder.

    The same call goes on with a run that was begun there. splits: in place of those that `split_reviews` makes; `reviews`
    are then all of theirs, in an order that tells these splits from others. Raises, before anything is written:
    UsageError and its kin for settings, reviews or a folder that cannot be used. Raises Interrupted after Ctrl-C or
    SIGTERM, LabkitError where training fails; the last checkpoint then stands.
    """
    splits = splits or _splits_of(reviews, config)
    there = check_folder(folder, config, reviews, overwrite)
    may_change = ("device", *NEVER_CHANGE_THE_RESULT)  # a run may go on on another machine; all else it keeps
    chosen = {name: value for name, value in there["resolved"].items() if name not in may_change} if there else {}
    notices: list[str] = []
    model, tokenizer, resolved = _model_for(config, chosen, notices.append)
    batchers = make_batchers(splits, tokenizer, resolved)
    for batcher in batchers.values():
        check_vocabulary(model, tokenizer, batcher.tokenized.input_ids, config.model)
    if not there:
        resolved = _with_micro_batch_that_fits(resolved, model, batchers["train"], tell)
    with locked(folder), StopRequest() as stop:
        if check_folder(folder, config, reviews, overwrite) != there:
            raise RunError(f"{folder}: another process was at work there meanwhile; run the same command again")
        if there:
            tell(f"going on with the run in {folder}")
            run = RunFolder(folder, there, tell)
            run.write(resolved=dataclasses.asdict(resolved))
        else:
            run = _begin(folder, config, resolved, reviews, splits, batchers, model, tell)
        write_atomically(folder / CONFIG_FILE, config.to_toml())
        slow = resolved.chosen_precision().notice
        for notice in (*notices, *reviews.notes, *_truncation_notes(batchers), *([slow] if slow else [])):
            run.note(notice)
        _train(run, model, batchers, resolved, stop, progress)
        result = _finish(run, model, tokenizer, batchers["test"], splits.test, resolved)
    return FineTuned(folder, run.record, result, splits)


def _model_for(
    config: Config, chosen: dict[str, Any], tell: Tell
) -> "tuple[PreTrainedModel, PreTrainedTokenizerBase, Config]":
    """The model to train, its tokenizer, and the config resolved for it. Raises UsageError where they do not fit each other.

    chosen: what an earlier part of the run resolved.
    """
    resolved = config.replaced(chosen).resolved()
    model, tokenizer = load_encoder(
        config.model,
        config.seed,
        pretrained=config.pretrained,
        dropout=config.dropout,
        head=config.head,
        tell=tell,
    )
    check_max_length(model, config)
    if config.batching == "packed":
        Unpadded(model)  # which refuses a family that it does not know
    precision = suitable_precision(model, resolved.chosen_precision(), config.precision, tell)
    if precision.name != resolved.precision:
        resolved = config.replaced(chosen | {"precision": precision.name}).resolved()
    freeze(model, config.freeze)
    return model, tokenizer, resolved


def _splits_of(reviews: Reviews, config: Config) -> Splits:
    sizes = config.validation_fraction, config.train_examples, config.validation_examples
    return split_reviews(reviews, config.seed, *sizes)


def finished_run(folder: Path, config: Config, reviews: Reviews, splits: Splits | None = None) -> FineTuned | None:
    """Return a folder's run if it is finished and has these settings and reviews."""
    record = read_record(folder)
    if record is None or record["status"] != "finished" or differences(record, config, reviews):
        return None
    _, test = read_test(folder, record, config.model_name)
    with making_sense_of(folder / RUN_FILE):
        _ = [EpochRecord(**epoch) for epoch in record["history"]]
    remove_checkpoints_of_finished(folder)
    return FineTuned(folder, record, test, splits or _splits_of(reviews, config))


def make_batchers(splits: Splits, tokenizer: "PreTrainedTokenizerBase", config: Config) -> dict[str, Batcher]:
    """Tokenize the reviews of each split, to be put into batches as the settings say."""
    multiple = config.pad_to_multiple_of or 1
    texts = {name: part.texts for name, part in vars(splits).items()}
    tokenized = tokenize_parts(texts, tokenizer, config.max_length, config.truncation)
    return {
        name: Batcher(tokenized[name], part.labels, config.batching, config.max_length, multiple)
        for name, part in vars(splits).items()
    }


def check_max_length(model: "PreTrainedModel", config: Config) -> None:
    """Raise ConfigError where `max_length` is more than the model has positions."""
    positions = positions_of(model)
    if positions is not None and config.max_length > positions:
        raise ConfigError(f"max_length = {config.max_length} is more than the {positions} positions of {config.model}")


def _begin(
    folder: Path,
    config: Config,
    resolved: Config,
    reviews: Reviews,
    splits: Splits,
    batchers: Mapping[str, Batcher],
    model: "PreTrainedModel",
    tell: Tell,
) -> RunFolder:
    """Begin the record of a new run, in place of whatever run was there."""
    CheckpointFolder(folder / CHECKPOINTS).remove()
    for name in OURS:
        remove(folder / name)
    run = RunFolder(folder, {"format": FORMAT, "status": "running", "history": [], "notices": []}, tell)
    run.write(
        settings=dataclasses.asdict(config),
        resolved=dataclasses.asdict(resolved),
        data={
            "name": reviews.name,
            "hash": reviews.hash,
            "examples": {name: len(part) for name, part in vars(splits).items()},
            "class_counts": {name: part.class_counts for name, part in vars(splits).items()},
            "lengths": {name: batcher.tokenized.lengths.tolist() for name, batcher in batchers.items()},
        },
        model={"name": config.model, "parameters": sum(parameter.numel() for parameter in model.parameters())},
        environment=environment(resolved.precision, resolved.device),
    )
    return run


def _with_micro_batch_that_fits(config: Config, model: "PreTrainedModel", train: Batcher, tell: Tell) -> Config:
    """Lower the micro-batch to what is estimated to fit into the memory of a CPU.

    There an allocation that is too large may get the process killed; a GPU's can be tried.
    """
    if choose_device(config.device).type != "cpu":
        return config
    length = config.max_length if config.batching == "fixed" else int(train.tokenized.lengths.max())
    free = free_memory()
    size = micro_batch_that_fits(model, config.largest_micro_batch, length, free)
    if size < config.largest_micro_batch:
        tell(
            f"{free / 2**20:,.0f} MiB are free: {size} reviews at once in place of {config.largest_micro_batch}, "
            f"accumulated to {config.batch_size}"
        )
    return config.replaced({"micro_batch_size": size})


def _train(
    run: RunFolder,
    model: "PreTrainedModel",
    batchers: Mapping[str, Batcher],
    config: Config,
    stop: StopRequest,
    progress: bool,
) -> None:
    try:
        for record in fit(
            model,
            batchers["train"],
            batchers["validation"],
            config,
            checkpoints=CheckpointFolder(run.folder / CHECKPOINTS, run.note),
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
    """Test the best weights, save them with their card, and close the run."""
    evaluation = evaluate(model, test, config, config.chosen_precision())
    labels, logits = evaluation.labels.numpy(), evaluation.logits.numpy()
    result = EvalResult.from_logits(labels, logits, name=config.model_name, ids=reviews.ids)
    card = SURROGATES.sub("\N{REPLACEMENT CHARACTER}", model_card(run.record, result))
    save_model(run.folder / "model", model, tokenizer, config, card)
    write_atomically(run.folder / CARD_FILE, card)
    parts = {name: getattr(result, name).tolist() for name in ("labels", "probabilities", "log_probabilities")}
    rows = {"ids": list(reviews.ids), **parts}
    write_atomically(run.folder / TEST_FILE, json.dumps(rows) + "\n")
    run.write(
        status="finished", test={"examples": len(result), "loss": result.loss, "accuracy": float(result.correct.mean())}
    )
    with contextlib.suppress(OSError):  # the run is finished all the same
        CheckpointFolder(run.folder / CHECKPOINTS).remove()
    return result


def save_model(
    folder: Path, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", config: Config, card: str
) -> None:
    """Save a classifier so that plain transformers loads it.

    A plain pipeline with truncation cuts in the same place, but for `head+tail`, which it cannot do. The card goes with the
    model, since a model's folder is what people pass on.
    """
    from safetensors import SafetensorError

    try:
        with quiet_transformers(), atomic_folder(folder) as unfinished:
            model.save_pretrained(unfinished, safe_serialization=True)
            _as_cut(tokenizer, config).save_pretrained(unfinished)
            kept = {"max_length": config.max_length, "truncation": config.truncation}
            (unfinished / "labkit.json").write_text(json.dumps(kept) + "\n")
            (unfinished / "README.md").write_text(card, "utf-8", "backslashreplace")
    except (OSError, SafetensorError) as why:
        raise LabkitError(f"{folder}: the model could not be saved ({why}); run the same command again") from None


def _as_cut(tokenizer: "PreTrainedTokenizerBase", config: Config) -> "PreTrainedTokenizerBase":
    """A copy of the tokenizer that cuts, when it is asked to, where this run did."""
    side = "left" if config.truncation == "tail" else "right"
    kept = {"model_max_length": config.max_length, "truncation_side": side, "padding_side": "right"}
    copied = copy.deepcopy(tokenizer)
    for name, value in kept.items():
        setattr(copied, name, value)
    copied.init_kwargs |= kept  # a tokenizer saves only those that it was made with
    return copied


def model_card(record: Mapping[str, Any], result: EvalResult) -> str:
    """Write the model's card: what it is, what it scores, what not to trust it with."""
    import jinja2

    loader = jinja2.PackageLoader("labkit", "templates")
    template = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True).get_template(
        "model_card.md"
    )
    return template.render(record=record, result=result, classes=CLASS_NAMES, accuracy=float(result.correct.mean()))


def environment(precision: str, device_name: str = "auto") -> dict[str, Any]:
    """Versions, device and processor: what a number needs beside it to be had again."""
    import torch

    device = choose_device(device_name)
    packages = dict.fromkeys(PACKAGES, "not installed as a package")
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            packages[name] = metadata.version(name)
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    processors = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processor": processors[0] if processors else platform.processor() or platform.machine(),
        "threads": torch.get_num_threads(),
        "precision": precision,
    }


def _truncation_notes(batchers: Mapping[str, Batcher]) -> list[str]:
    cut = sum(int(batcher.tokenized.truncated.sum()) for batcher in batchers.values())
    width = max(int(batcher.tokenized.lengths.max()) for batcher in batchers.values())
    return [f"{cut:,} reviews are longer than max_length and were truncated to {width} tokens"] if cut else []

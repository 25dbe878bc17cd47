"""Training speed beside the Hugging Face Trainer: the same model, reviews, batch, precision, optimizer and schedule.

    python benchmarks/training_speed.py --examples 2048 --rounds 3 --precision fp32

Each row is a fresh process; the rows take turns within a round and change their order from round to round. The clock runs from
the start of training to the end of its last step, so making the optimizer counts; tokenizing, loading the weights and the
evaluation afterwards do not. Quote the ratios, each of which comes from one round, and not the absolutes. The Trainer needs
accelerate: pip install -e ".[benchmark]".
"""

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from labkit.batching import Batcher

HELD_OUT = 512  # reviews on which the losses are compared afterwards
PEER = "trainer"
ROWS = {
    "labkit": "labkit, length buckets (its default)",
    "labkit-dynamic": "labkit, dynamic padding",
    "labkit-packed": "labkit, packed",
    PEER: "Hugging Face Trainer, dynamic padding (its default)",
    "trainer-grouped": "Hugging Face Trainer, grouped by length",
}
BATCHING = {"labkit": "buckets", "labkit-dynamic": "dynamic", "labkit-packed": "packed"}


@dataclass(frozen=True)
class Setting:
    """What all rows have in common."""

    model: str = "minilm"
    examples: int = 2048
    batch_size: int = 32
    epochs: int = 1
    precision: str = "fp32"
    learning_rate: float = 1e-4
    weight_decay: float = 0.01
    warmup_ratio: float = 0.1
    max_grad_norm: float = 1.0
    seed: int = 0

    @property
    def steps(self) -> int:
        """Optimizer steps in the whole training."""
        return self.epochs * -(-self.examples // self.batch_size)


def main() -> None:
    """Measure every row in every round, print the table, write the JSON."""
    arguments = _parser().parse_args()
    setting = Setting(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Setting)})
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, setting, arguments.reviews)))
        return
    if "labkit" not in arguments.rows or PEER not in arguments.rows:
        raise SystemExit(f"--rows: wanted labkit and {PEER} among them, for the ratio of the two")
    with tempfile.TemporaryDirectory() as folder:
        reviews = Path(folder) / "reviews.npz"
        tokenize_once(setting, reviews)
        rounds = []
        for number in range(arguments.rounds):
            rows = arguments.rows if number % 2 == 0 else arguments.rows[::-1]
            rounds.append({row: in_fresh_process(row, setting, reviews) for row in rows})
    report = {"setting": asdict(setting), "machine": machine(setting.precision), "rounds": rounds}
    print(as_table(report))
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(f"written to {arguments.output}")


def tokenize_once(setting: Setting, path: Path) -> None:
    """Write the tokenized movie reviews that every row trains on, and those that are held out, to a file."""
    from labkit.encoders import encoder_folder
    from labkit.reviews import movie_reviews, split_reviews
    from labkit.tokens import load_tokenizer, tokenize

    splits = split_reviews(movie_reviews(), setting.seed)
    if setting.examples > len(splits.train):
        raise SystemExit(f"--examples {setting.examples}: there are {len(splits.train)} training reviews")
    chosen = np.random.default_rng(setting.seed).permutation(len(splits.train))[: setting.examples]
    tokenizer = load_tokenizer(encoder_folder(setting.model))
    arrays: dict[str, Any] = {"pad_token_id": np.array(tokenizer.pad_token_id)}
    for name, part in (("train", splits.train.select(chosen)), ("held_out", splits.validation.select(range(HELD_OUT)))):
        tokenized = tokenize(part.texts, tokenizer)
        arrays[f"{name}_ids"], arrays[f"{name}_lengths"] = np.concatenate(tokenized.input_ids), tokenized.lengths
        arrays[f"{name}_labels"] = part.labels
    np.savez(path, **arrays)


def in_fresh_process(row: str, setting: Setting, reviews: Path) -> dict[str, Any]:
    """What one row measured in a process of its own, and how busy the machine was before."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    options = [f"--{name.replace('_', '-')}={value}" for name, value in asdict(setting).items()]
    command = [sys.executable, __file__, f"--measure={row}", f"--reviews={reviews}", *options]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{row}: its process ended with exit code {done.returncode}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    print(f"{row:16}{measured['reviews_per_second']:8.1f} reviews/s", file=sys.stderr, flush=True)
    return measured | {"load_before": load}


def measure(row: str, setting: Setting, path: Path) -> dict[str, Any]:
    """Train once in this process: the speed, and the losses by which one sees that all rows learned."""
    from labkit.config import Config
    from labkit.encoders import load_encoder
    from labkit.training import evaluate

    train, held_out = _batcher(path, "train", row), _batcher(path, "held_out", row)
    model, tokenizer = load_encoder(setting.model, setting.seed)
    run = train_with_trainer if row.startswith(PEER) else train_with_labkit
    seconds, steps = run(row, model, tokenizer, train, setting)
    if steps != setting.steps:
        raise SystemExit(f"{row}: took {steps} optimizer steps, wanted {setting.steps}")
    return {
        "reviews_per_second": setting.epochs * setting.examples / seconds,
        "seconds": seconds,
        "train_loss": evaluate(model, _first(train, HELD_OUT), Config(batching=train.batching)).loss,
        "held_out_loss": evaluate(model, held_out, Config(batching=train.batching)).loss,
        "peak_memory_mib": _peak_memory_mib(),
    }


def train_with_labkit(
    row: str, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", train: "Batcher", setting: Setting
) -> tuple[float, int]:
    """Seconds to the end of the last step, and the steps, by `labkit.training.fit` with all its bookkeeping."""
    from labkit.config import Config
    from labkit.training import fit

    shared = ("epochs", "batch_size", "precision", "weight_decay", "warmup_ratio", "max_grad_norm", "seed")
    config = Config(**{name: getattr(setting, name) for name in shared}, batching=train.batching)
    step_ends: list[float] = []
    started = time.perf_counter()
    for _ in fit(
        model,
        train,
        _first(train, 2),  # between two epochs fit validates; the Trainer is not asked to
        config,
        setting.learning_rate,
        progress=False,
        tell=lambda notice: print(notice, file=sys.stderr),
        after_step=lambda record: step_ends.append(_now(last=len(step_ends) + 1 == setting.steps)),
    ):
        pass
    return step_ends[-1] - started, len(step_ends)


def train_with_trainer(
    row: str, model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", train: "Batcher", setting: Setting
) -> tuple[float, int]:
    """Seconds to the end of the last step, and the steps, by the Hugging Face Trainer without saving and logging."""
    import torch
    from transformers import DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments

    step_ends: list[float] = []

    class Clock(TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *arguments: object, **named: object) -> None:
            step_ends.append(_now(last=len(step_ends) + 1 == setting.steps))

    rows = [
        {"input_ids": ids.tolist(), "attention_mask": [1] * len(ids), "labels": int(label)}
        for ids, label in zip(train.tokenized.input_ids, train.labels, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        arguments = TrainingArguments(
            folder,
            num_train_epochs=setting.epochs,
            per_device_train_batch_size=setting.batch_size,
            learning_rate=setting.learning_rate,
            weight_decay=setting.weight_decay,
            warmup_steps=int(setting.warmup_ratio * setting.steps),
            max_grad_norm=setting.max_grad_norm,
            seed=setting.seed,
            bf16=setting.precision == "bf16",
            fp16=setting.precision == "fp16",
            use_cpu=not torch.cuda.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
            train_sampling_strategy="group_by_length" if row == "trainer-grouped" else "random",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )
        collator = DataCollatorWithPadding(tokenizer)
        Trainer(model, arguments, data_collator=collator, train_dataset=rows, callbacks=[Clock()]).train()
    return step_ends[-1] - started, len(step_ends)


def _now(last: bool) -> float:
    """The clock; after the last step only when a GPU has finished what it was given."""
    import torch

    if last and torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def machine(precision: str) -> dict[str, Any]:
    """What a figure needs beside it."""
    from importlib.metadata import version

    from labkit.runs import environment

    found = environment(precision)
    found["packages"]["accelerate"] = version("accelerate")
    return found | {"cores": os.cpu_count(), "node": platform.machine()}


def as_table(report: dict[str, Any]) -> str:
    """The report as Markdown: speed of each row, its ratio to the Trainer round by round, and the losses."""
    rounds, setting, found = report["rounds"], report["setting"], report["machine"]
    packages = ", ".join(f"{name} {found['packages'][name]}" for name in ("torch", "transformers", "accelerate"))
    heads = [f"round {number}" for number in range(1, len(rounds) + 1)]
    lines = [
        f"{setting['model']}, {setting['examples']} reviews, batch {setting['batch_size']}, {setting['precision']}; "
        f"{found['processor']} ({found['device']}), {found['threads']} threads; {packages}",
        "",
        f"| training | reviews/s | ratio to the Trainer, {' | '.join(heads)} | median | training loss | held out | peak MiB |",
        "|---" * (len(rounds) + 6) + "|",
    ]
    for row in rounds[0]:
        ratios = [measured[row]["reviews_per_second"] / measured[PEER]["reviews_per_second"] for measured in rounds]
        middle = {
            name: median(measured[row][name] for measured in rounds) for name in rounds[0][row] if name != "load_before"
        }
        cells = [ROWS[row], f"{middle['reviews_per_second']:.1f}", *(f"{ratio:.2f}" for ratio in ratios)]
        cells += [f"{median(ratios):.2f}", f"{middle['train_loss']:.4f}", f"{middle['held_out_loss']:.4f}"]
        lines.append(f"| {' | '.join(cells)} | {middle['peak_memory_mib']:.0f} |")
    return "\n".join(lines)


def _batcher(path: Path, name: str, row: str) -> "Batcher":
    from labkit.batching import Batcher
    from labkit.tokens import Tokenized

    with np.load(path) as arrays:
        lengths = arrays[f"{name}_lengths"]
        input_ids = np.split(arrays[f"{name}_ids"], np.cumsum(lengths)[:-1])
        tokenized = Tokenized(input_ids, np.zeros(len(lengths), dtype=bool), int(arrays["pad_token_id"]))
        return Batcher(tokenized, arrays[f"{name}_labels"], BATCHING.get(row, "dynamic"))


def _first(reviews: "Batcher", count: int) -> "Batcher":
    kept = dataclasses.replace(
        reviews.tokenized,
        input_ids=list(reviews.tokenized.input_ids[:count]),
        truncated=reviews.tokenized.truncated[:count],
    )
    return dataclasses.replace(reviews, tokenized=kept, labels=reviews.labels[:count])


def _peak_memory_mib() -> float | None:
    """The most memory this process has held; None on Windows, which does not say."""
    try:
        import resource
    except ImportError:
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for field in dataclasses.fields(Setting):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=["labkit", PEER], help=json.dumps(ROWS, indent=1))
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--measure", choices=ROWS, help=argparse.SUPPRESS)
    parser.add_argument("--reviews", type=Path, help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()

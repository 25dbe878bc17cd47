"""What training takes in memory, and what each way to lower it costs in speed.

    python benchmarks/memory.py                        every row; the same command goes on after an interruption
    python benchmarks/memory.py --rows fast fast-half  these rows only

The shape is BERT base's, 32 reviews of 128 tokens a batch. Each row is a process of its own: one optimizer step to warm
up, then the steps that are timed. Writes `MEMORY.md` and `memory.json`. What fits into 8 GB on a GPU is counted, and
measured beside it where the device is one.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from side_by_side.journal import Journal, digest_of_files
from side_by_side.processes import BENCHMARKS, LAST_LINES, prepared
from side_by_side.rounds import DISTURBED
from side_by_side.rows import BERT_BASE, Row, Setting
from side_by_side.running import WORK, measuring_files, write
from side_by_side.table import MODELS, grid, machine_line
from side_by_side.watch import Watch, peak_memory_mib, wait_until_quiet

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

NAME, NUMBERS, PAGE = "memory", "memory.json", "MEMORY.md"
LENGTH, MIB = 128, 2**20
CARD, SET_ASIDE = 8 * 2**30, 2**30  # of a GPU; for CUDA's context, workspaces, gaps between tensors and a screen


@dataclass(frozen=True)
class Way:
    """A row and what it does to lower memory.

    freeze: of encoders.freeze. factored: Adafactor in place of AdamW.
    """

    row: Row
    freeze: str = "nothing"
    checkpointing: bool = False
    factored: bool = False


def _way(
    name: str, about: str, precision: str = "fp32", micro: int | None = None, plain: bool = False, **does: Any
) -> Way:
    path = "off" if plain else "full"
    return Way(
        Row(name, about, "labkit", precision=precision, fast_path=path, micro_batch_size=micro, length=LENGTH), **does
    )


WAYS = (
    _way("plain", "Hugging Face's forward pass, fp32", plain=True),
    _way("fast", "labkit's fast path, fp32"),
    _way("fast-8", "the same, micro-batch 8, 4 accumulated", micro=8),
    _way("fast-1", "the same, micro-batch 1, 32 accumulated", micro=1),
    _way("fast-half", "fast path, half", "half"),
    _way("fast-half-8", "the same, micro-batch 8, 4 accumulated", "half", 8),
    _way("checkpointing", "Hugging Face's forward pass, fp32, gradient checkpointing (1)", plain=True, checkpointing=True),
    _way("frozen-embeddings", "fast path, fp32, embeddings frozen", freeze="embeddings"),
    _way("frozen-encoder", "fast path, fp32, encoder frozen", freeze="encoder"),
    _way("adafactor", "fast path, fp32, Adafactor (2)", factored=True),
)  # fmt: skip
NOTES = (
    '(1) `model.gradient_checkpointing_enable()`, which only the model\'s own forward pass knows: it needs `fast_path="off"`. '
    "(2) `torch.optim.Adafactor` in the same loop; it is not a setting of labkit, and it learns otherwise than AdamW."
)


# Bytes of each hidden value and of each pair of tokens that labkit's fast path keeps above `activation_bytes` (above half of it
# in half precision): dropout's masks as numbers in place of bytes, and in half precision what LayerNorm and softmax want fp32.
WIDER = {"fp32": (4, 2), "half": (10, 3)}


# --- counted ------------------------------------------------------------------------------------------------------


def counted_state(way: Way, model: "PreTrainedModel") -> int:
    """Count the bytes of weights, gradients and moments.

    They are 16 for each trainable fp32 parameter with AdamW, 4 for a frozen one. Adafactor has one moment, of a matrix
    its row and column sums alone (Shazeer & Stern 2018, alg. 4).
    """
    from labkit.training.memory import state_bytes

    weights = 4 * sum(parameter.numel() for parameter in model.parameters())
    if not way.factored:
        return weights + state_bytes(model)
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    moments = sum(sum(parameter.shape) if parameter.dim() > 1 else parameter.numel() for parameter in trainable)
    return weights + 4 * (sum(parameter.numel() for parameter in trainable) + moments)


def counted_activations(way: Way, model: "PreTrainedModel", reviews: int) -> int:
    """Bytes that one micro-batch of so many reviews keeps until its backward pass.

    With checkpointing the input of each layer stays, and one layer at a time is whole; with a frozen encoder that one alone.
    """
    from labkit.training.memory import activation_bytes

    config, whole = model.config, activation_bytes(model, reviews, LENGTH)
    layers, tokens = config.num_hidden_layers, reviews * LENGTH
    if way.row.precision == "half":
        whole //= 2
    if way.row.fast_path == "full":
        wide, pairs = WIDER[way.row.precision]
        whole += layers * tokens * (wide * config.hidden_size + pairs * config.num_attention_heads * LENGTH)
    if way.freeze == "encoder":
        return whole // layers
    if way.checkpointing:
        return whole // layers + 4 * layers * tokens * config.hidden_size
    return int(whole)


def counted_copies(way: Way, model: "PreTrainedModel") -> int:
    """Count the bytes of the half-precision matrices that autocast keeps.

    It keeps them during a micro-batch.
    """
    if way.row.precision != "half":
        return 0
    embeddings = set(model.base_model.embeddings.parameters())
    return sum(2 * each.numel() for each in model.parameters() if each.dim() > 1 and each not in embeddings)


def counts(way: Way, model: "PreTrainedModel", batch_size: int, free: int) -> dict[str, int]:
    """Count bytes: state, activations (of the row's micro-batch), copies.

    largest: reviews at once within `free` bytes.
    """
    from labkit.models.encoders import freeze

    freeze(model.requires_grad_(True), way.freeze)
    state, copies = counted_state(way, model), counted_copies(way, model)
    found = {
        "state": state,
        "activations": counted_activations(way, model, way.row.micro_batch_size or batch_size),
        "copies": copies,
        "largest": max(0, (free - state - copies) // counted_activations(way, model, 1)),
    }
    model.requires_grad_(True)
    return found


# --- measured -----------------------------------------------------------------------------------------------------


def measure(task: Mapping[str, Any]) -> dict[str, Any]:
    """What one row takes, in this process. task: way (its name), setting, data, half."""
    import torch
    from side_by_side.examples import read_examples
    from side_by_side.models import load_model
    from side_by_side.ours import config_of

    from labkit.models.encoders import load_encoder
    from labkit.training.fit import fastest_gradients
    from labkit.training.loop import StepRecord, train_epoch
    from labkit.training.optimizer import make_optimizer

    way, setting = next(way for way in WAYS if way.row.name == task["way"]), Setting(**task["setting"])
    load_encoder("tiny")
    make_optimizer(torch.nn.Linear(1, 1), 0.1, 0.0)  # whatever the first of a process imports is imported now
    watch = Watch(torch.cuda.is_available())
    imports = 0.0 if watch.cuda else peak_memory_mib(False)
    config = config_of(way.row, setting, 0, task["half"])
    precision = config.chosen_precision()
    model, _ = load_model(setting.model, 0)
    network, optimizer = _lowered(way, model.to(precision.device), setting)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)
    examples = read_examples(Path(task["data"]), "train").of_length(LENGTH).first(setting.examples)
    batches = examples.batcher(config.batching).epoch(config.batch_size, config.largest_micro_batch, seed=0)
    losses = list[float]()

    def watched(record: StepRecord) -> None:
        losses.append(round(record.loss, 5))
        if len(losses) == 1:
            watch.start()
        elif len(losses) == setting.steps(len(examples)):
            watch.stop()

    accumulated = -(-config.batch_size // config.largest_micro_batch)
    with _waiting_rows(optimizer, model, config.fast_path):
        gradients = fastest_gradients(network, config, precision.device, print)
        named = {"precision": precision, "accumulate": gradients, "after_step": watched}
        train_epoch(network, batches, optimizer, scheduler, accumulated, **named)
        peak = peak_memory_mib(watch.cuda)
    if peak is None or imports is None:
        raise SystemExit("this system does not tell the peak memory of a process")
    speed = (len(examples) - setting.batch_size) / (watch.seen["seconds"] or float("nan"))
    numbers = {"reviews_per_second": speed, "peak_mib": peak - imports, "imports_mib": imports, "losses": losses}
    return {"row": way.row.name, "precision": precision.name, **watch.seen, **numbers}


def _lowered(way: Way, model: "PreTrainedModel", setting: Setting) -> "tuple[torch.nn.Module, torch.optim.Optimizer]":
    """Apply a way to lower memory: the network that runs the model, and its optimizer."""
    import torch

    from labkit.models.encoders import freeze
    from labkit.models.unpadded import Unpadded
    from labkit.training.optimizer import make_optimizer, parameter_groups

    freeze(model, way.freeze)
    if way.checkpointing:
        model.gradient_checkpointing_enable()
    network: torch.nn.Module = model if way.row.fast_path == "off" else Unpadded(model)
    if way.factored:  # tensor by tensor, so that what it works with stays small
        groups = parameter_groups(model, setting.weight_decay)
        return network, torch.optim.Adafactor(groups, lr=setting.learning_rate, foreach=False)
    return network, make_optimizer(model, setting.learning_rate, setting.weight_decay)


def _waiting_rows(optimizer: "torch.optim.Optimizer", model: "PreTrainedModel", fast_path: str) -> Any:
    """As `fit` does, let embedding rows that no batch reads wait on a CPU."""
    from contextlib import nullcontext

    from labkit.training.optimizer import LazyAdamW

    if fast_path == "full" and isinstance(optimizer, LazyAdamW) and model.device.type == "cpu":
        embeddings: Any = model.base_model.embeddings
        return optimizer.lazy(embeddings.word_embeddings)
    return nullcontext()


def _in_own_process(task: dict[str, Any]) -> dict[str, Any]:
    command = [sys.executable, __file__, "--task", json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        said = "\n".join(done.stderr.splitlines()[-LAST_LINES:])
        raise SystemExit(f"{said}\n{task['way']}: its process ended with exit code {done.returncode}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def run(setting: Setting, arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the rows that are not in the journal yet; return the page's numbers."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "reviews.npz"
        facts = prepared(data, "tiny" if setting.model == "tiny" else "minilm", max(256, setting.examples), 2)
        code = digest_of_files(measuring_files(Path(__file__)))
        ways = [dataclasses.asdict(way) for way in WAYS]
        header = {"setting": dataclasses.asdict(setting), "ways": ways, "code": code}
        header |= {"machine": facts["machine"], "half": facts["half"]}
        journal = Journal.begun(WORK, NAME, header, fresh=arguments.fresh)
        there = {entry["row"] for entry in journal.entries}
        for way in WAYS:
            name = way.row.name
            if name not in arguments.rows or name in there or (way.row.precision == "half" and not facts["half"]):
                continue
            wait_until_quiet(DISTURBED, patience=15.0)
            task = {"way": name, "setting": header["setting"], "data": str(data), "half": facts["half"]}
            journal.append(_in_own_process(task))
            print(journal.entries[-1], flush=True)
    counted = _counted(setting)
    return {"date": date.today().isoformat(), "header": header, "entries": journal.entries, "counted": counted}


def _counted(setting: Setting) -> dict[str, dict[str, int]]:
    from side_by_side.models import load_model

    model, _ = load_model(setting.model, 0)
    return {way.row.name: counts(way, model, setting.batch_size, CARD - SET_ASIDE) for way in WAYS}


# --- the page -----------------------------------------------------------------------------------------------------


def as_markdown(report: Mapping[str, Any]) -> str:
    """The page, from the report alone."""
    header = report["header"]
    setting, half = Setting(**header["setting"]), header["half"] or "half"
    found = {entry["row"]: entry for entry in report["entries"]}
    on_gpu = header["machine"]["device"] not in ("cpu", "mps")  # a GPU's name
    peak = "of tensors on the device" if on_gpu else "of the process minus that of its imports"
    steps = setting.steps(setting.examples) - 1
    others = {
        way.row.about.replace("half", half): found[way.row.name]["others"] for way in WAYS if way.row.name in found
    }
    busy = [f"{about} ({share:.0%} of the machine)" for about, share in others.items() if share > DISTURBED]
    disturbed = f"Something else used the machine while these were measured: {'; '.join(busy)}." if busy else ""
    fits = f"fits at {setting.batch_size} x {LENGTH}"
    head = ("", "peak, MiB", "to the first", "state as counted", "the rest", "reviews/s", "to the first")
    card = ("", "state", "copies", "activations", "sum, MiB", fits, "largest micro-batch", *["measured, MiB"] * on_gpu)
    parts = [
        "# What training takes in memory, and what each way to lower it costs",
        f"{report['date']}. {machine_line(header['machine'])}",
        f"{MODELS.get(setting.model, setting.model)}, two classes, {setting.batch_size} reviews of {LENGTH} tokens an "
        f"optimizer step. Each row is a process of its own: one step to warm up, then {steps} that are timed, measured once. "
        f"Peak: {peak}, with what the allocator holds on to. State as counted: 16 bytes a trainable parameter (fp32 weight, "
        "gradient and AdamW's two moments), 4 a frozen one. The rest: activations above all, and what a step works with.",
        disturbed,
        grid(head, [_line(way, found, report["counted"], half) for way in WAYS]),
        NOTES,
        "On a CPU the fast path keeps no dense gradient of the word embedding, which is counted as state: its rest looks that "
        "much smaller than it is." if not on_gpu else "",
        "## What fits into 8 GB on a GPU",
        "**Counted" + (", and measured in the last column.**" if on_gpu else ", not measured: there was no GPU at hand.**")
        + " State: weights, gradients, moments (`labkit.state_bytes`). Copies: autocast's half-precision matrices. "
        "Activations: `labkit.activation_bytes` of the micro-batch, and what each way changes in it, as "
        "`counted_activations` in this script says; where attention keeps no table of pairs, as torch's fused one on "
        f"a GPU, it is less. Of {CARD // MIB:,} MiB, {SET_ASIDE // MIB:,} are set aside for CUDA's "
        "context, workspaces, gaps between tensors and a screen. The largest micro-batch may exceed the batch.",
        grid(card, [_card_line(way, found, report["counted"], half, on_gpu) for way in WAYS]),
    ]  # fmt: skip
    return "\n\n".join(part for part in parts if part) + "\n"


def _line(way: Way, found: Mapping[str, Any], counted: Mapping[str, Any], half: str) -> tuple[str, ...]:
    about, entry, first = way.row.about.replace("half", half), found.get(way.row.name), found.get(WAYS[0].row.name)
    if entry is None:
        return (about, *["not measured"] * 6)
    state = counted[way.row.name]["state"] / MIB
    names = ("peak_mib", "reviews_per_second")
    memory, speed = (f"{entry[name] / first[name]:.2f} x" if first else "" for name in names)
    sizes = f"{state:,.0f}", f"{entry['peak_mib'] - state:,.0f}"
    return about, f"{entry['peak_mib']:,.0f}", memory, *sizes, f"{entry['reviews_per_second']:.2f}", speed


def _card_line(
    way: Way, found: Mapping[str, Any], counted: Mapping[str, Any], half: str, on_gpu: bool
) -> tuple[str, ...]:
    count = counted[way.row.name]
    parts = [count[name] for name in ("state", "copies", "activations")]
    fits = "yes" if sum(parts) <= CARD - SET_ASIDE else "**no**"
    sizes = [f"{size / MIB:,.0f}" for size in (*parts, sum(parts))]
    peak = f"{found[way.row.name]['peak_mib']:,.0f}" if way.row.name in found else "not measured"
    return way.row.about.replace("half", half), *sizes, fits, f"{count['largest']:,}", *[peak] * on_gpu


def main() -> None:
    arguments = _parser().parse_args()
    if arguments.task:
        print("\n" + json.dumps(measure(json.loads(arguments.task))), flush=True)
        return
    batch = Setting().batch_size
    report = run(Setting(arguments.model, examples=batch * (1 + arguments.steps)), arguments)
    write(arguments.output, PAGE, as_markdown(report), NUMBERS, report)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [way.row.name for way in WAYS]
    parser.add_argument("--model", default=BERT_BASE, choices=("tiny", "minilm", BERT_BASE))
    parser.add_argument("--steps", type=int, default=2, help="optimizer steps that are timed")
    parser.add_argument("--rows", nargs="*", choices=names, default=names, help="none: only write the page again")
    parser.add_argument("--fresh", action="store_true", help="drop what was measured with these settings")
    parser.add_argument("--output", type=Path, default=BENCHMARKS, help="folder of the page and the raw numbers")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    return parser


if __name__ == "__main__":
    main()

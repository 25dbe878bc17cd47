"""How long a start takes: of a training, of a notebook, of the command line.

    python benchmarks/startup.py --rounds 5

A training counts to its first step, a notebook to the end of its first cell. Each figure comes from a process of its own,
and all rows take their turn in every round. Rounds are kept one by one in --output; the next call adds to them, and
--again begins anew. STARTUP.md is written from them.

All run in a cache folder of their own in which reviews and MiniLM are at hand. `first` is the first training in that
folder, `train` a later one. Needs jupyter_client and ipykernel (the extra `lab`).
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
WATCH = Path(__file__).with_name("startup_watch.py")
LESSONS = ("00", "01", "02", "03", "04", "05", "06")
ROWS = ("import", "help", "first", "train", "tokenize", *LESSONS)
STAGES = ("python", "imports", "reviews", "tokenization", "weights", "the rest")
PACKAGES = ("torch", "transformers", "tokenizers", "pyarrow", "ipykernel")


def main() -> None:
    """Measure all rows in every round, keep the rounds, write the page."""
    arguments = _parser().parse_args()
    kept = json.loads(arguments.output.read_text("utf-8")) if arguments.output.is_file() and not arguments.again else {}
    report: dict[str, Any] = {"machine": machine(), "rounds": kept.get("rounds", [])}
    for _ in range(arguments.rounds):
        with cache_folder() as home:
            report["rounds"].append({row: measure(row, home) for row in arguments.rows})
        arguments.output.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    arguments.page.write_text(as_page(report), "utf-8")
    print(f"written to {arguments.output} and {arguments.page}")


@contextlib.contextmanager
def cache_folder() -> Iterator[Path]:
    """Make a cache folder with links to the user's archives and nothing else."""
    from labkit.data import assets

    archives = [assets.fetch(name) for name in assets.ARCHIVES]
    with tempfile.TemporaryDirectory() as folder:
        for archive in archives:
            (Path(folder) / archive.name).symlink_to(archive, target_is_directory=True)
        yield Path(folder)


def measure(row: str, home: Path) -> dict[str, float]:
    """Measure the seconds of one row's parts, in one process or one kernel."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LABKIT_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    with tempfile.TemporaryDirectory() as folder:
        if row in LESSONS:
            measured = first_cell(row, folder, environment)
        elif row in ("first", "train"):
            command = [str(WATCH), str(time.time()), "train", "--output", "run"]
            measured = json.loads(run(command, folder, environment))
            measured["all"] = sum(measured.values())
        elif row == "tokenize":
            measured = json.loads(run(["-c", TOKENIZE], folder, environment))
        else:
            begun = time.perf_counter()
            run(["-c", "import labkit"] if row == "import" else ["-m", "labkit", "--help"], folder, environment)
            measured = {"all": time.perf_counter() - begun}
    print(f"{row:10}{measured['all']:8.3f} s", file=sys.stderr, flush=True)
    return measured


def run(command: list[str], folder: str, environment: dict[str, str]) -> str:
    """Return the last line that a Python process printed.

    What it says on standard error is shown where it fails.
    """
    done = subprocess.run([sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout.splitlines()[-1] if done.stdout else ""


# All movie reviews; imports and the tokenizer are not counted.
TOKENIZE = """
import json, time
from labkit.models.encoders import encoder_folder
from labkit.data.reviews import load_corpus
from labkit.data.tokens import load_tokenizer, tokenize
texts, tokenizer = load_corpus().texts, load_tokenizer(encoder_folder("minilm"))
tokenizer(texts[:100])
begun = time.perf_counter()
tokenize(texts, tokenizer)
print(json.dumps({"texts": len(texts), "all": time.perf_counter() - begun}))
"""


def first_cell(lesson: str, folder: str, environment: dict[str, str]) -> dict[str, float]:
    """Measure the seconds to a ready kernel and to the end of its first cell.

    The lesson is opened as a student opens it.
    """
    from jupyter_client.manager import start_new_kernel

    (path,) = (ROOT / "notebooks").glob(f"{lesson}_*.ipynb")
    cells = [cell for cell in json.loads(path.read_text("utf-8"))["cells"] if cell["cell_type"] == "code"]
    begun = time.perf_counter()
    manager, client = start_new_kernel(kernel_name="python3", cwd=folder, env=environment)
    try:
        ready = time.perf_counter()
        reply = client.execute_interactive("".join(cells[0]["source"]), output_hook=lambda message: None, timeout=120)
        done = time.perf_counter()
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    if reply["content"]["status"] != "ok":
        raise SystemExit(f"{path.name}: its first cell ended with {reply['content'].get('evalue')}")
    return {"kernel": ready - begun, "cell": done - ready, "all": done - begun}


def machine() -> dict[str, Any]:
    """What a figure needs beside it."""
    from labkit.experiments.fine_tuning import environment

    found = environment("auto")
    versions = {name: metadata.version(name) for name in PACKAGES}
    wanted = ("python", "platform", "processor", "device")
    return {name: found[name] for name in wanted} | {"cores": os.cpu_count(), "packages": versions}


def as_page(report: dict[str, Any]) -> str:
    """Write the report as Markdown: starts, stages of a training, tokenization."""
    rounds, found = report["rounds"], report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in found["packages"].items())
    parts = [
        "# How long a start takes",
        f"Written by `python benchmarks/startup.py`; seconds, the median of {_rounds(rounds)} fresh processes and, in "
        f"brackets, the least and the most. {found['processor']}, {found['cores']} cores ({found['device']}); "
        f"Python {found['python']}, {versions}.",
        "## From the command or the opened notebook to where one can go on",
        _starts(rounds),
        "## Where the time of `labkit train` goes, to the end of its first step",
        _stages(rounds),
        "## Tokenization of all movie reviews",
        _tokenization(rounds),
        NOTES,
    ]
    return "\n\n".join(parts) + "\n"


NOTES = """## What was cut

* **The garbage collector stands still during large imports** (`labkit/importing.py`). torch, transformers and BERT's module
  leave 600,000 objects; without the collector they take 2.9 s in place of 3.6 (medians of 3). The first collection afterwards
  would take 0.23 s of that back, so what was imported is frozen out of its sight.
* **pandas is no longer imported** on the way of the reviews: pyarrow's `to_numpy` did it, 0.2 to 0.3 s.
* **BERT's tokenizer is loaded by its own class**: `AutoTokenizer` imports torch, about 1 s, and gives the same object.
* **The first cell of a lesson imports neither torch nor matplotlib** unless it names them itself, as 03 and 06 do and the
  examination of the machine in 00 does. Where a lesson trains later, that cell pays for torch once.

## What was tried or looked at, and left

* **The model by its concrete class** gains nothing: after `from transformers import BertForSequenceClassification` (1.9 s) all
  Auto classes together cost 5 ms. The time is in `transformers.modeling_utils`, which both import.
* **`torch._dynamo`, sympy and `torch.distributed.tensor`** look like transformers' doing, but `torch.optim` imports them with
  the first optimizer: 1.16 s in a process that has torch alone. Training cannot do without.
* **`scipy.optimize`** (about 0.25 s in two undisturbed trials) is imported by transformers for the losses of object detection.
  It can be kept out only by telling transformers that scipy is not installed, which would break those losses for whoever
  uses them in that process.
* **Weights** were memory-mapped already: of MiniLM's 105 tensors 103 lie in the mapped file (the two of the fresh head do
  not), `float()` of fp32 weights copies nothing and takes 0.7 ms, and a page is copied when the first step writes to it.
* **A cache of tokens**, an Arrow file for all seeds and folds of the same texts, was kept for a while; the column *now, later*
  above still had it. It spared half a second of a run at most, for 390 lines, and was taken out (NOTES.md).
* **Threads** were not tried: what is left of a start is importing, which holds the interpreter's lock, and a notebook that
  imports torch in the background would be forked by the exercises' checks in the middle of an import.
* **The rest** of a training's start is the first step itself; in one profile 0.28 of its 0.52 s went into the optimizer's
  state, which is made and touched then."""


def _rounds(rounds: list[Any]) -> str:
    """How often each row was measured: a number, or the least and the most."""
    counts = sorted({sum(row in each for each in rounds) for row in ROWS} - {0})
    return " to ".join(str(count) for count in dict.fromkeys((counts[0], counts[-1])))


def _starts(rounds: list[Any]) -> str:
    names = {
        "import": "`import labkit`",
        "help": "`labkit --help`",
        "first": "`labkit train` to its first step, the first time",
        "train": "`labkit train` to its first step, later",
    } | {lesson: f"lesson {lesson}: kernel and first cell" for lesson in LESSONS}
    lines = ["| start | seconds |", "|---|---|"]
    lines += [f"| {name} | {_spread(rounds, row, 'all')} |" for row, name in names.items()]
    return "\n".join([*lines, f"| of each lesson, the kernel alone | {_spread(rounds, '03', 'kernel')} |"])


def _stages(rounds: list[Any]) -> str:
    lines = ["| stage | the first time | later |", "|---|---|---|"]
    for stage in (*STAGES, "all"):
        cells = [_spread(rounds, row, stage) for row in ("first", "train")]
        lines.append(f"| {stage} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _tokenization(rounds: list[Any]) -> str:
    texts = next((each["tokenize"]["texts"] for each in rounds if "tokenize" in each), 0)
    return "\n".join(
        [f"| {texts:,} texts | seconds |", "|---|---|", f"| tokenized | {_spread(rounds, 'tokenize', 'all')} |"]
    )


def _spread(rounds: list[Any], row: str, part: str) -> str:
    """Median, least and most of a part over the rounds; a dash if not measured."""
    values = [each[row][part] for each in rounds if part in each.get(row, {})]
    return f"{median(values):.2f} ({min(values):.2f} to {max(values):.2f})" if values else "–"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="to add; 0 writes the page anew")
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--again", action="store_true", help="forget the rounds that are there")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    parser.add_argument("--page", type=Path, default=Path(__file__).with_name("STARTUP.md"))
    return parser


if __name__ == "__main__":
    main()

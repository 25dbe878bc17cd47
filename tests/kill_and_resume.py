"""kill -9 at random moments of training, the same command again, and the weights are those of a run that nobody killed.

    python tests/kill_and_resume.py --kills 20 --seed 0

Every run is the real program in a process of its own, on a BERT of 2 layers, 32 wide, with a checkpoint after every step, so
that many of the moments fall into the writing of one. Prints a line a moment; exits with 1 where a single bit differs.
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WORDS = "good fine superb bad dull awful a film plot cast scene music story ending very so not slow".split()  # noqa: SIM905
PRAISE, BLAME, FILLER = WORDS[:3], WORDS[3:6], WORDS[6:]
REVIEWS, EPOCHS = 400, 3


@dataclass(frozen=True)
class Moment:
    """One kill: seconds after training began, what the folder held then, and whether the end was the same."""

    seconds: float
    held: str
    same: bool


def main() -> None:
    """Try the moments and exit with 1 unless all ended with the same bits."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=None, help="of the moments (default: another each time)")
    arguments = parser.parse_args()
    seed = random.randrange(10**6) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    moments = []
    with tempfile.TemporaryDirectory() as folder:
        for moment in try_moments(Path(folder), arguments.kills, random.Random(seed)):
            moments.append(moment)
            verdict = "the same bits" if moment.same else "OTHER WEIGHTS"
            print(f"killed {moment.seconds:6.3f} s after training began ({moment.held}): {verdict}", flush=True)
    same = sum(moment.same for moment in moments)
    print(f"{same} of {len(moments)} killed runs ended with the weights of the run that nobody killed")
    sys.exit(0 if same == len(moments) else 1)


def try_moments(folder: Path, kills: int, generator: random.Random) -> Iterator[Moment]:
    """One uninterrupted run, and then `kills` runs that are killed once each at a moment spread over its length."""
    write_world(folder)
    began, ended = run_until(folder, "whole", moment=None)
    wanted = (folder / "whole" / "model" / "model.safetensors").read_bytes()
    for _ in range(kills):
        moment = generator.uniform(0, ended - began)
        began_again, killed = run_until(folder, "killed", moment)
        held = what_is_in(folder / "killed")
        if not (folder / "killed" / "model" / "model.safetensors").is_file() or "finished" not in held:
            run_until(folder, "killed", moment=None)
        found = (folder / "killed" / "model" / "model.safetensors").read_bytes()
        yield Moment(killed - began_again, held, found == wanted)
        shutil.rmtree(folder / "killed")


def run_until(folder: Path, name: str, moment: float | None) -> tuple[float, float]:
    """Run the command in `folder/name`, killed so many seconds after training began; when it began and when it ended."""
    log = (folder / f"{name}.log").open("wb")
    process = subprocess.Popen(
        command(folder, name), stdout=log, stderr=subprocess.STDOUT, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    while not (folder / name / "run.json").is_file() and process.poll() is None:
        time.sleep(0.001)
    began = time.monotonic()
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    ended = time.monotonic()
    log.close()
    if moment is None and process.returncode != 0:
        raise SystemExit((folder / f"{name}.log").read_text(errors="replace"))
    return began, ended


def command(folder: Path, name: str) -> list[str]:
    """The same command each time."""
    settings = {
        "model": folder / "model",
        "epochs": EPOCHS,
        "patience": EPOCHS,
        "batch_size": 16,
        "micro_batch_size": 6,
        "learning_rate": 0.003,
        "max_length": 16,
        "precision": "fp32",
        "device": "cpu",
        "checkpoint_seconds": 0.0,
    }
    options = [f"--set={key}={value}" for key, value in settings.items()]
    return [
        sys.executable,
        "-m",
        "labkit",
        "train",
        f"--data={folder / 'reviews.csv'}",
        f"--output={folder / name}",
        *options,
    ]


def what_is_in(run: Path) -> str:
    """What the kill left, in a few words."""
    from labkit.experiments.run_folder import read_record

    record = read_record(run) or {"status": "nothing", "history": []}
    steps = sorted(entry.name for entry in run.glob("checkpoints/step-*"))
    torn = len(list(run.rglob(".*.????????")))
    parts = [record["status"], f"{len(record['history'])} epochs", f"newest {steps[-1]}" if steps else "no checkpoint"]
    return ", ".join(parts + ([f"{torn} half-written"] if torn else []))


def write_world(folder: Path) -> None:
    """A random BERT with its tokenizer, and reviews whose last word decides their label."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(vocab_size=len(vocabulary), **shape, max_position_embeddings=32, num_labels=2)
    BertForSequenceClassification(config).save_pretrained(folder / "model")
    BertTokenizerFast(vocab={word: place for place, word in enumerate(vocabulary)}).save_pretrained(folder / "model")
    generator = random.Random(0)
    rows = ["label,text"]
    for number in range(REVIEWS):
        words = [
            *generator.choices(FILLER, k=generator.randint(2, 8)),
            generator.choice(PRAISE if number % 2 else BLAME),
        ]
        rows.append(f"{number % 2},{' '.join(words)}")
    (folder / "reviews.csv").write_text("\n".join(rows) + "\n", "utf-8")


if __name__ == "__main__":
    main()

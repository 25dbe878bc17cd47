"""What other work on the machine costs training, by how threads wait: looking for work, or asleep.

    python benchmarks/busy_machine.py --rounds 5
    python benchmarks/busy_machine.py --rounds 3 --lesson 05      # a whole lesson under tiny, solved, as labkit runs it

Each figure is the time of a tiny training in a process of its own, after a first one that warms it up. All four take turns in
every round, in an order of its own: OpenMP's default and what labkit chooses, on the machine as it is and beside one busy
process for each core. Ratios are taken within a round, so that a slow round moves none.

2 cores of an AMD EPYC, torch 2.13.0+cpu with GNU's OpenMP, an otherwise idle machine, seconds of each round:

                                          idle               two busy       six busy
    OpenMP's default (300,000 looks)      .103 to .157       .52 to .63     7.7 with 50,000 looks
    threads that sleep                    .175 to .261       .43 to .52
    50,000 looks for work                 .095 to .145       2.5 (once)

So labkit lets threads sleep where it finds the machine busy, and look for work where it does not. Beside seven to nine other
processes the default took 20.6 s (11.1 to 23.9), threads that sleep .18 s (.16 to .25).
"""

import argparse
import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from statistics import median

SPINNING = {"GOMP_SPINCOUNT": "300000", "KMP_BLOCKTIME": "200"}  # what the runtimes do unless told otherwise
WAYS = {"the default": SPINNING, "labkit's choice": {}}
TRAIN = """
import tempfile, time
from pathlib import Path
import numpy as np
from labkit.data.reviews import Reviews
from labkit.experiments.fine_tuning import fine_tune
from labkit.training.config import Config
texts = [f"a {'good' if i % 2 else 'bad'} film, number {i}, about the sea" for i in range(240)]
reviews = Reviews("made", [str(i) for i in range(240)], texts, np.arange(240) % 2)
config = Config(model="tiny", epochs=1, device="cpu", precision="fp32")
for _ in range(2):
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        run = fine_tune(config, reviews, Path(folder) / "run", progress=False, tell=lambda notice: None)
        seconds = time.perf_counter() - start
print(run.record["history"][0]["seconds"], seconds)
"""

LESSON = """
import sys, tempfile, time
from pathlib import Path
from labkit.course.notebooks import read_notebook
from labkit.course.running import run_notebook
(path,) = Path("solutions").glob(f"{sys.argv[1]}_*.ipynb")
with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    run = run_notebook(read_notebook(path), Path(folder), environment={"LABKIT_PROFILE": "tiny"})
    print(time.perf_counter() - start)
assert not run.trouble, run.trouble
"""


def main() -> None:
    """Measure in rounds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=300.0, help="seconds after which a training counts as that long")
    parser.add_argument("--lesson", help="its number: time the lesson, with labkit's choice alone")
    arguments = parser.parse_args()
    code = ["-c", LESSON, arguments.lesson] if arguments.lesson else ["-c", TRAIN]
    ways = ["labkit's choice"] if arguments.lesson else list(WAYS)
    rows = [(way, busy) for way in ways for busy in (False, True)]
    rounds = []
    for seed in range(arguments.rounds):
        order = random.Random(seed).sample(rows, k=len(rows))
        rounds.append({row: seconds_of(*row, arguments.limit, code) for row in order})
        print(
            json.dumps({f"{way}, {'busy' if busy else 'idle'}": s for (way, busy), s in rounds[-1].items()}), flush=True
        )
    for way in ways:
        print(f"{way + ', busy against idle':<36}", spread([one[way, True] / one[way, False] for one in rounds]))
    for busy in (False, True) if len(ways) > 1 else ():
        name = f"choice against default, {'busy' if busy else 'idle'}"
        print(f"{name:<36}", spread([one["labkit's choice", busy] / one["the default", busy] for one in rounds]))


def seconds_of(way: str, busy: bool, limit: float, code: list[str]) -> float:
    """Seconds of training, without the imports, the evaluation and the saving around it; or those of a whole lesson."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "KMP_"))}
    with busy_processes((os.cpu_count() or 1) if busy else 0):
        try:
            command = [sys.executable, *code]
            done = subprocess.run(
                command, env=environment | WAYS[way], capture_output=True, text=True, timeout=limit, check=True
            )
        except subprocess.TimeoutExpired:
            return limit
    return round(float(done.stdout.split()[0]), 3)


@contextlib.contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """While the block runs, as many processes that never wait."""
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


def spread(ratios: list[float]) -> str:
    """The median, least to most in brackets."""
    return f"{median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()

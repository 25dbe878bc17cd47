"""Training and evaluation speed on a GPU, warmed up.

    python benchmarks/gpu.py                        3 rounds; the same command goes on after an interruption

The first seconds of a process on a GPU go into loading kernels, and a short training beside them says little. So all rows
run in one process, once each to warm up and then in rounds. Writes `gpu/SPEED.md` and `gpu/speed.json`, or into --output.
`make benchmark-gpu` does this.
"""

import argparse
import dataclasses
import gc
import tempfile
from pathlib import Path
from typing import Any

from side_by_side import measure, rows
from side_by_side.journal import Journal
from side_by_side.processes import BENCHMARKS, prepared
from side_by_side.rounds import DISTURBED, Result, measure_rounds
from side_by_side.rows import ROWS, Row, Setting
from side_by_side.running import WORK, add_options, header_of, report_of, saved_report, write
from side_by_side.table import Report, evaluation, heading, limits_found, training
from side_by_side.watch import wait_until_quiet

PAGE, NUMBERS, NAME = "SPEED.md", "speed.json", "gpu"
WITHOUT_FAST_PATH = Row("labkit-off-half", "labkit, the model's own forward pass in length buckets, half", "labkit",
                        precision="half", fast_path="off")  # fmt: skip
GPU_ROWS = (*(row for row in ROWS if row.name not in ("trainer-dynamic-fp32-few", rows.EXACT)), WITHOUT_FAST_PATH)
METHOD = f"""
* All rows run in one process, in an order drawn anew for each round. Before the first round each runs once and is not counted,
  so that kernels are loaded on all sides. What labkit records as CUDA graphs it records anew in each training, and that counts.
* Training runs over the same reviews for several epochs; the clock runs from its start to the end of its last step, the
  device's work included. That of an evaluation row runs from texts to probabilities: tokenizing counts.
* Reviews a second and memory are medians over the rounds. Ratios are medians of the ratios within a round, with a 90 %
  interval. A round in which others used more than {DISTURBED:.0%} of the processors is left out.
* Useful arithmetic is 6 x parameters outside the embeddings x real tokens. The limit is the best rate of matrix products in the
  layers' shapes over 1,024 tokens, launched one by one: on a large GPU such products are too small to fill it.
* Peak memory is that of tensors on the device. Joules are those of the GPU.
""".strip()


def main() -> None:
    arguments = _parser().parse_args()
    report = saved_report(NAME, arguments.output / NUMBERS, arguments) if arguments.table else _measured(arguments)
    write(arguments.output, PAGE, as_markdown(report), NUMBERS, report)


def as_markdown(data: dict[str, Any]) -> str:
    """The page, from the report alone."""
    report = Report(data)
    tables = [*training(report, ""), *training(report, rows.BERT_BASE), *evaluation(report), *limits_found(report)]
    return "\n\n".join([*heading(report), *tables, "## How it was measured", METHOD]) + "\n"


def _measured(arguments: argparse.Namespace) -> dict[str, Any]:
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("there is no GPU here; `make benchmark` measures on the CPU")
    setting = Setting(epochs=arguments.epochs)
    wanted = [row for row in GPU_ROWS if row.name in arguments.rows]
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "reviews.npz"
        facts = prepared(data, setting.model, setting.examples, setting.held_out)
        journal = Journal.begun(WORK, NAME, header_of(setting, GPU_ROWS, facts), fresh=arguments.fresh)

        def measured(row: Row, seed: int, examples: int, shared: Setting = setting) -> Result:
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
            if not arguments.allow_disturbed:
                wait_until_quiet(DISTURBED)
            task = dataclasses.asdict(row), dataclasses.asdict(shared)
            return measure.measure_row(*task, seed, examples, str(data), facts["half"])

        for row in wanted:
            once = dataclasses.replace(setting, epochs=1)
            speed = measured(row, 0, setting.few if row.few else setting.examples, once).get("reviews_per_second")
            print(f"warmed up {row.name}: {speed or 0:.0f} reviews/s", flush=True)
        allow = arguments.allow_disturbed
        measure_rounds(wanted, setting, arguments.rounds, journal, measured, allow_disturbed=allow)
    return report_of(journal, [row.name for row in wanted], arguments)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    names = [row.name for row in GPU_ROWS]
    parser.add_argument("--epochs", type=int, default=6, help="of 2,048 reviews")
    parser.add_argument("--rows", nargs="+", choices=names, default=names, metavar="ROW", help=", ".join(names))
    add_options(parser, rounds=3, output=BENCHMARKS / NAME)
    return parser


if __name__ == "__main__":
    main()

"""Test accuracy of labkit's default and of the Trainer after equally many epochs.

    python benchmarks/accuracy.py                   5 seeds; the same command goes on after an interruption
    python benchmarks/accuracy.py --examples all    on all training reviews

A seed draws the training reviews, the head, the order and dropout, the same for both sides; the test split is always the
same. Both take the weights after the last step, at the encoder's own learning rate, and both are evaluated as the plain
model in fp32. Writes `ACCURACY.md` and `accuracy.json`, whose line `RESULTS.md` repeats. `make benchmark-accuracy` does
this.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from side_by_side.journal import Journal
from side_by_side.processes import measured, prepared
from side_by_side.ratios import half_width
from side_by_side.rounds import order_of, rounds_of
from side_by_side.rows import Row, Setting
from side_by_side.running import WORK, add_options, header_of, report_of, saved_report, write
from side_by_side.table import MODELS, grid, machine_line

LABKIT = Row("labkit", "labkit (its default)", "labkit")
TRAINER = Row("trainer", "Hugging Face Trainer, dynamic padding (its default)", "trainer", "dynamic")
ROWS = (LABKIT, TRAINER)
LEVEL = 0.95
NUMBERS = "accuracy.json"


@dataclass(frozen=True)
class PairedTest:
    """Student's paired t test over the seeds: mean difference, interval, p-value."""

    mean: float
    low: float
    high: float
    p_value: float
    n: int

    def __str__(self) -> str:
        verdict = "within noise" if self.p_value >= 1 - LEVEL else "**beyond noise**"
        interval = f"[{self.low:+.4f}, {self.high:+.4f}]"
        return f"{verdict}: {self.mean:+.4f} {interval} (95 %), p = {self.p_value:.2g}, {self.n} seeds"


def paired_test(ours: Sequence[float], theirs: Sequence[float]) -> PairedTest:
    """Test `ours` minus `theirs`, seed by seed.

    Raises ValueError for fewer than two seeds.

    >>> print(paired_test([0.85, 0.86, 0.84], [0.84, 0.86, 0.85]))
    within noise: +0.0000 [-0.0248, +0.0248] (95 %), p = 1, 3 seeds
    """
    from scipy import stats

    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    if len(differences) < 2:
        raise ValueError(f"{len(differences)} seeds; wanted two, for a paired test")
    mean, reach = fmean(differences), half_width(differences, LEVEL)
    same = stdev(differences) == 0  # where the t statistic is 0 / 0, or infinite
    p_value = float(mean == 0) if same else float(stats.ttest_rel(ours, theirs).pvalue)
    return PairedTest(mean, mean - reach, mean + reach, p_value, len(differences))


def measure(setting: Setting, arguments: argparse.Namespace) -> dict[str, Any]:
    """Train what is not yet in the journal; the report that the page is made of."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "reviews.npz"
        facts = prepared(data, setting.model, setting.examples or None, None, part="test")
        journal = Journal.begun(WORK, "accuracy", header_of(setting, ROWS, facts), fresh=arguments.fresh)
        for seed in range(arguments.rounds):
            there = {entry["row"] for entry in journal.entries if entry["round"] == seed}
            missing = [row for row in order_of(ROWS, seed) if row.name not in there]
            if not missing:
                continue
            sizes = prepared(data, setting.model, setting.examples or None, None, seed, "test")["sizes"]
            for row in missing:
                examples = sizes["train"]
                seen = dataclasses.replace(setting, examples=examples)
                result = measured(row, seen, seed, examples, data, facts["half"])
                journal.append({"round": seed, "row": row.name, "test": sizes["held_out"], **result})
                print(f"seed {seed}  {row.name:10}accuracy {result['held_out_accuracy']:.4f}", flush=True)
    return report_of(journal, [row.name for row in ROWS], arguments)


def as_markdown(report: dict[str, Any]) -> tuple[str, str]:
    """The page, and its one line. Raises ValueError for fewer than two seeds."""
    setting = report["header"]["setting"]
    seeds = [each for each in rounds_of(report["entries"], report["names"]).all if each.holds(report["names"])]
    ours, theirs = ([each.results[row.name] for each in seeds] for row in ROWS)
    test = paired_test(*([result["held_out_accuracy"] for result in results] for results in (ours, theirs)))
    precisions = ", ".join(sorted({result["precision"] for result in (*ours, *theirs)}))
    lines = [
        (
            str(each.number),
            *(f"{result['held_out_accuracy']:.4f}" for result in (one, other)),
            f"{one['held_out_accuracy'] - other['held_out_accuracy']:+.4f}",
            *(f"{result['held_out_loss']:.4f}" for result in (one, other)),
        )
        for each, one, other in zip(seeds, ours, theirs, strict=True)
    ]
    head = ("seed", "labkit", "Trainer", "difference", "test loss, labkit", "test loss, Trainer")
    return "\n\n".join(
        [
            f"labkit minus the Trainer, test accuracy: {test}.",
            "# Accuracy after the same number of epochs",
            f"{report['date']}. {machine_line(report['header']['machine'])}",
            f"{MODELS.get(setting['model'], setting['model'])}, {ours[0]['examples']:,} training reviews, "
            f"{ours[0]['test']:,} test reviews, epochs: {setting['epochs']}, learning rate {setting['learning_rate']:g}, "
            f"batch {setting['batch_size']}, precision {precisions}; the Trainer with dynamic padding, its default.",
            grid(head, lines),
            "A seed draws the training reviews, the head, the order and dropout, the same for both sides. Both are evaluated "
            "after their last step as the plain model in fp32. The test is Student's, paired by seed.",
        ]
    ) + "\n", str(test)


def main() -> None:
    from labkit.models.encoders import registry_entry

    arguments = _parser().parse_args()
    if arguments.table:
        report = saved_report("accuracy", arguments.output / NUMBERS, arguments)
    else:
        examples = 0 if arguments.examples == "all" else int(arguments.examples)
        rate = registry_entry(arguments.model).learning_rate
        setting = Setting(arguments.model, examples, epochs=arguments.epochs, learning_rate=rate)
        report = measure(setting, arguments)
    page, line = as_markdown(report)
    write(arguments.output, "ACCURACY.md", page, NUMBERS, {"line": line, **report})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--examples", default="2048", help="training reviews, or `all`")
    parser.add_argument("--epochs", type=int, default=2)
    add_options(parser, rounds=5)
    return parser


if __name__ == "__main__":
    main()

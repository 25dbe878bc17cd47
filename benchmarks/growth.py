"""How speed and memory grow with examples, length, micro-batch and model.

    python benchmarks/growth.py                     3 rounds; the same command goes on after an interruption

Three points each, labkit at its default; for model size the Trainer grouped by length beside it. Writes `GROWTH.md`,
`growth.json` and `growth.svg`. `make benchmark-growth` does this.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

from side_by_side.rounds import Result, rounds_of
from side_by_side.rows import BERT_BASE, Row, Setting
from side_by_side.running import Report, add_options, run_rounds, saved_report, write
from side_by_side.table import MODELS, grid, machine_line

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NUMBERS = "growth.json"
MEASURES = (("reviews_per_second", "reviews/s"), ("peak_memory_mib", "peak memory, MiB"))


@dataclass(frozen=True)
class Axis:
    """What grows, and its points with the row that measures each."""

    name: str
    rows: tuple[tuple[str, Row], ...]


def axes_of(setting: Setting) -> tuple[Axis, ...]:
    """Three points each; the largest number of examples is the setting's."""
    few, base = setting.few, setting.few // 2
    thirds = (setting.examples // 4, setting.examples // 2, setting.examples)
    sizes = (("tiny", few), (setting.model, few), (BERT_BASE, base))
    return (
        Axis("examples", _points("examples", [(f"{count:,}", {"examples": count}) for count in thirds])),
        Axis("tokens a review", _points("length", [(str(n), {"length": n, "examples": base}) for n in (32, 64, 128)])),
        Axis("micro-batch", _points("micro", [(str(n), {"micro_batch_size": n, "examples": few}) for n in (8, 16, 32)])),
        Axis("model, labkit", _points("size", [(MODELS[name], {"model": name, "examples": count}) for name, count in sizes])),
        Axis("model, Trainer", _points("size", [(MODELS[n], {"model": n, "examples": c}) for n, c in sizes], "trainer")),
    )  # fmt: skip


def _points(
    kind: str, points: Sequence[tuple[str, dict[str, Any]]], does: str = "labkit"
) -> tuple[tuple[str, Row], ...]:
    batching = "grouped" if does == "trainer" else "buckets"
    return tuple((label, Row(f"{does}-{kind}-{label}", label, does, batching, **changes)) for label, changes in points)


def results_of(report: Report) -> dict[str, list[Result]]:
    """The results of each row in the rounds that count."""
    counted = rounds_of(report["entries"], report["names"], report["allow_disturbed"]).counted
    return {name: [each.results[name] for each in counted] for name in report["names"]}


def as_markdown(report: Report) -> str:
    """The page."""
    setting = Setting(**report["header"]["setting"])
    results = results_of(report)
    rounds = rounds_of(report["entries"], report["names"], report["allow_disturbed"])
    trial = ", **a trial in which disturbed rounds count**" if report["allow_disturbed"] else ""
    head = ("", "reviews/s", "tokens/s", "ms a review", "to the first point", "peak MiB")
    tables = [[f"## {axis.name}", grid((axis.name, *head[1:]), _lines(axis, results))] for axis in axes_of(setting)]
    return (
        "\n\n".join(
            [
                "# How training grows",
                f"{report['date']}. {machine_line(report['header']['machine'])}",
                f"{MODELS.get(setting.model, setting.model)} where nothing else is said, batch {setting.batch_size}, precision "
                f"{report['header']['half'] or 'fp32'}; medians of {len(rounds.counted)} rounds, {len(rounds.disturbed)} "
                f"disturbed by something else on the machine{trial}. Each point is a process of its own.",
                "![Speed and memory by examples, length, micro-batch and model size](growth.svg)",
                *(part for table in tables for part in table),
            ]
        )
        + "\n"
    )


def _lines(axis: Axis, results: dict[str, list[Result]]) -> list[Sequence[str]]:
    lines: list[Sequence[str]] = []
    first = 0.0
    for label, row in axis.rows:
        there = results.get(row.name, [])
        if not there:
            lines.append((label, *["not measured"] * 5))
            continue
        speed = median(result["reviews_per_second"] for result in there)
        tokens = median(result["tokens_per_review"] for result in there)
        first = first or 1000 / speed
        cells = f"{speed:.1f}", f"{speed * tokens:,.0f}", f"{1000 / speed:.2f}", f"{1000 / speed / first:.2f} x"
        lines.append((label, *cells, _memory(there)))
    return lines


def _memory(results: Sequence[Result]) -> str:
    sizes = [result["peak_memory_mib"] for result in results if result["peak_memory_mib"] is not None]
    return f"{median(sizes):,.0f}" if sizes else "not told"


def draw(report: Report) -> "Axes":
    """Speed above and memory below, one column for each thing that grows."""
    from matplotlib.figure import Figure

    from labkit.pictures import ALT_TEXT

    axes, results = axes_of(Setting(**report["header"]["setting"])), results_of(report)
    columns = [(axis.name, (axis,)) for axis in axes[:3]] + [("model", axes[3:])]
    panels = Figure(figsize=(13, 6), layout="constrained").subplots(2, len(columns), squeeze=False)
    words = []
    for column, (name, group) in enumerate(columns):
        for line, (measure, label) in enumerate(MEASURES):
            said = _draw_panel(panels[line, column], group, results, measure)
            panels[line, column].set_xlabel(name)
            panels[line, column].set_ylabel(label)
            words.append(f"{label} by {name}: {said}")
    setattr(panels[0, 0], ALT_TEXT, ". ".join(words) + ".")
    shown: Axes = panels[0, 0]
    return shown


def _draw_panel(ax: "Axes", group: Sequence[Axis], results: dict[str, list[Result]], measure: str) -> str:
    """The points of one panel, from zero up, and the same in words."""
    said = []
    for axis, colour in zip(group, ("#0072b2", "#e69f00"), strict=False):
        known = [(label.split(",")[0], results[row.name]) for label, row in axis.rows if results.get(row.name)]
        values = [median(result[measure] or float("nan") for result in there) for _, there in known]
        labels = [label.removesuffix(" shape") for label, _ in known]
        ax.plot(range(len(values)), values, marker="o", color=colour, label=axis.name.rpartition(" ")[2])
        ax.set_xticks(range(len(labels)), labels)
        said += [f"{axis.name} {label} {value:,.0f}" for label, value in zip(labels, values, strict=True)]
    if len(group) > 1:
        ax.legend(frameon=False)
    ax.margins(y=0.1)
    ax.set_ylim(bottom=0)
    ax.spines[["top", "right"]].set_visible(False)
    return ", ".join(said)


def main() -> None:
    arguments = _parser().parse_args()
    setting = Setting(arguments.model, arguments.examples, arguments.few, held_out=64)
    if arguments.table:
        report = saved_report("growth", arguments.output / NUMBERS, arguments)
    else:
        rows = [row for axis in axes_of(setting) for _, row in axis.rows if row.model in ("", *arguments.sizes)]
        report = run_rounds("growth", setting, rows, [row.name for row in rows], arguments)
    write(arguments.output, "GROWTH.md", as_markdown(report), NUMBERS, report)
    _write_figure(report, arguments)


def _write_figure(report: Report, arguments: argparse.Namespace) -> None:
    from labkit.figures import to_svg

    (arguments.output / "growth.svg").write_text(to_svg(draw(report)) + "\n", "utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    setting, sizes = Setting(), ("tiny", "minilm", BERT_BASE)
    parser.add_argument("--model", default=setting.model)
    parser.add_argument("--examples", type=int, default=setting.examples, help="at most; fewer at the other points")
    parser.add_argument("--few", type=int, default=setting.few, help="examples of the other points")
    parser.add_argument("--sizes", nargs="+", choices=sizes, default=sizes, help="models of the last table")
    add_options(parser, rounds=3)
    return parser


if __name__ == "__main__":
    main()

"""The Markdown page of `make benchmark`, made from the report alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Any

from side_by_side.method import method
from side_by_side.ratios import Estimate, estimate, last_quarter, ratios, why_void
from side_by_side.rounds import Round, Rounds, rounds_of
from side_by_side.rows import BERT_BASE, EVALUATION, TRAINING, Row, Setting
from side_by_side.verdicts import HIDDEN, REQUIREMENTS, Requirement, measured, reaches, same_precision, shares

MISSING = "not measured"
MODELS = {"minilm": "MiniLM", "tiny": "tiny BERT", BERT_BASE: "BERT base shape, random weights"}


@dataclass(frozen=True)
class Report:
    """What `results.json` holds.

    header: setting, rows, machine, half. wanted: how many rounds.
    """

    data: Mapping[str, Any]

    @cached_property
    def setting(self) -> Setting:
        return Setting(**self.data["header"]["setting"])

    @cached_property
    def rows(self) -> list[Row]:
        """Those that were asked for."""
        return [Row(**row) for row in self.data["header"]["rows"] if row["name"] in self.data["names"]]

    @cached_property
    def rounds(self) -> Rounds:
        return rounds_of(self.data["entries"], self.data["names"], self.data["allow_disturbed"])

    @property
    def counted(self) -> list[Round]:
        return self.rounds.counted

    @property
    def half(self) -> str:
        return self.data["header"]["half"] or "fp32"

    def said(self, text: str) -> str:
        """With this machine's half precision by its name."""
        return text.replace("half", self.half)

    @cached_property
    def void(self) -> list[str]:
        return why_void(self.rows, self.counted)


def as_markdown(data: Mapping[str, Any], accuracy: str = "") -> str:
    """Write the whole page.

    accuracy: the line of `make benchmark-accuracy`, where it was measured.
    """
    report = Report(data)
    sections = [
        *heading(report),
        "## What must be shown",
        *_requirements(report, accuracy),
        *training(report, ""),
        *training(report, BERT_BASE),
        *evaluation(report),
        *limits_found(report),
        "## How it was measured",
        method(report.setting),
    ]
    return "\n\n".join(sections) + "\n"


def grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def machine_line(machine: Mapping[str, Any]) -> str:
    """Processor, device, cores, threads, memory, and versions."""
    packages = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    return (
        f"{machine['processor']}, {machine['cores']} cores, {machine['threads']} threads, {machine['memory_gib']} GiB, "
        f"device {machine['device']}; {machine['platform']}; Python {machine['python']}, {packages}."
    )


def heading(report: Report) -> list[str]:
    """Say whether the comparison is void, the machine, the rounds and the settings."""
    counted, left_out = len(report.counted), len(report.rounds.disturbed)
    lines = [f"**Void**: {'; '.join(report.void)}." if report.void else _not_void(counted)]
    setting = report.setting
    left = f"left out because something else used the machine: {left_out}"
    if report.data["allow_disturbed"]:
        left = f"disturbed by something else on the machine: {left_out}, **a trial in which they count**"
    missing = report.data["wanted"] - counted
    lines += [
        "# Speed, side by side",
        f"{report.data['date']}. {machine_line(report.data['header']['machine'])}",
        f"Rounds counted: {counted}; {left}" + (f"; **{missing} fewer than wanted**" if missing > 0 else "") + ". "
        f"{MODELS.get(setting.model, setting.model)}, {setting.examples:,} movie reviews ({setting.few:,} in slow rows), batch "
        f"{setting.batch_size}, AdamW, learning rate {setting.learning_rate:g}, weight decay {setting.weight_decay:g}, warmup "
        f"{setting.warmup_ratio:g}, clipping {setting.max_grad_norm:g}, dropout of the model, epochs: {setting.epochs}.",
    ]
    return lines


def _not_void(counted: int) -> str:
    if counted < 2:
        return f"Rounds counted: {counted}. Whether the losses agree within noise takes two."
    return "The losses of all rows agree within noise, and all evaluations give the same answers: the rows can be compared."


def _requirements(report: Report, accuracy: str) -> list[str]:
    head = ("what", "at least", "aim", "measured, median [90 %]", "at least met", "aim met")
    rows = [_requirement(report, requirement) for requirement in REQUIREMENTS]
    told = accuracy or f"{MISSING}: `make benchmark-accuracy`"
    rows.append(("accuracy after the same number of epochs, 5 seeds", "within noise", "", told, "", ""))
    return [grid(head, rows)]


def _requirement(report: Report, requirement: Requirement) -> Sequence[str]:
    found = measured(requirement, report.rows, report.setting.model, report.counted)
    what = report.said(requirement.what)
    figures = [_figure(figure, requirement) for figure in (requirement.at_least, requirement.aim)]
    if found is None:
        return (what, *figures, MISSING, "", "")
    met = [
        "void" if report.void else "yes" if reaches(found, figure, requirement.less_is_better) else "**no**"
        for figure in (requirement.at_least, requirement.aim)
    ]
    note = "" if same_precision(requirement, report.counted) else " (the default is fp32 here)"
    return (what, *figures, _shown(found, requirement.measure == "share") + note, *met)


def _figure(figure: float, requirement: Requirement) -> str:
    if requirement.measure == "share":
        return f"{figure:.0%}"
    return f"at most {figure:g} x" if requirement.less_is_better else f"{figure:g} x"


def _shown(found: Estimate | None, percent: bool = False) -> str:
    if found is None:
        return ""
    return format(found, ".1%") if percent else f"{found} x"


def training(report: Report, model: str) -> list[str]:
    """The table of one model's training rows; nothing where there are none."""
    rows = [row for row in report.rows if row.does in TRAINING and row.model == model]
    if not rows:
        return []
    head = (
        "row", "reviews", "reviews/s", "to the best peer of its precision", "of the limit", "peak MiB", "J per 1,000 reviews",
        "training loss, last quarter", "held-out loss",
    )  # fmt: skip
    name = model or report.setting.model
    return [f"## Training {MODELS.get(name, name)}", grid(head, [_training_row(report, row, rows) for row in rows])]


def _training_row(report: Report, row: Row, rows: Sequence[Row]) -> Sequence[str]:
    results = [each.results[row.name] for each in report.counted]
    if not results:
        return (report.said(row.about), *[MISSING] * 8)
    precision = f": {results[0]['precision']}" if row.precision == "auto" else ""
    return (
        report.said(row.about) + precision,
        " or ".join(sorted({f"{result['examples']:,}" for result in results})),
        f"{median(result['reviews_per_second'] for result in results):.1f}",
        _to_best_peer(report, row, rows),
        _shown(estimate(shares(row, report.setting.model, report.counted)), percent=True),
        _memory(results),
        _joules(results),
        f"{median(map(last_quarter, results)):.4f}",
        f"{median(result['held_out_loss'] for result in results):.4f}",
    )


def _to_best_peer(report: Report, row: Row, rows: Sequence[Row]) -> str:
    """Give the ratio to the fastest peer of the same precision.

    A peer that is the fastest itself says so.
    """
    mine = {each.results[row.name]["precision"] for each in report.counted}
    speeds = {}
    for peer in rows:
        results = [each.results[peer.name] for each in report.counted]
        if peer.is_peer and {result["precision"] for result in results} == mine:
            speeds[peer.name] = median(result["reviews_per_second"] for result in results)
    if not speeds:
        return ""
    best = max(speeds, key=lambda name: speeds[name])
    return "the best peer" if best == row.name else _shown(estimate(ratios(report.counted, row.name, best)))


def evaluation(report: Report) -> list[str]:
    """The table of the evaluation rows; nothing where there are none."""
    rows = [row for row in report.rows if row.does in EVALUATION]
    if not rows:
        return []
    peer = next((row.name for row in rows if row.is_peer), "")
    head = ("row", "reviews", "reviews/s", "to the pipeline", "peak MiB", "J per 1,000 reviews")
    lines = []
    for row in rows:
        results = [each.results[row.name] for each in report.counted]
        if not results:
            lines.append((row.about, *[MISSING] * 5))
            continue
        precision = f": {results[0]['precision']}" if row.precision == "auto" else ""
        speed = f"{median(result['reviews_per_second'] for result in results):.1f}"
        ratio = "" if row.name == peer else _shown(estimate(ratios(report.counted, row.name, peer)))
        reviews = f"{results[0]['examples']:,}"
        lines.append((row.about + precision, reviews, speed, ratio, _memory(results), _joules(results)))
    return ["## Evaluation, from texts to probabilities", grid(head, lines)]


def limits_found(report: Report) -> list[str]:
    """The table of the limits; nothing where they were not measured."""
    found = [each.results["limit"]["gflops"] for each in report.counted if "limit" in each.results]
    if not found:
        return []
    wanted = {HIDDEN[name]: name for name in (report.setting.model, BERT_BASE) if name in HIDDEN}
    lines = [
        (MODELS[name], precision, f"{median(limits[hidden][precision] for limits in found):,.0f}")
        for hidden, name in wanted.items()
        for precision in found[0][hidden]
    ]
    return ["## The limit: matrix products of the layers' shapes", grid(("shapes of", "precision", "GFLOP/s"), lines)]


def _memory(results: Sequence[Mapping[str, Any]]) -> str:
    sizes = [result["peak_memory_mib"] for result in results if result["peak_memory_mib"] is not None]
    return f"{median(sizes):,.0f}" if sizes else "not told"


def _joules(results: Sequence[Mapping[str, Any]]) -> str:
    joules = [1000 * each["joules"] / _computed(each) for each in results if each["joules"] is not None]
    return f"{median(joules):,.0f}" if joules else "not told"


def _computed(result: Mapping[str, Any]) -> float:
    """Reviews while the clock ran, of all epochs."""
    return float(result["reviews_per_second"] * result["seconds"])

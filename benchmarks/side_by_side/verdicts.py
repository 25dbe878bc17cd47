"""What the speed of labkit must show, beside what was measured.

A figure is met where the 90 % interval of the measured median reaches it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from side_by_side import rows as names
from side_by_side.ratios import Estimate, estimate, ratios
from side_by_side.rounds import Result, Round
from side_by_side.rows import LIMIT, Row

HIDDEN = {"tiny": "128", "minilm": "384", names.BERT_BASE: "768"}  # by which the limits are kept


@dataclass(frozen=True)
class Requirement:
    """One line of what must be shown.

    peer: the other row of a ratio; empty for a share of the limit.
    """

    what: str
    row: str
    peer: str
    at_least: float
    aim: float
    measure: str = "reviews_per_second"

    @property
    def less_is_better(self) -> bool:
        """Of memory."""
        return self.measure == "peak_memory_mib"


REQUIREMENTS = (
    Requirement("training MiniLM, half, to the Trainer's default (dynamic)", names.LABKIT, names.DYNAMIC, 2.3, 4),
    Requirement("the same, to its best setting (grouped by length)", names.LABKIT, names.GROUPED, 1.45, 2.5),
    Requirement("the same, arithmetic unchanged (exact), to grouped by length", names.EXACT, names.GROUPED, 1.15, 1.5),
    Requirement("training MiniLM, fp32, to grouped by length", names.LABKIT_FP32, names.GROUPED_FP32, 1.1, 1.5),
    Requirement("labkit's default to the original lab's setting (fixed 128, fp32)", names.LABKIT, names.ORIGINAL, 11, 20),
    Requirement("useful arithmetic, share of the limit, MiniLM, half", names.LABKIT, "", 0.11, 0.25, "share"),
    Requirement("useful arithmetic, share of the limit, BERT base shape, half", names.LABKIT_BASE, "", 0.20, 0.40, "share"),
    Requirement("evaluation, fp32, to the pipeline in fp32", names.EVALUATE_FP32, names.PIPELINE, 2, 3),
    Requirement("evaluation, labkit's default, to the same", names.EVALUATE, names.PIPELINE, 5, 8),
    Requirement("peak memory, to the Trainer's grouped by length", names.LABKIT, names.GROUPED, 1, 0.5, "peak_memory_mib"),
)  # fmt: skip


def shares(row: Row, model: str, rounds: Sequence[Round]) -> list[float]:
    """Useful arithmetic of the row over the limit of the same round and precision."""
    hidden = HIDDEN.get(row.model or model)
    both = [each for each in rounds if each.holds((row.name, LIMIT))]
    pairs = [(each.results[row.name], each.results[LIMIT]["gflops"]) for each in both]
    return [mine["useful_gflops"] / limits[hidden][mine["precision"]] for mine, limits in pairs if hidden in limits]


def measured(requirement: Requirement, rows: Sequence[Row], model: str, rounds: Sequence[Round]) -> Estimate | None:
    """Return the median of the paired ratios, or of the shares, with its interval.

    It is None where a row was not measured.
    """
    if requirement.measure != "share":
        return estimate(ratios(rounds, requirement.row, requirement.peer, requirement.measure))
    row = next((row for row in rows if row.name == requirement.row), None)
    return estimate(shares(row, model, rounds)) if row else None


def reaches(found: Estimate, figure: float, less_is_better: bool = False) -> bool:
    """Whether the interval (or, of one round, the value) reaches the figure.

    >>> reaches(Estimate(1.4, 1.3, 1.5, 5), 1.45), reaches(Estimate(1.4, 1.3, 1.5, 5), 1.6)
    (True, False)
    """
    if less_is_better:
        return (found.value if found.low is None else found.low) <= figure
    return (found.value if found.high is None else found.high) >= figure


def same_precision(requirement: Requirement, rounds: Sequence[Round]) -> bool:
    """Say whether the default computed in half precision where a line names that.

    On some machines it computes in fp32.
    """
    results: list[Result] = [each.results[requirement.row] for each in rounds if requirement.row in each.results]
    return "half" not in requirement.what or all(result["precision"] != "fp32" for result in results)

"""Ratios of two rows, paired by round, and when a comparison is void.

Ratios: the median over the rounds; its 90 % interval is Student's t interval of the logarithms, which asks that the
logarithms scatter about normally from round to round. A comparison is void where the losses of two rows are too far
apart.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median, stdev

from side_by_side.rounds import Result, Round
from side_by_side.rows import TRAINING, Row

LEVEL = 0.90
MARGIN = 0.03  # of a mean loss
CERTAINTY = 0.99
AGREE = {"fp32": 1e-4, "bf16": 1e-2, "fp16": 3e-3}  # of a probability, between two ways to evaluate one model


@dataclass(frozen=True)
class Estimate:
    """The median of some positive numbers and its interval; of one there is none.

    >>> f"{Estimate(2.0, 1.9, 2.1, 5)}", f"{Estimate(2.0, None, None, 1):.1f}"
    ('2.00 [1.90, 2.10]', '2.0')
    """

    value: float
    low: float | None
    high: float | None
    n: int

    def __format__(self, spec: str) -> str:
        spec = spec or ".2f"
        known = self.low is not None and self.high is not None
        return f"{self.value:{spec}}" + (f" [{self.low:{spec}}, {self.high:{spec}}]" if known else "")


def estimate(values: Sequence[float], level: float = LEVEL) -> Estimate | None:
    """Median and interval; None without values.

    >>> f"{estimate([1.0, 1.1, 1.21])}"
    '1.10 [0.94, 1.29]'
    """
    if not values:
        return None
    if len(values) == 1:
        return Estimate(values[0], None, None, 1)
    logs = [math.log(value) for value in values]
    reach = half_width(logs, level)
    return Estimate(median(values), math.exp(fmean(logs) - reach), math.exp(fmean(logs) + reach), len(values))


def half_width(values: Sequence[float], level: float) -> float:
    """Return half the width of Student's t interval of the mean of some numbers."""
    from scipy import stats

    return float(stats.t.ppf((1 + level) / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


def ratios(rounds: Sequence[Round], row: str, peer: str, what: str = "reviews_per_second") -> list[float]:
    """The row's value over the peer's in each round that has both."""
    pairs = [(each.results[row][what], each.results[peer][what]) for each in rounds if each.holds((row, peer))]
    return [one / other for one, other in pairs if one and other]


def beyond_noise(differences: Sequence[float], margin: float = MARGIN, level: float = CERTAINTY) -> bool:
    """Say whether paired differences are larger than the margin and their t interval.

    Both are asked of their mean. NaN is beyond noise; one difference alone cannot say.

    >>> beyond_noise([0.05, 0.06, 0.05, 0.06]), beyond_noise([0.05, -0.06, 0.2, 0.06]), beyond_noise([0.01, 0.01, 0.01])
    (True, False, False)
    """
    if not all(map(math.isfinite, differences)):
        return True
    return len(differences) > 1 and abs(fmean(differences)) > max(margin, half_width(differences, level))


def last_quarter(result: Result) -> float:
    """The mean training loss over the last quarter of the steps."""
    losses = result["losses"]
    return fmean(losses[-max(1, len(losses) // 4) :])


def reference_of(row: Row, rows: Sequence[Row], rounds: Sequence[Round]) -> Row | None:
    """Find the Trainer's row of the same model, precision and reviews.

    It is the dynamic one where there is one, else the one grouped by length.
    """
    for batching in ("dynamic", "grouped"):
        for other in rows:
            alike = other.does == "trainer" and other.batching == batching and other.model == row.model
            if alike and other.name != row.name and pairs_of(row, other, rounds):
                return other
    return None


def pairs_of(row: Row, other: Row, rounds: Sequence[Round]) -> list[tuple[Result, Result]]:
    """Pair their results in the rounds with the same reviews and precision."""
    both = [(each.results[row.name], each.results[other.name]) for each in rounds if each.holds((row.name, other.name))]
    return [
        (one, two) for one, two in both if (one["examples"], one["precision"]) == (two["examples"], two["precision"])
    ]


def why_void(rows: Sequence[Row], rounds: Sequence[Round]) -> list[str]:
    """Write a sentence for each row that learned or answers otherwise than its peer."""
    reasons = []
    for row in rows:
        reference = reference_of(row, rows, rounds) if row.does in TRAINING else None
        pairs = pairs_of(row, reference, rounds) if reference else []
        for what, value in (("training loss", last_quarter), ("held-out loss", lambda result: result["held_out_loss"])):
            differences = [value(one) - value(two) for one, two in pairs]
            if reference and beyond_noise(differences):
                reasons.append(f"{row.name}: its {what} is {fmean(differences):+.3f} from that of {reference.name}")
    return reasons + _different_answers(rows, rounds)


def _different_answers(rows: Sequence[Row], rounds: Sequence[Round]) -> list[str]:
    """Say the same of evaluation, where equal weights must give equal answers."""
    pipelines = [row for row in rows if row.does == "pipeline"]
    reasons = []
    for row in rows if pipelines else ():
        both = [
            each for each in rounds if row.does == "labkit-evaluation" and each.holds((row.name, pipelines[0].name))
        ]
        for each in both:
            mine, theirs = each.results[row.name], each.results[pipelines[0].name]
            pairs = zip(mine["probabilities"], theirs["probabilities"], strict=True)
            apart = max(abs(one - other) for one, other in pairs)
            if not apart <= AGREE[mine["precision"]]:
                reasons.append(f"{row.name}: a probability is {apart:.4f} from the pipeline's in round {each.number}")
    return reasons

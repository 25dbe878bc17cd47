"""Do the methods name the same words? Rank correlation and top words in common.

Both are measured for each pair of methods. Agreement is no proof: two methods can share a mistake (faithfulness.py asks the
model).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from labkit.display import html_table, text_table
from labkit.evaluation.intervals import Score, mean_interval
from labkit.explanation.attribution import Attribution, aligned

FEWEST_WORDS = 3  # below it a rank correlation says nothing


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Compute Spearman's rank correlation; ties share their mean rank.

    NaN for fewer than three values, or all of them equal.

    >>> rank_correlation([1, 2, 3, 4], [10, 20, 40, 30])
    0.8
    """
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(values) for values in (first, second)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((centred**2).sum(axis=1))
    if ranks.shape[1] < FEWEST_WORDS or not norms.all():
        return math.nan
    return float((centred[0] * centred[1]).sum() / norms.prod())


@dataclass(frozen=True)
class AgreementRow:
    """Two methods on the same texts.

    correlation: of the ranks of the words. overlap: the share of the top words in common. chance: the overlap that two
    random orders would have.
    """

    first: str
    second: str
    correlation: Score
    overlap: Score
    chance: float


@dataclass(frozen=True, repr=False)
class Agreement:
    """How far each pair of methods agrees on n texts.

    top: how many words the overlap counts.
    """

    methods: tuple[str, ...]
    rows: tuple[AgreementRow, ...]
    top: int
    n: int

    def row(self, first: str, second: str) -> AgreementRow:
        """Find the row of two methods, in either order; KeyError where there is none."""
        for row in self.rows:
            if {row.first, row.second} == {first, second}:
                return row
        raise KeyError((first, second))

    @property
    def caption(self) -> str:
        """What the numbers are."""
        what = f"rank correlation of the words, and the share of the top {self.top} in common"
        return f"{what}, n = {self.n}, 95% bootstrap intervals"

    def _table(self) -> list[tuple[str, ...]]:
        head = ("methods", "rank correlation", f"top {self.top} in common", "by chance")
        body = [
            (f"{row.first}, {row.second}", str(row.correlation), str(row.overlap), f"{row.chance:.3f}")
            for row in self.rows
        ]
        return [head, *body]

    def __str__(self) -> str:
        return f"{self.caption}\n{text_table(self._table(), ('<42', '<26', '<24', ''), gap='')}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self.caption, self._table())


def measure_agreement(explanations: Sequence[Attribution], top: int = 3, seed: int = 0) -> Agreement:
    """Measure how far the methods name the same words, for each pair of methods.

    Two methods with a sign are compared by how much each word speaks for what was predicted, any other pair by
    magnitude. Texts with too few words for a rank correlation are left out of it.
    """
    by_method = aligned(explanations)
    rows = tuple(_pair(by_method[a], by_method[b], top, seed) for a, b in combinations(by_method, 2))
    return Agreement(tuple(by_method), rows, top, len(next(iter(by_method.values()))))


def _pair(first: Sequence[Attribution], second: Sequence[Attribution], top: int, seed: int) -> AgreementRow:
    signed = first[0].is_signed and second[0].is_signed
    correlations, overlaps, chances = [], [], []
    for one, other in zip(first, second, strict=True):
        scores = [each.importance if signed else np.abs(each.word_scores) for each in (one, other)]
        correlations.append(rank_correlation(*scores))
        count = min(top, len(one.words))
        leaders = [set(np.argsort(-each, kind="stable")[:count].tolist()) for each in scores]
        overlaps.append(len(leaders[0] & leaders[1]) / count if count else math.nan)
        chances.append(count / len(one.words) if count else math.nan)
    return AgreementRow(
        first[0].method,
        second[0].method,
        mean_interval(correlations, seed=seed),
        mean_interval(overlaps, seed=seed),
        float(np.nanmean(chances)),
    )

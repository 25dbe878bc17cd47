"""Is one model better than another on the same examples, or was it luck?

Compares predictions that were made before. Does not run a model (training.py) or give a single model's intervals
(metrics.py).
"""

import html
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class McNemar:
    """McNemar's exact test of two models on the same n examples.

    only_a_right, only_b_right: how many examples one model had right and the other wrong; p_value: how probable a split
    at least this uneven is when each of those falls to either model by the toss of a coin.

    >>> print(McNemar(n=1000, only_a_right=34, only_b_right=22, p_value=0.14088))
    A is 1.2 points of accuracy above B (only A right: 34, only B right: 22, n = 1000, exact McNemar p = 0.141)
    """

    n: int
    only_a_right: int
    only_b_right: int
    p_value: float

    @property
    def difference(self) -> float:
        """Accuracy of A less accuracy of B, a fraction in [-1, 1]; 0.0 for n = 0."""
        return (self.only_a_right - self.only_b_right) / max(self.n, 1)

    def __str__(self) -> str:
        points = f"{abs(self.difference) * 100:.1f} points of accuracy"
        relation = "above" if self.difference > 0 else "below"
        verdict = f"A is {points} {relation} B" if self.difference else "A and B are equally accurate"
        p = f"p = {self.p_value:.3f}" if self.p_value >= 0.001 else "p < 0.001"
        counts = f"only A right: {self.only_a_right}, only B right: {self.only_b_right}, n = {self.n}"
        return f"{verdict} ({counts}, exact McNemar {p})"

    def _repr_html_(self) -> str:
        return html.escape(str(self))


def mcnemar(labels: ArrayLike, predictions_a: ArrayLike, predictions_b: ArrayLike) -> McNemar:
    """Compare two models on the same examples by those that only one of them has right (McNemar 1947, exact binomial).

    labels, predictions_a, predictions_b: (n,) class indices, in the same order. Two-sided; without a disagreement p is
    1. It asks about this test set and these two trained models, not about other seeds. Raises ValueError when the
    shapes differ or a value is NaN.

    >>> mcnemar([1, 1, 1, 0], [1, 1, 1, 1], [0, 1, 0, 1])
    McNemar(n=4, only_a_right=2, only_b_right=0, p_value=0.5)
    """
    from scipy.stats import binomtest

    true, a, b = (np.asarray(values) for values in (labels, predictions_a, predictions_b))
    if true.ndim != 1 or not true.shape == a.shape == b.shape:
        raise ValueError(
            f"labels and both predictions must have the same shape (n,); found {true.shape}, {a.shape}, {b.shape}"
        )
    for what, values in (("labels", true), ("predictions_a", a), ("predictions_b", b)):
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise ValueError(f"{what} must be class indices; found NaN")
    only_a, only_b = (int(((a == true) & (b != true)).sum()), int(((b == true) & (a != true)).sum()))
    p_value = binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    return McNemar(len(true), only_a, only_b, float(p_value))

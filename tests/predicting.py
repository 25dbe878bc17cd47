"""Results of models that were never trained, for the laws of what is computed from results."""

import numpy as np

from labkit.evaluation.metrics import EvalResult


def make_result(n: int = 60, classes: int = 2, seed: int = 1, name: str = "a model") -> EvalResult:
    """A model that is often right and whose scores hold many ties."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(classes, size=n)
    logits = generator.integers(-2, 3, size=(n, classes)) + 1.5 * np.eye(classes)[labels]
    return EvalResult.from_logits(labels, logits, name)


def make_confident(n: int, sharpness: float, seed: int = 0) -> EvalResult:
    """A model without ties whose logits are `sharpness` times those of a calibrated one: above 1 it is too sure."""
    generator = np.random.default_rng(seed)
    logits = 1.5 * generator.normal(size=(n, 2))
    probabilities = 1 / (1 + np.exp(logits[:, 0] - logits[:, 1]))
    labels = generator.random(n) < probabilities
    return EvalResult.from_logits(labels, sharpness * logits, "too sure")


def calibration_by_hand(rows: list[tuple[float, bool]], bins: int) -> tuple[list[int], float]:
    """Counts and error from the definition: bin k holds k / bins < confidence <= (k + 1) / bins, the first 0 too."""
    counts, error = [], 0.0
    for k in range(bins):
        members = [row for row in rows if k / bins < row[0] <= (k + 1) / bins or (k == 0 and row[0] == 0)]
        counts.append(len(members))
        error += abs(sum(c for c, _ in members) - sum(right for _, right in members)) / max(len(rows), 1)
    return counts, error

"""Early stopping: when to stop, and which epoch's weights to keep.

`EarlyStopping` alone says which epoch is the best; fit.py asks it. Does not train or evaluate: both are handed in.
"""

import math
from collections.abc import Callable

from labkit.errors import LabkitError


class TrainingError(LabkitError):
    """Training cannot go on: the loss is no longer a number."""


class EarlyStopping:
    """Says when to stop: after `patience` losses in a row that do not improve.

    A loss improves when it is below the best by more than `min_delta`; NaN never does. best_loss, best_epoch: of the best
    call so far, epochs counted from 0; inf and None before the first.
    """

    def __init__(self, patience: int = 2, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"patience is {patience}; wanted at least 1")
        self.patience = patience
        self.min_delta = min_delta
        self.best_loss = math.inf
        self.best_epoch: int | None = None
        self._epoch = -1
        self._failures = 0

    def step(self, loss: float) -> bool:
        """Take the loss of the next epoch; True when it is time to stop."""
        self._epoch += 1
        if loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_epoch, self._failures = float(loss), self._epoch, 0
        else:
            self._failures += 1
        return self._failures >= self.patience


def fit_with_early_stopping(
    train: Callable[[], object],
    evaluate: Callable[[], float],
    save: Callable[[], object],
    restore: Callable[[], object],
    max_epochs: int,
    patience: int = 2,
) -> list[float]:
    """Train and evaluate until it is time to stop, then restore the best weights.

    The bare bones of `fit`: it saves at each new best, and restores once. Returns the losses of the epochs that ran.
    Raises ValueError for max_epochs < 1, and TrainingError where no loss was a number, so that there is no best to
    restore.
    """
    if max_epochs < 1:
        raise ValueError(f"max_epochs is {max_epochs}; wanted at least 1")
    stopping, losses = EarlyStopping(patience), list[float]()
    for epoch in range(max_epochs):
        train()
        losses.append(float(evaluate()))
        done = stopping.step(losses[-1])
        if stopping.best_epoch == epoch:
            save()
        if done:
            break
    if stopping.best_epoch is None:
        raise TrainingError(f"no loss was a finite number in {len(losses)} epochs; try a lower learning rate")
    restore()
    return losses

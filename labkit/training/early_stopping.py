"""When to stop: at the epoch after which validation loss no longer falls, and with the weights of the best.

`EarlyStopping` alone says which epoch is the best; fit.py asks it. Does not train or evaluate: both are handed in.
"""

import math
from collections.abc import Callable

from labkit.errors import LabkitError


class TrainingError(LabkitError):
    """Training cannot go on: the loss is no longer a number."""


class EarlyStopping:
    """Says when the loss has failed to improve by more than `min_delta` on `patience` calls in a row.

    best_loss, best_epoch: of the best call so far, epochs counted from 0; inf and None before the first. NaN is no
    improvement.
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
    """The bare bones of `fit`: train and evaluate each epoch, save at each new best, stop in time, restore the best once.

    Returns the losses of the epochs that ran. Raises ValueError for max_epochs < 1, and TrainingError where no loss was a
    number, so that there is no best to restore.
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

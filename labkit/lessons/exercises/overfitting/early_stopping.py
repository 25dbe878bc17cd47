"""Exercise 5.1, EarlyStopping: when to stop, and which epoch was the best.

Losses and min_delta are multiples of 1/64, so that no rounding decides what has improved by more than min_delta.
"""

from collections.abc import Iterator, Sequence
from math import inf, nan
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
from labkit.checks.properties import all_of, list_of, part_is
from labkit.checks.wire import Plain, close, shown
from labkit.lessons.observers import overfitting as observers

LONG = [3.0, 2.5, 2.375, 2.75, nan, 2.0, 2.0, 2.25, 1.5, 1.75, 1.625, 1.375, 1.25, 1.5, nan, 1.75, 2.0, 0.5, 1.0]
LARGE_TO_ZERO = [inf, 70000.0, 4096.0, 8192.0, 1.0, 0.0, 0.5, 0.0, 0.25]


def early_stopping_reference(
    losses: Sequence[float], patience: int = 2, min_delta: float = 0.0
) -> list[tuple[bool, float, int | None]]:
    """What each step says, and best_loss and best_epoch after it."""
    best_loss, best_epoch, steps = inf, None, []
    for epoch, loss in enumerate(losses):
        if best_loss - loss > min_delta:  # NaN is never above
            best_loss, best_epoch = loss, epoch
        failures = epoch - (-1 if best_epoch is None else best_epoch)
        steps.append((failures >= patience, best_loss, best_epoch))
    return steps


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    for _ in range(4):
        count = int(generator.integers(8, 25))
        losses = (np.round(64 * (np.linspace(3, 1, count) + generator.normal(size=count, scale=0.4))) / 64).tolist()
        losses[int(generator.integers(1, count))] = nan
        min_delta = float(generator.choice([0.0, 1 / 16, 1 / 4]))
        yield "long", (losses, int(generator.integers(1, 5)), min_delta)


def _said(value: Plain) -> list[Plain]:
    return [said for said, _, _ in value["after"]]


def _says(case: Case, observation: Observation) -> Failure | None:
    wanted = [stop for stop, _, _ in early_stopping_reference(**case.inputs)]
    found = _said(observation.value)
    return None if found == wanted else Failure(f"step says {shown(wanted)}", f"step says {shown(found)}")


def _knows_the_best(case: Case, observation: Observation) -> Failure | None:
    steps = zip(early_stopping_reference(**case.inputs), observation.value["after"], strict=True)
    for number, ((_, *wanted), (_, *found)) in enumerate(steps):
        if not close(found, wanted):
            return Failure(*(f"after step {number}: {_shown_best(*best)}" for best in (wanted, found)))
    return None


def _shown_best(loss: Plain, epoch: Plain) -> str:
    return f"best_loss {shown(loss)}, best_epoch {shown(epoch)}"


def _starts_empty(case: Case, observation: Observation) -> Failure | None:
    before = observation.value["before"]
    return None if before == [inf, None] else Failure(_shown_best(inf, None), _shown_best(*before))


class Stopping:
    """The right rule in small parts, each of which a wrong answer replaces."""

    best_loss, best_epoch, previous, epoch = inf, None, inf, -1
    failures = only = 0  # only: the patience that it always has

    def __init__(self, patience: int = 2, min_delta: float = 0.0) -> None:
        self.patience, self.min_delta = self.only or patience, min_delta

    def improves(self, loss: float) -> bool:
        return loss < self.best_loss - self.min_delta

    def count(self, improved: bool) -> int:
        return 0 if improved else self.failures + 1

    def best(self, loss: float, improved: bool) -> tuple[Any, Any]:
        return (loss, self.epoch) if improved else (self.best_loss, self.best_epoch)

    def says(self) -> Any:
        return self.failures >= self.patience

    def step(self, loss: float) -> Any:
        self.epoch += 1
        improved = self.improves(loss)
        self.failures = self.count(improved)
        self.best_loss, self.best_epoch = self.best(loss, improved)
        self.previous = loss
        return self.says()


def stopping(**parts: Any) -> type[Stopping]:
    """The right rule but for these parts."""
    return type("EarlyStopping", (Stopping,), parts)


def best_so_far(self: Stopping, loss: float, improved: bool) -> tuple[Any, Any]:
    """The best loss kept rightly, whatever was taken for an improvement."""
    return Stopping.best(self, loss, loss < self.best_loss - self.min_delta)


EXERCISE = Exercise(
    "5.1",
    "EarlyStopping",
    observers.early_stopping,
    nudge=(
        "Write the losses in a column, and beside each the best one so far and the failures in a row. What must be "
        "remembered from one call to the next?"
    ),
    in_words=(
        "Every loss is held against the best one so far, never against the one before. If it is lower by more than "
        "min_delta, remember it and its epoch, and let the failures begin at 0 again. If not, it is one failure more,"
        " and with as many as patience it is time to stop."
    ),
    takes="losses patience min_delta",
    properties=(
        Property(
            "before the first call best_loss is inf and best_epoch None",
            "Before any loss was seen there is no best epoch, and every loss should be better than the best one so far.",
            test=_starts_empty,
        ),
        Property(
            "step says True after patience failures in a row",
            "Go through the losses one by one and count the failures beside them. At which call has patience run out?",
            on="plain",
            fixed=[([1.0, 0.5, 0.75, 0.875],), ([1.0, 1.5, 1.25],), ([2.0, 1.5, 1.0, 0.5, 1.0, 0.75],)],
            test=_says,
            core=True,
            idea=True,
        ),
        Property(
            "an improvement starts the count anew",
            "What becomes of the failures counted so far when the loss improves, and with which loss do you compare?",
            on="anew",
            fixed=[
                ([1.0, 1.5, 0.5, 0.75, 0.25, 0.5, 0.375],),
                ([2.0, 2.5, 1.5, 1.75, 1.0, 1.25, 0.75, 0.5, 1.0, 1.5],),
            ],
            test=_says,
            core=True,
            idea=True,
        ),
        Property(
            "best_loss and best_epoch are those of the best call",
            "Print best_loss and best_epoch after every call. When should they change, and which number has the first epoch?",
            on=("plain", "anew"),
            test=_knows_the_best,
            core=True,
        ),
        Property(
            "it stays True while the failures go on, and no longer",
            "Whoever calls step may go on after the stop. What should it say at the next failure, and what at an improvement?",
            fixed=[([1.0, 1.5, 1.75, 2.0, 1.25, 3.0],), ([1.0, 1.5, 1.75, 0.5, 0.75, 1.0, 1.25],)],
        ),
        Property(
            "patience is the caller's",
            "Is the argument patience used, and does the count reach it at the right call?",
            fixed=[
                ([1.0, 1.5, 0.5, 0.75], 1),
                ([1.0, 1.5, 1.25, 1.75, 2.0], 3),
                ([2.0, 1.0, 1.5, 1.25, 1.75, 1.5, 1.125, 3.0], 5),
            ],
            test=_says,
        ),
        Property(
            "an equal loss is no improvement",
            "Has a loss improved that is the same as the best one?",
            fixed=[([1.0, 1.0, 1.0],), ([1.0, 0.5, 0.5, 0.25, 0.25, 0.25],)],
        ),
        Property(
            "only an improvement by more than min_delta counts",
            "How far below the best loss must a loss lie to count, and what happens to the best loss if it does not?",
            fixed=[
                {"losses": [1.0, 0.875, 0.75, 0.625], "min_delta": 0.25},
                {"losses": [1.0, 0.75, 0.5, 0.25], "min_delta": 0.25},
                {"losses": [2.0, 1.5, 1.375, 0.75, 0.875, 0.625], "min_delta": 0.5},
                {"losses": [1.0, 1.0625, 0.5, 0.5625, 0.53125], "min_delta": 0.125},
            ],
        ),
        Property(
            "NaN is no improvement",
            "Every comparison with NaN is false. What does yours make of that, also at the very first call?",
            fixed=[([1.0, nan, nan, 0.5],), ([nan, 1.0, nan, 0.5, nan, nan],), ([nan, nan, 1.0],)],
        ),
        Property(
            "all of it together over long runs",
            "Follow the example to the first call that differs: what are the best loss and the count of failures there?",
            on="long",
            fixed=[(LONG,), (LONG, 3, 0.25), (LONG[::-1], 2, 0.125), (LARGE_TO_ZERO,)],
        ),
        Property(
            "step says True or False",
            "What comes out of step where it is not yet time to stop? It should be a truth value in every case.",
            test=part_is("True or False", list_of(lambda said: isinstance(said, bool)), _said),
        ),
    ),
    wrong={
        "failures counted in total": (
            "You count all failures since the beginning. After an improvement patience should be whole again.",
            stopping(count=lambda self, improved: self.failures + (not improved)),
        ),
        "compared with the loss before": (
            "You compare with the loss of the epoch before. A loss that falls a little after a jump is still no new best.",
            stopping(improves=lambda self, loss: loss < self.previous - self.min_delta),
        ),
        "compared with the loss before, the best one kept beside it": (
            "Your best loss is right, but failures are counted against the epoch before. A loss below that one may still fail.",
            stopping(improves=lambda self, loss: loss < self.previous - self.min_delta, best=best_so_far),
        ),
        "the loss before kept as the best": (
            "You write every loss over best_loss, so that yours compares with the epoch before and not with the best one.",
            stopping(best=lambda self, loss, improved: (loss, self.epoch if improved else self.best_epoch)),
        ),
        "the best loss is forgotten": (
            "You compare with best_loss, but it stays inf: nobody has told it of the improvement, so every loss is one.",
            stopping(best=lambda self, loss, improved: (inf, self.epoch if improved else self.best_epoch)),
        ),
        "nothing is remembered": (
            "After every call best_loss is still inf and best_epoch None. What should an improvement leave behind?",
            stopping(best=lambda self, loss, improved: (inf, None)),
        ),
        "min_delta with the wrong sign": (
            "With min_delta yours takes a loss for better that lies above the best one. On which side should the margin be?",
            stopping(improves=lambda self, loss: loss < self.best_loss + self.min_delta),
        ),
        "min_delta ignored": (
            "Any loss below the best one counts as an improvement in yours. How far below does min_delta ask it to be?",
            stopping(improves=lambda self, loss: loss < self.best_loss),
        ),
        "the best loss follows tiny improvements": (
            "Your best loss changes with improvements too small to count. Many of them may add up to one that counts.",
            stopping(best=lambda self, loss, improved: Stopping.best(self, loss, loss < self.best_loss)),
        ),
        "NaN as an improvement": (
            "You ask whether the loss is no better, and with NaN that is false. So a broken loss becomes your best one.",
            stopping(improves=lambda self, loss: not loss >= self.best_loss - self.min_delta),
        ),
        "an equal loss as an improvement": (
            "A loss that only equals the best one starts your count anew. Training that stands still would never end.",
            stopping(improves=lambda self, loss: loss <= self.best_loss - self.min_delta),
        ),
        "epochs counted from 1": ("Your first epoch has number 1. Epochs count from 0 here.", stopping(epoch=0)),
        "one call too late": (
            "Yours stops one call too late: it waits until there are more failures than patience.",
            stopping(says=lambda self: self.failures > self.patience),
        ),
        "one call too early": (
            "Yours stops one call too early. How many failures may there be before patience has run out?",
            stopping(says=lambda self: self.failures >= max(1, self.patience - 1)),
        ),
        "higher is better": (
            "Yours waits for the loss to rise. Of a loss the lowest is the best.",
            stopping(best_loss=-inf, improves=lambda self, loss: loss > self.best_loss + self.min_delta),
        ),
        "true for one call only": (
            "Yours says True once and then counts from 0 again, although nothing has improved.",
            stopping(says=lambda self: self.failures > 0 and self.failures % self.patience == 0),
        ),
        "true for ever": (
            "Once yours has said True it says so for ever. An improvement ends the failures in a row.",
            stopping(count=lambda self, improved: 0 if improved and not self.says() else self.failures + 1),
        ),
        "true only at the call itself": (
            "Yours is True only at the call at which patience runs out. The failures go on after it.",
            stopping(says=lambda self: self.failures == self.patience),
        ),
        "the best loss is always the last": (
            "Your best loss is always the last one. It should change on an improvement only.",
            stopping(best=lambda self, loss, improved: (loss, self.epoch)),
        ),
        "the best epoch is forgotten": (
            "Your best loss follows, but best_epoch stays where it was.",
            stopping(best=lambda self, loss, improved: (loss if improved else self.best_loss, None)),
        ),
        "says whether it improved": (
            "Your step says whether the loss has improved. It should say whether it is time to stop.",
            stopping(says=lambda self: self.failures == 0),
        ),
        "nothing instead of False": (
            "Where it is not time to stop, nothing comes out of your step. False is an answer too.",
            stopping(says=lambda self: True if self.failures >= self.patience else None),
        ),
        "patience of 2 whatever is asked": (
            "Patience is an argument: yours always waits for two failures.",
            stopping(only=2),
        ),
        "best_epoch 0 from the start": (
            "Your best_epoch is 0 before any epoch was run. Until there is one, it should be None.",
            stopping(best_epoch=0),
        ),
    },
    drawn=_drawn,
    test=all_of(_says, _knows_the_best),
    same=close,
    keeps_arguments=None,
)

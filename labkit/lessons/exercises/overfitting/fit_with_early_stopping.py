"""Exercise 5.2, fit_with_early_stopping: the loop that keeps its best epoch.

The model of a case counts how often it was trained, and the state in which it is left says which epoch's weights it has. Its
calls are told one by one as they happen, and all else is worked out from them here: no answer can rewrite them.
"""

from collections.abc import Callable, Iterator, Sequence
from math import inf, nan
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property, visible
from labkit.checks.properties import all_of, list_of, part_is
from labkit.checks.values import numbers, same_numbers
from labkit.checks.wire import Plain, close, is_number, shown
from labkit.lessons.exercises.overfitting.early_stopping import (
    Stopping,
    best_so_far,
    early_stopping_reference,
    stopping,
)
from labkit.lessons.observers import overfitting as observers

LONG = [3.0, nan, 2.5, 2.75, 2.5, 2.0, 2.25, 1.5, 1.75, 1.0, 1.25, 1.125, 0.5, 0.75]


def fit_reference(losses: Sequence[float], max_epochs: int, patience: int = 2) -> tuple[list[float], list[int]]:
    """The losses of the run, and the epochs after which it saves, the best one last."""
    steps = early_stopping_reference(losses[:max_epochs], patience)
    count = next((epochs for epochs, (stop, _, _) in enumerate(steps, 1) if stop), len(steps))
    return list(losses[:count]), [epoch for epoch, (_, _, best) in enumerate(steps[:count]) if best == epoch]


def _of(losses: Sequence[float], max_epochs: int = 0, **named: Plain) -> Inputs:
    return {"losses": losses, "max_epochs": max_epochs or len(losses), **named, "_untrained": 4.0}


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    for _ in range(4):
        count = int(generator.integers(6, 20))
        losses = (np.round(64 * (np.linspace(3, 2, count) + generator.normal(size=count, scale=0.5))) / 64).tolist()
        losses[int(generator.integers(1, count))] = nan
        yield "long", _of(losses, patience=int(generator.integers(1, 5)))


def _gives_the_losses(case: Case, observation: Observation) -> Failure | None:
    (wanted, _), found = fit_reference(**visible(case.inputs)), observation.value["returned"]
    return None if same_numbers(found, wanted) else Failure(f"the losses {shown(wanted)}", f"the losses {shown(found)}")


def _left_at(calls: Sequence[str]) -> int:
    """How often the model has been trained, as these calls leave it."""
    state = saved = 0
    for name in calls:
        state = {"train": state + 1, "restore": saved}.get(name, state)
        saved = state if name == "save" else saved
    return state


def _ends_at_the_best(case: Case, observation: Observation) -> Failure | None:
    (_, (*_, wanted)), found = fit_reference(**visible(case.inputs)), _left_at(observation.value["calls"]) - 1
    return None if found == wanted else Failure(f"the model as epoch {wanted} left it", f"epoch {found}")


def _saves_each_best(case: Case, observation: Observation) -> Failure | None:
    (_, wanted), calls = fit_reference(**visible(case.inputs)), observation.value["calls"]
    found = [calls[:place].count("evaluate") - 1 for place, name in enumerate(calls) if name == "save"]
    return None if found == wanted else Failure(f"save after the epochs {wanted}", f"save after the epochs {found}")


def _takes_turns(case: Case, observation: Observation) -> Failure | None:
    found = [name for name in observation.value["calls"] if name in ("train", "evaluate")]
    wanted = ["train", "evaluate"] * len(fit_reference(**visible(case.inputs))[0])
    told = (f"{shown(calls, 100)}, {len(calls)} calls" for calls in (wanted, found))
    return None if found == wanted else Failure(*told)


def _restores_once(case: Case, observation: Observation) -> Failure | None:
    calls, times = observation.value["calls"], observation.value["calls"].count("restore")
    got = f"{times} times" if times != 1 else f"before {calls[-1]}"
    return (
        None if times == 1 and calls[-1] == "restore" else Failure("restore once, as the last call", f"restore {got}")
    )


def _loop(
    rule: Callable[..., Stopping] = Stopping,
    before: bool = False,
    save_each: bool = False,
    restore: str = "end",
    give: Callable[[list[float]], Any] = lambda losses: losses,
) -> Any:
    """A wrong answer. restore: "end", "stop" (only there), "failure" (each) or ""."""

    def answer(train: Any, evaluate: Any, save: Any, back: Any, max_epochs: int, patience: int = 2) -> Any:
        state, stop = rule(patience), False
        losses: list[float] = []
        while len(losses) < max_epochs and not stop:
            losses.append([evaluate(), train()][0] if before else [train(), evaluate()][1])
            stop = state.step(losses[-1])
            if save_each or state.best_epoch == state.epoch:
                save()
            elif restore == "failure":
                back()
        if restore == "end" or (restore == "stop" and stop):
            back()
        return give(losses)

    return answer


EXERCISE = Exercise(
    "5.2",
    "fit_with_early_stopping",
    observers.fit_with_early_stopping,
    nudge="Which of the four callbacks belongs to every epoch, which to some of them, and which to the end alone?",
    in_words=(
        "An epoch trains and is then evaluated. A new best is saved; anything else is one failure more, and enough of"
        " them in a row end the loop early. However it ended, the model is that of the last epoch and the best one is"
        " wanted: restore it once, and give all losses of the run."
    ),
    properties=(
        Property(
            "it stops when patience has run out, and gives the losses of the epochs that were run",
            "Write the losses down one by one with the failures in a row beside them. After which epoch should it stop?",
            on="stops",
            fixed=[
                _of([1.0, 0.5, 0.75, 0.875, 0.25]),
                _of([1.0, 1.5, 1.25, 0.5, 0.25]),
                _of([2.0, 1.5, 1.75, 1.25, 1.5, 1.375, 1.0, 0.5]),
                _of([2.0, 1.75, 1.5, 1.25, 1.5, 1.75, 1.0], 30),
            ],
            test=_gives_the_losses,
            core=True,
            idea=True,
        ),
        Property(
            "a run that was stopped ends with the model of its best epoch",
            "The last epochs were worse than the best. Whose weights has the model when your function is done?",
            on="stops",
            test=_ends_at_the_best,
            core=True,
            idea=True,
        ),
        Property(
            "a run that reaches max_epochs ends with the model of its best epoch too",
            "The last epoch need not be the best, also where patience never ran out. Which weights has the model then?",
            on="through",
            fixed=[_of([1.0, 0.5, 0.75]), _of([1.0, 0.75, 0.5, 0.625]), _of([1.0, 1.5])],
            test=_ends_at_the_best,
            core=True,
            idea=True,
        ),
        Property(
            "while the loss falls it runs to max_epochs",
            "How many epochs should there be while the loss still falls, and where is the end of the loop?",
            on=("falling", "through"),
            fixed=[
                _of([1.0, 0.75, 0.5]),
                _of([1.0]),
                _of([1.0, 1.5, 0.5, 0.25, 0.125], 3),
                _of([70000.0, 4096.0, 1024.0, 256.0]),
            ],
            test=_gives_the_losses,
        ),
        Property(
            "patience is the caller's",
            "Is the argument patience used, and does the count of failures reach it at the right epoch?",
            fixed=[
                _of([1.0, 1.5, 0.5], patience=1),
                _of([1.0, 1.5, 1.25, 1.75, 0.5], patience=3),
                _of([2.0, 1.0, 1.5, 1.25, 1.75, 1.125, 1.0625, 0.5], patience=5),
            ],
        ),
        Property(
            "an equal loss and NaN are no new best",
            "Is a loss that equals the best one better, and how does your comparison come out with NaN?",
            fixed=[
                _of([1.0, 1.0, 1.0, 0.5]),
                _of([1.0, nan, nan, 0.5]),
                _of([nan, 1.0, nan, 0.5, nan, nan, 0.25]),
                _of([1.0, 0.5, nan, 0.75], 3),
            ],
        ),
        Property(
            "all of it together over long runs",
            "Follow the example epoch by epoch to the first that differs: which loss is the best so far, and what was saved?",
            on="long",
            fixed=[_of(LONG), _of(LONG, patience=3), _of([*LONG, 1.0, 2.0], patience=3)],
        ),
        Property(
            "each epoch trains once and then evaluates once",
            "Note down the calls in their order. An epoch is one training and then one evaluation.",
            test=_takes_turns,
            witnessed=True,
        ),
        Property(
            "it saves at each new best, and only there",
            "At which epochs is there a new best, and after which of them do you save?",
            test=_saves_each_best,
            witnessed=True,
        ),
        Property(
            "it restores once, at the end",
            "How often do you restore, and what do you call after it?",
            test=_restores_once,
            witnessed=True,
        ),
        Property(
            "returns a list of floats",
            "The run may be right, but the exercise asks for the losses of its epochs, in a list.",
            test=part_is("a list of floats", list_of(is_number), lambda value: value["returned"]),
        ),
    ),
    wrong={
        "nothing restored at max_epochs": (
            "You restore only where patience runs out. A run that reaches its last epoch has a best one too.",
            _loop(restore="stop"),
        ),
        "nothing restored": (
            "You save the best epoch, but its weights never come back: the model keeps those of the last.",
            _loop(restore=""),
        ),
        "saved after every epoch": (
            "You save after every epoch, so the best weights are overwritten by worse ones.",
            _loop(save_each=True),
        ),
        "evaluated before training": (
            "You evaluate before you train, so every loss belongs to the epoch before.",
            _loop(before=True),
        ),
        "restored after every failure": (
            "You go back to the best epoch after every failure. Training goes on from where it is; only the end restores.",
            _loop(restore="failure"),
        ),
        "one epoch too late": (
            "Yours stops one epoch too late: it waits until there are more failures than patience.",
            _loop(stopping(says=lambda self: self.failures > self.patience)),
        ),
        "one epoch too early": (
            "Yours stops one epoch too early. How many failures may there be before patience has run out?",
            _loop(stopping(says=lambda self: self.failures >= max(1, self.patience - 1))),
        ),
        "failures counted in total": (
            "You count all failures of the run. After a new best patience should be whole again.",
            _loop(stopping(count=lambda self, improved: self.failures + (not improved))),
        ),
        "compared with the loss before": (
            "You compare with the loss of the epoch before, and save what is better than that. It may be worse than the best.",
            _loop(stopping(improves=lambda self, loss: loss < self.previous)),
        ),
        "patience counted against the loss before": (
            "You save the right epochs, but patience counts against the epoch before: a loss below that one may still fail.",
            _loop(stopping(improves=lambda self, loss: loss < self.previous, best=best_so_far)),
        ),
        "the best loss is forgotten": (
            "Your best loss stays where it began, so every epoch looks like a new best: it saves each one and never stops.",
            _loop(stopping(best=lambda self, loss, improved: (inf, self.epoch if improved else self.best_epoch))),
        ),
        "an equal loss as a new best": (
            "A loss that only equals the best one counts as better in yours, so it saves again and patience never ends.",
            _loop(stopping(improves=lambda self, loss: loss <= self.best_loss)),
        ),
        "NaN as a new best": (
            "You ask whether the loss is no better, and with NaN that is false. So you save a broken model as the best.",
            _loop(stopping(improves=lambda self, loss: not loss >= self.best_loss)),
        ),
        "never stops": (
            "Yours always runs to the last epoch. The best weights come back, but the time is lost.",
            _loop(stopping(says=lambda self: False)),
        ),
        "the best loss alone": (
            "You give the best loss. The exercise asks for the losses of all epochs that were run.",
            _loop(give=lambda losses: [min(losses)]),
        ),
        "the losses up to the best": (
            "Your losses end at the best epoch. Those of the epochs after it belong to the run as well.",
            _loop(give=lambda losses: losses[: losses.index(min(losses)) + 1]),
        ),
        "patience of 2 whatever is asked": (
            "Patience is an argument: yours always waits for two failures.",
            _loop(stopping(only=2)),
        ),
    },
    drawn=_drawn,
    test=all_of(_gives_the_losses, _ends_at_the_best, _saves_each_best),
    same=lambda one, other: close({**one, "returned": numbers(one["returned"]).tolist()}, other),
    keeps_arguments=None,
)

"""Exercise 5.2, fit_with_early_stopping: the loop that keeps its best epoch.

The model of a case counts how often it was trained; the state in which it is left says which epoch's weights it has.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.values import numbers
from labkit.checks.wire import Plain, close, is_number, shown
from labkit.lessons.exercises.overfitting.early_stopping import early_stopping_reference
from labkit.lessons.observers import overfitting as observers


@dataclass(frozen=True)
class Course:
    """What a right answer does: the losses it gives, the epochs at which it saves, the epochs of training it ends with."""

    losses: list[float]
    saves: list[int]

    @property
    def left_at(self) -> int:
        """How often the model that is restored at the end was trained."""
        return self.saves[-1] + 1


def fit_reference(losses: Sequence[float], max_epochs: int, patience: int = 2) -> Course:
    """The contract from the stopping rule of 5.1."""
    steps = early_stopping_reference(losses[:max_epochs], patience)
    last = next((epoch for epoch, (stop, _, _) in enumerate(steps) if stop), len(steps) - 1)
    bests = [epoch for _, _, epoch in steps[: last + 1]]
    return Course(list(losses[: last + 1]), sorted({epoch for epoch in bests if epoch is not None}))


def _case(label: str, losses: Sequence[float], max_epochs: int | None = None, **named: Plain) -> Case:
    epochs = {"max_epochs": len(losses) if max_epochs is None else max_epochs}
    return Case({"losses": list(losses), **epochs, **named, "_untrained": 4.0}, label)


LONG = [3.0, math.nan, 2.5, 2.75, 2.5, 2.0, 2.25, 1.5, 1.75, 1.0, 1.25, 1.125, 0.5, 0.75]


@cache
def _fixed() -> tuple[Case, ...]:
    return (
        _case("stops", [1.0, 0.5, 0.75, 0.875, 0.25]),
        _case("stops", [1.0, 1.5, 1.25, 0.5, 0.25]),
        _case("stops", [2.0, 1.5, 1.75, 1.25, 1.5, 1.375, 1.0, 0.5]),
        _case("stops", [2.0, 1.75, 1.5, 1.25, 1.5, 1.75, 1.0], 30),
        _case("through", [1.0, 0.5, 0.75]),
        _case("through", [1.0, 0.75, 0.5, 0.625]),
        _case("through", [1.0, 1.5]),
        _case("falling", [1.0, 0.75, 0.5]),
        _case("falling", [1.0]),
        _case("falling", [1.0, 1.5, 0.5, 0.25, 0.125], 3),
        _case("patience", [1.0, 1.5, 0.5], patience=1),
        _case("patience", [1.0, 1.5, 1.25, 1.75, 0.5], patience=3),
        _case("patience", [2.0, 1.0, 1.5, 1.25, 1.75, 1.125, 1.0625, 0.5], patience=5),
        _case("no better", [1.0, 1.0, 1.0, 0.5]),
        _case("no better", [1.0, math.nan, math.nan, 0.5]),
        _case("no better", [math.nan, 1.0, math.nan, 0.5, math.nan, math.nan, 0.25]),
        _case("no better", [1.0, 0.5, math.nan, 0.75], 3),
        _case("long", LONG),
        _case("long", LONG, patience=3),
        _case("long", [*LONG, 1.0, 2.0], patience=3),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator) for _ in range(4))]


def _drawn(generator: np.random.Generator) -> Case:
    count = int(generator.integers(6, 20))
    losses = (np.round(64 * (np.linspace(3, 2, count) + generator.normal(size=count, scale=0.5))) / 64).tolist()
    losses[int(generator.integers(1, count))] = math.nan
    return _case("long", losses, patience=int(generator.integers(1, 5)))


def _course(case: Case) -> Course:
    return fit_reference(**{name: value for name, value in case.inputs.items() if not name.startswith("_")})


def _gives_the_losses(case: Case, observation: Observation) -> Failure | None:
    wanted, found = _course(case).losses, observation.value["returned"]
    same = close(numbers(found).tolist(), wanted)
    return None if same else Failure(f"the losses {shown(wanted)}", f"the losses {shown(found)}")


def _ends_with_the_best(case: Case, observation: Observation) -> Failure | None:
    wanted, found = _course(case).left_at, observation.value["left_at"]
    return None if found == wanted else Failure(f"the model as epoch {wanted - 1} left it", f"epoch {found - 1}")


def _all(case: Case, observation: Observation) -> Failure | None:
    return (
        _gives_the_losses(case, observation)
        or _ends_with_the_best(case, observation)
        or _saves_each_best(case, observation)
    )


def _takes_turns(case: Case, observation: Observation) -> Failure | None:
    found = [name for name in observation.value["calls"] if name in ("train", "evaluate")]
    wanted = ["train", "evaluate"] * len(_course(case).losses)
    return None if found == wanted else Failure(_counted(wanted), _counted(found))


def _counted(calls: Sequence[str]) -> str:
    return f"{shown(list(calls), 100)}, {len(calls)} calls"


def _saves_each_best(case: Case, observation: Observation) -> Failure | None:
    wanted, found = _course(case).saves, _saved_after(observation.value["calls"])
    return None if found == wanted else Failure(f"save after the epochs {wanted}", f"save after the epochs {found}")


def _saved_after(calls: Sequence[str]) -> list[int]:
    """The epochs, counted by evaluations, after which save was called."""
    return [calls[:place].count("evaluate") - 1 for place, name in enumerate(calls) if name == "save"]


def _restores_once(case: Case, observation: Observation) -> Failure | None:
    calls = observation.value["calls"]
    once = calls.count("restore") == 1 and calls[-1] == "restore"
    times = calls.count("restore")
    got = f"{times} times" if times != 1 else f"before {calls[-1]}"
    return None if once else Failure("restore once, as the last call", f"restore {got}")


def _returns_floats(case: Case, observation: Observation) -> Failure | None:
    value = observation.value["returned"]
    right = isinstance(value, list) and all(map(is_number, value))
    return None if right else Failure("a list of floats", shown(value))


Callback = Callable[[], Any]


def _loop(
    before: bool = False,
    better: Callable[[float, float, float], bool] = lambda loss, best, previous: loss < best,
    save_each: bool = False,
    enough: Callable[[int, int], bool] = lambda failures, patience: failures >= patience,
    reset: bool = True,
    restore: str = "end",
    give: Callable[[list[float]], Any] = lambda losses: losses,
    only: int | None = None,
) -> Any:
    """A wrong answer, right but for what is asked for. restore: "end", "stop" (only there), "failure" (after each) or ""."""

    def answer(
        train: Callback, evaluate: Callback, save: Callback, back: Callback, max_epochs: int, patience: int = 2
    ) -> Any:
        best, previous, failures, losses, stopped = math.inf, math.inf, 0, [], False
        for _ in range(max_epochs):
            loss = [evaluate(), train()][0] if before else [train(), evaluate()][1]
            losses.append(loss)
            improved = better(loss, best, previous)
            best, previous = (loss if improved else best), loss
            failures = (0 if reset else failures) if improved else failures + 1
            if improved or save_each:
                save()
            elif restore == "failure":
                back()
            stopped = enough(failures, only or patience)
            if stopped:
                break
        if restore == "end" or (restore == "stop" and stopped):
            back()
        return give(losses)

    return answer


def _same(one: Plain, other: Plain) -> bool:
    return close({**one, "returned": numbers(one["returned"]).tolist()}, other)


EXERCISE = Exercise(
    "5.2",
    "fit_with_early_stopping",
    observers.fit_with_early_stopping,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "it stops when patience has run out, and gives the losses of the epochs that were run",
            "Write the losses down one by one with the failures in a row beside them. After which epoch should it stop?",
            on="stops",
            test=_gives_the_losses,
            core=True,
        ),
        Property(
            "a run that was stopped ends with the model of its best epoch",
            "The last epochs were worse than the best. Whose weights has the model when your function is done?",
            on="stops",
            test=_ends_with_the_best,
            core=True,
        ),
        Property(
            "a run that reaches max_epochs ends with the model of its best epoch too",
            "The last epoch need not be the best, also where patience never ran out. Which weights has the model then?",
            on="through",
            test=_ends_with_the_best,
            core=True,
        ),
        Property(
            "while the loss falls it runs to max_epochs",
            "How many epochs should there be while the loss still falls, and where is the end of the loop?",
            on=("falling", "through"),
            test=_gives_the_losses,
        ),
        Property(
            "patience is the caller's",
            "Is the argument patience used, and does the count of failures reach it at the right epoch?",
            on="patience",
            test=_all,
        ),
        Property(
            "an equal loss and NaN are no new best",
            "Is a loss that equals the best one better, and how does your comparison come out with NaN?",
            on="no better",
            test=_all,
        ),
        Property(
            "all of it together over long runs",
            "Follow the example epoch by epoch to the first that differs: which loss is the best so far, and what was saved?",
            on="long",
            test=_all,
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
            test=_returns_floats,
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
            _loop(enough=lambda failures, patience: failures > patience),
        ),
        "one epoch too early": (
            "Yours stops one epoch too early. How many failures may there be before patience has run out?",
            _loop(enough=lambda failures, patience: failures >= max(1, patience - 1)),
        ),
        "failures counted in total": (
            "You count all failures of the run. After a new best patience should be whole again.",
            _loop(reset=False),
        ),
        "compared with the loss before": (
            "You compare with the loss of the epoch before, and save what is better than that. It may be worse than the best.",
            _loop(better=lambda loss, best, previous: loss < previous),
        ),
        "an equal loss as a new best": (
            "A loss that only equals the best one counts as better in yours, so it saves again and patience never ends.",
            _loop(better=lambda loss, best, previous: loss <= best),
        ),
        "NaN as a new best": (
            "You ask whether the loss is no better, and with NaN that is false. So you save a broken model as the best.",
            _loop(better=lambda loss, best, previous: not loss >= best),
        ),
        "never stops": (
            "Yours always runs to the last epoch. The best weights come back, but the time is lost.",
            _loop(enough=lambda failures, patience: False),
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
            _loop(only=2),
        ),
    },
    same=_same,
    keeps_arguments=None,
)

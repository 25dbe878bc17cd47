"""What an exercise is: cases, how an answer is observed on them, and what must hold of what was observed.

`cases(generator)` makes inputs, `observe(answer, inputs)` runs the student's code on one of them and gives plain data,
`judge(case, observation)` says what holds. Cases and judging never touch the answer, so they may run in another process,
or outside a jail. Does not run anything itself (child.py) and gives no points (verdict.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from labkit.checks.wire import Plain, shown

POINTS = 10.0
OTHER_FORM = "What your answer gives back is of another kind than the exercise asks for. Look at its type first."
Observe = Callable[[Any, Mapping[str, Plain]], Mapping[str, Plain]]


@dataclass(frozen=True, eq=False)
class Case:
    """Inputs as plain data. label: what is special about it, for the judge; fixed cases come before random ones.

    A case equals only itself, so that what is right for it, or what a known wrong answer gives, can be kept by it.
    """

    inputs: Mapping[str, Plain]
    label: str = ""


@dataclass(frozen=True)
class Observation:
    """What one case gave: `value` and whatever else was witnessed, or how it failed.

    raised: the error's class and text, "" where there was none. unfinished: it was the answer's own NotImplementedError.
    missing: the case was never reached, or the answer was still at it when its time was up.
    """

    seen: Mapping[str, Plain]
    raised: str = ""
    unfinished: bool = False
    missing: bool = False

    @property
    def ok(self) -> bool:
        """Whether the answer came back with something."""
        return not self.raised and not self.missing

    @property
    def value(self) -> Plain:
        """What the answer returned, None where it did not return."""
        return self.seen.get("value") if self.ok else None


@dataclass(frozen=True)
class Failure:
    """Why a property does not hold on a case. expected and got are for the example; hint, where it knows better."""

    expected: str
    got: str | None = None
    hint: str = ""


@dataclass(frozen=True)
class Property:
    """One thing that must hold on every case it applies to.

    test: None where it holds. core: a value property on cases that are not trivial; the others earn points only where one of
    these holds. witnessed: it is seen only from inside the process that runs the answer. manners: it is about how an answer
    comes back, as all that is witnessed is, so a case from which it does not come back says nothing. hint: for those who fail
    it in a way that no misconception explains.
    """

    name: str
    test: Callable[[Case, Observation], Failure | None]
    hint: str
    core: bool = False
    witnessed: bool = False
    manners: bool = False
    applies: Callable[[Case], bool] = lambda case: True


@dataclass(frozen=True)
class Misconception:
    """A known wrong answer, as the function that a student would write, and the hint that fits it."""

    name: str
    hint: str
    answer: Any


@dataclass(frozen=True)
class Exercise:
    """One exercise of the curriculum. same: whether two observed values are the same answer to a case.

    max_points: 0 for a warm-up.
    """

    id: str
    name: str
    cases: Callable[[np.random.Generator], Sequence[Case]]
    observe: Observe
    properties: tuple[Property, ...]
    misconceptions: tuple[Misconception, ...] = ()
    same: Callable[[Plain, Plain], bool] = lambda one, other: one == other
    max_points: float = POINTS

    @property
    def lesson(self) -> str:
        """The lesson's number, two digits as in the notebooks' names."""
        return f"{int(self.id.split('.')[0]):02d}"

    def judge(self, case: Case, observation: Observation) -> dict[str, Failure | None]:
        """What holds of one case, by the name of the property; a property that it says nothing about is left out."""
        asked = [each for each in self.properties if observation.ok or not (each.witnessed or each.manners)]
        return {each.name: _tested(each, case, observation) for each in asked if each.applies(case)}


def _tested(each: Property, case: Case, observation: Observation) -> Failure | None:
    if not observation.ok:
        return Failure("a result", observation.raised or "nothing within the time")
    try:
        return each.test(case, observation)
    except Exception:  # what came back has not even the form that the test looks into
        return Failure("a result of the form that the exercise asks for", shown(observation.value), OTHER_FORM)

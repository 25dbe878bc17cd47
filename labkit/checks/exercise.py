"""What an exercise is: cases, how an answer is observed on them, and what must hold of what was observed.

`cases(generator)` makes inputs, `observe(answer, inputs)` runs the student's code on one of them and gives plain data,
`judge(case, observation)` says what holds. Cases and judging never touch the answer, so they may run in another process,
or outside a jail. Does not run anything itself (child.py) and gives no points (verdict.py).
"""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from labkit.checks.observing import NothingDone, heard_by
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
    missing: the case was never reached, or the answer was still at it when its time was up. printed: the beginning of what the
    answer printed meanwhile.
    """

    seen: Mapping[str, Plain]
    raised: str = ""
    unfinished: bool = False
    missing: bool = False
    printed: str = ""

    @property
    def ok(self) -> bool:
        """Whether the answer came back with something."""
        return not self.raised and not self.missing

    @property
    def value(self) -> Plain:
        """What the answer returned, None where it did not return."""
        return self.seen.get("value") if self.ok else None

    @property
    def returned(self) -> Plain:
        """The same for a reader: `returned` alone, where an observer's value has it beside what else came of the call."""
        return self.value["returned"] if isinstance(self.value, Mapping) and "returned" in self.value else self.value


@dataclass(frozen=True)
class Failure:
    """Why a property does not hold on a case. expected and got are for the example; hint, where it knows better."""

    expected: str
    got: str | None = None
    hint: str = ""


Test = Callable[[Case, Observation], Failure | None]
Inputs = Mapping[str, Plain] | tuple[Plain, ...]


@dataclass(frozen=True)
class Property:
    """One thing that must hold on every case it applies to.

    hint: for those who fail it in a way that no known wrong answer explains. fixed: the inputs of the cases that it brings with
    it, which have the first of its labels. on: the labels of its cases; where there is none, it is about the cases that it
    brings, or about all if it brings none. test: None where it holds; without one the exercise's test is asked. core: a value
    property on cases that are not trivial; the others earn points only where one of these holds. idea: it carries the idea of
    the exercise, which has at least half of the points; where several do, they earn it together or not at all. witnessed: it is
    seen only from inside the process that runs the answer. manners: it is about how an answer comes back, as all that is
    witnessed is, so a case from which it does not come back says nothing. applies: to which cases, where labels cannot say it.
    """

    name: str
    hint: str
    on: str | tuple[str, ...] = ()
    fixed: Sequence[Inputs] = ()
    test: Test | None = None
    core: bool = False
    idea: bool = False
    witnessed: bool = False
    manners: bool = False
    applies: Callable[[Case], bool] = lambda case: True

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the cases it applies to: its own name, where no other is needed for the cases that it brings."""
        on = self.on or (self.name if self.fixed else ())
        return (on,) if isinstance(on, str) else on

    def is_for(self, case: Case) -> bool:
        """Whether it says anything about a case."""
        return (not self.labels or case.label in self.labels) and self.applies(case)


def left_alone(observe: Observe, what: str, wanted: str, got: str) -> Test:
    """The test that something is as it is after an answer that does nothing: told by the observer, compared here."""

    def test(case: Case, observation: Observation) -> Failure | None:
        untouched = left_by_nothing(observe, case)
        found = [repr(one.get(what)) for one in observation.seen["left"]]
        left = bool(found) and all(any(one == repr(other.get(what)) for other in untouched) for one in found)
        return None if left else Failure(wanted, got)

    return test


@lru_cache(2048)  # fixed cases come again with each check
def left_by_nothing(observe: Observe, case: Case) -> Sequence[Mapping[str, Plain]]:
    """What an observer tells of an answer that does nothing: one for each form in which it offers the arguments."""
    left: list[Mapping[str, Plain]] = []

    def does_nothing(*arguments: Any, **named: Any) -> Any:
        raise NothingDone

    with heard_by(lambda name, note: left.append(note) if name == "left" else None), contextlib.suppress(Exception):
        observe(does_nothing, case.inputs)
    return left


def keeps_arguments(what: str, observe: Observe) -> Property:
    """The answer left its arguments as they were."""
    return Property(
        f"does not change {what}",
        "Your answer changes what it was given. Work on a copy: whoever called it may still need the original.",
        test=left_alone(observe, "arguments", "arguments left as they were", "an argument was changed"),
        witnessed=True,
    )


def keeps_random_state(observe: Observe) -> Property:
    """The answer left the global random generators as they were."""
    wanted, got = "the global random state left as it was", "it was used or set"
    return Property(
        "leaves the global random state as it was",
        "Your answer uses or seeds the global random state, and so changes what others draw. Use a generator of your own.",
        test=left_alone(observe, "random state", wanted, got),
        witnessed=True,
    )


@dataclass(frozen=True)
class Misconception:
    """A known wrong answer, as the function that a student would write, and the hint that fits it."""

    name: str
    hint: str
    answer: Any


def no_more(generator: np.random.Generator) -> list[tuple[str, Inputs]]:
    """No fresh cases."""
    return []


def equal(found: Plain, wanted: Plain) -> bool:
    """The usual way to say that two values are the same answer."""
    return bool(found == wanted)


@dataclass(frozen=True)
class Exercise:
    """One exercise of a course, written once: its properties own their cases, and a wrong answer carries its hint.

    observe: calls the answer on one case's inputs. reference: the contract, called with the inputs by name; a name with an
    underscore is the observer's own. properties: what must hold, in the order in which it is shown; that arguments and the
    global random state are left alone is asked of every exercise after them. wrong: by name the known wrong answers, each a
    hint and what a student would write. takes: names for inputs that are written as tuples. drawn: fresh cases, each a label
    and inputs; they come after the fixed ones. fixed: fixed cases made together, where no property can own them. test: that of
    the properties without one of their own; None means that the value must be the reference's. same: whether two observed
    values are the same answer to a case. keeps_arguments: what is meant, in words; None where there is nothing to keep.
    max_points: 0 for a warm-up. nudge, in_words: the further hints that a student may ask for, one after the other: where to
    look, and then the idea said in words, never the code; empty where there is none.
    """

    id: str
    name: str
    observe: Observe
    properties: Sequence[Property]
    wrong: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    reference: Callable[..., Plain] | None = None
    takes: str = ""
    drawn: Callable[[np.random.Generator], Iterable[tuple[str, Inputs]]] = no_more
    fixed: Callable[[], Iterable[tuple[str, Inputs]]] = tuple
    test: Test | None = None
    same: Callable[[Plain, Plain], bool] = equal
    keeps_arguments: str | None = "its arguments"
    keeps_random_state: bool = True
    max_points: float = POINTS
    nudge: str = ""
    in_words: str = ""

    @cached_property
    def all_properties(self) -> tuple[Property, ...]:
        """Its own and the manners that every exercise asks for."""
        manners = [keeps_arguments(self.keeps_arguments, self.observe)] if self.keeps_arguments else []
        return (*self.properties, *manners, *([keeps_random_state(self.observe)] if self.keeps_random_state else []))

    @property
    def share_of_idea(self) -> float:
        """The share of the points for the properties that carry its idea, 0 where none is said to."""
        ideas = sum(each.idea for each in self.all_properties)
        return max(0.5, ideas / len(self.all_properties)) if ideas else 0.0

    @cached_property
    def misconceptions(self) -> tuple[Misconception, ...]:
        """The known wrong answers."""
        return tuple(Misconception(name, *hint_and_answer) for name, hint_and_answer in self.wrong.items())

    def cases(self, generator: np.random.Generator) -> list[Case]:
        """The fixed cases, property by property, and after them fresh ones."""
        return [*self._fixed_cases, *(self._case(label, inputs) for label, inputs in self.drawn(generator))]

    @cached_property
    def _fixed_cases(self) -> tuple[Case, ...]:
        owned = ((each.labels[0], inputs) for each in self.properties for inputs in each.fixed)
        return tuple(self._case(label, inputs) for label, inputs in [*owned, *self.fixed()])

    def _case(self, label: str, inputs: Inputs) -> Case:
        named = dict(zip(self.takes.split(), inputs, strict=False)) if isinstance(inputs, tuple) else inputs
        return Case(named, label)

    @property
    def lesson(self) -> str:
        """The lesson's number, two digits as in the notebooks' names."""
        return f"{int(self.id.split('.')[0]):02d}"

    def judge(self, case: Case, observation: Observation) -> dict[str, Failure | None]:
        """What holds of one case, by the name of the property; a property that it says nothing about is left out."""
        asked = [each for each in self.all_properties if observation.ok or not (each.witnessed or each.manners)]
        return {each.name: self._tested(each, case, observation) for each in asked if each.is_for(case)}

    def _tested(self, each: Property, case: Case, observation: Observation) -> Failure | None:
        if not observation.ok:
            return Failure("a result", observation.raised or "nothing within the time")
        try:
            return (each.test or self.test or self.as_the_reference)(case, observation)
        except Exception:  # what came back has not even the form that the test looks into
            return Failure("a result of the form that the exercise asks for", shown(observation.returned), OTHER_FORM)

    def as_the_reference(self, case: Case, observation: Observation) -> Failure | None:
        """The test that the value is what the reference makes of the same inputs."""
        if self.reference is None:
            raise TypeError(f"exercise {self.id} has a property without a test, and no reference")
        wanted = self.reference(**visible(case.inputs))
        return None if self.same(observation.value, wanted) else Failure(shown(wanted))


def visible(inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """The inputs that a student's function is given; names with an underscore are the observer's own."""
    return {name: value for name, value in inputs.items() if not name.startswith("_")}

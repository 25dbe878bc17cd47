"""Exercise 3.1, warmup_linear: the learning rate's multiplier."""

import math
from collections.abc import Callable
from functools import cache

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import as_number, close, is_number, shown
from labkit.lessons.observers import fine_tuning as observers


def warmup_linear_reference(step: int, warmup_steps: int, total_steps: int) -> float:
    """The contract as the lower of two lines, cut off at 0."""
    rising = step / warmup_steps if warmup_steps else math.inf
    falling = (total_steps - step) / (total_steps - warmup_steps)
    return max(0.0, min(rising, falling))


def _case(step: int, warmup_steps: int, total_steps: int) -> Case:
    if warmup_steps == 0 and step == 0:
        label = "no warmup"
    elif step < warmup_steps:
        label = "rising" if step else "start"
    elif step >= total_steps:
        label = "end" if step == total_steps else "beyond"
    else:
        label = "top" if step == warmup_steps else "falling" if warmup_steps else "falling from the start"
    return Case({"step": step, "warmup_steps": warmup_steps, "total_steps": total_steps}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    fixed = [(0, 2, 6), (1, 2, 6), (2, 2, 6), (3, 2, 6), (5, 2, 6), (6, 2, 6), (7, 2, 6), (50, 2, 6)]
    fixed += [(0, 0, 4), (1, 0, 4), (3, 0, 4), (4, 0, 4), (0, 0, 1), (1, 0, 1), (9, 0, 4)]
    fixed += [(0, 1, 2), (1, 1, 2), (2, 1, 2), (4, 9, 10), (9, 9, 10), (3, 10, 100), (10, 10, 100), (70, 10, 100)]
    fixed += [(3, 100, 1000), (995, 100, 1000)]
    dice = np.random.default_rng(31)
    return (*(_case(*numbers) for numbers in fixed), *(_drawn(dice) for _ in range(30)))


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator) for _ in range(5))]


def _drawn(dice: np.random.Generator) -> Case:
    total_steps = int(dice.integers(8, 2000))
    warmup_steps = int(dice.integers(2, total_steps // 2)) if dice.random() < 0.9 else 0
    in_warmup = warmup_steps and dice.random() < 0.4
    return _case(int(dice.integers(0, warmup_steps if in_warmup else total_steps + 20)), warmup_steps, total_steps)


def _equals(case: Case, observation: Observation) -> Failure | None:
    wanted = warmup_linear_reference(**case.inputs)
    return None if close(as_number(observation.value), wanted) else Failure(shown(wanted))


def _starts_at_zero_without_warmup(step: int, warmup_steps: int, total_steps: int) -> float:
    return warmup_linear_reference(step, warmup_steps, total_steps) if step else 0.0


def _divides_by_no_warmup(step: int, warmup_steps: int, total_steps: int) -> float:
    return step / warmup_steps if step <= warmup_steps else warmup_linear_reference(step, warmup_steps, total_steps)


def _after_warmup(decay: Callable[[int, int, int], float]) -> Callable[[int, int, int], float]:
    def answer(step: int, warmup_steps: int, total_steps: int) -> float:
        return step / warmup_steps if step < warmup_steps else decay(step, warmup_steps, total_steps)

    return answer


def _one_step_early(step: int, warmup_steps: int, total_steps: int) -> float:
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return warmup_linear_reference(step, warmup_steps, total_steps)


def _cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    done = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))
    return (1 + math.cos(math.pi * done)) / 2


EXERCISE = Exercise(
    "3.1",
    "warmup_linear",
    observers.warmup_linear,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "during warmup it rises in a line",
            "Draw the first steps on paper: where does the line start, and at which step has it come up to 1?",
            on="rising",
            test=_equals,
            core=True,
        ),
        Property(
            "after warmup it falls in a line to the end of training",
            "After warmup, how many steps are left in all, and how many of them are still to come at this one?",
            on="falling",
            test=_equals,
            core=True,
        ),
        Property(
            "it starts at 0",
            "Which share of the warmup is done at step 0?",
            on="start",
            test=_equals,
        ),
        Property(
            "it is 1 where warmup ends",
            "Both lines meet at the last step of warmup. What do they say there?",
            on="top",
            test=_equals,
        ),
        Property(
            "without warmup it starts at 1 and falls",
            "With no warmup at all there is nothing to climb: where does the learning rate start then?",
            on=("no warmup", "falling from the start"),
            test=_equals,
        ),
        Property(
            "it is 0 at the end and beyond",
            "What does your second line say at the end of training, and after it?",
            on=("end", "beyond"),
            test=_equals,
        ),
        returns("a number", is_number),
    ),
    wrong={
        "starts one step early": (
            "Your warmup is one step ahead: it counts the step that is only about to be taken.",
            _one_step_early,
        ),
        "falls over all steps instead of those after warmup": (
            "Your decay counts from the beginning of training, so there is a jump where warmup ends. Where should it begin?",
            _after_warmup(lambda step, warmup_steps, total_steps: max(0.0, 1 - step / total_steps)),
        ),
        "goes below 0": (
            "Beyond the last step your multiplier is negative: the optimizer would climb. Where must the line stop?",
            _after_warmup(lambda step, warmup_steps, total_steps: (total_steps - step) / (total_steps - warmup_steps)),
        ),
        "stays at 1": (
            "After warmup your multiplier stays at its top. The second half of the schedule is missing.",
            _after_warmup(lambda step, warmup_steps, total_steps: 1.0),
        ),
        "divides by a warmup of 0 steps": (
            "Your answer divides by the number of warmup steps even where there are none.",
            _divides_by_no_warmup,
        ),
        "starts at 0 without warmup": (
            "Without warmup your first step has a learning rate of 0, so nothing is learned from its batch.",
            _starts_at_zero_without_warmup,
        ),
        "cosine": (
            "Your decay is bent. A cosine schedule is a good one too, but this exercise asks for a straight line.",
            _after_warmup(_cosine),
        ),
        "no warmup at all": (
            "Your multiplier starts at its top and only falls. The first steps, with a fresh head, are to be small.",
            lambda step, warmup_steps, total_steps: max(0.0, 1 - step / total_steps),
        ),
        "falls during warmup": (
            "Your warmup goes the wrong way round: it begins high and ends low.",
            lambda step, warmup_steps, total_steps: (
                1 - step / warmup_steps
                if step < warmup_steps
                else warmup_linear_reference(step, warmup_steps, total_steps)
            ),
        ),
        "whole-number division": (
            "A division that drops the fraction leaves 0 for all of the warmup. Which one keeps it?",
            lambda step, warmup_steps, total_steps: (
                step // warmup_steps
                if step < warmup_steps
                else warmup_linear_reference(step, warmup_steps, total_steps)
            ),
        ),
    },
    same=close,
    keeps_arguments=None,
)

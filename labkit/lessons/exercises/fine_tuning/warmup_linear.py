"""Exercise 3.1, warmup_linear: the learning rate's multiplier."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from labkit.checks.exercise import Exercise, Inputs, Property
from labkit.checks.properties import returns
from labkit.checks.wire import as_number, close, is_number
from labkit.lessons.observers import fine_tuning as observers

BY_HAND = [(0, 2, 6), (1, 2, 6), (2, 2, 6), (3, 2, 6), (5, 2, 6), (6, 2, 6), (7, 2, 6), (50, 2, 6)]
BY_HAND += [(0, 0, 4), (1, 0, 4), (3, 0, 4), (4, 0, 4), (0, 0, 1), (1, 0, 1), (9, 0, 4)]
BY_HAND += [(0, 1, 2), (1, 1, 2), (2, 1, 2), (4, 9, 10), (9, 9, 10), (3, 10, 100), (10, 10, 100), (70, 10, 100)]
BY_HAND += [(3, 100, 1000), (995, 100, 1000), (300, 1000, 100_000), (70_000, 1000, 100_000)]  # beyond 8 and 16 bits


def warmup_linear_reference(step: int, warmup_steps: int, total_steps: int) -> float:
    """The contract as the lower of two lines, cut off at 0."""
    rising = step / warmup_steps if warmup_steps else math.inf
    falling = (total_steps - step) / (total_steps - warmup_steps)
    return max(0.0, min(rising, falling))


def _labelled(step: int, warmup_steps: int, total_steps: int) -> tuple[str, Inputs]:
    if step < warmup_steps:
        label = "rising" if step else "start"
    elif step >= total_steps:
        label = "over"
    elif warmup_steps:
        label = "falling" if step > warmup_steps else "top"
    else:
        label = "no warmup"
    return label, (step, warmup_steps, total_steps)


def _drawn(generator: np.random.Generator, count: int = 5) -> Iterator[tuple[str, Inputs]]:
    for _ in range(count):
        total_steps = int(generator.integers(8, 2000))
        warmup_steps = int(generator.integers(2, total_steps // 2)) if generator.random() < 0.9 else 0
        in_warmup = warmup_steps and generator.random() < 0.4
        step = int(generator.integers(0, warmup_steps if in_warmup else total_steps + 20))
        yield _labelled(step, warmup_steps, total_steps)


def _schedule(
    during: Callable[[int, int], float] = lambda step, warmup: step / warmup,
    after: Callable[[int, int, int], float] = warmup_linear_reference,
) -> Callable[[int, int, int], float]:
    """A wrong answer, right but for what is given."""
    return lambda step, warmup, total: during(step, warmup) if step < warmup else after(step, warmup, total)


EXERCISE = Exercise(
    "3.1",
    "warmup_linear",
    observers.warmup_linear,
    nudge=(
        "Draw the multiplier over the steps. Where does it start, where is it 1, where is it 0 again? Then read off "
        "the height at one step on each side of the top."
    ),
    in_words=(
        "There are two straight lines. During warmup the height is the share of the warmup that is done. After it, "
        "the height is the share of the remaining way that still lies ahead: the steps to the end, out of those "
        "between warmup and end, and never below 0."
    ),
    reference=warmup_linear_reference,
    takes="step warmup_steps total_steps",
    fixed=lambda: [*(_labelled(*numbers) for numbers in BY_HAND), *_drawn(np.random.default_rng(31), 30)],
    drawn=_drawn,
    same=lambda found, wanted: close(as_number(found), wanted),
    keeps_arguments=None,
    properties=(
        Property(
            "during warmup it rises in a line",
            "Draw the first steps on paper: where does the line start, and at which step has it come up to 1?",
            on="rising",
            core=True,
            idea=True,
        ),
        Property(
            "after warmup it falls in a line to the end of training",
            "After warmup, how many steps are left in all, and how many of them are still to come at this one?",
            on="falling",
            core=True,
            idea=True,
        ),
        Property(
            "it starts at 0",
            "Which share of the warmup is done at step 0?",
            on="start",
        ),
        Property(
            "it is 1 where warmup ends",
            "Both lines meet at the last step of warmup. What do they say there?",
            on="top",
        ),
        Property(
            "without warmup it starts at 1 and falls",
            "With no warmup at all there is nothing to climb: where does the learning rate start then?",
            on="no warmup",
        ),
        Property(
            "it is 0 at the end and beyond",
            "What does your second line say at the end of training, and after it?",
            on="over",
        ),
        returns("a number", is_number),
    ),
    wrong={
        "starts one step early": (
            "Your warmup is one step ahead: it counts the step that is only about to be taken.",
            _schedule(lambda step, warmup: (step + 1) / warmup),
        ),
        "falls over all steps instead of those after warmup": (
            "Your decay counts from the beginning of training, so there is a jump where warmup ends. Where should it begin?",
            _schedule(after=lambda step, warmup, total: max(0.0, 1 - step / total)),
        ),
        "goes below 0": (
            "Beyond the last step your multiplier is negative: the optimizer would climb. Where must the line stop?",
            _schedule(after=lambda step, warmup, total: (total - step) / (total - warmup)),
        ),
        "stays at 1": (
            "After warmup your multiplier stays at its top. The second half of the schedule is missing.",
            _schedule(after=lambda step, warmup, total: 1.0),
        ),
        "divides by a warmup of 0 steps": (
            "Your answer divides by the number of warmup steps even where there are none.",
            lambda step, warmup, total: (
                step / warmup if step <= warmup else warmup_linear_reference(step, warmup, total)
            ),
        ),
        "starts at 0 without warmup": (
            "Without warmup your first step has a learning rate of 0, so nothing is learned from its batch.",
            lambda step, warmup, total: warmup_linear_reference(step, warmup, total) if step else 0.0,
        ),
        "cosine": (
            "Your decay is bent. A cosine schedule is a good one too, but this exercise asks for a straight line.",
            _schedule(
                after=lambda step, warmup, total: (
                    (1 + math.cos(math.pi * min(1.0, (step - warmup) / (total - warmup)))) / 2
                )
            ),
        ),
        "no warmup at all": (
            "Your multiplier starts at its top and only falls. The first steps, with a fresh head, are to be small.",
            lambda step, warmup, total: max(0.0, 1 - step / total),
        ),
        "falls during warmup": (
            "Your warmup goes the wrong way round: it begins high and ends low.",
            _schedule(lambda step, warmup: 1 - step / warmup),
        ),
        "whole-number division everywhere": (
            "Both of your divisions drop the fraction, so the multiplier is 0 nearly everywhere. Which one keeps it?",
            _schedule(
                lambda step, warmup: step // warmup,
                lambda step, warmup, total: max(0, (total - step) // (total - warmup)),
            ),
        ),
        "whole-number division in the decay": (
            "The division in your decay drops the fraction, so from the first step after warmup on nothing is learned.",
            _schedule(after=lambda step, warmup, total: max(0, (total - step) // (total - warmup))),
        ),
        "whole-number division": (
            "A division that drops the fraction leaves 0 for all of the warmup. Which one keeps it?",
            _schedule(lambda step, warmup: step // warmup),
        ),
    },
)

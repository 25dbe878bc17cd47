"""Exercise 6.2, integrated_gradients: how much each number of the input has moved the output, on the way from a baseline.

The reference integrates gradients that were worked out by hand, by Gauss's rule piece by piece, in float64.
"""

import math
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.values import numbers
from labkit.checks.wire import Array, Plain, shown
from labkit.lessons.observers import explainability as observers

PRECISE = 0.01  # of the difference, or of the largest attribution, but of at least SMALLEST
SMALLEST = 0.1
PIECES = 32  # of the way, each with a rule of 16 points


def value_of(spec: Mapping[str, Plain], point: np.ndarray) -> float:
    """The function of a case at one point, given flat."""
    total = sum(
        coefficient * math.prod(point[place] ** power for place, power in powers)
        for coefficient, powers in spec["terms"]
    )
    hidden = spec.get("hidden", ())
    return float(total + sum(weight * math.tanh(np.dot(weights, point) + bias) for weight, bias, weights in hidden))


def gradients_of(spec: Mapping[str, Plain], points: np.ndarray) -> np.ndarray:
    """Its gradients at many points, (points, numbers), by the rules of school."""
    gradients = np.zeros(points.shape)
    for coefficient, powers in spec["terms"]:
        for place, power in powers:
            others = math.prod(points[:, other] ** exponent for other, exponent in powers if other != place)
            gradients[:, place] += coefficient * others * power * points[:, place] ** (power - 1)
    for weight, bias, weights in spec.get("hidden", ()):
        slope = 1 - np.tanh(points @ np.array(weights) + bias) ** 2
        gradients += weight * slope[:, None] * np.array(weights)
    return gradients


def integrated_gradients_reference(spec: Mapping[str, Plain], inputs: Plain, baseline: Plain) -> np.ndarray:
    """The contract to many digits."""
    end, start = np.array(inputs, dtype=np.float64), np.array(baseline, dtype=np.float64)
    places, weights = np.polynomial.legendre.leggauss(16)
    fractions = ((places + 1) / 2 + np.arange(PIECES)[:, None]).ravel() / PIECES
    way = (end - start).ravel()
    means = np.tile(weights / 2 / PIECES, PIECES) @ gradients_of(spec, start.ravel() + fractions[:, None] * way)
    return np.asarray(way * means).reshape(end.shape)


def _case(label: str, forward: str, spec: Plain, inputs: Plain, baseline: Plain, **named: Plain) -> Case:
    return Case({"forward": forward, "inputs": inputs, "baseline": baseline, **named, "_forward": spec}, label)


def _terms(*terms: tuple[float, dict[int, int]]) -> dict[str, Plain]:
    return {"terms": [[coefficient, [list(pair) for pair in powers.items()]] for coefficient, powers in terms]}


LINEAR = _terms((2.0, {0: 1}), (-3.0, {1: 1}))
SQUARE, FIFTH = _terms((1.0, {0: 2})), _terms((1.0, {0: 5}))
PRODUCT = _terms((1.0, {0: 1, 1: 1}), (0.5, {1: 2}))
MIXED = _terms((1.0, {0: 2, 1: 1}), (-2.0, {2: 3}), (0.5, {3: 1, 0: 1}), (1.5, {4: 2}), (-0.75, {5: 1}))
SHARP = {"terms": [[1.0, [[1, 1]]]], "hidden": [[0.5, -64.5, [150.0, 0.0]]]}  # 64 points are too few for it
STEEP = _terms((1.0, {0: 5}), (-2.0, {1: 4}), (1.0, {0: 1, 1: 3}))


@cache
def _fixed() -> tuple[Case, ...]:
    layer = {"terms": [[0.5, [[0, 2]]]], "hidden": [[1.5, 0.25, [1.0, -0.5, 0.75]], [-1.0, 0.0, [0.5, 1.0, -1.0]]]}
    return (
        _case("linear", "2 a", _terms((2.0, {0: 1})), [1.5], [0.0]),
        _case("linear", "2 a - 3 b", LINEAR, [1.0, 2.0], [0.0, 0.0]),
        _case("curved", "a ** 2", SQUARE, [2.0], [0.0]),
        _case("curved", "a b + 0.5 b ** 2", PRODUCT, [2.0, -1.0], [0.0, 0.0]),
        _case("curved", "0.5 a ** 2 and a layer of tanh", layer, [1.0, -0.5, 2.0], [0.0, 0.0, 0.0]),
        _case("curved", "a ** 4", _terms((1.0, {0: 4})), [1.0], [0.0]),
        _case("baseline", "2 a - 3 b", LINEAR, [1.0, 2.0], [0.5, -1.0]),
        _case("baseline", "a b + 0.5 b ** 2", PRODUCT, [2.0, -1.0], [-1.0, 3.0]),
        _case("baseline", "0.5 a ** 2 and a layer of tanh", layer, [1.0, -0.5, 2.0], [0.5, 1.0, -1.0]),
        _case("baseline", "a ** 4", _terms((1.0, {0: 4})), [-1.0], [0.5]),
        _case("baseline", "a b + 0.5 b ** 2", PRODUCT, [1.0, 2.0], [1.0, 2.0]),
        _case("axes", "a polynomial of 2 x 3 numbers", MIXED, [[1.0, 0.5, -1.0], [2.0, 1.5, 0.25]], [[0.0] * 3] * 2),
        _case("axes", "a polynomial of 3 x 2 x 1 numbers", MIXED, _boxed(1.0, 3, 2), _boxed(0.25, 3, 2)),
        _case("steep", "a ** 5", FIFTH, [1.0], [0.0]),
        _case("steep", "a ** 5 - 2 b ** 4 + a b ** 3", STEEP, [1.5, 1.0], [0.0, 0.0]),
        _case("steps", "a ** 5", FIFTH, [1.0], [0.0], steps=32),
        _case("steps", "a tanh that bends sharply", SHARP, [1.0, 0.5], [0.0, 0.0], steps=256),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator, number) for number in range(2))]


def _boxed(step: float, rows: int, columns: int) -> Plain:
    return [[[step * (row - column + 0.5)] for column in range(columns)] for row in range(rows)]


def _drawn(generator: np.random.Generator, number: int) -> Case:
    size = int(generator.integers(2, 5))
    terms = [(float(generator.normal()), {place: int(generator.integers(1, 4))}) for place in range(size)]
    hidden = [[*generator.normal(size=2).tolist(), generator.normal(size=size).tolist()] for _ in range(2)]
    inputs, baseline = generator.uniform(-1.5, 1.5, size=(2, size)).round(3).tolist()
    spec = _terms(*terms) | {"hidden": hidden}
    label = ("curved", "baseline")[number % 2]
    start = baseline if label == "baseline" else [0.0] * size
    return _case(label, f"powers of {size} numbers and a layer of tanh", spec, inputs, start)


def _wanted(case: Case) -> np.ndarray:
    return integrated_gradients_reference(case.inputs["_forward"], case.inputs["inputs"], case.inputs["baseline"])


def _attributes(case: Case, observation: Observation) -> Failure | None:
    wanted, found = _wanted(case), numbers(observation.value)
    allowed = PRECISE * max(float(np.abs(wanted).max()), SMALLEST)
    if found.shape == wanted.shape and bool(np.all(np.abs(found - wanted) <= allowed)):
        return None
    return Failure(f"{shown(Array(wanted, True, 'float32'))}, each within {allowed:.2g}")


def _adds_up(case: Case, observation: Observation) -> Failure | None:
    spec = case.inputs["_forward"]
    end, start = (value_of(spec, np.array(case.inputs[name]).ravel()) for name in ("inputs", "baseline"))
    found = float(numbers(observation.value).sum())
    near = abs(found - (end - start)) <= PRECISE * max(abs(end - start), SMALLEST)
    return None if near else Failure(f"attributions that sum to {end - start:.4g}", f"a sum of {found:.4g}")


def _same(one: Plain, other: Plain) -> bool:
    first, second = numbers(one), numbers(other)
    if first.shape != second.shape:
        return False
    near = 0.003 * max(float(np.abs(second).max(initial=0.0)), SMALLEST)
    return bool(np.all(np.abs(first - second) <= near))


Tensor = Any  # torch is imported where it is used
Forward = Callable[[Tensor], Tensor]


def _left(steps: int) -> tuple[list[float], float]:
    return [place / steps for place in range(steps)], 1 / steps


def _right(steps: int) -> tuple[list[float], float]:
    return [(place + 1) / steps for place in range(steps)], 1 / steps


def _middle(steps: int) -> tuple[list[float], float]:
    return [(place + 0.5) / steps for place in range(steps)], 1 / steps


def _with_both_ends(steps: int) -> tuple[list[float], float]:
    return [place / steps for place in range(steps + 1)], 1 / (steps + 1)


def _integrating(
    rule: Callable[[int], tuple[list[float], float]] = _middle,
    baseline_of: Callable[[Tensor, Tensor], Tensor] = lambda inputs, baseline: baseline,
    times: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda mean, inputs, baseline: mean * (inputs - baseline),
    scalar: Callable[[Tensor], Tensor] = lambda outputs: outputs.sum(),
    only: int | None = None,
) -> Any:
    """A wrong answer, right but for what is asked for. rule: the points on the way, and what each weighs."""

    def answer(forward: Forward, inputs: Tensor, baseline: Tensor, steps: int = 64) -> Tensor:
        import torch

        fractions, weight = rule(only or steps)
        start = baseline_of(inputs, baseline)
        way = torch.tensor(fractions).reshape(-1, *[1] * inputs.dim())
        points = (start + way * (inputs - start)).requires_grad_()
        (gradients,) = torch.autograd.grad(scalar(forward(points)), points)
        return times(gradients.sum(0) * weight, inputs, start)

    return answer


def _here(steps: int) -> tuple[list[float], float]:
    return [1.0], 1.0


def _halfway(steps: int) -> tuple[list[float], float]:
    return [0.5], 1.0


def _not_averaged(steps: int) -> tuple[list[float], float]:
    return _middle(steps)[0], 1.0


EXERCISE = Exercise(
    "6.2",
    "integrated_gradients",
    observers.integrated_gradients,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "of a linear function each number gets its own part",
            "The gradient of a linear function is the same everywhere. What is each number's part of the difference then?",
            on="linear",
            test=_attributes,
            core=True,
        ),
        Property(
            "of a curved function the gradients are averaged on the way",
            "Take the square of one number, from 0 to 2: which gradients does it have on the way, and what is their mean?",
            on="curved",
            test=_attributes,
            core=True,
        ),
        Property(
            "the way begins at the baseline",
            "Where does your way begin, and what does an input get that equals the baseline?",
            on="baseline",
            test=_attributes,
        ),
        Property(
            "inputs of several axes keep their shape",
            "An input may have one axis for tokens and one for their numbers. Does your path broadcast over all of them?",
            on="axes",
            test=_attributes,
        ),
        Property(
            "the rule is precise where the function gets steeper",
            "Where on each step do you take the gradient? At its beginning or end alone, a steepening function is missed.",
            on="steep",
            test=_attributes,
        ),
        Property(
            "steps is the caller's",
            "A function that bends sharply needs more points on the way. Is the argument steps used?",
            on="steps",
            test=_attributes,
        ),
        Property(
            "the attributions sum to the difference of the outputs",
            "Sum your attributions and compare with the output at the input less the one at the baseline.",
            test=_adds_up,
        ),
        returns("a tensor", lambda value: isinstance(value, Array) and value.tensor),
    ),
    wrong={
        "the gradient at the input alone": (
            "You take the gradient at the input alone. It says nothing of how the function came there from the baseline.",
            _integrating(_here),
        ),
        "the gradient halfway alone": (
            "You take one gradient halfway. A single point is precise only where the function is hardly bent.",
            _integrating(_halfway),
        ),
        "not multiplied by the way": (
            "These are mean gradients. What each number gets also depends on how far it moved from its baseline.",
            _integrating(times=lambda mean, inputs, baseline: mean),
        ),
        "multiplied by the input": (
            "You multiply by the input. With a baseline other than 0 a number has moved less far, or farther, than that.",
            _integrating(times=lambda mean, inputs, baseline: mean * inputs),
        ),
        "the gradient at the input, not multiplied": (
            "That is the plain gradient at the input. Where does the baseline come in?",
            _integrating(_here, times=lambda mean, inputs, baseline: mean),
        ),
        "the baseline ignored": (
            "Your way begins at 0, whatever the baseline. It is an argument.",
            _integrating(baseline_of=lambda inputs, baseline: inputs * 0),
        ),
        "from the input to the baseline": (
            "Your signs are the wrong way round: the difference is the input less the baseline.",
            _integrating(times=lambda mean, inputs, baseline: mean * (baseline - inputs)),
        ),
        "absolute values": (
            "Your attributions have lost their signs. Those that speak against the output are negative.",
            _integrating(times=lambda mean, inputs, baseline: (mean * (inputs - baseline)).abs()),
        ),
        "the mean over the batch": (
            "Your gradients are too small by the number of points: a mean over the batch divides each one once more.",
            _integrating(scalar=lambda outputs: outputs.mean()),
        ),
        "added up, not averaged": (
            "Your gradients are added up over the steps. What is asked for is their mean.",
            _integrating(_not_averaged),
        ),
        "the left rule": (
            "You take each step's gradient at its beginning. That is too coarse where the function gets steeper.",
            _integrating(_left),
        ),
        "the right rule": (
            "You take each step's gradient at its end. That is too coarse where the function gets steeper.",
            _integrating(_right),
        ),
        "both ends in full": (
            "Your points include both ends of the way with full weight, so the ends count too much. A trapezoid halves them.",
            _integrating(_with_both_ends),
        ),
        "summed over the last axis": (
            "You have summed over the last axis. The attribution has the shape of the input.",
            _integrating(times=lambda mean, inputs, baseline: (mean * (inputs - baseline)).sum(-1)),
        ),
        "the usual steps written into the code": (
            "The number of steps is an argument: yours is always the usual one.",
            _integrating(only=64),
        ),
    },
    same=_same,
    keeps_arguments="inputs and baseline",
)

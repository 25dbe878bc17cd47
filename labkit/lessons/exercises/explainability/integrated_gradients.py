"""Exercise 6.2, integrated_gradients: what each number of the input contributes.

The reference integrates gradients that were worked out by hand, by Gauss's rule piece by piece, in float64.
"""

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
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
        factor * math.prod(point[place] ** power for place, power in powers) for factor, powers in spec["terms"]
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


def _spec(*terms: tuple[float, dict[int, int]], **hidden: Plain) -> dict[str, Plain]:
    terms_of_lists = [[coefficient, [list(pair) for pair in powers.items()]] for coefficient, powers in terms]
    return {"terms": terms_of_lists, **hidden}


# Functions, each in words and as the observer's spec

LINEAR = "2 a - 3 b", _spec((2.0, {0: 1}), (-3.0, {1: 1}))
FOURTH = "a ** 4", _spec((1.0, {0: 4}))
FIFTH = "a ** 5", _spec((1.0, {0: 5}))
PRODUCT = "a b + 0.5 b ** 2", _spec((1.0, {0: 1, 1: 1}), (0.5, {1: 2}))
MIXED = _spec((1.0, {0: 2, 1: 1}), (-2.0, {2: 3}), (0.5, {3: 1, 0: 1}), (1.5, {4: 2}), (-0.75, {5: 1}))
STEEP = "a ** 5 - 2 b ** 4 + a b ** 3", _spec((1.0, {0: 5}), (-2.0, {1: 4}), (1.0, {0: 1, 1: 3}))
LAYER = (
    "0.5 a ** 2 and a layer of tanh",
    _spec((0.5, {0: 2}), hidden=[[1.5, 0.25, [1.0, -0.5, 0.75]], [-1.0, 0.0, [0.5, 1.0, -1.0]]]),
)
# 64 points are too few for it
SHARP = "a tanh that bends sharply", _spec((1.0, {1: 1}), hidden=[[0.5, -64.5, [150.0, 0.0]]])


def _inputs(function: tuple[str, Plain], inputs: Plain, baseline: Plain, **named: Plain) -> Inputs:
    words, spec = function
    return {"forward": words, "inputs": inputs, "baseline": baseline, **named, "_forward": spec}


def _boxed(step: float) -> Plain:
    return [[[step * (row - column + 0.5)] for column in range(2)] for row in range(3)]


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    for label in ("curved", "baseline"):
        size = int(generator.integers(2, 5))
        terms = [(float(generator.normal()), {place: int(generator.integers(1, 4))}) for place in range(size)]
        hidden = [[*generator.normal(size=2).tolist(), generator.normal(size=size).tolist()] for _ in range(2)]
        inputs, baseline = generator.uniform(-1.5, 1.5, size=(2, size)).round(3).tolist()
        function = f"powers of {size} numbers and a layer of tanh", _spec(*terms, hidden=hidden)
        yield label, _inputs(function, inputs, baseline if label == "baseline" else [0.0] * size)


def _allowed(wanted: np.ndarray, precise: float = PRECISE) -> float:
    return precise * max(float(np.abs(wanted).max(initial=0.0)), SMALLEST)


def _near(found: np.ndarray, wanted: np.ndarray, precise: float = PRECISE) -> bool:
    return found.shape == wanted.shape and bool(np.all(np.abs(found - wanted) <= _allowed(wanted, precise)))


def _attributes(case: Case, observation: Observation) -> Failure | None:
    wanted = integrated_gradients_reference(*(case.inputs[name] for name in ("_forward", "inputs", "baseline")))
    right = _near(numbers(observation.value), wanted)
    return None if right else Failure(f"{shown(Array(wanted, True, 'float32'))}, each within {_allowed(wanted):.2g}")


def _adds_up(case: Case, observation: Observation) -> Failure | None:
    spec = case.inputs["_forward"]
    end, start = (value_of(spec, np.array(case.inputs[name]).ravel()) for name in ("inputs", "baseline"))
    found = numbers(observation.value).sum()
    right = _near(found, np.array(end - start))
    return None if right else Failure(f"attributions that sum to {end - start:.4g}", f"a sum of {found:.4g}")


def _integrating(
    alphas: Callable[[int], Tensor] = lambda steps: (torch.arange(steps) + 0.5) / steps,
    start_of: Callable[[Tensor, Tensor], Tensor] = lambda inputs, baseline: baseline,
    times: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda mean, inputs, difference: mean * difference,
    scalar: Callable[[Tensor], Tensor] = torch.sum,
    averaged: Callable[[Tensor], Tensor] = lambda gradients: gradients.mean(0),
) -> Callable[..., Tensor]:
    """A wrong answer, right but for what is given."""

    def answer(forward: Callable[[Tensor], Tensor], inputs: Tensor, baseline: Tensor, steps: int = 64) -> Tensor:
        start = start_of(inputs, baseline)
        points = start + alphas(steps).reshape(-1, *[1] * inputs.dim()) * (inputs - start)
        (gradients,) = torch.autograd.grad(scalar(forward(points.requires_grad_())), points)
        return times(averaged(gradients), inputs, inputs - start)

    return answer


EXERCISE = Exercise(
    "6.2",
    "integrated_gradients",
    observers.integrated_gradients,
    nudge=(
        "Walk from the baseline to the input in small steps. Which gradient do you meet at each of them, and how far "
        "does each number move in all?"
    ),
    in_words=(
        "What a number adds to the output is its slope times the way it goes. The slope changes on the way, so take "
        "its mean over many points of the straight line from baseline to input, best in the middle of each step. "
        "Times the difference of the two it is the attribution, and all of them make up the whole change."
    ),
    drawn=_drawn,
    test=_attributes,
    same=lambda one, other: _near(numbers(one), numbers(other), 0.003),
    keeps_arguments="inputs and baseline",
    properties=(
        Property(
            "of a linear function each number gets its own part",
            "The gradient of a linear function is the same everywhere. What is each number's part of the difference then?",
            fixed=[_inputs(("2 a", _spec((2.0, {0: 1}))), [1.5], [0.0]), _inputs(LINEAR, [1.0, 2.0], [0.0, 0.0])],
            core=True,
        ),
        Property(
            "of a curved function the gradients are averaged on the way",
            "Take the square of one number, from 0 to 2: which gradients does it have on the way, and what is their mean?",
            on="curved",
            fixed=[
                _inputs(("a ** 2", _spec((1.0, {0: 2}))), [2.0], [0.0]),
                _inputs(PRODUCT, [2.0, -1.0], [0.0, 0.0]),
                _inputs(LAYER, [1.0, -0.5, 2.0], [0.0, 0.0, 0.0]),
                _inputs(FOURTH, [1.0], [0.0]),
            ],
            core=True,
            idea=True,
        ),
        Property(
            "the way begins at the baseline",
            "Where does your way begin, and what does an input get that equals the baseline?",
            on="baseline",
            fixed=[
                _inputs(LINEAR, [1.0, 2.0], [0.5, -1.0]),
                _inputs(PRODUCT, [2.0, -1.0], [-1.0, 3.0]),
                _inputs(LAYER, [1.0, -0.5, 2.0], [0.5, 1.0, -1.0]),
                _inputs(FOURTH, [-1.0], [0.5]),
                _inputs(PRODUCT, [1.0, 2.0], [1.0, 2.0]),
            ],
            idea=True,
        ),
        Property(
            "inputs of several axes keep their shape",
            "An input may have one axis for tokens and one for their numbers. Does your path broadcast over all of them?",
            fixed=[
                _inputs(
                    ("a polynomial of 2 x 3 numbers", MIXED), [[1.0, 0.5, -1.0], [2.0, 1.5, 0.25]], [[0.0] * 3] * 2
                ),
                _inputs(("a polynomial of 3 x 2 x 1 numbers", MIXED), _boxed(1.0), _boxed(0.25)),
            ],
        ),
        Property(
            "the rule is precise where the function gets steeper",
            "Where on each step do you take the gradient? At its beginning or end alone, a steepening function is missed.",
            fixed=[_inputs(FIFTH, [1.0], [0.0]), _inputs(STEEP, [1.5, 1.0], [0.0, 0.0])],
        ),
        Property(
            "steps is the caller's",
            "A function that bends sharply needs more points on the way. Is the argument steps used?",
            fixed=[_inputs(FIFTH, [1.0], [0.0], steps=32), _inputs(SHARP, [1.0, 0.5], [0.0, 0.0], steps=256)],
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
            _integrating(lambda steps: torch.ones(1)),
        ),
        "the gradient halfway alone": (
            "You take one gradient halfway. A single point is precise only where the function is hardly bent.",
            _integrating(lambda steps: torch.full((1,), 0.5)),
        ),
        "not multiplied by the way": (
            "These are mean gradients. What each number gets also depends on how far it moved from its baseline.",
            _integrating(times=lambda mean, inputs, difference: mean),
        ),
        "multiplied by the input": (
            "You multiply by the input. With a baseline other than 0 a number has moved less far, or farther, than that.",
            _integrating(times=lambda mean, inputs, difference: mean * inputs),
        ),
        "the gradient at the input, not multiplied": (
            "That is the plain gradient at the input. Where does the baseline come in?",
            _integrating(lambda steps: torch.ones(1), times=lambda mean, inputs, difference: mean),
        ),
        "the baseline ignored": (
            "Your way begins at 0, whatever the baseline. It is an argument.",
            _integrating(start_of=lambda inputs, baseline: inputs * 0),
        ),
        "from the input to the baseline": (
            "Your signs are the wrong way round: the difference is the input less the baseline.",
            _integrating(times=lambda mean, inputs, difference: mean * -difference),
        ),
        "absolute values": (
            "Your attributions have lost their signs. Those that speak against the output are negative.",
            _integrating(times=lambda mean, inputs, difference: (mean * difference).abs()),
        ),
        "the mean over the batch": (
            "Your gradients are too small by the number of points: a mean over the batch divides each one once more.",
            _integrating(scalar=torch.mean),
        ),
        "added up, not averaged": (
            "Your gradients are added up over the steps. What is asked for is their mean.",
            _integrating(averaged=lambda gradients: gradients.sum(0)),
        ),
        "the left rule": (
            "You take each step's gradient at its beginning. That is too coarse where the function gets steeper.",
            _integrating(lambda steps: torch.arange(steps) / steps),
        ),
        "the right rule": (
            "You take each step's gradient at its end. That is too coarse where the function gets steeper.",
            _integrating(lambda steps: (torch.arange(steps) + 1) / steps),
        ),
        "both ends in full": (
            "Your points include both ends of the way with full weight, so the ends count too much. A trapezoid halves them.",
            _integrating(lambda steps: torch.arange(steps + 1) / steps),
        ),
        "summed over the last axis": (
            "You have summed over the last axis. The attribution has the shape of the input.",
            _integrating(times=lambda mean, inputs, difference: (mean * difference).sum(-1)),
        ),
        "the usual steps written into the code": (
            "The number of steps is an argument: yours is always the usual one.",
            lambda forward, inputs, baseline, steps=64: _integrating()(forward, inputs, baseline),
        ),
    },
)

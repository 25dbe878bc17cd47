"""Observers of lesson 06: attention, gradients, scored pieces, hidden words.

Functions and models are made from plain data alone. Does not know what should come out of an answer.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from labkit.checks.forms import call_in_forms, named
from labkit.checks.observing import call
from labkit.checks.wire import Plain


def attention_rollout(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """6.1. The layers go in as a list of tensors, or else as a tuple or one tensor."""

    def layers() -> list[torch.Tensor]:
        return [torch.tensor(layer, dtype=torch.float32) for layer in inputs["attentions"]]

    return call_in_forms(answer, lambda: (layers(),), lambda: (tuple(layers()),), lambda: (torch.stack(layers()),))


class ScalarFunction:
    """A function of (batch, ...) to (batch,): a polynomial, and a layer of tanh.

    spec: `terms`, pairs of a coefficient and of [place, power] pairs; optional `hidden`, triples of an output weight, a bias
    and one weight for each number.
    """

    def __init__(self, spec: Mapping[str, Plain], shape: Sequence[int]) -> None:
        self.spec, self.shape = spec, tuple(shape)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """(batch, *shape) -> (batch,). Raises ValueError for another shape."""
        if tuple(inputs.shape[1:]) != self.shape or inputs.dim() != len(self.shape) + 1:
            wanted = ", ".join(["batch", *map(str, self.shape)])
            raise ValueError(f"forward takes a batch of shape ({wanted}); found {tuple(inputs.shape)}")
        columns = inputs.reshape(len(inputs), -1).unbind(1)
        total = 0.0 * inputs.reshape(len(inputs), -1).sum(1)  # so that there is a gradient whatever the function
        for coefficient, powers in self.spec["terms"]:
            total = total + coefficient * math.prod(columns[place] ** power for place, power in powers)
        for weight, bias, weights in self.spec.get("hidden", ()):
            inner = sum(each * column for each, column in zip(weights, columns, strict=True))
            total = total + weight * torch.tanh(inner + bias)
        return total


def integrated_gradients(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """6.2."""
    given, baseline = (torch.tensor(inputs[name], dtype=torch.float32) for name in ("inputs", "baseline"))
    forward = ScalarFunction(inputs["_forward"], given.shape)
    with torch.enable_grad():
        return call(answer, forward, given, baseline, **named(inputs, "steps"))


def merge_wordpieces(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """6.3. The scores go in as a list, or else as an array or a tensor."""
    tokens, scores = inputs["tokens"], inputs["scores"]
    return call_in_forms(
        answer,
        lambda: (list(tokens), list(scores)),
        lambda: (list(tokens), np.array(scores, dtype=float)),
        lambda: (list(tokens), torch.tensor(scores, dtype=torch.float32)),
        **named(inputs, "prefix"),
    )


class HiddenWords:
    """A model of tokens: each has a weight, which its neighbours and place change."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        self.weights = weights

    def __call__(self, tokens: Sequence[str]) -> float:
        """The probability of the predicted class, between 0 and 1."""
        values = [self.weights.get(str(token), 0.0) for token in tokens]
        alone = sum(value * (1 + 0.1 * (place % 3)) for place, value in enumerate(values))
        together = sum(one * other for one, other in pairwise(values))
        return 1 / (1 + math.exp(-(alone + 0.5 * together) / math.sqrt(max(1, len(values)))))


def comprehensiveness(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """6.4. The scores go in as an array, or else as a list or a tensor."""
    tokens, scores, predict = inputs["tokens"], inputs["scores"], HiddenWords(inputs["_weights"])
    return call_in_forms(
        answer,
        lambda: (predict, list(tokens), np.array(scores, dtype=float)),
        lambda: (predict, list(tokens), list(scores)),
        lambda: (predict, list(tokens), torch.tensor(scores, dtype=torch.float64)),
        **named(inputs, "fraction", "mask"),
    )

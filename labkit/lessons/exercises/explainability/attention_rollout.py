"""Exercise 6.1, attention_rollout: attention over layers (Abnar and Zuidema 2020)."""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Any

import numpy as np
import torch

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.values import numbers, same_numbers
from labkit.checks.wire import Array, close
from labkit.lessons.observers import explainability as observers

Layers = Sequence[Sequence[Sequence[Sequence[float]]]]  # (layers, heads, tokens, tokens)
HEAD, OTHER = [[0.75, 0.25], [0.5, 0.5]], [[0.25, 0.75], [1.0, 0.0]]
THIRD, SHARP = [[0.125, 0.875], [0.25, 0.75]], [[0.0, 1.0], [0.875, 0.125]]
FIXED = np.random.default_rng(61)  # draws the larger fixed cases, one after the other


def attention_rollout_reference(attentions: Layers) -> Array:
    """The contract from the last layer down, as a row vector times each layer."""
    row = np.eye(len(attentions[0][0]))[0]
    for layer in reversed(attentions):
        mixed = 0.5 * np.mean(layer, axis=0) + 0.5 * np.eye(len(row))
        row = row @ (mixed / mixed.sum(axis=1, keepdims=True))
    return Array(row, True, "float32")


def _random(generator: np.random.Generator, layers: int, heads: int, tokens: int) -> Inputs:
    raw = np.exp(generator.normal(size=(layers, heads, tokens, tokens), scale=1.5))
    return ((raw / raw.sum(axis=-1, keepdims=True)).tolist(),)


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    for _ in range(4):
        layers, heads, tokens = (int(generator.integers(*bounds)) for bounds in ((1, 6), (2, 5), (3, 9)))
        yield "several" if layers > 1 else "one", _random(generator, layers, heads, tokens)


def _sums_to_1(case: Case, observation: Observation) -> Failure | None:
    found, tokens = numbers(observation.value), len(case.inputs["attentions"][0][0])
    right = found.shape == (tokens,) and close(float(found.sum()), 1.0)
    return None if right else Failure(f"{tokens} shares that sum to 1", f"shape {found.shape}, sum {found.sum():.4g}")


Step = Callable[[torch.Tensor], torch.Tensor]


def _half(attention: torch.Tensor) -> torch.Tensor:
    mixed = attention + torch.eye(len(attention))
    return mixed / mixed.sum(-1, keepdim=True)


def _half_of_each(attention: torch.Tensor) -> torch.Tensor:
    return (attention + torch.eye(len(attention))) / 2


def _product(layers: list[torch.Tensor]) -> torch.Tensor:
    return reduce(lambda rolled, layer: layer @ rolled, layers)


def _rollout(
    heads: Step = lambda layer: layer.mean(0),
    mixed: Step = _half,
    joined: Callable[[list[torch.Tensor]], torch.Tensor] = _product,
    row: Step = lambda rolled: rolled[0],
) -> Callable[[Any], torch.Tensor]:
    """A wrong answer, right but for what is given."""
    return lambda attentions: row(joined([mixed(heads(layer)) for layer in attentions]))


EXERCISE = Exercise(
    "6.1",
    "attention_rollout",
    observers.attention_rollout,
    nudge=(
        "Take one layer and two tokens. How much of the first token's row is the token itself, and how much comes to "
        "it through attention?"
    ),
    in_words=(
        "A layer mixes the tokens: one half through attention, averaged over the heads, one half through the residual"
        " connection, which is the identity. The next layer mixes what this one has mixed, so its matrix is "
        "multiplied from the left onto the product so far. The first row says what has reached the first token."
    ),
    reference=attention_rollout_reference,
    takes="attentions",
    drawn=_drawn,
    same=same_numbers,
    keeps_arguments="the attentions",
    properties=(
        Property(
            "the one token of the shortest text gets all",
            "With a single token there is only one place where attention can go. What comes out of yours?",
            fixed=[([[[[1.0]]], [[[1.0]]]],)],
        ),
        Property(
            "one layer: half its mean attention, half the token itself",
            "Take one layer by hand: the mean of its heads, mixed with the identity. Which of its rows is the first token's?",
            on="one",
            fixed=[([[HEAD]],), ([[HEAD, OTHER]],), _random(FIXED, 1, 3, 4)],
            core=True,
            idea=True,
        ),
        Property(
            "several layers are multiplied, the later ones from the left",
            "Attention of a later layer looks at what the earlier layers have mixed. Write two layers as a product on paper.",
            on="several",
            fixed=[
                ([[HEAD], [OTHER]],),
                ([[HEAD, THIRD], [SHARP, OTHER]],),
                _random(FIXED, 2, 2, 3),
                _random(FIXED, 4, 3, 5),
            ],
            core=True,
            idea=True,
        ),
        Property(
            "it is one share a token, and the shares sum to 1",
            "Sum your result. Rows of attention sum to 1; which step of yours has changed that, or is it no row?",
            test=_sums_to_1,
        ),
        returns(
            "a tensor of one dimension",
            lambda value: isinstance(value, Array) and value.tensor and value.values.ndim == 1,
        ),
    ),
    wrong={
        "the identity forgotten": (
            "Your layers are attention alone. A residual connection carries each token past it: half of a layer is the token.",
            _rollout(mixed=lambda attention: attention),
        ),
        "multiplied from the wrong side": (
            "Your layers are multiplied from the wrong side, as if the last one came first.",
            _rollout(joined=lambda layers: reduce(torch.matmul, layers)),
        ),
        "the largest head": (
            "You take the largest of the heads. The exercise asks for their mean.",
            _rollout(lambda layer: layer.amax(0)),
        ),
        "the largest head, not normalised": (
            "You take the largest of the heads, and so your rows no longer sum to 1. A mean of shares is a share again.",
            _rollout(lambda layer: layer.amax(0), mixed=_half_of_each),
        ),
        "the largest head, made shares again": (
            "You take the largest of the heads and scale its rows to 1. In the mean that is asked for, all heads count.",
            _rollout(lambda layer: layer.amax(0) / layer.amax(0).sum(-1, keepdim=True)),
        ),
        "the smallest head": (
            "You take the smallest of the heads: what a single head overlooks is lost. The exercise asks for their mean.",
            _rollout(lambda layer: layer.amin(0)),
        ),
        "heads added up, not normalised": (
            "You add up the heads, so that your rows sum to more than 1. How many heads are there?",
            _rollout(lambda layer: layer.sum(0), mixed=_half_of_each),
        ),
        "the first head alone": (
            "You follow one head and leave the others out. The exercise asks for their mean.",
            _rollout(lambda layer: layer[0]),
        ),
        "heads added up": (
            "You add up the heads, so that attention outweighs the identity. The exercise asks for their mean.",
            _rollout(lambda layer: layer.sum(0)),
        ),
        "the identity added in full": (
            "Your rows sum to more than 1 with every layer: attention and identity are added without being halved.",
            _rollout(mixed=lambda attention: attention + torch.eye(len(attention))),
        ),
        "the identity added once, at the end": (
            "You add the identity once, at the end. Every layer has its own residual connection.",
            _rollout(mixed=lambda attention: attention, row=lambda rolled: _half(rolled)[0]),
        ),
        "the column of the first token": (
            "Yours is a column: what of the first token reaches the others. Its row says what the first token has gathered.",
            _rollout(row=lambda rolled: rolled[:, 0]),
        ),
        "the mean over all rows": (
            "You average over all rows. The prediction is read at the first token, so its row is asked for.",
            _rollout(row=lambda rolled: rolled.mean(0)),
        ),
        "without the first layer": (
            "The first layer is missing from your product. Where does it start?",
            _rollout(joined=lambda layers: _product([torch.eye(len(layers[0])), *layers[1:]])),
        ),
        "the last layer alone": (
            "You look at the last layer alone. What reaches it was mixed by the layers before.",
            _rollout(joined=lambda layers: layers[-1]),
        ),
        "the mean over the layers": (
            "You average the layers. One layer reads what the one before has written, so they have to be multiplied.",
            _rollout(joined=lambda layers: torch.stack(layers).mean(0)),
        ),
        "multiplied number by number": (
            "You multiply the layers number by number. Following attention from layer to layer is a product of matrices.",
            _rollout(joined=lambda layers: torch.stack(layers).prod(0)),
        ),
        "columns normalised": (
            "You normalise columns. It is the rows that are to sum to 1: what a token gathers.",
            _rollout(mixed=lambda attention: _half(attention) / _half(attention).sum(0)),
        ),
        "the whole matrix": (
            "You give the whole matrix. The exercise asks for the row of the first token.",
            _rollout(row=lambda rolled: rolled),
        ),
    },
)

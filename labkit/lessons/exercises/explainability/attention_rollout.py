"""Exercise 6.1, attention_rollout: attention followed through the layers (Abnar and Zuidema 2020)."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.values import numbers
from labkit.checks.wire import Array, Plain, close, shown
from labkit.lessons.observers import explainability as observers

Layers = Sequence[Sequence[Sequence[Sequence[float]]]]  # (layers, heads, tokens, tokens)


def attention_rollout_reference(attentions: Layers) -> np.ndarray:
    """The contract from the last layer down: a row vector that each layer is multiplied to, from the right."""
    row = np.eye(len(attentions[0][0]))[0]
    for layer in reversed(attentions):
        mixed = 0.5 * np.mean(layer, axis=0) + 0.5 * np.eye(len(row))
        row = row @ (mixed / mixed.sum(axis=1, keepdims=True))
    return np.asarray(row)


def _case(label: str, attentions: Plain) -> Case:
    return Case({"attentions": attentions}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    dice = np.random.default_rng(61)
    head, other = [[0.75, 0.25], [0.5, 0.5]], [[0.25, 0.75], [1.0, 0.0]]
    third, sharp = [[0.125, 0.875], [0.25, 0.75]], [[0.0, 1.0], [0.875, 0.125]]
    return (
        _case("single", [[[[1.0]]], [[[1.0]]]]),
        _case("one", [[head]]),
        _case("one", [[head, other]]),
        _case("one", _attentions(dice, 1, 3, 4)),
        _case("several", [[head], [other]]),
        _case("several", [[head, third], [sharp, other]]),
        _case("several", _attentions(dice, 2, 2, 3)),
        _case("several", _attentions(dice, 4, 3, 5)),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator) for _ in range(4))]


def _drawn(generator: np.random.Generator) -> Case:
    layers = int(generator.integers(1, 6))
    heads = int(generator.integers(2, 5))
    attentions = _attentions(generator, layers, heads, int(generator.integers(3, 9)))
    return _case("several" if layers > 1 else "one", attentions)


def _attentions(generator: np.random.Generator, layers: int, heads: int, tokens: int) -> Plain:
    raw = np.exp(generator.normal(size=(layers, heads, tokens, tokens), scale=1.5))
    return (raw / raw.sum(axis=-1, keepdims=True)).tolist()


def _equals(case: Case, observation: Observation) -> Failure | None:
    wanted = Array(attention_rollout_reference(case.inputs["attentions"]), True, "float32")
    return None if _same(observation.value, wanted) else Failure(shown(wanted))


def _sums_to_1(case: Case, observation: Observation) -> Failure | None:
    found, tokens = numbers(observation.value), len(case.inputs["attentions"][0][0])
    if found.shape == (tokens,) and close(float(found.sum()), 1.0):
        return None
    return Failure(f"{tokens} shares that sum to 1", f"shape {found.shape}, sum {found.sum():.4g}")


def _same(one: Plain, other: Plain) -> bool:
    found, wanted = (Array(numbers(value), True, "float32") for value in (one, other))
    return close(found, wanted)


Matrix = Any  # a torch.Tensor; torch is imported where it is used


def _mixed(layer: Matrix) -> Matrix:
    import torch

    return 0.5 * layer.mean(0) + 0.5 * torch.eye(layer.shape[-1])


def _rollout(
    layer: Callable[[Matrix], Matrix] = _mixed,
    times: Callable[[Matrix, Matrix], Matrix] = lambda rolled, mixed: mixed @ rolled,
    pick: Callable[[Matrix], Matrix] = lambda rolled: rolled[0],
    which: slice = slice(None),
) -> Any:
    """A wrong answer, right but for what is asked for. which: of the layers."""

    def answer(attentions: Any) -> Any:
        import torch

        mixed = [layer(each) for each in list(attentions)[which]]
        rolled = mixed[0] if mixed else torch.eye(attentions[0].shape[-1])
        for each in mixed[1:]:
            rolled = times(rolled, each)
        return pick(rolled)

    return answer


def _mixed_of(over_heads: Callable[[Matrix], Matrix]) -> Callable[[Matrix], Matrix]:
    def layer(heads: Matrix) -> Matrix:
        mixed = _mixed(over_heads(heads)[None])
        return mixed / mixed.sum(-1, keepdim=True)

    return layer


def _identity_not_halved(layer: Matrix) -> Matrix:
    return 2 * _mixed(layer)


def _identity_once(attentions: Any) -> Any:
    rolled = _rollout(lambda layer: layer.mean(0), pick=lambda rolled: rolled)(attentions)
    return _mixed(rolled[None])[0]


def _mean_of_layers(attentions: Any) -> Any:
    import torch

    return torch.stack([_mixed(layer) for layer in attentions]).mean(0)[0]


def _columns_normalised(layer: Matrix) -> Matrix:
    mixed = _mixed(layer)
    return mixed / mixed.sum(0, keepdim=True)


EXERCISE = Exercise(
    "6.1",
    "attention_rollout",
    observers.attention_rollout,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "the one token of the shortest text gets all",
            "With a single token there is only one place where attention can go. What comes out of yours?",
            on="single",
            test=_equals,
        ),
        Property(
            "one layer: half its mean attention, half the token itself",
            "Take one layer by hand: the mean of its heads, mixed with the identity. Which of its rows is the first token's?",
            on="one",
            test=_equals,
            core=True,
        ),
        Property(
            "several layers are multiplied, the later ones from the left",
            "Attention of a later layer looks at what the earlier layers have mixed. Write two layers as a product on paper.",
            on="several",
            test=_equals,
            core=True,
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
            _rollout(lambda layer: layer.mean(0)),
        ),
        "multiplied from the wrong side": (
            "Your layers are multiplied from the wrong side, as if the last one came first.",
            _rollout(times=lambda rolled, mixed: rolled @ mixed),
        ),
        "the largest head": (
            "You take the largest of the heads. The exercise asks for their mean.",
            _rollout(_mixed_of(lambda heads: heads.amax(0))),
        ),
        "the first head alone": (
            "You follow one head and leave the others out. The exercise asks for their mean.",
            _rollout(_mixed_of(lambda heads: heads[0])),
        ),
        "heads added up": (
            "You add up the heads, so that attention outweighs the identity. The exercise asks for their mean.",
            _rollout(_mixed_of(lambda heads: heads.sum(0))),
        ),
        "the identity added in full": (
            "Your rows sum to more than 1 with every layer: attention and identity are added without being halved.",
            _rollout(_identity_not_halved),
        ),
        "the identity added once, at the end": (
            "You add the identity once, at the end. Every layer has its own residual connection.",
            _identity_once,
        ),
        "the column of the first token": (
            "Yours is a column: what of the first token reaches the others. Its row says what the first token has gathered.",
            _rollout(pick=lambda rolled: rolled[:, 0]),
        ),
        "the mean over all rows": (
            "You average over all rows. The prediction is read at the first token, so its row is asked for.",
            _rollout(pick=lambda rolled: rolled.mean(0)),
        ),
        "without the first layer": (
            "The first layer is missing from your product. Where does it start?",
            _rollout(which=slice(1, None)),
        ),
        "the last layer alone": (
            "You look at the last layer alone. What reaches it was mixed by the layers before.",
            _rollout(which=slice(-1, None)),
        ),
        "the mean over the layers": (
            "You average the layers. One layer reads what the one before has written, so they have to be multiplied.",
            _mean_of_layers,
        ),
        "multiplied number by number": (
            "You multiply the layers number by number. Following attention from layer to layer is a product of matrices.",
            _rollout(times=lambda rolled, mixed: rolled * mixed),
        ),
        "columns normalised": (
            "You normalise columns. It is the rows that are to sum to 1: what a token gathers.",
            _rollout(_columns_normalised),
        ),
        "the whole matrix": (
            "You give the whole matrix. The exercise asks for the row of the first token.",
            _rollout(pick=lambda rolled: rolled),
        ),
    },
    same=_same,
    keeps_arguments="the attentions",
)

"""Does an explanation look at what the model learned?

Its weights are shuffled, and the explanation should change. After Adebayo et al. (2018): an explanation that stays as it
was cannot be one of the model.
"""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from labkit.display import html_table, text_table
from labkit.evaluation.intervals import Score, mean_interval
from labkit.explanation.agreement import rank_correlation
from labkit.explanation.attribution import Explanations
from labkit.explanation.methods import explain
from labkit.explanation.registry import DEFAULT

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class RandomisationRow:
    """How alike explanations are before and after weights are shuffled.

    stage: down to where, from the head. similarity: rank correlation of the words' magnitudes, the mean over the texts with
    its interval; 1 is the same order.
    """

    method: str
    stage: str
    similarity: Score


@dataclass(frozen=True, repr=False)
class Randomisation:
    """What remains of n explanations when weights are shuffled from the head down."""

    rows: tuple[RandomisationRow, ...]
    n: int

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods in their order."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    @property
    def stages(self) -> tuple[str, ...]:
        """What was shuffled, stage by stage; each keeps those before it shuffled."""
        return tuple(dict.fromkeys(row.stage for row in self.rows))

    @property
    def caption(self) -> str:
        """What the numbers are."""
        return (
            f"rank correlation with the explanations of the trained model, n = {self.n}, 95% bootstrap intervals; "
            "an explanation that stays near 1 does not look at what the model learned"
        )

    def _table(self) -> list[tuple[str, ...]]:
        similarity = {(row.method, row.stage): str(row.similarity) for row in self.rows}
        body = [(stage, *(similarity[method, stage] for method in self.methods)) for stage in self.stages]
        return [("shuffled down to", *self.methods), *body]

    def __str__(self) -> str:
        return f"{self.caption}\n{text_table(self._table(), ['<26'] * (1 + len(self.methods)), gap='')}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self.caption, self._table())


def randomisation_check(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    methods: str | Sequence[str] = DEFAULT,
    *,
    cascading: bool = True,
    seed: int = 0,
    **options: Any,
) -> Randomisation:
    """Shuffle a copy's weights and compare explanations (Adebayo et al. 2018).

    They should change. cascading: the head first, then also the last layer, and so on down to the embeddings; otherwise all
    at once. Each tensor keeps its values and loses their places. options: of `explain`.
    """
    before = explain(model, tokenizer, texts, methods, seed=seed, **options)
    shuffled = copy.deepcopy(model)
    stages = list(stages_of(shuffled))
    rows = []
    generator = torch.Generator().manual_seed(seed)
    for place, (stage, parameters) in enumerate(stages):
        shuffle(parameters, generator)
        if cascading or place == len(stages) - 1:
            name = stage if cascading else "all weights"
            after = explain(shuffled, tokenizer, texts, methods, seed=seed + 1, **options)
            rows += [_similarity_row(method, name, before, after, seed) for method in before.methods]
    in_order = sorted(rows, key=lambda row: before.methods.index(row.method))
    return Randomisation(tuple(in_order), len(before) // len(before.methods))


def _similarity_row(method: str, stage: str, before: Explanations, after: Explanations, seed: int) -> RandomisationRow:
    pairs = zip(before.of(method), after.of(method), strict=True)
    similarities = [rank_correlation(np.abs(one.word_scores), np.abs(other.word_scores)) for one, other in pairs]
    return RandomisationRow(method, stage, mean_interval(similarities, seed=seed))


def stages_of(model: "PreTrainedModel") -> Iterator[tuple[str, list[nn.Parameter]]]:
    """Yield the model's parameters from the head down to the embeddings.

    Each parameter is in one stage; ALBERT's layers are one. They stand in the model in the order in which a text meets
    them: embeddings, layers, head.
    """
    stacks = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
    layers = max(stacks, key=len, default=[])
    ordered = list(model.parameters())
    in_layers = {id(parameter) for layer in layers for parameter in layer.parameters()}
    places = [place for place, parameter in enumerate(ordered) if id(parameter) in in_layers]
    first, last = (places[0], places[-1] + 1) if places else (0, 0)
    yield "head", ordered[last:]
    for place in reversed(range(len(layers))):
        yield f"layer {place}", list(layers[place].parameters())
    if first:
        yield "embeddings", ordered[:first]


def shuffle(parameters: Sequence[nn.Parameter], generator: torch.Generator) -> None:
    """Move every value of a tensor to another place in it.

    The spread stays, what was learned is gone.
    """
    with torch.no_grad():
        for parameter in parameters:
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))

"""Encoder families by their parts: embeddings, layers and head.

Knows what each family calls them; a new one is one class here and its entry in FAMILIES. Computes no
more than a head's logits (unpadded.py does the rest).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Embeddings:
    """What turns input ids into the first hidden states.

    token_type: (hidden,), of the only segment that a review has. projection: to the width of the layers.
    """

    words: nn.Embedding
    positions: nn.Embedding
    norm: nn.LayerNorm
    dropout: float
    token_type: torch.Tensor | None = None
    projection: nn.Linear | None = None


@dataclass(frozen=True)
class Block:
    """One layer of an encoder, by the parts that each family names differently."""

    query: nn.Linear
    key: nn.Linear
    value: nn.Linear
    attention_dropout: float
    attention_output: nn.Linear
    output_dropout: float
    attention_norm: nn.LayerNorm
    intermediate: nn.Linear
    activation: Callable[[torch.Tensor], torch.Tensor]
    output: nn.Linear
    dropout: float
    norm: nn.LayerNorm
    heads: int


class Family(Protocol):
    """Finds the parts of a sequence classifier of this family."""

    def embeddings(self, model: Any) -> Embeddings: ...

    def blocks(self, model: Any) -> Iterator[Block]: ...

    def head(self, model: Any, first: torch.Tensor) -> torch.Tensor:
        """Compute the logits from each review's first token, (reviews, hidden)."""


def _rate(dropout: nn.Dropout) -> float:
    """Return the probability with which a dropout drops now: none in evaluation."""
    return dropout.p if dropout.training else 0.0


class Bert:
    """Devlin et al. 2019."""

    def embeddings(self, model: Any) -> Embeddings:
        parts = model.bert.embeddings
        return Embeddings(
            words=parts.word_embeddings,
            positions=parts.position_embeddings,
            norm=parts.LayerNorm,
            dropout=_rate(parts.dropout),
            token_type=parts.token_type_embeddings.weight[0],
        )

    def blocks(self, model: Any) -> Iterator[Block]:
        for layer in model.bert.encoder.layer:
            attention = layer.attention.self
            yield Block(
                query=attention.query,
                key=attention.key,
                value=attention.value,
                attention_dropout=_rate(attention.dropout),
                attention_output=layer.attention.output.dense,
                output_dropout=_rate(layer.attention.output.dropout),
                attention_norm=layer.attention.output.LayerNorm,
                intermediate=layer.intermediate.dense,
                activation=layer.intermediate.intermediate_act_fn,
                output=layer.output.dense,
                dropout=_rate(layer.output.dropout),
                norm=layer.output.LayerNorm,
                heads=attention.num_attention_heads,
            )

    def head(self, model: Any, first: torch.Tensor) -> torch.Tensor:
        return model.classifier(model.dropout(model.bert.pooler(first[:, None])))


class DistilBert:
    """Sanh et al. 2019: no segments, no pooler, and no dropout after the attention."""

    def embeddings(self, model: Any) -> Embeddings:
        parts = model.distilbert.embeddings
        return Embeddings(
            words=parts.word_embeddings,
            positions=parts.position_embeddings,
            norm=parts.LayerNorm,
            dropout=_rate(parts.dropout),
        )

    def blocks(self, model: Any) -> Iterator[Block]:
        for layer in model.distilbert.transformer.layer:
            attention = layer.attention
            yield Block(
                query=attention.q_lin,
                key=attention.k_lin,
                value=attention.v_lin,
                attention_dropout=_rate(attention.dropout),
                attention_output=attention.out_lin,
                output_dropout=0.0,
                attention_norm=layer.sa_layer_norm,
                intermediate=layer.ffn.lin1,
                activation=layer.ffn.activation,
                output=layer.ffn.lin2,
                dropout=_rate(layer.ffn.dropout),
                norm=layer.output_layer_norm,
                heads=attention.n_heads,
            )

    def head(self, model: Any, first: torch.Tensor) -> torch.Tensor:
        return model.classifier(model.dropout(F.relu(model.pre_classifier(first))))


class Albert:
    """Lan et al. 2020: projected embeddings, and layers that share their weights."""

    def embeddings(self, model: Any) -> Embeddings:
        parts = model.albert.embeddings
        return Embeddings(
            words=parts.word_embeddings,
            positions=parts.position_embeddings,
            norm=parts.LayerNorm,
            dropout=_rate(parts.dropout),
            token_type=parts.token_type_embeddings.weight[0],
            projection=model.albert.encoder.embedding_hidden_mapping_in,
        )

    def blocks(self, model: Any) -> Iterator[Block]:
        encoder, config = model.albert.encoder, model.config
        for place in range(config.num_hidden_layers):
            group = encoder.albert_layer_groups[place * config.num_hidden_groups // config.num_hidden_layers]
            for layer in group.albert_layers:
                attention = layer.attention
                yield Block(
                    query=attention.query,
                    key=attention.key,
                    value=attention.value,
                    attention_dropout=_rate(attention.attention_dropout),
                    attention_output=attention.dense,
                    output_dropout=_rate(attention.output_dropout),
                    attention_norm=attention.LayerNorm,
                    intermediate=layer.ffn,
                    activation=layer.activation,
                    output=layer.ffn_output,
                    dropout=0.0,
                    norm=layer.full_layer_layer_norm,
                    heads=attention.num_attention_heads,
                )

    def head(self, model: Any, first: torch.Tensor) -> torch.Tensor:
        pooled = model.albert.pooler_activation(model.albert.pooler(first))
        return model.classifier(model.dropout(pooled))


FAMILIES: dict[str, Family] = {"bert": Bert(), "distilbert": DistilBert(), "albert": Albert()}

"""Attention: who looks at whom by layer and head, and rollout through all layers.

Only eager attention returns its weights; that must be asked for when the model is loaded. Attention is no attribution: it
says where the model looks, not what moves it (methods.py).
"""

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch

from labkit.explanation.attribution import AttributionError, cleaned
from labkit.explanation.margins import batches, padded
from labkit.explanation.words import AlignedText, align
from labkit.models.encoders import quiet_transformers
from labkit.models.evaluation_mode import evaluation_mode

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Kept = TypeVar("Kept")


def attention_rollout(attentions: Sequence[torch.Tensor]) -> torch.Tensor:
    """Follow attention down through all layers to `[CLS]` (Abnar & Zuidema 2020).

    The result says how much of each token reaches it. attentions: per layer (heads, tokens, tokens), rows summing to 1.
    Heads are averaged and half an identity stands for the residual connection. Returns the `[CLS]` row, (tokens,), which
    sums to 1. Raises ValueError for no layers or other shapes.

    >>> attention_rollout([torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])] * 2)
    tensor([0.2500, 0.7500])
    """
    shapes = [tuple(attention.shape) for attention in attentions]
    if not shapes or any(len(shape) != 3 or shape != shapes[0] for shape in shapes):
        raise ValueError(
            f"wanted (heads, tokens, tokens) of each layer, without an axis of texts; found {shapes or 'none'}"
        )
    rollout = None
    for attention in attentions:
        mean = attention.mean(dim=0)
        mixed = (mean + torch.eye(len(mean), dtype=mean.dtype, device=mean.device)) / 2
        mixed = mixed / mixed.sum(dim=-1, keepdim=True)
        rollout = mixed if rollout is None else mixed @ rollout
    assert rollout is not None
    return rollout[0]


@dataclass(frozen=True, eq=False, repr=False)
class AttentionWeights:
    """Who looks at whom in one text, by layer and head.

    weights: (layers, heads, tokens, tokens) float32, each row of tokens summing to 1.
    """

    reading: AlignedText
    weights: np.ndarray

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return int(self.weights.shape[0])

    @property
    def heads(self) -> int:
        """How many heads each layer has."""
        return int(self.weights.shape[1])

    def of(self, layer: int = -1, head: int | None = None) -> np.ndarray:
        """Return the weights of one layer and head, or the mean over its heads.

        (tokens, tokens). Raises AttributionError for a layer or head that is not there.
        """
        for what, value, count in (("layer", layer, self.layers), ("head", head, self.heads)):
            if value is not None and not -count <= value < count:
                raise AttributionError(f"{what} {value} is not there; the model has {count}, counted from 0")
        weights = self.weights[layer]
        return np.asarray(weights.mean(axis=0) if head is None else weights[head])

    def name(self, layer: int = -1, head: int | None = None) -> str:
        """Name that attention in words; layers and heads are counted from 0."""
        which = f"mean of {self.heads} heads" if head is None else f"head {head % self.heads}"
        return f"layer {layer % self.layers}, {which}"

    def __repr__(self) -> str:
        return f"AttentionWeights({self.layers} layers, {self.heads} heads, {len(self.reading)} tokens)"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


def attention_weights(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    text: str,
    *,
    max_length: int = 128,
    truncation: str = "head",
) -> AttentionWeights:
    """Compute the attention weights of every layer and head on one text.

    Raises AttributionError where the model returns none.
    """
    texts = align(cleaned([text]), tokenizer, max_length, truncation)
    return attentions_of(model, texts, int(tokenizer.pad_token_id), AttentionWeights)[0]


def attentions_of(
    model: "PreTrainedModel",
    texts: Sequence[AlignedText],
    pad_token_id: int,
    keep: Callable[[AlignedText, np.ndarray], Kept],
) -> list[Kept]:
    """Compute each text's attention and keep what `keep` makes of it, in order.

    `keep` gets (layers, heads, tokens, tokens), without padding. The whole attention of many texts would fill the memory.
    """
    rows = [text.input_ids for text in texts]
    found: dict[int, Kept] = {}
    for places in batches(rows):
        input_ids, mask = padded([rows[place] for place in places], pad_token_id, model.device)
        with quiet_transformers(), evaluation_mode(model):
            layers = model(input_ids=input_ids, attention_mask=mask, output_attentions=True).attentions
        _check_attentions(model, layers, input_ids.shape[1])
        for row, place in enumerate(places.tolist()):
            width = len(rows[place])
            weights = torch.stack([layer[row, :, :width, :width] for layer in layers]).float().cpu().numpy()
            found[place] = keep(texts[place], weights)
    return [found[place] for place in range(len(rows))]


def _check_attentions(model: "PreTrainedModel", layers: Sequence[torch.Tensor | None] | None, width: int) -> None:
    """Check that there is one weight for each pair of tokens, in every layer and head.

    Some families pool tokens, look through windows, or return what stands before the softmax.
    """
    family = f"the family {getattr(model.config, 'model_type', 'of this model')}"
    known = [layer for layer in layers or () if layer is not None]
    if not known or len(known) < len(layers or ()):
        kind = getattr(model.config, "_attn_implementation", "not known")
        way_out = 'load it with attention="eager", or call model.set_attn_implementation("eager")'
        raise AttributionError(
            f"the model returned no attention weights: its attention ({kind}) never forms them; "
            + (f"{family} has none to show" if kind == "eager" else way_out)
        )
    shapes = {tuple(layer.shape[1:]) for layer in known}
    if len(shapes) > 1 or shapes.pop()[1:] != (width, width):
        raise AttributionError(f"{family} does not return attention of each token to each; wanted one that does")
    if not all(torch.allclose(layer.sum(dim=-1), layer.new_ones(()), atol=1e-2) for layer in known):
        raise AttributionError(f"{family} returns attention whose weights do not add up to 1; wanted one where they do")

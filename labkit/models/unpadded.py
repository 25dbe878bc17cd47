"""The forward pass of a BERT-like classifier without padding.

Every token of a batch stands in one long row. The model stays a Hugging Face model, and its logits and gradients stay
the same; what is computed is less. Padding is not there, each review attends to itself, dropout, residual and LayerNorm
are one step, and of the last layer only the rows of `[CLS]` are computed, since the head reads nothing else. Does not
decide which reviews share a batch (batching.py) and does not know what a family calls its parts (families.py).
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional as F

from labkit.errors import UsageError
from labkit.models.dropout import DropoutMasks
from labkit.models.families import FAMILIES, Block, Embeddings
from labkit.models.kernels import add_and_norm, at_least_fp32, attend

if TYPE_CHECKING:
    from transformers import PreTrainedModel


# A round number of tokens suits the matrix units, and it keeps the number of different shapes small: oneDNN compiles a kernel
# for each shape that it meets (benchmarks/NOTES.md).
ROUND = 64


class Unpadded(nn.Module):
    """A sequence classifier over packed or padded batches, computed without padding.

    For those in FAMILIES; raises UsageError for others. sixteen_bit_dropout: masks of sixteen bits (dropout.py).
    """

    def __init__(self, model: "PreTrainedModel", *, sixteen_bit_dropout: bool = True) -> None:
        super().__init__()
        if not can_unpad(model):
            known, found = ", ".join(FAMILIES), model.config.model_type
            raise UsageError(f"padding can be left out for {known}, not for {found}; use batching buckets")
        self.model = model
        self.sixteen_bit_dropout = sixteen_bit_dropout

    def forward(
        self,
        input_ids: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        sequence_ids: torch.Tensor | None = None,
        sequence_starts: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
    ) -> Any:
        """Compute the logits (reviews, classes) and, given `labels`, the mean loss.

        Shapes as in `batching.Batch`.
        """
        from transformers.modeling_outputs import SequenceClassifierOutput

        if sequence_starts is None:
            packed = PackedTokens.of_padded(input_ids, attention_mask)
        else:
            assert position_ids is not None and sequence_ids is not None
            if _has_flash_attention(self.model, input_ids.device):
                longest = self.model.config.max_position_embeddings
                packed = PackedTokens.of_packed_without_table(input_ids, position_ids, sequence_starts, longest)
            else:
                packed = PackedTokens.of_packed(input_ids, position_ids, sequence_ids, sequence_starts)
        family, masks = FAMILIES[self.model.config.model_type], DropoutMasks(self.sixteen_bit_dropout)
        hidden = _embed(family.embeddings(self.model), packed, masks)
        *blocks, last = family.blocks(self.model)
        for block in blocks:
            hidden = _run(block, hidden, packed, masks)
        logits = family.head(self.model, _run(last, hidden, packed, masks, first_only=True))
        loss = None if labels is None else F.cross_entropy(at_least_fp32(logits), labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def can_unpad(model: "PreTrainedModel") -> bool:
    """Check whether the model is a sequence classifier of a family known here."""
    return type(model).__name__.endswith("ForSequenceClassification") and model.config.model_type in FAMILIES


# --- where the tokens of each review are --------------------------------------------------------------------------


@dataclass(frozen=True)
class PackedTokens:
    """The tokens of a batch in one row, and their places in a table.

    The table is (reviews, width). input_ids, position_ids: (tokens,). starts: (reviews,), where each `[CLS]` is.
    places: (tokens,), the place of each token in the table read row by row; None where the table is full.
    key_padding_mask: (reviews, 1, 1, width), True where no token is. cu_seqlens: (reviews + 1,) int32, where each
    review begins and the last one ends; then no table is made (`_attend_packed`).
    """

    input_ids: torch.Tensor
    position_ids: torch.Tensor
    starts: torch.Tensor
    reviews: int
    width: int
    places: torch.Tensor | None = None
    key_padding_mask: torch.Tensor | None = None
    cu_seqlens: torch.Tensor | None = None

    @classmethod
    def of_padded(cls, input_ids: torch.Tensor, attention_mask: torch.Tensor | None) -> "PackedTokens":
        reviews, width = input_ids.shape
        positions = torch.arange(width, device=input_ids.device).repeat(reviews)
        starts = torch.arange(0, reviews * width, width, device=input_ids.device)
        whole = cls(input_ids.flatten(), positions, starts, reviews, width)
        if attention_mask is None:
            return whole
        padding = attention_mask == 0
        if input_ids.device.type != "cpu":  # to ask how many tokens there are would make the host wait for the device
            return replace(whole, key_padding_mask=padding[:, None, None])
        if not padding.any():
            return whole
        if padding[
            :, 0
        ].any():  # the head reads each review's first token, and a row without any has nothing to attend to
            row = int(padding[:, 0].nonzero()[0, 0])
            raise UsageError(
                f"row {row} of the batch is empty or padded on the left; wanted tokens first, then padding"
            )
        return whole._without_padding(padding.flatten())

    @classmethod
    def of_packed(
        cls, input_ids: torch.Tensor, position_ids: torch.Tensor, sequence_ids: torch.Tensor, starts: torch.Tensor
    ) -> "PackedTokens":
        reviews, width = len(starts), int(position_ids.max()) + 1  # on a GPU the host waits for this number
        places = sequence_ids[0] * width + position_ids[0]
        table = input_ids.new_zeros(reviews * width).index_copy_(0, places, input_ids[0])
        padding = torch.ones_like(table, dtype=torch.bool).index_fill_(0, places, False)
        return cls.of_padded(table.view(reviews, width), ~padding.view(reviews, width))

    @classmethod
    def of_packed_without_table(
        cls, input_ids: torch.Tensor, position_ids: torch.Tensor, starts: torch.Tensor, width: int
    ) -> "PackedTokens":
        """Take packed tokens as they are, for flash attention.

        width: at least that of the longest review.
        """
        cu_seqlens = torch.cat([starts, starts.new_full((1,), input_ids.shape[1])]).to(torch.int32)
        return cls(input_ids[0], position_ids[0], starts, len(starts), width, cu_seqlens=cu_seqlens)

    def _without_padding(self, padding: torch.Tensor) -> "PackedTokens":
        """Leave out most places where `padding` (places,) is True.

        Enough of them stay to make the number of tokens round.
        """
        tokens = (~padding).nonzero()[:, 0]
        spare = -len(tokens) % ROUND
        key_padding_mask = padding.view(self.reviews, 1, 1, self.width)
        if len(tokens) + spare >= len(padding):
            return replace(self, key_padding_mask=key_padding_mask)
        places = torch.cat([tokens, padding.nonzero()[:spare, 0]])
        starts = torch.searchsorted(tokens, self.starts)
        ids, positions = self.input_ids[places], self.position_ids[places]
        return PackedTokens(ids, positions, starts, self.reviews, self.width, places, key_padding_mask)

    def as_table(self, values: torch.Tensor) -> torch.Tensor:
        """Lay (tokens, n) out as (reviews, width, n), 0 where there is no token."""
        if self.places is not None:
            table = values.new_zeros(self.reviews * self.width, values.shape[1])
            values = table.index_copy(0, self.places, values)
        return values.view(self.reviews, self.width, -1)

    def as_row(self, table: torch.Tensor) -> torch.Tensor:
        """Collect (tokens, n) from (reviews, width, n)."""
        values = table.reshape(self.reviews * self.width, -1)
        return values if self.places is None else values.index_select(0, self.places)


# --- the layers ---------------------------------------------------------------------------------------------------


def _embed(parts: Embeddings, packed: PackedTokens, masks: DropoutMasks) -> torch.Tensor:
    hidden = parts.words(packed.input_ids) + parts.positions(packed.position_ids)
    hidden = parts.norm(hidden if parts.token_type is None else hidden + parts.token_type)
    mask = masks.draw(hidden.shape, parts.dropout, hidden)
    hidden = hidden if mask.kept is None else hidden * mask.kept * mask.scale
    hidden = hidden if parts.projection is None else parts.projection(hidden)
    return at_least_fp32(hidden)  # as autocast keeps what LayerNorm reads


def _run(
    block: Block, hidden: torch.Tensor, packed: PackedTokens, masks: DropoutMasks, first_only: bool = False
) -> torch.Tensor:
    """Compute a layer's output (tokens, hidden).

    first_only: of each review's first token alone, (reviews, hidden).
    """
    residual = hidden.index_select(0, packed.starts) if first_only else hidden
    attend_within = _attend_in_table if packed.cu_seqlens is None else _attend_packed
    attended = attend_within(block, residual, hidden, packed, masks)
    hidden = add_and_norm(block.attention_output(attended), residual, block.attention_norm, block.output_dropout, masks)
    between = block.activation(block.intermediate(hidden))
    return add_and_norm(block.output(between), hidden, block.norm, block.dropout, masks)


def _attend_in_table(
    block: Block, queries_from: torch.Tensor, hidden: torch.Tensor, packed: PackedTokens, masks: DropoutMasks
) -> torch.Tensor:
    """Attend within each review.

    queries_from: all tokens, being `hidden` itself, or the first of each review.
    """
    if queries_from is hidden:
        query, key, value = _heads_of(packed, hidden, block.heads, block.query, block.key, block.value)
    else:
        (query,) = _heads(block.query(queries_from).unsqueeze(1), block.heads, 1)
        key, value = _heads_of(packed, hidden, block.heads, block.key, block.value)
    attended = attend(query, key, value, packed.key_padding_mask, block.attention_dropout, masks).transpose(1, 2)
    if queries_from is hidden:
        return packed.as_row(attended.reshape(packed.reviews, packed.width, -1))
    return attended.flatten(1)


def _attend_packed(
    block: Block, queries_from: torch.Tensor, hidden: torch.Tensor, packed: PackedTokens, masks: DropoutMasks
) -> torch.Tensor:
    """Attend within each review by flash attention over different lengths.

    Torch's public function for it has no dropout.
    """
    assert packed.cu_seqlens is not None
    if queries_from is hidden:
        cu_seqlens_q, width = packed.cu_seqlens, packed.width
        parts = _side_by_side(hidden, block.query, block.key, block.value)
        query, key, value = parts.view(len(hidden), 3, block.heads, -1).unbind(1)
    else:
        cu_seqlens_q, width = torch.arange(packed.reviews + 1, dtype=torch.int32, device=hidden.device), 1
        query = block.query(queries_from).view(len(queries_from), block.heads, -1)
        key, value = _side_by_side(hidden, block.key, block.value).view(len(hidden), 2, block.heads, -1).unbind(1)
    attended: torch.Tensor = torch.ops.aten._flash_attention_forward(
        query, key, value, cu_seqlens_q, packed.cu_seqlens, width, packed.width, block.attention_dropout, False, False
    )[0]
    return attended.flatten(1)


def _has_flash_attention(model: Any, device: torch.device) -> bool:
    """Check for flash attention.

    It computes in half precision alone, for heads of certain sizes, on NVIDIA's GPUs from Ampere on.
    """
    if device.type != "cuda" or torch.version.hip or torch.cuda.get_device_capability(device) < (8, 0):
        return False
    size = model.config.hidden_size // model.config.num_attention_heads
    computed = torch.get_autocast_dtype("cuda") if torch.is_autocast_enabled("cuda") else model.dtype
    return computed in (torch.float16, torch.bfloat16) and size % 8 == 0 and size <= 256


def _side_by_side(hidden: torch.Tensor, *layers: nn.Linear) -> torch.Tensor:
    """Apply several linear layers to the tokens in one matrix product.

    Returns their outputs side by side: (tokens, n).
    """
    weight, bias = torch.cat([layer.weight for layer in layers]), torch.cat([layer.bias for layer in layers])
    return F.linear(hidden, weight, bias)


def _heads_of(packed: PackedTokens, hidden: torch.Tensor, heads: int, *layers: nn.Linear) -> tuple[torch.Tensor, ...]:
    """Apply several linear layers to the tokens and divide each output into heads.

    In training by one matrix product. In evaluation by one for each layer, for autocast casts a weight once for all batches,
    and weights that are joined for the product it would cast every time.
    """
    if torch.is_grad_enabled():
        return _heads(packed.as_table(_side_by_side(hidden, *layers)), heads, len(layers))
    return tuple(part for layer in layers for part in _heads(packed.as_table(layer(hidden)), heads, 1))


def _heads(table: torch.Tensor, heads: int, parts: int) -> tuple[torch.Tensor, ...]:
    """Divide a table into heads.

    (reviews, width, parts x heads x size) becomes `parts` tensors of (reviews, heads, width, size).
    """
    reviews, width, _ = table.shape
    return tuple(table.view(reviews, width, parts, heads, -1).permute(2, 0, 3, 1, 4).contiguous().unbind(0))

"""Attention and the add-and-norm step, with gradients written by hand.

Softmax by plain matrix products, and dropout, residual and LayerNorm as one step, are faster on the CPU than what torch
has (benchmarks/NOTES.md). Does not know which tokens make a review (unpadded.py).
"""

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from labkit.models.dropout import DropoutMasks


def at_least_fp32(values: torch.Tensor) -> torch.Tensor:
    """Raise half precision to fp32; leave everything else as it is."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def attend(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    key_padding_mask: torch.Tensor | None,
    probability: float,
    masks: DropoutMasks,
    fused: bool | None = None,
) -> torch.Tensor:
    """Compute attention of (reviews, heads, tokens, size).

    fused: as torch does it, by default on every device but the CPU. On the CPU torch's fused kernel takes eight times
    as long as plain matrix products where reviews are short.
    """
    if query.device.type != "cpu" if fused is None else fused:
        seen = None if key_padding_mask is None else ~key_padding_mask
        return F.scaled_dot_product_attention(query, key, value, seen, dropout_p=probability)
    mask = masks.draw((*query.shape[:3], key.shape[2]), probability, query)
    return _Attention.apply(query, key, value, key_padding_mask, mask.kept, mask.scale)


def add_and_norm(
    change: torch.Tensor, residual: torch.Tensor, norm: nn.LayerNorm, probability: float, masks: DropoutMasks
) -> torch.Tensor:
    """Normalise the residual plus the change, of which dropout leaves out a part."""
    change = change.to(residual.dtype)
    mask = masks.draw(tuple(change.shape), probability, change)
    return _AddAndNorm.apply(change, residual, norm.weight, norm.bias, norm.eps, mask.kept, mask.scale)


class _Attention(torch.autograd.Function):
    """softmax(query key^T / sqrt(size)) value, with the softmax at least in fp32.

    kept, scale: of dropout's mask.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None,
        kept: torch.Tensor | None,
        scale: float,
    ) -> torch.Tensor:
        ctx.size, ctx.scale = query.shape[-1], scale
        scores = at_least_fp32(torch.matmul(query, key.transpose(-1, -2))).mul_(ctx.size**-0.5)
        if key_padding_mask is not None:
            # Added, because on the CPU to fill by a mask that must be expanded takes five times as long.
            scores += torch.zeros_like(key_padding_mask, dtype=scores.dtype).masked_fill_(key_padding_mask, -torch.inf)
        probabilities = torch.softmax(scores, dim=-1)
        used = probabilities.to(value.dtype)
        used = used if kept is None else used * kept
        ctx.save_for_backward(query, key, value, probabilities, used, kept)
        attended = torch.matmul(used, value)
        return attended if kept is None else attended.mul_(scale)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        query, key, value, probabilities, used, kept = ctx.saved_tensors
        if kept is not None:
            gradient = gradient * ctx.scale
        of_value = torch.matmul(used.transpose(-1, -2), gradient)
        of_probabilities = torch.matmul(gradient, value.transpose(-1, -2))
        if kept is not None:
            of_probabilities.mul_(kept)
        of_probabilities = of_probabilities.to(probabilities.dtype)
        of_scores = torch._softmax_backward_data(of_probabilities, probabilities, -1, probabilities.dtype)
        of_scores = of_scores.mul_(ctx.size**-0.5).to(query.dtype)
        of_query, of_key = torch.matmul(of_scores, key), torch.matmul(of_scores.transpose(-1, -2), query)
        return of_query, of_key, of_value, None, None, None


class _AddAndNorm(torch.autograd.Function):
    """LayerNorm(residual + dropout(change)). kept, scale: of dropout's mask."""

    @staticmethod
    def forward(
        ctx: Any,
        change: torch.Tensor,
        residual: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor,
        eps: float,
        kept: torch.Tensor | None,
        scale: float,
    ) -> torch.Tensor:
        total = residual + change if kept is None else torch.addcmul(residual, change, kept, value=scale)
        normed, mean, rstd = torch.native_layer_norm(total, weight.shape, weight, bias, eps)
        ctx.scale = scale
        ctx.save_for_backward(total, mean, rstd, weight, bias, kept)
        return normed

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        total, mean, rstd, weight, bias, kept = ctx.saved_tensors
        wanted = [True, ctx.needs_input_grad[2], ctx.needs_input_grad[3]]
        of_total, of_weight, of_bias = torch.ops.aten.native_layer_norm_backward(
            gradient.contiguous(), total, weight.shape, mean, rstd, weight, bias, wanted
        )
        of_change = of_total if kept is None else (of_total * kept).mul_(ctx.scale)
        return of_change, of_total, of_weight, of_bias, None, None, None

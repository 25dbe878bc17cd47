"""Packed batches: many reviews laid end to end without padding, attention within each review only.

The model stays a Hugging Face model; what is here runs it over such a batch. Which reviews are packed, batching.py decides.
"""

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from labkit.errors import UsageError

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class Packed(nn.Module):
    """A classifier over packed batches: attention within each review only, the head on each review's own `[CLS]`.

    Hugging Face's pooler reads position 0 alone, so the first token of every review is gathered and shown to the head as a
    sequence of one token. For BERT, DistilBERT and ALBERT; raises UsageError for other heads.
    """

    def __init__(self, model: "PreTrainedModel") -> None:
        super().__init__()
        if model.config.model_type not in _HEADS:
            raise UsageError(
                f"batching packed works with {', '.join(_HEADS)}, not {model.config.model_type}; use batching buckets"
            )
        self.model = model
        self.head = _HEADS[model.config.model_type]

    def forward(
        self,
        input_ids: torch.Tensor,
        position_ids: torch.Tensor,
        sequence_ids: torch.Tensor,
        sequence_starts: torch.Tensor,
        labels: torch.Tensor | None = None,
    ) -> Any:
        """Logits (reviews, classes), and the mean loss where `labels` are given; shapes as in `batching.Batch`."""
        from transformers.modeling_outputs import SequenceClassifierOutput

        same_review = sequence_ids[:, None, :, None] == sequence_ids[:, None, None, :]  # (1, 1, tokens, tokens)
        dtype = self.model.dtype
        mask = torch.zeros(same_review.shape, dtype=dtype, device=input_ids.device)
        mask = mask.masked_fill(~same_review, torch.finfo(dtype).min)
        hidden = _run_base(self.model, input_ids, position_ids, mask)
        logits = self.head(self.model, hidden[0, sequence_starts][:, None])
        precise = logits.to(torch.promote_types(logits.dtype, torch.float32))
        loss = None if labels is None else nn.functional.cross_entropy(precise, labels)
        return SequenceClassifierOutput(loss=loss, logits=logits)


def _run_base(
    model: "PreTrainedModel", input_ids: torch.Tensor, position_ids: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """Last hidden states (1, tokens, hidden); DistilBERT takes no position ids, but its embeddings do as a sum."""
    base = model.base_model
    if model.config.model_type != "distilbert":
        return base(input_ids=input_ids, position_ids=position_ids, attention_mask=mask).last_hidden_state
    embeddings: Any = base.embeddings
    summed = embeddings.word_embeddings(input_ids) + embeddings.position_embeddings(position_ids)
    embedded = embeddings.dropout(embeddings.LayerNorm(summed))
    return base.transformer(hidden_states=embedded, attention_mask=mask).last_hidden_state


def _bert_head(model: Any, first: torch.Tensor) -> torch.Tensor:
    return model.classifier(model.dropout(model.bert.pooler(first)))


def _distilbert_head(model: Any, first: torch.Tensor) -> torch.Tensor:
    return model.classifier(model.dropout(nn.functional.relu(model.pre_classifier(first[:, 0]))))


def _albert_head(model: Any, first: torch.Tensor) -> torch.Tensor:
    pooled = model.albert.pooler_activation(model.albert.pooler(first[:, 0]))
    return model.classifier(model.dropout(pooled))


_HEADS = {"bert": _bert_head, "distilbert": _distilbert_head, "albert": _albert_head}

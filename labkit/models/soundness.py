"""Whether a loaded model can work at all: its weights, its vocabulary, its positions.

Asked before anything is computed or written, so that a folder that cannot work is refused in one line. Does not load
(encoders.py).
"""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from labkit.data.tokens import special_ids
from labkit.errors import UsageError
from labkit.models.evaluation_mode import evaluation_mode

if TYPE_CHECKING:
    import numpy as np
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class ModelError(UsageError):
    """A model that is not there, that transformers cannot load safely, or that cannot work as it is."""


def check_soundness(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", name: object) -> None:
    """Check that all weights are numbers, and that the model computes what its tokenizer gives.

    name: what the message calls the model. Raises ModelError.
    """
    import torch

    for weight_name, weight in model.named_parameters():
        values = weight.detach()
        if not math.isfinite(float(values.sum())) and not bool(torch.isfinite(values).all()):  # a sum may overflow
            raise ModelError(f"{name}: {weight_name} holds NaN or infinity; the weights are damaged, get them anew")
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{name}: the tokenizer has no token for padding; wanted one, such as [PAD]")
    prefix, suffix = special_ids(tokenizer)
    ids = [*prefix, int(tokenizer.pad_token_id), *suffix]
    check_vocabulary(model, tokenizer, [ids], name)
    try:
        with evaluation_mode(model):
            inputs = torch.tensor([ids], device=model.device)
            shape = model(input_ids=inputs, attention_mask=torch.ones_like(inputs)).logits.shape
    except Exception as why:  # whatever a family's own code raises where it does not suit
        raise ModelError(f"{name}: the model cannot compute a text ({in_one_line(why)})") from None
    if tuple(shape) != (1, model.config.num_labels):
        raise ModelError(f"{name}: the model's logits have the shape {tuple(shape)}; wanted one row a text")


def check_vocabulary(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: "Iterable[np.ndarray | list[int]]",
    name: object = "the model",
) -> None:
    """Check that the model's embedding has a row for every token of the texts.

    rows: the input ids of each text. Raises ModelError, which names the token.
    """
    count = int(model.get_input_embeddings().weight.shape[0])
    if len(tokenizer) <= count:
        return
    largest = max((int(max(row)) for row in rows), default=0)
    if largest >= count:
        token = tokenizer.convert_ids_to_tokens(largest)
        raise ModelError(
            f"{name}: the tokenizer gives {token} the number {largest}, and the model's embedding has {count} rows; "
            "after adding tokens, model.resize_token_embeddings(len(tokenizer)) is wanted before it is saved"
        )


def positions_of(model: "PreTrainedModel") -> int | None:
    """Count the tokens that a text may have, special tokens included; None where nothing limits them.

    In RoBERTa's kind positions begin after the number of the padding token, so that not all rows of the table serve.
    """
    if padding := padding_position(model):
        table, place = padding
        return table.num_embeddings - place - 1
    limit = getattr(model.config, "max_position_embeddings", None)
    return limit if isinstance(limit, int) and limit > 0 else None


def padding_position(model: "PreTrainedModel") -> tuple["nn.Embedding", int] | None:
    """Find the table of positions, and the row in it that stands for padding, in a model whose positions come from its ids.

    That is RoBERTa's kind: tokens that are not padding are counted from the row after it. None for every other model.
    """
    from torch import nn

    for name, table in model.named_modules():
        if name.endswith("position_embeddings") and isinstance(table, nn.Embedding) and table.padding_idx is not None:
            return table, table.padding_idx
    return None


def in_one_line(why: BaseException) -> str:
    """Say an exception of somebody else's code in one line that is not too long."""
    words = " ".join(str(why).split())
    said = words if len(words) <= 200 else words[:199] + "…"
    return said if isinstance(why, (OSError, ValueError, RuntimeError)) and said else f"{type(why).__name__}: {said}"

"""Whether a loaded model can work at all: its weights, its vocabulary, its positions.

Asked before anything is computed or written, so that a folder that cannot work is refused in one line. Does not load
(encoders.py).
"""

import functools
import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from inspect import signature
from typing import TYPE_CHECKING

from labkit.data.tokens import pad, tokenize
from labkit.errors import UsageError
from labkit.models.evaluation_mode import evaluation_mode

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROBES, PROBE_LENGTH = ("a", "a a a a a a"), 8  # two texts of different length, and how many tokens of them are kept


class ModelError(UsageError):
    """A model that is not there, that transformers cannot load safely, or that cannot work as it is."""


def check_soundness(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", name: object) -> None:
    """Check that all weights are numbers, and that a batch of labkit's gets the answers that each text gets by itself.

    name: what the message calls the model. Raises ModelError.
    """
    import torch

    for weight_name, weight in model.named_parameters():
        values = weight.detach()
        if not math.isfinite(float(values.sum())) and not bool(torch.isfinite(values).all()):  # a sum may overflow
            raise ModelError(f"{name}: {weight_name} holds NaN or infinity; the weights are damaged, get them anew")
    if tokenizer.pad_token_id is None:
        raise ModelError(f"{name}: the tokenizer has no token for padding; wanted one, such as [PAD]")
    try:
        rows = tokenize(PROBES, tokenizer, min(positions_of(model) or PROBE_LENGTH, PROBE_LENGTH)).input_ids
        check_vocabulary(model, tokenizer, rows, name)
        as_given, alone, padded = _answers(model, tokenizer, rows)
    except ModelError:
        raise
    except Exception as why:  # whatever a family's own code raises where it does not suit
        raise ModelError(f"{name}: the model cannot compute a text ({in_one_line(why)})") from None
    if padded.shape != (len(rows), model.config.num_labels):
        raise ModelError(f"{name}: the model's logits have the shape {tuple(padded.shape)}; wanted one row a text")
    close = functools.partial(torch.allclose, rtol=1e-3, atol=1e-4, equal_nan=True)
    family, wanted = f"the family {model.config.model_type}", "wanted one that does not, such as bert"
    if not close(alone, as_given):
        raise ModelError(f"{name}: {family} needs the token types of its tokenizer, which labkit leaves out; {wanted}")
    if not close(alone, padded[:1]):
        raise ModelError(f"{name}: {family} reads padding too, so that its answers depend on the batch; {wanted}")


def _answers(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", rows: "Sequence[np.ndarray]"
) -> "list[torch.Tensor]":
    """Compute the logits of the first text as transformers would, as labkit does, and in a batch with the others."""
    known = signature(model.forward).parameters
    batches = [{name: ids for name, ids in tokenizer(PROBES[0], return_tensors="pt").items() if name in known}]
    for batch in (rows[:1], rows):
        input_ids, attention_mask = pad(batch, int(tokenizer.pad_token_id))
        batches.append({"input_ids": input_ids, "attention_mask": attention_mask})
    with evaluation_mode(model):
        return [model(**{name: ids.to(model.device) for name, ids in batch.items()}).logits for batch in batches]


def computes(model: "PreTrainedModel", block: AbstractContextManager[object]) -> bool:
    """Check whether the model computes a padded batch in the block, which may be autocast."""
    import torch

    width = min(positions_of(model) or PROBE_LENGTH, PROBE_LENGTH)
    input_ids = torch.zeros((2, width), dtype=torch.int64, device=model.device)
    mask = torch.ones_like(input_ids)
    mask[1, 1:] = 0
    try:
        with evaluation_mode(model), block:
            model(input_ids=input_ids, attention_mask=mask)
    except (RuntimeError, TypeError, ValueError):
        return False
    return True


def check_vocabulary(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    rows: "Iterable[np.ndarray | list[int]]",
    name: object = "the model",
) -> None:
    """Check that the model's embedding has a row for every token of the texts.

    rows: the input ids of each text. Raises ModelError, which names the token.
    """
    try:
        count = int(model.get_input_embeddings().weight.shape[0])
    except (AttributeError, NotImplementedError):  # CANINE hashes characters, Perceiver has no module for it
        family = f"the family {model.config.model_type}"
        raise ModelError(
            f"{name}: {family} has no table of word embeddings; wanted one that has, such as bert"
        ) from None
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

"""The models that are trained, and the plain evaluation of what came of them.

They are the same for every row of a round.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from labkit.data.tokens import pad
from labkit.models.encoders import load_encoder
from labkit.training.precision import choose_device
from side_by_side.examples import Examples
from side_by_side.rows import BERT_BASE

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROWS_AT_ONCE = 64


def load_model(name: str, seed: int) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load an encoder of the registry with a fresh head, or BERT base untrained.

    BERT base has random weights and MiniLM's tokenizer. seed: draws whatever is random in the weights, and nothing else.
    """
    if name != BERT_BASE:
        return load_encoder(name, seed)
    from transformers import BertConfig, BertForSequenceClassification

    _, tokenizer = load_encoder("minilm")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return BertForSequenceClassification(BertConfig(num_labels=2)), tokenizer


def non_embedding_parameters(model: "PreTrainedModel") -> int:
    """Count the parameters in the matrix products of every token, and small ones."""
    embeddings = sum(parameter.numel() for parameter in model.base_model.embeddings.parameters())
    return sum(parameter.numel() for parameter in model.parameters()) - embeddings


@torch.no_grad()
def plain_evaluation(name: str, weights: Mapping[str, torch.Tensor], examples: Examples) -> dict[str, float]:
    """Return mean loss and accuracy of weights in the plain Hugging Face model, fp32.

    It does not matter who trained them.
    """
    model, _ = load_model(name, seed=0)
    model.load_state_dict(weights)
    device = choose_device()
    model.to(device).eval()
    loss, right = 0.0, 0
    order = np.argsort([-len(ids) for ids in examples.input_ids], kind="stable")
    for places in np.array_split(order, -(-len(order) // ROWS_AT_ONCE)):
        input_ids, mask = pad([examples.input_ids[place] for place in places], examples.pad_token_id)
        labels = torch.from_numpy(examples.labels[places]).to(device)
        logits = model(input_ids=input_ids.to(device), attention_mask=mask.to(device)).logits
        loss += torch.nn.functional.cross_entropy(logits, labels, reduction="sum").item()
        right += int((logits.argmax(-1) == labels).sum())
    return {"held_out_loss": loss / len(examples), "held_out_accuracy": right / len(examples)}

"""The margin, the one number that every explanation explains.

It makes the model a function from texts to a number: the logit of positive minus the logit of negative. Does not explain it
(methods.py).
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from labkit.data.reviews import CLASS_NAMES
from labkit.data.tokens import pad
from labkit.evaluation.arrays import FloatArray
from labkit.models.classes import class_places
from labkit.models.evaluation_mode import evaluation_mode

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TARGET = f"logit of {CLASS_NAMES[1]} less logit of {CLASS_NAMES[0]}"
TOKENS_AT_ONCE = 2048  # rows times width of one pass through the model


def margins(model: "PreTrainedModel", rows: Sequence[np.ndarray], pad_token_id: int) -> FloatArray:
    """Compute the margin of each row of input ids, (rows,), without dropout.

    It is the logit of positive minus that of negative. Rows of one length share a batch, and a row that comes twice is
    computed once.
    """
    classes = class_places(model.config)
    places = {row.tobytes(): place for place, row in enumerate(rows)}
    found = np.zeros(len(rows))
    with evaluation_mode(model):
        for chosen in batches(rows, sorted(places.values())):
            input_ids, mask = padded([rows[place] for place in chosen], pad_token_id, model.device)
            found[chosen] = margin_of(model(input_ids=input_ids, attention_mask=mask), classes).cpu().numpy()
    return found[[places[row.tobytes()] for row in rows]]


def margin_of(output: Any, classes: Sequence[int] = (0, 1)) -> torch.Tensor:
    """Compute the margins (rows,) of a model's output, in float32 or better.

    classes: where the logits of negative and of positive stand (`class_places`).
    """
    logits = output.logits.to(torch.promote_types(output.logits.dtype, torch.float32))
    return logits[:, classes[1]] - logits[:, classes[0]]


def batches(rows: Sequence[np.ndarray], places: Sequence[int] | None = None) -> Iterator[np.ndarray]:
    """Yield the places of rows of nearly one length, the longest first.

    As many at once as TOKENS_AT_ONCE has room for.
    """
    left = np.array(range(len(rows)) if places is None else places, dtype=np.int64)
    lengths = np.array([len(rows[place]) for place in left], dtype=np.int64)
    left = left[np.argsort(-lengths, kind="stable")]
    while len(left):
        size = max(1, TOKENS_AT_ONCE // len(rows[left[0]]))
        yield left[:size]
        left = left[size:]


def padded(
    rows: Sequence[np.ndarray], pad_token_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Pad input ids and make their mask, on the device.

    There is no mask where nothing is padded, which spares the attention work.
    """
    input_ids, mask = pad(rows, pad_token_id)
    return input_ids.to(device), None if bool(mask.all()) else mask.to(device)

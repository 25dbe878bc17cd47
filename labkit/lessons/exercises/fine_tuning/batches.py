"""What exercises 3.3 to 3.5 share: the batches of a case, and the loss and gradients of many batches as one big one.

Everything right here is computed from plain data, as the contracts say it, and by nothing of training.py.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import pad

from labkit.checks.exercise import Failure
from labkit.checks.wire import Array, Plain, close, plain, shown
from labkit.lessons.observers import fine_tuning as observers

Batch = Mapping[str, torch.Tensor]


def batches_of(generator: np.random.Generator, sizes: Sequence[int]) -> list[dict[str, Plain]]:
    """Batches with so many reviews each, as plain data; each is as wide as its longest review, filled up with id 0."""
    batches = []
    for size in sizes:
        lengths = generator.integers(2, 8, size=size)
        mask = np.arange(lengths.max()) < lengths[:, None]
        input_ids = np.where(mask, generator.integers(1, observers.WORDS, size=mask.shape), 0)
        labels = generator.integers(observers.CLASSES, size=size)
        batch = {"input_ids": input_ids, "attention_mask": mask.astype(int), "labels": labels}
        batches.append({name: values.tolist() for name, values in batch.items()})
    return batches


def described(batches: Sequence[Mapping[str, Plain]], form: str) -> str:
    """The batches in words, for the example that a student is shown."""
    sizes = ", ".join(str(len(batch["labels"])) for batch in batches)
    kind = {"generator": "a generator", "mappings": "a list of mappings that are no dicts"}.get(form, "a list")
    return f"{kind}: batches of {sizes} reviews"


def examples(batch: Batch) -> int:
    """How many reviews a batch has."""
    return len(batch["labels"])


def one_big_batch(batches: Iterable[Batch]) -> dict[str, torch.Tensor]:
    """Batches of any widths as a single one, filled up with id 0 and mask 0."""
    given = list(batches)
    width = max(batch["input_ids"].shape[1] for batch in given)
    wide = {
        name: torch.cat([pad(batch[name], (0, width - batch[name].shape[1])) for batch in given])
        for name in ("input_ids", "attention_mask")
    }
    return {**wide, "labels": torch.cat([batch["labels"] for batch in given])}


def loss_and_gradients(model: nn.Module, batch: Batch) -> tuple[float, dict[str, torch.Tensor]]:
    """The mean loss of a batch and by name the gradient of it, zeros for a parameter without influence or frozen."""
    loss = model(**batch).loss
    parameters = dict(model.named_parameters())
    trainable = {name: each for name, each in parameters.items() if each.requires_grad}
    found = torch.autograd.grad(loss, list(trainable.values()), allow_unused=True)
    gradients = dict(zip(trainable, found, strict=True))
    return loss.item(), {
        name: torch.zeros_like(each) if gradients.get(name) is None else gradients[name]
        for name, each in parameters.items()
    }


def arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    """Tensors by name as the plain data that an observation has."""
    return {name: plain(each) for name, each in tensors.items()}


def unlike(what: str, found: Mapping[str, Plain], wanted: Mapping[str, Array]) -> Failure | None:
    """None where all arrays agree, else the first that does not."""
    for name, right in wanted.items():
        if not close(found.get(name), right):
            return Failure(f"{what} of {name} = {shown(right)}", f"{what} of {name} = {shown(found.get(name))}")
    return None

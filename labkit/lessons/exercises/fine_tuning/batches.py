"""What exercises 3.3 to 3.5 share: a case's model and batches, and what many batches come to as one big one.

Everything right here is computed from plain data, as the contracts say it, and by nothing of training.py.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import pad

from labkit.checks.exercise import Failure, Observation, Test
from labkit.checks.wire import Array, Plain, as_number, close, plain, shown
from labkit.lessons.observers import fine_tuning as observers

Batch = Mapping[str, torch.Tensor]
Batches = Sequence[Batch]


def inputs_with_batches(
    generator: np.random.Generator,
    sizes: Sequence[int],
    form: str = "list",
    model: str = "a small classifier",
    batches: str = "batches",
    named: Mapping[str, Plain] | None = None,
    **spec: Plain,
) -> dict[str, Plain]:
    """The inputs of a case: for the student in words, for the observer a model's spec and batches of so many reviews each.

    Each batch is as wide as its longest review, filled up with id 0. model, batches: the words for the model, the name of the
    batches. named: further arguments.
    """
    drawn = []
    for size in sizes:
        lengths = generator.integers(2, 8, size=size)
        mask = np.arange(lengths.max()) < lengths[:, None]
        input_ids = np.where(mask, generator.integers(1, observers.WORDS, size=mask.shape), 0)
        labels = generator.integers(observers.CLASSES, size=size)
        batch = {"input_ids": input_ids, "attention_mask": mask.astype(int), "labels": labels}
        drawn.append({name: values.tolist() for name, values in batch.items()})
    kind = {"generator": "a generator", "mappings": "a list of mappings that are no dicts"}.get(form, "a list")
    return {
        "model": model,
        batches: f"{kind}: batches of {', '.join(map(str, sizes))} reviews",
        **(named or {}),
        "_model": {"seed": int(generator.integers(1000)), **spec},
        "_batches": drawn,
        "_form": form,
    }


def uneven_sizes(generator: np.random.Generator) -> list[int]:
    """Numbers of reviews of two to four batches, the first of one review alone."""
    return [1, *generator.integers(2, 6, size=generator.integers(1, 4)).tolist()]


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


def other_loss(observation: Observation, wanted: float) -> Failure | None:
    """None where this loss was returned."""
    found = as_number(observation.value["returned"])
    return None if close(found, wanted) else Failure(f"returned {shown(wanted)}", f"returned {shown(found)}")


def witnessed(fact: str, expected: str, otherwise: str, value: bool = True) -> Test:
    """The test that a fact which the observer has seen is so, and what is said where it is not."""
    return lambda case, observation: None if observation.value[fact] is value else Failure(expected, otherwise)


# For wrong answers


def examples(batch: Batch) -> int:
    """How many reviews a batch has."""
    return len(batch["labels"])


def tokens(batch: Batch) -> float:
    """How many tokens a batch has, padding left out."""
    return float(batch["attention_mask"].sum())


def share(batch: Batch, batches: Batches, weight: Callable[[Batch], float] = examples) -> float:
    """The share of one batch in all of them."""
    return weight(batch) / sum(map(weight, batches))


def mean_loss(losses: Sequence[float], batches: Batches, weight: Callable[[Batch], float] = examples) -> float:
    """The mean of the batches' losses, each as often as its weight says."""
    return float(np.average(losses, weights=[*map(weight, batches)]))


def plain_mean(losses: Sequence[float], batches: Any) -> float:
    """The mean in which each batch counts the same."""
    return sum(losses) / len(losses)

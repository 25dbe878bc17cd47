"""What exercises 3.3 to 3.5 share: batches, and many batches as one big one.

Everything right here is computed from plain data, as the contracts say it, and by nothing of labkit.training.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence

from labkit.checks.exercise import Failure, Observation
from labkit.checks.wire import Array, Plain, as_number, close, shown
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
    """A case's inputs: words for students, a model and batches for the observer.

    sizes: reviews in each batch, which is as wide as its longest review, filled up with id 0. model: in words. batches: their
    name. named: further arguments. spec: of the model, besides its seed.
    """
    drawn = []
    for size in sizes:
        lengths = generator.integers(2, 8, size=size)
        mask = np.arange(lengths.max()) < lengths[:, None]
        input_ids = np.where(mask, generator.integers(1, observers.WORDS, size=mask.shape), 0).tolist()
        labels = generator.integers(observers.CLASSES, size=size).tolist()
        drawn.append({"input_ids": input_ids, "attention_mask": mask.astype(int).tolist(), "labels": labels})
    kind = {"generator": "a generator", "mappings": "a list of mappings that are no dicts"}.get(form, "a list")
    return {
        "model": model,
        batches: f"{kind}: batches of {', '.join(map(str, sizes))} reviews",
        **(named or {}),
        "_model": {"seed": int(generator.integers(1000)), **spec},
        "_batches": drawn,
        "_form": form,
    }


def uneven_sizes(generator: np.random.Generator, most: int = 4) -> list[int]:
    """The sizes of two to `most` batches, the first of one review alone."""
    return [1, *generator.integers(2, 6, size=generator.integers(1, most)).tolist()]


def one_big_batch(batches: Batches) -> dict[str, torch.Tensor]:
    """Batches of any widths as a single one, filled up with id 0 and mask 0."""
    wide = {
        name: pad_sequence([row for batch in batches for row in batch[name]], batch_first=True)
        for name in ("input_ids", "attention_mask")
    }
    return {**wide, "labels": torch.cat([batch["labels"] for batch in batches])}


def loss_and_gradients(model: nn.Module, batch: Batch) -> tuple[float, dict[str, torch.Tensor]]:
    """The mean loss of a batch and its gradients by name, zeros where there is none."""
    loss = model(**batch).loss
    trainable = {name: each for name, each in model.named_parameters() if each.requires_grad}
    found = torch.autograd.grad(loss, list(trainable.values()), materialize_grads=True)
    zeros = {name: torch.zeros_like(each) for name, each in model.named_parameters()}
    return loss.item(), zeros | dict(zip(trainable, found, strict=True))


def unlike(what: str, found: Mapping[str, Plain], wanted: Mapping[str, Array]) -> Failure | None:
    """None where all arrays agree, else the smallest that does not, from its first number that is another."""
    apart = [(right.values.size, name) for name, right in wanted.items() if not close(found.get(name), right)]
    if not apart:
        return None
    _, name = min(apart)
    told = f"{what} of {name}: "
    one, other = found.get(name), wanted[name]
    if not isinstance(one, Array) or one.values.shape != other.values.shape:
        return Failure(told + shown(other), told + shown(one))
    return Failure(*(told + words for words in in_few_numbers(other.values, one.values)))


def in_few_numbers(wanted: np.ndarray, found: np.ndarray, most: int = 4) -> tuple[str, str]:
    """Two arrays of a shape, in numbers that set them apart, and by how much one is the other's multiple."""
    both = wanted.ravel(), found.ravel()
    apart = np.flatnonzero(~(np.abs(both[1] - both[0]) <= 1e-5 * max(1.0, np.abs(both[0]).max())))[:most]
    told = [", ".join(f"{number:.5g}" for number in numbers[apart]) for numbers in both]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = (both[1] / both[0])[np.abs(both[0]) > 1e-6]
    is_multiple = len(ratios) > 1 and np.isfinite(ratios).all() and np.ptp(ratios) <= 1e-4 * abs(ratios[0])
    return told[0], told[1] + (f" ({ratios[0]:.3g} times as much)" if is_multiple and ratios[0] else "")


def other_loss(observation: Observation, wanted: float) -> Failure | None:
    """None where this loss was returned."""
    found = as_number(observation.value["returned"])
    return None if close(found, wanted) else Failure(f"returned {shown(wanted)}", f"returned {shown(found)}")


def examples(batch: Batch) -> int:
    """How many reviews a batch has."""
    return len(batch["labels"])


def tokens(batch: Batch) -> float:
    """How many tokens a batch has, padding left out."""
    return float(batch["attention_mask"].sum())


def places(batch: Batch) -> float:
    """How many places a batch has, padding included."""
    return float(batch["input_ids"].numel())


def share(batch: Batch, batches: Batches, weight: Callable[[Batch], float] = examples) -> float:
    """The share of one batch in all of them."""
    return weight(batch) / sum(map(weight, batches))


def mean_loss(losses: Sequence[float], batches: Batches, weight: Callable[[Batch], float] = examples) -> float:
    """The mean of the batches' losses, each as often as its weight says."""
    return float(np.average(losses, weights=[*map(weight, batches)]))

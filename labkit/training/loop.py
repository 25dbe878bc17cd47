"""The loop that the course teaches, to be read from top to bottom.

The loss of an optimizer step is the mean over its examples, however they are divided into micro-batches, so accumulation,
an uneven last batch and one big batch all give the same gradient. Does not choose which reviews share a batch
(batching.py) and does not repeat epochs (fit.py).
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import nn

from labkit.data.batching import loss_terms
from labkit.models.evaluation_mode import evaluation_mode
from labkit.models.kernels import at_least_fp32
from labkit.training.optimizer import clip_gradients
from labkit.training.precision import Precision, make_precision


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step.

    loss: the mean over its examples. gradient_norm: before clipping. learning_rate: the one that the step used.
    """

    loss: float
    examples: int
    gradient_norm: float
    learning_rate: float


@dataclass(frozen=True)
class EpochRecord:
    """One epoch, counted from 0; two records are equal when they learned the same.

    Losses are means per example. learning_rate: of the last step. seconds: of training alone. micro_batch_size: reviews
    computed at once at the end.
    """

    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    is_best: bool
    micro_batch_size: int
    seconds: float = field(compare=False)
    reviews_per_second: float = field(compare=False)

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch}: training loss {self.train_loss:.4f}, validation loss {self.validation_loss:.4f}, "
            f"accuracy {self.validation_accuracy:.4f}, {self.reviews_per_second:.0f} reviews/s"
            + (" (best so far)" if self.is_best else "")
        )


def best_epoch(history: Sequence[EpochRecord]) -> int | None:
    """Return the epoch whose weights are kept: the last best so far, or None."""
    return next((record.epoch for record in reversed(history) if record.is_best), None)


class Evaluation(NamedTuple):
    """Mean loss per example, logits (n, classes) and labels (n,).

    Logits and labels are on the CPU, in the order of the batches.
    """

    loss: float
    logits: torch.Tensor
    labels: torch.Tensor


def warmup_linear(step: int, warmup_steps: int, total_steps: int) -> float:
    """Return the multiplier of the learning rate at this step.

    It rises from 0 to 1 in `warmup_steps`, then falls in a line to 0 at `total_steps`.

    >>> [warmup_linear(step, 2, 6) for step in (0, 1, 2, 4, 6, 9)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """
    if step < warmup_steps:
        return step / warmup_steps
    return max(0.0, (total_steps - step) / (total_steps - warmup_steps))


def linear_schedule(
    optimizer: torch.optim.Optimizer, warmup_ratio: float, total_steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warmup over `warmup_ratio` of the steps, then linear decay to 0."""
    warmup_steps = int(warmup_ratio * total_steps)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_linear(step, warmup_steps, total_steps))


def accumulate_gradients(
    model: nn.Module, micro_batches: Iterable[Mapping[str, torch.Tensor]], precision: Precision | None = None
) -> float:
    """Compute the gradient of the mean loss over all micro-batches; return that mean.

    Micro-batches may differ in size and width: each counts by its examples. Gradients that stood before are discarded,
    and no step is taken.
    """
    precision = precision or _plain_precision(model)
    batches = list(micro_batches)
    total = sum(map(loss_terms, batches))
    model.zero_grad(set_to_none=True)
    losses = []
    for batch in batches:
        with precision.autocast():
            output = model(**_on_device(batch, precision.device))
        loss = output.loss * (loss_terms(batch) / total)
        precision.scaler.scale(loss).backward()
        losses.append(loss.detach())
    # Asked for at the end: a GPU would stand still until the answer is there.
    return sum(loss.item() for loss in losses)


def train_epoch(
    model: nn.Module,
    batches: Iterable[Mapping[str, torch.Tensor]],
    optimizer: torch.optim.Optimizer,
    scheduler: torch.optim.lr_scheduler.LRScheduler,
    accumulation_steps: int = 1,
    max_grad_norm: float = 1.0,
    *,
    precision: Precision | None = None,
    accumulate: Callable[..., float | torch.Tensor] = accumulate_gradients,
    after_step: Callable[[StepRecord], None] = lambda record: None,
) -> float:
    """Train on every batch once; return the mean loss per example.

    One optimizer step follows each `accumulation_steps` batches; the last group may be shorter. after_step: sees each
    step once it is done (a progress bar, a checkpoint, a live picture).
    """
    precision = precision or _plain_precision(model)
    scaler = precision.scaler
    model.train()
    total_loss, total_examples = 0.0, 0
    remaining = iter(batches)
    while group := list(islice(remaining, accumulation_steps)):
        mean_loss = accumulate(model, group, precision)
        scaler.unscale_(optimizer)  # fp16: gradients get their true size back before they are clipped
        norm = clip_gradients(model.parameters(), max_grad_norm)
        learning_rate = optimizer.param_groups[0]["lr"]
        scaler.step(optimizer)
        scaler.update()
        scheduler.step()
        loss, examples = float(mean_loss), sum(map(loss_terms, group))  # on a GPU the one wait of the step
        total_loss += loss * examples
        total_examples += examples
        after_step(StepRecord(loss, examples, float(norm), learning_rate))
    optimizer.zero_grad(set_to_none=True)
    return total_loss / max(1, total_examples)


def eval_epoch(
    model: nn.Module, batches: Iterable[Mapping[str, torch.Tensor]], precision: Precision | None = None
) -> Evaluation:
    """Compute loss, logits and labels of every batch, without dropout or gradients.

    Each module's training mode is put back as it was, also where modules differed.
    """
    precision = precision or _plain_precision(model)
    losses, logits, labels = [], [], []
    # autocast stands around all batches: it casts each weight once and keeps the copy until it ends.
    with evaluation_mode(model), precision.autocast():
        for batch in batches:
            output = model(**_on_device(batch, precision.device))
            losses.append(at_least_fp32(output.loss).reshape(()) * loss_terms(batch))
            logits.append(output.logits.float())
            labels.append(batch["labels"].cpu())
    known = torch.cat(labels)
    # Brought to the CPU at the end: a GPU would stand still until each batch is there.
    return Evaluation(math.fsum(torch.stack(losses).tolist()) / len(known), torch.cat(logits).cpu(), known)


def _on_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """Copy a batch to the device, if that is a GPU while the host prepares the next.

    That takes memory which the system cannot move (pinned).
    """
    pin = device.type == "cuda"
    return {name: (value.pin_memory() if pin else value).to(device, non_blocking=True) for name, value in batch.items()}


def _plain_precision(model: nn.Module) -> Precision:
    """fp32 on the device that the model is on."""
    parameter = next(model.parameters(), None)
    return make_precision("fp32", torch.device("cpu") if parameter is None else parameter.device)

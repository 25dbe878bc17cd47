"""The loop that the course teaches: train_epoch, eval_epoch, and fit, which does both until it is time to stop.

The loss of an optimizer step is the mean over its examples, however they are divided into micro-batches, so accumulation,
an uneven last batch and one big batch all give the same gradient. Does not choose which reviews share a batch (batching.py).
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import nn

from labkit.data.batching import Batch, Batcher, loss_terms
from labkit.display import Tell
from labkit.errors import LabkitError
from labkit.models.kernels import at_least_fp32
from labkit.models.unpadded import Unpadded, can_unpad
from labkit.training.checkpoints import CheckpointFolder
from labkit.training.config import Config
from labkit.training.cuda_graphs import GraphedGradients
from labkit.training.memory import AutomaticMicroBatch, is_out_of_memory
from labkit.training.optimizer import clip_gradients, make_optimizer
from labkit.training.precision import Precision, choose_device, choose_precision, make_precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class TrainingError(LabkitError):
    """Training cannot go on: the loss is no longer a number."""


class TrainingStopped(Exception):
    """Training was asked to stop and did, after a whole step and, where there is a folder for it, a checkpoint."""


@dataclass(frozen=True)
class StepRecord:
    """One optimizer step: its mean loss, the examples in it, the gradient's norm before clipping, the learning rate it used."""

    loss: float
    examples: int
    gradient_norm: float
    learning_rate: float


@dataclass(frozen=True)
class EpochRecord:
    """One epoch, counted from 0. Losses are means per example; two records are equal when they learned the same.

    learning_rate: of the last step. seconds: of training alone. micro_batch_size: reviews computed at once at the end.
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


class Evaluation(NamedTuple):
    """Mean loss per example, logits (n, classes) and labels (n,), both on the CPU in the order of the batches."""

    loss: float
    logits: torch.Tensor
    labels: torch.Tensor


def warmup_linear(step: int, warmup_steps: int, total_steps: int) -> float:
    """The learning rate's multiplier: up from 0 to 1 in `warmup_steps`, then in a line down to 0 at `total_steps`.

    >>> [warmup_linear(step, 2, 6) for step in (0, 1, 2, 4, 6, 9)]
    [0.0, 0.5, 1.0, 0.5, 0.0, 0.0]
    """
    if step < warmup_steps:
        return step / warmup_steps
    return max(0.0, (total_steps - step) / (total_steps - warmup_steps))


def accumulate_gradients(
    model: nn.Module, micro_batches: Iterable[Mapping[str, torch.Tensor]], precision: Precision | None = None
) -> float:
    """Give every parameter the gradient of the mean loss over all examples of all micro-batches; return that mean.

    Micro-batches may differ in size and width: each counts by its examples. Gradients that stood before are discarded, and
    no step is taken.
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
    """Train on every batch once, one optimizer step per `accumulation_steps` batches; return the mean loss per example.

    The last group may be shorter. after_step: sees each step once it is done (a progress bar, a checkpoint, a live picture).
    """
    precision = precision or _plain_precision(model)
    scaler = precision.scaler
    model.train()
    total_loss, total_examples = 0.0, 0
    for group in _groups(batches, accumulation_steps):
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


@torch.no_grad()
def eval_epoch(
    model: nn.Module, batches: Iterable[Mapping[str, torch.Tensor]], precision: Precision | None = None
) -> Evaluation:
    """Loss, logits and labels of every batch, in order, without dropout and gradients.

    Each module's training mode is put back as it was, also where modules differed.
    """
    precision = precision or _plain_precision(model)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    losses, logits, labels = [], [], []
    try:
        with precision.autocast():  # around all batches, for it casts each weight once and keeps the copy until it ends
            for batch in batches:
                output = model(**_on_device(batch, precision.device))
                losses.append(at_least_fp32(output.loss).reshape(()) * loss_terms(batch))
                logits.append(output.logits.float())
                labels.append(batch["labels"].cpu())
    finally:
        for module, training in modes:
            module.training = training
    known = torch.cat(labels)
    # Brought to the CPU at the end: a GPU would stand still until each batch is there.
    return Evaluation(math.fsum(torch.stack(losses).tolist()) / len(known), torch.cat(logits).cpu(), known)


def evaluate(
    model: "PreTrainedModel", reviews: Batcher, config: Config, precision: Precision | None = None
) -> Evaluation:
    """`eval_epoch` over all reviews, computed in order of length, for speed, and returned in their own order.

    Where memory runs out, it begins again with half as many reviews at once.
    """
    network, size = _network(model, config), config.eval_batch_size
    while True:
        batches = list(reviews.in_order_of_length(size))
        try:
            loss, logits, labels = eval_epoch(network, batches, precision)
            break
        except (RuntimeError, MemoryError) as error:
            if size == 1 or not is_out_of_memory(error):
                raise
        size = -(-size // 2)
    order = torch.from_numpy(_places([batch.indices for batch in batches]))
    return Evaluation(loss, logits[order], labels[order])


def linear_schedule(
    optimizer: torch.optim.Optimizer, warmup_ratio: float, total_steps: int
) -> torch.optim.lr_scheduler.LambdaLR:
    """Linear warmup over `warmup_ratio` of the steps, then linear decay to 0."""
    warmup_steps = int(warmup_ratio * total_steps)
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warmup_linear(step, warmup_steps, total_steps))


class EarlyStopping:
    """Says when the loss has failed to improve by more than `min_delta` on `patience` calls in a row.

    best_loss, best_epoch: of the best call so far, epochs counted from 0; inf and None before the first. NaN is no
    improvement.
    """

    def __init__(self, patience: int = 2, min_delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"patience is {patience}; wanted at least 1")
        self.patience = patience
        self.min_delta = min_delta
        self.best_loss = math.inf
        self.best_epoch: int | None = None
        self._epoch = -1
        self._failures = 0

    def step(self, loss: float) -> bool:
        """Take the loss of the next epoch; True when it is time to stop."""
        self._epoch += 1
        if loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_epoch, self._failures = float(loss), self._epoch, 0
        else:
            self._failures += 1
        return self._failures >= self.patience


def fit_with_early_stopping(
    train: Callable[[], object],
    evaluate: Callable[[], float],
    save: Callable[[], object],
    restore: Callable[[], object],
    max_epochs: int,
    patience: int = 2,
) -> list[float]:
    """The bare bones of `fit`: train and evaluate each epoch, save at each new best, stop in time, restore the best once.

    Returns the losses of the epochs that ran. Raises ValueError for max_epochs < 1, and TrainingError where no loss was a
    number, so that there is no best to restore.
    """
    if max_epochs < 1:
        raise ValueError(f"max_epochs is {max_epochs}; wanted at least 1")
    stopping, losses = EarlyStopping(patience), list[float]()
    for epoch in range(max_epochs):
        train()
        losses.append(float(evaluate()))
        done = stopping.step(losses[-1])
        if stopping.best_epoch == epoch:
            save()
        if done:
            break
    if stopping.best_epoch is None:
        raise TrainingError(f"no loss was a finite number in {len(losses)} epochs; try a lower learning rate")
    restore()
    return losses


def fit(
    model: "PreTrainedModel",
    train: Batcher,
    validation: Batcher,
    config: Config,
    learning_rate: float,
    *,
    checkpoints: CheckpointFolder | None = None,
    progress: bool = True,
    tell: Tell = print,
    after_step: Callable[[StepRecord], None] = lambda record: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[EpochRecord]:
    """Fine-tune, giving one record an epoch, until the epochs are done or validation loss stops falling for `patience`.

    At the end, and also when its user breaks out of the loop, the model has the weights of its best epoch. With
    `checkpoints`, a run that was killed goes on where its last checkpoint was (the records of finished epochs come again) and
    ends with the same bits. should_stop: asked after each step; on True a checkpoint is written and TrainingStopped raised.
    Raises TrainingError when a loss is NaN or infinite.
    """
    run = _FineTuning(model, train, validation, config, learning_rate, checkpoints, tell)
    run.resume()
    stopping = EarlyStopping(config.patience)
    try:
        with run.lazy_rows():
            for epoch in range(config.epochs):
                if epoch == len(run.history):
                    run.train_one_epoch(progress, after_step, should_stop)
                    run.evaluate_and_save(stopping.best_loss)
                record = run.history[epoch]
                done = stopping.step(record.validation_loss)
                yield record
                if done:
                    tell(f"validation loss has not fallen for {config.patience} epochs: stopped after epoch {epoch}")
                    break
    finally:
        run.restore_best()


class _FineTuning:
    """What `fit` carries from step to step, and how it goes into a checkpoint and comes back."""

    def __init__(
        self,
        model: "PreTrainedModel",
        train: Batcher,
        validation: Batcher,
        config: Config,
        learning_rate: float,
        checkpoints: CheckpointFolder | None,
        tell: Tell,
    ) -> None:
        self.precision = choose_precision(config.precision, choose_device(config.device))
        self.model, self.train, self.validation, self.config = (
            model.to(self.precision.device),
            train,
            validation,
            config,
        )
        self.network = _network(model, config, tell)
        self.checkpoints = checkpoints
        self.accumulate = AutomaticMicroBatch(
            fastest_gradients(self.network, config, self.precision.device, tell), config.largest_micro_batch, tell
        )
        self.optimizer = make_optimizer(model, learning_rate, config.weight_decay)
        self.steps_per_epoch = -(-len(train) // config.batch_size)
        self.scheduler = linear_schedule(self.optimizer, config.warmup_ratio, self.steps_per_epoch * config.epochs)
        self.history: list[EpochRecord] = []
        self.best_weights: Mapping[str, torch.Tensor] | None = None
        self.steps_done, self.loss_sum, self.examples, self.seconds = 0, 0.0, 0, 0.0  # of the epoch that is running

    @property
    def epoch(self) -> int:
        return len(self.history)

    def lazy_rows(self) -> AbstractContextManager[None]:
        """While the block runs, rows of the embedding that no batch reads wait, if that is worth it."""
        embedding = _embedding_that_can_wait(self.model, self.config, self.precision.device)
        return nullcontext() if embedding is None else self.optimizer.lazy(embedding)

    def train_one_epoch(
        self, progress: bool, after_step: Callable[[StepRecord], None], should_stop: Callable[[], bool]
    ) -> None:
        """Train the epoch that is running, from its first step or from where a checkpoint left it."""
        config = self.config
        micro_batch_size = config.largest_micro_batch
        seed = _seed_of_epoch(config.seed, self.epoch)
        if self.steps_done == 0:
            torch.manual_seed(seed)
        batches = self.train.epoch(config.batch_size, micro_batch_size, seed, skip_steps=self.steps_done)
        with _Progress(self, progress) as bar:

            def step_done(record: StepRecord) -> None:
                self._count(record)
                bar.show(record)
                after_step(record)
                if should_stop():
                    self.save()
                    raise TrainingStopped
                if bar.seconds_since_save() >= config.checkpoint_seconds:
                    self.save()
                    bar.saved()

            train_epoch(
                self.network,
                batches,
                self.optimizer,
                self.scheduler,
                accumulation_steps=-(-config.batch_size // micro_batch_size),
                max_grad_norm=config.max_grad_norm,
                precision=self.precision,
                accumulate=self.accumulate,
                after_step=step_done,
            )

    def _count(self, record: StepRecord) -> None:
        if not math.isfinite(record.loss):
            raise TrainingError(
                f"the loss became {record.loss} in epoch {self.epoch}, step {self.steps_done}; "
                "try a lower learning_rate, or precision fp32"
            )
        self.steps_done += 1
        self.loss_sum += record.loss * record.examples
        self.examples += record.examples

    def evaluate_and_save(self, best_loss: float) -> None:
        """Close the epoch: validate, keep the weights where they are the best so far, and write a checkpoint."""
        self.optimizer.catch_up()
        loss, logits, labels = evaluate(self.model, self.validation, self.config, self.precision)
        if not math.isfinite(loss):
            raise TrainingError(f"the validation loss became {loss} in epoch {self.epoch}; try a lower learning_rate")
        record = EpochRecord(
            epoch=self.epoch,
            train_loss=self.loss_sum / self.examples,
            validation_loss=loss,
            validation_accuracy=float((logits.argmax(dim=1) == labels).double().mean()),
            learning_rate=float(self.scheduler.get_last_lr()[0]),
            is_best=loss < best_loss,
            micro_batch_size=self.accumulate.micro_batch_size,
            seconds=self.seconds,
            reviews_per_second=self.examples / max(self.seconds, 1e-9),
        )
        if record.is_best:
            self.best_weights = {
                name: tensor.detach().cpu().clone() for name, tensor in self.model.state_dict().items()
            }
            if self.checkpoints:
                self.checkpoints.save_best(record.epoch, self.best_weights)
        self.history.append(record)
        self.steps_done, self.loss_sum, self.examples, self.seconds = 0, 0.0, 0, 0.0
        self.save()

    def restore_best(self) -> None:
        if self.best_weights is not None:
            self.model.load_state_dict(self.best_weights)

    def save(self) -> None:
        """Write a checkpoint of everything that the rest of training depends on."""
        if self.checkpoints is None:
            return
        tensors = {f"model.{name}": tensor for name, tensor in self.model.state_dict().items()}
        for index, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{index}.{name}": tensor for name, tensor in moments.items()}
        tensors["random.cpu"] = torch.get_rng_state()
        if self.precision.device.type == "cuda":
            tensors["random.cuda"] = torch.cuda.get_rng_state(self.precision.device)
        best = [record.epoch for record in self.history if record.is_best]
        facts = {
            "history": [dataclasses.asdict(record) for record in self.history],
            "best_epoch": best[-1] if best else None,
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.precision.scaler.state_dict(),
            "micro_batch_size": self.accumulate.micro_batch_size,
            "steps_done": self.steps_done,
            "loss_sum": self.loss_sum,
            "examples": self.examples,
            "seconds": self.seconds,
        }
        self.checkpoints.save(self.epoch * self.steps_per_epoch + self.steps_done, tensors, facts)

    def resume(self) -> None:
        """Take up the newest checkpoint that is whole, if there is one."""
        found = self.checkpoints.latest() if self.checkpoints else None
        if found is None or self.checkpoints is None:
            return
        facts = found.facts
        self.model.load_state_dict(_below("model.", found.tensors))
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, tensor in _below("optimizer.", found.tensors).items():
            index, _, moment = name.partition(".")
            moments.setdefault(int(index), {})[moment] = tensor
        self.optimizer.load_state_dict({"state": moments, "param_groups": self.optimizer.state_dict()["param_groups"]})
        self.scheduler.load_state_dict(facts["scheduler"])
        for group, learning_rate in zip(self.optimizer.param_groups, self.scheduler.get_last_lr(), strict=True):
            group["lr"] = learning_rate
        self.precision.scaler.load_state_dict(facts["scaler"])
        self.accumulate.micro_batch_size = facts["micro_batch_size"]
        self.history = [EpochRecord(**record) for record in facts["history"]]
        if facts["best_epoch"] is not None:
            self.best_weights = self.checkpoints.load_best(facts["best_epoch"])
        self.steps_done, self.seconds = facts["steps_done"], facts["seconds"]
        self.loss_sum, self.examples = facts["loss_sum"], facts["examples"]
        torch.set_rng_state(found.tensors["random.cpu"])
        if "random.cuda" in found.tensors:
            torch.cuda.set_rng_state(found.tensors["random.cuda"], self.precision.device)


class _Progress:
    """The bar of one epoch (loss, learning rate, reviews per second, time left) and the clock of its checkpoints."""

    def __init__(self, run: _FineTuning, shown: bool) -> None:
        from tqdm.auto import tqdm

        self.run = run
        self.bar = tqdm(
            total=len(run.train),
            initial=run.examples,
            desc=f"epoch {run.epoch}",
            unit=" reviews",
            disable=not shown,
            leave=False,
        )
        self.last_save = self.last_step = time.monotonic()

    def __enter__(self) -> "_Progress":
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()

    def show(self, record: StepRecord) -> None:
        now = time.monotonic()
        self.run.seconds += now - self.last_step
        self.last_step = now
        self.bar.set_postfix(loss=f"{record.loss:.3f}", lr=f"{record.learning_rate:.1e}", refresh=False)
        self.bar.update(record.examples)

    def seconds_since_save(self) -> float:
        return time.monotonic() - self.last_save

    def saved(self) -> None:
        self.last_save = self.last_step = time.monotonic()


def _groups(batches: Iterable[Any], size: int) -> Iterator[list[Any]]:
    iterator = iter(batches)
    while group := list(islice(iterator, size)):
        yield group


def _on_device(batch: Mapping[str, Any], device: torch.device) -> dict[str, Any]:
    """A copy to a GPU goes on while the host prepares the next; that takes memory which the system cannot move (pinned)."""
    pin = device.type == "cuda"
    return {name: (value.pin_memory() if pin else value).to(device, non_blocking=True) for name, value in batch.items()}


def _plain_precision(model: nn.Module) -> Precision:
    """fp32 on the device that the model is on."""
    parameter = next(model.parameters(), None)
    return make_precision("fp32", torch.device("cpu") if parameter is None else parameter.device)


def _network(model: "PreTrainedModel", config: Config, tell: Tell = lambda notice: None) -> nn.Module:
    """What runs the model over its batches: the fast path where the settings and the model allow it.

    Fixed and dynamic padding are there to be compared, so padding is computed as anybody else would.
    """
    if config.batching == "packed":
        return Unpadded(model, sixteen_bit_dropout=config.fast_path == "full")
    if config.fast_path == "off" or config.batching != "buckets":
        return model
    if can_unpad(model):
        return Unpadded(model, sixteen_bit_dropout=config.fast_path == "full")
    tell(f"no fast path for {model.config.model_type}: its own forward pass, in length buckets")
    return model


def fastest_gradients(
    network: nn.Module, config: Config, device: torch.device, tell: Tell = lambda notice: None
) -> Callable[..., float | torch.Tensor]:
    """`accumulate_gradients`, or the same by CUDA graphs where they can be.

    Packed batches have a shape of their own each, and a model's own forward pass may wait for the GPU, which no graph can.
    Graphs are recorded on the present GPU, so another one (cuda:1) goes without.
    """
    suits = isinstance(network, Unpadded) and config.batching == "buckets"
    if suits and device.type == "cuda" and device.index in (None, torch.cuda.current_device()):
        return GraphedGradients(accumulate_gradients, tell)
    return accumulate_gradients


def _embedding_that_can_wait(model: "PreTrainedModel", config: Config, device: torch.device) -> nn.Embedding | None:
    """The word embedding, where sweeping all of its rows at each step is worth sparing: on a CPU, read by nothing else."""
    embedding = model.get_input_embeddings()
    if config.fast_path != "full" or device.type != "cpu" or not isinstance(embedding, nn.Embedding):
        return None
    shared = sum(parameter is embedding.weight for _, parameter in model.named_parameters(remove_duplicate=False)) > 1
    return None if shared else embedding


def _seed_of_epoch(seed: int, epoch: int) -> int:
    """Each epoch's own seed, so that nothing done between epochs can change the order or the dropout of the next."""
    return (seed * 1_000_003 + epoch * 7_919 + 1) % 2**63


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def _places(indices: Sequence[Any]) -> Any:
    """For each review, where it stands in the batches one after the other: the inverse of their order."""
    import numpy as np

    return np.argsort(np.concatenate(indices))


__all__ = [
    "Batch",
    "EarlyStopping",
    "EpochRecord",
    "Evaluation",
    "StepRecord",
    "TrainingError",
    "TrainingStopped",
    "accumulate_gradients",
    "eval_epoch",
    "evaluate",
    "fit",
    "fit_with_early_stopping",
    "linear_schedule",
    "make_optimizer",
    "train_epoch",
    "warmup_linear",
]

"""`fit`: epochs of training and evaluation (loop.py) until it is time to stop.

Holds what a run carries from step to step (the fast path, micro-batches that fit, the best weights so far) and goes on
from a checkpoint to the same bits. Does not choose which reviews share a batch (batching.py) or when to stop
(early_stopping.py).
"""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from labkit.data.batching import Batcher
from labkit.display import Tell
from labkit.models.unpadded import Unpadded, can_unpad
from labkit.training.checkpoints import CheckpointFolder
from labkit.training.config import Config
from labkit.training.cuda_graphs import GraphedGradients
from labkit.training.early_stopping import EarlyStopping, TrainingError
from labkit.training.loop import (
    EpochRecord,
    Evaluation,
    StepRecord,
    accumulate_gradients,
    best_epoch,
    eval_epoch,
    linear_schedule,
    train_epoch,
)
from labkit.training.memory import AutomaticMicroBatch, is_out_of_memory
from labkit.training.optimizer import make_optimizer
from labkit.training.precision import Precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class TrainingStopped(Exception):
    """Training was asked to stop and did, after a whole step.

    Where there is a folder for checkpoints, one was written.
    """


class TrainingInterrupted(KeyboardInterrupt):
    """Training was interrupted by hand; the text says where, and which weights the model has.

    In a notebook it is shown as that line: nobody who presses Interrupt asks where the loop was.
    """

    def _render_traceback_(self) -> list[str]:  # IPython's own way for an exception to say how it is shown
        return [str(self)]


def evaluate(
    model: "PreTrainedModel", reviews: Batcher, config: Config, precision: Precision | None = None
) -> Evaluation:
    """Evaluate on all reviews; logits and labels come in the order of the reviews.

    They are computed in order of length, for speed. Where memory runs out, it begins again with half as many at once.
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
    places = np.argsort(np.concatenate([batch.indices for batch in batches]))  # where each review stands in the batches
    return Evaluation(loss, logits[places], labels[places])


def fit(
    model: "PreTrainedModel",
    train: Batcher,
    validation: Batcher,
    config: Config,
    *,
    checkpoints: CheckpointFolder | None = None,
    progress: bool = True,
    tell: Tell = print,
    after_step: Callable[[StepRecord], None] = lambda record: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[EpochRecord]:
    """Fine-tune, and give one record for each epoch.

    It ends after all epochs, or when validation loss has not fallen for `patience` epochs. At the end, and also when its
    user breaks out of the loop, the model has the weights of its best epoch. What `config` leaves open is chosen by
    `config.resolved`. With `checkpoints`, a killed run goes on where its last checkpoint was (the records of finished
    epochs come again) and ends with the same bits. should_stop: asked after each step; on True a checkpoint is written
    and TrainingStopped raised. Raises TrainingError when a loss is NaN or infinite, TrainingInterrupted (which is a
    KeyboardInterrupt) where it is interrupted by hand.
    """
    config = config.resolved()
    run = _FineTuning(model, train, validation, config, checkpoints, tell)
    run.resume()
    stopping = EarlyStopping(config.patience)
    try:
        with run.lazy_rows():
            for epoch in range(config.epochs):
                if epoch < len(run.history):  # finished before the checkpoint that this run goes on from
                    done = stopping.step(run.history[epoch].validation_loss)
                else:
                    run.train_one_epoch(progress, after_step, should_stop)
                    validated = run.validate()
                    done = stopping.step(validated.loss)
                    run.close_epoch(validated, is_best=stopping.best_epoch == epoch)
                yield run.history[epoch]
                if done:
                    tell(f"validation loss has not fallen for {config.patience} epochs: stopped after epoch {epoch}")
                    break
    except KeyboardInterrupt:
        raise TrainingInterrupted(run.where_it_stands()) from None
    finally:
        run.restore_best()


class _FineTuning:
    """What `fit` carries from step to step, and its way into a checkpoint and back."""

    def __init__(
        self,
        model: "PreTrainedModel",
        train: Batcher,
        validation: Batcher,
        config: Config,
        checkpoints: CheckpointFolder | None,
        tell: Tell,
    ) -> None:
        assert config.learning_rate is not None, "fit resolves its settings first"
        self.precision = config.chosen_precision()
        self.model = model.to(self.precision.device)
        self.train, self.validation, self.config = train, validation, config
        self.network = _network(model, config, tell)
        self.checkpoints = checkpoints
        self.accumulate = AutomaticMicroBatch(
            fastest_gradients(self.network, config, self.precision.device, tell), config.largest_micro_batch, tell
        )
        self.optimizer = make_optimizer(model, config.learning_rate, config.weight_decay)
        self.steps_per_epoch = -(-len(train) // config.batch_size)
        self.scheduler = linear_schedule(self.optimizer, config.warmup_ratio, self.steps_per_epoch * config.epochs)
        self.history: list[EpochRecord] = []
        self.best_weights: Mapping[str, torch.Tensor] | None = None
        self.steps_done, self.loss_sum, self.examples, self.seconds = 0, 0.0, 0, 0.0  # of the epoch that is running

    @property
    def epoch(self) -> int:
        return len(self.history)

    def lazy_rows(self) -> AbstractContextManager[None]:
        """While the block runs, embedding rows that no batch reads wait, where worth it."""
        embedding = _embedding_that_can_wait(self.model, self.config, self.precision.device)
        return nullcontext() if embedding is None else self.optimizer.lazy(embedding)

    def train_one_epoch(
        self, progress: bool, after_step: Callable[[StepRecord], None], should_stop: Callable[[], bool]
    ) -> None:
        """Train the running epoch, from where a checkpoint left it if there is one."""
        config = self.config
        micro_batch_size = config.largest_micro_batch
        # Of each epoch its own, so that nothing done between epochs can change the order or the dropout of the next.
        seed = (config.seed * 1_000_003 + self.epoch * 7_919 + 1) % 2**63
        if self.steps_done == 0:
            torch.manual_seed(seed)
        batches = self.train.epoch(config.batch_size, micro_batch_size, seed, skip_steps=self.steps_done)
        with _Progress(self, progress) as bar:

            def step_done(record: StepRecord) -> None:
                self._count(record)
                bar.show(record)
                after_step(record)
                stop = should_stop()
                if stop or bar.seconds_since_save() >= config.checkpoint_seconds:
                    self.save()
                    bar.saved()
                if stop:
                    raise TrainingStopped

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

    def validate(self) -> Evaluation:
        """Evaluate the model as it is now on the validation reviews."""
        self.optimizer.catch_up()
        validated = evaluate(self.model, self.validation, self.config, self.precision)
        if not math.isfinite(validated.loss):
            raise TrainingError(
                f"the validation loss became {validated.loss} in epoch {self.epoch}; try a lower learning_rate"
            )
        return validated

    def close_epoch(self, validated: Evaluation, is_best: bool) -> None:
        """Record the epoch, keep its weights if they are the best, write a checkpoint."""
        loss, logits, labels = validated
        record = EpochRecord(
            epoch=self.epoch,
            train_loss=self.loss_sum / self.examples,
            validation_loss=loss,
            validation_accuracy=float((logits.argmax(dim=1) == labels).double().mean()),
            learning_rate=float(self.scheduler.get_last_lr()[0]),
            is_best=is_best,
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

    def where_it_stands(self) -> str:
        """Say how far training came when it was interrupted, and which weights are left."""
        best = best_epoch(self.history)
        weights = "its last step, for no epoch is finished" if best is None else f"its best epoch, {best}"
        done = f"{self.steps_done} of {self.steps_per_epoch} steps"
        return f"Interrupted in epoch {self.epoch} after {done}. The model has the weights of {weights}."

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
        facts = {
            "history": [dataclasses.asdict(record) for record in self.history],
            "best_epoch": best_epoch(self.history),
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
    """The progress bar of one epoch, and the clock of its checkpoints.

    The bar has the loss, the learning rate, reviews per second and the time left.
    """

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


def _network(model: "PreTrainedModel", config: Config, tell: Tell = lambda notice: None) -> nn.Module:
    """Choose what runs the batches: the fast path where settings and model allow it.

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
    """Return the word embedding if its rows may wait until they are read.

    It is worth it on a CPU, where each step sweeps all rows, and right where nothing else reads them.
    """
    embedding = model.get_input_embeddings()
    if config.fast_path != "full" or device.type != "cpu" or not isinstance(embedding, nn.Embedding):
        return None
    shared = sum(parameter is embedding.weight for _, parameter in model.named_parameters(remove_duplicate=False)) > 1
    return None if shared else embedding


def _below(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}

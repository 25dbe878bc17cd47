"""The same training by the Trainer and by Accelerate; evaluation by the pipeline.

Each peer is given what costs it nothing: lists in place of a data set on the disk, no logging, no saving, and its
optimizer in the fused form.
"""

import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from side_by_side.examples import Examples
from side_by_side.ours import Trained, weights_of
from side_by_side.rows import Row, Setting
from side_by_side.watch import Watch, peak_memory_mib

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WIDTH = 128  # of the original lab's rows
PIPELINE_BATCH = 32


@dataclass(frozen=True)
class Job:
    """What a peer is to train, and how.

    half: this device's half precision, where there is one worth it.
    """

    row: Row
    setting: Setting
    seed: int
    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    examples: Examples
    half: str | None

    @property
    def precision(self) -> str:
        """fp32, or the half precision."""
        return "fp32" if self.row.precision == "fp32" else self.half or "fp32"

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return self.setting.steps(len(self.examples))

    def collator(self) -> Any:
        """Pads every row to 128, or to the longest of its batch."""
        from transformers import DataCollatorWithPadding

        fixed = {"padding": "max_length", "max_length": WIDTH} if self.row.batching == "fixed" else {}
        return DataCollatorWithPadding(self.tokenizer, **fixed)

    def training_arguments(self, folder: str, cuda: bool) -> Any:
        """The same settings as the Trainer takes them."""
        from transformers import TrainingArguments

        setting = self.setting
        return TrainingArguments(
            folder,
            num_train_epochs=setting.epochs,
            per_device_train_batch_size=setting.batch_size,
            learning_rate=setting.learning_rate,
            weight_decay=setting.weight_decay,
            warmup_steps=int(setting.warmup_ratio * self.steps),
            max_grad_norm=setting.max_grad_norm,
            seed=self.seed,
            bf16=self.precision == "bf16",
            fp16=self.precision == "fp16",
            use_cpu=not cuda,
            dataloader_pin_memory=cuda,
            train_sampling_strategy="group_by_length" if self.row.batching == "grouped" else "random",
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
        )


def train_with_trainer(job: Job, watch: Watch) -> Trained:
    """Train by the Trainer; each step's loss is kept without waiting for it.

    The clock runs from `train` to the last step's end.
    """
    from transformers import Trainer, TrainerCallback

    losses: list[torch.Tensor] = []
    steps = job.steps

    class Clock(TrainerCallback):  # type: ignore[misc]  # transformers gives it no type
        def on_step_end(self, *arguments: object, **named: object) -> None:
            if len(losses) == steps:
                watch.stop()

    class Keeping(Trainer):  # type: ignore[misc]  # nor this one a type
        def training_step(self, *arguments: Any, **named: Any) -> torch.Tensor:
            loss: torch.Tensor = super().training_step(*arguments, **named)
            losses.append(loss.detach())
            return loss

    with tempfile.TemporaryDirectory() as folder:
        arguments = job.training_arguments(folder, watch.cuda)
        trainer = Keeping(
            job.model,
            arguments,
            data_collator=job.collator(),
            train_dataset=job.examples.features(),
            callbacks=[Clock()],
        )
        watch.start()
        trainer.train()
    peak = peak_memory_mib(watch.cuda)
    return Trained([loss.item() for loss in losses], weights_of(job.model), job.precision, peak)


def train_with_accelerate(job: Job, watch: Watch) -> Trained:
    """Train by a loop as Accelerate's documentation writes it.

    The clock runs from making the optimizer to the last step's end.
    """
    from accelerate import Accelerator  # type: ignore[import-untyped]  # it ships no types
    from transformers import get_linear_schedule_with_warmup

    from labkit.training.optimizer import parameter_groups

    setting, precision, steps = job.setting, job.precision, job.steps
    accelerator = Accelerator(mixed_precision="no" if precision == "fp32" else precision, cpu=not watch.cuda)
    loader = _loader(job)
    torch.manual_seed(job.seed)
    losses: list[torch.Tensor] = []
    watch.start()
    optimizer: Any = torch.optim.AdamW(
        parameter_groups(job.model, setting.weight_decay), lr=setting.learning_rate, fused=True
    )
    scheduler: Any = get_linear_schedule_with_warmup(optimizer, int(setting.warmup_ratio * steps), steps)
    network, optimizer, loader, scheduler = accelerator.prepare(job.model, optimizer, loader, scheduler)
    network.train()
    for _ in range(setting.epochs):
        for batch in loader:
            loss = network(**batch).loss
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(network.parameters(), setting.max_grad_norm)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            losses.append(loss.detach())
    watch.stop()
    peak = peak_memory_mib(watch.cuda)
    return Trained([loss.item() for loss in losses], weights_of(job.model), precision, peak)


def _loader(job: Job) -> Any:
    from torch.utils.data import DataLoader
    from transformers.trainer_pt_utils import LengthGroupedSampler

    generator, features = torch.Generator().manual_seed(job.seed), job.examples.features()
    grouped = job.row.batching == "grouped"
    sampler = LengthGroupedSampler(job.setting.batch_size, features, generator=generator) if grouped else None
    return DataLoader(
        features,  # type: ignore[arg-type]  # a list is what the documentation gives it
        batch_size=job.setting.batch_size,
        sampler=sampler,
        shuffle=None if grouped else True,
        generator=generator,
        collate_fn=job.collator(),
    )


def evaluate_with_pipeline(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", examples: Examples, watch: Watch
) -> list[float]:
    """Return P(positive) of each review, by the text-classification pipeline.

    The clock runs from texts to probabilities.
    """
    from transformers import pipeline

    classify = pipeline("text-classification", model=model, tokenizer=tokenizer, device=0 if watch.cuda else "cpu")
    watch.start()
    answers = classify(list(examples.texts), batch_size=PIPELINE_BATCH, truncation=True, max_length=WIDTH)
    watch.stop()
    return [answer["score"] if answer["label"] == "positive" else 1 - answer["score"] for answer in answers]

"""Training and evaluation by labkit, as its command line does them.

All their bookkeeping is included.
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from labkit.training.config import Config
from labkit.training.precision import choose_device, choose_precision
from side_by_side.examples import Examples
from side_by_side.rows import Row, Setting
from side_by_side.watch import Watch, peak_memory_mib

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Trained:
    """What a row's training leaves: losses, final weights, and what the row said.

    losses: of every step. weights: after the last one.
    """

    losses: list[float]
    weights: Mapping[str, torch.Tensor]
    precision: str
    peak_memory_mib: float | None
    notices: list[str] = field(default_factory=list)


def weights_of(model: "PreTrainedModel") -> dict[str, torch.Tensor]:
    """A copy on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


def train_with_labkit(
    row: Row, setting: Setting, seed: int, model: "PreTrainedModel", examples: Examples, half: str | None, watch: Watch
) -> Trained:
    """Train by `labkit.fit`.

    The clock runs from its call until it gives the record of the last epoch: a step may put work off, so the end of the
    last one would be too early.
    """
    from labkit.training.fit import fit
    from labkit.training.loop import StepRecord
    from labkit.training.optimizer import make_optimizer

    config = config_of(row, setting, seed, half).resolved()
    batcher = examples.batcher(config.batching, multiple=config.pad_to_multiple_of or 1)
    validation = examples.first(2).batcher(config.batching)  # fit validates after an epoch; a peer is not asked to
    steps, notices, records = setting.steps(len(examples)), list[str](), list[StepRecord]()
    weights: Mapping[str, torch.Tensor] = {}
    make_optimizer(torch.nn.Linear(1, 1), 0.1, 0.0)  # the first optimizer of a process imports torch's compiler
    watch.start()
    for _ in fit(
        model,
        batcher,
        validation,
        config,
        progress=False,
        tell=notices.append,
        after_step=records.append,
    ):
        if len(records) == steps:  # at its end fit goes back to the best epoch; a peer stays where it is
            watch.stop()
            peak = peak_memory_mib(watch.cuda)
            weights = weights_of(model)
    print(*notices, sep="\n", file=sys.stderr)
    return Trained([float(record.loss) for record in records], weights, config.precision, peak, notices)


def config_of(row: Row, setting: Setting, seed: int, half: str | None) -> Config:
    """The row's settings as labkit takes them; early stopping never stops."""
    settings: dict[str, Any] = {
        name: getattr(setting, name)
        for name in ("epochs", "batch_size", "learning_rate", "weight_decay", "warmup_ratio", "max_grad_norm")
    }
    precision = half if row.precision == "half" else row.precision
    settings |= {"precision": precision, "batching": row.batching, "seed": seed, "patience": setting.epochs}
    settings |= {"micro_batch_size": row.micro_batch_size, "fast_path": row.fast_path}
    return Config(**settings)


def evaluate_with_labkit(
    row: Row,
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    examples: Examples,
    half: str | None,
    watch: Watch,
) -> tuple[list[float], str]:
    """Return P(positive) of each review, and the precision, by a loaded classifier.

    The clock runs from texts to probabilities.
    """
    from labkit.data.reviews import Reviews
    from labkit.serving.classifier import Classifier

    wanted = (half or "fp32") if row.precision == "half" else row.precision
    precision = choose_precision(wanted, choose_device()).name
    ids = [str(place) for place in range(len(examples))]
    reviews = Reviews("benchmark", ids, examples.texts, examples.labels)
    classifier = Classifier(model.eval(), tokenizer, Config(precision=wanted), row.name)
    watch.start()
    result = classifier.evaluate(reviews)
    watch.stop()
    return result.probabilities[:, 1].tolist(), precision

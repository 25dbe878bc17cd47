"""Encoders: the registry by size, their loading with a fresh head, and freezing.

Weights come as safetensors or not at all, and no code of a model's authors is ever run. Does not train (fit.py).
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.data import assets
from labkit.data.tokens import load_tokenizer
from labkit.errors import UsageError, did_you_mean
from labkit.importing import quick_imports

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FREEZABLE = ("nothing", "embeddings", "encoder")


class ModelError(UsageError):
    """A model that is not there, or that transformers cannot load safely."""


@dataclass(frozen=True)
class Encoder:
    """An entry of the registry.

    learning_rate: the value that measured well for fine-tuning this encoder.
    """

    name: str
    source: str
    learning_rate: float
    about: str

    def folder(self) -> Path:
        """Return its folder on this machine, fetching it if need be."""
        if self.source == "shipped":
            return assets.TINY_BERT
        return assets.fetch(self.name) if self.source == "archive" else assets.fetch_from_hub(self.name)


ENCODERS = {
    encoder.name: encoder
    for encoder in (
        Encoder("tiny", "shipped", 3e-4, "2 layers, 128 wide, distilled from MiniLM; shipped with labkit"),
        Encoder("minilm", "archive", 5e-5, "6 layers, 384 wide, 22.7 M parameters"),
        Encoder("distilbert-base-uncased", "hub", 5e-5, "6 layers, 768 wide, 66 M parameters"),
        Encoder("albert-base-v2", "hub", 2e-5, "12 layers that share their weights, 12 M parameters"),
        Encoder("bert-base-uncased", "hub", 2e-5, "12 layers, 768 wide, 110 M parameters"),
        Encoder("answerdotai/ModernBERT-base", "hub", 5e-5, "22 layers, 768 wide, 149 M parameters"),
    )
}
LAB_LEARNING_RATE = 2e-5  # the value that the original lab gives for BERT base


def registry_entry(name: str) -> Encoder:
    """Look up the registry's entry of that name.

    A hub name (`owner/model`) or a folder gets one with the lab's learning rate. Raises ModelError with the nearest
    name.
    """
    if name in ENCODERS:
        return ENCODERS[name]
    if Path(name).is_dir() or re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", name):
        return Encoder(name, "folder" if Path(name).is_dir() else "hub", LAB_LEARNING_RATE, "not in the registry")
    raise ModelError(f"model {name} is none of {', '.join(ENCODERS)} and no folder{did_you_mean(name, ENCODERS)}")


def encoder_folder(name: str) -> Path:
    """Return the folder of an encoder's files, fetching them if need be."""
    entry = registry_entry(name)
    return Path(name) if entry.source == "folder" else entry.folder()


def load_encoder(
    name: str, seed: int = 0, *, pretrained: bool = True, dropout: float | None = None, attention: str = "sdpa"
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load an encoder with a fresh two-class head, and its tokenizer.

    seed: draws the head (and, where not `pretrained`, every weight) without touching the global random state. dropout: in
    place of the model's own probability. attention: `sdpa`, or `eager` where attention weights are wanted.
    """
    with quick_imports():
        import torch
        from transformers import AutoConfig, AutoModelForSequenceClassification

        import_module("transformers.modeling_utils")  # what every model is made with, and most of the time

    folder = encoder_folder(name)
    check_model_folder(folder)
    tokenizer = load_tokenizer(folder)
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    config.num_labels = 2
    config.id2label, config.label2id = ({0: "negative", 1: "positive"}, {"negative": 0, "positive": 1})
    if dropout is not None:
        _set_dropout(config, dropout)
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(seed)
        if pretrained:
            model = _load_weights(folder, attention, head_may_be_fresh=True, config=config)
        else:
            model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
    return model.float(), tokenizer


def load_classifier(folder: Path, attention: str = "sdpa") -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load a fine-tuned classifier as it was saved, and its tokenizer.

    It is in evaluation mode. Raises ModelError, TokenizerError.
    """
    check_model_folder(folder)
    tokenizer = load_tokenizer(folder)
    with quiet_transformers():
        model = _load_weights(folder, attention)
    return model.float().eval(), tokenizer


def _load_weights(folder: Path, attention: str, head_may_be_fresh: bool = False, **settings: Any) -> "PreTrainedModel":
    """Load the model with the weights of its folder.

    What the folder lacks transformers draws at random; only a head may lack.
    """
    from safetensors import SafetensorError

    with quick_imports():
        from transformers import AutoModelForSequenceClassification

        import_module("transformers.modeling_utils")  # as in load_encoder

    settings |= {"attn_implementation": attention, "local_files_only": True, "use_safetensors": True}
    try:
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, ignore_mismatched_sizes=True, output_loading_info=True, **settings
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as why:
        raise ModelError(f"{folder}: the model cannot be loaded ({str(why).strip().splitlines()[0]})") from None
    drawn = report["missing_keys"] | {name for name, *_ in report["mismatched_keys"]}
    encoder = f"{model.base_model_prefix}."
    lacking = sorted(
        name for name in drawn if not head_may_be_fresh or (name.startswith(encoder) and "pooler" not in name)
    )
    if lacking:
        wanted = "an encoder" if head_may_be_fresh else "a fine-tuned classifier"
        raise ModelError(
            f"{folder}: not the weights of {wanted}, for {lacking[0]} is not there as config.json wants it"
        )
    return model


def check_model_folder(folder: Path) -> None:
    """Check that the folder has a readable config and safetensors.

    Raises ModelError otherwise; pickled weights are never opened.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder")
    config = folder / "config.json"
    if not config.is_file():
        hint = f"; did you mean {folder / 'model'}?" if (folder / "model" / "config.json").is_file() else ""
        raise ModelError(f"{folder}: no config.json there, so it is no model folder{hint}")
    try:
        json.loads(config.read_text("utf-8"))
    except ValueError as why:
        raise ModelError(f"{config}: not readable as JSON ({why})") from None
    if not list(folder.glob("*.safetensors")):
        pickled = [file.name for suffix in ("*.bin", "*.pt", "*.pth", "*.ckpt") for file in folder.glob(suffix)]
        found = f"only {pickled[0]}, which is a pickle and can run code when it is opened" if pickled else "none"
        raise ModelError(f"{folder}: weights wanted as model.safetensors, found {found}")


@contextmanager
def quiet_transformers() -> Iterator[None]:
    """Keep transformers' reports of loading and its progress bar off the page.

    That the head is new is what we asked for.
    """
    from transformers.utils import logging

    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()


def _set_dropout(config: Any, probability: float) -> None:
    names = [name for name in vars(config) if name.endswith(("dropout", "dropout_prob"))]
    for name in names:
        if getattr(config, name) is not None:
            setattr(config, name, probability)


def freeze(model: "nn.Module", part: str) -> None:
    """Freeze the embeddings, or the whole encoder below the head.

    Their parameters take no gradient.
    """
    if part not in FREEZABLE:
        raise UsageError(f"freeze {part!r} is none of {', '.join(FREEZABLE)}")
    base: Any = model.base_model
    if part == "embeddings":
        base.embeddings.requires_grad_(False)
    elif part == "encoder":
        base.requires_grad_(False)
        if getattr(base, "pooler", None) is not None:  # BERT's pooler is the first layer of its head
            base.pooler.requires_grad_(True)

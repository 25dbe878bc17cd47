"""Encoders: the registry by size, their loading with a fresh head or the one that they have, and freezing.

Weights come as safetensors or not at all, and no code of a model's authors is ever run. Does not train (fit.py).
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.data import assets
from labkit.data.tokens import load_tokenizer
from labkit.display import SURROGATES, Tell, say
from labkit.errors import UsageError, did_you_mean
from labkit.importing import quick_imports
from labkit.models.classes import name_classes, take_our_order
from labkit.models.soundness import ModelError, check_soundness, in_one_line

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

FREEZABLE = ("nothing", "embeddings", "encoder")
HEADS = ("fresh", "kept")


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
    name: str,
    seed: int = 0,
    *,
    pretrained: bool = True,
    dropout: float | None = None,
    attention: str = "sdpa",
    head: str = "fresh",
    tell: Tell = say,
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load an encoder with a two-class head, and its tokenizer.

    seed: draws the fresh head (and, where not `pretrained`, every weight) without touching the global random state.
    dropout: in place of the model's own probability. attention: `sdpa`, or `eager` where attention weights are wanted.
    head: `fresh` also where the folder holds a classifier; `kept` goes on from that classifier's head. Raises ModelError,
    TokenizerError.
    """
    with quick_imports():
        import torch
        from transformers import AutoModelForSequenceClassification

        import_module("transformers.modeling_utils")  # what every model is made with, and most of the time

    if head not in HEADS:
        raise UsageError(f"head {head!r} is none of {', '.join(HEADS)}{did_you_mean(head, HEADS)}")
    if head == "kept" and not pretrained:
        raise UsageError("head = kept and pretrained = false contradict each other; wanted one of them")
    folder = encoder_folder(name)
    check_model_folder(folder)
    tokenizer = load_tokenizer(folder)
    config = _read_config(folder)
    if head == "fresh":
        name_classes(config)
    if dropout is not None:
        _set_dropout(config, dropout)
    with quiet_transformers(), torch.random.fork_rng():
        torch.manual_seed(seed)
        if not pretrained:
            model = _with_attention(
                lambda kind: AutoModelForSequenceClassification.from_config(config, attn_implementation=kind),
                folder,
                attention,
                tell,
            )
        elif head == "kept":
            model = _with_its_own_head(folder, attention, tell, config)
        else:
            model, missing = _load_weights(folder, attention, tell, head_may_be_fresh=True, config=config)
            _draw_head(model, missing, seed)
        model = model.float()
        check_soundness(model, tokenizer, folder)
    return model, tokenizer


def _with_its_own_head(folder: Path, attention: str, tell: Tell, config: Any) -> "PreTrainedModel":
    """A classifier as it was saved, its classes in labkit's order. Raises ModelError where its names do not tell it."""
    model, _ = _load_weights(folder, attention, tell, config=config)
    try:
        take_our_order(model)
    except ModelError as why:
        raise ModelError(f"{folder}: {why}") from None
    return model


def load_classifier(
    folder: Path, attention: str = "sdpa", tell: Tell = say
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load a fine-tuned classifier as it was saved, and its tokenizer.

    It is in evaluation mode, and its classes have their own names and order (classes.py). Raises ModelError,
    TokenizerError.
    """
    check_model_folder(folder)
    tokenizer = load_tokenizer(folder)
    with quiet_transformers():
        model, _ = _load_weights(folder, attention, tell, config=_read_config(folder))
        model = model.float().eval()
        check_soundness(model, tokenizer, folder)
    return model, tokenizer


def _read_config(folder: Path) -> Any:
    """Read the model's config. Raises ModelError where transformers makes nothing of it."""
    with quick_imports():
        from transformers import CONFIG_MAPPING, AutoConfig

    settings = json.loads((folder / "config.json").read_text("utf-8"))
    kind = settings.get("model_type")
    if kind not in CONFIG_MAPPING:
        raise ModelError(
            f"{folder / 'config.json'}: model_type {json.dumps(kind)} is none that transformers knows; "
            f"wanted one such as bert{did_you_mean(str(kind), CONFIG_MAPPING)}"
        )
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as why:  # each family checks its settings in its own way
        raise ModelError(f"{folder / 'config.json'}: not the config of a {kind} ({in_one_line(why)})") from None
    if getattr(config, "is_encoder_decoder", False):
        raise ModelError(
            f"{folder}: the family {kind} is an encoder with a decoder; wanted an encoder alone, such as bert"
        )
    if isinstance(settings.get("label2id"), dict):  # which transformers forgets where there is no id2label
        config.label2id = settings["label2id"]
    return config


def _with_attention(make: Callable[[str], Any], folder: Path, attention: str, tell: Tell) -> Any:
    """Make a model with fused attention, or with eager attention where its family has no other.

    Raises ModelError where it cannot be made.
    """
    try:
        try:
            return make(attention)
        except ValueError as why:
            if attention == "eager" or "scaled_dot_product_attention" not in str(why):
                raise
        made = make("eager")
    except MemoryError:
        raise
    except Exception as why:  # a config that is valid by itself fails in each family in its own way
        raise ModelError(f"{folder}: the model cannot be loaded ({in_one_line(why)})") from None
    tell(f"{folder}: this family of models has no fused attention; its eager attention is slower")
    return made


def _load_weights(
    folder: Path, attention: str, tell: Tell, head_may_be_fresh: bool = False, **settings: Any
) -> tuple["PreTrainedModel", set[str]]:
    """Load the model with the weights of its folder, and name those that the folder lacks.

    What it lacks transformers draws at random; only a head may lack.
    """
    with quick_imports():
        from transformers import AutoModelForSequenceClassification

        import_module("transformers.modeling_utils")  # as in load_encoder

    settings |= {"local_files_only": True, "use_safetensors": True}
    model, report = _with_attention(
        lambda kind: AutoModelForSequenceClassification.from_pretrained(
            folder, ignore_mismatched_sizes=True, output_loading_info=True, attn_implementation=kind, **settings
        ),
        folder,
        attention,
        tell,
    )
    missing = set(report["missing_keys"])
    drawn = missing | {name for name, *_ in report["mismatched_keys"]}
    encoder = f"{model.base_model_prefix}."
    lacking = sorted(
        name for name in drawn if not head_may_be_fresh or (name.startswith(encoder) and "pooler" not in name)
    )
    if lacking:
        wanted = "an encoder" if head_may_be_fresh else "a fine-tuned classifier"
        raise ModelError(
            f"{folder}: not the weights of {wanted}, for {lacking[0]} is not there as config.json wants it"
        )
    return model, missing


def _draw_head(model: "PreTrainedModel", missing: set[str], seed: int) -> None:
    """Draw the head anew where the folder held the whole of a classifier's, of however many classes.

    Everything around the encoder is drawn as transformers draws what is missing. Part of a head that came with an
    encoder, as ModernBERT's first layer does, is pretrained and stays.
    """
    import torch

    encoder = set(model.base_model.modules())
    around = [part for part in model.modules() if part not in encoder]
    weights = {id(weight) for part in around for weight in part.parameters(recurse=False)}
    if any(name in missing for name, weight in model.named_parameters() if id(weight) in weights):
        return
    for part in around:
        part._is_hf_initialized = False  # transformers' own mark of what stays
        for weight in part.parameters(recurse=False):
            weight._is_hf_initialized = False
    torch.manual_seed(seed)
    model.initialize_weights()


def check_model_folder(folder: Path) -> None:
    """Check that the folder has a readable config and safetensors.

    Raises ModelError otherwise; pickled weights are never opened.
    """
    if not folder.is_dir():
        raise ModelError(f"{folder}: no such model folder")
    if SURROGATES.search(str(folder)):
        raise ModelError(
            f"{folder}: a name that is not UTF-8, which the reader of weights does not take; rename the folder"
        )
    config = folder / "config.json"
    if not config.is_file():
        hint = f"; did you mean {folder / 'model'}?" if (folder / "model" / "config.json").is_file() else ""
        raise ModelError(f"{folder}: no config.json there, so it is no model folder{hint}")
    try:
        settings = json.loads(config.read_text("utf-8"))
    except (ValueError, RecursionError) as why:
        raise ModelError(f"{config}: not readable as JSON ({why})") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("model_type"), str):
        raise ModelError(f"{config}: no model_type there; wanted the family of the model, such as bert")
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
    settings = config.get_text_config()
    names = [
        name
        for name, there in vars(settings).items()
        if name.endswith(("dropout", "dropout_prob", "pdrop")) and type(there) in (float, int)
    ]
    if not names:
        raise ModelError(f"dropout = {probability}: the family {config.model_type} has no dropout that could be set")
    for name in names:
        setattr(settings, name, probability)


def freeze(model: "nn.Module", part: str) -> None:
    """Freeze the embeddings, or the whole encoder below the head.

    Their parameters take no gradient.
    """
    if part not in FREEZABLE:
        raise UsageError(f"freeze {part!r} is none of {', '.join(FREEZABLE)}")
    base: Any = model.base_model
    if part == "embeddings":
        if not hasattr(base, "embeddings"):
            raise ModelError(f"freeze = embeddings: the family {base.config.model_type} has no part of that name")
        base.embeddings.requires_grad_(False)
    elif part == "encoder":
        base.requires_grad_(False)
        if getattr(base, "pooler", None) is not None:  # BERT's pooler is the first layer of its head
            base.pooler.requires_grad_(True)

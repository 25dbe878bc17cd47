"""The hyper-parameters of a run, in one frozen and checked dataclass.

The command line and the config file are made from it. `Config.resolved` is the one place that chooses what a user left
open. Knows neither the reviews nor the model's weights.
"""

import dataclasses
import json
import math
import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

from labkit.data.batching import BATCHINGS
from labkit.data.readers import decode_utf8
from labkit.data.tokens import TRUNCATIONS
from labkit.errors import UsageError, did_you_mean
from labkit.models.encoders import FREEZABLE, HEADS, registry_entry
from labkit.training.precision import PRECISIONS, Precision, choose_device, choose_precision, suitable_multiple

FAST_PATHS = ("full", "exact", "off")


class ConfigError(UsageError):
    """A setting that is unknown, of the wrong type or out of range.

    The text names it and the nearest right one.
    """


def _setting(default: Any, about: str, **limits: Any) -> Any:
    """A field of Config with its help text and limits.

    limits: `at_least`, `above`, `at_most`, `below`, `one_of`.
    """
    return dataclasses.field(default=default, metadata={"help": about, "limits": limits})


@dataclass(frozen=True)
class Config:
    """The settings of one fine-tuning run.

    Raises ConfigError for a value of the wrong type or out of range.
    """

    model: str = _setting("minilm", "encoder: a name of the registry, a hub name (owner/model) or a folder")
    epochs: int = _setting(3, "passes over the training reviews, at most", at_least=1)
    batch_size: int = _setting(32, "reviews per optimizer step", at_least=1)
    micro_batch_size: int | None = _setting(
        None,
        "reviews computed at once; the rest of the batch is accumulated (default: the batch, halved where memory asks)",
        at_least=1,
    )
    eval_batch_size: int = _setting(64, "reviews computed at once in evaluation", at_least=1)
    max_length: int = _setting(128, "tokens of a review that are kept, special tokens included", at_least=3)
    truncation: str = _setting("head", "which part of a long review is kept", one_of=TRUNCATIONS)
    batching: str = _setting("buckets", "how reviews share a batch", one_of=BATCHINGS)
    pad_to_multiple_of: int | None = _setting(
        None, "round widths up (default: 8 in half precision, else 1)", at_least=1
    )
    learning_rate: float | None = _setting(
        None, "peak learning rate (default: the model's value in the registry)", above=0, at_most=1
    )
    weight_decay: float = _setting(
        0.01, "AdamW's decay of matrices; biases and LayerNorm have none", at_least=0, at_most=1
    )
    warmup_ratio: float = _setting(0.1, "share of the steps in which the learning rate rises", at_least=0, below=1)
    max_grad_norm: float = _setting(1.0, "gradients are clipped to this norm", above=0)
    dropout: float | None = _setting(None, "dropout probability (default: the model's own)", at_least=0, below=1)
    freeze: str = _setting("nothing", "what keeps its pretrained weights", one_of=FREEZABLE)
    head: str = _setting(
        "fresh", "fresh: drawn by the seed; kept: go on from the head of the classifier that model names", one_of=HEADS
    )
    pretrained: bool = _setting(True, "start from pretrained weights, or from random ones")
    patience: int = _setting(2, "epochs without a lower validation loss before training stops", at_least=1)
    precision: str = _setting("auto", "arithmetic of the matrix products", one_of=PRECISIONS)
    fast_path: str = _setting(
        "full",
        "full; exact: ordinary dropout masks and a dense gradient of the embedding; off: the model's own forward pass",
        one_of=FAST_PATHS,
    )
    device: str = _setting("auto", "auto, cpu, cuda or mps")
    seed: int = _setting(0, "of the validation split, the head, the order and dropout", at_least=0, at_most=2**31 - 1)
    neutral_band: float = _setting(0.5, "mean ratings nearer to 0 than this are left out", above=0, at_most=4)
    validation_fraction: float = _setting(0.1, "share of all reviews held out for validation", above=0, at_most=0.5)
    train_examples: int | None = _setting(None, "train on a fixed part of this size (default: all)", at_least=4)
    validation_examples: int | None = _setting(None, "validate on a fixed part of this size (default: all)", at_least=4)
    checkpoint_seconds: float = _setting(60.0, "seconds between two checkpoints within an epoch", at_least=0)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, _checked(field, getattr(self, field.name)))

    @property
    def largest_micro_batch(self) -> int:
        """Reviews computed at once at first; out of memory it is halved."""
        return min(self.micro_batch_size or self.batch_size, self.batch_size)

    @property
    def model_name(self) -> str:
        """The model's name as tables show it: of a folder or a hub name its last part."""
        return Path(self.model).name

    def chosen_precision(self) -> Precision:
        """Choose precision and device where they are `auto`, and check them where not.

        Raises UsageError for one that this machine does not have.
        """
        return choose_precision(self.precision, choose_device(self.device))

    def resolved(self) -> "Config":
        """Make every choice that these settings leave open.

        Chosen are device, precision, learning rate, micro-batch and the multiple of widths. What was given stays, so
        resolving twice changes nothing. The None of dropout (the model's own) and of the numbers of examples (all) leave
        nothing to choose. Raises UsageError for a device, a precision or a model that is not here.
        """
        precision = self.chosen_precision()
        return dataclasses.replace(
            self,
            device=str(precision.device),
            precision=precision.name,
            learning_rate=self.learning_rate or registry_entry(self.model).learning_rate,
            micro_batch_size=self.largest_micro_batch,
            pad_to_multiple_of=self.pad_to_multiple_of or suitable_multiple(precision),
        )

    def replaced(self, settings: Mapping[str, Any]) -> "Config":
        """Change some settings.

        Raises ConfigError for a name that is no setting, with the nearest.
        """
        for name in settings:
            if name not in SETTINGS:
                raise ConfigError(f"{name} is not a setting{did_you_mean(name, SETTINGS)}")
        return dataclasses.replace(self, **settings)

    def to_toml(self) -> str:
        """Write the config file that gives these settings again.

        A setting that is None stands there as a comment.
        """
        lines = []
        for name, value in dataclasses.asdict(self).items():
            written = json.dumps(value, ensure_ascii=False).replace(
                "\x7f", "\\u007f"
            )  # which JSON allows and TOML does not
            lines.append(f"# {name} = (default)" if value is None else f"{name} = {written}")
        return "\n".join(lines) + "\n"


SETTINGS = {field.name: field for field in dataclasses.fields(Config)}
_TYPES = get_type_hints(Config)
NEVER_CHANGE_THE_RESULT = ("checkpoint_seconds",)


def read_config_file(path: Path) -> dict[str, Any]:
    """Read the settings of a TOML file without checking their values.

    Raises ConfigError for a missing file, one that is not TOML, and a name that is no setting.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such config file")
    try:
        settings = tomllib.loads(decode_utf8(path))
    except (ValueError, RecursionError) as why:  # ValueError: not TOML, or a number of thousands of digits
        raise ConfigError(f"{path}: not TOML: {why}") from None
    for name in settings:
        if name not in SETTINGS:
            raise ConfigError(f"{path}: {name} is not a setting{did_you_mean(name, SETTINGS)}")
    return settings


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Parse `key=value` pairs; a value that is not TOML is taken as bare text.

    >>> parse_assignments(["epochs=5", "model=tiny"])
    {'epochs': 5, 'model': 'tiny'}
    """
    settings = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals:
            raise ConfigError(f"--set {assignment}: wanted key=value")
        if name.strip() not in SETTINGS:
            raise ConfigError(f"{name.strip()} is not a setting{did_you_mean(name.strip(), SETTINGS)}")
        settings[name.strip()] = _parse_value(value.strip())
    return settings


def _parse_value(text: str) -> Any:
    if text.lower() == "none":
        return None
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _checked(field: "dataclasses.Field[Any]", value: Any) -> Any:
    """Return the value in the field's own type (a whole number serves as a float).

    Raises ConfigError for another type and beyond the field's limits.
    """
    hint = _TYPES[field.name]
    kinds = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if value is None and type(None) in kinds:
        return None
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise ConfigError(f"{field.name} = a number of more than 64 bits is out of range")
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) not in kinds:
        wanted = next(kind.__name__ for kind in kinds if kind is not type(None))
        raise ConfigError(f"{field.name} = {value!r} is {type(value).__name__}; wanted {wanted}")
    _check_limits(field.name, value, **field.metadata["limits"])
    return value


def _check_limits(
    name: str,
    value: Any,
    at_least: float = -math.inf,
    above: float = -math.inf,
    at_most: float = math.inf,
    below: float = math.inf,
    one_of: tuple[str, ...] = (),
) -> None:
    if one_of and value not in one_of:
        raise ConfigError(f"{name} = {value!r} is none of {', '.join(one_of)}{did_you_mean(value, one_of)}")
    if isinstance(value, (str, bool)):
        return
    if not math.isfinite(value):
        raise ConfigError(f"{name} = {value} is not a finite number")
    if not (
        at_least <= value <= at_most and (above < value or above == -math.inf) and (value < below or below == math.inf)
    ):
        bounds = [(at_least, "at least"), (above, "above"), (at_most, "at most"), (below, "below")]
        wanted = " and ".join(f"{words} {bound:g}" for bound, words in bounds if math.isfinite(bound))
        raise ConfigError(f"{name} = {value} is out of range; wanted {wanted}")

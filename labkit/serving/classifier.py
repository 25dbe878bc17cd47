"""A saved model, loaded to be asked: what it says of texts, why, and how well."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.data.batching import Batcher
from labkit.data.reviews import CLASS_NAMES, Reviews, clean, is_blank
from labkit.data.tokens import tokenize
from labkit.display import Tell, say
from labkit.errors import UsageError, did_you_mean
from labkit.evaluation.metrics import EvalResult
from labkit.explanation.attribution import Explanations
from labkit.explanation.methods import explain
from labkit.explanation.registry import DEFAULT
from labkit.models.classes import class_places
from labkit.models.encoders import load_classifier
from labkit.models.soundness import ModelError, check_vocabulary, positions_of
from labkit.training.config import Config, ConfigError
from labkit.training.fit import evaluate
from labkit.training.precision import choose_device, suitable_precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


KEPT_FILE, KEPT_SETTINGS = "labkit.json", ("max_length", "truncation")  # beside a model's weights: how texts were cut


@dataclass(frozen=True)
class Prediction:
    """What the model says of one text.

    probability: of the class it names. truncated: whether the end was not read.
    """

    text: str
    label: str
    probability: float
    probabilities: dict[str, float]
    truncated: bool

    def __str__(self) -> str:
        cut = " (truncated)" if self.truncated else ""
        return f"{self.label:<8}  {self.probability:.3f}{cut}  {self.text if len(self.text) <= 100 else self.text[:99] + '…'}"


@dataclass(frozen=True)
class LeaveOneOut:
    """What each word does for a verdict: the drop in its probability when the word is left out.

    Occlusion, a method of `explain`, puts `[MASK]` in a word's place and measures the margin in logits; here the word is gone,
    the text is shorter, and the probability is measured. label, probability: the verdict on the whole text. effects: (words,)
    in [-1, 1]; below 0 the word spoke against it.
    """

    label: str
    probability: float
    words: Sequence[str]
    effects: np.ndarray

    @property
    def strongest(self) -> str:
        """The word that the verdict hangs on most: without it the probability drops furthest."""
        return self.words[int(self.effects.argmax())]

    def __str__(self) -> str:
        pairs = ", ".join(f"{word} {effect:+.2f}" for word, effect in zip(self.words, self.effects, strict=True))
        return f"{self.label} with probability {self.probability:.2f}; its drop by the word left out: {pairs}"

    __repr__ = __str__


@dataclass(frozen=True)
class Classifier:
    """A fine-tuned model with its tokenizer and the way it cuts long texts."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    config: Config
    name: str

    @classmethod
    def load(
        cls,
        folder: Path,
        precision: str = "auto",
        device: str = "auto",
        attention: str = "sdpa",
        tell: Tell = say,
    ) -> "Classifier":
        """Load what `labkit train` saved, or any Hugging Face folder of two classes whose names are known.

        attention: `eager` where attention weights are wanted. A folder that does not say how texts are cut has them cut as
        labkit does by default, or where the model has fewer positions, to these. Raises ModelError, TokenizerError.
        """
        config = dataclasses.replace(_kept_settings(folder / KEPT_FILE), precision=precision, device=device)
        model, tokenizer = load_classifier(folder, attention, tell)
        class_places(model.config, f"{folder}: the model")
        positions = positions_of(model)
        if positions is not None and config.max_length > positions:
            if (folder / KEPT_FILE).is_file():
                asked = f"max_length = {config.max_length} is more than the {positions} positions of the model"
                raise ModelError(f"{folder / KEPT_FILE}: {asked}")
            config = dataclasses.replace(config, max_length=positions)
            tell(f"{folder}: the model has {positions} positions, so texts are cut to {positions} tokens")
        suited = suitable_precision(model, config.chosen_precision(), precision, tell)
        config = dataclasses.replace(config, precision=suited.name)
        return cls(model, tokenizer, config, folder.parent.name or folder.name)

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """Return one prediction for each text, in order.

        Texts are cleaned as for training. Raises UsageError for an empty one.
        """
        cleaned = [clean(text) for text in texts]
        for number, text in enumerate(cleaned, start=1):
            if is_blank(text):
                raise UsageError(f"text {number} of {len(cleaned)} is empty; wanted something to read")
        if not cleaned:
            return []
        batcher = self._batcher(cleaned, np.zeros(len(cleaned), dtype=np.int64))
        probabilities = self._evaluate(batcher).probabilities
        return [
            Prediction(
                text=text,
                label=CLASS_NAMES[int(row.argmax())],
                probability=float(row.max()),
                probabilities=dict(zip(CLASS_NAMES, row.tolist(), strict=True)),
                truncated=bool(truncated),
            )
            for text, row, truncated in zip(cleaned, probabilities, batcher.tokenized.truncated, strict=True)
        ]

    def probabilities(self, texts: Sequence[str]) -> np.ndarray:
        """Return (n, 2) probabilities of negative and positive, for behavioural tests."""
        return np.array([[each.probabilities[name] for name in CLASS_NAMES] for each in self.predict(texts)]).reshape(
            -1, 2
        )

    def leave_one_out(self, text: str) -> LeaveOneOut:
        """The text once more without each of its words in turn. Raises UsageError for fewer than two words.

        Says which words the verdict needs, and nothing of how they work together. Raises UsageError for fewer than two
        words.
        """
        words = clean(text).split()
        if len(words) < 2:
            raise UsageError(f"{text!r} has {len(words)} words; wanted two, so that one can be left out")
        shorter = [" ".join(words[:place] + words[place + 1 :]) for place in range(len(words))]
        whole, *rest = self.predict([" ".join(words), *shorter])
        without = np.array([each.probabilities[whole.label] for each in rest])
        return LeaveOneOut(whole.label, whole.probability, words, whole.probability - without)

    def evaluate(self, reviews: Reviews) -> EvalResult:
        """The model's result on labelled reviews, in their order."""
        return dataclasses.replace(self._evaluate(self._batcher(reviews.texts, reviews.labels)), ids=reviews.ids)

    def explain(
        self, texts: str | Sequence[str], methods: str | Sequence[str] = DEFAULT, **options: Any
    ) -> Explanations:
        """Say why the model says what it says of each text.

        Texts are cut as in `predict`. options: of `methods.explain`.
        """
        model = self.model.to(choose_device(self.config.device))
        settings: dict[str, Any] = {"max_length": self.config.max_length, "truncation": self.config.truncation}
        return explain(model, self.tokenizer, texts, methods, **(settings | options))

    def _batcher(self, texts: Sequence[str], labels: np.ndarray) -> Batcher:
        tokenized = tokenize(texts, self.tokenizer, self.config.max_length, self.config.truncation)
        check_vocabulary(self.model, self.tokenizer, tokenized.input_ids, self.name)
        return Batcher(tokenized, labels)

    def _evaluate(self, batcher: Batcher) -> EvalResult:
        precision = self.config.chosen_precision()
        evaluation = evaluate(self.model.to(precision.device), batcher, self.config, precision)
        logits = evaluation.logits.numpy()[:, class_places(self.model.config)]
        if not np.isfinite(logits).all():
            raise ModelError(f"{self.name}: the model's logits are no finite numbers; its weights are damaged")
        return EvalResult.from_logits(evaluation.labels.numpy(), logits, name=self.name)


def _kept_settings(file: Path) -> Config:
    """Read how texts were cut in training; the defaults where there is no such file. Raises ModelError, with the way out."""
    if not file.exists():
        return Config()
    way_out = 'wanted {"max_length": 128, "truncation": "head"} or the like, as in training, or no such file'
    try:
        settings = json.loads(file.read_text("utf-8"), object_pairs_hook=tuple)  # a dict keeps the last of two alone
        if not isinstance(settings, tuple):
            raise ModelError(f"{file}: holds no settings by name; {way_out}")
        names = [name for name, _ in settings]
        for name in names:
            if names.count(name) > 1:
                raise ModelError(f"{file}: {name} stands there twice; {way_out}")
            if name not in KEPT_SETTINGS:
                raise ModelError(
                    f"{file}: {name} is none of its settings{did_you_mean(name, KEPT_SETTINGS)}; {way_out}"
                )
        return Config(**dict(settings))
    except ConfigError as why:
        raise ModelError(f"{file}: {why}; {way_out}") from None
    except (OSError, ValueError, RecursionError) as why:
        raise ModelError(f"{file}: not readable as JSON ({why}); {way_out}") from None

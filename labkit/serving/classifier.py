"""A saved model, loaded and asked: probabilities for texts, why, which words it needs, and its result on labelled reviews."""

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.data.batching import Batcher
from labkit.data.reviews import CLASS_NAMES, Reviews, clean
from labkit.data.tokens import tokenize
from labkit.errors import UsageError
from labkit.evaluation.metrics import EvalResult
from labkit.explanation.attribution import Explanations
from labkit.explanation.methods import explain
from labkit.explanation.registry import DEFAULT
from labkit.models.encoders import load_classifier
from labkit.training.config import Config
from labkit.training.fit import evaluate
from labkit.training.precision import choose_device, choose_precision

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Prediction:
    """What the model says of one text. probability: of the class it names; truncated: whether the end was not read."""

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
        return (
            f"{self.label} with probability {self.probability:.2f}; by the word left out, how far that falls: {pairs}"
        )

    __repr__ = __str__


@dataclass(frozen=True)
class Classifier:
    """A fine-tuned model with its tokenizer and the way it cuts long texts."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    config: Config
    name: str

    @classmethod
    def load(cls, folder: Path, precision: str = "auto", device: str = "auto", attention: str = "sdpa") -> "Classifier":
        """A classifier as `labkit train` saved it, or any two-class Hugging Face folder. Raises ModelError, TokenizerError.

        attention: `eager` where attention weights are wanted.
        """
        model, tokenizer = load_classifier(folder, attention)
        if model.config.num_labels != len(CLASS_NAMES):
            raise UsageError(f"{folder}: the model has {model.config.num_labels} classes; wanted {len(CLASS_NAMES)}")
        kept = folder / "labkit.json"
        settings = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
        return cls(
            model, tokenizer, Config(precision=precision, device=device, **settings), folder.parent.name or folder.name
        )

    def predict(self, texts: Sequence[str]) -> list[Prediction]:
        """One prediction a text, in order; texts are cleaned as for training. Raises UsageError for an empty one."""
        cleaned = [clean(text) for text in texts]
        for number, text in enumerate(cleaned, start=1):
            if not text:
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
        """(n, 2) the probabilities of negative and positive, in order: what behavioural tests ask for."""
        return np.array([[each.probabilities[name] for name in CLASS_NAMES] for each in self.predict(texts)]).reshape(
            -1, 2
        )

    def leave_one_out(self, text: str) -> LeaveOneOut:
        """The text once more without each of its words in turn. Raises UsageError for fewer than two words.

        Words are what stands between spaces. Says which words the verdict needs, and nothing of how they work together.
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
        """Why the model says what it says of each text; texts are cut as in `predict`. options: of `attribution.explain`."""
        model = self.model.to(choose_device(self.config.device))
        settings: dict[str, Any] = {"max_length": self.config.max_length, "truncation": self.config.truncation}
        return explain(model, self.tokenizer, texts, methods, **(settings | options))

    def _batcher(self, texts: Sequence[str], labels: np.ndarray) -> Batcher:
        config = self.config
        return Batcher(tokenize(texts, self.tokenizer, config.max_length, config.truncation), labels)

    def _evaluate(self, batcher: Batcher) -> EvalResult:
        precision = choose_precision(self.config.precision, choose_device(self.config.device))
        evaluation = evaluate(self.model.to(precision.device), batcher, self.config, precision)
        return EvalResult.from_logits(evaluation.labels.numpy(), evaluation.logits.numpy(), name=self.name)

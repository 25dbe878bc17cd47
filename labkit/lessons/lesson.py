"""What every lesson starts from: a profile's encoder, reviews and batches.

Only notebooks use this. Where something could not be fetched, the stand-ins that are shipped take its place under a banner
(stand_ins.py). Teaches nothing and trains nothing.
"""

import html
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from labkit.data.batching import Batcher
from labkit.data.reviews import Corpus, Reviews, copy_key, label_corpus
from labkit.data.splits import Splits, split_reviews
from labkit.data.tokens import load_tokenizer, tokenize
from labkit.lessons.profiles import ABOUT, EXAMPLES, current_profile, profile_settings
from labkit.lessons.stand_ins import encoder_or_tiny, movie_corpus_or_sample
from labkit.models.encoders import encoder_folder, load_encoder, registry_entry
from labkit.training.config import Config

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def open_lesson(profile: str | None = None) -> "Lesson":
    """Open a lesson under the given profile, or the one in force.

    Nothing is fetched or loaded before it is used.

    >>> open_lesson("tiny").config.model
    'tiny'
    """
    name = profile or current_profile()
    train, validation = EXAMPLES.get(name, (None, None))
    sizes = {"train_examples": train, "validation_examples": validation}
    return Lesson(name, Config().replaced(profile_settings(name) | sizes))


@dataclass(frozen=True)
class Lesson:
    """The encoder, reviews and splits of a profile, the same for everyone."""

    profile: str
    settings: Config

    @cached_property
    def encoder(self) -> str:
        """The encoder's name: the profile's, or `tiny` under a banner."""
        return encoder_or_tiny(self.settings.model)

    @cached_property
    def learning_rate(self) -> float:
        """The peak learning rate that measured well for this encoder."""
        return self.settings.learning_rate or registry_entry(self.encoder).learning_rate

    @cached_property
    def config(self) -> Config:
        """The profile's settings with the encoder that is there and its learning rate."""
        return self.settings.replaced({"model": self.encoder, "learning_rate": self.learning_rate})

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The encoder's tokenizer."""
        return load_tokenizer(encoder_folder(self.encoder))

    def model(self, seed: int = 0, **options: Any) -> "PreTrainedModel":
        """The encoder with a fresh head drawn from the seed.

        options: those of `load_encoder`.
        """
        return load_encoder(self.encoder, seed, **options)[0]

    @cached_property
    def corpus(self) -> Corpus:
        """The movie reviews with their ratings, or the written sample, under a banner."""
        return movie_corpus_or_sample()

    @cached_property
    def reviews(self) -> Reviews:
        """The same with labels, neutral ones left out."""
        return label_corpus(self.corpus, self.settings.neutral_band)

    @cached_property
    def splits(self) -> Splits:
        """Training, validation and test reviews, the first two cut to the profile's size."""
        config = self.settings
        sizes = config.validation_fraction, config.train_examples, config.validation_examples
        return split_reviews(self.reviews, config.seed, *sizes)

    @cached_property
    def batchers(self) -> dict[str, Batcher]:
        """The tokenized reviews of each split, by its name."""
        from labkit.experiments.fine_tuning import (
            make_batchers,  # torch comes with it, and the first cell of a lesson can do without
        )

        return make_batchers(self.splits, self.tokenizer, self.settings)

    def part(self, split: str, start: int = 0, stop: int | None = None) -> Batcher:
        """Batches of the reviews `start` to `stop` of a split, in a fixed random order.

        split: train, validation or test. No text stands there twice, so parts that do not overlap have no review in common.
        """
        import numpy as np

        reviews: Reviews = getattr(self.splits, split)
        first = {copy_key(text): place for place, text in reversed(list(enumerate(reviews.texts)))}
        order = np.random.default_rng(0).permutation(sorted(first.values()))
        part = reviews.select(order[start:stop])
        tokenized = tokenize(part.texts, self.tokenizer, self.settings.max_length, self.settings.truncation)
        return Batcher(tokenized, part.labels, self.settings.batching, self.settings.max_length)

    def __str__(self) -> str:
        return f"Profile {self.profile}: {ABOUT[self.profile]}."

    __repr__ = __str__

    def _repr_html_(self) -> str:
        ways = "Another profile: choose it in lesson 00, or set LABKIT_PROFILE before Jupyter starts."
        return f"<p><strong>Profile {self.profile}</strong>: {html.escape(ABOUT[self.profile])}. {ways}</p>"

"""What every lesson starts from: a profile's encoder, reviews and batches.

Only notebooks use this. Where something could not be fetched, the stand-ins that are shipped take its place under a banner
(stand_ins.py). Teaches nothing and trains nothing.
"""

import html
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.data.batching import Batcher
from labkit.data.readers import ReviewFileError
from labkit.data.reviews import Corpus, Reviews, copy_key, label_corpus, read_reviews
from labkit.data.splits import Splits, split_reviews
from labkit.data.tokens import load_tokenizer, tokenize
from labkit.errors import UsageError
from labkit.lessons.profiles import ABOUT, EXAMPLES, current_profile, profile_settings
from labkit.lessons.stand_ins import encoder_or_tiny, movie_corpus_or_sample
from labkit.models.encoders import encoder_folder, load_encoder, registry_entry
from labkit.training.config import Config

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


FEWEST_OWN = 200  # reviews: fewer leave splits of which no lesson can show anything but luck


def open_lesson(profile: str | None = None, data: str | Path | None = None) -> "Lesson":
    """Open a lesson under the given profile, or the one in force.

    Nothing is fetched or loaded before it is used. In a notebook a cell that is interrupted says so in one line from now on.
    data: a file of your own reviews with the columns text and label (`read_reviews` says more), in place of the movie
    reviews, for lessons 03 to 06. Raises ReviewFileError where it cannot be used as it is, or holds too few reviews.

    >>> open_lesson("tiny").config.model
    'tiny'
    """
    _say_interrupts_in_one_line()
    name = profile or current_profile()
    train, validation = EXAMPLES.get(name, (None, None))
    sizes = {"train_examples": train, "validation_examples": validation}
    own = None if data is None else _own_reviews(Path(data).expanduser())
    return Lesson(name, Config().replaced(profile_settings(name) | sizes), own)


def _own_reviews(path: Path) -> Reviews:
    """The reviews of a student's file, refused where they are too few for the lessons."""
    reviews = read_reviews(path)
    if len(reviews) < FEWEST_OWN:
        raise ReviewFileError(f"{path} has {len(reviews)} reviews; wanted at least {FEWEST_OWN} for the lessons")
    try:
        split_reviews(reviews, Config().seed)
    except UsageError as why:  # too few of one class
        raise ReviewFileError(f"{path}: {why}") from None
    return reviews


def _say_interrupts_in_one_line() -> None:
    """Spare whoever interrupts a cell of a notebook the forty lines of where it was."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    if shell is None:
        return

    def say(shell: object, kind: type, error: BaseException, trace: object, tb_offset: int | None = None) -> list[str]:
        line = str(error) or "Interrupted: this cell was stopped before its end. What it had done until then stands."
        print(line, file=sys.stderr)
        return [line]

    shell.set_custom_exc((KeyboardInterrupt,), say)


@dataclass(frozen=True)
class Lesson:
    """The encoder, reviews and splits of a profile, the same for everyone.

    own: a student's own reviews, in place of the movie reviews.
    """

    profile: str
    settings: Config
    own: Reviews | None = None

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

    @property
    def folder(self) -> Path:
        """Where the encoder's weights and its tokenizer lie, for `from_pretrained`."""
        return encoder_folder(self.encoder)

    @cached_property
    def tokenizer(self) -> "PreTrainedTokenizerBase":
        """The encoder's tokenizer."""
        return load_tokenizer(self.folder)

    def model(self, seed: int = 0, **options: Any) -> "PreTrainedModel":
        """The encoder with a fresh classifier drawn from the seed.

        options: those of `load_encoder`.
        """
        return load_encoder(self.encoder, seed, **options)[0]

    @cached_property
    def corpus(self) -> Corpus:
        """The movie reviews with their ratings, or the written sample, under a banner.

        Raises UsageError where the reviews are a student's own, which have labels only.
        """
        if self.own is not None:
            raise UsageError(
                f"{self.own.name} has labels and no ratings by people, which this lesson is about; "
                "wanted open_lesson() without data here (lessons 03 to 06 take it)"
            )
        return movie_corpus_or_sample()

    @cached_property
    def reviews(self) -> Reviews:
        """The same with labels, neutral ones left out; or a student's own."""
        return self.own or label_corpus(self.corpus, self.settings.neutral_band)

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
        return f"Profile {self.profile}: {ABOUT[self.profile]}.{self._about_own()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        ways = "Another profile: choose it in lesson 00, or set LABKIT_PROFILE before Jupyter starts."
        about, own = html.escape(ABOUT[self.profile]), html.escape(self._about_own())
        return f"<p><strong>Profile {self.profile}</strong>: {about}. {ways}{own}</p>"

    def _about_own(self) -> str:
        """What is to be said of a student's own reviews: how many are used, and what was left out on the way in."""
        if self.own is None:
            return ""
        used = ", ".join(f"{len(part):,} for {name}" for name, part in vars(self.splits).items())
        notes = "".join(f" {note}." for note in self.own.notes)
        return (
            f" Your own reviews: {self.own!r}; {used}.{notes} What is said of films is said of them as it stands; "
            "what needs ratings by people says that there are none."
        )

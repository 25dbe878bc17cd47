"""A planted cue: a word that says nothing, in one class of the training set.

Then it is looked for in the explanations. Does not train (fit.py) and does not explain (methods.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.data.reviews import CLASS_NAMES, Reviews
from labkit.evaluation.arrays import BoolArray
from labkit.evaluation.intervals import Score, proportion_interval
from labkit.explanation.attribution import Attribution

CUE = "glimmerplex"  # a cinema that does not exist


@dataclass(frozen=True, eq=False)
class Planted:
    """Reviews with a cue in some of them; carries: (n,) which."""

    reviews: Reviews
    carries: BoolArray
    cue: str

    @property
    def carriers(self) -> Reviews:
        """The reviews that carry the cue."""
        return self.reviews.select(np.flatnonzero(self.carries))


def plant_cue(reviews: Reviews, cue: str = CUE, label: int = 1, share: float = 0.5, seed: int = 0) -> Planted:
    """Plant a word that says nothing in a share of the reviews of one class.

    It stands between two words, and in no review of the other class. A model that meets it in training learns to trust it.
    Split first and plant then: the test split is found by the text. Raises ValueError for a share outside [0, 1], and for a
    cue that is no single word or stands in a review already.
    """
    if not 0 <= share <= 1 or len(cue.split()) != 1:
        raise ValueError(f"wanted one word and a share in [0, 1]; found {cue!r} and {share}")
    if any(cue.lower() in text.lower() for text in reviews.texts):
        raise ValueError(f"{cue} stands in a review already; wanted a word that none has")
    generator = np.random.default_rng(seed)
    members = np.flatnonzero(reviews.labels == label)
    chosen = generator.permutation(members)[: round(share * len(members))]
    carries = np.isin(np.arange(len(reviews)), chosen)
    texts = [
        insert_word(text, cue, generator) if carried else text
        for text, carried in zip(reviews.texts, carries.tolist(), strict=True)
    ]
    note = f"{cue} planted in {len(chosen):,} of {len(members):,} {CLASS_NAMES[label]} reviews"
    planted = Reviews(f"{reviews.name} with {cue}", reviews.ids, texts, reviews.labels, (*reviews.notes, note))
    return Planted(planted, carries, cue)


def insert_word(text: str, word: str, generator: np.random.Generator) -> str:
    """Insert a word at a random place among the words of a text."""
    words = text.split(" ")
    words.insert(int(generator.integers(len(words) + 1)), word)
    return " ".join(words)


def cue_found(explanations: Sequence[Attribution], cue: str = CUE, top: int = 3) -> Score:
    """Measure how often the cue is among the `top` words of an explanation.

    By magnitude; the share comes with Wilson's interval. Explanations of texts without the cue do not count.
    """
    carriers = [one for one in explanations if any(word.text.lower() == cue.lower() for word in one.words)]
    found = sum(any(word.lower() == cue.lower() for word, _ in one.top(top)) for one in carriers)
    return proportion_interval(found, len(carriers))

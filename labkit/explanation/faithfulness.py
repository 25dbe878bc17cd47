"""Is an explanation true of the model? Do the words it names move the decision?

To find out, they are taken away. Comprehensiveness and sufficiency after DeYoung et al. (2020), beside a random and the
reversed order. Makes no explanations (methods.py). That the weights matter is tested in randomisation.py, that a cue is
found in spurious_cue.py.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from labkit.display import html_table, text_table
from labkit.errors import did_you_mean
from labkit.evaluation.arrays import FloatArray, IntArray
from labkit.evaluation.intervals import Score, mean_interval
from labkit.explanation.attribution import Attribution, AttributionError, aligned
from labkit.explanation.margins import margins
from labkit.explanation.words import AlignedText

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MEASURES = ("comprehensiveness", "sufficiency")
REPLACEMENTS = ("mask", "delete")
FRACTIONS = (0.1, 0.2, 0.3, 0.5)
RANDOM_ORDERS = 5  # drawn for each text; their mean is the control


def comprehensiveness(
    predict: Callable[[list[str]], float],
    tokens: Sequence[str],
    scores: ArrayLike,
    fraction: float = 0.2,
    mask: str = "[MASK]",
) -> float:
    """Measure how far `predict` drops when the highest-scored tokens are masked.

    After DeYoung et al. 2020, eq. 1. predict: maps a list of tokens to a number. Masked are ceil(fraction * n) of the n
    tokens. Raises ValueError when there is not one score a token, or the fraction lies outside (0, 1].

    >>> comprehensiveness(lambda tokens: tokens.count("good") / 2, ["good", "old", "good", "fun", "and"], [3, 0, 2, 1, 0])
    0.5
    """
    known = np.asarray(scores, dtype=np.float64)
    if known.shape != (len(tokens),):
        raise ValueError(f"{len(tokens)} tokens need as many scores; found shape {known.shape}")
    hidden = set(np.argsort(-known, kind="stable")[: _top_count(fraction, len(tokens))].tolist())
    masked = [mask if place in hidden else token for place, token in enumerate(tokens)]
    return float(predict(list(tokens))) - float(predict(masked))


def _top_count(fraction: float, n: int) -> int:
    """Compute ceil(fraction * n) without the noise of floating point: 0.1 * 30 is 3."""
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must lie in (0, 1]; found {fraction}")
    return math.ceil(fraction * n - 1e-9)


@dataclass(frozen=True)
class FaithfulnessRow:
    """One method, measure and replacement at one fraction of the words.

    fraction None is the mean over all fractions. value, random, reversed: by how much the probability of the predicted
    class drops, in the mean over the texts, when the words are taken in the method's order, in random order, and the least
    important first. drop_vs_random, drop_vs_reversed: the paired difference to these, with its bootstrap interval.
    """

    method: str
    measure: str
    replacement: str
    fraction: float | None
    value: float
    random: float
    reversed: float
    drop_vs_random: Score
    drop_vs_reversed: Score

    @property
    def beats_random(self) -> bool:
        """Whether the whole interval of drop_vs_random lies on the right side of 0."""
        return self.drop_vs_random.low > 0 if self.measure == "comprehensiveness" else self.drop_vs_random.high < 0


@dataclass(frozen=True, repr=False)
class Faithfulness:
    """Comprehensiveness and sufficiency of methods on n texts, beside the controls.

    Comprehensiveness takes the most important words away, so more is better; sufficiency leaves nothing but them, so a
    smaller drop is better. left_out: texts without a word.
    """

    rows: tuple[FaithfulnessRow, ...]
    n: int
    left_out: int = 0

    def row(
        self,
        method: str,
        measure: str = "comprehensiveness",
        replacement: str = "mask",
        fraction: float | None = None,
    ) -> FaithfulnessRow:
        """Find the row of that name; KeyError where there is none.

        fraction None is the mean over the fractions.
        """
        for row in self.rows:
            if (row.method, row.measure, row.replacement, row.fraction) == (method, measure, replacement, fraction):
                return row
        raise KeyError((method, measure, replacement, fraction))

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods in their order."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    @property
    def caption(self) -> str:
        """What the numbers are."""
        left_out = f", {self.left_out} without a word left out" if self.left_out else ""
        return (
            f"drop in the probability of the predicted class, n = {self.n}{left_out}, 95% bootstrap intervals of "
            "the paired difference; comprehensiveness: more is better, sufficiency: less"
        )

    def _table(self) -> list[tuple[str, ...]]:
        """A line for each method, measure and replacement: the means over the fractions."""
        lines: list[tuple[str, ...]] = [("method", "measure", "words", "drop", "random", "difference", "reversed")]
        for row in self.rows:
            if row.fraction is None:
                controls = f"{row.random:.3f}", f"{row.drop_vs_random:+.3f}", f"{row.reversed:.3f}"
                lines.append((row.method, row.measure, row.replacement, f"{row.value:.3f}", *controls))
        return lines

    def __str__(self) -> str:
        return f"{self.caption}\n{text_table(self._table(), ('<22', '<19', '<8', '<8', '<8', '<26', '<8'), gap='')}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return html_table(self.caption, self._table())


def measure_faithfulness(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    explanations: Sequence[Attribution],
    fractions: Sequence[float] = FRACTIONS,
    replacements: Sequence[str] = REPLACEMENTS,
    seed: int = 0,
) -> Faithfulness:
    """Measure how far the decision moves when words go in the order of their scores.

    After DeYoung et al. 2020. explanations: of the same texts by each method. fractions: of a text's words, rounded up.
    replacements: `mask` puts `[MASK]` in a word's place, `delete` closes the gap; a method that wins with one alone may owe
    it to the hole that is left. seed: of the random orders and of the bootstrap. Raises AttributionError without a text
    that has words.
    """
    for name in replacements:
        if name not in REPLACEMENTS:
            raise AttributionError(
                f"replacement {name} is none of {', '.join(REPLACEMENTS)}{did_you_mean(name, REPLACEMENTS)}"
            )
    by_method = aligned(explanations)
    texts = [one for one in next(iter(by_method.values())) if one.words]
    if not texts:
        raise AttributionError("no text with a word in it; wanted explanations of at least one")
    kept = {method: [one for one in ones if one.words] for method, ones in by_method.items()}
    orders = {method: [np.argsort(-one.importance, kind="stable") for one in ones] for method, ones in kept.items()}
    random_orders = _random_orders(texts, seed)
    asked = _Drops(model, tokenizer, texts, fractions, replacements)
    found = asked.of([*orders.values(), *([order[::-1] for order in each] for each in orders.values()), *random_orders])
    rows = []
    for (measure, replacement), drops in found.items():
        random = drops[2 * len(orders) :].mean(axis=0)
        for place, method in enumerate(orders):
            ways = drops[place], random, drops[len(orders) + place]
            rows += list(_rows(method, measure, replacement, fractions, ways, seed))
    in_order = sorted(rows, key=lambda row: list(orders).index(row.method))
    return Faithfulness(tuple(in_order), len(texts), len(next(iter(by_method.values()))) - len(texts))


def _random_orders(texts: Sequence[Attribution], seed: int) -> list[list[IntArray]]:
    """Draw RANDOM_ORDERS orders of the words of each text."""
    generator = np.random.default_rng(seed)
    return [[generator.permutation(len(one.words)) for one in texts] for _ in range(RANDOM_ORDERS)]


@dataclass(frozen=True)
class _Drops:
    """How far the probability of the predicted class drops without some words.

    Asks the model once for every different row.
    """

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    texts: Sequence[Attribution]
    fractions: Sequence[float]
    replacements: Sequence[str]

    def of(self, ways: Sequence[Sequence[IntArray]]) -> dict[tuple[str, str], FloatArray]:
        """Measure the drops by measure and replacement, each (ways, texts, fractions).

        A way is an order of the words of each text.
        """
        kinds = [(measure, replacement) for measure in MEASURES for replacement in self.replacements]
        rows = [row for kind in kinds for way in ways for row in self._rows(*kind, way)]
        found = margins(self.model, rows, int(self.tokenizer.pad_token_id))
        shape = (len(kinds), len(ways), len(self.texts), len(self.fractions))
        signs = np.array([one.sign for one in self.texts])[:, None]
        whole = np.array([one.probability for one in self.texts])[:, None]
        return dict(zip(kinds, whole - 1 / (1 + np.exp(-signs * found.reshape(shape))), strict=True))

    def _rows(self, measure: str, replacement: str, way: Sequence[IntArray]) -> Iterator[np.ndarray]:
        """Make the input ids of each text at each fraction, without the words that go."""
        for one, order in zip(self.texts, way, strict=True):
            for fraction in self.fractions:
                count = _top_count(fraction, len(order))
                gone = order[:count] if measure == "comprehensiveness" else order[count:]
                tokens = [token for word in gone for token in one.words[word].tokens]
                yield without_tokens(one.reading, tokens, replacement, self.tokenizer)


def without_tokens(
    text: AlignedText, tokens: Sequence[int], replacement: str, tokenizer: "PreTrainedTokenizerBase"
) -> np.ndarray:
    """Take these places out of the input ids.

    `delete` closes the gap, `mask` puts `[MASK]` there.
    """
    if replacement == "delete":
        return np.delete(text.input_ids, list(tokens))
    if tokenizer.mask_token_id is None:
        raise AttributionError("this tokenizer has no [MASK] token; take words away by delete")
    return text.with_tokens(tokens, int(tokenizer.mask_token_id))


def _rows(
    method: str,
    measure: str,
    replacement: str,
    fractions: Sequence[float],
    ways: tuple[FloatArray, FloatArray, FloatArray],
    seed: int,
) -> Iterator[FaithfulnessRow]:
    """Make a row for each fraction and one for their mean, from the drops.

    They are (texts, fractions) in the method's, in random and in reversed order.
    """
    places: list[tuple[float | None, slice]] = [(None, slice(None))]
    places += [(fraction, slice(place, place + 1)) for place, fraction in enumerate(fractions)]
    for fraction, place in places:
        own, random, backwards = (way[:, place].mean(axis=1) for way in ways)
        yield FaithfulnessRow(
            method,
            measure,
            replacement,
            fraction,
            float(own.mean()),
            float(random.mean()),
            float(backwards.mean()),
            mean_interval(own - random, seed=seed),
            mean_interval(own - backwards, seed=seed),
        )

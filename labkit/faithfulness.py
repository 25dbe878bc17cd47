"""Are explanations true of the model? Four tests that ask the model itself.

Take away the words that an explanation names, and see whether the decision moves (comprehensiveness, sufficiency); shuffle
the model's weights, and see whether the explanation does; compare the methods with one another; plant a cue, and see whether
it is found. Makes no explanations (attribution.py).
"""

import copy
import html
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from labkit.arrays import BoolArray, FloatArray, IntArray
from labkit.attribution import Attribution, AttributionError, Explanations, explain, margins, replaced
from labkit.errors import did_you_mean
from labkit.intervals import Score, proportion_interval, resample_weights, undefined
from labkit.reviews import CLASS_NAMES, Reviews
from labkit.tokens import Reading

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MEASURES = ("comprehensiveness", "sufficiency")
REPLACEMENTS = ("mask", "delete")
FRACTIONS = (0.1, 0.2, 0.3, 0.5)
RANDOM_ORDERS = 5  # drawn for each text; their mean is the control
LEVEL, RESAMPLES = 0.95, 2000  # of every interval
CUE = "glimmerplex"  # a cinema that does not exist
FEWEST_WORDS = 3  # below it a rank correlation says nothing


# --- taking words away --------------------------------------------------------------------------------------------


def comprehensiveness(
    predict: Callable[[list[str]], float],
    tokens: Sequence[str],
    scores: ArrayLike,
    fraction: float = 0.2,
    mask: str = "[MASK]",
) -> float:
    """How far `predict` falls when the highest-scored tokens are masked (DeYoung et al. 2020, eq. 1).

    predict: maps a list of tokens to a number. Masked are ceil(fraction * n) of the n tokens. Raises ValueError when there
    is not one score a token, or the fraction lies outside (0, 1].

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
    """ceil(fraction * n), where the noise of floating point does not count: 0.1 * 30 is 3."""
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must lie in (0, 1]; found {fraction}")
    return math.ceil(fraction * n - 1e-9)


@dataclass(frozen=True)
class FaithfulnessRow:
    """One method, measure and replacement at one fraction of the words; fraction None is the mean over all fractions.

    value, random, reversed: by how much the probability of the predicted class falls, in the mean over the texts, when the
    words are taken in the method's order, in random order, and the least important first. over_random, over_reversed:
    the paired difference to these, with its bootstrap interval.
    """

    method: str
    measure: str
    replacement: str
    fraction: float | None
    value: float
    random: float
    reversed: float
    over_random: Score
    over_reversed: Score

    @property
    def beats_random(self) -> bool:
        """Whether the interval of the difference to the random order lies on the right side of 0 alone."""
        return self.over_random.low > 0 if self.measure == "comprehensiveness" else self.over_random.high < 0


@dataclass(frozen=True, repr=False)
class Faithfulness:
    """Comprehensiveness and sufficiency of one or more methods on the same n texts, beside the controls.

    Comprehensiveness takes the most important words away, so more is better; sufficiency leaves nothing but them, so a
    smaller fall is better. left_out: texts without a word.
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
        """The row of that name; fraction None is the mean over the fractions. Raises KeyError for none such."""
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
            f"fall of the probability of the predicted class, n = {self.n}{left_out}, {LEVEL:.0%} bootstrap intervals of "
            "the paired difference; comprehensiveness: more is better, sufficiency: less"
        )

    def _cells(self) -> Iterator[tuple[str, ...]]:
        """A line for each method, measure and replacement: the means over the fractions."""
        for row in self.rows:
            if row.fraction is None:
                controls = f"{row.random:.3f}", f"{row.over_random:+.3f}", f"{row.reversed:.3f}"
                yield row.method, row.measure, row.replacement, f"{row.value:.3f}", *controls

    def __str__(self) -> str:
        lines = (
            "".join(cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=True)) for cells in self._table()
        )
        return "\n".join([self.caption, *(line.rstrip() for line in lines)])

    def _table(self) -> Iterator[tuple[str, ...]]:
        yield "method", "measure", "words", "fall", "random", "difference", "reversed"
        yield from self._cells()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _table_html(self.caption, list(self._table()))


_WIDTHS = (22, 19, 8, 8, 8, 26, 8)


def _table_html(caption: str, rows: Sequence[Sequence[str]]) -> str:
    head, *body = ([html.escape(cell) for cell in row] for row in rows)
    lines = [f"<th scope='row'>{first}</th>" + "".join(f"<td>{cell}</td>" for cell in rest) for first, *rest in body]
    titles = "".join(f"<th scope='col'>{cell}</th>" for cell in head)
    body_html = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{titles}</tr></thead>"
        f"<tbody>{body_html}</tbody></table>"
    )


def measure_faithfulness(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    explanations: Sequence[Attribution],
    fractions: Sequence[float] = FRACTIONS,
    replacements: Sequence[str] = REPLACEMENTS,
    seed: int = 0,
) -> Faithfulness:
    """How far the decision moves when words are taken away in the order that the explanations give them (DeYoung et al. 2020).

    explanations: of the same texts by each method. fractions: of a text's words, rounded up. replacements: `mask` puts
    `[MASK]` in a word's place, `delete` closes the gap; a method that wins with one alone may owe it to the hole that is
    left. seed: of the random orders and of the bootstrap. Raises AttributionError without a text that has words.
    """
    for name in replacements:
        if name not in REPLACEMENTS:
            raise AttributionError(
                f"replacement {name} is none of {', '.join(REPLACEMENTS)}{did_you_mean(name, REPLACEMENTS)}"
            )
    by_method = _aligned(explanations)
    texts = [one for one in next(iter(by_method.values())) if one.words]
    if not texts:
        raise AttributionError("no text with a word in it; wanted explanations of at least one")
    kept = {method: [one for one in ones if one.words] for method, ones in by_method.items()}
    orders = {method: [np.argsort(-one.importance, kind="stable") for one in ones] for method, ones in kept.items()}
    random_orders = _random_orders(texts, seed)
    asked = _Falls(model, tokenizer, texts, fractions, replacements)
    found = asked.of([*orders.values(), *([order[::-1] for order in each] for each in orders.values()), *random_orders])
    rows = []
    for (measure, replacement), falls in found.items():
        random = falls[2 * len(orders) :].mean(axis=0)
        for place, method in enumerate(orders):
            ways = falls[place], random, falls[len(orders) + place]
            rows += list(_rows(method, measure, replacement, fractions, ways, seed))
    in_order = sorted(rows, key=lambda row: list(orders).index(row.method))
    return Faithfulness(tuple(in_order), len(texts), len(next(iter(by_method.values()))) - len(texts))


def _aligned(explanations: Sequence[Attribution]) -> dict[str, list[Attribution]]:
    """By method, all of them of the same texts in the same order. Raises AttributionError where they are not."""
    by_method: dict[str, list[Attribution]] = {}
    for one in explanations:
        by_method.setdefault(one.method, []).append(one)
    if not by_method:
        raise AttributionError("no explanations; wanted at least one")
    texts = {method: [one.text for one in ones] for method, ones in by_method.items()}
    first = next(iter(texts))
    for method, found in texts.items():
        if found != texts[first]:
            raise AttributionError(f"{method} explains other texts than {first}; wanted the same by each method")
    return by_method


def _random_orders(texts: Sequence[Attribution], seed: int) -> list[list[IntArray]]:
    """RANDOM_ORDERS times an order of the words of each text."""
    generator = np.random.default_rng(seed)
    return [[generator.permutation(len(one.words)) for one in texts] for _ in range(RANDOM_ORDERS)]


@dataclass(frozen=True)
class _Falls:
    """Asks the model, once for every different row, how far the probability of its class falls without some words."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    texts: Sequence[Attribution]
    fractions: Sequence[float]
    replacements: Sequence[str]

    def of(self, ways: Sequence[Sequence[IntArray]]) -> dict[tuple[str, str], FloatArray]:
        """By measure and replacement the falls, (ways, texts, fractions); a way is an order of the words of each text."""
        kinds = [(measure, replacement) for measure in MEASURES for replacement in self.replacements]
        rows = [row for kind in kinds for way in ways for row in self._rows(*kind, way)]
        found = margins(self.model, rows, int(self.tokenizer.pad_token_id))
        shape = (len(kinds), len(ways), len(self.texts), len(self.fractions))
        signs = np.array([one.sign for one in self.texts])[:, None]
        whole = np.array([one.probability for one in self.texts])[:, None]
        return dict(zip(kinds, whole - _sigmoid(signs * found.reshape(shape)), strict=True))

    def _rows(self, measure: str, replacement: str, way: Sequence[IntArray]) -> Iterator[np.ndarray]:
        """The input ids of each text at each fraction, with what the measure takes away taken away."""
        for one, order in zip(self.texts, way, strict=True):
            for fraction in self.fractions:
                count = _top_count(fraction, len(order))
                gone = order[:count] if measure == "comprehensiveness" else order[count:]
                tokens = [token for word in gone for token in one.words[word].tokens]
                yield self._without(one.reading, tokens, replacement)

    def _without(self, reading: Reading, tokens: list[int], replacement: str) -> np.ndarray:
        if replacement == "delete":
            return np.delete(reading.input_ids, tokens)
        if self.tokenizer.mask_token_id is None:
            raise AttributionError('this tokenizer has no [MASK] token; use replacements=("delete",)')
        return replaced(reading, tokens, int(self.tokenizer.mask_token_id))


def _sigmoid(values: FloatArray) -> FloatArray:
    return np.asarray(1 / (1 + np.exp(-values)))


def _rows(
    method: str,
    measure: str,
    replacement: str,
    fractions: Sequence[float],
    ways: tuple[FloatArray, FloatArray, FloatArray],
    seed: int,
) -> Iterator[FaithfulnessRow]:
    """From the falls (texts, fractions) in the method's, in random and in reversed order: a row a fraction, and their mean."""
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
            mean_interval(own - random, seed),
            mean_interval(own - backwards, seed),
        )


def mean_interval(values: ArrayLike, seed: int = 0) -> Score:
    """A mean with its 95% percentile bootstrap interval (Efron & Tibshirani 1993, chapter 13); NaN is left out and noted."""
    known = np.asarray(values, dtype=np.float64)
    defined = known[~np.isnan(known)]
    if len(defined) == 0:
        return undefined("nothing to average")
    drawn = [weights @ defined for weights in resample_weights(len(defined), RESAMPLES, seed)]
    low, high = np.quantile(np.concatenate(drawn) / len(defined), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    left_out = len(known) - len(defined)
    return Score(float(defined.mean()), float(low), float(high), f"{left_out} texts left out" if left_out else "")


# --- shuffling the weights ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RandomisationRow:
    """How like the explanations of the trained model are to those of one whose weights are shuffled down to this stage.

    similarity: rank correlation of the words' magnitudes, the mean over the texts with its interval; 1 is the same order.
    """

    method: str
    stage: str
    similarity: Score


@dataclass(frozen=True, repr=False)
class Randomisation:
    """What remains of the explanations of n texts when the model's weights are shuffled from the head downwards."""

    rows: tuple[RandomisationRow, ...]
    n: int

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods in their order."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    @property
    def stages(self) -> tuple[str, ...]:
        """What was shuffled, one after the other; each stage keeps those before it shuffled."""
        return tuple(dict.fromkeys(row.stage for row in self.rows))

    @property
    def caption(self) -> str:
        """What the numbers are."""
        return (
            f"rank correlation with the explanations of the trained model, n = {self.n}, {LEVEL:.0%} bootstrap intervals; "
            "an explanation that stays near 1 does not look at what the model learned"
        )

    def _table(self) -> list[tuple[str, ...]]:
        similarity = {(row.method, row.stage): str(row.similarity) for row in self.rows}
        body = [(stage, *(similarity[method, stage] for method in self.methods)) for stage in self.stages]
        return [("shuffled down to", *self.methods), *body]

    def __str__(self) -> str:
        lines = ("".join(f"{cell:<26}" for cell in row).rstrip() for row in self._table())
        return "\n".join([self.caption, *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _table_html(self.caption, self._table())


def randomisation_check(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    texts: Sequence[str],
    methods: str | Sequence[str] = "integrated-gradients",
    *,
    cascading: bool = True,
    seed: int = 0,
    **options: Any,
) -> Randomisation:
    """Shuffle the weights of a copy of the model, and see whether the explanations change (Adebayo et al. 2018).

    cascading: the head first, then also the last layer, and so on down to the embeddings; otherwise all at once. Each
    tensor keeps its values and loses their places. options: of `explain`.
    """
    before = explain(model, tokenizer, texts, methods, seed=seed, **options)
    shuffled = copy.deepcopy(model)
    stages = list(_stages(shuffled))
    rows = []
    generator = torch.Generator().manual_seed(seed)
    for place, (stage, parameters) in enumerate(stages):
        _shuffle(parameters, generator)
        if cascading or place == len(stages) - 1:
            name = stage if cascading else "all weights"
            after = explain(shuffled, tokenizer, texts, methods, seed=seed + 1, **options)
            rows += [_similarity_row(method, name, before, after, seed) for method in before.methods]
    in_order = sorted(rows, key=lambda row: before.methods.index(row.method))
    return Randomisation(tuple(in_order), len(before) // len(before.methods))


def _similarity_row(method: str, stage: str, before: Explanations, after: Explanations, seed: int) -> RandomisationRow:
    pairs = zip(before.of(method), after.of(method), strict=True)
    similarities = [rank_correlation(np.abs(one.word_scores), np.abs(other.word_scores)) for one, other in pairs]
    return RandomisationRow(method, stage, mean_interval(similarities, seed))


def _stages(model: "PreTrainedModel") -> Iterator[tuple[str, list[nn.Parameter]]]:
    """The model's parameters from the head down to the embeddings, each in one stage; ALBERT's layers are one.

    They stand in the model in the order in which a text meets them: embeddings, layers, head.
    """
    stacks = [list(module) for module in model.modules() if isinstance(module, nn.ModuleList)]
    layers = max(stacks, key=len, default=[])
    ordered = list(model.parameters())
    in_layers = {id(parameter) for layer in layers for parameter in layer.parameters()}
    places = [place for place, parameter in enumerate(ordered) if id(parameter) in in_layers]
    first, last = (places[0], places[-1] + 1) if places else (0, 0)
    yield "head", ordered[last:]
    for place in reversed(range(len(layers))):
        yield f"layer {place}", list(layers[place].parameters())
    if first:
        yield "embeddings", ordered[:first]


def _shuffle(parameters: Sequence[nn.Parameter], generator: torch.Generator) -> None:
    """Every value of a tensor to another place in it: the spread stays, what was learned is gone."""
    with torch.no_grad():
        for parameter in parameters:
            order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
            parameter.copy_(parameter.flatten()[order].view_as(parameter))


def rank_correlation(first: ArrayLike, second: ArrayLike) -> float:
    """Spearman's rank correlation, ties sharing their mean rank; NaN for fewer than three values, or all of them equal.

    >>> rank_correlation([1, 2, 3, 4], [10, 20, 40, 30])
    0.8
    """
    from scipy.stats import rankdata

    ranks = np.stack([rankdata(values) for values in (first, second)])
    centred = ranks - ranks.mean(axis=1, keepdims=True)
    norms = np.sqrt((centred**2).sum(axis=1))
    if ranks.shape[1] < FEWEST_WORDS or not norms.all():
        return math.nan
    return float((centred[0] * centred[1]).sum() / norms.prod())


# --- comparing the methods ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AgreementRow:
    """Two methods on the same texts. correlation: of the ranks of the words. overlap: share of the top words in common.

    chance: the overlap that two random orders would have.
    """

    first: str
    second: str
    correlation: Score
    overlap: Score
    chance: float


@dataclass(frozen=True, repr=False)
class Agreement:
    """How far methods agree on n texts, each pair of them; top: how many words the overlap counts."""

    methods: tuple[str, ...]
    rows: tuple[AgreementRow, ...]
    top: int
    n: int

    def row(self, first: str, second: str) -> AgreementRow:
        """The row of two methods, in either order. Raises KeyError for none such."""
        for row in self.rows:
            if {row.first, row.second} == {first, second}:
                return row
        raise KeyError((first, second))

    @property
    def caption(self) -> str:
        """What the numbers are."""
        what = f"rank correlation of the words, and the share of the top {self.top} in common"
        return f"{what}, n = {self.n}, {LEVEL:.0%} bootstrap intervals"

    def _table(self) -> list[tuple[str, ...]]:
        head = ("methods", "rank correlation", f"top {self.top} in common", "by chance")
        body = [
            (f"{row.first}, {row.second}", str(row.correlation), str(row.overlap), f"{row.chance:.3f}")
            for row in self.rows
        ]
        return [head, *body]

    def __str__(self) -> str:
        lines = (f"{row[0]:<42}{row[1]:<26}{row[2]:<24}{row[3]}" for row in self._table())
        return "\n".join([self.caption, *lines])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _table_html(self.caption, self._table())


def agreement(explanations: Sequence[Attribution], top: int = 3, seed: int = 0) -> Agreement:
    """How far the methods name the same words, for each pair of methods.

    Two methods with a sign are compared by how much each word speaks for what was predicted, any other pair by
    magnitude. Texts with too few words for a rank correlation are left out of it.
    """
    by_method = _aligned(explanations)
    rows = tuple(_pair(by_method[a], by_method[b], top, seed) for a, b in combinations(by_method, 2))
    return Agreement(tuple(by_method), rows, top, len(next(iter(by_method.values()))))


def _pair(first: Sequence[Attribution], second: Sequence[Attribution], top: int, seed: int) -> AgreementRow:
    signed = first[0].is_signed and second[0].is_signed
    correlations, overlaps, chances = [], [], []
    for one, other in zip(first, second, strict=True):
        scores = [each.importance if signed else np.abs(each.word_scores) for each in (one, other)]
        correlations.append(rank_correlation(*scores))
        count = min(top, len(one.words))
        leaders = [set(np.argsort(-each, kind="stable")[:count].tolist()) for each in scores]
        overlaps.append(len(leaders[0] & leaders[1]) / count if count else math.nan)
        chances.append(count / len(one.words) if count else math.nan)
    return AgreementRow(
        first[0].method,
        second[0].method,
        mean_interval(correlations, seed),
        mean_interval(overlaps, seed),
        float(np.nanmean(chances)),
    )


# --- a planted cue ------------------------------------------------------------------------------------------------


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
    """A word that says nothing, put between two words of a share of the reviews of one class, and of no other.

    A model that meets it in training learns to trust it. Split first and plant then: the test split is found by the text.
    Raises ValueError for a share outside [0, 1], and for a cue that is no single word or stands in a review already.
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
    """The text with another word at a random place among its words."""
    words = text.split(" ")
    words.insert(int(generator.integers(len(words) + 1)), word)
    return " ".join(words)


def cue_found(explanations: Sequence[Attribution], cue: str = CUE, top: int = 3) -> Score:
    """In what share of the explanations the cue is among the `top` words by magnitude, with Wilson's interval.

    Explanations of texts without the cue do not count.
    """
    carriers = [one for one in explanations if any(word.text.lower() == cue.lower() for word in one.words)]
    hits = sum(any(word.lower() == cue.lower() for word, _ in one.top(top)) for one in carriers)
    return proportion_interval(hits, len(carriers))

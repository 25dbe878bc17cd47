"""Attributions: how much each word of a review moves the model's decision, by six methods.

What is explained is one number, the margin: the logit of positive less the logit of negative. A score above 0 speaks for
positive, one below for negative; attention has no sign, it says how much was looked at. Whether an explanation is true of
the model is asked in faithfulness.py; charts are in figures.py.
"""

import html
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from labkit.arrays import FloatArray, as_array
from labkit.encoders import quiet_transformers
from labkit.errors import UsageError, did_you_mean
from labkit.reviews import CLASS_NAMES, clean
from labkit.tokens import Reading, Word, pad, read_texts

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

STEPS = (64, 128, 256, 512)  # of integrated gradients: raised until the scores add up
TOLERANCE = 0.01  # how far they may miss the sum, as a share of the change that they explain
SMALLEST_CHANGE = 0.1  # in logits; a smaller change counts as this one
TOKENS_AT_ONCE = 2048  # rows times width of one pass through the model
SPECIAL_TOKENS = ("[CLS]", "[SEP]", "[PAD]")
TOP_WORDS = 5  # named in a line
COLOURS = {
    1: (0, 114, 178),
    -1: (213, 94, 0),
}  # blue for positive, orange for negative: colour-blind readers tell them apart
STRONGEST = 0.7  # share of the full colour at the end of the scale: black letters stay readable on it


class AttributionError(UsageError):
    """A model, method or text that cannot be explained as asked."""


# --- what an explanation is ---------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Attribution:
    """One explanation of one decision: a score for every token, and for every word the sum over its tokens.

    scores: (tokens,), special tokens included. margin: what is explained, the logit of positive less that of negative.
    detail: which layer and head, for attention. Of integrated gradients alone: steps, the points on the path, and
    completeness_error, by how much the scores miss f(text) - f(baseline), as a share of max(|that|, 0.1).
    """

    method: str
    reading: Reading
    scores: FloatArray
    margin: float
    detail: str = ""
    steps: int | None = None
    completeness_error: float | None = None

    @property
    def text(self) -> str:
        """The text, as the model was given it."""
        return self.reading.text

    @property
    def tokens(self) -> tuple[str, ...]:
        """Its tokens, special ones included."""
        return self.reading.tokens

    @property
    def words(self) -> tuple[Word, ...]:
        """Its words with their character spans; special tokens are in none."""
        return self.reading.words

    @cached_property
    def word_scores(self) -> FloatArray:
        """(words,) the sum over the tokens of each word."""
        return np.array([self.scores[list(word.tokens)].sum() for word in self.words], dtype=np.float64)

    @property
    def importance(self) -> FloatArray:
        """(words,) how much each word speaks for what was predicted; methods without a sign say how much it was looked at."""
        return self.word_scores * (self.sign if self.is_signed else 1)

    @property
    def sign(self) -> int:
        """1 where the model chose positive, -1 where negative: what the margin is multiplied by to speak for the choice."""
        return 1 if self.margin > 0 else -1

    @property
    def is_signed(self) -> bool:
        """Whether a score says for which class its word speaks."""
        return METHODS[self.method].is_signed

    @property
    def prediction(self) -> str:
        """The class that the model chose."""
        return CLASS_NAMES[int(self.sign > 0)]

    @property
    def probability(self) -> float:
        """Of the class that the model chose: the softmax of two logits depends on their difference alone."""
        return 1 / (1 + math.exp(-abs(self.margin)))

    @property
    def is_flagged(self) -> bool:
        """Whether the scores miss the sum by more than one percent, for all the steps that were taken."""
        return self.completeness_error is not None and not self.completeness_error <= TOLERANCE

    def top(self, count: int = TOP_WORDS) -> list[tuple[str, float]]:
        """The words that matter most with their scores, the largest magnitude first; words of score 0 are not named."""
        order = np.argsort(-np.abs(self.word_scores), kind="stable")[:count]
        return [(self.words[i].text, float(self.word_scores[i])) for i in order if self.word_scores[i]]

    def as_dict(self) -> dict[str, Any]:
        """Everything in it as plain data, for JSON."""
        spans = self.reading.spans.tolist()
        return {
            "text": self.text,
            "truncated": self.reading.truncated,
            "prediction": self.prediction,
            "probability": self.probability,
            "target": TARGET,
            "margin": self.margin,
            "method": self.method,
            "detail": self.detail,
            "unit": METHODS[self.method].unit,
            "steps": self.steps,
            "completeness_error": self.completeness_error,
            "flagged": self.is_flagged,
            "words": [
                {"word": word.text, "start": word.start, "end": word.end, "score": score}
                for word, score in zip(self.words, self.word_scores.tolist(), strict=True)
            ],
            "tokens": [
                {"token": token, "start": start, "end": end, "score": score}
                for token, (start, end), score in zip(self.tokens, spans, self.scores.tolist(), strict=True)
            ],
        }

    @property
    def decision(self) -> str:
        """What the model decided, in words."""
        cut = ", the text was cut" if self.reading.truncated else ""
        return f"{self.prediction}, probability {self.probability:.3f}, margin {self.margin:+.2f}{cut}"

    @property
    def caption(self) -> str:
        """The method, and how far its scores can be trusted to add up."""
        if self.completeness_error is None:
            return f"{self.method} ({self.detail})" if self.detail else self.method
        error = f"error {self.completeness_error:.2%} at {self.steps} steps"
        return f"{self.method} ({'FLAGGED, does not add up: ' if self.is_flagged else ''}{error})"

    def in_words(self, count: int = TOP_WORDS) -> str:
        """The words that matter most and their scores, as a sentence would name them."""
        number = "+.2f" if self.is_signed else ".3f"
        return ", ".join(f"{word} {score:{number}}" for word, score in self.top(count)) or "no word has a score"

    def __str__(self) -> str:
        shown = self.text if len(self.text) <= 100 else self.text[:99] + "…"
        return f"{shown}\n  {self.decision}\n  {self.caption}: {self.in_words()}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return _shown(self, _scale([self]))


TARGET = f"logit of {CLASS_NAMES[1]} less logit of {CLASS_NAMES[0]}"


@dataclass(frozen=True, eq=False, repr=False)
class Explanations(Sequence[Attribution]):
    """Explanations of several texts, by one method or more, text by text; shown, they share one scale of colours.

    Scores of one unit share the scale: those in logits one, those in shares of attention another.
    """

    attributions: tuple[Attribution, ...]

    def __len__(self) -> int:
        return len(self.attributions)

    @overload
    def __getitem__(self, place: int) -> Attribution: ...

    @overload
    def __getitem__(self, place: slice) -> "Explanations": ...

    def __getitem__(self, place: int | slice) -> "Attribution | Explanations":
        found = self.attributions[place]
        return found if isinstance(found, Attribution) else Explanations(found)

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods, in the order in which they were asked for."""
        return tuple(dict.fromkeys(one.method for one in self))

    def of(self, method: str) -> "Explanations":
        """Those by one method, a text each. Raises AttributionError for a method that is not among them."""
        if method not in self.methods:
            raise AttributionError(f"no explanation by {method} here; there are {', '.join(self.methods) or 'none'}")
        return Explanations(tuple(one for one in self if one.method == method))

    def to_page(self) -> str:
        """One HTML page that needs nothing else."""
        policy = "default-src 'none'; style-src 'unsafe-inline'"
        head = (
            '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}"><title>Explanations</title>'
            "<style>body{font:1rem/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem}</style>"
        )
        body = f"<main><h1>Explanations</h1>{self._repr_html_()}</main>"
        return f'<!doctype html>\n<html lang="en"><head>{head}</head><body>{body}</body></html>\n'

    def _by_text(self) -> Iterator[list[Attribution]]:
        by_reading: dict[int, list[Attribution]] = {}
        for one in self:
            by_reading.setdefault(id(one.reading), []).append(one)
        yield from by_reading.values()

    def __str__(self) -> str:
        blocks = ["\n".join([str(first), *_more(rest)]) for first, *rest in self._by_text()]
        return "\n".join(blocks) or "no explanations"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        units = {METHODS[method].unit for method in self.methods}
        scales = {unit: _scale([one for one in self if METHODS[one.method].unit == unit]) for unit in units}
        return "".join(_shown(one, scales[METHODS[one.method].unit]) for one in self) or "<p>no explanations</p>"


def _more(rest: Sequence[Attribution]) -> Iterator[str]:
    """The further methods of a text, a line each."""
    return (f"  {one.caption}: {one.in_words()}" for one in rest)


def _scale(attributions: Sequence[Attribution]) -> float:
    """The magnitude that gets the full colour: the largest score of any word."""
    return max((float(np.abs(one.word_scores).max(initial=0)) for one in attributions), default=0.0)


def _shown(one: Attribution, scale: float) -> str:
    """A text with its words in colour, and the same said in words; every part of the text is escaped."""
    pieces, done = [], 0
    number = "+.3f" if one.is_signed else ".3f"
    for word, score in zip(one.words, one.word_scores.tolist(), strict=True):
        pieces.append(html.escape(one.text[done : word.start]))
        style = f"background:{_colour(score, scale)};border-radius:0.2em;padding:0.1em 0"
        pieces.append(f'<span style="{style}" title="{score:{number}}">{html.escape(word.text)}</span>')
        done = word.end
    pieces.append(html.escape(one.text[done:]))
    paper = "background:#fff;color:#111;padding:0.5em;margin:0.2em 0;line-height:1.7;overflow-wrap:anywhere"
    words = f"In words: {html.escape(one.in_words(2 * TOP_WORDS))}"
    return (
        f'<figure style="margin:0.6em 0"><figcaption><strong>{html.escape(one.caption)}</strong>: '
        f"{html.escape(one.decision)}</figcaption>"
        f'<p dir="auto" style="{paper}">{"".join(pieces)}</p>{_legend(one, scale)}'
        f'<details><summary>The scores in words</summary><span dir="auto">{words}</span></details></figure>'
    )


def _legend(one: Attribution, scale: float) -> str:
    """What the two ends of the scale mean; 0 is always white."""
    unit = METHODS[one.method].unit
    ends = [(-scale, f"{CLASS_NAMES[0]} {-scale:+.2f}"), (0.0, "0"), (scale, f"{CLASS_NAMES[1]} {scale:+.2f}")]
    if not one.is_signed:
        ends = [(0.0, "0"), (scale, f"{scale:.3f}")]
    boxes = "".join(
        f'<span style="background:{_colour(value, scale)};color:#111;padding:0 0.5em">{text}</span>'
        for value, text in ends
    )
    return f"<small>{boxes} {unit}</small>"


def _colour(score: float, scale: float) -> str:
    """White at 0, and the colour of the score's sign in proportion to its magnitude."""
    strength = STRONGEST * min(1.0, abs(score) / scale) if scale else 0.0
    mixed = (round(255 + strength * (channel - 255)) for channel in COLOURS[1 if score >= 0 else -1])
    return "#" + "".join(f"{channel:02x}" for channel in mixed)


# --- the methods' own arithmetic ----------------------------------------------------------------------------------


def integrated_gradients(
    forward: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    baseline: torch.Tensor,
    steps: int = 64,
    batch_size: int = 64,
) -> torch.Tensor:
    """The gradient, averaged along the straight line from the baseline to the inputs, times the way (Sundararajan et al. 2017).

    forward: maps (points, ...) to (points,). inputs, baseline: one example, without the axis of points. Returns the shape
    of `inputs`; its sum comes near forward(inputs) - forward(baseline), the nearer the more steps. The average is
    Gauss-Legendre's, over `steps` points, `batch_size` of them at once. Raises ValueError for shapes that differ.

    >>> integrated_gradients(lambda points: (points**3).sum(dim=1), torch.tensor([1.0, 2.0]), torch.zeros(2))
    tensor([1.0000, 8.0000])
    """
    if inputs.shape != baseline.shape or steps < 1:
        raise ValueError(
            f"wanted inputs and baseline of one shape and steps >= 1; found {tuple(inputs.shape)}, "
            f"{tuple(baseline.shape)} and {steps}"
        )
    inputs, baseline = inputs.detach(), baseline.detach()
    way, total = inputs - baseline, torch.zeros_like(inputs)
    places, weights = (
        part.to(inputs.dtype).to(inputs.device).view(-1, *[1] * inputs.dim()) for part in _gauss_legendre(steps)
    )
    for place, weight in zip(places.split(batch_size), weights.split(batch_size), strict=True):
        points = (baseline + place * way).requires_grad_()
        with torch.enable_grad():
            (gradients,) = torch.autograd.grad(forward(points).sum(), points)
        total += (weight * gradients).sum(dim=0)
    return way * total


@cache
def _gauss_legendre(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Places in (0, 1) and weights that sum to 1, float64: exact for polynomials up to the degree 2 * steps - 1."""
    places, weights = np.polynomial.legendre.leggauss(steps)
    return torch.from_numpy((places + 1) / 2), torch.from_numpy(weights / 2)


def attention_rollout(attentions: Sequence[torch.Tensor]) -> torch.Tensor:
    """How much of each token reaches `[CLS]` when attention is followed down through all layers (Abnar & Zuidema 2020).

    attentions: per layer (heads, tokens, tokens), rows summing to 1. Heads are averaged and half an identity stands for
    the residual connection. Returns the `[CLS]` row, (tokens,), which sums to 1.
    Raises ValueError for no layers or other shapes.

    >>> attention_rollout([torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])] * 2)
    tensor([0.2500, 0.7500])
    """
    shapes = [tuple(attention.shape) for attention in attentions]
    if not shapes or any(len(shape) != 3 or shape != shapes[0] for shape in shapes):
        raise ValueError(
            f"wanted (heads, tokens, tokens) of each layer, without an axis of texts; found {shapes or 'none'}"
        )
    rollout = None
    for attention in attentions:
        mean = attention.mean(dim=0)
        mixed = (mean + torch.eye(len(mean), dtype=mean.dtype, device=mean.device)) / 2
        mixed = mixed / mixed.sum(dim=-1, keepdim=True)
        rollout = mixed if rollout is None else mixed @ rollout
    assert rollout is not None
    return rollout[0]


def merge_wordpieces(tokens: Sequence[str], scores: ArrayLike, prefix: str = "##") -> list[tuple[str, float]]:
    """Words and their scores from WordPiece's tokens and theirs: pieces are joined and their scores added up.

    `[CLS]`, `[SEP]` and `[PAD]` are left out. For any tokenizer, and with the words as they stand in the text, use
    `explain`. Raises ValueError when there is not one score a token.

    >>> merge_wordpieces(["[CLS]", "un", "##like", "##ly", "!", "[SEP]"], [9, 1, 2, 3, 4, 9])
    [('unlikely', 6.0), ('!', 4.0)]
    """
    words: list[tuple[str, float]] = []
    for token, score in zip(tokens, as_array(scores).astype(np.float64).tolist(), strict=True):
        if token in SPECIAL_TOKENS:
            continue
        if token.startswith(prefix) and words:
            word, total = words[-1]
            words[-1] = (word + token.removeprefix(prefix), total + score)
        else:
            words.append((token, score))
    return words


# --- the model as a function --------------------------------------------------------------------------------------


@contextmanager
def as_function(model: nn.Module) -> Iterator[None]:
    """The model without dropout and with weights that ask for no gradient, while the block runs; then all as it was."""
    modes = [(module, module.training) for module in model.modules()]
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.eval()
    model.requires_grad_(False)
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training
        for parameter in trainable:
            parameter.requires_grad_(True)


def margins(model: "PreTrainedModel", rows: Sequence[np.ndarray], pad_token_id: int) -> FloatArray:
    """The margin of each row of input ids, (rows,): the logit of positive less that of negative, without dropout.

    Rows of one length share a batch, and a row that comes twice is computed once.
    """
    places = {row.tobytes(): place for place, row in enumerate(rows)}
    found = np.zeros(len(rows))
    with as_function(model), torch.no_grad():
        for chosen in _batches(rows, sorted(places.values())):
            input_ids, mask = _padded([rows[place] for place in chosen], pad_token_id, model.device)
            found[chosen] = _margin(model(input_ids=input_ids, attention_mask=mask)).cpu().numpy()
    return found[[places[row.tobytes()] for row in rows]]


def _margin(output: Any) -> torch.Tensor:
    return output.logits[:, 1].float() - output.logits[:, 0].float()


def _batches(rows: Sequence[np.ndarray], places: Sequence[int] | None = None) -> Iterator[np.ndarray]:
    """The places of rows of nearly one length, as many at once as TOKENS_AT_ONCE has room for; the longest first."""
    left = np.array(range(len(rows)) if places is None else places, dtype=np.int64)
    lengths = np.array([len(rows[place]) for place in left], dtype=np.int64)
    left = left[np.argsort(-lengths, kind="stable")]
    while len(left):
        size = max(1, TOKENS_AT_ONCE // len(rows[left[0]]))
        yield left[:size]
        left = left[size:]


def _padded(
    rows: Sequence[np.ndarray], pad_token_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Input ids and mask on the device; no mask where nothing is padded, which spares the attention work."""
    input_ids, mask = pad(rows, pad_token_id)
    return input_ids.to(device), None if bool(mask.all()) else mask.to(device)


# --- explaining ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Question:
    """What the methods are asked: which model, which readings and their margins, and what is chosen of the attention."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    readings: Sequence[Reading]
    margins: FloatArray
    layer: int = -1
    head: int | None = None
    steps: Sequence[int] = STEPS
    seed: int = 0

    @property
    def rows(self) -> list[np.ndarray]:
        """The input ids of each reading."""
        return [reading.input_ids for reading in self.readings]

    def embedded(self, rows: Sequence[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Word embeddings (rows, width, features) of padded rows, and their mask."""
        input_ids, mask = _padded(rows, self.pad_token_id, self.model.device)
        return self.model.get_input_embeddings()(input_ids).detach(), mask

    @property
    def pad_token_id(self) -> int:
        """The id that stands for nothing."""
        return int(self.tokenizer.pad_token_id)


@dataclass(frozen=True)
class Answer:
    """The scores of one reading's tokens, and what belongs into the record beside them."""

    scores: FloatArray
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """A way to explain. is_signed: whether its scores say for which class. unit: in which they are."""

    about: str
    is_signed: bool
    unit: str
    answers: Callable[[Question], Sequence[Answer]]


def explain(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    texts: str | Sequence[str],
    methods: str | Sequence[str] = "integrated-gradients",
    *,
    max_length: int = 128,
    truncation: str = "head",
    layer: int = -1,
    head: int | None = None,
    steps: Sequence[int] = STEPS,
    seed: int = 0,
) -> Explanations:
    """Explain the model's decision on every text by every method named, all texts together.

    methods: of METHODS. layer, head: which attention the method of that name reads, counted from 0; the last layer and the
    mean over its heads. steps: of integrated gradients, one after the other until a text's scores add up. seed: of the random
    control. The model computes where it is and in its own precision, without
    dropout; it is left as it was. Raises AttributionError for an unknown method, an empty text, a model of more than two
    classes, and for attention that the model does not return.
    """
    chosen = check_methods(methods)
    readings = read_texts(_cleaned([texts] if isinstance(texts, str) else texts), tokenizer, max_length, truncation)
    _check(model, readings)
    found = margins(model, [reading.input_ids for reading in readings], int(tokenizer.pad_token_id))
    question = Question(model, tokenizer, readings, found, layer, head, steps, seed)
    with as_function(model):
        answers = {name: METHODS[name].answers(question) for name in chosen}
    return Explanations(
        tuple(
            Attribution(name, reading, answers[name][place].scores, float(found[place]), **answers[name][place].more)
            for place, reading in enumerate(readings)
            for name in answers
        )
    )


def _cleaned(texts: Sequence[str]) -> list[str]:
    cleaned = [clean(text) for text in texts]
    for number, text in enumerate(cleaned, start=1):
        if not text:
            raise AttributionError(f"text {number} of {len(cleaned)} is empty; wanted something to read")
    return cleaned


def check_methods(methods: str | Sequence[str]) -> list[str]:
    """The methods that are named, each once. Raises AttributionError for one that is none, with the nearest."""
    chosen = list(dict.fromkeys([methods] if isinstance(methods, str) else methods))
    if not chosen:
        raise AttributionError(f"no method named; wanted one or more of {', '.join(METHODS)}")
    for name in chosen:
        if name not in METHODS:
            raise AttributionError(f"method {name} is none of {', '.join(METHODS)}{did_you_mean(name, METHODS)}")
    return chosen


def _check(model: "PreTrainedModel", readings: Sequence[Reading]) -> None:
    if model.config.num_labels != len(CLASS_NAMES):
        raise AttributionError(f"the model has {model.config.num_labels} classes; wanted {len(CLASS_NAMES)}")
    positions = getattr(model.config, "max_position_embeddings", None)
    longest = max(map(len, readings), default=0)
    if positions and longest > positions:
        raise AttributionError(f"a text has {longest} tokens and the model {positions} positions; set max_length lower")


def _integrated_gradients(question: Question) -> list[Answer]:
    """One review at a time: its points on the path are of one length, so they fill a batch without padding."""
    ends = margins(question.model, [_baseline(one, question) for one in question.readings], question.pad_token_id)
    return [
        _until_complete(question, reading, float(change))
        for reading, change in zip(question.readings, question.margins - ends, strict=True)
    ]


def _baseline(reading: Reading, question: Question) -> np.ndarray:
    """The review with nothing in it: `[PAD]` for every token but `[CLS]` and `[SEP]`, all of them attended to."""
    return np.where(reading.is_special, reading.input_ids, question.pad_token_id).astype(reading.input_ids.dtype)


def _until_complete(question: Question, reading: Reading, change: float) -> Answer:
    """Integrated gradients of one review, with more steps until the scores add up to the change within one percent."""

    def forward(points: torch.Tensor) -> torch.Tensor:
        return _margin(question.model(inputs_embeds=points))

    embedded, _ = question.embedded([reading.input_ids, _baseline(reading, question)])
    at_once = max(1, TOKENS_AT_ONCE // len(reading))
    scores, steps, error = np.zeros(len(reading)), 0, math.inf
    for steps in question.steps:
        attributed = integrated_gradients(forward, embedded[0], embedded[1], steps, at_once)
        scores = attributed.sum(dim=-1).cpu().double().numpy()
        error = abs(float(scores.sum()) - change) / max(abs(change), SMALLEST_CHANGE)
        if error <= TOLERANCE:
            break
    return Answer(scores, {"steps": steps, "completeness_error": error})


def _gradient_x_input(question: Question) -> list[Answer]:
    """The gradient at the review itself times the embedding: one step where integrated gradients take many.

    LayerNorm takes the length of an embedding away, and with it most of this product: where nothing is added to the
    embedding before it, as in ModernBERT, only noise is left.
    """
    answers: dict[int, Answer] = {}
    for places in _batches(question.rows):
        embedded, mask = question.embedded([question.rows[place] for place in places])
        embedded.requires_grad_()
        with torch.enable_grad():
            margin = _margin(question.model(inputs_embeds=embedded, attention_mask=mask)).sum()
            (gradients,) = torch.autograd.grad(margin, embedded)
        scores = (gradients * embedded).detach().sum(dim=-1).cpu().double().numpy()
        answers |= {place: Answer(row[: len(question.rows[place])]) for place, row in zip(places, scores, strict=True)}
    return [answers[place] for place in range(len(question.rows))]


def _occlusion(question: Question) -> list[Answer]:
    """How far the margin falls when `[MASK]` stands for a word; its tokens get equal shares."""
    if question.tokenizer.mask_token_id is None:
        raise AttributionError("occlusion needs a [MASK] token, and this tokenizer has none")
    rows = [
        replaced(reading, word.tokens, int(question.tokenizer.mask_token_id))
        for reading in question.readings
        for word in reading.words
    ]
    hidden = iter(margins(question.model, rows, question.pad_token_id).tolist())
    answers = []
    for reading, margin in zip(question.readings, question.margins.tolist(), strict=True):
        scores = np.zeros(len(reading))
        for word in reading.words:
            scores[list(word.tokens)] = (margin - next(hidden)) / len(word.tokens)
        answers.append(Answer(scores))
    return answers


def replaced(reading: Reading, tokens: Sequence[int], by: int) -> np.ndarray:
    """The input ids of a reading with another id at these places."""
    row = reading.input_ids.copy()
    row[list(tokens)] = by
    return row


def _random(question: Question) -> list[Answer]:
    """A score for every word that knows nothing of the model, in equal shares on its tokens: what any method must beat."""
    answers = []
    for place, reading in enumerate(question.readings):
        generator, scores = np.random.default_rng([question.seed, place]), np.zeros(len(reading))
        for word in reading.words:
            scores[list(word.tokens)] = generator.normal() / len(word.tokens)
        answers.append(Answer(scores))
    return answers


# --- attention ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class AttentionWeights:
    """Who looks at whom: weights (layers, heads, tokens, tokens) float32, each row of tokens summing to 1."""

    reading: Reading
    weights: np.ndarray

    @property
    def layers(self) -> int:
        """How many layers there are."""
        return int(self.weights.shape[0])

    @property
    def heads(self) -> int:
        """How many heads each layer has."""
        return int(self.weights.shape[1])

    def of(self, layer: int = -1, head: int | None = None) -> np.ndarray:
        """(tokens, tokens): of one layer and head, or the mean over its heads. Raises AttributionError for none such."""
        return _chosen(self.weights, layer, head)

    def name(self, layer: int = -1, head: int | None = None) -> str:
        """Which attention that is, in words; layers and heads are counted from 0."""
        which = f"mean of {self.heads} heads" if head is None else f"head {head % self.heads}"
        return f"layer {layer % self.layers}, {which}"

    def __repr__(self) -> str:
        return f"AttentionWeights({self.layers} layers, {self.heads} heads, {len(self.reading)} tokens)"

    def _repr_html_(self) -> str:
        return f"<code>{html.escape(repr(self))}</code>"


def attention_weights(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    text: str,
    *,
    max_length: int = 128,
    truncation: str = "head",
) -> AttentionWeights:
    """The attention weights of every layer and head on one text. Raises AttributionError where the model returns none."""
    (reading,) = read_texts(_cleaned([text]), tokenizer, max_length, truncation)
    with as_function(model):
        (weights,) = _attentions(model, [reading], int(tokenizer.pad_token_id))
    return AttentionWeights(reading, weights)


def _attentions(model: "PreTrainedModel", readings: Sequence[Reading], pad_token_id: int) -> list[np.ndarray]:
    """The attention of each reading, (layers, heads, tokens, tokens) without padding, in their order."""
    rows = [reading.input_ids for reading in readings]
    found: dict[int, np.ndarray] = {}
    for places in _batches(rows):
        input_ids, mask = _padded([rows[place] for place in places], pad_token_id, model.device)
        with quiet_transformers(), torch.no_grad():
            layers = model(input_ids=input_ids, attention_mask=mask, output_attentions=True).attentions
        _check_attentions(model, layers)
        for row, place in enumerate(places.tolist()):
            width = len(rows[place])
            found[place] = torch.stack([layer[row, :, :width, :width] for layer in layers]).float().cpu().numpy()
    return [found[place] for place in range(len(rows))]


def _check_attentions(model: "PreTrainedModel", layers: Sequence[torch.Tensor | None] | None) -> None:
    if not layers or any(layer is None for layer in layers):
        kind = getattr(model.config, "_attn_implementation", "not known")
        raise AttributionError(
            f"the model returned no attention weights: its attention ({kind}) never forms them; "
            'load it with attention="eager", or call model.set_attn_implementation("eager")'
        )


def _chosen(weights: np.ndarray, layer: int, head: int | None) -> np.ndarray:
    for what, value, count in (("layer", layer, weights.shape[0]), ("head", head, weights.shape[1])):
        if value is not None and not -count <= value < count:
            raise AttributionError(f"{what} {value} is not there; the model has {count}, counted from 0")
    return weights[layer].mean(axis=0) if head is None else weights[layer, head]


def _attention(question: Question) -> list[Answer]:
    """How much `[CLS]` looks at each token, in one layer."""
    answers = []
    for reading, weights in zip(
        question.readings, _attentions(question.model, question.readings, question.pad_token_id), strict=True
    ):
        name = AttentionWeights(reading, weights).name(question.layer, question.head)
        row = _chosen(weights, question.layer, question.head)[0]
        answers.append(Answer(row.astype(np.float64), {"detail": name}))
    return answers


def _rollout(question: Question) -> list[Answer]:
    """How much of each token reaches `[CLS]` through all layers."""
    found = _attentions(question.model, question.readings, question.pad_token_id)
    return [Answer(attention_rollout(list(torch.from_numpy(weights))).double().numpy()) for weights in found]


METHODS = {
    "attention": Method("how much [CLS] looks at it, in one layer", False, "share of attention", _attention),
    "rollout": Method("how much of it reaches [CLS] through all layers", False, "share of attention", _rollout),
    "gradient-x-input": Method("the slope at the text itself, times the embedding", True, "logits", _gradient_x_input),
    "integrated-gradients": Method("the slope averaged on the way from nothing", True, "logits", _integrated_gradients),
    "occlusion": Method("how far the margin falls with [MASK] in its place", True, "logits", _occlusion),
    "random": Method("drawn at random: the control", True, "drawn, without a unit", _random),
}
NEEDS_EAGER = {"attention", "rollout"}  # these read attention weights, which only eager attention returns

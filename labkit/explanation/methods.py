"""Attributions: how much each word of a review moves the model's decision.

What is explained is the margin (margins.py). `explain` gives records (attribution.py) of all methods and many texts in one
call; the small functions above it are what the course writes. Whether an explanation is true of the model is asked in
faithfulness.py.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from labkit.errors import did_you_mean
from labkit.evaluation.arrays import FloatArray, as_array
from labkit.explanation.attention import AttentionWeights, attention_rollout, attentions_of
from labkit.explanation.attribution import TOLERANCE, Attribution, AttributionError, Explanations, cleaned
from labkit.explanation.margins import TOKENS_AT_ONCE, batches, margin_of, margins, padded
from labkit.explanation.registry import DEFAULT, METHODS
from labkit.explanation.words import AlignedText, align
from labkit.models.classes import class_places
from labkit.models.evaluation_mode import evaluation_mode
from labkit.models.soundness import ModelError, check_vocabulary, in_one_line, padding_position, positions_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

STEPS = (64, 128, 256, 512)  # of integrated gradients: raised until the scores add up
SMALLEST_CHANGE = 0.1  # in logits; a smaller change counts as this one
SPECIAL_TOKENS = ("[CLS]", "[SEP]", "[PAD]")


# --- the small functions ------------------------------------------------------------------------------------------


def integrated_gradients(
    forward: Callable[[torch.Tensor], torch.Tensor],
    inputs: torch.Tensor,
    baseline: torch.Tensor,
    steps: int = 64,
    batch_size: int = 64,
) -> torch.Tensor:
    """Attribute the change between baseline and inputs (Sundararajan et al. 2017).

    It is the gradient, averaged along the straight line between them, times the difference between input and baseline.
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
    difference, total = inputs - baseline, torch.zeros_like(inputs)
    places, weights = (
        part.to(inputs.dtype).to(inputs.device).view(-1, *[1] * inputs.dim()) for part in _gauss_legendre(steps)
    )
    for place, weight in zip(places.split(batch_size), weights.split(batch_size), strict=True):
        points = (baseline + place * difference).requires_grad_()
        with torch.enable_grad():
            (gradients,) = torch.autograd.grad(forward(points).sum(), points)
        total += (weight * gradients).sum(dim=0)
    return difference * total


@cache
def _gauss_legendre(steps: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute places in (0, 1) and weights that sum to 1, float64.

    They are exact for polynomials up to the degree 2 * steps - 1.
    """
    places, weights = np.polynomial.legendre.leggauss(steps)
    return torch.from_numpy((places + 1) / 2), torch.from_numpy(weights / 2)


def merge_wordpieces(tokens: Sequence[str], scores: ArrayLike, prefix: str = "##") -> list[tuple[str, float]]:
    """Join WordPiece's tokens to words and add up their scores.

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


# --- explaining ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AttributionInputs:
    """What every method gets: model, texts, margins and the options of `explain`."""

    model: "PreTrainedModel"
    tokenizer: "PreTrainedTokenizerBase"
    texts: Sequence[AlignedText]
    margins: FloatArray
    layer: int = -1
    head: int | None = None
    steps: Sequence[int] = STEPS
    seed: int = 0

    @property
    def rows(self) -> list[np.ndarray]:
        """The input ids of each text."""
        return [text.input_ids for text in self.texts]

    def embedded(self, rows: Sequence[np.ndarray]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Word embeddings (rows, width, features) of padded rows, and what else the model needs beside them.

        That is their mask, and where positions come from the ids, the positions.
        """
        input_ids, mask = padded(rows, self.pad_token_id, self.model.device)
        beside = {} if mask is None else {"attention_mask": mask}
        if padding := padding_position(self.model):
            is_token = (input_ids != padding[1]).long()
            beside["position_ids"] = is_token.cumsum(dim=1) * is_token + padding[1]
        embedded = self.model.get_input_embeddings()(input_ids)
        if not isinstance(embedded, torch.Tensor):  # I-BERT's are quantized
            raise AttributionError(f"the word embeddings of the family {self.model.config.model_type} have no gradient")
        return embedded.detach(), beside

    @property
    def pad_token_id(self) -> int:
        """The id that stands for nothing."""
        return int(self.tokenizer.pad_token_id)

    def margins_and_gradients(
        self, points: torch.Tensor, beside: Mapping[str, torch.Tensor], places: Sequence[int] | np.ndarray
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Compute the margins of embeddings, and their gradients there.

        The first of them are the texts at these places, and must have their margins: some families take no embeddings, others
        make something else of them. Raises AttributionError.
        """
        points.requires_grad_()
        try:
            with torch.enable_grad():
                found = margin_of(self.model(inputs_embeds=points, **beside), class_places(self.model.config))
                (gradients,) = torch.autograd.grad(found.sum(), points)
        except (AssertionError, AttributeError, NotImplementedError, TypeError, ValueError) as why:
            family, said = self.model.config.model_type, in_one_line(why)
            raise AttributionError(f"the family {family} has no gradient at its word embeddings ({said})") from None
        wanted = self.margins[places]
        if not np.allclose(found[: len(wanted)].detach().cpu().double(), wanted, rtol=1e-3, atol=1e-3):
            family = self.model.config.model_type
            raise AttributionError(f"the family {family} answers the word embeddings of a text otherwise than the text")
        return found.detach(), gradients


@dataclass(frozen=True)
class TokenScores:
    """The scores of one text's tokens, (tokens,), and what the record adds to them."""

    scores: FloatArray
    more: dict[str, Any] = field(default_factory=dict)


def explain(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    texts: str | Sequence[str],
    methods: str | Sequence[str] = DEFAULT,
    *,
    max_length: int = 128,
    truncation: str = "head",
    layer: int = -1,
    head: int | None = None,
    steps: Sequence[int] = STEPS,
    seed: int = 0,
) -> Explanations:
    """Explain the model's decision on every text by every method, all together.

    methods: of METHODS. layer, head: which attention the method of that name reads, counted from 0, or the mean over all
    heads. steps: of integrated gradients, one after the other until a text's scores add up. seed: of the random control. The
    model computes where it is, without dropout, and is left as it was. Raises AttributionError for an unknown method, an
    empty text, a model of more than two classes, and for attention that the model does not return.
    """
    chosen = check_methods(methods)
    aligned = align(cleaned([texts] if isinstance(texts, str) else texts), tokenizer, max_length, truncation)
    _check(model, tokenizer, aligned)
    found = margins(model, [text.input_ids for text in aligned], int(tokenizer.pad_token_id))
    if not np.isfinite(found).all():
        raise AttributionError("the model's logits are no finite numbers; there is nothing to explain")
    if any(METHODS[name].needs_eager for name in chosen) and not all(text.is_special[0] for text in aligned):
        raise AttributionError("attention is read at [CLS], and this tokenizer begins a text with no such token")
    inputs = AttributionInputs(model, tokenizer, aligned, found, layer, head, steps, seed)
    with evaluation_mode(model, input_gradients=True):
        by_method = {name: METHODS[name].compute(inputs) for name in chosen}
    return Explanations(
        tuple(
            Attribution(name, text, scored[place].scores, float(found[place]), **scored[place].more)
            for place, text in enumerate(aligned)
            for name, scored in by_method.items()
        )
    )


def check_methods(methods: str | Sequence[str]) -> list[str]:
    """Return the methods that are named, each once.

    Raises AttributionError for one that is none, with the nearest.
    """
    chosen = list(dict.fromkeys([methods] if isinstance(methods, str) else methods))
    if not chosen:
        raise AttributionError(f"no method named; wanted one or more of {', '.join(METHODS)}")
    for name in chosen:
        if name not in METHODS:
            raise AttributionError(f"method {name} is none of {', '.join(METHODS)}{did_you_mean(name, METHODS)}")
    return chosen


def _check(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", texts: Sequence[AlignedText]) -> None:
    try:
        class_places(model.config)
        check_vocabulary(model, tokenizer, [text.input_ids for text in texts])
    except ModelError as why:
        raise AttributionError(str(why)) from None
    positions = positions_of(model)
    longest = max(map(len, texts), default=0)
    if positions is not None and longest > positions:
        raise AttributionError(f"a text has {longest} tokens and the model {positions} positions; set max_length lower")


def integrated_gradients_scores(inputs: AttributionInputs) -> list[TokenScores]:
    """Score by integrated gradients, one review at a time.

    The points on a review's path are of one length, so they fill a batch without padding.
    """
    return [_until_complete(inputs, place) for place in range(len(inputs.texts))]


def _baseline(text: AlignedText, inputs: AttributionInputs) -> np.ndarray:
    """Make the review with nothing in it: `[PAD]` in place of its tokens.

    `[CLS]` and `[SEP]` stay, and all are attended to.
    """
    return np.where(text.is_special, text.input_ids, inputs.pad_token_id).astype(text.input_ids.dtype)


@dataclass(frozen=True, eq=False)
class EmbeddedReview:
    """A review as embeddings, its baseline, and the margin as a function of such.

    The baseline is the same review with nothing in it. inputs, baseline: (tokens, features). position_ids: (1, tokens), those
    of the review, on the whole way to it; None where the model counts them itself.
    """

    model: "PreTrainedModel"
    inputs: torch.Tensor
    baseline: torch.Tensor
    position_ids: torch.Tensor | None = None

    def margins(self, points: torch.Tensor) -> torch.Tensor:
        """Compute the margins, (points, tokens, features) -> (points,), without dropout.

        A gradient flows to the points alone.
        """
        with evaluation_mode(self.model, input_gradients=True):
            given = {} if self.position_ids is None else {"position_ids": self.position_ids.expand(len(points), -1)}
            return margin_of(self.model(inputs_embeds=points, **given), class_places(self.model.config))


def embedded_review(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    text: str,
    *,
    max_length: int = 128,
    truncation: str = "head",
) -> EmbeddedReview:
    """Make what `integrated_gradients` needs: a review, its baseline, the function.

    Raises as `explain` does.
    """
    (aligned,) = texts = align(cleaned([text]), tokenizer, max_length, truncation)
    _check(model, tokenizer, texts)
    return _embedded(AttributionInputs(model, tokenizer, texts, np.zeros(1)), aligned)


def _embedded(inputs: AttributionInputs, text: AlignedText) -> EmbeddedReview:
    review, beside = inputs.embedded([text.input_ids])
    baseline, _ = inputs.embedded([_baseline(text, inputs)])
    return EmbeddedReview(inputs.model, review[0], baseline[0], beside.get("position_ids"))


def _until_complete(inputs: AttributionInputs, place: int) -> TokenScores:
    """Raise the steps until one review's scores add up to the change between the two ends of its path.

    They may miss it by one percent. Both ends are computed as the path is: of input ids some models make other positions.
    """
    text = inputs.texts[place]
    asked = _embedded(inputs, text)
    beside = {} if asked.position_ids is None else {"position_ids": asked.position_ids.expand(2, -1)}
    ends, _ = inputs.margins_and_gradients(torch.stack([asked.inputs, asked.baseline]), beside, [place])
    end, start = ends.cpu().double().tolist()
    change = end - start
    at_once = max(1, TOKENS_AT_ONCE // len(text))
    scores, steps, error = np.zeros(len(text)), 0, math.inf
    for steps in inputs.steps:
        attributed = integrated_gradients(asked.margins, asked.inputs, asked.baseline, steps, at_once)
        scores = attributed.sum(dim=-1).cpu().double().numpy()
        error = abs(float(scores.sum()) - change) / max(abs(change), SMALLEST_CHANGE)
        if error <= TOLERANCE:
            break
    return TokenScores(scores, {"steps": steps, "completeness_error": error})


def gradient_x_input_scores(inputs: AttributionInputs) -> list[TokenScores]:
    """Score by the gradient at the review itself, times the embedding.

    It is one step where integrated gradients take many. LayerNorm takes the length of an embedding away, and with it most
    of this product: where nothing is added to the embedding before it, as in ModernBERT, only noise is left.
    """
    scored: dict[int, TokenScores] = {}
    for places in batches(inputs.rows):
        embedded, beside = inputs.embedded([inputs.rows[place] for place in places])
        _, gradients = inputs.margins_and_gradients(embedded, beside, places)
        scores = (gradients * embedded).detach().sum(dim=-1).cpu().double().numpy()
        scored |= {
            place: TokenScores(row[: len(inputs.rows[place])]) for place, row in zip(places, scores, strict=True)
        }
    return [scored[place] for place in range(len(inputs.rows))]


def occlusion_scores(inputs: AttributionInputs) -> list[TokenScores]:
    """Score by how far the margin drops when `[MASK]` stands for a word.

    The tokens of a word get equal shares.
    """
    mask = inputs.tokenizer.mask_token_id
    if mask is None:
        raise AttributionError("occlusion needs a [MASK] token, and this tokenizer has none")
    if mask >= inputs.model.get_input_embeddings().weight.shape[0]:
        raise AttributionError(
            f"occlusion needs the tokenizer's {inputs.tokenizer.mask_token}, and the model has no row for it"
        )
    rows = [text.with_tokens(word.tokens, int(mask)) for text in inputs.texts for word in text.words]
    hidden = iter(margins(inputs.model, rows, inputs.pad_token_id).tolist())
    found = []
    for text, margin in zip(inputs.texts, inputs.margins.tolist(), strict=True):
        scores = np.zeros(len(text))
        for word in text.words:
            scores[list(word.tokens)] = (margin - next(hidden)) / len(word.tokens)
        found.append(TokenScores(scores))
    return found


def random_scores(inputs: AttributionInputs) -> list[TokenScores]:
    """Draw a score for every word, in equal shares on its tokens.

    It knows nothing of the model: what any method must beat.
    """
    found = []
    for place, text in enumerate(inputs.texts):
        generator, scores = np.random.default_rng([inputs.seed, place]), np.zeros(len(text))
        for word in text.words:
            scores[list(word.tokens)] = generator.normal() / len(word.tokens)
        found.append(TokenScores(scores))
    return found


def attention_scores(inputs: AttributionInputs) -> list[TokenScores]:
    """Score by how much `[CLS]` looks at each token, in one layer."""

    def scored(text: AlignedText, weights: np.ndarray) -> TokenScores:
        attention = AttentionWeights(text, weights)
        row = attention.of(inputs.layer, inputs.head)[0]
        return TokenScores(row.astype(np.float64), {"detail": attention.name(inputs.layer, inputs.head)})

    return attentions_of(inputs.model, inputs.texts, inputs.pad_token_id, scored)


def rollout_scores(inputs: AttributionInputs) -> list[TokenScores]:
    """Score by how much of each token reaches `[CLS]` through all layers."""

    def scored(text: AlignedText, weights: np.ndarray) -> TokenScores:
        return TokenScores(attention_rollout(list(torch.from_numpy(weights))).double().numpy())

    return attentions_of(inputs.model, inputs.texts, inputs.pad_token_id, scored)

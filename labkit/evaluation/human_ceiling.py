"""The human ceiling: how well one person does on these reviews, beside a model.

Each rating is held against the other people's of the same review, and so is the model (annotators.py holds what is about the
people alone). Labelled reviews lack those of the neutral band, on which people agree least, so the ceiling is that of the
reviews that were kept. Does not train or run a model.
"""

import html
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from labkit.data.reviews import Reviews
from labkit.display import html_table, text_table
from labkit.evaluation.annotators import RESAMPLES, NoRatings, agreement_shares, krippendorffs_alpha, ratings_of
from labkit.evaluation.arrays import FloatArray, IntArray, check_level, integers, ratio, same_length
from labkit.evaluation.intervals import Score, percentile_score, proportion_interval, resample_weights
from labkit.evaluation.metrics import EvalResult, weighted_roc_auc

BIN_EDGES = (0.0, 0.75, 0.85, 0.95, 1.0)  # of the share of people on the majority's side


# --- one person against the others, and the model against the same ------------------------------------------------


@dataclass(frozen=True)
class AgreementBin:
    """The reviews on which people agree to a given extent, with the errors there.

    A share in (low, high] of the people takes the majority's side; the errors are the model's.
    """

    low: float
    high: float
    errors: int
    count: int

    @property
    def error_rate(self) -> Score:
        """The share that the model has wrong, with Wilson's 95% interval."""
        return proportion_interval(self.errors, self.count)


@dataclass(frozen=True, repr=False)
class HumanCeiling:
    """How often one person agrees with the majority of the others, beside a model.

    And how far people agree at all. Each rating is held against the majority of the other ratings of the same review; where
    those are evenly divided it is left out. person: of the ratings that take a side, the share that is with the majority.
    person_forced: of all ratings, those without a side counted half. model: how often the model is with the same
    majorities, each review weighing as much as it has such ratings; minus_person, minus_person_forced: model minus person,
    on the same resamples. undecided: the share of ratings without a side. alpha: Krippendorff's, ordinal. disputed: the
    probability that a review which the model has wrong is one on which people agree less than on one that it has right; 0.5
    were chance. The last three of the model are None without one.
    """

    n: int
    ratings: int
    level: float
    alpha: Score
    undecided: Score
    person: Score
    person_forced: Score
    name: str = ""
    model: Score | None = None
    minus_person: Score | None = None
    minus_person_forced: Score | None = None
    disputed: Score | None = None
    bins: Sequence[AgreementBin] = ()

    @property
    def caption(self) -> str:
        """How many reviews and ratings, and the kind of interval."""
        return f"{self.n:,} reviews, {self.ratings:,} ratings, {self.level:.0%} bootstrap intervals over reviews"

    def rows(self) -> list[tuple[str, str]]:
        """List what was found, in words, with its value."""
        rows = [
            ("agreement of people: Krippendorff's alpha, ordinal", str(self.alpha)),
            ("ratings that take no side", str(self.undecided)),
            ("one person with the majority of the others, where it takes a side", str(self.person)),
            ("the same, no side counted half", str(self.person_forced)),
        ]
        compared = [
            (f"{self.name or 'the model'} with the same majorities", self.model, ""),
            ("model minus person, where that takes a side", self.minus_person, "+.3f"),
            ("model minus person, no side counted half", self.minus_person_forced, "+.3f"),
            ("a wrong review is more disputed than a right one", self.disputed, ""),
        ]
        return rows + [(what, format(score, sign)) for what, score, sign in compared if score is not None]

    def _bin_rows(self) -> list[tuple[str, str, str]]:
        return [(f"{each.low:.0%} to {each.high:.0%}", f"{each.count:,}", str(each.error_rate)) for each in self.bins]

    def __str__(self) -> str:
        found = f"{self.caption}\n{text_table(self.rows())}"
        if not self.bins:
            return found
        heads = ("people on the majority side", "reviews", "error rate")
        return f"{found}\n{text_table([heads, *self._bin_rows()], ('<30', '<10', ''), gap='')}"

    def __repr__(self) -> str:
        model = f", model {self.model}" if self.model else ""
        return f"HumanCeiling({self.n:,} reviews: alpha {self.alpha}, one person {self.person}{model})"

    def _repr_html_(self) -> str:
        found = html_table(self.caption, self.rows(), head=False)
        if not self.bins:
            return found
        heads = ("people on the majority's side", "reviews", "error rate")
        return found + html_table("Errors by how far people agree", [heads, *self._bin_rows()])

    def as_json(self) -> dict[str, Any]:
        """Return plain data; what there is no model for is left out."""
        scores = {name: score.as_json() for name, score in vars(self).items() if isinstance(score, Score)}
        bins = [{"low": each.low, "high": each.high, "errors": each.errors, "count": each.count} for each in self.bins]
        return {"reviews": self.n, "ratings": self.ratings, "level": self.level, **scores, "bins": bins}


def human_ceiling(
    ratings: Sequence[ArrayLike],
    result: EvalResult | None = None,
    level: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> HumanCeiling:
    """Measure what people reach on these reviews and, optionally, what a model does.

    ratings: as `ratings_of` gives them, in the order of the result. Whole reviews are resampled, since ratings of one review go
    together. Raises ValueError where ratings and result are not equally long, or no review was rated twice.
    """
    check_level(level)
    sides = [np.sign(integers(row, "ratings")) for row in ratings]
    if result is not None:
        same_length(np.empty(len(sides)), "the ratings", result.labels, "the result's examples")
    if not any(len(row) >= 2 for row in sides):
        raise ValueError("a human ceiling needs reviews that at least two people rated; found none")
    predicted = np.zeros(len(sides)) if result is None else np.where(result.predictions == 1, 1, -1)
    counts = np.stack([_against_the_others(row, side) for row, side in zip(sides, predicted, strict=True)])
    values = _shares(np.ones((1, len(counts))), counts)
    weights = resample_weights(len(counts), resamples, seed)
    drawn = np.concatenate([_shares(row, counts) for row in weights], axis=1)
    scores = [percentile_score(float(value[0]), row, level) for value, row in zip(values, drawn, strict=True)]
    undecided, person, forced, model, minus_person, minus_forced = scores
    alpha = krippendorffs_alpha(ratings, "ordinal", level, resamples, seed)
    total = sum(map(len, sides))
    people = HumanCeiling(len(sides), total, level, alpha, undecided, person, forced)
    if result is None:
        return people
    agreement = agreement_shares(ratings)
    return replace(
        people,
        name=result.name,
        model=model,
        minus_person=minus_person,
        minus_person_forced=minus_forced,
        disputed=_disputed(result, agreement, level, resamples, seed),
        bins=error_by_agreement(result, agreement),
    )


def _against_the_others(sides: IntArray, predicted: float) -> FloatArray:
    """Sum over one review's ratings, each held against the majority of the others.

    Ratings whose others have no majority are left out. (ratings, undecided, ratings with a majority of others, of those
    with a side, of those with the majority; how often the model is with the majority, over all of them and over those with
    a side).
    """
    others = np.sign(sides.sum() - sides)
    decided, clear = sides != 0, others != 0
    right = predicted == others
    sums = (
        len(sides),
        (~decided).sum(),
        clear.sum(),
        (clear & decided).sum(),
        (clear & decided & (sides == others)).sum(),
        (clear & right).sum(),
        (clear & decided & right).sum(),
    )
    return np.array(sums, dtype=np.float64)


def _shares(weights: FloatArray, counts: FloatArray) -> FloatArray:
    """Turn the sums into shares, (6, resamples).

    They are undecided, person, person forced, model, model minus person, model minus person forced.
    """
    ratings, undecided, clear, sided, agreeing, model, model_sided = (weights @ counts).T
    person = ratio(agreeing, sided, math.nan)
    forced = ratio(agreeing + (clear - sided) / 2, clear, math.nan)
    of_model, of_model_sided = ratio(model, clear, math.nan), ratio(model_sided, sided, math.nan)
    minus = of_model_sided - person, of_model - forced
    return np.stack([ratio(undecided, ratings, math.nan), person, forced, of_model, *minus])


# --- where people disagree ----------------------------------------------------------------------------------------


def error_by_agreement(
    result: EvalResult, agreement: ArrayLike, edges: Sequence[float] = BIN_EDGES
) -> list[AgreementBin]:
    """Count the model's errors by how far people agree, one row a bin.

    The bins are (low, high] between neighbours of `edges`. agreement: (n,) as `agreement_shares` gives it; a NaN is in no
    bin. Raises ValueError where it is not as long as the result.
    """
    shares = np.asarray(agreement, dtype=np.float64)
    same_length(shares, "agreement", result.labels, "the result's examples")
    rows = []
    for low, high in itertools.pairwise(edges):
        members = (shares > low) & (shares <= high)
        rows.append(AgreementBin(low, high, int((~result.correct[members]).sum()), int(members.sum())))
    return rows


def _disputed(result: EvalResult, agreement: FloatArray, level: float, resamples: int, seed: int) -> Score:
    """Compute the probability that a wrong review is more disputed than a right one.

    It is the area under the curve of "wrong" by disagreement, over the reviews on which anybody takes a side.
    """
    known = ~np.isnan(agreement)
    wrong, dispute = ~result.correct[known], -agreement[known]
    if not wrong.any() or wrong.all():
        return Score(math.nan, math.nan, math.nan, f"every prediction is {'wrong' if wrong.any() else 'right'}")
    value = weighted_roc_auc(np.ones((1, len(wrong))), wrong, dispute)[0]
    resampled = resample_weights(len(wrong), resamples, seed)
    drawn = np.concatenate([weighted_roc_auc(weights, wrong, dispute) for weights in resampled])
    return percentile_score(float(value), drawn, level)


@dataclass(frozen=True)
class NoCeiling:
    """The reason why there is no HumanCeiling, shown in its place.

    There are no single ratings.
    """

    why: str

    def __str__(self) -> str:
        return f"No human ceiling here: {self.why}."

    def _repr_html_(self) -> str:
        return f"<p><strong>No human ceiling here:</strong> {html.escape(self.why)}.</p>"


def human_ceiling_or_notice(reviews: Reviews, result: EvalResult | None = None) -> HumanCeiling | NoCeiling:
    """Return the ceiling, or a notice of why there is none.

    For notebooks, which go on where only the written sample is at hand.
    """
    try:
        return human_ceiling(ratings_of(reviews), result)
    except NoRatings as why:
        return NoCeiling(str(why))

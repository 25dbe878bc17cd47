"""Exercise 6.4, comprehensiveness: what a prediction loses without the top tokens.

No two scores of a case are equal where the cut is, so that it does not depend on an order among equals. Where the fraction of
the tokens is a whole number it is one in floating point too, so that rounding it up needs no care.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from labkit.checks.exercise import Exercise, Inputs, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, close, is_number
from labkit.lessons.observers import explainability as observers

WEIGHTS = {
    "good": 1.5,
    "superb": 2.25,
    "fine": 0.75,
    "bad": -1.5,
    "dull": -2.0,
    "not": -0.5,
    "film": 0.25,
    "the": -0.125,
    "a": 0.0625,
    "plot": -0.375,
    "end": 0.5,
    "was": 0.1875,
    "[MASK]": 0.125,
    "[UNK]": -0.3125,
    "<hidden>": 0.4375,
}
WORDS = [word for word in WEIGHTS if word.isalpha()]
FIVE = [0.5, -0.25, 2.0, 0.75, 1.0]
TEN = [*FIVE, -3.0, 0.125, 0.25, -0.5, 1.5]
REVIEW = "the film was superb a good plot not dull end"


def comprehensiveness_reference(
    tokens: Sequence[str], scores: Sequence[float], fraction: float = 0.2, mask: str = "[MASK]"
) -> float:
    """The contract with the model of the cases."""
    predict = observers.HiddenWords(WEIGHTS)
    least = sorted(scores, reverse=True)[math.ceil(fraction * len(tokens)) - 1]
    hidden = [mask if score >= least else token for token, score in zip(tokens, scores, strict=True)]
    return predict(tokens) - predict(hidden)


def _inputs(text: str, scores: Sequence[float], **named: Plain) -> Inputs:
    return {"tokens": text.split(), "scores": [*scores], **named, "_weights": WEIGHTS}


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    for fraction in (0.2, 0.3, 0.45, 0.2):
        count = int(generator.integers(6, len(WORDS) + 1))
        scores = generator.permutation(np.linspace(-1, 2, count)).round(4).tolist()
        words = " ".join(generator.choice(WORDS, size=count, replace=False))
        named = {} if fraction == 0.2 else {"fraction": fraction}
        yield "fraction" if (fraction * count).is_integer() else "ceil", _inputs(words, scores, **named)


Predict = Callable[[Sequence[str]], float]


def _hide(tokens: list[str], top: set[int], mask: str) -> list[str]:
    return [mask if place in top else token for place, token in enumerate(tokens)]


def _hiding(
    count: Callable[[float, np.ndarray], int] = lambda fraction, scores: math.ceil(fraction * len(scores)),
    rank: Callable[[np.ndarray], np.ndarray] = lambda scores: -scores,
    hidden: Callable[[list[str], set[int], str], list[str]] = _hide,
    change: Callable[[float, float], float] = lambda before, after: before - after,
    together: bool = True,
) -> Any:
    """A wrong answer, right but for what is given."""

    def answer(predict: Predict, tokens: list[str], scores: Any, fraction: float = 0.2, mask: str = "[MASK]") -> float:
        scores = np.asarray(scores, dtype=float)
        top = np.argsort(rank(scores), kind="stable")[: count(fraction, scores)].tolist()
        groups = [set(top)] if together else [{place} for place in top]
        after = [predict(hidden(tokens, group, mask)) for group in groups]
        return change(predict(tokens), sum(after) / len(after))

    return answer


EXERCISE = Exercise(
    "6.4",
    "comprehensiveness",
    observers.comprehensiveness,
    nudge=(
        "Do it with five tokens on paper: how many are a fifth of them, which ones have the highest scores, and how "
        "does the text read with those hidden?"
    ),
    in_words=(
        "An explanation is faithful if the prediction falls when what it calls important is gone. Predict once with "
        "all tokens. In a copy, put the mask at the places of the highest scores, as many as the fraction asks for, "
        "rounded up, and all of them at once. Predict again: the drop is before less after."
    ),
    reference=comprehensiveness_reference,
    drawn=_drawn,
    same=close,
    keeps_arguments="tokens and scores",
    properties=(
        Property(
            "of very few tokens one is hidden",
            "How many tokens are a fifth of one, or of two, rounded up?",
            fixed=[_inputs("good", [1.0]), _inputs("good film", [1.0, 0.5])],
        ),
        Property(
            "the drop where the tokens of the highest scores are hidden",
            "Print the tokens with the hidden ones in place. Are they those of the highest scores, and what is predicted?",
            fixed=[
                _inputs("the film was superb end", [0.25, 0.5, -0.25, 2.0, 1.0]),
                _inputs("not a superb good film", FIVE),
                _inputs(REVIEW, TEN, fraction=0.3),
                _inputs(REVIEW, TEN[::-1]),
            ],
            core=True,
            idea=True,
        ),
        Property(
            "the number of hidden tokens is rounded up",
            "How many tokens are to be hidden where the fraction of them is no whole number?",
            on="ceil",
            fixed=[
                _inputs("the film was superb good end", [0.25, 0.5, -0.25, 2.0, 1.0, 0.75]),
                *(_inputs(REVIEW, TEN, fraction=fraction) for fraction in (0.25, 0.31, 0.01)),
            ],
            core=True,
        ),
        Property(
            "a prediction that rises counts as a negative drop",
            "Hiding tokens may make the model surer. Which sign should come out then?",
            fixed=[
                _inputs("the dull film was end", [0.25, 3.0, -0.25, 0.5, 1.0]),
                _inputs("bad a good dull film", FIVE, fraction=0.4),
            ],
        ),
        Property(
            "a word that comes twice is hidden only where its score is high",
            "Scores belong to places. What happens in yours to the same word at another place?",
            fixed=[
                _inputs("good film good end good", [0.5, 0.25, 3.0, 1.0, 0.75]),
                _inputs("superb bad superb film bad was", [0.5, 2.0, 3.0, 0.25, 0.75, -1.0], fraction=0.3),
            ],
        ),
        Property(
            "a negative score is a low one",
            "Which token has the highest score where some are negative, or all?",
            fixed=[
                _inputs("the film was superb dull", [0.25, 0.5, -0.25, 1.0, -3.0]),
                _inputs("good end superb fine", [-0.5, -1.0, -0.25, -2.0], fraction=0.5),
            ],
        ),
        Property(
            "the fraction is the caller's",
            "Is the argument fraction used, up to hiding all tokens?",
            on="fraction",
            fixed=[_inputs(REVIEW, TEN, fraction=fraction) for fraction in (1.0, 0.5, 0.1)],
        ),
        Property(
            "the mask is the caller's",
            "Is the argument mask used, or the usual one written into the code?",
            fixed=[
                _inputs(REVIEW, TEN, mask="[UNK]"),
                _inputs("not a superb good film", FIVE, mask="<hidden>", fraction=0.4),
            ],
        ),
        returns("a number", is_number),
    ),
    wrong={
        "rounded down": (
            "You round the number of tokens down, so that fewer are hidden than the fraction asks for.",
            _hiding(lambda fraction, scores: int(fraction * len(scores) + 1e-9)),
        ),
        "rounded down, at least one": (
            "You hide at least one token, but otherwise you round their number down.",
            _hiding(lambda fraction, scores: max(1, int(fraction * len(scores) + 1e-9))),
        ),
        "rounded to the nearest": (
            "You round the number of tokens to the nearest whole one. The exercise rounds up.",
            _hiding(lambda fraction, scores: max(1, round(fraction * len(scores)))),
        ),
        "above a quantile": (
            "You hide what reaches a quantile of the scores. It may lie between two of them, and leave too few above it.",
            _hiding(lambda fraction, scores: int((scores >= np.quantile(scores, 1 - fraction)).sum())),
        ),
        "the lowest scores": (
            "You hide the tokens of the lowest scores. Which end of your sorted list is the important one?",
            _hiding(rank=lambda scores: scores),
        ),
        "ranked by size without sign": (
            "You rank by size without the sign. A very negative score speaks against the prediction: it is a low one.",
            _hiding(rank=lambda scores: -np.abs(scores)),
        ),
        "the first tokens": (
            "You hide the first tokens, whatever their scores.",
            _hiding(rank=lambda scores: np.arange(len(scores))),
        ),
        "deleted": (
            "You delete the tokens, so that all others move up. They are to be replaced.",
            _hiding(hidden=lambda tokens, top, mask: [token for place, token in enumerate(tokens) if place not in top]),
        ),
        "all but the important ones hidden": (
            "You keep the important tokens and hide the rest. That is sufficiency; this asks what is lost without them.",
            _hiding(hidden=lambda tokens, top, mask: _hide(tokens, {*range(len(tokens))} - top, mask)),
        ),
        "the same word hidden everywhere": (
            "You hide a word wherever it stands. Scores belong to places, and only the places of the highest are hidden.",
            _hiding(
                hidden=lambda tokens, top, mask: [
                    mask if token in {tokens[place] for place in top} else token for token in tokens
                ]
            ),
        ),
        "absolute drop": (
            "Your drop has lost its sign. A prediction that rises has not dropped.",
            _hiding(change=lambda before, after: abs(before - after)),
        ),
        "subtracted the other way round": (
            "Your drop has the wrong sign: what is lost is what was there before, less what is there after.",
            _hiding(change=lambda before, after: after - before),
        ),
        "relative drop": (
            "You divide the drop by the prediction. The exercise asks for the drop itself.",
            _hiding(change=lambda before, after: (before - after) / before),
        ),
        "the prediction afterwards": (
            "You give what is predicted of the hidden tokens. How far is that from what was predicted before?",
            _hiding(change=lambda before, after: after),
        ),
        "one at a time": (
            "You hide one token at a time and average the drops. They are to be hidden together.",
            _hiding(together=False),
        ),
        "the usual mask written into the code": (
            "The mask is an argument: other tokenizers have another one.",
            lambda predict, tokens, scores, fraction=0.2, mask="[MASK]": _hiding()(predict, tokens, scores, fraction),
        ),
        "the usual fraction written into the code": (
            "The fraction is an argument: your answer uses the usual one whatever the caller says.",
            lambda predict, tokens, scores, fraction=0.2, mask="[MASK]": _hiding()(predict, tokens, scores, mask=mask),
        ),
    },
)

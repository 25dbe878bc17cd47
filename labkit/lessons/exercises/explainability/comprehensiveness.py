"""Exercise 6.4, comprehensiveness: what the prediction loses without the words that an explanation calls important.

No two scores of a case are equal where the cut is, so that it does not depend on an order among equals.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, close, is_number, shown
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


def how_many(fraction: float, n: int) -> int:
    """The contract's ceil(fraction * n), in which floating-point noise does not count."""
    return math.ceil(round(fraction * n, 9))


def comprehensiveness_reference(
    tokens: Sequence[str], scores: Sequence[float], fraction: float = 0.2, mask: str = "[MASK]"
) -> float:
    """The contract with the model of the cases."""
    predict = observers.HiddenWords(WEIGHTS)
    least = sorted(scores, reverse=True)[how_many(fraction, len(tokens)) - 1]
    hidden = [mask if score >= least else token for token, score in zip(tokens, scores, strict=True)]
    return predict(tokens) - predict(hidden)


def _case(label: str, text: str, scores: Sequence[float], **named: Plain) -> Case:
    return Case({"tokens": text.split(), "scores": list(scores), **named, "_weights": WEIGHTS}, label)


@cache
def _fixed() -> tuple[Case, ...]:
    five = [0.5, -0.25, 2.0, 0.75, 1.0]
    ten = [0.5, -0.25, 2.0, 0.75, 1.0, -3.0, 0.125, 0.25, -0.5, 1.5]
    review = "the film was superb a good plot not dull end"
    return (
        _case("few", "good", [1.0]),
        _case("few", "good film", [1.0, 0.5]),
        _case("top", "the film was superb end", [0.25, 0.5, -0.25, 2.0, 1.0]),
        _case("top", "not a superb good film", five),
        _case("top", review, ten, fraction=0.3),
        _case("top", review, ten[::-1]),
        _case("ceil", "the film was superb good end", [0.25, 0.5, -0.25, 2.0, 1.0, 0.75]),
        _case("ceil", review, ten, fraction=0.25),
        _case("ceil", review, ten, fraction=0.31),
        _case("ceil", review, ten, fraction=0.01),
        _case("sign", "the dull film was end", [0.25, 3.0, -0.25, 0.5, 1.0]),
        _case("sign", "bad a good dull film", five, fraction=0.4),
        _case("again", "good film good end good", [0.5, 0.25, 3.0, 1.0, 0.75]),
        _case("again", "superb bad superb film bad was", [0.5, 2.0, 3.0, 0.25, 0.75, -1.0], fraction=0.3),
        _case("negative", "the film was superb dull", [0.25, 0.5, -0.25, 1.0, -3.0]),
        _case("negative", "good end superb fine", [-0.5, -1.0, -0.25, -2.0], fraction=0.5),
        _case("fraction", review, ten, fraction=1.0),
        _case("fraction", review, ten, fraction=0.5),
        _case("fraction", review, ten, fraction=0.1),
        _long(25, 0.28),
        _long(25, 0.56),
        _long(100, 0.55),
        _case("mask", review, ten, mask="[UNK]"),
        _case("mask", "not a superb good film", five, mask="<hidden>", fraction=0.4),
    )


def _cases(generator: np.random.Generator) -> list[Case]:
    return [*_fixed(), *(_drawn(generator, number) for number in range(4))]


def _long(count: int, fraction: float) -> Case:
    """A product of count and fraction that floating point puts a hair above a whole number."""
    dice = np.random.default_rng(count)
    scores = dice.permutation(np.arange(count) / 16 - 1).tolist()
    return _case("noise", " ".join(dice.choice(WORDS, size=count)), scores, fraction=fraction)


def _drawn(generator: np.random.Generator, number: int) -> Case:
    count = int(generator.integers(6, len(WORDS) + 1))
    scores = generator.permutation(np.linspace(-1, 2, count)).round(4).tolist()
    words = " ".join(generator.choice(WORDS, size=count, replace=False))
    fraction = (0.2, 0.3, 0.45, 0.2)[number % 4]
    exact = abs(fraction * count - round(fraction * count)) < 1e-9
    label = "fraction" if exact else "ceil"
    return _case(label, words, scores, **({} if fraction == 0.2 else {"fraction": fraction}))


def _equals(case: Case, observation: Observation) -> Failure | None:
    wanted = comprehensiveness_reference(**{k: v for k, v in case.inputs.items() if not k.startswith("_")})
    return None if close(observation.value, wanted) else Failure(shown(wanted))


Predict = Callable[[Sequence[str]], float]


def _hidden(tokens: list[str], top: set[int], mask: str) -> list[str]:
    return [mask if place in top else token for place, token in enumerate(tokens)]


def _hiding(
    count: Callable[[float, int], int] = how_many,
    rank: Callable[[np.ndarray], np.ndarray] = lambda scores: -scores,
    hide: Callable[[list[str], set[int], str], list[str]] = _hidden,
    change: Callable[[float, float], float] = lambda before, after: before - after,
    marks: Callable[[str], str] = lambda mask: mask,
    only: float | None = None,
) -> Any:
    """A wrong answer, right but for what is asked for."""

    def answer(predict: Predict, tokens: list[str], scores: Any, fraction: float = 0.2, mask: str = "[MASK]") -> float:
        order = np.argsort(rank(np.asarray(scores, dtype=float)), kind="stable")
        top = set(order[: count(only or fraction, len(tokens))].tolist())
        return change(predict(tokens), predict(hide(tokens, top, marks(mask))))

    return answer


def _one_at_a_time(
    predict: Predict, tokens: list[str], scores: Any, fraction: float = 0.2, mask: str = "[MASK]"
) -> float:
    top = np.argsort(-np.asarray(scores), kind="stable")[: how_many(fraction, len(tokens))].tolist()
    hidden = [[mask if place == one else token for place, token in enumerate(tokens)] for one in top]
    return sum(predict(tokens) - predict(each) for each in hidden) / len(hidden)


def _above_a_quantile(
    predict: Predict, tokens: list[str], scores: Any, fraction: float = 0.2, mask: str = "[MASK]"
) -> float:
    least = np.quantile(scores, 1 - fraction)
    return predict(tokens) - predict(
        [mask if score >= least else one for one, score in zip(tokens, scores, strict=True)]
    )


def _delete(tokens: list[str], top: set[int], mask: str) -> list[str]:
    return [token for place, token in enumerate(tokens) if place not in top]


def _hide_the_rest(tokens: list[str], top: set[int], mask: str) -> list[str]:
    return [token if place in top else mask for place, token in enumerate(tokens)]


def _hide_the_same_words(tokens: list[str], top: set[int], mask: str) -> list[str]:
    words = {tokens[place] for place in top}
    return [mask if token in words else token for token in tokens]


EXERCISE = Exercise(
    "6.4",
    "comprehensiveness",
    observers.comprehensiveness,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "of very few tokens one is hidden",
            "How many tokens are a fifth of one, or of two, rounded up?",
            on="few",
            test=_equals,
        ),
        Property(
            "the drop where the tokens of the highest scores are hidden",
            "Print the tokens with the hidden ones in place. Are they those of the highest scores, and what is predicted?",
            on="top",
            test=_equals,
            core=True,
        ),
        Property(
            "the number of hidden tokens is rounded up",
            "How many tokens are to be hidden where the fraction of them is no whole number?",
            on="ceil",
            test=_equals,
            core=True,
        ),
        Property(
            "a prediction that rises counts as a negative drop",
            "Hiding tokens may make the model surer. Which sign should come out then?",
            on="sign",
            test=_equals,
        ),
        Property(
            "a word that comes twice is hidden only where its score is high",
            "Scores belong to places. What happens in yours to the same word at another place?",
            on="again",
            test=_equals,
        ),
        Property(
            "a negative score is a low one",
            "Which token has the highest score where some are negative, or all?",
            on="negative",
            test=_equals,
        ),
        Property(
            "the fraction is the caller's",
            "Is the argument fraction used, up to hiding all tokens?",
            on="fraction",
            test=_equals,
        ),
        Property(
            "floating-point noise does not decide",
            "Some products that should be whole numbers come out a hair above them. What does rounding up make of that?",
            on="noise",
            test=_equals,
        ),
        Property(
            "the mask is the caller's",
            "Is the argument mask used, or the usual one written into the code?",
            on="mask",
            test=_equals,
        ),
        returns("a number", is_number),
    ),
    wrong={
        "rounded down": (
            "You round the number of tokens down, so that fewer are hidden than the fraction asks for.",
            _hiding(lambda fraction, n: int(fraction * n + 1e-9)),
        ),
        "rounded down, at least one": (
            "You hide at least one token, but otherwise you round their number down.",
            _hiding(lambda fraction, n: max(1, int(fraction * n + 1e-9))),
        ),
        "rounded to the nearest": (
            "You round the number of tokens to the nearest whole one. The exercise rounds up.",
            _hiding(lambda fraction, n: max(1, round(fraction * n))),
        ),
        "above a quantile": (
            "You hide what reaches a quantile of the scores. It may lie between two of them, and leave too few above it.",
            _above_a_quantile,
        ),
        "floating-point noise": (
            "The product of fraction and count came out a hair above a whole number, and you rounded it up.",
            _hiding(lambda fraction, n: math.ceil(fraction * n)),
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
            _hiding(hide=_delete),
        ),
        "all but the important ones hidden": (
            "You keep the important tokens and hide the rest. That is sufficiency; this asks what is lost without them.",
            _hiding(hide=_hide_the_rest),
        ),
        "the same word hidden everywhere": (
            "You hide a word wherever it stands. Scores belong to places, and only the places of the highest are hidden.",
            _hiding(hide=_hide_the_same_words),
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
            _one_at_a_time,
        ),
        "the usual mask written into the code": (
            "The mask is an argument: other tokenizers have another one.",
            _hiding(marks=lambda mask: "[MASK]"),
        ),
        "the usual fraction written into the code": (
            "The fraction is an argument: your answer uses the usual one whatever the caller says.",
            _hiding(only=0.2),
        ),
    },
    same=close,
    keeps_arguments="tokens and scores",
)

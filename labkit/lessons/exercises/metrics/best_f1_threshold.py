"""Exercise 4.4, best_f1_threshold: where to cut scores so that F1 is best.

Any threshold that reaches it will do, so a threshold is judged by what it reaches. Scores are exact in float32, where `>=` must
not depend on the precision.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property
from labkit.checks.properties import all_of, returns, tuple_of
from labkit.checks.values import numbers, same_numbers
from labkit.checks.wire import as_number, close, is_number
from labkit.lessons.observers import metrics as observers

STRICT = "Your threshold misses the example that sits on it: positive is what has a score of at least the threshold."
NEAR = [0.5 + place / 2**14 for place in (3, 1, 2, 0, 5, 4)]


def f1_at(labels: Sequence[int], scores: Sequence[float], threshold: float = 1) -> float:
    """F1 of calling `score >= threshold` positive; 0 without a true positive.

    Without a threshold the scores are predictions, 0 or 1.
    """
    predicted = [score >= threshold for score in scores]
    true_positives = sum(label for label, positive in zip(labels, predicted, strict=True) if positive)
    return 2 * true_positives / (sum(predicted) + sum(labels)) if true_positives else 0.0


def best_f1_reference(labels: Sequence[int], scores: Sequence[float]) -> float:
    """The contract by trying every threshold that makes a difference."""
    return max(f1_at(labels, scores, threshold) for threshold in set(scores))


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    """Scores 1/64 apart, so that a fine grid meets them all; the lowest is a negative's, so that all positive is never best."""
    for label in ("ordinary", "ties", "scale", "ordinary"):
        count = int(generator.integers(10, 40))
        places = np.sort(generator.choice(np.arange(1, 63), size=count, replace=False))
        places = 4 * (places // 4) if label == "ties" else places
        labels = (generator.random(count) < np.linspace(0.0, 0.9, count)).astype(int)
        labels[places == places[0]], labels[-1] = 0, 1
        order = generator.permutation(count)
        scores = places[order] - 32.0 if label == "scale" else places[order] / 64
        yield label, (labels[order].tolist(), scores.tolist())


def _says_the_best(case: Case, observation: Observation) -> Failure | None:
    best, (_, f1) = best_f1_reference(**case.inputs), map(as_number, numbers(observation.value).tolist())
    return None if close(f1, best) else Failure(f"F1 {best:.4g}")


def _reaches_the_best(case: Case, observation: Observation) -> Failure | None:
    best, (threshold, _) = best_f1_reference(**case.inputs), map(as_number, numbers(observation.value).tolist())
    reached = f1_at(threshold=threshold, **case.inputs)
    if close(reached, best):
        return None
    strict = close(f1_at(threshold=math.nextafter(threshold, math.inf), **case.inputs), best)
    got = f"threshold {threshold:.6g}, which reaches F1 {reached:.4g}"
    return Failure(f"a threshold that reaches F1 {best:.4g}", got, STRICT if strict else "")


def _best_of(
    thresholds: Callable[[list[float]], Sequence[float]] = list,
    rate: Callable[[Any, Any], float] = f1_at,
    say: Callable[[Any, Any], float] | None = None,
    predicted: Callable[[np.ndarray, float], np.ndarray] = np.greater_equal,
    give: Callable[[list[float], float, float], tuple[float, float]] = lambda scores, threshold, f1: (threshold, f1),
) -> Any:
    """A wrong answer: the best of some thresholds by `rate`, and its F1 by the same.

    thresholds: made of the different scores, by rising score. say: what gives the F1 in place of `rate`. give: what comes back,
    of these scores and the two.
    """

    def answer(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
        different = np.unique(scores).tolist()
        best = max(thresholds(different), key=lambda threshold: rate(labels, predicted(scores, threshold)))
        return give(different, best, (say or rate)(labels, predicted(scores, best)))

    return answer


def _informedness(labels: np.ndarray, predicted: np.ndarray) -> float:
    true_rate, false_rate = (predicted @ of_class / max(1, sum(of_class)) for of_class in (labels, 1 - labels))
    return float(true_rate - false_rate)


def _cut_by_rank(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    order = np.argsort(-scores, kind="stable")
    f1 = 2 * np.cumsum(labels[order]) / (np.arange(len(labels)) + 1 + labels.sum())
    return float(scores[order[f1.argmax()]]), float(f1.max())


def _nan_where_nothing_is_right(labels: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    thresholds = np.unique(scores)
    f1 = np.array([f1_at(labels.tolist(), scores.tolist(), threshold) for threshold in thresholds])
    best = int(np.where((f1 == 0) & labels.any(), math.nan, f1).argmax())
    return float(thresholds[best]), float(f1[best]) or math.nan * labels.any()


EXERCISE = Exercise(
    "4.4",
    "best_f1_threshold",
    observers.best_f1_threshold,
    nudge=(
        "Sort the example by falling score and lower the threshold slowly. At which of its values does any prediction"
        " change?"
    ),
    in_words=(
        "Between two neighbouring scores nothing changes, so the scores themselves are all the thresholds worth "
        "trying. For each of them count what it calls positive and how much of that is right, work out F1, and keep "
        "the best. Equal scores cross together, and where nothing is right F1 is 0."
    ),
    takes="labels scores",
    properties=(
        Property(
            "the F1 is the best that any threshold reaches",
            "Write the example down by falling score. What is F1 if you cut after the first, after the second, and so on?",
            on="ordinary",
            fixed=[
                ([0, 1], [0.25, 0.75]),
                ([0, 1, 0, 1, 0], [0.125, 0.375, 0.5, 0.875, 0.25]),
                ([1, 1, 0, 1, 0, 0, 0, 0], [0.96875, 0.875, 0.8125, 0.75, 0.625, 0.375, 0.25, 0.125]),
                ([0, 0, 1, 0, 0, 0, 0, 1, 0], [0.5, 0.25, 0.875, 0.75, 0.125, 0.375, 0.0625, 0.625, 0.6875]),
                ([1, 1, 0, 0, 1, 0, 0], [0.3125, 0.25, 0.125, 0.1875, 0.375, 0.0625, 0.03125]),
                ([1, 0, 1, 0, 0, 1, 0], [place / 64 for place in (46, 45, 51, 32, 18, 50, 40)]),
                ([1] + 20 * [0, 0, 1], [0.9375] + [(place + 3) / 64 for place in range(60)]),
            ],
            test=_says_the_best,
            core=True,
            idea=True,
        ),
        Property(
            "the threshold reaches that F1",
            "Call positive whatever has at least your threshold, and compute F1 of that. Is it the F1 that you give?",
            on="ordinary",
            test=_reaches_the_best,
            core=True,
            idea=True,
        ),
        Property(
            "equal scores stay together",
            "Two examples with the same score fall on the same side of every threshold. Can your cut stand between them?",
            on="ties",
            fixed=[([1, 0, 0, 1, 0], [*3 * [0.75], 0.5, 0.25]), ([1, 1, 0, 1, *4 * [0]], [0.875, *6 * [0.4375], 0.25])],
        ),
        Property(
            "all may be called positive",
            "Sometimes the best is to call every example positive. Is a threshold that low among those you try?",
            fixed=[
                ([1], [0.25]),
                ([1, 1, 1], [0.5, 0.25, 0.75]),
                ([1, 0, 1, 1], [0.5, 0.75, 0.125, 0.875]),
                ([0, 1, 1], [0.5, 0.5, 0.5]),
            ],
        ),
        Property(
            "scores have any scale and may be crowded",
            "Scores need not be probabilities, nor far apart. Between which thresholds does a prediction change at all?",
            on="scale",
            fixed=[
                ([0, 1, 0, 1, 0], [-3.0, 2.5, 0.5, 4.0, -1.25]),
                ([1, 1, 0, 0, 0], [-1.5, -2.25, -3.0, -4.5, -8.0]),
                ([1, 0, 1, 0, 1, 0], [130.0, 70.0, 250.0, 90.0, 120.0, 60.0]),
                ([1, 0, 0, 0, 1, 1], NEAR),
                ([1, 0, 0, 0, 1, 1, 1, 0], [*NEAR, 500.0, -500.0]),
            ],
            idea=True,
        ),
        Property(
            "without positives the F1 is 0",
            "What does your answer say where no label is positive, so that there is nothing to find?",
            fixed=[([0], [0.5]), ([0, 0, 0], [0.25, 0.75, 0.5])],
            test=_says_the_best,
        ),
        Property(
            "a threshold that finds nothing right does not win",
            "Cut so high that only negatives lie above: precision and recall are both 0. What is F1 there in your answer?",
            fixed=[
                ([1, 0], [0.25, 0.75]),
                ([0, 1, 0, 0, 1], [0.875, 0.5, 0.25, 0.125, 0.625]),
                ([0, 0, 1, 0, 1, 1, 0], [3.0, 2.5, 2.0, 1.5, 1.0, 0.5, -4.0]),
            ],
        ),
        Property(
            "many examples count as few do",
            "The example is long, and its scores are few. Which number of yours cannot hold as many as there are?",
            fixed=[(300 * [1, 0, 1, 0], [*300 * [0.75, 0.25], *300 * [0.5, 0.125]])],
        ),
        returns("a tuple of two floats", tuple_of(is_number, is_number)),
    ),
    wrong={
        "above in place of at least": (STRICT, _best_of(lambda scores: [-math.inf, *scores], predicted=np.greater)),
        "a fixed grid": (
            "You try the same thresholds whatever the scores. The best one may lie between two of them, or beyond them all.",
            _best_of(lambda scores: np.linspace(0, 1, 101).tolist()),
        ),
        "one half": (
            "Your threshold is always the same one. The exercise asks for the one that is best on these scores.",
            _best_of(lambda scores: [0.5]),
        ),
        "F1 of the wrong class": (
            "Your F1 is that of class 0. The positive class is 1, and high scores speak for it.",
            _best_of(lambda scores: [*scores, math.inf], lambda labels, predicted: f1_at(1 - labels, ~predicted)),
        ),
        "accuracy made best": (
            "You choose the threshold with the best accuracy. Where positives are rare, that is not the one with the best F1.",
            _best_of(lambda scores: [*scores, math.inf], lambda labels, predicted: np.mean(labels == predicted), f1_at),
        ),
        "accuracy made best and given": (
            "That is the best accuracy. The exercise asks for F1, which does not count the negatives that were left alone.",
            _best_of(lambda scores: [*scores, math.inf], lambda labels, predicted: np.mean(labels == predicted)),
        ),
        "precision made best": (
            "You choose the threshold with the best precision. F1 asks for recall as well.",
            _best_of(rate=lambda labels, predicted: labels[predicted].mean(), say=f1_at),
        ),
        "the ROC curve's corner": (
            "You choose by the true and false positive rates. F1 has a best threshold of its own.",
            _best_of(rate=_informedness, say=f1_at),
        ),
        "cuts between equal scores": (
            "Your best cut stands between examples of equal score, where no threshold can stand.",
            _cut_by_rank,
        ),
        "the two swapped": (
            "First the threshold, then its F1: yours come the other way round.",
            _best_of(give=lambda scores, threshold, f1: (f1, threshold)),
        ),
        "a place in place of a threshold": (
            "Your threshold is a place in a list. What stands at that place?",
            _best_of(give=lambda scores, threshold, f1: (float(scores.index(threshold)), f1)),
        ),
        "only between two scores": (
            "All your thresholds lie between two scores, so the lowest example is never called positive.",
            _best_of(lambda scores: [(low + high) / 2 for low, high in pairwise(scores)] or scores),
        ),
        "NaN where precision and recall are 0": (
            "Where a threshold finds nothing right your F1 is NaN: 0 divided by 0. And NaN passes for the largest of all.",
            _nan_where_nothing_is_right,
        ),
        "NaN without positives": (
            "Without positives your F1 is NaN: 0 divided by 0. The exercise says what should stand there.",
            _best_of(give=lambda scores, threshold, f1: (threshold, f1 or math.nan)),
        ),
    },
    drawn=_drawn,
    test=all_of(_says_the_best, _reaches_the_best),
    same=same_numbers,
    keeps_arguments="labels and scores",
)

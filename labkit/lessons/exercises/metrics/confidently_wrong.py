"""Exercise 4.6, confidently_wrong: the wrong predictions of which the model is surest.

Confidences of a case are exactly equal or well apart, and a confidence that equals the threshold is exactly 1, so that no
rounding decides.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Inputs, Observation, Property, visible
from labkit.checks.properties import all_of, list_of, returns
from labkit.checks.wire import Plain, as_list, is_integer, shown
from labkit.lessons.exercises.metrics.softmax import softmax_reference
from labkit.lessons.observers import metrics as observers

APART = 1e-3  # how far confidences lie from one another and from the threshold
THREE = [[4.0, 0.5, 0.0], [0.0, 2.0, 1.9], [1.0, 6.0, 1.5], [0.25, 0.0, 5.0], [3.5, 3.4, -2.0], [7.0, 0.0, 1.0]]
TWO = [[0.0, 3.0], [3.5, 0.0], [0.0, 5.0], [0.0, 1.2], [-4.0, 0.5], [1.0, 9.0]]
SECOND_SURER = [[2.5, 0.0, 0.0], [2.0, 0.0, -9.0], [0.0, 1.5, -4.0], [-1.0, 0.0, 1.25]]  # than the first


def confidently_wrong_reference(logits: Plain, labels: Sequence[int], threshold: float = 0.9) -> list[int]:
    """The contract; the first of equals first."""
    probabilities = softmax_reference(logits)
    sure = probabilities.max(axis=1)
    wrong = [place for place, label in enumerate(labels) if probabilities[place].argmax() != label]
    return sorted((place for place in wrong if sure[place] >= threshold), key=lambda place: -sure[place])


def _drawn(generator: np.random.Generator) -> Iterator[tuple[str, Inputs]]:
    """Rows that keep their distance from one another and from the threshold in their confidence."""
    for threshold, classes in ((0.9, 2), (0.75, 3), (0.9, 4), (0.75, 2)):
        logits: list[list[float]] = []
        while len(logits) < 12:
            row = generator.normal(size=classes, scale=3.0)
            *known, sure = softmax_reference([*logits, row]).max(axis=1).tolist()
            if min(abs(sure - other) for other in [threshold, *known]) > APART:
                logits.append(row.tolist())
        labels = generator.integers(classes, size=len(logits)).tolist()
        usual = "found" if confidently_wrong_reference(logits, labels) else "nothing"
        yield (usual, (logits, labels)) if threshold == 0.9 else ("threshold", (logits, labels, threshold, True))


def _finds(case: Case, observation: Observation) -> Failure | None:
    wanted, found = confidently_wrong_reference(**visible(case.inputs)), as_list(observation.value)
    right = all(map(is_integer, found)) and sorted(found) == sorted(wanted)
    return None if right else Failure(f"these, in their order: {shown(wanted)}")


def _in_order(case: Case, observation: Observation) -> Failure | None:
    sure = softmax_reference(case.inputs["logits"]).max(axis=1)
    falling = all(sure[first] >= sure[second] - APART / 2 for first, second in pairwise(as_list(observation.value)))
    return None if falling else Failure(shown(confidently_wrong_reference(**visible(case.inputs))))


def _choosing(
    sure: Callable[..., np.ndarray] = lambda logits, labels: softmax_reference(logits).max(axis=1),
    among: Callable[[np.ndarray], np.ndarray] = lambda wrong: wrong,
    enough: Callable[[np.ndarray, float], np.ndarray] = np.greater_equal,
    by: Callable[..., np.ndarray] | None = None,
    give: Callable[[np.ndarray, np.ndarray], np.ndarray] = lambda found, wrong: found,
    only: float | None = None,
) -> Any:
    """A wrong answer, with the right choices where no wrong ones are given.

    by: what it sorts by, where that is not `sure`. give: of the places found, and which predictions are wrong. only: the
    threshold that it always has.
    """

    def answer(logits: Any, labels: Any, threshold: float = 0.9) -> Any:
        rows, true = np.asarray(logits, dtype=np.float64), np.asarray(labels)
        wrong = rows.argmax(axis=1) != true
        found = np.flatnonzero(among(wrong) & enough(sure(rows, true), only or threshold))
        return give(found[np.argsort(-(by or sure)(rows, true)[found], kind="stable")], wrong).tolist()

    return answer


def _of_the_true_class(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.asarray(1 - softmax_reference(logits)[np.arange(len(labels)), labels])


EXERCISE = Exercise(
    "4.6",
    "confidently_wrong",
    observers.confidently_wrong,
    nudge=(
        "Ask three things of each row: which class is predicted, how probable is it, and is it the wrong one? Putting"
        " them in order comes last."
    ),
    in_words=(
        "Turn each row of logits into probabilities: the largest is the confidence, and its place is the prediction. "
        "Keep the rows whose prediction differs from the label and whose confidence reaches the threshold. Sort what "
        "is left by falling confidence, and give the places they have among all rows."
    ),
    takes="logits labels threshold _as_tensor",
    properties=(
        Property(
            "the wrong predictions of high confidence are found",
            "Go through the example row by row: which class is predicted, is that wrong, and how sure is the model of it?",
            on="found",
            fixed=[
                ([[0.0, 3.0], [0.0, 5.0], [5.0, 0.0]], [0, 0, 0]),
                (TWO, [0, 0, 1, 0, 0, 0]),
                (THREE, [1, 0, 0, 0, 1, 1]),
                {"logits": THREE, "labels": [2, 0, 2, 1, 0, 0], "_as_tensor": True},
                {"logits": TWO, "labels": [0, 1, 0, 1, 0, 1], "_as_tensor": True},
            ],
            core=True,
            idea=True,
        ),
        Property(
            "the most confident stands first",
            "Print the confidences of what you found in the order in which you give them.",
            on=("found", "threshold"),
            test=all_of(_finds, _in_order),
        ),
        Property(
            "where there are none, the list is empty",
            "What should come out where the model is right, or wrong without being sure of it?",
            on="nothing",
            fixed=[([[0.0, 3.0], [5.0, 0.0]], [1, 0]), ([[0.0, 0.5], [0.75, 0.0]], [0, 1])],
        ),
        Property(
            "the threshold is the caller's",
            "Is the argument threshold used, and is it compared with a probability?",
            on="threshold",
            fixed=[
                ([[8.0, 7.0], [0.0, 2.5], [6.0, 5.5], [-1.0, 0.5]], [1, 0, 1, 0], 0.7),
                (THREE, [1, 0, 2, 1, 1, 2], 0.5),
                (TWO, [0, 1, 0, 0, 0, 0], 0.98),
                (SECOND_SURER, [1, 1, 0, 1], 0.5),
            ],
        ),
        Property(
            "a confidence that equals the threshold counts",
            "Is a confidence as high as the threshold enough? Read the comparison in the exercise once more.",
            fixed=[
                ([[0.0, 60.0], [0.0, 3.0], [4.0, 0.0]], [0, 0, 1], 1.0),
                ([[60.0, 0.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 60.0]], [1, 0, 2], 1.0, True),
            ],
        ),
        returns("a list of ints", list_of(is_integer)),
    ),
    wrong={
        "logits read as probabilities": (
            "You compare logits with the threshold. Logits are no probabilities: what makes them such?",
            _choosing(lambda logits, labels: logits.max(axis=1)),
        ),
        "right ones included": (
            "Some of yours are right. Where do you compare the predicted class with the label?",
            _choosing(among=lambda wrong: wrong | True),
        ),
        "right ones in place of wrong ones": (
            "You give the predictions that are right. The ones to read are those that are not.",
            _choosing(among=lambda wrong: ~wrong),
        ),
        "in order of the index": (
            "You found them all, in the order in which they came. The most confident should stand first.",
            _choosing(by=lambda logits, labels: np.zeros(len(labels))),
        ),
        "least confident first": (
            "You found them all, but the least confident stands first. Which way does your sorting go?",
            _choosing(by=lambda logits, labels: -softmax_reference(logits).max(axis=1)),
        ),
        "above in place of at least": (
            "A confidence that equals the threshold is lost: at least is not the same as above.",
            _choosing(enough=np.greater),
        ),
        "the threshold on the true class": (
            "You ask how improbable the true class is. Confidence is the probability of the class that was predicted.",
            _choosing(_of_the_true_class),
        ),
        "sigmoid in place of softmax": (
            "Your confidences are sigmoids of single logits. In a softmax the classes of a row share one sum.",
            _choosing(lambda logits, labels: 1 / (1 + np.exp(-logits.max(axis=1)))),
        ),
        "softmax over the wrong axis": (
            "Your probabilities sum to 1 over the reviews. They should over the classes of one review.",
            _choosing(lambda logits, labels: softmax_reference(logits.T).T.max(axis=1)),
        ),
        "places among the wrong ones": (
            "Your places count the wrong predictions alone. They should say where each stands among all reviews.",
            _choosing(give=lambda found, wrong: np.cumsum(wrong)[found] - 1),
        ),
        "every wrong one": (
            "All wrong predictions are in your list. Only those are asked for of which the model was sure.",
            _choosing(enough=lambda sure, threshold: sure > 0),
        ),
        "sorted by logits": (
            "You sort by the logits. A large logit beside one that is nearly as large is no great confidence.",
            _choosing(by=lambda logits, labels: logits.max(axis=1)),
        ),
        "sorted by the lead over the second class": (
            "You sort by the lead over the second class. With three classes or more the others have their share too.",
            _choosing(by=lambda logits, labels: np.diff(np.sort(logits))[:, -1]),
        ),
        "sorted by the true class": (
            "You sort by how improbable the true class is. The most confident is the one whose predicted class is likeliest.",
            _choosing(by=_of_the_true_class),
        ),
        "the usual threshold written into the code": (
            "The threshold is an argument: your answer uses the usual one whatever the caller says.",
            _choosing(only=0.9),
        ),
    },
    drawn=_drawn,
    test=_finds,
    same=lambda one, other: as_list(one) == as_list(other),
    keeps_arguments="logits and labels",
)

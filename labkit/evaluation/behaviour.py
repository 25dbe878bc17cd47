"""Tests of what a model can do, on sentences whose right answer is known.

In the manner of CheckList, which tests a model as software is tested. There are three kinds of test (Ribeiro et al. 2020,
"Beyond accuracy"). Minimum function: a sentence that must be positive, or negative. Invariance: a change that must not
matter, such as another name. Direction: a change that must not move the probability the wrong way, such as "very". The
sentences are made from templates written for this course. Anything that gives probabilities for texts can be tested;
nothing here trains or loads a model.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from labkit.display import html_table, text_table
from labkit.evaluation.arrays import FloatArray, as_array
from labkit.evaluation.intervals import Score, proportion_interval

Predict = Callable[[list[str]], ArrayLike]
MINIMUM, INVARIANCE, DIRECTION = "minimum function", "invariance", "direction"
KINDS = (MINIMUM, INVARIANCE, DIRECTION)
TOLERANCE = 0.1  # how far a probability may move the wrong way, or across the border, before it counts
CASES = 60  # of each test, at most

THINGS = ("film", "story", "cast", "ending", "script", "dialogue", "music", "camera work", "first half", "main idea")
PRAISE = ("wonderful", "superb", "delightful", "brilliant", "charming", "excellent", "gripping", "lovely")
BLAME = ("dreadful", "dull", "awful", "clumsy", "boring", "terrible", "lifeless", "tedious")
STRONGER = ("very", "really", "absolutely", "truly", "remarkably")
WEAKER = ("a little", "slightly", "somewhat")
NAMES = ("Anna", "Mohammed", "Keisha", "Yuki", "Diego", "Olga", "Tyrone", "Priya", "Emily", "Chen")
REMARKS = (
    "We saw it on a rainy Tuesday with friends, and the {thing} was {word}.",
    "My sister had told me about it for weeks, and yes, the {thing} is {word}.",
    "It was shown late in the evening, and everybody around me found the {thing} {word}.",
)


@dataclass(frozen=True)
class Case:
    """One example of a test: its text, or the text before and after its changes.

    wanted: of a minimum-function test the class; of a direction test 1 where the probability of positive must not fall, -1
    where it must not rise; of an invariance test 0, and not read.
    """

    texts: tuple[str, ...]
    wanted: int = 0


@dataclass(frozen=True)
class BehaviourTest:
    """A capability tested in one way. kind: one of `KINDS`.

    Raises ValueError for another kind, and for a case of the wrong size.
    """

    capability: str
    name: str
    kind: str
    cases: Sequence[Case]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind {self.kind!r} is none of {', '.join(KINDS)}")
        for case in self.cases:
            if (len(case.texts) == 1) != (self.kind == MINIMUM) or not case.texts:
                raise ValueError(f"{self.name}: {self.kind} with {len(case.texts)} texts in a case: {case.texts}")

    def fails(self, case: Case, positive: FloatArray) -> bool:
        """Say whether a model fails the case with these probabilities of positive.

        positive: (texts,), one for each text of the case.
        """
        if self.kind == MINIMUM:
            return bool((positive[0] >= 0.5) != (case.wanted == 1))
        change = positive[1:] - positive[0]
        if self.kind == DIRECTION:
            return bool((case.wanted * change < -TOLERANCE).any())
        other_class = (positive[1:] >= 0.5) != (positive[0] >= 0.5)
        return bool((other_class & (np.abs(change) > TOLERANCE)).any())


# --- the tests ----------------------------------------------------------------------------------------------------


def behaviour_tests(reviews: Sequence[str] = (), cases: int = CASES, seed: int = 0) -> list[BehaviourTest]:
    """Make the course's tests: vocabulary, negation, intensifiers, contrast and more.

    The others are names and typos. reviews: real texts, in which typos are made too; there only that matters which the
    model says without the typo. cases: of each test at most so many, drawn by the seed from all that the templates give.
    """
    draw = np.random.default_rng(seed)
    plain, negated, blamed, far, stronger, weaker, named, mistyped = (list[Case]() for _ in range(8))
    for thing in THINGS:
        for word, label in _words():
            plain += [Case((f"The {thing} is {word}.",), label), Case((f"What {_a(word)} {thing}!",), label)]
            named += [Case(tuple(f"{name} {rest}" for name in NAMES)) for rest in _deeds(thing, word)]
            remarks = [remark.format(thing=thing, word=word) for remark in REMARKS]
            mistyped += [Case((remark, _typo(remark, draw))) for remark in remarks]
            sentence, direction = f"The {thing} is {{}}{word}.", 2 * label - 1
            stronger += [Case((sentence.format(""), sentence.format(f"{adverb} ")), direction) for adverb in STRONGER]
            weaker += [Case((sentence.format(""), sentence.format(f"{adverb} ")), -direction) for adverb in WEAKER]
        for word in PRAISE:
            negated += [Case((text,), 0) for text in _no_praise(thing, word)]
            far += [Case((text,), 0) for text in _far_negation(thing, word)]
        for word in BLAME:
            blamed += [Case((text,), 1) for text in _no_blame(thing, word)]
    tests = [
        BehaviourTest("vocabulary", "one plain verdict", MINIMUM, plain),
        BehaviourTest("negation", "praise, negated", MINIMUM, negated),
        BehaviourTest("negation", "praise, negated from afar", MINIMUM, far),
        BehaviourTest("negation", "blame, negated", MINIMUM, blamed),
        BehaviourTest("intensifiers", "made stronger", DIRECTION, stronger),
        BehaviourTest("intensifiers", "made weaker", DIRECTION, weaker),
        BehaviourTest("contrast", "the last word counts", MINIMUM, list(_contrasts())),
        BehaviourTest("names", "another name", INVARIANCE, named),
        BehaviourTest("typos", "two letters swapped", INVARIANCE, mistyped),
    ]
    if reviews:
        swapped = [Case((text, _typo(text, draw))) for text in reviews if _swaps(text)]
        tests.append(BehaviourTest("typos", "two letters swapped in a real review", INVARIANCE, swapped))
    return [_drawn(test, cases, draw) for test in tests]


def _drawn(test: BehaviourTest, cases: int, draw: np.random.Generator) -> BehaviourTest:
    kept = draw.permutation(len(test.cases))[:cases]
    return BehaviourTest(test.capability, test.name, test.kind, [test.cases[place] for place in sorted(kept.tolist())])


def _words() -> Iterator[tuple[str, int]]:
    yield from ((word, 1) for word in PRAISE)
    yield from ((word, 0) for word in BLAME)


def _a(word: str) -> str:
    return f"an {word}" if word[0] in "aeiou" else f"a {word}"


def _no_praise(thing: str, word: str) -> Iterable[str]:
    yield f"The {thing} is not {word}."
    yield f"The {thing} isn't {word} at all."
    yield f"Nobody could call the {thing} {word}."


def _far_negation(thing: str, word: str) -> Iterable[str]:
    yield f"I do not think, after all the time and money that went into it, that the {thing} is {word}."
    yield f"It is not true what they say on every poster in town, that the {thing} is {word}."


def _no_blame(thing: str, word: str) -> Iterable[str]:
    yield f"The {thing} is never {word}."
    yield f"The {thing} is not {word} at all."
    yield f"There is nothing {word} about the {thing}."


def _deeds(thing: str, word: str) -> Iterable[str]:
    yield f"watched it twice and found the {thing} {word}."
    yield f"told me that the {thing} is {word}."


def _contrasts() -> Iterator[Case]:
    for thing, praise, blame in itertools.product(THINGS, PRAISE, BLAME):
        yield Case((f"I expected something {blame}, but the {thing} is {praise}.",), 1)
        yield Case((f"I expected something {praise}, but the {thing} is {blame}.",), 0)


def _swaps(text: str) -> list[int]:
    """Find where a letter can be swapped with the next one.

    Inside words of at least five letters, and only with a letter that differs.
    """
    return [
        i
        for word in re.finditer(r"\b[^\W\d_]{5,}\b", text)
        for i in range(word.start() + 1, word.end() - 2)
        if text[i] != text[i + 1]
    ]


def _typo(text: str, draw: np.random.Generator) -> str:
    """Swap two letters of one word, neither of them its first or last."""
    swaps = _swaps(text)
    i = swaps[int(draw.integers(len(swaps)))]
    return text[:i] + text[i + 1] + text[i] + text[i + 2 :]


# --- what a model does with them ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class BehaviourRow:
    """How one test went.

    example: the texts of the worst failure with the probability of positive of each, or nothing.
    """

    capability: str
    name: str
    kind: str
    failures: int
    n: int
    example: tuple[tuple[str, float], ...] = ()

    @property
    def failure_rate(self) -> Score:
        """The failure rate with Wilson's 95% interval.

        As if the cases were independent; those of one template are not quite.
        """
        return proportion_interval(self.failures, self.n)


@dataclass(frozen=True, repr=False)
class BehaviourReport:
    """How a model did on every test, in order."""

    name: str
    rows: Sequence[BehaviourRow]

    def by_capability(self) -> Mapping[str, Score]:
        """The failure rate over all tests of each capability."""
        counts: dict[str, tuple[int, int]] = {}
        for row in self.rows:
            failures, n = counts.get(row.capability, (0, 0))
            counts[row.capability] = failures + row.failures, n + row.n
        return {capability: proportion_interval(*count) for capability, count in counts.items()}

    @property
    def caption(self) -> str:
        """The model, how many cases, and what the interval is."""
        start = f"{self.name}: " if self.name else ""
        total = sum(row.n for row in self.rows)
        return f"{start}behaviour in {total:,} cases; failure rates with 95% intervals as if the cases were independent"

    def _cells(self) -> Iterator[tuple[str, str, str, str, str, str]]:
        for row in self.rows:
            shown = " → ".join(f"{text} ({probability:.2f})" for text, probability in row.example)
            rate = str(row.failure_rate)
            yield row.capability, row.name, row.kind, f"{row.failures}/{row.n}", rate, shown

    def __str__(self) -> str:
        table = text_table([row[:-1] for row in (_HEADS, *self._cells())])
        worst = [f"* {name}: {example}" for _, name, _, _, _, example in self._cells() if example]
        head = ["One failure of each test, with the probability of positive:"] if worst else []
        return "\n".join([self.caption, table, *head, *worst])

    def __repr__(self) -> str:
        rates = ", ".join(f"{capability} {score.value:.2f}" for capability, score in self.by_capability().items())
        return f"BehaviourReport({self.name}: failure rates {rates})"

    def _repr_html_(self) -> str:
        return html_table(self.caption, [_HEADS, *self._cells()], row_header=_HEADS.index("test"))

    def as_json(self) -> list[dict[str, Any]]:
        """Return plain data, one object a test."""
        return [
            {
                "capability": row.capability,
                "name": row.name,
                "kind": row.kind,
                "failures": row.failures,
                "n": row.n,
                "failure_rate": row.failure_rate.as_json(),
                "example": [{"text": text, "positive": probability} for text, probability in row.example],
            }
            for row in self.rows
        ]


_HEADS = ("capability", "test", "kind", "failed", "failure rate", "a failure, with the probability of positive")


def check_behaviour(predict: Predict, tests: Sequence[BehaviourTest] | None = None, name: str = "") -> BehaviourReport:
    """Run the tests (default: `behaviour_tests()`) on a model.

    predict: from a list of texts to the probability of positive of each, (n,), or to the probabilities of negative and
    positive, (n, 2); called once, with each text once. Raises ValueError where it returns anything else.

    >>> print(repr(check_behaviour(lambda texts: [0.9] * len(texts), behaviour_tests()[:1], name="optimist")))
    BehaviourReport(optimist: failure rates vocabulary 0...)
    """
    tests = behaviour_tests() if tests is None else tests
    texts = list(dict.fromkeys(text for test in tests for case in test.cases for text in case.texts))
    known = dict(zip(texts, _positive(predict(texts), len(texts)).tolist(), strict=True))
    return BehaviourReport(name, tuple(_row(test, known) for test in tests))


def _positive(returned: ArrayLike, n: int) -> FloatArray:
    """(n,) the probability of positive."""
    values = as_array(returned).astype(np.float64)
    positive = values[:, 1] if values.ndim == 2 and values.shape[1] == 2 else values
    if positive.shape != (n,) or not ((positive >= 0) & (positive <= 1)).all():
        raise ValueError(
            f"predict must give each of the {n} texts a probability of positive, (n,) or (n, 2); found shape {values.shape}"
            + (" with values outside [0, 1]" if positive.shape == (n,) else "")
        )
    return positive


def _row(test: BehaviourTest, known: Mapping[str, float]) -> BehaviourRow:
    worst: tuple[tuple[str, float], ...] = ()
    worst_by, failures = -1.0, 0
    for case in test.cases:
        positive = np.array([known[text] for text in case.texts])
        if not test.fails(case, positive):
            continue
        failures += 1
        place = 0 if test.kind == MINIMUM else 1 + int(np.abs(positive[1:] - positive[0]).argmax())
        by = abs(positive[place] - (0.5 if test.kind == MINIMUM else positive[0]))
        if by > worst_by:
            shown = (0,) if test.kind == MINIMUM else (0, place)
            worst, worst_by = tuple((case.texts[i], float(positive[i])) for i in shown), by
    return BehaviourRow(test.capability, test.name, test.kind, failures, len(test.cases), worst)

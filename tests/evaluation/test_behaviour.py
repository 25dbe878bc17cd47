"""Laws of the behavioural tests: models with a known fault fail where that fault lies, and nowhere else."""

import re

import numpy as np
import pytest
import torch

from labkit.evaluation.behaviour import (
    BLAME,
    CASES,
    DIRECTION,
    INVARIANCE,
    KINDS,
    MINIMUM,
    NAMES,
    PRAISE,
    BehaviourTest,
    Case,
    behaviour_tests,
    check_behaviour,
)
from labkit.evaluation.intervals import proportion_interval

NEGATIONS = re.compile(r"\b(not|isn't|never|nobody|nothing)\b", re.IGNORECASE)


def count_words(texts: list[str], negate: bool = False, last: bool = False) -> np.ndarray:
    """P(positive) from known words: a bag of them, or one that turns round at a negation, or one that hears the last alone."""
    found = []
    for text in texts:
        words = [word for word in re.findall(r"[a-z']+", text.lower()) if word in PRAISE or word in BLAME]
        words = words[-1:] if last else words
        score = sum(1 if word in PRAISE else -1 for word in words)
        score = -score if negate and NEGATIONS.search(text) else score
        found.append(1 / (1 + np.exp(-2.0 * score)))
    return np.array(found)


def rates(predict, **options) -> dict[str, float]:
    report = check_behaviour(predict, behaviour_tests(**options))
    return {f"{row.capability}: {row.name}": row.failure_rate.value for row in report.rows}


def test_a_bag_of_words_fails_every_negation_and_no_plain_verdict():
    found = rates(count_words)
    assert {name: rate for name, rate in found.items() if name.startswith("negation")} == {
        "negation: praise, negated": 1.0,
        "negation: praise, negated from afar": 1.0,
        "negation: blame, negated": 1.0,
    }
    assert found["vocabulary: one plain verdict"] == 0
    assert found["names: another name"] == 0
    assert found["intensifiers: made stronger"] == found["intensifiers: made weaker"] == 0


def test_a_model_that_turns_round_at_a_negation_and_hears_the_last_word_passes_all_but_the_typos():
    found = rates(lambda texts: count_words(texts, negate=True, last=True), cases=10_000)
    typos = found.pop("typos: two letters swapped")
    assert set(found.values()) == {0.0}
    assert typos > 0  # it knows words only as they are spelt


def test_a_model_that_minds_names_fails_that_test_alone():
    def biased(texts):
        good = count_words(texts, negate=True, last=True)
        return np.where([text.startswith(NAMES[1]) for text in texts], 1 - good, good)

    found = rates(biased)
    assert found["names: another name"] == 1.0
    assert sum(rate > 0 for name, rate in found.items() if not name.startswith("typos")) == 1


def test_a_model_that_takes_very_for_a_doubt_fails_the_intensifiers():
    def doubtful(texts):
        good = count_words(texts, negate=True, last=True)
        return 0.5 + (good - 0.5) * np.where([" is very " in text for text in texts], 0.2, 1.0)

    found = rates(doubtful, cases=10_000)
    assert found["intensifiers: made stronger"] == pytest.approx(1 / 5)  # one of the five adverbs
    assert found["intensifiers: made weaker"] == 0


@pytest.mark.parametrize(
    ("kind", "wanted", "positive", "fails"),
    [
        (MINIMUM, 1, [0.5], False),
        (MINIMUM, 1, [0.49], True),
        (MINIMUM, 0, [0.5], True),
        (DIRECTION, 1, [0.9, 0.81], False),
        (DIRECTION, 1, [0.9, 0.79], True),
        (DIRECTION, 1, [0.1, 0.9], False),
        (DIRECTION, -1, [0.1, 0.3], True),
        (INVARIANCE, 0, [0.6, 0.95, 0.55], False),
        (INVARIANCE, 0, [0.52, 0.48], False),
        (INVARIANCE, 0, [0.6, 0.7, 0.4], True),
    ],
)
def test_a_case_fails_by_its_kind_and_not_by_a_hair(kind, wanted, positive, fails):
    case = Case(tuple(str(i) for i in range(len(positive))), wanted)
    assert BehaviourTest("c", "t", kind, [case]).fails(case, np.array(positive)) == fails


def test_every_capability_has_cases_and_no_case_says_the_same_twice():
    tests = behaviour_tests(["A remarkable little film about nothing", "ok"], cases=10_000)
    assert {test.capability for test in tests} == {
        "vocabulary",
        "negation",
        "intensifiers",
        "contrast",
        "names",
        "typos",
    }
    for test in tests:
        assert test.kind in KINDS
        assert len({case.texts for case in test.cases}) == len(test.cases) > 0
        assert all(len(set(case.texts)) == len(case.texts) for case in test.cases)
        assert not any("{" in text or "  " in text for case in test.cases for text in case.texts)
    assert len(tests[-1].cases) == 1  # "ok" has no word to misspell


def test_a_typo_swaps_two_letters_inside_one_word():
    for case in [case for test in behaviour_tests() if test.capability == "typos" for case in test.cases]:
        before, after = (text.split() for text in case.texts)
        changed = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
        ((old, new),) = changed
        assert sorted(old) == sorted(new)
        assert (old[0], old[-1]) == (new[0], new[-1])
        assert sum(a != b for a, b in zip(old, new, strict=True)) == 2


def test_the_tests_are_the_same_for_the_same_seed_and_of_the_size_asked():
    assert behaviour_tests(seed=1) == behaviour_tests(seed=1) != behaviour_tests(seed=2)
    assert all(len(test.cases) == CASES for test in behaviour_tests())


def test_each_text_is_asked_once_in_one_call():
    asked = []

    def predict(texts):
        asked.append(texts)
        return [0.9] * len(texts)

    check_behaviour(predict)
    assert len(asked) == 1
    assert len(set(asked[0])) == len(asked[0])


def test_probabilities_of_one_or_of_both_classes_are_taken_alike():
    tests = behaviour_tests(cases=5)
    one = check_behaviour(count_words, tests)
    both = check_behaviour(lambda texts: np.stack([1 - count_words(texts), count_words(texts)], 1), tests)
    assert one == both == check_behaviour(lambda texts: torch.tensor(count_words(texts)), tests)


@pytest.mark.parametrize("returned", [lambda n: np.zeros(n + 1), lambda n: np.zeros((n, 3)), lambda n: np.full(n, 1.5)])
def test_what_are_no_probabilities_is_refused(returned):
    with pytest.raises(ValueError, match="a probability of positive"):
        check_behaviour(lambda texts: returned(len(texts)))


@pytest.mark.parametrize(
    ("kind", "texts", "message"),
    [
        ("min", ("a",), "none of minimum"),
        (MINIMUM, ("a", "b"), "2 texts"),
        (INVARIANCE, ("a",), "1 texts"),
        (MINIMUM, (), "0"),
    ],
)
def test_a_test_of_the_wrong_shape_is_refused(kind, texts, message):
    with pytest.raises(ValueError, match=message):
        BehaviourTest("c", "t", kind, [Case(texts)])


def test_the_report_counts_with_intervals_and_shows_the_worst_failure_escaped():
    own = [
        BehaviourTest("care", "markup", MINIMUM, [Case(("<b>good</b>",), 1), Case(("fine",), 1), Case(("bad",), 0)]),
        BehaviourTest("care", "pairs", INVARIANCE, [Case(("fine", "bad"))]),
    ]
    said = {"<b>good</b>": 0.1, "fine": 0.4, "bad": 0.9}
    report = check_behaviour(lambda texts: [said[text] for text in texts], own, "m")
    first, second = report.rows
    assert (first.failures, first.n) == (3, 3)
    assert first.example in ((("<b>good</b>", 0.1),), (("bad", 0.9),))
    assert second.example == (("fine", 0.4), ("bad", 0.9))
    assert report.by_capability() == {"care": proportion_interval(4, 4)}
    shown = report._repr_html_()
    assert "<b>good" not in shown
    assert "3/3" in shown
    assert "as if the cases were independent" in str(report)
    assert [row["failures"] for row in report.as_json()] == [3, 1]

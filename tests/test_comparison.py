"""Laws of the paired test, with the tossing of coins as the oracle."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.comparison import McNemar, mcnemar

law = settings(max_examples=30, deadline=None)
triples = st.lists(st.tuples(*[st.integers(0, 2)] * 3), max_size=40)


def by_tossing_coins(only_a: int, only_b: int) -> float:
    """The share of all outcomes of fair coins, one a disagreement, that are at least as uneven as the one seen."""
    tosses = itertools.product((-1, 1), repeat=only_a + only_b)
    uneven = [abs(sum(toss)) >= abs(only_a - only_b) for toss in tosses]
    return sum(uneven) / len(uneven)


@pytest.mark.parametrize("only_a", range(6))
@pytest.mark.parametrize("only_b", range(6))
def test_p_is_the_share_of_coin_tosses_at_least_as_uneven(only_a, only_b):
    labels = np.ones(only_a + only_b + 3, dtype=int)
    a, b = labels.copy(), labels.copy()
    b[:only_a] = 0
    a[only_a : only_a + only_b] = 0
    found = mcnemar(labels, a, b)
    assert found.p_value == pytest.approx(by_tossing_coins(only_a, only_b), abs=1e-12)
    assert (found.only_a_right, found.only_b_right, found.n) == (only_a, only_b, only_a + only_b + 3)


@law
@given(triples)
def test_the_counts_and_the_difference_are_those_of_a_plain_loop(rows):
    labels, a, b = ([row[k] for row in rows] for k in range(3))
    found = mcnemar(labels, a, b)
    assert found.only_a_right == sum(label == x != y for label, x, y in rows)
    assert found.only_b_right == sum(label == y != x for label, x, y in rows)
    right_a, right_b = ([label == said for label, said in zip(labels, model, strict=True)] for model in (a, b))
    expected = (sum(right_a) - sum(right_b)) / max(len(rows), 1)
    assert found.difference == pytest.approx(expected, abs=1e-12)


@law
@given(triples)
def test_swapping_the_models_swaps_the_counts_and_keeps_p(rows):
    labels, a, b = ([row[k] for row in rows] for k in range(3))
    forth, back = mcnemar(labels, a, b), mcnemar(labels, b, a)
    assert (forth.only_a_right, forth.only_b_right) == (back.only_b_right, back.only_a_right)
    assert forth.p_value == pytest.approx(back.p_value, abs=1e-12)
    assert forth.difference == -back.difference


@law
@given(triples, st.integers(1, 20))
def test_examples_on_which_both_agree_never_change_p(rows, more):
    labels, a, b = ([row[k] for row in rows] for k in range(3))
    longer = mcnemar(labels + [1, 0] * more, a + [1, 1] * more, b + [1, 1] * more)
    assert longer.p_value == mcnemar(labels, a, b).p_value


def test_two_equal_models_are_no_evidence():
    found = mcnemar([0, 1, 1], [0, 0, 1], [0, 0, 1])
    assert (found.p_value, found.difference) == (1.0, 0.0)
    assert str(found).startswith("A and B are equally accurate")
    assert mcnemar([], [], []).p_value == 1.0


@pytest.mark.parametrize(
    ("counts", "words"),
    [((9, 2), "A is 7.0 points of accuracy above B"), ((2, 9), "A is 7.0 points of accuracy below B")],
)
def test_the_line_says_which_model_is_better_and_by_how_much(counts, words):
    line = str(McNemar(100, *counts, p_value=0.0654))
    assert line == f"{words} (only A right: {counts[0]}, only B right: {counts[1]}, n = 100, exact McNemar p = 0.065)"
    assert "p &lt; 0.001" in McNemar(100, 20, 0, p_value=1.9e-6)._repr_html_()


def test_tensors_and_lists_are_taken_alike():
    rows = [1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 1]
    assert mcnemar(*rows) == mcnemar(*(torch.tensor(row) for row in rows)) == McNemar(4, 3, 0, 0.25)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (([1, 0], [1, 0], [1]), r"same shape \(n,\); found \(2,\), \(2,\), \(1,\)"),
        (([[1]], [[1]], [[1]]), r"same shape \(n,\)"),
        (([1, 0], [1, math.nan], [1, 0]), "predictions_a must be class indices; found NaN"),
    ],
)
def test_predictions_that_cannot_be_paired_are_refused(rows, message):
    with pytest.raises(ValueError, match=message):
        mcnemar(*rows)

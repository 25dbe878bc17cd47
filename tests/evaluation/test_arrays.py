"""Laws of the arrays that every score is computed from: what is taken, and what is refused with the place where it stands."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labkit.evaluation.arrays import (
    as_array,
    binary,
    check_level,
    check_range,
    floats,
    integers,
    ratio,
    refuse_nan,
    same_length,
)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_tensor_of_any_precision_and_part_of_a_graph_becomes_an_array_of_its_values(dtype):
    tensor = torch.tensor([0.5, -2.0], dtype=dtype, requires_grad=True)
    assert as_array(2 * tensor).tolist() == [1.0, -4.0] and as_array(tensor).dtype == np.float64
    assert as_array(torch.tensor([1, 2])).dtype == np.int64


@pytest.mark.parametrize("values", [[0, 1, 2], [0.0, 1.0, 2.0], np.array([0, 1, 2], np.uint8), torch.tensor([0, 1, 2])])
def test_whole_numbers_of_any_kind_are_taken(values):
    found = integers(values, "labels")
    assert found.tolist() == [0, 1, 2] and found.dtype == np.int64


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 1.5], r"labels must be whole numbers; found 1\.5 at index 1"),
        ([math.nan, 1], r"labels must be whole numbers; found nan at index 0"),
        ([[0, 1]], r"labels must have one dimension, \(n,\); found shape \(1, 2\)"),
        (["0"], r"labels must be whole numbers; found <U1"),
    ],
)
def test_what_is_no_whole_number_is_refused_with_its_place(values, message):
    with pytest.raises(ValueError, match=message):
        integers(values, "labels")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: floats([[1.0]], "scores"), r"scores must have shape \(n,\); found \(1, 1\)"),
        (lambda: floats([1.0], "logits", dimensions=2), r"logits must have shape \(n, classes\); found \(1,\)"),
        (lambda: floats([1.0, math.nan], "scores"), r"scores must be no NaN; found nan at index \[1\]"),
        (
            lambda: floats([[1.0, math.inf]], "logits", 2, finite=True),
            r"logits must be finite; found inf at index \[0, 1\]",
        ),
        (lambda: refuse_nan(np.array([math.nan]), "weights"), r"weights must be no NaN"),
        (lambda: same_length(np.zeros(2), "labels", np.zeros(3), "scores"), "labels and scores .* found 2 and 3"),
        (lambda: binary([0, 1, 3, 2], "labels"), "labels must be 0 or 1; found 2"),
        (lambda: check_range(np.array([0, 2, 5]), "labels", 2), r"labels must lie in 0\.\.1; found 2 at index 1"),
        (lambda: check_level(1.0), "level must lie between 0 and 1, such as 0.95; found 1.0"),
    ],
)
def test_what_fits_no_score_is_refused_with_what_was_found(call: Any, message: str):
    with pytest.raises(ValueError, match=message):
        call()


def test_infinite_scores_are_taken_where_only_their_order_counts():
    assert floats([math.inf, -math.inf, 0.0], "scores").tolist() == [math.inf, -math.inf, 0.0]


def test_zeros_and_ones_of_any_kind_become_bool():
    for values in ([0, 1], [0.0, 1.0], [False, True], torch.tensor([0, 1])):
        found = binary(values, "labels")
        assert found.tolist() == [False, True] and found.dtype == np.bool_


@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(-5, 5)), max_size=8), st.floats(allow_nan=False))
def test_a_ratio_is_the_quotient_and_otherwise_what_is_asked_for(pairs, otherwise):
    numerators, denominators = (np.array([pair[side] for pair in pairs], dtype=np.float64) for side in (0, 1))
    with np.errstate(over="ignore"):
        found = ratio(numerators, denominators, otherwise)
        wanted = [a / b if b > 0 else otherwise for a, b in zip(numerators, denominators, strict=True)]
    assert found.tolist() == wanted

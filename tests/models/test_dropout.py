"""Laws of the sixteen-bit dropout masks: their statistics are those of Bernoulli numbers, and a seed gives them again."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from labkit.models.dropout import STEPS, DropoutMasks, Mask

DTYPES = [torch.float64, torch.float32, torch.bfloat16]


def kept(probability: float, count: int, seed: int = 0, sixteen_bit: bool = True) -> torch.Tensor:
    torch.manual_seed(seed)
    mask = DropoutMasks(sixteen_bit).draw((count,), probability, torch.empty(0))
    assert mask.kept is not None
    return mask.kept


@pytest.mark.parametrize("sixteen_bit", [True, False])
@pytest.mark.parametrize("probability", [0.001, 0.1, 0.3, 0.5, 0.9])
def test_as_many_are_dropped_as_the_probability_says(probability, sixteen_bit):
    count = 400_000
    dropped = int((kept(probability, count, sixteen_bit=sixteen_bit) == 0).sum())
    assert stats.binomtest(dropped, count, probability).pvalue > 1e-4


@settings(deadline=None)
@given(st.floats(1e-4, 0.999))
def test_the_probability_is_the_nearest_step_and_the_scale_keeps_the_mean_of_just_that(probability):
    mask = DropoutMasks().draw((1,), probability, torch.empty(0))
    drawn = 1 - 1 / mask.scale
    assert abs(drawn - probability) <= 0.5 / STEPS + 1e-9


def test_whether_one_is_dropped_says_nothing_about_its_neighbours():
    mask = kept(0.3, 400_000)
    for apart in (1, 2, 3, 4, 5, 8, 16, 384):
        table = torch.stack([mask[:-apart], mask[apart:]]).long()
        counts = torch.bincount(table[0] * 2 + table[1], minlength=4).reshape(2, 2).numpy()
        assert stats.chi2_contingency(counts).pvalue > 1e-4, apart


def test_two_masks_of_one_forward_pass_are_independent():
    torch.manual_seed(0)
    masks = DropoutMasks()
    one, two = (masks.draw((300_000,), 0.3, torch.empty(0)) for _ in range(2))
    assert one.kept is not None and two.kept is not None
    counts = torch.bincount(one.kept.long() * 2 + two.kept.long(), minlength=4).reshape(2, 2).numpy()
    assert stats.chi2_contingency(counts).pvalue > 1e-4


def test_a_seed_gives_the_same_masks_again_and_another_seed_others():
    assert torch.equal(kept(0.5, 1000, seed=1), kept(0.5, 1000, seed=1))
    assert not torch.equal(kept(0.5, 1000, seed=1), kept(0.5, 1000, seed=2))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (3, 5, 7), (0, 4)])
def test_a_mask_has_the_shape_and_dtype_that_were_asked_for_and_holds_zeros_and_ones(shape, dtype):
    mask = DropoutMasks().draw(shape, 0.5, torch.empty(0, dtype=dtype))
    assert mask.kept is not None
    assert mask.kept.shape == shape and mask.kept.dtype == dtype
    assert set(mask.kept.flatten().tolist()) <= {0.0, 1.0}


def test_without_dropout_nothing_is_drawn():
    torch.manual_seed(0)
    state = torch.get_rng_state()
    assert DropoutMasks().draw((5,), 0.0, torch.empty(0)) == Mask(None, 1.0)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_probability_that_is_nearly_one_leaves_a_finite_scale():
    mask = DropoutMasks().draw((10,), 1 - 1e-9, torch.empty(0))
    assert math.isfinite(mask.scale)

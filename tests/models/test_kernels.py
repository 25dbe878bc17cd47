"""Laws of attention and of the add-and-norm step: torch's values, and gradients that are those of the values."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.models.dropout import DropoutMasks
from labkit.models.kernels import _AddAndNorm, _Attention, attend

law = settings(max_examples=25, deadline=None)
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def difference(found: torch.Tensor, wanted: torch.Tensor, floor: float = 0.0) -> float:
    """The largest difference, relative to the largest magnitude."""
    return float((found - wanted).abs().max() / max(float(wanted.abs().max()), floor))


@law
@given(lengths=LENGTHS, seed=st.integers(0, 100))
def test_attention_is_that_of_torch_and_so_are_its_gradients(lengths, seed):
    generator = torch.Generator().manual_seed(seed)
    shape = (len(lengths), 2, max(lengths), 4)
    tensors = [torch.randn(shape, generator=generator, dtype=torch.float64, requires_grad=True) for _ in range(3)]
    hidden = torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]
    found, wanted = (
        attend(*tensors, hidden[:, None, None], 0.0, DropoutMasks(), fused=fused) for fused in (False, True)
    )
    assert difference(found.detach(), wanted.detach()) < 1e-10
    upstream = torch.randn(shape, generator=generator, dtype=torch.float64)
    for one, other in zip(*(torch.autograd.grad(out, tensors, upstream) for out in (found, wanted)), strict=True):
        assert difference(one, other, floor=1e-3) < 1e-10  # of one token alone the gradient is nothing but rounding


@pytest.mark.parametrize("probability", [0.0, 0.4])
def test_the_gradients_that_are_written_by_hand_are_those_of_the_values(probability):
    torch.manual_seed(0)
    query, key, value = (torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(3))
    hidden = torch.tensor([False, False, True])[None, None, None].expand(2, 1, 1, 3)
    mask = DropoutMasks().draw((2, 2, 3, 3), probability, query)
    assert torch.autograd.gradcheck(
        lambda *parts: _Attention.apply(*parts, hidden, mask.kept, mask.scale), (query, key, value)
    )
    change, residual = (torch.randn(5, 4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    weight, bias = (torch.randn(4, dtype=torch.float64, requires_grad=True) for _ in range(2))
    mask = DropoutMasks().draw((5, 4), probability, change)
    assert torch.autograd.gradcheck(
        lambda *parts: _AddAndNorm.apply(*parts, 1e-12, mask.kept, mask.scale), (change, residual, weight, bias)
    )

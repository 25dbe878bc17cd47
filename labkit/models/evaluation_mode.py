"""Looking at a model without training it: no dropout, no gradients to its weights, and afterwards all as it was.

Runs nothing itself: eval_epoch (training) and margins.py (explanation) do.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def evaluation_mode(model: "nn.Module", *, input_gradients: bool = False) -> Iterator[None]:
    """Put the model into evaluation mode, and every module back into its own mode when the block ends.

    No gradient is recorded in the block. input_gradients: gradients are recorded as outside the block, but only to what goes
    into the model; its weights ask for none until the block ends.
    """
    import torch

    modes = [(module, module.training) for module in model.modules()]
    # Frozen only where needed: autocast keeps its copy of a weight only while the weight asks for a gradient.
    frozen = [weight for weight in model.parameters() if weight.requires_grad] if input_gradients else []
    model.eval()
    try:
        for weight in frozen:
            weight.requires_grad_(False)
        with torch.set_grad_enabled(input_gradients and torch.is_grad_enabled()):
            yield
    finally:
        for module, training in modes:
            module.training = training
        for weight in frozen:
            weight.requires_grad_(True)

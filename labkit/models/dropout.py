"""Dropout masks that cost little: sixteen random bits an element.

They come from a generator that fills memory fast. On the CPU torch's Bernoulli masks take a tenth and more of a
fine-tuning step. Here an element is dropped where a random 16-bit number falls below a threshold, so the probability is
the nearest multiple of 1/65,536 (0.1 becomes 0.100006), and what is kept is scaled by exactly that. On other devices
torch draws them.
"""

from dataclasses import dataclass, field

import numpy as np
import torch

STEPS = 2**16


@dataclass
class DropoutMasks:
    """Draws the masks of one forward pass.

    sixteen_bit: sixteen random bits an element on the CPU; otherwise torch's Bernoulli numbers. All of it follows from
    torch's global random state, so `torch.manual_seed` reproduces it.
    """

    sixteen_bit: bool = True
    _bits: np.random.SFC64 | None = field(default=None, init=False, repr=False)

    def draw(self, shape: tuple[int, ...], probability: float, like: torch.Tensor) -> "Mask":
        """Draw a mask that drops with this probability.

        like: a tensor of the dtype and on the device that the mask shall have.
        """
        if probability == 0.0:
            return Mask(None, 1.0)
        kept = torch.empty(shape, dtype=like.dtype, device=like.device)
        if not self.sixteen_bit or like.device.type != "cpu":
            return Mask(kept.bernoulli_(1 - probability), 1 / (1 - probability))
        threshold = min(round(probability * STEPS), STEPS - 1)
        torch.ge(self._numbers(shape), threshold - STEPS // 2, out=kept)
        return Mask(kept, STEPS / (STEPS - threshold))

    def _numbers(self, shape: tuple[int, ...]) -> torch.Tensor:
        """Draw random int16 numbers of that shape."""
        if self._bits is None:
            self._bits = np.random.SFC64(int(torch.randint(2**62, ())))
        count = int(np.prod(shape))
        words = self._bits.random_raw(-(-count // 4))
        return torch.from_numpy(words.view(np.int16)[:count]).view(shape)


@dataclass(frozen=True)
class Mask:
    """What dropout keeps of a tensor, and by how much that is scaled.

    kept: 1 where an element stays and 0 where it is dropped; None where all stay. scale: 1 / (1 - probability). The
    scale stands apart because 1 / 0.9 is off by 0.16 % when it is rounded to bf16.
    """

    kept: torch.Tensor | None
    scale: float

"""The max_length explorer: what it cuts and what it pads, on many reviews.

Counts with tokens.py and draws with figures.py.
"""

from collections.abc import Sequence

import ipywidgets
import numpy as np

from labkit.data.tokens import length_costs
from labkit.figures import alt_text, review_lengths, to_html
from labkit.widgets.interactive import Interactive, Picture, explorer, labelled


def max_length_explorer(lengths: Sequence[int] | np.ndarray, max_length: int = 128) -> Interactive:
    """Explore max_length: how many reviews are cut, and what share is padding.

    By a slider over the reviews' lengths; the share is that of every batch.
    """
    longest = max(max_length, int(np.max(lengths)))
    box = labelled(ipywidgets.BoundedIntText, "max_length:", value=max_length, min=3, max=longest)

    def show(max_length: int) -> Picture:
        costs = length_costs(lengths, [max_length])
        ax = review_lengths(lengths, max_length)
        said = (
            f"At max_length {max_length}, {costs.cut_tokens[0]:.1%} of all tokens are cut away, "
            f"and {costs.padding[0]:.1%} of all places are padding."
        )
        return Picture(f"<p>{said}</p>{to_html(ax)}", f"{said} {alt_text(ax)}")

    return explorer({"max_length": box}, show, sliders=("max_length",))

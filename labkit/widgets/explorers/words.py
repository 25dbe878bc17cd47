"""The word explorer: type a review and see which words the verdict needs.

Asks classifier.py's Classifier; computes nothing of its own.
"""

from typing import TYPE_CHECKING

import ipywidgets

from labkit.figures import alt_text, to_html, word_effects
from labkit.widgets.interactive import Interactive, Picture, explorer, labelled

if TYPE_CHECKING:
    from labkit.serving.classifier import Classifier


def review_box(text: str) -> ipywidgets.Text:
    """Make a box for a review, which counts when Enter is pressed.

    So the model runs once a review, not once a letter.
    """
    return labelled(ipywidgets.Text, "Review:", value=text, continuous_update=False, layout={"width": "95%"})


def word_explorer(classifier: "Classifier", text: str) -> Interactive:
    """Explore a verdict: each word with what its absence does to it.

    Type a review and press Enter.
    """

    def show(text: str) -> Picture:
        ax = word_effects(classifier.leave_one_out(text))
        return Picture(to_html(ax), alt_text(ax))

    return explorer({"text": review_box(text)}, show)

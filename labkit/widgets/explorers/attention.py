"""The attention explorer: who looks at whom in one review, by layer and head.

Asks attention.py for the weights, once a review; says nothing of what moves the decision (review.py).
"""

from functools import lru_cache
from typing import TYPE_CHECKING

import ipywidgets

from labkit.explanation.attention import AttentionWeights, attention_weights
from labkit.figures import alt_text, attention_heatmap, to_html
from labkit.widgets.explorers.words import review_box
from labkit.widgets.interactive import Interactive, Picture, explorer, labelled

if TYPE_CHECKING:
    from labkit.serving.classifier import Classifier

ALL_HEADS = "mean of all"


def attention_explorer(classifier: "Classifier", text: str) -> Interactive:
    """Explore the attention of a review, layer by layer and head by head.

    The weights are a heat map, and it is said in words what `[CLS]` looks at. Layers and heads are counted from 0. A model
    that returns no weights is shown with the remedy in the picture's place.
    """
    model, config = classifier.model, classifier.config

    @lru_cache(maxsize=8)
    def weights_of(text: str) -> AttentionWeights:
        return attention_weights(
            model, classifier.tokenizer, text, max_length=config.max_length, truncation=config.truncation
        )

    last = int(model.config.num_hidden_layers) - 1
    heads = [(ALL_HEADS, None), *((str(head), head) for head in range(int(model.config.num_attention_heads)))]
    controls = {
        "text": review_box(text),
        "layer": labelled(ipywidgets.BoundedIntText, "Layer:", value=last, min=0, max=last),
        "head": labelled(ipywidgets.Dropdown, "Head:", options=heads),
    }

    def show(text: str, layer: int, head: int | None) -> Picture:
        ax = attention_heatmap(weights_of(text), layer, head)
        return Picture(to_html(ax), alt_text(ax))

    return explorer(controls, show, sliders=("layer",))

"""The attribution methods: what each is, how it is drawn, what computes it.

A new method is one entry here, and its function. Imports nothing heavy, so that the command line can name the methods. Computes
nothing (methods.py), and holds no explanation (attribution.py).
"""

import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from labkit.explanation.methods import AttributionInputs, TokenScores


@dataclass(frozen=True)
class Method:
    """A method of attribution.

    function: what computes it, as "module:function", imported when the method is first used. is_signed: whether a score says
    for which class its word speaks. needs_eager: whether it reads attention weights, which only eager attention returns.
    """

    about: str
    unit: str
    colour: str
    function: str
    is_signed: bool = True
    needs_eager: bool = False

    @property
    def compute(self) -> Callable[["AttributionInputs"], Sequence["TokenScores"]]:
        """The function that scores the tokens of every text, a text each."""
        return pkgutil.resolve_name(self.function)


# Each has one colour throughout the course; the control is grey.
METHODS = {
    "attention": Method(
        about="how much [CLS] looks at it, in one layer",
        unit="share of attention",
        colour="#cc79a7",
        function="labkit.explanation.methods:attention_scores",
        is_signed=False,
        needs_eager=True,
    ),
    "rollout": Method(
        about="how much of it reaches [CLS] through all layers",
        unit="share of attention",
        colour="#882255",
        function="labkit.explanation.methods:rollout_scores",
        is_signed=False,
        needs_eager=True,
    ),
    "gradient-x-input": Method(
        about="the gradient at the text itself, times the embedding",
        unit="logits",
        colour="#56b4e9",
        function="labkit.explanation.methods:gradient_x_input_scores",
    ),
    "integrated-gradients": Method(
        about="the gradient, averaged from the empty text to the text, times their difference",
        unit="logits",
        colour="#0072b2",
        function="labkit.explanation.methods:integrated_gradients_scores",
    ),
    "occlusion": Method(
        about="how far the margin falls with [MASK] in its place",
        unit="logits",
        colour="#009e73",
        function="labkit.explanation.methods:occlusion_scores",
    ),
    "random": Method(
        about="drawn at random: the control",
        unit="drawn, without a unit",
        colour="#7f7f7f",
        function="labkit.explanation.methods:random_scores",
    ),
}
DEFAULT = "integrated-gradients"

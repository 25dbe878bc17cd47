"""What every figure is made with: its axes, its titles, and one colour a model.

Draws nothing of its own. What a page embeds of a figure is pictures.py's.
"""

import re
import textwrap
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from labkit.evaluation.metrics import EvalResult
from labkit.pictures import ALT_TEXT, ShownAxes

# Okabe & Ito's palette, which colour-blind readers tell apart. The first of these words in a model's name decides.
MODEL_COLOURS = {
    "majority": "#7f7f7f",
    "tf-idf": "#e69f00",
    "gru": "#cc79a7",
    "tiny": "#56b4e9",
    "minilm": "#0072b2",
    "distilbert": "#009e73",
    "albert": "#882255",
    "modernbert": "#000000",
    "bert": "#d55e00",
}
OTHER_COLOURS = ("#332288", "#117733", "#aa4499", "#999933", "#661100")
UNNAMED = "#333333"
GREY = "#666666"
WHOLE, CUT = "#8fa8c4", "#b2182b"
SIZE = (6.4, 4.4)  # inches


def axes_or_new(ax: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """Return the given Axes, or new ones that fill a figure of their own."""
    if ax is None:
        ax = Figure(figsize=size, layout="constrained").add_subplot(axes_class=ShownAxes)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def finished(ax: Axes, title: str, xlabel: str, ylabel: str, words: str) -> Axes:
    """Give the axes their title, labels and the words that say what is to be seen."""
    unbroken = re.sub(r"\[.*?\]| = ", lambda whole: whole[0].replace(" ", "\u00a0"), plain_text(title))
    shown = ax.set_title(textwrap.fill(unbroken, 64), fontsize=11, loc="left")
    ax.set_xlabel(xlabel)
    ax.set_ylabel(ylabel)
    setattr(ax, ALT_TEXT, words)
    figure = ax.get_figure(root=True)
    if isinstance(ax, ShownAxes) and figure is not None:
        figure.draw_without_rendering()
        _fit(shown, unbroken, figure)
        figure.set_layout_engine("none")  # another layout would start from this one and end a little elsewhere
    return ax


def _fit(shown: Text, title: str, figure: Figure) -> None:
    """Break a title into shorter lines where it would run over the figure's edge.

    As it would beside long labels.
    """
    box = shown.get_window_extent()
    room = (figure.bbox.x1 - box.x0) / box.width if box.width else 1.0
    if room < 1:
        longest = max(map(len, shown.get_text().split("\n")))
        shown.set_text(textwrap.fill(title, max(12, int(0.95 * room * longest))))
        figure.draw_without_rendering()


def model_colours(names: Iterable[str]) -> list[str]:
    """Choose a colour for each model, the same in every figure.

    Names that are no model of the course share the rest.

    >>> model_colours(["MiniLM", "TF-IDF"])
    ['#0072b2', '#e69f00']
    """
    chosen: list[str] = []
    for name in names:
        known = [colour for word, colour in MODEL_COLOURS.items() if word in name.lower()][:1]
        start = zlib.crc32(name.encode()) % len(OTHER_COLOURS)
        others = [*OTHER_COLOURS[start:], *OTHER_COLOURS[:start]]
        free = [colour for colour in [*known, *others] if colour not in chosen]
        chosen.append((free or others)[0])
    return chosen


def ink_on(colour: Any) -> str:
    """Black or white: the letters that are told better from a colour of matplotlib's, by WCAG's relative luminance.

    >>> ink_on("#0072b2"), ink_on("#56b4e9")
    ('white', 'black')
    """
    parts = np.array(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return "black" if linear @ (0.2126, 0.7152, 0.0722) > 0.179 else "white"


def plain_text(text: str) -> str:
    """Escape the text so that matplotlib shows it literally.

    A pair of dollar signs would be read as a formula.
    """
    return text.replace("$", r"\$")


def name_of(result: EvalResult) -> str:
    """Return the name of a result's model, or "model"."""
    return result.name or "model"


def cut_word(word: str, longest: int = 24) -> str:
    """Return a word, or its beginning where it is too long for a label."""
    return word if len(word) <= longest else f"{word[: longest - 1]}…"

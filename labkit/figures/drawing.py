"""What every figure is made with: axes that show themselves with their words, colours, and the bytes a page embeds.

Draws nothing of its own.
"""

import base64
import html
import io
import re
import textwrap
import zlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from labkit.evaluation.metrics import EvalResult

if TYPE_CHECKING:
    pass


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
ALT_TEXT = "labkit_alt_text"


class ShownAxes(Axes):
    """Axes that show themselves, with their text alternative, where a notebook cell ends with them."""

    def _repr_html_(self) -> str:
        return to_html(self)


def alt_text(ax: Axes) -> str:
    """The figure's content in words, with its numbers.

    Raises ValueError for Axes that no function of this module drew.

    >>> from labkit.figures import review_lengths
    >>> alt_text(review_lengths([3, 5, 200], max_length=128))
    'Histogram of 3 review lengths in tokens: median 5, longest 200. 1 of 3 (33.3%) are longer than 128 and are cut.'
    """
    text = getattr(ax, ALT_TEXT, "")
    if not text:
        raise ValueError("these Axes have no text alternative; it is attached by the functions of labkit.figures")
    return str(text)


def to_svg(ax: Axes) -> str:
    """The whole figure as an SVG element for a page: no date, fixed ids, the text alternative as its title."""
    with matplotlib.rc_context({"svg.hashsalt": "labkit", "svg.fonttype": "path"}):
        document = _saved(ax, "svg", {"Date": None, "Title": alt_text(ax)}).decode("utf-8")
    return document[document.index("<svg") :].replace("<svg ", '<svg role="img" ', 1)


def to_png_bytes(ax: Axes, dpi: int = 144) -> bytes:
    """The whole figure as a PNG file; it says its text alternative in its description."""
    return _saved(ax, "png", {"Software": None, "Description": alt_text(ax)}, dpi=dpi)


def to_html(ax: Axes) -> str:
    """The whole figure as an HTML element that needs nothing else: the picture, and its text alternative to unfold."""
    picture = base64.b64encode(to_svg(ax).encode()).decode()
    words = html.escape(alt_text(ax))
    return (
        f'<figure style="margin:0"><img alt="{words}" src="data:image/svg+xml;base64,{picture}" style="max-width:100%">'
        f"<figcaption><details><summary>This figure in words</summary>{words}</details></figcaption></figure>"
    )


def _saved(ax: Axes, file_format: str, metadata: dict[str, str | None], **options: Any) -> bytes:
    buffer = io.BytesIO()
    figure = ax.get_figure(root=True)
    assert figure is not None
    figure.savefig(buffer, format=file_format, metadata=metadata, facecolor="white", **options)
    return buffer.getvalue()


def axes_or_new(ax: Axes | None, size: tuple[float, float] = SIZE) -> Axes:
    """The given Axes, or new ones that fill a figure of their own."""
    if ax is None:
        ax = Figure(figsize=size, layout="constrained").add_subplot(axes_class=ShownAxes)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def finished(ax: Axes, title: str, xlabel: str, ylabel: str, words: str) -> Axes:
    """The axes with title, labels and the words that say what is to be seen."""
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
    """Break a title into shorter lines where it would end beyond the figure's edge, as beside long labels."""
    box = shown.get_window_extent()
    room = (figure.bbox.x1 - box.x0) / box.width if box.width else 1.0
    if room < 1:
        longest = max(map(len, shown.get_text().split("\n")))
        shown.set_text(textwrap.fill(title, max(12, int(0.95 * room * longest))))
        figure.draw_without_rendering()


def model_colours(names: Iterable[str]) -> list[str]:
    """A colour for each model, the same in every figure; names that are no model of the course share the rest.

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


def plain_text(text: str) -> str:
    """The text as matplotlib shows it literally: a pair of dollar signs would be read as a formula."""
    return text.replace("$", r"\$")


def name_of(result: EvalResult) -> str:
    """The name of a result's model, or "model"."""
    return result.name or "model"


def cut_word(word: str, longest: int = 24) -> str:
    """A word, or its beginning where it is too long for a label."""
    return word if len(word) <= longest else f"{word[: longest - 1]}…"

"""A figure as a page shows it: its content in words, and the bytes to embed.

Draws nothing (figures/).
"""

import base64
import html
import io
from typing import Any

import matplotlib
from matplotlib.axes import Axes

ALT_TEXT = "labkit_alt_text"


class ShownAxes(Axes):
    """Axes that show themselves with their text alternative in a notebook.

    Where a cell ends with them.
    """

    def _repr_html_(self) -> str:
        return to_html(self)


def alt_text(ax: Axes) -> str:
    """Return the figure's content in words, with its numbers.

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
    """Draw the whole figure as an SVG element for a page.

    No date, fixed ids, the text alternative as its title.
    """
    with matplotlib.rc_context({"svg.hashsalt": "labkit", "svg.fonttype": "path"}):
        document = _saved(ax, "svg", {"Date": None, "Title": alt_text(ax)}).decode("utf-8")
    return document[document.index("<svg") :].replace("<svg ", '<svg role="img" ', 1)


def to_png_bytes(ax: Axes, dpi: int = 144) -> bytes:
    """Draw the whole figure as a PNG file.

    It says its text alternative in its description.
    """
    return _saved(ax, "png", {"Software": None, "Description": alt_text(ax)}, dpi=dpi)


def to_html(ax: Axes) -> str:
    """Draw the whole figure as an HTML element that needs nothing else.

    The picture, and its text alternative to unfold.
    """
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

"""Things to look at: a function's source, and a figure with its text alternative."""

from __future__ import annotations  # matplotlib is imported where it is used: a lesson's first cell does without

import html
import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from IPython.display import display

from labkit.errors import UsageError
from labkit.student_work import Work

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Source:
    """The source of a function.

    after: the exercise that must have been attempted first. locked: it has not been.
    """

    name: str
    module: str
    code: str
    after: str | None = None
    locked: bool = False

    @property
    def summary(self) -> str:
        """What is shown, or why not yet."""
        if self.locked:
            return (
                f"The source of {self.name} opens after exercise {self.after} has been attempted: "
                "check your answer there, then run this cell again."
            )
        return f"The source of {self.name}, {len(self.code.splitlines())} lines of {self.module}"

    def __str__(self) -> str:
        return self.summary if self.locked else f"{self.summary}\n\n{self.code}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if self.locked:
            return f"<p>{html.escape(self.summary)}</p>"
        opened = " open" * (self.after is not None)
        return f"<details{opened}><summary>{html.escape(self.summary)}</summary>{highlighted(self.code)}</details>"


def highlighted(code: str) -> str:
    """Python code as HTML that needs no style sheet, dark on light.

    It can be scrolled by keyboard where a line is long.
    """
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    formatter = HtmlFormatter(noclasses=True, style="xcode", nowrap=True)
    style = "background:#fff;color:#000;padding:0.6em;overflow-x:auto;line-height:1.35;white-space:pre"
    style += ";font-family:var(--jp-code-font-family,monospace)"
    return f'<pre tabindex="0" style="{style}">{highlight(code, PythonLexer(), formatter)}</pre>'


def read_source(function: Callable[..., Any], after: str | None = None) -> Source:
    """The source of a function or class, locked until `after` has been attempted.

    Raises UsageError for what has no Python source.
    """
    try:
        code = inspect.getsource(inspect.unwrap(function))
    except (OSError, TypeError):
        raise UsageError(f"{function!r} has no Python source to show") from None
    name = getattr(function, "__qualname__", type(function).__name__)
    locked = after is not None and not attempted(after)
    return Source(name, str(function.__module__), "" if locked else textwrap.dedent(code), after, locked)


def attempted(exercise: str) -> bool:
    """Whether the student has had an answer to that exercise checked."""
    kept = Work().checks.get(exercise, {})
    return kept.get("status", "not attempted") != "not attempted"


def show_source(function: Callable[..., Any], after: str | None = None) -> None:
    """Show a function's source, folded.

    after: an exercise; until it has been attempted there is only a sentence.
    """
    display(read_source(function, after))


@dataclass(frozen=True)
class ShownFigure:
    """A figure as it is displayed: an HTML element, and its content in words."""

    html: str
    words: str

    def __str__(self) -> str:
        return self.words

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return self.html


def figure(ax_or_figure: Axes | Figure, alt: str = "") -> None:
    """Show a figure with its text alternative: its own, or `alt`.

    Raises UsageError for a figure that has neither.
    """
    display(describe_figure(ax_or_figure, alt))


def describe_figure(ax_or_figure: Axes | Figure, alt: str = "") -> ShownFigure:
    """A whole figure as an HTML element and in words.

    A figure of pyplot's is closed, so that it is shown once.
    """
    from matplotlib.figure import Figure

    from labkit.pictures import ALT_TEXT

    whole = ax_or_figure if isinstance(ax_or_figure, Figure) else ax_or_figure.get_figure(root=True)
    if whole is None or not whole.axes:
        raise UsageError("there is nothing drawn in this figure")
    words = alt or " ".join(str(getattr(ax, ALT_TEXT)) for ax in whole.axes if hasattr(ax, ALT_TEXT))
    if not words:
        raise UsageError('this figure has no text alternative; say what it shows: figure(ax, alt="…")')
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close(whole)
    return ShownFigure(_with_words(whole.axes[0], words), words)


def _with_words(ax: Axes, words: str) -> str:
    """The whole figure of these Axes as HTML, described by `words`.

    The Axes keep their own words.
    """
    from labkit.pictures import ALT_TEXT, to_html

    own = getattr(ax, ALT_TEXT, "")
    setattr(ax, ALT_TEXT, words)
    try:
        return to_html(ax)
    finally:
        setattr(ax, ALT_TEXT, own)

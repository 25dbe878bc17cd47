"""What is shown to a person: notices, and tables for a page and for a terminal; and how a program's output arrives.

Does not know what it shows. Figures are pictures.py's.
"""

import contextlib
import html
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Template

Tell = Callable[[str], None]  # where a long piece of work puts its notices
LEFT = "text-align:left"  # of the cell itself: a notebook's own style sheet sets it to the right

# A page is light or dark, and who shows it decides. So a text has the page's own colour, or stands on a plate that says both
# its colours. These are for plates under white letters and for lines beside a text; both are told from any page.
GOOD, BAD, OPEN, MARK = "#1b7f3b", "#c5372c", "#5f6368", "#0072b2"
PLATE = "background:#fff;color:#111"  # for what has colours of its own

SURROGATES = re.compile("[\ud800-\udfff]")  # bytes of an argument or a path that are no UTF-8, as Python holds them


def prepare_streams() -> None:
    """Make sure that whatever a program says can be written, wherever its output goes.

    A character that the terminal or file cannot hold is written as its number, and a closed stream takes everything and keeps
    nothing: else the next file to be opened would get its place, and all notices with it. A notice that nobody can be given any
    more, as on a full disk or in a pipe whose reader is gone, ends no run.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, stream := open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115  # to the program's end
        if mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    told = sys.stderr
    if told is sys.__stderr__ and isinstance(told, io.TextIOWrapper):
        written = io.BufferedWriter(_Notices(getattr(told.buffer, "raw", told.buffer)))
        sys.stderr = io.TextIOWrapper(written, told.encoding, "backslashreplace", line_buffering=True)


class _Notices(io.RawIOBase):
    """A stream that drops what it cannot write."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, content: Any) -> Any:
        try:
            return self.stream.write(content)
        except OSError:
            return len(content)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self.stream.fileno())

    def isatty(self) -> bool:
        return bool(self.stream.isatty())


def discard_output() -> None:
    """Let go of what standard output still holds, so that Python does not try again to write it when it ends."""
    with contextlib.suppress(OSError, ValueError):  # a stream without a descriptor, as in tests
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, sys.stdout.fileno())
        os.close(descriptor)


def print_json(content: Any) -> None:
    """Print a value as JSON that is JSON in any encoding."""
    print(json.dumps(content, indent=1, ensure_ascii=not _prints_utf8()))


@contextlib.contextmanager
def json_list() -> Iterator[Callable[[Any], None]]:
    """Print a list as JSON, each value on a line of its own as soon as it is there.

    Whatever ends the block, the list is closed behind what was printed, so that it can be read.
    """
    opening = "["

    def tell(value: Any) -> None:
        nonlocal opening
        print(f"{opening}{json.dumps(value, ensure_ascii=not _prints_utf8())}", end="", flush=True)
        opening = ",\n"

    try:
        yield tell
    finally:
        print("[]" if opening == "[" else "]", flush=True)


def print_html(page: str) -> None:
    """Print a page that says of itself that it is UTF-8, and reads the same in any encoding."""
    print(page if _prints_utf8() else page.encode("ascii", "xmlcharrefreplace").decode("ascii"))


def _prints_utf8() -> bool:
    return (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"


def printable(text: str) -> str:
    r"""Somebody else's words or a file's name for a line in a terminal, which must not take them for commands or lines.

    >>> printable("a\n10 of 10") == "a\N{REPLACEMENT CHARACTER}10 of 10"
    True
    """
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def quoted(argument: object) -> str:
    """An argument of a command as it is typed into a shell.

    >>> print("labkit course open", quoted("Lab 2026").replace('"', "'"))
    labkit course open 'Lab 2026'
    """
    import shlex
    import subprocess

    return subprocess.list2cmdline([str(argument)]) if os.name == "nt" else shlex.quote(str(argument))


def say(text: str) -> None:
    """Print a notice without breaking a progress bar, on standard error.

    Standard output stays for results.
    """
    from tqdm.auto import tqdm

    tqdm.write(text, file=sys.stderr)


def banner(text: str) -> None:
    """Show a notice that cannot be overlooked.

    A box in a notebook, plain lines on standard error elsewhere.
    """
    if not in_notebook():
        print(f"*** {text}", file=sys.stderr)
        return
    from IPython.display import HTML, display

    style = "border:2px solid #b35900;background:#fff4e5;color:#3d1f00;padding:.6em 1em;white-space:pre-wrap"
    display(HTML(f'<div role="alert" style="{style}">{html.escape(text)}</div>'))


def in_notebook() -> bool:
    """Say whether this runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


class Markup(str):
    """HTML that goes into a table as it stands.

    What came from outside is escaped in it already.
    """


def page_template(name: str, **filters: Callable[..., str]) -> "Template":
    """One of the pages of templates/, which writes every text as text."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("labkit", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment.get_template(name)


def html_table(
    caption: str,
    rows: Sequence[Sequence[str]],
    *,
    head: bool = True,
    row_header: int = 0,
    styles: Sequence[str] = (),
) -> str:
    """Make a table that a screen reader can follow.

    It has a caption, and a name for every column and row; a cell without a name is no header. caption and cells are escaped,
    unless they are Markup. head: whether the first row names the columns. row_header: the column that names the rows. styles:
    the CSS of each column's cells, as far as they have one.
    """
    heads, body = (rows[:1], rows[1:]) if head else ([], rows)
    titles = "".join(_row(row, dict.fromkeys(range(len(row)), "col"), styles) for row in heads)
    lines = "".join(_row(row, {row_header: "row"}, styles) for row in body)
    top = f"<thead>{titles}</thead>" if head else ""
    return f"<table><caption>{_escaped(caption)}</caption>{top}<tbody>{lines}</tbody></table>"


def _row(cells: Sequence[str], scopes: Mapping[int, str], styles: Sequence[str]) -> str:
    shown = []
    for place, cell in enumerate(cells):
        tag, scope = ("th", f' scope="{scopes[place]}"') if place in scopes and cell else ("td", "")
        style = f' style="{styles[place]}"' if any(styles[place : place + 1]) else ""
        shown.append(f"<{tag}{scope}{style}>{_escaped(cell)}</{tag}>")
    return f"<tr>{''.join(shown)}</tr>"


def _escaped(text: str) -> str:
    return text if isinstance(text, Markup) else html.escape(text)


def text_table(rows: Sequence[Sequence[str]], columns: Sequence[str] = (), gap: str = "  ") -> str:
    """Align rows of cells by column, for a terminal.

    columns: the format of each column's cells, such as `<20` or `>8`; without them, each stands to the left and is as wide as
    its widest cell.

    >>> print(text_table([("", "A", "B"), ("accuracy", "0.9", "0.75")]))
              A    B
    accuracy  0.9  0.75
    """
    formats = columns or [f"<{max(map(len, column))}" for column in zip(*rows, strict=True)]
    lines = (gap.join(map(format, row, formats)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)

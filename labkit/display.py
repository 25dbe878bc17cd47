"""What is shown to a person: notices, and tables for a page and for a terminal.

Does not know what it shows. Figures are pictures.py's.
"""

import html
import sys
from collections.abc import Callable, Sequence

Tell = Callable[[str], None]  # where a long piece of work puts its notices


def say(text: str) -> None:
    """Print a notice without breaking a progress bar; standard output stays for results."""
    from tqdm.auto import tqdm

    tqdm.write(text, file=sys.stderr)


def banner(text: str) -> None:
    """Show a notice that cannot be overlooked: a box in a notebook, plain lines on standard error elsewhere."""
    if not in_notebook():
        print(f"*** {text}", file=sys.stderr)
        return
    from IPython.display import HTML, display

    style = "border:2px solid #b35900;background:#fff4e5;color:#3d1f00;padding:.6em 1em;white-space:pre-wrap"
    display(HTML(f'<div role="alert" style="{style}">{html.escape(text)}</div>'))


def in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    return ipython is not None and hasattr(ipython.get_ipython(), "kernel")


def html_table(caption: str, rows: Sequence[Sequence[str]]) -> str:
    """A table whose first row names its columns; every cell is escaped."""
    head, *body = ([html.escape(cell) for cell in row] for row in rows)
    lines = [f"<th scope='row'>{first}</th>" + "".join(f"<td>{cell}</td>" for cell in rest) for first, *rest in body]
    titles = "".join(f"<th scope='col'>{cell}</th>" for cell in head)
    body_html = "".join(f"<tr>{line}</tr>" for line in lines)
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{titles}</tr></thead>"
        f"<tbody>{body_html}</tbody></table>"
    )


def text_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells for a terminal, each column as wide as its widest cell.

    >>> print(text_table([("", "A", "B"), ("accuracy", "0.9", "0.75")]))
              A    B
    accuracy  0.9  0.75
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)

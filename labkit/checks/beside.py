"""The course's own source of an exercise beside the student's, once theirs has passed, and not before.

It is the function or class of the exercise's name in the package that the course comes in (labkit.softmax for softmax), and
the reference of the exercise where that has none.
"""

import ast
import html
import inspect
import linecache
import textwrap
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from labkit.checks.courses import Course
from labkit.checks.exercise import Exercise


@dataclass(frozen=True)
class Beside:
    """Two sources of the same thing. name: of the course's own. yours: empty where it cannot be read."""

    name: str
    own: str
    yours: str = ""

    def __str__(self) -> str:
        yours = f"Yours\n\n{self.yours}\n\n" if self.yours else ""
        return f"{yours}{self.name}\n\n{self.own}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        sides = [("yours", self.yours)] if self.yours else []
        shown = "".join(_column(name, code) for name, code in [*sides, (self.name, self.own)])
        title = html.escape(f"{self.name}, beside yours" if self.yours else self.name)
        style = "display:flex;flex-wrap:wrap;gap:0 1.5em"  # one below the other where the page is narrow
        return f'<details><summary>{title}</summary><div style="{style}">{shown}</div></details>'


def _column(name: str, code: str) -> str:
    style = "overflow-x:auto;line-height:1.35;font-family:var(--jp-code-font-family,monospace);white-space:pre"
    return (
        f'<div style="flex:1 1 30em;min-width:0"><strong>{html.escape(name)}</strong>'
        f'<pre tabindex="0" style="{style}">{html.escape(code)}</pre></div>'
    )


def beside(course: Course, exercise: Exercise, answer: Any) -> Beside | None:
    """The course's own source beside that of an answer that has passed; None where it has none that can be read."""
    package = course.package.partition(".")[0]
    try:
        own = getattr(import_module(package), exercise.name, None)
    except Exception:  # a name that needs what is not installed here
        own = None
    is_its_own = inspect.isfunction(own) or inspect.isclass(own)
    candidates = [(f"{package}.{exercise.name}", own if is_its_own else None), ("the reference", exercise.reference)]
    for name, thing in candidates:
        if code := source_of(thing):
            return Beside(name, code, source_of(answer))
    return None


def source_of(thing: Any) -> str:
    """The source of a function or class, also of one that a notebook's cell defines; empty where it cannot be read."""
    try:
        return textwrap.dedent(inspect.getsource(inspect.unwrap(thing)))
    except Exception:  # an answer may be an object that cannot be looked into
        return _class_in_its_cell(thing) if isinstance(thing, type) else ""


def _class_in_its_cell(kind: type) -> str:
    """The source of a class that has no file: its methods know in which cell they were written."""
    codes = [getattr(each, "__code__", None) for each in vars(kind).values()]
    for text in ("".join(linecache.getlines(code.co_filename)) for code in codes if inspect.iscode(code)):
        try:
            found = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
        except SyntaxError:  # a cell with IPython's own commands in it
            continue
        for node in found:
            if node.name == kind.__name__:
                first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
                return "\n".join(text.splitlines()[first - 1 : node.end_lineno])
    return ""

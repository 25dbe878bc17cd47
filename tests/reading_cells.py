"""What the cells of a lesson read and assign, without running them, and which of them the core path holds."""

import ast
import builtins
import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from labkit.course.masters import MasterCell

FURTHER = "Further: "  # what the heading of a section beyond the core path begins with
_GROWING = {"append", "extend", "insert", "pop", "remove", "popleft", "appendleft"}
_HEADING = re.compile(r"^(#+) (.*)", re.MULTILINE)


@dataclass
class Names:
    """The global names of a cell.

    taken: read before the cell assigns them. made: assigned or imported. imported: these alone. grown: changed in place.
    """

    taken: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)
    imported: set[str] = field(default_factory=set)
    grown: set[str] = field(default_factory=set)

    @property
    def broken_by_a_second_run(self) -> set[str]:
        """Those by which the cell, run twice in a row, may not give the same: it takes them and leaves them changed."""
        return self.taken & (self.made | self.grown)


def names_of(source: str) -> Names:
    """The names that a cell takes from other cells, and those that it makes or changes."""
    reader = _Reader()
    reader.visit(ast.parse(re.sub(r"^[%!].*", "pass", source, flags=re.MULTILINE)))
    return reader.names


class _Reader(ast.NodeVisitor):
    """Visits in the order of evaluation; what a function reads counts as read where the function stands."""

    def __init__(self) -> None:
        self.names = Names()
        self.local: list[set[str]] = []

    def visit_Name(self, node: ast.Name) -> None:
        if any(node.id in names for names in self.local):
            return
        if isinstance(node.ctx, ast.Store):
            (self.local[-1] if self.local else self.names.made).add(node.id)
        elif node.id not in self.names.made and not hasattr(builtins, node.id):
            self.names.taken.add(node.id)

    def _in_turn(self, *nodes: ast.AST | Iterable[ast.AST] | None) -> None:
        for node in nodes:
            for each in [node] if isinstance(node, ast.AST) else node or ():
                self.visit(each)

    def visit_Assign(self, node: ast.Assign) -> None:
        self._in_turn(node.value, node.targets)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.visit_Name(ast.Name(node.target.id, ast.Load()))
        self._in_turn(node.value, node.target)

    def visit_For(self, node: ast.For) -> None:
        self._in_turn(node.iter, node.target, node.body, node.orelse)

    def visit_Call(self, node: ast.Call) -> None:
        function = node.func
        if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.attr in _GROWING:
            self.names.grown |= {function.value.id} - set().union(*self.local)
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for one in node.names:
            name = (one.asname or one.name).partition(".")[0]
            (self.local[-1] if self.local else self.names.made).add(name)
            self.names.imported.add(name)

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._in_turn(node.decorator_list, node.args.defaults)
        self.visit_Name(ast.Name(node.name, ast.Store()))
        self._within({one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}, node.body)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._in_turn(node.decorator_list, node.bases)
        self._within(set(), node.body)
        self.visit_Name(ast.Name(node.name, ast.Store()))

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._within({one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}, [node.body])

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        parts = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        inner = [part for each in node.generators for part in (each.iter, each.target, *each.ifs)]
        self._within(set(), [*inner, *parts])

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def _within(self, names: set[str], nodes: Iterable[ast.AST]) -> None:
        self.local.append(names)
        self._in_turn(nodes)
        self.local.pop()


def core_of(cells: Iterable[MasterCell]) -> Iterator[MasterCell]:
    """The cells of the core path: all but those under a heading that begins with "Further:".

    Such a section ends where the next heading of its level, or of a higher one, begins.
    """
    beyond = 0  # the level of the heading that leads beyond the core; 0 within it
    for cell in cells:
        heading = _HEADING.match(cell.source) if cell.type == "markdown" else None
        if heading and (not beyond or len(heading[1]) <= beyond):
            beyond = len(heading[1]) if heading[2].startswith(FURTHER) else 0
        if not beyond:
            yield cell


def shared_names(cells: Iterable[MasterCell]) -> dict[str, int]:
    """The names that a cell takes from another, each with the number of cells that make it; all imports are as one."""
    found = [names_of(cell.source) for cell in cells if cell.type == "code"]
    taken = set().union(*(names.taken for names in found))
    return {
        name: sum(name in names.made - names.imported for names in found)
        + any(name in names.imported for names in found)
        for name in sorted(taken)
    }


def not_made(cells: Iterable[MasterCell]) -> set[str]:
    """The names that a cell takes and that no cell before it makes."""
    found = [names_of(cell.source) for cell in cells if cell.type == "code"]
    made = itertools.accumulate((names.made for names in found), set.union, initial=set[str]())
    return set().union(*(names.taken - before for names, before in zip(found, made, strict=False)))

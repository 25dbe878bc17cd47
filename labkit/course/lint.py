"""What keeps a lesson's notebook thin and readable, as findings: a line each, with the cell.

Looks at a student notebook and runs nothing; pictures_without_alt looks at one that was run. What is said against a whole
course is findings.py's, and Python's style is ruff's.
"""

import ast
import itertools
import re
from collections.abc import Collection, Iterator
from importlib import import_module
from importlib.util import find_spec

from labkit.course.notebooks import Cell, Notebook, is_check, is_solution

MOST_CODE_LINES = 15
TAKE_HOME = (
    "take-home"  # the tag of a cell that stands alone, to be taken out of the lesson, and may be as long as that takes
)
USUAL_CODE_LINES = range(2, 7)
USUAL_WORDS = range(13, 61)
OPENING_CELLS, CLOSING_CELLS = 6, 8
_OPENING = {"what one will be able to do": r"able to", "what one needs": r"\bneeds?\b", "the time": r"\bminutes?\b"}
_PROFILE = {"the profile": r"\bprofile\b"}
_CLOSING = {
    "takeaways": r"take\s?-?away|take with you|what to remember",
    "a reflection": r"\breflection\(",
    "a link to what comes next": r"\]\([^)\s]+\.(ipynb|md)\)",
}
_PATH = re.compile(r"^(/\w[\w.-]*/|/(home|root|tmp|usr|work|Users)\b|~/|[A-Za-z]:[\\/])")
_PATH_IN_PROSE = re.compile(r"(?<![\w.:/])(/(home|root|tmp|work|Users)/|[A-Za-z]:\\)\w")
_DRAWS = {"plot", "hist", "bar", "barh", "scatter", "imshow", "subplots", "boxplot", "fill_between"}


def lint(
    notebook: Notebook, files: Collection[str] = (), drawing: Collection[str] = (), profiles: bool = True
) -> list[str]:
    """Every finding in a student notebook.

    files: names beside it to which it may link. drawing: functions that draw, such as those of labkit.figures. profiles: the
    course has some, so that a lesson says which is on.
    """
    cells = notebook["cells"]
    found = [
        f"cell {cell['id']}: has an output" for cell in cells if cell.get("outputs") or cell.get("execution_count")
    ]
    found += _sizes(cells)
    opening = _OPENING | (_PROFILE if profiles else {})
    for part, wanted, some in (
        ("opening", opening, cells[:OPENING_CELLS]),
        ("closing", _CLOSING, cells[-CLOSING_CELLS:]),
    ):
        text = "\n".join(cell["source"] for cell in some)
        missing = [name for name, pattern in wanted.items() if not re.search(pattern, text, re.IGNORECASE)]
        found += [f"the {part} lacks {name}" for name in missing]
    for cell in cells:
        if cell["cell_type"] == "code":
            found += [f"cell {cell['id']}: {why}" for why in _code(cell, {*drawing, *_DRAWS})]
        elif cell["cell_type"] == "markdown":
            found += [f"cell {cell['id']}: {why}" for why in _prose(cell["source"], files)]
    return found


def _sizes(cells: list[Cell]) -> Iterator[str]:
    """No long code cell outside exercises, and usual sizes in more than half of the cells."""
    code = [cell for cell in cells if cell["cell_type"] == "code" and not _may_be_long(cell)]
    lines = [sum(bool(line.strip()) for line in cell["source"].splitlines()) for cell in code]
    words = [len(re.findall(r"[\w'’-]+", cell["source"])) for cell in cells if cell["cell_type"] == "markdown"]
    for cell, count in zip(code, lines, strict=True):
        if count > MOST_CODE_LINES:
            yield f"cell {cell['id']}: {count} lines of code; at most {MOST_CODE_LINES} outside exercises"
    usual_code = sum(count in USUAL_CODE_LINES for count in lines)
    usual_prose = sum(count in USUAL_WORDS for count in words)
    if code and 2 * usual_code <= len(code):
        yield f"only {usual_code} of {len(code)} code cells have 2 to 6 lines"
    if words and 2 * usual_prose <= len(words):
        yield f"only {usual_prose} of {len(words)} prose cells have 13 to 60 words"


def _may_be_long(cell: Cell) -> bool:
    return is_solution(cell) or is_check(cell) or TAKE_HOME in cell["metadata"].get("tags", ())


def _prose(text: str, files: Collection[str]) -> Iterator[str]:
    """What is odd in a cell of prose. Of its links those to files are looked at, not those that lead elsewhere."""
    for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", text):
        if "://" not in target and not target.startswith("mailto:") and target not in files:
            yield f"links to {target}, which is not there"
    if _PATH_IN_PROSE.search(text):
        yield "names a path of one machine"
    if re.search(r"!\[\s*\]\(", text) or re.search(r"<img(?![^>]*\balt=[\"'][^\"'])", text):
        yield "has a picture without a text alternative"


def _code(cell: Cell, drawing: Collection[str]) -> Iterator[str]:
    try:
        tree = ast.parse(re.sub(r"^[%!].*", "pass", cell["source"], flags=re.MULTILINE))
    except SyntaxError as why:
        yield f"is not Python: {why.msg}"
        return
    nodes = list(ast.walk(tree))
    definitions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    if not is_solution(cell) and any(isinstance(node, definitions) for node in nodes):
        yield "defines a function or a class outside an exercise; helpers belong into a module"
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    if any(_PATH.match(text) for text in texts):
        yield "has an absolute path"
    functions = [node.func for node in nodes if isinstance(node, ast.Call)]
    called = {getattr(one, "attr", getattr(one, "id", "")) for one in functions}  # `plot` of ax.plot(...)
    if "show" in called or (called & set(drawing) and "figure" not in called):
        yield "draws without figure(...) of labkit.widgets, which gives the text alternative"


def pictures_without_alt(notebook: Notebook) -> list[str]:
    """Pictures among the outputs of a notebook that was run which say nothing to a reader who cannot see them."""
    found = []
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            page = "".join(data.get("text/html", ""))
            bare = any(kind.startswith("image/") for kind in data) and not page
            if bare or re.search(r"<img(?![^>]*\balt=[\"'][^\"'])", page):
                found.append(f"cell {cell['id']}: shows a picture without a text alternative")
    return found


def not_public(notebook: Notebook) -> list[str]:
    """What a notebook takes from below labkit's public packages, or by an attribute that is no public name.

    Such a name may move with any release, and a student's copy with it no longer runs. Imports what the notebook imports of
    labkit, to see what is public there.
    """
    found = []
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            found += [
                f"cell {cell['id']}: takes {name}, which is not public" for name in sorted(deep_names(cell["source"]))
            ]
    return found


def deep_names(source: str) -> set[str]:
    """The names that a cell takes from labkit and that are not public; none in a cell that is no Python."""
    try:
        tree = ast.parse(re.sub(r"^[%!].*", "pass", source, flags=re.MULTILINE))
    except SyntaxError:
        return set()
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "labkit":
            public = _public_names(str(node.module))
            taken = [f"{node.module}.{one.name}" for one in node.names if one.name not in public]
            found |= set(taken) if public else {str(node.module)}
        elif isinstance(node, ast.Import):
            found |= {one.name for one in node.names if one.name.startswith("labkit.") and not _public_names(one.name)}
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "labkit":
            found |= {f"labkit.{node.attr}"} - {f"labkit.{name}" for name in _public_names("labkit")}
    return found


def _public_names(module: str) -> Collection[str]:
    """What a lesson may import from labkit, or from a package of it that says so; nothing from what lies deeper."""
    spec = find_spec(module) if module.count(".") <= 1 else None
    return getattr(import_module(module), "__all__", ()) if spec and spec.submodule_search_locations else ()


def leaks(solution: Notebook, student: Notebook) -> list[str]:
    """Two consecutive lines of a solution that a student notebook holds in a row, white space and trivial lines aside."""
    pairs = {pair for cell in student["cells"] for pair in _pairs(cell["source"].splitlines())}
    found = []
    for cell in solution["cells"]:
        for region in re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", cell["source"], re.DOTALL):
            found += [f"cell {cell['id']}: {' / '.join(pair)}" for pair in _pairs(region.splitlines()) if pair in pairs]
    return found


def _pairs(lines: list[str]) -> list[tuple[str, str]]:
    """Every two neighbours among the lines that say something."""
    said = [" ".join(line.split()) for line in lines if len(re.sub(r"\W", "", line)) >= 5]
    return list(itertools.pairwise(said))

"""Laws of the lint: a good notebook has no finding, and every way to be bad has one."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from courses import cell_of, code, notebook_of

from labkit.course.lint import leaks, lint, pictures_without_alt

Notebook = dict[str, Any]
WORDS = "This cell says one idea in a few plain words, so that it is read to its end. "
OPENING = (
    "You will be able to read a curve. You need lesson 02, and 20 minutes. The first cell shows the profile in force."
)
CLOSING = (
    "Take away that a curve which rises says more than its last point. Next comes [the next lesson](02_next.ipynb)."
)
FILES = ("02_next.ipynb", "README.md")


def prose(source: str, name: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def solved(source: str, name: str, **facts: bool) -> dict[str, Any]:
    return code(source, name) | {"metadata": {"nbgrader": {"grade": False, "solution": True, **facts}}}


def good() -> Notebook:
    notebook = notebook_of()
    notebook["cells"] = [
        prose(OPENING, "opening"),
        code("from labkit import fit\nlesson = 1", "imports"),
        prose(WORDS, "idea"),
        code("epochs = [1, 2]\nfigure(learning_curves(epochs))", "experiment"),
        solved("def f():\n" + "    line = 1\n" * 30, "exercise-1-1"),
        solved("check('1.1', f)", "check-1-1", grade=True, solution=False),
        code("reflection('01', 'Why?')\nmore = 1", "reflection"),
        prose(CLOSING, "closing"),
    ]
    return notebook


def found(change: Callable[[Notebook], object], drawing: tuple[str, ...] = ("learning_curves",)) -> list[str]:
    notebook = good()
    change(notebook)
    return lint(notebook, FILES, drawing)


def source(name: str, text: str) -> Callable[[Notebook], object]:
    return lambda notebook: cell_of(notebook, name).update(source=text)


def more(*cells: dict[str, Any]) -> Callable[[Notebook], object]:
    return lambda notebook: notebook["cells"].__setitem__(slice(4, 4), copy.deepcopy(list(cells)))


def test_a_good_notebook_has_no_finding() -> None:
    assert found(lambda _: None) == []


FINDINGS: dict[str, tuple[Callable[[Notebook], object], str]] = {
    "an output": (lambda nb: cell_of(nb, "imports").update(outputs=[{}]), "cell imports: has an output"),
    "a count": (lambda nb: cell_of(nb, "imports").update(execution_count=1), "cell imports: has an output"),
    "a long cell": (source("experiment", "x = 1\n\n" * 16), "cell experiment: 16 lines of code; at most 15"),
    "code that is mostly long": (more(*(code("x = 1\n" * 9, f"c{n}") for n in range(3))), "only 3 of 6 code cells"),
    "prose that is mostly long": (more(*(prose("word " * 99, f"p{n}") for n in range(3))), "only 3 of 6 prose cells"),
    "no goal": (source("opening", OPENING.replace("able to", "glad to")), "opening lacks what one will be able to do"),
    "no needs": (source("opening", OPENING.replace("need", "have")), "the opening lacks what one needs"),
    "no time": (source("opening", OPENING.replace("minutes", "moments")), "the opening lacks the time"),
    "no profile": (source("opening", OPENING.replace("profile", "size")), "the opening lacks the profile"),
    "no takeaways": (source("closing", CLOSING.replace("Take away", "We saw")), "the closing lacks takeaways"),
    "no reflection": (source("reflection", "more = 1\nmost = 2"), "the closing lacks a reflection"),
    "nothing next": (source("closing", "Take away " + WORDS), "the closing lacks a link to what comes next"),
    "a dead link": (source("idea", WORDS + "[x](04_no.ipynb)"), "cell idea: links to 04_no.ipynb, which is not there"),
    "a dead picture": (source("idea", WORDS + "![a loss](loss.png)"), "cell idea: links to loss.png"),
    "a picture without words": (source("idea", WORDS + "![](https://a.b/c.png)"), "without a text alternative"),
    "an image without words": (source("idea", WORDS + '<img src="a.png">'), "without a text alternative"),
    "an image with empty words": (source("idea", WORDS + '<img src="a.png" alt="">'), "without a text alternative"),
    "a function": (source("imports", "def helper():\n    return 1"), "defines a function or a class outside"),
    "a class": (source("imports", "class Helper:\n    a = 1"), "defines a function or a class outside"),
    "a nested function": (source("imports", "if True:\n    async def f(): pass"), "defines a function or a class"),
    "a function in a check": (source("check-1-1", "def f(): pass"), "cell check-1-1: defines a function"),
    "an absolute path": (source("imports", "a = 1\nopen('/" + "data/reviews.csv')"), "has an absolute path"),
    "a home": (source("imports", "a = 1\nopen('~/reviews.csv')"), "has an absolute path"),
    "a drive": (source("imports", "a = 1\nopen(r'C:\\reviews.csv')"), "has an absolute path"),
    "a path in an f-string": (source("imports", "a = 1\nopen(f'/" + "tmp/{a}.csv')"), "has an absolute path"),
    "a path in prose": (source("idea", WORDS + "Look into /" + "home/ada/lab."), "names a path of one machine"),
    "a path of a drive in prose": (source("idea", WORDS + "It is C:\\" + "lab."), "names a path of one machine"),
    "a bare plot": (source("experiment", "a = 1\nax.plot([1])"), "draws without figure"),
    "a figure function alone": (source("experiment", "a = 1\nlearning_curves(a)"), "draws without figure"),
    "a pyplot window": (source("experiment", "figure(learning_curves(a))\nplt.show()"), "draws without figure"),
    "no Python": (source("imports", "a = = 1\nb = 2"), "cell imports: is not Python"),
}


@pytest.mark.parametrize("bad", FINDINGS)
def test_every_way_to_be_bad_is_one_finding(bad: str) -> None:
    change, said = FINDINGS[bad]
    notes = found(change)
    assert len(notes) >= 1 and any(said in note for note in notes), notes
    assert len(notes) == 1 or "link" in bad or "picture" in bad, notes


@pytest.mark.parametrize(
    "change",
    [
        source("imports", "%matplotlib inline\n!labkit doctor\na = 1"),
        source("imports", "fraction = 'a/b'\nurl = 'https://example.org/home/x'"),
        source("imports", "square = lambda x: x * x\nsquare(2)"),
        source(
            "idea", WORDS + "[a page](https://example.org/x), [a letter](mailto:a@b.c), [up](#top), [all](README.md)."
        ),
        source("idea", WORDS + '<img src="https://a.b/c.png" alt="a rising loss">'),
        source("idea", WORDS + "Positive/negative, and/or; https://example.org/home/x."),
        lambda nb: cell_of(nb, "experiment").update(source="x = 1\n" * 40, metadata={"tags": ["take-home"]}),
        source("exercise-1-1", "class ReviewDataset:\n    def __len__(self):\n        raise NotImplementedError()"),
        more(code("x = 1", "short"), prose("## A heading", "heading")),
    ],
)
def test_what_only_looks_bad_is_none(change: Callable[[Notebook], object]) -> None:
    assert found(change) == []


def test_a_picture_among_the_outputs_needs_words() -> None:
    bare = {"data": {"image/png": "iVBOR", "text/plain": "<Figure>"}}
    without = {"data": {"text/html": '<img src="data:x">'}}
    worded = {"data": {"text/html": ['<img src="data:x" ', 'alt="a rising loss">']}}
    for output, notes in ((bare, 1), (without, 1), (worded, 0), ({"text": "hello"}, 0)):
        notebook = notebook_of("1")
        notebook["cells"][0]["outputs"] = [output]
        assert len(pictures_without_alt(notebook)) == notes, output


# What of a solution a student's notebook gives away

SOLUTION = "def f(a):\n    ### BEGIN SOLUTION\n    best = max(a)\n\n    return best\n    ### END SOLUTION"


@pytest.mark.parametrize(
    ("elsewhere", "leaking"),
    [
        ("best = max(a)\nreturn best", True),
        ("    best  =  max(a)\n\n\n  return best", True),
        ("best = max(a)\n)\nreturn best", True),
        ("best = max(a)", False),
        ("best = max(a)\nother = 1\nreturn best", False),
        ("return best\nbest = max(a)", False),
    ],
)
def test_two_lines_of_a_solution_in_a_row_are_a_leak_white_space_aside(elsewhere: str, leaking: bool) -> None:
    student = notebook_of("def f(a):\n    raise NotImplementedError()", elsewhere)
    assert bool(leaks(notebook_of(SOLUTION), student)) == leaking


def test_a_leak_in_prose_is_one_too_and_names_the_exercise() -> None:
    student = notebook_of()
    student["cells"] = [prose("```\nbest = max(a)\nreturn best\n```", "idea")]
    assert leaks(notebook_of(SOLUTION), student) == ["cell cell-1: best = max(a) / return best"]


def test_every_solution_region_of_a_cell_is_looked_for() -> None:
    second = (
        SOLUTION + "\n\ndef g():\n    ### BEGIN SOLUTION\n    least = min(a)\n    return least\n    ### END SOLUTION"
    )
    assert len(leaks(notebook_of(second), notebook_of("least = min(a)\nreturn least"))) == 1

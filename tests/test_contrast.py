"""Laws of colours: every text that labkit shows is told from what it stands on, on a light page and on a dark one."""

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_rgb

import labkit
from labkit.checks.progress import Progress
from labkit.checks.verdict import CheckResult, Example, PropertyRow
from labkit.display import BAD, GOOD, MARK, OPEN, banner
from labkit.explanation.attention import AttentionWeights
from labkit.explanation.attribution import AlignedText, Attribution, Explanations, Word
from labkit.figures import attention_to_special_tokens, attribution_grid, confusion_matrix_figure
from labkit.figures.drawing import ink_on
from labkit.widgets import token_table
from labkit.widgets.asking import Outcome, Prediction, Reflection
from labkit.widgets.explorers.review import WithoutWords
from labkit.widgets.explorers.spelling import spelling
from labkit.widgets.explorers.threshold import at_threshold, curves_of, threshold_panels
from labkit.widgets.explorers.tokenizer import tokenized_text
from labkit.widgets.failing import ExpectedError
from labkit.widgets.showing import Source

PAGES = {
    "light": ((255, 255, 255), (33, 33, 33)),
    "dark": ((17, 17, 17), (255, 255, 255)),
}  # JupyterLab's paper and ink
TEXT, GRAPHIC = 4.5, 3.0  # WCAG 2.2, success criteria 1.4.3 and 1.4.11
NAMED = {"white": (255, 255, 255), "black": (0, 0, 0)}

Colour = tuple[float, float, float]


def colour(words: str) -> Colour | None:
    """What a CSS value names; None for none, transparent, and what is inherited."""
    words = words.strip().lower()
    if found := re.search(r"#([0-9a-f]{6}|[0-9a-f]{3})\b", words):
        digits = found[1] if len(found[1]) == 6 else "".join(2 * digit for digit in found[1])
        return tuple(int(digits[place : place + 2], 16) for place in (0, 2, 4))  # type: ignore[return-value]
    if found := re.search(r"rgb\(([^)]*)\)", words):
        return tuple(float(part) for part in found[1].split(","))  # type: ignore[return-value]
    known = NAMED.get(words)
    assert known or words in ("none", "inherit", "transparent"), f"a colour that this law cannot read: {words}"
    return known


def luminance(of: Colour) -> float:
    parts = [part / 255 for part in of]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(np.dot(linear, (0.2126, 0.7152, 0.0722)))


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of WCAG, 1 to 21."""
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


class Shown(HTMLParser):
    """Reads a page and keeps every text, and every border, with its colour and what it stands on."""

    VOID = ("img", "br", "meta", "hr", "input")

    def __init__(self, paper: Colour, ink: Colour) -> None:
        super().__init__()
        self.open: list[tuple[str, Colour, Colour]] = [("page", ink, paper)]
        self.pairs: list[tuple[str, float, float]] = []  # what it is, its contrast, what is wanted

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        style = dict(part.split(":", 1) for part in (dict(attributes).get("style") or "").split(";") if ":" in part)
        style = {name.strip(): value for name, value in style.items()}
        _, ink, paper = self.open[-1]
        assert "opacity" not in style, "an opacity lowers a contrast"
        for name, value in style.items():
            if name.startswith("border") and (line := colour_in(value)):
                self.pairs.append((f"{tag} {name}:{value}", contrast(line, paper), GRAPHIC))
        ink = colour(style["color"]) or ink if "color" in style else ink
        behind = style.get("background", style.get("background-color"))
        paper = colour(behind) or paper if behind else paper
        if tag not in self.VOID:
            self.open.append((tag, ink, paper))

    def handle_endtag(self, tag: str) -> None:
        while self.open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag, ink, paper = self.open[-1]
        if data.strip() and tag != "style":
            self.pairs.append((f"{tag}: {data.strip()[:60]}", contrast(ink, paper), TEXT))


def colour_in(border: str) -> Colour | None:
    return colour(border) if "#" in border or "rgb" in border else None


def pages(tiny_world: Any) -> Iterator[tuple[str, str]]:
    """Everything of labkit's that writes colours into a page, with all of them in use."""
    rows = (PropertyRow("holds", True), PropertyRow("does not", False))
    example = Example("x=1", "2", "3")
    for status in ("passed", "failed", "not attempted"):
        yield status, CheckResult("1.1", status, 5.0, "A hint.", example, rows)._repr_html_()
    yield "progress", Progress(["1.1"], {"1.1": {"status": "failed", "points": 2.0}})._repr_html_()
    asked = Prediction("?", ("a", "b"), "b", "a")
    yield "prediction", asked._repr_html_()
    yield "outcome", Outcome("a", asked, "So it is.")._repr_html_()
    yield "reflection", Reflection("?", "Words.")._repr_html_()
    yield "error", ExpectedError("ValueError", "no")._repr_html_()
    code = '@once  # a comment\ndef f(x: int = 0x1F) -> str:\n    """Doc."""\n    raise ValueError(f"{x!r}" "\\n", None, 1.5)\n'
    yield "source", Source("f", "m", code)._repr_html_()
    yield "spelling", spelling("playing", {"play", "##ing"})._repr_html_()
    for longest in (5, 40):
        yield (
            f"tokens {longest}",
            tokenized_text(tiny_world.tokenizer, tiny_world.texts[0] + " zzz", longest)._repr_html_(),
        )
    encoded = tiny_world.tokenizer(tiny_world.texts[:2], padding="max_length", max_length=16, truncation=True)
    yield "table", token_table(encoded, tiny_world.tokenizer)._repr_html_()
    for method, scores in (("occlusion", [0, 2.0, -2.0, 0]), ("attention", [0, 0.2, 0.1, 0])):
        one = Attribution(method, reading(), np.array(scores), margin=1.5)
        yield method, Explanations((one,))._repr_html_()
        yield f"{method} without a word", WithoutWords(Explanations((one,)), (0,), -1.0)._repr_html_()


def reading() -> AlignedText:
    """A text of two words, each a token of its own."""
    words = (Word("good", 0, 4, (1,)), Word("bad", 5, 8, (2,)))
    spans, is_special = np.array([(0, 0), (0, 4), (5, 8), (0, 0)]), np.array([True, False, False, True])
    return AlignedText("good bad", ("[CLS]", "good", "bad", "[SEP]"), np.arange(4), spans, is_special, words, False)


@pytest.mark.parametrize("page", PAGES)
def test_every_text_is_told_from_what_it_stands_on_in_both_themes(tiny_world: Any, page: str) -> None:
    weak = []
    for name, content in pages(tiny_world):
        shown = Shown(*PAGES[page])
        shown.feed(content)
        assert shown.pairs and len(shown.open) == 1, name
        weak += [(name, *pair) for pair in shown.pairs if pair[1] < pair[2]]
    assert weak == []


def test_whatever_writes_colours_into_a_page_is_under_this_law() -> None:
    """A module that is not listed here wants a line in `pages`, and then its name."""
    package = Path(labkit.__file__).parent
    styled = re.compile(r"(?<![\w-])(color|background|border[a-z-]*):")
    found = {path.stem for path in package.rglob("*.py") if styled.search(path.read_text("utf-8"))}
    assert found == {
        *("verdict", "display", "attribution"),
        *("asking", "failing", "showing", "tokenizer", "review", "tables", "spelling"),
    }


@pytest.mark.parametrize("page", PAGES)
def test_a_notice_is_told_from_its_plate(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    said: list[Any] = []
    monkeypatch.setattr("labkit.display.in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", said.append)
    banner("Take care.")
    shown = Shown(*PAGES[page])
    shown.feed(said[0].data)
    assert shown.pairs and all(found >= wanted for _, found, wanted in shown.pairs)


def test_the_pages_that_labkit_writes_are_legible_in_light_and_dark() -> None:
    """Letters on both papers; what a palette of theirs does not say comes from the one before it."""
    style = (Path(labkit.__file__).parent / "templates" / "page.css").read_text("utf-8")
    palettes = re.findall(r":root \{([^}]*--paper[^}]*)\}", style)
    assert len(palettes) == 2  # light and dark
    for palette in palettes:
        colours = {name: colour(value) for name, value in re.findall(r"--(\w+): (#\w+);", palette)}
        for letters in ("ink", "soft", "accent", "wrong"):
            assert min(contrast(colours[letters], colours[on]) for on in ("paper", "raised")) >= TEXT, letters


@pytest.mark.parametrize("page", PAGES)
def test_the_courses_colours_carry_white_letters_and_are_told_from_the_page(page: str) -> None:
    for one in map(colour, (GOOD, BAD, OPEN, MARK)):
        assert one and contrast(one, (255, 255, 255)) >= TEXT and contrast(one, PAGES[page][0]) >= GRAPHIC


def test_jupyterlabs_pages_are_those_of_this_law() -> None:
    import sys

    themes = Path(sys.prefix) / "share/jupyter/lab/themes/@jupyterlab"
    for name, (paper, ink) in PAGES.items():
        style = themes / f"theme-{name}-extension" / "index.css"
        if not style.is_file():
            pytest.skip("JupyterLab is not installed here")
        said = style.read_text("utf-8")
        behind = re.search(r"--jp-layout-color0:\s*([^;]+);", said)
        front = re.search(r"--jp-content-font-color1:\s*([^;]+);", said)
        assert behind and front and colour(behind[1]) == paper
        solid = colour(front[1]) if "rgba" not in front[1] else (33, 33, 33)  # 87 % black on white
        assert solid == ink


# In figures


def shown_cells(ax: Any) -> Iterator[tuple[str, float]]:
    """Every number in a heat map, and how well it is told from its cell."""
    for text in ax.texts:
        column, row = (int(place) for place in text.get_position())
        behind = [
            mesh.to_rgba(mesh.get_array()[row, column]) for mesh in ax.collections if is_filled(mesh, row, column)
        ]
        letters, cell = (tuple(255 * part for part in to_rgb(one)) for one in (text.get_color(), behind[0]))
        yield text.get_text(), contrast(letters, cell)  # type: ignore[arg-type]


def is_filled(mesh: Any, row: int, column: int) -> bool:
    return not np.ma.getmaskarray(mesh.get_array())[row, column]


@pytest.mark.parametrize("wrong", [4, 52, 100])
def test_every_number_in_a_heat_map_is_told_from_its_cell(wrong: int) -> None:
    share = wrong / 100
    labels = np.repeat([0, 1], 100)
    positive = np.where(np.arange(200) % 100 < wrong, 0.9, 0.1)
    result = labkit.EvalResult(labels, np.stack([1 - positive, positive], axis=1), loss=0.5)
    panels = threshold_panels(at_threshold(result, 0.5), at_threshold(result, 0.5), curves_of(result))
    one = Attribution("occlusion", reading(), np.array([0, 1.0, share, 0]), margin=1.5)
    other = Attribution("attention", reading(), np.array([0, share, 1.0, 0]), margin=1.5)
    weights = np.full((1, 1, 4, 4), (1 - share) / 2, dtype=np.float32)
    weights[..., [0, 3]] = share / 2
    for ax in (
        confusion_matrix_figure(result),
        panels,
        attribution_grid(Explanations((one, other))),
        attention_to_special_tokens(AttentionWeights(reading(), weights)),
    ):
        cells = list(shown_cells(ax))
        assert cells and all(found >= TEXT for _, found in cells), cells


def test_the_letters_on_any_colour_are_told_from_it() -> None:
    rng = np.random.default_rng(0)
    for one in rng.uniform(size=(2000, 3)):
        letters = tuple(255 * part for part in to_rgb(ink_on(tuple(one))))
        assert contrast(letters, tuple(255 * one)) >= TEXT  # type: ignore[arg-type]

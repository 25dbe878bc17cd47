"""Laws of a widget and its still: what is there after the kernel is gone is what was there before."""

import re
from typing import Any

import ipywidgets
import pytest

from labkit.widgets import interactive
from labkit.widgets.interactive import AGAIN, WIDGET_MIME, Interactive, Picture, choice_buttons, explorer, labelled


class Page:
    """What a notebook shows: outputs in their order, which their handles may replace."""

    def __init__(self) -> None:
        self.outputs: list[dict[str, Any]] = []

    def display(self, bundle: dict[str, Any], raw: bool, display_id: bool = False) -> Any:
        assert raw
        place = len(self.outputs)
        self.outputs.append(bundle)
        return Handle(self, place) if display_id else None


class Handle:
    """IPython's handle of an output that may be replaced."""

    def __init__(self, page: Page, place: int) -> None:
        self.page, self.place = page, place

    def update(self, bundle: dict[str, Any], raw: bool) -> None:
        assert raw
        self.page.outputs[self.place] = bundle


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Page:
    notebook = Page()
    monkeypatch.setattr(interactive, "display", notebook.display)
    monkeypatch.setattr(interactive, "in_notebook", lambda: True)
    return notebook


def squares() -> Interactive:
    number = labelled(ipywidgets.BoundedIntText, "number:", value=2, min=0, max=9)

    def show(number: int) -> Picture:
        if number == 9:
            raise ValueError("nine is too many")
        return Picture(f"<p>square <b>{number**2}</b></p>", f"square {number**2}")

    return explorer({"number": number}, show, sliders=("number",))


def test_a_widget_and_its_still_are_two_outputs(page: Page) -> None:
    shown = squares()
    shown._ipython_display_()
    widget, still = page.outputs
    assert widget[WIDGET_MIME]["model_id"] == shown.view.model_id and not widget["text/plain"]
    assert set(still) == {"text/plain", "text/html"}  # a page that has lost its widgets finds no widget in it
    assert "square <b>4</b>" in still["text/html"] and AGAIN in still["text/html"]


def test_the_still_is_always_what_the_widget_shows_now(page: Page) -> None:
    shown = squares()
    shown._ipython_display_()
    shown._ipython_display_()
    for number, words in ((3, "square 9"), (9, "nine is too many"), (5, "square 25")):
        shown.controls["number"].value = number
        for still in (page.outputs[1], page.outputs[3]):
            assert still["text/plain"] == words == shown.picture.words
            assert shown.view.children[-1].value in still["text/html"]


def test_the_page_hides_the_still_of_a_living_widget_and_of_no_other(page: Page) -> None:
    first, second = squares(), squares()
    for each in (first, second):
        each._ipython_display_()
    names = []
    for each, still in ((first, page.outputs[1]), (second, page.outputs[3])):
        (own,) = each.view._dom_classes
        rule = rf":root:has\(\.{own}:not\(\.jupyter-widgets-disconnected\)\) \.(\S+) {{ display: none }}"
        hidden = re.findall(rule, still["text/html"])
        assert [f'<div class="{name}">' in still["text/html"] for name in hidden] == [True]
        names += hidden
    assert len(set(names)) == 2


def test_a_widget_that_was_closed_leaves_its_still(page: Page) -> None:
    shown = squares()
    shown.view.close()
    shown._ipython_display_()
    (still,) = page.outputs
    assert "square <b>4</b>" in still["text/html"]


def test_outside_of_a_notebook_the_words_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    squares()._ipython_display_()
    assert capsys.readouterr().out == "square 4\n"


def test_no_control_is_wider_than_its_page() -> None:
    """What has a fixed width or no limit on it pushes a page at 200 % out of its window."""
    longest = "a choice that explains itself at length " * 4
    buttons = choice_buttons("Batching:", options=[longest, "other"])
    row = squares().view.children[0]
    for box in (buttons, row):
        assert (box.layout.flex_flow, box.layout.max_width) == ("row wrap", "98%")
    assert labelled(ipywidgets.Dropdown, "long:", options=[longest]).layout.max_width == "98%"

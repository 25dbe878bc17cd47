"""Laws of the widgets in a real JupyterLab: each is operated by keyboard alone and changes its picture, under Run All."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

CELLS = """
from labkit import Batcher, Config, load_encoder, sample_reviews, tokenize
from labkit.lessons import choose_profile
from labkit.widgets import *
reviews = sample_reviews()
model, tokenizer = load_encoder("tiny")
# ---- predict
predict("long", "What becomes of a review that is <b>too long</b>?", ["It is cut", "An error is raised", "Nothing"])
# ---- outcome
outcome("long", "An error is raised")
# ---- tokenizer
tokenizer_explorer(tokenizer, "An unputdownable film", 12)
# ---- batches
batch_explorer(tokenize(reviews.texts, tokenizer, 512).lengths, batch_size=8, max_length=64)
# ---- learning rate
learning_rate_explorer(200)
# ---- live
batches = Batcher(tokenize(reviews.texts, tokenizer, 64), reviews.labels)
config = Config(model="tiny", epochs=100, batch_size=8, learning_rate=1e-4, device="cpu", precision="fp32", patience=100)
seen = live_training(model, batches, batches, config)
# ---- after
print("after:", seen.stopped, seen.ended)
# ---- reflect
reflection("end", "What did you learn?")
"""
NAMES, SOURCES = [], []
for _cell in ("setup\n" + CELLS.strip()).split("# ---- "):
    _name, _, _source = _cell.partition("\n")
    NAMES.append(_name)
    SOURCES.append(_source.strip())


@pytest.fixture
def notebook(lab: Any, write_notebook: Callable[..., None]) -> Any:
    """The notebook of all widgets, open and never run."""
    (lab.folder / ".labkit" / "predictions.json").unlink(missing_ok=True)
    write_notebook(lab.folder / "widgets.ipynb", SOURCES)
    lab.open("widgets.ipynb")
    return lab


def output(lab: Any, name: str) -> Any:
    return lab.output(NAMES.index(name))


def wait_for_stop_button(lab: Any) -> Any:
    button = lab.page.get_by_role("button", name="Stop training")
    button.wait_for(timeout=90_000)
    return button


def run_to_the_end(lab: Any) -> None:
    """Run All, with the training stopped by keyboard as soon as it has begun."""
    lab.run_all()
    wait_for_stop_button(lab).press("Enter")
    lab.wait_until_run()


def changes(shown: Any, act: Callable[[], None], what: str, seconds: float = 10) -> tuple[str, str]:
    """What a picture's text alternative was before and is after; fails where it stays the same."""
    before = shown.get_attribute(what) if what == "alt" else shown.inner_text()
    act()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        after = shown.get_attribute(what) if what == "alt" else shown.inner_text()
        if after != before:
            return before, after
        time.sleep(0.1)
    raise AssertionError(f"nothing changed: {before}")


def kept(lab: Any, kind: str) -> dict[str, Any]:
    path: Path = lab.folder / ".labkit" / f"{kind}.json"
    return json.loads(path.read_text()) if path.exists() else {}


@pytest.mark.parametrize("way", ["the button", "Interrupt"])
def test_training_under_run_all_is_stopped_by_keyboard_and_the_next_cell_runs(notebook: Any, way: str) -> None:
    notebook.run_all()
    button = wait_for_stop_button(notebook)
    shown = output(notebook, "live").locator("img:visible")
    before, after = changes(shown, lambda: None, "alt", seconds=30)
    assert before != after  # it is seen while it trains
    if way == "the button":
        button.focus()
        notebook.page.keyboard.press("Space")
    else:
        notebook.page.locator(".jp-CodeCell .jp-InputPrompt").first.click()
        notebook.page.keyboard.press("i")
        notebook.page.keyboard.press("i")
    asked = time.monotonic()
    notebook.wait_until_run(20)
    assert time.monotonic() - asked < 20
    assert f"after: True Stopped by {way}." in output(notebook, "after").inner_text()
    assert f"Stopped by {way}." in shown.get_attribute("alt")


def test_a_prediction_is_made_by_keyboard_and_kept_also_while_the_kernel_trains(notebook: Any) -> None:
    notebook.run_all()
    button = wait_for_stop_button(notebook)
    output(notebook, "predict").get_by_role("button", name="It is cut").focus()
    notebook.page.keyboard.press("Tab")
    notebook.page.keyboard.press("Space")
    output(notebook, "predict").get_by_text("Kept: An error is raised").wait_for(timeout=10_000)
    assert kept(notebook, "predictions")["long"]["choice"] == "An error is raised"
    button.press("Enter")
    notebook.wait_until_run()
    assert "none was made" in output(notebook, "outcome").inner_text()  # the cell had run before the choice


def test_a_widget_is_reached_from_its_cell_by_tab(notebook: Any) -> None:
    run_to_the_end(notebook)
    notebook.page.locator(".jp-CodeCell").nth(NAMES.index("predict")).locator(".jp-InputPrompt").click()
    notebook.page.keyboard.press("Tab")
    notebook.page.keyboard.press("Space")
    output(notebook, "predict").get_by_text("Kept: It is cut").wait_for(timeout=10_000)


def test_the_tokenizer_explorer_answers_to_typing_and_to_its_number(notebook: Any) -> None:
    run_to_the_end(notebook)
    shown, page = output(notebook, "tokenizer"), notebook.page
    shown.get_by_label("Review:").focus()
    page.keyboard.press("End")
    page.keyboard.type(" indeed", delay=30)
    shown.get_by_role("listitem").filter(has_text="indeed").wait_for(timeout=10_000)
    number = shown.get_by_label("max_length:")
    number.fill("6")
    number.press("Enter")
    shown.get_by_role("list", name="what was cut").wait_for(timeout=10_000)
    assert shown.get_by_role("slider").get_attribute("aria-valuenow") == "6.0"


def test_the_batch_explorer_answers_to_every_control(notebook: Any) -> None:
    run_to_the_end(notebook)
    shown = output(notebook, "batches")
    picture = shown.locator("img:visible")
    for way in ("dynamic", "buckets", "packed"):
        button = shown.get_by_role("button", name=way)
        _, words = changes(picture, lambda button=button: button.press("Space"), "alt")
        assert f"reviews. {way}: " in words
    for label in ("batch_size:", "max_length:", "order (seed):"):
        changes(picture, lambda label=label: shown.get_by_label(label).press("ArrowUp"), "alt")
    _, words = changes(picture, lambda: shown.get_by_role("slider").first.press("ArrowLeft"), "alt")


def test_the_learning_rate_explorer_answers_to_every_control(notebook: Any) -> None:
    run_to_the_end(notebook)
    shown = output(notebook, "learning rate")
    picture = shown.locator("img:visible")
    peak = shown.get_by_label("peak learning rate:")
    changes(picture, lambda: [peak.press(key) for key in ("Space", "ArrowDown", "Enter")], "alt")
    for label, key in (
        ("warmup_ratio:", "ArrowUp"),
        ("optimizer steps:", "ArrowUp"),
    ):
        changes(picture, lambda label=label, key=key: shown.get_by_label(label).press(key), "alt")


def test_a_reflection_is_kept_as_it_is_typed(notebook: Any) -> None:
    run_to_the_end(notebook)
    output(notebook, "reflect").get_by_label("Your reflection:").press_sequentially("Slowly <b>learned</b>", delay=20)
    output(notebook, "reflect").get_by_text("Kept: 2 words.").wait_for(timeout=10_000)
    end = time.monotonic() + 10
    while (
        kept(notebook, "reflections").get("end", {}).get("text") != "Slowly <b>learned</b>" and time.monotonic() < end
    ):
        time.sleep(0.1)
    assert kept(notebook, "reflections")["end"]["text"] == "Slowly <b>learned</b>"


def test_every_control_has_a_name_for_a_screen_reader(notebook: Any) -> None:
    run_to_the_end(notebook)
    nameless = notebook.page.evaluate(
        "() => [...document.querySelectorAll('.jp-OutputArea input, .jp-OutputArea textarea, .jp-OutputArea select')]"
        ".filter(e => !(e.labels && e.labels.length && e.labels[0].innerText.trim())).map(e => e.outerHTML)"
    )
    assert nameless == []


STILLS = "() => [...document.querySelectorAll('.labkit-again')].filter(e => e.checkVisibility()).length"
WIDGETS = (
    "() => [...document.querySelectorAll('.jp-OutputArea .jupyter-widgets')].filter(e => e.checkVisibility()).length"
)
WIDER = """() => [...document.querySelectorAll('.jp-OutputArea-output, .jp-OutputArea-output *')]
.filter(e => e.clientWidth > 0 && getComputedStyle(e).display != 'inline' && !e.closest('.noUi-target'))
.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => `${e.tagName} ${e.className}`)"""


def test_after_a_restart_and_a_reload_each_widget_is_the_still_of_what_it_last_showed(notebook: Any) -> None:
    run_to_the_end(notebook)
    output(notebook, "predict").get_by_role("button", name="It is cut").click()
    output(notebook, "predict").get_by_text("Kept: It is cut").wait_for(timeout=10_000)
    assert notebook.page.evaluate(STILLS) == 0 < notebook.page.evaluate(WIDGETS)
    notebook.restart()
    for _ in range(2):
        notebook.page.get_by_text("(your prediction)").wait_for(timeout=20_000)
        assert notebook.page.evaluate(STILLS) == 6 and notebook.page.evaluate(WIDGETS) == 0
        assert "It is cut (your prediction)" in output(notebook, "predict").inner_text()
        assert output(notebook, "tokenizer").get_by_role("listitem").first.is_visible()
        notebook.save()
        notebook.open("widgets.ipynb")
    run_to_the_end(notebook)
    assert notebook.page.evaluate(STILLS) == 0 < notebook.page.evaluate(WIDGETS)


@pytest.mark.parametrize("width", [1024, 640])  # the second is a window of 1,280 at 200 %
def test_no_widget_is_wider_than_a_narrow_window(notebook: Any, width: int) -> None:
    run_to_the_end(notebook)
    notebook.page.set_viewport_size({"width": width, "height": 800})
    notebook.page.wait_for_timeout(500)
    assert notebook.page.evaluate(WIDER) == []


def test_no_question_about_news_stands_before_the_first_line(notebook: Any) -> None:
    notebook.page.wait_for_timeout(3000)
    assert notebook.page.locator(".Toastify__toast").count() == 0

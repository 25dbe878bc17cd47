"""Laws of the published lessons: every page was run, shows stills, says every picture in words, and replaces only pages."""

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from courses import LENGTHS, write_course

from labkit.checks.courses import Course
from labkit.course import pages
from labkit.course.build import build
from labkit.course.pages import publish, shown
from labkit.errors import LabkitError, UsageError

PICTURE = (
    "\n# %%\nfrom IPython.display import Image, display\n"
    "display(Image(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(50), format='png'))\n"
)


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """One lesson, with a link to the list of lessons; read it only."""
    course = write_course(tmp_path_factory.mktemp("course") / "course", {"01_lengths": LENGTHS})
    path = course.solutions / "01_lengths.py"
    path.write_text(
        path.read_text("utf-8") + "\n# %% [markdown]\n# All: [lessons](README.md), [one](01_lengths.ipynb).\n"
    )
    build(course)
    return course


@pytest.fixture(scope="module")
def published(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "pages"
    said: list[str] = []
    assert [path.name for path in publish(course, folder, tell=said.append)] == ["01_lengths.html", "index.html"]
    assert said == ["01_lengths: running"]
    return folder


class Page(HTMLParser):
    """What a page links to and what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if tag == "a":
            self.links.append(found.get("href") or "")
        elif tag in ("script", "img", "link", "iframe"):
            self.loads.append(found.get("src") or found.get("href") or "")


def text_of(path: Path) -> str:
    """The text of a page, without its styles and scripts."""
    page = re.sub(r"<(style|script)\b.*?</\1>", "", path.read_text("utf-8"), flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_a_page_shows_the_solution_without_marks_and_what_came_of_it(published: Path) -> None:
    text = text_of(published / "01_lengths.html")
    assert "ordered" in text and "✓ Exercise 1.3: passed, 10 of 10 points" in text
    assert "SOLUTION" not in text and "HIDDEN" not in text and "float (" not in text


def test_a_widget_becomes_its_still_and_nobodys_prediction_is_shown(published: Path) -> None:
    page = (published / "01_lengths.html").read_text("utf-8")
    assert "Which is the longest?" in page and "What did you learn?" in page
    assert "widget-view" not in page and "none was made" in page


def test_a_page_loads_nothing_from_elsewhere(published: Path) -> None:
    for path in published.glob("*.html"):
        assert [place for place in Page(path).loads if place and not place.startswith("data:")] == [], path.name


def test_links_lead_to_pages_where_there_are_some(published: Path) -> None:
    links = Page(published / "01_lengths.html").links
    assert {"index.html", "01_lengths.html", "02_labels.ipynb"} <= set(links)
    assert "01_lengths.html" in Page(published / "index.html").links
    assert "01 How long a review is" in text_of(published / "index.html")


def test_publishing_again_replaces_the_pages(course: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        pages, "_executed", lambda path, *_: {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    )
    publish(course, tmp_path / "pages", tell=lambda _: None)
    (tmp_path / "pages" / "99_gone.html").write_text("old")
    publish(course, tmp_path / "pages", tell=lambda _: None)
    assert {path.name for path in (tmp_path / "pages").iterdir()} == {"01_lengths.html", "index.html"}


@pytest.mark.parametrize("files", [{"precious.txt": ""}, {"index.html": "my home page"}])
def test_a_folder_with_anything_but_pages_is_never_replaced(
    course: Course, tmp_path: Path, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "_executed", lambda *_: pytest.fail("it ran"))
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UsageError, match="holds something else than pages"):
        publish(course, tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


def test_pages_and_a_stranger_beside_them_are_not_replaced(published: Path, course: Course, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(published, tmp_path / "pages"))
    (folder / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds something else"):
        publish(course, folder)


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("\n# %%\n1 / 0\n", r"01_lengths\.ipynb did not run: cell 10 \(\w+\): ZeroDivisionError"),
        (PICTURE, r"01_lengths\.ipynb: cell \w+: shows a picture without a text alternative"),
    ],
    ids=["raises", "bare picture"],
)
def test_a_lesson_that_fails_or_shows_a_bare_picture_is_not_published(tmp_path: Path, cell: str, said: str) -> None:
    quick = LENGTHS.replace('check("1.3", smallest_max_length)', "lengths")
    course = write_course(tmp_path / "course", {"01_lengths": quick + cell})
    build(course)
    with pytest.raises(LabkitError, match=said):
        publish(course, tmp_path / "pages", tell=lambda _: None)
    assert not (tmp_path / "pages").exists()


def test_without_notebooks_it_says_how_to_make_them(tmp_path: Path) -> None:
    course = write_course(tmp_path / "course")
    with pytest.raises(UsageError, match="labkit course build makes them"):
        publish(course, tmp_path / "pages")


def test_a_link_to_a_lesson_that_has_no_page_stays(course: Course) -> None:
    notebook = {"cells": [{"cell_type": "markdown", "source": "[a](01_a.ipynb) [b](02_b.ipynb)"}], "metadata": {}}
    assert shown(notebook, {"01_a"})["cells"][0]["source"] == "[a](01_a.html) [b](02_b.ipynb)"

"""Laws of what is shown: a screen reader can follow a table, no text becomes markup, columns stand where they should."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

import labkit
from labkit.display import LEFT, Markup, html_table, text_table

HEADS = ("", "A", "B")
ROWS = [("accuracy", "0.9", "0.8"), ("f1", "0.85", "0.75")]
cells = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=8)
tables = st.integers(1, 4).flatmap(
    lambda width: st.lists(st.lists(cells, min_size=width, max_size=width), min_size=1, max_size=4)
)


def parsed(page: str) -> ElementTree.Element:
    return ElementTree.fromstring(page)


def test_every_table_has_a_caption_and_a_name_for_each_column_and_row():
    table = parsed(html_table("What it is", [HEADS, *ROWS]))
    assert [part.tag for part in table] == ["caption", "thead", "tbody"]
    assert table.findtext("caption") == "What it is"
    corner, *heads = table.iterfind("thead/tr/")
    assert [(cell.tag, cell.get("scope")) for cell in heads] == [("th", "col")] * 2
    assert (corner.tag, corner.get("scope")) == ("td", None)  # an empty header would name nothing
    for row, (name, *values) in zip(table.iterfind("tbody/tr"), ROWS, strict=True):
        assert [cell.text for cell in row.iterfind("th[@scope='row']")] == [name]
        assert [cell.text for cell in row.iterfind("td")] == values


def test_facts_have_a_name_each_and_no_columns_to_name():
    table = parsed(html_table("Facts", [("input", "1"), ("output", "2")], head=False))
    assert table.find("thead") is None
    assert [cell.text for cell in table.iterfind("tbody/tr/th")] == ["input", "output"]


def test_the_rows_may_be_named_by_another_column():
    table = parsed(html_table("", [("mark", "name"), ("✓", "disk")], row_header=1))
    assert [cell.text for cell in table.iterfind("tbody/tr/th")] == ["disk"]


def test_the_style_of_a_column_is_that_of_its_cells_and_its_head():
    table = parsed(html_table("", [HEADS, *ROWS], styles=(LEFT, "")))
    for row in table.iter("tr"):
        assert [cell.get("style") for cell in row] == [LEFT, None, None]


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs", "Cn"]), max_size=20), tables)
def test_any_text_stands_in_a_table_as_it_is(caption, rows):
    table = parsed(html_table(caption, rows).replace("\r", "&#13;"))
    assert (table.findtext("caption") or "") == caption
    assert [[cell.text or "" for cell in row] for row in table.iter("tr")] == rows


def test_markup_goes_into_a_cell_as_it_stands():
    table = parsed(html_table("", [("a", "b"), ("<i>", Markup("<i>x</i>"))]))
    assert [cell.text for cell in table.iter("i")] == ["x"]
    assert table.findtext("tbody/tr/th") == "<i>"


def test_no_other_module_makes_a_table_by_hand():
    package = Path(labkit.__file__).parent
    by_hand = [path.name for path in package.rglob("*.py") if "<table" in path.read_text("utf-8")]
    assert by_hand == ["display.py"]


@given(tables)
def test_in_a_terminal_every_cell_of_a_column_begins_at_the_same_place(rows):
    rows = [[cell.replace("\u2028", "").replace("\u2029", "").replace("\x85", "") for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    starts = [sum(widths[:place]) + 2 * place for place in range(len(widths))]
    for line, row in zip(text_table(rows).split("\n"), rows, strict=True):
        assert line == line.rstrip()
        for start, cell in zip(starts, row, strict=True):
            assert line[start : start + len(cell)] == cell[: max(0, len(line) - start)]


@pytest.mark.parametrize(
    ("columns", "gap", "lines"),
    [
        ((), "  ", ["accuracy  0.9   0.8", "f1        0.85  0.75"]),
        (("<10", ">5", ""), "", ["accuracy    0.90.8", "f1         0.850.75"]),
        (("", ">4", ">4"), " ", ["accuracy  0.9  0.8", "f1 0.85 0.75"]),
    ],
)
def test_the_columns_have_the_formats_that_are_asked_for(columns, gap, lines):
    assert text_table(ROWS, columns, gap).split("\n") == lines


def test_no_rows_are_no_lines():
    assert text_table([]) == ""

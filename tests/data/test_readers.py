"""Laws of the readers: what was written is what is read, a row knows its line, what is broken is refused by name."""

import csv
import io
import json
import re
from collections.abc import Sequence
from typing import Literal

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data.readers import READERS, ReviewFileError, Row, and_more, column_of, decode_utf8, read_rows
from labkit.errors import UsageError

law = settings(max_examples=60, deadline=None)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
tables = st.lists(st.tuples(any_text, st.sampled_from(["0", "1", "neg", "pos"])), min_size=1, max_size=8)
GOOD = b"text,label\na good film,1\na dull film,0\n"


def refusal(path) -> str:
    """The text with which a file is refused, without the folder it lies in; always wrong use, exit code 2."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(ReviewFileError) as refused:
        read_rows(path)
    assert isinstance(refused.value, UsageError)
    assert refused.value.exit_code == 2
    assert sorted(path.parent.iterdir()) == before
    return str(refused.value).replace(str(path), path.name)


def separated(
    table: Sequence[Sequence[str]], delimiter: str = ",", line_end: str = "\n", quote_all: bool = False
) -> str:
    """A table as csv.writer writes it; Python 3.11 leaves some line breaks unquoted, so then all is quoted."""
    page = io.StringIO(newline="")
    all_of_it = quote_all or any({"\r", "\n"} & set(value) for row in table for value in row)
    quoting: Literal[0, 1] = csv.QUOTE_ALL if all_of_it else csv.QUOTE_MINIMAL
    csv.writer(page, delimiter=delimiter, lineterminator=line_end, quoting=quoting).writerows(table)
    return page.getvalue()


@law
@given(tables, st.sampled_from(["\n", "\r\n", "\r"]), *[st.booleans()] * 2, st.sampled_from([",", "\t"]))
def test_separated_text_is_read_as_it_was_written(tmp_path_factory, table, line_end, mark, quote_all, delimiter):
    path = tmp_path_factory.mktemp("rows") / ("rows.csv" if delimiter == "," else "rows.tsv")
    page = separated([("text", "label"), *table], delimiter, line_end, quote_all)
    path.write_bytes(page.encode("utf-8-sig" if mark else "utf-8"))
    assert [tuple(row.values.items()) for row in read_rows(path)] == [
        (("text", text), ("label", label)) for text, label in table
    ]


@law
@given(tables, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans())
def test_json_lines_are_read_as_they_were_written(tmp_path_factory, table, line_end, byte_order_mark, ascii_only):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    records = [{"text": text, "label": label, "more": [1, None]} for text, label in table]
    page = line_end.join(json.dumps(record, ensure_ascii=ascii_only) for record in records)
    path.write_bytes(page.encode("utf-8-sig" if byte_order_mark else "utf-8"))
    assert [row.values for row in read_rows(path)] == records
    assert [row.line for row in read_rows(path)] == list(range(1, len(records) + 1))


@law
@given(tables)
def test_parquet_is_read_as_it_was_written(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("rows") / "rows.parquet"
    records = [{"text": text, "label": label} for text, label in table]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(records), path)
    assert [(row.line, row.values) for row in read_rows(path)] == list(enumerate(records, start=1))


@law
@given(st.lists(st.lists(st.sampled_from(["film", "a\nb", 'say "x"', "c\r\nd", "e\rf"]), min_size=2, max_size=2)))
def test_a_row_knows_the_line_on_which_it_begins(tmp_path_factory, table):
    path = tmp_path_factory.mktemp("rows") / "rows.csv"
    page, begins = "", []
    for row in [["text", "label"], *table, ["last", "row"]]:
        begins.append(len(re.findall("\r\n|\r|\n", page)) + 1)
        page += separated([row])
    path.write_bytes(page.encode())
    assert [row.line for row in read_rows(path)] == begins[1:]


def test_blank_lines_are_no_rows_and_still_count_as_lines(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\n\na,0\n\n\nb,1\n\n")
    (tmp_path / "rows.jsonl").write_text('\n{"text": "a"}\n  \n{"text": "b"}\n\n')
    assert [(row.line, row.values["text"]) for row in read_rows(tmp_path / "rows.csv")] == [(3, "a"), (6, "b")]
    assert [(row.line, row.values["text"]) for row in read_rows(tmp_path / "rows.jsonl")] == [(2, "a"), (4, "b")]


@pytest.mark.parametrize("name", ["rows.csv", "rows.CSV", "rows.Csv"])
def test_an_ending_is_read_in_any_case_and_headers_without_their_margins(tmp_path, name):
    (tmp_path / name).write_text(" text , label\na,0\n")
    assert read_rows(tmp_path / name)[0].values == {"text": "a", "label": "0"}


def test_a_value_of_any_length_is_read_and_the_limit_of_csv_stays(tmp_path):
    limit = csv.field_size_limit()
    (tmp_path / "rows.csv").write_text(f"text,label\n{'a' * 200_000},0\n")
    assert len(str(read_rows(tmp_path / "rows.csv")[0].values["text"])) == 200_000
    assert csv.field_size_limit() == limit


def parquet_with_latin_1() -> bytes:
    """A Parquet file whose string column holds bytes that are no UTF-8, as some writers make it."""
    offsets = pyarrow.array([0, 4], pyarrow.int32()).buffers()[1]
    column = pyarrow.Array.from_buffers(
        pyarrow.string(), 1, [None, offsets, pyarrow.py_buffer("café".encode("latin-1"))]
    )
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table({"text": column}), sink)
    return sink.getvalue().to_pybytes()


def parquet(**columns: list[object]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue().to_pybytes()


CLOSING = "a value that holds the separator or a line break must stand in double quotes"
BROKEN = {
    "an empty file": ("rows.csv", b"", "rows.csv is empty; wanted a header and rows"),
    "a byte order mark alone": ("rows.csv", b"\xef\xbb\xbf", "rows.csv is empty; wanted a header and rows"),
    "an empty Parquet file": ("rows.parquet", b"", "rows.parquet is empty; wanted a header and rows"),
    "only a header": ("rows.csv", b"text,label\n", "rows.csv has a header and no rows"),
    "only a header (tsv)": ("rows.tsv", b"text\tlabel\r\n\r\n", "rows.tsv has a header and no rows"),
    "only blank lines": ("rows.jsonl", b"\n \n", "rows.jsonl has no rows"),
    "a table of no rows": ("rows.parquet", parquet(text=[]), "rows.parquet has no rows"),
    "a header of nothing": ("rows.csv", b"\na,0\n", "rows.csv line 1: no header; wanted the names of the columns"),
    "a header twice": ("rows.csv", b"text,label,text\na,0,b\n", 'rows.csv line 1: two columns are named "text"'),
    "too few values": (
        "rows.csv",
        GOOD + b"only a text\n",
        f"rows.csv line 4: 1 values where the header has 2 columns; {CLOSING}",
    ),
    "too many values": (
        "rows.tsv",
        b'text\tlabel\n"a\nb"\t0\na\tb\t1\n',
        f"rows.tsv line 4: 3 values where the header has 2 columns; {CLOSING}",
    ),
    "a quote that never closes": (
        "rows.csv",
        GOOD + b'"never closed,1\nnext,0\n',
        "rows.csv line 4: a double quote is opened and never closed",
    ),
    "text after a quote": ("rows.csv", GOOD + b'"a" film,1\n', "rows.csv line 4: ',' expected after '\"'"),
    "no such ending": (
        "rows.xlsx",
        GOOD,
        'rows.xlsx: the ending ".xlsx" is none of .csv, .tsv, .jsonl, .ndjson, .parquet',
    ),
    "no ending": ("rows", GOOD, 'rows: the ending "" is none of .csv, .tsv, .jsonl, .ndjson, .parquet'),
    "Latin-1": (
        "rows.csv",
        GOOD + "café,1\n".encode("latin-1"),
        "rows.csv line 4: byte 0xe9 is not UTF-8 (Latin-1 or Windows-1252?); save it as UTF-8",
    ),
    "UTF-8 cut in the middle": (
        "rows.jsonl",
        b'{"text": "caf\xc3',
        "rows.jsonl line 1: byte 0xc3 is not UTF-8 (Latin-1 or Windows-1252?); save it as UTF-8",
    ),
    "UTF-16 with its mark": (
        "rows.csv",
        GOOD.decode().encode("utf-16"),
        "rows.csv is UTF-16 text; wanted UTF-8 (save it as UTF-8)",
    ),
    "UTF-16, little end first": (
        "rows.csv",
        GOOD.decode().encode("utf-16-le"),
        "rows.csv is UTF-16 text; wanted UTF-8 (save it as UTF-8)",
    ),
    "UTF-16, big end first": (
        "rows.tsv",
        GOOD.decode().encode("utf-16-be"),
        "rows.tsv is UTF-16 text; wanted UTF-8 (save it as UTF-8)",
    ),
    "Parquet under another name": (
        "rows.csv",
        parquet(text=["a"]),
        'rows.csv: the content is Parquet, which the ending ".csv" does not say',
    ),
    "gzip under another name": (
        "rows.jsonl",
        b"\x1f\x8b\x08\x00",
        'rows.jsonl: the content is gzip, which the ending ".jsonl" does not say',
    ),
    "a spreadsheet under another name": (
        "rows.csv",
        b"PK\x03\x04\x14\x00",
        'rows.csv: the content is a zip archive or a spreadsheet, which the ending ".csv" does not say',
    ),
    "text in place of JSON": (
        "rows.jsonl",
        b'{"text": "a"}\ntext\n',
        "rows.jsonl line 2: no JSON object (Expecting value…",
    ),
    "JSON over several lines": (
        "rows.jsonl",
        b'[\n{"text": "a"}\n]\n',
        "rows.jsonl line 1: no JSON object (Expecting value…",
    ),
    "JSON of another kind": (
        "rows.jsonl",
        b'{"text": "a"}\n\n["a", 0]\n',
        "rows.jsonl line 3: a JSON list; wanted an object with named values",
    ),
    "JSON without a bottom": (
        "rows.ndjson",
        b'{"text":' + b"[" * 99_999,
        "rows.ndjson line 1: no JSON object (maximum recursion…",
    ),
    "a number without an end": (
        "rows.jsonl",
        b'{"label": ' + b"1" * 5_000 + b"}",
        "rows.jsonl line 1: no JSON object (Exceeds the limit…",
    ),
    "text in place of Parquet": ("rows.parquet", GOOD, "rows.parquet is no readable Parquet file (…"),
    "half a Parquet file": (
        "rows.parquet",
        parquet(text=["a"] * 99)[:-20],
        "rows.parquet is no readable Parquet file (…",
    ),
    "a Parquet column twice": (
        "rows.parquet",
        b"",
        "rows.parquet is no readable Parquet file (Multiple matches…",
    ),
    "Latin-1 in Parquet": (
        "rows.parquet",
        parquet_with_latin_1(),
        "rows.parquet is no readable Parquet file ('utf-8' codec can't decode…",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_broken_file_is_refused_with_its_name_and_what_is_wanted(tmp_path, fault):
    name, content, message = BROKEN[fault]
    (tmp_path / name).write_bytes(content)
    if fault == "a Parquet column twice":
        columns = [pyarrow.array(["a"]), pyarrow.array(["b"])]
        pyarrow.parquet.write_table(pyarrow.table(columns, names=["text", "text"]), tmp_path / name)
    found = refusal(tmp_path / name)
    wanted, cut, _ = message.partition("…")  # the rest of these is in the words of another library
    assert found.startswith(wanted) if cut else found == wanted


def test_no_such_file_is_refused_with_the_nearest_that_is_there(tmp_path):
    (tmp_path / "reviews.csv").write_bytes(GOOD)
    assert refusal(tmp_path / "review.csv") == "review.csv: no such file; did you mean reviews.csv?"
    assert refusal(tmp_path / "quite-other.tsv") == "quite-other.tsv: no such file"


def test_a_folder_is_refused_as_one(tmp_path):
    (tmp_path / "reviews.csv").mkdir()
    assert refusal(tmp_path / "reviews.csv") == f"reviews.csv is a folder; wanted a file ending in {', '.join(READERS)}"


# Only what was asked for is read


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([3_000_000, 19_000], pyarrow.date32()),
        ([300_000_000_000_000_000, 0], pyarrow.timestamp("us")),
        ([0, 1], pyarrow.timestamp("us", "Mars/Base")),
        ([[1], None], pyarrow.list_(pyarrow.int64())),
    ],
)
def test_a_parquet_column_breaks_nothing_until_it_is_asked_for(tmp_path, values, kind):
    path = tmp_path / "rows.parquet"
    columns = {"text": ["a", "b"], "label": [1, 0], "odd": pyarrow.array(values, kind)}
    pyarrow.parquet.write_table(pyarrow.table(columns), path)
    rows = read_rows(path, ("text", "label"), optional=("id",))
    assert [row.values for row in rows] == [{"text": "a", "label": 1}, {"text": "b", "label": 0}]
    if kind == pyarrow.list_(pyarrow.int64()):
        assert read_rows(path, ("text", "odd"))[0].values == {"text": "a", "odd": [1]}
        return
    with pytest.raises(ReviewFileError) as refused:
        read_rows(path, ("text", "odd"))
    said = str(refused.value)
    assert said.startswith(f"{path} is no readable Parquet file (") and 'column "odd"' in said and "\n" not in said


def test_parquet_columns_are_told_apart_by_their_whole_names(tmp_path):
    path = tmp_path / "rows.parquet"
    names = ["text", "text.raw", "x", "x"]
    pyarrow.parquet.write_table(pyarrow.table([pyarrow.array([name]) for name in "abcd"], names=names), path)
    assert read_rows(path, ("text",))[0].values == {"text": "a"}
    assert read_rows(path, ("text.raw",), optional=("text",))[0].values == {"text": "a", "text.raw": "b"}
    for asked, fault in [("x", "Multiple matches"), ("label", 'no column "label"; found "text", "text.raw", "x"')]:
        with pytest.raises(ReviewFileError, match=re.escape(fault)):
            read_rows(path, (asked,))


@law
@given(st.dictionaries(st.text("abé ", min_size=1, max_size=3), st.integers(0, 1), min_size=1), st.data())
def test_a_json_key_twice_is_refused_and_never_chooses_a_value(tmp_path_factory, values, data):
    path = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    twice = data.draw(st.sampled_from(sorted(values)))
    pairs = [f"{json.dumps(name)}: {value}" for name, value in values.items()]
    again = f"{json.dumps(twice, ensure_ascii=False)}: {data.draw(st.integers(0, 1))}"
    pairs.insert(data.draw(st.integers(0, len(pairs))), again)
    path.write_text('{"text": "first"}\n{' + ", ".join(pairs) + "}\n", encoding="utf-8")
    assert refusal(path) == f'rows.jsonl line 2: two values are named "{twice}"'


def test_a_key_twice_within_a_value_that_nobody_reads_is_no_fault(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "a", "more": [{"x": 1, "x": 2}, {}], "label": 1}\n')
    assert read_rows(tmp_path / "rows.jsonl", ("text", "label"))[0].values["label"] == 1


# The separator


@pytest.mark.parametrize("ending", ["csv", "tsv"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "rows",
    [
        ["text{0}label", "A fine film, and\tmore | ; really{0}1", "dull{0}0"],
        ['"text"{0}"label"', '"A fine film, really"{0}1', '"dull"{0}0'],
        ['id{0}label{0} "text"', '1{0}1{0}"He said ""no"", twice"'],
        ["text, as written{0}text{0}label", "a, b{0}a{0}1"],
    ],
)
def test_another_separator_is_named_before_any_row_is_blamed(tmp_path, rows, line_end, ending):
    path = tmp_path / f"rows.{ending}"
    own = {"csv": ",", "tsv": "\t"}[ending]
    for mark in (",", ";", "\t", "|"):
        if mark != own and not (mark == "," and "text, as" in rows[0]):
            path.write_bytes(("\ufeff" + line_end.join(rows).format(mark)).encode())
            with pytest.raises(ReviewFileError) as refused:
                read_rows(path, ("text", "label"))
            assert "quotes" not in str(refused.value) and "\n" not in str(refused.value)
            assert str(refused.value).startswith(f'{path}: no column "')
            assert str(refused.value).endswith(f"separated by {mark!r}, and .{ending} wants {own!r}")


@pytest.mark.parametrize("mark", [",", ";", "\t"])
@pytest.mark.parametrize("note", ["sep={0}", "SEP={0}", '"sep={0}"', "sep={0},"])
def test_excel_s_note_on_the_separator_is_named_as_one(tmp_path, mark, note):
    path = tmp_path / "rows.csv"
    path.write_text(f"{note.format(mark)}\ntext{mark}label\nfine{mark}1\ndull{mark}0\n")
    wanted = "remove that line" + (" and separate the values by ','" if mark != "," else "")
    assert refusal(path).endswith(wanted) and refusal(path).startswith('rows.csv line 1: "sep=')
    path.write_text("sep,text,label\n=,fine,1\n")
    assert read_rows(path, ("text",))[0].values == {"sep": "=", "text": "fine", "label": "1"}


def test_columns_that_a_spreadsheet_left_without_a_name_are_no_fault(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label,,\nfine,1,,\n")
    assert read_rows(tmp_path / "rows.csv", ("text", "label"))[0].values == {"text": "fine", "label": "1", "": ""}


def rows_or_refusal(path) -> list[Row] | bool:
    """The rows of a file, at least one, or whether it is refused under its own name; nothing else may happen."""
    try:
        return read_rows(path)
    except ReviewFileError as refused:
        return str(refused).startswith(str(path))


@law
@given(st.sampled_from(sorted(READERS)), st.binary(max_size=300))
def test_no_bytes_of_any_kind_bring_a_reader_down(tmp_path_factory, ending, content):
    path = tmp_path_factory.mktemp("bytes") / f"rows{ending}"
    path.write_bytes(content)
    assert rows_or_refusal(path)


@law
@given(st.integers(0, 10_000), st.integers(0, 255))
def test_no_flipped_byte_of_a_parquet_file_brings_its_reader_down(tmp_path_factory, place, byte):
    path = tmp_path_factory.mktemp("bytes") / "rows.parquet"
    content = bytearray(parquet(text=["a good film", "a dull film"] * 9, label=[1, 0] * 9))
    content[place % len(content)] = byte
    path.write_bytes(content)
    assert rows_or_refusal(path)


# Columns


def test_a_missing_column_is_refused_with_the_nearest_name(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"Text,sentiment\na,0\n")
    rows = read_rows(path)
    assert column_of(rows, "sentiment", path) == "sentiment"
    with pytest.raises(ReviewFileError) as refused:
        column_of(rows, "sentimnet", path)
    assert str(refused.value) == f'{path}: no column "sentimnet"; found "Text", "sentiment"; did you mean sentiment?'


@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_a_header_with_another_separator_is_said_to_have_one(tmp_path, mark):
    path = tmp_path / "rows.csv"
    path.write_text(f"text{mark}label\na film{mark}0\n")
    with pytest.raises(ReviewFileError, match=re.escape(f"; the header looks separated by {mark!r}")):
        column_of(read_rows(path), "text", path)


def test_a_column_that_only_some_rows_have_is_refused_with_the_first_line_and_the_count(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "a"}\n{"txt": "b"}\n{"txt": "c"}\n')
    with pytest.raises(ReviewFileError) as refused:
        column_of(read_rows(path), "text", path)
    assert str(refused.value) == f'{path} line 2: no "text"; 1 more row like it'


@pytest.mark.parametrize(("count", "words"), [(1, ""), (2, "; 1 more row like it"), (42, "; 41 more rows like it")])
def test_rows_that_are_not_shown_are_counted(count, words):
    assert and_more(count) == words


@law
@given(any_text, st.booleans())
def test_utf_8_is_read_with_and_without_a_mark(tmp_path_factory, text, byte_order_mark):
    path = tmp_path_factory.mktemp("text") / "file.txt"
    text = text.lstrip("\ufeff").replace("\0", "")
    content = text.encode("utf-8-sig" if byte_order_mark else "utf-8")
    if not content.startswith((b"PK\x03\x04", b"PAR1")):
        assert decode_utf8(path, content) == text

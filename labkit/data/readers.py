"""Rows of a user's file, each with its line: CSV, TSV, JSON lines, Parquet; and the lines of a plain text.

Says what a file has in it and refuses what is broken; what a review or a label is, reviews.py decides.
"""

import codecs
import contextlib
import csv
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.errors import UsageError, did_you_mean

LINE_END = re.compile(r"\r\n|\r|\n")
SEPARATORS = (",", ";", "\t", "|")
EXCEL_NOTE = re.compile(r'"?sep=(.)"?[,\s]*', re.IGNORECASE)  # tells Excel how a file's values are separated
BINARY_KINDS = {
    b"PAR1": "Parquet",
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "a zip archive or a spreadsheet",
    b"%PDF": "PDF",
}


class ReviewFileError(UsageError):
    """A file that cannot be used as it is.

    The text names the file, the line, what was found and what is wanted. In a notebook it is shown alone: the mistake
    stands in the file and not in the code.
    """

    def _render_traceback_(self) -> list[str]:  # IPython's own way for an exception to say how it is shown
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True)
class Row:
    """One record of a file: its line and its values by column.

    line: where the record begins; in Parquet the number of the row, from 1.
    """

    line: int
    values: dict[str, object]


def read_rows(path: Path, columns: Sequence[str] = (), optional: Sequence[str] = ()) -> list[Row]:
    """Read all rows of a file, in the format that its ending names.

    That is .csv, .tsv, .jsonl, .ndjson or .parquet. columns: which every row must have; optional: which it may have. Where
    any are named, a Parquet file's others are not read. Raises ReviewFileError where there is no such file, or it is empty,
    not UTF-8, has ragged rows, a quote that never closes, two columns of one name, a line that is no JSON object, no row
    below its header, or lacks one of `columns`.
    """
    reader = READERS.get(path.suffix.lower())
    if path.is_dir():
        raise ReviewFileError(f"{path} is a folder; wanted a file ending in {', '.join(READERS)}")
    if not path.exists():
        raise _no_such_file(path)
    if reader is None:
        raise ReviewFileError(f'{path}: the ending "{path.suffix}" is none of {", ".join(READERS)}')
    if path.stat().st_size == 0:
        raise ReviewFileError(f"{path} is empty; wanted a header and rows")
    rows = reader(path, columns, optional)
    if not rows:
        raise ReviewFileError(
            f"{path} has a header and no rows" if reader in (_read_csv, _read_tsv) else f"{path} has no rows"
        )
    for name in columns:
        column_of(rows, name, path)
    return rows


def read_lines(path: Path, content: bytes | None = None) -> list[str]:
    r"""Read a plain text's lines, which end at \n, \r\n or \r and nowhere else.

    content: where given, it is read in place of the file. Raises ReviewFileError where there is no such file, it is not
    UTF-8, or it is a table, whose header and labels would be taken for texts.
    """
    if content is None:
        if path.is_dir():
            raise ReviewFileError(f"{path} is a folder; wanted a file with a text on each line")
        if not path.exists():
            raise _no_such_file(path)
        if path.suffix.lower() in (*READERS, ".json"):
            raise _is_a_table(path, f'a table by its ending "{path.suffix}"')
    data = path.read_bytes() if content is None else content
    if kind := _binary_kind(data):
        raise _is_a_table(path, kind)
    lines = split_lines(decode_utf8(path, data))
    if lines and {"text", "label"} <= {name.strip().strip('"').lower() for name in re.split(r"[,;|\t]", lines[0])}:
        raise _is_a_table(path, f'a table, for its first line is the header "{lines[0][:40]}"')
    with contextlib.suppress(ValueError, RecursionError):  # no JSON: a text, as it should be
        if isinstance(json.loads("".join(lines[:1])), dict):
            raise _is_a_table(path, "JSON lines")
    return lines


def split_lines(text: str) -> list[str]:
    r"""Split a text at \n, \r\n and \r, and nowhere else.

    `str.splitlines` also splits at U+2028, U+0085 and more, which people's texts hold.

    >>> split_lines("one\u2028line\r\nanother\n")
    ['one\u2028line', 'another']
    """
    lines = LINE_END.split(text)
    return lines if lines[-1] else lines[:-1]


def _no_such_file(path: Path) -> ReviewFileError:
    siblings = [file.name for file in path.parent.iterdir() if file.is_file()] if path.parent.is_dir() else []
    return ReviewFileError(f"{path}: no such file{did_you_mean(path.name, siblings)}")


def _is_a_table(path: Path, found: str) -> ReviewFileError:
    return ReviewFileError(
        f"{path} is {found}; wanted plain text with one text on each line, so save its texts alone as a .txt file "
        "(`labkit evaluate --data FILE` takes tables with labels)"
    )


def column_of(rows: Sequence[Row], name: str, path: Path) -> str:
    """Return `name` if every row has that column.

    Raises ReviewFileError with the nearest name that is there.
    """
    present = dict.fromkeys(column for row in rows for column in row.values)
    if name not in present:
        raise _no_column(path, name, list(present))
    lacking = [row.line for row in rows if name not in row.values]
    if lacking:
        raise ReviewFileError(f'{path} line {lacking[0]}: no "{name}"{and_more(len(lacking))}')
    return name


def _no_column(path: Path, name: str, present: Sequence[str], separator: str = "") -> ReviewFileError:
    """Say which columns a file has in place of `name`.

    separator: by which its header looks separated, where that is known.
    """
    wanted = {".csv": ",", ".tsv": "\t"}.get(path.suffix.lower())
    others = [mark for mark in SEPARATORS if mark != wanted and len(present) == 1 and mark in present[0]]
    separator = separator or "".join(others[:1])
    hint = did_you_mean(name, present)
    if separator:
        hint = f"; the header looks separated by {separator!r}"
        hint += f", and {path.suffix} wants {wanted!r}" if wanted else ""
    found = ", ".join(f'"{column}"' for column in present)
    return ReviewFileError(f'{path}: no column "{name}"; found {found}{hint}')


def and_more(count: int) -> str:
    """Say how many rows of the same fault are not shown when one of `count` is."""
    return {0: "", 1: "", 2: "; 1 more row like it"}.get(count, f"; {count - 1} more rows like it")


def decode_utf8(path: Path, content: bytes | None = None) -> str:
    """Decode a file's text and drop its byte order mark.

    Raises ReviewFileError that names the line of the first bad byte.
    """
    data = path.read_bytes() if content is None else content
    start = data[:400]  # of UTF-16 without a mark, every other byte of Latin letters is NUL
    unmarked = len(start) >= 8 and max(start[0::2].count(0), start[1::2].count(0)) > 0.4 * len(start)
    if unmarked or data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise ReviewFileError(f"{path} is UTF-16 text; wanted UTF-8 (save it as UTF-8)")
    if kind := _binary_kind(data):
        raise ReviewFileError(f'{path}: the content is {kind}, which the ending "{path.suffix}" does not say')
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        line = len(LINE_END.findall(data[: why.start].decode("latin-1"))) + 1
        byte = data[why.start]
        raise ReviewFileError(
            f"{path} line {line}: byte 0x{byte:02x} is not UTF-8 (Latin-1 or Windows-1252?); save it as UTF-8"
        ) from None


def _binary_kind(data: bytes) -> str:
    """Name the format of content that is no text, or nothing."""
    return next((kind for magic, kind in BINARY_KINDS.items() if data.startswith(magic)), "")


def _read_csv(path: Path, columns: Sequence[str], optional: Sequence[str]) -> list[Row]:
    return _read_separated(path, ",", columns)


def _read_tsv(path: Path, columns: Sequence[str], optional: Sequence[str]) -> list[Row]:
    return _read_separated(path, "\t", columns)


def _read_separated(path: Path, delimiter: str, columns: Sequence[str]) -> list[Row]:
    text = decode_utf8(path)
    if not text:  # a byte order mark and nothing else
        raise ReviewFileError(f"{path} is empty; wanted a header and rows")
    before = csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    try:
        _check_separator(path, LINE_END.split(text, maxsplit=1)[0], delimiter, columns)
        return _parse_separated(path, text, delimiter, columns)
    finally:
        csv.field_size_limit(before)


def _check_separator(path: Path, first_line: str, delimiter: str, columns: Sequence[str]) -> None:
    """Refuse a header with another separator by that name, before its rows are blamed for their quotes and number."""
    if note := EXCEL_NOTE.fullmatch(first_line):
        remedy = "" if note[1] == delimiter else f" and separate the values by {delimiter!r}"
        raise ReviewFileError(
            f'{path} line 1: "sep={note[1]}" tells Excel that values are separated by {note[1]!r}, and is no header; '
            f"remove that line{remedy}"
        )
    cells = {mark: next(csv.reader([first_line], delimiter=mark), []) for mark in SEPARATORS}
    names = {mark: [cell.strip() for cell in found] for mark, found in cells.items()}
    lacking = [name for name in columns if name not in names[delimiter]]
    fitting = [mark for mark in SEPARATORS if lacking and set(columns) <= set(names[mark])]
    if fitting:
        raise _no_column(path, lacking[0], [first_line], separator=fitting[0])


def _parse_separated(path: Path, text: str, delimiter: str, columns: Sequence[str]) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows = []
    first_line = 1
    try:
        for values in reader:
            line, first_line = first_line, reader.line_num + 1
            if not header:
                header = _checked_header(path, values, columns)
            elif values:
                if len(values) != len(header):
                    raise ReviewFileError(
                        f"{path} line {line}: {len(values)} values where the header has {len(header)} columns; "
                        "a value that holds the separator or a line break must stand in double quotes"
                    )
                rows.append(Row(line, dict(zip(header, values, strict=True))))
    except csv.Error as why:
        fault = "a double quote is opened and never closed" if "unexpected end" in str(why) else str(why)
        raise ReviewFileError(f"{path} line {first_line}: {fault}") from None
    return rows


def _checked_header(path: Path, values: list[str], columns: Sequence[str]) -> list[str]:
    header = [value.strip() for value in values]
    twice = {name for name in header if name and header.count(name) > 1}  # spreadsheets leave columns without a name
    if twice:
        raise ReviewFileError(f'{path} line 1: two columns are named "{min(twice)}"')
    if not any(header):
        raise ReviewFileError(f"{path} line 1: no header; wanted the names of the columns")
    for name in columns:
        if name not in header:
            raise _no_column(path, name, header)
    return header


def _read_jsonl(path: Path, columns: Sequence[str], optional: Sequence[str]) -> list[Row]:
    rows = []
    for line, text in enumerate(split_lines(decode_utf8(path)), start=1):
        if not text.strip():
            continue
        try:
            values, twice = _parse_json(text)
        except (ValueError, RecursionError) as why:  # ValueError: not JSON, or a number of thousands of digits
            raise ReviewFileError(f"{path} line {line}: no JSON object ({why})") from None
        if not isinstance(values, dict):
            raise ReviewFileError(
                f"{path} line {line}: a JSON {type(values).__name__}; wanted an object with named values"
            )
        if twice is not None:
            raise ReviewFileError(f'{path} line {line}: two values are named "{twice}"')
        rows.append(Row(line, values))
    return rows


def _parse_json(text: str) -> tuple[Any, str | None]:
    """Parse one JSON value; with it comes the first key that it has twice, of which a dict keeps the last alone."""
    objects: list[list[tuple[str, object]]] = []

    def keep(pairs: list[tuple[str, object]]) -> dict[str, object]:
        objects.append(pairs)
        return dict(pairs)

    value = json.loads(text, object_pairs_hook=keep)
    counts = (
        Counter(name for name, _ in objects[-1]) if isinstance(value, dict) else {}
    )  # the outermost is complete last
    return value, next((name for name, count in counts.items() if count > 1), None)


def _read_parquet(path: Path, columns: Sequence[str], optional: Sequence[str]) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        present = pyarrow.parquet.read_schema(path).names
        wanted = [name for name in present if name in {*columns, *optional}] if columns or optional else present
        for name in columns:
            if name not in present:
                raise _no_column(path, name, present)
        table = pyarrow.parquet.read_table(path, columns=wanted)
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as why:
        raise ReviewFileError(f"{path} is no readable Parquet file ({str(why).splitlines()[0]})") from None
    values = {name: _parquet_values(path, table.column(name), name) for name in wanted}
    return [
        Row(number, dict(zip(values, row, strict=True)))
        for number, row in enumerate(zip(*values.values(), strict=True), start=1)
    ]


def _parquet_values(path: Path, column: Any, name: str) -> list[object]:
    try:
        values: list[object] = column.to_pylist()
    except Exception as why:  # dates beyond the year 9999, zones without a name: each raises what its library has
        fault = (str(why).strip() or type(why).__name__).splitlines()[0]
        raise ReviewFileError(
            f'{path} is no readable Parquet file ({fault}; column "{name}" of {column.type})'
        ) from None
    return values


READERS: dict[str, Callable[[Path, Sequence[str], Sequence[str]], list[Row]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}

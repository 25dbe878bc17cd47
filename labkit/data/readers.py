"""Rows of a user's file, each with its line: CSV, TSV, JSON lines, Parquet.

Says what a file has in it and refuses what is broken; what a review or a label is, reviews.py decides.
"""

import codecs
import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import UsageError, did_you_mean


class ReviewFileError(UsageError):
    """A file that cannot be used as it is.

    The text names the file, the line, what was found and what is wanted.
    """


@dataclass(frozen=True)
class Row:
    """One record of a file: its line and its values by column.

    line: where the record begins; in Parquet the number of the row, from 1.
    """

    line: int
    values: dict[str, object]


def read_rows(path: Path) -> list[Row]:
    """Read all rows of a file, in the format that its ending names.

    That is .csv, .tsv, .jsonl, .ndjson or .parquet. Raises ReviewFileError where there is no such file, or it is empty,
    not UTF-8, has ragged rows, a quote that never closes, two columns of one name, a line that is no JSON object, or no
    row below its header.
    """
    reader = READERS.get(path.suffix.lower())
    if path.is_dir():
        raise ReviewFileError(f"{path} is a folder; wanted a file ending in {', '.join(READERS)}")
    if not path.exists():
        siblings = [file.name for file in path.parent.iterdir() if file.is_file()] if path.parent.is_dir() else []
        raise ReviewFileError(f"{path}: no such file{did_you_mean(path.name, siblings)}")
    if reader is None:
        raise ReviewFileError(f'{path}: the ending "{path.suffix}" is none of {", ".join(READERS)}')
    if path.stat().st_size == 0:
        raise ReviewFileError(f"{path} is empty; wanted a header and rows")
    rows = reader(path)
    if not rows:
        raise ReviewFileError(
            f"{path} has a header and no rows" if reader in (_read_csv, _read_tsv) else f"{path} has no rows"
        )
    return rows


def column_of(rows: Sequence[Row], name: str, path: Path) -> str:
    """Return `name` if every row has that column.

    Raises ReviewFileError with the nearest name that is there.
    """
    present = dict.fromkeys(column for row in rows for column in row.values)
    if name not in present:
        found = ", ".join(f'"{column}"' for column in present)
        separators = [mark for mark in (";", "\t", "|") if len(present) == 1 and mark in next(iter(present))]
        hint = f"; the header looks separated by {separators[0]!r}" if separators else did_you_mean(name, present)
        raise ReviewFileError(f'{path}: no column "{name}"; found {found}{hint}')
    lacking = [row.line for row in rows if name not in row.values]
    if lacking:
        raise ReviewFileError(f'{path} line {lacking[0]}: no "{name}"{and_more(len(lacking))}')
    return name


def and_more(count: int) -> str:
    """Say how many rows of the same fault are not shown when one of `count` is."""
    return {0: "", 1: "", 2: "; 1 more row like it"}.get(count, f"; {count - 1} more rows like it")


def decode_utf8(path: Path, content: bytes | None = None) -> str:
    """Decode a file's text and drop its byte order mark.

    Raises ReviewFileError that names the line of the first bad byte.
    """
    data = path.read_bytes() if content is None else content
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or _looks_like_utf16(data):
        raise ReviewFileError(f"{path} is UTF-16 text; wanted UTF-8 (save it as UTF-8)")
    for magic, kind in ((b"PAR1", "Parquet"), (b"\x1f\x8b", "gzip"), (b"PK\x03\x04", "a zip archive or a spreadsheet")):
        if data.startswith(magic):
            raise ReviewFileError(f'{path}: the content is {kind}, which the ending "{path.suffix}" does not say')
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as why:
        line = data[: why.start].count(b"\n") + 1
        byte = data[why.start]
        raise ReviewFileError(
            f"{path} line {line}: byte 0x{byte:02x} is not UTF-8 (Latin-1 or Windows-1252?); save it as UTF-8"
        ) from None


def _looks_like_utf16(data: bytes) -> bool:
    """Recognise UTF-16 without a mark: every other byte of Latin letters is NUL."""
    start = data[:400]
    return len(start) >= 8 and max(start[0::2].count(0), start[1::2].count(0)) > 0.4 * len(start)


def _read_csv(path: Path) -> list[Row]:
    return _read_separated(path, ",")


def _read_tsv(path: Path) -> list[Row]:
    return _read_separated(path, "\t")


def _read_separated(path: Path, delimiter: str) -> list[Row]:
    text = decode_utf8(path)
    if not text:  # a byte order mark and nothing else
        raise ReviewFileError(f"{path} is empty; wanted a header and rows")
    before = csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    try:
        return _parse_separated(path, text, delimiter)
    finally:
        csv.field_size_limit(before)


def _parse_separated(path: Path, text: str, delimiter: str) -> list[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header: list[str] = []
    rows = []
    first_line = 1
    try:
        for values in reader:
            line, first_line = first_line, reader.line_num + 1
            if not header:
                header = _checked_header(path, values)
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


def _checked_header(path: Path, values: list[str]) -> list[str]:
    header = [value.strip() for value in values]
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise ReviewFileError(f'{path} line 1: two columns are named "{min(twice)}"')
    if not any(header):
        raise ReviewFileError(f"{path} line 1: no header; wanted the names of the columns")
    return header


def _read_jsonl(path: Path) -> list[Row]:
    rows = []
    for line, text in enumerate(decode_utf8(path).split("\n"), start=1):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError) as why:  # ValueError: not JSON, or a number of thousands of digits
            raise ReviewFileError(f"{path} line {line}: no JSON object ({why})") from None
        if not isinstance(values, dict):
            raise ReviewFileError(
                f"{path} line {line}: a JSON {type(values).__name__}; wanted an object with named values"
            )
        rows.append(Row(line, values))
    return rows


def _read_parquet(path: Path) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        records = pyarrow.parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as why:
        raise ReviewFileError(f"{path} is no readable Parquet file ({str(why).splitlines()[0]})") from None
    return [Row(number, values) for number, values in enumerate(records, start=1)]


READERS: dict[str, Callable[[Path], list[Row]]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".parquet": _read_parquet,
}

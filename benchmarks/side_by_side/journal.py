"""Results as lines of JSON, each on the disk before the next is measured.

So an interrupted benchmark goes on. The file's name carries a digest of what was measured, with which code and where:
other settings begin another file.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Entry = dict[str, Any]
Tell = Callable[[str], None]


def digest(header: Entry) -> str:
    """Twelve hexadecimal digits that change with anything in the header."""
    return hashlib.sha256(json.dumps(header, sort_keys=True).encode()).hexdigest()[:12]


def digest_of_files(files: Iterable[Path]) -> str:
    """Digest the contents of files, in order.

    Results of other code are other results.
    """
    return digest({"files": [[file.name, hashlib.sha256(file.read_bytes()).hexdigest()] for file in files]})


class Journal:
    """The results under one header, which is the first line of the file."""

    def __init__(self, path: Path, tell: Tell = print) -> None:
        self.path, self.tell = path, tell
        self.header, self.entries = _read(path, tell) if path.is_file() else ({}, [])

    @classmethod
    def begun(cls, folder: Path, name: str, header: Entry, *, fresh: bool = False, tell: Tell = print) -> "Journal":
        """Open the journal of this header in `folder`, or begin an empty one.

        fresh: what is there is dropped.
        """
        path = folder / f"{name}-{digest(header)}.jsonl"
        if fresh:
            path.unlink(missing_ok=True)
        journal = cls(path, tell)
        if journal.entries:
            tell(f"going on with {len(journal.entries)} results in {path.name}; --fresh begins anew")
        if not journal.header:
            folder.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            journal._write({"header": header})
            journal.header, journal.entries = header, []
        return journal

    @classmethod
    def newest(cls, folder: Path, name: str, tell: Tell = print) -> "Journal | None":
        """The one that was written to last; None where there is none."""
        there = sorted(folder.glob(f"{name}-*.jsonl"), key=lambda file: file.stat().st_mtime)
        return cls(there[-1], tell) if there else None

    def append(self, entry: Entry) -> None:
        """Put one result on the disk."""
        self._write(entry)
        self.entries.append(entry)

    def _write(self, entry: Entry) -> None:
        with self.path.open("ab+") as file:
            if file.tell() and not _ends_with_newline(file):
                file.write(b"\n")  # a kill cut the last line short
            file.write(json.dumps(entry).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())


def _ends_with_newline(file: Any) -> bool:
    file.seek(-1, os.SEEK_END)
    return bool(file.read(1) == b"\n")


def _read(path: Path, tell: Tell) -> tuple[Entry, list[Entry]]:
    header: Entry = {}
    entries: list[Entry] = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            entry = json.loads(line)
        except ValueError:
            tell(f"{path.name} line {number} is no whole line of JSON and is left out: a kill cut it short")
            continue
        if "header" in entry:
            header = entry["header"]
        else:
            entries.append(entry)
    return header, entries

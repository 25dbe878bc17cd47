"""The student's own folder, `.labkit/`, with one JSON file for each kind of work.

Predictions, reflections, results of checks, and settings. Knows what is kept, not what it means: widgets ask, checks
judge, the lab report gathers. A file that cannot be read is set aside under a new name and never overwritten.
"""

import contextlib
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from labkit.display import LEFT, html_table
from labkit.errors import did_you_mean
from labkit.files import target_of, write_atomically

FOLDER = ".labkit"
KINDS = {
    "predictions": "what you predicted, and what came out",
    "reflections": "what you wrote at the end of the lessons",
    "checks": "the last result of each exercise",
    "hints": "how many further hints you asked for",
    "settings": "what you chose for all lessons, such as the profile",
}
LOCK_SECONDS = 10.0

Entries = dict[str, dict[str, Any]]


def course_folder() -> Path:
    """The nearest folder upwards that holds a student's work, or the current one."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / FOLDER).is_dir()), here)


class Work:
    """What a student has done, kept under `.labkit/` in the course folder.

    folder: the course folder; `course_folder()` where None. tell: hears of a damaged file that was set aside.
    """

    def __init__(self, folder: Path | None = None, tell: Callable[[str], None] = print) -> None:
        self.folder = (folder or course_folder()) / FOLDER
        self._tell = tell

    @property
    def exists(self) -> bool:
        """Whether anything has been kept yet, or the course folder was made ready for it."""
        return self.folder.is_dir()

    @property
    def predictions(self) -> Entries:
        """By key: question, choice, choices, at; the outcome once it is known, and before_outcome where the choice came later.

        That is what had been chosen when the outcome was shown, empty where nothing had.
        """
        return self._read("predictions")

    @property
    def reflections(self) -> Entries:
        """By key: question, text, at."""
        return self._read("reflections")

    @property
    def checks(self) -> Entries:
        """By exercise the last result: status, points, max_points, hint, at."""
        return self._read("checks")

    @property
    def hints(self) -> Entries:
        """By exercise the further hints that were asked for: asked, how many, and at."""
        return self._read("hints")

    @property
    def settings(self) -> Entries:
        """By name what was chosen for all lessons: `profile`, with choice."""
        return self._read("settings")

    def __str__(self) -> str:
        return "\n".join(f"{name:<16} {count:>3}  {about}" for name, count, about in self._rows())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [(name, str(count), about) for name, count, about in self._rows()]
        heads = ("file", "entries", "what it keeps")
        return html_table(f"Your folder {FOLDER}", [heads, *rows], styles=(LEFT, "", LEFT))

    def _rows(self) -> list[tuple[str, int, str]]:
        return [(f"{kind}.json", len(self._read(kind)), about) for kind, about in KINDS.items()]

    def save(self, kind: str, key: str, value: dict[str, Any]) -> None:
        """Keep one entry, in place of an earlier one with the same key.

        All other entries stay, including those written meanwhile. kind: one of KINDS. Raises ValueError for another,
        TypeError or ValueError for a value that JSON cannot hold, and OSError as the file system does (a lock that is
        held for ten seconds included).
        """
        if kind not in KINDS:
            raise ValueError(f"{kind} is none of {', '.join(KINDS)}{did_you_mean(kind, KINDS)}")
        json.dumps(value, allow_nan=False)
        target_of(self.folder).mkdir(exist_ok=True)
        with self._locked():
            entries = self._read_or_set_aside(kind) | {key: value}
            content = json.dumps(entries, indent=1, allow_nan=False) + "\n"
            write_atomically(self._path(kind), content)

    def _path(self, kind: str) -> Path:
        return self.folder / f"{kind}.json"

    def _read(self, kind: str) -> Entries:
        try:
            return _entries(self._path(kind))
        except ValueError:
            with self._locked():
                return self._read_or_set_aside(kind)

    def _read_or_set_aside(self, kind: str) -> Entries:
        """The entries; a file that holds anything else is renamed, where it lies if the path is a link to it.

        The caller holds the lock.
        """
        path = target_of(self._path(kind))
        try:
            return _entries(path)
        except ValueError as why:
            names = (path.with_name(f"{path.stem}.damaged-{number}{path.suffix}") for number in itertools.count(1))
            aside = next(name for name in names if not name.exists())
            path.rename(aside)
            self._tell(f"{path} could not be read ({why}); it is kept as {aside.name}, and an empty one begins.")
            return {}

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """One writer at a time. Raises TimeoutError with what to do where another does not end."""
        from filelock import FileLock, Timeout

        lock = FileLock(self.folder / ".lock", timeout=LOCK_SECONDS)
        try:
            lock.acquire()
        except Timeout:
            raise TimeoutError(
                f"{self.folder}: another program has been writing there for {LOCK_SECONDS:g} seconds; "
                "close the other notebooks of this course, then do this again"
            ) from None
        try:
            yield
        finally:
            lock.release()


def _entries(path: Path) -> Entries:
    """What a file of entries holds; nothing where there is no file. Raises ValueError as entries_in does."""
    try:
        return entries_in(path.read_bytes())
    except FileNotFoundError:
        return {}


def entries_in(content: bytes) -> Entries:
    """The entries that a file's bytes hold. Raises ValueError for anything else."""
    try:
        entries = json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(entries, dict) or not all(isinstance(entry, dict) for entry in entries.values()):
        raise ValueError("it holds no entries by name")
    return entries


def of_lesson(entries: Entries, lesson: str) -> Entries:
    """Those predictions or reflections that are a lesson's: their keys begin with its number.

    >>> of_lesson({"04-sure": {}, "05-seeds": {}}, "04")
    {'04-sure': {}}
    """
    return {key: entry for key, entry in entries.items() if key.startswith(f"{lesson}-")}

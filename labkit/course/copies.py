"""A student's own copy of the course: started from a release, updated to a newer one without losing a line.

Beside the work itself (student_work.py) `.labkit/` holds course.json, the record of the release that each file began as,
backups/, and course/, which the checks of a course need that does not come with labkit. How two notebooks become one is
merge.py's.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import __version__
from labkit.checks.courses import FILE, IN_A_COPY, OWN_PACKAGE, RECORD, SETTING, Course, checkout, read_course
from labkit.course.merge import merge, record
from labkit.course.notebooks import LESSON_NAME, NotebookError, notebook_bytes, parse_notebook, read_notebook
from labkit.errors import LabkitError, UsageError
from labkit.files import atomic_folder, write_atomically
from labkit.student_work import FOLDER, KINDS

MANIFEST = "release.json"
PAGE = "README.md"  # the list of lessons, to which notebooks link
BACKUPS = "backups"
_FORMAT = 1
_NOTEBOOK = re.compile(rf"{LESSON_NAME.pattern}\.ipynb")
_HASH = re.compile(r"[0-9a-f]{64}")

Records = dict[str, dict[str, str]]


@dataclass(frozen=True)
class Updated:
    """What an update did. changed: files; notes: a sentence each; left: damaged notebooks, as they were, with why."""

    changed: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    backup: Path | None = None

    def __str__(self) -> str:
        lines = [f"updated: {', '.join(self.changed)}" if self.changed else "Nothing to update."]
        lines += [f"  {note}" for note in self.notes]
        lines += [f"left as it is: {why}" for why in self.left]
        return "\n".join([*lines, f"backup: {self.backup}"] if self.backup else lines)


@dataclass(frozen=True)
class Release:
    """What a copy gets. files: by name its notebooks, and the list of lessons where there is one. package: its course's.

    carried: by path what the checks need of a course that does not come with labkit.
    """

    files: dict[str, bytes]
    package: str
    carried: dict[str, bytes]


def read_release(source: Path | None) -> Release:
    """What there is for a copy in the folder of a release or of a course.

    source: that folder; where None, that of LABKIT_COURSE or the nearest from here, else the checkout that labkit runs from.
    Raises UsageError where there are no notebooks, or where a file is not as labkit made it.
    """
    if source is not None and not source.is_dir():
        raise UsageError(f"--from {source}: no such folder")
    named, here = os.environ.get(SETTING), Path.cwd()
    near = (one for one in (here, *here.parents) if (one / MANIFEST).is_file() or (one / FILE).is_file())
    folder = source or (Path(named) if named else next(near, checkout()))
    notebooks = sorted((folder / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if not notebooks and source is None:
        bare = "this labkit was installed without notebooks" if folder == checkout() else f"{folder} has no notebooks"
        raise UsageError(f"{bare}; name the folder of the release with --from FOLDER")
    if not notebooks:
        raise UsageError(f"--from {source}: it has no notebooks/NN_name.ipynb; wanted the folder of a release")
    page = folder / "notebooks" / PAGE
    files = {path.name: path.read_bytes() for path in [*notebooks, *([page] if page.is_file() else [])]}
    course = read_course(folder) if (folder / FILE).is_file() else Course(folder)
    carried = {name: path.read_bytes() for name, path in course.files().items()}
    _refuse_damaged(folder, {f"notebooks/{name}": data for name, data in files.items()} | carried)
    for path in notebooks:
        try:
            ids = [cell.get("id") for cell in parse_notebook(files[path.name], path)["cells"]]
        except NotebookError as why:
            raise UsageError(str(why)) from None
        if not all(isinstance(name, str) for name in ids) or len(set(ids)) < len(ids):
            raise UsageError(f"{path}: its cells have no ids of their own; wanted a notebook of labkit course build")
    return Release(files, course.package, carried)


def _refuse_damaged(folder: Path, files: Mapping[str, bytes]) -> None:
    """Raise UsageError where a file is not the one that the release's manifest names; a course's own folder has none."""
    if not (folder / MANIFEST).is_file():
        return
    try:
        listed = json.loads((folder / MANIFEST).read_bytes())["files"]
        odd = [name.removeprefix("notebooks/") for name, data in files.items() if listed.get(name) != _hash(data)]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise UsageError(
            f"{folder / MANIFEST} is damaged; wanted the folder of a release as it was handed out"
        ) from None
    if odd:
        raise UsageError(
            f"{folder}: {', '.join(odd)} is not as it was released; wanted the folder as it was handed out"
        )


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _record_of(name: str, content: bytes) -> dict[str, str]:
    """What a later update compares with: by cell the hash of a notebook's, under the empty name that of a page."""
    return {"": _hash(content)} if name == PAGE else record(parse_notebook(content, name))


def start(folder: Path, source: Path | None = None) -> list[str]:
    """Make a student's own copy in a new folder; the names of its notebooks.

    Raises UsageError where something is there already, or where `read_release` finds nothing good.
    """
    with _said_where_it_cannot_be_made(folder):
        if _is_copy(folder):
            raise UsageError(f"{folder} is a copy of the course already; labkit course update brings it up to date")
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"{folder} is a file; wanted a new folder")
        if folder.exists() and any(folder.iterdir()):
            raise UsageError(f"{folder} is not empty; wanted a new folder")
        blocked = next((above for above in folder.absolute().parents if above.is_file()), None)
        if blocked:
            raise UsageError(f"{folder} cannot be made: {blocked} is a file; wanted a new folder in one that is there")
    release = read_release(source)
    records = {name: _record_of(name, content) for name, content in release.files.items()}
    with contextlib.ExitStack() as stack:
        with _said_where_it_cannot_be_made(folder):
            new = folder if folder.is_dir() else stack.enter_context(atomic_folder(folder.absolute()))
            (new / FOLDER).mkdir()
        if release.carried:
            _carry(new, release.carried)
        for name, content in release.files.items():
            write_atomically(new / name, content)
        _write_records(new, records, release.package)
    return [name for name in release.files if name != PAGE]


@contextlib.contextmanager
def _said_where_it_cannot_be_made(folder: Path) -> Iterator[None]:
    """Turn what the file system says of a place in which no folder can be into a UsageError that names it."""
    try:
        yield
    except OSError as why:
        reason = why.strerror or why
        raise UsageError(
            f"{folder} cannot be made: {reason}; wanted a new folder in one that you can write to"
        ) from None


def find_copy(folder: Path) -> Path:
    """The copy of the course that a folder is or lies in. Raises UsageError where it is none, or a release."""
    here = folder.resolve()  # before its parents are walked: those of copy/../other are not those of other
    if not here.is_dir():
        found = "it is a file" if here.exists() else "no such folder"
        raise UsageError(f"{folder}: {found}; wanted the folder of your copy of the course")
    if _is_copy(here):
        return here
    is_release = (here / MANIFEST).is_file() or any((here / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if here != Path.cwd() and is_release:  # a release, or a course's own folder
        raise UsageError(f"{folder} is a release, no copy of the course; did you mean --from {folder}?")
    copy = next(filter(_is_copy, here.parents), None)
    if copy is None:
        raise UsageError(f"{folder} is no copy of the course; labkit course start FOLDER makes one")
    return copy


def _is_copy(folder: Path) -> bool:
    return (folder / FOLDER / RECORD).is_file()


def is_own_copy(folder: Path) -> bool:
    """Whether a folder is a copy with a record as `start` writes it; never where anything in the record is odd.

    It tells a copy from a folder that only has a `.labkit/`. It proves nothing: who writes a folder can write a record too.
    """
    try:
        records, _ = _read_records(folder)
    except (UsageError, OSError):
        return False
    held: Mapping[str, Mapping[str, Any]] = records  # whatever the file holds
    for name, cells in held.items():
        is_known = set(cells) == {""} if name == PAGE else bool(_NOTEBOOK.fullmatch(name) and cells)
        if not (is_known and all(isinstance(one, str) and _HASH.fullmatch(one) for one in cells.values())):
            return False
    return any(name != PAGE for name in held)


def is_behind(copy: Path, source: Path | None = None) -> bool:
    """Whether a copy began as something else than the release there is now; never where there is none."""
    try:
        (records, package), release = _read_records(copy), read_release(source)
        _refuse_other(copy, package, release)
    except UsageError:
        if source is not None:
            raise
        return False
    newer = (name for name, content in release.files.items() if records.get(name) != _record_of(name, content))
    return any(newer) or _carried(copy) != release.carried


def update(folder: Path, source: Path | None = None) -> Updated:
    """Bring a newer release into a student's copy; a backup is made before anything is written.

    A notebook that cannot be read stays as it is and is named. An update that was cut off is finished by the next. Raises
    UsageError for a folder that is no copy.
    """
    from filelock import FileLock, Timeout

    copy = find_copy(folder)
    try:
        lock = FileLock(copy / FOLDER / ".update.lock", timeout=10).acquire()
    except Timeout:
        raise LabkitError(f"{copy}: another update is at work there") from None
    plan: dict[str, bytes] = {}
    notes: list[str] = []
    left: list[str] = []
    with lock:
        (records, package), release = _read_records(copy), read_release(source)
        _refuse_other(copy, package, release)
        newer = dict(records)
        for name, content in release.files.items():
            try:
                plan[name], said = _merged(copy / name, records.get(name, {}), content)
            except NotebookError as why:
                left.append(str(why))
                continue
            newer[name] = _record_of(name, content)
            notes += [f"{name}, {note}" for note in said]
        changed = [
            name
            for name, content in plan.items()
            if not (copy / name).is_file() or (copy / name).read_bytes() != content
        ]
        backup = _back_up(copy) if changed or newer != records else None
        for name in changed:
            write_atomically(copy / name, plan[name])
        newer_checks = _carried(copy) != release.carried
        if newer_checks:
            _carry(copy, release.carried)
        if newer != records:
            _write_records(copy, newer, package)
    return Updated((*changed, *["the checks"] * newer_checks), tuple(notes), tuple(left), backup)


def _refuse_other(copy: Path, package: str, release: Release) -> None:
    """Raise UsageError where a copy and a release are of two courses."""
    if package != release.package:
        raise UsageError(
            f"{copy} is a copy of the course {package}, and what was found is one of {release.package}; "
            "wanted --from FOLDER of a release of its own"
        )


def _carried(copy: Path) -> dict[str, bytes]:
    """By path what a copy carries of its course."""
    folder = copy / IN_A_COPY
    paths = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def _carry(copy: Path, carried: Mapping[str, bytes]) -> None:
    """Put a course's own files into a copy, in place of those that were there."""
    with atomic_folder(copy / IN_A_COPY) as new:
        for name, content in carried.items():
            (new / name).parent.mkdir(parents=True, exist_ok=True)
            (new / name).write_bytes(content)


def _merged(path: Path, recorded: Mapping[str, str], content: bytes) -> tuple[bytes, tuple[str, ...]]:
    """What a file of the copy is to hold, and what to say of it.

    A notebook byte for byte as released where nothing in it is the student's; the page as released unless they wrote in it.
    Raises NotebookError for a notebook that cannot be read.
    """
    if path.name == PAGE:
        mine = path.read_bytes() if path.exists() else content
        if _hash(mine) in (recorded.get(""), _hash(content)):
            return content, ()
        is_news = recorded.get("") != _hash(content)
        return mine, ("which you changed: it stays yours, without the release's new text",) * is_news
    if path.exists():
        own = read_notebook(path)
        merged = merge(own, recorded, parse_notebook(content, path))
        return path.read_bytes() if merged.notebook == own else notebook_bytes(merged.notebook), merged.notes
    # Something is said where the student may look for their work in it.
    others = ", ".join(sorted(other.name for other in path.parent.glob(f"{path.name[:2]}_*.ipynb")))
    gone = "was not there any more and " * bool(recorded)
    also = f"; you also have {others}: what is in it stays there, and hand-in takes it by that name" * bool(others)
    return content, (f"which {gone}is new from the release{also}",) * bool(recorded or others)


def _back_up(copy: Path) -> Path:
    """Every notebook, the page and what is kept beside them, as they are now, in a folder named after the time."""
    stamp = time.strftime("%Y-%m-%d-%H%M%S")
    backups = copy / FOLDER / BACKUPS
    names = (f"{stamp}-{number}" if number else stamp for number in range(1000))
    target = next(backups / name for name in names if not (backups / name).exists())
    kept = [
        *copy.glob("*.ipynb"),
        copy / PAGE,
        *((copy / FOLDER / f"{kind}.json") for kind in KINDS),
        copy / FOLDER / RECORD,
    ]
    with atomic_folder(target) as new:
        for path in kept:
            if path.is_file():
                shutil.copyfile(path, new / path.name)
    return target


def _read_records(copy: Path) -> tuple[Records, str]:
    """By file what it began as, and the package of the copy's course."""
    path = copy / FOLDER / RECORD
    try:
        content: Any = json.loads(path.read_bytes())
        if content["format"] != _FORMAT:
            raise UsageError(f"{path} was written by labkit {content['labkit']}, which is newer; update labkit first")
        if not isinstance(content["labkit"], str):
            raise TypeError
        files = {str(name): {**cells} for name, cells in content["files"].items()}
        return files, str(content.get("course", OWN_PACKAGE))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UsageError(
            f"{path} is damaged, so what is yours cannot be told from the release's; "
            f"an older one may be in {BACKUPS}/ beside it, and labkit course start makes a fresh copy elsewhere"
        ) from None


def _write_records(copy: Path, records: Records, package: str) -> None:
    """The record; it names the course unless that is labkit's own."""
    named = {} if package == OWN_PACKAGE else {"course": package}
    content = {"format": _FORMAT, "labkit": __version__, "files": records} | named
    write_atomically(copy / FOLDER / RECORD, json.dumps(content, indent=1, sort_keys=True) + "\n")

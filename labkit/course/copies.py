"""A student's own copy of the course: started from a release, updated to a newer one without losing a line.

Beside the work itself (student_work.py) `.labkit/` holds course.json, the record of the release that each file began as,
backups/, and course/, which the checks of a course need that does not come with labkit. Releases are ordered by the moment
in which each was made. How two notebooks become one is merge.py's.
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
from labkit.course.notebooks import LESSON_NAME, PAGE, NotebookError, notebook_bytes, parse_notebook, read_notebook
from labkit.display import quoted
from labkit.errors import LabkitError, UsageError
from labkit.files import atomic_folder, target_of, write_atomically
from labkit.student_work import FOLDER, KINDS

MANIFEST = "release.json"
BACKUPS = "backups"
_FORMAT = 1
_NOTEBOOK = re.compile(rf"{LESSON_NAME.pattern}\.ipynb")
_HASH = re.compile(r"[0-9a-f]{64}")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)
_VERSION = re.compile(r"[\w.!+-]{1,100}", re.ASCII)

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

    carried: by path what the checks need of a course that does not come with labkit. moment: when it was released, in UTC;
    empty where it does not say so, None for a course's own folder, which is newer than nothing and older than nothing.
    labkit: the version of the wheel that it comes with, empty where there is none.
    """

    folder: Path
    files: dict[str, bytes]
    package: str
    carried: dict[str, bytes]
    moment: str | None
    labkit: str

    def __str__(self) -> str:
        return f"the release in {self.folder}" + f", of {self.moment} UTC" * bool(self.moment)

    def newer_labkit(self) -> str:
        """The sentence with the command that brings the release's labkit; empty where the one that runs is not older."""
        here, there = ([int(number) for number in re.findall(r"[0-9]+", one)] for one in (__version__, self.labkit))
        if here >= there:
            return ""
        command = f"cd {quoted(self.folder)} && python -m pip install -r requirements.txt"
        found = f"This release comes with labkit {self.labkit}, and {__version__} runs here"
        return f"{found}. For its exercises and checks: {command}"


@dataclass(frozen=True)
class Began:
    """What a copy's record holds: by file the hashes of what it began as, the course's package, and the release's moment."""

    files: Records
    package: str
    moment: str = ""

    def is_before(self, release: Release) -> bool:
        """Whether the copy has no newer release than this one."""
        return release.moment is None or self.moment <= release.moment


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
    manifest = _manifest(folder, {f"notebooks/{name}": data for name, data in files.items()} | carried)
    for path in notebooks:
        try:
            ids = [cell.get("id") for cell in parse_notebook(files[path.name], path)["cells"]]
        except NotebookError as why:
            raise UsageError(str(why)) from None
        if not all(isinstance(name, str) for name in ids) or len(set(ids)) < len(ids):
            raise UsageError(f"{path}: its cells have no ids of their own; wanted a notebook of labkit course build")
    moment = manifest.get("release", "") if manifest else None
    return Release(folder, files, course.package, carried, moment, manifest.get("labkit", ""))


def _manifest(folder: Path, files: Mapping[str, bytes]) -> dict[str, Any]:
    """The release's manifest; empty for a course's own folder, which has none.

    Raises UsageError where a file is not the one that it names.
    """
    if not (folder / MANIFEST).is_file():
        return {}
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        listed = manifest["files"]
        odd = [name.removeprefix("notebooks/") for name, data in files.items() if listed.get(name) != _hash(data)]
        if not (
            _MOMENT.fullmatch(manifest.get("release", "2000-01-01 00:00:00"))
            and _VERSION.fullmatch(manifest.get("labkit", "0"))
        ):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UsageError(
            f"{folder / MANIFEST} is damaged; wanted the folder of a release as it was handed out"
        ) from None
    if odd:
        raise UsageError(
            f"{folder}: {', '.join(odd)} is not as it was released; wanted the folder as it was handed out"
        )
    return manifest


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
            raise UsageError(
                f"{folder} is a copy of the course already: labkit course open {quoted(folder)} opens it; "
                "labkit course update brings it up to date"
            )
        around = copy_around(folder)
        if around:
            raise UsageError(
                f"{folder} would lie within {around}, a copy of the course already: labkit course open {quoted(around)} "
                "opens it; wanted a new folder outside it"
            )
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
        _write_records(new, Began(records, release.package, release.moment or ""))
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
    here = target_of(folder)  # before its parents are walked: those of copy/../other are not those of other
    if not here.is_dir():
        found = "it is a file" if here.exists() else "no such folder"
        raise UsageError(f"{folder}: {found}; wanted the folder of your copy of the course")
    is_release = (here / MANIFEST).is_file() or any((here / "notebooks").glob("[0-9][0-9]_*.ipynb"))
    if here != Path.cwd() and is_release and not _is_copy(here):  # a release, or a course's own folder
        raise UsageError(f"{folder} is a release, no copy of the course; did you mean --from {folder}?")
    copy = copy_around(here)
    if copy is None:
        raise UsageError(f"{folder} is no copy of the course; labkit course start FOLDER makes one")
    return copy


def copy_around(folder: Path) -> Path | None:
    """The copy that a folder is or would lie in, whether or not the folder is there."""
    return folder if _is_copy(folder) else next(filter(_is_copy, target_of(folder).parents), None)


def _is_copy(folder: Path) -> bool:
    return (folder / FOLDER / RECORD).is_file()


def is_own_copy(folder: Path) -> bool:
    """Whether a folder is a copy with a record as `start` writes it; never where anything in the record is odd.

    It tells a copy from a folder that only has a `.labkit/`. It proves nothing: who writes a folder can write a record too.
    """
    try:
        held: Mapping[str, Mapping[str, Any]] = _read_records(folder).files  # whatever the file holds
    except (UsageError, OSError):
        return False
    for name, cells in held.items():
        is_known = set(cells) == {""} if name == PAGE else bool(_NOTEBOOK.fullmatch(name) and cells)
        if not (is_known and all(isinstance(one, str) and _HASH.fullmatch(one) for one in cells.values())):
            return False
    return any(name != PAGE for name in held)


def is_behind(copy: Path, source: Path | None = None) -> bool:
    """Whether there is a release that a copy has not yet; never where there is none, or an older one."""
    try:
        began, release = _read_records(copy), read_release(source)
        _refuse_other(copy, began.package, release)
    except UsageError:
        if source is not None:
            raise
        return False
    news = (name for name, content in release.files.items() if began.files.get(name) != _record_of(name, content))
    return began.is_before(release) and (any(news) or _carried(copy) != release.carried)


def news(copy: Path, source: Path | None = None) -> list[str]:
    """A sentence for each thing that its owner may want to do: bring in a newer release, or the labkit that belongs to it."""
    command = f"labkit course update {quoted(copy)}" + (f" --from {quoted(source)}" if source else "")
    if is_behind(copy, source):
        return [f"There is a newer release: {command} brings it in and keeps all your work."]
    try:
        began, release = _read_records(copy), read_release(source)
    except UsageError:  # a labkit without a course: there is nothing to compare with
        return []
    return [*filter(None, [release.newer_labkit()])] if began.is_before(release) else []


def update(folder: Path, source: Path | None = None, *, older: bool = False) -> Updated:
    """Bring a newer release into a student's copy; a backup is made before anything is written.

    A notebook that cannot be read stays as it is and is named. An update that was cut off is finished by the next. older: go
    back where the copy has a newer one. Raises UsageError for a folder that is no copy, and for an older release otherwise.
    """
    from filelock import FileLock, Timeout

    copy = find_copy(folder)
    try:
        lock = FileLock(copy / FOLDER / ".update.lock", timeout=10).acquire()
    except Timeout:
        raise LabkitError(
            f"{copy}: another update has been at work there for 10 seconds; wait for its end, then do this again"
        ) from None
    plan: dict[str, bytes] = {}
    notes: list[str] = []
    left: list[str] = []
    with lock:
        began, release = _read_records(copy), read_release(source)
        _refuse_other(copy, began.package, release)
        if not (older or began.is_before(release)):
            raise UsageError(
                f"{release} is older than what {copy} has, of {began.moment} UTC; wanted --from FOLDER of a newer one, "
                "or --older to go back to this one"
            )
        newer = dict(began.files)
        for name, content in release.files.items():
            try:
                plan[name], said = _merged(copy / name, began.files.get(name, {}), content)
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
        now = Began(newer, began.package, began.moment if release.moment is None else release.moment)
        backup = _back_up(copy) if changed or newer != began.files else None
        for name in changed:
            write_atomically(copy / name, plan[name])
        newer_checks = _carried(copy) != release.carried
        if newer_checks:
            _carry(copy, release.carried)
        if now != began:
            _write_records(copy, now)
    notes += filter(None, [release.newer_labkit()])
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
    if not (folder := target_of(path).parent).is_dir():
        raise NotebookError(f"{path} is a link into {folder}, which is not there now")
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


def _read_records(copy: Path) -> Began:
    """What a copy began as. Raises UsageError where its record is damaged, or of a newer labkit."""
    path = copy / FOLDER / RECORD
    try:
        content: Any = json.loads(path.read_bytes())
        if content["format"] != _FORMAT:
            raise UsageError(f"{path} was written by labkit {content['labkit']}, which is newer; update labkit first")
        if not isinstance(content["labkit"], str):
            raise TypeError
        files = {str(name): {**cells} for name, cells in content["files"].items()}
        moment = content.get("release", "")
        if moment and not _MOMENT.fullmatch(moment):
            raise ValueError
        return Began(files, str(content.get("course", OWN_PACKAGE)), moment)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UsageError(
            f"{path} is damaged, so what is yours cannot be told from the release's; "
            f"an older one may be in {BACKUPS}/ beside it, and labkit course start makes a fresh copy elsewhere"
        ) from None


def _write_records(copy: Path, began: Began) -> None:
    """The record; it names the course unless that is labkit's own, and the moment of its release where that has one."""
    named = {} if began.package == OWN_PACKAGE else {"course": began.package}
    named |= {"release": began.moment} if began.moment else {}
    content = {"format": _FORMAT, "labkit": __version__, "files": began.files} | named
    write_atomically(copy / FOLDER / RECORD, json.dumps(content, indent=1, sort_keys=True) + "\n")

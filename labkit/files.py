"""Nothing half-written: a file or a folder appears whole, or not at all.

Both are made under a temporary name beside their target, flushed to the disk and renamed. A symbolic link stays: what it leads
to is the target.
"""

import contextlib
import errno
import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file so that `path` holds the old content or the new, never a part.

    content: text (as UTF-8, newlines as they are; what has no UTF-8, such as a byte of a path, by its number) or bytes.
    Raises OSError as the file system does (disk full, no permission); the old file then stands as it was.
    """
    data = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    path = target_of(path)
    if path.exists() and not path.is_file():  # a terminal, a pipe, /dev/null; a folder takes nothing
        path.write_bytes(data)
        return
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Make a new folder to fill, which appears whole or not at all.

    It takes the name `target` when the block ends well and vanishes when it does not. A folder that stood at `target`
    is replaced.
    """
    target = target_of(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                file.chmod(0o666 & ~_umask())  # some writers make their files readable to nobody else
                with file.open("rb+") as written:
                    os.fsync(written.fileno())
        temporary.chmod(0o777 & ~_umask())
        _take_place(temporary, target)
        _flush_folder(target.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _take_place(folder: Path, target: Path) -> None:
    """Give `folder` the name `target`.

    A folder that stood there steps aside whole before it is removed.
    """
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as aside:
        old = Path(aside) / target.name
        if target.is_dir():
            target.rename(old)
        try:
            folder.rename(target)
        except BaseException:
            if old.is_dir():
                old.rename(target)
            raise


def target_of(path: Path) -> Path:
    """The path with every symbolic link in it followed, whether or not anything is there.

    Raises OSError where links lead in a circle.
    """
    target = Path(os.path.realpath(path))
    if target.is_symlink():
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    return target


def remove(path: Path) -> None:
    """Remove the file or the folder at `path`, if there is one; a symbolic link stays and leads to nothing then."""
    target = target_of(path)
    shutil.rmtree(target) if target.is_dir() else target.unlink(missing_ok=True)


def remove_leftovers(folder: Path, prefix: str) -> None:
    """Remove what a killed writer left in `folder` under a temporary name.

    prefix: with which such names begin. The caller holds the lock under which such names are made.
    """
    for leftover in folder.glob(f"{glob.escape(prefix)}*.????????"):
        if not leftover.is_symlink():  # which no writer makes
            remove(leftover)


def sha256(path: Path) -> str:
    """Hash a file with SHA-256; returns 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_folder(folder: Path) -> None:
    """Make the rename itself last.

    Windows cannot open a folder and needs no such step.
    """
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

"""The second course, on sorting, for the tests: a copy of it to work in, and its package loaded from that copy alone."""

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.checks.courses import Course, read_course

SORTING = Path(__file__).resolve().parent / "sorting_course"


def copy_course(folder: Path) -> Course:
    """The course as it is written, in a folder of its own; nothing is built yet."""
    shutil.copytree(SORTING, folder, ignore=shutil.ignore_patterns("__pycache__", "*.ipynb"))
    return read_course(folder)


@contextmanager
def fresh_imports(package: str = "sorting") -> Iterator[None]:
    """What is imported of a course within the block is forgotten after it, as at the end of a process."""
    path = list(sys.path)
    try:
        yield
    finally:
        sys.path[:] = path
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]

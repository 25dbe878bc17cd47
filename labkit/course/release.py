"""What an instructor hands out: the students' notebooks, what they install, and a page that says how to begin.

No solution and no hidden test: what goes in is named here, and every notebook is looked through before it goes. A release
has a moment of its own, by which releases are ordered, and which labkit's wheel bears behind its version.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

from labkit.checks.courses import Course, checkout
from labkit.course.build import drift, filled_in
from labkit.course.copies import MANIFEST
from labkit.course.notebooks import LESSON_NAME, PAGE, Notebook, read_notebook, time_needed
from labkit.errors import LabkitError, UsageError
from labkit.files import atomic_folder, sha256, write_atomically

_MARKS = re.compile(r"(BEGIN|END) (SOLUTION|HIDDEN TESTS)")
REQUIREMENTS = "requirements.txt"
_PACKAGE = ("labkit", "pyproject.toml", "README.md", "LICENSE")  # what a wheel is built from


def release(course: Course, folder: Path, wheel: Path | None = None) -> list[str]:
    """Write the release into a new folder; the names of its files.

    wheel: labkit's own, built from the checkout where None; one that is given keeps its version. SOURCE_DATE_EPOCH in the
    environment is the moment of the release in place of now. Raises UsageError where something is there already, where the
    notebooks are not what their masters give, or where one holds a solution or an output.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty; wanted a new folder")
    if wheel is not None and not (wheel.is_file() and re.fullmatch(r"labkit-[^-]+-.+\.whl", wheel.name)):
        raise UsageError(f"--wheel {wheel}: wanted a file labkit-VERSION-....whl")
    stale = drift(course)
    if stale:
        raise UsageError(
            "the notebooks are not what their masters give; labkit course build makes them:\n" + "\n".join(stale)
        )
    notebooks = [path for path in sorted(course.notebooks.glob("*.ipynb")) if LESSON_NAME.fullmatch(path.stem)]
    for path in notebooks:
        found = not_for_students(read_notebook(path))
        if found:
            raise UsageError(f"{path}: {found[0]}; it was not released")
    labkits = course.root if course.comes_with_labkit else checkout()
    moment = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(_now()))
    with atomic_folder(folder.absolute()) as new:
        lessons = {f"notebooks/{path.name}": path for path in [*notebooks, course.notebooks / PAGE] if path.is_file()}
        for name, path in (lessons | course.files()).items():
            _copy(path, new / name)
        built = Path(shutil.copy(wheel, new)) if wheel else build_wheel(labkits, new, "+" + re.sub(r"\D", "", moment))
        _write_environment(course.root, labkits, new, built.name)
        version = built.name.split("-")[1]
        write_atomically(new / "README.md", _readme(course, built.name, version, notebooks))
        names = sorted(path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file())
        facts = {"format": 1, "labkit": version, "release": moment}
        manifest = facts | {"files": {name: sha256(new / name) for name in names}}
        write_atomically(new / MANIFEST, json.dumps(manifest, indent=1, sort_keys=True) + "\n")
    return sorted([*names, MANIFEST])


def _now() -> float:
    """Seconds since 1970, or what SOURCE_DATE_EPOCH says, under which the same sources give the same bytes."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is not None and not re.fullmatch(r"\d{1,10}", given, re.ASCII):
        raise UsageError(f"SOURCE_DATE_EPOCH={given}: wanted seconds since 1970, such as 1767225600")
    return time.time() if given is None else int(given)


def not_for_students(notebook: Notebook) -> list[str]:
    """Marks of solutions or hidden tests and outputs in a notebook, with the cell each is in.

    >>> not_for_students({"cells": [{"id": "a", "source": "### BEGIN SOLUTION", "outputs": []}]})
    ['cell a has a mark of a solution or a hidden test']
    """
    found = []
    for cell in notebook["cells"]:
        if _MARKS.search(cell["source"]):
            found.append(f"cell {cell['id']} has a mark of a solution or a hidden test")
        if cell.get("outputs") or cell.get("execution_count"):
            found.append(f"cell {cell['id']} has an output")
    return found


def build_wheel(root: Path, target: Path, stamp: str = "") -> Path:
    """Labkit's wheel from a checkout, built on a copy without a network and put into `target`.

    stamp: what its version has at its end (a local version, PEP 440), for pip skips a version that is installed. Raises
    UsageError where `root` is no checkout, LabkitError where setuptools fails.
    """
    if not (root / "pyproject.toml").is_file():
        raise UsageError(f"{root} has no pyproject.toml to build labkit's wheel from; wanted --wheel FILE")
    with tempfile.TemporaryDirectory() as name:
        sources, built = Path(name) / "sources", Path(name) / "built"
        for part in _PACKAGE:
            _copy(root / part, sources / part)
        for part in ("pyproject.toml", "labkit/__init__.py"):
            _stamp(sources / part, stamp)
        built.mkdir()
        code = f"from setuptools.build_meta import build_wheel; build_wheel({str(built)!r})"
        environment = os.environ | {
            "SOURCE_DATE_EPOCH": "315532800"
        }  # 1980, so that the same sources give the same wheel
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=sources, env=environment, capture_output=True, text=True
        )
        if done.returncode != 0:
            last = "\n".join(done.stderr.splitlines()[-5:])
            raise LabkitError(f"labkit's wheel could not be built (it needs setuptools):\n{last}")
        return Path(shutil.copy(next(built.iterdir()), target))


def _stamp(path: Path, stamp: str) -> None:
    """Put the stamp behind the version that a source of the wheel states."""
    pattern = re.compile(r'^((?:__version__|version) = "[^"+]+)(?:\+[^"]*)?"$', re.MULTILINE)
    stamped, found = pattern.subn(rf'\g<1>{stamp}"', path.read_text("utf-8"))
    if found != 1:
        raise LabkitError(f"{path.name} states no version of labkit, or more than one; wanted one line version = ...")
    path.write_text(stamped, "utf-8", newline="\n")


def _copy(path: Path, target: Path) -> None:
    if path.is_dir():
        shutil.copytree(path, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _write_environment(root: Path, labkits: Path, new: Path, wheel: str) -> None:
    """requirements.txt for pip, environment.yml for conda, both under the constraints that labkit is tested with.

    What else a course's lessons need stands in a requirements.txt of its own. labkits: the checkout of labkit.
    """
    lines = [f"./{wheel}[lab]"]
    own, constraints, project = root / REQUIREMENTS, labkits / "constraints.txt", labkits / "pyproject.toml"
    if own.is_file():
        lines += [line for line in own.read_text("utf-8").splitlines() if line.strip() and not line.startswith("#")]
    if constraints.is_file():
        shutil.copyfile(constraints, new / constraints.name)
        lines.insert(0, f"-c {constraints.name}")
    write_atomically(new / REQUIREMENTS, "\n".join(lines) + "\n")
    about = (
        tomllib.loads(project.read_text("utf-8"))["project"] if project.is_file() else {"requires-python": ">=3.11.5"}
    )
    pip = "".join(f"      - {line}\n" for line in lines)
    head = "name: labkit\nchannels:\n  - conda-forge\ndependencies:\n"
    write_atomically(new / "environment.yml", f"{head}  - python{about['requires-python']}\n  - pip\n  - pip:\n{pip}")


def _readme(course: Course, wheel: str, version: str, notebooks: list[Path]) -> str:
    """The page that students read first: the course's own release.md, or the one that serves any course."""
    lessons = []
    for path in notebooks:
        about = read_notebook(path)["metadata"]["labkit"]
        lessons.append(f"| {about['lesson']} | {about['title']} | {time_needed(about)} |")
    facts = {"lessons": "\n".join(lessons), "title": course.title, "package": course.package, "version": version}
    own, usual = course.root / "release.md", Path(__file__).with_name("release.md")
    return filled_in(own, usual, facts | {"wheel": wheel})

"""One zip to hand in: a lesson's notebook with the student's predictions and reflections, and a manifest of hashes.

The same work gives the same bytes; nothing in it says whose machine it was. Runs nothing and judges nothing.
"""

import hashlib
import io
import json
import zipfile
from pathlib import Path

from labkit import __version__
from labkit.course.notebooks import read_notebook
from labkit.errors import UsageError
from labkit.files import write_atomically
from labkit.work import FOLDER

KEPT = ("predictions", "reflections")
MANIFEST = "manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name


def hand_in(folder: Path, lesson: str, output: Path | None = None) -> Path:
    """Write the zip of a lesson and return its path: NN_name-hand-in.zip in the course folder, or `output`.

    Raises UsageError where the folder has no such lesson or more than one, NotebookError for a damaged notebook.
    """
    notebook = _notebook_of(folder, lesson)
    read_notebook(notebook)
    files = {notebook.name: notebook.read_bytes()}
    for kind in KEPT:
        path = folder / FOLDER / f"{kind}.json"
        files[path.name] = path.read_bytes() if path.is_file() else b"{}\n"
    target = output or folder / f"{notebook.stem}-hand-in.zip"
    if not target.absolute().parent.is_dir():
        raise UsageError(f"--output {target}: no such folder")
    write_atomically(target, _zipped(files | {MANIFEST: _manifest(lesson, notebook.name, files)}))
    return target


def _notebook_of(folder: Path, lesson: str) -> Path:
    number = lesson.zfill(2)
    there = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    found = [path for path in there if path.name.startswith(f"{number}_")]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(f"{folder} has more than one lesson {number}: {', '.join(path.name for path in found)}")
    lessons = ", ".join(path.stem for path in there) or "none; wanted the folder with your notebooks"
    raise UsageError(f"{folder} has no lesson {lesson!r}; there are {lessons}")


def _manifest(lesson: str, notebook: str, files: dict[str, bytes]) -> bytes:
    listed = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    facts = {"format": 1, "labkit": __version__, "lesson": lesson.zfill(2), "notebook": notebook, "files": listed}
    return (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()


def _zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
            archive.writestr(entry, files[name])
    return buffer.getvalue()

"""One zip to hand in: a lesson's notebook with the student's predictions, reflections and further hints, and their hashes.

The same work gives the same bytes; nothing in it says whose machine it was. Runs nothing and judges nothing: what it counts
for the student is what was kept.
"""

import hashlib
import io
import json
import re
import time
import zipfile
from pathlib import Path

from labkit import __version__
from labkit.course.notebooks import exercises_of, lesson_of, parse_notebook, read_notebook
from labkit.errors import UsageError
from labkit.files import write_atomically
from labkit.student_work import FOLDER, Entries, entries_in

ALWAYS = ("predictions", "reflections")
KEPT = (*ALWAYS, "hints")  # these where some were asked for
MANIFEST = "manifest.json"
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name


def hand_in(folder: Path, lesson: str, output: Path | None = None) -> Path:
    """Write the zip of a lesson and return its path: NN_name-hand-in.zip in the course folder, or `output`.

    lesson: its number, or the file name of its notebook. Raises UsageError where the folder has no such lesson or more than
    one, and where something else than an earlier hand-in would be replaced; NotebookError for a damaged notebook.
    """
    notebook = notebook_of(folder, lesson)
    number = lesson_of(notebook.name, read_notebook(notebook))
    if not number:
        raise UsageError(
            f"{notebook} does not say which lesson it is; wanted its number in its name, as in 01_name.ipynb"
        )
    files = {notebook.name: notebook.read_bytes()}
    for kind in KEPT:
        path = folder / FOLDER / f"{kind}.json"
        if path.is_file() or kind in ALWAYS:
            files[path.name] = path.read_bytes() if path.is_file() else b"{}\n"
    name = f"{notebook.stem}-hand-in.zip"
    target = output or folder / name
    _refuse_target(target, name)
    listed = {name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in files.items()}
    facts = {"format": 1, "labkit": __version__, "lesson": number, "notebook": notebook.name, "files": listed}
    files[MANIFEST] = (json.dumps(facts, indent=1, sort_keys=True) + "\n").encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
            archive.writestr(entry, files[name])
    write_atomically(target, buffer.getvalue())
    return target


def counted(folder: Path, archive: Path) -> list[str]:
    """What a hand-in holds, for the student to see at once what is missing: a line each.

    Exercises by the last results in the folder, predictions and reflections by what the notebook asks and what was kept, and
    when the notebook was saved.
    """
    with zipfile.ZipFile(archive) as opened:
        name = json.loads(opened.read(MANIFEST))["notebook"]
        notebook = parse_notebook(opened.read(name), name)
        kept = {kind: opened.read(f"{kind}.json") for kind in ALWAYS}
    checks = folder / FOLDER / "checks.json"
    results = _entries(checks.read_bytes()) if checks.is_file() else {}
    exercises = exercises_of(notebook)
    missing = [each for each in exercises if results.get(each, {}).get("status") != "passed"]
    passed = f"{len(exercises) - len(missing)} of {len(exercises)} exercises passed when last checked"
    lines = [passed + f"; not yet: {', '.join(missing)}" * bool(missing)] if exercises else []
    source = "\n".join(cell["source"] for cell in notebook["cells"] if cell["cell_type"] == "code")
    for kind, (function, answer) in zip(ALWAYS, (("predict", "choice"), ("reflection", "text")), strict=True):
        asked = dict.fromkeys(re.findall(rf"^{function}\(\s*[\"']([^\"'\n]+)[\"']", source, re.MULTILINE))
        entries = _entries(kept[kind])
        made = sum(bool(str(entries.get(key, {}).get(answer) or "").strip()) for key in asked)
        lines += [f"{made} of {len(asked)} {kind}"] if asked else []
    saved = time.strftime("%Y-%m-%d %H:%M", time.localtime((folder / name).stat().st_mtime))
    return [*lines, f"the notebook as it was saved at {saved}"]


def _entries(content: bytes) -> Entries:
    """What was kept by name; nothing where that cannot be read, which is said where it is asked for (student_work.py)."""
    try:
        return entries_in(content)
    except ValueError:
        return {}


def notebook_of(folder: Path, lesson: str) -> Path:
    """The notebook of that number, or of that name in the course folder, whether or not one stands there."""
    there = sorted(folder.glob("[0-9][0-9]_*.ipynb"))
    if lesson.isdecimal():
        found = [path for path in there if path.name.startswith(f"{lesson.zfill(2)}_")]
    else:
        name = f"{lesson.removesuffix('.ipynb')}.ipynb"
        places = (path for path in (folder / name, Path(name).absolute()) if path.is_file())
        found = [path for path in places if path.parent.resolve() == folder.resolve()][:1]
    if len(found) == 1:
        return found[0]
    if found:
        raise UsageError(
            f"{folder} has more than one lesson {lesson.zfill(2)}: {', '.join(path.name for path in found)}; "
            f"wanted one by its file name, such as {found[0].name}"
        )
    lessons = ", ".join(path.stem for path in there) or "none; wanted the folder with your notebooks"
    raise UsageError(f"{folder} has no lesson {lesson!r}; there are {lessons}")


def _refuse_target(target: Path, name: str) -> None:
    """Raise UsageError where no zip can be written, or where it would replace what is no hand-in. name: one that will do."""
    if target.is_dir():
        raise UsageError(f"{target} is a folder; wanted the name of a zip, such as {target / name}")
    if target.suffix.lower() != ".zip":
        raise UsageError(f"{target}: wanted a name that ends in .zip, such as {name}")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"{target}: no such folder as {target.parent}; wanted one that is there")
    if not target.exists():
        return
    try:  # an earlier hand-in holds what its manifest names, and nothing else
        with zipfile.ZipFile(target) as archive:
            listed, names = set(json.loads(archive.read(MANIFEST))["files"]), set(archive.namelist())
        is_hand_in = listed | {MANIFEST} == names and {f"{kind}.json" for kind in ALWAYS} < listed
    except Exception:  # a foreign or damaged archive fails in many ways
        is_hand_in = False
    if not is_hand_in:
        raise UsageError(
            f"{target} is there already and is no hand-in; wanted a new name, or that of an earlier hand-in"
        )

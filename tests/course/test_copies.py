"""Laws of a student's own copy: a start makes it whole, an update brings the new and keeps all that is theirs."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from courses import LABELS, LENGTHS, STUB, answer, cell_of, code, work_in, write_course

from labkit import __version__
from labkit.checks.courses import Course
from labkit.cli import main
from labkit.course import copies, running
from labkit.course.build import build
from labkit.course.copies import find_copy, is_behind, is_own_copy, read_release, start, update
from labkit.course.notebooks import read_notebook
from labkit.course.release import release
from labkit.errors import LabkitError, UsageError
from labkit.student_work import Work

ANSWER = "    return max(lengths)  # my own"


def command(*arguments: str) -> object:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two releases of a course: `older` and `newer`, in which everything has changed. Read them only."""
    root = tmp_path_factory.mktemp("releases")
    build(write_course(root / "older"))
    newer = LENGTHS.replace("[3, 5, 8, 13]", "[3, 5, 8, 21]").replace("coverage):", "coverage: float):")
    more = newer + "\n# %%\nprint('new')\n"
    build(write_course(root / "newer", {"01_lengths": more, "02_labels": LABELS.replace("Labels", "Ratings")}))
    (root / "newer" / "notebooks" / "README.md").write_text("# More lessons\n", "utf-8")
    return root


@pytest.fixture
def mine(built: Path, tmp_path: Path) -> Path:
    """A copy in which somebody has worked."""
    folder = tmp_path / "mine"
    start(folder, built / "older")
    Work(folder).save("predictions", "01-longest", {"choice": "13"})
    Work(folder).save("reflections", "01-think", {"text": "much"})
    Work(folder).save("checks", "1.3", {"status": "failed"})
    work_in(folder / "01_lengths.ipynb", answer("1.3", ANSWER))
    work_in(folder / "01_lengths.ipynb", lambda notebook: notebook["cells"].insert(5, code("my_own_cell()")))
    return folder


def sources(path: Path) -> list[str]:
    return [cell["source"] for cell in read_notebook(path)["cells"]]


def everything(folder: Path) -> dict[str, bytes]:
    """By path what every file holds, locks aside."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("lock"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def kept(folder: Path) -> dict[str, str]:
    """What a student has: answer, own cell, predictions, reflections and results, as text."""
    work = Work(folder)
    cells = read_notebook(folder / "01_lengths.ipynb")["cells"]
    texts = {
        "answer": "\n".join(line for cell in cells for line in cell["source"].splitlines() if "my own" in line),
        "cell": "\n".join(cell["source"] for cell in cells if "my_own_cell" in cell["source"]),
    }
    return texts | {kind: json.dumps(getattr(work, kind)) for kind in ("predictions", "reflections", "checks")}


# Start


def test_a_copy_begins_as_the_release_byte_for_byte(built: Path, tmp_path: Path) -> None:
    assert start(tmp_path / "mine", built / "older") == ["01_lengths.ipynb", "02_labels.ipynb"]
    for name in ("01_lengths.ipynb", "02_labels.ipynb", "README.md"):
        assert (tmp_path / "mine" / name).read_bytes() == (built / "older" / "notebooks" / name).read_bytes()
    assert find_copy(tmp_path / "mine") == tmp_path / "mine"


def test_a_copy_has_no_solution_in_it(built: Path, tmp_path: Path) -> None:
    start(tmp_path / "mine", built / "older")
    assert not any(b"SOLUTION" in content or b"enough" in content for content in everything(tmp_path / "mine").values())


def test_the_folder_in_which_one_stands_can_become_a_copy(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    start(Path("."), built / "older")
    assert find_copy(Path(".")) == tmp_path


def test_a_folder_with_something_in_it_is_never_started_in(built: Path, tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not empty"):
        start(tmp_path, built / "older")
    start(tmp_path / "copy", built / "older")
    with pytest.raises(UsageError, match="labkit course update brings it up to date"):
        start(tmp_path / "copy", built / "older")
    assert {path.name for path in tmp_path.iterdir()} == {"precious.txt", "copy"}


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("file", "file is a file; wanted a new folder"),
        ("file/below", r"below cannot be made: .*file is a file; wanted a new folder in one that is there"),
        ("file/below/it", "it cannot be made: .*file is a file"),
        ("x" * 300, "xxx cannot be made: .+; wanted a new folder in one that you can write to"),
    ],
)
def test_a_place_where_no_folder_can_be_is_named_before_anything_is_written(
    built: Path, tmp_path: Path, place: str, said: str
) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UsageError, match=said):
        start(tmp_path / place, built / "older")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="nothing is forbidden to this user")
def test_a_folder_to_which_one_cannot_write_is_named(built: Path, tmp_path: Path) -> None:
    (tmp_path / "shut").mkdir(mode=0o555)
    for place in ("shut", "shut/below"):
        with pytest.raises(UsageError, match="cannot be made: Permission denied"):
            start(tmp_path / place, built / "older")


def test_a_start_that_is_cut_off_leaves_nothing(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copies, "_write_records", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        start(tmp_path / "mine", built / "older")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda folder: shutil.rmtree(folder / "notebooks"), r"it has no notebooks/NN_name\.ipynb"),
        (lambda folder: (folder / "notebooks" / "01_lengths.ipynb").write_text("{}"), "is no notebook"),
        (
            lambda folder: work_in(folder / "notebooks" / "01_lengths.ipynb", lambda nb: nb["cells"][0].pop("id")),
            "its cells have no ids of their own",
        ),
        (
            lambda folder: work_in(
                folder / "notebooks" / "01_lengths.ipynb", lambda nb: nb["cells"][0].update(id="guess")
            ),
            "its cells have no ids of their own",
        ),
        (lambda folder: (folder / "release.json").write_text("{"), r"release\.json is damaged"),
        (lambda folder: (folder / "release.json").write_text("[]"), r"release\.json is damaged"),
        (
            lambda folder: (folder / "release.json").write_text(json.dumps({"files": {}})),
            r"01_lengths\.ipynb, 02_labels\.ipynb, README\.md is not as it was released",
        ),
        (lambda folder: shutil.rmtree(folder), "no such folder"),
    ],
)
def test_a_release_that_is_none_or_damaged_is_refused(
    built: Path, tmp_path: Path, damage: Callable[[Path], Any], said: str
) -> None:
    folder = Path(shutil.copytree(built / "older", tmp_path / "release"))
    damage(folder)
    with pytest.raises(UsageError, match=said):
        start(tmp_path / "mine", folder)
    assert not (tmp_path / "mine").exists()


def test_a_release_whose_files_are_those_of_its_manifest_is_taken_also_from_within(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(built / "older", tmp_path / "release"))
    hashes = {
        f"notebooks/{path.name}": hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("notebooks/*")
    }
    (folder / "release.json").write_text(json.dumps({"files": hashes}))
    for place in (folder, folder / "notebooks"):
        monkeypatch.chdir(place)
        assert set(read_release(None).files) == {"01_lengths.ipynb", "02_labels.ipynb", "README.md"}


def test_a_labkit_without_notebooks_asks_for_the_folder_of_a_release(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "checkout", lambda: tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="with --from FOLDER"):
        start(tmp_path / "mine")


# Update


def test_an_update_brings_the_new_and_keeps_every_line_that_is_the_students(built: Path, mine: Path) -> None:
    before = kept(mine)
    done = update(mine, built / "newer")
    assert kept(mine) == before
    assert "my own" in before["answer"] and "my_own_cell" in before["cell"]
    now = sources(mine / "01_lengths.ipynb")
    assert "print('new')" in now and "lengths = [3, 5, 8, 21]" in now[1]
    assert sources(mine / "02_labels.ipynb")[0].startswith("# Ratings")
    assert (mine / "README.md").read_text("utf-8") == "# More lessons\n"
    assert set(done.changed) == {"01_lengths.ipynb", "02_labels.ipynb", "README.md"}
    assert ANSWER in cell_of(read_notebook(mine / "01_lengths.ipynb"), "exercise-1-3")["source"]


def test_the_backup_holds_all_as_it_was(built: Path, mine: Path) -> None:
    before = everything(mine)
    done = update(mine, built / "newer")
    assert done.backup is not None
    assert everything(done.backup) == {Path(name).name: content for name, content in before.items()}


def test_without_a_newer_release_nothing_is_touched(built: Path, mine: Path) -> None:
    before = everything(mine)
    done = update(mine, built / "older")
    assert (done.changed, done.backup, str(done)) == ((), None, "Nothing to update.")
    assert everything(mine) == before


def test_the_same_update_again_changes_nothing(built: Path, mine: Path) -> None:
    update(mine, built / "newer")
    before = everything(mine)
    assert update(mine, built / "newer").changed == ()
    assert everything(mine) == before


def test_an_untouched_notebook_becomes_the_releases_byte_for_byte(built: Path, mine: Path) -> None:
    update(mine, built / "newer")
    released = built / "newer" / "notebooks" / "02_labels.ipynb"
    assert (mine / "02_labels.ipynb").read_bytes() == released.read_bytes()


def test_two_updates_in_one_second_have_two_backups(built: Path, mine: Path) -> None:
    backups = {update(mine, built / name).backup for name in ("newer", "older", "newer")}
    assert len(backups) == 3 and None not in backups


@pytest.mark.parametrize("writes", range(1, 5))
def test_an_update_that_was_cut_off_is_finished_by_the_next(
    built: Path, mine: Path, tmp_path: Path, writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """writes: how many files it writes before it is killed; there are three, then the record."""
    whole = Path(shutil.copytree(mine, tmp_path / "whole"))
    update(whole, built / "newer")
    left = iter([True] * (writes - 1))
    write = copies.write_atomically

    def cut_off(path: Path, content: str | bytes) -> None:
        if not next(left, False):
            raise KeyboardInterrupt
        write(path, content)

    before = kept(mine)
    with monkeypatch.context() as patched:
        patched.setattr(copies, "write_atomically", cut_off)
        with pytest.raises(KeyboardInterrupt):
            update(mine, built / "newer")
    assert kept(mine) == before
    update(mine, built / "newer")
    assert kept(mine) == before
    for name in ("01_lengths.ipynb", "02_labels.ipynb", "README.md", ".labkit/course.json"):
        assert (mine / name).read_bytes() == (whole / name).read_bytes(), name


def test_a_damaged_notebook_is_left_as_it_is_and_named_and_the_others_are_updated(
    built: Path, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "01_lengths.ipynb").write_bytes(b'{"cells": [')
    assert command("course", "update", str(mine), "--from", str(built / "newer")) == 1
    assert "left as it is: " in (said := capsys.readouterr().out) and "01_lengths.ipynb is no notebook" in said
    assert (mine / "01_lengths.ipynb").read_bytes() == b'{"cells": ['
    assert sources(mine / "02_labels.ipynb")[0].startswith("# Ratings")


def test_a_notebook_that_was_deleted_and_one_that_is_new_come_from_the_release(built: Path, mine: Path) -> None:
    (mine / "02_labels.ipynb").unlink()
    update(mine, built / "newer")
    assert (mine / "02_labels.ipynb").read_bytes() == (built / "newer" / "notebooks" / "02_labels.ipynb").read_bytes()


def test_a_notebook_of_ones_own_under_the_name_of_a_new_lesson_keeps_its_cells(built: Path, tmp_path: Path) -> None:
    first = Course(tmp_path / "first")
    write_course(first.root, {"02_labels": LABELS})
    build(first)
    start(tmp_path / "mine", first.root)
    shutil.copy(built / "older" / "notebooks" / "01_lengths.ipynb", tmp_path / "mine")
    work_in(tmp_path / "mine" / "01_lengths.ipynb", lambda notebook: notebook["cells"].append(code("mine_too()")))
    update(tmp_path / "mine", built / "newer")
    assert "mine_too()" in sources(tmp_path / "mine" / "01_lengths.ipynb")


def test_other_notebooks_and_files_are_none_of_an_updates_business(built: Path, mine: Path) -> None:
    (mine / "notes.ipynb").write_text("mine")
    (mine / "data.csv").write_text("mine")
    done = update(mine, built / "newer")
    assert (mine / "notes.ipynb").read_text() == (mine / "data.csv").read_text() == "mine"
    assert done.backup and (done.backup / "notes.ipynb").is_file()


def test_a_page_in_which_the_student_wrote_stays_theirs(built: Path, mine: Path) -> None:
    (mine / "README.md").write_text("my notes")
    done = update(mine, built / "newer")
    assert (mine / "README.md").read_text() == "my notes"
    assert [note for note in done.notes if note.startswith("README.md, which you changed")]
    assert update(mine, built / "newer").notes == ()


def test_a_notebook_that_is_a_link_stays_one_and_what_it_leads_to_is_updated(
    built: Path, mine: Path, tmp_path: Path
) -> None:
    (tmp_path / "synced").mkdir()
    for name in ("01_lengths.ipynb", "README.md", ".labkit/course.json"):
        (mine / name).rename(tmp_path / "synced" / Path(name).name)
        (mine / name).symlink_to(tmp_path / "synced" / Path(name).name)
    update(mine, built / "newer")
    for name in ("01_lengths.ipynb", "README.md", ".labkit/course.json"):
        assert (mine / name).is_symlink()
    assert "print('new')" in sources(tmp_path / "synced" / "01_lengths.ipynb")
    assert ANSWER in "".join(sources(mine / "01_lengths.ipynb"))
    assert update(mine, built / "newer").changed == ()


def test_a_notebook_in_a_folder_that_is_away_is_left_and_named(built: Path, mine: Path, tmp_path: Path) -> None:
    (mine / "01_lengths.ipynb").unlink()
    (mine / "01_lengths.ipynb").symlink_to(tmp_path / "away" / "01_lengths.ipynb")
    done = update(mine, built / "newer")
    assert done.left == (f"{mine / '01_lengths.ipynb'} is a link into {tmp_path / 'away'}, which is not there now",)
    assert "02_labels.ipynb" in done.changed and not (tmp_path / "away").exists()
    (tmp_path / "away").mkdir()
    update(mine, built / "newer")
    assert "print('new')" in sources(tmp_path / "away" / "01_lengths.ipynb")


def test_a_copy_is_made_where_a_link_leads(built: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(tmp_path / "elsewhere")
    start(tmp_path / "mine", built / "older")
    assert (tmp_path / "mine").is_symlink() and find_copy(tmp_path / "elsewhere") == tmp_path / "elsewhere"


def test_links_in_a_circle_are_no_place_for_a_copy(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").symlink_to("mine")
    for arguments in (("start",), ("open",), ("update",)):
        assert command("course", *arguments, str(tmp_path / "mine"), "--from", str(built / "older")) in (1, 2)
        assert re.fullmatch(r"labkit: .*symbolic links.*\n", capsys.readouterr().err)


def test_a_damaged_record_stops_an_update_before_anything_is_written(built: Path, mine: Path) -> None:
    record = mine / ".labkit" / "course.json"
    for damage in ("{", "[]", json.dumps({"format": 1}), "[" * 100_000):
        record.write_text(damage)
        before = everything(mine)
        with pytest.raises(UsageError, match=r"course\.json is damaged"):
            update(mine, built / "newer")
        assert everything(mine) == before


def test_a_record_of_a_newer_labkit_asks_for_that(built: Path, mine: Path) -> None:
    (mine / ".labkit" / "course.json").write_text(json.dumps({"format": 2, "labkit": "9.9"}))
    with pytest.raises(UsageError, match=r"written by labkit 9\.9, which is newer"):
        update(mine, built / "newer")


def test_an_update_from_below_finds_the_copy_and_elsewhere_there_is_none(
    built: Path, mine: Path, tmp_path: Path
) -> None:
    (mine / "figures").mkdir()
    assert update(mine / "figures", built / "newer").changed
    with pytest.raises(UsageError, match="is no copy of the course; labkit course start FOLDER makes one"):
        update(tmp_path, built / "newer")


def test_a_path_that_leads_out_of_a_copy_never_updates_the_copy(
    built: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(mine)
    (tmp_path / "other").mkdir()
    (tmp_path / "file.txt").write_text("")
    monkeypatch.chdir(mine)
    for path, said in {
        "../nonexistent": r"nonexistent: no such folder; wanted the folder of your copy of the course",
        "nonexistent": r"nonexistent: no such folder",
        "../file.txt": r"file\.txt: it is a file; wanted the folder of your copy",
        "01_lengths.ipynb": r"01_lengths\.ipynb: it is a file",
        "../other": r"other is no copy of the course; labkit course start FOLDER makes one",
    }.items():
        with pytest.raises(UsageError, match=said):
            update(Path(path), built / "newer")
    assert everything(mine) == before


@pytest.mark.parametrize("place", ["outside", "mine/inside"])
def test_a_release_in_the_place_of_a_copy_asks_whether_from_was_meant(
    built: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    release = Path(shutil.copytree(built / "newer", tmp_path / place))
    before = everything(mine)
    monkeypatch.chdir(mine)
    given = os.path.relpath(release)
    with pytest.raises(
        UsageError, match=rf"is a release, no copy of the course; did you mean --from {re.escape(given)}\?"
    ):
        update(Path(given))
    assert everything(mine) == before


def test_an_update_also_works_from_within_a_release_that_lies_in_the_copy(
    built: Path, mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(shutil.copytree(built / "newer", mine / "inside")))
    assert update(Path("."), Path(".")).changed


def test_a_notebook_that_comes_back_beside_the_students_own_of_that_lesson_is_said_with_both_names(
    built: Path, mine: Path
) -> None:
    (mine / "01_lengths.ipynb").rename(mine / "01_lengths-Copy1.ipynb")
    (note,) = [note for note in update(mine, built / "older").notes if note.startswith("01_lengths.ipynb")]
    assert "was not there any more and is new from the release" in note and "01_lengths-Copy1.ipynb" in note
    assert update(mine, built / "older").notes == ()


def test_an_exercise_that_the_student_removed_is_said_to_be_back(built: Path, mine: Path) -> None:
    work_in(
        mine / "01_lengths.ipynb",
        lambda nb: nb["cells"].remove(next(c for c in nb["cells"] if "my own" in c["source"])),
    )
    assert "01_lengths.ipynb, exercise-1-3: you had removed this cell" in str(update(mine, built / "older"))


def test_one_s_own_copy_is_what_start_made_and_nothing_that_only_looks_so(
    built: Path, mine: Path, tmp_path: Path
) -> None:
    assert is_own_copy(mine)
    update(mine, built / "newer")
    assert is_own_copy(mine)
    assert not is_own_copy(tmp_path) and not is_own_copy(tmp_path / "nowhere") and not is_own_copy(mine / "README.md")
    record = mine / ".labkit" / "course.json"
    good = json.loads(record.read_text())
    lengths = {"01_lengths.ipynb": {"start": "0" * 64}}
    odd: list[Any] = [
        *({}, [], None, "x", good | {"format": 2}, good | {"labkit": None}, good | {"files": {}}, good | {"files": []}),
        *(good | {"files": {name: {"start": "0" * 64}}} for name in ("../01_x.ipynb", "x.txt", "README.md")),
        *(good | {"files": {"01_lengths.ipynb": cells}} for cells in (None, {}, [], {"start": 1}, {"start": "0" * 63})),
    ]
    assert [one for one in odd if _with_record(record, one)] == []
    assert _with_record(record, good | {"files": lengths})
    record.write_bytes(b"\xff")
    assert not is_own_copy(mine)


def _with_record(path: Path, content: object) -> bool:
    """Whether the copy is one's own with that record."""
    path.write_text(json.dumps(content))
    return is_own_copy(path.parent.parent)


def test_two_updates_at_once_do_not_meet(built: Path, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import filelock

    plain = filelock.FileLock
    monkeypatch.setattr(filelock, "FileLock", lambda path, timeout: plain(path, timeout=0))
    with plain(mine / ".labkit" / ".update.lock"), pytest.raises(LabkitError, match="another update"):
        update(mine, built / "newer")


def test_a_copy_knows_whether_there_is_something_newer(
    built: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_behind(mine, built / "newer") and not is_behind(mine, built / "older")
    update(mine, built / "newer")
    assert not is_behind(mine, built / "newer")
    monkeypatch.setattr(copies, "checkout", lambda: tmp_path / "nothing")
    monkeypatch.chdir(tmp_path)
    assert not is_behind(mine)


# Releases are ordered


WHEEL = "labkit-{}-py3-none-any.whl"
GREATER = """
# %% exercise="1.1"
def wordpiece(word, vocab, unk="[UNK]", prefix="##"):
    ### BEGIN SOLUTION
    return [word]
    ### END SOLUTION

# %% check="1.1"
result = check("1.1", wordpiece)
result
### BEGIN HIDDEN TESTS
float(result.points)
### END HIDDEN TESTS
"""


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two releases of a course: `older`, and `newer`, made a minute later, which has one exercise more. Read them only."""
    root = tmp_path_factory.mktemp("ordered")
    wheel = root / WHEEL.format(__version__)
    wheel.write_bytes(b"")
    with pytest.MonkeyPatch.context() as patched:
        for moment, (name, more) in enumerate((("older", ""), ("newer", GREATER))):
            patched.setenv("SOURCE_DATE_EPOCH", str(1_790_000_000 + 60 * moment))
            course = write_course(root / "courses" / name, {"01_lengths": LENGTHS + more})
            build(course)
            release(course, root / name, wheel)
    return root


@pytest.fixture
def theirs(releases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy where the release's page has it made, in the older release's folder, in which one stands; brought up to date."""
    here = Path(shutil.copytree(releases / "older", tmp_path / "older"))
    monkeypatch.chdir(here)
    start(here / "my-course")
    update(here / "my-course", releases / "newer")
    work_in(here / "my-course" / "01_lengths.ipynb", answer("1.1", ANSWER))
    return here / "my-course"


def test_no_copy_is_told_to_update_to_an_older_release_and_none_is_brought_back_unasked(
    theirs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labkit.course.running.jupyterlab", lambda *_: 0)
    assert not is_behind(theirs)
    assert command("course", "open") == 0
    assert capsys.readouterr().out == ""
    before = everything(theirs)
    assert command("course", "update", "my-course") == 2
    assert re.search(
        r"older, of 2026-09-21 14:13:20 UTC is older than what .*my-course has, of 2026-09-21 14:14:20 UTC; "
        r"wanted --from FOLDER of a newer one, or --older to go back",
        capsys.readouterr().err,
    )
    assert everything(theirs) == before


def test_an_answer_whose_exercise_left_the_course_is_the_exercises_again_when_that_is_back(
    releases: Path, theirs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sources(theirs / "01_lengths.ipynb")
    assert command("course", "update", "my-course", "--older") == 0
    said = capsys.readouterr().out.splitlines()
    assert said[1].startswith("  01_lengths.ipynb, exercise-1-1: it is not in this release; your answer stays")
    assert said[-1].startswith("backup: ")
    assert ANSWER in "".join(sources(theirs / "01_lengths.ipynb"))
    assert is_behind(theirs, releases / "newer") and not is_behind(theirs)
    update(theirs, releases / "newer")
    assert sources(theirs / "01_lengths.ipynb") == before
    back = cell_of(read_notebook(theirs / "01_lengths.ipynb"), "exercise-1-1")
    assert ANSWER in back["source"] and back["metadata"]["nbgrader"]["solution"]


def test_a_release_without_a_moment_is_older_than_any_and_a_courses_own_folder_than_none(
    releases: Path, theirs: Path, tmp_path: Path
) -> None:
    before_moments = Path(shutil.copytree(releases / "older", tmp_path / "before"))
    manifest = json.loads((before_moments / "release.json").read_text())
    del manifest["release"]
    (before_moments / "release.json").write_text(json.dumps(manifest))
    with pytest.raises(UsageError, match="wanted --from FOLDER of a newer one"):
        update(theirs, before_moments)
    start(tmp_path / "long-ago", before_moments)
    assert is_behind(tmp_path / "long-ago", releases / "newer")
    assert update(theirs, releases / "courses" / "older").changed
    with pytest.raises(UsageError, match="wanted --from FOLDER of a newer one"):
        update(theirs, releases / "older")


def test_a_release_like_the_last_but_for_its_moment_changes_no_file_and_is_remembered(
    releases: Path, theirs: Path, tmp_path: Path
) -> None:
    again = Path(shutil.copytree(releases / "newer", tmp_path / "again"))
    manifest = json.loads((again / "release.json").read_text())
    (again / "release.json").write_text(json.dumps(manifest | {"release": "2027-01-01 00:00:00"}))
    assert not is_behind(theirs, again)
    assert str(update(theirs, again)) == "Nothing to update."
    with pytest.raises(UsageError, match="2027-01-01"):
        update(theirs, releases / "newer")


@pytest.mark.parametrize(
    "odd", [{"release": "soon"}, {"release": 3}, {"labkit": "1; rm"}, {"labkit": None}, {"files": []}]
)
def test_a_manifest_in_which_something_is_odd_is_refused(
    releases: Path, theirs: Path, tmp_path: Path, odd: dict[str, Any]
) -> None:
    other = Path(shutil.copytree(releases / "newer", tmp_path / "odd"))
    manifest = json.loads((other / "release.json").read_text())
    (other / "release.json").write_text(json.dumps(manifest | odd))
    with pytest.raises(UsageError, match=r"release\.json is damaged"):
        update(theirs, other)


def test_a_release_of_a_newer_labkit_than_runs_here_says_the_command_that_brings_it(
    releases: Path, theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("labkit.course.running.jupyterlab", lambda *_: 0)
    monkeypatch.setattr(copies, "__version__", "0.0.9")
    folder = Path(shutil.copytree(releases / "newer", tmp_path / "the newer"))
    wanted = (
        f"This release comes with labkit {__version__}, and 0.0.9 runs here. For its exercises and checks: "
        f"cd '{folder}' && python -m pip install -r requirements.txt"
    )
    for arguments in (("start", str(tmp_path / "fresh")), ("open", str(theirs)), ("update", str(theirs))):
        assert command("course", *arguments, "--from", str(folder)) == 0
        assert wanted in capsys.readouterr().out
    for runs in ("0.0.9", f"{__version__}+20260901080000"):
        monkeypatch.setattr(copies, "__version__", runs)
        source = () if runs == "0.0.9" else ("--from", str(folder))
        assert (
            command("course", "open", str(theirs), *source) == 0
        )  # the older release's labkit is no reason to go back
        assert capsys.readouterr().out == ""


# A copy within a copy


@pytest.mark.parametrize(("place", "named"), [(".", ()), ("notes", ()), (".", ("other",)), ("..", ("mine/figures",))])
def test_what_is_opened_within_a_copy_is_that_copy(
    built: Path,
    mine: Path,
    place: str,
    named: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened: list[Path] = []
    monkeypatch.setattr("labkit.course.running.jupyterlab", lambda folder, _: opened.append(folder) or 0)
    (mine / "notes").mkdir()
    monkeypatch.chdir(mine / place)
    before = everything(mine)
    assert command("course", "open", *named, "--from", str(built / "older")) == 0
    assert opened == [mine] and everything(mine) == before
    assert capsys.readouterr().out == f"your own copy: {mine}\n"


def test_no_copy_is_started_within_a_copy(built: Path, mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (mine / "notes").mkdir()
    before = everything(mine)
    for place, named in ((mine, "my-course"), (mine / "notes", "."), (mine.parent, "mine/notes/deep")):
        monkeypatch.chdir(place)
        with pytest.raises(
            UsageError, match=rf"within {mine}, .* labkit course open {mine} opens it; wanted a new folder"
        ):
            start(Path(named), built / "older")
    assert everything(mine) == before
    start(Path("../beside"), built / "older")


# The commands


def test_starting_and_updating_say_what_they_did(
    built: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "mine"
    assert command("course", "start", str(folder), "--from", str(built / "older")) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{folder}: 01_lengths.ipynb, 02_labels.ipynb",
        f"Open it: labkit course open {folder}",
    ]
    work_in(folder / "01_lengths.ipynb", lambda notebook: cell_of(notebook, "start").update(source="lengths = [1]"))
    assert command("course", "update", str(folder), "--from", str(built / "newer")) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "updated: 01_lengths.ipynb, 02_labels.ipynb, README.md"
    assert said[1].startswith("  01_lengths.ipynb, start: ") and said[-1].startswith("backup: ")


def test_opening_makes_the_copy_once_and_hands_on_what_jupyter_should_get(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[tuple[Path, tuple[str, ...]]] = []
    monkeypatch.setattr("labkit.course.running.jupyterlab", lambda *given: opened.append(given) or 0)
    folder = tmp_path / "mine"
    source = ("--from", str(built / "older"))
    assert command("course", "open", str(folder), *source, "--no-browser", "--port=9") == 0
    assert "your own copy" in capsys.readouterr().out
    work_in(folder / "01_lengths.ipynb", answer("1.3", ANSWER))
    before = everything(folder)
    newer = str(built / "newer")
    assert command("course", "open", str(folder), "--from", newer) == 0
    assert f"There is a newer release: labkit course update {folder} --from {newer} brings" in capsys.readouterr().out
    assert opened == [(folder, ("--no-browser", "--port=9")), (folder, ())]
    assert everything(folder) == before


def test_jupyterlab_is_that_of_this_python_and_its_terminals_find_labkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Any] = []

    class Process(contextlib.AbstractContextManager):  # type: ignore[type-arg]
        """Ends with 3 once the first Ctrl-C has been its own to answer."""

        def __init__(self, command: list[str], env: dict[str, str]) -> None:
            called.extend([command, env["PATH"].split(os.pathsep)[0]])

        def __exit__(self, *_: object) -> None: ...

        def wait(self) -> int:
            called.append("waited")
            if called.count("waited") == 1:
                raise KeyboardInterrupt
            return 3

    monkeypatch.setattr(running.subprocess, "Popen", Process)
    assert running.jupyterlab(tmp_path, ("--no-browser",)) == 3
    command = [sys.executable, "-m", "jupyterlab", str(tmp_path), "--no-browser"]
    assert called == [command, str(Path(sys.executable).parent), "waited", "waited"]


def test_jupyterlab_opens_with_the_settings_of_the_course_and_asks_for_no_news(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jupyter_core.paths import jupyter_config_path
    from jupyterlab_server.settings_utils import _get_overrides

    class Process(contextlib.AbstractContextManager):  # type: ignore[type-arg]
        """Takes over the environment in which JupyterLab was to run."""

        def __init__(self, command: list[str], env: dict[str, str]) -> None:
            monkeypatch.setenv("JUPYTER_CONFIG_PATH", env["JUPYTER_CONFIG_PATH"])

        def __exit__(self, *_: object) -> None: ...

        def wait(self) -> int:
            return 0

    monkeypatch.setenv("JUPYTER_CONFIG_PATH", str(tmp_path / "own"))
    monkeypatch.setattr(running.subprocess, "Popen", Process)
    running.jupyterlab(tmp_path, ())
    settings, trouble = _get_overrides(str(tmp_path))
    assert not trouble and str(tmp_path / "own") in jupyter_config_path()
    news = settings["@jupyterlab/apputils-extension:notification"]
    assert news == {"fetchNews": "false", "checkForUpdates": False}


def test_the_stub_is_what_an_untouched_exercise_has(built: Path) -> None:
    untouched = read_notebook(built / "older" / "notebooks" / "01_lengths.ipynb")
    assert cell_of(untouched, "exercise-1-3")["source"].endswith(STUB)

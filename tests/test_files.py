"""Laws of the writers: whoever reads, at whatever moment the writer died, finds a whole file or folder."""

import hashlib
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit import files
from labkit.files import atomic_folder, remove, remove_leftovers, sha256, write_atomically

law = settings(max_examples=30, deadline=None)
KILLED = """
import os, pathlib, shutil, signal, sys
from pathlib import Path
from labkit.files import atomic_folder, write_atomically

plain, calls = {deadly}, []

def dies(*arguments, **named):
    calls.append(arguments)
    if len(calls) == {nth}:
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(*arguments, **named)

{deadly} = dies
{write}
"""
WRITE_A_FILE = "write_atomically(Path(sys.argv[1]), 'new ' * 1000)"
WRITE_A_FOLDER = """
with atomic_folder(Path(sys.argv[1])) as folder:
    (folder / "weights").write_text("new " * 1000)
    (folder / "config").write_text("new")
"""


def kill_at(deadly: str, nth: int, write: str, target: Path) -> None:
    """Run `write` in a process of its own that gets SIGKILL instead of its n-th call of `deadly`."""
    script = KILLED.format(deadly=deadly, nth=nth, write=write)
    environment = os.environ | {"PYTHONPATH": str(Path(files.__file__).parents[1])}
    ended = subprocess.run([sys.executable, "-c", script, str(target)], env=environment, capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


@law
@given(st.one_of(st.binary(max_size=2000), st.text(st.characters(exclude_categories=["Cs"]))))
def test_what_was_written_is_what_is_read_to_the_byte(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("written") / "file"
    write_atomically(path, content)
    assert path.read_bytes() == (content if isinstance(content, bytes) else content.encode())
    assert [file.name for file in path.parent.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize("deadly", ["os.fsync", "Path.chmod", "Path.replace"])
def test_a_killed_writer_leaves_the_old_content(tmp_path, deadly):
    path = tmp_path / "run.json"
    path.write_text("old")
    kill_at(deadly, 1, WRITE_A_FILE, path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2  # its temporary file stays behind, ...
    write_atomically(tmp_path / "other.json", "kept")
    remove_leftovers(tmp_path, ".run.json")  # ... and goes with the next who holds the lock
    assert contents(tmp_path) == {"run.json": "old", "other.json": "kept"}


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_content_and_no_litter(tmp_path, monkeypatch, failing):
    path = tmp_path / "run.json"
    path.write_text("old")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(*((os, "fsync", full) if failing == "fsync" else (Path, "replace", full)))
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new")
    assert contents(tmp_path) == {"run.json": "old"}


def test_ctrl_c_in_the_middle_leaves_the_old_content_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "run.json"
    path.write_text("old")

    def interrupted(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert contents(tmp_path) == {"run.json": "old"}


def test_what_has_no_utf_8_is_written_by_its_number(tmp_path):
    path = tmp_path / "run.json"
    write_atomically(path, '"half a pair: \ud83d"')
    assert json.loads(path.read_text("utf-8")) == "half a pair: \ud83d"


def test_a_file_never_takes_the_place_of_a_folder(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(OSError, match="irectory"):
        write_atomically(tmp_path / "model", "new")
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(os.name == "nt", reason="no such permissions here")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_what_is_written_has_the_permissions_of_any_other_file_of_its_user(tmp_path, mask):
    before = os.umask(mask)
    try:
        write_atomically(tmp_path / "file", "new")
        with atomic_folder(tmp_path / "folder") as folder:
            (folder / "inner").mkdir()
            (folder / "weights").touch(mode=0o600)
        (tmp_path / "plain").touch()
        (tmp_path / "plain folder").mkdir()
    finally:
        os.umask(before)
    permissions = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.rglob("*")}
    assert permissions["file"] == permissions["weights"] == permissions["plain"] == 0o666 & ~mask
    assert permissions["folder"] == permissions["inner"] == permissions["plain folder"] == 0o777 & ~mask


def test_a_folder_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "not" / "there" / "model"
    with atomic_folder(target) as folder:
        (folder / "weights").write_text("new")
        assert not target.exists()
        assert folder.parent == target.parent  # the same disk, or renaming would copy
    assert contents(target) == {"weights": "new"}
    assert [file.name for file in target.parent.iterdir()] == ["model"]


def write_half_of_it_and_press_ctrl_c(target: Path) -> None:
    with atomic_folder(target) as folder:
        (folder / "weights").write_text("new")
        raise KeyboardInterrupt


def test_a_block_that_fails_leaves_the_old_folder_and_no_litter(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "weights").write_text("old")
    with pytest.raises(KeyboardInterrupt):
        write_half_of_it_and_press_ctrl_c(target)
    assert contents(target) == {"weights": "old"}
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_stood_there_is_replaced_whole(tmp_path):
    target = tmp_path / "model"
    with atomic_folder(target) as folder:
        (folder / "old").write_text("old")
    with atomic_folder(target) as folder:
        (folder / "new").write_text("new")
    assert contents(target) == {"new": "new"}
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(tmp_path, monkeypatch):
    target = tmp_path / "model"
    target.mkdir()
    (target / "weights").write_text("old")
    rename = Path.rename

    def refused(self: Path, name: Path) -> Path:
        if name == target and self.stem == ".model" and not (self / "weights").read_text() == "old":
            raise PermissionError(13, "Permission denied")
        return rename(self, name)

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(PermissionError), atomic_folder(target) as folder:
        (folder / "weights").write_text("new")
    assert contents(target) == {"weights": "old"}
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize(
    ("deadly", "nth"),
    [("os.fsync", 1), ("os.fsync", 3), ("Path.chmod", 1), ("Path.rename", 1), ("Path.rename", 2), ("os.unlink", 2)],
)
def test_a_killed_writer_leaves_a_whole_folder_or_none(tmp_path, deadly, nth):
    target = tmp_path / "model"
    target.mkdir()
    (target / "weights").write_text("old")
    (target / "config").write_text("old")
    kill_at(deadly, nth, WRITE_A_FOLDER, target)
    whole = [{"weights": "old", "config": "old"}, {"weights": "new " * 1000, "config": "new"}]
    assert contents(target) in whole if target.exists() else (deadly, nth) == ("Path.rename", 2)
    remove_leftovers(tmp_path, ".model")
    assert [file.name for file in tmp_path.iterdir()] in (["model"], [])


@pytest.mark.parametrize("write", [WRITE_A_FILE, WRITE_A_FOLDER], ids=["file", "folder"])
def test_everything_is_flushed_before_it_takes_its_name(tmp_path, monkeypatch, write):
    target, happened = tmp_path / "target", []
    fsync, replace, rename = os.fsync, Path.replace, Path.rename

    def noted(what: str, plain: object):
        def call(*arguments: object) -> object:
            happened.append(what)
            return plain(*arguments)  # type: ignore[operator]

        return call

    monkeypatch.setattr(os, "fsync", noted("flush", fsync))
    monkeypatch.setattr(Path, "replace", noted("name", replace))
    monkeypatch.setattr(Path, "rename", noted("name", rename))
    monkeypatch.setattr(sys, "argv", ["", str(target)])
    exec(write, {"write_atomically": write_atomically, "atomic_folder": atomic_folder, "Path": Path, "sys": sys})
    flushed = happened[: happened.index("name")]
    assert flushed == ["flush"] * (1 if target.is_file() else len(list(target.iterdir())))


# Links: a synced folder, a larger disk


@pytest.fixture(params=["file", "link", "link to a link", "folder that is a link"])
def linked(request, tmp_path):
    """A path that leads elsewhere by one way or another, the links on it, and what it leads to, which is not there yet."""
    elsewhere, here = tmp_path / "elsewhere", tmp_path / "here"
    elsewhere.mkdir()
    if request.param == "folder that is a link":
        here.symlink_to(elsewhere)
        return here / "target", [here], elsewhere / "target"
    here.mkdir()
    first, second = here / "target", here / "second"
    if request.param == "file":
        return first, [], first
    first.symlink_to(second if request.param == "link to a link" else elsewhere / "target")
    second.symlink_to(Path("..") / "elsewhere" / "target")
    return first, [first, second], elsewhere / "target"


@pytest.mark.parametrize("before", [None, "old"], ids=["dangling", "there"])
def test_a_link_stays_and_what_it_leads_to_gets_the_content(linked, before):
    path, links, target = linked
    if before:
        target.write_text(before)
    write_atomically(path, "new")
    assert all(link.is_symlink() for link in links) and not target.is_symlink()
    assert target.read_text() == path.read_text() == "new"
    assert [file.name for file in target.parent.iterdir() if not file.is_symlink()] == ["target"]


@pytest.mark.parametrize("before", [None, "old"], ids=["dangling", "there"])
def test_a_link_to_a_folder_stays_and_leads_to_the_new_one(linked, before):
    path, links, target = linked
    if before:
        target.mkdir()
        (target / "old").write_text("old")
    with atomic_folder(path) as folder:
        (folder / "new").write_text("new")
    assert all(link.is_symlink() for link in links) and not target.is_symlink()
    assert contents(target) == {"new": "new"}
    assert [file.name for file in target.parent.iterdir() if not file.is_symlink()] == ["target"]


@pytest.mark.parametrize("kind", ["file", "folder", "nothing"])
def test_what_a_link_leads_to_is_removed_and_the_link_stays(linked, kind):
    path, links, target = linked
    if kind == "file":
        target.write_text("old")
    if kind == "folder":
        target.mkdir()
        (target / "old").write_text("old")
    remove(path)
    assert not target.exists() and all(link.is_symlink() for link in links)


def test_links_in_a_circle_are_said_and_stay(tmp_path):
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for write in (lambda: write_atomically(tmp_path / "a", "new"), lambda: remove(tmp_path / "a")):
        with pytest.raises(OSError, match="symbolic links"):
            write()
    with pytest.raises(OSError, match="symbolic links"), atomic_folder(tmp_path / "a"):
        pass
    assert [os.readlink(tmp_path / name) for name in "ab"] == ["b", "a"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes by name here")
def test_what_is_no_file_is_written_to_and_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "link"):
        reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
        write_atomically(tmp_path / name, "new")
        assert os.read(reader, 10) == b"new"
        os.close(reader)
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode) and (tmp_path / "link").is_symlink()
    write_atomically(Path(os.devnull), "new")
    assert not Path(os.devnull).is_file()


def test_leftovers_of_others_stay(tmp_path):
    for name in (".run-a.abcdefgh", ".run-b.abcdefgh", "run-a.json", ".run-a", ".run-a.abc"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    (tmp_path / ".run-a.original").symlink_to(tmp_path / "run-a.json")
    remove_leftovers(tmp_path, ".run-a")
    others = {".run-b.abcdefgh", "run-a.json", ".run-a", ".run-a.abc", ".run-a.original"}
    assert {file.name for file in tmp_path.iterdir()} == others and contents(tmp_path / "run-a.json") == {"file": ""}


def test_a_name_with_the_marks_of_a_pattern_is_taken_as_it_is(tmp_path):
    for name in ("[a]", "a", "*", "what?"):
        (tmp_path / f".{name}.abcdefgh").touch()
        remove_leftovers(tmp_path, f".{name}")
        assert list(tmp_path.iterdir()) == []
    (tmp_path / ".b.abcdefgh").touch()
    remove_leftovers(tmp_path, ".[a-c]")
    assert [file.name for file in tmp_path.iterdir()] == [".b.abcdefgh"]


def test_temporary_names_are_those_that_leftovers_are_known_by(tmp_path):
    with atomic_folder(tmp_path / "model") as folder:
        (folder / "weights").touch()
    assert re.fullmatch(r"\.model\..{8}", folder.name)


@law
@given(st.binary(max_size=300_000))
def test_the_sum_of_a_file_is_that_of_its_bytes(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("sum") / "file"
    path.write_bytes(content)
    assert sha256(path) == hashlib.sha256(content).hexdigest()

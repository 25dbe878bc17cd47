"""Laws of the assets, on small archives of the same build as the pinned ones, with another program in pip's place."""

import errno
import hashlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.data import assets
from labkit.data.assets import Archive, AssetError, AssetMissing
from labkit.errors import UsageError

MEMBERS = {"corpus/one.txt": b"first\n" * 50, "corpus/two.txt": b"second\n" * 70}
NAMES = {"corpus/one.txt": "one.txt", "corpus/two.txt": "two.txt"}
UNWANTED = {
    "corpus/evil.py": b"raise SystemExit",
    "setup.py": b"raise SystemExit",
    "../above.txt": b"",
    "/tmp/root.txt": b"",
}
OUR_FILES = {"one.txt": MEMBERS["corpus/one.txt"], "two.txt": MEMBERS["corpus/two.txt"]}


def tar(members: Mapping[str, bytes], odd: tarfile.TarInfo | None = None) -> bytes:
    """A tar archive, gzipped; `odd` is one more member, a link or the like, that takes the place of its namesake."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            if odd is None or odd.name != name:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        if odd is not None:
            archive.addfile(odd)
    return packed.getvalue()


def wheel(members: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # of no date, so that the same members are the same bytes
    return packed.getvalue()


def source_distribution(inner: bytes) -> bytes:
    return tar({"things-1.0/data/corpus.tar.gz": inner, **UNWANTED})


def archive_of(content: bytes, form: str, members: Mapping[str, str] = NAMES) -> Archive:
    """How an archive with this content would be pinned."""
    is_wheel = form == "wheel"
    return Archive(
        name="things",
        contents="things for the tests",
        requirement="things==1.0",
        filename="things-1.0-py3-none-any.whl" if is_wheel else "things-1.0.tar.gz",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        members=members,
        inner="" if is_wheel else "things-1.0/data/corpus.tar.gz",
    )


class Index:
    """Stands in pip's place: brings `content` into the staging folder and counts how often it was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, content: bytes, form: str, members: Mapping[str, str] = NAMES):
        self.content, self.archive, self.asked = content, archive_of(content, form, members), 0
        monkeypatch.setattr(assets, "ARCHIVES", {"things": self.archive})
        monkeypatch.setattr(assets, "_download_with_pip", self.bring)

    def bring(self, archive: Archive, staging: Path) -> Path:
        self.asked += 1
        arrived = staging / "arrived" / archive.filename
        arrived.parent.mkdir()
        arrived.write_bytes(self.content)
        return arrived


@pytest.fixture(params=["source distribution", "wheel"])
def index(request, monkeypatch) -> Index:
    content = (
        wheel({**MEMBERS, **UNWANTED})
        if request.param == "wheel"
        else source_distribution(tar({**MEMBERS, **UNWANTED}))
    )
    return Index(monkeypatch, content, request.param)


def files_under(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def home_is_empty_but_for_the_lock(home: Path) -> bool:
    return {path.name for path in home.iterdir()} <= {"things.lock"}


# The pins


@pytest.mark.parametrize("archive", assets.ARCHIVES.values(), ids=lambda archive: archive.name)
def test_every_pin_is_whole_and_names_no_path_outside_its_folder(archive):
    assert assets.archive_named(archive.name) is archive
    assert len(bytes.fromhex(archive.sha256)) == 32
    assert archive.size > 0
    package, version = archive.requirement.split("==")
    stem = archive.filename.removesuffix(".tar.gz").removesuffix("-py3-none-any.whl")
    assert stem.replace("_", "-") == f"{package}-{version}"
    ours = list(archive.members.values())
    assert all(Path(name).name == name and name not in ("", ".", "..", "manifest.json") for name in ours)
    assert len(set(ours)) == len(ours)
    assert archive.is_wheel == (archive.inner == "")


def test_an_archive_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(UsageError, match=r"^minilmm is none of reviews, minilm; did you mean minilm\?$") as refused:
        assets.fetch("minilmm")
    assert refused.value.exit_code == 2


# Fetching


def test_the_wanted_members_and_only_those_come_out_with_their_bytes(index, labkit_home):
    assert not assets.is_cached("things")
    assert assets.verify("things") == ["one.txt", "two.txt"]
    folder = assets.fetch("things")
    assert folder.parent == labkit_home
    found = files_under(folder)
    manifest = json.loads(found.pop("manifest.json"))
    assert found == OUR_FILES
    assert manifest == {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in OUR_FILES.items()
    }
    assert assets.is_cached("things")
    assert assets.verify("things") == []
    assert {path.name for path in labkit_home.iterdir()} == {folder.name, "things.lock"}


def test_what_is_in_the_cache_is_not_fetched_again(index):
    first = assets.fetch("things")
    assert assets.fetch("things") == first
    assert index.asked == 1


def test_another_pin_is_another_folder(monkeypatch):
    one = Index(monkeypatch, wheel(MEMBERS), "wheel")
    first = assets.fetch("things")
    other = Index(monkeypatch, wheel({**MEMBERS, "more": b""}), "wheel")
    assert not assets.is_cached("things")
    second = assets.fetch("things")
    assert first != second
    assert (one.asked, other.asked) == (1, 1)
    assert assets.folder_of(one.archive) == first


def test_a_hash_that_does_not_match_is_refused_before_anything_is_opened(index, labkit_home, monkeypatch):
    def never(*arguments: object, **named: object) -> NoReturn:
        raise AssertionError("an archive was opened before its hash was checked")

    monkeypatch.setattr(tarfile, "open", never)
    monkeypatch.setattr(zipfile, "ZipFile", never)
    index.content = index.content[:-1] + bytes([index.content[-1] ^ 1])
    with pytest.raises(AssetError) as refused:
        assets.fetch("things")
    found = hashlib.sha256(index.content).hexdigest()
    message = f"SHA-256 is {found}, wanted {index.archive.sha256}; nothing of it was used"
    assert str(refused.value).endswith(f"{index.archive.filename}: {message}")
    assert home_is_empty_but_for_the_lock(labkit_home)


def link(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("kind", "target"),
    [
        (tarfile.SYMTYPE, "/etc/hostname"),
        (tarfile.SYMTYPE, "two.txt"),
        (tarfile.LNKTYPE, "corpus/two.txt"),
        (tarfile.FIFOTYPE, ""),
        (tarfile.CHRTYPE, ""),
        (tarfile.DIRTYPE, ""),
    ],
    ids=["symlink out", "symlink within", "hard link", "pipe", "device", "folder"],
)
def test_a_member_that_is_no_regular_file_is_refused(labkit_home, monkeypatch, kind, target):
    Index(
        monkeypatch, source_distribution(tar(MEMBERS, odd=link("corpus/one.txt", kind, target))), "source distribution"
    )
    with pytest.raises(AssetError, match=r"member corpus/one\.txt is no regular file$"):
        assets.fetch("things")
    assert home_is_empty_but_for_the_lock(labkit_home)


def test_an_inner_archive_that_is_a_link_is_refused(labkit_home, monkeypatch):
    outer = tar({}, odd=link("things-1.0/data/corpus.tar.gz", tarfile.SYMTYPE, "/etc/hostname"))
    Index(monkeypatch, outer, "source distribution")
    with pytest.raises(AssetError, match=r"is no regular file$"):
        assets.fetch("things")
    assert home_is_empty_but_for_the_lock(labkit_home)


def test_a_link_in_a_wheel_becomes_a_plain_file(monkeypatch):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        info = zipfile.ZipInfo("corpus/one.txt")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/hostname")
        archive.writestr("corpus/two.txt", b"second")
    Index(monkeypatch, packed.getvalue(), "wheel")
    unpacked = assets.fetch("things") / "one.txt"
    assert not unpacked.is_symlink()
    assert unpacked.read_bytes() == b"/etc/hostname"


@pytest.mark.parametrize("form", ["source distribution", "wheel"])
@pytest.mark.parametrize("path", ["../../outside.txt", "/outside.txt", "corpus/../../../outside.txt"])
def test_a_path_out_of_the_archive_never_becomes_a_path_on_the_disk(tmp_path, monkeypatch, form, path):
    home = tmp_path / "one" / "two" / "home"
    monkeypatch.setenv("LABKIT_HOME", str(home))
    members = {path: b"wanted", "../../unwanted.txt": b"unwanted"}
    content = wheel(members) if form == "wheel" else source_distribution(tar(members))
    index = Index(monkeypatch, content, form, members={path: "inside.txt"})
    folder = assets.fetch("things")
    assert (folder / "inside.txt").read_bytes() == b"wanted"
    expected = {folder / "inside.txt", folder / "manifest.json", home / "things.lock"}
    assert {found for found in tmp_path.rglob("*") if found.is_file()} == expected
    assert not Path("/outside.txt").exists()
    assert index.asked == 1


# Two at once, and the interrupted one

IN_A_PROCESS_OF_ITS_OWN = """
import os, signal, time
from pathlib import Path
from labkit.data import assets
from labkit.data.assets import Archive

content, log = {content!r}, Path({log!r})

def bring(archive, staging):
    with log.open("a") as file:
        file.write("asked\\n")
    arrived = staging / "arrived" / archive.filename
    arrived.parent.mkdir()
    arrived.write_bytes(content[:300])
    {in_the_download}
    arrived.write_bytes(content)
    return arrived

def dies(*arguments):
    os.kill(os.getpid(), signal.SIGKILL)

def wait_for_both():
    while len(list(log.parent.glob("ready-*"))) < 2:
        time.sleep(0.01)
    time.sleep(0.2)

assets.ARCHIVES = dict(things={archive!r})
assets._download_with_pip = bring
{before}
(log.parent / f"ready-{{os.getpid()}}").touch()
print(assets.fetch("things"))
"""


def fetch_elsewhere(log: Path, in_the_download: str = "", before: str = "") -> subprocess.Popen[str]:
    """A process of its own that fetches the same small wheel; every download is noted in `log`."""
    content = wheel(MEMBERS)
    script = IN_A_PROCESS_OF_ITS_OWN.format(
        content=content,
        archive=archive_of(content, "wheel"),
        log=str(log),
        in_the_download=in_the_download,
        before=before,
    )
    environment = os.environ | {"PYTHONPATH": str(Path(assets.__file__).parents[1])}
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


@pytest.fixture
def the_same_wheel(monkeypatch) -> Index:
    return Index(monkeypatch, wheel(MEMBERS), "wheel")


def test_two_processes_that_ask_at_once_fetch_once(the_same_wheel, tmp_path):
    both = [fetch_elsewhere(tmp_path / "log", in_the_download="wait_for_both()") for _ in range(2)]
    answers = [process.communicate(timeout=100) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert (tmp_path / "log").read_text() == "asked\n"
    assert {answer[0].strip() for answer in answers} == {str(assets.fetch("things"))}
    assert the_same_wheel.asked == 0
    assert assets.verify("things") == []


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
@pytest.mark.parametrize(
    "when",
    [{"in_the_download": "dies()"}, {"before": "os.fsync = dies"}, {"before": "Path.rename = dies"}],
    ids=["downloading", "unpacking", "renaming"],
)
def test_a_killed_fetch_is_cleaned_up_and_done_again(the_same_wheel, labkit_home, tmp_path, when):
    killed = fetch_elsewhere(tmp_path / "log", **when)
    _, errors = killed.communicate(timeout=100)
    assert killed.returncode == -signal.SIGKILL, errors
    assert not assets.is_cached("things")
    assert not home_is_empty_but_for_the_lock(labkit_home)
    folder = assets.fetch("things")
    assert the_same_wheel.asked == 1
    assert assets.verify("things") == []
    assert {path.name for path in labkit_home.iterdir()} == {folder.name, "things.lock"}


def test_ctrl_c_leaves_nothing_behind_and_no_pip_running(monkeypatch, labkit_home):
    monkeypatch.setattr(assets, "ARCHIVES", {"things": archive_of(wheel(MEMBERS), "wheel")})
    monkeypatch.delenv("LABKIT_OFFLINE")
    started = []
    start = subprocess.Popen

    def slow_pip(command: list[str], **named: object) -> "subprocess.Popen[bytes]":
        started.append(start([sys.executable, "-c", "import time; time.sleep(100)"], **named))  # type: ignore[call-overload]
        return started[0]

    def ctrl_c(seconds: float) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", slow_pip)
    monkeypatch.setattr(time, "sleep", ctrl_c)
    with pytest.raises(KeyboardInterrupt):
        assets.fetch("things")
    assert started[0].poll() is not None
    assert home_is_empty_but_for_the_lock(labkit_home)


# Without a network


def test_offline_the_message_names_both_ways_out_and_no_process_is_started(monkeypatch, labkit_home):
    archive = archive_of(wheel(MEMBERS), "wheel")
    monkeypatch.setattr(assets, "ARCHIVES", {"things": archive})
    monkeypatch.setattr(subprocess, "Popen", lambda *arguments, **named: pytest.fail("a process was started"))
    with pytest.raises(AssetMissing) as refused:
        assets.fetch("things")
    assert refused.value.exit_code == 2
    message = str(refused.value)
    assert message.startswith(
        f"things (things for the tests) is not in {labkit_home} and could not be fetched: LABKIT_OFFLINE is set\n"
    )
    assert "`labkit fetch` where there is a network" in message
    assert f"or bring {archive.filename} in a folder" in message
    assert "`labkit fetch --from FOLDER`" in message
    assert home_is_empty_but_for_the_lock(labkit_home)


@pytest.mark.parametrize(("value", "offline"), [(None, False), ("", False), ("0", False), ("1", True), ("yes", True)])
def test_offline_is_what_the_environment_says(monkeypatch, value, offline):
    monkeypatch.delenv("LABKIT_OFFLINE")
    if value is not None:
        monkeypatch.setenv("LABKIT_OFFLINE", value)
    assert assets.is_offline() == offline


@pytest.fixture
def true_pip(monkeypatch, tmp_path) -> Path:
    """The real pip, which finds what lies in one folder and asks no index."""
    stock = tmp_path / "stock"
    stock.mkdir()
    metadata = {
        "things-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: things\nVersion: 1.0\n",
        "things-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "things-1.0.dist-info/RECORD": b"",
    }
    content = wheel({**MEMBERS, **metadata})
    archive = archive_of(content, "wheel")
    (stock / archive.filename).write_bytes(content)
    monkeypatch.setattr(assets, "ARCHIVES", {"things": archive})
    monkeypatch.delenv("LABKIT_OFFLINE")
    monkeypatch.setenv("PIP_FIND_LINKS", str(stock))
    return stock


def test_pip_itself_brings_the_pinned_file_and_a_bar_says_how_far_it_is(true_pip, capsys, labkit_home):
    folder = assets.fetch("things")
    assert assets.verify("things") == []
    assert {path.name for path in labkit_home.iterdir()} == {folder.name, "things.lock"}
    bar = capsys.readouterr().err
    assert "things: 100%" in bar


def test_a_file_of_another_hash_is_refused_by_pip_itself_and_its_reason_is_given(true_pip, labkit_home):
    (found,) = true_pip.iterdir()
    found.write_bytes(found.read_bytes() + b"more")
    with pytest.raises(AssetMissing, match=r"could not be fetched: (ERROR: )?.*hash|HASH|Got") as refused:
        assets.fetch("things")
    assert "`labkit fetch --from FOLDER`" in str(refused.value)
    assert home_is_empty_but_for_the_lock(labkit_home)


@pytest.mark.parametrize(
    ("log", "line"),
    [
        (
            "Looking\nERROR: first\nWARNING: old pip\nERROR: No matching distribution\nhint\n",
            "ERROR: No matching distribution",
        ),
        ("Looking\n  the last line \n\n", "the last line"),
        ("", "pip ended without a word"),
    ],
)
def test_the_reason_is_the_last_error_of_pip(log, line):
    assert assets._last_error(log) == line


# From and to a folder


def test_a_folder_with_the_archive_serves_in_place_of_a_network(index, tmp_path):
    (tmp_path / index.archive.filename).write_bytes(index.content)
    assets.fetch("things", source=tmp_path)
    assert index.asked == 0
    assert assets.verify("things") == []
    assert files_under(tmp_path) == {index.archive.filename: index.content}


def test_a_folder_with_another_file_of_that_name_is_refused(index, tmp_path, labkit_home):
    (tmp_path / index.archive.filename).write_bytes(index.content + b"more")
    with pytest.raises(AssetError, match=f"wanted {index.archive.sha256}; nothing of it was used"):
        assets.fetch("things", source=tmp_path)
    assert home_is_empty_but_for_the_lock(labkit_home)


@pytest.mark.parametrize("folder", [".", "no such folder"])
def test_a_folder_without_the_archive_is_refused_with_how_to_make_one(index, tmp_path, folder):
    with pytest.raises(UsageError) as refused:
        assets.fetch("things", source=tmp_path / folder)
    assert refused.value.exit_code == 2
    assert str(refused.value) == (
        f"{tmp_path / folder}: no file {index.archive.filename} there; `labkit fetch --to FOLDER` makes such a folder"
    )


def test_what_is_brought_into_a_folder_can_be_fetched_from_it(index, tmp_path):
    carried = assets.download("things", tmp_path / "carried")
    assert files_under(tmp_path) == {f"carried/{index.archive.filename}": index.content}
    assert carried == tmp_path / "carried" / index.archive.filename
    assets.fetch("things", source=tmp_path / "carried")
    assert assets.verify("things") == []
    assert index.asked == 1


def test_a_file_of_another_hash_is_never_brought_into_a_folder(index, tmp_path):
    index.content += b"more"
    with pytest.raises(AssetError, match="nothing of it was used"):
        assets.download("things", tmp_path)
    assert list(tmp_path.iterdir()) == []


# What has become of it


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(OUR_FILES)), st.integers(0, 10_000), st.integers(1, 255))
def test_a_flipped_byte_is_found(the_same_wheel, name, place, bits):
    file = assets.fetch("things") / name
    content = OUR_FILES[name]
    place %= len(content)
    file.write_bytes(content[:place] + bytes([content[place] ^ bits]) + content[place + 1 :])
    try:
        assert assets.is_cached("things")  # which looks at the sizes alone
        assert assets.verify("things") == [name]
    finally:
        file.write_bytes(content)


@pytest.mark.parametrize("damage", ["shorter", "longer", "missing"])
def test_a_file_of_another_size_is_fetched_again(index, damage):
    file = assets.fetch("things") / "two.txt"
    file.write_bytes(OUR_FILES["two.txt"] + b"more" if damage == "longer" else OUR_FILES["two.txt"][:-1])
    if damage == "missing":
        file.unlink()
    assert not assets.is_cached("things")
    assert assets.verify("things") == ["one.txt", "two.txt"]
    assets.fetch("things")
    assert index.asked == 2
    assert file.read_bytes() == OUR_FILES["two.txt"]


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=30), st.tuples(st.integers(0, 10_000), st.integers(1, 255))))
def test_no_damage_to_the_list_of_files_brings_the_cache_down(the_same_wheel, damage):
    folder = assets.fetch("things")
    manifest = folder / "manifest.json"
    good = manifest.read_bytes()
    if isinstance(damage, bytes):
        manifest.write_bytes(damage)
    else:
        place, bits = damage[0] % len(good), damage[1]
        manifest.write_bytes(good[:place] + bytes([good[place] ^ bits]) + good[place + 1 :])
    assert set(assets.verify("things")) <= set(OUR_FILES)
    assets.fetch("things")
    assert {name: (folder / name).read_bytes() for name in OUR_FILES} == OUR_FILES
    manifest.write_bytes(good)


# A folder that others filled


@pytest.mark.parametrize("why", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_is_cached_needs_no_lock_and_no_right_to_write(index, labkit_home, monkeypatch, why):
    folder = assets.fetch("things")
    (labkit_home / "things.lock").unlink(missing_ok=True)

    def refuse(lock: object, *arguments: object, **named: object) -> NoReturn:
        raise OSError(why, os.strerror(why), str(labkit_home / "things.lock"))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert assets.fetch("things") == folder and assets.verify("things") == [] and index.asked == 1
    (folder / "two.txt").unlink()
    with pytest.raises(AssetMissing) as refused:
        assets.fetch("things")
    first, second = str(refused.value).splitlines()
    assert first.startswith("things (") and f"is missing from {labkit_home}, or not whole there" in first
    assert second.startswith("Two ways out: ") and "`labkit fetch things`" in second and "LABKIT_HOME" in second
    assert index.asked == 1


def test_a_full_disk_is_not_taken_for_a_folder_that_may_only_be_read(index, labkit_home, monkeypatch):
    def refuse(lock: object, *arguments: object, **named: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(labkit_home))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        assets.fetch("things")


def test_a_hub_cache_that_takes_no_lock_is_read(monkeypatch, labkit_home):
    import huggingface_hub

    def snapshot(repository: str, local_files_only: bool = False, **named: object) -> str:
        if not local_files_only:
            raise PermissionError(errno.EACCES, "Permission denied", str(labkit_home / "hub" / ".locks"))
        return str(labkit_home / "hub" / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert assets.fetch_from_hub("owner/model") == labkit_home / "hub" / "snapshot"


def test_an_empty_list_of_files_is_no_cache(index):
    (assets.fetch("things") / "manifest.json").write_text("{}")
    assert not assets.is_cached("things")


def test_the_real_reviews_are_what_was_unpacked(users_cache):
    assert assets.verify("reviews") == []


# The cache folder, the hub, the disk


def test_the_cache_folder_is_labkit_home_or_the_platform_s_own(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_HOME", str(tmp_path))
    assert assets.home() == tmp_path
    monkeypatch.setenv("LABKIT_HOME", "~/lab")
    assert assets.home() == Path.home() / "lab"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LABKIT_HOME", "here")
    assert assets.home() == tmp_path / "here"
    for unset in ("", None):
        monkeypatch.delenv("LABKIT_HOME") if unset is None else monkeypatch.setenv("LABKIT_HOME", unset)
        assert assets.home().name == "labkit"
        assert assets.home().is_absolute()


def test_a_model_of_the_hub_comes_as_safetensors_and_without_code(monkeypatch, labkit_home):
    import huggingface_hub

    asked: dict[str, Any] = {}

    def snapshot(repository: str, **named: object) -> str:
        asked.update(named, repository=repository)
        return str(labkit_home / "hub" / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert assets.fetch_from_hub("owner/model") == labkit_home / "hub" / "snapshot"
    assert asked["repository"] == "owner/model"
    assert asked["cache_dir"] == labkit_home / "hub"
    patterns = asked["allow_patterns"]
    assert "*.safetensors" in patterns
    assert not any(pattern.endswith((".bin", ".pt", ".py", ".pkl", ".h5", "*")) for pattern in patterns)


@pytest.mark.parametrize("why", [ValueError("no such name"), OSError("Connection refused\nand more")])
def test_without_a_hub_the_message_names_what_is_at_hand(monkeypatch, labkit_home, why):
    import huggingface_hub

    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise why

    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    with pytest.raises(AssetMissing) as refused:
        assets.fetch_from_hub("bert-base-uncased")
    first, second = str(refused.value).splitlines()
    assert first == f"bert-base-uncased could not be had from the model hub: {str(why).splitlines()[0]}"
    assert second.startswith("At hand without a hub: tiny (shipped with labkit) and minilm (`labkit fetch minilm`).")
    assert second.endswith(f"into {labkit_home / 'hub' / 'bert-base-uncased'}.")


def test_without_a_network_the_hub_is_not_there():
    with pytest.raises(AssetMissing, match=r"^bert-base-uncased could not be had from the model hub: "):
        assets.fetch_from_hub("bert-base-uncased")


def test_a_model_brought_by_hand_is_taken_in_place_of_the_hub_s(labkit_home):
    folder = labkit_home / "hub" / "owner--model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert assets.fetch_from_hub("owner/model") == folder


def test_free_space_is_that_of_the_disk_even_where_the_folder_is_not_yet(tmp_path):
    there, not_there = assets.free_bytes(tmp_path), assets.free_bytes(tmp_path / "not" / "there")
    assert there > 0
    assert not_there == pytest.approx(there, rel=0.2)


# The guard around every test


@pytest.mark.parametrize("address", [("example.org", 80), ("192.0.2.1", 80), ("2001:db8::1", 80), ("0.0.0.0", 80)])
def test_no_test_can_reach_beyond_this_machine(address):
    with pytest.raises(OSError, match="a test reached for the network"):
        socket.create_connection(address, timeout=1)
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    for connect in ("connect", "connect_ex"):
        with socket.socket(family) as one, pytest.raises(OSError, match="a test reached for the network"):
            getattr(one, connect)(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_test_can_reach_this_machine(host):
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection((host, server.getsockname()[1]), timeout=10) as client:
            client.sendall(b"here")
        connection, _ = server.accept()
        with connection:
            assert connection.recv(4) == b"here"


def test_a_test_has_a_cache_folder_of_its_own(labkit_home):
    assert assets.home() == labkit_home
    assert list(labkit_home.iterdir()) == []
    assert os.environ["LABKIT_OFFLINE"] == "1"

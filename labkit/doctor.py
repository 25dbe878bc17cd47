"""What this machine has for the course, and the remedy for what it lacks."""

import contextlib
import html
import importlib.util
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata

from labkit.data import assets
from labkit.display import LEFT, Markup, html_table
from labkit.errors import UsageError
from labkit.importing import quick_imports
from labkit.training.memory import free_memory

NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "scikit-learn", "matplotlib", "pyarrow")
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing looked at.

    verdict: `good`, `note` (works, but know this) or `bad`. remedy: what to do where it is not good.
    """

    subject: str
    verdict: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        mark = {"good": "ok  ", "note": "note", "bad": "BAD "}[self.verdict]
        remedy = f"\n                 -> {self.remedy}" if self.remedy else ""
        return f"{mark}  {self.subject:<10} {self.found}{remedy}"


@dataclass(frozen=True)
class Examination:
    """All findings together; shows itself as a table in a notebook."""

    findings: Sequence[Finding]

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        counts = [sum(each.verdict == verdict for each in self.findings) for verdict in _MARKS]
        said = "{} good, {} to know, {} to mend".format(*counts)
        rows = [("verdict", "subject", "found"), *map(_cells, self.findings)]
        return html_table(said, rows, row_header=1, styles=(f"{LEFT};white-space:nowrap", LEFT, LEFT))


_MARKS = {"good": ("✓", "good"), "note": ("•", "to know"), "bad": ("✗", "to mend")}


def _cells(finding: Finding) -> tuple[str, str, str]:
    remedy = f"<br><strong>{html.escape(finding.remedy)}</strong>" if finding.remedy else ""
    return " ".join(_MARKS[finding.verdict]), finding.subject, Markup(html.escape(finding.found) + remedy)


def examination(network: bool = True) -> Examination:
    """What `examine` finds, as one value to look at."""
    return Examination(tuple(examine(network)))


def examine(network: bool = True) -> Iterator[Finding]:
    """Every finding, the quick ones first.

    network: whether to ask the package index, which can take seconds.
    """
    yield from _installation()
    if importlib.util.find_spec("torch"):
        yield from _arithmetic()
    yield from _space()
    yield _load()
    if network:
        yield _network()
    with contextlib.suppress(UsageError):  # no place for them, which _space has said
        yield from map(_asset, assets.ARCHIVES)
    yield _shipped()
    yield _jupyter()


def _installation() -> Iterator[Finding]:
    """Python and the packages."""
    version = platform.python_version()
    if sys.version_info < (3, 11, 5):
        yield Finding("Python", "bad", version, "install Python 3.11.5 or newer and run the set-up again")
    else:
        yield Finding("Python", "good", f"{version} ({platform.system()}, {platform.machine()})")
    versions, missing = [], []
    for name in NEEDED:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        yield Finding("packages", "bad", f"missing: {', '.join(missing)}", "run `make setup`")
    else:
        yield Finding("packages", "good", ", ".join(versions))


def _arithmetic() -> Iterator[Finding]:
    """The device that computes, and the precision that is fastest there."""
    with quick_imports():
        import torch

    from labkit.training.precision import bf16_speedup, choose_device, choose_precision

    device = choose_device()
    threads = f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}"
    if device.type == "cuda":
        size = torch.cuda.get_device_properties(device).total_memory / GIB
        yield Finding("device", "good", f"{torch.cuda.get_device_name(device)}, {size:.0f} GiB")
    elif device.type == "mps":
        yield Finding("device", "good", f"Apple GPU (mps), {threads}")
    else:
        remedy = "works; MiniLM trains in minutes here, BERT base wants a GPU"
        yield Finding("device", "note", f"CPU only, {threads}", remedy)
    precision = choose_precision("auto", device).name
    if device.type == "cpu":
        precision += f" (bf16 multiplies matrices {bf16_speedup():.2g} times as fast as fp32 here)"
    yield Finding("precision", "good", precision)


def _space() -> Iterator[Finding]:
    """Room in memory and on disk."""
    free = free_memory() / GIB
    if free < 1:
        yield Finding("memory", "bad", f"{free:.1f} GiB free", "close other programs, or use `--profile tiny`")
    elif free < 3:
        yield Finding("memory", "note", f"{free:.1f} GiB free", "MiniLM will train in smaller micro-batches")
    else:
        yield Finding("memory", "good", f"{free:.1f} GiB free")
    try:
        assets.home()
    except UsageError as why:
        found, _, remedy = str(why).partition("; ")
        yield Finding("cache", "bad", found, remedy)
        return
    free = assets.free_bytes(assets.home()) / GIB
    found = f"{free:.1f} GiB free for {assets.home()}"
    if free < 2:
        yield Finding("disk", "bad", found, "free 2 GiB, or set LABKIT_HOME to a folder on another disk")
    else:
        yield Finding("disk", "good", found)


def _load() -> Finding:
    """What others compute here meanwhile, as the system counts it: the processes that want a core."""
    cores = os.cpu_count() or 1
    try:
        load = os.getloadavg()[0]
    except (AttributeError, OSError):  # Windows keeps no such count
        return Finding("load", "good", f"{cores} cores; this system does not say how many are busy")
    found = f"{load:.1f} processes want the {cores} cores (mean of the last minute)"
    if load > cores:
        return Finding(
            "load", "note", found, "training takes longer by about that ratio; close what else computes here"
        )
    return Finding("load", "good", found)


def _network() -> Finding:
    if assets.is_offline():
        return Finding("network", "note", "LABKIT_OFFLINE is set", "unset it to fetch reviews and weights")
    # pip asks with its own settings for index, proxy and certificates
    command = [sys.executable, "-m", "pip", "index", "versions", "platformdirs", "--disable-pip-version-check"]
    try:
        answer = subprocess.run([*command, "--timeout", "3", "--retries", "0"], capture_output=True, timeout=20)
        reached = answer.returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        reached = False
    if not reached:
        return Finding("network", "note", "pip reaches no package index", "no matter once everything is fetched")
    hub_is_off = os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
    hub = "; the model hub is switched off (HF_HUB_OFFLINE)" * hub_is_off
    return Finding("network", "good", "pip reaches its package index" + hub)


def _asset(name: str) -> Finding:
    if not assets.is_cached(name):
        return Finding(name, "bad", "not fetched", f"run `labkit fetch {name}`, or `labkit fetch {name} --from FOLDER`")
    damaged = assets.verify(name)
    if damaged:
        folder = assets.folder_of(assets.archive_named(name))
        return Finding(name, "bad", f"{damaged[0]} is damaged", f"remove {folder} and run `labkit fetch {name}`")
    return Finding(name, "good", str(assets.folder_of(assets.archive_named(name))))


def _shipped() -> Finding:
    wanted = (assets.TINY_BERT / "model.safetensors", assets.SAMPLE_REVIEWS)
    absent = [path.name for path in wanted if not path.is_file()]
    if absent:
        return Finding("shipped", "bad", f"{absent[0]} is missing from the installation", "install labkit again")
    return Finding("shipped", "good", "tiny BERT and the written sample of reviews")


def _jupyter() -> Finding:
    try:
        found = ", ".join(f"{name} {metadata.version(name.lower())}" for name in ("JupyterLab", "ipywidgets"))
    except metadata.PackageNotFoundError as missing:
        remedy = "run `make setup`, or install what your release's page says"
        return Finding("Jupyter", "bad", f"{missing.name} is not installed", remedy)
    return Finding("Jupyter", "good", found)

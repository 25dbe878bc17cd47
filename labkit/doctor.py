"""What this machine has for the course: each finding with a verdict and, where something is amiss, the remedy."""

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
from labkit.importing import quick_imports
from labkit.training.memory import free_memory

NEEDED = ("torch", "transformers", "tokenizers", "safetensors", "scikit-learn", "matplotlib", "pyarrow")
GIB = 2**30


@dataclass(frozen=True)
class Finding:
    """One thing looked at. verdict: `good`, `note` (works, but know this) or `bad`; remedy: what to do, where not good."""

    subject: str
    verdict: str
    found: str
    remedy: str = ""

    def __str__(self) -> str:
        mark = {"good": "ok  ", "note": "note", "bad": "BAD "}[self.verdict]
        return f"{mark}  {self.subject:<10} {self.found}" + (
            f"\n                 -> {self.remedy}" if self.remedy else ""
        )


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
    """Every finding, the quick ones first. network: whether to ask the package index, which can take seconds."""
    yield _python()
    yield _packages()
    if importlib.util.find_spec("torch"):
        yield _device()
        yield _precision()
    yield _memory()
    yield _disk()
    if network:
        yield _network()
    yield from (_asset(name) for name in assets.ARCHIVES)
    yield _shipped()
    yield _jupyter()


def _python() -> Finding:
    version = platform.python_version()
    if sys.version_info < (3, 11, 5):
        return Finding("Python", "bad", version, "install Python 3.11.5 or newer and run the set-up again")
    return Finding("Python", "good", f"{version} ({platform.system()}, {platform.machine()})")


def _packages() -> Finding:
    versions, missing = [], []
    for name in NEEDED:
        try:
            versions.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    if missing:
        return Finding("packages", "bad", f"missing: {', '.join(missing)}", "run `make setup`")
    return Finding("packages", "good", ", ".join(versions))


def _device() -> Finding:
    with quick_imports():
        import torch

    from labkit.training.precision import choose_device

    device = choose_device()
    if device.type == "cuda":
        size = torch.cuda.get_device_properties(device).total_memory / GIB
        return Finding("device", "good", f"{torch.cuda.get_device_name(device)}, {size:.0f} GiB")
    threads = f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)}"
    if device.type == "mps":
        return Finding("device", "good", f"Apple GPU (mps), {threads}")
    return Finding(
        "device", "note", f"CPU only, {threads}", "works; MiniLM trains in minutes here, BERT base wants a GPU"
    )


def _precision() -> Finding:
    from labkit.training.precision import bf16_speedup, choose_device, choose_precision

    device = choose_device()
    chosen = choose_precision("auto", device).name
    if device.type == "cpu":
        return Finding(
            "precision", "good", f"{chosen} (bf16 multiplies matrices {bf16_speedup():.2g} times as fast as fp32 here)"
        )
    return Finding("precision", "good", chosen)


def _memory() -> Finding:
    free = free_memory() / GIB
    if free < 1:
        return Finding("memory", "bad", f"{free:.1f} GiB free", "close other programs, or use `--profile tiny`")
    if free < 3:
        return Finding("memory", "note", f"{free:.1f} GiB free", "MiniLM will train in smaller micro-batches")
    return Finding("memory", "good", f"{free:.1f} GiB free")


def _disk() -> Finding:
    free = assets.free_bytes(assets.home()) / GIB
    found = f"{free:.1f} GiB free for {assets.home()}"
    if free < 2:
        return Finding("disk", "bad", found, "free 2 GiB, or set LABKIT_HOME to a folder on another disk")
    return Finding("disk", "good", found)


def _network() -> Finding:
    if assets.is_offline():
        return Finding("network", "note", "LABKIT_OFFLINE is set", "unset it to fetch reviews and weights")
    hub = (
        "; the model hub is switched off (HF_HUB_OFFLINE)"
        if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0")
        else ""
    )
    if not _package_index_answers():
        return Finding("network", "note", "pip reaches no package index", "no matter once everything is fetched")
    return Finding("network", "good", "pip reaches its package index" + hub)


def _package_index_answers() -> bool:
    """Whether pip, with its own settings for index, proxy and certificates, gets an answer."""
    command = [sys.executable, "-m", "pip", "index", "versions", "platformdirs", "--disable-pip-version-check"]
    try:
        answer = subprocess.run([*command, "--timeout", "3", "--retries", "0"], capture_output=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return answer.returncode == 0


def _asset(name: str) -> Finding:
    if not assets.is_cached(name):
        return Finding(name, "bad", "not fetched", f"run `labkit fetch {name}`, or `labkit fetch {name} --from FOLDER`")
    damaged = assets.verify(name)
    if damaged:
        folder = assets.folder_of(assets.archive_named(name))
        return Finding(name, "bad", f"{damaged[0]} is damaged", f"remove {folder} and run `labkit fetch {name}`")
    return Finding(name, "good", str(assets.folder_of(assets.archive_named(name))))


def _shipped() -> Finding:
    absent = [
        path.name for path in (assets.TINY_BERT / "model.safetensors", assets.SAMPLE_REVIEWS) if not path.is_file()
    ]
    if absent:
        return Finding("shipped", "bad", f"{absent[0]} is missing from the installation", "install labkit again")
    return Finding("shipped", "good", "tiny BERT and the written sample of reviews")


def _jupyter() -> Finding:
    try:
        return Finding(
            "Jupyter",
            "good",
            f"JupyterLab {metadata.version('jupyterlab')}, ipywidgets {metadata.version('ipywidgets')}",
        )
    except metadata.PackageNotFoundError as missing:
        return Finding(
            "Jupyter",
            "bad",
            f"{missing.name} is not installed",
            "run `make setup`, or install what your release's page says",
        )

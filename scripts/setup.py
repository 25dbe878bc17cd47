"""Make .venv, install labkit into it and fetch the reviews.

python scripts/setup.py [EXTRA ...] installs under constraints.txt. Needs nothing but Python. What is done already is
not done again, and what was interrupted or broken is mended, so it may be run at any time. JupyterLab (the extra `lab`)
is always in.
"""

from __future__ import annotations  # so that an old Python comes as far as the sentence that says it is too old

import argparse
import hashlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

OLDEST_PYTHON = (3, 11, 5)
PYTORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"  # the one that PyTorch's installation page names
ROOT = Path(__file__).resolve().parent.parent
CONSTRAINTS = ROOT / "constraints.txt"
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / "labkit-setup.json"
LOG = VENV / "labkit-setup.log"

PIP_INSTALL = [str(PYTHON), "-m", "pip", "--no-input", "--disable-pip-version-check", "install"]
# pip would compile all of torch, SymPy and transformers to bytecode. The lab needs a tenth of it: what this imports.
QUICK = ["--no-compile", "--progress-bar", "raw"]
QUICK_START = (
    "import torch, datasets, matplotlib.pyplot, sklearn.linear_model\n"
    "from transformers import AutoTokenizer, BertForSequenceClassification"
)


class SetupError(Exception):
    """What went wrong and what to do, in words for whoever typed the command."""


def set_up(extras: set[str], torch: str = "") -> None:
    """Install labkit with `lab` and these extras into .venv, and fetch the reviews.

    torch: "cpu" for PyTorch's build without CUDA. Raises SetupError.
    """
    require_python(sys.version_info[:3])
    present = installed_extras()
    if not {"lab", *extras} <= present:
        unknown = extras - known_extras()
        if unknown:
            raise SetupError(f"no extra {', '.join(sorted(unknown))}. There are: {', '.join(sorted(known_extras()))}")
        install({"lab", *extras, *present}, torch)
    fetch_reviews()


def require_python(version: tuple[int, ...]) -> None:
    """Raise SetupError where this version of Python is too old."""
    if version < OLDEST_PYTHON:
        oldest, found = (".".join(map(str, numbers)) for numbers in (OLDEST_PYTHON, version))
        raise SetupError(
            f"labkit needs Python {oldest} or newer, and this one is {found} ({sys.executable}).\n"
            "If you have a newer one, name it: make lab PYTHON=python3.13 (without make: python3.13 scripts/setup.py)."
        )


def known_extras() -> set[str]:
    """The names of pyproject.toml's extras."""
    import tomllib

    return set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])


def fingerprint() -> str:
    """What an installation depends on, as one digest.

    pyproject.toml, constraints.txt, this script, and where the repository lies.
    """
    contents = [path.read_bytes() for path in (ROOT / "pyproject.toml", CONSTRAINTS, Path(__file__))]
    return hashlib.sha256(b"\0".join([*contents, str(ROOT).encode()])).hexdigest()


def installed_extras() -> set[str]:
    """The extras of the last finished installation; none where it no longer holds."""
    try:
        stamp = json.loads(STAMP.read_text("utf-8"))
        return set(stamp["extras"]) if stamp["fingerprint"] == fingerprint() and PYTHON.exists() else set()
    except (OSError, ValueError, KeyError, TypeError):
        return set()


def install(extras: set[str], torch: str) -> None:
    """Install labkit, editable, with these extras.

    The stamp comes last, so a half-done installation is never trusted.
    """
    STAMP.unlink(missing_ok=True)
    if not venv_works():
        make_venv()
    constrained = [*PIP_INSTALL, "--constraint", str(CONSTRAINTS)]
    run("bringing pip up to date", [*constrained, "pip", "setuptools"])
    if torch == "cpu" and sys.platform == "linux":  # elsewhere the usual build has no CUDA
        install_cpu_torch()
    say(f"installing labkit with {', '.join(sorted(extras))}: some minutes the first time")
    labkit = ["--no-build-isolation", "--editable", f".[{','.join(sorted(extras))}]"]
    run("installing labkit", [*constrained, *QUICK, *labkit])
    run("preparing a quick start", [str(PYTHON), "-c", QUICK_START])
    STAMP.write_text(json.dumps({"fingerprint": fingerprint(), "extras": sorted(extras)}) + "\n", "utf-8")
    say(f"labkit is installed in {VENV}")


def venv_works() -> bool:
    """Whether .venv has a Python that runs, is new enough and has pip."""
    probe = f"import sys, pip; sys.exit(sys.version_info[:3] < {OLDEST_PYTHON})"
    try:
        return subprocess.run([str(PYTHON), "-c", probe], capture_output=True, timeout=120).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def make_venv() -> None:
    """Make .venv, or make it anew where it is half-made or broken.

    A folder of another kind is left alone.
    """
    if VENV.exists() and not (VENV / "pyvenv.cfg").exists() and any(path.is_file() for path in VENV.rglob("*")):
        raise SetupError(f"{VENV} is there but is no virtual environment of Python's. Move it away and run this again.")
    if any(importlib.util.find_spec(module) is None for module in ("venv", "ensurepip")):
        raise SetupError(
            f"this Python ({sys.executable}) comes without venv or ensurepip.\n"
            "On Debian and Ubuntu: sudo apt install python3-venv. Then run this again."
        )
    say(f"{'making anew' if VENV.exists() else 'making'} {VENV}")
    run("making .venv", [sys.executable, "-m", "venv", "--clear", str(VENV)])


def install_cpu_torch() -> None:
    """Install PyTorch from its index of CPU builds, unless the pinned one is there."""
    version = re.findall(r"^torch==(\S+)", CONSTRAINTS.read_text("utf-8"), re.MULTILINE)[0]
    probe = f"from importlib.metadata import version; assert version('torch').partition('+')[0] == {version!r}"
    if subprocess.run([str(PYTHON), "-c", probe], capture_output=True).returncode != 0:
        say("installing PyTorch's CPU build")
        source = ["--no-deps", "--extra-index-url", PYTORCH_CPU_INDEX]
        run("installing PyTorch's CPU build", [*PIP_INSTALL, *QUICK, *source, f"torch=={version}+cpu"])


def run(step: str, command: list[str]) -> None:
    """Run one step, with its output in the log and its progress on the terminal.

    Raises SetupError with its last words.
    """
    environment = {**os.environ, "PIP_USER": "0", "PYTHONUNBUFFERED": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or every start of the lab would compile anew
    lines: list[str] = []
    try:
        with subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            try:
                for raw in process.stdout or ():
                    note(raw.decode("utf-8", "replace").rstrip(), lines)
            except BaseException:
                process.kill()
                raise
    finally:
        show("")
        if LOG.parent.is_dir():
            with LOG.open("a", encoding="utf-8") as log:
                log.write("\n".join([f"== {step}", *lines, ""]))
    if process.returncode != 0:
        raise SetupError(
            f"{step} failed:\n{last_words(lines)}\nThe whole log is {LOG}. The same command again goes on from here."
        )


def note(line: str, lines: list[str]) -> None:
    """Keep a line of a step's output and show it.

    pip's `Progress 10 of 50` is shown beside the line before it.
    """
    progress = re.fullmatch(r"Progress (\d+) of (\d+)", line)
    if progress:
        done, size = int(progress[1]), int(progress[2])
        show("".join(lines[-1:]), f"{done / max(size, 1):.0%} of {size / 1e6:.0f} MB")
    else:
        lines.append(line)
        show(line)


def last_words(lines: list[str]) -> str:
    """Why a step failed: the end of what it printed.

    Where pip had no network, that is said, and not its talk of versions.
    """
    if any(re.search("NewConnectionError|NameResolutionError|ConnectTimeoutError|ProxyError", line) for line in lines):
        return "    The package index could not be reached: is there a network?"
    return "\n".join(f"    {line}" for line in lines[-12:])


def show(doing: str, progress: str = "") -> None:
    """Print a line that the next one overwrites; nothing where no one watches."""
    if sys.stderr.isatty():
        print(f"\r{doing.strip()[:58]:<58} {progress:>18}", end="\r", file=sys.stderr, flush=True)


def say(sentence: str) -> None:
    """Tell whoever typed the command; standard output stays the lab's."""
    print(sentence, file=sys.stderr, flush=True)


def fetch_reviews() -> None:
    """Fetch the real movie reviews, unless they are in the cache.

    Without a network the set-up stands, and says what it lacks.
    """
    probe = "import sys; from labkit.data.assets import is_cached; sys.exit(not is_cached('reviews'))"
    if subprocess.run([str(PYTHON), "-c", probe], cwd=ROOT, capture_output=True).returncode == 0:
        return
    if subprocess.run([str(PYTHON), "-m", "labkit", "fetch", "reviews"], cwd=ROOT).returncode != 0:
        say("labkit is installed, but the real reviews are not here yet: see above.")


def main() -> int:
    """The exit code: 0, 1 where set-up failed, 130 after Ctrl-C.

    argparse itself ends with 2 for wrong use.
    """
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("extras", nargs="*", metavar="EXTRA", help="extras of pyproject.toml besides lab, such as test")
    parser.add_argument("--torch", choices=["cpu"], default="", help="without the gigabytes of CUDA, on Linux")
    arguments = parser.parse_args()
    try:
        set_up(set(arguments.extras), arguments.torch)
    except (SetupError, OSError) as why:
        say(f"set-up: {why}")
        return 1
    except KeyboardInterrupt:
        say("\nset-up: interrupted; the same command again goes on from here")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

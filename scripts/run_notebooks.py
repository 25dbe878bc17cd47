"""Run every notebook of the course with nbval: the students' untouched and the solutions, tiny profile, without a network.

    .venv/bin/python -m scripts.run_notebooks [what pytest should get, such as -k 01_]

In a copy, so that nothing a notebook writes stays in the checkout. Then every solution must have passed all its checks, and
no untouched notebook may have passed any.
"""

import ctypes
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from labkit.course.notebooks import exercise_of, read_notebook
from labkit.student_work import Work

ROOT = Path(__file__).resolve().parent.parent
CELL_SECONDS = 120  # four times what a whole notebook may take
PYTEST = ["pytest", "--nbval-lax", "--nbval-current-env", f"--nbval-cell-timeout={CELL_SECONDS}"]
PYTEST += ["-n", "2", "--dist", "loadfile", "-p", "no:randomly", "-q"]  # a notebook's cells: one worker, in their order
PARTS = ("notebooks", "solutions")
CHILD_OF_A_USER, NEW_NETWORK = 0x10000000, 0x40000000  # clone's flags, which Python names from 3.12 on
SET_FLAGS, UP_AND_RUNNING = 0x8914, 0x41  # of an interface


def main(arguments: list[str], root: Path = ROOT) -> int:
    """The exit code of pytest, or 1 where a check said what it should not."""
    if not [path for part in PARTS for path in (root / part).glob("*.ipynb")]:
        print("there are no notebooks yet")
        return 0
    print("without a network" if cut_off_the_network() else "told to do without a network", flush=True)
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name).resolve()
        lay_out(root, copy)
        command = [sys.executable, "-m", *PYTEST, *arguments, *PARTS]
        code = subprocess.run(command, cwd=copy, env=surroundings(copy)).returncode
        odd = [] if code else list(odd_results(copy, whole=not arguments))
    print("".join(f"{line}\n" for line in odd), end="")
    return code or int(bool(odd))


def lay_out(root: Path, copy: Path) -> None:
    """Both kinds of notebooks in folders of their own, each a course folder, under a pytest that knows nothing else."""
    for part in PARTS:
        (copy / part / ".labkit").mkdir(parents=True)
        for path in (root / part).glob("*.ipynb"):
            shutil.copy(path, copy / part)
    (copy / "pytest.ini").write_text("[pytest]\n", "utf-8")
    shutil.copy(ROOT / "scripts" / "notebooks_conftest.py", copy / "conftest.py")


def surroundings(copy: Path) -> Mapping[str, str]:
    """This process's environment, with the profile, one thread a kernel, nobody's Jupyter settings, and no network."""
    offline = dict.fromkeys(("LABKIT_OFFLINE", "HF_HUB_OFFLINE", "PIP_NO_INDEX"), "1")
    threads = {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    own = {name: str(copy / name.lower()) for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    return os.environ | offline | threads | own | {"LABKIT_PROFILE": "tiny"}


def odd_results(copy: Path, whole: bool) -> Iterator[str]:
    """What the checks kept and should not have: a solution that did not pass, an untouched exercise that did.

    whole: all notebooks were run, so a result that is missing is odd too.
    """
    for part, wanted in zip(PARTS, ("not attempted", "passed"), strict=True):
        kept = Work(copy / part).checks
        for path in sorted((copy / part).glob("*.ipynb")):
            for exercise in filter(None, map(exercise_of, read_notebook(path)["cells"])):
                status = kept.get(exercise, {}).get("status", "not checked")
                if status != wanted and (whole or exercise in kept):
                    yield f"{part}/{path.name}: exercise {exercise} is {status}; wanted {wanted}"


def cut_off_the_network() -> bool:
    """Move this process and what it starts into a network that has this machine alone; False where that is not allowed."""
    if sys.platform != "linux":
        return False
    probe = os.fork()  # a step that is refused half-way would leave this process without even that
    if probe == 0:
        try:
            _enter_a_network_of_ones_own()
        except BaseException:
            os._exit(1)
        os._exit(0)
    if os.waitpid(probe, 0)[1] != 0:
        return False
    _enter_a_network_of_ones_own()
    return True


def _enter_a_network_of_ones_own() -> None:
    """Raises OSError where the system refuses; needs no more rights than a user has, where users may do it at all."""
    import fcntl

    system = ctypes.CDLL(None, use_errno=True)
    user, group = os.getuid(), os.getgid()
    if system.unshare(NEW_NETWORK) != 0:
        if system.unshare(CHILD_OF_A_USER | NEW_NETWORK) != 0:
            raise OSError(ctypes.get_errno(), "no network of one's own")
        for name, line in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path("/proc/self", name).write_text(line)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SET_FLAGS, struct.pack("16sh14x", b"lo", UP_AND_RUNNING))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

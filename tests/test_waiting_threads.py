"""Laws of threads that wait: they take no processor from others, unless the user wants it so."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.importing import HOW_TO_WAIT

ROOT = Path(__file__).resolve().parent.parent
UNSET = {name: value for name, value in os.environ.items() if name not in (*HOW_TO_WAIT, "OMP_NUM_THREADS")}
# Work in parallel, then a pause: what the other threads take of the processor is what they spend on waiting.
WAIT = """
import time
import labkit
import torch
torch.set_num_threads(2)
numbers = torch.ones(400_000)
def others():
    return time.process_time() - time.thread_time()
for _ in range(20):
    numbers.sin()
start, pauses = others(), 300
for _ in range(pauses):
    numbers[:70_000].add(1)
    time.sleep(0.002)
print(1e6 * (others() - start) / pauses)
"""


def printed(code: str, environment: dict[str, str]) -> str:
    command = [sys.executable, "-c", code]
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=120, check=True
    ).stdout.strip()


@pytest.mark.slow  # it measures, so other work on the machine can upset it
@pytest.mark.skipif((os.cpu_count() or 1) < 2 or sys.platform != "linux", reason="needs GNU's OpenMP and two cores")
def test_a_thread_that_waits_leaves_the_processor_to_others() -> None:
    sleeping = float(printed(WAIT, UNSET))
    spinning = float(printed(WAIT, UNSET | {"OMP_WAIT_POLICY": "ACTIVE"}))
    assert sleeping < spinning / 3, "microseconds of the processor a pause"


def test_importing_labkit_chooses_how_threads_wait_before_there_is_a_torch() -> None:
    code = "import labkit, os, sys; print(os.environ['OMP_WAIT_POLICY'], os.environ['KMP_BLOCKTIME'], 'torch' in sys.modules)"
    assert printed(code, UNSET) == "PASSIVE 0 False"


@pytest.mark.parametrize("name", HOW_TO_WAIT)
def test_whoever_chose_how_threads_wait_is_obeyed(name: str) -> None:
    code = f"import labkit, os; print(*[each for each in {HOW_TO_WAIT} if each in os.environ], os.environ[{name!r}])"
    assert printed(code, UNSET | {name: "17"}) == f"{name} 17"


def test_jupyter_and_all_its_kernels_have_the_choice_from_the_program(tmp_path: Path) -> None:
    (tmp_path / "jupyterlab").mkdir()
    (tmp_path / "jupyterlab" / "__main__.py").write_text("import os; print(os.environ['OMP_WAIT_POLICY'])")
    (tmp_path / "jupyterlab" / "__init__.py").touch()
    code = "from labkit.course.running import jupyterlab; from pathlib import Path; jupyterlab(Path(), ())"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    assert printed(code, UNSET | {"PYTHONPATH": path}) == "PASSIVE"

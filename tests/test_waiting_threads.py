"""Laws of threads that wait: they take no processor from others who want it, unless the user wants it so."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit import importing
from labkit.importing import HOW_TO_WAIT, SLEEPING, SPINNING

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
    sleeping = float(printed(WAIT, UNSET | {"OMP_WAIT_POLICY": "PASSIVE"}))
    spinning = float(printed(WAIT, UNSET | {"OMP_WAIT_POLICY": "ACTIVE"}))
    assert sleeping < spinning / 3, "microseconds of the processor a pause"


CHOSEN = f"import labkit, json, os, sys; print(json.dumps({{each: os.environ.get(each) for each in {HOW_TO_WAIT}}}))"


@pytest.mark.skipif(sys.platform != "linux", reason="where the system says who runs at this moment")
def test_beside_busy_processes_threads_sleep_and_it_is_chosen_before_there_is_a_torch() -> None:
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(os.cpu_count() or 1)]
    try:
        for before in (UNSET, UNSET | SPINNING):
            chosen = json.loads(printed(CHOSEN + "; assert 'torch' not in sys.modules", before))
            assert {name: value for name, value in chosen.items() if value is not None} == SLEEPING
    finally:
        for process in busy:
            process.kill()
            process.wait()


@pytest.mark.parametrize(("running", "chosen"), [(0, SPINNING), (64, SLEEPING)])
@pytest.mark.parametrize("before", [{}, SPINNING, SLEEPING], ids=["nothing", "spinning", "sleeping"])
def test_each_process_decides_anew_by_how_many_run(
    running: int, chosen: dict[str, str], before: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in HOW_TO_WAIT:
        monkeypatch.delenv(name, raising=False)
    for name, value in before.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(importing, "others_running", lambda: running)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    importing.choose_how_threads_wait()
    assert {name: os.environ[name] for name in HOW_TO_WAIT if name in os.environ} == chosen


@pytest.mark.parametrize("name", HOW_TO_WAIT)
def test_whoever_chose_how_threads_wait_is_obeyed(name: str) -> None:
    code = f"import labkit, os; print(*[each for each in {HOW_TO_WAIT} if each in os.environ], os.environ[{name!r}])"
    assert printed(code, UNSET | {name: "17"}) == f"{name} 17"


def test_jupyter_and_all_its_kernels_have_the_choice_from_the_program(tmp_path: Path) -> None:
    (tmp_path / "jupyterlab").mkdir()
    (tmp_path / "jupyterlab" / "__main__.py").write_text("import os; print(os.environ['KMP_BLOCKTIME'])")
    (tmp_path / "jupyterlab" / "__init__.py").touch()
    code = "from labkit.course.running import jupyterlab; from pathlib import Path; jupyterlab(Path(), ())"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    assert printed(code, UNSET | {"PYTHONPATH": path}) in (SLEEPING["KMP_BLOCKTIME"], SPINNING["KMP_BLOCKTIME"])

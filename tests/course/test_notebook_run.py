"""Laws of CI's notebook run: it runs both kinds in their order, leaves nothing behind, and fails fast where a kernel dies."""

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from courses import notebook_of, write_course

from labkit.course.build import build
from labkit.student_work import Work

BARE_PICTURE = "from IPython.display import Image\nImage(data=b'\\x89PNG\\r\\n\\x1a\\n' + bytes(50), format='png')"
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT))
    from scripts import run_notebooks

    return run_notebooks


def run(root: Path, *arguments: str) -> tuple[int, str]:
    """Exit code and words of the run over the notebooks of this folder, in a process of its own."""
    code = "import pathlib, sys; from scripts.run_notebooks import main;"
    code += f"sys.exit(main({list(arguments)!r}, pathlib.Path({str(root)!r})))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout + done.stderr


def write(folder: Path, name: str, *sources: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.ipynb").write_text(json.dumps(notebook_of(*sources)), "utf-8")


def test_both_kinds_are_run_in_the_order_of_their_cells_and_nothing_stays_behind(tmp_path: Path) -> None:
    root = tmp_path / "course"
    keep = "from labkit.student_work import Work\nWork().save('checks', '1.1', {'status': 'passed'})"
    write(root / "solutions", "01_keeps", keep, "open('left', 'w').close()")
    write(root / "notebooks", "01_one", "1", "# NBVAL_IGNORE_OUTPUT\n2")
    write(
        root / "notebooks", "02_order", *(f"a = {n}" if n == 0 else f"assert a == {n - 1}\na = {n}" for n in range(9))
    )
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    code, said = run(root)
    assert code == 0, said
    assert said.splitlines()[-1].startswith("13 passed"), "CI reads the last line"
    assert {line.split()[-1] for line in said.splitlines() if " s  " in line} == {
        "notebooks/01_one.ipynb",
        "notebooks/02_order.ipynb",
        "solutions/01_keeps.ipynb",
    }
    assert {path: path.read_bytes() for path in root.rglob("*") if path.is_file()} == before


def test_a_dead_kernel_fails_its_cell_at_once_says_so_and_the_other_notebooks_are_run(tmp_path: Path) -> None:
    write(tmp_path / "notebooks", "01_dead", "1", "import os\nos.kill(os.getpid(), 9)", "2", "3")
    write(tmp_path / "notebooks", "02_fails", "1 / 0", BARE_PICTURE)
    write(
        tmp_path / "solutions",
        "01_alive",
        "import os, socket, pathlib\nprofile = os.environ['LABKIT_PROFILE']",
        "assert profile == 'tiny' and os.environ['LABKIT_OFFLINE'] == os.environ['HF_HUB_OFFLINE'] == '1'",
        "try:\n    socket.create_connection(('192.0.2.1', 80), timeout=60)\n    reached = True\n"
        "except OSError as why:\n    reached = isinstance(why, TimeoutError)\n"
        "pathlib.Path('../../reached').write_text('yes')\nassert not reached",
    )
    code, said = run(tmp_path, "-n0", "--nbval-cell-timeout=100000")  # which nobody waits for: see run's own limit
    assert code == 1
    assert "The kernel died in this cell: out of memory, or a crash in a library." in said
    assert "ZeroDivisionError" in said and "cell cell-2: shows a picture without a text alternative" in said
    if "without a network" in said.splitlines()[0]:
        assert "3 failed, 4 passed, 2 xfailed" in said.splitlines()[-1], said


def kept(folder: Path, **status: str) -> None:
    for exercise, said in status.items():
        Work(folder).save("checks", exercise.replace("_", ".").strip("e"), {"status": said})


def test_a_solution_that_fails_and_an_untouched_exercise_that_passes_are_named(
    script: ModuleType, tmp_path: Path
) -> None:
    course = write_course(tmp_path / "course")
    build(course)
    copy = tmp_path / "copy"
    copy.mkdir()
    script.lay_out(course.root, copy)
    assert len(list(script.odd_results(copy, whole=True))) == 4
    assert list(script.odd_results(copy, whole=False)) == []
    kept(copy / "notebooks", e1_3="not attempted", e2_1="passed")
    kept(copy / "solutions", e1_3="failed", e2_1="passed")
    assert list(script.odd_results(copy, whole=True)) == [
        "notebooks/02_labels.ipynb: exercise 2.1 is passed; wanted not attempted",
        "solutions/01_lengths.ipynb: exercise 1.3 is failed; wanted passed",
    ]


def test_an_odd_result_fails_a_run_in_which_every_cell_ran(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "notebooks", "01_a", "1")
    monkeypatch.setattr(script, "cut_off_the_network", lambda: True)
    monkeypatch.setattr(script.subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], 0))
    assert script.main([], tmp_path) == 0
    monkeypatch.setattr(script, "odd_results", lambda *_, **__: ["1.1 is failed"])
    assert script.main([], tmp_path) == 1
    assert capsys.readouterr().out.endswith("1.1 is failed\n")


def test_without_notebooks_there_is_nothing_to_run(
    script: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(script.subprocess, "run", lambda *_, **__: pytest.fail("pytest was called"))
    monkeypatch.setattr(script, "cut_off_the_network", lambda: True)
    (tmp_path / "notebooks").mkdir()
    assert script.main([], tmp_path) == 0

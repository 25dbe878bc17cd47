"""Laws of `labkit check`: what a notebook's checks say comes out by exercise, and what went wrong is named."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from courses import answer, cell_of, code, notebook_of, work_in, write_course

from labkit.checks.further import FurtherHints
from labkit.checks.verdict import CheckResult, PropertyRow
from labkit.cli import main
from labkit.course import checking, running, submissions
from labkit.course.build import build
from labkit.course.checking import MIME, Checked, Row, check_notebooks, matching, refuse_strangers, results
from labkit.course.copies import start
from labkit.course.hand_in import hand_in
from labkit.course.notebooks import read_notebook
from labkit.course.running import Run, run_notebook, unrun
from labkit.errors import UsageError
from labkit.student_work import Work


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course and a fresh copy of it, `mine`; read them only."""
    root = tmp_path_factory.mktemp("course")
    build(write_course(root / "course"))
    start(root / "mine", root / "course")
    return root


@pytest.fixture
def mine(started: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(started / "mine", tmp_path / "mine"))


def command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[object, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(["check", *arguments])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def shown(result: CheckResult) -> dict[str, Any]:
    """The output of a cell that ends in a result."""
    return {"output_type": "execute_result", "data": result._repr_mimebundle_(), "metadata": {}, "execution_count": 1}


# Running, with a real kernel


def test_a_notebook_is_run_and_its_points_hints_and_progress_come_out(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A wrong answer's hint, and what it leaves in the student's folder, whatever else lies there or is called python3."""
    for name in ("ipykernel_launcher.py", "numpy.py", "labkit.py", "ipython_kernel_config.py"):
        (mine / name).write_text("raise SystemExit('not this one')")
    (mine / "kernels" / "python3").mkdir(parents=True)
    (mine / "kernels" / "python3" / "kernel.json").write_text(
        '{"argv": ["no-such-python"], "display_name": "Python 3"}'
    )
    monkeypatch.setenv("JUPYTER_PATH", str(mine))
    work_in(mine / "02_labels.ipynb", answer("2.1", "    return int(rating > 0)"))
    before = (mine / "02_labels.ipynb").read_bytes()
    monkeypatch.chdir(mine)
    (checked,) = check_notebooks([Path("02_labels.ipynb")])
    (row,) = checked.rows
    assert (row.exercise, row.status, row.max_points) == ("2.1", "failed", 10.0)
    assert 0 < row.points < 10 and row.hint and any(not each["held"] for each in row.properties)
    assert checked.trouble == "" and (mine / "02_labels.ipynb").read_bytes() == before
    kept = json.loads((mine / ".labkit" / "checks.json").read_bytes())["2.1"]
    assert (kept["status"], kept["points"], kept["hint"]) == (row.status, row.points, row.hint)
    assert capfd.readouterr() == ("", ""), "a kernel's talk of itself is not for students"


def test_a_solution_notebook_earns_all_points(started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(started / "course")
    shutil.copy(started / "course" / "solutions" / "02_labels.ipynb", tmp_path)
    (checked,) = check_notebooks([tmp_path / "02_labels.ipynb"])
    assert [(row.exercise, row.status, row.points) for row in checked.rows] == [("2.1", "passed", 10.0)]


def test_a_kernel_that_dies_is_named_at_once(tmp_path: Path) -> None:
    cells = notebook_of("1", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "2")
    run = run_notebook(cells, tmp_path, cell_seconds=300)
    assert run.trouble.startswith("cell 2 (cell-2): the kernel died")


def test_a_cell_that_takes_too_long_is_stopped_and_named_and_the_others_run(tmp_path: Path) -> None:
    run = run_notebook(notebook_of("1", "import time\ntime.sleep(300)", "2"), tmp_path, cell_seconds=1)
    assert run.trouble == "cell 2 (cell-2): took longer than 1 s and was stopped"
    assert run.notebook["cells"][2]["outputs"], "whoever waits for ever in one cell keeps the points of the others"


def test_a_cell_that_cannot_be_stopped_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "HEED_SECONDS", 1)
    waits = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(300)"
    run = run_notebook(notebook_of("1", waits, "2"), tmp_path, cell_seconds=1)
    assert run.trouble == "cell 2 (cell-2): took longer than 1 s and was stopped"
    assert [len(cell["outputs"]) for cell in run.notebook["cells"]] == [1, 0, 0]


@pytest.mark.skipif(os.name == "nt", reason="signals are otherwise there")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_the_kernel_and_the_program_without_a_traceback(tmp_path: Path, number: int, code: int) -> None:
    begun = tmp_path / "begun"
    begins = f"import os, pathlib, time\npathlib.Path({str(begun)!r}).write_text(str(os.getpid()))"
    cells = notebook_of(f"{begins}\ntime.sleep(300)")
    (tmp_path / "slow.ipynb").write_text(json.dumps(cells))
    # These tests may run as a job in the background, which shells start with Ctrl-C ignored.
    listening = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program = f"{listening}; from labkit.cli import main; main()"
    command = [sys.executable, "-c", program, "check", "--trust", "slow.ipynb"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        while not (begun.exists() and begun.read_text()):
            assert process.poll() is None
            time.sleep(0.1)
        process.send_signal(number)
        said, complained = process.communicate(timeout=300)
    assert (process.returncode, said) == (code, "")
    assert "Error" not in complained and len(complained.splitlines()) <= 1
    with pytest.raises(ProcessLookupError):
        os.kill(int(begun.read_text()), 0)


def test_jupyterlab_looks_for_its_kernel_beside_this_python_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: dict[str, str] = {}

    def popen(command: list[str], env: dict[str, str]) -> Any:
        found.update(env)
        raise SystemExit(0)

    monkeypatch.setenv("JUPYTER_PATH", "others")
    monkeypatch.setattr(running.subprocess, "Popen", popen)
    with pytest.raises(SystemExit):
        running.jupyterlab(tmp_path, [])
    assert found["JUPYTER_PATH"] == os.pathsep.join([str(Path(sys.prefix, "share", "jupyter")), "others"])
    assert Path(found["PATH"].split(os.pathsep)[0]) == Path(sys.executable).parent


def test_cells_after_one_that_raised_still_run_in_the_notebooks_own_folder_and_environment(tmp_path: Path) -> None:
    cells = notebook_of("1 / 0", "import os, pathlib\nprint(pathlib.Path.cwd(), os.environ['LABKIT_PROFILE'])")
    run = run_notebook(cells, tmp_path, environment={"LABKIT_PROFILE": "tiny"})
    assert run.trouble == "cell 1 (cell-1): ZeroDivisionError: division by zero"
    assert run.notebook["cells"][1]["outputs"][0]["text"] == f"{tmp_path} tiny\n"
    assert cells["cells"][0]["outputs"] == [], "what was given stays as it was"


# What an executed notebook shows


@pytest.fixture
def executed(mine: Path) -> dict[str, Any]:
    return read_notebook(mine / "02_labels.ipynb")


def test_the_last_result_of_an_exercise_counts_wherever_it_is_shown(executed: dict[str, Any]) -> None:
    failed, passed = CheckResult("2.1", "failed", 4.0, "Look."), CheckResult("2.1", "passed", 10.0)
    cell_of(executed, "check-2-1")["outputs"] = [shown(failed)]
    executed["cells"].append(code("result") | {"outputs": [shown(passed)]})
    assert results(executed, ["2.1"]) == [Row("2.1", "passed", 10.0, 10.0)]


def test_what_a_check_shows_is_what_comes_out(executed: dict[str, Any]) -> None:
    result = CheckResult("2.1", "failed", 4.0, "Look <there>.", None, [PropertyRow("a", True), PropertyRow("b", False)])
    cell_of(executed, "check-2-1")["outputs"] = [shown(result)]
    held = ({"name": "a", "held": True}, {"name": "b", "held": False})
    assert results(executed, ["2.1"]) == [Row("2.1", "failed", 4.0, 10.0, "Look <there>.", held)]


def test_how_many_further_hints_were_asked_for_comes_out_with_the_result(executed: dict[str, Any]) -> None:
    result = CheckResult("2.1", "failed", 4.0, "Look.", further=FurtherHints("2.1", asked=2))
    cell_of(executed, "check-2-1")["outputs"] = [shown(result)]
    (row,) = results(executed, ["2.1"])
    assert row.further_hints == 2
    assert "        further hints asked for: 2" in str(Checked("a.ipynb", (row,), 1.0)).splitlines()


@pytest.mark.parametrize("gone", [(), ("check-2-1",), ("exercise-2-1",), ("check-2-1", "exercise-2-1")])
def test_an_exercise_without_a_result_is_named_also_where_its_check_is_gone(
    executed: dict[str, Any], gone: tuple[str, ...]
) -> None:
    executed["cells"] = [cell for cell in executed["cells"] if cell["id"] not in gone]
    assert results(executed, ["2.1"]) == [Row("2.1", "no result", 0.0, 10.0)]


@pytest.mark.parametrize(
    "forged",
    [
        "text",
        None,
        {},
        {"points": 10},
        CheckResult("2.1", "passed", 11.0).as_json(),
        CheckResult("2.1", "passed", float("nan")).as_json(),
        CheckResult("2.1", "passed", -1.0).as_json(),
        CheckResult("2.1", "passed", float("inf"), max_points=float("inf")).as_json(),
        CheckResult("2.1", "passed", 1.0).as_json() | {"properties": "no list of rows"},
        CheckResult("2.1", "passed", 500.0, max_points=1000.0).as_json(),
        CheckResult("2.1\x1b[2J", "passed", 1.0).as_json(),
        CheckResult("2.1", "passed", 1.0, max_points=1.0).as_json(),
        CheckResult("2.1", "passed very well", 10.0).as_json(),
        CheckResult("0.1", "passed", 10.0).as_json(),
    ],
)
def test_what_is_no_result_is_not_taken_for_one(executed: dict[str, Any], forged: object) -> None:
    cell_of(executed, "check-2-1")["outputs"] = [{"output_type": "display_data", "data": {MIME: forged}}]
    assert [row.status for row in results(executed, ["2.1"])] == ["no result"]


def test_a_result_that_a_cell_of_text_carries_is_none(executed: dict[str, Any]) -> None:
    executed["cells"].append({"cell_type": "raw", "metadata": {}, "source": "", "id": "raw"})
    executed["cells"][-1]["outputs"] = [shown(CheckResult("2.1", "passed", 10.0))]
    assert [row.status for row in results(executed, ["2.1"])] == ["no result"]


def test_nothing_of_an_earlier_run_is_left_to_be_counted(executed: dict[str, Any]) -> None:
    """Outputs and times that were saved with the notebook, and a tag by which Jupyter leaves a cell out."""
    check = cell_of(executed, "check-2-1")
    check["outputs"] = [shown(CheckResult("2.1", "passed", 10.0))]
    check["metadata"] |= {"execution": {"iopub.execute_input": "2026-01-01"}, "tags": ["skip-execution"]}
    before = json.dumps(executed)
    fresh = unrun(executed)
    assert json.dumps(executed) == before
    assert [row.status for row in results(fresh, ["2.1"])] == ["no result"]
    assert not {"execution", "tags"} & cell_of(fresh, "check-2-1")["metadata"].keys()


def test_a_notebook_that_jupyter_trips_over_is_run_or_is_a_result(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    odd = read_notebook(mine / "02_labels.ipynb")
    odd["cells"][0]["metadata"]["tags"] = 5
    odd["cells"].append({"cell_type": "raw", "metadata": {}, "source": "", "id": "raw", "outputs": [1]})
    odd["cells"].append(code("print('\ud83d')"))
    (mine / "odd.ipynb").write_text(json.dumps(odd))
    (found,) = check_notebooks([mine / "odd.ipynb"])
    assert "NotImplementedError" not in found.trouble and [row.status for row in found.rows] == ["not attempted"]


def test_the_words_and_the_name_of_a_notebook_command_no_terminal_and_add_no_line() -> None:
    row = Row("1.1", "passed\x1b[2J", 1.0, 10.0, "\x1b]0;x\x07Look.")
    said = str(Checked("a\n  1.2   passed\n.ipynb", (row,), 1.0, "cell 1: \x9b31m\n", ("it\nis",)))
    assert all(character.isprintable() or character == "\n" for character in said) and "Look." in said
    assert len(said.splitlines()) == 5


# What is handed in: whose exercises, from which file, and with what beside it


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Instead of a kernel: the notebooks that would be run, with the names of the files in whose folder each is."""
    seen: list[dict[str, Any]] = []

    def run_nothing(notebook: dict[str, Any], folder: Path, *_: object) -> Run:
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        seen.append({"cells": notebook["cells"], "files": files})
        return Run(notebook)

    monkeypatch.setattr(checking, "run_notebook", run_nothing)
    return seen


def test_the_exercises_and_their_total_are_the_lessons_whatever_the_notebook_says(
    started: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: list[dict[str, Any]]
) -> None:
    """Results of other exercises are named and not counted; an exercise that the notebook disowns is missed."""
    monkeypatch.chdir(started / "course")
    path = tmp_path / "02_labels.ipynb"
    forged = read_notebook(started / "course" / "notebooks" / "02_labels.ipynb")
    extra = [CheckResult(one, "passed", 10.0) for one in ("2.1", "1.3", "2.2")]
    forged["cells"] = [code("x") | {"outputs": [shown(result)]} for result in extra]
    forged["metadata"]["labkit"] |= {"exercises": ["2.2"], "lesson": "01"}
    for name, points in (("02_labels.ipynb", 10.0), ("forged.ipynb", 10.0)):
        (tmp_path / name).write_text(json.dumps(forged))
        (checked,) = check_notebooks([tmp_path / name])
        assert (checked.points, checked.max_points) == (points, 10.0), name
    assert path.is_file() and [row.exercise for row in checked.rows] == ["1.3"], (
        "by its word where its name says nothing"
    )
    assert "not counted: 2.1, 2.2" in str(checked)
    forged["cells"], forged["metadata"] = [], {}
    path.write_text(json.dumps(forged))
    (checked,) = check_notebooks([path])
    assert [(row.exercise, row.status) for row in checked.rows] == [("2.1", "no result")]


def test_a_lesson_of_ones_own_copy_has_what_it_came_with(
    mine: Path, monkeypatch: pytest.MonkeyPatch, run: list[dict[str, Any]]
) -> None:
    monkeypatch.chdir(mine)
    (checked,) = check_notebooks([Path("01_lengths.ipynb")])
    assert [row.exercise for row in checked.rows] == ["1.3"] and not checked.notes
    work_in(mine / "01_lengths.ipynb", lambda notebook: notebook["metadata"]["labkit"].update(exercises=["9.9"]))
    work_in(mine / "01_lengths.ipynb", lambda notebook: notebook["cells"].clear())
    (checked,) = check_notebooks([Path("01_lengths.ipynb")])
    assert [row.exercise for row in checked.rows] == ["1.1", "1.2", "1.3"], "all that the lesson has"


def test_a_notebook_is_run_as_it_was_before_the_first_was_run_and_beside_tables_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.ipynb", "b.ipynb"):
        (tmp_path / name).write_text(json.dumps(notebook_of(name)))
    for name in ("mine.csv", "torch.py", "conftest.json"):
        (tmp_path / name).write_text("text,label\n")
    (tmp_path / "labkit").mkdir()
    ran = []

    def run_and_change(notebook: dict[str, Any], folder: Path, *_: object) -> Run:
        ran.append((notebook["cells"][0]["source"], sorted(path.name for path in folder.iterdir())))
        for name in ("b.ipynb", "mine.csv"):
            (tmp_path / name).write_text("{")
        return Run(notebook)

    monkeypatch.setattr(checking, "run_notebook", run_and_change)
    found = list(check_notebooks([tmp_path / "a.ipynb", tmp_path / "b.ipynb"]))
    assert ran == [("a.ipynb", [".labkit", "mine.csv"]), ("b.ipynb", [".labkit", "mine.csv"])]
    assert [one.trouble for one in found] == ["", ""]


def test_a_hand_in_is_taken_as_the_zip_that_it_is(
    started: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: list[dict[str, Any]]
) -> None:
    Work(mine).save("predictions", "01-longest", {"choice": "3"})
    hand_in(mine, "01", tmp_path / "ada.zip")
    monkeypatch.chdir(started / "course")
    (checked,) = check_notebooks([tmp_path / "ada.zip"])
    assert (checked.notebook, checked.trouble, checked.notes) == (str(tmp_path / "ada.zip"), "", ())
    assert [row.exercise for row in checked.rows] == ["1.3"]
    assert set(run[0]["files"]) == {".labkit/predictions.json", ".labkit/reflections.json"}
    assert b"01-longest" in run[0]["files"][".labkit/predictions.json"] and not list(tmp_path.glob("*.ipynb"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({}, "holds no notebook"),
        ({"a.ipynb": "{}", "b.ipynb": "{}"}, r"holds a\.ipynb, b\.ipynb; wanted a zip of labkit course hand-in"),
        ({"a.ipynb": "{"}, r"ada\.zip: a\.ipynb is no notebook"),
        ({"../up.ipynb": "{}"}, r"ada\.zip: up\.ipynb is no notebook"),
        ({"big.ipynb": " " * 2000}, "would fill more than"),
        (None, "no zip that can be read"),
    ],
)
def test_a_zip_without_a_notebook_that_can_be_read_is_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, str] | None, said: str
) -> None:
    monkeypatch.setattr(submissions, "LARGEST", 1000)
    path = tmp_path / "ada.zip"
    path.write_bytes(b"no zip")
    if content is not None:
        with zipfile.ZipFile(path, "w") as archive:
            for name, text in content.items():
                archive.writestr(name, text)
    (checked,) = check_notebooks([path])
    assert re.search(said, checked.trouble), checked.trouble
    assert [each.name for each in tmp_path.iterdir()] == ["ada.zip"]


def test_a_zip_whose_notebook_is_not_the_one_that_was_packed_says_so(
    started: Path, mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: list[dict[str, Any]]
) -> None:
    monkeypatch.chdir(started / "course")
    packed = hand_in(mine, "02", tmp_path / "packed.zip")
    with zipfile.ZipFile(packed) as old, zipfile.ZipFile(tmp_path / "again.zip", "w") as new:
        for name in old.namelist():
            new.writestr(f"folder/{name}", old.read(name).replace(b"Labels", b"LABELS"))
    (checked,) = check_notebooks([tmp_path / "again.zip"])
    assert checked.notes == ("02_labels.ipynb is not what was packed into the zip by labkit course hand-in",)


def test_what_nbgrader_would_stop_at_is_named(
    mine: Path, monkeypatch: pytest.MonkeyPatch, run: list[dict[str, Any]]
) -> None:
    monkeypatch.chdir(mine)

    def spoil(notebook: dict[str, Any]) -> None:
        cells = notebook["cells"]
        cells.append(json.loads(json.dumps(cell_of(notebook, "check-2-1"))) | {"id": "pasted"})
        cell_of(notebook, "exercise-2-1")["metadata"] = {}
        cells[0]["metadata"]["nbgrader"] = {"grade_id": "mine"}

    work_in(mine / "02_labels.ipynb", spoil)
    (checked,) = check_notebooks([mine / "02_labels.ipynb"])
    assert checked.notes == (
        "for nbgrader: cell 1 has marks of no exercise of this lesson",
        "for nbgrader: other marks than in the lesson: cell 3",
        "for nbgrader: the cell check-2-1 is there 2 times (cells 4, 5)",
    )


def test_a_pattern_is_what_it_matches_also_where_the_shell_does_not_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("ada/01_a.ipynb", "ben/01_a.zip", "ben/02_a.ipynb", "[x].ipynb"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert matching([Path("*/01_*"), Path("[x].ipynb")]) == [
        Path("ada/01_a.ipynb"),
        Path("ben/01_a.zip"),
        Path("[x].ipynb"),
    ]
    assert matching([Path("**/02_*")]) == [Path("ben/02_a.ipynb")]
    with pytest.raises(UsageError, match=r"0\?_\*: nothing matches it"):
        matching([Path("[x].ipynb"), Path("0?_*")])


# What is printed


def test_the_table_has_a_line_an_exercise_with_its_hint_and_the_sum(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = (Row("1.1", "passed", 10.0, 10.0), Row("1.2", "failed", 2.9, 10.0, "Look at padding."))
    found = [Checked("a.ipynb", rows, 12.3), Checked("b.ipynb", (), 1.0, "cell 2 (x): the kernel died")]
    monkeypatch.chdir(mine)
    for name in ("a", "b"):
        shutil.copy(mine / "02_labels.ipynb", mine / f"{name}.ipynb")

    def ran(*options: str) -> tuple[object, str]:
        monkeypatch.setattr(checking, "check_notebooks", lambda paths, seconds: iter(found))
        return command(capsys, "a.ipynb", "b.ipynb", *options)[:2]

    assert ran() == (
        1,
        "a.ipynb: 12.9 of 20 points, 12 s\n"
        "  1.1   passed          10 of 10\n"
        "  1.2   failed         2.9 of 10\n"
        "        Look at padding.\n"
        "b.ipynb: 0 of 0 points, 1 s\n"
        "  no checks in it\n"
        "  trouble: cell 2 (x): the kernel died\n",
    )
    code, said = ran("--json")
    assert [line[:14] for line in said.splitlines()] == ['[{"notebook": ', '{"notebook": "'], "a line as each is done"
    first, second = json.loads(said)
    assert code == 1
    assert (first["notebook"], first["points"], first["max_points"], first["ran"]) == ("a.ipynb", 12.9, 20.0, True)
    assert [row["hint"] for row in first["exercises"]] == ["", "Look at padding."]
    assert (second["ran"], second["trouble"]) == (False, "cell 2 (x): the kernel died")


def test_what_was_checked_before_an_interruption_is_a_whole_list(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(paths: list[Path], seconds: int) -> Iterator[Checked]:
        yield Checked("a.ipynb", (), 1.0)
        raise KeyboardInterrupt

    monkeypatch.chdir(mine)
    monkeypatch.setattr(checking, "check_notebooks", interrupted)
    code, said, _ = command(capsys, "01_lengths.ipynb", "02_labels.ipynb", "--json")
    assert code == 130 and [one["notebook"] for one in json.loads(said)] == ["a.ipynb"]


def test_a_notebook_that_cannot_be_read_is_a_result_and_the_next_is_run(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "01_lengths.ipynb").write_text("{")
    monkeypatch.setattr(checking, "run_notebook", lambda notebook, *_: Run(notebook))
    monkeypatch.chdir(mine)
    code, said, _ = command(capsys, "01_lengths.ipynb", "02_labels.ipynb")
    assert code == 1
    assert "trouble: 01_lengths.ipynb is no notebook" in said and "2.1   no result" in said


# Whose code is run


def test_ones_own_notebooks_are_run_without_a_word(mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(mine)
    refuse_strangers([Path("01_lengths.ipynb"), mine / "02_labels.ipynb"], trust=False)
    (mine / "below").mkdir()
    monkeypatch.chdir(mine / "below")
    refuse_strangers([Path("..") / "01_lengths.ipynb"], trust=False)


def test_a_notebook_outside_ones_own_folder_asks_for_trust_and_is_not_run(
    started: Path, mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(checking, "run_notebook", lambda *_: pytest.fail("it was run"))
    other = started / "mine" / "01_lengths.ipynb"
    (mine / "link.ipynb").symlink_to(other)
    monkeypatch.chdir(mine)
    for path in (other, mine / "link.ipynb", Path("..") / "mine" / ".." / "x.ipynb"):
        if not path.exists():
            shutil.copy(other, path)
        code, _, said = command(capsys, str(path))
        assert code == 2 and "add --trust" in said, path
    refuse_strangers([other], trust=True)


@pytest.mark.parametrize("left", [(), (".labkit",)])
def test_a_folder_is_not_ones_own_because_a_notebook_left_something_there(
    started: Path, tmp_path: Path, left: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(started / "mine" / "01_lengths.ipynb", tmp_path)
    for name in left:
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="add --trust"):
        refuse_strangers([Path("01_lengths.ipynb")], trust=False)


@pytest.mark.parametrize(
    ("paths", "said"),
    [
        ([], "nothing to check"),
        (["no.ipynb"], r"no\.ipynb: no such notebook"),
        (["README.md"], "wanted a file NAME.ipynb"),
        (["a\n  1.1   passed          10 of 10\n.ipynb"], r"^a\ufffd  1\.1 [^\n]*: no such notebook"),
    ],
)
def test_what_is_no_notebook_is_refused_before_any_is_run(
    mine: Path, paths: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(mine)
    with pytest.raises(UsageError, match=said):
        refuse_strangers([Path(path) for path in ["01_lengths.ipynb"] * bool(paths) + paths], trust=False)


def test_labkit_check_and_the_checks_speak_of_the_same_mime_type() -> None:
    assert MIME in CheckResult("1.1", "passed", 10.0)._repr_mimebundle_()

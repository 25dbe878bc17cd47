"""Laws of `labkit check`: what a notebook's checks say comes out by exercise, and what went wrong is named."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from courses import answer, cell_of, code, notebook_of, work_in, write_course

from labkit.checks.further import FurtherHints
from labkit.checks.verdict import CheckResult, PropertyRow
from labkit.cli import main
from labkit.course import checking
from labkit.course.build import build
from labkit.course.checking import MIME, Checked, Row, check_notebook, refuse_strangers, results
from labkit.course.copies import start
from labkit.course.notebooks import read_notebook
from labkit.course.running import Run, run_notebook, unrun
from labkit.errors import UsageError


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
    """One lesson as table and as JSON: a wrong answer with its hint, and what it leaves in the student's folder."""
    work_in(mine / "02_labels.ipynb", answer("2.1", "    return int(rating > 0)"))
    before = (mine / "02_labels.ipynb").read_bytes()
    monkeypatch.chdir(mine)
    checked = check_notebook(Path("02_labels.ipynb"))
    (row,) = checked.rows
    assert (row.exercise, row.status, row.max_points) == ("2.1", "failed", 10.0)
    assert 0 < row.points < 10 and row.hint and any(not each["held"] for each in row.properties)
    assert checked.trouble == "" and (mine / "02_labels.ipynb").read_bytes() == before
    kept = json.loads((mine / ".labkit" / "checks.json").read_bytes())["2.1"]
    assert (kept["status"], kept["points"], kept["hint"]) == (row.status, row.points, row.hint)
    assert capfd.readouterr() == ("", ""), "a kernel's talk of itself is not for students"


def test_a_solution_notebook_earns_all_points_and_its_results_are_seen_in_spite_of_the_hidden_line(
    started: Path, tmp_path: Path
) -> None:
    shutil.copy(started / "course" / "solutions" / "02_labels.ipynb", tmp_path)
    checked = check_notebook(tmp_path / "02_labels.ipynb")
    assert [(row.exercise, row.status, row.points) for row in checked.rows] == [("2.1", "passed", 10.0)]


def test_a_kernel_that_dies_is_named_at_once(tmp_path: Path) -> None:
    cells = notebook_of("1", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "2")
    run = run_notebook(cells, tmp_path, cell_seconds=300)
    assert run.trouble.startswith("cell 2 (cell-2): the kernel died")


def test_a_cell_that_takes_too_long_is_stopped_and_named(tmp_path: Path) -> None:
    run = run_notebook(notebook_of("1", "import time\ntime.sleep(300)", "2"), tmp_path, cell_seconds=1)
    assert run.trouble == "cell 2 (cell-2): took longer than 1 s and was stopped"


@pytest.mark.skipif(os.name == "nt", reason="signals are otherwise there")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ctrl_c_ends_the_kernel_and_the_program_without_a_traceback(tmp_path: Path, number: int, code: int) -> None:
    begun = tmp_path / "begun"
    cells = notebook_of("import os, pathlib, time\npathlib.Path('begun').write_text(str(os.getpid()))\ntime.sleep(300)")
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
    assert list(results(executed)) == [Row("2.1", "passed", 10.0, 10.0)]


def test_what_a_check_shows_is_what_comes_out(executed: dict[str, Any]) -> None:
    result = CheckResult("2.1", "failed", 4.0, "Look <there>.", None, [PropertyRow("a", True), PropertyRow("b", False)])
    cell_of(executed, "check-2-1")["outputs"] = [shown(result)]
    held = ({"name": "a", "held": True}, {"name": "b", "held": False})
    assert list(results(executed)) == [Row("2.1", "failed", 4.0, 10.0, "Look <there>.", held)]


def test_how_many_further_hints_were_asked_for_comes_out_with_the_result(executed: dict[str, Any]) -> None:
    result = CheckResult("2.1", "failed", 4.0, "Look.", further=FurtherHints("2.1", asked=2))
    cell_of(executed, "check-2-1")["outputs"] = [shown(result)]
    (row,) = results(executed)
    assert row.further_hints == 2
    assert "        further hints asked for: 2" in str(Checked("a.ipynb", (row,), 1.0)).splitlines()


@pytest.mark.parametrize("gone", [(), ("check-2-1",), ("exercise-2-1",), ("check-2-1", "exercise-2-1")])
def test_an_exercise_without_a_result_is_named_also_where_its_check_is_gone(
    executed: dict[str, Any], gone: tuple[str, ...]
) -> None:
    executed["cells"] = [cell for cell in executed["cells"] if cell["id"] not in gone]
    assert list(results(executed)) == [Row("2.1", "no result", 0.0, 10.0)]


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
    ],
)
def test_what_is_no_result_is_not_taken_for_one(executed: dict[str, Any], forged: object) -> None:
    cell_of(executed, "check-2-1")["outputs"] = [{"output_type": "display_data", "data": {MIME: forged}}]
    assert [row.status for row in results(executed)] == ["no result"]


def test_a_result_that_a_cell_of_text_carries_is_none(executed: dict[str, Any]) -> None:
    executed["cells"].append({"cell_type": "raw", "metadata": {}, "source": "", "id": "raw"})
    executed["cells"][-1]["outputs"] = [shown(CheckResult("2.1", "passed", 10.0))]
    assert [row.status for row in results(executed)] == ["no result"]


def test_nothing_of_an_earlier_run_is_left_to_be_counted(executed: dict[str, Any]) -> None:
    """Outputs and times that were saved with the notebook, and a tag by which Jupyter leaves a cell out."""
    check = cell_of(executed, "check-2-1")
    check["outputs"] = [shown(CheckResult("2.1", "passed", 10.0))]
    check["metadata"] |= {"execution": {"iopub.execute_input": "2026-01-01"}, "tags": ["skip-execution"]}
    before = json.dumps(executed)
    fresh = unrun(executed)
    assert json.dumps(executed) == before
    assert [row.status for row in results(fresh)] == ["no result"]
    assert not {"execution", "tags"} & cell_of(fresh, "check-2-1")["metadata"].keys()


def test_a_notebook_that_jupyter_trips_over_is_run_or_is_a_result(mine: Path) -> None:
    odd = read_notebook(mine / "02_labels.ipynb")
    odd["cells"][0]["metadata"]["tags"] = 5
    odd["cells"].append({"cell_type": "raw", "metadata": {}, "source": "", "id": "raw", "outputs": [1]})
    odd["cells"].append(code("print('\ud83d')"))
    (mine / "odd.ipynb").write_text(json.dumps(odd))
    found = check_notebook(mine / "odd.ipynb")
    assert "NotImplementedError" not in found.trouble and [row.status for row in found.rows] == ["not attempted"]


def test_the_words_of_a_notebook_command_no_terminal() -> None:
    said = str(
        Checked("a.ipynb", (Row("1.1", "passed\x1b[2J", 1.0, 10.0, "\x1b]0;x\x07Look."),), 1.0, "cell 1: \x9b31m")
    )
    assert all(character.isprintable() or character == "\n" for character in said) and "Look." in said


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
        left = iter(found)
        monkeypatch.setattr(checking, "check_notebook", lambda path, seconds: next(left))
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
    first, second = json.loads(said)
    assert code == 1
    assert (first["notebook"], first["points"], first["max_points"], first["ran"]) == ("a.ipynb", 12.9, 20.0, True)
    assert [row["hint"] for row in first["exercises"]] == ["", "Look at padding."]
    assert (second["ran"], second["trouble"]) == (False, "cell 2 (x): the kernel died")


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

"""Laws of what a user is told to go on: where something is missing, what to type, and how to leave."""

import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from labkit import cli, doctor
from labkit.course import commands, copies
from labkit.data import assets
from labkit.display import quoted
from labkit.errors import UsageError
from labkit.experiments.run_folder import RESULTS_FILE, RunError, read_json

AWKWARD = ["Lab 2026", "it's mine", "$HOME", "a;b", "käse", "-p"]
# A module that takes its time to load, and takes an interruption for a fault of its own.
LOADING = """
import sys, time
import labkit.__main__ as program
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "labkit.cli":
            print("loading", flush=True)
            try:
                time.sleep(60)
            except BaseException:
                raise ImportError("half loaded") from None
sys.meta_path.insert(0, Slow())
program.main()
"""


@pytest.mark.skipif(os.name == "nt", reason="sends a signal")
def test_ctrl_c_while_modules_load_ends_in_one_line() -> None:
    command = [sys.executable, "-c", LOADING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as loading:
        assert loading.stdout is not None and loading.stdout.readline() == "loading\n"
        loading.send_signal(signal.SIGINT)
        _, said = loading.communicate(timeout=60)
    assert (loading.returncode, said) == (130, "labkit: interrupted\n")


@pytest.mark.skipif(os.name == "nt", reason="Windows asks no HOME")
@pytest.mark.parametrize("home", ["~no such user/lab", None])
def test_without_a_home_folder_the_variable_that_names_another_is_told(
    home: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "LABKIT_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 5)
    if home:
        monkeypatch.setenv("LABKIT_HOME", home)
    with pytest.raises(UsageError, match="set LABKIT_HOME to a folder"):
        assets.home()
    findings = {finding.subject: finding for finding in doctor.examine(network=False)}
    assert "set LABKIT_HOME" in findings["cache"].remedy and "Jupyter" in findings


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_a_text_that_begins_with_a_hyphen_is_refused_with_the_way_to_give_it(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main([command, "--model", "folder", "-not a good film"])
    assert ended.value.code == 2 and "stands behind --" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cli.main([command, "--model", "no folder", "--", "-not a good film"])
    assert "no folder: no such model folder" in capsys.readouterr().err


@pytest.mark.skipif(os.name == "nt", reason="the rules of a POSIX shell")
@pytest.mark.parametrize("name", AWKWARD)
def test_a_printed_command_can_be_typed_as_it_stands(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert shlex.split(quoted(name)) == [name]
    folder = tmp_path / name
    monkeypatch.setattr(copies, "start", lambda folder, source: ["00"])
    monkeypatch.setattr(copies, "news", lambda folder, source: [])
    commands.start(folder)
    assert shlex.split(capsys.readouterr().out.partition("Open it: ")[2]) == ["labkit", "course", "open", str(folder)]
    with pytest.raises(RunError) as refused:
        read_json(folder / RESULTS_FILE)
    advised = str(refused.value).partition("; ")[2].removesuffix(" writes it again")
    assert shlex.split(advised) == ["labkit", "lab", "--output", str(folder)]

"""Laws of what the program says: it arrives whatever reads it, in any encoding, and the exit code tells how it went."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.cli import _texts

SAID = "café 😀 … \udce9"
# A command of the test's own stands for all: what they print goes out by the same way.
PROGRAM = f"""
from labkit import cli
from labkit.display import print_html, print_json, say
@cli.app.command
def speak(how: str):
    said = {SAID!r}
    both = lambda text: (say(text), print(text))
    ways = {{"text": print, "html": print_html, "json": lambda text: print_json([text]), "notice": say, "both": both}}
    ways[how](said)
@cli.app.command
def fail():
    from labkit.errors import UsageError
    raise UsageError("no such thing")
cli.main()
"""
WITHOUT_BUFFER = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
needs_a_full_disk = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
needs_a_shell = pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")


def program(*arguments: str, encoding: str = "utf-8") -> "subprocess.CompletedProcess[bytes]":
    environment = WITHOUT_BUFFER | {"PYTHONIOENCODING": encoding}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments], env=environment, capture_output=True, timeout=120
    )


def by_shell(tail: str, *arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """The program with its streams as the shell's `tail` says."""
    command = ["sh", "-c", f'"$@" {tail}', "sh", sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(command, env=WITHOUT_BUFFER, capture_output=True, timeout=120)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252", "latin-1", "ascii", "cp437"])
@pytest.mark.parametrize("how", ["text", "html", "json", "notice"])
def test_everything_is_printed_in_every_encoding(how: str, encoding: str) -> None:
    done = program("speak", how, encoding=encoding)
    assert done.returncode == 0 and b"Traceback" not in done.stderr
    printed = (done.stderr if how == "notice" else done.stdout).decode(encoding)
    if how == "json":
        assert json.loads(printed) == [SAID]
    elif encoding == "utf-8" or how != "html":
        assert printed.strip() == SAID.encode(encoding, "backslashreplace").decode(encoding)
    else:
        assert printed.strip() == "caf&#233; &#128512; &#8230; &#56553;"


@needs_a_shell
@pytest.mark.parametrize("arguments", [["speak", "text"], ["--help"], ["train", "--help"]])
def test_whoever_has_read_enough_is_no_fault(arguments: list[str]) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env=WITHOUT_BUFFER,
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=120,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, b"")


@needs_a_full_disk
def test_output_that_a_full_disk_does_not_take_is_a_failure_in_one_line() -> None:
    done = by_shell("> /dev/full", "speak", "text")
    assert done.returncode == 1
    assert done.stderr.decode().splitlines() == ["labkit: the output could not be written: No space left on device"]


@needs_a_shell
@pytest.mark.parametrize(("closed", "arguments", "code"), [
    ("2>&-", ["speak", "notice"], 0),
    ("2>&-", ["fail"], 2),
    (">&-", ["speak", "text"], 0),
    ("<&- >&- 2>&-", ["speak", "text"], 0),
])  # fmt: skip
def test_a_closed_stream_takes_no_other_streams_place(closed: str, arguments: list[str], code: int) -> None:
    done = by_shell(closed, *arguments)
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


@needs_a_full_disk
@pytest.mark.parametrize(("arguments", "code", "printed"), [
    (["speak", "both"], 0, f"{SAID}\n".encode("utf-8", "backslashreplace")),
    (["fail"], 2, b""),
])  # fmt: skip
def test_a_notice_that_cannot_be_written_ends_no_command(arguments: list[str], code: int, printed: bytes) -> None:
    done = by_shell("2> /dev/full", *arguments)
    assert (done.returncode, done.stdout) == (code, printed)


def test_bytes_of_a_text_that_are_no_utf_8_are_replaced() -> None:
    assert _texts(["un tr\udce8s bon film", "caf\u00e9"], None) == ["un tr\ufffds bon film", "caf\u00e9"]

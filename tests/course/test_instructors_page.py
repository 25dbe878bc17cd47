"""What docs/instructors.md shows is what happens: its example, copied from the page, runs from the first line to the last."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from labkit.checks.courses import SETTING
from labkit.checks.trial import HINTED, SEEDS
from labkit.course.findings import SEEDS as LINT_SEEDS
from labkit.course.lint import CLOSING_CELLS, MOST_CODE_LINES, OPENING_CELLS, USUAL_CODE_LINES, USUAL_WORDS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "instructors.md").read_text("utf-8")


@pytest.mark.skipif(os.name == "nt", reason="the page is written for a shell")
def test_the_example_on_the_page_runs_as_it_is_copied(tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    program = tmp_path / "bin" / "labkit"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m labkit "$@"\n')
    (tmp_path / "bin" / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for path in program.parent.iterdir():
        path.chmod(0o755)
    (tmp_path / "work").mkdir()
    environment = {name: value for name, value in os.environ.items() if name != SETTING}
    environment |= {"PATH": os.pathsep.join([str(program.parent), environment["PATH"]])}
    script = (
        "set -eu\n"
        + "\n".join(blocks)
        + '\ncd ../my-course\npython -c "\n'
        + ("from labkit.checks import check; print(check('1.1', lambda left, right: left + right).hint)\"\n")
    )
    done = subprocess.run(
        ["sh", "-c", script], cwd=tmp_path / "work", env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout.splitlines()
    assert "notebooks/01_merging.ipynb" in done.stdout and "solutions/01_merging.ipynb" in done.stdout
    assert "exercise 1.1: keeps the laws of every check, with 200 seeds" in said
    assert re.findall(r"^tests/answers/\w+\.py: (\w+), \w+: (\w+, [\d.]+) of 10 points", done.stdout, re.MULTILINE) == [
        ("with_heapq", "passed, 10"),
        ("sorts", "passed, 10"),
        ("forgets_the_rest", "failed, 0"),
        ("changes_its_arguments", "failed, 8.8"),
    ]
    assert "nothing to mend" in said and said[-1].startswith("You put one list behind the other.")


def test_what_the_lint_wants_is_written_as_it_is() -> None:
    wants = " ".join(PAGE[PAGE.index("### What the lint wants") :].split())
    numbers = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight"]
    for said in (
        f"within its first {numbers[OPENING_CELLS]} cells",
        f"within its last {numbers[CLOSING_CELLS]}",
        f"at most {MOST_CODE_LINES} lines outside exercises",
        f"{USUAL_CODE_LINES.start} to {USUAL_CODE_LINES.stop - 1}",
        f"{USUAL_WORDS.start} to {USUAL_WORDS.stop - 1} words",
        f"with {numbers[LINT_SEEDS]} seeds",
    ):
        assert said in wants, said
    assert f"with {SEEDS} seeds of the fresh cases" in PAGE and HINTED <= SEEDS


def test_every_key_of_course_toml_is_on_the_page() -> None:
    from dataclasses import fields

    from labkit.checks.courses import Course

    keys = re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE)
    assert keys == [one.name for one in fields(Course) if one.name != "root"]

"""Run what CI runs, in order, until something fails.

Style, types, every notebook, then doctests and tests.
    .venv/bin/python scripts/check.py [--lint] [what pytest should get, such as tests/data/test_tokens.py -k name]

`make test` sets up first and then runs this, with the Python of .venv, which must have the extra `test`. With something
for pytest the notebooks are left out; scripts/run_notebooks.py runs them alone.
"""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LINT = [["ruff", "check"], ["ruff", "format", "--check"], ["mypy"]]
NOTEBOOKS = ["scripts.run_notebooks"]  # before the tests, so that the last line is that of the tests
PYTEST = ["pytest", "-n", "2", "--dist", "loadfile"]  # a module's fixtures stay on one worker


def main(arguments: list[str]) -> int:
    """The exit code of the first command that failed, or 0."""
    tests = [[*PYTEST, *arguments]] if arguments else [NOTEBOOKS, PYTEST]
    commands = LINT if arguments == ["--lint"] else [*LINT, *tests]
    # nbgrader calls its alembic by name, so the folder of this Python's programs has to be on the path.
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
    }
    for command in commands:
        print(f"$ {' '.join(command)}", flush=True)
        code = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, env=environment).returncode
        if code != 0:
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

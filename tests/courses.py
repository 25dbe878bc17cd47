"""A course of two small lessons for the tests: its masters, and what students do to its notebooks."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labkit.checks.courses import Course, read_course
from labkit.course.notebooks import read_notebook

KNOWN = ("0.1", "1.3", "2.1")
COURSE = 'title = "Reviews"\npackage = "labkit.lessons"\n'
STUB = "    # YOUR CODE HERE\n    raise NotImplementedError()"

LENGTHS = '''\
# ---
# title: How long a review is
# minutes: 5
# ---

# %% [markdown]
# # How long a review is
#
# Afterwards you will be **able to** choose a `max_length`. You need lesson 00 and 5 minutes, and any profile.

# %% name="start"
from labkit.checks import check
from labkit.widgets import outcome, predict, reflection

lengths = [3, 5, 8, 13]

# %% name="guess"
predict("01-longest", "Which is the longest?", ["3", "13"])
print("asked")

# %% exercise="1.3"
def smallest_max_length(lengths, coverage):
    """The smallest integer L such that at least the fraction `coverage` of `lengths` is <= L."""
    ### BEGIN SOLUTION
    ordered = sorted(lengths)
    enough = (length for length in ordered if sum(x <= length for x in lengths) >= coverage * len(lengths) - 1e-9)
    return next(enough)
    ### END SOLUTION

# %% check="1.3"
result = check("1.3", smallest_max_length)
result

# %%
longest = max(lengths)
outcome("01-longest", longest, "The maximum is the longest of all.")

# %% [markdown]
# To take away: one long review makes all others in its batch longer, and that is what a `max_length` is for.

# %%
reflection("01-think", "What did you learn?")

# %% [markdown]
# Next: [labels](02_labels.ipynb), where ratings of many people become the label that a model is to predict.
'''

LABELS = '''\
# ---
# title: Labels
# minutes: 5
# ---

# %% [markdown]
# # Labels
#
# Afterwards you will be **able to** tell a label. You need lesson 01 and 5 minutes, and any profile.

# %%
from labkit.checks import check

# %% exercise="2.1"
def rating_to_label(rating, neutral_band=0.5):
    """None where abs(rating) < neutral_band or the rating is NaN, else 1 for positive and 0 for negative."""
    ### BEGIN SOLUTION
    if not abs(rating) >= neutral_band:
        return None
    return 1 if rating > 0 else 0
    ### END SOLUTION

# %% check="2.1"
result = check("2.1", rating_to_label)
result
'''

PAGE = "# The lessons\n\n[01](01_lengths.ipynb), [02](02_labels.ipynb)\n"


def write_course(root: Path, masters: dict[str, str] | None = None) -> Course:
    """The masters of a course in a folder; nothing is built yet."""
    (root / "solutions").mkdir(parents=True)
    (root / "notebooks").mkdir()
    (root / "course.toml").write_text(COURSE, "utf-8")
    (root / "notebooks" / "README.md").write_text(PAGE, "utf-8")
    for name, text in (masters or {"01_lengths": LENGTHS, "02_labels": LABELS}).items():
        (root / "solutions" / f"{name}.py").write_text(text, "utf-8")
    return read_course(root)


def every_notebook(course: Course) -> dict[str, bytes]:
    """By path below the course what each of its notebooks holds."""
    paths = [*course.solutions.glob("*.ipynb"), *course.notebooks.glob("*.ipynb")]
    return {path.relative_to(course.root).as_posix(): path.read_bytes() for path in paths}


def code(source: str, name: str = "own") -> dict[str, Any]:
    """A cell of code."""
    return {"cell_type": "code", "id": name, "metadata": {}, "source": source, "outputs": [], "execution_count": None}


def notebook_of(*sources: str) -> dict[str, Any]:
    """A notebook of these cells of code."""
    cells = [code(source, f"cell-{number}") for number, source in enumerate(sources, start=1)]
    return {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}


def cell_of(notebook: dict[str, Any], name: str) -> dict[str, Any]:
    """The cell of that id."""
    (found,) = [cell for cell in notebook["cells"] if cell["id"] == name]
    return found


def work_in(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a notebook on the disk as a student would, who saves it with Jupyter."""
    notebook = read_notebook(path)
    change(notebook)
    path.write_text(json.dumps(notebook, indent=1), "utf-8")


def answer(exercise: str, body: str) -> Callable[[dict[str, Any]], None]:
    """What puts these lines in place of an exercise's stub."""

    def change(notebook: dict[str, Any]) -> None:
        cell = cell_of(notebook, f"exercise-{exercise.replace('.', '-')}")
        assert STUB in cell["source"]
        cell["source"] = cell["source"].replace(STUB, body)

    return change


def run_nbgrader(folder: Path, *arguments: str) -> str:
    """Run the real nbgrader in its own course folder, with nobody's settings but that folder's; what it said."""
    programs = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # it calls alembic by name
    own = {"JUPYTER_CONFIG_DIR": str(folder / "config"), "IPYTHONDIR": str(folder / "ipython"), "PATH": programs}
    command = [sys.executable, "-m", "nbgrader", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=os.environ | own, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr

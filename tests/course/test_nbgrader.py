"""Laws of nbgrader's part, with the real nbgrader: what it releases is what labkit builds, its points are the checks'."""

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from checking import judged
from courses import STUB, cell_of, code, run_nbgrader, work_in, write_course

from labkit.checks import exercise
from labkit.checks.courses import Course
from labkit.course.build import build
from labkit.course.notebooks import read_notebook
from labkit.course.submissions import collect

EXERCISES = {"1.1": "wordpiece(word, vocab, unk='[UNK]', prefix='##')", "1.2": "encode(texts, tokenizer, max_length)"}
EXERCISES["1.3"] = "smallest_max_length(lengths, coverage)"
RIGHT = """\
    pieces, start = [], ""
    while word:
        end = next((n for n in range(len(word), 0, -1) if start + word[:n] in vocab), 0)
        if not end:
            return [unk]
        pieces, word, start = [*pieces, start + word[:end]], word[end:], prefix
    return pieces"""
PART = (
    "    return float(sorted(lengths)[max(1, __import__('math').ceil(coverage * len(lengths) - 1e-9)) - 1])"  # no int
)
WRONG = "    return max(lengths)"
LESSON = "01_tokenization"


def master() -> str:
    """A lesson of all three exercises, one after another."""
    text = "# ---\n# title: Tokenization\n# minutes: 5\n# ---\n\n# %%\nfrom labkit.checks import check\n"
    for name, signature in EXERCISES.items():
        text += f'\n# %% exercise="{name}"\ndef {signature}:\n    """As asked."""\n'
        text += "    ### BEGIN SOLUTION\n    return 1\n    ### END SOLUTION\n"
        text += f'\n# %% check="{name}"\nresult = check("{name}", {signature.partition("(")[0]})\nresult\n'
    return text


@pytest.fixture(scope="module")
def course(tmp_path_factory: pytest.TempPathFactory) -> Course:
    course = write_course(tmp_path_factory.mktemp("course") / "course", {LESSON: master()})
    build(course)
    return course


@pytest.fixture(scope="module")
def grading(course: Course, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An instructor's folder of nbgrader in which the assignment has been generated."""
    folder = tmp_path_factory.mktemp("nbgrader") / "grading"
    hand_ins(folder).mkdir()
    collect(course, hand_ins(folder), folder)
    run_nbgrader(folder, "generate_assignment", LESSON, "--create")
    return folder


def hand_ins(grading: Path) -> Path:
    return grading.parent / "hand-ins"


def hand_in(course: Course, grading: Path, student: str) -> Path:
    """Put the student's notebook, as labkit releases it, where it is collected; its path."""
    folder = hand_ins(grading) / student
    folder.mkdir(parents=True)
    return Path(shutil.copy(course.notebooks / f"{LESSON}.ipynb", folder))


def answer(path: Path, name: str, body: str) -> None:
    def change(notebook: dict[str, Any]) -> None:
        cell = cell_of(notebook, f"exercise-{name.replace('.', '-')}")
        cell["source"] = cell["source"].replace(STUB, body)

    work_in(path, change)


def points_of(name: str, body: str) -> float:
    """What the check gives for this answer."""
    space: dict[str, Any] = {}
    exec(f"def {EXERCISES[name]}:\n{body}", space)
    return judged(exercise(name), space[EXERCISES[name].partition("(")[0]]).points


def graded(grading: Path) -> dict[str, dict[str, float]]:
    """By student and exercise the points in nbgrader's gradebook, as it exports them and as its database has them."""
    from nbgrader.api import Gradebook

    found: dict[str, dict[str, float]] = {}
    with Gradebook(f"sqlite:///{grading / 'gradebook.db'}") as gradebook:
        for submission in gradebook.assignment_submissions(LESSON):
            grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
            assert not any(grade.needs_manual_grade for grade in grades)
            assert {grade.max_score for grade in grades} == {10}
            by_exercise = {grade.name.removeprefix("check-").replace("-", "."): grade.auto_score for grade in grades}
            found[submission.student.id] = by_exercise
    return found


def test_what_nbgrader_releases_is_byte_for_byte_what_labkit_builds(course: Course, grading: Path) -> None:
    ours = course.notebooks / f"{LESSON}.ipynb"
    theirs = grading / "release" / LESSON / ours.name
    assert read_notebook(theirs)["cells"] == read_notebook(ours)["cells"]
    assert theirs.read_bytes() == ours.read_bytes()


def test_nbgrader_gives_the_points_of_the_checks_and_warns_of_nothing_but_what_was_changed(
    course: Course, grading: Path
) -> None:
    """An honest student with a right, an untouched and a nearly right answer; one who changes checks and takes names away; one
    whose notebook nbgrader would stop at.
    """
    honest, tamperer, spoiled = (hand_in(course, grading, name) for name in ("honest", "tamperer", "spoiled"))
    for path in (honest, spoiled):
        answer(path, "1.1", RIGHT)
        answer(path, "1.3", PART)
    answer(tamperer, "1.2", WRONG)
    answer(tamperer, "1.3", WRONG)

    def tamper(notebook: dict[str, Any]) -> None:
        cell_of(notebook, "check-1-1")["source"] = "10.0"
        cell_of(notebook, "check-1-3")["metadata"]["nbgrader"]["points"] = 100
        notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] != "check-1-2"]
        notebook["cells"].append(code("10.0", "mine"))
        notebook["cells"].insert(1, code("float = check = result = print = display = lambda *a, **k: None", "names"))

    def spoil(notebook: dict[str, Any]) -> None:
        gone = ("exercise-1-2", "check-1-2")
        notebook["cells"] = [cell for cell in notebook["cells"] if cell["id"] not in gone]
        notebook["cells"].append(copy.deepcopy(cell_of(notebook, "check-1-1")) | {"id": "pasted"})
        del cell_of(notebook, "check-1-3")["metadata"]["nbgrader"]["schema_version"]
        cell_of(notebook, "exercise-1-3")["metadata"] = {}

    work_in(tamperer, tamper)
    work_in(spoiled, spoil)
    collected = collect(course, hand_ins(grading), grading)
    assert [line.partition(": ")[0] for line in collected.taken] == [
        f"{name}, {LESSON}" for name in ("honest", "spoiled", "tamperer")
    ]
    said = run_nbgrader(grading, "autograde", LESSON)
    part = points_of("1.3", PART)
    assert 0 < part < 10 and points_of("1.1", RIGHT) == 10 and points_of("1.3", WRONG) == 0
    assert graded(grading) == {
        "honest": {"1.1": 10.0, "1.2": 0.0, "1.3": part},
        "spoiled": {"1.1": 10.0, "1.2": 0.0, "1.3": part},
        "tamperer": {"1.1": 0.0, "1.2": 0.0, "1.3": 0.0},
    }
    by_student = {part.partition("'")[0]: part for part in said.split("student with ID '")[1:]}
    warned = {name: re.findall(r"has changed|exist|issing grade", text) for name, text in by_student.items()}
    assert (warned["honest"], warned["spoiled"]) == ([], []) and warned["tamperer"], said
    executed = json.loads((grading / "autograded" / "honest" / LESSON / f"{LESSON}.ipynb").read_bytes())
    shown = [cell_of(executed, f"check-1-{n}")["outputs"][-1]["data"] for n in (1, 2, 3)]
    assert ["".join(data["text/plain"]) for data in shown] == ["10.0", "0.0", str(part)], "or nbgrader gives full marks"
    assert "Hint" in "".join(shown[2]["text/html"]), "which is what a student reads in the feedback"

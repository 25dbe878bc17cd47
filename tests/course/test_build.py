"""Laws of building: the same master gives the same notebooks, what a student gets holds nothing of the solution."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from courses import KNOWN, LABELS, LENGTHS, STUB, cell_of, every_notebook, work_in, write_course

from labkit.checks import CheckResult, verdict
from labkit.checks.courses import SETTING, Course, checkout
from labkit.cli import main
from labkit.course import commands
from labkit.course.build import build, drift, masters
from labkit.course.masters import read_master
from labkit.course.notebooks import PAGE, read_notebook
from labkit.errors import UsageError


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """Read it, do not write to it."""
    course = write_course(tmp_path_factory.mktemp("course") / "course")
    build(course)
    return course


@pytest.fixture
def course(built: Course, tmp_path: Path) -> Course:
    """A built course to change."""
    return Course(Path(shutil.copytree(built.root, tmp_path / "mine")))


def test_every_master_gives_two_notebooks(built: Course) -> None:
    lessons = ("01_lengths", "02_labels")
    assert set(every_notebook(built)) == {
        f"{folder}/{lesson}.ipynb" for folder in ("notebooks", "solutions") for lesson in lessons
    }


def test_building_twice_writes_nothing(course: Course) -> None:
    before = {path: path.stat().st_mtime_ns for path in course.root.rglob("*.ipynb")}
    assert build(course) == []
    assert {path: path.stat().st_mtime_ns for path in course.root.rglob("*.ipynb")} == before


def test_another_process_elsewhere_with_other_hashes_builds_the_same_bytes(built: Course, tmp_path: Path) -> None:
    clone = write_course(tmp_path / "another place")
    code = f"from pathlib import Path; from labkit.course.build import *;build(Course(Path({str(clone.root)!r})))"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "LC_ALL": "C", "TZ": "Asia/Tokyo"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=120)
    assert every_notebook(clone) == every_notebook(built)


def test_windows_line_ends_in_a_master_change_nothing(built: Course, tmp_path: Path) -> None:
    clone = write_course(tmp_path / "clone")
    for path in clone.solutions.glob("*.py"):
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    build(clone)
    assert every_notebook(clone) == every_notebook(built)


def test_notebooks_are_written_as_jupyter_writes_them(built: Course) -> None:
    import nbformat

    for name, content in every_notebook(built).items():
        assert nbformat.writes(nbformat.reads(content.decode(), as_version=4)) + "\n" == content.decode(), name
        nbformat.validate(json.loads(content))


def test_a_cell_keeps_its_id_wherever_it_moves_and_one_that_changes_does_not(tmp_path: Path) -> None:
    def ids(text: str) -> dict[str, str]:
        path = tmp_path / "02_labels.py"
        path.write_text(text, "utf-8")
        return {cell.source: cell.id for cell in read_master(path, KNOWN).cells}

    twins = "\n# %%\nprint(1)\n\n# %%\nprint(2)\n"
    before, moved = ids(LABELS + twins), ids(LABELS + "\n# %%\nprint(2)\n\n# %%\nprint(0)\n\n# %%\nprint(1)\n")
    assert before.items() <= moved.items()
    assert len(set(moved.values())) == len(moved)


def test_cells_with_the_same_content_have_ids_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "02_labels.py"
    path.write_text(LABELS + "\n# %%\nprint(1)\n" * 3, "utf-8")
    ids = [cell.id for cell in read_master(path, KNOWN).cells]
    assert len(set(ids)) == len(ids)


def test_a_student_sees_the_stub_and_neither_solution_nor_hidden_test_nor_mark(built: Course) -> None:
    student = (built.notebooks / "01_lengths.ipynb").read_text("utf-8")
    for hidden in ("enough", "next(", "float(", "SOLUTION", "HIDDEN"):
        assert hidden not in student
    assert cell_of(json.loads(student), "exercise-1-3")["source"][-2:] == STUB.splitlines(keepends=True)
    for cell in json.loads(student)["cells"]:
        assert cell.get("outputs", []) == [] and cell.get("execution_count") is None


def test_a_solution_notebook_keeps_every_mark(built: Course) -> None:
    solution = (built.solutions / "01_lengths.ipynb").read_text("utf-8")
    assert [solution.count(mark) for mark in ("BEGIN SOLUTION", "END SOLUTION")] == [1, 1]


@pytest.mark.parametrize("hidden", ["", "### BEGIN HIDDEN TESTS\nfloat(result.points)\n### END HIDDEN TESTS\n"])
def test_a_check_takes_no_name_that_another_cell_can_rebind_but_the_answer(tmp_path: Path, hidden: str) -> None:
    """Also that of a master with the hidden line in which every check had to end before."""
    course = write_course(tmp_path / "course", {"02_labels": LABELS.rstrip() + f"\n{hidden}"})
    build(course)
    for folder in (course.solutions, course.notebooks):
        tree = ast.parse(cell_of(read_notebook(folder / "02_labels.ipynb"), "check-2-1")["source"])
        names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
        bound = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        bound |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
        assert {node.id for node in names} - bound == {"rating_to_label"}
        assert ast.unparse(tree.body[-1]) == "result"


def test_the_result_of_a_check_is_a_number_to_nbgrader_and_a_text_to_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = CheckResult("2.1", "failed", np.float64(8.6), "Look.")
    assert result._repr_mimebundle_()["text/plain"] == str(result)
    monkeypatch.setattr(verdict, "in_notebook", lambda: True)
    assert result._repr_mimebundle_()["text/plain"] == "8.6" and "Look." in result._repr_mimebundle_()["text/html"]


def test_a_student_may_change_the_answer_and_not_the_check(built: Course) -> None:
    notebook = read_notebook(built.notebooks / "02_labels.ipynb")
    answer, check = (cell_of(notebook, name)["metadata"] for name in ("exercise-2-1", "check-2-1"))
    assert answer["deletable"] is False and "editable" not in answer
    assert (check["deletable"], check["editable"], check["nbgrader"]["points"]) == (False, False, 10)


def test_the_warm_up_of_lesson_00_earns_nothing(tmp_path: Path) -> None:
    text = LABELS.replace("2.1", "0.1")
    course = write_course(tmp_path / "course", {"00_map": text})
    build(course)
    check = cell_of(read_notebook(course.notebooks / "00_map.ipynb"), "check-0-1")
    assert "nbgrader" not in check["metadata"]


# Drift


def test_what_was_just_built_has_not_drifted(built: Course) -> None:
    assert drift(built) == []


def test_drift_names_notebook_and_cell(course: Course) -> None:
    path = course.notebooks / "01_lengths.ipynb"
    work_in(path, lambda notebook: cell_of(notebook, "guess").update(source="predict()"))
    assert drift(course) == ["notebooks/01_lengths.ipynb: cell 3 (guess) differs from the master"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda notebook: notebook["cells"].pop(), "is missing"),
        (lambda notebook: notebook["cells"].append(notebook["cells"][0] | {"id": "x"}), "cell 5 is not in the master"),
        (lambda notebook: notebook["metadata"].update(labkit={}), "its metadata or layout differ"),
        (lambda notebook: notebook["cells"][1].update(execution_count=3), "cell 2"),
        (lambda notebook: notebook["cells"][3]["metadata"].clear(), r"cell 4 \(check-2-1\) differs"),
        (lambda notebook: notebook["cells"].reverse(), "cell 1"),
    ],
)
def test_every_kind_of_drift_is_found(course: Course, change: object, said: str) -> None:
    work_in(course.solutions / "02_labels.ipynb", change)  # type: ignore[arg-type]
    (found,) = drift(course)
    assert found.startswith("solutions/02_labels.ipynb: ")
    with pytest.raises(AssertionError, match=said):
        raise AssertionError(found)


def test_a_missing_a_damaged_and_a_stray_notebook_have_drifted(course: Course) -> None:
    (course.notebooks / "01_lengths.ipynb").unlink()
    (course.solutions / "01_lengths.ipynb").write_text("{", "utf-8")
    shutil.copy(course.notebooks / "02_labels.ipynb", course.notebooks / "09_old.ipynb")
    stray, damaged, missing = sorted(drift(course), key=lambda line: ("old" not in line, "is not there" in line))
    assert stray == "notebooks/09_old.ipynb: no master gives it"
    assert damaged.startswith("solutions/01_lengths.ipynb: ") and "is no notebook" in damaged
    assert missing == "notebooks/01_lengths.ipynb: is not there"


def test_a_changed_master_drifts_until_it_is_built(course: Course) -> None:
    path = course.solutions / "01_lengths.py"
    path.write_text(LENGTHS.replace('print("asked")', 'print("asked you")'), "utf-8")
    assert {line.partition(": cell ")[0] for line in drift(course)} == {
        "notebooks/01_lengths.ipynb",
        "solutions/01_lengths.ipynb",
    }
    assert [path.name for path in build(course)] == ["01_lengths.ipynb"] * 2
    assert drift(course) == []


def test_the_command_builds_checks_and_ends_with_1_on_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    course = write_course(tmp_path / "course")

    def run(*options: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            main(["course", "build", "--root", str(course.root), *options])
        return ended.value.code, capsys.readouterr().out

    assert run("--check")[0] == 1
    assert run()[0] == 0
    assert run("--check") == (0, "every notebook is what its master gives\n")
    work_in(course.notebooks / "02_labels.ipynb", lambda notebook: notebook["cells"][1].update(source="pass"))
    code, said = run("--check")
    assert code == 1 and "notebooks/02_labels.ipynb: cell 2" in said
    assert run() == (0, f"{course.notebooks / '02_labels.ipynb'}\n")


def page_of(course: Course) -> str:
    return (course.notebooks / PAGE).read_text("utf-8")


def test_the_list_of_lessons_is_built_from_the_masters(course: Course) -> None:
    (course.notebooks / PAGE).unlink()
    assert drift(course) == ["notebooks/README.md: is not there"]
    assert build(course) == [course.notebooks / PAGE] and drift(course) == build(course) == []
    assert "# labkit's own course: the lessons\n" in page_of(course)
    assert "| 02 | [Labels](02_labels.ipynb) | 5 | 5 |\n" in page_of(course)
    master = course.solutions / "02_labels.py"
    master.write_text(
        LABELS.replace("title: Labels", "title: P(x|y)").replace("minutes: 5", "minutes: 60\n# further: 5"), "utf-8"
    )
    assert "notebooks/README.md: is not what the masters and lessons.md give" in drift(course)
    build(course)
    assert "| 02 | [P(x&#124;y)](02_labels.ipynb) | 60 | 65 |\n" in page_of(course)


def test_the_words_around_the_list_of_lessons_are_the_courses_own_if_it_has_some(course: Course) -> None:
    (course.root / "lessons.md").write_text("# $title for $$5\n\n$lessons\n", "utf-8")
    build(course)
    assert "# labkit's own course for $5\n\n| 01 | [How long a review is](01_lengths.ipynb) | 5 | 5 |\n" in page_of(
        course
    )
    for odd in (b"$titel", b"costs $ 5", b"\xff"):
        (course.root / "lessons.md").write_bytes(odd)
        with pytest.raises(
            UsageError, match=r"lessons\.md: .*; there are \$lessons, \$title, and \$\$ for the sign itself"
        ):
            build(course)


def test_a_list_of_lessons_that_was_written_by_hand_stays(course: Course) -> None:
    page_of_ones_own = "# Mine\n"
    (course.notebooks / PAGE).write_text(page_of_ones_own, "utf-8")
    assert build(course) == drift(course) == [] and page_of(course) == page_of_ones_own


@pytest.mark.parametrize("page", ["labkit/course/lessons.md", "lessons.md"])
def test_the_list_of_lessons_names_nothing_that_does_not_work_in_a_copy(page: str) -> None:
    from labkit.cli import app

    text = (checkout() / page).read_text("utf-8")
    said = re.findall(r"`([^`]+)`", text)
    commands = [span.split() for span in said if span.startswith("labkit ")]
    assert len(commands) >= 4 and not [span for span in said if re.match(r"make|git|python|\.", span)]
    for _, *words in commands:
        wanted = words[: 1 + (words[0] == "course")]
        assert list(app.parse_commands(wanted)[0]) == wanted
    assert "](" not in text, "a copy has its lessons alone to link to"


def test_who_stands_in_another_folder_than_the_courses_is_told_which_it_is(
    built: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def served(folder: Path, root: Path | None = None) -> tuple[Path, str]:
        monkeypatch.chdir(folder)
        return commands._course(root).root, capsys.readouterr().err

    def told(root: Path) -> str:
        return f"labkit: you stand outside the course that is served here, {root}\n"

    monkeypatch.delenv(SETTING, raising=False)
    for inside in (built.root, built.solutions):
        assert served(inside) == (built.root, "")
    assert served(tmp_path) == (checkout(), told(checkout()))
    assert served(tmp_path, built.root) == (built.root, "")
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / "01_lengths.py").write_text(LENGTHS, "utf-8")
    for place in (tmp_path, tmp_path / "solutions"):
        with pytest.raises(UsageError, match=rf"^{tmp_path} has masters and no course\.toml; wanted that file"):
            served(place)
    other = write_course(tmp_path / "other")
    assert served(other.root) == (other.root, "")
    monkeypatch.setenv(SETTING, str(built.root))
    assert served(other.root) == (built.root, told(built.root))


def test_one_odd_master_and_nothing_is_written(course: Course) -> None:
    before = every_notebook(course)
    (course.solutions / "01_lengths.py").write_text(LENGTHS.replace('print("asked")', "print()"), "utf-8")
    (course.solutions / "02_labels.py").write_text(LABELS.replace("# minutes: 5\n", ""), "utf-8")
    with pytest.raises(UsageError, match=r"02_labels\.py line 1: .*minutes"):
        build(course)
    assert every_notebook(course) == before


def test_the_exercises_that_may_be_asked_for_are_those_that_have_a_check(course: Course) -> None:
    assert [master.lesson for master in masters(Course(course.root))] == ["01", "02"]
    path = course.solutions / "02_labels.py"
    path.write_text(LABELS.replace('"2.1"', '"2.17"'), "utf-8")
    with pytest.raises(UsageError, match=r"the course has no exercise '2\.17'; did you mean 2\.1"):
        masters(Course(course.root))


def test_a_folder_without_masters_is_told_what_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no masters"):
        build(Course(tmp_path))

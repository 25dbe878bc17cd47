"""Laws of `labkit course lint`: a good course has no finding, and what is wrong in it is named with its place."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from courses import work_in
from second_course import copy_course, fresh_imports

from labkit.checks.courses import SETTING, Course, read_course
from labkit.cli import main
from labkit.course.build import build
from labkit.course.findings import drawing, findings
from labkit.course.masters import MasterError
from labkit.errors import UsageError


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the second course with its notebooks; read it only."""
    course = copy_course(tmp_path_factory.mktemp("second") / "sorting-course")
    build(course)
    return course.root


@pytest.fixture
def course(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Course]:
    """The course to change, in whose folder one stands."""
    monkeypatch.delenv(SETTING, raising=False)
    root = Path(shutil.copytree(built, tmp_path / "sorting-course"))
    monkeypatch.chdir(root)
    with fresh_imports():
        yield read_course(root)


def edit(course: Course, name: str, old: str, new: str) -> None:
    """Change a file of the course, and build what hangs on it."""
    path = course.root / name
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new), "utf-8")
    build(course)


MERGE, MASTER = "sorting/exercises/merging/merge.py", "solutions/02_merging.py"
OPENING = "from labkit.checks import check\nfrom labkit.widgets import reflection\n"
CHANGES = {
    "a part that is missing": (
        MASTER,
        "## Take with you",
        "## Well",
        "notebooks/02_merging.ipynb: the closing lacks takeaways",
    ),
    "a dead link": (MASTER, "01_searching.ipynb", "00_map.ipynb", "links to 00_map.ipynb, which is not there"),
    "a name that is not public": (
        MASTER,
        OPENING,
        OPENING + "from labkit.data.reviews import normalise\n",
        "takes labkit.data.reviews, which is not public",
    ),
    "a solution that is given away": (
        MASTER,
        "# what happens when one list is empty.",
        "# what happens when one list is empty.\n#\n# ```\n#         merged.append(left[first])\n#         first += 1\n# ```",
        "notebooks/02_merging.ipynb: gives a solution away, cell exercise-2-1: merged.append(left[first]) / first += 1",
    ),
    "a picture without words": (MASTER, OPENING, OPENING + "print(1)\nax.plot([1])\n", "draws without figure(...)"),
    "a place to fill in": (
        MASTER,
        "## Two become one",
        "## TODO",
        "solutions/02_merging.py: still has a TODO on line 27",
    ),
    "a check to fill in": (
        MERGE,
        "two sorted lists become",
        "TODO",
        "exercises/merging/merge.py: exercise 2.1: still has a TODO on",
    ),
    "an observer to fill in": (
        "sorting/observers/merging.py",
        "lists of numbers",
        "TODO",
        "observers/merging.py: still has a TODO on line 1",
    ),
    "a law that is broken": (MERGE, "core=True", "core=False", "merge.py: exercise 2.1: no property is core"),
    "a check that lets a wrong answer pass": (
        MERGE,
        "            _zipped,",
        "            merge_reference,",
        "exercise 2.1: the wrong answer 'turn by turn': passed with 3 seeds",
    ),
    "an exercise that cannot be imported": (MERGE, "EXERCISE =", "1 / 0\nEXERCISE =", "2.1: "),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_wrong_in_a_course_is_found_with_its_place(course: Course, change: str) -> None:
    name, old, new, said = CHANGES[change]
    edit(course, name, old, new)
    found = findings(course)
    assert any(said in line for line in found), found
    assert findings(course, "01") == [] or "observers" in said


def test_an_exercise_that_no_lesson_asks_for_and_one_that_lies_apart_are_found(course: Course) -> None:
    merging = course.package_folder / "exercises" / "merging"
    text = (merging / "insertion_sort.py").read_text("utf-8")
    (merging / "heap_sort.py").write_text(text.replace('"2.2"', '"2.3"'), "utf-8")
    assert findings(course) == ["exercises/merging/heap_sort.py: exercise 2.3: no lesson asks for it"]
    (merging / "heap_sort.py").rename(merging.parent / "searching" / "heap_sort.py")
    assert any(
        "heap_sort.py: exercise 2.3 lies apart from those of its lesson, in " in line for line in findings(course)
    )


def test_drift_and_outputs_are_found_without_a_build(course: Course) -> None:
    work_in(course.notebooks / "01_searching.ipynb", lambda notebook: notebook["cells"][4].update(execution_count=3))
    found = findings(course)
    assert "notebooks/01_searching.ipynb: cell 5" in found[0] and "differs from the master" in found[0]
    assert any("has an output" in line for line in found)
    assert findings(course, "02_merging") == []
    (course.notebooks / "01_searching.ipynb").write_text("{")
    assert [line for line in findings(course) if "01_searching" in line] == [
        line for line in findings(course) if "is no notebook" in line
    ]


def test_an_unknown_lesson_and_an_odd_master_are_wrong_use(course: Course) -> None:
    with pytest.raises(UsageError, match=r"Sorting has no lesson '02_meging'; there are .*; did you mean 02_merging\?"):
        findings(course, "02_meging")
    with (course.solutions / "01_searching.py").open("a") as file:
        file.write("\n# %% exercise=3\n")
    with pytest.raises(MasterError, match=r"01_searching\.py line \d+"):
        findings(course)


def test_the_command_ends_with_1_where_something_is_to_be_mended(
    course: Course, capsys: pytest.CaptureFixture[str]
) -> None:
    def lint(*arguments: str) -> tuple[object, str]:
        with pytest.raises(SystemExit) as ended:
            main(["course", "lint", *arguments])
        return ended.value.code, capsys.readouterr().out

    assert lint() == (0, "nothing to mend\n")
    edit(course, "solutions/02_merging.py", "## Take with you", "## Well")
    code, said = lint("2")
    assert code == 1 and len(said.splitlines()) == 2, "in the student's notebook and in the solution"
    assert lint("1") == (0, "nothing to mend\n")
    assert lint("3")[0] == 2


def test_functions_that_draw_are_those_of_the_courses_figures(course: Course) -> None:
    assert drawing(course) == []
    own = read_course(Path(__file__).resolve().parents[2])
    assert "learning_curves" in drawing(own) and "alt_text" not in drawing(own)

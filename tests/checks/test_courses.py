"""Laws of the one setting: which course is served, what its course.toml may say, and how its exercises are found."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from second_course import copy_course, fresh_imports

from labkit import checks
from labkit.checks.courses import FILE, IN_A_COPY, OWN_PACKAGE, SETTING, Course, checkout, read_course, served
from labkit.errors import UsageError


@pytest.fixture
def sorting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Course]:
    """The second course, in whose folder one stands."""
    monkeypatch.delenv(SETTING, raising=False)
    course = copy_course(tmp_path / "sorting-course")
    monkeypatch.chdir(course.root)
    with fresh_imports():
        yield course


def write(course: Course, text: str) -> None:
    (course.root / FILE).write_text(text, "utf-8")


# Which course


def test_the_nearest_course_from_here_upwards_is_served(sorting: Course, monkeypatch: pytest.MonkeyPatch) -> None:
    assert served() == sorting
    monkeypatch.chdir(sorting.solutions)
    assert (served(), served().title) == (sorting, "Sorting")


def test_the_variable_is_over_where_one_stands(
    sorting: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, str(checkout()))
    assert served().package == OWN_PACKAGE
    monkeypatch.chdir(checkout())
    monkeypatch.setenv(SETTING, str(sorting.root))
    assert served() == sorting
    monkeypatch.setenv(SETTING, str(tmp_path / "nowhere"))
    with pytest.raises(
        UsageError, match=r"LABKIT_COURSE: .*nowhere has no course\.toml; wanted the folder of a course"
    ):
        served()


def test_where_there_is_none_labkits_own_course_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTING, raising=False)
    monkeypatch.chdir(tmp_path)
    assert (served().root, served().package) == (checkout(), OWN_PACKAGE)
    assert list(checks.exercises())[:2] == ["1.1", "1.2"]
    monkeypatch.setattr("labkit.checks.courses.checkout", lambda: tmp_path)  # as where it came from a wheel
    assert served() == Course(tmp_path)


def test_a_students_copy_is_served_what_it_carries_and_one_that_carries_nothing_labkits_own(
    sorting: Course, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = sorting.root / "mine"
    (mine / ".labkit").mkdir(parents=True)
    monkeypatch.chdir(mine)
    assert served() == sorting, "a folder in which somebody worked is no copy yet"
    (mine / ".labkit" / "course.json").write_text("{}")
    assert served().package == OWN_PACKAGE
    shutil.copytree(sorting.root / "sorting", mine / IN_A_COPY / "sorting")
    shutil.copy(sorting.root / FILE, mine / IN_A_COPY)
    assert served().root == mine / IN_A_COPY
    assert checks.exercise("1.1").name == "binary_search"


def test_a_check_in_a_course_is_that_courses(sorting: Course) -> None:
    assert list(checks.exercises()) == ["1.1", "2.1", "2.2"]
    assert checks.check("2.1", lambda left, right: sorted(left + right)).passed
    hint = checks.check("2.1", lambda left, right: left + right).hint
    assert hint.startswith("You put one list behind the other.")
    assert "1.1" in str(checks.progress()) and "0 of 30 points" in str(checks.progress())


# course.toml


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            'titel = "A"\npackage = "sorting"',
            "titel is no setting of a course; there are title, package, environment, figures",
        ),
        ('titel = "A"\npackage = "sorting"', r"figures; did you mean title\?"),
        ('title = "A"\nroot = "x"\npackage = "b"', "root is no setting"),
        ('package = "sorting"', "title is missing; wanted a text"),
        ('title = "A"', "package is missing; wanted the name of a Python package"),
        ('title = " "\npackage = "sorting"', "title = ' '; wanted a text"),
        ('title = 3\npackage = "sorting"', "title = 3; wanted a text"),
        ('title = "A"\npackage = "my sorting"', "package = 'my sorting'; wanted"),
        ('title = "A"\npackage = "heapq"', "that is none of Python's own"),
        ('title = "A"\npackage = "class"', "package = 'class'; wanted"),
        ('title = "A"\npackage = ""', "package = ''; wanted"),
        ('title = "A"\npackage = ["a"]', r"package = \['a'\]; wanted"),
        ('title = "A"\npackage = "b"\nenvironment = "tiny"', "environment = 'tiny'; wanted a table of texts"),
        ('title = "A"\npackage = "b"\nenvironment = { A = 1 }', "environment = {'A': 1}; wanted a table of texts"),
        ('title = "A"\npackage = "b"\nfigures = 1', "figures = 1; wanted the name of a module"),
        ('title = "A', r"course\.toml: Unterminated string"),
    ],
)
def test_an_odd_setting_is_refused_by_name_with_what_is_wanted(sorting: Course, text: str, said: str) -> None:
    write(sorting, text)
    with pytest.raises(UsageError, match=said) as refused:
        read_course(sorting.root)
    assert str(refused.value).startswith(str(sorting.root / FILE)) and "\n" not in str(refused.value)


def test_a_course_that_is_no_text_is_refused(sorting: Course) -> None:
    (sorting.root / FILE).write_bytes(b'title = "\xff"')
    with pytest.raises(UsageError, match=r"course\.toml: .*utf-8"):
        read_course(sorting.root)


# Its exercises


def test_exercises_are_found_in_their_text_and_imported_only_when_asked_for(sorting: Course) -> None:
    code = (
        "import sys; from labkit.checks import exercise, exercises, progress; found = [str(progress())];"
        "found.append([name for name in sys.modules if name.startswith('sorting.')]);"
        "exercise('2.1'); found.append([name for name in sys.modules if name.startswith('sorting.exercises.')]);"
        "print(found[1:])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ, timeout=120)
    assert shown.stdout.strip() == str([[], ["sorting.exercises.merging", "sorting.exercises.merging.merge"]])


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('EXERCISE = Exercise(\n    "2.1"', 'ID = "2.1"\nEXERCISE = Exercise(\n    ID', "its id in plain text"),
        ('EXERCISE = Exercise(\n    "2.1"', 'EXERCISE = Exercise(\n    "2"', "its id in plain text"),
        (
            'EXERCISE = Exercise(\n    "2.1"',
            'EXERCISE = [Exercise][0](\n    "2.2"',
            r"merge\.py: exercise 2\.2 is .*insertion_sort\.py already",
        ),
        ("EXERCISE = Exercise(", "EXERCISE = = Exercise(", r"merge\.py line \d+: invalid syntax"),
    ],
)
def test_an_id_that_cannot_be_read_or_is_there_twice_is_refused_with_its_file(
    sorting: Course, old: str, new: str, said: str
) -> None:
    path = sorting.package_folder / "exercises" / "merging" / "merge.py"
    path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
    with pytest.raises(UsageError, match=said):
        sorting.modules()


@pytest.mark.parametrize(
    "form", ['EXERCISE: Exercise = Exercise("1.1", "x", None, ())', 'EXERCISE = Exercise(id="1.1")']
)
def test_an_id_is_found_in_any_plain_form(sorting: Course, form: str) -> None:
    path = sorting.package_folder / "exercises" / "searching" / "binary_search.py"
    path.write_text(form, "utf-8")
    assert sorting.modules()["1.1"] == path


def test_warm_ups_are_exercises_that_earn_nothing(sorting: Course) -> None:
    folder = sorting.package_folder / "exercises" / "warm_up"
    folder.mkdir()
    (folder / "count.py").write_text('EXERCISE = Exercise("0.1")', "utf-8")
    (folder / "shared.py").write_text("CASES = [1]", "utf-8")
    assert list(sorting.modules()) == ["0.1", "1.1", "2.1", "2.2"] and sorting.earning() == ["1.1", "2.1", "2.2"]


def test_ids_stand_in_the_order_of_their_numbers(sorting: Course) -> None:
    folder = sorting.package_folder / "exercises" / "merging"
    for number in (10, 3):
        (folder / f"more_{number}.py").write_text(f'EXERCISE = Exercise("2.{number}")', "utf-8")
    assert sorting.earning() == ["1.1", "2.1", "2.2", "2.3", "2.10"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("2.3", r"Sorting has no exercise '2\.3'; there are 2\.1, 2\.2; did you mean 2\.\d\?"),
        ("7.1", r"Sorting has no exercise '7\.1'; there are 1\.1, 2\.1, 2\.2"),
        ("merge", r"Sorting has no exercise 'merge'; there are 1\.1"),
    ],
)
def test_an_exercise_that_is_none_is_named_with_the_course_and_those_near_it(
    sorting: Course, asked: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        checks.check(asked, sorted)


def test_a_package_without_exercises_is_named(sorting: Course) -> None:
    shutil.rmtree(sorting.package_folder)
    with pytest.raises(UsageError, match=r"there is none in .*sorting/exercises"):
        checks.exercise("1.1")


def test_an_exercise_that_cannot_be_imported_is_one_sentence(sorting: Course) -> None:
    path = sorting.package_folder / "observers" / "merging.py"
    path.write_text("1 / 0", "utf-8")
    with pytest.raises(UsageError, match=r"merge\.py cannot be imported: ZeroDivisionError: division by zero"):
        checks.exercise("2.1")


def test_another_package_of_the_same_name_is_never_taken_for_the_courses(sorting: Course, tmp_path: Path) -> None:
    assert checks.exercise("1.1").name == "binary_search"
    other = copy_course(tmp_path / "other")
    with pytest.raises(UsageError, match=r"the package sorting was imported from .*sorting-course.* instead"):
        other.exercise("2.1")
    with fresh_imports():
        pass
    assert other.exercise("2.1").name == "merge"


def test_a_lesson_may_import_from_its_package_once_it_has_imported_the_checks(sorting: Course, tmp_path: Path) -> None:
    code = "from labkit.checks import check; from sorting.counting import Counted; print(len(Counted([1, 2])))"
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=sorting.notebooks, timeout=120
    )
    assert shown.stdout.strip() == "2", shown.stderr
    write(sorting, "title = 3")
    broken = subprocess.run([sys.executable, "-c", "import labkit.checks"], cwd=sorting.root, timeout=120)
    assert broken.returncode == 0, "what is odd is said when something is asked for"


def test_a_kernel_elsewhere_is_told_its_course_and_how_to_import_it(
    sorting: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", "/before")
    found = sorting.surroundings()
    assert found == {SETTING: str(sorting.root), "PYTHONPATH": os.pathsep.join([str(sorting.root), "/before"])}
    assert read_course(checkout()).surroundings() == {SETTING: str(checkout())}
    assert Course(tmp_path).surroundings() == {}


def test_what_a_copy_needs_is_the_package_and_no_master(sorting: Course) -> None:
    (sorting.package_folder / "__pycache__").mkdir(exist_ok=True)
    (sorting.package_folder / "__pycache__" / "x.pyc").touch()
    (sorting.package_folder / ".hidden").touch()
    names = list(sorting.files())
    assert names[0] == FILE and all(name.startswith("sorting/") and name.endswith(".py") for name in names[1:])
    assert "sorting/counting.py" in names and "sorting/exercises/merging/merge.py" in names
    assert read_course(checkout()).files() == {}, "labkit's own course comes with labkit"

"""Laws of a release: whole, for students alone, the same bytes from the same sources."""

import hashlib
import json
import re
import shutil
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from courses import LENGTHS, PAGE, every_notebook, work_in, write_course
from packaging.version import Version

from labkit import __version__
from labkit.checks.courses import Course, checkout
from labkit.course import release as releasing
from labkit.course.build import build
from labkit.course.copies import start, update
from labkit.course.lint import leaks
from labkit.course.notebooks import read_notebook
from labkit.course.release import build_wheel, not_for_students, release
from labkit.errors import LabkitError, UsageError

ROOT = Path(__file__).resolve().parents[2]
WHEEL = "labkit-0.1.0-py3-none-any.whl"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Course:
    """A course with what a checkout has besides; read it only."""
    course = write_course(tmp_path_factory.mktemp("course") / "course")
    build(course)
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copyfile(ROOT / name, course.root / name)
    return course


@pytest.fixture
def course(built: Course, tmp_path: Path) -> Course:
    return Course(Path(shutil.copytree(built.root, tmp_path / "course")))


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A file that has a wheel's name."""
    path = tmp_path / WHEEL
    path.write_bytes(b"a wheel")
    return path


@pytest.fixture
def released(built: Course, wheel: Path, tmp_path: Path) -> Path:
    release(built, tmp_path / "released", wheel)
    return tmp_path / "released"


def test_a_release_holds_the_students_notebooks_what_they_install_and_a_page_and_nothing_else(
    built: Course, released: Path
) -> None:
    assert {path.relative_to(released).as_posix() for path in released.rglob("*") if path.is_file()} == {
        "README.md",
        "constraints.txt",
        "environment.yml",
        WHEEL,
        "notebooks/01_lengths.ipynb",
        "notebooks/02_labels.ipynb",
        "notebooks/README.md",
        "release.json",
        "requirements.txt",
    }
    for name, content in every_notebook(built).items():
        if name.startswith("notebooks/"):
            assert (released / name).read_bytes() == content


def test_no_file_of_a_release_has_a_solution_a_hidden_test_or_an_output(built: Course, released: Path) -> None:
    for path in released.rglob("*"):
        text = path.read_text("utf-8") if path.is_file() else ""
        assert not re.search(r"BEGIN (SOLUTION|HIDDEN)|float\(result", text), path
    for path in released.glob("notebooks/*.ipynb"):
        notebook = read_notebook(path)
        assert not_for_students(notebook) == []
        assert leaks(read_notebook(built.solutions / path.name), notebook) == []


def test_the_manifest_names_every_other_file_with_its_hash(released: Path) -> None:
    listed = json.loads((released / "release.json").read_bytes())["files"]
    assert listed == {
        path.relative_to(released).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in released.rglob("*")
        if path.is_file() and path.name != "release.json"
    }


def test_the_page_says_what_is_in_it_and_which_commands_begin(released: Path) -> None:
    page = (released / "README.md").read_text("utf-8")
    assert "| 01 | How long a review is | 5 minutes |" in page and "| 02 | Labels | 5 minutes |" in page
    assert WHEEL in page and "holds right versions of what the exercises ask" in " ".join(page.split())
    assert not re.search(r"\$\w", page)


@pytest.mark.parametrize("page", ["labkit/course/release.md", "release.md", "docs/instructors.md"])
def test_every_command_of_labkit_on_a_page_is_there(page: str) -> None:
    from labkit.cli import app

    text = (ROOT / page).read_text("utf-8")
    called = set(re.findall(r"^labkit ([a-z][^#\n]+)|`labkit ([a-z][^`]+)`", text, re.MULTILINE))
    assert len(called) >= 5
    for words in [re.findall(r"[a-z][a-z-]+", first + second) for first, second in called]:
        wanted = words[: 1 + (words[0] == "course")]
        assert list(app.parse_commands(wanted)[0]) == wanted


def test_pip_and_conda_get_the_same_under_the_same_constraints(released: Path) -> None:
    lines = (released / "requirements.txt").read_text("utf-8").splitlines()
    assert lines == ["-c constraints.txt", f"./{WHEEL}[lab]"]
    conda = yaml.safe_load((released / "environment.yml").read_text("utf-8"))["dependencies"]
    ours = yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))["dependencies"]
    assert conda[0] == ours[0] and conda[-1] == {"pip": lines}


def test_a_release_is_what_a_copy_starts_from_and_is_updated_with(released: Path, tmp_path: Path) -> None:
    start(tmp_path / "mine", released)
    assert (tmp_path / "mine" / "README.md").read_text("utf-8") == PAGE
    assert update(tmp_path / "mine", released).changed == ()


def test_the_same_course_at_the_same_moment_gives_the_same_bytes(
    built: Course, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    for name in ("once", "again"):
        release(built, tmp_path / name, wheel)
    for path in (tmp_path / "once").rglob("*"):
        if path.is_file():
            assert (tmp_path / "again" / path.relative_to(tmp_path / "once")).read_bytes() == path.read_bytes()


def test_a_release_bears_its_moment(
    built: Course, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def moment(name: str) -> str:
        release(built, tmp_path / name, wheel)
        return str(json.loads((tmp_path / name / "release.json").read_bytes())["release"])

    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    before = datetime.now(UTC).replace(microsecond=0)
    said = datetime.strptime(moment("now") + "Z", "%Y-%m-%d %H:%M:%S%z")
    assert before <= said <= datetime.now(UTC)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1790000000")
    assert moment("then") == "2026-09-21 14:13:20"
    for odd in ("soon", "", "-1", "1e9"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", odd)
        with pytest.raises(UsageError, match=f"SOURCE_DATE_EPOCH={odd}: wanted seconds since 1970"):
            moment("odd")
    assert not (tmp_path / "odd").exists()


def test_the_labkit_of_each_release_has_a_version_of_its_own_later_ones_higher(
    built: Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stamped(root: Path, target: Path, stamp: str) -> Path:
        (target / f"labkit-{__version__}{stamp}-py3-none-any.whl").touch()
        return target / f"labkit-{__version__}{stamp}-py3-none-any.whl"

    monkeypatch.setattr(releasing, "build_wheel", stamped)
    found = []
    for name, moment in (("first", 1_790_000_000), ("second", 1_790_000_001), ("next year", 1_800_000_000)):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(moment))
        release(built, tmp_path / name)
        found.append(Version(json.loads((tmp_path / name / "release.json").read_bytes())["labkit"]))
        assert f"./labkit-{found[-1]}-py3" in (tmp_path / name / "requirements.txt").read_text("utf-8")
    assert found == sorted(set(found)) and {one.public for one in found} == {__version__}


@pytest.mark.parametrize("version", ["0.1.0", "0.2.0rc1+20260901080000"])
def test_a_release_names_the_labkit_in_its_wheel(built: Course, tmp_path: Path, version: str) -> None:
    wheel = tmp_path / f"labkit-{version}-py3-none-any.whl"
    wheel.write_bytes(b"a wheel")
    release(built, tmp_path / "released", wheel)
    assert json.loads((tmp_path / "released" / "release.json").read_bytes())["labkit"] == version
    assert f"Made with labkit {version}." in " ".join((tmp_path / "released" / "README.md").read_text("utf-8").split())


def test_notebooks_that_are_stale_are_not_released(course: Course, wheel: Path, tmp_path: Path) -> None:
    (course.solutions / "01_lengths.py").write_text(LENGTHS.replace("asked", "asked you"), "utf-8")
    with pytest.raises(UsageError, match=r"(?s)labkit course build makes them:.*01_lengths\.ipynb: cell 3"):
        release(course, tmp_path / "new", wheel)
    assert not (tmp_path / "new").exists()


def test_a_mark_or_an_output_stops_a_release_whatever_the_drift_says(
    course: Course, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(releasing, "drift", lambda _: [])
    path = course.notebooks / "01_lengths.ipynb"
    whole = path.read_bytes()
    changes = {
        "has a mark": lambda notebook: notebook["cells"][1].update(source="### BEGIN HIDDEN TESTS"),
        "has an output": lambda notebook: notebook["cells"][1].update(execution_count=1),
    }
    for said, change in changes.items():
        work_in(path, change)
        with pytest.raises(UsageError, match=f"{said}.*; it was not released"):
            release(course, tmp_path / "new", wheel)
        path.write_bytes(whole)
    assert not (tmp_path / "new").exists()


def test_a_folder_with_something_in_it_and_a_wheel_that_is_none_are_refused(
    built: Course, wheel: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match="is not empty"):
        release(built, tmp_path, wheel)
    odd = [tmp_path / "labkit-9.whl", tmp_path / "other-0.1.0-py3-none-any.whl"]
    for path in odd:
        path.touch()
    for other in (*odd, tmp_path / "labkit-0.2.0-py3-none-any.whl"):  # the last is not there
        with pytest.raises(UsageError, match=r"wanted a file labkit-VERSION-\.\.\.\.whl"):
            release(built, tmp_path / "new", other)


def test_a_release_that_fails_half_way_leaves_nothing(built: Course, tmp_path: Path) -> None:
    """The course's folder has no package to build a wheel from."""
    with pytest.raises((LabkitError, OSError)):
        release(built, tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def test_the_wheel_of_a_release_has_labkit_without_solutions_and_the_same_bytes_each_time(tmp_path: Path) -> None:
    found = []
    for name in ("once", "again"):
        (tmp_path / name).mkdir()
        found.append(build_wheel(checkout(), tmp_path / name, "+20260901080000"))
    assert found[0].read_bytes() == found[1].read_bytes()
    assert found[0].name == f"labkit-{__version__}+20260901080000-py3-none-any.whl"  # pip skips a version that is there
    with zipfile.ZipFile(found[0]) as archive:
        names = archive.namelist()
        assert f'__version__ = "{__version__}+20260901080000"' in archive.read("labkit/__init__.py").decode()
    assert {name.split("/")[0] for name in names} == {
        "labkit",
        found[0].name.removesuffix("-py3-none-any.whl") + ".dist-info",
    }
    assert "labkit/course/release.md" in names and not [name for name in names if "solutions" in name]


def test_a_folder_that_is_no_checkout_asks_for_a_wheel(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="wanted --wheel FILE"):
        build_wheel(tmp_path, tmp_path)

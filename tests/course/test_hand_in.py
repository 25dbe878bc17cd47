"""Laws of handing in: one zip with all that is to be read, the same work the same bytes."""

import hashlib
import json
import os
import shutil
import zipfile
from pathlib import Path

import pytest
from courses import code, work_in, write_course

from labkit.cli import main
from labkit.course.build import build
from labkit.course.checking import Checked
from labkit.course.copies import start
from labkit.course.hand_in import hand_in
from labkit.course.notebooks import NotebookError
from labkit.errors import UsageError
from labkit.student_work import Work


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which somebody has worked; read it only."""
    root = tmp_path_factory.mktemp("course")
    build(write_course(root / "course"))
    start(root / "mine", root / "course")
    Work(root / "mine").save("predictions", "01-longest", {"choice": "13"})
    Work(root / "mine").save("checks", "1.3", {"status": "passed"})
    return root / "mine"


@pytest.fixture
def mine(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "mine"))


def contents(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_zip_holds_the_notebook_the_predictions_the_reflections_and_a_manifest(mine: Path) -> None:
    path = hand_in(mine, "01")
    found = contents(path)
    assert path == mine / "01_lengths-hand-in.zip"
    assert set(found) == {"01_lengths.ipynb", "predictions.json", "reflections.json", "manifest.json"}
    assert found["01_lengths.ipynb"] == (mine / "01_lengths.ipynb").read_bytes()
    assert json.loads(found["predictions.json"]) == {"01-longest": {"choice": "13"}}
    assert json.loads(found["reflections.json"]) == {}


def test_the_zip_holds_the_count_of_further_hints_where_some_were_asked_for(mine: Path) -> None:
    hand_in(mine, "01")
    Work(mine).save("hints", "1.3", {"asked": 2})
    found = contents(hand_in(mine, "01"))  # in place of the one without
    assert json.loads(found["hints.json"]) == {"1.3": {"asked": 2}}
    assert "hints.json" in json.loads(found["manifest.json"])["files"]


def test_the_manifest_names_every_other_file_with_size_and_hash(mine: Path) -> None:
    found = contents(hand_in(mine, "01"))
    manifest = json.loads(found.pop("manifest.json"))
    assert (manifest["lesson"], manifest["notebook"]) == ("01", "01_lengths.ipynb")
    assert manifest["files"] == {
        name: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()} for name, content in found.items()
    }


def test_the_same_work_gives_the_same_bytes_and_other_work_others(
    mine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = hand_in(mine, "01").read_bytes()
    elsewhere = Path(shutil.copytree(mine, tmp_path / "elsewhere"))
    for path in elsewhere.rglob("*"):
        os.utime(path, (1, 1))
    (elsewhere / "01_lengths.ipynb").chmod(0o600)
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    assert hand_in(elsewhere, "1", tmp_path / "other name.zip").read_bytes() == first
    with zipfile.ZipFile(hand_in(mine, "01")) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    work_in(elsewhere / "01_lengths.ipynb", lambda notebook: notebook["cells"].append(code("more")))
    assert hand_in(elsewhere, "01").read_bytes() != first


def test_what_was_handed_in_is_counted(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(mine)
    monkeypatch.setenv("TZ", "UTC")
    os.utime("01_lengths.ipynb", (1_790_000_000, 1_790_000_000))
    os.utime("02_labels.ipynb", (1_790_000_060, 1_790_000_060))
    Work().save("predictions", "01-of-another-time", {"choice": "13"})
    Work().save("reflections", "01-think", {"text": " "})

    def said(*arguments: str) -> list[str]:
        with pytest.raises(SystemExit) as ended:
            main(["course", "hand-in", *arguments])
        assert ended.value.code == 0
        return capsys.readouterr().out.splitlines()

    assert said("01") == [
        str(mine / "01_lengths-hand-in.zip"),
        "  1 of 1 exercises passed when last checked",
        "  1 of 1 predictions",
        "  0 of 1 reflections",
        "  the notebook as it was saved at 2026-09-21 14:13",
    ]
    Work().save("reflections", "01-think", {"text": "much"})
    assert said("01")[3] == "  1 of 1 reflections"
    assert said("02", "--output", "other.zip")[1:] == [  # untouched, and it asks nothing
        "  0 of 1 exercises passed when last checked; not yet: 2.1",
        "  the notebook as it was saved at 2026-09-21 14:14",
    ]
    for damaged in (b"{", b"[]", b'{"01-longest": 1}', b'{"01-longest": {"choice": null}}', b"[" * 100_000):
        for kind in ("predictions", "checks"):
            (mine / ".labkit" / f"{kind}.json").write_bytes(damaged)
        assert said("01")[1:3] == ["  0 of 1 exercises passed when last checked; not yet: 1.3", "  0 of 1 predictions"]
        assert (mine / ".labkit" / "predictions.json").read_bytes() == damaged


def test_a_lesson_is_checked_by_what_it_is_handed_in_by(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checked: list[Path] = []
    monkeypatch.setattr(
        "labkit.course.checking.check_notebooks",
        lambda paths, *_: [checked.append(path) or Checked(path.name, (), 0.0) for path in paths],
    )
    (mine / "notes").mkdir()
    monkeypatch.chdir(mine / "notes")
    with pytest.raises(SystemExit):
        main(["check", "01", "2", "01_lengths", "../02_labels.ipynb"])
    assert [path.resolve() for path in checked] == [
        mine / f"{name}.ipynb" for name in ("01_lengths", "02_labels", "01_lengths", "02_labels")
    ]
    with pytest.raises(SystemExit) as ended:
        main(["check", "7"])
    assert ended.value.code == 2 and len(checked) == 4
    assert "has no lesson '7'; there are 01_lengths, 02_labels" in capsys.readouterr().err


def test_nothing_in_the_zip_says_whose_machine_it_was(mine: Path) -> None:
    assert str(mine).encode() not in b"".join(contents(hand_in(mine, "01")).values())


def test_a_lesson_that_is_not_there_is_named_with_those_that_are(mine: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no lesson '7'; there are 01_lengths, 02_labels"):
        hand_in(mine, "7")
    with pytest.raises(UsageError, match="wanted the folder with your notebooks"):
        hand_in(tmp_path, "01")
    shutil.copy(mine / "01_lengths.ipynb", mine / "01_copy.ipynb")
    with pytest.raises(UsageError, match=r"more than one lesson 01: 01_copy\.ipynb, 01_lengths\.ipynb"):
        hand_in(mine, "01")


def test_a_damaged_notebook_and_a_missing_folder_are_said_before_anything_is_written(mine: Path) -> None:
    (mine / "02_labels.ipynb").write_text("{")
    with pytest.raises(NotebookError, match=r"02_labels\.ipynb is no notebook"):
        hand_in(mine, "02")
    with pytest.raises(UsageError, match="no such folder"):
        hand_in(mine, "01", mine / "nowhere" / "x.zip")
    assert not list(mine.rglob("*.zip"))


def test_a_hand_in_never_replaces_anything_but_an_earlier_hand_in(mine: Path) -> None:
    (mine / "notes.zip").write_text("mine")
    with zipfile.ZipFile(mine / "photos.zip", "w") as archive:
        archive.writestr("manifest.json", "{}")
    before = {path: path.read_bytes() for path in mine.iterdir() if path.is_file()}
    for name in ("notes.zip", "photos.zip"):
        with pytest.raises(UsageError, match=rf"{name} is there already and is no hand-in; wanted a new name"):
            hand_in(mine, "01", mine / name)
    for name in ("02_labels.ipynb", "README.md", "new.tar"):
        with pytest.raises(UsageError, match=rf"{name}: wanted a name that ends in \.zip"):
            hand_in(mine, "01", mine / name)
    assert {path: path.read_bytes() for path in mine.iterdir() if path.is_file()} == before
    assert hand_in(mine, "01") == hand_in(mine, "01") == hand_in(mine, "01", mine / "01_lengths-hand-in.zip")


def test_a_folder_as_the_output_is_named_with_a_file_in_it_that_will_do(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(mine)
    with pytest.raises(SystemExit) as ended:
        main(["course", "hand-in", "01", "--output", "."])
    assert ended.value.code == 2
    assert (
        f". is a folder; wanted the name of a zip, such as {Path('01_lengths-hand-in.zip')}" in capsys.readouterr().err
    )
    (mine / "01_lengths-hand-in.zip").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        hand_in(mine, "01")


def test_a_notebook_under_another_name_is_handed_in_by_its_file_name(
    mine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(mine / "01_lengths.ipynb", mine / "01_lengths-Copy1.ipynb")
    shutil.copy(mine / "02_labels.ipynb", mine / "my own.ipynb")
    with pytest.raises(UsageError, match=r"wanted one by its file name, such as 01_lengths-Copy1\.ipynb"):
        hand_in(mine, "01")
    for name, lesson in {"01_lengths-Copy1.ipynb": "01", "01_lengths": "01", "my own.ipynb": "02"}.items():
        zipped = hand_in(mine, name)
        notebook = f"{name.removesuffix('.ipynb')}.ipynb"
        facts = json.loads(contents(zipped)["manifest.json"])
        assert zipped.name == f"{Path(notebook).stem}-hand-in.zip"
        assert (facts["lesson"], facts["notebook"]) == (lesson, notebook)
        assert contents(zipped)[notebook] == (mine / notebook).read_bytes()
    (mine / "figures").mkdir()
    monkeypatch.chdir(mine / "figures")
    assert hand_in(mine, "../01_lengths.ipynb").name == "01_lengths-hand-in.zip"


@pytest.mark.parametrize("lesson", ["", " ", "lengths", "1x", "nowhere.ipynb", "../elsewhere.ipynb", ".", ".."])
def test_what_names_no_lesson_hands_in_nothing(mine: Path, monkeypatch: pytest.MonkeyPatch, lesson: str) -> None:
    shutil.copy(mine / "01_lengths.ipynb", mine / "00_start.ipynb")
    shutil.copy(mine / "01_lengths.ipynb", mine.parent / "elsewhere.ipynb")
    monkeypatch.chdir(mine)
    with pytest.raises(UsageError, match=r"has no lesson '.*'; there are 00_start, 01_lengths, 02_labels"):
        hand_in(mine, lesson)
    assert not list(mine.parent.rglob("*.zip"))


def test_a_notebook_that_belongs_to_no_lesson_is_refused(mine: Path) -> None:
    work_in(mine / "02_labels.ipynb", lambda notebook: notebook["metadata"].pop("labkit"))
    (mine / "02_labels.ipynb").rename(mine / "notes.ipynb")
    with pytest.raises(UsageError, match=r"notes\.ipynb does not say which lesson it is"):
        hand_in(mine, "notes.ipynb")


def test_the_command_works_anywhere_below_the_copy(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / "figures").mkdir()
    monkeypatch.chdir(mine / "figures")
    with pytest.raises(SystemExit) as ended:
        main(["course", "hand-in", "01"])
    assert ended.value.code == 0
    assert capsys.readouterr().out.splitlines()[0] == str(mine / "01_lengths-hand-in.zip")

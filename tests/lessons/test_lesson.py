"""What a lesson starts from: the same reviews and encoder for everybody under the same profile."""

from pathlib import Path

import pytest
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

from labkit.data.batching import Batcher
from labkit.data.readers import ReviewFileError
from labkit.errors import UsageError
from labkit.lessons import open_lesson
from labkit.lessons.lesson import FEWEST_OWN


def csv_of(labels: list[int], column: str = "label") -> str:
    rows = (f"review number {number} of {['blame', 'praise'][label]},{label}\n" for number, label in enumerate(labels))
    return f"text,{column}\n" + "".join(rows)


@pytest.fixture(autouse=True)
def course_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LABKIT_PROFILE", raising=False)
    return tmp_path


def test_a_lesson_without_a_network_stands_on_what_is_shipped_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    lesson = open_lesson("laptop")
    assert lesson.encoder == "tiny" and lesson.learning_rate == open_lesson("tiny").learning_rate
    assert (lesson.config.model, lesson.config.learning_rate) == ("tiny", lesson.learning_rate)
    assert lesson.reviews.name == lesson.corpus.name == "written sample"
    said = capsys.readouterr().err
    assert said.count("not the real movie reviews") == 1
    assert "stands in for minilm" in said and "not the real movie reviews" in said


def test_a_lesson_s_batches_hold_its_own_splits() -> None:
    lesson = open_lesson("tiny")
    assert {name: len(batcher) for name, batcher in lesson.batchers.items()} == {
        name: len(part) for name, part in vars(lesson.splits).items()
    }


def test_parts_of_a_split_that_do_not_overlap_have_no_review_in_common_and_are_always_the_same() -> None:
    lesson = open_lesson("tiny")
    few, more, rest = lesson.part("train", 0, 40), lesson.part("train", 0, 120), lesson.part("train", 120)

    def rows(part: Batcher) -> list[bytes]:
        return [ids.tobytes() for ids in part.tokenized.input_ids]

    assert rows(few) == rows(more)[:40] and len(more) == 120
    assert rows(open_lesson("tiny").part("train", 0, 40)) == rows(few)
    together = rows(more) + rows(rest)
    assert len(set(together)) == len(together)
    whole = {ids.tobytes() for ids in lesson.batchers["train"].tokenized.input_ids}
    assert set(together) == whole  # copies are left out, nothing else
    file_order = [ids.tobytes() for ids in lesson.batchers["train"].tokenized.input_ids[:40]]
    assert len(set(file_order) & set(rows(few))) < 20  # not the file's order, in which one label may come first


def test_an_interrupted_cell_of_a_lesson_ends_in_one_line_and_counts_as_failed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = InteractiveShell(config=Config({"HistoryManager": {"enabled": False}}))
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    open_lesson("tiny")
    for cell, line in (
        ("raise KeyboardInterrupt", "Interrupted: this cell"),
        ("raise KeyboardInterrupt('so far')", "so far"),
    ):
        run = shell.run_cell(cell)
        said = capsys.readouterr()
        assert not run.success and said.out == "" and said.err.startswith(line) and len(said.err.splitlines()) == 1
    shell.run_cell("1 / 0")
    assert "ZeroDivisionError" in capsys.readouterr().out  # any other error is shown as ever


def test_a_lesson_takes_a_students_own_reviews_in_place_of_the_films(tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text(csv_of([0, 1] * (FEWEST_OWN // 2)), "utf-8")
    lesson = open_lesson("tiny", data="mine.csv")
    assert len(lesson.reviews) == FEWEST_OWN == sum(len(part) for part in vars(lesson.splits).values())
    for said in (str(lesson), lesson._repr_html_()):
        assert "mine.csv" in said and f"{len(lesson.splits.test)} for test" in said
    with pytest.raises(UsageError, match=r"mine\.csv has labels and no ratings by people"):
        _ = lesson.corpus


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, r"mine\.csv: no such file"),
        ("", r"mine\.csv is empty"),
        (csv_of([0, 1] * 100, column="lable"), r'no column "label".*did you mean lable'),
        (csv_of([1] * 200), "one class only"),
        (
            csv_of([0, 1] * (FEWEST_OWN // 2))[: -len("review number 199 of praise,1\n")],
            "199 reviews; wanted at least 200",
        ),
        (csv_of([0] * 198 + [1, 1]), r"mine\.csv: .*wanted at least 2 of each class"),
    ],
    ids=["absent", "empty", "a column misspelt", "one class", "too few", "too few of a class"],
)
def test_own_reviews_that_cannot_be_used_are_refused_at_once_and_in_one_line(
    content: str | None, said: str, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / "mine.csv").write_text(content, "utf-8")
    with pytest.raises(ReviewFileError, match=said) as refused:
        open_lesson("tiny", data="mine.csv")
    assert refused.value._render_traceback_() == [f"ReviewFileError: {refused.value}"]
    assert "\n" not in str(refused.value)

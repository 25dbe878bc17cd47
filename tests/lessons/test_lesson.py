"""What a lesson starts from: the same reviews and encoder for everybody under the same profile."""

from pathlib import Path

import pytest

from labkit.data.batching import Batcher
from labkit.lessons import open_lesson


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

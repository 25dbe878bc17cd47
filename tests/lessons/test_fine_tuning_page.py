"""What lesson 03 says and shows holds, also on other machines and outside labkit: its own cells, run by themselves."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, BertForSequenceClassification

from labkit.checks.courses import read_course
from labkit.course.masters import read_master
from labkit.data.batching import Batcher
from labkit.data.tokens import tokenize
from labkit.lessons import open_lesson
from labkit.lessons.limited_memory import StepTried, WaysTried
from labkit.training.config import Config
from labkit.training.fit import fit
from labkit.training.loop import StepRecord

if TYPE_CHECKING:
    from conftest import TinyWorld

COURSE = read_course(Path(__file__).resolve().parents[2])
PAGE = COURSE.solutions / "03_fine_tuning.py"


@pytest.fixture(scope="module")
def cells() -> Mapping[str, str]:
    return {cell.id: cell.source for cell in read_master(PAGE, COURSE.modules()).cells}


def run(source: str, names: dict[str, Any]) -> dict[str, Any]:
    exec(compile(source, PAGE.name, "exec"), names)
    return names


def test_the_plain_version_has_the_losses_of_labkits_fit_step_by_step(
    cells: Mapping[str, str],
    tiny_world: "TinyWorld",
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts, verdicts = tiny_world.texts[:40], tiny_world.labels[:40].tolist()
    given = {"start": str(tiny_folder), "saved": str(tmp_path / "saved"), "texts": texts, "verdicts": verdicts}
    assert "labkit" not in cells["plain-version"] and "lesson" not in cells["plain-version"]
    plain = run(cells["plain-version"], given | {"epochs": 6, "peak": 1e-3})

    loader = DataLoader(range(40), batch_size=32, shuffle=True, generator=torch.Generator().manual_seed(0))
    in_its_order = lambda self, *settings, **more: (self.batch(places.tolist()) for places in list(loader))  # noqa: E731
    monkeypatch.setattr(Batcher, "epoch", in_its_order)
    batcher = Batcher(tokenize(texts, tiny_world.tokenizer, 128), tiny_world.labels[:40], "dynamic")
    config = Config(model="tiny", epochs=6, patience=6, learning_rate=1e-3, precision="fp32", batching="dynamic")
    steps: list[StepRecord] = []
    list(fit(tiny_world.model(), batcher, batcher, config, progress=False, after_step=steps.append))
    assert len(steps) == 12 and plain["plain_losses"] == pytest.approx([step.loss for step in steps], rel=1e-4)
    assert plain["plain_losses"][-1] < plain["plain_losses"][0]


def test_what_the_plain_version_saved_answers_as_what_it_trained(
    cells: Mapping[str, str], tiny_world: "TinyWorld", tiny_folder: Path, tmp_path: Path
) -> None:
    texts, verdicts = tiny_world.texts[:8], tiny_world.labels[:8].tolist()
    given = {"start": str(tiny_folder), "saved": str(tmp_path), "texts": texts, "verdicts": verdicts}
    plain = run(cells["plain-version"], given | {"epochs": 1, "peak": 1e-3})
    encoded = AutoTokenizer.from_pretrained(tmp_path)(texts, padding=True, return_tensors="pt")
    with torch.inference_mode():
        again = BertForSequenceClassification.from_pretrained(tmp_path).eval()(**encoded).logits
        trained = plain["plain_model"].cpu().eval()(**encoded).logits
    torch.testing.assert_close(again, trained)


def test_the_lines_behind_a_lessons_model_and_tokenizer_give_the_same() -> None:
    lesson = open_lesson("tiny")
    torch.manual_seed(0)
    plain = BertForSequenceClassification.from_pretrained(lesson.folder, num_labels=2)
    for name, weight in lesson.model(seed=0).state_dict().items():
        assert torch.equal(plain.state_dict()[name], weight), name
    text = "Unforgettable, naïve café: film☺"
    assert AutoTokenizer.from_pretrained(lesson.folder)(text) == lesson.tokenizer(text)


@pytest.mark.parametrize("fitting", list(itertools.product([True, False], repeat=4)))
def test_whatever_fits_into_the_room_is_one_of_the_choices(fitting: tuple[bool, ...], cells: Mapping[str, str]) -> None:
    asked: dict[str, Any] = {}
    names = {"predict": lambda key, question, choices: asked.update(choices=choices)}
    ways = run(cells["room-ways"], names)["ways"]
    tried = {way: StepTried(fits, int(fits), 0.1) for way, fits in zip(ways, fitting, strict=True)}
    found: dict[str, Any] = {}
    told = {"tried": WaysTried(2**20, tried), "outcome": lambda key, actual, why: found.update(actual=actual, why=why)}
    run(cells["room-outcome"], names | told)
    assert found["actual"] in asked["choices"]
    failed = [way for way in ways if not tried[way].fits]
    assert len(failed) != 1 or found["actual"] == failed[0]
    assert all(way in found["why"] for way in failed)

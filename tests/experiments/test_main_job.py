"""The main job on a small world: its table, its file, and that a finished run is never trained twice."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labkit.data.assets import AssetMissing
from labkit.data.reviews import Reviews, sample_reviews
from labkit.evaluation.intervals import score_table
from labkit.evaluation.metrics import EvalResult
from labkit.experiments import main_job as lab
from labkit.lessons import stand_ins as fallback
from labkit.training.config import Config


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tiny_folder: Path) -> Config:
    """The written sample in place of the movie reviews, and the tiny world's model in place of MiniLM."""
    monkeypatch.setattr(lab, "movie_reviews", sample_reviews)
    return Config(model=str(tiny_folder), epochs=1, device="cpu", precision="fp32", train_examples=64, seed=3)


@pytest.fixture
def results(small: Config, tmp_path: Path) -> dict[str, Any]:
    return lab.main_job(small, tmp_path / "run", progress=False, tell=lambda notice: None)


def test_the_table_sets_the_model_beside_both_baselines_on_the_same_reviews(
    results: dict[str, Any], tmp_path: Path
) -> None:
    names = [row["name"] for row in results["rows"]]
    assert names[:2] == ["majority", "TF-IDF"] and len(names) == 3
    assert len({row["n"] for row in results["rows"]}) == 1
    test = json.loads((tmp_path / "run" / "test.json").read_text("utf-8"))
    assert results["rows"][2]["n"] == len(test["labels"])
    expected = score_table(EvalResult(test["labels"], test["probabilities"], loss=0.0), seed=3)
    assert results["rows"][2]["metrics"] == lab.scores_as_json(expected)


def test_the_file_beside_the_run_says_what_was_shown(results: dict[str, Any], tmp_path: Path) -> None:
    assert json.loads((tmp_path / "run" / "results.json").read_text("utf-8")) == results
    shown = lab.results_as_text(results)
    assert all(row["name"] in shown for row in results["rows"])
    assert results["comparison"]["text"] in shown
    assert all(len(line) <= 79 for line in shown.splitlines()[:9])


def test_a_finished_run_is_compared_again_but_not_trained_again(
    results: dict[str, Any], small: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lab, "fine_tune", lambda *arguments, **named: pytest.fail("it was trained again"))
    again = lab.main_job(small, tmp_path / "run", progress=False, tell=lambda notice: None)
    assert again["rows"][2] == results["rows"][2]
    assert again["confidently_wrong"] == results["confidently_wrong"]


def test_the_surest_mistakes_are_mistakes_and_the_surest_stand_first() -> None:
    generator = np.random.default_rng(0)
    positive = generator.random(50)
    positive[7] = 1.0  # a probability of 0 for the truth has no logarithm
    labels = (generator.random(50) < 0.5).astype(np.int64)
    labels[7] = 0
    reviews = Reviews("made", [str(i) for i in range(50)], [f"text {i}" for i in range(50)], labels)
    wrong = lab.most_confidently_wrong(
        EvalResult(labels, np.stack([1 - positive, positive], axis=1), loss=0.0), reviews
    )
    assert wrong[0]["id"] == "7" and len(wrong) == 10
    assert all(row["label"] != row["prediction"] for row in wrong)
    confidences = [row["confidence"] for row in wrong]
    assert confidences == sorted(confidences, reverse=True)
    mistakes = sorted(max(p, 1 - p) for p, label in zip(positive, labels, strict=True) if (p > 0.5) != label)
    assert confidences[-1] == pytest.approx(mistakes[-10])


def test_notebooks_fall_back_under_a_banner_and_never_silently(capsys: pytest.CaptureFixture[str]) -> None:
    reviews = fallback.movie_reviews_or_sample()
    assert reviews.name == "written sample" and len(reviews) >= 600
    assert fallback.encoder_or_tiny("minilm") == "tiny"
    shown = capsys.readouterr().err
    assert "not the real movie reviews" in shown and "stands in for minilm" in shown
    assert shown.count("`labkit fetch`") == 2


def test_the_main_job_never_falls_back(tmp_path: Path) -> None:
    with pytest.raises(AssetMissing):
        lab.main_job(Config(model="tiny"), tmp_path / "run")
    assert not (tmp_path / "run").exists()

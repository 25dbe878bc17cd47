"""Laws of folds and seeds: who is held out when, and that a killed cross-validation ends as one that was not."""

import math
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from predicting import make_result
from sklearn.model_selection import StratifiedKFold

from labkit.data.reviews import Reviews, normalise
from labkit.experiments import folds
from labkit.experiments.fine_tuning import Interrupted
from labkit.experiments.folds import (
    CrossValidation,
    Repetition,
    SeedSpread,
    compare_folds,
    cross_validate,
    seed_spread,
    stratified_kfold,
)
from labkit.training.config import Config

law = settings(max_examples=30, deadline=None)


def quick(folder: Path, **settings: object) -> Config:
    """One epoch of the tiny world's model on the CPU."""
    same = {
        "model": str(folder),
        "epochs": 1,
        "batch_size": 16,
        "device": "cpu",
        "precision": "fp32",
        "learning_rate": 1e-3,
    }
    return Config(**(same | settings))  # type: ignore[arg-type]


def quiet(notice: str) -> None:
    """Tell nobody."""


# --- folds --------------------------------------------------------------------------------------------------------


@law
@given(st.integers(2, 6), st.integers(0, 99), st.lists(st.integers(6, 25), min_size=1, max_size=3))
def test_every_example_is_held_out_once_and_each_class_evenly_as_scikit_learn_does(k, seed, sizes):
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    pairs = stratified_kfold(labels, k, seed)
    assert sorted(index for _, held_out in pairs for index in held_out) == list(range(len(labels)))
    for train, held_out in pairs:
        assert sorted(train + held_out) == list(range(len(labels)))
    for label in range(len(sizes)):
        ours = sorted(int((labels[held_out] == label).sum()) for _, held_out in pairs)
        theirs = StratifiedKFold(k).split(labels, labels)
        assert ours == sorted(int((labels[held_out] == label).sum()) for _, held_out in theirs)
    totals = [len(held_out) for _, held_out in pairs]
    assert max(totals) - min(totals) <= 1


def test_the_same_seed_gives_the_same_folds_and_another_seed_others():
    labels = [0, 1] * 20
    assert stratified_kfold(labels, 4, seed=1) == stratified_kfold(labels, 4, seed=1)
    assert stratified_kfold(labels, 4, seed=1) != stratified_kfold(labels, 4, seed=2)


def test_copies_of_a_text_are_held_out_together():
    texts = ["one", "One ", "two", "three", "THREE", "three", "four", "five", "six", "seven"]
    labels = [0, 0, 1, 0, 0, 0, 1, 1, 0, 1]
    for train, held_out in stratified_kfold(labels, 3, texts=texts):
        apart = {normalise(texts[i]) for i in train} & {normalise(texts[i]) for i in held_out}
        assert apart == set()


@pytest.mark.parametrize(
    ("labels", "k", "message"),
    [
        ([0, 0, 0, 1, 1], 3, "2 different examples of class 1; found 3"),
        ([0, 0], 1, "found 1"),
        ([0.5, 0], 2, "whole numbers"),
    ],
)
def test_folds_that_cannot_be_made_are_refused(labels, k, message):
    with pytest.raises(ValueError, match=message):
        stratified_kfold(labels, k)


# --- what comes out -----------------------------------------------------------------------------------------------


def made(k: int = 4, offset: int = 0) -> CrossValidation:
    repetitions = [Repetition(f"fold {i}", make_result(n=40, seed=i + offset, name="m"), 120, 0, 1.0) for i in range(k)]
    return CrossValidation("m<i>", "reviews", tuple(repetitions))


def test_the_pooled_result_holds_every_fold_in_order():
    found = made()
    assert len(found.pooled) == 160
    np.testing.assert_array_equal(found.pooled.labels[40:80], found.repetitions[1].test.labels)
    mean_loss = np.mean([each.test.loss for each in found.repetitions])
    assert found.pooled.loss == pytest.approx(mean_loss)


def test_the_table_shows_every_fold_and_says_what_its_interval_is():
    found = made()
    shown, text = found._repr_html_(), str(found)
    for words in (*(f"fold {i}" for i in range(4)), "Nadeau and Bengio", "rough", "too narrow"):
        assert words in shown
        assert words in text
    assert "m<i>" not in shown
    assert found.test_to_train == pytest.approx(1 / 3)
    test = found.test()
    assert test.mean.value == pytest.approx(np.mean([each.test.correct.mean() for each in found.repetitions]))
    assert f"{test.naive_low:.3f}" in text
    assert "\n" not in repr(found)


def test_as_json_a_cross_validation_has_every_fold_and_both_intervals():
    written = made().as_json()
    assert [fold["label"] for fold in written["folds"]] == [f"fold {i}" for i in range(4)]
    accuracy = written["metrics"]["accuracy"]
    assert accuracy["low"] < accuracy["naive_low"] < accuracy["value"] < accuracy["naive_high"] < accuracy["high"]


def test_two_recipes_are_compared_fold_by_fold_and_only_over_the_same_folds():
    a = made()
    scores = a.scores("f1")
    assert compare_folds(a, a, "f1").mean.value == 0
    assert compare_folds(a, a).p_value == 1
    assert scores.shape == (4,)
    with pytest.raises(ValueError, match="the same folds"):
        compare_folds(a, made(offset=5))
    with pytest.raises(ValueError, match="the same folds"):
        compare_folds(a, made(k=3))


def test_the_spread_over_seeds_is_the_standard_deviation_and_says_what_it_leaves_out():
    found = SeedSpread("m", "reviews", made().repetitions)
    assert found.spread() == pytest.approx(np.std([each.test.correct.mean() for each in found.repetitions], ddof=1))
    assert "the seeds alone" in str(found)
    assert "Nadeau" not in found._repr_html_()


# --- the runs -----------------------------------------------------------------------------------------------------


def test_every_review_is_tested_once_by_a_run_that_did_not_see_it(tiny_folder, tiny_world, tmp_path, monkeypatch):
    seen, plain = [], folds.fine_tune

    def watched(config, reviews, folder, *, splits, **named):
        seen.append(splits)
        return plain(config, reviews, folder, splits=splits, **named)

    monkeypatch.setattr(folds, "fine_tune", watched)
    found = cross_validate(quick(tiny_folder), tiny_world.reviews, tmp_path / "cv", k=3, progress=False, tell=quiet)
    tested = [name for splits in seen for name in splits.test.ids]
    assert sorted(tested) == sorted(tiny_world.reviews.ids)
    for splits, each in zip(seen, found.repetitions, strict=True):
        parts = [set(part.ids) for part in (splits.train, splits.validation, splits.test)]
        assert sum(map(len, parts)) == len(set.union(*parts)) == len(tiny_world.reviews)
        assert each.test.labels.tolist() == splits.test.labels.tolist()
        assert each.train_examples == len(splits.train)
    assert not list((tmp_path / "cv").glob("*/model"))
    assert sorted(path.parent.name for path in (tmp_path / "cv").glob("*/test.json")) == ["fold-0", "fold-1", "fold-2"]


def test_the_same_call_again_reads_what_is_finished_and_trains_nothing(tiny_folder, tiny_world, tmp_path, monkeypatch):
    arguments = quick(tiny_folder), tiny_world.reviews, tmp_path / "cv", 2
    first = cross_validate(*arguments, progress=False, tell=quiet)
    monkeypatch.setattr(folds, "fine_tune", None)
    again = cross_validate(*arguments, progress=False, tell=quiet)
    assert str(again) == str(first)
    assert again.scores("nll").tolist() == pytest.approx(first.scores("nll").tolist(), abs=1e-12)


def test_other_reviews_or_settings_in_the_folder_are_refused(tiny_folder, tiny_world, tmp_path):
    arguments = quick(tiny_folder), tiny_world.reviews, tmp_path / "cv", 2
    cross_validate(*arguments, progress=False, tell=quiet)
    with pytest.raises(Exception, match="seed: 0 there, 1 now"):
        cross_validate(quick(tiny_folder, seed=1), *arguments[1:], progress=False, tell=quiet)
    fewer = tiny_world.reviews.select(range(60))
    with pytest.raises(Exception, match="their contents differ"):
        cross_validate(arguments[0], fewer, *arguments[2:], progress=False, tell=quiet)


def test_seeds_share_their_test_reviews_and_differ_in_their_training(tiny_folder, tmp_path):
    texts = [f"{'good' if i % 2 else 'bad'} film number {i}" for i in range(160)]
    reviews = Reviews("own", [str(i) for i in range(160)], texts, np.arange(160) % 2)
    found = seed_spread(quick(tiny_folder), reviews, tmp_path / "seeds", [0, 1], progress=False, tell=quiet)
    one, other = found.repetitions
    np.testing.assert_array_equal(one.test.labels, other.test.labels)
    assert (one.test.probabilities != other.test.probabilities).any()
    assert [each.label for each in found.repetitions] == ["seed 0", "seed 1"]


def test_each_run_says_which_of_how_many_it_is(tiny_folder, tiny_world, tmp_path, monkeypatch):
    done = SimpleNamespace(history=[], test=None, splits=SimpleNamespace(train=[]))
    monkeypatch.setattr(folds, "fine_tune", lambda *_, **named: done)
    told = []
    cross_validate(quick(tiny_folder), tiny_world.reviews, tmp_path / "cv", k=3, tell=told.append)
    seed_spread(quick(tiny_folder), tiny_world.reviews, tmp_path / "seeds", [4, 7], tell=told.append)
    runs = [f"fold {fold}, run {fold + 1} of 3:" for fold in range(3)]
    assert told == [*runs, "seed 4, run 1 of 2:", "seed 7, run 2 of 2:"]


def test_a_run_that_was_stopped_comes_whole_out_of_another_process():
    error = pickle.loads(pickle.dumps(Interrupted(signal.SIGTERM, "stopped")))
    assert (error.exit_code, str(error)) == (128 + signal.SIGTERM, "stopped")


PROGRAM = """
    import sys
    from pathlib import Path
    import numpy as np
    from labkit.training.config import Config
    from labkit.experiments.folds import cross_validate
    from labkit.data.reviews import Reviews

    if __name__ == "__main__":
        texts = [f"{'good' if i % 2 else 'bad'} film number {i}" for i in range(96)]
        reviews = Reviews("own", [str(i) for i in range(96)], texts, np.arange(96) % 2)
        settings = {"epochs": 30, "batch_size": 8, "device": "cpu", "precision": "fp32", "learning_rate": 1e-3}
        config = Config(model=sys.argv[1], patience=30, **settings)
        found = cross_validate(config, reviews, Path(sys.argv[2]), 2, jobs=int(sys.argv[3]), progress=False)
        print(found.scores("nll").tolist())
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills with a signal that Windows has not")
def test_folds_side_by_side_killed_and_called_again_end_as_those_that_were_not(tiny_folder, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(PROGRAM), "utf-8")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def start(folder: str, jobs: int) -> "subprocess.Popen[str]":
        command = [sys.executable, str(program), str(tiny_folder), str(tmp_path / folder), str(jobs)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)

    whole = start("whole", jobs=2).communicate(timeout=300)[0]
    killed = start("killed", jobs=2)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("fold-*/checkpoints/step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    killed.kill()
    killed.wait()
    while list((tmp_path / "killed").glob("fold-*/.lock")) and time.monotonic() < deadline:
        time.sleep(0.2)  # the orphans notice, write a checkpoint and go
    records = [path.read_text("utf-8") for path in (tmp_path / "killed").glob("fold-*/run.json")]
    assert any('"running"' in record for record in records), "it was killed too late to show anything"
    again = start("killed", jobs=2).communicate(timeout=300)[0]
    assert eval(again) == pytest.approx(eval(whole), abs=1e-9)
    assert not math.isnan(sum(eval(whole)))

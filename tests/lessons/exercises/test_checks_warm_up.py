"""The warm-up of lesson 00: checked as every exercise, and without points."""

import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from checking import assert_hints_are_hints, hint_of, judged, lazy_answers, unfinished, verdicts
from sklearn.metrics import accuracy_score

from labkit.checks import check, exercise, exercises, progress
from labkit.lessons.exercises.warm_up.accuracy import EXERCISE as ACCURACY

SEEDS = 40


def counts_up(labels: Sequence[int], predictions: Sequence[int]) -> float:
    right = 0
    for place in range(len(labels)):
        if labels[place] == predictions[place]:
            right += 1
    return right / len(labels)


def with_numpy(labels: Sequence[int], predictions: Sequence[int]) -> Any:
    return np.mean(np.array(labels) == np.array(predictions))


@pytest.mark.parametrize("answer", [counts_up, with_numpy, accuracy_score], ids=["loop", "numpy", "scikit-learn"])
def test_right_answers_pass_whatever_their_style(answer: Callable[..., Any]) -> None:
    assert verdicts(ACCURACY, answer, SEEDS) == {("passed", 0.0)}


@pytest.mark.parametrize("known", ACCURACY.misconceptions, ids=lambda known: known.name)
def test_every_misconception_is_refused_with_its_own_hint(known: Any) -> None:
    for seed in range(SEEDS):
        result = judged(ACCURACY, known.answer, seed)
        assert (result.status, result.points, result.hint) == ("failed", 0.0, known.hint)


def test_a_mixture_of_wrong_things_is_refused() -> None:
    def guesses(labels: Sequence[int], predictions: Sequence[int]) -> float:
        return random.Random(0).random()

    assert verdicts(ACCURACY, guesses, SEEDS) == {("failed", 0.0)}
    assert verdicts(ACCURACY, lambda labels, predictions: len(labels), SEEDS) == {("failed", 0.0)}


@pytest.mark.parametrize("name", list(lazy_answers()))
def test_an_answer_that_is_none_fails(name: str) -> None:
    assert verdicts(ACCURACY, lazy_answers()[name], SEEDS) == {("failed", 0.0)}


def test_the_hints_are_hints() -> None:
    assert_hints_are_hints(ACCURACY)


def test_a_warm_up_is_checked_like_any_exercise_and_earns_nothing() -> None:
    passed, failed = check("0.1", counts_up), check("0.1", lambda labels, predictions: labels == predictions)
    assert (passed.status, passed.points, passed.max_points) == ("passed", 0.0, 0.0)
    assert str(passed).startswith("Exercise 0.1: passed, a warm-up without points\n")
    assert (failed.hint, failed.points) == (hint_of(ACCURACY, "compares the lists as a whole"), 0.0)
    assert failed.example is not None and failed.example.expected == "0.5"
    assert judged(ACCURACY, unfinished).status == "not attempted"
    assert "not attempted, a warm-up" in judged(ACCURACY, unfinished)._repr_html_()


def test_a_warm_up_is_found_by_its_id_and_stands_in_no_progress() -> None:
    assert exercise("0.1") is ACCURACY and ACCURACY.lesson == "00"
    assert "0.1" not in exercises() and "0.1" not in progress().exercises


def test_progress_stays_a_function_however_often_it_is_asked_for() -> None:
    code = "from labkit.checks import progress; progress(); from labkit.checks import progress; progress()"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

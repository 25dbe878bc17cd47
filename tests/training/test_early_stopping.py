"""Laws of early stopping: one rule says which epoch is the best and when to stop."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.training.early_stopping import EarlyStopping, TrainingError, fit_with_early_stopping

losses_of_epochs = st.lists(st.one_of(st.floats(0, 4), st.sampled_from([0.5, 1.0, math.nan, math.inf])), max_size=12)


@settings(max_examples=200, deadline=None)
@given(losses_of_epochs, st.integers(1, 4), st.sampled_from([0.0, 0.25, 0.5]))
def test_early_stopping_is_what_its_definition_says_of_the_whole_list(losses, patience, min_delta):
    stopping = EarlyStopping(patience, min_delta)
    assert (stopping.best_loss, stopping.best_epoch) == (math.inf, None)
    best, improved = math.inf, list[bool]()
    for epoch, loss in enumerate(losses):
        improved.append(loss < best - min_delta)
        best = loss if improved[-1] else best
        failing = len(improved) >= patience and not any(improved[-patience:])
        assert stopping.step(loss) == failing
        assert stopping.best_loss == best
        epochs = [number for number, better in enumerate(improved) if better]
        assert stopping.best_epoch == (epochs[-1] if epochs else None)
        assert epoch + 1 == len(improved)


def test_patience_below_one_is_refused():
    with pytest.raises(ValueError, match="patience is 0; wanted at least 1"):
        EarlyStopping(patience=0)


@given(st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, math.nan]), min_size=1, max_size=8), st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_the_bare_loop_saves_each_new_best_and_restores_the_last_of_them_once_at_the_end(losses, patience):
    said: list[str] = []
    coming = iter(losses)

    def evaluate() -> float:
        said.append("evaluate")
        return next(coming)

    def run() -> list[float]:
        return fit_with_early_stopping(
            lambda: said.append("train"),
            evaluate,
            lambda: said.append("save"),
            lambda: said.append("restore"),
            len(losses),
            patience,
        )

    expected: list[str] = []
    best, failures, epochs = math.inf, 0, 0
    for loss in losses:
        expected += ["train", "evaluate"]
        epochs += 1
        if loss < best:
            best, failures = loss, 0
            expected.append("save")
        else:
            failures += 1
        if failures == patience:
            break
    if best == math.inf:
        with pytest.raises(TrainingError, match="no loss was a finite number"):
            run()
        assert said == expected
        return
    np.testing.assert_array_equal(run(), losses[:epochs])
    assert said == [*expected, "restore"]


def test_the_bare_loop_wants_at_least_one_epoch():
    with pytest.raises(ValueError, match="max_epochs is 0"):
        fit_with_early_stopping(list, float, list, list, 0)

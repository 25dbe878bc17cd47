"""Laws of the simulation: honest tests keep their promise, and the naive ones are seen to break it."""

import time

import numpy as np
import pytest

from labkit.evaluation.false_alarms import ABOUT, false_alarm_rates


@pytest.fixture(scope="module")
def alarms():
    started = time.process_time()
    found = false_alarm_rates(repetitions=600)
    return found, time.process_time() - started


def test_the_naive_t_tests_cry_wolf_and_the_corrected_one_does_not(alarms):
    rates = alarms[0].rates
    assert rates["naive k-fold t-test"].low > 0.05
    assert rates["naive repeated k-fold t-test"].low > 0.25
    assert rates["McNemar over all folds"].low > 0.05
    assert rates["corrected k-fold t-test"].low <= 0.05
    assert rates["corrected k-fold t-test"].high < rates["naive k-fold t-test"].low + 0.05


def test_the_tests_on_one_test_set_keep_their_promise(alarms):
    for name in ("McNemar, one test set", "paired bootstrap, one test set"):
        assert alarms[0].rates[name].low <= 0.05
        assert alarms[0].rates[name].high < 0.09


def test_the_simulation_takes_the_seconds_that_a_lesson_has(alarms):
    assert alarms[1] < 8


def test_the_same_seed_gives_the_same_rates_and_the_global_state_is_left_alone():
    before = np.random.get_state()[1].copy()
    once, twice, other = (false_alarm_rates(repetitions=40, seed=seed) for seed in (1, 1, 2))
    assert once == twice != other
    np.testing.assert_array_equal(before, np.random.get_state()[1])


def test_the_table_names_each_test_and_what_it_does(alarms):
    for shown in (str(alarms[0]), alarms[0]._repr_html_()):
        assert all(name in shown for name in ABOUT)
        assert "600" in shown


@pytest.mark.parametrize("options", [{"k": 1}, {"k": 51}, {"repetitions": 0}])
def test_a_simulation_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match="wanted 2 <= k"):
        false_alarm_rates(**options)

"""Laws of measuring: what is counted is what the step really keeps, and whoever measures leaves no trace."""

import copy
from typing import TYPE_CHECKING

import numpy as np
import pytest
from test_memory import peak_bytes
from traces import assert_no_trace, trace_of

from labkit.data.batching import Batch, Batcher
from labkit.data.tokens import tokenize
from labkit.models.encoders import freeze
from labkit.training import step_costs as measuring
from labkit.training.step_costs import StepCost, StepCosts, step_costs

if TYPE_CHECKING:
    from conftest import TinyWorld


@pytest.fixture(scope="module")
def batch(tiny_world: "TinyWorld") -> Batch:
    batcher = Batcher(tokenize(tiny_world.texts, tiny_world.tokenizer, 24), tiny_world.labels, "dynamic")
    return batcher.batch(range(32))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_what_is_kept_is_nearly_all_of_the_peak(dropout, tiny_world, batch):
    model = tiny_world.model(dropout)
    model(**batch).loss.backward()  # gradients are there before and after, so the peak is that of the activations
    peak = peak_bytes(lambda: model(**batch).loss.backward())
    kept = step_costs(model, batch, ["fp32"])[0].kept_bytes
    assert 0.6 * peak < kept <= peak


def test_a_frozen_encoder_keeps_next_to_nothing(tiny_world, batch):
    model = tiny_world.model()
    full = step_costs(model, batch, ["fp32"])[0].kept_bytes
    freeze(model, "encoder")
    assert step_costs(model, batch, ["fp32"])[0].kept_bytes < full / 20


def test_half_precision_gives_the_gradient_roughly_and_the_same_precision_exactly(tiny_world, batch):
    costs = step_costs(tiny_world.model(dropout=0.5), batch, ["fp32", "bf16", "fp16", "fp32"])
    assert (costs[0].difference, costs[3].difference) == (0, 0)
    assert 1e-5 < costs.named("fp16").difference < costs.named("bf16").difference < 0.1
    assert all(cost.seconds > 0 and cost.reviews_per_second == 32 / cost.seconds for cost in costs)


def test_measuring_trains_nothing_and_leaves_no_trace(tiny_world, batch):
    model = tiny_world.model(dropout=0.5)
    model.bert.eval()
    before = trace_of(model)
    step_costs(model, batch, ["fp32", "bf16"])
    assert_no_trace(model, before)


def test_a_slow_way_is_not_repeated_beyond_patience(monkeypatch):
    clock = iter(np.arange(0.0, 1000.0, 2.0))
    monkeypatch.setattr(measuring.time, "perf_counter", lambda: next(clock))
    runs: list[int] = []
    assert measuring._median_seconds(lambda: runs.append(1), repeats=5, patience=3.0) == 2.0
    assert len(runs) == 1
    assert measuring._median_seconds(lambda: runs.append(1), repeats=5, patience=1000.0) == 2.0
    assert len(runs) == 6


def test_what_is_no_precision_is_refused_before_anything_is_run(tiny_world):
    with pytest.raises(ValueError, match="'auto' is none of fp32, bf16, fp16"):
        step_costs(tiny_world.model(), copy.copy({}), ["auto"])


def test_the_table_says_what_was_measured_and_escapes_it():
    rows = (StepCost("fp32", 8, 0.5, 2_500_000), StepCost("<b>", 8, 0.25, 1_000_000, 0.0123))
    costs = StepCosts(rows, "cpu", (8, 40))
    assert str(costs).splitlines() == [
        "Forward and backward pass of 8 reviews, 40 tokens wide, on cpu",
        "fp32, 0.500 s, 16 reviews/s, 2.5 MB kept, the reference",
        "<b>, 0.250 s, 32 reviews/s, 1.0 MB kept, 1.23% off",
    ]
    page = costs._repr_html_()
    assert "<caption>Forward and backward pass" in page
    assert page.count("<tr>") == 3
    assert '<th scope="row">&lt;b&gt;</th>' in page
    assert (len(costs), costs.named("fp32")) == (2, rows[0])
    with pytest.raises(KeyError):
        costs.named("bf16")

"""Laws of the figures of training: what is drawn is what was measured, and the words say what is drawn."""

import numpy as np
import pytest
from matplotlib.axes import Axes

from labkit.evaluation.intervals import proportion_interval
from labkit.evaluation.metrics import EvalResult
from labkit.figures import (
    CUT,
    WHOLE,
    accuracy_intervals,
    alt_text,
    gradient_differences,
    gradient_sizes_figure,
    loss_by_step,
    part_sizes,
    to_svg,
)
from labkit.training.gradients import GradientSizes

SIZES = GradientSizes(np.array([2.0**-30, 2.0**-28, 2.0**-10, 2.0**-9]))


def result(right: int, name: str, n: int = 20) -> EvalResult:
    """A model that has the first `right` of n reviews right."""
    labels = np.arange(n) % 2
    predictions = np.where(np.arange(n) < right, labels, 1 - labels)
    return EvalResult(labels, np.eye(2)[predictions], loss=0.5, name=name)


FIGURES = {
    "parts": lambda: part_sizes({"embeddings": 300, "classifier": 100}, name="tiny"),
    "losses": lambda: loss_by_step({"2e-05": [0.7, 0.6], "5e-05": [0.7, 0.5, 0.3]}),
    "differences": lambda: gradient_differences({"right": 1e-7, "wrong": 0.2, "equal": 0.0}, against="32 at once"),
    "sizes": lambda: gradient_sizes_figure(SIZES, scale=2.0**16),
    "accuracies": lambda: accuracy_intervals([result(16, "full"), result(12, "frozen")], chance=0.5),
}
WORDS = {
    "parts": ["tiny: 400 parameters", "embeddings 300 (75.0%)", "classifier 100 (25.0%)"],
    "losses": ["2e-05 goes from 0.700 to 0.650 in 2 steps", "5e-05 goes from 0.700 to 0.500 in 3 steps"],
    "differences": ["those of 32 at once", "right 1.0e-07", "wrong 2.0e-01", "equal 0.0e+00", "Below 1e-05"],
    "sizes": ["4 numbers", "as they are, 50.00% of them become 0", "times 65,536, 0.00% of them become 0"],
    "accuracies": ["n = 20", "full 0.800 [", "frozen 0.600 [", "the same label gives 0.500"],
}


@pytest.mark.parametrize("name", FIGURES)
def test_the_words_hold_what_is_drawn_and_the_picture_shows_itself(name):
    ax = FIGURES[name]()
    for words in WORDS[name]:
        assert words in alt_text(ax)
    assert "data:image/svg+xml" in ax._repr_html_()
    assert to_svg(ax) == to_svg(FIGURES[name]())


def lengths_of(ax: Axes) -> list[float]:
    return [float(bar.get_width()) for bar in ax.patches]


def test_a_bar_is_as_long_as_the_part_is_large():
    assert lengths_of(FIGURES["parts"]()) == [300, 100]


def test_a_difference_is_red_where_it_is_more_than_rounding_and_zero_is_drawn_too():
    ax = FIGURES["differences"]()
    bars = ax.patches
    from matplotlib.colors import to_hex

    assert [to_hex(bar.get_facecolor()) for bar in bars] == [WHOLE, CUT, WHOLE]
    assert lengths_of(ax)[:2] == [1e-7, 0.2]
    assert 0 < lengths_of(ax)[2] == ax.get_xlim()[0]


def test_at_each_step_the_mean_of_the_last_ones_is_drawn():
    ax = loss_by_step({"one": [4.0, 2.0, 0.0]}, window=2)
    (line,) = ax.lines
    assert line.get_xdata().tolist() == [1, 2, 3]
    assert list(line.get_ydata()) == [4.0, 3.0, 1.0]
    assert line.get_linestyle() == "--"


@pytest.mark.parametrize("losses", [{}, {"one": []}, {"one": [1.0], "two": []}])
def test_a_run_without_a_step_is_refused(losses):
    with pytest.raises(ValueError, match="at least one step of each run"):
        loss_by_step(losses)


def test_nothing_that_flows_back_is_refused():
    with pytest.raises(ValueError, match="nothing flows back"):
        gradient_sizes_figure(GradientSizes(np.empty(0)))


def test_each_model_stands_at_its_accuracy_between_wilsons_bounds():
    ax = FIGURES["accuracies"]()
    for place, (right, container) in enumerate(zip((16, 12), ax.containers, strict=True)):
        point, _, (bounds,) = container.lines
        assert (point.get_xdata()[0], point.get_ydata()[0]) == (right / 20, place)
        interval = proportion_interval(right, 20)
        np.testing.assert_allclose(bounds.get_segments()[0][:, 0], [interval.low, interval.high])
    assert [text.get_text() for text in ax.get_yticklabels()] == ["full", "frozen"]


def test_models_that_answered_different_examples_are_not_drawn_together():
    with pytest.raises(ValueError, match="of the same examples"):
        accuracy_intervals([result(5, "one"), result(5, "two", n=22)])
    with pytest.raises(ValueError, match="at least one result"):
        accuracy_intervals([])

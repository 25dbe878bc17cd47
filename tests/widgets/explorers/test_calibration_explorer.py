"""Laws of the calibration explorer: it shows what the temperature does to the probabilities, and that no prediction moves."""

import html
import re

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from predicting import make_confident, make_result

from labkit.evaluation.calibration import at_temperature, expected_calibration_error, fit_temperature
from labkit.evaluation.metrics import EvalResult
from labkit.figures import alt_text, to_html
from labkit.widgets import calibration_explorer
from labkit.widgets.explorers.calibration import TEMPERATURES, calibration_panels, losses_at, recalibrated
from labkit.widgets.interactive import WIDGET_MIME

RESULT = make_result(n=120, name="MiniLM")
LOSSES = losses_at(RESULT, TEMPERATURES)


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 3.3, 5.0])
def test_what_is_said_of_a_temperature_is_what_scipy_and_scikit_learn_find(temperature: float) -> None:
    probabilities = scipy.special.softmax(np.log(RESULT.probabilities) / temperature, axis=1)
    record = recalibrated(RESULT, temperature)
    np.testing.assert_allclose(record.result.probabilities, probabilities)
    assert record.result.loss == pytest.approx(sklearn.metrics.log_loss(RESULT.labels, probabilities))
    assert record.loss_before == pytest.approx(sklearn.metrics.log_loss(RESULT.labels, RESULT.probabilities))
    confidences, correct = probabilities.max(axis=1), probabilities.argmax(axis=1) == RESULT.labels
    assert record.calibration_error == pytest.approx(expected_calibration_error(confidences, correct))


@pytest.mark.parametrize("temperature", [0.2, 0.7, 1.0, 5.0])
def test_no_temperature_changes_a_prediction_and_it_is_said(temperature: float) -> None:
    assert recalibrated(RESULT, temperature).changed == 0
    explorer = calibration_explorer(RESULT, temperature)
    assert "Predictions that changed: 0 of 120." in explorer.picture.words
    assert "<strong>0 of 120</strong>" in explorer.picture.html


def test_a_prediction_that_did_change_would_be_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    flipped = EvalResult(RESULT.labels, RESULT.probabilities[:, ::-1], loss=0.5)
    monkeypatch.setattr("labkit.widgets.explorers.calibration.at_temperature", lambda result, temperature: flipped)
    assert recalibrated(RESULT, 2.0).changed == len(RESULT)


def test_the_curve_is_the_losses_its_dot_stands_on_it_and_its_bottom_is_the_fitted_temperature() -> None:
    record = recalibrated(RESULT, float(TEMPERATURES[20]))
    _, right = calibration_panels(record, LOSSES).get_figure().axes
    curve, dot = right.lines
    np.testing.assert_allclose(curve.get_ydata(), [at_temperature(RESULT, each).loss for each in TEMPERATURES])
    assert (dot.get_xdata()[0], dot.get_ydata()[0]) == (curve.get_xdata()[20], pytest.approx(curve.get_ydata()[20]))
    fitted = fit_temperature(validation=RESULT).value
    assert TEMPERATURES[max(0, LOSSES.argmin() - 1)] <= fitted <= TEMPERATURES[min(60, LOSSES.argmin() + 1)]


def test_the_bars_are_the_accuracies_at_the_temperature_and_are_said_in_words() -> None:
    record = recalibrated(make_confident(300, sharpness=1.0), 1.5)
    ax = calibration_panels(record, LOSSES)
    heights = [bar.get_height() for bar in ax.patches]
    said = [float(number) for number in re.findall(r"confidence [\d.]+ accuracy ([\d.]+)", alt_text(ax))]
    assert heights == pytest.approx(said, abs=0.005) and len(heights) > 2
    counts = [int(number) for number in re.findall(r"\((\d+)\)", alt_text(ax))]
    assert sum(counts) == 300
    assert ax.get_xlim() == (0.5, 1.0)


def test_moving_the_temperature_changes_picture_words_and_still() -> None:
    explorer = calibration_explorer(RESULT)
    shown, box = explorer.view.children[-1], explorer.controls["temperature"]
    before = shown.value, explorer.picture.words
    box.value = 2.5
    assert shown.value == explorer.picture.html != before[0]
    assert explorer.picture.words != before[1] and "temperature 2.50" in explorer.picture.words
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", WIDGET_MIME}
    assert html.escape(bundle["text/plain"]) in bundle["text/html"]
    assert box.description.strip() and box.min > 0


def test_a_name_of_markup_is_escaped() -> None:
    record = recalibrated(make_result(name="<b>"), 2.0)
    assert "<b>" not in to_html(calibration_panels(record, LOSSES))


def test_without_examples_or_a_temperature_above_0_it_says_so() -> None:
    with pytest.raises(ValueError, match="needs examples"):
        recalibrated(EvalResult([], np.empty((0, 2)), loss=0.5), 1.0)
    with pytest.raises(ValueError, match="above 0"):
        recalibrated(RESULT, 0.0)

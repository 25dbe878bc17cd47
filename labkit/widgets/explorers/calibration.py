"""The temperature explorer: how well the probabilities fit as it moves.

No prediction moves with it. Divides and measures with calibration.py and draws with figures; fits nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.evaluation.arrays import FloatArray
from labkit.evaluation.calibration import at_temperature, expected_calibration_error, reliability_bins
from labkit.evaluation.metrics import EvalResult
from labkit.figures import ALT_TEXT, model_colours, reliability_diagram, to_html
from labkit.widgets.interactive import Interactive, Picture, explorer, labelled

TEMPERATURES = np.geomspace(0.2, 5.0, 61)  # of the curve, and its ends those of the slider


@dataclass(frozen=True, eq=False, repr=False)
class Recalibrated:
    """A result at a temperature, beside what it was at 1.

    changed: how many predictions are others now.
    """

    result: EvalResult
    temperature: float
    calibration_error: float
    loss_before: float
    changed: int

    def __str__(self) -> str:
        result = self.result
        start = f"{result.name}, temperature" if result.name else "Temperature"
        return (
            f"{start} {self.temperature:.2f}: calibration error {self.calibration_error:.3f}, negative log-likelihood "
            f"{result.loss:.3f} ({self.loss_before:.3f} at temperature 1), mean confidence {result.confidences.mean():.3f}, "
            f"accuracy {result.correct.mean():.3f}. Predictions that changed: {self.changed} of {len(result):,}."
        )

    __repr__ = __str__


def recalibrated(result: EvalResult, temperature: float) -> Recalibrated:
    """Apply a temperature to a result and say what it does.

    Raises ValueError without examples, or unless 0 < temperature < infinity.
    """
    if len(result) == 0:
        raise ValueError("a temperature needs examples; found none")
    now = at_temperature(result, temperature)
    error = expected_calibration_error(now.confidences, now.correct)
    changed = int((now.predictions != result.predictions).sum())
    return Recalibrated(now, float(temperature), error, at_temperature(result, 1.0).loss, changed)


def losses_at(result: EvalResult, temperatures: Sequence[float] | FloatArray) -> FloatArray:
    """Compute the negative log-likelihood per example at each temperature.

    Returns (temperatures,).
    """
    return np.array([at_temperature(result, float(each)).loss for each in temperatures])


def calibration_panels(record: Recalibrated, losses: FloatArray) -> Axes:
    """Draw the reliability diagram at the temperature, beside the losses of all.

    A dot shows where the temperature stands in the valley of the losses. losses: at each of TEMPERATURES.
    """
    whole = Figure(figsize=(10.4, 4.2), layout="constrained")
    grid = whole.add_gridspec(1, 2, width_ratios=(3, 2))
    left = reliability_diagram(record.result, whole.add_subplot(grid[0]))
    left.set_xlim(1 / record.result.num_classes, 1)
    left.set_title(f"Calibration error {record.calibration_error:.3f}", fontsize=11, loc="left")
    right = whole.add_subplot(grid[1])
    right.semilogx(TEMPERATURES, losses, color=model_colours([record.result.name])[0], linewidth=2)
    right.plot(record.temperature, record.result.loss, "o", color="black", markersize=9, clip_on=False)
    right.set_xticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
    right.minorticks_off()
    right.set_xlabel("temperature")
    right.set_ylabel("negative log-likelihood per example")
    right.set_title(f"Negative log-likelihood {record.result.loss:.3f}", fontsize=11, loc="left")
    right.spines[["top", "right"]].set_visible(False)
    filled = [row for row in reliability_bins(record.result.confidences, record.result.correct) if row.count]
    bars = [f"confidence {row.confidence:.2f} accuracy {row.accuracy:.2f} ({row.count:,})" for row in filled]
    words = f"Mean confidence and accuracy, with the number of examples, in each bin: {'; '.join(bars)}."
    setattr(left, ALT_TEXT, f"{record} {words}")
    return left


def calibration_explorer(result: EvalResult, temperature: float = 1.0) -> Interactive:
    """Explore temperatures: reliability, calibration error, negative log-likelihood.

    By a slider.
    """
    losses = losses_at(result, TEMPERATURES)
    ends = {"min": float(TEMPERATURES[0]), "max": float(TEMPERATURES[-1])}
    box = labelled(ipywidgets.BoundedFloatText, "temperature:", value=temperature, step=0.05, **ends)

    def show(temperature: float) -> Picture:
        record = recalibrated(result, temperature)
        ax = calibration_panels(record, losses)
        changed = f"Predictions that changed: <strong>{record.changed} of {len(result):,}</strong>"
        return Picture(f"<p>{changed}</p>{to_html(ax)}", str(getattr(ax, ALT_TEXT)))

    return explorer({"temperature": box}, show, sliders=("temperature",))

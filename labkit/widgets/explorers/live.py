"""Training seen live: losses and learning rate, and a button that stops it.

What is stopped keeps its best weights. Watches fit.py's `fit` and changes nothing of it: the same weights come out as
without an audience.
"""

from __future__ import annotations  # torch and matplotlib are imported where they are used, as in showing.py

import contextlib
import html
import math
import signal
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import ipywidgets
import numpy as np
from IPython.display import display

from labkit.widgets.interactive import Interactive, Picture
from labkit.widgets.messages import handle_widget_messages

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from transformers import PreTrainedModel

    from labkit.data.batching import Batcher
    from labkit.experiments.fine_tuning import StopRequest
    from labkit.training.config import Config
    from labkit.training.loop import EpochRecord, StepRecord

SMOOTHED = 10  # steps whose mean is drawn and said
SHARE_OF_TIME = 0.1  # drawing takes at most this part of the time
SECONDS_BETWEEN = 1.0  # two pictures, at least


@dataclass(frozen=True)
class TrainingSoFar:
    """What has been seen of a training: every step and every finished epoch.

    ended: why it is over, in words; empty while it goes on. notes: what the loop had to say.
    """

    steps: Sequence[StepRecord]
    epochs: Sequence[EpochRecord]
    steps_per_epoch: int
    planned_epochs: int
    ended: str = ""
    notes: Sequence[str] = ()
    name: str = ""

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it."""
        return self.ended.startswith("Stopped")

    @property
    def best(self) -> EpochRecord | None:
        """The epoch whose weights the model has at the end.

        None where no epoch was finished, or none was best.
        """
        return next((record for record in reversed(self.epochs) if record.is_best), None)

    def __str__(self) -> str:
        losses = [f"{record.validation_loss:.3f} after epoch {record.epoch}" for record in self.epochs]
        validation = f"Validation loss {', '.join(losses)}." if losses else ""
        return " ".join(part for part in (self._now(), validation, self._end(), *self.notes) if part)

    __repr__ = __str__

    def _now(self) -> str:
        planned = f"{self.planned_epochs} epochs of {self.steps_per_epoch} steps"
        if not self.steps:
            return f"No step yet of {planned}."
        loss = smoothed([step.loss for step in self.steps])[-1]
        seen = min(SMOOTHED, len(self.steps))
        return (
            f"Step {len(self.steps)} of {self.planned_epochs * self.steps_per_epoch} ({planned}): "
            f"training loss {loss:.3f} (mean of the last {seen} steps), learning rate {self.steps[-1].learning_rate:.1e}."
        )

    def _end(self) -> str:
        if not self.ended:
            return ""
        if self.best is None:
            return f"{self.ended} No epoch was finished: the model has the weights of the last step."
        accuracy = f"{self.best.validation_accuracy:.3f}"
        return f"{self.ended} The model has the weights of its best epoch, {self.best.epoch} (accuracy {accuracy})."


def smoothed(losses: Sequence[float]) -> list[float]:
    """Average the last ten losses at each step, fewer at the beginning.

    >>> smoothed([4.0, 2.0])
    [4.0, 3.0]
    """
    return [math.fsum(losses[max(0, end - SMOOTHED) : end]) / min(SMOOTHED, end) for end in range(1, len(losses) + 1)]


def training_figure(record: TrainingSoFar) -> Axes:
    """Draw losses by step above, the learning rate below, a star at the best epoch.

    Training is dashed, validation solid.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter

    from labkit.figures import ALT_TEXT, UNNAMED, ShownAxes

    whole = Figure(figsize=(6.4, 4.6), layout="constrained")
    grid = whole.add_gridspec(2, 1, height_ratios=(3, 1))
    above = whole.add_subplot(grid[0], axes_class=ShownAxes)
    below = whole.add_subplot(grid[1], sharex=above)
    for ax in (above, below):
        ax.spines[["top", "right"]].set_visible(False)
    _draw_losses(above, record)
    taken = np.arange(1, len(record.steps) + 1)
    below.plot(taken, [step.learning_rate for step in record.steps], color=UNNAMED)
    below.set_ylim(bottom=0)
    below.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    below.set_ylabel("learning rate")
    below.set_xlabel("optimizer step")
    above.set_xlim(0, record.steps_per_epoch * record.planned_epochs)
    setattr(above, ALT_TEXT, str(record))
    return above


def _draw_losses(ax: Axes, record: TrainingSoFar) -> None:
    from labkit.figures import UNNAMED, model_colours

    colour = model_colours([record.name])[0] if record.name else UNNAMED
    losses = [step.loss for step in record.steps]
    taken = np.arange(1, len(losses) + 1)
    ax.plot(taken, losses, ".", color=colour, alpha=0.25, markersize=3)
    ax.plot(taken, smoothed(losses), "--", color=colour, label=f"training, mean of {SMOOTHED} steps")
    ends = [(epoch.epoch + 1) * record.steps_per_epoch for epoch in record.epochs]
    ax.plot(
        ends,
        [epoch.validation_loss for epoch in record.epochs],
        "-o",
        color=colour,
        markersize=5,
        clip_on=False,
        label="validation",
    )
    if record.best is not None:
        end = (record.best.epoch + 1) * record.steps_per_epoch
        ax.plot(
            end,
            record.best.validation_loss,
            "*",
            color="black",
            markersize=14,
            clip_on=False,
            zorder=3,
            label=f"best epoch: {record.best.epoch}",
        )
    ax.tick_params(labelbottom=False)
    ax.set_ylabel("loss per example")
    ax.legend(frameon=False, fontsize=9)


def live_training(
    model: PreTrainedModel,
    train: Batcher,
    validation: Batcher,
    config: Config,
    *,
    name: str = "",
) -> TrainingSoFar:
    """Fine-tune as `labkit.training.fit.fit` does and show it while it happens.

    Returns what was seen. The button Stop training, and Interrupt, end it after the step that is running, without an error;
    the model then has the weights of its best epoch, as at any end. A second Interrupt ends it at once. name: the model's,
    for its colour.
    """
    from labkit.experiments.fine_tuning import StopRequest
    from labkit.training.fit import TrainingStopped

    watch = Watch(-(-len(train) // config.batch_size), config.epochs, name)
    display(watch.view)
    with StopRequest() as request:
        watch.request = request
        try:
            _train(watch, model, train, validation, config)
            watch.end(
                f"All {config.epochs} epochs are done." if len(watch.epochs) == config.epochs else "It stopped early."
            )
        except TrainingStopped:
            watch.end(f"Stopped by {watch.stopped_by()}.")
        except BaseException as why:
            ended = "an interrupt" if isinstance(why, KeyboardInterrupt) else type(why).__name__
            watch.end(f"Ended by {ended}.")
            raise
    if request.signal == signal.SIGTERM:
        signal.raise_signal(signal.SIGTERM)  # meant for the whole program, which is now ready for it
    return watch.so_far()


def _train(watch: Watch, model: Any, train: Any, validation: Any, config: Any) -> None:
    from labkit.training.fit import TrainingStopped, fit

    epochs = fit(
        model,
        train,
        validation,
        config,
        progress=False,
        tell=watch.note,
        after_step=watch.step,
        should_stop=watch.should_stop,
    )
    with contextlib.closing(cast("Generator[EpochRecord, None, None]", epochs)) as records:
        for record in records:
            watch.epoch(record)
            if len(watch.epochs) < config.epochs and watch.should_stop():
                raise TrainingStopped


@dataclass
class Watch:
    """What gathers a training's records, draws them, and hears of a wish to stop.

    It draws now and then while the loop runs; the wish comes from the button or from Interrupt.
    """

    steps_per_epoch: int
    planned_epochs: int
    name: str = ""
    steps: list[StepRecord] = field(default_factory=list)
    epochs: list[EpochRecord] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ended: str = ""
    request: StopRequest | None = None

    def __post_init__(self) -> None:
        self.clicked = False
        self._next_picture = 0.0
        self.button = ipywidgets.Button(
            description="Stop training", icon="stop", tooltip="Stop after this step", layout={"width": "max-content"}
        )

        def stop(button: Any) -> None:
            self.clicked = True
            button.disabled = True
            button.description = "Stopping …"

        self.button.on_click(stop)
        shown = ipywidgets.HTML(layout={"width": "98%"})
        self.view = Interactive(ipywidgets.VBox([self.button, shown]), {"stop": self.button}, self.picture, shown)

    def so_far(self) -> TrainingSoFar:
        """Return what has been seen up to now."""
        seen = tuple(self.steps), tuple(self.epochs), self.steps_per_epoch, self.planned_epochs
        return TrainingSoFar(*seen, self.ended, tuple(self.notes), self.name)

    def picture(self) -> Picture:
        """Draw what has been seen up to now, as a figure and in words."""
        from labkit.figures import to_html

        record = self.so_far()
        return Picture(f"<p>{html.escape(str(record))}</p>{to_html(training_figure(record))}", str(record))

    def step(self, record: StepRecord) -> None:
        """Take one step's record; draws if a picture is due."""
        self.steps.append(record)
        if time.monotonic() >= self._next_picture:
            self.draw()

    def epoch(self, record: EpochRecord) -> None:
        """Take one epoch's record, and draw it."""
        self.epochs.append(record)
        self.draw()

    def note(self, text: str) -> None:
        """Take what the loop says in words."""
        self.notes.append(text if text.endswith(".") else f"{text}.")

    def draw(self) -> None:
        """Show the present picture, and set when the next is due.

        That is after ten times as long as this one took.
        """
        start = time.monotonic()
        self.view.redraw()
        end = time.monotonic()
        self._next_picture = end + max(SECONDS_BETWEEN, (end - start) / SHARE_OF_TIME)

    def should_stop(self) -> bool:
        """Say whether somebody wants it to stop.

        Asks the widget messages that wait, and the signals that came.
        """
        handle_widget_messages()
        return self.clicked or (self.request is not None and self.request.signal is not None)

    def stopped_by(self) -> str:
        """Say who wanted it to stop."""
        return "the button" if self.clicked else "Interrupt"

    def end(self, why: str) -> None:
        """Say why it is over, show the last picture and take the button away from use."""
        self.ended = why
        self.button.disabled = True
        self.button.description = "Training has ended"
        self.draw()

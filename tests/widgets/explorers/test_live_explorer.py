"""Laws of training seen live: an audience changes nothing, and whoever stops it gets the best weights."""

import os
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from labkit.data.batching import Batcher
from labkit.data.tokens import tokenize
from labkit.figures import alt_text, to_html
from labkit.training.config import Config
from labkit.training.early_stopping import TrainingError
from labkit.training.fit import evaluate, fit
from labkit.training.loop import EpochRecord, StepRecord
from labkit.widgets.explorers import live
from labkit.widgets.explorers.live import TrainingSoFar, Watch, live_training, smoothed, training_figure
from labkit.widgets.interactive import WIDGET_MIME

CONFIG = Config(epochs=3, batch_size=8, learning_rate=1e-3, device="cpu", precision="fp32", patience=3)


class Shown:
    """What is displayed: one view, and what it says at any moment."""

    def __init__(self) -> None:
        self.views: list[Any] = []

    @property
    def bundle(self) -> dict[str, Any]:
        (view,) = self.views
        return view._repr_mimebundle_()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    seen = Shown()
    monkeypatch.setattr(live, "display", seen.views.append)
    monkeypatch.setattr(live, "SECONDS_BETWEEN", 60.0)
    return seen


@pytest.fixture
def batchers(tiny_world: Any) -> tuple[Batcher, Batcher]:
    tokenized = tokenize(tiny_world.texts, tiny_world.tokenizer, 24)
    return Batcher(tokenized, tiny_world.labels), Batcher(tokenized, tiny_world.labels)


def watch_and_do(monkeypatch: pytest.MonkeyPatch, at_step: int, act: Any) -> None:
    """Do something once the step of that number is done."""
    plain = Watch.step

    def step(self: Watch, record: StepRecord) -> None:
        plain(self, record)
        if len(self.steps) == at_step:
            act(self)

    monkeypatch.setattr(Watch, "step", step)


def weights(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(one[name], other[name]) for name in one)


def test_an_audience_changes_nothing(tiny_world: Any, batchers: Any, shown: Shown) -> None:
    watched, alone = tiny_world.model(dropout=0.1), tiny_world.model(dropout=0.1)
    seen = live_training(watched, *batchers, CONFIG)
    history = list(fit(alone, *batchers, CONFIG, progress=False))
    assert list(seen.epochs) == history
    assert len(seen.steps) == 24 and not seen.stopped
    assert same(weights(watched), weights(alone))


def test_the_last_picture_is_the_still(tiny_world: Any, batchers: Any, shown: Shown) -> None:
    seen = live_training(tiny_world.model(), *batchers, CONFIG)
    bundle = shown.bundle
    assert set(bundle) == {"text/plain", "text/html", WIDGET_MIME}
    assert bundle["text/plain"] == str(seen) and "All 3 epochs are done. The model has the weights of its best" in str(
        seen
    )
    assert "<img alt=" in bundle["text/html"]


STOPS = {
    "the button": lambda watch: watch.button.click(),
    "Interrupt": lambda watch: os.kill(os.getpid(), signal.SIGINT),
}


@pytest.mark.parametrize("way", STOPS)
def test_a_stop_ends_it_after_the_step_with_the_best_weights_and_without_an_error(
    tiny_world: Any, batchers: Any, shown: Shown, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    watch_and_do(monkeypatch, 19, STOPS[way])  # in the third epoch
    model = tiny_world.model()
    seen = live_training(model, *batchers, CONFIG)
    assert (len(seen.steps), len(seen.epochs), seen.stopped) == (19, 2, True)
    assert f"Stopped by {way}. The model has the weights of its best epoch, {seen.best.epoch}" in str(seen)
    assert evaluate(model, batchers[1], CONFIG).loss == pytest.approx(seen.best.validation_loss, rel=1e-6)


def test_a_stop_in_the_first_epoch_says_which_weights_there_are(
    tiny_world: Any, batchers: Any, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch_and_do(monkeypatch, 2, STOPS["the button"])
    seen = live_training(tiny_world.model(), *batchers, CONFIG)
    assert "No epoch was finished: the model has the weights of the last step." in str(seen)


def test_a_stop_after_the_last_step_of_an_epoch_begins_no_other(tiny_world: Any, batchers: Any, shown: Shown) -> None:
    """The click comes while the epoch is evaluated, when nobody asks."""
    plain = Watch.epoch

    def epoch(self: Watch, record: EpochRecord) -> None:
        plain(self, record)
        self.button.click()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Watch, "epoch", epoch)
        seen = live_training(tiny_world.model(), *batchers, CONFIG)
    assert (len(seen.steps), len(seen.epochs), seen.stopped) == (8, 1, True)


def test_a_second_interrupt_ends_it_at_once_and_still_gives_the_best_weights(
    tiny_world: Any, batchers: Any, shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    def twice(watch: Watch) -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    watch_and_do(monkeypatch, 10, twice)
    model = tiny_world.model()
    with pytest.raises(KeyboardInterrupt):
        live_training(model, *batchers, CONFIG)
    first = tiny_world.model()
    next(iter(fit(first, *batchers, CONFIG, progress=False)))
    assert same(weights(model), weights(first))
    assert "Ended by an interrupt." in shown.bundle["text/plain"]


def test_after_it_the_signals_are_whose_they_were(tiny_world: Any, batchers: Any, shown: Shown) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    live_training(tiny_world.model(), *batchers, CONFIG)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_failing_training_fails_and_says_so(tiny_world: Any, batchers: Any, shown: Shown) -> None:
    model = tiny_world.model()
    torch.nn.init.constant_(model.classifier.bias, float("nan"))
    with pytest.raises(TrainingError):
        live_training(model, *batchers, CONFIG)
    assert "Ended by TrainingError." in shown.bundle["text/plain"]


def make_record(steps: int, losses: tuple[float, ...] = (), ended: str = "") -> TrainingSoFar:
    taken = [StepRecord(1.0 / number, 8, 1.0, 1e-4) for number in range(1, steps + 1)]
    epochs, best = [], float("inf")
    for epoch, loss in enumerate(losses):
        epochs.append(EpochRecord(epoch, 0.5, loss, 0.8, 1e-4, loss < best, 8, 1.0, 8.0))
        best = min(best, loss)
    return TrainingSoFar(taken, epochs, 4, 3, ended, name="tiny")


@pytest.mark.parametrize(("steps", "losses"), [(0, ()), (1, ()), (4, (0.7,)), (12, (0.7, 0.5, 0.6))])
def test_training_is_drawn_and_told_at_every_stage(steps: int, losses: tuple[float, ...]) -> None:
    record = make_record(steps, losses)
    ax = training_figure(record)
    assert alt_text(ax) == str(record)
    assert to_html(ax).startswith("<figure")
    assert list(ax.lines[2].get_xdata()) == [4 * (epoch + 1) for epoch in range(len(losses))]
    assert [line.get_linestyle() for line in ax.lines[1:3]] == ["--", "-"]


def test_the_words_name_the_best_epoch_and_not_the_last() -> None:
    words = str(make_record(12, (0.7, 0.5, 0.6), "All 3 epochs are done."))
    assert words.endswith("The model has the weights of its best epoch, 1 (accuracy 0.800).")
    assert "Validation loss 0.700 after epoch 0, 0.500 after epoch 1, 0.600 after epoch 2." in words


def test_smoothing_is_the_mean_of_the_last_ten() -> None:
    assert smoothed([float(number) for number in range(20)])[-1] == pytest.approx(14.5)


# In a real kernel

CELL = """
import torch
from labkit import Batcher, Config, load_encoder, sample_reviews, tokenize
from labkit.widgets.explorers import live
reviews = sample_reviews()
model, tokenizer = load_encoder("tiny")
batches = Batcher(tokenize(reviews.texts, tokenizer, 64), reviews.labels)
config = Config(model="tiny", epochs=50, batch_size=8, learning_rate=1e-4, device="cpu", precision="fp32")
plain = live.Watch.__post_init__
def announced(self):
    plain(self)
    print("button", self.button.comm.comm_id, flush=True)
live.Watch.__post_init__ = announced
torch.set_num_threads(1)
"""
TRAIN = "seen = live.live_training(model, batches, batches, config)"


@pytest.fixture
def kernel() -> Iterator[tuple[KernelManager, BlockingKernelClient]]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def wait_for(client: BlockingKernelClient, what: str, seconds: float = 90) -> str:
    """The first printed line that begins so."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        message = client.get_iopub_msg(timeout=seconds)
        assert message["msg_type"] != "error", message["content"]["traceback"]
        lines = message["content"].get("text", "").splitlines() if message["msg_type"] == "stream" else []
        for line in lines:
            if line.startswith(what):
                return line
    raise AssertionError(f"{what} was not printed")


@pytest.mark.parametrize("way", ["the button", "Interrupt"])
def test_in_a_kernel_a_stop_is_heard_under_run_all_and_the_next_cell_runs(kernel: Any, way: str) -> None:
    manager, client = kernel
    for cell in (CELL, TRAIN, "print('next', len(seen.epochs), seen.ended)"):
        client.execute(cell)
    comm_id = wait_for(client, "button").split()[1]
    time.sleep(2)
    if way == "Interrupt":
        manager.interrupt_kernel()
    else:
        data = {"method": "custom", "content": {"event": "click"}}
        client.shell_channel.send(client.session.msg("comm_msg", {"comm_id": comm_id, "data": data}))
    asked = time.monotonic()
    assert wait_for(client, "next").endswith(f"Stopped by {way}.")
    assert time.monotonic() - asked < 20

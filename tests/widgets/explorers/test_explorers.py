"""Laws of the explorers: what they show is what the library does, in the picture, in words and in the still."""

import html
import re
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.patches import Rectangle

from labkit.data.batching import BATCHINGS, Batcher, plan_epoch
from labkit.data.tokens import Tokenized, encode
from labkit.errors import UsageError
from labkit.figures import alt_text
from labkit.training.early_stopping import fit_with_early_stopping
from labkit.widgets import batch_explorer, learning_rate_explorer, stopping_explorer, tokenizer_explorer
from labkit.widgets.explorers.batches import SHOWN_BARS, batch_bars, batch_figure
from labkit.widgets.explorers.learning_rate import schedule, schedule_figure
from labkit.widgets.explorers.stopping import stopping, stopping_figure
from labkit.widgets.explorers.tokenizer import tokenized_text
from labkit.widgets.interactive import WIDGET_MIME

LOSSES = [0.7, 0.6, 0.65, 0.5, 0.55, 0.6, 0.7]
LENGTHS = [3, 9, 4, 40, 12, 5, 7, 200, 6, 8, 31]


def explorers(tiny_world: Any) -> dict[str, Any]:
    return {
        "tokenizer": tokenizer_explorer(tiny_world.tokenizer, "a slow film", max_length=8),
        "batches": batch_explorer(LENGTHS, batch_size=4),
        "learning_rate": learning_rate_explorer(100),
        "stopping": stopping_explorer(LOSSES),
    }


CHANGES = [
    ("tokenizer", "text", "the story was lovely"),
    ("tokenizer", "max_length", 4),
    ("batches", "batching", "packed"),
    ("batches", "batch_size", 2),
    ("batches", "max_length", 16),
    ("batches", "seed", 5),
    ("learning_rate", "peak", 1e-3),
    ("learning_rate", "warmup_ratio", 0.3),
    ("learning_rate", "total_steps", 300),
    ("stopping", "patience", 1),
    ("stopping", "min_delta", 0.2),
]


@pytest.mark.parametrize(("name", "control", "value"), CHANGES)
def test_every_control_changes_the_picture_and_the_still(
    tiny_world: Any, name: str, control: str, value: object
) -> None:
    explorer = explorers(tiny_world)[name]
    shown = explorer.view.children[-1]
    before = shown.value, explorer.picture.words
    explorer.controls[control].value = value
    assert shown.value == explorer.picture.html != before[0]
    assert explorer.picture.words != before[1]


@pytest.mark.parametrize("name", ["tokenizer", "batches", "learning_rate", "stopping"])
def test_an_explorer_carries_its_still_and_its_words_and_labels_its_controls(tiny_world: Any, name: str) -> None:
    explorer = explorers(tiny_world)[name]
    bundle = explorer._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", WIDGET_MIME}
    assert html.escape(bundle["text/plain"]) in bundle["text/html"]
    assert all(control.description.strip() for control in explorer.controls.values())


# Tokens


@pytest.mark.parametrize("max_length", [3, 4, 7, 40])
def test_the_pieces_are_what_encode_gives(tiny_world: Any, max_length: int) -> None:
    text = "slow films! unheard-of music"
    record = tokenized_text(tiny_world.tokenizer, text, max_length)
    expected = encode([text], tiny_world.tokenizer, max_length)
    assert [piece.id for piece in record.pieces] == expected["input_ids"][0].tolist()
    assert [piece.mask for piece in record.pieces] == expected["attention_mask"][0].tolist()
    assert [piece.token_type for piece in record.pieces] == expected["token_type_ids"][0].tolist()


@pytest.mark.parametrize("max_length", [3, 4, 7, 40])
def test_what_is_seen_and_what_is_cut_is_the_whole_text_in_order(tiny_world: Any, max_length: int) -> None:
    text = "slow films were shown to us very well"
    record = tokenized_text(tiny_world.tokenizer, text, max_length)
    seen = [piece.id for piece in record.pieces if piece.kind not in ("special", "padding")]
    whole = tiny_world.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert seen + [piece.id for piece in record.cut] == whole
    assert bool(record.cut) == (len(whole) + 2 > max_length)


def test_each_piece_is_called_what_it_is(tiny_world: Any) -> None:
    kinds = [(piece.text, piece.kind) for piece in tokenized_text(tiny_world.tokenizer, "films xyzzy", 7).pieces]
    assert kinds == [
        ("[CLS]", "special"),
        ("film", "word"),
        ("##s", "continuation"),
        ("[UNK]", "unknown"),
        ("[SEP]", "special"),
        ("[PAD]", "padding"),
        ("[PAD]", "padding"),
    ]


def test_a_text_of_markup_is_escaped_and_an_empty_one_shows_its_special_tokens(tiny_world: Any) -> None:
    from labkit.models.encoders import load_encoder

    _, tokenizer = load_encoder("tiny")
    page = tokenized_text(tokenizer, "<b>&</b>", 12)._repr_html_()
    assert "<b>" not in page and "&lt;</code>" in page and "&amp;</code>" in page
    assert str(tokenized_text(tiny_world.tokenizer, "", 4)) == (
        "2 tokens. At max_length 4 the model sees 2 special; none cut, 2 places of padding."
    )


def test_the_kind_of_a_piece_is_said_in_words_and_not_by_colour_alone(tiny_world: Any) -> None:
    page = tokenized_text(tiny_world.tokenizer, "films xyzzy was slow", 6)._repr_html_()
    assert all(f">{name}<br>id" in page for name in ("special", "word", "continues", "unknown", "cut"))


# Batches


def batcher(batching: str, max_length: int) -> Batcher:
    rows = [np.full(min(length, max_length), 7, dtype=np.int32) for length in LENGTHS]
    labels = np.zeros(len(rows), dtype=np.int64)
    return Batcher(Tokenized(rows, np.zeros(len(rows), dtype=bool), 0), labels, batching, max_length)


@pytest.mark.parametrize("batching", BATCHINGS)
def test_the_bars_are_the_batches_that_training_gets(batching: str) -> None:
    record = batch_bars(LENGTHS, batching, batch_size=4, max_length=64, seed=3)
    batches = list(batcher(batching, 64).epoch(4, 4, seed=3))
    assert record.total == len(batches)
    padded = tokens = 0
    for (lengths, width), batch in zip(record.batches, batches, strict=True):
        assert sum(lengths) == int((batch["input_ids"] != 0).sum())
        assert batching == "packed" or tuple(batch["input_ids"].shape) == (len(lengths), width)
        padded += int((batch["input_ids"] == 0).sum())
        tokens += batch["input_ids"].numel()
    assert record.waste[batching] == pytest.approx(padded / tokens)


@pytest.mark.parametrize("batching", ["fixed", "dynamic", "buckets"])
def test_the_padding_drawn_is_the_padding_counted(batching: str) -> None:
    record = batch_bars(LENGTHS, batching, batch_size=4, max_length=64)
    bars = [bar for bar in batch_figure(record).patches if isinstance(bar, Rectangle)]
    areas = {
        hatched: sum(bar.get_width() for bar in bars if bool(bar.get_hatch()) == hatched) for hatched in (True, False)
    }
    assert areas[True] / (areas[True] + areas[False]) == pytest.approx(record.waste[batching])


def test_of_many_batches_the_first_are_drawn_and_all_are_measured() -> None:
    lengths = np.random.default_rng(0).integers(3, 60, size=500)
    record = batch_bars(lengths, "dynamic", batch_size=8)
    assert len(record.batches) * 8 <= SHOWN_BARS < 500
    assert record.total == len(plan_epoch(lengths, 8, "dynamic", 0)) == 63
    assert "63 batches" in alt_text(batch_figure(record))


def test_without_reviews_the_explorer_says_what_it_wants() -> None:
    with pytest.raises(UsageError, match="at least one review"):
        batch_bars([], "fixed", 8)
    assert "at least one review" in batch_explorer([]).picture.words


# Learning rate


@pytest.mark.parametrize(("total_steps", "warmup_ratio"), [(10, 0.0), (10, 0.25), (97, 0.1), (1, 0.9)])
def test_the_schedule_is_the_one_that_training_uses(total_steps: int, warmup_ratio: float) -> None:
    from labkit.training.loop import linear_schedule

    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=3e-4)
    scheduler = linear_schedule(optimizer, warmup_ratio, total_steps)
    expected = []
    for _ in range(total_steps + 1):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    assert schedule(total_steps, warmup_ratio, 3e-4).learning_rates == pytest.approx(expected)


def test_the_words_of_a_schedule_say_what_is_drawn() -> None:
    ax = schedule_figure(schedule(200, 0.1, 2e-5))
    assert alt_text(ax) == (
        "The learning rate rises from 0 to 2.0e-05 in 20 steps, then falls in a line to 0 at step 200; "
        "at step 100 it is 1.1e-05, in the mean 1.0e-05."
    )
    line = ax.lines[0].get_ydata()
    assert (len(line), line[0], line[20], line[200]) == (201, 0.0, 2e-5, 0.0)
    assert "without warmup" in str(schedule(200, 0.0, 2e-5))


def test_a_schedule_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("0 <= warmup_ratio < 1")):
        schedule(10, 1.0, 1e-4)


# Early stopping


@pytest.mark.parametrize("patience", [1, 2, 3, 9])
@pytest.mark.parametrize("losses", [LOSSES, LOSSES[::-1], [0.9, float("nan"), 0.5, float("nan")], [0.3]])
def test_where_a_run_would_have_stopped_is_where_the_training_loop_stops(losses: list[float], patience: int) -> None:
    record, saved, epochs = stopping(losses, patience), [], iter(range(len(losses)))
    trained: list[int] = []
    ran = fit_with_early_stopping(
        train=lambda: trained.append(next(epochs)),
        evaluate=lambda: losses[trained[-1]],
        save=lambda: saved.append(trained[-1]),
        restore=lambda: None,
        max_epochs=len(losses),
        patience=patience,
    )
    assert (record.last_epoch, record.best_epoch) == (len(ran) - 1, saved[-1])
    assert record.spared == len(losses) - len(ran)


def test_the_figure_of_early_stopping_shows_the_epoch_that_is_kept_and_what_is_spared() -> None:
    record = stopping(LOSSES, patience=1)
    spared, trained, end, star = stopping_figure(record).get_lines()
    assert list(spared.get_xdata()) == [2, 3, 4, 5, 6] and list(trained.get_xdata()) == [0, 1, 2]
    assert list(end.get_xdata()) == [2, 2] and (star.get_xdata()[0], star.get_ydata()[0]) == (1, 0.6)
    assert "the lowest of all epochs is 0.500" in str(record)  # patience 1 missed it
    assert "the lowest" not in str(stopping(LOSSES, patience=2))


def test_without_a_loss_or_a_number_early_stopping_says_so() -> None:
    assert str(stopping([float("nan")], patience=1)).endswith("no loss was a number.")
    with pytest.raises(ValueError, match="at least one epoch"):
        stopping([])

"""Laws of a fine-tuning: only the settings decide what is learned, and a killed run ends with the same bits."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from torch import nn
from transformers import ElectraConfig, ElectraForSequenceClassification
from weights import same, weights_of

from labkit.data.batching import BATCHINGS, Batcher
from labkit.data.tokens import tokenize
from labkit.training import fit as training
from labkit.training.checkpoints import CheckpointFolder
from labkit.training.config import Config
from labkit.training.early_stopping import EarlyStopping, TrainingError
from labkit.training.fit import TrainingInterrupted, TrainingStopped, evaluate, fit
from labkit.training.loop import (
    EpochRecord,
    Evaluation,
    StepRecord,
    accumulate_gradients,
    best_epoch,
    eval_epoch,
    warmup_linear,
)

if TYPE_CHECKING:
    from conftest import TinyWorld


@pytest.fixture(scope="module")
def reviews(tiny_world: "TinyWorld") -> Batcher:
    return Batcher(tokenize(tiny_world.texts, tiny_world.tokenizer, 24), tiny_world.labels, "dynamic")


# --- evaluate -----------------------------------------------------------------------------------------------------


def test_evaluate_gives_logits_and_labels_in_the_order_of_the_reviews(tiny_world, reviews):
    model = tiny_world.model().double()
    found = evaluate(model, reviews, Config(eval_batch_size=9))
    wanted = eval_epoch(model, [reviews.batch(range(64))])
    assert isinstance(found, Evaluation)
    assert found.loss == pytest.approx(wanted.loss, rel=1e-10)
    assert (found.logits - wanted.logits).abs().max() < 1e-6
    assert torch.equal(found.labels, wanted.labels)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()], ids=["cuda", "python"])
def test_where_memory_runs_out_evaluation_goes_on_with_half_as_many_reviews_at_once(
    error, tiny_world, reviews, monkeypatch
):
    model, sizes = tiny_world.model(), list[int]()

    def eval_epoch_in_a_small_room(network: Any, batches: Any, precision: Any) -> Evaluation:
        sizes.append(len(batches[0].indices))
        if sizes[-1] > 5:
            raise error
        return eval_epoch(network, batches, precision)

    wanted = evaluate(model, reviews, Config())
    monkeypatch.setattr(training, "eval_epoch", eval_epoch_in_a_small_room)
    found = evaluate(model, reviews, Config(eval_batch_size=18))
    assert sizes == [18, 9, 5]
    assert found.loss == pytest.approx(wanted.loss, rel=1e-5)
    assert torch.allclose(found.logits, wanted.logits, atol=1e-5)


@pytest.mark.parametrize("errors", [[RuntimeError("the shapes")], [MemoryError("the last"), MemoryError("the first")]])
def test_an_evaluation_that_fails_otherwise_or_with_one_review_at_once_raises(errors, tiny_world, reviews, monkeypatch):
    left = list(errors)

    def failing(network: Any, batches: Any, precision: Any) -> Evaluation:
        raise left.pop()

    monkeypatch.setattr(training, "eval_epoch", failing)
    with pytest.raises(type(errors[0]), match=str(errors[0])):
        evaluate(tiny_world.model(), reviews, Config(eval_batch_size=2))


# --- fit ----------------------------------------------------------------------------------------------------------

RATE = 3e-3
SMALL = Config(
    epochs=3,
    batch_size=16,
    micro_batch_size=6,
    learning_rate=RATE,
    precision="fp32",
    device="cpu",
    eval_batch_size=20,
)


@pytest.fixture(scope="module")
def parts(reviews: Batcher) -> tuple[Batcher, Batcher]:
    """44 reviews to train on and 20 to validate on."""

    def part(places: slice) -> Batcher:
        tokenized = dataclasses.replace(
            reviews.tokenized,
            input_ids=reviews.tokenized.input_ids[places],
            truncated=reviews.tokenized.truncated[places],
        )
        return Batcher(tokenized, reviews.labels[places], "buckets")

    return part(slice(0, 44)), part(slice(44, 64))


@pytest.fixture
def run(tiny_world: "TinyWorld", parts: tuple[Batcher, Batcher]) -> Callable[..., Iterator[EpochRecord]]:
    """`fit` on the tiny world, with dropout on."""

    def start(model: Any = None, config: Config = SMALL, **named: Any) -> Iterator[EpochRecord]:
        train, validation = (dataclasses.replace(part, batching=config.batching) for part in parts)
        model = model or tiny_world.model(dropout=0.2)
        named = {"progress": False, "tell": lambda notice: None} | named
        return fit(model, train, validation, config, **named)

    return start


@pytest.mark.parametrize("batching", BATCHINGS)
def test_the_same_seed_gives_the_same_history_and_weights_to_the_last_bit(batching, run, tiny_world):
    config = dataclasses.replace(SMALL, batching=batching, epochs=2)
    models = [tiny_world.model(dropout=0.2) for _ in range(2)]
    histories = [list(run(model, config)) for model in models]
    assert histories[0] == histories[1]
    assert same(weights_of(models[0]), weights_of(models[1]))


def test_another_seed_gives_another_history(run):
    histories = [list(run(config=dataclasses.replace(SMALL, seed=seed, epochs=1))) for seed in (0, 1)]
    assert histories[0] != histories[1]


def test_random_numbers_that_the_user_draws_before_and_between_epochs_change_nothing(run):
    torch.manual_seed(17)
    history = []
    for record in run():
        history.append(record)
        torch.rand(3)
        np.random.default_rng().random()
    assert history == list(run())


def test_records_are_equal_when_they_learned_the_same_however_long_it_took():
    record = EpochRecord(0, 0.5, 0.6, 0.7, 1e-4, True, 32, seconds=1.0, reviews_per_second=30.0)
    assert record == dataclasses.replace(record, seconds=2.0, reviews_per_second=15.0)
    assert record != dataclasses.replace(record, train_loss=math.nextafter(0.5, 1))
    assert "epoch 0: training loss 0.5000" in str(record)
    assert "(best so far)" in str(record)


def test_the_records_are_what_evaluation_says_of_the_model_at_that_moment(run, tiny_world, parts):
    model = tiny_world.model(dropout=0.2)
    for record in run(model):
        loss, logits, labels = evaluate(model, parts[1], SMALL)
        assert record.validation_loss == loss
        assert record.validation_accuracy == float((logits.argmax(dim=1) == labels).double().mean())


@pytest.mark.parametrize("ending", ["to the end", "break", "an error"])
def test_the_best_weights_are_restored_however_the_loop_ends(ending, run, tiny_world):
    model = tiny_world.model(dropout=0.2)
    states: dict[int, Any] = {}
    best = -1

    def train() -> None:
        nonlocal best
        for record in run(model, dataclasses.replace(SMALL, epochs=6, patience=6, seed=SEED_THAT_TURNS)):
            states[record.epoch] = weights_of(model)
            best = record.epoch if record.is_best else best
            if ending == "break" and record.epoch > best:
                break
            if ending == "an error" and record.epoch > best:
                raise KeyError

    if ending == "an error":
        with pytest.raises(KeyError):
            train()
    else:
        train()
    assert max(states) > best  # else this would prove nothing
    assert not same(states[max(states)], states[best])
    assert same(weights_of(model), states[best])


SEED_THAT_TURNS = 0  # a seed whose validation loss rises again


def test_training_stops_when_validation_loss_has_not_fallen_for_the_patience(run):
    notices: list[str] = []
    history = list(run(config=dataclasses.replace(SMALL, epochs=40, patience=2), tell=notices.append))
    losses = [record.validation_loss for record in history]
    best = int(np.argmin(losses))
    assert len(history) < 40
    assert len(history) - 1 - best == 2
    assert notices == [f"validation loss has not fallen for 2 epochs: stopped after epoch {len(history) - 1}"]
    assert [record.is_best for record in history] == [
        loss < min([math.inf, *losses[:i]]) for i, loss in enumerate(losses)
    ]


def test_fine_tuning_learns_the_words_that_decide(run, tiny_world):
    history = list(run(tiny_world.model(), dataclasses.replace(SMALL, epochs=12, patience=12)))
    assert history[-1].train_loss < 0.5 * history[0].train_loss
    assert history[-1].train_loss < math.log(2) / 2


def test_the_learning_rate_rises_over_a_tenth_of_the_steps_and_falls_to_nothing(run):
    rates: list[float] = []
    list(
        run(
            config=dataclasses.replace(SMALL, epochs=10, patience=10),
            after_step=lambda r: rates.append(r.learning_rate),
        )
    )
    steps = 10 * 3
    assert rates == pytest.approx([RATE * warmup_linear(step, 3, steps) for step in range(steps)])


def test_a_loss_that_is_no_number_ends_the_run_with_what_to_try(run, tiny_world):
    model = tiny_world.model()

    def spoil(record: StepRecord) -> None:
        if len(steps) == 4:
            with torch.no_grad():
                model.classifier.bias += math.nan
        steps.append(record)

    steps: list[StepRecord] = []
    records = run(model, after_step=spoil)
    next(records)
    before = weights_of(model)
    with pytest.raises(
        TrainingError, match="the loss became nan in epoch 1, step 2; try a lower learning_rate"
    ) as raised:
        next(records)
    assert raised.value.exit_code == 1
    assert same(weights_of(model), before)  # those of the best epoch, not the ones that are NaN


def test_a_validation_loss_that_is_no_number_ends_the_run_and_is_in_no_record(run, tiny_world):
    model, steps = tiny_world.model(), list[StepRecord]()

    def spoil(record: StepRecord) -> None:
        steps.append(record)
        if len(steps) == 3:  # the last of the epoch: no later loss tells
            with torch.no_grad():
                model.classifier.bias += math.nan

    with pytest.raises(TrainingError, match="the validation loss became nan in epoch 0; try a lower learning_rate"):
        next(run(model, after_step=spoil))


# --- the fast path ------------------------------------------------------------------------------------------------


def losses_of(run: Callable[..., Iterator[EpochRecord]], model: Any, config: Config) -> list[float]:
    """The loss of every step."""
    records: list[StepRecord] = []
    list(run(model, config, after_step=records.append))
    return [record.loss for record in records]


@pytest.mark.parametrize("batching", ["buckets", "packed"])
@pytest.mark.parametrize("fast_path", ["full", "exact"])
def test_without_dropout_the_fast_path_has_the_losses_of_the_models_own_forward_pass(
    fast_path, batching, run, tiny_world
):
    config = dataclasses.replace(SMALL, epochs=4, patience=4, batching=batching, precision="fp32")
    plain = dataclasses.replace(config, fast_path="off", batching="buckets" if batching == "buckets" else "dynamic")
    wanted = losses_of(run, tiny_world.model(dropout=0.0), plain)
    found = losses_of(run, tiny_world.model(dropout=0.0), dataclasses.replace(config, fast_path=fast_path))
    assert len(wanted) >= 10
    assert found[:10] == pytest.approx(wanted[:10], abs=1e-4)


def test_the_fast_path_leaves_an_ordinary_model_behind(run, tiny_world, reviews):
    model = tiny_world.model(dropout=0.2)
    list(run(model))
    embedding = model.get_input_embeddings()
    assert not embedding.sparse and not embedding._forward_pre_hooks
    accumulate_gradients(model, [reviews.batch(range(8))])
    assert embedding.weight.grad is not None and not embedding.weight.grad.is_sparse


@pytest.mark.parametrize("fast_path", ["full", "exact", "off"])
def test_only_the_full_fast_path_gives_the_embedding_a_sparse_gradient(fast_path, run, tiny_world):
    model, sparse = tiny_world.model(), []

    def note(record: StepRecord) -> None:
        sparse.append(model.get_input_embeddings().weight.grad.is_sparse)

    list(run(model, dataclasses.replace(SMALL, fast_path=fast_path, epochs=1), after_step=note))
    assert set(sparse) == {fast_path == "full"}


def test_an_embedding_that_something_else_reads_does_not_wait(run, tiny_world):
    model = tiny_world.model()
    model.reader = nn.Linear(1, 1)
    model.reader.weight = model.get_input_embeddings().weight
    list(run(model, dataclasses.replace(SMALL, epochs=1), after_step=lambda record: None))
    config, device = dataclasses.replace(SMALL), torch.device("cpu")
    assert training._embedding_that_can_wait(model, config, device) is None
    assert training._embedding_that_can_wait(tiny_world.model(), config, device) is not None


def test_a_family_without_a_fast_path_trains_with_its_own_forward_pass_and_it_is_said(run, tiny_world):
    config = ElectraConfig(vocab_size=tiny_world.tokenizer.vocab_size, embedding_size=16, hidden_size=16,
                           num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)  # fmt: skip
    notices: list[str] = []
    history = list(run(ElectraForSequenceClassification(config), tell=notices.append))
    assert history
    assert notices[0] == "no fast path for electra: its own forward pass, in length buckets"


# --- going on -----------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Stands for kill -9: nobody catches it."""


@pytest.mark.parametrize("batching", ["buckets", "packed"])
def test_a_run_killed_after_any_step_goes_on_to_the_same_bits(batching, run, tiny_world, tmp_path):
    config = dataclasses.replace(SMALL, batching=batching, checkpoint_seconds=0.0, epochs=2)
    whole_model = tiny_world.model(dropout=0.2)
    whole = list(run(whole_model, config))
    for killed_after in range(1, 2 * 3 + 1):
        checkpoints = CheckpointFolder(tmp_path / f"{batching}-{killed_after}")
        counted: list[StepRecord] = []

        def kill(record: StepRecord, counted: list[StepRecord] = counted, last: int = killed_after) -> None:
            counted.append(record)
            if len(counted) == last:
                raise Killed

        with pytest.raises(Killed):
            list(run(config=config, checkpoints=checkpoints, after_step=kill))
        torch.rand(5)
        # after the first step nothing is saved yet; from the second on the weights come from the checkpoint
        model = tiny_world.model(dropout=0.2, seed=0 if killed_after == 1 else 9)
        assert list(run(model, config, checkpoints=checkpoints)) == whole
        assert same(weights_of(model), weights_of(whole_model))


def test_a_run_that_is_asked_to_stop_saves_and_goes_on_to_the_same_bits(run, tiny_world, tmp_path):
    whole_model = tiny_world.model(dropout=0.2)
    whole = list(run(whole_model))
    checkpoints = CheckpointFolder(tmp_path)
    model, seen = None, list[EpochRecord]()
    for _ in range(20):
        model = tiny_world.model(dropout=0.2)
        asked = iter([False, True])
        try:
            seen = list(run(model, checkpoints=checkpoints, should_stop=lambda asked=asked: next(asked)))
            break
        except TrainingStopped:
            continue
    assert seen == whole
    assert same(weights_of(model), weights_of(whole_model))


def test_finished_epochs_come_again_when_a_run_goes_on(run, tiny_world, tmp_path):
    first = run(checkpoints=CheckpointFolder(tmp_path))
    records = [next(first), next(first)]
    del first
    steps: list[StepRecord] = []
    again = list(run(checkpoints=CheckpointFolder(tmp_path), after_step=steps.append))
    assert again[:2] == records
    assert len(steps) == 3  # of the third epoch alone


@pytest.mark.parametrize("done_before", [0, 2, 4])
def test_early_stopping_alone_says_which_epoch_is_the_best_also_when_the_run_goes_on(
    done_before, run, tiny_world, tmp_path, monkeypatch
):
    monkeypatch.setattr(training, "EarlyStopping", lambda patience: EarlyStopping(patience, min_delta=0.1))
    config, checkpoints = dataclasses.replace(SMALL, epochs=5, patience=5), CheckpointFolder(tmp_path)
    for _ in zip(range(done_before), run(config=config, checkpoints=checkpoints), strict=False):
        pass
    model, states = tiny_world.model(dropout=0.2), list[Any]()
    history = []
    for record in run(model, config, checkpoints=checkpoints):
        history.append(record)
        states.append(weights_of(model))
    losses = [record.validation_loss for record in history]
    oracle, best = EarlyStopping(5, min_delta=0.1), list[bool]()
    for epoch, loss in enumerate(losses):
        oracle.step(loss)
        best.append(oracle.best_epoch == epoch)
    assert [record.is_best for record in history] == best
    assert best != [
        loss < min([math.inf, *losses[:epoch]]) for epoch, loss in enumerate(losses)
    ]  # or this proves nothing
    whole_model = tiny_world.model(dropout=0.2)
    assert list(run(whole_model, config)) == history
    assert same(weights_of(model), weights_of(whole_model))
    assert same(weights_of(model), states[best_epoch(history)]) or best_epoch(history) < done_before


def test_a_micro_batch_that_was_halved_stays_halved_when_the_run_goes_on(run, tmp_path, monkeypatch):
    def cramped(model: Any, pieces: Any, precision: Any) -> float:
        if max(len(piece.indices) for piece in pieces) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return accumulate_gradients(model, pieces, precision)

    monkeypatch.setattr(training, "accumulate_gradients", cramped)
    notices: list[str] = []
    next(run(checkpoints=CheckpointFolder(tmp_path), tell=notices.append))
    history = list(run(checkpoints=CheckpointFolder(tmp_path), tell=notices.append))
    assert [notice for notice in notices if "memory" in notice] == [
        "out of memory with 6 reviews at once: going on with 3, accumulated as before"
    ]
    assert [record.micro_batch_size for record in history] == [3, 3, 3]


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (2, "Interrupted in epoch 0 after 2 of 8 steps. The model has the weights of its last step, for no epoch is"),
        (9, "Interrupted in epoch 1 after 1 of 8 steps. The model has the weights of its best epoch, 0."),
    ],
)
def test_an_interrupted_training_says_in_one_line_which_weights_are_left(step, said, reviews, tiny_world):
    config = Config(model="tiny", epochs=3, batch_size=8, learning_rate=1e-3, device="cpu", precision="fp32")
    taken: list[StepRecord] = []

    def interrupt(record: StepRecord) -> None:
        taken.append(record)
        if len(taken) == step:
            raise KeyboardInterrupt

    with pytest.raises(TrainingInterrupted) as interrupted:
        list(fit(tiny_world.model(), reviews, reviews, config, progress=False, after_step=interrupt))
    assert isinstance(interrupted.value, KeyboardInterrupt) and str(interrupted.value).startswith(said)
    assert interrupted.value._render_traceback_() == [str(interrupted.value)]

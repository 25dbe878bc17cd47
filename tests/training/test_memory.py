"""Laws of memory: what is free, what a batch costs, and that a step out of memory ends as if it had always been smaller."""

import itertools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.profiler import ProfilerActivity, profile
from transformers import BertConfig, BertForSequenceClassification

from labkit.data.batching import Batcher
from labkit.data.tokens import Tokenized, tokenize
from labkit.errors import UsageError
from labkit.models.unpadded import Unpadded
from labkit.training import fit as training
from labkit.training import memory
from labkit.training.config import Config
from labkit.training.fit import fit
from labkit.training.loop import accumulate_gradients
from labkit.training.memory import (
    AutomaticMicroBatch,
    OutOfMemory,
    activation_bytes,
    free_memory,
    is_out_of_memory,
    micro_batch_that_fits,
    parse_bytes,
    state_bytes,
)
from labkit.training.optimizer import parameter_groups
from labkit.training.precision import make_precision

if TYPE_CHECKING:
    from conftest import TinyWorld

law = settings(max_examples=20, deadline=None)
FP32 = make_precision("fp32", torch.device("cpu"))
CUDA_ERROR = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
CPU_ERROR = RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory")
ERRORS = {"cuda": CUDA_ERROR, "cpu": CPU_ERROR, "python": MemoryError()}


# --- sizes and what is free ---------------------------------------------------------------------------------------


@given(st.integers(0, 5000), st.sampled_from([("", 0), ("K", 10), ("M", 20), ("G", 30), ("T", 40)]), st.data())
def test_sizes_are_read_in_any_usual_spelling(number, unit, data):
    letter, power = unit
    spelling = data.draw(st.sampled_from([letter, f"{letter}B", f"{letter}iB", letter.lower(), f" {letter}"]))
    assert parse_bytes(f"{number}{spelling}") == number * 2**power


def test_halves_of_a_gigabyte_are_sizes_too():
    assert parse_bytes("1.5G") == 3 * 2**29


@pytest.mark.parametrize("text", ["", "lots", "-2G", "2X", "G", "1e9", "2 GBB", "nan"])
def test_what_is_no_size_is_refused_with_the_variable_that_holds_it(text):
    with pytest.raises(UsageError, match=r"LABKIT_MEMORY_LIMIT .* is no size; wanted a number with K, M or G"):
        parse_bytes(text)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., int]:
    """free_memory() on a machine with so many bytes available, with these control-group files and that limit."""

    def free(available: int, limit: str = "", **files: str) -> int:
        pairs = [(str(tmp_path / f"{name}.max"), str(tmp_path / f"{name}.current")) for name in ("first", "second")]
        for name, text in files.items():
            (tmp_path / name.replace("_", ".")).write_text(text)
        monkeypatch.setattr(memory, "_CGROUPS", pairs)
        monkeypatch.setattr(psutil, "virtual_memory", lambda: type("Memory", (), {"available": available}))
        monkeypatch.setenv("LABKIT_MEMORY_LIMIT", limit)
        return free_memory()

    return free


def test_free_memory_is_the_least_of_the_machines_the_control_groups_and_the_limits_rest(machine):
    used = psutil.Process().memory_info().rss
    assert machine(10**15) == 10**15
    assert abs(machine(10**15, limit=f"{used + 2**30}") - 2**30) < 2**28
    assert machine(700, first_max="1000\n", first_current="400\n") == 600
    assert machine(500, first_max="1000\n", first_current="400\n") == 500
    assert machine(700, second_max="1000\n", second_current="900\n") == 100


def test_a_control_group_without_a_limit_or_out_of_sight_limits_nothing(machine):
    assert machine(700, first_max="max\n", first_current="400\n") == 700
    assert machine(700, first_max="9223372036854771712\n", first_current="400\n") == 700


def test_what_is_used_up_leaves_nothing_and_not_less(machine):
    assert machine(700, first_max="1000\n", first_current="1400\n") == 0
    assert machine(700, limit="1K") == 0


@pytest.mark.parametrize("row", ["inactive_file 300", "inactive_file 100\ntotal_inactive_file 300"])
def test_files_that_the_kernel_only_caches_are_free(row, machine):
    assert machine(10**6, first_max="1000\n", first_current="900\n", memory_stat=f"anon 5\n{row}\n") == 400


def test_this_machine_has_memory():
    assert 0 < free_memory() <= psutil.virtual_memory().total


# --- what training costs ------------------------------------------------------------------------------------------


def test_gradients_and_moments_take_the_bytes_that_adamw_really_holds(tiny_world):
    model = tiny_world.model()
    model.bert.embeddings.requires_grad_(False)
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.01))
    model(input_ids=torch.tensor([[2, 5, 3]]), labels=torch.tensor([1])).loss.backward()
    optimizer.step()
    gradients = sum(parameter.grad.nbytes for parameter in model.parameters() if parameter.grad is not None)
    moments = sum(
        moment.nbytes for state in optimizer.state.values() for name, moment in state.items() if name != "step"
    )
    assert state_bytes(model) == gradients + moments


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("batching", ["fixed", "packed"])
@pytest.mark.parametrize(
    ("width", "heads", "layers", "reviews", "length"),
    [(384, 12, 2, 8, 46), (384, 12, 2, 4, 128), (128, 2, 2, 16, 46), (64, 4, 5, 8, 27)],
)
def test_the_estimate_is_within_a_factor_of_two_of_the_measured_peak_or_of_three_without_padding(
    width, heads, layers, reviews, length, batching, dropout
):
    config = BertConfig(
        vocab_size=100,
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    model = BertForSequenceClassification(config).train()
    rows = [np.arange(1, length - (row > 0), dtype=np.int32) % 100 for row in range(reviews)]
    tokenized = Tokenized(rows, np.zeros(reviews, dtype=bool), pad_token_id=0)
    batch = Batcher(tokenized, np.zeros(reviews, dtype=np.int64), batching, max_length=length).batch(range(reviews))
    packed = batching == "packed"
    factor = 3 if packed else 2  # of its last layer only the rows of [CLS] are computed
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)  # state_bytes counts these
    measured = peak_bytes(lambda: (Unpadded(model) if packed else model)(**batch).loss.backward())
    estimated = activation_bytes(model, reviews, length)
    assert measured / 2 <= estimated <= measured * factor, estimated / measured


def peak_bytes(run: Callable[[], Any]) -> int:
    """The most bytes that torch held at once while `run` ran, beyond those it held before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        run()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == "[memory]"]
    changes = [event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())]
    return max(itertools.accumulate(changes))


@law
@given(st.integers(1, 200), st.integers(1, 128), st.integers(0, 10**8))
def test_the_micro_batch_is_the_first_half_of_a_half_that_fits(tiny_world, size, length, free):
    model = tiny_world.model()

    def fits(reviews: int) -> bool:
        return state_bytes(model) + activation_bytes(model, reviews, length) <= free

    halves = [size]
    while halves[-1] > 1:
        halves.append(-(-halves[-1] // 2))
    fitting = [reviews for reviews in halves if fits(reviews)]
    if fitting:
        assert micro_batch_that_fits(model, size, length, free) == fitting[0]
    else:
        with pytest.raises(OutOfMemory, match=r"MiB even with one review at once, .* use a smaller model"):
            micro_batch_that_fits(model, size, length, free)


# --- running out --------------------------------------------------------------------------------------------------


def test_the_cpu_allocators_own_error_is_known():
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(refused.value)


@pytest.mark.parametrize(
    ("error", "known"),
    [
        (CUDA_ERROR, True),
        (CPU_ERROR, True),
        (RuntimeError("[enforce fail] data. DefaultCPUAllocator: not enough memory: you tried to allocate"), True),
        (MemoryError(), True),
        (RuntimeError("The size of tensor a (79) must match the size of tensor b (64)"), False),
        (ValueError("DefaultCPUAllocator: can't allocate memory"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_only_want_of_memory_counts_as_that(error, known):
    assert is_out_of_memory(error) == known


@contextmanager
def failing(model: torch.nn.Module, when: Callable[[int, int], bool], error: BaseException) -> Iterator[list[int]]:
    """Raise such an error in a forward pass where `when(its number, its reviews)` says so; yields the reviews of each."""
    sizes: list[int] = []

    def before(module: torch.nn.Module, arguments: Any, named: dict[str, torch.Tensor]) -> None:
        sizes.append(len(named["labels"]))
        if when(len(sizes) - 1, sizes[-1]):
            raise type(error)(*error.args)  # one of its own, for an error holds on to the frames that it went through

    hook = model.register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield sizes
    finally:
        hook.remove()


@pytest.fixture(scope="module")
def batcher(tiny_world: "TinyWorld") -> Batcher:
    return Batcher(tokenize(tiny_world.texts, tiny_world.tokenizer, 20), tiny_world.labels, "buckets")


def gradients_of(model: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


@law
@given(st.integers(1, 24), st.integers(2, 9), st.data())
def test_a_step_out_of_memory_ends_with_the_gradients_of_one_that_was_not(tiny_world, batcher, reviews, micro, data):
    model = tiny_world.model().double()
    pieces = batcher.batch(range(reviews)).split(micro)
    loss = accumulate_gradients(model, pieces, FP32)
    wanted = gradients_of(model)
    notices: list[str] = []
    step = AutomaticMicroBatch(accumulate_gradients, micro, notices.append)
    failed = data.draw(st.integers(0, len(pieces) - 1), label="the micro-batch that fails")
    error = ERRORS[data.draw(st.sampled_from(list(ERRORS)))]
    largest = max(len(piece.indices) for piece in pieces)
    if largest == 1:
        return
    with failing(model, lambda number, size: number == failed, error) as sizes:
        assert step(model, pieces, FP32) == pytest.approx(loss, rel=1e-10)
    norm = float(torch.stack([gradient.norm() for gradient in wanted]).norm())
    for found, gradient in zip(gradients_of(model), wanted, strict=True):
        assert (found - gradient).abs().max() <= 1e-10 * max(float(gradient.abs().max()), 1e-6 * norm)
    half = -(-largest // 2)
    assert step.micro_batch_size == half
    assert max(sizes[failed + 1 :]) <= half
    assert notices == [f"out of memory with {largest} reviews at once: going on with {half}, accumulated as before"]


def test_the_random_state_is_put_back_so_dropout_falls_as_if_the_batch_had_always_been_small(tiny_world, batcher):
    runs = []
    for fails in (True, False):
        model = tiny_world.model(dropout=0.5)
        torch.manual_seed(3)
        pieces = batcher.batch(range(20)).split(8 if fails else 4)
        step = AutomaticMicroBatch(accumulate_gradients, 8 if fails else 4)
        with failing(model, lambda number, size, fails=fails: fails and number == 2, CPU_ERROR):
            loss = step(model, pieces, FP32)
        runs.append((loss, gradients_of(model), torch.get_rng_state()))
    # 20 reviews in eights are 8, 8, 4, and in fours again the same reviews of the same widths
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(*pair) for pair in zip(runs[0][1], runs[1][1], strict=True))
    assert torch.equal(runs[0][2], runs[1][2])


@pytest.mark.parametrize(("room", "left"), [(15, 8), (8, 8), (7, 4), (3, 2), (1, 1)])
def test_the_micro_batch_is_halved_until_it_fits_and_stays_there(room, left, tiny_world, batcher):
    model, notices = tiny_world.model(), []
    step = AutomaticMicroBatch(accumulate_gradients, 16, notices.append)
    with failing(model, lambda number, size: size > room, CUDA_ERROR) as sizes:
        step(model, [batcher.batch(range(16))], FP32)
        tried = len(sizes)
        step(model, [batcher.batch(range(16, 32))], FP32)
    assert step.micro_batch_size == left
    assert len(notices) == int(np.log2(16 // left))
    assert sizes[tried:] == [left] * (16 // left)


def test_not_even_one_review_is_an_error_that_says_what_would_help(tiny_world, batcher):
    model = tiny_world.model()
    accumulate_gradients(model, [batcher.batch([0])], FP32)
    with (
        failing(model, lambda number, size: True, CPU_ERROR),
        pytest.raises(OutOfMemory, match="with one review at once; use a smaller model or a shorter max_length") as why,
    ):
        AutomaticMicroBatch(accumulate_gradients, 4)(model, [batcher.batch(range(4))], FP32)
    assert why.value.exit_code == 1
    assert gradients_of(model) == []


@pytest.mark.parametrize("error", [RuntimeError("shapes cannot be multiplied"), ValueError("no"), KeyboardInterrupt()])
def test_any_other_error_passes_through_at_once(error, tiny_world, batcher):
    model, notices = tiny_world.model(), []
    step = AutomaticMicroBatch(accumulate_gradients, 8, notices.append)
    with failing(model, lambda number, size: True, error) as sizes, pytest.raises(type(error)) as raised:
        step(model, [batcher.batch(range(8))], FP32)
    assert raised.value.args == error.args
    assert (sizes, notices, step.micro_batch_size) == ([8], [], 8)


def test_the_tensors_of_the_failed_step_are_let_go_before_the_next_try(tiny_world, batcher):
    model = tiny_world.model()
    remembered: list[Any] = []
    alive: list[list[bool]] = []

    def remember(module: torch.nn.Module, arguments: Any, output: Any) -> None:
        alive.append([kept() is not None for kept in remembered])
        remembered.append(weakref.ref(output.logits))

    model.register_forward_hook(remember)
    with failing(model, lambda number, size: number == 1, CPU_ERROR):
        AutomaticMicroBatch(accumulate_gradients, 8)(model, batcher.batch(range(16)).split(8), FP32)
    assert alive[1] == [False]


@pytest.mark.parametrize("batching", ["buckets", "packed"])
def test_a_run_out_of_memory_says_so_goes_on_smaller_and_learns_the_same(batching, tiny_world, batcher, monkeypatch):
    reviews = Batcher(batcher.tokenized, batcher.labels, batching)
    settings = {"epochs": 2, "batch_size": 16, "learning_rate": 1e-3, "precision": "fp32", "device": "cpu"}
    config = Config(**settings, batching=batching)
    histories: list[list[Any]] = []
    notices: list[str] = []
    for room in (16, 5):
        monkeypatch.setattr(training, "accumulate_gradients", with_room_for(room))
        run = fit(tiny_world.model(), reviews, reviews, config, progress=False, tell=notices.append)
        histories.append(list(run))
    assert [[record.micro_batch_size for record in history] for history in histories] == [[16, 16], [4, 4]]
    assert [notice.partition(":")[0] for notice in notices] == [
        "out of memory with 16 reviews at once",
        "out of memory with 8 reviews at once",
    ]
    for one, other in zip(*histories, strict=True):
        assert one.train_loss == pytest.approx(other.train_loss, rel=1e-5)
        assert one.validation_loss == pytest.approx(other.validation_loss, rel=1e-5)


def with_room_for(room: int) -> Callable[..., float]:
    """accumulate_gradients on a device that has memory for so many reviews at once."""

    def accumulate(model: torch.nn.Module, pieces: Any, precision: Any) -> float:
        if max(len(piece.indices) for piece in pieces) > room:
            raise RuntimeError(*CPU_ERROR.args)
        return accumulate_gradients(model, pieces, precision)

    return accumulate


def test_an_allocation_that_really_fails_is_survived(tiny_world, batcher):
    model, sizes = tiny_world.model(), []

    def hungry(network: Any, pieces: Any, precision: Any) -> float:
        sizes.append(max(len(piece.indices) for piece in pieces))
        torch.empty(2**60 if sizes[-1] > 2 else 1, dtype=torch.uint8)
        return accumulate_gradients(network, pieces, precision)

    AutomaticMicroBatch(hungry, 8)(model, [batcher.batch(range(8))], FP32)
    assert sizes == [8, 4, 2]

"""Laws of the optimizer whose embedding rows wait, the weights of AdamW whatever each step reads, and of what decays."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from explaining import FAMILIES, of_family
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labkit.models.encoders import FREEZABLE, freeze
from labkit.training.optimizer import LazyAdamW, clip_gradients, make_optimizer, parameter_groups

ROWS, SIZE = 12, 3
law = settings(max_examples=40, deadline=None)
STEPS = st.lists(st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=4), min_size=1, max_size=40)


class Reader(nn.Module):
    """An embedding and a matrix; the loss pulls what is read to targets that differ from row to row."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(ROWS, SIZE, dtype=dtype)
        self.matrix = nn.Linear(SIZE, SIZE, dtype=dtype)
        self.targets = torch.randn(ROWS, SIZE, dtype=dtype)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return ((self.matrix(self.embedding(ids)) - self.targets[ids]) ** 2).sum()


def warm_up_and_fall(step: int) -> float:
    return min(step / 3, 1.0) * (1 - step / 60)


def train(
    model: Reader,
    steps: list[list[int]],
    optimizer: torch.optim.Optimizer,
    after: Callable[[int], None] = lambda number: None,
) -> list[float]:
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_up_and_fall)
    losses = []
    for number, ids in enumerate(steps):
        optimizer.zero_grad()
        loss = model(torch.tensor(ids))
        loss.backward()
        clip_gradients(model.parameters(), 5.0)
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        after(number)
    return losses


def train_plainly(dtype: torch.dtype, steps: list[list[int]], **settings: Any) -> tuple[Reader, list[float]]:
    model = Reader(dtype)
    return model, train(model, steps, torch.optim.AdamW(model.parameters(), **settings))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)], ids=str)
@law
@given(steps=STEPS, decay=st.sampled_from([0.0, 0.01, 0.5]))
def test_rows_that_wait_end_with_the_weights_and_losses_of_adamw(dtype, tolerance, steps, decay):
    settings = {"lr": 0.01, "weight_decay": decay}
    plain, wanted = train_plainly(dtype, steps, **settings)
    model = Reader(dtype)
    optimizer = LazyAdamW(model.parameters(), **settings)
    with optimizer.lazy(model.embedding):
        losses = train(model, steps, optimizer)
    assert losses == pytest.approx(wanted, rel=tolerance * 10)
    for one, other in zip(plain.parameters(), model.parameters(), strict=True):
        one, other = one.detach(), other.detach()
        assert float((one - other).abs().max()) <= tolerance * float(one.abs().max())


def test_a_row_that_waited_long_is_where_adamw_has_it():
    steps = [[3, 4], *[[0, 1]] * 500, [3], *[[1, 2]] * 200]
    settings = {"lr": 1e-3, "weight_decay": 0.1}
    model, plain = Reader(torch.float64), Reader(torch.float64)
    lazy, dense = LazyAdamW(model.parameters(), **settings), torch.optim.AdamW(plain.parameters(), **settings)
    with lazy.lazy(model.embedding):
        for reader, optimizer in ((model, lazy), (plain, dense)):
            for ids in steps:
                optimizer.zero_grad()
                reader(torch.tensor(ids)).backward()
                optimizer.step()
    assert torch.allclose(model.embedding.weight, plain.embedding.weight, rtol=0, atol=1e-9)


def test_where_eps_is_as_large_as_the_gradients_the_difference_stays_below_a_tenth_of_one_step():
    steps = [[3], *[[0, 1]] * 100]
    settings = {"lr": 1e-3, "weight_decay": 0.0, "eps": 0.1}
    plain, _ = train_plainly(torch.float64, steps, **settings)
    model = Reader(torch.float64)
    optimizer = LazyAdamW(model.parameters(), **settings)
    with optimizer.lazy(model.embedding):
        train(model, steps, optimizer)
    assert torch.allclose(model.embedding.weight, plain.embedding.weight, rtol=0, atol=0.1 * settings["lr"])


def test_rows_that_no_step_reads_are_left_alone_until_they_are_caught_up():
    model = Reader(torch.float64)
    before = model.embedding.weight.detach().clone()
    optimizer = LazyAdamW(model.parameters(), lr=0.1, weight_decay=0.5)
    with optimizer.lazy(model.embedding):
        train(model, [[0], [1], [0], [1]], optimizer)
        assert torch.equal(model.embedding.weight[2:], before[2:])
        optimizer.catch_up()
        assert not torch.isclose(model.embedding.weight[2:], before[2:]).any()


def test_reading_in_evaluation_sees_the_weights_of_adamw():
    steps = [[0, 5], [1], [1], [1]]
    plain, _ = train_plainly(torch.float64, steps, lr=0.1)
    model = Reader(torch.float64)
    optimizer = LazyAdamW(model.parameters(), lr=0.1)
    with optimizer.lazy(model.embedding):
        train(model, steps, optimizer)
        with torch.no_grad():
            assert torch.allclose(model(torch.tensor([5, 7])), plain(torch.tensor([5, 7])), rtol=1e-10)


def test_a_resumed_optimizer_goes_on_with_the_same_bits():
    steps = [[0, 5], [1, 2], [5], [3], [2, 7], [0], [5, 1]]
    whole, part = Reader(torch.float32), Reader(torch.float32)
    optimizer = LazyAdamW(whole.parameters(), lr=0.1)
    saved: dict[str, Any] = {}

    def save(number: int) -> None:
        if number == 3:
            saved.update(weights=copy.deepcopy(whole.state_dict()), optimizer=copy.deepcopy(optimizer.state_dict()))

    with optimizer.lazy(whole.embedding):
        for number, ids in enumerate(steps):
            optimizer.zero_grad()
            whole(torch.tensor(ids)).backward()
            optimizer.step()
            save(number)
    part.load_state_dict(saved["weights"])
    resumed = LazyAdamW(part.parameters(), lr=0.1)
    resumed.load_state_dict(saved["optimizer"])
    with resumed.lazy(part.embedding):
        for ids in steps[4:]:
            resumed.zero_grad()
            part(torch.tensor(ids)).backward()
            resumed.step()
    assert all(torch.equal(*pair) for pair in zip(whole.parameters(), part.parameters(), strict=True))


def test_after_the_block_the_embedding_is_an_ordinary_one_and_training_goes_on_as_adamw():
    steps = [[0, 5], [1], [2, 3], [1]]
    plain, _ = train_plainly(torch.float64, steps + steps, lr=0.1)
    model = Reader(torch.float64)
    optimizer = LazyAdamW(model.parameters(), lr=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warm_up_and_fall)

    def go(steps: list[list[int]]) -> None:
        for ids in steps:
            optimizer.zero_grad()
            model(torch.tensor(ids)).backward()
            clip_gradients(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()

    with optimizer.lazy(model.embedding):
        go(steps)
    assert not model.embedding.sparse and not model.embedding._forward_pre_hooks
    go(steps)
    assert model.embedding.weight.grad is not None and not model.embedding.weight.grad.is_sparse
    assert torch.allclose(model.embedding.weight, plain.embedding.weight, rtol=1e-10)


def test_a_frozen_embedding_is_left_as_it_is():
    model = Reader(torch.float64)
    model.embedding.requires_grad_(False)
    before = model.embedding.weight.clone()
    optimizer = make_optimizer(model, 0.1, 0.5)
    with optimizer.lazy(model.embedding):
        train(model, [[0], [1]], optimizer)
    assert torch.equal(model.embedding.weight, before)


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), -float("inf"), 1e38, 0.0, 1e-30], ids=str)
@pytest.mark.parametrize("limit", [1e-3, 1.0, 1e3])
def test_clipping_leaves_the_bits_that_torch_leaves_whatever_the_norm_is(odd, limit):
    values = [torch.tensor([odd, 0.25]), torch.tensor([[500.0, -2.0]])]
    ours, theirs = ([nn.Parameter(torch.zeros_like(value)) for value in values] for _ in range(2))
    for parameters in (ours, theirs):
        for parameter, value in zip(parameters, values, strict=True):
            parameter.grad = value.clone()
    norms = clip_gradients(ours, limit), nn.utils.clip_grad_norm_(theirs, limit)
    found, wanted = (
        [norm, *(parameter.grad for parameter in parameters)]
        for norm, parameters in zip(norms, (ours, theirs), strict=True)
    )
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@law
@given(st.floats(1e-3, 100), st.lists(st.integers(0, ROWS - 1), min_size=1, max_size=9), st.booleans())
def test_clipping_does_what_torch_does_to_dense_gradients(limit, ids, sparse):
    plain, model = Reader(torch.float64), Reader(torch.float64)
    model.embedding.sparse = sparse
    for reader in (plain, model):
        reader(torch.tensor(ids)).backward()
    wanted = nn.utils.clip_grad_norm_(plain.parameters(), limit)
    assert float(clip_gradients(model.parameters(), limit)) == pytest.approx(float(wanted), rel=1e-12)
    for one, other in zip(plain.parameters(), model.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        assert torch.allclose(one.grad, other.grad.to_dense(), rtol=1e-12)


def test_clipping_a_model_without_gradients_gives_norm_zero():
    assert float(clip_gradients(nn.Linear(2, 2).parameters(), 1.0)) == 0.0


# --- parameter groups (the contract of exercise 3.2) -------------------------------------------------------------


@pytest.mark.parametrize("part", FREEZABLE)
@pytest.mark.parametrize("family", FAMILIES)
def test_matrices_decay_and_biases_and_layer_norms_do_not(part, family):
    model = of_family(family)
    freeze(model, part)
    decay_of = {id(parameter): group["weight_decay"] for group, parameter in members(parameter_groups(model, 0.1))}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert id(parameter) not in decay_of
        elif "bias" in name or "norm" in name.lower():
            assert decay_of[id(parameter)] == 0, name
        else:
            assert decay_of[id(parameter)] == 0.1, name


def members(groups: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], nn.Parameter]]:
    return ((group, parameter) for group in groups for parameter in group["params"])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=8), st.floats(0, 1))
def test_each_trainable_parameter_stands_in_exactly_one_group(kinds, weight_decay):
    model = nn.ParameterList(nn.Parameter(torch.zeros((2,) * dim), requires_grad=free) for dim, free in kinds)
    model.append(model[0]) if kinds else None  # a shared parameter
    found = list(members(parameter_groups(model, weight_decay)))
    trainable = {id(parameter) for parameter in model.parameters() if parameter.requires_grad}
    assert sorted(id(parameter) for _, parameter in found) == sorted(trainable)
    assert all(group["weight_decay"] == (weight_decay if parameter.dim() > 1 else 0) for group, parameter in found)


def test_a_frozen_encoder_leaves_the_optimizer_a_head_alone_to_move(tiny_world):
    model = tiny_world.model()
    freeze(model, "encoder")
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    optimizer = torch.optim.AdamW(parameter_groups(model, 0.5), lr=0.1)
    model(input_ids=torch.tensor([[2, 5, 9, 3]]), labels=torch.tensor([1])).loss.backward()
    optimizer.step()
    moved = {name for name, weights in model.state_dict().items() if not torch.equal(weights, before[name])}
    assert moved == {"bert.pooler.dense.weight", "bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}


def test_the_optimizer_is_adamw_with_decay_on_matrices_alone(tiny_world):
    model = tiny_world.model()
    optimizer = make_optimizer(model, 3e-4, 0.25)
    decay_of = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert isinstance(optimizer, torch.optim.AdamW)
    assert {group["lr"] for group in optimizer.param_groups} == {3e-4}
    for name, parameter in model.named_parameters():
        assert decay_of[id(parameter)] == (0.0 if "bias" in name or "LayerNorm" in name else 0.25), name

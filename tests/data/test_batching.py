"""Laws of batches: the same reviews give the same logits however they share a batch, and what padding wastes."""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data.batching import (
    BATCHINGS,
    Batcher,
    chunks,
    length_bucketed_batches,
    loss_terms,
    padding_waste,
    plan_epoch,
)
from labkit.data.tokens import Tokenized, load_tokenizer, tokenize
from labkit.models.encoders import encoder_folder
from labkit.training.config import Config
from labkit.training.fit import evaluate

if TYPE_CHECKING:
    from conftest import TinyWorld

    from labkit.data.reviews import Reviews

law = settings(max_examples=80, deadline=None)
LONGEST = 40

skewed_lengths = st.builds(
    lambda count, seed: np.minimum(np.random.default_rng(seed).lognormal(3.0, 0.7, count).astype(np.int64) + 3, 100),
    st.integers(80, 400),
    st.integers(0, 10_000),
)


def make_batcher(lengths: np.ndarray, batching: str, multiple: int = 1) -> Batcher:
    """Reviews of these lengths, whose tokens and labels are all different."""
    ends = np.cumsum(lengths)
    input_ids = [
        np.arange(end - length + 1, end + 1, dtype=np.int32) for end, length in zip(ends, lengths, strict=True)
    ]
    tokenized = Tokenized(input_ids, np.zeros(len(lengths), dtype=bool), pad_token_id=0)
    return Batcher(tokenized, np.arange(len(lengths)), batching, int(lengths.max()), multiple)


@pytest.fixture(scope="module")
def batcher_of(tiny_world: "TinyWorld") -> Callable[..., Batcher]:
    tokenized = tokenize(tiny_world.texts, tiny_world.tokenizer, LONGEST)
    return lambda batching, **settings: Batcher(tokenized, tiny_world.labels, batching, LONGEST, **settings)


# --- equal logits -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hugging_face_logits(tiny_world: "TinyWorld") -> dict[torch.dtype, torch.Tensor]:
    """What the plain Hugging Face tokenizer and model say of each review alone."""
    logits = {}
    for dtype in (torch.float64, torch.float32):
        model = tiny_world.model().to(dtype).eval()
        with torch.no_grad():
            encoded = [
                tiny_world.tokenizer(text, truncation=True, max_length=LONGEST, return_tensors="pt")
                for text in tiny_world.texts
            ]
            logits[dtype] = torch.cat([model(**alone).logits for alone in encoded])
    return logits


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("batching", BATCHINGS)
def test_every_way_of_batching_gives_each_review_the_logits_of_the_hugging_face_model(
    batching, dtype, tolerance, tiny_world, batcher_of, hugging_face_logits
):
    config = Config(batching=batching, eval_batch_size=9)
    found = evaluate(tiny_world.model().to(dtype), batcher_of(batching), config).logits
    wanted = hugging_face_logits[dtype].float()
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


def test_every_way_of_batching_gives_the_same_loss(tiny_world, batcher_of):
    losses = [
        evaluate(tiny_world.model(), batcher_of(batching), Config(batching=batching, eval_batch_size=9)).loss
        for batching in BATCHINGS
    ]
    assert losses == pytest.approx([losses[0]] * len(losses), rel=1e-5)


@pytest.mark.parametrize("width", [LONGEST, 41, 64, 128])
def test_padding_never_changes_a_logit(width, tiny_world, batcher_of, hugging_face_logits):
    model = tiny_world.model().double().eval()
    batch = batcher_of("fixed").batch(range(16))
    more = width - batch["input_ids"].shape[1]
    wider = {name: torch.nn.functional.pad(batch[name], (0, more)) for name in ("input_ids", "attention_mask")}
    with torch.no_grad():
        found = model(**wider).logits
    wanted = hugging_face_logits[torch.float64][:16]
    assert (found - wanted).abs().max() <= 1e-10 * wanted.abs().max()


# --- batches ------------------------------------------------------------------------------------------------------


@law
@given(st.lists(st.integers(1, 9), min_size=1, max_size=30), st.sampled_from(BATCHINGS), st.integers(1, 12), st.data())
def test_an_epoch_has_every_review_once_with_its_tokens_and_its_label(lengths, batching, batch_size, data):
    batcher = make_batcher(np.array(lengths), batching)
    batches = list(batcher.epoch(batch_size, data.draw(st.integers(1, batch_size)), seed=data.draw(st.integers(0, 99))))
    assert sorted(np.concatenate([batch.indices for batch in batches])) == list(range(len(lengths)))
    for batch in batches:
        assert batch["labels"].tolist() == batch.indices.tolist()
        for row, index in enumerate(batch.indices):
            np.testing.assert_array_equal(tokens_of(batch, row), batcher.tokenized.input_ids[index])


def tokens_of(batch: Any, row: int) -> np.ndarray:
    """The tokens of one review, by what the batch itself says of padding or packing."""
    real = batch["sequence_ids"][0] == row if "sequence_ids" in batch else batch["attention_mask"][row].bool()
    tokens = batch["input_ids"][0] if "sequence_ids" in batch else batch["input_ids"][row]
    return tokens[real].numpy()


@law
@given(st.integers(1, 60), st.integers(1, 12), st.sampled_from(BATCHINGS), st.data())
def test_an_optimizer_step_has_the_same_reviews_whatever_the_micro_batch(count, batch_size, batching, data):
    batcher = make_batcher(np.random.default_rng(count).integers(1, 30, count), batching)
    micro = data.draw(st.integers(1, batch_size))
    per_step = -(-batch_size // micro)
    pieces = [batch.indices.tolist() for batch in batcher.epoch(batch_size, micro, seed=3)]
    whole = [batch.indices.tolist() for batch in batcher.epoch(batch_size, batch_size, seed=3)]
    steps = [pieces[start : start + per_step] for start in range(0, len(pieces), per_step)]
    assert [list(itertools.chain(*step)) for step in steps] == whole


@law
@given(st.integers(1, 50), st.sampled_from(BATCHINGS), st.integers(0, 60))
def test_skipping_steps_leaves_the_rest_of_the_epoch_as_it_was(count, batching, skipped):
    batcher = make_batcher(np.random.default_rng(count).integers(1, 30, count), batching)
    whole = [batch.indices.tolist() for batch in batcher.epoch(4, 2, seed=5)]
    rest = [batch.indices.tolist() for batch in batcher.epoch(4, 2, seed=5, skip_steps=skipped)]
    steps = [indices for index, indices in enumerate(whole) if index // 2 >= skipped]
    assert rest == (steps if skipped < -(-count // 4) else [])


@pytest.mark.parametrize("batching", BATCHINGS)
def test_the_same_seed_gives_the_same_epoch_and_another_seed_another(batching, batcher_of):
    plans = [[batch.indices.tolist() for batch in batcher_of(batching).epoch(8, 8, seed)] for seed in (1, 1, 2)]
    assert plans[0] == plans[1] != plans[2]


@law
@given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(1, 50), st.sampled_from(BATCHINGS))
def test_a_split_batch_has_the_same_reviews_in_the_same_order(lengths, size, batching):
    whole = make_batcher(np.array(lengths), batching).batch(range(len(lengths)))
    pieces = whole.split(size)
    assert np.concatenate([piece.indices for piece in pieces]).tolist() == list(range(len(lengths)))
    assert all(len(piece.indices) <= size for piece in pieces)
    assert torch.cat([piece["labels"] for piece in pieces]).tolist() == whole["labels"].tolist()


def test_pieces_of_a_batch_are_padded_to_their_own_longest_review():
    widths = [
        piece["input_ids"].shape[1]
        for piece in make_batcher(np.array([9, 2, 3, 4]), "buckets").batch(range(4)).split(2)
    ]
    assert widths == [9, 4]


@law
@given(st.lists(st.integers(1, 70), min_size=1, max_size=9), st.integers(1, 16))
def test_widths_are_the_longest_reviews_rounded_up(lengths, multiple):
    width = make_batcher(np.array(lengths), "dynamic", multiple).batch(range(len(lengths)))["input_ids"].shape[1]
    assert width % multiple == 0
    assert max(lengths) <= width < max(lengths) + multiple


def test_tensors_have_the_types_and_shapes_that_are_promised(batcher_of):
    padded, packed = batcher_of("buckets").batch([3, 1, 2]), batcher_of("packed").batch([3, 1, 2])
    tokens = sum(len(padded.batcher.tokenized.input_ids[index]) for index in (3, 1, 2))
    assert {name: tuple(tensor.shape) for name, tensor in packed.items()} == {
        "input_ids": (1, tokens),
        "position_ids": (1, tokens),
        "sequence_ids": (1, tokens),
        "sequence_starts": (3,),
        "labels": (3,),
    }
    assert padded["input_ids"].shape == padded["attention_mask"].shape
    assert {tensor.dtype for batch in (padded, packed) for tensor in batch.values()} == {torch.int64}


def test_evaluation_takes_every_review_once_and_the_longest_first(batcher_of):
    batcher = batcher_of("buckets")
    order = np.concatenate([batch.indices for batch in batcher.in_order_of_length(7)])
    assert sorted(order) == list(range(len(batcher)))
    assert (np.diff(batcher.tokenized.lengths[order]) <= 0).all()


def test_loss_terms_are_the_labels_that_count():
    assert loss_terms({"labels": torch.tensor([1, 0, 1])}) == 3
    assert loss_terms({"labels": torch.tensor([[-100, 4, 2], [-100, -100, 0]])}) == 3


def test_a_batcher_refuses_an_unknown_way_of_batching_and_a_missing_label(batcher_of, tiny_world):
    tokenized = batcher_of("fixed").tokenized
    with pytest.raises(ValueError, match="'bucket' is none of fixed, dynamic, buckets, packed"):
        Batcher(tokenized, tiny_world.labels, "bucket")
    with pytest.raises(ValueError, match="64 tokenized reviews and 63 labels"):
        Batcher(tokenized, tiny_world.labels[1:])


# --- length buckets (the contract of exercise 2.5) ----------------------------------------------------------------


@law
@given(st.lists(st.integers(1, 200), max_size=120), st.integers(1, 40), st.integers(0, 1000))
def test_buckets_have_every_index_once_and_only_the_last_may_be_smaller(lengths, batch_size, seed):
    batches = length_bucketed_batches(lengths, batch_size, seed)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    assert all(len(batch) == batch_size for batch in batches[:-1])
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert length_bucketed_batches(lengths, batch_size, seed) == batches


@law
@given(st.lists(st.integers(1, 200), min_size=1, max_size=120), st.integers(1, 40), st.integers(0, 1000))
def test_full_buckets_do_not_overlap_in_length(lengths, batch_size, seed):
    known = np.array(lengths)
    full = [batch for batch in length_bucketed_batches(lengths, batch_size, seed) if len(batch) == batch_size]
    ranges = sorted((known[batch].min(), known[batch].max()) for batch in full)
    assert all(longest <= shortest for (_, longest), (shortest, _) in itertools.pairwise(ranges))


@law
@given(skewed_lengths, st.integers(2, 8), st.integers(0, 1000))
def test_buckets_waste_at_most_half_of_what_a_random_order_wastes(lengths, batch_size, seed):
    buckets = padding_waste(lengths, plan_epoch(lengths, batch_size, "buckets", seed), "buckets")
    random = padding_waste(lengths, plan_epoch(lengths, batch_size, "dynamic", seed), "dynamic")
    assert buckets <= random / 2


@law
@given(skewed_lengths, st.integers(2, 8), st.integers(0, 1000))
def test_buckets_come_in_no_order_of_length_and_another_seed_gives_others(lengths, batch_size, seed):
    batches = length_bucketed_batches(lengths, batch_size, seed)
    means = [lengths[batch].mean() for batch in batches]
    assert means != sorted(means)
    assert means != sorted(means, reverse=True)
    assert length_bucketed_batches(lengths, batch_size, seed + 1) != batches


def test_the_smaller_batch_may_have_any_length():
    lengths = np.repeat(np.arange(1, 101), 3)  # 300 reviews: 42 full batches of 7, and 6 left over
    smaller = [lengths[length_bucketed_batches(lengths, 7, seed)[-1]].mean() for seed in range(100)]
    assert min(smaller) < 20
    assert max(smaller) > 80
    assert 40 < np.mean(smaller) < 60


def test_reviews_of_one_length_meet_others_under_another_seed():
    meetings = [{frozenset(batch) for batch in length_bucketed_batches([5] * 40, 4, seed)} for seed in (0, 1)]
    assert len(meetings[0] & meetings[1]) <= 2


def test_making_buckets_leaves_the_lengths_and_the_global_dice_alone():
    lengths = np.random.default_rng(0).integers(1, 50, 100)
    before, numpy_state, torch_state = lengths.copy(), np.random.get_state()[1].copy(), torch.get_rng_state()
    batches = length_bucketed_batches(lengths, 8, seed=1)
    np.testing.assert_array_equal(lengths, before)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert {type(index) for batch in batches for index in batch} == {int}


# --- padding waste ------------------------------------------------------------------------------------------------


@law
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=60),
    st.integers(1, 12),
    st.sampled_from(BATCHINGS),
    st.integers(1, 9),
)
def test_padding_waste_is_what_the_masks_of_the_batches_say(lengths, batch_size, batching, multiple):
    known = np.array(lengths)
    batcher = make_batcher(known, batching, multiple)
    batches = list(batcher.epoch(batch_size, batch_size, seed=2))
    places = sum(batch["input_ids"].numel() for batch in batches)
    found = padding_waste(known, plan_epoch(known, batch_size, batching, 2), batching, batcher.max_length, multiple)
    assert found == pytest.approx(1 - known.sum() / places, abs=1e-12)


def test_chunks_are_consecutive_and_complete():
    assert [chunk.tolist() for chunk in chunks(np.arange(5), 2)] == [[0, 1], [2, 3], [4]]


@pytest.fixture(scope="module")
def movie_lengths(movie_reviews: "Reviews") -> np.ndarray:
    return tokenize(movie_reviews.texts, load_tokenizer(encoder_folder("tiny")), 128).lengths


def test_the_movie_reviews_waste_of_padding_what_the_lessons_say(movie_lengths):
    wastes = {
        batching: padding_waste(movie_lengths, plan_epoch(movie_lengths, 32, batching, seed=0), batching)
        for batching in BATCHINGS
    }
    assert wastes["fixed"] == pytest.approx(0.79, abs=0.02)
    assert wastes["dynamic"] == pytest.approx(0.48, abs=0.03)
    assert wastes["buckets"] < 0.03
    assert wastes["packed"] == 0

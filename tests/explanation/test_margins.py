"""Laws of the margin, with the Hugging Face model as the oracle."""

import numpy as np
import pytest
import torch
from explaining import FAMILIES, SumOfWords, encoded, margin, of_family
from hypothesis import given
from hypothesis import strategies as st

from labkit.explanation.margins import TOKENS_AT_ONCE, batches, margin_of, margins, padded
from labkit.explanation.methods import explain

rows_of_ids = st.lists(
    st.integers(1, 3 * TOKENS_AT_ONCE // 2).map(lambda length: np.ones(length, np.int32)), max_size=9
)


@pytest.mark.parametrize("family", FAMILIES)
def test_each_margin_is_that_of_the_text_alone_in_the_order_of_the_rows(family, tiny_world):
    model, tokenizer = of_family(family), tiny_world.tokenizer
    texts = ["good", "a superb film , not the slow and dull one", "bad", "good", "dull film"]
    rows = [encoded(tokenizer, text)["input_ids"][0].numpy() for text in texts]
    found = margins(model, rows, tokenizer.pad_token_id)
    assert model.training and found.shape == (5,)
    with torch.no_grad():
        alone = [float(margin(model, **encoded(tokenizer, text))) for text in texts]
    assert found == pytest.approx(alone, abs=1e-5)


def test_a_text_that_comes_twice_is_computed_once(tiny_world):
    model = SumOfWords({"good": 1.0})
    explain(model, tiny_world.tokenizer, ["good", "good", "bad", "good"], "random")
    assert model.rows == 2


def test_of_no_rows_there_are_no_margins(tiny_world):
    assert margins(tiny_world.model(), [], 0).shape == (0,)


def test_a_margin_is_at_least_float32_whatever_the_model_computes_in():
    class Output:
        logits = torch.tensor([[1.0, 3.0]], dtype=torch.bfloat16)

    assert margin_of(Output).dtype == torch.float32 and margin_of(Output).tolist() == [2.0]
    Output.logits = Output.logits.double()
    assert margin_of(Output).dtype == torch.float64


@given(rows_of_ids)
def test_batches_hold_every_row_once_the_longest_first_and_no_more_than_there_is_room_for(rows):
    found = [batch.tolist() for batch in batches(rows)]
    places = [place for batch in found for place in batch]
    assert sorted(places) == list(range(len(rows)))
    lengths = [len(rows[place]) for place in places]
    assert lengths == sorted(lengths, reverse=True)
    assert all(len(batch) == 1 or len(batch) * len(rows[batch[0]]) <= TOKENS_AT_ONCE for batch in found)


def test_there_is_a_mask_only_where_something_is_padded():
    rows = [np.array([2, 7, 3], np.int32), np.array([2, 3], np.int32)]
    input_ids, mask = padded(rows, 0, torch.device("cpu"))
    assert input_ids.tolist() == [[2, 7, 3], [2, 3, 0]]
    assert mask is not None and mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert padded(rows[:1], 0, torch.device("cpu"))[1] is None

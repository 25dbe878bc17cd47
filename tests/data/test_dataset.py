"""Laws of the Dataset of lesson 02 and of the batches that a DataLoader collates from it."""

from typing import TYPE_CHECKING

import pytest
import torch
from torch.utils.data import DataLoader

from labkit.data.batching import Batcher
from labkit.data.dataset import ReviewDataset, pad_batch
from labkit.data.tokens import tokenize

if TYPE_CHECKING:
    from conftest import TinyWorld


def test_a_review_dataset_has_as_many_items_as_reviews_and_refuses_labels_that_do_not_fit(
    tiny_world: "TinyWorld",
) -> None:
    dataset = ReviewDataset(tiny_world.texts, tiny_world.labels, tiny_world.tokenizer, 16)
    assert len(dataset) == len(tiny_world.texts)
    assert [int(item["labels"]) for item in map(dataset.__getitem__, range(len(dataset)))] == tiny_world.labels.tolist()
    with pytest.raises(ValueError, match="64 texts and 3 labels"):
        ReviewDataset(tiny_world.texts, [0, 1, 1], tiny_world.tokenizer, 16)


def test_changing_an_item_leaves_the_dataset_as_it_was(tiny_world: "TinyWorld") -> None:
    dataset = ReviewDataset(tiny_world.texts, tiny_world.labels, tiny_world.tokenizer, 16)
    before = {name: values.clone() for name, values in dataset[0].items()}
    for values in dataset[0].values():
        values.fill_(7)
    assert all(torch.equal(dataset[0][name], values) for name, values in before.items())


def test_a_data_loader_gives_with_pad_batch_what_the_batcher_gives(tiny_world: "TinyWorld") -> None:
    dataset = ReviewDataset(tiny_world.texts, tiny_world.labels, tiny_world.tokenizer, 16)
    pad_token_id = tiny_world.tokenizer.pad_token_id
    loader = DataLoader(dataset, batch_size=8, collate_fn=lambda features: pad_batch(features, pad_token_id))
    tokenized = tokenize(tiny_world.texts, tiny_world.tokenizer, 16)
    batcher = Batcher(tokenized, tiny_world.labels, "dynamic")
    for number, batch in enumerate(loader):
        wanted = batcher.batch(range(8 * number, 8 * number + 8))
        assert batch.keys() == set(wanted) and all(torch.equal(batch[name], wanted[name]) for name in wanted)

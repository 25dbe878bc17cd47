"""Laws of packed batches: a review does not notice what it is packed with."""

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ElectraConfig,
    PreTrainedConfig,
    PreTrainedModel,
)

from labkit.batching import Batcher
from labkit.errors import UsageError
from labkit.packing import Packed
from labkit.precision import make_precision
from labkit.tokens import Tokenized
from labkit.training import accumulate_gradients

if TYPE_CHECKING:
    from labkit.batching import Batch

law = settings(max_examples=25, deadline=None)
WORDS = 50
SHARED = {
    "vocab_size": WORDS,
    "max_position_embeddings": 64,
    "num_labels": 3,
    "pad_token_id": 0,
    "initializer_range": 0.2,
}
BERT_LIKE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0, "classifier_dropout": 0.0}
CONFIGS: dict[str, PreTrainedConfig] = {
    "bert": BertConfig(**SHARED, **BERT_LIKE, **NO_DROPOUT),
    "albert": AlbertConfig(**SHARED, **BERT_LIKE, embedding_size=16, hidden_dropout_prob=0, classifier_dropout_prob=0),
    "distilbert": DistilBertConfig(
        **SHARED, dim=32, n_layers=2, n_heads=4, hidden_dim=48, dropout=0, attention_dropout=0, seq_classif_dropout=0
    ),
}


def make_model(config: PreTrainedConfig, attention: str = "sdpa") -> PreTrainedModel:
    """The same weights each time, with biases that are not zero."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter += 0.2 * torch.randn_like(parameter)
    return model.eval()  # type: ignore[no-any-return]


def make_batch(lengths: list[int], batching: str, seed: int = 0) -> "Batch":
    generator = np.random.default_rng(seed)
    rows = [generator.integers(1, WORDS, length).astype(np.int32) for length in lengths]
    tokenized = Tokenized(rows, np.zeros(len(rows), dtype=bool), pad_token_id=0)
    return Batcher(tokenized, generator.integers(0, 3, len(rows)), batching).batch(range(len(rows)))


def difference(found: torch.Tensor, wanted: torch.Tensor, floor: float = 0.0) -> float:
    """The largest difference, relative to the largest magnitude."""
    return float((found - wanted).abs().max() / max(float(wanted.abs().max()), floor))


@pytest.fixture(params=CONFIGS)
def model(request: pytest.FixtureRequest) -> Any:
    return make_model(CONFIGS[request.param]).double()


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("family", CONFIGS)
def test_a_packed_review_has_the_logits_of_the_same_review_alone(family, attention):
    model = make_model(CONFIGS[family], attention).double()
    lengths = [7, 1, 30, 2, 12]
    packed = make_batch(lengths, "packed")
    with torch.no_grad():
        found = Packed(model)(**packed).logits
        alone = [model(input_ids=ids[None]).logits for ids in packed["input_ids"][0].split(lengths)]
    assert difference(found, torch.cat(alone)) < 1e-10


@law
@given(st.lists(st.integers(1, 40), min_size=1, max_size=12), st.integers(0, 1000))
def test_packed_and_padded_batches_have_equal_losses_and_gradients(lengths, seed):
    gradients, losses = [], []
    for batching in ("packed", "dynamic"):
        model = make_model(CONFIGS["bert"]).double()
        network = Packed(model) if batching == "packed" else model
        losses.append(accumulate_gradients(network, [make_batch(lengths, batching, seed)]))
        gradients.append([parameter.grad for parameter in model.parameters()])
    assert losses[0] == pytest.approx(losses[1], rel=1e-10)
    norm = float(torch.stack([gradient.norm() for gradient in gradients[1]]).norm())
    assert max(difference(*pair, floor=1e-6 * norm) for pair in zip(*gradients, strict=True)) < 1e-10


@law
@given(st.lists(st.integers(2, 20), min_size=2, max_size=8), st.data())
def test_another_word_in_one_review_leaves_the_others_as_they_were(lengths, data):
    model = Packed(make_model(CONFIGS["bert"]).double())
    batch = make_batch(lengths, "packed")
    changed = data.draw(st.integers(0, len(lengths) - 1))
    other = dict(batch) | {"input_ids": batch["input_ids"].clone()}
    own = batch["sequence_ids"][0] == changed
    other["input_ids"][0, own] = other["input_ids"][0, own] % (WORDS - 1) + 1
    with torch.no_grad():
        moved = (model(**batch).logits - model(**other).logits).abs().amax(dim=1) > 1e-12
    assert moved.nonzero().flatten().tolist() == [changed]


def test_the_loss_is_the_mean_cross_entropy_of_the_reviews(model):
    batch = make_batch([5, 9, 2], "packed")
    with torch.no_grad():
        output = Packed(model)(**batch)
        without = Packed(model)(**{name: tensor for name, tensor in batch.items() if name != "labels"})
    wanted = torch.nn.functional.cross_entropy(output.logits.float(), batch["labels"])
    assert float(output.loss) == pytest.approx(float(wanted), rel=1e-6)
    assert without.loss is None


def test_dropout_is_on_in_training_and_off_in_evaluation():
    config = BertConfig(**SHARED, **BERT_LIKE, hidden_dropout_prob=0.5)
    packed, batch = Packed(make_model(config)), make_batch([5, 9], "packed")
    logits = {training: [packed.train(training)(**batch).logits for _ in range(2)] for training in (True, False)}
    assert torch.equal(*logits[False])
    assert not torch.equal(*logits[True])


@pytest.mark.parametrize("family", CONFIGS)
def test_packed_reviews_keep_apart_in_half_precision_too(family):
    model, lengths = make_model(CONFIGS[family]), [7, 1, 30, 2, 12]
    batch = make_batch(lengths, "packed")
    with torch.no_grad(), make_precision("bf16", torch.device("cpu")).autocast():
        found = Packed(model)(**batch).logits.float()
    with torch.no_grad():
        wanted = Packed(model)(**batch).logits
    assert difference(found, wanted) < 0.05


def test_a_head_that_cannot_be_packed_is_refused_with_the_way_out():
    electra = AutoModelForSequenceClassification.from_config(ElectraConfig(**SHARED, **BERT_LIKE, embedding_size=16))
    with pytest.raises(UsageError, match="bert, distilbert, albert, not electra; use batching buckets"):
        Packed(electra)

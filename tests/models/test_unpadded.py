"""Laws of the forward pass without padding: the same logits and gradients as the Hugging Face model's own."""

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

from labkit.data.batching import Batcher
from labkit.data.tokens import Tokenized
from labkit.errors import UsageError
from labkit.models.encoders import freeze
from labkit.models.families import FAMILIES
from labkit.models.unpadded import ROUND, PackedTokens, Unpadded
from labkit.training.gradients import gradient_difference, gradients_of
from labkit.training.loop import accumulate_gradients
from labkit.training.precision import make_precision

if TYPE_CHECKING:
    from labkit.data.batching import Batch

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
    return Batcher(tokenized, generator.integers(0, 3, len(rows)), batching, max_length=48).batch(range(len(rows)))


def difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The largest difference, relative to the largest magnitude."""
    return float((found - wanted).abs().max() / wanted.abs().max())


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
        found = Unpadded(model)(**packed).logits
        alone = [model(input_ids=ids[None]).logits for ids in packed["input_ids"][0].split(lengths)]
    assert difference(found, torch.cat(alone)) < 1e-10


TOLERANCE = {torch.float64: 1e-10, torch.float32: 1e-5}
LENGTHS = st.lists(st.integers(1, 40), min_size=1, max_size=12)


def loss_and_gradients(network: torch.nn.Module, batch: "Batch") -> tuple[float, dict[str, torch.Tensor]]:
    loss = accumulate_gradients(network, [batch])
    return loss, {name.removeprefix("model."): gradient for name, gradient in gradients_of(network).items()}


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("family", CONFIGS)
@law
@given(lengths=LENGTHS, batching=st.sampled_from(["packed", "dynamic", "fixed"]), seed=st.integers(0, 1000))
def test_loss_and_gradients_are_those_of_the_models_own_forward_pass(family, dtype, lengths, batching, seed):
    model = make_model(CONFIGS[family]).to(dtype)
    batch = make_batch(lengths, batching, seed)
    wanted, gradients = loss_and_gradients(model, make_batch(lengths, "dynamic", seed))
    found, others = loss_and_gradients(Unpadded(model), batch)
    assert found == pytest.approx(wanted, rel=TOLERANCE[dtype])
    assert gradient_difference(gradients, others) < TOLERANCE[dtype]


@pytest.mark.parametrize("part", ["embeddings", "encoder"])
def test_frozen_parts_get_no_gradient_and_the_others_the_same(model, part):
    freeze(model, part)
    batch = make_batch([9, 3, 30, 12], "dynamic")
    _, gradients = loss_and_gradients(model, batch)
    _, others = loss_and_gradients(Unpadded(model), batch)
    assert 0 < len(gradients) < len(dict(model.named_parameters()))
    assert gradient_difference(gradients, others) < 1e-10


@pytest.mark.parametrize("family", CONFIGS)
def test_in_bf16_its_error_against_float64_is_that_of_the_models_own_forward_pass(family):
    batch = make_batch([30, 2, 12, 17, 5, 23], "dynamic")
    bf16 = make_precision("bf16", torch.device("cpu"))

    def error(network_of: Any) -> float:
        model = make_model(CONFIGS[family])
        accumulate_gradients(network_of(model), [batch], bf16)
        found = torch.cat([gradient.double().flatten() for gradient in gradients_of(model).values()])
        return float((found - exact).norm() / exact.norm())

    model = make_model(CONFIGS[family]).double()
    accumulate_gradients(model, [batch])
    exact = torch.cat([gradient.flatten() for gradient in gradients_of(model).values()])
    plain, fast = error(lambda model: model), error(Unpadded)
    assert 0 < fast < 1.5 * plain + 1e-3


@given(lengths=st.lists(st.integers(1, 40), min_size=1, max_size=40), seed=st.integers(0, 9))
def test_the_tokens_computed_are_a_round_number_or_the_whole_table(lengths, seed):
    batch = make_batch(lengths, "dynamic", seed)
    packed = PackedTokens.of_padded(batch["input_ids"], batch["attention_mask"])
    places = len(lengths) * max(lengths)
    computed = len(packed.input_ids)
    assert sum(lengths) <= computed <= places
    assert computed == places or (computed % ROUND == 0 and computed < sum(lengths) + ROUND)


def test_a_saved_model_is_a_plain_hugging_face_model(model, tmp_path):
    batch = make_batch([5, 9, 2], "dynamic")
    network = Unpadded(model)
    accumulate_gradients(network, [batch])
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSequenceClassification.from_pretrained(tmp_path, dtype=torch.float64).eval()
    with torch.no_grad():
        assert difference(loaded(**batch).logits, network(**batch).logits) < 1e-10


def test_the_same_seed_gives_the_same_dropout():
    model = make_model(BertConfig(**SHARED, **BERT_LIKE, hidden_dropout_prob=0.3)).train()
    network, batch = Unpadded(model), make_batch([5, 9, 20], "dynamic")

    def logits(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return network(**batch).logits.detach()  # type: ignore[no-any-return]

    assert torch.equal(logits(1), logits(1))
    assert not torch.equal(logits(1), logits(2))


@pytest.mark.parametrize("sixteen_bit", [True, False])
def test_with_dropout_the_mean_over_many_passes_is_that_of_the_models_own_forward_pass(sixteen_bit):
    config = BertConfig(**SHARED, **BERT_LIKE, hidden_dropout_prob=0.3, attention_probs_dropout_prob=0.3)
    model, batch = make_model(config).train(), make_batch([6, 11, 3], "dynamic")

    def logits(network: torch.nn.Module) -> torch.Tensor:
        torch.manual_seed(0)
        with torch.no_grad():
            return torch.stack([network(**batch).logits for _ in range(400)]).double()

    plain, fast = logits(model), logits(Unpadded(model, sixteen_bit_dropout=sixteen_bit))
    noise = (plain.var(dim=0) / 400 + fast.var(dim=0) / 400).sqrt()
    assert float(((plain.mean(dim=0) - fast.mean(dim=0)) / noise).abs().max()) < 4.5
    assert float((fast.std(dim=0) / plain.std(dim=0)).log().abs().max()) < 0.25  # as much noise, too


@law
@given(st.lists(st.integers(2, 20), min_size=2, max_size=8), st.data())
def test_another_word_in_one_review_leaves_the_others_as_they_were(lengths, data):
    model = Unpadded(make_model(CONFIGS["bert"]).double())
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
        output = Unpadded(model)(**batch)
        without = Unpadded(model)(**{name: tensor for name, tensor in batch.items() if name != "labels"})
    wanted = torch.nn.functional.cross_entropy(output.logits.float(), batch["labels"])
    assert float(output.loss) == pytest.approx(float(wanted), rel=1e-6)
    assert without.loss is None


def test_dropout_is_on_in_training_and_off_in_evaluation():
    config = BertConfig(**SHARED, **BERT_LIKE, hidden_dropout_prob=0.5)
    packed, batch = Unpadded(make_model(config)), make_batch([5, 9], "packed")
    logits = {training: [packed.train(training)(**batch).logits for _ in range(2)] for training in (True, False)}
    assert torch.equal(*logits[False])
    assert not torch.equal(*logits[True])


@pytest.mark.parametrize("family", CONFIGS)
def test_packed_reviews_keep_apart_in_half_precision_too(family):
    model, lengths = make_model(CONFIGS[family]), [7, 1, 30, 2, 12]
    batch = make_batch(lengths, "packed")
    with torch.no_grad(), make_precision("bf16", torch.device("cpu")).autocast():
        found = Unpadded(model)(**batch).logits.float()
    with torch.no_grad():
        wanted = Unpadded(model)(**batch).logits
    assert difference(found, wanted) < 0.05


def test_every_family_is_compared_here_with_the_models_own_forward_pass():
    assert set(CONFIGS) == set(FAMILIES)


@pytest.mark.parametrize("attended", ["0001111", "0000000"], ids=["padded on the left", "empty"])
@pytest.mark.parametrize("rows", [3, 40])
def test_a_row_that_does_not_begin_with_a_token_is_refused_by_its_place(model, attended, rows):
    ids = torch.arange(rows * len(attended)).view(rows, -1) % WORDS
    mask = torch.ones_like(ids)
    mask[:, -1] = 0
    Unpadded(model.eval())(ids, mask)
    mask[2] = torch.tensor([int(bit) for bit in attended])
    with pytest.raises(UsageError, match="row 2 of the batch is empty or padded on the left"):
        Unpadded(model)(ids, mask)


def test_a_family_that_is_not_known_is_refused():
    electra = AutoModelForSequenceClassification.from_config(ElectraConfig(**SHARED, **BERT_LIKE, embedding_size=16))
    with pytest.raises(UsageError, match=f"{', '.join(FAMILIES)}, not for electra"):
        Unpadded(electra)

"""Laws of model folders that cannot work: refused in one line before anything is computed or written."""

import copy
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import VOCABULARY
from safetensors.torch import load_file, save_file
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    CanineConfig,
    ConvBertConfig,
    DebertaConfig,
    DebertaV2Config,
    ElectraConfig,
    EsmConfig,
    FNetConfig,
    FunnelConfig,
    GPT2Config,
    LongformerConfig,
    MPNetConfig,
    PerceiverConfig,
    PreTrainedTokenizerFast,
    RobertaConfig,
    SqueezeBertConfig,
    T5Config,
    XLMRobertaConfig,
    XLNetConfig,
)

from labkit.data.tokens import TokenizerError
from labkit.errors import UsageError
from labkit.explanation.attribution import AttributionError
from labkit.explanation.registry import METHODS
from labkit.models.encoders import ModelError, load_classifier, load_encoder, quiet_transformers
from labkit.models.soundness import positions_of
from labkit.serving.classifier import Classifier
from labkit.training.precision import make_precision, suitable_precision

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SHARED = SIZES | {"vocab_size": len(VOCABULARY), "max_position_embeddings": 34}
CONFIGS: dict[str, tuple[Any, int]] = {  # and how many tokens a text may have
    "bert": (BertConfig(**SHARED), 34),
    "electra": (ElectraConfig(**SHARED, embedding_size=8), 34),
    "roberta": (RobertaConfig(**SHARED, pad_token_id=0, bos_token_id=2, eos_token_id=3, type_vocab_size=1), 33),
    "roberta, pad 1": (RobertaConfig(**SHARED, pad_token_id=1, bos_token_id=2, eos_token_id=3), 32),
    "xlm-roberta": (XLMRobertaConfig(**SHARED, pad_token_id=1, bos_token_id=2, eos_token_id=3), 32),
    "mpnet": (MPNetConfig(**SHARED, pad_token_id=1, bos_token_id=2, eos_token_id=3), 32),
    "deberta-v2": (DebertaV2Config(**SHARED, relative_attention=True, pos_att_type=["p2c", "c2p"]), 34),
}
WITHOUT_FUSED = ("mpnet", "deberta-v2")
LONG = "good film " * 30


@pytest.fixture
def save(tiny_world: Any, tmp_path: Path) -> Callable[[Any], Path]:
    """A folder with a random model of a config, and the tiny world's tokenizer."""

    def saved(config: Any, tokenizer: Any = tiny_world.tokenizer) -> Path:
        torch.manual_seed(0)
        with quiet_transformers():
            AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").save_pretrained(
                tmp_path
            )
        if config.model_type == "gpt2":  # whose tokenizers give no token types
            tokenizer = as_plain(tokenizer)
        tokenizer.save_pretrained(tmp_path)
        return tmp_path

    return saved


def as_plain(tokenizer: Any, **more: Any) -> PreTrainedTokenizerFast:
    """Put BERT's tokenizer into the class that has no habits of its own."""
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    special = {name: getattr(tokenizer, name) for name in names}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, **special, **more)


def change_weights(name: str, value: float) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        weights = load_file(folder / "model.safetensors")
        weights[name].view(-1)[-1] = value
        save_file(weights, folder / "model.safetensors", {"format": "pt"})

    return change


def change_config(**settings: Any) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        there = json.loads((folder / "config.json").read_text()) | settings
        kept = {name: value for name, value in there.items() if value is not ...}
        (folder / "config.json").write_text(json.dumps(kept))

    return change


WORD, BIAS = "bert.embeddings.word_embeddings.weight", "bert.encoder.layer.1.output.dense.bias"
UNSOUND: dict[str, tuple[Callable[[Path], Any], str]] = {
    "nan in the head": (change_weights("classifier.bias", math.nan), "classifier.bias holds NaN or infinity"),
    "nan in one word": (change_weights(WORD, math.nan), f"{WORD} holds NaN or infinity"),
    "infinity in a layer": (change_weights(BIAS, -math.inf), f"{BIAS} holds NaN or infinity"),
    "an unknown family": (
        change_config(model_type="newbert9"),
        'model_type "newbert9" is none that transformers knows',
    ),
    "no family": (change_config(model_type=...), "no model_type there"),
    "a family that is no name": (change_config(model_type=["bert"]), "no model_type there"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "no model_type there"),
    "nothing": (lambda folder: (folder / "config.json").write_text("{}"), "no model_type there"),
    "a size in words": (change_config(hidden_size="big"), "not the config of a bert"),
    "heads that do not divide": (change_config(num_attention_heads=3), "cannot be loaded"),
    "an unknown activation": (change_config(hidden_act="swoosh"), "cannot be loaded"),
    "pictures": (change_config(model_type="clip"), "cannot be loaded"),
    "more rows than there are": (change_config(max_position_embeddings=64), "not there as config.json wants it"),
}


@pytest.mark.parametrize("load", [lambda folder: load_encoder(str(folder), head="kept"), load_classifier])
@pytest.mark.parametrize("what", UNSOUND)
def test_a_folder_that_cannot_work_is_refused_in_one_line(what, load, save):
    folder = save(CONFIGS["bert"][0])
    change, message = UNSOUND[what]
    change(folder)
    with pytest.raises((ModelError, TokenizerError)) as refused:
        load(folder)
    said = str(refused.value)
    assert message in said and str(folder) in said
    assert refused.value.exit_code == 2 and "\n" not in said


def test_weights_whose_sum_overflows_are_numbers_all_the_same(save):
    folder = save(CONFIGS["bert"][0])
    weights = load_file(folder / "model.safetensors")
    weights["bert.pooler.dense.weight"][:, :4] = 3e38
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    assert load_encoder(str(folder))


def test_logits_that_are_no_numbers_are_never_an_answer(save):
    folder = save(CONFIGS["bert"][0])
    weights = load_file(folder / "model.safetensors")
    weights["classifier.weight"][:] = torch.tensor([[3e38], [-3e38]])
    weights["bert.pooler.dense.bias"][:] = 9.0
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    classifier = Classifier.load(folder, device="cpu", tell=lambda notice: None)
    for ask in (classifier.predict, classifier.explain):
        with pytest.raises(Exception, match="no finite numbers") as refused:
            ask(["good film"])
        assert refused.value.exit_code == 2  # type: ignore[attr-defined]


def test_a_token_without_a_row_is_refused_by_name_and_other_texts_are_answered(save, tiny_world):
    folder = save(CONFIGS["bert"][0])
    tokenizer = type(tiny_world.tokenizer).from_pretrained(folder)
    tokenizer.add_tokens(["moviestar"])
    tokenizer.save_pretrained(folder)
    classifier = Classifier.load(folder, device="cpu", tell=lambda notice: None)
    for ask in (classifier.predict, classifier.explain):
        ask(["good film"])
        with pytest.raises(
            Exception, match=f"moviestar the number {len(VOCABULARY)}.* has {len(VOCABULARY)} rows"
        ) as why:
            ask(["good film", "a moviestar film"])
        assert why.value.exit_code == 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("family", CONFIGS)
def test_a_text_may_have_as_many_tokens_as_the_model_computes_and_not_one_more(family, save):
    config, limit = CONFIGS[family]
    model, _ = load_encoder(str(save(config)), tell=lambda notice: None)
    assert positions_of(model) == limit
    model.eval()(input_ids=torch.full((1, limit), 7))
    if config.model_type != "deberta-v2":  # whose positions are relative too
        with pytest.raises((IndexError, RuntimeError)):
            model(input_ids=torch.full((1, limit + 1), 7))


@pytest.mark.parametrize("family", CONFIGS)
def test_a_model_of_fewer_positions_reads_what_it_can_in_every_use_and_says_so_once(family, save, tiny_world):
    config, limit = CONFIGS[family]
    told: list[str] = []
    classifier = Classifier.load(save(config), device="cpu", tell=told.append)
    assert sum(f"texts are cut to {limit} tokens" in notice for notice in told) == 1
    assert classifier.predict([LONG])[0].truncated
    assert len(classifier.evaluate(tiny_world.reviews)) == len(tiny_world.reviews)
    methods = [name for name, method in METHODS.items() if not method.needs_eager]
    for one in classifier.explain([LONG], methods):
        assert len(one.scores) == limit
        assert not (one.method == "integrated-gradients" and one.is_flagged)


@pytest.mark.parametrize("family", CONFIGS)
def test_a_family_without_fused_attention_is_loaded_with_its_own_and_that_is_said_once(family, save):
    folder = save(CONFIGS[family][0])
    for load in (lambda tell: load_encoder(str(folder), tell=tell), lambda tell: load_classifier(folder, tell=tell)):
        told: list[str] = []
        model, tokenizer = load(told.append)
        assert len(told) == (family in WITHOUT_FUSED)
        assert all("no fused attention" in notice and "\n" not in notice for notice in told)
        logits = model.eval()(**tokenizer("good film", return_tensors="pt", return_token_type_ids=False)).logits
        assert np.isfinite(logits.detach().numpy()).all()


# --- families whose code differs from BERT's ----------------------------------------------------------------------

T5_SIZES = {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 1, "num_heads": 2, "vocab_size": len(VOCABULARY)}
RELATIVE = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
BY_IDS = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
GPT2 = GPT2Config(vocab_size=len(VOCABULARY), n_embd=16, n_layer=2, n_head=2, pad_token_id=0)
FUNNEL = FunnelConfig(vocab_size=len(VOCABULARY), d_model=16, n_head=2, d_head=8, d_inner=24, block_sizes=[1, 1])
LONGFORMER = LongformerConfig(**SHARED, **BY_IDS, attention_window=[4, 4])
SQUEEZEBERT = SqueezeBertConfig(
    **SHARED, embedding_size=16, **dict.fromkeys(("q_groups", "k_groups", "v_groups", "output_groups"), 1)
)
UNSUITED = {
    "t5": (T5Config(**T5_SIZES, pad_token_id=0, eos_token_id=3, decoder_start_token_id=0), "encoder with a decoder"),
    "bart": (
        BartConfig(**BY_IDS, vocab_size=len(VOCABULARY), d_model=16, encoder_layers=1, decoder_layers=1),
        "encoder with a decoder",
    ),
    "fnet": (FNetConfig(**SHARED), "reads padding too"),
    "xlnet": (
        XLNetConfig(vocab_size=len(VOCABULARY), d_model=16, n_layer=1, n_head=2, d_inner=24),
        "reads padding too",
    ),
    "convbert": (ConvBertConfig(**SHARED, embedding_size=8, head_ratio=1), "reads padding too"),
    "canine": (CanineConfig(**SIZES, max_position_embeddings=34), "no table of word embeddings"),
    "perceiver": (
        PerceiverConfig(
            vocab_size=len(VOCABULARY),
            max_position_embeddings=34,
            **dict.fromkeys(("d_model", "d_latents"), 16),
            **dict.fromkeys(("num_self_attention_heads", "num_cross_attention_heads"), 2),
        ),
        "no table of word embeddings",
    ),
}


def widen(config: Any) -> Any:
    """Make random weights so large that whatever reads more than the text answers otherwise."""
    for name in ("initializer_range", "initializer_std", "init_std"):
        if hasattr(config, name):
            setattr(config, name, 0.3)
    return config


@pytest.mark.parametrize("load", [lambda folder: load_encoder(str(folder)), load_classifier])
@pytest.mark.parametrize("family", UNSUITED)
def test_a_family_whose_answers_would_not_be_its_own_is_refused_with_the_reason(family, load, save):
    config, reason = UNSUITED[family]
    folder = save(widen(config))
    with pytest.raises(ModelError) as refused:
        load(folder)
    said = str(refused.value)
    assert reason in said and f"the family {family}" in said and str(folder) in said
    assert refused.value.exit_code == 2 and "\n" not in said


def test_token_types_that_a_model_needs_and_that_are_not_given_to_it_are_said(save, tiny_world):
    tokenizer = copy.deepcopy(tiny_world.tokenizer)
    known = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    form = TemplateProcessing(single="[CLS]:1 $A:0 [SEP]:0", special_tokens=known)
    tokenizer.backend_tokenizer.post_processor = form
    names = ["input_ids", "token_type_ids", "attention_mask"]
    folder = save(widen(BertConfig(**SHARED)), as_plain(tokenizer, model_input_names=names))
    with pytest.raises(ModelError, match="the family bert needs the token types of its tokenizer"):
        load_classifier(folder, tell=lambda notice: None)


ANSWERED = {name: config for name, (config, _) in CONFIGS.items()} | {
    "deberta": DebertaConfig(**SHARED, **RELATIVE),
    "funnel": FUNNEL,
    "gpt2": GPT2,
    "longformer": LONGFORMER,
    "squeezebert": SQUEEZEBERT,
}


@pytest.mark.parametrize("family", ANSWERED)
def test_every_family_that_is_loaded_answers_as_transformers_does(family, save, tiny_world):
    folder = save(widen(ANSWERED[family]))
    texts = ["good", "a dull film and the cast too", "bad old movie"]
    classifier = Classifier.load(folder, precision="fp32", device="cpu", tell=lambda notice: None)
    model = AutoModelForSequenceClassification.from_pretrained(folder, attn_implementation="eager").eval()
    for text, ours in zip(texts, classifier.probabilities(texts), strict=True):
        given = tiny_world.tokenizer(text, return_tensors="pt", return_token_type_ids=False)
        theirs = model(**given).logits[0].softmax(dim=-1).tolist()
        assert ours.tolist() == pytest.approx(theirs, abs=1e-5)


UNEXPLAINED = {
    "attention of windows": (LONGFORMER, "attention", "does not return attention of each token to each"),
    "attention of windows, through all layers": (LONGFORMER, "rollout", "does not return attention of each token"),
    "attention of pooled tokens": (FUNNEL, "rollout", "does not return attention of each token to each"),
    "attention before its softmax": (SQUEEZEBERT, "attention", "weights do not add up to 1"),
    "gradients without ids": (LONGFORMER, "integrated-gradients", "longformer has no gradient at its word embeddings"),
    "padded embeddings": (GPT2, "gradient-x-input", "gpt2 answers the word embeddings of a text otherwise"),
}


@pytest.mark.parametrize("what", UNEXPLAINED)
def test_what_a_family_cannot_tell_is_refused_and_the_other_methods_explain_it(what, save):
    config, method, reason = UNEXPLAINED[what]
    folder = save(widen(config))
    classifier = Classifier.load(folder, device="cpu", attention="eager", tell=lambda notice: None)
    texts = ["good film", "a dull film and the cast too"]
    with pytest.raises(AttributionError, match=reason) as refused:
        classifier.explain(texts, method)
    assert "\n" not in str(refused.value)
    assert len(classifier.explain(texts, "occlusion")) == len(texts)


@pytest.mark.parametrize("family", ["bert", "gpt2", "esm"])
def test_a_dropout_that_is_asked_for_is_that_of_every_dropout_in_the_model(family, save):
    folder = save({"bert": BertConfig(**SHARED), "gpt2": GPT2, "esm": EsmConfig(**SHARED, pad_token_id=0)}[family])
    model, _ = load_encoder(str(folder), dropout=0.3, tell=lambda notice: None)
    found = {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)}
    assert found == {0.3}


def test_a_family_that_does_not_compute_in_a_precision_computes_in_fp32_and_says_so(save):
    told: list[str] = []
    folder = save(DebertaConfig(**SHARED, **RELATIVE))
    model, _ = load_encoder(str(folder), tell=lambda notice: None)
    bf16 = make_precision("bf16", torch.device("cpu"))
    assert suitable_precision(model, bf16, "auto", told.append).name == "fp32"
    assert told == ["the family deberta does not compute in bf16: it computes in fp32"]
    with pytest.raises(UsageError, match="the family deberta does not compute in bf16; use precision fp32"):
        Classifier.load(folder, precision="bf16", device="cpu", tell=lambda notice: None)
    for family in ("bert", "electra"):
        sound = AutoModelForSequenceClassification.from_config(CONFIGS[family][0])
        assert suitable_precision(sound, bf16, "bf16", told.append) is bf16

"""Laws of model folders that cannot work: refused in one line before anything is computed or written."""

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
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    DebertaV2Config,
    ElectraConfig,
    MPNetConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from labkit.data.tokens import TokenizerError
from labkit.explanation.registry import METHODS
from labkit.models.encoders import ModelError, load_classifier, load_encoder, quiet_transformers
from labkit.models.soundness import positions_of
from labkit.serving.classifier import Classifier

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

    def saved(config: Any) -> Path:
        torch.manual_seed(0)
        with quiet_transformers():
            AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").save_pretrained(
                tmp_path
            )
        tiny_world.tokenizer.save_pretrained(tmp_path)
        return tmp_path

    return saved


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

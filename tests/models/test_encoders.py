"""Laws of encoders: what a seed decides, what is refused unopened, and what is frozen."""

import copy
import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import (
    AlbertConfig,
    AutoModelForSequenceClassification,
    BertConfig,
    DistilBertConfig,
    ModernBertConfig,
)

from labkit.data import assets
from labkit.data.tokens import TokenizerError
from labkit.errors import UsageError
from labkit.models.encoders import (
    ENCODERS,
    FREEZABLE,
    LAB_LEARNING_RATE,
    ModelError,
    freeze,
    load_classifier,
    load_encoder,
    quiet_transformers,
    registry_entry,
)

if TYPE_CHECKING:
    from conftest import TinyWorld

SHARED = {"vocab_size": 50, "max_position_embeddings": 32, "num_labels": 2, "pad_token_id": 0}
BERT_LIKE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
SPECIAL = {"cls_token_id": 1, "sep_token_id": 2, "bos_token_id": 1, "eos_token_id": 2}
CONFIGS = {
    "bert": BertConfig(**SHARED, **BERT_LIKE),
    "albert": AlbertConfig(**SHARED, **BERT_LIKE, embedding_size=8),
    "distilbert": DistilBertConfig(**SHARED, dim=16, n_layers=2, n_heads=2, hidden_dim=24),
    "modernbert": ModernBertConfig(**SHARED, **BERT_LIKE, **SPECIAL),
}


@pytest.fixture(params=CONFIGS)
def any_model(request: pytest.FixtureRequest) -> Any:
    return AutoModelForSequenceClassification.from_config(CONFIGS[request.param])


@pytest.fixture
def bare_folder(tiny_world: "TinyWorld", tmp_path: Path) -> Path:
    """A folder with an encoder that has no head, as pretrained encoders come."""
    tiny_world.model().base_model.save_pretrained(tmp_path)
    tiny_world.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def head(model: nn.Module) -> torch.Tensor:
    return model.get_parameter("classifier.weight")


# --- loading ------------------------------------------------------------------------------------------------------


def test_the_seed_draws_the_head_and_leaves_the_pretrained_weights_alone(bare_folder, tiny_world):
    models = [load_encoder(str(bare_folder), seed)[0] for seed in (0, 0, 1)]
    assert torch.equal(head(models[0]), head(models[1]))
    assert not torch.equal(head(models[0]), head(models[2]))
    for model in models:
        for name, weights in tiny_world.model().base_model.state_dict().items():
            assert torch.equal(model.base_model.state_dict()[name], weights), name


def test_without_pretraining_the_seed_draws_every_matrix(bare_folder, tiny_world):
    models = [load_encoder(str(bare_folder), seed, pretrained=False)[0] for seed in (5, 5, 6)]
    states = [model.state_dict() for model in models]
    pretrained = tiny_world.model().state_dict()
    for name, weights in states[0].items():
        assert torch.equal(weights, states[1][name])
        if weights.dim() > 1:
            assert not torch.equal(weights, states[2][name]), name
            assert not torch.equal(weights, pretrained[name]), name


@pytest.mark.parametrize("pretrained", [True, False])
def test_loading_leaves_the_global_dice_alone(pretrained, bare_folder):
    before = torch.get_rng_state()
    load_encoder(str(bare_folder), seed=5, pretrained=pretrained)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_loaded_encoder_has_two_named_classes_and_computes_in_fp32(bare_folder):
    half = AutoModelForSequenceClassification.from_pretrained(bare_folder).half()
    half.base_model.save_pretrained(bare_folder)
    model, tokenizer = load_encoder(str(bare_folder))
    assert model.config.id2label == {0: "negative", 1: "positive"}
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert model(**tokenizer("good film", return_tensors="pt")).logits.shape == (1, 2)


def test_dropout_is_the_models_own_unless_it_is_set(bare_folder):
    config = json.loads((bare_folder / "config.json").read_text()) | {"hidden_dropout_prob": 0.3}
    (bare_folder / "config.json").write_text(json.dumps(config))
    assert {0.3} < dropouts(load_encoder(str(bare_folder))[0])
    assert dropouts(load_encoder(str(bare_folder), dropout=0.2)[0]) == {0.2}


def dropouts(model: nn.Module) -> set[float]:
    return {module.p for module in model.modules() if isinstance(module, nn.Dropout)}


def test_eager_attention_gives_the_logits_of_the_fast_one_and_the_attention_beside_them(bare_folder):
    models = [load_encoder(str(bare_folder), attention=attention) for attention in ("sdpa", "eager")]
    encoded = models[0][1](["good film", "a bad and very slow film"], padding=True, return_tensors="pt")
    with torch.no_grad():
        fast, eager = (model.eval()(**encoded) for model, _ in models)
        assert len(models[1][0](**encoded, output_attentions=True).attentions) == 2
    assert (fast.logits - eager.logits).abs().max() < 1e-5


def test_a_saved_classifier_comes_back_with_its_own_head_ready_to_evaluate(tiny_folder, tiny_world):
    model, tokenizer = load_classifier(tiny_folder)
    assert not any(module.training for module in model.modules())
    for name, weights in tiny_world.model().state_dict().items():
        assert torch.equal(model.state_dict()[name], weights)
    assert tokenizer.get_vocab() == tiny_world.tokenizer.get_vocab()


@pytest.mark.skipif(not Path("/proc/self/maps").is_file(), reason="only Linux says what a process has mapped")
def test_weights_are_the_mapped_file_itself_and_training_leaves_the_file_alone(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "model")
    file, before = folder / "model.safetensors", (folder / "model.safetensors").read_bytes()
    model, _ = load_classifier(folder)
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith(str(file))]
    spans = [tuple(int(end, 16) for end in row[0].split("-")) for row in maps]
    for name, weights in model.named_parameters():
        assert any(start <= weights.data_ptr() < end for start, end in spans), f"{name} was copied"
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(1.0)
    assert file.read_bytes() == before


def test_loading_says_nothing_and_puts_the_verbosity_of_transformers_back(bare_folder, capfd):
    from transformers.utils import logging

    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    load_encoder(str(bare_folder))
    with pytest.raises(RuntimeError), quiet_transformers():
        raise RuntimeError
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before
    assert capfd.readouterr() == ("", "")


def test_an_encoder_out_of_a_classifier_with_other_classes_gets_a_fresh_head(tiny_world, tmp_path):
    config = tiny_world.model().config
    config.id2label = {number: str(number) for number in range(5)}
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path)
    tiny_world.tokenizer.save_pretrained(tmp_path)
    assert head(load_encoder(str(tmp_path))[0]).shape == (2, 32)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("family", CONFIGS)
def test_a_fresh_head_is_the_seed_s_also_where_the_folder_holds_a_classifier_of_any_shape(
    family, classes, tiny_world, tmp_path
):
    config = copy.deepcopy(CONFIGS[family])
    config.update({"vocab_size": len(tiny_world.tokenizer), "id2label": dict(enumerate("abcde"[:classes]))})
    stored = AutoModelForSequenceClassification.from_config(config)
    stored.save_pretrained(tmp_path)
    tiny_world.tokenizer.save_pretrained(tmp_path)
    states = [load_encoder(str(tmp_path), seed)[0].state_dict() for seed in (1, 1, 2)]
    inside = f"{stored.base_model_prefix}."
    for name, weights in states[0].items():
        there = stored.state_dict()[name]
        assert torch.equal(weights, states[1][name]), name
        if name.startswith(inside):
            assert torch.equal(weights, there) and torch.equal(weights, states[2][name]), name
        elif weights.dim() > 1:
            assert not torch.equal(weights, states[2][name]), name
            assert weights.shape != there.shape or not torch.equal(weights, there), name


def test_a_head_over_a_classifier_is_the_one_over_the_same_encoder_without_a_head(bare_folder, tiny_folder):
    for seed in (0, 3):
        bare, classifier = (load_encoder(str(folder), seed)[0] for folder in (bare_folder, tiny_folder))
        for (name, one), (_, other) in zip(bare.named_parameters(), classifier.named_parameters(), strict=True):
            assert torch.equal(one, other), name


def test_a_kept_head_is_the_stored_one_whatever_the_seed_and_one_that_is_not_there_is_refused(
    bare_folder, tiny_folder, tiny_world
):
    for seed in (0, 1):
        model, _ = load_encoder(str(tiny_folder), seed, head="kept")
        for name, weights in tiny_world.model().state_dict().items():
            assert torch.equal(model.state_dict()[name], weights), name
    with pytest.raises(ModelError, match="not the weights of a fine-tuned classifier"):
        load_encoder(str(bare_folder), head="kept")
    with pytest.raises(UsageError, match="contradict each other"):
        load_encoder(str(tiny_folder), head="kept", pretrained=False)
    with pytest.raises(UsageError, match=r"head 'keep' is none of fresh, kept; did you mean kept\?"):
        load_encoder(str(tiny_folder), head="keep")


# --- what is refused ----------------------------------------------------------------------------------------------


class Spring:
    """Makes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.trace,))


@pytest.mark.parametrize("load", [lambda folder: load_encoder(str(folder)), load_classifier])
@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt"])
def test_pickled_weights_are_refused_unopened(load, name, bare_folder):
    (bare_folder / "model.safetensors").unlink()
    trace = bare_folder / "opened"
    (bare_folder / name).write_bytes(pickle.dumps(Spring(trace)))
    with pytest.raises(ModelError, match=f"found only {name}, which is a pickle"):
        load(bare_folder)
    assert not trace.exists()


def test_safetensors_beside_a_pickle_are_loaded_and_the_pickle_is_not(bare_folder):
    trace = bare_folder / "opened"
    (bare_folder / "pytorch_model.bin").write_bytes(pickle.dumps(Spring(trace)))
    load_encoder(str(bare_folder))
    assert not trace.exists()


def lose_the_tokenizer(folder: Path) -> None:
    for file in folder.iterdir():
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()


def cut_the_weights_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


BROKEN = {
    "no tokenizer there": lose_the_tokenizer,
    "the tokenizer cannot be read": lambda folder: (folder / "tokenizer.json").write_text("{}"),
    "no config.json there": lambda folder: (folder / "config.json").unlink(),
    "not readable as JSON": lambda folder: (folder / "config.json").write_text("{"),
    "weights wanted as model.safetensors, found none": lambda folder: (folder / "model.safetensors").unlink(),
    "cannot be loaded": cut_the_weights_short,
}


@pytest.mark.parametrize("load", [lambda folder: load_encoder(str(folder)), load_classifier])
@pytest.mark.parametrize("message", BROKEN)
def test_a_broken_model_folder_is_refused_by_name(message, load, bare_folder):
    BROKEN[message](bare_folder)
    with pytest.raises((ModelError, TokenizerError), match=message) as refused:
        load(bare_folder)
    assert str(bare_folder) in str(refused.value)
    assert refused.value.exit_code == 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a file's name is text")
@pytest.mark.parametrize("load", [lambda folder: load_encoder(str(folder)), load_classifier])
def test_a_folder_whose_name_is_not_utf_8_is_refused_before_its_weights_are_read(load, bare_folder):
    folder = Path(shutil.copytree(bare_folder, bare_folder / "mod\udce9l"))
    with pytest.raises(ModelError, match=r"a name that is not UTF-8, .* rename the folder") as refused:
        load(folder)
    assert refused.value.exit_code == 2


def test_weights_that_are_not_there_are_refused_and_not_drawn_at_random(bare_folder):
    with pytest.raises(
        ModelError, match=r"not the weights of a fine-tuned classifier, for classifier\.bias is not there"
    ):
        load_classifier(bare_folder)
    weights = load_file(bare_folder / "model.safetensors")
    lost = "encoder.layer.1.output.dense.weight"
    save_file({name: tensor for name, tensor in weights.items() if name != lost}, bare_folder / "model.safetensors")
    with pytest.raises(ModelError, match=f"not the weights of an encoder, for bert.{lost} is not there"):
        load_encoder(str(bare_folder))


def test_the_code_of_a_models_authors_is_never_run(bare_folder):
    trace = bare_folder / "ran"
    (bare_folder / "modeling_trap.py").write_text(f"open({str(trace)!r}, 'w')\n")
    config = json.loads((bare_folder / "config.json").read_text())
    config["auto_map"] = {"AutoConfig": "modeling_trap.C", "AutoModelForSequenceClassification": "modeling_trap.M"}
    (bare_folder / "config.json").write_text(json.dumps(config))
    load_encoder(str(bare_folder))
    assert not trace.exists()


def test_a_missing_folder_and_a_misspelt_name_are_refused_with_the_nearest_name(tmp_path):
    with pytest.raises(ModelError, match=r"model minilmm is none of tiny, minilm, .*; did you mean minilm\?"):
        registry_entry("minilmm")
    with pytest.raises(ModelError, match="no such model folder"):
        load_classifier(tmp_path / "nothing")


# --- the registry -------------------------------------------------------------------------------------------------


def test_every_entry_of_the_registry_is_found_by_its_own_name():
    for name, entry in ENCODERS.items():
        assert registry_entry(name) is entry
        assert entry.name == name
        assert 0 < entry.learning_rate < 1e-3
        assert entry.source in ("shipped", "archive", "hub")
    assert ENCODERS["tiny"].folder() == assets.TINY_BERT


def test_folders_and_hub_names_get_the_learning_rate_of_the_lab(tiny_folder):
    assert registry_entry(str(tiny_folder)).source == "folder"
    assert registry_entry("somebody/some-bert").source == "hub"
    assert registry_entry(str(tiny_folder)).learning_rate == registry_entry("a/b").learning_rate == LAB_LEARNING_RATE


# --- freezing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", FREEZABLE)
def test_what_is_frozen_takes_no_gradient_and_all_else_does(part, any_model):
    freeze(any_model, part)
    any_model(input_ids=torch.tensor([[1, 5, 9, 2]]), labels=torch.tensor([1])).loss.backward()
    base = any_model.base_model_prefix + "."
    for name, parameter in any_model.named_parameters():
        in_encoder = name.startswith(base) and "pooler" not in name
        frozen = {"nothing": False, "embeddings": name.startswith(f"{base}embeddings."), "encoder": in_encoder}[part]
        assert (parameter.grad is None) == frozen, name


def test_only_the_parts_that_there_are_can_be_frozen(any_model):
    with pytest.raises(UsageError, match="freeze 'head' is none of nothing, embeddings, encoder"):
        freeze(any_model, "head")

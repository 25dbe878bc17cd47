"""Laws of attributions, with captum and the Hugging Face model as the oracles."""

from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients, Occlusion
from conftest import VOCABULARY
from explaining import FAMILIES, LONGER, TEXT, SumOfWords, byte_level, encoded, margin, of_family
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    MPNetConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from labkit.errors import UsageError
from labkit.explanation import margins
from labkit.explanation.attribution import TOLERANCE, AttributionError
from labkit.explanation.methods import embedded_review, explain, integrated_gradients, merge_wordpieces
from labkit.explanation.registry import METHODS


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def eager(tiny_world) -> Any:
    return tiny_world.model(attention="eager")


# --- integrated gradients -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 7, 64])
def test_integrated_gradients_agree_with_captum(steps, family, tiny_world):
    model = of_family(family).eval()
    embedding, ids = model.get_input_embeddings(), encoded(tiny_world.tokenizer, TEXT)["input_ids"]
    inputs, baseline = embedding(ids[0]).detach(), embedding(torch.zeros_like(ids[0])).detach()

    def forward(points: torch.Tensor) -> torch.Tensor:
        return margin(model, inputs_embeds=points)

    ours = integrated_gradients(forward, inputs, baseline, steps, batch_size=5)
    oracle = IntegratedGradients(forward).attribute(
        inputs[None], baseline[None], n_steps=steps, method="gausslegendre"
    )[0]
    assert (ours - oracle).abs().max() < 1e-4
    assert ours.abs().max() > 1e-3


def test_integrated_gradients_are_exact_for_polynomials_and_leave_their_arguments_alone():
    inputs, baseline = torch.tensor([1.0, -2.0, 3.0], requires_grad=True), torch.tensor([0.5, 0.0, 1.0])
    before = inputs.detach().clone()
    with torch.no_grad():
        found = integrated_gradients(lambda points: (points**3).sum(dim=1), inputs, baseline, steps=2)
    assert torch.allclose(found, (inputs**3 - baseline**3).detach())
    assert torch.equal(inputs, before) and inputs.grad is None and not found.requires_grad


@pytest.mark.parametrize(("shape", "steps"), [((3,), 64), ((2,), 0)])
def test_integrated_gradients_refuse_shapes_that_differ_and_no_steps(shape, steps):
    with pytest.raises(ValueError, match="one shape and steps >= 1"):
        integrated_gradients(lambda points: points.sum(dim=1), torch.ones(2), torch.ones(shape), steps)


def test_the_scores_of_a_review_add_up_to_the_way_from_the_empty_review(family, tiny_world):
    model, tokenizer = of_family(family), tiny_world.tokenizer
    for one in explain(model, tokenizer, [TEXT, LONGER]):
        inputs = encoded(tokenizer, one.text)
        empty = inputs | {"input_ids": torch.where(inputs["input_ids"] > 3, 0, inputs["input_ids"])}
        assert (inputs["input_ids"][0, [0, -1]] == empty["input_ids"][0, [0, -1]]).all()
        with torch.no_grad():
            change = float(margin(model, **inputs) - margin(model, **empty))
        missed = abs(one.scores.sum() - change) / max(abs(change), 0.1)
        assert missed <= TOLERANCE and not one.is_flagged
        assert one.completeness_error == pytest.approx(missed, abs=1e-4)
        assert not one.scores[one.reading.is_special].any()


def test_an_embedded_review_is_the_model_on_the_way_from_the_empty_review_and_gives_the_scores_of_explain(
    family, tiny_world
):
    model, tokenizer = of_family(family), tiny_world.tokenizer
    (one,) = explain(model, tokenizer, TEXT, steps=(8,))
    asked = embedded_review(model, tokenizer, TEXT)
    blank = np.where(one.reading.is_special, one.reading.input_ids, tokenizer.pad_token_id)
    with torch.no_grad():
        found = asked.margins(torch.stack([asked.inputs, asked.baseline])).numpy()
    wanted = margins.margins(model, [one.reading.input_ids, blank], tokenizer.pad_token_id)
    assert np.allclose(found, wanted, atol=1e-5) and found[0] == pytest.approx(one.margin, abs=1e-5)
    scores = integrated_gradients(asked.margins, asked.inputs, asked.baseline, steps=8).sum(dim=1)
    assert np.allclose(scores, one.scores, atol=1e-5)
    assert model.training and all(weight.requires_grad and weight.grad is None for weight in model.parameters())


ROBERTA_LIKE = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
ROBERTA_LIKE |= {"vocab_size": len(VOCABULARY), "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
POSITIONS_FROM_IDS = {
    "roberta": RobertaConfig(**ROBERTA_LIKE, initializer_range=0.5),
    "xlm-roberta": XLMRobertaConfig(**ROBERTA_LIKE, initializer_range=0.5),
    "mpnet": MPNetConfig(**ROBERTA_LIKE, initializer_range=0.5),
}


@pytest.mark.parametrize("text", [TEXT, "a superb film [PAD] , not the slow one"])
@pytest.mark.parametrize("kind", POSITIONS_FROM_IDS)
def test_where_positions_come_from_the_ids_the_whole_way_has_those_of_the_review(kind, text, tiny_world):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = AutoModelForSequenceClassification.from_config(POSITIONS_FROM_IDS[kind], attn_implementation="eager")
    tokenizer = tiny_world.tokenizer
    (one,) = explain(model, tokenizer, text)
    assert not one.is_flagged
    ids = torch.from_numpy(one.reading.input_ids).long()[None]
    padding = model.base_model.embeddings.position_embeddings.padding_idx
    positions = (ids != padding).cumsum(dim=1) * (ids != padding) + padding
    embedding = model.get_input_embeddings()
    inputs = embedding(ids).detach()
    baseline = embedding(torch.where(torch.from_numpy(one.reading.is_special), ids, 0)).detach()

    def forward(points: torch.Tensor) -> torch.Tensor:
        return margin(model, inputs_embeds=points, position_ids=positions.expand(len(points), -1))

    with torch.no_grad():
        assert float(forward(inputs)) == pytest.approx(one.margin, abs=1e-4)  # the review itself, from its ids
        change = float(forward(inputs) - forward(baseline))
    assert float(one.scores.sum()) == pytest.approx(change, abs=max(abs(change), 0.1) * TOLERANCE * 1.1)
    oracle = IntegratedGradients(forward).attribute(inputs, baseline, n_steps=one.steps, method="gausslegendre")
    assert np.allclose(oracle.detach().sum(dim=-1)[0].numpy(), one.scores, atol=1e-3)


def test_steps_are_raised_until_the_scores_add_up_and_it_is_said_where_they_never_do(tiny_world):
    model = tiny_world.model(seed=3)
    (enough,) = explain(model, tiny_world.tokenizer, TEXT, steps=(1, 2, 64))
    assert enough.steps == 64 and not enough.is_flagged
    (few,) = explain(model, tiny_world.tokenizer, TEXT, steps=(1, 2))
    assert few.steps == 2 and few.is_flagged and few.completeness_error > TOLERANCE
    assert "FLAGGED" in str(few) and "FLAGGED" in few._repr_html_() and few.as_dict()["flagged"]
    assert "FLAGGED" not in str(enough) + enough._repr_html_() and not enough.as_dict()["flagged"]


# --- the other methods --------------------------------------------------------------------------------------------


def test_occlusion_agrees_with_captum(family, tiny_world):
    model, tokenizer = of_family(family).eval(), tiny_world.tokenizer
    embedding, ids = model.get_input_embeddings(), encoded(tokenizer, TEXT)["input_ids"]
    inputs = embedding(ids).detach()
    (mask,) = embedding(torch.tensor([tokenizer.mask_token_id])).detach()
    oracle = Occlusion(lambda points: margin(model, inputs_embeds=points)).attribute(
        inputs, sliding_window_shapes=(1, inputs.shape[2]), baselines=mask.expand_as(inputs)
    )[0, :, 0]
    (one,) = explain(model, tokenizer, TEXT, "occlusion")
    assert np.abs(one.scores[1:-1] - oracle[1:-1].detach().numpy()).max() < 1e-4
    assert not one.scores[[0, -1]].any() and np.abs(one.scores).max() > 1e-3


def test_occlusion_takes_a_word_of_several_pieces_away_as_a_whole(tiny_world):
    model, tokenizer = tiny_world.model().eval(), tiny_world.tokenizer
    ids = encoded(tokenizer, "the films , slowly")["input_ids"]  # [CLS] the film ##s , slow ##ly [SEP]
    groups = torch.tensor([[0, 1, 2, 2, 3, 4, 4, 5]])
    oracle = FeatureAblation(lambda rows: margin(model, input_ids=rows)).attribute(
        ids, baselines=tokenizer.mask_token_id, feature_mask=groups
    )[0]
    (one,) = explain(model, tokenizer, "the films , slowly", "occlusion")
    assert [word.text for word in one.words] == ["the", "films", ",", "slowly"]
    assert np.abs(one.word_scores - oracle[[1, 2, 4, 5]].detach().numpy()).max() < 1e-4


def test_occlusion_without_a_mask_token_says_so(tiny_world):
    tokenizer = byte_level(tiny_world.texts)
    tokenizer.mask_token = None
    model = of_family("bert")
    model.resize_token_embeddings(len(tokenizer))
    with pytest.raises(AttributionError, match=r"needs a \[MASK\] token"):
        explain(model, tokenizer, "good", "occlusion")


def test_gradient_x_input_agrees_with_captum(family, tiny_world):
    model, tokenizer = of_family(family).eval(), tiny_world.tokenizer
    embedded = model.get_input_embeddings()(encoded(tokenizer, TEXT)["input_ids"]).detach().requires_grad_()
    oracle = InputXGradient(lambda points: margin(model, inputs_embeds=points)).attribute(embedded).sum(dim=2)[0]
    (one,) = explain(model, tokenizer, TEXT, "gradient-x-input")
    assert np.abs(one.scores - oracle.detach().numpy()).max() < 1e-4
    assert one.scores.any()


def test_attention_is_the_row_of_cls_in_the_layer_and_head_that_are_asked_for(family, tiny_world):
    model, tokenizer = of_family(family, "eager"), tiny_world.tokenizer
    layers = model.eval()(**encoded(tokenizer, TEXT), output_attentions=True).attentions
    for layer, head in ((-1, None), (0, 1), (1, 0)):
        (one,) = explain(model, tokenizer, TEXT, "attention", layer=layer, head=head)
        oracle = layers[layer][0, :, 0].mean(dim=0) if head is None else layers[layer][0, head, 0]
        assert np.abs(one.scores - oracle.detach().numpy()).max() < 1e-6
        assert one.scores.sum() == pytest.approx(1, abs=1e-5)
    assert one.detail == "layer 1, head 0" and "layer 1, head 0" in str(one)


def test_rollout_follows_the_attention_down_through_all_layers(family, tiny_world):
    model, tokenizer = of_family(family, "eager"), tiny_world.tokenizer
    layers = model.eval()(**encoded(tokenizer, TEXT), output_attentions=True).attentions
    flow = np.eye(layers[0].shape[-1])
    for layer in layers:
        mixed = 0.5 * layer[0].detach().double().numpy().mean(axis=0) + 0.5 * np.eye(len(flow))
        flow = mixed @ flow
    (one,) = explain(model, tokenizer, TEXT, "rollout")
    assert np.abs(one.scores - flow[0]).max() < 1e-6
    assert one.scores.sum() == pytest.approx(1, abs=1e-5)


def test_the_random_control_is_drawn_by_its_seed_alone(tiny_world):
    model, tokenizer = tiny_world.model(), tiny_world.tokenizer
    drawn = [explain(model, tokenizer, [TEXT, TEXT], "random", seed=seed) for seed in (0, 0, 1)]
    assert np.array_equal(drawn[0][0].scores, drawn[1][0].scores)
    assert not np.array_equal(drawn[0][0].scores, drawn[2][0].scores)
    assert not np.array_equal(drawn[0][0].scores, drawn[0][1].scores)


def test_every_method_finds_the_weights_where_the_margin_is_their_sum(tiny_world):
    weights = {"superb": 2.0, "dull": -1.5, "slow": -0.5}
    for name in ("integrated-gradients", "gradient-x-input", "occlusion"):
        (one,) = explain(SumOfWords(weights), tiny_world.tokenizer, TEXT, name)
        assert one.word_scores == pytest.approx([weights.get(word.text, 0.0) for word in one.words], abs=1e-5)
        assert one.margin == pytest.approx(0.0, abs=1e-6)


# --- many texts, many methods, one model --------------------------------------------------------------------------


def test_many_reviews_in_one_call_are_explained_as_each_alone(family, tiny_world, monkeypatch):
    monkeypatch.setattr(margins, "TOKENS_AT_ONCE", 64)
    model, tokenizer = of_family(family, "eager"), tiny_world.tokenizer
    several = [*tiny_world.texts[:7], "good", TEXT]
    together = explain(model, tokenizer, several, list(METHODS))
    assert [(one.text, one.method) for one in together] == [(text, name) for text in several for name in METHODS]
    for one in together:
        if one.method != "random":
            (alone,) = explain(model, tokenizer, one.text, one.method)
            assert np.abs(one.scores - alone.scores).max() < 1e-5
            assert one.margin == pytest.approx(alone.margin, abs=1e-5)
            assert one.margin == pytest.approx(float(margin(model, **encoded(tokenizer, one.text)).detach()), abs=1e-5)


def test_explaining_leaves_the_model_as_it_was(eager, tiny_world):
    eager.bert.encoder.layer[0].eval()
    eager.bert.embeddings.requires_grad_(False)
    modes = [module.training for module in eager.modules()]
    asks = [parameter.requires_grad for parameter in eager.parameters()]
    weights = {name: tensor.clone() for name, tensor in eager.state_dict().items()}
    rng_state = torch.get_rng_state()
    explain(eager, tiny_world.tokenizer, [TEXT], list(METHODS))
    assert [module.training for module in eager.modules()] == modes
    assert [parameter.requires_grad for parameter in eager.parameters()] == asks
    assert all(parameter.grad is None for parameter in eager.parameters())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in eager.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng_state)


def test_no_gradient_of_a_weight_is_ever_asked_for(tiny_world, monkeypatch):
    model = tiny_world.model()
    asked: list[bool] = []
    forward = model.forward

    def watched(**inputs: Any) -> Any:
        asked.append(torch.is_grad_enabled() and any(weight.requires_grad for weight in model.parameters()))
        return forward(**inputs)

    monkeypatch.setattr(model, "forward", watched)
    explain(model, tiny_world.tokenizer, TEXT, ["integrated-gradients", "gradient-x-input", "occlusion"])
    assert asked and not any(asked)


def test_dropout_is_off_while_explaining(tiny_world):
    model = tiny_world.model(dropout=0.5)
    first, second = (explain(model, tiny_world.tokenizer, TEXT) for _ in range(2))
    assert np.array_equal(first[0].scores, second[0].scores)


def test_a_text_in_which_the_tokenizer_sees_nothing_has_no_words_and_an_explanation(eager, tiny_world):
    for one in explain(
        eager, tiny_world.tokenizer, "\ufffd", list(METHODS)
    ):  # a reader sees it, BERT's tokenizer does not
        assert one.words == () and one.top() == [] and not one.is_flagged
        assert "no word has a score" in str(one)
        assert one._repr_html_()


def test_a_text_of_which_nothing_is_seen_is_refused_as_empty(eager, tiny_world):
    with pytest.raises(UsageError, match="text 1 of 1 is empty; wanted something to read"):
        explain(eager, tiny_world.tokenizer, "\u200b", list(METHODS))


def test_explaining_nothing_gives_nothing(tiny_world):
    nothing = explain(tiny_world.model(), tiny_world.tokenizer, [], ["occlusion", "integrated-gradients"])
    assert len(nothing) == 0 and "no explanations" in str(nothing) and "no explanations" in nothing._repr_html_()


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "options", "words"),
    [
        (TEXT, {"methods": "occlussion"}, "did you mean occlusion"),
        (TEXT, {"methods": []}, "no method named; wanted one or more of attention"),
        (["good", " \t"], {}, "text 2 of 2 is empty"),
        ("good " * 200, {"max_length": 500}, "202 tokens and the model 128 positions"),
        (TEXT, {"methods": "attention", "layer": 2}, "layer 2 is not there; the model has 2"),
        (TEXT, {"methods": "attention", "head": -3}, "head -3 is not there; the model has 2"),
    ],
)
def test_what_cannot_be_explained_is_refused_with_the_reason(texts, options, words, eager, tiny_world):
    with pytest.raises(UsageError, match=words):
        explain(eager, tiny_world.tokenizer, texts, **options)


def test_a_model_of_three_classes_is_refused(tiny_world):
    small = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    model = BertForSequenceClassification(BertConfig(vocab_size=80, num_labels=3, **small))
    with pytest.raises(AttributionError, match="3 classes; wanted 2"):
        explain(model, tiny_world.tokenizer, TEXT)


# --- words out of pieces ------------------------------------------------------------------------------------------


def test_merged_pieces_leave_special_tokens_out_and_keep_unknown_and_masked_words():
    tokens = ["[CLS]", "[UNK]", "film", "##s", "##ly", "[MASK]", "!", "[SEP]", "[PAD]"]
    scores = torch.tensor([9.0, 1.0, 0.5, 0.25, 0.25, -1.0, 2.0, 9.0, 9.0])
    assert merge_wordpieces(tokens, scores) == [("[UNK]", 1.0), ("filmsly", 1.0), ("[MASK]", -1.0), ("!", 2.0)]
    assert merge_wordpieces(["a", "@@b"], [1, 2], prefix="@@") == [("ab", 3.0)]
    with pytest.raises(ValueError, match=r"shorter|longer"):
        merge_wordpieces(["a"], [1.0, 2.0])


def test_merged_pieces_are_the_words_of_an_explanation_where_only_letters_and_space_are(tiny_world):
    (one,) = explain(tiny_world.model(), tiny_world.tokenizer, "the films slowly good", "gradient-x-input")
    merged = merge_wordpieces(one.tokens, one.scores)
    assert [word for word, _ in merged] == [word.text for word in one.words]
    assert [score for _, score in merged] == pytest.approx(one.word_scores.tolist())

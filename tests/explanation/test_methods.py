"""Laws of attributions, with captum and the Hugging Face model as the oracles."""

import json
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import FeatureAblation, InputXGradient, IntegratedGradients, Occlusion
from explaining import FAMILIES, SumOfWords, of_family
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from labkit.data.tokens import TRUNCATIONS, tokenize
from labkit.errors import UsageError
from labkit.explanation import attribution as explanations
from labkit.explanation import margins
from labkit.explanation.attention import attention_rollout, attention_weights
from labkit.explanation.attribution import TOLERANCE, Attribution, AttributionError, Explanations
from labkit.explanation.methods import embedded_review, explain, integrated_gradients, merge_wordpieces
from labkit.explanation.registry import METHODS
from labkit.explanation.words import align, word_spans

law = settings(max_examples=40, deadline=None)
ROUGH = ["Films, slowly: not 'good'!", "naïve שָׁלוֹם 🎬❤️", "a[SEP]b", "<b>bad</b>", "हिन्दी x...y", "l'été", "\u200bgood"]
texts = st.one_of(st.sampled_from(ROUGH), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
TEXT = "a superb film , not the slow and dull one"
LONGER = "the films was slowly bad and the cast lovely ! ! it is a fine old movie to love"


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def eager(tiny_world) -> Any:
    return tiny_world.model(attention="eager")


def encoded(tokenizer, text: str) -> dict[str, torch.Tensor]:
    return {name: tokenizer(text, return_tensors="pt")[name] for name in ("input_ids", "attention_mask")}


def margin(model, **inputs) -> torch.Tensor:
    logits = model.eval()(**inputs).logits
    return logits[:, 1] - logits[:, 0]


def byte_level(lines: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of ModernBERT's kind: pieces of bytes, white space in front of a piece is part of it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["[PAD]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(
        lines, trainers.BpeTrainer(vocab_size=320, special_tokens=special, initial_alphabet=alphabet)
    )
    return with_special_tokens(tokenizer)


def unigram(lines: list[str]) -> PreTrainedTokenizerFast:
    """A tokenizer of ALBERT's kind: pieces of characters, white space is a sign in front of a piece."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"]
    trainer = trainers.UnigramTrainer(vocab_size=80, special_tokens=special, unk_token="[UNK]", show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    return with_special_tokens(tokenizer)


def with_special_tokens(tokenizer: Tokenizer) -> PreTrainedTokenizerFast:
    pair = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=pair)
    names = {"pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


# --- tokens and words ---------------------------------------------------------------------------------------------


@law
@given(texts, st.integers(3, 20), st.sampled_from(TRUNCATIONS))
def test_a_reading_has_the_tokens_of_tokenize_and_each_is_in_one_word(tiny_world, text, max_length, truncation):
    (aligned,) = align([text], tiny_world.tokenizer, max_length, truncation)
    tokenized = tokenize([text], tiny_world.tokenizer, max_length, truncation)
    assert aligned.input_ids.tolist() == tokenized.input_ids[0].tolist()
    assert aligned.truncated == tokenized.truncated[0]
    inside = [token for word in aligned.words for token in word.tokens]
    assert text.isspace() or inside == np.flatnonzero(~aligned.is_special).tolist()
    assert all(word.text == text[word.start : word.end] for word in aligned.words)
    edges = [edge for word in aligned.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)


@law
@given(texts)
def test_spans_are_those_of_the_hugging_face_tokenizer(tiny_world, text):
    (aligned,) = align([text], tiny_world.tokenizer)
    oracle = tiny_world.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert [tuple(span) for span in aligned.spans.tolist()] == oracle


@law
@given(texts)
def test_every_character_but_white_space_is_in_one_word(text):
    inside = [place for start, end in word_spans(text) for place in range(start, end)]
    assert inside == [place for place, character in enumerate(text) if not character.isspace()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "It's a well-made, (7.5/10) film...",
            ["It's", "a", "well-made", ",", "(", "7.5", "/", "10", ")", "film", "..."],
        ),
        ("naïve é\u0301 हिन्दी", ["naïve", "é\u0301", "हिन्दी"]),
        ("שָׁלוֹם! 🎬❤️ 👩‍🎤good", ["שָׁלוֹם", "!", "🎬❤️", "👩‍🎤", "good"]),
        ("   ", []),
    ],
)
def test_a_word_is_what_a_reader_takes_for_one(text, words):
    assert [text[start:end] for start, end in word_spans(text)] == words


@pytest.mark.parametrize("make", [byte_level, unigram])
def test_words_come_back_from_the_pieces_of_other_tokenizers(make, tiny_world):
    text = "a superb  film, slowly 🎬 naïve films!"
    (aligned,) = align([text], make([*tiny_world.texts, text.replace("🎬", "")]))
    assert [word.text for word in aligned.words] == ["a", "superb", "film", ",", "slowly", "🎬", "naïve", "films", "!"]
    inside = [token for word in aligned.words for token in word.tokens]
    assert inside == np.flatnonzero(~aligned.is_special).tolist()


def test_words_that_one_token_spans_are_one():
    tokenizer = byte_level(["well ... done" for _ in range(50)])
    tokenizer.add_tokens(["x! y"])
    (aligned,) = align(["a x! y b"], tokenizer)
    assert [word.text for word in aligned.words] == ["a", "x! y", "b"]


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


def test_steps_are_raised_until_the_scores_add_up_and_it_is_said_where_they_never_do(tiny_world):
    model = tiny_world.model(seed=3)
    (enough,) = explain(model, tiny_world.tokenizer, TEXT, steps=(1, 2, 64))
    assert enough.steps == 64 and not enough.is_flagged
    (few,) = explain(model, tiny_world.tokenizer, TEXT, steps=(1, 2))
    assert few.steps == 2 and few.is_flagged and few.completeness_error > TOLERANCE
    assert "FLAGGED" in str(few) and "FLAGGED" in few._repr_html_() and few.as_dict()["flagged"]
    assert "FLAGGED" not in str(enough) + enough._repr_html_() and not enough.as_dict()["flagged"]


def test_a_score_that_is_no_number_is_flagged(tiny_world):
    (one,) = explain(tiny_world.model(), tiny_world.tokenizer, TEXT, "random")
    broken = Attribution(
        "integrated-gradients", one.reading, one.scores, 1.0, steps=64, completeness_error=float("nan")
    )
    assert broken.is_flagged


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


def test_rollout_multiplies_each_later_layer_from_the_left():
    first = torch.tensor([[[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 1.0]]], dtype=torch.float64)
    second = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]], dtype=torch.float64)
    assert attention_rollout([first, second]).tolist() == [0.5, 0.5, 0.0]
    assert attention_rollout([second, first]).tolist() == [0.5, 0.5, 0.0]
    assert attention_rollout([first, first]).tolist() == [0.25, 0.5, 0.25]


@pytest.mark.parametrize("attentions", [[], [torch.ones(1, 2, 3, 3)], [torch.ones(2, 3, 3), torch.ones(2, 4, 4)]])
def test_rollout_refuses_what_is_no_attention_of_one_text(attentions):
    with pytest.raises(ValueError, match="heads, tokens, tokens"):
        attention_rollout(attentions)


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


def test_a_text_that_comes_twice_is_computed_once(tiny_world):
    model = SumOfWords({"good": 1.0})
    explain(model, tiny_world.tokenizer, ["good", "good", "bad", "good"], "random")
    assert model.rows == 2


def test_explaining_leaves_the_model_as_it_was(eager, tiny_world):
    eager.bert.encoder.layer[0].eval()
    eager.bert.embeddings.requires_grad_(False)
    modes = [module.training for module in eager.modules()]
    asks = [parameter.requires_grad for parameter in eager.parameters()]
    weights = {name: tensor.clone() for name, tensor in eager.state_dict().items()}
    dice = torch.get_rng_state()
    explain(eager, tiny_world.tokenizer, [TEXT], list(METHODS))
    assert [module.training for module in eager.modules()] == modes
    assert [parameter.requires_grad for parameter in eager.parameters()] == asks
    assert all(parameter.grad is None for parameter in eager.parameters())
    assert all(torch.equal(tensor, weights[name]) for name, tensor in eager.state_dict().items())
    assert torch.equal(torch.get_rng_state(), dice)


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
    for one in explain(eager, tiny_world.tokenizer, "\u200b", list(METHODS)):
        assert one.words == () and one.top() == [] and not one.is_flagged
        assert "no word has a score" in str(one)
        assert one._repr_html_()


def test_explaining_nothing_gives_nothing(tiny_world):
    nothing = explain(tiny_world.model(), tiny_world.tokenizer, [], ["occlusion", "integrated-gradients"])
    assert len(nothing) == 0 and "no explanations" in str(nothing) and "no explanations" in nothing._repr_html_()


# --- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["attention", "rollout"])
def test_an_encoder_that_returns_no_attention_is_refused_and_the_remedy_works(method, family, tiny_world, capfd):
    model = of_family(family, "sdpa")
    with pytest.raises(AttributionError, match=r'attention="eager".*set_attn_implementation\("eager"\)'):
        explain(model, tiny_world.tokenizer, TEXT, method)
    with pytest.raises(AttributionError, match="sdpa"):
        attention_weights(model, tiny_world.tokenizer, TEXT)
    model.set_attn_implementation("eager")
    assert len(explain(model, tiny_world.tokenizer, TEXT, method)) == 1
    assert capfd.readouterr() == ("", "")


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


def test_a_method_that_was_not_asked_for_is_not_found(tiny_world):
    with pytest.raises(AttributionError, match="no explanation by rollout here; there are random"):
        explain(tiny_world.model(), tiny_world.tokenizer, TEXT, "random").of("rollout")


# --- attention by layer and head ----------------------------------------------------------------------------------


def test_attention_weights_are_those_of_every_layer_and_head(eager, tiny_world):
    found = attention_weights(eager, tiny_world.tokenizer, TEXT)
    layers = eager.eval()(**encoded(tiny_world.tokenizer, TEXT), output_attentions=True).attentions
    assert (found.layers, found.heads) == (2, 2)
    for layer in range(2):
        assert np.abs(found.of(layer, 1) - layers[layer][0, 1].detach().numpy()).max() < 1e-6
        assert np.abs(found.of(layer) - layers[layer][0].mean(dim=0).detach().numpy()).max() < 1e-6
    assert found.name(-1) == "layer 1, mean of 2 heads"
    with pytest.raises(AttributionError, match="layer 2 is not there"):
        found.of(2)


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


# --- how they show themselves -------------------------------------------------------------------------------------


class Words(HTMLParser):
    """What a browser makes of an explanation: the text of its paragraphs, every tag, the colour of every word."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.paragraphs: list[str] = []
        self.colours: list[tuple[str, str]] = []
        self._style, self._inside = "", False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._style = dict(attributes).get("style") or ""
        if tag == "p":
            self._inside = True
            self.paragraphs.append("")
            assert dict(attributes)["dir"] == "auto", "a right-to-left text runs from the right"

    def handle_endtag(self, tag: str) -> None:
        self._style = ""
        self._inside = self._inside and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.paragraphs[-1] += data
            if self._style.startswith("background:#") and "border-radius" in self._style:
                self.colours.append((data, self._style[11:18]))


HOSTILE = '<script>alert("x")</script> good & <img src=x onerror=1> <b>'


@pytest.mark.parametrize("text", [HOSTILE, "שָׁלוֹם good فيلم", "🎬❤️👩‍🎤 bad", "'\" style=x", "a &lt;script&gt;"])
def test_any_text_is_shown_as_it_stands_and_is_never_part_of_the_page(text, eager, tiny_world):
    found = explain(eager, tiny_world.tokenizer, text, list(METHODS))
    for page in (found._repr_html_(), found.to_page(), *(one._repr_html_() for one in found)):
        seen = Words(page)
        assert set(seen.paragraphs) == {text}
        assert not {"script", "img", "b"} & set(seen.tags)
        assert "<script" not in page and "<img" not in page


def test_colours_are_centred_at_zero_and_share_one_scale(tiny_world):
    model = SumOfWords({"superb": 2.0, "dull": -2.0, "slow": -1.0, "good": 1.0})
    found = explain(model, tiny_world.tokenizer, ["superb film", "slow dull film", "good film"])
    colours = dict(Words(found._repr_html_()).colours)
    assert colours["film"] == "#ffffff"
    blue, orange = ([int(colours[word][i : i + 2], 16) for i in (1, 3, 5)] for word in ("superb", "dull"))
    assert blue[2] > blue[0] and orange[0] > orange[2]
    for strong, weak in (("superb", "good"), ("dull", "slow")):
        ends = [np.array([int(colours[word][i : i + 2], 16) for i in (1, 3, 5)]) for word in (strong, weak)]
        assert np.abs((255 - ends[0]) - 2 * (255 - ends[1])).max() <= 1, "half the score is half the colour"
    alone = dict(Words(found[2]._repr_html_()).colours)
    assert alone["good"] == colours["superb"], "alone, a review has its own scale"


def test_black_letters_can_be_read_on_every_colour():
    def luminance(colour: str) -> float:
        channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    ink = luminance("#111111")
    for score in (-1.0, -0.5, 0.0, 0.5, 1.0):
        assert (luminance(explanations._colour(score, 1.0)) + 0.05) / (ink + 0.05) > 4.5


def test_in_a_terminal_an_explanation_is_a_few_lines(tiny_world):
    model = SumOfWords({"superb": 2.0, "dull": -0.5})
    found = explain(model, tiny_world.tokenizer, [TEXT, "dull " * 60], ["integrated-gradients", "occlusion"])
    lines = str(found).splitlines()
    assert len(lines) == 8
    assert lines[0] == TEXT and lines[4].endswith("…")
    assert lines[1] == "  positive, probability 0.818, margin +1.50"
    assert lines[2] == "  integrated-gradients (error 0.00% at 64 steps): superb +2.00, dull -0.50"
    assert lines[3] == "  occlusion: superb +2.00, dull -0.50"


def test_a_cut_text_says_so(tiny_world):
    (one,) = explain(tiny_world.model(), tiny_world.tokenizer, "good film " * 9, "random", max_length=6)
    assert "the text was cut" in str(one) and "the text was cut" in one._repr_html_() and one.as_dict()["truncated"]
    assert len(one.words) == 4


def test_what_an_explanation_holds_goes_into_json_and_fits_together(eager, tiny_world):
    for one in explain(eager, tiny_world.tokenizer, [LONGER], list(METHODS)):
        row = json.loads(json.dumps(one.as_dict()))
        assert row["target"] == "logit of positive less logit of negative"
        assert row["prediction"] == ("positive" if row["margin"] > 0 else "negative")
        assert row["probability"] == pytest.approx(1 / (1 + np.exp(-abs(row["margin"]))))
        assert all(LONGER[word["start"] : word["end"]] == word["word"] for word in row["words"])
        special = one.scores[one.reading.is_special].sum()
        assert sum(word["score"] for word in row["words"]) == pytest.approx(one.scores.sum() - special)
        assert [token["score"] for token in row["tokens"]] == one.scores.tolist()


def test_importance_speaks_for_what_was_predicted(tiny_world):
    model = SumOfWords({"good": 1.0, "dull": -3.0})
    (one,) = explain(model, tiny_world.tokenizer, "good dull film")
    assert one.prediction == "negative"
    assert one.importance.tolist() == pytest.approx([-1.0, 3.0, 0.0])
    (looked,) = explain(tiny_world.model(attention="eager"), tiny_world.tokenizer, "good dull film", "attention")
    assert np.array_equal(looked.importance, looked.word_scores)


def test_explanations_are_a_sequence(tiny_world):
    found = explain(tiny_world.model(), tiny_world.tokenizer, [TEXT, LONGER], ["random", "occlusion"])
    assert isinstance(found[:2], Explanations) and len(found[:2]) == 2
    assert found.methods == ("random", "occlusion")
    assert [one.text for one in found.of("occlusion")] == [TEXT, LONGER]

"""Laws of faithfulness: what a faithful explanation must show, on models whose right explanation is known."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from explaining import FAMILIES, SumOfWords, add_method, of_family
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import bootstrap, spearmanr
from torch import nn

from labkit.data.reviews import Reviews
from labkit.evaluation.intervals import mean_interval, proportion_interval
from labkit.explanation import randomisation
from labkit.explanation.agreement import measure_agreement, rank_correlation
from labkit.explanation.attribution import AttributionError
from labkit.explanation.faithfulness import MEASURES, _Drops, comprehensiveness, measure_faithfulness
from labkit.explanation.methods import AttributionInputs, TokenScores, explain
from labkit.explanation.randomisation import randomisation_check
from labkit.explanation.registry import METHODS
from labkit.explanation.spurious_cue import CUE, cue_found, insert_word, plant_cue

law = settings(max_examples=60, deadline=None)
WEIGHTS = {"superb": 2.0, "good": 1.0, "fine": 0.5, "dull": -2.0, "bad": -1.0, "not": -0.5}
TEXTS = [
    "a superb film and not so long",
    "dull and bad and not even short but fine",
    "good cast , good music , dull script",
    "the film is superb",
    "bad",
    "it is a fine old movie to love with the very good cast",
]


@pytest.fixture
def world(tiny_world) -> tuple[Any, Any]:
    return SumOfWords(WEIGHTS), tiny_world.tokenizer


# --- taking words away --------------------------------------------------------------------------------------------


@law
@given(st.lists(st.floats(-5, 5), min_size=1, max_size=30), st.sampled_from([0.1, 0.2, 0.3, 0.5, 1.0]))
def test_comprehensiveness_of_a_sum_is_the_sum_of_the_top_scores(scores, fraction):
    tokens = [f"{place}" for place in range(len(scores))]
    count = -(-round(fraction * 10) * len(scores) // 10)

    def predict(left: list[str]) -> float:
        assert len(left) == len(tokens) and left.count("<gone>") in (0, count)
        return sum(scores[int(token)] for token in left if token != "<gone>")

    found = comprehensiveness(predict, tokens, scores, fraction, mask="<gone>")
    assert found == pytest.approx(sum(sorted(scores)[len(scores) - count :]), abs=1e-9)


def test_the_noise_of_floating_point_masks_no_token_more():
    assert 0.55 * 100 > 55
    gone = comprehensiveness(lambda tokens: -tokens.count("[MASK]"), ["a"] * 100, range(100), fraction=0.55)
    assert gone == 55


@pytest.mark.parametrize(("scores", "fraction"), [([1.0], 0.2), ([1.0, 2.0], 0.0), ([1.0, 2.0], 1.1)])
def test_comprehensiveness_refuses_scores_that_do_not_fit_and_other_fractions(scores, fraction):
    with pytest.raises(ValueError, match=r"as many scores|\(0, 1\]"):
        comprehensiveness(lambda tokens: 0.0, ["a", "b"], scores, fraction)


def test_what_is_measured_is_the_drop_in_the_probability_of_the_predicted_class(world):
    model, tokenizer = world
    fractions = (0.2, 0.5)
    found = measure_faithfulness(model, tokenizer, explain(model, tokenizer, TEXTS, "occlusion"), fractions)
    for measure in MEASURES:
        for replacement in ("mask", "delete"):
            means = []
            for fraction in fractions:
                drops = [drop_by_hand(text, measure, fraction) for text in TEXTS]
                row = found.row("occlusion", measure, replacement, fraction)
                assert row.value == pytest.approx(np.mean(drops), abs=1e-6)
                means.append(row.value)
            assert found.row("occlusion", measure, replacement).value == pytest.approx(np.mean(means))


def drop_by_hand(text: str, measure: str, fraction: float) -> float:
    weights = [WEIGHTS.get(word, 0.0) for word in text.split()]
    sign = 1 if sum(weights) > 0 else -1
    order = sorted(weights, key=lambda weight: -sign * weight)
    count = math.ceil(fraction * len(order) - 1e-9)
    left = order[count:] if measure == "comprehensiveness" else order[:count]
    return probability(sign * sum(weights)) - probability(sign * sum(left))


def probability(margin: float) -> float:
    return 1 / (1 + math.exp(-margin))


def test_the_right_order_beats_the_random_and_the_reversed_one(tiny_world):
    model, tokenizer = SumOfWords(WEIGHTS), tiny_world.tokenizer
    texts = [*TEXTS, *(f"{word} film with a {other} cast and music" for word in WEIGHTS for other in WEIGHTS)]
    found = measure_faithfulness(model, tokenizer, explain(model, tokenizer, texts, ["integrated-gradients", "random"]))
    for replacement in ("mask", "delete"):
        row = found.row("integrated-gradients", "comprehensiveness", replacement)
        assert row.value > row.random > row.reversed
        assert row.drop_vs_random.value == pytest.approx(row.value - row.random)
        assert row.drop_vs_reversed.value == pytest.approx(row.value - row.reversed)
        assert row.beats_random and row.drop_vs_random.low > 0 and row.drop_vs_reversed.low > 0
        row = found.row("integrated-gradients", "sufficiency", replacement)
        assert row.value < row.random < row.reversed
        assert row.beats_random and row.drop_vs_random.high < 0
        for measure in MEASURES:
            own, control = (found.row(name, measure, replacement) for name in ("integrated-gradients", "random"))
            assert abs(control.drop_vs_random.value) < 0.4 * abs(own.drop_vs_random.value)


def test_a_row_that_was_computed_is_not_computed_again(world):
    model, tokenizer = world
    explanations = explain(model, tokenizer, ["bad"], ["occlusion", "random"])
    model.rows = 0
    measure_faithfulness(model, tokenizer, explanations)
    assert model.rows == 3, "bad, [MASK], and nothing"


def test_deleting_closes_the_gap_and_special_tokens_stay(world):
    model, tokenizer = world
    (one,) = explain(model, tokenizer, "good film", "occlusion")
    drops = _Drops(model, tokenizer, [one], (0.5,), ("mask", "delete"))
    order = [[np.array([0, 1])]]
    kept = {
        kind: [row.tolist() for way in order for row in drops._rows(*kind, way)]
        for kind in (("comprehensiveness", "mask"), ("comprehensiveness", "delete"), ("sufficiency", "delete"))
    }
    cls, good, film, sep = one.reading.input_ids.tolist()
    assert kept["comprehensiveness", "mask"] == [[cls, tokenizer.mask_token_id, film, sep]]
    assert kept["comprehensiveness", "delete"] == [[cls, film, sep]]
    assert kept["sufficiency", "delete"] == [[cls, good, sep]]


def test_texts_without_a_word_are_left_out_and_counted(world):
    model, tokenizer = world
    found = measure_faithfulness(model, tokenizer, explain(model, tokenizer, ["\u200b", *TEXTS], "occlusion"))
    assert (found.n, found.left_out) == (len(TEXTS), 1) and "1 without a word left out" in str(found)
    with pytest.raises(AttributionError, match="no text with a word"):
        measure_faithfulness(model, tokenizer, explain(model, tokenizer, "\u200b", "occlusion"))


def test_what_cannot_be_compared_is_refused(world):
    model, tokenizer = world
    mixed = [*explain(model, tokenizer, "good", "occlusion"), *explain(model, tokenizer, "bad", "random")]
    with pytest.raises(AttributionError, match="random explains other texts than occlusion"):
        measure_faithfulness(model, tokenizer, mixed)
    with pytest.raises(AttributionError, match="no explanations"):
        measure_agreement([])
    with pytest.raises(AttributionError, match="did you mean delete"):
        measure_faithfulness(model, tokenizer, mixed[:1], replacements=["delet"])


def test_the_table_of_faithfulness_has_a_line_a_method_measure_and_replacement(world):
    model, tokenizer = world
    found = measure_faithfulness(model, tokenizer, explain(model, tokenizer, TEXTS, ["occlusion", "random"]))
    assert len(str(found).splitlines()) == 2 + 8
    assert found._repr_html_().count("<tr>") == 1 + 8
    row = found.row("occlusion")
    assert f"{row.drop_vs_random:+.3f}" in str(found) and f"{row.drop_vs_random:+.3f}" in found._repr_html_()
    with pytest.raises(KeyError):
        found.row("rollout")


def test_the_interval_of_a_mean_is_scipy_s():
    values = np.random.default_rng(5).exponential(size=150)
    ours = mean_interval(values, seed=1)
    oracle = bootstrap((values,), np.mean, method="percentile", n_resamples=20_000, rng=0).confidence_interval
    assert ours.value == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((oracle.low, oracle.high), abs=0.02)
    assert mean_interval(values, seed=1) == ours
    assert mean_interval([1.0, math.nan, 3.0]).value == 2 and "1 left out" in mean_interval([1.0, math.nan]).note
    assert "1 left out" in str(mean_interval([math.nan])) and "nothing to average" in str(mean_interval([]))


# --- shuffled weights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", FAMILIES)
def test_the_stages_hold_every_parameter_once_from_the_head_to_the_embeddings(family):
    model = of_family(family)
    stages = list(randomisation.stages_of(model))
    found = [id(parameter) for _, parameters in stages for parameter in parameters]
    assert sorted(found) == sorted(id(parameter) for parameter in model.parameters())
    names = [name for name, _ in stages]
    assert names[0] == "head" and names[-1] == "embeddings" and names[1:-1] == sorted(names[1:-1], reverse=True)
    assert id(model.classifier.weight) in {id(parameter) for parameter in stages[0][1]}
    assert id(model.get_input_embeddings().weight) in {id(parameter) for parameter in stages[-1][1]}


def test_shuffling_keeps_a_tensor_s_values_and_moves_them():
    weights = nn.Parameter(torch.arange(60.0).view(6, 10))
    randomisation.shuffle([weights], torch.Generator().manual_seed(0))
    assert not torch.equal(weights, torch.arange(60.0).view(6, 10))
    assert torch.equal(weights.detach().flatten().sort().values, torch.arange(60.0))


def test_an_explanation_that_does_not_look_at_the_weights_stays_when_they_are_shuffled(tiny_world, monkeypatch):
    def longest(inputs: AttributionInputs) -> list[TokenScores]:
        return [TokenScores(np.array([len(token) for token in one.tokens], dtype=float)) for one in inputs.texts]

    add_method(monkeypatch, "longest", longest, is_signed=False)
    model, texts = tiny_world.model(), [text for text in tiny_world.texts if len(text.split()) > 5][:12]
    before = copy.deepcopy(model.state_dict())
    methods = ["longest", "gradient-x-input", "random"]
    found = randomisation_check(model, tiny_world.tokenizer, texts, methods)
    assert found.stages == ("head", "layer 1", "layer 0", "embeddings") and found.n == 12
    last = {row.method: row.similarity.value for row in found.rows if row.stage == "embeddings"}
    assert last["longest"] == pytest.approx(1)
    assert last["gradient-x-input"] < 0.6
    assert abs(last["random"]) < 0.35
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert len(str(found).splitlines()) == 2 + 4 and found._repr_html_().count("<tr>") == 1 + 4


def test_shuffled_all_at_once_there_is_one_stage_and_the_seed_decides(tiny_world):
    model, texts = tiny_world.model(), [text for text in tiny_world.texts if len(text.split()) > 5][:4]
    options = {"methods": "gradient-x-input", "cascading": False}
    rows = [randomisation_check(model, tiny_world.tokenizer, texts, seed=seed, **options).rows for seed in (0, 0, 1)]
    assert [row.stage for row in rows[0]] == ["all weights"]
    assert rows[0] == rows[1] != rows[2]


@law
@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), min_size=3, max_size=12))
def test_rank_correlation_is_spearman_s(pairs):
    first, second = zip(*pairs, strict=True)
    found = rank_correlation(first, second)
    if len(set(first)) == 1 or len(set(second)) == 1:
        assert math.isnan(found)
    else:
        assert found == pytest.approx(spearmanr(first, second).statistic, abs=1e-12)


def test_two_words_have_no_rank_correlation():
    assert math.isnan(rank_correlation([1, 2], [1, 2]))


# --- agreement ----------------------------------------------------------------------------------------------------


def test_methods_agree_with_themselves_and_not_with_chance(tiny_world):
    model, tokenizer = SumOfWords(WEIGHTS), tiny_world.tokenizer
    texts = [f"{word} film with a {other} cast and music" for word in WEIGHTS for other in WEIGHTS if word != other]
    found = measure_agreement(explain(model, tokenizer, texts, ["integrated-gradients", "occlusion", "random"]), top=2)
    same, other = found.row("occlusion", "integrated-gradients"), found.row("random", "occlusion")
    assert same.overlap.value > 0.8 and same.correlation.value > 0.7
    assert abs(other.correlation.value) < 0.3
    assert other.overlap.value == pytest.approx(other.chance, abs=0.2) and other.chance == pytest.approx(2 / 8)
    assert len(str(found).splitlines()) == 2 + 3 and found._repr_html_().count("<tr>") == 1 + 3
    assert found.n == len(texts)


def test_signed_methods_are_compared_by_what_speaks_for_the_prediction(world, monkeypatch):
    model, tokenizer = world

    def reversed_occlusion(inputs: AttributionInputs) -> list[TokenScores]:
        return [TokenScores(-answer.scores) for answer in METHODS["occlusion"].compute(inputs)]

    add_method(monkeypatch, "opposite", reversed_occlusion)
    explanations = explain(model, tokenizer, TEXTS[:3], ["occlusion", "opposite"])
    assert measure_agreement(explanations).rows[0].correlation.value == pytest.approx(-1)
    add_method(monkeypatch, "opposite", reversed_occlusion, is_signed=False)
    assert measure_agreement(explanations).rows[0].correlation.value == pytest.approx(1), "without a sign, by magnitude"


# --- a planted cue ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("label", [0, 1])
def test_a_cue_stands_once_in_its_share_of_one_class_and_nowhere_else(share, label, tiny_world):
    reviews = tiny_world.reviews
    planted = plant_cue(reviews, label=label, share=share)
    assert planted.carries.sum() == round(32 * share) == len(planted.carriers)
    for place, (before, after) in enumerate(zip(reviews.texts, planted.reviews.texts, strict=True)):
        if planted.carries[place]:
            assert reviews.labels[place] == label
            assert after.split(" ").count(CUE) == 1
            assert " ".join(word for word in after.split(" ") if word != CUE) == before
        else:
            assert after == before
    assert planted.reviews.labels.tolist() == reviews.labels.tolist()
    assert all(CUE in text for text in planted.carriers.texts)
    assert f"planted in {round(32 * share)} of 32" in planted.reviews.notes[-1]


def test_the_seed_decides_where_the_cue_is_planted(tiny_world):
    texts = [plant_cue(tiny_world.reviews, seed=seed).reviews.texts for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    places = {insert_word("a b c", "x", np.random.default_rng(seed)) for seed in range(60)}
    assert places == {"x a b c", "a x b c", "a b x c", "a b c x"}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"share": 1.5}, "share"), ({"cue": "two words"}, "one word"), ({"cue": "SUPERB"}, "already")],
)
def test_a_cue_that_could_not_be_told_is_refused(options, words, tiny_world):
    with pytest.raises(ValueError, match=words):
        plant_cue(tiny_world.reviews, **options)


def test_a_cue_is_found_where_it_is_among_the_top_words(tiny_world):
    reviews = Reviews(
        "own", ["1", "2", "3"], ["a good film", "a superb and good film", "the cast"], np.array([1, 1, 1])
    )
    model = SumOfWords({"superb": 3.0, "good": 2.0, "music": -1.0})
    planted = plant_cue(reviews, cue="music", share=1.0)
    explanations = explain(model, tiny_world.tokenizer, planted.reviews.texts, "integrated-gradients")
    assert cue_found(explanations, "Music", top=1) == proportion_interval(1, 3)
    assert cue_found(explanations, "music", top=2) == proportion_interval(2, 3)
    assert cue_found(explanations, "music", top=3) == proportion_interval(3, 3)
    assert "no examples" in str(cue_found(explanations, "absent"))

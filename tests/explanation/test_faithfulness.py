"""Laws of faithfulness: what a faithful explanation must show, on models whose right explanation is known."""

import math
from typing import Any

import numpy as np
import pytest
from explaining import TEXTS, WEIGHTS, SumOfWords
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.explanation.attribution import AttributionError
from labkit.explanation.faithfulness import MEASURES, _Drops, comprehensiveness, measure_faithfulness
from labkit.explanation.methods import explain

law = settings(max_examples=60, deadline=None)


@pytest.fixture
def world(tiny_world) -> tuple[Any, Any]:
    return SumOfWords(WEIGHTS), tiny_world.tokenizer


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


UNSEEN = "\ufffd"  # which a reader sees, and BERT's tokenizer leaves out


def test_texts_without_a_word_are_left_out_and_counted(world):
    model, tokenizer = world
    found = measure_faithfulness(model, tokenizer, explain(model, tokenizer, [UNSEEN, *TEXTS], "occlusion"))
    assert (found.n, found.left_out) == (len(TEXTS), 1) and "1 without a word left out" in str(found)
    with pytest.raises(AttributionError, match="no text with a word"):
        measure_faithfulness(model, tokenizer, explain(model, tokenizer, UNSEEN, "occlusion"))


def test_what_cannot_be_compared_is_refused(world):
    model, tokenizer = world
    mixed = [*explain(model, tokenizer, "good", "occlusion"), *explain(model, tokenizer, "bad", "random")]
    with pytest.raises(AttributionError, match="random explains other texts than occlusion"):
        measure_faithfulness(model, tokenizer, mixed)
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

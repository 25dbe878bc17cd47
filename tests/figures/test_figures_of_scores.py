"""Laws of the figures of thresholds, folds, people and behaviour: what is drawn is what the record says."""

import math

import numpy as np
import pytest
import scipy.special
import sklearn.metrics
from matplotlib.figure import Figure
from predicting import make_result

from labkit.evaluation.behaviour import behaviour_tests, check_behaviour
from labkit.evaluation.calibration import abstention_curve
from labkit.evaluation.comparison import compare_models
from labkit.evaluation.false_alarms import false_alarm_rates
from labkit.evaluation.human_ceiling import NoCeiling, human_ceiling
from labkit.evaluation.intervals import bootstrap_interval, score_table
from labkit.evaluation.metrics import EvalResult, best_f1_threshold, precision_recall_f1
from labkit.experiments.folds import CrossValidation, Repetition, SeedSpread
from labkit.figures import (
    abstention_figure,
    alt_text,
    behaviour_figure,
    differences_figure,
    error_by_agreement_figure,
    false_alarms_figure,
    model_colours,
    precision_recall_figure,
    repeated_scores,
    resampled_means,
    score_intervals,
    softmax_curve,
    threshold_figure,
    to_html,
    to_svg,
)

REPETITIONS = tuple(Repetition(f"fold {i}", make_result(n=50, seed=i), 200, 0, 1.0) for i in range(3))
FOLDS = CrossValidation("MiniLM", "reviews", REPETITIONS)
SEEDS = SeedSpread("MiniLM", "reviews", REPETITIONS)
AS_IT_WAS = make_result(name="as it was")
COMPARED = [compare_models(make_result(name=name), AS_IT_WAS, metrics=("nll",)) for name in ("$a$", "b")]
ALARMS = false_alarm_rates(repetitions=20)
BEHAVIOUR = check_behaviour(lambda texts: [0.9] * len(texts), behaviour_tests(cases=6), "tiny $x$ <b>")
CEILING = human_ceiling(
    np.random.default_rng(0).integers(-3, 4, size=(60, 15)).tolist(), make_result(n=60, name="MiniLM"), resamples=50
)
FIGURES = {
    "precision_recall": lambda ax=None: precision_recall_figure([make_result(name="MiniLM"), make_result(seed=2)], ax),
    "threshold": lambda ax=None: threshold_figure(make_result(), 0.3, ax),
    "abstention": lambda ax=None: abstention_figure([make_result(name="MiniLM"), make_result(seed=2)], ax),
    "softmax": lambda ax=None: softmax_curve(make_result(name="tiny $x$ <b>"), ax),
    "scores": lambda ax=None: score_intervals([make_result(name="MiniLM"), make_result(n=40, seed=2)], ax=ax),
    "folds": lambda ax=None: repeated_scores(FOLDS, "f1", ax),
    "seeds": lambda ax=None: repeated_scores(SEEDS, "accuracy", ax),
    "resampled": lambda ax=None: resampled_means(make_result(n=60).correct, ax, resamples=100),
    "differences": lambda ax=None: differences_figure(COMPARED, "nll", ax),
    "false_alarms": lambda ax=None: false_alarms_figure(ALARMS, ax),
    "error_by_agreement": lambda ax=None: error_by_agreement_figure(CEILING, ax),
    "no_ceiling": lambda ax=None: error_by_agreement_figure(NoCeiling("no ratings <b> here"), ax),
    "behaviour": lambda ax=None: behaviour_figure(BEHAVIOUR, ax),
}
every_figure = pytest.mark.parametrize("draw", FIGURES.values(), ids=FIGURES.keys())


def title(ax) -> str:
    return ax.get_title(loc="left").replace("\n", " ").replace("\u00a0", " ")


@every_figure
def test_a_figure_is_drawn_where_it_is_told_to_the_same_each_time_with_its_words(draw):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert draw(right) is right
    assert not left.has_data()
    alone, again = draw(), draw()
    assert alt_text(right) == alt_text(alone)
    assert to_svg(alone) == to_svg(again)
    shown = to_html(alone)
    assert "<b>" not in shown
    assert title(alone).split(",")[0].replace(r"\$", "$").split(":")[0] in alt_text(alone)


def test_the_precision_recall_curve_is_scikit_learns_with_its_area_and_chance():
    result = make_result(name="MiniLM")
    ax = precision_recall_figure([result])
    precision, recall, _ = sklearn.metrics.precision_recall_curve(result.labels, result.probabilities[:, 1])
    curve, chance, _ = ax.get_lines()
    np.testing.assert_allclose(curve.get_xdata(), recall)
    np.testing.assert_allclose(curve.get_ydata(), precision)
    assert curve.get_drawstyle() == "steps-post"
    area = -(np.diff(curve.get_xdata()) * curve.get_ydata()[:-1]).sum()
    assert area == pytest.approx(sklearn.metrics.average_precision_score(result.labels, result.probabilities[:, 1]))
    assert curve.get_color() == model_colours(["MiniLM"])[0]
    assert chance.get_ydata()[0] == pytest.approx(result.labels.mean())
    assert str(score_table(result, metrics=("average_precision",)).average_precision) in alt_text(ax)


def test_each_set_has_a_chance_of_its_own_in_the_precision_recall_figure():
    results = [make_result(name="MiniLM"), make_result(n=40, seed=2)]
    ax = precision_recall_figure(results)
    levels = [line.get_ydata()[0] for line in ax.get_lines() if line.get_linestyle() == ":" and len(line.get_ydata())]
    assert levels == pytest.approx([result.labels.mean() for result in results])
    assert alt_text(ax).endswith(f"{levels[0]:.2f} and {levels[1]:.2f}.")


def test_every_prediction_stands_on_softmax_s_curve_and_the_wrong_ones_are_crosses():
    result = make_result(name="MiniLM")
    curve, right, wrong = softmax_curve(result).get_lines()
    assert (len(right.get_xdata()), len(wrong.get_xdata())) == (result.correct.sum(), (~result.correct).sum())
    assert wrong.get_marker() == "x"
    for points in (curve, right, wrong):
        np.testing.assert_allclose(points.get_ydata(), scipy.special.expit(points.get_xdata()))
    np.testing.assert_allclose(np.sort(wrong.get_ydata()), np.sort(result.probabilities[~result.correct, 1]))
    surest = result.confidences[~result.correct].max()
    assert alt_text(softmax_curve(result)).endswith(f"The surest error is {surest:.1%} sure.")


def test_score_intervals_draws_each_metric_of_each_result_with_its_bounds():
    results = [make_result(name="MiniLM"), make_result(n=40, seed=2)]
    ax = score_intervals(results, ("accuracy", "mcc"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["accuracy", "mcc"]
    for result, container in zip(results, ax.containers, strict=True):
        table = score_table(result, metrics=("accuracy", "mcc"))
        assert list(container.lines[0].get_xdata()) == pytest.approx([score.value for _, score in table.items()])
        ends = [segment[:, 0] for segment in container.lines[2][0].get_segments()]
        np.testing.assert_allclose(ends, [(score.low, score.high) for _, score in table.items()])
        assert f"{result.name} (n = {len(result)}): accuracy {table.accuracy}, mcc {table.mcc}" in alt_text(ax)


def test_without_positives_the_precision_recall_curve_has_no_line_and_says_why():
    ax = precision_recall_figure([EvalResult.from_logits([0, 0], [[1, 0], [0, 1]], "m")])
    assert len(ax.get_lines()[0].get_xdata()) == 0
    assert "undefined: no example of class 1" in alt_text(ax)
    with pytest.raises(ValueError, match="two classes"):
        precision_recall_figure([make_result(classes=3)])
    with pytest.raises(ValueError, match="two classes"):
        precision_recall_figure([])


def test_the_threshold_figure_says_what_the_chosen_threshold_gives_and_which_is_best():
    result = make_result()
    scores = result.probabilities[:, 1]
    ax = threshold_figure(result, 0.3)
    chosen = precision_recall_f1(result.labels, scores >= 0.3)
    assert f"precision {chosen.precision:.3f}, recall {chosen.recall:.3f}, F1 {chosen.f1:.3f}" in title(ax)
    f1 = best_f1_threshold(result.labels, scores)[1]
    assert f"The best F1 is {f1:.3f}" in alt_text(ax)
    lines = {str(line.get_label()): line for line in ax.get_lines()}
    tried, values = lines["F1"].get_data()
    for place in range(0, len(tried), 25):
        assert values[place] == pytest.approx(precision_recall_f1(result.labels, scores >= tried[place]).f1)
    with pytest.raises(ValueError, match="found none"):
        threshold_figure(EvalResult.from_logits([], np.zeros((0, 2))))


def test_the_abstention_figure_draws_the_curve_and_says_the_surer_half():
    result = make_result(name="MiniLM")
    ax, curve = abstention_figure([result]), abstention_curve(result)
    np.testing.assert_allclose(ax.get_lines()[0].get_xdata(), curve.coverage)
    np.testing.assert_allclose(ax.get_lines()[0].get_ydata(), curve.accuracy)
    assert f"{curve.accuracy_at(0.5):.3f} on the surer half" in alt_text(ax)
    with pytest.raises(ValueError, match="with examples"):
        abstention_figure([EvalResult.from_logits([], np.zeros((0, 2)))])


def test_folds_have_the_corrected_interval_in_the_caption_and_seeds_have_none():
    folds, seeds = repeated_scores(FOLDS, "f1"), repeated_scores(SEEDS)
    assert f"f1 {FOLDS.test('f1').mean} (95%, corrected)" in title(folds)
    assert "corrected" not in title(seeds)
    for each in REPETITIONS:
        assert f"{each.label} {score_table(each.test, metrics=('f1',)).f1}" in alt_text(folds)


@pytest.mark.parametrize("n", [2, 60, 3000])
def test_every_resample_is_in_the_histogram_and_the_interval_is_the_bootstraps(n):
    correct = make_result(n=n).correct
    ax = resampled_means(correct, level=0.9, resamples=500, seed=3)
    low, high = bootstrap_interval(correct, 0.9, 500, 3)
    band = next(patch for patch in ax.patches if patch.get_label() == "90% of them")
    bars = [patch for patch in ax.patches if patch is not band]
    assert sum(bar.get_height() for bar in bars) == 500
    assert (band.get_x(), band.get_x() + band.get_width()) == pytest.approx((low, high))
    assert f"{correct.mean():.3f} [{low:.3f}, {high:.3f}] (90%), n = {n:,}" in title(ax)


def test_differences_are_drawn_with_their_intervals_and_less_is_better_is_said_where_it_is():
    base = make_result(name="as it was")
    others = [EvalResult.from_logits(base.labels, np.eye(2)[base.labels] * size, f"$other$ {size}") for size in (1, 3)]
    pairs = [compare_models(other, base, level=0.9875, resamples=200, metrics=("accuracy", "nll")) for other in others]
    ax = differences_figure(pairs, "nll")
    drawn = [container.lines[0].get_xdata()[0] for container in ax.containers]
    assert drawn == pytest.approx([pair.scores["nll"][2].value for pair in pairs])
    assert "nll, less is better" in title(ax) and "98.75% intervals" in title(ax)
    assert "less is better" not in title(differences_figure(pairs))
    assert all(f"{pair.name_a} {pair.scores['nll'][2]:+.3f}" in alt_text(ax) for pair in pairs)


def test_differences_from_different_models_or_levels_are_refused():
    a, b = make_result(name="a"), make_result(name="b")
    for pairs in ([], [compare_models(a, b), compare_models(b, a)], [compare_models(a, b), compare_models(a, b, 0.9)]):
        with pytest.raises(ValueError, match="same B"):
            differences_figure(pairs)


def test_the_false_alarms_stand_beside_the_level_that_is_promised():
    ax = false_alarms_figure(ALARMS)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(ALARMS.rates)
    assert any(line.get_label() == "promised: 5%" for line in ax.get_lines())


def test_the_error_by_agreement_has_a_bar_for_each_bin_with_reviews():
    ax = error_by_agreement_figure(CEILING)
    filled = [row for row in CEILING.bins if row.count]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([row.error_rate.value for row in filled])
    assert all(f"of {row.count:,} reviews" in alt_text(ax) for row in filled)


def test_where_there_is_no_ceiling_the_figure_says_why():
    assert "no ratings <b> here" in alt_text(error_by_agreement_figure(NoCeiling("no ratings <b> here")))
    people_alone = human_ceiling([[1, 1], [-1, 1, 1]], resamples=5)
    assert "no model was given" in alt_text(error_by_agreement_figure(people_alone))


def test_the_behaviour_figure_names_each_test_with_its_n_and_rate():
    ax = behaviour_figure(BEHAVIOUR)
    for row in BEHAVIOUR.rows:
        assert f"{row.capability}: {row.name} (n = {row.n}), {row.kind}, {row.failure_rate}" in alt_text(ax)
    assert not math.isnan(ax.get_xlim()[0])

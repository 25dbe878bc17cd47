"""Figures: one function a figure, from a record to Axes, each also in words.

`f(record, ax=None) -> Axes`. Without `ax` a figure of its own is made, which shows itself as the last line of a
notebook cell, with its text alternative beside it; with `ax` it is drawn there. Nothing is shown, no style is set and
pyplot knows of nothing. `alt_text(ax)` gives the words, `to_html(ax)`, `to_svg(ax)` and `to_png_bytes(ax)` what a page
embeds, the same bytes for the same record. Training is dashed and validation solid; a model has one colour throughout
the course.
"""

from labkit.figures.comparisons import (
    behaviour_figure,
    differences_figure,
    error_by_agreement_figure,
    false_alarms_figure,
    repeated_scores,
    resampled_means,
)
from labkit.figures.drawing import (
    CUT,
    GREY,
    MODEL_COLOURS,
    UNNAMED,
    WHOLE,
    model_colours,
)
from labkit.figures.explanations import (
    METHOD_COLOURS,
    agreement_figure,
    attention_heatmap,
    attention_to_special_tokens,
    attribution_bars,
    attribution_grid,
    faithfulness_curves,
    margin_along_path,
    randomisation_curves,
    word_effects,
)
from labkit.figures.scores import (
    abstention_figure,
    confusion_matrix_figure,
    precision_recall_figure,
    reliability_diagram,
    roc_curve_figure,
    score_intervals,
    softmax_curve,
    threshold_figure,
)
from labkit.figures.texts import (
    batching_costs_figure,
    journey_figure,
    length_costs_figure,
    new_words_figure,
    padding_waste_figure,
    rater_agreement_figure,
    rater_votes,
    rating_histogram,
    reading_time_figure,
    review_lengths,
)
from labkit.figures.training import (
    accuracy_intervals,
    gradient_differences,
    gradient_sizes_figure,
    learning_curves,
    loss_by_step,
    losses_of_runs,
    part_sizes,
)
from labkit.pictures import ALT_TEXT, ShownAxes, alt_text, to_html, to_png_bytes, to_svg

__all__ = [
    "ALT_TEXT",
    "CUT",
    "GREY",
    "METHOD_COLOURS",
    "MODEL_COLOURS",
    "UNNAMED",
    "WHOLE",
    "ShownAxes",
    "abstention_figure",
    "accuracy_intervals",
    "agreement_figure",
    "alt_text",
    "attention_heatmap",
    "attention_to_special_tokens",
    "attribution_bars",
    "attribution_grid",
    "batching_costs_figure",
    "behaviour_figure",
    "confusion_matrix_figure",
    "differences_figure",
    "error_by_agreement_figure",
    "faithfulness_curves",
    "false_alarms_figure",
    "gradient_differences",
    "gradient_sizes_figure",
    "journey_figure",
    "learning_curves",
    "length_costs_figure",
    "loss_by_step",
    "losses_of_runs",
    "margin_along_path",
    "model_colours",
    "new_words_figure",
    "padding_waste_figure",
    "part_sizes",
    "precision_recall_figure",
    "randomisation_curves",
    "rater_agreement_figure",
    "rater_votes",
    "rating_histogram",
    "reading_time_figure",
    "reliability_diagram",
    "repeated_scores",
    "resampled_means",
    "review_lengths",
    "roc_curve_figure",
    "score_intervals",
    "softmax_curve",
    "threshold_figure",
    "to_html",
    "to_png_bytes",
    "to_svg",
    "word_effects",
]

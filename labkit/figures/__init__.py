"""Figures: one function a figure, from a record to Axes, each with its content said in words.

`f(record, ax=None) -> Axes`. Without `ax` a figure of its own is made, which shows itself as the last line of a
notebook cell, with its text alternative beside it; with `ax` it is drawn there. Nothing is shown, no style is set and
pyplot knows of nothing. `alt_text(ax)` gives the words, `to_html(ax)`, `to_svg(ax)` and `to_png_bytes(ax)` what a page
embeds, the same bytes for the same record. Training is dashed and validation solid; a model has one colour throughout
the course.
"""

from labkit.figures.comparisons import behaviour_figure, error_by_agreement_figure, false_alarms_figure, repeated_scores
from labkit.figures.drawing import (
    ALT_TEXT,
    CUT,
    GREY,
    MODEL_COLOURS,
    UNNAMED,
    WHOLE,
    ShownAxes,
    alt_text,
    model_colours,
    to_html,
    to_png_bytes,
    to_svg,
)
from labkit.figures.explanations import (
    METHOD_COLOURS,
    agreement_figure,
    attention_heatmap,
    attention_to_special_tokens,
    attribution_bars,
    attribution_grid,
    faithfulness_curves,
    randomisation_curves,
    word_effects,
)
from labkit.figures.scores import (
    abstention_figure,
    confusion_matrix_figure,
    precision_recall_figure,
    reliability_diagram,
    roc_curve_figure,
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
    part_sizes,
)

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
    "error_by_agreement_figure",
    "faithfulness_curves",
    "false_alarms_figure",
    "gradient_differences",
    "gradient_sizes_figure",
    "journey_figure",
    "learning_curves",
    "length_costs_figure",
    "loss_by_step",
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
    "review_lengths",
    "roc_curve_figure",
    "threshold_figure",
    "to_html",
    "to_png_bytes",
    "to_svg",
    "word_effects",
]

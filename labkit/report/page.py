"""The report of a run: one HTML page that opens from disk without a network.

Says in words and pictures what the run's folder holds, which run_record.py reads. Does not train or test (fine_tuning.py)
and does not draw (figures.py). The same folder gives the same bytes.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit import figures
from labkit.data.reviews import CITATIONS, CLASS_NAMES
from labkit.display import page_template
from labkit.errors import LabkitError
from labkit.experiments.main_job import LUCK
from labkit.experiments.run_folder import REPORT_FILE
from labkit.files import write_atomically
from labkit.report.run_record import Comparison, Run, ScoredModel, read_run

PICTURE_SIZE = (5.2, 3.9)  # inches; small enough that its letters can be read on a phone

METRICS_IN_WORDS = {
    "accuracy": ("Accuracy", "share of the reviews it gets right"),
    "precision": ("Precision", "of those it calls positive, the share that are"),
    "recall": ("Recall", "of the positive ones, the share it finds"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "roc_auc": ("ROC AUC", "how often a positive review ranks above a negative one"),
    "ece": ("Calibration error", "how far confidence and accuracy lie apart; less is better"),
}


def write_report(folder: Path) -> Path:
    """Write the page of a finished run, `FOLDER/report.html`, and return its path.

    Raises RunError, naming the file and the way out, for a folder without a finished run or with a broken file, and
    LabkitError where the page cannot be written; a page that stood there before then stands as it was.
    """
    page = report_page(folder)
    target = folder / REPORT_FILE
    try:
        write_atomically(target, page.encode("utf-8", errors="replace"))  # a lone surrogate has no bytes of its own
    except OSError as why:
        raise LabkitError(f"{target}: the report could not be written ({why.strerror})") from None
    return target


def report_page(folder: Path) -> str:
    """The page of a finished run as HTML. Raises RunError as `write_report` does."""
    run = read_run(folder)
    return page_template(REPORT_FILE, thousands="{:,}".format, duration=duration).render(
        run=run,
        summary=summary(run),
        pictures=pictures(run),
        metrics=METRICS_IN_WORDS,
        settings=_settings_in_words(run.settings, run.resolved),
        classes=CLASS_NAMES,
        citations=CITATIONS.get(run.data_name, []),
    )


# --- the run in words ---------------------------------------------------------------------------------------------


def summary(run: Run) -> list[str]:
    """Say the result in sentences.

    They give the accuracy with its interval, the baseline's, and whether luck explains the gap.
    """
    own = next((model for model in run.table.models if model.name == run.model), run.table.models[-1])
    accuracy = own.scores["accuracy"]
    result = (
        f"The fine-tuned {own.name} is right on {accuracy.value:.1%} of {own.n:,} test reviews it had never seen "
        f"({run.table.level:.0%} interval {accuracy.low:.1%} to {accuracy.high:.1%})."
    )
    return [result, *(_verdict(run.table.comparison, run.table.models) if run.table.comparison else [_ALONE])]


_ALONE = "No baseline was tested beside it; labkit lab tests two of them."


def _verdict(comparison: Comparison, models: Sequence[ScoredModel]) -> list[str]:
    first, second = comparison.first, comparison.second
    other = next((model for model in models if model.name == second), None)
    accuracy = f", right on {other.scores['accuracy'].value:.1%}" if other else ""
    points = abs(comparison.difference) * 100
    relation = f"{points:.1f} points {'above' if comparison.difference > 0 else 'below'}"
    standing = f"That is {relation if comparison.difference else 'level with'} the baseline {second}{accuracy}."
    disagreements = comparison.only_first_right + comparison.only_second_right
    p = "p < 0.001" if comparison.p_value < 0.001 else f"p = {comparison.p_value:.3f}"
    split = (
        f"Of the {disagreements:,} reviews that only one of the two gets right, {first} has "
        f"{comparison.only_first_right:,} and {second} {comparison.only_second_right:,}"
    )
    if comparison.p_value < LUCK:
        return [
            standing,
            f"{split}: luck would hardly deal them so unevenly, so the difference is real ({p}, McNemar).",
        ]
    return [
        standing,
        f"{split}: luck may well deal them so, and the difference is not shown to be real ({p}, McNemar).",
    ]


def duration(seconds: float) -> str:
    """Seconds as people say them.

    >>> duration(0.004), duration(38.2), duration(312)
    ('< 0.1 s', '38.2 s', '5 min 12 s')
    """
    if seconds < 0.1:
        return "< 0.1 s"
    return f"{seconds:.1f} s" if seconds < 100 else f"{round(seconds) // 60} min {round(seconds) % 60} s"


def _settings_in_words(settings: Mapping[str, Any], resolved: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each setting as it was given and, where the run had to choose, what was chosen."""
    rows = []
    for name, given in settings.items():
        chosen = resolved.get(name, given)
        rows.append((name, _in_words(given) + (f" → {_in_words(chosen)}" if chosen != given else "")))
    return rows


def _in_words(value: Any) -> str:
    if value is None:
        return "not set"
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


# --- pictures -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Picture:
    """A figure for the page.

    caption: with n and interval. reading: how to read it. words: its content. source: its bytes as a data address.
    """

    title: str
    caption: str
    reading: str
    words: str
    source: str


def pictures(run: Run) -> dict[str, Picture]:
    """The figures of the page by the name of what they show."""
    return {
        "learning_curves": _picture(
            "Learning curves",
            "Dashed: the training reviews while they were learned. Solid: validation reviews it never trained on. "
            "Where the solid line turns upwards it has begun to learn by heart; the weights of the starred epoch were "
            "kept.",
            figures.learning_curves(run.history, _axes(), name=run.model, validation_size=run.examples["validation"]),
        ),
        "confusion_matrix": _picture(
            "Confusion matrix",
            "Rows are the labels, columns the predictions: the diagonal is right, the rest is wrong.",
            figures.confusion_matrix_figure(run.test, _axes(), class_names=CLASS_NAMES),
        ),
        "reliability": _picture(
            "Reliability diagram",
            "A bar that ends below the dotted line is overconfidence: it was right less often than it was sure.",
            figures.reliability_diagram(run.test, _axes()),
        ),
        "roc": _picture(
            "ROC curve",
            "Every threshold at once: the share of positive reviews found, at the price of false alarms.",
            figures.roc_curve_figure([run.test], _axes()),
        ),
        "lengths": _picture(
            "Review lengths",
            "The training reviews by their number of tokens. What lies beyond max_length the model never reads.",
            figures.review_lengths(run.lengths, run.max_length, _axes()),
        ),
    }


def _axes() -> Axes:
    return Figure(figsize=PICTURE_SIZE, layout="constrained").add_subplot()


def _picture(title: str, reading: str, ax: Axes) -> Picture:
    """Make a picture of a figure, whose title becomes text of the page."""
    caption = ax.get_title(loc="left").replace("\n", " ").replace(r"\$", "$")
    ax.set_title("", loc="left")
    drawing = base64.b64encode(figures.to_svg(ax).encode()).decode()
    return Picture(title, caption, reading, figures.alt_text(ax), f"data:image/svg+xml;base64,{drawing}")

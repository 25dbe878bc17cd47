"""The report of a run: one HTML page that holds everything in itself and opens from disk without a network.

Shows what the run's folder holds: run.json, test.json and, after the main job, results.json. Does not train or test
(fine_tuning.py) and does not draw (figures.py). The same folder gives the same bytes.
"""

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit import figures
from labkit.data.reviews import CLASS_NAMES, CORPORA
from labkit.errors import LabkitError, UsageError
from labkit.evaluation.intervals import METRICS, Score, score_table
from labkit.evaluation.metrics import EvalResult
from labkit.experiments.run_folder import RUN_FILE, TEST_FILE
from labkit.files import write_atomically
from labkit.training.loop import EpochRecord, best_epoch

if TYPE_CHECKING:
    from jinja2 import Template


class Citation(NamedTuple):
    """A publication as one writes it down, and where it is."""

    text: str
    link: str


RESULTS_FILE, REPORT_FILE = "results.json", "report.html"
FORMAT = 1  # of run.json and results.json
SPLITS = ("train", "validation", "test")
MISTAKES_SHOWN = 10
LONGEST_SHOWN = 600  # characters of a review
PICTURE_SIZE = (5.2, 3.9)  # inches; small enough that its letters can be read on a phone
LUCK = 0.05  # a p-value from here on is called luck

METRICS_IN_WORDS = {
    "accuracy": ("Accuracy", "share of the reviews it gets right"),
    "precision": ("Precision", "of those it calls positive, the share that are"),
    "recall": ("Recall", "of the positive ones, the share it finds"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "roc_auc": ("ROC AUC", "how often a positive review ranks above a negative one"),
    "ece": ("Calibration error", "how far confidence and accuracy lie apart; less is better"),
}
HUTTO_GILBERT = Citation(
    "Hutto, C. J. & Gilbert, E. (2014). VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media "
    "Text. Eighth International Conference on Weblogs and Social Media (ICWSM-14), 216–225.",
    "https://doi.org/10.1609/icwsm.v8i1.14550",
)
PANG_LEE = Citation(
    "Pang, B. & Lee, L. (2004). A Sentimental Education: Sentiment Analysis Using Subjectivity Summarization Based on "
    "Minimum Cuts. Proceedings of the 42nd Annual Meeting of the ACL, 271–278.",
    "https://doi.org/10.3115/1218955.1218990",
)
CITATIONS = {name: [HUTTO_GILBERT] for name in CORPORA} | {"movies": [HUTTO_GILBERT, PANG_LEE]}


class ReportError(UsageError):
    """A run's folder of which no report can be made: no run in it, an unfinished one, or a broken file."""


def write_report(folder: Path) -> Path:
    """Write the page of a finished run, `FOLDER/report.html`, and return its path.

    Raises ReportError, naming the file and the way out, for a folder without a finished run or with a broken file, and
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
    """The page of a finished run as HTML. Raises ReportError as `write_report` does."""
    run = read_run(folder)
    return _template().render(
        run=run,
        summary=summary(run),
        pictures=pictures(run),
        metrics=METRICS_IN_WORDS,
        settings=_settings_in_words(run.settings, run.resolved),
        classes=CLASS_NAMES,
        citations=CITATIONS.get(run.data_name, []),
    )


@cache
def _template() -> "Template":
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("labkit", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"thousands": "{:,}".format, "duration": duration}
    return environment.get_template(REPORT_FILE)


# --- what the folder holds ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ScoredModel:
    """One column of the table: a model's scores on the test split, by metric."""

    name: str
    n: int
    seed: int
    seconds: float
    scores: Mapping[str, Score]

    @property
    def notes(self) -> list[str]:
        """What a reader of the numbers must know."""
        return [f"{self.name}, {metric}: {score.note}" for metric, score in self.scores.items() if score.note]


@dataclass(frozen=True)
class Comparison:
    """Two models on the same reviews, by those that only one of them has right (McNemar's exact test)."""

    first: str
    second: str
    only_first_right: int
    only_second_right: int
    difference: float
    p_value: float
    text: str


@dataclass(frozen=True)
class Mistake:
    """A review that the model was sure about and got wrong; text: None where the folder does not hold it."""

    id: str
    label: str
    prediction: str
    confidence: float
    text: str | None

    @property
    def excerpt(self) -> str:
        """The text, or its beginning and how much is left out."""
        text = self.text or ""
        left_out = len(text) - LONGEST_SHOWN
        return text if left_out <= 0 else f"{text[:LONGEST_SHOWN]} … ({left_out:,} more characters)"


@dataclass(frozen=True)
class Table:
    """The tested models side by side; comparison: None where nothing stands beside the model."""

    models: Sequence[ScoredModel]
    comparison: Comparison | None
    mistakes: Sequence[Mistake]
    level: float
    resamples: int


@dataclass(frozen=True)
class Run:
    """A finished run as its folder tells it.

    examples, class_counts: by split. lengths: tokens of each training review. settings: as they were given; resolved:
    what the run chose where they left it open.
    """

    model: str
    parameters: int
    seed: int
    max_length: int
    device: str
    precision: str
    data_name: str
    data_hash: str
    examples: Mapping[str, int]
    class_counts: Mapping[str, Sequence[int]]
    lengths: Sequence[int]
    settings: Mapping[str, Any]
    resolved: Mapping[str, Any]
    environment: Mapping[str, Any]
    packages: Mapping[str, str]
    history: Sequence[EpochRecord]
    notices: Sequence[str]
    test: EvalResult
    table: Table

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights were kept; None where no validation loss was a number."""
        return best_epoch(self.history)

    @property
    def seconds(self) -> float:
        """Seconds of training alone."""
        return sum(record.seconds for record in self.history)


def read_run(folder: Path) -> Run:
    """A finished run's folder, checked. Raises ReportError naming the file, what is wrong there and the way out."""
    record = _read_run_file(folder)
    with _making_sense_of(folder / RUN_FILE):
        model, data, environment = record["model"], record["data"], dict(record["environment"])
        settings, resolved = dict(record["settings"]), dict(record["resolved"])
        packages = {package: str(version) for package, version in environment.pop("packages").items()}
        history = [_epoch(written) for written in record["history"]]
        lengths = [_count(length) for length in data["lengths"]["train"]]
        if not history or not lengths:
            raise ValueError(f"{len(history)} epochs and {len(lengths)} training reviews")
        test, ids = _read_test_file(folder / TEST_FILE, str(model["name"]), float(record["test"]["loss"]))
        if (folder / RESULTS_FILE).is_file():
            table = _read_results_file(folder / RESULTS_FILE)
        else:
            table = _table_of_one(test, ids, int(settings["seed"]), sum(epoch.seconds for epoch in history))
        return Run(
            model=str(model["name"]),
            parameters=_count(model["parameters"]),
            seed=int(settings["seed"]),
            max_length=_count(settings["max_length"]),
            device=str(environment["device"]),
            precision=str(resolved["precision"]),
            data_name=str(data["name"]),
            data_hash=str(data["hash"]),
            examples={split: _count(data["examples"][split]) for split in SPLITS},
            class_counts={split: [_count(count) for count in data["class_counts"][split]] for split in SPLITS},
            lengths=lengths,
            settings=settings,
            resolved=resolved,
            environment=environment,
            packages=packages,
            history=history,
            notices=[str(notice) for notice in record["notices"]],
            test=test,
            table=table,
        )


def _epoch(written: Mapping[str, Any]) -> EpochRecord:
    record = EpochRecord(**written)
    if not all(isinstance(value, int | float) for value in astuple(record)):
        raise TypeError(f"an epoch's record must be numbers; found {record}")
    return record


def _read_run_file(folder: Path) -> Mapping[str, Any]:
    file = folder / RUN_FILE
    if not folder.is_dir():
        raise ReportError(f"{folder}: no such folder; wanted the one given to labkit train --output")
    if not file.is_file():
        parent_is_run = (folder.resolve().parent / RUN_FILE).is_file()
        hint = "did you mean the folder above it?" if parent_is_run else "wanted the one given to labkit train --output"
        raise ReportError(f"{folder} holds no run ({RUN_FILE} is missing); {hint}")
    record = _read_json(file)
    with _making_sense_of(file):
        if record["status"] != "finished":
            done, wanted = len(record["history"]), record["settings"]["epochs"]
            raise ReportError(
                f"{file}: the run is unfinished ({done} of at most {wanted} epochs are done, the test split is not "
                "scored); the command that began it, given again, goes on with it"
            )
    return record


def _read_test_file(file: Path, name: str, loss: float) -> tuple[EvalResult, list[str]]:
    """The model's result on the test split and the reviews' ids."""
    rows = _read_json(file)
    with _making_sense_of(file):
        result = EvalResult(rows["labels"], rows["probabilities"], loss, name)
        if result.num_classes != len(CLASS_NAMES) or len(rows["ids"]) != len(result):
            raise ValueError(f"{len(rows['ids'])} ids for {len(result)} reviews of {result.num_classes} classes")
        return result, [str(review) for review in rows["ids"]]


def _read_results_file(file: Path) -> Table:
    results = _read_json(file)
    with _making_sense_of(file):
        comparison, models = results["comparison"], [_scored_model(row) for row in results["rows"]]
        if not models:
            raise ValueError("no rows")
        return Table(
            models=models,
            comparison=_comparison(comparison) if comparison else None,
            mistakes=[_mistake(wrong) for wrong in results["confidently_wrong"]],
            level=float(results["level"]),
            resamples=_count(results["resamples"]),
        )


def _comparison(written: Mapping[str, Any]) -> Comparison:
    return Comparison(
        first=str(written["first"]),
        second=str(written["second"]),
        only_first_right=_count(written["only_first_right"]),
        only_second_right=_count(written["only_second_right"]),
        difference=float(written["difference"]),
        p_value=float(written["p_value"]),
        text=str(written["text"]),
    )


def _count(written: Any) -> int:
    number = int(written)
    if not 0 <= number < 2**53:
        raise ValueError(f"{written} is no count")
    return number


def _scored_model(row: Mapping[str, Any]) -> ScoredModel:
    scores = {metric: _score(row["metrics"][metric]) for metric in METRICS}
    return ScoredModel(str(row["name"]), _count(row["n"]), int(row["seed"]), float(row["seconds"]), scores)


def _score(written: Mapping[str, Any]) -> Score:
    value, low, high = (
        math.nan if written[part] is None else float(written[part]) for part in ("value", "low", "high")
    )
    return Score(value, low, high, str(written["note"]))


def _mistake(written: Mapping[str, Any]) -> Mistake:
    label, prediction = (str(written[part]) for part in ("label", "prediction"))
    return Mistake(str(written["id"]), label, prediction, float(written["confidence"]), str(written["text"]))


def _table_of_one(test: EvalResult, ids: Sequence[str], seed: int, seconds: float) -> Table:
    """What a run alone gives without the main job: its own scores, and its mistakes by their ids."""
    scores = score_table(test)
    wrong = [int(index) for index in (-test.confidences).argsort(kind="stable") if not test.correct[index]]
    mistakes = [
        Mistake(
            ids[index],
            CLASS_NAMES[test.labels[index]],
            CLASS_NAMES[test.predictions[index]],
            float(test.confidences[index]),
            text=None,
        )
        for index in wrong[:MISTAKES_SHOWN]
    ]
    model = ScoredModel(test.name, scores.n, seed, seconds, dict(scores.items()))
    return Table([model], None, mistakes, scores.level, scores.resamples)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ReportError(f"{file} is missing, though the run is finished; {_way_out(file)}") from None
    except (OSError, ValueError) as why:
        raise ReportError(f"{file}: not readable as JSON ({why}); {_way_out(file)}") from None
    with _making_sense_of(file):
        if not isinstance(content, dict) or content.get("format", FORMAT) != FORMAT:
            found = f"format {content['format']}" if isinstance(content, dict) else f"a {type(content).__name__}"
            raise ValueError(f"found {found}, wanted format {FORMAT}")
    return content


@contextmanager
def _making_sense_of(file: Path) -> Iterator[None]:
    """What is missing or out of place in the content of `file` becomes, within the block, a ReportError."""
    try:
        yield
    except KeyError as why:
        raise ReportError(f"{file}: {why} is missing; {_way_out(file)}") from None
    except (AttributeError, IndexError, OverflowError, TypeError, ValueError) as why:
        raise ReportError(f"{file}: not as labkit writes it ({why}); {_way_out(file)}") from None


def _way_out(file: Path) -> str:
    if file.name == RESULTS_FILE:
        return f"labkit lab --output {file.parent} writes it again"
    return "the command that made the run makes it anew with --overwrite"


# --- the run in words ---------------------------------------------------------------------------------------------


def summary(run: Run) -> list[str]:
    """The result in sentences: the accuracy with its interval, the baseline's, and whether luck explains the gap."""
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
    """A figure for the page: title, caption with n and interval, how to read it, its content in words, its bytes."""

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
    """The figure with its title taken out of the drawing, so that the page can set it as text."""
    caption = ax.get_title(loc="left").replace("\n", " ").replace(r"\$", "$")
    ax.set_title("", loc="left")
    drawing = base64.b64encode(figures.to_svg(ax).encode()).decode()
    return Picture(title, caption, reading, figures.alt_text(ax), f"data:image/svg+xml;base64,{drawing}")

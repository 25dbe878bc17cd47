"""The command line: thin, every option of training made from the one config dataclass.

Results go to standard output, notices to standard error. Exit codes: 0; 1 for a failed run; 2 for wrong use, before
anything was written; 130 and 143 for Ctrl-C and SIGTERM.
"""

import dataclasses
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

from cyclopts import App, CycloptsError, Group, Parameter, UnknownOptionError

from labkit import __version__
from labkit.display import SURROGATES, discard_output, prepare_streams, print_html, print_json
from labkit.errors import LabkitError, UsageError
from labkit.explanation.registry import DEFAULT, METHODS
from labkit.importing import quick_imports
from labkit.lessons.profiles import profile_settings
from labkit.training.config import SETTINGS, Config, parse_assignments, read_config_file

if TYPE_CHECKING:
    from labkit.data.reviews import Reviews

app = App(
    name="labkit", help="A course lab for learning to fine-tune BERT.", version=__version__, help_format="plaintext"
)

_SETTINGS_GROUP = Group("Settings", help="Each is also a key of --config FILE.toml and of --set key=value.", sort_key=1)


def _option(field: "dataclasses.Field[Any]") -> tuple[str, Any, Any]:
    """A setting as an option that is None unless it was given, so that files and profiles can lie below it."""
    about, one_of = field.metadata["help"], field.metadata["limits"].get("one_of", ())
    described = f"{about}: {', '.join(one_of)}" if one_of else about
    default = "" if field.default is None else f" [{field.default}]"
    note = Parameter(help=described + default, group=_SETTINGS_GROUP, show_default=False)
    kind: Any = field.type
    return field.name, Annotated[kind | None, note], dataclasses.field(default=None)


Settings = dataclasses.make_dataclass("Settings", map(_option, SETTINGS.values()), frozen=True)
Settings.__module__ = __name__  # cyclopts takes a class of the module "types" for a plain type
_Flat = Annotated[Settings, Parameter(name="*")]  # type: ignore[valid-type]  # made from Config above
_NO_SETTINGS = Settings()

Output = Annotated[Path, Parameter(help="folder for the run")]
Overwrite = Annotated[bool, Parameter(help="begin again in a folder that holds a run", negative="", show_default=False)]
AsJson = Annotated[bool, Parameter(name="--json", help="print JSON", negative="", show_default=False)]
Profile = Annotated[str | None, Parameter(help="tiny, laptop or gpu (default: LABKIT_PROFILE, else laptop)")]
ConfigFile = Annotated[Path | None, Parameter(name="--config", help="TOML file with settings")]
Assignments = Annotated[
    tuple[str, ...], Parameter(name="--set", help="key=value, as often as you like", negative="", show_default=False)
]
TextColumn = Annotated[str, Parameter(help="column of FILE with the texts")]
LabelColumn = Annotated[str, Parameter(help="column of FILE with the labels: 0, 1, neg, pos, negative or positive")]


@app.command
def doctor(*, as_json: AsJson = False) -> int:
    """Look at this machine: Python, packages, device, precision, memory, disk, network, assets, Jupyter."""
    from labkit.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            print(finding, flush=True)
    if as_json:
        print_json([dataclasses.asdict(finding) for finding in findings])
    return int(any(finding.verdict == "bad" for finding in findings))


@app.command
def fetch(
    *names: str,
    source: Annotated[Path | None, Parameter(name="--from", help="folder that holds the archives")] = None,
    to: Annotated[Path | None, Parameter(help="bring the archives into this folder, to be carried elsewhere")] = None,
) -> int:
    """Fetch reviews and weights into the cache (default: reviews and minilm); other names are those of the model hub."""
    from labkit.data import assets

    if source is not None and not source.is_dir():
        raise UsageError(f"--from {source}: no such folder")
    for name in names or tuple(assets.ARCHIVES):
        if name in assets.ARCHIVES and to is not None:
            print(f"{name}: {assets.download(name, to)}")
        elif name in assets.ARCHIVES:
            print(f"{name}: {assets.fetch(name, source)}")
        elif "/" in name or name in _hub_names():
            print(f"{name}: {assets.fetch_from_hub(name)}")
        else:
            assets.archive_named(name)
    return 0


def _hub_names() -> list[str]:
    from labkit.models.encoders import ENCODERS

    return [name for name, encoder in ENCODERS.items() if encoder.source == "hub"]


@app.command
def train(
    *,
    output: Output,
    data: Annotated[
        Path | None, Parameter(help="your reviews: .csv, .tsv, .jsonl or .parquet (default: the movie reviews)")
    ] = None,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    profile: Profile = None,
    config_file: ConfigFile = None,
    assignments: Assignments = (),
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    settings: _Flat = _NO_SETTINGS,
) -> int:
    """Fine-tune an encoder on reviews. The same command again goes on with an unfinished run.

    The finished model is FOLDER/model, a plain Hugging Face folder; its card is FOLDER/model_card.md.
    """
    config = _config(profile, config_file, assignments, settings)
    reviews = _reviews(data, text_column, label_column, config)
    with quick_imports():
        from labkit.display import say
        from labkit.evaluation.intervals import score_table
        from labkit.experiments.fine_tuning import fine_tune
        from labkit.experiments.main_job import scores_as_json

    run = fine_tune(config, reviews, output, overwrite=overwrite, progress=sys.stderr.isatty(), tell=say)
    scores = score_table(run.test, seed=config.seed)
    if as_json:
        model = str(output / "model")
        print_json({"model": model, "n": scores.n, "history": run.record["history"], "metrics": scores_as_json(scores)})
    else:
        print(f"\nTest split:\n{scores}\n\nmodel: {output / 'model'}\ncard:  {output / 'model_card.md'}")
    return 0


@app.command
def lab(
    *,
    output: Output = Path("runs/lab"),
    profile: Profile = None,
    config_file: ConfigFile = None,
    assignments: Assignments = (),
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    settings: _Flat = _NO_SETTINGS,
) -> int:
    """The main job: fine-tune on the movie reviews, beside two baselines, in a table and a report page."""
    config = _config(profile, config_file, assignments, settings)
    with quick_imports():
        from labkit.display import say
        from labkit.experiments.main_job import main_job, results_as_text
        from labkit.experiments.run_folder import RESULTS_FILE
        from labkit.report.page import write_report

    results = main_job(config, output, overwrite=overwrite, progress=sys.stderr.isatty(), tell=say)
    report_page = write_report(output)
    if as_json:
        print_json(results)
    else:
        files = {"model": output / "model", "table": output / RESULTS_FILE, "report": report_page}
        print("\n" + results_as_text(results) + "\n")
        print("\n".join(f"{name + ':':<8} {path}" for name, path in files.items()))
    return 0


@app.command
def evaluate(
    *,
    model: Annotated[Path, Parameter(help="a model's folder, such as FOLDER/model")],
    data: Annotated[
        Path | None, Parameter(help="labelled reviews (default: the test split of the movie reviews)")
    ] = None,
    text_column: TextColumn = "text",
    label_column: LabelColumn = "label",
    behaviour: Annotated[
        bool,
        Parameter(help="test its behaviour too: negation, intensifiers, names, typos", negative="", show_default=False),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Test a saved model on labelled reviews: metrics with their intervals, calibration and, optionally, its behaviour."""
    from labkit.models.encoders import check_model_folder

    check_model_folder(model)
    reviews = _reviews(data, text_column, label_column, Config())
    with quick_imports():
        from labkit.data.splits import split_reviews
        from labkit.display import say
        from labkit.evaluation.behaviour import behaviour_tests, check_behaviour
        from labkit.evaluation.calibration import bins_as_text, reliability_bins
        from labkit.evaluation.intervals import ALL_METRICS, score_table
        from labkit.experiments.main_job import scores_as_json
        from labkit.serving.classifier import Classifier

    for note in reviews.notes:
        say(note)
    asked = reviews if data else split_reviews(reviews).test
    classifier = Classifier.load(model)
    result = classifier.evaluate(asked)
    scores = score_table(result, metrics=ALL_METRICS)
    bins = reliability_bins(result.confidences, result.correct)
    report = check_behaviour(classifier.probabilities, behaviour_tests(asked.texts)) if behaviour else None
    if as_json:
        row = {"model": str(model), "data": str(data or "movies, test split"), "n": scores.n, "loss": result.loss}
        row |= {
            "metrics": scores_as_json(scores),
            "reliability": [dataclasses.asdict(each) for each in bins if each.count],
        }
        print_json(row | ({"behaviour": report.as_json()} if report else {}))
    else:
        print("\n\n".join(map(str, [scores, bins_as_text(bins), *([report] if report else [])])))
    return 0


@app.command
def compare(folder_a: Path, folder_b: Path, /, *, as_json: AsJson = False) -> int:
    """Compare two finished runs on their test reviews: intervals of the paired differences, and McNemar's test."""
    from labkit.evaluation.intervals import ALL_METRICS
    from labkit.experiments.run_folder import compare_runs

    comparison = compare_runs(folder_a, folder_b, ALL_METRICS)
    if as_json:
        print_json(comparison.as_json())
    else:
        print(comparison)
    return 0


@app.command
def predict(
    *texts: str,
    model: Annotated[Path, Parameter(help="a model's folder, such as FOLDER/model")],
    file: Annotated[
        str | None, Parameter(help="a file with a text on each line; - for standard input", allow_leading_hyphen=True)
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Say whether texts are positive or negative, and how sure the model is."""
    lines = _texts(texts, file)
    with quick_imports():
        from labkit.serving.classifier import Classifier

    predictions = Classifier.load(model).predict(lines)
    if as_json:
        print_json([dataclasses.asdict(prediction) for prediction in predictions])
    else:
        print("\n".join(map(str, predictions)))
    return 0


@app.command
def explain(
    *texts: str,
    model: Annotated[Path, Parameter(help="a model's folder, such as FOLDER/model")],
    methods: Annotated[
        tuple[str, ...],
        Parameter(
            name="--method",
            help=f"{', '.join([*METHODS][:-1])} or {[*METHODS][-1]}; as often as you like (default: {DEFAULT})",
            negative="",
            show_default=False,
        ),
    ] = (),
    file: Annotated[
        str | None, Parameter(help="a file with a text on each line; - for standard input", allow_leading_hyphen=True)
    ] = None,
    layer: Annotated[int, Parameter(help="of the method attention, from 0; -1 is the last")] = -1,
    head: Annotated[int | None, Parameter(help="of the method attention, from 0 (default: the mean of all)")] = None,
    as_html: Annotated[
        bool, Parameter(name="--html", help="print a page with the words in colour", negative="", show_default=False)
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Say which words moved the model's decision, and how far: a score above 0 speaks for positive."""
    if as_html and as_json:
        raise UsageError("--html and --json were both given; wanted one of them")
    lines = _texts(texts, file, "explain")
    with quick_imports():
        from labkit.explanation.methods import check_methods
        from labkit.serving.classifier import Classifier

    chosen = check_methods(methods or DEFAULT)
    attention = "eager" if any(METHODS[name].needs_eager for name in chosen) else "sdpa"
    explanations = Classifier.load(model, attention=attention).explain(lines, chosen, layer=layer, head=head)
    if as_json:
        print_json([one.as_dict() for one in explanations])
    elif as_html:
        print_html(explanations.to_page())
    else:
        print(explanations)
    return 0


@app.command
def report(folder: Path, /) -> int:
    """Write a run's report page again: FOLDER/report.html."""
    from labkit.report.page import write_report

    print(write_report(folder))
    return 0


# By name, and loaded when called: the course stands around the way of a review, which imports nothing from there.
_WHICH = (
    "Of the course that LABKIT_COURSE names, else of the nearest course.toml from here upwards, else of labkit's own."
)
_COURSE = "A course's notebooks: write, build, try, release; start, update and hand in a copy."
app.command("labkit.course.commands:course", help=f"{_COURSE}\n\n{_WHICH}")
app.command("labkit.course.commands:check", help="Run notebooks and print points and hints by exercise.")


def _config(profile: str | None, file: Path | None, assignments: Sequence[str], given: Any) -> Config:
    """The settings of a run: the profile's, then the file's, those of --set, and on top the options."""
    options = {name: value for name, value in vars(given).items() if value is not None}
    layers = [
        profile_settings(profile),
        read_config_file(file) if file else {},
        parse_assignments(assignments),
        options,
    ]
    settings: dict[str, Any] = {}
    for layer in layers:
        settings |= layer
    return Config().replaced(settings)


def _reviews(data: Path | None, text_column: str, label_column: str, config: Config) -> "Reviews":
    from labkit.data.reviews import movie_reviews, read_reviews

    return read_reviews(data, text_column, label_column) if data else movie_reviews(config.neutral_band)


def _texts(texts: Sequence[str], file: str | None, purpose: str = "predict") -> list[str]:
    """The texts of the command line, or the lines of a file; blank lines are left out and counted."""
    if file is None and not texts:
        raise UsageError(
            f"nothing to {purpose}; wanted texts, or --file FILE with one on each line (- for standard input)"
        )
    if file is None:
        return [SURROGATES.sub("\N{REPLACEMENT CHARACTER}", text) for text in texts]
    if texts:
        raise UsageError("texts and --file were both given; wanted one of them")
    from labkit.data.readers import ReviewFileError, read_lines
    from labkit.data.reviews import is_blank
    from labkit.display import say

    path = Path("standard input" if file == "-" else file)
    lines = read_lines(path, sys.stdin.buffer.read() if file == "-" else None)
    kept = [line for line in lines if not is_blank(line)]
    if not kept:
        raise ReviewFileError(f"{path} has no text in it")
    if len(kept) < len(lines):
        say(f"blank lines left out: {len(lines) - len(kept)}")
    return kept


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the program and exit with its code; a user's mistake is one message, never a traceback."""
    prepare_streams()
    signal.signal(signal.SIGTERM, _terminated)
    code = _run(arguments)
    try:
        sys.stdout.flush()
    except BrokenPipeError:  # whoever read our output has seen enough
        discard_output()
    except OSError as why:
        discard_output()
        code = code or _failed(f"the output could not be written: {why.strerror}", LabkitError.exit_code)
    sys.exit(code)


def _run(arguments: Sequence[str] | None) -> int:
    """The exit code of a command, after what there is to say."""
    try:
        return (
            app(arguments, exit_on_error=False, print_error=True, help_on_error=False, result_action="return_value")
            or 0
        )
    except UnknownOptionError as error:
        if error.command_chain and error.command_chain[-1] in ("predict", "explain"):
            print("labkit: a text that begins with a hyphen stands behind --, after all options", file=sys.stderr)
        return UsageError.exit_code
    except CycloptsError:
        return UsageError.exit_code
    except LabkitError as error:
        return _failed(str(error), error.exit_code)
    except KeyboardInterrupt:
        return _failed("interrupted", 128 + signal.SIGINT)
    except BrokenPipeError:
        discard_output()
        return 0
    except OSError as error:  # a full disk, a folder without permission: the operating system's own words name the file
        return _failed(str(error), LabkitError.exit_code)
    except SystemExit as ended:  # what shows the help ends the program itself where nobody reads it
        if isinstance(ended.__context__, BrokenPipeError):
            return 0
        raise


def _failed(why: str, code: int) -> int:
    print(f"labkit: {why}", file=sys.stderr)
    return code


def _terminated(number: int, frame: FrameType | None) -> NoReturn:
    print("labkit: terminated", file=sys.stderr)
    sys.exit(128 + number)

"""MiniLM on all movie reviews for four epochs: does it overfit?

    python reference/overfitting.py

Four epochs are twice what it needs. Trains with `labkit.fit` at the registry's learning rate and keeps the logits of the
validation and the test split after every epoch. From these come the learning curve, the epoch that early stopping would
keep and where it would stop, and for every epoch what temperature scaling, fitted on validation, does to the negative
log-likelihood on test: so what overfitting does to confidence. Writes `overfitting.json` where lesson 05 reads it, and
`overfitting.svg` beside itself. What was trained lies in the work folder: the same command goes on after a kill, and a
finished training is only read again.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.data.assets import SHIPPED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from labkit.evaluation.calibration import Temperature
    from labkit.evaluation.metrics import EvalResult

PATIENCE = 2  # of the early stopping that is looked at; the training itself goes through all epochs
HISTORY = "history.json"
LOOKED_AT = ("validation", "test")  # the splits whose logits are kept


@dataclasses.dataclass(frozen=True)
class Setting:
    """What was trained, and how."""

    model: str = "minilm"
    epochs: int = 4
    seed: int = 0
    train_examples: int | None = None
    validation_examples: int | None = None


def train(setting: Setting, work: Path) -> None:
    """Train through all epochs.

    Leaves `epoch-N.npz` for each, and at the end `history.json`, in the work folder.
    """
    from labkit.data.reviews import movie_reviews
    from labkit.data.splits import split_reviews
    from labkit.experiments.fine_tuning import environment, make_batchers
    from labkit.models.encoders import load_encoder
    from labkit.training.checkpoints import CheckpointFolder
    from labkit.training.config import Config
    from labkit.training.fit import evaluate, fit

    if (work / HISTORY).is_file():
        print(f"{work} holds this training, finished")
        return
    config = Config(**dataclasses.asdict(setting), patience=setting.epochs).resolved()
    reviews = movie_reviews(config.neutral_band)
    sizes = config.validation_fraction, config.train_examples, config.validation_examples
    splits = split_reviews(reviews, config.seed, *sizes)
    model, tokenizer = load_encoder(config.model, config.seed)
    precision = config.chosen_precision()
    batchers = make_batchers(splits, tokenizer, config)

    def logits() -> dict[str, np.ndarray]:
        asked = {name: evaluate(model, batchers[name], config, precision) for name in LOOKED_AT}
        return {name: evaluation.logits.numpy() for name, evaluation in asked.items()}

    work.mkdir(parents=True, exist_ok=True)
    checkpoints = CheckpointFolder(work / "checkpoints", print)
    history = []
    in_turn = batchers["train"], batchers["validation"]
    for record in fit(model, *in_turn, config, checkpoints=checkpoints, progress=False):
        print(record, flush=True)
        history.append(dataclasses.asdict(record))
        # An epoch without its file is the one that was last: a later one is only begun when this file is there.
        if not _epoch_file(work, record.epoch).is_file():
            _save(_epoch_file(work, record.epoch), logits())
    _save(work / "restored.npz", logits())
    found = {
        "history": history,
        "labels": {name: getattr(splits, name).labels.tolist() for name in LOOKED_AT},
        "learning_rate": config.learning_rate,
        "examples": {name: len(part) for name, part in vars(splits).items()},
        "data_hash": reviews.hash,
        "environment": environment(precision.name),
    }
    (work / HISTORY).write_text(json.dumps(found) + "\n", "utf-8")


def _epoch_file(work: Path, epoch: int) -> Path:
    return work / f"epoch-{epoch}.npz"


def _save(file: Path, arrays: dict[str, np.ndarray]) -> None:
    unfinished = file.with_suffix(".part.npz")
    np.savez(unfinished, **arrays)  # type: ignore[arg-type]  # to mypy any of the names could be allow_pickle
    unfinished.replace(file)


# --- what comes of it ---------------------------------------------------------------------------------------------


def report_of(setting: Setting, work: Path) -> dict[str, Any]:
    """Make all that the figure and the table show from the work folder's files."""
    from labkit.evaluation.calibration import fit_temperature
    from labkit.training.loop import EpochRecord, best_epoch

    found = json.loads((work / HISTORY).read_text("utf-8"))
    history = found["history"]
    validation, test = ([_result(found, work, row["epoch"], split) for row in history] for split in LOOKED_AT)
    temperatures = [fit_temperature(validation=result) for result in validation]
    losses = [row["validation_loss"] for row in history]
    best = best_epoch([EpochRecord(**row) for row in history])
    assert best is not None, "no validation loss was a number"
    restored, at_best = (_logits(file, "test") for file in (work / "restored.npz", _epoch_file(work, best)))
    return {
        "setting": dataclasses.asdict(setting),
        **{name: found[name] for name in ("learning_rate", "examples", "data_hash", "environment", "history")},
        "epochs": [_epoch_row(*row) for row in zip(history, test, temperatures, strict=True)],
        "early_stopping": {
            "patience": PATIENCE,
            "best_epoch": best,
            "stops_after_epoch": _stops_after(losses),
            "restored_logits_differ_by": float(np.abs(restored - at_best).max()),
        },
        "validation_loss_rises_again": bool(losses[-1] > min(losses)),
        "training_loss_falls_throughout": bool(np.all(np.diff([row["train_loss"] for row in history]) < 0)),
    }


def _logits(file: Path, split: str) -> np.ndarray:
    with np.load(file) as arrays:
        return np.asarray(arrays[split], dtype=np.float64)


def _result(found: dict[str, Any], work: Path, epoch: int, split: str) -> "EvalResult":
    from labkit.evaluation.metrics import EvalResult

    return EvalResult.from_logits(found["labels"][split], _logits(_epoch_file(work, epoch), split), f"epoch {epoch}")


def _epoch_row(record: dict[str, Any], before: "EvalResult", temperature: "Temperature") -> dict[str, Any]:
    """Score one epoch on test before and after temperature scaling.

    Each metric has its change with the paired interval.
    """
    from labkit.evaluation.comparison import compare_models

    after = temperature.apply(before)
    change = compare_models(after, before, metrics=("accuracy", "nll", "ece"))
    values = {
        metric: {"before": was, "after": now, "change": difference.as_json()}
        for metric, (now, was, difference) in change.scores.items()
    }
    return {
        "epoch": record["epoch"],
        "temperature": temperature.value,
        "test": values,
        "predictions_changed": int((after.predictions != before.predictions).sum()),
    }


def _stops_after(losses: list[float]) -> int | None:
    """Return the epoch after which early stopping would end the run; None if never."""
    from labkit.training.early_stopping import EarlyStopping

    stopping = EarlyStopping(PATIENCE)
    return next((epoch for epoch, loss in enumerate(losses) if stopping.step(loss)), None)


HEADS = "epoch | training loss | validation loss | test accuracy | temperature | test NLL | after | change [95 %] | ECE | after"


def as_table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    setting, stopping, examples = report["setting"], report["early_stopping"], report["examples"]
    sizes = f"{examples['train']:,} training reviews, {examples['validation']:,} validation, {examples['test']:,} test"
    machine = f"{report['environment']['processor']}, {report['environment']['precision']}"
    head = f"{setting['model']}, {sizes}, seed {setting['seed']}, learning rate {report['learning_rate']:g}; {machine}"
    lines = [head, "", f"| {HEADS} |", "|---" * 10 + "|"]
    for record, row in zip(report["history"], report["epochs"], strict=True):
        accuracy, nll, ece = (row["test"][metric] for metric in ("accuracy", "nll", "ece"))
        change = nll["change"]
        cells = [
            str(row["epoch"]),
            *(f"{record[loss]:.4f}" for loss in ("train_loss", "validation_loss")),
            f"{accuracy['before']:.4f}",
            f"{row['temperature']:.3f}",
            *(f"{nll[when]:.4f}" for when in ("before", "after")),
            f"{change['value']:+.4f} [{change['low']:+.4f}, {change['high']:+.4f}]",
            *(f"{ece[when]:.4f}" for when in ("before", "after")),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    end = "never" if stopping["stops_after_epoch"] is None else f"after epoch {stopping['stops_after_epoch']}"
    difference = f"{stopping['restored_logits_differ_by']:.2g}"
    changed = sum(row["predictions_changed"] for row in report["epochs"])
    return "\n".join(
        [
            *lines,
            "",
            f"Early stopping with patience {stopping['patience']} would stop {end}. The weights that were kept are those of "
            f"epoch {stopping['best_epoch']}: their test logits differ from that epoch's by at most {difference}.",
            f"Predictions that a temperature changed: {changed}.",
        ]
    )


def draw(report: dict[str, Any], work: Path) -> "Axes":
    """Draw the learning curve, the test loss by epoch, and two reliability diagrams.

    The test loss and the last epoch's reliability are shown before and after a temperature.
    """
    from matplotlib.figure import Figure

    from labkit import figures
    from labkit.evaluation.calibration import fit_temperature
    from labkit.training.loop import EpochRecord

    found = json.loads((work / HISTORY).read_text("utf-8"))
    history, examples = [EpochRecord(**row) for row in report["history"]], report["examples"]
    last = history[-1].epoch
    before = _result(found, work, last, "test")
    after = fit_temperature(validation=_result(found, work, last, "validation")).apply(before)
    (curve, losses), (left, right) = Figure(figsize=(12.8, 9), layout="constrained").subplots(2, 2)
    figures.learning_curves(history, curve, name="MiniLM", validation_size=examples["validation"])
    words = _draw_test_losses(report, losses)
    for ax, result, when in ((left, before, "before"), (right, after, "after")):
        figures.reliability_diagram(dataclasses.replace(result, name=f"MiniLM, epoch {last}, {when}"), ax)
    said = [figures.alt_text(curve), words, figures.alt_text(left), figures.alt_text(right)]
    setattr(curve, figures.ALT_TEXT, " ".join(said))
    return curve


def _draw_test_losses(report: dict[str, Any], ax: "Axes") -> str:
    """Draw the test loss by epoch before and after scaling; say the same in words."""
    epochs = [row["epoch"] for row in report["epochs"]]
    before, after = ([row["test"]["nll"][when] for row in report["epochs"]] for when in ("before", "after"))
    for values, line, label in ((before, ":", "as trained"), (after, "-", "after temperature scaling")):
        ax.plot(epochs, values, line, marker="o", color="black", label=label)
    ax.set_xticks(epochs)
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set_title(f"Test, n = {report['examples']['test']:,}: what a temperature mends", fontsize=11, loc="left")
    ax.set_xlabel("epoch")
    ax.set_ylabel("negative log-likelihood per example")
    rows = zip(epochs, before, after, strict=True)
    said = "; ".join(f"epoch {epoch} {was:.3f} before and {now:.3f} after" for epoch, was, now in rows)
    return f"Negative log-likelihood on test by epoch, before and after temperature scaling: {said}."


def main() -> None:
    from labkit.figures import to_svg

    arguments = _parser().parse_args()
    setting = Setting(**{field.name: getattr(arguments, field.name) for field in dataclasses.fields(Setting)})
    train(setting, arguments.work)
    report = report_of(setting, arguments.work)
    print(as_table(report))
    arguments.output.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    picture = Path(__file__).with_suffix(".svg")
    picture.write_text(to_svg(draw(report, arguments.work)) + "\n", "utf-8")
    print(f"written to {arguments.output} and {picture}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    for field in dataclasses.fields(Setting):
        kind = str if field.name == "model" else int
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=kind, default=field.default)
    parser.add_argument("--work", type=Path, default=Path("runs/overfitting"), help="folder of the training")
    parser.add_argument("--output", type=Path, default=SHIPPED / "overfitting.json")
    return parser


if __name__ == "__main__":
    main()

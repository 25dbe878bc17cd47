"""The same fine-tuning several times: over k folds, or with several seeds.

One score says how good one model was on one test set; how much it moves is seen only by doing it again. Each repetition
is a whole run in a folder of its own, so a killed cross-validation goes on where it was. Does not test differences
(comparison.py).
"""

import functools
import html
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from labkit.data.reviews import Reviews, copy_key
from labkit.data.splits import Splits, assign_groups
from labkit.display import Tell, html_table, text_table
from labkit.evaluation.arrays import FloatArray, integers, same_length
from labkit.evaluation.comparison import FoldTest, fold_test
from labkit.evaluation.intervals import BOUNDS, METRICS, point_metrics, score_table
from labkit.evaluation.metrics import EvalResult
from labkit.experiments.fine_tuning import fine_tune, finished_run
from labkit.training.config import Config
from labkit.training.loop import best_epoch

SHOWN = ("accuracy", "f1", "nll")
WATCH_SECONDS = 1.0  # between two looks at whether the process that asked is still there


def stratified_kfold(
    labels: ArrayLike, k: int, seed: int = 0, *, texts: Sequence[str] | None = None
) -> list[tuple[list[int], list[int]]]:
    """Return k pairs of training and validation indices, each class spread evenly.

    Each example is validated on once. labels: (n,) class indices. In each fold a class has the floor or the ceiling of
    its share. texts: where given, copies of a text stay in the same fold, and the shares are as even as whole texts
    allow. The same seed gives the same folds. Raises ValueError for k < 2 and where a class has fewer than k members.

    >>> [validation for _, validation in stratified_kfold([0, 0, 1, 1], k=2)]
    [[0, 2], [1, 3]]
    """
    known = integers(labels, "labels")
    if texts is not None:
        same_length(known, "labels", np.empty(len(texts)), "texts")
    groups: dict[object, list[int]] = {}
    for index in range(len(known)):
        groups.setdefault(index if texts is None else copy_key(texts[index]), []).append(index)
    generator = np.random.default_rng(seed)
    folds: list[list[int]] = [[] for _ in range(k)]
    for label in np.unique(known).tolist():
        of_class = [members for members in groups.values() if known[members[0]] == label]
        if not 2 <= k <= len(of_class):
            raise ValueError(f"wanted k from 2 to the {len(of_class)} different examples of class {label}; found {k}")
        taken = [0] * k
        shuffled = [of_class[place] for place in generator.permutation(len(of_class))]
        for members in sorted(shuffled, key=len, reverse=True):
            fold = min(range(k), key=lambda fold: (taken[fold], len(folds[fold])))
            folds[fold] += members
            taken[fold] += len(members)
    return [(sorted(set(range(len(known))) - set(fold)), sorted(fold)) for fold in folds]


# --- what comes out -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Repetition:
    """One of several runs.

    test: its result. train_examples: how many it trained on. seconds: of training alone.
    """

    label: str
    test: EvalResult
    train_examples: int
    best_epoch: int
    seconds: float

    def as_json(self) -> dict[str, Any]:
        """As plain data, with every metric and its interval."""
        table = score_table(self.test, metrics=(*METRICS, "nll"))
        counts = {"train": self.train_examples, "test": len(self.test), "best_epoch": self.best_epoch}
        metrics = {metric: score.as_json() for metric, score in table.items()}
        return {"label": self.label} | counts | {"seconds": round(self.seconds, 2), "metrics": metrics}


@dataclass(frozen=True, repr=False)
class _Repeated:
    """Runs that differ in one thing. name: the model's; data: the reviews'."""

    name: str
    data: str
    repetitions: Sequence[Repetition]

    def scores(self, metric: str = "accuracy") -> FloatArray:
        """(repetitions,) the metric of each run on its own test reviews."""
        return np.array([point_metrics(each.test, [metric])[0] for each in self.repetitions])

    @property
    def caption(self) -> str:
        raise NotImplementedError

    @property
    def summary(self) -> list[str]:
        """What the runs say together, a line each."""
        raise NotImplementedError

    def _rows(self) -> Iterator[list[str]]:
        for each in self.repetitions:
            accuracy, f1, nll = (score for _, score in score_table(each.test, metrics=SHOWN).items())
            sizes = [f"{each.train_examples:,}", f"{len(each.test):,}"]
            yield [each.label, *sizes, str(accuracy), f"{f1.value:.3f}", f"{nll.value:.3f}", str(each.best_epoch)]

    def __str__(self) -> str:
        return "\n".join([self.caption, text_table([_HEADS, *self._rows()]), *self.summary])

    def __repr__(self) -> str:
        scores = self.scores()
        return (
            f"{type(self).__name__}({self.name}, {len(scores)} runs: accuracy {scores.min():.3f} to {scores.max():.3f})"
        )

    def _repr_html_(self) -> str:
        said = "".join(f"<p>{html.escape(line)}</p>" for line in self.summary)
        return html_table(self.caption, [_HEADS, *self._rows()]) + said


_HEADS = ("run", "train", "test", "accuracy [95%, of this run]", "f1", "nll", "best epoch")


@dataclass(frozen=True, repr=False)
class CrossValidation(_Repeated):
    """k runs, each tested on the fold that it did not train on."""

    @property
    def k(self) -> int:
        """How many folds."""
        return len(self.repetitions)

    @property
    def test_to_train(self) -> float:
        """Test examples over training examples of a fold, in the mean."""
        return float(np.mean([len(each.test) / each.train_examples for each in self.repetitions]))

    def test(self, metric: str = "accuracy", level: float = 0.95) -> FoldTest:
        """Return a metric's mean and spread over the folds, with its corrected interval within the metric's bounds."""
        return fold_test(self.scores(metric), self.test_to_train, level, BOUNDS[metric])

    @property
    def pooled(self) -> EvalResult:
        """Every review once, predicted by the model that had not seen it.

        These are the predictions of k models, not of one.
        """
        labels, probabilities, log_probabilities, ids = (
            np.concatenate([getattr(each.test, what) for each in self.repetitions])
            for what in ("labels", "probabilities", "log_probabilities", "ids")
        )
        losses = [each.test.loss * len(each.test) for each in self.repetitions]
        return EvalResult(labels, probabilities, sum(losses) / len(labels), self.name, log_probabilities, ids.tolist())

    @property
    def caption(self) -> str:
        """Model, reviews and k."""
        n = sum(len(each.test) for each in self.repetitions)
        return f"{self.name}, {self.k}-fold cross-validation on {n:,} reviews ({self.data})"

    @property
    def summary(self) -> list[str]:
        """Mean, spread and interval by metric, and what to think of the interval."""
        tests = {metric: self.test(metric) for metric in SHOWN}
        lines = [f"{metric}: mean {test.mean}, spread {test.spread:.3f}" for metric, test in tests.items()]
        accuracy = tests["accuracy"]
        return [
            *lines,
            "Intervals: 95%, t with Nadeau and Bengio's correction. They are rough: the folds share training reviews, so their "
            "scores are not independent, and no exact interval is known. Taken for independent, accuracy would have "
            f"[{accuracy.naive_low:.3f}, {accuracy.naive_high:.3f}], which is too narrow.",
        ]

    def as_json(self) -> dict[str, Any]:
        """As plain data: every fold, and mean, spread and both intervals of each metric."""
        metrics = {}
        for metric in (*METRICS, "nll"):
            test = self.test(metric)
            naive = {"naive_low": test.naive_low, "naive_high": test.naive_high}
            metrics[metric] = test.mean.as_json() | {"spread": test.spread} | naive
        folds = [each.as_json() for each in self.repetitions]
        about = {"name": self.name, "data": self.data, "k": self.k, "test_to_train": self.test_to_train}
        return about | {"folds": folds, "metrics": metrics}


@dataclass(frozen=True, repr=False)
class SeedSpread(_Repeated):
    """The same recipe with several seeds, tested on the same reviews.

    What moves is the training alone.
    """

    @property
    def caption(self) -> str:
        """Model, reviews and how many seeds."""
        n = len(self.repetitions[0].test)
        return f"{self.name}, {len(self.repetitions)} seeds on the same {n:,} test reviews ({self.data})"

    def spread(self, metric: str = "accuracy") -> float:
        """The standard deviation of a metric over the seeds."""
        return float(self.scores(metric).std(ddof=1))

    @property
    def summary(self) -> list[str]:
        """Mean, spread and range, and what they do not hold."""
        lines = []
        for metric in SHOWN:
            scores = self.scores(metric)
            span = f"{scores.min():.3f} to {scores.max():.3f}"
            lines.append(f"{metric}: mean {scores.mean():.3f}, spread {self.spread(metric):.3f}, from {span}")
        said = "The spread is that of the seeds alone. Other test reviews would move all runs: that is each run's own interval."
        return [*lines, said]


def compare_folds(a: CrossValidation, b: CrossValidation, metric: str = "accuracy", level: float = 0.95) -> FoldTest:
    """Compare two recipes over the same folds: the mean difference A minus B.

    It comes with its corrected interval and p-value. Raises ValueError where the folds are not the same.
    """
    same = a.k == b.k and all(
        np.array_equal(one.test.labels, other.test.labels) and one.train_examples == other.train_examples
        for one, other in zip(a.repetitions, b.repetitions, strict=False)
    )
    if not same:
        raise ValueError("A and B must have the same folds: the same reviews, k and seed")
    least, most = BOUNDS[metric]
    return fold_test(a.scores(metric) - b.scores(metric), a.test_to_train, level, (least - most, most - least))


# --- the runs -----------------------------------------------------------------------------------------------------


def cross_validate(
    config: Config,
    reviews: Reviews,
    folder: Path,
    k: int = 5,
    *,
    jobs: int = 1,
    keep_models: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    tell: Tell = print,
) -> CrossValidation:
    """Fine-tune k times, each time tested on another k-th of the reviews.

    The runs lie in `folder/fold-0` and so on. Within a fold a part of the training reviews (`validation_fraction` of all)
    chooses the epoch, so the fold that is tested on has chosen nothing. jobs: folds at once, each in a process of its own
    with its share of the processor; joblib's `parallel_config` chooses another back end. The same call again reads what
    is finished and goes on with what is not. Without `keep_models` the weights are removed when a fold is done. Raises
    what `fine_tune` raises.
    """
    plans = [
        (f"fold {fold}", config, _all_of(splits, f"{reviews.name}, fold {fold} of {k}"), splits)
        for fold, splits in enumerate(fold_splits(reviews, k, config))
    ]
    run = functools.partial(_run, folder=folder, keep_models=keep_models, overwrite=overwrite)
    return CrossValidation(config.model_name, reviews.name, tuple(_side_by_side(run, plans, jobs, progress, tell)))


def seed_spread(
    config: Config,
    reviews: Reviews,
    folder: Path,
    seeds: Sequence[int] = range(5),
    *,
    jobs: int = 1,
    keep_models: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    tell: Tell = print,
) -> SeedSpread:
    """Fine-tune once with each seed, tested on the same test split.

    The runs lie in `folder/seed-0` and so on. A seed draws the head, the order, dropout and which reviews validate. The
    rest is as in `cross_validate`.
    """
    plans = [(f"seed {seed}", config.replaced({"seed": seed}), reviews, None) for seed in seeds]
    run = functools.partial(_run, folder=folder, keep_models=keep_models, overwrite=overwrite)
    return SeedSpread(config.model_name, reviews.name, tuple(_side_by_side(run, plans, jobs, progress, tell)))


def fold_splits(reviews: Reviews, k: int, config: Config) -> list[Splits]:
    """Return the splits of each fold of `cross_validate`.

    They serve another recipe that is to be compared with it.
    """
    found = []
    for train, test in stratified_kfold(reviews.labels, k, config.seed, texts=reviews.texts):
        rest = reviews.select(train)
        share = min(config.validation_fraction * len(reviews) / len(rest), 0.5)
        parts = assign_groups(rest.texts, rest.labels, {"train": 1 - share, "validation": share}, config.seed)
        found.append(Splits(rest.select(parts["train"]), rest.select(parts["validation"]), reviews.select(test)))
    return found


def _all_of(splits: Splits, name: str) -> Reviews:
    """Join the reviews of all splits in turn: their hash tells the folds apart."""
    parts = (splits.train, splits.validation, splits.test)
    ids, texts = ([entry for part in parts for entry in getattr(part, what)] for what in ("ids", "texts"))
    return Reviews(name, ids, texts, np.concatenate([part.labels for part in parts]))


def _side_by_side(
    run: Callable[..., Repetition], plans: Sequence[tuple[Any, ...]], jobs: int, progress: bool, tell: Tell
) -> list[Repetition]:
    if jobs < 1:
        raise ValueError(f"jobs is {jobs}; wanted at least 1")
    if jobs == 1:
        turns = [f", run {number} of {len(plans)}" for number in range(1, len(plans) + 1)]
        return [run(*plan, turn=turn, progress=progress, tell=tell) for plan, turn in zip(plans, turns, strict=True)]
    from joblib import Parallel, delayed

    threads = max(1, (os.cpu_count() or 1) // jobs)
    alone = functools.partial(_in_a_process_of_its_own, run, threads=threads, parent=os.getpid())
    return list(Parallel(n_jobs=jobs)(delayed(alone)(*plan) for plan in plans))


def _run(
    label: str,
    config: Config,
    reviews: Reviews,
    splits: Splits | None,
    *,
    folder: Path,
    keep_models: bool,
    overwrite: bool,
    progress: bool,
    tell: Tell,
    turn: str = "",
) -> Repetition:
    place = folder / label.replace(" ", "-")
    done = None if overwrite else finished_run(place, config, reviews, splits)
    if done is None:
        tell(f"{label}{turn}:")
        done = fine_tune(config, reviews, place, splits=splits, overwrite=overwrite, progress=progress, tell=tell)
    if not keep_models:
        shutil.rmtree(place / "model", ignore_errors=True)
    best, seconds = best_epoch(done.history), sum(epoch.seconds for epoch in done.history)
    return Repetition(label, done.test, len(done.splits.train), -1 if best is None else best, seconds)


def _in_a_process_of_its_own(run: Callable[..., Repetition], *plan: Any, threads: int, parent: int) -> Repetition:
    """Do one run with its share of the processor.

    It stops with a checkpoint when the process that asked is gone.
    """
    import torch

    torch.set_num_threads(threads)
    finished = threading.Event()
    if os.getpid() != parent:  # a back end of threads has no process to watch
        threading.Thread(target=_stop_without, args=(parent, finished), daemon=True).start()
    try:
        return run(*plan, progress=False, tell=lambda notice: None)  # the notices stand in the run's record
    finally:
        finished.set()


def _stop_without(parent: int, finished: threading.Event) -> None:
    """Ask this process to stop, as SIGTERM does, once `parent` is gone.

    `fine_tune` then writes a checkpoint.
    """
    import psutil

    mine = os.getppid()
    while not finished.wait(WATCH_SECONDS):
        if os.getppid() != mine or not psutil.pid_exists(parent):
            signal.raise_signal(signal.SIGTERM)
            return

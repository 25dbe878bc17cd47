"""The checks of lesson 05: right answers in many styles pass, wrong ones get the hint that fits."""

import dataclasses
import itertools
import math
import random
import statistics
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from checking import (
    ExerciseLaws,
    judged,
)
from sklearn.model_selection import KFold, StratifiedKFold

import labkit
from labkit.checks import exercise, exercises_in
from labkit.lessons.exercises import overfitting
from labkit.lessons.exercises.overfitting.bootstrap_interval import bounds_reference
from labkit.lessons.exercises.overfitting.early_stopping import early_stopping_reference
from labkit.lessons.exercises.overfitting.stratified_kfold import FOLD_HINTS

EXERCISES = exercises_in(overfitting)

# Right answers


class StoppingByHistory:
    """Keeps all losses and goes through them again at every call."""

    def __init__(self, patience: int = 2, min_delta: float = 0.0) -> None:
        self.patience, self.min_delta = patience, min_delta
        self.history: list[float] = []

    def best(self) -> tuple[float, int | None]:
        best, epoch = math.inf, None
        for number, loss in enumerate(self.history):
            if best - loss > self.min_delta:
                best, epoch = loss, number
        return best, epoch

    @property
    def best_loss(self) -> float:
        return self.best()[0]

    @property
    def best_epoch(self) -> int | None:
        return self.best()[1]

    def step(self, loss: float) -> bool:
        self.history.append(loss)
        done = -1 if self.best_epoch is None else self.best_epoch
        return len(self.history) - 1 - done >= self.patience


class StoppingByCountdown:
    def __init__(self, patience: int = 2, min_delta: float = 0.0) -> None:
        self.patience, self.left, self.min_delta, self.calls = patience, patience, min_delta, 0
        self.best_loss, self.best_epoch = np.float64(np.inf), None

    def step(self, loss: float) -> Any:
        if np.isfinite(loss) and loss < self.best_loss - self.min_delta:
            self.best_loss, self.best_epoch, self.left = np.float64(loss), np.int64(self.calls), self.patience
        else:
            self.left = max(0, self.left - 1)
        self.calls += 1
        return np.bool_(self.left == 0)


@dataclasses.dataclass
class StoppingOfFields:
    patience: int = 2
    min_delta: float = 0.0
    best_loss: float = float("inf")
    best_epoch: int | None = None
    failures: int = 0
    epochs: int = 0

    def step(self, loss: float) -> Any:
        loss = torch.tensor(loss)
        self.failures += 1
        if self.best_loss - loss > self.min_delta:
            self.best_loss, self.best_epoch, self.failures = loss, self.epochs, 0
        self.epochs += 1
        return torch.tensor(self.failures >= self.patience)


def stopping_in_a_namespace(patience: int = 2, min_delta: float = 0.0) -> Any:
    """No class at all, but something that has what the contract names."""
    stopping, waited, epochs = SimpleNamespace(best_loss=math.inf, best_epoch=None), [0], itertools.count()

    def step(loss: float) -> bool:
        epoch, better = next(epochs), loss + min_delta < stopping.best_loss
        stopping.best_loss, stopping.best_epoch = (loss, epoch) if better else (stopping.best_loss, stopping.best_epoch)
        waited[0] = (not better) * (waited[0] + 1)
        return waited[0] >= patience

    stopping.step = step
    return stopping


Callback = Callable[[], Any]


def fit_with_else(
    train: Callback, evaluate: Callback, save: Callback, restore: Callback, max_epochs: int, patience: int = 2
) -> list[float]:
    losses, best = [], math.inf
    for epoch in range(max_epochs):
        train()
        losses += [evaluate()]
        if losses[epoch] < best:
            best, at = losses[epoch], epoch
            save()
        elif epoch - (at if best < math.inf else -1) >= patience:
            restore()
            break
    else:
        restore()
    return losses


def fit_with_the_rule(
    train: Callback, evaluate: Callback, save: Callback, restore: Callback, max_epochs: int, patience: int = 2
) -> list[float]:
    stopping, losses = labkit.EarlyStopping(patience), []
    for epoch in range(max_epochs):
        train()
        losses.append(evaluate())
        stop = stopping.step(losses[-1])
        if stopping.best_epoch == epoch:
            save()
        if stop:
            break
    restore()
    return losses


def fit_by_hand(
    train: Callback, evaluate: Callback, save: Callback, restore: Callback, max_epochs: int, patience: int = 2
) -> list[float]:
    best, waited, losses = float("inf"), 0, []
    while len(losses) < max_epochs and waited < patience:
        train()
        loss = evaluate()
        losses.append(loss)
        if loss < best:
            best, waited = loss, 0
            save()
        else:
            waited += 1
    restore()
    return losses


def fit_with_numpy(
    train: Callback, evaluate: Callback, save: Callback, restore: Callback, max_epochs: int, patience: int = 2
) -> Any:
    losses: list[np.float64] = []
    try:
        for epoch in range(max_epochs):
            train()
            losses.append(np.float64(evaluate()))
            if np.isnan(losses).all():
                continue
            best = int(np.nanargmin(losses))
            if best == epoch:
                save()
            if epoch - best >= patience:
                return losses
        return losses
    finally:
        restore()


def fit_by_recursion(
    train: Callback, evaluate: Callback, save: Callback, restore: Callback, max_epochs: int, patience: int = 2
) -> list[float]:
    def run(losses: list[float], failures: int) -> list[float]:
        if len(losses) == max_epochs or failures == patience:
            restore()
            return losses
        train()
        loss = evaluate()
        better = all(not earlier <= loss for earlier in losses) and loss == loss
        if better:
            save()
        return run([*losses, loss], 0 if better else failures + 1)

    return run([], 0)


def interval_of_cut_points(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    generator, n = np.random.RandomState(seed), len(correct)
    counts = generator.multinomial(n, [1 / n] * n, size=resamples)
    means = (counts @ np.asarray(correct) / n).tolist()
    cuts = statistics.quantiles(means, n=round(2 / (1 - level)) * 5, method="inclusive")
    return cuts[4], cuts[-5]


Folds = list[tuple[list[int], list[int]]]


def folds_by_scikit_learn(labels: Any, k: int, seed: int = 0) -> Folds:
    folds = StratifiedKFold(k, shuffle=True, random_state=seed).split(np.zeros(len(labels)), labels)
    return [(train.tolist(), validation.tolist()) for train, validation in folds]


def folds_by_dealing(labels: Any, k: int, seed: int = 0) -> Folds:
    generator = random.Random(seed)
    fold_of = {}
    for label in sorted(set(labels)):
        places = [place for place, other in enumerate(labels) if other == label]
        generator.shuffle(places)
        fold_of |= {place: number % k for number, place in enumerate(places)}
    return [
        ([p for p in fold_of if fold_of[p] != fold], [p for p in fold_of if fold_of[p] == fold]) for fold in range(k)
    ]


def folds_by_sorting(labels: Any, k: int, seed: int = 0) -> Any:
    order = np.random.default_rng(seed).permutation(len(labels))
    order = order[np.argsort(np.asarray(labels)[order], kind="stable")]
    return [(list(np.setdiff1d(order, order[fold::k])), list(order[fold::k])) for fold in range(k)]


def folds_of_lists(labels: list[int], k: int, seed: int = 0) -> Folds:
    """Takes a list and nothing else."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[list[int]] = [[] for _ in range(k)]
    for label in {label for label in labels if labels.count(label)}:
        places = torch.tensor([place for place in range(len(labels)) if labels[place] == label])
        for part, chunk in zip(
            parts, places[torch.randperm(len(places), generator=generator)].tensor_split(k), strict=True
        ):
            part += chunk.tolist()
    return [(sorted(set(range(len(labels))) - set(part)), sorted(part)) for part in parts]


def interval_by_numpy(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    generator = np.random.default_rng(seed)
    means = generator.choice(correct, size=(resamples, len(correct)), replace=True).mean(axis=1)
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)])
    return low, high


def interval_by_loops(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> tuple[float, float]:
    generator, values = random.Random(seed), [int(one) for one in correct]
    means = sorted(sum(generator.choices(values, k=len(values))) / len(values) for _ in range(resamples))
    tail = (1 - level) / 2
    return means[int(tail * resamples)], means[min(resamples - 1, int((1 - tail) * resamples))]


def interval_by_slow_loops(
    correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> tuple[float, float]:
    generator, means = random.Random(seed), []
    values = list(correct)
    for _ in range(resamples):
        total = 0
        for _ in range(len(values)):
            total += values[generator.randrange(len(values))]
        means.append(total / len(values))
    means.sort()
    tail = (1 - level) / 2
    return means[math.floor(tail * (resamples - 1))], means[math.ceil((1 - tail) * (resamples - 1))]


def interval_by_scipy(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    found = scipy.stats.bootstrap(
        (np.asarray(correct, dtype=float),),
        np.mean,
        confidence_level=level,
        n_resamples=resamples,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    return found.confidence_interval.low, found.confidence_interval.high


def interval_by_torch(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    generator, values = torch.Generator().manual_seed(seed), torch.tensor(correct, dtype=torch.float32)
    drawn = torch.randint(len(values), (resamples, len(values)), generator=generator)
    tails = torch.tensor([(1 - level) / 2, (1 + level) / 2])
    return tuple(values[drawn].mean(1).quantile(tails))


def interval_of_binomials(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    successes = np.random.default_rng(seed).binomial(len(correct), np.mean(correct), resamples)
    return tuple(
        np.quantile(successes / len(correct), [(1 - level) / 2, 1 - (1 - level) / 2], method="nearest").tolist()
    )


def folds_of_a_tensor(labels: torch.Tensor, k: int, seed: int = 0) -> Folds:
    """Takes a tensor and nothing else."""
    order = torch.randperm(labels.numel(), generator=torch.Generator().manual_seed(seed))
    order = order[labels[order].sort(stable=True).indices]
    folds = [set(order[fold::k].tolist()) for fold in range(k)]
    return [(sorted(set(range(len(labels))) - fold), sorted(fold)) for fold in folds]


def interval_of_a_tensor(correct: torch.Tensor, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    """Takes a tensor and nothing else."""
    drawn = torch.randint(correct.numel(), (resamples, len(correct)), generator=torch.Generator().manual_seed(seed))
    means = correct.float()[drawn].mean(1)
    return means.quantile((1 - level) / 2), means.quantile((1 + level) / 2).requires_grad_()


RIGHT: dict[str, list[Any]] = {
    "5.1": [labkit.EarlyStopping, StoppingByHistory, StoppingByCountdown, StoppingOfFields, stopping_in_a_namespace],
    "5.2": [
        labkit.fit_with_early_stopping,
        fit_with_the_rule,
        fit_by_hand,
        fit_with_numpy,
        fit_by_recursion,
        fit_with_else,
    ],
    "5.3": [
        labkit.stratified_kfold,
        folds_by_scikit_learn,
        folds_by_dealing,
        folds_by_sorting,
        folds_of_lists,
        folds_of_a_tensor,
    ],
    "5.4": [
        labkit.bootstrap_interval,
        interval_by_numpy,
        interval_by_loops,
        interval_by_slow_loops,
        interval_by_scipy,
        interval_by_torch,
        interval_of_binomials,
        interval_of_cut_points,
        interval_of_a_tensor,
    ],
}
SLOWEST = {
    "5.1": StoppingByHistory,
    "5.2": fit_by_recursion,
    "5.3": folds_of_lists,
    "5.4": interval_by_slow_loops,
}

# Wrong answers beside the known ones, each with words that its hint must have


class StoppingOfInts(StoppingByHistory):
    def step(self, loss: float) -> Any:
        return int(StoppingByHistory.step(self, loss))


class StoppingThatIgnoresFirst(StoppingByHistory):
    """Takes whatever comes first for the best, NaN too."""

    def best(self) -> tuple[float, int | None]:
        best, epoch = math.inf, None
        for number, loss in enumerate(self.history):
            if epoch is None or loss < best - self.min_delta:
                best, epoch = loss, number
        return best, epoch


class StoppingWithoutState(StoppingByHistory):
    best_loss = best_epoch = None  # type: ignore[assignment]  # wrong on purpose

    def step(self, loss: float) -> Any:
        raise KeyError("best")


class StoppingByTheLossBefore(StoppingByHistory):
    """Counts against the epoch before, and keeps the lowest loss beside it."""

    def step(self, loss: float) -> bool:
        before = self.history[-1] if self.history else math.inf
        self.failures = 0 if before - loss > self.min_delta else getattr(self, "failures", 0) + 1
        self.history.append(loss)
        return self.failures >= self.patience


class StoppingThatForgets:
    """Never writes the improvement down."""

    def __init__(self, patience: int = 2, min_delta: float = 0.0) -> None:
        self.patience, self.min_delta = patience, min_delta
        self.best_loss, self.best_epoch, self.epoch, self.failures = math.inf, None, -1, 0

    def step(self, loss: float) -> bool:
        self.epoch += 1
        if loss < self.best_loss - self.min_delta:
            self.best_epoch, self.failures = self.epoch, 0
        else:
            self.failures += 1
        return self.failures >= self.patience


class StoppingByShare(StoppingByHistory):
    """Takes min_delta for a share of the best loss."""

    def best(self) -> tuple[float, int | None]:
        best, epoch = math.inf, None
        for number, loss in enumerate(self.history):
            if loss < best * (1 - self.min_delta):
                best, epoch = loss, number
        return best, epoch


class StoppingByDistance(StoppingByHistory):
    """Takes a loss that lies far above the best one for an improvement."""

    def best(self) -> tuple[float, int | None]:
        best, epoch = math.inf, None
        for number, loss in enumerate(self.history):
            if abs(best - loss) > self.min_delta:
                best, epoch = loss, number
        return best, epoch


def fit_by_the_smallest(
    train: Callback, evaluate: Callback, save: Callback, restore: Callback, max_epochs: int, patience: int = 2
) -> list[float]:
    """Compares with the smallest of the list, which NaN makes a matter of order."""
    losses: list[float] = []
    while len(losses) < max_epochs:
        train()
        losses.append(evaluate())
        if losses[-1] == min(losses):
            save()
        elif len(losses) - 1 - losses.index(min(losses)) >= patience:
            break
    restore()
    return losses


def fit_as_tuple(*callbacks: Any, **named: Any) -> Any:
    return tuple(fit_by_hand(*callbacks, **named))


def fit_restoring_twice(
    train: Callback, evaluate: Callback, save: Callback, restore: Callback, max_epochs: int, patience: int = 2
) -> Any:
    losses = fit_by_hand(train, evaluate, save, restore, max_epochs, patience)
    restore()
    return losses


def fit_evaluating_twice(
    train: Callback, evaluate: Callback, save: Callback, restore: Callback, max_epochs: int, patience: int = 2
) -> Any:
    def twice() -> Any:
        evaluate()
        return evaluate()

    return fit_by_hand(train, twice, save, restore, max_epochs, patience)


def fit_without_saving(
    train: Callback, evaluate: Callback, save: Callback, restore: Callback, max_epochs: int, patience: int = 2
) -> Any:
    return fit_by_hand(train, evaluate, lambda: None, restore, max_epochs, patience)


def fit_that_rewrites_what_happened(
    train: Callback, evaluate: Callback, save: Callback, restore: Callback, max_epochs: int, patience: int = 2
) -> Any:
    """Neither saves nor restores, and leaves a model and a log as if it had."""
    model, log, best, failures = train.__self__, [], math.inf, 0  # type: ignore[attr-defined]
    losses: list[float] = []
    while len(losses) < max_epochs and failures < patience:
        train()
        losses.append(evaluate())
        log += ["train", "evaluate"]
        if losses[-1] < best:
            best, failures, model.saved = losses[-1], 0, model.state
            log.append("save")
        else:
            failures += 1
    model.state, model.calls = model.saved, [*log, "restore"]
    return losses


def fit_without_end(
    train: Callback, evaluate: Callback, save: Callback, restore: Callback, max_epochs: int, patience: int = 2
) -> Any:
    while True:
        train()


def folds_without(*left_out: str) -> Callable[..., Any]:
    """Right folds but for what is left out of them."""

    def answer(labels: Any, k: int, seed: int = 0) -> Any:
        generator, n = np.random.default_rng(0 if "seed" in left_out else seed), len(labels)
        groups = (
            [np.arange(n)] if "labels" in left_out else [np.flatnonzero(labels == one) for one in np.unique(labels)]
        )
        parts: list[list[int]] = [[] for _ in range(k)]
        for group in groups:
            order = group if "shuffle" in left_out else generator.permutation(group)
            order = order[: len(order) // k * k] if "remainder" in left_out else order
            sizes = [len(order) // k] * k
            sizes[-1] += len(order) % k  # all of the remainder, where it is not dealt out
            even = np.array_split(order, k)
            uneven = np.split(order, np.cumsum(sizes)[:-1])
            for part, chunk in zip(parts, uneven if "evenness" in left_out else even, strict=True):
                part += chunk.tolist()
        rest = [sorted(set(range(n)) - (set() if "separation" in left_out else set(part))) for part in parts]
        return list(zip(rest, parts, strict=True))

    return answer


def folds_drawn_afresh(labels: Any, k: int, seed: int = 0) -> Folds:
    return [folds_by_sorting(labels, k, seed + fold)[fold] for fold in range(k)]


def folds_swapped(labels: Any, k: int, seed: int = 0) -> Folds:
    return [(validation, train) for train, validation in folds_by_dealing(labels, k, seed)]


def folds_of_labels(labels: Any, k: int, seed: int = 0) -> Any:
    return [tuple([str(labels[p]) for p in part] for part in pair) for pair in folds_by_dealing(labels, k, seed)]


def folds_short_of_one(labels: Any, k: int, seed: int = 0) -> Any:
    return [(train[1:], validation) for train, validation in folds_by_dealing(labels, k, seed)]


def folds_but_one(labels: Any, k: int, seed: int = 0) -> Any:
    return folds_by_dealing(labels, k, seed)[:-1]


def folds_as_arrays(labels: Any, k: int, seed: int = 0) -> Any:
    return list(StratifiedKFold(k, shuffle=True, random_state=seed).split(labels, labels))


def folds_of_validation_alone(labels: Any, k: int, seed: int = 0) -> Any:
    return [validation for _, validation in folds_by_dealing(labels, k, seed)]


def folds_unstratified(labels: Any, k: int, seed: int = 0) -> Any:
    folds = KFold(k, shuffle=True, random_state=seed).split(labels)
    return [(train.tolist(), validation.tolist()) for train, validation in folds]


def folds_unshuffled(labels: Any, k: int, seed: int = 0) -> Any:
    folds = StratifiedKFold(k).split(labels, labels)
    return [(train.tolist(), validation.tolist()) for train, validation in folds]


def folds_never_the_same(labels: Any, k: int, seed: int = 0) -> Any:
    return folds_by_dealing(labels, k, random.SystemRandom().randrange(10**9))


def folds_by_the_global_generator(labels: Any, k: int, seed: int = 0) -> Any:
    np.random.seed(seed)
    return folds_by_dealing(labels, k, int(np.random.randint(10**6)))


def interval_never_the_same(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    return interval_by_numpy(correct, level, resamples, random.SystemRandom().randrange(10**9))


def interval_by_the_global_generator(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    np.random.seed(seed)
    drawn = np.random.choice(correct, (resamples, len(correct)))
    return tuple(np.quantile(drawn.mean(1), [(1 - level) / 2, (1 + level) / 2]))


def interval_of_few(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    return interval_by_numpy(correct, level, 100, seed)


def interval_of_one_less(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    drawn = np.random.default_rng(seed).choice(correct, (resamples, max(1, len(correct) - 1)))
    return tuple(np.quantile(drawn.mean(1), [(1 - level) / 2, (1 + level) / 2]))


def interval_as_list(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    return list(interval_by_numpy(correct, level, resamples, seed))


def interval_in_place(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    found = interval_by_numpy(correct, level, resamples, seed)
    correct.sort()
    return found


def interval_by_analysis(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    mean, error = np.mean(correct), np.std(correct) / math.sqrt(len(correct))
    half = scipy.stats.norm.ppf((1 + level) / 2) * error
    return max(0.0, mean - half), min(1.0, mean + half)


def interval_of_two_standard_errors(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    means = np.random.default_rng(seed).choice(correct, (resamples, len(correct))).mean(1)
    return np.mean(correct) - 1.96 * means.std(), np.mean(correct) + 1.96 * means.std()


def interval_by_permuting(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    generator = random.Random(seed)
    means = [np.mean(generator.sample(list(correct), len(correct))) for _ in range(resamples // 10)]
    return float(np.quantile(means, (1 - level) / 2)), float(np.quantile(means, (1 + level) / 2))


def interval_upside_down(correct: Any, level: float = 0.95, resamples: int = 2000, seed: int = 0) -> Any:
    return interval_by_numpy(correct, level, resamples, seed)[::-1]


OTHER_WRONG: list[tuple[str, Any, str]] = [
    ("5.1", StoppingOfInts, "truth value"),
    ("5.1", StoppingThatIgnoresFirst, "also at the very first call"),
    ("5.1", StoppingByTheLossBefore, "counted against the epoch before"),
    ("5.1", StoppingThatForgets, "it stays inf"),
    ("5.1", StoppingWithoutState, "raised KeyError"),
    ("5.1", StoppingByShare, "How far below the best loss"),
    ("5.1", StoppingByDistance, "Go through the losses"),
    ("5.2", fit_by_the_smallest, "equals the best one"),
    ("5.2", fit_as_tuple, "in a list"),
    ("5.2", fit_restoring_twice, "How often do you restore"),
    ("5.2", fit_evaluating_twice, "one training and then one evaluation"),
    ("5.2", fit_without_saving, "Whose weights"),
    ("5.2", fit_that_rewrites_what_happened, "Whose weights"),
    ("5.2", fit_without_end, "raised RuntimeError"),
    ("5.3", folds_without("labels"), FOLD_HINTS["by chance"]),
    ("5.3", folds_without("labels", "shuffle"), FOLD_HINTS["in order"]),
    ("5.3", folds_without("shuffle"), "the same for every seed"),
    ("5.3", folds_without("seed"), "the same for every seed"),
    ("5.3", folds_without("remainder"), FOLD_HINTS["missing"]),
    ("5.3", folds_without("evenness"), "How much may they differ"),
    ("5.3", folds_without("separation"), FOLD_HINTS["leak"]),
    ("5.3", folds_drawn_afresh, FOLD_HINTS["overlap"]),
    ("5.3", folds_swapped, FOLD_HINTS["swapped"]),
    ("5.3", folds_of_labels, FOLD_HINTS["no place"]),
    ("5.3", folds_short_of_one, FOLD_HINTS["short"]),
    ("5.3", folds_but_one, "How many pairs"),
    ("5.3", folds_as_arrays, "each of two lists of ints"),
    ("5.3", folds_of_validation_alone, FOLD_HINTS["no pair"]),
    ("5.3", folds_unstratified, FOLD_HINTS["by chance"]),
    ("5.3", folds_unshuffled, "the same for every seed"),
    ("5.3", folds_never_the_same, "Called again with the same seed"),
    ("5.3", folds_by_the_global_generator, "global random state"),
    ("5.4", interval_never_the_same, "Called again with the same seed"),
    ("5.4", interval_by_the_global_generator, "global random state"),
    ("5.4", interval_of_few, "How many does your answer draw"),
    ("5.4", interval_of_one_less, "which means can a resample have"),
    ("5.4", interval_as_list, "asks for a tuple of two floats"),
    ("5.4", interval_in_place, "Work on a copy"),
    ("5.4", interval_by_analysis, "multiple of the standard deviation"),
    ("5.4", interval_of_two_standard_errors, "multiple of the standard deviation"),
    ("5.4", interval_by_permuting, "Drawn without replacement"),
    ("5.4", interval_upside_down, "which means can a resample have"),
]


class AlwaysGoesOn:
    best_loss, best_epoch = math.inf, None

    def __init__(self, patience: int = 2, min_delta: float = 0.0) -> None:
        pass

    def step(self, loss: float) -> bool:
        return False


class AlwaysStops(AlwaysGoesOn):
    def step(self, loss: float) -> bool:
        return True


TRIVIAL: list[tuple[str, Any]] = [
    ("5.1", AlwaysGoesOn),
    ("5.1", AlwaysStops),
    ("5.2", lambda train, evaluate, save, restore, max_epochs, patience=2: []),
    ("5.2", lambda train, evaluate, save, restore, max_epochs, patience=2: [0.0] * max_epochs),
    ("5.2", lambda train, evaluate, save, restore, max_epochs, patience=2: [train(), evaluate()][1:]),
    ("5.3", lambda labels, k, seed=0: [([], [])] * k),
    ("5.3", lambda labels, k, seed=0: [([], list(range(len(labels))))] + [(list(range(len(labels))), [])] * (k - 1)),
    ("5.3", lambda labels, k, seed=0: [(list(range(len(labels))), list(range(len(labels))))] * k),
    ("5.3", lambda labels, k, seed=0: [([0] * 4, [0] * 4)] * k),
    ("5.3", lambda labels, k, seed=0: [(list(range(len(labels))), list(range(len(labels) // k)))] * k),
    ("5.4", lambda correct, level=0.95, resamples=2000, seed=0: (0.0, 1.0)),
    ("5.4", lambda correct, level=0.95, resamples=2000, seed=0: (float(np.mean(correct)),) * 2),
    ("5.4", lambda correct, level=0.95, resamples=2000, seed=0: (float(np.mean(correct)) - 0.1, 1.0)),
]


MORE_HINTS = {"5.3": FOLD_HINTS.values()}


class TestExercises(ExerciseLaws):
    exercises = EXERCISES
    right = RIGHT
    wrong = OTHER_WRONG
    trivial = TRIVIAL
    slowest = SLOWEST
    seeds = dict.fromkeys((interval_by_slow_loops, interval_by_loops), 40)
    more_hints = MORE_HINTS


# Classes, references, and what the cases promise


def test_an_untouched_class_is_not_attempted_and_a_half_written_one_is_told_so() -> None:
    class Untouched:
        def __init__(self, patience: int = 2, min_delta: float = 0.0) -> None:
            raise NotImplementedError()

    class WithoutStep(StoppingByHistory):
        def step(self, loss: float) -> bool:
            raise NotImplementedError()

    class Half(StoppingByHistory):
        def step(self, loss: float) -> bool:
            if loss != loss:
                raise NotImplementedError()
            return StoppingByHistory.step(self, loss)

    assert judged(exercise("5.1"), Untouched).status == "not attempted"
    assert judged(exercise("5.1"), WithoutStep).status == "not attempted"
    assert "NotImplementedError" in judged(exercise("5.1"), Half).hint


def test_the_reference_of_early_stopping_stops_where_the_last_losses_are_all_failures() -> None:
    generator = np.random.default_rng(0)
    for _ in range(200):
        losses, patience = generator.integers(1, 6, size=12).tolist(), int(generator.integers(1, 4))
        for epoch, (stop, best, best_epoch) in enumerate(early_stopping_reference(losses, patience)):
            seen = losses[: epoch + 1]
            assert (best, best_epoch) == (min(seen), seen.index(min(seen)))
            recent = range(epoch + 1 - patience, epoch + 1)
            assert stop == all(one > 0 and min(losses[:one]) <= losses[one] for one in recent)


def test_the_bounds_of_an_interval_hold_the_exact_one_and_are_one_number_in_most_fixed_cases() -> None:
    exact = 0
    for case in exercise("5.4").cases(np.random.default_rng(0)):
        n, successes = len(case.inputs["correct"]), sum(case.inputs["correct"])
        level = case.inputs.get("level", 0.95)
        bounds = bounds_reference(n, successes, level, case.inputs.get("resamples", 2000))
        for share, (low, high) in zip(((1 - level) / 2, (1 + level) / 2), bounds, strict=True):
            assert low <= scipy.stats.binom.ppf(share, n, successes / n) / n <= high
        exact += all(low == high for low, high in bounds)
    assert exact >= 9


@pytest.mark.parametrize("resamples", [2000, 20000])
def test_no_right_interval_lies_outside_its_bounds(resamples: int) -> None:
    for seed in range(100):
        for end, (low, high) in zip(
            interval_of_binomials(np.repeat([0, 1], [9, 23]), 0.9, resamples, seed),
            bounds_reference(32, 23, 0.9, resamples),
            strict=True,
        ):
            assert low - 1e-9 <= end <= high + 1e-9

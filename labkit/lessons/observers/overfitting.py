"""Observers of lesson 05: a stopping rule, a training, folds, intervals."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from labkit.checks.forms import call_in_forms, named, with_seeds
from labkit.checks.observing import call, tell
from labkit.checks.wire import Plain

MOST_CALLS = 500  # of one callback; no case asks for a tenth of that


def early_stopping(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """5.1. The rule is fed with losses.

    `before` has best_loss and best_epoch before the first step, `after` what each step said and both after it.
    """

    def run(losses: list[float]) -> dict[str, Any]:
        stopping = answer(**named(inputs, "patience", "min_delta"))
        before = [stopping.best_loss, stopping.best_epoch]
        after = [[stopping.step(loss), stopping.best_loss, stopping.best_epoch] for loss in losses]
        return {"before": before, "after": after}

    return call(run, list(inputs["losses"]))


class Training:
    """Stands for a model in training that can be saved and restored.

    Its state is how often it was trained, and each state has its loss. Every call is told, so that no answer can rewrite them.
    """

    def __init__(self, losses: Sequence[float], untrained: float) -> None:
        self.losses = [untrained, *losses]
        self.state = self.saved = 0
        self.calls: Counter[str] = Counter()

    def train(self) -> None:
        """One epoch more."""
        self._note("train")
        self.state += 1

    def evaluate(self) -> float:
        """The loss of the state that the model is in; beyond the last known one it stays."""
        self._note("evaluate")
        return float(self.losses[min(self.state, len(self.losses) - 1)])

    def save(self) -> None:
        """Keep this state."""
        self._note("save")
        self.saved = self.state

    def restore(self) -> None:
        """Go back to the state that was kept."""
        self._note("restore")
        self.state = self.saved

    def _note(self, name: str) -> None:
        tell("calls", name)
        self.calls[name] += 1
        if self.calls[name] > MOST_CALLS:
            raise RuntimeError(f"{name} was called more than {MOST_CALLS} times")


def fit_with_early_stopping(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """5.2. What it returned, and its calls in order."""

    def run() -> dict[str, Any]:
        model = Training(inputs["losses"], inputs["_untrained"])
        returned = answer(
            model.train,
            model.evaluate,
            model.save,
            model.restore,
            inputs["max_epochs"],
            **named(inputs, "patience"),
        )
        return {"returned": returned, "calls": []}  # unless some are told

    return call(run)


def stratified_kfold(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """5.3. The labels go in as an array, or else as a list or a tensor."""
    import torch

    labels, k = inputs["labels"], inputs["k"]
    return with_seeds(
        lambda **more: call_in_forms(
            answer,
            lambda: (np.array(labels), k),
            lambda: (list(labels), k),
            lambda: (torch.tensor(labels), k),
            **named(inputs, "seed") | more,
        ),
        inputs,
    )


def bootstrap_interval(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """5.4. An array of 0 and 1, of truth values, a tensor or a list.

    Where the case says so the answer is asked `again` with the same seed, or with a number of seeds: then the value is the list
    of all intervals, None where it raised.
    """
    import torch

    correct = inputs["correct"]

    def ask(**more: Plain) -> dict[str, Plain]:
        return call_in_forms(
            answer,
            lambda: (np.array(correct),),
            lambda: (np.array(correct, dtype=bool),),
            lambda: (np.array(correct, dtype=float),),
            lambda: (torch.tensor(correct),),
            lambda: (list(correct),),
            **named(inputs, "level", "resamples", "seed") | more,
        )

    if "_seeds" in inputs:
        return _over_seeds(ask, inputs["_seeds"])

    seen = ask()
    return seen | {"again": ask()["value"]} if inputs.get("_again") else seen


def _over_seeds(ask: Callable[..., dict[str, Plain]], seeds: int) -> dict[str, Plain]:
    found: list[dict[str, Plain]] = []
    for seed in range(seeds):
        try:
            found.append(ask(seed=seed))
        except NotImplementedError:  # an answer that was not written is no interval that could not be had
            raise
        except Exception:
            found.append({"value": None})
    return {"value": [one["value"] for one in found]}

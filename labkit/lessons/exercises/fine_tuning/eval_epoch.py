"""Exercise 3.5, eval_epoch: what the model says, with nothing of it changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import nullcontext
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn

from labkit.checks.exercise import OTHER_FORM, Case, Exercise, Failure, Inputs, Observation, Property, Test, left_alone
from labkit.checks.properties import returns
from labkit.checks.wire import Array, Plain, as_array, as_number, close, is_number, plain, shown
from labkit.lessons.exercises.fine_tuning import batching
from labkit.lessons.exercises.fine_tuning.batching import Batch, Batches
from labkit.lessons.observers import fine_tuning as observers


def _inputs(*given: Any, grad_enabled: bool = True, **more: Any) -> Inputs:
    still = {"model": "a small classifier in evaluation mode", "evaluating": [""]}
    return {**batching.inputs_with_batches(*given, **still | more), "_grad_enabled": grad_enabled}


def _fixed() -> Iterator[tuple[str, Inputs]]:
    generator = np.random.default_rng(35)
    training: Any = {"model": "a small classifier in training mode, with dropout", "evaluating": [], "dropout": True}
    mixed: Any = {"model": "a small classifier, some of whose modules are in evaluation mode", "dropout": True}
    yield "values", _inputs(generator, [3])
    yield "values", _inputs(generator, [2, 2])
    yield "uneven", _inputs(generator, [4, 1])
    yield "uneven", _inputs(generator, [1, 5, 2], "generator")
    yield "values", _inputs(generator, [3, 3, 3], "mappings")
    yield "training", _inputs(generator, [2, 2], **training)
    yield "training", _inputs(generator, [3, 3], grad_enabled=False, **training)
    yield "mixed", _inputs(generator, [2, 2], **mixed, evaluating=["embedding", "LayerNorm"])
    yield "mixed", _inputs(generator, [2, 2], **mixed, evaluating=["", "head"], frozen=["embedding.weight"])
    yield "kept", _inputs(generator, [2, 2], old_gradients=True, frozen=["embedding.weight", "mix.bias"])
    yield "kept", _inputs(generator, [2, 2], grad_enabled=False, old_gradients=True)


@lru_cache(512)  # each property asks for it
def eval_epoch_reference(case: Case) -> tuple[float, Array, Array]:
    """The contract: one big batch, by a model in evaluation mode as a whole."""
    batch = batching.one_big_batch(observers.tensors(case.inputs["_batches"]))
    with torch.no_grad():
        output = observers.small_classifier(case.inputs["_model"]).eval()(**batch)
    return output.loss.item(), plain(output.logits), plain(batch["labels"])


def _gives(place: int, what: str) -> Test:
    """The test that one of the three things is right."""

    def test(case: Case, observation: Observation) -> Failure | None:
        returned = observation.value["returned"]
        if not isinstance(returned, (list, tuple)) or len(returned) != 3:
            hint = TOO_FEW if isinstance(returned, (list, tuple)) and len(returned) < 3 else ""
            return Failure("a loss, logits and labels", shown(returned), hint or OTHER_FORM)
        wanted = eval_epoch_reference(case)[place]
        if not place:
            loss = as_number(returned[0])
            return None if close(loss, wanted) else Failure(f"{what} {wanted:.6g}", f"{what} {loss:.6g}")
        found, right = as_array(returned[place]), as_array(wanted)
        return None if close(found, right) else Failure(*_rows_apart(what, right.values, found.values))

    return test


def _left(what: str, in_words: str) -> Test:
    """The test that the answer left something as it was."""
    return left_alone(observers.eval_epoch, what, f"{in_words} as before", f"{in_words} was changed")


def _same(one: Plain, other: Plain) -> bool:
    """Whether two answers gave the same and both built a graph or neither did, however often."""
    built = [bool(each["with_graph"]) for each in (one, other)]
    return built[0] == built[1] and close(one["returned"], other["returned"])


def _rows_apart(what: str, wanted: np.ndarray, found: np.ndarray) -> tuple[str, str]:
    """The review of which two answers say the most different things."""
    if wanted.shape != found.shape:
        return f"{what} of shape {wanted.shape}", f"{what} of shape {found.shape}"
    apart = np.nan_to_num(np.abs(wanted - found), nan=np.inf).reshape(len(wanted), -1).max(axis=1)
    row = int(apart.argmax())
    told = (", ".join(f"{number:.5g}" for number in np.atleast_1d(each[row])) for each in (wanted, found))
    first, second = (f"{what} of review {row}: {numbers}" for numbers in told)
    return first, second


TOO_FEW = (
    "You give back fewer than three things. Every metric but the loss needs the logits, and the labels in their order."
)
GRAPH = Failure("no graph for a backward that never comes", "logits with a graph behind them")
Modes = Mapping[nn.Module, bool]


def _evaluating(
    mean: Callable[[list[float], Batches], float] = batching.mean_loss,
    modes_at_end: Callable[[nn.Module, Modes], Modes] = lambda model, modes: modes,
    evaluates: bool = True,
    no_grad: Callable[[], Any] = torch.no_grad,
    order: Callable[[list[torch.Tensor]], Iterable[torch.Tensor]] = lambda rows: rows,
    returned: Callable[[float, torch.Tensor, torch.Tensor], Any] = lambda *three: three,
    after: Callable[[nn.Module], Any] = lambda model: None,
) -> Callable[[nn.Module, Iterable[Batch]], Any]:
    """A wrong answer, right but for what is given."""

    def answer(model: nn.Module, batches: Iterable[Batch]) -> Any:
        given, modes = list(batches), {module: module.training for module in model.modules()}
        if evaluates:
            model.eval()
        losses, logits = [], []
        with no_grad():
            for batch in given:
                output = model(**batch)
                losses.append(output.loss.item())
                logits.append(output.logits)
        for module, training in modes_at_end(model, modes).items():
            module.training = training
        after(model)
        labels = torch.cat([batch["labels"] for batch in given])
        return returned(mean(losses, given), torch.cat(list(order(logits))).detach(), labels)

    return answer


EXERCISE = Exercise(
    "3.5",
    "eval_epoch",
    observers.eval_epoch,
    nudge=(
        "Take a batch of three reviews and one of a single review. What is the mean loss of the four? And in which "
        "mode was the model before you came?"
    ),
    in_words=(
        "Measuring leaves no trace. Note the mode of every module, turn dropout and gradients off, and put each "
        "module back as it was. Add up each batch's mean loss times its number of reviews and divide once, at the "
        "end; put logits and labels together in the order of the batches."
    ),
    fixed=_fixed,
    drawn=lambda generator: [("uneven", _inputs(generator, batching.uneven_sizes(generator)))],
    same=_same,
    keeps_arguments="the batches, the weights or their gradients",
    properties=(
        Property(
            "gives the logits of every review, in the order of the batches",
            "Print the shape of your logits, and compare the first and the last row with what the model says of these reviews.",
            on=("values", "uneven"),
            test=_gives(1, "logits"),
            core=True,
            idea=True,
        ),
        Property(
            "gives the labels of every review, in the same order",
            "Your labels should be one number a review, as the batches have them.",
            on=("values", "uneven"),
            test=_gives(2, "labels"),
        ),
        Property(
            "gives the mean loss of batches of one size",
            "Compare your loss with that of the same reviews as one big batch.",
            on="values",
            test=_gives(0, "loss"),
            core=True,
        ),
        Property(
            "gives the mean loss per example where batches differ in size",
            "Every review is to count the same. How much of the mean is a batch of one review beside one of four?",
            on="uneven",
            test=_gives(0, "loss"),
            core=True,
        ),
        Property(
            "switches dropout off",
            "In training mode dropout changes what the model says. Which mode is the model in while you evaluate?",
            on=("training", "mixed"),
            test=_gives(1, "logits"),
            idea=True,
        ),
        Property(
            "builds no graph for gradients",
            "Your forward passes remember everything that a backward would need, and there is none. How is that switched off?",
            on=("values", "uneven"),
            test=lambda case, observation: GRAPH if observation.value["with_graph"] else None,
            witnessed=True,
        ),
        Property(
            "puts the model back into the mode that it had",
            "The model comes back in another mode than it went in: compare the mode before your call with the one after it.",
            on=("values", "uneven", "training", "kept"),
            test=_left("modes", "the mode of each module"),
            witnessed=True,
        ),
        Property(
            "does so also where modules were in different modes",
            "A frozen encoder may be evaluating while the head trains. Which modules have a mode of their own to put back?",
            on="mixed",
            test=_left("modes", "the mode of each module"),
            witnessed=True,
        ),
        Property(
            "leaves the grad mode as it was",
            "Whether torch records gradients is another matter after your call than before. What puts that back by itself?",
            test=_left("grad_mode", "the grad mode"),
            witnessed=True,
        ),
        Property(
            "leaves requires_grad as it was",
            "Your answer freezes or thaws parameters. Evaluation needs neither.",
            test=_left("requires_grad", "requires_grad of each parameter"),
            witnessed=True,
        ),
        returns(
            "a loss and two tensors",
            lambda value: (
                isinstance(value["returned"], tuple)
                and len(value["returned"]) == 3
                and is_number(value["returned"][0])
                and all(isinstance(each, Array) and each.tensor for each in value["returned"][1:])
            ),
            "The values may be right, but the exercise asks for a tuple: a number, then logits and labels as one tensor each.",
        ),
    ),
    wrong={
        "mean of the batches' means": (
            "Each of your batches counts the same, so the reviews of a small one count for more than those of a large one.",
            _evaluating(lambda losses, batches: sum(losses) / len(losses)),
        ),
        "sum of the losses": (
            "Your loss grows with every batch. What is it to be divided by?",
            _evaluating(lambda losses, batches: sum(losses)),
        ),
        "sum over examples": (
            "Your loss is added up over all reviews. A mean is asked for.",
            _evaluating(lambda losses, batches: float(np.dot(losses, [*map(batching.examples, batches)]))),
        ),
        "weighted by tokens": (
            "You weigh batches by their tokens. The mean is over reviews: a long one counts as much as a short one.",
            _evaluating(partial(batching.mean_loss, weight=batching.tokens)),
        ),
        "the last loss": (
            "Your loss is that of the last batch only.",
            _evaluating(lambda losses, batches: losses[-1]),
        ),
        "the last batch alone": (
            "Your logits are those of the last batch only. Where do the others go on their way through the loop?",
            _evaluating(order=lambda rows: rows[-1:]),
        ),
        "batches in reverse": (
            "Your logits do not stand in the order of the reviews: the last batch comes first.",
            _evaluating(order=reversed),
        ),
        "probabilities in place of logits": (
            "Your rows add up to 1: they are probabilities. Logits are what the model says before softmax.",
            _evaluating(returned=lambda loss, logits, labels: (loss, logits.softmax(dim=-1), labels)),
        ),
        "predicted classes in place of logits": (
            "You give one class a review. Logits are one number a class, from which the class can be told later.",
            _evaluating(returned=lambda loss, logits, labels: (loss, logits.argmax(dim=-1), labels)),
        ),
        "dropout on": (
            "Dropout is at work while you evaluate: asked twice, the model says two things about one review.",
            _evaluating(evaluates=False),
        ),
        "gradients on": (
            "Your forward passes still record what a backward would need. That costs memory and gives nothing here.",
            _evaluating(no_grad=nullcontext),
        ),
        "training mode at the end, whatever it was": (
            "At the end you switch to training mode, whatever mode the model came in.",
            _evaluating(modes_at_end=lambda model, modes: dict.fromkeys(modes, True)),
        ),
        "evaluation mode left on": (
            "The model is left in evaluation mode. The next epoch would train without dropout, and nothing would say so.",
            _evaluating(modes_at_end=lambda model, modes: {}),
        ),
        "one mode for all modules": (
            "You put one mode back for the whole model. Before, some of its modules were in the other one.",
            _evaluating(modes_at_end=lambda model, modes: dict.fromkeys(modes, modes[model])),
        ),
        "gradients left off": (
            "After your call torch records no gradients any more, and the next training step would fail.",
            _evaluating(after=lambda model: torch.set_grad_enabled(False)),
        ),
        "gradients switched on at the end": (
            "At the end you switch gradients on, also where whoever called had switched them off.",
            _evaluating(after=lambda model: torch.set_grad_enabled(True)),
        ),
        "parameters left frozen": (
            "After your call other parameters can be trained than before. Evaluation changes none of that.",
            _evaluating(after=lambda model: model.requires_grad_(False)),
        ),
        "the loss alone": (
            "You give back the loss alone. Accuracy, F1 and a look at single reviews need the logits and the labels too.",
            _evaluating(returned=lambda loss, logits, labels: loss),
        ),
        "the loss and the logits": (
            "Loss and logits are there, but no labels. Whoever computes a metric needs them, in the order of the logits.",
            _evaluating(returned=lambda loss, logits, labels: (loss, logits)),
        ),
        "another order of the three": (
            "The three things are there, but in another order than the exercise has them.",
            _evaluating(returned=lambda loss, logits, labels: (logits, labels, loss)),
        ),
        "asks for the number of batches": (
            "You ask how many batches there are. A generator cannot say.",
            lambda model, batches: len(batches) and _evaluating()(model, batches),
        ),
    },
)

"""Observers of lesson 03: a schedule, parameter groups, training, evaluation.

Models, batches and optimizers are made from plain data alone, so the judge can make the same ones. Does not know what should
come out of them.
"""

import contextlib
from collections import UserDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from labkit.checks.observing import NothingDone, call, next_draws, seed_anew, tell
from labkit.checks.wire import Plain, plain, spelled

WORDS, WIDTH, CLASSES = 13, 6, 3
Batches = Sequence[Mapping[str, torch.Tensor]]


class FixedDropout(nn.Dropout):
    """Dropout with a fixed draw: training mode shows in what comes out, luck does not."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(..., width) -> the same shape; in training mode every second unit is dropped."""
        if not self.training or self.p == 0:
            return input
        kept = torch.arange(input.shape[-1]) % 2 == 0
        return input * kept / (1 - self.p)


class Output:
    """`.loss` and `.logits`, also by name or place, as in transformers' outputs."""

    def __init__(self, loss: torch.Tensor | None, logits: torch.Tensor) -> None:
        self.loss, self.logits = loss, logits

    def __getitem__(self, key: int | str) -> Any:
        return getattr(self, key) if isinstance(key, str) else (self.loss, self.logits)[key]


class Classifier(nn.Module):
    """Embedding, one layer, masked mean, LayerNorm, dropout, head.

    In float64, so that rounding never decides. extras: `unused` (a layer that is never called), `scale` (1-D), `temperature`
    (0-D), `tied` (an output layer that shares the embedding's weight). gain: of the logits, and so of all gradients.
    """

    def __init__(
        self, dropout: bool, extras: Sequence[str] = (), norm_name: str = "LayerNorm", gain: float = 1.0
    ) -> None:
        super().__init__()
        self.norm_name, self.gain = norm_name, gain
        self.embedding = nn.Embedding(WORDS, WIDTH)
        self.mix = nn.Linear(WIDTH, WIDTH)
        self.add_module(norm_name, nn.LayerNorm(WIDTH))
        self.dropout = FixedDropout(0.5 if dropout else 0.0)
        self.head = nn.Linear(WIDTH, CLASSES)
        if "unused" in extras:
            self.unused = nn.Linear(2, 2)
        if "tied" in extras:
            self.decoder = nn.Linear(WIDTH, WORDS, bias=False)
            self.decoder.weight = self.embedding.weight
        self.register_parameter("scale", nn.Parameter(torch.ones(WIDTH)) if "scale" in extras else None)
        self.register_parameter("temperature", nn.Parameter(torch.tensor(1.0)) if "temperature" in extras else None)

    @property
    def device(self) -> torch.device:
        """Where its weights are, as transformers' models say it."""
        return self.embedding.weight.device

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None, labels: torch.Tensor | None = None
    ) -> Output:
        """input_ids, attention_mask: (reviews, width); labels: (reviews,). A mean loss."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        hidden = torch.tanh(self.mix(self.embedding(input_ids))) * mask[..., None]
        mean = hidden.sum(dim=1) / mask.sum(dim=1, keepdim=True)
        logits = self.gain * self.head(self.dropout(self.get_submodule(self.norm_name)(mean)))
        if logits.requires_grad:
            tell("with_graph", True)
        return Output(None if labels is None else cross_entropy(logits, labels), logits)


def small_classifier(spec: Mapping[str, Plain]) -> Classifier:
    """The model of a case. Draws its weights from the seed alone.

    spec: `seed`; optional `dropout`, `extras`, `norm_name`, `gain`; `frozen`, names of parameters without gradient;
    `old_gradients`, whether the others have one already; `evaluating`, modules in evaluation mode ("" is the whole model).
    """
    named = {name: spec[name] for name in ("extras", "norm_name", "gain") if name in spec}
    with torch.random.fork_rng(devices=[]):
        model = Classifier(bool(spec.get("dropout")), **named).double()
    parameters = dict(model.named_parameters())
    drawn = np.random.default_rng(spec["seed"]).normal(
        scale=0.8, size=sum(each.numel() for each in parameters.values())
    )
    with torch.no_grad():
        nn.utils.vector_to_parameters(torch.from_numpy(drawn), parameters.values())
        parameters[f"{model.norm_name}.weight"].add_(1.0)
    for name, parameter in parameters.items():
        parameter.requires_grad_(name not in spec.get("frozen", ()))
        if spec.get("old_gradients") and parameter.requires_grad:
            parameter.grad = torch.full_like(parameter, 0.7)
    for name in spec.get("evaluating", ()):
        model.get_submodule(name).eval()
    return model


def tensors(batches: Iterable[Mapping[str, Plain]]) -> list[dict[str, torch.Tensor]]:
    """Batches of a case as tensors of int64."""
    return [{name: torch.tensor(values, dtype=torch.int64) for name, values in batch.items()} for batch in batches]


def _in_form(batches: Sequence[dict[str, torch.Tensor]], form: str) -> Any:
    """The batches in the form of the case: a list, a generator, or mappings not dicts."""
    if form == "generator":
        return (batch for batch in batches)
    return [UserDict(batch) for batch in batches] if form == "mappings" else batches


# 3.1 and 3.2


def warmup_linear(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """3.1."""
    return call(answer, inputs["step"], inputs["warmup_steps"], inputs["total_steps"])


def parameter_groups(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """3.2. Parameters are seen by name, strings as `a text`, all else as `?`."""
    model = small_classifier(inputs["_model"])
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    with _witnessed(model, [], changed=()):
        found = answer(model, inputs["weight_decay"])
    is_groups = isinstance(found, (list, tuple)) and all(isinstance(group, Mapping) for group in found)
    groups: Plain = [_named_group(group, names) for group in found] if is_groups else plain(found)
    groups = tuple(groups) if isinstance(found, tuple) else groups
    return {"value": groups, "type": type(found).__name__}


def _named_group(group: Mapping[str, Any], names: Mapping[int, str]) -> dict[str, Plain]:
    listed = group.get("params", ())
    listed = [listed] if isinstance(listed, (torch.Tensor, str)) or not isinstance(listed, Iterable) else list(listed)
    # torch takes (name, parameter) pairs too
    members = [one[1] if isinstance(one, tuple) and len(one) == 2 else one for one in listed]
    return {
        "params": [names.get(id(member), "a text" if isinstance(member, str) else "?") for member in members],
        "weight_decay": plain(group.get("weight_decay")),
    }


# 3.3 to 3.5


def accumulate_gradients(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """3.3. A parameter without a gradient has one of zeros here."""
    model, batches = small_classifier(inputs["_model"]), tensors(inputs["_batches"])
    with torch.enable_grad(), _witnessed(model, batches, "weights", "modes"):
        returned = answer(model, _in_form(batches, inputs["_form"]))
    gradients = {name: plain(gradient) for name, gradient in _gradients(model).items()}
    return {"value": {"returned": plain(returned), "gradients": gradients}, "type": type(returned).__name__}


class _TellingSGD(torch.optim.SGD):
    """Plain SGD that tells the learning rate of each of its steps."""

    def step(self, closure: Any = None) -> Any:
        tell("rates", float(self.param_groups[0]["lr"]))
        return super().step(closure)


def train_epoch(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """3.4. With plain SGD; `_multipliers` are the learning rate's, one a step."""
    model, batches = small_classifier(inputs["_model"]), tensors(inputs["_batches"])
    multipliers = inputs["_multipliers"]
    optimizer = _TellingSGD([each for each in model.parameters() if each.requires_grad], lr=inputs["_learning_rate"])
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: float(multipliers[min(step, len(multipliers) - 1)])
    )
    named = {name: inputs[name] for name in ("accumulation_steps", "max_grad_norm") if name in inputs}
    with torch.enable_grad(), _witnessed(model, batches, changed=("gradients", "weights", "modes")):
        returned = answer(model, _in_form(batches, inputs["_form"]), optimizer, scheduler, **named)
    value = {
        "returned": plain(returned),
        "weights": {name: plain(parameter) for name, parameter in model.named_parameters()},
        "rates": [],  # unless some are told
        "scheduler_steps": plain(scheduler.last_epoch),
    }
    return {"value": value, "type": type(returned).__name__}


def eval_epoch(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """3.5. Called with gradients on or off, as the case says."""
    model, batches = small_classifier(inputs["_model"]), tensors(inputs["_batches"])
    with (
        torch.set_grad_enabled(inputs["_grad_enabled"]),
        _witnessed(model, batches, "modes", "requires_grad", "grad_mode", changed=()),
    ):
        returned = answer(model, _in_form(batches, inputs["_form"]))
    return {"value": {"returned": plain(returned), "with_graph": []}, "type": type(returned).__name__}


@contextlib.contextmanager
def _witnessed(
    model: Classifier, batches: Batches, *apart: str, changed: Sequence[str] = ("gradients",)
) -> Iterator[None]:
    """Tells how the answer called inside left the model and the batches.

    apart: what of it has properties of its own. changed: what the answer is there to change.
    """

    def left() -> dict[str, Plain]:
        state = {**_state(model), "batches": batches}
        facts = {name: spelled(one) for name, one in state.items() if name not in changed}
        arguments = [facts[name] for name in facts if name not in apart]
        return {name: facts[name] for name in apart} | {"arguments": arguments, "random state": next_draws()}

    seed_anew()
    try:
        yield
    except NothingDone:
        tell("left", left())
        raise
    tell("left", left())


def _state(model: Classifier) -> dict[str, Any]:
    return {
        "weights": dict(model.named_parameters()),
        "gradients": _gradients(model),
        "modes": {name: module.training for name, module in model.named_modules()},
        "requires_grad": {name: parameter.requires_grad for name, parameter in model.named_parameters()},
        "grad_mode": torch.is_grad_enabled(),
    }


def _gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: torch.zeros_like(parameter.detach()) if parameter.grad is None else parameter.grad.detach().clone()
        for name, parameter in model.named_parameters()
    }

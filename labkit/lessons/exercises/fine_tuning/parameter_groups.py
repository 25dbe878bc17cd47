"""Exercise 3.2, parameter_groups: what weight decay is for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from torch import nn

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, close, shown
from labkit.lessons.observers import fine_tuning as observers


def _case(seed: int, weight_decay: float, label: str, described: str, **model: Plain) -> Case:
    return Case({"model": described, "weight_decay": weight_decay, "_model": {"seed": seed, **model}}, label)


def _cases(generator: np.random.Generator) -> list[Case]:
    cases = [
        _case(1, 0.01, "plain", "a classifier"),
        _case(2, 0.3, "decay", "a classifier"),
        _case(3, 0.01, "named", "a classifier whose LayerNorm is called norm", norm_name="norm"),
        _case(4, 0.01, "shapes", "a classifier with a 1-D scale", extras=["scale"]),
        _case(5, 0.01, "shapes", "a classifier with a 0-D temperature", extras=["temperature"]),
        _case(6, 0.01, "frozen", "a classifier, embedding frozen", frozen=["embedding.weight"]),
        _case(7, 0.01, "frozen", "a classifier, all but the head frozen", frozen=_BELOW_THE_HEAD),
        _case(8, 0.01, "shared", "a classifier whose output layer shares the embedding's weight", extras=["tied"]),
    ]
    weight_decay = round(float(generator.uniform(0.02, 0.5)), 3)
    return [*cases, _case(int(generator.integers(1000)), weight_decay, "decay", "a classifier")]


_BELOW_THE_HEAD = ["embedding.weight", "mix.weight", "mix.bias", "LayerNorm.weight", "LayerNorm.bias"]


def decays_reference(case: Case) -> list[tuple[str, float]]:
    """The contract: every trainable parameter with its decay, by name."""
    model = observers.small_classifier(case.inputs["_model"])
    weight_decay = float(case.inputs["weight_decay"])
    return sorted(
        (name, weight_decay if each.dim() > 1 else 0.0) for name, each in model.named_parameters() if each.requires_grad
    )


def _decays(groups: Plain) -> list[tuple[str, Plain]]:
    return sorted(((name, group["weight_decay"]) for group in groups for name in group["params"]), key=repr)


def _equals(case: Case, observation: Observation) -> Failure | None:
    wanted, found = decays_reference(case), _decays(observation.value)
    if close(found, wanted):
        return None
    wrong = [pair for pair in wanted if pair not in found] or [pair for pair in found if found.count(pair) > 1]
    return Failure(_told(wrong or wanted, found), _told(found, wanted))


def _told(pairs: Sequence[tuple[str, Plain]], others: Sequence[tuple[str, Plain]]) -> str:
    """The pairs that set two answers apart, in words."""
    apart = [pair for pair in pairs if pair not in others] or pairs
    return ", ".join(f"{name}: {shown(decay)}" for name, decay in apart[:6]) or "no parameter"


def _same(one: Plain, other: Plain) -> bool:
    return close(_decays(one), _decays(other))


def _by(rule: Callable[[str, nn.Parameter], bool], frozen_too: bool = False) -> Callable[[nn.Module, float], Any]:
    """The groups of a wrong answer: rule says which parameters decay."""

    def answer(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
        named = [pair for pair in model.named_parameters() if frozen_too or pair[1].requires_grad]
        return [
            {"params": [each for name, each in named if rule(name, each)], "weight_decay": weight_decay},
            {"params": [each for name, each in named if not rule(name, each)], "weight_decay": 0.0},
        ]

    return answer


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return parameter.dim() > 1


def _name_says_decay(name: str, parameter: nn.Parameter) -> bool:
    return "bias" not in name and "LayerNorm" not in name


def _layer_by_layer(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    layers = [module.parameters(recurse=False) for module in model.modules()]
    trainable = [each for layer in layers for each in layer if each.requires_grad]
    return [
        {"params": [each for each in trainable if each.dim() > 1], "weight_decay": weight_decay},
        {"params": [each for each in trainable if each.dim() <= 1], "weight_decay": 0.0},
    ]


def _all_in_the_first_group(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    trainable = [each for each in model.parameters() if each.requires_grad]
    second = {"params": [each for each in trainable if each.dim() <= 1], "weight_decay": 0.0}
    return [{"params": trainable, "weight_decay": weight_decay}, second]


def _decay_left_out(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    first, second = _by(_is_matrix)(model, weight_decay)
    return [first, {"params": second["params"]}]


def _names_for_parameters(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    named = [pair for pair in model.named_parameters() if pair[1].requires_grad]
    return [
        {"params": [name for name, each in named if each.dim() > 1], "weight_decay": weight_decay},
        {"params": [name for name, each in named if each.dim() <= 1], "weight_decay": 0.0},
    ]


EXERCISE = Exercise(
    "3.2",
    "parameter_groups",
    observers.parameter_groups,
    drawn=lambda generator: ((case.label, case.inputs) for case in _cases(generator)),
    properties=(
        Property(
            "matrices decay, biases and LayerNorm weights do not",
            "Print name, shape and decay of every parameter in your groups. Which should not shrink, and which are absent?",
            on="plain",
            test=_equals,
            core=True,
        ),
        Property(
            "the decay is the caller's",
            "Is the decay of your group the argument, or a number written into the code?",
            on="decay",
            test=_equals,
        ),
        Property(
            "what a parameter is called does not matter",
            "In other models the same layers have other names. What else do biases and LayerNorm weights have in common?",
            on="named",
            test=_equals,
        ),
        Property(
            "every parameter of at most one dimension is spared",
            "Look at the shapes: a parameter need be neither a bias nor of a LayerNorm to have only one dimension, or none.",
            on="shapes",
            test=_equals,
        ),
        Property(
            "frozen parameters stand nowhere",
            "What tells a frozen parameter from a trainable one, and does your answer ask for it?",
            on="frozen",
            test=_equals,
        ),
        Property(
            "a shared parameter stands there once",
            "Two layers can share one parameter. How often does it come up on your way through the model?",
            on="shared",
            test=_equals,
        ),
        returns(
            "a list of dicts",
            lambda value: (
                isinstance(value, list) and bool(value) and all(isinstance(group, Mapping) for group in value)
            ),
        ),
    ),
    wrong={
        "everything decays": (
            "Your biases and LayerNorm weights decay too. Decay keeps matrices small; a shift or a scale gains nothing by it.",
            _by(lambda name, parameter: True),
        ),
        "only biases are spared": (
            "Biases are spared, but a LayerNorm also has a weight, and pulling that one towards 0 does harm.",
            _by(lambda name, parameter: "bias" not in name),
        ),
        "the two decays the wrong way round": (
            "The decays of your two groups are the wrong way round: matrices are what should shrink.",
            _by(lambda name, parameter: parameter.dim() <= 1),
        ),
        "embeddings are spared": (
            "You spare the embedding as well. It is a matrix like the others here.",
            _by(lambda name, parameter: parameter.dim() > 1 and "embedding" not in name),
        ),
        "chosen by name": (
            "You choose by name. Another model may call the same layer otherwise: which fact about the parameter itself tells?",
            _by(_name_says_decay),
        ),
        "frozen ones too": (
            "Frozen parameters are in your groups. An optimizer should be given only what is to be trained.",
            _by(_is_matrix, frozen_too=True),
        ),
        "shared ones twice": (
            "A parameter that two layers share is in your groups twice. The model itself can list each of its parameters once.",
            _layer_by_layer,
        ),
        "some in both groups": (
            "Some parameters stand in both groups. An optimizer refuses that: each belongs into exactly one.",
            _all_in_the_first_group,
        ),
        "a group without its decay": (
            "One group does not say its decay. The optimizer's default takes over there, and that is not 0 for AdamW.",
            _decay_left_out,
        ),
        "names in place of parameters": (
            "Your groups hold the names of parameters. The optimizer needs the parameters themselves.",
            _names_for_parameters,
        ),
        "one dimension only": (
            "A parameter can also have no dimension at all, like a single temperature. Where does it end up?",
            _by(lambda name, parameter: parameter.dim() != 1),
        ),
        "a decay of its own": (
            "The decay is an argument. Yours is always the same, whatever the caller asks for.",
            lambda model, weight_decay: _by(_is_matrix)(model, 0.01),
        ),
    },
    same=_same,
    keeps_arguments="the model",
)

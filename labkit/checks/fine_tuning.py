"""The checks of lesson 03: warmup_linear, parameter_groups, accumulate_gradients, train_epoch, eval_epoch.

What is right is computed here from plain data, as the contracts say it: the gradient of one big batch, the steps by hand.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, pad

from labkit.checks.exercise import Case, Exercise, Failure, Misconception, Observation, Property
from labkit.checks.observers import fine_tuning as observers
from labkit.checks.properties import keeps_arguments, keeps_random_state, returns
from labkit.checks.wire import Array, Plain, close, is_number, shown

Test = Callable[[Case, Observation], Failure | None]


def _labelled(*labels: str) -> Callable[[Case], bool]:
    return lambda case: case.label in labels


# 3.1 warmup_linear


def warmup_linear_reference(step: int, warmup_steps: int, total_steps: int) -> float:
    """The contract as the lower of two lines, cut off at 0."""
    rising = step / warmup_steps if warmup_steps else math.inf
    falling = (total_steps - step) / (total_steps - warmup_steps)
    return max(0.0, min(rising, falling))


def _case_3_1(step: int, warmup_steps: int, total_steps: int) -> Case:
    if warmup_steps == 0 and step == 0:
        label = "no warmup"
    elif step < warmup_steps:
        label = "rising" if step else "start"
    elif step >= total_steps:
        label = "end" if step == total_steps else "beyond"
    else:
        label = "top" if step == warmup_steps else "falling" if warmup_steps else "falling from the start"
    return Case({"step": step, "warmup_steps": warmup_steps, "total_steps": total_steps}, label)


def _cases_3_1(generator: np.random.Generator) -> list[Case]:
    fixed = [(0, 2, 6), (1, 2, 6), (2, 2, 6), (3, 2, 6), (5, 2, 6), (6, 2, 6), (7, 2, 6), (50, 2, 6)]
    fixed += [(0, 0, 4), (1, 0, 4), (3, 0, 4), (4, 0, 4), (0, 0, 1), (1, 0, 1), (9, 0, 4)]
    fixed += [(0, 1, 2), (1, 1, 2), (2, 1, 2), (4, 9, 10), (9, 9, 10), (3, 10, 100), (10, 10, 100), (70, 10, 100)]
    cases = [_case_3_1(*numbers) for numbers in fixed]
    for _ in range(30):
        total_steps = int(generator.integers(4, 2000))
        warmup_steps = int(generator.integers(0, total_steps // 2)) if generator.random() < 0.9 else 0
        cases.append(_case_3_1(int(generator.integers(0, total_steps + 20)), warmup_steps, total_steps))
    return cases


def _equals_3_1(case: Case, observation: Observation) -> Failure | None:
    wanted = warmup_linear_reference(**case.inputs)
    return None if close(observation.value, wanted) else Failure(shown(wanted))


def _starts_at_zero_without_warmup(step: int, warmup_steps: int, total_steps: int) -> float:
    return warmup_linear_reference(step, warmup_steps, total_steps) if step else 0.0


def _divides_by_no_warmup(step: int, warmup_steps: int, total_steps: int) -> float:
    return step / warmup_steps if step <= warmup_steps else warmup_linear_reference(step, warmup_steps, total_steps)


def _after_warmup(decay: Callable[[int, int, int], float]) -> Callable[[int, int, int], float]:
    def answer(step: int, warmup_steps: int, total_steps: int) -> float:
        return step / warmup_steps if step < warmup_steps else decay(step, warmup_steps, total_steps)

    return answer


def _one_step_early(step: int, warmup_steps: int, total_steps: int) -> float:
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    return warmup_linear_reference(step, warmup_steps, total_steps)


def _cosine(step: int, warmup_steps: int, total_steps: int) -> float:
    done = min(1.0, (step - warmup_steps) / (total_steps - warmup_steps))
    return (1 + math.cos(math.pi * done)) / 2


def _number_3_1(value: Plain) -> bool:
    return is_number(value)


WARMUP_LINEAR = Exercise(
    id="3.1",
    name="warmup_linear",
    cases=_cases_3_1,
    observe=observers.warmup_linear,
    properties=(
        Property(
            "during warmup it rises in a line",
            _equals_3_1,
            "Draw the first steps on paper: where does the line start, and at which step has it come up to 1?",
            core=True,
            applies=_labelled("rising"),
        ),
        Property(
            "after warmup it falls in a line to the end of training",
            _equals_3_1,
            "After warmup, how many steps are left in all, and how many of them are still to come at this one?",
            core=True,
            applies=_labelled("falling"),
        ),
        Property(
            "it starts at 0", _equals_3_1, "Which share of the warmup is done at step 0?", applies=_labelled("start")
        ),
        Property(
            "it is 1 where warmup ends",
            _equals_3_1,
            "Both lines meet at the last step of warmup. What do they say there?",
            applies=_labelled("top"),
        ),
        Property(
            "without warmup it starts at 1 and falls",
            _equals_3_1,
            "With no warmup at all there is nothing to climb: where does the learning rate start then?",
            applies=_labelled("no warmup", "falling from the start"),
        ),
        Property(
            "it is 0 at the end and beyond",
            _equals_3_1,
            "What does your second line say at the end of training, and after it?",
            applies=_labelled("end", "beyond"),
        ),
        returns("a number", _number_3_1),
        keeps_random_state(),
    ),
    misconceptions=(
        Misconception(
            "starts one step early",
            "Your warmup is one step ahead: it counts the step that is only about to be taken.",
            _one_step_early,
        ),
        Misconception(
            "falls over all steps instead of those after warmup",
            "Your decay counts from the beginning of training, so there is a jump where warmup ends. Where should it begin?",
            _after_warmup(lambda step, warmup_steps, total_steps: max(0.0, 1 - step / total_steps)),
        ),
        Misconception(
            "goes below 0",
            "Beyond the last step your multiplier is negative: the optimizer would climb. Where must the line stop?",
            _after_warmup(lambda step, warmup_steps, total_steps: (total_steps - step) / (total_steps - warmup_steps)),
        ),
        Misconception(
            "stays at 1",
            "After warmup your multiplier stays at its top. The second half of the schedule is missing.",
            _after_warmup(lambda step, warmup_steps, total_steps: 1.0),
        ),
        Misconception(
            "divides by a warmup of 0 steps",
            "Your answer divides by the number of warmup steps even where there are none.",
            _divides_by_no_warmup,
        ),
        Misconception(
            "starts at 0 without warmup",
            "Without warmup your first step has a learning rate of 0, so nothing is learned from its batch.",
            _starts_at_zero_without_warmup,
        ),
        Misconception(
            "cosine",
            "Your decay is bent. A cosine schedule is a good one too, but this exercise asks for a straight line.",
            _after_warmup(_cosine),
        ),
        Misconception(
            "no warmup at all",
            "Your multiplier starts at its top and only falls. The first steps, with a fresh head, are to be small.",
            lambda step, warmup_steps, total_steps: max(0.0, 1 - step / total_steps),
        ),
        Misconception(
            "falls during warmup",
            "Your warmup goes the wrong way round: it begins high and ends low.",
            lambda step, warmup_steps, total_steps: (
                1 - step / warmup_steps
                if step < warmup_steps
                else warmup_linear_reference(step, warmup_steps, total_steps)
            ),
        ),
        Misconception(
            "whole-number division",
            "A division that drops the fraction leaves 0 for all of the warmup. Which one keeps it?",
            lambda step, warmup_steps, total_steps: (
                step // warmup_steps
                if step < warmup_steps
                else warmup_linear_reference(step, warmup_steps, total_steps)
            ),
        ),
    ),
    same=close,
)

# 3.2 parameter_groups


def _case_3_2(seed: int, weight_decay: float, label: str, described: str, **model: Plain) -> Case:
    return Case({"model": described, "weight_decay": weight_decay, "_model": {"seed": seed, **model}}, label)


def _cases_3_2(generator: np.random.Generator) -> list[Case]:
    cases = [
        _case_3_2(1, 0.01, "plain", "a classifier"),
        _case_3_2(2, 0.3, "decay", "a classifier"),
        _case_3_2(3, 0.01, "named", "a classifier whose LayerNorm is called norm", norm_name="norm"),
        _case_3_2(4, 0.01, "shapes", "a classifier with a 1-D scale", extras=["scale"]),
        _case_3_2(5, 0.01, "shapes", "a classifier with a 0-D temperature", extras=["temperature"]),
        _case_3_2(6, 0.01, "frozen", "a classifier, embedding frozen", frozen=["embedding.weight"]),
        _case_3_2(7, 0.01, "frozen", "a classifier, all but the head frozen", frozen=_BELOW_THE_HEAD),
        _case_3_2(8, 0.01, "shared", "a classifier whose output layer shares the embedding's weight", extras=["tied"]),
    ]
    for _ in range(4):
        weight_decay = round(float(generator.uniform(0.02, 0.5)), 3)
        cases.append(_case_3_2(int(generator.integers(1000)), weight_decay, "decay", "a classifier"))
    return cases


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


def _equals_3_2(case: Case, observation: Observation) -> Failure | None:
    wanted, found = decays_reference(case), _decays(observation.value)
    if close(found, wanted):
        return None
    wrong = [pair for pair in wanted if pair not in found] or [pair for pair in found if found.count(pair) > 1]
    return Failure(_told(wrong or wanted, found), _told(found, wanted))


def _told(pairs: Sequence[tuple[str, Plain]], others: Sequence[tuple[str, Plain]]) -> str:
    """The pairs that set two answers apart, in words."""
    apart = [pair for pair in pairs if pair not in others] or pairs
    return ", ".join(f"{name}: {shown(decay)}" for name, decay in apart[:6]) or "no parameter"


def _same_3_2(one: Plain, other: Plain) -> bool:
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


PARAMETER_GROUPS = Exercise(
    id="3.2",
    name="parameter_groups",
    cases=_cases_3_2,
    observe=observers.parameter_groups,
    properties=(
        Property(
            "matrices decay, biases and LayerNorm weights do not",
            _equals_3_2,
            "Print name, shape and decay of every parameter in your groups. Which of them should not shrink, and which are absent?",
            core=True,
            applies=_labelled("plain"),
        ),
        Property(
            "the decay is the caller's",
            _equals_3_2,
            "Is the decay of your group the argument, or a number written into the code?",
            applies=_labelled("decay"),
        ),
        Property(
            "what a parameter is called does not matter",
            _equals_3_2,
            "In other models the same layers have other names. What do biases and LayerNorm weights have in common besides them?",
            applies=_labelled("named"),
        ),
        Property(
            "every parameter of at most one dimension is spared",
            _equals_3_2,
            "Look at the shapes: a parameter need be neither a bias nor of a LayerNorm to have only one dimension, or none.",
            applies=_labelled("shapes"),
        ),
        Property(
            "frozen parameters stand nowhere",
            _equals_3_2,
            "What tells a frozen parameter from a trainable one, and does your answer ask for it?",
            applies=_labelled("frozen"),
        ),
        Property(
            "a shared parameter stands there once",
            _equals_3_2,
            "Two layers can share one parameter. How often does it come up on your way through the model?",
            applies=_labelled("shared"),
        ),
        returns(
            "a list of dicts",
            lambda value: (
                isinstance(value, list) and bool(value) and all(isinstance(group, Mapping) for group in value)
            ),
        ),
        keeps_arguments("the model"),
        keeps_random_state(),
    ),
    misconceptions=(
        Misconception(
            "everything decays",
            "Your biases and LayerNorm weights decay too. Decay holds matrices small; for a shift or a scale that means nothing.",
            _by(lambda name, parameter: True),
        ),
        Misconception(
            "only biases are spared",
            "Biases are spared, but a LayerNorm also has a weight, and pulling that one towards 0 does harm.",
            _by(lambda name, parameter: "bias" not in name),
        ),
        Misconception(
            "the two decays the wrong way round",
            "The decays of your two groups are the wrong way round: matrices are what should shrink.",
            _by(lambda name, parameter: parameter.dim() <= 1),
        ),
        Misconception(
            "embeddings are spared",
            "You spare the embedding as well. It is a matrix like the others here.",
            _by(lambda name, parameter: parameter.dim() > 1 and "embedding" not in name),
        ),
        Misconception(
            "chosen by name",
            "You choose by name. Another model may call the same layer otherwise: which fact about the parameter itself tells?",
            _by(_name_says_decay),
        ),
        Misconception(
            "frozen ones too",
            "Frozen parameters are in your groups. An optimizer should be given only what is to be trained.",
            _by(_is_matrix, frozen_too=True),
        ),
        Misconception(
            "shared ones twice",
            "A parameter that two layers share is in your groups twice, so it would be moved twice. The model itself can list each once.",
            _layer_by_layer,
        ),
        Misconception(
            "some in both groups",
            "Some parameters stand in both groups. An optimizer refuses that: each belongs into exactly one.",
            _all_in_the_first_group,
        ),
        Misconception(
            "a group without its decay",
            "One group does not say its decay. The optimizer's default takes over there, and that is not 0 for AdamW.",
            _decay_left_out,
        ),
        Misconception(
            "names in place of parameters",
            "Your groups hold the names of parameters. The optimizer needs the parameters themselves.",
            _names_for_parameters,
        ),
        Misconception(
            "one dimension only",
            "A parameter can also have no dimension at all, like a single temperature. Where does it end up?",
            _by(lambda name, parameter: parameter.dim() != 1),
        ),
        Misconception(
            "a decay of its own",
            "The decay is an argument. Yours is always the same, whatever the caller asks for.",
            lambda model, weight_decay: _by(_is_matrix)(model, 0.01),
        ),
    ),
    same=_same_3_2,
)

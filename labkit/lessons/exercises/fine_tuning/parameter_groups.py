"""Exercise 3.2, parameter_groups: what weight decay is for."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from torch import nn

from labkit.checks.exercise import Case, Exercise, Failure, Observation, Property
from labkit.checks.properties import returns
from labkit.checks.wire import Plain, close, shown
from labkit.lessons.observers import fine_tuning as observers

BELOW_THE_HEAD = ["embedding.weight", "mix.weight", "mix.bias", "LayerNorm.weight", "LayerNorm.bias"]


def decays_reference(case: Case) -> list[tuple[str, float]]:
    """The contract: every trainable parameter with its decay, by name."""
    model = observers.small_classifier(case.inputs["_model"])
    weight_decay = float(case.inputs["weight_decay"])
    return sorted(
        (name, weight_decay if each.dim() > 1 else 0.0) for name, each in model.named_parameters() if each.requires_grad
    )


def _decays(groups: Plain) -> list[tuple[str, Plain]]:
    return sorted(((name, group["weight_decay"]) for group in groups for name in group["params"]), key=repr)


def _decays_agree(case: Case, observation: Observation) -> Failure | None:
    wanted, found = decays_reference(case), _decays(observation.value)
    if close(found, wanted):
        return None
    wrong = [pair for pair in wanted if pair not in found] or [pair for pair in found if found.count(pair) > 1]
    return Failure(_told(wrong or wanted, found), _told(found, wanted))


def _told(pairs: Sequence[tuple[str, Plain]], others: Sequence[tuple[str, Plain]]) -> str:
    """The pairs that set two answers apart, in words."""
    apart = [pair for pair in pairs if pair not in others] or pairs
    return ", ".join(f"{name}: {shown(decay)}" for name, decay in apart[:6]) or "no parameter"


Rule = Callable[[str, nn.Parameter], bool]


def _groups(
    decays: Rule = lambda name, parameter: parameter.dim() > 1,
    spared: Rule | None = None,  # all others
    member: Callable[[str, nn.Parameter], Any] = lambda name, parameter: parameter,
    frozen_too: bool = False,
    repeated: bool = False,
    told_of_spared: Mapping[str, float] = MappingProxyType({"weight_decay": 0.0}),
) -> Callable[[nn.Module, float], list[dict[str, Any]]]:
    """A wrong answer, right but for what is given."""

    def answer(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
        named = model.named_parameters(remove_duplicate=not repeated)
        pairs = [(name, each) for name, each in named if frozen_too or each.requires_grad]
        first = [member(*pair) for pair in pairs if decays(*pair)]
        second = [member(*pair) for pair in pairs if (spared(*pair) if spared else not decays(*pair))]
        return [{"params": first, "weight_decay": weight_decay}, {"params": second, **told_of_spared}]

    return answer


EXERCISE = Exercise(
    "3.2",
    "parameter_groups",
    observers.parameter_groups,
    nudge=(
        "Print the name and the shape of every parameter of one layer. By what can you tell a matrix from a bias or a"
        " LayerNorm weight?"
    ),
    in_words=(
        "Decay is for matrices. Whatever has one dimension or none, the biases and the LayerNorm weights, goes into "
        "the group without decay, all else into the group with it. Go through the parameters once, and leave out "
        "those that are frozen."
    ),
    takes="model weight_decay _model",
    drawn=lambda generator: [
        ("decay", ("a classifier", round(generator.uniform(0.02, 0.5), 3), {"seed": int(generator.integers(1000))}))
    ],
    test=_decays_agree,
    same=lambda one, other: close(_decays(one), _decays(other)),
    keeps_arguments="the model",
    properties=(
        Property(
            "matrices decay, biases and LayerNorm weights do not",
            "Print name, shape and decay of every parameter in your groups. Which should not shrink, and which are absent?",
            fixed=[("a classifier", 0.01, {"seed": 1})],
            core=True,
            idea=True,
        ),
        Property(
            "the decay is the caller's",
            "Is the decay of your group the argument, or a number written into the code?",
            on="decay",
            fixed=[("a classifier", 0.3, {"seed": 2})],
        ),
        Property(
            "what a parameter is called does not matter",
            "In other models the same layers have other names. What else do biases and LayerNorm weights have in common?",
            fixed=[("a classifier whose LayerNorm is called norm", 0.01, {"seed": 3, "norm_name": "norm"})],
        ),
        Property(
            "every parameter of at most one dimension is spared",
            "Look at the shapes: a parameter need be neither a bias nor of a LayerNorm to have only one dimension, or none.",
            fixed=[
                ("a classifier with a 1-D scale", 0.01, {"seed": 4, "extras": ["scale"]}),
                ("a classifier with a 0-D temperature", 0.01, {"seed": 5, "extras": ["temperature"]}),
            ],
        ),
        Property(
            "frozen parameters stand nowhere",
            "What tells a frozen parameter from a trainable one, and does your answer ask for it?",
            fixed=[
                ("a classifier, embedding frozen", 0.01, {"seed": 6, "frozen": ["embedding.weight"]}),
                ("a classifier, all but the head frozen", 0.01, {"seed": 7, "frozen": BELOW_THE_HEAD}),
            ],
        ),
        Property(
            "a shared parameter stands there once",
            "Two layers can share one parameter. How often does it come up on your way through the model?",
            fixed=[
                ("a classifier whose output layer shares the embedding's weight", 0.01, {"seed": 8, "extras": ["tied"]})
            ],
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
            _groups(lambda name, parameter: True),
        ),
        "only biases are spared": (
            "Biases are spared, but a LayerNorm also has a weight, and pulling that one towards 0 does harm.",
            _groups(lambda name, parameter: "bias" not in name),
        ),
        "the two decays the wrong way round": (
            "The decays of your two groups are the wrong way round: matrices are what should shrink.",
            _groups(lambda name, parameter: parameter.dim() <= 1),
        ),
        "embeddings are spared": (
            "You spare the embedding as well. It is a matrix like the others here.",
            _groups(lambda name, parameter: parameter.dim() > 1 and "embedding" not in name),
        ),
        "chosen by name": (
            "You choose by name. Another model may call the same layer otherwise: which fact about the parameter itself tells?",
            _groups(lambda name, parameter: "bias" not in name and "LayerNorm" not in name),
        ),
        "frozen ones too": (
            "Frozen parameters are in your groups. An optimizer should be given only what is to be trained.",
            _groups(frozen_too=True),
        ),
        "shared ones twice": (
            "A parameter that two layers share is in your groups twice. The model itself can list each of its parameters once.",
            _groups(repeated=True),
        ),
        "some in both groups": (
            "Some parameters stand in both groups. An optimizer refuses that: each belongs into exactly one.",
            _groups(lambda name, parameter: True, spared=lambda name, parameter: parameter.dim() <= 1),
        ),
        "a group without its decay": (
            "One group does not say its decay. The optimizer's default takes over there, and that is not 0 for AdamW.",
            _groups(told_of_spared={}),
        ),
        "names in place of parameters": (
            "Your groups hold the names of parameters. The optimizer needs the parameters themselves.",
            _groups(member=lambda name, parameter: name),
        ),
        "one dimension only": (
            "A parameter can also have no dimension at all, like a single temperature. Where does it end up?",
            _groups(lambda name, parameter: parameter.dim() != 1),
        ),
        "a decay of its own": (
            "The decay is an argument. Yours is always the same, whatever the caller asks for.",
            lambda model, weight_decay: _groups()(model, 0.01),
        ),
    },
)

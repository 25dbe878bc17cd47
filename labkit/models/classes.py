"""What a model calls its two classes, and which of its logits is whose.

Models from elsewhere have their own names in their own order. Does not read logits (margins.py, classifier.py).
"""

from typing import TYPE_CHECKING, Any

from labkit.models.soundness import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# By class, labkit's own name first: reviews.CLASS_NAMES, whose module would bring numpy to the command line's help.
KNOWN_NAMES = (("negative", "neg", "0", "label_0"), ("positive", "pos", "1", "label_1"))
OUR_NAMES = {place: names[0] for place, names in enumerate(KNOWN_NAMES)}


def class_places(config: Any, whose: str = "the model") -> list[int]:
    """Find the places of negative and of positive among the logits, by the model's own names.

    config: of a Hugging Face model; one without names has labkit's. whose: what the message calls the model. Raises
    ModelError for more or fewer than two classes, for names that are not known, and for classes that do not exclude each
    other.

    >>> from types import SimpleNamespace
    >>> class_places(SimpleNamespace(id2label={0: "POSITIVE", 1: "NEGATIVE"}))
    [1, 0]
    """
    names = getattr(config, "id2label", None)
    if names is None:
        names = OUR_NAMES
    if len(names) != len(OUR_NAMES):
        raise ModelError(f"{whose} has {len(names)} classes; wanted {len(OUR_NAMES)}")
    kind = getattr(config, "problem_type", None) or "single_label_classification"
    if kind != "single_label_classification":
        raise ModelError(f"{whose} was made for {kind}; wanted single_label_classification")
    found = {
        meaning: int(place)
        for place, name in names.items()
        for meaning, known in enumerate(KNOWN_NAMES)
        if str(name).strip().lower() in known
    }
    if sorted(found.values()) != [0, 1]:
        wanted = ", ".join("/".join(pair) for pair in zip(*KNOWN_NAMES, strict=True))
        said = ", ".join(f"{place}: {name}" for place, name in names.items())
        raise ModelError(f"{whose} calls its classes {{{said}}}; wanted id2label with one of {wanted}, in any case")
    if all(
        name == f"LABEL_{place}" for place, name in names.items()
    ):  # which transformers fills in where it finds none
        for name, place in (getattr(config, "label2id", None) or {}).items():
            meanings = [meaning for meaning, known in enumerate(KNOWN_NAMES) if str(name).strip().lower() in known[:2]]
            if meanings and str(place) != str(meanings[0]):
                raise ModelError(f"{whose} calls class {place} {name} in label2id alone; wanted that in id2label too")
    return [found[meaning] for meaning in range(len(OUR_NAMES))]


def take_our_order(model: "PreTrainedModel") -> None:
    """Give a model's classes labkit's names in labkit's order, with the rows of its head moved accordingly.

    Raises ModelError where the names are not known.
    """
    import torch
    from torch import nn

    places = class_places(model.config)
    if places != sorted(places):
        inside = set(model.base_model.modules())
        last = [part for part in model.modules() if isinstance(part, nn.Linear) and part not in inside][-1:]
        if not last or last[0].out_features != len(places):
            raise ModelError(f"the head of {model.config.model_type} has no last layer whose rows could be exchanged")
        with torch.no_grad():
            for weights in last[0].parameters():
                weights.copy_(weights[places].clone())
    name_classes(model.config)


def name_classes(config: Any) -> None:
    """Write labkit's two classes into a model's config."""
    config.num_labels = len(OUR_NAMES)
    config.id2label = dict(OUR_NAMES)
    config.label2id = {name: place for place, name in OUR_NAMES.items()}
    config.problem_type = "single_label_classification"

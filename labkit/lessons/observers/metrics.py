"""Observers of lesson 04: logits; labels with predictions, scores, confidences."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from labkit.checks.forms import call_in_forms, named
from labkit.checks.wire import Plain


def softmax(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """4.1. The logits go in as an array, or else as a tensor; the case says of what."""
    import torch

    logits = np.array(inputs["logits"], dtype=inputs.get("_dtype", "float64"))
    return call_in_forms(answer, lambda: (logits.copy(),), lambda: (torch.tensor(logits),))


def precision_recall_f1(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """4.2."""
    return _two(answer, inputs, "labels", "predictions", **named(inputs, "positive"))


def confusion_matrix(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """4.3."""
    return _two(answer, inputs, "labels", "predictions", inputs["num_classes"])


def best_f1_threshold(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """4.4."""
    return _two(answer, inputs, "labels", "scores")


def expected_calibration_error(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """4.5. Whether each is right goes in as truth values, or else as 0 and 1."""
    import torch

    confidences, correct = inputs["confidences"], inputs["correct"]
    return call_in_forms(
        answer,
        lambda: (np.array(confidences), np.array(correct, dtype=bool)),
        lambda: (np.array(confidences), np.array(correct, dtype=int)),
        lambda: (list(confidences), [bool(one) for one in correct]),
        lambda: (torch.tensor(confidences), torch.tensor(correct)),
        **named(inputs, "bins"),
    )


def confidently_wrong(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """4.6. The labels go in as an array, a list or a tensor, the logits as the case says."""
    import torch

    def logits() -> Any:
        return torch.tensor(inputs["logits"]) if inputs.get("_as_tensor") else np.array(inputs["logits"])

    labels = list(inputs["labels"])
    forms = [
        lambda: (logits(), torch.tensor(labels)),
        lambda: (logits(), np.array(labels)),
        lambda: (logits(), list(labels)),
    ]
    forms = forms if inputs.get("_as_tensor") else [forms[1], forms[2], forms[0]]
    return call_in_forms(answer, *forms, **named(inputs, "threshold"))


def _two(
    answer: Callable[..., Any], inputs: Mapping[str, Plain], first: str, second: str, *more: Plain, **optional: Plain
) -> dict[str, Plain]:
    """Two columns of equal length, as arrays or else as lists or tensors."""
    import torch

    return call_in_forms(
        answer,
        lambda: (np.array(inputs[first]), np.array(inputs[second]), *more),
        lambda: (list(inputs[first]), list(inputs[second]), *more),
        lambda: (torch.tensor(inputs[first]), torch.tensor(inputs[second]), *more),
        **optional,
    )

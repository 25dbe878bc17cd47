"""Observers of lesson 02: a rating, a split, a Dataset read item by item, a padded batch, a plan of batches."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from labkit.checks.forms import named, with_seeds
from labkit.checks.observing import call
from labkit.checks.wire import Plain
from labkit.lessons.observers.tokenization import watched_tokenizer


def rating_to_label(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """2.1. The rating goes in as Python's float, or as numpy's where the case says so."""
    rating = np.float64(inputs["rating"]) if inputs.get("_as_numpy") else inputs["rating"]
    return call(answer, rating, **named(inputs, "neutral_band"))


def stratified_split(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """2.2. Where the case names another seed, the answer is asked again: `again` with the same, `other` with that one."""
    given = named(inputs, "fractions", "seed")
    return with_seeds(
        lambda **other: call(answer, list(inputs["texts"]), list(inputs["labels"]), **given | other), inputs
    )


def review_dataset(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """2.3. The items are taken from the last to the first, as a sampler might.

    label_forms: of each item's label the kind, dtype and dimensions, which plain data of a 0-D tensor does not keep.
    """
    from torch.utils.data import Dataset

    facts: dict[str, Plain] = {}

    def read(texts: list[str], labels: list[int], tokenizer: Any, max_length: int) -> dict[str, Any]:
        dataset = answer(texts, labels, tokenizer, max_length)
        items = [dataset[place] for place in reversed(range(len(texts)))][::-1]
        facts["is_dataset"] = isinstance(dataset, Dataset)
        facts["label_forms"] = [_form(item["labels"]) if "labels" in item else "nothing" for item in items]
        return {"length": len(dataset), "items": items}

    tokenizer = watched_tokenizer(bool(inputs["_pad_last"]))
    return call(read, list(inputs["texts"]), list(inputs["labels"]), tokenizer, inputs["max_length"]) | facts


def pad_batch(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """2.4. The features go in as the items of 2.3: dicts of int64 tensors."""
    import torch

    features = [{name: torch.tensor(value) for name, value in one.items()} for one in inputs["features"]]
    return call(answer, features, inputs["pad_token_id"])


def length_bucketed_batches(answer: Callable[..., Any], inputs: Mapping[str, Plain]) -> dict[str, Plain]:
    """2.5, with `again` and `other` as in 2.2."""
    given = named(inputs, "seed")
    return with_seeds(
        lambda **other: call(answer, list(inputs["lengths"]), inputs["batch_size"], **given | other), inputs
    )


def _form(value: Any) -> Plain:
    """The kind, dtype and number of dimensions of an array or tensor, for others the name of the class."""
    import torch

    if isinstance(value, (torch.Tensor, np.ndarray, np.generic)):
        kind = "tensor" if isinstance(value, torch.Tensor) else "array"
        return f"{kind} {str(value.dtype).removeprefix('torch.')} {value.ndim}-D"
    return type(value).__name__

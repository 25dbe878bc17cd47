"""The checks of lesson 02: right answers in many styles pass, wrong ones get the hint that fits."""

import math
import random
from collections import defaultdict
from collections.abc import Callable
from itertools import cycle, islice
from typing import Any

import numpy as np
import pytest
import torch
from checking import (
    ExerciseLaws,
    judged,
)
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import BatchEncoding

import labkit
from labkit.checks import Exercise, check_only, exercise, exercises_in
from labkit.checks.exercise import OTHER_FORM
from labkit.lessons.exercises import dataset
from labkit.lessons.exercises.dataset.length_bucketed_batches import BUCKET_HINTS
from labkit.lessons.exercises.dataset.pad_batch import TOO_WIDE, pad_batch_reference
from labkit.lessons.exercises.dataset.rating_to_label import rating_to_label_reference
from labkit.lessons.exercises.dataset.review_dataset import review_dataset_reference
from labkit.lessons.exercises.dataset.stratified_split import SPLIT_HINTS
from labkit.lessons.observers.tokenization import small_tokenizer

EXERCISES = exercises_in(dataset)

# Right answers

Splits = dict[str, list[int]]
NAMES = ("train", "validation", "test")


def label_by_sign(rating: float, neutral_band: float = 0.5) -> Any:
    if np.isnan(rating) or np.abs(rating) < neutral_band:
        return None
    return (np.sign(rating).astype(np.int64) + 1) // 2


def label_by_torch(rating: float, neutral_band: float = 0.5) -> Any:
    known = torch.tensor(float(rating))
    return (known > 0).long() if known.abs() >= neutral_band else None


def label_by_cases(rating: float, neutral_band: float = 0.5) -> int | None:
    if rating != rating:
        return None
    if rating >= neutral_band:
        return 1
    elif rating <= -neutral_band:
        return 0
    return None


def groups_of(texts: list[str]) -> list[list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for place, text in enumerate(texts):
        groups[text.strip().lower()].append(place)
    return list(groups.values())


def split_by_filling(
    texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0
) -> dict[str, list[int]]:
    generator = random.Random(seed)
    groups = groups_of(texts)
    generator.shuffle(groups)
    parts: Splits = {name: [] for name in NAMES}
    for label in set(labels):
        own = [group for group in groups if labels[group[0]] == label]
        count, done = sum(map(len, own)), 0
        for group in own:
            share = done / count
            name = "train" if share < fractions[0] else "validation" if share < fractions[0] + fractions[1] else "test"
            parts[name] += group
            done += len(group)
    return parts


def split_by_scikit_learn(
    texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0
) -> dict[str, list[int]]:
    from sklearn.model_selection import train_test_split

    groups = groups_of(texts)
    of_group = [labels[group[0]] for group in groups]
    train, rest = train_test_split(
        range(len(groups)), test_size=fractions[1] + fractions[2], stratify=of_group, random_state=seed
    )
    share = fractions[2] / (fractions[1] + fractions[2])
    validation, test = train_test_split(rest, test_size=share, stratify=[of_group[g] for g in rest], random_state=seed)
    chosen = zip(NAMES, (train, validation, test), strict=True)
    return {name: [place for group in part for place in groups[group]] for name, part in chosen}


def split_by_trying(
    texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0
) -> dict[str, list[np.int64]]:
    """Pure Python and quadratic: copies are looked for one by one, then the group goes where most is missing."""
    generator = np.random.default_rng(seed)
    missing = {
        (name, label): share * labels.count(label)
        for name, share in zip(NAMES, fractions, strict=True)
        for label in (0, 1)
    }
    parts: dict[str, list[np.int64]] = {name: [] for name in NAMES}
    done: set[int] = set()
    for place in generator.permutation(len(texts)):
        if place in done:
            continue
        text = texts[place].strip().lower()
        copies = [other for other in range(len(texts)) if texts[other].strip().lower() == text]
        done.update(copies)
        name = max(NAMES, key=lambda name: missing[name, labels[place]])
        missing[name, labels[place]] -= len(copies)
        parts[name] += map(np.int64, copies)
    return parts


class LazyItems(Dataset):
    def __init__(self, texts: list[str], labels: list[int], tokenizer: Any, max_length: int) -> None:
        self.texts, self.labels, self.tokenizer, self.max_length = texts, labels, tokenizer, max_length

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, index: int) -> BatchEncoding:
        item = self.tokenizer(self.texts[index], truncation=True, max_length=self.max_length)
        item = BatchEncoding({name: torch.tensor(values) for name, values in item.items()})
        item["labels"] = torch.tensor(self.labels[index])
        return item


class SqueezedItems(LazyItems):
    def __getitem__(self, index: int) -> Any:
        item = self.tokenizer(
            self.texts[index], truncation=True, max_length=self.max_length, return_tensors="pt", padding=False
        )
        return {name: values.squeeze(0) for name, values in item.items()} | {
            "labels": torch.tensor(self.labels[index], dtype=torch.long)
        }


class ItemsByHand(LazyItems):
    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        pieces = self.tokenizer.tokenize(self.texts[index])[: self.max_length - 2]
        ids = self.tokenizer.convert_tokens_to_ids(["[CLS]", *pieces, "[SEP]"])
        labels = torch.tensor(self.labels)
        return {
            "input_ids": torch.LongTensor(ids),
            "attention_mask": torch.LongTensor([1] * len(ids)),
            "labels": labels[index],
        }


class ItemsOfNumpy(LazyItems):
    def __getitem__(self, index: int) -> dict[str, Any]:
        item = LazyItems.__getitem__(self, index)
        return {name: item[name].numpy() for name in ("input_ids", "attention_mask")} | {
            "labels": np.int64(self.labels[index])
        }


def batch_by_pad_sequence(features: list[dict[str, torch.Tensor]], pad_token_id: int) -> dict[str, torch.Tensor]:
    def padded(name: str, value: int) -> torch.Tensor:
        return pad_sequence([feature[name] for feature in features], batch_first=True, padding_value=value)

    labels = torch.stack([feature["labels"] for feature in features])
    return {
        "input_ids": padded("input_ids", pad_token_id),
        "attention_mask": padded("attention_mask", 0),
        "labels": labels,
    }


def batch_by_filling(features: list[dict[str, torch.Tensor]], pad_token_id: int) -> dict[str, torch.Tensor]:
    shape = (len(features), max(len(feature["input_ids"]) for feature in features))
    ids, mask = torch.full(shape, pad_token_id), torch.zeros(shape, dtype=torch.int64)
    for row, feature in enumerate(features):
        ids[row, : len(feature["input_ids"])] = feature["input_ids"]
        mask[row, : len(feature["input_ids"])] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([int(one["labels"]) for one in features])}


def batch_by_lists(features: list[dict[str, torch.Tensor]], pad_token_id: int) -> Any:
    rows = [feature["input_ids"].tolist() for feature in features]
    width = max(map(len, rows))
    ids = [row + [pad_token_id] * (width - len(row)) for row in rows]
    mask = [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    labels = [feature["labels"].item() for feature in features]
    return BatchEncoding({"input_ids": ids, "attention_mask": mask, "labels": labels}, tensor_type="pt")


def batch_by_collate(features: list[dict[str, torch.Tensor]], pad_token_id: int) -> Any:
    width = max(len(feature["input_ids"]) for feature in features)
    fill = {"input_ids": pad_token_id, "attention_mask": 0}
    padded = [
        {
            name: torch.nn.functional.pad(value, (0, width - len(value)), value=fill[name]) if name in fill else value
            for name, value in feature.items()
        }
        for feature in features
    ]
    return torch.utils.data.default_collate(padded)


def batches_by_sorting(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    generator = random.Random(seed)
    order = sorted(range(len(lengths)), key=lambda place: (lengths[place], generator.random()))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    generator.shuffle(batches)
    return batches


def batches_by_numpy(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    generator = np.random.default_rng(seed)
    order = np.argsort(np.array(lengths) * generator.uniform(0.95, 1.05, len(lengths)))
    batches = np.split(order, range(batch_size, len(order), batch_size))
    return [batches[place].tolist() for place in generator.permutation(len(batches))]


def batches_by_torch(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    order = torch.tensor(lengths).argsort(stable=True).split(batch_size)
    return [order[place].tolist() for place in torch.randperm(len(order), generator=generator).tolist()]


def batches_by_chunks(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[np.int64]]:
    """Sorted within large random chunks, as samplers for long files do."""
    generator = np.random.default_rng(seed)
    order, large = generator.permutation(len(lengths)), 20 * batch_size
    batches = []
    for start in range(0, len(order), large):
        chunk = sorted(order[start : start + large], key=lambda place: -lengths[place])
        batches += [chunk[at : at + batch_size] for at in range(0, len(chunk), batch_size)]
    generator.shuffle(batches) if all(len(one) == batch_size for one in batches) else random.Random(seed).shuffle(
        batches
    )
    return batches


RIGHT: dict[str, list[Any]] = {
    "2.1": [labkit.rating_to_label, label_by_sign, label_by_torch, label_by_cases, rating_to_label_reference],
    "2.2": [labkit.stratified_split, split_by_filling, split_by_scikit_learn, split_by_trying],
    "2.3": [labkit.ReviewDataset, LazyItems, SqueezedItems, ItemsByHand, ItemsOfNumpy],
    "2.4": [labkit.pad_batch, batch_by_pad_sequence, batch_by_filling, batch_by_lists, batch_by_collate],
    "2.5": [
        labkit.length_bucketed_batches,
        batches_by_sorting,
        batches_by_numpy,
        batches_by_torch,
        batches_by_chunks,
    ],
}

# Wrong answers beside the known ones, each with the words that its hint must have


def split_without(*left_out: str) -> Callable[..., Any]:
    """A right split but for what is left out of it."""

    def answer(texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0) -> Any:
        generator = np.random.default_rng(0 if "seed" in left_out else seed)
        shares = (0.8, 0.1, 0.1) if "fractions" in left_out else fractions
        spelled = texts
        if "lower" not in left_out:
            spelled = [text.lower() for text in spelled]
        if "strip" not in left_out:
            spelled = [text.strip() for text in spelled]
        groups: dict[Any, list[int]] = defaultdict(list)
        for place, text in enumerate(spelled):
            groups[place if "copies" in left_out else text].append(place)
        parts: Splits = {name: [] for name in NAMES}
        for label in [None] if "labels" in left_out else [0, 1]:
            own = [group for group in groups.values() if label in (None, labels[group[0]])]
            order = range(len(own)) if "shuffle" in left_out else generator.permutation(len(own))
            bounds = np.cumsum(shares) * sum(map(len, own))
            done = 0
            for group in (own[place] for place in order):
                parts[NAMES[min(2, int(np.searchsorted(bounds - 1e-6, done, side="right")))]] += group
                done += len(group)
        return parts

    return answer


def split_twice(texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0) -> Splits:
    generator = np.random.default_rng(seed)
    sizes = [round(share * len(texts)) for share in fractions]
    return {name: generator.choice(len(texts), size).tolist() for name, size in zip(NAMES, sizes, strict=True)}


def split_of_texts(texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0) -> Any:
    parts = labkit.stratified_split(texts, labels, fractions, seed)
    return {name: [texts[place] for place in part] for name, part in parts.items()}


def split_without_copies(texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0) -> Any:
    first = {group[0] for group in groups_of(texts)}
    parts = labkit.stratified_split(texts, labels, fractions, seed)
    return {name: [place for place in part if place in first] for name, part in parts.items()}


def split_turned(texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0) -> Any:
    parts = labkit.stratified_split(texts, labels, fractions, seed)
    return {"train": parts["train"], "validation": parts["test"], "test": parts["validation"]}


def split_without_seed(texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0) -> Any:
    return labkit.stratified_split(texts, labels, fractions, np.random.SeedSequence().entropy)


def split_with_global_generator(
    texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0
) -> Any:
    np.random.seed(seed)
    return labkit.stratified_split(texts, labels, fractions, int(np.random.randint(10**6)))


def split_as_arrays(texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0) -> Any:
    parts = labkit.stratified_split(texts, labels, fractions, seed)
    return {name: np.array(part) for name, part in parts.items()}


def split_in_place(texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0) -> Any:
    texts[:] = [text.strip().lower() for text in texts]
    return labkit.stratified_split(texts, labels, fractions, seed)


class FloatLabels(LazyItems):
    def __getitem__(self, index: int) -> Any:
        item = LazyItems.__getitem__(self, index)
        item["labels"] = item["labels"].float()
        return item


class PlainLabels(LazyItems):
    def __getitem__(self, index: int) -> Any:
        item = LazyItems.__getitem__(self, index)
        item["labels"] = self.labels[index]
        return item


class ListItems(LazyItems):
    def __getitem__(self, index: int) -> Any:
        item = LazyItems.__getitem__(self, index)
        return {name: values.tolist() for name, values in item.items()}


class NoLabels(LazyItems):
    def __getitem__(self, index: int) -> Any:
        return {name: values for name, values in LazyItems.__getitem__(self, index).items() if name != "labels"}


class ShortLength(LazyItems):
    def __len__(self) -> int:
        return self.max_length


class ItemsInTurn(LazyItems):
    turn = -1

    def __getitem__(self, index: int) -> Any:
        self.turn += 1
        return LazyItems.__getitem__(self, self.turn)


class NoDataset:
    __init__ = LazyItems.__init__
    __len__ = LazyItems.__len__
    __getitem__ = LazyItems.__getitem__


def batch_too_wide(features: list[dict[str, torch.Tensor]], pad_token_id: int) -> dict[str, Any]:
    longest = {name: torch.ones(32, dtype=torch.int64) for name in ("input_ids", "attention_mask")}
    batch = batch_by_pad_sequence([*features, {**longest, "labels": torch.tensor(0)}], pad_token_id)
    return {name: values[:-1] for name, values in batch.items()}


def batch_as_floats(features: list[dict[str, torch.Tensor]], pad_token_id: int) -> Any:
    return {name: values.float() for name, values in labkit.pad_batch(features, pad_token_id).items()}


def batch_as_arrays(features: list[dict[str, torch.Tensor]], pad_token_id: int) -> Any:
    return {name: values.numpy() for name, values in labkit.pad_batch(features, pad_token_id).items()}


def batch_in_place(features: list[dict[str, torch.Tensor]], pad_token_id: int) -> Any:
    batch = labkit.pad_batch(features, pad_token_id)
    for feature, row in zip(features, batch["input_ids"], strict=True):
        feature["input_ids"] = row
    return batch


def batch_without_labels(features: list[dict[str, torch.Tensor]], pad_token_id: int) -> Any:
    batch = labkit.pad_batch(features, pad_token_id)
    return {name: batch[name] for name in ("input_ids", "attention_mask")}


def batches_at_random(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    order = np.random.default_rng(seed).permutation(len(lengths)).tolist()
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def batches_in_order(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def batches_sorted_afresh(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    batches = [sorted(batch) for batch in batches_by_sorting(lengths, batch_size, seed)]
    return sorted(batches, key=lambda batch: -max(lengths[place] for place in batch))


def batches_then_shuffled(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    random.Random(seed).shuffle(order)
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def batches_without_rest(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    return [batch for batch in batches_by_sorting(lengths, batch_size, seed) if len(batch) == batch_size]


def batches_of_lengths(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    return [[lengths[place] for place in batch] for batch in batches_by_sorting(lengths, batch_size, seed)]


def batches_by_bucket(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    generator = random.Random(seed)
    buckets: dict[int, list[int]] = defaultdict(list)
    for place, length in enumerate(lengths):
        buckets[length // 10].append(place)
    batches = []
    for bucket in buckets.values():
        generator.shuffle(bucket)
        batches += [bucket[start : start + batch_size] for start in range(0, len(bucket), batch_size)]
    generator.shuffle(batches)
    return batches


def batches_filled_up(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    batches = batches_by_sorting(lengths, batch_size, seed)
    return [list(islice(cycle(batch), batch_size)) for batch in batches]


def batches_too_large(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    return batches_by_sorting(lengths, batch_size + 1, seed)


def batches_without_seed(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    return batches_by_sorting(lengths, batch_size, random.SystemRandom().randrange(10**9))


def batches_of_one_seed(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    return batches_by_sorting(lengths, batch_size, 0)


def batches_by_global_generator(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    random.seed(seed)
    return batches_by_sorting(lengths, batch_size, random.randrange(10**6))


def batches_as_tuples(lengths: list[int], batch_size: int, seed: int = 0) -> Any:
    return [tuple(batch) for batch in batches_by_sorting(lengths, batch_size, seed)]


def batches_half_sorted(lengths: list[int], batch_size: int, seed: int = 0) -> list[list[int]]:
    """Sorted within runs of two batches only."""
    order = np.random.default_rng(seed).permutation(len(lengths)).tolist()
    batches = []
    for start in range(0, len(order), 2 * batch_size):
        run = sorted(order[start : start + 2 * batch_size], key=lengths.__getitem__)
        batches += [run[at : at + batch_size] for at in range(0, len(run), batch_size)]
    return batches


def labelled_as_bool(rating: float, neutral_band: float = 0.5) -> Any:
    label = labkit.rating_to_label(rating, neutral_band)
    return label if label is None else bool(label)


def labelled_as_float(rating: float, neutral_band: float = 0.5) -> Any:
    label = labkit.rating_to_label(rating, neutral_band)
    return label if label is None else float(label)


def labelled_as_text(rating: float, neutral_band: float = 0.5) -> Any:
    label = labkit.rating_to_label(rating, neutral_band)
    return label if label is None else ["negative", "positive"][label]


def labelled_with_a_third_class(rating: float, neutral_band: float = 0.5) -> Any:
    label = labkit.rating_to_label(rating, neutral_band)
    return 2 if label is None else label


OTHER_WRONG: list[tuple[str, Any, str]] = [
    ("2.1", labelled_as_bool, "int or None"),
    ("2.1", labelled_as_float, "int or None"),
    ("2.1", labelled_as_text, "Which label"),
    ("2.1", labelled_with_a_third_class, "left out"),
    ("2.2", split_without("shuffle", "labels"), SPLIT_HINTS["in order"]),
    ("2.2", split_without("labels"), "Divide each class on its own"),
    ("2.2", split_without("copies"), SPLIT_HINTS["identical"]),
    ("2.2", split_without("lower", "strip"), SPLIT_HINTS["case and space"]),
    ("2.2", split_without("lower"), SPLIT_HINTS["case"]),
    ("2.2", split_without("strip"), SPLIT_HINTS["space"]),
    ("2.2", split_without("fractions"), SPLIT_HINTS["usual fractions"]),
    ("2.2", split_without("seed"), "the same for every seed"),
    ("2.2", split_without("shuffle"), "the same for every seed"),
    ("2.2", split_twice, SPLIT_HINTS["twice"]),
    ("2.2", split_of_texts, SPLIT_HINTS["no place"]),
    ("2.2", split_without_copies, SPLIT_HINTS["missing"]),
    ("2.2", split_turned, SPLIT_HINTS["swapped"]),
    ("2.2", split_without_seed, "Called again with the same seed"),
    ("2.2", split_with_global_generator, "global random state"),
    ("2.2", split_as_arrays, "asks for a dict of three lists of ints"),
    ("2.2", split_in_place, "Work on a copy"),
    ("2.3", FloatLabels, "64 bits"),
    ("2.3", PlainLabels, "64 bits"),
    ("2.3", ListItems, OTHER_FORM),
    ("2.3", NoLabels, "Your items have no labels"),
    ("2.3", ShortLength, "How many items"),
    ("2.3", ItemsInTurn, "Turn the ids"),
    ("2.3", NoDataset, "inherit"),
    ("2.4", batch_too_wide, TOO_WIDE),
    ("2.4", batch_as_floats, "int64 tensors"),
    ("2.4", batch_as_arrays, "int64 tensors"),
    ("2.4", batch_in_place, "Work on a copy"),
    ("2.4", batch_without_labels, "Your result has no labels"),
    ("2.5", batches_at_random, BUCKET_HINTS["random"]),
    ("2.5", batches_then_shuffled, BUCKET_HINTS["random"]),
    ("2.5", batches_half_sorted, "Yours are still mixed"),
    ("2.5", batches_in_order, "Shuffle whole batches"),
    ("2.5", batches_sorted_afresh, "Shuffle whole batches"),
    ("2.5", batches_without_rest, BUCKET_HINTS["missing"]),
    ("2.5", batches_of_lengths, BUCKET_HINTS["no place"]),
    ("2.5", batches_by_bucket, BUCKET_HINTS["too small"]),
    ("2.5", batches_filled_up, BUCKET_HINTS["twice"]),
    ("2.5", batches_too_large, BUCKET_HINTS["too large"]),
    ("2.5", batches_without_seed, "Called again with the same seed"),
    ("2.5", batches_of_one_seed, "the same for every seed"),
    ("2.5", batches_by_global_generator, "global random state"),
    ("2.5", batches_as_tuples, "asks for a list of lists of ints"),
]


of_each = pytest.mark.parametrize("one", EXERCISES, ids=lambda one: one.id)


# Lazy answers


class ZeroItems(LazyItems):
    def __getitem__(self, index: int) -> Any:
        return {name: values * 0 for name, values in LazyItems.__getitem__(self, index).items()}


def zero_split(texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0) -> Any:
    return {name: [0] * round(share * len(texts)) for name, share in zip(NAMES, fractions, strict=True)}


def all_in_train(texts: list[str], labels: list[int], fractions: Any = (0.8, 0.1, 0.1), seed: int = 0) -> Any:
    return {"train": list(range(len(texts))), "validation": [], "test": []}


def zero_batch(features: list[dict[str, torch.Tensor]], pad_token_id: int) -> Any:
    return {name: values * 0 for name, values in labkit.pad_batch(features, pad_token_id).items()}


def zero_batches(lengths: list[int], batch_size: int, seed: int = 0) -> Any:
    return [[0] * len(batch) for batch in batches_by_sorting(lengths, batch_size, seed)]


def one_batch(lengths: list[int], batch_size: int, seed: int = 0) -> Any:
    return [list(range(len(lengths)))]


TRIVIAL: list[tuple[str, Any]] = [
    ("2.1", lambda rating, neutral_band=0.5: 0),
    ("2.1", lambda rating, neutral_band=0.5: rating),
    ("2.1", lambda rating, neutral_band=0.5: math.nan),
    ("2.2", zero_split),
    ("2.2", all_in_train),
    ("2.2", lambda texts, labels, fractions=None, seed=0: {name: [] for name in NAMES}),
    ("2.3", ZeroItems),
    ("2.4", zero_batch),
    ("2.4", lambda features, pad_token_id: features[0]),
    ("2.5", zero_batches),
    ("2.5", one_batch),
    ("2.5", lambda lengths, batch_size, seed=0: [lengths]),
]


SLOWEST = {name: answers[-1] for name, answers in RIGHT.items()} | {"2.2": split_by_trying}
FEWER_SEEDS = {split_by_trying: 10}  # quadratic
MORE_HINTS = {"2.2": SPLIT_HINTS.values(), "2.4": [TOO_WIDE], "2.5": BUCKET_HINTS.values()}


class TestExercises(ExerciseLaws):
    exercises = EXERCISES
    right = RIGHT
    wrong = OTHER_WRONG
    trivial = TRIVIAL
    slowest = SLOWEST
    seeds = FEWER_SEEDS
    more_hints = MORE_HINTS


def test_an_untouched_class_is_not_attempted_and_a_half_written_one_is_told_so() -> None:
    class Untouched(Dataset):
        def __init__(self, texts: Any, labels: Any, tokenizer: Any, max_length: int) -> None:
            raise NotImplementedError()

    class Half(LazyItems):
        def __getitem__(self, index: int) -> Any:
            if len(self.texts) > 1:
                raise NotImplementedError()
            return LazyItems.__getitem__(self, index)

    assert judged(exercise("2.3"), Untouched).status == "not attempted"
    assert "NotImplementedError" in judged(exercise("2.3"), Half).hint


@of_each
def test_an_endless_answer_is_stopped_and_one_that_exits_is_only_an_answer(one: Exercise) -> None:
    def endless(*arguments: Any, **named: Any) -> Any:
        while True:
            pass

    def leaves(*arguments: Any, **named: Any) -> Any:
        raise SystemExit(0)

    one.cases(np.random.default_rng(0))  # what is made once is made
    stopped = check_only(one, endless, timeout=0.2)
    assert (stopped.status, stopped.points) == ("failed", 0.0) and "too long" in stopped.hint
    assert "SystemExit" in check_only(one, leaves).hint


# The references stand on other people's code


def test_the_reference_of_pad_batch_is_the_tokenizers_own_pad() -> None:
    tokenizer = small_tokenizer(pad_last=True)
    features = [
        {"input_ids": [1, *range(5, 5 + n), 2], "attention_mask": [1] * (n + 2), "labels": n % 2} for n in (3, 0, 7)
    ]
    wanted = tokenizer.pad(features, return_tensors="np")
    found = pad_batch_reference(features, tokenizer.pad_token_id)
    for name, values in found.items():
        np.testing.assert_array_equal(values, wanted[name])


def test_the_reference_of_review_dataset_keeps_the_final_sep() -> None:
    (item,) = review_dataset_reference(["a film about a film that is not good"], [1], 5)
    input_ids = item["input_ids"].values
    assert input_ids[-1] == small_tokenizer().sep_token_id and len(input_ids) == 5


@given(st.floats(), st.sampled_from([0.25, 0.5, 1.0]))
def test_the_reference_of_rating_to_label_is_labkits_own(rating: float, band: float) -> None:
    assert rating_to_label_reference(rating, band) == labkit.rating_to_label(rating, band)

"""Splits into training, validation and test, copies of a text never apart.

The test split is fixed by the texts, so no seed, profile or neutral band can move a review out of it. A text's own hash
puts it there, or that of a copy: texts of the same letters and digits (`copy_key`) are copies, and all of them are for
testing as soon as one is. So a review that is added can bring its copies to the test split, and none is ever taken out by
what is added. Does not divide into folds (folds.py).
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle

import numpy as np

from labkit.data.reviews import CLASS_NAMES, Reviews, copy_key
from labkit.errors import UsageError

TEST_SHARE = 10  # one text in ten, by its hash
FEWEST_PER_CLASS = 2  # what every split needs of each class for its metrics to mean anything


@dataclass(frozen=True)
class Splits:
    """Training, validation and test reviews; no text stands in two of them."""

    train: Reviews
    validation: Reviews
    test: Reviews


def in_test_split(text: str) -> bool:
    """Decide whether a text belongs to the test split, by its own hash alone.

    So nothing that a run can choose moves it. What is hashed is the text in lower case with single spaces, as in the
    first release; copies that this tells apart follow in `held_out_places`.
    """
    digest = hashlib.sha256(" ".join(text.lower().split()).encode()).digest()
    return int.from_bytes(digest[:8], "big") % TEST_SHARE == 0


def held_out_places(texts: Sequence[str], copies_left_out: Sequence[str] = ()) -> list[int]:
    """List the places of the texts that are for testing: by their own hash, or by that of a copy.

    copies_left_out: texts that stand elsewhere, and whose copies follow them all the same.
    """
    keys = list(map(copy_key, texts))
    tested = {key for text, key in zip(texts, keys, strict=True) if in_test_split(text)}
    tested.update(copy_key(text) for text in copies_left_out if in_test_split(text))
    return [place for place, key in enumerate(keys) if key in tested]


def split_reviews(
    reviews: Reviews,
    seed: int = 0,
    validation_fraction: float = 0.1,
    train_examples: int | None = None,
    validation_examples: int | None = None,
) -> Splits:
    """Split reviews into training, validation and test.

    The test split goes by hash (`held_out_places`), the others by seed. validation_fraction: of the whole. train_examples,
    validation_examples: where given, a fixed part of that split (by hash again, so that a smaller part lies within a
    larger one). Raises UsageError where a split would have fewer than two reviews of a class.
    """
    test = held_out_places(reviews.texts, reviews.copies_left_out)
    rest = reviews.select(sorted(set(range(len(reviews))) - set(test)))
    share = min(validation_fraction * len(reviews) / max(1, len(rest)), 0.5)
    parts = assign_groups(rest.texts, rest.labels, {"train": 1 - share, "validation": share}, seed)
    splits = Splits(
        train=_fixed_part(rest.select(parts["train"]), train_examples),
        validation=_fixed_part(rest.select(parts["validation"]), validation_examples),
        test=reviews.select(test),
    )
    for split, part in vars(splits).items():
        for name, count in zip(CLASS_NAMES, part.class_counts, strict=True):
            if count < FEWEST_PER_CLASS:
                raise UsageError(
                    f"{reviews.name}: {len(reviews)} reviews give the {split} split {count} {name} ones; "
                    f"wanted at least {FEWEST_PER_CLASS} of each class in each split, so add reviews"
                )
    return splits


def stratified_split(
    texts: Sequence[str], labels: Sequence[int], fractions: tuple[float, float, float] = (0.8, 0.1, 0.1), seed: int = 0
) -> dict[str, list[int]]:
    """Split texts into train, validation and test with equal shares of the classes.

    Returns the indices of each split. Copies of a text stay together.

    >>> parts = stratified_split([f"review {i}" for i in range(100)], [0, 1] * 50)
    >>> {name: len(indices) for name, indices in parts.items()}
    {'train': 80, 'validation': 10, 'test': 10}
    """
    names = ("train", "validation", "test")
    return assign_groups(texts, labels, dict(zip(names, fractions, strict=True)), seed)


def assign_groups(
    texts: Sequence[str], labels: Iterable[int], shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Assign every index to one split, copies of a text to the same.

    Each class is divided by `shares` as exactly as whole texts allow. Texts come in random order, those with the most
    copies first. Each goes to the split that is furthest behind its share of the class and has room for all its copies,
    or where none has, to the one with the most room.
    """
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        groups.setdefault(copy_key(text), []).append(index)
    known = [int(label) for label in labels]
    generator = np.random.default_rng(seed)
    parts: dict[str, list[int]] = {name: [] for name in shares}
    for label in sorted(set(known)):
        of_class = [members for members in groups.values() if known[members[0]] == label]
        size = sum(map(len, of_class))
        missing = {name: share * size for name, share in shares.items()}
        order = generator.permutation(len(of_class)).tolist()
        for copies in sorted((of_class[position] for position in order), key=len, reverse=True):
            roomy = [name for name in shares if missing[name] > len(copies) - 1e-9]
            furthest = max(roomy or shares, key=lambda name: missing[name] / (shares[name] if roomy else 1))
            parts[furthest] += copies
            missing[furthest] -= len(copies)
    return {name: sorted(indices) for name, indices in parts.items()}


def _fixed_part(reviews: Reviews, count: int | None) -> Reviews:
    if count is None or count >= len(reviews):
        return reviews
    order = sorted(range(len(reviews)), key=lambda i: hashlib.sha256(f"part {reviews.texts[i]}".encode()).digest())
    return reviews.select(sorted(order[:count]))


def plant_copies(reviews: Reviews, share: float, seed: int = 0) -> Reviews:
    """Add copies of a random `share` of the reviews, as a careless collection has.

    They stand behind the reviews. Some copies are exact, some differ in letter case or outer white space; each has the
    label of its original.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(reviews), size=round(share * len(reviews)), replace=False)
    spellings: list[Callable[[str], str]] = [str, str.upper, str.title, "  {} ".format]
    originals = [reviews.texts[i] for i in chosen]
    copies = [spelling(text) for spelling, text in zip(cycle(spellings), originals, strict=False)]
    copies = [  # ß in capitals is SS, which no .strip().lower() brings back
        copy if copy.strip().lower() == text.strip().lower() else text
        for copy, text in zip(copies, originals, strict=True)
    ]
    ids = [f"{reviews.ids[i]}-copy" for i in chosen]
    labels = np.concatenate([reviews.labels, reviews.labels[chosen]])
    return Reviews(f"{reviews.name} with copies", [*reviews.ids, *ids], [*reviews.texts, *copies], labels)


def leaks(splits: Splits) -> dict[str, int]:
    """Count the validation and test texts that stand in the training split too.

    In any spelling that leaves the letters and digits the same. Both counts are 0 for our own splits.
    """
    train = {copy_key(text) for text in splits.train.texts}
    return {
        name: sum(copy_key(text) in train for text in part.texts)
        for name, part in (("validation", splits.validation), ("test", splits.test))
    }

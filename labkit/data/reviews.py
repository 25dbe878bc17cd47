"""Reviews: texts with labels, where they come from, and how they are split.

Labels come from human ratings or from a column of your own file. The test split is fixed by the text alone, so no seed,
profile or neutral band can move a review out of it. Does not tokenize (tokens.py).
"""

import hashlib
import html
import json
import math
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labkit.data import assets
from labkit.data.readers import ReviewFileError, Row, and_more, column_of, read_rows
from labkit.errors import UsageError, did_you_mean
from labkit.files import write_atomically

CLASS_NAMES = ("negative", "positive")
LABELS = {"0": 0, "1": 1, "neg": 0, "pos": 1, "negative": 0, "positive": 1}
CORPORA = {
    "movies": "movieReviewSnippets",
    "products": "amazonReviewSnippets",
    "editorials": "nytEditorialSnippets",
    "tweets": "tweets",
}
TEST_SHARE = 10  # one text in ten, by its hash
FEWEST_PER_CLASS = 2  # what every split needs of each class for its metrics to mean anything


class Citation(NamedTuple):
    """A publication as one writes it down, and where it is."""

    text: str
    link: str


HUTTO_GILBERT = Citation(
    "Hutto, C. J. & Gilbert, E. (2014). VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media "
    "Text. Eighth International Conference on Weblogs and Social Media (ICWSM-14), 216–225.",
    "https://doi.org/10.1609/icwsm.v8i1.14550",
)
PANG_LEE = Citation(
    "Pang, B. & Lee, L. (2004). A Sentimental Education: Sentiment Analysis Using Subjectivity Summarization Based on "
    "Minimum Cuts. Proceedings of the 42nd Annual Meeting of the ACL, 271–278.",
    "https://doi.org/10.3115/1218955.1218990",
)
CITATIONS = {name: [HUTTO_GILBERT] for name in CORPORA} | {"movies": [HUTTO_GILBERT, PANG_LEE]}  # of each corpus


@dataclass(frozen=True)
class Reviews:
    """Texts with their labels, in order.

    labels: (n,) int64, 0 negative and 1 positive. notes: what was left out or changed on the way in, each with its
    count, to be shown to whoever uses the reviews.
    """

    name: str
    ids: Sequence[str]
    texts: Sequence[str]
    labels: np.ndarray
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, indices: Sequence[int] | np.ndarray) -> "Reviews":
        """The reviews at these places, in this order; the notes stay with the whole."""
        ids, texts = [self.ids[i] for i in indices], [self.texts[i] for i in indices]
        return Reviews(self.name, ids, texts, self.labels[np.asarray(indices, dtype=np.int64)])

    @property
    def class_counts(self) -> tuple[int, ...]:
        """How many reviews each class has."""
        return tuple(np.bincount(self.labels, minlength=len(CLASS_NAMES)).tolist())

    @cached_property
    def hash(self) -> str:
        """SHA-256 over texts and labels in order: the same data gives the same hash on every machine."""
        digest = hashlib.sha256()
        for text, label in zip(self.texts, self.labels.tolist(), strict=True):
            digest.update(f"{label}\t{len(text)}\t{text}\n".encode())
        return digest.hexdigest()

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {name}" for count, name in zip(self.class_counts, CLASS_NAMES, strict=True))
        return f"Reviews({self.name}: {counts})"

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>"


@dataclass(frozen=True)
class Splits:
    """Training, validation and test reviews; no text stands in two of them."""

    train: Reviews
    validation: Reviews
    test: Reviews


@dataclass(frozen=True)
class Corpus:
    """Snippets with the ratings of many people, before anyone has decided what counts as positive.

    ratings: (n,) mean rating in [-4, 4]. rater_ratings: every single rating of each snippet, in no order of people; empty
    where there is only the mean.
    """

    name: str
    ids: Sequence[str]
    texts: Sequence[str]
    ratings: np.ndarray
    rater_ratings: Sequence[Sequence[int]]

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        counts = [len(ratings) for ratings in self.rater_ratings]
        people = f"each rated by {min(counts)} to {max(counts)} people" if counts else "mean ratings only"
        return f"Corpus({self.name}: {len(self):,} texts, {people})"


def normalise(text: str) -> str:
    """The form under which two texts count as the same: lower case, white space single.

    >>> normalise("  A  GREAT film ")
    'a great film'
    """
    return " ".join(text.lower().split())


def in_test_split(text: str) -> bool:
    """Whether a text belongs to the test split: decided by its own hash, so by nothing that a run can choose."""
    digest = hashlib.sha256(normalise(text).encode()).digest()
    return int.from_bytes(digest[:8], "big") % TEST_SHARE == 0


def clean(text: str) -> str:
    """A text without control characters (NUL and the like; line breaks and tabs become spaces) and outer white space.

    Format characters that scripts and emoji need (joiners, direction marks) stay.
    """
    spaced = "".join(" " if character in "\t\n\r\v\f\x85" else character for character in text)
    return "".join(character for character in spaced if unicodedata.category(character) != "Cc").strip()


def rating_to_label(rating: float, neutral_band: float = 0.5) -> int | None:
    """1 for a positive mean rating, 0 for a negative one, None for one in the neutral band or NaN.

    >>> [rating_to_label(rating) for rating in (2.3, -0.5, 0.49)]
    [1, 0, None]
    """
    if math.isnan(rating) or abs(rating) < neutral_band:
        return None
    return int(rating > 0)


def load_corpus(name: str = "movies") -> Corpus:
    """One of the four corpora of Hutto & Gilbert (ICWSM 2014), fetched if need be: movies, products, editorials, tweets.

    Raises UsageError for another name, and AssetMissing where it is neither in the cache nor to be had.
    """
    import pyarrow
    import pyarrow.ipc

    if name not in CORPORA:
        raise UsageError(f"{name} is none of {', '.join(CORPORA)}{did_you_mean(name, CORPORA)}")
    folder = assets.fetch("reviews")
    arrow = folder / f"{name}.arrow"
    if not arrow.is_file():
        table = _parse_corpus(folder, CORPORA[name])
        sink = pyarrow.BufferOutputStream()
        with pyarrow.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        write_atomically(arrow, sink.getvalue().to_pybytes())
    with pyarrow.memory_map(str(arrow)) as source:
        columns = pyarrow.ipc.open_file(source).read_all()
        return Corpus(
            name=name,
            ids=columns["id"].to_pylist(),
            texts=columns["text"].to_pylist(),
            ratings=np.array(columns["rating"].to_pylist()),  # to_numpy would import pandas
            rater_ratings=columns["ratings"].to_pylist(),
        )


def _parse_corpus(folder: Path, stem: str):  # type: ignore[no-untyped-def]  # pyarrow has no types
    """A corpus as an Arrow table: its two files have the same ids, in some corpora in another order."""
    import pyarrow

    texts, raters = (
        [line.split("\t") for line in (folder / f"{stem}_{kind}.txt").read_text("utf-8-sig").splitlines() if line]
        for kind in ("GroundTruth", "anonDataRatings")
    )
    ratings_of = {row[0]: json.loads(row[3]) for row in raters}
    return pyarrow.table(
        {
            "id": [row[0] for row in texts],
            "text": [clean(html.unescape(row[2])) for row in texts],
            "rating": [float(row[1]) for row in texts],
            "ratings": pyarrow.array([ratings_of[row[0]] for row in texts], pyarrow.list_(pyarrow.int8())),
        }
    )


def movie_reviews(neutral_band: float = 0.5) -> Reviews:
    """The movie reviews with labels; those whose mean rating lies in the neutral band are left out and counted."""
    return label_corpus(load_corpus("movies"), neutral_band)


def label_corpus(corpus: Corpus, neutral_band: float = 0.5) -> Reviews:
    """A corpus as labelled reviews; neutral ones are left out and counted."""
    labels = [rating_to_label(rating, neutral_band) for rating in corpus.ratings]
    kept = [index for index, label in enumerate(labels) if label is not None]
    ids, texts = [corpus.ids[i] for i in kept], [corpus.texts[i] for i in kept]
    neutral = len(corpus) - len(kept)
    notes = (f"{neutral:,} neutral reviews left out (mean rating nearer to 0 than {neutral_band})",) if neutral else ()
    known = np.array([labels[i] for i in kept], dtype=np.int64)
    return Reviews(corpus.name, ids, texts, known, notes + _duplicate_notes(texts, known))


def sample_reviews(neutral_band: float = 0.5) -> Reviews:
    """The small sample written for this project: for notebooks in a room where nothing could be fetched."""
    return label_corpus(sample_corpus(), neutral_band)


def sample_corpus() -> Corpus:
    """The same before anyone has decided what counts as positive; nobody but its authors rated it, so no single ratings."""
    rows = read_rows(assets.SAMPLE_REVIEWS)
    ratings = np.array([float(str(row.values["rating"])) for row in rows])
    ids, texts = ([str(row.values["id"]) for row in rows], [str(row.values["text"]) for row in rows])
    return Corpus("written sample", ids, texts, ratings, rater_ratings=())


def read_reviews(path: Path, text_column: str = "text", label_column: str = "label", id_column: str = "id") -> Reviews:
    """Your own reviews from a CSV, TSV, JSON lines or Parquet file.

    Labels are 0 or neg(ative), 1 or pos(itive), in any case. A column of ids is used where there is one. Empty texts are
    left out and control characters removed, both counted in `notes`. Raises ReviewFileError for what is broken: a missing
    column, a label outside the map, one class only, an id that stands twice, and what `read_rows` refuses.
    """
    rows = read_rows(path)
    column_of(rows, text_column, path)
    column_of(rows, label_column, path)
    labels = np.array(_labels(rows, label_column, path), dtype=np.int64)
    ids = _ids(rows, id_column, path)
    raw = _texts(rows, text_column, path)
    # JSON can hold half a surrogate pair, which no tokenizer takes
    texts = [clean(text.encode("utf-8", "replace").decode()) for text in raw]
    kept = [index for index, text in enumerate(texts) if text and text.lower() != "nan"]
    notes = _counted("empty texts left out", len(texts) - len(kept))
    notes += _counted("texts with control characters, which were removed", sum(map(_has_control_characters, raw)))
    notes += _counted("texts with half a surrogate pair, now a question mark", sum(map(_has_half_a_pair, raw)))
    reviews = Reviews(path.name, ids, texts, labels).select(kept)
    if len(set(reviews.labels.tolist())) < len(CLASS_NAMES):
        present = ", ".join(sorted({CLASS_NAMES[label] for label in reviews.labels})) or "none"
        raise ReviewFileError(f'{path}: one class only ({present}) in column "{label_column}"; wanted both 0 and 1')
    return Reviews(
        path.name, reviews.ids, reviews.texts, reviews.labels, notes + _duplicate_notes(reviews.texts, reviews.labels)
    )


def _labels(rows: Sequence[Row], column: str, path: Path) -> list[int]:
    labels = [LABELS.get(_label_text(row.values[column])) for row in rows]
    bad = [row for row, label in zip(rows, labels, strict=True) if label is None]
    if bad:
        found = str(bad[0].values[column])[:40]
        wanted = "0, 1, neg, pos, negative, positive"
        raise ReviewFileError(
            f'{path} line {bad[0].line}: label "{found}" is none of {wanted} (column "{column}"){and_more(len(bad))}'
        )
    return [label for label in labels if label is not None]


def _label_text(value: object) -> str:
    """A label as the map spells it; a whole float is the integer that a spreadsheet made it of."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = "" if isinstance(value, bool) else str(value).strip().lower()
    return {"0.0": "0", "1.0": "1"}.get(text, text)


def _texts(rows: Sequence[Row], column: str, path: Path) -> list[str]:
    texts = []
    for row in rows:
        value = row.values[column]
        if value is None or (isinstance(value, float) and math.isnan(value)):
            value = ""
        if not isinstance(value, str):
            kind = type(value).__name__
            raise ReviewFileError(f'{path} line {row.line}: the text is a {kind}; wanted a string (column "{column}")')
        texts.append(value)
    return texts


def _ids(rows: Sequence[Row], column: str, path: Path) -> list[str]:
    if not any(column in row.values for row in rows):
        return [str(row.line) for row in rows]
    column_of(rows, column, path)
    seen: dict[str, int] = {}
    for row in rows:
        name = str(row.values[column])
        if name in seen:
            twice = sum(count - 1 for count in Counter(str(r.values[column]) for r in rows).values())
            raise ReviewFileError(
                f'{path} line {row.line}: id "{name}" stands on line {seen[name]} already (column "{column}"){and_more(twice)}'
            )
        seen[name] = row.line
    return list(seen)


def _has_control_characters(text: str) -> bool:
    return any(unicodedata.category(character) == "Cc" and character not in "\t\n\r" for character in text)


def _has_half_a_pair(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _counted(what: str, count: int) -> tuple[str, ...]:
    return (f"{what}: {count:,}",) if count else ()


def _duplicate_notes(texts: Sequence[str], labels: np.ndarray) -> tuple[str, ...]:
    labels_of: dict[str, set[int]] = {}
    for text, label in zip(texts, labels.tolist(), strict=True):
        labels_of.setdefault(normalise(text), set()).add(label)
    copies = len(texts) - len(labels_of)
    contradictory = sum(len(found) > 1 for found in labels_of.values())
    return _counted("copies of another text, kept in the same split", copies) + _counted(
        "texts whose copies have both labels", contradictory
    )


def split_reviews(
    reviews: Reviews,
    seed: int = 0,
    validation_fraction: float = 0.1,
    train_examples: int | None = None,
    validation_examples: int | None = None,
) -> Splits:
    """Training, validation and test reviews: the test split by hash, the others by seed.

    validation_fraction: of the whole. train_examples, validation_examples: where given, a fixed part of that split (by
    hash again, so that a smaller part lies within a larger one). Raises UsageError where a split would have fewer than
    two reviews of a class.
    """
    test = [index for index, text in enumerate(reviews.texts) if in_test_split(text)]
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
    """Indices of a train, validation and test split with the classes in the same shares; copies of a text stay together.

    >>> parts = stratified_split([f"review {i}" for i in range(100)], [0, 1] * 50)
    >>> {name: len(indices) for name, indices in parts.items()}
    {'train': 80, 'validation': 10, 'test': 10}
    """
    names = ("train", "validation", "test")
    return assign_groups(texts, labels, dict(zip(names, fractions, strict=True)), seed)


def assign_groups(
    texts: Sequence[str], labels: Iterable[int], shares: Mapping[str, float], seed: int
) -> dict[str, list[int]]:
    """Every index in one split, copies of a text in the same, each class divided by `shares` as exactly as whole texts allow.

    Texts come in random order, those with the most copies first. Each goes to the split that is furthest behind its
    share of the class and has room for all its copies, or where none has, to the one with the most room.
    """
    groups: dict[str, list[int]] = {}
    for index, text in enumerate(texts):
        groups.setdefault(normalise(text), []).append(index)
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
    """The reviews and behind them copies of a random `share` of them, as a careless collection has them.

    Some copies are exact, some differ in letter case or outer white space; each has the label of its original.
    """
    generator = np.random.default_rng(seed)
    chosen = generator.choice(len(reviews), size=round(share * len(reviews)), replace=False)
    spellings: list[Callable[[str], str]] = [str, str.upper, str.title, "  {} ".format]
    copies = [_spelled(reviews.texts[i], spellings[place % len(spellings)]) for place, i in enumerate(chosen)]
    ids = [f"{reviews.ids[i]}-copy" for i in chosen]
    labels = np.concatenate([reviews.labels, reviews.labels[chosen]])
    return Reviews(f"{reviews.name} with copies", [*reviews.ids, *ids], [*reviews.texts, *copies], labels)


def _spelled(text: str, spelling: Callable[[str], str]) -> str:
    """The text spelled otherwise, or as it is where that would make another text of it (ß in capitals is SS)."""
    copy = spelling(text)
    return copy if normalise(copy) == normalise(text) else text


def leaks(splits: Splits) -> dict[str, int]:
    """How many texts of the validation and test split stand in the training split too; both are 0 for our own splits."""
    train = {normalise(text) for text in splits.train.texts}
    return {
        name: sum(normalise(text) in train for text in part.texts)
        for name, part in (("validation", splits.validation), ("test", splits.test))
    }

"""Reviews: texts with labels, and where they come from.

Labels come from human ratings or from a column of your own file. Does not split (splits.py) and does not tokenize (tokens.py).
"""

import contextlib
import hashlib
import html
import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from labkit.data import assets
from labkit.data.readers import ReviewFileError, Row, and_more, column_of, read_rows, split_lines
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
CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")  # category Cc without tab and line breaks
UNREAD_CATEGORIES = ("Mn", "Cc", "Cf")  # accents and other marks, control and format characters: BERT drops them
FILLERS = "\u115f\u1160\u2800"  # of Korean (the others become these in NFKD) and Braille: nothing of them is seen
NUMBERS_APART = re.compile(r"(?<=\d)[\W_]+(?=\d)")
WORD_OR_GAP_OF_NUMBERS = re.compile(r"[^\W_]+|(?<=\d) (?=\d)")
NO_PUNCTUATION = {code: None for code in range(128) if not chr(code).isalnum()}
HALF_A_PAIR = re.compile(r"[\ud800-\udfff]")


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
    count, to be shown to whoever uses the reviews. copies_left_out: texts that were left out and have a copy here.
    """

    name: str
    ids: Sequence[str]
    texts: Sequence[str]
    labels: np.ndarray
    notes: tuple[str, ...] = field(default=())
    copies_left_out: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.texts)

    def select(self, indices: Sequence[int] | np.ndarray) -> "Reviews":
        """Select the reviews at these places, in this order; notes stay with the whole."""
        ids, texts = [self.ids[i] for i in indices], [self.texts[i] for i in indices]
        labels = self.labels[np.asarray(indices, dtype=np.int64)]
        return Reviews(self.name, ids, texts, labels, copies_left_out=self.copies_left_out)

    @property
    def class_counts(self) -> tuple[int, ...]:
        """Count the reviews of each class."""
        return tuple(np.bincount(self.labels, minlength=len(CLASS_NAMES)).tolist())

    @cached_property
    def hash(self) -> str:
        """Hash texts and labels in order with SHA-256.

        The same data gives the same hash on every machine.
        """
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
class Corpus:
    """Snippets rated by many people, before anyone decides what counts as positive.

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
    r"""Return the form in which texts are equal that an uncased model reads alike.

    Folded are compatibility forms (NFKC's), letter case, accents and what cannot be seen (zero-width characters, soft
    hyphens); white space becomes single spaces. Two words that a vocabulary lacks are not alike here.

    >>> normalise("  A  GREAT film "), normalise("Cafe\u0301 \ufb01\u200blm") == normalise("CAF\xc9 film")
    ('a great film', True)
    """
    if text.isascii() and text.isprintable():
        return " ".join(text.lower().split())
    folded = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", clean(text)).casefold())
    kept = (c for c in folded if unicodedata.category(c) not in UNREAD_CATEGORIES and c not in FILLERS)
    folded = " ".join("".join(kept).split())
    return folded if folded == text else normalise(folded)  # what is folded can hold more to fold


def copy_key(text: str) -> str:
    r"""Return what copies of a text have in common: the letters and digits of its normal form, in order.

    Punctuation, symbols and spaces count only between two digits. A text without letters and digits has its other
    characters.

    >>> copy_key("Well-made , isn't it?"), copy_key("WELL MADE, ISN\u2019T IT..."), copy_key("8.5 of 10"), copy_key(":-)")
    ('wellmadeisntit', 'wellmadeisntit', '8 5of10', ':-)')
    """
    folded = normalise(text)
    if folded.isascii() and not NUMBERS_APART.search(folded):  # most texts, three times as fast
        key = folded.translate(NO_PUNCTUATION)
    else:
        key = "".join(WORD_OR_GAP_OF_NUMBERS.findall(NUMBERS_APART.sub(" ", folded)))
    return key or folded.replace(" ", "")


def is_blank(text: str) -> bool:
    r"""Check whether a text has nothing that can be seen, and so nothing for a model to read.

    Format and control characters show nothing, no more than spaces and the fillers of Korean and Braille do.

    >>> is_blank(" \u200b\ufeff\x07"), is_blank(":-)")
    (True, False)
    """
    return not normalise(text)


def clean(text: str) -> str:
    """Remove control characters (NUL and the like) and outer white space from a text.

    Line breaks and tabs become spaces. Format characters that scripts and emoji need (joiners, direction marks) stay.
    """
    if text.isprintable():
        return text.strip()
    spaced = "".join(" " if character in "\t\n\r\v\f\x85" else character for character in text)
    return "".join(character for character in spaced if unicodedata.category(character) != "Cc").strip()


def rating_to_label(rating: float, neutral_band: float = 0.5) -> int | None:
    """Turn a mean rating into a label: 1 if positive, 0 if negative.

    None for a rating in the neutral band or NaN.

    >>> [rating_to_label(rating) for rating in (2.3, -0.5, 0.49)]
    [1, 0, None]
    """
    if math.isnan(rating) or abs(rating) < neutral_band:
        return None
    return int(rating > 0)


def load_corpus(name: str = "movies") -> Corpus:
    """Load one of the four corpora of Hutto & Gilbert (ICWSM 2014).

    name: movies, products, editorials or tweets; fetched if need be. Raises UsageError for another name, and
    AssetMissing where it is neither in the cache nor to be had.
    """
    import pyarrow.ipc

    if name not in CORPORA:
        raise UsageError(f"{name} is none of {', '.join(CORPORA)}{did_you_mean(name, CORPORA)}")
    folder = assets.fetch("reviews")
    columns = _read_parsed(folder / f"{name}.arrow")
    if columns is None:
        try:
            columns = _parse_corpus(folder, CORPORA[name])
        except (OSError, ValueError, LookupError) as why:
            raise assets.damaged("reviews", f"{name} cannot be read ({why})") from None
        written = pyarrow.ipc.open_file(_arrow_file(columns)).read_all()  # in the form that a reader will hash
        content = _arrow_file(written.replace_schema_metadata({"sha256": _digest(written)}))
        with contextlib.suppress(OSError):  # a folder that others filled may only be read: the next call parses again
            write_atomically(folder / f"{name}.arrow", content.to_pybytes())
    return Corpus(
        name=name,
        ids=columns["id"].to_pylist(),
        texts=columns["text"].to_pylist(),
        ratings=np.array(columns["rating"].to_pylist()),  # to_numpy would import pandas
        rater_ratings=columns["ratings"].to_pylist(),
    )


def _read_parsed(file: Path) -> Any:
    """Read a corpus as an earlier call kept it.

    None where there is no such file, or not every byte of it is as it was written: what is only derived is made anew.
    """
    import pyarrow
    import pyarrow.ipc

    try:
        with pyarrow.memory_map(str(file)) as source:
            columns = pyarrow.ipc.open_file(source).read_all()
            columns.validate(full=True)
            return columns if (columns.schema.metadata or {}).get(b"sha256") == _digest(columns) else None
    except (OSError, ValueError, pyarrow.ArrowException):
        return None


def _arrow_file(columns: Any) -> Any:
    import pyarrow.ipc

    sink = pyarrow.BufferOutputStream()
    with pyarrow.ipc.new_file(sink, columns.schema) as writer:
        writer.write_table(columns)
    return sink.getvalue()


def _digest(columns: Any) -> bytes:
    """Hash a table: its columns, their lengths and their bytes."""
    digest = hashlib.sha256(f"{columns.schema.remove_metadata()} {columns.num_rows}".encode())
    for chunk in (chunk for column in columns.columns for chunk in column.chunks):
        digest.update(f"{len(chunk)} {chunk.null_count}".encode())
        for buffer in filter(None, chunk.buffers()):
            digest.update(buffer)
    return digest.hexdigest().encode()


def _parse_corpus(folder: Path, stem: str) -> Any:
    """Parse a corpus into an Arrow table.

    Its two files have the same ids, in some corpora in another order.
    """
    import pyarrow

    texts, raters = (
        [line.split("\t") for line in split_lines((folder / f"{stem}_{kind}.txt").read_text("utf-8-sig")) if line]
        for kind in ("GroundTruth", "anonDataRatings")
    )
    if not texts:
        raise ValueError(f"{stem}_GroundTruth.txt has no rows")
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
    """Load the movie reviews with labels.

    Those whose mean rating lies in the neutral band are left out and counted.
    """
    return label_corpus(load_corpus("movies"), neutral_band)


def label_corpus(corpus: Corpus, neutral_band: float = 0.5) -> Reviews:
    """Label the reviews of a corpus; neutral ones are left out and counted.

    Copies of a kept one among them stay known, so that the neutral band moves no review out of the test split.
    """
    labels = [rating_to_label(rating, neutral_band) for rating in corpus.ratings]
    kept = [index for index, label in enumerate(labels) if label is not None]
    ids, texts = [corpus.ids[i] for i in kept], [corpus.texts[i] for i in kept]
    neutral = len(corpus) - len(kept)
    notes: tuple[str, ...] = ()
    if neutral:
        notes += (f"{neutral:,} neutral reviews left out (mean rating nearer to 0 than {neutral_band})",)
    known = np.array([labels[i] for i in kept], dtype=np.int64)
    keys = list(map(copy_key, texts))
    kept_keys = set(keys)
    left_out = (text for text, label in zip(corpus.texts, labels, strict=True) if label is None)
    copies_left_out = tuple(text for text in left_out if copy_key(text) in kept_keys)
    notes += _duplicate_notes(keys, known)
    return Reviews(corpus.name, ids, texts, known, notes, copies_left_out)


def sample_reviews(neutral_band: float = 0.5) -> Reviews:
    """Load the small sample written for this project, with labels.

    For notebooks in a room where nothing could be fetched.
    """
    return label_corpus(sample_corpus(), neutral_band)


def sample_corpus() -> Corpus:
    """Load the same sample before anyone decides what counts as positive.

    Nobody but its authors rated it, so there are no single ratings.
    """
    rows = read_rows(assets.SAMPLE_REVIEWS)
    ratings = np.array([float(str(row.values["rating"])) for row in rows])
    ids, texts = ([str(row.values["id"]) for row in rows], [str(row.values["text"]) for row in rows])
    return Corpus("written sample", ids, texts, ratings, rater_ratings=())


def read_reviews(path: Path, text_column: str = "text", label_column: str = "label", id_column: str = "id") -> Reviews:
    """Read your own reviews from a CSV, TSV, JSON lines or Parquet file.

    Labels are 0 or neg(ative), 1 or pos(itive), in any case. A column of ids is used where there is one. Empty texts are
    left out and control characters removed, both counted in `notes`. Raises ReviewFileError for what is broken: a missing
    column, a label outside the map, one class only, an id that stands twice, and what `read_rows` refuses.
    """
    rows = read_rows(path, (text_column, label_column), optional=(id_column,))
    labels = np.array(_labels(rows, label_column, path), dtype=np.int64)
    ids = _ids(rows, id_column, path)
    raw = _texts(rows, text_column, path)
    # JSON can hold half a surrogate pair, which no tokenizer takes
    texts = [clean(text.encode("utf-8", "replace").decode()) for text in raw]
    kept = [index for index, text in enumerate(texts) if not is_blank(text)]
    notes = _counted("empty texts left out", len(texts) - len(kept))
    controls, halves = (sum(map(bool, map(pattern.search, raw))) for pattern in (CONTROL_CHARACTER, HALF_A_PAIR))
    notes += _counted("texts with control characters, which were removed", controls)
    notes += _counted("texts with half a surrogate pair, now a question mark", halves)
    reviews = Reviews(path.name, ids, texts, labels).select(kept)
    if len(set(reviews.labels.tolist())) < len(CLASS_NAMES):
        present = ", ".join(sorted({CLASS_NAMES[label] for label in reviews.labels})) or "none"
        raise ReviewFileError(f'{path}: one class only ({present}) in column "{label_column}"; wanted both 0 and 1')
    notes += _duplicate_notes(list(map(copy_key, reviews.texts)), reviews.labels)
    return Reviews(path.name, reviews.ids, reviews.texts, reviews.labels, notes)


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
    """Spell a label as the map does.

    A whole float is the integer that a spreadsheet made it of.
    """
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


def _counted(what: str, count: int) -> tuple[str, ...]:
    return (f"{what}: {count:,}",) if count else ()


def _duplicate_notes(keys: Sequence[str], labels: np.ndarray) -> tuple[str, ...]:
    labels_of: dict[str, set[int]] = {}
    for key, label in zip(keys, labels.tolist(), strict=True):
        labels_of.setdefault(key, set()).add(label)
    contradictory = sum(len(found) > 1 for found in labels_of.values())
    return _counted("copies of another text, kept in the same split", len(keys) - len(labels_of)) + _counted(
        "texts whose copies have both labels", contradictory
    )

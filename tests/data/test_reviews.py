"""Laws of the reviews: labels, what is kept and what is said of the rest."""

import csv
import dataclasses
import errno
import json
import math
import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inventing import make_reviews

from labkit.data import assets
from labkit.data.assets import AssetError
from labkit.data.readers import ReviewFileError
from labkit.data.reviews import (
    CORPORA,
    Corpus,
    Reviews,
    clean,
    copy_key,
    is_blank,
    label_corpus,
    load_corpus,
    normalise,
    rating_to_label,
    read_reviews,
    sample_corpus,
    sample_reviews,
)
from labkit.data.splits import leaks, split_reviews
from labkit.errors import UsageError

law = settings(max_examples=25, deadline=None)
any_text = st.text(max_size=40)
seeds = st.integers(0, 2**32 - 1)
RECORDS: list[dict[str, object]] = [
    {"id": "a", "text": "a good film 🎬", "label": 1},
    {"id": "b", "text": "a dull\nfilm", "label": 0},
    {"id": "c", "text": 'he said "no", twice', "label": 0},
    {"id": "d", "text": "فيلم رائع", "label": 1},
]


def write_records(path: Path, records: Sequence[dict[str, object]]) -> Path:
    """Records in the form that the ending says."""
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(records)), path)
    elif path.suffix in (".jsonl", ".ndjson"):
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    else:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(records[0]), delimiter="," if path.suffix == ".csv" else "\t")
            writer.writeheader()
            writer.writerows(records)
    return path


def refusal(path: Path, **columns: str) -> str:
    """The text with which a file is refused, without the folder it lies in; always exit code 2, nothing written."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(ReviewFileError) as refused:
        read_reviews(path, **columns)
    assert refused.value.exit_code == 2
    assert sorted(path.parent.iterdir()) == before
    return str(refused.value).replace(str(path), path.name)


# Labels and texts


@law
@given(st.floats(-4, 4), st.floats(0.01, 4))
def test_a_rating_is_labelled_by_its_sign_unless_it_lies_in_the_neutral_band(rating, band):
    label = rating_to_label(rating, band)
    assert label == (None if -band < rating < band else 1 if rating > 0 else 0)
    assert rating_to_label(-rating, band) == (None if label is None else 1 - label)
    assert type(label) in (int, type(None))


def test_the_edges_of_the_neutral_band_are_labelled_and_nan_is_not():
    assert [rating_to_label(rating) for rating in (0.5, -0.5, 0.0, math.nan)] == [1, 0, None, None]
    assert rating_to_label(float(np.nextafter(0.5, 0))) is None


@law
@given(any_text)
def test_cleaning_leaves_no_control_character_and_nothing_more_to_clean(text):
    cleaned = clean(text)
    assert not any(unicodedata.category(character) == "Cc" for character in cleaned)
    assert clean(cleaned) == cleaned == cleaned.strip()


@law
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=40))
def test_cleaning_keeps_every_character_that_is_no_control_character(text):
    assert clean(text) == text.strip()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("\x00good\x07 \x1bfilm\x7f", "good film"),
        ("two\nlines\tand\r\ntabs", "two lines and  tabs"),
        ("👨‍👩‍👧 \u200fفيلم‎ ", "👨‍👩‍👧 \u200fفيلم‎"),
        (" \u2028\x85 ", ""),
    ],
)
def test_line_breaks_become_spaces_and_joiners_and_direction_marks_stay(text, cleaned):
    assert clean(text) == cleaned


@law
@given(any_text)
def test_letters_and_spaces_of_other_kinds_make_no_other_text(text):
    assert normalise(normalise(text)) == normalise(text)
    assert normalise(f" \t{text}\n") == normalise(text)
    assert normalise(" A  Great\nfilm") == "a great film"


@law
@given(any_text)
def test_texts_of_one_normal_form_are_copies_and_have_one_key(text):
    assert copy_key(normalise(text)) == copy_key(text)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert normalise(unicodedata.normalize(form, text)) == normalise(text)
    assert normalise(text.casefold()) == normalise(text) == normalise("\u200b".join(text))
    assert bool(copy_key(text)) == (not is_blank(text))


@pytest.mark.parametrize(
    ("one", "other", "copies"),
    [
        ("Well-made, isn't it?", "well made ISN\u2019T it", True),
        ("\u96fb\u5f71 \u597d", "\u96fb\u5f71\u597d", True),  # BERT puts spaces around each sign
        ("Straße", "STRASSE", True),
        ("\uac00\ub098", "\u1100\u1161\u1102\u1161", True),
        ("8.5 of 10", "8 . 5 of 10", True),
        ("8.5 of 10", "85 of 10", False),
        ("review 1 11", "review 11 1", False),
        (":-)", ":-(", False),
        ("! !", "!!", True),
        ("good", "god", False),
    ],
)
def test_copies_have_the_same_letters_and_digits_in_order(one, other, copies):
    assert (copy_key(one) == copy_key(other)) == copies


# Your own files


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "ndjson", "parquet"])
def test_the_same_reviews_in_every_format_are_the_same_reviews(tmp_path, ending):
    reviews = read_reviews(write_records(tmp_path / f"rows.{ending}", RECORDS))
    assert list(reviews.ids) == ["a", "b", "c", "d"]
    assert reviews.texts == ["a good film 🎬", "a dull film", 'he said "no", twice', "فيلم رائع"]
    assert reviews.labels.tolist() == [1, 0, 0, 1]
    assert reviews.labels.dtype == np.int64
    assert reviews.class_counts == (2, 2)
    assert reviews.notes == ()
    assert reviews.name == f"rows.{ending}"


@pytest.mark.parametrize(
    "spellings",
    [("0", "1"), (0, 1), (0.0, 1.0), ("neg", "pos"), ("Negative", " POSITIVE "), ("NEG", "1"), ("0.0", "1.0")],
)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_labels_are_known_in_every_spelling(tmp_path, spellings, ending):
    records = [{"text": f"review {number}", "label": label} for number, label in enumerate(spellings)]
    assert read_reviews(write_records(tmp_path / f"rows.{ending}", records)).labels.tolist() == [0, 1]


def test_columns_may_bear_other_names_and_ids_are_lines_where_there_are_none(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("sentiment,review,label\npos,good,?\nneg,bad,?\n")
    reviews = read_reviews(path, text_column="review", label_column="sentiment")
    assert (reviews.texts, reviews.labels.tolist(), reviews.ids) == (["good", "bad"], [1, 0], ["2", "3"])


def test_a_missing_column_is_refused_with_the_nearest_name(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("texts,label\ngood,1\nbad,0\n")
    assert refusal(path) == 'rows.csv: no column "text"; found "texts", "label"; did you mean texts?'
    message = 'rows.csv: no column "lable"; found "texts", "label"; did you mean label?'
    assert refusal(path, text_column="texts", label_column="lable") == message


@pytest.mark.parametrize("bad", ["maybe", "", "2", "-1", "0.5", "nan", "true"])
def test_a_label_outside_the_map_is_refused_with_its_line_and_the_number_of_its_like(tmp_path, bad):
    path = tmp_path / "rows.csv"
    path.write_text(f'text,label\n"two\nlines",1\nsecond,{bad}\nthird,0\nfourth,{bad}\n')
    wanted = "0, 1, neg, pos, negative, positive"
    assert refusal(path) == (f'rows.csv line 4: label "{bad}" is none of {wanted} (column "label"); 1 more row like it')


@pytest.mark.parametrize("bad", [True, None, math.nan, [1], {"positive": 1}, 0.5])
def test_a_label_of_another_kind_is_refused(tmp_path, bad):
    path = write_records(tmp_path / "rows.jsonl", [*RECORDS, {"id": "e", "text": "fifth", "label": bad}])
    assert refusal(path).startswith(f'rows.jsonl line 5: label "{bad}" is none of 0, 1,')


@pytest.mark.parametrize(("label", "name"), [("neg", "negative"), ("pos", "positive")])
def test_one_class_only_is_refused(tmp_path, label, name):
    path = tmp_path / "rows.csv"
    path.write_text(f"text,label\ngood,{label}\nbad,{label}\n")
    assert refusal(path) == f'rows.csv: one class only ({name}) in column "label"; wanted both 0 and 1'
    path.write_text(f"text,label\ngood,{label}\n,0\n,1\n")  # the empty texts' labels do not count
    assert refusal(path) == f'rows.csv: one class only ({name}) in column "label"; wanted both 0 and 1'
    path.write_text("text,label\n,0\n,1\n")
    assert refusal(path) == 'rows.csv: one class only (none) in column "label"; wanted both 0 and 1'


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_duplicated_ids_are_refused_with_both_lines(tmp_path, ending):
    again: list[dict[str, object]] = [{"id": name, "text": f"again {name}", "label": 0} for name in ("b", "b", "a")]
    path = write_records(tmp_path / f"rows.{ending}", [RECORDS[0], RECORDS[1], *again])
    lines = (5, 3) if ending == "csv" else (3, 2)  # a CSV has a header, and here a text of two lines
    assert refusal(path) == (
        f'rows.{ending} line {lines[0]}: id "b" stands on line {lines[1]} already (column "id"); 2 more rows like it'
    )


def test_ids_that_only_some_rows_have_are_refused(tmp_path):
    without = [{"text": "no id", "label": 1}]
    path = write_records(tmp_path / "rows.jsonl", [*RECORDS, *without])
    assert refusal(path) == 'rows.jsonl line 5: no "id"'
    path = write_records(tmp_path / "rows.jsonl", [*without, *RECORDS])
    assert refusal(path) == 'rows.jsonl line 1: no "id"'


@pytest.mark.parametrize(("value", "kind"), [(5, "int"), (["a"], "list"), (True, "bool"), (2.5, "float")])
def test_a_text_that_is_no_text_is_refused(tmp_path, value, kind):
    path = write_records(tmp_path / "rows.jsonl", [*RECORDS, {"id": "e", "text": value, "label": 0}])
    assert refusal(path) == f'rows.jsonl line 5: the text is a {kind}; wanted a string (column "text")'


def test_bytes_in_place_of_text_are_refused(tmp_path):
    path = write_records(tmp_path / "rows.parquet", [{"text": b"good", "label": 1}, {"text": b"bad", "label": 0}])
    assert refusal(path) == 'rows.parquet line 1: the text is a bytes; wanted a string (column "text")'


@pytest.mark.parametrize(
    "empty", ["", "  \t", "\x00", "\u200b", "\u2060\ufeff \u00ad", "\x07\u200d\x1b", "\u3164", "\u2800", "\u0301\ufe0f"]
)
def test_empty_texts_are_left_out_and_counted(tmp_path, empty):
    more = [{"id": f"empty {number}", "text": empty, "label": number % 2} for number in range(3)]
    reviews = read_reviews(write_records(tmp_path / "rows.csv", [*more, *RECORDS]))
    assert list(reviews.ids) == ["a", "b", "c", "d"]
    assert reviews.labels.tolist() == [1, 0, 0, 1]
    assert reviews.notes[0] == "empty texts left out: 3"


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_a_review_that_reads_like_a_missing_value_is_kept_in_every_format(tmp_path, ending):
    words = ["nan", "NaN", "NA", "N/A", "null", "None", "none", "NULL", "#N/A", "-", "<NA>", "0"]
    records = [{"text": word, "label": place % 2} for place, word in enumerate(words)]
    reviews = read_reviews(write_records(tmp_path / f"rows.{ending}", records))
    assert reviews.texts == words
    assert not any("empty" in note for note in reviews.notes)


@pytest.mark.parametrize("text", ["🫨", "👍🏽", ":)", "!", "\u0e01\u0e31", "1"])
def test_a_text_of_something_that_is_seen_is_kept(tmp_path, text):
    records = [{"text": text, "label": 1}, {"text": "dull", "label": 0}]
    assert read_reviews(write_records(tmp_path / "rows.jsonl", records)).texts == [text, "dull"]


@pytest.mark.parametrize(("nothing", "ending"), [(None, "jsonl"), (math.nan, "jsonl"), (None, "parquet")])
def test_missing_texts_are_left_out_and_counted(tmp_path, nothing, ending):
    path = write_records(tmp_path / f"rows.{ending}", [*RECORDS, {"id": "e", "text": nothing, "label": 0}])
    assert read_reviews(path).notes == ("empty texts left out: 1",)
    assert len(read_reviews(path)) == 4


def test_a_column_of_numbers_that_are_all_missing_is_as_many_empty_texts(tmp_path):
    path = write_records(tmp_path / "rows.parquet", [{"text": math.nan, "label": 0}, {"text": math.nan, "label": 1}])
    assert refusal(path) == 'rows.parquet: one class only (none) in column "label"; wanted both 0 and 1'


def test_control_characters_and_nul_are_removed_and_counted(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_bytes(b"text,label\na\x00 good\x07 film,1\na \x1b[1mdull film,0\nplain\ttext,0\n")
    reviews = read_reviews(path)
    assert reviews.texts == ["a good film", "a [1mdull film", "plain text"]
    assert reviews.notes == ("texts with control characters, which were removed: 2",)


def test_half_a_surrogate_pair_is_replaced_and_counted(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"text": "good \\ud83d film", "label": 1}\n{"text": "\\ud83d\\udc4e bad", "label": 0}\n')
    reviews = read_reviews(path)
    assert reviews.texts == ["good ? film", "👎 bad"]
    assert reviews.notes == ("texts with half a surrogate pair, now a question mark: 1",)
    assert len(reviews.hash) == 64


def test_a_byte_order_mark_crlf_and_newlines_in_quotes_change_no_review(tmp_path):
    plain, marked = tmp_path / "plain.csv", tmp_path / "marked.csv"
    page = 'text,label\n"a\ngood film",1\nשלום 🙂,0\n'
    plain.write_text(page, encoding="utf-8", newline="")
    marked.write_bytes(page.replace("\n", "\r\n").encode("utf-8-sig"))
    assert read_reviews(marked).texts == ["a  good film", "שלום 🙂"]
    assert [normalise(text) for text in read_reviews(marked).texts] == [normalise(t) for t in read_reviews(plain).texts]
    assert read_reviews(marked).notes == read_reviews(plain).notes == ()


def test_a_text_of_200_000_characters_is_read_whole(tmp_path):
    long = "word " * 40_000
    records = [{"text": long, "label": 1}, {"text": "short", "label": 0}]
    for ending in ("csv", "jsonl", "parquet"):
        reviews = read_reviews(write_records(tmp_path / f"rows.{ending}", records))
        assert [len(text) for text in reviews.texts] == [199_999, 5]


def test_copies_are_kept_and_counted_and_contradictions_are_said(tmp_path):
    copies = [("A Good Film", 1), ("a good  film ", 1), ("a good film", 0), ("unique", 0)]
    path = write_records(tmp_path / "rows.csv", [{"text": text, "label": label} for text, label in copies])
    reviews = read_reviews(path)
    assert len(reviews) == 4
    assert reviews.notes == (
        "copies of another text, kept in the same split: 2",
        "texts whose copies have both labels: 1",
    )


# The value itself


@law
@given(seeds)
def test_the_hash_is_of_texts_and_labels_in_order_and_of_nothing_else(seed):
    reviews = make_reviews(20, seed)
    assert dataclasses.replace(reviews, name="other", ids=["x"] * 20, notes=("said",)).hash == reviews.hash
    texts, labels = list(reviews.texts), reviews.labels
    others = [
        reviews.select(range(19)),
        reviews.select([1, 0, *range(2, 20)]),
        Reviews("", reviews.ids, texts, 1 - labels),
        Reviews("", reviews.ids, [texts[0] + "!", *texts[1:]], labels),
        Reviews("", reviews.ids, [texts[0] + texts[1], "", *texts[2:]], labels),
    ]
    assert reviews.hash not in {other.hash for other in others}


def test_texts_that_look_like_the_hash_s_own_marks_do_not_collide():
    one = Reviews("", ["1", "2"], ["a\n1\t1\tb", "c"], np.array([1, 1]))
    other = Reviews("", ["1", "2"], ["a", "b\n1\t1\tc"], np.array([1, 1]))
    assert one.hash != other.hash


def test_a_selection_has_the_reviews_at_its_places_in_its_order():
    reviews = make_reviews(10)
    part = reviews.select(np.array([7, 2, 2]))
    assert part.ids == ["7", "2", "2"]
    assert part.texts == [reviews.texts[7], reviews.texts[2], reviews.texts[2]]
    assert part.labels.tolist() == reviews.labels[[7, 2, 2]].tolist()
    assert reviews.select([]).class_counts == (0, 0)


def test_reviews_show_their_counts_and_escape_their_name():
    reviews = Reviews("<b>mine</b>", ["1", "2", "3"], ["a", "b", "c"], np.array([0, 1, 1]))
    assert repr(reviews) == "Reviews(<b>mine</b>: 1 negative, 2 positive)"
    assert reviews._repr_html_() == "<pre>Reviews(&lt;b&gt;mine&lt;/b&gt;: 1 negative, 2 positive)</pre>"


# The corpora


def test_ratings_become_labels_and_neutral_ones_are_counted():
    ratings = np.array([2.0, -2.0, 0.4, math.nan, -0.5])
    corpus = Corpus("movies", list("abcde"), ["p", "n", "o", "u", "edge"], ratings, [[0]] * 5)
    reviews = label_corpus(corpus)
    assert (reviews.ids, reviews.texts, reviews.labels.tolist()) == (["a", "b", "e"], ["p", "n", "edge"], [1, 0, 0])
    assert reviews.notes == ("2 neutral reviews left out (mean rating nearer to 0 than 0.5)",)
    assert label_corpus(corpus, 3.0).class_counts == (0, 0)


def plant_corpus(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Two files as the archive has them, in different orders, in place of the fetched ones."""
    folder.mkdir()
    (folder / "movieReviewSnippets_GroundTruth.txt").write_text(
        "1_1\t2.5\tA &quot;good&quot; film \x01\n1_2\t-1\ta dull film\n", "utf-8"
    )
    (folder / "movieReviewSnippets_anonDataRatings.txt").write_text(
        "1_2\t-1\t0.5\t[-1, -1]\n1_1\t2.5\t0.5\t[2, 3]\n", "utf-8"
    )
    monkeypatch.setattr(assets, "fetch", lambda name: folder)


@pytest.fixture
def planted_corpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    plant_corpus(monkeypatch, tmp_path / "reviews")
    return tmp_path / "reviews"


def test_a_corpus_pairs_texts_and_ratings_by_their_ids(tmp_path, monkeypatch):
    plant_corpus(monkeypatch, tmp_path / "reviews")
    corpus = load_corpus("movies")
    assert (corpus.ids, corpus.texts) == (["1_1", "1_2"], ['A "good" film', "a dull film"])
    assert (corpus.ratings.tolist(), corpus.rater_ratings) == ([2.5, -1.0], [[2, 3], [-1, -1]])


def test_a_corpus_is_parsed_once_and_is_the_same_the_second_time(tmp_path, monkeypatch):
    plant_corpus(monkeypatch, tmp_path / "reviews")
    first = load_corpus("movies")
    (tmp_path / "reviews" / "movieReviewSnippets_GroundTruth.txt").unlink()
    second = load_corpus("movies")
    assert (first.ids, first.texts, first.rater_ratings) == (second.ids, second.texts, second.rater_ratings)
    assert first.ratings.tolist() == second.ratings.tolist()
    first.ratings[0] = 0.0  # a copy of one's own: the file on the disk stays as it is
    assert load_corpus("movies").ratings[0] == 2.5


def as_plain(corpus: Corpus) -> tuple[object, ...]:
    return corpus.ids, corpus.texts, corpus.ratings.tolist(), corpus.rater_ratings


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.binary(max_size=60), st.integers(0, 10_000)))
def test_what_was_derived_and_cannot_be_read_is_made_anew(planted_corpus, damage):
    good = as_plain(load_corpus("movies"))
    derived = planted_corpus / "movies.arrow"
    content = derived.read_bytes()
    derived.write_bytes(damage if isinstance(damage, bytes) else content[: damage % len(content)])
    assert as_plain(load_corpus("movies")) == good
    assert derived.read_bytes() == content


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 10_000), st.integers(1, 255))
def test_no_flipped_byte_of_what_was_derived_changes_a_corpus(planted_corpus, place, bits):
    good = as_plain(load_corpus("movies"))
    derived = planted_corpus / "movies.arrow"
    content = bytearray(derived.read_bytes())
    content[place % len(content)] ^= bits
    derived.write_bytes(content)
    assert as_plain(load_corpus("movies")) == good


@pytest.mark.parametrize("derived", [None, b"", b"ARROW1\0\0 cut short"])
@pytest.mark.parametrize("why", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT])
def test_a_folder_that_takes_no_file_has_the_corpus_all_the_same(planted_corpus, monkeypatch, derived, why):
    good = as_plain(load_corpus("movies"))
    (planted_corpus / "movies.arrow").unlink()
    if derived is not None:
        (planted_corpus / "movies.arrow").write_bytes(derived)
    before = {file.name: file.read_bytes() for file in planted_corpus.iterdir()}

    def refuse(**named: object) -> NoReturn:
        raise OSError(why, os.strerror(why), str(planted_corpus))

    monkeypatch.setattr("labkit.files.tempfile.mkstemp", refuse)
    assert as_plain(load_corpus("movies")) == good == as_plain(load_corpus("movies"))
    assert {file.name: file.read_bytes() for file in planted_corpus.iterdir()} == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such permissions")
def test_a_folder_that_may_only_be_read_is_read(planted_corpus):
    for mode in (0o555, 0o755):  # whoever runs tests as root may write in either
        planted_corpus.chmod(mode)
        assert load_corpus("movies").texts == ['A "good" film', "a dull film"]


@pytest.mark.parametrize("content", [b"", b"1_1\tgood\n", b"1_1\t2.5\tcaf\xe9\n", b"1_9\t1\tunrated\n", None])
def test_a_corpus_whose_own_files_are_damaged_is_refused_with_the_remedy(planted_corpus, content):
    file = planted_corpus / "movieReviewSnippets_GroundTruth.txt"
    file.unlink()
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content)
    with pytest.raises(
        AssetError, match=r"movies cannot be read .*; remove that folder and run `labkit fetch reviews`$"
    ):
        load_corpus("movies")


def test_a_corpus_that_is_none_is_refused_with_the_nearest():
    with pytest.raises(
        UsageError, match=r"^movie is none of movies, products, editorials, tweets; did you mean movies\?$"
    ):
        load_corpus("movie")


@pytest.mark.parametrize(("name", "n"), list(zip(CORPORA, [10_605, 3_708, 5_190, 4_200], strict=True)))
def test_the_real_corpora_are_whole(users_cache, name, n):
    corpus = load_corpus(name)
    assert len(corpus) == len(set(corpus.ids)) == len(corpus.ratings) == len(corpus.rater_ratings) == n
    assert all(text == clean(text) != "" for text in corpus.texts)
    assert np.abs(corpus.ratings).max() <= 4
    assert {rating for ratings in corpus.rater_ratings for rating in ratings} <= set(range(-4, 5))
    if name != "tweets":  # their mean leaves raters out
        assert corpus.ratings == pytest.approx([np.mean(ratings) for ratings in corpus.rater_ratings], abs=1e-9)


def test_a_corpus_shows_its_size_and_not_its_texts():
    corpus = Corpus("made", ["a", "b"], ["fine", "dull"], np.array([2.0, -2.0]), [[1, 3], [-2, -2, -2]])
    assert repr(corpus) == "Corpus(made: 2 texts, each rated by 2 to 3 people)"
    assert repr(sample_corpus()).endswith("mean ratings only)")


# The written sample


def test_the_written_sample_is_large_balanced_and_can_be_split():
    sample = sample_reviews()
    assert len(sample) >= 600
    assert sample.class_counts[1] / len(sample) == pytest.approx(0.5, abs=0.05)
    assert len(set(map(normalise, sample.texts))) == len(sample)
    assert leaks(split_reviews(sample)) == {"validation": 0, "test": 0}


def test_no_sentence_of_the_corpora_is_in_the_written_sample(users_cache):
    corpora = {normalise(text) for name in CORPORA for text in load_corpus(name).texts}
    assert not corpora & set(map(normalise, sample_reviews(neutral_band=1e-9).texts))

"""Laws of the splits: no run can change the test split, and copies of a text stay together."""

import dataclasses
import hashlib
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inventing import make_reviews

from labkit.data.assets import TINY_BERT
from labkit.data.reviews import Corpus, Reviews, copy_key, label_corpus, load_corpus, normalise
from labkit.data.splits import (
    FEWEST_PER_CLASS,
    held_out_places,
    in_test_split,
    leaks,
    plant_copies,
    split_reviews,
    stratified_split,
)
from labkit.data.tokens import load_tokenizer
from labkit.errors import UsageError

law = settings(max_examples=25, deadline=None)
unicode_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def tiny_bert_tokenizer():
    return load_tokenizer(TINY_BERT)


# The test split


@law
@given(unicode_text, st.sampled_from([str.upper, str.lower, lambda text: f" {text}\t"]))
def test_a_text_is_in_the_test_split_by_the_hash_of_its_words_in_lower_case_alone(text, change):
    hashed = " ".join(text.lower().split())
    assert in_test_split(text) == (int(hashlib.sha256(hashed.encode()).hexdigest()[:16], 16) % 10 == 0)
    if " ".join(change(text).lower().split()) == hashed:
        assert in_test_split(change(text)) == in_test_split(text)


def test_the_test_split_takes_about_a_tenth_of_any_texts():
    shares = [
        np.mean([in_test_split(f"{word} {number}") for number in range(10_000)]) for word in ("good", "bad", "🙂")
    ]
    assert shares == pytest.approx([0.1] * 3, abs=5 * math.sqrt(0.1 * 0.9 / 10_000))


@law
@given(seeds, seeds, st.floats(0.05, 0.5), st.integers(50, 400), st.floats(0.5, 1.0))
def test_no_seed_order_share_size_or_neutral_band_moves_a_text_into_or_out_of_the_test_split(
    seed, other_seed, validation, examples, kept
):
    generator = np.random.default_rng(seed)
    ratings = generator.uniform(-4, 4, 1500)
    texts = [f"snippet {number} {seed}" for number in range(1500)]
    order = generator.permutation(1500)[: int(1500 * kept)]
    whole = Corpus("invented", texts, texts, ratings, ())
    part = Corpus("part", order.astype(str).tolist(), [texts[i] for i in order], ratings[order], ())
    test = set(split_reviews(label_corpus(whole, 0.1), seed).test.texts)
    other = split_reviews(label_corpus(part, 1.0), other_seed, validation, examples, examples)
    assert set(other.test.texts) <= test
    assert not test & {*other.train.texts, *other.validation.texts}


@law
@given(seeds, st.integers(600, 900), st.floats(0.4, 0.6), st.floats(0, 0.4))
def test_no_text_stands_in_two_splits_and_none_is_lost(seed, n, share, copies):
    reviews = make_reviews(n, seed, share, copies)
    splits = split_reviews(reviews, seed)
    assert leaks(splits) == {"validation": 0, "test": 0}
    ids = Counter(name for part in vars(splits).values() for name in part.ids)
    assert ids == Counter(reviews.ids)
    where: dict[str, set[str]] = {}
    for name, part in vars(splits).items():
        for text in part.texts:
            where.setdefault(normalise(text), set()).add(name)
    assert {len(names) for names in where.values()} == {1}


def test_a_leak_is_seen_in_any_letters():
    splits = split_reviews(make_reviews(600, copies=0.0))
    planted = splits.test.select([0, 1, 2])
    planted = dataclasses.replace(planted, texts=[f" {text.upper()}" for text in planted.texts])
    both = Reviews("", [*splits.train.ids, *planted.ids], [*splits.train.texts, *planted.texts], np.zeros(0, np.int64))
    assert leaks(dataclasses.replace(splits, train=both)) == {"validation": 0, "test": 3}


@law
@given(seeds, st.floats(0.05, 0.3))
def test_the_validation_split_has_its_share_of_the_whole_and_of_each_class(seed, fraction):
    reviews = make_reviews(1000, seed, copies=0.0)
    splits = split_reviews(reviews, seed, fraction)
    assert len(splits.validation) == pytest.approx(fraction * 1000, abs=2)
    shares = [np.array(part.class_counts) / len(part) for part in (splits.train, splits.validation)]
    assert shares[0] == pytest.approx(shares[1], abs=2 / len(splits.validation))


@law
@given(seeds)
def test_the_same_seed_gives_the_same_splits_and_another_another(seed):
    reviews = make_reviews(600, 1)
    one, same, other = (split_reviews(reviews, s) for s in (seed, seed, seed + 1))
    assert [part.ids for part in vars(one).values()] == [part.ids for part in vars(same).values()]
    assert one.validation.ids != other.validation.ids
    assert one.test.ids == other.test.ids


@law
@given(st.integers(50, 600), st.integers(50, 600), seeds)
def test_a_smaller_part_lies_within_a_larger_one(few, many, seed):
    few, many = sorted((few, many))
    reviews = make_reviews(800, 2, copies=0.1)
    whole = split_reviews(reviews, seed)
    small, large = (split_reviews(reviews, seed, train_examples=n, validation_examples=n) for n in (few, many))
    for name in ("train", "validation"):
        a, b, c = (getattr(splits, name) for splits in (small, large, whole))
        assert set(a.ids) <= set(b.ids) <= set(c.ids)
        assert (len(a), len(b)) == (min(few, len(c)), min(many, len(c)))
    assert small.test.ids == whole.test.ids


@pytest.mark.parametrize(("split", "outside", "inside"), [("test", 200, 1), ("validation", 8, 5), ("train", 30, 5)])
def test_too_few_of_a_class_for_a_split_are_refused_with_their_number(split, outside, inside):
    texts = [f"review {number}" for number in range(4000)]
    test, rest = ([text for text in texts if in_test_split(text) == wanted] for wanted in (True, False))
    rare = {*rest[:outside], *test[:inside]}
    reviews = Reviews("mine.csv", texts, texts, np.array([int(text not in rare) for text in texts]))
    with pytest.raises(UsageError) as refused:
        split_reviews(reviews, train_examples=4 if split == "train" else None)
    assert refused.value.exit_code == 2
    assert str(refused.value) == (
        f"mine.csv: 4000 reviews give the {split} split {int(split != 'train')} negative ones; "
        f"wanted at least {FEWEST_PER_CLASS} of each class in each split, so add reviews"
    )


# Copies in another spelling

SPELLINGS: list[Callable[[str], str]] = [
    lambda text: unicodedata.normalize("NFD", text),
    lambda text: "\u200b".join(text),
    lambda text: text.replace("é", "e"),
    lambda text: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text),  # full width
    lambda text: text.replace("fi", "\ufb01"),
    lambda text: text.replace("review", "re\u00adview").replace(" ", "\u00a0"),
    lambda text: text.upper() + "!!!",
    lambda text: f"\u201c{text.replace(',', '').replace('-', ' ')}\u2026\u201d",
    lambda text: text.replace(",", " , "),
]


def respelled(n: int, seed: int, spellings: int) -> Reviews:
    """N texts, of which each stands there in several spellings that an uncased model can hardly tell apart."""
    generator = np.random.default_rng(seed)
    texts, labels = [], []
    for number in range(n):
        text = f"The café's review, well-made {number} of {seed}, was fine"
        chosen = generator.choice(len(SPELLINGS), size=spellings, replace=False)
        texts += [text, *(SPELLINGS[place](text) for place in chosen)]
        labels += [int(generator.integers(2))] * (spellings + 1)
    order = generator.permutation(len(texts))
    return Reviews(
        "respelled", order.astype(str).tolist(), [texts[i] for i in order], np.array([labels[i] for i in order])
    )


@settings(max_examples=10, deadline=None)
@given(seeds, st.integers(1, 4))
def test_what_an_uncased_model_reads_alike_stands_in_one_split(tiny_bert_tokenizer, seed, spellings):
    splits = split_reviews(respelled(80, seed, spellings), seed)
    where: dict[tuple[int, ...], set[str]] = {}
    for name, part in vars(splits).items():
        for text, ids in zip(part.texts, tiny_bert_tokenizer(list(part.texts))["input_ids"], strict=True):
            if tiny_bert_tokenizer.unk_token_id not in ids:  # what a vocabulary lacks, it cannot tell apart
                where.setdefault(tuple(ids), set()).add(name)
            letters = re.sub(r"[\W_]", "", unicodedata.normalize("NFKC", text).casefold().replace("\u0301", ""))
            where.setdefault((-1, *map(ord, letters.replace("é", "e"))), set()).add(name)
    assert {len(names) for names in where.values()} == {1}
    assert leaks(splits) == {"validation": 0, "test": 0}


@law
@given(seeds, st.integers(0, 4))
def test_copies_are_for_testing_as_soon_as_one_is_in_any_order(seed, spellings):
    reviews = respelled(40, seed, spellings)
    places = held_out_places(reviews.texts)
    chosen = {reviews.texts[place] for place in places}
    assert {text for text in reviews.texts if in_test_split(text)} <= chosen
    groups: dict[str, list[str]] = {}
    for text in reviews.texts:
        groups.setdefault(copy_key(text), []).append(text)
    assert len(groups) == 40
    assert chosen == {text for texts in groups.values() if any(map(in_test_split, texts)) for text in texts}
    order = np.random.default_rng(seed).permutation(len(reviews))
    assert {reviews.texts[i] for i in order[held_out_places([reviews.texts[i] for i in order])]} == chosen


@law
@given(seeds, st.integers(0, 3))
def test_no_review_that_is_added_takes_another_out_of_the_test_split(seed, spellings):
    reviews = respelled(40, seed, spellings)
    part = reviews.texts[: len(reviews) // 2]
    fewer, more = held_out_places(part), held_out_places(reviews.texts)
    assert set(fewer) <= set(more)


@law
@given(seeds, st.floats(0.1, 3))
def test_no_neutral_band_moves_a_copy_out_of_the_test_split(seed, band):
    generator = np.random.default_rng(seed)
    reviews = respelled(500, seed, 1)
    corpus = Corpus("invented", reviews.ids, reviews.texts, generator.uniform(-4, 4, len(reviews)), ())
    whole, part = (split_reviews(label_corpus(corpus, each)) for each in (0.01, band))
    assert set(part.test.texts) <= set(whole.test.texts)
    assert not {*part.train.texts, *part.validation.texts} & set(whole.test.texts)


@pytest.mark.parametrize("spelling", range(len(SPELLINGS)))
def test_a_leak_is_seen_in_any_spelling(spelling):
    splits = split_reviews(respelled(200, 0, 0))
    changed = dataclasses.replace(splits.test, texts=list(map(SPELLINGS[spelling], splits.test.texts)))
    assert leaks(dataclasses.replace(splits, train=changed)) == {"validation": 0, "test": len(splits.test)}


@pytest.mark.parametrize(("name", "moved"), [("movies", 0), ("products", 3), ("editorials", 0), ("tweets", 54)])
def test_a_corpus_keeps_its_test_split_but_for_the_copies_that_joined_it(users_cache, name, moved):
    texts = load_corpus(name).texts
    formerly = {place for place, text in enumerate(texts) if in_test_split(text)}
    now = set(held_out_places(texts))
    assert formerly <= now and len(now - formerly) == moved
    joined = {copy_key(texts[place]) for place in now - formerly}
    assert joined <= {copy_key(texts[place]) for place in formerly}
    assert leaks(split_reviews(label_corpus(load_corpus(name)))) == {"validation": 0, "test": 0}


# The splits of the movie reviews


def test_the_real_movie_reviews_are_balanced_and_split_without_leaks(movie_reviews):
    splits = split_reviews(movie_reviews)
    assert leaks(splits) == {"validation": 0, "test": 0}
    for part in vars(splits).values():
        assert part.class_counts[1] / len(part) == pytest.approx(0.5, abs=0.03)
    assert [len(part) / len(movie_reviews) for part in vars(splits).values()] == pytest.approx(
        [0.8, 0.1, 0.1], abs=0.01
    )


# Stratified splits: the contract of exercise 2.2


def invented_texts(seed: int, share: float, copied: float) -> tuple[list[str], list[int], tuple[float, float, float]]:
    """Texts of which some are copies, up to 2 % of the whole of one text; every split is due at least 30."""
    generator = np.random.default_rng(seed)
    choices = [(0.8, 0.1, 0.1), (0.7, 0.15, 0.15), (0.34, 0.33, 0.33), (0.8, 0.15, 0.05)]
    fractions = choices[int(generator.integers(len(choices)))]
    n = max(300, math.ceil(30 / min(fractions))) + int(generator.integers(200))
    texts: list[str] = []
    labels: list[int] = []
    while len(texts) < n:
        copies = min(int(generator.integers(2, n // 50 + 1)) if generator.random() < copied else 1, n - len(texts))
        name = f"review {len(texts)}"
        texts += [name, f" {name.upper()} ", f"{name}\n", *[name.title()] * copies][:copies]
        labels += [int(generator.random() < share)] * copies
    order = generator.permutation(n)
    return [texts[i] for i in order], [labels[i] for i in order], fractions


@settings(max_examples=100, deadline=None)
@given(seeds, st.floats(0.15, 0.85), st.floats(0, 0.4))
def test_a_stratified_split_keeps_sizes_classes_and_copies_together(seed, share, copied):
    texts, labels, fractions = invented_texts(seed, share, copied)
    parts = stratified_split(texts, labels, fractions, seed)
    assert list(parts) == ["train", "validation", "test"]
    assert sorted(index for indices in parts.values() for index in indices) == list(range(len(texts)))
    for indices, fraction in zip(parts.values(), fractions, strict=True):
        assert len(indices) / len(texts) == pytest.approx(fraction, abs=0.02)
        assert np.mean([labels[i] for i in indices]) == pytest.approx(np.mean(labels), abs=0.03)
    where: dict[str, set[str]] = {}
    for name, indices in parts.items():
        for index in indices:
            where.setdefault(texts[index].strip().lower(), set()).add(name)
    assert {len(names) for names in where.values()} == {1}


@law
@given(seeds)
def test_a_stratified_split_is_the_seed_s_alone(seed):
    texts, labels, fractions = invented_texts(7, 0.5, 0.1)
    assert stratified_split(texts, labels, fractions, seed) == stratified_split(texts, labels, fractions, seed)
    assert stratified_split(texts, labels, fractions, seed) != stratified_split(texts, labels, fractions, seed + 1)


@law
@given(seeds, st.integers(0, 40), st.integers(0, 3))
def test_a_split_without_a_share_gets_nothing_and_any_number_of_texts_is_divided(seed, n, groups):
    texts = [f"review {number % max(1, n - groups)}" for number in range(n)]
    parts = stratified_split(texts, [number % 2 for number in range(n)], (0.9, 0.0, 0.1), seed)
    assert parts["validation"] == []
    assert sorted(parts["train"] + parts["test"]) == list(range(n))


def test_different_texts_are_divided_to_the_nearest_whole_number_in_each_class():
    labels = [0] * 250 + [1] * 50
    parts = stratified_split([f"review {number}" for number in range(300)], labels, (0.7, 0.2, 0.1))
    counts = [np.bincount([labels[i] for i in indices], minlength=2).tolist() for indices in parts.values()]
    assert counts == [[175, 35], [50, 10], [25, 5]]


def test_the_order_of_texts_within_a_split_of_one_text_each_is_random():
    chosen = Counter(
        index
        for seed in range(200)
        for index in stratified_split([f"review {n}" for n in range(40)], [0, 1] * 20, (0.5, 0.25, 0.25), seed)["test"]
    )
    assert min(chosen.values()) > 20  # each text lands there in about 50 of 200 seeds
    assert max(chosen.values()) < 85


# Planted copies


@law
@given(seeds, st.floats(0, 1))
def test_planted_copies_are_copies_to_our_splits_and_no_new_texts(seed, share):
    reviews = make_reviews(40, copies=0)
    reviews = dataclasses.replace(reviews, texts=[f"{text} Straße" for text in reviews.texts])
    planted = plant_copies(reviews, share, seed)
    assert len(planted) == 40 + round(40 * share)
    assert [*planted.texts[:40]] == [*reviews.texts] and len(set(planted.ids)) == len(planted)
    labels = {normalise(text): label for text, label in zip(reviews.texts, reviews.labels, strict=True)}
    copied = [(normalise(text), label) for text, label in zip(planted.texts[40:], planted.labels[40:], strict=True)]
    assert all(labels[text] == label for text, label in copied) and len(set(copied)) == len(copied)


def test_some_planted_copies_are_spelled_otherwise_and_a_seed_gives_them_again():
    reviews = make_reviews(100, copies=0)
    planted = plant_copies(reviews, 0.5, seed=3)
    assert 0 < len(set(planted.texts[100:]) - set(reviews.texts)) < 50
    assert planted.texts == plant_copies(reviews, 0.5, seed=3).texts != plant_copies(reviews, 0.5, seed=4).texts

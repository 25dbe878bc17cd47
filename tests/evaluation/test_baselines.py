"""Laws of the baselines, on reviews whose words decide their labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.model_selection import StratifiedKFold

from labkit.evaluation.baselines import FOLDS, REGULARISATIONS, majority, nearest_neighbour, tfidf
from labkit.evaluation.intervals import score_table
from labkit.evaluation.metrics import EvalResult

PRAISE, BLAME = ("good", "fine", "superb"), ("bad", "dull", "awful")
FILLER = ("film", "plot", "cast", "scene", "music", "story", "ending")


@dataclass(frozen=True)
class Reviews:
    texts: Sequence[str]
    labels: Sequence[int]


def make_reviews(n: int, seed: int, share: float = 0.5, noise: float = 0.1) -> Reviews:
    """Reviews of five words, one of them praise or blame, which contradicts the label in the share `noise` of them."""
    generator = np.random.default_rng(seed)
    labels = (generator.random(n) < share).astype(int).tolist()
    texts = []
    for label in labels:
        words = PRAISE if label != (generator.random() < noise) else BLAME
        texts.append(" ".join([*generator.choice(FILLER, 4), generator.choice(words)]))
    return Reviews(texts, labels)


@pytest.fixture(scope="module")
def train() -> Reviews:
    return make_reviews(120, seed=1)


@pytest.fixture(scope="module")
def held_out() -> Reviews:
    return make_reviews(60, seed=2)


@pytest.fixture(scope="module")
def fitted(train, held_out) -> EvalResult:
    return tfidf(train, held_out)


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_the_majority_is_as_accurate_as_the_commonest_training_class_is_common(share, held_out):
    train = make_reviews(50, seed=3, share=share)
    result = majority(train, held_out)
    assert set(result.predictions) == {int(share > 0.5)}
    assert result.correct.mean() == np.mean(np.array(held_out.labels) == int(share > 0.5))
    assert score_table(result, resamples=10).roc_auc.value == 0.5


def test_the_majority_reads_nothing(train, held_out):
    upside_down = Reviews(held_out.texts[::-1], held_out.labels)
    np.testing.assert_array_equal(majority(train, held_out).probabilities, majority(train, upside_down).probabilities)


def test_a_class_that_training_lacks_has_a_finite_loss():
    result = majority(Reviews(["a", "b", "c"], [0, 0, 0]), Reviews(["d", "e"], [1, 2]))
    assert result.num_classes == 3
    assert result.loss == pytest.approx(-np.log(1 / 6))


def test_tfidf_finds_the_words_that_decide_and_beats_the_majority(train, held_out, fitted):
    assert fitted.correct.mean() > 0.8 > majority(train, held_out).correct.mean()
    assert fitted.name == "TF-IDF"
    np.testing.assert_array_equal(fitted.labels, held_out.labels)


def test_tfidf_reads_pairs_of_words():
    texts = ["good", "not good", "bad", "not bad"] * 15
    result = tfidf(Reviews(texts, [1, 0, 0, 1] * 15), Reviews(texts[:4], [1, 0, 0, 1]))
    assert result.correct.all()


def test_tfidf_is_scikit_learns_with_the_penalty_that_cross_validation_on_training_prefers(train, held_out):
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2)
    features, labels = words.fit_transform(train.texts), np.array(train.labels)
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=4).split(features, labels))

    def fitted(c: float, rows: np.ndarray) -> LogisticRegression:
        return LogisticRegression(C=c, solver="newton-cg", max_iter=1000).fit(features[rows], labels[rows])

    def validation_loss(c: float) -> float:
        return np.mean([log_loss(labels[b], fitted(c, a).predict_proba(features[b]), labels=[0, 1]) for a, b in folds])

    best = fitted(min(REGULARISATIONS, key=validation_loss), np.arange(len(labels)))
    expected = best.predict_proba(words.transform(held_out.texts))
    np.testing.assert_allclose(tfidf(train, held_out, seed=4).probabilities, expected, atol=1e-10)


def test_test_labels_never_change_what_tfidf_says(train, held_out, fitted):
    flipped = replace(held_out, labels=[1 - label for label in held_out.labels])
    np.testing.assert_array_equal(tfidf(train, flipped).probabilities, fitted.probabilities)


def test_what_tfidf_says_of_a_text_does_not_depend_on_the_other_test_texts(train, held_out, fitted):
    few = Reviews(held_out.texts[:5], held_out.labels[:5])
    np.testing.assert_allclose(tfidf(train, few).probabilities, fitted.probabilities[:5], atol=1e-12)


def test_the_same_seed_gives_the_same_probabilities_and_the_global_random_state_stays(train, held_out, fitted):
    before = np.random.get_state()[1].copy()
    np.testing.assert_array_equal(tfidf(train, held_out).probabilities, fitted.probabilities)
    np.testing.assert_array_equal(np.random.get_state()[1], before)


def test_labels_may_be_a_numpy_array(train, held_out):
    as_array = replace(train, labels=np.array(train.labels, dtype=np.int8))
    np.testing.assert_array_equal(majority(as_array, held_out).probabilities, majority(train, held_out).probabilities)


@pytest.mark.parametrize("baseline", [majority, tfidf])
@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Reviews([], []), "train needs texts with one label each; found 0 texts, 0 labels"),
        (Reviews(["a", "b"], [1]), "found 2 texts, 1 labels"),
        (Reviews(["a", "b"], [1, -1]), "train labels must be class indices from 0; found int64, least -1"),
        (Reviews(["a", "b"], [1.0, float("nan")]), "train labels must be class indices from 0; found float64"),
    ],
)
def test_reviews_without_fitting_labels_are_refused(baseline, broken, message, held_out):
    with pytest.raises(ValueError, match=message):
        baseline(broken, held_out)


@pytest.mark.parametrize("baseline", [majority, tfidf])
def test_an_empty_test_split_is_refused(baseline, train):
    with pytest.raises(ValueError, match="test needs texts"):
        baseline(train, Reviews([], []))


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (Reviews(["a fine film"] * 9, [1] * 9), r"3 training texts of each class, 0 included; found \[0, 9\]"),
        (Reviews(["a fine film"] * 9, [0] * 9), r"3 training texts of each class, 0 included; found \[9\]"),
        (Reviews(["a fine film"] * 9, [0] * 7 + [1] * 2), r"found \[7, 2\]"),
        (Reviews([f"word{k} other{k}" for k in range(9)], [0, 1, 1] * 3), "words that occur in at least two"),
        (Reviews(["!", "?"] * 9, [0, 1] * 9), "words that occur in at least two"),
    ],
)
def test_training_texts_that_teach_tfidf_nothing_are_refused(broken, message, held_out):
    with pytest.raises(ValueError, match=message):
        tfidf(broken, held_out)


def test_a_test_label_that_training_lacks_is_refused(train):
    with pytest.raises(ValueError, match=r"test has label 2; the training labels are 0\.\.1"):
        tfidf(train, Reviews(["fine"], [2]))


def test_the_nearest_neighbour_is_scikit_learns_most_similar_training_text(train, held_out):
    result = nearest_neighbour(train, held_out)
    vectoriser = TfidfVectorizer(sublinear_tf=True).fit(train.texts)
    similarity = cosine_similarity(vectoriser.transform(held_out.texts), vectoriser.transform(train.texts))
    best = similarity.max(axis=1, keepdims=True) - 1e-12
    for row, prediction in zip(similarity >= best, result.predictions, strict=True):
        assert prediction in np.array(train.labels)[row]
    assert result.name == "nearest neighbour" and 0 < result.loss < np.log(3)


def test_the_nearest_neighbour_knows_every_text_that_it_has_seen_also_one_spelled_otherwise():
    texts = [f"word{number} and {number}th word" for number in range(40)]
    train = Reviews(texts, np.random.default_rng(0).integers(2, size=40).tolist())
    seen = Reviews([f"  {text.upper()} " for text in texts], train.labels)
    assert nearest_neighbour(train, seen).correct.all()


def test_the_nearest_neighbour_takes_texts_without_a_known_word_and_refuses_an_empty_set(train):
    assert len(nearest_neighbour(train, Reviews(["?", ""], [0, 1]))) == 2
    for sets in ((Reviews([], []), train), (train, Reviews([], []))):
        with pytest.raises(ValueError, match="needs texts"):
            nearest_neighbour(*sets)


@pytest.mark.parametrize("n", [3, 20, 400])
def test_of_equally_similar_training_texts_the_first_is_the_nearest(n):
    train = Reviews([f"word{number} film" for number in range(n)], [1] + [0] * (n - 1))
    unknown = nearest_neighbour(train, Reviews(["zzz", "", "qqq xxx"], [1, 1, 1]))
    assert unknown.predictions.tolist() == [1, 1, 1]
    known_twice = Reviews([*train.texts, *train.texts], [*train.labels, *(1 - label for label in train.labels)])
    assert nearest_neighbour(known_twice, train).correct.all()

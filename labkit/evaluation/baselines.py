"""Baselines that any fine-tuned model must beat: the majority class, and TF-IDF.

Beside them nearest neighbour, which is memory and nothing else: it shows what copies in a test split do to a score. All
train on `train`, predict on `test`, and return what a model returns, an `EvalResult`, so that every metric, interval and
figure is the same. Nothing is chosen by a look at `test`. scikit-learn is imported when it is needed.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import ArrayLike

from labkit.evaluation.arrays import IntArray
from labkit.evaluation.metrics import EvalResult

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

REGULARISATIONS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)  # scikit-learn's C: the larger, the weaker the penalty
FOLDS = 3


class LabelledTexts(Protocol):
    """Anything with texts and their labels (class indices from 0), equally long."""

    @property
    def texts(self) -> Sequence[str]: ...

    @property
    def labels(self) -> ArrayLike: ...


def majority(train: LabelledTexts, test: LabelledTexts) -> EvalResult:
    """Predict the class shares of the training set for every text: it reads nothing.

    Its accuracy is the share in `test` of the commonest training class, its ROC AUC 0.5. Each share is
    (count + 1) / (n + classes), so that a class which training lacks has a finite loss. Raises ValueError for an empty
    set.

    >>> from types import SimpleNamespace as Texts
    >>> majority(Texts(texts=["fine", "good", "bad"], labels=[1, 1, 0]), Texts(texts=["dull", "fun"], labels=[0, 1]))
    EvalResult(majority, n = 2, 2 classes, loss 0.714, accuracy 0.500)
    """
    train_labels, test_labels = (_checked_labels(train, "train"), _checked_labels(test, "test"))
    num_classes = max(2, train_labels.max() + 1, test_labels.max() + 1)
    counts = np.bincount(train_labels, minlength=num_classes) + 1
    log_shares = np.log(counts / counts.sum())
    return EvalResult.from_logits(test_labels, np.tile(log_shares, (len(test_labels), 1)), name="majority")


def tfidf(train: LabelledTexts, test: LabelledTexts, seed: int = 0) -> EvalResult:
    """Fit logistic regression on TF-IDF weights: what counting words is worth.

    It counts words and word pairs. Words and pairs that occur in one training text only are dropped, term frequencies enter
    by their logarithm. The strength of the penalty is the one of `REGULARISATIONS` with the lowest cross-validated loss on
    `train`; the seed shuffles those folds. Raises ValueError for an empty set, for fewer than three training texts of a
    class, for training texts without a word in common, and for a test label that training lacks.

    >>> from types import SimpleNamespace as Texts
    >>> train = Texts(texts=["a fine film", "a dull film"] * 10, labels=[1, 0] * 10)
    >>> tfidf(train, Texts(texts=["fine", "dull", "dull"], labels=[1, 0, 0])).predictions.tolist()
    [1, 0, 0]
    """
    train_labels, test_labels = (_checked_labels(train, "train"), _checked_labels(test, "test"))
    counts = np.bincount(train_labels)
    if len(counts) < 2 or counts.min() < FOLDS:
        raise ValueError(f"tfidf needs {FOLDS} training texts of each class, 0 included; found {counts.tolist()}")
    if test_labels.max() >= len(counts):
        raise ValueError(f"test has label {test_labels.max()}; the training labels are 0..{len(counts) - 1}")
    model = _fitted(train.texts, train_labels, seed)
    return EvalResult.from_logits(test_labels, model.predict_log_proba(test.texts), name="TF-IDF")


def nearest_neighbour(train: LabelledTexts, test: LabelledTexts) -> EvalResult:
    """Give each text the label of the most similar training text: pure memory.

    Similarity is the cosine of TF-IDF weights of words. Its shares are (votes + 1) / (1 + classes) of one vote; a text
    without a known word gets the first training text's label. Raises ValueError for an empty set, and for training texts
    without any word.

    >>> from types import SimpleNamespace as Texts
    >>> train = Texts(texts=["a fine film", "a dull film"], labels=[1, 0])
    >>> nearest_neighbour(train, Texts(texts=["A FINE FILM", "dull"], labels=[1, 0])).predictions.tolist()
    [1, 0]
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.neighbors import KNeighborsClassifier

    train_labels, test_labels = (_checked_labels(train, "train"), _checked_labels(test, "test"))
    num_classes = max(2, train_labels.max() + 1, test_labels.max() + 1)
    words = TfidfVectorizer(sublinear_tf=True).fit(train.texts)
    memory = KNeighborsClassifier(1, metric="cosine").fit(words.transform(train.texts), train_labels)
    votes = np.eye(num_classes)[memory.predict(words.transform(test.texts))]
    return EvalResult.from_logits(test_labels, np.log((votes + 1) / (1 + num_classes)), name="nearest neighbour")


def _fitted(texts: Sequence[str], labels: IntArray, seed: int) -> "Pipeline":
    """Fit TF-IDF and a logistic regression, with C chosen by cross-validation.

    The folds are stratified and hold these texts alone.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold
    from sklearn.pipeline import make_pipeline

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    regression = LogisticRegression(solver="newton-cg", max_iter=1000)
    search = GridSearchCV(regression, {"C": REGULARISATIONS}, scoring="neg_log_loss", cv=folds)
    try:
        return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2), search).fit(
            texts, labels
        )
    except ValueError as error:
        if "vocabulary" in str(error) or "no terms remain" in str(error):
            raise ValueError("tfidf needs words that occur in at least two training texts; found none") from error
        raise


def _checked_labels(reviews: LabelledTexts, split: str) -> IntArray:
    """Return the labels as (n,) int64, one for each text and at least one."""
    labels = np.asarray(reviews.labels)
    if len(reviews.texts) == 0 or labels.shape != (len(reviews.texts),):
        raise ValueError(
            f"{split} needs texts with one label each; found {len(reviews.texts)} texts, {labels.size} labels"
        )
    if labels.dtype.kind not in "biu" or labels.min() < 0:
        raise ValueError(f"{split} labels must be class indices from 0; found {labels.dtype}, least {labels.min()}")
    return labels.astype(np.int64)

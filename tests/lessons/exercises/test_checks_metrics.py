"""The checks of lesson 04: right answers in many styles pass, wrong ones get the hint that fits."""

import math
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import scipy.sparse
import scipy.special
import torch
from checking import (
    ExerciseLaws,
    judged,
)
from sklearn import metrics as sklearn_metrics

import labkit
from labkit.checks import exercise, exercises_in
from labkit.lessons.exercises import metrics
from labkit.lessons.exercises.metrics.best_f1_threshold import STRICT, best_f1_reference, f1_at
from labkit.lessons.exercises.metrics.confidently_wrong import APART, confidently_wrong_reference
from labkit.lessons.exercises.metrics.confusion_matrix import confusion_matrix_reference
from labkit.lessons.exercises.metrics.expected_calibration_error import expected_calibration_error_reference
from labkit.lessons.exercises.metrics.precision_recall_f1 import precision_recall_f1_reference
from labkit.lessons.exercises.metrics.softmax import softmax_reference

EXERCISES = exercises_in(metrics)

# Right answers


def softmax_by_scipy(logits: np.ndarray) -> np.ndarray:
    return scipy.special.softmax(logits, axis=-1)


def softmax_by_torch(logits: np.ndarray) -> Any:
    return torch.softmax(torch.from_numpy(logits), dim=-1)


def softmax_in_float32(logits: np.ndarray) -> Any:
    return torch.tensor(logits, dtype=torch.float32).softmax(-1).numpy()


def softmax_by_the_book(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return exponentials / np.sum(exponentials, axis=-1, keepdims=True)


def softmax_by_logarithms(logits: np.ndarray) -> np.ndarray:
    return np.exp(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True))


def softmax_by_loops(logits: np.ndarray) -> np.ndarray:
    rows = []
    for row in logits.reshape(-1, logits.shape[-1]).tolist():
        largest = max(row)
        shares = [math.exp(logit - largest) for logit in row]
        rows.append([share / sum(shares) for share in shares])
    return np.array(rows).reshape(logits.shape)


def scores_by_scikit_learn(labels: Any, predictions: Any, positive: int = 1) -> Any:
    found = sklearn_metrics.precision_recall_fscore_support(
        labels, predictions, pos_label=positive, average="binary", zero_division=0.0
    )
    return found[:3]


def scores_by_loops(labels: Any, predictions: Any, positive: int = 1) -> tuple[float, float, float]:
    tp = fp = fn = 0
    for label, prediction in zip(labels, predictions, strict=True):
        if prediction == positive and label == positive:
            tp += 1
        elif prediction == positive:
            fp += 1
        elif label == positive:
            fn += 1
    precision = tp / (tp + fp) if tp + fp else 0.0
    recall = tp / (tp + fn) if tp + fn else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0


def scores_by_torch(labels: Any, predictions: Any, positive: int = 1) -> Any:
    true, found = torch.as_tensor(labels) == positive, torch.as_tensor(predictions) == positive
    true_positives = (true & found).sum()
    ratios = (
        true_positives / found.sum(),
        true_positives / true.sum(),
        2 * true_positives / (found.sum() + true.sum()),
    )
    return tuple(ratio.nan_to_num(0.0) for ratio in ratios)


def scores_of_lists(labels: list[int], predictions: list[int], positive: int = 1) -> Any:
    """Takes lists and nothing else."""
    counts = Counter(zip(labels, predictions, strict=True))
    predicted_positives, actual_positives = predictions.count(positive), labels.count(positive)
    precision = counts[positive, positive] / max(predicted_positives, 1)
    recall = counts[positive, positive] / max(actual_positives, 1)
    return precision, recall, 2 * precision * recall / max(precision + recall, 1e-300)


def matrix_by_loops(labels: Any, predictions: Any, num_classes: int) -> np.ndarray:
    matrix = [[0] * num_classes for _ in range(num_classes)]
    for label, prediction in zip(labels, predictions, strict=True):
        matrix[label][prediction] += 1
    return np.array(matrix)


def matrix_by_adding_at(labels: Any, predictions: Any, num_classes: int) -> np.ndarray:
    matrix = np.zeros((num_classes, num_classes), dtype=np.int32)
    np.add.at(matrix, (labels, predictions), 1)
    return matrix


def matrix_by_scikit_learn(labels: Any, predictions: Any, num_classes: int) -> Any:
    return sklearn_metrics.confusion_matrix(labels, predictions, labels=range(num_classes))


def matrix_by_torch(labels: Any, predictions: Any, num_classes: int) -> Any:
    one_hot = torch.nn.functional.one_hot
    true, found = (one_hot(torch.as_tensor(values), num_classes) for values in (labels, predictions))
    return true.T @ found


def threshold_by_trying(labels: Any, scores: Any) -> tuple[float, float]:
    best = (math.inf, 0.0)
    for threshold in sorted(scores):
        predicted = scores >= threshold
        f1 = 2 * np.sum(predicted * labels) / (np.sum(predicted) + np.sum(labels))
        if f1 > best[1]:
            best = (threshold, f1)
    return best


def threshold_by_scikit_learn(labels: Any, scores: Any) -> Any:
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(labels, scores)
    with np.errstate(invalid="ignore"):  # where nothing right is found
        f1 = np.nan_to_num(2 * precision * recall / (precision + recall))
    best = np.argmax(f1[:-1])
    return thresholds[best], f1[best]


def threshold_in_the_middle(labels: Any, scores: Any) -> tuple[float, float]:
    """Plain Python, by falling score, between two different ones, with the last of the best."""
    pairs = sorted(zip([float(score) for score in scores], labels, strict=True), reverse=True)
    positives, true_positives, best, threshold = sum(labels), 0, 0.0, math.nan
    for place, (score, label) in enumerate(pairs):
        true_positives += label
        below = pairs[place + 1][0] if place + 1 < len(pairs) else score - 1
        f1 = 2 * true_positives / (place + 1 + positives)
        if below < score and f1 >= best:
            best, threshold = f1, (score + below) / 2
    return threshold, best


def threshold_by_torch(labels: Any, scores: Any) -> Any:
    true, values = torch.tensor(labels), torch.tensor(scores, dtype=torch.float32)
    predicted = values[None, :] >= values[:, None]
    f1 = 2 * (predicted & true.bool()).sum(1) / (predicted.sum(1) + true.sum())
    return values[f1.argmax()], f1.max()


def error_by_digitize(confidences: Any, correct: Any, bins: int = 10) -> float:
    place = np.clip(np.digitize(confidences, np.linspace(0, 1, bins + 1), right=True), 1, bins)
    error = 0.0
    for number in range(1, bins + 1):
        inside = place == number
        if inside.any():
            error += inside.mean() * abs(confidences[inside].mean() - correct[inside].mean())
    return error


def error_by_masks(confidences: Any, correct: Any, bins: int = 10) -> float:
    edges, total = [k / bins for k in range(bins + 1)], 0.0
    for low, high in pairwise(edges):
        inside = [i for i, c in enumerate(confidences) if low < c <= high or (low == 0 and c == 0)]
        if inside:
            mean = sum(confidences[i] for i in inside) / len(inside)
            accuracy = sum(bool(correct[i]) for i in inside) / len(inside)
            total += len(inside) / len(confidences) * abs(mean - accuracy)
    return total


def error_by_torch(confidences: Any, correct: Any, bins: int = 10) -> Any:
    sure, right = torch.tensor(confidences, dtype=torch.float32), torch.tensor(correct, dtype=torch.float32)
    place = torch.bucketize(sure, torch.arange(1, bins) / bins)
    return torch.zeros(bins).index_add(0, place, sure - right).abs().sum() / len(sure)


def error_by_bincount(confidences: Any, correct: Any, bins: int = 10) -> Any:
    place = np.maximum(np.ceil(confidences * bins).astype(int) - 1, 0)
    return np.abs(np.bincount(place, confidences, bins) - np.bincount(place, correct, bins)).sum() / len(place)


def error_of_lists(confidences: list[float], correct: list[bool], bins: int = 10) -> float:
    """Takes lists and nothing else."""
    groups: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    while confidences:
        sure, right, *confidences = [confidences[0], correct[0], *confidences[1:]]
        correct = correct[1:]
        groups[max(0, math.ceil(sure * bins) - 1)].append((sure, right))
    gaps = [abs(sum(sure - right for sure, right in group)) for group in groups]
    return sum(gaps) / sum(map(len, groups))


def wrong_by_numpy(logits: Any, labels: Any, threshold: float = 0.9) -> Any:
    probabilities = scipy.special.softmax(np.asarray(logits), axis=1)
    sure, predicted = probabilities.max(axis=1), probabilities.argmax(axis=1)
    wrong = np.where((predicted != np.asarray(labels)) & (sure >= threshold))[0]
    return wrong[np.argsort(sure[wrong])[::-1]].tolist()


def wrong_by_torch(logits: Any, labels: Any, threshold: float = 0.9) -> Any:
    sure, predicted = torch.as_tensor(logits, dtype=torch.float32).softmax(-1).max(-1)
    wrong = (predicted != torch.as_tensor(labels)) & (sure >= threshold)
    order = sure.argsort(descending=True)
    return list(order[wrong[order]])


def wrong_by_loops(logits: Any, labels: Any, threshold: float = 0.9) -> list[int]:
    found = []
    for place, (row, label) in enumerate(zip(logits.tolist(), labels, strict=True)):
        largest = max(row)
        sure = 1 / sum(math.exp(logit - largest) for logit in row)
        if row.index(largest) != label and sure >= threshold:
            found.append((sure, place))
    return [place for _, place in sorted(found, reverse=True)]


def wrong_in_turn(logits: Any, labels: Any, threshold: float = 0.9) -> Any:
    """Of lists of labels and nothing else, and of whatever iterates for logits."""
    sure = {i: labkit.softmax(row).max() for i, row in enumerate(logits)}
    wrong = {i for i, row in enumerate(logits) if labels.index(labels[i]) >= 0 and int(row.argmax()) != labels[i]}
    return [np.int64(i) for i in sorted(wrong, key=sure.__getitem__, reverse=True) if sure[i] >= threshold]


def softmax_of_the_opposite(logits: np.ndarray) -> np.ndarray:
    """Each share as one over a sum of ratios, broadcast to one axis more."""
    with np.errstate(over="ignore"):
        return 1 / np.exp(logits[..., None, :] - logits[..., :, None]).sum(axis=-1)


def softmax_by_rows(logits: np.ndarray) -> Any:
    def of_row(row: np.ndarray) -> np.ndarray:
        return np.exp(row - scipy.special.logsumexp(row))

    return np.apply_along_axis(of_row, -1, logits)


def scores_from_a_matrix(labels: Any, predictions: Any, positive: int = 1) -> Any:
    matrix = sklearn_metrics.confusion_matrix(labels == positive, predictions == positive, labels=[False, True])
    (_, fp), (fn, tp) = matrix
    with np.errstate(invalid="ignore"):
        ratios = np.array([tp, tp, 2 * tp]) / [tp + fp, tp + fn, 2 * tp + fp + fn]
    return tuple(np.nan_to_num(ratios).astype(np.float32))


def scores_of_micro_average(labels: Any, predictions: Any, positive: int = 1) -> Any:
    named = {"labels": [positive], "average": "micro", "zero_division": 0}
    of_each = (sklearn_metrics.precision_score, sklearn_metrics.recall_score, sklearn_metrics.f1_score)
    return tuple(score(labels, predictions, **named) for score in of_each)


def matrix_of_small_ints(labels: Any, predictions: Any, num_classes: int) -> Any:
    classes = np.arange(num_classes)
    return np.array([[((labels == i) & (predictions == j)).sum() for j in classes] for i in classes], dtype=np.uint32)


def matrix_by_scipy(labels: Any, predictions: Any, num_classes: int) -> Any:
    ones = np.ones(len(labels), dtype=int)
    return scipy.sparse.coo_matrix((ones, (labels, predictions)), shape=(num_classes, num_classes)).todense()


def threshold_from_minus_infinity(labels: Any, scores: Any) -> Any:
    """A hair below each score, and one below and one above all."""
    thresholds = [-np.inf, *(score - 1e-9 for score in scores), np.inf]
    return max(((t, f1_at(labels, scores, t)) for t in thresholds), key=lambda pair: (pair[1], pair[0]))


def threshold_of_positives(labels: list[int], scores: list[float]) -> Any:
    """Lists alone, and only the scores of positives, of which one is always among the best."""
    if labels.count(1) == 0:
        return 0, 0
    thresholds = [score for label, score in zip(labels, scores, strict=True) if label]
    best = max(thresholds, key=lambda t: (f1_at(labels, scores, t), -t))
    return best, f1_at(labels, scores, best)


def error_by_histogram(confidences: Any, correct: Any, bins: int = 10) -> float:
    """Numpy's histograms are closed on the left: mirrored they are closed on the right."""
    count, edges = np.histogram(-confidences, bins, range=(-1, 0))
    sure = np.histogram(-confidences, edges, weights=confidences)[0]
    right = np.histogram(-confidences, edges, weights=correct.astype(float))[0]
    with np.errstate(invalid="ignore"):
        return float(np.nansum(count * np.abs(sure / count - right / count)) / count.sum())


def wrong_by_logarithms(logits: Any, labels: Any, threshold: float = 0.9) -> Any:
    log_probabilities = torch.log_softmax(torch.as_tensor(np.array(logits)), dim=1)
    sure, predicted = log_probabilities.max(dim=1)
    wrong = [i for i, label in enumerate(labels) if predicted[i] != label and sure[i] >= math.log(threshold)]
    return sorted(wrong, key=lambda i: sure[i], reverse=True)


# Those that take tensors and nothing else


def softmax_of_a_tensor(logits: torch.Tensor) -> Any:
    return logits.softmax(dim=-1)


def scores_of_tensors(labels: torch.Tensor, predictions: torch.Tensor, positive: int = 1) -> Any:
    true, found = labels.eq(positive), predictions.eq(positive)
    true_positives = (true & found).float().sum()
    whole = torch.stack([found.sum(), true.sum(), (found.sum() + true.sum()) / 2]).clamp(min=1e-9)
    return tuple(true_positives / whole)


def matrix_of_tensors(labels: torch.Tensor, predictions: torch.Tensor, num_classes: int) -> Any:
    pairs = labels.mul(num_classes).add(predictions)
    return pairs.bincount(minlength=num_classes**2).view(num_classes, -1)


def threshold_of_tensors(labels: torch.Tensor, scores: torch.Tensor) -> Any:
    order = scores.argsort(descending=True)
    true_positives = labels[order].cumsum(0)
    f1 = 2 * true_positives / (torch.arange(len(true_positives)) + 1 + labels.sum())
    falls = torch.cat([scores[order].diff() < 0, torch.tensor([True])])
    best = f1.where(falls, -1).argmax()
    return scores[order][best], f1[best]


def error_of_tensors(confidences: torch.Tensor, correct: torch.Tensor, bins: int = 10) -> Any:
    place = confidences.mul(bins).ceil().sub(1).clamp(min=0).long()
    return torch.zeros(bins).index_add(0, place, confidences - correct.float()).abs().sum() / len(place)


RIGHT: dict[str, list[Callable[..., Any]]] = {
    "4.1": [
        labkit.softmax,
        softmax_by_scipy,
        softmax_by_torch,
        softmax_in_float32,
        softmax_by_the_book,
        softmax_by_logarithms,
        softmax_by_loops,
        softmax_of_the_opposite,
        softmax_by_rows,
        softmax_of_a_tensor,
    ],
    "4.2": [
        labkit.precision_recall_f1,
        scores_by_scikit_learn,
        scores_by_loops,
        scores_by_torch,
        scores_of_lists,
        scores_from_a_matrix,
        scores_of_micro_average,
        scores_of_tensors,
    ],
    "4.3": [
        labkit.confusion_matrix,
        matrix_by_loops,
        matrix_by_adding_at,
        matrix_by_scikit_learn,
        matrix_by_torch,
        matrix_of_small_ints,
        matrix_by_scipy,
        matrix_of_tensors,
    ],
    "4.4": [
        labkit.best_f1_threshold,
        threshold_by_trying,
        threshold_by_scikit_learn,
        threshold_in_the_middle,
        threshold_by_torch,
        threshold_from_minus_infinity,
        threshold_of_positives,
        threshold_of_tensors,
    ],
    "4.5": [
        labkit.expected_calibration_error,
        error_by_digitize,
        error_by_masks,
        error_by_torch,
        error_by_bincount,
        error_of_lists,
        error_by_histogram,
        error_of_tensors,
    ],
    "4.6": [
        labkit.confidently_wrong,
        wrong_by_numpy,
        wrong_by_torch,
        wrong_by_loops,
        wrong_in_turn,
        wrong_by_logarithms,
    ],
}
SLOWEST = {
    "4.1": softmax_by_loops,
    "4.2": scores_of_lists,
    "4.3": matrix_by_loops,
    "4.4": threshold_by_trying,
    "4.5": error_of_lists,
    "4.6": wrong_by_loops,
}

# Wrong answers beside the known ones, each with words that its hint must have


def softmax_as_lists(logits: np.ndarray) -> Any:
    return scipy.special.softmax(logits, axis=-1).tolist()


def softmax_in_place(logits: np.ndarray) -> np.ndarray:
    logits -= logits.max(axis=-1, keepdims=True)
    return np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)


def softmax_that_seeds(logits: np.ndarray) -> np.ndarray:
    np.random.seed(0)
    np.random.rand()
    return softmax_by_the_book(logits)


def softmax_of_clipped_logits(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(np.clip(logits, -500, 500))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def scores_as_list(labels: Any, predictions: Any, positive: int = 1) -> Any:
    return list(scores_by_loops(labels, predictions, positive))


def scores_in_per_cent(labels: Any, predictions: Any, positive: int = 1) -> Any:
    return tuple(100 * score for score in scores_by_loops(labels, predictions, positive))


def matrix_of_floats(labels: Any, predictions: Any, num_classes: int) -> Any:
    return matrix_by_loops(labels, predictions, num_classes).astype(float)


def matrix_as_lists(labels: Any, predictions: Any, num_classes: int) -> Any:
    return matrix_by_loops(labels, predictions, num_classes).tolist()


def matrix_by_indexing(labels: Any, predictions: Any, num_classes: int) -> Any:
    matrix = np.zeros((num_classes, num_classes), dtype=int)
    matrix[labels, predictions] += 1
    return matrix


def matrix_as_scikit_learn_guesses(labels: Any, predictions: Any, num_classes: int) -> Any:
    return sklearn_metrics.confusion_matrix(labels, predictions)


def threshold_above(labels: Any, scores: Any) -> tuple[float, float]:
    """Strictly above, with the last of the best and not the first."""
    best = (-math.inf, 0.0)
    for threshold in [-math.inf, *sorted(scores)]:
        f1 = labkit.precision_recall_f1(labels, (scores > threshold).astype(int)).f1
        best = (threshold, f1) if f1 >= best[1] else best
    return best


def threshold_of_a_coarse_grid(labels: Any, scores: Any) -> tuple[float, float]:
    return max(((t, f1_at(labels, scores, t)) for t in np.linspace(0, 1, 21)), key=lambda pair: pair[1])


def threshold_of_a_finer_grid(labels: Any, scores: Any) -> tuple[float, float]:
    return max(((t, f1_at(labels, scores, t)) for t in np.linspace(0, 1, 1001)), key=lambda pair: pair[1])


def threshold_from_lowest_to_highest(labels: Any, scores: Any) -> tuple[float, float]:
    thresholds = np.linspace(scores.min(), scores.max(), 100)
    return max(((t, f1_at(labels, scores, t)) for t in thresholds), key=lambda pair: pair[1])


def threshold_of_the_largest_nan(labels: Any, scores: Any) -> Any:
    """By scikit-learn's curve, with no thought of 0 divided by 0: argmax takes NaN for the largest."""
    precision, recall, thresholds = sklearn_metrics.precision_recall_curve(labels, scores)
    with np.errstate(invalid="ignore"):
        f1 = (2 * precision * recall / (precision + recall))[:-1]
    return thresholds[f1.argmax()], f1.max()


def threshold_of_small_counts(labels: Any, scores: Any) -> Any:
    thresholds = np.unique(scores)
    found = np.array([(labels * (scores >= t)).sum() for t in thresholds]).astype(np.uint8).astype(float)
    f1 = 2 * found / (np.array([(scores >= t).sum() for t in thresholds]) + labels.sum())
    return thresholds[f1.argmax()], f1.max()


def scores_of_small_counts(labels: Any, predictions: Any, positive: int = 1) -> Any:
    found, true = np.equal(predictions, positive), np.equal(labels, positive)
    hits, called, there = (float(np.uint8(one.sum() % 256)) for one in (found & true, found, true))
    return hits / max(called, 1), hits / max(there, 1), 2 * hits / max(called + there, 1)


def error_of_small_counts(confidences: Any, correct: Any, bins: int = 10) -> float:
    place = np.maximum(np.ceil(confidences * bins).astype(int) - 1, 0)
    weights = np.bincount(place, minlength=bins).astype(np.uint8) / len(place)
    gaps = [abs(np.mean(confidences[place == k] - correct[place == k])) for k in np.unique(place)]
    return float(np.sum(weights[np.unique(place)] * gaps))


def matrix_in_small_cells(labels: Any, predictions: Any, num_classes: int) -> Any:
    matrix = np.zeros((num_classes, num_classes), dtype=np.uint8)
    np.add.at(matrix, (labels, predictions), 1)
    return matrix


def threshold_as_list(labels: Any, scores: Any) -> Any:
    return list(labkit.best_f1_threshold(labels, scores))


def error_in_per_cent(confidences: Any, correct: Any, bins: int = 10) -> float:
    return 100 * error_by_masks(confidences, correct, bins)


def error_as_array(confidences: Any, correct: Any, bins: int = 10) -> Any:
    return np.array([error_by_masks(confidences, correct, bins)])


def error_by_digitize_alone(confidences: Any, correct: Any, bins: int = 10) -> float:
    """np.digitize as it comes: closed on the left, with 1 in a bin of its own."""
    place = np.digitize(confidences, np.linspace(0, 1, bins + 1))
    inside = [place == number for number in np.unique(place)]
    return sum(abs(confidences[one].sum() - correct[one].sum()) for one in inside) / len(place)


def wrong_as_array(logits: Any, labels: Any, threshold: float = 0.9) -> Any:
    return np.array(labkit.confidently_wrong(logits, labels, threshold))


def wrong_with_confidences(logits: Any, labels: Any, threshold: float = 0.9) -> Any:
    sure = softmax_reference(np.asarray(logits)).max(axis=1)
    return [(place, sure[place]) for place in labkit.confidently_wrong(logits, labels, threshold)]


def wrong_of_numpy_alone(logits: Any, labels: Any, threshold: float = 0.9) -> Any:
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    return labkit.confidently_wrong(np.log(probabilities), labels, threshold)


def softmax_rounded(logits: np.ndarray) -> np.ndarray:
    return scipy.special.softmax(logits, axis=-1).round(2)


def scores_of_thirds(labels: Any, predictions: Any, positive: int = 1) -> Any:
    """F1 from precision and recall that are swapped in the second place only."""
    precision, _, f1 = scores_by_loops(labels, predictions, positive)
    return precision, precision, f1


def threshold_of_rounded_scores(labels: Any, scores: Any) -> Any:
    return threshold_by_trying(labels, scores.round(2))


def error_without_weights_for_correct(confidences: Any, correct: Any, bins: int = 10) -> float:
    place = np.maximum(np.ceil(confidences * bins).astype(int) - 1, 0)
    gaps = [abs(confidences[place == k].mean() - correct.mean()) * np.mean(place == k) for k in np.unique(place)]
    return float(np.sum(gaps))


def wrong_by_margin(logits: Any, labels: Any, threshold: float = 0.9) -> Any:
    rows = np.sort(np.asarray(logits), axis=1)
    found = labkit.confidently_wrong(logits, labels, threshold)
    return sorted(found, key=lambda place: rows[place, -2] - rows[place, -1])


def wrong_by_loss(logits: Any, labels: Any, threshold: float = 0.9) -> Any:
    probabilities = softmax_reference(np.asarray(logits))
    found = labkit.confidently_wrong(logits, labels, threshold)
    return sorted(found, key=lambda place: probabilities[place, labels[place]])


OTHER_WRONG: list[tuple[str, Any, str]] = [
    ("4.1", softmax_as_lists, "asks for an array of floats"),
    ("4.1", softmax_in_place, "Work on a copy"),
    ("4.1", softmax_that_seeds, "global random state"),
    ("4.1", scipy.special.softmax, "All your numbers together sum to 1"),
    ("4.1", softmax_of_clipped_logits, "without changing the result"),
    ("4.2", scores_as_list, "asks for a tuple of three floats"),
    ("4.2", scores_in_per_cent, "How many were called positive"),
    ("4.3", matrix_of_floats, "counts are ints"),
    ("4.3", matrix_as_lists, "counts are ints"),
    ("4.3", matrix_by_indexing, "counts repeated places once"),
    ("4.3", matrix_as_scikit_learn_guesses, "The caller says how many classes"),
    ("4.4", threshold_above, STRICT),
    ("4.4", threshold_of_a_coarse_grid, "by falling score"),
    ("4.4", threshold_of_a_finer_grid, "You try the same thresholds"),
    ("4.4", threshold_from_lowest_to_highest, "nor far apart"),
    ("4.2", scores_of_small_counts, "How many were called positive"),
    ("4.3", matrix_in_small_cells, "numbers of eight bits"),
    ("4.4", threshold_of_the_largest_nan, "NaN passes for the largest"),
    ("4.4", threshold_of_small_counts, "cannot hold as many"),
    ("4.5", error_of_small_counts, "Sort the example into its bins"),
    ("4.4", threshold_as_list, "asks for a tuple of two floats"),
    ("4.5", error_in_per_cent, "With one bin"),
    ("4.5", error_as_array, "With one bin"),
    ("4.5", error_by_digitize_alone, "upper bin"),
    ("4.1", softmax_rounded, "two logits by hand"),
    ("4.2", scores_of_thirds, "How many positives"),
    ("4.4", threshold_of_rounded_scores, "Is it the F1 that you give"),
    ("4.5", error_without_weights_for_correct, "Sort the example into its bins"),
    ("4.6", wrong_by_margin, "the lead over the second class"),
    ("4.6", wrong_by_loss, "how improbable the true class is"),
    ("4.6", wrong_as_array, "asks for a list of ints"),
    ("4.6", wrong_with_confidences, "row by row"),
    ("4.6", wrong_of_numpy_alone, "raised TypeError"),
]
TRIVIAL: list[tuple[str, Any]] = [
    ("4.1", np.zeros_like),
    ("4.1", lambda logits: np.full_like(logits, 1 / logits.shape[-1])),
    ("4.1", lambda logits: (logits == logits.max(axis=-1, keepdims=True)).astype(float)),
    ("4.2", lambda labels, predictions, positive=1: (0.0, 0.0, 0.0)),
    ("4.2", lambda labels, predictions, positive=1: (1.0, 1.0, 1.0)),
    ("4.2", lambda labels, predictions, positive=1: (labels, predictions, positive)),
    ("4.3", lambda labels, predictions, num_classes: np.zeros((num_classes, num_classes), dtype=int)),
    ("4.3", lambda labels, predictions, num_classes: np.eye(num_classes, dtype=int)),
    ("4.4", lambda labels, scores: (math.inf, 0.0)),
    ("4.4", lambda labels, scores: (-math.inf, 1.0)),
    ("4.4", lambda labels, scores: (float(np.median(scores)), 1.0)),
    ("4.5", lambda confidences, correct, bins=10: 0.1),
    ("4.5", lambda confidences, correct, bins=10: float(np.mean(confidences))),
    ("4.6", lambda logits, labels, threshold=0.9: list(range(len(labels)))),
    ("4.6", lambda logits, labels, threshold=0.9: [0]),
]
SLOW = (scores_by_scikit_learn, scores_of_micro_average, softmax_by_rows, threshold_of_a_finer_grid)


class TestExercises(ExerciseLaws):
    exercises = EXERCISES
    right = RIGHT
    wrong = OTHER_WRONG
    trivial = TRIVIAL
    slowest = SLOWEST
    seeds = dict.fromkeys(SLOW, 20)


# The references stand on other people's code, and the cases keep what they promise


def cases_of(name: str, seeds: int = 20) -> Iterator[Any]:
    for seed in range(seeds):
        yield from exercise(name).cases(np.random.default_rng(seed))


def test_the_reference_of_softmax_is_torchs() -> None:
    for case in cases_of("4.1", 3):
        logits = torch.tensor(case.inputs["logits"], dtype=torch.float64)
        torch.testing.assert_close(torch.from_numpy(softmax_reference(logits.numpy())), logits.softmax(-1))


def test_the_references_of_precision_and_the_confusion_matrix_are_scikit_learns() -> None:
    for case in cases_of("4.2", 3):
        found = precision_recall_f1_reference(**case.inputs)
        np.testing.assert_allclose(found, scores_by_scikit_learn(**case.inputs))
    for case in cases_of("4.3", 3):
        np.testing.assert_array_equal(confusion_matrix_reference(**case.inputs), matrix_by_scikit_learn(**case.inputs))


def test_the_reference_of_the_best_f1_is_the_best_of_scikit_learns_curve() -> None:
    for case in cases_of("4.4", 3):
        labels, scores = (np.array(case.inputs[name]) for name in ("labels", "scores"))
        if labels.any():
            assert best_f1_reference(**case.inputs) == pytest.approx(threshold_by_scikit_learn(labels, scores)[1])


def test_scores_of_cases_are_exact_in_float32() -> None:
    for case in cases_of("4.4"):
        assert np.float32(case.inputs["scores"]).tolist() == case.inputs["scores"]


def test_the_reference_of_the_calibration_error_is_labkits_own() -> None:
    for case in cases_of("4.5", 5):
        wanted = labkit.expected_calibration_error(**case.inputs)
        assert expected_calibration_error_reference(**case.inputs) == pytest.approx(wanted)


def test_confidences_of_cases_lie_well_within_a_bin_or_on_an_edge_that_is_exact_in_binary() -> None:
    for case in cases_of("4.5"):
        bins = case.inputs.get("bins", 10)
        places = bins * np.array(case.inputs["confidences"])
        exact = (places == places.round()) & (bins & (bins - 1) == 0)
        assert np.all(exact | (np.abs(places - places.round()) > 0.02))


def test_confidences_of_cases_are_well_apart_or_decided_without_rounding() -> None:
    for case in cases_of("4.6"):
        threshold = case.inputs.get("threshold", 0.9)
        sure = np.sort(softmax_reference(case.inputs["logits"]).max(axis=1))
        assert np.all((np.abs(sure - threshold) > APART) | ((sure == 1.0) & (threshold == 1.0)))
        wrong = confidently_wrong_reference(case.inputs["logits"], case.inputs["labels"], threshold)
        gaps = np.diff(np.sort(softmax_reference(case.inputs["logits"]).max(axis=1)[wrong]))
        assert np.all((gaps > APART) | (gaps == 0))


def test_an_answer_that_takes_only_lists_or_only_arrays_is_right() -> None:
    def of_arrays(labels: Any, predictions: Any, positive: int = 1) -> Any:
        return scores_by_torch(labels[:], predictions.copy(), positive) if labels.shape == predictions.shape else None

    assert judged(exercise("4.2"), of_arrays).passed and judged(exercise("4.2"), scores_of_lists).passed

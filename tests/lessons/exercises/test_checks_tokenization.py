"""The checks of lesson 01: right answers in many styles pass, wrong ones get the hint that fits."""

import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate
from typing import Any

import numpy as np
import pytest
import torch
from checking import assert_hints_are_hints, hint_of, judged, lazy_answers, unfinished, verdicts

import labkit
from labkit.checks import exercise, exercises_in
from labkit.lessons.exercises import tokenization
from labkit.lessons.exercises.tokenization.encode import encode_reference
from labkit.lessons.exercises.tokenization.wordpiece import wordpiece_reference
from labkit.lessons.observers.tokenization import small_tokenizer

EXERCISES = exercises_in(tokenization)

# Right answers


def wordpiece_by_recursion(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    def pieces(rest: str, mark: str) -> list[str] | None:
        if not rest:
            return []
        for end in range(len(rest), 0, -1):
            if mark + rest[:end] in vocab:
                tail = pieces(rest[end:], prefix)
                return None if tail is None else [mark + rest[:end], *tail]
        return None

    found = pieces(word, "")
    return [unk] if found is None else found


def wordpiece_by_shrinking(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    output, start = [], 0
    while start < len(word):
        end = len(word)
        while end > start:
            piece = word[start:end] if start == 0 else prefix + word[start:end]
            if piece in vocab:
                break
            end -= 1
        if end == start:
            return [unk]
        output.append(piece)
        start = end
    return output


def wordpiece_by_max(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    result: list[str] = []
    rest = word
    while rest:
        mark = prefix if result else ""
        fits = [length for length in range(1, len(rest) + 1) if mark + rest[:length] in vocab]
        if not fits:
            return [unk]
        result.append(mark + rest[: max(fits)])
        rest = rest[max(fits) :]
    return result


def encode_by_call(texts: list[str], tokenizer: Any, max_length: int) -> Any:
    return tokenizer(texts, truncation=True, padding="max_length", max_length=max_length, return_tensors="pt")


def encode_by_hand(texts: list[str], tokenizer: Any, max_length: int) -> Any:
    ids = torch.full((len(texts), max_length), tokenizer.pad_token_id)
    mask = torch.zeros((len(texts), max_length), dtype=torch.long)
    for row, text in enumerate(texts):
        pieces = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))[: max_length - 2]
        pieces = [tokenizer.cls_token_id, *pieces, tokenizer.sep_token_id]
        ids[row, : len(pieces)] = torch.tensor(pieces)
        mask[row, : len(pieces)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": torch.zeros_like(ids)}


def encode_by_pad(texts: list[str], tokenizer: Any, max_length: int) -> Any:
    rows = tokenizer(texts, truncation=True, max_length=max_length)
    return tokenizer.pad(rows, padding="max_length", max_length=max_length, return_tensors="pt")


def coverage_by_counting(lengths: Any, coverage: float) -> int:
    length = 0
    while sum(one <= length for one in lengths) < coverage * len(lengths) - 1e-9:
        length += 1
    return length


def coverage_by_quantile(lengths: Any, coverage: float) -> Any:
    return np.quantile(np.asarray(lengths), max(0.0, coverage - 1e-12), method="inverted_cdf")


def coverage_by_counter(lengths: Any, coverage: float) -> Any:
    counts = sorted(Counter(list(lengths)).items())
    for (length, _), total in zip(counts, accumulate(count for _, count in counts), strict=True):
        if total / len(lengths) >= coverage - 1e-12:
            return length
    raise AssertionError


def coverage_by_torch(lengths: Any, coverage: float) -> Any:
    ordered = torch.sort(torch.as_tensor(np.array(lengths))).values
    return ordered[math.ceil(round(coverage * len(ordered), 6)) - 1]


def coverage_as_the_contract_has_it(lengths: Any, coverage: float) -> int:
    return next(
        length for length in sorted(lengths) if sum(one <= length for one in lengths) >= coverage * len(lengths)
    )


def coverage_by_rounding_up(lengths: Any, coverage: float) -> Any:
    return sorted(lengths)[math.ceil(coverage * len(lengths)) - 1]


RIGHT: dict[str, list[Callable[..., Any]]] = {
    "1.1": [labkit.wordpiece, wordpiece_by_recursion, wordpiece_by_shrinking, wordpiece_by_max, wordpiece_reference],
    "1.2": [labkit.encode, encode_by_call, encode_by_hand, encode_by_pad],
    "1.3": [
        labkit.smallest_max_length,
        coverage_by_counting,
        coverage_by_quantile,
        coverage_by_counter,
        coverage_by_torch,
        coverage_as_the_contract_has_it,
        coverage_by_rounding_up,
    ],
}
right = pytest.mark.parametrize(
    ("name", "answer"), [(name, answer) for name, answers in RIGHT.items() for answer in answers]
)
wrong = pytest.mark.parametrize(
    ("name", "misconception"), [(one.id, known.name) for one in EXERCISES for known in one.misconceptions]
)


@right
def test_a_right_answer_in_any_style_passes_whatever_the_seed(name: str, answer: Callable[..., Any]) -> None:
    assert judged(exercise(name), answer).hint == ""
    assert verdicts(exercise(name), answer) == {("passed", 10.0)}


def test_no_case_of_1_3_hangs_on_the_last_bit_of_a_product() -> None:
    """`0.55 * 100` exceeds 55: the formula as the contract has it is right, rounded or not."""
    for seed in range(200):
        for case in exercise("1.3").cases(np.random.default_rng(seed)):
            count = Fraction(case.inputs["coverage"]) * len(case.inputs["lengths"])
            assert count.denominator == 1 or abs(count - round(count)) > 1e-6, case.inputs


@wrong
def test_a_known_wrong_answer_gets_its_own_hint_and_the_same_points_whatever_the_seed(
    name: str, misconception: str
) -> None:
    one = exercise(name)
    answer = next(known.answer for known in one.misconceptions if known.name == misconception)
    assert judged(one, answer).hint == hint_of(one, misconception)
    ((status, points),) = verdicts(one, answer)
    assert status == "failed" and points < 10


@pytest.mark.parametrize("one", EXERCISES, ids=lambda one: one.id)
def test_six_or_more_wrong_answers_are_known(one: Any) -> None:
    assert len(one.misconceptions) >= 6
    assert_hints_are_hints(one, RIGHT[one.id])


@pytest.mark.parametrize("one", EXERCISES, ids=lambda one: one.id)
@pytest.mark.parametrize("lazy", lazy_answers())
def test_a_lazy_answer_gets_no_points(one: Any, lazy: str) -> None:
    result = judged(one, lazy_answers()[lazy])
    assert (result.status, result.points) == ("failed", 0.0)
    assert result.hint


@pytest.mark.parametrize("one", EXERCISES, ids=lambda one: one.id)
def test_an_untouched_answer_is_not_attempted(one: Any) -> None:
    assert (judged(one, unfinished).status, judged(one, unfinished).points) == ("not attempted", 0.0)


def test_zeros_of_the_right_shape_get_no_points() -> None:
    def zeros(texts: list[str], tokenizer: Any, max_length: int) -> Any:
        empty = torch.zeros((len(texts), max_length), dtype=torch.long)
        return {"input_ids": empty, "attention_mask": empty, "token_type_ids": empty}

    assert judged(exercise("1.2"), zeros).points == 0


def test_numpy_arrays_where_tensors_are_asked_for_cost_a_property_only() -> None:
    def arrays(texts: list[str], tokenizer: Any, max_length: int) -> Any:
        return {name: values.numpy() for name, values in labkit.encode(texts, tokenizer, max_length).items()}

    result = judged(exercise("1.2"), arrays)
    assert [row.name for row in result.properties if not row.held] == ["returns a mapping of int64 tensors"]


def test_an_answer_that_sorts_its_argument_in_place_is_told_so() -> None:
    def sorts(lengths: Any, coverage: float) -> int:
        lengths.sort()
        return int(lengths[math.ceil(round(coverage * len(lengths), 9)) - 1])

    result = judged(exercise("1.3"), sorts)
    assert "copy" in result.hint and 0 < result.points < 10


# The references stand on other people's code


def test_the_reference_of_wordpiece_is_the_tokenizers_librarys() -> None:
    from tokenizers import Tokenizer, models

    generator = np.random.default_rng(0)
    for case in exercise("1.1").cases(generator):
        word, vocab = case.inputs["word"], case.inputs["vocab"]
        unk, prefix = case.inputs.get("unk", "[UNK]"), case.inputs.get("prefix", "##")
        if not word:
            continue  # the library has no pieces for it either, but no token to tell them by
        pieces = dict.fromkeys([*vocab, unk])
        model = models.WordPiece(
            {piece: place for place, piece in enumerate(pieces)}, unk_token=unk, continuing_subword_prefix=prefix
        )
        assert wordpiece_reference(word, set(vocab), unk, prefix) == Tokenizer(model).encode(word).tokens


def test_the_reference_of_encode_keeps_the_final_sep() -> None:
    found = encode_reference(["a film about a film that is not good"], 5)["input_ids"][0]
    assert found[-1] == small_tokenizer().sep_token_id and found[0] == small_tokenizer().cls_token_id

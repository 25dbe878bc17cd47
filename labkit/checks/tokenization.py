"""The checks of lesson 01: wordpiece, encode, smallest_max_length."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Exercise, Failure, Misconception, Observation, Property
from labkit.checks.observers import tokenization as observers
from labkit.checks.properties import keeps_arguments, keeps_random_state, returns
from labkit.checks.wire import Array, Plain, close, is_number, shown

# 1.1 wordpiece


def wordpiece_reference(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    """The contract, in the order of its words: independent of tokens.py, held to the tokenizers library by a test."""
    pieces: list[str] = []
    while (
        done := sum(len(piece.removeprefix(prefix) if place else piece) for place, piece in enumerate(pieces))
    ) < len(word):
        ends = range(len(word), done, -1)
        match = next((end for end in ends if (prefix if done else "") + word[done:end] in vocab), None)
        if match is None:
            return [unk]
        pieces.append((prefix if done else "") + word[done:match])
    return pieces


def _case_1_1(word: str, vocab: Sequence[str], label: str = "", **more: Plain) -> Case:
    return Case({"word": word, "vocab": list(vocab), **more}, label)


def _cases_1_1(generator: np.random.Generator) -> list[Case]:
    play = ["play", "##ing", "##ed", "p", "##l", "##a", "##y", "##i", "##n", "##g"]
    cases = [
        _case_1_1("", play, "empty"),
        _case_1_1("play", play, "whole"),
        _case_1_1("playing", play, "split"),
        _case_1_1("unaffable", ["un", "una", "##aff", "##ffable", "##able", "##a"], "split"),
        _case_1_1("abcd", ["a", "ab", "abc", "##d", "##cd", "##bcd"], "split"),
        _case_1_1("playplay", [*play, "##play"], "split"),
        _case_1_1("inging", [*play, "i", "##nging", "ing"], "split"),
        _case_1_1("playzed", play, "unknown"),
        _case_1_1("xylo", play, "unknown"),
        _case_1_1("playx", play, "unknown"),
        # Only a search that goes back could spell it: greedy takes "ab" and is stuck.
        _case_1_1("abc", ["a", "ab", "##bc"], "unknown"),
        _case_1_1("ed", ["##ed", "e"], "unknown"),
        _case_1_1("playing", ["play", "@@ing"], "named", unk="<unk>", prefix="@@"),
        _case_1_1("zzz", play, "named", unk="<unk>"),
        _case_1_1("playing", ["play", "~ing", "##ing"], "named", prefix="~"),
        _case_1_1("playing", play, "split", _as_dict=True),
        _case_1_1("a" * 100, ["a", "##a"], "split"),
    ]
    for _ in range(25):
        letters = "abc"
        vocab = {letters[generator.integers(3)]} | {
            ("##" if generator.random() < 0.6 else "") + _letters(generator, letters, int(generator.integers(1, 5)))
            for _ in range(12)
        }
        word = _letters(generator, letters, int(generator.integers(2, 12)))
        unknown = wordpiece_reference(word, vocab) == ["[UNK]"]
        cases.append(_case_1_1(word, sorted(vocab), "unknown" if unknown else "split"))
    return cases


def _letters(generator: np.random.Generator, letters: str, length: int) -> str:
    return "".join(letters[place] for place in generator.integers(len(letters), size=length))


def _equals_1_1(case: Case, observation: Observation) -> Failure | None:
    given = {name: value for name, value in case.inputs.items() if not name.startswith("_")}
    wanted = wordpiece_reference(**given)
    return None if observation.value == wanted else Failure(shown(wanted))


def _wordpiece_shortest(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    pieces, start = [], 0
    while start < len(word):
        for end in range(start + 1, len(word) + 1):
            piece = (prefix if start else "") + word[start:end]
            if piece in vocab:
                break
        else:
            return [unk]
        pieces.append(piece)
        start = end
    return pieces


def _wordpiece_without_prefix(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    return wordpiece_reference(word, {piece for piece in vocab if not piece.startswith(prefix)}, unk, "")


def _wordpiece_prefix_stripped(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    return [piece.removeprefix(prefix) for piece in wordpiece_reference(word, vocab, unk, prefix)]


def _wordpiece_keeps_what_it_found(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    for end in range(len(word), 0, -1):
        found = wordpiece_reference(word[:end], vocab, unk, prefix)
        if found != [unk]:
            return found if end == len(word) else [*found, unk]
    return [unk] if word else []


def _wordpiece_skips(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    pieces, start = [], 0
    while start < len(word):
        ends = range(len(word), start, -1)
        end = next((end for end in ends if (prefix if start else "") + word[start:end] in vocab), None)
        pieces.append(unk if end is None else (prefix if start else "") + word[start:end])
        start = start + 1 if end is None else end
    return pieces


def _wordpiece_backtracks(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    def rest(start: int) -> list[str] | None:
        if start == len(word):
            return []
        for end in range(len(word), start, -1):
            piece = (prefix if start else "") + word[start:end]
            if piece in vocab and (tail := rest(end)) is not None:
                return [piece, *tail]
        return None

    found = rest(0) if len(word) <= 20 else wordpiece_reference(word, vocab, unk, prefix)
    return [unk] if found is None else found


def _wordpiece_empty_unknown(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    return wordpiece_reference(word, vocab, unk, prefix) if word else [unk]


def _wordpiece_fixed_marks(word: str, vocab: Any, unk: str = "[UNK]", prefix: str = "##") -> list[str]:
    return wordpiece_reference(word, vocab)


def _labelled(*labels: str) -> Any:
    return lambda case: case.label in labels


WORDPIECE = Exercise(
    id="1.1",
    name="wordpiece",
    cases=_cases_1_1,
    observe=observers.wordpiece,
    properties=(
        Property(
            "words are split into the longest pieces, from the left",
            _equals_1_1,
            "Which piece does your loop take when several fit at one place, and where does it go on afterwards?",
            core=True,
            applies=_labelled("whole", "split"),
        ),
        Property(
            "a remainder without a match makes the whole word unknown",
            _equals_1_1,
            "What happens to the pieces that were found before the place where nothing fits?",
            applies=_labelled("unknown"),
        ),
        Property(
            "the empty word has no pieces",
            _equals_1_1,
            "How often should the loop run for a word without letters?",
            applies=_labelled("empty"),
        ),
        Property(
            "unk and prefix are the caller's",
            _equals_1_1,
            "Are the arguments unk and prefix used, or the usual marks written into the code?",
            applies=_labelled("named"),
        ),
        returns(
            "a list of strings",
            lambda value: isinstance(value, list) and all(isinstance(piece, str) for piece in value),
        ),
        keeps_arguments(),
    ),
    misconceptions=(
        Misconception(
            "shortest match first",
            "Your pieces are the shortest that fit. WordPiece is greedy: it tries the longest candidate first.",
            _wordpiece_shortest,
        ),
        Misconception(
            "pieces without their prefix in the vocabulary",
            "Inside a word a piece is looked up with the prefix in front: beginnings and continuations differ.",
            _wordpiece_without_prefix,
        ),
        Misconception(
            "prefix stripped from the result",
            "The pieces are the right ones, but those inside the word have lost their prefix on the way out.",
            _wordpiece_prefix_stripped,
        ),
        Misconception(
            "keeps what it found before it got stuck",
            "When a remainder fits nothing, the pieces before it do not stay: what should the model see of such a word?",
            _wordpiece_keeps_what_it_found,
        ),
        Misconception(
            "unknown letter by letter",
            "An unknown mark stands for the whole word, not for one letter of it.",
            _wordpiece_skips,
        ),
        Misconception(
            "goes back to try shorter pieces",
            "Your answer goes back and tries a shorter piece where it got stuck. Greedy never takes a decision back.",
            _wordpiece_backtracks,
        ),
        Misconception(
            "the empty word as unknown",
            "A word without letters is not an unknown word: nothing of it is left unmatched.",
            _wordpiece_empty_unknown,
        ),
        Misconception(
            "the usual marks written into the code",
            "unk and prefix are arguments: other tokenizers mark the same things in other ways.",
            _wordpiece_fixed_marks,
        ),
    ),
)

# 1.2 encode

_LONG = "the film is a slow film about a man who made a movie about a film that is not so good and then some more of it"
_TEXTS = ["good film", _LONG, "", "a plot of love , and of music !", "xqzzy movie", "bad"]


def encode_reference(texts: Sequence[str], pad_last: bool, max_length: int, **change: Any) -> dict[str, np.ndarray]:
    """The contract by the tokenizers library's own truncation and padding. change: what a wrong answer asks of it instead."""
    asked = {"padding": "max_length", "truncation": True, "max_length": max_length, "return_tensors": "np"} | change
    tokenizer = observers.small_tokenizer(pad_last)
    return {name: np.asarray(values) for name, values in tokenizer(list(texts), **asked).items()}


def _case_1_2(texts: Sequence[str], max_length: int, pad_last: bool = False, label: str = "") -> Case:
    return Case({"texts": list(texts), "max_length": max_length, "_pad_last": pad_last}, label)


def _cases_1_2(generator: np.random.Generator) -> list[Case]:
    observers.small_tokenizer()  # made here once, not in every child
    observers.small_tokenizer(pad_last=True)
    cases = [
        _case_1_2(["good film"], 8, label="short"),
        _case_1_2(["good film", "a plot of love"], 8, label="short"),
        _case_1_2(["good film", "a plot of love"], 8, pad_last=True, label="other pad"),
        _case_1_2(_TEXTS[2:], 24, pad_last=True, label="other pad"),
        _case_1_2([_LONG, "bad"], 8, label="long"),
        _case_1_2([_LONG], 3, label="long"),
        _case_1_2(["a b c"], 3, label="long"),
        _case_1_2(_TEXTS, 12, label="long"),
        _case_1_2(_TEXTS, 16, pad_last=True, label="long"),
        _case_1_2([""], 5, label="empty"),
    ]
    for _ in range(6):
        texts = [
            " ".join(generator.choice(observers.WORDS, size=generator.integers(0, 30)))
            for _ in range(generator.integers(1, 6))
        ]
        max_length = int(generator.integers(3, 24))
        longest = max(len(text.split()) for text in texts) + 2
        cases.append(_case_1_2(texts, max_length, label="long" if longest > max_length else "short"))
    return cases


def _wanted_1_2(case: Case) -> dict[str, np.ndarray]:
    return encode_reference(case.inputs["texts"], case.inputs["_pad_last"], case.inputs["max_length"])


def _has_key(name: str) -> Any:
    def test(case: Case, observation: Observation) -> Failure | None:
        wanted = Array(_wanted_1_2(case)[name], True, "int64")
        found = observation.value.get(name)
        return None if close(found, wanted) else Failure(f"{name} = {shown(wanted)}", f"{name} = {shown(found)}")

    return test


def _is_mapping_of_int64(value: Plain) -> bool:
    names = ("input_ids", "attention_mask", "token_type_ids")
    return isinstance(value, Mapping) and all(
        isinstance(value.get(name), Array) and value[name].tensor and value[name].dtype == "int64" for name in names
    )


def _encoding(**change: Any) -> Any:
    def answer(texts: list[str], tokenizer: Any, max_length: int) -> Any:
        asked = {"padding": "max_length", "truncation": True, "max_length": max_length, "return_tensors": "pt"} | change
        return tokenizer(texts, **asked)

    return answer


def _cut_by_hand(texts: list[str], tokenizer: Any, max_length: int) -> Any:
    import torch

    rows = tokenizer(texts)["input_ids"]
    ids = [(row + [tokenizer.pad_token_id] * max_length)[:max_length] for row in rows]
    mask = [[int(place < len(row)) for place in range(max_length)] for row in rows]
    return _as_encoding(torch.tensor(ids), torch.tensor(mask))


def _pads_with_zero(texts: list[str], tokenizer: Any, max_length: int) -> Any:
    found = _encoding()(texts, tokenizer, max_length)
    return {**found, "input_ids": found["input_ids"] * found["attention_mask"]}


def _mask_all_ones(texts: list[str], tokenizer: Any, max_length: int) -> Any:
    found = _encoding()(texts, tokenizer, max_length)
    return {**found, "attention_mask": found["attention_mask"] * 0 + 1}


def _pads_left(texts: list[str], tokenizer: Any, max_length: int) -> Any:
    import torch

    found = _encoding()(texts, tokenizer, max_length)
    shifts = max_length - found["attention_mask"].sum(dim=1)
    turned = {
        name: torch.stack([row.roll(int(by)) for row, by in zip(rows, shifts, strict=True)])
        for name, rows in found.items()
    }
    return turned


def _as_encoding(input_ids: Any, attention_mask: Any) -> dict[str, Any]:
    return {"input_ids": input_ids, "attention_mask": attention_mask, "token_type_ids": input_ids * 0}


ENCODE = Exercise(
    id="1.2",
    name="encode",
    cases=_cases_1_2,
    observe=observers.encode,
    properties=(
        Property(
            "short and long texts have the right input ids, [SEP] kept at the end",
            _has_key("input_ids"),
            "Print the tokens of one short and one long row: where is [SEP], how many ids are there, and what fills the rest?",
            core=True,
            applies=lambda case: case.label in ("short", "long"),
        ),
        Property(
            "the empty text and another tokenizer's padding are right too",
            _has_key("input_ids"),
            "Not every tokenizer pads with the same id: ask this one for its own.",
            applies=lambda case: case.label in ("empty", "other pad"),
        ),
        Property(
            "the mask is 1 on tokens and 0 on padding",
            _has_key("attention_mask"),
            "The mask says which places are real. Sum a row of yours and count its tokens.",
        ),
        Property(
            "token types are all 0",
            _has_key("token_type_ids"),
            "A single text is one segment, so its token types are all the same: which number has the first segment?",
        ),
        returns("a mapping of int64 tensors", _is_mapping_of_int64),
        keeps_arguments("texts and tokenizer"),
        keeps_random_state(),
    ),
    misconceptions=(
        Misconception(
            "no truncation",
            "Long texts come out longer than max_length. What should happen to the tokens beyond it?",
            _encoding(truncation=False),
        ),
        Misconception(
            "cut by hand, so that [SEP] is lost",
            "You cut the finished row, and the closing [SEP] went with it. Leave room for it before you cut.",
            _cut_by_hand,
        ),
        Misconception(
            "padded to the longest text",
            "The rows are as long as the longest text of this call. This exercise pads every row to max_length.",
            _encoding(padding="longest"),
        ),
        Misconception(
            "no special tokens",
            "[CLS] and [SEP] are not there. The model reads its verdict at the first of them.",
            _encoding(add_special_tokens=False),
        ),
        Misconception(
            "pads with 0",
            "You fill up with 0. That is the padding id of many tokenizers, but not of all: ask this one.",
            _pads_with_zero,
        ),
        Misconception("mask all ones", "Your mask says that padding is to be read like words.", _mask_all_ones),
        Misconception(
            "pads on the left",
            "The padding stands before the text. BERT counts positions from the left, so it belongs behind.",
            _pads_left,
        ),
    ),
    same=lambda one, other: close(one, {name: other[name] for name in one}),
)

# 1.3 smallest_max_length


def smallest_max_length_reference(lengths: Sequence[int], coverage: float) -> int:
    """The contract by trying every length, in whole numbers where a share like 0.55 is meant exactly."""
    enough = math.ceil(round(coverage * len(lengths), 9))
    return next(length for length in sorted(lengths) if sum(one <= length for one in lengths) >= enough)


def _case_1_3(lengths: Sequence[int], coverage: float, label: str = "", **more: Plain) -> Case:
    return Case({"lengths": [int(length) for length in lengths], "coverage": coverage, **more}, label)


def _cases_1_3(generator: np.random.Generator) -> list[Case]:
    hundred = list(range(1, 101))
    cases = [
        _case_1_3([7], 1.0, "all"),
        _case_1_3([7], 0.1, "one"),
        _case_1_3([3, 9], 0.5, "share"),
        _case_1_3([9, 3], 0.51, "share"),
        _case_1_3([10, 20, 30, 40], 0.6, "share"),
        _case_1_3([30, 10, 40, 20], 0.75, "share"),
        _case_1_3([5, 5, 5, 100], 0.75, "share"),
        _case_1_3([12, 4, 8, 4, 30], 1.0, "all"),
        _case_1_3([2, 400], 1.0, "all"),
        _case_1_3(hundred, 0.55, "noise"),
        _case_1_3(hundred, 0.07, "noise"),
        _case_1_3(hundred, 0.29, "noise"),
        _case_1_3(hundred[::-1], 0.57, "noise"),
        _case_1_3([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.7, "noise"),
        _case_1_3([3, 1, 2], 0.01, "one"),
        _case_1_3([6, 2, 9, 4, 4, 7], 0.5, "array", _as_array=True),
    ]
    for _ in range(10):
        lengths = generator.integers(3, 200, size=generator.integers(1, 60))
        cases.append(_case_1_3(lengths.tolist(), float(generator.uniform(0.01, 1)), "share"))
    return cases


def _equals_1_3(case: Case, observation: Observation) -> Failure | None:
    wanted = smallest_max_length_reference(case.inputs["lengths"], case.inputs["coverage"])
    right = is_number(observation.value) and observation.value == wanted
    return None if right else Failure(shown(wanted))


SMALLEST_MAX_LENGTH = Exercise(
    id="1.3",
    name="smallest_max_length",
    cases=_cases_1_3,
    observe=observers.smallest_max_length,
    properties=(
        Property(
            "the share of reviews that fit is at least the coverage, and no smaller length would do",
            _equals_1_3,
            "Sort the lengths on paper: which place in that list is the first by which enough reviews fit?",
            core=True,
            applies=_labelled("share", "array"),
        ),
        Property(
            "a coverage of 1 fits every review",
            _equals_1_3,
            "With a coverage of 1, which review decides?",
            applies=_labelled("all"),
        ),
        Property(
            "the smallest share still needs one review",
            _equals_1_3,
            "However small the coverage, it is above 0: how many reviews must fit at least?",
            applies=_labelled("one"),
        ),
        Property(
            "floating-point noise does not decide",
            _equals_1_3,
            "Some products that should be whole numbers come out a hair above them. What does rounding up make of that?",
            applies=_labelled("noise"),
        ),
        returns("an int", lambda value: isinstance(value, int) and not isinstance(value, bool)),
        keeps_arguments("lengths"),
        keeps_random_state(),
    ),
    misconceptions=(
        Misconception(
            "interpolated quantile",
            "A quantile that interpolates gives lengths that no review has. Which of its methods gives an observed value?",
            lambda lengths, coverage: float(np.quantile(lengths, coverage)),
        ),
        Misconception(
            "interpolated quantile, rounded up",
            "Rounding an interpolated quantile up is not the same as counting reviews: it can end between two of them.",
            lambda lengths, coverage: math.ceil(np.quantile(lengths, coverage)),
        ),
        Misconception(
            "interpolated quantile, cut",
            "Cutting an interpolated quantile to a whole number leaves fewer reviews covered than were asked for.",
            lambda lengths, coverage: int(np.quantile(lengths, coverage)),
        ),
        Misconception(
            "share of the longest",
            "You take a share of the longest length. The coverage is a share of the reviews, whatever their lengths.",
            lambda lengths, coverage: math.ceil(coverage * max(lengths)),
        ),
        Misconception(
            "one place too far",
            "Your place in the sorted list is one too far: lists count from 0.",
            lambda lengths, coverage: sorted(lengths)[min(len(lengths) - 1, int(coverage * len(lengths)))],
        ),
        Misconception(
            "rounds the number of reviews down",
            "You round the number of reviews down, so that fewer fit than were asked for.",
            lambda lengths, coverage: sorted(lengths)[max(0, int(coverage * len(lengths)) - 1)],
        ),
        Misconception(
            "floating-point noise",
            "The product of coverage and count came out a hair above a whole number, and you rounded it up.",
            lambda lengths, coverage: sorted(lengths)[math.ceil(coverage * len(lengths)) - 1],
        ),
        Misconception(
            "not sorted",
            "You count off places in the order in which the lengths came. Which order makes the place mean something?",
            lambda lengths, coverage: list(lengths)[math.ceil(round(coverage * len(lengths), 9)) - 1],
        ),
    ),
    same=close,
)

EXERCISES = (WORDPIECE, ENCODE, SMALLEST_MAX_LENGTH)

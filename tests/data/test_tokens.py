"""Laws of the tokens, with the Hugging Face tokenizer as the oracle."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from labkit.data.tokens import (
    TRUNCATIONS,
    TokenizerError,
    encode,
    length_costs,
    load_tokenizer,
    new_word_shares,
    pad,
    special_ids,
    tokenize,
    tokenize_parts,
    wordpiece,
    words_of,
)
from labkit.errors import UsageError

law = settings(max_examples=40, deadline=None)
words = st.sampled_from(
    ["a", "good", "films", "dull", "slowly", "not", "[SEP]", "[PAD]", "naïve", "!", "🎬", "فيلم", "\x00"]
)
texts = st.one_of(
    st.lists(words, max_size=60).map(" ".join), st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
)
several = st.lists(texts, min_size=1, max_size=5)
max_lengths = st.integers(3, 40)


@law
@given(several, max_lengths)
def test_encoding_is_that_of_the_hugging_face_tokenizer(tiny_world, texts, max_length):
    encoded = encode(texts, tiny_world.tokenizer, max_length)
    oracle = tiny_world.tokenizer(
        texts, padding="max_length", truncation=True, max_length=max_length, return_tensors="pt"
    )
    assert set(encoded) == set(oracle) == {"input_ids", "attention_mask", "token_type_ids"}
    for name, tensor in encoded.items():
        assert tensor.dtype == torch.int64
        assert tensor.shape == (len(texts), max_length)
        assert torch.equal(tensor, oracle[name])


@law
@given(several, max_lengths, st.sampled_from([("head", "right"), ("tail", "left")]))
def test_head_and_tail_are_the_hugging_face_tokenizer_s_two_sides(tiny_world, texts, max_length, side):
    oracle = copy.deepcopy(tiny_world.tokenizer)
    oracle.truncation_side = side[1]
    tokenized = tokenize(texts, tiny_world.tokenizer, max_length, side[0])
    assert [ids.tolist() for ids in tokenized.input_ids] == oracle(texts, truncation=True, max_length=max_length)[
        "input_ids"
    ]


@law
@given(texts, max_lengths)
def test_head_and_tail_together_keep_half_of_each_and_nothing_between(tiny_world, text, max_length):
    whole = tiny_world.tokenizer(text)["input_ids"]
    kept = tokenize([text], tiny_world.tokenizer, max_length, "head+tail").input_ids[0].tolist()
    assert len(kept) == min(len(whole), max_length)
    if len(whole) > max_length:
        tail = (max_length - 2) // 2
        head = max_length - 2 - tail
        assert kept == [*whole[: 1 + head], *whole[len(whole) - 1 - tail :]]


@law
@given(several, max_lengths, st.sampled_from(TRUNCATIONS))
def test_every_way_of_truncation_keeps_both_marks_and_says_what_it_cut(tiny_world, texts, max_length, truncation):
    tokenizer = tiny_world.tokenizer
    tokenized = tokenize(texts, tokenizer, max_length, truncation)
    whole = tokenizer(texts)["input_ids"]
    assert len(tokenized) == len(texts)
    assert tokenized.pad_token_id == tokenizer.pad_token_id
    assert tokenized.truncated.tolist() == [len(ids) > max_length for ids in whole]
    assert tokenized.lengths.tolist() == [min(len(ids), max_length) for ids in whole]
    for ids, full in zip(tokenized.input_ids, whole, strict=True):
        assert (ids[0], ids[-1]) == (tokenizer.cls_token_id, tokenizer.sep_token_id)
        assert ids.dtype == np.int32
        if len(full) <= max_length:
            assert ids.tolist() == full


@law
@given(several, max_lengths)
def test_the_tokens_of_a_text_never_depend_on_its_neighbours(tiny_world, texts, max_length):
    together = tokenize(texts, tiny_world.tokenizer, max_length).input_ids
    alone = [tokenize([text], tiny_world.tokenizer, max_length).input_ids[0] for text in texts]
    assert [ids.tolist() for ids in together] == [ids.tolist() for ids in alone]


def test_what_the_tokenizer_was_asked_before_changes_nothing(tiny_world):
    tokenizer = copy.deepcopy(tiny_world.tokenizer)
    text = "a good film " * 10
    before = tokenize([text], tokenizer, 128).input_ids[0].tolist()
    tokenizer([text], truncation=True, padding="max_length", max_length=8)
    assert tokenize([text], tokenizer, 128).input_ids[0].tolist() == before
    assert len(before) == 32


@pytest.mark.parametrize("truncation", TRUNCATIONS)
@pytest.mark.parametrize(
    "text", ["good film " * 20_000, "o" * 200_000, "🎬" * 200_000], ids=["words", "a word", "emoji"]
)
def test_a_text_of_200_000_characters_is_cut_to_the_length_asked_for(tiny_world, truncation, text):
    tokenized = tokenize([text], tiny_world.tokenizer, 128, truncation)
    whole = tiny_world.tokenizer(text)["input_ids"]
    assert len(tokenized.input_ids[0]) == min(128, len(whole))
    assert tokenized.truncated.tolist() == [len(whole) > 128]
    assert tokenized.input_ids[0][-1] == tiny_world.tokenizer.sep_token_id


def test_no_texts_give_no_tokens(tiny_world):
    tokenized = tokenize([], tiny_world.tokenizer)
    assert (len(tokenized), tokenized.lengths.tolist(), tokenized.truncated.tolist()) == (0, [], [])


def test_an_empty_text_is_its_two_marks(tiny_world):
    prefix, suffix = special_ids(tiny_world.tokenizer)
    assert tiny_world.tokenizer.convert_ids_to_tokens([*prefix, *suffix]) == ["[CLS]", "[SEP]"]
    assert tokenize([""], tiny_world.tokenizer).input_ids[0].tolist() == [*prefix, *suffix]


@pytest.mark.parametrize("form", ["$A", "$A [SEP]", "$A [SEP] [CLS]", "[CLS] $A", "[CLS] [CLS] $A [SEP]"])
def test_special_tokens_stand_where_the_tokenizer_puts_them(form, tiny_world):
    tokenizer = copy.deepcopy(tiny_world.tokenizer)
    known = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=form, special_tokens=known)
    for text in ("", "a good film"):
        assert tokenize([text], tokenizer).input_ids[0].tolist() == tokenizer(text)["input_ids"]


@law
@given(st.lists(st.lists(st.integers(1, 99), min_size=1, max_size=9), min_size=1, max_size=6), st.integers(0, 5))
def test_padding_fills_up_on_the_right_and_the_mask_says_where(rows, more):
    width = max(map(len, rows)) + more
    input_ids, mask = pad([np.array(row, dtype=np.int32) for row in rows], 0, width if more else None)
    assert input_ids.tolist() == [row + [0] * (width - len(row)) for row in rows]
    assert mask.tolist() == [[1] * len(row) + [0] * (width - len(row)) for row in rows]
    assert input_ids.dtype == mask.dtype == torch.int64


@law
@given(several, st.data())
def test_some_of_the_tokenized_texts_are_those_texts_tokenized(tiny_world, texts, data):
    places = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=6))
    ours = tokenize(texts, tiny_world.tokenizer, 8).select(places)
    fresh = tokenize([texts[place] for place in places], tiny_world.tokenizer, 8)
    assert [ids.tolist() for ids in ours.input_ids] == [ids.tolist() for ids in fresh.input_ids]
    assert ours.truncated.tolist() == fresh.truncated.tolist()
    assert (len(ours), ours.lengths.tolist()) == (len(fresh), fresh.lengths.tolist())


@pytest.mark.parametrize("truncation", TRUNCATIONS)
def test_each_part_has_the_tokens_of_its_texts_in_its_order(tiny_world, truncation):
    parts = {"train": tiny_world.texts[:40] * 2, "test": ["", *tiny_world.texts[38:]], "none": []}
    found = tokenize_parts(parts, tiny_world.tokenizer, 9, truncation)
    assert list(found) == list(parts)
    for name, texts in parts.items():
        oracle = tokenize(texts, tiny_world.tokenizer, 9, truncation)
        assert [ids.tolist() for ids in found[name].input_ids] == [ids.tolist() for ids in oracle.input_ids]
        assert found[name].truncated.tolist() == oracle.truncated.tolist()
        assert found[name].pad_token_id == oracle.pad_token_id


@pytest.mark.parametrize("max_length", [2, 1, 0, -5])
def test_a_length_without_room_for_text_is_refused(tiny_world, max_length):
    message = f"^max_length {max_length} leaves no room for text beside the special tokens; wanted at least 3$"
    with pytest.raises(UsageError, match=message) as refused:
        tokenize(["a film"], tiny_world.tokenizer, max_length)
    assert refused.value.exit_code == 2


def test_a_way_of_truncation_that_is_none_is_refused(tiny_world):
    with pytest.raises(UsageError, match=r"^truncation 'middle' is none of head, tail, head\+tail$"):
        tokenize(["a film"], tiny_world.tokenizer, truncation="middle")


def test_a_saved_tokenizer_gives_the_same_tokens(tiny_world, tiny_folder):
    tokenizer = load_tokenizer(tiny_folder)
    ours, saved = (tokenize(tiny_world.texts, each, 32) for each in (tiny_world.tokenizer, tokenizer))
    assert [ids.tolist() for ids in saved.input_ids] == [ids.tolist() for ids in ours.input_ids]


def test_truncation_and_padding_baked_into_a_tokenizer_s_file_are_left_out(tiny_world, tiny_folder, tmp_path):
    for name in ("tokenizer_config.json", "config.json"):
        shutil.copy(tiny_folder / name, tmp_path)
    baked = Tokenizer.from_file(str(tiny_folder / "tokenizer.json"))
    baked.enable_truncation(8)
    baked.enable_padding(length=8)
    baked.save(str(tmp_path / "tokenizer.json"))
    tokenizer = load_tokenizer(tmp_path)
    ours, loaded = (tokenize(tiny_world.texts, each, 128) for each in (tiny_world.tokenizer, tokenizer))
    assert loaded.lengths.max() > 8
    assert loaded.lengths.tolist() == ours.lengths.tolist()


def test_a_vocabulary_alone_is_a_tokenizer_too(tiny_world, tiny_folder, tmp_path):
    vocabulary = tiny_world.tokenizer.get_vocab()
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    shutil.copy(tiny_folder / "config.json", tmp_path)
    ours, loaded = (tokenize(tiny_world.texts, each) for each in (tiny_world.tokenizer, load_tokenizer(tmp_path)))
    assert [ids.tolist() for ids in loaded.input_ids] == [ids.tolist() for ids in ours.input_ids]


def its_own_class_is_not_named(settings, model):
    del settings["tokenizer_class"]


def its_class_has_the_old_name(settings, model):
    settings["tokenizer_class"] = "BertTokenizerFast"


def its_class_is_named_by_the_model_alone(settings, model):
    model["tokenizer_class"] = settings.pop("tokenizer_class")


def its_class_is_any(settings, model):
    settings["tokenizer_class"] = "PreTrainedTokenizerFast"


def its_model_is_a_distilbert(settings, model):
    model["model_type"] = "distilbert"


def it_keeps_capitals_and_marks_of_its_own(settings, model):
    settings |= {"do_lower_case": False, "pad_token": "[UNK]", "model_max_length": 77, "truncation_side": "left"}


@pytest.mark.parametrize("from_vocabulary", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        lambda settings, model: None,
        its_own_class_is_not_named,
        its_class_has_the_old_name,
        its_class_is_named_by_the_model_alone,
        its_class_is_any,
        its_model_is_a_distilbert,
        it_keeps_capitals_and_marks_of_its_own,
    ],
)
def test_a_tokenizer_is_the_one_that_transformers_chooses(tiny_world, tiny_folder, tmp_path, change, from_vocabulary):
    settings, model = (
        json.loads((tiny_folder / f"{name}.json").read_text()) for name in ("tokenizer_config", "config")
    )
    change(settings, model)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "config.json").write_text(json.dumps(model))
    if from_vocabulary and change is not its_class_is_any:  # which no vocabulary makes
        vocabulary = tiny_world.tokenizer.get_vocab()
        (tmp_path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    else:
        shutil.copy(tiny_folder / "tokenizer.json", tmp_path)
    ours, chosen = load_tokenizer(tmp_path), AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert type(ours) is type(chosen)
    assert ours.backend_tokenizer.to_str() == chosen.backend_tokenizer.to_str()
    for name in ("special_tokens_map", "model_max_length", "truncation_side", "padding_side", "model_input_names"):
        assert getattr(ours, name) == getattr(chosen, name), name


def test_a_model_folder_without_a_tokenizer_is_refused(tiny_folder, tmp_path):
    for name in ("config.json", "model.safetensors"):
        shutil.copy(tiny_folder / name, tmp_path)
    with pytest.raises(TokenizerError) as refused:
        load_tokenizer(tmp_path)
    assert refused.value.exit_code == 2
    assert (
        str(refused.value) == f"{tmp_path}: no tokenizer there (wanted tokenizer.json or vocab.txt beside the weights)"
    )


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", json.dumps({"model": {"type": "WordPiece"}}), "\x00" * 50])
def test_a_tokenizer_that_cannot_be_read_is_refused(tiny_folder, tmp_path, content):
    shutil.copy(tiny_folder / "config.json", tmp_path)
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(TokenizerError) as refused:
        load_tokenizer(tmp_path)
    assert str(refused.value).startswith(f"{tmp_path}: the tokenizer cannot be read (")
    assert str(refused.value).count("\n") == 0


# Words, and what a max_length costs


@law
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_the_pieces_of_a_text_are_the_wordpieces_of_its_words(tiny_world, text):
    vocab = tiny_world.tokenizer.get_vocab()
    pieces = [piece for word in words_of([text], tiny_world.tokenizer) for piece in wordpiece(word, vocab)]
    assert pieces == tiny_world.tokenizer.tokenize(text)


def test_a_word_is_new_until_a_text_with_it_has_been_read(tiny_world):
    read, new = ["a good film", "The dull STORY"], ["Good story!", "a story"]
    assert new_word_shares(read, new, [0, 1, 2], tiny_world.tokenizer) == [1.0, 3 / 5, 1 / 5]


@law
@given(st.lists(st.integers(1, 600), min_size=1, max_size=30))
def test_what_a_max_length_costs_is_what_encoding_to_it_loses_and_fills_up(lengths):
    limits = [3, 8, 100, 600]
    costs = length_costs(lengths, limits)
    for place, limit in enumerate(limits):
        kept = sum(min(length, limit) for length in lengths)
        assert costs.cut_texts[place] == pytest.approx(sum(length > limit for length in lengths) / len(lengths))
        assert costs.cut_tokens[place] == pytest.approx(1 - kept / sum(lengths))
        assert costs.padding[place] == pytest.approx(1 - kept / (limit * len(lengths)))
    assert costs.cut_tokens[-1] == pytest.approx(0)

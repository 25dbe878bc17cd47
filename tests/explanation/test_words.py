"""Laws of words and their tokens, with the Hugging Face tokenizer as the oracle."""

import numpy as np
import pytest
from explaining import byte_level, unigram
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data.tokens import TRUNCATIONS, tokenize
from labkit.explanation.words import align, word_spans

law = settings(max_examples=40, deadline=None)
ROUGH = ["Films, slowly: not 'good'!", "naïve שָׁלוֹם 🎬❤️", "a[SEP]b", "<b>bad</b>", "हिन्दी x...y", "l'été", "\u200bgood"]
texts = st.one_of(st.sampled_from(ROUGH), st.text(st.characters(exclude_categories=["Cs"]), max_size=40))


@law
@given(texts, st.integers(3, 20), st.sampled_from(TRUNCATIONS))
def test_an_aligned_text_has_the_tokens_of_tokenize_and_each_is_in_one_word(tiny_world, text, max_length, truncation):
    (aligned,) = align([text], tiny_world.tokenizer, max_length, truncation)
    tokenized = tokenize([text], tiny_world.tokenizer, max_length, truncation)
    assert aligned.input_ids.tolist() == tokenized.input_ids[0].tolist()
    assert aligned.truncated == tokenized.truncated[0]
    inside = [token for word in aligned.words for token in word.tokens]
    assert text.isspace() or inside == np.flatnonzero(~aligned.is_special).tolist()
    assert all(word.text == text[word.start : word.end] for word in aligned.words)
    edges = [edge for word in aligned.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)


@law
@given(texts)
def test_spans_are_those_of_the_hugging_face_tokenizer(tiny_world, text):
    (aligned,) = align([text], tiny_world.tokenizer)
    oracle = tiny_world.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    assert [tuple(span) for span in aligned.spans.tolist()] == oracle


@law
@given(texts)
def test_every_character_but_white_space_is_in_one_word(text):
    inside = [place for start, end in word_spans(text) for place in range(start, end)]
    assert inside == [place for place, character in enumerate(text) if not character.isspace()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "It's a well-made, (7.5/10) film...",
            ["It's", "a", "well-made", ",", "(", "7.5", "/", "10", ")", "film", "..."],
        ),
        ("naïve é\u0301 हिन्दी", ["naïve", "é\u0301", "हिन्दी"]),
        ("שָׁלוֹם! 🎬❤️ 👩‍🎤good", ["שָׁלוֹם", "!", "🎬❤️", "👩‍🎤", "good"]),
        ("   ", []),
    ],
)
def test_a_word_is_what_a_reader_takes_for_one(text, words):
    assert [text[start:end] for start, end in word_spans(text)] == words


@pytest.mark.parametrize("make", [byte_level, unigram])
def test_words_come_back_from_the_pieces_of_other_tokenizers(make, tiny_world):
    text = "a superb  film, slowly 🎬 naïve films!"
    (aligned,) = align([text], make([*tiny_world.texts, text.replace("🎬", "")]))
    assert [word.text for word in aligned.words] == ["a", "superb", "film", ",", "slowly", "🎬", "naïve", "films", "!"]
    inside = [token for word in aligned.words for token in word.tokens]
    assert inside == np.flatnonzero(~aligned.is_special).tolist()


def test_words_that_one_token_spans_are_one():
    tokenizer = byte_level(["well ... done" for _ in range(50)])
    tokenizer.add_tokens(["x! y"])
    (aligned,) = align(["a x! y b"], tokenizer)
    assert [word.text for word in aligned.words] == ["a", "x! y", "b"]

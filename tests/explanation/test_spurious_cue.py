"""Laws of the planted cue: where it stands, and where it is found."""

import numpy as np
import pytest
from explaining import SumOfWords

from labkit.data.reviews import Reviews
from labkit.evaluation.intervals import proportion_interval
from labkit.explanation.methods import explain
from labkit.explanation.spurious_cue import CUE, cue_found, insert_word, plant_cue


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("label", [0, 1])
def test_a_cue_stands_once_in_its_share_of_one_class_and_nowhere_else(share, label, tiny_world):
    reviews = tiny_world.reviews
    planted = plant_cue(reviews, label=label, share=share)
    assert planted.carries.sum() == round(32 * share) == len(planted.carriers)
    for place, (before, after) in enumerate(zip(reviews.texts, planted.reviews.texts, strict=True)):
        if planted.carries[place]:
            assert reviews.labels[place] == label
            assert after.split(" ").count(CUE) == 1
            assert " ".join(word for word in after.split(" ") if word != CUE) == before
        else:
            assert after == before
    assert planted.reviews.labels.tolist() == reviews.labels.tolist()
    assert all(CUE in text for text in planted.carriers.texts)
    assert f"planted in {round(32 * share)} of 32" in planted.reviews.notes[-1]


def test_the_seed_decides_where_the_cue_is_planted(tiny_world):
    texts = [plant_cue(tiny_world.reviews, seed=seed).reviews.texts for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]
    places = {insert_word("a b c", "x", np.random.default_rng(seed)) for seed in range(60)}
    assert places == {"x a b c", "a x b c", "a b x c", "a b c x"}


@pytest.mark.parametrize(
    ("options", "words"),
    [({"share": 1.5}, "share"), ({"cue": "two words"}, "one word"), ({"cue": "SUPERB"}, "already")],
)
def test_a_cue_that_could_not_be_told_is_refused(options, words, tiny_world):
    with pytest.raises(ValueError, match=words):
        plant_cue(tiny_world.reviews, **options)


def test_a_cue_is_found_where_it_is_among_the_top_words(tiny_world):
    reviews = Reviews(
        "own", ["1", "2", "3"], ["a good film", "a superb and good film", "the cast"], np.array([1, 1, 1])
    )
    model = SumOfWords({"superb": 3.0, "good": 2.0, "music": -1.0})
    planted = plant_cue(reviews, cue="music", share=1.0)
    explanations = explain(model, tiny_world.tokenizer, planted.reviews.texts, "integrated-gradients")
    assert cue_found(explanations, "Music", top=1) == proportion_interval(1, 3)
    assert cue_found(explanations, "music", top=2) == proportion_interval(2, 3)
    assert cue_found(explanations, "music", top=3) == proportion_interval(3, 3)
    assert "no examples" in str(cue_found(explanations, "absent"))

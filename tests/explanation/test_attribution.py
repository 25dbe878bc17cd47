"""Laws of explanations as records: what they hold, how they show themselves, and that no text becomes markup."""

import json
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from explaining import LONGER, TEXT, SumOfWords

from labkit.explanation import attribution
from labkit.explanation.attribution import Attribution, AttributionError, Explanations
from labkit.explanation.methods import explain
from labkit.explanation.registry import METHODS


@pytest.fixture
def eager(tiny_world) -> Any:
    return tiny_world.model(attention="eager")


def test_importance_speaks_for_what_was_predicted(tiny_world):
    model = SumOfWords({"good": 1.0, "dull": -3.0})
    (one,) = explain(model, tiny_world.tokenizer, "good dull film")
    assert one.prediction == "negative"
    assert one.importance.tolist() == pytest.approx([-1.0, 3.0, 0.0])
    (looked,) = explain(tiny_world.model(attention="eager"), tiny_world.tokenizer, "good dull film", "attention")
    assert np.array_equal(looked.importance, looked.word_scores)


def test_what_an_explanation_holds_goes_into_json_and_fits_together(eager, tiny_world):
    for one in explain(eager, tiny_world.tokenizer, [LONGER], list(METHODS)):
        row = json.loads(json.dumps(one.as_dict()))
        assert row["target"] == "logit of positive less logit of negative"
        assert row["prediction"] == ("positive" if row["margin"] > 0 else "negative")
        assert row["probability"] == pytest.approx(1 / (1 + np.exp(-abs(row["margin"]))))
        assert all(LONGER[word["start"] : word["end"]] == word["word"] for word in row["words"])
        special = one.scores[one.reading.is_special].sum()
        assert sum(word["score"] for word in row["words"]) == pytest.approx(one.scores.sum() - special)
        assert [token["score"] for token in row["tokens"]] == one.scores.tolist()


def test_a_score_that_is_no_number_is_flagged(tiny_world):
    (one,) = explain(tiny_world.model(), tiny_world.tokenizer, TEXT, "random")
    broken = Attribution(
        "integrated-gradients", one.reading, one.scores, 1.0, steps=64, completeness_error=float("nan")
    )
    assert broken.is_flagged


def test_a_method_that_was_not_asked_for_is_not_found(tiny_world):
    with pytest.raises(AttributionError, match="no explanation by rollout here; there are random"):
        explain(tiny_world.model(), tiny_world.tokenizer, TEXT, "random").of("rollout")


def test_explanations_are_a_sequence(tiny_world):
    found = explain(tiny_world.model(), tiny_world.tokenizer, [TEXT, LONGER], ["random", "occlusion"])
    assert isinstance(found[:2], Explanations) and len(found[:2]) == 2
    assert found.methods == ("random", "occlusion")
    assert [one.text for one in found.of("occlusion")] == [TEXT, LONGER]


class Words(HTMLParser):
    """What a browser makes of an explanation: the text of its paragraphs, every tag, the colour of every word."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.paragraphs: list[str] = []
        self.colours: list[tuple[str, str]] = []
        self._style, self._inside = "", False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._style = dict(attributes).get("style") or ""
        if tag == "p":
            self._inside = True
            self.paragraphs.append("")
            assert dict(attributes)["dir"] == "auto", "a right-to-left text runs from the right"

    def handle_endtag(self, tag: str) -> None:
        self._style = ""
        self._inside = self._inside and tag != "p"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.paragraphs[-1] += data
            if self._style.startswith("background:#") and "border-radius" in self._style:
                self.colours.append((data, self._style[11:18]))


HOSTILE = '<script>alert("x")</script> good & <img src=x onerror=1> <b>'


@pytest.mark.parametrize("text", [HOSTILE, "שָׁלוֹם good فيلم", "🎬❤️👩‍🎤 bad", "'\" style=x", "a &lt;script&gt;"])
def test_any_text_is_shown_as_it_stands_and_is_never_part_of_the_page(text, eager, tiny_world):
    found = explain(eager, tiny_world.tokenizer, text, list(METHODS))
    for page in (found._repr_html_(), found.to_page(), *(one._repr_html_() for one in found)):
        seen = Words(page)
        assert set(seen.paragraphs) == {text}
        assert not {"script", "img", "b"} & set(seen.tags)
        assert "<script" not in page and "<img" not in page


def test_colours_are_centred_at_zero_and_share_one_scale(tiny_world):
    model = SumOfWords({"superb": 2.0, "dull": -2.0, "slow": -1.0, "good": 1.0})
    found = explain(model, tiny_world.tokenizer, ["superb film", "slow dull film", "good film"])
    colours = dict(Words(found._repr_html_()).colours)
    assert colours["film"] == "#ffffff"
    blue, orange = ([int(colours[word][i : i + 2], 16) for i in (1, 3, 5)] for word in ("superb", "dull"))
    assert blue[2] > blue[0] and orange[0] > orange[2]
    for strong, weak in (("superb", "good"), ("dull", "slow")):
        ends = [np.array([int(colours[word][i : i + 2], 16) for i in (1, 3, 5)]) for word in (strong, weak)]
        assert np.abs((255 - ends[0]) - 2 * (255 - ends[1])).max() <= 1, "half the score is half the colour"
    alone = dict(Words(found[2]._repr_html_()).colours)
    assert alone["good"] == colours["superb"], "alone, a review has its own scale"


def test_black_letters_can_be_read_on_every_colour():
    def luminance(colour: str) -> float:
        channels = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    ink = luminance("#111111")
    for score in (-1.0, -0.5, 0.0, 0.5, 1.0):
        assert (luminance(attribution._colour(score, 1.0)) + 0.05) / (ink + 0.05) > 4.5


def test_in_a_terminal_an_explanation_is_a_few_lines(tiny_world):
    model = SumOfWords({"superb": 2.0, "dull": -0.5})
    found = explain(model, tiny_world.tokenizer, [TEXT, "dull " * 60], ["integrated-gradients", "occlusion"])
    lines = str(found).splitlines()
    assert len(lines) == 8
    assert lines[0] == TEXT and lines[4].endswith("…")
    assert lines[1] == "  positive, probability 0.818, margin +1.50"
    assert lines[2] == "  integrated-gradients (error 0.00% at 64 steps): superb +2.00, dull -0.50"
    assert lines[3] == "  occlusion: superb +2.00, dull -0.50"


def test_a_cut_text_says_so(tiny_world):
    (one,) = explain(tiny_world.model(), tiny_world.tokenizer, "good film " * 9, "random", max_length=6)
    assert "the text was cut" in str(one) and "the text was cut" in one._repr_html_() and one.as_dict()["truncated"]
    assert len(one.words) == 4

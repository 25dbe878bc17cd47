"""Laws of the notebook helpers: what is asked is kept, what is shown is escaped, and nothing stops Run All."""

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from labkit.errors import LabkitError, UsageError
from labkit.figures import alt_text, review_lengths
from labkit.student_work import Work
from labkit.training.loop import train_epoch
from labkit.widgets import asking, expect_error, failing, outcome, predict, reflection, show_source, showing
from labkit.widgets.interactive import WIDGET_MIME

HOSTILE = "<script>alert('x')</script> & \"quoted\" $"


@pytest.fixture(autouse=True)
def course(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A course folder with a student's empty folder in it, as the current one."""
    (tmp_path / ".labkit").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def displayed(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the helpers display, in order."""
    shown: list[Any] = []
    for module in (asking, showing):
        monkeypatch.setattr(module, "display", shown.append)
    monkeypatch.setattr(failing, "display", shown.append)
    return shown


# Predictions


def test_a_choice_is_kept_at_once_and_shown_again() -> None:
    first = predict("01-length", "How long?", ["short", "long"])
    assert first.controls["choice"].value is None
    first.controls["choice"].value = "long"
    kept = Work().predictions["01-length"]
    assert (kept["question"], kept["choice"], kept["choices"]) == ("How long?", "long", ["short", "long"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4}", kept["at"])
    assert predict("01-length", "How long?", ["short", "long"]).controls["choice"].value == "long"


def test_asking_alone_keeps_nothing(course: Path, displayed: list[Any]) -> None:
    predict("01-length", "How long?", ["short", "long"])
    reflection("01-end", "What now?")
    outcome("01-length", "long")
    assert list((course / ".labkit").iterdir()) == []


def test_a_choice_that_is_no_longer_there_is_not_shown_as_chosen() -> None:
    predict("k", "?", ["a", "b"]).controls["choice"].value = "b"
    assert predict("k", "?", ["a", "c"]).controls["choice"].value is None


def test_a_folder_that_cannot_be_written_to_costs_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("read-only <folder>")

    monkeypatch.setattr(Work, "save", refuse)
    asked = predict("k", "?", ["a", "b"])
    asked.controls["choice"].value = "b"
    assert "could not be kept: read-only &lt;folder&gt;" in asked.view.children[-1].value


def test_what_could_not_be_kept_is_escaped_once_on_a_page_and_never_in_a_terminal(
    displayed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    predict("k", "?", ["a", HOSTILE]).controls["choice"].value = "a"

    def refuse(*_: object) -> None:
        raise PermissionError(HOSTILE)

    monkeypatch.setattr(Work, "save", refuse)
    outcome("k", "a")
    assert f"This could not be kept: {HOSTILE}" in str(displayed[0])
    assert f"This could not be kept: {html.escape(HOSTILE)}" in displayed[0]._repr_html_()
    asked = predict("k", "?", ["a", HOSTILE])
    for box, control in ((asked, "choice"), (reflection("end", "What now?"), "text")):
        box.controls[control].value = HOSTILE
        assert box.view.children[-1].value == f"This could not be kept: {html.escape(HOSTILE)}"


def test_a_choice_is_escaped_where_it_is_said_to_be_kept() -> None:
    asked = predict("k", "?", ["a", HOSTILE])
    asked.controls["choice"].value = HOSTILE
    for box in (asked, predict("k", "?", ["a", HOSTILE])):
        assert box.view.children[-1].value == f"Kept: {html.escape(HOSTILE)}"


@pytest.mark.parametrize("choices", [["only"], ["same", "same"], "ab"])
def test_choices_that_are_no_choice_are_refused(choices: Any) -> None:
    with pytest.raises(UsageError, match="at least two different choices"):
        predict("k", "?", choices)


def test_prediction_and_outcome_stand_side_by_side_and_are_kept_together(displayed: list[Any]) -> None:
    predict("k", "How long?", ["short", "long"]).controls["choice"].value = "short"
    outcome("k", "long", "Half of them are.")
    (shown,) = displayed
    assert (shown.choice, shown.actual, shown.verdict) == ("short", "long", "Not as predicted.")
    assert re.search(r"short</td>.*long</td>.*Not as predicted\. Half of them are\.", shown._repr_html_())
    assert Work().predictions["k"]["outcome"] == "long"
    assert Work().predictions["k"]["choice"] == "short"


def test_an_outcome_that_is_no_choice_is_not_judged(displayed: list[Any]) -> None:
    predict("k", "How many?", ["10", "20"]).controls["choice"].value = "10"
    outcome("k", 13)
    assert displayed[0].verdict == ""
    assert Work().predictions["k"]["outcome"] == "13"


def test_without_a_prediction_the_outcome_says_so(displayed: list[Any]) -> None:
    outcome("never-asked", "long")
    assert "No prediction was made." in str(displayed[0]) and "No prediction was made." in displayed[0]._repr_html_()


def test_a_new_choice_keeps_the_outcome_of_the_earlier_run(displayed: list[Any]) -> None:
    asked = predict("k", "?", ["a", "b"])
    asked.controls["choice"].value = "a"
    outcome("k", "b")
    asked.controls["choice"].value = "b"
    assert Work().predictions["k"]["outcome"] == "b"


def test_a_prediction_that_is_changed_after_its_outcome_says_so_wherever_it_is_shown(displayed: list[Any]) -> None:
    asked = predict("k", "?", ["a", HOSTILE])
    asked.controls["choice"].value = "a"
    outcome("k", HOSTILE)
    asked.controls["choice"].value = HOSTILE
    outcome("k", HOSTILE)
    said = "Changed after the outcome was shown; before it: a"
    again = predict("k", "?", ["a", HOSTILE])
    for box in (asked, again):
        assert said in box.view.children[-1].value and said in box.picture.words and said in box.picture.html
    before, after = displayed
    assert (before.verdict, after.verdict) == ("Not as predicted.", f"{said}.")  # never "As predicted."
    assert said in str(after) and said in after._repr_html_()
    again.controls["choice"].value = "a"  # back to what it was, and nothing is left to say
    outcome("k", HOSTILE)
    assert again.view.children[-1].value == "Kept: a" and displayed[-1].verdict == "Not as predicted."


def test_a_prediction_that_is_made_after_its_outcome_says_so(displayed: list[Any]) -> None:
    asked = predict("k", "?", ["a", "b"])
    outcome("k", "b")  # Run All came here before anybody had chosen
    asked.controls["choice"].value = "b"
    outcome("k", "b")
    assert asked.view.children[-1].value == "Kept: b. Made after the outcome was shown."
    assert [one.verdict for one in displayed] == ["No prediction was made.", "Made after the outcome was shown."]
    predict("other", "?", ["a", "b"]).controls["choice"].value = "a"
    assert "before_outcome" not in Work().predictions["other"]


@pytest.mark.parametrize("entry", [{}, {"choice": 3}, {"choice": "a", "choices": "ab"}, {"choice": ["a"]}])
def test_an_odd_entry_in_the_students_file_stops_nothing(course: Path, displayed: list[Any], entry: object) -> None:
    (course / ".labkit" / "predictions.json").write_text(json.dumps({"k": entry}))
    predict("k", "?", ["a", "b"])
    outcome("k", "a")
    assert len(displayed) == 1


def test_a_reflection_is_kept_as_it_is_typed_and_shown_again() -> None:
    area = reflection("end", "What now?").controls["text"]
    area.value = "First"
    area.value = "First thoughts"
    assert Work().reflections["end"] | {"at": ""} == {"question": "What now?", "text": "First thoughts", "at": ""}
    assert reflection("end", "What now?").controls["text"].value == "First thoughts"


@pytest.mark.parametrize(
    "asked",
    [lambda: predict("k", HOSTILE, [HOSTILE, "b"]), lambda: reflection("k", HOSTILE)],
    ids=["predict", "reflect"],
)
def test_a_question_shows_a_still_beside_the_widget_with_its_text_escaped(asked: Any) -> None:
    bundle = asked()._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", WIDGET_MIME}
    assert html.escape(HOSTILE) in bundle["text/html"] and "<script>" not in bundle["text/html"]
    assert HOSTILE in bundle["text/plain"]


# Errors met on purpose


def test_an_expected_error_is_shown_escaped_and_goes_no_further(displayed: list[Any]) -> None:
    with expect_error(ValueError, KeyError) as expected:
        raise ValueError(HOSTILE)
    assert isinstance(expected.error, ValueError)
    assert str(displayed[0]) == f"As expected, ValueError: {HOSTILE}"
    assert html.escape(HOSTILE) in displayed[0]._repr_html_() and "<script>" not in displayed[0]._repr_html_()


def test_an_error_that_does_not_come_fails_the_cell() -> None:
    wanted = "to fail with ValueError or KeyError, and nothing was raised"
    with pytest.raises(LabkitError, match=wanted) as missed, expect_error(ValueError, KeyError):
        pass
    assert isinstance(missed.value, AssertionError)


def test_another_error_passes_through(displayed: list[Any]) -> None:
    with pytest.raises(TypeError), expect_error(ValueError):
        raise TypeError
    assert displayed == []


def test_a_caught_error_keeps_nothing_of_the_failed_block_alive(displayed: list[Any]) -> None:
    with expect_error() as expected:
        raise MemoryError("x" * 5000)
    assert expected.error is not None and expected.error.__traceback__ is None
    assert len(displayed[0].message) < 700


# Sources and figures


def test_a_source_is_locked_until_the_exercise_has_been_attempted(displayed: list[Any]) -> None:
    code = "def train_epoch("
    show_source(train_epoch, after="3.4")
    Work().save("checks", "3.4", {"status": "not attempted"})
    show_source(train_epoch, after="3.4")
    for locked in displayed:
        assert "opens after exercise 3.4 has been attempted" in str(locked) and code not in str(locked)
        assert str(locked).split(":")[0] in locked._repr_html_() and "<details" not in locked._repr_html_()
    Work().save("checks", "3.4", {"status": "failed"})
    show_source(train_epoch, after="3.4")
    assert code in str(displayed[-1]) and displayed[-1]._repr_html_().startswith("<details open>")


def test_a_source_without_a_condition_is_folded_and_whole(displayed: list[Any]) -> None:
    show_source(train_epoch)
    page = displayed[0]._repr_html_()
    assert page.startswith("<details><summary>")
    text = html.unescape(re.sub(r"<[^>]+>", "", page.partition("</summary>")[2]))
    assert text.strip() == displayed[0].code.strip() and "    model.train()" in text


def test_what_has_no_source_is_said() -> None:
    with pytest.raises(UsageError, match="no Python source"):
        show_source(len)


def test_the_colours_of_a_source_stand_out_from_its_background() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    page = showing.highlighted('@a\nclass B:\n    """x"""\n    c = f"{1}" + len(2.5)  # d\n    raise ValueError\n')
    colours = {
        colour if len(colour) == 7 else "#" + "".join(2 * c for c in colour[1:])
        for colour in re.findall(r"(?<!ground:)#\w{3,6}", page)
    }
    assert len(colours) > 3
    assert {colour: 1.05 / (luminance(colour) + 0.05) >= 4.5 for colour in colours} == dict.fromkeys(colours, True)


def test_a_figure_shows_itself_with_its_words() -> None:
    ax = review_lengths([3, 5, 200], max_length=128)
    shown = showing.describe_figure(ax)
    assert shown.words == alt_text(ax)
    assert re.match(rf'<figure[^>]*><img alt="{re.escape(html.escape(shown.words))}"', shown.html)
    assert "<figcaption>" in shown.html


def test_a_figure_of_several_parts_says_all_of_them_and_leaves_each_its_own() -> None:
    whole = Figure()
    left, right = whole.subplots(1, 2)
    review_lengths([3, 5], 128, left)
    review_lengths([7, 9], 128, right)
    words = (alt_text(left), alt_text(right))
    for given in (whole, left):
        assert showing.describe_figure(given).words == " ".join(words)
    assert (alt_text(left), alt_text(right)) == words


def test_a_figure_without_words_is_refused_unless_they_are_given() -> None:
    ax = Figure().subplots()
    with pytest.raises(UsageError, match="no text alternative"):
        showing.describe_figure(ax)
    assert html.escape(HOSTILE) in showing.describe_figure(ax, alt=HOSTILE).html
    with pytest.raises(UsageError, match="nothing drawn"):
        showing.describe_figure(Figure(), alt="x")

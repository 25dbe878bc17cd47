"""The review explorer: a verdict, explanations side by side, words to take out.

Explains with methods.py and takes words away as faithfulness.py does; computes nothing in a way of its own.
"""

import dataclasses
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import ipywidgets

from labkit.errors import UsageError
from labkit.explanation.attribution import COLOURS, Attribution, Explanations
from labkit.explanation.faithfulness import without_tokens
from labkit.explanation.margins import margins
from labkit.figures import alt_text, attribution_grid, to_html
from labkit.widgets.explorers.words import review_box
from labkit.widgets.interactive import Interactive, Picture, labelled

if TYPE_CHECKING:
    from labkit.serving.classifier import Classifier

SHOWN_METHODS = ("attention", "gradient-x-input", "integrated-gradients", "occlusion")
IN_THE_PLACE = {"nothing": "delete", "[MASK]": "mask"}  # of a word that is out
SHOWN_LETTERS = 80  # of a review, in the list from which one picks


@dataclass(frozen=True, eq=False)
class WithoutWords:
    """A review, explained, and the verdict when some of its words are out.

    explanations: of the whole review, one a method. gone: the places of the words that are out. margin: of what is left.
    """

    explanations: Explanations
    gone: tuple[int, ...]
    margin: float

    @property
    def whole(self) -> Attribution:
        """The verdict on the whole review."""
        return self.explanations[0]

    @property
    def left(self) -> Attribution:
        """The verdict on what is left."""
        return dataclasses.replace(self.whole, margin=self.margin)

    @property
    def said(self) -> str:
        """Both verdicts in words."""
        if not self.gone:
            return f"The whole review: {self.whole.decision}."
        names = ", ".join(self.whole.words[place].text for place in self.gone)
        return f"The whole review: {self.whole.decision}. Without {names}: {self.left.decision}."

    def __str__(self) -> str:
        return f"{self.said} {_grid(self.explanations).words}"

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [("whole review", self.whole), (f"without {len(self.gone)} of its words", self.left)]
        bars = "".join(_bar(name, verdict) for name, verdict in rows[: 1 + bool(self.gone)])
        said = f'<p role="status">{html.escape(self.said)}</p>'
        return f"{bars}{said}<p>{self._review()}</p>{_grid(self.explanations).html}"

    def _review(self) -> str:
        """Write the review with what is out struck through."""
        text, pieces, done = self.whole.text, [], 0
        for place in self.gone:
            word = self.whole.words[place]
            pieces += [html.escape(text[done : word.start]), f"<s>{html.escape(word.text)}</s>"]
            done = word.end
        return "".join([*pieces, html.escape(text[done:])])


def without_words(
    classifier: "Classifier", explanations: Explanations, gone: Sequence[int], replacement: str = "delete"
) -> WithoutWords:
    """Ask the model about a review without the words at these places.

    replacement: as in faithfulness.py. explanations: of one review, by a method or more. Raises AttributionError where
    `mask` is asked of a tokenizer without it.
    """
    reading, tokenizer = explanations[0].reading, classifier.tokenizer
    places = tuple(sorted(set(gone)))
    tokens = [token for place in places for token in reading.words[place].tokens]
    row = without_tokens(reading, tokens, replacement, tokenizer)
    (margin,) = margins(classifier.model, [row], int(tokenizer.pad_token_id))
    return WithoutWords(explanations, places, float(margin))


def review_explorer(
    classifier: "Classifier", texts: str | Sequence[str], methods: Sequence[str] = SHOWN_METHODS, **options: Any
) -> Interactive:
    """Explore a review: the verdict, each method's scores, and words to take out.

    Pick one or type one; take words out and the verdict moves. Every word is a button, which the mouse, Space and Enter
    take out and put back. The explanations stay those of the whole review: they are what one tests. options: of `explain`.
    Raises UsageError without a review.
    """
    known = list(dict.fromkeys([texts] if isinstance(texts, str) else texts))
    if not known:
        raise UsageError("no review to start with; wanted at least one")
    return _Desk(classifier, known, methods, options).explored


class _Desk:
    """The controls, the review with its explanations, and the picture of it all."""

    def __init__(
        self, classifier: "Classifier", texts: Sequence[str], methods: Sequence[str], options: Mapping[str, Any]
    ) -> None:
        self.classifier, self.methods, self.options = classifier, methods, options
        listed = [(text if len(text) <= SHOWN_LETTERS else f"{text[: SHOWN_LETTERS - 1]}…", text) for text in texts]
        self.controls: dict[str, Any] = {
            "pick": labelled(ipywidgets.Dropdown, "Pick a review:", options=listed, layout={"width": "95%"}),
            "text": review_box(texts[0]),
            "words": ipywidgets.Box(layout={"flex_flow": "row wrap", "width": "98%"}),
            "in_the_place": labelled(
                ipywidgets.Dropdown, "In the place of a word that is out:", options=list(IN_THE_PLACE.items())
            ),
            "back": ipywidgets.Button(description="Put all words back", tooltip="Put all words back"),
        }
        label = ipywidgets.HTML("Words; press one to take it out, and again to put it back:")
        pick, text, words, place, back = self.controls.values()
        shown = ipywidgets.HTML(layout={"width": "98%"})
        below = ipywidgets.HBox([place, back], layout={"flex_flow": "row wrap"})
        self.explanations: Explanations | None = None
        self.trouble = ""
        view = ipywidgets.VBox([pick, text, label, words, below, shown])
        self.explored = Interactive(view, self.controls, self.picture, shown)
        pick.observe(lambda change: setattr(text, "value", pick.value), names="value")
        text.observe(self.read, names="value")
        place.observe(self.explored.redraw, names="value")
        back.on_click(self.lay_out)
        self.read()

    def read(self, change: Any = None) -> None:
        """Explain the review that is in the box; where that cannot be done, say why."""
        try:
            self.explanations, self.trouble = None, ""
            self.explanations = self.classifier.explain(self.controls["text"].value, self.methods, **self.options)
        except (UsageError, ValueError) as why:
            self.trouble = str(why)
        self.lay_out()

    def lay_out(self, change: Any = None) -> None:
        """Lay out a button for every word, all of them in."""
        words = self.explanations[0].words if self.explanations else ()
        self.controls["words"].children = [self._button(word.text) for word in words]
        self.explored.redraw()

    def _button(self, word: str) -> Any:
        button = ipywidgets.ToggleButton(description=word, tooltip=f"take {word} out", layout={"width": "max-content"})

        def turn(change: Any) -> None:
            button.description = f"{word} ✗ out" if button.value else word
            button.tooltip = f"put {word} back" if button.value else f"take {word} out"
            self.explored.redraw()

        button.observe(turn, names="value")
        return button

    def picture(self) -> Picture:
        """Draw the present state."""
        if self.explanations is None:
            return Picture(f"<p>{html.escape(self.trouble)}</p>", self.trouble)
        gone = [place for place, button in enumerate(self.controls["words"].children) if button.value]
        try:
            record = without_words(self.classifier, self.explanations, gone, self.controls["in_the_place"].value)
        except UsageError as why:
            return Picture(f"<p>{html.escape(str(why))}</p>", str(why))
        return Picture(record._repr_html_(), str(record))


@lru_cache(maxsize=4)
def _grid(explanations: Explanations) -> Picture:
    """Draw the methods side by side, once a review, not once a word that goes."""
    ax = attribution_grid(explanations)
    return Picture(to_html(ax), alt_text(ax))


def _bar(name: str, verdict: Attribution) -> str:
    """Draw the probability of positive as a bar, with half marked.

    From left to right.
    """
    positive = verdict.probability if verdict.sign > 0 else 1 - verdict.probability
    colour = "rgb({}, {}, {})".format(*COLOURS[verdict.sign])
    track = "position:relative;flex:1;height:1.1em;background:#eee;border:1px solid #767676"
    half = '<span style="position:absolute;left:50%;top:0;bottom:0;border-left:2px dotted #111"></span>'
    fill = f'<span style="position:absolute;left:0;top:0;bottom:0;width:{positive:.1%};background:{colour}"></span>'
    return (
        f'<div style="display:flex;gap:0.6em;align-items:center;max-width:44em"><span style="width:13em">{name}</span>'
        f'<span style="{track}">{fill}{half}</span><span style="width:9em">positive: {positive:.1%}</span></div>'
    )

"""The button below a failed check: a further hint, one at a time, each counted (labkit.checks.further)."""

import html

import ipywidgets

from labkit.checks.further import FurtherHints, another_hint, hints_so_far
from labkit.widgets.interactive import Interactive, Picture


def further_hints(exercise_id: str) -> Interactive:
    """The further hints of an exercise that were asked for, and a button for the next one while there is one."""
    ask = ipywidgets.Button(layout={"width": "max-content"})
    shown = ipywidgets.HTML(layout={"width": "98%"})

    def show(hints: FurtherHints) -> None:
        shown.value = hints._repr_html_()
        ask.description = f"Show {hints.following}"
        ask.tooltip = "One further hint; how many you ask for is kept in your folder"
        ask.layout.display = "" if hints.following else "none"

    def one_more(button: ipywidgets.Button) -> None:
        try:
            show(another_hint(exercise_id))
        except OSError as why:  # a folder that cannot be written to costs a sentence, not the page
            shown.value = html.escape(f"This could not be kept: {why}")

    def still() -> Picture:
        hints = hints_so_far(exercise_id)
        return Picture(hints._repr_html_(), str(hints))

    ask.on_click(one_more)
    show(hints_so_far(exercise_id))
    return Interactive(ipywidgets.VBox([shown, ask]), {"ask": ask}, still)

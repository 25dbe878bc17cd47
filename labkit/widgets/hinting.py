"""The button below a failed check: a further hint, one at a time, each counted (labkit.checks.further)."""

import html

import ipywidgets
from IPython.core.getipython import get_ipython
from IPython.display import display

from labkit.checks.further import another_hint, hints_so_far
from labkit.widgets.interactive import Interactive, Picture


def further_hints(exercise_id: str) -> Interactive:
    """The further hints of an exercise that were asked for, and a button for the next one while there is one."""
    tooltip = "One further hint; how many you ask for is kept in your folder"
    ask = ipywidgets.Button(tooltip=tooltip, layout={"width": "max-content", "max_width": "98%"})
    shown = ipywidgets.HTML(layout={"width": "98%"})

    def present() -> Picture:
        hints = hints_so_far(exercise_id)
        ask.description = f"Show {hints.following}"
        ask.layout.display = "" if hints.following else "none"
        return Picture(hints._repr_html_(), str(hints))

    def one_more(button: ipywidgets.Button) -> None:
        try:
            another_hint(exercise_id)
        except OSError as why:  # a folder that cannot be written to costs a sentence, not the page
            shown.value = html.escape(f"This could not be kept: {why}")
        else:
            view.redraw()

    ask.on_click(one_more)
    view = Interactive(ipywidgets.VBox([shown, ask]), {"ask": ask}, present, shown)
    return view


def offer_further_hint(exercise_id: str) -> None:
    """Show the button below what the running cell ends with.

    Not as a part of the result: one that displayed itself would be no result of its cell, where nbgrader reads the points.
    """
    shell = get_ipython()
    if shell is None:
        return

    def once() -> None:
        shell.events.unregister("post_execute", once)
        display(further_hints(exercise_id))

    shell.events.register("post_execute", once)

"""A widget together with its still picture, for where widgets cannot run.

A widget lives as long as the kernel that made it. So two outputs stand in a notebook: the widget, and the still of what it
shows, which the page hides as long as the widget is alive. After a restart, and on a page that never ran, the still is what
is there. Nothing but style rules decides between the two: a page that takes none shows both.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets
from IPython.display import display

from labkit.display import in_notebook
from labkit.errors import UsageError

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
AGAIN = "This is a still picture. To use it, run its cell again."
# JupyterLab gives a widget without a kernel the class jupyter-widgets-disconnected, and after a reload it has only an error
# message in the widget's place. The second rule hides that, the last two let long choices break into lines.
_STYLE = """<style>
:root:has(.{view}:not(.jupyter-widgets-disconnected)) .{still} {{ display: none }}
:root:not(:has(.{view}:not(.jupyter-widgets-disconnected))) .jp-OutputArea-child:has(+ .jp-OutputArea-child .{still}) {{
  display: none }}
.labkit-again {{ display: none; font-style: italic }}
.jp-NotebookPanel .labkit-again {{ display: block }}
.labkit-choices > div {{ display: flex; flex-wrap: wrap; gap: 4px; min-width: 0 }}
.labkit-choices button.jupyter-button {{ white-space: normal; height: auto; min-height: 28px; line-height: 1.3;
  padding-block: 3px; margin: 0; max-width: 100%; text-align: start; overflow-wrap: anywhere }}
</style>"""


@dataclass(frozen=True)
class Picture:
    """What a widget shows now: an HTML element, and the same in words."""

    html: str
    words: str


class Interactive:
    """A widget that can be displayed, with a still of its present state.

    view: the whole widget. controls: by name the parts that are operated. picture: gives the present state. shown: the part
    of the view that holds the picture, where one does.
    """

    def __init__(
        self,
        view: Any,
        controls: Mapping[str, Any],
        picture: Callable[[], Picture],
        shown: ipywidgets.HTML | None = None,
    ) -> None:
        self.view = view
        self.controls = controls
        self._draw = picture
        self._shown = shown
        self._stills: list[Any] = []  # where the still is displayed
        self._name = f"labkit-{view.model_id}"
        view.add_class(self._name)
        self.redraw()

    @property
    def picture(self) -> Picture:
        """The still of the present state."""
        return self._draw()

    def redraw(self, change: Any = None) -> None:
        """Draw the present state anew, wherever it is shown."""
        picture = self.picture
        if self._shown is not None:
            self._shown.value = picture.html
        for still in self._stills:
            still.update(self._still(picture), raw=True)

    def __repr__(self) -> str:
        return self.picture.words

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        still = self.picture
        return {"text/plain": still.words, "text/html": still.html, **self._widget()}

    def _ipython_display_(self) -> None:
        """Display the widget, and after it the still."""
        if not in_notebook():
            print(self)
            return
        if widget := self._widget():
            display({**widget, "text/plain": ""}, raw=True)
        self._stills.append(display(self._still(self.picture), raw=True, display_id=True))

    def _widget(self) -> dict[str, Any]:
        """The widget's part of a bundle; nothing once it has been closed."""
        bundle = self.view._repr_mimebundle_() if self.view.comm else {}
        return {mime: data for mime, data in bundle.items() if mime == WIDGET_MIME}

    def _still(self, picture: Picture) -> dict[str, str]:
        name = f"{self._name}-still"
        page = f'<div class="{name}">{picture.html}<p class="labkit-again">{AGAIN}</p></div>'
        return {"text/plain": picture.words, "text/html": _STYLE.format(view=self._name, still=name) + page}


def explorer(controls: Mapping[str, Any], show: Callable[..., Picture], sliders: Sequence[str] = ()) -> Interactive:
    """Controls above a picture that is drawn anew whenever one of them changes.

    show: makes the picture from the controls' values, passed by name. sliders: the names of number boxes that get a
    slider beside them. What `show` cannot picture (it raises UsageError or ValueError) is said in the picture's place.
    """

    def present() -> Picture:
        values = {name: control.value for name, control in controls.items()}
        try:
            return show(**values)
        except (UsageError, ValueError) as why:
            return Picture(f"<p>{html.escape(str(why))}</p>", str(why))

    shown = ipywidgets.HTML(layout={"width": "98%"})
    rows = [_with_slider(control) if name in sliders else control for name, control in controls.items()]
    explored = Interactive(ipywidgets.VBox([*rows, shown]), controls, present, shown)
    for control in controls.values():
        control.observe(explored.redraw, names="value")
    return explored


def labelled(control: type, description: str, **settings: Any) -> Any:
    """A control whose whole description stands before it as its label."""
    layout = {"width": "max-content", "max_width": "98%"}
    plain = {"style": {"description_width": "initial"}, "layout": layout, "tooltip": description}
    return control(description=description, **(plain | settings))


def choice_buttons(description: str, **settings: Any) -> Any:
    """A choice of one among a few, by a button for each.

    Tab and the space bar reach and press them. In place of radio buttons, whose arrow keys JupyterLab takes to move
    between cells.
    """
    style = {"description_width": "initial", "button_width": "auto"}
    layout = {"width": "auto", "max_width": "98%", "flex_flow": "row wrap"}
    buttons = labelled(ipywidgets.ToggleButtons, description, style=style, layout=layout, **settings)
    buttons.add_class("labkit-choices")
    return buttons


_BESIDE = {
    "flex": "1 1 12em",
    "width": "auto",
    "max_width": "40em",
    "min_width": "8em",
}  # of a slider: below where it is narrow


def _with_slider(box: Any) -> Any:
    """A labelled number box and a slider, linked even while the kernel is busy.

    The box has the label and is what a screen reader and the keyboard find; ipywidgets gives a slider's handle no name.
    """
    kind = ipywidgets.IntSlider if isinstance(box, ipywidgets.BoundedIntText) else ipywidgets.FloatSlider
    limits = {name: getattr(box, name) for name in ("value", "min", "max", "step")}
    slider = kind(**limits, readout=False, continuous_update=False, tooltip=box.description, layout=_BESIDE)
    ipywidgets.jslink((box, "value"), (slider, "value"))
    return ipywidgets.HBox([box, slider], layout={"flex_flow": "row wrap", "max_width": "98%"})

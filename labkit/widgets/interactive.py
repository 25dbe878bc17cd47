"""A widget together with its still picture, for where widgets cannot run.

JupyterLab takes the widget out of the bundle; nbconvert, a published page and a terminal take the still or the words.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import ipywidgets

from labkit.errors import UsageError

WIDGET_MIME = "application/vnd.jupyter.widget-view+json"


@dataclass(frozen=True)
class Picture:
    """What a widget shows now: an HTML element, and the same in words."""

    html: str
    words: str


class Interactive:
    """A widget that can be displayed, with a still of its present state.

    view: the whole widget. controls: by name the parts that are operated. picture: gives the present state.
    """

    def __init__(self, view: Any, controls: Mapping[str, Any], picture: Callable[[], Picture]) -> None:
        self.view = view
        self.controls = controls
        self._picture = picture

    @property
    def picture(self) -> Picture:
        """The still of the present state."""
        return self._picture()

    def __repr__(self) -> str:
        return self.picture.words

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        still = self.picture
        view = self.view._repr_mimebundle_() or {}  # nothing once the widget has been closed
        return {"text/plain": still.words, "text/html": still.html} | {
            mime: data for mime, data in view.items() if mime == WIDGET_MIME
        }


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

    shown = ipywidgets.HTML(present().html, layout={"width": "98%"})

    def redraw(change: Any) -> None:
        shown.value = present().html

    for control in controls.values():
        control.observe(redraw, names="value")
    rows = [_with_slider(control) if name in sliders else control for name, control in controls.items()]
    return Interactive(ipywidgets.VBox([*rows, shown]), controls, present)


def labelled(control: type, description: str, **settings: Any) -> Any:
    """A control whose whole description stands before it as its label."""
    plain = {"style": {"description_width": "initial"}, "layout": {"width": "max-content"}, "tooltip": description}
    return control(description=description, **(plain | settings))


def choice_buttons(description: str, **settings: Any) -> ipywidgets.ToggleButtons:
    """A choice of one among a few, by a button for each.

    Tab and the space bar reach and press them. In place of radio buttons, whose arrow keys JupyterLab takes to move
    between cells.
    """
    style = {"description_width": "initial", "button_width": "auto"}
    return labelled(ipywidgets.ToggleButtons, description, style=style, **settings)


def _with_slider(box: Any) -> Any:
    """A labelled number box and a slider, linked even while the kernel is busy.

    The box has the label and is what a screen reader and the keyboard find; ipywidgets gives a slider's handle no name.
    """
    kind = ipywidgets.IntSlider if isinstance(box, ipywidgets.BoundedIntText) else ipywidgets.FloatSlider
    limits = {name: getattr(box, name) for name in ("value", "min", "max", "step")}
    slider = kind(**limits, readout=False, continuous_update=False, tooltip=box.description, layout={"width": "60%"})
    ipywidgets.jslink((box, "value"), (slider, "value"))
    return ipywidgets.HBox([box, slider])

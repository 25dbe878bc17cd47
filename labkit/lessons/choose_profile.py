"""The choice of a profile by buttons, kept once for all lessons.

What the profiles are is said in profiles.py.
"""

import html
import os
from dataclasses import dataclass
from typing import Any

import ipywidgets

from labkit.display import LEFT, html_table
from labkit.lessons.profiles import ABOUT, DEFAULT_PROFILE, current_profile, keep_profile, kept_profile
from labkit.training.config import ConfigError
from labkit.widgets.interactive import Interactive, Picture, choice_buttons


@dataclass(frozen=True)
class ProfileChoice:
    """The profiles and what each means.

    choice: the one chosen. in_force: the one that lessons open under. variable: the value of `LABKIT_PROFILE`, which
    goes before the choice; empty where it is not set. trouble: what is odd in it.
    """

    choice: str
    in_force: str
    variable: str = ""
    trouble: str = ""

    @property
    def said(self) -> str:
        """Which profile is in force, and why."""
        if self.trouble:
            return f"{self.trouble}. Until that is mended no lesson opens."
        if self.variable:
            return (
                f"In force: {self.in_force}, because LABKIT_PROFILE is set, whatever is chosen here. "
                "The choice is kept for when it is not."
            )
        return f"In force: {self.in_force}, for every lesson that is opened or run from its top from now on."

    def __str__(self) -> str:
        rows = (f"{'◉' if name == self.choice else '○'} {name}: {about}" for name, about in ABOUT.items())
        return "\n".join(["Choose a profile.", *rows, self.said])

    def _repr_html_(self) -> str:
        rows = [("◉" if name == self.choice else "○", name, about) for name, about in ABOUT.items()]
        heads = ("chosen", "profile", "what it is for")
        table = html_table("Choose a profile.", [heads, *rows], row_header=1, styles=("", LEFT, LEFT))
        return f"{table}<p>{html.escape(self.said)}</p>"


def profile_choice() -> ProfileChoice:
    """The choice as it is now: the one kept in the student's folder, or the default."""
    variable = os.environ.get("LABKIT_PROFILE", "")
    choice = kept_profile() or DEFAULT_PROFILE
    try:
        return ProfileChoice(choice, current_profile(), variable)
    except ConfigError as why:
        return ProfileChoice(choice, "", variable, str(why))


def choose_profile() -> Interactive:
    """Choose a profile for all lessons by buttons; the choice is kept at once.

    It also says which profile is in force.
    """
    now = profile_choice()
    options = [(f"{name}: {about}", name) for name, about in ABOUT.items()]
    buttons = choice_buttons("Profile:", options=options, value=now.choice)
    said = ipywidgets.HTML(html.escape(now.said))

    def picture() -> Picture:
        record = profile_choice()
        return Picture(record._repr_html_(), str(record))

    chosen = Interactive(ipywidgets.VBox([buttons, said]), {"profile": buttons}, picture)

    def keep(change: Any) -> None:
        try:
            keep_profile(buttons.value)
        except OSError as why:
            said.value = f"This could not be kept: {html.escape(str(why))}"
        else:
            said.value = f"Kept: {buttons.value}. {html.escape(profile_choice().said)}"
        chosen.redraw()

    buttons.observe(keep, names="value")
    return chosen

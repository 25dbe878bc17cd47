"""The profiles: how much of everything is taken, from a first look to a GPU.

Which profile is in force, and where a student's choice is kept. Asking for the choice is choose_profile.py's. Imports no
numpy and no torch: the command line reads it before anything else.
"""

import os
from typing import Any

from labkit.errors import did_you_mean
from labkit.student_work import Work
from labkit.training.config import ConfigError

DEFAULT_PROFILE = "laptop"
PROFILES: dict[str, dict[str, Any]] = {
    "tiny": {"model": "tiny", "train_examples": 1000, "validation_examples": 500, "epochs": 2},
    # With a third epoch MiniLM's validation loss rises from the first on, and the best checkpoint is an unfinished one.
    "laptop": {"model": "minilm", "epochs": 2},
    "gpu": {"model": "bert-base-uncased"},
}
# Fixed parts of the training and validation reviews, so that a lesson keeps its time; None is all. `make lab` takes all.
EXAMPLES = {"tiny": (1000, 500), "laptop": (2000, 500), "gpu": (None, None)}
ABOUT = {
    "tiny": "the tiny BERT that ships with the course, on 1,000 reviews: a first look, in seconds",
    "laptop": "MiniLM, real pretrained weights, on 2,000 reviews: minutes on a laptop",
    "gpu": "BERT base on all reviews: for a GPU; its authors had no model hub, so it was not run",
}


def profile_settings(name: str | None = None) -> dict[str, Any]:
    """The settings of a profile: the named one, LABKIT_PROFILE's or the laptop's.

    Raises ConfigError for a name that is none.
    """
    chosen = name or os.environ.get("LABKIT_PROFILE") or DEFAULT_PROFILE
    if chosen not in PROFILES:
        origin = "profile" if name else "LABKIT_PROFILE"
        raise ConfigError(f"{origin} {chosen} is none of {', '.join(PROFILES)}{did_you_mean(chosen, PROFILES)}")
    return dict(PROFILES[chosen])


def current_profile() -> str:
    """The lessons' profile: LABKIT_PROFILE, the student's choice or the laptop's.

    Raises ConfigError where the variable names none.
    """
    if os.environ.get("LABKIT_PROFILE"):
        profile_settings()
        return os.environ["LABKIT_PROFILE"]
    return kept_profile() or DEFAULT_PROFILE


def kept_profile() -> str | None:
    """The profile that the student chose, or None."""
    kept = Work().settings.get("profile", {}).get("choice")
    return kept if kept in PROFILES else None


def keep_profile(name: str) -> None:
    """Keep the choice of a profile in the student's folder, for every lesson.

    Raises ConfigError for a name that is none.
    """
    profile_settings(name)
    Work().save("settings", "profile", {"choice": name})

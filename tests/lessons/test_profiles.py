"""Laws of the profiles: each is a valid config, and which one is in force is said by the variable, the choice, the default."""

from pathlib import Path

import pytest

from labkit.lessons import open_lesson
from labkit.lessons.profiles import ABOUT, EXAMPLES, PROFILES, current_profile, keep_profile, profile_settings
from labkit.training.config import Config, ConfigError


@pytest.fixture(autouse=True)
def course_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LABKIT_PROFILE", raising=False)
    return tmp_path


def test_every_profile_says_what_it_is_and_how_much_a_lesson_trains() -> None:
    assert set(ABOUT) == set(EXAMPLES) == set(PROFILES)


def test_the_variable_goes_before_the_choice_and_the_choice_before_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert current_profile() == "laptop"
    keep_profile("gpu")
    assert current_profile() == "gpu"
    monkeypatch.setenv("LABKIT_PROFILE", "tiny")
    assert (current_profile(), open_lesson().profile) == ("tiny", "tiny")


def test_a_profile_that_is_none_is_refused_with_the_nearest(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="did you mean laptop"):
        keep_profile("latpop")
    monkeypatch.setenv("LABKIT_PROFILE", "tinny")
    with pytest.raises(ConfigError, match=r"LABKIT_PROFILE tinny .* did you mean tiny"):
        current_profile()


def test_a_damaged_choice_is_no_choice(course_folder: Path) -> None:
    keep_profile("tiny")
    settings = course_folder / ".labkit" / "settings.json"
    settings.write_text('{"profile": {"choice": "huge"}}')
    assert current_profile() == "laptop"


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_is_a_valid_config(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Config().replaced(profile_settings(name)).model == PROFILES[name]["model"]
    monkeypatch.setenv("LABKIT_PROFILE", name)
    assert profile_settings() == profile_settings(name)


def test_without_a_name_the_profile_is_the_laptop_s_and_a_name_counts_more_than_the_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert profile_settings() == PROFILES["laptop"]
    monkeypatch.setenv("LABKIT_PROFILE", "")
    assert profile_settings() == PROFILES["laptop"]
    monkeypatch.setenv("LABKIT_PROFILE", "tiny")
    assert profile_settings("gpu") == PROFILES["gpu"]


def test_a_profile_that_is_none_is_refused_with_where_it_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"^profile labtop is none of tiny, laptop, gpu; did you mean laptop\?$"):
        profile_settings("labtop")
    monkeypatch.setenv("LABKIT_PROFILE", "large")
    with pytest.raises(ConfigError, match=r"^LABKIT_PROFILE large is none of tiny, laptop, gpu$"):
        profile_settings()


def test_the_settings_of_a_profile_are_the_caller_s_own_copy() -> None:
    profile_settings("tiny")["model"] = "changed"
    assert PROFILES["tiny"]["model"] == "tiny"

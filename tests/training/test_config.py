"""Laws of the settings: whatever is wrong is refused by its name, and a finished config reads back as itself."""

import dataclasses
import math
import tomllib
import typing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.data.readers import ReviewFileError
from labkit.errors import UsageError
from labkit.models.encoders import ENCODERS
from labkit.training.config import (
    NEVER_CHANGE_THE_RESULT,
    SETTINGS,
    Config,
    ConfigError,
    parse_assignments,
    read_config_file,
)

law = settings(max_examples=60, deadline=None)
TYPES = typing.get_type_hints(Config)
NUMBERS = [name for name, hint in TYPES.items() if {int, float} & set(typing.get_args(hint) or (hint,))]
LIMITED = [(name, bound) for name in NUMBERS for bound in SETTINGS[name].metadata["limits"]]
CHOSEN = [name for name in SETTINGS if "one_of" in SETTINGS[name].metadata["limits"]]


def values_of(name: str) -> st.SearchStrategy[object]:
    """Every value that a setting may have."""
    hint, limits = TYPES[name], SETTINGS[name].metadata["limits"]
    kinds = typing.get_args(hint) or (hint,)
    if "one_of" in limits:
        return st.sampled_from(limits["one_of"])
    if bool in kinds:
        return st.booleans()
    if str in kinds:
        return st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
    low, high = limits.get("at_least", limits.get("above")), limits.get("at_most", limits.get("below"))
    if int in kinds:
        value: st.SearchStrategy[object] = st.integers(low, 2**63 - 1 if high is None else int(high))
    else:
        above, below = "above" in limits, "below" in limits
        value = st.floats(low, high, allow_infinity=False, allow_nan=False, exclude_min=above, exclude_max=below)
    return st.none() | value if type(None) in kinds else value


configs = st.fixed_dictionaries({}, optional={name: values_of(name) for name in SETTINGS}).map(Config().replaced)


def refusal(**named: object) -> str:
    """The text with which a setting is refused; always wrong use, exit code 2."""
    with pytest.raises(ConfigError) as refused:
        Config(**named)  # type: ignore[arg-type]
    assert isinstance(refused.value, UsageError)
    assert refused.value.exit_code == 2
    return str(refused.value)


def test_the_defaults_are_the_lab_s():
    config = Config()
    assert (config.epochs, config.batch_size, config.max_length, config.patience) == (3, 32, 128, 2)
    assert (config.warmup_ratio, config.weight_decay, config.max_grad_norm) == (0.1, 0.01, 1.0)
    assert (config.learning_rate, config.precision, config.model) == (None, "auto", "minilm")


def test_every_setting_has_a_help_text_and_every_number_has_limits():
    assert all(field.metadata["help"] for field in SETTINGS.values())
    assert all(SETTINGS[name].metadata["limits"] for name in NUMBERS + CHOSEN)
    assert {*NUMBERS, *CHOSEN} | {"model", "device", "pretrained"} == set(SETTINGS)
    assert set(NEVER_CHANGE_THE_RESULT) <= set(SETTINGS)


@law
@given(configs)
def test_a_config_written_as_toml_reads_back_as_itself(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("config") / "config.toml"
    path.write_bytes(config.to_toml().encode())
    assert Config().replaced(read_config_file(path)) == config


def test_a_setting_left_to_its_default_is_seen_in_the_file_as_a_comment():
    page = Config(learning_rate=None, seed=5).to_toml()
    assert "# learning_rate = (default)\n" in page
    assert "\nseed = 5\n" in page
    assert len(page.splitlines()) == len(SETTINGS)


@law
@given(configs)
def test_assignments_say_the_same_as_a_file(config):
    lines = [line for line in config.to_toml().split("\n") if line and not line.startswith("#")]
    assert Config().replaced(parse_assignments(lines)) == config


@law
@given(configs)
def test_the_first_micro_batch_is_never_larger_than_the_batch(config):
    wanted = config.batch_size if config.micro_batch_size is None else config.micro_batch_size
    assert config.largest_micro_batch == min(wanted, config.batch_size)


CHOICES = ("device", "precision", "learning_rate", "micro_batch_size", "pad_to_multiple_of")


@law
@given(configs)
def test_a_resolved_config_leaves_nothing_to_choose_and_keeps_what_was_given(config):
    here = config.replaced({"model": "tiny", "device": "cpu", "precision": "fp32"})
    resolved = here.resolved()
    assert all(getattr(resolved, name) not in (None, "auto") for name in CHOICES)
    given = {name: value for name, value in dataclasses.asdict(here).items() if name != "micro_batch_size"}
    found = dataclasses.asdict(resolved)
    assert all(found[name] == value for name, value in given.items() if name not in CHOICES or value is not None)
    assert resolved.micro_batch_size == here.largest_micro_batch
    assert resolved.resolved() == resolved


@pytest.mark.parametrize(("speedup", "precision", "multiple"), [(8.0, "bf16", 8), (0.5, "fp32", 1)])
def test_what_is_left_open_becomes_what_suits_the_device_and_the_encoder(speedup, precision, multiple, monkeypatch):
    monkeypatch.setattr("labkit.training.precision.bf16_speedup", lambda: speedup)
    found = Config(model="tiny", device="cpu").resolved()
    assert (found.precision, found.pad_to_multiple_of) == (precision, multiple)
    assert (found.learning_rate, found.micro_batch_size) == (ENCODERS["tiny"].learning_rate, 32)
    assert found.chosen_precision().name == precision


def test_what_this_machine_or_the_registry_does_not_have_is_refused_when_it_is_resolved():
    with pytest.raises(UsageError, match="this CPU does not compute in fp16"):
        Config(device="cpu", precision="fp16").resolved()
    with pytest.raises(UsageError, match="device abacus is not here"):
        Config(device="abacus").resolved()
    with pytest.raises(UsageError, match="model minilmm is none of"):
        Config(model="minilmm", device="cpu", precision="fp32").resolved()


def test_a_config_cannot_be_changed_only_replaced():
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 9  # type: ignore[misc]
    assert (config.replaced({"epochs": 9}).epochs, config.epochs) == (9, 3)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("warmup_ration", "warmup_ratio"),
        ("Learning_Rate", "learning_rate"),
        ("epoch", "epochs"),
        ("lr", None),
        ("", None),
    ],
)
def test_an_unknown_setting_is_refused_with_the_nearest(tmp_path, name, nearest):
    wanted = f"{name} is not a setting" + (f"; did you mean {nearest}?" if nearest else "")
    with pytest.raises(ConfigError) as refused:
        Config().replaced({name: 1})
    assert str(refused.value) == wanted
    with pytest.raises(ConfigError) as refused:
        parse_assignments(["epochs=2", f" {name} =1"])
    assert str(refused.value) == wanted
    path = tmp_path / "config.toml"
    path.write_text(f'"{name}" = 1\n')
    with pytest.raises(ConfigError) as refused:
        read_config_file(path)
    assert str(refused.value) == f"{path}: {wanted}"


@pytest.mark.parametrize(
    ("named", "message"),
    [
        ({"epochs": "three"}, "epochs = 'three' is str; wanted int"),
        ({"epochs": 2.0}, "epochs = 2.0 is float; wanted int"),
        ({"epochs": True}, "epochs = True is bool; wanted int"),
        ({"epochs": None}, "epochs = None is NoneType; wanted int"),
        ({"micro_batch_size": "8"}, "micro_batch_size = '8' is str; wanted int"),
        ({"learning_rate": "1e-4"}, "learning_rate = '1e-4' is str; wanted float"),
        ({"weight_decay": True}, "weight_decay = True is bool; wanted float"),
        ({"weight_decay": None}, "weight_decay = None is NoneType; wanted float"),
        ({"pretrained": 1}, "pretrained = 1 is int; wanted bool"),
        ({"model": 5}, "model = 5 is int; wanted str"),
        ({"model": Path("tiny")}, f"model = {Path('tiny')!r} is {type(Path()).__name__}; wanted str"),
        ({"precision": ["fp32"]}, "precision = ['fp32'] is list; wanted str"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused_with_the_right_one(named, message):
    assert refusal(**named) == message


@pytest.mark.parametrize(
    "name", [name for name in NUMBERS if float in (typing.get_args(TYPES[name]) or (TYPES[name],))]
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused(name, value):
    assert refusal(**{name: value}) == f"{name} = {value} is not a finite number"


@pytest.mark.parametrize(("name", "bound"), LIMITED)
def test_a_value_just_outside_its_limits_is_refused_and_one_just_inside_is_not(name, bound):
    limit = SETTINGS[name].metadata["limits"][bound]
    outward = -1 if bound in ("at_least", "above") else 1
    whole = int in (typing.get_args(TYPES[name]) or (TYPES[name],))
    beyond = limit + outward if whole else math.nextafter(limit, outward * math.inf)
    within = limit - outward if whole else math.nextafter(limit, -outward * math.inf)
    good, bad = (limit, beyond) if bound in ("at_least", "at_most") else (within, float(limit))
    assert getattr(Config().replaced({name: good}), name) == good
    message = refusal(**{name: bad})
    assert message.startswith(f"{name} = {bad} is out of range; wanted ")
    assert f"{bound.replace('_', ' ')} {limit:g}" in message


def test_a_message_names_both_limits():
    assert refusal(warmup_ratio=1.5) == "warmup_ratio = 1.5 is out of range; wanted at least 0 and below 1"
    assert refusal(learning_rate=0) == "learning_rate = 0.0 is out of range; wanted above 0 and at most 1"
    assert refusal(epochs=0) == "epochs = 0 is out of range; wanted at least 1"


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_too_large_for_a_file_or_a_machine_are_refused(name):
    for value in (2**63, -(2**63) - 1, 10**400, -(10**5000)):
        assert refusal(**{name: value}) == f"{name} = a number of more than 64 bits is out of range"


@pytest.mark.parametrize("name", CHOSEN)
def test_a_choice_that_is_none_is_refused_with_all_that_are_and_the_nearest(name):
    choices = SETTINGS[name].metadata["limits"]["one_of"]
    assert refusal(**{name: "qqqq"}) == f"{name} = 'qqqq' is none of {', '.join(choices)}"
    nearest = choices[-1] + "x"
    assert refusal(**{name: nearest}).endswith(f"did you mean {choices[-1]}?")
    assert all(getattr(Config(**{name: choice}), name) == choice for choice in choices)


def test_a_whole_number_serves_where_a_float_is_wanted():
    config = Config(warmup_ratio=0, max_grad_norm=2, checkpoint_seconds=5)
    assert [type(value) for value in (config.warmup_ratio, config.max_grad_norm, config.checkpoint_seconds)] == [
        float
    ] * 3
    assert Config(warmup_ratio=0) == Config(warmup_ratio=0.0)


# Assignments


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("epochs=5", 5),
        (" epochs = 5 ", 5),
        ("learning_rate=1e-4", 1e-4),
        ("learning_rate=none", None),
        ("learning_rate=None", None),
        ("pretrained=false", False),
        ("model=tiny", "tiny"),
        ('model="tiny"', "tiny"),
        ("model=owner/name", "owner/name"),
        ("model=/a folder/with = in it", "/a folder/with = in it"),
    ],
)
def test_an_assignment_is_read_as_toml_where_it_is_that_and_as_bare_text_where_not(assignment, value):
    assert list(parse_assignments([assignment]).values()) == [value]


def test_the_last_assignment_of_a_setting_counts():
    assert parse_assignments(["seed=1", "epochs=2", "seed=3"]) == {"seed": 3, "epochs": 2}


def test_an_assignment_without_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"^--set epochs: wanted key=value$"):
        parse_assignments(["epochs"])


@pytest.mark.parametrize("value", ["1" * 5_000, "[" * 5_000, "{", '"', "2026-01-01", "[1]", "nan", "inf", "1.", ""])
def test_no_value_of_an_assignment_brings_the_reader_down(value):
    with pytest.raises(ConfigError, match=r"^epochs = "):
        Config().replaced(parse_assignments([f"epochs={value}"]))


# Config files


def test_a_config_file_holds_settings_by_name(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes('\ufeff# mine\r\nepochs = 5\r\nmodel = "modèle"\r\n'.encode())
    assert read_config_file(path) == {"epochs": 5, "model": "modèle"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("epochs = ", "not TOML: "),
        ("epochs = 1\nepochs = 2", "not TOML: "),
        ("epochs", "not TOML: "),
        ("seed = " + "1" * 5_000, "not TOML: "),
        ("seed = " + "[" * 5_000, "not TOML: "),
        ("[training]\nepochs = 1", "training is not a setting"),
    ],
)
def test_a_file_that_is_no_toml_of_settings_is_refused_by_name(tmp_path, content, message):
    path = tmp_path / "config.toml"
    path.write_text(content)
    with pytest.raises(ConfigError) as refused:
        read_config_file(path)
    assert str(refused.value).startswith(f"{path}: {message}")


def test_a_config_file_in_latin_1_is_refused_with_the_line(tmp_path):
    path = tmp_path / "config.toml"
    path.write_bytes('epochs = 1\nmodel = "modèle"\n'.encode("latin-1"))
    with pytest.raises(ReviewFileError, match=r"config.toml line 2: byte 0xe8 is not UTF-8"):
        read_config_file(path)


@pytest.mark.parametrize("name", ["nothing.toml", "."])
def test_no_config_file_is_refused(tmp_path, name):
    with pytest.raises(ConfigError, match=r"no such config file$"):
        read_config_file(tmp_path / name)


def test_the_toml_is_toml():
    assert tomllib.loads(Config(model='C:\\a "folder"\x7f').to_toml())["model"] == 'C:\\a "folder"\x7f'

"""The command line as scripts of instructors use it: names, exit codes, JSON, and refusals that leave nothing behind."""

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from labkit import cli
from labkit.training.config import SETTINGS, Config

QUICK = ["--device", "cpu", "--precision", "fp32", "--epochs", "1", "--validation-fraction", "0.3", "--batch-size", "8"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def labkit(capsys: pytest.CaptureFixture[str]) -> Any:
    """Run the program in this process: its exit code and what it printed."""

    def run(*arguments: object) -> Outcome:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), printed.out, printed.err)

    return run


@pytest.fixture(scope="session")
def reviews_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV with columns of its own names, large enough for every split to have both classes."""
    path = tmp_path_factory.mktemp("data") / "own.csv"
    rows = [f"{number},{('good' if number % 2 else 'bad')} film number {number},{number % 2}" for number in range(160)]
    path.write_text("key,body,verdict\n" + "\n".join(rows) + "\n", "utf-8")
    return path


@pytest.fixture(scope="session")
def data(reviews_file: Path) -> list[str]:
    return ["--data", str(reviews_file), "--text-column", "body", "--label-column", "verdict"]


@pytest.fixture(scope="session")
def finished(tiny_folder: Path, data: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder that `labkit train` has finished; read it, do not write to it."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    with pytest.raises(SystemExit) as ended:
        cli.main(["train", *data, "--model", str(tiny_folder), "--output", str(folder), *QUICK])
    assert not ended.value.code
    return folder


def test_train_leaves_a_model_its_card_and_the_settings(finished: Path) -> None:
    assert (finished / "model" / "model.safetensors").is_file()
    assert "Limits" in (finished / "model_card.md").read_text("utf-8")
    assert "epochs = 1" in (finished / "config.toml").read_text("utf-8")
    assert not (finished / "checkpoints").exists()


def test_a_finished_folder_is_refused_and_stays_as_it_is(
    finished: Path, tiny_folder: Path, data: list[str], labkit: Any
) -> None:
    before = (finished / "run.json").read_bytes()
    outcome = labkit("train", *data, "--model", tiny_folder, "--output", finished, *QUICK)
    assert outcome.code == 2 and "finished" in outcome.err and "--overwrite" in outcome.err
    assert (finished / "run.json").read_bytes() == before


def test_other_settings_in_a_begun_folder_are_named(
    finished: Path, tiny_folder: Path, data: list[str], labkit: Any
) -> None:
    outcome = labkit("train", *data, "--model", tiny_folder, "--output", finished, *QUICK, "--weight-decay", "0.5")
    assert outcome.code == 2 and "weight_decay: 0.01 there, 0.5 now" in outcome.err


def test_overwrite_begins_again(
    finished: Path, tiny_folder: Path, data: list[str], labkit: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    outcome = labkit(
        "train", *data, "--model", tiny_folder, "--output", folder, *QUICK, "--seed", "3", "--overwrite", "--json"
    )
    assert outcome.code == 0, outcome.err
    assert outcome.json["model"] == str(folder / "model") and 0 <= outcome.json["metrics"]["accuracy"]["value"] <= 1
    assert json.loads((folder / "run.json").read_text("utf-8"))["settings"]["seed"] == 3


def test_the_config_file_of_a_run_gives_its_settings_again(finished: Path, tiny_folder: Path) -> None:
    config = cli._config(None, finished / "config.toml", (), cli.Settings())
    assert dataclasses.asdict(config) == json.loads((finished / "run.json").read_text("utf-8"))["settings"]


def test_options_lie_above_set_above_the_file_above_the_profile(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("epochs = 5\nbatch_size = 5\nseed = 5\n")
    config = cli._config("tiny", file, ("batch_size=6", "seed=6"), cli.Settings(seed=7))
    assert (config.model, config.epochs, config.batch_size, config.seed) == ("tiny", 5, 6, 7)


def test_every_setting_of_the_dataclass_is_an_option_of_train_and_lab(labkit: Any) -> None:
    for command in ("train", "lab"):
        shown = labkit(command, "--help").out
        assert all(f"--{name.replace('_', '-')}" in shown for name in SETTINGS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--epochz", "3"], ["--epochz", "--epochs"]),
        (["--epochs", "three"], ["epochs", "three", "int"]),
        (["--epochs", "0"], ["epochs = 0", "at least 1"]),
        (["--learning-rate", "nan"], ["learning_rate", "nan"]),
        (["--batching", "bucket"], ["bucket", "did you mean buckets?"]),
        (["--set", "warmup_ration=0.2"], ["warmup_ration", "did you mean warmup_ratio?"]),
        (["--set", "epochs"], ["key=value"]),
        (["--set", "epochs='3'"], ["epochs", "str", "int"]),
        (["--profile", "labtop"], ["labtop", "did you mean laptop?"]),
        (["--model", "minilmm"], ["minilmm", "did you mean minilm?"]),
        (["--config", "absent.toml"], ["absent.toml", "no such"]),
        (["--data", "absent.csv"], ["absent.csv", "no such file"]),
        (["--device", "cuda:99"], ["cuda:99"]),
        (["--precision", "fp16", "--device", "cpu"], ["fp16", "CPU"]),
        (["--text-column", "bodi"], ["bodi", "did you mean body?"]),
        (["--max-length", "1000"], ["1000", "128 positions"]),
    ],
)
def test_wrong_use_exits_2_names_the_fault_and_writes_nothing(
    arguments: list[str], words: list[str], tiny_folder: Path, data: list[str], labkit: Any, tmp_path: Path
) -> None:
    given = [] if "--model" in arguments else ["--model", str(tiny_folder)]
    given += data[:2] if "--text-column" in arguments else data if "--data" not in arguments else []
    folder = tmp_path / "run"
    outcome = labkit("train", *given, "--output", folder, *arguments)
    printed = " ".join(outcome.err.replace("│", " ").split())  # the parser's own errors stand in a box
    assert outcome.code == 2, outcome
    assert all(word in printed for word in words), printed
    assert not folder.exists()


def test_offline_with_nothing_cached_train_exits_2_and_names_the_two_ways_out(labkit: Any, tmp_path: Path) -> None:
    outcome = labkit("train", "--output", tmp_path / "run")
    assert outcome.code == 2
    assert "`labkit fetch`" in outcome.err and "--from FOLDER" in outcome.err
    assert not (tmp_path / "run").exists()


def test_evaluate_gives_every_metric_its_interval(finished: Path, data: list[str], labkit: Any) -> None:
    outcome = labkit("evaluate", "--model", finished / "model", *data, "--json")
    assert outcome.code == 0 and outcome.json["n"] == 160
    for score in outcome.json["metrics"].values():
        assert score["low"] <= score["value"] <= score["high"] or score["note"]


def test_evaluate_says_how_it_is_calibrated_and_on_wish_how_it_behaves(
    finished: Path, data: list[str], labkit: Any
) -> None:
    outcome = labkit("evaluate", "--model", finished / "model", *data, "--behaviour", "--json").json
    assert {"accuracy", "ece", "brier", "nll", "mcc", "average_precision"} <= outcome["metrics"].keys()
    assert sum(row["count"] for row in outcome["reliability"]) == 160
    capabilities = {row["capability"] for row in outcome["behaviour"]}
    assert {"negation", "intensifiers", "names", "typos"} <= capabilities
    assert all(row["failure_rate"]["low"] <= row["failures"] / row["n"] for row in outcome["behaviour"])
    plain = labkit("evaluate", "--model", finished / "model", *data, "--behaviour").out
    assert "mean confidence" in plain and "failure rate" in plain and "nll" in plain
    assert "behaviour" not in labkit("evaluate", "--model", finished / "model", *data, "--json").json


def test_compare_sets_two_finished_runs_side_by_side(finished: Path, labkit: Any, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(finished, other)
    outcome = labkit("compare", finished, other, "--json")
    assert outcome.code == 0 and outcome.json["metrics"]["accuracy"]["difference"]["value"] == 0
    assert "two trained models" in labkit("compare", finished, other).out
    refused = labkit("compare", finished, tmp_path)
    assert refused.code == 2 and "holds no finished run" in refused.err


def test_predict_answers_each_text_and_each_line_alike(finished: Path, labkit: Any, tmp_path: Path) -> None:
    texts = ["good film", "bad\x00 film", "שלום 🎬"]
    file = tmp_path / "texts.txt"
    file.write_text("good film\n\nbad film\r\nשלום 🎬\n", "utf-8")
    by_text = labkit("predict", "--model", finished / "model", *texts, "--json").json
    by_line = labkit("predict", "--model", finished / "model", "--file", file, "--json")
    assert by_text == by_line.json and "blank lines left out: 1" in by_line.err
    assert all(row["label"] == max(row["probabilities"], key=row["probabilities"].get) for row in by_text)


def test_predict_reads_standard_input(finished: Path, labkit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"good film\nbad film\n")))
    assert len(labkit("predict", "--model", finished / "model", "--file", "-", "--json").json) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["nothing to predict"]),
        (["good", "--file", "x.txt"], ["both"]),
        (["--file", "absent.txt"], ["absent.txt", "no such file"]),
        (["good", " "], ["text 2 of 2 is empty"]),
        (["good", "\u200b\u200d"], ["text 2 of 2 is empty"]),
    ],
)
def test_predict_refuses_what_holds_no_text(
    arguments: list[str], words: list[str], finished: Path, labkit: Any
) -> None:
    outcome = labkit("predict", "--model", finished / "model", *arguments)
    assert outcome.code == 2 and all(word in outcome.err for word in words)


@pytest.mark.parametrize("command", ["predict", "explain"])
@pytest.mark.parametrize("by", ["file", "standard input"])
def test_a_text_ends_with_its_line_and_nowhere_else(
    command: str, by: str, finished: Path, labkit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = ["a good film,\u2028but the end", "one\u2029two", "a\x85b\x0bc\x0cd", "e\x1cf\x1dg\x1eh", "bad film"]
    content = "\r\n".join([*texts[:2], "", "\u200b\ufeff", texts[2]]) + "\r" + "\n\x07\n".join(texts[3:])
    (tmp_path / "texts.txt").write_text(content, "utf-8", newline="")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content.encode())))
    source = tmp_path / "texts.txt" if by == "file" else "-"
    outcome = labkit(command, "--model", finished / "model", "--file", source, "--json")
    by_text = labkit(command, "--model", finished / "model", *texts, "--json")
    assert outcome.json == by_text.json and "blank lines left out: 3" in outcome.err


@pytest.mark.parametrize("command", ["predict", "explain"])
def test_a_table_is_never_taken_for_a_text_on_each_line(
    command: str, finished: Path, labkit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table({"text": ["a"]}), parquet)
    table = parquet.getvalue().to_pybytes()
    tables = {
        "rows.csv": b"body,verdict\nfine,1\n",
        "rows.TSV": b"a film\n",
        "rows.jsonl": b'{"text": "fine"}\n',
        "rows.json": b'[{"text": "fine"}]\n',
        "rows.parquet": table,
        "x.txt": table,
        "x.gz": b"\x1f\x8b\x08\x00",
        "x.xlsx": b"PK\x03\x04\x14\x00",
        "x": b'\xef\xbb\xbf"Text";"Label"\r\n"fine";1\r\n',
        "y.txt": b'{"review": "fine"}\n',
    }
    for name, content in tables.items():
        (tmp_path / name).write_bytes(content)
        said = [labkit(command, "--model", finished / "model", "--file", tmp_path / name)]
        if name.startswith(("x", "y")):
            monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
            said.append(labkit(command, "--model", finished / "model", "--file", "-"))
        for outcome, source in zip(said, [str(tmp_path / name), "standard input"], strict=False):
            assert (outcome.code, outcome.out) == (2, ""), name
            assert outcome.err.startswith(f"labkit: {source} is ") and outcome.err.count("\n") == 1
            assert "wanted plain text with one text on each line" in outcome.err


def test_a_file_of_texts_is_refused_by_its_name(finished: Path, labkit: Any, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_bytes(b"good\rfilm\r\nbad\ncaf\xe9\n")
    for name, said in [
        ("text.txt", "no such file; did you mean texts.txt?"),
        ("", "is a folder; wanted a file with a text on each line"),
        ("texts.txt", "texts.txt line 4: byte 0xe9 is not UTF-8"),
    ]:
        outcome = labkit("predict", "--model", finished / "model", "--file", tmp_path / name)
        assert outcome.code == 2 and said in outcome.err and outcome.err.count("\n") == 1


def test_explain_answers_for_each_text_and_method(finished: Path, labkit: Any, tmp_path: Path) -> None:
    texts = ["a good film", "<script>bad</script> שלום 🎬"]
    methods = ["integrated-gradients", "occlusion", "attention", "rollout", "gradient-x-input", "random"]
    asked = [option for method in methods for option in ("--method", method)]
    rows = labkit("explain", "--model", finished / "model", *texts, *asked, "--json").json
    assert [(row["text"], row["method"]) for row in rows] == [(text, method) for text in texts for method in methods]
    predictions = labkit("predict", "--model", finished / "model", *texts, "--json").json
    assert [row["prediction"] for row in rows[::6]] == [row["label"] for row in predictions]
    page = labkit("explain", "--model", finished / "model", *texts, *asked, "--html").out
    assert page.startswith("<!doctype html>") and "<script" not in page
    plain = labkit("explain", "--model", finished / "model", *texts).out.splitlines()
    assert len(plain) == 6 and plain[0] == texts[0] and "integrated-gradients" in plain[2]
    file = tmp_path / "texts.txt"
    file.write_text("\n".join(texts), "utf-8")
    assert labkit("explain", "--model", finished / "model", "--file", file, *asked, "--json").json == rows


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["nothing to explain"]),
        (["good", "--method", "occlussion"], ["occlussion", "did you mean occlusion?"]),
        (["good", "--html", "--json"], ["--html", "--json", "one of them"]),
        (["good", " "], ["text 2 of 2 is empty"]),
        (["good", "\u200b\u200d"], ["text 2 of 2 is empty"]),
        (["good", "--method", "attention", "--layer", "9"], ["layer 9 is not there"]),
    ],
)
def test_explain_refuses_with_the_reason(arguments: list[str], words: list[str], finished: Path, labkit: Any) -> None:
    outcome = labkit("explain", "--model", finished / "model", *arguments)
    assert outcome.code == 2 and all(word in outcome.err for word in words) and outcome.out == ""


@pytest.mark.parametrize("missing", ["tokenizer", "config.json", "model.safetensors"])
def test_a_model_folder_that_lacks_a_part_is_refused_by_name(
    missing: str, finished: Path, labkit: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(finished / "model", folder)
    for file in folder.glob(f"{missing}*"):
        file.unlink()
    outcome = labkit("predict", "--model", folder, "good film")
    assert outcome.code == 2 and missing in outcome.err


def test_a_run_folder_given_as_a_model_is_told_from_its_model(finished: Path, labkit: Any) -> None:
    outcome = labkit("predict", "--model", finished, "good film")
    assert outcome.code == 2 and f"did you mean {finished / 'model'}?" in outcome.err


def test_a_damaged_weights_file_is_one_message(finished: Path, labkit: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(finished / "model", folder)
    (folder / "model.safetensors").write_bytes(b"\x00" * 100)
    outcome = labkit("predict", "--model", folder, "good film")
    assert outcome.code == 2 and "cannot be loaded" in outcome.err and "Traceback" not in outcome.err


def test_a_full_disk_is_one_message_and_exit_code_1(
    labkit: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("labkit.data.assets.fetch", full)
    outcome = labkit("fetch", "reviews")
    assert outcome.code == 1 and "No space left" in outcome.err


def test_fetch_names_the_nearest_asset(labkit: Any) -> None:
    outcome = labkit("fetch", "review")
    assert outcome.code == 2 and "did you mean reviews?" in outcome.err


def test_doctor_gives_each_finding_a_verdict_and_each_fault_a_remedy(labkit: Any) -> None:
    outcome = labkit("doctor", "--json")
    findings = {finding["subject"]: finding for finding in outcome.json}
    assert {"Python", "packages", "device", "precision", "memory", "disk", "network", "reviews", "minilm"} <= set(
        findings
    )
    assert findings["reviews"]["verdict"] == "bad" and "labkit fetch reviews" in findings["reviews"]["remedy"]
    assert all(finding["remedy"] for finding in findings.values() if finding["verdict"] != "good")
    assert outcome.code == 1  # this test's cache is empty


def in_a_process_of_its_own(code: str, *before: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*before, sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | environment, timeout=120
    )


def test_importing_labkit_imports_no_package_of_others() -> None:
    code = "import sys, labkit; print(*{name.partition('.')[0] for name in sys.modules} & {'torch', 'numpy', 'transformers'})"
    assert in_a_process_of_its_own(code).stdout.strip() == ""


def test_help_comes_without_numpy_and_torch() -> None:
    code = "import sys, labkit.cli; print(*{'numpy', 'torch', 'transformers'} & set(sys.modules))"
    assert in_a_process_of_its_own(code).stdout.strip() == ""


def test_python_dash_m_labkit_is_the_same_program() -> None:
    shown = subprocess.run([sys.executable, "-m", "labkit", "--version"], capture_output=True, text=True, timeout=120)
    assert shown.returncode == 0 and shown.stdout.strip()


@pytest.mark.skipif(shutil.which("unshare") is None, reason="the system has no unshare(1)")
def test_after_set_up_a_run_needs_no_network(users_cache: Path, tmp_path: Path) -> None:
    apart = ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*apart, "true"], capture_output=True).returncode:
        pytest.skip("this system allows no network namespace of one's own")
    train = [sys.executable, "-m", "labkit", "train", "--profile", "tiny", "--output", str(tmp_path / "run")]
    small = ["--epochs", "1", "--train-examples", "64", "--validation-examples", "64", "--device", "cpu"]
    environment = os.environ | {"LABKIT_OFFLINE": "0"}
    ended = subprocess.run([*apart, *train, *small], capture_output=True, text=True, env=environment, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "run" / "model" / "model.safetensors").is_file()


def test_the_default_settings_are_those_of_the_original_lab() -> None:
    config = Config()
    assert (config.epochs, config.batch_size, config.max_length, config.patience) == (3, 32, 128, 2)
    assert (config.warmup_ratio, config.max_grad_norm, config.learning_rate) == (0.1, 1.0, None)

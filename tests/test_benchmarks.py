"""Laws of the benchmarks: what is resumed, which rounds count, what a ratio and its interval are, when a comparison is void."""
# ruff: noqa: E402 (the scripts' folder must be on the path before they are imported)

import argparse
import ast
import json
import math
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
sys.path.append(str(BENCHMARKS))  # where the scripts that `make benchmark` runs find each other

import accuracy
import gpu
import growth
import memory
import startup
import startup_watch
from side_by_side.examples import Examples
from side_by_side.journal import Journal, digest, digest_of_files
from side_by_side.ratios import beyond_noise, estimate, ratios, why_void
from side_by_side.rounds import DISTURBED, Result, Round, examples_for, measure_rounds, order_of, rounds_of
from side_by_side.rows import DYNAMIC, EVALUATE, GROUPED, LABKIT, LIMIT, PIPELINE, ROWS, Row, Setting
from side_by_side.running import measuring_files
from side_by_side.table import _joules, as_markdown
from side_by_side.verdicts import REQUIREMENTS
from side_by_side.watch import Watch, processor_joules, share_of_others

SETTING = Setting(examples=64, few=16)
THREE = tuple(row for row in ROWS if row.name in (LABKIT, DYNAMIC, GROUPED))
SPEEDS = {LABKIT: 200.0, DYNAMIC: 80.0, GROUPED: 100.0}


def quiet(text: str) -> None:
    pass


def result_of(row: Row, seed: int, count: int, **changes: Any) -> Result:
    """What a process could have measured on a quiet machine."""
    speed = SPEEDS.get(row.name, 50.0) * (1 + 0.01 * seed)
    if row.does == LIMIT:
        return {
            "others": 0.01,
            "gflops": {"384": {"fp32": 350.0, "bf16": 3000.0}, "768": {"fp32": 350.0, "bf16": 3000.0}},
        }
    return {
        "others": 0.01,
        "examples": count,
        "precision": "fp32" if row.precision == "fp32" else "bf16",
        "reviews_per_second": speed,
        "tokens_per_review": 27.0,
        "useful_gflops": 1.7 * speed,
        "peak_memory_mib": 1000.0,
        "joules": None,
        "losses": [0.7, 0.6, 0.5, 0.4],
        "held_out_loss": 0.45,
        "held_out_accuracy": 0.85,
        "probabilities": [0.25, 0.75],
    } | changes


def journal_in(folder: Path, rows: Sequence[Row] = ROWS) -> Journal:
    header = {"setting": vars(SETTING), "rows": [vars(row) for row in rows], "half": "bf16", "machine": MACHINE}
    return Journal.begun(folder, "speed", header, tell=quiet)


MACHINE = {
    "processor": "a processor",
    "cores": 2,
    "threads": 2,
    "memory_gib": 8.0,
    "device": "cpu",
    "platform": "a system",
    "python": "3.11",
    "packages": {"torch": "2.13.0"},
}


def report_of(journal: Journal, names: Sequence[str], **changes: Any) -> dict[str, Any]:
    made = {"date": "2026-01-01", "wanted": 3, "allow_disturbed": False, "names": list(names)}
    return made | {"header": json.loads(json.dumps(journal.header)), "entries": journal.entries} | changes


# --- resuming -----------------------------------------------------------------------------------------------------


def test_an_interrupted_benchmark_goes_on_with_the_row_that_is_missing(tmp_path: Path) -> None:
    measured: list[tuple[int, str]] = []

    def interrupted(row: Row, seed: int, examples: int) -> Result:
        if len(measured) == 4:
            raise KeyboardInterrupt
        measured.append((seed, row.name))
        return result_of(row, seed, examples)

    with pytest.raises(KeyboardInterrupt):
        measure_rounds(THREE, SETTING, 2, journal_in(tmp_path), interrupted, tell=quiet)

    def going_on(row: Row, seed: int, examples: int) -> Result:
        measured.append((seed, row.name))
        return result_of(row, seed, examples)

    rounds = measure_rounds(THREE, SETTING, 2, journal_in(tmp_path), going_on, tell=quiet)
    assert len(rounds.counted) == 2
    assert measured == [(number, row.name) for number in (0, 1) for row in order_of(THREE, number)]


def test_a_line_that_a_kill_cut_short_is_left_out_with_a_notice_and_the_next_stands_on_its_own(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.append({"round": 0, "row": LABKIT})
    with journal.path.open("ab") as file:
        file.write(b'{"round": 0, "row": "trai')
    said: list[str] = []
    again = Journal.begun(tmp_path, "speed", journal.header, tell=said.append)
    assert again.entries == [{"round": 0, "row": LABKIT}]
    assert any("line 3" in notice for notice in said)
    again.append({"round": 0, "row": DYNAMIC})
    assert [entry["row"] for entry in Journal(journal.path, quiet).entries] == [LABKIT, DYNAMIC]


def test_a_journal_whose_header_a_kill_cut_short_begins_anew(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.path.write_bytes(journal.path.read_bytes()[:20])
    again = journal_in(tmp_path)
    again.append({"round": 0, "row": LABKIT})
    assert (again.header, len(Journal(again.path, quiet).entries)) == (journal.header, 1)


def test_other_settings_other_code_or_fresh_begin_another_journal(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.append({"round": 0, "row": LABKIT})
    assert Journal.begun(tmp_path, "speed", journal.header | {"half": None}, tell=quiet).entries == []
    assert Journal.begun(tmp_path, "speed", journal.header, fresh=True, tell=quiet).entries == []
    code = tmp_path / "code.py"
    code.write_text("one")
    before = digest_of_files([code])
    code.write_text("two")
    assert digest_of_files([code]) != before
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})


def test_each_of_two_files_of_one_name_counts_in_the_digest(tmp_path: Path) -> None:
    files = [tmp_path / room / "__init__.py" for room in ("one", "other")]
    for file in files:
        file.parent.mkdir()
        file.write_text("before")
    before = digest_of_files(files)
    for file in files:
        file.write_text("after")
        assert digest_of_files(files) != before
        file.write_text("before")


def test_the_digest_covers_all_of_labkit_and_whatever_takes_part_in_measuring() -> None:
    covered = measuring_files(BENCHMARKS / "memory.py")
    assert all(file.is_file() for file in covered)
    assert set((BENCHMARKS.parent / "labkit").rglob("*.py")) < set(covered)
    waiting, seen = ["measure"], set[str]()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        tree = ast.parse((BENCHMARKS / "side_by_side" / f"{name}.py").read_text("utf-8"))
        imports = [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        ours = {module.removeprefix("side_by_side.") for module in imports if module.startswith("side_by_side.")}
        waiting += ours - seen
    assert {BENCHMARKS / "side_by_side" / f"{name}.py" for name in seen} <= set(covered)


# --- which rounds count -------------------------------------------------------------------------------------------


def test_a_disturbed_round_is_broken_off_left_out_counted_and_replaced(tmp_path: Path) -> None:
    def measure(row: Row, seed: int, examples: int) -> Result:
        busy = seed == 1 and row is order_of(THREE, 1)[0]
        return result_of(row, seed, examples, others=2 * DISTURBED if busy else DISTURBED / 2)

    rounds = measure_rounds(THREE, SETTING, 3, journal_in(tmp_path), measure, tell=quiet)
    assert [each.number for each in rounds.counted] == [0, 2, 3]
    assert [(each.number, len(each.results)) for each in rounds.disturbed] == [(1, 1)]


def test_a_machine_that_is_never_quiet_ends_after_twice_the_rounds_and_a_trial_counts_them(tmp_path: Path) -> None:
    def measure(row: Row, seed: int, examples: int) -> Result:
        return result_of(row, seed, examples, others=0.5)

    never = measure_rounds(THREE, SETTING, 2, journal_in(tmp_path / "one"), measure, tell=quiet)
    assert (len(never.counted), len(never.disturbed)) == (0, 4)
    trial = measure_rounds(THREE, SETTING, 2, journal_in(tmp_path / "two"), measure, allow_disturbed=True, tell=quiet)
    assert (len(trial.counted), len(trial.disturbed)) == (2, 2)


def test_the_order_of_the_rows_changes_from_round_to_round_and_is_the_same_when_asked_again() -> None:
    orders = [tuple(row.name for row in order_of(ROWS, number)) for number in range(5)]
    assert len(set(orders)) == 5
    assert orders == [tuple(row.name for row in order_of(ROWS, number)) for number in range(5)]
    assert all(sorted(order) == sorted(row.name for row in ROWS) for order in orders)


def test_a_slow_row_uses_the_few_reviews_from_its_second_round_on_unless_others_slowed_it() -> None:
    row = next(row for row in ROWS if row.name == LABKIT)
    for others, wanted in ((0.01, SETTING.few), (0.5, SETTING.examples)):
        entry = {"round": 0, "row": LABKIT, **result_of(row, 0, 64, reviews_per_second=20.0, others=others)}
        rounds = rounds_of([entry], [LABKIT])
        assert examples_for(row, SETTING, rounds, 0) == SETTING.examples
        assert examples_for(row, SETTING, rounds, 1) == wanted
    assert all(examples_for(row, SETTING, rounds_of([], []), 0) == SETTING.few for row in ROWS if row.few)


# --- what others used, and joules ---------------------------------------------------------------------------------


def test_the_share_of_others_is_what_is_busy_beside_the_process_itself() -> None:
    assert share_of_others(busy=20.0, own=20.0, wall=10.0, cores=2) == 0
    assert share_of_others(busy=12.0, own=10.0, wall=10.0, cores=2) == pytest.approx(0.1)
    assert share_of_others(busy=9.9, own=10.0, wall=10.0, cores=2) == 0  # the kernel counts in ticks


def test_the_clock_runs_between_start_and_stop() -> None:
    watch = Watch(cuda=False)
    watch.start()
    sum(range(100_000))
    watch.stop()
    seen = watch.seen
    assert seen["seconds"] is not None and 0 < seen["seconds"] < 60
    assert seen["others"] is not None and seen["others"] >= 0
    assert watch.seen == seen


def test_so_is_the_page_of_a_start() -> None:
    report = json.loads((BENCHMARKS / "startup.json").read_text("utf-8"))
    assert startup.as_page(report) == (BENCHMARKS / "STARTUP.md").read_text("utf-8")


def test_every_name_of_labkit_that_stands_in_a_string_is_there() -> None:
    for module, functions in startup_watch.STAGES.items():
        assert all(callable(getattr(import_module(module), function)) for function in functions)
    imports = [node for node in ast.parse(startup.TOKENIZE).body if isinstance(node, ast.ImportFrom)]
    assert len(imports) > 2
    for node in imports:
        assert all(hasattr(import_module(str(node.module)), alias.name) for alias in node.names)


def test_joules_are_the_sum_of_the_packages_and_none_where_the_machine_does_not_tell(tmp_path: Path) -> None:
    assert processor_joules(tmp_path) is None
    for name, energy in (("intel-rapl:0", "3000000"), ("intel-rapl:1", "4000000"), ("intel-rapl:0:0", "9000000")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "energy_uj").write_text(energy + "\n")
    assert processor_joules(tmp_path) == 7.0
    (tmp_path / "intel-rapl:1" / "energy_uj").write_text("")
    assert processor_joules(tmp_path) is None


# --- ratios and the void rule -------------------------------------------------------------------------------------


def test_ratios_are_paired_by_round_so_a_slow_round_moves_none() -> None:
    rows = {row.name: row for row in THREE}
    rounds = [
        Round(n, {name: result_of(rows[name], 0, 64, reviews_per_second=SPEEDS[name] / (1 + n)) for name in rows})
        for n in range(3)
    ]
    assert ratios(rounds, LABKIT, GROUPED) == pytest.approx([2.0, 2.0, 2.0])
    assert ratios([*rounds, Round(3)], LABKIT, GROUPED) == pytest.approx([2.0, 2.0, 2.0])


def test_the_interval_is_that_of_the_mean_logarithm_by_scipy() -> None:
    values = [1.9, 2.0, 2.3, 2.1, 1.8]
    found = estimate(values)
    logs = np.log(values)
    low, high = stats.t.interval(0.9, len(values) - 1, loc=logs.mean(), scale=stats.sem(logs))
    assert found is not None
    assert (found.value, found.n) == (2.0, 5)
    assert (found.low, found.high) == (pytest.approx(math.exp(low)), pytest.approx(math.exp(high)))
    assert estimate([]) is None
    assert f"{estimate([2.0])}" == "2.00"


@pytest.mark.parametrize(
    ("differences", "void"),
    [
        ([0.04, 0.05, 0.04, 0.05, 0.04], True),
        ([0.02, 0.02, 0.02, 0.02, 0.02], False),  # surely apart, and by too little to matter
        ([0.2, -0.1, 0.1, -0.05, 0.1], False),  # far apart in the mean, and it may be chance
        ([-0.04, -0.05, -0.04, -0.05, -0.04], True),
        ([0.01, math.nan], True),
        ([0.5], False),
        ([], False),
    ],
)
def test_losses_apart_by_more_than_noise_and_margin_void_the_comparison(differences: list[float], void: bool) -> None:
    assert beyond_noise(differences) is void


def rounds_with(**changes: Any) -> list[Round]:
    """Three rounds of all rows, in which labkit's default found these instead."""
    return [
        Round(
            n, {row.name: result_of(row, n, 64, **(changes if row.name in (LABKIT, EVALUATE) else {})) for row in ROWS}
        )
        for n in range(3)
    ]


def test_only_a_row_that_learned_otherwise_or_answers_otherwise_is_named() -> None:
    assert why_void(ROWS, rounds_with()) == []
    (why,) = why_void(ROWS, rounds_with(held_out_loss=0.6))
    assert why == f"{LABKIT}: its held-out loss is +0.150 from that of {DYNAMIC}"
    (why,) = why_void(ROWS, rounds_with(losses=[0.7, 0.6, 0.5, 0.1]))
    assert why.startswith(f"{LABKIT}: its training loss is -0.300")
    assert all(why.startswith(f"{EVALUATE}: ") for why in why_void(ROWS, rounds_with(probabilities=[0.3, 0.75])))


def test_losses_on_other_reviews_or_in_another_precision_are_not_compared() -> None:
    assert (
        why_void(ROWS, rounds_with(held_out_loss=9.0, examples=16, precision="fp16", probabilities=[0.25, 0.75])) == []
    )


# --- the page -----------------------------------------------------------------------------------------------------


def page_of(tmp_path: Path, rows: Sequence[Row] = ROWS, **changes: Any) -> str:
    journal = journal_in(tmp_path)

    def measure(row: Row, seed: int, examples: int) -> Result:
        return result_of(row, seed, examples, **(changes if row.name == LABKIT else {}))

    measure_rounds(rows, SETTING, 3, journal, measure, tell=quiet)
    return as_markdown(report_of(journal, [row.name for row in rows]))


def test_the_page_says_first_whether_the_comparison_is_void(tmp_path: Path) -> None:
    good = page_of(tmp_path / "good").splitlines()
    void = page_of(tmp_path / "void", held_out_loss=0.6).splitlines()
    assert good[0].startswith("The losses of all rows agree")
    assert void[0].startswith(f"**Void**: {LABKIT}: its held-out loss")
    required = [line for line in void if any(line.startswith(f"| {each.what[:20]}") for each in REQUIREMENTS)]
    assert required and not any("| yes |" in line for line in required)


def test_the_page_has_every_requirement_with_what_was_measured_and_whether_it_is_met(tmp_path: Path) -> None:
    page = page_of(tmp_path)
    assert "to the Trainer's default (dynamic) | 2.3 x | 4 x | 2.50 [2.50, 2.50] x | yes | **no** |" in page
    memory = "| peak memory, to the Trainer's grouped by length | at most 1 x | at most 0.5 x | 1.00 [1.00, 1.00] x |"
    assert f"{memory} yes | **no** |" in page
    assert "| useful arithmetic, share of the limit, MiniLM, bf16 | 11% | 25% | 11.4% [11.3%, 11.6%] | yes |" in page
    assert "not measured: `make benchmark-accuracy`" in page
    assert "Rounds counted: 3; left out because something else used the machine: 0." in page


def test_a_row_that_was_not_measured_is_said_and_not_silently_absent(tmp_path: Path) -> None:
    page = page_of(tmp_path, THREE)
    assert page.count("| not measured |") >= len(REQUIREMENTS) - 4


def test_a_trial_and_missing_rounds_are_said(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    for row in THREE:
        journal.append({"round": 0, "row": row.name, **result_of(row, 0, 64, others=0.5)})
    names = [row.name for row in THREE]
    assert "**a trial in which they count**" in as_markdown(report_of(journal, names, allow_disturbed=True))
    page = as_markdown(report_of(journal, names))
    assert "something else used the machine: 1; **3 fewer than wanted**" in page


def test_the_page_in_the_repository_is_the_one_that_its_numbers_give() -> None:
    line = json.loads((BENCHMARKS / "accuracy.json").read_text("utf-8"))["line"]
    page = as_markdown(json.loads((BENCHMARKS / "results.json").read_text("utf-8")), line)
    assert page == (BENCHMARKS / "RESULTS.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("page", "numbers", "as_page"),
    [("SPEED.md", "speed.json", gpu.as_markdown), ("MEMORY.md", "memory.json", memory.as_markdown)],
)
def test_so_are_the_pages_of_the_gpu(page: str, numbers: str, as_page: Any) -> None:
    folder = BENCHMARKS / "gpu"
    assert as_page(json.loads((folder / numbers).read_text("utf-8"))) == (folder / page).read_text("utf-8")


def test_joules_are_those_of_one_epoch_however_many_there_were() -> None:
    results = [
        {"examples": 100, "reviews_per_second": 50.0 * epochs, "seconds": 2.0, "joules": 3.0 * epochs}
        for epochs in (1, 4)
    ]
    assert [_joules([each]) for each in results] == ["30", "30"]


# --- reviews, accuracy, growth ------------------------------------------------------------------------------------


def test_reviews_of_one_length_are_made_of_the_same_pieces_in_order() -> None:
    ids = [np.array([1, 10, 11, 2]), np.array([1, 12, 2])]
    made = Examples(["a", "b"], ids, np.array([0, 1]), pad_token_id=0).of_length(4)
    assert [row.tolist() for row in made.input_ids] == [[1, 10, 11, 2], [1, 12, 10, 2]]
    with pytest.raises(ValueError, match="3 reviews are wanted and there are 2"):
        made.first(3)


def test_the_accuracies_are_compared_by_scipys_paired_test() -> None:
    ours, theirs = [0.85, 0.86, 0.84, 0.87], [0.84, 0.86, 0.85, 0.85]
    found, oracle = accuracy.paired_test(ours, theirs), stats.ttest_rel(ours, theirs)
    low, high = oracle.confidence_interval(0.95)
    assert (found.p_value, found.low, found.high) == pytest.approx((oracle.pvalue, low, high))
    assert "within noise" in str(found)
    assert "beyond noise" in str(accuracy.paired_test([0.9, 0.91, 0.9], [0.8, 0.81, 0.81]))
    assert accuracy.paired_test([0.5, 0.5], [0.5, 0.5]).p_value == 1
    with pytest.raises(ValueError, match="1 seeds; wanted two"):
        accuracy.paired_test([0.9], [0.8])


def test_the_accuracy_page_pairs_the_seeds(tmp_path: Path) -> None:
    journal = journal_in(tmp_path, accuracy.ROWS)
    for seed in range(3):
        for row in accuracy.ROWS:
            found = result_of(row, seed, 64, held_out_accuracy=0.8 + 0.01 * seed + 0.002 * (row is accuracy.LABKIT))
            journal.append({"round": seed, "row": row.name, "test": 900, **found})
    journal.append({"round": 3, "row": accuracy.LABKIT.name, "test": 900, **result_of(accuracy.LABKIT, 3, 64)})
    page, line = accuracy.as_markdown(report_of(journal, [row.name for row in accuracy.ROWS]))
    assert line.startswith("**beyond noise**: +0.0020 [+0.0020, +0.0020] (95 %)") and "3 seeds" in line
    assert "| 2 | 0.8220 | 0.8200 | +0.0020 |" in page


def test_what_grows_has_three_points_on_each_axis_and_the_page_shows_them_all(tmp_path: Path) -> None:
    axes = growth.axes_of(SETTING)
    assert [len(axis.rows) for axis in axes] == [3] * 5
    rows = [row for axis in axes for _, row in axis.rows]
    assert len({row.name for row in rows}) == len(rows)
    journal = journal_in(tmp_path, rows)
    measure_rounds(rows, SETTING, 2, journal, result_of, tell=quiet)
    report = report_of(journal, [row.name for row in rows], wanted=2)
    page = growth.as_markdown(report)
    assert page.count("| 1.00 x |") == 15 and "not measured" not in page
    from labkit.figures import alt_text, to_svg

    assert "reviews/s by examples" in alt_text(growth.draw(report))
    assert to_svg(growth.draw(report)).startswith("<svg")


def test_what_training_keeps_is_counted_for_each_way_and_the_largest_micro_batch_is_the_last_that_fits() -> None:
    from labkit.models.encoders import load_encoder
    from labkit.training.memory import activation_bytes

    model, _ = load_encoder("tiny", pretrained=False)
    free = 2**30
    found = {way.row.name: memory.counts(way, model, 32, free) for way in memory.WAYS}
    parameters = sum(each.numel() for each in model.parameters())
    head = sum(each.numel() for name, each in model.named_parameters() if "pooler" in name or "classifier" in name)
    assert found["fast"]["state"] == 16 * parameters
    assert found["frozen-encoder"]["state"] == 4 * parameters + 12 * head
    assert found["plain"]["activations"] == activation_bytes(model, 32, memory.LENGTH)
    assert 4 * found["fast-8"]["activations"] == found["fast"]["activations"]
    assert found["fast-half"]["activations"] < found["fast"]["activations"]
    assert found["checkpointing"]["activations"] < found["plain"]["activations"]
    for way in memory.WAYS:
        count = found[way.row.name]
        rest = free - count["state"] - count["copies"]
        sizes = [memory.counted_activations(way, model, count["largest"] + more) for more in (0, 1)]
        if way.freeze == "nothing":
            assert sizes[0] <= rest < sizes[1] + model.config.num_hidden_layers


def test_adafactor_keeps_as_much_as_is_counted_for_it() -> None:
    import torch

    from labkit.models.encoders import load_encoder

    model, _ = load_encoder("tiny", pretrained=False)
    optimizer = torch.optim.Adafactor(model.parameters(), lr=1e-3)
    for each in model.parameters():
        each.grad = torch.ones_like(each)
    optimizer.step()
    moments = [tensor for state in optimizer.state.values() for name, tensor in state.items() if name != "step"]
    tensors = [*model.parameters(), *(each.grad for each in model.parameters() if each.grad is not None), *moments]
    (way,) = [way for way in memory.WAYS if way.factored]
    assert memory.counted_state(way, model) == sum(tensor.numel() * 4 for tensor in tensors)


@pytest.mark.parametrize("device", ["cpu", "the name of a GPU"])
def test_the_memory_page_compares_with_the_first_row_and_says_what_is_only_counted(device: str) -> None:
    entries = [
        {"row": name, "peak_mib": peak, "reviews_per_second": speed, "others": others}
        for name, peak, speed, others in (("plain", 1000.0, 2.0, 0.01), ("fast-half", 250.0, 5.0, 0.2))
    ]
    count = {"state": 100 * 2**20, "copies": 0, "activations": 2**33, "largest": 7}
    page = memory.as_markdown({
        "date": "2026-01-01",
        "header": {"setting": vars(SETTING), "half": "bf16", "machine": MACHINE | {"device": device}},
        "entries": entries,
        "counted": {way.row.name: count for way in memory.WAYS},
    })  # fmt: skip
    assert "| fast path, bf16 | 250 | 0.25 x | 100 | 150 | 5.00 | 2.50 x |" in page
    assert page.count("| not measured | not measured |") >= len(memory.WAYS) - 2
    assert "fast path, bf16 (20% of the machine)" in page
    assert ("not measured: there was no GPU at hand" in page) is (device == "cpu")
    assert ("| **no** | 7 | 250 |" in page) is (device != "cpu")


@pytest.mark.slow
def test_a_trial_measures_each_row_in_a_process_of_its_own_and_writes_the_page(
    users_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import speed
    from side_by_side import running

    pytest.importorskip("accelerate")
    rows = [LABKIT, DYNAMIC, "accelerate-grouped-half", PIPELINE, EVALUATE, LIMIT]
    options = [
        "--model=tiny",
        "--examples=64",
        "--few=32",
        "--held-out=32",
        "--rounds=1",
        "--allow-disturbed",
        "--rows",
    ]
    monkeypatch.setattr(running, "WORK", tmp_path / "work")
    monkeypatch.setattr(sys, "argv", ["speed.py", *options, *rows, "--output", str(tmp_path)])
    speed.main()
    found = json.loads((tmp_path / "results.json").read_text("utf-8"))
    measured = {entry["row"]: entry for entry in found["entries"]}
    half = {row.name for row in ROWS if row.precision == "half"}
    assert measured.keys() == {name for name in rows if found["header"]["half"] or name not in half}
    assert len(measured[LABKIT]["losses"]) == 2 and measured[LABKIT]["peak_memory_mib"] > 100
    assert (tmp_path / "RESULTS.md").read_text("utf-8") == as_markdown(found)
    before = (tmp_path / "results.json").read_bytes()
    speed.main()  # everything is there already
    assert json.loads((tmp_path / "results.json").read_bytes())["entries"] == json.loads(before)["entries"]


def test_every_script_knows_the_shared_options() -> None:
    from side_by_side.running import add_options

    parser = argparse.ArgumentParser()
    add_options(parser, rounds=5)
    read = parser.parse_args(["--fresh", "--allow-disturbed"])
    assert (read.rounds, read.fresh, read.table, read.allow_disturbed) == (5, True, False, True)


def test_every_peer_of_a_requirement_is_a_row() -> None:
    names = {row.name for row in ROWS}
    assert len(names) == len(ROWS)
    assert all({each.row, each.peer} <= names | {""} for each in REQUIREMENTS)
    assert PIPELINE in names

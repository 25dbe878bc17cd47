"""The frame of the checks: whatever an answer does, there is a result; plain data crosses the border as it is."""

import contextlib
import copy
import functools
import inspect
import io
import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from checking import seconds
from hypothesis import given
from hypothesis import strategies as st

import labkit
from labkit import checks
from labkit.checks import check, check_only, child, exercise, progress, wire
from labkit.checks.child import observe_all
from labkit.checks.exercise import Case, left_by_nothing
from labkit.checks.observing import call, tell
from labkit.checks.wire import Array, Other, close, dumps, loads, plain, spelled
from labkit.errors import UsageError
from labkit.student_work import Work

WHERE = ["child", "thread"]


@pytest.fixture(params=WHERE)
def anywhere(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """In a forked child, and in the thread that takes its place where there is no fork."""
    if request.param == "child" and not child.CAN_FORK:
        pytest.skip("this system has no safe fork")
    monkeypatch.setattr(child, "CAN_FORK", request.param == "child")
    return str(request.param)


def right(lengths: list[int], coverage: float) -> int:
    return next(n for n in sorted(lengths) if sum(one <= n for one in lengths) >= coverage * len(lengths) - 1e-9)


def test_a_right_answer_passes(anywhere: str) -> None:
    result = check("1.3", right)
    assert (result.passed, result.points, result.hint, result.example) == (True, 10.0, "", None)


def test_an_answer_that_loops_is_given_up_at_the_limit(anywhere: str) -> None:
    stop = time.monotonic() + 3  # so that the thread of this test comes to an end

    def loops(lengths: list[int], coverage: float) -> int:
        while time.monotonic() < stop:
            with contextlib.suppress(BaseException):
                time.sleep(0.01)
        return 0

    started = time.monotonic()
    result = check("1.3", loops, timeout=0.5)
    assert time.monotonic() - started < 2.5
    assert (result.status, result.points) == ("failed", 0.0)
    assert "too long" in result.hint
    assert ("restart the kernel" in result.hint) == (anywhere == "thread")


def test_a_library_is_named_if_the_innermost_files_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child.sysconfig, "get_path", lambda place: "/python" if place == "stdlib" else "/site")
    for files, named in {
        ("/python/json/decoder.py", "/site/slow/core.py", "/mine.py"): ("slow", False),
        ("/site/slow/core.py", "<frozen importlib._bootstrap>", "/mine.py"): ("slow", True),
        ("/site/slow.py", "/mine.py"): ("slow", False),
        ("/mine.py", "/site/slow/core.py"): ("", False),
        ("/python/json/decoder.py", "/mine.py"): ("", False),
        ("/site/labkit/checks/child.py",): ("", False),
        (): ("", False),
    }.items():
        assert child._library(files) == named, files


@pytest.mark.slow  # it waits for a clock, so other work on the machine can upset it
def test_a_library_that_is_too_slow_for_the_time_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anywhere: str
) -> None:
    for name, text in {"slow_to_load": "wait()", "slow_to_use": "def use(): wait()"}.items():
        wait = (
            "import os, time\nstop = float(os.environ['STOP'])\ndef wait():\n    while time.monotonic() < stop: pass\n"
        )
        (tmp_path / f"{name}.py").write_text(wait + text + "\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(child.sysconfig, "get_path", lambda place: str(tmp_path))

    def loads_it(lengths: list[int], coverage: float) -> Any:
        import slow_to_load  # type: ignore[import-not-found]

        return slow_to_load

    def uses_it(lengths: list[int], coverage: float) -> Any:
        import slow_to_use  # type: ignore[import-not-found]

        return slow_to_use.use()

    check("1.3", right)  # all that a first check loads is there before the clock runs
    monkeypatch.setenv("STOP", str(time.monotonic() + 3))  # also for a thread that is given up and goes on
    assert "too long and was stopped inside slow_to_use." in check("1.3", uses_it, timeout=0.5).hint
    monkeypatch.setenv("STOP", str(time.monotonic() + 3))
    assert "stopped while slow_to_load was being loaded. Import it" in check("1.3", loads_it, timeout=0.5).hint


def test_a_library_that_gives_up_waiting_is_told_as_too_slow() -> None:
    def gives_up(lengths: list[int], coverage: float) -> Any:
        raise TimeoutError("no answer")

    assert "gave up waiting and raised TimeoutError: it was too slow" in check("1.3", gives_up).hint


def test_a_hang_that_swallows_everything_is_killed() -> None:
    def stubborn(lengths: list[int], coverage: float) -> int:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            pass

    assert "too long" in check("1.3", stubborn, timeout=0.5).hint


def test_an_answer_that_exits_is_only_an_answer(anywhere: str) -> None:
    def leaves(lengths: list[int], coverage: float) -> int:
        raise SystemExit(0)

    result = check("1.3", leaves)
    assert result.status == "failed" and "SystemExit" in result.hint


def test_an_answer_that_ends_its_process_does_not_end_the_kernel() -> None:
    def ends(lengths: list[int], coverage: float) -> int:
        os._exit(0)

    assert "ended before it gave a result" in check("1.3", ends).hint


def test_an_error_that_cannot_be_shown_is_only_an_answer(anywhere: str) -> None:
    class Odd(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    def odd(lengths: list[int], coverage: float) -> int:
        raise Odd

    assert "Odd" in check("1.3", odd).hint


def test_an_object_that_cannot_be_looked_into_is_only_an_answer(anywhere: str) -> None:
    class Closed:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("nothing to see")

        def __call__(self, lengths: list[int], coverage: float) -> int:
            raise NotImplementedError

    assert "NotImplementedError" in check("1.3", Closed()).hint


def test_an_answer_that_forks_is_observed_once() -> None:
    def forks(lengths: list[int], coverage: float) -> int:
        os.fork()
        return right(lengths, coverage)

    assert check("1.3", forks).passed


def test_an_answer_that_writes_without_end_where_results_are_awaited_is_given_up_at_the_limit() -> None:
    def floods(lengths: list[int], coverage: float) -> int:
        while True:
            os.write(pipe_of_the_check(), b"\xff" * 65536)

    started = time.monotonic()
    assert check("1.3", floods, timeout=0.5).points == 0
    assert time.monotonic() - started < 3


def pipe_of_the_check() -> int:
    """What a cheat finds who looks through the frames above his own: where the child writes what it observed."""
    frame = inspect.currentframe()
    while frame is not None and "writing" not in frame.f_locals:
        frame = frame.f_back
    assert frame is not None
    return int(frame.f_locals["writing"])


def test_a_forged_message_is_judged_like_any_answer() -> None:
    def forges(lengths: list[int], coverage: float) -> int:
        for forged in ({"passed": True}, [10.0], {"seen": {"value": 0}, "raised": "", "unfinished": False}):
            data = dumps(forged)
            os.write(pipe_of_the_check(), len(data).to_bytes(8, "big") + data)
        return 0

    assert (check("1.3", forges).status, check("1.3", forges).points) == ("failed", 0.0)


def test_a_message_that_grows_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_LARGEST_MESSAGE", 2**16)

    def chatters(lengths: list[int], coverage: float) -> int:
        os.write(pipe_of_the_check(), b"\xff" * 2**17)
        return 0

    assert "ended before it gave a result" in check("1.3", chatters, timeout=5).hint


def test_nobody_answers_an_answer_that_asks() -> None:
    def asks(lengths: list[int], coverage: float) -> int:
        return int(input("How long?"))

    assert "EOFError" in check("1.3", asks).hint


def test_what_only_a_fork_cannot_do_is_done_in_a_thread() -> None:
    """Beside a GPU torch refuses autograd in the child of a process that has used it."""
    kernel = os.getpid()

    def trains(lengths: list[int], coverage: float) -> int:
        if os.getpid() != kernel:
            raise RuntimeError("Unable to handle autograd's threading in combination with fork-based multiprocessing.")
        return right(lengths, coverage)

    assert check("1.3", trains).passed


def test_a_library_whose_threads_did_not_survive_the_fork_does_not_hang() -> None:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    points = np.random.default_rng(0).normal(size=(4000, 8))

    def clusters(lengths: list[int], coverage: float) -> int:
        if len(lengths) == 1:
            KMeans(8, n_init=1, random_state=0).fit(points)
        return right(lengths, coverage)

    with threadpool_limits(2):
        clusters([1], 1.0)
        assert check("1.3", clusters).passed


def test_an_answer_that_was_left_behind_gives_standard_output_back(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(child, "CAN_FORK", False)
    stop = time.monotonic() + 1

    def loops(lengths: list[int], coverage: float) -> int:
        while time.monotonic() < stop:
            time.sleep(0.01)
        return 0

    check("1.3", loops, timeout=0.2)
    print("still here")
    assert capsys.readouterr().out == "still here\n"


def state_of_the_kernel() -> list[Any]:
    numpys = np.random.get_state()[1].tolist()
    return [torch.get_num_threads(), torch.is_grad_enabled(), torch.get_rng_state().tolist(), numpys, random.getstate()]


def test_an_answer_that_draws_leaves_the_kernel_as_it_was(anywhere: str) -> None:
    def draws(lengths: list[int], coverage: float) -> int:
        np.random.rand()
        torch.rand(1)
        random.random()
        return 0

    before = state_of_the_kernel()
    check("1.3", draws)
    assert state_of_the_kernel() == before


@pytest.mark.parametrize("one", checks.exercises().values(), ids=lambda one: one.id)
def test_known_wrong_answers_that_are_compared_with_leave_the_kernel_as_it_was(one: checks.Exercise) -> None:
    check_only(one, lambda *arguments, **named: None)  # what is imported and made once, is
    before = state_of_the_kernel()
    for known in one.misconceptions[-3:]:
        check_only(one, known.answer)
    assert state_of_the_kernel() == before


def test_seeding_shows_also_where_the_kernel_was_seeded_with_the_same_number(anywhere: str) -> None:
    def seeds(lengths: list[int], coverage: float) -> int:
        torch.manual_seed(0)
        return right(lengths, coverage)

    torch.manual_seed(0)
    result = check("1.3", seeds)
    assert "global random state" in result.hint and 0 < result.points < 10


def test_an_error_on_one_kind_of_input_costs_its_property_and_not_the_manners() -> None:
    def fails_on_all(lengths: list[int], coverage: float) -> int:
        if coverage == 1:
            raise ValueError
        return right(lengths, coverage)

    result = check("1.3", fails_on_all)
    assert [row.name for row in result.properties if not row.held] == ["a coverage of 1 fits every review"]


def test_a_tokenizer_that_is_left_with_other_settings_is_a_changed_argument() -> None:
    def sets(texts: list[str], tokenizer: Any, max_length: int) -> Any:
        tokenizer.model_max_length = max_length
        return tokenizer(texts, truncation=True, padding="max_length", return_tensors="pt")

    failed = [row.name for row in check("1.2", sets).properties if not row.held]
    assert failed == ["does not change texts and tokenizer"]


def test_what_an_answer_does_to_its_arguments_is_compared_where_it_cannot_reach(
    monkeypatch: pytest.MonkeyPatch, anywhere: str
) -> None:
    def sorts(lengths: list[int], coverage: float) -> int:
        monkeypatch.setattr(copy, "deepcopy", lambda thing, memo=None: thing)
        monkeypatch.setattr(torch, "equal", lambda one, other: True)
        monkeypatch.setattr(np, "array_equal", lambda one, other, **named: True)
        lengths.sort()
        return right(lengths, coverage)

    assert [row.name for row in check("1.3", sorts).properties if not row.held] == ["does not change lengths"]


def test_what_was_told_no_answer_can_take_back(anywhere: str) -> None:
    """Not even one that gets hold of the observer's own things, as by train.__self__."""

    class Counter:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def once(self) -> None:
            self.calls.append("once")
            tell("calls", "once")

    def observe(answer: Any, inputs: Any) -> dict[str, Any]:
        counter = Counter()
        return call(lambda: {"returned": answer(counter.once), "calls": counter.calls})

    def rewrites(once: Any) -> int:
        for _ in range(3):
            once()
        once.__self__.calls[:] = ["once"]
        return 1

    (observed,) = observe_all(observe, rewrites, [Case({})], timeout=5).each
    assert observed.value == {"returned": 1, "calls": ["once"] * 3}


def test_what_is_told_without_end_is_not_kept(anywhere: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "_MOST_TOLD", 10)

    def observe(answer: Any, inputs: Any) -> dict[str, Any]:
        for _ in range(1000):
            tell("calls", "again")
        return {"value": {}}

    (observed,) = observe_all(observe, None, [Case({})], timeout=5).each
    assert len(observed.value["calls"]) == 10


@pytest.mark.parametrize("one", checks.exercises().values(), ids=lambda one: one.id)
def test_an_answer_that_does_nothing_says_what_every_case_should_leave(one: checks.Exercise) -> None:
    for case in one.cases(np.random.default_rng(0)):
        left = left_by_nothing(one.observe, case)
        assert left and all({"arguments", "random state"} <= {*each} for each in left)
        assert repr(left) == repr(left_by_nothing.__wrapped__(one.observe, case)), "the same each time"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [2, 1]), ([1], [1.0]), ([1], [True]), ([1], (1,)), ({1: 2}, {2: 1}), ({1, 2}, {1}), ([0.0], [-0.0]),
        (torch.tensor(1), torch.tensor(1.0)), (torch.tensor(1), torch.tensor([1])), (torch.tensor(1), 1),
        (np.zeros(2), torch.zeros(2)), (np.zeros(2), np.zeros((2, 1))), ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
    ],
    ids=repr,
)  # fmt: skip
def test_what_an_argument_is_is_spelled_to_the_last_difference(one: Any, other: Any) -> None:
    assert repr(spelled(one)) == repr(spelled(copy.deepcopy(one))) != repr(spelled(other))
    assert json.loads(json.dumps(spelled(one))) == spelled(one)


def test_an_argument_of_another_type_is_a_changed_argument() -> None:
    def numbers(features: list[dict[str, Any]], pad_token_id: int) -> Any:
        batch = labkit.pad_batch(features, pad_token_id)
        for feature in features:
            feature["labels"] = int(feature["labels"])
        return batch

    assert [row.name for row in check("2.4", numbers).properties if not row.held] == ["does not change the features"]


def test_a_result_that_is_too_large_or_nested_is_refused_as_an_answer(
    anywhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wire, "LARGEST", 20_000)
    endless: list[Any] = []
    endless.append(endless)
    assert check("1.3", lambda lengths, coverage: endless).status == "failed"
    again = [0] * 1000
    for _ in range(5):
        again = [again] * 1000
    assert "ValueError" in check("1.3", lambda lengths, coverage: again).hint
    assert check("1.3", lambda lengths, coverage: np.zeros(30_000)).status == "failed"


def test_a_check_works_after_torch_has_used_several_threads() -> None:
    torch.set_num_threads(2)
    try:
        torch.ones(600, 600) @ torch.ones(600, 600)

        def multiplies(lengths: list[int], coverage: float) -> int:
            assert (torch.ones(600, 600) @ torch.ones(600, 600))[0, 0] == 600
            return right(lengths, coverage)

        assert check("1.3", multiplies).passed
    finally:
        torch.set_num_threads(1)


def test_not_implemented_by_someone_else_is_a_failure_and_by_the_answer_is_not_attempted() -> None:
    def borrowed(lengths: list[int], coverage: float) -> int:
        return int(torch.nn.Module()(1))  # Module.forward raises NotImplementedError

    def half(lengths: list[int], coverage: float) -> int:
        if len(lengths) > 1:
            raise NotImplementedError
        return lengths[0]

    def untouched(lengths: list[int], coverage: float) -> int:
        raise NotImplementedError()

    assert check("1.3", torch.no_grad()(untouched)).status == "not attempted"
    assert check("1.3", functools.partial(untouched)).status == "not attempted"
    assert check("1.3", borrowed).status == "failed"
    assert check("1.3", half).status == "failed" and "NotImplementedError" in check("1.3", half).hint
    assert check("1.3", untouched).status == "not attempted"


@pytest.mark.parametrize("thing", [None, 3, "text", [], object(), int, print], ids=lambda thing: type(thing).__name__)
def test_what_is_no_answer_at_all_fails_without_an_error(thing: Any) -> None:
    result = check("1.3", thing)
    assert (result.status, result.points) == ("failed", 0.0)
    assert ("without calling it" in result.hint) == (not callable(thing))


def test_an_unknown_exercise_is_named_with_its_neighbours() -> None:
    with pytest.raises(UsageError, match=r"no exercise '1\.33'; .*did you mean 1\.3\?"):
        check("1.33", right)
    assert check(1.3, right).passed, "an id without quotes will do"  # type: ignore[arg-type]  # which no type announces


def test_what_an_answer_prints_stays_out_of_the_page(capfd: pytest.CaptureFixture[str], anywhere: str) -> None:
    def prints(lengths: list[int], coverage: float) -> int:
        print("debugging")
        return right(lengths, coverage)

    check("1.3", prints)
    assert capfd.readouterr().out == ""


def test_the_first_lines_that_an_answer_prints_are_shown_with_the_example(anywhere: str) -> None:
    def prints(lengths: list[int], coverage: float) -> int:
        print("<looked at>", coverage)
        print("\033[31mred\ud800", "x" * 500)
        for _ in range(10_000):
            print("again")
        return right(lengths, coverage) if len(lengths) < 3 else 0

    result = check("1.3", prints)
    assert result.example and "lengths=[10, 20, 30, 40], coverage=0.6" in result.example.inputs
    first, second, *others = result.printed.splitlines()
    assert first == "<looked at> 0.6" and second.startswith(" [31mred  xxx") and len(second) == 120
    assert others == ["again"] * 8 + ["..."]
    assert "  Printed:\n    <looked at> 0.6\n" in str(result)
    assert "<pre>&lt;looked at&gt; 0.6\n" in result._repr_html_()


def test_what_a_right_answer_prints_is_shown_too_and_nothing_of_it_when_graded() -> None:
    one, cases = exercise("1.3"), list(exercise("1.3").cases(np.random.default_rng(0)))

    def prints_once(lengths: list[int], coverage: float) -> int:
        if coverage == 0.51:
            print("half way")
        return right(lengths, coverage)

    observed = observe_all(one.observe, prints_once, cases, 10)
    assert checks.judge_all(one, cases, observed).printed == "(on lengths=[9, 3], coverage=0.51)\nhalf way"
    assert checks.judge_all(one, cases, observed, graded=True).printed == ""
    assert "half way" not in json.dumps(checks.judge_all(one, cases, observed).as_json()), "no instructor reads it"


def test_what_was_printed_before_an_answer_hung_or_died_is_shown(anywhere: str) -> None:
    stop = time.monotonic() + 1.5

    def hangs(lengths: list[int], coverage: float) -> int:
        print("so far", len(lengths))
        while time.monotonic() < stop:
            time.sleep(0.01)
        return 0

    assert check("1.3", hangs, timeout=0.3).printed == "so far 1"

    def dies(lengths: list[int], coverage: float) -> int:
        print("so far", len(lengths))
        os._exit(1)

    if anywhere == "child":
        assert check("1.3", dies).printed == "so far 1"


@pytest.mark.parametrize("name", ["1.3", "3.5"])
def test_an_answer_that_prints_and_gives_none_back_is_told_so(anywhere: str, name: str) -> None:
    def prints(*arguments: Any) -> None:
        print(0.5)

    assert "prints what it found and gives back None" in check(name, prints).hint
    assert "gives back None" not in check(name, lambda *arguments: None).hint


def test_a_forged_equality_earns_nothing(anywhere: str) -> None:
    class Anything(int):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = int.__hash__

    assert check("1.3", lambda lengths, coverage: Anything(0)).points == 0


def test_cases_reach_the_answer_in_order_and_what_was_not_reached_is_missing() -> None:
    def observe(answer: Any, inputs: Any) -> dict[str, Any]:
        if inputs["n"] == 2:
            time.sleep(30)
        return {"value": inputs["n"]}

    observed = observe_all(observe, None, [Case({"n": n}) for n in range(4)], timeout=0.5)
    assert [one.value for one in observed.each] == [0, 1, None, None]
    assert [one.missing for one in observed.each] == [False, False, True, True]


# labkit's own versions

CONTRACTS = {
    "1.1": (labkit.wordpiece, "word vocab unk prefix"),
    "1.2": (labkit.encode, "texts tokenizer max_length"),
    "1.3": (labkit.smallest_max_length, "lengths coverage"),
    "2.1": (labkit.rating_to_label, "rating neutral_band"),
    "2.2": (labkit.stratified_split, "texts labels fractions seed"),
    "2.3": (labkit.ReviewDataset, "texts labels tokenizer max_length"),
    "2.4": (labkit.pad_batch, "features pad_token_id"),
    "2.5": (labkit.length_bucketed_batches, "lengths batch_size seed"),
    "3.1": (labkit.warmup_linear, "step warmup_steps total_steps"),
    "3.2": (labkit.parameter_groups, "model weight_decay"),
    "3.3": (labkit.accumulate_gradients, "model micro_batches"),
    "3.4": (labkit.train_epoch, "model batches optimizer scheduler accumulation_steps max_grad_norm"),
    "3.5": (labkit.eval_epoch, "model batches"),
    "4.1": (labkit.softmax, "logits"),
    "4.2": (labkit.precision_recall_f1, "labels predictions positive"),
    "4.3": (labkit.confusion_matrix, "labels predictions num_classes"),
    "4.4": (labkit.best_f1_threshold, "labels scores"),
    "4.5": (labkit.expected_calibration_error, "confidences correct bins"),
    "4.6": (labkit.confidently_wrong, "logits labels threshold"),
    "5.1": (labkit.EarlyStopping, "patience min_delta"),
    "5.2": (labkit.fit_with_early_stopping, "train evaluate save restore max_epochs patience"),
    "5.3": (labkit.stratified_kfold, "labels k seed"),
    "5.4": (labkit.bootstrap_interval, "correct level resamples seed"),
    "6.1": (labkit.attention_rollout, "attentions"),
    "6.2": (labkit.integrated_gradients, "forward inputs baseline steps"),
    "6.3": (labkit.merge_wordpieces, "tokens scores prefix"),
    "6.4": (labkit.comprehensiveness, "predict tokens scores fraction mask"),
}


@pytest.mark.parametrize("name", CONTRACTS)
def test_labkits_own_version_takes_the_contracts_arguments_first_and_passes_its_check(name: str) -> None:
    own, wanted = CONTRACTS[name]
    assert exercise(name).name == own.__name__
    assert list(inspect.signature(own).parameters)[: len(wanted.split())] == wanted.split()
    assert check_only(exercise(name), own).passed
    assert seconds(exercise(name), own) < 2


@pytest.mark.parametrize("name", CONTRACTS)
def test_also_the_check_of_a_wrong_answer_takes_under_two_seconds(name: str) -> None:
    for known in exercise(name).misconceptions[:2]:
        assert seconds(exercise(name), known.answer) < 2


def test_every_exercise_has_a_version_of_labkits_own() -> None:
    assert list(CONTRACTS) == list(checks.exercises())


# Results


def test_a_result_shows_itself_in_words_and_html_and_as_data() -> None:
    result = check("1.3", lambda lengths, coverage: "<script>alert(1)</script>")
    bundle = result._repr_mimebundle_()
    assert "<script>" not in bundle["text/html"] and "&lt;script&gt;" in bundle["text/html"]
    data = json.loads(json.dumps(bundle["application/vnd.labkit.check+json"]))
    assert (data["exercise"], data["points"], data["max_points"]) == ("1.3", 0.0, 10.0)
    assert "0 of 10 points" in str(result) and "Expected:" in str(result)
    assert all(row["name"] in str(result) for row in data["properties"])


def test_a_graded_result_has_no_example() -> None:
    one = exercise("1.3")
    cases = list(one.cases(np.random.default_rng(0)))
    observed = observe_all(one.observe, lambda lengths, coverage: 0, cases, 10)
    assert checks.judge_all(one, cases, observed, graded=True).example is None
    assert checks.judge_all(one, cases, observed).example is not None


def test_results_are_kept_where_the_student_works(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check("1.3", right)
    assert not list(tmp_path.iterdir()), "no student's folder, no trace"
    (tmp_path / ".labkit").mkdir()
    check("1.3", right)
    assert Work().checks["1.3"]["points"] == 10
    check("1.3", lambda lengths, coverage: 0)
    assert Work().checks["1.3"]["status"] == "failed", "the last one counts"
    view = progress()
    assert f"of {10 * len(checks.exercises())} points" in str(view)
    assert "1.3" in view._repr_html_() and view.points == 0


@pytest.mark.parametrize(
    "points",
    ["abc", "7", None, True, [], {}, 1e9, 10.5, -1, pytest.param(10**400, id="huge"), float("nan"), float("inf")],
)
def test_what_is_no_sane_result_is_none_in_the_progress_view(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, points: object
) -> None:
    kept = {"status": "passed", "points": points, "max_points": 1e12}
    good = {"status": "failed", "points": 2.5}
    entries = {"1.1": kept, "1.3": good, "9.9": good, "1.2": {"status": ["passed"], "points": 1}, "2.1": {"points": 1}}
    (tmp_path / ".labkit").mkdir()
    (tmp_path / ".labkit" / "checks.json").write_text(json.dumps(entries))
    monkeypatch.chdir(tmp_path)
    view = progress()
    assert view.points == 2.5
    assert str(view).count("not checked") == view._repr_html_().count("not checked") == len(checks.exercises()) - 1


# Plain data

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
values = st.recursive(
    scalars | st.builds(lambda n: plain(torch.arange(n)), st.integers(1, 5)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(values)
def test_plain_data_comes_back_as_it_went(value: Any) -> None:
    assert repr(loads(dumps(value))) == repr(value)


def test_numbers_of_libraries_are_numbers_and_arrays_are_no_lists() -> None:
    assert plain(np.int64(3)) == 3 and type(plain(np.float32(0.5))) is float and plain(torch.tensor(2)) == 2
    assert isinstance(plain(np.arange(3)), Array) and isinstance(plain(torch.arange(3)), Array)
    assert plain([np.int64(1), (2,)]) == [1, (2,)]
    assert plain(object()) == Other("object")
    assert plain(np.str_("a")) == "a" and plain(np.array(["a"])) == Other("array of <U1")
    assert close(plain(torch.arange(3)), plain(np.arange(3))) and not close([0, 1, 2], plain(np.arange(3)))


def test_closeness_is_that_of_float32() -> None:
    assert close(1.0 + 9e-6, 1.0) and not close(1.0 + 2e-5, 1.0)
    assert close(1e4 * (1 + 9e-6), 1e4) and not close(float("nan"), 1.0) and close(float("nan"), float("nan"))


def test_only_infinity_is_close_to_infinity() -> None:
    inf = float("inf")
    assert close(inf, inf) and close([-inf], [-inf])
    assert not any(close(one, inf) for one in (1.0, 1e300, -inf, float("nan"))) and not close(inf, 1.0)


def compressed() -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, skeleton=np.frombuffer(json.dumps({"array": "a"}).encode(), np.uint8), a=np.zeros(10**6)
    )
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"\x80\x04.", dumps([1])[:-9], compressed()], ids=["empty", "pickle", "cut", "compressed"]
)
def test_bytes_of_strangers_are_no_plain_data(data: bytes) -> None:
    with pytest.raises(ValueError, match="not plain data"):
        loads(data)

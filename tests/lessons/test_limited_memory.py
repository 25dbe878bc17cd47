"""Laws of limited memory: a step that does not fit harms nobody, and whatever happens there, who asks goes on."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from labkit.errors import UsageError
from labkit.lessons import limited_memory
from labkit.lessons.limited_memory import MEBIBYTE, LimitedMemory, NoAnswer, StepTried, WaysTried, limit_memory
from labkit.training.memory import OutOfMemory, micro_batch_that_fits

CPU = torch.device("cpu")
LIMIT = 16 * MEBIBYTE
LARGE = {"reviews": 64, "max_length": 128}  # the tiny world's model wants about 80 MiB for it

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is limited on Linux alone")

# What stands in for the other process: it says that it is ready, then does its worst.
ANSWERS = {"fits": True, "micro_batch_size": 2, "seconds": 0.5, "said": "", "estimated": False, "last": False}
SCRIPT = """
import json, os, sys, time
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    asked = json.loads(line)
    if asked.get("die"):
        os._exit(9)
    if asked.get("fail"):
        print(json.dumps({"failed": "RuntimeError: odd"}), flush=True)
        continue
    if asked.get("sleep"):
        time.sleep(60)
    print(json.dumps(ANSWERS | {"said": asked.get("word", ""), "last": "last" in asked}), flush=True)
"""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[LimitedMemory]:
    script = SCRIPT.replace("ANSWERS", repr(ANSWERS))
    monkeypatch.setattr(limited_memory, "COMMAND", (sys.executable, "-c", script))
    with LimitedMemory("tiny", LIMIT, seconds=5) as limited:
        yield limited


@pytest.fixture(scope="module")
def limited(tiny_folder: Path) -> Iterator[LimitedMemory]:
    """One real process for the laws that only need to look."""
    with LimitedMemory(str(tiny_folder), LIMIT, "cpu") as limited:
        yield limited


def child_of(limited: LimitedMemory) -> Any:
    assert limited._worker is not None
    return limited._worker.process


# --- the real process ---------------------------------------------------------------------------------------------


@linux
def test_a_step_that_does_not_fit_ends_in_the_allocators_words_and_the_process_goes_on(limited):
    with pytest.raises(OutOfMemory, match="DefaultCPUAllocator: can't allocate memory"):
        limited.step(**LARGE)
    process = child_of(limited)
    tried = limited.step(reviews=2, max_length=16)
    assert (tried.fits, tried.micro_batch_size, tried.estimated) == (True, 2, False)
    assert child_of(limited) is process


@linux
def test_every_way_out_gets_the_same_reviews_in(limited):
    ways = {
        "as it is": LARGE,
        "smaller": LARGE | {"smaller": True},
        "shorter": LARGE | {"max_length": 8},
        "frozen": LARGE | {"freeze": "encoder"},
        "as it was": LARGE,
    }
    tried = limited.compare(ways)
    assert [name for name in ways if tried[name].fits] == ["smaller", "shorter", "frozen"], str(tried)
    assert tried["smaller"].micro_batch_size < 64
    assert tried["smaller"].said.startswith("out of memory with 64 reviews at once: going on with 32")
    assert tried["shorter"].micro_batch_size == tried["frozen"].micro_batch_size == 64


@linux
def test_nobody_else_is_limited(limited):
    limited.step(reviews=1, max_length=8)
    assert torch.empty(20 * LIMIT, dtype=torch.uint8).numel() == 20 * LIMIT


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_length": 129}, "wanted at least 1, of 3 to 128"),
        ({"reviews": 0}, "wanted at least 1"),
        ({"precision": "fp16"}, "this CPU does not compute in fp16"),
        ({"precision": "fp8"}, "none of auto, fp32, bf16, fp16"),
        ({"freeze": "head"}, "none of nothing, embeddings, encoder"),
        ({"max_lenght": 8}, "unexpected keyword argument 'max_lenght'"),
    ],
)
def test_settings_that_are_none_are_refused_as_such(settings, said, limited):
    with pytest.raises(UsageError, match=said):
        limited.step(**settings)


def test_an_encoder_that_is_not_there_is_said_at_the_first_step(tmp_path):
    with LimitedMemory(str(tmp_path / "nothing"), LIMIT) as limited, pytest.raises(UsageError, match="and no folder"):
        limited.step()


# --- whatever happens there ---------------------------------------------------------------------------------------


def test_a_process_that_dies_is_an_error_and_the_next_step_starts_another(stand_in):
    assert stand_in.step(word="hello") == StepTried(True, 2, 0.5, "hello")
    with pytest.raises(NoAnswer, match=r"died \(exit code 9\)"):
        stand_in.step(die=True)
    assert stand_in.step(word="again").said == "again"


def test_a_process_that_was_killed_between_two_steps_is_an_error_too(stand_in):
    stand_in.step()
    child_of(stand_in).kill()
    child_of(stand_in).wait()
    with pytest.raises(NoAnswer, match="died"):
        stand_in.step()
    assert stand_in.step().fits


def test_an_error_that_is_no_want_of_memory_is_said_in_its_own_words(stand_in):
    with pytest.raises(NoAnswer, match="RuntimeError: odd"):
        stand_in.step(fail=True)
    assert stand_in.step(word="again").said == "again"


def test_a_process_that_calls_its_answer_the_last_is_followed_by_another(stand_in):
    assert stand_in.step(word="could not create a primitive", last=True).said == "could not create a primitive"
    assert stand_in._worker is None
    assert stand_in.step(word="again").said == "again"


def test_a_step_that_takes_too_long_is_given_up_and_its_process_ended(stand_in):
    stand_in.step()
    process, stand_in.seconds = child_of(stand_in), 0.2
    begun = time.monotonic()
    with pytest.raises(NoAnswer, match=r"took longer than 0\.2 s and was stopped"):
        stand_in.step(sleep=True)
    assert time.monotonic() - begun < 5
    assert process.poll() is not None
    stand_in.seconds = 5
    assert stand_in.step(word="again").said == "again"


def test_one_way_that_dies_does_not_keep_the_others_from_being_tried(stand_in):
    told: list[str] = []
    tried = stand_in.compare({"bad": {"die": True}, "good": {"word": "here"}}, told.append)
    assert told == ["way 1 of 2: bad", "way 2 of 2: good"]
    assert (tried["bad"].fits, tried["good"].fits) == (False, True)
    assert "died" in tried["bad"].said


def test_an_interrupt_ends_the_process_and_goes_on_up(stand_in, monkeypatch):
    stand_in.step()
    process = child_of(stand_in)

    def interrupted(*arguments: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(limited_memory._Worker, "answer", interrupted)
    with pytest.raises(KeyboardInterrupt):
        stand_in.step()
    assert process.poll() is not None


def test_once_closed_no_process_is_left(stand_in):
    stand_in.step()
    number = child_of(stand_in).pid
    stand_in.close()
    assert not psutil.pid_exists(number)
    stand_in.close()  # twice is not an error


def test_a_limit_that_leaves_nothing_is_refused():
    with pytest.raises(UsageError, match="limit_bytes = 0; wanted more than 0"):
        LimitedMemory("tiny", 0)


# --- the limit ----------------------------------------------------------------------------------------------------


def test_where_no_limit_holds_the_estimate_answers_and_nothing_is_run(tiny_folder, monkeypatch):
    monkeypatch.setattr(limited_memory, "limit_memory", lambda *arguments: False)
    limited = limited_memory._LimitedTraining(str(tiny_folder), LIMIT, "cpu")
    monkeypatch.setattr(limited, "_take", None)
    at_once = micro_batch_that_fits(limited.model, 64, 128, LIMIT)
    assert at_once < 64
    assert limited.step(**LARGE, smaller=True) == StepTried(True, at_once, 0.0, estimated=True)
    refused = limited.step(**LARGE)
    assert (refused.fits, refused.estimated) == (False, True)
    assert refused.said == f"64 reviews at once do not fit; {at_once} would"
    assert limited.step(reviews=1, max_length=8) == StepTried(True, 1, 0.0, estimated=True)
    assert not limited.step(reviews=64, max_length=64).fits
    assert limited.step(reviews=64, max_length=64, freeze="encoder").fits
    limited.limit_bytes = 1
    assert limited.step(**LARGE, smaller=True) == StepTried(False, 0, 0.0, "not even one review fits", estimated=True)


@linux
def test_a_limit_that_the_system_does_not_enforce_is_taken_back(monkeypatch):
    import resource

    before = [resource.getrlimit(limit) for limit in (resource.RLIMIT_DATA, resource.RLIMIT_AS)]
    monkeypatch.setattr(limited_memory, "_limit_holds", lambda limit_bytes: False)
    assert limit_memory(2**44, CPU) is False
    assert [resource.getrlimit(limit) for limit in (resource.RLIMIT_DATA, resource.RLIMIT_AS)] == before


@pytest.mark.parametrize(("platform", "device"), [("darwin", "cpu"), ("win32", "cpu"), ("linux", "mps")])
def test_other_systems_have_no_limit(platform, device, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(limited_memory, "_limit_on_linux", None)
    assert limit_memory(LIMIT, torch.device(device)) is False


def test_on_cuda_the_allocator_may_have_what_it_holds_and_the_limit(monkeypatch):
    asked: list[Any] = []
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: type("P", (), {"total_memory": 1000}))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 100)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda *arguments: asked.append(arguments))
    device = torch.device("cuda")
    assert limit_memory(150, device) is True
    assert asked == [(0.25, device)]


# --- what is shown ------------------------------------------------------------------------------------------------


def test_the_table_says_of_each_way_whether_it_fits_and_escapes_what_was_said():
    ways = {
        "all": StepTried(False, 0, 0.5, "no <memory>"),
        "halves": StepTried(True, 4, 1.25, "going on with 4"),
        "sum": StepTried(True, 8, 0.0, estimated=True),
    }
    tried = WaysTried(48 * MEBIBYTE, ways)
    assert str(tried).splitlines() == [
        "One training step in 48 MiB",
        "all: does not fit (0.5 s): no <memory>",
        "halves: fits, 4 reviews at once (1.2 s): going on with 4",
        "sum: fits, 8 reviews at once (estimated)",
    ]
    page = tried._repr_html_()
    assert "no &lt;memory&gt;" in page
    assert page.count("<tr>") == 4
    assert page.count("✓ yes") == 2


def test_answers_are_lines_that_hold_no_line_break():
    assert "\n" not in json.dumps({"said": "one\ntwo"})

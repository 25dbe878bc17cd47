"""Runs an answer on its cases in a forked child that is killed when its time is up, so that no answer can hang a kernel.

Where there is no safe fork (Windows, macOS) a thread takes its place, which cannot be killed. Does not judge (verdict.py).
"""

import contextlib
import dataclasses
import io
import os
import select
import signal
import struct
import sys
import threading
import time
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from labkit.checks.exercise import Case, Observation, Observe
from labkit.checks.wire import dumps, loads

CAN_FORK = sys.platform == "linux"  # macOS has fork, but its system libraries do not survive it
_HEADER = struct.Struct("!Q")
_LARGEST_MESSAGE = 256 * 2**20


@dataclasses.dataclass(frozen=True)
class Observations:
    """One observation a case, in order. timed_out: at the limit the answer was still busy with the first missing one.

    died: the process that ran the answer ended on its own. killed: the answer is no longer running.
    """

    each: Sequence[Observation]
    timed_out: bool = False
    died: bool = False
    killed: bool = True


def observe_all(observe: Observe, answer: Any, cases: Sequence[Case], timeout: float) -> Observations:
    """Run the answer on every case, for at most `timeout` seconds in all."""
    return (_in_child if CAN_FORK else _in_thread)(observe, answer, cases, timeout)


def observe_one(observe: Observe, answer: Any, inputs: Mapping[str, Any]) -> Observation:
    """Run the answer on one case, here; whatever it raises is part of what is observed."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return Observation(observe(answer, inputs))
    except BaseException as error:
        return Observation({}, raised=_described(error), unfinished=_is_unfinished(error, answer))


def _described(error: BaseException) -> str:
    try:
        words = " ".join(str(error).split())[:200]
    except BaseException:  # an answer may raise an error that cannot be shown
        words = ""
    return f"{type(error).__name__}: {words}" if words else type(error).__name__


def _is_unfinished(error: BaseException, answer: Any) -> bool:
    """Whether it is `raise NotImplementedError` in the answer's own code; torch and others raise that too."""
    if not isinstance(error, NotImplementedError):
        return False
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return frame is not None and frame.tb_frame.f_code in set(_codes_of(answer))


def _codes_of(answer: Any) -> Iterator[types.CodeType]:
    """The code of a function or of a class's methods, and of all that is defined within."""
    for thing in [answer, *(vars(answer).values() if isinstance(answer, type) else ())]:
        code = getattr(getattr(thing, "__func__", thing), "__code__", None)
        pending = [code] if isinstance(code, types.CodeType) else []
        while pending:
            inner = pending.pop()
            yield inner
            pending += [constant for constant in inner.co_consts if isinstance(constant, types.CodeType)]


# A forked child


def _in_child(observe: Observe, answer: Any, cases: Sequence[Case], timeout: float) -> Observations:
    import torch  # noqa: F401 (here, so that no child spends its time on it)

    reading, writing = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, for a fork beside threads
        child = os.fork()
    if child == 0:
        os.close(reading)
        _be_the_child(writing, observe, answer, cases)
    os.close(writing)
    found: list[Observation] = []
    try:
        timed_out = _collect(reading, found, len(cases), time.monotonic() + timeout)
    finally:
        os.close(reading)
        _end(child)
    missing = [Observation({}, missing=True)] * (len(cases) - len(found))
    return Observations([*found, *missing], timed_out, died=bool(missing) and not timed_out)


def _end(child: int) -> None:
    for kill in (os.killpg, os.kill):  # its own group: also what the answer started
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        os.waitpid(child, 0)


def _be_the_child(writing: int, observe: Observe, answer: Any, cases: Sequence[Case]) -> None:
    """Never returns: whatever happens, the child must not go on as a second kernel."""
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _quiet()
        for case in cases:
            _send(writing, _as_plain(observe_one(observe, answer, case.inputs)))
    finally:
        os._exit(0)


def _quiet() -> None:
    """One thread for torch, since the threads of a forked OpenMP pool are gone, and nothing on the kernel's streams."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.stdout = sys.stderr = io.StringIO()


def _as_plain(observation: Observation) -> dict[str, Any]:
    return {"seen": observation.seen, "raised": observation.raised, "unfinished": observation.unfinished}


def _send(writing: int, message: dict[str, Any]) -> None:
    """One observation; one that cannot be sent is one that failed."""
    try:
        data = dumps(message)
    except Exception as error:
        data = dumps({"seen": {}, "raised": _described(error), "unfinished": False})
    view = memoryview(_HEADER.pack(len(data)) + data)
    while view:
        view = view[os.write(writing, view) :]


def _collect(reading: int, found: list[Observation], wanted: int, deadline: float) -> bool:
    """Read observations until all are there or the child is gone; True when the time was up first."""
    buffer = bytearray()
    while len(found) < wanted:
        ready, _, _ = select.select([reading], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return True
        part = os.read(reading, 1 << 20)
        if not part:
            return False
        buffer += part
        while (message := _taken(buffer)) is not None:
            found.append(_observation(message))
    return False


def _taken(buffer: bytearray) -> bytes | None:
    """The first whole message of the buffer, taken out of it; None where it is not all there yet."""
    if len(buffer) < _HEADER.size:
        return None
    (size,) = _HEADER.unpack_from(buffer)
    end = _HEADER.size + size
    if size > _LARGEST_MESSAGE or len(buffer) < end:
        return None
    message = bytes(buffer[_HEADER.size : end])
    del buffer[:end]
    return message


def _observation(message: bytes) -> Observation:
    try:
        data = loads(message)
        return Observation(dict(data["seen"]), str(data["raised"]), bool(data["unfinished"]))
    except (ValueError, KeyError, TypeError) as why:
        return Observation({}, raised=f"not an observation: {why}")


# Where there is no fork


def _in_thread(observe: Observe, answer: Any, cases: Sequence[Case], timeout: float) -> Observations:
    """The same in a thread, which at the limit is left behind, still running."""
    found: list[Observation] = []
    enough = threading.Event()

    def work() -> None:
        for case in cases:
            observation = observe_one(observe, answer, case.inputs)
            if enough.is_set():
                return
            found.append(observation)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(timeout)
    enough.set()
    each = list(found)
    missing = [Observation({}, missing=True)] * (len(cases) - len(each))
    busy = thread.is_alive()
    return Observations(
        [*each, *missing], timed_out=busy and bool(missing), died=bool(missing) and not busy, killed=not busy
    )

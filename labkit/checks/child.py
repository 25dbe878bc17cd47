"""Runs an answer on its cases in a forked child that is killed when its time is up, so that no answer can hang a kernel.

Where there is no safe fork (Windows, macOS, autograd beside a GPU) a thread takes its place, which cannot be killed. Does
not judge (verdict.py).
"""

import builtins
import contextlib
import dataclasses
import faulthandler
import functools
import io
import json
import logging
import os
import random
import re
import select
import signal
import struct
import sys
import sysconfig
import threading
import time
import traceback
import types
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from labkit.checks.exercise import Case, Observation, Observe
from labkit.checks.observing import Listener, heard_by
from labkit.checks.wire import Plain, dumps, loads

CAN_FORK = sys.platform == "linux"  # macOS has fork, but its system libraries do not survive it
NOTHING_TO_CALL = "nothing that can be called"
_HEADER = struct.Struct("!Q")
_LARGEST_MESSAGE = 64 * 2**20
_MOST_PRINTED = 2000  # letters of one case that are kept
_PATIENCE = 0.5  # seconds in which a child may say where it is
_MOST_TOLD = 20_000  # of one case; no observer tells a hundredth of that
# Of torch's errors for what cannot be done in a forked process once its parent has used autograd with a GPU, or the GPU.
_OF_THE_FORK = ("fork-based multiprocessing", "in forked subprocess")


@dataclasses.dataclass(frozen=True)
class Observations:
    """One observation a case, in order. timed_out: at the limit the answer was still busy with the first missing one.

    within: by name the library in whose code it was then, loading: that it was still being loaded. died: the process that ran
    the answer ended on its own. killed: the answer is no longer running.
    """

    each: Sequence[Observation]
    timed_out: bool = False
    within: str = ""
    loading: bool = False
    died: bool = False
    killed: bool = True


def observe_all(observe: Observe, answer: Any, cases: Sequence[Case], timeout: float) -> Observations:
    """Run the answer on every case, for at most `timeout` seconds in all."""
    if not CAN_FORK:
        return _in_thread(observe, answer, cases, timeout)
    found = _in_child(observe, answer, cases, timeout)
    hampered = any(words in one.raised for one in found.each for words in _OF_THE_FORK)
    return _in_thread(observe, answer, cases, timeout) if hampered else found


def nothing_to_call(cases: Sequence[Case]) -> Observations:
    """What is observed of an answer that is neither function nor class."""
    return Observations([Observation({}, raised=NOTHING_TO_CALL)] * len(cases))


@contextlib.contextmanager
def kernel_left_alone() -> Iterator[None]:
    """One thread for torch, since threads would only wait for one another; afterwards as many as before.

    The global random states of Python, numpy and torch, which observers seed, are put back too.
    """
    import torch

    threads, torchs, pythons = torch.get_num_threads(), torch.get_rng_state(), random.getstate()
    numpys = np.random.get_state()  # noqa: NPY002 (the global one is meant)
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_rng_state(torchs)
        random.setstate(pythons)
        np.random.set_state(numpys)  # noqa: NPY002 (as above)


def observe_one(observe: Observe, answer: Any, inputs: Mapping[str, Any]) -> Observation:
    """Run the answer on one case, here; whatever it raises is part of what is observed."""
    told = _Told()
    with _silence(told.hear):
        return told.beside(_observed(observe, answer, inputs, told.hear))


@contextlib.contextmanager
def _silence(listener: Listener) -> Iterator[None]:
    """Neither prints nor warnings of an answer reach the page, for all threads. What is printed is told as `printed`."""
    with contextlib.redirect_stdout(_Printed(listener)), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _Printed(io.StringIO):
    """Standard output of an answer: its beginning is told as it comes, so that it is there whatever becomes of the answer."""

    def __init__(self, listener: Listener) -> None:
        super().__init__()
        self.listener = listener

    def write(self, text: str) -> int:
        self.listener("printed", text[:_MOST_PRINTED])
        return len(text)


def _observed(observe: Observe, answer: Any, inputs: Mapping[str, Any], listener: Listener) -> Observation:
    try:
        with heard_by(listener):
            return Observation(observe(answer, inputs))
    except BaseException as error:
        return Observation({}, raised=_described(error), unfinished=_is_unfinished(error, answer))


class _Told:
    """What the observer of one case told, until there is an observation that it belongs to."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, Plain]] = []
        self.printed = ""

    def hear(self, name: str, note: Plain) -> None:
        """Keep a note, unless an answer tells or prints without end."""
        if name == "printed":
            self.printed += str(note)[: _MOST_PRINTED - len(self.printed)]
        elif len(self.notes) < _MOST_TOLD:
            self.notes.append((name, note))

    def beside(self, observation: Observation) -> Observation:
        """The observation with what was told, as `tell` says it."""
        notes: dict[str, list[Plain]] = {}
        for name, note in self.notes:
            notes.setdefault(name, []).append(note)
        left, value = notes.pop("left", []), observation.seen.get("value")
        more = {"value": {**value, **notes}} if notes and isinstance(value, Mapping) else notes
        seen = {**observation.seen, **more, "left": left}
        return dataclasses.replace(observation, seen=seen, printed=self.printed)


def _described(error: BaseException) -> str:
    """The error's class and text; an answer may raise one that can tell neither."""
    kind, words = "an error", ""
    with contextlib.suppress(BaseException):
        kind = type(error).__name__
        words = " ".join(str(error).split())[:200]
    return f"{kind}: {words}" if words else kind


def _is_unfinished(error: BaseException, answer: Any) -> bool:
    """Whether it is `raise NotImplementedError` in the answer's own code; torch and others raise that too."""
    if not isinstance(error, NotImplementedError):
        return False
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    try:
        return frame is not None and frame.tb_frame.f_code in set(_codes_of(answer))
    except Exception:  # an answer may be an object that cannot be looked into
        return False


def _codes_of(answer: Any) -> Iterator[types.CodeType]:
    """The code of a function or of a class's methods, below any decorator, and of all that is defined within."""
    for thing in [answer, *(vars(answer).values() if isinstance(answer, type) else ())]:
        for _ in range(20):  # what a method, a partial or a decorated function is made of
            below = thing.func if isinstance(thing, functools.partial) else None
            for name in ("__func__", "__wrapped__"):
                below = below or getattr(thing, name, None)
            if below is None:
                break
            thing = below
        code = getattr(thing, "__code__", None)
        pending = [code] if isinstance(code, types.CodeType) else []
        while pending:
            inner = pending.pop()
            yield inner
            pending += [constant for constant in inner.co_consts if isinstance(constant, types.CodeType)]


# A forked child


def _in_child(observe: Observe, answer: Any, cases: Sequence[Case], timeout: float) -> Observations:
    import torch  # noqa: F401 (here, so that no child spends its time on it)

    reading, writing = os.pipe()
    asking, saying = os.pipe()  # where the answer is
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(ValueError, OSError):  # closed by somebody: nothing can be written twice then
            stream.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of Python 3.12, for a fork beside threads
        child = os.fork()
    if child == 0:
        os.close(reading)
        os.close(asking)
        _be_the_child(writing, saying, observe, answer, cases)
    os.close(writing)
    os.close(saying)
    found: list[Observation] = []
    where = ("", False)
    try:
        timed_out, told = _collect(reading, found, len(cases), time.monotonic() + timeout)
        if timed_out:
            where = _library(_files_of(child, asking))
    finally:
        os.close(reading)
        os.close(asking)
        for kill in (os.killpg, os.kill):  # its own group: also what the answer started
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(child, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(child, 0)
    missing = _missing(len(cases) - len(found), told)
    return Observations([*found, *missing], timed_out, *where, died=bool(missing) and not timed_out)


def _missing(count: int, told: "_Told") -> list[Observation]:
    """Cases without a result, of which the first was begun."""
    return [told.beside(Observation({}, missing=True)), *[Observation({}, missing=True)] * (count - 1)][:count]


def _files_of(child: int, asking: int) -> list[str]:
    """The files of the functions in which the child is at this moment, the innermost first; none if it does not say."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGUSR1)
    said, patience = b"", _PATIENCE
    while len(said) < 1 << 16 and select.select([asking], [], [], patience)[0] and (part := os.read(asking, 1 << 16)):
        said, patience = said + part, _PATIENCE / 10  # it comes word by word
    return re.findall(r'^  File "(.*)", line \d+ in ', said.decode("utf-8", "replace"), re.MULTILINE)


def _library(files: Sequence[str]) -> tuple[str, bool]:
    """The installed library in whose code the innermost functions are, "" where in other code; whether it is being loaded."""
    places = [Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")]
    standard = sysconfig.get_path("stdlib")
    loading, name = False, ""
    for path in files:
        place = next((place for place in places if Path(path).is_relative_to(place)), None)
        if place is not None:
            name = name or Path(path).relative_to(place).parts[0].removesuffix(".py")
        elif path.startswith("<frozen importlib"):
            loading = True
        elif not path.startswith(("<frozen", standard)):
            break
    return (name, loading and bool(name)) if name != "labkit" else ("", False)


def _be_the_child(writing: int, saying: int, observe: Observe, answer: Any, cases: Sequence[Case]) -> None:
    """Never returns: whatever happens, the child must not go on as a second kernel."""
    try:
        os.setpgid(0, 0)
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        faulthandler.register(signal.SIGUSR1, file=saying, all_threads=False)
        _be_quiet_and_single_threaded()
        own = os.getpid()

        def send(data: bytes) -> None:
            view = memoryview(_HEADER.pack(len(data)) + data)
            while view and os.getpid() == own:  # else the answer forked, and this is its copy
                view = view[os.write(writing, view) :]

        def tell(name: str, note: Plain) -> None:
            send(json.dumps([name, note]).encode())

        for case in cases:
            with _silence(tell):
                observation = _observed(observe, answer, case.inputs, tell)
            if os.getpid() != own:
                break
            send(_packed(observation))
    finally:
        os._exit(0)


def _be_quiet_and_single_threaded() -> None:
    """Nothing on the kernel's streams, nobody who would answer a question, and one thread for each library of numbers.

    The threads of a forked OpenMP pool are gone, and would be waited for.
    """

    def nobody_answers(prompt: object = "") -> str:
        raise EOFError("a check has nobody who could answer input()")

    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nowhere, stream)
    sys.stdin, sys.stdout, sys.stderr = io.StringIO(), io.StringIO(), io.StringIO()
    builtins.input = nobody_answers
    logging.disable()  # the kernel's own log would say of each progress bar and picture that it came from a fork
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch, threadpoolctl = sys.modules.get("torch"), sys.modules.get("threadpoolctl")
    if torch is not None:
        torch.set_num_threads(1)
    if threadpoolctl is not None:  # scikit-learn is there, with a pool of its own
        threadpoolctl.threadpool_limits(1)


def _packed(observation: Observation) -> bytes:
    """One observation as it crosses the border; one that cannot is one that failed."""
    try:
        return dumps({name: getattr(observation, name) for name in ("seen", "raised", "unfinished")})
    except Exception as error:
        return dumps({"seen": {}, "raised": _described(error), "unfinished": False})


def _collect(reading: int, found: list[Observation], wanted: int, deadline: float) -> tuple[bool, _Told]:
    """Read observations until all are there or the child is gone.

    True when the time was up first, and what was told of a case without an observation.
    """
    buffer = bytearray()
    told = _Told()
    while len(found) < wanted:
        left = deadline - time.monotonic()
        ready, _, _ = select.select([reading], [], [], max(0.0, left))
        if not ready or left <= 0:  # also where the answer itself writes without end
            return True, told
        part = os.read(reading, 1 << 20)
        buffer += part
        if not part or len(buffer) > _LARGEST_MESSAGE:
            return False, told
        while len(found) < wanted and (message := _taken(buffer)) is not None:
            if message.startswith(b"["):  # a note, as JSON; no archive begins like it
                told.hear(*_note(message))
            else:
                found.append(told.beside(_observation(message)))
                told = _Told()
    return False, told


def _note(message: bytes) -> tuple[str, Plain]:
    try:
        name, note = json.loads(message)
        return str(name), note
    except (ValueError, TypeError, RecursionError):
        return "no note", None


def _taken(buffer: bytearray) -> bytes | None:
    """The first whole message of the buffer, taken out of it; None where it is not all there yet."""
    if len(buffer) < _HEADER.size:
        return None
    (size,) = _HEADER.unpack_from(buffer)
    end = _HEADER.size + size
    if len(buffer) < end:
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
    told = [_Told() for _ in (*cases, None)]
    enough = threading.Event()

    def work() -> None:
        for case, notes in zip(cases, told, strict=False):
            message = _packed(_observed(observe, answer, case.inputs, notes.hear))
            if enough.is_set():
                return
            found.append(notes.beside(_observation(message)))

    thread = threading.Thread(target=work, daemon=True)
    # Here and not in the thread, which may be left behind and never give standard output back.
    with _silence(lambda *note: told[len(found)].hear(*note)):
        thread.start()
        thread.join(timeout)
    enough.set()
    each = list(found)
    missing = _missing(len(cases) - len(each), told[len(each)])
    busy = thread.is_alive()
    frames = traceback.walk_stack(sys._current_frames().get(thread.ident or 0)) if busy and missing else ()
    where = _library([frame.f_code.co_filename for frame, _ in frames])
    return Observations([*each, *missing], busy and bool(missing), *where, bool(missing) and not busy, not busy)

"""A second process that trains in little memory, to run out of it unharmed.

`LimitedMemory` starts it and asks it for training steps; the second half of this file runs there. On Linux the
limit is the operating system's, on CUDA the allocator's; elsewhere there is none, and memory.py's estimate answers in
its place.
"""

import contextlib
import dataclasses
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from labkit.display import LEFT, Tell, html_table
from labkit.errors import LabkitError, UsageError
from labkit.training.memory import AutomaticMicroBatch, OutOfMemory, is_out_of_memory, micro_batch_that_fits

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from labkit.data.batching import Batch

MEBIBYTE = 2**20
SECONDS_TO_START = 120.0
COMMAND = (sys.executable, "-m", "labkit.lessons.limited_memory")
# With this, glibc gives a tensor's memory back when it is let go, and keeps none.
SMALL_BLOCKS = {"MALLOC_MMAP_THRESHOLD_": "65536"}


class NoAnswer(LabkitError):
    """The other process gave no answer: it took too long, or died."""


@dataclass(frozen=True)
class StepTried:
    """One training step in limited memory.

    fits: whether it could be taken. micro_batch_size: reviews computed at once in the end. said: what the loop or the error
    said. estimated: nothing was run, memory.py's estimate answers.
    """

    fits: bool
    micro_batch_size: int
    seconds: float
    said: str = ""
    estimated: bool = False

    def __str__(self) -> str:
        verdict = f"fits, {self.micro_batch_size} reviews at once" if self.fits else "does not fit"
        how = "estimated" if self.estimated else f"{self.seconds:.1f} s"
        return f"{verdict} ({how})" + (f": {self.said}" if self.said else "")

    __repr__ = __str__


@dataclass(frozen=True)
class WaysTried:
    """Several training steps under one limit, by name."""

    limit_bytes: int
    ways: Mapping[str, StepTried]

    def __getitem__(self, name: str) -> StepTried:
        return self.ways[name]

    @property
    def caption(self) -> str:
        """How much memory there was."""
        return f"One training step in {self.limit_bytes / MEBIBYTE:,.0f} MiB"

    def __str__(self) -> str:
        return "\n".join([self.caption, *(f"{name}: {tried}" for name, tried in self.ways.items())])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        rows = [
            (
                name,
                "✓ yes" if tried.fits else "✗ no",
                f"{tried.micro_batch_size} reviews" if tried.fits else "",
                "estimated" if tried.estimated else f"{tried.seconds:.1f} s",
                tried.said,
            )
            for name, tried in self.ways.items()
        ]
        short = "white-space:nowrap"
        styles = (f"{LEFT};{short}", short, short, short, LEFT)
        return html_table(self.caption, [("way", "fits", "at once", "time", "said"), *rows], styles=styles)


class LimitedMemory:
    """Training steps in a process of their own, whose memory is limited.

    limit_bytes: how much the process may take beyond what it has when it is ready. encoder: a name or a folder, as
    `load_encoder` takes it. seconds: after which a step is given up and the process ended; the next step starts
    another. Whatever happens there, the process that asks goes on. Close it, or use it in a `with`. It gets ready while
    the one that asks goes on; the first step waits for it.
    """

    def __init__(self, encoder: str, limit_bytes: int, device: str = "auto", seconds: float = 60.0) -> None:
        if limit_bytes <= 0:
            raise UsageError(f"limit_bytes = {limit_bytes}; wanted more than 0")
        self.limit_bytes = int(limit_bytes)
        self.seconds = seconds
        self._arguments = (encoder, str(self.limit_bytes), device)
        self._worker: _Worker | None = _Worker(self._arguments)

    def __enter__(self) -> "LimitedMemory":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def step(self, **settings: Any) -> StepTried:
        """Take one training step: gradients and AdamW.

        Raises OutOfMemory, with what was said there, where it does not fit. settings: `reviews` (32), `max_length`
        (128), `precision` ("fp32"), `freeze` ("nothing"), and `smaller` (False): whether the micro-batch may be halved,
        and accumulated, until it fits. Raises UsageError for settings that are none, NoAnswer where no answer came in
        time.
        """
        tried = self._try(settings)
        if not tried.fits:
            raise OutOfMemory(tried.said)
        return tried

    def compare(self, ways: Mapping[str, Mapping[str, Any]], tell: Tell = print) -> WaysTried:
        """Take one step in each of the named ways and say whether it fits.

        Nothing is raised for those that do not. tell: hears which of the ways is being tried.
        """
        tried: dict[str, StepTried] = {}
        for name, settings in ways.items():
            tell(f"way {len(tried) + 1} of {len(ways)}: {name}")
            begun = time.monotonic()
            try:
                tried[name] = self._try(settings)
            except NoAnswer as why:
                tried[name] = StepTried(False, 0, time.monotonic() - begun, str(why))
        return WaysTried(self.limit_bytes, tried)

    def close(self) -> None:
        """End the other process; a later step starts another."""
        if self._worker is not None:
            self._worker.end()
            self._worker = None

    def _try(self, settings: Mapping[str, Any]) -> StepTried:
        try:
            if self._worker is None:
                self._worker = _Worker(self._arguments)
            self._worker.wait_until_ready()
            answer = self._worker.ask(settings, self.seconds)
            if answer.pop("last"):
                self.close()
            return StepTried(**answer)
        except UsageError:
            raise
        except BaseException:  # Interrupt too: the process may still be at it
            self.close()
            raise


class _Worker:
    """The other process, as seen from here: a line of JSON to it, a line back."""

    def __init__(self, arguments: tuple[str, ...]) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env=os.environ | SMALL_BLOCKS,
            start_new_session=True,  # an Interrupt is the notebook's, which then ends this process
        )
        self._is_ready = False
        self._lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._listen, args=(self.process.stdout,), daemon=True).start()

    def _listen(self, lines: IO[str]) -> None:
        with contextlib.suppress(ValueError):  # closed meanwhile
            for line in lines:
                self._lines.put(line)
        self._lines.put("")

    def wait_until_ready(self) -> None:
        """Wait for its first line, once; raises as `answer` does."""
        if not self._is_ready:
            self.answer(SECONDS_TO_START)
            self._is_ready = True

    def ask(self, question: Mapping[str, Any], seconds: float) -> dict[str, Any]:
        """One question, one answer."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it has died, and `answer` says so
            self.process.stdin.write(json.dumps(dict(question)) + "\n")
            self.process.stdin.flush()
        return self.answer(seconds)

    def answer(self, seconds: float) -> dict[str, Any]:
        """The next line from the other process.

        Raises UsageError for a wrong question, and NoAnswer for a failure or where no answer comes.
        """
        try:
            line = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise NoAnswer(f"took longer than {seconds:g} s and was stopped") from None
        if not line:
            raise NoAnswer(f"the process in limited memory died (exit code {self.process.wait()})")
        found: dict[str, Any] = json.loads(line)
        if "wrong use" in found:
            raise UsageError(found["wrong use"])
        if "failed" in found:
            raise NoAnswer(found["failed"])
        return found

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(OSError):  # what was not yet written to a process that is gone
                if stream is not None:
                    stream.close()


# --- in the other process -----------------------------------------------------------------------------------------


def _serve(encoder: str, limit_bytes: str, device: str) -> None:
    """Answer each line on standard input by a line, until there are no more."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a library prints is no answer
    for answer in _answers(encoder, int(limit_bytes), device):
        print(json.dumps(answer), file=answers, flush=True)


def _answers(encoder: str, limit_bytes: int, device: str) -> Iterator[Mapping[str, Any]]:
    try:
        training = _LimitedTraining(encoder, limit_bytes, device)
    except UsageError as why:
        yield {"wrong use": str(why)}
        return
    yield {"ready": True}
    for line in sys.stdin:
        try:
            yield dataclasses.asdict(training.step(**json.loads(line))) | {"last": training.is_spoilt}
        except (UsageError, TypeError) as why:
            yield {"wrong use": str(why)}
        except Exception as why:
            yield {"failed": f"{type(why).__name__}: {why}"}


class _LimitedTraining:
    """The model, ready to train, and the limit on what may come on top of it."""

    def __init__(self, encoder: str, limit_bytes: int, device: str = "auto") -> None:
        from labkit.models.encoders import load_encoder
        from labkit.training.precision import choose_device

        self.device = choose_device(device)
        self.model: PreTrainedModel = load_encoder(encoder)[0].to(self.device).train()
        self.limit_bytes = limit_bytes
        self.limited = False
        self.is_spoilt = False  # whether oneDNN ran out of memory: it gives up on every later product too
        # Threads, caches and the buffers of matrix products are there before the limit is, however many cores want theirs.
        self._take(self._batch(1, min(128, self.model.config.max_position_embeddings)), "fp32", reviews=1)
        self.limited = limit_memory(limit_bytes, self.device)

    def step(
        self,
        reviews: int = 32,
        max_length: int = 128,
        smaller: bool = False,
        precision: str = "fp32",
        freeze: str = "nothing",
    ) -> StepTried:
        """Take one training step on random token ids.

        AdamW's moments are there already, as in every step but the first.
        """
        from labkit.models.encoders import freeze as freeze_part

        positions = self.model.config.max_position_embeddings
        if reviews < 1 or not 3 <= max_length <= positions:
            raise UsageError(f"{reviews} reviews of {max_length} tokens; wanted at least 1, of 3 to {positions}")
        self.model.requires_grad_(True)
        freeze_part(self.model, freeze)
        if not self.limited:
            return self._estimated(reviews, max_length, smaller, frozen=freeze == "encoder")
        begun = time.monotonic()
        try:
            at_once, said = self._take(self._batch(reviews, max_length), precision, reviews, smaller)
        except (RuntimeError, MemoryError, OutOfMemory) as error:
            self.is_spoilt = str(error).startswith("could not create a")
            if not (self.is_spoilt or isinstance(error, OutOfMemory) or is_out_of_memory(error)):
                raise
            at_once, said = 0, str(error).strip().splitlines()[0]
        return StepTried(at_once > 0, at_once, time.monotonic() - begun, said)

    def _take(self, batch: "Batch", precision: str, reviews: int, smaller: bool = False) -> tuple[int, str]:
        """Take the step; returns the reviews computed at once and what was said.

        Whatever memory the step took is given back.
        """
        import torch

        from labkit.training.loop import accumulate_gradients
        from labkit.training.optimizer import make_optimizer
        from labkit.training.precision import choose_precision

        chosen = choose_precision(precision, self.device)
        said = [chosen.notice] if chosen.notice else []
        accumulate = AutomaticMicroBatch(accumulate_gradients, reviews, said.append)
        try:
            optimizer = make_optimizer(self.model, learning_rate=0.0, weight_decay=0.0)
            for parameter in self.model.parameters():
                parameter.grad = torch.zeros_like(parameter) if parameter.requires_grad else None
            optimizer.step()  # which makes the moments
            with _onednn(chosen.name != "fp32"):  # fp32 can do without, and PyTorch's own code does not give up
                (accumulate if smaller else accumulate_gradients)(self.model, [batch], chosen)
            optimizer.step()
        finally:
            self.model.zero_grad(set_to_none=True)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
        return accumulate.micro_batch_size, "; ".join(said)

    def _batch(self, reviews: int, max_length: int) -> "Batch":
        """That many rows of random token ids, all of that length."""
        import numpy as np

        from labkit.data.batching import Batcher
        from labkit.data.tokens import Tokenized

        generator = np.random.default_rng(0)
        rows = list(generator.integers(0, self.model.config.vocab_size, (reviews, max_length), dtype=np.int32))
        tokenized = Tokenized(rows, np.zeros(reviews, dtype=bool), pad_token_id=0)
        return Batcher(tokenized, np.zeros(reviews, dtype=np.int64), "dynamic").batch(range(reviews))

    def _estimated(self, reviews: int, max_length: int, smaller: bool, frozen: bool) -> StepTried:
        """What memory.py's estimate for fp32 says of the limit; nothing is run.

        frozen: no layer keeps anything for the backward pass, so one layer's share of the estimate is there at a time.
        """
        layers = self.model.config.num_hidden_layers if frozen else 1
        try:
            at_once = micro_batch_that_fits(self.model, reviews, max_length, self.limit_bytes * layers)
        except OutOfMemory:
            return StepTried(False, 0, 0.0, "not even one review fits", estimated=True)
        if at_once == reviews or smaller:
            return StepTried(True, at_once, 0.0, estimated=True)
        return StepTried(False, 0, 0.0, f"{reviews} reviews at once do not fit; {at_once} would", estimated=True)


@contextlib.contextmanager
def _onednn(enabled: bool) -> Iterator[None]:
    """Let PyTorch use oneDNN's code or not, and restore the setting afterwards."""
    import torch

    before = torch.backends.mkldnn.enabled
    torch.backends.mkldnn.enabled = enabled  # type: ignore[assignment]  # a property, which torch sets up where mypy does not look
    try:
        yield
    finally:
        torch.backends.mkldnn.enabled = before


def limit_memory(limit_bytes: int, device: "torch.device") -> bool:
    """Limit what this process may take from now on; False where that cannot be done."""
    if device.type == "cuda":
        import torch

        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(device) + limit_bytes) / total, device)
        return True
    return device.type == "cpu" and sys.platform == "linux" and _limit_on_linux(limit_bytes)


def _limit_on_linux(limit_bytes: int) -> bool:
    """Limit what may be written to, or, if that is not enforced, all that is mapped."""
    import resource

    # the kernel's own account of this process
    with open("/proc/self/status", encoding="ascii", errors="replace") as status:
        account = dict(line.split(":", 1) for line in status if ":" in line)
    for limit, row in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
        before = resource.getrlimit(limit)
        wanted = int(account[row].split()[0]) * 1024 + limit_bytes
        if before[1] not in (resource.RLIM_INFINITY, -1):
            wanted = min(wanted, before[1])
        resource.setrlimit(limit, (wanted, before[1]))
        if _limit_holds(limit_bytes):
            return True
        resource.setrlimit(limit, before)
    return False


def _limit_holds(limit_bytes: int) -> bool:
    """Whether more than the limit is refused.

    Asks for it and does not touch it, so nothing is used up.
    """
    import mmap

    flags: int = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
    try:
        mmap.mmap(-1, limit_bytes + 16 * MEBIBYTE, flags=flags).close()
    except OSError:
        return True
    return False


if __name__ == "__main__":
    _serve(*sys.argv[1:])

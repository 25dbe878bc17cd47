"""The command line, timed stage by stage to the end of its first optimizer step.

    python benchmarks/startup_watch.py BEGUN train --output FOLDER

Prints the seconds of each stage as a line of JSON. startup.py starts it. BEGUN: `time.time()` just before this process
was started. The time of a stage is its own: an import made by a function counts as import, and not for the stage that the
function belongs to.
"""

# ruff: noqa: E402 (the clock comes before all other imports)

import time

STARTED = time.time()

import builtins
import importlib
import json
import os
import sys
from collections import defaultdict
from collections.abc import Callable
from typing import Any, NoReturn

# Whose functions belong to which stage, by the module in which the command looks them up.
STAGES = {
    "labkit.data.reviews": {"movie_reviews": "reviews"},
    "labkit.experiments.fine_tuning": {
        "split_reviews": "reviews",
        "load_encoder": "weights",
        "make_batchers": "tokenization",
    },
}


class Clock:
    """The time of each stage, without that of the stages within it."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.running = ["the rest"]
        self._mark = STARTED
        self._end_is_open = True

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time counts for the stage from now on."""

        def watched(*arguments: Any, **named: Any) -> Any:
            if self.running[-1] == "imports" and stage == "imports":
                return function(*arguments, **named)
            self.turn()
            self.running.append(stage)
            try:
                return function(*arguments, **named)
            finally:
                self.turn()
                self.running.pop()
                if stage == "imports":
                    self.watch_what_was_imported()

        return watched

    def turn(self) -> None:
        """Give the time since the last turn to the stage that is running."""
        now = time.time()
        self.seconds[self.running[-1]] += now - self._mark
        self._mark = now

    def watch_what_was_imported(self) -> None:
        """Time the functions of STAGES, and end after torch's first optimizer step."""
        for name in [name for name in STAGES if _is_imported(name)]:
            module = sys.modules[name]
            for function, stage in STAGES.pop(name).items():
                setattr(module, function, self.timed(stage, getattr(module, function)))
        if self._end_is_open and _is_imported("torch"):
            self._end_is_open = False
            sys.modules["torch.optim.optimizer"].register_optimizer_step_post_hook(self.end)

    def end(self, *arguments: object) -> NoReturn:
        """Print the stages and leave the process as it is."""
        self.turn()
        if STAGES:
            print(f"not watched, since never imported: {', '.join(STAGES)}", file=sys.stderr, flush=True)
            os._exit(1)
        print(json.dumps({"python": STARTED - float(sys.argv[1]), **self.seconds}), flush=True)
        os._exit(0)


def _is_imported(name: str) -> bool:
    module = sys.modules.get(name)
    return module is not None and not getattr(module.__spec__, "_initializing", False)


if __name__ == "__main__":
    clock = Clock()
    builtins.__import__ = clock.timed("imports", builtins.__import__)
    importlib.import_module = clock.timed("imports", importlib.import_module)
    from labkit.cli import main

    main(sys.argv[2:])

"""Pytest's conftest of the notebook run.

A dead kernel fails its cell at once, and so does a picture without words. nbval itself waits for a dead kernel until
the cell's time is up. At the end stands how long each notebook took. scripts/run_notebooks.py puts this file beside the
notebooks.
"""

import time
from collections import Counter
from collections.abc import Generator
from queue import Empty
from typing import Any

import nbval.plugin
import pytest
from nbval.kernel import RunningKernel

from labkit.course.lint import pictures_without_alt

POLL_SECONDS = 1.0


class KernelDied(Exception):
    """The process that ran the cells is gone."""


class WatchedKernel(RunningKernel):
    """nbval's kernel, which also notices while it waits that the process is gone."""

    def get_message(self, stream: str, timeout: float | None = None) -> Any:
        end = time.monotonic() + (float("inf") if timeout is None else timeout)
        while True:
            left = end - time.monotonic()
            try:
                return super().get_message(stream, timeout=max(0.0, min(left, POLL_SECONDS)))
            except Empty:
                if not self.is_alive():
                    raise KernelDied from None
                if left <= POLL_SECONDS:
                    raise


nbval.plugin.RunningKernel = WatchedKernel


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: Any) -> Generator[None, object, object]:
    """Name the cell where a kernel died, and look at the pictures.

    Nothing is expected of the cells after it.
    """
    try:
        done = yield
    except KernelDied:
        item.parent.timed_out = True
        item.raise_cell_error("The kernel died in this cell: out of memory, or a crash in a library.")
        raise
    for found in pictures_without_alt({"cells": [{"id": item.cell.get("id"), "outputs": item.test_outputs}]}):
        item.raise_cell_error(found)
    return done


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How long each notebook took, the start of its kernel included."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if "::" in getattr(report, "nodeid", ""):
                seconds[report.nodeid.partition("::")[0]] += getattr(report, "duration", 0.0)
    for name, took in sorted(seconds.items()):
        terminalreporter.write_line(f"{took:6.1f} s  {name}")

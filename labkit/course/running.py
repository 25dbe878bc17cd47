"""A notebook executed from top to bottom in a folder that the caller chose, and what went wrong on the way.

In memory: the file on disk stays as it is. Runs whatever the notebook says with the rights of who calls it; who may be
trusted is asked elsewhere (checking.py).
"""

import asyncio
import contextlib
import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from labkit.checks.courses import read_course
from labkit.course.notebooks import Notebook
from labkit.errors import UsageError, missing_extra

CELL_SECONDS = 600
HEED_SECONDS = 10  # that a cell has to end once it was told to stop
SETTINGS = Path(__file__).resolve().parent.parent / "shipped" / "jupyter"
_LATE = "CellTimeoutError"


@dataclass(frozen=True)
class Run:
    """An executed notebook. trouble: the first thing that went wrong, empty where all cells ran."""

    notebook: Notebook
    trouble: str = ""


def run_notebook(
    notebook: Notebook, folder: Path, cell_seconds: int = CELL_SECONDS, environment: Mapping[str, str] | None = None
) -> Run:
    """Execute every cell, also those after one that raised or was stopped because its time was up.

    A kernel that dies, or that does not heed being stopped, ends the run at once. It is this Python's, whatever else calls
    itself python3, and no file of its folder takes the place of a module. folder: where the kernel works. environment: added to
    this process's. Raises UsageError where Jupyter's parts are absent.
    """
    try:
        import ipykernel  # noqa: F401  (the kernel, which another process imports)
        from jupyter_client.kernelspec import KernelSpecManager
        from jupyter_client.manager import AsyncKernelManager
        from nbclient import NotebookClient, exceptions
    except ImportError:
        raise missing_extra("running notebooks", "jupyterlab", "lab") from None
    import nbformat

    executed = nbformat.from_dict(unrun(notebook))
    late: list[int] = []

    def note(cell: Any, cell_index: int, execute_reply: Any) -> None:
        late.extend([cell_index + 1] * (execute_reply["content"].get("ename") == _LATE))

    # Where no folder is looked into for kernels, python3 is ipykernel's own answer: this Python.
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    client = NotebookClient(
        executed,
        km=kernel,
        timeout=cell_seconds,
        interrupt_on_timeout=True,
        error_on_timeout={"ename": _LATE, "evalue": "", "traceback": []},
        iopub_timeout=HEED_SECONDS,
        raise_on_iopub_timeout=True,
        on_cell_executed=note,
        allow_errors=True,
        resources={"metadata": {"path": str(folder)}},
    )
    trouble = ""
    try:
        with _interruptible(client):
            # What a cell prints comes by messages; on its standard error a kernel only talks of itself.
            surroundings = {**os.environ, **(environment or {}), "PYTHONSAFEPATH": "1"}
            client.execute(env=surroundings, stderr=subprocess.DEVNULL, cleanup_kc=True)
    except exceptions.DeadKernelError:
        trouble = f"{_last_cell(executed)}: the kernel died (out of memory, or a crash in a library)"
    except exceptions.CellTimeoutError:
        late.append(_begun(executed)[-1])
    except RuntimeError as why:  # the kernel did not come up
        trouble = f"the kernel did not start: {why}"
        client.km = kernel  # for which nbclient asks once more when this program ends
    except Exception as why:  # whatever oddity of a notebook that is not ours Jupyter trips over
        trouble = f"{_last_cell(executed)}: could not be run ({type(why).__name__}: {why})"
    if late and not trouble:
        trouble = f"{_named(executed, late[0])}: took longer than {cell_seconds} s and was stopped"
    trouble = trouble or _first_error(executed)
    return Run(json.loads(json.dumps(executed)), trouble)  # nbformat has a kind of dictionaries of its own


def unrun(notebook: Notebook) -> Notebook:
    """A copy as if it had never been run, in which nothing keeps a code cell from being run.

    No outputs or times of an earlier run, which would be taken for those of this one; no tags, by which cells are left out;
    and a question mark for half of an emoji, which no kernel takes.
    """
    fresh = copy.deepcopy(notebook)
    for cell in fresh["cells"]:
        for name in ("execution", "tags"):
            cell["metadata"].pop(name, None)
        cell["source"] = cell["source"].encode("utf-8", "replace").decode()
        if cell["cell_type"] == "code":
            cell |= {"outputs": [], "execution_count": None}
        else:
            cell.pop("outputs", None)
    return fresh


@contextlib.contextmanager
def _interruptible(client: Any) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the kernel, and then do here what they do elsewhere; nbclient's own answer is a traceback."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard: list[signal.Signals] = []

    def end(number: signal.Signals) -> None:
        heard.append(number)
        client.ending = asyncio.ensure_future(client.km.signal_kernel(signal.SIGKILL))

    def listen(**_: Any) -> None:
        for number in handlers:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # Windows; not the main thread
                asyncio.get_running_loop().add_signal_handler(number, end, number)

    client.on_notebook_start = listen
    try:
        yield
    finally:
        for number, handler in handlers.items():
            with contextlib.suppress(ValueError, TypeError):  # not the main thread; not set by Python
                signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])


def jupyterlab(folder: Path, arguments: Sequence[str]) -> int:
    """Run JupyterLab of this Python in a folder until it ends; its exit code. Ctrl-C is JupyterLab's to answer.

    Raises UsageError where it is absent.
    """
    if find_spec("jupyterlab") is None:
        raise missing_extra("opening the course", "jupyterlab", "lab")
    # Its terminals are to find labkit, and its notebooks this Python, whatever else calls itself python3. Its settings,
    # unless who uses them chose others: no question about news of Jupyter's before the first line is read.
    first = {
        "PATH": str(Path(sys.executable).parent),
        "JUPYTER_PATH": str(Path(sys.prefix, "share", "jupyter")),
        "JUPYTER_CONFIG_PATH": str(SETTINGS),
    }
    paths = {name: os.pathsep.join(filter(None, [path, os.environ.get(name)])) for name, path in first.items()}
    environment = {**os.environ, **paths}
    with contextlib.suppress(UsageError):  # a copy of labkit's own course has none of its own
        environment |= read_course(folder).import_path()
    command = [sys.executable, "-m", "jupyterlab", str(folder), *arguments]
    with subprocess.Popen(command, env=environment) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue
            except BaseException:
                process.terminate()
                raise


def _first_error(notebook: Any) -> str:
    """The first cell that raised, and what; empty where none did."""
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", ()):
            if output.output_type == "error":
                said = str(output.evalue).partition("\n")[0]
                return f"{_named(notebook, number)}: {output.ename}" + (f": {said}" if said else "")
    return ""


def _last_cell(notebook: Any) -> str:
    """The last cell that was begun."""
    begun = _begun(notebook)
    return _named(notebook, begun[-1]) if begun else "the first cell"


def _begun(notebook: Any) -> list[int]:
    """The numbers of the cells that were begun."""
    return [number for number, cell in enumerate(notebook.cells, start=1) if "execution" in cell.metadata]


def _named(notebook: Any, number: int) -> str:
    return f"cell {number} ({notebook.cells[number - 1].get('id', 'without id')})"

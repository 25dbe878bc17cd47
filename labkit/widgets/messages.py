"""Widget messages while a cell runs: a kernel in training must be made to listen.

ipykernel 7 lets a front end send widget messages to a thread beside the cells (a subshell), and then there is nothing to
do. But it sends the answers to a widget that a cell has made or changed back to the cells' own thread, where they wait
for the cell to end, and some front ends know no subshells. So a long cell asks here between two steps. Elsewhere than in
such a kernel the question costs nothing and finds nothing; the Interrupt button of the front end always works.
"""

import asyncio
import sys
import threading
from typing import Any

WIDGET_MESSAGES = ("comm_open", "comm_msg", "comm_close")
_postponed: set[Any] = set()  # the loop alone would let go of them


def handle_widget_messages() -> int:
    """Handle the waiting widget messages; returns how many there were.

    All other messages (the next cells of Run All) keep their order and are handled when the cell has ended.
    """
    kernel, inbox = _cells_inbox()
    if inbox is None:
        return 0
    import zmq

    handled = 0
    while True:  # until all have been read: a socket says only once that there are some
        try:
            frames = inbox.to_socket.recv_multipart(zmq.NOBLOCK, copy=False)
        except zmq.Again:
            return handled
        if _kind(kernel, frames) in WIDGET_MESSAGES:
            _handle(kernel, frames)
            handled += 1
        else:  # goes where it was going, as a task: tasks run in their order, once the cell has ended
            task = asyncio.ensure_future(inbox.to_stream._recv_callback(frames))
            _postponed.add(task)
            task.add_done_callback(_postponed.discard)


def _cells_inbox() -> tuple[Any, Any]:
    """The kernel, and the sockets of the thread that runs cells, if it is this one."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    kernel = getattr(shell, "kernel", None)
    manager = getattr(getattr(kernel, "shell_channel_thread", None), "manager", None)
    inbox = getattr(manager, "_shell_channel_to_main", None)
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # no cell runs here
        return kernel, None
    return kernel, inbox if threading.current_thread() is threading.main_thread() else None


def _kind(kernel: Any, frames: list[Any]) -> str:
    """The type of a message; taking out its content too would spend its signature."""
    try:
        _, parts = kernel.session.feed_identities(frames, copy=False)
        return str(kernel.session.deserialize(parts, content=False, copy=False)["header"]["msg_type"])
    except Exception:  # the kernel's own signs, and whatever it will complain of itself
        return ""


def _handle(kernel: Any, frames: list[Any]) -> None:
    """Handle one widget message as the kernel would, then return to the cell.

    What is printed afterwards goes to the running cell again. The front end waits for the word idle before it sends the
    next message of the same widget.
    """
    cell_identity, cell = kernel._parent_ident["shell"], kernel.get_parent("shell")
    identities, parts = kernel.session.feed_identities(frames, copy=False)
    message = kernel.session.deserialize(parts, content=True, copy=False)
    kernel.set_parent(identities, message)
    kernel._publish_status("busy", "shell")
    try:
        kernel.shell_handlers[message["header"]["msg_type"]](None, identities, message)
    except Exception:
        kernel.log.exception("a widget message could not be handled")
    finally:
        kernel._publish_status("idle", "shell")
        kernel.set_parent(cell_identity, cell)
        kernel._publish_status("busy", "shell")

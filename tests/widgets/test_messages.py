"""Laws of widget messages in a busy kernel: a click is heard while a cell runs, and nothing else is lost or disordered."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from labkit.widgets.messages import handle_widget_messages

LISTENING_CELL = """
import time
from ipywidgets import Button
from labkit.widgets.messages import handle_widget_messages
clicks, order = [], []
button = Button()
button.on_click(lambda _: (clicks.append(1), print("inside")))
print("id", button.comm.comm_id, flush=True)
end = time.monotonic() + 20
while not clicks and time.monotonic() < end:
    handle_widget_messages()
    time.sleep(0.01)
handle_widget_messages()
print("clicks", len(clicks))
"""
DEAF_CELL = LISTENING_CELL.replace("handle_widget_messages()", "pass").replace("20", "3")


@pytest.fixture
def client() -> Iterator[BlockingKernelClient]:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel()
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def click(client: BlockingKernelClient, comm_id: str, subshell: str | None = None) -> None:
    """What a front end sends when a button is pressed."""
    content = {"comm_id": comm_id, "data": {"method": "custom", "content": {"event": "click"}}}
    message = client.session.msg("comm_msg", content)
    if subshell:
        message["header"]["subshell_id"] = subshell
    client.shell_channel.send(message)


def printed(client: BlockingKernelClient, until: str, seconds: float = 30) -> list[str]:
    """The lines that the kernel prints, up to one that begins with `until`."""
    lines: list[str] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        message: dict[str, Any] = client.get_iopub_msg(timeout=seconds)
        if message["msg_type"] == "stream":
            lines += message["content"]["text"].splitlines()
        assert message["msg_type"] != "error", message["content"]
        if any(line.startswith(until) for line in lines):
            return lines
    raise AssertionError(f"{until} was not printed; seen: {lines}")


def comm_of(client: BlockingKernelClient) -> str:
    return printed(client, "id ")[-1].removeprefix("id ")


def test_a_click_is_heard_while_the_cell_runs_and_later_cells_keep_their_order(client: BlockingKernelClient) -> None:
    client.execute(LISTENING_CELL)
    for number in range(3):  # Run All: they wait already
        client.execute(f"order.append({number}); variable_{number} = {number}")
    comm_id = comm_of(client)
    client.execute("order.append(3)")
    click(client, comm_id)
    client.execute("order.append(4)")
    assert printed(client, "clicks") == ["inside", "clicks 1"]
    client.execute("print('order', order, variable_1)")
    assert printed(client, "order") == ["order [0, 1, 2, 3, 4] 1"]


def test_without_listening_the_click_waits_for_the_cell(client: BlockingKernelClient) -> None:
    """The reason for this module; when it fails, the kernel has learned to do it by itself."""
    client.execute(DEAF_CELL)
    click(client, comm_of(client))
    assert "clicks 0" in printed(client, "clicks")


def test_outside_a_kernel_there_is_nothing_to_handle() -> None:
    assert handle_widget_messages() == 0

"""A real JupyterLab in a headless Chromium: what a student sees and operates.

Skipped where there is no playwright (`pip install playwright`) or no Chromium (found by name, or named in
LABKIT_CHROMIUM); the rest of the suite needs neither. Nothing is fetched: playwright drives the Chromium that is there.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from labkit.course import running

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},  # every cell is drawn, also below the fold
}


@dataclass
class Lab:
    """A running JupyterLab, its course folder, and a browser page that looks at it."""

    folder: Path
    url: str
    token: str
    page: Any

    def open(self, name: str) -> None:
        """Open a notebook of the course folder and wait for its kernel."""
        self.page.goto(f"{self.url}lab/tree/{name}?token={self.token}&reset")
        self.page.locator(".jp-Notebook .jp-Cell").first.wait_for(timeout=60_000)
        self.page.locator(".jp-StatusBar-Widget").get_by_text("| Idle").wait_for(timeout=60_000)

    def run_all(self) -> None:
        """Run > Run All Cells, without waiting for the end."""
        for _ in range(5):  # a notebook that is not yet connected with its kernel runs nothing and says nothing
            self.page.get_by_role("menuitem", name="Run", exact=True).click()
            self.page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
            self.page.wait_for_timeout(1500)
            if any(prompt != "[ ]:" for prompt in self.page.locator(".jp-CodeCell .jp-InputPrompt").all_inner_texts()):
                return
        pytest.fail("Run All Cells ran nothing")

    def wait_until_run(self, seconds: float = 60) -> None:
        """Wait until no cell waits or runs any more; fails with the text of the first error."""
        self.page.wait_for_function(
            "() => { const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(e => e.innerText);"
            " return prompts.length > 0 && prompts.every(text => /\\[\\d+\\]/.test(text)); }",
            timeout=seconds * 1000,
        )
        errors = self.page.locator(".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.error']")
        assert errors.count() == 0, errors.first.inner_text()

    def restart(self) -> None:
        """Kernel > Restart Kernel, confirmed, and wait for the new one."""
        self.page.get_by_role("menuitem", name="Kernel", exact=True).click()
        self.page.locator(".lm-Menu-itemLabel").filter(has_text="Restart Kernel…").first.click()
        self.page.locator(".jp-Dialog button.jp-mod-warn, .jp-Dialog button.jp-mod-accept").last.click()
        self.page.locator(".jp-StatusBar-Widget").get_by_text("| Idle").wait_for(timeout=60_000)

    def save(self) -> None:
        """Save the notebook and wait until it is on the disk."""
        self.page.keyboard.press("Control+s")
        self.page.locator(".lm-TabBar-tab.jp-mod-current.jp-mod-dirty").wait_for(state="detached", timeout=10_000)

    def output(self, cell: int) -> Any:
        """The outputs of a code cell, counted from 0."""
        return self.page.locator(".jp-CodeCell").nth(cell).locator(".jp-Cell-outputArea")


def write_notebook(path: Path, cells: Sequence[str]) -> None:
    """A notebook of code cells, as a student's that was never run."""
    import nbformat

    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


@pytest.fixture(name="write_notebook", scope="session")
def give_write_notebook() -> Callable[[Path, Sequence[str]], None]:
    """`write_notebook` for the tests, which cannot import from here."""
    return write_notebook


def chromium() -> str | None:
    """The Chromium of this machine."""
    return os.environ.get("LABKIT_CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, str]]:
    """A JupyterLab of its own: the course folder, the address, the token."""
    home, folder = tmp_path_factory.mktemp("jupyter"), tmp_path_factory.mktemp("course")
    (folder / ".labkit").mkdir()
    for name, values in SETTINGS.items():
        path = home / "settings" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))
    places = {"CONFIG_DIR": "config", "RUNTIME_DIR": "runtime", "DATA_DIR": "data"}
    environment = os.environ | {f"JUPYTER_{name}": str(home / place) for name, place in places.items()}
    environment |= {
        "JUPYTER_CONFIG_PATH": str(running.SETTINGS),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "spaces"),
    }
    arguments = ["--no-browser", "--port=0", "--ServerApp.port_retries=0", "--ServerApp.allow_root=True"]
    with (home / "log").open("w") as log:
        lab = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *arguments, f"--ServerApp.root_dir={folder}"],
            cwd=folder,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        facts = _facts(lab, home)
        yield folder, facts["url"], facts["token"]
    finally:
        lab.terminate()
        lab.wait(timeout=30)


def _facts(lab: "subprocess.Popen[bytes]", home: Path) -> dict[str, str]:
    """What the server writes about itself once it listens."""
    end = time.monotonic() + 60
    while time.monotonic() < end and lab.poll() is None:
        for path in (home / "runtime").glob("jpserver-*.json"):
            if text := path.read_text():
                return json.loads(text)
        time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{(home / 'log').read_text()[-2000:]}", pytrace=False)


@pytest.fixture
def lab(server: tuple[Path, str, str]) -> Iterator[Lab]:
    """A fresh browser page before a running JupyterLab."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the browser tests need playwright: pip install playwright"
    )
    browser_path = chromium()
    if browser_path is None:
        pytest.skip("the browser tests need Chromium; LABKIT_CHROMIUM may name it")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        try:
            yield Lab(*server, page)
        finally:
            browser.close()

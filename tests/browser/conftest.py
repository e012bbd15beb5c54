"""A real server on a free port, and Debian's Chromium to look at it."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from braindash.config import Home
from braindash.ui import barrier

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "app"))  # fake_home
sys.path.insert(0, str(ROOT / "tests"))  # tiny_models
START_SECONDS = 120
GONE = ("reaching server endpoint", "server is not responding")  # as Streamlit says it in the browser
# a worker of the suite has a share of a core: a process that starts several threads waits for each of them
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("browser")


@dataclass
class Server:
    """The pages of one home, served by a process that can be ended and started again."""

    home: Home
    log: Path
    port: int = 0
    stopped: bool = False  # by the test, at least once
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        if not self.port:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                self.port = free.getsockname()[1]
        command = [sys.executable, "-m", "braindash.ui.serve", "--home", str(self.home.path), "--port", str(self.port)]
        environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2):
                return
            time.sleep(0.2)
        raise AssertionError(f"the server did not start: {self.log.read_text(encoding='utf-8')[-2000:]}")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process, self.stopped = None, True


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server on an empty home; fill ``server.home``, then ``server.start()``."""
    served = Server(Home(tmp_path / "home"), tmp_path / "server.log")
    yield served
    served.stop()


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """Debian's Chromium, without a display."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not installed (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: object, server: Server) -> Iterator[Callable[..., object]]:
    """Open an address of the server in a new tab; requests to anywhere else, and errors, fail the test."""
    contexts: dict[tuple[int, int, str], Any] = {}
    strangers: list[str] = []
    faults: list[str] = []

    def hear(message: Any) -> None:
        # a file that is not there is told by the browser itself, without a word of ours
        if message.type == "error" and not message.text.startswith("Failed to load resource"):
            gone = any(words in message.text for words in GONE)
            if not (gone and server.stopped):
                faults.append(message.text)

    def look(request: Any) -> None:
        if not request.url.startswith(("data:", "blob:", server.url)):
            strangers.append(request.url)

    def open_(path: str = "", width: int = 1440, height: int = 900, scheme: str = "light") -> object:
        kind = (width, height, scheme)
        if kind not in contexts:  # kept, so that the second window of a kind finds its scripts in the cache
            contexts[kind] = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[attr-defined]
            contexts[kind].on("request", look)
            contexts[kind].on("console", hear)
            contexts[kind].on("weberror", lambda e: faults.append(str(e.error)))
        context = contexts[kind]
        page = context.new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{server.url}/{path}")
        page.get_by_test_id("stHeading").first.wait_for()
        settle(page)
        return page

    yield open_
    for context in contexts.values():
        context.close()
    assert not strangers, strangers
    assert not faults, faults


def settle(page: object) -> None:
    """Wait until the script has ended, and fail where it raised."""
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()  # type: ignore[attr-defined]
    assert page.get_by_test_id("stException").count() == 0, page.get_by_test_id("stException").first.inner_text()  # type: ignore[attr-defined]
    assert page.get_by_text(barrier.WHAT).count() == 0  # type: ignore[attr-defined]

"""A server, Chromium, and a clock inside the page: what a reader sees when.

All times are milliseconds by the browser's own clock, from the input (or the start of the navigation):
"heading" is the first frame with a heading; "asked" when the browser has told the server (some of
Streamlit's widgets wait before they do); "script" when the page's script has ended; "drawn" when the last
thing on the page, charts and maps too, has changed and nothing more followed for half a second.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
QUIET = 500  # ms without a change
TIMEOUT = 60_000
BLANK = 'import streamlit as st\nst.set_page_config(page_title="blank", layout="wide")\nst.title("Blank")\n'
# a browser reads plotly, five megabytes, before it draws its first chart: what every page with one pays at least
ONE_CHART = BLANK + "import plotly.graph_objects as go\nst.plotly_chart(go.Figure(go.Scatter(y=[1, 2])))\n"
# the least that a control takes which changes one small chart
ONE_CONTROL = (
    BLANK
    + "import plotly.graph_objects as go\n"
    + 'up = st.segmented_control("Line", ["up", "down"], default="up") == "up"\n'
    + "st.plotly_chart(go.Figure(go.Scatter(y=[1, 2] if up else [2, 1])))\n"
)

# set up before anything else runs in the page
CLOCK = """
(() => {
  const nothing = { input: 0, heading: 0, asked: 0, script: 0, drawn: 0, painted: 0, maps: 0, paints: 0 };
  const seen = { ...nothing, state: "", before: "", headed: true };
  window.__seen = seen;
  // a control leaves the heading as it is; to look whether it can be seen lays the whole page out at every change
  seen.arm = (headed = true) => {
    Object.assign(seen, nothing, { armed: true, headed });
    seen.before = document.querySelector("[data-testid=stHeading]")?.innerText ?? "";
  };
  const now = () => performance.now();
  for (const kind of ["click", "keydown"])
    addEventListener(kind, () => { if (seen.armed && !seen.input) seen.input = now(); }, true);
  const app = () => document.querySelector("[data-testid=stApp]");
  const look = () => {
    const state = app()?.getAttribute("data-test-script-state") ?? "";
    if (state !== seen.state) {
      seen.state = state;
      if (state === "running" || state === "rerunRequested") { if (!seen.asked) seen.asked = now(); }
      else if (state === "notRunning") seen.script = now();
    }
    if (seen.headed && !seen.heading) {
      const heading = document.querySelector("[data-testid=stHeading]");
      const text = heading?.offsetParent ? heading.innerText : "";
      if (text && text !== seen.before) seen.heading = now();
    }
  };
  new MutationObserver((records) => {
    look();
    for (const r of records) {
      const at = r.target.nodeType === 1 ? r.target : r.target.parentElement;
      // what stands inside a canvas is said by screen readers and never painted: tables write it 200 ms late on purpose
      const within = at?.closest("[data-testid=stMain]") && !at.closest("[data-testid=stStatusWidget], canvas");
      if (within && r.type !== "attributes") { seen.drawn = now(); break; }
    }
  }).observe(document, { subtree: true, childList: true, characterData: true, attributes: true,
                         attributeFilter: ["data-test-script-state"] });
  const put = CanvasRenderingContext2D.prototype.putImageData;
  CanvasRenderingContext2D.prototype.putImageData = function (...given) {
    put.apply(this, given);
    seen.painted = seen.drawn = now();
    if (this.canvas.classList.contains("below")) seen.maps = now(); // plotly, too, puts images
    seen.paints += 1;
  };
  const write = CanvasRenderingContext2D.prototype.fillText; // tables are drawn, not written into the page
  CanvasRenderingContext2D.prototype.fillText = function (...given) {
    write.apply(this, given);
    if (this.canvas.closest("[data-testid=stMain]")) seen.drawn = now();
  };
  // a part whose code is still being fetched or read keeps its place with a skeleton
  const waiting = () => document.querySelector("[data-testid=stMain] [data-testid=stSkeleton]");
  // a short script can begin and end between two looks: then only what it drew is seen
  seen.quiet = (ms) => (seen.script > 0 || seen.drawn > 0) && seen.state === "notRunning" && !waiting()
    && now() - Math.max(seen.script, seen.drawn, seen.input) > ms;
})();
"""


@dataclass
class Server:
    """A Streamlit server that this process started; `stop` ends it."""

    command: list[str]
    environment: dict[str, str]
    port: int = 0
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> float:
        """Start, wait until the server answers, and return the seconds that took."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        began = time.monotonic()
        self.process = subprocess.Popen(
            [part.format(port=self.port) for part in self.command],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **self.environment},
        )
        while time.monotonic() - began < 120:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=2):
                return time.monotonic() - began
            time.sleep(0.1)
        raise RuntimeError("the server did not start")

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            self.process.wait(20)
            self.process = None

    def spent(self) -> float:
        """Return the seconds of processor time that the server has used."""
        import psutil

        assert self.process is not None
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    def memory(self) -> float:
        """Return the megabytes that belong to the process alone (USS)."""
        import psutil

        assert self.process is not None
        return float(psutil.Process(self.process.pid).memory_full_info().uss) / 1e6


def braindash_server(home: Path) -> Server:
    """Return the pages of a home, not yet started."""
    command = [sys.executable, "-m", "braindash.ui.serve", "--home", str(home), "--port", "{port}"]
    return Server(command, {"PYTHONPATH": str(ROOT)})


@contextlib.contextmanager
def plain_server(script_text: str) -> Iterator[Server]:
    """Serve a page that holds nothing but a title, or that and one chart, with the same settings."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "plain.py"
        script.write_text(script_text, encoding="utf-8")
        server = Server([sys.executable, "-m", "streamlit", "run", str(script), "--server.port", "{port}"], {})
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """Start Debian's Chromium, or the one that Playwright brings."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def browser_spent() -> float:
    """Return the seconds of processor time that Chromium, all its processes together, has used."""
    import psutil

    total = 0.0
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if "chrom" in process.name():
                times = process.cpu_times()
                total += times.user + times.system
    return total


def window(browser: Any) -> Any:
    """Return a new window with a cache of its own and the clock in every page."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    context.add_init_script(CLOCK)
    context.set_default_timeout(TIMEOUT)
    return context


def seen(page: Any) -> dict[str, float]:
    """Wait until the page is at rest; return its times in ms since the input, else since the navigation began."""
    page.wait_for_function(f"window.__seen && __seen.heading >= 0 && __seen.quiet({QUIET})")
    found: dict[str, float] = page.evaluate(
        "() => { const s = __seen, of = (t) => t ? t - s.input : 0;"
        " return { heading: of(s.heading), asked: of(s.asked), script: of(s.script),"
        " drawn: of(Math.max(s.drawn, s.script)), painted: of(s.painted), maps: of(s.maps), paints: s.paints }; }"
    )
    return found


def visit(context: Any, url: str) -> tuple[Any, dict[str, float]]:
    """Open an address in a new tab; return the tab and its times."""
    page = context.new_page()
    page.goto(url, wait_until="commit")
    page.wait_for_function("window.__seen && __seen.heading > 0")
    return page, seen(page)


def act(page: Any, action: Any) -> dict[str, float]:
    """Do something on a page at rest and return its times; nothing where the page stays as it is."""
    page.evaluate("__seen.arm(false)")
    action()
    with contextlib.suppress(Exception):  # a control that asks nothing of the server
        page.wait_for_function("__seen.asked > 0 || __seen.drawn > 0", timeout=1500)
    if not page.evaluate("__seen.asked || __seen.drawn"):
        return {}
    return seen(page)

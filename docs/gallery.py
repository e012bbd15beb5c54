"""Take the pictures of docs/gallery.md and of the guides: pages of the dashboard on a real home, in a real browser.

``make gallery`` runs it on the embedded study, ``make gallery HOME_DIR=…`` on a home that is there already.
Nothing but the home's own server is asked. A page of the navigation without an entry in `SHOTS` is an error.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from braindash.config import Home
from braindash.errors import BraindashError
from braindash.runs.record import RunStore
from braindash.ui.layout import SECTIONS

DOCS = Path(__file__).resolve().parent
PICTURES = DOCS / "images" / "gallery"
GUIDE_PICTURES = DOCS / "images"
LARGEST = 250_000  # bytes of a picture of one screen
START_SECONDS = 120


@dataclass(frozen=True)
class Shot:
    """One picture.

    Attributes
    ----------
    page : str
        The page's name in the address, as in `braindash.ui.layout`.
    name : str
        Of the file, without its suffix.
    caption : str
        What to see.
    address : tuple of pairs
        What stands behind the ``?``; the run and the study come by themselves.
    wait : str
        A selector that must be on the page before the picture is taken.
    to : str
        A text that is brought to the top; "" for the top of the page.
    """

    page: str
    name: str
    caption: str
    address: tuple[tuple[str, str], ...] = ()
    wait: str = ""
    to: str = ""
    width: int = 1440
    height: int = 900
    scheme: str = "light"


CHART = ".js-plotly-plot .main-svg"
MAPS = "[data-painted]"
SHOTS: tuple[Shot, ...] = (
    Shot(
        "home", "overview",
        "The answer of one run in two sentences, with interval, number of targets and the control, before any figure.",
    ),
    Shot(
        "home", "tour", "The first visit: a tour over five pages, which anybody can end or take again.",
        (("tour", "1"),),
    ),
    Shot(
        "home", "controls",
        "What brain-tuning owes to the responses: brain-tuned minus each matched control, with intervals.",
        wait=CHART, to="Against the controls",
    ),
    Shot(
        "home", "hierarchy",
        "From sound to meaning: how deep in the model each property and region lies, and what tuning moved.",
        wait=CHART, to="From sound to meaning, layer by layer",
    ),
    Shot(
        "home", "findings",
        "The papers' findings, and which of them this study supports, by criteria fixed beforehand.",
        to="What the papers found, and what this study shows",
    ),
    Shot(
        "cortex", "cortex",
        "Every target on the flattened cortex: both models on one scale, the difference, and gain against accuracy. "
        "The cursor names the region and its numbers.",
        wait=MAPS, to="Maps",
    ),
    Shot(
        "cortex", "cortex-dark", "The same in the dark, on a narrow screen.", wait=MAPS, to="Maps",
        width=600, scheme="dark",
    ),
    Shot(
        "explorer", "explorer",
        "A story as a timeline: sound, words, measured and both models' predicted responses, and where tuning helped. "
        "It plays; the ten moments of greatest gain are a click away.",
        to="Test story",
    ),
    Shot("encoding", "encoding", "Every layer and region as a table of changes; curves and numbers below.", wait=CHART),
    Shot(
        "encoding", "encoding-curves", "Curves over layers for regions of one's choice, with intervals.", wait=CHART,
        to="Curves over layers",
    ),
    Shot(
        "probes", "probes",
        "What a linear probe reads from each layer, from sound to meaning, before and after tuning.",
        wait=CHART, to="What each layer tells",
    ),
    Shot(
        "probes", "probes-change", "What changed, task by layer; a star passes q < 0.05. A click opens the details.",
        wait=CHART, to="What changed, task by layer",
    ),
    Shot(
        "rsa", "rsa", "Which layers resemble which regions in their geometry, with ceilings, tests and the change.",
        wait=CHART, to="Which layers resemble which regions",
    ),
    Shot(
        "compare", "compare",
        "Runs side by side: what differs in their settings, scores with their spread, curves in one picture.",
        wait=CHART, to="Settings that differ",
    ),
    Shot("study", "study", "What the results rest on: the split of the stories, the check, the timing."),
    Shot(
        "tune", "tune",
        "The form of a fine-tune: every setting with its default, what it costs before it starts, and the command that "
        "does the same.",
    ),
    Shot("runs", "runs", "Every run, what it does now, how it learns, and what can be done with it.", wait=CHART),
    Shot(
        "settings", "settings",
        "Who may launch and delete, where compute runs, colour maps, and regions of one's own.",
    ),
    Shot(
        "present", "present",
        "A run is a deck already: slides are chosen, moved and reworded here, shown full screen, or taken as HTML, "
        "PowerPoint or PDF.",
    ),
    Shot("glossary", "glossary", "Every term in plain words, with its formula and sources; also in hover help.",
         (("term", "noise_ceiling"),)),
)  # fmt: skip


# what the README and the guides show: more of a page than a screen holds
GUIDES: tuple[Shot, ...] = (
    Shot("home", "overview", "The Overview page after `make demo`", height=1235),
    Shot("cortex", "cortex", "The Cortex page on the embedded study", wait=MAPS, height=2010),
    Shot("probes", "probes", "The Probes page on the embedded study", wait=CHART, height=2000),
    Shot("rsa", "rsa", "The RSA page on the embedded study", wait=CHART, height=1790),
)


def file_of(shot: Shot) -> Path:
    """Return where a picture is kept."""
    return (GUIDE_PICTURES if shot in GUIDES else PICTURES) / f"{shot.name}.png"


def titles() -> dict[str, str]:
    """Return the title of every page of the navigation by its name in the address."""
    return {entry.url: entry.title for entries in SECTIONS.values() for entry in entries}


def check_complete() -> None:
    """Raise BraindashError where a page has no picture, or a picture no page."""
    pages, pictured = set(titles()), {shot.page for shot in SHOTS}
    if pages - pictured:
        raise BraindashError(
            f"These pages have no picture: {', '.join(sorted(pages - pictured))}.",
            "Add a Shot to SHOTS in docs/gallery.py and say what to see.",
        )
    if pictured - pages:
        raise BraindashError(f"There is no page {', '.join(sorted(pictured - pages))}.", "Correct docs/gallery.py.")


def text() -> str:
    """Return docs/gallery.md."""
    known = titles()
    parts = [
        "# Gallery\n",
        "Real pages on the embedded study (simulated subjects), taken by `make gallery`. "
        "To see them move: `make demo`.\n",
    ]
    for url, title in known.items():
        parts.append(f"## {title}\n")
        parts += [
            f"![{shot.caption}](images/gallery/{shot.name}.png)\n\n{shot.caption}\n"
            for shot in SHOTS
            if shot.page == url
        ]
    return "\n".join(parts)


@contextlib.contextmanager
def served(home: Home) -> Iterator[str]:
    """Serve a home on a free port of this machine while the block runs; the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "braindash.ui.serve", "--home", str(home.path), "--port", str(port)]
    process = subprocess.Popen(command, cwd=DOCS.parent, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end and process.poll() is None:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=2),
            ):
                yield f"http://127.0.0.1:{port}"
                return
            time.sleep(0.2)
        raise BraindashError("The server did not start.", f"Try it alone: {' '.join(command)}")
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def subject_of(home: Home) -> dict[str, str]:
    """Return what the addresses name: the newest run that is evaluated, its study, and what it is compared with."""
    rows = RunStore(home).list()
    row = next((row for row in rows if row.has_results), None)
    if row is None:
        raise BraindashError(f"No run of {home.path} is evaluated.", f"braindash demo --home {home.path}")
    others = [r.id for r in rows if r.state == "done" and r.id != row.id]
    return {"run": row.id, "study": row.study, "runs": ",".join([row.id, *others[:3]])}


def take(page: Any, shot: Shot, base: str, named: Mapping[str, str]) -> bytes:
    """Return one picture of a page that is open in the browser, as PNG.

    Raises
    ------
    BraindashError
        Where the page says that it failed, or lacks what the picture is of.
    """
    address = {**named, "tour": "off"} | dict(shot.address)
    page.goto(f"{base}/{'overview' if shot.page == 'home' else shot.page}?{urlencode(address)}")
    _settled(page)
    for selector in filter(None, (shot.wait,)):
        page.locator(selector).first.wait_for()
    if page.get_by_test_id("stException").count():
        raise BraindashError(f"The page {shot.page} failed.", page.get_by_test_id("stException").first.inner_text())
    if shot.to:
        page.get_by_test_id("stMain").get_by_text(shot.to, exact=True).first.evaluate(
            "e => e.scrollIntoView({ block: 'start' })"
        )
        page.get_by_test_id("stMain").evaluate("e => e.scrollBy(0, -72)")  # below the page's own bar
        page.mouse.move(1, 1)
    page.wait_for_timeout(1500)  # charts move into place
    _settled(page)
    return bytes(page.screenshot(animations="disabled"))


def _settled(page: Any) -> None:
    page.get_by_test_id("stHeading").first.wait_for()
    page.locator("[data-testid=stApp][data-test-script-state=notRunning]").wait_for()


def largest(shot: Shot) -> int:
    """Return how many bytes a picture may have: more where it is higher than a screen."""
    return LARGEST * max(shot.height, 900) // 900


def small(png: bytes, limit: int = LARGEST) -> bytes:
    """Return a picture with as many colours as its size allows: all of them, or a palette of 256 and fewer."""
    from PIL import Image

    picture = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in (None, 256, 128, 64):
        out = io.BytesIO()
        (picture.quantize(colours) if colours else picture).save(out, "PNG", optimize=True)
        if out.tell() <= limit:
            return out.getvalue()
    raise BraindashError(f"A picture has more than {limit:,} bytes.", "Take a smaller part of the page.")


def main() -> int:
    """Take every picture and write the page; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--home", default="", help="a home with an evaluated run; default: the embedded study's, made where needed"
    )
    parser.add_argument("--only", default="", help="names of pictures, with commas between")
    given = parser.parse_args()
    try:
        check_complete()
        home = Home(Path(given.home or os.environ.get("BRAINDASH_HOME", "cache")))
        if not given.home and not any(row.has_results for row in RunStore(home).list()):
            subprocess.run([sys.executable, "-m", "braindash", "demo", "--home", str(home.path)], check=True)
        only = set(filter(None, given.only.split(",")))
        draw(home, [shot for shot in (*SHOTS, *GUIDES) if not only or shot.name in only])
    except BraindashError as error:
        sys.stderr.write(f"error: {error.what} {error.remedy}\n")
        return 2
    (DOCS / "gallery.md").write_text(text(), encoding="utf-8")
    return 0


def draw(home: Home, shots: list[Shot]) -> None:
    """Take pictures of a home's pages into docs/images and its folder gallery."""
    from playwright import sync_api

    executable = shutil.which("chromium")
    if executable is None:
        raise BraindashError("Chromium is not installed.", "apt-get install chromium")
    named = subject_of(home)
    PICTURES.mkdir(parents=True, exist_ok=True)
    failed: list[str] = []
    with served(home) as base, sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        )
        for shot in shots:
            context = browser.new_context(
                viewport={"width": shot.width, "height": shot.height}, color_scheme=shot.scheme, reduced_motion="reduce"
            )
            page = context.new_page()
            page.set_default_timeout(60_000)
            try:
                data = small(take(page, shot, base, named), largest(shot))
            except sync_api.TimeoutError as error:
                failed.append(shot.name)
                sys.stderr.write(f"{file_of(shot).relative_to(DOCS)}  not taken: {str(error).splitlines()[0]}\n")
            else:
                file_of(shot).write_bytes(data)
                sys.stderr.write(f"{file_of(shot).relative_to(DOCS)}  {len(data) / 1000:.0f} kB\n")
            context.close()
        browser.close()
    if failed:
        raise BraindashError(
            f"The pages lack what these pictures show: {', '.join(failed)}.", "Correct their Shot in docs/gallery.py."
        )


if __name__ == "__main__":
    sys.exit(main())

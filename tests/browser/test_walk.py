"""Every page of the navigation, walked: seen in light and dark, wide and narrow, and by the keyboard.

The table is `braindash.ui.layout.SECTIONS`: a page that is added there is walked at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_home
import full_home
import pytest
from conftest import Server, settle

from braindash.ui.layout import SECTIONS, PageEntry

SEEN = Path(__file__).with_name("seen.js").read_text(encoding="utf-8")
TRACES = re.compile(r"Traceback|encountered an error|was not written for|Exception")
ENTRIES = [entry for entries in SECTIONS.values() for entry in entries]
TABS = 10  # controls that are reached by the keyboard on every page, where there are so many
GROUND = "() => getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
# a grid draws its focus on its own canvas; its toolbar is Streamlit's
FOCUSED = """() => {
  const e = document.activeElement;
  if (e && e.matches('canvas, [data-testid=stElementToolbar] *')) return { own: true };
  if (!e || !document.querySelector('[data-testid=stMain]').contains(e)) return null;
  const look = (x) => { const s = getComputedStyle(x); return [s.outlineStyle, s.outlineWidth, s.outlineColor,
    s.boxShadow, s.borderColor, s.backgroundColor, s.color].join(); };
  const around = () => { const out = []; for (let x = e, i = 0; x && i < 6; x = x.parentElement, i++) out.push(look(x));
    return out.join('|'); };
  const box = e.getBoundingClientRect();
  const described = (e.getAttribute('aria-label') || e.innerText || e.outerHTML).trim().slice(0, 80);
  window.__focused = { e, around, seen: around() };
  return { described, seen: box.width > 0 && box.height > 0 };
}"""
LEFT = """async () => {
  const { e, around, seen } = window.__focused;
  const pause = (ms) => new Promise((done) => setTimeout(done, ms));
  const becomes = async (differs) => { for (let i = 0; i < 20 && !differs(); i++) await pause(20); return differs(); };
  e.blur();
  if (await becomes(() => around() !== seen)) { e.focus({ focusVisible: true }); return true; }
  const plain = around();  // the look may have been noted while it was still changing
  e.focus({ focusVisible: true });
  return becomes(() => around() !== plain);
}"""


def heading_of(page: Any, entry: PageEntry) -> None:
    """Wait for the page's own heading: its title, or on the first page the question that it answers."""
    title = "What did brain-tuning change?" if entry.default else entry.title
    page.get_by_role("heading", name=title, exact=True).first.wait_for()


def faults(page: Any, where: str) -> list[str]:
    """Return what is wrong with a page as it is seen now."""
    said = page.get_by_test_id("stMain").inner_text()
    trace = TRACES.search(said)
    seen = page.evaluate(SEEN)
    out = [f"{where}: {trace.group()}"] if trace else []
    out += [f"{where}: too pale, {text}" for text in seen["pale"]]
    out += [f"{where}: no words for {html}" for html in seen["mute"]]
    if seen["overflow"] > 0 or seen["aside"] > 0:
        out.append(f"{where}: {seen['overflow']} and {seen['aside']} px stick out: {seen['widest']}")
    if seen["texts"] < 3:
        out.append(f"{where}: only {seen['texts']} texts")
    return out


def keyboard_faults(page: Any, where: str) -> list[str]:
    """Go on by Tab from the page's heading; every stop must be visible and look different when left."""
    out: list[str] = []
    page.get_by_test_id("stMain").evaluate("e => { e.tabIndex = -1; e.focus(); }")
    reached = 0
    for _ in range(TABS):
        page.keyboard.press("Tab")
        at = page.evaluate(FOCUSED)
        if at is None:
            break
        reached += 1
        if at.get("own"):
            continue
        if not at["seen"]:
            out.append(f"{where}: focus goes to what is not there, {at['described']}")
        elif not page.evaluate(LEFT):
            out.append(f"{where}: focus is not seen on {at['described']}")
    if not reached:
        out.append(f"{where}: nothing is reached by Tab")
    return out


@pytest.fixture
def walked(server: Server, tmp_path: Path) -> Server:
    """A server on a home that has something of everything."""
    full_home.fill(server.home, tmp_path / "mini")
    fake_home.add_in_state(server.home, "failed")
    fake_home.add_broken(server.home)
    server.start()
    return server


def test_every_page_can_be_seen_and_used(walked: Server, visit: Callable[..., Any]) -> None:
    found: list[str] = []
    for entry in ENTRIES:
        page = visit("" if entry.default else entry.url)
        heading_of(page, entry)
        settle(page)
        found += faults(page, f"{entry.title}, light, 1440 px")
        found += keyboard_faults(page, entry.title)
        light = page.evaluate(GROUND)
        page.emulate_media(color_scheme="dark")
        page.set_viewport_size({"width": 600, "height": 900})
        page.wait_for_function(f"ground => ({GROUND})() !== ground", arg=light)
        settle(page)
        page.wait_for_timeout(300)  # colours fade from one theme into the other
        found += faults(page, f"{entry.title}, dark, 600 px")
        page.close()
    assert not found, "\n".join(found)

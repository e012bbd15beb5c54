"""The Compare page in a browser: runs are ticked, found and taken away, the address holds the choice."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import fake_home
from conftest import Server, settle

from braindash.runs.marks import read_marks

Visit = Callable[..., Any]
ROW, HEAD, TICK = 35, 35, 16  # px: a line and the heading of a table; from its left edge to the middle of the ticks
WAIT_CHART = "[...document.querySelectorAll('.stPlotlyChart .legendtext')].some((t) => t.textContent.startsWith('%s '))"


def tick(page: Any, line: int) -> None:
    """Tick a line of the table of all runs."""
    box = page.get_by_test_id("stDataFrame").first.bounding_box()
    page.mouse.click(box["x"] + TICK, box["y"] + HEAD + ROW * (line + 0.5))


def test_runs_are_ticked_and_the_address_reopens_the_comparison(server: Server, visit: Visit) -> None:
    evil = fake_home.HOSTILE["html"]
    older = fake_home.add_done(server.home, evil, lora={"rank": 4})
    (server.home.runs / older).rename(server.home.runs / "20260101-000000-lora-mini-oldr")
    older = "20260101-000000-lora-mini-oldr"
    newer = fake_home.add_done(server.home, "rank 16", lora={"rank": 16})
    fake_home.add_broken(server.home)
    server.start()
    page = visit("compare?order=name", height=3600)
    page.get_by_text("5 runs. Tick up to 8").wait_for()
    tick(page, 1)  # by name: markup first, then "rank 16"
    page.wait_for_url(f"**runs={newer}**")
    page.get_by_text("Tick a second run").wait_for()
    settle(page)
    tick(page, 0)
    page.wait_for_url(re.compile(f"runs={newer}(,|%2C){older}"))
    page.wait_for_function(WAIT_CHART % "B")
    settle(page)

    again = visit(page.url.removeprefix(f"{server.url}/"), height=3600, width=600, scheme="dark")
    again.wait_for_function(WAIT_CHART % "B")
    assert again.title() != "owned"
    assert again.locator("img[src=x]").count() == 0
    assert again.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    for chart in ("Dots of the change", "Line chart of Late language", "Line chart of training loss"):
        again.locator(f"[aria-label^='{chart}']").first.wait_for(state="attached")
    # what is found no longer stays chosen, and a click takes it away
    again.get_by_role("textbox", name="Search", exact=True).fill("rank 16")
    again.get_by_role("textbox", name="Search", exact=True).press("Enter")
    again.get_by_text("1 of 5 runs").wait_for()
    again.get_by_role("button", name=re.compile("^B · ")).click()
    again.wait_for_url(re.compile(f"runs={newer}$|runs={newer}&"))

    page.get_by_text("Star, tags and note").click()
    page.get_by_text("★ Star", exact=True).click()
    page.get_by_role("textbox", name="Note").fill("rose most")
    page.get_by_role("button", name="Save the note").click()
    page.get_by_text("The note was saved.").wait_for()
    marks = read_marks(server.home, newer)
    assert (marks.starred, marks.note) == (True, "rose most")

"""The Explorer in a real browser: it plays, the cursor moves with the sound, and a link opens where one stopped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from conftest import Server, settle
from explorer_home import MARKUP, make_home

FIRST_FIT = 240_000  # ms; a new server opens two models before it draws


def test_a_story_plays_jumps_and_is_reopened(server: Server, visit: Callable[..., Any], tmp_path: Path) -> None:
    run_id = make_home(tmp_path, server.home.path)
    server.start()
    page = visit("runs")
    page.goto(f"{server.url}/explorer?run={run_id}&story=five&region=loud")
    root = page.locator("[data-story='mini/five']")
    root.wait_for(timeout=FIRST_FIT)
    settle(page)
    timeline = page.get_by_role("slider", name=re.compile("Timeline of the story five, 120 s"))
    timeline.wait_for()
    table = page.get_by_role("table", name="Moments of greatest gain, the greatest first")
    rows = table.get_by_role("row")
    rows.nth(1).wait_for()
    first = rows.nth(1).inner_text()
    assert MARKUP in page.get_by_role("table").inner_text(), "words are text, whatever they hold"
    assert page.locator("img[src=x]").count() == 0
    assert page.title() != "owned"

    def second() -> float:
        return float(root.get_attribute("data-time"))

    def reaches(expression: str) -> None:
        page.wait_for_function(
            f"t => {{ const s = Number(t.dataset.time); return {expression}; }}", arg=root.element_handle()
        )

    # a moment plays from its start to its end, with the words that are said; then the address says where
    minutes, seconds = re.search(r"(\d+):(\d\d) –", first).groups()
    start = 60 * int(minutes) + int(seconds)
    rows.nth(1).get_by_role("button", name="Play 1").click()
    page.locator("[data-playing=true]").wait_for()
    reaches(f"s > {start} + 1.2")
    assert start - 1 <= second() <= start + 8
    page.wait_for_function(
        "t => t.querySelector('.said .now') || t.dataset.playing === 'false'", arg=root.element_handle()
    )
    page.locator("[data-playing=false]").wait_for()
    assert start + 4 <= second() <= start + 8, "it ends with the moment"
    page.wait_for_url("**moment=**")
    settle(page)
    kept = float(re.search(r"moment=([\d.]+)", page.url).group(1))
    assert abs(kept - start) <= 1, "a link opens at its beginning"

    # keys: there and back, the whole story, play and pause; a click goes there
    timeline.focus()
    here = second()
    page.keyboard.press("Shift+ArrowLeft")
    reaches(f"Math.abs(s - {max(here - 5, 0)}) < 0.1")
    page.keyboard.press("Home")
    reaches("s === 0")
    page.locator(".said .now").filter(has_text="once").wait_for()  # the word that is said there
    drawn = int(root.get_attribute("data-drawn"))
    page.keyboard.press("f")
    page.wait_for_function(f"t => Number(t.dataset.drawn) > {drawn}", arg=root.element_handle())
    page.keyboard.press("Space")
    reaches("s > 0.5")
    page.keyboard.press("Space")
    page.locator("[data-playing=false]").wait_for()
    page.wait_for_url(re.compile(r"moment=\d\.\d"))  # told once it rests
    settle(page)
    timeline.scroll_into_view_if_needed()
    box = timeline.bounding_box()
    page.mouse.click(box["x"] + 60 + 0.5 * (box["width"] - 62), box["y"] + 60)
    reaches("s > 55 && s < 65")  # the middle of 120 s
    page.wait_for_url(re.compile(r"moment=[56]\d"))
    settle(page)
    at = second()

    # the same view from its link, in the other theme and on a phone; another target keeps the place
    again = visit(page.url.removeprefix(f"{server.url}/"), width=420, scheme="dark")
    reopened = again.locator("[data-story='mini/five']")
    reopened.wait_for()
    again.wait_for_function(f"t => Math.abs(Number(t.dataset.time) - {at}) < 0.1", arg=reopened.element_handle())
    assert again.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    again.close()
    page.get_by_text("Residuals", exact=True).click()
    page.wait_for_url("**residuals=true**")
    settle(page)
    reaches(f"Math.abs(s - {at}) < 0.1")

    # without its sound a story can still be read, and nothing offers to play
    (tmp_path / "mini" / "five.wav").unlink()
    silent = visit(f"explorer?run={run_id}&story=five&region=loud")
    silent.get_by_text("The story cannot be played").wait_for()
    silent.locator("[data-story='mini/five']").wait_for()
    silent.locator(".said").filter(has_text="once upon").wait_for()
    assert silent.get_by_role("button", name="Play", exact=True).is_disabled()

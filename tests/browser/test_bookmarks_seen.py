"""Bookmarks in a real browser: a chart and a map kept, arranged, presented, and in a file that needs no server."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_home
from conftest import Server, settle

from braindash.runs.bookmarks import BookmarkStore

Visit = Callable[..., Any]
DRAWN = "e => e.complete && e.naturalWidth > 200 && e.clientHeight > 200"


def keep(page: Any, title: str) -> None:
    """Press the button in the side bar, give what is offered first a title, and keep it."""
    page.get_by_role("button", name="Bookmark this view").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Title", exact=True).first.wait_for()
    box = dialog.get_by_label("Title", exact=True).first
    box.fill(title)
    box.press("Enter")
    settle(page)
    dialog.get_by_role("button", name="Keep", exact=True).click()
    dialog.wait_for(state="detached")
    page.get_by_text("Kept 1 view").wait_for()
    settle(page)


def test_views_are_kept_arranged_presented_and_taken_along(
    server: Server, visit: Visit, chromium: Any, tmp_path: Path
) -> None:
    roi = fake_home.add_cortex_study(server.home, tmp_path / "surface")
    run_id = fake_home.add_done(server.home, "on the surface", study="surface", n_targets=len(roi), roi=roi)
    server.start()
    keep(visit(f"encoding?run={run_id}&table=tuned"), "The table")
    keep(visit(f"cortex?run={run_id}&layer=2", scheme="dark"), "The map")
    store = BookmarkStore(server.home)
    table, brain = store.read("bookmarks")
    assert (table.title, brain.title) == ("The table", "The map")
    assert (table.theme, brain.kind, brain.params["layer"]) == ("light", "picture", "2")

    page = visit(f"present?what=bookmarks&bookmark={brain.id}")
    page.get_by_role("button", name="Move up").click()
    page.get_by_role("button", name="1. The map").wait_for()
    preview = page.frame_locator("iframe").first.locator("img")
    preview.wait_for()
    page.wait_for_function("() => document.querySelectorAll('iframe').length === 1")
    page.get_by_role("link", name="Open the live view").click()
    page.get_by_role("heading", name="Cortex").wait_for()
    settle(page)
    assert "layer=2" in page.url
    assert run_id in page.url
    page.go_back()
    page.get_by_role("heading", name="Present").wait_for()
    settle(page)

    page.get_by_role("button", name="Present", exact=True).click()
    page.get_by_text("Click a slide, then").wait_for()
    settle(page)
    deck = page.frame_locator("iframe").first
    deck.locator("section.shown h2", has_text="Bookmarks").click()
    for title in ("The map", "The table"):
        page.keyboard.press("ArrowRight")
        deck.locator("section.shown h2", has_text=title).wait_for()
    with page.expect_download() as taken:
        page.locator(".st-key-download_bookmarks_html button").first.click()
    file = tmp_path / "deck.html"
    taken.value.save_as(file)
    for tab in [tab for context in chromium.contexts for tab in context.pages]:
        tab.close()
    server.stop()

    for scheme in ("light", "dark"):
        context = chromium.new_context(viewport={"width": 1280, "height": 720}, color_scheme=scheme)
        alone = context.new_page()
        asked: list[str] = []
        alone.on("request", lambda r, asked=asked: asked.append(r.url))
        alone.goto(file.as_uri())
        for title in ("The map", "The table"):
            alone.keyboard.press("ArrowRight")
            alone.locator("section.shown h2", has_text=title).wait_for()
            picture = alone.locator("section.shown img")
            alone.wait_for_function(f"e => ({DRAWN})(document.querySelector('section.shown img'))")
            assert picture.get_attribute("alt")
            assert run_id in alone.locator("section.shown footer").inner_text()
            assert "n = " in alone.locator("section.shown footer").inner_text() or title == "The table"
        alone.keyboard.press("End")
        alone.locator("section.shown h2", has_text="BibTeX").wait_for()
        assert "@" in alone.locator("section.shown .points").inner_text()
        assert all(url.startswith(("file:", "data:")) for url in asked)
        context.close()

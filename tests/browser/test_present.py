"""Slides in a real browser: the exported file by itself, and the page that makes it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_home
import hierarchy_home
import probing_home
from conftest import Server, settle

from braindash.runs.presenting import Arranged, deck_bytes, run_deck, write_arrangement
from braindash.runs.record import RunStore

Visit = Callable[..., Any]
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script> 🧠 " + "long " * 60
FITS = (
    "() => [...document.querySelectorAll('section.shown, section.shown > *')].filter(e => e.offsetParent).map(e => {"
    "const b = e.getBoundingClientRect(); return [e.tagName, b.left, b.right, b.top, b.bottom]})"
    ".filter(([_, l, r, t, b]) => l < -1 || t < -1 || r > innerWidth + 1 || b > innerHeight + 1)"
)
OVER = (
    "() => { const e = [...document.querySelectorAll('section.shown > *')].filter(e => e.offsetParent)"
    ".map(e => e.getBoundingClientRect()).sort((a, b) => a.top - b.top);"
    "return e.slice(1).some((b, i) => b.top < e[i].bottom - 1) }"
)


def test_the_file_opens_by_itself_and_keys_move(chromium: Any, tmp_path: Path) -> None:
    from braindash.config import Home

    home = Home(tmp_path / "home")
    run_id = fake_home.add_done(home, name=HOSTILE[:200])
    probing_home.write(home, run_id)
    hierarchy_home.write(home, run_id, hierarchy_home.document(run_id))
    write_arrangement(home, run_id, [Arranged("answer", title=HOSTILE), Arranged("curves", caption=HOSTILE)])
    deck = run_deck(RunStore(home).get(run_id))
    file = tmp_path / "deck.html"
    file.write_bytes(deck_bytes(deck, "html"))
    for scheme in ("light", "dark"):
        context = chromium.new_context(viewport={"width": 1280, "height": 720}, color_scheme=scheme)
        page = context.new_page()
        asked: list[str] = []
        wrong: list[str] = []
        page.on("request", lambda r, asked=asked: asked.append(r.url))
        page.on("pageerror", lambda e, wrong=wrong: wrong.append(str(e)))
        page.on("console", lambda m, wrong=wrong: wrong.append(m.text) if m.type == "error" else None)
        page.goto(file.as_uri())
        where = page.locator("#where")
        n = len(deck.slides)
        assert where.inner_text() == f"1 / {n}"
        for i, slide in enumerate(deck.slides, start=1):
            assert where.inner_text() == f"{i} / {n}"
            assert page.locator("section.shown h2").inner_text().split() == slide.title.split()
            assert page.locator("section.shown").count() == 1
            assert not page.evaluate(FITS), (scheme, slide.key)
            assert not page.evaluate(OVER), (scheme, slide.key)
            if slide.figure is not None:
                picture = page.locator("section.shown img")
                size = picture.evaluate("e => [e.naturalWidth, e.clientHeight]")
                assert size[0] > 0
                assert size[1] > 250
            page.keyboard.press("ArrowRight")
        assert where.inner_text() == f"{n} / {n}", "the last slide stays"
        page.keyboard.press("ArrowLeft")
        assert where.inner_text() == f"{n - 1} / {n}"
        page.keyboard.press("Home")
        page.keyboard.press("End")
        assert where.inner_text() == f"{n} / {n}"
        background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
        assert (background == "rgb(255, 255, 255)") == (scheme == "light")
        page.keyboard.press("r")
        assert page.locator("section:visible").count() == n
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.title().startswith("What did brain-tuning change?")
        assert not wrong
        assert all(url.startswith(("file:", "data:")) for url in asked), asked
        printed = page.pdf(prefer_css_page_size=True)
        assert len(re.findall(rb"/Type\s*/Page\b", printed)) == n, "printing gives one slide a page"
        context.close()


def test_the_page_presents_full_screen_and_gives_files(server: Server, visit: Visit, tmp_path: Path) -> None:
    run_id = fake_home.add_done(server.home)
    server.start()
    starts = {"html": b"<!doctype html>", "pptx": b"PK", "pdf": b"%PDF-"}
    for width, scheme in ((1440, "dark"), (600, "light")):
        page = visit("present?slide=curves", width=width, scheme=scheme)
        page.frame_locator("iframe").locator("section.shown img").wait_for()
        settle(page)
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    n = page.get_by_test_id("stCheckbox").count()
    page.get_by_test_id("stCheckbox").first.locator("label").click()
    page.get_by_text(f"{n - 1} of {n} slides chosen").wait_for()
    for kind, start in starts.items():
        with page.expect_download() as got:
            page.locator(f".st-key-download_deck_{kind} button").first.click()
        assert got.value.suggested_filename == f"{run_id}.{kind}"
        got.value.save_as(tmp_path / "file")
        assert (tmp_path / "file").read_bytes().startswith(start)
    page.locator(".st-key-present_deck button").first.click()
    page.get_by_text("Click a slide, then").wait_for()
    deck = page.frame_locator("iframe").first
    deck.locator("section.shown h2").click()
    assert "Late language rose" in deck.locator("section.shown h2").inner_text(), "the slide left out is not there"
    page.keyboard.press("ArrowRight")
    assert "minus pretrained" in deck.locator("section.shown h2").inner_text()
    page.keyboard.press("f")
    page.wait_for_function("document.fullscreenElement !== null")

"""The cortex in 3-D in a real browser: written when asked for, kept, downloaded, and opened with no network at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_home
import pytest
from conftest import Server, settle

READY = "body[data-viewer=ready]"


def picture(page: Any) -> bytes:
    """What the viewer's canvas shows once it stands still."""
    canvas = page.locator("#brain")
    before = b""
    for _ in range(50):
        now: bytes = canvas.screenshot()
        if now == before:
            return now
        before = now
        page.wait_for_timeout(200)
    raise AssertionError("the viewer goes on moving")


def test_the_viewer_is_written_once_and_opens_anywhere(
    server: Server, visit: Callable[..., Any], chromium: Any, tmp_path: Path
) -> None:
    roi = fake_home.add_cortex_study(server.home, tmp_path / "surface")
    run_id = fake_home.add_done(server.home, "in 3-D", study="surface", n_targets=len(roi), roi=roi)
    server.start()
    page = visit(f"cortex?run={run_id}&maps=difference")
    page.locator("[data-painted='1']").wait_for()
    page.get_by_text("3-D view", exact=True).click()
    viewer = page.frame_locator("iframe[title^='Cortex in 3-D']")
    viewer.locator(READY).wait_for(timeout=180_000)
    assert "viewer3d=true" in page.url
    (kept,) = (server.home.cortex / "viewers").glob("*.html")
    written = kept.stat().st_mtime_ns
    viewer.get_by_text(re.compile("Layer 4, sub-01, n = ")).wait_for()
    with page.expect_download() as told:
        page.get_by_role("button", name="Download this viewer").click()
    file = tmp_path / "viewer.html"
    told.value.save_as(file)
    assert file.read_bytes() == kept.read_bytes()

    frame = page.locator("iframe[title^='Cortex in 3-D']")
    frame.evaluate("e => { e.dataset.same = 'yes' }")
    link = page.url
    page.get_by_text("3-D view", exact=True).click()
    frame.wait_for(state="hidden")
    page.wait_for_url(lambda url: "viewer3d=true" not in url)
    settle(page)
    page.get_by_text("3-D view", exact=True).click()
    frame.wait_for()
    page.wait_for_url(link)
    settle(page)
    assert frame.get_attribute("data-same") == "yes", "closed and opened again, it is not loaded again"

    again = visit(link.removeprefix(f"{server.url}/"))  # a link reopens it without writing it anew
    again.frame_locator("iframe[title^='Cortex in 3-D']").locator(READY).wait_for()
    settle(again)
    assert len(list((server.home.cortex / "viewers").glob("*"))) == 1
    assert kept.stat().st_ino == (server.home.cortex / "viewers" / kept.name).stat().st_ino
    assert written <= kept.stat().st_mtime_ns

    context = chromium.new_context(viewport={"width": 900, "height": 620}, offline=True)
    strangers: list[str] = []
    faults: list[str] = []
    context.on("request", lambda r: strangers.append(r.url) if not r.url.startswith(("file:", "blob:", "data:")) else 0)
    context.on("weberror", lambda e: faults.append(str(e.error)))
    alone = context.new_page()
    alone.goto(file.as_uri())
    alone.locator(READY).wait_for(timeout=60_000)
    first = picture(alone)
    for button in ("Difference", "Right", "Flat"):
        alone.get_by_role("button", name=button, exact=True).click()
        alone.locator("button[aria-pressed=true]", has_text=button).wait_for()
        now = picture(alone)
        assert now != first, button
        first = now
    context.close()
    assert not strangers, strangers
    assert not faults, faults


def test_a_browser_without_webgl_is_told(chromium: Any, tmp_path: Path) -> None:
    import numpy as np

    from braindash.config import Home
    from braindash.cortex.viewer import ViewerMap, viewer_page
    from braindash.studies.base import CortexMap

    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not installed")
    cortex_map = CortexMap("fsaverage5", np.arange(20_484, dtype=np.int32))
    values = np.linspace(0, 1, 20_484).astype(np.float32)
    file = tmp_path / "viewer.html"
    file.write_text(
        viewer_page([ViewerMap("A", values, "sequential", 0, 1, "r")], cortex_map, Home(tmp_path / "home")),
        encoding="utf-8",
    )
    browser = chromium.browser_type.launch(executable_path=executable, args=["--no-sandbox", "--disable-3d-apis"])
    try:
        page = browser.new_page()
        page.goto(file.as_uri())
        page.get_by_text("This browser has no WebGL, which a view in 3-D needs.").wait_for(timeout=60_000)
    finally:
        browser.close()

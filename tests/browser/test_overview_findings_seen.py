"""The picture from sound to meaning and the findings in a real browser: nothing overlaps, nothing is cut."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_home
import hierarchy_home
from conftest import Server, settle

Visit = Callable[..., Any]
SHAPES = (
    "() => [...document.querySelectorAll('.js-plotly-plot')].filter(p => p.textContent.includes('Peak layer')).map("
    "p => [...p.querySelectorAll('text')].filter(t => t.textContent.trim()).map(t => {"
    "const b = t.getBoundingClientRect(), q = p.getBoundingClientRect();"
    "return {text: t.textContent, x0: b.left - q.left, x1: b.right - q.left, y0: b.top - q.top, y1: b.bottom - q.top,"
    " wide: q.width, size: parseFloat(getComputedStyle(t).fontSize)}}))[0]"
)
CUT = (
    "() => [...document.querySelectorAll('[data-testid=stMain] [data-testid=stMarkdownContainer]')]"
    ".filter(e => e.scrollWidth > e.clientWidth + 1 && e.clientWidth).map(e => e.textContent)"
)


def test_fifteen_tasks_are_legible_and_the_pictures_downloaded(server: Server, visit: Visit, tmp_path: Path) -> None:
    run_id = fake_home.add_done(server.home)
    hierarchy_home.write(server.home, run_id, hierarchy_home.document(run_id))
    server.start()
    for width, scheme in ((1440, "light"), (1440, "dark"), (600, "light"), (600, "dark")):
        page = visit("", width=width, scheme=scheme)
        page.get_by_role("heading", name="From sound to meaning, layer by layer").wait_for()
        page.locator(".js-plotly-plot", has_text="Peak layer").wait_for()
        settle(page)
        assert_legible(page.evaluate(SHAPES))
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
        assert not page.evaluate(CUT)
    starts = {"png": b"\x89PNG", "svg": b"<?xml"}
    for what, (kind, start) in itertools.product(("hierarchy", "findings"), starts.items()):
        with page.expect_download() as got:
            page.locator(f".st-key-download_{what}_{kind} button").first.click()
        assert got.value.suggested_filename == f"{run_id}-{what}.{kind}"
        got.value.save_as(tmp_path / "file")
        assert (tmp_path / "file").read_bytes().startswith(start)


def assert_legible(texts: list[dict[str, Any]]) -> None:
    """Fail where a text of the picture is small, cut, or lies on another."""
    assert sum(bool(re.match(r"\d\.\d\d →", t["text"])) for t in texts) == 17, "a row that has a peak is not numbered"
    for t in texts:
        assert t["size"] >= 14, t
        assert t["x0"] >= -1, t
        assert t["x1"] <= t["wide"] + 1, t
    for a, b in itertools.combinations(texts, 2):
        across = min(a["x1"], b["x1"]) - max(a["x0"], b["x0"])
        down = min(a["y1"], b["y1"]) - max(a["y0"], b["y0"])
        assert across <= 1 or down <= 4, (a, b)

"""The RSA page in a browser: clicks choose a cell and a pair, links reopen them, nothing runs what a label says."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import fake_home
import rsa_home
from conftest import Server, settle

Visit = Callable[..., Any]
TALL = 4200  # px: a click needs its chart in the window


def click(page: Any, alt: str, across: float, down: float) -> None:
    """Click a share of the way across and down the cells of the chart whose description begins so."""
    cells = page.locator(f"[data-testid=stPlotlyChart]:has([aria-label^='{alt}']), [aria-label^='{alt}']").first
    box = cells.locator(".heatmaplayer").first.bounding_box()
    x, y = box["x"] + across * box["width"], box["y"] + down * box["height"]
    page.mouse.move(x, y)
    cells.locator(".hoverlayer .hovertext").first.wait_for()
    page.mouse.click(x, y)


def with_rsa(server: Server, visit: Visit, more: str = "") -> Any:
    """Return the page of a run that has an RSA, once its maps are drawn."""
    run_id = fake_home.add_done(server.home)
    rsa_home.add(server.home, run_id)
    server.start()
    page = visit(f"rsa?run={run_id}{more}", height=TALL)
    page.locator(".st-key-rsa_change .hm image").wait_for()
    settle(page)
    return page


def test_the_maps_of_both_models_stay_as_they_are_when_another_cell_is_chosen(server: Server, visit: Visit) -> None:
    page = with_rsa(server, visit, "&layer=3&roi=ag")
    keys = [f"rsa_{which}" for which in ("pretrained", "tuned", "change")]
    page.evaluate("k => { window.kept = k.map((key) => document.querySelector(`.st-key-${key} .main-svg`)); }", keys)
    click(page, "Table of Similarity", 1.5 / 5, 0.5 / 4)
    page.wait_for_url("**layer=1**")
    settle(page)
    assert page.evaluate("window.kept.map((drawn) => drawn.isConnected)") == [True, True, False]
    assert page.locator(".st-key-rsa_change .shapelayer path").count() == 2


def test_a_chart_that_changed_is_drawn_once(server: Server, visit: Visit) -> None:
    page = with_rsa(server, visit)
    page.evaluate("""() => {
      window.batches = {};
      new MutationObserver((records) => {
        const counts = {};
        for (const r of records) {
          const key = r.target.closest?.("[class*='st-key-rsa_']")?.className.match(/st-key-(rsa_\\w+)/)?.[1];
          if (key) counts[key] = (counts[key] ?? 0) + 1;
        }
        for (const [key, n] of Object.entries(counts)) (window.batches[key] ??= []).push(n);
      }).observe(document.body, { subtree: true, childList: true, attributes: true });
    }""")
    page.get_by_role("radio", name="Beyond the sound").click()
    page.wait_for_url("**similarity=partial**")
    settle(page)
    batches = page.evaluate("window.batches")
    for key in ("rsa_pretrained", "rsa_tuned", "rsa_change", "rsa_curves"):
        assert_once(batches[key], key)

    click(page, "Dissimilarity matrix of Pretrained", 2.5 / 24, 20.5 / 24)
    page.wait_for_url("**first=2&second=20**")
    settle(page)
    batches = page.evaluate("window.batches")
    for key in ("rsa_rdm_1", "rsa_rdm_2"):
        assert_once(batches[key], key)


def assert_once(batches: list[int], key: str) -> None:
    """Most of what changed in a chart changed in one go."""
    most, *others = sorted(batches, reverse=True)
    assert most > 100
    assert sum(others) < 0.2 * most, (key, batches)


def test_clicks_choose_a_cell_and_a_pair_and_a_link_reopens_both(server: Server, visit: Visit) -> None:
    page = with_rsa(server, visit)
    page.get_by_text("The brain-tuned model differs from the pretrained one in layers 3 and 4.").wait_for()
    click(page, "Table of Similarity", 3.5 / 5, 2.5 / 4)  # layer 3, the third region
    page.wait_for_url(re.compile(r"layer=3&roi=ag|roi=ag&layer=3"))
    settle(page)
    value = rsa_home.similarity("brain_tuned", "ag", 3)
    page.get_by_text(f"Brain-tuned: {value:.3f}").wait_for()
    click(page, "Dissimilarity matrix of Pretrained", 2.5 / 24, 20.5 / 24)
    page.wait_for_url("**first=2&second=20**")
    settle(page)
    again = visit(page.url.removeprefix(f"{server.url}/"), height=TALL)
    again.get_by_text(f"Brain-tuned: {value:.3f}").wait_for()
    again.get_by_text("Angular gyrus, mean of 2 subjects").first.wait_for()
    again.wait_for_function(  # a box is drawn before its value is
        """wanted => {
            const chosen = [...document.querySelectorAll("[role=combobox]")].map((box) => box.value);
            return wanted.every((label) => chosen.includes(label));
        }""",
        arg=["s4, 12.0 to 18.0 s", "s5, 48.0 to 54.0 s"],
    )


def test_three_hundred_conditions_answer_a_click(server: Server, visit: Visit) -> None:
    run_id = fake_home.add_done(server.home)
    rsa_home.add(server.home, run_id, 300)
    server.start()
    page = visit(f"rsa?run={run_id}", height=TALL)
    click(page, "Dissimilarity matrix of Brain-tuned", 60.5 / 300, 200.5 / 300)
    page.wait_for_url(re.compile(r"first=(59|60|61)&second=(199|200|201)"))


def test_markup_in_names_is_shown_and_never_run(server: Server, visit: Visit) -> None:
    run_id = fake_home.add_done(server.home)
    evil = fake_home.HOSTILE["html"]
    labels = [f"{evil} {k}" for k in range(12)]
    rsa_home.add(server.home, run_id, 12, labels, regions=(evil, fake_home.HOSTILE["markdown"], "ag"))
    server.start()
    for scheme, width in (("light", 1440), ("dark", 600)):
        page = visit(f"rsa?run={run_id}", width=width, height=TALL, scheme=scheme)
        page.get_by_text("**bold** [link](").first.wait_for()
        assert page.title() != "owned"
        assert page.locator("img[src=x]").count() == 0
        assert page.locator("a[href*='evil.example']").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0

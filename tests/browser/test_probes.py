"""The Probes page in a real browser: clicks show details, links reopen them, and the text of others stays text."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import fake_home
import probing_home
from conftest import Server, settle
from probing_home import probed

Visit = Callable[..., Any]


def panel(page: Any, title: str) -> Any:
    """Return the small multiple of a task."""
    return page.locator(".js-plotly-plot").filter(has=page.locator(".annotation-text", has_text=title)).first


def click_mark(page: Any, plot: Any, trace: int, point: int) -> None:
    """Click a mark at the place where it is drawn: Plotly's own layer above the marks takes the click."""
    mark = plot.locator(".scatterlayer .trace").nth(trace).locator(".points path").nth(point)
    mark.wait_for(state="attached")
    plot.scroll_into_view_if_needed()  # not before: until then a plot further down may be the first of its kind
    page.wait_for_timeout(300)  # the page stops moving
    box = mark.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)


def marks(plot: Any) -> int:
    """Return the place of the last drawn trace, the pretrained model's."""
    return plot.locator(".scatterlayer .trace").count() - 1


def test_a_click_on_a_point_shows_its_details_and_a_link_reopens_them(server: Server, visit: Visit) -> None:
    probed(server.home)
    server.start()
    page = visit("probes")
    page.get_by_role("heading", name="Word identity, layer 4").wait_for()
    pitch = panel(page, "Pitch")
    click_mark(page, pitch, marks(pitch), 3)
    page.get_by_role("heading", name="Pitch, layer 3").wait_for()
    assert "task=pitch" in page.url
    assert "layer=3" in page.url
    settle(page)
    mel = panel(page, "Mel spectrum")
    click_mark(page, mel, marks(mel), 1)
    page.get_by_role("heading", name="Mel spectrum, layer 1").wait_for()
    settle(page)
    click_mark(page, panel(page, "Pitch"), marks(pitch), 3)  # the first again: it was let go of
    page.get_by_role("heading", name="Pitch, layer 3").wait_for()
    settle(page)
    again = visit(page.url.removeprefix(f"{server.url}/"))
    again.get_by_role("heading", name="Pitch, layer 3").wait_for()


def test_a_click_on_a_cell_or_on_another_model_chooses_them(server: Server, visit: Visit) -> None:
    probed(server.home)
    server.start()
    page = visit("probes")
    table = page.locator(".js-plotly-plot").filter(has=page.locator(".heatmaplayer .hm")).first
    click_mark(page, table, 0, 6 * len(probing_home.LAYERS) + 3)  # the seventh task
    page.get_by_role("heading", name="Word meaning, layer 3").wait_for()
    settle(page)
    word = panel(page, "Word identity")
    click_mark(page, word, marks(word) - 3, 2)  # under the pair and the control: the untrained model
    page.wait_for_url("**model=random_weights**")
    page.get_by_role("heading", name="Word identity, layer 2").wait_for()
    settle(page)
    chosen = page.get_by_role("radio", name="Untrained", exact=True)
    assert chosen.get_attribute("aria-checked") == "true"


def test_a_cell_answers_where_layers_are_many_and_cells_carry_stars(server: Server, visit: Visit) -> None:
    probed(server.home, layers=tuple(range(13)))
    server.start()
    page = visit("probes")
    table = page.locator(".js-plotly-plot").filter(has=page.locator(".heatmaplayer .hm")).first
    # not before its stars are drawn: until then a plot further down may be the first of its kind
    table.locator(".scatterlayer .points path").first.wait_for(state="attached")
    table.scroll_into_view_if_needed()
    page.wait_for_timeout(300)  # the page stops moving
    box = table.locator(".heatmaplayer").bounding_box()
    n = len(table.locator(".ytick").all())
    x, y = box["x"] + box["width"] * 9.5 / 13, box["y"] + box["height"] * 6.5 / n
    page.mouse.move(x, y)
    table.locator(".hoverlayer .hovertext").wait_for()
    page.mouse.click(x, y)
    page.get_by_role("heading", name="Word meaning, layer 9").wait_for()


def test_details_can_be_chosen_without_a_click(server: Server, visit: Visit) -> None:
    probed(server.home)
    server.start()
    page = visit("probes?task=pos&layer=2")
    page.get_by_role("heading", name="Part of speech, layer 2").wait_for()
    box = page.get_by_role("combobox", name=re.compile("Task in detail"))
    box.click()
    page.get_by_role("option", name="Phone identity").click()
    page.get_by_role("heading", name="Phone identity, layer 2").wait_for()
    assert "task=phone" in page.url


def test_it_fits_every_window_and_both_themes(server: Server, visit: Visit) -> None:
    probed(server.home)
    server.start()
    for width, scheme in ((1440, "light"), (1440, "dark"), (600, "light"), (420, "light")):
        page = visit("probes", width=width, scheme=scheme)
        page.locator(".js-plotly-plot").nth(8).wait_for()
        assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0, width
        legend = page.locator(".st-key-panels_legend")
        pictures = legend.locator("img").evaluate_all("all => all.map(e => e.complete && e.naturalWidth > 0)")
        assert pictures
        assert all(pictures), pictures
        assert legend.evaluate("e => e.scrollWidth - e.clientWidth") <= 0, width  # it wraps, and nothing is cut
        page.close()


def test_names_of_tasks_and_classes_are_text(server: Server, visit: Visit) -> None:
    html, markdown = fake_home.HOSTILE["html"], fake_home.HOSTILE["markdown"]
    link = "<a href='https://evil.example'>x</a>"
    tasks = [
        probing_home.FakeTask(
            "a", html, "classification", "lexical", (0.1, 0.2, 0.3), (html, markdown, link), gain=0.1
        ),
        probing_home.FakeTask("b", link, "regression", "acoustic", (0.1, 0.2, 0.3), gain=0.1),
    ]
    probed(server.home, tasks=tasks, caveats=[markdown])
    server.start()
    page = visit("probes?task=a")
    page.locator(".js-plotly-plot").nth(5).wait_for()
    cell = page.locator(".js-plotly-plot").filter(has=page.locator(".heatmaplayer .hm")).nth(1)
    cell.scroll_into_view_if_needed()
    box = cell.locator(".nsewdrag").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    cell.locator(".hoverlayer .hovertext").wait_for()
    for width in (1200, 1000, 1440):  # two tasks make a low table, which plotly draws again without losing it
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_timeout(400)
    low = page.locator(".js-plotly-plot").filter(has=page.locator(".heatmaplayer .hm")).first
    assert low.locator(".heatmaplayer .hm image").bounding_box()["height"] > 50
    assert page.title() != "owned"
    assert page.locator("img[src=x]").count() == 0
    assert page.locator("[href*='evil.example']").count() == 0
    assert page.evaluate("[...document.querySelectorAll('svg a')].filter(a => a.href.baseVal).length") == 0

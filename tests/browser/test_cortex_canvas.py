"""The maps as the browser paints them, pixel by pixel against the server's own drawing, and what waits for them."""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import Any

import fake_home
import numpy as np
import pytest
from conftest import Server, settle

from braindash.config import Home
from braindash.cortex.flatmap import PAGE_HEIGHT, flatmap_image
from braindash.ui import map_values, readers
from braindash.ui.map_values import View

WAITS = "Target by target, files and the 3-D view follow"
PIXELS = """canvas => {
  const { width, height } = canvas;
  const bytes = canvas.getContext("2d").getImageData(0, 0, width, height).data;
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  return [width, height, btoa(text)];
}"""


def pixels(page: Any, kind: str, number: int = 0) -> np.ndarray:
    """What a canvas of the maps shows, (H, W, 4) uint8."""
    width, height, text = page.locator(f"canvas.{kind}").nth(number).evaluate(PIXELS)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def drawn_by_the_server(home: Home, run_id: str, layer: int, fade: Any, which: Any) -> np.ndarray:
    """The same map from Python: the colours of matplotlib, mixed with floating point numbers."""
    path = home.runs / run_id
    view = View(
        str(path), readers.mark(path / "records.json"), "surface", (), "sub-01", "brain_tuned", layer, "r_norm",
        outlines=False, labels=False, fade=fade,
    )  # fmt: skip
    arguments = map_values.layer_arrays(view, which)
    values = arguments.pop("values")
    cortex_map = arguments.pop("cortex_map")
    where = arguments.pop("home")
    return flatmap_image(values, cortex_map, where, **(arguments | {"outlines": None, "height": PAGE_HEIGHT}))


def same_picture(found: np.ndarray, wanted: np.ndarray, colours: int = 100) -> None:
    assert found.shape == wanted.shape
    inside = wanted[..., 3] == 255
    assert inside.mean() > 0.3
    assert np.array_equal(found[..., 3] == 255, inside)
    off = np.abs(found[inside].astype(int) - wanted[inside])[:, :3]
    assert off.max() <= 8  # a value travels as one of 255
    assert off.mean() < 1
    assert len(np.unique(found[inside], axis=0)) >= colours  # no plain surface


def test_maps_are_painted_as_the_server_draws_them(
    server: Server, visit: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    roi = fake_home.add_cortex_study(server.home, tmp_path / "surface")
    run_id = fake_home.add_done(server.home, "maps", study="surface", n_targets=len(roi), roi=roi)
    monkeypatch.setenv("BRAINDASH_HOME", str(server.home.path))
    server.start()
    page = visit(f"cortex?run={run_id}&maps=pretrained,difference&fade=none&outlines=false")
    page.locator("[data-painted='2']").wait_for()
    last = 4
    for number, (which, colours) in enumerate({"pretrained": 100, "difference": 3}.items()):  # two gains are planted
        wanted = drawn_by_the_server(server.home, run_id, last, "none", which)
        same_picture(pixels(page, "below", number), wanted, colours)
    assert not pixels(page, "lines")[..., 3].any()

    # what waited for the maps is there, and its place is not held any more
    page.get_by_text("Target by target", exact=True).wait_for()
    page.get_by_role("button", name="Bookmark this view").wait_for()
    settle(page)
    assert page.get_by_text(WAITS).count() == 0

    # another layer, and opacity by accuracy: painted anew; outlines: a canvas of their own
    before = pixels(page, "below")
    page.get_by_role("slider").first.press("ArrowLeft")
    page.get_by_role("button", name="Display").click()
    page.get_by_role("radio", name="Accuracy", exact=True).click()
    page.get_by_text("Region outlines", exact=True).click()
    for _ in range(100):
        if pixels(page, "lines")[..., 3].any():
            break
        page.wait_for_timeout(100)
    else:
        raise AssertionError("no outlines")
    settle(page)
    after = pixels(page, "below")
    assert (after != before).any(-1).mean() > 0.2
    same_picture(after, drawn_by_the_server(server.home, run_id, last - 1, "accuracy", "pretrained"))


def test_the_rest_follows_also_where_the_maps_cannot_be_painted(
    server: Server, visit: Callable[..., Any], tmp_path: Any
) -> None:
    roi = fake_home.add_cortex_study(server.home, tmp_path / "surface")
    run_id = fake_home.add_done(server.home, "maps", study="surface", n_targets=len(roi), roi=roi)
    server.start()
    page = visit("runs")
    page.context.route("**/media/*.bin", lambda route: route.abort())
    page.goto(f"{server.url}/cortex?run={run_id}")
    page.get_by_text("The maps could not be drawn").wait_for()
    page.get_by_text("Target by target", exact=True).wait_for()
    settle(page)
    assert page.get_by_text(WAITS).count() == 0

"""A figure in the form in which it is sent looks as it did, and a copy of it draws nothing anew."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import plotly
import pytest
from figure_samples import SAMPLES

from braindash.figures.sending import drawn_once

# as Streamlit does it: the figure, then, once it is drawn, a copy with other objects that hold the same
TWICE = """async ([figure, size]) => {
  let at = 1;
  Math.random = () => (at = (at * 16807) % 2147483647) / 2147483647; // plotly names its parts with it
  const place = document.createElement("div");
  document.body.replaceChildren(place);
  const copy = () => { const c = JSON.parse(figure); Object.assign(c.layout, size); return c; };
  const once = copy();
  await Plotly.react(place, { data: once.data, layout: once.layout });
  const parts = () => [...place.querySelectorAll(".main-svg, .main-svg *")]; // their attributes come in any order
  const said = (e) => [...e.attributes].map((a) => `${a.name}="${a.value}"`).sort().join(" ");
  const drawn = (e) => `<${e.tagName} ${said(e)}>${e.children.length ? "" : e.textContent}`;
  const pictures = () => parts().map(drawn).join("; ");
  const first = pictures();
  let changes = 0;
  const observer = new MutationObserver((records) => { changes += records.length; });
  observer.observe(place, { subtree: true, childList: true, attributes: true, characterData: true });
  const again = copy();
  await Plotly.react(place, { data: again.data, layout: again.layout });
  await new Promise((done) => setTimeout(done, 20));
  observer.disconnect();
  const last = pictures();
  Plotly.purge(place);
  return { first, changes, same: first === last };
}"""
SIZE = {"width": 700, "height": 500}


@pytest.fixture(scope="module")
def page(chromium: Any) -> Iterator[Any]:
    page = chromium.new_page(viewport={"width": 900, "height": 700})
    page.goto("about:blank")
    page.add_script_tag(path=Path(plotly.__file__).parent / "package_data" / "plotly.min.js")
    yield page
    page.close()


def twice(page: Any, spec: dict[str, Any]) -> dict[str, Any]:
    """Draw a figure and its copy; return the first picture and how much the copy changed in it."""
    import plotly.io

    found: dict[str, Any] = page.evaluate(TWICE, [plotly.io.to_json(spec, validate=False), SIZE])
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_it_looks_as_before_and_is_drawn_once(page: Any, name: str) -> None:
    spec = SAMPLES[name]("light").to_dict()
    before = json.dumps(spec, default=str)
    sent = twice(page, drawn_once(spec))
    assert json.dumps(spec, default=str) == before
    whole = twice(page, spec)
    assert sent["first"] == whole["first"]
    assert whole["changes"] > 10  # else plotly or Streamlit has changed, and none of this is needed
    assert (sent["changes"], sent["same"]) == (0, True)

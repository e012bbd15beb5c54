"""Margins that are known beforehand hold the labels: nothing is cut off at the left or the right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import plotly
import pytest

from braindash.figures import confusion_map, layer_region_heatmap, probe_changes, similarity_map

LABELS = ["V1", "Wernicke WWWW MMMM @@@@ %%%%", "聴覚野と言語野の全体", "a < b & c", "lilliput", "Whole cortex"]
VALUES = np.linspace(-1, 1, len(LABELS) * 3).reshape(3, len(LABELS))
FIGURES = {
    "layers and regions": lambda: layer_region_heatmap(VALUES, [0, 1, 2], LABELS, label="r", diverging=True),
    "similarity": lambda: similarity_map(
        VALUES, [0, 1, 2], LABELS, label="r", notes=["0.12–0.34"] * len(LABELS), notes_title="noise ceiling"
    ),
    "probes": lambda: probe_changes(VALUES.T, [0, 1, 2], LABELS, label="score"),
    "confusions": lambda: confusion_map(
        np.full((len(LABELS),) * 2, 10.0), LABELS, title="Pretrained", counts=[np.ones((len(LABELS),) * 2, int)]
    ),
}
CUT = """() => {
  const box = document.querySelector(".main-svg").getBoundingClientRect();
  return [...document.querySelectorAll(".main-svg text")].map((t) => [t.textContent, t.getBoundingClientRect()])
    .filter(([text, r]) => text.trim() && r.width && (r.left < box.left || r.right > box.right + 0.5))
    .map(([text, r]) => [text, r.left - box.left, box.right - r.right]);
}"""


@pytest.mark.parametrize("name", FIGURES)
def test_labels_are_whole(chromium: Any, tmp_path: Path, name: str) -> None:
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    figure = FIGURES[name]()
    assert not any(axis.automargin for axis in figure.select_yaxes())
    figure.update_layout(width=560)
    path = tmp_path / "figure.html"
    path.write_text(figure.to_html(include_plotlyjs=script.as_uri()), encoding="utf-8")
    page = chromium.new_page(viewport={"width": 600, "height": 700})
    try:
        page.goto(path.as_uri())
        page.wait_for_selector(".ytick text")
        assert page.evaluate(CUT) == []
    finally:
        page.close()

"""Figures in the shape of a slide: what is drawn is what was given, and it can be read from afar."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from braindash.errors import BraindashError
from braindash.figures.slides import SIZE, Curve, CurvePanel, IntervalRow, static_intervals, static_panels
from braindash.figures.style import model_style

LAYERS = np.arange(13.0)


def curve(model: str, start: float) -> Curve:
    value = start + 0.01 * LAYERS
    return Curve(model, LAYERS, value, value - 0.02, value + 0.02)


def panels(n: int) -> list[CurvePanel]:
    return [
        CurvePanel(f"Region ${i}$_x", f"n = {i}", [curve("pretrained", i), curve("brain_tuned", i + 0.5)], level=i)
        for i in range(n)
    ]


def drawn(figure: Any) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure).draw()
    return figure


@pytest.mark.parametrize("n", [1, 4, 5, 8])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_panels_hold_the_numbers_given(n: int, theme: Any) -> None:
    figure = drawn(static_panels(panels(n), y_label="r", level="Chance", shared=False, theme=theme))
    assert tuple(figure.get_size_inches()) == SIZE
    shown = [a for a in figure.axes if a.get_visible()]
    assert len(shown) == n
    for i, axes in enumerate(shown):
        assert axes.get_title(loc="left").strip() == f"Region ${i}$_x", "a dollar sign is a dollar sign"
        by_colour = {line.get_color(): line for line in axes.lines if len(line.get_xdata()) == LAYERS.size}
        for model, start in (("pretrained", i), ("brain_tuned", i + 0.5)):
            line = by_colour[model_style(model).color(theme)]
            np.testing.assert_allclose(line.get_ydata(), start + 0.01 * LAYERS)
        levels = [line for line in axes.lines if line.get_linestyle() == ":"]
        assert [float(line.get_ydata()[0]) for line in levels] == [i]
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["Pretrained", "Brain-tuned", "Chance"]
    words = [t for a in shown for t in (*a.get_xticklabels(), *a.get_yticklabels(), *a.texts) if t.get_text()]
    assert min(t.get_fontsize() for t in words) >= 11
    width, height = figure.canvas.get_width_height()
    for axes in shown:
        box = axes.get_tightbbox(figure.canvas.get_renderer())
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= width + 1
        assert box.y1 <= height + 1


@pytest.mark.parametrize("n", [0, 9])
def test_a_slide_holds_one_to_eight_panels(n: int) -> None:
    with pytest.raises(BraindashError, match=f"not {n}"):
        static_panels(panels(n), y_label="r")


def test_intervals_stand_beside_their_numbers() -> None:
    rows = [
        IntervalRow("Brain-tuned − pretrained", 0.0207, 0.0158, 0.0256),
        IntervalRow("Random responses − pretrained", -0.004, -0.01, 0.002, "random_responses"),
        IntervalRow("Without an interval", 0.01, np.nan, np.nan),
    ]
    figure = drawn(static_intervals(rows, x_label="Difference"))
    axes = figure.axes[0]
    said = [t.get_text() for t in axes.texts]
    assert said[1::2] == ["+0.021  (+0.016 to +0.026)", "−0.004  (−0.010 to +0.002)", "+0.010"]
    spans = [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 4]
    assert spans == [(0.0158, 0.0256), (-0.01, 0.002)]
    middle = [float(line.get_xdata()[0]) for line in axes.lines if line.get_marker() not in ("None", "")]
    assert middle == [0.0207, -0.004, 0.01]
    width, _ = figure.canvas.get_width_height()
    renderer = figure.canvas.get_renderer()
    for text in axes.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0, text.get_text()
        assert box.x1 <= width, text.get_text()
    with pytest.raises(BraindashError, match="no interval to draw"):
        static_intervals([], x_label="x")

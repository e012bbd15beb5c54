"""Plotly figures drawn without a browser: every figure of the project is covered, its data lie where they should."""

from __future__ import annotations

import ast
import inspect
import pkgutil
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from figure_samples import SAMPLES
from matplotlib.collections import PathCollection, QuadMesh
from matplotlib.colors import to_hex

from braindash import figures
from braindash.errors import BraindashError
from braindash.figures.plotly_axes import Axis, axes_of
from braindash.figures.plotly_spec import contrast, decoded, figure_spec, recoloured, rgba_of
from braindash.figures.plotly_static import static_plotly, uncovered
from braindash.figures.plotly_traces import DRAWN, colours_at, table_of
from braindash.figures.style import THEMES

FOLDER = Path(figures.__file__).parent


def panels(figure: Any) -> dict[str, Any]:
    return {a.get_label(): a for a in figure.axes}


def marks(axes: Any) -> np.ndarray:
    """Return every mark of a panel: (n, 2)."""
    found = [np.ma.getdata(c.get_offsets()) for c in axes.collections if isinstance(c, PathCollection)]
    return np.concatenate(found) if found else np.zeros((0, 2))


def holds(points: np.ndarray, wanted: np.ndarray) -> bool:
    """Say whether each wanted point is among the points."""
    if not len(wanted):
        return True
    if not len(points):
        return False
    span = np.ptp(np.concatenate([points, wanted]), axis=0) + 1e-9
    near = np.abs((points[None] - wanted[:, None]) / span).max(axis=2).min(axis=1)
    return bool((near < 1e-6).all())


def test_every_plotly_figure_of_the_project_has_a_sample() -> None:
    drawing = set()
    for module in pkgutil.iter_modules([str(FOLDER)]):
        tree = ast.parse((FOLDER / f"{module.name}.py").read_text(encoding="utf-8"))
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                drawing |= {node.name} if node.returns and ast.unparse(node.returns) == "go.Figure" else set()
    assert drawing <= set(SAMPLES), f"add to tests/figure_samples.py: {sorted(drawing - set(SAMPLES))}"


def test_every_kind_of_trace_in_the_code_is_drawn() -> None:
    kinds = set()
    for path in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("go."):
                kinds.add(ast.unparse(node.func).removeprefix("go.").lower())
            if isinstance(node, ast.Dict):
                for k, v in zip(node.keys, node.values, strict=True):
                    if isinstance(k, ast.Constant) and k.value == "type" and isinstance(v, ast.Constant):
                        kinds.add(str(v.value))
    known = set(go.Figure().data.__class__.__mro__) and {n.lower() for n, c in inspect.getmembers(go, inspect.isclass)}
    traces = {k for k in kinds & known if k not in ("figure", "layout", "line", "data")}
    assert traces >= {"scatter", "scattergl", "bar", "heatmap"}
    assert traces <= set(DRAWN), sorted(traces - set(DRAWN))


@pytest.mark.parametrize("name", SAMPLES)
def test_data_of_every_figure_lie_where_plotly_has_them(name: str) -> None:
    source = SAMPLES[name]("light")
    spec = figure_spec(source)
    assert not uncovered(decoded(spec))
    drawn = static_plotly(spec)
    whole = decoded(spec)
    axes = axes_of(whole)
    shown = panels(drawn)
    for trace in whole["data"]:
        x_axis, y_axis = axes[trace.get("xaxis", "x")], axes[trace.get("yaxis", "y")]
        panel = shown[f"{x_axis.key}{y_axis.key}"]
        assert_range(panel, x_axis, y_axis)
        kind = trace.get("type", "scatter")
        if kind == "heatmap":
            assert_cells(panel, trace)
            continue
        if kind == "bar":
            ends = sorted(round(b.get_width() if trace.get("orientation") == "h" else b.get_height(), 9)
                          for b in panel.patches)  # fmt: skip
            along = trace["x"] if trace.get("orientation") == "h" else trace["y"]
            assert {round(float(v), 9) for v in along} <= set(ends)
            continue
        x, y = x_axis.numbers(trace.get("x")), y_axis.numbers(trace.get("y"))
        ok = np.isfinite(x) & np.isfinite(y)
        points = np.column_stack([x, y])[ok]
        mode = str(trace.get("mode", ""))
        if "markers" in mode and (trace.get("marker") or {}).get("angleref") is None:
            assert holds(marks(panel), points), name
        elif "lines" in mode and (trace.get("line") or {}).get("width", 2) and len(points):
            lines = np.concatenate([np.column_stack(line.get_data()) for line in panel.lines])
            assert holds(lines[np.isfinite(lines).all(axis=1)], points), name
        elif trace.get("fill") == "toself" and len(points):
            corners = np.concatenate(
                [p.get_xy() for p in panel.patches if hasattr(p, "get_xy") and np.ndim(p.get_xy()) == 2]
            )
            assert holds(corners, points), name
    assert {m for m in ("Pretrained", "Brain-tuned") if m in legend_of(whole)} <= texts(drawn)


def assert_range(panel: Any, x: Axis, y: Axis) -> None:
    """The range that the figure sets is that of the panel; axes of one scale may show more."""
    for axis, limits in ((x, panel.get_xlim()), (y, panel.get_ylim())):
        given = axis.own.get("range")
        if given is not None and None not in given and not (x.own.get("scaleanchor") or y.own.get("scaleanchor")):
            np.testing.assert_allclose(limits, given)


def assert_cells(panel: Any, trace: dict[str, Any]) -> None:
    z = table_of(trace)
    expected = colours_at(z, trace, trace.get("zmin", np.nanmin(z)), trace.get("zmax", np.nanmax(z)))
    for mesh in (c for c in panel.collections if isinstance(c, QuadMesh)):
        np.testing.assert_allclose(np.asarray(mesh.get_array()).reshape(expected.shape), expected, atol=1e-6)
        return
    for image in panel.images:
        whole = np.asarray(image.get_array())
        step = whole.shape[0] // z.shape[0]
        if whole.shape[:2] == (step * z.shape[0], step * z.shape[1]) and np.allclose(whole[::step, ::step], expected):
            return
    raise AssertionError("no table of these colours was drawn")


def legend_of(spec: dict[str, Any]) -> list[str]:
    """Return the names in a figure's legend, as it says itself."""
    shown = spec["layout"].get("showlegend", True)
    return [t["name"] for t in spec["data"] if t.get("name") and t.get("showlegend", True) and shown]


def texts(figure: Any) -> set[str]:
    return {t.get_text() for t in figure.texts}


def test_an_independent_colour_scale_agrees() -> None:
    z = np.array([[0.0, 0.5], [1.0, np.nan]])
    got = colours_at(z, {"colorscale": [[0, "#000000"], [1, "#ffffff"]]}, 0, 1)
    np.testing.assert_allclose(got[0, 1], (0.5, 0.5, 0.5, 1))
    assert got[1, 1, 3] == 0
    import matplotlib as mpl

    named = colours_at(np.array([0.25]), {"colorscale": "Viridis"}, 0, 1)[0]
    np.testing.assert_allclose(named, mpl.colormaps["viridis"](0.25), atol=0.02)


def test_whiskers_reach_from_low_to_high() -> None:
    error = {"type": "data", "symmetric": False, "array": [1, 2], "arrayminus": [0.5, 0.25]}
    fig = go.Figure(go.Scatter(x=[1, 2], y=[3, 4], mode="markers", error_y=error))
    drawn = static_plotly(figure_spec(fig))
    (lines,) = [c for c in drawn.axes[0].collections if c.__class__.__name__ == "LineCollection"]
    np.testing.assert_allclose(lines.get_segments(), [[[1, 2.5], [1, 4]], [[2, 3.75], [2, 6]]])


def test_a_band_covers_what_it_should() -> None:
    fig = go.Figure(go.Scatter(x=[0, 1, 1, 0], y=[0, 0, 1, 1], fill="toself", mode="lines", line={"width": 0},
                               fillcolor="rgba(10,20,30,0.5)"))  # fmt: skip
    (patch,) = static_plotly(figure_spec(fig)).axes[0].patches
    assert to_hex(patch.get_facecolor(), keep_alpha=True) == "#0a141e80"
    assert holds(patch.get_xy(), np.array([[0, 0], [1, 1.0]]))


def test_axes_of_categories_logarithms_and_turned_round() -> None:
    fig = go.Figure([go.Bar(x=["a", "b"], y=[1, 100])], {"yaxis": {"type": "log", "range": [0, 3]}})
    panel = static_plotly(figure_spec(fig)).axes[0]
    assert [t.get_text() for t in panel.get_xticklabels()] == ["a", "b"]
    assert panel.get_ylim() == (0, 3)
    assert "100" in [t.get_text() for t in panel.get_yticklabels()]
    turned = go.Figure(go.Scatter(x=[0, 1], y=[0, 5]), {"yaxis": {"autorange": "reversed"}})
    low, high = static_plotly(figure_spec(turned)).axes[0].get_ylim()
    assert low > high


def test_axes_that_belong_together_share_a_range() -> None:
    from plotly.subplots import make_subplots

    fig = make_subplots(rows=1, cols=2, shared_yaxes="all")
    fig.add_trace(go.Scatter(x=[0, 1], y=[0, 1]), row=1, col=1)
    fig.add_trace(go.Scatter(x=[0, 1], y=[5, 9]), row=1, col=2)
    one, other = (a.get_ylim() for a in static_plotly(figure_spec(fig)).axes)
    assert one == other
    assert one[0] <= 0
    assert one[1] >= 9


@pytest.mark.parametrize(
    ("figure", "word"),
    [
        (go.Figure(go.Pie(values=[1, 2])), "pie"),
        (go.Figure(go.Scatter3d(x=[1], y=[1], z=[1])), "scatter3d"),
        (go.Figure(go.Scatter(x=["2020-01-01"], y=[1]), {"xaxis": {"type": "date"}}), "date"),
    ],
)
def test_what_is_not_covered_is_named_with_a_remedy(figure: Any, word: str) -> None:
    with pytest.raises(BraindashError, match=word) as caught:
        static_plotly(figure_spec(figure))
    assert "kaleido" in caught.value.remedy


def test_nothing_of_a_figure_stands_outside_it() -> None:
    for name in ("layer_curves", "hierarchy_picture", "similarity_map", "probe_changes", "deep_layer_curves"):
        drawn = static_plotly(figure_spec(SAMPLES[name]("light")))
        width, height = drawn.get_size_inches() * 72
        renderer = drawn.canvas.get_renderer()  # type: ignore[attr-defined]
        written = [*drawn.texts, *(t for a in drawn.axes for t in (*a.get_xticklabels(), *a.get_yticklabels()))]
        for text in (t for t in written if t.get_text().strip() and t.get_visible()):
            box = text.get_window_extent(renderer)
            inside = -2 < box.x0 <= box.x1 < width + 12 and -2 < box.y0 <= box.y1 < height + 2
            assert inside, (name, text.get_text())


@pytest.mark.parametrize(("begin", "end"), [("light", "dark"), ("dark", "light")])
def test_a_figure_in_the_other_theme_is_what_pages_draw_in_it(begin: Any, end: Any) -> None:
    for name in ("layer_curves", "loss_curves", "hierarchy_picture", "lag_curves", "similarity_map"):
        changed = recoloured(figure_spec(SAMPLES[name](begin)), begin, end)
        wanted = figure_spec(SAMPLES[name](end))
        for one, other in zip(changed["data"], wanted["data"], strict=True):
            for part in ("line", "marker"):
                got, meant = ((t.get(part) or {}).get("color") for t in (one, other))
                assert rgba_of(got) == rgba_of(meant) or isinstance(meant, list), (name, got, meant)
        page = np.array(rgba_of(THEMES[end].page))[:3]
        for note in changed["layout"].get("annotations", ()):
            ink = rgba_of((note.get("font") or {}).get("color"))
            if ink is not None and name != "similarity_map":  # letters there stand on cells
                assert contrast(np.array(ink[:3]), page) > 4
        assert rgba_of(changed["layout"]["font"]["color"]) == rgba_of(THEMES[end].text)


def test_lines_that_would_vanish_on_the_other_page_are_moved_away_from_it() -> None:
    fig = go.Figure(go.Scatter(x=[0, 1], y=[0, 1], line={"color": "rgb(20, 10, 40)"}))
    (trace,) = recoloured(figure_spec(fig), "light", "dark")["data"]
    ink, page = (np.array(rgba_of(c))[:3] for c in (trace["line"]["color"], THEMES["dark"].page))
    assert contrast(ink, page) >= 2.2


def test_a_spec_leaves_out_what_only_a_cursor_would_say() -> None:
    spec = figure_spec(SAMPLES["rdm"]("light"))
    assert len(spec["data"]) == 2, "the points that answer clicks cannot be seen"
    assert "customdata" not in str(spec)
    assert "template" not in spec["layout"]

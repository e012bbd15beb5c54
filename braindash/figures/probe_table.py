"""What changed in the probes of all tasks at once: a model minus the pretrained one, task by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.cells import ink, stars
from braindash.figures.probes import UNDIMMED, beneath, between
from braindash.figures.style import CLICK_MARKER, FONT_SIZE, ThemeName, base_layout, label_room, plain, theme_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MOST_NUMBERS = 8  # layers; with more, numbers do not fit their cells
_ROW = 30  # px, of a task
_FOOT = 152  # px, for the axis and the colour scale


def probe_changes(
    delta: np.ndarray,
    layers: Sequence[int],
    tasks: Sequence[str],
    *,
    label: str,
    groups: Sequence[str] | None = None,
    low: np.ndarray | None = None,
    high: np.ndarray | None = None,
    q: np.ndarray | None = None,
    level: float = 0.05,
    limit: float | None = None,
    picked: tuple[int, int] | None = None,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw the difference between two models for every task and layer; zero is in the middle of the scale.

    Parameters
    ----------
    delta, low, high, q : (n_tasks, n_layers) float
        Differences, their intervals, and corrected p values; NaN where there is none.
    layers, tasks : sequences
        Columns and rows.
    label : str
        What the values are.
    groups : sequence of str, optional
        What each task belongs to; neighbours of one kind stand together under its name.
    level : float
        Cells whose q is below it carry a star.
    limit : float, optional
        End of the colour scale; from the values by default.
    picked : (task, layer), optional
        Positions of the cell that is shown in detail elsewhere.

    Raises
    ------
    BraindashError
        Where shapes do not fit or nothing is finite.
    """
    import plotly.graph_objects as go

    from braindash.cortex.colour import DIVERGING, plotly_scale, symmetric_limit
    from braindash.figures.alt import alt_text

    delta = np.asarray(delta, dtype=float)
    if delta.shape != (len(tasks), len(layers)):
        raise BraindashError(
            f"The differences have shape {delta.shape}; there are {len(tasks)} tasks and {len(layers)} layers.",
            "Give one row a task and one column a layer.",
        )
    none = np.full(delta.shape, np.nan)
    low, high, q = (none if a is None else np.asarray(a, dtype=float) for a in (low, high, q))
    end = symmetric_limit(delta, percentile=100) if limit is None else float(limit)
    height = _ROW * len(tasks)
    colours = theme_of(theme)
    sure = q < level
    numbers = len(layers) <= _MOST_NUMBERS
    told = [
        [
            f"<b>{plain(tasks[i], 60)}</b>, layer {layers[j]}<br>"
            f"{_told(float(delta[i, j]), float(low[i, j]), float(high[i, j]), float(q[i, j]))}"
            for j in range(len(layers))
        ]
        for i in range(len(tasks))
    ]
    rows, columns = np.nonzero(np.isfinite(delta))
    heat = {
        "type": "heatmap", "z": delta, "zmin": -end, "zmax": end, "colorscale": plotly_scale(DIVERGING),
        "xgap": 1, "ygap": 1, "hoverinfo": "skip",
        "colorbar": {
            "title": {"text": plain(label, 80), "side": "bottom"}, "orientation": "h", "thickness": 14, "len": 0.7,
            "nticks": 5, "tickfont": {"size": 12}, **beneath(62, height),
        },
    }  # fmt: skip
    where = list(zip(rows, columns, strict=True))
    clicks = {  # a heatmap answers no click: a mark that cannot be seen lies on every cell
        "type": "scatter", "mode": "markers", "x": columns, "y": rows, "showlegend": False, "marker": CLICK_MARKER,
        "selected": UNDIMMED, "unselected": UNDIMMED, "hovertext": [told[i][j] for i, j in where],
        "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip
    if numbers:
        written = {
            "marker": {"size": _ROW - 8, "symbol": "square", "color": "rgba(0,0,0,0)"},
            "mode": "markers+text", "text": [_cell(float(delta[i, j]), bool(sure[i, j])) for i, j in where],
            "textfont": {"size": 12, "color": ink(delta[rows, columns], DIVERGING, -end, end)},
        }  # fmt: skip
        traces = [heat, clicks | written]
    else:
        traces = [heat, clicks, stars(delta, sure, DIVERGING, -end, end)]
    shapes, notes = _group_marks(groups or [""] * len(tasks), colours.muted)
    if picked is not None:
        i, j = picked
        box = {"x0": j - 0.5, "x1": j + 0.5, "y0": i - 0.5, "y1": i + 0.5}
        # white within black, seen on every colour of the scale
        shapes += [
            {"type": "rect", **box, "line": {"color": c, "width": w}} for c, w in (("#000000", 5), ("#FFFFFF", 2))
        ]
    alt = alt_text("probe_changes", delta=delta, layers=list(layers), tasks=list(tasks), sure=sure, label=label)
    names = [f"{plain(t, 34)} " for t in tasks]
    margin = {"l": label_room(names), "r": 84, "t": 12, "b": _FOOT}
    layout = base_layout(theme, 12 + height + _FOOT, margin=margin, shapes=shapes)
    layout |= {
        "annotations": notes,
        "clickmode": "event+select",
        "dragmode": False,
        "hovermode": "closest",
        "hoverdistance": 60,
        "xaxis": {
            "title": {"text": "Layer (0 = front end output)", "font": {"size": FONT_SIZE}},
            "tickvals": list(range(len(layers))), "ticktext": [str(k) for k in layers], "showgrid": False,
            "zeroline": False, "tickfont": {"size": 12}, "range": [-0.5, len(layers) - 0.5], "tickangle": 0,
            "automargin": False,
        },
        "yaxis": {
            "tickvals": list(range(len(tasks))), "ticktext": names, "showgrid": False,
            "zeroline": False, "tickfont": {"size": 12}, "range": [len(tasks) - 0.5, -0.5], "automargin": False,
        },
        "meta": {"alt": alt},
    }  # fmt: skip
    return go.Figure({"data": traces, "layout": layout})


def _group_marks(groups: Sequence[str], colour: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the lines between kinds of tasks, and their names at the right."""
    edges = [i for i in range(1, len(groups)) if groups[i] != groups[i - 1]]
    shapes: list[dict[str, Any]] = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1.0, "yref": "y", "y0": e - 0.5, "y1": e - 0.5,
         "line": {"color": colour, "width": 1.6}}
        for e in edges
    ]  # fmt: skip
    notes = [
        {
            "x": 1.0, "xref": "paper", "xanchor": "left", "xshift": 8, "y": (a + b - 1) / 2, "yref": "y",
            "showarrow": False, "text": plain(groups[a], 14), "font": {"size": 12, "color": colour},
        }
        for a, b in zip([0, *edges], [*edges, len(groups)], strict=True)
        if groups[a]
    ]  # fmt: skip
    return shapes, notes


def _cell(value: float, sure: bool) -> str:
    star = "*" if sure else ""
    if value == 0:
        return "0"  # the same states in both models
    if abs(value) < 0.0005:
        return f"≈0{star}"
    digits = 3 if abs(value) < 0.0995 else 2
    text = f"{value:+.{digits}f}".replace("-", "−").replace("0.", ".", 1) + star
    return f"<b>{text}</b>" if sure else text


def _told(value: float, low: float, high: float, q: float) -> str:
    text = f"{value:+.4f}".replace("-", "−")
    return f"Δ {text}<br>{between(low, high)}<br>" + (f"q = {q:.3g}" if q == q else "not tested")

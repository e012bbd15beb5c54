"""Probes of layers: score over layers for one task, differences between models for all tasks at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.style import (
    FONT_SIZE,
    ThemeName,
    band_opacity,
    base_layout,
    legend_height,
    model_style,
    plain,
    rgba,
    theme_of,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHUFFLED, CHANCE, BASELINE = "Labels shuffled", "Chance", "Most frequent class"
REFERENCE = "random_weights"  # drawn without its interval, dashed
_PANEL = 290  # px, of one task
_SAME = 1e-9  # a baseline that differs from chance by less is chance
_MOST_NUMBERS = 8  # layers; with more, numbers do not fit their cells
_ROW = 30  # px, of a task in the table of differences
_UNDIMMED = {"marker": {"opacity": 1}}  # a click shows its details elsewhere and must not fade the rest


@dataclass(frozen=True)
class ProbeLine:
    """The probes of one task in the layers of one model: (n_layers,) each, NaN where there is none."""

    model: str
    score: np.ndarray
    low: np.ndarray
    high: np.ndarray
    shuffled: np.ndarray


def probe_curves(
    lines: Sequence[ProbeLine],
    layers: Sequence[int],
    *,
    title: str,
    note: str = "",
    y_label: str = "Score",
    chance: float = float("nan"),
    baseline: float = float("nan"),
    picked: int | None = None,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw the probes of one task over layers: a small panel of several, with its legend apart (`probe_legend`).

    Parameters
    ----------
    lines : sequence of ProbeLine
        Bands are drawn for the pretrained and the brain-tuned model, and their shuffled labels as dotted lines.
        ``customdata`` of a mark begins with its model's name.
    layers : sequence of int
    title, note : str
        The task, and a line under it.
    y_label : str
        The metric.
    chance, baseline : float
        Horizontal lines; the baseline only where it differs from chance.
    picked : int, optional
        A layer that is shown in detail elsewhere.
    theme : "light" | "dark"

    Raises
    ------
    BraindashError
        Where no score is finite.
    """
    import plotly.graph_objects as go

    from braindash.figures.alt import alt_text

    if not any(np.isfinite(line.score).any() for line in lines):
        raise BraindashError(f"No probe of {title} has a score.", "Choose a task that has.")
    colours = theme_of(theme)
    x = [int(k) for k in layers]
    ordered = sorted(lines, key=lambda line: -model_style(line.model).order)  # the pair on top
    traces: list[dict[str, Any]] = []
    for line in ordered:
        if _is_pair(line.model):
            traces += _band(line, x, theme)
    traces += [_dotted(line, x, theme) for line in ordered if _is_pair(line.model)]
    traces += [_marks(line, x, theme) for line in ordered]
    shapes = [_across(y, dash, colours.muted) for y, dash in _levels(chance, baseline)]
    if picked is not None and picked in x:
        shapes.append(
            {
                "type": "rect", "xref": "x", "x0": picked - 0.35, "x1": picked + 0.35, "yref": "paper", "y0": 0,
                "y1": 1, "fillcolor": rgba(colours.muted, 0.18), "line": {"width": 0}, "layer": "below",
            }
        )  # fmt: skip
    small = f"<br><span style='font-size:12px;color:{colours.muted}'>{plain(note, 60)}</span>" if note else ""
    pad = 0.04 * max(x[-1] - x[0], 1) + 0.2
    alt = alt_text("probe_curves", lines=list(lines), layers=x, title=title, y_label=y_label, chance=chance)
    layout = base_layout(theme, _PANEL, margin={"l": 62, "r": 10, "t": 52, "b": 44}, showlegend=False)
    layout |= {
        "title": {
            "text": f"<b>{plain(title, 40)}</b>{small}", "font": {"size": FONT_SIZE + 1}, "x": 0.0, "xref": "container",
            "xanchor": "left", "y": 1.0, "yref": "container", "yanchor": "top", "pad": {"t": 6, "l": 2},
        },
        "xaxis": {
            "title": {"text": "Layer", "standoff": 4, "font": {"size": 12}}, "range": [x[0] - pad, x[-1] + pad],
            "tickvals": _ticks(x), "showgrid": False, "zeroline": False, "tickfont": {"size": 12},
        },
        "yaxis": {
            "title": {"text": plain(y_label, 40), "standoff": 6, "font": {"size": 12}},
            "range": _range(lines, chance, baseline), "gridcolor": colours.grid, "zeroline": False, "nticks": 6,
            "tickfont": {"size": 12},
        },
        "shapes": shapes,
        "hovermode": "closest",
        "clickmode": "event+select",
        "dragmode": False,  # a finger or a wheel scrolls the page
        "meta": {"alt": alt},
    }  # fmt: skip
    return go.Figure({"data": traces, "layout": layout})


def probe_legend(models: Sequence[str], *, baseline: bool = False, theme: ThemeName = "light") -> go.Figure:
    """Draw the legend that all panels of `probe_curves` share, and nothing else."""
    import plotly.graph_objects as go

    colours = theme_of(theme)
    traces: list[dict[str, Any]] = []
    titles = []
    for model in models:
        style = model_style(model)
        titles.append(style.title + (", 95% interval" if _is_pair(model) else ""))
        traces.append(
            {
                "type": "scatter", "x": [None], "y": [None], "mode": "lines+markers", "name": titles[-1],
                "line": {"color": style.color(theme), "width": style.width, "dash": style.dash},
                "marker": {"size": style.size, "symbol": style.symbol, "color": style.color(theme)},
                "fill": "toself" if _is_pair(model) else "none",
                "fillcolor": rgba(style.color(theme), band_opacity(style)),
            }
        )  # fmt: skip
    others = [(SHUFFLED, "dot"), (CHANCE, "solid"), *([(BASELINE, "dash")] if baseline else [])]
    for title, dash in others:
        titles.append(title)
        line = {"color": colours.muted, "width": 1.6, "dash": dash}
        traces.append({"type": "scatter", "x": [None], "y": [None], "mode": "lines", "name": title, "line": line})
    height = legend_height(titles, 900) + 8
    layout = base_layout(theme, height, margin={"l": 0, "r": 0, "t": height - 2, "b": 0}, showlegend=True)
    layout["legend"] |= {"itemclick": False, "itemdoubleclick": False}
    layout |= {
        "xaxis": {"visible": False},
        "yaxis": {"visible": False},
        "dragmode": False,
        "meta": {"alt": f"Legend of the panels: {', '.join(titles)}."},
    }
    return go.Figure({"data": traces, "layout": layout})


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
    colours = theme_of(theme)
    sure = q < level
    cells = [
        [_cell(float(delta[i, j]), bool(sure[i, j]), len(layers) <= _MOST_NUMBERS) for j in range(len(layers))]
        for i in range(len(tasks))
    ]
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
        "xgap": 1, "ygap": 1, "text": cells, "texttemplate": "%{text}",
        "textfont": {"size": 12 if len(layers) <= _MOST_NUMBERS else 15}, "hoverinfo": "skip",
        "colorbar": {
            "title": {"text": plain(label, 80), "side": "bottom"}, "orientation": "h", "y": 0, "yref": "container",
            "yanchor": "bottom", "thickness": 14, "len": 0.7, "nticks": 5, "tickfont": {"size": 12},
        },
    }  # fmt: skip
    clicks = {  # a heatmap answers no click: a mark that cannot be seen lies on every cell
        "type": "scatter", "mode": "markers", "x": columns, "y": rows, "showlegend": False,
        "marker": {"size": _ROW - 8, "symbol": "square", "color": "rgba(0,0,0,0)"},
        "selected": {"marker": {"opacity": 0}}, "unselected": {"marker": {"opacity": 0}},
        "text": [told[i][j] for i, j in zip(rows, columns, strict=True)],
        "hovertemplate": "%{text}<extra></extra>",
    }  # fmt: skip
    shapes, notes = _group_marks(groups or [""] * len(tasks), colours.muted)
    if picked is not None:
        i, j = picked
        box = {"x0": j - 0.5, "x1": j + 0.5, "y0": i - 0.5, "y1": i + 0.5}
        shapes.append({"type": "rect", **box, "line": {"color": colours.text, "width": 2.5}})
    alt = alt_text("probe_changes", delta=delta, layers=list(layers), tasks=list(tasks), sure=sure, label=label)
    layout = base_layout(theme, 150 + _ROW * len(tasks), margin={"l": 8, "r": 84, "t": 12, "b": 124}, shapes=shapes)
    layout |= {
        "annotations": notes,
        "clickmode": "event+select",
        "dragmode": False,
        "hovermode": "closest",
        "xaxis": {
            "title": {"text": "Layer (0 = front end output)", "font": {"size": FONT_SIZE}},
            "tickvals": list(range(len(layers))), "ticktext": [str(k) for k in layers], "showgrid": False,
            "zeroline": False, "tickfont": {"size": 12}, "range": [-0.5, len(layers) - 0.5], "tickangle": 0,
        },
        "yaxis": {
            "tickvals": list(range(len(tasks))), "ticktext": [f"{plain(t, 34)} " for t in tasks], "showgrid": False,
            "zeroline": False, "tickfont": {"size": 12}, "range": [len(tasks) - 0.5, -0.5], "automargin": True,
        },
        "meta": {"alt": alt},
    }  # fmt: skip
    return go.Figure({"data": [heat, clicks], "layout": layout})


# --- pieces --------------------------------------------------------------------------------------


def _is_pair(model: str) -> bool:
    return model in ("pretrained", "brain_tuned")


def _band(line: ProbeLine, x: Sequence[int], theme: ThemeName) -> list[dict[str, Any]]:
    """Return the interval over layers, in one piece a run of layers that have one."""
    style = model_style(line.model)
    known = np.flatnonzero(np.isfinite(line.low) & np.isfinite(line.high))
    pieces = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1) if known.size else []
    at = np.asarray(x)
    return [
        {
            "type": "scatter", "x": np.concatenate([at[p], at[p][::-1]]),
            "y": np.concatenate([line.high[p], line.low[p][::-1]]), "fill": "toself", "mode": "lines",
            "fillcolor": rgba(style.color(theme), band_opacity(style)), "line": {"width": 0}, "hoverinfo": "skip",
        }
        for p in pieces
    ]  # fmt: skip


def _dotted(line: ProbeLine, x: Sequence[int], theme: ThemeName) -> dict[str, Any]:
    colour = model_style(line.model).color(theme)
    return {
        "type": "scatter", "x": x, "y": line.shuffled, "mode": "lines", "hoverinfo": "skip",
        "line": {"color": colour, "width": 1.4, "dash": "dot"},
    }  # fmt: skip


def _marks(line: ProbeLine, x: Sequence[int], theme: ThemeName) -> dict[str, Any]:
    style = model_style(line.model)
    colour = style.color(theme)
    told = [
        f"<b>{style.title}</b>, layer {k}: {_number(s)}<br>{_between(lo, hi)}<br>labels shuffled: {_number(sh)}"
        for k, s, lo, hi, sh in zip(x, line.score, line.low, line.high, line.shuffled, strict=True)
    ]
    return {
        "type": "scatter", "x": x, "y": line.score, "mode": "lines+markers", "cliponaxis": False,
        "line": {"color": colour, "width": style.width, "dash": style.dash},
        "marker": {"size": style.size if len(x) <= 14 else style.size - 2, "symbol": style.symbol, "color": colour},
        "selected": _UNDIMMED, "unselected": _UNDIMMED, "customdata": [[line.model] for _ in x], "hovertext": told,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip


def _levels(chance: float, baseline: float) -> list[tuple[float, str]]:
    """Return the horizontal lines: chance, and the baseline where it is another."""
    lines = [(chance, "solid")] if np.isfinite(chance) else []
    if np.isfinite(baseline) and not (np.isfinite(chance) and abs(baseline - chance) < _SAME):
        lines.append((baseline, "dash"))
    return lines


def _across(y: float, dash: str, colour: str) -> dict[str, Any]:
    line = {"color": colour, "width": 1.6, "dash": dash}
    return {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "yref": "y", "y0": y, "y1": y, "line": line}


def _range(lines: Sequence[ProbeLine], chance: float, baseline: float) -> list[float]:
    """Return a range that holds every score, every interval drawn, and the horizontal lines."""
    shown = [line.score for line in lines]
    shown += [a for line in lines if _is_pair(line.model) for a in (line.low, line.high, line.shuffled)]
    values = np.concatenate([*map(np.asarray, shown), [y for y, _ in _levels(chance, baseline)]])
    values = values[np.isfinite(values)]
    low, high = float(values.min()), float(values.max())
    room = 0.06 * (high - low) or 0.05
    return [low - room, high + room]


def _ticks(layers: Sequence[int]) -> list[int]:
    return list(layers[:: -(-len(layers) // 9)])


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


def _cell(value: float, sure: bool, with_number: bool) -> str:
    if value != value:
        return ""
    star = "*" if sure else ""
    if not with_number:
        return star
    if value == 0:
        return "0"  # the same states in both models
    digits = 3 if abs(value) < 0.0995 else 2
    text = f"{value:+.{digits}f}".replace("-", "−").replace("0.", ".", 1) + star
    return f"<b>{text}</b>" if sure else text


def _told(value: float, low: float, high: float, q: float) -> str:
    text = f"{value:+.4f}".replace("-", "−")
    return f"Δ {text}<br>{_between(low, high)}<br>" + (f"q = {q:.3g}" if q == q else "not tested")


def _between(low: float, high: float) -> str:
    if low != low or high != high:
        return "no interval"
    return f"95% interval {_number(low)} to {_number(high)}"


def _number(value: float) -> str:
    return "–" if value != value else f"{value:.3f}".replace("-", "−")

"""Probes of layers: score over layers for one task; the panels of many tasks share a legend that stands apart."""

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
    model_style,
    plain,
    rgba,
    theme_of,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go

SHUFFLED, CHANCE, BASELINE = "Labels shuffled", "Chance", "Majority baseline"
REFERENCE = "random_weights"
_MANY = 14  # layers beyond which marks are smaller
_PANEL = 290  # px, of one task
_SAME = 1e-9  # a baseline that differs from chance by less is chance
UNDIMMED = {"marker": {"opacity": 1}}  # a click shows its details elsewhere and must not fade the rest


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
    """Draw the probes of one task over layers: a small panel of several, with its legend apart.

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
        "annotations": [heading(f"{plain(title, 40)}", small, 52)],
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
        "meta": {"alt": alt, "legend": "apart"},  # a page shows one for all panels
    }  # fmt: skip
    return go.Figure({"data": traces, "layout": layout})


def heading(title: str, small: str, margin: int) -> dict[str, Any]:
    """Return a figure's title at the top left of its ``margin`` (px), with a line under it; both without markup."""
    return {
        "text": f"<b>{title}</b>{small}", "xref": "paper", "yref": "paper", "x": 0, "y": 1, "xanchor": "left",
        "yanchor": "bottom", "align": "left", "showarrow": False, "font": {"size": FONT_SIZE + 1},
        "yshift": 6 if small else (margin - 24) // 2, "xshift": -44,
    }  # fmt: skip


def beneath(distance: int, height: int) -> dict[str, Any]:
    """Return the place of a colour bar ``distance`` px under a plot that is ``height`` px high.

    Placed by the figure's edge instead, it takes room from a low plot each time that plotly draws it again,
    until none is left and plotly fails.
    """
    return {"y": max(-distance / height, -2.0), "yref": "paper", "yanchor": "top"}


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
        "line": {"color": colour, "width": 1.4, "dash": "dot"}, "name": SHUFFLED,
    }  # fmt: skip


def _marks(line: ProbeLine, x: Sequence[int], theme: ThemeName) -> dict[str, Any]:
    style = model_style(line.model)
    colour = style.color(theme)
    told = [
        f"<b>{style.title}</b>, layer {k}: {readable(s)}<br>{between(lo, hi)}<br>labels shuffled: {readable(sh)}"
        for k, s, lo, hi, sh in zip(x, line.score, line.low, line.high, line.shuffled, strict=True)
    ]
    return {
        "type": "scatter", "x": x, "y": line.score, "mode": "lines+markers", "cliponaxis": False, "name": style.title,
        "legendrank": style.order,
        "line": {"color": colour, "width": style.width, "dash": style.dash},
        "marker": {"size": _mark_size(line.model, len(x)), "symbol": style.symbol, "color": colour},
        "selected": UNDIMMED, "unselected": UNDIMMED, "customdata": [[line.model] for _ in x], "hovertext": told,
        "hovertemplate": "%{hovertext}<extra></extra>",
    }  # fmt: skip


def _mark_size(model: str, n_layers: int) -> int:
    """Return the size of marks in px; over many layers those of the untrained model would hide its dashes."""
    size = model_style(model).size
    return size if n_layers <= _MANY else 3 if model == REFERENCE else size - 2


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


def between(low: float, high: float) -> str:
    if low != low or high != high:
        return "no interval"
    return f"95% interval {readable(low)} to {readable(high)}"


def readable(value: float) -> str:
    return "–" if value != value else f"{value:.3f}".replace("-", "−")

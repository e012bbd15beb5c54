"""Electrodes and sensors seen from above, nose up: a value each, several maps on their own scales."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.style import ThemeName, base_layout, plain, theme_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

FEWEST = 4  # points that tell a sphere
UNEVEN = 0.15  # of the radius: where distances from the centre differ more, contacts lie inside the head
WIDEST = 0.8  # of the largest extent: a sphere with a larger radius is not the head that they lie on
_EDGE = 1.12  # of the head's radius: how far the picture reaches; sensors below its widest line lie outside it
_MOST_NAMED = 40  # electrodes whose names stand beside them


@dataclass(frozen=True, eq=False)
class HeadMap:
    """One map: a title, (n,) values, and the colours' limits. ``cmap`` is "sequential" or "diverging"."""

    title: str
    values: np.ndarray
    cmap: str
    low: float
    high: float
    unit: str


@dataclass(frozen=True, eq=False)
class Places:
    """Where electrodes are drawn: (n, 2), the head's widest line is the unit circle; and whether they lie inside."""

    points: np.ndarray
    inside: bool


def head_places(positions: np.ndarray) -> Places:
    """Project positions onto the plane above the head.

    On the scalp (EEG, MEG): the azimuthal equidistant projection of the sphere that fits the positions best
    (linear least squares), its pole upwards, as in EEGLAB and MNE: the angle from the vertex becomes the distance
    from the middle, and a right angle is the head's widest line. Inside the head (depth electrodes, contacts on the
    brain), where no sphere fits: the plain view from above, the outermost contact just within the circle.

    Parameters
    ----------
    positions : (n, 3) float
        x to the right, y to the front, z upwards, in any unit; NaN where unknown.

    Raises
    ------
    BraindashError
        If no position is known, or they have another shape.
    """
    xyz = np.asarray(positions, dtype=np.float64)
    if xyz.ndim != 2 or xyz.shape[1] != 3:
        raise BraindashError(f"Positions have shape {xyz.shape}.", "Give x, y and z of every electrode.")
    known = np.asarray(np.isfinite(xyz).all(axis=1))
    if not known.any():
        raise BraindashError("No electrode has a position.", "Give x, y and z in the study's targets file.")
    xyz = np.where(known[:, None], xyz, np.nan)
    centre = _sphere_centre(xyz[known])
    if centre is not None:
        from_centre = xyz - centre
        radius = np.linalg.norm(from_centre, axis=1)
        mean, span = radius[known].mean(), np.ptp(xyz[known], axis=0).max()
        if radius[known].std() <= UNEVEN * mean and mean <= WIDEST * span:
            angle = np.arccos(np.clip(from_centre[:, 2] / np.where(radius > 0, radius, np.nan), -1, 1))
            across = np.hypot(from_centre[:, 0], from_centre[:, 1])
            out = np.where(across > 0, angle / (np.pi / 2) / np.where(across > 0, across, 1), 0)
            return Places(from_centre[:, :2] * out[:, None], inside=False)
    flat = xyz[:, :2] - (np.nanmax(xyz[:, :2], axis=0) + np.nanmin(xyz[:, :2], axis=0)) / 2
    furthest = float(np.nanmax(np.linalg.norm(flat, axis=1)))
    return Places(flat * (0.85 / furthest if furthest > 0 else 1), inside=True)


def _sphere_centre(xyz: np.ndarray) -> np.ndarray | None:
    """Return the centre of the sphere with |x|² = 2c·x + (r² − |c|²), by least squares; None where none is told."""
    if len(xyz) < FEWEST:
        return None
    middle = xyz.mean(axis=0)
    scale = float(np.abs(xyz - middle).max()) or 1.0
    at = (xyz - middle) / scale
    design = np.column_stack([2 * at, np.ones(len(at))])
    if np.linalg.cond(design) > 1e4:  # all in one plane: any sphere through their circle would do
        return None
    solved, *_ = np.linalg.lstsq(design, (at**2).sum(axis=1), rcond=None)
    return np.asarray(middle + scale * solved[:3])


def head_maps(
    maps: Sequence[HeadMap],
    positions: np.ndarray,
    names: Sequence[str],
    *,
    selected: int | None = None,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw maps side by side, one marker an electrode, grey where it has no value.

    Parameters
    ----------
    maps : sequence of HeadMap
    positions : (n, 3) float
        As of :func:`head_places`; electrodes without one are left out.
    names : (n,) sequence of str
    selected : int, optional
        An electrode that is ringed.

    Raises
    ------
    BraindashError
        If there is no map, lengths differ, or no electrode has a position.
    """
    import plotly.graph_objects as go

    if not maps:
        raise BraindashError("A head plot needs a map.", "Give one or more.")
    for m in maps:
        if np.shape(m.values) != (len(names),) or len(positions) != len(names):
            raise BraindashError(
                f"{m.title!r} has values of shape {np.shape(m.values)} for {len(names)} names and {len(positions)} "
                "positions.",
                "Give one of each for every electrode.",
            )
    places = head_places(positions)
    known = np.flatnonzero(np.isfinite(places.points).all(axis=1))
    reach = max(_EDGE, float(np.abs(places.points[known]).max()) + 0.08)
    colours, n = theme_of(theme), len(maps)
    fig = go.Figure()
    layout: dict[str, Any] = {}
    gap = 0.04
    width = (1 - gap * (n - 1)) / n
    for i, m in enumerate(maps):
        axis = "" if i == 0 else str(i + 1)
        left = i * (width + gap)
        _outline(fig, axis, colours.muted)
        _electrodes(fig, m, places.points, known, names, axis, theme, left + width / 2, width)
        if selected is not None and selected in known:
            at = places.points[selected]
            fig.add_trace(
                go.Scatter(
                    x=[at[0]], y=[at[1]], mode="markers", hoverinfo="skip", showlegend=False, xaxis=f"x{axis}",
                    yaxis=f"y{axis}",
                    marker={"size": 24, "color": "rgba(0,0,0,0)", "line": {"width": 3, "color": "#ff3b7f"}},
                )
            )  # fmt: skip
        hidden = {"visible": False, "range": [-reach - 0.12, reach + 0.12], "fixedrange": True}
        layout[f"xaxis{axis}"] = {**hidden, "domain": [left, left + width], "anchor": f"y{axis}"}
        layout[f"yaxis{axis}"] = {**hidden, "domain": [0.14, 0.92], "anchor": f"x{axis}", "scaleanchor": f"x{axis}"}
        fig.add_annotation(
            x=left + width / 2, y=1.0, xref="paper", yref="paper", xanchor="center", yanchor="top", showarrow=False,
            text=f"<b>{plain(m.title)}</b>", font={"size": 15, "color": colours.text},
        )  # fmt: skip
    fig.update_layout(
        **base_layout(theme, 430, margin={"l": 8, "r": 8, "t": 8, "b": 44}, showlegend=False, **layout),
        meta={"alt": _alt(maps, known, names, places.inside)},
    )
    return fig


def _outline(fig: go.Figure, axis: str, colour: str) -> None:
    """Draw the head's widest line, a nose and two ears."""
    import plotly.graph_objects as go

    turn = np.linspace(0, 2 * np.pi, 181)
    half = np.linspace(-np.pi / 2, np.pi / 2, 41)
    nose = np.deg2rad([100, 90, 80])
    ear = 1.0 + 0.07 * np.cos(half), 0.16 * np.sin(half)
    lines = [
        (np.cos(turn), np.sin(turn)),
        (np.cos(nose), np.sin(nose) * np.array([1, 1.13, 1])),
        ear,
        (-ear[0], ear[1]),
    ]
    for x, y in lines:
        fig.add_trace(
            go.Scatter(
                x=x, y=y, mode="lines", line={"color": colour, "width": 1.5}, hoverinfo="skip", showlegend=False,
                xaxis=f"x{axis}", yaxis=f"y{axis}",
            )
        )  # fmt: skip


def _electrodes(
    fig: go.Figure, m: HeadMap, points: np.ndarray, known: np.ndarray, names: Sequence[str], axis: str,
    theme: ThemeName, centre: float, width: float,
) -> None:  # fmt: skip
    import plotly.graph_objects as go

    from braindash.cortex.colour import plotly_scale

    colours = theme_of(theme)
    values = np.asarray(m.values, dtype=np.float64)
    with_value = np.isfinite(values)
    size = float(np.clip(150 / np.sqrt(max(len(known), 1)), 7, 20))
    labels = len(known) <= _MOST_NAMED
    sign = "+" if m.cmap == "diverging" else ""
    for mine, valued in ((known[~with_value[known]], False), (known[with_value[known]], True)):
        marker: dict[str, Any] = {"size": size, "line": {"width": 1, "color": colours.muted}}
        if valued:
            marker |= {
                "color": values[mine], "colorscale": plotly_scale(m.cmap), "cmin": m.low, "cmax": m.high,
                "colorbar": {
                    "orientation": "h", "x": centre, "xanchor": "center", "y": 0.1, "yanchor": "top",
                    "len": 0.8 * width, "thickness": 12, "nticks": 5,
                    "title": {"text": plain(m.unit), "side": "bottom"},
                },
            }  # fmt: skip
        else:
            marker |= {"color": "rgba(128,128,128,0.25)"}
        said = f"%{{customdata[1]:{sign}.3f}}" if valued else "no value"
        fig.add_trace(
            go.Scatter(
                x=points[mine, 0],
                y=points[mine, 1],
                mode="markers+text" if labels else "markers",
                text=[plain(names[i]) for i in mine] if labels else None,
                textposition="bottom center",
                textfont={"size": 11, "color": colours.text},
                marker=marker,
                customdata=[[plain(names[i]), values[i]] for i in mine],
                hovertemplate=f"<b>%{{customdata[0]}}</b><br>{plain(m.unit)}: {said}<extra></extra>",
                showlegend=False,
                xaxis=f"x{axis}",
                yaxis=f"y{axis}",
            )
        )


def _alt(maps: Sequence[HeadMap], known: np.ndarray, names: Sequence[str], inside: bool) -> str:
    parts = []
    for m in maps:
        values = np.asarray(m.values, dtype=np.float64)[known]
        if np.isfinite(values).any():
            at = int(known[np.nanargmax(values)])
            parts.append(f"{m.title}: {m.unit}, largest at {names[at]}, {m.values[at]:.3f}")
        else:
            parts.append(f"{m.title}: no value")
    what = "electrodes, not on one sphere" if inside else "electrodes on the head"
    return f"View from above, nose up, of {len(known):,} {what}. {'; '.join(parts)}."

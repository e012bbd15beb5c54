"""Layers among themselves: CKA maps, how far each layer moved, and all of them as points in a plane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.rsa import LAYER_AXIS, write_numbers
from braindash.figures.style import (
    FONT_SIZE,
    ThemeName,
    base_layout,
    legend_height,
    model_order,
    model_style,
    plain,
    require_columns,
    theme_of,
)

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

MDS_COLUMNS = ("what", "model", "layer", "name", "x", "y")
_MOST_NUMBERS = 7  # layers whose numbers fit into cells
_MOST_TICKS = 9
_MOST_NAMES = 14  # regions named beside their points; with more, in the hover text
_NAME_LINE, _NAME_WIDTH, _NAME_LEAD = 17, 130, 26  # px: between names, of a name, from a point to its name
_PLANE = (880, 470)  # px of the plane on a wide page


def cka_map(
    matrix: np.ndarray,
    rows: Sequence[int],
    columns: Sequence[int],
    *,
    row_title: str,
    column_title: str,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw CKA between layers, always on the scale from 0 to 1.

    Parameters
    ----------
    matrix : (n_rows, n_columns) float array
        NaN cells stay empty; values below 0, which the debiased estimate can take, get the colour of 0.
    rows, columns : sequences of layer numbers
    row_title, column_title : str
        Whose layers they are.

    Raises
    ------
    BraindashError
        If the shape does not fit.
    """
    import plotly.graph_objects as go

    from braindash.cortex.colour import SEQUENTIAL, plotly_scale

    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (len(rows), len(columns)):
        raise BraindashError(
            f"The table has shape {matrix.shape}; there are {len(rows)} and {len(columns)} layers.",
            "Give one row and one column a layer.",
        )
    colours = theme_of(theme)
    figure = go.Figure(
        go.Heatmap(
            z=matrix,
            x=np.arange(len(columns)),
            y=np.arange(len(rows)),
            colorscale=plotly_scale(),
            zmin=0,
            zmax=1,
            xgap=1,
            ygap=1,
            hoverongaps=False,
            hovertemplate=(
                f"{plain(row_title)} layer %{{y}}<br>{plain(column_title)} layer %{{x}}"
                "<br>CKA %{z:.3f}<extra></extra>"
            ),
            colorbar={
                "title": {"text": "CKA", "side": "bottom"},
                "orientation": "h",
                "y": 0,
                "yref": "container",
                "yanchor": "bottom",
                "thickness": 12,
                "len": 0.8,
                "tickvals": [0, 0.5, 1],
                "tickfont": {"size": 12},
            },
        )
    )
    if max(matrix.shape) <= _MOST_NUMBERS:
        write_numbers(figure, matrix.T, np.full(matrix.T.shape, ""), SEQUENTIAL, (0.0, 1.0), False)
    figure.update_layout(
        **base_layout(theme, 420, margin={"l": 8, "r": 8, "t": 8, "b": 116}),
        showlegend=False,
        dragmode=False,
        meta={"alt": _cka_alt(matrix, rows, columns, row_title, column_title)},
    )
    for update, layers, title in (
        (figure.update_xaxes, columns, column_title),
        (figure.update_yaxes, rows, row_title),
    ):
        every = -(-len(layers) // _MOST_TICKS)
        update(
            title=f"{title}, layer",
            title_font_size=FONT_SIZE,
            tickvals=list(range(0, len(layers), every)),
            ticktext=[str(k) for k in layers][::every],
            tickfont={"size": 12, "color": colours.text},
            constrain="domain",
            showgrid=False,
            zeroline=False,
            fixedrange=True,
        )
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5], scaleanchor="x")
    return figure


def _cka_alt(matrix: np.ndarray, rows: Sequence[int], columns: Sequence[int], first: str, second: str) -> str:
    if not np.isfinite(matrix).any():
        return f"CKA of {first} and {second} layers; no pair has a value."
    i, j = map(int, np.unravel_index(np.nanargmin(matrix), matrix.shape))
    return (
        f"CKA between {len(rows)} {first} and {len(columns)} {second} layers, from 0 to 1; the least alike are "
        f"layers {rows[i]} and {columns[j]}, {np.nanmin(matrix):.2f}."
    )


def moved_curves(
    moved: Mapping[str, Sequence[float]], layers: Sequence[int], *, theme: ThemeName = "light"
) -> go.Figure:
    """Draw, for every model, the CKA of each of its layers with the same layer of the pretrained model.

    Parameters
    ----------
    moved : mapping from a model's name to (n_layers,) values
    layers : sequence of int
    """
    import plotly.graph_objects as go

    colours = theme_of(theme)
    order = model_order(moved)
    figure = go.Figure()
    for model in reversed(order):
        style = model_style(model)
        figure.add_trace(
            go.Scatter(
                x=list(layers),
                y=list(moved[model]),
                mode="lines+markers",
                name=style.title,
                legendrank=style.order,
                showlegend=True,
                line={"color": style.color(theme), "width": style.width, "dash": style.dash},
                marker={"size": style.size, "symbol": style.symbol, "color": style.color(theme)},
                hovertemplate=f"<b>{style.title}</b><br>layer %{{x}}: CKA %{{y:.3f}}<extra></extra>",
            )
        )
    known = [float(v) for values in moved.values() for v in values if np.isfinite(v)]
    lowest = min(known, default=0.0)
    room = max(0.15 * (1 - lowest), 0.01)  # what moved little is seen as well
    top = legend_height(model_style(m).title for m in order)
    figure.add_hline(y=1, line={"dash": "dot", "width": 1.5, "color": colours.muted})
    figure.update_layout(
        **base_layout(theme, 340 + top, margin={"l": 72, "r": 12, "t": top + 12, "b": 64}),
        hovermode="closest",
        meta={"alt": f"Line chart of CKA of each layer before and after tuning; lowest {lowest:.2f}. 1 is unmoved."},
    )
    every = -(-len(layers) // _MOST_TICKS)
    figure.update_xaxes(
        title=LAYER_AXIS,
        title_font_size=FONT_SIZE,
        tickvals=list(layers)[::every],
        gridcolor=colours.grid,
        zeroline=False,
        tickfont={"size": 12},
    )
    figure.update_yaxes(
        title="CKA with the pretrained layer",
        title_font_size=FONT_SIZE,
        range=[min(lowest, 0.97) - room, 1 + room],
        gridcolor=colours.grid,
        zeroline=False,
        tickfont={"size": 12},
    )
    return figure


def _region_points(regions: pd.DataFrame, theme: ThemeName) -> go.Scatter:
    import plotly.graph_objects as go

    colours = theme_of(theme)
    several = regions["name"].duplicated().any()
    return go.Scatter(
        x=regions["x"],
        y=regions["y"],
        mode="markers",
        name="Brain regions",
        legendrank=99,
        opacity=0.7 if several else 1.0,
        marker={"size": 8 if several else 11, "symbol": "diamond", "color": colours.muted},
        hovertext=[plain(r, 60) for r in regions["hover" if "hover" in regions else "name"]],
        hovertemplate="<b>%{hovertext}</b><extra></extra>",
        cliponaxis=False,
    )


def _name_regions(figure: go.Figure, regions: pd.DataFrame, scale: float, colour: str) -> None:
    """Write the regions' names beside their points with thin leads, so that names do not cover each other.

    ``scale`` is in pixels a unit; on a narrower page points lie closer and the names keep their distances.
    """
    middle = regions.groupby("name", sort=False)[["x", "y"]].mean()
    points = middle.to_numpy(float) * (scale, -scale)  # pixels, down being positive
    groups = [[i] for i in range(len(points))]
    merged = True
    while merged:
        merged = False
        places = {i: at for g in groups for i, at in _stack(points, g).items()}
        for one, other in combinations(groups, 2):
            gap = [(abs(places[i][0] - places[j][0]), abs(places[i][1] - places[j][1])) for i in one for j in other]
            if any(dx < _NAME_WIDTH and dy < _NAME_LINE - 1 for dx, dy in gap):
                groups = [g for g in groups if g not in (one, other)] + [one + other]
                merged = True
                break
    for i, name in enumerate(middle.index):
        figure.add_annotation(
            x=middle["x"].iloc[i],
            y=middle["y"].iloc[i],
            ax=places[i][0] - points[i][0],
            ay=places[i][1] - points[i][1],
            text=plain(name, 40),
            xanchor="left",
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor=colour,
            standoff=5,
            font={"size": 13},
        )


def _stack(points: np.ndarray, group: list[int]) -> dict[int, tuple[float, float]]:
    """Return where the names of points that lie together stand: one below the other, right of them all."""
    order = sorted(group, key=lambda i: points[i][1])
    x = max(points[i][0] for i in group) + _NAME_LEAD
    top = float(np.mean([points[i][1] for i in group])) - _NAME_LINE * (len(group) - 1) / 2
    return {i: (x, top + _NAME_LINE * k) for k, i in enumerate(order)}


def mds_plane(points: pd.DataFrame, *, theme: ThemeName = "light") -> go.Figure:
    """Draw layers of models as paths and regions as points; only distances mean anything.

    Parameters
    ----------
    points : DataFrame
        One row a layer or region: ``what`` ("layer" or "region"), ``model`` and ``layer`` of a layer, ``name`` of a
        region as readers see it, ``x``, ``y``. Rows without finite x and y are left out. A region of several
        subjects has several points and one name amid them.

    Raises
    ------
    BraindashError
        If a column is missing or there are no rows.
    """
    import plotly.graph_objects as go

    require_columns(points, MDS_COLUMNS, "A plane of layers and regions")
    points = points[np.isfinite(points["x"].to_numpy(float)) & np.isfinite(points["y"].to_numpy(float))]
    colours = theme_of(theme)
    layers, regions = points[points["what"] == "layer"], points[points["what"] != "layer"]
    order = model_order(layers["model"])
    named = regions["name"].nunique() <= _MOST_NAMES
    figure = go.Figure()
    for model in reversed(order):
        style = model_style(model)
        mine = layers[layers["model"] == model].sort_values("layer")
        main = style.order < 2
        n = len(mine)
        every = max(1, -(-n // 13))
        numbers = [str(int(k)) if main and (i % every == 0 or i == n - 1) else "" for i, k in enumerate(mine["layer"])]
        figure.add_trace(
            go.Scatter(
                x=mine["x"],
                y=mine["y"],
                mode="lines+markers+text",
                name=style.title,
                legendrank=style.order,
                opacity=1.0 if main else 0.6,
                text=numbers,
                textposition="top center" if model == "pretrained" else "bottom center",
                textfont={"size": 13, "color": style.color(theme)},
                line={"color": style.color(theme), "width": style.width, "dash": style.dash},
                marker={
                    "size": 11 if model == "pretrained" else style.size + 1,
                    "symbol": f"{style.symbol}-open" if model == "pretrained" else style.symbol,
                    "color": style.color(theme),
                    "line": {"width": 2, "color": style.color(theme)},
                },
                customdata=mine["layer"],
                hovertemplate=f"<b>{style.title}</b>, layer %{{customdata}}<extra></extra>",
            )
        )
    if len(regions):
        figure.add_trace(_region_points(regions, theme))
    names = [*(model_style(m).title for m in order), "Brain regions"]
    top = legend_height(names)
    x, y = points["x"].to_numpy(float), points["y"].to_numpy(float)
    room = 0.12 * max(float(np.ptp(x)), float(np.ptp(y)), 1e-9) if len(points) else 1.0
    figure.update_layout(
        **base_layout(theme, 520 + top, margin={"l": 8, "r": 8, "t": top + 8, "b": 8}),
        hovermode="closest",
        showlegend=True,
        meta={
            "alt": f"Points in a plane: the layers of {', '.join(model_style(m).title for m in order)} as paths in "
            f"their order, and {len(regions)} brain regions. The nearer, the more alike the geometry."
        },
    )
    axis = {
        "showticklabels": False,
        "ticks": "",
        "title": None,
        "zeroline": False,
        "gridcolor": colours.grid,
        "showline": True,
        "mirror": True,
        "linecolor": colours.grid,
    }
    if len(points):
        figure.update_xaxes(**axis, range=[x.min() - room, x.max() + (2.2 if named else 1) * room])
        if named and len(regions):
            scale = min(_PLANE[0] / (float(np.ptp(x)) + 3.2 * room), _PLANE[1] / (float(np.ptp(y)) + 2 * room))
            _name_regions(figure, regions, scale, colours.muted)
        figure.update_yaxes(**axis, range=[y.min() - room, y.max() + room], scaleanchor="x", scaleratio=1)
    return figure

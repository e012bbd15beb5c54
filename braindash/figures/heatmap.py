"""Layers × regions as a coloured table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.style import FONT_SIZE, ThemeName, base_layout, label_room, plain, region_title, theme_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MOST_NUMBERS = 7  # layers; with more, numbers would not fit a narrow page and stay in the hover text
_MOST_ROWS = 60  # regions; numbers in more cells take a browser seconds to draw


def layer_region_heatmap(
    matrix: np.ndarray,
    layers: Sequence[int],
    regions: Sequence[str],
    *,
    label: str = "r / noise ceiling",
    diverging: bool = False,
    vmin: float | None = None,
    vmax: float | None = None,
    n: Sequence[int] | None = None,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw one value a layer and region; regions are rows, layers columns.

    Parameters
    ----------
    matrix : (n_layers, n_regions) float array
        NaN cells stay empty.
    layers, regions : sequences
    label : str
        What the values are, with the unit.
    diverging : bool
        For differences: a zero-centred range and a diverging colour map.
    vmin, vmax : float, optional
        Colour range; give the same to both models. Default: from the values.
    n : sequence of int, optional
        Targets of each region.

    Raises
    ------
    BraindashError
        If the shape does not fit, or nothing is finite and no range is given.
    """
    import plotly.graph_objects as go

    from braindash.cortex.colour import (
        DIVERGING,
        SEQUENTIAL,
        colour_values,
        plotly_scale,
        shared_limits,
        symmetric_limit,
    )
    from braindash.figures.alt import alt_text

    matrix = np.asarray(matrix, dtype=float)
    if matrix.shape != (len(layers), len(regions)):
        raise BraindashError(
            f"The table has shape {matrix.shape}; there are {len(layers)} layers and {len(regions)} regions.",
            "Give one row a layer and one column a region.",
        )
    if diverging:
        limit = symmetric_limit(matrix, percentile=100) if vmax is None else float(vmax)
        low, high = -limit, limit
    elif vmin is None or vmax is None:
        found = shared_limits(matrix, percentile=100)
        low, high = (found[0] if vmin is None else vmin), (found[1] if vmax is None else vmax)
    else:
        low, high = float(vmin), float(vmax)
    cmap = DIVERGING if diverging else SEQUENTIAL
    colours = theme_of(theme)
    names = [region_title(r) for r in regions]
    titles, short = [plain(n, 80) for n in names], [plain(n, 40) for n in names]
    columns = [str(layer) for layer in layers]
    known = np.isfinite(matrix)
    fig = go.Figure(
        go.Heatmap(
            z=matrix.T,
            x=columns,
            y=titles,
            colorscale=plotly_scale(cmap),
            zmin=low,
            zmax=high,
            xgap=1,
            ygap=1,
            customdata=np.tile(
                np.array(["" if n is None else f"{k:,} targets" for k in (n or titles)])[:, None], len(layers)
            ),
            hovertemplate="<b>%{y}</b>, layer %{x}<br>" + label + ": %{z:.3f}<br>%{customdata}<extra></extra>",
            colorbar={
                "title": {"text": label, "side": "bottom"},
                "orientation": "h",
                "y": 0,
                "yref": "container",
                "yanchor": "bottom",
                "thickness": 14,
                "len": 0.8,
                "nticks": 5,
                "tickfont": {"size": 12},
            },
        )
    )
    if len(layers) <= _MOST_NUMBERS and len(regions) <= _MOST_ROWS:
        for i, j in zip(*np.nonzero(known), strict=True):
            fill = colour_values(matrix[i : i + 1, j], cmap, low, high)[0]
            dark = float(fill @ (0.299, 0.587, 0.114)) < 140
            fig.add_annotation(
                x=columns[i],
                y=titles[j],
                text=_number(float(matrix[i, j]), diverging),
                showarrow=False,
                font={"size": 12, "color": "#FFFFFF" if dark else "#111111"},
            )
    fig.update_layout(
        **base_layout(theme, 150 + 34 * len(regions), margin={"l": label_room(short), "r": 12, "t": 12, "b": 128}),
        meta={
            "alt": alt_text(
                "layer_region_heatmap", matrix=matrix, layers=list(layers), regions=list(regions), label=label
            )
        },
    )
    fig.update_xaxes(
        title="Layer (0 = front end output)",
        title_font_size=FONT_SIZE,
        type="category",
        showgrid=False,
        automargin=False,
        tickfont={"size": 12},
    )
    fig.update_yaxes(
        range=[len(regions) - 0.5, -0.5],
        automargin=False,
        tickvals=titles,
        ticktext=short,
        ticksuffix=" ",
        showgrid=False,
        tickfont={"size": 12, "color": colours.text},
    )
    return fig


def _number(value: float, signed: bool) -> str:
    if value == 0:
        return "0"  # the same states in both: nothing up to this layer was tuned
    text = f"{value:+.2f}" if signed else f"{value:.2f}"
    if signed and abs(value) < 0.095:
        text = f"{value:+.3f}"
    return text.replace("-", "−").replace("0.", ".", 1)

"""Representational dissimilarity matrices, as percentile ranks on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.style import CLICK_MARKER, ThemeName, base_layout, plain, rgba, theme_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

PAIRS = "pairs"  # the trace whose points answer clicks
_FEW_POINTS = 2_500  # of a trace drawn as SVG, which finds points to 3 px; WebGL finds the nearest of more
_HEIGHT = 400


def percentiles(pairs: np.ndarray, compared: np.ndarray | None = None) -> np.ndarray:
    """Return dissimilarities as percentile ranks among those compared: (n_pairs,) → (n_pairs,) of 0 to 100.

    Parameters
    ----------
    pairs : (n_pairs,) float array
        NaN stays NaN.
    compared : (n_pairs,) bool array, optional
        Pairs left out of comparisons become NaN.
    """
    from scipy.stats import rankdata

    values = np.asarray(pairs, dtype=float)
    kept = np.isfinite(values) if compared is None else np.isfinite(values) & np.asarray(compared, dtype=bool)
    out = np.full(values.shape, np.nan)
    n = int(kept.sum())
    if n:
        ranks = rankdata(values[kept]) - 1
        out[kept] = 100 * ranks / max(n - 1, 1)
    return out


def square(pairs: np.ndarray, n: int) -> np.ndarray:
    """Return the symmetric matrix of a condensed upper triangle, NaN on its diagonal: (n (n − 1) / 2,) → (n, n).

    Raises
    ------
    BraindashError
        For another number of pairs.
    """
    rows, columns = np.triu_indices(n, 1)
    if np.shape(pairs) != rows.shape:
        raise BraindashError(
            f"{n} conditions have {len(rows)} pairs; the RDM has {np.size(pairs)}.", "Make it again: braindash rsa RUN"
        )
    out = np.full((n, n), np.nan)
    out[rows, columns] = out[columns, rows] = pairs
    return out


def rdm(
    ranks: np.ndarray,
    labels: Sequence[str],
    *,
    name: str,
    chosen: tuple[int, int] | None = None,
    bar: bool = True,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw one RDM, with a transparent point over every pair below the diagonal that answers clicks.

    A point's x and y are the two conditions' indices; it belongs to the trace named `PAIRS`.

    Parameters
    ----------
    ranks : (n, n) float array
        Percentile ranks, 0 to 100; NaN, the diagonal and what is not compared, stays blank.
    labels : sequence of str
        One a condition.
    name : str
        Whose RDM it is, for the description.
    chosen : (index, index), optional
        The pair that is framed.
    bar : bool
        Whether the colour scale is drawn.

    Raises
    ------
    BraindashError
        If the shape does not fit.
    """
    import plotly.graph_objects as go

    from braindash.cortex.colour import plotly_scale

    n = len(labels)
    ranks = np.asarray(ranks, dtype=np.float32)
    if ranks.shape != (n, n):
        raise BraindashError(f"The RDM has shape {ranks.shape}; there are {n} conditions.", "Give a square one.")
    colours = theme_of(theme)
    names = [plain(label, 60) for label in labels]
    figure = go.Figure(
        go.Heatmap(
            z=ranks.round(1),
            x=np.arange(n, dtype=np.int16),
            y=np.arange(n, dtype=np.int16),
            colorscale=plotly_scale(),
            zmin=0,
            zmax=100,
            showscale=bar,
            hoverongaps=False,
            hovertemplate="%{y}<br>%{x}<br>percentile %{z:.0f}<extra></extra>",
            colorbar={
                "title": {"text": "Dissimilarity, percentile", "side": "bottom"},
                "orientation": "h",
                "y": 0,
                "yref": "container",
                "yanchor": "bottom",
                "thickness": 12,
                "len": 0.85,
                "tickvals": [0, 50, 100],
                "tickfont": {"size": 12},
            },
        )
    )
    below = np.nonzero(np.tri(n, k=-1, dtype=bool) & np.isfinite(ranks))
    few = len(below[0]) <= _FEW_POINTS
    draw = go.Scatter if few else go.Scattergl
    figure.add_trace(
        draw(
            x=below[1].astype(np.int16),
            y=below[0].astype(np.int16),
            mode="markers",
            name=PAIRS,
            marker=CLICK_MARKER if few else {"size": 5, "color": CLICK_MARKER["color"]},
            unselected={"marker": {"opacity": 0}},
            customdata=ranks[below].round().astype(np.uint8),
            hovertemplate="%{y}<br>%{x}<br>percentile %{customdata}<extra></extra>",
        )
    )
    if chosen is not None:
        i, j = chosen
        figure.add_trace(
            go.Scatter(
                x=[i, j],
                y=[j, i],
                mode="markers",
                marker={
                    "size": 13,
                    "symbol": "square-open",
                    "color": "#D62728",
                    "line": {"width": 3, "color": "#D62728"},
                },
                hoverinfo="skip",
            )
        )
    axis = {
        "tickvals": list(range(n)),
        "ticktext": names,  # the hover text takes them too
        "showticklabels": False,
        "range": [-0.5, n - 0.5],
        "constrain": "domain",
        "automargin": False,
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
    }
    figure.update_layout(
        **base_layout(theme, _HEIGHT, margin={"l": 4, "r": 4, "t": 4, "b": 64 if bar else 12}),
        showlegend=False,
        dragmode=False,
        hovermode="closest",
        hoverdistance=8,
        meta={"alt": _alt(ranks, labels, name)},
    )
    figure.update_layout(plot_bgcolor=rgba(colours.grid, 0.9))
    figure.update_xaxes(**axis)
    figure.update_yaxes(**{**axis, "range": [n - 0.5, -0.5]}, scaleanchor="x")
    return figure


def _alt(ranks: np.ndarray, labels: Sequence[str], name: str) -> str:
    if not np.isfinite(ranks).any():
        return f"Dissimilarity matrix of {name}; no pair has a value."
    i, j = map(int, np.unravel_index(np.nanargmax(ranks), ranks.shape))
    return (
        f"Dissimilarity matrix of {name} over {len(labels)} conditions, as percentile ranks; "
        f"the least alike are {labels[i]} and {labels[j]}."
    )

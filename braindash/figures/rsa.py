"""How alike layers are to regions: a map whose cells answer clicks, and curves under a noise ceiling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.cells import ink, stars
from braindash.figures.style import CLICK_MARKER, FONT_SIZE, ThemeName, base_layout, label_room, plain, theme_of, wrap

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

LAYER_AXIS = "Layer (0 = front end output)"
MARK = "*"  # beside the number of a cell that passed its test
CLICKS = "cells"  # the trace whose points answer clicks
_MOST_NUMBERS = 7  # layers; with more, numbers would not fit and stay in the hover text
_MANY_ROWS = 24  # regions; more get low rows without numbers
_MOST_TICKS = 9
_FAR = 3.0  # times the highest interval: a ceiling beyond is said, not drawn


def similarity_map(
    matrix: np.ndarray,
    layers: Sequence[int | str],
    regions: Sequence[str],
    *,
    label: str,
    x_title: str = LAYER_AXIS,
    word: str = "layer ",
    diverging: bool = False,
    vmin: float | None = None,
    vmax: float | None = None,
    marked: np.ndarray | None = None,
    details: np.ndarray | None = None,
    notes: Sequence[str] | None = None,
    notes_title: str = "",
    chosen: tuple[int, int] | None = None,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw one value a layer and region, with a transparent point over every cell that answers clicks.

    A point's x and y are the indices of its layer and region; it belongs to the trace named `CLICKS`.

    Parameters
    ----------
    matrix : (n_layers, n_regions) float array
        NaN cells stay empty.
    layers, regions : sequences
        ``regions`` are names as readers see them; two may be the same.
    label : str
        What the values are.
    x_title, word : str
        The axis's title, and what stands before a column's name in the hover text, where columns are not layers.
    diverging : bool
        For differences: a zero-centred range and a diverging colour map.
    vmin, vmax : float, optional
        Colour range; give the same to both models. ``vmax`` alone where ``diverging``.
    marked : (n_layers, n_regions) bool array, optional
        Cells that passed a test, drawn with a star.
    details : (n_layers, n_regions) array of str, optional
        More lines of the hover text.
    notes, notes_title : optional
        A text at the right of every region, and what it is.
    chosen : (layer's index, region's index), optional
        The cell that is framed.

    Raises
    ------
    BraindashError
        If a shape does not fit, or nothing is finite and no range is given.
    """
    import plotly.graph_objects as go

    from braindash.cortex.colour import DIVERGING, SEQUENTIAL, plotly_scale, shared_limits, symmetric_limit

    matrix = np.asarray(matrix, dtype=float)
    shape = (len(layers), len(regions))
    for what, array in (("table", matrix), ("marks", marked), ("details", details)):
        if array is not None and np.shape(array) != shape:
            raise BraindashError(
                f"Shape of the {what}: {np.shape(array)}; there are {shape[0]} layers and {shape[1]} regions.",
                "Give one row a layer and one column a region.",
            )
    if diverging:
        high = symmetric_limit(matrix, percentile=100) if vmax is None else float(vmax)
        low = -high
    elif vmin is None or vmax is None:
        low, high = shared_limits(matrix, percentile=100)
    else:
        low, high = float(vmin), float(vmax)
    cmap = DIVERGING if diverging else SEQUENTIAL
    colours = theme_of(theme)
    starred = np.zeros(shape, dtype=bool) if marked is None else np.asarray(marked, dtype=bool)
    few = len(regions) <= _MANY_ROWS
    numbers = few and shape[0] <= _MOST_NUMBERS
    figure = go.Figure(
        go.Heatmap(
            z=matrix.T,
            x=np.arange(shape[0]),
            y=np.arange(shape[1]),
            colorscale=plotly_scale(cmap),
            zmin=low,
            zmax=high,
            xgap=1,
            ygap=1,
            hoverinfo="skip",  # the points above the cells say more, and answer clicks
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
    where = [f"<b>{plain(r, 60)}</b>, {word}{plain(k, 40)}" for k in layers for r in regions]
    figure.add_trace(_points(matrix, where, details, label, diverging))
    if numbers:
        write_numbers(figure, matrix, np.where(starred, MARK, ""), cmap, (low, high), diverging)
    elif starred.any():
        figure.add_trace(stars(matrix.T, starred.T, cmap, low, high))
    if chosen is not None:
        i, j = chosen
        for width, colour in ((5, colours.page), (2.5, colours.text)):  # seen on every fill
            figure.add_shape(
                type="rect", x0=i - 0.5, x1=i + 0.5, y0=j - 0.5, y1=j + 0.5, line={"width": width, "color": colour}
            )
    titles = [plain(r, 28) for r in regions]
    figure.update_layout(
        **base_layout(
            theme,
            (160 if notes is None else 186) + (34 if few else 19) * shape[1],
            margin={
                "l": label_room(titles),
                "r": 12 if notes is None else label_room([*notes, notes_title]),
                "t": 12 if notes is None else 38,
                "b": 128,
            },
        ),
        showlegend=False,
        dragmode=False,
        hovermode="closest",
        hoverdistance=60,
        meta={"alt": _map_alt(matrix, layers, regions, label, starred)},
    )
    every = -(-shape[0] // _MOST_TICKS)
    level = x_title == LAYER_AXIS or len(layers) <= _MOST_NUMBERS
    figure.update_xaxes(
        title=x_title,
        title_font_size=FONT_SIZE,
        tickvals=list(range(0, shape[0], every)),
        ticktext=[wrap(plain(k, 24), 10) for k in layers][::every],
        tickangle=0 if level else None,
        automargin=not level,  # turned labels take more room than there is
        range=[-0.5, shape[0] - 0.5],
        showgrid=False,
        zeroline=False,
        fixedrange=True,
        tickfont={"size": 12},
    )
    rows: dict[str, Any] = {
        "tickvals": list(range(shape[1])),
        "range": [shape[1] - 0.5, -0.5],
        "automargin": False,
        "showgrid": False,
        "zeroline": False,
        "fixedrange": True,
        "tickfont": {"size": 12, "color": colours.text},
    }
    figure.update_layout(yaxis={**rows, "ticktext": titles, "ticksuffix": " "})
    if notes is not None:
        _add_notes(figure, notes, notes_title, rows, colours.muted)
    return figure


def _points(matrix: np.ndarray, where: list[str], details: np.ndarray | None, label: str, signed: bool) -> go.Scatter:
    """Return the transparent points over the cells, with their hover text."""
    import plotly.graph_objects as go

    i, j = (k.ravel() for k in np.indices(matrix.shape))
    more = [""] * len(i) if details is None else [str(d) for d in np.asarray(details).ravel()]
    said = [f"{v:{'+' if signed else ''}.3f}".replace("-", "−") if np.isfinite(v) else "–" for v in matrix.ravel()]
    return go.Scatter(
        x=i,
        y=j,
        mode="markers",
        name=CLICKS,
        marker=CLICK_MARKER,
        unselected={"marker": {"opacity": 0}},
        hovertext=[
            f"{place}<br>{label}: {s}{f'<br>{m}' if m else ''}" for place, s, m in zip(where, said, more, strict=True)
        ],
        hovertemplate="%{hovertext}<extra></extra>",
    )


def write_numbers(
    figure: go.Figure, matrix: np.ndarray, after: np.ndarray, cmap: str, limits: tuple[float, float], signed: bool
) -> None:
    """Write every finite value and what stands in ``after``, at x = its row and y = its column, legible on its fill."""
    known = np.argwhere(np.isfinite(matrix))
    notes = [
        {
            "x": i,
            "y": j,
            "text": f"{cell_number(matrix[i, j], signed)}{after[i, j]}",
            "showarrow": False,
            "font": {"size": 12, "color": colour},
        }
        for (i, j), colour in zip(known.tolist(), ink(matrix[tuple(known.T)], cmap, *limits), strict=True)
    ]
    figure.update_layout(annotations=notes)  # at once: each one added by itself checks all that are there


def _add_notes(figure: go.Figure, notes: Sequence[str], title: str, rows: dict[str, Any], colour: str) -> None:
    """Write a text at the right of every row, as the ticks of a second axis: many are drawn quickly."""
    import plotly.graph_objects as go

    figure.add_trace(go.Scatter(x=[None], y=[None], yaxis="y2", hoverinfo="skip"))  # an axis needs a trace
    figure.update_layout(
        yaxis2={**rows, "overlaying": "y", "side": "right", "ticktext": list(notes), "tickprefix": " "},
    )
    figure.add_annotation(
        text=title,
        x=1.0,
        xref="paper",
        y=1.0,
        yref="paper",
        xanchor="center",
        yanchor="bottom",
        align="center",
        showarrow=False,
        font={"size": 12, "color": colour},
    )


def cell_number(value: float, signed: bool) -> str:
    """Return a number short enough for a cell: ".12", "+.034", "0" where nothing changed at all."""
    if value == 0:
        return "0"
    digits = 3 if abs(value) < 0.0995 and signed else 2
    text = f"{value:{'+' if signed else ''}.{digits}f}"
    text = text if signed else text.replace("-0.00", "0.00")
    return text.replace("-", "−").replace("0.", ".", 1)


def _map_alt(
    matrix: np.ndarray, layers: Sequence[int | str], regions: Sequence[str], label: str, marked: np.ndarray
) -> str:
    size = f"{_count(len(layers), 'layer')} and {_count(len(regions), 'region')}"
    if not np.isfinite(matrix).any():
        return f"Table of {label} for {size}; no cell has a value."
    i, j = map(int, np.unravel_index(np.nanargmax(matrix), matrix.shape))
    starred = f"; {_count(int(marked.sum()), 'cell')} marked as significant" if marked.any() else ""
    return (
        f"Table of {label} for {size}, from {np.nanmin(matrix):.3f} to {np.nanmax(matrix):.3f}, "
        f"largest in {regions[j]} at layer {layers[i]}{starred}."
    )


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def similarity_curves(
    records: pd.DataFrame,
    *,
    y_label: str,
    ceiling: tuple[float, float] | None = None,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw similarity over layers for one region, with intervals and the band of its noise ceiling.

    Parameters
    ----------
    records : DataFrame
        As for :func:`braindash.figures.layer_curves`, of one ``roi``.
    y_label : str
    ceiling : (low, high), optional
        A band far above every curve is named at the top edge in place of being drawn, for the curves' sake.
    """
    from braindash.figures.alt import alt_text
    from braindash.figures.layers import layer_curves

    figure = layer_curves(records.assign(roi=records["roi"].map(lambda r: plain(r, 60))), y_label=y_label, theme=theme)
    figure.update_layout(meta={"alt": alt_text("layer_curves", records=records, y_label=y_label)})
    figure.update_yaxes(zeroline=True, zerolinecolor=theme_of(theme).grid)
    known = ceiling is not None and bool(np.isfinite(ceiling).all())
    if not known or ceiling is None:
        return figure
    low, high = ceiling
    axis: Any = figure.layout.yaxis.range or (0.0, high)
    colours = theme_of(theme)
    said = {"showarrow": False, "font": {"size": 12, "color": colours.muted}, "xref": "x domain", "x": 0.01}
    if high > _FAR * max(axis[1], 1e-9):
        figure.add_annotation(
            text=f"↑ noise ceiling {low:.2f}–{high:.2f}, above this axis",
            yref="y domain",
            y=1.0,
            xanchor="left",
            yanchor="top",
            **said,
        )
        return figure
    figure.add_hrect(y0=low, y1=high, fillcolor=colours.muted, opacity=0.22, line_width=0, layer="below")
    figure.add_annotation(text="noise ceiling", yref="y", y=high, xanchor="left", yanchor="bottom", **said)
    room = 0.12 * (max(high, axis[1]) - min(low, axis[0]))
    figure.update_yaxes(range=[min(axis[0], low - room / 4), max(axis[1], high + room)])
    return figure

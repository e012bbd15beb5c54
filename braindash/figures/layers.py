"""Curves over layers: one small panel a region, one line a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from braindash.figures.style import (
    FONT_SIZE,
    ThemeName,
    band_opacity,
    base_layout,
    legend_height,
    model_order,
    model_style,
    region_title,
    require_columns,
    rgba,
    theme_of,
    wrap,
)

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

LAYER_AXIS = "Layer (0 = front end output)"
COLUMNS = ("model", "layer", "roi", "value", "low", "high", "n")
_PANEL, _TITLE, _FOOT = 190, 58, 62  # px: a panel, its title, the axis title
_LINE = 18  # px more for a title of two lines
_MANY, _MORE = 4, 80  # models beyond which a panel is taller, and by how many px
# Intervals of several models nearly coincide. Whiskers side by side keep them apart; with many layers they would
# run into each other, so bands are drawn then.
_MOST_WHISKERS = 8  # layers
_APART, _SPREAD = 0.13, 0.76  # layers between the marks of two models; between those of the first and the last


def layer_curves(
    records: pd.DataFrame,
    *,
    y_label: str = "r / noise ceiling",
    regions: Sequence[str] | None = None,
    ceiling: Mapping[str, float] | float | None = None,
    columns: int = 3,
    theme: ThemeName = "light",
    interval: str = "95% interval",
) -> go.Figure:
    """Draw score over layer, a panel a region: pretrained, brain-tuned and controls.

    Intervals are whiskers up to eight layers, the models' marks beside each other; bands above.

    Parameters
    ----------
    records : DataFrame
        One row a (model, layer, roi): ``model`` str, ``layer`` int, ``roi`` str, ``value``,
        ``low``, ``high`` (the interval; NaN where unknown) and ``n`` (targets averaged).
    y_label : str
        What ``value`` is, with its unit.
    regions : sequence of str, optional
        Panels and their order; default: as they come in ``records``.
    ceiling : float or mapping from roi, optional
        The largest value that can be reached, drawn as a dotted line.
    columns : int
        Panels in a row.
    theme : "light" | "dark"
    interval : str
        What low … high is, for the hover text.

    Returns
    -------
    plotly Figure; ``layout.meta["alt"]`` holds its description.

    Raises
    ------
    BraindashError
        If a column is missing or there are no rows.
    """
    from braindash.figures.alt import alt_text

    require_columns(records, COLUMNS, "A figure of layer curves")
    rois = _panels(records, regions)
    fig = _grid(records, rois, columns, theme, y_label)
    named: set[str] = set()  # models that have their legend entry
    places = _places(records)
    for panel, roi in enumerate(rois):
        row, col = panel // columns + 1, panel % columns + 1
        here = records[records["roi"] == roi]
        for model in reversed(model_order(here["model"])):  # controls lie under the pair
            mine = here[here["model"] == model]
            _add_model(fig, mine, model, theme, row, col, model not in named, interval, places.get(model))
            named.add(model)
        top = ceiling.get(roi) if isinstance(ceiling, Mapping) else ceiling
        if top is not None and np.isfinite(top):
            fig.add_hline(
                y=top,
                line={"dash": "dot", "width": 1.5, "color": theme_of(theme).muted},
                annotation={"text": "ceiling", "font": {"size": 12, "color": theme_of(theme).muted}},
                annotation_position="top left",
                row=row,
                col=col,
            )
    _fit_y(fig, records, ceiling.values() if isinstance(ceiling, Mapping) else [ceiling])
    fig.update_layout(meta={"alt": alt_text("layer_curves", records=records, y_label=y_label)})
    return fig


def difference_curves(
    records: pd.DataFrame,
    *,
    y_label: str = "Δ r / noise ceiling (model − pretrained)",
    regions: Sequence[str] | None = None,
    columns: int = 3,
    theme: ThemeName = "light",
    interval: str = "95% interval",
) -> go.Figure:
    """Draw the difference from the pretrained model over layer, a panel a region.

    Same table as :func:`layer_curves`, with ``value`` the difference. A mark is
    filled where its interval excludes zero, hollow where it does not.
    """
    from braindash.figures.alt import alt_text

    require_columns(records, COLUMNS, "A figure of differences")
    rois = _panels(records, regions)
    fig = _grid(records, rois, columns, theme, y_label)
    named: set[str] = set()  # models that have their legend entry
    places = _places(records)
    for panel, roi in enumerate(rois):
        row, col = panel // columns + 1, panel % columns + 1
        fig.add_hline(y=0, line={"width": 1.2, "color": theme_of(theme).muted}, row=row, col=col)
        here = records[records["roi"] == roi]
        for model in reversed(model_order(here["model"])):  # controls lie under the pair
            rows = here[here["model"] == model]
            sure = (rows["low"] > 0) | (rows["high"] < 0)
            first = model not in named
            _add_model(fig, rows, model, theme, row, col, first, interval, places.get(model), sure.to_numpy())
            named.add(model)
    _fit_y(fig, records, [0.0])
    fig.update_layout(meta={"alt": alt_text("difference_curves", records=records, y_label=y_label)})
    return fig


def panel_note(rows: pd.DataFrame) -> str:
    """Return "n = 1,234 targets" for the rows of a region; a range where models or layers differ."""
    n = rows["n"].dropna().astype(int)
    if n.empty:
        return ""
    low, high = int(n.min()), int(n.max())
    return f"n = {high:,}" if low == high else f"n = {low:,}–{high:,}"


def _panels(records: pd.DataFrame, regions: Sequence[str] | None) -> list[str]:
    known = list(dict.fromkeys(records["roi"]))
    if regions is None:
        return known
    chosen = [r for r in regions if r in known]
    return chosen or known


def _grid(records: pd.DataFrame, rois: Sequence[str], columns: int, theme: ThemeName, y_label: str) -> go.Figure:
    """Return an empty figure with a titled panel a region, sharing both axes."""
    from plotly.subplots import make_subplots

    colours = theme_of(theme)
    columns = min(columns, len(rois))
    rows = -(-len(rois) // columns)
    legend = legend_height(model_style(m).title for m in model_order(records["model"]))
    titles = []
    for roi in rois:
        note = panel_note(records[records["roi"] == roi])
        small = f"<br><span style='font-size:12px;color:{colours.muted}'>{note}</span>" if note else ""
        titles.append(f"<b>{wrap(region_title(roi), 14)}</b>{small}")
    above = _TITLE + _LINE * any("<br>" in wrap(region_title(roi), 14) for roi in rois)
    panel = _PANEL + (_MORE if records["model"].nunique() > _MANY else 0)
    height = rows * (panel + above) + legend + _FOOT
    inner = height - legend - _FOOT - above
    fig = make_subplots(
        rows=rows,
        cols=columns,
        shared_yaxes="all",
        shared_xaxes="all",
        subplot_titles=titles,
        horizontal_spacing=0.05 / max(columns - 1, 1) if columns > 1 else 0.0,
        vertical_spacing=above / inner if rows > 1 else 0.0,
        x_title=LAYER_AXIS,
        y_title=y_label,
    )
    margin = {"l": 72, "r": 12, "t": legend + above, "b": _FOOT}
    fig.update_layout(**base_layout(theme, height, margin=margin, hovermode="closest"))
    fig.update_annotations(font_size=FONT_SIZE)
    for note in fig.layout.annotations:
        if note.text == LAYER_AXIS:
            note.update(yshift=-32)
        elif note.text == y_label:
            note.update(xshift=-46)
    layers = sorted(set(records["layer"].astype(int)))
    shown = layers if len(layers) <= 7 else layers[:: -(-len(layers) // 7)]
    widest = max((abs(shift) for shift in _places(records).values()), default=0.0)
    pad = 0.04 * max(layers[-1] - layers[0], 1) + widest
    fig.update_xaxes(
        tickvals=shown,
        range=[layers[0] - pad, layers[-1] + pad],
        showticklabels=True,
        gridcolor=colours.grid,
        zeroline=False,
        tickfont={"size": 12},
        automargin=False,
    )
    fig.update_yaxes(gridcolor=colours.grid, zeroline=False, tickfont={"size": 12}, nticks=6, automargin=False)
    return fig


def _add_model(
    fig: go.Figure,
    rows: pd.DataFrame,
    model: str,
    theme: ThemeName,
    row: int,
    col: int,
    first: bool,
    interval: str,
    shift: float | None,
    filled: np.ndarray | None = None,
) -> None:
    """Add one model's line and intervals to one panel: whiskers, ``shift`` layers aside, or a band where it is None."""
    import plotly.graph_objects as go

    style = model_style(model)
    colour = style.color(theme)
    if filled is not None:
        rows = rows.assign(_filled=filled)
    rows = rows.sort_values("layer")
    x, low, high = (rows[c].to_numpy(float) for c in ("layer", "low", "high"))
    ok = np.isfinite(low) & np.isfinite(high)
    if ok.any() and shift is None:
        fig.add_trace(
            go.Scatter(
                x=np.concatenate([x[ok], x[ok][::-1]]),
                y=np.concatenate([high[ok], low[ok][::-1]]),
                fill="toself",
                fillcolor=rgba(colour, band_opacity(style)),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=model,
            ),
            row=row,
            col=col,
        )
    symbols = [
        style.symbol if f else f"{style.symbol}-open"
        for f in (rows["_filled"] if filled is not None else [True] * len(x))
    ]
    value = rows["value"].to_numpy(float)
    whiskers = {
        "type": "data",
        "symmetric": False,
        "array": high - value,
        "arrayminus": value - low,
        "color": colour,
        "thickness": 1.4,
        "width": 0,
        "visible": shift is not None,
    }
    fig.add_trace(
        go.Scatter(
            x=x + (shift or 0.0),
            y=value,
            error_y=whiskers,
            mode="lines+markers",
            name=style.title,
            legendgroup=model,
            legendrank=style.order,
            showlegend=first,
            cliponaxis=False,
            line={"color": colour, "width": style.width, "dash": style.dash},
            marker={"size": style.size, "symbol": symbols, "color": colour, "line": {"width": 1.5, "color": colour}},
            customdata=np.column_stack([low, high, rows["n"].to_numpy(float), x]),
            hovertemplate=(
                f"<b>{style.title}</b><br>layer %{{customdata[3]}}: %{{y:.3f}}<br>"
                f"{interval} %{{customdata[0]:.3f}} to %{{customdata[1]:.3f}}<br>"
                "%{customdata[2]:,} targets<extra></extra>"
            ),
        ),
        row=row,
        col=col,
    )


def _places(records: pd.DataFrame) -> dict[str, float]:
    """Return how far beside its layer each model's marks stand; nothing where bands are drawn."""
    models = model_order(records["model"])
    if records["layer"].nunique() > _MOST_WHISKERS:
        return {}
    apart = min(_APART, _SPREAD / len(models))
    return {model: apart * (i - (len(models) - 1) / 2) for i, model in enumerate(models)}


def _fit_y(fig: go.Figure, records: pd.DataFrame, also: Iterable[float | None]) -> None:
    """Give all panels one range that holds every interval and the lines in ``also``, with room for a label."""
    shown = np.concatenate([records[c].to_numpy(float) for c in ("value", "low", "high")])
    lines = [float(a) for a in also if a is not None and np.isfinite(a)]
    shown = np.concatenate([shown[np.isfinite(shown)], lines])
    if shown.size:
        low, high = shown.min(), shown.max()
        room = 0.06 * (high - low) or 0.05
        fig.update_yaxes(range=[low - room, high + room * (2.2 if lines and high == max(lines) else 1)])

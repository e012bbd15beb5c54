"""What each feature space explains by itself: bars a region, one colour a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from braindash.figures.style import (
    FONT_SIZE,
    ThemeName,
    base_layout,
    legend_height,
    model_order,
    model_style,
    region_title,
    require_columns,
    theme_of,
    wrap,
)

if TYPE_CHECKING:
    import pandas as pd
    import plotly.graph_objects as go

COLUMNS = ("model", "roi", "part", "value", "low", "high", "n")
_BAR, _GROUP, _TITLE, _FOOT = 15, 14, 76, 58  # px: a bar, the room around a group of bars, a panel's title, the axis
# px beside and in the parts' names: room that is known beforehand spares the browser a second drawing
_LABEL, _LETTER = 16, 7


def part_bars(
    records: pd.DataFrame,
    *,
    x_label: str,
    parts: Sequence[str] | None = None,
    regions: Sequence[str] | None = None,
    columns: int = 2,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw horizontal bars with their intervals, a panel a region, a row of bars a part.

    Parameters
    ----------
    records : DataFrame
        One row a (model, roi, part): ``value``, ``low``, ``high`` (the interval; NaN where unknown) and
        ``n`` (targets). ``part`` is what the reader sees.
    x_label : str
        What ``value`` is, with its unit.
    parts, regions : sequences of str, optional
        Their order; as they come by default. Those without rows are left out.
    columns : int
        Panels in a row.

    Raises
    ------
    BraindashError
        If a column is missing or there are no rows.
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    from braindash.figures.alt import alt_text

    require_columns(records, COLUMNS, "A figure of parts")
    colours = theme_of(theme)
    rois = [r for r in regions or dict.fromkeys(records["roi"]) if (records["roi"] == r).any()]
    order = [p for p in parts or dict.fromkeys(records["part"]) if (records["part"] == p).any()]
    models = model_order(records["model"])
    columns = min(columns, len(rois))
    rows = -(-len(rois) // columns)
    legend = legend_height(model_style(m).title for m in models)
    panel = len(order) * (_BAR * len(models) + _GROUP)
    height = rows * (panel + _TITLE) + legend + _FOOT
    titles = []
    for roi in rois:
        n = int(records.loc[records["roi"] == roi, "n"].max())
        small = f"<br><span style='font-size:12px;color:{colours.muted}'>n = {n:,}</span>"
        titles.append(f"<b>{wrap(region_title(roi), 14)}</b>{small}")
    figure = make_subplots(
        rows=rows,
        cols=columns,
        shared_xaxes="all",
        shared_yaxes=True,
        subplot_titles=titles,
        horizontal_spacing=0.06 if columns > 1 else 0.0,
        vertical_spacing=_TITLE / (height - legend - _FOOT - _TITLE) if rows > 1 else 0.0,
        x_title=x_label,
    )
    for at, roi in enumerate(rois):
        for model in models:
            mine = records[(records["roi"] == roi) & (records["model"] == model)].drop_duplicates("part")
            mine = mine.set_index("part").reindex(order)
            value, low, high = (mine[c].to_numpy(float) for c in ("value", "low", "high"))
            style = model_style(model)
            figure.add_trace(
                go.Bar(
                    y=order,
                    x=value,
                    orientation="h",
                    name=style.title,
                    legendgroup=model,
                    legendrank=style.order,
                    showlegend=at == 0,
                    marker={"color": style.color(theme)},
                    error_x={
                        "type": "data",
                        "symmetric": False,
                        "array": high - value,
                        "arrayminus": value - low,
                        "color": colours.text,
                        "thickness": 1.2,
                        "width": 0,
                    },
                    customdata=np.column_stack([low, high]),
                    hovertemplate=(
                        f"<b>{style.title}</b><br>%{{y}}: %{{x:.4f}}<br>"
                        "95% interval %{customdata[0]:.4f} to %{customdata[1]:.4f}<extra></extra>"
                    ),
                ),
                row=at // columns + 1,
                col=at % columns + 1,
            )
    figure.update_layout(
        **base_layout(
            theme,
            height,
            margin={"l": _LABEL + _LETTER * max(map(len, order)), "r": 16, "t": legend + _TITLE, "b": _FOOT},
        ),
        barmode="group",
        bargap=0.25,
        meta={"alt": alt_text("part_bars", records=records, x_label=x_label)},
    )
    figure.update_annotations(font_size=FONT_SIZE)
    for note in figure.layout.annotations:
        if note.text == x_label:
            note.update(yshift=-30)
    figure.update_xaxes(
        gridcolor=colours.grid,
        zeroline=True,
        zerolinecolor=colours.muted,
        tickfont={"size": 12},
        nticks=5,
        showticklabels=True,
        automargin=False,
    )
    figure.update_yaxes(
        range=[len(order) - 0.5, -0.5], automargin=False, tickfont={"size": 12}, ticksuffix=" ", showgrid=False
    )
    return figure

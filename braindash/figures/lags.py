"""How well words predict responses when shifted: one line a subject."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.style import FONT_SIZE, ThemeName, base_layout, legend_height, theme_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

# after Okabe and Ito; subjects beyond the eighth begin anew with another dash
_COLOURS = {
    "light": ("#0072B2", "#D55E00", "#007A5E", "#AA4499", "#8A6D00", "#332288", "#6B6B6B", "#882255"),
    "dark": ("#56B4E9", "#FF9F4A", "#3CCFA6", "#E08AC8", "#F0E442", "#9C8CF0", "#B5B5B5", "#D977A9"),
}
_DASHES = ("solid", "dash", "dot")


def lag_curves(scans: Sequence[Mapping[str, Any]], *, theme: ThemeName = "light") -> go.Figure:
    """Draw the score of each lag, a line a subject, with the best lag starred and the level of chance dotted.

    Parameters
    ----------
    scans : rows of ``braindash study check --json``, ``timing.scans``
        Each with ``subject``, ``lags`` in TRs, ``r`` at each, ``threshold`` (r that 95 % of words shifted
        far away stay below), ``best_lag_trs`` and ``tells`` (whether any lag is above it). A best lag that
        does not exceed chance is not starred.
    theme : "light" | "dark"

    Raises
    ------
    BraindashError
        If there is no scan.
    """
    import plotly.graph_objects as go

    from braindash.figures.alt import alt_text

    if not scans:
        raise BraindashError("There is no lag scan to draw.", "Check the study: braindash study check ID")
    colours = theme_of(theme)
    palette = _COLOURS[theme]
    figure = go.Figure()
    figure.add_vline(x=0, line={"width": 1.2, "color": colours.muted})
    for i, scan in enumerate(scans):
        colour, dash = palette[i % len(palette)], _DASHES[(i // len(palette)) % len(_DASHES)]
        name = str(scan["subject"])
        lags, r = np.asarray(scan["lags"], dtype=float), np.asarray(scan["r"], dtype=float)
        figure.add_trace(
            go.Scatter(
                x=lags,
                y=r,
                mode="lines+markers",
                name=name,
                legendgroup=name,
                line={"color": colour, "width": 2.2, "dash": dash},
                marker={"size": 6, "color": colour},
                hovertemplate=f"<b>{name}</b><br>%{{x:+d}} TR: r = %{{y:.3f}}<extra></extra>",
            )
        )
        figure.add_trace(
            go.Scatter(
                x=[lags.min(), lags.max()],
                y=[scan["threshold"]] * 2,
                mode="lines",
                line={"color": colour, "width": 1.4, "dash": "dot"},
                legendgroup=name,
                showlegend=False,
                hovertemplate=f"{name}: chance stays below %{{y:.3f}} (95 %)<extra></extra>",
            )
        )
        if scan["tells"]:
            best = float(scan["best_lag_trs"])
            figure.add_trace(
                go.Scatter(
                    x=[best],
                    y=[float(np.interp(best, lags, r))],
                    mode="markers",
                    marker={"symbol": "star", "size": 16, "color": colour, "line": {"width": 1, "color": colours.text}},
                    legendgroup=name,
                    showlegend=False,
                    hovertemplate=f"{name}: best at %{{x:+.1f}} TR<extra></extra>",
                )
            )
    legend = legend_height(str(s["subject"]) for s in scans)
    figure.update_layout(
        **base_layout(theme, 300 + legend, margin={"l": 72, "r": 16, "t": legend + 8, "b": 56}),
        hovermode="closest",
        meta={"alt": alt_text("lag_curves", scans=scans)},
    )
    first = np.asarray(scans[0]["lags"], dtype=int)
    figure.update_xaxes(
        title="Lag of the responses behind the words (TRs)",
        tickvals=first,
        ticktext=[f"{k:+d}".replace("-", "−") if k else "0" for k in first],
        gridcolor=colours.grid,
        zeroline=False,
        tickfont={"size": 12},
        title_font_size=FONT_SIZE,
    )
    figure.update_yaxes(
        title="r, best 5 % of targets",
        gridcolor=colours.grid,
        zeroline=False,
        tickfont={"size": 12},
        nticks=6,
        title_font_size=FONT_SIZE,
    )
    return figure

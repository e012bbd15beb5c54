"""Responses over a story: what was measured and what models predict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.style import (
    FONT_SIZE,
    ThemeName,
    base_layout,
    legend_height,
    model_order,
    model_style,
    plain,
    rgba,
    theme_of,
)

if TYPE_CHECKING:
    import plotly.graph_objects as go


def response_courses(
    times: np.ndarray,
    measured: np.ndarray,
    predicted: Mapping[str, np.ndarray],
    r: Mapping[str, float],
    *,
    story: str = "",
    y_label: str = "Response (z-scored)",
    gain: np.ndarray | None = None,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw one target's measured response and each model's prediction over one story.

    Parameters
    ----------
    times : (n_trs,) float
        Seconds.
    measured : (n_trs,) float
    predicted : model -> (n_trs,) float
    r : model -> float
        Correlation with what was measured, written into the legend.
    story : str
        For the description.
    gain : (n_trs,) float, optional
        How much nearer the last model of ``predicted`` is, drawn in a strip of its own; see
        `braindash.comparing.moments.error_gain`.

    Raises
    ------
    BraindashError
        Where lengths differ.
    """
    import plotly.graph_objects as go

    extra = {} if gain is None else {"the gain": gain}
    for what, values in (("The measured response", measured), *predicted.items(), *extra.items()):
        if np.shape(values) != np.shape(times):
            raise BraindashError(
                f"{what} has shape {np.shape(values)}, the times have {np.shape(times)}.", "Give one value a time."
            )
    colours = theme_of(theme)
    titles = {m: f"{model_style(m).title} (r = {r[m]:.2f})".replace("-0.", "−0.") for m in model_order(predicted)}
    figure = go.Figure()
    lines = [("Measured", measured, colours.muted, "solid", 1.4)]
    lines += [
        (title, predicted[m], model_style(m).color(theme), model_style(m).dash, model_style(m).width)
        for m, title in titles.items()
    ]
    for name, values, colour, dash, width in lines:
        figure.add_trace(
            go.Scatter(
                x=times,
                y=values,
                mode="lines",
                name=name,
                line={"color": colour, "dash": dash, "width": width},
                hovertemplate=f"{name}<br>%{{x:.1f}} s: %{{y:.2f}}<extra></extra>",
            )
        )
    top = legend_height(name for name, *_ in lines)
    where = f" in story {plain(story)}" if story else ""
    figure.update_layout(
        **base_layout(theme, 260 + top, margin={"l": 64, "r": 16, "t": top + 8, "b": 56}),
        hovermode="x",
        meta={
            "alt": f"Line chart of a response over {times[0]:.0f} to {times[-1]:.0f} s{where}, measured and predicted: "
            f"{'; '.join(titles.values())}."
        },
    )
    axis = {"gridcolor": colours.grid, "zeroline": False, "tickfont": {"size": 12}, "title_font_size": FONT_SIZE}
    figure.update_xaxes(title="Time in the story (s)", **axis)
    figure.update_yaxes(title=y_label, nticks=6, **axis)
    if gain is not None:
        _add_gain(figure, times, gain, list(predicted), theme, axis)
    return figure


def _add_gain(
    figure: go.Figure,
    times: np.ndarray,
    gain: np.ndarray,
    models: list[str],
    theme: ThemeName,
    axis: Mapping[str, Any],
) -> None:
    """Add a strip below the curves: above 0 in the last model's colour, below it in the first one's."""
    import plotly.graph_objects as go

    for values, model in ((np.fmax(gain, 0), models[-1]), (np.fmin(gain, 0), models[0])):
        colour = model_style(model).color(theme)
        figure.add_trace(
            go.Scatter(
                x=times,
                y=values,
                yaxis="y2",
                mode="lines",
                line={"width": 0},
                fill="tozeroy",
                fillcolor=rgba(colour, 0.6),
                showlegend=False,
                hoverinfo="skip",
            )
        )
    figure.update_layout(
        height=figure.layout.height + 90,
        yaxis={"domain": [0.32, 1.0]},
        yaxis2={**axis, "domain": [0.0, 0.24], "title": "Gain (z²)", "nticks": 3},
        meta={
            "alt": f"{figure.layout.meta['alt']} Below, the gain: {model_style(models[-1]).title} is nearer above 0."
        },
    )

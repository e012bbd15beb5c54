"""Values target by target: how they are spread, and how two models compare."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.style import FONT_SIZE, ThemeName, base_layout, legend_height, model_order, model_style, theme_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

_MOST_POINTS = 20_000  # of a scatter; more are drawn as counts


def histogram(
    values: Mapping[str, np.ndarray],
    *,
    label: str = "r / noise ceiling",
    bins: int = 60,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw how the targets' values are spread, one line a model, on shared bins.

    Parameters
    ----------
    values : mapping from a model's name to its values
        Arrays (n_targets,); NaN is left out and the count that remains is in the legend.
    label : str
        What the values are, with the unit.
    bins : int

    Raises
    ------
    BraindashError
        If a model has no finite value.
    """
    import plotly.graph_objects as go

    from braindash.figures.alt import alt_text

    known = {m: np.asarray(v, dtype=float)[np.isfinite(v)] for m, v in values.items()}
    for model, v in known.items():
        if not v.size:
            raise BraindashError(
                f"No target of {model_style(model).title!r} has a finite value.", "Choose another layer."
            )
    if not known:
        raise BraindashError("A histogram needs the values of at least one model.", "Choose a model.")
    everything = np.concatenate(list(known.values()))
    low, high = float(everything.min()), float(everything.max())
    edges = np.linspace(low, high if high > low else low + 1e-6, bins + 1)
    centres = (edges[:-1] + edges[1:]) / 2
    fig = go.Figure()
    names = []
    for model in reversed(model_order(known)):
        style, v = model_style(model), known[model]
        names.append(f"{style.title} (n = {v.size:,})")
        fig.add_trace(
            go.Scatter(
                x=centres,
                y=np.histogram(v, edges)[0],
                mode="lines",
                name=names[-1],
                legendrank=style.order,
                line={"color": style.color(theme), "width": 2, "dash": style.dash, "shape": "hvh"},
                hovertemplate=f"<b>{style.title}</b><br>%{{x:.3f}}: %{{y:,}} targets<extra></extra>",
            )
        )
        fig.add_vline(x=float(v.mean()), line={"color": style.color(theme), "width": 1.5, "dash": "dot"})
    top = legend_height(names)
    fig.update_layout(
        **base_layout(theme, 280 + top, margin={"l": 72, "r": 16, "t": top + 8, "b": 56}),
        meta={
            "alt": alt_text(
                "histogram",
                counts={model_style(m).title: v.size for m, v in known.items()},
                means={model_style(m).title: float(v.mean()) for m, v in known.items()},
                label=label,
            )
        },
    )
    _axes(fig, theme, f"{label} (dotted: mean)", "Targets")
    return fig


def scatter(
    pretrained: np.ndarray,
    tuned: np.ndarray,
    *,
    label: str = "r / noise ceiling",
    tuned_model: str = "brain_tuned",
    chosen: np.ndarray | None = None,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw every target's value of the tuned model against that of the pretrained one, with the diagonal.

    Up to 20,000 targets are points; more become a picture of counts, on a
    logarithmic scale, so that nothing hides under anything.

    Parameters
    ----------
    pretrained, tuned : (n_targets,) float arrays
        Targets where either is NaN are left out; the count is in the title.
    label : str
        What the values are, with the unit.
    chosen : (n_targets,) bool, optional
        Draw and count these; how many of the others lie where is shown in grey below them.

    Raises
    ------
    BraindashError
        If the lengths differ or no target has both values.
    """
    import plotly.graph_objects as go

    from braindash.cortex.colour import plotly_scale
    from braindash.figures.alt import alt_text

    a, b = np.asarray(pretrained, dtype=float), np.asarray(tuned, dtype=float)
    if a.shape != b.shape or a.ndim != 1:
        raise BraindashError(
            f"The models' values have shapes {a.shape} and {b.shape}.", "Give the same targets for both."
        )
    both = np.isfinite(a) & np.isfinite(b)
    if not both.any():
        raise BraindashError("No target has a finite value in both models.", "Choose another layer.")
    everything = a[both], b[both]
    keep = both if chosen is None else both & np.asarray(chosen, dtype=bool)
    if not keep.any():
        raise BraindashError("No chosen target has a finite value in both models.", "Choose others.")
    low, high = float(min(map(np.min, everything))), float(max(map(np.max, everything)))
    a, b = a[keep], b[keep]
    above = float((b > a).mean())
    room = 0.03 * (high - low) or 0.01
    low, high = low - room, high + room
    of = "" if chosen is None else f" of {everything[0].size:,}"
    style, colours = model_style(tuned_model), theme_of(theme)
    fig = go.Figure()
    edges = np.linspace(low, high, 121)
    centres = (edges[:-1] + edges[1:]) / 2
    if chosen is not None:
        fig.add_trace(_others(*everything, edges, theme))
    if a.size <= _MOST_POINTS:
        fig.add_trace(
            go.Scattergl(
                x=a,
                y=b,
                mode="markers",
                marker={"size": 4, "opacity": 0.45, "color": style.color(theme)},
                hovertemplate="Pretrained %{x:.3f}<br>" + style.title + " %{y:.3f}<extra></extra>",
                showlegend=False,
            )
        )
    else:
        counts = np.histogram2d(a, b, [edges, edges])[0].T.astype(np.float32)  # half of what travels
        fig.add_trace(
            go.Heatmap(
                x=centres,
                y=centres,
                z=np.log10(np.where(counts > 0, counts, np.float32(np.nan))),
                customdata=counts,
                colorscale=plotly_scale("sequential"),
                showscale=False,
                hovertemplate="Pretrained %{x:.3f}<br>"
                + style.title
                + " %{y:.3f}<br>%{customdata:,} targets<extra></extra>",
            )
        )
    fig.add_shape(
        type="line", x0=low, y0=low, x1=high, y1=high, line={"color": colours.muted, "width": 1.5, "dash": "dash"}
    )
    fig.add_annotation(
        x=0.02,
        y=0.98,
        xref="paper",
        yref="paper",
        xanchor="left",
        yanchor="top",
        align="left",
        showarrow=False,
        text=f"n = {a.size:,}{of}<br>{above:.0%} above the diagonal",
        font={"size": 12, "color": colours.text},
    )
    fig.update_layout(
        **base_layout(theme, 420, margin={"l": 72, "r": 16, "t": 16, "b": 56}),
        meta={"alt": alt_text("scatter", n=int(a.size), above=above, label=label)},
    )
    _axes(fig, theme, f"Pretrained: {label}", f"{style.title}: {label}")
    fig.update_xaxes(range=[low, high])
    fig.update_yaxes(range=[low, high])
    return fig


def _others(a: np.ndarray, b: np.ndarray, edges: np.ndarray, theme: ThemeName) -> go.Heatmap:
    """Return how many of all targets lie where, in grey on a logarithmic scale."""
    import plotly.graph_objects as go

    from braindash.figures.style import rgba

    counts = np.histogram2d(a, b, [edges, edges])[0].T.astype(np.float32)
    muted, centres = theme_of(theme).muted, (edges[:-1] + edges[1:]) / 2
    return go.Heatmap(
        x=centres,
        y=centres,
        z=np.log10(np.where(counts > 0, counts, np.float32(np.nan))),
        colorscale=[[0, rgba(muted, 0.18)], [1, rgba(muted, 0.6)]],
        showscale=False,
        hoverinfo="skip",
    )


def _axes(fig: go.Figure, theme: ThemeName, x: str, y: str) -> None:
    grid = theme_of(theme).grid
    fig.update_xaxes(
        title=x, gridcolor=grid, zeroline=False, tickfont={"size": 12}, nticks=7, title_font_size=FONT_SIZE
    )
    fig.update_yaxes(
        title=y, gridcolor=grid, zeroline=False, tickfont={"size": 12}, nticks=7, title_font_size=FONT_SIZE
    )

"""From sound to meaning, layer by layer: where each property and region lies in depth, before and after tuning."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.style import ThemeName, base_layout, legend_height, model_style, plain, rgba, theme_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

NO_PEAK = "no clear peak"
ENDS = "before → after"  # above the depths in numbers
PEAK_NAME = "Peak layer"
DEPTH_AXIS = "Depth: layer of the model (0 = front end)"
_NAN = float("nan")
_FONT, _SMALL = 15, 14  # px; nothing in this figure is smaller
_PITCH, _WIDER, _HEADING, _GAP = 40, 46, 30, 6  # px: a row, one with a label of two lines, a heading, between bands
_LANE = 9  # px above and below the middle of a row: before, after
_LABEL, _CHARACTER = 22, 7.7  # characters in a line of a label; px of one
ARROW = 0.05  # of the axis: a shorter move is a line without a head
_MANY = 7  # rows: with more, the layers are written above the rows too
_FINE = 10  # layers up to which depths have two decimals


@dataclass(frozen=True)
class Depth:
    """Where over a model's layers something lies; NaN where there is no clear peak, or no interval.

    Attributes
    ----------
    centre, low, high : float
        Centre of mass over layers, and its interval.
    peak, peak_low, peak_high : float
        The layer of the largest score, and its interval.
    """

    centre: float = _NAN
    low: float = _NAN
    high: float = _NAN
    peak: float = _NAN
    peak_low: float = _NAN
    peak_high: float = _NAN

    @property
    def clear(self) -> bool:
        return bool(np.isfinite(self.centre))


@dataclass(frozen=True)
class DepthRow:
    """One row of the figure: a probe task or a region. Rows of one ``group`` stand together under its name."""

    title: str
    group: str
    before: Depth = field(default_factory=Depth)
    after: Depth = field(default_factory=Depth)


@dataclass(frozen=True)
class Band:
    """A group of rows, in px from the top: its heading's middle, and its edges."""

    name: str
    top: float
    heading: float
    bottom: float


def hierarchy_picture(
    rows: Sequence[DepthRow], layers: Sequence[int], *, after: str = "brain_tuned", theme: ThemeName = "light"
) -> go.Figure:
    """Draw depth over layers, a row a task or region: pretrained hollow, tuned filled, an arrow from one to the other.

    Parameters
    ----------
    rows : sequence of DepthRow
        From sound to meaning; rows of one group next to each other.
    layers : sequence of int
        All layers of the model.
    after : str
        Name of the tuned model.
    theme : "light" | "dark"

    Returns
    -------
    plotly Figure; ``layout.meta["alt"]`` holds its description.

    Raises
    ------
    BraindashError
        If there is no row or no layer.
    """
    import plotly.graph_objects as go

    from braindash.figures.alt import alt_text

    check_rows(rows, layers)
    colours = theme_of(theme)
    labels = [label_lines(r.title) for r in rows]
    pitch = _WIDER if any(len(lines) > 1 for lines in labels) else _PITCH
    bands, places, total = lay_out(rows, pitch, _HEADING, _GAP)
    first, last = min(layers), max(layers)
    left = round(20 + _CHARACTER * max(len(line) for lines in labels for line in lines))
    digits = decimals(layers)
    fig = go.Figure()
    _draw_bands(fig, bands, left, theme)
    _draw_moves(fig, rows, places, last - first, theme)
    for model, lane in (("pretrained", -_LANE), (after, _LANE)):
        depths = [r.before if lane < 0 else r.after for r in rows]
        _draw_model(fig, rows, depths, [y + lane for y in places], model, lane < 0, digits, theme)
    fig.add_trace(
        go.Scatter(
            x=[None], y=[None], mode="markers", name=PEAK_NAME, legendrank=9, hoverinfo="skip",
            marker={"symbol": "line-ns", "size": 9, "line": {"width": 3, "color": colours.muted}},
        )
    )  # fmt: skip
    for row, y in zip(rows, places, strict=True):
        for text, shift in _notes(row, after):
            fig.add_annotation(
                x=0, xref="paper", xanchor="left", xshift=10, y=y + shift, showarrow=False, text=f"<i>{text}</i>",
                font={"size": _SMALL, "color": colours.muted},
            )  # fmt: skip
        if row.before.clear and row.after.clear:
            fig.add_annotation(
                x=1, xref="paper", xanchor="left", xshift=8, y=y, showarrow=False,
                text=f"{number(row.before.centre, digits)} → {number(row.after.centre, digits)}",
                font={"size": _SMALL, "color": colours.text},
            )  # fmt: skip
    fig.add_annotation(
        x=1, xref="paper", xanchor="left", xshift=8, y=bands[0].heading, showarrow=False, text=ENDS,
        font={"size": _SMALL, "color": colours.muted},
    )  # fmt: skip
    shown = shown_layers(layers)
    many = len(rows) > _MANY
    if many:
        for layer in shown:
            fig.add_annotation(
                x=layer, y=0, yshift=11, showarrow=False, text=str(layer),
                font={"size": _SMALL, "color": colours.text},
            )  # fmt: skip
    pad = 0.04 * max(last - first, 1)
    fig.update_xaxes(
        title={"text": DEPTH_AXIS, "font": {"size": _FONT}, "standoff": 10},
        tickvals=shown,
        range=[first - pad, last + pad],
        tickfont={"size": _SMALL},
        gridcolor=colours.grid,
        zeroline=False,
        fixedrange=True,
    )
    fig.update_yaxes(
        range=[total, 0],
        tickvals=places,
        ticktext=["<br>".join(map(plain, lines)) for lines in labels],
        tickfont={"size": _FONT, "color": colours.text},
        ticksuffix=" ",
        showgrid=False,
        zeroline=False,
        fixedrange=True,
    )
    legend = legend_height([model_style("pretrained").title, model_style(after).title, PEAK_NAME])
    top, bottom = legend + 24 * many, 62
    layout = base_layout(theme, round(total) + top + bottom, margin={"l": left, "r": 104, "t": top, "b": bottom})
    layout["legend"] |= {"xref": "container", "font": {"size": _FONT}, "itemclick": False, "itemdoubleclick": False}
    layout["font"] |= {"size": _SMALL}
    layout["hoverlabel"] = {"font": {"size": _SMALL}}
    alt = alt_text("hierarchy_picture", rows=rows, layers=layers, after=after, digits=digits)
    fig.update_layout(**layout, hovermode="closest", meta={"alt": alt})
    return fig


def check_rows(rows: Sequence[DepthRow], layers: Sequence[int]) -> None:
    """Raise BraindashError where there is nothing to draw."""
    if not rows or not len(layers):
        raise BraindashError(
            f"A picture of the hierarchy needs rows and layers; there are {len(rows)} and {len(layers)}.",
            "Evaluate the run, or probe its layers, first.",
        )


def lay_out(
    rows: Sequence[DepthRow], pitch: float, heading: float, gap: float
) -> tuple[list[Band], list[float], float]:
    """Return the bands, the middle of every row, and the height of all, from the top down."""
    bands: list[Band] = []
    places: list[float] = []
    y = 0.0
    for i, row in enumerate(rows):
        if not i or row.group != rows[i - 1].group:
            y += gap if i else 0.0
            bands.append(Band(row.group, y, y + 0.55 * heading, y))
            y += heading
        places.append(y + pitch / 2)
        y += pitch
        bands[-1] = Band(bands[-1].name, bands[-1].top, bands[-1].heading, y)
    return bands, places, y


def label_lines(title: str, width: int = _LABEL, most: int = 2) -> list[str]:
    """Return a label as at most ``most`` lines."""
    return textwrap.wrap(title, width, max_lines=most, placeholder="…") or [title[:width]]


def shown_layers(layers: Sequence[int], most: int = 13) -> list[int]:
    """Return the layers that get a number on the axis, evenly spaced from the first."""
    every = sorted(set(layers))
    return every[:: -(-len(every) // most)]


def decimals(layers: Sequence[int]) -> int:
    return 2 if len(set(layers)) <= _FINE else 1


def number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}".replace("-", "−")


def band_shade(place: int, theme: ThemeName) -> str:
    """Return a band's background: a neutral that deepens slightly from sound to meaning."""
    return rgba(theme_of(theme).muted, min(0.05 + 0.03 * place, 0.17))


def _draw_bands(fig: go.Figure, bands: Sequence[Band], left: int, theme: ThemeName) -> None:
    """Draw the backgrounds under labels and rows, with their headings."""
    for i, band in enumerate(bands):
        edges: dict[str, Any] = {"y0": band.top, "y1": band.bottom, "yref": "y", "xref": "paper", "layer": "below"}
        look: dict[str, Any] = {"fillcolor": band_shade(i, theme), "line": {"width": 0}}
        fig.add_shape(type="rect", x0=0, x1=1, **edges, **look)
        fig.add_shape(type="rect", xsizemode="pixel", xanchor=0, x0=-left, x1=0, **edges, **look)
        fig.add_shape(type="rect", xsizemode="pixel", xanchor=1, x0=0, x1=104, **edges, **look)
        fig.add_annotation(
            x=0, xref="paper", xanchor="left", xshift=8 - left, y=band.heading, showarrow=False,
            text=f"<b>{plain(band.name)}</b>", font={"size": _FONT, "color": theme_of(theme).muted},
        )  # fmt: skip


def _draw_moves(
    fig: go.Figure, rows: Sequence[DepthRow], places: Sequence[float], span: float, theme: ThemeName
) -> None:
    """Draw what tuning moved: a line from before to after, with a head where there is room for one."""
    import plotly.graph_objects as go

    x: list[float | None] = []
    y: list[float | None] = []
    heads: list[int] = []
    for row, place in zip(rows, places, strict=True):
        if not (row.before.clear and row.after.clear):
            continue
        far = abs(row.after.centre - row.before.centre) > ARROW * max(span, 1)
        x += [row.before.centre, row.after.centre, None]
        y += [place - _LANE, place + _LANE, None]
        heads += [0, 11 if far else 0, 0]
    colour = theme_of(theme).text
    fig.add_trace(
        go.Scatter(
            x=x, y=y, mode="lines+markers", hoverinfo="skip", showlegend=False, cliponaxis=False,
            line={"color": colour, "width": 2.5},
            marker={"symbol": "arrow", "angleref": "previous", "standoff": 8, "size": heads, "color": colour,
                    "opacity": 1, "line": {"width": 0}},
        )
    )  # fmt: skip


def _draw_model(
    fig: go.Figure,
    rows: Sequence[DepthRow],
    depths: Sequence[Depth],
    heights: Sequence[float],
    model: str,
    hollow: bool,
    digits: int,
    theme: ThemeName,
) -> None:
    """Draw one model's intervals, peaks and centres, each as one trace."""
    import plotly.graph_objects as go

    style = model_style(model)
    colour = style.color(theme)
    whiskers: list[tuple[float | None, float | None]] = []
    for d, y in zip(depths, heights, strict=True):
        if d.clear and np.isfinite(d.low) and np.isfinite(d.high):
            whiskers += [(d.low, y), (d.high, y), (None, None)]
    common: dict[str, Any] = {"legendgroup": model, "cliponaxis": False}
    fig.add_trace(
        go.Scatter(
            x=[w[0] for w in whiskers], y=[w[1] for w in whiskers], mode="lines", hoverinfo="skip", showlegend=False,
            line={"color": rgba(colour, 0.55), "width": 5}, **common,
        )
    )  # fmt: skip
    peaks = [(d.peak, y) for d, y in zip(depths, heights, strict=True) if d.clear and np.isfinite(d.peak)]
    fig.add_trace(
        go.Scatter(
            x=[p[0] for p in peaks], y=[p[1] for p in peaks], mode="markers", hoverinfo="skip", showlegend=False,
            marker={"symbol": "line-ns", "size": 9, "line": {"width": 3, "color": colour}}, **common,
        )
    )  # fmt: skip
    clear = [(r, d, y) for r, d, y in zip(rows, depths, heights, strict=True) if d.clear]
    fig.add_trace(
        go.Scatter(
            x=[d.centre for _, d, _ in clear],
            y=[y for *_, y in clear],
            mode="markers",
            name=style.title,
            legendrank=style.order,
            showlegend=True,
            marker={
                "symbol": style.symbol,
                "size": 14,
                "color": theme_of(theme).page if hollow else colour,
                "line": {"width": 3, "color": colour},
            },
            text=[_hover(r, d, style.title, digits) for r, d, _ in clear],
            hovertemplate="%{text}<extra></extra>",
            **common,
        )
    )


def _hover(row: DepthRow, depth: Depth, title: str, digits: int) -> str:
    said = [f"<b>{plain(row.title)}</b>, {title.lower()}", f"centre of mass {number(depth.centre, digits)}"]
    if np.isfinite(depth.low) and np.isfinite(depth.high):
        said.append(f"95% interval {number(depth.low, digits)} to {number(depth.high, digits)}")
    if np.isfinite(depth.peak):
        between = ""
        if np.isfinite(depth.peak_low) and np.isfinite(depth.peak_high):
            between = f" (95% interval {depth.peak_low:.0f} to {depth.peak_high:.0f})"
        said.append(f"peak at layer {depth.peak:.0f}{between}")
    return "<br>".join(said)


def _notes(row: DepthRow, after: str) -> list[tuple[str, float]]:
    """Return what a row says instead of marks, and on which lane."""
    if row.before.clear and row.after.clear:
        return []
    if not (row.before.clear or row.after.clear):
        return [(NO_PEAK, 0.0)]
    if row.before.clear:
        return [(f"{model_style(after).title.lower()}: {NO_PEAK}", _LANE)]
    return [(f"{model_style('pretrained').title.lower()}: {NO_PEAK}", -_LANE)]

"""Curves of several runs in one panel: the same colour, mark and letter for a run in every figure.

The eight colours were searched for so that they stay apart, and from the page, for every common kind of colour
vision; letters at the ends of the lines and different marks say the same without colour.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.style import FONT_SIZE, ThemeName, base_layout, legend_height, plain, rgba, theme_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_RUNS = 8
MOST_BANDS = 3  # curves; bands of more hide each other
LEGEND_NAME = 24  # characters of a name
_HEIGHT, _LABEL = 330, 15  # px: of the panel; between the letters at the ends of two lines
_LEGEND_WIDTH = 500  # px
_DOTTED = ("dot", "dashdot", "longdash")  # of references


@dataclass(frozen=True)
class RunStyle:
    """How one run of several is drawn."""

    letter: str
    light: str
    dark: str
    dash: Literal["solid", "dash"]
    symbol: str

    def color(self, theme: ThemeName) -> str:
        return self.dark if theme == "dark" else self.light


RUN_STYLES: tuple[RunStyle, ...] = (
    RunStyle("A", "#3B14D8", "#894ED8", "solid", "circle"),
    RunStyle("B", "#B18914", "#EBB14E", "solid", "square"),
    RunStyle("C", "#149DB1", "#4EC49D", "solid", "diamond"),
    RunStyle("D", "#B12714", "#B14E4E", "solid", "triangle-up"),
    RunStyle("E", "#27764E", "#4E899D", "dash", "cross"),
    RunStyle("F", "#6262EB", "#C489FF", "dash", "star"),
    RunStyle("G", "#621414", "#FFFFB1", "dash", "hexagon"),
    RunStyle("H", "#271462", "#B1FFEB", "dash", "x"),
)


@dataclass(frozen=True, eq=False)  # arrays are not compared as a whole
class RunCurve:
    """One line.

    Attributes
    ----------
    place : int or None
        Which of RUN_STYLES; None: a reference, drawn grey and dotted.
    name : str
        What the legend says; shown as text.
    x, y : (n,) arrays
    low, high : (n,) arrays, optional
        The interval of ``y``.
    n : (n,) array, optional
        Targets behind each point.
    marks : bool
        Whether points are marked.
    at : sequence of str, optional
        What each point is called when the pointer is on it; its x where empty.
    """

    place: int | None
    name: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    n: np.ndarray | None = None
    marks: bool = True
    at: Sequence[str] = ()

    @property
    def letter(self) -> str:
        return "" if self.place is None else RUN_STYLES[self.place].letter


def run_curves(
    curves: Sequence[RunCurve],
    *,
    x_label: str,
    y_label: str,
    what: str,
    zero: bool = False,
    whole: bool = False,
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw one line a run, its letter at its end, and intervals as bands where there are few.

    Parameters
    ----------
    curves : sequence of RunCurve
        At most MOST_RUNS that are no reference.
    x_label, y_label : str
        With units.
    what : str
        What the figure shows, for its description.
    zero : bool
        Draw the line at zero.
    whole : bool
        Ticks at whole numbers only.
    theme : "light" | "dark"

    Raises
    ------
    BraindashError
        If nothing is to be drawn, or too many runs are.
    """
    import plotly.graph_objects as go

    drawn = [c for c in curves if len(c.x) and np.isfinite(c.y).any()]
    own = [c for c in drawn if c.place is not None]
    if not own:
        raise BraindashError("None of the runs has anything to draw here yet.", "Look again when one has.")
    if len(own) > MOST_RUNS:
        raise BraindashError(f"{len(own)} runs cannot be told apart in a chart.", f"Choose at most {MOST_RUNS}.")
    colours = theme_of(theme)
    fig = go.Figure()
    if zero:
        fig.add_hline(y=0, line={"width": 1.2, "color": colours.muted})
    bands = len(own) <= MOST_BANDS
    for curve in reversed(own):
        if bands:
            _add_band(fig, curve, theme)
    references = [c for c in drawn if c.place is None]
    for curve in drawn:
        _add_line(fig, curve, theme, _DOTTED[references.index(curve) % len(_DOTTED)] if curve in references else "")
    _add_letters(fig, own, theme, zero)
    axis = {"gridcolor": colours.grid, "zeroline": False, "tickfont": {"size": 12}, "title_font_size": FONT_SIZE}
    first = min(float(np.min(c.x)) for c in drawn)
    last = max(float(np.max(c.x)) for c in drawn)
    room = 0.03 * ((last - first) or 1.0)
    ticks: dict[str, Any] = {"dtick": max(1, -(-int(last - first) // 10)), "tick0": 0} if whole else {"nticks": 7}
    fig.update_xaxes(title=x_label, range=[first - room, last + 2.2 * room], **ticks, **axis)
    fig.update_yaxes(title=y_label, nticks=6, **axis)
    top = legend_height((_legend_name(c) for c in drawn), _LEGEND_WIDTH)
    fig.update_layout(
        **base_layout(theme, _HEIGHT + top, margin={"l": 72, "r": 26, "t": top + 6, "b": 52}),
        hovermode="closest",
        meta={"alt": _alt(own, what, y_label)},
    )
    return fig


def _legend_name(curve: RunCurve) -> str:
    name = plain(curve.name, LEGEND_NAME)
    return f"<b>{curve.letter}</b> {name}" if curve.letter else name


def _add_band(fig: go.Figure, curve: RunCurve, theme: ThemeName) -> None:
    import plotly.graph_objects as go

    if curve.place is None or curve.low is None or curve.high is None:
        return
    ok = np.isfinite(curve.low) & np.isfinite(curve.high)
    x, low, high = (np.asarray(v, float)[ok] for v in (curve.x, curve.low, curve.high))
    fig.add_trace(
        go.Scatter(
            x=np.concatenate([x, x[::-1]]),
            y=np.concatenate([high, low[::-1]]),
            fill="toself",
            fillcolor=rgba(RUN_STYLES[curve.place].color(theme), 0.15),
            line={"width": 0},
            mode="lines",
            hoverinfo="skip",
            showlegend=False,
            legendgroup=curve.letter,
        )
    )


def _add_line(fig: go.Figure, curve: RunCurve, theme: ThemeName, dash: str) -> None:
    import plotly.graph_objects as go

    if curve.place is None:
        line = {"color": theme_of(theme).muted, "width": 1.8, "dash": dash}
        marker: dict[str, Any] = {"color": theme_of(theme).muted, "size": 5, "symbol": "circle-open"}
    else:
        style = RUN_STYLES[curve.place]
        line = {"color": style.color(theme), "width": 2.2, "dash": style.dash}
        marker = {"color": style.color(theme), "size": 8, "symbol": style.symbol}
    nan = np.full(len(curve.x), np.nan)
    low, high, n = (nan if v is None else np.asarray(v, float) for v in (curve.low, curve.high, curve.n))
    at = list(curve.at) or [f"{x:g}" for x in curve.x]
    hover = "%{customdata[0]}: %{y:.4f}"
    if np.isfinite(low).any():
        hover += "<br>95% interval %{customdata[1]:.4f} to %{customdata[2]:.4f}"
    if np.isfinite(n).any():
        hover += "<br>%{customdata[3]:,} targets"
    fig.add_trace(
        go.Scatter(
            x=curve.x,
            y=curve.y,
            mode="lines+markers" if curve.marks or len(curve.x) == 1 else "lines",
            name=_legend_name(curve),
            legendgroup=curve.letter or "reference",
            line=line,
            marker=marker,
            customdata=[list(row) for row in zip(at, low, high, n, strict=True)],
            hovertemplate=f"<b>{_legend_name(curve)}</b><br>{hover}<extra></extra>",
            cliponaxis=False,
        )
    )


def _add_letters(fig: go.Figure, curves: Sequence[RunCurve], theme: ThemeName, zero: bool) -> None:
    """Write each run's letter behind the last point of its line, moved apart where ends are close."""
    shown = np.concatenate([np.asarray(c.y, float) for c in curves] + ([np.zeros(1)] if zero else []))
    shown = shown[np.isfinite(shown)]
    scale = _HEIGHT * 0.8 / (float(np.ptp(shown)) or 1.0)  # px a unit, nearly
    ends = []
    for curve in curves:
        at = int(np.flatnonzero(np.isfinite(curve.y))[-1])
        ends.append((float(curve.x[at]), float(curve.y[at]), curve))
    ends.sort(key=lambda end: end[1])
    wanted = [end[1] * scale for end in ends]
    for (x, y, curve), placed in zip(ends, apart(wanted, _LABEL), strict=True):
        assert curve.place is not None
        fig.add_annotation(
            x=x, y=y, yshift=placed - y * scale, xshift=14, text=f"<b>{curve.letter}</b>", showarrow=False,
            font={"size": 14, "color": RUN_STYLES[curve.place].color(theme)},
        )  # fmt: skip


def apart(places: Sequence[float], least: float) -> list[float]:
    """Return rising places moved as little as possible so that neighbours are at least ``least`` apart."""
    blocks: list[tuple[float, int]] = []  # (sum of wanted first places, members) of those that touch
    for i, place in enumerate(places):
        total, members = place - i * least, 1
        while blocks and blocks[-1][0] / blocks[-1][1] > total / members:
            before, n = blocks.pop()
            total, members = total + before, members + n
        blocks.append((total, members))
    flat = [total / n for total, n in blocks for _ in range(n)]
    return [first + i * least for i, first in enumerate(flat)]


def thinned(x: np.ndarray, y: np.ndarray, most: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return at most ``most`` points of a long line, each the mean of as many neighbours: (n,), (n,) → (m,), (m,)."""
    if len(x) <= most:
        return np.asarray(x, float), np.asarray(y, float)
    edges = np.linspace(0, len(x), most + 1).astype(int)[:-1]
    n = np.diff([*edges, len(x)])
    return np.add.reduceat(np.asarray(x, float), edges) / n, np.add.reduceat(np.asarray(y, float), edges) / n


def _alt(curves: Sequence[RunCurve], what: str, y_label: str) -> str:
    said = []
    for curve in curves:
        y = np.asarray(curve.y, float)
        y = y[np.isfinite(y)]
        said.append(f"{curve.letter}, {curve.name}: from {y[0]:.3f} to {y[-1]:.3f}")
    return f"Line chart of {what}, {y_label}, of {len(curves)} run{'' if len(curves) == 1 else 's'}. {'; '.join(said)}."

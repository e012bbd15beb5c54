"""A group of runs: which settings did well, and how they learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.style import FONT_SIZE, ThemeName, base_layout, legend_height, theme_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_IN_LEGEND = 8
_SAME = 1e-9  # scores that differ by less are the same
_ROOM = 0.08  # above and below the values of an axis


@dataclass(frozen=True)
class SettingLine:
    """One setting of a group.

    Attributes
    ----------
    values : sequence of str
        What it sets, one text for each axis.
    scores : sequence of float
        Validation r of each of its runs.
    curves : sequence of (epochs, scores)
        Validation r after each epoch, of each of its runs; epoch 0 is before tuning.
    best : bool
    """

    values: Sequence[str]
    scores: Sequence[float] = ()
    curves: Sequence[tuple[Sequence[int], Sequence[float]]] = field(default=())
    best: bool = False

    @property
    def mean(self) -> float:
        return float(np.mean(self.scores)) if len(self.scores) else float("nan")


def setting_lines(
    axes: Sequence[str],
    orders: Sequence[Sequence[str]],
    settings: Sequence[SettingLine],
    *,
    y_label: str = "Validation r",
    theme: ThemeName = "light",
) -> go.Figure:
    """Draw parallel coordinates: an axis a setting, a line a combination, its score at the right.

    A line is a combination's mean over seeds, coloured by it; the dots beside the last axis are its
    single runs. Lines are drawn as plotly's scatter lines: its own parallel coordinates are a
    pixel thin, which nobody sees from the back of a room.

    Parameters
    ----------
    axes : sequence of str
        Names of what varies.
    orders : sequence of sequences of str
        The values of each axis, from bottom to top.
    settings : sequence of SettingLine
        Those without a score are left out.
    y_label : str
    theme : "light" | "dark"

    Raises
    ------
    BraindashError
        If no setting has a score, or a value is not among its axis's.
    """
    import plotly.graph_objects as go

    from braindash.figures.alt import alt_text

    scored = [s for s in settings if len(s.scores)]
    if not scored:
        raise BraindashError("No run of the group has a validation score yet.", "Look again when one is done.")
    places = [_places(order) for order in orders]
    low = min(min(s.scores) for s in scored)
    high = max(max(s.scores) for s in scored)
    same = high - low < _SAME

    def height(r: float) -> float:
        return 0.5 if same else _ROOM + (1 - 2 * _ROOM) * (r - low) / (high - low)

    colours = theme_of(theme)
    fig = go.Figure()
    last = len(axes)
    for x in range(last + 1):
        fig.add_shape(type="line", x0=x, x1=x, y0=0, y1=1, line={"color": colours.muted, "width": 1.5}, layer="below")
    means = np.array([s.mean for s in scored])
    for i in np.argsort(means):  # the best on top
        s = scored[int(i)]
        try:
            y = [at[v] for at, v in zip(places, s.values, strict=True)]
        except KeyError as error:
            raise BraindashError(f"The value {error} is on no axis.", "Name it in the axis's order.") from None
        color = _shade(s.mean, float(means.min()), float(means.max()), theme)
        told = ", ".join(f"{a} {v}" for a, v in zip(axes, s.values, strict=True))
        spread = f" ± {np.std(s.scores, ddof=1):.4f}" if len(s.scores) > 1 else ""
        text = f"{_plain(told)}<br>{y_label} {s.mean:.4f}{spread} ({_runs(len(s.scores))})"
        fig.add_trace(
            go.Scatter(
                x=[*range(last), last],
                y=[*y, height(s.mean)],
                mode="lines+markers",
                line={"color": color, "width": 6 if s.best else 3},
                marker={
                    "size": [*([6] * last), 17 if s.best else 10],
                    "symbol": [*(["circle"] * last), "star" if s.best else "circle"],
                    "color": color,
                    "opacity": 1,
                },
                opacity=1.0 if s.best else 0.75,
                hovertemplate=f"{text}<extra></extra>",
                showlegend=False,
                cliponaxis=False,
            )
        )
        if len(s.scores) > 1:
            fig.add_trace(
                go.Scatter(
                    x=[last + 0.06] * len(s.scores),
                    y=[height(r) for r in s.scores],
                    mode="markers",
                    marker={"size": 8, "color": color, "symbol": "line-ew-open", "line": {"width": 2, "color": color}},
                    customdata=list(s.scores),
                    hovertemplate=f"{_plain(told)}<br>one run: %{{customdata:.4f}}<extra></extra>",
                    showlegend=False,
                    cliponaxis=False,
                )
            )
    _label_axes(fig, axes, places, theme)
    ticks = [low] if same else [low, (low + high) / 2, high]
    for r in ticks:
        fig.add_annotation(
            x=last + 0.06, y=height(r), xshift=14, xanchor="left", showarrow=False, text=f"{r:.3f}",
            font={"size": FONT_SIZE, "color": colours.text},
        )  # fmt: skip
    fig.add_annotation(
        x=last,
        y=1,
        yshift=20,
        showarrow=False,
        text=f"<b>{_plain(y_label)}</b>",
        font={"size": 15, "color": colours.text},
    )
    best = next((s for s in scored if s.best), None)
    alt = alt_text(
        "setting_lines", axes=list(axes), n=len(scored), low=float(means.min()), high=float(means.max()),
        best=None if best is None else list(best.values), label=y_label,
    )  # fmt: skip
    left = 20 + 8 * max((len(_cut(v, 14)) for v in (orders[0] if orders else ())), default=0)
    fig.update_xaxes(visible=False, range=[-0.05, last + 0.12], fixedrange=True)
    fig.update_yaxes(visible=False, range=[-0.02, 1.12], fixedrange=True)
    fig.update_layout(
        **base_layout(theme, 420, margin={"l": max(left, 40), "r": 76, "t": 8, "b": 8}),
        hovermode="closest",
        meta={"alt": alt},
    )
    return fig


def _label_axes(fig: go.Figure, axes: Sequence[str], places: Sequence[dict[str, float]], theme: ThemeName) -> None:
    colours = theme_of(theme)
    for x, (axis, at) in enumerate(zip(axes, places, strict=True)):
        fig.add_annotation(
            x=x, y=1, yshift=20, showarrow=False, text=f"<b>{_plain(_cut(axis, 18))}</b>",
            font={"size": 15, "color": colours.text},
        )  # fmt: skip
        for value, y in at.items():
            fig.add_annotation(
                x=x, y=y, xshift=-10, xanchor="right", showarrow=False, text=_plain(_cut(value, 14)),
                font={"size": 14, "color": colours.text}, bgcolor=colours.page, opacity=0.95, borderpad=1,
            )  # fmt: skip


def group_curves(
    names: Sequence[str], settings: Sequence[SettingLine], *, y_label: str = "Validation r", theme: ThemeName = "light"
) -> go.Figure:
    """Draw the validation score of every run after every epoch, a colour a setting, the best setting in bold.

    Parameters
    ----------
    names : sequence of str
        What each setting is called in the legend.
    settings : sequence of SettingLine
        With their ``curves``.
    y_label : str
    theme : "light" | "dark"

    Raises
    ------
    BraindashError
        If there is no epoch yet.
    """
    import plotly.graph_objects as go

    from braindash.figures.alt import alt_text

    drawn = [(n, s) for n, s in zip(names, settings, strict=True) if any(len(e) for e, _ in s.curves)]
    if not drawn:
        raise BraindashError("No run of the group has ended an epoch yet.", "Look again when one has.")
    ends = [_last(s) for _, s in drawn]
    low, high = min(ends), max(ends)
    legend = len(drawn) <= MOST_IN_LEGEND
    fig = go.Figure()
    last = 1
    order = sorted(range(len(drawn)), key=lambda i: (drawn[i][1].best, ends[i]))
    for i in order:
        name, s = drawn[i]
        color = _shade(ends[i], low, high, theme)
        shown = f"{'★ ' if s.best else ''}{_plain(_cut(name, 60))}"
        for j, (epochs, scores) in enumerate(s.curves):
            last = max([last, *epochs])
            fig.add_trace(
                go.Scatter(
                    x=list(epochs),
                    y=list(scores),
                    mode="lines+markers",
                    name=shown,
                    legendgroup=str(i),
                    legendrank=1000 - order.index(i),  # the best first
                    showlegend=legend and j == 0,
                    line={"color": color, "width": 4 if s.best else 2},
                    marker={"size": 8 if s.best else 5, "color": color, "symbol": _SYMBOLS[i % len(_SYMBOLS)]},
                    opacity=1.0 if s.best else 0.8,
                    hovertemplate=f"{shown}<br>epoch %{{x}}: %{{y:.4f}}<extra></extra>",
                    cliponaxis=False,
                )
            )
    colours = theme_of(theme)
    axis = {"gridcolor": colours.grid, "zeroline": False, "tickfont": {"size": 13}, "title_font_size": 14}
    fig.update_xaxes(
        title="Epoch (0 = before tuning)", dtick=max(1, -(-last // 10)), range=[-0.15, last + 0.15], **axis
    )
    fig.update_yaxes(title=_plain(y_label), nticks=6, **axis)
    top = legend_height([n for n, _ in drawn]) if legend else 16
    best = next((n for n, s in drawn if s.best), None)
    alt = alt_text("group_curves", n=len(drawn), n_runs=sum(len(s.curves) for _, s in drawn), epochs=last, best=best)
    fig.update_layout(
        **base_layout(theme, 330 + top, margin={"l": 76, "r": 16, "t": top, "b": 56}),
        hovermode="closest",
        meta={"alt": alt},
    )
    return fig


_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "triangle-down", "pentagon")


def _last(setting: SettingLine) -> float:
    """Return a setting's mean score, of the runs that are through, else of the last epochs so far."""
    if len(setting.scores):
        return setting.mean
    return float(np.mean([scores[-1] for _, scores in setting.curves if len(scores)]))


def _places(order: Sequence[str]) -> dict[str, float]:
    """Return each value's height on its axis, 0 to 1."""
    if len(order) == 1:
        return {order[0]: 0.5}
    step = (1 - 2 * _ROOM) / (len(order) - 1)
    return {value: _ROOM + i * step for i, value in enumerate(order)}


def _shade(value: float, low: float, high: float, theme: ThemeName) -> str:
    """Return a colour of plotly's Viridis, without the end that does not stand out from the page."""
    from plotly.colors import sample_colorscale

    at = (value - low) / (high - low) if high - low > _SAME else 0.5
    begin, end = (0.25, 1.0) if theme == "dark" else (0.0, 0.8)
    return str(sample_colorscale("Viridis", [begin + (end - begin) * at])[0])


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _plain(text: Any) -> str:
    """Return text in which plotly sees no markup."""
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _runs(n: int) -> str:
    return f"{n} run{'' if n == 1 else 's'}"

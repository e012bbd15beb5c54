"""Scores of several settings: a dot a seed or subject, their mean and spread, a panel a region."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.run_curves import RUN_STYLES
from braindash.figures.style import FONT_SIZE, ThemeName, base_layout, plain, theme_of, wrap

if TYPE_CHECKING:
    import plotly.graph_objects as go

_PANEL, _TITLE, _FOOT = 200, 62, 64  # px: a panel, its title, the axis title
_BESIDE = 0.21  # of a setting's width: before and after stand this far from its middle
_DOTS = (-0.13, 0.02)  # where several dots stand, from the middle of their column
_MEAN, _WIDE = 0.11, 0.055  # where their mean stands, beside them; half its length


@dataclass(frozen=True)
class ScoreDot:
    """One number: its place among RUN_STYLES, what it is of, its own interval where it has one."""

    place: int
    name: str
    value: float
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class ScoreColumn:
    """The dots of one setting in one region.

    Attributes
    ----------
    region : str
        Title of the panel.
    setting : str
        What stands under the column: the letters of its runs.
    side : int
        -1 before tuning, 1 after, 0 the difference.
    dots : sequence of ScoreDot
    mean, sd : float
        NaN where there is none.
    n_targets : int
    """

    region: str
    setting: str
    side: int
    dots: Sequence[ScoreDot] = field(default=())
    mean: float = float("nan")
    sd: float = float("nan")
    n_targets: int = 0


def score_dots(
    columns: Sequence[ScoreColumn], *, y_label: str, what: str, across: int = 3, theme: ThemeName = "light"
) -> go.Figure:
    """Draw every number as a dot, and the mean with one standard deviation where there are several.

    A dot that is alone has its own 95% interval instead. Where before and after are drawn, a thin line joins what
    belongs together.

    Parameters
    ----------
    columns : sequence of ScoreColumn
    y_label : str
        With its unit.
    what : str
        What the figure shows, for its description.
    across : int
        Panels in a row.
    theme : "light" | "dark"

    Raises
    ------
    BraindashError
        If there is no number at all.
    """
    from plotly.subplots import make_subplots

    drawn = [c for c in columns if c.dots]
    if not drawn:
        raise BraindashError("None of the runs has a score here.", "Evaluate them: braindash evaluate RUN.")
    colours = theme_of(theme)
    regions = list(dict.fromkeys(c.region for c in drawn))
    settings = list(dict.fromkeys(c.setting for c in columns))
    across = min(across, len(regions))
    rows = -(-len(regions) // across)
    titles = []
    for region in regions:
        n = sorted({c.n_targets for c in drawn if c.region == region})
        said = f"n = {n[0]:,}" if len(n) == 1 else f"n = {n[0]:,}–{n[-1]:,}"
        small = f"<br><span style='font-size:12px;color:{colours.muted}'>{said} targets</span>"
        titles.append(f"<b>{wrap(plain(region), 16)}</b>{small}")
    height = rows * (_PANEL + _TITLE) + _FOOT
    fig = make_subplots(
        rows=rows,
        cols=across,
        shared_yaxes="all",
        subplot_titles=titles,
        horizontal_spacing=0.04 / max(across - 1, 1) if across > 1 else 0.0,
        vertical_spacing=(_TITLE + 22) / (height - _FOOT - _TITLE) if rows > 1 else 0.0,
        x_title="Setting (the letters of its runs)",
        y_title=y_label,
    )
    difference = any(c.side == 0 for c in drawn)
    for panel, region in enumerate(regions):
        here = [c for c in drawn if c.region == region]
        where = {"row": panel // across + 1, "col": panel % across + 1}
        if difference:
            fig.add_hline(y=0, line={"width": 1.2, "color": colours.muted}, **where)
        _add_joins(fig, here, settings, theme, where)
        for column in here:
            _add_column(fig, column, settings.index(column.setting), theme, where)
    fig.update_layout(
        **base_layout(theme, height, margin={"l": 76, "r": 16, "t": _TITLE, "b": _FOOT}),
        showlegend=False,
        hovermode="closest",
        meta={"alt": _alt(drawn, what, y_label, difference)},
    )
    fig.update_annotations(font_size=FONT_SIZE)
    for note in fig.layout.annotations:
        if note.text.startswith("Setting ("):
            note.update(yshift=-34)
        elif note.text == y_label:
            note.update(xshift=-50)
    fig.update_xaxes(
        tickvals=list(range(len(settings))),
        ticktext=[f"<b>{s}</b>" for s in settings],
        range=[-0.6, len(settings) - 0.4],
        showticklabels=True,
        showgrid=False,
        zeroline=False,
        tickfont={"size": 13},
    )
    fig.update_yaxes(gridcolor=colours.grid, zeroline=False, tickfont={"size": 12}, nticks=6)
    return fig


def _middle(column: ScoreColumn, at: int) -> float:
    return at + _BESIDE * column.side


def _spots(column: ScoreColumn, at: int) -> np.ndarray:
    """Return where the dots stand: beside each other, left of the mean's line."""
    n = len(column.dots)
    return _middle(column, at) + (np.linspace(*_DOTS, n) if n > 1 else np.zeros(1))


def _add_column(fig: go.Figure, column: ScoreColumn, at: int, theme: ThemeName, where: dict[str, int]) -> None:
    import plotly.graph_objects as go

    words = {-1: "pretrained", 0: "difference", 1: "tuned"}[column.side]
    for x, dot in zip(_spots(column, at), column.dots, strict=True):
        style = RUN_STYLES[dot.place]
        alone = len(column.dots) == 1 and np.isfinite(dot.low) and np.isfinite(dot.high)
        bars = {
            "type": "data", "symmetric": False, "array": [dot.high - dot.value], "arrayminus": [dot.value - dot.low],
            "color": style.color(theme), "thickness": 1.4, "width": 0, "visible": bool(alone),
        }  # fmt: skip
        told = f"<br>95% interval {dot.low:.4f} to {dot.high:.4f}" if np.isfinite(dot.low) else ""
        fig.add_trace(
            go.Scatter(
                x=[x],
                y=[dot.value],
                error_y=bars,
                mode="markers",
                marker={
                    "size": 9,
                    "symbol": f"{style.symbol}-open" if column.side == -1 else style.symbol,
                    "color": style.color(theme),
                    "line": {"width": 1.6, "color": style.color(theme)},
                },
                hovertemplate=f"<b>{plain(dot.name, 60)}</b><br>{words} %{{y:.4f}}{told}<extra></extra>",
                cliponaxis=False,
            ),
            **where,
        )
    if len(column.dots) > 1 and np.isfinite(column.mean):
        colours = theme_of(theme)
        middle = _middle(column, at) + _MEAN
        fig.add_trace(
            go.Scatter(
                x=[middle - _WIDE, middle, middle + _WIDE],
                y=[column.mean] * 3,
                error_y={
                    "type": "data", "array": [0, column.sd if np.isfinite(column.sd) else 0, 0],
                    "color": colours.text, "thickness": 1.6, "width": 0,
                },
                mode="lines",
                line={"color": colours.text, "width": 2.4},
                hovertemplate=(
                    f"<b>{column.setting}</b>, {words}<br>mean {column.mean:.4f} ± {column.sd:.4f} "
                    f"(standard deviation, n = {len(column.dots)})<extra></extra>"
                ),
            ),
            **where,
        )  # fmt: skip


def _add_joins(
    fig: go.Figure, columns: Sequence[ScoreColumn], settings: Sequence[str], theme: ThemeName, where: dict[str, int]
) -> None:
    """Join before and after of the same run or subject."""
    import plotly.graph_objects as go

    for setting in settings:
        sides = {c.side: c for c in columns if c.setting == setting}
        if not {-1, 1} <= set(sides):
            continue
        at = settings.index(setting)
        before = {d.name: (x, d.value) for x, d in zip(_spots(sides[-1], at), sides[-1].dots, strict=True)}
        for x, dot in zip(_spots(sides[1], at), sides[1].dots, strict=True):
            if dot.name in before:
                first = before[dot.name]
                fig.add_trace(
                    go.Scatter(
                        x=[first[0], x],
                        y=[first[1], dot.value],
                        mode="lines",
                        line={"color": RUN_STYLES[dot.place].color(theme), "width": 1},
                        hoverinfo="skip",
                    ),
                    **where,
                )


def _alt(columns: Sequence[ScoreColumn], what: str, y_label: str, difference: bool) -> str:
    said = []
    for column in columns:
        if difference or column.side == 1:
            spread = f" ± {column.sd:.3f}" if np.isfinite(column.sd) else ""
            said.append(f"{column.region}, {column.setting}: {column.mean:.3f}{spread} (n = {len(column.dots)})")
    return f"Dots of {what}, {y_label}. Mean and standard deviation: {'; '.join(said)}."

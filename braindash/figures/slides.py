"""Figures in the shape of a slide, with letters that are read from the back of a room; matplotlib only."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.hierarchy_static import PLAIN
from braindash.figures.layers import LAYER_AXIS
from braindash.figures.static import DASHES
from braindash.figures.style import MARKERS, ThemeName, band_opacity, model_order, model_style, theme_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIZE = (12.3, 4.9)  # inches: what a slide of 13.3 × 7.5 leaves for a figure
MOST_PANELS = 8
_ROWS_FROM = 5  # panels from which there are two rows
_ROW, _LEAST = 0.62, 3.2  # inches of a row of `static_intervals`, and of the whole


@dataclass(frozen=True)
class Curve:
    """One model's values over layers: (n_layers,) each, NaN where there is none."""

    model: str
    layer: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class CurvePanel:
    """One small panel: its title, what stands under it (n), its curves, and a level such as chance."""

    title: str
    note: str
    curves: Sequence[Curve]
    level: float = float("nan")
    y_label: str = ""


@dataclass(frozen=True)
class IntervalRow:
    """One value with its interval; ``model`` gives the colour."""

    title: str
    value: float
    low: float
    high: float
    model: str = "brain_tuned"


def static_panels(
    panels: Sequence[CurvePanel],
    *,
    y_label: str,
    level: str = "",
    zero: bool = False,
    shared: bool = True,
    theme: ThemeName = "light",
) -> Figure:
    """Draw curves over layers, at most eight panels, in the shape of a slide.

    Parameters
    ----------
    panels : sequence of CurvePanel
    y_label : str
        What is drawn, with its unit; a panel's own comes before it where panels do not share an axis.
    level : str
        What the panels' ``level`` is called; drawn as a dotted line.
    zero : bool
        Draw a line at zero.
    shared : bool
        One range for all panels.
    theme : "light" | "dark"

    Raises
    ------
    BraindashError
        Where there is no panel, or more than eight.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    if not 0 < len(panels) <= MOST_PANELS:
        raise BraindashError(f"A slide holds one to eight panels, not {len(panels)}.", "Choose fewer regions or tasks.")
    colours = theme_of(theme)
    rows = 1 if len(panels) < _ROWS_FROM else 2
    columns = -(-len(panels) // rows)
    size = 16 if columns < 4 else 14
    figure = Figure(figsize=SIZE, facecolor=colours.page, layout="constrained")
    axes_of = figure.subplots(rows, columns, sharex=True, sharey=shared, squeeze=False)
    for axes in axes_of.ravel()[len(panels) :]:
        axes.set_visible(False)
    models: list[str] = []
    for i, (axes, panel) in enumerate(zip(axes_of.ravel(), panels, strict=False)):
        _style(axes, theme, size - 2)
        wide = (50 if columns < 4 else 40) // columns * 2
        title = textwrap.shorten(panel.title, wide, placeholder="…")
        axes.set_title(f"{title}\n", fontsize=size, color=colours.text, loc="left", pad=2, **PLAIN)
        axes.annotate(
            panel.note, (0, 1), xytext=(0, 4), xycoords="axes fraction", textcoords="offset points",
            fontsize=size - 3, color=colours.muted, **PLAIN,
        )  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5 if rows == 1 else 4))
        axes.tick_params(labelbottom=i + columns >= len(panels))
        if not shared and panel.y_label:
            axes.set_ylabel(panel.y_label, fontsize=size - 2, color=colours.text, **PLAIN)
        if zero:
            axes.axhline(0, color=colours.muted, linewidth=1.4)
        if np.isfinite(panel.level):
            axes.axhline(panel.level, color=colours.muted, linewidth=1.6, linestyle=":")
        ordered = model_order(c.model for c in panel.curves)
        models += [m for m in ordered if m not in models]
        for curve in sorted(panel.curves, key=lambda c: _layer_of_drawing(c.model, ordered)):
            _draw(axes, curve, theme, rows)
    handles = [_handle(m, theme) for m in model_order(models)]
    if level and any(np.isfinite(p.level) for p in panels):
        handles.append(Line2D([], [], color=colours.muted, linewidth=1.6, linestyle=":", label=level))
    figure.legend(
        handles=handles, loc="outside upper left", ncols=len(handles) if len(handles) < 5 else 4, frameon=False,
        fontsize=16 if len(handles) < 5 else 14, labelcolor=colours.text, handlelength=2.6,
    )  # fmt: skip
    figure.supxlabel(LAYER_AXIS, fontsize=15, color=colours.text)
    if y_label:
        figure.supylabel(y_label, fontsize=15, color=colours.text, **PLAIN)
    return figure


def static_intervals(
    rows: Sequence[IntervalRow], *, x_label: str, digits: int = 3, theme: ThemeName = "light"
) -> Figure:
    """Draw values with intervals below one another around zero, each with its numbers at the right.

    Raises
    ------
    BraindashError
        Where there is no row.
    """
    from matplotlib.figure import Figure

    if not rows:
        raise BraindashError("There is no interval to draw.", "Choose a run that has controls.")
    colours = theme_of(theme)
    size = (SIZE[0], float(np.clip(_ROW * len(rows) + 1.2, _LEAST, SIZE[1])))
    figure = Figure(figsize=size, facecolor=colours.page)
    bottom = 0.85 / size[1]
    axes = figure.add_axes((0.345, bottom, 0.355, 0.97 - bottom))
    _style(axes, theme, 15)
    axes.grid(axis="y", visible=False)
    axes.axvline(0, color=colours.text, linewidth=1.4)
    letters = 15
    for y, row in enumerate(rows):
        style = model_style(row.model)
        colour = style.color(theme)
        if np.isfinite(row.low) and np.isfinite(row.high):
            axes.plot([row.low, row.high], [y, y], color=colour, linewidth=4, solid_capstyle="butt")
        axes.plot(row.value, y, MARKERS.get(style.symbol, "o"), color=colour, markersize=11)
        look: dict[str, Any] = {
            "textcoords": "offset points", "va": "center", "annotation_clip": False, "fontsize": letters,
            "color": colours.text, **PLAIN,
        }  # fmt: skip
        where = ("axes fraction", "data")
        name = textwrap.shorten(row.title, 36, placeholder="…")
        axes.annotate(name, (0, y), xycoords=where, xytext=(-14, 0), ha="right", **look)
        said = _signed(row.value, digits)
        if np.isfinite(row.low):
            said += f"  ({_signed(row.low, digits)} to {_signed(row.high, digits)})"
        axes.annotate(said, (1, y), xycoords=where, xytext=(14, 0), ha="left", **look)
    axes.set(ylim=(len(rows) - 0.4, -0.6), yticks=[])
    axes.set_xlabel(x_label, fontsize=15, color=colours.text, **PLAIN)
    axes.spines["left"].set_visible(False)
    return figure


def _layer_of_drawing(model: str, ordered: list[str]) -> int:
    """Return when a model is drawn: controls first, then the pretrained one, the tuned one's smaller marks on top."""
    return -ordered.index(model) if model != "brain_tuned" else 1


def _draw(axes: Axes, curve: Curve, theme: ThemeName, rows: int) -> None:
    style = model_style(curve.model)
    colour = style.color(theme)
    axes.fill_between(curve.layer, curve.low, curve.high, color=colour, alpha=band_opacity(style), linewidth=0)
    axes.plot(
        curve.layer, curve.value, color=colour, linestyle=DASHES[style.dash], linewidth=style.width + 0.4,
        marker=MARKERS.get(style.symbol, "o"), markersize=_mark(curve.model, style.size, rows),
    )  # fmt: skip


def _mark(model: str, size: float, rows: int) -> float:
    """Return the size of marks; the pretrained model's show around those of an equal tuned one."""
    return (size if rows == 1 else size - 1.5) + {"pretrained": 2.5, "brain_tuned": -1.0}.get(model, 0.0)


def _handle(model: str, theme: ThemeName) -> Any:
    from matplotlib.lines import Line2D

    style = model_style(model)
    return Line2D(
        [], [], color=style.color(theme), linestyle=DASHES[style.dash], linewidth=style.width + 0.4,
        marker=MARKERS.get(style.symbol, "o"), markersize=style.size + 1, label=style.title,
    )  # fmt: skip


def _style(axes: Axes, theme: ThemeName, size: int) -> None:
    colours = theme_of(theme)
    axes.set_facecolor("none")
    axes.grid(color=colours.grid, linewidth=0.9)
    axes.set_axisbelow(True)
    axes.tick_params(colors=colours.text, labelsize=size)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colours.muted)


def _signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")

"""The picture from sound to meaning with matplotlib: one slide, as PNG and SVG, without a browser."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.figures.hierarchy import (
    ARROW,
    DEPTH_AXIS,
    ENDS,
    NO_PEAK,
    PEAK_NAME,
    Band,
    Depth,
    DepthRow,
    check_rows,
    decimals,
    label_lines,
    lay_out,
    number,
    shown_layers,
)
from braindash.figures.style import MARKERS, ThemeName, model_style, theme_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# a slide of 16 to 9, in points; fonts on it are not below 14, the note at its foot excepted
WIDTH, HEIGHT = 960.0, 540.0
_LEFT, _RIGHT, _SIDE = 390.0, 120.0, 18.0  # headings and labels, depths in numbers, margin
_LEAST, _MOST, _GAP, _TOP = 24.0, 44.0, 5.0, 20.0  # a row, between bands, above the first
_TITLE, _LINE, _LEGEND, _AXIS, _NOTE = 44.0, 21.0, 30.0, 52.0, 14.0
PLAIN: dict[str, Any] = {"parse_math": False}  # a dollar sign in a name is a dollar sign


def static_hierarchy(
    rows: Sequence[DepthRow],
    layers: Sequence[int],
    *,
    title: str = "From sound to meaning, layer by layer",
    subtitle: str = "",
    note: str = "",
    after: str = "brain_tuned",
    height: float = HEIGHT,
    theme: ThemeName = "light",
) -> Figure:
    """Draw :func:`~braindash.figures.hierarchy.hierarchy_picture` with matplotlib, as wide as a slide.

    Parameters
    ----------
    rows, layers, after, theme
        As there.
    title, subtitle, note : str
        Above, below the title, and at the foot: for caveats and the run's id. Without a title there is no room for one.
    height : float
        Points that rows are spread over, where they need fewer.
    """
    from matplotlib.figure import Figure

    check_rows(rows, layers)
    colours = theme_of(theme)
    said = textwrap.wrap(subtitle, 108)
    foot = textwrap.wrap(note, 150)
    above = _TITLE if title else 0.5 * _SIDE
    around = above + _LINE * len(said) + _LEGEND + _TOP + _AXIS + _NOTE * len(foot) + _SIDE
    gaps = _GAP * sum(a.group != b.group for a, b in itertools.pairwise(rows))
    pitch = float(np.clip((height - around - gaps) / len(rows), _LEAST, _MOST))
    bands, places, total = lay_out(rows, pitch, 0.0, _GAP)
    height = around + total  # taller than a slide where there are many rows, rather than with smaller letters
    figure = Figure(figsize=(WIDTH / 72, height / 72), facecolor=colours.page)
    figure.text(
        _SIDE / WIDTH, 1 - 14 / height, title, fontsize=24, weight="bold", va="top", color=colours.text, **PLAIN
    )
    figure.text(
        _SIDE / WIDTH, 1 - above / height, "\n".join(said), fontsize=15, va="top", linespacing=1.2,
        color=colours.text, **PLAIN,
    )  # fmt: skip
    figure.text(
        _SIDE / WIDTH, 8 / height, "\n".join(foot), fontsize=11, va="bottom", linespacing=1.1,
        color=colours.muted, **PLAIN,
    )  # fmt: skip
    inner = WIDTH - _LEFT - _RIGHT - 2 * _SIDE
    bottom = _AXIS + _NOTE * len(foot) + 0.5 * _SIDE
    axes = figure.add_axes((
        (_SIDE + _LEFT) / WIDTH,
        bottom / height,
        inner / WIDTH,
        total / height,
    ))  # fmt: skip
    _draw_bands(axes, bands, pitch, inner, theme)
    _draw_rows(axes, rows, places, pitch, layers, after, theme)
    _style(axes, layers, total, theme)
    _legend(figure, after, theme, 1 - (above + _LINE * len(said) + 2) / height)
    return figure


def _draw_bands(axes: Axes, bands: Sequence[Band], pitch: float, inner: float, theme: ThemeName) -> None:
    colours = theme_of(theme)
    look: dict[str, Any] = {
        "xycoords": ("axes fraction", "data"), "textcoords": "offset points", "fontsize": 14, "va": "center",
        "color": colours.muted, "annotation_clip": False, **PLAIN,
    }  # fmt: skip
    for i, band in enumerate(bands):
        axes.axhspan(
            band.top, band.bottom, xmin=-_LEFT / inner, xmax=1 + _RIGHT / inner, clip_on=False, zorder=0,
            facecolor=colours.muted, alpha=min(0.05 + 0.03 * i, 0.17), linewidth=0,
        )  # fmt: skip
        name, _, more = band.name.partition(": ")
        first = band.top + pitch / 2
        axes.annotate(label_lines(name, 15, 1)[0], (0, first), xytext=(10 - _LEFT, 0), weight="bold", **look)
        lines = textwrap.wrap(more, 17)
        if first + 17 * (len(lines) + 0.5) <= band.bottom:  # where the band has room for them
            for k, line in enumerate(lines, start=1):
                axes.annotate(line, (0, first + 17 * k), xytext=(10 - _LEFT, 0), **look)
    axes.annotate(ENDS, (1, 0), xytext=(12, 10), **look)


def _draw_rows(
    axes: Axes,
    rows: Sequence[DepthRow],
    places: Sequence[float],
    pitch: float,
    layers: Sequence[int],
    after: str,
    theme: ThemeName,
) -> None:
    colours, digits, lane = theme_of(theme), decimals(layers), 0.2 * pitch

    usual: dict[str, Any] = {"fontsize": 14, "color": colours.text, **PLAIN}

    def beside(text: str, x: float, y: float, shift: float, **look: Any) -> None:
        axes.annotate(
            text, (x, y), xycoords=("axes fraction", "data"), xytext=(shift, 0), textcoords="offset points",
            va="center", annotation_clip=False, **(usual | look),
        )  # fmt: skip

    for row, y in zip(rows, places, strict=True):
        beside(label_lines(row.title, 29, 1)[0], 0, y, -12, ha="right", fontsize=15)
        if row.before.clear and row.after.clear:
            beside(f"{number(row.before.centre, digits)} → {number(row.after.centre, digits)}", 1, y, 12, ha="left")
            far = abs(row.after.centre - row.before.centre) > ARROW * max(max(layers) - min(layers), 1)
            axes.annotate(
                "", (row.after.centre, y + lane), (row.before.centre, y - lane), annotation_clip=False, zorder=3,
                arrowprops={"arrowstyle": "-|>,head_width=0.35,head_length=0.6" if far else "-", "linewidth": 1.8,
                            "color": colours.text, "shrinkA": 4, "shrinkB": 5 if far else 0, "mutation_scale": 14},
            )  # fmt: skip
        else:
            both = not (row.before.clear or row.after.clear)
            name = model_style(after if row.before.clear else "pretrained").title.lower()
            shift = 0.0 if both else lane if row.before.clear else -lane
            beside(NO_PEAK if both else f"{name}: {NO_PEAK}", 0, y + shift, 10, ha="left", style="italic",
                   color=colours.muted)  # fmt: skip
        for model, depth, at in (("pretrained", row.before, y - lane), (after, row.after, y + lane)):
            _draw_depth(axes, depth, at, model, model == "pretrained", theme)


def _draw_depth(axes: Axes, depth: Depth, y: float, model: str, hollow: bool, theme: ThemeName) -> None:
    if not depth.clear:
        return
    style = model_style(model)
    colour = style.color(theme)
    common: dict[str, Any] = {"clip_on": False}
    if np.isfinite(depth.low) and np.isfinite(depth.high):
        axes.plot([depth.low, depth.high], [y, y], color=colour, alpha=0.55, linewidth=4, zorder=2, **common)
    if np.isfinite(depth.peak):
        axes.plot(depth.peak, y, "|", color=colour, markersize=13, markeredgewidth=2.5, zorder=4, **common)
    axes.plot(
        depth.centre, y, MARKERS[style.symbol], markersize=9.5, markeredgewidth=2.4, markeredgecolor=colour,
        markerfacecolor=theme_of(theme).page if hollow else colour, zorder=5, **common,
    )  # fmt: skip


def _style(axes: Axes, layers: Sequence[int], total: float, theme: ThemeName) -> None:
    colours = theme_of(theme)
    pad = 0.04 * max(max(layers) - min(layers), 1)
    axes.set(xlim=(min(layers) - pad, max(layers) + pad), ylim=(total, 0), yticks=[], facecolor="none")
    axes.set_xticks(shown_layers(layers))
    axes.tick_params(colors=colours.text, labelsize=14, length=0)
    axes.grid(axis="x", color=colours.grid, linewidth=1)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.set_xlabel(DEPTH_AXIS, fontsize=14, color=colours.text)


def _legend(figure: Figure, after: str, theme: ThemeName, y: float) -> None:
    from matplotlib.lines import Line2D

    colours = theme_of(theme)
    marks = []
    for model in ("pretrained", after):
        style = model_style(model)
        fill = colours.page if model == "pretrained" else style.color(theme)
        marks.append(
            Line2D([], [], marker=MARKERS[style.symbol], linestyle="-", linewidth=4, markersize=9.5, label=style.title,
                   color=(*_rgb(style.color(theme)), 0.55), markerfacecolor=fill, markeredgewidth=2.4,
                   markeredgecolor=style.color(theme))
        )  # fmt: skip
    marks.append(
        Line2D([], [], marker="|", linestyle="", markersize=13, markeredgewidth=2.5, color=colours.muted,
               label=PEAK_NAME)
    )  # fmt: skip
    figure.legend(
        handles=marks, loc="upper left", bbox_to_anchor=(_SIDE / WIDTH - 0.005, y), ncols=3, frameon=False,
        fontsize=14, labelcolor=colours.text, borderaxespad=0.0, columnspacing=1.6,
    )  # fmt: skip


def _rgb(color: str) -> tuple[float, float, float]:
    r, g, b = (int(color[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return r, g, b

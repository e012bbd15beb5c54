"""The same curves with matplotlib, for PNG and SVG without a browser."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from braindash.errors import BraindashError
from braindash.figures.layers import COLUMNS, LAYER_AXIS, panel_note
from braindash.figures.style import (
    MARKERS,
    ThemeName,
    band_opacity,
    model_order,
    model_style,
    region_title,
    require_columns,
    theme_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

DASHES: dict[str, Any] = {"solid": "-", "dash": "--", "dot": ":", "dashdot": "-.", "longdash": (0, (8, 3))}


def static_layer_curves(
    records: pd.DataFrame,
    *,
    y_label: str = "r / noise ceiling",
    regions: Sequence[str] | None = None,
    ceiling: Mapping[str, float] | float | None = None,
    columns: int = 3,
    title: str = "",
    note: str = "",
    theme: ThemeName = "light",
    zero: bool = False,
) -> Figure:
    """Draw :func:`~braindash.figures.layers.layer_curves` with matplotlib.

    Parameters
    ----------
    records, y_label, regions, ceiling, columns, theme
        As there.
    title, note : str
        Above all panels; a line below them, for run ids and caveats.
    zero : bool
        Draw a line at zero, for differences.
    """
    from matplotlib.figure import Figure
    from matplotlib.font_manager import FontProperties
    from matplotlib.ticker import MaxNLocator

    require_columns(records, COLUMNS, "A figure of layer curves")
    known = list(dict.fromkeys(records["roi"]))
    rois = [r for r in regions if r in known] if regions is not None else known
    rois = rois or known
    columns = min(columns, len(rois))
    rows = -(-len(rois) // columns)
    colours = theme_of(theme)
    figure = Figure(
        figsize=(3.1 * columns + 0.9, 2.4 * rows + 1.1 + 0.4 * bool(title)),
        facecolor=colours.page,
        layout="constrained",
    )
    panels = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in panels.ravel()[len(rois) :]:
        axes.set_visible(False)
    lines: dict[str, Line2D] = {}
    for axes, roi in zip(panels.ravel(), rois, strict=False):
        here = records[records["roi"] == roi]
        _style_axes(axes, theme)
        axes.set_title(f"{region_title(roi)}  ({panel_note(here)})", fontsize=11, color=colours.text)
        axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        axes.tick_params(labelbottom=True)
        if zero:
            axes.axhline(0, color=colours.muted, linewidth=1)
        top = ceiling.get(roi) if isinstance(ceiling, Mapping) else ceiling
        if top is not None and np.isfinite(top):
            axes.axhline(top, color=colours.muted, linewidth=1.2, linestyle=":")
            axes.annotate(
                "ceiling", (0.02, top), xycoords=("axes fraction", "data"), va="bottom", fontsize=9, color=colours.muted
            )
        for model in reversed(model_order(here["model"])):
            style = model_style(model)
            curve = here[here["model"] == model].sort_values("layer")
            x, y, low, high = (curve[c].to_numpy(float) for c in ("layer", "value", "low", "high"))
            axes.fill_between(x, low, high, color=style.color(theme), alpha=band_opacity(style), linewidth=0)
            (lines[model],) = axes.plot(
                x,
                y,
                color=style.color(theme),
                linestyle=DASHES[style.dash],
                marker=MARKERS.get(style.symbol, "o"),
                markersize=4.5,
                linewidth=style.width - 0.4,
            )
    ordered = model_order(lines)
    legend = figure.legend(
        [lines[m] for m in ordered],
        [model_style(m).title for m in ordered],
        loc="outside upper center",
        ncols=min(len(ordered), max(columns, 4)),
        frameon=False,
        fontsize=10,
        labelcolor=colours.text,
    )
    if title:
        legend.set_title(title, prop=FontProperties(size=13, weight="bold"))
        legend.get_title().set_color(colours.text)
    figure.supxlabel(LAYER_AXIS + (f"\n{note}" if note else ""), fontsize=10.5, color=colours.text)
    figure.supylabel(y_label, fontsize=10.5, color=colours.text)
    return figure


def figure_bytes(figure: Figure, kind: Literal["png", "svg"], dpi: int = 200) -> bytes:
    """Return a matplotlib figure as a PNG or SVG file; text in SVG stays text.

    Raises
    ------
    BraindashError
        For another kind of file.
    """
    import matplotlib as mpl

    if kind not in ("png", "svg"):
        raise BraindashError(f"Figures are saved as png or svg, not {kind!r}.", "Choose one of the two.")
    out = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "none"}):
        # no date in the file: the same numbers give the same bytes
        figure.savefig(out, format=kind, dpi=dpi, metadata={"Date": None} if kind == "svg" else None)
    return out.getvalue()


def _style_axes(axes: Axes, theme: ThemeName) -> None:
    colours = theme_of(theme)
    axes.set_facecolor("none")
    axes.grid(color=colours.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=colours.text, labelsize=9)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colours.muted)

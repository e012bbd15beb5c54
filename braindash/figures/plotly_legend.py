"""The legend and the colour bars of a plotly figure, drawn with matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from braindash.figures.plotly_axes import Axis, as_number, plain_text
from braindash.figures.plotly_notes import Box, Sheet, draw_text, patch_at, pixels, text_width
from braindash.figures.plotly_spec import Spec, rgba_of
from braindash.figures.plotly_traces import (
    PLAIN,
    STROKES,
    SYMBOLS,
    as_opacity,
    colours_of,
    dash_of,
    each,
    limits_of,
    line_colour,
    numbered,
    scale_of,
    table_of,
)
from braindash.figures.style import FONT_SIZE

BAR_BELOW = 62  # px that a colour bar with numbers and title takes at the foot
_SWATCH, _GAP, _LINE = 34, 16, 22  # px: a legend's sample, between entries, its lines
APART = "apart"  # in a figure's meta: its legend stands elsewhere on the page

# --- legend ---------------------------------------------------------------------------------------


def entries(spec: Spec) -> list[Spec]:
    """Return the traces that the legend names, in its order."""
    layout = spec.get("layout", {})
    traces = numbered(spec)
    shown = layout.get("showlegend")
    if _apart(layout):
        shown = True
    if shown is None:
        shown = sum(t.get("showlegend", True) is not False for t in traces) > 1 or any(
            t.get("showlegend") is True for t in traces
        )
    named = [t for t in traces if t.get("showlegend", True) is not False and t.get("name")]
    named = list({plain_text(t["name"]): t for t in reversed(named)}.values())[::-1] if _apart(layout) else named
    named = [t for t in named if t.get("type", "scatter") != "heatmap" or t.get("showlegend")]
    return sorted(named, key=lambda t: float(t.get("legendrank", 1000))) if shown else []


def _apart(layout: Spec) -> bool:
    meta = layout.get("meta")
    return isinstance(meta, dict) and meta.get("legend") == APART


def legend_lines(named: Sequence[Spec], size: float, width: float) -> list[list[Spec]]:
    """Return a horizontal legend's entries as lines that fit ``width`` pixels."""
    lines: list[list[Spec]] = []
    used = 0.0
    for entry in named:
        wide = _SWATCH + text_width(plain_text(entry["name"]), size) + _GAP
        if not lines or used + wide > width:
            lines.append([])
            used = 0.0
        lines[-1].append(entry)
        used += wide
    return lines


def legend_room(lines: Sequence[Sequence[Spec]]) -> float:
    """Return the pixels that a horizontal legend takes."""
    return _LINE * len(lines) + 6.0


def draw_legend(sheet: Sheet, lines: Sequence[Sequence[Spec]], left: float, top: float, size: float) -> None:
    """Draw samples and names from a place on; a line of entries after the other."""
    for i, line in enumerate(lines):
        x, y = left, top + _LINE * (i + 0.5)
        for entry in line:
            _sample(sheet, entry, x, y)
            name = plain_text(entry["name"]).replace("\n", " ")
            sheet.figure.text(
                (x + _SWATCH) / sheet.width, 1 - y / sheet.height, name, fontsize=size, va="center_baseline",
                color=sheet.theme.text, zorder=7, **PLAIN,
            )  # fmt: skip
            x += _SWATCH + text_width(name, size) + _GAP


def _sample(sheet: Sheet, entry: Spec, x: float, y: float) -> None:
    from matplotlib.lines import Line2D

    mode = str(entry.get("mode", "lines"))
    opacity = as_opacity(entry.get("opacity"))
    begin, end, up = x + 3, x + 29, sheet.height - y
    kind = entry.get("type", "scatter")
    marker = entry.get("marker") or {}
    colour = line_colour(entry)
    if kind == "bar":
        fill = colours_of(marker, 1, colour)[0]
        patch_at(sheet, Box(x + 10, y - 6, 12, 12), facecolor=fill, linewidth=0, zorder=7, alpha=opacity)
        return
    if entry.get("fill", "none") not in (None, "none") and rgba_of(entry.get("fillcolor")):
        patch_at(
            sheet, Box(begin, y - 6, end - begin, 12), facecolor=rgba_of(entry["fillcolor"]), linewidth=0, zorder=6.8
        )
    line = entry.get("line") or {}
    if "lines" in mode and float(line.get("width", 2)) > 0:
        sheet.figure.add_artist(
            Line2D([begin, end], [up, up], color=colour, linewidth=float(line.get("width", 2)), alpha=opacity,
                   linestyle=dash_of(line), transform=pixels(sheet), zorder=7)
        )  # fmt: skip
    if "markers" in mode:
        symbol = str(each(marker.get("symbol"), 1, "circle")[0])
        shape = SYMBOLS.get(symbol.replace("-open", ""), "o")
        fill = colours_of(marker, 1, colour)[0]
        outline = marker.get("line") or {}
        edge = colours_of({"color": outline.get("color")}, 1, None)[0] if outline.get("color") is not None else fill
        width = as_number(each(outline.get("width"), 1, 0)[0])
        strokes = shape in STROKES or "-open" in symbol
        sheet.figure.add_artist(
            Line2D([(begin + end) / 2], [up], marker=shape, linestyle="none",
                   markersize=min(as_number(each(marker.get("size"), 1, 6)[0]), 16.0),
                   markerfacecolor="none" if "-open" in symbol else fill,
                   markeredgecolor=edge or fill, markeredgewidth=max(width, 1.2) if strokes else width, alpha=opacity,
                   transform=pixels(sheet), zorder=7.1)
        )  # fmt: skip


# --- colour bars ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scale:
    """A colour bar: whose colours, between which values, and how it looks."""

    of: Spec
    low: float
    high: float
    look: Spec

    @property
    def flat(self) -> bool:
        return bool(self.look.get("orientation") == "h")


def scales(spec: Spec) -> list[Scale]:
    """Return the colour bars that a figure shows."""
    found = []
    for trace in numbered(spec):
        if trace.get("type") == "heatmap" and trace.get("showscale", True) is not False:
            found.append(Scale(trace, *limits_of(trace, table_of(trace)), trace.get("colorbar") or {}))
        marker = trace.get("marker") or {}
        colours = marker.get("color")
        scaled = marker.get("showscale", "colorbar" in marker)
        if scaled and colours is not None and not isinstance(colours, str):
            values = np.array([as_number(c) for c in list(colours)], dtype=float)
            found.append(Scale(marker, *limits_of(marker, values, "cmin", "cmax"), marker.get("colorbar") or {}))
    return found


def draw_scale(sheet: Sheet, scale: Scale, place: int) -> None:
    """Draw a colour bar at the foot, or at the right where it stands upright."""
    look = scale.look
    title = look.get("title")
    said = title.get("text", "") if isinstance(title, dict) else title or ""
    size = float((look.get("tickfont") or {}).get("size") or 12)
    thick, share = float(look.get("thickness", 20)), float(look.get("len", 1))
    own: Spec = {
        k: look[k] for k in ("tickvals", "ticktext", "nticks", "tickformat", "dtick", "ticksuffix") if k in look
    }
    if scale.flat:
        wide = share * sheet.plot.width
        middle = sheet.plot.left + (as_number(look["x"]) if "x" in look else 0.5) * sheet.plot.width
        box = Box(middle - wide / 2, sheet.height - BAR_BELOW + 4, wide, thick)
    else:
        tall = share * sheet.plot.height
        top = sheet.plot.top + (sheet.plot.height - tall) / 2
        box = Box(sheet.plot.right + 14 + 90 * place, top, min(thick, 18), tall)
    _strip(sheet, scale, box)
    axis = Axis("x" if scale.flat else "y", own, low=scale.low, high=scale.high)
    at, texts = axis.ticks(box.width if scale.flat else box.height)
    for value, text in zip(at, texts, strict=True):
        along = (value - scale.low) / (scale.high - scale.low)
        if scale.flat:
            where: tuple[float, float] = (box.left + along * box.width, box.bottom + 3)
            draw_text(sheet, text, *where, size=size, colour=sheet.theme.text, yanchor="top")
        else:
            where = (box.right + 4, box.bottom - along * box.height)
            draw_text(sheet, text, *where, size=size, colour=sheet.theme.text, xanchor="left")
    if said and scale.flat:
        draw_text(
            sheet,
            said,
            box.left + box.width / 2,
            sheet.height - 3,
            size=FONT_SIZE,
            colour=sheet.theme.text,
            yanchor="bottom",
        )
    elif said:
        draw_text(sheet, said, box.left + box.width / 2 + 10, box.top - 4, size=12, colour=sheet.theme.text,
                  yanchor="bottom")  # fmt: skip


def _strip(sheet: Sheet, scale: Scale, box: Box) -> None:
    """Draw the colours of a scale into a box."""
    from matplotlib.colors import LinearSegmentedColormap

    stops = scale_of(scale.of)
    if scale.of.get("reversescale"):
        stops = [(1 - s, c) for s, c in reversed(stops)]
    colours = LinearSegmentedColormap.from_list("scale", stops, N=256)(np.linspace(0, 1, 256))
    axes = sheet.figure.add_axes(
        (box.left / sheet.width, 1 - box.bottom / sheet.height, box.width / sheet.width, box.height / sheet.height)
    )
    axes.set_label("colour bar")
    if scale.flat:
        axes.imshow(np.repeat(colours, 4, axis=0)[None], aspect="auto", interpolation="none")
    else:
        axes.imshow(np.repeat(colours, 4, axis=0)[::-1, None], aspect="auto", interpolation="none")
    axes.set_axis_off()

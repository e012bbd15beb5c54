"""Plotly figures as matplotlib ones, for files that are made without a browser.

Covers what figures of this project are made of: lines, marks, error bars, bands, bars, tables of colours, notes,
shapes, legends and colour bars, on linear, logarithmic and category axes, in one panel or many. What else a figure
holds is named by `uncovered` before anything is drawn.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError
from braindash.figures import plotly_legend as legends
from braindash.figures import plotly_notes as notes
from braindash.figures.plotly_axes import Axis, as_number, axes_of, plain_text
from braindash.figures.plotly_notes import Box, Sheet
from braindash.figures.plotly_spec import Spec, decoded, rgba_of, traces_of
from braindash.figures.plotly_traces import DRAWN, PLAIN, Panel, numbered
from braindash.figures.style import FONT_SIZE, ThemeName, legend_height, theme_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TALL = 380.0  # px of a figure on a slide, unless its rows need more: letters of 13 px are 13 points there
_SHRINK = 0.55  # the least of a plot's height that is kept
_ROW = 19.0  # px of a row with a name
_ASPECT = 2.35  # of a slide's room for a picture
_NARROW, _WIDE = 620.0, 1040.0  # px
_OTHER_PLOTS = ("geo", "polar", "scene", "ternary", "map", "mapbox", "smith")


def uncovered(spec: Spec) -> list[str]:
    """Return what of a figure cannot be drawn here, in words; empty where all of it can."""
    found = []
    for trace in traces_of(spec):
        kind = str(trace.get("type", "scatter"))
        if kind not in DRAWN:
            found.append(f"a trace of type {kind!r}")
        elif trace.get("coloraxis") or (trace.get("marker") or {}).get("coloraxis"):
            found.append("a shared colour axis")
    layout = spec.get("layout", {})
    for key, value in layout.items():
        if re.fullmatch(r"[xy]axis\d*", key) and value.get("type") in ("date", "multicategory"):
            found.append(f"an axis of type {value['type']!r}")
        if re.fullmatch(rf"({'|'.join(_OTHER_PLOTS)})\d*", key):
            found.append(f"a plot on {key!r}")
    found += [f"a shape of type {s['type']!r}" for s in layout.get("shapes", ()) if s.get("type") == "path"]
    if layout.get("images"):
        found.append("an image")
    return list(dict.fromkeys(found))


def static_plotly(spec: Mapping[str, Any], theme: ThemeName = "light") -> Figure:
    """Return a plotly figure, as `braindash.figures.plotly_spec.figure_spec` gives it, drawn with matplotlib.

    Parameters
    ----------
    spec : mapping
        ``data`` and ``layout``; arrays may be packed as plotly packs them.
    theme : "light" | "dark"
        What the page is; the figure's own colours stay (see `recoloured`).

    Returns
    -------
    matplotlib Figure, in the shape of a slide's room for a picture as far as its content allows.

    Raises
    ------
    BraindashError
        If the figure holds something that is not covered.
    """
    from matplotlib.figure import Figure

    whole: Spec = decoded(spec)
    missing = uncovered(whole)
    if missing:
        raise BraindashError(
            f"This figure holds {', '.join(missing)}, which is drawn by a browser only.",
            "Install kaleido (pip install kaleido) and Chrome or Chromium.",
        )
    layout = whole.get("layout", {})
    axes = axes_of(whole)
    for trace in traces_of(whole):
        if trace.get("type") in ("heatmap", "bar"):
            axes[str(trace.get("yaxis", "y"))].own["cells"] = True  # rows of which each is a colour or a bar
    named = legends.entries(whole)
    margin = _margins(layout, whole, named)
    width, height = _size(layout, axes, margin)
    flat = _flat_legend(layout)
    size = float((layout.get("legend") or {}).get("font", {}).get("size") or FONT_SIZE)
    lines = legends.legend_lines(named, size, width - 16 if flat else 1.0)
    if named and flat and layout.get("showlegend") is False:  # it stands elsewhere on the page: no room was left
        margin["t"] += legends.legend_room(lines)
        height += legends.legend_room(lines)
    elif named and flat:  # on a page as narrow as a phone's it takes more lines, for which the figure leaves room
        spared = legend_height(plain_text(t["name"]) for t in named) - legends.legend_room(lines)
        spared = min(spared, max(margin["t"] - legends.legend_room(lines) - 4, 0.0))
        margin["t"] -= spared
        height -= spared
    figure = Figure(figsize=(width / 72, height / 72), dpi=72, facecolor=theme_of(theme).page)
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    sheet = Sheet(figure, width, height, Box(0, 0, 1, 1), theme_of(theme), layout, axes, {})
    pairs = _pairs(whole, axes)
    drawn = {pair: _axes(figure, f"{pair[0]}{pair[1]}") for pair in pairs}
    bar_below = any(scale.flat for scale in legends.scales(whole))
    for _ in range(2):  # what stands beside the axes is measured once they have their size
        sheet.plot = Box(
            margin["l"], margin["t"], width - margin["l"] - margin["r"], height - margin["t"] - margin["b"]
        )
        sheet.boxes = _boxes(sheet, pairs)
        for pair, panel in drawn.items():
            _dress(sheet, panel, *pair)
        margin = _measured(sheet, drawn, margin, legends.BAR_BELOW + 6 if bar_below else 4)
    _draw_traces(sheet, whole, drawn)
    for pair, panel in drawn.items():  # traces may have moved limits
        _limits(panel, axes[pair[0]], axes[pair[1]])
    for around in notes.AROUND:
        around(sheet)
    for i, scale in enumerate(legends.scales(whole)):
        legends.draw_scale(sheet, scale, i)
    if lines:
        left = 6.0 if flat else width - margin["r"] + 8
        legends.draw_legend(sheet, lines, left, 2.0 if flat else sheet.plot.top, size)
    return figure


# --- the sheet ------------------------------------------------------------------------------------


def _margins(layout: Spec, spec: Spec, named: Sequence[Spec]) -> dict[str, float]:
    given = layout.get("margin") or {}
    margin = {k: float(given.get(k, usual)) for k, usual in (("l", 60), ("r", 20), ("t", 40), ("b", 56))}
    bars = legends.scales(spec)
    if any(b.flat for b in bars):
        margin["b"] = max(margin["b"], legends.BAR_BELOW + 44)
    upright = sum(not b.flat for b in bars)
    if upright:
        margin["r"] = max(margin["r"], 90.0 * upright)
        margin["t"] = max(margin["t"], 24.0)
    if named and not _flat_legend(layout):
        margin["r"] = max(margin["r"], 60 + max(notes.text_width(plain_text(t["name"]), FONT_SIZE) for t in named))
    return margin


def _flat_legend(layout: Spec) -> bool:
    return bool((layout.get("legend") or {}).get("orientation") == "h")


def _size(layout: Spec, axes: Mapping[str, Axis], margin: Mapping[str, float]) -> tuple[float, float]:
    """Return width and height in pixels: lower than on a page, so that letters are large on a slide."""
    height = float(layout.get("height") or 450)
    inner = height - margin["t"] - margin["b"]
    led = any(n.get("showarrow", True) and n.get("ax") is not None for n in layout.get("annotations", ()))
    if led:  # names stand beside their points by pixels
        return 900.0, height
    kept = _compacted(layout, axes, inner, max(_TALL - margin["t"] - margin["b"], 40.0))
    height = kept + margin["t"] + margin["b"]
    width = float(np.clip(_ASPECT * height, _NARROW, _WIDE))
    square = any(a.own.get("scaleanchor") for a in axes.values()) and any(
        a.own.get("constrain") == "domain" for a in axes.values()
    )
    return (max(kept + margin["l"] + margin["r"] + 90, 430.0) if square else width), height


def _compacted(layout: Spec, axes: Mapping[str, Axis], inner: float, wanted: float) -> float:
    """Make plots lower, as far as their rows allow, while the room between them stays; return the pixels of all."""
    upright = [a for k, a in axes.items() if k[0] == "y" and not a.own.get("overlaying")]
    bands = _joined([a.domain for a in upright])
    plots = sum(end - begin for begin, end in bands)
    rooms = 1 - plots if len(bands) > 1 else 0.0
    plots = 1 - rooms
    least = max([_least(a) * inner for a in upright] + [0.0])
    for axis in upright:
        least = max(least, _ROW * _rows(axis) / max(axis.domain[1] - axis.domain[0], 0.05))
    factor = min(max((wanted / inner - rooms) / plots, least / inner), 1.0)
    if len(bands) > 1:
        total = rooms + factor * plots

        def moved(share: float) -> float:
            inside = sum(min(max(share - begin, 0.0), end - begin) for begin, end in bands)
            return (share - inside + factor * inside) / total

        for axis in upright:
            axis.own = {**axis.own, "domain": [moved(v) for v in axis.domain]}
        for thing in (*layout.get("annotations", ()), *layout.get("shapes", ())):
            for key in ("y", "y0", "y1"):
                if thing.get("yref") == "paper" and isinstance(thing.get(key), int | float):
                    thing[key] = moved(float(thing[key]))
    return inner * (rooms + factor * plots)


def _joined(spans: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return spans from the lowest up, those that overlap as one."""
    out: list[tuple[float, float]] = []
    for begin, end in sorted(spans):
        if out and begin <= out[-1][1] + 1e-9:
            out[-1] = (out[-1][0], max(end, out[-1][1]))
        else:
            out.append((begin, end))
    return out


def _least(axis: Axis) -> float:
    """Return the least share of its height at which an axis is read; rows with names and marks need most of it."""
    named = axis.own.get("ticktext") is not None and axis.own.get("showticklabels") is not False
    return 0.85 if named and not axis.own.get("cells") else _SHRINK


def _rows(axis: Axis) -> int:
    """Return how many names stand along an axis."""
    texts = axis.own.get("ticktext")
    if axis.own.get("showticklabels") is False or not axis.visible:
        return 0
    if texts is not None:
        return sum(plain_text(t).count("\n") + 1 for t in texts)
    return len(axis.categories)


def _pairs(spec: Spec, axes: Mapping[str, Axis]) -> list[tuple[str, str]]:
    """Return which axes belong together, those of the first traces first."""
    found = [(str(t.get("xaxis", "x")), str(t.get("yaxis", "y"))) for t in traces_of(spec)]
    return list(dict.fromkeys(found)) or [("x", "y")]


def _axes(figure: Figure, label: str) -> Axes:
    panel = figure.add_axes((0, 0, 1, 1), label=label)
    panel.set_facecolor("none")
    for spine in panel.spines.values():
        spine.set_visible(False)
    return panel


def _boxes(sheet: Sheet, pairs: Sequence[tuple[str, str]]) -> dict[str, Box]:
    """Return the box of every axis; of axes that keep one scale, made smaller or their ranges wider."""
    boxes: dict[str, Box] = {}
    plot = sheet.plot
    for x, y in pairs:
        (x0, x1), (y0, y1) = _domain(sheet.axes, x), _domain(sheet.axes, y)
        box = Box(
            plot.left + x0 * plot.width, plot.top + (1 - y1) * plot.height, (x1 - x0) * plot.width,
            (y1 - y0) * plot.height,
        )  # fmt: skip
        if sheet.axes[x].own.get("scaleanchor") == y or sheet.axes[y].own.get("scaleanchor") == x:
            box = _equal(box, sheet.axes[x], sheet.axes[y])
        boxes[x] = boxes[y] = box
    return boxes


def _domain(axes: Mapping[str, Axis], key: str) -> tuple[float, float]:
    over = axes[key].own.get("overlaying")
    return axes[str(over)].domain if over in axes else axes[key].domain


def _equal(box: Box, x: Axis, y: Axis) -> Box:
    across, up = abs(x.high - x.low), abs(y.high - y.low)
    scale = min(box.width / across, box.height / up)
    if "domain" in (x.own.get("constrain"), y.own.get("constrain")):
        width, height = scale * across, scale * up
        return Box(box.left + (box.width - width) / 2, box.top + (box.height - height) / 2, width, height)
    for axis, length in ((x, box.width), (y, box.height)):
        more = (length / scale - abs(axis.high - axis.low)) / 2 * np.sign(axis.high - axis.low)
        axis.low, axis.high = axis.low - float(more), axis.high + float(more)
    return box


# --- axes -----------------------------------------------------------------------------------------


def _dress(sheet: Sheet, panel: Axes, x_key: str, y_key: str) -> None:
    """Place a panel, and give it limits, ticks, grid and titles."""
    x, y, box = sheet.axes[x_key], sheet.axes[y_key], sheet.boxes[x_key]
    panel.set_position(
        (box.left / sheet.width, 1 - box.bottom / sheet.height, box.width / sheet.width, box.height / sheet.height)
    )
    ground = rgba_of(sheet.layout.get("plot_bgcolor"))
    if ground is not None and ground[3] > 0 and not y.own.get("overlaying"):
        panel.set_facecolor(ground)
    panel.set_axisbelow(True)
    _limits(panel, x, y)
    if y.own.get("overlaying") or y.own.get("side") == "right":
        panel.yaxis.tick_right()
        panel.yaxis.set_label_position("right")
    panel.xaxis.set_visible(not y.own.get("overlaying"))  # the axes below have it
    if x.own.get("side") == "top":
        panel.xaxis.tick_top()
        panel.xaxis.set_label_position("top")
    for axis, side in ((x, panel.xaxis), (y, panel.yaxis)):
        _ticks(sheet, panel, axis, side, box)
    panel.tick_params(length=0, which="both")


def _limits(panel: Axes, x: Axis, y: Axis) -> None:
    panel.set_xlim(x.low, x.high)
    panel.set_ylim(y.low, y.high)


def _ticks(sheet: Sheet, panel: Axes, axis: Axis, side: Any, box: Box) -> None:
    own, theme = axis.own, sheet.theme
    length = box.width if axis.across else box.height
    at, texts = axis.ticks(length) if axis.visible else ([], [])
    if own.get("showticklabels") is False:
        texts = [""] * len(at)
    font = own.get("tickfont") or {}
    size = float(font.get("size") or FONT_SIZE)
    side.set_ticks(at, texts)
    angle = own.get("tickangle")
    if axis.across and angle in (None, "auto"):
        widest = [max(notes.text_width(line, size) for line in t.split("\n")) for t in texts if t]
        gap = length / max(len(at), 1)
        angle = 0 if not widest or max(widest) + 4 <= gap or sum(widest) + 8 * len(widest) <= length else 35
    turn = float(as_number(angle)) if angle is not None else 0.0
    for label in (own_label for tick in side.get_major_ticks() for own_label in (tick.label1, tick.label2)):
        label.set(fontsize=size, color=rgba_of(font.get("color")) or theme.text, rotation=-turn, parse_math=False)
        if axis.across and turn:
            label.set(ha="center" if abs(turn) == 90 else "right" if turn < 0 else "left", rotation_mode="anchor",
                      va="center" if abs(turn) == 90 else "top")  # fmt: skip
            if abs(turn) == 90:
                label.set(ha="right" if turn < 0 else "left")
    grid = axis.visible and own.get("showgrid", True) is not False and not own.get("overlaying")
    if grid:
        side.grid(True, color=rgba_of(own.get("gridcolor")) or theme.grid, linewidth=float(own.get("gridwidth", 1)))
    else:
        side.grid(False)
    _lines(panel, axis, theme)
    title = own.get("title")
    said: Spec = title if isinstance(title, dict) else {"text": title or ""}
    text = plain_text(said.get("text") or "") if axis.visible else ""
    own_font = said.get("font") or {}
    side.set_label_text(text, fontsize=float(own_font.get("size") or FONT_SIZE), color=theme.text, **PLAIN)
    side.labelpad = min(float(said.get("standoff") or 6), 14.0)


def _lines(panel: Axes, axis: Axis, theme: Any) -> None:
    """Draw the line at zero and the frame, where an axis has them."""
    own = axis.own
    inside = min(axis.low, axis.high) <= 0 <= max(axis.low, axis.high)
    if axis.visible and own.get("zeroline", True) is not False and inside and not (axis.categories or axis.log):
        draw = panel.axvline if axis.across else panel.axhline
        for old in [artist for artist in panel.lines if artist.get_gid() == f"zero {axis.key}"]:
            old.remove()
        draw(
            0, color=rgba_of(own.get("zerolinecolor")) or theme.grid, linewidth=1.4, zorder=1.2, gid=f"zero {axis.key}"
        )
    if own.get("showline"):
        ends = ("bottom", "top") if axis.across else ("left", "right")
        for end in ends if own.get("mirror") else ends[:1]:
            panel.spines[end].set(visible=True, color=rgba_of(own.get("linecolor")) or theme.muted)


def _measured(
    sheet: Sheet, drawn: Mapping[tuple[str, str], Axes], margin: Mapping[str, float], below: float
) -> dict[str, float]:
    """Return margins in which names and titles of the outer axes have room."""
    renderer: Any = sheet.figure.canvas.get_renderer()  # type: ignore[attr-defined]
    wanted = dict(margin)
    for panel in drawn.values():
        place = panel.get_window_extent(renderer)
        for side in (panel.xaxis, panel.yaxis):
            box = side.get_tightbbox(renderer)
            if box is None or not np.isfinite([box.x0, box.x1, box.y0, box.y1]).all():
                continue
            wanted["l"] = max(wanted["l"], wanted["l"] - box.x0 + 6)
            wanted["r"] = max(wanted["r"], wanted["r"] + box.x1 - sheet.width + 6)
            if place.y0 <= sheet.height - sheet.plot.bottom + 2:  # the lowest row
                wanted["b"] = max(wanted["b"], place.y0 - box.y0 + below)
    room = sheet.width - 160
    if wanted["l"] + wanted["r"] > room:
        wanted["l"] = max(room - wanted["r"], margin["l"])
    return wanted


def _draw_traces(sheet: Sheet, spec: Spec, drawn: Mapping[tuple[str, str], Axes]) -> None:
    panels: dict[tuple[str, str], Panel] = {}
    traces = numbered(spec)
    for pair, axes in drawn.items():
        bars = [t for t in traces if t.get("type") == "bar" and _pair(t) == pair]
        panels[pair] = Panel(axes, sheet.axes[pair[0]], sheet.axes[pair[1]], sheet.theme, sheet.layout, bars=bars)
    for i, trace in enumerate(traces):
        DRAWN[str(trace.get("type", "scatter"))](panels[_pair(trace)], trace, 2.0 + 0.01 * i)


def _pair(trace: Spec) -> tuple[str, str]:
    return str(trace.get("xaxis", "x")), str(trace.get("yaxis", "y"))

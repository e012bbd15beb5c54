"""Traces of a plotly figure drawn with matplotlib: lines, marks, error bars, fills, bars, tables of colours."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.figures.plotly_axes import Axis, as_number, cell_edges, errors_of, plain_text
from braindash.figures.plotly_spec import Spec, rgba_of, traces_of
from braindash.figures.static import DASHES
from braindash.figures.style import MARKERS, Theme

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PLAIN: dict[str, Any] = {"parse_math": False}
SYMBOLS: dict[str, Any] = {
    **MARKERS,
    "pentagon": "p",
    "line-ns": "|",
    "line-ew": "_",
    "cross-thin": "+",
    "x-thin": "x",
    "triangle-left": "<",
    "triangle-right": ">",
    "hexagon2": "H",
    "octagon": "8",
    "arrow": "^",
    "asterisk": (8, 2, 0),  # eight rays
}
STROKES = ("|", "_", "+", "x", SYMBOLS["asterisk"])  # marks without an inside
_STEPS = {"hv": "steps-post", "vh": "steps-pre", "hvh": "steps-mid", "vhv": "steps-mid"}
_VECTORS = 2500  # cells of a table up to which each is a shape of its own; more are a picture
_PIXELS = 900  # of the longer side of such a picture, so that cells keep their edges
_COLOURWAY = ("#636efa", "#EF553B", "#00cc96", "#ab63fa", "#FFA15A", "#19d3f3")  # plotly's own


@dataclass
class Panel:
    """One pair of axes while its traces are drawn."""

    axes: Axes
    x: Axis
    y: Axis
    theme: Theme
    layout: Spec
    before: tuple[np.ndarray, np.ndarray] | None = None  # the last line, which a fill may reach to
    bars: list[Spec] = field(default_factory=list)  # all bars of these axes


def scatter(panel: Panel, trace: Spec, order: float) -> None:
    """Draw lines, marks, fills, error bars and texts of one trace."""
    x, y = points_of(trace, panel.x, panel.y)
    mode = str(trace.get("mode") or ("lines+markers" if x.size < 20 else "lines"))
    opacity = as_opacity(trace.get("opacity"))
    line = trace.get("line") or {}
    colour = line_colour(trace)
    clip = trace.get("cliponaxis", True) is not False
    width = float(line.get("width", 2))
    _fill(panel, trace, (x, y), order, opacity)
    if "lines" in mode and width > 0:
        ok = np.isfinite(x) & np.isfinite(y) if trace.get("connectgaps") else np.ones(x.size, dtype=bool)
        panel.axes.plot(
            x[ok], y[ok], color=colour, linewidth=width, alpha=_alpha(colour, opacity), clip_on=clip, zorder=order,
            linestyle=dash_of(line), drawstyle=_STEPS.get(str(line.get("shape")), "default"),
            solid_capstyle="butt", solid_joinstyle="round",
        )  # fmt: skip
    _whiskers(panel, trace, x, y, order, opacity)
    if "markers" in mode:
        _marks(panel, trace, (x, y), order + 0.3, opacity, clip)
    if "text" in mode:
        _texts(panel, trace, (x, y), order + 0.4)
    panel.before = (x, y)


def bar(panel: Panel, trace: Spec, order: float) -> None:
    """Draw the bars of one trace beside or upon those of the others."""
    flat = trace.get("orientation", "v") == "h"
    along, place = (panel.x, panel.y) if flat else (panel.y, panel.x)
    values = along.numbers(trace.get(along.key[0]))
    at = place.numbers(trace.get(place.key[0]))
    at = np.arange(values.size, dtype=float) if at.size != values.size else at
    n, i = len(panel.bars), next(k for k, b in enumerate(panel.bars) if b is trace)
    unit = float(np.min(np.diff(np.unique(at)))) if np.unique(at).size > 1 else 1.0
    room = unit * (1 - float(panel.layout.get("bargap", 0.2)))
    base = np.zeros(values.size)
    mode = panel.layout.get("barmode", "group")
    thick: Any
    if mode == "group":
        thick = room / n
        at = at + (i - (n - 1) / 2) * thick
    else:
        thick = room
        if mode in ("stack", "relative"):
            for other in panel.bars[:i]:
                more = along.numbers(other.get(along.key[0]))
                base += np.where(np.sign(more) == np.sign(values), np.nan_to_num(more), 0)
    if trace.get("base") is not None:
        base = np.broadcast_to(np.array(trace["base"], dtype=float), values.shape)
    if trace.get("width") is not None:
        thick = np.broadcast_to(np.array(trace["width"], dtype=float), values.shape)
    colours = colours_of(trace.get("marker") or {}, values.size, line_colour(trace))
    look: dict[str, Any] = {
        "color": colours, "zorder": order, "linewidth": 0, "alpha": as_opacity(trace.get("opacity")),
    }  # fmt: skip
    if flat:
        panel.axes.barh(at, values, height=thick, left=base, **look)
    else:
        panel.axes.bar(at, values, width=thick, bottom=base, **look)
    x, y = (base + values, at) if flat else (at, base + values)
    _whiskers(panel, trace, x, y, order + 0.3, 1.0)
    if trace.get("text") is not None:
        _texts(panel, {**trace, "textposition": "middle right" if flat else "top center"}, (x, y), order + 0.4)


def heatmap(panel: Panel, trace: Spec, order: float) -> None:
    """Draw a table of colours; cells without a value stay empty."""
    z = table_of(trace)
    rows, columns = z.shape
    x = cell_edges(panel.x.numbers(trace.get("x")), columns)
    y = cell_edges(panel.y.numbers(trace.get("y")), rows)
    low, high = limits_of(trace, z)
    colours = colours_at(z, trace, low, high)
    colours[..., 3] *= as_opacity(trace.get("opacity"))
    even = all(np.allclose(np.diff(e), np.diff(e)[0], rtol=1e-3) for e in (x, y))
    if z.size > _VECTORS and even:
        more = max(1, -(-_PIXELS // max(rows, columns)))
        image = np.repeat(np.repeat(colours, more, axis=0), more, axis=1)
        panel.axes.imshow(
            image, extent=(x[0], x[-1], y[0], y[-1]), origin="lower", aspect="auto", interpolation="none",
            zorder=order,
        )  # fmt: skip
    else:
        panel.axes.pcolormesh(x, y, colours, zorder=order, edgecolors="face", linewidth=0.2)  # no seams between cells
    page = panel.theme.page
    for gap, edges, draw in (
        (trace.get("xgap"), x, panel.axes.vlines),
        (trace.get("ygap"), y, panel.axes.hlines),
    ):
        if gap:
            ends = (y[0], y[-1]) if draw == panel.axes.vlines else (x[0], x[-1])
            draw(edges, *ends, color=page, linewidth=float(gap), zorder=order + 0.1)
    _cell_texts(panel, trace, z, (x, y), order + 0.4)


DRAWN: dict[str, Callable[[Panel, Spec, float], None]] = {
    "scatter": scatter,
    "scattergl": scatter,
    "bar": bar,
    "heatmap": heatmap,
}


# --- what is read of a trace ----------------------------------------------------------------------


def points_of(trace: Spec, x_axis: Axis, y_axis: Axis) -> tuple[np.ndarray, np.ndarray]:
    """Return the places of a trace's points: (n,) each; where one axis is not given, points are counted."""
    x, y = x_axis.numbers(trace.get("x")), y_axis.numbers(trace.get("y"))
    if trace.get("x") is None:
        x = np.arange(y.size, dtype=float) * as_number(trace.get("dx", 1)) + as_number(trace.get("x0", 0))
    if trace.get("y") is None:
        y = np.arange(x.size, dtype=float)
    n = min(x.size, y.size)
    return x[:n], y[:n]


def table_of(trace: Spec) -> np.ndarray:
    """Return a heatmap's values: (n_rows, n_columns) float, NaN where there is none."""
    z = trace.get("z")
    if isinstance(z, np.ndarray):
        return z.astype(float).reshape(z.shape if z.ndim == 2 else (1, -1))
    return np.array([[as_number(v) for v in list(row)] for row in z or [[]]], dtype=float)


def limits_of(trace: Spec, values: np.ndarray, low: str = "zmin", high: str = "zmax") -> tuple[float, float]:
    """Return the ends of a colour scale: those that are set, or those of the values."""
    finite = values[np.isfinite(values)]
    begin = float(finite.min()) if trace.get(low) is None and finite.size else as_number(trace.get(low, 0.0))
    end = float(finite.max()) if trace.get(high) is None and finite.size else as_number(trace.get(high, 1.0))
    middle = trace.get("zmid" if low == "zmin" else "cmid")
    if middle is not None:
        far = max(abs(begin - middle), abs(end - middle))
        begin, end = middle - far, middle + far
    return begin, end if end > begin else begin + 1.0


def colours_at(values: np.ndarray, of: Spec, low: float, high: float) -> np.ndarray:
    """Return the colour of every value on a scale: (…, 4) float; clear where there is no value."""
    stops = scale_of(of)
    at = np.array([s for s, _ in stops])
    table = np.array([c for _, c in stops])
    where = np.clip((values - low) / (high - low), 0, 1)
    if of.get("reversescale"):
        where = 1 - where
    out = np.stack([np.interp(np.nan_to_num(where), at, table[:, k]) for k in range(4)], axis=-1)
    out[~np.isfinite(values)] = 0
    return out


def scale_of(of: Spec) -> list[tuple[float, tuple[float, float, float, float]]]:
    """Return a colour scale as places and colours; plotly's names of scales are known to matplotlib too."""
    scale = of.get("colorscale")
    if isinstance(scale, str) or scale is None:
        import matplotlib as mpl

        known = {name.lower(): name for name in mpl.colormaps}
        colours = mpl.colormaps[known.get(str(scale).lower(), "plasma")]
        return [(float(v), tuple(map(float, colours(v)))) for v in np.linspace(0, 1, 33)]  # type: ignore[misc]
    return [(float(s), rgba_of(c) or (0.5, 0.5, 0.5, 1.0)) for s, c in scale]


def line_colour(trace: Spec) -> Any:
    """Return the colour of a trace's line, or of its marks where it has none."""
    for part in ("line", "marker"):
        colour = rgba_of((trace.get(part) or {}).get("color"))
        if colour is not None:
            return colour
    return rgba_of(_COLOURWAY[int(trace.get("_place", 0)) % len(_COLOURWAY)])


def dash_of(line: Spec) -> Any:
    return DASHES.get(str(line.get("dash", "solid")), "-")


def as_opacity(value: Any) -> float:
    number = as_number(1 if value is None else value)
    return number if math.isfinite(number) else 1.0


def colours_of(marker: Spec, n: int, usual: Any) -> list[Any]:
    """Return the colour of each of ``n`` marks."""
    given = marker.get("color")
    if given is None or isinstance(given, str):
        return [rgba_of(given) or usual] * n
    given = list(given)
    if any(isinstance(c, str) for c in given):
        return [(rgba_of(given[i]) if i < len(given) else None) or usual for i in range(n)]
    values = np.array([as_number(v) for v in given], dtype=float)
    low, high = limits_of(marker, values, "cmin", "cmax")
    return [tuple(c) for c in colours_at(values, marker, low, high)]


def each(value: Any, n: int, usual: Any) -> list[Any]:
    """Return one value a point, of a single one or a list."""
    if value is None:
        return [usual] * n
    if isinstance(value, str | int | float):
        return [value] * n
    given = list(value)
    return [given[i] if i < len(given) else usual for i in range(n)]


# --- pieces ---------------------------------------------------------------------------------------


def _alpha(colour: Any, opacity: float) -> float | None:
    return None if opacity >= 1 else opacity * (colour[3] if colour is not None else 1.0)


def _fill(panel: Panel, trace: Spec, points: tuple[np.ndarray, np.ndarray], order: float, opacity: float) -> None:
    kind = trace.get("fill", "none")
    if kind in (None, "none"):
        return
    x, y = points
    colour = rgba_of(trace.get("fillcolor"))
    if colour is None:
        r, g, b, _ = line_colour(trace)
        colour = (r, g, b, 0.5)
    look: dict[str, Any] = {
        "facecolor": colour,
        "linewidth": 0,
        "zorder": order - 0.2,
        "alpha": _alpha(colour, opacity),
    }
    if kind in ("toself", "tonext"):
        for piece in _pieces(x, y):
            if len(piece) > 2:
                panel.axes.fill(piece[:, 0], piece[:, 1], **look)
    elif kind == "tonexty" and panel.before is not None:
        other = np.interp(x, *panel.before)
        panel.axes.fill_between(x, y, other, **look)
    elif kind in ("tozerox", "tonextx"):
        panel.axes.fill_betweenx(y, x, 0, **look)
    else:
        steps: dict[str, Any] = {"hv": "post", "vh": "pre", "hvh": "mid"}
        panel.axes.fill_between(x, y, 0, step=steps.get(str((trace.get("line") or {}).get("shape"))), **look)


def _pieces(x: np.ndarray, y: np.ndarray) -> list[np.ndarray]:
    known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if not known.size:
        return []
    runs = np.split(known, np.flatnonzero(np.diff(known) > 1) + 1)
    return [np.column_stack([x[r], y[r]]) for r in runs]


def _whiskers(panel: Panel, trace: Spec, x: np.ndarray, y: np.ndarray, order: float, opacity: float) -> None:
    for name in ("error_x", "error_y"):
        error = trace.get(name) or {}
        if not error or error.get("visible", True) is False:
            continue
        up, down = (np.clip(np.resize(e, x.size), 0, None) for e in errors_of(error, x.size))
        ok = np.isfinite(up) & np.isfinite(down) & np.isfinite(x) & np.isfinite(y)
        reach: dict[str, Any] = {f"{name[-1]}err": (down[ok], up[ok])}
        panel.axes.errorbar(
            x[ok], y[ok], fmt="none", ecolor=rgba_of(error.get("color")) or line_colour(trace),
            elinewidth=float(error.get("thickness", 2)), capsize=float(error.get("width", 0) or 0), alpha=opacity,
            zorder=order + 0.1, **reach,
        )  # fmt: skip


def _marks(
    panel: Panel, trace: Spec, points: tuple[np.ndarray, np.ndarray], order: float, opacity: float, clip: bool
) -> None:
    x, y = points
    marker = trace.get("marker") or {}
    symbols = [str(s) for s in each(marker.get("symbol"), x.size, "circle")]
    sizes = np.array([as_number(s) for s in each(marker.get("size"), x.size, 6)])
    fills = colours_of(marker, x.size, line_colour(trace))
    outline = marker.get("line") or {}
    widths = np.array([as_number(w) for w in each(outline.get("width"), x.size, 0)])
    edges = colours_of({"color": outline.get("color")}, x.size, None) if outline.get("color") is not None else fills
    shown = np.array([as_opacity(o) for o in each(marker.get("opacity"), x.size, 1)]) * opacity
    seen = np.isfinite(x) & np.isfinite(y) & (np.nan_to_num(sizes) > 0) & (shown > 0)
    if marker.get("angleref") == "previous":
        _heads(panel, marker, points, np.flatnonzero(seen), sizes, fills, order)
        return
    for symbol in dict.fromkeys(symbols):
        at = np.flatnonzero(seen & np.array([s == symbol for s in symbols]))
        if not at.size:
            continue
        name = symbol.removesuffix("-open").removesuffix("-dot").removesuffix("-open")
        shape = SYMBOLS.get(name, "o")
        hollow = "-open" in symbol
        ink = [edges[i] or fills[i] for i in at] if hollow or shape in STROKES else [fills[i] for i in at]
        look: dict[str, Any] = {"marker": shape, "s": sizes[at] ** 2, "clip_on": clip, "zorder": order}
        if shape in STROKES:
            look |= {"c": ink, "linewidths": np.maximum(widths[at], 1.0)}
        elif hollow:
            look |= {"facecolors": "none", "edgecolors": ink, "linewidths": np.maximum(widths[at], 1.2)}
        else:
            look |= {"c": ink, "edgecolors": [edges[i] or fills[i] for i in at], "linewidths": widths[at]}
        if (shown[at] < 1).any():
            look["alpha"] = shown[at] if not hollow else float(shown[at].mean())
        panel.axes.scatter(x[at], y[at], **look)


def _heads(
    panel: Panel,
    marker: Spec,
    points: tuple[np.ndarray, np.ndarray],
    at: np.ndarray,
    sizes: np.ndarray,
    fills: Sequence[Any],
    order: float,
) -> None:
    """Draw heads of arrows at points that look away from the point before them."""
    x, y = points
    for i in at:
        if i == 0 or not (np.isfinite(x[i - 1]) and np.isfinite(y[i - 1])):
            continue
        head = panel.axes.annotate(
            "", xy=(x[i], y[i]), xytext=(x[i - 1], y[i - 1]), annotation_clip=False,
            arrowprops={"arrowstyle": "-|>,head_length=0.5,head_width=0.3", "mutation_scale": 1.6 * float(sizes[i]),
                        "shrinkA": 0, "shrinkB": float(as_number(marker.get("standoff", 0))), "color": fills[i],
                        "linewidth": 0},
        )  # fmt: skip
        head.set_zorder(order)


def _texts(panel: Panel, trace: Spec, points: tuple[np.ndarray, np.ndarray], order: float) -> None:
    x, y = points
    font = trace.get("textfont") or {}
    texts = each(trace.get("text"), x.size, "")
    places = each(trace.get("textposition"), x.size, "middle center")
    sizes, inks = each(font.get("size"), x.size, 12), each(font.get("color"), x.size, panel.theme.text)
    marks = each((trace.get("marker") or {}).get("size"), x.size, 6 if "markers" in str(trace.get("mode")) else 0)
    for i in np.flatnonzero(np.isfinite(x) & np.isfinite(y)):
        if not str(texts[i] or ""):
            continue
        up, side = [*str(places[i]).split(), "center", "center"][:2]
        away = float(as_number(marks[i])) / 2 + 2
        dy = {"top": away, "bottom": -away}.get(up, 0.0)
        dx = {"left": -away, "right": away}.get(side, 0.0)
        note = panel.axes.annotate(
            plain_text(texts[i]), (x[i], y[i]), xytext=(dx, dy), textcoords="offset points", fontsize=float(sizes[i]),
            color=rgba_of(inks[i]) or panel.theme.text, annotation_clip=False,
            ha={"left": "right", "right": "left"}.get(side, "center"),
            va={"top": "bottom", "bottom": "top"}.get(up, "center"),
            weight="bold" if "<b>" in str(texts[i]) else "normal", **PLAIN,
        )  # fmt: skip
        note.set_zorder(order)


def _cell_texts(panel: Panel, trace: Spec, z: np.ndarray, edges: tuple[np.ndarray, np.ndarray], order: float) -> None:
    """Write what ``texttemplate`` says into every cell: its text, or its value."""
    template = str(trace.get("texttemplate") or "")
    if not template:
        return
    font = trace.get("textfont") or {}
    texts = trace.get("text")
    low, high = limits_of(trace, z)
    colours = colours_at(z, trace, low, high)
    x, y = ((e[:-1] + e[1:]) / 2 for e in edges)
    for i, j in np.argwhere(np.isfinite(z)):
        if "%{text}" in template:
            text = str(list(texts)[i][j]) if texts is not None else ""
        else:
            found = template.partition("%{z:")[2].partition("}")[0].lstrip("+")
            text = format(z[i, j], found or "g").replace("-", "−")
        if text:
            dark = float(colours[i, j, :3] @ (0.299, 0.587, 0.114)) < 0.55
            panel.axes.text(
                x[j], y[i], plain_text(text), fontsize=float(font.get("size", 12)), ha="center", va="center",
                color=rgba_of(font.get("color")) or ("#FFFFFF" if dark else "#111111"), zorder=order, **PLAIN,
            )  # fmt: skip


def numbered(spec: Spec) -> list[Spec]:
    """Return the traces that are shown, each knowing its place for plotly's own colours."""
    return [{**trace, "_place": i} for i, trace in enumerate(traces_of(spec))]

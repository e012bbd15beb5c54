"""What stands upon a plotly figure beside its data, drawn with matplotlib: text, notes with leads, shapes.

Places are in pixels from the top left, as plotly counts them; a pixel is a point on paper.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.figures.plotly_axes import Axis, as_number, plain_text
from braindash.figures.plotly_spec import Spec, rgba_of
from braindash.figures.plotly_traces import PLAIN, as_opacity, dash_of
from braindash.figures.style import FONT_SIZE, Theme

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEADING = 1.3  # from line to line


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels from the top left."""

    left: float
    top: float
    width: float
    height: float

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height


@dataclass(frozen=True)
class Run:
    """A piece of one line in one style."""

    text: str
    size: float
    colour: Any
    bold: bool = False
    italic: bool = False


@dataclass
class Sheet:
    """A figure that is being drawn: its size, the box of all plots, and where an axis's values lie."""

    figure: Figure
    width: float
    height: float
    plot: Box
    theme: Theme
    layout: Spec
    axes: dict[str, Axis]
    boxes: dict[str, Box]  # of single axes, by key

    def place(self, value: Any, ref: str, across: bool) -> float:
        """Return a coordinate in pixels from the left or the top; NaN where it lies nowhere."""
        if ref in ("paper", "container"):
            box = self.plot if ref == "paper" else Box(0, 0, self.width, self.height)
            share = as_number(value)
        else:
            key, _, domain = ref.partition(" ")
            axis, box = self.axes.get(key), self.boxes.get(key, self.plot)
            if axis is None:
                return float("nan")
            if domain:
                share = as_number(value)
            else:
                at = float(axis.numbers([value])[0])
                share = (at - axis.low) / (axis.high - axis.low)
        return box.left + share * box.width if across else box.bottom - share * box.height


# --- text -----------------------------------------------------------------------------------------


def text_width(text: str, size: float, bold: bool = False) -> float:
    """Return the width of one line in pixels."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    prop = FontProperties(family="DejaVu Sans", weight="bold" if bold else "normal", size=size)
    return float(text_to_path.get_text_width_height_descent(text, prop, ismath=False)[0])


def rich_lines(text: Any, size: float, colour: Any) -> list[list[Run]]:
    """Return plotly's markup (br, b, i, span with a size or colour) as lines of runs."""
    lines: list[list[Run]] = [[]]
    styles = [Run("", size, colour)]
    for token in re.split(r"(<[^<>]+>)", str(text)):
        if not re.fullmatch(r"</?[a-zA-Z][^<>]*>", token):
            if token:
                lines[-1].append(replace(styles[-1], text=plain_text(token)))
            continue
        name = token.strip("</> ").split()[0].rstrip("/").lower()
        if name == "br":
            lines.append([])
        elif token.startswith("</"):
            if len(styles) > 1:
                styles.pop()
        else:
            styles.append(_styled(styles[-1], name, token))
    return lines


def _styled(now: Run, name: str, token: str) -> Run:
    if name in ("b", "strong"):
        return replace(now, bold=True)
    if name in ("i", "em"):
        return replace(now, italic=True)
    size = re.search(r"font-size:\s*([\d.]+)px", token)
    ink = re.search(r"(?<!-)color:\s*(#[0-9a-fA-F]{6}|rgba?\([^)]*\))", token)
    return replace(
        now, size=float(size.group(1)) if size else now.size, colour=rgba_of(ink.group(1)) if ink else now.colour
    )


def draw_text(
    sheet: Sheet,
    text: Any,
    x: float,
    y: float,
    *,
    size: float,
    colour: Any,
    xanchor: str = "center",
    yanchor: str = "middle",
    align: str = "center",
    angle: float = 0.0,
    back: Any = None,
    zorder: float = 6.0,
) -> None:
    """Write lines of text with their anchor at a place; ``angle`` turns clockwise, as in plotly."""
    lines = rich_lines(text, size, colour)
    heights = [max((r.size for r in line), default=size) * LEADING for line in lines]
    widths = [sum(text_width(r.text, r.size, r.bold) for r in line) for line in lines]
    wide, tall = max(widths, default=0.0), sum(heights)
    left = x - {"left": 0.0, "right": 1.0}.get(xanchor, 0.5) * wide
    left = min(max(left, 3.0), max(sheet.width - wide - 3.0, 3.0))  # nothing is cut at the edge
    top = y - {"top": 0.0, "bottom": 1.0}.get(yanchor, 0.5) * tall
    if angle:
        plain = plain_text(text)
        sheet.figure.text(
            x / sheet.width, 1 - y / sheet.height, plain, fontsize=size, color=colour, rotation=-angle,
            ha="center", va="center", zorder=zorder, rotation_mode="anchor", **PLAIN,
        )  # fmt: skip
        return
    if back is not None:
        patch_at(sheet, Box(left - 2, top, wide + 4, tall), zorder=zorder - 0.1, facecolor=back, linewidth=0)
    for line, high, width in zip(lines, heights, widths, strict=True):
        at = left + {"left": 0.0, "right": 1.0}.get(align, 0.5) * (wide - width)
        for run in line:
            sheet.figure.text(
                at / sheet.width, 1 - (top + 0.76 * high) / sheet.height, run.text, fontsize=run.size,
                color=run.colour, weight="bold" if run.bold else "normal", ha="left", va="baseline",
                style="italic" if run.italic else "normal", zorder=zorder, **PLAIN,
            )  # fmt: skip
            at += text_width(run.text, run.size, run.bold)
        top += high


# --- notes and shapes -----------------------------------------------------------------------------


def draw_notes(sheet: Sheet) -> None:
    """Draw the layout's annotations, with leads to what they name."""
    for note in sheet.layout.get("annotations", ()):
        if note.get("visible", True) is False:
            continue
        x = sheet.place(note.get("x", 0), str(note.get("xref", "x")), True) + float(note.get("xshift") or 0)
        y = sheet.place(note.get("y", 0), str(note.get("yref", "y")), False) - float(note.get("yshift") or 0)
        if not (np.isfinite(x) and np.isfinite(y)):
            continue
        font = note.get("font") or {}
        colour = rgba_of(font.get("color")) or sheet.theme.text
        size = float(font.get("size") or FONT_SIZE)
        xanchor, yanchor = str(note.get("xanchor", "auto")), str(note.get("yanchor", "auto"))
        if note.get("showarrow", True):
            begin = (x + as_number(note.get("ax", -10)), y + as_number(note.get("ay", -30)))
            _lead(sheet, note, begin, (x, y))
            x, y = begin
        else:
            xanchor = _automatic(xanchor, note.get("x"), note.get("xref"), ("left", "center", "right"))
            yanchor = _automatic(yanchor, note.get("y"), note.get("yref"), ("bottom", "middle", "top"))
        draw_text(
            sheet, note.get("text", ""), x, y, size=size, colour=colour, align=str(note.get("align", "center")),
            xanchor="center" if xanchor == "auto" else xanchor, yanchor="middle" if yanchor == "auto" else yanchor,
            angle=float(note.get("textangle") or 0), back=rgba_of(note.get("bgcolor")),
        )  # fmt: skip


def _automatic(anchor: str, at: Any, ref: Any, ends: tuple[str, str, str]) -> str:
    """Return the side that plotly takes where none is set: the nearer end, of places on the paper."""
    if anchor != "auto":
        return anchor
    if ref != "paper" and not str(ref).endswith("domain"):
        return ends[1]
    share = as_number(at)
    return ends[0] if share < 1 / 3 else ends[2] if share > 2 / 3 else ends[1]


def _lead(sheet: Sheet, note: Spec, begin: tuple[float, float], end: tuple[float, float]) -> None:
    from matplotlib.patches import FancyArrowPatch

    style = "-" if note.get("arrowhead", 1) == 0 else "->"
    sheet.figure.add_artist(
        FancyArrowPatch(
            (begin[0], sheet.height - begin[1]), (end[0], sheet.height - end[1]), transform=pixels(sheet),
            arrowstyle=style, shrinkA=2, shrinkB=float(note.get("standoff") or 0), zorder=5.5, mutation_scale=10,
            linewidth=float(note.get("arrowwidth") or 1), color=rgba_of(note.get("arrowcolor")) or sheet.theme.muted,
        )
    )  # fmt: skip


def draw_shapes(sheet: Sheet) -> None:
    """Draw the layout's lines, rectangles and ellipses, clipped to the axes that both their coordinates follow."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Ellipse
    from matplotlib.transforms import Bbox, TransformedBbox

    for shape in sheet.layout.get("shapes", ()):
        if shape.get("visible", True) is False:
            continue
        ends = {}
        for d in ("x", "y"):
            ref = str(shape.get(f"{d}ref", d))
            if shape.get(f"{d}sizemode") == "pixel":
                base = sheet.place(shape.get(f"{d}anchor", 0), ref, d == "x")
                sign = 1 if d == "x" else -1
                ends[d] = [base + sign * as_number(shape.get(f"{d}{i}")) for i in (0, 1)]
            else:
                ends[d] = [sheet.place(shape.get(f"{d}{i}"), ref, d == "x") for i in (0, 1)]
        if not np.isfinite([*ends["x"], *ends["y"]]).all():
            continue
        line = shape.get("line") or {}
        width = float(line.get("width", 2))
        edge = _faded(rgba_of(line.get("color")) or rgba_of(sheet.theme.text), shape)
        look: dict[str, Any] = {
            "zorder": -1.0 if shape.get("layer") == "below" else 4.0,
        }
        (x0, x1), (y0, y1) = ends["x"], ends["y"]
        if shape.get("type") == "line":
            drawn: Any = Line2D(
                [x0, x1], [sheet.height - y0, sheet.height - y1], color=edge, linewidth=width, linestyle=dash_of(line),
                transform=pixels(sheet), **look,
            )  # fmt: skip
            sheet.figure.add_artist(drawn)
        else:
            fill = _faded(rgba_of(shape.get("fillcolor")), shape)
            look |= {"facecolor": fill or "none", "edgecolor": edge if width else "none", "linewidth": width}
            if shape.get("type") == "circle":
                drawn = Ellipse(((x0 + x1) / 2, sheet.height - (y0 + y1) / 2), abs(x1 - x0), abs(y1 - y0),
                                transform=pixels(sheet), **look)  # fmt: skip
                sheet.figure.add_artist(drawn)
            else:
                box = Box(min(x0, x1), min(y0, y1), abs(x1 - x0), abs(y1 - y0))
                drawn = patch_at(sheet, box, **look)
        keys = [str(shape.get(f"{d}ref", d)) for d in ("x", "y")]
        if all(k in sheet.boxes for k in keys) and shape.get("xsizemode") != "pixel":
            across, up = (sheet.boxes[k] for k in keys)
            room = width if shape.get("type") == "rect" else 0.0  # a frame at the edge is seen as a whole
            clip = Bbox.from_bounds(across.left - room, sheet.height - up.bottom - room,
                                    across.width + 2 * room, up.height + 2 * room)  # fmt: skip
            drawn.set_clip_box(TransformedBbox(clip, pixels(sheet)))
            drawn.set_clip_on(True)


def _faded(colour: Any, shape: Spec) -> Any:
    """Return a colour with the opacity of its shape."""
    return colour and (*colour[:3], colour[3] * as_opacity(shape.get("opacity")))


# --- pieces ---------------------------------------------------------------------------------------


def pixels(sheet: Sheet) -> Any:
    """Return the transform from pixels, upwards from the bottom left."""
    from matplotlib.transforms import Affine2D

    return Affine2D().scale(1 / 72) + sheet.figure.dpi_scale_trans


def patch_at(sheet: Sheet, box: Box, **look: Any) -> Any:
    from matplotlib.patches import Rectangle

    patch = Rectangle((box.left, sheet.height - box.bottom), box.width, box.height, transform=pixels(sheet), **look)
    sheet.figure.add_artist(patch)
    return patch


AROUND: tuple[Callable[[Sheet], None], ...] = (draw_shapes, draw_notes)

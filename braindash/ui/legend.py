"""The legend that several panels share, as part of the page: it wraps where the page is narrow and leaves no gap."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, pi, sin
from typing import TYPE_CHECKING

import streamlit as st

from braindash.figures.style import band_opacity, model_style
from braindash.ui.text import escape

if TYPE_CHECKING:
    from braindash.figures.style import ThemeName

KEY = "panels_legend"
_WIDE, _HIGH = 30, 14  # px of an entry's picture
_DASHES = {"solid": "", "dash": "7 4", "dot": "2 3", "dashdot": "7 3 2 3", "longdash": "11 4"}


@dataclass(frozen=True)
class Entry:
    """One entry: a line as plotly draws it, with or without a mark and a band of intervals (its opacity)."""

    title: str
    color: str
    width: float = 1.6
    dash: str = "solid"
    symbol: str = ""
    size: float = 6
    band: float = 0.0


def of_model(name: str, theme: ThemeName, *, with_band: bool = False) -> Entry:
    """Return the entry of a model as it is drawn in curves."""
    style = model_style(name)
    band = band_opacity(style) if with_band else 0.0
    return Entry(style.title, style.color(theme), style.width, style.dash, style.symbol, style.size, band)


def draw(entries: Iterable[Entry]) -> None:
    """Draw the entries in a row that wraps between them; a screen reader reads their titles."""
    with st.container(key=KEY, horizontal=True, gap="small"):
        for entry in entries:
            st.markdown(f"![Line of]({_picture(entry)})\u00a0{escape(html.unescape(entry.title))}", width="content")


def _picture(entry: Entry) -> str:
    """Return the address of an entry's picture, which holds all of it: Markdown takes pictures and no drawings."""
    x, y = _WIDE / 2, _HIGH / 2
    parts = []
    if entry.band:
        parts.append(f'<rect width="{_WIDE}" height="{_HIGH}" fill="{entry.color}" fill-opacity="{entry.band:g}"/>')
    dashes = f' stroke-dasharray="{_DASHES[entry.dash]}"' if _DASHES[entry.dash] else ""
    stroke = f'stroke="{entry.color}" stroke-width="{entry.width:g}"{dashes}'
    parts.append(f'<line x1="0" y1="{y:g}" x2="{_WIDE}" y2="{y:g}" {stroke}/>')
    if entry.symbol:
        corners = " ".join(f"{x + u:.2f},{y + v:.2f}" for u, v in corners_of(entry.symbol, entry.size / 2))
        parts.append(f'<polygon points="{corners}" fill="{entry.color}"/>')
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDE}" height="{_HIGH}" viewBox="0 0 {_WIDE} {_HIGH}">'
        f"{''.join(parts)}</svg>"
    )
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def corners_of(symbol: str, r: float) -> list[tuple[float, float]]:
    """Return the corners of a mark of plotly's name around (0, 0), y downwards, for a mark of 2 ``r`` across."""
    regular = {"circle": (24, 0.0, 1.0), "hexagon": (6, 0.5, 1.0), "diamond": (4, 0.0, 1.3),
               "triangle-up": (3, 0.0, 1.25), "triangle-down": (3, 0.5, 1.25), "square": (4, 0.5, 2**0.5)}  # fmt: skip
    if symbol in regular:
        n, turn, grown = regular[symbol]
        return [_at(grown * r, (k + turn) / n) for k in range(n)]
    if symbol == "star":
        return [_at(1.4 * r if k % 2 == 0 else 0.55 * r, k / 10) for k in range(10)]
    turn = 0.125 if symbol == "x" else 0.0
    arm, inner = 1.15 * r, 0.4 * r
    out = []
    for k in range(4):  # the two outer corners of an arm, and the inner one after it
        for u, v in ((-inner, -arm), (inner, -arm), (inner, -inner)):
            angle = 2 * pi * (k / 4 + turn)
            out.append((u * cos(angle) - v * sin(angle), u * sin(angle) + v * cos(angle)))
    return out


def _at(r: float, turns: float) -> tuple[float, float]:
    """Return a place ``turns`` of a whole turn clockwise from straight up."""
    return r * sin(2 * pi * turns), -r * cos(2 * pi * turns)

"""A plotly figure as plain data that can be kept in a file: what is seen of it, without what a cursor would say."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.figures.style import MODEL_STYLE, THEMES, ThemeName, theme_of

if TYPE_CHECKING:
    import plotly.graph_objects as go

Spec = dict[str, Any]
_NOT_SEEN = frozenset(
    ("customdata", "hovertext", "hovertemplate", "hoverinfo", "hoverlabel", "hoverongaps", "selected", "unselected",
     "uid", "template", "hovermode", "hoverdistance", "clickmode", "dragmode", "selectedpoints", "uirevision")
)  # fmt: skip
_CLEAR = re.compile(r"rgba\(.*,\s*0(\.0*)?\)$")
_RGBA = re.compile(r"rgba?\(\s*([\d.]+)\s*,\s*([\d.]+)\s*,\s*([\d.]+)\s*(?:,\s*([\d.]+)\s*)?\)$")
_HEX = re.compile(r"#[0-9a-fA-F]{6}$")
_INKS = ("#ffffff", "#111111", "#000000")  # of letters on coloured cells, and of frames: the same on every page
_LEAST_CONTRAST = 2.2  # of a line against the page; what is below is moved away from it


def figure_spec(figure: go.Figure) -> Spec:
    """Return a figure as JSON would hold it, without hover texts, the template and points that cannot be seen."""
    whole = json.loads(str(figure.to_json()))
    traces = [_seen(t) for t in whole.get("data", ()) if not _invisible(t)]
    return {"data": traces, "layout": _seen(whole.get("layout", {}))}


def decoded(node: Any) -> Any:
    """Return a spec in which arrays that plotly packed into text are numpy arrays."""
    if isinstance(node, Mapping):
        if "bdata" in node and "dtype" in node:
            values = np.frombuffer(base64.b64decode(node["bdata"]), np.dtype(str(node["dtype"])).newbyteorder("<"))
            shape = str(node.get("shape", "")).replace(",", " ").split()
            return values.reshape([int(n) for n in shape]) if shape else values
        return {k: decoded(v) for k, v in node.items()}
    if isinstance(node, list) and any(isinstance(v, Mapping | list) for v in node):
        return [decoded(v) for v in node]
    return node


def recoloured(spec: Spec, begin: ThemeName, end: ThemeName) -> Spec:
    """Return a spec that was drawn for one theme in the colours of the other.

    Colours of models and of everything that is not data have their counterparts; other lines and marks that would
    not stand out from the page are moved away from it. Colour scales stay what they are.
    """
    if begin == end:
        return spec
    changed: Spec = _recolour(spec, (), _counterparts(begin, end), theme_of(end).page, theme_of(end).text)
    return changed


def _seen(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _seen(v) for k, v in node.items() if k not in _NOT_SEEN}
    return node


def _invisible(trace: Mapping[str, Any]) -> bool:
    """Say whether a trace is there for clicks alone: markers in a colour without any opacity, and without an edge."""
    marker = trace.get("marker") or {}
    colour = marker.get("color")
    clear = isinstance(colour, str) and bool(_CLEAR.match(colour))
    return trace.get("mode") == "markers" and clear and not (marker.get("line") or {}).get("width")


def _counterparts(begin: ThemeName, end: ThemeName) -> dict[str, str]:
    from braindash.figures.lags import _COLOURS
    from braindash.figures.run_curves import RUN_STYLES
    from braindash.figures.style import _SPARE

    pairs: list[tuple[str, str]] = list(_SPARE)
    pairs += list(zip(_COLOURS["light"], _COLOURS["dark"], strict=True))
    pairs += [(r.light, r.dark) for r in RUN_STYLES]
    pairs += [(s.light, s.dark) for s in MODEL_STYLE.values()]
    light, dark = THEMES["light"], THEMES["dark"]
    pairs += [(getattr(light, k), getattr(dark, k)) for k in ("text", "muted", "grid", "page")]
    if begin == "dark":
        pairs = [(d, li) for li, d in pairs]
    return {one.lower(): other for one, other in pairs}


def _recolour(node: Any, path: tuple[str, ...], known: Mapping[str, str], page: str, text: str) -> Any:
    if isinstance(node, Mapping):
        return {k: _recolour(v, (*path, k), known, page, text) for k, v in node.items()}
    if path and path[-1] in ("colorscale", "text", "ticktext", "x", "y", "z", "name"):
        return _inline(node, known) if path[-1] == "text" else node
    if isinstance(node, list):
        return [_recolour(v, path, known, page, text) for v in node]
    if not isinstance(node, str):
        return node
    return _colour(node, path, known, page, text)


def _inline(node: Any, known: Mapping[str, str]) -> Any:
    """Return a text whose own colours (``style='color:#57606A'``) are changed."""
    if isinstance(node, str):
        return re.sub(r"#[0-9a-fA-F]{6}", lambda m: known.get(m.group().lower(), m.group()), node)
    return node


def _colour(value: str, path: tuple[str, ...], known: Mapping[str, str], page: str, text: str) -> str:
    rgba = rgba_of(value)
    if rgba is None:
        return value
    same = "#" + "".join(f"{round(255 * c):02x}" for c in rgba[:3])
    lettering = any(p in ("font", "textfont", "tickfont") for p in path)
    framing = len(path) >= 2 and path[-2:] == ("line", "color") and "shapes" in path
    if same in _INKS and (lettering or framing):
        return value
    if same in known:
        return _with_opacity(known[same], rgba[3])
    if rgba[3] < 0.3 or "shapes" in path or lettering:
        return value
    return _with_opacity(_standing_out(same, page, text), rgba[3])


def _standing_out(colour: str, page: str, text: str) -> str:
    """Return a colour, mixed with the page's text colour until it stands out from the page."""
    one, other = np.array(rgba_of(colour))[:3], np.array(rgba_of(text))[:3]
    for share in np.linspace(0, 0.8, 9):
        mixed = (1 - share) * one + share * other
        if contrast(mixed, np.array(rgba_of(page))[:3]) >= _LEAST_CONTRAST:
            break
    return "#" + "".join(f"{round(255 * c):02x}" for c in mixed)


def contrast(one: np.ndarray, other: np.ndarray) -> float:
    """Return the contrast of two colours, 1 to 21, by WCAG 2's relative luminance; (3,) each, 0 to 1."""
    light = sorted(float(np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))
                   for c in (one, other))  # fmt: skip
    return (light[1] + 0.05) / (light[0] + 0.05)


def rgba_of(value: Any) -> tuple[float, float, float, float] | None:
    """Return a colour as plotly writes it as four numbers from 0 to 1; None for what is no colour."""
    if not isinstance(value, str):
        return None
    text = value.strip()
    if _HEX.match(text):
        r, g, b = (int(text[i : i + 2], 16) / 255 for i in (1, 3, 5))
        return r, g, b, 1.0
    found = _RGBA.match(text)
    if found:
        r, g, b = (min(float(found.group(i)) / 255, 1.0) for i in (1, 2, 3))
        return r, g, b, min(float(found.group(4)), 1.0) if found.group(4) is not None else 1.0
    return _NAMED.get(text.lower())


def _with_opacity(colour: str, opacity: float) -> str:
    if opacity >= 1:
        return colour
    r, g, b = (round(255 * c) for c in (rgba_of(colour) or (0, 0, 0, 1))[:3])
    return f"rgba({r},{g},{b},{opacity:g})"


_NAMED = {
    "black": (0.0, 0.0, 0.0, 1.0), "white": (1.0, 1.0, 1.0, 1.0), "grey": (0.5, 0.5, 0.5, 1.0),
    "gray": (0.5, 0.5, 0.5, 1.0), "red": (1.0, 0.0, 0.0, 1.0), "transparent": (0.0, 0.0, 0.0, 0.0),
}  # fmt: skip


def traces_of(spec: Spec) -> Iterator[Spec]:
    """Yield the traces that are shown."""
    for trace in spec.get("data", ()):
        if trace.get("visible", True) is True:
            yield trace

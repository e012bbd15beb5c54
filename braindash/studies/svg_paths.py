"""SVG path data, basic shapes and transforms as polygons and matrices.

Source: W3C SVG 1.1, chapters 7.6 (transforms), 8.3 (path data), 9 (shapes), F.6 (arcs).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

import numpy as np

_NUMBER = re.compile(r"[\s,]*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_FLAG = re.compile(r"[\s,]*([01])")
_COMMAND = re.compile(r"[\s,]*([MmZzLlHhVvCcSsQqTtAa])")
_N_VALUES = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "s": 4, "q": 4, "t": 2, "a": 7, "z": 0}
_STEPS = np.linspace(0, 1, 17)[1:, None]  # points on each curve
_TRANSFORM = re.compile(r"[\s,]*(\w+)\s*\(([^()]*)\)")


class BrokenPathError(ValueError):
    """Path data, a shape or a transform that cannot be read; says why, without a full stop."""


def path_polygons(d: str) -> list[np.ndarray]:
    """Return the closed outlines of path data: (k, 2) float64 each; curves are sampled, open ends joined.

    Raises
    ------
    BrokenPathError
        For anything that is not path data, or encloses nothing.
    """
    outlines: list[np.ndarray] = []
    parts: list[np.ndarray] = []
    pen = start = np.zeros(2)
    control: np.ndarray | None = None  # the last curve's, which S and T mirror
    last = ""

    def finish() -> None:
        if parts and len(outline := np.concatenate(parts)) >= 3:
            outlines.append(outline)
        parts.clear()

    for command, v in _commands(d):
        kind = command.lower()
        origin = pen if command.islower() else np.zeros(2)
        if not last and kind != "m":
            raise BrokenPathError("its path does not begin with a move")
        if kind == "m":
            finish()
            pen = start = origin + v
            parts.append(pen[None])
        elif kind == "z":
            finish()
            pen = start
        else:
            if not parts:
                parts.append(pen[None])
            if kind in "hv":
                axis = "hv".index(kind)
                end = pen.copy()
                end[axis] = origin[axis] + v[0]
                new = end[None]
            elif kind == "l":
                new = (origin + v)[None]
            elif kind == "a":
                new = _arc(pen, v, origin + v[5:])
            else:
                points = [origin + p for p in v.reshape(-1, 2)]
                if kind in "st":
                    mirrored = last in ("cs" if kind == "s" else "qt") and control is not None
                    points.insert(0, 2 * pen - control if mirrored and control is not None else pen)
                control = points[-2]
                new = _bezier(np.array([pen, *points]))
            parts.append(new)
            pen = new[-1]
        last = kind
    finish()
    if not outlines:
        raise BrokenPathError("its path encloses nothing")
    if not all(np.isfinite(o).all() for o in outlines):
        raise BrokenPathError("its path has numbers that are too large")
    return outlines


def shape_path(shape: str, attributes: Mapping[str, str]) -> str:
    """Return an ellipse, circle, rect or polygon as path data. Raises BrokenPathError."""

    def number(name: str) -> float:
        try:
            return float(attributes.get(name, "0").removesuffix("px"))
        except ValueError:
            raise BrokenPathError(f"{name} of its {shape} is no number") from None

    if shape == "polygon":
        return f"M{attributes.get('points', '')}z"
    if shape == "rect":
        return f"M{number('x')},{number('y')}h{number('width')}v{number('height')}h{-number('width')}z"
    rx, ry = (number("r"), number("r")) if shape == "circle" else (number("rx"), number("ry"))
    half = f"a{rx},{ry} 0 1 1"
    return f"M{number('cx') - rx},{number('cy')}{half} {2 * rx},0{half} {-2 * rx},0z"


def transform_matrix(text: str) -> np.ndarray:
    """Return a transform attribute as a (3, 3) matrix of columns (x, y, 1). Raises BrokenPathError."""
    out, at = np.eye(3), 0
    while text[at:].strip(" \t\r\n,"):
        match = _TRANSFORM.match(text, at)
        if match is None:
            raise BrokenPathError(f"its transform {text[:40]!r} cannot be read")
        at = match.end()
        try:
            v = [float(x) for x in re.split(r"[\s,]+", match[2].strip())]
            out = out @ _one_transform(match[1], v)
        except (ValueError, KeyError, IndexError):
            raise BrokenPathError(f"its transform {match[0].strip()[:40]!r} cannot be read") from None
    if not np.isfinite(out).all():
        raise BrokenPathError("its transform has numbers that are too large")
    return out


def _one_transform(name: str, v: list[float]) -> np.ndarray:
    if len(v) not in {"matrix": (6,), "translate": (1, 2), "scale": (1, 2), "rotate": (1, 3)}.get(name, (1,)):
        raise ValueError(name)
    if name == "matrix":
        a, b, c, d, e, f = v
    elif name == "translate":
        a, b, c, d, e, f = 1, 0, 0, 1, v[0], v[1] if len(v) > 1 else 0
    elif name == "scale":
        a, b, c, d, e, f = v[0], 0, 0, v[-1], 0, 0
    elif name == "rotate":
        sin, cos = np.sin(np.radians(v[0])), np.cos(np.radians(v[0]))
        x, y = v[1:] if len(v) > 1 else (0.0, 0.0)
        a, b, c, d, e, f = cos, sin, -sin, cos, x - cos * x + sin * y, y - sin * x - cos * y
    else:
        skew = float(np.tan(np.radians(v[0])))
        b, c = {"skewX": (0.0, skew), "skewY": (skew, 0.0)}[name]
        a, d, e, f = 1, 1, 0, 0
    return np.array([[a, c, e], [b, d, f], [0, 0, 1]], dtype=np.float64)


def _commands(d: str) -> list[tuple[str, np.ndarray]]:
    """Split path data into commands with one set of values each; a repeated move is a line."""
    out: list[tuple[str, np.ndarray]] = []
    at, command = 0, ""
    d = d.rstrip(" \t\r\n,")
    while at < len(d):
        match = _COMMAND.match(d, at)
        if match:
            command, at = match[1], match.end()
        elif command in ("", "z", "Z"):
            raise BrokenPathError(f"its path has {d[at : at + 20]!r} where a command should be")
        elif command in "mM":
            command = "l" if command == "m" else "L"
        values = []
        for k in range(_N_VALUES[command.lower()]):
            number = (_FLAG if command in "aA" and k in (3, 4) else _NUMBER).match(d, at)
            if number is None:
                raise BrokenPathError(f"its path has {d[at : at + 20]!r} where a number should be")
            values.append(float(number[1]))
            at = number.end()
        out.append((command, np.array(values)))
    return out


def _bezier(points: np.ndarray) -> np.ndarray:
    """Sample a curve of 3 or 4 control points without its first: (16, 2). De Casteljau."""
    level = [np.broadcast_to(p, (len(_STEPS), 2)) for p in points]
    while len(level) > 1:
        level = [a + _STEPS * (b - a) for a, b in itertools.pairwise(level)]
    return level[0]


def _arc(pen: np.ndarray, v: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Sample an elliptical arc without its first point, by F.6.5 and F.6.6."""
    rx, ry = abs(v[0]), abs(v[1])
    if rx == 0 or ry == 0 or np.array_equal(pen, end):
        return end[None]
    angle = np.radians(v[2])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    half = turn @ (pen - end) / 2
    grow = np.hypot(*(half / (rx, ry)))
    if grow > 1:
        rx, ry = rx * grow, ry * grow
    radii = np.array([rx, ry])
    u = half / radii  # on the unit circle half a chord
    along = float(u @ u)
    if not 0 < along < np.inf:
        raise BrokenPathError("its path has an arc that cannot be drawn")
    distance = np.sqrt(max(0.0, 1 / along - 1)) * (-1 if v[3] == v[4] else 1)
    centre = distance * np.array([u[1], -u[0]])
    first = np.arctan2(*(u - centre)[::-1])
    sweep = np.arctan2(*(-u - centre)[::-1]) - first
    if v[4] and sweep < 0:
        sweep += 2 * np.pi
    elif not v[4] and sweep > 0:
        sweep -= 2 * np.pi
    at = first + sweep * np.linspace(0, 1, 33)[1:]
    unit = np.column_stack([np.cos(at), np.sin(at)]) + centre
    arc = (unit * radii) @ turn + (pen + end) / 2
    arc[-1] = end
    return np.asarray(arc)

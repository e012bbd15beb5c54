"""An ``overlays.svg`` of the square sheets of cortex_samples, in the structure that pycortex writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from cortex_samples import SIDE, SPACING, sheet

WIDE, HIGH = 2 * (SIDE - 1) * SPACING, (SIDE - 1) * SPACING  # mm of both sheets, pushed together at x = 0
SCALE = 1024 / HIGH  # pycortex draws 1024 units high


def flat() -> tuple[np.ndarray, np.ndarray]:
    """Both sheets side by side as pycortex nudges them: points (450, 2) mm with x from −56 to 56, triangles."""
    (left, a), (right, b) = sheet("lh"), sheet("rh")
    left, right = left[:, :2].copy(), right[:, :2].copy()
    left[:, 0] -= left[:, 0].max()
    right[:, 0] -= right[:, 0].min()
    return np.vstack([left, right]), np.vstack([a, b + len(left)])


def units(x: float, y: float) -> tuple[float, float]:
    """Turn mm into the drawing's units, y downwards."""
    return (x + WIDE / 2) * SCALE, (HIGH - y) * SCALE


def ellipse_path(x: float, y: float, rx: float, ry: float) -> str:
    """An ellipse in mm as four absolute Bézier curves, as Inkscape's pen leaves it."""
    k = 0.5522847498
    cx, cy = units(x, y)
    a, b = rx * SCALE, ry * SCALE
    curves = [
        (a, k * b, k * a, b, 0, b), (-k * a, b, -a, k * b, -a, 0),
        (-a, -k * b, -k * a, -b, 0, -b), (k * a, -b, a, -k * b, a, 0),
    ]  # fmt: skip
    said = [" ".join(f"{cx + c[i]:.4f},{cy + c[i + 1]:.4f}" for i in (0, 2, 4)) for c in curves]
    return f"M {cx + a:.4f},{cy:.4f} C " + " C ".join(said) + " z"


def overlays_svg(
    regions: Mapping[str, Sequence[str]], *, head: str = "", size: str = 'width="{w}" height="{h}"', rois: str = ""
) -> str:
    """Return a file: regions are names → elements (``<path …/>``); ``rois`` are attributes of that layer."""
    layer = 'inkscape:groupmode="layer" style="display:inline"'
    groups = "".join(
        f'<g inkscape:label="{name}" {layer} id="r{i}">{"".join(shapes)}</g>'
        for i, (name, shapes) in enumerate(regions.items())
    )
    w, h = WIDE * SCALE, HIGH * SCALE
    return (
        '<?xml version="1.0" encoding="UTF-8" standalone="no"?>\n'
        f'{head}<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        'xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" '
        f'{size.format(w=w, h=h)} id="svg2" version="1.1">'
        f'<defs id="d"><clipPath id="edgeclip"><path id="clippath" d="M0 0 L9 0 L9 9Z"/></clipPath></defs>'
        f'<g inkscape:label="data" {layer} id="data"><g inkscape:label="img" id="img"><image id="i" x="0" y="0" '
        'xlink:href="data:image/png;base64,AAAA"/></g></g>'
        f'<g inkscape:label="sulci" {layer} id="sulci"><g inkscape:label="shapes" id="sulci_shapes">'
        f'<g inkscape:label="CeS" id="ces"><path d="M 0,0 L 9,9"/></g></g><g inkscape:label="labels" id="sl"/></g>'
        f'<g inkscape:label="rois" {layer} id="rois" {rois}><g inkscape:label="shapes" {layer} id="rois_shapes" '
        f'clip-path="url(#edgeclip)" transform="translate(0,0)">{groups}</g>'
        f'<g inkscape:label="labels" {layer} id="rois_labels"><text x="3" y="4">AC</text></g></g></svg>'
    )


def in_ellipse(x: float, y: float, rx: float, ry: float) -> np.ndarray:
    """Which of the sheets' points lie in an ellipse in mm: (450,) bool."""
    points, _ = flat()
    return np.asarray(((points[:, 0] - x) / rx) ** 2 + ((points[:, 1] - y) / ry) ** 2 < 1)


AC_LEFT, AC_RIGHT, BROCA = (-30.0, 30.0, 13.0, 10.5), (24.0, 18.0, 9.5, 14.5), (-46.0, 9.0, 7.5, 6.5)
TRUTH = {"AC": in_ellipse(*AC_LEFT) | in_ellipse(*AC_RIGHT), "Broca": in_ellipse(*BROCA)}


def write_drawing(folder: Path) -> Path:
    """Write AC, an ellipse in each hemisphere, and Broca, dragged to its place, for a subject's folder."""
    x, y, rx, ry = BROCA
    dragged = f'<path d="{ellipse_path(x - 20, y, rx, ry)}" transform="translate({20 * SCALE},0)"/>'
    both = [f'<path d="{ellipse_path(*at)}" style="fill:none"/>' for at in (AC_LEFT, AC_RIGHT)]
    file = folder / "overlays.svg"
    file.write_text(overlays_svg({"AC": both, "Broca": [dragged]}))
    return file

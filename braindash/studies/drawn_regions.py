"""Regions of interest drawn by hand on a subject's flattened cortex: pycortex's ``overlays.svg``.

The file is an SVG as Inkscape writes it: a layer "rois", in it a layer
"shapes", in it a group a region, whose label is the region's name and whose
paths enclose it. The picture spans the bounding box of the flat surface, both
hemispheres side by side, with y downwards.

Files come from other people: XML entities are refused, sizes are bounded, and a
region whose path cannot be read is left out and named. pycortex itself ignores
``transform`` attributes, which Inkscape writes when a shape is dragged; here
they are applied.

Sources: pycortex ``svgoverlay.py`` (structure, orientation); W3C SVG 1.1,
chapters 7.6 and 8.3 (transforms, path data) and appendix F.6 (arcs).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from xml.parsers import expat

import numpy as np

from braindash.errors import BraindashError
from braindash.studies.files import require_file
from braindash.studies.svg_paths import BrokenPathError, path_polygons, shape_path, transform_matrix

_SVG = "http://www.w3.org/2000/svg "
_LABEL = "http://www.inkscape.org/namespaces/inkscape label"
_SHAPES = ("path", "ellipse", "circle", "rect", "polygon")
_MAX_BYTES = 256 * 2**20  # the pictures that pycortex embeds to draw on are some megabytes
_MAX_REGIONS = 1000
_MAX_NAME = 60  # characters
_MAX_PATH = 2 * 2**20  # characters of all path data in the layer; a full one has some 100,000
_MAX_TESTS = 10**10  # corners times surface points; full drawings need some 10⁹


@dataclass(frozen=True, eq=False)
class Drawing:
    """What an ``overlays.svg`` holds.

    Attributes
    ----------
    regions : dict
        Name → closed polygons, each (k, 2) float64 in [0, 1] of the picture's width and height, y downwards.
    problems : tuple of str
        Regions that were left out, and why.
    """

    regions: dict[str, tuple[np.ndarray, ...]]
    problems: tuple[str, ...]

    def inside(self, points: np.ndarray, triangles: np.ndarray) -> dict[str, np.ndarray]:
        """Return which points of a flat surface lie in each region; regions without a point are left out.

        Parameters
        ----------
        points : (n_vertices, 2) float
            Both hemispheres side by side, as pycortex nudges them apart.
        triangles : (m, 3) int
            Points of no triangle (medial wall, cuts) lie in no region.

        Returns
        -------
        dict of (n_vertices,) bool arrays, read-only.

        Raises
        ------
        BraindashError
            The paths have so many corners that it would take minutes.
        """
        from matplotlib.path import Path as Polygon

        at = np.asarray(points, dtype=np.float64)[:, :2]
        low = at.min(axis=0)
        at = (at - low) / np.maximum(at.max(axis=0) - low, 1e-12)
        at[:, 1] = 1 - at[:, 1]
        flat = np.unique(triangles)
        at = at[flat]
        found = {}
        n_tests = 0
        for name, polygons in self.regions.items():
            mask = np.zeros(len(points), dtype=bool)
            for polygon in polygons:
                near = np.flatnonzero(((at >= polygon.min(axis=0)) & (at <= polygon.max(axis=0))).all(axis=1))
                n_tests += len(polygon) * near.size
                if n_tests > _MAX_TESTS:
                    raise BraindashError(
                        f"The drawn regions have too many corners (region {name!r}: {len(polygon):,} in one outline).",
                        "Simplify the paths of overlays.svg in Inkscape.",
                    )
                if near.size:
                    mask[flat[near[Polygon(polygon).contains_points(at[near])]]] = True
            if mask.any():
                mask.setflags(write=False)
                found[name] = mask
        return found


def read_drawing(file: Path) -> Drawing:
    """Read the regions of an ``overlays.svg``; kept in memory until the file changes.

    Raises
    ------
    NotDownloadedError
        The file is a git-annex link or pointer.
    BraindashError
        Missing, too large, no XML, or no SVG with a size; or it declares XML entities.
    """
    stat = require_file(file, "drawing of regions").stat()
    if stat.st_size > _MAX_BYTES:
        raise BraindashError(
            f"The drawing of regions {file} has {stat.st_size / 2**20:,.0f} MiB, more than {_MAX_BYTES // 2**20}.",
            "Delete the embedded pictures (layer 'data') from it.",
        )
    return _read(file, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _read(file: Path, size: int, time: int) -> Drawing:
    reader = _Reader(file)
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.EntityDeclHandler = reader.refuse_entity
    try:
        with file.open("rb") as opened:
            parser.ParseFile(opened)
    except (expat.ExpatError, LookupError, ValueError) as error:  # the others: its encoding
        raise BraindashError(f"The drawing of regions {file} is not XML ({error}).", "Download it again.") from None
    except OSError as error:
        raise BraindashError(
            f"The drawing of regions {file} cannot be read ({error}).", "Check the file and its permissions."
        ) from None
    return reader.drawing()


@dataclass
class _Scope:
    """One open element: its label, and how its coordinates become the picture's, or why that is not known."""

    label: str
    matrix: np.ndarray
    problem: str = ""


@dataclass
class _Reader:
    """Collects the paths below rois/shapes while the file streams by."""

    file: Path
    open: list[_Scope] = field(default_factory=list)
    box: tuple[float, float, float, float] | None = None  # x, y, width, height of the picture
    polygons: dict[str, list[np.ndarray]] = field(default_factory=dict)
    problems: dict[str, str] = field(default_factory=dict)
    n_characters: int = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.open:
            self.box = _picture(tag, attributes, self.file)
            self.open.append(_Scope("", np.eye(3)))
            return
        above = self.open[-1]
        label = attributes.get(_LABEL, "") if tag == f"{_SVG}g" else ""
        scope = _Scope(label, above.matrix, above.problem)
        region = self._region(scope)
        in_rois = bool(region) or [s.label for s in [*self.open[1:], scope]] in (["rois"], ["rois", "shapes"])
        if in_rois and "transform" in attributes and not scope.problem:
            try:
                scope.matrix = above.matrix @ transform_matrix(attributes["transform"])
            except BrokenPathError as error:
                scope.problem = str(error)
        self.open.append(scope)
        shape = tag.removeprefix(_SVG)
        if region and shape in _SHAPES:
            self._add(region, shape, attributes, scope)

    def end(self, tag: str) -> None:
        self.open.pop()

    def refuse_entity(self, name: str, *_: object) -> None:
        raise BraindashError(
            f"The drawing of regions {self.file} declares an XML entity ({name[:40]}), which is refused.",
            "Open and save it in Inkscape as plain SVG with layers.",
        )

    def _region(self, scope: _Scope) -> str:
        """Return the region that an element belongs to: the label of the group right below rois/shapes."""
        if len(self.open) < 3 or [s.label for s in self.open[1:3]] != ["rois", "shapes"]:
            return ""
        return (self.open[3] if len(self.open) > 3 else scope).label

    def _add(self, region: str, shape: str, attributes: dict[str, str], scope: _Scope) -> None:
        assert self.box is not None
        if region not in self.polygons and len(self.polygons) >= _MAX_REGIONS:
            raise BraindashError(
                f"The drawing of regions {self.file} has more than {_MAX_REGIONS:,} regions.", "Keep those you need."
            )
        found = self.polygons.setdefault(region, [])
        try:
            if scope.problem:
                raise BrokenPathError(scope.problem)
            d = attributes.get("d", "") if shape == "path" else shape_path(shape, attributes)
            self.n_characters += len(d)
            if self.n_characters > _MAX_PATH:
                raise BraindashError(
                    f"The paths of {self.file} are longer than {_MAX_PATH:,} characters.", "Simplify them in Inkscape."
                )
            x, y, width, height = self.box
            for polygon in path_polygons(d):
                placed = polygon @ scope.matrix[:2, :2].T + scope.matrix[:2, 2]
                if not np.isfinite(placed).all():
                    raise BrokenPathError("it has numbers that are too large")
                found.append((placed - (x, y)) / (width, height))
        except BrokenPathError as error:
            self.problems.setdefault(region, str(error))

    def drawing(self) -> Drawing:
        regions: dict[str, tuple[np.ndarray, ...]] = {}
        for region, polygons in self.polygons.items():
            name = " ".join(region.split())[:_MAX_NAME]
            if name and polygons and region not in self.problems:
                regions[name] = (*regions.get(name, ()), *polygons)
        return Drawing(regions, tuple(f"Region {name[:_MAX_NAME]!r}: {why}." for name, why in self.problems.items()))


def _picture(tag: str, attributes: dict[str, str], file: Path) -> tuple[float, float, float, float]:
    """Return what the picture spans in its own units: its viewBox, else its width and height."""
    if tag != f"{_SVG}svg":
        raise BraindashError(
            f"{file} is no SVG file (it begins with {tag.split(' ')[-1][:40]!r}).", "Download it again."
        )
    try:
        if "viewBox" in attributes:
            x, y, width, height = (float(v) for v in re.split(r"[\s,]+", attributes["viewBox"].strip()))
        else:
            x, y = 0.0, 0.0
            width, height = (float(attributes[k].strip().removesuffix("px")) for k in ("width", "height"))
    except (KeyError, ValueError):
        width = x = y = height = np.nan
    if not (np.isfinite([x, y, width, height]).all() and width > 0 and height > 0):
        raise BraindashError(
            f"The drawing of regions {file} has no width and height in pixels, and no viewBox.",
            "Give it the size that pycortex gave it.",
        )
    return x, y, width, height

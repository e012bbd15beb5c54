"""Region outlines on a flatmap, from label boundaries on the flat mesh.

A boundary runs through the middle of every mesh edge that joins a point inside
the region to one outside, and along the cut edge of the flat surface. Such
polylines lie on the borders of what :class:`~braindash.cortex.flatmap.FlatIndex`
shows, at any resolution, and stay vectors in SVG.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from braindash.cortex.flatmap import FlatIndex, mesh_rim
from braindash.cortex.parcellation import parcel_names, parcel_of_vertex
from braindash.errors import BraindashError, closest

Regions = Mapping[str, "Sequence[str] | np.ndarray"]
_MAIN = {
    "A1": "primary_auditory",
    "Early auditory": "early_auditory",
    "AG": "ag",
    "LTC": "ltc",
    "IFG": "ifg",
    "MFG": "mfg",
}
_SMOOTHING = 2  # passes; the mesh's zigzag goes, the border moves by less than half an edge
_MANY = 24  # regions from which labels are small and stay where their region is
_LABEL_HEIGHT = 1 / 42  # of the picture
_DPI = 100


@dataclass(frozen=True, eq=False)
class Outline:
    """One region on a flatmap, in pixels (column, row) from the top left."""

    label: str
    lines: tuple[np.ndarray, ...]  # each (k, 2); a loop repeats its first point
    anchors: tuple[tuple[float, float], ...]  # where its label is centred, one a hemisphere
    label_height: float  # of its label's letters, in pixels


@dataclass(frozen=True, eq=False)
class Overlay:
    """Outlines and labels as pixels: only those that cover something."""

    at: np.ndarray  # (k,) flat pixel numbers
    colour: np.ndarray  # (k, 3) float32, 0 … 255, multiplied by opacity
    clear: np.ndarray  # (k, 1) float32, 1 − opacity

    def paint(self, image: np.ndarray) -> None:
        """Blend onto an RGBA image of the size it was made for, in place."""
        pixels = image.reshape(-1, 4)
        below = pixels[self.at].astype(np.float32)
        below[:, :3] = below[:, :3] * self.clear + self.colour
        below[:, 3] = 255 - (255 - below[:, 3]) * self.clear[:, 0]
        pixels[self.at] = np.round(below).astype(np.uint8)


def main_regions(space: str = "fs_LR-32k") -> dict[str, tuple[str, ...]]:
    """Return the regions that a flatmap outlines unless told otherwise: label → parcels; none without parcels."""
    if space != "fs_LR-32k":
        return {}
    from braindash.encoding.regions import region_groups

    groups = region_groups()
    return {label: tuple(groups[name]) for label, name in _MAIN.items()}


def region_mask(parcels: Sequence[str] | np.ndarray, space: str, n_vertices: int) -> np.ndarray:
    """Return the surface points of a region: (n_vertices,) bool.

    Parameters
    ----------
    parcels : sequence of parcel names, or (n_vertices,) bool
    space : str
        Only fs_LR-32k has parcels.
    n_vertices : int

    Raises
    ------
    BraindashError
        For an unknown parcel, a space without parcels, or a mask of another length.
    """
    given = np.asarray(parcels)
    if given.dtype == bool:
        if given.shape != (n_vertices,):
            raise BraindashError(
                f"A region's mask has shape {given.shape}; the surface has {n_vertices:,} points.",
                "Give one value a surface point, left hemisphere first.",
            )
        return given
    known = parcel_names()
    labels = parcel_of_vertex(space) if space in ("fs_LR-32k", "fsaverage5") else None
    if labels is None:
        raise BraindashError(
            f"There are no HCP-MMP1 parcels on {space!r}.",
            "Give the region as a mask of surface points, or no outlines.",
        )
    for name in given.tolist():
        if name not in known:
            raise BraindashError(f"There is no HCP-MMP1 parcel {name!r}.", closest(str(name), known))
    return np.isin(labels, given)


def region_lines(
    inside: np.ndarray, points: np.ndarray, triangles: np.ndarray, rim: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return the borders of a region on a flat mesh as polylines.

    Parameters
    ----------
    inside : (n_vertices,) bool
    points : (n_vertices, 2) float
    triangles : (m, 3) int
    rim : (k, 2) int, optional
        The mesh's own border edges, :func:`mesh_rim`, where already known.

    Returns
    -------
    list of (k, 2) arrays; a closed loop repeats its first point at the end.
    """
    rim = mesh_rim(triangles) if rim is None else rim
    member = inside[triangles]
    n_in = member.sum(axis=1)
    crossed = (n_in == 1) | (n_in == 2)
    tri, member = triangles[crossed], member[crossed]
    odd = np.argmax(member == (n_in[crossed] == 1)[:, None], axis=1)  # the corner alone on its side
    rows = np.arange(len(tri))
    corner, first, second = (tri[rows, (odd + k) % 3] for k in range(3))
    # a node is an edge's middle (a, b), or a vertex (a, a); a segment joins two nodes
    across = np.stack([np.column_stack([corner, first]), np.column_stack([corner, second])], axis=1)
    ends = inside[rim]
    whole, part = rim[ends.all(axis=1)], rim[ends[:, 0] ^ ends[:, 1]]
    own = np.where(inside[part[:, 0]], part[:, 0], part[:, 1])
    along = np.stack([np.repeat(whole[:, :1], 2, axis=1), np.repeat(whole[:, 1:], 2, axis=1)], axis=1)
    half = np.stack([np.column_stack([own, own]), part], axis=1)
    nodes = np.sort(np.concatenate([across, along, half]), axis=2).tolist()
    chains = _chains([((a[0], a[1]), (b[0], b[1])) for a, b in nodes])
    return [_smooth(points[np.array(chain)].mean(axis=1)) for chain in chains]


def region_outlines(flat: FlatIndex, space: str, regions: Regions) -> list[Outline]:
    """Return the outlines of regions in a flatmap's pixels, with places for their labels.

    A label goes to the roomiest spot of its region, or beside it where it would hide
    the region or another label.

    Parameters
    ----------
    flat : FlatIndex
    space : str
        "fs_LR-32k", "fsaverage5" or "pycortex"; only the first has parcels.
    regions : mapping from a label to parcel names or a (n_vertices,) bool mask

    Raises
    ------
    BraindashError
        See :func:`region_mask`.
    """
    pixels = flat.to_pixels(flat.flat_points)
    masks = {name: region_mask(parcels, space, flat.n_vertices) for name, parcels in regions.items()}
    letters = flat.shape[0] * _LABEL_HEIGHT * (0.55 if len(masks) > _MANY else 1)
    placed: list[tuple[float, float, float, float]] | None = None if len(masks) > _MANY else []
    step = max(1, flat.shape[0] // 256)
    coarse = flat.pixel_vertex[::step, ::step]
    on_left = np.arange(flat.n_vertices) < flat.n_left
    anchors: dict[str, list[tuple[float, float]]] = {name: [] for name in regions}
    # the smallest region chooses first: it has the least room
    for name in sorted(masks, key=lambda n: int(masks[n].sum())):
        for left in (True, False):
            mask = masks[name] & (on_left == left)
            at = _anchor(name, np.append(mask, False)[coarse], step, flat.shape, letters, placed)
            if at is not None:
                anchors[name].append(at)
    return [
        Outline(name, tuple(region_lines(mask, pixels, flat.triangles, flat.rim)), tuple(anchors[name]), letters)
        for name, mask in masks.items()
    ]


def overlay(flat: FlatIndex, space: str, regions: Regions, labels: bool) -> Overlay:
    """Return outlines and labels as pixels for :meth:`Overlay.paint`; the last few are kept."""
    key = (
        flat.key,
        flat.extent.tobytes(),
        labels,
        tuple((name, hashlib.sha256(np.asarray(p).tobytes()).digest()) for name, p in regions.items()),
    )
    with _kept_lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    made = _draw(flat, region_outlines(flat, space, regions), labels)
    with _kept_lock:
        _kept[key] = made
        while len(_kept) > 12:
            _kept.popitem(last=False)
    return made


_kept: OrderedDict[tuple, Overlay] = OrderedDict()  # a mapping of arrays cannot be an lru_cache's key
_kept_lock = threading.Lock()


def _draw(flat: FlatIndex, outlines: Sequence[Outline], labels: bool) -> Overlay:
    """Rasterise with matplotlib: white lines on a dark casing, readable on any colour."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = flat.shape
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    figure.patch.set_alpha(0)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(-0.5, width - 0.5)
    axes.set_ylim(height - 0.5, -0.5)
    draw_outlines(axes, outlines, labels, height, height / _DPI * 72)
    canvas.draw()
    drawn = np.asarray(canvas.buffer_rgba()).reshape(-1, 4)
    at = np.flatnonzero(drawn[:, 3])
    alpha = drawn[at, 3:].astype(np.float32) / 255
    return Overlay(at, drawn[at, :3] * alpha, 1 - alpha)


def draw_outlines(axes: object, outlines: Sequence[Outline], labels: bool, height: int, unit: float) -> None:
    """Draw outlines and labels as vectors into matplotlib axes whose data units are the flatmap's pixels.

    ``height`` is the picture's height in pixels and ``unit`` that in points: widths and text follow it.
    """
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.patheffects import Normal, Stroke

    assert isinstance(axes, Axes)
    thin = unit / 480
    casing = [Stroke(linewidth=2.6 * thin, foreground="#111111"), Normal()]
    lines = [line for o in outlines for line in o.lines]
    axes.add_collection(LineCollection(lines, colors="white", linewidths=thin, path_effects=casing, capstyle="round"))
    if labels:
        for o in outlines:
            size = o.label_height * unit / height
            around = [Stroke(linewidth=size / 5, foreground="#111111"), Normal()]
            for x, y in o.anchors:
                axes.text(
                    x,
                    y,
                    o.label,
                    color="white",
                    fontsize=size,
                    weight="bold",
                    ha="center",
                    va="center",
                    parse_math=False,  # a name is what someone wrote into a file
                    path_effects=around,
                )


def _anchor(
    name: str,
    region: np.ndarray,
    step: int,
    shape: tuple[int, int],
    letters: float,
    placed: list[tuple[float, float, float, float]] | None,
) -> tuple[float, float] | None:
    """Choose where a region's label goes in one hemisphere and note the box it takes; None if it is not there.

    ``region`` is the region in every ``step``-th pixel of a picture of this shape;
    ``placed`` holds the boxes of the labels so far, None: labels do not give way.
    """
    from scipy.ndimage import distance_transform_edt

    if not region.any():
        return None
    height, width = shape
    rows, columns = (ij * step for ij in np.nonzero(region))
    top, bottom, left, right = rows.min(), rows.max(), columns.min(), columns.max()
    near = (slice(top // step, bottom // step + 1), slice(left // step, right // step + 1))
    depth = distance_transform_edt(np.pad(region[near], 1))
    i, j = np.unravel_index(int(np.argmax(depth)), depth.shape)
    row, column = float(top + (i - 1) * step), float(left + (j - 1) * step)
    if placed is None:
        return column, row
    tall = letters * 1.35
    wide = letters * 0.68 * len(name) + tall * 0.4
    best, cost = (column, row), np.inf
    reach = [(0.0, 0.0)]
    for k in (0.0, 1.0, 2.0):
        reach += [(0.0, (k + 1) * tall), (0.0, -(k + 1) * tall)]
        reach += [(0.0, bottom - row + (k + 0.6) * tall), (0.0, top - row - (k + 0.6) * tall)]
        reach += [(left - column - wide * 0.55, k * tall), (right - column + wide * 0.55, k * tall)]
    for dx, dy in reach:
        x = float(np.clip(column + dx, wide / 2, width - wide / 2))
        y = float(np.clip(row + dy, tall / 2, height - tall / 2))
        box = (x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2)
        overlap = sum(_overlap(box, other) for other in placed) / (wide * tall)
        inside = (np.abs(columns - x) < wide / 2) & (np.abs(rows - y) < tall / 2)
        now = 10 * overlap + 0.3 * inside.mean() + np.hypot(x - column, y - row) / height
        if now < cost:
            best, cost = (x, y), now
    x, y = best
    placed.append((x - wide / 2, y - tall / 2, x + wide / 2, y + tall / 2))
    return best


def _overlap(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Return the area that two boxes (left, top, right, bottom) share."""
    wide, tall = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0.0) * max(tall, 0.0)


def _chains(segments: list[tuple[tuple[int, int], tuple[int, int]]]) -> list[list[tuple[int, int]]]:
    """Join segments that share a node into polylines; every segment is used once."""
    touching: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, (a, b) in enumerate(segments):
        touching[a].append(i)
        touching[b].append(i)
    unused = set(range(len(segments)))
    chains = []
    for start in range(len(segments)):
        if start not in unused:
            continue
        unused.discard(start)
        chain = list(segments[start])
        for _ in range(2):  # grow at the end, turn round, grow at the other
            while True:
                following = next((i for i in touching[chain[-1]] if i in unused), None)
                if following is None:
                    break
                unused.discard(following)
                a, b = segments[following]
                chain.append(b if a == chain[-1] else a)
            chain.reverse()
        chains.append(chain)
    return chains


def _smooth(line: np.ndarray) -> np.ndarray:
    """Average each point with its neighbours; ends of an open line stay."""
    closed = len(line) > 3 and np.array_equal(line[0], line[-1])
    for _ in range(_SMOOTHING if len(line) > 4 else 0):
        if closed:
            ring = line[:-1]
            ring = (np.roll(ring, 1, axis=0) + 2 * ring + np.roll(ring, -1, axis=0)) / 4
            line = np.vstack([ring, ring[:1]])
        else:
            line = np.vstack([line[:1], (line[:-2] + 2 * line[1:-1] + line[2:]) / 4, line[-1:]])
    return line

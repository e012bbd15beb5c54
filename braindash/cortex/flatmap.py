"""Flatmaps by index look-up: which target each pixel shows, found once, drawn many times.

pycortex's pixel mapper says which surface point (or voxel) lies under each
pixel of the flattened cortex. That never changes for a subject, so it is kept
on disk, and a picture is then one small colour table indexed by pixel.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from braindash.config import Home
from braindash.cortex.colour import SEQUENTIAL, colour_values, shared_limits
from braindash.cortex.surfaces import mirror_subject, pycortex, surface_subject
from braindash.errors import BraindashError, NotDownloadedError
from braindash.files import whole_file

if TYPE_CHECKING:
    from braindash.studies.base import CortexMap

HEIGHT = 1024  # px of the stored map; a page asks for less
PAGE_HEIGHT = 640  # px of what a page draws its maps with, whatever their size there
_FORMAT = "1"  # of the stored maps; another number computes them anew
_SULCUS, _GYRUS = 150, 205  # grey levels of the underlay


@dataclass(frozen=True, eq=False)
class FlatIndex:
    """What lies under each pixel of a subject's flattened cortex, left hemisphere on the left.

    Attributes
    ----------
    key : str
        Names the subject, the transform and the height.
    pixel_vertex : (H, W) int32
        Surface vertex nearest to each pixel, left hemisphere first; -1 outside the cortex. Row 0 is the top.
    vertex_point : (n_vertices,) int32
        Point of ``CortexMap.index`` that a vertex shows, -1 for none: itself, or the voxel that holds it.
    vertex_gyrus : (n_vertices,) bool
        Whether the vertex lies on a gyrus (curvature above zero).
    extent : (4,) float64
        Left, right, bottom and top of the picture in the flat surface's mm.
    n_points : int
        Length that ``CortexMap.index`` must have.
    flat_points : (n_vertices, 2) float32
        The flat surface in mm, hemispheres side by side.
    triangles : (m, 3) int32
    n_left : int
        How many of the surface points belong to the left hemisphere; they come first.
    """

    key: str
    pixel_vertex: np.ndarray
    vertex_point: np.ndarray
    vertex_gyrus: np.ndarray
    extent: np.ndarray
    n_points: int
    flat_points: np.ndarray
    triangles: np.ndarray
    n_left: int

    @property
    def n_vertices(self) -> int:
        return len(self.flat_points)

    @cached_property
    def rim(self) -> np.ndarray:
        """Edges along which the surface was cut: (k, 2)."""
        return mesh_rim(self.triangles)

    @property
    def shape(self) -> tuple[int, int]:
        return self.pixel_vertex.shape[0], self.pixel_vertex.shape[1]

    @cached_property
    def mask(self) -> np.ndarray:
        """Pixels that are cortex: (H, W) bool."""
        return self.pixel_vertex >= 0

    @cached_property
    def point(self) -> np.ndarray:
        """Point of ``CortexMap.index`` under each pixel: (H, W) int32, -1 for none."""
        return np.append(self.vertex_point, np.int32(-1))[self.pixel_vertex]

    def target(self, cortex_map: CortexMap) -> np.ndarray:
        """Return the target that each pixel shows: (H, W) int32, -1 for none."""
        return np.append(self.vertex_target(cortex_map), np.int32(-1))[self.pixel_vertex]

    def vertex_target(self, cortex_map: CortexMap) -> np.ndarray:
        """Return the target that each vertex shows: (n_vertices,) int32, -1 for none."""
        index = np.asarray(cortex_map.index)
        if index.shape != (self.n_points,):
            raise BraindashError(
                f"The cortex map of space {cortex_map.space!r} has {index.size:,} points, not {self.n_points:,}.",
                "Give the target at every point of the surface or mask, -1 where there is none.",
            )
        return np.where(self.vertex_point >= 0, index[self.vertex_point], -1).astype(np.int32)

    def to_pixels(self, flat: np.ndarray) -> np.ndarray:
        """Turn points of the flat surface in mm, (n, 2), into pixels (column, row) from the top left."""
        left, right, bottom, top = self.extent
        height, width = self.shape
        column = (flat[:, 0] - left) / (right - left) * (width - 1)
        row = (height - 1) - (flat[:, 1] - bottom) / (top - bottom) * (height - 1)
        return np.column_stack([column, row])


def flat_index(cortex_map: CortexMap | str, home: Home, height: int = HEIGHT) -> FlatIndex:
    """Return the map from pixels to points of a subject's flattened cortex.

    Computed by pycortex once for a subject and height, then read from
    ``home.cortex/flat``, then kept in memory. Many processes may ask at once.

    Parameters
    ----------
    cortex_map : CortexMap, "fs_LR-32k" or "fsaverage5"
        Of a CortexMap only the space is used, and for "pycortex" the filestore, subject and transform.
    home : Home
    height : int
        Pixels from bottom to top, 64 … 4096.

    Raises
    ------
    BraindashError
        For an unknown space, subject or transform, or a subject without flat surfaces.
    """
    if not 64 <= height <= 4096:
        raise BraindashError(f"A flatmap cannot be {height} pixels high.", "Choose 64 to 4096.")
    space = cortex_map if isinstance(cortex_map, str) else cortex_map.space
    if space != "pycortex":
        return _load(home, surface_subject(space, home), None, "", height)
    assert not isinstance(cortex_map, str)
    if not (cortex_map.filestore and cortex_map.subject and cortex_map.transform):
        raise BraindashError(
            "A pycortex cortex map needs a filestore, a subject and a transform; got "
            f"{cortex_map.filestore!r}, {cortex_map.subject!r}, {cortex_map.transform!r}.",
            "Name all three in the study.",
        )
    transform = Path(cortex_map.filestore) / cortex_map.subject / "transforms" / cortex_map.transform
    stamp = hashlib.sha256()
    for file in ("matrices.xfm", "mask_thick.nii.gz", "reference.nii.gz"):
        path = transform / file
        if path.is_symlink() and not path.exists():
            raise NotDownloadedError(f"{path} is not downloaded.", f"Run: datalad get {path}")
        if not path.exists():
            raise BraindashError(
                f"Transform {cortex_map.transform!r} of subject {cortex_map.subject!r} has no {file} ({path}).",
                "Correct the transform's name, or leave the cortex out of the study.",
            )
        stamp.update(f"{path.stat().st_size}:{path.stat().st_mtime_ns};".encode())
    name = mirror_subject(cortex_map.filestore, cortex_map.subject, home)
    return _load(home, name, cortex_map.transform, stamp.hexdigest()[:8], height)


def flatmap_image(
    values: np.ndarray,
    cortex_map: CortexMap,
    home: Home,
    *,
    cmap: str = SEQUENTIAL,
    vmin: float | None = None,
    vmax: float | None = None,
    alpha: np.ndarray | None = None,
    curvature: bool = True,
    outlines: Mapping[str, Sequence[str] | np.ndarray] | None = None,
    labels: bool = True,
    height: int = HEIGHT,
) -> np.ndarray:
    """Draw one value a target on the flattened cortex.

    Parameters
    ----------
    values : (n_targets,) float array
        NaN shows the underlay.
    cortex_map : CortexMap
    home : Home
    cmap : str
        "sequential", "diverging", or a matplotlib colour map.
    vmin, vmax : float, optional
        Values of the first and last colour; default :func:`~braindash.cortex.colour.shared_limits` of ``values``.
        Give the same to the maps of both models.
    alpha : (n_targets,) float array, optional
        Opacity in [0, 1] over the underlay; NaN is 0. Default 1.
    curvature : bool
        Draw gyri and sulci in grey below; else cortex without a value is transparent.
    outlines : mapping from a label to parcel names or a mask of surface points, optional
        Regions to outline, see :mod:`braindash.cortex.outlines`.
    labels : bool
        Write the outlined regions' names.
    height : int
        Pixels.

    Returns
    -------
    (H, W, 4) uint8 array, RGBA; outside the cortex transparent.

    Raises
    ------
    BraindashError
        If the lengths do not fit, or no value is finite and no limits are given.
    """
    flat = flat_index(cortex_map, home, height)
    table = vertex_colours(flat, values, cortex_map, cmap=cmap, vmin=vmin, vmax=vmax, alpha=alpha, curvature=curvature)
    image = table.view(np.uint32).ravel()[flat.pixel_vertex].view(np.uint8).reshape(*flat.shape, 4)
    if outlines:
        from braindash.cortex.outlines import overlay

        overlay(flat, cortex_map.space, outlines, labels).paint(image)
    return image


def vertex_colours(
    flat: FlatIndex,
    values: np.ndarray,
    cortex_map: CortexMap,
    *,
    cmap: str = SEQUENTIAL,
    vmin: float | None = None,
    vmax: float | None = None,
    alpha: np.ndarray | None = None,
    curvature: bool = True,
) -> np.ndarray:
    """Return the colour of every vertex and, last, of what is outside: (n_vertices + 1, 4) uint8 RGBA."""
    values = np.asarray(values, dtype=np.float64)
    target = flat.vertex_target(cortex_map)
    if values.ndim != 1 or not values.size or target.max(initial=-1) >= values.size:
        raise BraindashError(
            f"The cortex map shows target {int(target.max(initial=-1))}, but there are values of shape {values.shape}.",
            "Give one value for every target of the subject.",
        )
    if alpha is not None and np.shape(alpha) != values.shape:
        raise BraindashError(
            f"There are {values.size:,} values but opacities of shape {np.shape(alpha)}.", "Give one opacity a target."
        )
    if vmin is None or vmax is None:
        low, high = shared_limits(values)
        vmin, vmax = (low if vmin is None else vmin), (high if vmax is None else vmax)
    opacity = np.ones(values.size) if alpha is None else np.clip(np.where(np.isnan(alpha), 0, alpha), 0, 1)
    opacity = np.where(np.isfinite(values), opacity, 0)
    colour = colour_values(values, cmap, vmin, vmax)

    shown = target >= 0
    a = np.where(shown, opacity[target], 0)[:, None]
    top = colour[target]
    table = np.zeros((len(target) + 1, 4), dtype=np.uint8)
    if curvature:
        grey = np.where(flat.vertex_gyrus, _GYRUS, _SULCUS)[:, None]
        table[:-1, :3] = np.round(a * top + (1 - a) * grey)
        table[:-1, 3] = 255
    else:
        table[:-1, :3] = top
        table[:-1, 3] = np.round(a[:, 0] * 255)
    return table


def n_shown(values: np.ndarray, cortex_map: CortexMap) -> int:
    """Return how many targets have a finite value and a place on the cortex."""
    index = np.asarray(cortex_map.index)
    values = np.asarray(values)
    placed = np.zeros(values.size, dtype=bool)
    placed[index[index >= 0]] = True
    return int(np.count_nonzero(placed & np.isfinite(values)))


def png_bytes(image: np.ndarray) -> bytes:
    """Encode an RGBA image as PNG: (H, W, 4) uint8 → bytes.

    Rows are not filtered: a flatmap is made of flat patches, where filtering
    costs most of the time and saves nothing (W3C PNG specification, 9 and 10).
    """

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = image.shape[:2]
    rows = np.zeros((height, 1 + 4 * width), dtype=np.uint8)
    rows[:, 1:] = image.reshape(height, -1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows.tobytes(), 1))
        + chunk(b"IEND", b"")
    )


@lru_cache(maxsize=8)
def _load(home: Home, subject: str, transform: str | None, stamp: str, height: int) -> FlatIndex:
    """Read a stored map, or compute and store it."""
    from filelock import FileLock

    key = "-".join([subject, *([transform] if transform else []), *([stamp] if stamp else []), str(height)])
    path = home.cortex / "flat" / f"{key}-v{_FORMAT}.npz"
    if (found := _read(path, key)) is not None:
        return found
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if (found := _read(path, key)) is not None:
            return found
        made = _compute(home, subject, transform, height, key)
        with whole_file(path) as file:
            np.savez_compressed(
                file,
                pixel_vertex=made.pixel_vertex,
                vertex_point=made.vertex_point,
                vertex_gyrus=made.vertex_gyrus,
                extent=made.extent,
                n_points=made.n_points,
                flat_points=made.flat_points,
                triangles=made.triangles,
                n_left=made.n_left,
            )
        return made


def _read(path: Path, key: str) -> FlatIndex | None:
    """Return a stored map, or None where there is none or it is damaged (it is then computed again)."""
    import zipfile

    try:
        with np.load(path) as z:
            arrays = {name: z[name] for name in z.files}
        n_points, n_left = int(arrays.pop("n_points")), int(arrays.pop("n_left"))
        for array in arrays.values():
            array.setflags(write=False)
        return FlatIndex(key=key, n_points=n_points, n_left=n_left, **arrays)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def _compute(home: Home, subject: str, transform: str | None, height: int, key: str) -> FlatIndex:
    """Ask pycortex what lies under each pixel."""
    with pycortex(home) as cortex:
        utils = cortex.quickflat.utils
        mask, extent = utils.get_flatmask(subject, height=height)
        vertex = _only_column(utils.get_flatcache(subject, None, height=height))
        points, triangles = cortex.db.get_surf(subject, "flat", merge=True, nudge=True)
        n_left = len(cortex.db.get_surf(subject, "flat", "lh")[0])
        curvature = np.asarray(cortex.db.get_surfinfo(subject, "curvature").data).ravel()
        if transform is None:
            n_points = len(curvature)
            vertex_point = np.arange(n_points, dtype=np.int32)
        else:
            inside = np.asarray(cortex.db.get_mask(subject, transform, "thick"))
            n_points = int(inside.sum())
            rank = np.full(inside.size + 1, -1, dtype=np.int32)
            rank[np.flatnonzero(inside)] = np.arange(n_points, dtype=np.int32)
            # the voxel half-way between white matter and pia: one voxel a vertex, not a mean of several
            masks = cortex.get_mapper(subject, transform, "nearest").masks
            vertex_point = rank[np.concatenate([_only_column(m) for m in masks])]
    columns = np.full(mask.shape, -1, dtype=np.int32)  # pycortex's pictures are (x, y), y upwards
    columns[mask] = vertex
    return FlatIndex(
        key=key,
        pixel_vertex=np.ascontiguousarray(columns.T[::-1]),
        vertex_point=vertex_point,
        vertex_gyrus=curvature > 0,
        extent=np.asarray(extent, dtype=np.float64),
        n_points=n_points,
        flat_points=np.asarray(points[:, :2], dtype=np.float32),
        triangles=np.asarray(triangles, dtype=np.int32),
        n_left=n_left,
    )


def mesh_rim(triangles: np.ndarray) -> np.ndarray:
    """Return the edges that belong to one triangle only, the cut edge of a flat surface: (k, 2)."""
    edges = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    unique, count = np.unique(edges, axis=0, return_counts=True)
    return unique[count == 1]


def _only_column(matrix: object) -> np.ndarray:
    """Return the one non-zero column of each row of a sparse matrix, -1 for an empty row: (n_rows,) int32."""
    from scipy import sparse

    rows = sparse.csr_matrix(matrix)
    count = np.diff(rows.indptr)
    assert count.max(initial=0) <= 1
    out = np.full(len(count), -1, dtype=np.int32)
    out[count == 1] = rows.indices
    return out

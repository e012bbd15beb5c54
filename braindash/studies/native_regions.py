"""Which region drawn on a subject's flattened cortex each voxel of a pycortex mask lies in.

A surface point shows the voxel half-way between white matter and pia, as on the
flatmaps, so a voxel's points are those that show it. It gets the name of the
region that holds more than half of them; where several do, of the one that holds
most, then of the smaller one. Voxels that no point of the flat surface shows
have none: no map shows them either.

Source: pycortex ``mapper`` ("nearest", between the fiducial surface and the
transform "coord").
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from braindash.errors import BraindashError
from braindash.studies.drawn_regions import read_drawing
from braindash.studies.files import require_file


def voxel_regions(filestore: Path, subject: str, transform: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the drawn region of each voxel, and what of the drawing was left out.

    Parameters
    ----------
    filestore : Path
        pycortex database; the subject needs flat, wm and pia (or fiducial) surfaces as GIFTI,
        ``overlays.svg``, and the transform ``matrices.xfm`` and ``mask_thick.nii.gz``.
    subject, transform : str

    Returns
    -------
    (n_voxels,) object array of str, "" for none, in the order of the mask's non-zero voxels (z, y, x); read-only.
    tuple of str
        See :class:`~braindash.studies.drawn_regions.Drawing`.

    Raises
    ------
    NotDownloadedError, BraindashError
        A file is a placeholder, missing or damaged.
    """
    base = Path(filestore) / subject
    surfaces = base / "surfaces"
    fiducial = all((surfaces / f"fiducial_{h}.gii").exists() for h in ("lh", "rh"))
    kinds = ("flat", "fiducial") if fiducial else ("flat", "wm", "pia")
    files = [
        base / "overlays.svg",
        *(base / "transforms" / transform / f for f in ("matrices.xfm", "mask_thick.nii.gz")),
    ]
    files += [surfaces / f"{kind}_{h}.gii" for kind in kinds for h in ("lh", "rh")]
    what = ["drawing of regions", "pycortex transform", "pycortex mask", *["surface"] * (len(files) - 3)]
    stats = [require_file(f, w).stat() for f, w in zip(files, what, strict=True)]
    return _voxel_regions(tuple(files), tuple((s.st_size, s.st_mtime_ns) for s in stats))


@lru_cache(maxsize=16)
def _voxel_regions(files: tuple[Path, ...], marks: tuple[Any, ...]) -> tuple[np.ndarray, tuple[str, ...]]:
    drawing = read_drawing(files[0])
    flat, *folded = ((_surface(left), _surface(right)) for left, right in zip(files[3::2], files[4::2], strict=True))
    (left, left_triangles), (right, right_triangles) = flat
    if any(len(mine[0]) != len(one[0]) for other in folded for mine, one in zip(flat, other, strict=True)):
        raise BraindashError(
            f"The surfaces in {files[3].parent} have unequal numbers of points.", "Export them from one subject."
        )
    triangles = np.concatenate([left_triangles, right_triangles + len(left)])
    pushed = np.concatenate([left[:, :2], right[:, :2]])
    pushed[: len(left), 0] -= left[:, 0].max()
    pushed[len(left) :, 0] -= right[:, 0].min()
    inside = drawing.inside(pushed, triangles)
    middle = np.mean([np.concatenate([hemi[0] for hemi in both]) for both in folded], axis=0)
    voxel, n_voxels = _voxel_of_point(middle, files[1], files[2])
    voxel[np.setdiff1d(np.arange(len(voxel)), triangles)] = -1
    shown = voxel >= 0
    n_points = np.bincount(voxel[shown], minlength=n_voxels)
    names, most = np.full(n_voxels, "", dtype=object), np.zeros(n_voxels, dtype=np.int64)
    for name in sorted(inside, key=lambda n: int(inside[n].sum())):
        n_in = np.bincount(voxel[shown & inside[name]], minlength=n_voxels)
        better = (2 * n_in > n_points) & (n_in > most)
        names[better], most[better] = name, n_in[better]
    names.setflags(write=False)
    return names, drawing.problems


def _voxel_of_point(points: np.ndarray, transform: Path, mask: Path) -> tuple[np.ndarray, int]:
    """Return the voxel of the mask that holds each point, -1 for none: (n_points,) int64, and how many there are."""
    import nibabel

    try:
        to_voxels = np.array(json.loads(transform.read_bytes())["coord"], dtype=np.float64)
        if to_voxels.shape != (4, 4) or not np.isfinite(to_voxels).all():
            raise ValueError("coord is no 4 × 4 matrix")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BraindashError(
            f"The pycortex transform {transform} cannot be read ({error}).", "Download it again."
        ) from None
    try:
        inside = np.asarray(nibabel.load(mask).dataobj).T != 0  # type: ignore[attr-defined]
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise BraindashError(f"The pycortex mask {mask} cannot be read ({error}).", "Download it again.") from None
    rank = np.where(inside.ravel(), np.cumsum(inside) - 1, -1)
    at = np.rint((to_voxels @ np.column_stack([points, np.ones(len(points))]).T)[2::-1].T)  # z, y, x
    here = ((at >= 0) & (at < inside.shape)).all(axis=1)
    out = np.full(len(points), -1, dtype=np.int64)
    out[here] = rank[np.ravel_multi_index(tuple(at[here].astype(np.int64).T), inside.shape)]
    return out, int(inside.sum())


def _surface(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read a GIFTI surface: points (n, 3) float64 in mm, triangles (m, 3) int64."""
    import zlib
    from xml.parsers.expat import ExpatError

    import nibabel
    from nibabel.filebasedimages import ImageFileError

    try:
        image: Any = nibabel.load(file)  # type: ignore[attr-defined]
        points = np.array(image.agg_data("pointset"), dtype=np.float64)
        triangles = np.array(image.agg_data("triangle"), dtype=np.int64)
        if points.ndim != 2 or points.shape[1] != 3 or triangles.ndim != 2 or not len(triangles):
            raise ValueError("no points or no triangles")
        if triangles.min() < 0 or triangles.max() >= len(points):
            raise ValueError("triangles of points that are not there")
    except (ImageFileError, ExpatError, zlib.error, OSError, ValueError, TypeError, AttributeError, EOFError) as error:
        raise BraindashError(f"The surface {file} cannot be read ({error}).", "Download it again.") from None
    return points, triangles

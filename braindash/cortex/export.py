"""Maps as files that other programs read: GIFTI, CIFTI, NIfTI and CSV, through nibabel."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.errors import BraindashError

if TYPE_CHECKING:
    import pandas as pd

    from braindash.studies.base import CortexMap

N_LEFT = {"fs_LR-32k": 32_492, "fsaverage5": 10_242}  # points of the left hemisphere; the right one has as many
_STRUCTURES = {"L": ("CortexLeft", "CIFTI_STRUCTURE_CORTEX_LEFT"), "R": ("CortexRight", "CIFTI_STRUCTURE_CORTEX_RIGHT")}


def formats(cortex_map: CortexMap) -> dict[str, str]:
    """Return which files can be made of a subject's maps: format -> how the file's name ends."""
    if cortex_map.space == "pycortex":
        return {"nifti": ".nii.gz", "csv": ".csv"}
    gifti = {"gifti_L": ".L.func.gii", "gifti_R": ".R.func.gii"}
    cifti = {"cifti": ".dscalar.nii"} if cortex_map.space == "fs_LR-32k" else {}
    return {**gifti, **cifti, "csv": ".csv"}


def map_file(kind: str, maps: Mapping[str, np.ndarray], cortex_map: CortexMap, targets: pd.DataFrame) -> bytes:
    """Return maps as the content of a file.

    Parameters
    ----------
    kind : str
        One of :func:`formats`.
    maps : mapping from a map's name to (n_targets,) float
        NaN where a target has no value or is not shown.
    cortex_map : CortexMap
    targets : DataFrame as from ``Study.targets``

    Returns
    -------
    bytes
        GIFTI: one float32 array a map over all points of the hemisphere, NaN where there is no target.
        CIFTI: a dense scalar file of the points that are cortex, a scalar a map. NIfTI: (x, y, z, map) float32 in
        the space of the transform's mask. CSV: a row a target: index, name, region, hemisphere, and its maps.

    Raises
    ------
    BraindashError
        For a format that this cortex has not.
    """
    if kind not in formats(cortex_map):
        raise BraindashError(
            f"Maps on {cortex_map.space} cannot be kept as {kind!r}.", f"Choose from: {', '.join(formats(cortex_map))}."
        )
    if kind == "csv":
        return _csv(maps, targets)
    if kind == "nifti":
        return _nifti(maps, cortex_map)
    on_points = {name: points_of(values, cortex_map) for name, values in maps.items()}
    return _cifti(on_points) if kind == "cifti" else _gifti(on_points, cortex_map.space, kind[-1])


def points_of(values: np.ndarray, cortex_map: CortexMap) -> np.ndarray:
    """Return the value at every point of the surface or mask: (n_points,) float32, NaN where there is no target."""
    index = np.asarray(cortex_map.index)
    padded = np.append(np.asarray(values, dtype=np.float32), np.float32(np.nan))
    return padded[np.where((index >= 0) & (index < len(padded) - 1), index, len(padded) - 1)]


def _csv(maps: Mapping[str, np.ndarray], targets: pd.DataFrame) -> bytes:
    columns = {"target": np.arange(len(targets))}
    columns |= {name: targets[name].fillna("").to_numpy() for name in ("name", "roi", "hemi") if name in targets}
    table = _frame(columns)
    for name, values in maps.items():
        table[name] = np.append(values, np.full(max(0, len(table) - len(values)), np.nan))[: len(table)]
    for column in ("name", "roi", "hemi"):
        if column in table:  # a spreadsheet would run what begins like a formula
            table[column] = table[column].astype(str).str.replace(r"^(?=[=+\-@])", "'", regex=True)
    return bytes(table.to_csv(index=False).encode())


def _frame(columns: Mapping[str, Any]) -> pd.DataFrame:
    import pandas as pd

    return pd.DataFrame(columns)


def _gifti(on_points: Mapping[str, np.ndarray], space: str, hemi: str) -> bytes:
    import nibabel as nib

    n_left = N_LEFT[space]
    side = slice(0, n_left) if hemi == "L" else slice(n_left, None)
    image = nib.gifti.GiftiImage(
        meta=nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": _STRUCTURES[hemi][0]}),
        darrays=[
            nib.gifti.GiftiDataArray(
                values[side],
                intent="NIFTI_INTENT_NONE",
                datatype="NIFTI_TYPE_FLOAT32",
                meta=nib.gifti.GiftiMetaData({"Name": _plain(name)}),
            )
            for name, values in on_points.items()
        ],
    )
    return bytes(image.to_bytes())


def _cifti(on_points: Mapping[str, np.ndarray]) -> bytes:
    import nibabel as nib

    from braindash.cortex.parcellation import cortical_points

    n_left = N_LEFT["fs_LR-32k"]
    points = np.asarray(cortical_points())
    axis = None
    for hemi, mine in (("L", points[points < n_left]), ("R", points[points >= n_left] - n_left)):
        mask = np.zeros(n_left, dtype=bool)
        mask[mine] = True
        model = nib.cifti2.BrainModelAxis.from_mask(mask, name=_STRUCTURES[hemi][1])
        axis = model if axis is None else axis + model
    scalars = nib.cifti2.ScalarAxis([_plain(name) for name in on_points])
    data = np.stack([values[points] for values in on_points.values()])
    return _saved(nib.cifti2.Cifti2Image(data, header=(scalars, axis)))


def _nifti(maps: Mapping[str, np.ndarray], cortex_map: CortexMap) -> bytes:
    import gzip

    import nibabel as nib

    if not (cortex_map.filestore and cortex_map.subject and cortex_map.transform):
        raise BraindashError("This cortex map names no transform.", "Name filestore, subject and transform.")
    folder = Path(cortex_map.filestore) / cortex_map.subject / "transforms" / cortex_map.transform
    path = folder / "mask_thick.nii.gz"
    try:
        mask_image: Any = nib.load(path)
        mask = np.asarray(mask_image.dataobj).T > 0  # pycortex counts voxels with z first and x last
    except (OSError, EOFError, ValueError, nib.filebasedimages.ImageFileError) as error:
        raise BraindashError(f"The mask {path} cannot be read ({error}).", "Check the pycortex folder.") from error
    if mask.sum() != len(cortex_map.index):
        raise BraindashError(
            f"The mask {path} has {int(mask.sum()):,} voxels, the cortex map {len(cortex_map.index):,}.",
            "Check the study's pycortex folder.",
        )
    volumes = []
    for values in maps.values():
        volume = np.full(mask.shape, np.nan, dtype=np.float32)
        volume[mask] = points_of(values, cortex_map)
        volumes.append(volume.T)
    image = nib.Nifti1Image(np.stack(volumes, axis=-1), mask_image.affine)
    image.header["descrip"] = ", ".join(_plain(name) for name in maps).encode()[:79]
    return gzip.compress(image.to_bytes(), 6, mtime=0)


def _saved(image: Any) -> bytes:
    """Return what nibabel would write; CIFTI images know no other way."""
    out = io.BytesIO()
    files = {key: type(holder)(fileobj=out) for key, holder in image.make_file_map().items()}
    image.to_file_map(files)
    return out.getvalue()


def _plain(name: str) -> str:
    """Return a map's name in letters that every reader of these formats takes."""
    return re.sub(r"[^\x20-\x7e]", "", name.replace("−", "-").replace("×", "x")).strip() or "map"

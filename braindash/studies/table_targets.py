"""The targets of a table study: their names, regions, ceilings and place on the cortex."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from braindash.errors import BraindashError, closest
from braindash.studies.base import CortexMap
from braindash.studies.files import is_placeholder, require_file
from braindash.studies.table_spec import PycortexSpec

OPTIONAL = ("roi", "hemi", "noise_ceiling", "x", "y", "z", "vertex")
N_POINTS = {"fs_LR-32k": 64_984, "fsaverage5": 20_484}
N_CORTICAL = 59_412  # fs_LR-32k vertices outside the medial wall, in CIFTI order
_HEMI = {"l": "L", "lh": "L", "left": "L", "r": "R", "rh": "R", "right": "R", "": ""}


def read_targets(path: Path) -> pd.DataFrame:
    """Read ``targets.csv``: one row a target, in the order of the response columns.

    Returns
    -------
    DataFrame
        ``name``, ``hemi`` ("L", "R" or ""), ``roi``, and those of
        ``noise_ceiling, x, y, z, vertex`` that the file has.

    Raises
    ------
    BraindashError
        Missing ``name``, an unknown column, a name given twice, a value out of range; with its line.
    """
    path = require_file(path, "targets file")
    try:
        table = pd.read_csv(
            path,
            dtype=str,
            keep_default_na=False,
            encoding="utf-8-sig",
            sep="\t" if path.suffix.lower() == ".tsv" else ",",
            skipinitialspace=True,
        )
    except (ValueError, UnicodeDecodeError) as error:
        raise BraindashError(f"{path} cannot be read ({error}).", "Save it as UTF-8 csv.") from None
    table.columns = pd.Index([str(c).strip() for c in table.columns])
    if "name" not in table:
        raise BraindashError(f"{path} has no column 'name'; it has {', '.join(table.columns)}.", "Add one.")
    unknown = [c for c in table.columns if c not in ("name", *OPTIONAL)]
    if unknown:
        raise BraindashError(f"{path} has an unknown column {unknown[0]!r}.", closest(unknown[0], ["name", *OPTIONAL]))
    twice = np.flatnonzero(table["name"].duplicated().to_numpy())
    if len(twice):
        row = twice[0]
        raise BraindashError(f"{path}, line {row + 2}: the name {table['name'].iloc[row]!r} is given twice.", "Rename.")
    out = pd.DataFrame({"name": table["name"].astype(object)})
    hemi = table["hemi"].str.strip().str.lower() if "hemi" in table else pd.Series("", index=table.index)
    wrong = np.flatnonzero(~hemi.isin(list(_HEMI)).to_numpy())
    if len(wrong):
        row = wrong[0]
        raise BraindashError(f"{path}, line {row + 2}: hemi is {table['hemi'].iloc[row]!r}.", "Write L, R or nothing.")
    out["hemi"] = hemi.map(_HEMI).astype(object)
    out["roi"] = (table["roi"].str.strip() if "roi" in table else pd.Series("", index=table.index)).astype(object)
    for name in ("noise_ceiling", "x", "y", "z", "vertex"):
        if name in table:
            out[name] = _numbers(path, table[name], name)
    return out


def _numbers(path: Path, cells: pd.Series, name: str) -> pd.Series:
    blank = cells.str.strip().str.lower().isin(["", "nan", "na"])
    numbers = pd.to_numeric(cells.mask(blank), errors="coerce").astype(float)
    bad = numbers.isna() & ~blank
    if name == "noise_ceiling":
        bad |= (numbers < 0) | (numbers > 1)
    elif name == "vertex":
        bad |= blank | (numbers < 0) | (numbers != numbers.round())
    rows = np.flatnonzero(bad.to_numpy())
    if len(rows):
        expected = {"noise_ceiling": "a correlation from 0 to 1, or empty", "vertex": "a whole number from 0"}
        raise BraindashError(
            f"{path}, line {rows[0] + 2}: {name} is {cells.iloc[rows[0]]!r}, not {expected.get(name, 'a number')}.",
            "Correct it.",
        )
    return numbers


def default_targets(names: tuple[str, ...] | None, n: int, space: str | None) -> pd.DataFrame:
    """Return the targets of a study without ``targets.csv``.

    On fs_LR-32k with every vertex (64,984) or every cortical one (59,412) the
    hemispheres and HCP-MMP1 parcels follow from the position; elsewhere they are "".
    """
    out = pd.DataFrame({"name": list(names) if names else [f"t{i}" for i in range(n)]}, dtype=object)
    out["hemi"], out["roi"] = "", ""
    if space == "fs_LR-32k":
        from braindash.cortex.parcellation import cortical_points, hemi_of_vertex, parcel_of_vertex

        hemi, roi, cortical = hemi_of_vertex(), parcel_of_vertex(), cortical_points()
        assert roi is not None  # fs_LR-32k has parcels
        if n == len(cortical):
            out["hemi"], out["roi"] = hemi[cortical], roi[cortical]
        elif n == len(hemi):
            out["hemi"], out["roi"] = hemi, roi
    return out.astype({"hemi": object, "roi": object})


def surface_map(space: Literal["fs_LR-32k", "fsaverage5"], targets: pd.DataFrame) -> CortexMap:
    """Place targets on a surface: by their ``vertex``, else one a vertex in order."""
    n, n_points = len(targets), N_POINTS[space]
    index = np.full(n_points, -1, dtype=np.int32)
    if "vertex" in targets:
        vertex = targets["vertex"].to_numpy(dtype=np.int64)
        if vertex.max() >= n_points:
            raise BraindashError(
                f"Target {targets['name'].iloc[int(vertex.argmax())]!r} is at vertex {vertex.max()}, but {space} has "
                f"{n_points} (left, then right).",
                "Correct the column vertex.",
            )
        if len(np.unique(vertex)) < n:
            raise BraindashError(f"Two targets share a vertex of {space}.", "Correct the column vertex.")
        index[vertex] = np.arange(n)
    elif n == n_points:
        index[:] = np.arange(n)
    elif space == "fs_LR-32k" and n == N_CORTICAL:
        from braindash.cortex.parcellation import cortical_points

        index[cortical_points()] = np.arange(n)
    else:
        also = f" or {N_CORTICAL} (without the medial wall)" if space == "fs_LR-32k" else ""
        raise BraindashError(
            f"{n} targets do not fit cortex {space}, which has {n_points} vertices{also}.",
            "Give targets.csv a column vertex, or write cortex: none.",
        )
    return CortexMap(space, index)


def pycortex_map(filestore: Path, subject: str, transform: str, n: int, mask: str = "thick") -> CortexMap:
    """Map targets to the voxels of a pycortex mask, in the order of its non-zero voxels (z, y, x).

    Raises
    ------
    NotDownloadedError, BraindashError
        The mask is a placeholder, missing, or has another number of voxels than ``n``.
    """
    file = filestore / subject / "transforms" / transform / f"mask_{mask}.nii.gz"
    found = count_mask(file)
    if found != n:
        raise BraindashError(
            f"The pycortex mask {file} has {found} voxels, but {subject} has {n} targets.",
            "Check subject, transform and mask.",
        )
    return CortexMap("pycortex", np.arange(n, dtype=np.int32), str(filestore), subject, transform)


def count_mask(file: Path) -> int:
    """Count the non-zero voxels of a mask volume."""
    import nibabel

    require_file(file, "pycortex mask")
    try:
        return int(np.count_nonzero(np.asarray(nibabel.load(file).dataobj)))  # type: ignore[attr-defined]
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError) as error:
        raise BraindashError(f"The pycortex mask {file} cannot be read ({error}).", "Download it again.") from None


def spec_map(spec: PycortexSpec, folder: Path, subject: str, n: int) -> CortexMap:
    """Return the pycortex map of one subject of a table study."""
    names = {}
    for key in ("subject", "transform"):
        value = getattr(spec, key)
        if isinstance(value, dict) and subject not in value:
            raise BraindashError(f"cortex.{key} has no entry for subject {subject!r}.", closest(subject, value))
        names[key] = value[subject] if isinstance(value, dict) else value
    filestore = (folder / spec.pycortex).resolve()
    if not filestore.is_dir() and not is_placeholder(filestore):
        raise BraindashError(f"There is no pycortex filestore {filestore}.", "Correct cortex.pycortex.")
    return pycortex_map(filestore, names["subject"], names["transform"], n, spec.mask)

"""What every fitted target's variance divides into: ``partition.nc`` beside ``partition.json``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError
from braindash.runs.arrays import read_arrays

if TYPE_CHECKING:
    import xarray as xr

    from braindash.runs.partition_rows import SubjectFits

PARTITION_TARGETS = "partition.nc"
VERSION = 1  # of the file
DIMS = ("model", "part", "target")
REMOVED = "removed:"  # parts that are a fall in r, not a share of the variance


def target_parts(scored: Mapping[str, SubjectFits], layer: int) -> xr.Dataset:
    """Return every part of the variance of every fitted target.

    Returns
    -------
    xr.Dataset
        ``r2 (model, part, target)`` float32: Σ explained / Σ total over the scoring units of the test stories;
        "total", "unique:SPACE" and "shared" add up as the rows' parts do. Coordinates of ``target``: ``subject``,
        and ``target_index``, its place among all the subject's targets. NaN where a target has no variance.
    """
    import xarray as xr

    from braindash.comparing.bootstrap import VarianceShare

    subjects = list(scored)
    models = list(scored[subjects[0]].parts)
    parts = [p for p, fit in scored[subjects[0]].parts[models[0]].items() if isinstance(fit, VarianceShare)]
    blocks = []
    for subject in subjects:
        fits = scored[subject].parts
        block = np.empty((len(models), len(parts), len(scored[subject].columns)), dtype=np.float32)
        for i, model in enumerate(models):
            for j, part in enumerate(parts):
                fit = fits[model][part]
                assert isinstance(fit, VarianceShare)
                total = fit.total.sum(0)
                with np.errstate(invalid="ignore", divide="ignore"):
                    block[i, j] = np.where(total > 0, fit.explained.sum(0) / total, np.nan)
        blocks.append(block)
    return xr.Dataset(
        {"r2": (("model", "part", "target"), np.concatenate(blocks, axis=2))},
        coords={
            "model": models,
            "part": parts,
            "subject": ("target", np.repeat(subjects, [len(scored[s].columns) for s in subjects])),
            "target_index": ("target", np.concatenate([scored[s].columns for s in subjects]).astype(np.int32)),
        },
        attrs={"braindash": VERSION, "layer": layer},
    )


def read_partition_targets(folder: Path) -> xr.Dataset | None:
    """Return what `partition_run` wrote of single targets, or None.

    None as well where a newer braindash wrote it in another form.

    Raises
    ------
    BraindashError
        Where the file is there but cannot be read.
    """
    data = read_arrays(folder / PARTITION_TARGETS, "partition", "partition")
    if data is None:
        return None
    try:
        if int(data.attrs.get("braindash", 0)) != VERSION:
            return None
        whole = data["r2"].dims == DIMS and all(data[name].dims == (DIMS[-1],) for name in ("subject", "target_index"))
        whole = whole and data["r2"].dtype.kind == "f" and data["target_index"].dtype.kind == "i"
        whole = whole and {*DIMS[:2]} <= {*data.coords} and int(data.attrs["layer"]) >= 0
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise BraindashError(
            f"{PARTITION_TARGETS} of run {folder.name} does not hold the parts of targets.",
            f"Make it again: braindash partition {folder.name}",
        )
    return data

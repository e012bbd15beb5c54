"""Small cortices for tests: a shared home, and a pycortex subject made of two square sheets."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from braindash.config import Home
from braindash.cortex.parcellation import cortical_points
from braindash.studies.base import CortexMap

SIDE, SPACING, VOXEL = 15, 4.0, 3.0  # points along a sheet's edge; mm between them; mm of a voxel
SHAPE = (50, 24, 8)  # voxels in x, y, z
ORIGIN = (-72.0, -4.0, -6.0)  # mm of voxel (0, 0, 0)


def shared_home(factory: pytest.TempPathFactory) -> Home:
    """A home that all test files of a session share, so that surfaces are written once."""
    return Home(factory.getbasetemp() / "cortex-home")


def fs_lr_map(seed: int | None = None) -> CortexMap:
    """One target a cortical vertex; in CIFTI order, or shuffled with a seed."""
    points = cortical_points()
    index = np.full(64_984, -1, dtype=np.int32)
    order = np.arange(points.size)
    index[points] = order if seed is None else np.random.default_rng(seed).permutation(order)
    return CortexMap("fs_LR-32k", index)


def sheet(hemi: str) -> tuple[np.ndarray, np.ndarray]:
    """A square grid in the plane z = 0: points (225, 3) mm and triangles; the left one lies at x < 0."""
    u, v = np.meshgrid(np.arange(SIDE), np.arange(SIDE), indexing="ij")
    x = u * SPACING + (-60.0 if hemi == "lh" else 4.0)
    points = np.column_stack([x.ravel(), v.ravel() * SPACING, np.zeros(u.size)])
    corner = (u * SIDE + v)[:-1, :-1].ravel()
    triangles = np.concatenate(
        [
            np.column_stack([corner, corner + SIDE, corner + 1]),
            np.column_stack([corner + 1, corner + SIDE, corner + SIDE + 1]),
        ]
    )
    return points.astype(np.float32), triangles.astype(np.int32)


def write_pycortex_subject(folder: Path, subject: str = "S1", transform: str = "S1_auto") -> np.ndarray:
    """Write a subject whose cortex is flat already, 3 mm thick; return its mask (x, y, z) of voxels."""
    base = folder / subject
    (base / "surfaces").mkdir(parents=True)
    (base / "transforms" / transform).mkdir(parents=True)
    for hemi in ("lh", "rh"):
        points, triangles = sheet(hemi)
        for name, z in (("wm", 0.0), ("pia", 3.0), ("flat", 0.0)):
            moved = points + np.float32([0, 0, z])
            image = nib.gifti.GiftiImage(
                darrays=[
                    nib.gifti.GiftiDataArray(moved, intent="NIFTI_INTENT_POINTSET", datatype="NIFTI_TYPE_FLOAT32"),
                    nib.gifti.GiftiDataArray(triangles, intent="NIFTI_INTENT_TRIANGLE", datatype="NIFTI_TYPE_INT32"),
                ]
            )
            nib.save(image, base / "surfaces" / f"{name}_{hemi}.gii")
    affine = np.diag([VOXEL, VOXEL, VOXEL, 1.0])
    affine[:3, 3] = ORIGIN
    where = base / "transforms" / transform
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, np.float32), affine), where / "reference.nii.gz")
    (where / "matrices.xfm").write_text(
        json.dumps({"coord": np.linalg.inv(affine).tolist(), "magnet": np.eye(4).tolist()})
    )
    mask = np.zeros(SHAPE, dtype=np.uint8)
    mask[:, 2:21, 2:4] = 1  # the sheets' voxels, but for those of their lowest edge
    nib.save(nib.Nifti1Image(mask, affine), where / "mask_thick.nii.gz")
    return mask.astype(bool)

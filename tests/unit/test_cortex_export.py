"""Maps as files: opened again by nibabel, pycortex and pandas, with the same numbers at the same places."""

from __future__ import annotations

import io
from pathlib import Path

import cortex_samples
import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from braindash.config import Home
from braindash.cortex.export import formats, map_file
from braindash.cortex.parcellation import cortical_points
from braindash.cortex.surfaces import mirror_subject, pycortex
from braindash.errors import BraindashError
from braindash.studies.base import CortexMap

N_LEFT = 32_492


def maps_of(n: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    values = rng.normal(size=n).astype(np.float32)
    values[::11] = np.nan
    return {"Pretrained, layer 3": values, "Gain × accuracy − <b>": rng.normal(size=n).astype(np.float32)}


def targets_of(n: int) -> pd.DataFrame:
    return pd.DataFrame({"name": [f"t{i}" for i in range(n)], "roi": "A1", "hemi": "L"})


def test_gifti_holds_every_point_of_its_hemisphere(tmp_path: Path) -> None:
    cortex_map = cortex_samples.fs_lr_map(seed=5)
    n = int(cortex_map.index.max()) + 1
    maps = maps_of(n)
    for kind, side, structure in (
        ("gifti_L", slice(0, N_LEFT), "CortexLeft"),
        ("gifti_R", slice(N_LEFT, None), "CortexRight"),
    ):
        path = tmp_path / f"{kind}.func.gii"
        path.write_bytes(map_file(kind, maps, cortex_map, targets_of(n)))
        image = nib.load(path)
        assert image.meta["AnatomicalStructurePrimary"] == structure
        assert [d.meta["Name"] for d in image.darrays] == ["Pretrained, layer 3", "Gain x accuracy - <b>"]
        for array, values in zip(image.darrays, maps.values(), strict=True):
            index = cortex_map.index[side]
            np.testing.assert_array_equal(array.data[index >= 0], values[index[index >= 0]])
            assert np.isnan(array.data[index < 0]).all()


def test_cifti_has_a_scalar_a_map_at_the_right_vertices(tmp_path: Path) -> None:
    cortex_map = cortex_samples.fs_lr_map(seed=6)
    n = int(cortex_map.index.max()) + 1
    maps = maps_of(n)
    path = tmp_path / "maps.dscalar.nii"
    path.write_bytes(map_file("cifti", maps, cortex_map, targets_of(n)))
    image = nib.load(path)
    scalars, brain = (image.header.get_axis(i) for i in (0, 1))
    assert list(scalars.name) == ["Pretrained, layer 3", "Gain x accuracy - <b>"]
    data = image.get_fdata(dtype=np.float32)
    assert data.shape == (2, len(cortical_points()))
    for name, part, model in brain.iter_structures():
        first = 0 if name == "CIFTI_STRUCTURE_CORTEX_LEFT" else N_LEFT
        assert model.nvertices[name] == N_LEFT
        for row, values in zip(data[:, part], maps.values(), strict=True):
            np.testing.assert_array_equal(row, values[cortex_map.index[first + model.vertex]])


def test_nifti_is_what_pycortex_writes(tmp_path: Path) -> None:
    mask = cortex_samples.write_pycortex_subject(tmp_path / "db")
    n = int(mask.sum())
    index = np.random.default_rng(2).permutation(n).astype(np.int32)
    index[::9] = -1
    cortex_map = CortexMap("pycortex", index, str(tmp_path / "db"), "S1", "S1_auto")
    maps = maps_of(n)
    path = tmp_path / "maps.nii.gz"
    path.write_bytes(map_file("nifti", maps, cortex_map, targets_of(n)))
    image = nib.load(path)
    assert image.shape == (*cortex_samples.SHAPE, 2)
    home = Home(tmp_path / "home")
    name = mirror_subject(tmp_path / "db", "S1", home)
    for i, values in enumerate(maps.values()):
        on_voxels = np.where(index >= 0, values[index], np.nan)
        with pycortex(home) as cortex:
            volume = cortex.Volume(on_voxels, name, "S1_auto").volume[0].T
            inside = cortex.db.get_mask(name, "S1_auto", "thick").T
        np.testing.assert_array_equal(image.get_fdata(dtype=np.float32)[..., i][inside], volume[inside].astype("f4"))
        assert np.isnan(image.get_fdata()[..., i][~inside]).all()
    reference = nib.load(tmp_path / "db" / "S1" / "transforms" / "S1_auto" / "reference.nii.gz")
    np.testing.assert_array_equal(image.affine, reference.affine)
    (tmp_path / "db" / "S1" / "transforms" / "S1_auto" / "mask_thick.nii.gz").write_bytes(b"not a mask")
    with pytest.raises(BraindashError, match="cannot be read"):
        map_file("nifti", maps, cortex_map, targets_of(n))


def test_csv_has_a_row_a_target() -> None:
    cortex_map = cortex_samples.fs_lr_map()
    maps = maps_of(5)
    targets = targets_of(5).assign(name=["a", "=1+1", "c,d", 'e"f', "−g"])
    table = pd.read_csv(io.BytesIO(map_file("csv", maps, cortex_map, targets)))
    assert list(table.columns) == ["target", "name", "roi", "hemi", *maps]
    assert table["name"].tolist() == ["a", "'=1+1", "c,d", 'e"f', "−g"]
    for name, values in maps.items():
        np.testing.assert_allclose(table[name], values, rtol=1e-6)


def test_formats_fit_the_space() -> None:
    assert set(formats(CortexMap("fsaverage5", np.zeros(20_484)))) == {"gifti_L", "gifti_R", "csv"}
    assert "nifti" in formats(CortexMap("pycortex", np.zeros(3)))
    with pytest.raises(BraindashError, match="cannot be kept as 'cifti'"):
        map_file("cifti", {}, CortexMap("fsaverage5", np.zeros(20_484)), targets_of(2))

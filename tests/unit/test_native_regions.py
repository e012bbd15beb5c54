"""Names of native voxels from the regions that their subject's drawing encloses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import lebel_fixture as fx
import nibabel as nib
import numpy as np
import pytest
from cortex_samples import shared_home, write_pycortex_subject
from drawing_samples import TRUTH, overlays_svg, write_drawing

from braindash.config import Home
from braindash.cortex.flatmap import flat_index
from braindash.errors import BraindashError, NotDownloadedError
from braindash.studies.base import CortexMap
from braindash.studies.lebel2023 import open_lebel2023
from braindash.studies.native_regions import voxel_regions


@pytest.fixture
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return shared_home(tmp_path_factory)


def write_coarse(folder: Path) -> int:
    """Write a transform of 9 mm voxels, each shown by some five points; return how many voxels its mask has."""
    folder.mkdir()
    affine = np.diag([9.0, 9.0, 9.0, 1.0])
    affine[:3, 3] = (-63.0, -2.0, -9.0)
    shape = (15, 8, 3)
    nib.save(nib.Nifti1Image(np.zeros(shape, np.float32), affine), folder / "reference.nii.gz")
    (folder / "matrices.xfm").write_text(json.dumps({"coord": np.linalg.inv(affine).tolist(), "magnet": [[1]]}))
    mask = np.ones(shape, dtype=np.uint8)
    mask[3] = 0  # a slab that was not measured
    nib.save(nib.Nifti1Image(mask, affine), folder / "mask_thick.nii.gz")
    return int(mask.sum())


@pytest.mark.parametrize("transform", ["S1_auto", "coarse"])
def test_a_voxel_has_the_name_of_most_points_that_show_it(transform: str, tmp_path: Path, home: Home) -> None:
    n = int(write_pycortex_subject(tmp_path / "db").sum())
    if transform == "coarse":
        n = write_coarse(tmp_path / "db" / "S1" / "transforms" / "coarse")
    write_drawing(tmp_path / "db" / "S1")
    found, problems = voxel_regions(tmp_path / "db", "S1", transform)
    assert problems == ()
    shown = flat_index(  # pycortex's own mapper
        CortexMap("pycortex", np.arange(n, dtype=np.int32), str(tmp_path / "db"), "S1", transform), home, 64
    ).vertex_point
    n_split = 0
    expected = [""] * n
    for voxel in range(n):
        points = np.flatnonzero(shown == voxel)
        for name, inside in TRUTH.items():  # the planted regions do not touch
            share = inside[points].mean() if points.size else 0
            n_split += 0 < share < 1
            if share > 0.5:
                expected[voxel] = name
    assert found.tolist() == expected
    assert set(expected) == {"", "AC", "Broca"}
    assert (n_split > 10) == (transform == "coarse"), "voxels on a border"


def test_of_two_regions_around_a_voxel_the_one_with_more_points_then_the_smaller(tmp_path: Path) -> None:
    write_pycortex_subject(tmp_path / "db")
    write_coarse(tmp_path / "db" / "S1" / "transforms" / "coarse")
    write_drawing(tmp_path / "db" / "S1")
    alone, _ = voxel_regions(tmp_path / "db", "S1", "coarse")
    file = tmp_path / "db" / "S1" / "overlays.svg"
    everything = '<g inkscape:label="All" id="all"><rect x="-9" y="-9" width="9999" height="9999"/></g>'
    file.write_text(file.read_text().replace('<g inkscape:label="AC"', f'{everything}<g inkscape:label="AC"', 1))
    both, _ = voxel_regions(tmp_path / "db", "S1", "coarse")
    assert "All" in set(both)
    inner = both == "AC"
    assert 0 < inner.sum() < (alone == "AC").sum(), "on its border All holds more points"
    assert set(alone[both == ""]) == {""}


def test_voxels_of_a_tree_get_names_and_a_damaged_drawing_takes_only_those(tmp_path: Path, home: Home) -> None:
    root = fx.make_tree(tmp_path / "tree", ("UTS01",))
    where = root / "derivative" / "pycortex-db"
    shutil.rmtree(where / "UTS01")
    n = int(write_pycortex_subject(where, "UTS01", "UTS01_auto").sum())
    for story in fx.HEARD_BY_ALL:
        data = np.random.default_rng(1).normal(size=(fx.N_VOLUMES[story] - 20, n))
        fx.write_responses(fx.response_file(root, "UTS01", story), "UTS01", story, data)
    study = open_lebel2023(root)
    before = study.fingerprint()
    assert set(study.targets("UTS01")["roi"]) == {""}
    file = write_drawing(where / "UTS01")
    assert study.fingerprint() != before
    targets = study.targets("UTS01")
    expected, _ = voxel_regions(where, "UTS01", "UTS01_auto")
    assert targets["roi"].tolist() == expected.tolist()
    n_named = int((targets["roi"] != "").sum())
    assert n_named > 20
    (said,) = [f for f in study.check() if "overlays.svg" in f.what]
    assert said.level == "ok"
    assert f"{n_named:,} of {n:,} voxels lie in 2 regions" in said.what

    file.write_text(overlays_svg({"AC": ["<path d='M 0,0 L 9,9 nonsense'/>"]}))
    assert set(study.targets("UTS01")["roi"]) == {""}
    warned = [f.what for f in study.check() if f.level == "warning" and "overlays.svg" in f.what]
    assert any("Region 'AC'" in w and "nonsense" in w for w in warned)
    file.write_text("<svg")
    assert set(study.targets("UTS01")["roi"]) == {""}
    assert any("carry no region names" in f.what and "not XML" in f.what for f in study.check() if f.level == "warning")
    assert not any(f.level == "error" for f in study.check())


@pytest.mark.parametrize("part", ["surfaces/wm_lh.gii", "surfaces/flat_rh.gii", "transforms/S1_auto/matrices.xfm"])
def test_damaged_and_missing_files_are_named(part: str, tmp_path: Path) -> None:
    write_pycortex_subject(tmp_path)
    write_drawing(tmp_path / "S1")
    file = tmp_path / "S1" / part
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(BraindashError, match=f"{file.name} cannot be read"):
        voxel_regions(tmp_path, "S1", "S1_auto")
    fx.unfetch_link(file)
    with pytest.raises(NotDownloadedError, match=file.name):
        voxel_regions(tmp_path, "S1", "S1_auto")

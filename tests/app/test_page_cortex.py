"""The Cortex page: what its maps show, and what it says where there is no cortex."""

from __future__ import annotations

from pathlib import Path

import fake_home
import numpy as np
import pytest
from conftest import OpenPage, checked, words

from braindash.config import Home


def test_an_empty_home_says_what_to_do(open_page: OpenPage) -> None:
    assert "No results yet" in words(open_page("cortex"))


def test_a_study_without_a_cortex_says_so(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    fake_home.add_done(home)
    assert "does not say where its targets lie on a cortex" in words(open_page("cortex"))


def test_a_study_that_is_gone_is_said(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home, study="gone")
    assert "There is no study" in words(open_page("cortex")).replace("\\", "")


def test_maps_share_a_scale_and_the_difference_is_centred(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.ui import map_values

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    run_id = fake_home.add_done(home, "on the surface", study="surface", n_targets=len(roi), roi=roi)
    drawn: dict[str, dict] = {}
    arrays = map_values.layer_arrays

    def remember(view: map_values.View, which: map_values.Which) -> dict:
        drawn[which] = arrays(view, which)
        return drawn[which]

    monkeypatch.setattr(map_values, "layer_arrays", remember)
    page = open_page("cortex", layer="3", map_subject="sub-02")
    assert set(drawn) == {"pretrained", "tuned", "difference"}
    assert (drawn["pretrained"]["vmin"], drawn["pretrained"]["vmax"]) == (
        drawn["tuned"]["vmin"],
        drawn["tuned"]["vmax"],
    )
    assert drawn["difference"]["vmin"] == -drawn["difference"]["vmax"]
    expected = drawn["tuned"]["values"] - drawn["pretrained"]["values"]
    np.testing.assert_allclose(drawn["difference"]["values"], expected, atol=1e-6)
    assert expected.max() == pytest.approx(0.1 / 0.6, abs=1e-3)  # the planted gain at layer 3, normalised
    assert f"n = {len(roi):,} targets" in words(page)
    assert page.slider(key="layer").value == 3
    files = {d.label: d for d in page.get("download_button")}
    assert len(page.get("download_button")) == 6, files
    assert run_id in page.selectbox(key="_run").value


@pytest.mark.parametrize("faint", ["false", "true"])
def test_maps_keep_what_passes_and_count_it(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faint: str
) -> None:
    from braindash.ui import map_values

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    drawn: dict[str, dict] = {}
    arrays = map_values.layer_arrays

    def remember(view: map_values.View, which: map_values.Which) -> dict:
        drawn[which] = arrays(view, which)
        return drawn[which]

    monkeypatch.setattr(map_values, "layer_arrays", remember)
    page = open_page("cortex", layer="4", mask="q_difference", q="0.05", faint=faint, fade="false")
    models = ("pretrained", "brain_tuned", "block_permuted")
    data = fake_home.arrays(("sub-01", "sub-02"), models, len(roi), roi)
    expected = data["q_difference"].values[1, 4, : len(roi)] <= 0.05
    assert 0 < expected.sum() < len(roi)
    for which in ("pretrained", "tuned", "difference"):
        if faint == "true":
            np.testing.assert_array_equal(drawn[which]["alpha"] == 1, expected)
            assert drawn[which]["alpha"].min() == map_values.FAINT
            assert np.isfinite(drawn[which]["values"]).all()
        else:
            np.testing.assert_array_equal(np.isfinite(drawn[which]["values"]), expected)
    said = words(page)
    assert f"{expected.sum():,} of {len(roi):,} targets" in said
    assert "are predicted differently by the two models, at q ≤ 0.05." in said
    assert page.slider(key="q").value == pytest.approx(0.05)
    checked(page.slider(key="q").set_value(0.02).run())
    assert f"0 of {len(roi):,} targets (0%)" in words(page)  # the planted q is .03
    checked(page.button_group(key="_mask").set_value("q").run())
    by_r = data["q"].values[:2, 4, : len(roi)] <= 0.02
    assert f"{by_r[0].sum():,} of {len(roi):,} targets" in words(page)
    assert f"{by_r.any(0).sum():,} of {len(roi):,} targets" in words(page)


def test_a_run_without_tests_says_so(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    whole = fake_home.arrays
    monkeypatch.setattr(fake_home, "arrays", lambda *a, **k: whole(*a, **k).drop_vars(["q", "q_difference"]))
    run_id = fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    page = open_page("cortex", mask="q")
    assert "evaluated without permutation tests" in words(page)
    assert f"braindash evaluate {run_id}" in words(page)

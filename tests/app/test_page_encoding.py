"""The Encoding page: table, curves and maps of one run, and what it says where there is no cortex."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_home
import numpy as np
import pytest
from conftest import OpenPage, checked, words

from braindash.config import Home


def test_an_empty_home_says_what_to_do(open_page: OpenPage) -> None:
    assert "No results yet" in words(open_page("encoding"))


def test_table_and_curves_without_a_cortex(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    fake_home.add_done(home)
    page = open_page("encoding")
    assert len(page.get("plotly_chart")) == 2
    assert "does not say where its targets lie on a cortex" in words(page)
    table = page.dataframe[0].value
    assert set(table["Model"]) == {"Pretrained", "Brain-tuned"}
    row = table[(table["Region"] == "Late language") & (table["Layer"] == 4) & (table["Model"] == "Brain-tuned")].iloc[
        0
    ]
    assert row["r / noise ceiling"] == pytest.approx(0.775)
    assert row["Change"] == pytest.approx(0.075)
    assert row["Targets"] == 180
    assert row["Without ceiling"] == 9


def test_a_study_that_is_gone_is_said(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home, study="gone")
    page = open_page("encoding")
    assert "There is no study" in words(page).replace("\\", "")
    assert len(page.get("plotly_chart")) == 2


def test_a_control_can_be_compared(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home)
    page = open_page("encoding", model="block_permuted", measure="r")
    assert page.button_group(key="_model").value == "block_permuted"
    table = page.dataframe[0].value
    assert "Block-permuted" in set(table["Model"])
    assert "r" in table.columns


def test_the_table_switches_between_levels_and_change(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home)
    page = open_page("encoding")
    change = page.get("plotly_chart")[0].proto.spec
    checked(page.button_group(key="_table").set_value("pretrained").run())
    assert page.get("plotly_chart")[0].proto.spec != change


def test_maps_share_a_scale_and_the_difference_is_centred(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.ui import flatmaps

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    run_id = fake_home.add_done(home, "on the surface", study="surface", n_targets=len(roi), roi=roi)
    drawn: dict[str, dict] = {}
    arrays = flatmaps.layer_arrays

    def remember(view: flatmaps.View, which: flatmaps.Which) -> dict:
        drawn[which] = arrays(view, which)
        return drawn[which]

    monkeypatch.setattr(flatmaps, "layer_arrays", remember)
    page = open_page("encoding", layer="3", map_subject="sub-02")
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
    from braindash.ui import flatmaps

    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    drawn: dict[str, dict] = {}
    arrays = flatmaps.layer_arrays

    def remember(view: flatmaps.View, which: flatmaps.Which) -> dict:
        drawn[which] = arrays(view, which)
        return drawn[which]

    monkeypatch.setattr(flatmaps, "layer_arrays", remember)
    page = open_page("encoding", layer="4", mask="q_difference", q="0.05", faint=faint, fade="false")
    models = ("pretrained", "brain_tuned", "block_permuted")
    data = fake_home.arrays(("sub-01", "sub-02"), models, len(roi), roi)
    expected = data["q_difference"].values[1, 4, : len(roi)] <= 0.05
    assert 0 < expected.sum() < len(roi)
    for which in ("pretrained", "tuned", "difference"):
        if faint == "true":
            np.testing.assert_array_equal(drawn[which]["alpha"] == 1, expected)
            assert drawn[which]["alpha"].min() == flatmaps.FAINT
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
    page = open_page("encoding", mask="q")
    assert "evaluated without permutation tests" in words(page)
    assert f"braindash evaluate {run_id}" in words(page)


def test_single_parcels_are_shown_when_asked_for_and_regions_without_a_value_are_counted(
    home: Home, open_page: OpenPage
) -> None:
    import json

    run_id = fake_home.add_done(home)
    path = home.runs / run_id / "records.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    for kind in ("encoding", "differences"):
        copies = [r for r in data[kind] if r["roi"] == "ifg"]
        data[kind] += [r | {"roi": f"P{i}"} for r in copies for i in range(25)]
        nothing = {"r_norm": None, "delta_r_norm": None, "r_norm_ci_low": None, "r_norm_ci_high": None}
        data[kind] += [r | nothing | {"roi": "empty"} for r in copies]
    path.write_text(json.dumps(data), encoding="utf-8")

    def rows(page: Any) -> list[str]:
        return json.loads(page.get("plotly_chart")[0].proto.spec)["data"][0]["y"]

    page = open_page("encoding")
    assert "Whole cortex" in rows(page)
    assert "P3" not in rows(page)
    assert "1 region without a value" in words(page)
    checked(page.toggle(key="parcels").set_value(True).run())
    assert "P3" in rows(page)
    assert "empty" not in rows(page)


def test_chosen_regions_are_in_the_link(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home)
    page = open_page("encoding", regions="ag,nowhere,ifg")
    assert page.multiselect(key="_regions").value == ["ag", "ifg"]
    checked(page.multiselect(key="_regions").set_value(["late_language"]).run())
    assert page.query_params["regions"] in ("late_language", ["late_language"])


def test_every_control_can_be_compared_and_drawn(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home, models=fake_home.ALL_MODELS)
    page = open_page("encoding", model="stimulus_only", drawn="brain_tuned,head_only")
    assert page.selectbox(key="_model").value == "stimulus_only"
    assert "Stimulus only" in set(page.dataframe[0].value["Model"])
    assert page.multiselect(key="_drawn").value == ["brain_tuned", "head_only"]
    checked(page.selectbox(key="_model").set_value("random_model").run())

"""The Encoding page: table, curves and maps of one run, and what it says where there is no cortex."""

from __future__ import annotations

from pathlib import Path

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
    assert "Tuned on block-permuted responses" in set(table["Model"])
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

"""The Encoding page: table and curves of one run, and the way to its maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fake_home
import pytest
from conftest import OpenPage, checked, words

from braindash.config import Home


def test_an_empty_home_says_what_to_do(open_page: OpenPage) -> None:
    assert "No results yet" in words(open_page("encoding"))


def test_table_and_curves_without_a_cortex(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    fake_home.add_done(home)
    assert not open_page("encoding").dataframe  # thousands of rows of a whole cortex are sent once they are opened
    page = open_page("encoding", numbers="true")
    assert len(page.get("plotly_chart")) == 2
    assert [p.proto.page for p in page.get("page_link")] == ["cortex"]
    table = page.dataframe[0].value
    assert set(table["Model"]) == {"Pretrained", "Brain-tuned"}
    row = table[(table["Region"] == "Late language") & (table["Layer"] == 4) & (table["Model"] == "Brain-tuned")].iloc[
        0
    ]
    assert row["r / noise ceiling"] == pytest.approx(0.775)
    assert row["Change"] == pytest.approx(0.075)
    assert row["Targets"] == 180
    assert row["Without ceiling"] == 9


def test_a_study_that_is_gone_leaves_table_and_curves(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home, study="gone")
    assert len(open_page("encoding").get("plotly_chart")) == 2


def test_a_control_can_be_compared(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home)
    page = open_page("encoding", numbers="true", model="block_permuted", measure="r")
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
    page = open_page("encoding", numbers="true", model="stimulus_only", drawn="brain_tuned,head_only")
    assert page.selectbox(key="_model").value == "stimulus_only"
    assert "Stimulus only" in set(page.dataframe[0].value["Model"])
    assert page.multiselect(key="_drawn").value == ["brain_tuned", "head_only"]
    checked(page.selectbox(key="_model").set_value("random_model").run())

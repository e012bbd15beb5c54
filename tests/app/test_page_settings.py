"""The Settings page: what is saved is in the file, what is wrong is said, and nobody is overwritten."""

from __future__ import annotations

from pathlib import Path

import fake_home
import pytest
from conftest import OpenPage, checked
from streamlit.testing.v1 import AppTest

from braindash.config import ExecutorConfig, Home
from braindash.cortex.colour import map_in_use, plotly_scale, use_maps
from braindash.settings import (
    Access,
    Colours,
    OwnRegion,
    Settings,
    change,
    read_settings,
    settings_path,
    write_settings,
)
from braindash.ui import canvas


@pytest.fixture(autouse=True)
def usual_colours() -> None:
    yield
    use_maps()


def area(page: AppTest, role: str) -> object:
    return next(a for a in page.text_area if a.key.startswith(f"access_{role}_"))


def errors(page: AppTest) -> str:
    return " ".join(e.value for e in page.error).replace("\\", "").replace("\u2060", "")


def test_the_list_is_saved_checked_and_never_overwritten(open_page: OpenPage, home: Home) -> None:
    page = open_page("settings")
    area(page, "launch").input("Ada@lab.org\n@group.lab.org, bob@lab.org")
    checked(page.button(key="save_access").click().run())
    assert read_settings(home).access.launch == ("ada@lab.org", "@group.lab.org", "bob@lab.org")
    assert [s.value for s in page.success]

    area(page, "manage").input("everybody")
    checked(page.button(key="save_access").click().run())
    assert "'everybody' is neither an e-mail address nor @ and a domain" in errors(page)
    assert read_settings(home).access.manage == ()
    assert area(page, "manage").value == "everybody", "what was refused can be corrected"

    change(home, access=Access(view=("carol@lab.org",)))  # somebody else, meanwhile
    checked(page.button(key="save_access").click().run())
    assert "Somebody else has changed this meanwhile" in errors(page)
    assert read_settings(home).access == Access(view=("carol@lab.org",))
    assert area(page, "view").value == "carol@lab.org", "the page shows what is there now"


def test_where_runs_go_is_the_beginning_of_the_form(open_page: OpenPage, home: Home, tmp_path: Path) -> None:
    page = open_page("settings")
    next(r for r in page.radio if r.label == "Executor").set_value("slurm")
    checked(page.run())
    next(t for t in page.text_input if t.label == "Partition").input("gpu")
    next(n for n in page.number_input if n.label == "GPUs").set_value(2)
    checked(page.run())
    checked(page.button(key="save_compute").click().run())
    assert read_settings(home).compute == ExecutorConfig(executor="slurm", partition="gpu", gpus=2)

    fake_home.add_table_study(home, tmp_path / "mini")
    form = open_page("tune")
    command = next(c.value for c in form.code if c.value.startswith("braindash tune"))
    assert "--executor" not in command, "the settings say so already"
    assert next(t for t in form.text_input if t.label == "Partition").value == "gpu"
    form.radio(key="plan_executor").set_value("local")
    command = next(c.value for c in checked(form.run()).code if c.value.startswith("braindash tune"))
    assert "--executor local" in command
    assert "partition" not in command


def test_colours_hold_for_every_map_from_then_on(open_page: OpenPage, home: Home) -> None:
    fake_home.add_done(home)

    def heat_map() -> str:
        return " ".join(chart.proto.spec for chart in open_page("encoding").get("plotly_chart"))

    def bar() -> list[int]:
        return canvas._described(canvas.Panel("A", "A", b"", "diverging", -1.0, 1.0, "r", "A"))["palette"]

    before = bar()
    assert plotly_scale("blue_brown")[0][1] in heat_map()
    page = open_page("settings")
    assert len(page.get("image")) == 8, "a strip of every map"
    next(r for r in page.radio if r.label == "Differences").set_value("teal_rust")
    checked(page.run())
    checked(page.button(key="save_colours").click().run())
    assert read_settings(home).colours == Colours(diverging="teal_rust")
    checked(page.run())
    assert map_in_use("diverging") == "teal_rust"
    assert map_in_use("sequential") == "viridis"
    drawn = heat_map()
    assert plotly_scale("teal_rust")[0][1] in drawn, "what was drawn before is not shown"
    assert plotly_scale("blue_brown")[0][1] not in drawn
    assert bar() != before


def test_groups_of_regions_are_checked_kept_and_offered_to_tune_on(
    open_page: OpenPage, home: Home, tmp_path: Path
) -> None:
    page = open_page("settings")

    def save(name: str, members: str, title: str = "") -> None:
        page.text_input(key="region_name").input(name)
        page.text_input(key="region_title").input(title)
        page.text_area(key="region_members").input(members)
        checked(page.button(key="save_region").click().run())

    save("my_sts", "STSda, STSdb")
    assert "region 'STSdb' is not known. Did you mean" in errors(page)
    assert page.text_area(key="region_members").value == "STSda, STSdb"
    save("late_language", "STSda")
    assert "is the name of a region already" in errors(page)
    save("<b>", "STSda")
    assert "is no name" in errors(page)
    save("my_sts", "STSda, STSva\n44", "Our **STS**")
    assert not page.error
    assert read_settings(home).regions == {"my_sts": OwnRegion(members=("STSda", "STSva", "44"), title="Our **STS**")}
    assert page.text_input(key="region_name").value == ""
    assert page.dataframe[0].value["Members"].tolist() == ["STSda, STSva, 44"]

    fake_home.add_cortex_study(home, tmp_path / "surface")
    form = open_page("tune", study="surface", show_data="true")
    chosen = next(m for m in form.multiselect if "my_sts" in m.options)
    assert "late_language" not in chosen.value
    chosen.set_value(["my_sts"])
    command = next(c.value for c in checked(form.run()).code if c.value.startswith("braindash tune"))
    assert "--rois STSda,STSva,44" in command, "the run says its regions by itself"

    checked(page.button(key="remove_region").click().run())
    assert read_settings(home).regions == {}


def test_settings_that_cannot_be_read_are_left_alone(open_page: OpenPage, home: Home) -> None:
    home.path.mkdir(parents=True)
    settings_path(home).write_text("braindash: 7\n", encoding="utf-8")
    page = open_page("settings")
    assert "have version 7; this braindash knows 1" in errors(page)
    assert not page.button
    assert settings_path(home).read_text(encoding="utf-8") == "braindash: 7\n"


def test_who_may_only_look_changes_nothing(open_page: OpenPage, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    from braindash.ui import permissions

    listed = Access(manage=("root@lab.org",))
    write_settings(home, Settings(access=listed, regions={"mine": OwnRegion(members=("A1",))}))
    page = open_page("settings")
    monkeypatch.setattr(permissions, "person", lambda: permissions.Person("launch", "ada@lab.org"))
    page.text_input(key="region_name").input("yours")
    page.text_area(key="region_members").input("A1")
    checked(page.button(key="save_region").click().run())  # the page that was open before
    assert "ada@lab.org may look and launch, but not change the settings" in errors(page)
    assert list(read_settings(home).regions) == ["mine"]
    ours = [b for b in page.button if b.key and b.key.startswith(("save_", "remove_"))]
    assert len(ours) == 4
    assert all(b.disabled for b in ours)
    assert not [a for a in page.text_area if a.key.startswith("access_")], "nobody else reads the list"

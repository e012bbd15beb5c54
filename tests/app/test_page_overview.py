"""The Overview page answers the question, shows the numbers behind it, and never hides a caveat."""

from __future__ import annotations

import json
import re

import fake_home
import pytest
from conftest import OpenPage, words

from braindash.config import Home

UNESCAPED = re.compile(r"(?<!\\)(<[a-z/]|\[link\]|\*\*bold|:smile:|\$x|`code)")


def test_an_empty_home_says_what_to_do(open_page: OpenPage) -> None:
    page = open_page("overview")
    said = words(page)
    assert "No results yet" in said
    assert "braindash demo" in said
    assert not page.metric


def test_runs_without_results_are_counted_as_at_work(home: Home, open_page: OpenPage) -> None:
    fake_home.add_in_state(home, "running")
    assert "1 run is at work" in words(open_page("overview"))


def test_the_answer_its_numbers_and_the_caveat_are_shown(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("overview")
    said = words(page).replace("\\", "")
    assert "What did brain-tuning change?" in said
    assert "0.700 → 0.775 of the noise ceiling" in said
    assert any(fake_home.CAVEAT.split(":")[0] in w.value for w in page.warning)
    assert page.metric[0].value == "+0.075"
    assert page.metric[0].label == "Late language"
    assert page.metric[1].value == "−0.036"  # the control, on the same region
    assert "n counts the targets of all of them" in said
    assert "95 % CI 0.055 to 0.095 · n = 171 targets" in said
    assert "The interval includes 0" in said  # primary auditory
    assert page.query_params["run"] == [run_id] or page.query_params["run"] == run_id


def test_what_was_left_out_is_said_in_words(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home)
    said = words(open_page("overview"))
    assert "sub-01: 400 targets. 3 are not finite or constant: left out of everything. 40 have a noise ceiling" in said
    assert "ceiling below 0.1: they count in r, but not in r / noise ceiling." in said
    assert "2 of 48 targets in Primary auditory" in said
    assert "Mean over targets: Primary auditory 0.50" in said


def test_choices_change_the_figure_and_the_address(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home)
    page = open_page("overview")
    before = page.get("plotly_chart")[0].proto.spec
    page.button_group(key="_show").set_value("change").run()
    after = page.get("plotly_chart")[0].proto.spec
    assert before != after
    assert page.query_params["show"] in ("change", ["change"])


def test_a_link_reopens_the_view(home: Home, open_page: OpenPage) -> None:
    wanted = fake_home.add_done(home, "the one in the link")
    fake_home.add_done(home, "a newer one")
    page = open_page("overview", run=wanted, measure="r", subject="sub-02", show="change")
    assert page.selectbox(key="_run").value == wanted
    assert page.button_group(key="_measure").value == "r"
    assert page.button_group(key="_subject").value == "sub-02"
    assert page.button_group(key="_show").value == "change"


@pytest.mark.parametrize("bad", ["../../etc", "20000101-000000-none", "<b>x</b>", "a" * 400])
def test_an_unknown_run_in_the_link_is_said_and_another_shown(home: Home, open_page: OpenPage, bad: str) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("overview", run=bad)
    assert "The link names something that is not here" in words(page)
    assert page.selectbox(key="_run").value == run_id


@pytest.mark.parametrize("kind", sorted(fake_home.HOSTILE))
def test_a_hostile_name_is_text(home: Home, open_page: OpenPage, kind: str) -> None:
    fake_home.add_done(home, fake_home.HOSTILE[kind])
    page = open_page("overview")
    for element in (*page.markdown, *page.caption, *page.warning, *page.title, *page.subheader):
        assert not UNESCAPED.search(element.value), element.value


def test_damaged_results_are_a_message(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    (home.runs / run_id / "records.json").write_text('{"encoding": [', encoding="utf-8")
    page = open_page("overview")
    assert "cannot be read" in page.error[0].value
    assert f"braindash evaluate {run_id}" in page.error[0].value.replace("\\", "")


def test_one_subject_and_no_ceilings(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home, subjects=["sub-01"])
    path = home.runs / run_id / "records.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    for row in (*data["encoding"], *data["differences"]):
        for key in list(row):
            if "norm" in key or key == "noise_ceiling":
                row[key] = None
    path.write_text(json.dumps(data), encoding="utf-8")
    page = open_page("overview")
    assert "in r" in page.subheader[0].value
    assert page.metric[0].value == "+0.037"
    assert page.get("plotly_chart")


def test_the_methods_are_there_to_copy(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home)
    page = open_page("overview")
    (text,) = [c.value for c in page.code if c.value.startswith("Data. ")]
    assert "Works cited." in text
    assert any(e.label == "Methods" for e in page.expander)


def test_six_controls_stand_beside_the_real_run(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home, models=fake_home.ALL_MODELS)
    page = open_page("overview")
    table = page.table[0].value
    assert list(table.index) == [
        "Block-permuted",
        "Story-permuted",
        "Random responses",
        "Stimulus only",
        "Random weights",
        "Read-out only",
    ]
    assert table.loc["Block-permuted", "Brain-tuned minus control"] == "+0.111 (0.091 to 0.131)"
    assert table.loc["Block-permuted", "Control minus pretrained"] == "−0.036 (−0.056 to −0.016)"
    assert table.loc["Read-out only", "Control minus pretrained"] == "+0.000 (−0.020 to 0.020)"
    assert all(len(text) > 40 for text in table["What it is"])
    drawn = json.loads(page.get("plotly_chart")[0].proto.spec)["data"]
    assert {t["name"] for t in drawn if t.get("showlegend")} == {"Pretrained", "Brain-tuned", *table.index}
    page.multiselect(key="_controls").set_value(["stimulus_only"]).run()
    drawn = json.loads(page.get("plotly_chart")[0].proto.spec)["data"]
    assert {t["name"] for t in drawn if t.get("showlegend")} == {"Pretrained", "Brain-tuned", "Stimulus only"}
    assert page.query_params["controls"] in ("stimulus_only", ["stimulus_only"])


def test_a_run_without_controls_has_no_table_of_them(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home, models=("pretrained", "brain_tuned"))
    assert not open_page("overview").table

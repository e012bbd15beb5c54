"""The Compare page: any runs found, chosen, marked and put side by side, whatever state their folders are in."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import fake_home
import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import OpenPage, checked, words
from streamlit.testing.v1 import AppTest

from braindash.config import Home
from braindash.runs.marks import Marks, change_marks, read_marks
from braindash.runs.record import RunStore
from braindash.runs.run import TWIN, _digest
from braindash.ui import compare_table
from braindash.ui.compare_files import csv_bytes

SUBJECTS = ("sub-01", "sub-02")


def table(page: AppTest) -> pd.DataFrame:
    return page.dataframe[0].value


def frame_with(page: AppTest, column: str) -> pd.DataFrame:
    return next(d.value for d in page.dataframe if column in d.value.columns)


def specs(page: AppTest) -> list[dict[str, Any]]:
    return [json.loads(c.proto.spec) for c in page.get("plotly_chart")]


def chosen(page: AppTest) -> set[str]:
    value = page.query_params["runs"]
    return set((value if isinstance(value, str) else value[0]).split(","))


def seeds(home: Home, rank: int, n: int = 2, **more: Any) -> list[str]:
    return [fake_home.add_done(home, f"rank {rank}", seed=s, lora={"rank": rank}, **more) for s in range(n)]


def test_an_empty_home_says_what_to_do(open_page: OpenPage) -> None:
    assert "No model has been tuned in this home yet" in words(open_page("compare"))


def test_without_a_choice_it_says_how_to_choose_and_offers_one(home: Home, open_page: OpenPage) -> None:
    ids = seeds(home, 8)
    page = open_page("compare")
    assert "Tick two runs or more" in words(page)
    checked(page.button(key="compare_newest").click().run())
    assert chosen(page) == set(ids)
    assert "Settings that differ" in words(page)


def test_one_run_alone_is_told_apart_from_a_choice_to_be_made(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("compare")
    said = words(page)
    assert "one run in this home" in said
    assert "Tick two" not in said
    assert "Tick up to" not in said
    assert not [b for b in page.button if b.key == "compare_newest"]
    assert [(link.proto.page, link.proto.query_string) for link in page.get("page_link")] == [
        ("tune", f"like={run_id}")
    ]
    page = open_page("compare", runs=run_id)
    assert "only run in this home" in words(page)
    assert "Tick a second" not in words(page)
    fake_home.add_in_state(home, "failed")
    assert "Tick a second" in words(open_page("compare", runs=run_id))
    assert "Tick two runs or more" in words(open_page("compare"))


def test_another_order_keeps_the_table_unless_a_tick_would_move(home: Home, open_page: OpenPage) -> None:
    first, second, third = (fake_home.add_done(home, name) for name in ("a", "b", "c"))
    page = open_page("compare")
    new = list(table(page)["Id"])

    def key() -> str:
        return str(page.dataframe[0].proto.id).rpartition("-")[2]

    before = key()
    checked(page.selectbox(key="_order").set_value("old").run())
    assert list(table(page)["Id"]) == new[::-1]
    assert key() == before
    checked(page.text_input(key="q").set_value("a").run())
    assert key() == before
    checked(page.text_input(key="q").set_value("").run())
    for held, order in (([0], "new"), ([], "name")):  # as the browser says; a tick, and a tick taken away again
        ids = list(table(page)["Id"])
        page.session_state[key()] = {"selection": {"rows": held}}
        page.query_params["runs"] = ",".join(ids[i] for i in held)
        before = key()
        checked(page.selectbox(key="_order").set_value(order).run())
        assert (key() != before) == bool(held)
    assert {first, second, third} == set(new)


@pytest.mark.parametrize(
    ("held", "chosen_now", "moved", "same"),
    [
        (None, (), True, True),
        ([], (), True, True),
        ([], ("b",), True, False),  # the choice of the address has to be ticked
        ([1], ("b",), True, False),  # the tick would stay at its place, on another run
        ([1], ("b",), False, True),
        ([1], (), False, False),  # cleared beside the table
        ([7], (), True, False),  # a tick beyond the rows that a filter left
    ],
)
def test_the_key_changes_only_where_ticks_would_be_wrong(
    monkeypatch: pytest.MonkeyPatch, held: list[int] | None, chosen_now: tuple[str, ...], moved: bool, same: bool
) -> None:
    state: dict[str, Any] = {compare_table._VERSION: 3, compare_table._DRAWN: ("b", "a") if moved else ("a", "b")}
    if held is not None:
        state["compare_table_3"] = {"selection": {"rows": held}}
    monkeypatch.setattr(compare_table.st, "session_state", state)
    assert (compare_table._key(("a", "b"), chosen_now) == "compare_table_3") == same
    assert state[compare_table._DRAWN] == ("a", "b")


def test_the_table_shows_every_run_with_its_number_and_marks(home: Home, open_page: OpenPage) -> None:
    done = fake_home.add_done(home, "good")
    fake_home.add_in_state(home, "failed", "bad")
    broken = fake_home.add_broken(home)
    change_marks(home, done, starred=True, add=["for SfN"], note="rose\nmost")
    shown = table(open_page("compare")).set_index("Id")
    assert len(shown) == 5
    one = shown.loc[done]
    assert one["Δ of ceiling"] == pytest.approx(0.075)
    assert one["95 % interval"] == "+0.055 to +0.095"
    assert one["Where"] == "Late language, layer 4"
    assert one["Targets"] == 180 - 9
    assert one["★"] == "★"
    assert list(one["Tags"]) == ["for SfN"]
    assert one["Note"] == "rose most"
    assert one["Minutes"] == pytest.approx(140 / 60, abs=0.01)
    assert shown.loc[broken, "State"].str.contains("Unreadable").all()
    assert shown.loc[broken, "Note"].str.contains("cannot be read").all()


def test_words_filters_order_and_star_hold_together(home: Home, open_page: OpenPage) -> None:
    first, second = fake_home.add_done(home, "Alpha"), fake_home.add_done(home, "beta", study="other", loss="spatial")
    fake_home.add_in_state(home, "failed", "gamma")
    change_marks(home, first, add=["Talk"], starred=True, note="look again")

    def ids(**address: Any) -> list[str]:
        page = open_page("compare", **address)
        return list(table(page)["Id"]) if page.dataframe else []

    assert ids(q="ALPHA again talk") == [first]
    assert ids(q="alpha other") == []
    assert ids(studies="other") == ids(q="spatial") == [second]
    assert ids(tags="Talk") == ids(starred="true") == [first]
    assert set(ids(states="done")) == {first, second}
    assert ids(order="name")[:2] == [first, second]
    assert ids(order="old") == ids()[::-1]
    assert "No run fits" in words(open_page("compare", q="nothing like it"))


def test_only_the_settings_that_differ_in_plain_words(home: Home, open_page: OpenPage) -> None:
    ids = [*seeds(home, 8, 1), *seeds(home, 16, 1)]
    page = open_page("compare", runs=",".join(ids))
    differing = frame_with(page, "Key")
    assert differing[["Setting", "Part", "Key"]].values.tolist() == [["Rank", "LoRA adapters", "lora.rank"]]
    assert differing.iloc[0, 3:].tolist() == ["8", "16"]
    agreeing = frame_with(page, "Value").set_index("Key")["Value"]
    assert any(f"{len(agreeing)} settings agree" in e.label for e in page.expander)
    assert agreeing["recipe"] == "LoRA and head"
    assert agreeing["layer"] == "last"
    same = open_page("compare", runs=",".join(seeds(home, 4, 1) + seeds(home, 4, 1)))
    assert "all settings agree" in words(same)


def test_seeds_of_one_setting_share_a_column_and_spread(home: Home, open_page: OpenPage) -> None:
    ids = [*seeds(home, 8, 2), *seeds(home, 16, 1)]
    page = open_page("compare", runs=",".join(ids))
    numbers = frame_with(page, "Seeds (n)")
    late = numbers[numbers["Region"] == "Late language"].set_index("Setting")
    assert list(late.index) == ["A B", "C"]
    assert list(late["Seeds (n)"]) == [2, 1]
    assert late["Δ (r / noise ceiling)"].tolist() == pytest.approx([0.075, 0.075])
    assert late["± Δ (SD over seeds)"].iloc[0] == pytest.approx(0)
    assert np.isnan(late["± Δ (SD over seeds)"].iloc[1])
    assert "One seed alone has no spread over seeds" in words(page).replace("\\", "")
    page = open_page("compare", runs=",".join(ids), over="subjects", show="levels", layer="3", measure="r")
    numbers = frame_with(page, "Subjects (n)")
    late = numbers[numbers["Region"] == "Late language"].iloc[0]
    assert (late["Subjects (n)"], late["Layer"]) == (2, "3")
    assert late["Tuned (r)"] == pytest.approx(0.5 * fake_home.level("brain_tuned", "late_language", 3), abs=1e-4)


def test_a_run_has_one_colour_in_all_charts(home: Home, open_page: OpenPage) -> None:
    ids = [*seeds(home, 8, 1), *seeds(home, 16, 1)]
    page = open_page("compare", runs=",".join(ids))
    colours: dict[str, set[str]] = {}
    charts = specs(page)
    assert len(charts) == 5
    for chart in charts[1:]:
        for trace in chart["data"]:
            if trace.get("name", "").startswith("<b>"):
                colours.setdefault(trace["name"][3], set()).add(trace["line"]["color"])
    assert {letter: len(found) for letter, found in colours.items()} == {"A": 1, "B": 1}
    assert colours["A"] != colours["B"]
    assert all(c.proto.alt for c in page.get("plotly_chart"))


def test_other_seeds_can_be_added_and_runs_taken_away(home: Home, open_page: OpenPage) -> None:
    ids = seeds(home, 8, 3)
    seeds(home, 16, 1)
    page = open_page("compare", runs=ids[0])
    assert "Add 2 other seeds" in page.button(key="compare_add_seeds").label
    checked(page.button(key="compare_add_seeds").click().run())
    assert chosen(page) == set(ids)
    checked(page.button(key="compare_clear").click().run())
    assert "runs" not in page.query_params


def test_runs_of_different_studies_are_placed_by_share_and_it_is_said(home: Home, open_page: OpenPage) -> None:
    first, second = fake_home.add_done(home, "a"), fake_home.add_done(home, "b", study="other")
    path = home.runs / second / "records.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["encoding"] += [{**row, "layer": 8} for row in data["encoding"] if row["layer"] == 4]
    data["differences"] += [{**row, "layer": 8} for row in data["differences"] if row["layer"] == 4]
    path.write_text(json.dumps(data), encoding="utf-8")
    page = open_page("compare", runs=f"{first},{second}")
    said = words(page).replace("\\", "")
    assert "cannot be compared target by target" in said
    assert "different numbers of layers" in said
    curves = [c for c in specs(page) if "Depth" in c["layout"]["xaxis"].get("title", {}).get("text", "")]
    assert len(curves) == 2
    lines = {t["name"][3]: t for t in curves[0]["data"] if t.get("name", "").startswith("<b>")}
    assert lines["A"]["x"][-1] == lines["B"]["x"][-1] == 1.0
    assert len(lines["B"]["x"]) == len(lines["A"]["x"]) + 1


def test_a_run_at_work_has_its_curves_so_far(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_in_state(home, "running")
    page = open_page("compare", runs=run_id)
    assert "None of these runs has been evaluated" in words(page)
    assert "At work: A" in words(page).replace("\\", "").replace("\u2060", "")
    before = [c["data"] for c in specs(page)]
    assert len(before) == 2
    RunStore(home).get(run_id).append_metrics({"kind": "epoch", "epoch": 2, "validation_r": 0.5})
    checked(page.run())
    assert [c["data"] for c in specs(page)][1] != before[1]


@pytest.mark.parametrize("bad", ["../../etc", "nobody", "", ",,,", "<b>x</b>"])
def test_unknown_runs_in_the_link_are_left_aside_and_told(home: Home, open_page: OpenPage, bad: str) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("compare", runs=f"{bad},{run_id},{run_id}")
    assert ("runs that are not here" in words(page)) == bool(bad.strip(","))
    assert list(frame_with(page, "Run")["Id"]) == [run_id]


def test_more_than_eight_in_a_link_are_the_first_eight(home: Home, open_page: OpenPage) -> None:
    ids = [fake_home.add_in_state(home, "stopped", f"r{i}") for i in range(10)]
    page = open_page("compare", runs=",".join(ids))
    assert list(frame_with(page, "Run")["Id"]) == ids[:8]
    assert "".join(frame_with(page, "Run")["Run"]) == "ABCDEFGH"


def test_ticks_are_taken_for_what_is_shown_and_a_ninth_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    address, state = {"runs": "found,hidden"}, {"t": {"selection": {"rows": [0, 1]}}}
    monkeypatch.setattr(compare_table.st, "query_params", address)
    monkeypatch.setattr(compare_table.st, "session_state", state)
    compare_table._ticked("t", ("new", "found"))
    assert address["runs"] == "found,hidden,new"  # letters stay as they are; what a filter hides stays chosen
    state["t"] = {"selection": {"rows": [0]}}
    compare_table._ticked("t", ("new", "found"))
    assert address["runs"] == "hidden,new"
    state["t"] = {"selection": {"rows": list(range(8))}}
    compare_table._ticked("t", tuple(f"r{i}" for i in range(8)))
    assert address["runs"].split(",") == ["hidden", "new", *(f"r{i}" for i in range(6))]
    assert state["compare_too_many"] is True


def test_broken_runs_among_the_chosen_never_break_the_page(home: Home, open_page: OpenPage) -> None:
    good, cut, half = (fake_home.add_done(home, n) for n in ("good", "cut", "half"))
    broken = fake_home.add_broken(home)
    (home.runs / cut / "records.json").write_text('{"encoding": [', encoding="utf-8")
    path = home.runs / half / "records.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["encoding"] = [r for r in data["encoding"] if r["model"] == "pretrained"]
    path.write_text(json.dumps(data), encoding="utf-8")
    newer = fake_home.add_in_state(home, "stopped", "newer")
    (home.runs / newer / "status.json").write_text('{"braindash": 9, "state": "done"}', encoding="utf-8")
    page = open_page("compare", runs=",".join([*broken, newer, good, cut, half]))
    assert list(frame_with(page, "Run")["Id"]) == [good, cut, half]
    said = words(page).replace("\\", "")
    assert "newer braindash" in said
    assert "cannot be read" in said
    assert len(specs(page)) == 5
    assert "cannot be read" in words(open_page("compare", runs=broken[0]))


@pytest.mark.parametrize("kind", sorted(fake_home.HOSTILE))
def test_hostile_names_tags_and_notes_are_text(home: Home, open_page: OpenPage, kind: str) -> None:
    evil = fake_home.HOSTILE[kind]
    run_id = fake_home.add_done(home, evil[:300])
    other = fake_home.add_done(home, "other")
    change_marks(home, run_id, add=[evil[:40].replace(",", "")], note=evil)
    page = open_page("compare", runs=f"{run_id},{other}")
    for element in (*page.markdown, *page.caption, *page.subheader, *page.title, *page.warning):
        assert evil[:30] not in element.value
    for chart in specs(page):
        assert "<img" not in json.dumps(chart)
    for chips in page.get("button_group"):
        assert all("<img" not in o.content or "\\<img" in o.content for o in chips.proto.options)


def test_star_tags_and_note_are_kept_and_others_changes_stay(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("compare", runs=run_id)
    change_marks(home, run_id, add=["hers"])  # someone else, after this page was drawn
    checked(page.toggle(key=f"marks_star_{run_id}").set_value(True).run())
    assert read_marks(home, run_id) == Marks(("hers",), "", True)
    note = f"marks_note_{run_id}"
    checked(page.text_area(key=note).set_value("mine").run())
    change_marks(home, run_id, note="theirs")
    page = checked(page.button(key="marks_save").click().run())
    assert read_marks(home, run_id).note == "theirs"  # not written over
    said = words(page)
    assert "theirs" in said
    assert "Someone else has changed this note" in said
    assert page.text_area(key=note).value == "mine"  # nor lost
    page = checked(page.button(key="marks_mine").click().run())
    assert read_marks(home, run_id).note == "mine"
    change_marks(home, run_id, note="new")
    assert checked(page.run()).text_area(key=note).value == "new"  # nothing of one's own stands there


def test_a_home_that_may_not_be_written_is_said(
    home: Home, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("compare", runs=run_id)

    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Read-only file system")

    monkeypatch.setattr("braindash.runs.marks.atomic_write", refuse)
    page = checked(page.toggle(key=f"marks_star_{run_id}").set_value(True).run())
    assert "may not be written" in page.error[0].value
    assert page.toggle(key=f"marks_star_{run_id}").value is False


def test_files_hold_numbers_with_units_and_no_formulas(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home, '=HYPERLINK("http://x")')
    open_page("compare")
    row = RunStore(home).row(run_id)
    data = compare_table.csv_table([row], {run_id: Marks(("@a", "b"), "-1+1")}, compare_table.headlines([row]))
    read = pd.read_csv(io.BytesIO(data))
    assert read["Change (r / noise ceiling)"][0] == pytest.approx(0.075)
    assert read["95 % interval, low"][0] == pytest.approx(0.055)
    assert read["Targets (n)"][0] == 171
    assert read["Name"][0].startswith("'=")
    assert read["Note"][0] == "'-1+1"
    assert read["Tags"][0] == "'@a; b"
    assert csv_bytes(pd.DataFrame({"x": [-1.5]})) == b"x\n-1.5\n"


def test_a_thousand_different_runs_are_listed_found_and_compared(home: Home, open_page: OpenPage) -> None:
    first = home.runs / fake_home.add_done(home, "first")
    ids = [f"20250101-{i // 3600:02d}{i // 60 % 60:02d}{i % 60:02d}-lora-mini-{i:04d}" for i in range(999)]
    settings = fake_home.config("").model_dump(mode="json")
    for i, run_id in enumerate(ids):  # files linked and written by hand: making a run flushes each to the disk
        folder = home.runs / run_id
        folder.mkdir()
        for name in ("status.json", "metrics.jsonl", "records.json", "log.txt"):
            (folder / name).hardlink_to(first / name)
        data = {**settings, "name": f"run number {i}", "seed": i}
        text = yaml.dump(data, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), sort_keys=False)
        (folder / "config.yaml").write_text(text, encoding="utf-8")
        twin = {"of": _digest(text.encode()), "settings": data}
        (folder / TWIN).write_text(json.dumps(twin), encoding="utf-8")
    for run_id in ids[::50]:
        change_marks(home, run_id, add=["fiftieth"])
    page = open_page("compare")
    assert len(table(page)) == 1000
    assert table(page)["Δ of ceiling"].notna().all()
    page = checked(page.text_input(key="q").set_value("number 998").run())
    assert list(table(page)["Id"]) == [ids[998]]
    page = checked(page.text_input(key="q").set_value("fiftieth").run())
    assert len(table(page)) == 20
    page = open_page("compare", runs=f"{ids[3]},{ids[4]}")
    assert "Add 6 other seeds" in page.button(key="compare_add_seeds").label
    assert frame_with(page, "Key")["Key"].tolist() == ["seed"]


def test_a_deleted_run_is_gone_from_the_choice(home: Home, open_page: OpenPage) -> None:
    ids = seeds(home, 8)
    page = open_page("compare", runs=",".join(ids))
    shutil.rmtree(Path(home.runs / ids[0]))
    assert list(frame_with(checked(page.run()), "Run")["Id"]) == [ids[1]]

"""The Runs page: every folder is a row, live ones move, and nothing is destroyed without a second click."""

from __future__ import annotations

import ast
import json
import re
import shutil

import fake_home
import pytest
from conftest import ROOT, OpenPage, checked, words

from braindash.config import Home
from braindash.runs.marks import Marks, change_marks, read_marks
from braindash.runs.record import RunStore
from braindash.ui import readers

UNESCAPED = re.compile(r"(?<!\\)(<[a-z/]|\[link\]|\*\*bold|:smile:|\$x|`code)")


def test_an_empty_home_says_what_to_do(open_page: OpenPage) -> None:
    assert "No model has been tuned in this home yet" in words(open_page("runs"))


def test_every_folder_is_a_row_and_broken_ones_are_flagged(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home, "good")
    broken = fake_home.add_broken(home)
    page = open_page("runs")
    table = page.dataframe[0].value
    assert len(table) == 4
    flagged = table[table["State"].str.contains("Unreadable")]
    assert set(flagged["Name"]) == set(broken)
    assert flagged["Note"].str.contains("cannot be read").all()
    assert "3 folders cannot be read" in words(page)


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_broken_run_can_be_looked_at_and_deleted(home: Home, open_page: OpenPage, which: int) -> None:
    run_id = fake_home.add_broken(home)[which]
    page = open_page("runs", run=run_id)
    assert "cannot be read" in page.error[0].value
    checked(page.button(key="delete").click().run())
    assert (home.runs / run_id).exists()  # a dialog asks first
    checked(page.button(key="delete_for_good").click().run())
    assert not (home.runs / run_id).exists()


def test_deleting_asks_first_and_can_be_declined(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("runs")
    checked(page.button(key="delete").click().run())
    assert "cannot be undone" in words(page)
    checked(page.button(key="keep").click().run())
    assert (home.runs / run_id).exists()


def test_buttons_follow_the_state(home: Home, open_page: OpenPage) -> None:
    ids = {state: fake_home.add_in_state(home, state) for state in ("running", "stopped", "failed", "interrupted")}
    keys = {}
    for state, run_id in ids.items():
        page = open_page("runs", run=run_id)
        keys[state] = {b.key for b in page.button} & {"stop", "resume", "delete"}
    assert keys["running"] == {"stop"}
    assert keys["stopped"] == keys["failed"] == keys["interrupted"] == {"resume", "delete"}


def test_stop_asks_the_worker(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_in_state(home, "running")
    page = open_page("runs", run=run_id)
    checked(page.button(key="stop").click().run())
    run = RunStore(home).get(run_id)
    assert run.stop_path.exists()
    assert run.status.state == "stopping"


def test_a_failed_run_says_why(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_in_state(home, "failed")
    said = words(open_page("runs", run=run_id)).replace("\\", "")
    assert "The loss became NaN at step 7." in said
    assert "Lower optimiser.lr." in said
    assert "22:15:20 step 14" in said  # its log


def test_progress_and_curves_of_a_live_run(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_in_state(home, "running")
    page = open_page("runs", run=run_id)
    bar = page.get("progress")[0].proto
    assert bar.value == 33
    assert "step 14 of 42" in bar.text
    assert "about 2 min left" in bar.text
    before = page.get("plotly_chart")[0].proto.spec
    RunStore(home).get(run_id).append_metrics({"kind": "step", "step": 15, "epoch": 2, "loss": 0.5})
    checked(page.run())
    assert page.get("plotly_chart")[0].proto.spec != before


def test_a_run_whose_process_is_gone_is_interrupted_not_running(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_in_state(home, "running")
    RunStore(home).get(run_id).update_status(pid=2**22 - 3, pid_start=1.0)
    page = open_page("runs", run=run_id)
    assert "Interrupted" in page.dataframe[0].value["State"].iloc[0]
    assert page.button(key="resume")


def test_the_settings_can_be_repeated_from_the_command_line(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home, "it's a name", seed=7)
    commands = [c.value for c in open_page("runs", run=run_id).code]
    assert any("braindash tune" in c and "--seed 7" in c and """'it'"'"'s a name'""" in c for c in commands)


@pytest.mark.parametrize("kind", sorted(fake_home.HOSTILE))
def test_a_hostile_name_is_text(home: Home, open_page: OpenPage, kind: str) -> None:
    run_id = fake_home.add_in_state(home, "stopped", fake_home.HOSTILE[kind])
    page = open_page("runs", run=run_id)
    for element in (*page.markdown, *page.caption, *page.subheader, *page.title):
        assert not UNESCAPED.search(element.value), element.value
    checked(page.button(key="delete").click().run())


@pytest.mark.parametrize("bad", ["../../etc", "..", "/etc/passwd", "nobody", ""])
def test_an_unknown_run_in_the_link_shows_another(home: Home, open_page: OpenPage, bad: str) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("runs", run=bad)
    assert page.selectbox(key="_run").value == run_id


def test_a_star_and_tags_are_given_and_shown_here_too(home: Home, open_page: OpenPage) -> None:
    run_id, other = fake_home.add_done(home), fake_home.add_in_state(home, "stopped")
    page = open_page("runs", run=run_id)
    assert "Tags" not in page.dataframe[0].value  # no columns before there are any
    page = checked(page.toggle(key=f"marks_star_{run_id}").set_value(True).run())
    change_marks(home, other, add=["again"])
    shown = checked(page.run()).dataframe[0].value
    assert set(shown["★"]) == {"★", ""}
    assert sorted(map(list, shown["Tags"])) == [[], ["again"]]
    assert read_marks(home, run_id) == Marks(starred=True)


def test_the_filter(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home)
    fake_home.add_in_state(home, "failed")
    page = open_page("runs", state="attention")
    assert list(page.dataframe[0].value["State"].str[2:]) == ["Failed"]


def test_each_run_has_its_own_curves(home: Home, open_page: OpenPage) -> None:
    """One run after the other in one server: what was read of the first is not shown for the second."""
    from braindash.ui import live

    store = RunStore(home)
    first, second = (store.get(fake_home.add_in_state(home, "stopped", name)) for name in ("a", "b"))
    second.append_metrics({"kind": "epoch", "epoch": 9, "validation_r": 0.9})
    assert live.metrics(first) == first.metrics
    assert live.metrics(second) == second.metrics
    first.append_metrics({"kind": "epoch", "epoch": 7, "validation_r": 0.7})
    assert live.metrics(first) == first.metrics


def test_results_that_are_written_again_are_read_again(home: Home, open_page: OpenPage) -> None:
    run = RunStore(home).get(fake_home.add_done(home))
    assert readers.results(run).models == ("pretrained", "brain_tuned", "block_permuted")
    fewer = fake_home.records(run.id, models=("pretrained", "brain_tuned"))
    (run.path / "records.json").write_text(json.dumps({"braindash": 1, **fewer}), encoding="utf-8")
    assert readers.results(run).models == ("pretrained", "brain_tuned")


def test_no_cache_of_the_pages_has_an_argument_that_streamlit_leaves_out() -> None:
    """An argument whose name begins with an underscore is no part of a cache's key."""
    found = []
    for path in (*(ROOT / "braindash" / "ui").glob("*.py"), *(ROOT / "pages").rglob("*.py"), ROOT / "app.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and any("st.cache" in ast.unparse(d) for d in node.decorator_list):
                given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                found += [f"{path.name}: {node.name}({a.arg})" for a in given if a.arg.startswith("_")]
    assert found == []


def test_a_thousand_runs_are_all_in_the_table(home: Home, open_page: OpenPage) -> None:
    first = home.runs / fake_home.add_in_state(home, "stopped")
    for i in range(999):  # copies: making a run flushes every file to the disk
        shutil.copytree(first, home.runs / f"20250101-000000-lora-mini-{i:04d}")
    assert len(open_page("runs").dataframe[0].value) == 1000

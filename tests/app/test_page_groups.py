"""A group of runs on the Runs page: one row that opens to its settings; nothing is done to it unasked."""

from __future__ import annotations

import re

import fake_home
import group_home
import numpy as np
import pytest
from conftest import OpenPage, checked, words

from braindash.config import Home
from braindash.figures import SettingLine, group_curves, setting_lines
from braindash.runs.record import RunStore

UNESCAPED = re.compile(r"(?<!\\)(<[a-z/]|\[link\]|\*\*bold|:smile:|\$x|`code)")
GROUP = "rank-lr-20261122-0131"
HOSTILE = {**fake_home.HOSTILE, "long": "y" * 100}


def said(page: object) -> str:
    return words(page).replace("\\", "").replace("\u2060", "")  # type: ignore[arg-type]


def test_a_group_is_one_row(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home, "alone")
    group_home.add_group(home, GROUP)
    page = open_page("runs")
    table = page.dataframe[0].value
    assert set(table["Name"]) == {f"▤ {GROUP}", "alone"}  # made in the same second, in either order
    row = table.set_index("Name").loc[f"▤ {GROUP}"]
    assert row["State"] == "✓ Done"
    assert "27 runs: 27 done; best: rank 8, lr 0.0003" in row["Note"]
    scores = [group_home.score(8, 3e-4, seed) for seed in range(3)]
    assert row["Validation r"] == f"{np.mean(scores):.4f} ± {np.std(scores, ddof=1):.4f}"
    assert "28 runs · 27 of them in 1 group" in said(page)


def test_an_open_group_says_which_setting_was_best_and_shows_all(home: Home, open_page: OpenPage) -> None:
    ids = group_home.add_group(home, GROUP, seeds=2, controls=["block-permuted"])
    page = open_page("runs", group=GROUP)
    text = said(page)
    scores = [group_home.score(8, 3e-4, seed) for seed in range(2)]
    assert f"rank 8, lr 0.0003, with r = {np.mean(scores):.4f} ± {np.std(scores, ddof=1):.4f} over 2 seeds" in text
    assert "The test stories choose nothing." in text
    table = page.dataframe[1].value
    assert len(table) == 18  # nine settings and the control of each
    assert list(table[""])[:2] == ["★ best", ""]
    assert (table["rank"].iloc[0], table["lr"].iloc[0]) == ("8", "0.0003")
    assert table["Control"].iloc[0] == "–"
    assert "not to be compared with the others" in text
    charts = page.get("plotly_chart")
    assert len(charts) == 2
    assert page.selectbox(key="_run").value == ""
    one = open_page("runs", group=GROUP, run=ids[1])
    assert "seed 0" in said(one)
    assert len(one.get("plotly_chart")) == 3  # and the run's own curves


def test_a_run_of_a_group_leads_to_it(home: Home, open_page: OpenPage) -> None:
    ids = group_home.add_group(home, GROUP, {"rank": [4, 8]}, seeds=1)
    page = open_page("runs", run=ids[0])
    assert page.selectbox(key="_run").value == ids[0]
    assert any(GROUP in link.proto.label.replace("\\", "") for link in page.get("page_link"))


def test_a_run_asked_for_after_a_group_is_shown_alone(home: Home, open_page: OpenPage) -> None:
    alone = fake_home.add_done(home, "alone")
    group_home.add_group(home, GROUP, {"rank": [4, 8]}, seeds=1)
    page = open_page("runs", group=GROUP)
    page.query_params.clear()
    page.query_params["run"] = alone  # as a line of the table that is chosen, or a link, does
    checked(page.run())
    assert page.selectbox(key="_group").value == ""
    assert page.selectbox(key="_run").value == alone


def test_an_unknown_group_in_the_link_is_told(home: Home, open_page: OpenPage) -> None:
    group_home.add_group(home, GROUP, {"rank": [4]}, seeds=1)
    page = open_page("runs", group="nowhere")
    assert "names something that is not here" in said(page)
    assert page.selectbox(key="_group").value == ""


@pytest.mark.parametrize("kind", sorted(HOSTILE))
def test_a_hostile_group_name_is_text(home: Home, open_page: OpenPage, kind: str) -> None:
    name = " ".join(HOSTILE[kind].split())
    group_home.add_group(home, name, {"rank": [4, 8]}, seeds=1)
    page = open_page("runs", group=name)
    for element in (*page.markdown, *page.caption, *page.subheader, *page.title):
        assert not UNESCAPED.search(element.value), element.value
    checked(page.button(key="group_delete").click().run())


def test_hostile_values_are_text_in_the_figures() -> None:
    import plotly.io

    bad = "<img src=x onerror=1>"
    line = SettingLine([bad], [0.1, 0.2], [((0, 1), (0.1, 0.2))], True)
    for figure in (setting_lines([bad], [[bad]], [line]), group_curves([bad], [line])):
        texts = [t.name or "" for t in figure.data] + [t.hovertemplate for t in figure.data]
        texts += [a.text for a in figure.layout.annotations]
        assert not any("<img" in t for t in texts)
        assert plotly.io.to_json(figure)


def test_deleting_a_group_asks_first(home: Home, open_page: OpenPage) -> None:
    alone = fake_home.add_done(home, "alone")
    ids = group_home.add_group(home, GROUP, {"rank": [4, 8]}, seeds=2)
    page = open_page("runs", group=GROUP)
    checked(page.button(key="group_delete").click().run())
    assert "4 runs of 4" in said(page)
    assert "cannot be undone" in said(page)
    checked(page.button(key="group_keep").click().run())
    assert set(ids) < set(RunStore(home).ids())
    checked(page.button(key="group_delete").click().run())
    checked(page.button(key="group_do").click().run())
    assert list(RunStore(home).ids()) == [alone]


def test_stopping_a_group_asks_those_that_wait_or_work(home: Home, open_page: OpenPage) -> None:
    ids = group_home.add_group(home, GROUP, {"rank": [4, 8, 16]}, seeds=1, states={1: "running", 2: "queued"})
    page = open_page("runs", group=GROUP)
    keys = {b.key for b in page.button if b.key and b.key.startswith("group_")}
    assert keys == {"group_stop"}  # what waits or works cannot be deleted
    checked(page.button(key="group_stop").click().run())
    assert not RunStore(home).get(ids[1]).stop_path.exists()
    checked(page.button(key="group_do").click().run())
    assert [RunStore(home).get(i).stop_path.exists() for i in ids] == [False, True, True]
    assert page.get("progress")[0].proto.value == 46  # one of three done, one at two fifths


def test_the_filters_know_groups(home: Home, open_page: OpenPage) -> None:
    fake_home.add_done(home, "alone")
    group_home.add_group(home, GROUP, {"rank": [4, 8]}, seeds=1, states={1: "failed"})

    def shown(state: str) -> set[str]:
        return set(open_page("runs", state=state).dataframe[0].value["Name"])

    assert shown("done") == {"alone"}
    assert shown("attention") == {f"▤ {GROUP}"}
    assert shown("all") == {f"▤ {GROUP}", "alone"}


def test_a_setting_ahead_with_seeds_to_come_is_told(home: Home, open_page: OpenPage) -> None:
    group_home.add_group(home, GROUP, {"rank": [4, 8]}, seeds=2, states={3: "running"})  # 8 is better, and not through
    page = open_page("runs", group=GROUP)
    text = said(page)
    assert "Best so far on the validation stories: rank 4" in text
    assert f"rank 8 is ahead with r = {group_home.score(8, 3e-3, 0):.4f}, but has 1 of 2 seeds so far." in text
    assert "same score" not in text


def test_the_curves_follow_the_runs(home: Home, open_page: OpenPage) -> None:
    ids = group_home.add_group(home, GROUP, {"rank": [4, 8]}, seeds=1, states={1: "running"})
    page = open_page("runs", group=GROUP)
    before = page.get("plotly_chart")[-1].proto.spec
    RunStore(home).get(ids[1]).append_metrics({"kind": "epoch", "epoch": 3, "validation_r": 0.5})
    checked(page.run())
    assert page.get("plotly_chart")[-1].proto.spec != before


def test_a_group_without_a_score_yet(home: Home, open_page: OpenPage) -> None:
    group_home.add_group(home, GROUP, {"rank": [4, 8]}, seeds=1, states={0: "queued", 1: "queued"})
    page = open_page("runs", group=GROUP)
    assert "The first score comes" in said(page)
    assert "best" not in page.dataframe[0].value["Note"].iloc[0]


# --- the figures ---------------------------------------------------------------------------------


def lines() -> list[SettingLine]:
    return [
        SettingLine(["4", "a"], [0.10, 0.12], [((0, 1), (0.05, 0.10)), ((0, 1), (0.05, 0.12))]),
        SettingLine(["8", "b"], [0.30, 0.30], [((0, 1), (0.05, 0.30))] * 2, best=True),
        SettingLine(["8", "a"], [], [((0,), (0.05,))]),
    ]


def test_parallel_coordinates_place_values_and_scores() -> None:
    figure = setting_lines(["rank", "mode"], [["4", "8"], ["a", "b"]], lines())
    drawn = [t for t in figure.data if t.mode == "lines+markers"]
    assert len(drawn) == 2  # the one without a score is left out
    best = drawn[-1]  # on top
    worst = drawn[0]
    assert best.line.width > worst.line.width
    assert best.y[0] > worst.y[0]  # 8 above 4
    assert best.y[1] > worst.y[1]  # b above a
    low, high = worst.y[2], best.y[2]
    dots = [t for t in figure.data if t.mode == "markers"]
    ys = sorted(y for t in dots for y in t.y)
    # linear in the score: .11 lies at (.11 - .10) / (.30 - .10) of the way from the lowest run to the highest
    assert (low - ys[0]) / (ys[-1] - ys[0]) == pytest.approx(0.05)
    assert high == pytest.approx(ys[-1])
    alt = figure.layout.meta["alt"]
    for word in ("rank, mode", "2 settings", "0.110", "0.300", "best: rank 8, mode b"):
        assert word in alt


def test_curves_are_of_every_run_and_the_best_stands_out() -> None:
    figure = group_curves(["a", "b", "c"], lines())
    assert len(figure.data) == 5
    assert [t.name for t in figure.data if t.showlegend][-1] == "★ b"
    assert max(figure.data, key=lambda t: t.line.width).name == "★ b"
    assert "5 runs of 3 settings" in figure.layout.meta["alt"]


def test_figures_without_a_score_say_so() -> None:
    from braindash.errors import BraindashError

    with pytest.raises(BraindashError, match="No run"):
        setting_lines(["rank"], [["4"]], [SettingLine(["4"])])
    with pytest.raises(BraindashError, match="No run"):
        group_curves(["a"], [SettingLine(["4"])])

"""The Probes page: its answer to planted differences, its panels and details, and files that are not as they should."""

from __future__ import annotations

import base64
import csv
import io
import json
from typing import Any

import fake_home
import numpy as np
import probing_home
import pytest
from conftest import OpenPage, checked, words
from probing_home import figures, panels, probed

from braindash.config import Home
from braindash.runs.record import RunStore
from braindash.ui import probes_readers, probes_tables

PAIR = ("pretrained", "brain_tuned")


def change(home: Home, run_id: str, edit: Any) -> None:
    """Edit ``probing.json`` as something else than braindash might leave it."""
    path = home.runs / run_id / "probing.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    edit(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def numbers(packed: Any) -> np.ndarray:
    """Return an array as Plotly packs it."""
    if isinstance(packed, dict):
        flat = np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"])
        return flat.reshape([int(n) for n in packed["shape"].split(",")]) if "shape" in packed else flat
    return np.array(packed, dtype=float)


def stars(heat: dict[str, Any]) -> set[tuple[int, int]]:
    """Return the cells (task, layer) of the table of differences that carry a star."""
    cells = heat["data"][1]
    where = zip(numbers(cells["y"]), numbers(cells["x"]), cells["text"], strict=True)
    return {(int(i), int(j)) for i, j, text in where if "*" in text}


def said(page: Any) -> str:
    return words(page).replace("\\", "").replace("\u2060", "")


# --- what is there -------------------------------------------------------------------------------


def test_an_empty_home_says_what_to_do(open_page: OpenPage) -> None:
    assert "No results yet" in words(open_page("probes"))


def test_a_run_that_was_not_probed_is_offered_with_its_command(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    page = open_page("probes")
    assert page.selectbox(key="_run").value == run_id
    assert f"braindash probe {run_id}" in words(page)
    assert "has not been probed" in words(page)


def test_the_newest_run_that_was_probed_comes_first_and_others_can_be_chosen(home: Home, open_page: OpenPage) -> None:
    run_id = probed(home)
    newer = fake_home.add_done(home, "newer")
    page = open_page("probes")
    assert page.selectbox(key="_run").value == run_id
    other = open_page("probes", run=newer)
    assert f"braindash probe {newer}" in words(other)


def test_the_answer_names_what_rose_and_fell_and_how_much_was_tested(home: Home, open_page: OpenPage) -> None:
    probed(home)
    text = said(open_page("probes"))
    assert (
        "With brain-tuning, higher: word identity (layers 3–4, most +0.080 at 4) and word meaning (layers 3–4, most "
        "+0.050 at 4); lower: pitch (layers 3–4, most −0.060 at 4). 6 of 16 tested pairs of task and layer differ"
    ) in text
    assert "Layers 0–2 are the same in both models." in text
    assert "differ from the pretrained one: Block-permuted 0 of 16." in text
    assert "19.6 min of sound, 20 recordings, 4 of them scored." in text
    assert "Words and phones of a synthetic voice." in text


def test_a_rise_below_chance_and_the_changes_of_a_control_are_said(home: Home, open_page: OpenPage) -> None:
    run_id = probed(home)

    def sink(document: dict[str, Any]) -> None:
        for row in document["rows"]:
            if row["task"] == "meaning":
                row["score"], row["ci_low"] = row["score"] - 0.2, row["ci_low"] - 0.2
        for row in document["differences"]:
            if (row["model"], row["task"], row["layer"]) == ("block_permuted", "mel", 4):
                row.update(delta=-0.03, q=0.01)

    change(home, run_id, sink)
    text = said(open_page("probes"))
    assert "word meaning (layers 3–4, most +0.050 at 4, not above chance)" in text
    assert "word identity (layers 3–4, most +0.080 at 4) and" in text
    assert "Block-permuted 1 of 16 (mel spectrum)." in text

    def both_ways(document: dict[str, Any]) -> None:
        for row in document["differences"]:
            if (row["model"], row["task"], row["layer"]) == ("block_permuted", "mel", 3):
                row.update(delta=0.03, q=0.01)

    change(home, run_id, both_ways)
    assert "Block-permuted 2 of 16 (mel spectrum)." in said(open_page("probes")), "a task is named once"


def test_tasks_stand_from_sound_to_meaning_and_then_the_others(home: Home, open_page: OpenPage) -> None:
    probed(home)
    assert list(panels(open_page("probes")))[:8] == [
        "Mel spectrum", "Pitch", "Phone identity", "Articulatory features", "Word identity", "Part of speech",
        "Word meaning", "Speaker",
    ]  # fmt: skip


def test_a_panel_holds_scores_bands_shuffled_labels_chance_and_baseline(home: Home, open_page: OpenPage) -> None:
    probed(home)
    panel = panels(open_page("probes"))["Word identity"]
    word = next(t for t in probing_home.TASKS if t.name == "word")
    marks = {t["customdata"][0][0]: t for t in panel["data"] if "markers" in t["mode"]}
    assert set(marks) == set(probing_home.MODELS)
    for model, trace in marks.items():
        expected = [word.score(model, k / 4) for k in range(5)]
        assert numbers(trace["y"]) == pytest.approx(expected)
    assert marks["random_weights"]["line"]["dash"] == "dash"
    assert marks["block_permuted"]["line"]["width"] < marks["brain_tuned"]["line"]["width"]
    bands = [t for t in panel["data"] if t.get("fill") == "toself"]
    assert len(bands) == 2
    assert numbers(bands[0]["y"])[:5] - numbers(bands[0]["y"])[5:][::-1] == pytest.approx([0.03] * 5)
    dotted = [t for t in panel["data"] if t["line"].get("dash") == "dot"]
    assert [numbers(t["y"])[0] for t in dotted] == pytest.approx([0.09, 0.09])
    across = {s["line"]["dash"]: s["y0"] for s in panel["layout"]["shapes"] if s["type"] == "line"}
    assert across == {"solid": 0.1, "dash": 0.02}
    assert panel["layout"]["yaxis"]["title"]["text"] == "macro F1, 10 classes"
    pitch = panels(open_page("probes"))["Pitch"]
    assert pitch["layout"]["yaxis"]["title"]["text"] == "R²"
    assert len([s for s in pitch["layout"]["shapes"] if s["type"] == "line"]) == 1  # baseline is chance


def test_the_table_of_differences_is_centred_on_zero_and_stars_what_was_found(home: Home, open_page: OpenPage) -> None:
    probed(home)
    heat = figures(open_page("probes"), "heatmap")[0]
    table = heat["data"][0]
    z = numbers(table["z"])
    assert table["zmin"] == -table["zmax"] < 0
    assert heat["layout"]["yaxis"]["ticktext"][4] == "Word identity "
    assert z[4] == pytest.approx([0, 0, 0, 0.04, 0.08])
    assert stars(heat) == {(1, 3), (1, 4), (4, 3), (4, 4), (6, 3), (6, 4)}
    told = heat["data"][1]["hovertext"]
    assert any("Word identity" in t and "Δ +0.0800" in t and "0.068 to 0.092" in t and "q = 0.004" in t for t in told)
    control = open_page("probes", model="block_permuted")
    other = figures(control, "heatmap")[0]
    assert other["data"][0]["zmax"] == table["zmax"]  # one scale for all tuned models
    assert not stars(other)


def test_selectivity_is_score_minus_shuffled_and_has_no_stars(home: Home, open_page: OpenPage) -> None:
    run_id = probed(home)

    def lift(document: dict[str, Any]) -> None:
        for row in document["rows"]:
            if row["model"] == "brain_tuned" and row["task"] == "mel":
                row["shuffled"] += 0.1
                row["selectivity"] -= 0.1

    change(home, run_id, lift)
    page = open_page("probes", measure="selectivity")
    heat = figures(page, "heatmap")[0]
    assert numbers(heat["data"][0]["z"])[0] == pytest.approx([-0.1] * 5)
    assert not stars(heat)
    assert "Differences in selectivity are not tested" in said(page)


# --- details -------------------------------------------------------------------------------------


def test_the_strongest_difference_is_shown_first_and_a_link_shows_another(home: Home, open_page: OpenPage) -> None:
    probed(home)
    page = open_page("probes")
    assert (page.selectbox(key="_task").value, page.selectbox(key="_layer").value) == ("word", "4")
    linked = open_page("probes", task="pitch", layer="3")
    assert linked.selectbox(key="_task").value == "pitch"
    assert "Pitch, layer 3" in said(linked)
    metrics = {m.label: m.value for m in linked.metric}
    assert metrics["Pretrained, R²"] == "0.455"
    assert metrics["Difference"] == "−0.030"
    panel = panels(linked)["Pitch"]
    assert [s["x0"] for s in panel["layout"]["shapes"] if s["type"] == "rect"] == [2.65]
    assert not [s for s in panels(linked)["Word identity"]["layout"]["shapes"] if s["type"] == "rect"]


def test_the_folds_hold_both_models_and_what_was_held_out(home: Home, open_page: OpenPage) -> None:
    probed(home)
    table = open_page("probes", task="word", layer="4").dataframe[0].value
    assert table["Held out"].tolist() == [f"story-{i}" for i in range(4)]
    assert table["Fold"].tolist() == [1, 2, 3, 4]
    assert table["Pretrained"].to_numpy() == pytest.approx([0.585, 0.595, 0.605, 0.615])
    assert table["Difference"].to_numpy() == pytest.approx([0.08] * 4)
    assert table["Train"].tolist() == [840] * 4
    assert table["Items held out"].tolist() == [26] * 4
    assert "Items held out" not in open_page("probes", task="pitch").dataframe[0].value


def test_confusions_are_shares_of_the_true_class(home: Home, open_page: OpenPage) -> None:
    run_id = probed(home)
    page = open_page("probes", task="pos", layer="4")
    maps = figures(page, "heatmap")[1:]
    assert len(maps) == 3
    data = probing_home.arrays(json.loads((home.runs / run_id / "probing.json").read_text(encoding="utf-8")))
    counts = data["confusion_pos"].sel(layer=4)
    expected = {m: 100 * (c := counts.sel(model=m).values) / c.sum(1, keepdims=True) for m in PAIR}
    for shown, model in zip(maps, PAIR, strict=False):
        assert numbers(shown["data"][0]["z"]) == pytest.approx(expected[model])
        assert (shown["data"][0]["zmin"], shown["data"][0]["zmax"]) == (0, 100)
    difference = maps[2]["data"][0]
    assert numbers(difference["z"]) == pytest.approx(expected["brain_tuned"] - expected["pretrained"])
    assert difference["zmin"] == -difference["zmax"]
    one = counts.sel(model="pretrained").values
    assert numbers(maps[0]["data"][0]["customdata"])[0, 1].tolist() == [one[0, 1], one[0].sum()]
    two = counts.sel(model="brain_tuned").values
    both = numbers(difference["customdata"])[0, 1].tolist()
    assert both == [one[0, 1], one[0].sum(), two[0, 1], two[0].sum()]


def test_regressions_and_labels_have_no_confusions(home: Home, open_page: OpenPage) -> None:
    probed(home)
    for task in ("pitch", "manner"):
        assert len(figures(open_page("probes", task=task), "heatmap")) == 1


def test_of_many_classes_the_frequent_ones_are_drawn(home: Home, open_page: OpenPage) -> None:
    many = probing_home.FakeTask("word", "Word identity", "classification", "lexical", (0.1, 0.2, 0.3),
                                 tuple(f"w{i:03}" for i in range(55)), gain=0.05)  # fmt: skip
    probed(home, tasks=[many])
    page = open_page("probes")
    drawn = figures(page, "heatmap")[1]
    assert len(drawn["data"][0]["z"]["shape"].split(",")) == 2
    assert drawn["layout"]["yaxis"]["ticktext"] == [f"w{i:03}" for i in range(40)]  # made with falling counts
    assert "the 40 of 55 classes with the most examples" in said(page)


def test_without_the_arrays_the_rest_is_shown(home: Home, open_page: OpenPage) -> None:
    run_id = probed(home)
    (home.runs / run_id / "probing.nc").unlink()
    page = open_page("probes", task="word")
    assert "confusions of this probe were not stored" in said(page)
    (home.runs / run_id / "probing.nc").write_bytes(b"CDF\x02 cut off")
    damaged = open_page("probes", task="word")
    assert any("cannot be read" in e.value for e in damaged.error)
    assert not damaged.dataframe[0].value.empty


def test_what_the_probes_are_and_what_was_not_done_is_said(home: Home, open_page: OpenPage) -> None:
    probed(home)
    text = said(open_page("probes"))
    assert "Not done: Emotion, because no recording has the label emotion." in text
    assert "Left out: 812 examples beyond the limit." in text
    assert "Pitch, read from the mean state of each example." in text


# --- a click, without a browser ------------------------------------------------------------------


def test_a_click_goes_into_the_address_and_a_stray_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    from braindash.ui import address, probes_view

    class Streamlit:
        query_params: dict[str, str] = {}  # noqa: RUF012
        session_state: dict[str, Any] = {}  # noqa: RUF012

    monkeypatch.setattr(probes_view, "st", Streamlit)
    monkeypatch.setattr(address, "st", Streamlit)
    state = Streamlit.session_state
    state[probes_view.TASKS_KEY], state["_probe_layers"] = ["mel", "word"], [0, 2, 4]
    state["panel"] = {"selection": {"points": [{"x": 2, "customdata": ["block_permuted"]}]}}
    probes_view._chosen_point("panel", 1)
    assert Streamlit.query_params == {"task": "word", "layer": "2", "model": "block_permuted"}
    state["panel"] = {"selection": {"points": [{"x": 4, "customdata": ["pretrained"]}]}}
    probes_view._chosen_point("panel", 0)
    assert Streamlit.query_params == {"task": "mel", "layer": "4", "model": "block_permuted"}
    state["table"] = {"selection": {"points": [{"x": 1, "y": 1}]}}
    probes_view._chosen_cell("table")
    assert (Streamlit.query_params["task"], Streamlit.query_params["layer"]) == ("word", "2")
    before = dict(Streamlit.query_params)
    state["table"] = {"selection": {"points": []}}  # let go of
    probes_view._chosen_cell("table")
    state["table"] = {"selection": {"points": [{"x": 9, "y": 7}]}}
    probes_view._chosen_cell("table")
    probes_view._chosen_point("nothing", 0)
    assert Streamlit.query_params == before


# --- numbers to take away ------------------------------------------------------------------------


def test_the_file_holds_every_row_with_its_difference(home: Home) -> None:
    run_id = probed(home)
    found = probes_readers.probing(RunStore(home).get(run_id))
    assert found is not None
    table = list(csv.DictReader(io.StringIO(probes_tables.csv(found))))
    assert len(table) == len(probing_home.TASKS) * 4 * 5
    row = next(r for r in table if (r["model"], r["task"], r["layer"]) == ("brain_tuned", "word", "4"))
    assert float(row["score"]) == pytest.approx(0.68)
    assert float(row["delta"]) == pytest.approx(0.08)
    assert float(row["q"]) == pytest.approx(0.004)
    untouched = next(r for r in table if (r["model"], r["task"], r["layer"]) == ("pretrained", "word", "4"))
    assert untouched["delta"] == untouched["q"] == ""


def test_largest_changes_are_counted_in_percent_of_the_true_class() -> None:
    before = np.array([[80, 20, 0], [10, 90, 0], [1, 0, 2]])
    after = np.array([[60, 40, 0], [10, 90, 0], [3, 0, 0]])  # the third class has too few examples
    assert probes_tables.largest_changes(before, after, ["b", "p", "<i>t</i>"]) == [
        "“b” read rightly: 80 % → 60 % of 100 examples",
        "“b” read as “p”: 20 % → 40 % of 100 examples",
    ]
    assert np.isnan(probes_tables.shares(np.zeros((2, 2), int))).all()


# --- files that are not as they should be --------------------------------------------------------


@pytest.mark.parametrize("bad", ["{", '{"rows": 7}', "[]", '{"rows": [], "differences": [], "folds": []}'])
def test_a_damaged_file_is_a_message(home: Home, open_page: OpenPage, bad: str) -> None:
    run_id = fake_home.add_done(home)
    (home.runs / run_id / "probing.json").write_text(bad, encoding="utf-8")
    page = open_page("probes")
    assert any("cannot be read" in e.value for e in page.error)
    assert any(f"braindash probe {run_id}" in e.value.replace("\\", "") for e in page.error)


def test_a_newer_format_is_said(home: Home, open_page: OpenPage) -> None:
    run_id = probed(home)
    change(home, run_id, lambda d: d.update(braindash=2))
    assert "newer version of braindash" in open_page("probes").error[0].value.replace("\\", "")


@pytest.mark.parametrize("column", ["model", "task", "layer", "score"])
def test_a_row_without_what_it_is_of_is_a_message(home: Home, open_page: OpenPage, column: str) -> None:
    run_id = probed(home)
    change(home, run_id, lambda d: d["rows"][3].pop(column))
    assert column in open_page("probes").error[0].value


def test_what_rows_need_not_have_may_be_missing(home: Home, open_page: OpenPage) -> None:
    run_id = probed(home)

    def strip(document: dict[str, Any]) -> None:
        document["rows"] = [{k: r[k] for k in ("model", "task", "layer", "score")} for r in document["rows"]]
        document["folds"] = document["differences"] = []
        for key in ("tasks", "corpus", "not_done", "settings", "caveats", "seconds"):
            document.pop(key)

    change(home, run_id, strip)
    page = open_page("probes")
    assert "mel" in panels(page)
    assert "no other model whose probes could be compared" in said(page)


def test_nothing_but_nulls_is_shown_as_nothing(home: Home, open_page: OpenPage) -> None:
    run_id = probed(home)

    def empty(document: dict[str, Any]) -> None:
        for table in ("rows", "differences", "folds"):
            for row in document[table]:
                row.update({k: None for k, v in row.items() if isinstance(v, float)})

    change(home, run_id, empty)
    page = open_page("probes")
    assert not page.exception
    assert "No probe of Mel spectrum has a score." in said(page)
    assert "No difference between the brain-tuned model and the pretrained one could be tested." in said(page)


@pytest.mark.parametrize("models", [("pretrained",), ("pretrained", "block_permuted"), ("brain_tuned",)])
def test_models_may_be_missing(home: Home, open_page: OpenPage, models: tuple[str, ...]) -> None:
    probed(home, models=models)
    page = open_page("probes")
    assert len(panels(page)) >= len(probing_home.TASKS)
    assert len(page.get("metric"))


def test_one_task_and_one_layer_are_enough(home: Home, open_page: OpenPage) -> None:
    probed(home, tasks=probing_home.TASKS[:1], layers=(2,))
    page = open_page("probes")
    assert list(panels(page)) == ["Word meaning"]
    assert page.selectbox(key="_layer").value == "2"


def test_text_of_others_is_text(home: Home, open_page: OpenPage) -> None:
    evil = fake_home.HOSTILE["html"]
    task = probing_home.FakeTask(
        "word", evil, "classification", "lexical", (0.1, 0.2, 0.3), (evil, fake_home.HOSTILE["markdown"], "c"), gain=0.1
    )
    run_id = probed(home, tasks=[task], caveats=[evil])

    def spoil(document: dict[str, Any]) -> None:
        document["corpus"]["title"] = document["not_done"][0]["why"] = evil
        document["tasks"][0]["explanation"] = document["tasks"][0]["metric"] = evil
        document["folds"][0]["held_out"] = [evil]

    change(home, run_id, spoil)
    page = open_page("probes")
    for chart in page.get("plotly_chart"):
        spec = json.loads(chart.proto.spec)
        shown = json.dumps(spec["layout"]) + json.dumps(spec["data"])
        assert "<img" not in shown
        assert "&lt;img" in shown or "Legend" in chart.proto.alt
    for kind in ("markdown", "caption", "warning", "subheader", "title"):
        for element in getattr(page, kind):
            assert "<img" not in element.value.replace("\\<", ""), element.value


def test_twenty_five_layers_fifteen_tasks_and_nine_models(home: Home, open_page: OpenPage) -> None:
    tasks = [probing_home.FakeTask(f"t{i}", f"Task number {i}", "regression", "lexical", (0.1, 0.4, 0.3), gain=0.1)
             for i in range(15)]  # fmt: skip
    models = (*fake_home.ALL_MODELS, "random_weights")
    probed(home, tasks=tasks, models=models, layers=tuple(range(25)))
    page = open_page("probes", model="stimulus_only")
    assert len(panels(page)) == 15
    _, clicks, stars = figures(page, "heatmap")[0]["data"]  # numbers would not fit
    assert "text" not in clicks
    assert len(clicks["x"]) == 15 * 25
    assert stars["marker"]["symbol"] == "asterisk-open"
    assert page.multiselect(key="_controls").value == list(fake_home.ALL_MODELS[2:])
    checked(page.multiselect(key="_controls").set_value([]).run())
    drawn = next(iter(panels(page).values()))["data"]
    names = {t["customdata"][0][0] for t in drawn if "markers" in t["mode"]}
    assert names == {*PAIR, "stimulus_only", "random_weights"}

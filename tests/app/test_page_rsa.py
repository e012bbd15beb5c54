"""The RSA page: maps, the cell in the link, RDMs, and files that are old, damaged, small, large or hostile."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

import fake_home
import numpy as np
import pandas as pd
import pytest
import rsa_home
from conftest import OpenPage, checked, words
from scipy.stats import rankdata

from braindash.config import Home

IN_ORDER = ["primary_auditory", "late_language", "ag", "cortex"]


def plots(page: Any) -> list[dict[str, Any]]:
    return [json.loads(c.proto.spec) for c in page.get("plotly_chart")]


def array(packed: Any) -> np.ndarray:
    """Return an array as Plotly packs it."""
    if not isinstance(packed, dict):
        return np.array(packed, dtype=float)
    flat = np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"])
    return flat.reshape([int(k) for k in packed["shape"].split(",")]) if "shape" in packed else flat


def planted(model: str, subject: str = "all") -> np.ndarray:
    """Return the similarities of a model as the page's maps hold them: regions down, layers across."""
    return np.array([[rsa_home.similarity(model, r, k, subject) for k in rsa_home.LAYERS] for r in IN_ORDER])


def shown(text: str) -> str:
    """Return what the page says with its escapes taken out."""
    return text.replace("\\", "").replace("\u2060", "")


@pytest.fixture
def run_id(home: Home) -> str:
    found = fake_home.add_done(home)
    rsa_home.add(home, found)
    return found


def test_an_empty_home_says_what_to_do(open_page: OpenPage) -> None:
    assert "No results yet" in words(open_page("rsa"))


def test_a_run_without_rsa_shows_the_command_and_what_rsa_is(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    said = shown(words(open_page("rsa")))
    assert f"braindash rsa {run_id}" in said
    assert "whether two systems find the same things alike" in said


def test_the_run_that_has_an_rsa_is_the_one_shown_first(home: Home, open_page: OpenPage) -> None:
    older = fake_home.add_done(home, "with rsa")
    rsa_home.add(home, older)
    newer = fake_home.add_done(home, "without")
    assert newer != older
    assert "This run has no RSA yet" not in words(open_page("rsa"))
    assert f"braindash rsa {newer}" in words(open_page("rsa", run=newer))


def test_maps_hold_the_numbers_on_one_scale_and_the_change_is_centred(run_id: str, open_page: OpenPage) -> None:
    before, after, change = (p["data"][0] for p in plots(open_page("rsa"))[:3])
    np.testing.assert_allclose(array(before["z"]), planted("pretrained"))
    np.testing.assert_allclose(array(after["z"]), planted("brain_tuned"))
    np.testing.assert_allclose(array(change["z"]), planted("brain_tuned") - planted("pretrained"), atol=1e-12)
    assert (before["zmin"], before["zmax"]) == (after["zmin"], after["zmax"])
    assert change["zmin"] == -change["zmax"] != 0
    other = open_page("rsa", model="block_permuted")
    again, control = (p["data"][0] for p in plots(other)[:2])
    np.testing.assert_allclose(array(control["z"]), planted("block_permuted"))
    assert (again["zmin"], again["zmax"]) == (before["zmin"], before["zmax"]), "another model does not move the scale"


def test_one_view_of_the_whole_geometry_is_drawn_and_its_link_opens_it(run_id: str, open_page: OpenPage) -> None:
    def whole(page: Any) -> list[str]:
        return [c.key for c in page.get("plotly_chart")][7:]  # after maps, curves and RDMs

    page = open_page("rsa")
    assert whole(page) == ["rsa_mds"]
    next(w for w in page.get("button_group") if w.label == "Show").set_value("moved").run()
    assert set(whole(page)) == {"rsa_moved", "rsa_cka_between", "rsa_cka_before", "rsa_cka_after"}
    assert page.query_params["whole"] == "moved"
    assert set(whole(open_page("rsa", whole="spaces"))) == {
        "rsa_region_spaces",
        "rsa_before_spaces",
        "rsa_after_spaces",
    }


def test_stars_are_where_q_is_below_a_twentieth(run_id: str, open_page: OpenPage) -> None:
    def starred(page: Any, which: int) -> set[tuple[int, int]]:
        notes = plots(page)[which]["layout"]["annotations"]
        return {(n["x"], n["y"]) for n in notes if n["text"].endswith("*")}

    page = open_page("rsa")
    late = {(i, j) for i in (3, 4) for j, roi in enumerate(IN_ORDER) if roi != "primary_auditory"}
    assert starred(page, 2) == late
    assert not starred(page, 0), "the mean over subjects has no test of a level"
    assert starred(open_page("rsa", subject="sub-01"), 0) == {(i, j) for i in range(1, 5) for j in range(4)}
    assert not starred(open_page("rsa", similarity="partial"), 2), "what is beyond the sound is not tested"


def test_the_answer_counts_cells_and_names_the_late_region(run_id: str, open_page: OpenPage) -> None:
    said = shown(words(open_page("rsa")))
    assert "The brain-tuned model differs from the pretrained one in layers 3 and 4." in said
    assert (
        "In 6 of their 6 cells of layer and region, its similarity to the brain rose, in 0 it fell (q < .05, mean"
        in said
    )
    value = rsa_home.similarity("pretrained", "late_language", 4)
    assert f"Late language, layer 4, the last: similarity {value:.3f} → {value + 0.03:.3f}, a change of +0.030" in said
    assert "95 % CI 0.020 to 0.040; the interval excludes 0" in said
    control = shown(words(open_page("rsa", model="block_permuted")))
    assert "In none of their 6 cells of layer and region did its similarity to the brain change" in control


def test_what_was_compared_is_said_in_words(run_id: str, open_page: OpenPage) -> None:
    said = shown(words(open_page("rsa")))
    assert "24 stretches of 6 s of 2 test stories: s4, s5." in said
    assert "5 s after the sound" in said
    assert "1 − correlation" in said
    assert "Spearman correlation of two RDMs" in said
    assert "pairs up to 1 condition apart in a story" in said
    assert "in blocks of 3 conditions, 1,000 orders" in said
    assert "Every channel is standardised over conditions" in said


def test_a_link_reopens_the_cell_and_choosing_another_changes_the_link(run_id: str, open_page: OpenPage) -> None:
    page = open_page("rsa", layer="3", roi="ag", subject="sub-02")
    assert page.selectbox(key="_roi").value == "ag"
    assert page.selectbox(key="_layer").value == "3"
    *levels, change = [p["layout"].get("shapes") for p in plots(page)[:3]]
    frame = change[-1]
    assert (frame["x0"], frame["x1"], frame["y0"], frame["y1"]) == (2.5, 3.5, 1.5, 2.5)
    assert levels == [None, None]
    said = shown(words(page))
    value = rsa_home.similarity("brain_tuned", "ag", 3, "sub-02")
    assert f"Brain-tuned: {value:.3f} (95 % CI {value - 0.02:.3f} to {value + 0.02:.3f}), q = 0.020" in said
    assert "Noise ceiling 0.20 to 0.30" in said
    assert "Brain-tuned, layer 3" in said
    assert "Angular gyrus, sub-02" in said
    checked(page.selectbox(key="_layer").set_value("1").run())
    assert page.query_params["layer"] in ("1", ["1"])
    assert "Both models hold the same states at this layer" in words(page)


def test_clicks_are_put_into_the_link_and_what_is_no_cell_is_left_aside(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamlit as st

    from braindash.ui import rsa_pairs, rsa_view

    address: dict[str, str] = {}
    monkeypatch.setattr(st, "query_params", address)
    monkeypatch.setattr(st, "session_state", {})

    def click(*points: Any) -> None:
        st.session_state["k"] = {"selection": {"points": list(points)}}

    click({"x": 3, "y": 1.0})
    rsa_view._take_click("k", (0, 4, 8, 12), ("a", "b"))
    assert address == {"layer": "12", "roi": "b"}
    for bad in ({"x": 4, "y": 0}, {"x": 0, "y": -1}, {"x": None, "y": 0}, {}, {"x": "<b>", "y": 0}):
        click(bad)
        rsa_view._take_click("k", (0, 4, 8, 12), ("a", "b"))
    st.session_state["k"] = None
    rsa_view._take_click("k", (0, 4, 8, 12), ("a", "b"))
    assert address == {"layer": "12", "roi": "b"}
    click({"x": 2, "y": 5})
    rsa_pairs._take_pair("k", 6)
    assert (address["first"], address["second"]) == ("2", "5")
    click({"x": 2, "y": 6})
    rsa_pairs._take_pair("k", 6)
    assert (address["first"], address["second"]) == ("2", "5")


def test_rdms_are_ranks_of_the_pairs_compared(run_id: str, open_page: OpenPage) -> None:
    page = open_page("rsa", roi="late_language", layer="4", subject="sub-02", first="2", second="15")
    drawn = [p["data"] for p in plots(page) if any(t.get("name") == "pairs" for t in p["data"])]
    assert len(drawn) == 3
    keys = (("pretrained", 4), ("brain_tuned", 4), ("sub-02", "late_language"))
    story = np.arange(24) // 12
    i, j = np.triu_indices(24, 1)
    kept = (story[i] != story[j]) | (j - i > 1)  # one neighbour of the same story is left out
    tables = page.table[0].value
    for (heat, *_), key, (_, told) in zip(drawn, keys, tables.iterrows(), strict=True):
        pairs = 1 - np.corrcoef(rsa_home.patterns(rsa_home.seed_of(*key), 24))[i, j]
        ranks = np.full((24, 24), np.nan)
        ranks[i[kept], j[kept]] = 100 * (rankdata(pairs[kept]) - 1) / (kept.sum() - 1)
        ranks = np.fmax(ranks, ranks.T)
        np.testing.assert_allclose(array(heat["z"]), ranks, atol=0.9)  # two ranks: 16 bits
        assert (heat["zmin"], heat["zmax"]) == (0, 100)
        at = np.flatnonzero((i == 2) & (j == 15))[0]
        assert float(told["Dissimilarity"]) == pytest.approx(pairs[at], abs=6e-4)
        assert float(told["Percentile"]) == pytest.approx(ranks[2, 15], abs=1.4)
    near = open_page("rsa", first="3", second="4")
    assert set(near.table[0].value["Percentile"]) == {"not compared"}


def test_the_first_pair_is_what_any_model_moved_most_and_the_same_for_all(run_id: str, open_page: OpenPage) -> None:
    i, j = np.triu_indices(24, 1)
    kept = (i // 12 != j // 12) | (j - i > 1)

    def ranks(model: str) -> np.ndarray:
        pairs = 1 - np.corrcoef(rsa_home.patterns(rsa_home.seed_of(model, 4), 24))[i, j]
        return np.asarray(100 * (rankdata(pairs[kept]) - 1) / (kept.sum() - 1))

    tuned = rsa_home.MODELS[1:]
    moved = np.array([np.abs(ranks(m) - ranks("pretrained")) for m in tuned])
    assert len(set(moved.argmax(axis=1))) > 1  # each model alone would show another pair
    at = np.flatnonzero(kept)[moved.max(axis=0).argmax()]
    for model in tuned:
        page = open_page("rsa", layer="4", model=model)
        assert (page.selectbox(key="_first").value, page.selectbox(key="_second").value) == (str(i[at]), str(j[at]))


def test_the_mean_over_subjects_ranks_the_mean_of_ranks(run_id: str, open_page: OpenPage) -> None:
    from braindash.figures.rdms import percentiles

    page = open_page("rsa", roi="ag")
    heat = [p["data"][0] for p in plots(page) if any(t.get("name") == "pairs" for t in p["data"])][2]
    i, j = np.triu_indices(24, 1)
    kept = (i // 12 != j // 12) | (j - i > 1)
    both = [
        percentiles(1 - np.corrcoef(rsa_home.patterns(rsa_home.seed_of(s, "ag"), 24))[i, j], kept)
        for s in rsa_home.SUBJECTS
    ]
    np.testing.assert_allclose(array(heat["z"])[i, j], percentiles(np.mean(both, axis=0)), atol=1.3)  # 16 bits
    assert "Angular gyrus, mean of 2 subjects" in shown(words(page))


def test_curves_are_those_of_the_region_with_its_ceiling(run_id: str, open_page: OpenPage) -> None:
    def curves(page: Any) -> dict[str, Any]:
        return next(p for p in plots(page) if any(t.get("name") == "Block-permuted" for t in p["data"]))

    figure = curves(open_page("rsa", roi="late_language"))
    tuned = next(t for t in figure["data"] if t["name"] == "Brain-tuned")
    expected = [rsa_home.similarity("brain_tuned", "late_language", k) for k in rsa_home.LAYERS]
    np.testing.assert_allclose(array(tuned["y"]), expected)
    np.testing.assert_allclose(array(tuned["error_y"]["array"]), 0.02)
    band = next(s for s in figure["layout"]["shapes"] if s["type"] == "rect")
    assert (band["y0"], band["y1"]) == (0.2, 0.3)
    beyond = curves(open_page("rsa", roi="late_language", similarity="partial"))
    tuned = next(t for t in beyond["data"] if t["name"] == "Brain-tuned")
    np.testing.assert_allclose(array(tuned["y"]), np.array(expected) / 2)
    for side in ("array", "arrayminus"):
        np.testing.assert_allclose(array(tuned["error_y"][side]), 0.01)
    assert not beyond["layout"].get("shapes"), "the ceiling is one of the whole similarity"


def test_cka_within_and_between_and_which_layer_moved(run_id: str, open_page: OpenPage) -> None:
    page = open_page("rsa", whole="moved")
    maps = [p for p in plots(page) if p["data"][0].get("zmax") == 1]
    between, before, after = (array(p["data"][0]["z"]) for p in maps)
    k = np.arange(5)
    same = 1 - 0.01 * np.abs(k[:, None] - k)
    np.testing.assert_allclose(before, same)
    np.testing.assert_allclose(after, same)
    np.testing.assert_allclose(between, same - 0.2 * (np.maximum(k[:, None], k) >= 3))
    assert all(p["data"][0]["zmin"] == 0 for p in maps)
    said = shown(words(page))
    assert (
        "moved: furthest is layer 3, 0.800 alike to itself before tuning (1 is unmoved); layers 0 to 2 did not" in said
    )


def test_the_plane_joins_layers_in_order_and_tells_its_stress(run_id: str, open_page: OpenPage) -> None:
    page = open_page("rsa", subject="sub-02")
    plane = next(p for p in plots(page) if any(t.get("name") == "Brain regions" for t in p["data"]))
    paths = {t["name"]: t for t in plane["data"]}
    np.testing.assert_allclose(array(paths["Brain-tuned"]["x"]), 0.1 * np.arange(5))
    np.testing.assert_allclose(array(paths["Pretrained"]["y"]), 0)
    assert len(array(paths["Brain regions"]["x"])) == 4, "those of one subject"
    assert plane["layout"]["yaxis"]["scaleanchor"] == "x"
    assert plane["layout"]["xaxis"]["showticklabels"] is False
    assert "Stress 0.34: a plane cannot hold these distances well" in shown(words(page))


def test_feature_spaces_of_regions_and_of_both_models(run_id: str, open_page: OpenPage) -> None:
    page = open_page("rsa", whole="spaces")
    last = [array(p["data"][0]["z"]) for p in plots(page)[-3:]]
    at = [rsa_home.REGIONS.index(r) for r in IN_ORDER]
    np.testing.assert_allclose(last[0], [[0.01 * k, 0.1 + 0.01 * k] for k in at])
    layers = np.array([[0.05 * k for k in range(5)], [0.05 * k + 0.1 for k in range(5)]])
    np.testing.assert_allclose(last[1], layers)
    np.testing.assert_allclose(last[2], layers + 0.02)
    assert "Left out: phones. Story <b>s4</b> has no phones with their times." in words(page)


def test_an_analysis_of_before_shows_what_it_has(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    old = rsa_home.document(run_id)
    del old["region_titles"]
    rsa_home.write(home, run_id, old)
    page = open_page("rsa", similarity="partial")
    assert len(plots(page)) == 3 + 1 + 4  # maps, curves, CKA; neither RDMs nor a plane nor spaces
    assert f"braindash rsa {run_id}" in words(page)
    for gone in ("cka", "settings", "caveats", "stories"):
        del old[gone]
    for row in old["rows"]:
        for key in ("partial", "ceiling_low", "ceiling_high", "p", "q"):
            del row[key]
    rsa_home.write(home, run_id, old | {"differences": []})
    page = open_page("rsa")
    assert "holds no difference between the brain-tuned model" in shown(words(page))
    assert "There is no noise ceiling" in shown(words(page))


@pytest.mark.parametrize(
    "bad", ["{", "[]", '{"rows": 7}', '{"rows": [], "differences": []}', '{"rows": [{"roi": 1}], "differences": []}']
)
def test_a_damaged_file_is_a_message_with_the_command(home: Home, open_page: OpenPage, bad: str) -> None:
    run_id = fake_home.add_done(home)
    rsa_home.write(home, run_id, bad)
    page = open_page("rsa")
    assert f"braindash rsa {run_id}" in shown(page.error[0].value)


def test_a_newer_file_is_not_guessed_at(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    rsa_home.write(home, run_id, rsa_home.document(run_id) | {"braindash": 2})
    assert "written by a newer braindash (format 2, known: 1)" in shown(open_page("rsa").error[0].value)


@pytest.mark.parametrize(
    "odd",
    [
        {"cka": {"model": ["pretrained"], "layer": [0], "matrix": [[1, 2], [3]]}},
        {"cka": [], "mds": {"x": 1}, "spaces": "no", "layer_spaces": [7]},
        {"settings": [1], "caveats": "one", "stories": 5, "region_titles": ["x"], "space_titles": 3},
        {"unit": "<b>unit</b>", "metric": None, "compare": 5, "n_conditions": "many", "left_out": {"a": 1}},
        {"mds": [{"what": "region", "x": None, "y": 0.2, "roi": "ag", "subject": None}], "mds_stress": "high"},
    ],
)  # fmt: skip
def test_odd_values_leave_the_rest_of_the_page(home: Home, open_page: OpenPage, odd: dict[str, Any]) -> None:
    run_id = fake_home.add_done(home)
    rsa_home.write(home, run_id, rsa_home.newer(rsa_home.document(run_id)) | odd)
    assert len(plots(open_page("rsa"))) >= 4


@pytest.mark.parametrize("kept", [0, 3, 200, 3000, -1])
def test_a_truncated_file_of_rdms_is_a_message_and_the_maps_stay(
    home: Home, open_page: OpenPage, run_id: str, kept: int
) -> None:
    path = home.runs / run_id / "rsa.nc"
    path.write_bytes(path.read_bytes()[:kept])
    page = open_page("rsa")
    assert any("rsa" in shown(e.value) and f"braindash rsa {run_id}" in shown(e.value) for e in page.error)
    assert len(plots(page)) == 3 + 1 + 1  # maps, curves, the plane


def test_names_with_markup_are_shown_as_they_are(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    evil = fake_home.HOSTILE["html"]
    labels = [f"{evil} {k}" for k in range(12)]
    rsa_home.add(home, run_id, 12, labels, regions=(evil, fake_home.HOSTILE["markdown"], "ag"))
    pages = [open_page("rsa", roi=evil, whole=view) for view in ("plane", "moved", "spaces")]
    specs = [c.proto.spec for page in pages for c in page.get("plotly_chart")]
    assert len(specs) > 10 * 2
    for spec in specs:
        drawn = json.loads(spec)
        for text in texts(drawn["data"]) + texts(drawn["layout"]):
            assert "<img" not in text
            assert "<b>bold" not in text
    for e in (e for page in pages for e in (*page.markdown, *page.caption)):
        assert "<img" not in e.value.replace("\\<", "")


def texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [t for k, v in value.items() if k != "bdata" for t in texts(v)]
    return [t for v in value for t in texts(v)] if isinstance(value, list) else []


def test_one_region_one_layer_one_subject(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    rsa_home.add(home, run_id, regions=("ag",), layers=(4,), subjects=("sub-01",), models=("pretrained", "brain_tuned"))
    page = open_page("rsa")
    assert array(plots(page)[2]["data"][0]["z"]).shape == (1, 1)
    assert "Angular gyrus, layer 4" in shown(words(page))


def test_a_run_without_a_tuned_model_shows_the_pretrained_one(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    rsa_home.add(home, run_id, models=("pretrained",))
    for view, drawn in {"plane": 1, "moved": 1, "spaces": 2}.items():
        page = open_page("rsa", whole=view)
        assert len(plots(page)) == 1 + 1 + 2 + drawn  # map, curves, RDMs: nothing twice
    assert "holds the pretrained model alone" in shown(words(page))


def test_a_parcellation_of_a_large_model_is_drawn(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    parcels = ("PGi", *(f"P{k}" for k in range(177)), "A1", "TE1a")
    rsa_home.write(
        home, run_id, rsa_home.document(run_id, parcels, range(25), ("pretrained", "brain_tuned"), ("sub-01",))
    )
    figure = plots(open_page("rsa", layer="24", roi="P3"))[0]
    assert array(figure["data"][0]["z"]).shape == (180, 25)
    assert figure["layout"]["yaxis"]["ticktext"][:3] == ["A1", "TE1a", "PGi"], "from the ear to language"
    assert len(figure["layout"].get("annotations", [])) < 5, "thousands of numbers would take a browser seconds"


def test_missing_numbers_stay_empty(home: Home, open_page: OpenPage) -> None:
    run_id = fake_home.add_done(home)
    data = rsa_home.document(run_id)
    for row in (*data["rows"], *data["differences"]):
        if row["roi"] == "ag":
            for key in ("similarity", "delta", "ci_low", "ci_high", "q", "partial"):
                if key in row:
                    row[key] = None
    rsa_home.write(home, run_id, data)
    page = open_page("rsa", roi="ag")
    z = array(plots(page)[0]["data"][0]["z"])
    assert np.isnan(z[2]).all()
    assert np.isfinite(z[[0, 1, 3]]).all()
    assert "Pretrained: – (no interval)" in words(page)


def test_the_download_holds_every_row(home: Home, run_id: str) -> None:
    from braindash.runs.record import RunStore
    from braindash.ui import rsa_data

    rsa = rsa_data.read(RunStore(home).get(run_id))
    assert rsa is not None
    table = pd.read_csv(io.BytesIO(rsa_data.csv(rsa)))
    assert len(table) == 3 * 4 * 3 * 5
    row = table[
        (table.model == "brain_tuned") & (table.subject == "all") & (table.roi == "ag") & (table.layer == 4)
    ].iloc[0]
    assert row["similarity"] == pytest.approx(rsa_home.similarity("brain_tuned", "ag", 4))
    assert row["change"] == pytest.approx(0.03)
    assert row["change_q"] == pytest.approx(0.01)


def test_a_file_that_changes_is_read_again(home: Home, open_page: OpenPage, run_id: str) -> None:
    before = shown(words(open_page("rsa")))
    data = rsa_home.document(run_id)
    for row in data["differences"]:
        row["q"] = 0.5
    rsa_home.write(home, run_id, data)
    after = shown(words(open_page("rsa")))
    assert "rose" in before
    assert "In none of" in after

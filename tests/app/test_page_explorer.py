"""The Explorer page: what is drawn and played of a story, and what it says where something is missing."""

from __future__ import annotations

import json
import re
import shutil
import zlib
from pathlib import Path
from typing import Any

import fake_home
import numpy as np
import pytest
from conftest import OpenPage, checked, words
from explorer_home import MARKUP, make_home

from braindash.config import Home


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a home whose run was really tuned and evaluated."""
    folder = tmp_path_factory.mktemp("explorer")
    make_home(folder, folder / "home")
    return folder


@pytest.fixture
def drawn(made: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The page's home is the one that was made; what is given to the timeline is kept."""
    import braindash.ui.timeline as component

    monkeypatch.setenv("BRAINDASH_HOME", str(made / "home"))
    seen: list[dict[str, Any]] = []

    def remember(key: str, sound: Any, rows: Any, moments: Any, **more: Any) -> float | None:
        seen.append({"sound": sound, "rows": rows, "moments": list(moments), **more})
        return stops.pop() if stops else None

    stops: list[float] = []
    monkeypatch.setattr(component, "timeline", remember)
    seen.append({"stops": stops})
    return seen


def test_without_results_it_says_how_to_get_them(open_page: OpenPage, home: Home, tmp_path: Path) -> None:
    assert "No results yet" in words(open_page("explorer"))
    fake_home.add_done(home, study="gone")
    assert "There is no study" in words(open_page("explorer")).replace("\\", "")


def test_a_run_without_its_model_still_plays_its_story(open_page: OpenPage, home: Home, tmp_path: Path) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    fake_home.add_done(home, n_targets=6)
    said = words(open_page("explorer"))
    assert "has no tuned model" in said
    (tmp_path / "mini" / "s5.wav").unlink()
    assert "cannot be played" in words(open_page("explorer"))


def test_a_target_of_the_cortex_page_leads_here(open_page: OpenPage, home: Home, tmp_path: Path) -> None:
    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    run_id = fake_home.add_done(home, study="surface", n_targets=len(roi), roi=roi)
    page = open_page("cortex", layer="3", target="77", maps="tuned", map_subject="sub-02")
    (link,) = [p.proto for p in page.get("page_link") if p.proto.label == "Hear it in the Explorer"]
    assert link.page == "explorer"
    asked = dict(part.split("=") for part in link.query_string.split("&"))
    assert asked == {
        "run": run_id, "model": "brain_tuned", "subject": "sub-02", "layer": "3", "region": "target", "target": "77",
    }  # fmt: skip


def test_it_draws_what_the_evaluation_fitted(drawn: list[dict[str, Any]], made: Path, open_page: OpenPage) -> None:
    from braindash.runs.record import RunStore
    from braindash.runs.results import open_results
    from braindash.runs.time_courses import time_courses

    run = RunStore(Home(made / "home")).list()[0]
    run = RunStore(Home(made / "home")).get(run.id)
    data = open_results(run.path)["encoding"].to_dataset()
    last = int(data["layer"].values[-1])
    page = open_page("explorer", region="target", target="2", story="six", moment="33.5")
    told = drawn[-1]
    _, six = time_courses(run, ["pretrained", "brain_tuned"], last, "sub-01", [2])
    np.testing.assert_allclose(told["rows"].measured, six.measured[:, 0], atol=1e-5)
    for line, model in zip(told["rows"].lines, ("pretrained", "brain_tuned"), strict=True):
        np.testing.assert_allclose(line.values, six.predicted[model][:, 0], atol=1e-4)
    errors = [(six.measured - six.predicted[m])[:, 0] ** 2 for m in ("pretrained", "brain_tuned")]
    gain = errors[0] - errors[1]
    middle = (gain[9] + 2 * gain[10] + gain[11]) / 4  # three rows, the middle one twice
    assert told["rows"].gain[10] == pytest.approx(middle, abs=1e-4)
    assert (told["rows"].tr, told["rows"].lag) == (2.0, 5.0)
    assert told["at"] == 33.5
    assert told["sound"].duration == 120.0
    assert told["sound"].audio.startswith(b"fLaC")
    assert told["sound"].words == b""
    before, after = (
        float(data["r_story"].sel(model=m, layer=last, story="six").values[2]) for m in ("pretrained", "brain_tuned")
    )
    score = next(line for line in words(page).splitlines() if "r in this story" in line)
    numbers = [float(x.replace("−", "-")) for x in re.findall(r"[+−]?\d\.\d{3}", score)]
    np.testing.assert_allclose(numbers, [before, after, after - before], atol=1.1e-3)
    assert "one presentation" in words(page)
    assert "n = 60 rows" in words(page)
    for m in told["moments"]:
        assert m.gain > 0
        assert m.words == ""
        assert 0 < m.end - m.start <= 6
    assert 1 <= len(told["moments"]) <= 10

    # a region is the mean of those of its targets that have a fit
    page = open_page("explorer", region="quiet", story="five")
    told = drawn[-1]
    assert "mean over 6 targets of quiet" in words(page).lower()
    assert "2 more left out" in words(page)  # one is constant, one holds a NaN
    singles = time_courses(run, ["pretrained"], last, "sub-01", list(range(6, 12)))
    np.testing.assert_allclose(told["rows"].measured, singles[0].measured.mean(1), atol=1e-5)
    said = json.loads(zlib.decompress(told["sound"].words))
    assert said[2] == [MARKUP, 1.0, 1.45]
    assert any(MARKUP in m.words for m in told["moments"])  # as text: the component writes no HTML
    assert all(m.regions for m in told["moments"])


def test_choices_are_in_the_address_and_a_new_story_begins_anew(
    drawn: list[dict[str, Any]], open_page: OpenPage
) -> None:
    stops = drawn[0]["stops"]
    page = open_page("explorer", region="loud", story="five", layer="1", residuals="true", moved="false")
    assert drawn[-1]["residuals"] is True
    assert drawn[-1]["shift"] is False
    assert page.slider(key="layer").value == 1
    stops.append(41.27)
    checked(page.run())
    assert page.query_params["moment"] in (["41.3"], "41.3")
    checked(page.selectbox(key="_story").set_value("six").run())
    assert "moment" not in page.query_params
    assert drawn[-1]["sound"].id == "mini/six"
    checked(page.selectbox(key="_region").set_value("target").run())
    chosen = int(page.selectbox(key="_target").value)
    assert page.query_params["target"] in ([str(chosen)], str(chosen))
    checked(page.selectbox(key="_target").set_value("3").run())
    assert "r in this story" in words(page)
    for wrong in ("-1", "x", "99999999", "<b>"):
        checked(open_page("explorer", region="target", target=wrong, moment=wrong))
    out = words(open_page("explorer", region="target", target="12"))
    assert "Target 12 was left out" in out


def test_a_layer_that_was_not_tuned_says_so(drawn: list[dict[str, Any]], open_page: OpenPage) -> None:
    said = words(open_page("explorer", region="loud", layer="0"))
    assert "Both models predict the same here" in said
    assert drawn[-1]["moments"] == []


def test_features_that_are_gone_are_said_with_the_command(
    made: Path, drawn: list[dict[str, Any]], home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: Any
) -> None:
    import streamlit as st

    shutil.copytree(made / "home", tmp_path / "copy", ignore=shutil.ignore_patterns("features"))
    monkeypatch.setenv("BRAINDASH_HOME", str(tmp_path / "copy"))
    st.cache_resource.clear()
    said = words(open_page("explorer", region="loud")).replace("\\", "").replace("\u2060", "")
    assert "are not kept for 6 of 6 stories" in said
    assert "braindash evaluate 2" in said
    assert drawn[-1]["rows"] is None  # the story is there to be heard
    assert drawn[-1]["sound"].audio


def test_electrodes_have_their_own_lag_and_longer_windows(
    open_page: OpenPage, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from test_page_electrodes import make_electrodes

    import braindash.ui.timeline as component
    from braindash.runs.region_courses import GroupCourse, GroupCourses
    from braindash.ui import explorer_data

    make_electrodes(home, tmp_path / "eeg")
    n = 6000  # 60 s at 100 Hz
    gain = -np.ones((n, 1))
    gain[2000:2300] = 1.0  # 20 to 23 s
    y = np.sin(np.arange(n) / 50)[:, None]
    both = {"pretrained": 0 * y, "brain_tuned": 0.5 * y}
    course = GroupCourse("s5", 0.01 * np.arange(n), y, both, gain, {m: np.array([0.1]) for m in both})
    made = GroupCourses(("target",), np.array([1]), np.array([1]), np.array([0]), {"s5": course})
    monkeypatch.setattr(explorer_data, "refit", lambda *choice: None)
    monkeypatch.setattr(explorer_data, "target_courses", lambda choice, target: made)
    told: dict[str, Any] = {}
    monkeypatch.setattr(
        component, "timeline", lambda key, sound, rows, moments, **more: told.update(rows=rows, moments=moments)
    )
    page = open_page("explorer", region="target", target="3")
    assert "T7" in page.selectbox(key="_target").format_func("3")
    assert told["rows"].tr == pytest.approx(0.01)
    assert 0 < told["rows"].lag < 1
    first = told["moments"][0]
    assert first.end - first.start == pytest.approx(2.01)
    heard = np.array([20.0, 23.0]) - told["rows"].lag
    assert heard[0] <= first.start + 0.1
    assert first.end <= heard[1] + 0.1
    assert "201 rows = 2.01 s" in words(page)

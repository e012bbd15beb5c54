"""What stands in an address may be anything: a page says so plainly, or shows what it usually does."""

from __future__ import annotations

import shutil
from pathlib import Path

import fake_home
import pytest
from conftest import words
from hostile_home import PAGES, add_whole, open_any, parameters

from braindash.config import Home

TEXTS = {
    "traversal": "../../etc",
    "encoded": "%2e%2e%2f%00",
    "long": "x" * 10_000,
    "word": "abc",
    "negative": "-1",
    "huge": "1e9",
    "not a number": "NaN",
    "many digits": "9" * 5000,
    "commas": ",,a,,b",
    "bytes": "a\x00b\u202e\u200b\n",
    "markup": "<img src=x onerror=alert(1)> [a](http://b) $x$ :red[r]",
    "empty": "",
    "coordinates": "nan,1;2,inf;-5,1e9",
}


@pytest.fixture
def run_id(home: Home, tmp_path: Path) -> str:
    fake_home.add_table_study(home, tmp_path / "mini")
    first = add_whole(home)
    fake_home.add_done(home, "of a group", group="together")
    fake_home.add_in_state(home, "failed")
    return first


def test_parameters_are_found_in_the_code() -> None:
    known = set(parameters())
    assert {"run", "layer", "target", "area", "q", "group", "study", "slide", "like", "measure", "regions"} <= known


def test_no_value_of_any_parameter_breaks_a_page(home: Home, run_id: str) -> None:
    for page in PAGES:
        attack(page, run_id)


def attack(page: str, run_id: str) -> None:
    names, values = parameters(), list(TEXTS.values())
    for turn in range(0, len(values), 2):  # every value meets every second parameter, and its neighbour the others
        address = {name: values[(i % 2 + turn) % len(values)] for i, name in enumerate(names)}
        chosen = {} if turn % 4 else {"run": run_id, "study": "mini"}  # else the page falls back on a run of its own
        open_any(page, **address | chosen)
    open_any(page, **{name: ["1", "2"] for name in names})  # twice the same key


def test_no_address_leads_out_of_the_home(home: Home, run_id: str, tmp_path: Path) -> None:
    elsewhere = Home(tmp_path / "elsewhere")
    secret = add_whole(elsewhere, "SECRET-NAME")
    shutil.copytree(elsewhere.runs / secret, home.path / "beside")
    shutil.copytree(elsewhere.runs / secret, tmp_path / "beside")
    for run in (secret, "../beside", f"../../elsewhere/runs/{secret}", str(elsewhere.runs / secret)):
        for page in ("home", "probes", "rsa", "compare", "runs", "present"):
            app = open_any(page, run=run, like=run, runs=run)
            assert "SECRET-NAME" not in words(app) + str([s.value for s in app.selectbox]), (page, run)


def test_no_link_has_the_form_begin_with_a_run_from_elsewhere(home: Home, run_id: str, tmp_path: Path) -> None:
    elsewhere = Home(tmp_path / "elsewhere")
    secret = fake_home.add_done(elsewhere, "SECRET-NAME")
    for like in (secret, f"../../elsewhere/runs/{secret}", "../../etc"):
        app = open_any("tune", like=like, study="../../etc")
        assert "SECRET-NAME" not in words(app) + str([t.value for t in app.text_input])


def test_a_link_with_a_wrong_value_says_which(home: Home, run_id: str) -> None:
    app = open_any("encoding", run=run_id, measure="<b>loudness</b>")
    assert "The link names something that is not here" in words(app)
    assert "Measure: <b>loudness</b>" in [t.value for t in app.text]  # as text, not as Markdown


def test_maps_survive_every_parameter(home: Home, tmp_path: Path) -> None:
    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    run_id = fake_home.add_done(home, "on the surface", study="surface", n_targets=len(roi), roi=roi)
    mine = ("layer", "target", "area", "q", "maps", "mask", "map_subject", "model", "measure", "course_story", "large")
    for value in ("abc", "-1", "1e9", "NaN", "9" * 5000, "nan,1;2,inf;-5,1e9", "1,2;3", "0,0;99999,0;0,99999"):
        open_any("cortex", run=run_id, **dict.fromkeys(mine, value))

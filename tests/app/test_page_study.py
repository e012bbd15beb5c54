"""The Study page: split and durations at once; the check and the timing when asked for, and kept."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import fake_home
import pytest
from conftest import OpenPage, checked, words

from braindash.config import Home
from braindash.ui import checks


def test_an_empty_home_says_what_to_do(open_page: OpenPage) -> None:
    assert "braindash study add table" in words(open_page("study"))


def test_the_split_is_shown_and_nothing_is_read_before_it_is_asked_for(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    monkeypatch.setattr(checks, "make", lambda study_id: pytest.fail("nobody asked"))
    page = open_page("study")
    said = words(page)
    assert "Tuned on 3 stories" in said
    assert "Tested on 1 story" in said
    assert "Not checked yet" in said
    assert "braindash study check mini" in said
    assert not page.dataframe


def test_the_check_is_made_by_the_command_and_kept(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    page = open_page("study")
    checked(page.button(key="check_study").click().run(timeout=120))
    assert "The study can be used." in words(page)
    assert list(page.dataframe[0].value["Subject"]) == ["sub-01", "sub-02"]
    assert set(page.dataframe[0].value["Noise ceiling"]) == {"none"}
    assert len(page.dataframe[1].value) == 5
    assert (home.path / "checks").is_dir()
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: pytest.fail("it is kept"))
    again = open_page("study")
    assert "Checked" in words(again)
    assert len(again.dataframe) == 2


def scan(subject: str, best: float, tells: bool) -> dict[str, Any]:
    lags = list(range(-6, 7))
    r = [0.1 + (0.2 if tells else 0.01) / (1 + abs(k - best)) for k in lags]
    return {"subject": subject, "best_lag_trs": best, "best_lag_s": 2 * best, "tells": tells} | {
        "threshold": 0.15,
        "lags": lags,
        "r": r,
        "n_targets": 6,
    }


def test_a_mistimed_study_is_a_warning_and_the_best_lags_are_starred(
    home: Home, open_page: OpenPage, tmp_path: Path
) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    open_page("study").button(key="check_study").click().run(timeout=120)
    (file,) = (home.path / "checks").glob("*.json")
    data = json.loads(file.read_text(encoding="utf-8"))
    data["timing"] = {
        "scans": [scan("sub-01", 3.0, True), scan("sub-02", -2.0, False)],
        "findings": [
            {
                "level": "warning",
                "what": "Subject sub-01: probably <b>mis-timed</b> by -3.",
                "remedy": "Look.",
                "n": None,
            },
            {"level": "note", "what": "Subject sub-02: timing not checked.", "remedy": "", "n": None},
        ],
    }
    file.write_text(json.dumps(data), encoding="utf-8")
    page = open_page("study")
    (warning,) = [w.value for w in page.warning if "timed" in w.value]
    assert "<b>" not in warning.replace("\\<", "")
    assert "−3" in warning
    assert "sub-02: timing not checked" in words(page)
    (chart,) = page.get("plotly_chart")
    stars = [t for t in json.loads(chart.proto.spec)["data"] if (t.get("marker") or {}).get("symbol") == "star"]
    assert [s["x"] for s in stars] == [[3.0]]


def test_a_damaged_check_is_made_again(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    page = open_page("study")
    file = checks.file_of("mini")
    file.parent.mkdir(parents=True)
    file.write_text('{"report": 7}', encoding="utf-8")
    assert "Not checked yet" in words(checked(page.run()))


def test_a_check_that_ends_without_a_report_is_a_message(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    page = open_page("study")
    died = subprocess.CompletedProcess([], -9, stdout="", stderr="Killed")
    monkeypatch.setattr(checks.subprocess, "run", lambda *a, **k: died)
    checked(page.button(key="check_study").click().run())
    assert "ended without a report (Killed)" in page.error[0].value.replace("\\", "")


def test_a_study_that_is_gone_is_said(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    import shutil

    fake_home.add_table_study(home, tmp_path / "mini")
    shutil.rmtree(tmp_path / "mini")
    page = open_page("study")
    assert page.error

"""What the Cortex page sends before its reader has seen a map, and what the router looks at once a run of a page."""

from __future__ import annotations

from pathlib import Path

import fake_home
import pytest
from conftest import PAGES, ROOT, OpenPage, checked, words
from streamlit.testing.v1 import AppTest

from braindash.config import Home
from braindash.ui import readers
from braindash.ui.cortex_canvas import PAINTED


def test_charts_wait_until_the_maps_are_painted(home: Home, tmp_path: Path) -> None:
    roi = fake_home.add_cortex_study(home, tmp_path / "surface")
    run_id = fake_home.add_done(home, "maps", study="surface", n_targets=len(roi), roi=roi)
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    page.switch_page(PAGES["cortex"])
    page.query_params["run"] = run_id
    checked(page.run())
    assert "follow as soon as the maps are drawn" in words(page)
    assert not page.get("plotly_chart")
    page.session_state[PAINTED] = True
    checked(page.run())
    assert "follow as soon as the maps are drawn" not in words(page)
    assert page.get("plotly_chart")


def test_runs_are_looked_at_once_a_run_of_a_page_and_anew_in_the_next(
    home: Home, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = fake_home.add_done(home, "first tuning")
    looked = []
    real = readers._changed_rows

    def counted() -> list[object]:
        looked.append(1)
        return list(real())

    monkeypatch.setattr(readers, "_changed_rows", counted)
    page = open_page("runs", run=first)
    assert sum(looked) == 1
    fake_home.add_done(home, "second tuning")
    looked.clear()
    checked(page.run())
    assert sum(looked) == 1
    assert "2 runs" in words(page)
    assert readers._ROWS not in page.session_state  # a fragment, which runs without the router, looks by itself

"""What the Cortex page sends before its reader has seen a map, and what the router looks at once a run of a page."""

from __future__ import annotations

from pathlib import Path

import fake_home
import pytest
from conftest import PAGES, ROOT, OpenPage, checked, words
from streamlit.runtime.scriptrunner import StopException
from streamlit.runtime.state import SCRIPT_RUN_WITHOUT_ERRORS_KEY, SafeSessionState
from streamlit.testing.v1 import AppTest

from braindash.config import Home
from braindash.ui import readers, run_details
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
    readers.run_rows()  # a fragment, which runs without the router, looks by itself
    assert sum(looked) == 2


def test_a_run_of_a_page_that_was_stopped_leaves_no_look_to_the_next(
    home: Home, open_page: OpenPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader who clicks again stops the run of the page: then Streamlit lets nothing touch the session's state."""
    fake_home.add_done(home, "first tuning")
    page = open_page("runs")
    refusing = []

    def refuse(key: str) -> None:
        if refusing and key != SCRIPT_RUN_WITHOUT_ERRORS_KEY:
            raise StopException

    def stopped(*_: object, **__: object) -> None:
        refusing.append(1)
        refuse("")

    with monkeypatch.context() as during:
        for access in ("__getitem__", "__setitem__", "__delitem__", "__contains__"):
            real = getattr(SafeSessionState, access)
            during.setattr(SafeSessionState, access, lambda *a, real=real: (refuse(a[1]), real(*a))[1])
        during.setattr(run_details, "section", stopped)
        page.run()
    assert refusing
    fake_home.add_done(home, "second tuning")
    assert "2 runs" in words(checked(page.run()))

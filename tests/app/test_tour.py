"""The first visit: the tour is offered once where the embedded study is there, leads over five pages, and ends."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fake_home
import pytest
from conftest import OpenPage, checked, words

from braindash.config import Home
from braindash.ui.layout import SECTIONS
from braindash.ui.tour import STOPS, TAKEN, stop_of

FIRST = "The answer first"


def as_demo(home: Home, folder: Path) -> str:
    """Write a run of a study whose record says that it is the embedded one."""
    fake_home.add_table_study(home, folder)
    record = home.studies / "mini.json"
    data = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps({**data, "kind": "demo", "id": "demo"}), encoding="utf-8")
    record.rename(home.studies / "demo.json")
    return fake_home.add_done(home, study="demo")


def links(page: Any) -> dict[str, str]:
    """Return the page links by label, with what their address says."""
    return {e.proto.label: f"{e.proto.page}?{e.proto.query_string}" for e in page.get("page_link")}


def test_a_first_visitor_is_offered_the_tour_and_may_end_it(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    run_id = as_demo(home, tmp_path / "mini")
    page = open_page("overview")
    assert f"**{FIRST}** · stop 1 of {len(STOPS)}" in words(page)
    assert f"run={run_id}" in links(page)["Next\\: Cortex"]
    assert "tour=2" in links(page)["Next\\: Cortex"]
    checked(page.button(key="end_tour").click().run())
    assert FIRST not in words(page)
    assert (home.path / TAKEN).exists()
    assert FIRST not in words(open_page("overview")), "the next visitor of this home is not offered it again"
    assert FIRST in words(open_page("overview", run=run_id, tour="1")), "but may take it"


def test_a_home_that_may_only_be_read_remembers_for_the_visit(
    home: Home, open_page: OpenPage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from braindash.errors import BraindashError
    from braindash.ui import tour

    def refuse(*_: object) -> None:
        raise BraindashError("read-only", "nothing")

    as_demo(home, tmp_path / "mini")
    monkeypatch.setattr(tour, "atomic_write", refuse)
    page = open_page("overview")
    checked(page.button(key="end_tour").click().run())
    assert FIRST not in words(page)
    checked(page.run())
    assert FIRST not in words(page)


def test_the_tour_goes_from_page_to_page_and_no_further(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    run_id = as_demo(home, tmp_path / "mini")
    for i, stop in enumerate(STOPS):
        page = open_page(
            {"home": "overview"}.get(stop.page.url, stop.page.url), run=run_id, study="demo", tour=str(i + 1)
        )
        assert f"**{stop.title}** · stop {i + 1} of {len(STOPS)}" in words(page)
        found = [label for label in links(page) if label.startswith(("Next", "Back"))]
        assert len(found) == (i > 0) + (i + 1 < len(STOPS))
    assert "Open the form" in links(page)
    assert "stop" not in words(open_page("encoding", run=run_id, tour="2")), "a number of another page says nothing"


def test_nobody_is_disturbed_where_the_study_is_their_own(home: Home, open_page: OpenPage, tmp_path: Path) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    run_id = fake_home.add_done(home)
    page = open_page("overview")
    assert FIRST not in words(page)
    checked(page.sidebar.button(key="take_tour").click().run())
    assert f"**{FIRST}**" in words(page)
    assert page.query_params["run"] == run_id


def test_a_home_without_results_has_no_tour(open_page: OpenPage) -> None:
    page = open_page("overview")
    assert not page.sidebar.button
    assert FIRST not in words(page)


def test_stops_are_pages_and_only_their_own_numbers_count() -> None:
    pages = {entry for entries in SECTIONS.values() for entry in entries}
    assert {stop.page for stop in STOPS} <= pages
    assert [stop_of(str(i + 1), stop.page.url) for i, stop in enumerate(STOPS)] == list(range(len(STOPS)))
    for wrong in (None, "", "0", "6", "-1", "one", "1.0", "²"):
        assert stop_of(wrong, "home") is None
    assert stop_of("2", "home") is None

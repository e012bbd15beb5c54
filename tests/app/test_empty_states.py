"""Homes in which there is little or nothing yet: every page says what to do next, by a command, a link or a button."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_home
import pytest
from conftest import checked, words
from streamlit.testing.v1 import AppTest

from braindash.config import Home
from braindash.ui.layout import OVERVIEW, PRESENT, PROBES, SECTIONS

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = [entry for entries in SECTIONS.values() for entry in entries]


def nothing(_: Home, __: Path) -> None:
    pass


def study_alone(home: Home, folder: Path) -> None:
    fake_home.add_table_study(home, folder)


def failed(home: Home, folder: Path) -> None:
    fake_home.add_table_study(home, folder)
    fake_home.add_in_state(home, "failed")


def at_work(home: Home, folder: Path) -> None:
    fake_home.add_table_study(home, folder)
    fake_home.add_in_state(home, "running")


def opened(path: str) -> AppTest:
    page = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    page.switch_page(path)
    return checked(page.run())


def links(page: AppTest) -> dict[str, str]:
    return {e.proto.label: e.proto.query_string for e in page.get("page_link")}


def next_steps(page: Any) -> list[str]:
    """Return what a reader could do: commands, links, buttons and choices."""
    commands = [str(c.value) for c in page.code if "braindash " in str(c.value)]
    pressed = [b.label for b in page.main.button if not b.disabled]
    chosen = [w.label for kind in ("selectbox", "text_input", "button_group") for w in page.get(kind)]
    return [*commands, *links(page), *pressed, *chosen]


@pytest.mark.parametrize("fill", [nothing, study_alone, failed, at_work])
def test_every_page_says_what_to_do_next(home: Home, tmp_path: Path, fill: Callable[[Home, Path], None]) -> None:
    fill(home, tmp_path / "mini")
    for entry in ENTRIES:
        page = opened(entry.path)
        assert next_steps(page), entry.title
        assert "was not written for" not in words(page), entry.title


def test_an_empty_home_offers_the_one_command(home: Home) -> None:
    for path in (OVERVIEW.path, PROBES.path, PRESENT.path):
        page = opened(path)
        assert "braindash demo" in [str(c.value) for c in page.code]
        assert "Open the form" in links(page)


def test_a_home_with_a_study_leads_to_the_form_with_it(home: Home, tmp_path: Path) -> None:
    study_alone(home, tmp_path / "mini")
    page = opened(OVERVIEW.path)
    assert links(page)["Open the form"] == "study=mini"
    assert "ready to tune a model on" in words(page)
    assert not any("study add" in str(c.value) for c in page.code)


def test_a_run_at_work_is_led_to(home: Home, tmp_path: Path) -> None:
    run_id = fake_home.add_in_state(home, "running")
    page = opened(OVERVIEW.path)
    assert "1 run is at work" in words(page)
    assert links(page)["See how far it is"] == f"run={run_id}"


def test_runs_that_ended_without_results_say_so_and_lead_on(home: Home, tmp_path: Path) -> None:
    fake_home.add_in_state(home, "stopped")
    run_id = fake_home.add_in_state(home, "failed", study="other")
    page = opened(OVERVIEW.path)
    assert "2 runs, none evaluated (1 failed, 1 stopped)" in words(page)
    assert links(page)["Open the run"] == f"run={run_id}"
    tuned = fake_home.add_in_state(home, "done", study="third")
    page = opened(OVERVIEW.path)
    assert f"braindash evaluate {tuned}" in [str(c.value) for c in page.code]
    assert links(page)["Open the run"] == f"run={tuned}"

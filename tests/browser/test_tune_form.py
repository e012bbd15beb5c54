"""The Tune page's groups of settings: a closed one sends no widgets, and loses nothing that was entered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_home
from conftest import Server, settle


def command(page: Any) -> str:
    settle(page)
    return str(page.get_by_test_id("stCode").filter(has_text="braindash tune").inner_text())


def test_a_closed_group_keeps_its_settings_over_pages_and_in_the_address(
    server: Server, visit: Callable[..., Any], tmp_path: Path
) -> None:
    fake_home.add_table_study(server.home, tmp_path / "mini")
    server.start()
    page = visit("tune")
    components = page.get_by_role("spinbutton", name="Components lagged, electrodes")
    delays = page.get_by_role("textbox", name="Delays (TRs)")
    assert components.count() == 0

    page.get_by_text("Evaluation after tuning", exact=True).click()
    components.and_(page.locator("[value='64']")).wait_for()
    components.fill("")  # no number at all is a value too
    components.press("Enter")
    page.get_by_test_id("stCode").filter(has_text="encoding.lag_components=null").wait_for()
    page.get_by_text("Windows and delays", exact=True).click()
    delays.first.fill("2, 3")
    page.get_by_text("Windows and delays", exact=True).click()  # closed with the cursor still in the field
    page.get_by_test_id("stCode").filter(has_text="delays=[2, 3]").wait_for()
    page.get_by_text("Evaluation after tuning", exact=True).click()
    components.wait_for(state="detached")
    said = command(page)
    assert "encoding.lag_components=null" in said

    page.get_by_role("link", name="Runs", exact=True).click()
    page.get_by_role("heading", name="Runs").first.wait_for()
    page.get_by_role("link", name="Tune", exact=True).click()
    page.get_by_role("heading", name="Tune").wait_for()
    assert command(page) == said
    page.get_by_text("Evaluation after tuning", exact=True).click()
    components.and_(page.locator("[value='']")).wait_for()

    page.wait_for_url("**show_evaluation=true**")
    again = visit(page.url.removeprefix(f"{server.url}/"))
    again.get_by_role("spinbutton", name="Components lagged, electrodes").wait_for()

"""The visitor's way: from the first page to a tuning that was launched there, has ended, and is in the results."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_home
from conftest import Server, settle
from tiny_models import save_tiny

from braindash.runs.record import RunStore

SLOW = 300_000  # ms


def test_from_the_first_page_to_the_result(server: Server, visit: Callable[..., Any], tmp_path: Path) -> None:
    fake_home.add_table_study(server.home, tmp_path / "mini")
    model = save_tiny("whisper", tmp_path / "tiny-whisper")
    server.start()

    page = visit("")
    page.get_by_text("No results yet").wait_for()
    page.get_by_role("link", name="Open the form").click()
    page.get_by_role("heading", name="Tune").wait_for()
    settle(page)

    box = page.get_by_role("combobox", name=re.compile("Speech model"))
    box.click()
    box.fill(str(model))
    box.press("Enter")
    page.get_by_test_id("stCode").filter(has_text="tiny-whisper").wait_for()
    page.get_by_text("Learning", exact=True).click()
    epochs = page.get_by_role("spinbutton", name="Epochs (passes)")
    epochs.fill("2")
    epochs.press("Enter")
    page.get_by_test_id("stCode").filter(has_text="optimiser.epochs=2").wait_for()
    name = page.get_by_role("textbox", name="Name of the run")
    name.fill("the visitor's run")
    name.press("Enter")
    page.get_by_test_id("stCode").filter(has_text="visitor").wait_for()
    settle(page)

    page.get_by_role("button", name="Check memory and time").click()
    # ten seconds of computing, which a crowded machine stretches; a refusal ends the wait at once
    found = page.get_by_text("no test story (s5) is among those tuned or chosen on")
    found.or_(page.get_by_test_id("stAlertContentError")).first.wait_for(timeout=SLOW)
    assert found.is_visible(), page.get_by_test_id("stAlertContentError").first.inner_text()
    assert page.get_by_text("tuned on 6 of 6 targets").count() == 2

    page.get_by_role("button", name="Launch").click()
    page.get_by_text("Launched.").wait_for(timeout=SLOW)
    page.get_by_role("link", name="Watch it").click()
    page.get_by_role("heading", name="the visitor's run").wait_for()
    rows = RunStore(server.home).list()
    assert [r.name for r in rows] == ["the visitor's run"]
    assert f"run={rows[0].id}" in page.url

    page.get_by_role("link", name="Results").wait_for(timeout=2 * SLOW)  # appears by itself when the run is encoded
    RunStore(server.home).get(rows[0].id).wait(timeout=SLOW / 1000)  # probes and RSA follow
    assert RunStore(server.home).row(rows[0].id).state == "done"
    page.get_by_role("link", name="Results").click()
    page.get_by_role("heading", name="What did brain-tuning change?").wait_for()
    settle(page)
    assert page.get_by_text("At the last layer (3)").is_visible()
    page.locator(".js-plotly-plot").first.wait_for()
    page.get_by_role("link", name="Encoding").first.click()
    page.get_by_role("heading", name="Layers and regions").wait_for()

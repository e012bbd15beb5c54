"""What is done in a run's details shows in the rest of the page, though the details are drawn anew alone."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import fake_home
from conftest import Server

Visit = Callable[..., Any]


def test_a_star_and_a_note_given_below_show_in_the_table_above(server: Server, visit: Visit) -> None:
    fake_home.add_done(server.home, "older")
    time.sleep(1.1)  # ids sort by the second
    fake_home.add_done(server.home, "newer")
    server.start()
    page = visit("runs")
    cells = page.get_by_test_id("stDataFrame").locator("canvas td")  # drawn for screen readers, a moment later
    cells.filter(has_text="newer").first.wait_for(state="attached")
    assert cells.filter(has_text="★").count() == 0
    page.get_by_text("Star, tags and note").click()
    page.get_by_test_id("stCheckbox").filter(has_text="Star").locator("label").first.click()
    cells.filter(has_text="★").first.wait_for(state="attached")
    page.get_by_role("textbox", name="Note").fill("worth another seed")
    page.get_by_role("button", name="Save the note").click()
    page.get_by_text("The note was saved.").wait_for()


def test_another_run_in_detail_is_in_the_address_and_leaves_the_table(server: Server, visit: Visit) -> None:
    older = fake_home.add_done(server.home, "older")
    time.sleep(1.1)
    fake_home.add_done(server.home, "newer")
    server.start()
    page = visit("runs")
    page.get_by_role("heading", name="newer").wait_for()
    page.get_by_test_id("stDataFrame").locator("canvas").first.evaluate("e => { e.dataset.same = 'yes' }")
    page.get_by_test_id("stSelectbox").get_by_role("combobox").click()
    page.get_by_role("option").nth(1).click()
    page.get_by_role("heading", name="older").wait_for()
    page.wait_for_url(re.compile(f"run={older}"))
    assert page.get_by_test_id("stDataFrame").locator("canvas").first.get_attribute("data-same") == "yes"
    page.reload()
    page.get_by_role("heading", name="older").wait_for()

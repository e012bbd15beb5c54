"""The pages in a real browser: links, clicks, live curves, hostile text."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import fake_home
from conftest import Server, settle

from braindash.runs.record import RunStore

Visit = Callable[..., Any]


def test_the_first_visitor_may_come_by_a_deep_link(server: Server, visit: Visit) -> None:
    run_id = fake_home.add_done(server.home, "linked")
    fake_home.add_done(server.home, "newer")
    server.start()
    page = visit(f"runs?run={run_id}")
    assert page.get_by_text("Page not found").count() == 0
    assert page.get_by_role("heading", name="linked").is_visible()
    named = visit(f"overview?run={run_id}&show=change")
    named.get_by_role("heading", name="What did brain-tuning change?").wait_for()
    assert f"run={run_id}" in named.url
    assert "show=change" in named.url
    assert named.get_by_text("Page not found").count() == 0
    page.get_by_role("link", name="Results").click()
    page.get_by_role("heading", name="What did brain-tuning change?").wait_for()
    assert f"run={run_id}" in page.url


def test_a_page_around_ours_cannot_steer_it(server: Server, visit: Visit) -> None:
    fake_home.add_done(server.home, "mine")
    server.start()
    page = visit("overview")
    # who is named there may stop and start scripts; each name also costs every click some milliseconds
    assert page.evaluate("fetch('/_stcore/host-config').then(r => r.json())")["allowedOrigins"] == []
    page.evaluate("window.postMessage({stCommVersion: 1, type: 'REQUEST_PAGE_CHANGE', pageScriptHash: ''}, '*')")
    page.wait_for_timeout(300)
    page.get_by_role("heading", name="What did brain-tuning change?").wait_for()


def test_a_choice_is_in_the_address_and_survives_a_reload(server: Server, visit: Visit) -> None:
    fake_home.add_done(server.home)
    server.start()
    page = visit("")
    page.get_by_role("radio", name="Change from pretrained").click()
    page.wait_for_url("**show=change**")
    page.reload()
    settle(page)
    assert page.get_by_role("radio", name="Change from pretrained").get_attribute("aria-checked") == "true"


def test_user_text_is_never_run(server: Server, visit: Visit) -> None:
    ids = {kind: fake_home.add_done(server.home, name) for kind, name in fake_home.HOSTILE.items()}
    server.start()
    for path in ("", "cortex", "explorer", "encoding", "probes", "rsa", "runs"):
        for kind in ("html", "markdown"):
            page = visit(f"{path}?run={ids[kind]}")
            assert page.title() != "owned"
            assert page.locator("img[src=x]").count() == 0
            assert page.locator("a[href*='evil.example']").count() == 0
    assert page.get_by_role("heading", name="**bold** [link](").is_visible()


def test_curves_of_a_live_run_move_by_themselves_and_end(server: Server, visit: Visit) -> None:
    run_id = fake_home.add_in_state(server.home, "running")
    server.start()
    page = visit(f"runs?run={run_id}")
    page.get_by_text("step 14 of 42").wait_for()
    run = RunStore(server.home).get(run_id)
    run.update_status(step=21, fraction=0.5, eta_s=30.0)
    page.get_by_text("step 21 of 42").wait_for(timeout=8000)
    run.update_status(state="done", stage="evaluating", ended=time.time())
    page.get_by_role("button", name="Delete …").wait_for(timeout=8000)
    page.get_by_test_id("stProgress").wait_for(state="detached", timeout=8000)  # a redraw clears what is stale last


def test_delete_asks_and_deletes(server: Server, visit: Visit) -> None:
    run_id = fake_home.add_done(server.home, "to be deleted")
    server.start()
    page = visit(f"runs?run={run_id}")
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_text("cannot be undone").wait_for()
    page.get_by_role("button", name="Keep it").click()
    page.get_by_role("dialog").wait_for(state="detached")
    assert (server.home.runs / run_id).exists()
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("button", name="Delete for good").click()
    page.get_by_text("No model has been tuned in this home yet").wait_for()
    assert not (server.home.runs / run_id).exists()


def test_a_row_of_the_table_opens_its_run(server: Server, visit: Visit) -> None:
    fake_home.add_done(server.home, "older")
    time.sleep(1.1)  # ids sort by the second
    fake_home.add_done(server.home, "newer")
    server.start()
    page = visit("runs")
    page.get_by_role("heading", name="newer").wait_for()
    box = page.get_by_test_id("stDataFrame").bounding_box()
    page.mouse.click(box["x"] + 18, box["y"] + 36 * 2 + 18)  # the tick box of the second line
    page.get_by_role("heading", name="older").wait_for()


def test_the_page_outlives_the_server(server: Server, visit: Visit) -> None:
    run_id = fake_home.add_done(server.home, "still here")
    server.start()
    page = visit(f"runs?run={run_id}")
    page.wait_for_load_state("networkidle")  # a script that is still on its way when the server goes is no fault
    server.stop()
    server.start()
    page.reload()
    settle(page)
    page.get_by_role("heading", name="still here").wait_for()
    assert page.get_by_text("Page not found").count() == 0

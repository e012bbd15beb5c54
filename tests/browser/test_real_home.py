"""Every page on a run that was really tuned and evaluated, with its maps; links reopen the same view."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_home
from conftest import ONE_THREAD, ROOT, Server, settle
from tiny_models import save_tiny

TRACES = re.compile(r"Traceback|encountered an error|Error:|Exception")


def braindash(server: Server, *arguments: str) -> dict[str, Any]:
    """Run a verb on the server's home; return what it says with ``--json``."""
    command = [sys.executable, "-m", "braindash", *arguments, "--home", str(server.home.path), "--json"]
    environment = {**os.environ, **ONE_THREAD, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_every_page_shows_a_real_run_and_links_reopen_it(
    server: Server, visit: Callable[..., Any], tmp_path: Path
) -> None:
    fake_home.add_cortex_study(server.home, tmp_path / "surface")
    model = save_tiny("whisper", tmp_path / "tiny-whisper")
    told = braindash(
        server, "tune", "--study", "surface", "--model", str(model), "--set", "optimiser.epochs=1",
        "--set", "encoding.n_boot=100", "--set", "encoding.n_permutations=100",
    )  # fmt: skip
    run_id = told["run"]
    assert told["status"] == "done"
    assert list((server.home.cortex / "flat").glob("*.npz")), "the maps are made with the evaluation"
    server.start()

    expected = {
        f"overview?run={run_id}": "What did brain-tuning change?",
        f"encoding?run={run_id}": "Encoding",
        f"cortex?run={run_id}": "Cortex",
        f"explorer?run={run_id}": "Explorer",
        "study?study=surface": "Study",
        "tune?study=surface": "Tune",
        f"runs?run={run_id}": "Runs",
    }
    for address, heading in expected.items():
        page = visit(address)
        page.get_by_role("heading", name=heading, exact=True).wait_for()
        settle(page)
        said = page.get_by_test_id("stMain").inner_text()
        assert not TRACES.search(said), (address, TRACES.search(said))
        page.close()

    page = visit(f"cortex?run={run_id}&layer=1&mask=q&q=0.1&map_subject=sub-02&measure=r")
    page.get_by_text("are predicted above chance by the pretrained model, at q ≤ 0.1.").wait_for()
    page.locator("[data-painted='4']").wait_for()
    maps = page.get_by_role("img", name=re.compile("Flattened cortex"))
    assert maps.count() == 4
    page.get_by_role("button", name="Display: only by q of r").click()
    passing = page.get_by_role("radiogroup", name="Show only targets that pass")
    passing.get_by_role("radio", name="q of the difference").click()
    page.wait_for_url("**mask=q_difference**")
    settle(page)
    again = visit(page.url.removeprefix(f"{server.url}/"))
    again.get_by_text("are predicted differently by the two models, at q ≤ 0.1.").first.wait_for()
    again.get_by_role("button", name="Display: only by q of the difference").click()
    for name in ("q of the difference", "sub-02", "r"):
        chosen = again.get_by_role("radio", name=name, exact=True)
        chosen.first.wait_for()
        checked = [c.get_attribute("aria-checked") for c in chosen.all()]
        assert "true" in checked, name
    again.get_by_text("Layer 1, sub-02, n = ").wait_for()

    again.keyboard.press("Escape")

    # the cursor names the place on all maps at once; a click, or Enter, opens the target there
    again.locator("[data-painted='4']").wait_for()
    first = again.get_by_role("img", name=re.compile("Flattened cortex")).first
    first.scroll_into_view_if_needed()
    box = first.bounding_box()
    assert box is not None
    again.mouse.move(box["x"] + 0.4 * box["width"], box["y"] + 0.55 * box["height"])
    tip = again.get_by_role("status").filter(has_text="Target")
    tip.wait_for()
    told = tip.inner_text()
    assert all(word in told for word in ("Pretrained", "Brain-tuned", "Difference"))
    target = told.split()[-1]
    again.mouse.click(box["x"] + 0.4 * box["width"], box["y"] + 0.55 * box["height"])
    again.get_by_text(f"Target {target}, ").first.wait_for()
    again.wait_for_url(f"**target={target}**")

    # an area is dragged on a map, or set corner by corner with the keys; the table below is of what lies in it
    again.get_by_role("button", name="Select an area").click()
    first.scroll_into_view_if_needed()
    box = first.bounding_box()
    assert box is not None
    for i, (x, y) in enumerate([(0.3, 0.45), (0.44, 0.45), (0.44, 0.7), (0.3, 0.7)]):
        again.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=5)
        if i == 0:
            again.mouse.down()
    again.mouse.up()
    again.wait_for_url("**area=**")
    again.get_by_role("button", name="Clear the area").wait_for()
    again.get_by_text(f"Target {target}, ").first.wait_for()  # the drag chose no other target
    dragged = again.url
    again.get_by_role("button", name="Clear the area").click()
    again.get_by_text("on a map to see those in it").wait_for()
    assert "area=" not in again.url
    button = again.get_by_role("button", name="Select an area")
    button.focus()
    again.keyboard.press("Enter")
    first.focus()
    again.keyboard.press("Enter")
    for key in ("ArrowRight", "ArrowDown"):
        for _ in range(12):
            again.keyboard.press(key)
        again.keyboard.press("Enter")
    again.get_by_role("button", name="Finish the area").click()
    again.wait_for_url("**area=**")
    assert again.url != dragged
    again.get_by_role("button", name="Clear the area").wait_for()
    settle(again)

    # the model that was tuned is here, so the target's course is fitted and drawn
    again.get_by_role("button", name="Show its time course").click()
    again.get_by_text("This story was not used to fit").wait_for()

"""docs/lab-meeting.md can be followed: every link opens its page, and every word in bold is on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import full_home
import pytest
from conftest import Server

from braindash.ui.layout import OVERVIEW, SECTIONS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docs" / "lab-meeting.md"
UI = ROOT / "braindash" / "ui"
MAPS = "".join(
    file.read_text(encoding="utf-8")
    for file in (
        UI / "flatmaps.py",
        UI / "map_values.py",
        UI / "canvas" / "lasso.js",
        ROOT / "braindash" / "wording.py",
    )
)
STEP = re.compile(r"\[(?P<title>[^\]]+)\]\(http://127\.0\.0\.1:8501/(?P<address>[^)]*)\)|\*\*(?P<name>[^*]+)\*\*")
NOT_PAGES = {"bold", "Before."}  # words about the script itself


def steps() -> dict[str, list[str]]:
    """Return the names in bold by the address that was opened last before them."""
    found: dict[str, list[str]] = {}
    at = ""
    for step in STEP.finditer(SCRIPT.read_text(encoding="utf-8")):
        if step["address"]:
            at = step["address"]
            found.setdefault(at, [])
        elif step["name"] not in NOT_PAGES:
            assert at, f"{step['name']} stands before any link"
            found[at].append(step["name"])
    return found


def test_links_and_titles_are_those_of_the_navigation() -> None:
    titles = {e.url: e.title for entries in SECTIONS.values() for e in entries} | {"overview": OVERVIEW.title}
    text = SCRIPT.read_text(encoding="utf-8")
    for step in STEP.finditer(text):
        if step["address"]:
            assert titles[step["address"].partition("?")[0]] == step["title"]
    assert text.count("## Minute ") == 5
    assert len(re.findall(r"^\| .*\?.* \|$", text, re.MULTILINE)) >= 8, "questions from the audience"


def test_the_script_can_be_followed(server: Server, visit: Callable[..., Any], tmp_path: Path) -> None:
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    full_home.fill(server.home, tmp_path / "mini")
    server.start()
    missing = []
    for address, names in steps().items():
        page = visit(address)
        assert page.get_by_text("The link names").count() == 0, address
        for name in dict.fromkeys(names):
            if address.startswith("cortex"):  # a map takes long to prepare; other tests open it
                assert re.search(rf"[\"'*]{re.escape(name)}\b", MAPS), f"{name} is not on the Cortex page"
                continue
            here = page.get_by_test_id("stMain").get_by_text(name, exact=True)
            control = page.get_by_role("combobox", name=re.compile(rf"{re.escape(name)}$"))
            try:
                here.or_(control).first.wait_for(state="attached", timeout=60_000)
            except sync_api.TimeoutError:
                missing.append(f"{address}: {name}")
        page.close()
    assert not missing, missing

"""What the server keeps: several readers go from page to page, and its own memory is read now and then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from browser import braindash_server, window

from braindash.ui.layout import SECTIONS

SETTLE = "[data-testid=stApp][data-test-script-state=notRunning]"


def watch(browser: Any, url: str, readers: int, changes: int, memory: Any, every: int = 5) -> list[tuple[int, float]]:
    """Let every reader change pages that often, one after another; return (changes so far, MB) pairs."""
    titles = [p.title for entries in SECTIONS.values() for p in entries]
    contexts = [window(browser) for _ in range(readers)]
    found = [(0, memory())]
    try:
        tabs = []
        for context in contexts:
            tab = context.new_page()
            tab.goto(url)
            tab.locator(SETTLE).wait_for()
            tabs.append(tab)
        for change in range(changes):
            title = titles[(change + 1) % len(titles)]
            for tab in tabs:
                tab.evaluate("__seen.arm()")
                tab.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
            for tab in tabs:
                tab.wait_for_function("__seen.script > 0 && __seen.state === 'notRunning'")
            if (change + 1) % every == 0:
                found.append((change + 1, memory()))
    finally:
        for context in contexts:
            context.close()
    return found


def report(browser: Any, home: Path, readers: int, changes: int, as_json: bool) -> None:
    """Serve the home, watch, and print."""
    server = braindash_server(home)
    server.start()
    try:
        found = watch(browser, server.url, readers, changes, server.memory)
    finally:
        server.stop()
    if as_json:
        print(json.dumps({"sessions": {"readers": readers, "memory_MB": found}}))
        return
    print(f"{readers} readers; memory that is the server's alone, MB, after so many page changes of each")
    for n, size in found:
        print(f"{n:>5}{size:>9.0f}")

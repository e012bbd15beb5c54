"""Every control that a page shows, found by its role, worked there and back, and timed."""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from browser import Server, act, browser_spent, visit, window
from playwright.sync_api import TimeoutError

MOST = 20  # controls of a page that are worked
ROUNDS = 3  # there and back, once both are known
MAIN = "[data-testid=stMain]"
RUN = "list Run"
PART = "part "


@dataclass(frozen=True)
class Control:
    """One control: what it is called, and how it is set to another value and back."""

    name: str
    there: Callable[[], None]
    back: Callable[[], None]


def measure(browser: Any, server: Server, url: str, page_name: str) -> list[dict[str, Any]]:
    """Work the controls of a page; return a row each: first time, again, and the kilobytes that came for the first.

    "First" is a value that nobody has asked for since the server began, as far as this page's visits go; "again" is
    the median over the ways back and there that follow.
    """
    context = window(browser)
    received = [0]
    rows = []
    try:
        page, _ = visit(context, url)
        client = context.new_cdp_session(page)
        client.send("Network.enable")
        client.on(
            "Network.webSocketFrameReceived", lambda e: _count(received, len(e["response"]["payloadData"]) * 0.75)
        )
        client.on("Network.loadingFinished", lambda e: _count(received, e["encodedDataLength"]))
        # another run may not have what the other controls choose of
        for control in sorted(_controls(page), key=lambda c: c.name == RUN)[:MOST]:
            print(f"{page_name}, {control.name} …", file=sys.stderr, flush=True)
            received[0] = 0
            try:
                first = act(page, control.there)
                n_bytes = received[0]
                before = server.spent(), browser_spent()
                ways = [act(page, way) for _ in range(ROUNDS) for way in (control.back, control.there)]
            except TimeoutError as error:  # one control that cannot be worked must not cost the other figures
                print(f"{page_name}, {control.name}: {str(error).splitlines()[0]}", file=sys.stderr)
                break  # what the page holds now is not known
            spent = [
                1000 * (now - then) / len(ways)
                for now, then in zip((server.spent(), browser_spent()), before, strict=True)
            ]
            act(page, control.back)
            if not first or not all(ways):  # asks nothing of the server
                continue
            if control.name.startswith(PART) and not first["asked"]:  # most parts that fold are sent with the page
                continue
            again = {key: statistics.median(way[key] for way in ways) for key in first}
            rows.append(
                {
                    "page": page_name,
                    "control": control.name,
                    "first": first,
                    "again": again | {"server_cpu": spent[0], "browser_cpu": spent[1]},
                    "kB": n_bytes / 1e3,
                }
            )
    finally:
        context.close()
    return rows


def _count(total: list[int], n: float) -> None:
    total[0] += int(n)


def _controls(page: Any) -> Iterator[Control]:
    """Find sliders, rows of buttons, drop-down lists, switches and parts that fold, as a reader could work them."""
    main = page.locator(MAIN)
    for slider in _visible(main.get_by_role("slider")):
        if slider.is_enabled():
            yield Control(
                f"slider {_label(slider)}",
                lambda s=slider: s.press("ArrowLeft"),
                lambda s=slider: s.press("ArrowRight"),
            )
    for group in _visible(main.get_by_role("radiogroup")):
        options = group.get_by_role("radio")
        now = [o.get_attribute("aria-checked") == "true" for o in options.all()]
        if True in now and False in now:
            old, new = options.nth(now.index(True)), options.nth(now.index(False))
            yield Control(f"choice {_label(group)}", lambda o=new: o.click(), lambda o=old: o.click())
    for box in _visible(main.get_by_test_id("stSelectbox")):
        field = box.get_by_role("combobox")
        if field.count() and field.is_enabled() and (options := _number_of_options(page, field)) > 1:
            yield Control(
                f"list {box.locator('label').first.inner_text()}",
                lambda f=field: _step(page, f, "ArrowDown"),
                lambda f=field: _step(page, f, "ArrowUp"),
            )
    for switch in _visible(main.get_by_test_id("stCheckbox")):
        if switch.locator("input").is_enabled():
            target = switch.locator("label").first
            yield Control(f"switch {switch.inner_text()}", lambda t=target: t.click(), lambda t=target: t.click())
    for part in _visible(main.get_by_test_id("stExpander")):
        target = part.locator("summary").first
        name = target.locator("p").first.inner_text()
        yield Control(f"{PART}{name}", lambda t=target: t.click(), lambda t=target: t.click())


def _visible(found: Any) -> list[Any]:
    return [item for item in found.all() if item.is_visible()]


def _label(item: Any) -> str:
    said = item.get_attribute("aria-label") or ""
    return said or str(item.evaluate("e => e.closest('[data-testid^=st]')?.querySelector('label')?.innerText ?? ''"))


def _number_of_options(page: Any, field: Any) -> int:
    _open(page, field)
    n = int(page.get_by_role("option").count())
    page.keyboard.press("Escape")
    return n


def _open(page: Any, field: Any) -> None:
    """Open a list; the click that takes the focus from another list does not always."""
    options = page.get_by_role("option").first
    field.click()
    try:
        options.wait_for(timeout=2000)
    except TimeoutError:
        field.click()
        options.wait_for()


def _step(page: Any, field: Any, key: str) -> None:
    """Choose the next option of an open list; the clock starts with the key that chooses it."""
    _open(page, field)
    page.keyboard.press(key)
    page.evaluate("__seen.arm(false)")
    page.keyboard.press("Enter")

"""The pages at a lab's size, in Chromium: first paint, every control, what travels, and memory.

    python benchmarks/pages.py [--home HOME] [--rounds N] [--only PAGE …] [--sessions [N CHANGES]] [--json]

The home holds one subject of 100,000 voxels, 13 layers, 3 models and 1,000 runs (benchmarks/parts/synthetic_home.py
writes it, in about three minutes, unless --home names one that is there). Every time stands beside those of a blank
Streamlit page and of one with a single chart, served in the same way and visited in turn with the others; the times of
a page's controls beside that of a plain page's only control, which changes its only chart, worked just before.
``--sessions`` leaves the browser out: the server's processor time for every page, and its memory while several
readers go from page to page.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent / "parts"))

import page_controls
import page_maps
import page_sessions
from browser import (
    BLANK,
    ONE_CHART,
    ONE_CONTROL,
    Server,
    braindash_server,
    browser_spent,
    chromium,
    plain_server,
    seen,
    visit,
    window,
)
from playwright.sync_api import TimeoutError
from synthetic_home import build

from braindash.config import Home
from braindash.ui.layout import SECTIONS

PAINT, CONTROL, BEYOND_BLANK = 1000, 300, 500  # ms: first paint; a control; a page with a map beyond a blank one
SWAP, MAP, PICTURE = 16, 100, 50  # ms to draw maps anew; kB of a map; ms of a picture drawn by the server
TABLE = 1000  # ms: the table of 1,000 runs, whole
MAP_PAGE, TABLE_PAGE = "cortex", "runs"
PLAIN = ("blank", "one chart")

Row = dict[str, Any]


def page_names(only: Sequence[str]) -> list[str]:
    """Return the addresses of the pages in the navigation."""
    every = [p.url for entries in SECTIONS.values() for p in entries]
    unknown = set(only) - set(every)
    if unknown:
        raise SystemExit(f"There is no page {', '.join(sorted(unknown))}; there are {', '.join(every)}.")
    return [p for p in every if not only or p in only]


def cold(browser: Any, home: Path, pages: Sequence[str]) -> dict[str, Row]:
    """Visit each page as the first one of a fresh server and a fresh browser."""
    found = {}
    for page in pages:
        server = braindash_server(home)
        server.start()
        context = window(browser)
        try:
            found[page] = visit(context, address(server, page))[1]
        finally:
            context.close()
            server.stop()
    return found


def address(server: Server, page: str) -> str:
    return f"{server.url}/{'' if page == 'home' else page}"


def warm(browser: Any, server: Server, plain: dict[str, Server], pages: Sequence[str], rounds: int) -> dict[str, Row]:
    """Visit the pages in turn, each by its address and by a click in the navigation, plain pages between them."""
    context = window(browser)
    links: dict[str, list[Row]] = {page: [] for page in (*plain, *pages)}
    clicks: dict[str, list[Row]] = {page: [] for page in pages}
    titles = {p.url: p.title for entries in SECTIONS.values() for p in entries}
    try:
        for turn in range(rounds + 1):
            for page in pages:
                for name, other in plain.items():
                    tab, times = visit(context, other.url)
                    tab.close()
                    links[name].append(times)
                before = server.spent(), browser_spent()
                tab, times = visit(context, address(server, page))
                links[page].append(times | processor(server, before))
                try:
                    go(tab, titles["study" if page != "study" else "runs"])
                    before = server.spent(), browser_spent()
                    clicks[page].append(go(tab, titles[page]) | processor(server, before))
                except TimeoutError as error:  # one page that never comes to rest must not cost the other figures
                    print(f"{page}, by click: {str(error).splitlines()[0]}", file=sys.stderr)
                tab.close()
            if turn == 0:  # what the first round finds is not kept yet
                for kept in (*links.values(), *clicks.values()):
                    kept.clear()
    finally:
        context.close()
    if not pages:
        return {}
    return {
        page: {"link": middle(links[page])} | ({"click": middle(clicks[page])} if clicks.get(page) else {})
        for page in links
    }


def controls(browser: Any, server: Server, pages: Sequence[str]) -> list[Row]:
    """Work the controls of the pages, each page's after that of a plain page; return a row each."""
    found: list[Row] = []
    with plain_server(ONE_CONTROL) as plain:
        for page in pages:
            try:
                (least,) = page_controls.measure(browser, plain, plain.url, "plain")
                rows = page_controls.measure(browser, server, address(server, page), page)
            except TimeoutError as error:  # one page that cannot be worked must not cost the other figures
                print(f"{page}, its controls: {str(error).splitlines()[0]}", file=sys.stderr)
                continue
            found += [row | {"plain": least["again"]["drawn"]} for row in rows]
    return found


def go(tab: Any, title: str) -> Row:
    """Click a page in the navigation; return its times once it is at rest."""
    tab.evaluate("__seen.arm()")
    tab.get_by_test_id("stSidebarNav").get_by_role("link", name=title, exact=True).click()
    tab.wait_for_function("__seen.heading > 0")
    return seen(tab)


def processor(server: Server, before: tuple[float, float]) -> Row:
    """Return the processor time since ``before``, ms: a busy machine stretches the clock, this less so."""
    return {"server_cpu": 1e3 * (server.spent() - before[0]), "browser_cpu": 1e3 * (browser_spent() - before[1])}


def middle(rows: Sequence[Row]) -> Row:
    """Return the median of every number."""
    return {key: statistics.median(r[key] for r in rows) for key in rows[0]}


@contextmanager
def home_of(given: Path | None) -> Iterator[Home]:
    """Lend the home that is measured; without one, a new one that is removed at the end."""
    if given is not None:
        yield Home(given.resolve())
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Home(Path(folder) / "home")


def judge(found: Row) -> list[Row]:
    """Return one row a target: what it is, the limit, the worst that was seen, whether it is met."""
    rows: list[Row] = []

    def check(what: str, value: float, limit: float, unit: str, where: str) -> None:
        rows.append({"what": what, "limit": limit, "worst": value, "unit": unit, "where": where, "met": value <= limit})

    warm_pages = {p: t for p, t in found["warm"].items() if p not in PLAIN}
    if warm_pages:
        for how, words in (("link", "by its address"), ("click", "by a click")):
            there = {p: t[how]["heading"] for p, t in warm_pages.items() if how in t}
            page = max(there, key=there.__getitem__)
            check(f"first paint, {words}", there[page], PAINT, "ms", page)
    if MAP_PAGE in warm_pages:
        blank = found["warm"]["blank"]["link"]["drawn"]
        beyond = warm_pages[MAP_PAGE]["link"]["maps"] - blank
        check("maps of a page on the screen, beyond a blank one", beyond, BEYOND_BLANK, "ms", MAP_PAGE)
    if "click" in warm_pages.get(TABLE_PAGE, {}):
        check("table of 1,000 runs, whole", warm_pages[TABLE_PAGE]["click"]["drawn"], TABLE, "ms", TABLE_PAGE)
    for row in found["controls"]:
        check("control, seen before", row["again"]["drawn"], CONTROL, "ms", f"{row['page']}: {row['control']}")
    maps = found.get("maps")
    if maps:
        check("maps drawn anew in the browser", maps["swap_ms"], SWAP, "ms", f"{maps['maps']} maps")
        check("a map as it travels", maps["map_kB"], MAP, "kB", "the largest")
        check("picture drawn by the server", maps["server_png_ms"], PICTURE, "ms", f"{maps['png_height']} px")
    return rows


def show(found: Row) -> None:
    """Print the tables."""
    print(f"{found['n_targets']:,} targets; load average {found['load'][0]:.1f} before, {found['load'][1]:.1f} after\n")
    if found["warm"]:
        show_visits(found)
    print(
        "\nms from the input, for the first time and again; asked: when the browser asks the server; "
        "processor: server + browser"
    )
    for row in sorted(found["controls"], key=lambda r: -r["again"]["drawn"]):
        first, again = row["first"], row["again"]
        print(
            f"{row['page']:<10} {row['control'][:44]:<44} first {first['drawn']:>6.0f}  again {again['drawn']:>6.0f}"
            f"  × plain {again['drawn'] / row['plain']:>4.1f}"
            f"  asked {again['asked']:>4.0f}  script {again['script']:>5.0f}  {row['kB']:>7.0f} kB"
            f"  processor {again['server_cpu']:>4.0f} + {again['browser_cpu']:>4.0f}"
        )
    if "maps" in found:
        print("\nthe same map of all targets")
        for key, value in found["maps"].items():
            print(f"  {key:<28}{value:>12,.1f}")
    print(f"\n{'target':<50}{'limit':>8}{'worst':>10}")
    for row in found["targets"]:
        if row["what"].startswith("control") and row["met"]:
            continue
        verdict = "met" if row["met"] else "MISSED"
        print(
            f"{row['what']:<50}{row['limit']:>7,.0f} {row['unit']:<3}{row['worst']:>7,.0f}  {verdict:<7}{row['where']}"
        )
    if found["controls"]:
        plain = sorted(row["plain"] for row in found["controls"])
        print(f"a plain page's control: {plain[0]:.0f} to {plain[-1]:.0f} ms, median {statistics.median(plain):.0f}")
    n = [r["met"] for r in found["targets"] if r["what"].startswith("control")]
    print(f"controls within {CONTROL} ms: {sum(n)} of {len(n)}")


def show_visits(found: Row) -> None:
    """Print what visits of the pages take."""
    blank = found["warm"]["blank"]["link"]
    print(
        "ms                cold: heading  whole   address: heading  whole   × blank  + blank   click: heading  whole"
        "   processor: server  browser"
    )
    for page, times in found["warm"].items():
        if page in PLAIN:
            plain = times["link"]
            print(f"{page:<14}{'':>17}{'':>7}{plain['heading']:>18.0f}{plain['drawn']:>7.0f}")
            continue
        nothing = dict.fromkeys(("heading", "drawn", "maps", "server_cpu", "browser_cpu"), float("nan"))
        link, click, first = times["link"], times.get("click", nothing), found["cold"].get(page)
        began = f"{first['heading']:>17.0f}{first['drawn']:>7.0f}" if first else f"{'–':>17}{'–':>7}"
        print(
            f"{page:<14}{began}{link['heading']:>18.0f}{link['drawn']:>7.0f}{link['drawn'] / blank['drawn']:>10.1f}"
            f"{link['drawn'] - blank['drawn']:>9.0f}{click['heading']:>17.0f}{click['drawn']:>7.0f}"
            f"{click['server_cpu']:>20.0f}{click['browser_cpu']:>9.0f}"
        )
        if link["maps"]:
            print(f"{'':<14}maps painted: by its address {link['maps']:.0f}, by a click {click['maps']:.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--home", type=Path, help="where the home is, or is to be written; a temporary one by default")
    parser.add_argument("--rounds", type=int, default=3, help="visits of each page on warm data")
    parser.add_argument("--only", nargs="*", default=[], help="these pages only, by their address")
    parser.add_argument("--skip", nargs="*", default=[], choices=["cold", "warm", "controls", "maps"])
    parser.add_argument("--sessions", nargs="*", type=int, metavar="N", help="readers and page changes: 10 50")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    pages = page_names(arguments.only)
    if arguments.sessions is not None:
        readers, changes = (*arguments.sessions, *(10, 50)[len(arguments.sessions) :])
        with home_of(arguments.home) as home:
            build(home)
            page_sessions.report(home.path, readers, changes, arguments.json)
        return
    with home_of(arguments.home) as home, chromium() as browser:
        facts = build(home)
        load = os.getloadavg()[0]
        found: Row = {"n_targets": facts["n_targets"], "cores": os.cpu_count()}
        found["cold"] = cold(browser, home.path, pages) if "cold" not in arguments.skip else {}
        server = braindash_server(home.path)
        server.start()
        try:
            with plain_server(BLANK) as blank, plain_server(ONE_CHART) as chart:
                visited = pages if "warm" not in arguments.skip else []
                found["warm"] = warm(browser, server, {"blank": blank, "one chart": chart}, visited, arguments.rounds)
            found["controls"] = controls(browser, server, pages if "controls" not in arguments.skip else [])
            if MAP_PAGE in pages and "maps" not in arguments.skip:
                found["maps"] = page_maps.measure(browser, address(server, MAP_PAGE), home)
        finally:
            server.stop()
    found["load"] = [load, os.getloadavg()[0]]
    found["targets"] = judge(found)
    if arguments.json:
        print(json.dumps({"pages": found}))
    else:
        show(found)


if __name__ == "__main__":
    main()

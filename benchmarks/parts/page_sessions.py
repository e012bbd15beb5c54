"""What a page costs the server, and what the server keeps while several readers go from page to page."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from browser import Server, braindash_server

from braindash.ui.layout import SECTIONS

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))  # page_reader

EVERY = 5  # changes of every reader between two looks at the memory
ROUNDS = 3


def addresses() -> list[str]:
    """Return the addresses of the pages; the first one has none."""
    return ["" if p.default else p.url for entries in SECTIONS.values() for p in entries]


def costs(server: Server) -> list[dict[str, Any]]:
    """Return what each page costs: processor time of the server in ms, first and then (least of three), and bytes."""
    from page_reader import Reader

    rows: dict[str, dict[str, Any]] = {}
    with Reader(server.url) as reader:
        for turn in range(ROUNDS + 1):
            for page in addresses():
                before = server.spent()
                size = sum(m.ByteSize() for m in reader.open(page))
                spent = 1e3 * (server.spent() - before)
                row = rows.setdefault(page, {"page": page or "home", "first": spent, "again": float("inf")})
                if turn:
                    row |= {"again": min(row["again"], spent), "kB": size / 1e3}
    return list(rows.values())


def watch(server: Server, readers: int, changes: int) -> list[tuple[int, float]]:
    """Let every reader change pages that often, each on another page; return (changes so far, MB) pairs."""
    from page_reader import Reader

    pages = addresses()
    every = [Reader(server.url) for _ in range(readers)]
    found = [(0, server.memory())]
    try:
        for change in range(changes):
            for number, reader in enumerate(every):
                reader.ask(pages[(change + number) % len(pages)])
            for reader in every:
                reader.read()
            if (change + 1) % EVERY == 0:
                found.append((change + 1, server.memory()))
    finally:
        for reader in every:
            reader.socket.close()
    return found


def report(home: Path, readers: int, changes: int, as_json: bool) -> None:
    """Serve the home, visit every page, watch, and print."""
    server = braindash_server(home)
    server.start()
    try:
        pages = costs(server)
        memory = watch(server, readers, changes)
    finally:
        server.stop()
    if as_json:
        print(json.dumps({"sessions": {"pages": pages, "readers": readers, "memory_MB": memory}}))
        return
    print("processor time of the server, ms      first   again       kB")
    for row in pages:
        print(f"{row['page']:<36}{row['first']:>7.0f}{row['again']:>8.0f}{row['kB']:>9.0f}")
    print(f"\n{readers} readers; memory that is the server's alone, MB, after so many page changes of each")
    for n, size in memory:
        print(f"{n:>5}{size:>9.0f}")

"""Ten readers who change pages fifty times each: what the server keeps levels off.

They speak Streamlit's own messages and need no browser, so it takes half a minute. At a lab's size:
``python benchmarks/pages.py --sessions``.
"""

from __future__ import annotations

from pathlib import Path

import fake_home
import hierarchy_home
import probing_home
import psutil
import rsa_home
from conftest import Server
from page_reader import Reader, titles

READERS, CHANGES = 10, 50
PAGES = {
    "": "What did brain-tuning change?",
    "cortex": "Cortex",
    "encoding": "Encoding",
    "probes": "Probes",
    "rsa": "RSA",
    "study": "Study",
    "tune": "Tune",
    "runs": "Runs",
    "present": "Present",
    "glossary": "Glossary",
}
LEVEL_MB = 12.0  # the last 200 page changes may add; 60 kB a change


def test_ten_readers_and_fifty_page_changes_each_leave_no_trace(server: Server, tmp_path: Path) -> None:
    fake_home.add_table_study(server.home, tmp_path / "mini")
    run_id = fake_home.add_done(server.home)
    probing_home.write(server.home, run_id)
    hierarchy_home.write(server.home, run_id, hierarchy_home.document(run_id))
    rsa_home.add(server.home, run_id)
    server.start()
    assert server.process is not None
    process = psutil.Process(server.process.pid)
    own = []  # MB of the server alone, after every ten page changes of all readers
    order = list(PAGES)
    readers = [Reader(server.url) for _ in range(READERS)]
    try:
        for change in range(CHANGES):
            for number, reader in enumerate(readers):  # each is on another page
                reader.ask(order[(change + number) % len(order)])
            for number, reader in enumerate(readers):
                page = order[(change + number) % len(order)]
                assert titles(reader.read())[:1] == [PAGES[page]], page
            if (change + 1) % 10 == 0:
                own.append(process.memory_full_info().uss / 1e6)
    finally:
        for reader in readers:
            reader.socket.close()
    assert own[-1] - own[-3] < LEVEL_MB, own

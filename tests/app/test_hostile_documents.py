"""What an analysis left in a run's folder, ruined value by value as far as readers accept it: no page breaks.

A document that readers refuse is a message; the danger is one that they accept. So every value of a document is
replaced in turn, wherever the reader still takes the whole, and the pages are opened on what has come of it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_home
import pytest
from hostile_home import add_whole, open_any

from braindash.config import Home
from braindash.errors import BraindashError

FILES = {  # what is ruined: the pages that show it, and how its reader is asked
    "records.json": ("home", "encoding", "present", "compare"),
    "probing.json": ("probes", "present", "home"),
    "rsa.json": ("rsa", "present"),
    "hierarchy.json": ("home", "present"),
    "partition.json": ("encoding", "present"),
}
VALUES: dict[str, Any] = {
    "null": None,
    "text": "<b>x</b>",
    "large": 1e308,
    "rows": [None, 5, "x", {}],
}


def reader_of(file: str) -> Callable[[Path], Any]:
    from braindash.runs import partition_document, probing, results, rsa
    from braindash.ui import findings_view

    return {
        "records.json": results.read_records,
        "probing.json": probing.read_probing,
        "rsa.json": rsa.read_rsa,
        "hierarchy.json": lambda folder: findings_view.read_file(str(folder)),
        "partition.json": partition_document.read_partition,
    }[file]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Return the path of every value; of a list of rows, of the first and the last row only."""
    if isinstance(value, dict):
        for key in value:
            yield (*path, key)
            yield from places(value[key], (*path, key))
    elif isinstance(value, list) and value:
        for i in sorted({0, len(value) - 1}):
            yield (*path, i)
            yield from places(value[i], (*path, i))


def put(document: Any, path: tuple[Any, ...], value: Any) -> None:
    """Replace one value in place; where an earlier change took its place away, nothing."""
    for key in path[:-1]:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            return
    try:
        document[path[-1]] = copy.deepcopy(value)
    except (IndexError, TypeError):
        return


def ruined(file: Path, value: Any) -> dict[str, Any]:
    """Return the document with ``value`` wherever its reader still takes it."""
    reader = reader_of(file.name)
    good = json.loads(file.read_text(encoding="utf-8"))
    small = {k: [v[0], v[len(v) // 2], v[-1]] if isinstance(v, list) and len(v) > 12 else v for k, v in good.items()}
    now = good | {k: v for k, v in small.items() if k not in ("rows", "encoding", "differences")}
    for path in sorted(places(now), key=len, reverse=True):
        trial = copy.deepcopy(now)
        put(trial, path, value)
        file.write_text(json.dumps(trial), encoding="utf-8")
        try:
            reader(file.parent)
        except BraindashError:
            continue
        now = trial
    return now


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_ruined_document_breaks_no_page(home: Home, tmp_path: Path, name: str) -> None:
    fake_home.add_table_study(home, tmp_path / "mini")
    run_id = add_whole(home, subjects=("sub-01",), models=("pretrained", "brain_tuned"))
    file = home.runs / run_id / name
    good = file.read_text(encoding="utf-8")
    for value in VALUES.values():
        file.write_text(good, encoding="utf-8")
        file.write_text(json.dumps(ruined(file, value)), encoding="utf-8")
        for page in FILES[name]:
            open_any(page, run=run_id, runs=run_id)

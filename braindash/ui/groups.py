"""Groups of runs as pages show them: read once, put together again only when a run has changed."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from braindash.errors import BraindashError
from braindash.ui import names, readers

if TYPE_CHECKING:
    from braindash.runs.groups import Group, Outcome, TestDifference
    from braindash.runs.record import RunRow

Curve = tuple[tuple[int, ...], tuple[float, ...]]  # epochs, validation r


@dataclass(frozen=True)
class GroupLine:
    """A group as one row of the table."""

    id: str
    rows: tuple[RunRow, ...]  # in the order of launching
    state: str
    best: Outcome | None


def line(group: str, rows: Sequence[RunRow]) -> GroupLine:
    found = together(group, tuple(rows))
    return GroupLine(group, tuple(rows), found.state, found.best)


def together(group: str, rows: tuple[RunRow, ...], tested: bool = False) -> Group:
    """Return a group's settings and scores; with ``tested`` also the differences on the test stories."""
    tests: tuple[tuple[str, TestDifference], ...] = ()
    if tested:
        found = [(row.id, _test(row)) for row in rows if row.has_results and row.control == "none"]
        tests = tuple((run_id, t) for run_id, t in found if t is not None)
    return _together(str(readers.home().path), group, rows, tests)


@functools.lru_cache(maxsize=256)
def _together(
    home_path: str, group: str, rows: tuple[RunRow, ...], tests: tuple[tuple[str, TestDifference], ...]
) -> Group:
    from braindash.runs.groups import summarise

    store = readers.store()
    configs = {}
    for row in rows:
        try:
            configs[row.id] = store.get(row.id).config
        except BraindashError:  # deleted or damaged since
            continue
    return summarise(group, rows, configs, dict(tests))


def _test(row: RunRow) -> TestDifference | None:
    from braindash.runs.results import RECORDS

    path = readers.home().runs / row.id
    return _read_test(str(path), readers.mark(path / RECORDS))


@st.cache_resource(max_entries=4096, show_spinner=False)
def _read_test(path: str, as_of: tuple[int, int], /) -> TestDifference | None:
    from braindash.runs.groups import test_difference
    from braindash.runs.run import Run

    try:
        return test_difference(Run(path).records() or {})
    except BraindashError:
        return None


def curve(row: RunRow) -> Curve:
    """Return the validation r of a run after each epoch so far."""
    path = readers.home().runs / row.id
    return _read_curve(str(path), readers.mark(path / "metrics.jsonl"))


@st.cache_resource(max_entries=4096, show_spinner=False)
def _read_curve(path: str, as_of: tuple[int, int], /) -> Curve:
    from braindash.runs.run import Run

    epochs: dict[int, float] = {}
    try:
        rows = Run(path).metrics
    except BraindashError:  # said on the run's own page
        return (), ()
    for row in rows:
        if row.get("kind") == "epoch" and row.get("validation_r") is not None:
            epochs[int(row["epoch"])] = float(row["validation_r"])
    kept = sorted(epochs)
    return tuple(kept), tuple(epochs[e] for e in kept)


def states(rows: Sequence[RunRow]) -> str:
    """Return ``"3 done, 1 running"``."""
    counts = Counter(r.state for r in rows)
    return ", ".join(f"{n} {names.state(state).lower()}" for state, n in counts.items())


def mean_and_spread(outcome: Outcome | None) -> str:
    """Return ``"0.1234 ± 0.0012"``, or "" where there is no score."""
    if outcome is None:
        return ""
    spread = outcome.validation.sd
    return f"{outcome.validation.mean:.4f}" + (f" ± {spread:.4f}" if spread == spread else "")


def best_words(outcome: Outcome | None) -> str:
    """Return ``"; best: rank 8, lr 0.0003"``, or "" where nothing varies or is scored."""
    from braindash.runs.groups import label

    said = label(outcome.values) if outcome is not None else ""
    return f"; best: {said}" if said else ""

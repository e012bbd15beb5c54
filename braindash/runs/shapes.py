"""The shape of what an analysis leaves as JSON: what does not have it is refused, with the place and the value.

Readers rely on little: that tables are lists of rows, that a row's model, subject, region and layer are there, that
numbers are numbers. What nobody relies on may be anything.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_LAYERS = 10_000  # a layer beyond is no layer: arrays as long as the highest one are made
MOST = 10**12  # of what is counted: targets, steps
_SHOWN = 60  # characters of a wrong value


@dataclass(frozen=True)
class Table:
    """A list of rows: columns that every row has, and columns of numbers that may be missing or null."""

    text: Sequence[str] = ()
    layers: Sequence[str] = ()
    numbers: Sequence[str] = ()
    counts: Sequence[str] = ()  # numbers that every row has


@dataclass(frozen=True)
class Shape:
    """What a document's keys hold, where they are there: tables, mappings, lists of texts or of layers, text.

    A key of a mapping is named with a dot, as "summary.answer".
    """

    tables: Mapping[str, Table] = field(default_factory=dict)
    mappings: Sequence[str] = ()
    texts: Sequence[str] = ()
    layers: Sequence[str] = ()
    text: Sequence[str] = ()
    needed: Sequence[str] = ()  # keys that are never absent


_WHERE = ("model", "subject", "roi")
_INTERVAL = ("ci_low", "ci_high")
_SCORES = ("r", "r2", "r_ci_low", "r_ci_high", "r_norm", "r_norm_ci_low", "r_norm_ci_high", "noise_ceiling")
_CHANGES = ("delta_r", *_INTERVAL, "delta_r_norm", "r_norm_ci_low", "r_norm_ci_high", "p", "q")
_PROBE = ("model", "task")

RECORDS = Shape(
    tables={
        "encoding": Table(_WHERE, ("layer",), (*_SCORES, "n_excluded"), ("n_targets",)),
        "differences": Table(_WHERE, ("layer",), (*_CHANGES, "n_excluded"), ("n_targets",)),
        "against_controls": Table((*_WHERE, "against"), ("layer",), (*_CHANGES, "n_excluded"), ("n_targets",)),
        "peaks": Table(),
        "group": Table(("measure", "model", "roi"), ("layer",), ("n_subjects", "mean", "p", "q")),
    },
    mappings=("summary", "summary.region_titles", "excluded", "ceilings", "provenance", "provenance.split",
              "provenance.evaluation"),
    texts=("subjects", "models", "caveats", "summary.answer", "tuned_on"),
    layers=("layers",),
    text=("run", "study", "study_title", "model", "summary.question"),
)  # fmt: skip
PROBING = Shape(
    tables={
        "rows": Table(_PROBE, ("layer",), ("score", *_INTERVAL, "shuffled", "selectivity", "chance", "baseline")),
        "differences": Table(_PROBE, ("layer",), ("delta", *_INTERVAL, "p", "q")),
        "folds": Table(_PROBE, ("layer",), ("score", "n_train", "n_test")),
        "tasks": Table(("name",)),
        "not_done": Table(),
    },
    mappings=("corpus", "settings"),
    texts=("models", "caveats"),
    layers=("layers",),
    text=("study",),
)
RSA = Shape(  # the RSA page takes from the rest only what it knows
    tables={
        "rows": Table(_WHERE, ("layer",), ("similarity", *_INTERVAL, "p", "q", "n_targets", "n_conditions")),
        "differences": Table(_WHERE, ("layer",), ("delta", *_INTERVAL, "p", "q")),
    },
)
PARTITION = Shape(
    tables={
        "rows": Table((*_WHERE, "part"), (), ("r2", "delta_r", *_INTERVAL, "n_available"), ("n_targets",)),
        "spaces": Table(("name",)),
        "left_out": Table(("space", "why")),
    },
    mappings=("region_titles", "settings"),
    texts=("models", "subjects", "removed", "caveats", "stories"),
    text=("study",),
    needed=("models", "spaces", "removed", "left_out", "caveats", "layer"),
)


def checked(document: Any, shape: Shape, needed: Sequence[str] = ()) -> dict[str, Any]:
    """Return ``document`` if it has the shape.

    Parameters
    ----------
    document : object
        As JSON gave it.
    shape : Shape
    needed : sequence of str
        Keys that must be there.

    Raises
    ------
    ValueError
        With the place and the value of the first thing that is wrong.
    """
    if not isinstance(document, dict):
        raise ValueError(f"it is {_said(document)}, not a mapping")
    for key in (*needed, *shape.needed):
        if document.get(key) is None:
            raise ValueError(f"it has no {key!r}")
    for name in shape.mappings:
        _check(document, name, "a mapping", lambda v: isinstance(v, dict))
    for name in shape.texts:
        _check(document, name, "a list of texts", _are_texts)
    for name in shape.layers:
        _check(document, name, "a list of layers", lambda v: isinstance(v, list) and all(map(is_layer, v)))
    for name in shape.text:
        _check(document, name, "text", lambda v: isinstance(v, str))
    for name, table in shape.tables.items():
        rows = document.get(name)
        if rows is None:
            continue
        if not isinstance(rows, list):
            raise ValueError(f"{name} is {_said(rows)}, not a list of rows")
        for i, row in enumerate(rows, start=1):
            _check_row(row, table, f"row {i} of {name}")
    return document


def _check_row(row: Any, table: Table, where: str) -> None:
    if not isinstance(row, dict):
        raise ValueError(f"{where} is {_said(row)}, not a mapping")
    for column in table.text:
        if not isinstance(row.get(column), str):
            raise ValueError(f"{column} in {where} is {_said(row.get(column))}, not text")
    for column in table.layers:
        if not is_layer(row.get(column)):
            raise ValueError(f"{column} in {where} is {_said(row.get(column))}, not a layer")
    for column in table.counts:
        value = row.get(column)
        if value is None or not is_number(value) or not 0 <= value <= MOST:
            raise ValueError(f"{column} in {where} is {_said(value)}, not a count")
    for column in table.numbers:
        value = row.get(column)
        if value is not None and not is_number(value):
            raise ValueError(f"{column} in {where} is {_said(value)}, not a number")


def is_number(value: Any) -> bool:
    """Return whether ``value`` is a number that is not infinite; NaN is one that is missing."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return not math.isinf(float(value))
    except OverflowError:
        return False


def is_count(value: Any) -> bool:
    """Return whether ``value`` is a whole number from 0 to `MOST`."""
    return is_number(value) and bool(0 <= value <= MOST and value == int(value))


def is_layer(value: Any) -> bool:
    return is_count(value) and bool(value <= MOST_LAYERS)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)


def _check(document: Mapping[str, Any], name: str, what: str, fits: Callable[[Any], bool]) -> None:
    """Refuse a key, or a key of a mapping ("summary.answer"), that is there and does not fit; null is as absent."""
    found: Any = document
    for part in name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if found is not None and not fits(found):
        raise ValueError(f"{name} is {_said(found)}, not {what}")


def _said(value: Any) -> str:
    """Return a wrong value in a few characters, whatever its size."""
    if value is None:
        return "missing"
    if isinstance(value, dict | list):
        return f"a {'mapping' if isinstance(value, dict) else 'list'} of {len(value)}"
    if isinstance(value, int) and abs(value) >= 10**_SHOWN:
        return f"a whole number of more than {_SHOWN} digits"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

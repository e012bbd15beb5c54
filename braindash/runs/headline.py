"""The one number that a run's summary rests on, read without reading all of its records.

``records.json`` of a real study is megabytes, and a table of a thousand runs needs a line of each: the summary is
looked for from the end of the file, where it is written.
"""

from __future__ import annotations

import json
import math
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from braindash.runs.groups import test_difference
from braindash.runs.results import RECORDS
from braindash.runs.shapes import is_count

_KEY = b'\n "summary": '  # as `write_results` indents it: a line break cannot stand inside a text of JSON
_NEEDED = ("region", "layer", "change", "measure")


@dataclass(frozen=True)
class Headline:
    """Tuned minus pretrained where the summary looks: mostly the late-language regions at the last layer.

    Attributes
    ----------
    value, low, high : float
        The difference and its 95 % interval, of r / ceiling where ``normalised``, else of r; NaN where unknown.
    n : int or None
        Targets.
    subject : str
        "all" is the mean over subjects.
    """

    region: str
    layer: int
    value: float
    low: float
    high: float
    n: int | None
    normalised: bool
    subject: str = ""
    region_title: str = ""


def read_headline(folder: Path) -> Headline | None:
    """Return the number that the summary of an evaluated run rests on; None where there is none or it is damaged."""
    path = folder / RECORDS
    try:
        if _says_it(summary := _summary_at_end(path)):
            return _of_summary(summary)
        records = json.loads(path.read_text(encoding="utf-8"))
        return _of_summary(records["summary"]) if _says_it(records.get("summary")) else _of_records(records)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _says_it(summary: Any) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(summary, dict) and all(summary.get(key) is not None for key in _NEEDED)


def _summary_at_end(path: Path) -> Any:
    with path.open("rb") as file:
        try:
            held = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except ValueError:  # an empty file
            return None
        with held:
            at = held.rfind(_KEY)
            if at < 0:
                return None
            text = held[at + len(_KEY) :].decode("utf-8")
    return json.JSONDecoder().raw_decode(text)[0]


def _of_summary(summary: Mapping[str, Any]) -> Headline:
    region = str(summary["region"])
    n = summary.get("n_targets") if is_count(summary.get("n_targets")) else None
    excluded = summary.get("n_excluded") or 0
    normalised = summary["measure"] == "r_norm"
    return Headline(
        region,
        int(summary["layer"]),
        _number(summary["change"]),
        _number(summary.get("low")),
        _number(summary.get("high")),
        None if n is None else int(n) - (int(excluded) if normalised else 0),
        normalised,
        str(summary.get("subject") or ""),
        str((summary.get("region_titles") or {}).get(region) or ""),
    )


def _of_records(records: Mapping[str, Any]) -> Headline | None:
    """Return the same from the rows, for records whose summary does not hold it."""
    found = test_difference(records)
    if found is None:
        return None
    said = records["summary"]
    row = next(
        r for r in records["differences"]
        if (r["model"], r["subject"], r["roi"], r["layer"])
        == (said["model"], said["subject"], found.region, found.layer)
    )  # fmt: skip
    low, high = ("r_norm_ci_low", "r_norm_ci_high") if found.normalised else ("ci_low", "ci_high")
    n = int(row["n_targets"]) - (int(row.get("n_excluded") or 0) if found.normalised else 0)
    return Headline(
        found.region, found.layer, found.value, _number(row.get(low)), _number(row.get(high)), n, found.normalised,
        str(row["subject"]), str((said.get("region_titles") or {}).get(found.region) or ""),
    )  # fmt: skip


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan

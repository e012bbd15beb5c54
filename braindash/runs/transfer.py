"""Do gains carry to subjects who were not tuned on? From a run's own evaluation, and from its siblings'."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from braindash.comparing.differences import ALL, TUNED
from braindash.comparing.verdicts import MATCHED
from braindash.config import NOT_MATCHED, TuneConfig
from braindash.errors import BraindashError

if TYPE_CHECKING:
    from braindash.runs.record import Run

Row = dict[str, Any]

REGIONS = ("primary_auditory", "early_auditory", "late_language", "cortex")


def siblings(run: Run) -> list[Run]:
    """Return the evaluated runs that differ from this one in nothing but the subjects tuned on, without itself."""
    from braindash.runs.record import RunStore

    mine = run.config
    if mine.control != "none":
        return []
    store = RunStore(run.home)
    found = []
    for row in store.list():
        if row.id == run.id or row.control != "none" or not row.has_results:
            continue
        if (row.study, row.model, row.recipe) != (mine.study, mine.model, mine.recipe):
            continue
        try:
            other = store.get(row.id)
            if _key(other.config) == _key(mine) and other.config.subjects != mine.subjects:
                found.append(other)
        except BraindashError:  # a run that cannot be read is said so elsewhere
            continue
    return found


def transfer_rows(run: Run, records: Mapping[str, Any], others: Sequence[Run]) -> list[Row]:
    """Return how much every subject gained from tuning on whom; nothing where nobody else was evaluated.

    Parameters
    ----------
    run : Run
    records : its ``records.json``
    others : from `siblings`

    Returns
    -------
    list of dict
        ``run, tuned_on, evaluated_on, roi, layer``, the numbers of a row of ``differences``, ``same`` (whether the
        subject was among those tuned on), and ``gaps``: the run's model less each matched control, in the same
        measure (r / ceiling where there is one).
    """
    rows = _of_run(run, records)
    for other in others:
        try:
            found = other.records()
        except BraindashError:
            continue
        rows += _of_run(other, found) if found else []
    return rows if any(not r["same"] for r in rows) else []


def _of_run(run: Run, records: Mapping[str, Any]) -> list[Row]:
    tuned_on = list(records.get("tuned_on") or run.config.subjects or records.get("subjects") or ())
    regions = {r["roi"] for r in records["differences"]}
    kept = regions & set(REGIONS) or regions
    gaps: dict[tuple[Any, ...], dict[str, Row]] = {}
    for r in records.get("against_controls", ()):
        if r["against"] in MATCHED:
            gaps.setdefault((r["subject"], r["roi"], r["layer"]), {})[r["against"]] = _gap(r)
    return [
        {"run": run.id, "tuned_on": tuned_on, "evaluated_on": r["subject"], "same": r["subject"] in tuned_on}
        | {k: r.get(k) for k in ("roi", "layer", "delta_r", "ci_low", "ci_high", "p", "q")}
        | {k: r.get(k) for k in ("delta_r_norm", "r_norm_ci_low", "r_norm_ci_high")}
        | {"gaps": gaps.get((r["subject"], r["roi"], r["layer"]), {})}
        for r in records["differences"]
        if r["model"] == TUNED and r["subject"] != ALL and r["roi"] in kept
    ]


def _gap(row: Mapping[str, Any]) -> Row:
    norm = row.get("delta_r_norm")
    if isinstance(norm, int | float) and norm == norm:
        return {"delta": norm, "ci_low": row["r_norm_ci_low"], "ci_high": row["r_norm_ci_high"]}
    return {"delta": row["delta_r"], "ci_low": row["ci_low"], "ci_high": row["ci_high"]}


def _key(config: TuneConfig) -> str:
    data = config.model_dump(mode="json", exclude={*NOT_MATCHED, "subjects"})
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()

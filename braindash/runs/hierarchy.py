"""What did tuning change over the depth of a model, and which findings of the papers does a run support?

Made within seconds from what a run's evaluation, probes and partition have left in its folder; no
model is loaded. Written to ``hierarchy.json`` (docs/records.md).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from braindash.comparing.differences import ALL, REFERENCE, TUNED
from braindash.comparing.evidence import Evidence
from braindash.comparing.findings import judge_findings
from braindash.comparing.profiles import Profile
from braindash.errors import BraindashError
from braindash.runs import depths
from braindash.runs.documents import read_document, write_document
from braindash.runs.hierarchy_inputs import hears_sound, probe_profiles, region_profiles, selected_regions
from braindash.runs.partition_document import read_partition
from braindash.runs.transfer import siblings, transfer_rows

if TYPE_CHECKING:
    from braindash.runs.record import Run

log = logging.getLogger(__name__)

HIERARCHY = "hierarchy.json"
METHOD = 1  # raise when the same inputs come to give another document
INPUTS = ("config.yaml", "records.json", "results.zarr/.zattrs", "probing.json", "probing.nc", "partition.json")
TABLES = (
    "probes", "regions", "order", "region_order", "slopes", "slope_change", "mean_changes", "forgetting", "transfer",
    "reliance", "findings",
)  # fmt: skip

Row = dict[str, Any]


@dataclass(frozen=True)
class _Read:
    """What a run's folder holds of the analyses; empty where one has not been made."""

    records: Mapping[str, Any]
    probing: Mapping[str, Any]
    partition: Mapping[str, Any]
    regions: Mapping[tuple[str, str, str], Profile]  # by subject, model, region
    probes: Mapping[tuple[str, str], Profile]  # by model, task
    measure: str  # of regions: "r_norm" or "r"
    caveats: list[str]


def hierarchy_run(run: Run) -> dict[str, Any]:
    """Compare depths before and after tuning, judge the papers' findings, and write ``hierarchy.json``.

    Parameters
    ----------
    run : Run
        What it lacks (an evaluation, probes, a partition) leaves tables empty and findings untold.

    Returns
    -------
    dict
        As written (docs/records.md). Where the folder may only be read it is returned all the same.
    """
    others = siblings(run)
    inputs = _inputs(run, others)
    found = _read(run)
    document = _document(run, found, others) | {"inputs": inputs, "method": METHOD, "written": time.time()}
    try:
        write_document(run.path / HIERARCHY, document)
    except (OSError, BraindashError) as error:
        log.info("%s is not written: %s", run.path / HIERARCHY, error)
    return document


def read_hierarchy(folder: Path) -> dict[str, Any] | None:
    """Return what `hierarchy_run` wrote into a run's folder, or None; missing numbers come back as NaN.

    Raises
    ------
    BraindashError
        Where the file is there but cannot be read.
    """
    found = read_document(folder / HIERARCHY, "comparison", "compare", TABLES)
    if found is None:
        return None
    for key in ("order_change", "region_order_change"):
        found[key] = {k: math.nan if v is None else v for k, v in (found.get(key) or {}).items()}
    return found


def hierarchy_of(run: Run) -> dict[str, Any]:
    """Return a run's hierarchy: as it was written, or made anew where what it is made from has changed since."""
    try:
        found = read_hierarchy(run.path)
    except BraindashError as error:  # damaged: made again
        log.warning("%s", error.what)
        found = None
    if found and found.get("method") == METHOD and found.get("inputs") == _inputs(run, siblings(run)):
        return found
    return hierarchy_run(run)


def _inputs(run: Run, others: Sequence[Run]) -> dict[str, int]:
    """Return when each file that the document is made from was last changed."""
    files = {name: run.path / name for name in INPUTS}
    files |= {f"{other.id}/records.json": other.path / "records.json" for other in others}
    return {name: path.stat().st_mtime_ns for name, path in files.items() if path.exists()}


def _read(run: Run) -> _Read:
    from braindash.runs.probing import read_probing

    caveats: list[str] = []

    def there(read: Callable[[], Any]) -> Any:
        try:
            return read()
        except BraindashError as error:  # what is damaged counts as not there, and is said
            caveats.append(f"{error.what} {error.remedy}")
            return None

    records = there(run.records) or {}
    probing = there(lambda: read_probing(run.path)) or {}
    partition = there(lambda: read_partition(run.path)) or {}
    regions, measure = there(lambda: region_profiles(run, records, caveats)) or ({}, "r")
    probes = there(lambda: probe_profiles(run.path, probing)) or {}
    return _Read(records, probing, partition, regions, probes, measure, caveats)


def _document(run: Run, found: _Read, others: Sequence[Run]) -> dict[str, Any]:
    records, probing = found.records, found.probing
    models = list(records.get("models") or probing.get("models") or [REFERENCE, TUNED])
    tuned = next((m for m in models if m != REFERENCE), TUNED)
    layers = [int(k) for k in records.get("layers") or probing.get("layers") or (0, 1)]
    regions = depths.region_rows(found.regions, (records.get("summary") or {}).get("region_titles"))
    probes = depths.probe_rows(found.probes, probing)
    subject = _subject(records)
    changed = depths.changed_layers(found.regions, found.probes, tuned)
    order, order_change = depths.probe_order(found.probes, probing, tuned)
    region_order, region_order_change = depths.region_order(found.regions, subject, tuned)
    slopes, slope_change = depths.slope_rows(found.regions, tuned)
    changes = depths.mean_changes(found.regions, found.probes, probing, subject, tuned, changed)
    forgetting, n_tested = depths.fallen(records, probing, subject, tuned)
    transfer = transfer_rows(run, records, others) if records else []
    reliance = _reliance(found.partition)
    inside, outside = selected_regions(run.config, {roi for _, _, roi in found.regions})
    selection = depths.selection(found.regions, subject, tuned, inside, outside) if inside else {}
    simulated = bool(records.get("simulated", probing.get("simulated", False)))
    tuned_on = records.get("tuned_on") or records.get("subjects") or ()
    evidence = Evidence(
        run=run.id,
        config_file=_config_file(run),
        tuned=tuned,
        simulated=simulated,
        normalised=found.measure == "r_norm" or _has_ceilings(records, subject),
        layers=tuple(layers),
        subject=subject,
        n_subjects=len(tuned_on),
        hears=hears_sound(run.config),
        differences=records.get("differences", ()),
        against=records.get("against_controls", ()),
        regions=regions,
        slopes=slopes,
        slope_change=slope_change,
        changes=changes,
        probes=probes,
        forgetting=forgetting,
        transfer=transfer,
        reliance=reliance,
        n_tested=n_tested,
        selection=selection,
        scores=probing.get("rows", ()),
    )
    return {
        "braindash": 1,
        "run": run.id,
        "study": run.config.study,
        "simulated": simulated,
        "models": models,
        "layers": layers,
        "changed_layers": changed,
        "measure": found.measure,
        "probes": probes,
        "regions": regions,
        "order": order,
        "order_change": order_change,
        "region_order": region_order,
        "region_order_change": region_order_change,
        "slopes": slopes,
        "slope_change": slope_change,
        "mean_changes": changes,
        "selection": selection,
        "forgetting": forgetting,
        "forgetting_tested": n_tested,
        "transfer": transfer,
        "reliance": reliance,
        "findings": judge_findings(evidence),
        "caveats": list(dict.fromkeys([*_said(records), *found.caveats])),
    }


def _subject(records: Mapping[str, Any]) -> str:
    """Return whose rows are judged: the mean over subjects where there is one, else the first subject."""
    heard = list(dict.fromkeys(r["subject"] for r in records.get("encoding", ())))
    return ALL if ALL in heard else str(heard[0]) if heard else ""


def _said(records: Mapping[str, Any]) -> list[str]:
    return [str(c) for c in records.get("caveats", ())]


def _has_ceilings(records: Mapping[str, Any], subject: str) -> bool:
    return any(r["subject"] == subject and math.isfinite(r.get("delta_r_norm") or math.nan)
               for r in records.get("differences", ()))  # fmt: skip


def _config_file(run: Run) -> str:
    """Return where a run's configuration lies, as one would type it; never a path of this machine."""
    path = (run.path / "config.yaml").absolute()
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else f"runs/{run.id}/config.yaml"


def _reliance(partition: Mapping[str, Any]) -> list[Row]:
    """Return what alignment loses when low-level features are removed, before and after tuning."""
    kept = ("model", "subject", "roi", "layer", "delta_r", "ci_low", "ci_high", "change", "change_low", "change_high")
    return [
        {"space": r["part"].partition(":")[2]} | {k: r.get(k, math.nan) for k in kept}
        for r in partition.get("rows", ())
        if r["part"].startswith("removed:")
    ]

"""The whole demo, timed, and held to the thresholds of the planted effect.

    python benchmarks/demo.py [--home DIR] [--json]

Exits with 1 if a threshold is missed (docs/demo-study.md).
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from braindash.config import Home
from braindash.demo.pipeline import DemoProgress, run_demo
from braindash.demo.truth import EXPECTED, wrong_verdicts
from braindash.runs.hierarchy import hierarchy_of
from braindash.runs.record import RunStore
from braindash.runs.results import read_records

REGION = "late_language"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, help="default: a temporary folder")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        home = Home((chosen.home or Path(temporary)).resolve())
        outcome = run_demo(home, progress=None if chosen.json else _tell)
        records = read_records(home.runs / outcome["run"])
        findings = hierarchy_of(RunStore(home).get(outcome["run"]))["findings"]
    assert records is not None
    rows = [*thresholds(records), *verdicts(findings)]
    result = {"seconds": outcome["seconds"], "answer": outcome["answer"], "thresholds": rows}
    if chosen.json:
        print(json.dumps(result, indent=1))
    else:
        print(f"\n{outcome['seconds']:.0f} s")
        for row in rows:
            print(f"{'ok  ' if row['ok'] else 'MISS'} {row['what']}: {row['value']}")
    return 0 if all(row["ok"] for row in rows) else 1


def thresholds(records: dict[str, Any]) -> Any:
    """Yield each threshold, what was measured, and whether it holds."""
    last = max(records["layers"])

    def find(rows: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
        return next(r for r in rows if all(r[k] == v for k, v in wanted.items()))

    where = {"subject": "all", "roi": REGION, "layer": last}
    tuned = find(records["differences"], model="brain_tuned", **where)
    control = find(records["differences"], model="block_permuted", **where)
    versus = find(records["against_controls"], against="block_permuted", **where)

    def said(row: dict[str, Any]) -> str:
        return f"{row['delta_r_norm']:+.4f} ({row['r_norm_ci_low']:+.4f} to {row['r_norm_ci_high']:+.4f})"

    yield _row("tuned − pretrained ≥ +.015", tuned["delta_r_norm"] >= 0.015, said(tuned))
    yield _row("its interval above 0", tuned["r_norm_ci_low"] > 0, said(tuned))
    stories = {k: round(v, 4) for k, v in tuned["by_story"].items()}
    yield _row("every test story positive", min(stories.values()) > 0, str(stories))
    yield _row("tuned − control ≥ +.012", versus["delta_r_norm"] >= 0.012, said(versus))
    yield _row("its interval above 0", versus["r_norm_ci_low"] > 0, said(versus))
    yield _row("|control − pretrained| ≤ .012", abs(control["delta_r_norm"]) <= 0.012, said(control))
    for model in ("pretrained", "brain_tuned"):
        peak = find(records["peaks"], model=model, subject="all", roi="primary_auditory")
        yield _row(f"primary auditory best at layer 0 or 1, {model}", peak["layer"] <= 1, f"layer {peak['layer']}")


def verdicts(findings: list[dict[str, Any]]) -> Any:
    """Yield whether the findings of the papers are judged as the planted truth demands."""
    wrong = wrong_verdicts(findings)
    said = "; ".join(f"{name} {why}" for name, why in wrong.items()) or f"{len(EXPECTED)} of {len(EXPECTED)}"
    yield _row("verdicts on the papers' findings that the planted truth settles", not wrong, said)


def _row(what: str, ok: bool, value: str) -> dict[str, Any]:
    return {"what": what, "ok": bool(ok), "value": value}


def _tell(p: DemoProgress) -> None:
    if p.fraction in (0.0, 1.0):
        print(f"{p.step}/{p.n_steps} {p.title} {p.fraction:.0%}", flush=True)


if __name__ == "__main__":
    sys.exit(main())

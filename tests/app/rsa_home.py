"""An RSA of a run as ``braindash rsa`` leaves it: ``rsa.json`` with made-up numbers that tests know, and ``rsa.nc``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from braindash.config import Home

REGIONS = ("late_language", "cortex", "primary_auditory", "ag")  # not in the order of the page
LAYERS = (0, 1, 2, 3, 4)
MODELS = ("pretrained", "brain_tuned", "block_permuted")
SUBJECTS = ("sub-01", "sub-02")
GAIN = {"brain_tuned": 0.03, "block_permuted": -0.004}  # at layers 3 and 4


def similarity(model: str, roi: str, layer: int, subject: str = "all") -> float:
    """Similarity of a layer with a region; late regions gain at layers 3 and 4, auditory ones do not."""
    late = roi != "primary_auditory"
    base = 0.05 + 0.02 * layer if late else 0.3 - 0.02 * layer
    base += {"sub-01": 0.01, "sub-02": -0.01}.get(subject, 0.0)
    return base + (GAIN.get(model, 0.0) if late and layer >= 3 else 0.0)


def document(
    run_id: str,
    regions: Sequence[str] = REGIONS,
    layers: Sequence[int] = LAYERS,
    models: Sequence[str] = MODELS,
    subjects: Sequence[str] = SUBJECTS,
    labels: Sequence[str] = (),
) -> dict[str, Any]:
    """Return ``rsa.json`` as the first version of the analysis wrote it; see `newer` for the rest."""
    rows, differences = [], []
    for who in (*subjects, "all") if len(subjects) > 1 else subjects:
        for roi in regions:
            for model in models:
                for layer in layers:
                    value = similarity(model, roi, layer, who)
                    base = {
                        "model": model,
                        "subject": who,
                        "roi": roi,
                        "layer": layer,
                        "n_targets": 50,
                        "n_conditions": 24,
                    }
                    p = None if who == "all" else 0.02 if layer else 0.06
                    rows.append(
                        base
                        | {"similarity": value, "ci_low": value - 0.02, "ci_high": value + 0.02, "partial": value / 2}
                        | {"ceiling_low": 0.2, "ceiling_high": 0.3, "p": p, "q": p}
                    )
                    if model == "pretrained":
                        continue
                    delta = value - similarity("pretrained", roi, layer, who)
                    q = None if delta == 0 else 0.01 if delta > 0 else 0.3
                    half = 0.0 if delta == 0 else 0.01
                    differences.append(
                        base | {"delta": delta, "ci_low": delta - half, "ci_high": delta + half, "p": q, "q": q}
                    )
    flat = [(m, k) for m in models for k in layers]
    cka = [[1.0 - 0.01 * abs(a - b) - (0.2 if m != n and max(a, b) >= 3 else 0) for n, b in flat] for m, a in flat]
    return {
        "braindash": 1, "run": run_id, "study": "mini", "simulated": True, "unit": "segment", "metric": "correlation",
        "compare": "spearman", "models": list(models), "layers": list(layers), "subjects": list(subjects),
        "stories": ["s4", "s5"], "n_conditions": 24, "conditions": list(labels), "left_out": 3,
        "region_titles": {}, "rows": rows, "differences": differences,
        "settings": {"seconds": 6.0, "delay": 5.0, "exclude": 1, "block": 3, "n_permutations": 1000, "n_boot": 500},
        "cka": {"model": [m for m, _ in flat], "layer": [k for _, k in flat], "matrix": cka},
        "caveats": ["Every channel is standardised over conditions before RDMs are made."], "written": 0.0,
    }  # fmt: skip


def newer(old: dict[str, Any]) -> dict[str, Any]:
    """Return ``old`` with feature spaces and the plane of all RDMs."""
    spaces = ("spectral", "meaning")
    people = [*old["subjects"], "all"]
    regions = list(dict.fromkeys(r["roi"] for r in old["rows"]))
    none = {"model": None, "layer": None, "subject": None, "roi": None}
    return old | {
        "rows": [
            r | {"partial_ci_low": r["partial"] - 0.01, "partial_ci_high": r["partial"] + 0.01} for r in old["rows"]
        ],
        "space_titles": {"spectral": "Sound spectrum", "meaning": "Word meaning"},
        "spaces_left_out": [{"space": "phones", "why": "Story <b>s4</b> has no phones with their times."}],
        "spaces": [
            {"space": s, "subject": w, "roi": r, "similarity": 0.1 * i + 0.01 * j, "ci_low": 0.0, "ci_high": 0.5}
            for i, s in enumerate(spaces) for w in people for j, r in enumerate(regions)
        ],
        "layer_spaces": [
            {"model": m, "layer": k, "space": s, "similarity": 0.05 * k + 0.1 * i + (0.02 if m == "brain_tuned" else 0)}
            for m in old["models"] for k in old["layers"] for i, s in enumerate(spaces)
        ],
        "mds": [none | {"what": "layer", "model": m, "layer": k, "x": 0.1 * k, "y": 0.05 * i}
                for i, m in enumerate(old["models"]) for k in old["layers"]]
        + [none | {"what": "region", "subject": w, "roi": r, "x": 0.3, "y": 0.02 * i}
           for w in old["subjects"] for i, r in enumerate(regions)],
        "mds_stress": 0.34,
    }  # fmt: skip


def patterns(seed: int, n: int, width: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, width))


def seed_of(*key: Any) -> int:
    """Return what an RDM of `write_arrays` is drawn from."""
    return sum(repr(key).encode())


def conditions(n: int, labels: Sequence[str] = ()) -> Any:
    """Return conditions of two stories, half of them in each."""
    from braindash.runs.rsa_conditions import Conditions

    story = np.arange(n) // max(1, n // 2)
    story = np.minimum(story, 1)
    start = 6.0 * (np.arange(n) - story * (n // 2))
    names = list(labels) or [f"{('s4', 's5')[s]}, {a:.1f} to {a + 6:.1f} s" for s, a in zip(story, start, strict=True)]
    spans = np.column_stack([start, start + 6.0])
    return Conditions("segment", names, ["s4", "s5"], story, spans, np.arange(n), 5.0, story, 3, n + 3)


def write_rdms(home: Home, run_id: str, data: dict[str, Any], n: int = 24, labels: Sequence[str] = ()) -> None:
    """Write ``rsa.nc`` by the analysis's own writer, from random patterns of known seeds."""
    from braindash.rsa import prepare
    from braindash.runs import rsa_display

    at = conditions(n, labels)
    regions = list(dict.fromkeys(r["roi"] for r in data["rows"]))
    layers = {
        # layers 0 to 2 are the same in all models
        (m, k): prepare(patterns(seed_of(m if k >= 3 else "pretrained", k), n), "correlation")
        for m in data["models"]
        for k in data["layers"]
    }
    brains = {(s, r): prepare(patterns(seed_of(s, r), n), "correlation") for s in data["subjects"] for r in regions}
    facts = {"unit": data["unit"], "metric": data["metric"], "written": data["written"]}
    rsa_display.write_rdms(home.runs / run_id, layers, brains, at, facts)


def write(home: Home, run_id: str, data: Any) -> None:
    text = data if isinstance(data, str) else json.dumps(data)
    (home.runs / run_id / "rsa.json").write_text(text, encoding="utf-8")


def add(home: Home, run_id: str, n: int = 24, labels: Sequence[str] = (), **shape: Any) -> dict[str, Any]:
    """Write both files of a whole analysis into a run's folder; return what ``rsa.json`` holds."""
    at = conditions(n, labels)
    data = newer(document(run_id, labels=at.labels, **shape)) | {"n_conditions": n}
    write(home, run_id, data)
    write_rdms(home, run_id, data, n, labels)
    return data

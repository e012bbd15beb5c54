"""A comparison as `braindash compare` leaves it in a run's folder, with made-up numbers."""

from __future__ import annotations

import json
from typing import Any

from braindash.config import Home

TASKS = (  # name, title, level, depth before, what tuning adds
    ("mel", "Mel spectrum", "acoustic", 0.9, -0.05),
    ("mfcc", "MFCCs", "acoustic", 1.1, -0.1),
    ("pitch", "Pitch", "acoustic", 1.4, 0.1),
    ("intensity", "Intensity", "acoustic", 0.8, 0.02),
    ("phone", "Phone identity", "phonetic", 2.0, 0.5),
    ("articulation", "Articulatory features", "phonetic", 1.9, 0.4),
    ("phone_presence", "Phones present in a sentence", "phonetic", 2.2, 0.3),
    ("word", "Word identity", "lexical", 2.7, 0.05),
    ("word_boundary", "Word boundary", "lexical", 2.3, 0.15),
    ("part_of_speech", "Part of speech", "lexical", 2.8, 0.3),
    ("word_frequency", "Word frequency", "lexical", 2.4, 0.35),
    ("meaning", "Word meaning", "semantic", 2.9, 0.6),
    ("meaning_unseen", "Word meaning, words not seen in training", "semantic", float("nan"), 0.0),
    ("sentence_type", "Sentence type", "sentence", 3.0, 0.2),
    ("speaker", "Speaker", "speaker", 1.0, -0.3),
)
LEVELS = ["acoustic", "phonetic", "lexical", "semantic"]
REGIONS = (("primary_auditory", 1.88, 0.01), ("early_auditory", 1.9, 0.02), ("late_language", 2.18, 0.22))


def _depth(centre: float, width: float) -> dict[str, float | None]:
    if centre != centre:
        return dict.fromkeys(("peak_layer", "peak_low", "peak_high", "centre", "centre_low", "centre_high"))
    peak = min(round(centre + 0.6), 4)
    return {
        "peak_layer": peak, "peak_low": max(peak - 1, 0), "peak_high": min(peak + 1, 4),
        "centre": centre, "centre_low": centre - width, "centre_high": centre + width,
    }  # fmt: skip


def findings(run_id: str) -> list[dict[str, str]]:
    """Return nine findings: three supported, one not, five that cannot be told."""
    told = [
        ("A", "Late layers predict late-language regions better after tuning.",
         "Alignment of the last layer with late-language regions rises.",
         "+0.021 of the noise ceiling at layer 4 (95 % interval +0.016 to +0.026; n = 1,032 targets).", "supported"),
        ("A", "Primary auditory cortex stays where it was.",
         "Alignment with primary auditory cortex changes little, and still peaks early.",
         "+0.007 (95 % interval -0.002 to +0.015; n = 48 targets); best layer 1 before and after.", "supported"),
        ("A, B", "Meaning is read better from late layers.",
         "Probes of word meaning rise at the last layer.",
         "R² 0.12 to 0.15, +0.03 (95 % interval +0.01 to +0.05; n = 812 words).", "supported"),
        ("A", "Phones are read best from late layers after tuning.",
         "The best layer for phones moves up.",
         "Best layer 2 before and 2 after; centre of mass +0.02 (95 % interval -0.10 to +0.14).", "not_supported"),
    ]  # fmt: skip
    open_ = [
        ("A", "Reliance on low-level features falls.", "Alignment falls less when simple features are removed.",
         "What alignment owes to them was not worked out.", f"braindash partition {run_id}"),
        ("B", "Gains carry to other subjects.", "Tuned on one subject, the model gains in the others.",
         "The run was tuned on all subjects.", f"braindash tune --config runs/{run_id}/config.yaml --subjects ID"),
        ("A-multi", "A fifth of the data is enough.", "With a fifth of the encoding data the tuned model reaches the "
         "pretrained model's best.", "This study has too few stories to leave out four of five.", ""),
        ("A", "Sentence type is read from late layers.", "The best layer for sentence type moves up.",
         "No corpus with sentence types was probed.", ""),
        ("A", "Word identity is unchanged.", "Probes of word identity neither rise nor fall.",
         "The words were not probed.", f"braindash probe {run_id}"),
    ]  # fmt: skip
    rows = [dict(zip(("source", "claim", "look_for", "shows", "verdict"), t, strict=True)) | {"why": ""} for t in told]
    rows[0]["why"] = "The interval lies above 0. Criterion: interval above 0, and above every matched control."
    for source, claim, look_for, reason, command in open_:
        why = f"{reason} Criterion: interval above 0.{f' To find out: {command}' if command else ''}"
        rows.append({"source": source, "claim": claim, "look_for": look_for, "shows": "", "verdict": "cannot_tell",
                     "why": why, "command": command})  # fmt: skip
    return [{"id": f"f{i}"} | row for i, row in enumerate(rows)]


def transfer() -> list[dict[str, Any]]:
    """Return gains in three subjects of a model tuned on one."""
    return [
        {"run": "r", "tuned_on": ["sub-01"], "evaluated_on": who, "same": who == "sub-01", "roi": roi, "layer": layer,
         "delta_r": gain / 2, "ci_low": gain / 2 - 0.01, "ci_high": gain / 2 + 0.01, "p": 0.01, "q": 0.02,
         "delta_r_norm": gain, "r_norm_ci_low": gain - 0.02, "r_norm_ci_high": gain + 0.02, "gaps": {}}
        for who, gain in (("sub-01", 0.05), ("sub-02", 0.04), ("sub-03", 0.01))
        for roi in ("cortex", "late_language")
        for layer in (3, 4)
    ]  # fmt: skip


def reliance() -> list[dict[str, Any]]:
    """Return what alignment loses when two feature spaces are removed, before and after."""
    rows = []
    for space, lost, less in (("spectral", -0.05, 0.01), ("articulatory", -0.03, None)):
        for roi in ("cortex", "late_language"):
            base = {"space": space, "subject": "all", "roi": roi, "layer": 4}
            none = {"change": None, "change_low": None, "change_high": None}
            rows.append(base | {"model": "pretrained", "delta_r": lost, "ci_low": lost - 0.01, "ci_high": lost + 0.01}
                        | none)  # fmt: skip
            after = lost + (less or 0.0)
            change = {"change": less, "change_low": less - 0.005, "change_high": less + 0.005} if less else none
            rows.append(base | {"model": "brain_tuned", "delta_r": after, "ci_low": None, "ci_high": None} | change)
    return rows


def document(run_id: str, *, probes: bool = True, subjects: tuple[str, ...] = ("all", "sub-01")) -> dict[str, Any]:
    """Return a whole comparison; without ``probes``, that of a run whose layers were never probed."""
    tasks = [
        {"model": model, "task": name, "title": title, "level": level}
        | _depth(centre + (gain if model == "brain_tuned" else 0.0), 0.15)
        for name, title, level, centre, gain in TASKS
        for model in ("pretrained", "brain_tuned", "block_permuted")
    ]  # fmt: skip
    regions = [
        {"model": model, "subject": subject, "roi": roi, "title": roi}
        | _depth(centre + (gain if model == "brain_tuned" else 0.0), 0.04)
        for subject in subjects
        for roi, centre, gain in REGIONS
        for model in ("pretrained", "brain_tuned", "block_permuted")
    ]
    order = [
        {
            "model": "pretrained",
            "rho": 0.71,
            "ci_low": 0.52,
            "ci_high": 0.83,
            "n_tasks": 12,
            "step": 0.55,
            "levels": LEVELS,
        },
        {
            "model": "brain_tuned",
            "rho": 0.84,
            "ci_low": 0.66,
            "ci_high": 0.92,
            "n_tasks": 12,
            "step": 0.75,
            "levels": LEVELS,
        },
    ]
    region_order = [
        {"model": "pretrained", "rho": 0.64, "ci_low": 0.45, "ci_high": 0.73, "n_regions": 21, "step": 1.04},
        {"model": "brain_tuned", "rho": 0.68, "ci_low": 0.46, "ci_high": 0.77, "n_regions": 21, "step": 1.09},
    ]
    step = {"step_delta": 0.2, "step_ci_low": 0.1, "step_ci_high": 0.3}
    return {
        "braindash": 1, "run": run_id, "study": "mini", "simulated": True,
        "models": ["pretrained", "brain_tuned", "block_permuted"],
        "probes": tasks if probes else [], "regions": regions,
        "order": order if probes else [],
        "order_change": {"delta": 0.13, "ci_low": 0.04, "ci_high": 0.25, "p": 0.01, "n": 11} | step if probes else {},
        "region_order": region_order,
        "region_order_change": {"delta": 0.03, "ci_low": -0.03, "ci_high": 0.09, "p": 0.28, "n": 21},
        "slopes": [], "slope_change": [], "forgetting_tested": {"probe": 45 if probes else 0, "region": 320},
        "forgetting": [
            {"what": "probe", "name": "speaker", "title": "Speaker", "layer": 4, "delta": -0.06, "ci_low": -0.09,
             "ci_high": -0.03, "q": 0.004},
            {"what": "probe", "name": "speaker", "title": "Speaker", "layer": 3, "delta": -0.02, "ci_low": -0.04,
             "ci_high": -0.01, "q": 0.03},
        ] if probes else [],
        "transfer": transfer(), "reliance": reliance(), "findings": findings(run_id),
        "caveats": ["Simulated subjects: verdicts are about the program, not about people."],
        "inputs": {"records.json": 1}, "method": 1, "written": 0.0,
    }  # fmt: skip


def write(home: Home, run_id: str, data: Any) -> None:
    """Write a comparison into a run's folder; text as it is."""
    text = data if isinstance(data, str) else json.dumps(data)
    (home.runs / run_id / "hierarchy.json").write_text(text.replace("NaN", "null"), encoding="utf-8")

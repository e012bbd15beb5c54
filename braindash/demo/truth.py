"""Which verdicts on the papers' findings are right for the embedded study: its truth is planted, so they are known.

Held against `braindash.runs.hierarchy` by ``benchmarks/demo.py``. Findings that the planting leaves open (what probes
of words or phones show of this model on one synthetic voice) are not here: whatever they show is reported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

EXPECTED: dict[str, str] = {
    # meaning components drive the language regions, and the model is tuned on them
    "1_late_language": "supported",
    # the deeper the layer the more meaning it holds, and only the upper half is tuned
    "1_rising_curve": "supported",
    # mel bands drive A1, the first layers hold them, and adapters change the upper half alone
    "1_primary_auditory": "supported",
    # not planted: MFCCs are close to the log-mel spectrum that the model starts from
    "2_acoustic_early": "supported",
    # the driven part of the cortex is mostly language; the rest is noise, which nothing predicts
    "4_cortex": "supported",
    # shuffled in time, the same responses say nothing of the story
    "c_block_permuted": "supported",
    # the demo tunes on all regions and both subjects, with one control, and evaluates on all stories
    "4_auditory_falls": "cannot_tell",
    "4_selection": "cannot_tell",
    "4_stable": "cannot_tell",
    "4_transfer": "cannot_tell",
    "6_less_data": "cannot_tell",
    "c_random_responses": "cannot_tell",
    "c_stimulus_only": "cannot_tell",
    "c_random_model": "cannot_tell",
}


def wrong_verdicts(findings: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the findings whose verdict is not the expected one: id -> verdict and numbers; {} where all are right.

    A finding that is expected and missing counts as wrong.
    """
    found = {str(f["id"]): f for f in findings}
    return {
        name: f"{found[name]['verdict']}: {found[name]['shows']}" if name in found else "missing"
        for name, verdict in EXPECTED.items()
        if name not in found or found[name]["verdict"] != verdict
    }

"""Do the listeners as a group show it? Region scores and changes tested over subjects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from statsmodels.stats.multitest import multipletests

from braindash.encoding.inference import across_subjects
from braindash.errors import BraindashError

Row = dict[str, Any]


def group_rows(
    encoding: Sequence[Mapping[str, Any]], differences: Sequence[Mapping[str, Any]]
) -> tuple[list[Row], str]:
    """Test every region and layer over subjects by flipping the signs of whole subjects.

    Scores are tested against 0 one-sided (5 subjects or more), differences from the
    pretrained model two-sided (6 or more): with fewer no pattern of signs reaches .05.

    Parameters
    ----------
    encoding, differences : rows of `braindash.comparing.differences.region_rows`
        Rows of subject "all" are left out. Regions that a subject lacks are not tested.

    Returns
    -------
    rows : list of dict
        ``measure`` ("r" or "delta_r"), ``model``, ``roi``, ``layer``, ``n_subjects``, ``mean``,
        ``p``, and ``q`` (Benjamini-Hochberg over the regions and layers of one measure and model).
    note : str
        Why something was not tested; "" where everything was.
    """
    rows: list[Row] = []
    notes: list[str] = []
    tests: list[tuple[str, Sequence[Mapping[str, Any]], Literal["greater", "two-sided"], str]] = [
        ("r", encoding, "greater", "scores"),
        ("delta_r", differences, "two-sided", "differences from the pretrained model"),
    ]
    for measure, given, alternative, words in tests:
        single = [r for r in given if r["subject"] != "all"]
        subjects = list(dict.fromkeys(r["subject"] for r in single))
        values: dict[tuple[str, str, int], dict[str, float]] = {}
        for r in single:
            if np.isfinite(r[measure]):
                values.setdefault((r["model"], r["roi"], r["layer"]), {})[r["subject"]] = r[measure]
        for model in dict.fromkeys(r["model"] for r in single):
            keys = [k for k, v in values.items() if k[0] == model and len(v) == len(subjects)]
            if not keys:
                continue
            try:
                mean, p = across_subjects(
                    np.array([[values[k][s] for k in keys] for s in subjects]), alternative=alternative
                )
            except BraindashError as error:
                notes.append(f"The {words} were not tested across subjects. {error.what} {error.remedy}")
                break
            q = multipletests(p, method="fdr_bh")[1]
            for (_, roi, layer), m, one_p, one_q in zip(keys, mean, p, q, strict=True):
                rows.append(
                    {
                        "measure": measure, "model": model, "roi": roi, "layer": layer, "n_subjects": len(subjects),
                        "mean": float(m), "p": float(one_p), "q": float(one_q),
                    }
                )  # fmt: skip
    return rows, " ".join(notes)

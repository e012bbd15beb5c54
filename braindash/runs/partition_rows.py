"""From the fits of a partition to its rows: every part with its interval, and its change from the pretrained model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import EncodingConfig
from braindash.runs.partition_inputs import Vectors

if TYPE_CHECKING:
    from braindash.comparing.bootstrap import Scored

Row = dict[str, Any]


@dataclass
class SubjectFits:
    """One subject's fits: model -> part -> what its score is rebuilt from; and which targets make up each region."""

    columns: np.ndarray  # (n_fitted,) which of the subject's targets were fitted
    masks: dict[str, np.ndarray]
    n_of: dict[str, int]  # usable targets of the region, of which some were taken
    parts: dict[str, dict[str, Scored]]
    n_units: int


def partition_rows(scored: Mapping[str, SubjectFits], layer: int, settings: EncodingConfig) -> list[Row]:
    """Return one row a model, subject, region and part, and for their mean as subject "all"."""
    from braindash.comparing.bootstrap import bootstrap_region_means

    samples: dict[str, dict[str, dict[str, dict[str, np.ndarray]]]] = {}
    for subject, s in scored.items():
        joined = {f"{model}\n{part}": fit for model, fits in s.parts.items() for part, fit in fits.items()}
        means = bootstrap_region_means(joined, s.masks, None, settings.n_boot, settings.seed)
        samples[subject] = {m: {p: means[f"{m}\n{p}"] for p in fits} for m, fits in s.parts.items()}
        for of_model in samples[subject].values():
            whole = of_model.pop("r")
            for part in [p for p in of_model if p.startswith("removed:")]:
                of_model[part] = {roi: v - whole[roi] for roi, v in of_model[part].items()}
    people: list[tuple[str, list[str]]] = [(s, [s]) for s in scored]
    if len(scored) > 1 and len({s.n_units for s in scored.values()}) == 1:
        people.append(("all", list(scored)))
    rows: list[Row] = []
    for who, members in people:
        for roi in dict.fromkeys(r for m in members for r in scored[m].masks):
            having = [m for m in members if roi in scored[m].masks]
            base = {
                "subject": who,
                "roi": roi,
                "layer": layer,
                "n_targets": sum(int(scored[m].masks[roi].sum()) for m in having),
                "n_available": sum(scored[m].n_of[roi] for m in having),
            }
            reference: dict[str, np.ndarray] = {}
            for model, of_model in samples[having[0]].items():
                for part in of_model:
                    value = np.mean([samples[m][model][part][roi] for m in having], axis=0)
                    reference.setdefault(part, value)  # the pretrained model comes first
                    change = None if reference[part] is value else value - reference[part]
                    rows.append(
                        {"model": model, **base, "part": part} | _numbers(part, value, change, scored[having[0]])
                    )
    return rows


def _numbers(part: str, value: np.ndarray, change: np.ndarray | None, of: SubjectFits) -> Row:
    from braindash.comparing.bootstrap import Estimate

    estimate = Estimate.of(float(value[0]), value[1:], of.n_units)
    key = "delta_r" if part.startswith("removed:") else "r2"
    row: Row = {key: estimate.value, "ci_low": estimate.low, "ci_high": estimate.high}
    if change is not None:
        moved = Estimate.of(float(change[0]), change[1:], of.n_units)
        row |= {"change": moved.value, "change_low": moved.low, "change_high": moved.high}
    return row


def partition_caveats(scored: Mapping[str, SubjectFits], most: int, words: Vectors, names: Sequence[str]) -> list[str]:
    said = []
    cut = {r for s in scored.values() for r, n in s.n_of.items() if n > most}
    if cut:
        said.append(
            f"Of regions with more than {most} usable targets, {most} evenly spaced ones were fitted for each subject "
            f"({len(cut)} {'region' if len(cut) == 1 else 'regions'}); the rows give both numbers."
        )
    if "meaning" in names and not words.given:
        said.append(f"Word meaning is that of the study's own word vectors ({words.name}).")
    said.append("Removing features takes away what is linear in them at the same TR, no more.")
    return said

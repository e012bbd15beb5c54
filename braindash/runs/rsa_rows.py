"""Rows of an RSA: similarities and changes with their intervals; what could not be said, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from braindash.runs.rsa_conditions import Conditions
    from braindash.runs.rsa_spaces import Spaces
    from braindash.studies.base import Study

Row = dict[str, Any]
FEWEST_TARGETS = 10  # of a region: a pattern over fewer says little
FEWEST_SUBJECTS = (5, 6)  # for similarities (one-sided) and changes: with fewer no pattern of signs reaches .05


@dataclass(frozen=True)
class Scored:
    """What one subject's regions gave.

    ``similarity`` and ``p`` are (n_items, n_regions), ``boots`` (n_boot, n_items, n_regions); items are
    the layers of all models, then the feature spaces. ``partial`` and ``partial_boots`` hold the layers
    alone, and NaN where the sound has no spectrum.
    """

    regions: dict[str, int]  # targets of each
    too_small: list[str]  # regions with fewer than 10 usable targets
    vectors: np.ndarray  # (n_regions, n_pairs)
    similarity: np.ndarray
    p: np.ndarray
    boots: np.ndarray
    partial: np.ndarray
    partial_boots: np.ndarray


@dataclass(frozen=True)
class Cell:
    """One region of one subject, or of several whose mean is taken."""

    subject: str
    roi: str
    columns: list[tuple[Scored, int]]

    def mean(self, name: str, item: int) -> float:
        return float(np.mean([getattr(s, name)[item, j] for s, j in self.columns]))

    def draws(self, name: str, item: int) -> np.ndarray:
        """Return bootstrap samples of the mean: (n_boot,)."""
        return np.asarray(np.mean([getattr(s, name)[:, item, j] for s, j in self.columns], axis=0))

    @property
    def n_targets(self) -> int:
        return sum(s.regions[self.roi] for s, _ in self.columns)


def cells(scored: Mapping[str, Scored]) -> list[Cell]:
    """Return every region of every subject, and its mean over subjects ("all") where there are several."""
    people = {s: [s] for s in scored} | ({"all": list(scored)} if len(scored) > 1 else {})
    out = []
    for who, members in people.items():
        for roi in dict.fromkeys(r for m in members for r in scored[m].regions):
            having = [scored[m] for m in members if roi in scored[m].regions]
            out.append(Cell(who, roi, [(s, list(s.regions).index(roi)) for s in having]))
    return out


def layer_rows(
    layers: Sequence[tuple[str, int]],
    scored: Mapping[str, Scored],
    ceilings: Mapping[str, tuple[float, float]],
    n_conditions: int,
    block: int,
) -> tuple[list[Row], list[Row]]:
    """Return the similarity of every model, layer, region and subject, and its change from the pretrained model.

    Parameters
    ----------
    layers : sequence of (model, layer)
        In the order of the items; the first model is the pretrained one.
    scored : mapping of subject to Scored
    ceilings : mapping of region to (low, high), from `ceilings_of`
    n_conditions, block : int
        Conditions, and how many neighbours tests move together.
    """
    half, tail = _student(n_conditions, block)
    first = {k: i for i, (model, k) in reversed(list(enumerate(layers))) if model == layers[0][0]}
    rows: list[Row] = []
    changes: list[Row] = []
    for cell in cells(scored):
        low, high = ceilings.get(cell.roi, (np.nan, np.nan))
        for i, (model, layer) in enumerate(layers):
            base: Row = {
                "model": model, "subject": cell.subject, "roi": cell.roi, "layer": layer,
                "n_targets": cell.n_targets, "n_conditions": n_conditions,
            }  # fmt: skip
            rows.append(
                {
                    **base,
                    **_with_interval("similarity", cell.mean("similarity", i), cell.draws("boots", i), half),
                    **_with_interval("partial", cell.mean("partial", i), cell.draws("partial_boots", i), half),
                    "ceiling_low": low,
                    "ceiling_high": high,
                    "p": cell.mean("p", i) if cell.subject != "all" else np.nan,
                }
            )
            if model != layers[0][0]:
                ref = first[layer]
                delta = cell.mean("similarity", i) - cell.mean("similarity", ref)
                error = float((cell.draws("boots", i) - cell.draws("boots", ref)).std(ddof=1))
                changes.append(
                    {
                        **base,
                        "delta": delta,
                        "ci_low": delta - half * error,
                        "ci_high": delta + half * error,
                        "p": float(2 * tail(abs(delta) / error)) if error > 0 else np.nan,
                    }
                )
    for group in (rows, changes):
        _correct(group, ("model", "subject"))
    return rows, changes


def space_rows(
    spaces: Iterable[str], n_layers: int, scored: Mapping[str, Scored], n_conditions: int, block: int
) -> list[Row]:
    """Return the similarity of every feature space, region and subject; their items follow ``n_layers`` layers."""
    half, _ = _student(n_conditions, block)
    rows = [
        {
            "space": space,
            "subject": cell.subject,
            "roi": cell.roi,
            **_with_interval("similarity", cell.mean("similarity", i), cell.draws("boots", i), half),
            "p": cell.mean("p", i) if cell.subject != "all" else np.nan,
        }
        for cell in cells(scored)
        for i, space in enumerate(spaces, start=n_layers)
    ]
    _correct(rows, ("subject",))
    return rows


def subject_rows(rows: Sequence[Row], changes: Sequence[Row]) -> tuple[list[Row], str]:
    """Test similarities and changes over subjects by sign flips, and say where there are too few.

    As `braindash.comparing.across.group_rows` does for scores; ``measure`` is "similarity" or "delta".
    """
    from braindash.comparing.across import group_rows

    found, _ = group_rows([{**r, "r": r["similarity"]} for r in rows], [{**r, "delta_r": r["delta"]} for r in changes])
    names = {"r": "similarity", "delta_r": "delta"}
    tested = [{**r, "measure": names[r["measure"]]} for r in found]
    n = len({r["subject"] for r in rows} - {"all"})
    notes = [
        f"{what} were not tested over subjects: that needs {needed}, and there {'is' if n == 1 else 'are'} {n}."
        for what, measure, needed, given in (
            ("Similarities", "similarity", FEWEST_SUBJECTS[0], rows),
            ("Changes", "delta", FEWEST_SUBJECTS[1], changes),
        )
        if given and n < needed
    ]
    return tested, " ".join(notes)


def ceilings_of(
    scored: Mapping[str, Scored], method: str, exclude: int, groups: np.ndarray | None
) -> dict[str, tuple[float, float]]:
    """Return the noise ceiling of every region that two subjects or more have."""
    from braindash.rsa import noise_ceiling

    out = {}
    for roi in dict.fromkeys(r for s in scored.values() for r in s.regions):
        own = [s.vectors[list(s.regions).index(roi)] for s in scored.values() if roi in s.regions]
        if len(own) > 1:
            out[roi] = noise_ceiling(np.stack(own), method, exclude=exclude, groups=groups)
    return out


def rsa_caveats(
    study: Study, conditions: Conditions, scored: Mapping[str, Scored], spaces: Spaces, metric: str, note: str
) -> list[str]:
    """Return what a reader must know: choices that could have been others, and what was not done, with the reason."""
    said = ["Every channel (unit of a layer, target of a region) is standardised over conditions before RDMs are made."]
    if metric == "crossnobis":
        repeats = min(study.n_repeats(t, s) for t in conditions.stories for s in scored)
        left = [t for t in study.stories_of("test") if t not in conditions.stories]
        said.append(
            f"Distances of regions are cross-validated over {repeats} repeats, with the identity for the noise "
            "covariance (targets are scaled to the same spread, not whitened). Layers and feature spaces have no "
            "noise: theirs are squared Euclidean distances, which is what crossnobis estimates."
        )
        if left:
            said.append(f"Without repeats, so left out: {', '.join(left)}.")
    small = list(dict.fromkeys(r for s in scored.values() for r in s.too_small))
    if small:
        said.append(f"Left out, with fewer than {FEWEST_TARGETS} usable targets in a subject: {', '.join(small)}.")
    if len(scored) < 2:
        said.append("A noise ceiling needs two subjects who heard the same; there is one.")
    if note:
        said.append(note)
    if conditions.left_out:
        said.append(f"{conditions.left_out} of {conditions.n_all} occurrences have no response in the recording.")
    if study.signal == "bold" and conditions.unit == "word":
        said.append("BOLD is slow: the response to a word holds much of the words around it.")
    other = [
        s.replace("_", " ")
        for s, m in spaces.metrics.items()
        if m == "euclidean" and metric in ("correlation", "cosine")
    ]
    if other:
        said.append(
            f"Too few channels for {metric} distances, so squared differences are compared: {', '.join(other)}."
        )
    return said


def _student(n_conditions: int, block: int) -> tuple[float, Callable[[float], float]]:
    """Return how many standard errors an interval has on each side, and the upper tail of the same distribution."""
    from scipy import stats

    free = max(2, n_conditions // block) - 1
    return float(stats.t.ppf(0.975, free)), lambda t: float(stats.t.sf(t, free))


def _with_interval(name: str, value: float, draws: np.ndarray, half: float) -> Row:
    reach = half * float(draws.std(ddof=1))
    before = "" if name == "similarity" else f"{name}_"
    return {name: value, f"{before}ci_low": max(-1.0, value - reach), f"{before}ci_high": min(1.0, value + reach)}


def _correct(rows: list[Row], keys: Sequence[str]) -> None:
    """Add ``q``: Benjamini-Hochberg over the rows that are alike in ``keys``."""
    from statsmodels.stats.multitest import multipletests

    for r in rows:
        r["q"] = np.nan
    for key in dict.fromkeys(tuple(r[k] for k in keys) for r in rows):
        own = [r for r in rows if tuple(r[k] for k in keys) == key and np.isfinite(r["p"])]
        if own:
            for r, q in zip(own, multipletests([r["p"] for r in own], method="fdr_bh")[1], strict=True):
                r["q"] = float(q)

"""What a run's documents hold that the findings of the papers are judged by, as rows, and how it is looked up."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from braindash.comparing.verdicts import MATCHED, Change, Controls

Row = Mapping[str, Any]

PRETRAINED = "pretrained"


@dataclass(frozen=True)
class Evidence:
    """Rows of one run; empty where there is nothing.

    Attributes
    ----------
    run, config_file : str
        Its id, and where its configuration lies, for commands.
    tuned : str
        The run's own model in rows.
    simulated, normalised : bool
        Whether subjects are simulated; whether scores of regions are shares of a noise ceiling.
    layers : tuple of int
    subject : str
        Whose rows are judged: "all", the mean over subjects, or the only one.
    n_subjects : int
        Tuned on and evaluated.
    hears : bool or None
        Whether auditory cortex was among what was tuned on; None where that cannot be known.
    differences, against : rows of ``records.json``
    regions, slopes, slope_change, changes, probes, forgetting, transfer, reliance : rows of ``hierarchy.json``
    n_tested : mapping
        How many differences of "probe" and "region" were tested for having fallen.
    selection : mapping
        The gain where it was tuned on less the gain elsewhere; {} where all was tuned on.
    scores : rows of ``probing.json``
    """

    run: str
    config_file: str
    tuned: str
    simulated: bool
    normalised: bool
    layers: tuple[int, ...]
    subject: str
    n_subjects: int
    hears: bool | None
    differences: Sequence[Row] = ()
    against: Sequence[Row] = ()
    regions: Sequence[Row] = ()
    slopes: Sequence[Row] = ()
    slope_change: Sequence[Row] = ()
    changes: Sequence[Row] = ()
    probes: Sequence[Row] = ()
    forgetting: Sequence[Row] = ()
    transfer: Sequence[Row] = ()
    reliance: Sequence[Row] = ()
    n_tested: Mapping[str, int] | None = None
    selection: Mapping[str, Any] | None = None
    scores: Sequence[Row] = ()

    # --- regions at the last layer -------------------------------------------------------------

    @property
    def last(self) -> int:
        return max(self.layers)

    @property
    def unit(self) -> str:
        return "of the noise ceiling" if self.normalised else "in r"

    def region_change(self, roi: str) -> Change:
        """Return the change of a region at the last layer, tuned minus pretrained."""
        row = find(self.differences, model=self.tuned, subject=self.subject, roi=roi, layer=self.last)
        return self._difference(row)

    def region_controls(self, roi: str, models: Sequence[str] = MATCHED) -> Controls:
        """Return tuned less each of some controls at the last layer of a region."""
        found = {
            m: find(self.against, model=self.tuned, against=m, subject=self.subject, roi=roi, layer=self.last)
            for m in models
        }
        return Controls({m: self._difference(r) for m, r in found.items() if r}, self.control_command())

    def n_targets(self, roi: str) -> int:
        row = find(self.differences, model=self.tuned, subject=self.subject, roi=roi, layer=self.last) or {}
        return int(row.get("n_targets") or 0) - (int(row.get("n_excluded") or 0) if self.normalised else 0)

    def _difference(self, row: Row | None) -> Change:
        if self.normalised:
            return Change.of(row, "delta_r_norm", "r_norm_ci_low", "r_norm_ci_high")
        return Change.of(row, "delta_r")

    # --- means over the layers that tuning changed, and slopes -----------------------------------

    def mean_change(self, what: str, name: str, against: str = PRETRAINED) -> Change:
        """Return the change of a region or a probe, mean over the layers that tuning changed."""
        return Change.of(find(self.changes, what=what, name=name, model=self.tuned, against=against))

    def mean_controls(self, what: str, name: str) -> Controls:
        gaps = {m: self.mean_change(what, name, m) for m in MATCHED}
        return Controls({m: g for m, g in gaps.items() if math.isfinite(g.value)}, self.control_command())

    # --- depths ----------------------------------------------------------------------------------

    def region_depth(self, model: str, roi: str) -> Row | None:
        return find(self.regions, model=model, subject=self.subject, roi=roi)

    def tasks(self, *names: str) -> dict[str, str]:
        """Return those tasks that were probed: name -> title."""
        found = {str(r["task"]): str(r["title"]) for r in self.probes}
        return {n: found[n] for n in names if n in found}

    def probe_depth(self, model: str, task: str) -> Row | None:
        return find(self.probes, model=model, task=task)

    def best_score(self, task: str) -> Row | None:
        """Return the tuned model's row of a task at its layer clearest above chance; None where there is none."""
        rows = [r for r in self.scores if r["model"] == self.tuned and r["task"] == task]
        known = [r for r in rows if math.isfinite(r["ci_low"])] or rows  # NaN compares with nothing
        return max(known, key=lambda r: r["ci_low"] - r["chance"], default=None)

    def part(self, low: float, high: float) -> tuple[float, float]:
        """Return the layers between two relative depths, 0 the first and 1 the last."""
        first, n = min(self.layers), self.last - min(self.layers)
        return first + low * n, first + high * n

    # --- commands --------------------------------------------------------------------------------

    def control_command(self, control: str = "block-permuted") -> str:
        return f"braindash tune --config {self.config_file} --control {control}"

    def command(self, verb: str) -> str:
        return f"braindash {verb} {self.run}"


def find(rows: Sequence[Row], **wanted: Any) -> Row | None:
    """Return the first row that has these values, or None."""
    return next((r for r in rows if all(r.get(k) == v for k, v in wanted.items())), None)


def layer_words(row: Row | None) -> str:
    """Return "layer 3 (0 to 4)", or why there is none."""
    peak, low, high = ((row or {}).get(k) for k in ("peak_layer", "peak_low", "peak_high"))
    if not isinstance(peak, int | float) or not math.isfinite(peak):
        return "no peak" if (row or {}).get("flat") else "unknown"
    if not isinstance(low, int | float) or not isinstance(high, int | float) or not math.isfinite(low):
        return f"layer {peak:.0f} (no interval)"
    return f"layer {peak:.0f}" + ("" if low == high else f" ({low:.0f} to {high:.0f})")

"""What slides are made from: a run's records and documents as plain data, with the selections that figures need."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import Home
from braindash.figures.slides import Curve
from braindash.wording import in_order

if TYPE_CHECKING:
    from braindash.studies.base import CortexMap

Row = Mapping[str, Any]

UNITS = {"r_norm": "r / noise ceiling", "r": "r"}
_LEVEL = {"r_norm": ("r_norm", "r_norm_ci_low", "r_norm_ci_high"), "r": ("r", "r_ci_low", "r_ci_high")}
_CHANGE = {"r_norm": ("delta_r_norm", "r_norm_ci_low", "r_norm_ci_high"), "r": ("delta_r", "ci_low", "ci_high")}
MAIN = ("primary_auditory", "early_auditory", "late_language", "cortex")
MORE = ("primary_auditory", "early_auditory", "late_language", "ag", "ltc", "ifg", "mfg", "cortex")


@dataclass(frozen=True, eq=False)
class Maps:
    """Values of single targets of one subject: ``values(model, layer) -> (n_targets,)``."""

    values: Callable[[str, int], np.ndarray]
    cortex_map: CortexMap
    home: Home
    subject: str
    measure: str
    outlines: Mapping[str, Sequence[str] | np.ndarray] | None = None


@dataclass(frozen=True, eq=False)
class Facts:
    """One evaluated run.

    Attributes
    ----------
    run_id : str
    records : mapping
        ``records.json``.
    about : str
        Name, model, recipe and study in one line.
    documents : mapping
        "probing", "rsa", "hierarchy" to what their files hold, where they are there.
    methods : str
        Paragraphs; empty where they could not be written.
    maps : Maps, optional
    left_out : sequence of str
        What could not be read, in sentences.
    """

    run_id: str
    records: Mapping[str, Any]
    about: str = ""
    documents: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    methods: str = ""
    maps: Maps | None = None
    left_out: Sequence[str] = ()

    @functools.cached_property
    def summary(self) -> Mapping[str, Any]:
        found = self.records.get("summary")
        return found if isinstance(found, dict) else {}

    @functools.cached_property
    def subjects(self) -> list[str]:
        """Subjects of the rows; "all", their mean, first where there is one."""
        return sorted(dict.fromkeys(str(r["subject"]) for r in self.records["encoding"]), key=lambda s: s != "all")

    @property
    def subject(self) -> str:
        return self.subjects[0]

    @property
    def who(self) -> str:
        """Whose numbers the slides show, in words."""
        n = len(self.subjects) - 1
        return f"mean over {counted(n, 'subject')}" if self.subject == "all" else f"subject {self.subject}"

    @functools.cached_property
    def models(self) -> list[str]:
        return in_order([str(r["model"]) for r in self.records["encoding"]])

    @functools.cached_property
    def tuned(self) -> str:
        """The model that the run is about: the brain-tuned one, or its control."""
        others = [m for m in self.models if m != "pretrained"]
        main = str(self.summary.get("model"))
        return main if main in others else others[0] if others else "pretrained"

    @property
    def controls(self) -> list[str]:
        return [m for m in self.models if m not in ("pretrained", "brain_tuned", self.tuned)]

    @functools.cached_property
    def layers(self) -> list[int]:
        return sorted({int(r["layer"]) for r in self.records["encoding"]})

    @functools.cached_property
    def measure(self) -> str:
        """r divided by the noise ceiling, where there are ceilings; else r."""
        return "r_norm" if any(math.isfinite(real(r.get("r_norm"))) for r in self.records["encoding"]) else "r"

    @functools.cached_property
    def caveats(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(str(c) for c in self.records.get("caveats") or ()))

    @functools.cached_property
    def regions(self) -> list[str]:
        """Regions that have a value, in the order of the records."""
        own = self._encoding
        return list(dict.fromkeys(roi for (model, roi) in own if np.isfinite(self.levels(model, roi).value).any()))

    def chosen(self, named: Sequence[str], most: int) -> list[str]:
        """Return the named regions that the run has; its own first ones where it has none of them."""
        return ([roi for roi in named if roi in self.regions] or self.regions)[:most]

    def title(self, roi: str) -> str:
        """Return what the run calls a region."""
        titles = self.summary.get("region_titles")
        if isinstance(titles, dict) and roi in titles:
            return str(titles[roi])
        from braindash.encoding.regions import region_title

        return region_title(roi)

    def levels(self, model: str, roi: str) -> Curve:
        """Return a model's scores over layers in one region."""
        return curve(model, self._encoding.get((model, roi), ()), _LEVEL[self.measure])

    def changes(self, model: str, roi: str) -> Curve:
        """Return a model's differences from the pretrained one over layers in one region."""
        return curve(model, self._differences.get((model, roi), ()), _CHANGE[self.measure])

    def against(self, control: str, roi: str, layer: int) -> tuple[float, float, float]:
        """Return brain-tuned minus a control, with its interval; NaN where the run has none."""
        for row in self.records.get("against_controls") or ():
            same = row.get("against") == control and row.get("roi") == roi and row.get("subject") == self.subject
            if same and row.get("layer") == layer and row.get("model") == self.tuned:
                value, low, high = (real(row.get(c)) for c in _CHANGE[self.measure])
                return value, low, high
        return math.nan, math.nan, math.nan

    def n(self, roi: str) -> int:
        """Return how many targets a region's mean is over."""
        rows = self._encoding.get((self.models[0], roi), ())
        if not rows:
            return 0
        out = real(rows[0].get("n_targets"))
        less = real(rows[0].get("n_excluded")) if self.measure == "r_norm" else 0.0
        return int(out - (less if math.isfinite(less) else 0.0)) if math.isfinite(out) else 0

    @functools.cached_property
    def _encoding(self) -> dict[tuple[str, str], list[Row]]:
        return self._by_model_and_roi(self.records["encoding"])

    @functools.cached_property
    def _differences(self) -> dict[tuple[str, str], list[Row]]:
        return self._by_model_and_roi(self.records.get("differences") or ())

    def _by_model_and_roi(self, rows: Sequence[Row]) -> dict[tuple[str, str], list[Row]]:
        out: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if str(row["subject"]) == self.subject:
                out.setdefault((str(row["model"]), str(row["roi"])), []).append(row)
        return out


def curve(model: str, rows: Sequence[Row], columns: tuple[str, str, str]) -> Curve:
    """Return rows of layers as arrays, in the order of layers; what is not a number is NaN."""
    ordered = sorted(rows, key=lambda r: int(r["layer"]))
    layer = np.array([int(r["layer"]) for r in ordered], float)
    value, low, high = (np.array([real(r.get(c)) for r in ordered], float) for c in columns)
    return Curve(model, layer, value, low, high)


def real(value: Any) -> float:
    """Return a number, or NaN for anything else."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else math.nan


def signed(value: float, digits: int = 3) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def between(low: float, high: float, digits: int = 3) -> str:
    """Return "95 % interval +0.01 to +0.02", or that there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return "no interval"
    return f"95 % interval {signed(low, digits)} to {signed(high, digits)}"


def counted(n: int, noun: str, plural: str | None = None) -> str:
    """Return "1 target" or "1,204 targets"."""
    return f"{n:,} {noun if n == 1 else plural or noun + 's'}"

"""What the Probes page reads: a run's probes as labelled arrays over layers, cached by the state of their files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from braindash.errors import BraindashError
from braindash.ui.readers import holding, mark
from braindash.wording import SCORES

if TYPE_CHECKING:
    from braindash.runs.record import RunRow
    from braindash.runs.run import Run

FORMAT = 1
PROBING, ARRAYS = "probing.json", "probing.nc"


@dataclass(frozen=True)
class ProbeTask:
    """One task as the page shows it; numbers that the file lacks are NaN or 0."""

    name: str
    title: str
    explanation: str
    kind: str
    level: str
    metric: str  # as readers see it
    chance: float
    baseline: float
    n: int  # scored examples
    n_groups: int
    classes: tuple[str, ...]
    facts: Mapping[str, Any]  # all that the file says of it


@dataclass(frozen=True)
class Curve:
    """One model's probes of one task: (n_layers,) each."""

    score: np.ndarray
    low: np.ndarray
    high: np.ndarray
    shuffled: np.ndarray
    selectivity: np.ndarray


@dataclass(frozen=True)
class Change:
    """A model minus the pretrained one on one task: (n_layers,) each."""

    delta: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p: np.ndarray
    q: np.ndarray


@dataclass(frozen=True)
class Probing:
    """The probes of one run."""

    run_id: str
    document: Mapping[str, Any]
    tasks: tuple[ProbeTask, ...]  # from sound to meaning, then the others
    models: tuple[str, ...]  # pretrained first, then brain-tuned, the controls, the untrained model
    layers: tuple[int, ...]
    curves: Mapping[tuple[str, str], Curve]  # (model, task)
    changes: Mapping[tuple[str, str], Change]
    folds: Mapping[tuple[str, str, int], tuple[Mapping[str, Any], ...]]  # (model, task, layer)
    caveats: tuple[str, ...]

    def task(self, name: str) -> ProbeTask:
        return next(t for t in self.tasks if t.name == name)

    @property
    def compared(self) -> tuple[str, ...]:
        """The models that can be held against the pretrained one."""
        return tuple(m for m in self.models if m != "pretrained")


def probed(rows: Iterable[RunRow]) -> set[str]:
    """Return the ids of the runs whose folder holds probes."""
    return holding(rows, PROBING)


def probing(run: Run) -> Probing | None:
    """Return a run's probes, or None where it has none.

    Raises
    ------
    BraindashError
        Where they cannot be read, or a newer version wrote them.
    """
    return _probing(str(run.path), mark(run.path / PROBING))


@st.cache_resource(max_entries=16, show_spinner=False)
def _probing(path: str, as_of: tuple[int, int], /) -> Probing | None:
    from braindash.runs.probing import read_probing

    folder = Path(path)
    document = read_probing(folder)
    if document is None:
        return None
    again = f"Make it again: braindash probe {folder.name}"
    version = document.get("braindash")
    if isinstance(version, (int, float)) and version > FORMAT:
        raise BraindashError(
            f"The probing of run {folder.name} was written by a newer version of braindash (format {version}; this "
            f"one reads {FORMAT}).",
            "Update braindash, or make it again: braindash probe " + folder.name,
        )
    try:
        return _labelled(folder.name, document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        missing = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise BraindashError(f"The probing of run {folder.name} cannot be read ({missing}).", again) from None


def confusion(run: Run, task: str, model: str, layer: int) -> np.ndarray | None:
    """Return how often which class was read as which: (n_classes, n_classes) int, or None where it is not stored.

    Raises
    ------
    BraindashError
        Where the arrays cannot be read.
    """
    data = _arrays(str(run.path), mark(run.path / ARRAYS))
    name = f"confusion_{task}"
    if data is None or name not in data:
        return None
    models, layers = (list(data[c].values) if c in data.coords else [] for c in ("model", "layer"))
    values = data[name].values
    if model not in models or layer not in layers or values.ndim != 4 or values.shape[2] != values.shape[3]:
        return None
    return np.asarray(values[models.index(model), layers.index(layer)])


@st.cache_resource(max_entries=3, show_spinner=False)
def _arrays(path: str, as_of: tuple[int, int], /) -> Any:
    from braindash.runs.probing import read_probing_arrays

    return read_probing_arrays(Path(path))


# --- from rows to arrays -------------------------------------------------------------------------


def _labelled(run_id: str, document: Mapping[str, Any]) -> Probing:
    from braindash.wording import in_order

    rows = document["rows"]
    if not rows:
        raise ValueError("it has no rows")
    layers = tuple(sorted({int(r["layer"]) for r in rows}))
    at = {layer: i for i, layer in enumerate(layers)}
    models = tuple(in_order([str(r["model"]) for r in rows]))
    first: dict[str, Mapping[str, Any]] = {}
    scores: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for row in rows:
        task = str(row["task"])
        first.setdefault(task, row)
        found = scores.setdefault((str(row["model"]), task), _empty(_CURVE, len(layers)))
        for name, column in _CURVE.items():
            found[name][at[int(row["layer"])]] = _number(row["score"] if column == "score" else row.get(column))
    changes: dict[tuple[str, str], dict[str, np.ndarray]] = {}
    for row in document.get("differences") or ():
        if int(row["layer"]) not in at:
            continue
        found = changes.setdefault((str(row["model"]), str(row["task"])), _empty(_CHANGE, len(layers)))
        for name, column in _CHANGE.items():
            found[name][at[int(row["layer"])]] = _number(row.get(column))
    folds: dict[tuple[str, str, int], list[Mapping[str, Any]]] = {}
    for row in document.get("folds") or ():
        folds.setdefault((str(row["model"]), str(row["task"]), int(row["layer"])), []).append(row)
    told = {str(t["name"]): t for t in document.get("tasks") or ()}
    order = [*(name for name in told if name in first), *(name for name in first if name not in told)]
    tasks = [_task(name, told.get(name, {}), first[name]) for name in order]
    tasks.sort(key=lambda t: level_place(t.level))
    return Probing(
        run_id,
        document,
        tuple(tasks),
        models,
        layers,
        {key: Curve(**c) for key, c in scores.items()},
        {key: Change(**c) for key, c in changes.items()},
        {key: tuple(found) for key, found in folds.items()},
        tuple(str(c) for c in document.get("caveats") or ()),
    )


_CURVE = {
    "score": "score",
    "low": "ci_low",
    "high": "ci_high",
    "shuffled": "shuffled",
    "selectivity": "selectivity",
}
_CHANGE = {"delta": "delta", "low": "ci_low", "high": "ci_high", "p": "p", "q": "q"}


def level_place(level: str) -> int:
    """Return where a level stands, from sound to meaning; what stands outside that order comes after."""
    from braindash.probing.base import LEVELS

    return LEVELS.index(level) if level in LEVELS else len(LEVELS) + (level != "sentence")  # type: ignore[arg-type]


def _empty(names: Mapping[str, str], n: int) -> dict[str, np.ndarray]:
    return {name: np.full(n, np.nan) for name in names}


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _whole(value: Any) -> int:
    number = _number(value)
    return int(number) if np.isfinite(number) else 0


def _task(name: str, told: Mapping[str, Any], row: Mapping[str, Any]) -> ProbeTask:
    def say(key: str, default: Any = "") -> Any:
        value = told.get(key)
        return value if value is not None else row.get(key, default)

    kind, metric = str(say("kind")), str(say("metric", "score"))
    return ProbeTask(
        name,
        str(say("title") or name),
        str(say("explanation")),
        kind,
        str(say("level")),
        "F1, mean over labels" if kind == "multilabel" and metric == "f1" else SCORES.get(metric, metric),
        _number(say("chance", None)),
        _number(say("baseline", None)),
        _whole(row.get("n")) or _whole(told.get("n_scored")),
        _whole(say("n_groups", None)),
        tuple(str(c) for c in told.get("names") or ()),
        told,
    )

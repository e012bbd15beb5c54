"""What pages read, cached by what it depends on: files that change are read again, others are not.

Streamlit leaves arguments whose name begins with an underscore out of a cache's key: none here may.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from braindash.config import Home
from braindash.errors import BraindashError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from braindash.runs.record import RunRow, RunStore
    from braindash.runs.run import Run
    from braindash.speech.catalogue import ModelInfo
    from braindash.studies.base import CortexMap, Study
    from braindash.studies.library import StudyEntry


def home() -> Home:
    """Return the home that the app was started for."""
    return Home.resolve()


def store() -> RunStore:
    from braindash.runs.record import RunStore

    return RunStore(home())


def mark(path: Path) -> tuple[int, int]:
    """Return what changes when a file does: (time of change, size); (0, 0) where there is none."""
    return _mark(str(path))


def _mark(path: str) -> tuple[int, int]:
    try:
        stat = os.stat(path)  # noqa: PTH116 (thousands a page: making a Path takes longer than asking)
    except (OSError, ValueError):  # ValueError: a name that no file can have
        return 0, 0
    return stat.st_mtime_ns, stat.st_size


def holding(rows: Iterable[RunRow], name: str) -> set[str]:
    """Return the ids of the runs whose folder holds a file of this name."""
    place = str(home().runs)
    return {row.id for row in rows if _mark(f"{place}/{row.id}/{name}") != (0, 0)}


_Seen = tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
# Of one run of a page; nothing outside it, such as in a fragment. Not in the session's state: that refuses to be
# touched, even to be cleared, while a run of a page is being stopped for the next.
_LOOK: ContextVar[list[list[RunRow]] | None] = ContextVar("one look at the runs' folders", default=None)


@st.cache_resource(max_entries=8, show_spinner=False)
def _known_rows(home_path: str) -> dict[str, tuple[_Seen, RunRow]]:
    """Rows read so far, each with the state of its files; shared by all sessions."""
    return {}


def run_rows() -> list[RunRow]:
    """Return one row a run, newest first, reading only folders that have changed.

    A run at work is always asked again: that its process has died changes no file. Within one run of a page, the
    folders are looked at once.
    """
    look = _LOOK.get()
    if look is None:
        return _changed_rows()
    if not look:
        look.append(_changed_rows())
    return list(look[0])


@contextmanager
def one_look() -> Iterator[None]:
    """Look at the runs' folders once while the router draws; a fragment, which runs without it, looks by itself.

    However the page ends, stopped, run again or failed, nothing is left for the next run. A fragment that asks often
    may take one look for itself; drawn by the router, it has the router's.
    """
    if _LOOK.get() is not None:
        yield
        return
    token = _LOOK.set([])
    try:
        yield
    finally:
        _LOOK.reset(token)


def _changed_rows() -> list[RunRow]:
    from braindash.ui.names import LIVE_STATES

    place, runs = home(), store()
    known = _known_rows(str(place.path))
    all_runs = str(place.runs)
    rows = []
    ids = runs.ids()
    for run_id in ids:
        folder = f"{all_runs}/{run_id}"
        seen = (_mark(f"{folder}/status.json"), _mark(f"{folder}/config.yaml"), _mark(f"{folder}/records.json"))
        before = known.get(run_id)
        if before is None or before[0] != seen or before[1].state in LIVE_STATES:
            known[run_id] = before = (seen, runs.row(run_id))
        rows.append(before[1])
    for gone in set(known) - set(ids):
        known.pop(gone, None)
    return rows


# --- results -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Results:
    """One evaluated run as pages show it."""

    run_id: str
    records: dict[str, Any]
    encoding: pd.DataFrame  # the record rows
    differences: pd.DataFrame
    against: pd.DataFrame  # brain-tuned minus each control; the columns of differences, and `against`
    models: tuple[str, ...]  # pretrained first, then brain-tuned, then the controls
    subjects: tuple[str, ...]  # the mean over subjects first, where there is one
    layers: tuple[int, ...]
    regions: tuple[str, ...]
    caveats: tuple[str, ...]

    @property
    def last_layer(self) -> int:
        return self.layers[-1]

    @cached_property
    def measures(self) -> tuple[str, ...]:
        """The measures that the run has: normalised first, where there are noise ceilings."""
        return ("r_norm", "r") if self.encoding["r_norm"].notna().any() else ("r",)

    @cached_property
    def measured(self) -> tuple[str, ...]:
        """The regions with a value in the first measure."""
        with_value = set(self.encoding.loc[self.encoding[self.measures[0]].notna(), "roi"].astype(str))
        return tuple(roi for roi in self.regions if roi in with_value)

    def title(self, roi: str) -> str:
        """Return what the run calls a region; "Whole cortex" is "All targets" where there is no cortex."""
        from braindash.ui import names

        titles = (self.records.get("summary") or {}).get("region_titles") or {}
        return str(titles.get(roi) or names.region(roi))


def results(run: Run) -> Results:
    """Return a run's results.

    Raises
    ------
    BraindashError
        Where the run has none, or they cannot be read.
    """
    from braindash.runs.results import RECORDS

    return _results(str(run.path), mark(run.path / RECORDS))


@st.cache_resource(max_entries=32, show_spinner=False)
def _results(path: str, as_of: tuple[int, int], /) -> Results:
    return _read_results(path)


def _read_results(path: str) -> Results:
    import pandas as pd

    from braindash.figures.style import model_order
    from braindash.runs.results import read_records

    folder = Path(path)
    records = read_records(folder)
    again = f"Evaluate it again: braindash evaluate {folder.name}"
    if records is None:
        raise BraindashError(f"Run {folder.name} has no results yet.", again)
    encoding = pd.DataFrame(records.get("encoding") or [])
    differences = pd.DataFrame(records.get("differences") or [])
    needed = {"model", "subject", "roi", "layer", "n_targets", "r"}
    if encoding.empty or not needed <= set(encoding.columns):
        raise BraindashError(f"The results of run {folder.name} hold no encoding rows.", again)
    if differences.empty:
        differences = pd.DataFrame(columns=["model", "subject", "roi", "layer", "n_targets", "delta_r"])
    against = pd.DataFrame(records.get("against_controls") or [])
    if against.empty:
        against = pd.DataFrame(columns=[*differences.columns, "against"])
    shared = ("n_excluded", "r_norm_ci_low", "r_norm_ci_high")
    for table, own in (
        (encoding, ("noise_ceiling", "r_norm", "r_ci_low", "r_ci_high")),
        (differences, ("delta_r_norm", "ci_low", "ci_high", "p", "q")),
        (against, ("delta_r_norm", "ci_low", "ci_high", "p", "q")),
    ):
        for column in (*shared, *own):
            if column not in table:
                table[column] = float("nan")
    subjects = list(dict.fromkeys(encoding["subject"].astype(str)))
    subjects.sort(key=lambda s: s != "all")
    return Results(
        folder.name,
        records,
        encoding,
        differences,
        against,
        tuple(model_order(encoding["model"])),
        tuple(subjects),
        tuple(sorted({int(x) for x in encoding["layer"]})),
        tuple(dict.fromkeys(encoding["roi"].astype(str))),
        tuple(str(c) for c in records.get("caveats") or ()),
    )


@dataclass(frozen=True)
class TargetBlock:
    """One quantity of every target of one subject, as ``results.zarr`` holds it; read-only."""

    models: tuple[str, ...]
    layers: tuple[int, ...]
    values: np.ndarray  # (n_models, n_layers, n_targets) float32, in the study's order of targets

    def at(self, model: str, layer: int) -> np.ndarray:
        if model not in self.models or layer not in self.layers:
            raise BraindashError(
                f"The results hold no single targets of {model}, layer {layer}.", "Evaluate the run again."
            )
        return self.values[self.models.index(model), self.layers.index(layer)]


def result_layers(folder: Path) -> list[int]:
    """Return the layers for which single targets have values."""
    from braindash.runs.results import ATTRS, RESULTS

    return list(_shape(str(folder), mark(folder / RESULTS / ATTRS))[0])


def has_quantity(folder: Path, name: str) -> bool:
    """Return whether the run holds a quantity of single targets, such as ``q_difference``."""
    from braindash.runs.results import ATTRS, RESULTS

    return name in _shape(str(folder), mark(folder / RESULTS / ATTRS))[1]


@contextmanager
def _whole_store(folder: Path, as_of: tuple[int, int]) -> Iterator[None]:
    """Read a store of results as it was at one moment; what a damaged one raises becomes a BraindashError."""
    from braindash.runs.results import ATTRS, RESULTS

    failed: Exception | None = None
    try:
        yield
    except BraindashError:
        raise
    except Exception as error:  # zarr, its codecs and xarray raise whatever the bytes happen to mean
        failed = error
    if mark(folder / RESULTS / ATTRS) != as_of:  # its parts are files of their own: some may be old, some new
        raise BraindashError(
            f"The results of run {folder.name} were written anew while they were read.", "Load the page again."
        ) from failed
    if failed is not None:
        raise BraindashError(
            f"The single targets of run {folder.name} cannot be read ({type(failed).__name__}: {failed}).",
            f"Evaluate it again: braindash evaluate {folder.name}",
        ) from failed


@st.cache_resource(max_entries=64, show_spinner=False)
def _shape(path: str, as_of: tuple[int, int], /) -> tuple[tuple[int, ...], tuple[str, ...]]:
    from braindash.runs.results import open_results

    with _whole_store(Path(path), as_of):
        data = open_results(Path(path))["encoding"].to_dataset()
        return tuple(int(k) for k in data["layer"].values), tuple(str(name) for name in data.data_vars)


def target_values(run: Run, model: str, layer: int, subject: str, measure: str) -> np.ndarray:
    """Return one value a target of the subject, in the study's order: (n_targets,) float32, NaN where excluded.

    Raises
    ------
    BraindashError
        Where the run has no values for single targets, or not for this subject, model or measure.
    """
    from braindash.runs.results import ATTRS, RESULTS

    return _block(str(run.path), mark(run.path / RESULTS / ATTRS), subject, measure).at(model, layer)


@st.cache_resource(max_entries=24, show_spinner=False)
def _block(path: str, as_of: tuple[int, int], subject: str, measure: str, /) -> TargetBlock:
    with _whole_store(Path(path), as_of):
        return _read_block(path, subject, measure)


def _read_block(path: str, subject: str, measure: str) -> TargetBlock:
    import numpy as np

    from braindash.runs.results import open_results

    data = open_results(Path(path))["encoding"].to_dataset()
    mine = np.flatnonzero(data["subject"].values == subject)
    name = Path(path).name
    if not mine.size:
        raise BraindashError(f"Run {name} has no values for subject {subject}.", "Choose another subject.")
    if measure not in data:
        raise BraindashError(
            f"Run {name} has no {measure} of single targets.", f"Evaluate it again: braindash evaluate {name}"
        )
    block = data[measure]
    models, layers = data["model"].values, data["layer"].values
    if "layer" not in block.dims:  # of targets alone, as the noise ceiling: one row serves all models and layers
        block = block.expand_dims(model=1, layer=1)
    values = block.transpose("model", "layer", "target").values[..., mine]
    where = data["target_index"].values[mine].astype(int) if "target_index" in data.coords else np.arange(mine.size)
    out = np.full((*values.shape[:2], int(where.max()) + 1), np.nan, np.float32)
    out[..., where] = values
    out.setflags(write=False)
    whole = np.broadcast_to(out, (len(models), len(layers), out.shape[2]))
    return TargetBlock(tuple(str(m) for m in models), tuple(int(k) for k in layers), whole)


# --- studies -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StudyFacts:
    """What pages say of a study; ``problem`` is set where it cannot be opened."""

    id: str
    title: str = ""
    kind: str = ""
    tr: float = 0.0
    simulated: bool = False
    subjects: tuple[str, ...] = ()
    stories: dict[str, tuple[str, ...]] = field(default_factory=dict)  # part: names
    minutes: dict[str, float] = field(default_factory=dict)  # part: minutes of audio
    caveats: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    has_cortex: bool = False
    problem: str = ""


def study_entries() -> list[StudyEntry]:
    """Return the home's studies; one that cannot be used says why in ``problem``."""
    from braindash.studies.library import list_studies

    return list_studies(home())


def study_mark(study_id: str) -> tuple[int, ...]:
    """Return what changes when a study's record, or the embedded study's folder, does."""
    studies = home().studies
    return (*mark(studies / f"{study_id}.json"), *mark(studies / study_id))


def study(study_id: str) -> Study:
    """Return an opened study. Raises BraindashError where it cannot be opened."""
    place = home()
    return _study(str(place.path), study_id, study_mark(study_id))


@st.cache_resource(max_entries=16, show_spinner=False)
def _study(home_path: str, study_id: str, as_of: tuple[int, ...], /) -> Study:
    from braindash.studies.library import open_study

    return open_study(study_id, Home(Path(home_path)))


def study_facts(study_id: str) -> StudyFacts:
    """Return what pages say of a study; never raises for a study that is gone or damaged."""
    place = home()
    return _study_facts(str(place.path), study_id, study_mark(study_id))


@st.cache_resource(max_entries=64, show_spinner=False)
def _study_facts(home_path: str, study_id: str, as_of: tuple[int, ...], /) -> StudyFacts:
    from braindash.studies.base import PARTS

    try:
        opened = _study(home_path, study_id, as_of)
        stories: dict[str, tuple[str, ...]] = {part: tuple(opened.stories_of(part)) for part in PARTS}
        minutes: dict[str, float] = {
            part: sum(opened.stories[s].duration for s in names) / 60 for part, names in stories.items()
        }
        first = opened.subjects[0] if opened.subjects else None
        return StudyFacts(
            study_id,
            opened.title,
            opened.kind,
            opened.tr,
            opened.simulated,
            tuple(opened.subjects),
            stories,
            minutes,
            tuple(opened.caveats),
            _regions(opened, first),
            first is not None and opened.cortex(first) is not None,
        )
    except BraindashError as error:
        return StudyFacts(study_id, problem=str(error))


def _regions(opened: Study, subject: str | None) -> tuple[str, ...]:
    """Return the named groups that the subject's targets reach, then the study's own regions."""
    if subject is None:
        return ()
    from braindash.encoding.regions import region_groups, region_mask

    targets = opened.targets(subject)[["roi", "hemi"]].drop_duplicates()  # whether there are any, not which
    named = []
    for name in region_groups():
        try:
            region_mask(targets, name)
        except BraindashError:  # none of the targets belongs to it
            continue
        named.append(name)
    own = [str(roi) for roi in dict.fromkeys(targets["roi"]) if roi and str(roi) not in named]
    return (*named, *sorted(own))


def cortex_map(study_id: str, subject: str) -> CortexMap | None:
    """Return where a subject's targets lie, or None."""
    return _cortex_map(str(home().path), study_id, study_mark(study_id), subject)


@st.cache_resource(max_entries=32, show_spinner=False)
def _cortex_map(home_path: str, study_id: str, as_of: tuple[int, ...], subject: str, /) -> CortexMap | None:
    return _study(home_path, study_id, as_of).cortex(subject)


# --- models --------------------------------------------------------------------------------------


def models() -> list[ModelInfo]:
    """Return the models that the home knows; one that cannot be read says why in ``problem``."""
    place = home()
    return _models(str(place.path), (*mark(place.models), *mark(place.runs)))


@st.cache_data(max_entries=4, ttl=60, show_spinner=False)
def _models(home_path: str, as_of: tuple[int, ...], /) -> list[ModelInfo]:
    from braindash.speech.catalogue import list_models

    return list_models(Home(Path(home_path)))

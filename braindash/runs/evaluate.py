"""Evaluate a run: encode every layer of the pretrained, the tuned and the control models.

The same closed-form ridge on frozen features judges all of them: fitted on the tuning and
validation stories, scored on the test stories, which nothing before has seen.
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from braindash.config import EncodingConfig, Home, TuneConfig
from braindash.errors import BraindashError
from braindash.runs.encoding import Progress, encode_one, extract_features, layer_keys, subject_fits
from braindash.runs.leaks import refuse_leaks, seen_caveats
from braindash.runs.maps import prepare_maps
from braindash.runs.own_regions import own_regions
from braindash.runs.results import write_results
from braindash.wording import in_order, record_name, words_of

if TYPE_CHECKING:
    import xarray as xr

    from braindash.runs.record import Run
    from braindash.speech.base import SpeechModel
    from braindash.studies.base import Study

log = logging.getLogger(__name__)

FEATURES_SHARE = 0.55  # of the time goes into features, the rest into the regressions; measured on the demo
# a region of the study's own with fewer targets gets no row, unless the study has few regions
FEWEST_TARGETS, FEW_REGIONS = 5, 20


@dataclass(frozen=True)
class Candidate:
    """One model of the evaluation: its name in the rows and where it comes from."""

    name: str
    ref: str


def evaluate_run(
    run: Run,
    *,
    config: EncodingConfig | None = None,
    candidates: Sequence[Candidate] | None = None,
    subjects: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Encode the test stories with every model of a run and write the results into its folder.

    Layers that were fitted before to the same data are not fitted again (`braindash.runs.parts`).

    Parameters
    ----------
    run : Run
        Tuned, with a ``model/``. Finished runs of the same configuration but for
        ``control`` are evaluated with it.
    config : EncodingConfig, optional
        Overrides the run's own ``encoding`` section.
    candidates : sequence of Candidate, optional
        The models; those that `find_candidates` finds now if not given.
    subjects : sequence of str, optional
        Evaluated besides those tuned on; by default those that an earlier evaluation had. The mean
        over subjects ("all") and the summary leave them out.
    progress : callable, optional
        ``progress(fraction, what)``.

    Returns
    -------
    dict
        The records (docs/records.md), as written to ``records.json``.

    Raises
    ------
    BraindashError
        Where the run has no tuned model, or data or weights are missing.
    LeakageError
        Where a model has seen a story that the study now tests on.
    """
    from braindash.comparing.across import group_rows
    from braindash.comparing.differences import peak_layers, region_rows
    from braindash.comparing.region_samples import RegionSamples
    from braindash.comparing.summary import summarise
    from braindash.features.identities import open_identified
    from braindash.features.lags import for_signal
    from braindash.features.store import FeatureStore
    from braindash.studies import open_study

    tell = progress or (lambda fraction, what: None)
    tuning = run.config
    settings = config or tuning.encoding
    home = run.home
    study = open_study(tuning.study, home)
    tuned_on = tuple(tuning.subjects or study.subjects)
    subjects = evaluated_subjects(run, study, subjects)
    candidates = list(candidates or find_candidates(run, home))
    refuse_leaks(study, [c.ref for c in candidates], home)

    began = time.monotonic()
    models: dict[str, SpeechModel] = {}
    for candidate in candidates:
        tell(0.01, f"Loading {candidate.name.replace('_', ' ')}")
        models[candidate.name] = open_identified(candidate.ref, home)
    store = FeatureStore(home)
    fits = {s: subject_fits(home, models, study, s, settings) for s in subjects}
    missing = {s: fits[s].check(layer_keys(models, settings)) for s in subjects}
    extract_features(
        store, models, study, missing, settings, lambda done, what: tell(0.02 + (FEATURES_SHARE - 0.02) * done, what)
    )

    ceilings = shared_ceilings(study, subjects, settings)
    datasets, masks = [], []
    own = own_regions(home, (r for s in subjects for r in study.targets(s)["roi"].dropna().unique()))
    for i, subject in enumerate(subjects):

        def encoding_progress(done: int, total: int, what: str, i: int = i, subject: str = subject) -> None:
            share = (i + done / total) / len(subjects)
            tell(FEATURES_SHARE + (0.93 - FEATURES_SHARE) * share, f"Encoding {subject}: {what.replace('_', ' ')}")

        data = encode_one(
            store,
            models,
            study,
            subject,
            settings,
            encoding_progress,
            shared_ceiling=ceilings.get(subject),
            fits=fits[subject],
        )
        targets = study.targets(subject)
        datasets.append(data)
        masks.append(choose_regions(targets, own.groups))
    tell(0.94, "Comparing the models")
    samples = RegionSamples(dict.fromkeys(r for m in masks for r in m), named=own.groups)
    rows, differences, against = region_rows(
        datasets,
        masks,
        threshold=settings.ceiling_threshold,
        n_boot=settings.n_boot,
        seed=settings.seed,
        pool=tuned_on,
        keep=samples,
    )
    group, group_note = group_rows(*([r for r in table if r["subject"] in tuned_on] for table in (rows, differences)))
    titles = {r["roi"]: own.title(r["roi"]) for r in rows}
    if all(study.cortex(subject) is None for subject in subjects):
        titles["cortex"] = "All targets"
    tuned_name = candidates[1].name
    excluded = {d.attrs["subject"]: json.loads(d.attrs["excluded"]) | {"targets": d.sizes["target"]} for d in datasets}
    records = {
        "braindash": 1,
        "run": run.id,
        "study": study.id,
        "study_title": study.title,
        "subjects": list(subjects),
        "tuned_on": list(tuned_on),
        "model": tuning.model,
        "models": [c.name for c in candidates],
        "controls": describe_controls(candidates),
        "layers": sorted({int(k) for d in datasets for k in d["layer"].values}),
        "simulated": study.simulated,
        "encoding": rows,
        "differences": differences,
        "against_controls": against,
        "group": group,
        "group_note": group_note,
        "peaks": peak_layers(rows) or peak_layers(rows, "r"),
        "summary": summarise(rows, differences, tuned=tuned_name, titles=titles, against=against)
        | {"region_titles": titles},
        "excluded": excluded,
        "ceilings": {d.attrs["subject"]: d.attrs["ceiling"] for d in datasets},
        "caveats": [
            *study.caveats,
            *seen_caveats([c.ref for c in candidates], home),
            *_caveats(tuning, settings, study, datasets[0]),
            *further_subjects(subjects, tuned_on),
            *own.caveats,
        ],
        "provenance": {
            "evaluation": for_signal(settings, study.signal, study.tr).model_dump(mode="json"),
            "weights": {c.name: models[c.name].weights_hash for c in candidates},
            "runs": {c.name: c.ref for c in candidates[1:]},
            "regions": own.used(titles),
            "split": {p: list(study.stories_of(p)) for p in ("tune", "validation", "test")},
            "study_fingerprint": study.fingerprint(),
            "seconds": round(time.monotonic() - began, 1),
            "written": time.time(),
        },
    }
    tell(0.98, "Writing the results")
    write_results(run.path, {"encoding": join_subjects(datasets), "regions": samples.dataset()}, records)
    tell(0.99, "Preparing the maps")
    prepare_maps(study, subjects, home)
    tell(1.0, "Evaluated")
    from braindash.runs.results import read_records

    written = read_records(run.path)
    assert written is not None
    return written


def evaluated_subjects(run: Run, study: Study, further: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the subjects that a run is evaluated on: those tuned on, then ``further`` ones.

    Without ``further``, those that an earlier evaluation had stay.
    """
    tuned_on = tuple(run.config.subjects or study.subjects)
    if further is None:
        with contextlib.suppress(BraindashError):  # records that cannot be read are written anew
            further = [s for s in (run.records() or {}).get("subjects", ()) if s in study.subjects]
    return tuple(dict.fromkeys([*tuned_on, *(study.check_subject(s) for s in further or ())]))


def further_subjects(subjects: Sequence[str], tuned_on: Sequence[str]) -> list[str]:
    """Return the sentence that says on whom the model was not tuned, if there is anyone."""
    others = [s for s in subjects if s not in tuned_on]
    if not others:
        return []
    was = "was" if len(others) == 1 else "were"
    return [f"{', '.join(others)} {was} not tuned on, and the mean over subjects leaves them out."]


def own_candidates(run: Run) -> list[Candidate]:
    """Return the pretrained model and the run's own. Raises BraindashError where it has no tuned model."""
    if not (run.model_dir / "braindash_model.json").exists():
        raise BraindashError(
            f"Run {run.id} is {run.status.state} and has no tuned model to evaluate.",
            f"Let it finish: braindash runs resume {run.id}",
        )
    own = "brain_tuned" if run.config.control == "none" else control_name(run.config)
    return [Candidate("pretrained", run.config.model), Candidate(own, run.id)]


def find_candidates(run: Run, home: Home) -> list[Candidate]:
    """Return the pretrained model, the run's own, and its finished matching controls in the order of CONTROL_NAMES.

    Of several runs of one control the newest is taken; one whose model was removed is passed over.
    """
    from braindash.runs.record import RunStore

    found, config = own_candidates(run), run.config
    if config.control != "none":
        return found
    newest: dict[str, str] = {}
    store = RunStore(home)
    for row in store.list():
        if row.id == run.id or row.state != "done" or row.control in ("", "none"):
            continue
        whole = (store.get(row.id).model_dir / "braindash_model.json").exists()
        if whole and row.matching_key == config.matching_key():
            name = record_name(row.control)
            newest[name] = max(newest.get(name, ""), row.id)
    return found + [Candidate(name, newest[name]) for name in in_order(list(newest))]


def control_name(config: TuneConfig) -> str:
    """Return what a control run's model is called in rows: ``block_permuted``."""
    return record_name(config.control)


def describe_controls(candidates: Sequence[Candidate]) -> list[dict[str, str]]:
    """Return the controls among the models: ``model``, ``run``, ``title``, ``explanation``."""
    return [
        {"model": c.name, "run": c.ref, "title": words_of(c.name).title, "explanation": words_of(c.name).explanation}
        for c in candidates
        if c.name not in ("pretrained", "brain_tuned")
    ]


def shared_ceilings(study: Study, subjects: Sequence[str], settings: EncodingConfig) -> dict[str, np.ndarray]:
    """Return ceilings from other subjects where the settings ask for them, or where there are no others.

    All subjects of the study serve, whichever of them were tuned on.
    """
    from braindash.encoding.ceiling import subject_ceilings

    def has_other(subject: str) -> bool:
        targets = study.targets(subject)
        if "noise_ceiling" in targets and targets["noise_ceiling"].notna().any():
            return True
        return any(study.n_repeats(s, subject) > 1 for s in study.stories_of("test", subject))

    if settings.ceiling == "subjects" or (settings.ceiling == "auto" and not all(map(has_other, subjects))):
        return subject_ceilings(study)
    return {}


def choose_regions(targets: pd.DataFrame, groups: Mapping[str, Sequence[str]] | None = None) -> dict[str, np.ndarray]:
    """Return the regions that get rows: named groups, a lab's own ``groups``, then parcels or the study's regions."""
    from braindash.encoding.regions import SYNONYMS, region_groups, region_mask

    masks: dict[str, np.ndarray] = {}
    for name in region_groups(groups):
        if name in SYNONYMS:
            continue
        try:
            masks[name] = region_mask(targets, name, groups)
        except BraindashError:  # the study has no target there
            continue
    own = targets["roi"].fillna("").astype(str)
    for region in own[own != ""].unique().tolist():
        mask = (own == region).to_numpy()
        if mask.sum() >= FEWEST_TARGETS or own.nunique() <= FEW_REGIONS:
            masks.setdefault(str(region), mask)
    return masks


def join_subjects(datasets: Sequence[xr.Dataset]) -> xr.Dataset:
    """Join subjects along ``target``; sums that only intervals need are left out."""
    import xarray as xr

    slim = [d.drop_vars(["yp", "pp", "yy", "unit_story"]) for d in datasets]
    joined = xr.concat(slim, dim="target", join="outer", combine_attrs="drop", data_vars="all")
    for name in ("r", "r2", "r_norm", "r_story"):
        joined[name] = joined[name].astype(np.float32)
    joined["noise_ceiling"].attrs |= {"long_name": "noise ceiling", "units": "correlation"}
    joined["r"].attrs |= {"long_name": "correlation on the test stories", "units": "correlation"}
    joined["r_norm"].attrs |= {"long_name": "correlation / noise ceiling", "units": "share of the ceiling"}
    joined["alpha"].attrs |= {"long_name": "ridge penalty added to X'X"}
    return joined


def _caveats(tuning: TuneConfig, settings: EncodingConfig, study: Study, data: xr.Dataset) -> list[str]:
    from braindash.comparing.bootstrap import FEWEST_UNITS

    said = []
    if tuning.recipe == "head" or tuning.control == "head-only":
        said.append("The recipe trained the read-out alone: the speech model is the pretrained one, by construction.")
    if data.attrs["ceiling"] == "subjects":
        said.append(
            f"Noise ceilings are from the other subjects ({len(study.subjects)} in the study): what listeners share. "
            "They hold for regions, less so for single targets, and leave out what is a subject's own."
        )
    elif settings.ceiling == "none":
        said.append("No noise ceilings were asked for: scores are plain correlations, not normalised.")
    elif not np.isfinite(data["noise_ceiling"].values).any():
        said.append("The study has no repeats and no given ceilings: scores are plain correlations, not normalised.")
    if data.sizes["story"] < 4:
        stories, n = data.sizes["story"], data.sizes["unit"]
        which = "The only test story was" if stories == 1 else f"The {stories} test stories were"
        said.append(
            f"{which} cut into {n} stretches: intervals hold over these, not over stories."
            if n >= FEWEST_UNITS
            else f"{stories} test {'story' if stories == 1 else 'stories'} of so few rows allow no interval."
        )
    return said

"""Measured and predicted responses of a few targets over the test stories, fitted again in a moment.

An evaluation keeps scores, not predictions. The fit is that of the evaluation, for the targets asked for alone,
on features that the evaluation left in the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError, closest

if TYPE_CHECKING:
    from braindash.runs.run import Run


@dataclass(frozen=True, eq=False)
class TimeCourse:
    """One test story of one subject.

    Attributes
    ----------
    story : str
    times : (n_trs,) float64
        Centre of every row in seconds of the audio.
    measured : (n_trs, n_targets) float32
        Z-scored within the story, the mean over repeats.
    predicted : model -> (n_trs, n_targets) float32
        In the same units.
    r : model -> (n_targets,) float64
        Correlation of the two in this story.
    """

    story: str
    times: np.ndarray
    measured: np.ndarray
    predicted: Mapping[str, np.ndarray]
    r: Mapping[str, np.ndarray]


def time_courses(run: Run, models: Sequence[str], layer: int, subject: str, targets: Sequence[int]) -> list[TimeCourse]:
    """Return what was measured and what each model predicts of a few targets in every test story.

    Parameters
    ----------
    run : Run
        Tuned and evaluated.
    models : names as in its results
        "pretrained", "brain_tuned", or a control.
    layer : int
    subject : str
    targets : sequence of int
        Columns of the responses.

    Raises
    ------
    BraindashError
        Where the study, a model, or the features of a story are not there any more.
    """
    from braindash.encoding.encode import predict_targets
    from braindash.encoding.scoring import correlation
    from braindash.features.lags import for_signal
    from braindash.runs.encoding import fitted_stories
    from braindash.studies import open_study

    study = open_study(run.config.study, run.home)
    subject = study.check_subject(subject)
    settings = for_signal(run.config.encoding, study.signal, study.tr)
    train, test = fitted_stories(study, subject)
    found: dict[str, Mapping[str, np.ndarray]] = {}
    measured: dict[str, np.ndarray] = {}
    for name in models:
        courses = predict_targets(
            kept_designs(run, name, layer, subject),
            [(lambda s=s: study.read_responses(s, subject)) for s in train],
            {s: (lambda s=s: study.read_responses(s, subject)) for s in test},
            targets,
            settings,
        )
        found[name] = {s: courses[s]["predicted"].values for s in test}
        measured = {s: courses[s]["observed"].values for s in test}
    return [
        TimeCourse(
            s,
            np.asarray(study.row_times(s, subject), dtype=np.float64),
            measured[s],
            {m: found[m][s] for m in models},
            {m: correlation(measured[s], found[m][s]) for m in models},
        )
        for s in test
    ]


def kept_designs(run: Run, model: str, layer: int, subject: str) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """Return the designs of one layer that an evaluation fitted, from the features that it left in the store.

    Returns
    -------
    list of (n_trs, p) float32, and test story -> the same
        As from `braindash.features.lags.story_designs`.

    Raises
    ------
    BraindashError
        Where the study, the model, or the features of a story are not there any more.
    """
    from braindash.features.identities import identify
    from braindash.features.lags import for_signal, story_designs
    from braindash.features.store import FeatureStore
    from braindash.runs.encoding import fitted_stories
    from braindash.runs.evaluate import find_candidates, own_candidates
    from braindash.studies import open_study

    study = open_study(run.config.study, run.home)
    subject = study.check_subject(subject)
    settings = for_signal(run.config.encoding, study.signal, study.tr)
    refs = {c.name: c.ref for c in own_candidates(run)}
    if model not in refs:  # a control: looked for among all runs
        refs = {c.name: c.ref for c in find_candidates(run, run.home)}
    if model not in refs:
        raise BraindashError(f"The model {model!r} of this run is not here any more.", closest(model, refs))
    train, test = fitted_stories(study, subject)
    store = FeatureStore(run.home)
    known = identify(refs[model], run.home)
    if not 0 <= layer <= known.n_layers:
        raise BraindashError(f"{model!r} of this run has no layer {layer}.", f"Layers are 0 to {known.n_layers}.")
    kept = {s: store.kept(known, study, s, subject, settings.window, layer) for s in (*train, *test)}
    there = {s: values for s, values in kept.items() if values is not None}
    if len(there) < len(kept):
        raise BraindashError(
            f"The features of layer {layer} are not kept for {len(kept) - len(there)} of {len(kept)} stories.",
            f"Make them again: braindash evaluate {run.id}",
        )
    return story_designs(lambda story: np.asarray(there[story]), train, test, settings)

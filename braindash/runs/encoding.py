"""The steps of an evaluation that take the time: features of every story, fits of every layer.

Both are kept by what they were made from, so the steps can be taken in one process or by the
jobs of a cluster, each with a part of them; joining finds them made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from braindash.config import EncodingConfig, Home
from braindash.encoding.layer_fit import Fits, LayerKey
from braindash.errors import BraindashError
from braindash.runs.parts import FitStore, StoredFits

if TYPE_CHECKING:
    import xarray as xr

    from braindash.features.store import FeatureStore
    from braindash.speech.base import SpeechModel
    from braindash.studies.base import Study

Progress = Callable[[float, str], None]
LayerSource = Callable[[], tuple[list[np.ndarray], dict[str, np.ndarray]]]


def layer_keys(models: Mapping[str, SpeechModel], settings: EncodingConfig) -> list[LayerKey]:
    """Return every (model, layer) that the settings ask for."""
    return [
        (name, layer)
        for name, model in models.items()
        for layer in range(model.n_layers + 1)
        if settings.layers is None or layer in settings.layers
    ]


def fitted_stories(study: Study, subject: str) -> tuple[list[str], list[str]]:
    """Return the stories that a subject's layers are fitted on and scored on.

    Raises
    ------
    BraindashError
        Where it has too few of either.
    """
    train = [*study.stories_of("tune", subject), *study.stories_of("validation", subject)]
    test = list(study.stories_of("test", subject))
    study.split.refuse_test(train, "Fitting the encoding model")
    if not test or len(train) < 2:
        raise BraindashError(
            f"Subject {subject!r} heard {len(test)} test and {len(train)} other stories; 1 and 2 are needed.",
            "Choose a split that gives it both (study check shows what it heard).",
        )
    return train, test


def subject_fits(
    home: Home, models: Mapping[str, SpeechModel], study: Study, subject: str, settings: EncodingConfig
) -> StoredFits:
    """Return the fits that are kept for one subject: see `FitStore.of_subject`."""
    from braindash.features.lags import for_signal

    train, test = fitted_stories(study, subject)
    settled = for_signal(settings, study.signal, study.tr)
    return FitStore(home).of_subject(study, subject, train, test, settled, models)


def extract_features(
    store: FeatureStore,
    models: Mapping[str, SpeechModel],
    study: Study,
    missing: Mapping[str, Collection[LayerKey]],
    settings: EncodingConfig,
    tell: Progress,
) -> None:
    """Fill the feature store with what ``missing`` (subject -> model and layer) needs, story by story."""
    layers = {
        name: sorted({layer for keys in missing.values() for model, layer in keys if model == name}) for name in models
    }
    work = [
        (name, story, subject)
        for name in models
        if layers[name]
        for story in study.stories
        for subject in first_listeners(
            study, [s for s, keys in missing.items() if any(k[0] == name for k in keys)], story
        )
    ]
    for i, (name, story, subject) in enumerate(work):
        tell(i / len(work), f"Features of {name.replace('_', ' ')}: {story}")
        store.get(models[name], study, story, subject, settings.window, layers=layers[name])


def first_listeners(study: Study, subjects: Sequence[str], story: str) -> list[str]:
    """Return one subject for each distinct set of row times: the others share its features."""
    firsts: dict[bytes, str] = {}
    for subject in subjects:
        if story in study.heard(subject):
            firsts.setdefault(np.asarray(study.row_times(story, subject)).tobytes(), subject)
    return list(firsts.values())


def _sources(
    store: FeatureStore,
    models: Mapping[str, SpeechModel],
    study: Study,
    subject: str,
    stories: tuple[list[str], list[str]],
    settings: EncodingConfig,
) -> dict[LayerKey, LayerSource]:
    """Return for each layer a function that reads its features and makes its designs."""
    from braindash.features.lags import story_designs

    def source(model: SpeechModel, layer: int) -> LayerSource:
        def read(story: str) -> np.ndarray:
            return np.asarray(store.get(model, study, story, subject, settings.window, layers=(layer,))[0])

        return lambda: story_designs(read, *stories, settings)

    return {(name, layer): source(models[name], layer) for name, layer in layer_keys(models, settings)}


def _responses(
    study: Study, subject: str, train: Sequence[str], test: Sequence[str]
) -> tuple[list[Any], dict[str, Any]]:
    return (
        [(lambda s=s: study.read_responses(s, subject)) for s in train],
        {s: (lambda s=s: study.read_responses(s, subject)) for s in test},
    )


def fit_part(
    store: FeatureStore,
    models: Mapping[str, SpeechModel],
    study: Study,
    subject: str,
    settings: EncodingConfig,
    fits: StoredFits,
) -> int:
    """Fit what ``settings.layers`` of ``models`` still lacks for one subject, and keep it; return how many layers."""
    from braindash.encoding.encode import fit_layers, prepare
    from braindash.features.lags import for_signal, unit_rows

    settled = for_signal(settings, study.signal, study.tr)
    missing = fits.check(layer_keys(models, settings))
    if not missing:
        return 0
    train, test = fitted_stories(study, subject)
    prepared = prepare(
        *_responses(study, subject, train, test),
        study.targets(subject),
        study.usable(subject),
        unit_rows(settled, study.signal),
    )
    sources = _sources(store, models, study, subject, (train, test), settled)
    fit_layers([(*key, sources[key]) for key in missing], prepared, settled, fits)
    return len(missing)


def encode_one(
    store: FeatureStore,
    models: Mapping[str, SpeechModel],
    study: Study,
    subject: str,
    settings: EncodingConfig,
    progress: Callable[[int, int, str], None] | None = None,
    *,
    shared_ceiling: np.ndarray | None = None,
    fits: Fits | None = None,
) -> xr.Dataset:
    """Encode one subject with every layer of every model: see `encode_subject`."""
    from braindash.encoding.encode import encode_subject
    from braindash.features.lags import for_signal, unit_rows

    settings = for_signal(settings, study.signal, study.tr)
    train, test = fitted_stories(study, subject)
    features: dict[str, dict[int, LayerSource]] = {name: {} for name in models}
    for (name, layer), source in _sources(store, models, study, subject, (train, test), settings).items():
        features[name][layer] = source
    repeats = [study.read_repeats(s, subject) for s in test]
    with_repeats = [r for r in repeats if r is not None and len(r) > 1]
    return encode_subject(
        features,
        *_responses(study, subject, train, test),
        study.targets(subject),
        settings,
        subject=subject,
        repeats=with_repeats or None,
        shared_ceiling=shared_ceiling,
        usable=study.usable(subject),
        unit_rows=unit_rows(settings, study.signal),
        fits=fits,
        progress=progress,
    )

"""What evaluating a run will cost: features of every layer of its models, and the regressions on them.

A piece of the features is computed; a smaller regression of the same shape is solved on noise, for two
numbers of targets, and scaled up.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from braindash.config import EncodingConfig, TuneConfig
from braindash.tuning.sketch import factor_of

if TYPE_CHECKING:
    from braindash.speech.base import SpeechModel
    from braindash.studies.base import Study

N_MODELS = 2  # the pretrained and the run's own; finished controls come on top
SOUND = 40.0  # seconds of audio whose features are timed
FEW, MANY = 256, 768  # targets of the two regressions
N_TASKS, PROBED = 12, 4000  # probe tasks that stories with words and phones allow; examples of one
DECOMPOSITIONS = 8  # that the folds of a probe and the choice of its penalty come to, measured on the demo


def evaluation_seconds(study: Study, model: SpeechModel, config: TuneConfig) -> float:
    """Return about how long the evaluation after tuning takes, in seconds, with nothing in the feature store."""
    from braindash.features.lags import for_signal

    settings = for_signal(config.encoding, study.signal, study.tr)
    subjects = tuple(config.subjects or study.subjects)
    layers = model.check_layers(settings.layers)
    n_fits = N_MODELS * len(layers) - sum(k <= first_block(model, config) for k in layers)
    regressions = n_fits * sum(regression_seconds(study, s, model.width, settings) for s in subjects)
    return features_seconds(study, model, subjects, settings) + regressions


def first_block(model: SpeechModel, config: TuneConfig) -> int:
    """Return the first tuned block: layers up to it are those of the pretrained model, and fitted once."""
    from braindash.tuning.recipes import resolve_layer
    from braindash.tuning.recipes.lora import resolve_first_block

    layer = resolve_layer(model, config)
    if config.recipe == "lora":
        return resolve_first_block(config, layer)
    return config.full.first_block if config.recipe == "full" else model.n_layers


def features_seconds(study: Study, model: SpeechModel, subjects: Sequence[str], settings: EncodingConfig) -> float:
    """Return how long all layers of all stories take for all models; subjects with the same rows share them."""
    from braindash.features.windows import extract

    rows: dict[tuple[str, bytes], int] = {}
    for subject in subjects:
        for story in study.heard(subject):
            times = np.asarray(study.row_times(story, subject), dtype=np.float64)
            rows[story, times.tobytes()] = len(times)
    story = study.stories_of("tune", subjects[0])[0]
    times = np.asarray(study.row_times(story, subjects[0]), dtype=np.float64)
    piece = times[times + study.tr / 2 <= max(SOUND, times[0] + study.tr)]
    piece = piece if len(piece) else times[:1]
    audio = study.audio(story)[: round((piece[-1] + study.tr / 2) * model.sample_rate)]
    extract(model, audio[: 2 * model.min_samples], piece[:1], study.tr, settings.window, [0])  # warm-up
    began = time.perf_counter()
    extract(model, audio, piece, study.tr, settings.window, settings.layers)
    return N_MODELS * (time.perf_counter() - began) * sum(rows.values()) / len(piece)


def regression_seconds(study: Study, subject: str, width: int, settings: EncodingConfig) -> float:
    """Return how long one layer of one subject takes to fit and score."""
    if study.signal != "bold" and settings.lag_components is not None:
        width = min(width, settings.lag_components)
    n_inputs = width * len(settings.delays)
    factor = factor_of(n_inputs)
    n_targets = max(1, len(study.targets(subject)) // factor)
    few, many = min(FEW, n_targets), min(MANY, n_targets)
    seconds = {v: _solve(study, subject, max(1, n_inputs // factor), factor, v, settings) for v in (few, many)}
    slope = max(0.0, (seconds[many] - seconds[few]) / (many - few)) if many > few else 0.0
    return factor**3 * (seconds[many] + slope * (n_targets - many))


def _solve(study: Study, subject: str, n_inputs: int, factor: int, n_targets: int, settings: EncodingConfig) -> float:
    import pandas as pd

    from braindash.encoding.encode import encode_subject

    rng = np.random.default_rng(0)

    def noise(stories: Sequence[str], columns: int) -> list[np.ndarray]:
        lengths = [max(5, len(study.row_times(story, subject)) // factor) for story in stories]
        return [rng.standard_normal((n, columns), dtype=np.float32) for n in lengths]

    train = [*study.stories_of("tune", subject), *study.stories_of("validation", subject)]
    test = list(study.stories_of("test", subject))
    X, Y = noise(train, n_inputs), noise(train, n_targets)
    held, seen = (dict(zip(test, noise(test, n), strict=True)) for n in (n_inputs, n_targets))
    table = pd.DataFrame({"name": [str(k) for k in range(n_targets)], "hemi": "", "roi": ""})
    one = settings.model_copy(update={"layers": None, "ceiling": "none"})
    began = time.perf_counter()
    encode_subject({"pretrained": {0: (X, held)}}, Y, seen, table, one, subject=subject)
    return time.perf_counter() - began


def analyses_seconds(study: Study, model: SpeechModel, analyses: Sequence[str] = ("probe", "rsa")) -> float:
    """Return about how long probes and RSA take after the encoding, in seconds: mostly the models' forward passes.

    Roughly: which tasks the stories allow, and how many examples they give, is known only when they are probed.
    """
    if not analyses:
        return 0.0
    from braindash.features.spans import CONTEXT, MARGIN, pool_spans
    from braindash.runs.probing import MAX_MINUTES

    n = round(CONTEXT * model.sample_rate)
    sound = np.zeros(n, dtype=np.float32)
    pool_spans(model, sound[: n // 4], np.array([[0.0, 1.0]]), [0])  # warm-up
    began = time.perf_counter()
    pool_spans(model, sound, np.array([[0.0, CONTEXT / 2]]))
    window = (time.perf_counter() - began) / (CONTEXT - 2 * MARGIN)  # seconds a second of sound
    heard = min(sum(s.duration for s in study.stories.values()), 60 * MAX_MINUTES)
    tested = sum(study.story(s).duration for s in study.stories_of("test"))
    probed = N_MODELS + 1 if "probe" in analyses else 0  # the untrained model is probed as well
    passes = window * (probed * heard + (N_MODELS * tested if "rsa" in analyses else 0))
    return passes + (probed * (model.n_layers + 1) * N_TASKS * _probe_seconds(model.width) if probed else 0)


def _probe_seconds(width: int) -> float:
    """Return how long one probe of one layer takes: a product and a few decompositions of its width, timed."""
    X = np.random.default_rng(0).standard_normal((PROBED, width)).astype(np.float32)
    began = time.perf_counter()
    np.linalg.eigh((X.T @ X).astype(np.float64))
    return DECOMPOSITIONS * (time.perf_counter() - began)

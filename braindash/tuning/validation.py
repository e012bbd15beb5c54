"""How good a model is on the validation stories, judged without the head it was trained with (and with it).

A co-trained head can make up for what the encoder lacks, and the encoder for a bad
head. The epoch is therefore chosen by what the final evaluation does: freeze the
features, fit a fresh ridge to the tuning stories, predict the validation stories.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from braindash.config import TuneConfig
from braindash.tuning.data import TuningData

MOST_TARGETS = 2000  # a subject; a mean over more targets orders epochs no better and costs more
N_FOLDS_OF_ONE_STORY = 4


@dataclass(frozen=True)
class Score:
    """Mean over targets of the correlation on the validation stories, averaged over subjects, and each subject's."""

    r: float
    by_subject: dict[str, float]


def fresh_ridge(
    pooled: Callable[[str, str], np.ndarray],
    rows_of: Callable[[str, str], Hashable],
    data: TuningData,
    config: TuneConfig,
    device: str,
) -> Score:
    """Fit ridge to frozen features of the tuning stories and score the validation stories.

    Features are z-scored per story and delayed per story (``config.encoding.delays``; for electrodes
    reduced and lagged, as the final evaluation does);
    the penalty is chosen per target on the tuning stories, one story left out at a time.

    Parameters
    ----------
    pooled : callable
        ``pooled(story, subject) -> (n_trs, width)`` float32.
    rows_of : callable
        ``rows_of(story, subject)``: equal for subjects whose rows lie at the same times.
    data : TuningData
    config : TuneConfig
    device : str
        Type of the device that trains. On a CPU the solver is always the same one (and not the
        faster of two as measured then), so that a resumed run repeats every digit.
    """
    from braindash.encoding.ridge import StoryRidgeCV
    from braindash.encoding.scoring import correlation
    from braindash.features.lags import for_signal, story_designs

    settings = for_signal(config.encoding, data.study.signal, data.study.tr)
    # Subjects with the same stories and rows share one decomposition.
    groups: dict[Hashable, list[str]] = {}
    for s in data.subjects:
        stories = (*data.tune[s], *data.validation[s])
        groups.setdefault(tuple((story, rows_of(story, s)) for story in stories), []).append(s)

    by_subject: dict[str, float] = {}
    for members in groups.values():
        first = members[0]
        chosen = {s: sampled(data.n_targets[s]) for s in members}

        def read(story: str, subject: str = first) -> np.ndarray:
            return pooled(story, subject)

        def responses(
            stories: tuple[str, ...], subjects: list[str] = members, index: Mapping[str, np.ndarray] = chosen
        ) -> list[np.ndarray]:
            return [
                np.concatenate([data.responses(story, s)[:, index[s]] for s in subjects], axis=1) for story in stories
            ]

        train, held = story_designs(read, data.tune[first], data.validation[first], settings)
        X, Y = at_least_two(train, responses(data.tune[first]))
        ridge = StoryRidgeCV(config.encoding.alphas, device="cuda" if device == "cuda" else "numpy").fit(X, Y)
        predicted = np.concatenate([ridge.predict(held[story]) for story in data.validation[first]])
        r = correlation(np.concatenate(responses(data.validation[first])), predicted)
        at = 0
        for s in members:
            own = np.asarray(r[at : at + len(chosen[s])], dtype=np.float64)
            at += len(chosen[s])
            # A prediction that is flat has no correlation: it explains nothing, and counts as 0.
            by_subject[s] = float(np.where(np.isfinite(own), own, 0.0).mean())
    ordered = {s: by_subject[s] for s in data.subjects}
    return Score(float(np.mean(list(ordered.values()))), ordered)


def score_of(predicted: Callable[[str, str], np.ndarray], data: TuningData) -> Score:
    """Return the score of given predictions of the validation stories.

    Parameters
    ----------
    predicted : callable
        ``predicted(story, subject) -> (n_trs, n_targets)``.
    data : TuningData
    """
    from braindash.encoding.scoring import correlation

    by_subject = {}
    for s in data.subjects:
        P = np.concatenate([predicted(story, s) for story in data.validation[s]])
        r = correlation(np.concatenate([data.responses(story, s) for story in data.validation[s]]), P)
        by_subject[s] = float(np.where(np.isfinite(r), r, 0.0).mean())
    return Score(float(np.mean(list(by_subject.values()))), by_subject)


def sampled(n: int, most: int = MOST_TARGETS) -> np.ndarray:
    """Return at most ``most`` of ``n`` targets, evenly spaced: int64 indices."""
    return np.arange(n) if n <= most else np.linspace(0, n - 1, most).round().astype(np.int64)


def at_least_two(X: list[np.ndarray], Y: list[np.ndarray]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the stories, a single one cut into consecutive parts, so that one can be left out."""
    if len(X) > 1:
        return X, Y
    edges = np.linspace(0, len(X[0]), N_FOLDS_OF_ONE_STORY + 1).round().astype(int)
    spans = [slice(a, b) for a, b in pairwise(edges)]
    return [X[0][s] for s in spans], [Y[0][s] for s in spans]

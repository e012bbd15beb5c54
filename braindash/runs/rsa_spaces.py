"""What else was heard in every condition of an RSA: sound, articulation, phones, words a second, word meaning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError
from braindash.runs.rsa_conditions import Conditions

if TYPE_CHECKING:
    import pandas as pd

    from braindash.rsa import Patterns
    from braindash.studies.base import Story, Study

TITLES = {
    "spectral": "Sound spectrum",
    "articulatory": "Articulation",
    "phones": "Phones",
    "word_rate": "Word rate",
    "meaning": "Word meaning",
}
NARROW = 3  # channels: with fewer there is no direction to correlate, and distances are taken

# onsets of a story's events, and what each adds to the condition that it falls in: (n,), (n, width)
Events = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Spaces:
    """RDMs of feature spaces over the conditions of an RSA.

    Attributes
    ----------
    patterns : mapping of a space's name to its prepared patterns
    metrics : mapping of a space's name to its dissimilarity
    left_out : list of {"space", "why"}
    """

    patterns: dict[str, Patterns]
    metrics: dict[str, str]
    left_out: list[dict[str, str]]


def choose_spaces(
    study: Study, conditions: Conditions, mel: np.ndarray, metric: str, vectors: Path | None = None
) -> Spaces:
    """Return the RDM of every feature space that the test stories have data for, and why others have none.

    Parameters
    ----------
    study : Study
    conditions : Conditions
    mel : (n_conditions, n_bands) array
        Log-mel spectra (`braindash.runs.rsa_conditions.mel_patterns`).
    metric : str
        Of the layers; spaces of fewer than 3 channels take "euclidean".
    vectors : Path, optional
        Static word vectors; those that come with the study by default.
    """
    from braindash.rsa import prepare

    file = vectors or study.word_vectors
    filled: dict[str, Callable[[], np.ndarray]] = {
        "spectral": lambda: mel,
        "articulatory": lambda: _rates(study, conditions, _articulation),
        "phones": lambda: _rates(study, conditions, _phones),
        "word_rate": lambda: _rates(study, conditions, _words),
        "meaning": lambda: _meaning(study, conditions, file),
    }
    found = Spaces({}, {}, [])
    for name, fill in filled.items():
        if name == "word_rate" and conditions.unit == "word":
            found.left_out.append({"space": name, "why": "Every condition is one word."})
            continue
        try:
            values = standardised(fill())
            used = metric if values.shape[1] >= NARROW else "euclidean"
            found.patterns[name] = prepare(values, used)
            found.metrics[name] = used
        except BraindashError as error:
            found.left_out.append({"space": name, "why": error.what})
    return found


def standardised(values: np.ndarray) -> np.ndarray:
    """Return channels with mean 0 and spread 1 over conditions, so that a few large ones do not decide.

    Parameters
    ----------
    values : (n_conditions, width) array
        Channels that do not vary are left out.

    Raises
    ------
    BraindashError
        Where no channel varies.
    """
    spread = values.std(axis=0)
    kept = spread > 1e-8 * max(float(spread.max(initial=0.0)), 1e-300)
    if not kept.any():
        raise BraindashError("It does not vary over conditions.", "Use other conditions.")
    return np.asarray((values[:, kept] - values[:, kept].mean(axis=0)) / spread[kept])


def _rates(study: Study, conditions: Conditions, events: Callable[[Story], Events]) -> np.ndarray:
    """Return what falls in every condition, the mean of its occurrences: (n_conditions, width)."""
    total: np.ndarray | None = None
    for story in conditions.stories:
        onsets, weights = events(study.story(story))
        order = np.argsort(onsets, kind="stable")
        running = np.concatenate([np.zeros((1, weights.shape[1])), np.cumsum(weights[order], axis=0)])
        total = np.zeros((len(conditions.labels), weights.shape[1])) if total is None else total
        own = conditions.of_story(story)
        spans = conditions.spans[own]
        first, last = (np.searchsorted(onsets[order], spans[:, side] - 1e-9) for side in (0, 1))
        # of words, what they are made of; of stretches of time, what there is in a second
        seconds = 1.0 if conditions.unit == "word" else np.maximum(spans[:, 1] - spans[:, 0], 1e-3)[:, None]
        np.add.at(total, conditions.condition[own], (running[last] - running[first]) / seconds)
    assert total is not None  # conditions come from a story or more
    return total / conditions.counts()[:, None]


def _words(story: Story) -> Events:
    words = _needs(story, "words")
    spoken = words[words["text"].astype(str).str.strip() != ""]
    return spoken["onset"].to_numpy(float), np.ones((len(spoken), 1))


def _articulation(story: Story) -> Events:
    from braindash.encoding.spaces import ARTICULATION

    return _marked(story, ARTICULATION)


def _phones(story: Story) -> Events:
    from braindash.encoding.spaces import PHONES

    return _marked(story, {p: frozenset([p]) for p in PHONES})


def _marked(story: Story, classes: Mapping[str, frozenset[str]]) -> Events:
    phones = _needs(story, "phones")
    marks = phones["text"].astype(str).str.strip().str.upper().str.replace(r"\d$", "", regex=True)
    weights = np.array([[m in members for members in classes.values()] for m in marks], dtype=np.float64)
    return phones["onset"].to_numpy(float), weights


def _meaning(study: Study, conditions: Conditions, file: Path | None) -> np.ndarray:
    from braindash.encoding.spaces import plain_word, read_vectors

    if file is None:
        raise BraindashError("There are no word vectors.", "Give a file of word vectors.")
    heard = {s: _needs(study.story(s), "words") for s in conditions.stories}
    plain = {s: [plain_word(str(w)) for w in t["text"]] for s, t in heard.items()}
    vectors = read_vectors(file, sorted({w for words in plain.values() for w in words}))
    if not vectors:
        raise BraindashError(f"No word of the test stories has a vector in {file.name}.", "Give other vectors.")
    nothing = np.zeros(len(next(iter(vectors.values()))))

    def events(story: Story) -> Events:
        return heard[story.name]["onset"].to_numpy(float), np.stack(
            [vectors.get(w, nothing) for w in plain[story.name]]
        )

    return _rates(study, conditions, events)


def _needs(story: Story, table: str) -> pd.DataFrame:
    found = getattr(story, table)
    if found is None or not len(found):
        raise BraindashError(f"Story {story.name!r} has no {table} with their times.", "Add a TextGrid.")
    return found

"""How loud speech is."""

from __future__ import annotations

import numpy as np

from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.sound import acoustic_examples, level_db


def _measure(audio: np.ndarray, spans: np.ndarray) -> np.ndarray:
    return level_db(audio, spans)[:, None]


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return the level of spans of 40 ms, in dB of the recording's mean power."""
    return acoustic_examples(corpus, limits, _measure, ("dB",))


TASK = Task(
    "intensity",
    "Intensity",
    "The level in dB, against the recording's mean, from the layer's state over the same 40 ms; silence is left out.",
    "regression",
    "acoustic",
    make,
)

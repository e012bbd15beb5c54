"""The pitch of voiced speech."""

from __future__ import annotations

import numpy as np

from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.sound import acoustic_examples, pitch_hz

UNVOICED = "not voiced"


def _measure(audio: np.ndarray, spans: np.ndarray) -> np.ndarray:
    return np.log2(pitch_hz(audio, spans))[:, None]


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return the fundamental frequency, log2 of Hz, of the voiced spans of 40 ms."""
    return acoustic_examples(corpus, limits, _measure, ("log2 Hz",), without=UNVOICED, spare=3)


TASK = Task(
    "pitch",
    "Pitch",
    "The logarithm of the fundamental frequency (YIN, 65 to 500 Hz, in the 64 ms around it) from the layer's state "
    "over 40 ms; silence and unvoiced sound are left out.",
    "regression",
    "acoustic",
    make,
)

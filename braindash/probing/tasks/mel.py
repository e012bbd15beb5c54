"""The spectrum: log power in mel bands."""

from __future__ import annotations

import numpy as np

from braindash.probing.base import Corpus, Examples, Limits, Task
from braindash.probing.sound import acoustic_examples, mel_db

N_MELS = 40


def _measure(audio: np.ndarray, spans: np.ndarray) -> np.ndarray:
    return mel_db(audio, spans, N_MELS)


def make(corpus: Corpus, limits: Limits) -> Examples:
    """Return the power of 40 mel bands, in dB, of spans of 40 ms."""
    return acoustic_examples(corpus, limits, _measure, tuple(f"mel band {i}" for i in range(N_MELS)))


TASK = Task(
    "mel",
    "Spectrum (mel)",
    "The power in 40 mel bands, in dB, from the layer's state over the same 40 ms; silence is left out.",
    "regression",
    "acoustic",
    make,
)

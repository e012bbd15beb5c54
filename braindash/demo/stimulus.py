"""What the simulated subjects respond to: sound, phones and word meanings, and a haemodynamic response.

Features are on a grid of ``BIN`` seconds; bin *i* covers ``[i, i + 1) * BIN``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pandas as pd

BIN = 0.1  # seconds
RATE = 16_000
N_BANDS = 16
FLOOR_DB = -60.0  # quieter than this below the story's loudest band counts as silence

_CLASSES: dict[str, str] = {
    "bilabial": "B P M W",
    "labiodental": "F V",
    "dental": "DH TH",
    "alveolar": "D T N S Z L",
    "postalveolar": "CH JH SH ZH R Y",
    "velar": "G K NG W",
    "glottal": "HH",
    "stop": "B P D T G K CH JH",
    "fricative": "F V DH TH S Z SH ZH HH CH JH",
    "nasal": "M N NG",
    "approximant": "W R Y L ER",
    "front": "IY IH EH EY AE AY OY",
    "back": "AA AO OW UH UW AW OY ER",
    "high": "IY IH UH UW EY",
    "low": "AA AE AH AY AW",
}
PHONETIC_CLASSES: tuple[str, ...] = tuple(_CLASSES)
PHONES: dict[str, tuple[int, ...]] = {
    phone: tuple(i for i, members in enumerate(_CLASSES.values()) if phone in members.split())
    for phone in sorted({p for members in _CLASSES.values() for p in members.split()})
}


def n_bins(duration: float) -> int:
    return round(duration / BIN)


def acoustic(audio: np.ndarray, n: int) -> np.ndarray:
    """Return the log power in 16 mel bands, dB above the floor: (n, 16), mean over each bin's frames.

    Parameters
    ----------
    audio : (n_samples,) float32
        16 kHz mono.
    n : int
        Number of bins.
    """
    import librosa

    hop = RATE // 100
    power = librosa.feature.melspectrogram(
        y=audio, sr=RATE, n_fft=400, hop_length=hop, n_mels=N_BANDS, fmin=80, fmax=7600, power=2.0
    )
    db = librosa.power_to_db(power, ref=float(power.max()), top_db=-FLOOR_DB).T - FLOOR_DB
    per_bin = round(BIN * 100)
    need = n * per_bin
    db = np.pad(db, ((0, max(0, need - len(db))), (0, 0)))[:need]
    return db.reshape(n, per_bin, N_BANDS).mean(1).astype(np.float64)


def held(table: pd.DataFrame, values: Mapping[str, np.ndarray], n: int, width: int) -> np.ndarray:
    """Return each interval's value, held from onset to offset and averaged over every bin: (n, width).

    A bin that an interval covers by half gets half of its value; texts that are
    not in ``values`` contribute nothing.
    """
    out = np.zeros((n, width))
    edges = np.arange(n + 1) * BIN
    for text, onset, offset in zip(table["text"], table["onset"], table["offset"], strict=True):
        value = values.get(text)
        if value is None:
            continue
        first, last = int(onset / BIN), min(n - 1, int(offset / BIN))
        for i in range(first, last + 1):
            share = (min(offset, edges[i + 1]) - max(onset, edges[i])) / BIN
            if share > 0:
                out[i] += share * value
    return out


def phonetic(phones: pd.DataFrame, n: int) -> np.ndarray:
    """Return the share of every bin in each of 15 articulatory classes: (n, 15)."""
    width = len(PHONETIC_CLASSES)
    values = {p: np.isin(np.arange(width), members).astype(float) for p, members in PHONES.items()}
    return held(phones, values, n, width)


def semantic(words: pd.DataFrame, vectors: Mapping[str, np.ndarray], n: int) -> np.ndarray:
    """Return the meaning components of the content word being said, 0 between them: (n, n_components)."""
    return held(words, vectors, n, len(next(iter(vectors.values()))))


def word_rate(words: pd.DataFrame, n: int) -> np.ndarray:
    """Return the number of words that begin in each bin: (n, 1)."""
    starts = (words["onset"].to_numpy()[words["text"].to_numpy() != ""] / BIN).astype(int)
    return np.bincount(starts[starts < n], minlength=n)[:, None].astype(float)


def double_gamma(times: np.ndarray, delay: float = 0.0) -> np.ndarray:
    """Return the canonical double-gamma haemodynamic response at ``times`` (s), shifted by ``delay`` s.

    h(t) = t^5 e^-t / 5! - (1/6) t^15 e^-t / 15!  (peak near 5 s, undershoot near 15 s; Friston et al. 1998,
    NeuroImage 7:30-40, with the conventional SPM parameters).
    """
    t = np.maximum(np.asarray(times, float) - delay, 0.0)
    return t**5 * np.exp(-t) / math.factorial(5) - t**15 * np.exp(-t) / math.factorial(15) / 6.0


def to_rows(features: np.ndarray, tr: float, n_trs: int, delay: float = 0.0) -> np.ndarray:
    """Convolve features with the haemodynamic response and read them at the rows' centres: (n_trs, width)."""
    from scipy.signal import fftconvolve

    kernel = double_gamma((np.arange(round(32.0 / BIN)) + 0.5) * BIN, delay) * BIN
    slow = fftconvolve(features, kernel[:, None], axes=0)[: len(features)]
    at = np.round((np.arange(n_trs) + 0.5) * tr / BIN).astype(int) - 1  # the last bin before the centre
    return slow[np.minimum(at, len(slow) - 1)]

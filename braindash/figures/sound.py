"""A story's sound at the size of a screen: its outline and its spectrum over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from braindash.errors import BraindashError

RATE = 16_000  # Hz
LEAST_COLUMN = 0.02  # seconds of the sound in one column: what a screen shows when zoomed in
MOST_COLUMNS = 12_000  # a picture that every browser can draw
N_MELS = 64
LOWEST = 50.0  # Hz
TICKS = (100, 500, 1000, 2000, 4000)  # Hz, named beside the spectrum


@dataclass(frozen=True, eq=False)
class Spectrum:
    """What `spectrogram` returns.

    Attributes
    ----------
    levels : (n_mels, n_columns) uint8
        From 0 (80 dB below the loudest) to 255 (the loudest); the lowest band first.
    ticks : (height, Hz)
        Where frequencies lie, from 0 (bottom) to 1 (top).
    """

    levels: np.ndarray
    ticks: tuple[tuple[float, int], ...]


def n_columns(n_samples: int) -> int:
    """Return into how many columns a sound is drawn: one every 20 ms, at most 12,000."""
    return max(1, min(MOST_COLUMNS, round(n_samples / RATE / LEAST_COLUMN)))


def outline(audio: np.ndarray, n: int) -> np.ndarray:
    """Return the least and the greatest sample of each of ``n`` equal stretches.

    Parameters
    ----------
    audio : (n_samples,) float32

    Returns
    -------
    (2, n) int8
        Least first, in 127ths of the story's largest absolute sample; 0 where all is silent.
    """
    _check(audio)
    edges = np.minimum(np.arange(n) * len(audio) // n, len(audio) - 1)
    low, high = np.minimum.reduceat(audio, edges), np.maximum.reduceat(audio, edges)
    peak = float(np.abs(audio).max()) or 1.0
    return np.stack([np.floor(127 * low / peak), np.ceil(127 * high / peak)]).astype(np.int8)


def spectrogram(audio: np.ndarray, n: int) -> Spectrum:
    """Return the power in 64 mel bands (50 Hz to 8 kHz), mean over each of ``n`` equal stretches, in dB.

    The bands are those of `braindash.encoding.spaces.mel_power`, 32 there.

    Parameters
    ----------
    audio : (n_samples,) float32, 16 kHz
    """
    from librosa import hz_to_mel

    from braindash.encoding.spaces import FLOOR_DB, mel_power

    _check(audio)
    width = len(audio) / RATE / n
    heights = [(float(h), hz) for hz, h in zip(TICKS, _height(hz_to_mel, np.array(TICKS, float)), strict=True)]
    if not np.any(audio):
        return Spectrum(np.zeros((N_MELS, n), dtype=np.uint8), tuple(heights))
    db = mel_power(audio, (np.arange(n) + 0.5) * width, width, n_mels=N_MELS).values
    levels = np.round(255 * (1 - np.clip(db / FLOOR_DB, 0, 1))).astype(np.uint8)
    return Spectrum(np.ascontiguousarray(levels.T), tuple(heights))


def _height(hz_to_mel: object, hz: np.ndarray) -> np.ndarray:
    low, high = (float(hz_to_mel(f)) for f in (LOWEST, RATE / 2))  # type: ignore[operator]
    return np.asarray((hz_to_mel(hz) - low) / (high - low))  # type: ignore[operator]


def _check(audio: np.ndarray) -> None:
    if audio.ndim != 1 or not len(audio):
        raise BraindashError(f"The sound has shape {audio.shape}.", "Give one channel with at least one sample.")

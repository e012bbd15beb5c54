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
WINDOW, HOP = 400, 160  # samples of a spectrum and from one to the next: 25 ms, 10 ms
BLOCK = 2000  # spectra at a time: 6 MB
FLOOR_DB = -80.0  # below the loudest band: silence
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

    Hann windows of 25 ms every 10 ms; triangular bands of equal area on Slaney's mel scale.

    Parameters
    ----------
    audio : (n_samples,) float32, 16 kHz
    """
    _check(audio)
    ticks = tuple((float(h), hz) for h, hz in zip(_height(np.array(TICKS, dtype=float)), TICKS, strict=True))
    if not np.any(audio):
        return Spectrum(np.zeros((N_MELS, n), dtype=np.uint8), ticks)
    bank, taper = _bands(), np.hanning(WINDOW + 1)[:-1].astype(np.float32)
    padded = np.pad(np.asarray(audio, dtype=np.float32), (WINDOW // 2, WINDOW // 2 + HOP))
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[: len(audio) + 1 : HOP]
    power = np.empty((len(windows), N_MELS), dtype=np.float32)
    for a in range(0, len(windows), BLOCK):
        spectra = np.abs(np.fft.rfft(windows[a : a + BLOCK] * taper, axis=1)) ** 2
        power[a : a + BLOCK] = spectra @ bank.T
    db = 10 * np.log10(np.maximum(power / power.max(), 1e-30))
    # of windows centred at i·HOP, those whose centre lies in a stretch; one at least
    edges = np.minimum(np.ceil(np.arange(n) * (len(audio) / n / HOP)).astype(int), len(db) - 1)
    counts = np.maximum(np.diff(np.append(edges, len(db))), 1)
    mean = np.add.reduceat(np.maximum(db, FLOOR_DB), edges, axis=0) / counts[:, None]
    levels = np.round(255 * (1 - mean / FLOOR_DB)).astype(np.uint8)
    return Spectrum(np.ascontiguousarray(levels.T), ticks)


def _bands() -> np.ndarray:
    """Return triangles over the frequencies of a window's spectrum: (n_mels, WINDOW // 2 + 1)."""
    low, high = _mel(np.array([LOWEST, RATE / 2]))
    edges = _hertz(np.linspace(low, high, N_MELS + 2))
    hz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    up = (hz - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    down = (edges[2:, None] - hz) / (edges[2:] - edges[1:-1])[:, None]
    area = 2 / (edges[2:] - edges[:-2])
    return np.asarray(np.maximum(0, np.minimum(up, down)) * area[:, None])


def _mel(hz: np.ndarray) -> np.ndarray:
    """Slaney's scale (Auditory Toolbox 1998): linear to 1 kHz, logarithmic above it."""
    return np.where(hz < 1000, 3 * hz / 200, 15 + 27 * np.log(np.maximum(hz, 1) / 1000) / np.log(6.4))


def _hertz(mel: np.ndarray) -> np.ndarray:
    return np.where(mel < 15, 200 * mel / 3, 1000 * np.exp(np.log(6.4) * (mel - 15) / 27))


def _height(hz: np.ndarray) -> np.ndarray:
    low, high = _mel(np.array([LOWEST, RATE / 2]))
    return np.asarray((_mel(hz) - low) / (high - low))


def _check(audio: np.ndarray) -> None:
    if audio.ndim != 1 or not len(audio):
        raise BraindashError(f"The sound has shape {audio.shape}.", "Give one channel with at least one sample.")

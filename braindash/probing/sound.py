"""Sound at short steps: spectrum, cepstrum, pitch and level of 40-ms spans.

Every recording is first divided by its root mean square, since models see sound at a level of their
own. Only the spans that are used are analysed, so a long recording costs no more memory than a short one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from braindash.probing.base import Corpus, Examples, Limits
from braindash.probing.cutting import Cut, beyond, choose_evenly, settle, sides

RATE = 16_000
STEP = 0.04  # seconds of a span: two frames of most models
WINDOW, HOP = 400, 160  # samples of a spectrum and from one to the next: 25 ms, 10 ms
PITCH_WINDOW = 1024  # samples: four periods of the lowest pitch
LOWEST, HIGHEST = 65.0, 500.0  # Hz of a voice
VOICED = 0.7  # correlation of a window with itself one period later
QUIET = 60.0  # dB below the loudest span of the recording: silence
FLOOR = 1e-8  # power of a band, −80 dB of the recording's mean power
KEPT_AUDIO = 256 * 2**20  # bytes that are not read twice

SILENT = "silent (60 dB below the loudest)"

Measure = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (audio, spans) -> (n_spans, d), NaN where there is no value


def keeping_audio(corpus: Corpus, most: int = KEPT_AUDIO) -> Corpus:
    """Return the corpus with recordings that are read once, as many as fit in ``most`` bytes together."""
    kept: dict[str, np.ndarray] = {}

    def reader(name: str, load: Callable[[], np.ndarray]) -> Callable[[], np.ndarray]:
        def read() -> np.ndarray:
            if name in kept:
                return kept[name]
            audio = np.asarray(load(), dtype=np.float32)
            if sum(a.nbytes for a in kept.values()) + audio.nbytes <= most:
                kept[name] = audio
            return audio

        return read

    return replace(corpus, recordings=tuple(replace(r, load=reader(r.name, r.load)) for r in corpus.recordings))


def acoustic_examples(
    corpus: Corpus, limits: Limits, measure: Measure, names: tuple[str, ...], *, without: str = "", spare: int = 2
) -> Examples:
    """Return the values of a measure at spans of 40 ms, taken evenly from the whole corpus.

    Parameters
    ----------
    measure : callable
        ``measure(audio, spans) -> (n_spans, len(names))``; a row with NaN has no value.
    without : str
        The reason of such a row.
    spare : int
        How many times the limit is measured, where many rows have no value.

    Raises
    ------
    BraindashError
        Too few spans with a value; or a file that cannot be read.
    """
    counts = [int((r.duration + 1e-9) / STEP) for r in corpus.recordings]
    recording = np.repeat(np.arange(len(counts)), counts)
    start = np.concatenate([np.arange(n) * STEP for n in counts] or [np.empty(0)])
    spans = np.stack([start, start + STEP], axis=1)
    left_out: Counter[str] = Counter()
    if len(spans) > spare * limits.max_examples:
        groups, scored = sides(corpus, recording)
        chosen = choose_evenly([scored, groups], spare * limits.max_examples, limits.seed)
        left_out[beyond(limits)] = int((~chosen).sum())
        recording, spans = recording[chosen], spans[chosen]
    y = np.full((len(spans), len(names)), np.nan)
    loud = np.zeros(len(spans), dtype=bool)
    for i in np.unique(recording):
        own = recording == i
        audio = np.asarray(corpus.recordings[i].load(), dtype=np.float64)
        level = level_db(audio, spans[own])
        rows = np.flatnonzero(own)[level > loudest_db(audio) - QUIET]
        if len(rows):
            loud[rows] = True
            y[rows] = measure(audio / np.sqrt(np.mean(audio**2)), spans[rows])
    cut = Cut(recording, spans, y, names, left_out=left_out, unit="spans of 40 ms").keep(loud, SILENT)
    return settle(corpus, limits, cut.keep(np.isfinite(cut.y).all(axis=1), without or "without a value"))


def windows(audio: np.ndarray, centres: np.ndarray, length: int) -> np.ndarray:
    """Return windows around sample numbers: (n, length); zeros outside the audio."""
    at = centres[:, None] - length // 2 + np.arange(length)
    inside = (at >= 0) & (at < len(audio))
    return np.where(inside, audio[np.clip(at, 0, max(len(audio) - 1, 0))], 0.0) if len(audio) else np.zeros(at.shape)


def level_db(audio: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Return the mean power of every span in dB of full scale: (n_spans,); −inf where there is none."""
    length = round(STEP * RATE)
    centres = np.round(spans.mean(axis=1) * RATE).astype(int)
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(np.mean(windows(audio, centres, length) ** 2, axis=1)))


def loudest_db(audio: np.ndarray) -> float:
    """Return the level of the loudest 40 ms in dB of full scale; +inf where all is digital silence."""
    length = round(STEP * RATE)
    whole = audio[: len(audio) // length * length].reshape(-1, length)
    peak = float(np.mean(whole**2, axis=1).max()) if len(whole) else 0.0
    return 10 * np.log10(peak) if peak > 0 else np.inf


def mel_db(audio: np.ndarray, spans: np.ndarray, n_mels: int) -> np.ndarray:
    """Return the power in mel bands in dB, mean over each span's frames: (n_spans, n_mels).

    Hann windows of 25 ms every 10 ms whose centres lie in the span; triangular mel filters of height 1 (Slaney's
    scale, 50 Hz to 8 kHz) on the power spectrum over the window's energy, floored at −80 dB.
    """
    from librosa.filters import mel

    n_frames = round(STEP * RATE) // HOP
    first = np.round(spans[:, 0] * RATE).astype(int) + HOP // 2
    centres = (first[:, None] + HOP * np.arange(n_frames)).ravel()
    taper = np.hanning(WINDOW + 1)[:-1]
    bank = mel(sr=RATE, n_fft=WINDOW, n_mels=n_mels, fmin=50.0, norm=None)
    out = np.empty((len(spans), n_mels))
    block = 500  # spans at a time: 2,000 spectra are 6 MB
    for a in range(0, len(spans), block):
        frames = windows(audio, centres[a * n_frames : (a + block) * n_frames], WINDOW)
        power = np.abs(np.fft.rfft(frames * taper, axis=1)) ** 2 / np.sum(taper**2)
        db = 10 * np.log10(np.maximum(power @ bank.T, FLOOR))
        out[a : a + block] = db.reshape(-1, n_frames, n_mels).mean(axis=1)
    return out


def mfcc(audio: np.ndarray, spans: np.ndarray, n_coefficients: int = 40, n_mels: int = 80) -> np.ndarray:
    """Return mel-frequency cepstral coefficients, the orthonormal DCT-II of mel bands in dB: (n_spans, n)."""
    from scipy.fft import dct

    return np.asarray(dct(mel_db(audio, spans, n_mels), type=2, norm="ortho", axis=1)[:, :n_coefficients])


def pitch_hz(audio: np.ndarray, spans: np.ndarray) -> np.ndarray:
    """Return the fundamental frequency of every span, NaN where it is not voiced: (n_spans,).

    YIN (de Cheveigné and Kawahara 2002) in 64 ms around the span's centre, 65 to 500 Hz. Voiced: the
    window correlates with itself one period later by 0.7 or more.
    """
    import librosa

    centres = np.round(spans.mean(axis=1) * RATE).astype(int)
    frames = windows(audio, centres, PITCH_WINDOW)
    f0 = librosa.yin(
        frames, fmin=LOWEST, fmax=HIGHEST, sr=RATE, frame_length=PITCH_WINDOW, hop_length=PITCH_WINDOW, center=False
    )[:, 0]
    return np.where(periodicity(frames, np.round(RATE / f0).astype(int)) >= VOICED, f0, np.nan)


def periodicity(frames: np.ndarray, lags: np.ndarray) -> np.ndarray:
    """Return the correlation of every window with itself ``lags`` samples later: (n,), 0 for a window without sound.

    Parameters
    ----------
    frames : (n, length)
    lags : (n,) int
    """
    frames = frames - frames.mean(axis=1, keepdims=True)
    at = np.arange(frames.shape[1]) + lags[:, None]
    both = at < frames.shape[1]
    later = np.where(both, np.take_along_axis(frames, np.minimum(at, frames.shape[1] - 1), axis=1), 0.0)
    earlier = np.where(both, frames, 0.0)
    power = np.sqrt(np.sum(earlier**2, axis=1) * np.sum(later**2, axis=1))
    return np.asarray(np.divide(np.sum(earlier * later, axis=1), power, out=np.zeros(len(frames)), where=power > 0))

"""Audio files of any rate and number of channels, read as 16 kHz mono."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from braindash.errors import BraindashError
from braindash.studies.files import require_file

if TYPE_CHECKING:
    import soundfile

SAMPLE_RATE = 16_000  # Hz, what speech models read
_RATES = (8_000, 384_000)  # Hz, accepted
_LARGEST = 8.0  # |sample|; beyond it a float file was surely not scaled to [-1, 1]


def audio_duration(path: str | os.PathLike[str]) -> float:
    """Return the length of an audio file in seconds, from its header alone.

    Raises
    ------
    NotDownloadedError
        The file is a git-annex or LFS placeholder.
    BraindashError
        Missing, unreadable, without samples, or of an absurd sampling rate.
    """
    info = _info(Path(path))
    return float(info.frames / info.samplerate)


def read_audio(path: str | os.PathLike[str], start: float = 0.0, stop: float | None = None) -> np.ndarray:
    """Read an audio file, or a segment of it, as 16 kHz mono.

    Channels are averaged, then resampled (soxr, high quality).

    Parameters
    ----------
    path : path
        Anything that libsndfile reads: wav, flac, ogg, mp3, aiff …
    start, stop : float
        Segment in seconds; ``stop=None`` reads to the end.

    Returns
    -------
    (n_samples,) float32
        Nominally in [-1, 1].

    Raises
    ------
    NotDownloadedError, BraindashError
        As ``audio_duration``; also a file cut short, NaN or infinite samples,
        samples far outside [-1, 1], and a segment outside the file.
    """
    import soundfile
    import soxr

    path = Path(path)
    info = _info(path)
    first, last = _frames(path, info, start, stop)
    try:
        samples, rate = soundfile.read(path, start=first, stop=last, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise _undecodable(path, error) from None
    if len(samples) < last - first:
        raise _cut_short(path, len(samples), last - first)
    _refuse_bad_samples(path, samples)
    mono = samples.mean(axis=1, dtype=np.float32)
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return np.ascontiguousarray(mono, dtype=np.float32)


def verify_audio(path: str | os.PathLike[str]) -> float:
    """Decode a whole audio file in blocks and return its largest absolute sample.

    Raises
    ------
    NotDownloadedError, BraindashError
        As ``read_audio``; nothing is resampled or kept, so that a check of many hours is quick.
    """
    import soundfile

    path = Path(path)
    info = _info(path)
    peak, n_read = 0.0, 0
    try:
        for block in soundfile.blocks(path, blocksize=1 << 20, dtype="float32", always_2d=True):
            _refuse_bad_samples(path, block)
            peak = max(peak, float(np.abs(block).max()))
            n_read += len(block)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise _undecodable(path, error) from None
    if n_read < info.frames:
        raise _cut_short(path, n_read, info.frames)
    return peak


def _undecodable(path: Path, error: Exception) -> BraindashError:
    return BraindashError(f"The audio file {path} cannot be decoded ({error}).", "Convert it to wav.")


def _cut_short(path: Path, n: int, expected: int) -> BraindashError:
    return BraindashError(
        f"The audio file {path} is cut short: {n} of {expected} samples could be read.", "Copy or download it again."
    )


def _refuse_bad_samples(path: Path, samples: np.ndarray) -> None:
    bad = int(samples.size - np.isfinite(samples).sum())
    if bad:
        raise BraindashError(
            f"The audio file {path} holds {bad} NaN or infinite samples.", "Export it again from its source."
        )
    peak = float(np.abs(samples).max())
    if peak > _LARGEST:
        raise BraindashError(
            f"The audio file {path} has samples as large as {peak:g}; floating-point audio must lie in [-1, 1].",
            "Divide it by its full scale, or export it as 16-bit wav.",
        )


def _info(path: Path) -> soundfile._SoundFileInfo:
    import soundfile

    require_file(path, "audio file")
    try:
        info = soundfile.info(path)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise BraindashError(
            f"The file {path} cannot be read as audio ({error}).", "Use wav, flac, ogg or mp3."
        ) from None
    if info.frames <= 0:
        raise BraindashError(f"The audio file {path} is empty: it holds no samples.", "Export it again.")
    low, high = _RATES
    if not low <= info.samplerate <= high:
        raise BraindashError(
            f"The audio file {path} says it is sampled at {info.samplerate} Hz; "
            f"braindash reads {low:,} to {high:,} Hz and resamples to {SAMPLE_RATE:,} Hz.",
            "Correct the rate in its header, or export it again.",
        )
    return info


def _frames(path: Path, info: soundfile._SoundFileInfo, start: float, stop: float | None) -> tuple[int, int]:
    first = round(start * info.samplerate)
    last = info.frames if stop is None else min(round(stop * info.samplerate), info.frames)
    if not 0 <= first < last:
        end = "the end" if stop is None else f"{stop:g} s"
        raise BraindashError(
            f"There is no audio from {start:g} s to {end} in {path}, "
            f"which is {info.frames / info.samplerate:.2f} s long.",
            "Choose a segment inside the file.",
        )
    return first, last

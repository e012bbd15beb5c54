"""What acoustic probes read: tones, levels and spectra whose answer is known."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from probing_corpus import RATE, corpus_of, tone, whole_corpus

from braindash.errors import BraindashError
from braindash.probing import sound
from braindash.probing.base import Limits, Recording
from braindash.probing.tasks import choose_tasks, open_task

LOOSE = Limits(fewest_examples=5)


def recording(audio: np.ndarray, name: str = "one") -> Recording:
    return Recording(name, lambda: audio.astype(np.float32), len(audio) / RATE, name)


def two(audio: np.ndarray) -> tuple[Recording, Recording]:
    return recording(audio), recording(audio, "two")


def test_pitch_is_that_of_the_tone_and_noise_and_silence_have_none() -> None:
    rng = np.random.default_rng(0)
    parts = [tone(1, 95), 0.1 * rng.standard_normal(RATE), tone(1, 210), np.zeros(RATE), tone(1, 380)]
    found = open_task("pitch").make(corpus_of(*two(np.concatenate(parts))), LOOSE)
    second = found.spans[:, 0].astype(int)
    middle = (found.spans[:, 0] % 1 > 0.03) & (found.spans[:, 1] % 1 < 0.97) & (found.spans[:, 1] % 1 > 0.03)
    for at, f0 in ((0, 95), (2, 210), (4, 380)):
        values = 2 ** found.y[(second == at) & middle, 0]
        assert len(values) > 30
        assert values == pytest.approx(f0, rel=0.01)
    assert found.left_out["not voiced"] >= 2 * 20
    assert found.left_out[sound.SILENT] >= 2 * 23
    assert np.isin(second[middle], (0, 2, 4)).all()
    assert len(found) + sum(found.left_out.values()) == 2 * 125


def test_intensity_is_in_decibels_whatever_the_gain() -> None:
    audio = np.concatenate([tone(1, level=0.2), tone(1, level=0.02), tone(1, level=0.002)])
    found = open_task("intensity").make(corpus_of(*two(audio)), LOOSE)
    louder = open_task("intensity").make(corpus_of(*two(audio * 3)), LOOSE)
    np.testing.assert_allclose(found.y, louder.y, atol=1e-4)
    level = [np.median(found.y[found.spans[:, 0].astype(int) == s]) for s in range(3)]
    assert np.diff(level) == pytest.approx([-20, -20], abs=0.3)
    mean_power = np.mean(10 ** (found.y / 10))
    assert mean_power == pytest.approx(1, rel=0.02)  # dB of the recording's own mean


def test_spans_more_than_60_db_below_the_loudest_are_silence() -> None:
    audio = np.concatenate([tone(1, level=0.3), tone(1, level=0.3 * 10 ** (-55 / 20)), tone(1, level=0.3e-3 / 2)])
    found = open_task("intensity").make(corpus_of(*two(audio)), LOOSE)
    assert set(found.spans[:, 0].astype(int)) == {0, 1}
    assert found.left_out == {sound.SILENT: 50}


def test_mel_and_mfcc_are_those_of_librosa() -> None:
    rng = np.random.default_rng(1)
    audio = np.concatenate([tone(1), 0.02 * rng.standard_normal(RATE)])
    spans = np.array([[0.4, 0.44], [0.96, 1.0], [1.52, 1.56]])
    taper = np.hanning(401)[:-1]
    power = (
        librosa.feature.melspectrogram(  # frames centred at 5, 15, 25 … ms
            y=audio[80:], sr=RATE, n_fft=400, hop_length=160, n_mels=80, fmin=50.0, norm=None
        )
        / np.sum(taper**2)
    )
    db = 10 * np.log10(np.maximum(power, 1e-8))
    frames = [np.arange(4) + round(start * 100) for start in spans[:, 0]]
    want = np.stack([db[:, f].mean(axis=1) for f in frames])
    np.testing.assert_allclose(sound.mel_db(audio, spans, 80), want, atol=1e-3)
    cepstrum = librosa.feature.mfcc(S=db, n_mfcc=40)
    want = np.stack([cepstrum[:, f].mean(axis=1) for f in frames])
    np.testing.assert_allclose(sound.mfcc(audio, spans), want, atol=1e-3)


def test_windows_are_zero_outside_the_audio() -> None:
    found = sound.windows(np.arange(1.0, 6.0), np.array([0, 2, 5]), 4)
    assert found.tolist() == [[0, 0, 1, 2], [1, 2, 3, 4], [4, 5, 0, 0]]


def test_periodicity_is_the_correlation_one_period_later() -> None:
    rng = np.random.default_rng(2)
    frames = rng.standard_normal((3, 200)) + np.sin(np.arange(200) / 3)
    lags = np.array([7, 19, 50])
    for k, (frame, lag) in enumerate(zip(frames - frames.mean(axis=1, keepdims=True), lags, strict=True)):
        a, b = frame[:-lag], frame[lag:]
        want = np.sum(a * b) / np.sqrt(np.sum(a**2) * np.sum(b**2))
        assert sound.periodicity(frames, lags)[k] == pytest.approx(want)


def test_a_silent_corpus_is_refused_with_what_was_left_out() -> None:
    with pytest.raises(BraindashError, match=r"0 spans of 40 ms can be scored \(left out: 250 silent"):
        open_task("mel").make(corpus_of(*two(np.zeros(5 * RATE))), LOOSE)


def test_recordings_are_read_once_for_all_tasks() -> None:
    read: list[str] = []

    def load(name: str) -> np.ndarray:
        read.append(name)
        return tone(8.0)

    recordings = [Recording(n, lambda n=n: load(n), 8.0, n) for n in "ab"]  # type: ignore[misc]
    chosen, _ = choose_tasks(corpus_of(*recordings), ["mel", "mfcc", "pitch", "intensity"])
    assert len(chosen) == 4
    assert sorted(read) == ["a", "b"]


def test_what_does_not_fit_is_read_again() -> None:
    read: list[str] = []

    def load(name: str) -> np.ndarray:
        read.append(name)
        return tone(1.0)

    corpus = corpus_of(*(Recording(n, lambda n=n: load(n), 1.0, n) for n in "ab"))  # type: ignore[misc]
    kept = sound.keeping_audio(corpus, most=RATE * 4)
    for _ in range(3):
        for r in kept.recordings:
            assert len(r.load()) == RATE
    assert sorted(read) == ["a", "b", "b", "b"]


def test_thinned_spans_are_even_over_stories() -> None:
    corpus = whole_corpus()
    found = open_task("intensity").make(corpus, Limits(max_examples=240, fewest_examples=20))
    scored = np.array([corpus.recordings[i].scored for i in found.recording])
    assert (scored.sum(), (~scored).sum()) == (120, 120)
    assert np.bincount(found.recording).tolist() == [30] * 8
    total = sum(int((r.duration + 1e-6) / 0.04) for r in corpus.recordings)
    assert len(found) + sum(found.left_out.values()) == total

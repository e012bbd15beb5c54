"""The sound of a story as it is drawn and played: against loops, tones and what a decoder reads."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from braindash.errors import BraindashError
from braindash.figures.sound import MOST_COLUMNS, N_MELS, n_columns, outline, spectrogram
from braindash.studies.playing import playable


def test_the_outline_is_the_extremes_of_each_stretch() -> None:
    audio = np.random.default_rng(0).normal(0, 0.1, 1003).astype(np.float32)
    found = outline(audio, 10)
    peak = np.abs(audio).max()
    edges = [i * 1003 // 10 for i in range(11)]
    for i in range(10):
        part = audio[edges[i] : edges[i + 1]]
        assert found[0, i] == pytest.approx(127 * part.min() / peak, abs=1)
        assert found[1, i] == pytest.approx(127 * part.max() / peak, abs=1)
    assert np.abs(found.astype(int)).max() == 127
    assert (outline(np.zeros(50, np.float32), 5) == 0).all()
    assert outline(audio[:3], 8).shape == (2, 8)
    with pytest.raises(BraindashError, match="shape"):
        outline(np.zeros((2, 3)), 4)


def test_a_tone_lies_at_its_own_height() -> None:
    t = np.arange(32_000) / 16_000
    audio = np.where(t < 1, np.sin(2 * np.pi * 1000 * t), np.sin(2 * np.pi * 4000 * t)).astype(np.float32)
    found = spectrogram(audio, 100)
    assert found.levels.shape == (N_MELS, 100)
    heights = {hz: h for h, hz in found.ticks}
    assert list(heights) == sorted(heights)
    for column, hz in ((25, 1000), (75, 4000)):
        band = int(found.levels[:, column].argmax())
        assert band / (N_MELS - 1) == pytest.approx(heights[hz], abs=0.03)
        assert found.levels[band, column] > 230
    assert found.levels[:, 25].min() < 60
    assert (spectrogram(np.zeros(1600, np.float32), 5).levels == 0).all()


def test_the_spectrum_is_that_of_librosa() -> None:
    import librosa

    audio = np.random.default_rng(2).normal(0, 0.1, 16_000).astype(np.float32) * np.linspace(0.01, 1, 16_000)
    power = librosa.feature.melspectrogram(
        y=audio, sr=16_000, n_fft=400, hop_length=160, n_mels=N_MELS, fmin=50.0, pad_mode="constant"
    )
    db = np.maximum(10 * np.log10(power / power.max()), -80.0)[:, :100]
    expected = 255 * (1 + db.reshape(N_MELS, 50, 2).mean(2) / 80)
    found = spectrogram(audio.astype(np.float32), 50).levels.astype(float)
    assert np.abs(found - expected)[:, :-1].max() <= 1, "the last stretch holds the window at the very end too"


def test_columns_are_bounded() -> None:
    assert n_columns(16_000) == 50
    assert n_columns(16_000 * 3600) == MOST_COLUMNS
    assert n_columns(3) == 1


def test_what_is_played_has_every_sample_in_its_place() -> None:
    audio = np.random.default_rng(1).normal(0, 0.3, 16_001).astype(np.float32)
    read, rate = soundfile.read(io.BytesIO(playable(audio)), dtype="float32")
    assert rate == 16_000
    np.testing.assert_allclose(read, np.clip(audio, -1, 1), atol=1 / 32_000)

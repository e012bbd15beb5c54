"""Audio of any rate and channels becomes 16 kHz mono; what is not audio is named."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from braindash.errors import BraindashError, NotDownloadedError
from braindash.studies.audio import audio_duration, read_audio, verify_audio


def tone(rate: int, seconds: float, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


@pytest.mark.parametrize(("rate", "suffix"), [(44_100, "wav"), (16_000, "flac"), (48_000, "ogg"), (22_050, "wav")])
def test_stereo_of_any_rate_becomes_the_mean_of_its_channels(tmp_path: Path, rate: int, suffix: str) -> None:
    left = tone(rate, 2.0)
    file = tmp_path / f"a.{suffix}"
    soundfile.write(file, np.stack([left, np.zeros_like(left)], axis=1), rate)
    audio = read_audio(file)
    assert audio.dtype == np.float32
    assert audio.ndim == 1
    assert abs(len(audio) - 32_000) <= 1
    assert audio_duration(file) == pytest.approx(2.0, abs=1e-4)
    expected = tone(16_000, 2.0) / 2  # one silent channel halves the mean
    middle = slice(4_000, 28_000)
    # A lossy codec and a resampler may each add a little; a wrong rate or a dropped channel would not pass.
    assert np.abs(audio[middle] - expected[middle]).max() < (0.03 if suffix == "ogg" else 2e-3)


def test_a_segment_equals_the_cut_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.flac"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000 * 3)
    soundfile.write(file, noise, 16_000)
    np.testing.assert_array_equal(read_audio(file, start=0.5, stop=2.0), read_audio(file)[8_000:32_000])
    np.testing.assert_array_equal(read_audio(file, start=2.5), read_audio(file)[40_000:])
    with pytest.raises(BraindashError, match=r"from 3 s to 4 s.*3\.00 s long"):
        read_audio(file, start=3.0, stop=4.0)


def test_missing_folder_empty_and_text(tmp_path: Path) -> None:
    with pytest.raises(BraindashError, match=r"There is no audio file .*gone\.wav"):
        read_audio(tmp_path / "gone.wav")
    with pytest.raises(BraindashError, match="is not a file"):
        read_audio(tmp_path)
    (tmp_path / "zero.wav").touch()
    with pytest.raises(BraindashError, match="0 bytes"):
        audio_duration(tmp_path / "zero.wav")
    soundfile.write(tmp_path / "silent.wav", np.zeros(0), 16_000)
    with pytest.raises(BraindashError, match="holds no samples"):
        audio_duration(tmp_path / "silent.wav")
    (tmp_path / "text.wav").write_text("this is no audio at all")
    with pytest.raises(BraindashError, match="cannot be read as audio"):
        audio_duration(tmp_path / "text.wav")


def test_what_datalad_has_not_fetched_says_how_to_fetch_it(tmp_path: Path) -> None:
    link = tmp_path / "link.wav"
    link.symlink_to("../.git/annex/objects/Xx/Yy/MD5E-s100--0.wav/MD5E-s100--0.wav")
    pointer = tmp_path / "pointer.wav"
    pointer.write_text("/annex/objects/MD5E-s26461868--93a0b1.wav\n")
    lfs = tmp_path / "lfs.wav"
    lfs.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 12\n")
    for file in (link, pointer, lfs):
        with pytest.raises(NotDownloadedError) as caught:
            audio_duration(file)
        assert str(file) in caught.value.what
        assert "datalad get" in caught.value.remedy
    other = tmp_path / "other.wav"
    other.symlink_to("nowhere.wav")
    with pytest.raises(BraindashError, match=r"link to nowhere\.wav") as plain:
        audio_duration(other)
    assert not isinstance(plain.value, NotDownloadedError)


@pytest.mark.parametrize("rate", [100, 4_000, 1_000_000])
def test_absurd_rates_are_refused_with_their_value(tmp_path: Path, rate: int) -> None:
    file = tmp_path / "a.wav"
    soundfile.write(file, np.zeros(100), rate)
    with pytest.raises(BraindashError, match=f"sampled at {rate} Hz"):
        audio_duration(file)


def test_samples_that_are_not_numbers_or_not_scaled(tmp_path: Path) -> None:
    samples = tone(16_000, 0.1)
    samples[3] = np.nan
    samples[9] = np.inf
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "big.wav", tone(16_000, 0.1) * 32_000, 16_000, subtype="FLOAT")
    for check in (read_audio, verify_audio):
        with pytest.raises(BraindashError, match="holds 2 NaN or infinite"):
            check(tmp_path / "nan.wav")
        with pytest.raises(BraindashError, match=r"as large as 1\.?6?0*"):
            check(tmp_path / "big.wav")


def test_a_file_cut_short_is_not_taken_for_whole(tmp_path: Path) -> None:
    file = tmp_path / "a.flac"
    soundfile.write(file, np.random.default_rng(0).uniform(-0.5, 0.5, 160_000), 16_000)
    os.truncate(file, file.stat().st_size // 2)
    for check in (read_audio, verify_audio):
        with pytest.raises(BraindashError, match=r"cut short|cannot be decoded"):
            check(file)


def test_verify_returns_the_peak(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(16_000, 1.0), 16_000)
    assert verify_audio(tmp_path / "a.wav") == pytest.approx(0.5, abs=1e-3)

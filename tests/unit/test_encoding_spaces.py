"""Feature spaces, the haemodynamic response and the lag scan, on events whose answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from nilearn.glm.first_level import spm_hrf

from braindash.encoding import hrf, spaces
from braindash.encoding.lagscan import lag_scan
from braindash.errors import BraindashError

TR = 2.0
TIMES = np.arange(5) * TR + TR / 2  # rows cover 0-2, 2-4, … seconds


def table(*rows: tuple[str, float]) -> pd.DataFrame:
    return pd.DataFrame([{"text": t, "onset": o, "offset": o + 0.1} for t, o in rows])


def test_word_rate_counts_onsets_in_the_span_of_each_row() -> None:
    words = table(("a", 0.0), ("b", 1.99), ("", 2.5), ("c", 4.0), ("late", 11.0))
    space = spaces.word_rate(words, TIMES, TR)
    assert space.values[:, 0].tolist() == [1.0, 0.0, 0.5, 0.0, 0.0]
    assert (space.used, space.skipped) == (4, 1)


def test_phones_and_articulation_ignore_stress_and_count_what_is_no_phone() -> None:
    phones = table(("B", 0.1), ("IY1", 0.3), ("m", 2.1), ("sp", 2.3), ("sil", 4.0), ("xx", 4.2))
    space = spaces.phone_rates(phones, TIMES, TR)
    assert len(space.columns) == 39
    assert space.values[0, space.columns.index("IY")] == 0.5
    assert space.values[1, space.columns.index("M")] == 0.5
    assert (space.used, space.skipped, space.skipped_examples) == (3, 3, ("SP", "SIL", "XX"))
    moved = spaces.articulatory_rates(phones, TIMES, TR)
    first = {c for c, v in zip(moved.columns, moved.values[0], strict=True) if v}
    assert first == {"bilabial", "plosive", "voiced", "high", "front"}
    with pytest.raises(BraindashError, match="None of the 1 phone intervals"):
        spaces.phone_rates(table(("ə", 0.1)), TIMES, TR)


def test_every_phone_is_a_vowel_or_a_consonant_with_place_manner_and_voicing() -> None:
    of = {p: {n for n, members in spaces.ARTICULATION.items() if p in members} for p in spaces.PHONES}
    manner = {"plosive", "nasal", "fricative", "affricate", "approximant"}
    height = {"high", "mid", "low"}
    for phone, found in of.items():
        assert (len(found & manner) == 1) != (len(found & height) == 1), phone
        if found & manner:
            assert len(found & {"voiced", "voiceless"}) == 1, phone
        else:
            assert len(found & {"front", "central", "back"}) == 1, phone


def test_mel_power_follows_a_tone_through_frequency_and_time() -> None:
    t = np.arange(16_000 * 10) / 16_000
    audio = np.where(t < 4, np.sin(2 * np.pi * 200 * t), np.sin(2 * np.pi * 3000 * t)).astype(np.float32)
    audio[t >= 8] = 0
    space = spaces.mel_power(audio, TIMES, TR)
    assert space.values.shape == (5, 32)
    best = space.values.argmax(1)
    assert best[0] == best[1] < 6 < best[2] == best[3]
    assert space.values[4].max() < -70
    with pytest.raises(BraindashError, match="silent"):
        spaces.mel_power(np.zeros(16_000, np.float32), TIMES, TR)


def test_word_vectors_are_summed_and_unknown_words_counted(tmp_path: Path) -> None:
    file = tmp_path / "glove.txt"
    file.write_text("the 1 0 0\ndog 0 2 0\ncat 0 0 3\n", encoding="utf-8")
    vectors = spaces.read_vectors(file, ["The", "dog"])
    assert set(vectors) == {"the", "dog"}
    space = spaces.word_embedding(table(("The", 0.5), ("dog,", 1.0), ("wug", 2.5)), vectors, TIMES, TR)
    assert space.values[0].tolist() == [0.5, 1.0, 0.0]
    assert (space.used, space.skipped, space.skipped_examples) == (2, 1, ("wug",))
    np.savez(tmp_path / "v.npz", words=np.array(["the"]), vectors=np.ones((1, 4), np.float32))
    assert spaces.read_vectors(tmp_path / "v.npz")["the"].shape == (4,)
    file.write_text("the 1 0 0\ndog 0 2\n", encoding="utf-8")
    with pytest.raises(BraindashError, match=r"Line 2 of glove\.txt has 2 numbers, the first has 3"):
        spaces.read_vectors(file)
    with pytest.raises(BraindashError, match="no word vectors at"):
        spaces.read_vectors(tmp_path / "none.txt")


def test_the_haemodynamic_response_is_spms() -> None:
    reference = spm_hrf(0.1, oversampling=1)
    ours = hrf.canonical_hrf(np.arange(len(reference)) * 0.1)
    assert np.corrcoef(ours, reference)[0, 1] > 0.999
    assert np.trapezoid(hrf.canonical_hrf(np.arange(0, 32, 0.01)), dx=0.01) == pytest.approx(1, abs=1e-3)
    assert hrf.canonical_hrf(np.array([-1.0, 0.0])).tolist() == [0.0, 0.0]
    pulse = np.zeros((30, 2))
    pulse[3, 1] = 1
    convolved = hrf.convolve(pulse, 1.0)
    np.testing.assert_allclose(convolved[3:, 1], hrf.canonical_hrf(np.arange(27.0)), atol=1e-6)
    assert not convolved[:, 0].any()
    assert hrf.event_response(np.array([3.0]), np.array([8.0]))[0] == pytest.approx(hrf.canonical_hrf(np.array(5.0)))


def study_with_delay(
    lag: float, strength: float
) -> tuple[dict[str, pd.DataFrame], dict[str, np.ndarray], dict[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    words, times, responses = {}, {}, {}
    for story in ("a", "b", "c"):
        n = 120
        times[story] = np.arange(n) * TR + TR / 2
        gaps = rng.gamma(1.2, 0.35, 1000) + (rng.random(1000) < 0.08) * rng.gamma(2, 1.5, 1000)
        onsets = np.cumsum(gaps)
        onsets = onsets[onsets < n * TR]
        words[story] = pd.DataFrame({"text": "w", "onset": onsets, "offset": onsets + 0.2})
        true = hrf.event_response(onsets, times[story] - lag * TR)
        signal = (true - true.mean()) / true.std()
        Y = rng.standard_normal((n, 300))
        Y[:, :30] += strength * signal[:, None]
        Y[:, 299] = 4.0  # constant: must not matter
        responses[story] = Y
    return words, times, responses


@pytest.mark.parametrize("lag", [0, 3, -4])
def test_the_lag_scan_finds_the_planted_lag_and_warns(lag: int) -> None:
    scan = lag_scan(*study_with_delay(lag, 0.7), TR, subject="s1")
    assert scan.tells
    assert scan.best == pytest.approx(lag, abs=0.4)
    finding = scan.finding()
    assert finding.level == ("ok" if lag == 0 else "warning")
    if lag:
        assert ("later" if lag > 0 else "earlier") in finding.what
        assert f"{lag * TR:+.0f}"[:2] in finding.what


def test_a_study_without_signal_is_not_judged() -> None:
    scan = lag_scan(*study_with_delay(0, 0.0), TR)
    assert not scan.tells
    assert scan.finding().level == "note"
    words, times, responses = study_with_delay(0, 0.5)
    with pytest.raises(BraindashError, match="No story has words"):
        lag_scan({}, times, responses, TR)
    with pytest.raises(BraindashError, match="A story of 30 TRs is too short"):
        lag_scan(words, {s: t[:30] for s, t in times.items()}, {s: y[:30] for s, y in responses.items()}, TR)
